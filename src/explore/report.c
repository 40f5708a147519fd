/* SPDX-License-Identifier: MIT */
/* report.c - a finding, as a person reads it: what, where, who, and the line that replays it. */

#include "explore/explore_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INDENT "                  "

const char *const explore_when_names[WHENS] = { "before", "parked",   "completed",
						"fault",  "fault-on", "no-memory" };
const char *const explore_what_names[WHATS] = { "cancel", "deadline", "sibling", "race-lost",
					  "overrun", "too-late" };

const char *explore_place(const char *site, char text[PLACE_BYTES])
{
	if (strchr(site, ':'))
		return site;
	snprintf(text, PLACE_BYTES, "'%s'", site);
	return text;
}

static void print_by(const char *kind, const char *where, enum what what)
{
	if (where)
		printf("  by              %s of %s (%s)\n", kind, PLACE(where),
		       explore_what_names[what]);
	else
		printf("  by              a %s of the whole body\n", explore_what_names[what]);
}

static void print_event(const struct event *e)
{
	printf("    %10.3f ms  ", (double)(e->at_ns - LADE_VIRTUAL_FIRST_NS) / 1e6);
	if (!e->task) {
		printf("%s\n", e->text);
		return;
	}
	printf("%s #%llu %s", e->task, (unsigned long long)e->number, e->verb);
	if (e->what)
		printf(" %s", e->what);
	if (e->site)
		printf(" %s %s", strchr(e->site, ':') ? "at" : "for", PLACE(e->site));
	if (strcmp(e->verb, "ends with") == 0)
		printf(" %d", e->status);
	printf("\n");
}

static void print_events(const struct outcome *out)
{
	uint64_t first = out->events_len > EVENTS_KEPT ? out->events_len - EVENTS_KEPT : 0;

	printf("  the last events:\n");
	for (uint64_t i = first; i < out->events_len; i++)
		print_event(&out->events[i % EVENTS_KEPT]);
}

static void print_other(const struct other *o)
{
	printf("    %s #%llu ", o->task, (unsigned long long)o->number);
	if (o->what)
		printf("waits for %s at %s\n", o->what, PLACE(o->site));
	else
		printf("is %s\n", o->is_composite ? "a composite" : "ready");
	explore_print_stack(INDENT, o->pcs, o->pcs_len);
}

/* The other tasks of the body at the injection. */
static void print_others(const struct outcome *out)
{
	if (out->others_len)
		printf("  the other tasks then:\n");
	for (uint32_t i = 0; i < out->others_len; i++) {
		print_other(&out->others[i]);
	}
	if (out->others_left)
		printf("    and %u more\n", out->others_left);
}

static void print_said(int fd)
{
	static char text[16384];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return;
	text[n] = 0;
	printf("  it said:\n    ");
	for (char *c = text; *c; c++)
		printf(*c == '\n' && c[1] ? "\n    " : "%c", *c);
	if (text[n - 1] != '\n')
		printf("\n");
}

static const char *moment(enum when when)
{
	return when == BEFORE	? "before the call"
	       : when == PARKED ? "while it waits"
				: "complete, but not yet resumed";
}

static void print_second(const struct second *second)
{
	if (!second->made)
		return;
	printf("  and again at    %s: %s\n", PLACE(second->site), moment(second->when));
	print_by(second->kind, second->where, second->what);
}

static void print_where(const struct injection *i, const struct point *p)
{
	switch (i->when) {
	case BEFORE:
	case PARKED:
	case COMPLETED:
		printf("  cancelled at    %s, in %s%s%s: %s\n", PLACE(p->site), p->task,
		       *p->what ? ", waiting for " : "", p->what, moment(i->when));
		print_by(i->kind, i->where, i->what);
		break;
	case FAULT:
	case FAULT_ON:
		printf("  failed at       %s, in %s: %s gives %s%s\n", PLACE(p->site), p->task,
		       i->call, strerror(-i->error), i->when == FAULT_ON ? ", from now on" : "");
		break;
	case NO_MEMORY:
	case WHENS:
	default:
		printf("  no memory       for allocation %u of the run\n", i->point);
		break;
	}
}

static void print_replay(const struct lade_scenario *scenario, uint64_t seed,
			 const struct injection *i)
{
	printf("  replay          LADE_REPLAY='%s:p%u:%s:s%u:seed%llu", scenario->name, i->point,
	       explore_when_names[i->when],
	       i->when == FAULT || i->when == FAULT_ON ? i->try * 1000 + (unsigned)-i->error
							     : i->scope,
	       (unsigned long long)seed);
	if (i->later)
		printf(":then%u:of%u", i->later, i->choice);
	printf("' %s\n", program_invocation_name);
}

void explore_report(const struct lade_scenario *scenario, uint64_t seed,
		    const struct injection *injection, const struct point *point,
		    const struct outcome *out, int said, const char *text,
		    const struct effect *paid)
{
	printf("\nFINDING in %s (%s): %s", scenario->name, scenario->site, text);
	if (paid)
		explore_print_stack(INDENT, paid->pcs, paid->pcs_len);
	if (paid && out->told_site) {
		printf("  lost at         %s, the first await that was told of the cancel\n",
		       PLACE(out->told_site));
		explore_print_stack(INDENT, out->told_pcs, out->told_pcs_len);
	}
	print_where(injection, point);
	explore_print_stack(INDENT, out->pcs, out->pcs_len);
	print_second(&out->second);
	if (!paid && injection->when <= COMPLETED && out->told_site) {
		printf("  told of it at   %s\n", PLACE(out->told_site));
		explore_print_stack(INDENT, out->told_pcs, out->told_pcs_len);
	}
	if (out->slow_site) {
		printf("  waited long at  %s\n", PLACE(out->slow_site));
		explore_print_stack(INDENT, out->slow_pcs, out->slow_pcs_len);
	}
	print_events(out);
	print_others(out);
	if (said >= 0)
		print_said(said);
	print_replay(scenario, seed, injection);
}
