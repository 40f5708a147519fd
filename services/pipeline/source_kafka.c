/* SPDX-License-Identifier: MIT */
/* source_kafka.c - topics as a source: a lane for each partition, which comes and goes.
 *
 * DESIGN
 * One task, the pump, takes items from the consumer and puts messages into a ring, from which the
 * engine takes them without a system call or a switch. It never waits for the engine: while the
 * ring is full all partitions are held, and events go on being answered. A lane that has as many
 * messages under way as it may is held alone; nothing is thrown away and fetched again.
 *
 * Assigned, a lane is claimed where the offsets are kept, in the order of topics and numbers, and
 * begins there, or where the group has committed. Revoked, it is drained by a second task, its
 * offset committed, and given back; what is read of it and not taken is left out. Lost, all of it
 * is too late. The group's offsets are committed each second and at the end, of a transaction's
 * lanes by the transaction.
 *
 * LIMITS  RING_MAX messages, and a quarter of max_memory, in front of the batches; max_in_flight of
 * a lane. */

#include "services/pipeline/source_kafka.h"
#include "services/pipeline/phase.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RING_MAX 2048u	       /* messages; a power of two */
#define COMMIT_MAX 128	       /* lanes of one commit */
#define COMMIT_NS INT64_C(1000000000)
#define GIVEN_UP_NS INT64_C(20000000000) /* after which the group says whose a lane is */
#define LAST_COMMIT_NS INT64_C(5000000000)

/* A partition, from the first time that it was ours. */
struct part {
	struct lade_pipe_lane lane;	    /* lane.self is this */
	struct lade_kafka_partition *handle; /* NULL: it is not ours now */
	char *topic, *name;		    /* flights, flights/3 */
	uint64_t given;			    /* messages that were put into the ring in this epoch */
	int64_t committed;		    /* what the group was told last; -1: nothing */
	bool full;			    /* held: the lane has enough under way */
	bool leaving;			    /* it is being drained */
	int64_t given_up_ns;		    /* when it was let go while it was ours */
	struct part *next;
};

/* A message that waits for the engine. */
struct waiting {
	struct lade_kafka_message message;
	uint64_t epoch;			    /* the lane's when it came */
};

struct tasks;

struct source {
	struct lade_pipe_engine *engine;
	struct lade_kafka_consumer *consumer;
	struct lade_kafka_error error;
	char cluster[LADE_POSITION_ROOM];   /* the cluster's id */
	char group[256];
	const char *topics[LADE_PIPE_TOPICS_MAX];
	struct lade_kafka_setting settings[LADE_PIPE_SETTINGS_MAX];
	struct part *parts;
	struct tasks *tasks;
	struct waiting *ring;		    /* RING_MAX of them */
	uint32_t first, n;		    /* the oldest, and how many */
	int64_t bytes;			    /* of their keys and values */
	bool full;			    /* all partitions are held */
	uint64_t given;			    /* messages, of all */
	int rc;				    /* < 0: the pump has ended so */
	struct lade_event filled;	    /* the ring has something, or the pump has ended */
	struct lade_event revoked;	    /* lanes are to be drained */
	char trouble[256];
	int64_t trouble_since_ns;
};

static bool keeps_offsets_itself(const struct lade_pipe_engine *e)
{
	return e->keeper && e->keeper->config->kind == LADE_SINK_KAFKA;
}

/* Partitions */

static struct part *part_of(const struct lade_kafka_partition *handle)
{
	return lade_kafka_partition_self(handle);
}

static struct part *find_part(struct source *s, const char *topic, int64_t number)
{
	struct part *p = s->parts;

	while (p && (p->lane.part != number || strcmp(p->topic, topic) != 0))
		p = p->next;
	return p;
}

static struct part *new_part(struct source *s, const char *topic, int32_t number)
{
	struct part *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->topic = strdup(topic);
	if (!p->topic || asprintf(&p->name, "%s/%" PRId32, topic, number) < 0) {
		free(p->topic);
		free(p);
		return NULL;
	}
	lade_pipe_lane_init(&p->lane, p->topic, number, s->engine->config->in_flight_max);
	p->lane.name = p->name;
	p->lane.self = p;
	p->next = s->parts;
	s->parts = p;
	return p;
}

