/* SPDX-License-Identifier: MIT */
/* consumer.c - messages and events of a consumer, taken one at a time.
 *
 * DESIGN
 * Each partition has a queue of its own, so that one which its user holds back stands still while
 * the others go on, and nothing is thrown away and fetched again. Partitions whose bell was rung
 * take turns of BURST_MAX messages. The length of a queue is asked for once in a turn: asking an
 * empty queue for a message costs a system call, asking for its length a lock.
 *
 * Everything that is no message comes by the consumer's own queue and becomes an event, also while
 * nobody takes any: that queue is read whenever it rings, and once a second, or librdkafka would
 * take the program for dead (max.poll.interval.ms).
 *
 * INVARIANT  at most one of ASSIGNED, REVOKED and LOST is open. A partition in state ACTIVE is
 * assigned in librdkafka, and its queue was put aside before it was. */

#include "connectors/kafka/kafka_priv.h"

#include "base/alloc.h"
#include "base/list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Events */

void lade_kafka_event_free(struct lade_kafka_event *event)
{
	if (!event)
		return;
	if (event->rebalance)
		rd_kafka_event_destroy(event->rebalance);
	if (event->one)
		lade_kafka_partition_unref(event->one);
	lade_free(event->partitions);
	lade_free(event);
}

static void wake(struct lade_kafka_consumer *c)
{
	struct lade_op *op = c->waiter;

	c->waiter = NULL;
	if (op)
		lade_complete(op, 0);
}

void lade_kafka_tell(struct lade_kafka_consumer *c, struct lade_kafka_event *event)
{
	lade_list_append(&c->events, &event->link);
	c->n_events++;
	wake(c);
}

static struct lade_kafka_event *event_new(struct lade_kafka_consumer *c, enum lade_kafka_kind kind)
{
	struct lade_kafka_event *event;

	/* What nobody takes for so long is told often enough. */
	if (c->n_events >= EVENTS_MAX)
		return NULL;
	event = lade_calloc(1, sizeof(*event));
	if (event)
		event->kind = kind;
	return event;
}

static uint32_t hash_of(const char *text)
{
	uint32_t h = 2166136261u;

	for (; text && *text; text++)
		h = (h ^ (uint8_t)*text) * 16777619u;
	return h;
}

/* Whether a trouble is new; then it is one no more. */
static bool is_news(struct lade_kafka_consumer *c, int code, const char *topic)
{
	uint32_t h = hash_of(topic);

	for (uint32_t i = 0; i < c->n_troubles; i++)
		if (c->troubles[i].code == code && c->troubles[i].topic == h)
			return false;
	if (c->n_troubles == TROUBLES_MAX)
		return false;
	c->troubles[c->n_troubles].code = code;
	c->troubles[c->n_troubles++].topic = h;
	return true;
}

void lade_kafka_trouble(struct lade_kafka_consumer *c, int code, const char *topic,
			const char *text)
{
	struct lade_kafka_event *event;

	(void)lade_kafka_fail(&c->error, code, "%.300s", text);
	if (!is_news(c, code, topic))
		return;
	event = event_new(c, LADE_KAFKA_TROUBLE);
	if (!event)
		return;
	event->error = c->error;
	lade_kafka_tell(c, event);
}

void lade_kafka_recovered(struct lade_kafka_consumer *c)
{
	struct lade_kafka_event *event;

	if (!c->down)
		return;
	c->down = false;
	c->n_troubles = 0;
	c->error = (struct lade_kafka_error){ .fault = LADE_KAFKA_NONE };
	event = event_new(c, LADE_KAFKA_RECOVERED);
	if (event)
		lade_kafka_tell(c, event);
}

static void fail_for_good(struct lade_kafka_consumer *c)
{
	struct lade_kafka_event *event;
	char text[256];
	rd_kafka_resp_err_t code = rd_kafka_fatal_error(c->client.rk, text, sizeof(text));

	if (!code || c->failed)
		return;
	c->failed = lade_kafka_fault_of((int)code) == LADE_KAFKA_FENCED ? -ESTALE : -EIO;
	(void)lade_kafka_fail_as(&c->error,
				 c->failed == -ESTALE ? LADE_KAFKA_FENCED : LADE_KAFKA_FATAL,
				 (int)code, "%.250s", text);
	event = event_new(c, LADE_KAFKA_FAILED);
	if (!event) {
		wake(c);
		return;
	}
	event->error = c->error;
	lade_kafka_tell(c, event);
}

