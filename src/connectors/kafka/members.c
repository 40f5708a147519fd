/* SPDX-License-Identifier: MIT */
/* members.c - a consumer as a member of its group: partitions that come and go, and commits.
 *
 * DESIGN
 * The event with which librdkafka hands partitions over or takes them back is kept until the
 * program has answered: librdkafka waits that long and sends its heartbeats meanwhile. A
 * partition's queue is put aside before the partition is assigned, or its first messages would run
 * into the consumer's queue.
 *
 * Where a partition begins is decided here and not by librdkafka, whose auto.offset.reset makes no
 * difference between an offset that was never committed and one that has fallen out of the log. */

#include "connectors/kafka/kafka_priv.h"

#include "base/alloc.h"
#include "base/list.h"

#include <errno.h>
#include <lade/blocking.h>
#include <string.h>

/* Partitions */

static struct lade_kafka_partition *partition_new(struct lade_kafka_consumer *c, const char *topic,
						  int32_t number)
{
	size_t len = strlen(topic) + 1;
	struct lade_kafka_partition *p = lade_calloc(1, sizeof(*p) + len);

	if (!p)
		return NULL;
	memcpy(p->topic, topic, len);
	p->consumer = c;
	p->number = number;
	p->refs = 1;
	p->start = p->finished = p->committed = -1;
	p->ticket_first = p->ticket_next = 1;
	p->bytes_each = 64;
	return p;
}

void lade_kafka_partition_unref(struct lade_kafka_partition *p)
{
	if (--p->refs)
		return;
	lade_free(p->tickets);
	lade_free(p);
}

/* Has a partition's messages wait in a queue of their own. */
static void put_aside(struct lade_kafka_consumer *c, struct lade_kafka_partition *p)
{
	p->queue = rd_kafka_queue_get_partition(c->client.rk, p->topic, p->number);
	if (!p->queue)
		return;
	rd_kafka_queue_forward(p->queue, NULL);
	lade_kafka_bell_hang(&p->bell, &c->client, p->queue);
}

void lade_kafka_let_go(struct lade_kafka_partition *p)
{
	p->state = PARTITION_GONE;
	if (!p->queue)
		return;
	rd_kafka_queue_cb_event_enable(p->queue, NULL, NULL);
	rd_kafka_queue_destroy(p->queue);
	p->queue = NULL;
}

struct lade_kafka_partition *lade_kafka_find(struct lade_kafka_consumer *c, const char *topic,
					     int32_t number)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->list[i]->number == number && strcmp(c->list[i]->topic, topic) == 0)
			return c->list[i];
	return NULL;
}

static bool list_add(struct lade_kafka_consumer *c, struct lade_kafka_partition *p)
{
	if (c->n == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 16;
		struct lade_kafka_partition **list = lade_realloc(c->list, cap * sizeof(*list));

		if (!list)
			return false;
		c->list = list;
		c->cap = cap;
	}
	p->listed = c->n;
	c->list[c->n++] = p;
	return true;
}

static void list_remove(struct lade_kafka_consumer *c, struct lade_kafka_partition *p)
{
	struct lade_kafka_partition *last = c->list[--c->n];

	c->list[p->listed] = last;
	last->listed = p->listed;
	if (c->at >= c->n)
		c->at = 0;
	if (c->current == p)
		c->current = NULL;
}

const char *lade_kafka_partition_topic(const struct lade_kafka_partition *partition)
{
	return partition->topic;
}

int32_t lade_kafka_partition_number(const struct lade_kafka_partition *partition)
{
	return partition->number;
}

void *lade_kafka_partition_self(const struct lade_kafka_partition *partition)
{
	return partition->self;
}

void lade_kafka_partition_set_self(struct lade_kafka_partition *partition, void *self)
{
	partition->self = self;
}

int64_t lade_kafka_partition_high(const struct lade_kafka_partition *partition)
{
	int64_t low, high;

	if (partition->state != PARTITION_ACTIVE ||
	    rd_kafka_get_watermark_offsets(partition->consumer->client.rk, partition->topic,
					   partition->number, &low, &high))
		return -1;
	return high >= 0 ? high : -1;
}

