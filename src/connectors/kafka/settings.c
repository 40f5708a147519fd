/* SPDX-License-Identifier: MIT */
/* settings.c - librdkafka's configuration: what is ours to say, and what is the program's.
 *
 * A setting on which a promise of kafka.h rests is refused with the reason: one that is quietly
 * overruled would be worse than none. */

#include "connectors/kafka/kafka_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CONSUMER 1
#define PRODUCER 2
#define BOTH 3

/* What is not the program's to set, and why. */
static const struct {
	const char *name;
	int of; /* CONSUMER, PRODUCER */
	const char *why;
} refused[] = {
	{ "bootstrap.servers", BOTH, "the brokers have an option of their own" },
	{ "metadata.broker.list", BOTH, "the brokers have an option of their own" },
	{ "client.id", BOTH, "the client's name has an option of its own" },
	{ "log.queue", BOTH, "nobody would read that queue" },
	{ "enable.sasl.oauthbearer.unsecure.jwt", BOTH, "such tokens prove nothing" },
	{ "group.id", CONSUMER, "the group has an option of its own" },
	{ "group.instance.id", CONSUMER, "the instance has an option of its own" },
	{ "enable.auto.commit", CONSUMER, "only what is finished may be committed" },
	{ "auto.commit.enable", CONSUMER, "only what is finished may be committed" },
	{ "enable.auto.offset.store", CONSUMER, "only what is finished may be committed" },
	{ "offset.store.method", CONSUMER, "only what is finished may be committed" },
	{ "auto.offset.reset", CONSUMER,
	  "a position outside the log must be told, never jumped over" },
	{ "isolation.level", CONSUMER, "messages of aborted transactions must not be read" },
	{ "partition.assignment.strategy", CONSUMER,
	  "events are for partitions that come and go one by one" },
	{ "group.protocol", CONSUMER, "events are for partitions that come and go one by one" },
	{ "enable.partition.eof", CONSUMER, "the end of a partition has an option of its own" },
	{ "queued.max.messages.kbytes", CONSUMER, "the queue has an option of its own" },
	{ "fetch.queue.backoff.ms", CONSUMER, "it is set where librdkafka knows it" },
	{ "acks", PRODUCER, "a record counts as written when all in-sync replicas have it" },
	{ "request.required.acks", PRODUCER,
	  "a record counts as written when all in-sync replicas have it" },
	{ "enable.idempotence", PRODUCER, "records are written once and in order" },
	{ "enable.gapless.guarantee", PRODUCER, "records are written once and in order" },
	{ "max.in.flight.requests.per.connection", PRODUCER,
	  "records are written once and in order" },
	{ "max.in.flight", PRODUCER, "records are written once and in order" },
	{ "retries", PRODUCER, "it goes on trying until it is told otherwise" },
	{ "message.send.max.retries", PRODUCER, "it goes on trying until it is told otherwise" },
	{ "message.timeout.ms", PRODUCER, "it goes on trying until it is told otherwise" },
	{ "delivery.timeout.ms", PRODUCER, "it goes on trying until it is told otherwise" },
	{ "partitioner", PRODUCER, "a key must find the partition that Java's clients choose" },
	{ "delivery.report.only.error", PRODUCER, "each record gets its verdict" },
	{ "transactional.id", PRODUCER, "transactions have an option of their own" },
	{ "transaction.timeout.ms", PRODUCER, "transactions have an option of their own" },
	{ "linger.ms", PRODUCER, "lingering has an option of its own" },
	{ "queue.buffering.max.ms", PRODUCER, "lingering has an option of its own" },
	{ "compression.codec", PRODUCER, "compression has an option of its own" },
	{ "compression.type", PRODUCER, "compression has an option of its own" },
	{ "message.max.bytes", PRODUCER, "the size of a record has an option of its own" },
	{ "queue.buffering.max.kbytes", PRODUCER, "the queue has an option of its own" },
};