/* A partition has come to its end, or stands outside its log. */
static void tell_of_partition(struct lade_kafka_consumer *c, struct lade_kafka_partition *p,
			      enum lade_kafka_kind kind, int64_t offset)
{
	struct lade_kafka_event *event = event_new(c, kind);

	if (!event)
		return;
	event->partitions = lade_malloc(sizeof(struct lade_kafka_partition *));
	if (!event->partitions) {
		lade_free(event);
		return;
	}
	p->refs++;
	event->partitions[0] = event->one = p;
	event->n = 1;
	event->offset = offset;
	lade_kafka_tell(c, event);
}

/* What librdkafka says of one partition, or of the topic of one. */
static void take_partition_error(struct lade_kafka_consumer *c, rd_kafka_event_t *event, int code)
{
	rd_kafka_topic_partition_t *at = rd_kafka_event_topic_partition(event);
	struct lade_kafka_partition *p = at ? lade_kafka_find(c, at->topic, at->partition) : NULL;

	if (code == RD_KAFKA_RESP_ERR__PARTITION_EOF ||
	    code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
		if (p && code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
			p->gap = true;
		if (p && p->state == PARTITION_ACTIVE)
			tell_of_partition(c, p,
					  code == RD_KAFKA_RESP_ERR__PARTITION_EOF
						  ? LADE_KAFKA_END
						  : LADE_KAFKA_GAP,
					  at->offset);
	} else {
		lade_kafka_trouble(c, code, at ? at->topic : NULL,
				   rd_kafka_event_error_string(event));
	}
	if (at)
		rd_kafka_topic_partition_destroy(at);
}

static void take_error(struct lade_kafka_consumer *c, rd_kafka_event_t *event)
{
	int code = (int)rd_kafka_event_error(event);
	char text[300];

	switch (code) {
	case RD_KAFKA_RESP_ERR__TRANSPORT:
	case RD_KAFKA_RESP_ERR__TIMED_OUT:
		/* One broker's connection: others may do, and this one be made again. */
		snprintf(c->last, sizeof(c->last), "%.159s", rd_kafka_event_error_string(event));
		return;
	case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
	case RD_KAFKA_RESP_ERR__RESOLVE:
		c->down = true;
		snprintf(text, sizeof(text), "%.120s%s%.159s", rd_kafka_event_error_string(event),
			 *c->last ? "; " : "", c->last);
		lade_kafka_trouble(c, code, NULL, text);
		lade_kafka_helper_wake(c);
		return;
	default:
		if (rd_kafka_event_error_is_fatal(event) || code == RD_KAFKA_RESP_ERR__FATAL)
			fail_for_good(c);
		else
			take_partition_error(c, event, code);
	}
}

/* Anything but a message; takes the event over. */
static void take_event(struct lade_kafka_consumer *c, rd_kafka_event_t *event)
{
	switch (rd_kafka_event_type(event)) {
	case RD_KAFKA_EVENT_REBALANCE:
		lade_kafka_recovered(c);
		lade_kafka_rebalance(c, event);
		return;
	case RD_KAFKA_EVENT_OFFSET_COMMIT:
		lade_kafka_commit_told(c, event);
		return;
	case RD_KAFKA_EVENT_ERROR:
		take_error(c, event);
		break;
	default:
		break;
	}
	rd_kafka_event_destroy(event);
}

void lade_kafka_serve_main(struct lade_kafka_consumer *c, bool poll)
{
	rd_kafka_event_t *event;

	atomic_store(&c->client.bell.rung, false);
	while (poll || rd_kafka_queue_length(c->client.queue)) {
		poll = false;
		event = rd_kafka_queue_poll(c->client.queue, 0);
		if (event)
			take_event(c, event);
	}
}

/* Messages */

/* Whether a partition may be read now. */
static inline bool readable(struct lade_kafka_partition *p)
{
	return p->state == PARTITION_ACTIVE && !p->held &&
	       (!p->consumer->tracked || lade_kafka_ticket_room(p));
}

/* Looks how much lies in a partition's queue; true: there is something. */
static bool look(struct lade_kafka_partition *p)
{
	size_t len, bytes;

	atomic_store(&p->bell.rung, false);
	len = rd_kafka_queue_length(p->queue);
	bytes = len * p->bytes_each;
	if (bytes >= p->consumer->queue_bytes / 4 * 3) {
		p->full = true;
	} else if (p->full && bytes < p->consumer->queue_bytes / 2) {
		p->full = false;
		lade_kafka_helper_kick(p);
	}
	if (!len)
		return false;
	/* It does not ring again before it was empty. */
	atomic_store(&p->bell.rung, true);
	/* A quarter at most, so as to see in time that it becomes empty. */
	p->left = len < 4 * BURST_MAX ? (uint32_t)(len + 3) / 4 : BURST_MAX;
	return true;
}

/* The next partition in turn that has something to give, or NULL. */
static struct lade_kafka_partition *pick(struct lade_kafka_consumer *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct lade_kafka_partition *p = c->list[c->at];

		c->at = c->at + 1 < c->n ? c->at + 1 : 0;
		if (readable(p) && atomic_load_explicit(&p->bell.rung, memory_order_acquire) &&
		    look(p))
			return p;
	}
	return NULL;
}

