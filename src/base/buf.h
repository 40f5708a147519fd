/* SPDX-License-Identifier: MIT */
#ifndef LADE_BASE_BUF_H
#define LADE_BASE_BUF_H

/* buf.h - bytes put in at the back and taken out at the front, up to a limit.
 *
 * The bytes are always in one piece: a parser sees all of them, a read or a write is one
 * system call.  A message that does not fit is -EMSGSIZE, and the buffer stays as it was.
 * Threads: one at a time. */

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct lade_buf {
	char *mem;	/* cap + 1 bytes (the last for a NUL); NULL while cap is 0 */
	size_t start;	/* offset of the first byte not yet consumed */
	size_t end;	/* offset behind the last byte */
	size_t cap;	/* bytes of storage, <= 2 * max */
	size_t max;	/* unconsumed bytes at most */
};

/* lade_buf_init - makes an empty buffer for at most @max bytes; allocates nothing.
 *
 * @max: 1 to a quarter of the address space. */
void lade_buf_init(struct lade_buf *buf, size_t max);

/* lade_buf_done - frees the storage; the buffer is empty and may be used again. */
void lade_buf_done(struct lade_buf *buf);

/* lade_buf_reserve - makes room for @len more bytes in one piece, for the caller to fill.
 *
 * lade_buf_commit() says how many were filled; until then nothing was put in.  Returns 0
 * and *ret_room; -EMSGSIZE if the limit does not allow @len more; -ENOMEM. */
int lade_buf_reserve(struct lade_buf *buf, size_t len, char **ret_room);

/* lade_buf_append - copies @len bytes in; @bytes must not lie in the buffer itself.
 *
 * Returns 0, -EMSGSIZE or -ENOMEM. */
int lade_buf_append(struct lade_buf *buf, const void *bytes, size_t len);

/* lade_buf_printf - appends what printf(3) would print.
 *
 * Returns 0; -EMSGSIZE; -ENOMEM; -EINVAL if the format cannot be converted. */
__attribute__((format(printf, 2, 3))) int lade_buf_printf(struct lade_buf *buf,
							  const char *format, ...);

/* lade_buf_vprintf - lade_buf_printf() for a va_list. */
__attribute__((format(printf, 2, 0))) int lade_buf_vprintf(struct lade_buf *buf,
							   const char *format, va_list args);

/* lade_buf_str - the bytes with a NUL behind them, good until the next change. */
const char *lade_buf_str(struct lade_buf *buf);

/* lade_buf_sane - true if all invariants hold; for tests. */
bool lade_buf_sane(const struct lade_buf *buf);

/* lade_buf_len - the number of bytes that were put in and not consumed. */
static inline size_t lade_buf_len(const struct lade_buf *buf)
{
	return buf->end - buf->start;
}

/* lade_buf_bytes - the first of them, good until the next change; NULL before the first use. */
static inline const char *lade_buf_bytes(const struct lade_buf *buf)
{
	return buf->mem ? buf->mem + buf->start : NULL;
}

/* lade_buf_commit - puts in the first @len bytes of the room that was reserved. */
static inline void lade_buf_commit(struct lade_buf *buf, size_t len)
{
	assert(len <= buf->cap - buf->end && lade_buf_len(buf) + len <= buf->max);
	buf->end += len;
}

/* lade_buf_consume - takes the first @len bytes out; there must be so many. */
static inline void lade_buf_consume(struct lade_buf *buf, size_t len)
{
	assert(len <= lade_buf_len(buf));
	buf->start += len;
	if (buf->start == buf->end)
		buf->start = buf->end = 0;
}

/* lade_buf_clear - takes all bytes out and keeps the storage. */
static inline void lade_buf_clear(struct lade_buf *buf)
{
	buf->start = buf->end = 0;
}

#endif
