/* SPDX-License-Identifier: MIT */
/* faults.c - the calls between the library and the system, one of which is made to fail.
 *
 * DESIGN
 * Each call has one error, the likeliest of its manual page. Operations handed to io_uring fail
 * too: the n-th entry of the submission queue is turned into one that does nothing, and the result
 * of its completion is written over. A cancel is left alone, as it can only miss.
 *
 * Left out, because they cannot fail: clocks, mutexes, a write to the wake-up eventfd (but for
 * EINTR it fails for a bad descriptor only). */

#include "faults.h"

#include "base/alloc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_bool counting;
static enum fault_kind kind_now;
static const char *_Atomic only;	/* the calls of this name are counted, or NULL: all */
static atomic_long calls;		/* since faults_begin */
static atomic_long interruptible;	/* those that a signal can interrupt */
static atomic_long left;		/* calls before the one that fails */
static const char *_Atomic failed_name; /* the call that was made to fail, or NULL */
static atomic_int failed_error;		/* its errno */
static atomic_int maps;			/* mappings alive */

void faults_begin(enum fault_kind kind, long n)
{
	kind_now = kind;
	atomic_store(&failed_name, NULL);
	atomic_store(&failed_error, 0);
	atomic_store(&calls, 0);
	atomic_store(&interruptible, 0);
	atomic_store(&left, n);
	if (kind == FAULT_ALLOCATE)
		lade_alloc_fail_at(n);
	else
		atomic_store(&counting, true);
}

bool faults_end(const char **ret_name, int *ret_rc)
{
	if (kind_now == FAULT_ALLOCATE && lade_alloc_fail_at(0) == 0) {
		atomic_store(&failed_name, "malloc");
		atomic_store(&failed_error, ENOMEM);
	}
	atomic_store(&counting, false);
	*ret_name = atomic_load(&failed_name);
	*ret_rc = -atomic_load(&failed_error);
	return *ret_name;
}

void faults_count(long *ret_calls, long *ret_interruptible)
{
	*ret_calls = atomic_load(&calls);
	*ret_interruptible = atomic_load(&interruptible);
}

int faults_maps(void)
{
	return atomic_load(&maps);
}

void faults_only(const char *name)
{
	atomic_store(&only, name);
}

/* Whether this call is the one to fail.  Returns its errno, or 0; @waits: EINTR is possible. */
static int fault(const char *name, int error, bool waits)
{
	const char *one = atomic_load(&only);

	if (one && strcmp(one, name) != 0)
		return 0;
	if (!atomic_load(&counting))
		return 0;
	atomic_fetch_add(&calls, 1);
	atomic_fetch_add(&interruptible, waits);
	if (kind_now == FAULT_INTERRUPT && !waits)
		return 0;
	if (atomic_fetch_sub(&left, 1) != 1)
		return 0;
	if (kind_now == FAULT_INTERRUPT)
		error = EINTR;
	atomic_store(&failed_error, error);
	atomic_store(&failed_name, name);
	return error;
}

