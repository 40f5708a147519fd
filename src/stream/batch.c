/* SPDX-License-Identifier: MIT */
/* batch.c - timed batches: formed ahead of the consumer, closed by size, weight or time.
 *
 * DESIGN
 * A worker pulls items into the batch that is forming. It takes what is ready without a deadline;
 * only when it must wait does it open one: the earlier of linger, counted from the first item, and
 * idle, counted from the last. Closed batches queue up to @ahead; then the source is left unread.
 * The buffers of consumed batches are used again.
 *
 * INVARIANT  room for an item is there before the item is pulled: what was pulled is never lost.
 * An item is in exactly one of: the forming batch, the queue, the batch that the consumer holds. */

#include "stream/stream_priv.h"

#include <errno.h>
#include <string.h>

#define ITEMS_MAX_DEFAULT 1000000u
#define AHEAD_MAX 64
#define FIRST_CAPACITY 16

struct batcher {
	struct lade_stream base;
	struct lade_worker worker;
	struct lade_stream *in;		/* pulled by the worker alone */
	struct lade_batch_config config; /* with defaults filled in */
	struct lade_batch forming;	/* the worker's; others may empty it while it waits */
	size_t capacity;		/* items that @forming has room for */
	int64_t last_ns;		/* when its last item came; kept where idle is set */
	struct lade_batch lent;		/* what the consumer holds */
	size_t lent_capacity;		/* its room */
	uint32_t queued;		/* closed batches */
	uint32_t first;			/* place of the oldest in the ring */
	struct lade_event news;		/* a batch was closed, or the stream ended */
	struct lade_event room;		/* fewer than ahead are queued */
	bool ended;			/* the worker pulls no more */
	int rc;				/* what next says after the last batch */
	struct {
		struct lade_batch batch;
		size_t capacity;
	} ring[];			/* closed batches: config.ahead places */
};

static void drop_items(struct batcher *b, struct lade_batch *batch)
{
	for (size_t i = 0; i < batch->len; i++)
		lade_item_drop(b->in->type, (char *)batch->items + i * b->in->type->bytes);
	batch->len = batch->bytes = 0;
}

static void batcher_free(struct lade_worker *worker)
{
	struct batcher *b = LADE_CONTAINER(worker, struct batcher, worker);

	drop_items(b, &b->forming);
	drop_items(b, &b->lent);
	for (uint32_t i = 0; i < b->config.ahead; i++) {
		drop_items(b, &b->ring[i].batch);
		lade_free(b->ring[i].batch.items);
	}
	lade_free(b->forming.items);
	lade_free(b->lent.items);
	lade_stream_close(b->in);
	lade_free(b);
}

/* Room for one more item. */
static int make_room(struct batcher *b)
{
	size_t capacity = b->capacity ? 2 * b->capacity : FIRST_CAPACITY;
	void *items;

	if (b->forming.len < b->capacity)
		return 0;
	if (capacity > b->config.max_items)
		capacity = b->config.max_items;
	items = lade_realloc(b->forming.items, capacity * b->in->type->bytes);
	if (!items)
		return -ENOMEM;
	b->forming.items = items;
	b->capacity = capacity;
	return 0;
}

static void *next_place(struct batcher *b)
{
	return (char *)b->forming.items + b->forming.len * b->in->type->bytes;
}

static void added(struct batcher *b)
{
	/* The loop's last reading may be from before it waited for this very item. */
	if (b->forming.len == 0 || b->config.idle.ns)
		b->last_ns = lade_loop_now(b->worker.loop);
	if (b->forming.len == 0)
		b->forming.first = (struct lade_instant){ b->last_ns };
	b->forming.bytes += lade_item_weigh(b->in->type, next_place(b));
	b->forming.len++;
}

/* Whether the batch is full, and why. */
static bool is_full(const struct batcher *b, enum lade_batch_reason *ret_reason)
{
	if (b->forming.len >= b->config.max_items)
		*ret_reason = LADE_BATCH_ITEMS;
	else if (b->config.max_bytes && b->forming.bytes >= b->config.max_bytes)
		*ret_reason = LADE_BATCH_BYTES;
	else
		return false;
	return true;
}

