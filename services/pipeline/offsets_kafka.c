/* SPDX-License-Identifier: MIT */
/* offsets_kafka.c - what Kafka says of a pipeline's lanes: its consumer group, and the logs.
 *
 * DESIGN
 * The lanes are the partitions of the topics that are named, and whatever else the group has
 * committed: topics of a pattern are known by that alone. Each lane's log is asked for when the
 * lane is looked at, one question after the other. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/pipeline/offsets.h"
#include "services/pipeline/source_kafka.h"

struct lade_offsets_log {
	struct lade_kafka_admin *admin;
	struct lade_kafka_setting settings[LADE_PIPE_SETTINGS_MAX];
	struct lade_kafka_group group;
	struct lade_kafka_error error;	/* of the last question */
	char line[400];			/* the group, for a person */
	char one[200];			/* a member of it */
};

/* The group's lanes. */
struct of_group {
	struct lade_kafka_offset *at;
	size_t n, room, next;
};

static int failed(struct lade_offsets *o, int rc)
{
	snprintf(o->why, sizeof(o->why), "%.150s: %s", o->config->source.brokers,
		 o->log->error.text);
	return rc;
}

/* The log */

static void describe(struct lade_offsets_log *log, const char *name)
{
	const struct lade_kafka_group *g = &log->group;

	if (g->members || strcmp(g->state, "Dead") != 0)
		snprintf(log->line, sizeof(log->line), "group %.200s: %s, %zu member%s", name,
			 g->state, g->members, g->members == 1 ? "" : "s");
	else
		snprintf(log->line, sizeof(log->line), "group %.200s: there is none yet", name);
	if (g->n_owned)
		snprintf(log->one, sizeof(log->one), "%.100s at %.60s", g->owned[0].client,
			 g->owned[0].host);
}

int lade_offsets_log_open(struct lade_offsets *o)
{
	const struct lade_pipe_source *c = &o->config->source;
	size_t n;
	int rc;

	o->log = calloc(1, sizeof(*o->log));
	if (!o->log)
		return -ENOMEM;
	n = lade_pipe_kafka_settings(&c->client, o->log->settings);
	rc = lade_kafka_admin_new(c->brokers, o->log->settings, n, &o->log->admin, &o->log->error);
	if (rc == 0)
		rc = lade_kafka_group_get(o->log->admin, c->group, &o->log->group, &o->log->error);
	if (rc < 0)
		return failed(o, rc);
	describe(o->log, c->group);
	return 0;
}

int lade_offsets_log_look(struct lade_offsets *o, struct lade_offset *lane)
{
	const struct lade_kafka_group *g = &o->log->group;
	struct lade_kafka_range range;
	int rc = lade_kafka_topic_range(o->log->admin, lane->topic, (int32_t)lane->part, &range,
					&o->log->error);

	for (size_t i = 0; i < g->n_owned; i++)
		if (g->owned[i].partition == lane->part &&
		    strcmp(g->owned[i].topic, lane->topic) == 0)
			snprintf(lane->held, sizeof(lane->held), "%.100s at %.60s",
				 g->owned[i].client, g->owned[i].host);
	if (rc == -ENOENT)
		return 0; /* it was deleted; what was kept of it is still told */
	if (rc < 0)
		return failed(o, rc);
	lane->low = range.low;
	lane->high = range.high;
	return 0;
}

int lade_offsets_log_since(struct lade_offsets *o, const struct lade_offset *lane, int64_t ms,
			   int64_t *ret)
{
	int rc = lade_kafka_topic_since(o->log->admin, lane->topic, (int32_t)lane->part, ms, ret,
					&o->log->error);

	return rc < 0 ? failed(o, rc) : 0;
}

size_t lade_offsets_log_members(const struct lade_offsets *o, const char **ret_one)
{
	if (!o->log)
		return 0;
	*ret_one = *o->log->one ? o->log->one : o->log->group.state;
	return o->log->group.members;
}