/* WRAP - a call that returns -1 and sets errno. */
#define WRAP(type, name, params, args, error, waits)                                               \
	type __real_##name params;                                                                 \
	type __wrap_##name params;                                                                 \
	type __wrap_##name params                                                                  \
	{                                                                                          \
		int wrong = fault(#name, error, waits);                                            \
                                                                                                   \
		if (!wrong)                                                                        \
			return __real_##name args;                                                 \
		errno = wrong;                                                                     \
		return -1;                                                                         \
	}

/* WRAP_URING - a call of liburing, which returns -errno. */
#define WRAP_URING(name, params, args, error, waits)                                               \
	int __real_##name params;                                                                  \
	int __wrap_##name params;                                                                  \
	int __wrap_##name params                                                                   \
	{                                                                                          \
		int wrong = fault(#name, error, waits);                                            \
                                                                                                   \
		return wrong ? -wrong : __real_##name args;                                        \
	}

WRAP(int, accept4, (int fd, struct sockaddr *a, socklen_t *len, int flags), (fd, a, len, flags),
     EMFILE, true)
WRAP(int, bind, (int fd, const struct sockaddr *a, socklen_t len), (fd, a, len), EADDRINUSE, false)
WRAP(int, connect, (int fd, const struct sockaddr *a, socklen_t len), (fd, a, len), ENETUNREACH,
     false)
WRAP(int, epoll_create1, (int flags), (flags), EMFILE, false)
WRAP(int, epoll_ctl, (int ep, int op, int fd, struct epoll_event *e), (ep, op, fd, e), ENOMEM,
     false)
WRAP(int, epoll_wait, (int ep, struct epoll_event *e, int max, int ms), (ep, e, max, ms), EINTR,
     true)
WRAP(int, epoll_pwait2,
     (int ep, struct epoll_event *e, int max, const struct timespec *t, const sigset_t *s),
     (ep, e, max, t, s), ENOSYS, true)
WRAP(int, eventfd, (unsigned value, int flags), (value, flags), EMFILE, false)
WRAP(int, fsync, (int fd), (fd), EIO, true)
WRAP(int, getpeername, (int fd, struct sockaddr *a, socklen_t *len), (fd, a, len), ENOBUFS, false)
WRAP(ssize_t, getrandom, (void *b, size_t len, unsigned flags), (b, len, flags), ENOSYS, true)
WRAP(int, getsockname, (int fd, struct sockaddr *a, socklen_t *len), (fd, a, len), ENOBUFS, false)
WRAP(int, getsockopt, (int fd, int level, int name, void *v, socklen_t *len),
     (fd, level, name, v, len), ENOMEM, false)
WRAP(int, listen, (int fd, int n), (fd, n), EADDRINUSE, false)
WRAP(int, madvise, (void *at, size_t len, int advice), (at, len, advice), ENOMEM, false)
WRAP(int, mprotect, (void *at, size_t len, int prot), (at, len, prot), ENOMEM, false)
WRAP(int, pipe2, (int fds[2], int flags), (fds, flags), EMFILE, false)
WRAP(int, poll, (struct pollfd *p, nfds_t n, int ms), (p, n, ms), ENOMEM, true)
WRAP(ssize_t, pread64, (int fd, void *b, size_t len, off_t at), (fd, b, len, at), EIO, true)
WRAP(ssize_t, preadv64v2, (int fd, const struct iovec *v, int n, off_t at, int flags),
     (fd, v, n, at, flags), EIO, true)
WRAP(ssize_t, pwrite64, (int fd, const void *b, size_t len, off_t at), (fd, b, len, at), ENOSPC,
     true)
WRAP(ssize_t, pwritev64v2, (int fd, const struct iovec *v, int n, off_t at, int flags),
     (fd, v, n, at, flags), ENOSPC, true)
WRAP(ssize_t, read, (int fd, void *b, size_t len), (fd, b, len), EIO, true)
WRAP(ssize_t, recv, (int fd, void *b, size_t len, int flags), (fd, b, len, flags), ECONNRESET,
     true)
WRAP(ssize_t, send, (int fd, const void *b, size_t len, int flags), (fd, b, len, flags), EPIPE,
     true)
WRAP(int, setsockopt, (int fd, int level, int name, const void *v, socklen_t len),
     (fd, level, name, v, len), ENOBUFS, false)
WRAP(int, socket, (int domain, int type, int protocol), (domain, type, protocol), EMFILE, false)

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	int wrong = fault("open64", EMFILE, true);
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (!wrong)
		return __real_open64(path, flags, mode);
	errno = wrong;
	return -1;
}

ssize_t __real_write(int fd, const void *b, size_t len);
ssize_t __wrap_write(int fd, const void *b, size_t len);
ssize_t __wrap_write(int fd, const void *b, size_t len)
{
	/* The eventfd's writes have eight bytes, and nobody else's here. */
	bool wakes = len == sizeof(uint64_t);
	int wrong = wakes && kind_now == FAULT_ERROR ? 0 : fault("write", ENOSPC, true);

	if (!wrong)
		return __real_write(fd, b, len);
	errno = wrong;
	return -1;
}

void *__real_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	int wrong = fault("mmap64", ENOMEM, false);
	void *map;

	if (wrong) {
		errno = wrong;
		return MAP_FAILED;
	}
	map = __real_mmap64(at, len, prot, flags, fd, offset);
	if (map != MAP_FAILED)
		atomic_fetch_add(&maps, 1);
	return map;
}

int __real_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len)
{
	atomic_fetch_sub(&maps, 1);
	return __real_munmap(at, len);
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	int rc = __real_close(fd); /* Linux closes it whatever it says */
	int wrong = fault("close", EIO, true);

	if (!wrong)
		return rc;
	errno = wrong;
	return -1;
}

int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
	int wrong = fault("pthread_create", EAGAIN, false);

	return wrong ? wrong : __real_pthread_create(t, a, fn, arg);
}

/* Names */

static atomic_int fake_count;
static bool fake_gated;
static sem_t gate;
static atomic_int at_gate;

void faults_names(int count, bool gated)
{
	if (gated && !fake_gated) {
		sem_init(&gate, 0, 0);
		atomic_store(&at_gate, 0);
	}
	atomic_store(&fake_count, count);
	fake_gated = gated;
}

void faults_open_gate(void)
{
	sem_post(&gate);
}

int faults_at_gate(void)
{
	return atomic_load(&at_gate);
}

/* The name in each fake address: it is freed perhaps long after others are asked for. */
static char fake_name[] = "fake";

/* One address of an answer, with room for what it points at. */
struct fake {
	struct addrinfo info;
	struct sockaddr_in address;
};

