/* SPDX-License-Identifier: MIT */
/* mock_test.c - consumers and producers against the brokers that librdkafka simulates.
 *
 * They prove errors, back-pressure and cancels. What a broker must prove is broker_test's. */

#include "connectors/kafka/kafka_priv.h"

#include "mock_brokers.h"

ON_LOOP(what_is_written_is_read_in_order_and_with_its_partition)
{
	int rc = 0;

	begin();
	write_numbers(0, 1000);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);

		CHECK_EQ(join_group(c), PARTITIONS);
		CHECK_EQ(read_numbers(c, 1000), sum_to(1000));
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
}

ON_LOOP(a_partition_that_is_held_stands_still_while_the_others_go_on)
{
	int rc = 0;

	begin();
	write_numbers(0, 400);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);
		struct lade_kafka_partition *held = NULL;
		struct lade_kafka_item item;

		NEED_EQ(next_of(c, LADE_KAFKA_ASSIGNED, &item), 0);
		for (size_t i = 0; i < item.n_partitions; i++)
			if (lade_kafka_partition_number(item.partitions[i]) == 1)
				held = item.partitions[i];
		lade_kafka_hold(held, true);
		NEED_EQ(lade_kafka_assign(c, NULL), 0);
		for (int i = 0; i < 300; i++) {
			NEED_EQ(next_of(c, LADE_KAFKA_MESSAGE, &item), 0);
			CHECK(item.message.partition != held);
			lade_kafka_message_free(&item.message);
		}
		CHECK_EQ(lade_within(lade_ms(50), next_of(c, LADE_KAFKA_MESSAGE, &item)), -ETIME);
		lade_kafka_hold(held, false);
		for (int i = 0; i < 100; i++) {
			NEED_EQ(next_of(c, LADE_KAFKA_MESSAGE, &item), 0);
			CHECK(item.message.partition == held);
			CHECK_EQ(item.message.offset, i);
			lade_kafka_message_free(&item.message);
		}
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
}

/* Reads until it is cancelled; *seen counts on. */
static int read_on(struct lade_kafka_consumer *c, int64_t *seen)
{
	struct lade_kafka_item item;
	int rc;

	while ((rc = next_of(c, LADE_KAFKA_MESSAGE, &item)) == 0) {
		*seen += atoi((const char *)item.message.value);
		lade_kafka_message_free(&item.message);
	}
	return rc;
}

ON_LOOP(a_next_that_is_cancelled_has_taken_nothing)
{
	int rc = 0;

	begin();
	write_numbers(100, 500);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);
		int64_t seen = 0, want = 500 * 100 + sum_to(500);

		join_group(c);
		/* The values are three digits long, and what follows in the buffer is no digit. */
		for (int i = 0; i < 3000 && seen < want; i++)
			(void)!lade_within(lade_us(50), read_on(c, &seen));
		CHECK_EQ(seen, want);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
}

ON_LOOP(a_seek_goes_back_and_forth)
{
	int rc = 0;

	begin();
	write_numbers(0, 400);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);
		struct lade_kafka_item item;
		struct lade_kafka_partition *p;

		join_group(c);
		NEED_EQ(next_of(c, LADE_KAFKA_MESSAGE, &item), 0);
		p = item.message.partition;
		lade_kafka_message_free(&item.message);
		CHECK_EQ(lade_kafka_seek(p, 70), 0);
		do {
			NEED_EQ(next_of(c, LADE_KAFKA_MESSAGE, &item), 0);
			lade_kafka_message_free(&item.message);
		} while (item.message.partition != p);
		CHECK_EQ(item.message.offset, 70);
		CHECK_EQ(lade_kafka_seek(p, LADE_KAFKA_OLDEST), 0);
		do {
			NEED_EQ(next_of(c, LADE_KAFKA_MESSAGE, &item), 0);
			lade_kafka_message_free(&item.message);
		} while (item.message.partition != p);
		CHECK_EQ(item.message.offset, 0);
		CHECK_EQ(lade_kafka_seek(p, -3), -EINVAL);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
}

