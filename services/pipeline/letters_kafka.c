/* SPDX-License-Identifier: MIT */
/* letters_kafka.c - dead letters in a topic.
 *
 * DESIGN
 * Nothing can be taken out of a topic. What was replayed is what lies before the offsets of a group
 * of its own, PIPELINE-dlq, which move when all before it is done. A letter that is left for later,
 * because its step was not asked for or a transform has made it, would hold that back: before the
 * offset moves over it, it is written to the end of the topic again, as it is. Letters are read up
 * to where the topic ended when it was opened. Listing reads in a group that commits nothing.
 *
 * In a letter's headers the pipeline's stand last, from x-dl-pipeline on; what is before them came
 * with the message. Letters of another pipeline in the same topic are passed over.
 *
 * LIMITS  KEPT_MAX bytes of letters that are left for later in front of one that is replayed. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "services/pipeline/letters.h"
#include "services/pipeline/source_kafka.h"

#define KEPT_MAX ((size_t)64 << 20)
#define QUIET_NS INT64_C(60000000000)	/* without a message although some must come */
#define EVENT_NS INT64_C(20000000000)	/* for an event to be answered, whoever cancels it */
#define SESSION_MS "10000"		/* after which a replay that was killed is no member */
#define HEADERS_MAX 256			/* of a letter that is written again, as of any record */

enum state { GIVEN, DONE, LEFT };

/* A letter that the group's offset has not moved over yet. */
struct entry {
	int64_t offset;
	enum state state;
	struct lade_kafka_record *copy; /* LEFT: to be written again; one block, owned */
	size_t bytes;
};

/* A partition of the topic. */
struct part {
	struct lade_kafka_partition *handle; /* NULL: it is not ours */
	int64_t from, end;	/* letters that are read: from here to before there */
	bool over;		/* all of them have been read */
	struct entry *entries;	/* in the order of offsets */
	size_t n, room;
};

struct of_kafka {
	struct lade_kafka_consumer *consumer; /* NULL: there is nothing to read */
	struct lade_kafka_producer *producer; /* of what is left; NULL: none yet */
	/* One more is ours, and first, so that it can be set otherwise. */
	struct lade_kafka_setting settings[LADE_PIPE_SETTINGS_MAX + 1];
	size_t n_settings;
	const char *brokers, *topic;
	char group[256];
	struct part *parts;
	int32_t n_parts;
	struct lade_kafka_message message; /* of the letter that was read last */
	size_t kept_bytes;
	struct lade_kafka_error error;
};

static int failed(struct lade_letters *l, int rc)
{
	const struct of_kafka *k = l->self;

	if (rc != -ECANCELED)
		snprintf(l->why, sizeof(l->why), "%.150s at %.80s: %.150s", k->topic, k->brokers,
			 rc == -ENOENT ? "there is no such topic" : k->error.text);
	return rc;
}

/* Opening */

static const struct lade_pipe_map *client_of(const struct lade_pipe_config *config)
{
	if (config->source.kind == LADE_SOURCE_KAFKA)
		return &config->source.client;
	for (int i = 0; i < config->n_sinks; i++)
		if (config->sinks[i].kind == LADE_SINK_KAFKA)
			return &config->sinks[i].client;
	return &config->source.client;
}

static int ask_committed(struct of_kafka *k, struct lade_kafka_admin *admin)
{
	struct lade_kafka_offset *got = NULL;
	size_t n = 0;
	int rc = lade_kafka_group_offsets(admin, k->group, &got, &n, &k->error);

	for (size_t i = 0; rc == 0 && i < n; i++)
		if (strcmp(got[i].topic, k->topic) == 0 && got[i].partition < k->n_parts &&
		    got[i].offset > k->parts[got[i].partition].from)
			k->parts[got[i].partition].from = got[i].offset;
	lade_kafka_offsets_free(got);
	return rc;
}

