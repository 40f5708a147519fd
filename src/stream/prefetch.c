/* SPDX-License-Identifier: MIT */
/* prefetch.c - reading ahead of a consumer, and merging: streams with a channel in between.
 *
 * DESIGN
 * A worker reserves a place in a channel, pulls one item, and commits it: the reservation is what
 * bounds the reading ahead, and an item that was pulled always has its place, whatever is
 * cancelled. What has been read stays in the channel for the next call of a consumer that was
 * cancelled. The end, or the error, is kept and told after the items. */

#include "stream/stream_priv.h"

#include <errno.h>

#define MERGE_MAX 64

struct ahead;

/* One input with the task that pulls it. */
struct pump {
	struct lade_worker worker;
	struct ahead *ahead;	/* what it feeds */
	struct lade_stream *in; /* pulled by the task alone */
};

/* A channel that pumps fill and a consumer empties. */
struct ahead {
	struct lade_stream base;
	struct lade_channel *channel;
	size_t bytes;		/* weight of what is in the channel */
	size_t bytes_max;	/* limit, or 0 */
	struct lade_event room; /* set while bytes < bytes_max */
	int rc;			/* what next says after the last item: 0, or the first error */
	uint32_t pumping;	/* pumps that have not ended */
	uint32_t started;	/* pumps that have been set up */
	uint32_t count;		/* pumps that have not been freed */
	bool closing;		/* close is at work and frees last */
	struct pump pumps[];
};

static void ahead_free(struct ahead *a)
{
	lade_channel_free(a->channel);
	lade_free(a);
}

static void pump_free(struct lade_worker *worker)
{
	struct pump *p = LADE_CONTAINER(worker, struct pump, worker);

	lade_stream_close(p->in);
	if (--p->ahead->count == 0 && !p->ahead->closing)
		ahead_free(p->ahead);
}

static bool is_full(const struct ahead *a)
{
	return a->bytes_max && a->bytes >= a->bytes_max;
}

/* Pulls one item into a reserved place.  Returns 1, or what ended it. */
static int pump_one(struct pump *p, void *item)
{
	struct ahead *a = p->ahead;
	int rc = lade_channel_reserve_at(a->channel, "a place ahead");

	while (rc == 0 && is_full(a)) {
		lade_event_clear(&a->room);
		rc = lade_event_wait_at(&a->room, "room ahead");
		if (rc < 0)
			lade_channel_unreserve(a->channel);
	}
	if (rc < 0)
		return rc;
	rc = lade_stream_next(p->in, item);
	if (rc <= 0) {
		lade_channel_unreserve(a->channel);
		return rc;
	}
	a->bytes += lade_item_weigh(a->base.type, item);
	lade_channel_commit(a->channel, item);
	return 1;
}

/* Asks the other pumps to end: a pull that is called off consumes nothing. */
static void stop_pumps(struct ahead *a)
{
	for (uint32_t i = 0; i < a->started; i++) {
		struct lade_worker *w = &a->pumps[i].worker;

		if (w->node && w->node != lade_cur->root)
			lade_request(w->loop, w->node, LEVEL_HARD, LADE_REASON_USER,
				     "a failed input", lade_task_name());
	}
}

/* The end of one input; the first failure ends the others, the last end is the stream's: until
 * then an item may be under way. */
static void pump_ended(struct ahead *a, int rc)
{
	a->pumping--;
	if (rc < 0 && a->rc == 0) {
		a->rc = rc;
		stop_pumps(a);
	}
	if (a->pumping == 0)
		lade_channel_close(a->channel);
}

static void pump_run(struct lade_worker *worker)
{
	struct pump *p = LADE_CONTAINER(worker, struct pump, worker);
	_Alignas(max_align_t) char item[p->ahead->base.type->bytes];
	int rc = 1;

	while (rc > 0)
		rc = p->ahead->rc < 0 ? -ECANCELED : pump_one(p, item);
	pump_ended(p->ahead, rc);
}

static int took(struct ahead *a, int rc, const void *item)
{
	if (rc == -EPIPE)
		return a->rc;
	if (rc < 0)
		return rc;
	a->bytes -= lade_item_weigh(a->base.type, item);
	if (!is_full(a))
		lade_event_set(&a->room);
	return 1;
}

static int ahead_next(void *stream, void *ret_item)
{
	struct ahead *a = stream;

	return took(a, lade_channel_recv_at(a->channel, ret_item, "an item read ahead"), ret_item);
}

static int ahead_try_next(void *stream, void *ret_item)
{
	struct ahead *a = stream;

	return took(a, lade_channel_try_recv(a->channel, ret_item), ret_item);
}

static void ahead_close(void *stream)
{
	struct ahead *a = stream;
	uint32_t count = a->count;

	a->closing = true;
	for (uint32_t i = 0; i < count; i++)
		lade_worker_close(&a->pumps[i].worker);
	a->closing = false;
	if (a->count == 0)
		ahead_free(a);
}

static const struct lade_source ahead_ops = { ahead_next, ahead_try_next, ahead_close };

static struct ahead *ahead_new(const struct lade_item_type *type, uint32_t items, size_t bytes,
			       size_t count)
{
	struct ahead *a = lade_calloc(1, sizeof(*a) + count * sizeof(a->pumps[0]));

	if (!a)
		return NULL;
	a->base = (struct lade_stream){ &ahead_ops, type };
	a->bytes_max = bytes;
	lade_event_init(&a->room);
	if (lade_channel_new(type->bytes, items ? items : 1, type->drop, &a->channel) < 0) {
		lade_free(a);
		return NULL;
	}
	return a;
}

static void pump_start(struct ahead *a, uint32_t i, struct lade_stream *in,
		       struct lade_scope *scope, const char *site)
{
	struct pump *p = &a->pumps[i];

	p->worker = (struct lade_worker){ .run = pump_run, .free = pump_free };
	p->ahead = a;
	p->in = in;
	a->started++;
	lade_worker_start(&p->worker, scope, site);
	/* A cancelled scope runs nothing: the stream ends as a cancelled one. */
	if (!p->worker.running)
		pump_ended(a, -ECANCELED);
}

struct lade_stream *lade_stream_prefetch_at(struct lade_scope *scope, struct lade_stream *in,
					    uint32_t items, size_t bytes, const char *site)
{
	struct ahead *a = in ? ahead_new(in->type, items, bytes, 1) : NULL;

	if (!a)
		return lade_stream_close(in);
	a->count = a->pumping = 1;
	pump_start(a, 0, in, scope, site);
	return &a->base;
}

struct lade_stream *lade_stream_merge_at(struct lade_scope *scope, struct lade_stream *const *in,
					 size_t count, const char *site)
{
	struct ahead *a = NULL;
	bool all = count > 0 && count <= MERGE_MAX;

	for (size_t i = 0; i < count; i++)
		all = all && in[i];
	if (all)
		a = ahead_new(in[0]->type, (uint32_t)count, 0, count);
	for (size_t i = 0; !a && i < count; i++)
		lade_stream_close(in[i]);
	if (!a)
		return NULL;
	a->count = a->pumping = (uint32_t)count;
	for (uint32_t i = 0; i < count; i++)
		pump_start(a, i, in[i], scope, site);
	return &a->base;
}