static const char *why_refused(bool consumer, const char *name)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
		if ((refused[i].of & (consumer ? CONSUMER : PRODUCER)) &&
		    strcmp(refused[i].name, name) == 0)
			return refused[i].why;
	return NULL;
}

int lade_kafka_setting_check(bool consumer, const struct lade_kafka_setting *setting,
			     const char **ret_why)
{
	const char *why = why_refused(consumer, setting->name);
	rd_kafka_conf_t *conf;
	rd_kafka_conf_res_t res;
	char text[8];

	if (why) {
		*ret_why = why;
		return -EPERM;
	}
	conf = rd_kafka_conf_new();
	res = rd_kafka_conf_set(conf, setting->name, setting->value, text, sizeof(text));
	rd_kafka_conf_destroy(conf);
	if (res == RD_KAFKA_CONF_OK)
		return 0;
	*ret_why = res == RD_KAFKA_CONF_UNKNOWN ? "librdkafka does not know it"
						: "librdkafka does not take this value";
	return res == RD_KAFKA_CONF_UNKNOWN ? -ENOENT : -EINVAL;
}

/* librdkafka would write to stderr; what matters of it comes as an event. */
static void no_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	(void)rk;
	(void)level;
	(void)facility;
	(void)text;
}

void lade_kafka_conf_open(struct lade_kafka_conf *c, const char *brokers, const char *client,
			  struct lade_kafka_error *error)
{
	*c = (struct lade_kafka_conf){ .conf = rd_kafka_conf_new(), .error = error };
	rd_kafka_conf_set_log_cb(c->conf, no_log);
	lade_kafka_conf_set(c, "bootstrap.servers", brokers);
	lade_kafka_conf_set(c, "client.id", client ? client : "lade");
	lade_kafka_conf_set(c, "socket.nagle.disable", "true");
	lade_kafka_conf_set(c, "socket.keepalive.enable", "true");
}

void lade_kafka_conf_set(struct lade_kafka_conf *c, const char *name, const char *value)
{
	char text[256] = "";

	if (c->rc < 0)
		return;
	if (!value)
		snprintf(text, sizeof(text), "it has no value");
	else if (rd_kafka_conf_set(c->conf, name, value, text, sizeof(text)) == RD_KAFKA_CONF_OK)
		return;
	(void)lade_kafka_fail_as(c->error, LADE_KAFKA_OWN, 0, "%.100s: %.200s", name, text);
	c->rc = -EINVAL;
}

void lade_kafka_conf_set_number(struct lade_kafka_conf *c, const char *name, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	lade_kafka_conf_set(c, name, text);
}

void lade_kafka_conf_set_all(struct lade_kafka_conf *c, bool consumer,
			     const struct lade_kafka_setting *settings, size_t n)
{
	for (size_t i = 0; i < n && c->rc == 0; i++) {
		const char *why = why_refused(consumer, settings[i].name);

		if (!why) {
			lade_kafka_conf_set(c, settings[i].name, settings[i].value);
			continue;
		}
		(void)lade_kafka_fail_as(c->error, LADE_KAFKA_OWN, 0,
					 "%.100s is not to be set: %s", settings[i].name, why);
		c->rc = -EINVAL;
	}
}

int lade_kafka_conf_make(struct lade_kafka_conf *c, rd_kafka_type_t type, rd_kafka_t **ret)
{
	char text[256] = "";
	rd_kafka_t *rk = NULL;

	if (c->rc == 0) {
		rk = rd_kafka_new(type, c->conf, text, sizeof(text));
		if (!rk) {
			(void)lade_kafka_fail_as(c->error, LADE_KAFKA_OWN, 0, "%.250s", text);
			c->rc = -EINVAL;
		}
	}
	if (!rk)
		rd_kafka_conf_destroy(c->conf);
	c->conf = NULL;
	if (c->rc == 0)
		*ret = rk;
	return c->rc;
}