/* What there is to read. */
static int ask(struct of_kafka *k, struct lade_kafka_admin *admin)
{
	struct lade_kafka_topic topic;
	struct lade_kafka_range range;
	int rc = lade_kafka_topic_get(admin, k->topic, &topic, &k->error);

	if (rc < 0)
		return rc;
	k->parts = calloc((size_t)topic.partitions, sizeof(*k->parts));
	if (!k->parts)
		return -ENOMEM;
	k->n_parts = topic.partitions;
	for (int32_t i = 0; rc == 0 && i < k->n_parts; i++) {
		rc = lade_kafka_topic_range(admin, k->topic, i, &range, &k->error);
		if (rc == 0) {
			k->parts[i].from = range.low;
			k->parts[i].end = range.high;
		}
	}
	return rc == 0 ? ask_committed(k, admin) : rc;
}

/* Whether all is read: what another member of the group has is waited for, until it has done it or
 * its session ends, and it is ours. */
static bool is_over(const struct of_kafka *k)
{
	for (int32_t i = 0; i < k->n_parts; i++)
		if (!k->parts[i].over)
			return false;
	return true;
}

static int join_group(struct lade_letters *l, struct of_kafka *k)
{
	char listing[300];
	struct lade_kafka_consumer_config config = {
		.brokers = k->brokers,
		.topics = &k->topic,
		.n_topics = 1,
		.group = k->group,
		.ends = true,
		.settings = k->settings,
		.n_settings = k->n_settings,
	};

	/* Who looks takes nothing from who replays. */
	if (!l->replaying) {
		snprintf(listing, sizeof(listing), "%s-list-%ld", k->group, (long)getpid());
		config.group = listing;
	}
	return lade_kafka_consumer_new(l->scope, &config, &k->consumer, &k->error);
}

static int kafka_open(struct lade_letters *l)
{
	struct of_kafka *k = calloc(1, sizeof(*k));
	struct lade_kafka_admin *admin;
	int rc;

	l->self = k;
	if (!k)
		return -ENOMEM;
	k->brokers = lade_pipe_dead_brokers(l->config);
	k->topic = l->config->errors.dead_topic;
	snprintf(k->group, sizeof(k->group), "%.200s-dlq", l->config->name);
	snprintf(l->name, sizeof(l->name), "%.150s at %.90s", k->topic, k->brokers);
	k->settings[0] = (struct lade_kafka_setting){ "session.timeout.ms", SESSION_MS };
	k->n_settings = lade_pipe_kafka_settings(client_of(l->config), k->settings + 1) + 1;
	rc = lade_kafka_admin_new(k->brokers, k->settings, k->n_settings, &admin, &k->error);
	if (rc < 0)
		return failed(l, rc);
	rc = ask(k, admin);
	lade_kafka_admin_free(admin);
	for (int32_t i = 0; rc == 0 && i < k->n_parts; i++)
		k->parts[i].over = k->parts[i].from >= k->parts[i].end;
	if (rc == 0 && !is_over(k))
		rc = join_group(l, k);
	return rc < 0 ? failed(l, rc) : 0;
}

/* Letters that are not done */

static struct entry *add_entry(struct part *p, int64_t offset, enum state state)
{
	if (p->n == p->room) {
		size_t room = p->room ? 2 * p->room : 64;
		struct entry *more = realloc(p->entries, room * sizeof(*more));

		if (!more)
			return NULL;
		p->entries = more;
		p->room = room;
	}
	p->entries[p->n] = (struct entry){ .offset = offset, .state = state };
	return &p->entries[p->n++];
}

static void drop_entries(struct of_kafka *k, struct part *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		k->kept_bytes -= p->entries[i].bytes;
		free(p->entries[i].copy);
	}
	if (n)
		memmove(p->entries, p->entries + n, (p->n - n) * sizeof(*p->entries));
	p->n -= n;
}

static int kafka_done(struct lade_letters *l, const struct lade_letter_ref *refs, size_t n)
{
	struct of_kafka *k = l->self;

	for (size_t i = 0; i < n; i++) {
		struct part *p = &k->parts[refs[i].part];

		for (size_t e = 0; e < p->n && p->entries[e].offset <= refs[i].id; e++)
			if (p->entries[e].offset == refs[i].id)
				p->entries[e].state = DONE;
	}
	return 0;
}

/* Appends bytes behind a record; NULL stays NULL. */
static const void *put(char **to, const void *bytes, size_t len)
{
	char *at = *to;

	if (!bytes)
		return NULL;
	memcpy(at, bytes, len);
	*to += len + 1;
	return at;
}

