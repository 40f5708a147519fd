/* SPDX-License-Identifier: MIT */
#ifndef LADE_TESTS_MOCK_BROKERS_H
#define LADE_TESTS_MOCK_BROKERS_H

/* mock_brokers.h - the brokers that librdkafka simulates, for the tests of lade-kafka.
 *
 * They take three seconds for a group to be joined, and let nobody join it again who has left. */

#include "brokers.h"

#include <librdkafka/rdkafka_mock.h>

/* The brokers of a test. */
static rd_kafka_t *owner;
static rd_kafka_mock_cluster_t *mock;
static int topics; /* made so far */

static inline void begin(void)
{
	snprintf(topic, sizeof(topic), "t%d", ++topics);
	CHECK_EQ(rd_kafka_mock_topic_create(mock, topic, PARTITIONS, 1), 0);
}

static inline void begin_all(void)
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

static inline void end_all(void)
{
	rd_kafka_mock_cluster_destroy(mock);
	rd_kafka_destroy(owner);
}

#endif