ON_LOOP(a_position_outside_the_log_is_a_gap_until_a_seek)
{
	int rc = 0;

	begin();
	write_numbers(0, 40);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);
		struct lade_kafka_partition *p;
		struct lade_kafka_range range;
		struct lade_kafka_item item;

		NEED_EQ(next_of(c, LADE_KAFKA_ASSIGNED, &item), 0);
		p = item.partitions[2];
		lade_kafka_start_at(p, 1000);
		for (size_t i = 0; i < item.n_partitions; i++)
			if (i != 2)
				lade_kafka_hold(item.partitions[i], true);
		NEED_EQ(lade_kafka_assign(c, NULL), 0);
		NEED_EQ(next_of(c, LADE_KAFKA_GAP, &item), 0);
		CHECK(item.partitions[0] == p);
		CHECK_EQ(item.offset, 1000);
		NEED_EQ(lade_kafka_consumer_range(c, topic, lade_kafka_partition_number(p), &range,
						  NULL),
			0);
		CHECK_EQ(range.low, 0);
		CHECK_EQ(range.high, 10);
		CHECK_EQ(lade_kafka_seek(p, 9), 0);
		NEED_EQ(next_of(c, LADE_KAFKA_MESSAGE, &item), 0);
		CHECK_EQ(item.message.offset, 9);
		lade_kafka_message_free(&item.message);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
}

