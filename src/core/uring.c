/* SPDX-License-Identifier: MIT */
/* uring.c - the back end of choice: one ring per loop, whole operations instead of readiness.
 *
 * DESIGN
 * Operations wait in the submission queue until the loop polls, and go to the kernel together. A
 * completion names a slot of a table and the slot's generation, never an address: one that comes
 * late for a slot in new use is recognised and ignored. A slot is freed by its own completion
 * alone, so the kernel never writes for an operation that nobody remembers.
 *
 * A cancel is asked of the same ring and answers PENDING: the task stays parked, and owns buffer
 * and descriptor, until the operation's own completion says what happened.
 *
 * LIMITS  64 entries in the submission queue; when it is full it is submitted, and the operation
 * goes into the next. If the kernel does not take it now, for want of memory, operations wait in a
 * list, and the loop does not sleep until they are queued. Completions that do not fit are kept by
 * the kernel (IORING_FEAT_NODROP). The table of slots grows as operations in flight do: at most
 * one for each parked task. */

#include "base/alloc.h"
#include "core/io_priv.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_ENTRIES 64
#define NO_SLOT UINT32_MAX
#define TAG_WAKE UINT64_MAX	   /* the read of the wake-up eventfd */
#define TAG_CANCEL (UINT64_MAX - 1) /* answers to cancels: the operation's own says it all */

/* One operation in flight. */
struct slot {
	struct lade_io *io;  /* NULL: free */
	uint32_t generation; /* counts uses */
	uint32_t next_free;  /* next free slot, or NO_SLOT */
};

struct uring_data {
	struct io_uring ring;
	struct slot *slots;	/* table by slot number */
	uint32_t slots_len;	/* entries */
	uint32_t free;		/* first free slot, or NO_SLOT */
	struct lade_link unsent; /* operations for which there was no entry, by their op.link */
	struct lade_link uncalled; /* operations in flight that are still to be called off */
	uint64_t woken;		/* where the eventfd is read into */
	bool wake_armed;	/* the read is in flight */
	int outer_fd;		/* an epoll for a foreign loop; -1: nobody asked for it */
	int event_fd;		/* readable when there are completions; as long as outer_fd */
};

static int64_t monotonic_now(struct lade_loop *loop)
{
	struct timespec t;

	(void)loop;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int ring_open(struct io_uring *ring)
{
	struct io_uring_params params = { .flags = IORING_SETUP_SINGLE_ISSUER |
						   IORING_SETUP_DEFER_TASKRUN |
						   IORING_SETUP_TASKRUN_FLAG };
	int rc = io_uring_queue_init_params(QUEUE_ENTRIES, ring, &params);

	if (rc == -EINVAL) { /* before 6.1 */
		params = (struct io_uring_params){ .flags = 0 };
		rc = io_uring_queue_init_params(QUEUE_ENTRIES, ring, &params);
	}
	if (rc < 0)
		return rc;
	if (!(params.features & IORING_FEAT_EXT_ARG) || !(params.features & IORING_FEAT_NODROP) ||
	    !(params.features & IORING_FEAT_FAST_POLL)) {
		io_uring_queue_exit(ring);
		return -ENOSYS;
	}
	(void)io_uring_register_ring_fd(ring);
	return 0;
}

static int uring_open(struct lade_loop *loop)
{
	struct uring_data *d = lade_calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return -ENOMEM;
	d->free = NO_SLOT;
	d->outer_fd = d->event_fd = -1;
	lade_list_init(&d->unsent);
	lade_list_init(&d->uncalled);
	rc = ring_open(&d->ring);
	if (rc < 0) {
		lade_free(d);
		return rc;
	}
	loop->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (loop->wake_fd < 0) {
		rc = -errno;
		io_uring_queue_exit(&d->ring);
		lade_free(d);
		return rc;
	}
	loop->backend_data = d;
	return 0;
}

static void close_outer(struct uring_data *d)
{
	if (d->outer_fd >= 0)
		close(d->outer_fd);
	if (d->event_fd >= 0)
		close(d->event_fd);
	d->outer_fd = d->event_fd = -1;
}

static void uring_close(struct lade_loop *loop)
{
	struct uring_data *d = loop->backend_data;

	io_uring_queue_exit(&d->ring);
	close_outer(d);
	lade_wake_fd_close(loop);
	lade_free(d->slots);
	lade_free(d);
}

/* A submission entry; a full queue is handed to the kernel first. */
static struct io_uring_sqe *get_sqe(struct uring_data *d)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&d->ring);

	if (lade_unlikely(!sqe)) {
		(void)io_uring_submit(&d->ring);
		sqe = io_uring_get_sqe(&d->ring);
	}
	return sqe;
}

