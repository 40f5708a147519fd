/* SPDX-License-Identifier: MIT */
/* producer.c - records written many at a time, each with a verdict.
 *
 * DESIGN
 * The records of one call are a flight: a slot for each, which librdkafka hands back with the
 * record's fate, and one wait for all. Reports are taken whenever the queue rings, on the loop's
 * own stack, so that they go on coming while a transaction is committed on the pool, which waits
 * for them. A flight whose task has gone lives until its last report.
 *
 * librdkafka copies a record: a task that is cancelled need not wait until no broker could ask for
 * its memory any more.
 *
 * Records without a key stay on a partition for STICK_BYTES, then it is the next one's turn. Few of
 * them are one request, and many are spread: of an idempotent producer librdkafka has one request
 * under way for each partition, and while more than fits into it waits, its thread spins.
 *
 * LIMITS  TOPICS_MAX names of topics are remembered. */

#include "connectors/kafka/producer_priv.h"

#include "base/alloc.h"
#include "base/list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEADERS_MAX 256 /* of a record */
#define STICK_BYTES (64 << 10)

/* One record under way. */
struct slot {
	struct lade_kafka_flight *flight;
	int code;
	uint32_t turn; /* of the partitions, where it has no key */
	int64_t offset;
};

/* The records of one call. */
struct lade_kafka_flight {
	struct lade_kafka_producer *producer;
	struct lade_op op;
	size_t users; /* records under way, and the task */
	bool waiting; /* the task waits for the op */
	struct slot slots[];
};

/* A task that waits for room in the queue. */
struct room_wait {
	struct lade_op op;
	struct lade_link link; /* among the producer's */
};

static void flight_unref(struct lade_kafka_flight *f)
{
	if (--f->users == 0)
		lade_free(f);
}

/* Reports */

static void settle(const rd_kafka_message_t *m)
{
	struct slot *slot = m->_private;
	struct lade_kafka_flight *f = slot->flight;

	slot->code = (int)m->err;
	slot->offset = m->err ? -1 : m->offset;
	/* All but the task itself are done with it. */
	if (f->users == 2 && f->waiting) {
		f->waiting = false;
		lade_complete(&f->op, 0);
	}
	flight_unref(f);
}

static void let_in(struct lade_kafka_producer *p)
{
	struct lade_link *it;

	while ((it = lade_list_pop(&p->room_waits)))
		lade_complete(&LADE_CONTAINER(it, struct room_wait, link)->op, 0);
}

static void take_trouble(struct lade_kafka_producer *p, rd_kafka_event_t *event)
{
	int code = (int)rd_kafka_event_error(event);
	char text[256];

	if (rd_kafka_event_error_is_fatal(event) || code == RD_KAFKA_RESP_ERR__FATAL) {
		code = (int)rd_kafka_fatal_error(p->client.rk, text, sizeof(text));
		(void)lade_kafka_fail_as(&p->error,
					 lade_kafka_fault_of(code) == LADE_KAFKA_FENCED
						 ? LADE_KAFKA_FENCED
						 : LADE_KAFKA_FATAL,
					 code, "%.250s", text);
		p->useless = true;
		let_in(p);
	} else if (!p->useless) {
		(void)lade_kafka_fail(&p->error, code, "%.300s",
				      rd_kafka_event_error_string(event));
	}
}

static void serve(void *arg)
{
	struct lade_kafka_producer *p = arg;
	const rd_kafka_message_t *m;
	rd_kafka_event_t *event;

	atomic_store(&p->client.bell.rung, false);
	while (rd_kafka_queue_length(p->client.queue)) {
		event = rd_kafka_queue_poll(p->client.queue, 0);
		if (event && rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR) {
			while ((m = rd_kafka_event_message_next(event))) {
				if (!m->err && !p->useless)
					p->error.fault = LADE_KAFKA_NONE;
				settle(m);
			}
			let_in(p);
		} else if (event && rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR) {
			take_trouble(p, event);
		}
		if (event)
			rd_kafka_event_destroy(event);
	}
}

/* Topics */

