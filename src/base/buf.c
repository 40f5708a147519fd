/* SPDX-License-Identifier: MIT */
/* buf.c - how a byte buffer makes room.
 *
 * DESIGN
 * Consumed bytes stay in front until moving the rest over them is paid for by at least as
 * many consumed bytes; otherwise the storage doubles.  So that this holds at the limit
 * too, the storage may be twice the limit: a full buffer from which one byte at a time is
 * taken and to which one is added would else be moved each time.
 *
 * INVARIANT  start <= end <= cap, end - start <= max, cap <= 2 * max.
 * LIMITS     max bytes unconsumed; every byte is copied O(1) times, amortised. */

#include "base/buf.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#define FIRST_BYTES 128	/* storage at the first use, if the limit allows it */

void lade_buf_init(struct lade_buf *buf, size_t max)
{
	assert(max > 0 && max <= SIZE_MAX / 4);
	*buf = (struct lade_buf){ .max = max };
}

void lade_buf_done(struct lade_buf *buf)
{
	lade_free(buf->mem);
	lade_buf_init(buf, buf->max);
}

/* Not realloc: it would copy the consumed bytes too, and need not keep them apart. */
static int move_to(struct lade_buf *buf, size_t cap)
{
	size_t len = lade_buf_len(buf);
	char *mem = lade_malloc(cap + 1);

	if (!mem)
		return -ENOMEM;
	if (len > 0)
		memcpy(mem, buf->mem + buf->start, len);
	lade_free(buf->mem);
	buf->mem = mem;
	buf->cap = cap;
	buf->start = 0;
	buf->end = len;
	return 0;
}

static int make_room(struct lade_buf *buf, size_t len)
{
	size_t have = lade_buf_len(buf), cap = buf->cap ? buf->cap : FIRST_BYTES;

	if (buf->start >= have && have + len <= buf->cap) {
		memmove(buf->mem, buf->mem + buf->start, have);
		buf->start = 0;
		buf->end = have;
		return 0;
	}
	while (cap < 2 * buf->max && (cap == buf->cap || cap < have + len))
		cap *= 2;
	return move_to(buf, cap < 2 * buf->max ? cap : 2 * buf->max);
}

int lade_buf_reserve(struct lade_buf *buf, size_t len, char **ret_room)
{
	int rc = 0;

	if (len > buf->max - lade_buf_len(buf))
		return -EMSGSIZE;
	if (!buf->mem || len > buf->cap - buf->end)
		rc = make_room(buf, len);
	if (rc < 0)
		return rc;
	*ret_room = buf->mem + buf->end;
	return 0;
}

int lade_buf_append(struct lade_buf *buf, const void *bytes, size_t len)
{
	char *room;
	int rc;

	if (len == 0)
		return 0;
	rc = lade_buf_reserve(buf, len, &room);
	if (rc < 0)
		return rc;
	memcpy(room, bytes, len);
	buf->end += len;
	return 0;
}

int lade_buf_vprintf(struct lade_buf *buf, const char *format, va_list args)
{
	size_t room = buf->mem ? buf->cap - buf->end : 0;
	char *at = buf->mem ? buf->mem + buf->end : NULL;
	va_list again;
	int len, rc;

	va_copy(again, args);
	/* The byte for the NUL is not counted in cap: a text that fits exactly, fits. */
	len = vsnprintf(at, at ? room + 1 : 0, format, args);
	rc = len < 0 ? -EINVAL : 0;
	if (rc == 0 && (!at || (size_t)len > room || lade_buf_len(buf) + (size_t)len > buf->max)) {
		rc = lade_buf_reserve(buf, (size_t)len, &at);
		if (rc == 0 && vsnprintf(at, (size_t)len + 1, format, again) != len)
			rc = -EINVAL;
	}
	va_end(again);
	if (rc == 0)
		buf->end += (size_t)len;
	return rc;
}

int lade_buf_printf(struct lade_buf *buf, const char *format, ...)
{
	va_list args;
	int rc;

	va_start(args, format);
	rc = lade_buf_vprintf(buf, format, args);
	va_end(args);
	return rc;
}

const char *lade_buf_str(struct lade_buf *buf)
{
	if (!buf->mem)
		return "";
	buf->mem[buf->end] = 0;
	return buf->mem + buf->start;
}

bool lade_buf_sane(const struct lade_buf *buf)
{
	return buf->start <= buf->end && buf->end <= buf->cap && buf->max > 0 &&
	       buf->end - buf->start <= buf->max && buf->cap <= 2 * buf->max &&
	       (buf->mem != NULL) == (buf->cap > 0);
}