void lade_kafka_start_at(struct lade_kafka_partition *partition, int64_t offset)
{
	if (partition->state != PARTITION_NEW)
		return;
	partition->start = offset;
	partition->given = true;
}

int64_t lade_kafka_partition_start(const struct lade_kafka_partition *partition)
{
	return partition->start;
}

bool lade_kafka_partition_fresh(const struct lade_kafka_partition *partition)
{
	return partition->fresh;
}

void lade_kafka_hold(struct lade_kafka_partition *partition, bool hold)
{
	struct lade_kafka_consumer *c = partition->consumer;
	struct lade_op *op = c->waiter;

	partition->held = hold;
	if (hold || partition->state != PARTITION_ACTIVE || !op)
		return;
	/* Whoever waits looks again. */
	c->waiter = NULL;
	lade_complete(op, 0);
}

/* Events of a rebalance */

static struct lade_kafka_event *rebalance_new(struct lade_kafka_consumer *c, rd_kafka_event_t *from,
					      int n)
{
	struct lade_kafka_event *e = lade_calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->rebalance = from;
	e->partitions = lade_calloc((size_t)n + 1, sizeof(struct lade_kafka_partition *));
	if (!e->partitions) {
		lade_free(e);
		return NULL;
	}
	(void)c;
	return e;
}

static void event_assigned(struct lade_kafka_consumer *c, struct lade_kafka_event *e,
			   const rd_kafka_topic_partition_list_t *list)
{
	e->kind = LADE_KAFKA_ASSIGNED;
	c->n_troubles = 0;
	for (int i = 0; i < list->cnt; i++) {
		const rd_kafka_topic_partition_t *at = &list->elems[i];
		struct lade_kafka_partition *p = partition_new(c, at->topic, at->partition);

		if (!p)
			continue;
		if (!list_add(c, p)) {
			lade_kafka_partition_unref(p);
			continue;
		}
		put_aside(c, p);
		e->partitions[e->n++] = p;
	}
}

static void event_revoked(struct lade_kafka_consumer *c, struct lade_kafka_event *e,
			  const rd_kafka_topic_partition_list_t *list)
{
	e->kind = rd_kafka_assignment_lost(c->client.rk) ? LADE_KAFKA_LOST : LADE_KAFKA_REVOKED;
	for (int i = 0; i < list->cnt; i++) {
		struct lade_kafka_partition *p =
			lade_kafka_find(c, list->elems[i].topic, list->elems[i].partition);

		if (!p)
			continue;
		p->state = PARTITION_ENDING;
		p->left = 0;
		e->partitions[e->n++] = p;
	}
}

/* What becomes of an event for which there is no memory: the group does without this member. */
static void refuse(struct lade_kafka_consumer *c, rd_kafka_event_t *event)
{
	rd_kafka_assign(c->client.rk, NULL);
	rd_kafka_event_destroy(event);
}

void lade_kafka_rebalance(struct lade_kafka_consumer *c, rd_kafka_event_t *event)
{
	const rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);
	rd_kafka_resp_err_t code = rd_kafka_event_error(event);
	struct lade_kafka_event *e;

	c->in_group = true;
	if (code != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS &&
	    code != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
		refuse(c, event);
		return;
	}
	e = rebalance_new(c, event, list ? list->cnt : 0);
	if (!e) {
		refuse(c, event);
		return;
	}
	if (list && code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
		event_assigned(c, e, list);
	else if (list)
		event_revoked(c, e, list);
	lade_kafka_tell(c, e);
	if (c->closing)
		lade_kafka_answer_all(c);
}

/* The partitions of an event, as librdkafka wants them. */
static rd_kafka_topic_partition_list_t *list_of_event(const struct lade_kafka_event *e)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)e->n);

	for (size_t i = 0; i < e->n; i++)
		rd_kafka_topic_partition_list_add(list, e->partitions[i]->topic,
						  e->partitions[i]->number)
			->offset = e->partitions[i]->start;
	return list;
}