/* What of a lane is taken, or will be, and not finished. */
static int64_t under_way(const struct part *p)
{
	return p->lane.in_flight + (int64_t)(p->given - p->lane.taken);
}

static void hold_as_needed(struct source *s, struct part *p)
{
	if (p->handle)
		lade_kafka_hold(p->handle, s->full || p->full || p->leaving ||
						   s->engine->stop_reading.set);
}

static void hold_all(struct source *s, bool full)
{
	s->full = full;
	for (struct part *p = s->parts; p; p = p->next)
		hold_as_needed(s, p);
}

/* The lane is the engine's no more; what is under way of it is too late. */
static void let_go(struct source *s, struct part *p)
{
	if (!p->lane.assigned)
		return;
	lade_pipe_lane_lose(&p->lane);
	lade_pipe_lane_unlist(s->engine, &p->lane);
	p->given_up_ns = lade_now().mono_ns;
	lade_event_set(&s->engine->lane_moved);
}

/* Commits */

/* Whose offset is being committed. */
struct told {
	struct part *part;
	uint64_t epoch;			    /* its lane's */
};

/* Lanes that are further than the group knows.  Returns their number. */
static size_t to_commit(struct source *s, bool leaving_only, struct lade_kafka_position *ret,
			struct told *ret_told, size_t room)
{
	size_t n = 0;

	for (struct part *p = s->parts; p && n < room; p = p->next) {
		if (!p->handle || !p->lane.assigned || p->lane.fenced ||
		    p->lane.commit_offset <= p->committed || (leaving_only && !p->leaving))
			continue;
		ret_told[n] = (struct told){ p, p->lane.epoch };
		ret[n++] = (struct lade_kafka_position){ p->handle, p->lane.commit_offset };
	}
	return n;
}

static int commit(struct source *s, bool leaving_only)
{
	struct lade_kafka_position at[COMMIT_MAX];
	struct told told[COMMIT_MAX];
	struct lade_kafka_error error;
	size_t n;
	int rc = 0;

	if (s->engine->show || keeps_offsets_itself(s->engine))
		return 0;
	do {
		n = to_commit(s, leaving_only, at, told, COMMIT_MAX);
		if (!n)
			break;
		rc = lade_kafka_commit(s->consumer, at, n, &error);
		for (size_t i = 0; rc == 0 && i < n; i++)
			if (told[i].part->lane.epoch == told[i].epoch)
				told[i].part->committed = at[i].offset;
	} while (rc == 0 && n == COMMIT_MAX);
	return rc;
}

/* How far each partition goes, for those who look at the lag. */
static void note_ends(struct source *s)
{
	for (struct part *p = s->parts; p; p = p->next)
		if (p->handle && lade_kafka_partition_high(p->handle) > 0)
			p->lane.end_offset = lade_kafka_partition_high(p->handle);
}

/* Assigned */

static int compare_parts(const void *a, const void *b)
{
	const struct part *p = *(struct part *const *)a, *q = *(struct part *const *)b;
	int rc = strcmp(p->topic, q->topic);

	return rc ? rc : (p->lane.part > q->lane.part) - (p->lane.part < q->lane.part);
}

/* Offsets of another cluster say nothing about this one. */
static int check_cluster(struct source *s, const struct part *p)
{
	const struct lade_pipe_stored *stored = &p->lane.stored;

	if (stored->next_offset <= 0 || !*stored->cluster ||
	    strcmp(stored->cluster, s->cluster) == 0)
		return 0;
	return lade_pipe_fail(s->engine, LADE_EXIT_FAILED,
			      "%s: the offset that is kept, %" PRId64 ", is of the cluster %s, but "
			      "this one is %s: its messages are other ones. Give the pipeline "
			      "another name, or go back to the brokers that it had", p->name,
			      stored->next_offset, stored->cluster, s->cluster);
}

static int claim(struct source *s, struct part **parts, size_t n)
{
	int rc = 0;

	qsort(parts, n, sizeof(struct part *), compare_parts);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct part *p = parts[i];

		snprintf(p->lane.cluster, sizeof(p->lane.cluster), "%s", s->cluster);
		rc = lade_pipe_lane_claim(s->engine, &p->lane);
		if (rc == 0)
			rc = check_cluster(s, p);
		if (rc == 0 && p->lane.stored.next_offset > 0)
			lade_kafka_start_at(p->handle, p->lane.stored.next_offset);
	}
	return rc;
}

