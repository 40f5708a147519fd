/* SPDX-License-Identifier: MIT */
/* park.c - a foreign library made to wait: POSIX aio, which calls back from threads of its own.
 *
 * It calls back also when a request was cancelled, so abort() only asks, and answers PENDING. */
#include <lade/lade.h>
#include <aio.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct read_wait {
	struct lade_op op; /* first */
	struct aiocb cb;
};

static void on_end(union sigval value)
{
	struct read_wait *w = value.sival_ptr;
	ssize_t n = aio_return(&w->cb);

	lade_complete_remote(&w->op, n < 0 ? -aio_error(&w->cb) : (int)n);
}

static enum lade_abort_result on_cancel(struct lade_op *op)
{
	struct read_wait *w = (struct read_wait *)(void *)op;

	(void)aio_cancel(w->cb.aio_fildes, &w->cb);
	return LADE_PENDING;
}

/* Reads like pread(), while other tasks run.  Returns bytes, or -errno. */
lade_suspends static int read_at(int fd, void *buf, size_t len, off_t offset)
{
	struct read_wait w = { .op = LADE_OP("aio") };

	w.cb = (struct aiocb){ .aio_fildes = fd, .aio_buf = buf, .aio_nbytes = len };
	w.cb.aio_offset = offset;
	w.cb.aio_sigevent = (struct sigevent){ .sigev_notify = SIGEV_THREAD,
					       .sigev_notify_function = on_end,
					       .sigev_value.sival_ptr = &w };
	return aio_read(&w.cb) < 0 ? -errno : lade_park(&w.op, on_cancel);
}

static int app(void)
{
	FILE *file = tmpfile();
	char text[6] = "";

	fputs("hello, world", file);
	fflush(file);
	printf("%d bytes: ", lade_within(lade_s(5), read_at(fileno(file), text, 5, 7)));
	return puts(text) < 0 || fclose(file);
}
LADE_TASK_VOID(app)

int main(void)
{
	return lade_main(lade_do(app));
}