ON_LOOP(a_record_has_its_own_verdict)
{
	static char large[2000];
	struct lade_kafka_record r[4] = {
		{ .partition = -1, .key = "a", .key_len = 1, .value = "1", .value_len = 1 },
		{ .partition = -1, .value = large, .value_len = sizeof(large) },
		{ .partition = PARTITIONS, .value = "3", .value_len = 1 },
		{ .partition = 0, .key = "b", .key_len = 1 },
	};
	struct lade_kafka_producer *p;

	begin();
	p = producer_with(&(struct lade_kafka_producer_config){ .record_bytes_max = 1000 });
	for (int i = 0; i < 4; i++)
		r[i].topic = topic;
	CHECK_EQ(lade_kafka_send(p, r, 4), -EBADMSG);
	CHECK_EQ(r[0].verdict, 0);
	CHECK_EQ(r[0].offset, 0);
	CHECK_EQ(r[1].verdict, -EBADMSG);
	CHECK_EQ(r[1].code, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	CHECK_EQ(r[2].verdict, -EACCES);
	CHECK_EQ(r[3].verdict, 0);
	lade_kafka_producer_free(p);
}

ON_LOOP(records_without_a_key_take_turns_of_64_kib)
{
	static char value[1000];
	struct lade_kafka_record r[66 * (PARTITIONS + 1)];
	const size_t n = sizeof(r) / sizeof(*r);
	struct lade_kafka_producer *p;

	begin();
	p = producer();
	for (size_t i = 0; i < n; i++)
		r[i] = (struct lade_kafka_record){ .topic = topic, .partition = -1, .value = value,
						   .value_len = sizeof(value) };
	/* A partition whose leader is not known yet would be passed over. */
	for (int i = 0; i < PARTITIONS; i++)
		r[i].partition = i;
	CHECK_EQ(lade_within(lade_s(30), lade_kafka_send(p, r, PARTITIONS)), 0);
	for (int i = 0; i < PARTITIONS; i++)
		r[i].partition = -1;
	CHECK_EQ(lade_within(lade_s(30), lade_kafka_send(p, r, n)), 0);
	for (size_t i = 0; i < n; i++)
		CHECK_EQ(r[i].offset, (int64_t)(1 + i % 66 + i / 66 / PARTITIONS * 66));
	lade_kafka_producer_free(p);
}

ON_LOOP(a_send_that_is_cancelled_says_that_it_may_happen)
{
	struct lade_kafka_record r = { .topic = topic, .value = "1", .value_len = 1 };
	struct lade_kafka_producer *p;

	begin();
	p = producer();
	rd_kafka_mock_broker_set_down(mock, 1);
	CHECK_EQ(lade_within(lade_ms(50), lade_kafka_send(p, &r, 1)), -ETIME);
	CHECK_EQ(r.verdict, -ECANCELED);
	rd_kafka_mock_broker_set_up(mock, 1);
	CHECK_EQ(lade_within(lade_s(30), lade_kafka_send(p, &r, 1)), 0);
	CHECK_EQ(r.verdict, 0);
	lade_kafka_producer_free(p);
}

ON_LOOP(records_are_sent_in_two_halves_and_a_flight_may_be_forgotten)
{
	struct lade_kafka_record r[3][2] = { 0 };
	struct lade_kafka_flight *flights[3];
	struct lade_kafka_producer *p;

	begin();
	p = producer();
	for (int i = 0; i < 6; i++)
		r[i / 2][i % 2] = (struct lade_kafka_record){ .topic = topic, .value = "1",
							      .value_len = 1 };
	for (int i = 0; i < 3; i++)
		NEED_EQ(lade_kafka_send_begin(p, r[i], 2, &flights[i]), 0);
	lade_kafka_send_forget(flights[1]);
	lade_kafka_send_forget(NULL);
	CHECK_EQ(lade_within(lade_s(30), lade_kafka_send_end(flights[2], r[2], 2)), 0);
	CHECK_EQ(lade_within(lade_s(30), lade_kafka_send_end(flights[0], r[0], 2)), 0);
	CHECK_EQ(r[0][0].offset, 0);
	CHECK_EQ(r[0][1].offset, 1);
	CHECK_EQ(r[2][1].offset, 5);
	rd_kafka_mock_broker_set_down(mock, 1);
	NEED_EQ(lade_kafka_send_begin(p, r[0], 2, &flights[0]), 0);
	NEED_EQ(lade_kafka_send_begin(p, r[1], 2, &flights[1]), 0);
	CHECK_EQ(lade_within(lade_ms(50), lade_kafka_send_end(flights[0], r[0], 2)), -ETIME);
	CHECK_EQ(r[0][1].verdict, -ECANCELED);
	lade_kafka_send_forget(flights[1]);
	lade_kafka_producer_free(p);
	rd_kafka_mock_broker_set_up(mock, 1);
}

static int send_many(struct lade_kafka_producer *p, int *ret)
{
	static char value[1000];
	struct lade_kafka_record r[100];
	int rc = 0;

	for (int i = 0; i < 100; i++)
		r[i] = (struct lade_kafka_record){ .topic = topic,
						   .partition = i % PARTITIONS,
						   .value = value,
						   .value_len = sizeof(value) };
	for (int i = 0; i < 5 && rc == 0; i++)
		rc = lade_kafka_send(p, r, 100);
	*ret = rc;
	return rc;
}
LADE_TASK(send_many, int, (struct lade_kafka_producer *, p))

ON_LOOP(a_full_queue_is_waited_for)
{
	struct lade_kafka_producer *p;
	int a, b, c;

	begin();
	p = producer_with(&(struct lade_kafka_producer_config){ .queue_bytes = 20000 });
	CHECK_EQ(lade_within(lade_s(30), lade_join(lade_do(send_many, p, &a),
						   lade_do(send_many, p, &b),
						   lade_do(send_many, p, &c))),
		 0);
	lade_kafka_producer_free(p);
}

ON_LOOP(brokers_that_are_down_are_told_once_and_so_is_their_return)
{
	int rc = 0;

	begin();
	write_numbers(0, 4);
	rd_kafka_mock_broker_set_down(mock, 1);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);
		struct lade_kafka_item item;

		NEED_EQ(next_any(c, &item), 0);
		CHECK_EQ(item.kind, LADE_KAFKA_TROUBLE);
		CHECK_EQ(item.error->fault, LADE_KAFKA_PASSING);
		CHECK(lade_kafka_consumer_error(c)->fault == LADE_KAFKA_PASSING);
		CHECK_EQ(lade_within(lade_ms(1500), lade_kafka_next(c, &item)), -ETIME);
		rd_kafka_mock_broker_set_up(mock, 1);
		NEED_EQ(next_any(c, &item), 0);
		CHECK_EQ(item.kind, LADE_KAFKA_RECOVERED);
		CHECK(lade_kafka_consumer_error(c)->fault == LADE_KAFKA_NONE);
		join_group(c);
		read_numbers(c, 4);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
}

ON_LOOP(what_a_promise_rests_on_is_not_to_be_set)
{
	const struct lade_kafka_setting bad = { "auto.offset.reset", "earliest" };
	const struct lade_kafka_setting unknown = { "auto.offset.rest", "earliest" };
	const struct lade_kafka_setting wrong = { "session.timeout.ms", "soon" };
	const struct lade_kafka_setting good = { "session.timeout.ms", "6000" };
	struct lade_kafka_consumer_config config = {
		.brokers = brokers, .group = "g", .settings = &bad, .n_settings = 1
	};
	struct lade_kafka_consumer *c = NULL;
	struct lade_kafka_error error;
	const char *why = "";
	int rc = 0;

	CHECK_EQ(lade_kafka_setting_check(true, &bad, &why), -EPERM);
	CHECK(strstr(why, "outside the log"));
	CHECK_EQ(lade_kafka_setting_check(true, &unknown, &why), -ENOENT);
	CHECK_EQ(lade_kafka_setting_check(true, &wrong, &why), -EINVAL);
	CHECK_EQ(lade_kafka_setting_check(true, &good, &why), 0);
	lade_scope(s, &rc) {
		CHECK_EQ(lade_kafka_consumer_new(&s, &config, &c, &error), -EINVAL);
		CHECK(strstr(error.text, "auto.offset.reset is not to be set"));
	}
	CHECK(!c);
	CHECK_EQ(rc, 0);
}

