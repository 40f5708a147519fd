/* SPDX-License-Identifier: MIT */
/* sim.c - the back end of simulation: time, schedule, files and connections out of one seed.
 *
 * DESIGN
 * The clock moves only when nothing can run. Each turn of a task is chosen from all that are ready,
 * by the order that was asked for; how many calls of that turn may complete without a switch is
 * chosen too. Files and connections live in memory; what takes time is a timer of the loop. Every
 * choice comes from one generator, so a run is a function of program and seed: the trace of two
 * runs is the same, byte for byte.
 *
 * An operation that takes time has its effect at its end. A cancel that comes before may be too
 * late all the same (LADE_SIM late=): then abort() answers PENDING, as a kernel does, and the
 * operation succeeds.
 *
 * LIMITS  SIM_FDS_MAX descriptors; then EMFILE. */

#include "core/sim_priv.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TURNS_A_ROUND 256	     /* of tasks, between two looks at timers */
#define INLINE_CHOICES 8		     /* calls that may complete without a switch in a row */
#define PCT_FALLS 8
#define PCT_STEPS 4096 /* the falls of SIM_PCT are among the first so many turns */

/* An operation that takes time. */
struct sim_pending {
	struct lade_timer timer;
	struct lade_link link; /* in the simulation's list */
	struct lade_io *io;
	int (*effect)(struct lade_io *); /* what it does when its time has come; NULL: done */
	int result;			 /* without an effect */
};

uint64_t sim_random(struct sim *sim)
{
	/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators". */
	sim->random ^= sim->random >> 12;
	sim->random ^= sim->random << 25;
	sim->random ^= sim->random >> 27;
	return sim->random * UINT64_C(2685821657736338717);
}

uint64_t sim_below(struct sim *sim, uint64_t n)
{
	return n ? (sim_random(sim) >> 16) % n : 0;
}

bool sim_chance(struct sim *sim, uint32_t per_mille)
{
	return per_mille && sim_below(sim, 1000) < per_mille;
}

void sim_effect(struct sim *sim, const struct lade_effect *effect)
{
	if (sim->loop->observer)
		sim->loop->observer->effect(sim->loop->observer, effect);
}

void sim_trace(struct sim *sim, const char *format, ...)
{
	char text[512];
	va_list args;
	int len;

	if (sim->untraced)
		return;
	len = snprintf(text, sizeof(text), "%lld ",
		       (long long)(sim->loop->now_ns - LADE_VIRTUAL_FIRST_NS));
	va_start(args, format);
	len += vsnprintf(text + len, sizeof(text) - (size_t)len - 1, format, args);
	va_end(args);
	if ((size_t)len > sizeof(text) - 2)
		len = sizeof(text) - 2;
	text[len++] = '\n';
	sim->trace_hash = lade_hash_fnv(sim->trace_hash, text, (size_t)len);
	if (sim->trace_fd >= 0)
		(void)!write(sim->trace_fd, text, (size_t)len);
}

void lade_sim_untrace(struct lade_loop *loop)
{
	struct sim *sim = loop->backend_data;

	sim->untraced = sim->trace_fd < 0;
}

uint64_t lade_sim_trace_hash(const struct lade_loop *loop)
{
	const struct sim *sim = loop->backend_data;

	return sim->trace_hash;
}

uint32_t lade_sim_open_fds(const struct lade_loop *loop, char *text, size_t len)
{
	const struct sim *sim = loop->backend_data;
	uint32_t n = 0;

	for (uint32_t i = 0; i < sim->fds_len; i++) {
		if (!sim->fds[i])
			continue;
		snprintf(text, len, "%s", sim->fds[i]->site);
		n++;
	}
	return n;
}

