/* SPDX-License-Identifier: MIT */
/* sim_net.c - simulated connections and pipes.
 *
 * DESIGN
 * A connection is two streams, a pipe is one. Written bytes travel: they lie in the stream's ring
 * at once, and can be read when their time has come; what was written first comes first. An end of
 * the bytes travels the same way. A reset overtakes: what has not been read is gone.
 *
 * LIMITS  config.buffer_bytes written and not read in a stream; then a writer waits. config.backlog
 * connections not yet accepted; then one is tried again, and after CONNECT_TRIES given up. */

#include "core/sim_priv.h"

#include "base/alloc.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define CONNECT_TRIES 6
#define CONNECT_RETRY_NS INT64_C(1000000000)

/* Bytes on their way in one direction. */
struct sim_stream {
	struct sim *sim;
	struct sim_fd *reader; /* NULL: closed */
	struct sim_fd *writer; /* NULL: closed */
	char *ring;
	uint32_t size;	   /* of the ring */
	uint32_t start;	   /* of the oldest byte */
	uint32_t len;	   /* bytes in the ring */
	uint32_t arrived;  /* of them, those that can be read */
	int64_t last_ns;   /* when the latest on the way will have arrived */
	uint32_t under_way; /* struct way of this stream */
	bool ended;	   /* the end has arrived */
	bool reset;	   /* -ECONNRESET for who reads */
};

/* What is on its way. */
struct way {
	struct lade_timer timer;
	struct sim_stream *stream;
	uint32_t bytes; /* 0: the end */
};

/* A connection that is being made. */
struct meeting {
	struct lade_timer timer;
	struct sim *sim;
	int fd;		     /* of who connects */
	struct sim_fd *self; /* what that descriptor was then; it may be closed by now */
	uint64_t serial;     /* its: neither number nor address says that it is the same */
	uint32_t port;	     /* where to */
	int tries;	     /* so far */
};

static void stream_drop(struct sim_stream *s)
{
	if (s->reader || s->writer || s->under_way)
		return;
	lade_free(s->ring);
	lade_free(s);
}

static struct sim_stream *stream_new(struct sim *sim, struct sim_fd *reader, struct sim_fd *writer)
{
	struct sim_stream *s = lade_calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->size = sim->config.buffer_bytes ? sim->config.buffer_bytes : 1;
	s->ring = lade_malloc(s->size);
	if (!s->ring) {
		lade_free(s);
		return NULL;
	}
	s->sim = sim;
	s->reader = reader;
	s->writer = writer;
	reader->in = writer->out = s;
	return s;
}

static void stream_reset(struct sim_stream *s)
{
	s->reset = true;
	s->len = s->arrived = 0;
	if (s->reader)
		sim_wake(s->sim, s->reader);
	if (s->writer)
		sim_wake(s->sim, s->writer);
}

/* A reset ends both directions. */
static void reset_connection(struct sim_stream *s)
{
	struct sim_stream *back = s->reader ? s->reader->out : NULL;

	sim_trace(s->sim, "reset");
	stream_reset(s);
	if (back)
		stream_reset(back);
}

static void arrive(struct lade_timer *timer)
{
	struct way *w = LADE_CONTAINER(timer, struct way, timer);
	struct sim_stream *s = w->stream;

	s->under_way--;
	if (s->reader && s->reader->kind == SIM_SOCKET && !s->reset &&
	    sim_chance(s->sim, s->sim->config.reset)) {
		reset_connection(s);
	} else if (!s->reset) {
		s->arrived += w->bytes;
		s->ended |= w->bytes == 0;
		if (s->reader)
			sim_wake(s->sim, s->reader);
	}
	lade_free(w);
	stream_drop(s);
}

static int send_off(struct sim_stream *s, uint32_t bytes)
{
	struct lade_loop *loop = s->sim->loop;
	struct way *w = lade_calloc(1, sizeof(*w));
	int64_t at_ns = loop->now_ns +
			(int64_t)sim_below(s->sim, (uint64_t)s->sim->config.latency_ns + 1);

	if (!w)
		return -ENOBUFS;
	if (at_ns < s->last_ns)
		at_ns = s->last_ns;
	s->last_ns = at_ns;
	w->stream = s;
	w->bytes = bytes;
	s->under_way++;
	lade_timer_start(loop, &w->timer, at_ns, TIMER_OP, arrive);
	return 0;
}

/* At least one byte, and by chance not all. */
static uint32_t cut(struct sim *sim, uint32_t bytes)
{
	return bytes > 1 && sim_chance(sim, sim->config.cut)
		       ? 1 + (uint32_t)sim_below(sim, bytes - 1)
		       : bytes;
}

