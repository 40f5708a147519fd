/* SPDX-License-Identifier: MIT */
#ifndef LADE_CORE_SIM_PRIV_H
#define LADE_CORE_SIM_PRIV_H

/* sim_priv.h - what the files of the simulation share.
 *
 * One loop has one simulation; its state hangs at the loop's backend_data. Nothing in it depends on
 * addresses, on the real clock or on other processes: a run is a function of program and seed. */

#include "base/hash.h"
#include "core/io_priv.h"
#include "core/sys.h"

#define SIM_PATHS 65536u /* the first number that stands for a UNIX socket's path */
#define SIM_FIRST_FD 1000000 /* numbers that the kernel does not give */
#define SIM_FDS_MAX 65536
#define SIM_BACKLOG_MAX 128

enum sim_order { SIM_IN_ORDER, SIM_RANDOM, SIM_PREEMPT, SIM_PCT };

/* What a run may be told, by LADE_SEED and LADE_SIM; durations in ns, chances in 1/1000. */
struct sim_config {
	uint64_t seed;
	enum sim_order order;	/* in which order ready tasks run */
	int64_t latency_ns;	/* the longest way of bytes from one side to the other */
	int64_t disk_ns;	/* the longest time of an operation on a file */
	int64_t pool_ns;	/* the longest time of a blocking call */
	int64_t name_ns;	/* the longest time of a name look-up */
	uint64_t disk_bytes;	/* what files may hold together; then ENOSPC */
	uint32_t buffer_bytes;	/* what a connection or pipe holds in one direction */
	uint32_t backlog;	/* connections that wait to be accepted, at a listener */
	uint32_t cut;		/* a transfer moves less than was asked for */
	uint32_t late;		/* an operation succeeds although its cancel was asked */
	uint32_t reset;		/* a connection is reset when bytes arrive */
	uint32_t io_error;	/* an operation on a file fails with EIO */
	uint32_t no_name;	/* a name is not found, or the name service does not answer */
};

enum sim_kind { SIM_FREE, SIM_LISTENER, SIM_SOCKET, SIM_PIPE, SIM_FILE };

struct sim_stream;
struct sim_inode;

/* A simulated descriptor. */
struct sim_fd {
	enum sim_kind kind;
	uint64_t serial;	  /* no other descriptor of this simulation has or had it */
	const char *site;	  /* of the call that opened it, where there is an observer */
	struct lade_link waiters; /* struct lade_io: who waits until it is ready */
	struct sim_stream *in;	  /* bytes that come, or NULL */
	struct sim_stream *out;	  /* bytes that go, or NULL */
	uint32_t port;		  /* its own; from SIM_PATHS on that of a path */
	bool shut;		  /* of a socket: nothing more is written to it */
	bool calls;		  /* of a socket: it has connected, and was not accepted */
	bool answered;		  /* bytes have come on it */
	uint32_t called;	  /* of a socket that calls: the port at the other side */
	uint64_t request;	  /* hash of what was sent since the last answer */
	uint32_t sent;		  /* bytes of that */
	int64_t sent_ns;	  /* when its first byte was sent */
	int connect_rc;		  /* -EINPROGRESS, 0, or why there is no connection */
	struct sim_fd *queue[SIM_BACKLOG_MAX]; /* of a listener: not yet accepted, oldest first */
	uint32_t queued;	  /* of them */
	struct sim_inode *inode;  /* of a file */
	int64_t position;	  /* in the file */
	int flags;		  /* the file was opened with */
};