/* A record as a message is, in one block. */
static struct lade_kafka_record *copy_of(const struct of_kafka *k,
					 const struct lade_kafka_message *m, size_t *ret_bytes)
{
	struct lade_kafka_header all[HEADERS_MAX], *headers;
	struct lade_kafka_record *r;
	size_t n = 0, bytes = m->key_len + m->value_len + 4;
	char *to;

	while (n < HEADERS_MAX && lade_kafka_message_header(m, n, &all[n]) == 0) {
		bytes += strlen(all[n].name) + all[n].value_len + 4;
		n++;
	}
	bytes += sizeof(*r) + n * sizeof(*headers);
	r = calloc(1, bytes);
	if (!r)
		return NULL;
	headers = (struct lade_kafka_header *)(r + 1);
	to = (char *)(headers + n);
	*r = (struct lade_kafka_record){ .topic = k->topic, .partition = -1,
					 .timestamp_ms = m->timestamp_ms > 0 ? m->timestamp_ms : 0,
					 .key_len = m->key_len, .value_len = m->value_len,
					 .headers = headers, .n_headers = n };
	r->key = put(&to, m->key, m->key_len);
	r->value = put(&to, m->value, m->value_len);
	for (size_t i = 0; i < n; i++) {
		headers[i].name = put(&to, all[i].name, strlen(all[i].name));
		headers[i].value = put(&to, all[i].value, all[i].value_len);
		headers[i].value_len = all[i].value_len;
	}
	*ret_bytes = bytes;
	return r;
}

static int kafka_leave(struct lade_letters *l)
{
	struct of_kafka *k = l->self;
	struct part *p = &k->parts[lade_kafka_partition_number(k->message.partition)];
	struct entry *last = p->n ? &p->entries[p->n - 1] : NULL;

	if (!last || last->offset != k->message.offset)
		return 0;
	last->copy = copy_of(k, &k->message, &last->bytes);
	if (!last->copy)
		return -ENOMEM;
	last->state = LEFT;
	k->kept_bytes += last->bytes;
	if (k->kept_bytes <= KEPT_MAX)
		return 0;
	snprintf(l->why, sizeof(l->why), "more than %zu MiB of letters are to be left for later: "
		 "replay others of them first", KEPT_MAX >> 20);
	return -E2BIG;
}

/* How many letters in front are done or left, up to the last one that is done. */
static size_t finished(const struct part *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n && p->entries[i].state != GIVEN; i++)
		if (p->entries[i].state == DONE)
			n = i + 1;
	return n;
}

/* Writes what is left among these again. */
static int write_left(struct of_kafka *k, struct part *p, size_t n)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct entry *e = &p->entries[i];

		if (!e->copy)
			continue;
		if (!k->producer)
			rc = lade_kafka_producer_new(
				&(struct lade_kafka_producer_config){
					.brokers = k->brokers,
					.linger_ns = -1,
					.record_bytes_max = KEPT_MAX,
					.settings = k->settings,
					.n_settings = k->n_settings },
				&k->producer, &k->error);
		if (rc == 0)
			rc = lade_kafka_send(k->producer, e->copy, 1);
		if (rc < 0 && rc != -ECANCELED)
			snprintf(k->error.text, sizeof(k->error.text),
				 "a letter that is left could not be written again: %s",
				 lade_kafka_code_text(e->copy->code));
		if (rc == 0) {
			/* It is at the end now; who comes here again does not write it again. */
			free(e->copy);
			e->copy = NULL;
		}
	}
	return rc;
}

static int flush_part(struct lade_letters *l, struct of_kafka *k, struct part *p)
{
	size_t n = finished(p);
	struct lade_kafka_position at = { p->handle, n ? p->entries[n - 1].offset + 1 : 0 };
	int rc = n && p->handle ? write_left(k, p, n) : -ENOENT;

	if (rc == -ENOENT)
		return 0;
	if (rc == 0)
		rc = lade_kafka_commit(k->consumer, &at, 1, &k->error);
	/* A rebalance is in the way: later. Another has them: it reads them again. */
	if (rc == -EAGAIN || rc == -ESTALE)
		return 0;
	if (rc < 0)
		return failed(l, rc);
	if (p->n >= n && p->entries[n - 1].offset + 1 == at.offset)
		drop_entries(k, p, n);
	return 0;
}