/* A pull that may wait; meanwhile the forming batch may have been emptied. */
static int wait_next(struct batcher *b)
{
	void *place = next_place(b);
	int rc = lade_stream_next(b->in, place);

	if (rc > 0 && place != next_place(b))
		memcpy(next_place(b), place, b->in->type->bytes);
	return rc;
}

/* Waits for an item of a batch that has some: until linger or idle is over, or not at all.
 * Returns as next does; -ETIME: time is up, for *ret_reason. */
static int wait_item(struct batcher *b, bool cannot_tell, enum lade_batch_reason *ret_reason)
{
	struct lade_instant end = lade_instant_after(b->forming.first, b->config.linger);
	struct lade_instant idle;

	if (b->config.linger.ns == 0) {
		*ret_reason = LADE_BATCH_READY;
		if (!cannot_tell)
			return -ETIME;
		/* Whatever comes in this turn is still ready. */
		return lade_until(lade_in(lade_ns(1)), wait_next(b));
	}
	*ret_reason = LADE_BATCH_LINGER;
	if (b->config.idle.ns) {
		idle = lade_instant_after((struct lade_instant){ b->last_ns }, b->config.idle);
		if (idle.mono_ns < end.mono_ns) {
			*ret_reason = LADE_BATCH_IDLE;
			end = idle;
		}
	}
	return lade_until(end, wait_next(b));
}

/* One item more.  Returns 1; 0 at the end; -ETIME: time is up, for *ret_reason; < 0. */
static int pull(struct batcher *b, enum lade_batch_reason *ret_reason)
{
	int rc = make_room(b);

	if (rc == 0)
		rc = lade_enter("a batch");
	if (rc < 0)
		return rc;
	rc = lade_stream_try_next(b->in, next_place(b));
	if (rc == -EAGAIN || rc == -EOPNOTSUPP)
		rc = b->forming.len ? wait_item(b, rc == -EOPNOTSUPP, ret_reason)
				    : wait_next(b);
	if (rc > 0)
		added(b);
	return rc;
}

/* Whether linger has passed although items never ceased to come: a look once in 64 items. */
static bool is_late(struct batcher *b)
{
	return b->config.linger.ns && b->forming.len % 64 == 0 &&
	       lade_loop_now(b->worker.loop) >=
		       lade_instant_after(b->forming.first, b->config.linger).mono_ns;
}

/* Fills the forming batch until something closes it.  Returns 1, or what ended the source. */
static int form(struct batcher *b, enum lade_batch_reason *ret_reason)
{
	for (;;) {
		int rc = pull(b, ret_reason);

		if (rc == -ETIME)
			return 1;
		if (rc <= 0) {
			*ret_reason = LADE_BATCH_END;
			return rc;
		}
		if (is_full(b, ret_reason))
			return 1;
		if (is_late(b)) {
			*ret_reason = LADE_BATCH_LINGER;
			return 1;
		}
	}
}

/* Moves the forming batch to the queue and takes an empty one of there. */
static void close_batch(struct batcher *b, enum lade_batch_reason reason)
{
	uint32_t at = (b->first + b->queued) % b->config.ahead;
	struct lade_batch empty = b->ring[at].batch;
	size_t capacity = b->ring[at].capacity;

	b->forming.reason = reason;
	b->ring[at].batch = b->forming;
	b->ring[at].capacity = b->capacity;
	b->forming = empty;
	b->capacity = capacity;
	b->queued++;
	lade_event_set(&b->news);
}

static int wait_room(struct batcher *b)
{
	int rc = 0;

	while (rc == 0 && b->queued == b->config.ahead) {
		lade_event_clear(&b->room);
		rc = lade_event_wait_at(&b->room, "room for a batch");
	}
	return rc;
}

static void batcher_run(struct lade_worker *worker)
{
	struct batcher *b = LADE_CONTAINER(worker, struct batcher, worker);
	enum lade_batch_reason reason = LADE_BATCH_END;
	int rc;

	while ((rc = wait_room(b)) == 0) {
		rc = form(b, &reason);
		/* A cancelled worker leaves what it has for the remainder. */
		if (b->forming.len && rc != -ECANCELED)
			close_batch(b, reason);
		if (rc <= 0)
			break;
	}
	b->rc = rc;
	b->ended = true;
	lade_event_set(&b->news);
}

