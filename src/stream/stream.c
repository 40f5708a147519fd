/* SPDX-License-Identifier: MIT */
/* stream.c - what streams share, and the simple ones: from a source, an array, a channel; filter.
 *
 * DESIGN
 * A stream is a source with a type: next, try_next, close. Operators that work ahead have a task,
 * a daemon child of the scope they were given; the operator outlives whichever of task and
 * consumer ends first. Closing never waits: it asks the task to end, and the scope's end is what
 * waits for it. */

#include "stream/stream_priv.h"

#include <errno.h>
#include <string.h>

int lade_stream_next(struct lade_stream *stream, void *ret_item)
{
	return stream ? stream->ops->next(stream, ret_item) : -ENOMEM;
}

int lade_stream_try_next(struct lade_stream *stream, void *ret_item)
{
	if (!stream)
		return -ENOMEM;
	return stream->ops->try_next ? stream->ops->try_next(stream, ret_item)
				     : -EOPNOTSUPP;
}

struct lade_stream *lade_stream_close(struct lade_stream *stream)
{
	if (stream)
		stream->ops->close(stream);
	return NULL;
}

const struct lade_item_type *lade_stream_type(const struct lade_stream *stream)
{
	return stream ? stream->type : NULL;
}

const char *lade_batch_reason_name(enum lade_batch_reason reason)
{
	static const char *const names[] = { "items", "bytes", "linger",   "idle",
					     "ready", "end",   "remainder" };

	return reason < LADE_BATCH_REASONS ? names[reason] : "unknown";
}

/* Workers */

static void worker_end(struct lade_worker *w)
{
	w->running = false;
	w->node = NULL;
	if (w->closed)
		w->free(w);
}

static int worker(struct lade_worker *w)
{
	w->node = lade_cur->root;
	if (!w->closed)
		w->run(w);
	/* The consumer is told what the worker was told; there is nobody else to tell. */
	lade_cancel_handled();
	worker_end(w);
	return 0;
}
LADE_TASK_VOID_WITH(worker, (.drop_args = worker_end), (struct lade_worker *, w))

void lade_worker_start(struct lade_worker *w, struct lade_scope *scope, const char *site)
{
	struct worker_task task = worker_task(w);

	w->loop = scope->loop;
	w->running = true;
	lade_task_start(scope, &task.head, sizeof(task), TASK_DAEMON | TASK_FORGIVEN, site);
}

void lade_worker_close(struct lade_worker *w)
{
	w->closed = true;
	if (!w->running)
		w->free(w);
	else if (w->node)
		lade_request(w->loop, w->node, LEVEL_HARD, LADE_REASON_USER, "a stream's close",
			     lade_task_name());
}

/* From a source */

struct of_source {
	struct lade_stream base;
	struct lade_source source;
	void *self;
};

static int source_next(void *stream, void *ret_item)
{
	struct of_source *s = stream;

	return s->source.next(s->self, ret_item);
}

static int source_try_next(void *stream, void *ret_item)
{
	struct of_source *s = stream;

	return s->source.try_next ? s->source.try_next(s->self, ret_item) : -EOPNOTSUPP;
}

static void source_close(void *stream)
{
	struct of_source *s = stream;

	if (s->source.close)
		s->source.close(s->self);
	lade_free(s);
}

static const struct lade_source source_ops = { source_next, source_try_next, source_close };

struct lade_stream *lade_stream_of(const struct lade_item_type *type,
				   const struct lade_source *source, void *self)
{
	struct of_source *s = lade_malloc(sizeof(*s));

	if (!s) {
		if (source->close)
			source->close(self);
		return NULL;
	}
	*s = (struct of_source){ { &source_ops, type }, *source, self };
	return &s->base;
}

/* From an array */

struct of_array {
	struct lade_stream base;
	const char *items; /* the user's */
	size_t left;	   /* items not yet given */
};

static int array_try_next(void *stream, void *ret_item)
{
	struct of_array *s = stream;

	if (!s->left)
		return 0;
	memcpy(ret_item, s->items, s->base.type->bytes);
	s->items += s->base.type->bytes;
	s->left--;
	return 1;
}

static int array_next(void *stream, void *ret_item)
{
	int rc = lade_enter("a stream of an array");

	return rc < 0 ? rc : array_try_next(stream, ret_item);
}

static const struct lade_source array_ops = { array_next, array_try_next, lade_free };

struct lade_stream *lade_stream_from_array(const struct lade_item_type *type, const void *items,
					   size_t len)
{
	struct of_array *s = lade_malloc(sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct of_array){ { &array_ops, type }, items, len };
	return &s->base;
}

/* From a channel */

struct of_channel {
	struct lade_stream base;
	struct lade_channel *channel; /* the user's */
};

static int as_next(int rc)
{
	return rc == 0 ? 1 : rc == -EPIPE ? 0 : rc;
}

static int channel_next(void *stream, void *ret_item)
{
	struct of_channel *s = stream;

	return as_next(lade_channel_recv_at(s->channel, ret_item, "a stream of a channel"));
}

static int channel_try_next(void *stream, void *ret_item)
{
	struct of_channel *s = stream;

	return as_next(lade_channel_try_recv(s->channel, ret_item));
}

static const struct lade_source channel_ops = { channel_next, channel_try_next, lade_free };

struct lade_stream *lade_stream_from_channel(const struct lade_item_type *type,
					     struct lade_channel *channel)
{
	struct of_channel *s = lade_malloc(sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct of_channel){ { &channel_ops, type }, channel };
	return &s->base;
}

/* Filter */

struct filter {
	struct lade_stream base;
	struct lade_stream *in;
	bool (*keep)(void *arg, const void *item);
	void *arg;
};

static int filter_next(void *stream, void *ret_item)
{
	struct filter *f = stream;
	int rc;

	while ((rc = lade_stream_next(f->in, ret_item)) > 0) {
		if (f->keep(f->arg, ret_item))
			return 1;
		lade_item_drop(f->base.type, ret_item);
	}
	return rc;
}

static int filter_try_next(void *stream, void *ret_item)
{
	struct filter *f = stream;
	int rc;

	while ((rc = lade_stream_try_next(f->in, ret_item)) > 0) {
		if (f->keep(f->arg, ret_item))
			return 1;
		lade_item_drop(f->base.type, ret_item);
	}
	return rc;
}

static void filter_close(void *stream)
{
	struct filter *f = stream;

	lade_stream_close(f->in);
	lade_free(f);
}

static const struct lade_source filter_ops = { filter_next, filter_try_next, filter_close };

struct lade_stream *lade_stream_filter(struct lade_stream *in,
				       bool (*keep)(void *arg, const void *item), void *arg)
{
	struct filter *f = in ? lade_malloc(sizeof(*f)) : NULL;

	if (!f)
		return lade_stream_close(in);
	*f = (struct filter){ { &filter_ops, in->type }, in, keep, arg };
	return &f->base;
}
