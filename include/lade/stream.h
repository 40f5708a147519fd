/* SPDX-License-Identifier: MIT */
#ifndef LADE_STREAM_H
#define LADE_STREAM_H

/* stream.h - async iterators: typed, pulled, with back-pressure.
 *
 * LADE_STREAM(flight, struct flight) defines struct flight_stream and its functions. A stream is
 * pulled: next gives 1 (an item), 0 (the end) or less than 0. A next that was cancelled has
 * consumed nothing; after 1 the item is the consumer's. Operators with a task of their own take
 * the scope in which it lives, as a daemon child, and work ahead of their consumer.
 *
 * An operator consumes its input, on failure too: given NULL it returns NULL, and next on NULL is
 * -ENOMEM, so a chain is checked once, at its end. Closing the last closes the chain. */

#include <lade/channel.h>
#include <lade/event.h>
#include <lade/scope.h>

LADE_API_BEGIN

struct lade_stream;

/* What an item is. */
struct lade_item_type {
	uint32_t bytes;			  /* size of the item itself */
	void (*drop)(void *item);	  /* gives an item up, or NULL */
	size_t (*weight)(const void *item); /* bytes it stands for, or NULL: its size */
};

/* A source of items: what a program writes to make a stream of its own. It lives until its close
 * is called, which is when the scope of an operator that pulls it has let go of it. */
struct lade_source {
	/* Gives the next item: 1, 0 at the end, < 0. May suspend; cancelled it consumed nothing. */
	int (*next)(void *self, void *ret_item);
	/* The same without waiting: -EAGAIN when there is nothing yet; NULL: it cannot tell. */
	int (*try_next)(void *self, void *ret_item);
	/* Frees the source; does not suspend. */
	void (*close)(void *self);
};

/* Why a batch was closed. */
enum lade_batch_reason {
	LADE_BATCH_ITEMS,     /* it held max_items */
	LADE_BATCH_BYTES,     /* it held max_bytes */
	LADE_BATCH_LINGER,    /* linger had passed since its first item */
	LADE_BATCH_IDLE,      /* idle had passed since its last item */
	LADE_BATCH_READY,     /* linger is 0 and nothing more was ready */
	LADE_BATCH_END,	      /* the source ended, or failed: what there was */
	LADE_BATCH_REMAINDER, /* taken by NAME_batch_remainder */
	LADE_BATCH_REASONS
};

/* lade_batch_reason_name - "items", "bytes", …: a reason in a word.  Suspends: no. */
const char *lade_batch_reason_name(enum lade_batch_reason reason);

/* When a batch closes; zeros: off, linger 0: at once when nothing is ready, ahead 0: 1. */
struct lade_batch_config {
	uint32_t max_items;	      /* closes at so many; 0: 1,000,000 */
	size_t max_bytes;	      /* closes when its items weigh so much; 0: off */
	struct lade_duration linger;  /* closes so long after its FIRST item */
	struct lade_duration idle;    /* closes so long after its LAST item; 0: off */
	uint32_t ahead;		      /* batches formed while the consumer is busy; 0: 1 */
};

/* The untyped batch: NAME_batch is the same with typed items. */
struct lade_batch {
	void *items;		       /* len items in a row */
	size_t len;		       /* how many, at least 1 */
	size_t bytes;		       /* what they weigh */
	enum lade_batch_reason reason; /* what closed it */
	struct lade_instant first;     /* when its first item came */
};

/* The untyped faces of the typed functions below; a language binding would use them. */

/* lade_stream_of - a stream over a source; given no memory it closes the source.
 *
 * Returns NULL: no memory.  Suspends: no.  Owns: the stream owns the source. */
struct lade_stream *lade_stream_of(const struct lade_item_type *type,
				   const struct lade_source *source, void *self);
/* lade_stream_next - NAME_next. */
lade_suspends int lade_stream_next(struct lade_stream *stream, void *ret_item);
/* lade_stream_try_next - NAME_try_next. */
int lade_stream_try_next(struct lade_stream *stream, void *ret_item);
/* lade_stream_close - NAME_stream_close; NULL is allowed.  Returns NULL. */
struct lade_stream *lade_stream_close(struct lade_stream *stream);
/* lade_stream_type - what the items of a stream are; NULL of NULL. */
const struct lade_item_type *lade_stream_type(const struct lade_stream *stream);
/* lade_stream_from_array - NAME_from_array. */
struct lade_stream *lade_stream_from_array(const struct lade_item_type *type, const void *items,
					   size_t len);
