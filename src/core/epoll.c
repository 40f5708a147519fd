/* SPDX-License-Identifier: MIT */
/* epoll.c - the back end that works everywhere: waits for readiness, nothing else.
 *
 * DESIGN
 * A table by descriptor holds who waits for what. Interest is one-shot: an event disarms the
 * descriptor, and it is armed again for those who still wait, so that a descriptor nobody waits
 * for causes no wake-ups, and one that was closed and opened anew behind our back cannot wake
 * anybody: arming tells (ENOENT, EEXIST) what the kernel still knows of it.
 *
 * LIMITS  the table grows to the highest descriptor waited for, which RLIMIT_NOFILE bounds. */

#include "base/alloc.h"
#include "core/io_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 128

_Static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR &&
		       EPOLLHUP == POLLHUP,
	       "epoll and poll name events alike");

/* Who waits for one descriptor. */
struct watch {
	struct lade_link waiters; /* ops of struct lade_io; next is NULL: never used */
	uint32_t armed;		  /* events the kernel was last asked for; 0: disarmed */
};

struct epoll_state {
	int fd;			 /* of epoll */
	struct watch **watches;	 /* by descriptor; blocks of their own, so they never move */
	uint32_t watches_len;	 /* entries */
};

static int64_t monotonic_now(struct lade_loop *loop)
{
	struct timespec t;

	(void)loop;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int epoll_open(struct lade_loop *loop)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = -1 };
	struct epoll_state *d = lade_calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return -ENOMEM;
	d->fd = epoll_create1(EPOLL_CLOEXEC);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->fd < 0 || loop->wake_fd < 0 ||
	    epoll_ctl(d->fd, EPOLL_CTL_ADD, loop->wake_fd, &event) < 0) {
		rc = -errno;
		if (d->fd >= 0)
			close(d->fd);
		if (loop->wake_fd >= 0)
			close(loop->wake_fd);
		lade_free(d);
		return rc;
	}
	loop->backend_data = d;
	return 0;
}

static void epoll_close(struct lade_loop *loop)
{
	struct epoll_state *d = loop->backend_data;

	for (uint32_t i = 0; i < d->watches_len; i++)
		lade_free(d->watches[i]);
	lade_free(d->watches);
	lade_wake_fd_close(loop);
	close(d->fd);
	lade_free(d);
}

static int grow_watches(struct epoll_state *d, uint32_t need)
{
	uint32_t len = d->watches_len ? d->watches_len : 64;
	struct watch **watches;

	while (len < need)
		len *= 2;
	watches = lade_realloc(d->watches, len * sizeof(*watches));
	if (!watches)
		return -ENOMEM;
	memset(watches + d->watches_len, 0, (len - d->watches_len) * sizeof(*watches));
	d->watches = watches;
	d->watches_len = len;
	return 0;
}

static struct watch *watch_of(struct epoll_state *d, int fd)
{
	struct watch *w;

	if ((uint32_t)fd >= d->watches_len && grow_watches(d, (uint32_t)fd + 1) < 0)
		return NULL;
	w = d->watches[fd];
	if (!w) {
		w = lade_calloc(1, sizeof(*w));
		if (!w)
			return NULL;
		lade_list_init(&w->waiters);
		d->watches[fd] = w;
	}
	return w;
}

