/* SPDX-License-Identifier: MIT */
#ifndef LADE_KAFKA_PRODUCER_PRIV_H
#define LADE_KAFKA_PRODUCER_PRIV_H

/* producer_priv.h - a producer, as its transactions see it. */

#include "connectors/kafka/kafka_priv.h"

#define TOPICS_MAX 64 /* that a producer remembers */

/* A topic that was written to. */
struct lade_kafka_known {
	char *name; /* NULL: none */
	rd_kafka_topic_t *topic;
};

struct lade_kafka_producer {
	struct lade_kafka_client client;
	struct lade_kafka_known topics[TOPICS_MAX];
	unsigned last_topic;	       /* the place of the one used last */
	unsigned next_topic;	       /* the one to replace, counted on */
	uint32_t turn;		       /* of the partitions, for records without a key */
	size_t turn_bytes;	       /* that have gone there */
	struct lade_link room_waits;   /* tasks that wait for room, oldest first */
	struct lade_kafka_error error; /* the latest trouble */
	bool transactional;
	bool useless;		       /* after a fatal error */
	bool busy;		       /* a call of a transaction is under way */
};

#endif