/* lade_stream_from_channel - NAME_from_channel. */
struct lade_stream *lade_stream_from_channel(const struct lade_item_type *type,
					     struct lade_channel *channel);
/* lade_stream_filter - what LADE_FILTER calls. */
struct lade_stream *lade_stream_filter(struct lade_stream *in,
				       bool (*keep)(void *arg, const void *item), void *arg);
/* lade_stream_prefetch - NAME_prefetch. */
struct lade_stream *lade_stream_prefetch_at(struct lade_scope *scope, struct lade_stream *in,
					    uint32_t items, size_t bytes, const char *site);
/* lade_stream_merge - NAME_merge. */
struct lade_stream *lade_stream_merge_at(struct lade_scope *scope, struct lade_stream *const *in,
					 size_t count, const char *site);
/* lade_stream_map - what LADE_MAP calls. */
struct lade_stream *lade_stream_map_at(struct lade_scope *scope, struct lade_stream *in,
				       const struct lade_item_type *type,
				       int (*fn)(void *arg, void *item, void *ret), void *arg,
				       uint32_t at_once, bool as_completed, const char *site);
/* lade_stream_batch - NAME_batch. */
struct lade_stream *lade_stream_batch_at(struct lade_scope *scope, struct lade_stream *in,
					 const struct lade_batch_config *config,
					 const char *site);
/* lade_stream_batch_next - NAME_batch_next. */
lade_suspends int lade_stream_batch_next(struct lade_stream *stream, struct lade_batch *ret);
/* lade_stream_batch_remainder - NAME_batch_remainder. */
int lade_stream_batch_remainder(struct lade_stream *stream, struct lade_batch *ret);

/* LADE_STREAM - LADE_STREAM(name, type): streams of that type.
 *
 *  name_next(stream, &item)            1: an item, yours; 0: the end; -ECANCELED: nothing was
 *                                      consumed; -ENOMEM: the stream is NULL; the source's error
 *  name_try_next(stream, &item)        the same without waiting: -EAGAIN; -EOPNOTSUPP: the source
 *                                      cannot tell
 *  name_stream_close(stream)           frees the chain; NULL is allowed; returns NULL
 *  name_stream_of(source, self)        a source of your own: struct lade_source
 *  name_from_array(items, len)         copies of what the array holds, which must outlive it
 *  name_from_channel(channel)          until it is closed; the channel stays yours
 *  name_prefetch(scope, in, n, bytes)  reads at most n items ahead, and none more once they weigh
 *                                      bytes (0: any), from now on; they survive a cancelled
 *                                      consumer
 *  name_merge(scope, ins, count)       of at most 64 streams, in the order of arrival
 *  name_batch(scope, in, config)       struct name_batches: see struct lade_batch_config
 *  name_batch_next(batches, &batch)    1: a struct name_batch, never empty, valid until the next
 *                                      call; 0; < 0, after the batches that precede the failure
 *  name_batch_remainder(batches, &b)   1: what has been read and not yet been delivered, after an
 *                                      error or a cancel; 0: nothing more
 *  name_batches_close(batches)         as name_stream_close
 *
 * Operators beyond their limits (1,024 bodies of a map at once, 64 merged streams, 64 batches
 * ahead) are NULL as without memory. A batch without max_items closes at a million items.
 * next and batch_next suspend; the others do not.  Threads: the stream's loop's. */
#define LADE_STREAM(name, type) LADE_STREAM_WITH(name, type, (.drop = NULL))

/* LADE_STREAM_WITH - LADE_STREAM_WITH(name, type, (options)): .drop = void (*)(type *) gives an
 * item up that nobody takes; .bytes = size_t (*)(const type *) says what it weighs. */
