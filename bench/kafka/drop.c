/* SPDX-License-Identifier: MIT */
/* drop.c - reads a topic with lade-kafka, in batches, parses each message, sums its fields, and
 * that is all: what the peer's program does with the same topic.
 *
 * usage: drop SERVERS TOPIC GROUP COUNT */

#include <lade/json.h>
#include <lade/kafka.h>
#include <lade/lade.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = { ".seq", ".producer", ".date", ".delay", ".distance",
				     ".origin", ".destination", ".pad" };
#define FIELDS (sizeof(names) / sizeof(*names))

typedef char **args_ptr;

struct sums {
	struct lade_json_paths *paths;
	struct lade_json_reader *reader;
	uint64_t seen, sum;
};

static int add(struct sums *s, const struct lade_kafka_message *m)
{
	struct lade_json_span at[FIELDS];
	struct lade_json_error error;
	int rc = lade_json_read(s->reader, s->paths, m->value, m->value_len, 0, at, &error);

	for (size_t i = 0; rc == 0 && i < FIELDS; i++) {
		struct lade_want want = { i < 2 || i == 3 || i == 4 ? LADE_INTEGER : LADE_TEXT,
					  true };
		struct lade_datum d;
		char room[256];

		if (!at[i].len)
			continue;
		rc = lade_json_convert(m->value, at[i], want, room, sizeof(room), &d, &error);
		if (d.type != LADE_NULL)
			s->sum += d.type == LADE_INTEGER ? (uint64_t)d.integer : d.len;
	}
	if (rc < 0)
		fprintf(stderr, "drop: %s\n", error.reason);
	return rc;
}

static int read_all(struct sums *s, struct lade_kafka_message_stream *stream, uint64_t count)
{
	struct lade_kafka_message_batch batch;
	struct lade_kafka_message_batches *batches;
	int rc = 0;

	lade_scope(scope, &rc) {
		batches = lade_kafka_message_batch(&scope, stream,
						   (struct lade_batch_config){
							   .max_items = 500,
							   .linger = lade_ms(50),
							   .ahead = 2 });
		while (s->seen < count &&
		       (rc = lade_kafka_message_batch_next(batches, &batch)) > 0) {
			rc = 0;
			for (size_t i = 0; rc == 0 && i < batch.len; i++)
				rc = add(s, &batch.items[i]);
			s->seen += batch.len;
			if (rc < 0)
				break;
		}
		lade_kafka_message_batches_close(batches);
	}
	return rc;
}

static int run(args_ptr argv)
{
	const char *topic = argv[2];
	struct lade_kafka_consumer_config config = {
		.brokers = argv[1], .topics = &topic, .n_topics = 1, .group = argv[3]
	};
	struct lade_kafka_consumer *consumer;
	struct lade_kafka_error error;
	struct sums s = { .paths = lade_json_paths_new() };
	struct lade_json_error wrong;
	unsigned slot;
	int rc = lade_json_reader_new(&s.reader);

	for (size_t i = 0; rc == 0 && i < FIELDS; i++)
		rc = lade_json_paths_add(s.paths, names[i], strlen(names[i]), &slot, &wrong);
	lade_scope(scope, &rc) {
		rc = lade_kafka_consumer_new(&scope, &config, &consumer, &error);
		if (rc == 0) {
			rc = read_all(&s, lade_kafka_messages(consumer),
				      strtoull(argv[4], NULL, 10));
			lade_kafka_consumer_free(consumer);
		} else {
			fprintf(stderr, "drop: %s\n", error.text);
		}
	}
	printf("%" PRIu64 "\t%" PRIu64 "\n", s.seen, s.sum);
	lade_json_reader_free(s.reader);
	lade_json_paths_free(s.paths);
	return rc;
}

LADE_TASK_VOID(run, (args_ptr, argv))

int main(int argc, char **argv)
{
	if (argc == 5)
		return lade_main(lade_do(run, argv));
	fprintf(stderr, "usage: drop SERVERS TOPIC GROUP COUNT\n");
	return 2;
}
