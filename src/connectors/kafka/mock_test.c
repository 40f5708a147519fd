/* SPDX-License-Identifier: MIT */
/* mock_test.c - consumers and producers against the brokers that librdkafka simulates.
 *
 * They prove errors, back-pressure and cancels. What a broker must prove is broker_test's. */

#include "connectors/kafka/kafka_priv.h"

#include "brokers.h"

#include <librdkafka/rdkafka_mock.h>

/* The brokers of a test. */
static rd_kafka_t *owner;
static rd_kafka_mock_cluster_t *mock;
static int topics; /* made so far */

static void begin(void)
{
	snprintf(topic, sizeof(topic), "t%d", ++topics);
	CHECK_EQ(rd_kafka_mock_topic_create(mock, topic, PARTITIONS, 1), 0);
}

static void begin_all(void)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char text[256];

	rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
	owner = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	NEED_EQ(!owner, 0);
	mock = rd_kafka_mock_cluster_new(owner, 1);
	NEED_EQ(!mock, 0);
	brokers = rd_kafka_mock_cluster_bootstraps(mock);
}

static void end_all(void)
{
	rd_kafka_mock_cluster_destroy(mock);
	rd_kafka_destroy(owner);
}

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


ON_LOOP(a_held_partition_is_fetched_up_to_its_queue_and_no_further)
{
	int rc = 0;

	begin();
	write_numbers(0, 40000);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer_with(
			&s, &(struct lade_kafka_consumer_config){ .queue_bytes = 16384 });
		struct lade_kafka_item item;
		size_t len = 0, before;

		NEED_EQ(next_of(c, LADE_KAFKA_ASSIGNED, &item), 0);
		for (size_t i = 0; i < item.n_partitions; i++)
			lade_kafka_hold(item.partitions[i], true);
		NEED_EQ(lade_kafka_assign(c, NULL), 0);
		do {
			before = len;
			(void)!lade_sleep(lade_ms(300));
			len = rd_kafka_queue_length(c->list[0]->queue);
		} while (len == 0 || len != before);
		/* A fetch of 16 KiB at most, and what is there before: a record has five bytes. */
		CHECK(len > 1000);
		CHECK(len < 8000);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
}

static int64_t others; /* turns of somebody else */

static int turn(void)
{
	int rc;

	while ((rc = lade_yield()) == 0)
		others++;
	return rc;
}
LADE_TASK_VOID(turn)

ON_LOOP(partitions_take_turns_and_so_do_other_tasks)
{
	struct turn_task other = turn_task();
	int rc = 0;

	begin();
	write_numbers(0, 8000);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		struct lade_kafka_consumer *c = consumer_with(
			&s, &(struct lade_kafka_consumer_config){ .ends = false });
		struct lade_kafka_partition *last = NULL;
		struct lade_kafka_item item;
		int in_row = 0, longest = 0, read = 0;

		join_group(c);
		for (size_t i = 0; i < c->n; i++)
			while (rd_kafka_queue_length(c->list[i]->queue) < 2000)
				(void)!lade_sleep(lade_ms(2));
		lade_start(&s, &other);
		(void)!lade_yield();
		others = 0;
		while (read < 1000 && next_any(c, &item) == 0) {
			if (item.kind != LADE_KAFKA_MESSAGE)
				continue;
			in_row = item.message.partition == last ? in_row + 1 : 1;
			longest = in_row > longest ? in_row : longest;
			last = item.message.partition;
			lade_kafka_message_free(&item.message);
			read++;
		}
		CHECK_EQ(longest, BURST_MAX);
		CHECK(others >= 1000 / INLINE_MAX);
		lade_cancel(&other);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
}

ON_LOOP(a_stream_has_at_most_65536_messages_of_a_partition_out)
{
	const int64_t many = TICKETS_MAX + 10;
	struct lade_kafka_record *r = calloc((size_t)many, sizeof(*r));
	struct lade_kafka_message *kept = calloc(TICKETS_MAX, sizeof(*kept)), m;
	struct lade_kafka_producer *p;
	int rc = 0, n = 0;

	begin();
	p = producer();
	for (int i = 0; i < many; i++)
		r[i] = (struct lade_kafka_record){ .topic = topic, .value = "x", .value_len = 1 };
	CHECK_EQ(lade_kafka_send(p, r, (size_t)many), 0);
	lade_kafka_producer_free(p);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);
		struct lade_kafka_message_stream *in = lade_kafka_messages(c);

		while (n < TICKETS_MAX &&
		       lade_within(lade_s(30), lade_kafka_message_next(in, &kept[n])) == 1)
			n++;
		CHECK_EQ(n, TICKETS_MAX);
		CHECK_EQ(lade_within(lade_ms(50), lade_kafka_message_next(in, &m)), -ETIME);
		lade_kafka_message_finish(&kept[1]);
		CHECK_EQ(lade_within(lade_ms(50), lade_kafka_message_next(in, &m)), -ETIME);
		lade_kafka_message_finish(&kept[0]);
		for (int i = 0; i < 2; i++) {
			CHECK_EQ(lade_within(lade_s(30), lade_kafka_message_next(in, &m)), 1);
			CHECK_EQ(m.offset, TICKETS_MAX + i);
			lade_kafka_message_finish(&m);
		}
		CHECK_EQ(lade_within(lade_ms(50), lade_kafka_message_next(in, &m)), -ETIME);
		for (int i = 0; i < n; i++)
			lade_kafka_message_finish(&kept[i]);
		lade_kafka_message_stream_close(in);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
	free(kept);
	free(r);
}