static void drop_partitions(struct lade_kafka_consumer *c, struct lade_kafka_event *e)
{
	for (size_t i = 0; i < e->n; i++) {
		lade_kafka_let_go(e->partitions[i]);
		list_remove(c, e->partitions[i]);
		lade_kafka_partition_unref(e->partitions[i]);
	}
	e->n = 0;
}

/* Gives partitions back to librdkafka. */
static void unassign(struct lade_kafka_consumer *c, struct lade_kafka_event *e)
{
	/* All of the event's, also those for which there was no memory. */
	rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(e->rebalance);
	rd_kafka_error_t *error = rd_kafka_incremental_unassign(c->client.rk, list);

	drop_partitions(c, e);
	if (error) {
		rd_kafka_error_destroy(error);
		rd_kafka_assign(c->client.rk, NULL);
	}
	lade_kafka_event_free(e);
}

int lade_kafka_release(struct lade_kafka_consumer *consumer)
{
	struct lade_kafka_event *e = consumer->open;

	if (!e || e->kind == LADE_KAFKA_ASSIGNED)
		return -EINVAL;
	consumer->open = NULL;
	unassign(consumer, e);
	return 0;
}

/* Answers ASSIGNED; what librdkafka has against it comes as another event. */
static void assign(struct lade_kafka_consumer *c, struct lade_kafka_event *e,
		   rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_error_t *error = rd_kafka_incremental_assign(c->client.rk, list);

	for (size_t i = 0; i < e->n; i++)
		if (e->partitions[i]->queue)
			e->partitions[i]->state = PARTITION_ACTIVE;
	if (error)
		rd_kafka_error_destroy(error);
	lade_kafka_event_free(e);
}

void lade_kafka_answer_all(struct lade_kafka_consumer *c)
{
	for (;;) {
		struct lade_kafka_event *e = c->open;
		struct lade_link *it;

		c->open = NULL;
		if (!e) {
			it = lade_list_pop(&c->events);
			if (!it)
				return;
			c->n_events--;
			e = LADE_CONTAINER(it, struct lade_kafka_event, link);
		}
		if (!e->rebalance) {
			lade_kafka_event_free(e);
		} else if (e->kind != LADE_KAFKA_ASSIGNED) {
			unassign(c, e);
		} else {
			/* librdkafka asks for them back at once. */
			rd_kafka_topic_partition_list_t *list = list_of_event(e);

			for (int i = 0; i < list->cnt; i++)
				list->elems[i].offset = RD_KAFKA_OFFSET_END;
			assign(c, e, list);
			rd_kafka_topic_partition_list_destroy(list);
		}
	}
}

/* Where partitions begin, on the pool. */

#define RANGE_NS INT64_C(2000000000) /* to learn what there is of new partitions */

struct placing {
	struct lade_kafka_job job;
	rd_kafka_t *rk;
	enum lade_kafka_start start;
	rd_kafka_topic_partition_list_t *list;	/* of all; an offset of -1 is not known yet */
	rd_kafka_topic_partition_list_t *asked; /* those whose committed offset is asked for */
	struct lade_kafka_range *ranges;	/* of those of list that begin by the policy */
	bool *fresh;				/* begins by the policy */
	bool have_committed;
	int64_t give_up_ns;			/* until when ranges are asked for; 0: not begun */
};

/* A failure that a later call may not have. */
static int passing_or(struct lade_kafka_error *error, int code, const char *what)
{
	int rc = lade_kafka_fail(error, code, "%s: %s", what, lade_kafka_code_text(code));

	return rc == -EAGAIN ? 1 : rc;
}

static int ask_committed(struct placing *p)
{
	rd_kafka_resp_err_t code;

	code = rd_kafka_committed(p->rk, p->asked, CALL_MS);
	for (int i = 0; i < p->asked->cnt && !code; i++)
		code = p->asked->elems[i].err;
	if (code)
		return passing_or(p->job.error, (int)code, "offsets of the group");
	for (int i = 0; i < p->asked->cnt; i++) {
		const rd_kafka_topic_partition_t *from = &p->asked->elems[i];
		rd_kafka_topic_partition_t *to = rd_kafka_topic_partition_list_find(
			p->list, from->topic, from->partition);

		if (from->offset >= 0)
			to->offset = from->offset;
	}
	p->have_committed = true;
	return 0;
}

