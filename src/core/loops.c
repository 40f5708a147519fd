/* SPDX-License-Identifier: MIT */
/* loops.c - all loops of the process, and a dump of each from whatever state it is in.
 *
 * DESIGN
 * A loop belongs to its thread, so a dump is made by that thread: asked, it writes one between two
 * turns, where nothing is half done. A task that never suspends keeps the loop from that. Then its
 * thread gets a signal, and the handler writes the dump, carefully, over what it has interrupted.
 * Both write into a file in memory, so neither waits for who reads stderr, and the watcher's thread
 * adds names to addresses afterwards, which a handler could not.
 *
 * A place in the table goes from IDLE to TOUCHED and back while another thread uses the loop: its
 * owner waits that long before it frees the loop. ASKED waits for the loop, HELD for the handler;
 * WRITES is whoever of the two has come first.
 *
 * LIMITS  LADE_LOOPS_MAX loops; others work and are not shown. */

#include "core/loops.h"

#include "base/alloc.h"
#include "core/dump_priv.h"
#include "core/io_priv.h"
#include "core/text.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define HANDLER_STACK_BYTES 65536
#define LOOK_NS 2000000	       /* between two looks at whether a loop has answered */
#define WRITES_MAX_NS INT64_C(5000000000) /* a dump that takes longer is shown as far as it is */

enum place_state { FREE, IDLE, TOUCHED, ASKED, HELD, WRITES };

/* What is known of a loop. */
struct lade_place {
	_Atomic int state;	/* enum place_state */
	struct lade_loop *loop; /* written by its owner in state TOUCHED */
	pthread_t thread;	/* the owner */
	struct lade_ctl **cur;	/* where its lade_cur is */
	int fd;			/* where a dump goes; written in state TOUCHED */
	void *stack;		/* for signal handlers, or NULL: the thread has its own */
};

static struct lade_place places[LADE_LOOPS_MAX];
struct lade_known_loop lade_known_loops[LADE_LOOPS_MAX];
static atomic_int hold_signal; /* the signal that holds a loop; 0: none does */

static bool change(struct lade_place *p, int from, int to)
{
	return atomic_compare_exchange_strong(&p->state, &from, to);
}

void lade_loops_hold_by(int number)
{
	atomic_store(&hold_signal, number);
}

/* A thread of our own hears no signals and has no stack for their handlers: it needs both here. */
static void make_holdable(struct lade_place *p)
{
	int number = atomic_load(&hold_signal);
	stack_t stack = { .ss_size = HANDLER_STACK_BYTES }, before;
	sigset_t set;

	if (!number)
		return;
	if (sigaltstack(NULL, &before) == 0 && (before.ss_flags & SS_DISABLE)) {
		stack.ss_sp = p->stack = lade_malloc(HANDLER_STACK_BYTES);
		if (p->stack)
			sigaltstack(&stack, NULL);
	}
	sigemptyset(&set);
	sigaddset(&set, number);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void lade_loops_add(struct lade_loop *loop)
{
	for (int i = 0; i < LADE_LOOPS_MAX; i++) {
		struct lade_place *p = &places[i];

		if (!change(p, FREE, TOUCHED))
			continue;
		p->loop = loop;
		p->thread = pthread_self();
		make_holdable(p);
		p->cur = &lade_cur;
		loop->place = p;
		lade_known_loops[i] = (struct lade_known_loop){ &loop->root, &lade_cur };
		atomic_store(&p->state, IDLE);
		return;
	}
}

void lade_loops_remove(struct lade_loop *loop)
{
	struct lade_place *p = loop->place;

	/* A question that was not answered lapses; a signal that is on its way is waited for. */
	while (p && !change(p, IDLE, TOUCHED) && !change(p, ASKED, TOUCHED))
		sched_yield();
	if (!p)
		return;
	if (p->stack)
		sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL);
	lade_free(p->stack);
	p->stack = NULL;
	loop->place = NULL;
	lade_known_loops[p - places] = (struct lade_known_loop){ NULL, NULL };
	atomic_store(&p->state, FREE);
}

void lade_loops_answer(struct lade_loop *loop)
{
	struct lade_place *p = loop->place;

	/* Whoever wakes the loop to ask it touches it while it does so. */
	while (p && atomic_load(&p->state) == TOUCHED)
		sched_yield();
	if (!p || !change(p, ASKED, WRITES))
		return;
	lade_dump_how(loop, &(struct lade_dump_how){ .fd = p->fd });
	atomic_store(&p->state, IDLE);
}

/* Where the interrupted code was. */
static struct lade_frames_from interrupted(void *context)
{
	const ucontext_t *at = context;
	const struct lade_ctl *ctl = lade_cur;
	struct lade_frames_from from = { .high = UINTPTR_MAX - 64 };

#if defined(__x86_64__)
	from.pc = (uintptr_t)at->uc_mcontext.gregs[REG_RIP];
	from.bp = (uintptr_t)at->uc_mcontext.gregs[REG_RBP];
	from.sp = (uintptr_t)at->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
	from.pc = at->uc_mcontext.pc;
	from.bp = at->uc_mcontext.regs[29];
	from.sp = at->uc_mcontext.sp;
#else
	(void)at;
#endif
	if (ctl->stack) {
		from.low = (uintptr_t)ctl->stack;
		from.high = from.low + ctl->stack_bytes;
	}
	return from;
}

