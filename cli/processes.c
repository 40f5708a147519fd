/* SPDX-License-Identifier: MIT */
/* processes.c - `lade run --processes N`: several processes of one pipeline, and who minds them.
 *
 * DESIGN
 * The parent forks before it has a loop or a thread, so a child is a whole process of the pipeline
 * that goes on from the configuration that was read. Kafka shares the partitions out among them.
 * Children are in process groups of their own: a key on the terminal reaches the parent alone, or
 * each of them would get it twice, which stops at once. What they say comes by a pipe, and is
 * written line by line with the number of the process before it; lines of JSON have it inside. A
 * parent that is killed takes the children with it: the kernel asks them to stop.
 *
 * A child that a signal has killed is started again, later each time. One that ends by itself has
 * said why: it stays away, and the others take its partitions.
 *
 * LIMITS  CLI_PROCESSES_MAX processes; RESTARTS_MAX restarts within a minute, of all of them. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "services/pipeline/config.h"
#include "services/pipeline/engine.h"
#include "services/pipeline/log.h"
#include "services/pipeline/socket.h"

#define RESTARTS_MAX 5
#define MINUTE_MS 60000
#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 30000
#define LINE_BYTES 16384 /* of a line; a longer one comes in parts */

/* A process of the pipeline. */
struct process {
	int number;		/* from 1 */
	pid_t pid;		/* 0: it does not run */
	int output;		/* what it says; -1: it has ended */
	int64_t began_ms;	/* when it was started */
	int64_t again_ms;	/* when it is started again; 0: it is not */
	int64_t backoff_ms;	/* before it was started last */
	char line[LINE_BYTES];	/* what it has said of a line that is not whole */
	size_t len;
};