static void begin(struct source *s, struct part *p)
{
	int64_t start = lade_kafka_partition_start(p->handle);

	p->given = 0;
	p->given_up_ns = 0;
	p->full = p->leaving = false;
	p->committed = lade_kafka_partition_fresh(p->handle) ? -1 : start;
	lade_pipe_lane_begin(s->engine, &p->lane, start);
	hold_as_needed(s, p);
}

/* A lane of which nothing is known begins by the policy. */
static int64_t seek_to(const struct source *s, int64_t from)
{
	if (from >= 0)
		return from;
	return s->engine->config->source.start == LADE_START_EARLIEST ? LADE_KAFKA_OLDEST
								      : LADE_KAFKA_NEWEST;
}

/* A lane that was fenced, or could not be sought, and is ours all the same, as the group says: it
 * is claimed again. Who had claimed it was late. */
static int take_back(struct source *s, struct part *p)
{
	const struct lade_kafka_partition *handle = p->handle;
	int64_t from = p->lane.commit_offset;
	int rc;

	lade_pipe_say(s->engine, "%s: it was given up because another process had claimed it, but "
		      "it is still ours: it is claimed again", p->name);
	p->given_up_ns = lade_now().mono_ns;
	rc = lade_pipe_lane_claim(s->engine, &p->lane);
	if (rc < 0 || p->handle != handle || p->lane.assigned || p->leaving)
		return rc;
	if (p->lane.stored.next_offset > 0)
		from = p->lane.stored.next_offset;
	if (lade_kafka_seek(p->handle, seek_to(s, from)) < 0)
		return 0;
	p->given = 0;
	p->full = false;
	lade_pipe_lane_begin(s->engine, &p->lane, from);
	hold_as_needed(s, p);
	return 0;
}

static int take_back_all(struct source *s)
{
	int rc = 0;

	for (struct part *p = s->parts; rc == 0 && p; p = p->next)
		if (p->handle && !p->lane.assigned && !p->leaving && p->given_up_ns &&
		    lade_now().mono_ns - p->given_up_ns > GIVEN_UP_NS)
			rc = take_back(s, p);
	return rc;
}

static int commit_now_and_then(struct source *s)
{
	int rc;

	do {
		rc = lade_sleep(lade_ns(COMMIT_NS));
		note_ends(s);
		/* What cannot be committed now is committed later, or by whoever has the lane. */
		if (rc == 0)
			rc = commit(s, false) == -ECANCELED ? -ECANCELED : 0;
		if (rc == 0)
			rc = take_back_all(s);
	} while (rc == 0);
	return rc;
}
LADE_TASK_VOID(commit_now_and_then, (struct source *, s))

static int take_assigned(struct source *s, const struct lade_kafka_item *item)
{
	struct part **parts = calloc(item->n_partitions + 1, sizeof(struct part *));
	size_t n = 0;
	int rc = parts ? 0 : -ENOMEM;

	for (; rc == 0 && n < item->n_partitions; n++) {
		struct lade_kafka_partition *handle = item->partitions[n];
		const char *topic = lade_kafka_partition_topic(handle);
		int32_t number = lade_kafka_partition_number(handle);

		parts[n] = find_part(s, topic, number);
		if (!parts[n])
			parts[n] = new_part(s, topic, number);
		if (!parts[n]) {
			rc = -ENOMEM;
		} else {
			parts[n]->handle = handle;
			parts[n]->given_up_ns = 0; /* it is claimed now, and not taken back */
			lade_kafka_partition_set_self(handle, parts[n]);
		}
	}
	if (rc == 0)
		rc = claim(s, parts, n);
	if (rc == 0) {
		rc = lade_kafka_assign(s->consumer, &s->error);
		if (rc < 0 && rc != -ECANCELED)
			rc = lade_pipe_fail(s->engine, LADE_EXIT_FAILED, "source kafka: %s",
					    s->error.text);
	}
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (parts[i]->handle)
			begin(s, parts[i]);
	free(parts);
	return rc;
}

/* Revoked and lost */

