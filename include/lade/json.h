/* SPDX-License-Identifier: MIT */
#ifndef LADE_JSON_H
#define LADE_JSON_H

/* lade_json - checks JSON documents in full, and finds many values in one pass.
 *
 * A set of paths is compiled once.  Reading a document checks every byte of it (RFC 8259)
 * and notes where the values of these paths lie; nothing is copied and no number is
 * converted, so what passes through keeps its bytes.  A value is converted when it is
 * asked for with a type.
 *
 * Example in json:
 *	struct lade_json_span at[1];
 *	struct lade_datum id;
 *	unsigned slot;
 *
 *	rc = lade_json_paths_add(paths, ".order.id", 9, &slot, &error);
 *	if (rc == 0)
 *		rc = lade_json_read(reader, paths, line, len, 0, at, &error);
 *	if (rc == 0)
 *		rc = lade_json_convert(line, at[slot], (struct lade_want){ LADE_INTEGER, false },
 *				       NULL, 0, &id, &error);
 *
 * A document needs no padding behind it: the reader never looks past its length.
 * The grammar is taken at its word: a number may have any digits and a string may hold
 * half of a surrogate pair; only the conversion to a type refuses them.  Of members with
 * the same name the first counts, as in SQLite's ->>.
 *
 * No function here suspends. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lade/datum.h>
#include <lade/version.h>

#define LADE_JSON_DEPTH_MAX 512		/* arrays and objects in one another */
#define LADE_JSON_LEN_MAX 0x40000000	/* bytes of a document */
#define LADE_JSON_STEPS_MAX 32		/* names and indexes of a path */
#define LADE_JSON_NAME_MAX 255		/* bytes of a name in a path */
#define LADE_JSON_PATHS_MAX 4096	/* paths in a set */

/* What is wrong, and where. */
struct lade_json_error {
	size_t at;		/* offset in bytes, from 0 */
	char reason[168];	/* a sentence's end: "expected a comma, found 'x'" */
};

/* Where a value lies in its document. */
struct lade_json_span {
	uint32_t at;		/* offset of its first byte */
	uint32_t len;		/* bytes; 0: the value is not there */
};

/* Flags of lade_json_read. */
#define LADE_JSON_ANY_ROOT 1u	/* the document need not be an object */

struct lade_json_paths;		/* a set of paths; not changed by reading */
struct lade_json_reader;	/* memory for reading; one document at a time */
struct lade_json_overlay;	/* a set of paths that get new values; not changed by writing */

LADE_API_BEGIN

/* lade_json_utf8_check - whether a text is UTF-8 (RFC 3629: no surrogates, no detours).
 *
 * Returns @len, or the place of the first byte that is not. */
size_t lade_json_utf8_check(const char *text, size_t len);

/* lade_json_paths_new - an empty set of paths.
 *
 * Returns NULL when memory is out.  Free it with lade_json_paths_free(). */
struct lade_json_paths *lade_json_paths_new(void);

/* lade_json_paths_free - frees a set, or does nothing for NULL.
 *
 * Returns NULL. */
struct lade_json_paths *lade_json_paths_free(struct lade_json_paths *paths);

/* lade_json_paths_add - adds one path: `.a.b`, `.a[0]`, `."odd name"`, or `.` for all of it.
 *
 * A bare name consists of letters, digits, `_`, `-`, `$` and anything beyond ASCII; other
 * names are written as JSON strings.  A path that is in the set already keeps its slot.
 *
 * Returns 0 and the path's place in the array that lade_json_read() fills; -EINVAL when it
 * is no path (@ret_error says why), -E2BIG at one of the limits above, -ENOMEM.
 * Threads: any, while nobody reads with the set. */
int lade_json_paths_add(struct lade_json_paths *paths, const char *path, size_t len,
			unsigned *ret_slot, struct lade_json_error *ret_error);

/* lade_json_paths_count - the length of the array that lade_json_read() fills. */
size_t lade_json_paths_count(const struct lade_json_paths *paths);

/* lade_json_reader_new - memory for reading, which grows with the longest document
 * (four to eight bytes for each of its bytes) and stays.
 *
 * Returns 0 or -ENOMEM.  Free it with lade_json_reader_free().  Threads: a reader serves one
 * thread at a time; a set of paths serves any number of readers. */
int lade_json_reader_new(struct lade_json_reader **ret);

/* lade_json_reader_free - frees a reader, or does nothing for NULL.
 *
 * Returns NULL. */
struct lade_json_reader *lade_json_reader_free(struct lade_json_reader *reader);

/* lade_json_read - checks one document and finds the values of @paths.
 *
 * @paths may be NULL.  @ret_spans has one place for each path; those of a document with an
 * error are undefined.
 *
 * Returns 0; -EBADMSG when the document is not JSON, or not an object (unless @flags has
 * LADE_JSON_ANY_ROOT), or nested too deep; -EMSGSIZE above LADE_JSON_LEN_MAX; -ENOMEM. */
int lade_json_read(struct lade_json_reader *reader, const struct lade_json_paths *paths,
		   const char *doc, size_t len, unsigned flags,
		   struct lade_json_span *ret_spans, struct lade_json_error *ret_error);

/* One member of the outermost object. */
struct lade_json_member {
	struct lade_json_span name;	/* what stands between the quotes, escapes and all */
	struct lade_json_span value;	/* the value */
};

/* lade_json_member_next - walks the members of the object that was read last.
 *
 * *@cursor is 0 at the start; the document must still be there.
 *
 * Returns 1 and a member, 0 at the end or when the last document was no object. */