struct minder {
	struct lade_pipe_config *config;
	bool quiet;
	FILE *log;			/* where the parent speaks */
	struct process *all;
	int n, signals;			/* signals: the descriptor that they come by */
	bool stopping;
	int worst;			/* exit status */
	int64_t restarts[RESTARTS_MAX];	/* when the last ones were, in turn */
	unsigned n_restarts;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What cannot be shared */

static const char *unshared_sink(const struct lade_pipe_sink *sink)
{
	if (sink->kind == LADE_SINK_STDOUT || sink->kind == LADE_SINK_FILE)
		return "each process would write between the lines of the others, and cut off what "
		       "another is just writing; use a table or a topic";
	if (sink->kind == LADE_SINK_KAFKA && sink->instance)
		return "instance: is one process's name, and the others would be fenced by it; "
		       "without it each finds a number of its own";
	return NULL;
}

/* Why the pipeline cannot run in several processes; NULL: it can. */
static const char *unshared(const struct lade_pipe_config *config, int n)
{
	const char *backend = getenv("LADE_BACKEND"), *why = NULL;
	const char *port = config->metrics_listen ? strrchr(config->metrics_listen, ':') : NULL;

	if (config->source.kind != LADE_SOURCE_KAFKA)
		return "its source cannot be shared: each process would read all of it; only Kafka "
		       "gives each message to one of them";
	if (config->source.instance)
		return "source.kafka.instance is one member's name, and the others would be fenced "
		       "by it";
	for (int i = 0; !why && i < config->n_sinks; i++)
		why = unshared_sink(&config->sinks[i]);
	if (!why && config->errors.dead_kind == LADE_DEAD_FILE)
		why = "the file of dead letters cannot be shared: use a table or a topic";
	if (!why && port && atoi(port + 1) && atoi(port + 1) + n - 1 > 65535)
		why = "metrics.listen: there are not as many ports behind it";
	if (!why && backend && strcmp(backend, "sim") == 0)
		why = "a simulation is one process";
	return why;
}

/* A child */

/* Each has its own port of figures, the one behind the other's; any port is any port. */
static void set_metrics(struct lade_pipe_config *config, int number, char room[96])
{
	const char *port = config->metrics_listen ? strrchr(config->metrics_listen, ':') : NULL;

	if (!port || !atoi(port + 1))
		return;
	snprintf(room, 96, "%.*s:%d", (int)(port - config->metrics_listen), config->metrics_listen,
		 atoi(port + 1) + number - 1);
	config->metrics_listen = room;
}

/* A socket that was named: flights.sock becomes flights-2.sock. */
static void set_socket(struct lade_pipe_config *config, int number, char room[LADE_SOCKET_ROOM])
{
	const char *path = config->admin_socket;
	size_t len = path ? strlen(path) : 0;
	bool sock = len > 5 && strcmp(path + len - 5, ".sock") == 0;

	if (!path || strcmp(path, "none") == 0)
		return;
	snprintf(room, LADE_SOCKET_ROOM, "%.*s-%d%s", (int)(sock ? len - 5 : len), path, number,
		 sock ? ".sock" : "");
	config->admin_socket = room;
}

static _Noreturn void be_process(struct minder *m, const struct process *p, int output,
				 pid_t parent)
{
	char listen[96], socket[LADE_SOCKET_ROOM];
	sigset_t none;

	/* To stop, not to die: what is under way is finished. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(LADE_EXIT_FAILED);
	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close(m->signals);
	for (int i = 0; i < m->n; i++)
		if (m->all[i].output >= 0)
			close(m->all[i].output);
	dup2(output, STDERR_FILENO);
	close(output);
	m->config->process = p->number;
	set_metrics(m->config, p->number, listen);
	set_socket(m->config, p->number, socket);
	exit(cli_run_loaded(m->config, m->quiet));
}

static int start(struct minder *m, struct process *p)
{
	pid_t parent = getpid();
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	p->pid = fork();
	if (p->pid == 0) {
		close(ends[0]);
		be_process(m, p, ends[1], parent);
	}
	close(ends[1]);
	if (p->pid < 0) {
		p->pid = 0;
		close(ends[0]);
		return -errno;
	}
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	p->output = ends[0];
	p->began_ms = now_ms();
	p->again_ms = 0;
	return 0;
}

/* What they say */

static void say_line(const struct minder *m, const struct process *p, const char *text, size_t len)
{
	if (!m->config->log_json)
		fprintf(stderr, "%d| ", p->number);
	fwrite(text, 1, len, stderr);
	fputc('\n', stderr);
}

/* What the parent says itself. */
__attribute__((format(printf, 2, 3)))
static void say(const struct minder *m, const char *format, ...)
{
	va_list args;

	fprintf(m->log, "%s: ", m->config->name);
	va_start(args, format);
	vfprintf(m->log, format, args);
	va_end(args);
	fputc('\n', m->log);
	fflush(m->log); /* or a child that is begun would say it, too */
}

static void say_whole_lines(const struct minder *m, struct process *p)
{
	char *from = p->line, *end;

	while ((end = memchr(from, '\n', (size_t)(p->line + p->len - from)))) {
		say_line(m, p, from, (size_t)(end - from));
		from = end + 1;
	}
	p->len = (size_t)(p->line + p->len - from);
	memmove(p->line, from, p->len);
	if (p->len == LINE_BYTES) {
		say_line(m, p, p->line, p->len);
		p->len = 0;
	}
}

static void read_output(const struct minder *m, struct process *p)
{
	ssize_t n;

	while ((n = read(p->output, p->line + p->len, LINE_BYTES - p->len)) > 0) {
		p->len += (size_t)n;
		say_whole_lines(m, p);
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (p->len)
		say_line(m, p, p->line, p->len);
	p->len = 0;
	close(p->output);
	p->output = -1;
}

/* How they end */

static void stop_all(struct minder *m, int signal)
{
	m->stopping = true;
	for (int i = 0; i < m->n; i++) {
		m->all[i].again_ms = 0;
		if (m->all[i].pid)
			kill(m->all[i].pid, signal);
	}
}

/* The worse of two exit statuses. */
static int worse(int a, int b)
{
	static const int order[] = { LADE_EXIT_DONE, LADE_EXIT_UNFINISHED, LADE_EXIT_BAD_MESSAGE,
				     LADE_EXIT_FAILED, CLI_USAGE, CLI_CONFIG };
	int rank_a = 3, rank_b = 3;

	for (int i = 0; i < (int)(sizeof(order) / sizeof(*order)); i++) {
		rank_a = order[i] == a ? i : rank_a;
		rank_b = order[i] == b ? i : rank_b;
	}
	return rank_a >= rank_b ? a : b;
}

/* Whether it may be started again: not too often. */
static bool may_restart(struct minder *m)
{
	int64_t now = now_ms(), *oldest = &m->restarts[m->n_restarts % RESTARTS_MAX];

	if (m->n_restarts >= RESTARTS_MAX && now - *oldest < MINUTE_MS)
		return false;
	*oldest = now;
	m->n_restarts++;
	return true;
}

static void was_killed(struct minder *m, struct process *p, int signal)
{
	int64_t now = now_ms();

	if (m->stopping || !may_restart(m)) {
		m->worst = worse(m->worst, LADE_EXIT_FAILED);
		say(m, "process %d was killed by signal %d (%s)%s", p->number, signal,
		    strsignal(signal), m->stopping ? "" : ", after 5 restarts within a minute: "
		    "all are stopped");
		if (!m->stopping)
			stop_all(m, SIGTERM);
		return;
	}
	p->backoff_ms = now - p->began_ms > MINUTE_MS || !p->backoff_ms ? BACKOFF_MIN_MS
			: 2 * p->backoff_ms < BACKOFF_MAX_MS	       ? 2 * p->backoff_ms
									       : BACKOFF_MAX_MS;
	p->again_ms = now + p->backoff_ms;
	say(m, "process %d was killed by signal %d (%s); it is started again in %d s", p->number,
	    signal, strsignal(signal), (int)(p->backoff_ms / 1000));
}

static int running(const struct minder *m)
{
	int n = 0;

	for (int i = 0; i < m->n; i++)
		n += m->all[i].pid || m->all[i].again_ms;
	return n;
}

static void has_ended(struct minder *m, struct process *p, int status)
{
	p->pid = 0;
	if (p->output >= 0)
		read_output(m, p);
	if (WIFSIGNALED(status)) {
		was_killed(m, p, WTERMSIG(status));
		return;
	}
	m->worst = worse(m->worst, WEXITSTATUS(status));
	if (!m->stopping && running(m))
		say(m, "process %d has ended with status %d; the others go on", p->number,
		    WEXITSTATUS(status));
}

/* The loop */

static void reap(struct minder *m)
{
	int status;

	for (int i = 0; i < m->n; i++)
		if (m->all[i].pid && waitpid(m->all[i].pid, &status, WNOHANG) > 0)
			has_ended(m, &m->all[i], status);
}

static void take_signals(struct minder *m)
{
	struct signalfd_siginfo info;

	while (read(m->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo != SIGCHLD)
			stop_all(m, (int)info.ssi_signo);
	reap(m);
}

static void start_due(struct minder *m)
{
	for (int i = 0; i < m->n; i++) {
		struct process *p = &m->all[i];
		int rc = p->again_ms && p->again_ms <= now_ms() ? start(m, p) : 0;

		if (rc == 0)
			continue;
		say(m, "process %d cannot be started: %s", p->number, strerror(-rc));
		m->worst = worse(m->worst, LADE_EXIT_FAILED);
		stop_all(m, SIGTERM);
	}
}

/* Until the next restart; -1: there is none. */
static int wait_ms(const struct minder *m)
{
	int64_t first = -1, now = now_ms();

	for (int i = 0; i < m->n; i++)
		if (m->all[i].again_ms && (first < 0 || m->all[i].again_ms < first))
			first = m->all[i].again_ms;
	return first < 0 ? -1 : first > now ? (int)(first - now) : 0;
}

static void mind(struct minder *m)
{
	struct pollfd at[CLI_PROCESSES_MAX + 1];

	while (running(m)) {
		at[m->n] = (struct pollfd){ m->signals, POLLIN, 0 };
		for (int i = 0; i < m->n; i++)
			at[i] = (struct pollfd){ m->all[i].output, POLLIN, 0 };
		if (poll(at, (nfds_t)m->n + 1, wait_ms(m)) < 0)
			continue;
		for (int i = 0; i < m->n; i++)
			if (at[i].revents && m->all[i].output >= 0)
				read_output(m, &m->all[i]);
		if (at[m->n].revents)
			take_signals(m);
		start_due(m);
	}
}

int cli_run_processes(struct lade_pipe_config *config, bool quiet, int n)
{
	struct minder m = { .config = config, .quiet = quiet, .n = n };
	const char *why = unshared(config, n);
	sigset_t ours;

	if (why) {
		fprintf(stderr, "%s: --processes: %s\n", config->file, why);
		return CLI_CONFIG;
	}
	sigemptyset(&ours);
	sigaddset(&ours, SIGCHLD);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigprocmask(SIG_BLOCK, &ours, NULL);
	signal(SIGPIPE, SIG_IGN);
	m.signals = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
	m.all = calloc((size_t)n, sizeof(*m.all));
	m.log = config->log_json ? lade_pipe_log_json(config->name, 0, stderr) : stderr;
	if (m.signals < 0 || !m.all || !m.log) {
		free(m.all);
		fprintf(stderr, "lade run: %s\n", strerror(errno));
		return LADE_EXIT_FAILED;
	}
	for (int i = 0; i < n; i++)
		m.all[i] = (struct process){ .number = i + 1, .output = -1, .again_ms = 1 };
	start_due(&m);
	mind(&m);
	free(m.all);
	close(m.signals);
	if (m.log != stderr)
		fclose(m.log);
	return m.worst;
}
