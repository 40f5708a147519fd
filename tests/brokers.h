/* SPDX-License-Identifier: MIT */
#ifndef LADE_TESTS_BROKERS_H
#define LADE_TESTS_BROKERS_H

/* brokers.h - consumers and producers for the tests of lade-kafka, on whatever brokers. */

#include <lade/join.h>
#include <lade/kafka.h>
#include <lade/scope.h>

#include "backend.h"

#include <errno.h>

#define PARTITIONS 4 /* of a test's topic */

static const char *brokers; /* where to connect */
static char topic[64];	    /* the test's own */

/* A test whose body is the root task of a loop. */
#define ON_LOOP(name)                                                                      \
	static void name##_body(void);                                                     \
	static void name(void)                                                             \
	{                                                                                  \
		run_on(NULL, name##_body);                                                 \
	}                                                                                  \
	static void name##_body(void)

static inline struct lade_kafka_producer *
producer_with(const struct lade_kafka_producer_config *from)
{
	struct lade_kafka_producer_config config = *from;
	struct lade_kafka_producer *p = NULL;
	struct lade_kafka_error error = { .text = "" };
	int rc;

	config.brokers = brokers;
	rc = lade_kafka_producer_new(&config, &p, &error);
	if (rc < 0)
		printf("# %s\n", error.text);
	NEED_EQ(rc, 0);
	return p;
}

static inline struct lade_kafka_producer *producer(void)
{
	return producer_with(&(struct lade_kafka_producer_config){ .linger_ns = 1000000 });
}

/* Writes @n records, the numbers from @from, into all partitions in turn. */
static inline void write_numbers(int from, int n)
{
	struct lade_kafka_record *records = calloc((size_t)n, sizeof(*records));
	char (*values)[16] = calloc((size_t)n, sizeof(*values));
	struct lade_kafka_producer *p = producer();

	for (int i = 0; i < n; i++) {
		snprintf(values[i], sizeof(values[i]), "%d", from + i);
		records[i] = (struct lade_kafka_record){ .topic = topic,
							 .partition = (from + i) % PARTITIONS,
							 .value = values[i],
							 .value_len = strlen(values[i]) };
	}
	CHECK_EQ(lade_kafka_send(p, records, (size_t)n), 0);
	lade_kafka_producer_free(p);
	free(records);
	free(values);
}

static const char *topic_list[1];

static inline struct lade_kafka_consumer *consumer_with(struct lade_scope *scope,
						 const struct lade_kafka_consumer_config *from)
{
	struct lade_kafka_consumer_config config = *from;
	struct lade_kafka_consumer *c = NULL;
	struct lade_kafka_error error = { .text = "" };
	int rc;

	topic_list[0] = topic;
	config.brokers = config.brokers ? config.brokers : brokers;
	config.topics = topic_list;
	config.n_topics = 1;
	config.group = config.group ? config.group : topic;
	rc = lade_kafka_consumer_new(scope, &config, &c, &error);
	if (rc < 0)
		printf("# %s\n", error.text);
	NEED_EQ(rc, 0);
	return c;
}

static inline struct lade_kafka_consumer *consumer(struct lade_scope *scope)
{
	return consumer_with(scope, &(struct lade_kafka_consumer_config){ .ends = true });
}

/* The next item, of any kind; a test that waits half a minute has failed. */
static inline int next_any(struct lade_kafka_consumer *c, struct lade_kafka_item *item)
{
	return lade_within(lade_s(30), lade_kafka_next(c, item));
}

/* The next item of that kind; messages on the way are freed, events answered. */
static inline int next_of(struct lade_kafka_consumer *c, enum lade_kafka_kind kind,
		   struct lade_kafka_item *item)
{
	int rc;

	while ((rc = next_any(c, item)) == 0 && item->kind != kind) {
		if (item->kind == LADE_KAFKA_MESSAGE)
			lade_kafka_message_free(&item->message);
		else if (item->kind == LADE_KAFKA_ASSIGNED)
			rc = lade_kafka_assign(c, NULL);
		else if (item->kind == LADE_KAFKA_REVOKED || item->kind == LADE_KAFKA_LOST)
			rc = lade_kafka_release(c);
		if (rc < 0)
			return rc;
	}
	return rc;
}

/* Joins, and has all partitions begin. */
static inline size_t join_group(struct lade_kafka_consumer *c)
{
	struct lade_kafka_item item;
	size_t n;

	NEED_EQ(next_of(c, LADE_KAFKA_ASSIGNED, &item), 0);
	n = item.n_partitions;
	NEED_EQ(lade_kafka_assign(c, NULL), 0);
	return n;
}

/* Reads @n numbers and checks that those of a partition come in order; their sum. */
static inline int64_t read_numbers(struct lade_kafka_consumer *c, int n)
{
	int64_t last[PARTITIONS] = { -1, -1, -1, -1 }, sum = 0;

	for (int i = 0; i < n; i++) {
		struct lade_kafka_item item;
		char text[16] = "";
		int number, part;

		NEED_EQ(next_of(c, LADE_KAFKA_MESSAGE, &item), 0);
		memcpy(text, item.message.value, item.message.value_len & 15);
		number = atoi(text);
		part = lade_kafka_partition_number(item.message.partition);
		CHECK_EQ(part, number % PARTITIONS);
		CHECK(number > last[part]);
		last[part] = number;
		sum += number;
		lade_kafka_message_free(&item.message);
	}
	return sum;
}

static inline int64_t sum_to(int64_t n)
{
	return n * (n - 1) / 2;
}

#endif
