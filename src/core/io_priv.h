/* SPDX-License-Identifier: MIT */
#ifndef LADE_CORE_IO_PRIV_H
#define LADE_CORE_IO_PRIV_H

/* io_priv.h - what a back end can do for a task that waits for the kernel.
 *
 * A back end waits for readiness; one that works by completion may also do the whole operation.
 * The caller tries without blocking first, so a back end is asked only when there is a wait. */

#include "core/core_priv.h"

#include <sys/types.h>

enum io_code { IO_POLL, IO_READ, IO_WRITE, IO_RECV, IO_SEND, IO_ACCEPT, IO_OPEN, IO_FSYNC };

/* One operation of one task; on the task's stack until it is complete. */
struct lade_io {
	struct lade_op op;
	enum io_code code;
	int fd;		   /* descriptor; of IO_OPEN: the folder */
	uint32_t events;   /* IO_POLL: POLLIN, POLLOUT */
	int flags;	   /* IO_OPEN, IO_ACCEPT, IO_SEND: their flags; IO_FSYNC: 1 is data only */
	mode_t mode;	   /* IO_OPEN */
	void *buf;	   /* the bytes; IO_OPEN: the path */
	uint32_t len;	   /* bytes */
	int64_t offset;	   /* position in the file; -1: the current one */
	uint32_t slot;	   /* the back end's: place in its table */
	bool unsent;	   /* the back end's: not handed to the kernel yet */
};

enum effect_kind {
	EFFECT_EXCHANGE, /* a request was answered */
	EFFECT_SEND,	 /* bytes were sent on a connection that never answered */
	EFFECT_WRITE,	 /* bytes were written to a file */
};

/* What a task has done outside the process. */
struct lade_effect {
	enum effect_kind kind;
	const char *peer;  /* the file's name, or "port 80" */
	uint64_t request;  /* hash of the bytes that were sent or written */
	uint32_t sent;	   /* so many */
	uint32_t answered; /* bytes of the answer that came first */
	int64_t took_ns;   /* from the first byte sent to the answer */
	const void *bytes; /* of EFFECT_WRITE: what was written */
};

/* lade_io_wait - asks the back end for an operation and waits for its end.
 *
 * The entry test is done. Returns the operation's result; -ECANCELED: it did not happen;
 * -EOPNOTSUPP: this back end cannot do it, or not with this descriptor; -ENOMEM. */
int lade_io_wait(struct lade_io *io);

/* lade_loop_wake - makes the loop's poll return; from any thread or signal handler. */
void lade_loop_wake(struct lade_loop *loop);

/* lade_woken - the back end's word that it read @value from wake_fd: takes mail and signals. */
void lade_woken(struct lade_loop *loop, uint64_t value);

/* lade_wake_fd_close - closes wake_fd, which nobody will write to any more. */
void lade_wake_fd_close(struct lade_loop *loop);

/* virtual.c: the clock that moves only when nothing can run; the simulation has it too. */
#define LADE_VIRTUAL_FIRST_NS INT64_C(1000000000) /* not 0: there must be an instant before it */
int64_t lade_virtual_now(struct lade_loop *loop);
int lade_virtual_poll(struct lade_loop *loop, int64_t until_ns);

extern const struct lade_backend lade_backend_epoll;
extern const struct lade_backend lade_backend_uring;
extern const struct lade_backend lade_backend_sim;

/* lade_backend_is_known - whether there is a back end of that name in this build. */
bool lade_backend_is_known(const char *name);

/* lade_sim_trace_hash - a hash of every event of a loop on the back end "sim" so far. */
uint64_t lade_sim_trace_hash(const struct lade_loop *loop);

/* lade_sim_untrace - keeps no hash from now on, unless the trace is written to a file. */
void lade_sim_untrace(struct lade_loop *loop);

/* lade_sim_open_fds - how many simulated descriptors are open, and where one was opened. */
uint32_t lade_sim_open_fds(const struct lade_loop *loop, char *text, size_t len);

#endif