static int kafka_flush(struct lade_letters *l)
{
	struct of_kafka *k = l->self;
	int rc = 0;

	for (int32_t i = 0; rc == 0 && i < k->n_parts; i++)
		rc = flush_part(l, k, &k->parts[i]);
	return rc;
}

/* Reading */

static int assigned(struct lade_letters *l, struct of_kafka *k, const struct lade_kafka_item *item)
{
	int rc;

	for (size_t i = 0; i < item->n_partitions; i++) {
		int32_t number = lade_kafka_partition_number(item->partitions[i]);

		if (number >= k->n_parts)
			continue;
		k->parts[number].handle = item->partitions[i];
		if (!l->replaying)
			lade_kafka_start_at(item->partitions[i], k->parts[number].from);
	}
	rc = lade_kafka_assign(k->consumer, &k->error);
	for (int32_t i = 0; rc == 0 && i < k->n_parts; i++) {
		struct part *p = &k->parts[i];
		int64_t start = p->handle ? lade_kafka_partition_start(p->handle) : -1;

		p->over = p->over || start >= p->end;
	}
	return rc;
}

static int released(struct lade_letters *l, struct of_kafka *k, const struct lade_kafka_item *item)
{
	int rc = item->kind == LADE_KAFKA_REVOKED ? kafka_flush(l) : 0;

	for (size_t i = 0; i < item->n_partitions; i++) {
		int32_t number = lade_kafka_partition_number(item->partitions[i]);

		if (number >= k->n_parts)
			continue;
		drop_entries(k, &k->parts[number], k->parts[number].n);
		k->parts[number].handle = NULL;
	}
	return rc < 0 ? rc : lade_kafka_release(k->consumer);
}

/* An item that is no message. */
static int take_event(struct lade_letters *l, struct of_kafka *k,
		      const struct lade_kafka_item *item)
{
	switch (item->kind) {
	case LADE_KAFKA_ASSIGNED:
		return assigned(l, k, item);
	case LADE_KAFKA_REVOKED:
	case LADE_KAFKA_LOST:
		return released(l, k, item);
	case LADE_KAFKA_END:
		k->parts[lade_kafka_partition_number(item->partitions[0])].over = true;
		return 0;
	case LADE_KAFKA_GAP:
		return lade_kafka_seek(item->partitions[0], LADE_KAFKA_OLDEST);
	case LADE_KAFKA_TROUBLE:
	case LADE_KAFKA_FAILED:
		k->error = *item->error;
		return -EIO;
	default:
		return 0;
	}
}

/* Where the pipeline's own headers begin; -1: it is no letter. */
static long own_headers(const struct lade_kafka_message *m, const char *pipeline)
{
	struct lade_kafka_header h;
	long at = -1;

	for (size_t i = 0; lade_kafka_message_header(m, i, &h) == 0; i++) {
		if (strcmp(h.name, "x-dl-pipeline") != 0)
			continue;
		at = h.value_len == strlen(pipeline) &&
				     memcmp(h.value, pipeline, h.value_len) == 0
			     ? (long)i
			     : -1;
	}
	return at;
}

static void copy_text(const struct lade_kafka_header *h, char *to, size_t room)
{
	snprintf(to, room, "%.*s", (int)h->value_len, h->value ? (const char *)h->value : "");
}

static int64_t number_of(const struct lade_kafka_header *h)
{
	char text[24];

	copy_text(h, text, sizeof(text));
	return strtoll(text, NULL, 10);
}