static int stream_read(struct sim_stream *s, char *buf, size_t len)
{
	uint32_t n = len < s->arrived ? (uint32_t)len : s->arrived, first;

	if (len == 0)
		return 0;
	if (s->reset)
		return -ECONNRESET;
	if (n == 0)
		return s->ended ? 0 : -EAGAIN;
	n = cut(s->sim, n);
	first = s->size - s->start < n ? s->size - s->start : n;
	memcpy(buf, s->ring + s->start, first);
	memcpy(buf + first, s->ring, n - first);
	s->start = (s->start + n) % s->size;
	s->len -= n;
	s->arrived -= n;
	if (s->writer)
		sim_wake(s->sim, s->writer);
	return (int)n;
}

static int stream_write(struct sim_stream *s, const char *buf, size_t len)
{
	uint32_t room = s->size - s->len, n = len < room ? (uint32_t)len : room, at, first;
	int rc;

	if (s->reset)
		return -ECONNRESET;
	if (!s->reader)
		return -EPIPE;
	if (len == 0)
		return 0;
	if (n == 0)
		return -EAGAIN;
	n = cut(s->sim, n);
	rc = send_off(s, n);
	if (rc < 0)
		return rc;
	at = (s->start + s->len) % s->size;
	first = s->size - at < n ? s->size - at : n;
	memcpy(s->ring + at, buf, first);
	memcpy(s->ring, buf + first, n - first);
	s->len += n;
	return (int)n;
}

/* Addresses: the port says who is meant, or the path. */

/* The port that stands for a path, or 0: there is no memory. */
static uint32_t port_of_path(struct sim *sim, const char *path)
{
	char **paths;
	uint32_t i = 0;

	while (i < sim->paths_len && strcmp(sim->paths[i], path) != 0)
		i++;
	if (i < sim->paths_len)
		return SIM_PATHS + i;
	paths = lade_realloc(sim->paths, (i + 1) * sizeof(*paths));
	if (!paths)
		return 0;
	sim->paths = paths;
	paths[i] = lade_malloc(strlen(path) + 1);
	if (!paths[i])
		return 0;
	strcpy(paths[i], path);
	return SIM_PATHS + sim->paths_len++;
}

/* Returns 0 and the port; -ENOMEM. */
static int port_of(struct sim *sim, const struct sockaddr *where, uint32_t *ret)
{
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;

	if (where->sa_family == AF_UNIX) {
		struct sockaddr_un path;

		memcpy(&path, where, sizeof(path));
		*ret = port_of_path(sim, path.sun_path);
		return *ret ? 0 : -ENOMEM;
	}
	if (where->sa_family == AF_INET6) {
		memcpy(&v6, where, sizeof(v6));
		*ret = ntohs(v6.sin6_port);
	} else {
		memcpy(&v4, where, sizeof(v4));
		*ret = ntohs(v4.sin_port);
	}
	return 0;
}

/* Whom a socket has called, as effects name it. */
static void name_peer(const struct sim *sim, const struct sim_fd *f, char text[48])
{
	if (f->called < SIM_PATHS)
		snprintf(text, 48, "port %u", f->called);
	else
		snprintf(text, 48, "unix:%s", sim->paths[f->called - SIM_PATHS]);
}

void sim_paths_free(struct sim *sim)
{
	for (uint32_t i = 0; i < sim->paths_len; i++)
		lade_free(sim->paths[i]);
	lade_free(sim->paths);
}

/* What a socket that calls has done: a request grows, and is answered. */
static void note_exchange(struct sim *sim, struct sim_fd *f, const struct lade_transfer *t, int n)
{
	char peer[48];

	if (!f->calls || n <= 0)
		return;
	if (t->out) {
		if (!f->sent)
			f->sent_ns = sim->loop->now_ns;
		f->request = lade_hash_fnv(f->sent ? f->request : LADE_HASH_FNV, t->buf, (size_t)n);
		f->sent += (uint32_t)n;
		return;
	}
	f->answered = true;
	if (!f->sent)
		return;
	name_peer(sim, f, peer);
	sim_effect(sim, &(struct lade_effect){ EFFECT_EXCHANGE, peer, f->request, f->sent,
					       (uint32_t)n, sim->loop->now_ns - f->sent_ns,
					       NULL });
	f->sent = 0;
}