static void fake_answer(int count, struct addrinfo **ret)
{
	struct fake *all = calloc((size_t)count, sizeof(*all));

	for (int i = 0; i < count; i++) {
		all[i].address = (struct sockaddr_in){
			.sin_family = AF_INET,
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)i),
		};
		all[i].info = (struct addrinfo){
			.ai_family = AF_INET,
			.ai_addr = (struct sockaddr *)&all[i].address,
			.ai_addrlen = sizeof(all[i].address),
			.ai_canonname = fake_name,
			.ai_next = i + 1 < count ? &all[i + 1].info : NULL,
		};
	}
	*ret = &all->info;
}

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		       struct addrinfo **ret);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		       struct addrinfo **ret);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		       struct addrinfo **ret)
{
	int count = atomic_load(&fake_count);

	if (fault("getaddrinfo", ENOMEM, false))
		return EAI_MEMORY;
	if (fake_gated) {
		atomic_fetch_add(&at_gate, 1);
		while (sem_wait(&gate) < 0)
			;
	}
	if (!count)
		return __real_getaddrinfo(host, port, hints, ret);
	fake_answer(count, ret);
	return 0;
}

void __real_freeaddrinfo(struct addrinfo *list);
void __wrap_freeaddrinfo(struct addrinfo *list);
void __wrap_freeaddrinfo(struct addrinfo *list)
{
	if (list->ai_canonname == fake_name)
		free(list); /* its address is that of the block */
	else
		__real_freeaddrinfo(list);
}

/* io_uring */

static __thread uint64_t spoilt_tag; /* user data of the operation that does nothing */
static __thread int spoilt_error;    /* what its completion shall say; 0: none is under way */

/* The error of an operation, or 0: it is not one that fails. */
static int error_of(uint8_t code, const char **ret_name)
{
	static const struct {
		uint8_t code;
		int error;
		const char *name;
	} known[] = {
		{ IORING_OP_POLL_ADD, ENOMEM, "a poll of io_uring" },
		{ IORING_OP_READ, EIO, "a read of io_uring" },
		{ IORING_OP_WRITE, ENOSPC, "a write of io_uring" },
		{ IORING_OP_RECV, ECONNRESET, "a recv of io_uring" },
		{ IORING_OP_SEND, EPIPE, "a send of io_uring" },
		{ IORING_OP_ACCEPT, EMFILE, "an accept of io_uring" },
		{ IORING_OP_OPENAT, EMFILE, "an open of io_uring" },
		{ IORING_OP_FSYNC, EIO, "an fsync of io_uring" },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (known[i].code == code) {
			*ret_name = known[i].name;
			return known[i].error;
		}
	return 0;
}

/* Counts what is about to be submitted, and spoils the n-th. */
static void spoil(struct io_uring *ring)
{
	struct io_uring_sq *sq = &ring->sq;

	for (unsigned at = sq->sqe_head; at != sq->sqe_tail && !spoilt_error; at++) {
		struct io_uring_sqe *sqe = &sq->sqes[at & *sq->kring_mask];
		const char *name;
		int error = error_of(sqe->opcode, &name);

		if (!error)
			continue;
		spoilt_error = fault(name, error, sqe->opcode != IORING_OP_POLL_ADD);
		if (!spoilt_error)
			continue;
		spoilt_tag = sqe->user_data;
		io_uring_prep_nop(sqe);
		io_uring_sqe_set_data64(sqe, spoilt_tag);
	}
}

/* Writes the result of what was spoilt into its completion, once it is there. */
static void confess(struct io_uring *ring)
{
	struct io_uring_cq *cq = &ring->cq;
	unsigned tail = io_uring_smp_load_acquire(cq->ktail);

	for (unsigned at = *cq->khead; spoilt_error && at != tail; at++) {
		struct io_uring_cqe *cqe = &cq->cqes[at & *cq->kring_mask];

		if (cqe->user_data != spoilt_tag)
			continue;
		cqe->res = -spoilt_error;
		spoilt_error = 0;
	}
}

/* WRAP_SUBMIT - a call that hands the submission queue over. */
#define WRAP_SUBMIT(name, params, args)                                                            \
	int __real_##name params;                                                                  \
	int __wrap_##name params;                                                                  \
	int __wrap_##name params                                                                   \
	{                                                                                          \
		int wrong = fault(#name, EAGAIN, true), rc;                                        \
                                                                                                   \
		if (wrong)                                                                         \
			return -wrong;                                                             \
		spoil(ring);                                                                       \
		rc = __real_##name args;                                                           \
		confess(ring);                                                                     \
		return rc;                                                                         \
	}

WRAP_SUBMIT(io_uring_submit, (struct io_uring * ring), (ring))
WRAP_SUBMIT(io_uring_submit_and_get_events, (struct io_uring * ring), (ring))
WRAP_SUBMIT(io_uring_submit_and_wait_timeout,
	    (struct io_uring * ring, struct io_uring_cqe **cqe, unsigned n,
	     struct __kernel_timespec *t, sigset_t *s),
	    (ring, cqe, n, t, s))
WRAP_URING(io_uring_queue_init_params,
	   (unsigned n, struct io_uring *ring, struct io_uring_params *p), (n, ring, p), ENOMEM,
	   false)
WRAP_URING(io_uring_register_ring_fd, (struct io_uring * ring), (ring), EINVAL, false)
