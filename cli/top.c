/* SPDX-License-Identifier: MIT */
/* top.c - `lade top`: how a running pipeline goes, redrawn each second.
 *
 * DESIGN
 * The pipeline gives counters from its beginning; two answers, a second apart, make rates and
 * percentiles of that second. A picture is made as text, line by line, and then shown: on a
 * terminal in place of the one before, else once. */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "services/pipeline/engine.h"

#define LANES_MAX 200	/* lanes that are kept of an answer */
#define CLOSED_MAX 16	/* reasons to close a batch */
#define NAME_ROOM 64	/* bytes of a name that is shown */
#define LANES_ONCE 20	/* lanes of a picture that is no terminal's */

static const char top_help[] =
	"usage: lade top [--once] [PIPELINE|SOCKET]\n"
	"\n"
	"Shows how a running pipeline goes, redrawn each second: rates, lag, batches and why they\n"
	"closed, times of steps and sinks, errors, and the oldest message and what it waits for.\n"
	"PIPELINE is a name or its YAML file; it may be left out where only one runs. q ends it.\n"
	"\n"
	"  --once  looks for a second, prints one picture and ends: for pipes and tests\n"
	"\n"
	"exit status: 0 done, or the pipeline has ended; 1 there is no such pipeline; 2 wrong\n"
	"arguments; 78 the pipeline's file cannot be read\n";

enum {
	WHAT, NAME, PID, RUN_MS, IN, OUT, DROPPED, REJECTED, BATCHES, RETRIES, FENCED, REWOUND,
	LATE, IN_FLIGHT, BYTES, BYTES_TOTAL, TOOK, STOPPING, COUNT, UNIT, PART, OFFSET, LAG, TYPE,
	CALLS, ASKED, ERRORS, TROUBLE, TROUBLE_MS, WRITTEN, PLACE, WAITS_FOR, AGE_MS, OPEN,
	REFUSED, HEDGES, HEDGES_WON, FIELDS
};
static const char *const fields[FIELDS] = {
	".what", ".name", ".pid", ".run_ms", ".in", ".out", ".dropped", ".rejected", ".batches",
	".retries", ".fenced", ".rewound", ".late", ".in_flight", ".bytes", ".bytes_total",
	".took", ".stopping", ".count", ".unit", ".part", ".offset", ".lag", ".type", ".calls",
	".asked", ".errors", ".trouble", ".trouble_ms", ".written", ".place", ".waits_for",
	".age_ms", ".open", ".refused", ".hedges", ".hedges_won",
};

/* A step or a sink. */
struct worker {
	char name[NAME_ROOM], type[16], trouble[256];
	int64_t calls, asked, errors, written, trouble_ms; /* counters from the beginning */
	int64_t open, refused, hedges, hedges_won;	/* of an http step, the same; open: 0, 1 */
	uint64_t took[LADE_TIME_BUCKETS];
};

struct lane {
	char name[NAME_ROOM];
	int64_t part, offset, in_flight, lag; /* lag -1: not known */
};

/* An answer. */
struct answer {
	char name[NAME_ROOM], unit[16];
	int64_t pid, run_ms, in, out, dropped, rejected, batches, retries, fenced, rewound, late,
		in_flight, bytes, bytes_total;
	bool stopping;
	uint64_t took[LADE_TIME_BUCKETS];
	char closed[CLOSED_MAX][16];	/* why batches closed, */
	int64_t closed_n[CLOSED_MAX];	/* and how many */
	int n_closed;
	struct lane lanes[LANES_MAX];
	int n_lanes;			/* that there are; the first LANES_MAX are kept */
	struct worker steps[LADE_PIPE_STEPS_MAX], sinks[LADE_PIPE_SINKS_MAX + 1];
	int n_steps, n_sinks;
	char place[NAME_ROOM * 3], waits_for[NAME_ROOM]; /* of the oldest message; "": none */
	int64_t age_ms;
};

/* Reading */

/* A histogram's counts: [1,2,...]. */
static void read_took(struct cli_asking *a, uint64_t ret[LADE_TIME_BUCKETS])
{
	const char *p = a->line.text + a->at[TOOK].at, *end = p + a->at[TOOK].len;

	memset(ret, 0, LADE_TIME_BUCKETS * sizeof(*ret));
	for (int i = 0; p < end && i < LADE_TIME_BUCKETS; i++) {
		for (p++; p < end && *p >= '0' && *p <= '9'; p++)
			ret[i] = ret[i] * 10 + (uint64_t)(*p - '0');
	}
}

