/* SPDX-License-Identifier: MIT */
/* read.c - reading a topic: with lade-kafka, and with librdkafka's own event loop.
 *
 * usage: kafka_read BROKERS TOPIC fill COUNT
 *        kafka_read BROKERS TOPIC lade|stream|bare COUNT [NS [QUEUE_KIB]]
 *
 * fill makes the topic, of six partitions, and writes COUNT messages of 200 bytes, lz4. The others
 * read COUNT of them, from the oldest on, spend NS on each, with QUEUE_KIB per partition fetched
 * ahead (1024), and say what that took: of the whole process, and of the thread that reads. */

#include <lade/join.h>
#include <lade/kafka.h>
#include <lade/main.h>

#include <errno.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BYTES 200
#define FLIGHT 5000 /* records of one send */

struct work {
	const char *brokers, *topic;
	int64_t count;
	int64_t each_ns; /* to spend on a message */
	int64_t queue_kib;
	int64_t bytes;	 /* that were read */
	int64_t began_ns;
	int64_t ready_ns;  /* a slow one: since when it has waited for a message */
	int64_t waited_ns; /* in all, but for waits of less than a millisecond */
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static double cpu_us(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* What a consumer does with a message. */
static void spend(struct work *w, const void *value, size_t len)
{
	if (!w->began_ns)
		w->began_ns = now_ns();
	w->bytes += value ? (int64_t)len : 0;
	if (w->each_ns) {
		int64_t now = now_ns(), until = now + w->each_ns;

		if (w->ready_ns && now - w->ready_ns > 1000000)
			w->waited_ns += now - w->ready_ns;
		while ((w->ready_ns = now_ns()) < until)
			;
	}
}

static int report(const char *how, const struct work *w)
{
	double count = (double)w->count, s = (double)(now_ns() - w->began_ns) / 1e9;
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	printf("%s: %.0f messages/s, %.3f us CPU a message, %.3f of the reading thread, %ld MiB, "
	       "%.0f %% of the time waiting\n",
	       how, count / s, cpu_us(RUSAGE_SELF) / count, cpu_us(RUSAGE_THREAD) / count,
	       u.ru_maxrss / 1024, (double)w->waited_ns / 1e7 / s);
	return w->bytes == w->count * BYTES ? 0 : -EIO;
}

static void group_name(char group[32])
{
	snprintf(group, 32, "read-%d", getpid());
}

static int fill(struct work *w)
{
	static char values[FLIGHT][BYTES];
	static struct lade_kafka_record records[FLIGHT];
	struct lade_kafka_error error = { .text = "" };
	struct lade_kafka_producer *p = NULL;
	struct lade_kafka_admin *admin = NULL;
	int rc = lade_kafka_admin_new(w->brokers, NULL, 0, &admin, &error);

	if (rc == 0)
		rc = lade_kafka_topic_create(admin, w->topic, 6, 1, NULL, 0, &error);
	if (rc == 0)
		rc = lade_kafka_producer_new(
			&(struct lade_kafka_producer_config){ .brokers = w->brokers,
							      .compression = "lz4" },
			&p, &error);
	for (int64_t at = 0; at < w->count && rc == 0; at += FLIGHT) {
		for (int i = 0; i < FLIGHT; i++) {
			memset(values[i], 'a' + i % 26, BYTES);
			snprintf(values[i], BYTES, "{\"k\": %" PRId64 ", \"r\": %d", at + i,
				 rand());
			records[i] = (struct lade_kafka_record){ .topic = w->topic,
								 .partition = (int)(i % 6),
								 .value = values[i],
								 .value_len = BYTES };
		}
		rc = lade_kafka_send(p, records, FLIGHT);
	}
	lade_kafka_producer_free(p);
	lade_kafka_admin_free(admin);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", strerror(-rc), error.text);
	return rc;
}
LADE_TASK_VOID(fill, (struct work *, w))

static int consumer(struct lade_scope *scope, const struct work *w,
		    struct lade_kafka_consumer **ret)
{
	const char *const topics[] = { w->topic };
	struct lade_kafka_error error;
	char group[32];
	int rc;

	group_name(group);
	rc = lade_kafka_consumer_new(scope,
				     &(struct lade_kafka_consumer_config){
					     .brokers = w->brokers,
					     .topics = topics,
					     .n_topics = 1,
					     .group = group,
					     .queue_bytes = (size_t)w->queue_kib * 1024 },
				     ret, &error);
	if (rc < 0)
		fprintf(stderr, "%s\n", error.text);
	return rc;
}

static int read_items(struct work *w)
{
	struct lade_kafka_consumer *c = NULL;
	int rc = 0;

	lade_scope(s, &rc) {
		int64_t n = 0;

		rc = consumer(&s, w, &c);
		while (rc == 0 && n < w->count) {
			struct lade_kafka_item item;

			rc = lade_kafka_next(c, &item);
			if (rc == 0 && item.kind == LADE_KAFKA_MESSAGE) {
				spend(w, item.message.value, item.message.value_len);
				lade_kafka_message_free(&item.message);
				n++;
			} else if (rc == 0 && item.kind == LADE_KAFKA_ASSIGNED) {
				rc = lade_kafka_assign(c, NULL);
			}
		}
		if (rc == 0)
			rc = report("lade", w);
		lade_kafka_consumer_free(c);
	}
	return rc;
}
LADE_TASK_VOID(read_items, (struct work *, w))

static int read_stream(struct work *w)
{
	struct lade_kafka_consumer *c = NULL;
	int rc = 0;

	lade_scope(s, &rc) {
		struct lade_kafka_message_stream *in;
		struct lade_kafka_message m;
		int64_t n = 0;

		rc = consumer(&s, w, &c);
		in = rc == 0 ? lade_kafka_messages(c) : NULL;
		for (; n < w->count && (rc = lade_kafka_message_next(in, &m)) > 0; n++) {
			spend(w, m.value, m.value_len);
			lade_kafka_message_finish(&m);
		}
		if (rc >= 0)
			rc = report("stream", w);
		lade_kafka_message_stream_close(in);
		lade_kafka_consumer_free(c);
	}
	return rc;
}
LADE_TASK_VOID(read_stream, (struct work *, w))

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char text[256];

	if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)))
		fprintf(stderr, "%s\n", text);
}