static int grow_slots(struct uring_data *d)
{
	uint32_t len = d->slots_len ? 2 * d->slots_len : 64;
	struct slot *slots = lade_realloc(d->slots, len * sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (uint32_t i = d->slots_len; i < len; i++)
		slots[i] = (struct slot){ NULL, 0, i + 1 < len ? i + 1 : NO_SLOT };
	d->free = d->slots_len;
	d->slots = slots;
	d->slots_len = len;
	return 0;
}

static uint64_t tag_of(const struct uring_data *d, uint32_t slot)
{
	return (uint64_t)d->slots[slot].generation << 32 | slot;
}

static void prepare(struct io_uring_sqe *sqe, const struct lade_io *io)
{
	switch (io->code) {
	case IO_POLL:
		io_uring_prep_poll_add(sqe, io->fd, io->events);
		break;
	case IO_READ:
		io_uring_prep_read(sqe, io->fd, io->buf, io->len, (uint64_t)io->offset);
		break;
	case IO_WRITE:
		io_uring_prep_write(sqe, io->fd, io->buf, io->len, (uint64_t)io->offset);
		break;
	case IO_RECV:
		io_uring_prep_recv(sqe, io->fd, io->buf, io->len, 0);
		break;
	case IO_SEND:
		io_uring_prep_send(sqe, io->fd, io->buf, io->len, io->flags);
		break;
	case IO_ACCEPT:
		io_uring_prep_accept(sqe, io->fd, NULL, NULL, io->flags);
		break;
	case IO_OPEN:
		io_uring_prep_openat(sqe, io->fd, io->buf, io->flags, io->mode);
		break;
	case IO_FSYNC:
		io_uring_prep_fsync(sqe, io->fd, io->flags ? IORING_FSYNC_DATASYNC : 0);
		break;
	}
}

/* Queues an operation that has its slot.  Returns false if there is no entry for it. */
static bool hand_over(struct uring_data *d, struct lade_io *io)
{
	struct io_uring_sqe *sqe = get_sqe(d);

	if (lade_unlikely(!sqe))
		return false;
	prepare(sqe, io);
	io_uring_sqe_set_data64(sqe, tag_of(d, io->slot));
	return true;
}

/* Queues the cancel of an operation in flight.  Returns false if there is no entry for it. */
static bool call_off(struct uring_data *d, struct lade_io *io)
{
	struct io_uring_sqe *sqe = get_sqe(d);

	if (lade_unlikely(!sqe))
		return false;
	io_uring_prep_cancel64(sqe, tag_of(d, io->slot), 0);
	io_uring_sqe_set_data64(sqe, TAG_CANCEL);
	return true;
}

static void free_slot(struct uring_data *d, uint32_t number)
{
	struct slot *slot = &d->slots[number];

	slot->io = NULL;
	slot->generation++;
	slot->next_free = d->free;
	d->free = number;
}

static int uring_start(struct lade_loop *loop, struct lade_io *io)
{
	struct uring_data *d = loop->backend_data;

	if (io->fd < 0 && io->code != IO_OPEN)
		return -EBADF;
	if (d->free == NO_SLOT && grow_slots(d) < 0)
		return -ENOMEM;
	io->slot = d->free;
	d->free = d->slots[io->slot].next_free;
	d->slots[io->slot].io = io;
	io->unsent = !hand_over(d, io);
	lade_list_init(&io->op.link);
	if (lade_unlikely(io->unsent))
		lade_list_append(&d->unsent, &io->op.link);
	return 0;
}

static enum lade_abort_result uring_abort(struct lade_loop *loop, struct lade_io *io)
{
	struct uring_data *d = loop->backend_data;

	if (lade_unlikely(io->unsent)) {
		lade_list_remove(&io->op.link);
		free_slot(d, io->slot);
		return LADE_ABORTED;
	}
	if (lade_unlikely(!call_off(d, io)))
		lade_list_append(&d->uncalled, &io->op.link);
	return LADE_PENDING;
}

/* The first operation of a list is dealt with. */
static void take_first(struct lade_link *list)
{
	struct lade_link *first = lade_list_pop(list);

	lade_list_init(first);
}

/* Queues what there was no entry for.  Returns whether all of it is queued now. */
static bool catch_up(struct uring_data *d)
{
	while (!lade_list_empty(&d->unsent)) {
		struct lade_io *io = LADE_CONTAINER(d->unsent.next, struct lade_io, op.link);

		if (!hand_over(d, io))
			return false;
		io->unsent = false;
		take_first(&d->unsent);
	}
	while (!lade_list_empty(&d->uncalled)) {
		if (!call_off(d, LADE_CONTAINER(d->uncalled.next, struct lade_io, op.link)))
			return false;
		take_first(&d->uncalled);
	}
	return true;
}

static void take_completion(struct lade_loop *loop, struct uring_data *d, uint64_t tag, int result)
{
	uint32_t number = (uint32_t)tag;
	struct lade_io *io;

	if (tag == TAG_CANCEL)
		return;
	if (tag == TAG_WAKE) {
		d->wake_armed = false;
		if (result == sizeof(d->woken))
			lade_woken(loop, d->woken);
		return;
	}
	if (number >= d->slots_len || tag != tag_of(d, number) || !d->slots[number].io)
		return;
	io = d->slots[number].io;
	lade_list_remove(&io->op.link);
	free_slot(d, number);
	lade_complete(&io->op, result);
}

/* Returns whether a wake-up from outside will be heard. */
static bool arm_wake(struct lade_loop *loop, struct uring_data *d)
{
	struct io_uring_sqe *sqe;

	if (d->wake_armed)
		return true;
	sqe = get_sqe(d);
	if (!sqe)
		return false;
	io_uring_prep_read(sqe, loop->wake_fd, &d->woken, sizeof(d->woken), 0);
	io_uring_sqe_set_data64(sqe, TAG_WAKE);
	d->wake_armed = true;
	return true;
}

/* Submits what is queued and waits for a completion, if it may. */
static void submit_and_wait(struct lade_loop *loop, struct uring_data *d, int64_t until_ns)
{
	struct io_uring_cqe *cqe;
	struct __kernel_timespec t;
	int64_t left_ns = until_ns - loop->now_ns;

	if (until_ns == 0 || left_ns <= 0) {
		(void)io_uring_submit_and_get_events(&d->ring);
		return;
	}
	t.tv_sec = left_ns / 1000000000;
	t.tv_nsec = left_ns % 1000000000;
	(void)io_uring_submit_and_wait_timeout(&d->ring, &cqe, 1,
					       until_ns == INT64_MAX ? NULL : &t, NULL);
}

/* Whether a look without waiting is worth a system call. Without the flags of 6.1 the kernel
 * runs its part at any system call, and the queue tells all. */
static bool has_news(struct uring_data *d)
{
	return io_uring_sq_ready(&d->ring) ||
	       (IO_URING_READ_ONCE(*d->ring.sq.kflags) &
		(IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN));
}

static int uring_poll(struct lade_loop *loop, int64_t until_ns)
{
	struct uring_data *d = loop->backend_data;
	struct io_uring_cqe *cqe;
	uint64_t told;

	/* What it has told of is looked at now; what comes later tells anew. */
	if (lade_unlikely(d->event_fd >= 0))
		(void)!read(d->event_fd, &told, sizeof(told));
	/* With something left to queue there is no sleep: the kernel has no memory this moment. */
	if (lade_unlikely(!arm_wake(loop, d) || !catch_up(d)))
		until_ns = 0;
	if (until_ns != 0 || has_news(d))
		submit_and_wait(loop, d, until_ns);
	while (io_uring_peek_cqe(&d->ring, &cqe) == 0) {
		uint64_t tag = io_uring_cqe_get_data64(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(&d->ring, cqe);
		take_completion(loop, d, tag, result);
	}
	return 0;
}

static bool watch_for(int ep, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* The ring's own descriptor does not wake an epoll when completions are deferred to this thread; an
 * eventfd that is registered with it does. The wake-up eventfd is watched beside it: of a write to
 * that one the kernel would tell the other only after a while, as they must not nest. */
static int uring_fd(const struct lade_loop *loop)
{
	struct uring_data *d = loop->backend_data;
	int rc = 0;

	if (d->outer_fd >= 0)
		return d->outer_fd;
	d->outer_fd = epoll_create1(EPOLL_CLOEXEC);
	d->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->outer_fd < 0 || d->event_fd < 0 || !watch_for(d->outer_fd, d->event_fd) ||
	    !watch_for(d->outer_fd, loop->wake_fd))
		rc = -errno;
	if (rc == 0)
		rc = io_uring_register_eventfd(&d->ring, d->event_fd);
	if (rc == 0)
		return d->outer_fd;
	close_outer(d);
	return rc;
}

const struct lade_backend lade_backend_uring = {
	.name = "uring",
	.open = uring_open,
	.close = uring_close,
	.now = monotonic_now,
	.poll = uring_poll,
	.start = uring_start,
	.abort = uring_abort,
	.fd = uring_fd,
};
