/* SPDX-License-Identifier: MIT */
/* lines.c - the lines of a file or pipe, without copying them.
 *
 * DESIGN
 * Bytes are read into chunks; a line points into its chunk and keeps it alive, so lines can be
 * collected into batches and outlive the reading. Only the beginning of a line that crosses a
 * chunk's end is copied, into the next chunk. LADE_LINE_SLACK readable bytes lie behind every
 * line: parsers that look ahead in wide steps need no copy.
 *
 * A line that is too long keeps its first line_max bytes; the rest is read and thrown away. All of
 * this is state of the stream: a cancelled next goes on where it was.
 *
 * LIMITS  a chunk is 64 KiB, or what the longest line needs; a chunk lives as long as a line of
 * it. */

#include "stream/stream_priv.h"

#include <lade/io.h>

#include <errno.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)64 << 10)
#define LINE_MAX_DEFAULT ((uint32_t)1 << 20)

struct lade_chunk {
	uint32_t refs;	   /* lines, and the stream while it fills it */
	size_t capacity;   /* bytes of data, slack not counted */
	char data[];	   /* capacity + LADE_LINE_SLACK */
};

struct lines {
	int fd;
	uint32_t line_max;	  /* longest line */
	struct lade_chunk *chunk; /* being filled, or NULL */
	size_t start;		  /* where the next line begins in it */
	size_t seen;		  /* bytes from start on that hold no newline */
	size_t end;		  /* how far it is filled */
	bool at_end;		  /* the file has ended */
	bool skipping;		  /* the line is too long: its rest is thrown away */
	int64_t skipped;	  /* bytes of it thrown away */
	int64_t offset;		  /* in the file, of the byte at start */
	uint64_t number;	  /* of the next line */
};

static void unref_chunk(struct lade_chunk *chunk)
{
	if (chunk && --chunk->refs == 0)
		lade_free(chunk);
}

void lade_line_drop(struct lade_line *line)
{
	unref_chunk(line->chunk);
	line->chunk = NULL;
}

/* Begins a chunk with what there is of the present line. */
static int new_chunk(struct lines *l)
{
	size_t have = l->chunk ? l->end - l->start : 0;
	size_t capacity = have * 2 > CHUNK_BYTES ? have * 2 : CHUNK_BYTES;
	struct lade_chunk *chunk;

	chunk = lade_malloc(sizeof(*chunk) + capacity + LADE_LINE_SLACK);
	if (!chunk)
		return -ENOMEM;
	chunk->refs = 1;
	chunk->capacity = capacity;
	memset(chunk->data + capacity, 0, LADE_LINE_SLACK);
	if (have)
		memcpy(chunk->data, l->chunk->data + l->start, have);
	unref_chunk(l->chunk);
	l->chunk = chunk;
	l->start = 0;
	l->end = have;
	return 0;
}

/* The length of the present line if its newline is in the chunk, else -1. */
static ssize_t find_newline(struct lines *l)
{
	char *from, *found;

	if (!l->chunk)
		return -1;
	from = l->chunk->data + l->start + l->seen;
	found = memchr(from, '\n', l->end - l->start - l->seen);
	if (found)
		return found - (l->chunk->data + l->start);
	l->seen = l->end - l->start;
	return -1;
}

/* Gives the line of @len bytes at start; @eol bytes of line end follow. */
static int give(struct lines *l, size_t len, size_t eol, struct lade_line *ret)
{
	size_t text_len = len;

	if (eol && !l->skipping && text_len && l->chunk->data[l->start + text_len - 1] == '\r')
		text_len--;
	if (text_len > l->line_max) {
		text_len = l->line_max;
		l->skipping = true;
	}
	*ret = (struct lade_line){
		.text = l->chunk->data + l->start,
		.len = (uint32_t)text_len,
		.too_long = l->skipping,
		.ended = eol != 0,
		.number = l->number++,
		.offset = l->offset,
		.next_offset = l->offset + (int64_t)(len + eol) + l->skipped,
		.chunk = l->chunk,
	};
	l->chunk->refs++;
	l->offset = ret->next_offset;
	l->start += len + eol;
	l->seen = 0;
	l->skipping = false;
	l->skipped = 0;
	return 1;
}

/* Of a line that is too long, keeps line_max bytes and forgets the others. */
static void skip_excess(struct lines *l)
{
	size_t excess = l->end - l->start - l->line_max;

	l->skipping = true;
	l->skipped += (int64_t)excess;
	l->end -= excess;
	l->seen = l->line_max;
}

/* A newline ended a line of which part was skipped: its bytes lie right behind what was kept. */
static int give_skipped(struct lines *l, size_t len, struct lade_line *ret)
{
	size_t behind = len - l->line_max;

	memmove(l->chunk->data + l->start + l->line_max, l->chunk->data + l->start + len,
		l->end - l->start - len);
	l->end -= behind;
	l->skipped += (int64_t)behind;
	return give(l, l->line_max, 1, ret);
}

/* The next line, if it is in memory.  Returns 1; 0: the end; -EAGAIN: read more. */
static int line_in_memory(struct lines *l, struct lade_line *ret)
{
	ssize_t len = find_newline(l);

	if (len >= 0)
		return l->skipping ? give_skipped(l, (size_t)len, ret)
				   : give(l, (size_t)len, 1, ret);
	if (l->at_end)
		return l->chunk && l->end > l->start ? give(l, l->end - l->start, 0, ret) : 0;
	/* One byte more than line_max may be the \r of the line's end. */
	if (l->chunk && l->end - l->start > (size_t)l->line_max + 1)
		skip_excess(l);
	return -EAGAIN;
}

static int fill(struct lines *l)
{
	int rc;

	if (!l->chunk || l->end == l->chunk->capacity) {
		rc = new_chunk(l);
		if (rc < 0)
			return rc;
	}
	rc = lade_read(l->fd, l->chunk->data + l->end, l->chunk->capacity - l->end);
	if (rc < 0)
		return rc;
	l->end += (size_t)rc;
	l->at_end = rc == 0;
	return 0;
}

static int lines_next(void *self, void *ret_item)
{
	struct lines *l = self;
	int rc = lade_enter("a line");

	while (rc == 0) {
		rc = line_in_memory(l, ret_item);
		if (rc != -EAGAIN)
			break;
		rc = fill(l);
	}
	return rc;
}

static int lines_try_next(void *self, void *ret_item)
{
	return line_in_memory(self, ret_item);
}

static void lines_close(void *self)
{
	struct lines *l = self;

	unref_chunk(l->chunk);
	lade_free(l);
}

struct lade_line_stream *lade_lines_of(int fd, int64_t offset, uint64_t number, uint32_t line_max)
{
	static const struct lade_source source = { lines_next, lines_try_next, lines_close };
	struct lines *l = lade_calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->fd = fd;
	l->line_max = line_max ? line_max : LINE_MAX_DEFAULT;
	l->offset = offset;
	l->number = number;
	return lade_line_stream_of(&source, l);
}
