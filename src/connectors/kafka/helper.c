/* SPDX-License-Identifier: MIT */
/* helper.c - a consumer's daemon task: it asks the brokers what must be asked meanwhile.
 *
 * DESIGN
 * The kick: librdkafka before 2.2 lets a broker's thread sleep up to a second when the queues of
 * all its partitions are full, and emptying them does not wake it; a request to that broker does.
 * So when a queue that was full is half empty, the task asks the partition's leader for its
 * watermarks. docs/internals/kafka.md has the figures. From 2.2 on fetch.queue.backoff.ms does it.
 *
 * The look: when all brokers are down librdkafka says so, but not when they are back: the task asks
 * for metadata once a second until there is an answer.
 *
 * The commit: what the messages of a stream have finished, once a second. */

#include "connectors/kafka/kafka_priv.h"

#include "base/alloc.h"

#include <errno.h>
#include <lade/event.h>
#include <lade/scope.h>
#include <stdio.h>
#include <string.h>

#define KICKS_MAX 8	/* partitions to ask for; their brokers' others are fetched as well */
#define KICK_MS 200	/* what such a question may take: the waking counts, not the answer */
#define QUEUE_BACKOFF_SINCE 0x02020000 /* has fetch.queue.backoff.ms */

/* A partition whose leader is to be asked. */
struct kick {
	char topic[256];
	int32_t number;
};

static int lade_kafka_help(struct lade_kafka_helper *helper);
LADE_TASK_VOID(lade_kafka_help, (struct lade_kafka_helper *, helper))

struct lade_kafka_helper {
	struct lade_kafka_consumer *consumer;
	struct lade_kafka_help_task task;
	struct lade_event work;		 /* there is something to do */
	struct kick kicks[KICKS_MAX];
	unsigned n_kicks;
	struct lade_instant commit_at;	 /* not before */
};

/* One question to a leader, or one to anybody. */
struct question {
	struct lade_kafka_job job;
	rd_kafka_t *rk;
	const struct kick *kick; /* NULL: for metadata */
	bool answered;
};

bool lade_kafka_needs_kicks(void)
{
	return rd_kafka_version() < QUEUE_BACKOFF_SINCE;
}

static int ask(struct lade_kafka_job *job)
{
	struct question *q = (struct question *)(void *)job;
	const struct rd_kafka_metadata *found = NULL;
	int64_t low, high;

	if (q->kick) {
		q->answered = !rd_kafka_query_watermark_offsets(q->rk, q->kick->topic,
								q->kick->number, &low, &high,
								KICK_MS);
		return 0;
	}
	q->answered = !rd_kafka_metadata(q->rk, 0, NULL, &found, CALL_MS);
	if (found)
		rd_kafka_metadata_destroy(found);
	return 0;
}

static int kick_all(struct lade_kafka_helper *h)
{
	int rc = 0;

	while (h->n_kicks && rc == 0) {
		struct kick kick = h->kicks[--h->n_kicks];
		struct lade_kafka_error error;
		struct question q = { .job = { .run = ask, .error = &error },
				      .rk = h->consumer->client.rk,
				      .kick = &kick };

		rc = lade_kafka_run(&q.job, "a partition's leader to wake", LADE_SITE);
	}
	return rc;
}

static int look_for_brokers(struct lade_kafka_helper *h)
{
	struct lade_kafka_error error;
	struct question q = { .job = { .run = ask, .error = &error },
			      .rk = h->consumer->client.rk };
	int rc = lade_kafka_run(&q.job, "brokers that are down", LADE_SITE);

	if (rc == 0 && q.answered)
		lade_kafka_recovered(h->consumer);
	return rc;
}

/* A second has passed since the last commit. */
static bool commit_is_due(const struct lade_kafka_helper *h)
{
	return h->consumer->tracked && lade_now().mono_ns >= h->commit_at.mono_ns;
}

static int lade_kafka_help(struct lade_kafka_helper *helper)
{
	struct lade_kafka_consumer *c = helper->consumer;
	int rc = 0;

	while (rc == 0) {
		rc = lade_event_wait(&helper->work);
		lade_event_clear(&helper->work);
		if (rc == 0)
			rc = kick_all(helper);
		if (rc == 0 && commit_is_due(helper)) {
			helper->commit_at = lade_in(lade_ms(900));
			rc = lade_kafka_commit_finished(c, c->list, c->n, LADE_SITE);
			/* It failed: a second later it is tried again. */
			rc = rc == -ECANCELED ? rc : 0;
		}
		if (rc == 0 && c->down)
			rc = look_for_brokers(helper);
	}
	/* Only a cancel ends it, and that is no failure of the scope that it lives in. */
	return rc == -ECANCELED ? rc : 0;
}

void lade_kafka_helper_wake(struct lade_kafka_consumer *c)
{
	/* It ends before its consumer does. */
	if (c->helper)
		lade_event_set(&c->helper->work);
}

void lade_kafka_helper_kick(struct lade_kafka_partition *p)
{
	struct lade_kafka_helper *h = p->consumer->helper;
	struct kick *kick;

	if (!h || !lade_kafka_needs_kicks() || h->n_kicks == KICKS_MAX)
		return;
	kick = &h->kicks[h->n_kicks++];
	snprintf(kick->topic, sizeof(kick->topic), "%s", p->topic);
	kick->number = p->number;
	lade_event_set(&h->work);
}

int lade_kafka_helper_open(struct lade_kafka_consumer *c, struct lade_scope *scope,
			   const char *site)
{
	struct lade_kafka_helper *h = lade_calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	c->helper = h;
	h->consumer = c;
	lade_event_init(&h->work);
	h->task = lade_kafka_help_task(h);
	lade_start_daemon_at(scope, &h->task.head, site);
	return 0;
}

void lade_kafka_helper_close(struct lade_kafka_consumer *c, const char *site)
{
	if (!c->helper)
		return;
	lade_cancel_task_at(&c->helper->task.head, lade_ns(0), site);
	while (lade_status_at(&c->helper->task.head, site) == -EINPROGRESS)
		lade_kafka_rest(lade_ms(1), site);
	lade_free(c->helper);
	c->helper = NULL;
}