bool lade_loops_held(void *context)
{
	for (int i = 0; i < LADE_LOOPS_MAX; i++) {
		struct lade_place *p = &places[i];
		struct lade_frames_from from;

		if (atomic_load(&p->state) != HELD || !pthread_equal(p->thread, pthread_self()) ||
		    !change(p, HELD, WRITES))
			continue;
		from = interrupted(context);
		lade_dump_how(p->loop, &(struct lade_dump_how){
					       .fd = p->fd, .careful = true, .running = &from });
		atomic_store(&p->state, IDLE);
		return true;
	}
	return false;
}

/* Waits until a dump is there, or nobody has begun it for so long.  Returns whether it is. */
static bool has_answered(const struct lade_place *p, int64_t patience_ns)
{
	int64_t waited_ns = 0;

	for (;; waited_ns += LOOK_NS) {
		int state = atomic_load(&p->state);

		if (state == IDLE || state == FREE)
			return true;
		if (waited_ns >= patience_ns + (state == WRITES ? WRITES_MAX_NS : 0))
			return false;
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
	}
}

/* Takes a question back that nobody has begun to answer.  Returns whether it is over: no thread
 * writes, or will. */
static bool take_back(struct lade_place *p)
{
	return change(p, ASKED, IDLE) || change(p, HELD, IDLE) || has_answered(p, WRITES_MAX_NS);
}

/* Returns false if somebody still writes. */
static bool dump_place(struct lade_place *p, int fd, int64_t patience_ns)
{
	if (!change(p, IDLE, TOUCHED))
		return true;
	p->fd = fd;
	lade_loop_wake(p->loop);
	atomic_store(&p->state, ASKED);
	if (has_answered(p, patience_ns))
		return true;
	if (!atomic_load(&hold_signal) || !change(p, ASKED, HELD))
		return take_back(p);
	pthread_kill(p->thread, atomic_load(&hold_signal));
	return has_answered(p, WRITES_MAX_NS) || take_back(p);
}

void lade_loops_dump(int fd, int64_t patience_ns)
{
	int memory = memfd_create("lade dump", MFD_CLOEXEC);
	bool over = true;

	lade_frames_prepare();
	for (int i = 0; i < LADE_LOOPS_MAX; i++)
		over &= dump_place(&places[i], memory < 0 ? fd : memory, patience_ns);
	if (memory < 0)
		return;
	lade_dump_names(memory, fd);
	/* One that is still written to must not become somebody else's. */
	if (over)
		close(memory);
}

/* Who holds the core */

/* What a loop does, read without stopping it: whoever looks again sees whether it was true. */
__attribute__((no_sanitize("thread"))) static const struct lade_ctl *
glance(const struct lade_place *p, uint64_t *ret_taken)
{
	*ret_taken = *(volatile uint64_t *)&p->loop->taken;
	return *(struct lade_ctl *volatile *)p->cur;
}

static void read_text(char *to, size_t len, const char *from)
{
	(void)lade_peek(true, to, from, len - 1);
	to[len - 1] = 0;
}

/* Reads who a task is; it may end meanwhile.  Returns whether it is a task. */
static bool read_name(const struct lade_ctl *at, struct lade_hold *hold)
{
	struct lade_task_type type;
	struct lade_task head;
	struct lade_ctl ctl;

	if (!lade_peek(true, &ctl, at, sizeof(ctl)) ||
	    !lade_peek(true, &head, ctl.head, sizeof(head)) ||
	    !lade_peek(true, &type, head.type, sizeof(type)))
		return false;
	hold->number = ctl.number;
	read_text(hold->name, sizeof(hold->name), type.name);
	read_text(hold->site, sizeof(hold->site), head.site);
	return true;
}

static bool look_at(const struct lade_place *p, struct lade_hold *hold)
{
	uint64_t taken, before = hold->taken;
	const struct lade_ctl *ctl = glance(p, &taken);

	hold->taken = taken;
	if (p->loop->backend->exact || ctl == &lade_outside || taken != before) {
		hold->looks = 0;
		return false;
	}
	if (!hold->looks && !read_name(ctl, hold))
		return false;
	(void)glance(p, &taken);
	hold->looks = taken == before ? hold->looks + 1 : 0;
	return hold->looks > 0;
}

bool lade_loops_look(uint32_t n, struct lade_hold *hold)
{
	struct lade_place *p = &places[n];
	bool holds;

	if (!change(p, IDLE, TOUCHED)) {
		hold->looks = 0;
		return false;
	}
	holds = look_at(p, hold);
	atomic_store(&p->state, IDLE);
	return holds;
}

void lade_loops_report(uint32_t n, const char *message)
{
	struct lade_place *p = &places[n];

	if (!change(p, IDLE, TOUCHED))
		return;
	lade_report(p->loop, "%s", message);
	atomic_store(&p->state, IDLE);
}
