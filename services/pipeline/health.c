/* SPDX-License-Identifier: MIT */
/* health.c - what a running pipeline waits for, and whether that has taken too long.
 *
 * DESIGN
 * Stuck but alive is what a process's own pulse does not show. So the question is asked of the
 * oldest unfinished message: how old it is, where it is, and what it waits for. */

#include "services/pipeline/health.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "services/pipeline/config_table.h"

void lade_pipe_put(struct lade_json_out *out, const char *format, ...)
{
	char text[1024];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	lade_json_out_raw(out, text, len < (int)sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

/* The batch's first lane that is still ours; NULL: nobody waits for it any more. */
static const struct lade_pipe_lane *live_lane(const struct lade_pipe_batch *b)
{
	for (uint32_t i = 0; i < b->n_parts; i++)
		if (!lade_pipe_lane_is_late(b->parts[i].lane, b->parts[i].segment))
			return b->parts[i].lane;
	return NULL;
}

bool lade_pipe_oldest(const struct lade_pipe_engine *e, struct lade_pipe_oldest *ret)
{
	for (const struct lade_pipe_batch *b = e->oldest; b; b = b->newer) {
		const struct lade_pipe_lane *lane = live_lane(b);

		if (!lane)
			continue;
		*ret = (struct lade_pipe_oldest){
			.lane = lane,
			.offset = lane->commit_offset,
			.age_ns = lade_now().mono_ns - b->first.mono_ns,
			.waits_for = b->at,
		};
		return true;
	}
	return false;
}

int64_t lade_pipe_lag(const struct lade_pipe_lane *l)
{
	if (!l->end_offset)
		return -1;
	return l->end_offset > l->commit_offset ? l->end_offset - l->commit_offset : 0;
}

uint64_t lade_pipe_late(const struct lade_pipe_engine *e)
{
	uint64_t n = e->stats.late_acks;

	for (const struct lade_pipe_lane *l = e->lanes; l; l = l->next)
		n += l->late_acks;
	return n;
}

const char *lade_pipe_unit(const struct lade_pipe_engine *e)
{
	int kind = e->config->source.kind;

	return kind == LADE_SOURCE_FILE || kind == LADE_SOURCE_STDIN ? "byte" : "offset";
}

const char *lade_pipe_place(const struct lade_pipe_engine *e, const struct lade_pipe_lane *lane,
			    int64_t offset, char ret[LADE_PLACE_ROOM])
{
	snprintf(ret, LADE_PLACE_ROOM, "%.150s, %s %" PRId64, lane->name, lade_pipe_unit(e),
		 offset);
	return ret;
}

/* The key under which a kind of sink is configured. */
static const char *sink_type(int kind)
{
	const struct lade_pipe_row *row = lade_pipe_row_child(lade_pipe_rows, "sink[]");

	for (; row; row = lade_pipe_row_child(row + 1, "sink[]"))
		if (row->kind == LADE_ROW_CHOICE && row->min == kind)
			return lade_pipe_row_name(row);
	return "sink";
}

const char *lade_pipe_outlet_name(const struct lade_pipe_outlet *o, char ret[LADE_PLACE_ROOM])
{
	const struct lade_pipe_sink *c = o->config;
	const char *what = !c ? NULL : c->topic ? c->topic : c->table ? c->table : c->path;

	if (!c)
		snprintf(ret, LADE_PLACE_ROOM, "dead letters");
	else if (what)
		snprintf(ret, LADE_PLACE_ROOM, "%s %.150s", sink_type(c->kind), what);
	else
		snprintf(ret, LADE_PLACE_ROOM, "%s", sink_type(c->kind));
	return ret;
}

const struct lade_pipe_outlet *lade_pipe_outlet_at(const struct lade_pipe_engine *e, int i)
{
	if (i < e->n_outlets)
		return &e->outlets[i];
	return i == e->n_outlets && e->dead.ops ? &e->dead : NULL;
}

static bool too_long(const struct lade_pipe_engine *e, int64_t since_ns, int64_t *ret_s)
{
	int64_t age_ns = since_ns ? lade_now().mono_ns - since_ns : 0;

	*ret_s = age_ns / 1000000000;
	return age_ns > e->config->unhealthy_after_ns;
}

static bool check_oldest(const struct lade_pipe_engine *e, struct lade_json_out *out)
{
	struct lade_pipe_oldest oldest;
	char place[LADE_PLACE_ROOM];

	if (!lade_pipe_oldest(e, &oldest) || oldest.age_ns <= e->config->unhealthy_after_ns)
		return true;
	lade_pipe_put(out, "the oldest message (%s) is unfinished for %" PRId64
		      " s; it waits for %s\n",
		      lade_pipe_place(e, oldest.lane, oldest.offset, place),
		      oldest.age_ns / 1000000000, oldest.waits_for);
	return false;
}

static bool check_troubles(const struct lade_pipe_engine *e, struct lade_json_out *out)
{
	const struct lade_pipe_outlet *o;
	char name[LADE_PLACE_ROOM];
	bool well = true;
	int64_t s;

	for (int i = 0; i < e->n_stages; i++) {
		if (too_long(e, e->stages[i].trouble_since_ns, &s)) {
			lade_pipe_put(out, "step %s fails since %" PRId64 " s: %s\n",
				      e->stages[i].config->name, s, e->stages[i].trouble);
			well = false;
		}
	}
	for (int i = 0; (o = lade_pipe_outlet_at(e, i)); i++) {
		if (too_long(e, o->trouble_since_ns, &s)) {
			lade_pipe_put(out, "sink %s is down since %" PRId64 " s: %s\n",
				      lade_pipe_outlet_name(o, name), s, o->trouble);
			well = false;
		}
	}
	return well;
}

bool lade_pipe_health(const struct lade_pipe_engine *e, struct lade_json_out *out)
{
	bool well = check_oldest(e, out);

	well &= check_troubles(e, out);
	if (well)
		lade_pipe_put(out, "ok\n");
	return well;
}
