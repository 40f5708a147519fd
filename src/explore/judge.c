/* SPDX-License-Identifier: MIT */
/* judge.c - what is wrong with a trial, seen beside the undisturbed run.
 *
 * DESIGN
 * Nobody states what is right. The undisturbed run does, by what it does outside in its two runs of
 * the body. A request that was answered in the disturbed run, is made again in the run after it,
 * and was not needed a second time when nothing disturbed, is work that was paid for and lost. A
 * program that never remembers pays twice when undisturbed too, and is clean.
 *
 * A shield is how an author says: up to this budget, this is done whole. What a run pays for or
 * does again because the budget of a shield was over is therefore no finding; a leak, a hang or a
 * change of the second run is. */

#include "explore/explore_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static bool same(const struct effect *a, const struct effect *b)
{
	return a->kind == b->kind && a->request == b->request && a->sent == b->sent &&
	       strcmp(a->peer, b->peer) == 0;
}

/* How often a run did the same; @run < 0: both runs. */
static int times(const struct outcome *out, const struct effect *e, int run)
{
	int n = 0;

	for (uint32_t i = 0; i < out->effects_len; i++)
		n += (run < 0 || out->effects[i].run == run) && same(&out->effects[i], e);
	return n;
}

static const struct effect *find_lost(const struct outcome *a, const struct outcome *b, char *text,
				      size_t len)
{
	for (uint32_t i = 0; i < b->effects_len; i++) {
		const struct effect *e = &b->effects[i];

		if (e->run != 0 || e->kind != EFFECT_EXCHANGE || times(b, e, 1) <= times(a, e, 1))
			continue;
		snprintf(text, len,
			 "LOST WORK\n"
			 "  what was paid for is paid for again by the run after the cancel;\n"
			 "  undisturbed, it is not\n"
			 "  paid at         %s: %u bytes to %s, %u back after %.3f ms\n",
			 PLACE(e->site), e->sent, e->peer, e->answered, (double)e->took_ns / 1e6);
		return e;
	}
	return NULL;
}

static const struct effect *find_doubled(const struct outcome *a, const struct outcome *b,
					 bool asks_again, char *text, size_t len)
{
	for (uint32_t i = 0; i < b->effects_len; i++) {
		const struct effect *e = &b->effects[i];

		if (e->run != 0 || e->kind == EFFECT_EXCHANGE || !times(a, e, -1) ||
		    (asks_again && e->kind == EFFECT_SEND) ||
		    times(b, e, -1) <= times(a, e, -1))
			continue;
		snprintf(text, len,
			 "DOUBLED\n"
			 "  it is done %d times in all, %d times when nothing is cancelled\n"
			 "  done at         %s: %u bytes to %s\n",
			 times(b, e, -1), times(a, e, -1), PLACE(e->site), e->sent,
			 e->peer);
		return e;
	}
	return NULL;
}

static void say_death(const struct outcome *out, int status, char *text, size_t len)
{
	if (out->refused)
		snprintf(text, len, "NEVER ENDS\n  after %d suspending calls it still goes on\n",
			 CALLS_MAX);
	else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		snprintf(text, len, "NEVER ENDS\n  it goes on without a suspending call\n");
	else if (WIFSIGNALED(status))
		snprintf(text, len, "CRASH OR HANG\n  the process died: %s\n",
			 strsignal(WTERMSIG(status)));
	else
		snprintf(text, len, "CRASH\n  the process ended with status %d\n",
			 WEXITSTATUS(status));
}

static const char *status_text(int rc)
{
	return rc < 0 ? strerror(-rc) : "success";
}