#define LADE_STREAM_WITH(name, T, with)                                                            \
	struct name##_channel;                                                                     \
	struct name##_stream;                                                                      \
	struct name##_batches;                                                                     \
	struct name##_batch {                                                                      \
		T *items;                                                                          \
		size_t len;                                                                        \
		size_t bytes;                                                                      \
		enum lade_batch_reason reason;                                                     \
		struct lade_instant first;                                                         \
	};                                                                                         \
	struct name##_stream_with {                                                                \
		void (*drop)(T *);                                                                 \
		size_t (*bytes)(T const *);                                                        \
	};                                                                                         \
	__attribute__((unused)) static inline void name##_item_drop(void *item)                    \
	{                                                                                          \
		const struct name##_stream_with w = { LADE_OPEN_ with };                           \
		if (w.drop)                                                                        \
			w.drop(item);                                                              \
	}                                                                                          \
	__attribute__((unused)) static inline size_t name##_item_weight(const void *item)          \
	{                                                                                          \
		const struct name##_stream_with w = { LADE_OPEN_ with };                           \
		return w.bytes ? w.bytes(item) : sizeof(T);                                        \
	}                                                                                          \
	__attribute__((unused)) static const struct lade_item_type name##_item_type = {            \
		sizeof(T),                                                                         \
		name##_item_drop,                                                                  \
		name##_item_weight,                                                                \
	};                                                                                         \
	LADE_STREAM_FACE_(name, T)                                                                 \
	LADE_BATCH_FACE_(name, T)

#define LADE_STREAM_RAW_(stream) ((struct lade_stream *)(void *)(stream))

