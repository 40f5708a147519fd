/* SPDX-License-Identifier: MIT */
/* broker_test.c - what a broker must prove: groups, offsets, transactions, retention.
 *
 * LADE_TEST_KAFKA names it, "host:port"; tests/components/with.py starts one. */

#include "connectors/kafka/kafka_priv.h"

#include "brokers.h"

#include <time.h>

static struct lade_kafka_admin *admin; /* of the running test */

/* Begins a test with a topic of its own. */
static void begin_with(const struct lade_kafka_setting *settings, size_t n)
{
	static int topics;
	struct lade_kafka_error error = { .text = "" };
	int rc;

	snprintf(topic, sizeof(topic), "t%d-%lld-%d", getpid(), (long long)time(NULL), ++topics);
	NEED_EQ(lade_kafka_admin_new(brokers, NULL, 0, &admin, &error), 0);
	rc = lade_kafka_topic_create(admin, topic, PARTITIONS, 1, settings, n, &error);
	if (rc < 0)
		printf("# %s\n", error.text);
	NEED_EQ(rc, 0);
}

static void begin(void)
{
	begin_with(NULL, 0);
}

static void end(void)
{
	admin = lade_kafka_admin_free(admin);
}

ON_LOOP(a_group_goes_on_where_it_has_committed)
{
	int rc = 0;

	begin();
	write_numbers(0, 40);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);
		struct lade_kafka_position positions[PARTITIONS];
		int64_t committed[PARTITIONS];
		struct lade_kafka_partition *parts[PARTITIONS];
		struct lade_kafka_item item;

		NEED_EQ(next_of(c, LADE_KAFKA_ASSIGNED, &item), 0);
		for (size_t i = 0; i < item.n_partitions; i++) {
			parts[i] = item.partitions[i];
			CHECK_EQ(lade_kafka_partition_self(parts[i]), 0);
			positions[i] = (struct lade_kafka_position){ parts[i], 5 };
		}
		NEED_EQ(lade_kafka_assign(c, NULL), 0);
		CHECK(lade_kafka_partition_fresh(parts[0]));
		CHECK_EQ(lade_kafka_partition_start(parts[0]), 0);
		read_numbers(c, 40);
		CHECK_EQ(lade_kafka_partition_high(parts[0]), 10);
		CHECK_EQ(lade_kafka_commit(c, positions, PARTITIONS, NULL), 0);
		CHECK_EQ(lade_kafka_committed(c, parts, PARTITIONS, committed, NULL), 0);
		CHECK_EQ(committed[3], 5);
		lade_kafka_consumer_free(c);

		c = consumer(&s);
		join_group(c);
		/* 0 to 19 were five in each partition. */
		CHECK_EQ(read_numbers(c, 20), sum_to(40) - sum_to(20));
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
	end();
}


ON_LOOP(messages_that_are_finished_without_a_gap_are_committed)
{
	int rc = 0;

	begin();
	write_numbers(0, 40);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);
		struct lade_kafka_message_stream *in = lade_kafka_messages(c);
		struct lade_kafka_message kept[10];
		int n = 0;

		for (int i = 0; i < 40; i++) {
			struct lade_kafka_message m;

			NEED_EQ(lade_within(lade_s(30), lade_kafka_message_next(in, &m)), 1);
			if (lade_kafka_partition_number(m.partition) == 2)
				kept[n++] = m;
			else
				lade_kafka_message_finish(&m);
		}
		CHECK_EQ(n, 10);
		/* All but the third, the last one first. */
		for (int i = 9; i >= 0; i--) {
			if (i == 2)
				lade_kafka_message_free(&kept[i]);
			else
				lade_kafka_message_finish(&kept[i]);
		}
		lade_kafka_message_stream_close(in);
		lade_kafka_consumer_free(c);

		c = consumer(&s);
		join_group(c);
		for (int i = 2; i < 10; i++) {
			struct lade_kafka_item item;

			NEED_EQ(next_of(c, LADE_KAFKA_MESSAGE, &item), 0);
			CHECK_EQ(lade_kafka_partition_number(item.message.partition), 2);
			CHECK_EQ(item.message.offset, i);
			lade_kafka_message_free(&item.message);
		}
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
	end();
}


int main(void)
{
	brokers = getenv("LADE_TEST_KAFKA");
	if (!brokers || !*brokers) {
		printf("1..0 # SKIP LADE_TEST_KAFKA names no broker\n");
		return 0;
	}
	TAP(a_group_goes_on_where_it_has_committed);
	TAP(messages_that_are_finished_without_a_gap_are_committed);
	return tap_done();
}