/* What was sent on a connection that never answered has been sent all the same. */
static void note_send(struct sim *sim, struct sim_fd *f)
{
	char peer[48];

	if (!f->calls || f->answered || !f->sent)
		return;
	name_peer(sim, f, peer);
	sim_effect(sim, &(struct lade_effect){ EFFECT_SEND, peer, f->request, f->sent, 0, 0,
					       NULL });
}

int sim_stream_transfer(struct sim *sim, struct sim_fd *f, const struct lade_transfer *t)
{
	struct sim_stream *s = t->out ? f->out : f->in;
	int rc;

	if (t->offset >= 0)
		return -ESPIPE;
	if (f->connect_rc == -EINPROGRESS)
		return -EAGAIN;
	if (t->out && f->shut)
		return -EPIPE;
	if (!s)
		return f->kind == SIM_SOCKET ? -ENOTCONN : -EBADF;
	rc = t->out ? stream_write(s, t->buf, t->len) : stream_read(s, t->buf, t->len);
	if (rc != -EAGAIN)
		sim_trace(sim, "%s %d: %d", t->out ? "send" : "receive", t->fd - SIM_FIRST_FD, rc);
	note_exchange(sim, f, t, rc);
	return rc;
}

bool sim_stream_ready(const struct sim_fd *f, short events)
{
	if (f->kind == SIM_LISTENER)
		return (events & POLLIN) && f->queued;
	if (f->connect_rc == -EINPROGRESS)
		return false;
	if (f->connect_rc < 0)
		return true;
	if ((events & POLLIN) && f->in && (f->in->arrived || f->in->ended || f->in->reset))
		return true;
	if (f->shut)
		return events & POLLOUT;
	return (events & POLLOUT) && f->out &&
	       (f->out->len < f->out->size || !f->out->reader || f->out->reset);
}

/* One side of a stream goes. */
static void leave(struct sim_stream *s, bool reads)
{
	if (reads) {
		s->reader = NULL;
		if (s->writer && s->writer->kind == SIM_PIPE)
			sim_wake(s->sim, s->writer);
	} else {
		s->writer = NULL;
		if (s->reader && send_off(s, 0) < 0)
			stream_reset(s);
	}
}

int sim_shutdown(struct sim *sim, struct sim_fd *f)
{
	struct sim_stream *out = f->out;

	if (f->shut)
		return 0;
	if (!out)
		return -ENOTCONN;
	f->shut = true;
	f->out = NULL;
	leave(out, false);
	stream_drop(out);
	sim_trace(sim, "shutdown");
	return 0;
}

void sim_stream_close(struct sim *sim, struct sim_fd *f)
{
	struct sim_stream *in = f->in, *out = f->out;

	note_send(sim, f);
	for (uint32_t i = 0; i < f->queued; i++) {
		struct sim_fd *waiting = f->queue[i];

		if (waiting->out)
			reset_connection(waiting->out);
		sim_stream_close(sim, waiting);
		lade_free(waiting);
	}
	f->queued = 0;
	/* Who closes with bytes unread resets: RFC 9293, 3.10.4, and RFC 2525, 2.17. */
	if (in && f->kind == SIM_SOCKET && in->len && out && out->reader)
		stream_reset(out);
	f->in = f->out = NULL;
	if (in) {
		leave(in, true);
		stream_drop(in);
	}
	if (out) {
		leave(out, false);
		stream_drop(out);
	}
}

int sim_pipe(struct sim *sim, int ret_fds[2])
{
	struct sim_fd *r, *w;
	int fds[2];

	fds[0] = sim_fd_new(sim, SIM_PIPE, &r);
	if (fds[0] < 0)
		return fds[0];
	fds[1] = sim_fd_new(sim, SIM_PIPE, &w);
	if (fds[1] < 0 || !stream_new(sim, r, w)) {
		sim_close(sim, fds[0]);
		if (fds[1] < 0)
			return fds[1];
		sim_close(sim, fds[1]);
		return -ENOMEM;
	}
	memcpy(ret_fds, fds, sizeof(fds));
	return 0;
}

static struct sim_fd *listener_at(struct sim *sim, uint32_t port)
{
	for (uint32_t i = 0; i < sim->fds_len; i++)
		if (sim->fds[i] && sim->fds[i]->kind == SIM_LISTENER && sim->fds[i]->port == port)
			return sim->fds[i];
	return NULL;
}

int sim_listen(struct sim *sim, const struct sockaddr *where)
{
	struct sim_fd *f;
	uint32_t port;
	int fd, rc = port_of(sim, where, &port);

	if (rc < 0)
		return rc;
	if (port == 0)
		do
			port = sim->next_port++;
		while (listener_at(sim, port));
	if (listener_at(sim, port))
		return -EADDRINUSE;
	fd = sim_fd_new(sim, SIM_LISTENER, &f);
	if (fd >= 0)
		f->port = port;
	return fd;
}