static rd_kafka_topic_t *topic_of(struct lade_kafka_producer *p, const char *name)
{
	struct lade_kafka_known *known = &p->topics[p->last_topic];

	if (known->name && strcmp(known->name, name) == 0)
		return known->topic;
	for (unsigned i = 0; i < TOPICS_MAX; i++) {
		known = &p->topics[i];
		if (known->name && strcmp(known->name, name) == 0) {
			p->last_topic = i;
			return known->topic;
		}
	}
	p->last_topic = p->next_topic++ % TOPICS_MAX;
	known = &p->topics[p->last_topic];
	if (known->topic)
		rd_kafka_topic_destroy(known->topic); /* its records keep it */
	lade_free(known->name);
	known->topic = NULL;
	known->name = lade_malloc(strlen(name) + 1);
	if (!known->name)
		return NULL;
	strcpy(known->name, name);
	known->topic = rd_kafka_topic_new(p->client.rk, name, NULL);
	if (!known->topic) {
		lade_free(known->name);
		known->name = NULL;
	}
	return known->topic;
}

/* librdkafka's question for a partition, on any of its threads too. */
static int32_t choose_partition(const rd_kafka_topic_t *topic, const void *key, size_t key_len,
				int32_t n, void *topic_arg, void *record_arg)
{
	const struct slot *slot = record_arg;

	if (key)
		return rd_kafka_msg_partitioner_murmur2(topic, key, key_len, n, topic_arg,
							record_arg);
	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		int32_t partition = (int32_t)((slot->turn + i) % (uint32_t)n);

		if (rd_kafka_topic_partition_available(topic, partition))
			return partition;
	}
	return (int32_t)(slot->turn % (uint32_t)n);
}

static uint32_t take_turn(struct lade_kafka_producer *p, const struct lade_kafka_record *r)
{
	if (p->turn_bytes > STICK_BYTES) {
		p->turn++;
		p->turn_bytes = 0;
	}
	p->turn_bytes += r->value_len;
	return p->turn;
}

/* Sending */

/* A record with headers or a time of its own. */
static int produce_more(struct lade_kafka_producer *p, rd_kafka_topic_t *topic,
			const struct lade_kafka_record *r, struct slot *slot)
{
	rd_kafka_vu_t v[8 + HEADERS_MAX];
	size_t n = 0;
	rd_kafka_error_t *error;
	int code;

	v[n].vtype = RD_KAFKA_VTYPE_RKT;
	v[n++].u.rkt = topic;
	v[n].vtype = RD_KAFKA_VTYPE_PARTITION;
	v[n++].u.i32 = r->partition < 0 ? RD_KAFKA_PARTITION_UA : r->partition;
	v[n].vtype = RD_KAFKA_VTYPE_VALUE;
	v[n].u.mem.ptr = (void *)(uintptr_t)r->value;
	v[n++].u.mem.size = r->value_len;
	v[n].vtype = RD_KAFKA_VTYPE_KEY;
	v[n].u.mem.ptr = (void *)(uintptr_t)r->key;
	v[n++].u.mem.size = r->key_len;
	v[n].vtype = RD_KAFKA_VTYPE_OPAQUE;
	v[n++].u.ptr = slot;
	v[n].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
	v[n++].u.i = RD_KAFKA_MSG_F_COPY;
	v[n].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
	v[n++].u.i64 = r->timestamp_ms;
	for (size_t i = 0; i < r->n_headers; i++) {
		v[n].vtype = RD_KAFKA_VTYPE_HEADER;
		v[n].u.header.name = r->headers[i].name;
		v[n].u.header.val = r->headers[i].value;
		v[n++].u.header.size = (ssize_t)r->headers[i].value_len;
	}
	error = rd_kafka_produceva(p->client.rk, v, n);
	if (!error)
		return 0;
	code = (int)rd_kafka_error_code(error);
	rd_kafka_error_destroy(error);
	return code;
}

/* Hands a record to librdkafka: 0, or a code. */
static int produce(struct lade_kafka_producer *p, const struct lade_kafka_record *r,
		   struct slot *slot)
{
	rd_kafka_topic_t *topic = topic_of(p, r->topic);

	if (!topic)
		return RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;
	if (r->n_headers > HEADERS_MAX)
		return RD_KAFKA_RESP_ERR_INVALID_RECORD;
	if (r->n_headers || r->timestamp_ms)
		return produce_more(p, topic, r, slot);
	if (rd_kafka_produce(topic, r->partition < 0 ? RD_KAFKA_PARTITION_UA : r->partition,
			     RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t)r->value, r->value_len,
			     r->key, r->key_len, slot) == 0)
		return 0;
	return (int)rd_kafka_last_error();
}

static enum lade_abort_result leave_room(struct lade_op *op)
{
	lade_list_remove(&LADE_CONTAINER(op, struct room_wait, op)->link);
	return LADE_ABORTED;
}

