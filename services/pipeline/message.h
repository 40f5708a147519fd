/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_MESSAGE_H
#define LADE_PIPELINE_MESSAGE_H

/* message.h - a message: the bytes as they came, what is known about them, and what steps
 * have set.
 *
 * The bytes are never changed.  A step's results are kept beside them, as typed values at
 * paths, and become part of a document once, where it is written.  What a message may be
 * asked for and what may be set is settled before the first one: a shape.  A transform makes
 * other messages, which have a shape of their own. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lade/arena.h>
#include <lade/json.h>

#include "services/pipeline/lane.h"
#include "services/pipeline/ref.h"

/* What messages can be asked for and get, from the source or a transform to the next
 * transform or the sinks.  It does not change once messages are read. */
struct lade_pipe_shape {
	struct lade_json_paths *paths;		/* what they are asked for */
	struct lade_json_overlay *overlay;	/* what they get */
	bool *meets;	/* [path * overlays + overlay]: a value there is part of the path's or
			 * the other way round */
	int *exact;	/* [path]: the overlay at the same place, or -1 */
	size_t overlays;	/* paths of the overlay, once it is closed */
	unsigned *outermost;	/* the paths at which the overlay's begin */
	int n_outermost;	/* how many there are */
	struct lade_pipe_into *intos;	/* the overlay's paths as texts */
	struct lade_pipe_into *froms;	/* the paths as texts */
};

/* A name and bytes that came with a message. */
struct lade_pipe_header {
	const char *name;		/* ends with NUL */
	const char *bytes;		/* NULL: no value */
	uint32_t len;			/* their number */
};

/* What the bytes of a message are, if they are no JSON object. */
enum lade_pipe_plain {
	LADE_PLAIN_NOT,		/* they are */
	LADE_PLAIN_TEXT,	/* UTF-8: one value, at the path `.` */
	LADE_PLAIN_BYTES	/* anything: nothing in it can be asked for */
};

struct lade_pipe_message {
	const char *bytes;		/* as they came; in the batch's arena */
	uint32_t len;			/* their number */
	struct lade_json_span *spans;	/* where the shape's paths are; in the arena */
	struct lade_datum *set;		/* what steps have set, a place for each; NULL: nothing */
	struct lade_pipe_lane *lane;	/* where it came from; NULL: nowhere */
	int64_t offset;			/* where it begins in its lane */
	int64_t next_offset;		/* where the next one begins */
	uint64_t branch;		/* of several that a transform made of one: 0, 1, ... */
	int64_t line;			/* its line, from 1; 0: not known */
	int64_t timestamp_us;		/* since 1970; INT64_MIN: none */
	struct lade_datum key;		/* its bytes, as text; LADE_ABSENT: none */
	const struct lade_pipe_header *headers; /* in the order in which they came */
	uint32_t n_headers;		/* how many there are */
	uint8_t plain;			/* lade_pipe_plain: then nothing can be set in it */
	bool tombstone;			/* it has no value: .bytes are not a document */
};

/* lade_pipe_shape_new - a shape of messages that nobody asks for anything.
 *
 * Returns NULL when memory is out. */
struct lade_pipe_shape *lade_pipe_shape_new(void);

/* lade_pipe_shape_free - frees a shape, or does nothing for NULL.  Returns NULL. */
struct lade_pipe_shape *lade_pipe_shape_free(struct lade_pipe_shape *shape);

/* lade_pipe_shape_ask - messages will be asked for this reference.
 *
 * The result points into @text, which outlives the shape.  Returns as lade_pipe_ref_parse(). */
int lade_pipe_shape_ask(struct lade_pipe_shape *shape, const char *text, size_t len,
			struct lade_pipe_ref *ret, struct lade_json_error *ret_error);

/* lade_pipe_shape_get - messages may get a value at the path @into, or, with @name, at the
 * member of that name in it.
 *
 * Returns 0 and the value's place; else as lade_json_overlay_add(). */
int lade_pipe_shape_get(struct lade_pipe_shape *shape, const char *into, const char *name,
			unsigned *ret_slot, struct lade_json_error *ret_error);

/* lade_pipe_shape_close - nothing more is added: finds out what meets what.
 *
 * Returns 0 or -ENOMEM. */
int lade_pipe_shape_close(struct lade_pipe_shape *shape);

/* lade_pipe_message_read - checks the bytes of a message and finds what it will be asked for.
 *
 * The bytes are set, and .plain; they live as long as @arena.
 *
 * Returns 0; -EBADMSG with the reason when they are no object, or no text; -ENOMEM. */
int lade_pipe_message_read(struct lade_pipe_message *message,
			   const struct lade_pipe_shape *shape, struct lade_json_reader *reader,
			   struct lade_arena *arena, struct lade_json_error *ret_error);

/* lade_pipe_message_set - sets a value, which lives as long as @arena.
 *
 * Returns 0 or -ENOMEM. */
int lade_pipe_message_set(struct lade_pipe_message *message,
			  const struct lade_pipe_shape *shape, unsigned slot,
			  struct lade_datum value, struct lade_arena *arena);

/* lade_pipe_message_value - the value of a reference, as the type it is asked for.
 *
 * A path that meets what a step has set sees the message with it; for that the message may
 * have to be written and read anew, once.
 *
 * Returns 0; -EBADMSG when it does not convert or is not there, with a reason that begins with
 * the name: ".delay: \"x\" is not an integer"; -ENOMEM. */
int lade_pipe_message_value(struct lade_pipe_message *message,
			    const struct lade_pipe_shape *shape, const struct lade_pipe_ref *ref,
			    struct lade_json_reader *reader, struct lade_arena *arena,
			    struct lade_datum *ret, struct lade_json_error *ret_error);

/* lade_pipe_message_write - appends the message, with what was set, as one document: text as a
 * string, bytes that are no UTF-8 as one in base64.
 *
 * Returns 0; -EBADMSG with the reason when a value cannot be where it was set; else
 * out->status. */
int lade_pipe_message_write(const struct lade_pipe_message *message,
			    const struct lade_pipe_shape *shape, struct lade_json_reader *reader,
			    struct lade_json_out *out, struct lade_json_error *ret_error);

/* lade_pipe_tuple - values as one key of a cache: two tuples give the same bytes only if
 * they have the same types and values in the same places.
 *
 * Returns 0 and the bytes, or -ENOMEM. */
int lade_pipe_tuple(const struct lade_datum *values, size_t n, struct lade_arena *arena,
		    const void **ret, size_t *ret_len);

/* What became of a message that was rejected. */
struct lade_pipe_rejection {
	const char *step;		/* where: a step's name, "source" or "sink" */
	const char *reason;		/* why */
	int64_t attempts;		/* how often it was tried */
	int64_t first_us;		/* when it failed first, since 1970 */
};

/* lade_pipe_dead_letter - appends the document that a dead letter is, without a newline.
 *
 * The message's bytes are a string in it, which gives them back exactly; bytes that are no
 * UTF-8 are in base64, under another name.
 *
 * Returns out->status. */
int lade_pipe_dead_letter(const struct lade_pipe_message *message,
			  const struct lade_pipe_rejection *rejection,
			  struct lade_json_out *out);

#endif