static bool is_leaving(const struct source *s)
{
	for (const struct part *p = s->parts; p; p = p->next)
		if (p->leaving)
			return true;
	return false;
}

static int64_t leaving_in_flight(const struct source *s)
{
	int64_t n = 0;

	for (const struct part *p = s->parts; p; p = p->next)
		n += p->leaving ? p->lane.in_flight : 0;
	return n;
}

static int wait_drained(struct source *s)
{
	struct lade_pipe_engine *e = s->engine;
	int rc = 0;

	while (rc == 0 && leaving_in_flight(s)) {
		lade_event_clear(&e->lane_moved);
		rc = lade_event_wait(&e->lane_moved);
	}
	return rc;
}

static void part_gone(struct source *s, struct part *p)
{
	let_go(s, p);
	p->handle = NULL;
	p->leaving = false;
}

/* What is under way of the lanes that leave is finished, told to the group, and they are gone. */
static int give_back(struct source *s)
{
	int rc;

	for (;;) {
		rc = lade_event_wait(&s->revoked);
		if (rc < 0)
			return rc;
		lade_event_clear(&s->revoked);
		if (!is_leaving(s))
			continue;
		rc = lade_within(lade_ns(s->engine->config->drain_timeout_ns), wait_drained(s));
		if (rc == -ECANCELED)
			return rc;
		rc = lade_within(lade_ns(LAST_COMMIT_NS), commit(s, true));
		if (rc == -ECANCELED)
			return rc;
		lade_pipe_phase(LADE_PHASE_REVOKE);
		for (struct part *p = s->parts; p; p = p->next)
			if (p->leaving)
				part_gone(s, p);
		(void)lade_kafka_release(s->consumer);
	}
}
LADE_TASK_VOID(give_back, (struct source *, s))

static void take_revoked(struct source *s, const struct lade_kafka_item *item)
{
	for (size_t i = 0; i < item->n_partitions; i++) {
		struct part *p = part_of(item->partitions[i]);

		if (!p)
			continue;
		p->leaving = true;
		lade_pipe_lane_pause(&p->lane);
		hold_as_needed(s, p);
	}
	lade_event_set(&s->engine->lane_moved); /* a batch that waits for room leaves them out */
	lade_event_set(&s->revoked);
}

static void take_lost(struct source *s, const struct lade_kafka_item *item)
{
	for (size_t i = 0; i < item->n_partitions; i++) {
		struct part *p = part_of(item->partitions[i]);

		if (p)
			part_gone(s, p);
	}
	s->engine->stats.lost += item->n_partitions;
	(void)lade_kafka_release(s->consumer);
}

/* Other events */

/* Messages were deleted before they were read: never silently. */
static int take_gap(struct source *s, const struct lade_kafka_item *item)
{
	struct lade_pipe_engine *e = s->engine;
	struct lade_kafka_partition *handle = item->partitions[0];
	struct part *p = part_of(handle);
	struct lade_kafka_range range = { 0 };
	int how = e->config->source.on_gap, rc;

	if (!p)
		return 0;
	rc = lade_kafka_consumer_range(s->consumer, p->topic, (int32_t)p->lane.part, &range,
				       &s->error);
	if (rc < 0)
		return rc == -ECANCELED ? rc
					: lade_pipe_fail(e, LADE_EXIT_FAILED, "%s: %s", p->name,
							 s->error.text);
	if (item->offset > range.high)
		return lade_pipe_fail(e, LADE_EXIT_FAILED,
				      "%s: offset %" PRId64 " is next, but the topic ends at "
				      "%" PRId64 ": it was made anew, or lost messages. To read it "
				      "from its beginning, give the pipeline and its group another "
				      "name", p->name, item->offset, range.high);
	if (how == LADE_GAP_STOP)
		return lade_pipe_fail(e, LADE_EXIT_FAILED,
				      "%s: offset %" PRId64 " is next, but the oldest message that "
				      "is there is %" PRId64 ": those between were deleted before "
				      "they were read. To go on without them: source: { kafka: { "
				      "on_gap: earliest } }", p->name, item->offset, range.low);
	e->stats.gaps++;
	lade_pipe_say(e, "%s: offsets %" PRId64 " to %" PRId64 " were deleted before they were "
		      "read; it goes on with the %s message (on_gap)", p->name, item->offset,
		      range.low - 1, how == LADE_GAP_EARLIEST ? "oldest" : "next");
	/* Where it cannot be sought it is about to be lost. */
	(void)lade_kafka_seek(handle, how == LADE_GAP_EARLIEST ? LADE_KAFKA_OLDEST
								: LADE_KAFKA_NEWEST);
	return 0;
}

