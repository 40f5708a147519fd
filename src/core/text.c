/* SPDX-License-Identifier: MIT */
/* text.c - formatting and reading that may be done anywhere.
 *
 * Memory that may not be there is read by process_vm_readv. Where that is refused, by a filter of
 * system calls or an emulator, another call is made to look at each page first; what is unmapped
 * between the look and the copy would end the process.
 *
 * LIMITS  STRING_MAX bytes of a string. */

#include "core/text.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define STRING_MAX 511
#define PEEK_PAGE ((uintptr_t)4096)

void lade_text_flush(struct lade_text *t)
{
	size_t done = 0;

	while (done < t->len) {
		ssize_t n = write(t->fd, t->text + done, t->len - done);

		if (n < 0 && errno != EINTR)
			break; /* whoever reads it has gone, or cannot keep up */
		done += n > 0 ? (size_t)n : 0;
	}
	t->len = 0;
}

static void put(struct lade_text *t, const char *from, size_t len)
{
	if (len > sizeof(t->text) - t->len)
		lade_text_flush(t);
	memcpy(t->text + t->len, from, len);
	t->len += len;
}

static void put_number(struct lade_text *t, uint64_t n, unsigned base)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	put(t, digits + at, sizeof(digits) - at);
}

static void put_signed(struct lade_text *t, int64_t n)
{
	if (n < 0)
		put(t, "-", 1);
	put_number(t, n < 0 ? -(uint64_t)n : (uint64_t)n, 10);
}

static void put_string(struct lade_text *t, const char *s)
{
	char copy[STRING_MAX];

	if (!s)
		s = "?";
	if (!t->careful) {
		put(t, s, strnlen(s, STRING_MAX));
		return;
	}
	/* Of one that ends near the end of its memory more is asked for than there is. */
	if (!lade_peek(true, copy, s, sizeof(copy)) && !*copy)
		put(t, "?", 1);
	put(t, copy, strnlen(copy, sizeof(copy)));
}

static void put_spaces(struct lade_text *t, int n)
{
	while (n-- > 0)
		put(t, " ", 1);
}

/* One conversion, from behind its percent sign.  Returns what follows it. */
static const char *convert(struct lade_text *t, const char *f, va_list *args)
{
	int width = 0, longer = 0;

	for (; *f == '*' || *f == 'l' || *f == 'z'; f++) {
		if (*f == '*')
			width = va_arg(*args, int);
		else
			longer = 1;
	}
	put_spaces(t, width);
	switch (*f) {
	case 's':
		put_string(t, va_arg(*args, const char *));
		break;
	case 'c':
		put(t, (char[]){ (char)va_arg(*args, int) }, 1);
		break;
	case 'd':
		put_signed(t, longer ? va_arg(*args, long) : va_arg(*args, int));
		break;
	default:
		put_number(t, longer ? va_arg(*args, unsigned long) : va_arg(*args, unsigned),
			   *f == 'x' ? 16 : 10);
		break;
	}
	return f + 1;
}

void lade_text_say(struct lade_text *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	while (*format) {
		size_t plain = strcspn(format, "%");

		put(t, format, plain);
		format += plain;
		if (*format)
			format = convert(t, format + 1, &args);
	}
	va_end(args);
}

void lade_text_seconds(struct lade_text *t, int64_t ns)
{
	uint64_t ms = ((ns < 0 ? -(uint64_t)ns : (uint64_t)ns) + 500000) / 1000000;

	lade_text_say(t, "%s%lu.%c%c%c s", ns < 0 && ms ? "-" : "", ms / 1000,
		      (int)('0' + ms / 100 % 10), (int)('0' + ms / 10 % 10), (int)('0' + ms % 10));
}

/* Whether memory is there: a signal mask is read, then the call is refused, as there is no such
 * change of masks. */
static bool is_there(uintptr_t at)
{
	enum { NO_CHANGE = -1, MASK_BYTES = 8 };
	uintptr_t mask = at & ~(uintptr_t)(MASK_BYTES - 1);

	return mask && syscall(SYS_rt_sigprocmask, NO_CHANGE, mask, NULL, MASK_BYTES) < 0 &&
	       errno == EINVAL;
}

/* Copies part by part, up to the first that is not there.  Returns the bytes. */
static ssize_t peek_by_parts(char *to, const struct iovec *parts, unsigned long count)
{
	size_t done = 0;

	for (; count && is_there((uintptr_t)parts->iov_base); parts++, count--) {
		memcpy(to + done, parts->iov_base, parts->iov_len);
		done += parts->iov_len;
	}
	return (ssize_t)done;
}

bool lade_peek(bool careful, void *to, const void *from, size_t len)
{
	size_t first = PEEK_PAGE - (uintptr_t)from % PEEK_PAGE;
	struct iovec into = { to, len }, at[4];
	unsigned long parts = 0;
	ssize_t n;

	if (!careful) {
		memcpy(to, from, len);
		return true;
	}
	/* Each part is read as a whole or not at all: none may cross the end of a page. */
	for (size_t done = 0; done < len && parts < 4; first = PEEK_PAGE) {
		size_t part = len - done < first ? len - done : first;

		at[parts++] = (struct iovec){ (void *)((uintptr_t)from + done), part };
		done += part;
	}
	memset(to, 0, len);
	n = process_vm_readv(getpid(), &into, 1, at, parts, 0);
	if (n < 0 && errno != EFAULT)
		n = peek_by_parts(to, at, parts);
	return n >= 0 && (size_t)n == len;
}
