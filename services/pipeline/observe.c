/* SPDX-License-Identifier: MIT */
/* observe.c - where a running pipeline can be looked at: its metrics' port and its socket.
 *
 * DESIGN
 * Both are listeners on the pipeline's own loop. Several processes may run one pipeline: the
 * second one's socket has its process number in its name, unless the name was asked for.
 *
 * LIMITS  16 connections of each; more wait to be taken. */

#include "services/pipeline/observe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "services/pipeline/admin.h"
#include "services/pipeline/metrics.h"
#include "services/pipeline/socket.h"

#define CONNECTIONS_MAX 16 /* of a listener */

/* Answers a connection, which it closes. */
typedef int talker(struct lade_pipe_engine *engine, int fd);

static void hang_up(struct lade_pipe_engine *e, talker *talk, int fd)
{
	(void)e, (void)talk;
	lade_close(fd);
}

static int talk_to(struct lade_pipe_engine *e, talker *talk, int fd)
{
	return talk(e, fd);
}
LADE_TASK_VOID_WITH(talk_to, (.drop_args = hang_up), (struct lade_pipe_engine *, e),
		    (talker *, talk), (int, fd))

/* Takes connections until it is cancelled. */
static int serve(struct lade_pipe_engine *e, int listener, talker *talk)
{
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL, .max_children = CONNECTIONS_MAX) {
		while (rc != -ECANCELED) {
			int fd;

			rc = lade_accept(listener, &fd);
			if (rc == 0)
				rc = lade_spawn(&s, talk_to_task(e, talk, fd));
			else if (rc != -ECANCELED) /* no descriptors, for a moment */
				rc = lade_sleep(lade_ms(200));
		}
	}
	return rc;
}
LADE_TASK_VOID(serve, (struct lade_pipe_engine *, e), (int, listener), (talker *, talk))

/* A running pipeline's listeners. */
struct lade_pipe_observer {
	int metrics_fd, admin_fd;	/* -1: none */
	struct serve_task metrics, admin;
	struct lade_pipe_socket socket; /* the name of admin_fd */
};

/* A process that was killed listens for a moment longer, until the kernel has put away what it had
 * under way: whoever is started in its place waits for that. */
static int listen_when_free(const char *address, int *ret)
{
	int rc = lade_listen(address, ret);

	for (int i = 0; rc == -EADDRINUSE && i < 20; i++) {
		rc = lade_sleep(lade_ms(50));
		if (rc == 0)
			rc = lade_listen(address, ret);
	}
	return rc;
}

static int listen_metrics(struct lade_pipe_engine *e, struct lade_pipe_observer *o)
{
	const char *address = e->config->metrics_listen;
	int rc = address ? listen_when_free(address, &o->metrics_fd) : 0;

	if (rc == -ECANCELED)
		return rc;
	if (rc == -EADDRINUSE)
		return lade_pipe_fail(e, LADE_EXIT_FAILED, "metrics.listen: %s is taken by another"
				      " process; choose another port, or 0 for any that is free",
				      address);
	if (rc < 0)
		return lade_pipe_fail(e, LADE_EXIT_FAILED, "metrics.listen: %s: %s", address,
				      strerror(-rc));
	if (address && !e->quiet)
		fprintf(e->log, "%s: metrics at port %d: /metrics and /health\n", e->config->name,
			lade_local_port(o->metrics_fd));
	return 0;
}

/* Listens on a name that is ours; only its user may connect. */
static int listen_at(struct lade_pipe_observer *o, const char *path)
{
	char address[LADE_SOCKET_ROOM + 8];
	mode_t mask;
	int rc = lade_pipe_socket_claim(&o->socket, path);

	if (rc < 0)
		return rc;
	snprintf(address, sizeof(address), "unix:%s", path);
	mask = umask(0177);
	rc = lade_listen(address, &o->admin_fd);
	umask(mask);
	if (rc < 0)
		lade_pipe_socket_release(&o->socket);
	return rc;
}

static int listen_configured(struct lade_pipe_engine *e, struct lade_pipe_observer *o)
{
	const char *path = e->config->admin_socket;
	int rc = listen_at(o, path);

	if (rc == -EADDRINUSE)
		return lade_pipe_fail(e, LADE_EXIT_FAILED, "admin.socket: %s is the socket of a"
				      " process that runs; choose another name, or leave admin"
				      " out: then each process has a name of its own", path);
	if (rc == -EEXIST)
		return lade_pipe_fail(e, LADE_EXIT_FAILED, "admin.socket: %s is there and is no"
				      " socket; choose another name", path);
	if (rc < 0)
		return lade_pipe_fail(e, LADE_EXIT_FAILED, "admin.socket: %s: %s", path,
				      strerror(-rc));
	return 0;
}

/* The name by default; another process of the pipeline may have it. */
static int listen_default(struct lade_pipe_engine *e, struct lade_pipe_observer *o)
{
	char folder[LADE_SOCKET_ROOM], path[2 * LADE_SOCKET_ROOM];
	int rc = lade_pipe_socket_folder(folder);

	if (rc == 0)
		rc = lade_pipe_socket_make_folder(folder);
	if (rc < 0)
		return rc;
	if (e->config->process)
		snprintf(path, sizeof(path), "%s/%s-%d.sock", folder, e->config->name,
			 e->config->process);
	else
		snprintf(path, sizeof(path), "%s/%s.sock", folder, e->config->name);
	rc = listen_at(o, path);
	if (rc != -EADDRINUSE)
		return rc;
	snprintf(path, sizeof(path), "%s/%s-%ld.sock", folder, e->config->name, (long)getpid());
	rc = listen_at(o, path);
	if (rc == 0)
		fprintf(e->log, "%s: another process runs it too; lade top knows this one as"
			" %s-%ld\n", e->config->name, e->config->name, (long)getpid());
	return rc;
}

static int listen_admin(struct lade_pipe_engine *e, struct lade_pipe_observer *o)
{
	const char *path = e->config->admin_socket;
	int rc;

	if (path && strcmp(path, "none") == 0)
		return 0;
	if (path)
		return listen_configured(e, o);
	rc = listen_default(e, o);
	if (rc < 0 && !e->quiet)
		fprintf(e->log, "%s: no socket for lade top: %s; admin: { socket: PATH } names"
			" another place, admin: { socket: none } does without\n",
			e->config->name,
			rc == -EPERM ? "its folder is not this user's alone" : strerror(-rc));
	return 0;
}

int lade_pipe_observe(struct lade_pipe_engine *e, struct lade_scope *scope)
{
	struct lade_pipe_observer *o = calloc(1, sizeof(*o));
	int rc;

	if (!o)
		return -ENOMEM;
	e->observer = o;
	o->metrics_fd = o->admin_fd = o->socket.lock_fd = -1;
	rc = listen_metrics(e, o);
	if (rc == 0)
		rc = listen_admin(e, o);
	if (rc == 0 && o->metrics_fd >= 0) {
		o->metrics = serve_task(e, o->metrics_fd, lade_pipe_metrics_talk);
		lade_start_daemon(scope, &o->metrics);
	}
	if (rc == 0 && o->admin_fd >= 0) {
		o->admin = serve_task(e, o->admin_fd, lade_pipe_admin_talk);
		lade_start_daemon(scope, &o->admin);
	}
	return rc;
}

void lade_pipe_observe_end(struct lade_pipe_engine *e)
{
	struct lade_pipe_observer *o = e->observer;

	if (!o)
		return;
	lade_close(o->metrics_fd);
	lade_close(o->admin_fd);
	lade_pipe_socket_release(&o->socket);
	free(o);
	e->observer = NULL;
}
