/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_SOURCE_KAFKA_H
#define LADE_PIPELINE_SOURCE_KAFKA_H

/* source_kafka.h - what a transaction needs to know of the source that it commits offsets of. */

#include <lade/kafka.h>

#include "services/pipeline/engine.h"

/* lade_pipe_kafka_consumer - the consumer of a running pipeline that reads Kafka. */
struct lade_kafka_consumer *lade_pipe_kafka_consumer(struct lade_pipe_engine *engine);

/* lade_pipe_kafka_partition - the partition that a lane of that source is; NULL: it is not ours
 * any more. */
struct lade_kafka_partition *lade_pipe_kafka_partition(const struct lade_pipe_lane *lane);

/* lade_pipe_kafka_settings - the settings that a map of the configuration has, into room for as
 * many as the table allows.  Returns their number. */
size_t lade_pipe_kafka_settings(const struct lade_pipe_map *map, struct lade_kafka_setting *ret);

/* lade_pipe_kafka_say - a failure in a line: at which brokers or topic, what to look at, and behind
 * that librdkafka's own words, @text or those of the code.  Returns @ret. */
const char *lade_pipe_kafka_say(const char *where, int code, const char *text, char ret[256]);

#endif