static int take_failed(struct source *s, const struct lade_kafka_error *error)
{
	return lade_pipe_fail(s->engine, LADE_EXIT_FAILED, "source kafka: %s%s", error->text,
			      error->fault == LADE_KAFKA_FENCED
				      ? ": another process has joined as this instance; give each "
					"its own source: { kafka: { instance: NAME } }"
				      : "");
}

static int take_event(struct source *s, const struct lade_kafka_item *item)
{
	char why[256];

	switch (item->kind) {
	case LADE_KAFKA_ASSIGNED:
		return take_assigned(s, item);
	case LADE_KAFKA_REVOKED:
		take_revoked(s, item);
		return 0;
	case LADE_KAFKA_LOST:
		take_lost(s, item);
		return 0;
	case LADE_KAFKA_GAP:
		return take_gap(s, item);
	case LADE_KAFKA_TROUBLE:
		if (!s->trouble_since_ns)
			s->trouble_since_ns = lade_now().mono_ns;
		lade_pipe_kafka_say(s->engine->config->source.brokers, item->error->code,
				    item->error->text, why);
		lade_pipe_trouble(s->engine, "source kafka", s->trouble, "%s", why);
		return 0;
	case LADE_KAFKA_RECOVERED:
		lade_pipe_recovered(s->engine, "source kafka", s->trouble, &s->trouble_since_ns);
		return 0;
	case LADE_KAFKA_FAILED:
		return take_failed(s, item->error);
	default:
		return 0;
	}
}

/* The ring */

static int64_t bytes_of(const struct lade_kafka_message *message)
{
	return (int64_t)(message->key_len + message->value_len);
}

/* Whether it has more than a part of what it may have. */
static bool is_full(const struct source *s, uint32_t part)
{
	return s->n >= RING_MAX / part ||
	       s->bytes >= s->engine->config->memory_bytes_max / 4 / part;
}

static void put_message(struct source *s, struct lade_kafka_message *message)
{
	struct part *p = part_of(message->partition);

	/* Of a lane that was given up what was fetched is somebody else's. */
	if (!p || !p->lane.assigned || p->lane.paused) {
		lade_kafka_message_free(message);
		return;
	}
	/* Where nobody could say where it begins, it begins here. */
	if (p->lane.taken_offset < 0 && p->given == 0)
		p->lane.commit_offset = p->lane.taken_offset = message->offset;
	s->ring[(s->first + s->n++) & (RING_MAX - 1)] = (struct waiting){ *message, p->lane.epoch };
	s->bytes += bytes_of(message);
	p->given++;
	lade_event_set(&s->filled);
	if (under_way(p) >= p->lane.in_flight_max) {
		p->full = true;
		hold_as_needed(s, p);
	}
	if (is_full(s, 1))
		hold_all(s, true);
}

/* Takes items as long as there are any.  Returns 0 or < 0. */
static int pump_ready(struct source *s)
{
	struct lade_kafka_item item;
	int rc = 0;

	while (rc == 0 && !is_full(s, 1)) {
		rc = lade_kafka_try_next(s->consumer, &item);
		if (rc < 0)
			break;
		if (item.kind == LADE_KAFKA_MESSAGE)
			put_message(s, &item.message);
		else
			rc = take_event(s, &item);
	}
	return rc == -EAGAIN ? 0 : rc;
}

static int pump(struct source *s)
{
	struct lade_kafka_item item;
	int rc;

	do {
		rc = lade_kafka_next(s->consumer, &item);
		if (rc == 0 && item.kind == LADE_KAFKA_MESSAGE)
			put_message(s, &item.message);
		else if (rc == 0)
			rc = take_event(s, &item);
		if (rc == 0)
			rc = pump_ready(s);
	} while (rc == 0);
	s->rc = rc;
	lade_event_set(&s->filled);
	return rc == -ECANCELED ? rc : 0;
}
LADE_TASK_VOID(pump, (struct source *, s))