int lade_json_member_next(struct lade_json_reader *reader, uint32_t *cursor,
			  struct lade_json_member *ret);

/* lade_json_convert - a value of a document that was read, as a type.
 *
 * text: strings; numbers, booleans, arrays and objects as they are written.  A string with
 * \u0000 or with half of a surrogate pair is refused.
 * integer: whole numbers within 64 bits, also 5.0 and 1e3, and strings that hold one; true
 * is 1 and false is 0, as in SQLite.
 * double: numbers, and strings that hold one, that do not overflow.
 * boolean: true, false, 1, 0, and strings that hold one of the four.
 * timestamp: strings as lade_timestamp_parse() reads them; whole numbers are milliseconds
 * since 1970.
 * json: anything, as it is written.
 * LADE_ABSENT as the type: what JSON says that it is, text, integer, double, boolean or
 * json; a whole number beyond 64 bits is refused, not rounded.
 *
 * The result points into @doc, or into @room when a string has escapes: then @room_len must
 * be span.len at least.
 *
 * Returns 0; -EBADMSG with the reason when the value does not convert, is null or is not
 * there; -ENOBUFS when @room is too small. */
int lade_json_convert(const char *doc, struct lade_json_span span, struct lade_want want,
		      char *room, size_t room_len, struct lade_datum *ret,
		      struct lade_json_error *ret_error);

/* lade_json_out - a text that grows.  The first failure sticks: what follows is ignored, so
 * that a writer looks at .status once, at the end. */
struct lade_json_out {
	char *data;		/* the text; NULL before the first byte */
	size_t len;		/* bytes written */
	size_t cap;		/* bytes that fit */
	size_t max;		/* bytes it may ever have */
	int status;		/* 0; -EMSGSIZE beyond max, -ENOMEM, -EILSEQ for text that is
				 * not UTF-8, -ERANGE for a time stamp or number JSON cannot say */
};

/* lade_json_out_init - an empty text of at most @max bytes. */
void lade_json_out_init(struct lade_json_out *out, size_t max);

/* lade_json_out_done - frees the memory.  The structure is as after lade_json_out_init(). */
void lade_json_out_done(struct lade_json_out *out);

/* lade_json_out_reset - empties the text and forgets a failure; keeps the memory. */
void lade_json_out_reset(struct lade_json_out *out);

/* lade_json_out_raw - appends @len bytes as they are. */
void lade_json_out_raw(struct lade_json_out *out, const char *text, size_t len);

/* lade_json_out_string - appends a JSON string; @text is UTF-8 and may hold anything. */
void lade_json_out_string(struct lade_json_out *out, const char *text, size_t len);

/* lade_json_out_datum - appends a value: a time stamp as a string, absent as null. */
void lade_json_out_datum(struct lade_json_out *out, const struct lade_datum *datum);

/* lade_json_overlay_new - an empty set of paths that documents get new values at.
 *
 * Returns NULL when memory is out.  Free it with lade_json_overlay_free(). */
struct lade_json_overlay *lade_json_overlay_new(void);

/* lade_json_overlay_free - frees a set, or does nothing for NULL.
 *
 * Returns NULL. */
struct lade_json_overlay *lade_json_overlay_free(struct lade_json_overlay *overlay);

/* lade_json_overlay_add - adds a path, as lade_json_paths_add() does, but not `.`.
 *
 * Returns also -EEXIST when the path leads into another one of the set, or another one leads
 * into it: the two could not both have their way. */
int lade_json_overlay_add(struct lade_json_overlay *overlay, const char *path, size_t len,
			  unsigned *ret_slot, struct lade_json_error *ret_error);

/* lade_json_overlay_count - the length of the array of values. */
size_t lade_json_overlay_count(const struct lade_json_overlay *overlay);

/* lade_json_overlay_write - appends a document in which the paths have new values.
 *
 * @values has one place for each path; those that are LADE_ABSENT leave the document alone.
 * Everything else keeps its bytes, its order and its blanks.  Objects on the way to a path
 * are made where they are missing; new members come last.  Of members with the same name as
 * a path's the first is replaced and the others are left out.  Reads @doc with @reader, so
 * the members of an earlier document cannot be walked any more.
 *
 * Returns 0; -EBADMSG when the document cannot have such a value (@ret_error says why: a
 * number where an object is needed, an index beyond the end) or is not JSON; else
 * out->status.  After a failure the text is as long as before. */
int lade_json_overlay_write(const struct lade_json_overlay *overlay,
			    struct lade_json_reader *reader, const char *doc, size_t len,
			    const struct lade_datum *values, struct lade_json_out *out,
			    struct lade_json_error *ret_error);

/* lade_json_overlay_outermost - adds to @paths the outermost member of each path of an overlay.
 *
 * @ret_slots has room for lade_json_overlay_count() of them. A document that has a value at none
 * of these is one for lade_json_overlay_append().
 *
 * Returns how many there are; else as lade_json_paths_add(). */
int lade_json_overlay_outermost(const struct lade_json_overlay *overlay,
				struct lade_json_paths *paths, unsigned *ret_slots,
				struct lade_json_error *ret_error);

/* lade_json_overlay_append - what lade_json_overlay_write() does, for an object that was read
 * before and has none of the overlay's outermost members: it is not read again.
 *
 * @doc must have been read without an error. Returns as lade_json_overlay_write() does. */
int lade_json_overlay_append(const struct lade_json_overlay *overlay,
			     struct lade_json_reader *reader, const char *doc, size_t len,
			     const struct lade_datum *values, struct lade_json_out *out,
			     struct lade_json_error *ret_error);

LADE_API_END

#endif