int lade_kafka_range_job(rd_kafka_t *rk, const char *topic, int32_t partition,
			 struct lade_kafka_range *ret, struct lade_kafka_error *error)
{
	rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(rk, topic, partition,
								    &ret->low, &ret->high, CALL_MS);

	return code ? passing_or(error, (int)code, "what there is of a partition") : 0;
}

static int place(struct lade_kafka_job *job)
{
	struct placing *p = (struct placing *)(void *)job;
	int rc = 0;

	if (!p->have_committed && p->asked->cnt)
		rc = ask_committed(p);
	if (rc == 0 && !p->give_up_ns)
		p->give_up_ns = lade_clock_ns() + RANGE_NS;
	for (int i = 0; i < p->list->cnt && rc == 0; i++) {
		rd_kafka_topic_partition_t *at = &p->list->elems[i];

		if (at->offset >= 0 || p->fresh[i])
			continue;
		rc = lade_kafka_range_job(p->rk, at->topic, at->partition, &p->ranges[i],
					  p->job.error);
		if (rc == 1 && lade_clock_ns() < p->give_up_ns)
			break;
		p->fresh[i] = true;
		/* It may be gone already, and the group waits: librdkafka finds out what it is. */
		if (rc == 0)
			at->offset = p->start == LADE_KAFKA_EARLIEST ? p->ranges[i].low
								     : p->ranges[i].high;
		rc = 0;
	}
	return rc;
}

/* Writes what was found into the partitions, and what librdkafka is to be told into the list. */
static void note_places(const struct lade_kafka_event *e, struct placing *p)
{
	for (size_t i = 0; i < e->n; i++) {
		rd_kafka_topic_partition_t *at = &p->list->elems[i];

		e->partitions[i]->start = e->partitions[i]->finished = at->offset;
		e->partitions[i]->committed = p->fresh[i] ? -1 : at->offset;
		e->partitions[i]->fresh = p->fresh[i];
		/* The oldest message may go before it is fetched: that is no gap. */
		if (p->fresh[i] && p->start == LADE_KAFKA_EARLIEST)
			at->offset = RD_KAFKA_OFFSET_BEGINNING;
		else if (at->offset < 0)
			at->offset = RD_KAFKA_OFFSET_END;
	}
}

static int find_places(struct lade_kafka_consumer *c, const struct lade_kafka_event *e,
		       struct placing *p, struct lade_kafka_error *error, const char *site)
{
	struct lade_kafka_error unused;
	int rc;

	p->job.error = error ? error : &unused;
	p->ranges = lade_calloc(e->n + 1, sizeof(*p->ranges));
	p->fresh = lade_calloc(e->n + 1, sizeof(*p->fresh));
	if (!p->ranges || !p->fresh)
		return lade_kafka_fail_as(error, LADE_KAFKA_MEMORY, 0, "memory is out");
	for (size_t i = 0; i < e->n; i++)
		if (!e->partitions[i]->given)
			rd_kafka_topic_partition_list_add(p->asked, e->partitions[i]->topic,
							  e->partitions[i]->number);
	if (!p->asked->cnt)
		return 0;
	rc = lade_kafka_run(&p->job, "the offsets of a group", site);
	(void)c;
	return rc;
}

int lade_kafka_assign_at(struct lade_kafka_consumer *consumer, struct lade_kafka_error *ret_error,
			 const char *site)
{
	struct lade_kafka_event *e = consumer->open;
	struct placing p = { .job = { .run = place },
			     .rk = consumer->client.rk,
			     .start = consumer->start };
	int rc;

	if (lade_cancelled())
		return -ECANCELED;
	if (!e || e->kind != LADE_KAFKA_ASSIGNED || consumer->assigning)
		return -EINVAL;
	consumer->assigning = true;
	p.list = list_of_event(e);
	p.asked = rd_kafka_topic_partition_list_new((int)e->n);
	rc = find_places(consumer, e, &p, ret_error, site);
	consumer->assigning = false;
	if (rc == 0) {
		note_places(e, &p);
		consumer->open = NULL;
		assign(consumer, e, p.list);
	}
	rd_kafka_topic_partition_list_destroy(p.list);
	rd_kafka_topic_partition_list_destroy(p.asked);
	lade_free(p.ranges);
	lade_free(p.fresh);
	return rc;
}