/* The stream */

static bool is_over(const struct source *s)
{
	const struct lade_pipe_engine *e = s->engine;

	return e->stop_reading.set || (e->read_max && s->given >= e->read_max);
}

static int kafka_try_next(void *self, void *ret_item)
{
	struct source *s = self;
	struct lade_pipe_raw *raw = ret_item;
	const struct lade_kafka_message *m;
	const struct waiting *w;
	struct part *p;

	if (is_over(s)) {
		hold_all(s, true);
		return 0;
	}
	if (s->n == 0)
		return s->rc < 0 ? s->rc : -EAGAIN;
	w = &s->ring[s->first & (RING_MAX - 1)];
	m = &w->message;
	p = part_of(m->partition);
	*raw = (struct lade_pipe_raw){
		.line = { .text = m->value ? m->value : "",
			  .len = (uint32_t)m->value_len,
			  .offset = m->offset,
			  .next_offset = m->offset + 1,
			  .ended = true,
			  .too_long = (int64_t)m->value_len >
				      s->engine->config->source.message_bytes_max },
		.lane = &p->lane,
		.epoch = w->epoch,
		.message = *m,
	};
	s->first++;
	s->n--;
	s->bytes -= bytes_of(m);
	s->given++;
	lade_pipe_phase(LADE_PHASE_FORMING);
	s->engine->stats.bytes_read += (int64_t)m->value_len;
	if (s->full && !is_full(s, 2))
		hold_all(s, false);
	return 1;
}

static int kafka_next(void *self, void *ret_item)
{
	struct source *s = self;
	int rc;

	while ((rc = kafka_try_next(self, ret_item)) == -EAGAIN) {
		lade_event_clear(&s->filled);
		rc = lade_select(lade_event_case(&s->filled),
				 lade_event_case(&s->engine->stop_reading));
		if (rc < 0)
			return rc;
	}
	return rc;
}

static void kafka_stream_close(void *self)
{
	(void)self; /* the ring is the source's */
}

static const struct lade_source kafka_stream = { kafka_next, kafka_try_next, kafka_stream_close };

/* The engine's side */

static int copy_headers(const struct lade_kafka_message *m, struct lade_pipe_message *message,
			struct lade_arena *arena)
{
	struct lade_kafka_header h;
	struct lade_pipe_header *all;
	size_t n = 0;

	while (lade_kafka_message_header(m, n, &h) == 0)
		n++;
	if (n == 0)
		return 0;
	all = lade_arena_alloc(arena, n * sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < n && lade_kafka_message_header(m, i, &h) == 0; i++) {
		all[i].name = lade_arena_copy(arena, h.name, strlen(h.name));
		all[i].bytes = h.value ? lade_arena_copy(arena, h.value, h.value_len) : NULL;
		all[i].len = (uint32_t)h.value_len;
		if (!all[i].name || (h.value && !all[i].bytes))
			return -ENOMEM;
	}
	message->headers = all;
	message->n_headers = (uint32_t)n;
	return 0;
}

static int kafka_describe(const struct lade_pipe_raw *raw, struct lade_pipe_message *message,
			  struct lade_arena *arena)
{
	const struct lade_kafka_message *m = &raw->message;

	if (m->key) {
		const char *key = lade_arena_copy(arena, m->key, m->key_len);

		if (!key)
			return -ENOMEM;
		message->key = lade_datum_text(key, (uint32_t)m->key_len);
	}
	if (m->timestamp_ms >= 0)
		message->timestamp_us = m->timestamp_ms * 1000;
	message->tombstone = !m->value;
	return copy_headers(m, message, arena);
}

static void kafka_moved(struct lade_pipe_engine *e, struct lade_pipe_lane *lane)
{
	struct part *p = lane->self;

	if (p->full && under_way(p) < lane->in_flight_max * 3 / 4) {
		p->full = false;
		hold_as_needed(e->source, p);
	}
}

