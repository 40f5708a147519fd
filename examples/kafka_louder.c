/* SPDX-License-Identifier: MIT */
/* kafka_louder.c - reads a topic and writes another, at least once: a message is finished only
 * when what comes of it is written. LADE_TEST_KAFKA says where a Kafka is. */
#include <lade/kafka.h>
#include <lade/lade.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static int louder(struct lade_kafka_producer *out, struct lade_kafka_message *m)
{
	char text[16];
	struct lade_kafka_record r = { .topic = "loud", .value = text, .value_len = m->value_len };
	int rc;

	for (size_t i = 0; i < m->value_len; i++)
		text[i] = (char)toupper(((const char *)m->value)[i]);
	rc = lade_kafka_send(out, &r, 1);
	if (rc < 0)
		return rc; /* not finished: it is read again */
	printf("%.*s\n", (int)r.value_len, text);
	lade_kafka_message_finish(m);
	return 0;
}

static int app(const char *brokers)
{
	const char *const topics[] = { "quiet", "loud" };
	const struct lade_kafka_consumer_config from = { brokers, topics, 1, .group = "louder" };
	const struct lade_kafka_producer_config into = { .brokers = brokers };
	struct lade_kafka_record words[] = { { "quiet", .value = "come", .value_len = 4 },
					     { "quiet", .value = "near", .value_len = 4 } };
	struct lade_kafka_message_stream *in = NULL;
	struct lade_kafka_consumer *c = NULL;
	struct lade_kafka_producer *p = NULL;
	struct lade_kafka_admin *admin = NULL;
	struct lade_kafka_message m;
	int rc = lade_kafka_admin_new(brokers, NULL, 0, &admin, NULL);

	for (int i = 0; rc == 0 && i < 2; i++)
		rc = lade_kafka_topic_create(admin, topics[i], 1, 1, NULL, 0, NULL);
	if (rc == 0 && (rc = lade_kafka_producer_new(&into, &p, NULL)) == 0)
		rc = lade_kafka_send(p, words, 2); /* many records, one wait */
	lade_scope(s, &rc) {
		if (rc == 0 && (rc = lade_kafka_consumer_new(&s, &from, &c, NULL)) == 0)
			in = lade_kafka_messages(c);
		for (int i = 0; i < 2 && rc >= 0; i++)
			if ((rc = lade_kafka_message_next(in, &m)) > 0)
				rc = louder(p, &m);
		lade_kafka_message_stream_close(in);
		lade_kafka_consumer_free(c); /* commits what is finished, and leaves the group */
	}
	lade_kafka_producer_free(p);
	lade_kafka_admin_free(admin);
	return rc;
}
LADE_TASK_VOID(app, (const char *, brokers))

int main(void) { return lade_main(lade_do(app, getenv("LADE_TEST_KAFKA"))); }