/* Lends the oldest closed batch to the consumer. */
static void lend_first(struct batcher *b)
{
	struct lade_batch empty = b->lent;
	size_t capacity = b->lent_capacity;

	b->lent = b->ring[b->first].batch;
	b->lent_capacity = b->ring[b->first].capacity;
	b->ring[b->first].batch = empty;
	b->ring[b->first].capacity = capacity;
	b->first = (b->first + 1) % b->config.ahead;
	b->queued--;
	lade_event_set(&b->room);
}

int lade_stream_batch_next(struct lade_stream *stream, struct lade_batch *ret)
{
	struct batcher *b = (struct batcher *)stream;
	int rc;

	if (!b)
		return -ENOMEM;
	rc = lade_enter("a batch");
	drop_items(b, &b->lent);
	while (rc == 0 && !b->queued && !b->ended) {
		lade_event_clear(&b->news);
		rc = lade_event_wait_at(&b->news, "a batch");
	}
	if (rc < 0)
		return rc;
	if (!b->queued)
		return b->rc;
	lend_first(b);
	*ret = b->lent;
	return 1;
}

/* Lends what has been formed so far. It is copied: the worker may be waiting for an item with a
 * place in the forming batch. */
static int lend_forming(struct batcher *b)
{
	size_t bytes = b->in->type->bytes;

	if (b->lent_capacity < b->forming.len) {
		void *items = lade_realloc(b->lent.items, b->forming.len * bytes);

		if (!items)
			return -ENOMEM;
		b->lent.items = items;
		b->lent_capacity = b->forming.len;
	}
	memcpy(b->lent.items, b->forming.items, b->forming.len * bytes);
	b->lent.len = b->forming.len;
	b->lent.bytes = b->forming.bytes;
	b->lent.first = b->forming.first;
	b->lent.reason = LADE_BATCH_REMAINDER;
	b->forming.len = b->forming.bytes = 0;
	return 0;
}

int lade_stream_batch_remainder(struct lade_stream *stream, struct lade_batch *ret)
{
	struct batcher *b = (struct batcher *)stream;

	if (!b)
		return 0;
	drop_items(b, &b->lent);
	if (b->queued) {
		lend_first(b);
	} else if (b->forming.len) {
		int rc = lend_forming(b);

		if (rc < 0)
			return rc;
	} else {
		return 0;
	}
	*ret = b->lent;
	return 1;
}

static int batcher_next(void *stream, void *ret_item)
{
	return lade_stream_batch_next(stream, ret_item);
}

static void batcher_close(void *stream)
{
	lade_worker_close(&((struct batcher *)stream)->worker);
}

static const struct lade_source batcher_ops = { batcher_next, NULL, batcher_close };
static const struct lade_item_type batch_type = { sizeof(struct lade_batch), NULL, NULL };

struct lade_stream *lade_stream_batch_at(struct lade_scope *scope, struct lade_stream *in,
					 const struct lade_batch_config *config,
					 const char *site)
{
	uint32_t ahead = config->ahead ? config->ahead : 1;
	struct batcher *b = NULL;

	if (in && ahead <= AHEAD_MAX)
		b = lade_calloc(1, sizeof(*b) + ahead * sizeof(b->ring[0]));
	if (!b)
		return lade_stream_close(in);
	b->base = (struct lade_stream){ &batcher_ops, &batch_type };
	b->worker = (struct lade_worker){ .run = batcher_run, .free = batcher_free };
	b->in = in;
	b->config = *config;
	b->config.ahead = ahead;
	if (!b->config.max_items)
		b->config.max_items = ITEMS_MAX_DEFAULT;
	lade_event_init(&b->news);
	lade_event_init(&b->room);
	lade_worker_start(&b->worker, scope, site);
	if (!b->worker.running) {
		b->rc = -ECANCELED;
		b->ended = true;
	}
	return &b->base;
}
