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

#define FIRST_NS INT64_C(1000000000) /* not 0: an instant before the first must exist */
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

uint64_t sim_hash(uint64_t hash, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	/* FNV-1a. */
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ at[i]) * UINT64_C(1099511628211);
	return hash;
}

void sim_effect(struct sim *sim, const struct lade_effect *effect)
{
	if (sim->loop->observer)
		sim->loop->observer->effect(sim->loop->observer, effect);
}

/* What the observer makes of an operation that is about to be tried. */
static int fault(struct sim *sim, const char *what)
{
	return sim->loop->observer ? sim->loop->observer->fault(sim->loop->observer, what) : 0;
}

void sim_trace(struct sim *sim, const char *format, ...)
{
	char text[512];
	va_list args;
	int len = snprintf(text, sizeof(text), "%lld ",
			   (long long)(sim->loop->now_ns - FIRST_NS));

	va_start(args, format);
	len += vsnprintf(text + len, sizeof(text) - (size_t)len - 1, format, args);
	va_end(args);
	if ((size_t)len > sizeof(text) - 2)
		len = sizeof(text) - 2;
	text[len++] = '\n';
	sim->trace_hash = sim_hash(sim->trace_hash, text, (size_t)len);
	if (sim->trace_fd >= 0)
		(void)!write(sim->trace_fd, text, (size_t)len);
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

/* Configuration */

/* One setting of LADE_SIM. */
struct setting {
	const char *name;
	size_t at;     /* of the field in struct sim_config */
	uint8_t bytes; /* size of the field */
	uint32_t unit; /* what one stands for */
};

#define SETTING(name, field, unit)                                                                 \
	{ name, offsetof(struct sim_config, field), sizeof(((struct sim_config *)0)->field), unit }

static const struct setting settings[] = {
	SETTING("latency_us", latency_ns, 1000), SETTING("disk_us", disk_ns, 1000),
	SETTING("pool_us", pool_ns, 1000),	 SETTING("name_us", name_ns, 1000),
	SETTING("disk_bytes", disk_bytes, 1),	 SETTING("buffer_bytes", buffer_bytes, 1),
	SETTING("cut", cut, 1),			 SETTING("late", late, 1),
	SETTING("reset", reset, 1),		 SETTING("io_error", io_error, 1),
	SETTING("no_name", no_name, 1),
};

static int set_order(struct sim_config *config, const char *name)
{
	static const char *const names[] = { "in-order", "random", "preempt", "pct" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(name, names[i]) == 0) {
			config->order = (enum sim_order)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int set_number(struct sim_config *config, const char *name, const char *value)
{
	char *end;
	unsigned long long number = strtoull(value, &end, 10);

	if (!*value || *end)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
		const struct setting *s = &settings[i];
		uint64_t wide = (uint64_t)number * s->unit;
		uint32_t narrow = (uint32_t)wide;

		if (strcmp(name, s->name) != 0)
			continue;
		memcpy((char *)config + s->at, s->bytes == 8 ? (void *)&wide : (void *)&narrow,
		       s->bytes);
		return 0;
	}
	return -EINVAL;
}

/* Reads "name=value,name=value".  Returns 0, or -EINVAL. */
static int read_settings(struct sim_config *config, const char *text)
{
	char copy[512], *rest = copy, *item;
	int rc = 0;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	while (rc == 0 && (item = strsep(&rest, ","))) {
		char *value = strchr(item, '=');

		if (!*item)
			continue;
		if (!value)
			return -EINVAL;
		*value++ = 0;
		rc = strcmp(item, "order") == 0 ? set_order(config, value)
						: set_number(config, item, value);
	}
	return rc;
}

static int read_config(struct sim_config *config)
{
	const char *seed = getenv("LADE_SEED"), *settings_text = getenv("LADE_SIM");

	*config = (struct sim_config){ .seed = seed && *seed ? strtoull(seed, NULL, 0) : 1,
				       .order = SIM_RANDOM,
				       .latency_ns = 500000,
				       .disk_ns = 2000000,
				       .pool_ns = 1000000,
				       .name_ns = 20000000,
				       .disk_bytes = UINT64_C(1) << 30,
				       .buffer_bytes = 65536,
				       .cut = 200,
				       .late = 200 };
	return settings_text ? read_settings(config, settings_text) : 0;
}

static int sim_open_loop(struct lade_loop *loop)
{
	struct sim *sim = lade_calloc(1, sizeof(*sim));
	const char *trace = getenv("LADE_TRACE");
	int rc;

	if (!sim)
		return -ENOMEM;
	rc = read_config(&sim->config);
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
	sim->trace_hash = SIM_HASH_SEED;
	sim->next_port = 40000;
	lade_list_init(&sim->pending);
	loop->now_ns = FIRST_NS;
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
	if (sim->trace_fd >= 0)
		close(sim->trace_fd);
	lade_free(sim);
}

static int64_t sim_now(struct lade_loop *loop)
{
	return loop->now_ns;
}

static int sim_poll(struct lade_loop *loop, int64_t until_ns)
{
	if (atomic_load(&loop->mailbox)) {
		lade_mailbox_run(loop);
		return 0;
	}
	if (until_ns == INT64_MAX)
		return -EDEADLK;
	if (until_ns > loop->now_ns)
		loop->now_ns = until_ns;
	return 0;
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
	int rc = fault(io->op.task->loop->backend_data, "open");

	return rc < 0 ? rc : sim_open(io->op.task->loop->backend_data, io->buf, io->flags);
}

static int transfer_effect(struct lade_io *io)
{
	struct sim *sim = io->op.task->loop->backend_data;
	struct sim_fd *f = sim_fd_of(sim, io->fd);
	struct lade_transfer t = { io->fd, io->code == IO_WRITE, io->buf, io->len, io->offset };

	int rc = fault(sim, t.out ? "write" : "read");

	return rc < 0 ? rc : f ? sim_file_transfer(sim, f, &t) : -EBADF;
}

static int fsync_effect(struct lade_io *io)
{
	struct sim *sim = io->op.task->loop->backend_data;

	int rc = fault(sim, "fsync");

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
	lade_list_append(&f->waiters, &io->op.link);
	return 0;
}

void sim_close(struct sim *sim, int fd)
{
	struct sim_fd *f = sim_fd_of(sim, fd);

	if (!f)
		return;
	sim_trace(sim, "close %d", fd - SIM_FIRST_FD);
	sim->fds[fd - SIM_FIRST_FD] = NULL;
	free_fd(sim, f);
}

/* System calls: of the loop whose task runs */

static struct sim *here(void)
{
	return lade_cur->loop->backend_data;
}

/* Standard input and output are the real ones; no other descriptor of the kernel is let in. */
static int stdio_transfer(const struct lade_transfer *t)
{
	ssize_t n;

	if (t->fd < STDIN_FILENO || t->fd > STDERR_FILENO)
		return -EBADF;
	n = t->out ? write(t->fd, t->buf, t->len) : read(t->fd, t->buf, t->len);
	return n < 0 ? -errno : (int)n;
}

static int sys_transfer(const struct lade_transfer *t)
{
	struct sim *sim = here();
	struct sim_fd *f = sim_fd_of(sim, t->fd);
	int rc;

	if (!f)
		return stdio_transfer(t);
	rc = fault(sim, t->out ? "write" : "read");
	if (rc < 0)
		return rc;
	return f->kind == SIM_FILE ? sim_file_transfer(sim, f, t) : sim_stream_transfer(sim, f, t);
}

static int sys_try_transfer(const struct lade_transfer *t)
{
	struct sim *sim = here();
	struct sim_fd *f = sim_fd_of(sim, t->fd);

	/* Bytes of a file may be at hand, or have to be waited for. */
	if (f && f->kind == SIM_FILE && (t->out || sim_random(sim) & 1))
		return -EAGAIN;
	return sys_transfer(t);
}

static bool sys_is_ready(int fd, short events)
{
	struct sim_fd *f = sim_fd_of(here(), fd);

	return !f || f->kind == SIM_FILE || sim_stream_ready(f, events);
}

static int sys_open(const char *path, int flags, mode_t mode)
{
	(void)mode;
	return sim_open(here(), path, flags);
}

static void sys_close(int fd)
{
	sim_close(here(), fd);
}

static int sys_fsync(int fd)
{
	return sim_fd_of(here(), fd) ? 0 : -EBADF;
}

static int sys_pipe(int ret_fds[2])
{
	return sim_pipe(here(), ret_fds);
}

static int sys_listen(const struct sockaddr *where, socklen_t len)
{
	(void)len;
	return sim_listen(here(), where);
}

static int sys_local_port(int fd)
{
	struct sim_fd *f = sim_fd_of(here(), fd);

	return !f ? -EBADF : f->kind == SIM_FILE || f->kind == SIM_PIPE ? -ENOTSOCK : f->port;
}

static int sys_accept(int listener)
{
	int rc = fault(here(), "accept");

	return rc < 0 ? rc : sim_accept(here(), sim_fd_of(here(), listener));
}

static void sys_no_delay(int fd)
{
	(void)fd;
}

static int sys_connect(const struct sockaddr *where, socklen_t len, int *ret_fd)
{
	int rc = fault(here(), "connect");

	(void)len;
	return rc < 0 ? rc : sim_connect(here(), where, ret_fd);
}

static int sys_connect_state(int fd)
{
	struct sim_fd *f = sim_fd_of(here(), fd);

	return f ? f->connect_rc : -EBADF;
}

static int sys_look_up(struct lade_loop *loop, const char *host, uint16_t port,
		       lade_address_found *found, void *arg)
{
	return sim_look_up(loop->backend_data, host, port, found, arg);
}

static const struct lade_sys sim_sys = {
	.try_transfer = sys_try_transfer,
	.transfer = sys_transfer,
	.is_ready = sys_is_ready,
	.open = sys_open,
	.close = sys_close,
	.fsync = sys_fsync,
	.pipe = sys_pipe,
	.listen = sys_listen,
	.local_port = sys_local_port,
	.accept = sys_accept,
	.no_delay = sys_no_delay,
	.connect = sys_connect,
	.connect_state = sys_connect_state,
	.look_up = sys_look_up,
};

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
	.now = sim_now,
	.poll = sim_poll,
	.start = sim_start,
	.abort = sim_abort,
	.run = sim_run,
	.pool_ns = sim_pool_ns,
	.sys = &sim_sys,
	.exact = true,
};
