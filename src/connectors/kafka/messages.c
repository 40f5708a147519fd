/* SPDX-License-Identifier: MIT */
/* messages.c - a consumer as a stream of messages: it answers its events itself.
 *
 * DESIGN
 * Each message that goes out has a ticket, a place in its partition's ring. A message that is
 * finished marks its place; while the oldest place is marked, the offset that may be committed
 * moves on. A message that is freed and was never finished ends that for its partition: it is read
 * again by whoever has the partition next, and so is everything behind it.
 *
 * Commits come one after the other, so that one which librdkafka tries again cannot undo a later
 * one. */

#include "connectors/kafka/kafka_priv.h"

#include "base/alloc.h"

#include <errno.h>
#include <lade/scope.h>

#define TICKETS_MIN 256

/* Tickets */

static struct lade_kafka_ticket *ticket_at(const struct lade_kafka_partition *p, uint64_t ticket)
{
	return &p->tickets[ticket & (p->tickets_cap - 1)];
}

/* Makes the ring twice as large. */
static bool grow(struct lade_kafka_partition *p)
{
	struct lade_kafka_partition old = *p;

	p->tickets_cap = p->tickets_cap ? p->tickets_cap * 2 : TICKETS_MIN;
	p->tickets = lade_malloc(p->tickets_cap * sizeof(*p->tickets));
	if (!p->tickets) {
		p->tickets = old.tickets;
		p->tickets_cap = old.tickets_cap;
		return false;
	}
	for (uint64_t t = p->ticket_first; t < p->ticket_next; t++)
		*ticket_at(p, t) = *ticket_at(&old, t);
	lade_free(old.tickets);
	return true;
}

bool lade_kafka_ticket_room(struct lade_kafka_partition *p)
{
	uint64_t out = p->ticket_next - p->ticket_first;

	return p->stuck || out < p->tickets_cap || (out < TICKETS_MAX && grow(p));
}

uint64_t lade_kafka_ticket_new(struct lade_kafka_partition *p, int64_t offset)
{
	if (p->stuck)
		return 0;
	*ticket_at(p, p->ticket_next) = (struct lade_kafka_ticket){ .next_offset = offset + 1 };
	return p->ticket_next++;
}

/* A partition that had no room may have some again. */
static void look_again(struct lade_kafka_partition *p)
{
	lade_kafka_hold(p, p->held);
}

void lade_kafka_ticket_lost(struct lade_kafka_partition *p, uint64_t ticket)
{
	if (ticket < p->ticket_first || ticket >= p->ticket_next)
		return;
	p->stuck = true;
	look_again(p);
}

static void ticket_finish(struct lade_kafka_partition *p, uint64_t ticket)
{
	bool full = p->ticket_next - p->ticket_first == TICKETS_MAX;

	ticket_at(p, ticket)->finished = true;
	while (p->ticket_first < p->ticket_next && ticket_at(p, p->ticket_first)->finished)
		p->finished = ticket_at(p, p->ticket_first++)->next_offset;
	if (full)
		look_again(p);
}

void lade_kafka_message_finish(struct lade_kafka_message *message)
{
	if (!message->event)
		return;
	if (message->ticket)
		ticket_finish(message->partition, message->ticket);
	message->ticket = 0;
	lade_kafka_message_free(message);
}

/* Commits */

/* What is to be committed; the partitions are held. */
static size_t collect(struct lade_kafka_partition *const *list, size_t n,
		      struct lade_kafka_position *positions)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++) {
		struct lade_kafka_partition *p = list[i];

		if (p->state == PARTITION_NEW || p->finished <= p->committed)
			continue;
		p->refs++;
		positions[found++] = (struct lade_kafka_position){ p, p->finished };
	}
	return found;
}

int lade_kafka_commit_finished(struct lade_kafka_consumer *c,
			       struct lade_kafka_partition *const *list, size_t n, const char *site)
{
	struct lade_kafka_position *positions;
	size_t found;
	int rc = lade_sem_acquire_at(&c->commit_turn, 1, site);

	if (rc < 0)
		return rc;
	positions = lade_calloc(n + 1, sizeof(*positions));
	found = positions ? collect(list, n, positions) : 0;
	rc = positions ? 0 : -ENOMEM;
	if (found)
		rc = lade_kafka_commit_at(c, positions, found, NULL, site);
	for (size_t i = 0; i < found; i++) {
		if (rc == 0)
			positions[i].partition->committed = positions[i].offset;
		lade_kafka_partition_unref(positions[i].partition);
	}
	lade_free(positions);
	lade_sem_release(&c->commit_turn, 1);
	return rc;
}

/* The stream */

/* Answers the event that is open, if one is. */
static int answer(struct lade_kafka_consumer *c)
{
	struct lade_kafka_event *e = c->open;
	int rc = 0;

	if (!e)
		return 0;
	if (e->kind == LADE_KAFKA_ASSIGNED)
		return lade_kafka_assign(c, &c->error);
	if (e->kind == LADE_KAFKA_REVOKED)
		rc = lade_within(lade_s(5),
				 lade_kafka_commit_finished(c, e->partitions, e->n, LADE_SITE));
	/* A commit that fails delays nobody: what is not committed is read again. */
	if (rc == -ECANCELED)
		return rc;
	return lade_kafka_release(c);
}

/* What an item means to a stream: 1: a message; -EAGAIN: nothing, to be asked again. */
static int meaning(struct lade_kafka_consumer *c, const struct lade_kafka_item *item)
{
	switch (item->kind) {
	case LADE_KAFKA_MESSAGE:
		return 1;
	case LADE_KAFKA_GAP:
		(void)lade_kafka_fail_as(&c->error, LADE_KAFKA_OWN, 0,
					 "%s, partition %d: offset %lld lies outside the log",
					 item->partitions[0]->topic,
					 (int)item->partitions[0]->number,
					 (long long)item->offset);
		return -ERANGE;
	case LADE_KAFKA_FAILED:
		return c->failed;
	default:
		return -EAGAIN;
	}
}

static int messages_next(void *self, void *ret_item)
{
	struct lade_kafka_consumer *c = self;
	struct lade_kafka_item item;
	int rc;

	do {
		rc = answer(c);
		if (rc == 0)
			rc = lade_kafka_next(c, &item);
		if (rc == 0)
			rc = meaning(c, &item);
	} while (rc == -EAGAIN);
	if (rc == 1)
		*(struct lade_kafka_message *)ret_item = item.message;
	return rc;
}

static int messages_try_next(void *self, void *ret_item)
{
	struct lade_kafka_consumer *c = self;
	struct lade_kafka_item item;
	int rc = -EAGAIN;

	/* What is open is answered by the call that may wait. */
	while (rc == -EAGAIN && !c->open) {
		rc = lade_kafka_try_next(c, &item);
		if (rc < 0)
			return rc;
		rc = meaning(c, &item);
	}
	if (rc == 1)
		*(struct lade_kafka_message *)ret_item = item.message;
	return rc;
}

static void messages_close(void *self)
{
	struct lade_kafka_consumer *c = self;

	c->streams--;
}

struct lade_kafka_message_stream *lade_kafka_messages(struct lade_kafka_consumer *consumer)
{
	static const struct lade_source source = { messages_next, messages_try_next,
						   messages_close };

	consumer->tracked = true;
	consumer->streams++;
	return lade_kafka_message_stream_of(&source, consumer);
}