static void read_pipeline(struct cli_asking *a, struct answer *t)
{
	cli_ask_text(a, NAME, t->name, sizeof(t->name));
	t->pid = cli_ask_number(a, PID);
	t->run_ms = cli_ask_number(a, RUN_MS);
	t->in = cli_ask_number(a, IN);
	t->out = cli_ask_number(a, OUT);
	t->dropped = cli_ask_number(a, DROPPED);
	t->rejected = cli_ask_number(a, REJECTED);
	t->batches = cli_ask_number(a, BATCHES);
	t->retries = cli_ask_number(a, RETRIES);
	t->fenced = cli_ask_number(a, FENCED);
	t->rewound = cli_ask_number(a, REWOUND);
	t->late = cli_ask_number(a, LATE);
	t->in_flight = cli_ask_number(a, IN_FLIGHT);
	t->bytes = cli_ask_number(a, BYTES);
	t->bytes_total = cli_ask_number(a, BYTES_TOTAL);
	t->stopping = cli_ask_has(a, STOPPING);
	read_took(a, t->took);
}

static void read_lane(struct cli_asking *a, struct answer *t)
{
	struct lane *l = &t->lanes[t->n_lanes++ % LANES_MAX];

	cli_ask_text(a, NAME, l->name, sizeof(l->name));
	cli_ask_text(a, UNIT, t->unit, sizeof(t->unit));
	l->part = cli_ask_number(a, PART);
	l->offset = cli_ask_number(a, OFFSET);
	l->in_flight = cli_ask_number(a, IN_FLIGHT);
	l->lag = cli_ask_has(a, LAG) ? cli_ask_number(a, LAG) : -1;
}

static void read_worker(struct cli_asking *a, struct worker *w)
{
	cli_ask_text(a, NAME, w->name, sizeof(w->name));
	cli_ask_text(a, TYPE, w->type, sizeof(w->type));
	cli_ask_text(a, TROUBLE, w->trouble, sizeof(w->trouble));
	w->calls = cli_ask_number(a, CALLS);
	w->asked = cli_ask_number(a, ASKED);
	w->errors = cli_ask_number(a, ERRORS);
	w->written = cli_ask_number(a, WRITTEN);
	w->trouble_ms = cli_ask_number(a, TROUBLE_MS);
	w->open = cli_ask_number(a, OPEN);
	w->refused = cli_ask_number(a, REFUSED);
	w->hedges = cli_ask_number(a, HEDGES);
	w->hedges_won = cli_ask_number(a, HEDGES_WON);
	read_took(a, w->took);
}

static void read_line(struct cli_asking *a, struct answer *t)
{
	if (cli_ask_is(a, WHAT, "pipeline")) {
		read_pipeline(a, t);
	} else if (cli_ask_is(a, WHAT, "closed") && t->n_closed < CLOSED_MAX) {
		cli_ask_text(a, NAME, t->closed[t->n_closed], sizeof(t->closed[0]));
		t->closed_n[t->n_closed++] = cli_ask_number(a, COUNT);
	} else if (cli_ask_is(a, WHAT, "lane") && t->n_lanes < LANES_MAX) {
		read_lane(a, t);
	} else if (cli_ask_is(a, WHAT, "step") && t->n_steps < LADE_PIPE_STEPS_MAX) {
		read_worker(a, &t->steps[t->n_steps++]);
	} else if (cli_ask_is(a, WHAT, "sink") && t->n_sinks < LADE_PIPE_SINKS_MAX + 1) {
		read_worker(a, &t->sinks[t->n_sinks++]);
	} else if (cli_ask_is(a, WHAT, "oldest")) {
		cli_ask_text(a, PLACE, t->place, sizeof(t->place));
		cli_ask_text(a, WAITS_FOR, t->waits_for, sizeof(t->waits_for));
		t->age_ms = cli_ask_number(a, AGE_MS);
	}
}