/* Seek and pause */

static rd_kafka_topic_partition_list_t *list_of_one(const struct lade_kafka_partition *p)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(list, p->topic, p->number);
	return list;
}

/* librdkafka has stopped a partition that stands outside its log and will not move it by a seek: it
 * is given back and taken again, which the group does not notice. */
static rd_kafka_error_t *take_again(struct lade_kafka_partition *p,
				    rd_kafka_topic_partition_list_t *list)
{
	struct lade_kafka_consumer *c = p->consumer;
	rd_kafka_error_t *error = rd_kafka_incremental_unassign(c->client.rk, list);

	if (error)
		return error;
	lade_kafka_let_go(p);
	put_aside(c, p);
	p->state = PARTITION_ACTIVE;
	p->gap = false;
	return rd_kafka_incremental_assign(c->client.rk, list);
}

int lade_kafka_seek(struct lade_kafka_partition *partition, int64_t offset)
{
	struct lade_kafka_consumer *c = partition->consumer;
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_error_t *error;
	int rc = 0;

	if (partition->state == PARTITION_NEW)
		return -EAGAIN;
	if (partition->state != PARTITION_ACTIVE || offset < LADE_KAFKA_OLDEST)
		return -EINVAL;
	list = list_of_one(partition);
	list->elems[0].offset = offset == LADE_KAFKA_OLDEST   ? RD_KAFKA_OFFSET_BEGINNING
				: offset == LADE_KAFKA_NEWEST ? RD_KAFKA_OFFSET_END
							      : offset;
	partition->left = 0;
	error = partition->gap ? take_again(partition, list)
			       : rd_kafka_seek_partitions(c->client.rk, list, 0);
	if (error) {
		rc = lade_kafka_fail_with(NULL, error, "seek");
		rc = rc == -EAGAIN ? rc : -EINVAL;
	}
	rd_kafka_topic_partition_list_destroy(list);
	return rc;
}

int lade_kafka_pause(struct lade_kafka_partition *partition, bool pause)
{
	rd_kafka_t *rk = partition->consumer->client.rk;
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t code;

	if (partition->state != PARTITION_ACTIVE)
		return -EINVAL;
	list = list_of_one(partition);
	partition->left = 0;
	code = pause ? rd_kafka_pause_partitions(rk, list) : rd_kafka_resume_partitions(rk, list);
	if (!code)
		code = list->elems[0].err;
	rd_kafka_topic_partition_list_destroy(list);
	return code ? -EINVAL : 0;
}

/* Commits */

/* A commit that is under way; its task may have gone. */
struct commit {
	struct lade_op op;
	struct lade_kafka_error error;
	int users;  /* the task, and librdkafka until it has answered */
	bool alone; /* the task does not wait any more */
};

static void commit_unref(struct commit *commit)
{
	if (--commit->users == 0)
		lade_free(commit);
}

rd_kafka_topic_partition_list_t *lade_kafka_list_of(const struct lade_kafka_position *positions,
						    size_t n)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);

	for (size_t i = 0; i < n; i++)
		rd_kafka_topic_partition_list_add(list, positions[i].partition->topic,
						  positions[i].partition->number)
			->offset = positions[i].offset;
	return list;
}

static rd_kafka_resp_err_t code_of_commit(rd_kafka_event_t *event)
{
	const rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);
	rd_kafka_resp_err_t code = rd_kafka_event_error(event);

	for (int i = 0; list && i < list->cnt && !code; i++)
		code = list->elems[i].err;
	return code;
}