static int sim_open_loop(struct lade_loop *loop)
{
	struct sim *sim = lade_calloc(1, sizeof(*sim));
	const char *trace = getenv("LADE_TRACE");
	char wrong[64];
	int rc;

	if (!sim)
		return -ENOMEM;
	rc = sim_read_config(&sim->config, wrong);
	if (rc == 0 && trace && *trace) {
		sim->trace_fd = open(trace, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		rc = sim->trace_fd < 0 ? -errno : 0;
	} else {
		sim->trace_fd = -1;
	}
	if (rc < 0) {
		lade_free(sim);
		return rc;
	}
	sim->loop = loop;
	/* Seeds that differ by one must not begin alike. */
	sim->random = (sim->config.seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
	for (int i = 0; i < 8; i++)
		(void)sim_random(sim);
	for (int i = 0; i < PCT_FALLS; i++)
		sim->low[i] = sim_below(sim, PCT_STEPS);
	sim->trace_hash = LADE_HASH_FNV;
	sim->next_port = 40000;
	lade_list_init(&sim->pending);
	loop->now_ns = LADE_VIRTUAL_FIRST_NS;
	loop->random = sim_random(sim) | 1;
	loop->backend_data = sim;
	return 0;
}

static void free_fd(struct sim *sim, struct sim_fd *f)
{
	sim_stream_close(sim, f);
	lade_free(f);
}

static void sim_close_loop(struct lade_loop *loop)
{
	struct sim *sim = loop->backend_data;
	struct lade_timer *first;

	for (uint32_t i = 0; i < sim->fds_len; i++)
		if (sim->fds[i])
			free_fd(sim, sim->fds[i]);
	/* What is still under way, bytes and look-ups that nobody waits for, comes to its end. */
	while ((first = lade_heap_first(&loop->timers))) {
		lade_heap_remove(&loop->timers, first);
		first->fire(first);
	}
	sim_files_free(sim);
	sim_paths_free(sim);
	if (sim->trace_fd >= 0)
		close(sim->trace_fd);
	lade_free(sim);
}

/* The schedule */

static uint32_t count_ready(const struct lade_loop *loop)
{
	uint32_t n = 0;

	for (const struct lade_ctl *ctl = loop->ready_head; ctl; ctl = ctl->ready_next)
		n++;
	return n;
}

/* Makes the @n-th of the ready queue its first. */
static void bring_forward(struct lade_loop *loop, uint64_t n)
{
	struct lade_ctl *before = loop->ready_head, *it;

	if (n == 0)
		return;
	while (--n)
		before = before->ready_next;
	it = before->ready_next;
	before->ready_next = it->ready_next;
	if (loop->ready_tail == it)
		loop->ready_tail = before;
	it->ready_next = loop->ready_head;
	loop->ready_head = it;
}

/* SIM_PCT: a task's priority, random but the same whenever it is asked for; one that has fallen
 * behind comes after all that have not. Burckhardt et al., "A Randomized Scheduler with
 * Probabilistic Guarantees of Finding Bugs". */
static uint64_t priority(const struct sim *sim, const struct lade_ctl *ctl)
{
	uint64_t x = (ctl->number ^ sim->config.seed) * UINT64_C(0xff51afd7ed558ccd);

	for (uint32_t i = 0; i < sim->fallen_len; i++)
		if (sim->fallen[i] == ctl->number)
			return PCT_FALLS - i;
	return (x ^ x >> 33) | PCT_FALLS * 2;
}

static uint64_t highest(const struct sim *sim)
{
	const struct lade_ctl *ctl = sim->loop->ready_head;
	uint64_t best = 0, best_priority = 0;

	for (uint64_t n = 0; ctl; ctl = ctl->ready_next, n++) {
		if (priority(sim, ctl) > best_priority) {
			best = n;
			best_priority = priority(sim, ctl);
		}
	}
	return best;
}

static void fall_behind(struct sim *sim, uint64_t number)
{
	for (int i = 0; i < PCT_FALLS; i++)
		if (sim->low[i] == sim->steps && sim->fallen_len < PCT_FALLS)
			sim->fallen[sim->fallen_len++] = number;
}

static void choose(struct sim *sim)
{
	switch (sim->config.order) {
	case SIM_IN_ORDER:
		break;
	case SIM_RANDOM:
		bring_forward(sim->loop, sim_below(sim, count_ready(sim->loop)));
		break;
	case SIM_PREEMPT:
		if (sim->burst-- == 0) {
			sim->burst = sim_below(sim, 32);
			bring_forward(sim->loop, sim_below(sim, count_ready(sim->loop)));
		}
		break;
	case SIM_PCT:
		bring_forward(sim->loop, highest(sim));
		break;
	}
}

/* One turn of a task; a composite has no stack, and nothing to observe. */
static void run_one(struct sim *sim, struct lade_ctl *ctl)
{
	struct lade_loop *loop = sim->loop;
	struct lade_observer *o = ctl->context.sp ? loop->observer : NULL;
	uint64_t number = ctl->number;

	if (o && (ctl->flags & CTL_PARKED)) {
		ctl->flags &= ~(uint32_t)CTL_PARKED;
		o->resumes(o, ctl);
	}
	loop->turn_end = loop->taken + 1;
	if (o)
		o->turn(o, ctl);
	lade_enter_tasks(loop);
	if (o)
		o->turn(o, NULL);
	/* The control block of a task that has ended is still there, at the top of its stack. */
	if (o && ctl->number == number && ctl->wait) {
		ctl->flags |= CTL_PARKED;
		o->parked(o, ctl);
	}
}

static void sim_run(struct lade_loop *loop)
{
	struct sim *sim = loop->backend_data;

	for (int turns = 0; loop->ready_head && turns < TURNS_A_ROUND; turns++) {
		struct lade_ctl *ctl;

		choose(sim);
		ctl = loop->ready_head;
		if (sim->config.order != SIM_IN_ORDER)
			loop->inline_budget = (int)sim_below(sim, INLINE_CHOICES);
		sim_trace(sim, "run #%llu %s", (unsigned long long)ctl->number,
			  ctl->head->type->name);
		if (sim->config.order == SIM_PCT)
			fall_behind(sim, ctl->number);
		sim->steps++;
		run_one(sim, ctl);
	}
}

/* Operations that take time */

static void take_out(struct sim_pending *p)
{
	lade_list_remove(&p->link);
	p->io->op.reserved[0] = 0;
}

static void pending_due(struct lade_timer *timer)
{
	struct sim_pending *p = LADE_CONTAINER(timer, struct sim_pending, timer);
	struct lade_io *io = p->io;
	struct lade_ctl *before = lade_cur;
	int result = p->result;

	/* What happens now is the doing of the task that asked for it. */
	lade_cur = io->op.task;
	if (p->effect)
		result = p->effect(io);
	lade_cur = before;
	take_out(p);
	lade_free(p);
	lade_complete(&io->op, result);
}

int sim_after(struct sim *sim, struct lade_io *io, int64_t max_ns, int (*effect)(struct lade_io *),
	      int result)
{
	struct sim_pending *p = lade_calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->io = io;
	p->effect = effect;
	p->result = result;
	io->op.reserved[0] = (uintptr_t)p;
	lade_list_append(&sim->pending, &p->link);
	lade_timer_start(sim->loop, &p->timer,
			 sim->loop->now_ns + (int64_t)sim_below(sim, (uint64_t)max_ns + 1),
			 TIMER_OP, pending_due);
	return 0;
}

/* Too late: it has happened, or the other side has begun to do it. */
static bool is_too_late(struct sim *sim, const struct sim_pending *p, const struct lade_ctl *ctl)
{
	struct lade_observer *o = sim->loop->observer;

	return !p->effect || sim_chance(sim, sim->config.late) || (o && o->too_late(o, ctl));
}

static enum lade_abort_result sim_abort(struct lade_loop *loop, struct lade_io *io)
{
	struct sim *sim = loop->backend_data;
	struct sim_pending *p = (struct sim_pending *)io->op.reserved[0];

	if (!p) {
		lade_list_remove(&io->op.link);
		return LADE_ABORTED;
	}
	if (is_too_late(sim, p, io->op.task))
		return LADE_PENDING;
	lade_timer_stop(loop, &p->timer);
	take_out(p);
	lade_free(p);
	return LADE_ABORTED;
}

/* Descriptors */

struct sim_fd *sim_fd_of(struct sim *sim, int fd)
{
	int64_t at = (int64_t)fd - SIM_FIRST_FD;

	return at >= 0 && at < sim->fds_len ? sim->fds[at] : NULL;
}

int sim_fd_new(struct sim *sim, enum sim_kind kind, struct sim_fd **ret)
{
	uint32_t at = 0;

	while (at < sim->fds_len && sim->fds[at])
		at++;
	if (at == SIM_FDS_MAX)
		return -EMFILE;
	*ret = lade_calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	(*ret)->kind = kind;
	(*ret)->serial = ++sim->fds_made;
	(*ret)->site = sim->loop->observer ? sim->loop->observer->site : "";
	lade_list_init(&(*ret)->waiters);
	sim->fds[at] = *ret;
	if (at == sim->fds_len)
		sim->fds_len++;
	return SIM_FIRST_FD + (int)at;
}

void sim_wake(struct sim *sim, struct sim_fd *f)
{
	struct lade_link *it, *next;

	for (it = f->waiters.next; it != &f->waiters; it = next) {
		struct lade_io *io = LADE_CONTAINER(it, struct lade_io, op.link);
		short events = io->code == IO_ACCEPT ? POLLIN : (short)io->events;
		int rc = events;

		next = it->next;
		if (!sim_stream_ready(f, events))
			continue;
		lade_list_remove(it);
		if (io->code == IO_ACCEPT) {
			/* It has arrived; that it has may be told late, and to one who is
			 * cancelled by then. */
			rc = sim_accept(sim, f);
			if (rc >= 0 && sim_chance(sim, sim->config.late) &&
			    sim_after(sim, io, sim->config.latency_ns, NULL, rc) == 0)
				continue;
		}
		lade_complete(&io->op, rc);
	}
}

static int open_effect(struct lade_io *io)
{
	int rc = sim_fault(io->op.task->loop->backend_data, "open");

	return rc < 0 ? rc : sim_open(io->op.task->loop->backend_data, io->buf, io->flags);
}

static int transfer_effect(struct lade_io *io)
{
	struct sim *sim = io->op.task->loop->backend_data;
	struct sim_fd *f = sim_fd_of(sim, io->fd);
	struct lade_transfer t = { io->fd, io->code == IO_WRITE, io->buf, io->len, io->offset };

	int rc = sim_fault(sim, t.out ? "write" : "read");

	return rc < 0 ? rc : f ? sim_file_transfer(sim, f, &t, true) : -EBADF;
}

static int fsync_effect(struct lade_io *io)
{
	struct sim *sim = io->op.task->loop->backend_data;

	int rc = sim_fault(sim, "fsync");

	return rc < 0 ? rc : sim_chance(sim, sim->config.io_error) ? -EIO : 0;
}

static int sim_start(struct lade_loop *loop, struct lade_io *io)
{
	struct sim *sim = loop->backend_data;
	struct sim_fd *f;

	io->op.reserved[0] = 0;
	if (io->code == IO_OPEN)
		return sim_after(sim, io, sim->config.disk_ns, open_effect, 0);
	f = sim_fd_of(sim, io->fd);
	if (!f)
		return -EBADF;
	if (io->code == IO_FSYNC)
		return sim_after(sim, io, sim->config.disk_ns, fsync_effect, 0);
	if (f->kind == SIM_FILE)
		return io->code == IO_POLL
			       ? -EOPNOTSUPP
			       : sim_after(sim, io, sim->config.disk_ns, transfer_effect, 0);
	if (io->code != IO_POLL && io->code != IO_ACCEPT)
		return -EOPNOTSUPP;
	if (io->code == IO_POLL && sim_stream_ready(f, (short)io->events))
		return sim_after(sim, io, 0, NULL, (int)io->events);
	lade_list_append(&f->waiters, &io->op.link);
	return 0;
}

void sim_close(struct sim *sim, int fd)
{
	struct sim_fd *f = sim_fd_of(sim, fd);

	if (!f) {
		if (sim->loop->observer && fd >= SIM_FIRST_FD)
			sim->loop->observer->closed_twice(sim->loop->observer);
		return;
	}
	sim_trace(sim, "close %d", fd - SIM_FIRST_FD);
	sim->fds[fd - SIM_FIRST_FD] = NULL;
	free_fd(sim, f);
}

static int64_t sim_pool_ns(struct lade_loop *loop, bool name)
{
	struct sim *sim = loop->backend_data;
	int64_t max_ns = name ? sim->config.name_ns : sim->config.pool_ns;

	return (int64_t)sim_below(sim, (uint64_t)max_ns + 1);
}

const struct lade_backend lade_backend_sim = {
	.name = "sim",
	.open = sim_open_loop,
	.close = sim_close_loop,
	.now = lade_virtual_now,
	.poll = lade_virtual_poll,
	.start = sim_start,
	.abort = sim_abort,
	.run = sim_run,
	.pool_ns = sim_pool_ns,
	.sys = &sim_sys,
	.exact = true,
};