static int kafka_rewind(struct lade_pipe_engine *e, struct lade_pipe_lane *lane)
{
	struct source *s = e->source;
	struct part *p = lane->self;
	int64_t from = lane->commit_offset;
	int rc;

	if (lane->fenced || !p->handle || p->leaving) {
		let_go(s, p); /* the group will say soon that it is another's */
		return 0;
	}
	rc = lade_pipe_lane_look(e, lane);
	if (rc == -ESTALE) {
		let_go(s, p);
		return 0;
	}
	if (rc < 0)
		return rc;
	if (lane->stored.next_offset > 0)
		from = lane->stored.next_offset;
	lade_pipe_lane_assign(lane, from);
	p->given = 0;
	p->full = false;
	if (!p->handle || lade_kafka_seek(p->handle, seek_to(s, from)) < 0)
		let_go(s, p);
	else
		hold_as_needed(s, p);
	lade_event_set(&e->lane_moved);
	return 0;
}

struct lade_kafka_consumer *lade_pipe_kafka_consumer(struct lade_pipe_engine *e)
{
	const struct source *s = e->source;

	return s->consumer;
}

struct lade_kafka_partition *lade_pipe_kafka_partition(const struct lade_pipe_lane *lane)
{
	const struct part *p = lane->self;

	return p->handle;
}

/* Opening */

size_t lade_pipe_kafka_settings(const struct lade_pipe_map *map, struct lade_kafka_setting *ret)
{
	for (int i = 0; i < map->n; i++)
		ret[i] = (struct lade_kafka_setting){ map->at[i].name, map->at[i].text };
	return (size_t)map->n;
}

/* At the source's place in the configuration. */
static int open_failed(struct lade_pipe_engine *e, const char *why)
{
	return lade_pipe_fail_at(e, LADE_EXIT_FAILED,
				 lade_pipe_config_node(e->config, NULL, 0, "source.kafka"), 0,
				 "source kafka: %s", why);
}

const char *lade_pipe_kafka_say(const char *where, int code, const char *text, char ret[256])
{
	const char *remedy = lade_kafka_code_remedy(code);

	text = text ? text : lade_kafka_code_text(code);
	if (remedy)
		snprintf(ret, 256, "%.80s: %s (%.*s)", where, remedy, 50, text);
	else
		snprintf(ret, 256, "%.80s: %.160s", where, text);
	return ret;
}

/* A topic that must be there; its cluster is noted. */
static int look_at_topic(struct source *s, struct lade_kafka_admin *admin, const char *name)
{
	struct lade_pipe_engine *e = s->engine;
	struct lade_kafka_topic topic;
	char why[256];

	for (uint32_t attempt = 1;; attempt++) {
		int rc = lade_kafka_topic_get(admin, name, &topic, &s->error);

		if (rc == 0) {
			snprintf(s->cluster, sizeof(s->cluster), "%s", topic.cluster);
			lade_pipe_recovered(e, "source kafka", s->trouble, &s->trouble_since_ns);
			return 0;
		}
		if (rc == -ENOENT)
			return lade_pipe_fail(e, LADE_EXIT_FAILED,
					      "source kafka: there is no topic \"%.100s\" at "
					      "%.100s; create it first", name,
					      e->config->source.brokers);
		lade_pipe_kafka_say(e->config->source.brokers, s->error.code, s->error.text, why);
		if (rc != -EAGAIN || e->probing)
			return rc == -ECANCELED ? rc : open_failed(e, why);
		if (!s->trouble_since_ns)
			s->trouble_since_ns = lade_now().mono_ns;
		lade_pipe_trouble(e, "source kafka", s->trouble, "%s", why);
		if (lade_stopping())
			return -ECANCELED;
		rc = lade_pipe_back_off(e, attempt);
		if (rc < 0)
			return rc;
	}
}

static int look_at_topics(struct source *s, struct lade_kafka_admin *admin)
{
	const struct lade_pipe_map *topics = &s->engine->config->source.topics;
	int rc = 0;

	for (int i = 0; rc == 0 && i < topics->n; i++)
		if (*topics->at[i].text != '^')
			rc = look_at_topic(s, admin, topics->at[i].text);
	/* Where all are patterns the cluster is asked for by a name that need not be there. */
	if (rc == 0 && !*s->cluster) {
		struct lade_kafka_topic topic = { 0 };

		(void)!lade_kafka_topic_get(admin, "__consumer_offsets", &topic, &s->error);
		snprintf(s->cluster, sizeof(s->cluster), "%s", topic.cluster);
	}
	return rc;
}