/* What the second run, the invariant and the end say. */
static bool find_after(const struct outcome *a, const struct outcome *b, bool once, char *text,
		       size_t len)
{
	if (b->invariant_rc < 0 && a->invariant_rc >= 0)
		snprintf(text, len, "INVARIANT BROKEN\n  it gives %d (%s)\n", b->invariant_rc,
			 status_text(b->invariant_rc));
	else if (!once && a->rc[1] != b->rc[1])
		snprintf(text, len,
			 "CHANGED\n  the run after it gives %d (%s), undisturbed %d (%s)\n",
			 b->rc[1], status_text(b->rc[1]), a->rc[1], status_text(a->rc[1]));
	else if (b->fds_open > a->fds_open)
		snprintf(text, len,
			 "LEAK\n  %u descriptors are open at the end, undisturbed %u; one was "
			 "opened at %s\n",
			 b->fds_open, a->fds_open, b->fd_site);
	else if (b->permits > a->permits)
		snprintf(text, len,
			 "LEAK\n  %lld permits were taken and not given back, undisturbed %lld; "
			 "the latest was taken at %s\n",
			 (long long)b->permits, (long long)a->permits, b->permit_site);
	else if (b->permits < a->permits)
		snprintf(text, len,
			 "RELEASED TWICE\n  %lld permits were given back that were not taken, "
			 "undisturbed %lld; the last call before the latest was at %s\n",
			 -(long long)b->permits, -(long long)a->permits,
			 b->release_site ? b->release_site : "the start");
	else if (b->closed_twice > a->closed_twice)
		snprintf(text, len,
			 "RELEASED TWICE\n  a descriptor is closed that is not open; the last call "
			 "before was at %s\n",
			 b->close_site ? b->close_site : "the start");
	else
		return false;
	return true;
}

static void say_leaked(const struct outcome *b, char *text, size_t len)
{
	snprintf(text, len,
		 "LEAK\n"
		 "  memory is not freed, and nothing points to it any more: %u block%s of "
		 "%zu bytes\n  more than undisturbed\n"
		 "  allocated by    task %s, after its call at %s\n",
		 b->leaked_blocks, b->leaked_blocks == 1 ? "" : "s", b->leaked_bytes,
		 b->leaked_task, b->leaked.site ? b->leaked.site : "its start");
}

/* How much longer than it should a run took to end: all that came after a request on the body as a
 * whole; else what it took more than undisturbed, for what comes after a part is ended goes on. */
static int64_t slowness_ns(const struct outcome *a, const struct outcome *b)
{
	int64_t more_ns = b->took_ns[0] - a->took_ns[0];

	return b->closing_ns > more_ns ? b->closing_ns : more_ns;
}

bool explore_judge(const struct outcome *a, const struct outcome *b,
		   const struct injection *injection, int status,
		   const struct lade_exploration *options, char *text, size_t len,
		   const struct effect **ret_paid)
{
	bool cancelled = injection->when <= COMPLETED, once = options->once;
	bool overrun = injection->what == OVERRUN || (b->second.made && b->second.what == OVERRUN);
	bool effects = cancelled && !overrun && !once;

	*ret_paid = NULL;
	if (!b->finished || (WIFEXITED(status) && WEXITSTATUS(status) != 0)) {
		say_death(b, status, text, len);
		return true;
	}
	if (cancelled && *b->swallowed) {
		snprintf(text, len, "SWALLOWED CANCEL\n  %s\n", b->swallowed);
		return true;
	}
	if (*b->channel_text && !*a->channel_text) {
		snprintf(text, len, "%s", b->channel_text);
		return true;
	}
	if (cancelled && !overrun && explore_find_lost_item(a, b, text, len))
		return true;
	if (effects && !options->asks_again)
		*ret_paid = find_lost(a, b, text, len);
	if (effects && !*ret_paid)
		*ret_paid = find_doubled(a, b, options->asks_again, text, len);
	if (*ret_paid)
		return true;
	if (cancelled && slowness_ns(a, b) > SLOW_NS) {
		snprintf(text, len, "SLOW TO END\n  %.1f s after the cancel it had not ended\n",
			 (double)slowness_ns(a, b) / 1e9);
		return true;
	}
	if (find_after(a, b, once, text, len))
		return true;
	if (!b->leaked_blocks)
		return false;
	say_leaked(b, text, len);
	*ret_paid = &b->leaked;
	return true;
}