/* What a header of the pipeline's own says. */
static void read_own(const struct lade_kafka_header *h, struct lade_letter *letter)
{
	char time[LADE_TIMESTAMP_ROOM];

	if (strcmp(h->name, "x-dl-topic") == 0)
		copy_text(h, letter->topic, sizeof(letter->topic));
	else if (strcmp(h->name, "x-dl-partition") == 0)
		letter->part = number_of(h);
	else if (strcmp(h->name, "x-dl-offset") == 0)
		letter->offset = number_of(h);
	else if (strcmp(h->name, "x-dl-step") == 0)
		copy_text(h, letter->step, sizeof(letter->step));
	else if (strcmp(h->name, "x-dl-error") == 0)
		copy_text(h, letter->error, sizeof(letter->error));
	else if (strcmp(h->name, "x-dl-attempts") == 0)
		letter->attempts = number_of(h);
	else if (strcmp(h->name, "x-dl-first-failed-at-ms") == 0 &&
		 lade_timestamp_format(number_of(h) * 1000, time) > 0)
		snprintf(letter->first_failure, sizeof(letter->first_failure), "%.39s", time);
}

static void read_message(const struct lade_kafka_message *m, long own, struct lade_letter *letter)
{
	struct lade_kafka_header h;

	*letter = (struct lade_letter){ .key = m->key, .key_len = m->key_len,
					.value = m->value, .value_len = m->value_len };
	letter->ref.part = lade_kafka_partition_number(m->partition);
	letter->ref.id = m->offset;
	letter->timestamp_us = m->timestamp_ms >= 0 ? m->timestamp_ms * 1000 : INT64_MIN;
	for (long i = 0; lade_kafka_message_header(m, (size_t)i, &h) == 0; i++) {
		if (i >= own)
			read_own(&h, letter);
		else if (letter->n_headers < LADE_LETTER_HEADERS_MAX)
			letter->headers[letter->n_headers++] = (struct lade_pipe_header){
				.name = h.name, .bytes = h.value, .len = (uint32_t)h.value_len };
	}
}

/* A message.  Returns 1: it is a letter; 0: none; -ENOMEM. */
static int take(struct lade_letters *l, struct of_kafka *k, struct lade_letter *ret)
{
	const struct lade_kafka_message *m = &k->message;
	struct part *p = &k->parts[lade_kafka_partition_number(m->partition)];
	long own = own_headers(m, l->config->name);

	if (m->offset >= p->end - 1)
		p->over = true;
	if (m->offset >= p->end)
		return 0;
	if (l->replaying && !add_entry(p, m->offset, own < 0 ? DONE : GIVEN))
		return -ENOMEM;
	if (own < 0)
		return 0;
	read_message(m, own, ret);
	return 1;
}

static int kafka_next(struct lade_letters *l, struct lade_letter *ret)
{
	struct of_kafka *k = l->self;
	struct lade_kafka_item item;
	int rc = 0;

	lade_kafka_message_free(&k->message);
	while (rc == 0) {
		if (!k->consumer || is_over(k))
			return 0;
		rc = lade_within(lade_ns(QUIET_NS),
				 lade_kafka_next(k->consumer, &item));
		if (rc == -ETIME)
			snprintf(k->error.text, sizeof(k->error.text),
				 "nothing comes any more, and not all letters were read: does "
				 "another process replay them?");
		if (rc == 0 && item.kind == LADE_KAFKA_MESSAGE) {
			k->message = item.message;
			rc = take(l, k, ret);
			if (rc == 0)
				lade_kafka_message_free(&k->message);
		} else if (rc == 0) {
			/* An event that is half answered does not come again. */
			lade_shield(lade_ns(EVENT_NS))
				rc = take_event(l, k, &item);
		}
	}
	l->document = NULL;
	return rc < 0 ? failed(l, rc) : rc;
}

static void kafka_close(struct lade_letters *l)
{
	struct of_kafka *k = l->self;

	if (!k)
		return;
	lade_kafka_message_free(&k->message);
	for (int32_t i = 0; i < k->n_parts; i++) {
		drop_entries(k, &k->parts[i], k->parts[i].n);
		free(k->parts[i].entries);
	}
	lade_kafka_producer_free(k->producer);
	lade_kafka_consumer_free(k->consumer);
	free(k->parts);
	free(k);
}

const struct lade_letters_ops lade_letters_of_kafka = { .paired = true,
							.open = kafka_open,
							.next = kafka_next,
							.done = kafka_done,
							.flush = kafka_flush,
							.leave = kafka_leave,
							.close = kafka_close };