/* Returns 1; 0: the pipeline has ended; < 0. */
static int read_answer(struct cli_asking *a, struct answer *t)
{
	static const char request[] = "{\"ask\":\"top\"}\n";
	int rc = cli_ask_send(a, request, strlen(request));

	memset(t, 0, sizeof(*t));
	if (rc == -EPIPE || rc == -ECONNRESET)
		return 0;
	while (rc >= 0 && (rc = cli_ask_next(a)) > 0) {
		if (cli_ask_is(a, WHAT, "end"))
			return 1;
		read_line(a, t);
	}
	return rc == -ECONNRESET ? 0 : rc;
}

/* The picture */

struct picture {
	FILE *out;
	int columns, rows; /* rows 0: no limit */
	int used;	   /* rows so far */
	bool live;	   /* on a terminal, in place of the one before */
};

/* A line, cut where the terminal ends. */
__attribute__((format(printf, 2, 3))) static void line(struct picture *p, const char *format, ...)
{
	char text[1024];
	va_list args;
	int len;

	if (p->rows && p->used >= p->rows - 1)
		return;
	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	len = len < (int)sizeof(text) ? len : (int)sizeof(text) - 1;
	while (len > 0 && text[len - 1] == ' ')
		len--;
	/* Names come from outside: nothing of them may move the terminal's cursor. */
	for (int i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = '?';
	fprintf(p->out, "%.*s%s\n", p->columns && len > p->columns ? p->columns : len, text,
		p->live ? "\033[K" : "");
	p->used++;
}

/* A number that fits: 1234, 12.3k, 4.56M.  Returns @ret. */
static const char *shorter(double n, char ret[16])
{
	static const char *const units[] = { "", "k", "M", "G", "T" };
	int i = 0;

	while (n >= 9999.5 && i < 4) {
		n /= 1000;
		i++;
	}
	snprintf(ret, 16, i && n < 100 ? "%.1f%s" : "%.0f%s", n, units[i]);
	return ret;
}

/* "-": it is the first look, and nothing is known of a second. */
static const char *rate(int64_t now, int64_t before, double seconds, char ret[16])
{
	if (seconds <= 0)
		return strcpy(ret, "-");
	return shorter(now > before ? (double)(now - before) / seconds : 0, ret);
}

/* A time that fits: 850 us, 12.5 ms, 3.2 s; "-": there was none.  Returns @ret. */
static const char *duration(double ms, char ret[16])
{
	if (ms <= 0)
		snprintf(ret, 16, "-");
	else if (ms < 1)
		snprintf(ret, 16, "%.0f us", ms * 1000);
	else if (ms < 1000)
		snprintf(ret, 16, ms < 100 ? "%.1f ms" : "%.0f ms", ms);
	else
		snprintf(ret, 16, "%.1f s", ms / 1000);
	return ret;
}

/* What was added to a histogram in between; all of it if that is nothing. */
static void since(const uint64_t now[LADE_TIME_BUCKETS], const uint64_t before[LADE_TIME_BUCKETS],
		  uint64_t ret[LADE_TIME_BUCKETS])
{
	uint64_t added = 0;

	for (int i = 0; i < LADE_TIME_BUCKETS; i++) {
		ret[i] = now[i] >= before[i] ? now[i] - before[i] : now[i];
		added += ret[i];
	}
	if (!added)
		memcpy(ret, now, LADE_TIME_BUCKETS * sizeof(*ret));
}

static void draw_head(struct picture *p, const struct answer *now, const struct answer *before,
		      double s)
{
	char in[16], out[16], p50[16], p99[16], each[16], text[256];
	int64_t seconds = now->run_ms / 1000, batches = now->batches - before->batches;
	uint64_t took[LADE_TIME_BUCKETS];
	int n = 0;

	since(now->took, before->took, took);
	line(p, "%s: process %" PRId64 ", running for %" PRId64 ":%02" PRId64 ":%02" PRId64 "%s",
	     now->name, now->pid, seconds / 3600, seconds / 60 % 60, seconds % 60,
	     now->stopping ? ", stopping" : "");
	line(p, "messages  %s/s in, %s/s out; %" PRId64 " in, %" PRId64 " out, %" PRId64
	     " dropped, %" PRId64 " rejected", rate(now->in, before->in, s, in),
	     rate(now->out, before->out, s, out), now->in, now->out, now->dropped, now->rejected);
	if (now->bytes_total)
		line(p, "read      %.1f %% of %s bytes",
		     100.0 * (double)now->bytes / (double)now->bytes_total,
		     shorter((double)now->bytes_total, in));
	line(p, "latency   p50 %s, p99 %s; %" PRId64 " in flight",
	     duration(lade_pipe_times_ms(took, 0.5), p50),
	     duration(lade_pipe_times_ms(took, 0.99), p99), now->in_flight);
	*text = 0;
	for (int i = 0; i < now->n_closed && n < (int)sizeof(text); i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s %s %" PRId64,
			      i ? "," : "", now->closed[i], now->closed_n[i]);
	line(p, "batches   %s/s, of %s messages; closed by%s",
	     rate(now->batches, before->batches, s, in),
	     shorter(batches > 0	? (double)(now->in - before->in) / (double)batches
		     : now->batches ? (double)now->in / (double)now->batches
				    : 0, each), *text ? text : " -");
	line(p, "trouble   %" PRId64 " retries, %" PRId64 " writes fenced, %" PRId64
	     " batches begun anew, %" PRId64 " late", now->retries, now->fenced, now->rewound,
	     now->late);
	if (*now->place)
		line(p, "oldest    %s: %.1f s, waits for %s", now->place,
		     (double)now->age_ms / 1000, now->waits_for);
}

static const struct worker *same(const struct worker *all, int n, const struct worker *w)
{
	for (int i = 0; i < n; i++)
		if (strcmp(all[i].name, w->name) == 0)
			return &all[i];
	return w;
}

static void draw_trouble(struct picture *p, const struct worker *w)
{
	if (w->trouble_ms)
		line(p, "  down for %.1f s: %s", (double)w->trouble_ms / 1000, w->trouble);
}

static void draw_requests(struct picture *p, const struct worker *w)
{
	if (w->open)
		line(p, "  circuit open, %" PRId64 " requests not made", w->refused);
	if (w->hedges)
		line(p, "  %" PRId64 " asked twice, %" PRId64 " times the second was first",
		     w->hedges, w->hedges_won);
}

static void draw_steps(struct picture *p, const struct answer *now, const struct answer *before,
		       double s)
{
	if (now->n_steps)
		line(p, "%s", "");
	if (now->n_steps)
		line(p, "%-20s %-10s %8s %9s %9s %9s %8s", "step", "type", "calls/s", "asked/s",
		     "p50", "p99", "errors");
	for (int i = 0; i < now->n_steps; i++) {
		const struct worker *w = &now->steps[i], *old =
			same(before->steps, before->n_steps, w);
		char calls[16], asked[16], p50[16], p99[16];
		uint64_t took[LADE_TIME_BUCKETS];

		since(w->took, old->took, took);
		line(p, "%-20.20s %-10s %8s %9s %9s %9s %8" PRId64, w->name, w->type,
		     rate(w->calls, old->calls, s, calls), rate(w->asked, old->asked, s, asked),
		     duration(lade_pipe_times_ms(took, 0.5), p50),
		     duration(lade_pipe_times_ms(took, 0.99), p99), w->errors);
		draw_requests(p, w);
		draw_trouble(p, w);
	}
}

static void draw_sinks(struct picture *p, const struct answer *now, const struct answer *before,
		       double s)
{
	line(p, "%s", "");
	line(p, "%-31s %18s %9s %9s %8s", "sink", "written/s", "p50", "p99", "errors");
	for (int i = 0; i < now->n_sinks; i++) {
		const struct worker *w = &now->sinks[i], *old =
			same(before->sinks, before->n_sinks, w);
		uint64_t took[LADE_TIME_BUCKETS];
		char written[16], p50[16], p99[16];

		since(w->took, old->took, took);
		line(p, "%-31.31s %18s %9s %9s %8" PRId64, w->name,
		     rate(w->written, old->written, s, written),
		     duration(lade_pipe_times_ms(took, 0.5), p50),
		     duration(lade_pipe_times_ms(took, 0.99), p99), w->errors);
		draw_trouble(p, w);
	}
}

static void draw_lanes(struct picture *p, const struct answer *now)
{
	int room = p->rows ? p->rows - p->used - 3 : LANES_ONCE;
	const char *unit = strcmp(now->unit, "byte") == 0 ? "bytes" : "messages";

	line(p, "%s", "");
	line(p, "%-31s %6s %13s %10s %13s", "lane", "part", "lag", "in flight", "offset");
	for (int i = 0; i < now->n_lanes && i < room; i++) {
		const struct lane *l = &now->lanes[i];
		char lag[32] = "-", number[16];

		if (l->lag >= 0)
			snprintf(lag, sizeof(lag), "%s %s", shorter((double)l->lag, number), unit);
		line(p, "%-31.31s %6" PRId64 " %13s %10" PRId64 " %13" PRId64, l->name, l->part,
		     lag, l->in_flight, l->offset);
	}
	if (now->n_lanes > room)
		line(p, "and %d more", now->n_lanes - (room > 0 ? room : 0));
}

static void draw(struct picture *p, const struct answer *now, const struct answer *before,
		 double seconds)
{
	p->used = 0;
	if (p->live)
		fputs("\033[H", p->out);
	draw_head(p, now, before, seconds);
	draw_steps(p, now, before, seconds);
	draw_sinks(p, now, before, seconds);
	draw_lanes(p, now);
	if (p->live)
		fputs("\033[Jq ends this", p->out);
	fflush(p->out);
}

/* The terminal */

static void measure(struct picture *p)
{
	struct winsize size;

	if (p->live && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1) {
		p->columns = size.ws_col;
		p->rows = size.ws_row > 5 ? size.ws_row : 5;
	}
}

/* Waits for a second, or for the key.  Returns 1: go on; 0: it was asked to end; < 0. */
static int wait_second(bool keys)
{
	char key = 0;
	int rc = keys ? lade_select(lade_after(lade_s(1)), lade_on_stopping(),
				    lade_readable_case(STDIN_FILENO))
		      : lade_select(lade_after(lade_s(1)), lade_on_stopping());

	if (rc < 0)
		return rc;
	if (rc == 2 && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || key == 3))
		return 0;
	return rc != 1;
}