/* A simulation. */
struct sim {
	struct lade_loop *loop;
	struct sim_config config;
	uint64_t random;	   /* state of the generator; not 0 */
	struct sim_fd *fds[SIM_FDS_MAX]; /* by descriptor, less SIM_FIRST_FD */
	uint32_t fds_len;	   /* entries ever used */
	uint64_t fds_made;	   /* descriptors so far */
	uint16_t next_port;	   /* for who does not care */
	char **paths;		   /* of UNIX sockets, by port less SIM_PATHS */
	uint32_t paths_len;	   /* of them */
	struct sim_inode *inodes;  /* all files, latest first */
	uint64_t disk_used;	   /* bytes in them */
	struct lade_link pending;  /* struct sim_pending: operations under way */
	uint64_t steps;		   /* turns of tasks so far */
	uint64_t trace_hash;	   /* of every event so far */
	bool untraced;		   /* nobody will ask for the hash */
	int trace_fd;		   /* where events are written, or -1 */
	uint64_t burst;		   /* SIM_PREEMPT: turns before the next random choice */
	uint64_t low[8];	   /* SIM_PCT: steps at which the running task falls behind */
	uint64_t fallen[8];	   /* SIM_PCT: numbers of those tasks, latest last */
	uint32_t fallen_len;	   /* of them */
};

/* sim.c */

/* sim_random - the next random number. */
uint64_t sim_random(struct sim *sim);

/* sim_below - a random number from 0 to @n - 1; 0 for an @n of 0. */
uint64_t sim_below(struct sim *sim, uint64_t n);

/* sim_chance - true in @per_mille of 1000 cases. */
bool sim_chance(struct sim *sim, uint32_t per_mille);

/* sim_trace - an event: into the hash, and into the trace if there is one. */
__attribute__((format(printf, 2, 3))) void sim_trace(struct sim *sim, const char *format, ...);

/* sim_fault - what the observer makes of an operation that is about to be tried: 0, or its
 * -errno. */
int sim_fault(struct sim *sim, const char *what);

/* sim_effect - tells the observer, if there is one. */
void sim_effect(struct sim *sim, const struct lade_effect *effect);

/* sim_after - completes an operation in at most @max_ns; what @effect does happens then, or, for
 * NULL, has happened with @result. */
int sim_after(struct sim *sim, struct lade_io *io, int64_t max_ns, int (*effect)(struct lade_io *),
	      int result);

/* sim_fd_of - the descriptor's, or NULL; sim_fd_new - a new one: its number, or -errno. */
struct sim_fd *sim_fd_of(struct sim *sim, int fd);
int sim_fd_new(struct sim *sim, enum sim_kind kind, struct sim_fd **ret);

/* sim_read_config - what LADE_SEED and LADE_SIM say.  Returns 0, or -EINVAL with the beginning of
 * the setting that is none in @wrong.
 * sim_name_settings - writes the names of all settings. */
int sim_read_config(struct sim_config *config, char wrong[64]);
void sim_name_settings(char *text, size_t len);

/* sim_sys.c */
extern const struct lade_sys sim_sys;

/* sim_net.c and sim_file.c: what sockets and pipes, and files, do with a call */
int sim_stream_transfer(struct sim *sim, struct sim_fd *f, const struct lade_transfer *t);
bool sim_stream_ready(const struct sim_fd *f, short events);
void sim_stream_close(struct sim *sim, struct sim_fd *f);
int sim_pipe(struct sim *sim, int ret_fds[2]);
int sim_shutdown(struct sim *sim, struct sim_fd *f);
void sim_paths_free(struct sim *sim);
int sim_listen(struct sim *sim, const struct sockaddr *where);
int sim_accept(struct sim *sim, struct sim_fd *listener);
int sim_connect(struct sim *sim, const struct sockaddr *where, int *ret_fd);
int sim_look_up(struct sim *sim, const char *host, uint16_t port, lade_address_found *found,
		void *arg);
int sim_open(struct sim *sim, const char *path, int flags);
int sim_file_transfer(struct sim *sim, struct sim_fd *f, const struct lade_transfer *t,
		      bool is_effect);
int sim_file_stat(struct sim *sim, const struct sim_fd *f, const char *path, struct stat *ret);
int sim_file_truncate(struct sim *sim, struct sim_fd *f, int64_t len);
int sim_file_remove(struct sim *sim, const char *path);
void sim_files_free(struct sim *sim);

/* sim_close - gives a descriptor back. */
void sim_close(struct sim *sim, int fd);

/* sim_wake - completes the waits for a descriptor that are over. */
void sim_wake(struct sim *sim, struct sim_fd *f);

#endif