ON_LOOP(a_commit_is_told_what_the_coordinator_says)
{
	int rc = 0;

	begin();
	write_numbers(0, 4);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);
		struct lade_kafka_error error = { .fault = LADE_KAFKA_NONE };
		struct lade_kafka_position position;
		struct lade_kafka_item item;

		join_group(c);
		NEED_EQ(next_of(c, LADE_KAFKA_MESSAGE, &item), 0);
		position = (struct lade_kafka_position){ item.message.partition, 1 };
		rd_kafka_mock_push_request_errors(mock, 8, 1,
						  RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
		CHECK_EQ(lade_kafka_commit(c, &position, 1, &error), -ESTALE);
		CHECK_EQ(error.fault, LADE_KAFKA_FENCED);
		CHECK_EQ(error.code, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
		lade_kafka_message_free(&item.message);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
}


#define HEARTBEAT 12	/* Kafka's number of that request */
#define OFFSET_FETCH 9

ON_LOOP(a_member_that_the_group_has_forgotten_loses_its_partitions)
{
	int rc = 0;

	begin();
	write_numbers(0, 40);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);
		struct lade_kafka_item item;
		struct lade_kafka_message kept;

		join_group(c);
		NEED_EQ(next_of(c, LADE_KAFKA_MESSAGE, &item), 0);
		kept = item.message;
		rd_kafka_mock_push_request_errors(mock, HEARTBEAT, 1,
						  RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
		NEED_EQ(next_of(c, LADE_KAFKA_LOST, &item), 0);
		CHECK_EQ(item.n_partitions, PARTITIONS);
		CHECK_EQ(lade_kafka_seek(item.partitions[0], 0), -EINVAL);
		CHECK_EQ(lade_kafka_release(c), 0);
		/* What is out keeps its partition's name. */
		CHECK_STR(lade_kafka_partition_topic(kept.partition), topic);
		CHECK_EQ(lade_kafka_partition_high(kept.partition), -1);
		lade_kafka_message_free(&kept);
		/* The simulated group takes nobody in again. */
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
}

/* The broker would take them: a transaction's offsets that name no member are nobody's to check. */
ON_LOOP(a_member_that_the_group_has_forgotten_and_does_not_know_it_commits_no_offsets)
{
	int rc = 0;

	begin();
	write_numbers(0, 40);
	lade_scope(s, &rc) {
		struct lade_kafka_producer *p = producer_with(
			&(struct lade_kafka_producer_config){ .transactional = "t" });
		struct lade_kafka_consumer *c = consumer(&s);
		struct lade_kafka_error error = { .fault = LADE_KAFKA_NONE };
		struct lade_kafka_position position;
		struct lade_kafka_item item;

		join_group(c);
		NEED_EQ(next_of(c, LADE_KAFKA_MESSAGE, &item), 0);
		position = (struct lade_kafka_position){ item.message.partition, 1 };
		lade_kafka_message_free(&item.message);
		CHECK_EQ(lade_kafka_transaction_init(p, NULL), 0);
		CHECK_EQ(lade_kafka_transaction_begin(p, NULL), 0);
		CHECK_EQ(lade_kafka_transaction_offsets(p, c, &position, 1, &error), 0);
		rd_kafka_mock_push_request_errors(mock, HEARTBEAT, 1,
						  RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
		/* It takes no event, as if it had been stopped and went on in the middle. */
		while (*lade_kafka_consumer_member(c))
			NEED_EQ(lade_sleep(lade_ms(5)), 0);
		CHECK_EQ(lade_kafka_transaction_offsets(p, c, &position, 1, &error), -ESTALE);
		CHECK_EQ(error.fault, LADE_KAFKA_FENCED);
		CHECK(strstr(error.text, "no member"));
		CHECK_EQ(lade_kafka_transaction_abort(p, NULL), 0);
		lade_kafka_producer_free(p);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
}

ON_LOOP(an_assignment_that_was_cancelled_can_be_made_later)
{
	int rc = 0;

	begin();
	write_numbers(0, 40);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);
		struct lade_kafka_error error = { .fault = LADE_KAFKA_NONE };
		struct lade_kafka_item item;

		CHECK_EQ(lade_kafka_assign(c, NULL), -EINVAL);
		NEED_EQ(next_of(c, LADE_KAFKA_ASSIGNED, &item), 0);
		rd_kafka_mock_push_request_errors(
			mock, OFFSET_FETCH, 3, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
			RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
			RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE);
		CHECK_EQ(lade_within(lade_ms(1), lade_kafka_assign(c, &error)), -ETIME);
		CHECK_EQ(lade_kafka_release(c), -EINVAL);
		CHECK_EQ(lade_within(lade_s(30), lade_kafka_assign(c, &error)), 0);
		CHECK_EQ(read_numbers(c, 40), sum_to(40));
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
}

ON_LOOP(a_stream_ends_with_an_error_at_a_gap)
{
	int rc = 0;

	begin();
	write_numbers(0, 40);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);
		struct lade_kafka_message_stream *in;
		struct lade_kafka_message m;
		struct lade_kafka_item item;

		NEED_EQ(next_of(c, LADE_KAFKA_ASSIGNED, &item), 0);
		lade_kafka_start_at(item.partitions[1], 77);
		in = lade_kafka_messages(c);
		do {
			rc = lade_within(lade_s(30), lade_kafka_message_next(in, &m));
			if (rc == 1)
				lade_kafka_message_finish(&m);
		} while (rc == 1);
		CHECK_EQ(rc, -ERANGE);
		CHECK(strstr(lade_kafka_consumer_error(c)->text, "offset 77 lies outside the log"));
		rc = 0;
		lade_kafka_message_stream_close(in);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
}

static void what_a_person_can_mend_has_a_remedy(void)
{
	static const struct {
		int code;
		const char *word;
	} wanted[] = {
		{ RD_KAFKA_RESP_ERR__TRANSPORT, "do they run" },
		{ RD_KAFKA_RESP_ERR__RESOLVE, "advertised.listeners" },
		{ RD_KAFKA_RESP_ERR__AUTHENTICATION, "sasl.password" },
		{ RD_KAFKA_RESP_ERR__SSL, "ssl.ca.location" },
		{ RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "create it" },
		{ RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "grant READ" },
		{ RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, "to the group" },
		{ RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, "max.message.bytes" },
		{ RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, "min.insync.replicas" },
		{ RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, "no leader" },
		{ RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, "keeps the group" },
	};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
		const char *remedy = lade_kafka_code_remedy(wanted[i].code);

		CHECK(remedy && strstr(remedy, wanted[i].word));
		CHECK(remedy && strlen(remedy) < 120); /* there is room for the rest in a line */
	}
	CHECK(!lade_kafka_code_remedy(RD_KAFKA_RESP_ERR_NO_ERROR));
	CHECK(!lade_kafka_code_remedy(RD_KAFKA_RESP_ERR__FATAL));
}