int sim_accept(struct sim *sim, struct sim_fd *listener)
{
	struct sim_fd *f, *waiting;
	int fd;

	if (!listener)
		return -EBADF;
	if (listener->kind != SIM_LISTENER)
		return -EINVAL;
	if (!listener->queued)
		return -EAGAIN;
	fd = sim_fd_new(sim, SIM_SOCKET, &f);
	if (fd < 0)
		return fd;
	waiting = listener->queue[0];
	memmove(listener->queue, listener->queue + 1,
		--listener->queued * sizeof(*listener->queue));
	f->port = listener->port;
	f->in = waiting->in;
	f->out = waiting->out;
	if (f->in)
		f->in->reader = f;
	if (f->out)
		f->out->writer = f;
	lade_free(waiting);
	sim_trace(sim, "accept %d", fd - SIM_FIRST_FD);
	return fd;
}

/* The other side of a new connection, queued at the listener. */
static int meet(struct sim *sim, struct sim_fd *self, struct sim_fd *listener)
{
	struct sim_fd *other = lade_calloc(1, sizeof(*other));
	struct sim_stream *there = NULL;

	if (!other)
		return -ENOMEM;
	other->kind = SIM_SOCKET;
	lade_list_init(&other->waiters);
	there = stream_new(sim, other, self);
	if (!there || !stream_new(sim, self, other)) {
		if (there) {
			there->reader = there->writer = NULL;
			stream_drop(there);
		}
		self->out = NULL;
		lade_free(other);
		return -ENOMEM;
	}
	listener->queue[listener->queued++] = other;
	sim_wake(sim, listener);
	return 0;
}

static bool is_full(const struct sim *sim, const struct sim_fd *listener)
{
	return listener->queued >= sim->config.backlog || listener->queued == SIM_BACKLOG_MAX;
}

static void meeting_due(struct lade_timer *timer)
{
	struct meeting *m = LADE_CONTAINER(timer, struct meeting, timer);
	struct sim *sim = m->sim;
	struct sim_fd *listener = listener_at(sim, m->port);
	struct sim_fd *now = sim_fd_of(sim, m->fd);
	bool closed = !now || now->serial != m->serial;

	if (!closed && listener && is_full(sim, listener) && ++m->tries < CONNECT_TRIES) {
		lade_timer_start(sim->loop, &m->timer, sim->loop->now_ns + CONNECT_RETRY_NS,
				 TIMER_OP, meeting_due);
		return;
	}
	if (!closed) {
		m->self->connect_rc = !listener ? (m->port < SIM_PATHS ? -ECONNREFUSED : -ENOENT)
				      : is_full(sim, listener)
					      ? -ETIMEDOUT
					      : meet(sim, m->self, listener);
		sim_trace(sim, "connect %d: %d", m->fd - SIM_FIRST_FD, m->self->connect_rc);
		sim_wake(sim, m->self);
	}
	lade_free(m);
}

int sim_connect(struct sim *sim, const struct sockaddr *where, int *ret_fd)
{
	struct meeting *m;
	uint32_t port;
	int fd, rc = port_of(sim, where, &port);

	if (rc < 0)
		return rc;
	m = lade_calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	fd = sim_fd_new(sim, SIM_SOCKET, &m->self);
	if (fd < 0) {
		lade_free(m);
		return fd;
	}
	m->sim = sim;
	m->fd = fd;
	m->serial = m->self->serial;
	m->port = port;
	m->self->port = port < SIM_PATHS ? sim->next_port++ : port;
	m->self->connect_rc = -EINPROGRESS;
	m->self->calls = true;
	m->self->called = m->port;
	lade_timer_start(sim->loop, &m->timer,
			 sim->loop->now_ns +
				 (int64_t)sim_below(sim, (uint64_t)sim->config.latency_ns + 1),
			 TIMER_OP, meeting_due);
	*ret_fd = fd;
	return -EINPROGRESS;
}

int sim_look_up(struct sim *sim, const char *host, uint16_t port, lade_address_found *found,
		void *arg)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };

	sim_trace(sim, "look up %s", host);
	if (sim_chance(sim, sim->config.no_name))
		return sim_random(sim) & 1 ? -ENOENT : -EAGAIN;
	v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	found(arg, (const struct sockaddr *)&v4, sizeof(v4));
	return 0;
}