static int kafka_open(struct lade_pipe_engine *e)
{
	const struct lade_pipe_source *c = &e->config->source;
	struct source *s = calloc(1, sizeof(*s));
	struct lade_kafka_admin *admin;
	size_t n;
	int rc;

	if (!s)
		return -ENOMEM;
	e->source = s;
	s->engine = e;
	e->stats.bytes_total = -1;
	lade_event_init(&s->filled);
	lade_event_init(&s->revoked);
	s->ring = calloc(RING_MAX, sizeof(*s->ring));
	if (!s->ring)
		return -ENOMEM;
	n = lade_pipe_kafka_settings(&c->client, s->settings);
	rc = lade_kafka_admin_new(c->brokers, s->settings, n, &admin, &s->error);
	if (rc < 0)
		return lade_pipe_fail(e, LADE_EXIT_FAILED, "source kafka: %s", s->error.text);
	rc = look_at_topics(s, admin);
	lade_kafka_admin_free(admin);
	return rc;
}

static int start_consumer(struct source *s, struct lade_scope *scope)
{
	const struct lade_pipe_source *c = &s->engine->config->source;
	struct lade_kafka_consumer_config config = {
		.brokers = c->brokers,
		.topics = s->topics,
		.n_topics = (size_t)c->topics.n,
		.group = s->group,
		.instance = s->engine->show ? NULL : c->instance,
		.start = c->start == LADE_START_LATEST ? LADE_KAFKA_LATEST : LADE_KAFKA_EARLIEST,
		.queue_bytes = 512 << 10,
		.settings = s->settings,
		.n_settings = (size_t)c->client.n,
	};

	/* `try` reads beside the group, not as its member. */
	snprintf(s->group, sizeof(s->group), "%.200s%s", c->group, s->engine->show ? "-try" : "");
	for (int i = 0; i < c->topics.n; i++)
		s->topics[i] = c->topics.at[i].text;
	return lade_kafka_consumer_new(scope, &config, &s->consumer, &s->error);
}

/* They live in the scope of the run. */
struct tasks {
	struct pump_task pump;
	struct give_back_task give_back;
	struct commit_now_and_then_task commit;
};

static int kafka_start(struct lade_pipe_engine *e, struct lade_scope *scope,
		       struct lade_pipe_raw_stream **ret)
{
	struct source *s = e->source;
	struct tasks *t = calloc(1, sizeof(*t));
	int rc;

	s->tasks = t;
	if (!t)
		return -ENOMEM;
	rc = start_consumer(s, e->scope);
	if (rc < 0)
		return lade_pipe_fail(e, LADE_EXIT_FAILED, "source kafka: %s", s->error.text);
	t->pump = pump_task(s);
	t->give_back = give_back_task(s);
	t->commit = commit_now_and_then_task(s);
	lade_start_daemon(scope, &t->pump);
	lade_start_daemon(scope, &t->give_back);
	lade_start_daemon(scope, &t->commit);
	*ret = lade_pipe_raw_stream_of(&kafka_stream, s);
	return 0;
}

static void kafka_close(struct lade_pipe_engine *e)
{
	struct source *s = e->source;
	struct part *p, *next;

	if (!s)
		return;
	for (; s->n; s->n--)
		lade_kafka_message_free(&s->ring[s->first++ & (RING_MAX - 1)].message);
	if (s->consumer)
		lade_shield(lade_ns(LAST_COMMIT_NS))
			(void)commit(s, false);
	s->consumer = lade_kafka_consumer_free(s->consumer);
	for (p = s->parts; p; p = next) {
		next = p->next;
		lade_pipe_lane_unlist(e, &p->lane);
		lade_pipe_lane_done(&p->lane);
		free(p->topic);
		free(p->name);
		free(p);
	}
	free(s->ring);
	free(s->tasks);
	free(s);
	e->source = NULL;
}

const struct lade_pipe_source_ops lade_pipe_from_kafka = {
	.open = kafka_open,
	.describe = kafka_describe,
	.moved = kafka_moved,
	.rewind = kafka_rewind,
	.start = kafka_start,
	.close = kafka_close,
};