void lade_kafka_commit_told(struct lade_kafka_consumer *c, rd_kafka_event_t *event)
{
	struct commit *commit = rd_kafka_event_opaque(event);
	int code = (int)code_of_commit(event);

	rd_kafka_event_destroy(event);
	if (!commit)
		return;
	if (!code)
		lade_kafka_recovered(c);
	if (!commit->alone)
		lade_complete(&commit->op,
			      code ? lade_kafka_fail(&commit->error, code, "commit: %s",
						     lade_kafka_code_text(code))
				   : 0);
	commit_unref(commit);
}

static enum lade_abort_result leave_commit(struct lade_op *op)
{
	LADE_CONTAINER(op, struct commit, op)->alone = true;
	return LADE_ABORTED;
}

int lade_kafka_commit_at(struct lade_kafka_consumer *consumer,
			 const struct lade_kafka_position *positions, size_t n,
			 struct lade_kafka_error *ret_error, const char *site)
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t code;
	struct commit *commit;
	int rc;

	if (lade_cancelled())
		return -ECANCELED;
	if (!n)
		return 0;
	commit = lade_calloc(1, sizeof(*commit));
	if (!commit)
		return lade_kafka_fail_as(ret_error, LADE_KAFKA_MEMORY, 0, "memory is out");
	commit->op = (struct lade_op)LADE_OP("a commit of offsets");
	commit->users = 2;
	list = lade_kafka_list_of(positions, n);
	code = rd_kafka_commit_queue(consumer->client.rk, list, consumer->client.queue, NULL,
				     commit);
	rd_kafka_topic_partition_list_destroy(list);
	if (code) {
		lade_free(commit);
		return lade_kafka_fail(ret_error, (int)code, "commit: %s", rd_kafka_err2str(code));
	}
	rc = lade_park_at(&commit->op, leave_commit, site);
	if (rc < 0 && rc != -ECANCELED && ret_error)
		*ret_error = commit->error;
	commit_unref(commit);
	return rc;
}

/* Questions */

struct asking {
	struct lade_kafka_job job;
	rd_kafka_t *rk;
	rd_kafka_topic_partition_list_t *list;
	const char *topic;
	int32_t partition;
	struct lade_kafka_range range;
};

static int ask_offsets(struct lade_kafka_job *job)
{
	struct asking *a = (struct asking *)(void *)job;
	rd_kafka_resp_err_t code = rd_kafka_committed(a->rk, a->list, CALL_MS);

	return code ? passing_or(a->job.error, (int)code, "offsets of the group") : 0;
}

int lade_kafka_committed_at(struct lade_kafka_consumer *consumer,
			    struct lade_kafka_partition *const *partitions, size_t n,
			    int64_t *ret_offsets, struct lade_kafka_error *ret_error,
			    const char *site)
{
	struct lade_kafka_error unused;
	struct asking a = { .job = { .run = ask_offsets,
				     .error = ret_error ? ret_error : &unused },
			    .rk = consumer->client.rk,
			    .list = rd_kafka_topic_partition_list_new((int)n) };
	int rc;

	for (size_t i = 0; i < n; i++)
		rd_kafka_topic_partition_list_add(a.list, partitions[i]->topic,
						  partitions[i]->number);
	rc = lade_kafka_run(&a.job, "the offsets of a group", site);
	for (size_t i = 0; i < n && rc == 0; i++)
		ret_offsets[i] = a.list->elems[i].offset >= 0 ? a.list->elems[i].offset : -1;
	rd_kafka_topic_partition_list_destroy(a.list);
	return rc;
}

static int ask_range(struct lade_kafka_job *job)
{
	struct asking *a = (struct asking *)(void *)job;

	return lade_kafka_range_job(a->rk, a->topic, a->partition, &a->range, a->job.error);
}

int lade_kafka_consumer_range_at(struct lade_kafka_consumer *consumer, const char *topic,
				 int32_t partition, struct lade_kafka_range *ret,
				 struct lade_kafka_error *ret_error, const char *site)
{
	struct lade_kafka_error unused;
	struct asking a = { .job = { .run = ask_range,
				     .error = ret_error ? ret_error : &unused },
			    .rk = consumer->client.rk,
			    .topic = topic,
			    .partition = partition };
	int rc = lade_kafka_run(&a.job, "what there is of a partition", site);

	if (rc == 0)
		*ret = a.range;
	return rc;
}