static int look(struct cli_asking *a, struct picture *p, struct answer answers[2])
{
	struct lade_instant when[2];
	int rc = read_answer(a, &answers[0]), now = 0;

	when[0] = lade_now();
	if (rc > 0 && p->live) {
		measure(p);
		draw(p, &answers[0], &answers[0], 0);
	}
	while (rc > 0 && (rc = wait_second(p->live)) > 0) {
		now = !now;
		rc = read_answer(a, &answers[now]);
		when[now] = lade_now();
		if (rc <= 0)
			break;
		measure(p);
		draw(p, &answers[now], &answers[!now],
		     (double)(when[now].mono_ns - when[!now].mono_ns) / 1e9);
		if (!p->live)
			break;
	}
	return rc;
}

static int top_pipeline(const char *path, bool live, int *ret)
{
	struct picture p = { .out = stdout, .live = live };
	struct answer *answers = calloc(2, sizeof(*answers));
	struct termios before, raw;
	struct cli_asking a;
	int rc = answers ? cli_ask_open(&a, path, fields, FIELDS) : -ENOMEM;

	if (rc == 0 && live && tcgetattr(STDIN_FILENO, &before) == 0) {
		raw = before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
		fputs("\033[?1049h\033[?25l", stdout);
		rc = look(&a, &p, answers);
		fputs("\033[?25h\033[?1049l", stdout);
		fflush(stdout);
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
	} else if (rc == 0) {
		rc = look(&a, &p, answers);
		if (rc == 0 && !p.used)
			fprintf(stderr, "lade top: the pipeline ended before a second was over\n");
	}
	*ret = rc < 0 ? LADE_EXIT_FAILED : 0;
	if (answers)
		cli_ask_close(&a);
	free(answers);
	return 0;
}
LADE_TASK(top_pipeline, int, (const char *, path), (bool, live))

static int top(const char *path, bool live)
{
	int how = LADE_EXIT_FAILED, rc;
	struct top_pipeline_task task = top_pipeline_task(path, live);

	task.ret = &how;
	rc = lade_main(&task);
	return rc == 0 ? how : rc == 130 ? 0 : rc;
}

int cli_top(int argc, char **argv)
{
	const char *pipeline = NULL;
	char path[LADE_SOCKET_ROOM];
	bool once = false;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			fputs(top_help, stdout);
			return cli_printed();
		}
		if (strcmp(argv[i], "--once") == 0)
			once = true;
		else if (argv[i][0] == '-' || pipeline)
			return cli_unknown("top", "--once|--help", argv[i]);
		else
			pipeline = argv[i];
	}
	rc = cli_find_socket("top", pipeline, path);
	return rc ? rc : top(path, !once && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO));
}
