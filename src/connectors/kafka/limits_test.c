/* SPDX-License-Identifier: MIT */
/* limits_test.c - the limits of consumers and producers, on simulated brokers. */

#include "connectors/kafka/producer_priv.h"

#include "mock_brokers.h"

#define MANY 40000

ON_LOOP(a_held_partition_is_fetched_up_to_its_queue_and_no_further)
{
	/* A fetch gives whole batches, so they have to be small. */
	const struct lade_kafka_setting small = { "batch.num.messages", "50" };
	struct lade_kafka_record *r = calloc(MANY, sizeof(*r));
	struct lade_kafka_producer *p = producer_with(
		&(struct lade_kafka_producer_config){ .settings = &small, .n_settings = 1 });
	int rc = 0;

	begin();
	for (int i = 0; i < MANY; i++)
		r[i] = (struct lade_kafka_record){ .topic = topic,
						   .partition = i % PARTITIONS,
						   .value = "12345",
						   .value_len = 5 };
	CHECK_EQ(lade_kafka_send(p, r, MANY), 0);
	lade_kafka_producer_free(p);
	free(r);
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