int lade_offsets_log_set(struct lade_offsets *o, const struct lade_offset *to, size_t n)
{
	struct lade_kafka_offset *all = calloc(n, sizeof(*all));
	int rc;

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		snprintf(all[i].topic, sizeof(all[i].topic), "%.255s", to[i].topic);
		all[i].partition = (int32_t)to[i].part;
		all[i].offset = to[i].next_offset;
	}
	rc = lade_kafka_group_set_offsets(o->log->admin, o->config->source.group, all, n,
					  &o->log->error);
	free(all);
	if (rc == -EBUSY)
		snprintf(o->why, sizeof(o->why), "the group %.200s has members: stop them first",
			 o->config->source.group);
	else if (rc < 0)
		(void)failed(o, rc);
	return rc;
}

void lade_offsets_log_close(struct lade_offsets *o)
{
	if (!o->log)
		return;
	lade_kafka_group_done(&o->log->group);
	lade_kafka_admin_free(o->log->admin);
	free(o->log);
	o->log = NULL;
}

const char *lade_offsets_group(const struct lade_offsets *o)
{
	return o->log ? o->log->line : NULL;
}

/* The group's offsets */

static bool is_there(const struct of_group *g, const char *topic, int32_t part)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->at[i].partition == part && strcmp(g->at[i].topic, topic) == 0)
			return true;
	return false;
}

static int add(struct of_group *g, const char *topic, int32_t part)
{
	if (is_there(g, topic, part))
		return 0;
	if (g->n == g->room) {
		size_t room = 2 * g->room + 16;
		struct lade_kafka_offset *more = realloc(g->at, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		g->at = more;
		g->room = room;
	}
	g->at[g->n] = (struct lade_kafka_offset){ .partition = part, .offset = -1 };
	snprintf(g->at[g->n++].topic, sizeof(g->at->topic), "%.255s", topic);
	return 0;
}

/* The partitions of a topic that is named. */
static int add_topic(struct lade_offsets *o, struct of_group *g, const char *name)
{
	struct lade_kafka_topic topic;
	int rc = lade_kafka_topic_get(o->log->admin, name, &topic, &o->log->error);

	if (rc < 0)
		return rc == -ENOENT ? 0 : failed(o, rc);
	for (int32_t i = 0; rc == 0 && i < topic.partitions; i++)
		rc = add(g, name, i);
	return rc;
}

static int by_place(const void *left, const void *right)
{
	const struct lade_kafka_offset *a = left, *b = right;
	int order = strcmp(a->topic, b->topic);

	return order ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

static int add_committed(struct lade_offsets *o, struct of_group *g)
{
	struct lade_kafka_offset *got = NULL;
	size_t n = 0;
	int rc = lade_kafka_group_offsets(o->log->admin, o->config->source.group, &got, &n,
					  &o->log->error);

	if (rc < 0)
		return failed(o, rc);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = add(g, got[i].topic, got[i].partition);
		if (rc == 0)
			g->at[g->n - 1].offset = got[i].offset;
	}
	lade_kafka_offsets_free(got);
	return rc;
}

static int group_open(struct lade_offsets *o)
{
	const struct lade_pipe_map *topics = &o->config->source.topics;
	struct of_group *g = calloc(1, sizeof(*g));
	int rc;

	o->self = g;
	if (!g)
		return -ENOMEM;
	rc = add_committed(o, g);
	for (int i = 0; rc == 0 && i < topics->n; i++)
		if (*topics->at[i].text != '^')
			rc = add_topic(o, g, topics->at[i].text);
	if (g->n)
		qsort(g->at, g->n, sizeof(*g->at), by_place);
	return rc;
}

static int group_next(struct lade_offsets *o, struct lade_offset *ret)
{
	struct of_group *g = o->self;
	const struct lade_kafka_offset *from;

	if (g->next == g->n)
		return 0;
	from = &g->at[g->next++];
	snprintf(ret->topic, sizeof(ret->topic), "%s", from->topic);
	ret->part = from->partition;
	ret->next_offset = from->offset;
	return 1;
}

static int group_set(struct lade_offsets *o, const struct lade_offset *was,
		     const struct lade_offset *to, size_t n)
{
	(void)was;
	return lade_offsets_log_set(o, to, n);
}

static void group_close(struct lade_offsets *o)
{
	struct of_group *g = o->self;

	if (g)
		free(g->at);
	free(g);
}

const struct lade_offsets_ops lade_offsets_of_group = { group_open, group_next, group_set,
							group_close };
