/* SPDX-License-Identifier: MIT */
/* lanes.c - the lanes of an engine: claimed, begun, moved, ended, and where they stand at the end.
 *
 * DESIGN
 * A lane is its source's; the engine has a list of those that were begun. Where one sink keeps the
 * offsets, a lane is claimed there before it is begun: that says where it was left and fences
 * whoever had it before. The keeper serves one call at a time, so that a lane may be claimed while
 * another one's rows are written. Only who is given a lane claims it; who reads one again looks.
 *
 * A write moves each lane of its batches once, to behind the last message: batches are written in
 * the order in which they were taken. */

#include "services/pipeline/engine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "services/pipeline/offsets.h"

/* Where lanes do not come and go by themselves, two processes run one pipeline. */
static void say_taken_over(struct lade_pipe_engine *e, const struct lade_pipe_lane *lane)
{
	const char *owner = lane->stored.owner;
	long pid;

	if (e->from->rewind || e->said_taken || !*owner)
		return;
	pid = lade_offsets_holder(owner);
	e->said_taken = (pid && pid != (long)getpid()) || lade_offsets_elsewhere(owner);
	if (!e->said_taken)
		return;
	if (pid)
		lade_pipe_say(e, "%s is taken over from %s, which runs: that one writes nothing "
			      "more, and ends at its next write. Let one run at a time",
			      lane->name, owner);
	else
		lade_pipe_say(e, "%s goes on from where %s has left it; should that one run, it "
			      "writes nothing more", lane->name, owner);
}

int lade_pipe_lane_claim(struct lade_pipe_engine *e, struct lade_pipe_lane *lane)
{
	int rc;

	if (!e->keeper) {
		lane->stored = (struct lade_pipe_stored){ 0 };
		return 0;
	}
	/* A write that is under way goes by what is stored until it has ended. */
	rc = lade_sem_acquire(&e->keeping, 1);
	if (rc == 0) {
		lane->stored = (struct lade_pipe_stored){ 0 };
		rc = e->keeper->ops->claim(e->keeper, lane);
		if (rc == 0)
			lane->fenced = false;
		if (rc == 0 && !lade_simulated())
			say_taken_over(e, lane);
		lade_sem_release(&e->keeping, 1);
	}
	return rc;
}

int lade_pipe_lane_look(struct lade_pipe_engine *e, struct lade_pipe_lane *lane)
{
	int rc;

	if (!e->keeper || !e->keeper->ops->look) {
		lane->stored = (struct lade_pipe_stored){ 0 };
		return 0;
	}
	rc = lade_sem_acquire(&e->keeping, 1);
	if (rc == 0) {
		rc = e->keeper->ops->look(e->keeper, lane);
		if (rc == -ESTALE)
			lane->fenced = true;
		lade_sem_release(&e->keeping, 1);
	}
	return rc;
}

void lade_pipe_lane_begin(struct lade_pipe_engine *e, struct lade_pipe_lane *lane, int64_t offset)
{
	struct lade_pipe_lane **at = &e->lanes;

	lade_pipe_lane_assign(lane, offset);
	while (*at)
		at = &(*at)->next;
	lane->next = NULL;
	*at = lane;
}

void lade_pipe_lane_unlist(struct lade_pipe_engine *e, struct lade_pipe_lane *lane)
{
	for (struct lade_pipe_lane **at = &e->lanes; *at; at = &(*at)->next) {
		if (*at == lane) {
			*at = lane->next;
			return;
		}
	}
}

void lade_pipe_lane_end(struct lade_pipe_engine *e, struct lade_pipe_lane *lane)
{
	lade_pipe_lane_unlist(e, lane);
	e->stats.late_acks += lane->late_acks;
	lade_pipe_lane_done(lane);
}

int64_t lade_pipe_lanes_in_flight(const struct lade_pipe_engine *e)
{
	int64_t all = 0;

	for (const struct lade_pipe_lane *l = e->lanes; l; l = l->next)
		all += l->in_flight;
	return all;
}

/* Notes where a lane goes: behind what was noted before. */
static uint32_t note_move(struct lade_pipe_move *moves, uint32_t n,
			  const struct lade_pipe_part *part)
{
	for (uint32_t i = 0; i < n; i++) {
		if (moves[i].lane == part->lane) {
			moves[i].to = part->next_offset;
			return n;
		}
	}
	moves[n] = (struct lade_pipe_move){ part->lane, part->first_offset, part->next_offset };
	return n + 1;
}

int lade_pipe_moves(struct lade_pipe_engine *e, struct lade_pipe_batch *const *batches, uint32_t n,
		    struct lade_pipe_move **ret)
{
	struct lade_pipe_move *moves;
	uint32_t parts = 0, len = 0;
	int rc = 0;

	for (uint32_t k = 0; k < n; k++)
		parts += batches[k]->n_parts;
	moves = calloc(parts, sizeof(*moves));
	if (!moves)
		return -ENOMEM;
	for (uint32_t k = 0; k < n; k++)
		for (uint32_t i = 0; i < batches[k]->n_parts; i++)
			len = note_move(moves, len, &batches[k]->parts[i]);
	for (uint32_t i = 0; rc == 0 && e->from->identify && i < len; i++)
		rc = e->from->identify(e, moves[i].lane, moves[i].to);
	if (rc < 0) {
		free(moves);
		return rc;
	}
	*ret = moves;
	return (int)len;
}