static void show_message(struct lade_kafka_consumer *c, struct lade_kafka_partition *p,
			 rd_kafka_event_t *event, struct lade_kafka_item *ret)
{
	const rd_kafka_message_t *m = rd_kafka_event_message_next(event);
	rd_kafka_timestamp_type_t type;

	ret->kind = LADE_KAFKA_MESSAGE;
	ret->message = (struct lade_kafka_message){
		.partition = p,
		.value = m->payload,
		.value_len = m->len,
		.key = m->key,
		.key_len = m->key_len,
		.offset = m->offset,
		.timestamp_ms = rd_kafka_message_timestamp(m, &type),
		.raw = m,
		.event = event,
	};
	if (c->tracked)
		ret->message.ticket = lade_kafka_ticket_new(p, m->offset);
	p->bytes_each = (uint32_t)(p->bytes_each * 15u + m->len + m->key_len + 15) / 16;
	p->refs++;
	if (__builtin_expect(c->down, 0))
		lade_kafka_recovered(c);
}

/* Takes a message, if one is ready. */
static int take_message(struct lade_kafka_consumer *c, struct lade_kafka_item *ret)
{
	struct lade_kafka_partition *p = c->current;
	rd_kafka_event_t *event;

	for (;;) {
		if (!p || !p->left || !readable(p)) {
			p = c->current = pick(c);
			if (!p)
				return -EAGAIN;
		}
		event = rd_kafka_queue_poll(p->queue, 0);
		p->left--;
		if (!event) {
			/* What lay there has become void, by a seek for instance. */
			p->left = 0;
			continue;
		}
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_FETCH) {
			show_message(c, p, event, ret);
			return 0;
		}
		take_event(c, event);
		if (!lade_list_empty(&c->events))
			return -EAGAIN;
	}
}

/* Whether an event may be taken now: one that wants an answer only after the one before. */
static struct lade_kafka_event *first_event(struct lade_kafka_consumer *c)
{
	for (struct lade_link *it = c->events.next; it != &c->events; it = it->next) {
		struct lade_kafka_event *e = LADE_CONTAINER(it, struct lade_kafka_event, link);

		if (!e->rebalance || !c->open)
			return e;
	}
	return NULL;
}

/* Takes an event, if one is there. */
static int take_waiting(struct lade_kafka_consumer *c, struct lade_kafka_item *ret)
{
	struct lade_kafka_event *e;

	for (;;) {
		e = first_event(c);
		if (!e)
			return -EAGAIN;
		lade_list_remove(&e->link);
		c->n_events--;
		if (!e->one || e->one->state == PARTITION_ACTIVE)
			break;
		/* The partition was taken back meanwhile. */
		lade_kafka_event_free(e);
	}
	ret->kind = e->kind;
	ret->partitions = e->partitions;
	ret->n_partitions = e->n;
	ret->offset = e->offset;
	ret->error = &e->error;
	if (e->rebalance)
		c->open = e;
	else
		c->shown = e;
	return 0;
}