/* One thread, one queue, one message per event: the least that librdkafka's events can cost. */
static int read_bare(struct work *w)
{
	rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_queue_t *queue;
	char text[256], kib[24], group[32];
	int64_t n = 0;
	rd_kafka_t *rk;
	int rc;

	group_name(group);
	snprintf(kib, sizeof(kib), "%" PRId64, w->queue_kib);
	set(conf, "bootstrap.servers", w->brokers);
	set(conf, "group.id", group);
	set(conf, "auto.offset.reset", "earliest");
	set(conf, "enable.auto.commit", "false");
	set(conf, "enable.auto.offset.store", "false");
	set(conf, "queued.max.messages.kbytes", kib);
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
	if (!rk)
		return -EIO;
	rd_kafka_poll_set_consumer(rk);
	queue = rd_kafka_queue_get_consumer(rk);
	rd_kafka_topic_partition_list_add(topics, w->topic, -1);
	rd_kafka_subscribe(rk, topics);
	while (n < w->count) {
		rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 1000);
		const rd_kafka_message_t *m;

		if (event && rd_kafka_event_type(event) == RD_KAFKA_EVENT_FETCH &&
		    (m = rd_kafka_event_message_next(event)) && !m->err) {
			spend(w, m->payload, m->len);
			n++;
		}
		rd_kafka_event_destroy(event);
	}
	rc = report("bare", w);
	rd_kafka_queue_destroy(queue);
	rd_kafka_topic_partition_list_destroy(topics);
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	return rc;
}

int main(int argc, char **argv)
{
	struct work w = { .queue_kib = 1024 };

	if (argc < 5) {
		fprintf(stderr, "usage: %s BROKERS TOPIC fill|lade|stream|bare COUNT [NS [KIB]]\n",
			argv[0]);
		return 2;
	}
	w.brokers = argv[1];
	w.topic = argv[2];
	w.count = atoll(argv[4]);
	w.each_ns = argc > 5 ? atoll(argv[5]) : 0;
	w.queue_kib = argc > 6 ? atoll(argv[6]) : w.queue_kib;
	if (strcmp(argv[3], "fill") == 0)
		return lade_main(lade_do(fill, &w));
	if (strcmp(argv[3], "lade") == 0)
		return lade_main(lade_do(read_items, &w));
	if (strcmp(argv[3], "stream") == 0)
		return lade_main(lade_do(read_stream, &w));
	return read_bare(&w) < 0;
}