int main(void)
{
	begin_all();
	TAP(what_is_written_is_read_in_order_and_with_its_partition);
	TAP(a_partition_that_is_held_stands_still_while_the_others_go_on);
	TAP(a_next_that_is_cancelled_has_taken_nothing);
	TAP(a_seek_goes_back_and_forth);
	TAP(a_position_outside_the_log_is_a_gap_until_a_seek);
	TAP(a_record_has_its_own_verdict);
	TAP(records_without_a_key_take_turns_of_64_kib);
	TAP(a_send_that_is_cancelled_says_that_it_may_happen);
	TAP(records_are_sent_in_two_halves_and_a_flight_may_be_forgotten);
	TAP(a_full_queue_is_waited_for);
	TAP(brokers_that_are_down_are_told_once_and_so_is_their_return);
	TAP(what_a_promise_rests_on_is_not_to_be_set);
	TAP(a_commit_is_told_what_the_coordinator_says);
	TAP(a_member_that_the_group_has_forgotten_loses_its_partitions);
	TAP(a_member_that_the_group_has_forgotten_and_does_not_know_it_commits_no_offsets);
	TAP(an_assignment_that_was_cancelled_can_be_made_later);
	TAP(a_stream_ends_with_an_error_at_a_gap);
	TAP(what_a_person_can_mend_has_a_remedy);
	end_all();
	return tap_done();
}