int lade_kafka_try_next(struct lade_kafka_consumer *consumer, struct lade_kafka_item *ret)
{
	struct lade_kafka_consumer *c = consumer;
	int rc = -EAGAIN;

	if (c->shown) {
		lade_kafka_event_free(c->shown);
		c->shown = NULL;
	}
	if (atomic_load_explicit(&c->client.bell.rung, memory_order_acquire))
		lade_kafka_serve_main(c, false);
	/* Twice, as an event may come out of a partition's queue. */
	for (int i = 0; i < 2 && rc == -EAGAIN; i++) {
		if (c->n_events)
			rc = take_waiting(c, ret);
		if (rc == -EAGAIN && !c->failed)
			rc = take_message(c, ret);
	}
	return rc == -EAGAIN && c->failed ? c->failed : rc;
}

/* A task that waits for an item. */
struct waiting {
	struct lade_op op;
	struct lade_kafka_consumer *consumer;
};

static enum lade_abort_result forget(struct lade_op *op)
{
	LADE_CONTAINER(op, struct waiting, op)->consumer->waiter = NULL;
	return LADE_ABORTED;
}

static int wait_for_item(struct lade_kafka_consumer *c, const char *site)
{
	struct waiting w = { LADE_OP("a message of Kafka"), c };

	if (c->waiter)
		return -EBUSY;
	c->waiter = &w.op;
	return lade_park_at(&w.op, forget, site);
}

int lade_kafka_next_at(struct lade_kafka_consumer *consumer, struct lade_kafka_item *ret,
		       const char *site)
{
	int rc;

	if (lade_cancelled())
		return -ECANCELED;
	if (++consumer->in_row >= INLINE_MAX) {
		consumer->in_row = 0;
		rc = lade_yield_at(site);
		if (rc < 0)
			return rc;
	}
	while ((rc = lade_kafka_try_next(consumer, ret)) == -EAGAIN) {
		consumer->in_row = 0;
		rc = wait_for_item(consumer, site);
		if (rc < 0)
			return rc;
	}
	return rc;
}

void lade_kafka_message_free(struct lade_kafka_message *message)
{
	rd_kafka_event_t *event = message->event;

	if (!event)
		return;
	message->event = NULL;
	if (message->ticket)
		lade_kafka_ticket_lost(message->partition, message->ticket);
	rd_kafka_event_destroy(event);
	lade_kafka_partition_unref(message->partition);
}

int lade_kafka_message_header(const struct lade_kafka_message *message, size_t i,
			      struct lade_kafka_header *ret)
{
	rd_kafka_headers_t *headers;

	if (rd_kafka_message_headers(message->raw, &headers) ||
	    rd_kafka_header_get_all(headers, i, &ret->name, &ret->value, &ret->value_len))
		return -ENOENT;
	return 0;
}

int lade_kafka_message_header_find(const struct lade_kafka_message *message, const char *name,
				   struct lade_kafka_header *ret)
{
	rd_kafka_headers_t *headers;

	if (rd_kafka_message_headers(message->raw, &headers) ||
	    rd_kafka_header_get_last(headers, name, &ret->value, &ret->value_len))
		return -ENOENT;
	ret->name = name;
	return 0;
}

/* The consumer itself */

/* A bell was rung. */
static void serve(void *arg)
{
	struct lade_kafka_consumer *c = arg;

	if (atomic_load(&c->client.bell.rung))
		lade_kafka_serve_main(c, false);
	wake(c);
}

static void ticked(void *arg)
{
	struct lade_kafka_consumer *c = arg;

	lade_kafka_serve_main(c, true);
	if (c->down || c->tracked)
		lade_kafka_helper_wake(c);
}