/* Waits until some report has come. */
static int wait_for_room(struct lade_kafka_producer *p, const char *site)
{
	struct room_wait w = { .op = LADE_OP("room in a Kafka producer's queue") };

	lade_list_append(&p->room_waits, &w.link);
	return lade_park_at(&w.op, leave_room, site);
}

/* Sends one record, when there is room; < 0: cancelled. */
static int send_one(struct lade_kafka_producer *p, const struct lade_kafka_record *r,
		    struct slot *slot, const char *site)
{
	int rc;

	slot->flight->users++;
	slot->turn = r->key || r->partition >= 0 ? 0 : take_turn(p, r);
	while ((slot->code = produce(p, r, slot)) == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
		rc = wait_for_room(p, site);
		if (rc < 0) {
			slot->flight->users--;
			return rc;
		}
	}
	if (slot->code)
		slot->flight->users--;
	else
		slot->code = RD_KAFKA_RESP_ERR__IN_PROGRESS;
	return 0;
}

static enum lade_abort_result leave_flight(struct lade_op *op)
{
	LADE_CONTAINER(op, struct lade_kafka_flight, op)->waiting = false;
	return LADE_ABORTED;
}

static int wait_for_flight(struct lade_kafka_flight *f, const char *site)
{
	if (f->users == 1)
		return 0;
	f->op = (struct lade_op)LADE_OP("records to be written");
	f->waiting = true;
	return lade_park_at(&f->op, leave_flight, site);
}

/* In a transaction every failure means that it has to be aborted. */
static int verdict_of(const struct lade_kafka_producer *p, int code)
{
	enum lade_kafka_fault fault = lade_kafka_fault_of(code);

	if (code == RD_KAFKA_RESP_ERR__IN_PROGRESS)
		return -ECANCELED;
	if (code && p->useless)
		return lade_kafka_errno(p->error.fault);
	if (p->transactional &&
	    (fault == LADE_KAFKA_PASSING || code == RD_KAFKA_RESP_ERR__STATE))
		return -ECONNABORTED;
	return lade_kafka_errno(fault);
}

/* Writes down what is known; the first verdict that is not 0. */
static int note_verdicts(const struct lade_kafka_flight *f, struct lade_kafka_record *records,
			 size_t n)
{
	int first = 0;

	for (size_t i = 0; i < n; i++) {
		records[i].code = f->slots[i].code;
		records[i].offset = f->slots[i].offset;
		records[i].verdict = verdict_of(f->producer, f->slots[i].code);
		if (!first)
			first = records[i].verdict;
	}
	return first;
}

int lade_kafka_send_begin_at(struct lade_kafka_producer *producer,
			     struct lade_kafka_record *records, size_t n,
			     struct lade_kafka_flight **ret, const char *site)
{
	struct lade_kafka_flight *f = NULL;
	int rc = lade_cancelled() ? -ECANCELED : 0;

	if (rc == 0)
		f = lade_malloc(sizeof(*f) + n * sizeof(*f->slots));
	if (!f) {
		rc = rc < 0 ? rc : -ENOMEM;
		for (size_t i = 0; i < n; i++)
			records[i].verdict = rc;
		return rc;
	}
	f->producer = producer;
	f->users = 1;
	f->waiting = false;
	for (size_t i = 0; i < n; i++)
		f->slots[i] = (struct slot){ f, RD_KAFKA_RESP_ERR__IN_PROGRESS, 0, -1 };
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = send_one(producer, &records[i], &f->slots[i], site);
	if (rc < 0) {
		(void)note_verdicts(f, records, n);
		flight_unref(f);
		return rc;
	}
	*ret = f;
	return 0;
}

int lade_kafka_send_end_at(struct lade_kafka_flight *flight, struct lade_kafka_record *records,
			   size_t n, const char *site)
{
	int rc = wait_for_flight(flight, site), first = note_verdicts(flight, records, n);

	flight_unref(flight);
	return rc < 0 ? rc : first;
}

void lade_kafka_send_forget(struct lade_kafka_flight *flight)
{
	if (flight)
		flight_unref(flight);
}

int lade_kafka_send_at(struct lade_kafka_producer *producer, struct lade_kafka_record *records,
		       size_t n, const char *site)
{
	struct lade_kafka_flight *f;
	int rc = lade_kafka_send_begin_at(producer, records, n, &f, site);

	return rc < 0 ? rc : lade_kafka_send_end_at(f, records, n, site);
}

/* The producer itself */