#define LADE_STREAM_FACE_(name, T)                                                                 \
	__attribute__((unused)) static inline lade_suspends int name##_next(                       \
		struct name##_stream *stream, T *ret_item)                                         \
	{                                                                                          \
		return lade_stream_next(LADE_STREAM_RAW_(stream), ret_item);                       \
	}                                                                                          \
	__attribute__((unused)) static inline int name##_try_next(struct name##_stream *stream,    \
								  T *ret_item)                     \
	{                                                                                          \
		return lade_stream_try_next(LADE_STREAM_RAW_(stream), ret_item);                   \
	}                                                                                          \
	__attribute__((unused)) static inline struct name##_stream *name##_stream_close(           \
		struct name##_stream *stream)                                                      \
	{                                                                                          \
		lade_stream_close(LADE_STREAM_RAW_(stream));                                       \
		return NULL;                                                                       \
	}                                                                                          \
	__attribute__((unused)) static inline struct name##_stream *name##_stream_of(              \
		const struct lade_source *source, void *self)                                      \
	{                                                                                          \
		return (void *)lade_stream_of(&name##_item_type, source, self);                    \
	}                                                                                          \
	__attribute__((unused)) static inline struct name##_stream *name##_from_array(             \
		T const *items, size_t len)                                                        \
	{                                                                                          \
		return (void *)lade_stream_from_array(&name##_item_type, items, len);              \
	}                                                                                          \
	__attribute__((unused)) static inline struct name##_stream *name##_from_channel(           \
		struct name##_channel *channel)                                                    \
	{                                                                                          \
		return (void *)lade_stream_from_channel(&name##_item_type, (void *)channel);       \
	}                                                                                          \
	__attribute__((unused)) static inline struct name##_stream *name##_prefetch(               \
		struct lade_scope *scope, struct name##_stream *in, uint32_t items, size_t bytes)  \
	{                                                                                          \
		return (void *)lade_stream_prefetch_at(scope, LADE_STREAM_RAW_(in), items, bytes,  \
						       #name "_prefetch");                         \
	}                                                                                          \
	__attribute__((unused)) static inline struct name##_stream *name##_merge(                  \
		struct lade_scope *scope, struct name##_stream *const *in, size_t count)           \
	{                                                                                          \
		const void *all = in;                                                              \
		return (void *)lade_stream_merge_at(scope, all, count, #name "_merge");            \
	}

#define LADE_BATCH_FACE_(name, T)                                                                  \
	__attribute__((unused)) static inline struct name##_batches *name##_batch(                 \
		struct lade_scope *scope, struct name##_stream *in,                                \
		struct lade_batch_config config)                                                   \
	{                                                                                          \
		return (void *)lade_stream_batch_at(scope, LADE_STREAM_RAW_(in), &config,          \
						    #name "_batch");                               \
	}                                                                                          \
	__attribute__((unused)) static inline lade_suspends int name##_batch_next(                 \
		struct name##_batches *batches, struct name##_batch *ret)                          \
	{                                                                                          \
		struct lade_batch b;                                                               \
		int rc = lade_stream_batch_next(LADE_STREAM_RAW_(batches), &b);                    \
		if (rc > 0)                                                                        \
			*ret = (struct name##_batch){ b.items, b.len, b.bytes, b.reason,           \
						     b.first };                                    \
		return rc;                                                                         \
	}                                                                                          \
	__attribute__((unused)) static inline int name##_batch_remainder(                          \
		struct name##_batches *batches, struct name##_batch *ret)                          \
	{                                                                                          \
		struct lade_batch b;                                                               \
		int rc = lade_stream_batch_remainder(LADE_STREAM_RAW_(batches), &b);               \
		if (rc > 0)                                                                        \
			*ret = (struct name##_batch){ b.items, b.len, b.bytes, b.reason,           \
						     b.first };                                    \
		return rc;                                                                         \
	}                                                                                          \
	__attribute__((unused)) static inline struct name##_batches *name##_batches_close(         \
		struct name##_batches *batches)                                                    \
	{                                                                                          \
		lade_stream_close(LADE_STREAM_RAW_(batches));                                      \
		return NULL;                                                                       \
	}

/* LADE_MAP - LADE_MAP(name, from, to, function): name(scope, in, arg, at_once, as_completed) maps
 * a stream of FROM to a stream of TO by int function(void *arg, FROM's type *, TO's type *ret).
 *
 * At most at_once bodies run at a time, each in a task of its own; results come in the order of
 * the items, or as they complete. The item is dropped after its body has ended, unless the body
 * took it over and zeroed what drop would free. A body's failure stops intake, waits for the
 * others and is returned after the results that precede it.  Both streams are typed before. */
#define LADE_MAP(name, from, to, fn)                                                               \
	__attribute__((unused)) static inline int name##_body(void *arg, void *item, void *ret)    \
	{                                                                                          \
		return fn(arg, item, ret);                                                         \
	}                                                                                          \
	__attribute__((unused)) static inline struct to##_stream *name(                            \
		struct lade_scope *scope, struct from##_stream *in, void *arg, uint32_t at_once,   \
		bool as_completed)                                                                 \
	{                                                                                          \
		return (void *)lade_stream_map_at(scope, LADE_STREAM_RAW_(in), &to##_item_type,    \
						  name##_body, arg, at_once, as_completed, #name); \
	}

/* LADE_FILTER - LADE_FILTER(name, stream, function): name(in, arg) keeps the items for which
 * bool function(void *arg, type const *item) is true and drops the others. It does not suspend. */
#define LADE_FILTER(name, of, fn)                                                                  \
	__attribute__((unused)) static inline bool name##_keep(void *arg, const void *item)        \
	{                                                                                          \
		return fn(arg, item);                                                              \
	}                                                                                          \
	__attribute__((unused)) static inline struct of##_stream *name(struct of##_stream *in,     \
								       void *arg)                  \
	{                                                                                          \
		return (void *)lade_stream_filter(LADE_STREAM_RAW_(in), name##_keep, arg);         \
	}

/* Lines of a file or pipe. */

/* Bytes that many lines share; a line keeps them alive. */
struct lade_chunk;

/* A line, without its end. Readable to LADE_LINE_SLACK bytes beyond it. */
struct lade_line {
	const char *text;	  /* the bytes */
	uint32_t len;		  /* how many */
	bool too_long;		  /* longer than the limit: the rest was skipped */
	bool ended;		  /* a newline followed; false only at the end of the file */
	uint64_t number;	  /* counts lines, from 1 */
	int64_t offset;		  /* of its first byte in the file */
	int64_t next_offset;	  /* of the first byte behind it and its end */
	struct lade_chunk *chunk; /* what keeps text alive */
};

#define LADE_LINE_SLACK 64

/* lade_line_drop - gives a line up.  Suspends: no. */
void lade_line_drop(struct lade_line *line);

/* lade_line_weight - what a line weighs: its length.  Suspends: no. */
static inline size_t lade_line_weight(const struct lade_line *line)
{
	return line->len;
}

LADE_STREAM_WITH(lade_line, struct lade_line, (.drop = lade_line_drop, .bytes = lade_line_weight))
struct lade_line_stream;

/* lade_lines_of - the lines of a descriptor from its present position, which is byte @offset and
 * line @number (1 for the first).
 *
 * Lines end with \\n or \\r\\n. Of a line longer than @line_max (0: 1 MiB) the first line_max bytes
 * are given, too_long is set, the rest is skipped.
 * Returns NULL: no memory.  Suspends: no.  Owns: the descriptor stays the caller's. */
struct lade_line_stream *lade_lines_of(int fd, int64_t offset, uint64_t number,
				       uint32_t line_max);

LADE_API_END

#endif