static void consumer_settings(struct lade_kafka_conf *conf,
			      const struct lade_kafka_consumer_config *config, size_t queue_bytes)
{
	lade_kafka_conf_set(conf, "group.id", config->group);
	lade_kafka_conf_set(conf, "enable.auto.commit", "false");
	lade_kafka_conf_set(conf, "enable.auto.offset.store", "false");
	lade_kafka_conf_set(conf, "auto.offset.reset", "error");
	lade_kafka_conf_set(conf, "isolation.level", "read_committed");
	lade_kafka_conf_set(conf, "partition.assignment.strategy", "cooperative-sticky");
	lade_kafka_conf_set(conf, "heartbeat.interval.ms", "1000");
	lade_kafka_conf_set_number(conf, "queued.max.messages.kbytes",
				   (int64_t)(queue_bytes + 1023) / 1024);
	/* It counts compressed bytes: what comes out of it may be many times as much. A batch that
	 * is larger comes all the same. */
	lade_kafka_conf_set_number(conf, "fetch.message.max.bytes",
				   (int64_t)(queue_bytes < 8 << 14 ? 1 << 14 : queue_bytes / 8));
	/* A broker has one fetch under way. Made while the other queues are full it is for
	 * partitions that have nothing, and the full ones are empty long before it is answered. */
	lade_kafka_conf_set(conf, "fetch.wait.max.ms", "50");
	if (config->ends)
		lade_kafka_conf_set(conf, "enable.partition.eof", "true");
	if (config->instance)
		lade_kafka_conf_set(conf, "group.instance.id", config->instance);
	if (!lade_kafka_needs_kicks())
		lade_kafka_conf_set(conf, "fetch.queue.backoff.ms", "10");
	lade_kafka_conf_set_all(conf, true, config->settings, config->n_settings);
	if (conf->rc == 0)
		rd_kafka_conf_set_events(conf->conf, RD_KAFKA_EVENT_REBALANCE |
							     RD_KAFKA_EVENT_OFFSET_COMMIT |
							     RD_KAFKA_EVENT_ERROR);
}

static int subscribe(struct lade_kafka_consumer *c, const struct lade_kafka_consumer_config *config,
		     struct lade_kafka_error *error)
{
	rd_kafka_topic_partition_list_t *topics =
		rd_kafka_topic_partition_list_new((int)config->n_topics);
	rd_kafka_resp_err_t code;

	for (size_t i = 0; i < config->n_topics; i++)
		rd_kafka_topic_partition_list_add(topics, config->topics[i],
						  RD_KAFKA_PARTITION_UA);
	code = rd_kafka_subscribe(c->client.rk, topics);
	rd_kafka_topic_partition_list_destroy(topics);
	if (!code)
		return 0;
	(void)lade_kafka_fail_as(error, LADE_KAFKA_OWN, (int)code, "topics: %s",
				 rd_kafka_err2str(code));
	return -EINVAL;
}

static int make_handle(struct lade_kafka_consumer *c,
		       const struct lade_kafka_consumer_config *config,
		       struct lade_kafka_error *error)
{
	struct lade_kafka_conf conf;
	int rc;

	lade_kafka_conf_open(&conf, config->brokers, config->client, error);
	consumer_settings(&conf, config, c->queue_bytes);
	rc = lade_kafka_conf_make(&conf, RD_KAFKA_CONSUMER, &c->client.rk);
	if (rc < 0)
		return rc;
	rd_kafka_poll_set_consumer(c->client.rk);
	c->client.queue = rd_kafka_queue_get_consumer(c->client.rk);
	return 0;
}

/* Frees what a consumer that was never open, or is closed, still has. */
static void consumer_done(struct lade_kafka_consumer *c, const char *site)
{
	struct lade_link *it;

	while ((it = lade_list_pop(&c->events)))
		lade_kafka_event_free(LADE_CONTAINER(it, struct lade_kafka_event, link));
	lade_kafka_event_free(c->shown);
	lade_kafka_event_free(c->open);
	/* One that was fenced has nothing taken back. */
	while (c->n) {
		lade_kafka_let_go(c->list[--c->n]);
		lade_kafka_partition_unref(c->list[c->n]);
	}
	/* librdkafka before 2.3 asserts that a member of a cooperative group that has joined was
	 * also given something, if only nothing, before it is destroyed; and does not tell any more
	 * whether it had joined. */
	c->client.fragile = !c->in_group && lade_kafka_version() < 0x02030000;
	lade_kafka_client_done(&c->client, site);
	lade_free(c->list);
	if (c->member)
		rd_kafka_mem_free(NULL, c->member);
	lade_free(c);
}