ON_LOOP(events_that_nobody_takes_and_troubles_have_their_limits)
{
	int rc = 0;

	begin();
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);
		struct lade_kafka_item item;
		int told = 0;

		for (int code = 1; code <= TROUBLES_MAX + 4; code++)
			for (int i = 0; i < 2; i++)
				lade_kafka_trouble(c, code, topic, "a trouble");
		CHECK_EQ(c->n_events, TROUBLES_MAX);
		for (int i = 0; i < 2 * EVENTS_MAX; i++) {
			c->down = true;
			lade_kafka_recovered(c);
		}
		CHECK_EQ(c->n_events, EVENTS_MAX);
		while (lade_kafka_try_next(c, &item) == 0 && item.kind != LADE_KAFKA_ASSIGNED)
			told++;
		CHECK_EQ(told, EVENTS_MAX);
		/* It works as before. */
		CHECK_EQ(join_group(c), PARTITIONS);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
}

ON_LOOP(a_record_has_at_most_256_headers)
{
	static struct lade_kafka_header headers[257];
	struct lade_kafka_record r = { .topic = topic, .headers = headers, .n_headers = 257 };
	struct lade_kafka_producer *p;

	begin();
	for (int i = 0; i < 257; i++)
		headers[i] = (struct lade_kafka_header){ "h", "v", 1 };
	p = producer();
	CHECK_EQ(lade_kafka_send(p, &r, 1), -EBADMSG);
	r.n_headers = 256;
	CHECK_EQ(lade_kafka_send(p, &r, 1), 0);
	lade_kafka_producer_free(p);
}

ON_LOOP(a_producer_writes_to_more_topics_than_it_remembers)
{
	struct lade_kafka_record r[80];
	char names[80][32];
	struct lade_kafka_producer *p = producer();

	for (int i = 0; i < 80; i++) {
		snprintf(names[i], sizeof(names[i]), "many-%d", i);
		CHECK_EQ(rd_kafka_mock_topic_create(mock, names[i], 1, 1), 0);
		r[i] = (struct lade_kafka_record){ .topic = names[i] };
	}
	CHECK_EQ(lade_kafka_send(p, r, 80), 0);
	CHECK_EQ(lade_kafka_send(p, r, 80), 0);
	CHECK_EQ(r[0].offset, 1);
	CHECK_EQ(r[79].offset, 1);
	lade_kafka_producer_free(p);
}

/* What a task that is cancelled gives back. */
struct closing {
	struct lade_kafka_consumer *consumer;
	struct lade_kafka_producer *producer;
};

static void close_both(void *arg)
{
	struct closing *c = arg;

	/* The budget of the cleanup is gone then. */
	CHECK_EQ(lade_sleep(lade_s(3600)), -ECANCELED);
	c->consumer = lade_kafka_consumer_free(c->consumer);
	c->producer = lade_kafka_producer_free(c->producer);
}

static int closes_late(struct closing *c)
{
	lade_defer(close_both, c);

	return lade_sleep(lade_s(3600));
}
LADE_TASK_VOID(closes_late, (struct closing *, c))

ON_LOOP(when_the_cleanup_budget_is_gone_they_still_close)
{
	struct closing c = { NULL, NULL };
	struct closes_late_task t = closes_late_task(&c);
	int rc = 0;

	begin();
	lade_scope(outer, &rc) {
		c.consumer = consumer(&outer);
		c.producer = producer();
		join_group(c.consumer);
		lade_scope(s, &rc, .policy = LADE_ALL, .cleanup = lade_ms(5)) {
			lade_start(&s, &t);
			CHECK_EQ(lade_within(lade_ms(50), lade_wait(&t)), -ETIME);
			lade_cancel(&t);
		}
	}
	CHECK(!c.consumer);
	CHECK(!c.producer);
	CHECK_EQ(lade_status(&t), -ECANCELED);
	CHECK_EQ(rc, 0);
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
	TAP(a_send_that_is_cancelled_says_that_it_may_happen);
	TAP(a_full_queue_is_waited_for);
	TAP(brokers_that_are_down_are_told_once_and_so_is_their_return);
	TAP(what_a_promise_rests_on_is_not_to_be_set);
	TAP(a_commit_is_told_what_the_coordinator_says);
	TAP(a_held_partition_is_fetched_up_to_its_queue_and_no_further);
	TAP(partitions_take_turns_and_so_do_other_tasks);
	TAP(a_stream_has_at_most_65536_messages_of_a_partition_out);
	TAP(events_that_nobody_takes_and_troubles_have_their_limits);
	TAP(a_record_has_at_most_256_headers);
	TAP(a_producer_writes_to_more_topics_than_it_remembers);
	TAP(when_the_cleanup_budget_is_gone_they_still_close);
	end_all();
	return tap_done();
}