/* Asks the kernel for what the waiters of a descriptor want. */
static int arm(struct epoll_state *d, struct watch *w, int fd)
{
	struct epoll_event event = { .events = EPOLLONESHOT, .data.fd = fd };

	for (struct lade_link *it = w->waiters.next; it != &w->waiters; it = it->next)
		event.events |= LADE_CONTAINER(it, struct lade_io, op.link)->events;
	if (epoll_ctl(d->fd, EPOLL_CTL_MOD, fd, &event) == 0)
		return 0;
	if (errno != ENOENT)
		return -errno;
	return epoll_ctl(d->fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static int epoll_start(struct lade_loop *loop, struct lade_io *io)
{
	struct epoll_state *d = loop->backend_data;
	struct watch *w;
	int rc;

	if (io->code != IO_POLL)
		return -EOPNOTSUPP;
	if (io->fd < 0)
		return -EBADF;
	w = watch_of(d, io->fd);
	if (!w)
		return -ENOMEM;
	lade_list_append(&w->waiters, &io->op.link);
	rc = arm(d, w, io->fd);
	if (rc < 0)
		lade_list_remove(&io->op.link);
	/* A regular file is always ready; the kernel says so by refusing. */
	return rc == -EPERM ? -EOPNOTSUPP : rc;
}

static enum lade_abort_result epoll_abort(struct lade_loop *loop, struct lade_io *io)
{
	(void)loop;
	lade_list_remove(&io->op.link);
	return LADE_ABORTED;
}

/* Completes ops that have been taken out of their list: one that completes may call others of
 * them off, or begin to wait anew. */
static void complete_all(struct lade_link *ops, int result)
{
	struct lade_link *it;

	while ((it = lade_list_pop(ops)))
		lade_complete(&LADE_CONTAINER(it, struct lade_io, op.link)->op, result);
}

/* Moves to @ret the waiters of a descriptor whom @events concern. */
static void take_due(struct watch *w, uint32_t events, struct lade_link *ret)
{
	struct lade_link *it, *next;

	lade_list_init(ret);
	for (it = w->waiters.next; it != &w->waiters; it = next) {
		struct lade_io *io = LADE_CONTAINER(it, struct lade_io, op.link);

		next = it->next;
		if (!(events & (io->events | EPOLLERR | EPOLLHUP)))
			continue;
		lade_list_remove(it);
		lade_list_append(ret, it);
	}
}

static void take_event(struct epoll_state *d, int fd, uint32_t events)
{
	struct watch *w = d->watches[fd];
	struct lade_link due;
	int rc;

	take_due(w, events, &due);
	complete_all(&due, (int)(events & 0xffff));
	rc = lade_list_empty(&w->waiters) ? 0 : arm(d, w, fd);
	if (lade_likely(rc == 0))
		return;
	/* Nobody would ever tell those who still wait: each is told why. */
	take_due(w, EPOLLERR, &due);
	complete_all(&due, rc);
}

static int timeout_ms(struct lade_loop *loop, int64_t until_ns)
{
	int64_t left_ns;

	if (until_ns == 0)
		return 0;
	if (until_ns == INT64_MAX)
		return -1;
	left_ns = until_ns - loop->now_ns;
	if (left_ns <= 0)
		return 0;
	/* Rounded up: a turn too early would spin until the timer is due. */
	return left_ns > INT64_C(60000000000) ? 60000 : (int)((left_ns + 999999) / 1000000);
}

static int epoll_wait_until(struct lade_loop *loop, struct epoll_event *events, int64_t until_ns)
{
	struct epoll_state *d = loop->backend_data;
	static atomic_bool no_pwait2;

	if (until_ns > loop->now_ns && until_ns != INT64_MAX && !no_pwait2) {
		int64_t left_ns = until_ns - loop->now_ns;
		struct timespec t = { left_ns / 1000000000, left_ns % 1000000000 };
		int n = epoll_pwait2(d->fd, events, EVENTS_AT_ONCE, &t, NULL);

		if (n >= 0 || errno != ENOSYS)
			return n;
		no_pwait2 = true;
	}
	return epoll_wait(d->fd, events, EVENTS_AT_ONCE, timeout_ms(loop, until_ns));
}

static int epoll_poll(struct lade_loop *loop, int64_t until_ns)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	struct epoll_state *d = loop->backend_data;
	uint64_t woken;
	int n;

	n = epoll_wait_until(loop, events, until_ns);
	for (int i = 0; i < n; i++) {
		if (events[i].data.fd >= 0) {
			take_event(d, events[i].data.fd, events[i].events);
			continue;
		}
		if (read(loop->wake_fd, &woken, sizeof(woken)) == sizeof(woken))
			lade_woken(loop, woken);
	}
	return 0;
}

static int epoll_fd(const struct lade_loop *loop)
{
	return ((const struct epoll_state *)loop->backend_data)->fd;
}

const struct lade_backend lade_backend_epoll = {
	.name = "epoll",
	.open = epoll_open,
	.close = epoll_close,
	.now = monotonic_now,
	.poll = epoll_poll,
	.start = epoll_start,
	.abort = epoll_abort,
	.fd = epoll_fd,
};