/* How a run has ended */

static bool is_kafka(const struct lade_pipe_engine *e)
{
	return e->config->source.kind == LADE_SOURCE_KAFKA;
}

static bool is_table(const struct lade_pipe_engine *e)
{
	return e->config->source.kind == LADE_SOURCE_POSTGRES;
}

/* The first lane that has unfinished messages; else the last one that was begun. */
static const struct lade_pipe_lane *lane_to_name(const struct lade_pipe_engine *e)
{
	const struct lade_pipe_lane *l = e->lanes;

	while (l && !l->in_flight && l->next)
		l = l->next;
	return l;
}

/* Of how much, for one file; of several, how far all are. */
static void say_part(const struct lade_pipe_engine *e, char *ret, size_t room)
{
	const struct lade_pipe_stats *s = &e->stats;
	double percent = 100.0 * (double)s->bytes_read / (double)s->bytes_total;

	*ret = 0;
	if (s->bytes_total > 0 && !e->lanes->next && s->bytes_read == e->lanes->commit_offset)
		snprintf(ret, room, " of %" PRId64 " (%.0f %%)", s->bytes_total, percent);
	else if (s->bytes_total > 0)
		snprintf(ret, room, " (%.0f %% of all)", percent);
}

/* Drained after a signal: how far it came, and what the next run does with the rest. */
static void say_stopped(struct lade_pipe_engine *e)
{
	const struct lade_pipe_lane *lane = lane_to_name(e);
	const struct lade_pipe_stats *s = &e->stats;
	char part[64];

	/* They have no end: a signal is how a run ends, and nothing is left. */
	if (is_kafka(e) || is_table(e))
		return;
	if (e->config->source.kind == LADE_SOURCE_STDIN) {
		snprintf(e->why, sizeof(e->why),
			 "a signal stopped it after %" PRIu64 " message%s: what was read of stdin "
			 "is finished, the rest was not read", s->in, s->in == 1 ? "" : "s");
		return;
	}
	if (!lane || (s->bytes_total >= 0 && s->bytes_read >= s->bytes_total))
		return;
	say_part(e, part, sizeof(part));
	snprintf(e->why, sizeof(e->why),
		 "a signal stopped it at byte %" PRId64 "%s of %.200s: what was read is finished; "
		 "the next run %s", lane->commit_offset, part, lane->name,
		 e->keeper ? "goes on from there"
			   : "reads the file from its beginning again, because at_least_once "
			     "keeps no offset of a file");
}

/* What becomes of messages that are not finished. */
static const char *what_becomes(const struct lade_pipe_engine *e)
{
	if (is_kafka(e))
		return "read again by whoever of the group has it next";
	if (e->keeper)
		return "processed when it runs again";
	if (e->config->source.kind == LADE_SOURCE_STDIN)
		return "lost: stdin cannot be read again";
	return "read again, with all before them: at_least_once keeps no offsets of files and"
	       " tables";
}

static void say_unfinished(struct lade_pipe_engine *e, int64_t unfinished)
{
	const struct lade_pipe_lane *lane = lane_to_name(e);

	(void)lade_pipe_fail(e, LADE_EXIT_UNFINISHED,
			     "stopped with unfinished work: %" PRId64 " message%s of %.200s, from "
			     "%s %" PRId64 " on, will be %s", unfinished,
			     unfinished == 1 ? "" : "s",
			     lane ? lane->name : "the source",
			     is_kafka(e) ? "offset" : is_table(e) ? "row" : "byte",
			     lane ? lane->commit_offset : 0,
			     what_becomes(e));
}

/* A run that found all its files finished by an earlier one says so, in place of zeros. */
static void note_nothing_new(struct lade_pipe_engine *e)
{
	const struct lade_pipe_lane *first = e->lanes;
	const char *path = e->config->source.path;

	if (is_kafka(e) || is_table(e))
		return;
	for (const struct lade_pipe_lane *l = first; l; l = l->next)
		if (l->stored.next_offset <= 0)
			return;
	/* Of several files those that are finished have left the list, but for the last. */
	if (first && strpbrk(path, "*?["))
		snprintf(e->nothing_new, sizeof(e->nothing_new),
			 "nothing new: all files of %.200s were finished", path);
	else if (first)
		snprintf(e->nothing_new, sizeof(e->nothing_new),
			 "nothing new: %.200s was finished at byte %" PRId64, first->name,
			 first->commit_offset);
}

void lade_pipe_settle(struct lade_pipe_engine *e, int rc)
{
	int64_t unfinished = lade_pipe_lanes_in_flight(e);

	e->stats.ended_ns = lade_now().mono_ns;
	if (e->failed)
		return;
	if (rc == -ECANCELED && !e->stats.started_ns)
		snprintf(e->why, sizeof(e->why), "a signal stopped it before anything was read");
	else if (rc == -ECANCELED || (e->timed_out && unfinished))
		say_unfinished(e, unfinished);
	else if (rc < 0)
		(void)lade_pipe_fail(e, LADE_EXIT_FAILED, "%s: %s",
				     e->lanes ? e->lanes->name : "the source", strerror(-rc));
	else if (e->stopped || e->timed_out)
		say_stopped(e);
	else if (e->stats.in == 0)
		note_nothing_new(e);
}