static void producer_settings(struct lade_kafka_conf *conf,
			      const struct lade_kafka_producer_config *config)
{
	int64_t transaction_ms =
		(config->transaction_ns ? config->transaction_ns : lade_s(10).ns) / 1000000;
	int64_t linger_us = config->linger_ns < 0 ? 0
			    : config->linger_ns	  ? config->linger_ns / 1000
						  : 5000;
	size_t queue_bytes = config->queue_bytes ? config->queue_bytes : (size_t)32 << 20;
	size_t record_bytes = config->record_bytes_max ? config->record_bytes_max : (size_t)1 << 20;
	char linger[32];

	snprintf(linger, sizeof(linger), "%lld.%03d", (long long)(linger_us / 1000),
		 (int)(linger_us % 1000));
	lade_kafka_conf_set(conf, "enable.idempotence", "true");
	lade_kafka_conf_set(conf, "acks", "all");
	lade_kafka_conf_set(conf, "sticky.partitioning.linger.ms", "0"); /* else it chooses */
	lade_kafka_conf_set(conf, "linger.ms", linger);
	lade_kafka_conf_set_number(conf, "message.max.bytes", (int64_t)record_bytes);
	lade_kafka_conf_set_number(conf, "queue.buffering.max.kbytes",
				   (int64_t)(queue_bytes + 1023) / 1024);
	lade_kafka_conf_set(conf, "compression.codec",
			    config->compression ? config->compression : "none");
	if (config->transactional) {
		lade_kafka_conf_set(conf, "transactional.id", config->transactional);
		lade_kafka_conf_set_number(conf, "transaction.timeout.ms", transaction_ms);
	}
	lade_kafka_conf_set_number(conf, "message.timeout.ms",
				   config->transactional ? transaction_ms : 0);
	lade_kafka_conf_set_all(conf, false, config->settings, config->n_settings);
	if (conf->rc < 0)
		return;
	rd_kafka_conf_set_events(conf->conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
	/* It is there: message.timeout.ms is a topic's. */
	rd_kafka_topic_conf_set_partitioner_cb(rd_kafka_conf_get_default_topic_conf(conf->conf),
					       choose_partition);
}

static void producer_done(struct lade_kafka_producer *p, const char *site)
{
	for (unsigned i = 0; i < TOPICS_MAX; i++) {
		if (p->topics[i].topic)
			rd_kafka_topic_destroy(p->topics[i].topic);
		lade_free(p->topics[i].name);
	}
	lade_kafka_client_done(&p->client, site);
	lade_free(p);
}

int lade_kafka_producer_new_at(const struct lade_kafka_producer_config *config,
			       struct lade_kafka_producer **ret,
			       struct lade_kafka_error *ret_error, const char *site)
{
	struct lade_kafka_producer *p = lade_calloc(1, sizeof(*p));
	struct lade_kafka_conf conf;
	int rc;

	if (!p)
		return lade_kafka_fail_as(ret_error, LADE_KAFKA_MEMORY, 0, "memory is out");
	p->transactional = config->transactional;
	p->client.serve = serve;
	p->client.arg = p;
	p->turn = (uint32_t)(lade_now().mono_ns / 1000); /* others begin elsewhere */
	lade_list_init(&p->room_waits);
	lade_kafka_conf_open(&conf, config->brokers, config->client, ret_error);
	producer_settings(&conf, config);
	rc = lade_kafka_conf_make(&conf, RD_KAFKA_PRODUCER, &p->client.rk);
	if (rc == 0) {
		p->client.queue = rd_kafka_queue_get_main(p->client.rk);
		rc = lade_kafka_client_open(&p->client, site);
		if (rc < 0)
			(void)lade_kafka_fail_as(ret_error, LADE_KAFKA_OWN, 0,
						 "the loop cannot serve a producer: %s",
						 strerror(-rc));
	}
	if (rc < 0) {
		producer_done(p, site);
		return rc;
	}
	*ret = p;
	return 0;
}

const struct lade_kafka_error *lade_kafka_producer_error(
	const struct lade_kafka_producer *producer)
{
	return &producer->error;
}

struct lade_kafka_producer *lade_kafka_producer_free_at(struct lade_kafka_producer *producer,
							const char *site)
{
	struct lade_instant until;

	if (!producer)
		return NULL;
	/* What cancelled calls left behind comes back as purged, and frees their flights. */
	rd_kafka_purge(producer->client.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
						    RD_KAFKA_PURGE_F_NON_BLOCKING);
	until = lade_in(lade_s(2));
	while (rd_kafka_outq_len(producer->client.rk) > 0 && lade_now().mono_ns < until.mono_ns) {
		lade_kafka_rest(lade_ms(1), site);
		serve(producer);
	}
	producer_done(producer, site);
	return NULL;
}