int lade_kafka_consumer_new_at(struct lade_scope *scope,
			       const struct lade_kafka_consumer_config *config,
			       struct lade_kafka_consumer **ret,
			       struct lade_kafka_error *ret_error, const char *site)
{
	struct lade_kafka_consumer *c = lade_calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return lade_kafka_fail_as(ret_error, LADE_KAFKA_MEMORY, 0, "memory is out");
	c->start = config->start;
	c->queue_bytes = config->queue_bytes ? config->queue_bytes : (size_t)1 << 20;
	c->client.serve = serve;
	c->client.ticked = ticked;
	c->client.arg = c;
	lade_list_init(&c->events);
	lade_sem_init(&c->commit_turn, 1);
	rc = make_handle(c, config, ret_error);
	if (rc == 0) {
		rc = lade_kafka_client_open(&c->client, site);
		if (rc == 0)
			rc = lade_kafka_helper_open(c, scope, site);
		if (rc < 0)
			(void)lade_kafka_fail_as(ret_error, LADE_KAFKA_OWN, 0,
						 "the loop cannot serve a consumer: %s",
						 strerror(-rc));
	}
	if (rc == 0)
		rc = subscribe(c, config, ret_error);
	if (rc < 0) {
		lade_kafka_helper_close(c, site);
		consumer_done(c, site);
		return rc;
	}
	*ret = c;
	return 0;
}

const char *lade_kafka_consumer_member(struct lade_kafka_consumer *consumer)
{
	if (consumer->member)
		rd_kafka_mem_free(NULL, consumer->member);
	consumer->member = rd_kafka_memberid(consumer->client.rk);
	return consumer->member ? consumer->member : "";
}

const struct lade_kafka_error *lade_kafka_consumer_error(
	const struct lade_kafka_consumer *consumer)
{
	return &consumer->error;
}

/* Lets librdkafka come along, and answers what it asks. */
static void come_along(struct lade_kafka_consumer *c, const char *site)
{
	lade_kafka_rest(lade_ms(1), site);
	lade_kafka_serve_main(c, true);
	lade_kafka_answer_all(c);
}

static bool is_assigned(struct lade_kafka_consumer *c)
{
	rd_kafka_topic_partition_list_t *list = NULL;
	bool some = rd_kafka_assignment(c->client.rk, &list) == 0 && list->cnt > 0;

	if (list)
		rd_kafka_topic_partition_list_destroy(list);
	return some;
}

/* librdkafka 2.0.2 sends no LeaveGroup when it is closed with partitions of a cooperative group:
 * so they are given back first, and the others need not wait out a session. */
static void leave_group(struct lade_kafka_consumer *c, const char *site)
{
	struct lade_instant until = lade_in(lade_s(5));
	rd_kafka_error_t *error;

	c->closing = true;
	rd_kafka_unsubscribe(c->client.rk);
	lade_kafka_answer_all(c);
	do {
		come_along(c, site);
	} while (is_assigned(c) && lade_now().mono_ns < until.mono_ns);
	error = rd_kafka_consumer_close_queue(c->client.rk, c->client.queue);
	if (error) {
		rd_kafka_error_destroy(error);
		return;
	}
	until = lade_in(lade_s(5));
	while (!rd_kafka_consumer_closed(c->client.rk) && lade_now().mono_ns < until.mono_ns)
		come_along(c, site);
}

struct lade_kafka_consumer *lade_kafka_consumer_free_at(struct lade_kafka_consumer *consumer,
							const char *site)
{
	struct lade_instant until;

	if (!consumer)
		return NULL;
	until = lade_in(lade_s(2));
	/* An operator that was closed may still be pulling. */
	while (consumer->streams && lade_now().mono_ns < until.mono_ns)
		lade_kafka_rest(lade_ms(1), site);
	lade_kafka_helper_close(consumer, site);
	if (consumer->tracked)
		lade_shield (lade_s(3))
			(void)!lade_within(lade_s(3), lade_kafka_commit_finished(
							      consumer, consumer->list,
							      consumer->n, site));
	leave_group(consumer, site);
	consumer_done(consumer, site);
	return NULL;
}
