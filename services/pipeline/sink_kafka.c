/* SPDX-License-Identifier: MIT */
/* sink_kafka.c - messages, and dead letters, into a topic; exactly once in transactions.
 *
 * DESIGN
 * A write sends all its records at once and waits until all in-sync replicas have them; those that
 * a broker could not take for now are sent again, alone. A record that no broker will ever take is
 * its message's own fault. But a broker refuses all that came together for one of it, or because it
 * is too much together: so what was refused is tried in halves, until a record stands alone. In
 * transactions that takes others, which leave nothing. Where none is refused alone, less is sent at
 * a time from then on.
 *
 * Exactly once, all sinks and the dead letters share one producer and its transaction. The first of
 * them that writes begins it; the keeper writes last, adds the offsets of the source and commits.
 * When the transaction has failed all of them write again. There is one for each write of the
 * engine, which gathers what comes within 100 ms. With one sink a batch is sent when it is
 * gathered, so that the brokers have most of a transaction when its time has come.
 *
 * A transactional id belongs to one process. By default it has the host's name and a number for
 * which a lock is held, so that several processes of a pipeline do not fence one another and one
 * that is started again fences what it left behind. */

#include "services/pipeline/source_kafka.h"
#include "services/pipeline/phase.h"
#include "services/pipeline/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define SLOTS_MAX 256 /* processes of a pipeline on one host */
#define LETTER_HEADERS 10
#define HEADERS_MAX 256 /* of a record; a letter has those of its message that fit */
#define LINGER_NS 1000000 /* of records of a write, which come all at once */
#define BEGUN_LINGER_NS 20000000 /* of those that come batch by batch until the transaction ends */
#define BEGUN_MAX 64 /* batches that are sent before the write that has them; others wait for it */

/* The one transaction of all sinks, exactly once. */
struct lade_pipe_transaction {
	struct lade_kafka_producer *producer;
	char id[320];	/* the transactional id */
	int lock;	/* the file whose lock is the number in it; -1: it was given */
	int users;	/* outlets */
	bool begun;
};

/* The records of one write, and whose they are. */
struct records {
	struct lade_arena arena;
	struct lade_json_out values;	      /* all of them, one behind the other */
	struct lade_kafka_record *at;
	size_t *from;			      /* a value's place in them; SIZE_MAX: none */
	struct lade_pipe_batch **batch_of;
	uint32_t *index_of;
	uint32_t n;
	struct lade_kafka_flight *flight;     /* they are on their way; NULL: not begun */
	const struct lade_pipe_batch *batch;  /* which was begun */
};

struct to_kafka {
	struct lade_pipe_outlet *outlet;
	const char *topic;
	struct lade_kafka_producer *producer; /* its own, or the transaction's */
	struct lade_json_reader *reader;
	struct lade_pipe_ref key;
	bool has_key;			      /* else it is the one that the message came with */
	bool letters;			      /* it writes what was rejected */
	bool rejected;			      /* the present write has rejected a message */
	size_t together_max;		      /* bytes sent at a time; 0: any */
	struct records begun[BEGUN_MAX];      /* of batches that the next write will have */
	uint32_t n_begun;
	bool begin_failed;		      /* it will have to be aborted */
};

static bool is_transactional(const struct lade_pipe_engine *e)
{
	return e->config->delivery == LADE_EXACTLY_ONCE;
}

static const char *name_of(const struct to_kafka *k)
{
	return k->letters ? "dead letters" : "sink kafka";
}

/* Records */

/* The first @n headers of a message, and room for more. */
static int set_headers(struct records *r, const struct lade_pipe_message *m, uint32_t n,
		       struct lade_kafka_record *record, uint32_t more)
{
	struct lade_kafka_header *all;

	if (n + more == 0)
		return 0;
	all = lade_arena_alloc(&r->arena, (n + more) * sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		all[i] = (struct lade_kafka_header){ m->headers[i].name, m->headers[i].bytes,
						     m->headers[i].len };
	record->headers = all;
	record->n_headers = n;
	return 0;
}

static void set_key(struct lade_kafka_record *record, const struct lade_datum *key)
{
	if (key->type == LADE_ABSENT || key->type == LADE_NULL)
		return;
	record->key = key->text;
	record->key_len = key->len;
}

/* The key by its reference: text as it is, anything else as JSON. */
static int find_key(struct to_kafka *k, struct lade_pipe_batch *b, uint32_t i,
		    struct lade_kafka_record *record, struct lade_json_error *error)
{
	struct lade_pipe_message *m = &b->messages[i];
	struct lade_datum key = m->key;
	int rc = 0;

	if (k->has_key && (!m->tombstone || k->key.kind != LADE_REF_PATH))
		rc = lade_pipe_message_value(m, b->shape, &k->key, k->reader, &b->arena, &key,
					     error);
	if (rc == 0)
		set_key(record, &key);
	return rc;
}

/* Appends a message.  Returns 0; -EBADMSG with the reason; -ENOMEM. */
static int add_message(struct to_kafka *k, struct lade_pipe_batch *b, uint32_t i,
		       struct records *r, struct lade_json_error *error)
{
	const struct lade_pipe_message *m = &b->messages[i];
	struct lade_kafka_record *record = &r->at[r->n];
	size_t before = r->values.len;
	int rc;

	*record = (struct lade_kafka_record){
		.topic = k->topic,
		.partition = -1,
		.timestamp_ms = m->timestamp_us == INT64_MIN ? 0 : m->timestamp_us / 1000,
	};
	rc = find_key(k, b, i, record, error);
	if (rc == 0)
		rc = set_headers(r, m, m->n_headers, record, 0);
	r->from[r->n] = SIZE_MAX;
	if (rc == 0 && m->set && !m->tombstone) {
		rc = lade_pipe_message_write(m, b->shape, k->reader, &r->values, error);
		r->from[r->n] = before;
		record->value_len = r->values.len - before;
	} else if (!m->tombstone) {
		record->value = m->bytes;
		record->value_len = m->len;
	}
	if (rc < 0) {
		r->values.len = before;
		return rc;
	}
	r->batch_of[r->n] = b;
	r->index_of[r->n++] = i;
	return 0;
}

__attribute__((format(printf, 4, 5)))
static int add_header(struct records *r, struct lade_kafka_record *record, const char *name,
		      const char *format, ...)
{
	struct lade_kafka_header *h =
		(struct lade_kafka_header *)&record->headers[record->n_headers];
	char text[400];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (len >= (int)sizeof(text))
		len = sizeof(text) - 1;
	*h = (struct lade_kafka_header){ name, lade_arena_copy(&r->arena, text, (size_t)len),
					 (size_t)len };
	record->n_headers++;
	return h->value ? 0 : -ENOMEM;
}

/* A message as it came, and in headers where from and why. */
static int add_letter(struct to_kafka *k, struct lade_pipe_batch *b, uint32_t i,
		      const struct lade_pipe_message *m, const struct lade_pipe_fate *fate,
		      struct records *r)
{
	const struct lade_pipe_engine *e = k->outlet->engine;
	struct lade_kafka_record *record = &r->at[r->n];
	uint32_t n = m->n_headers;
	int rc;

	if (n > HEADERS_MAX - LETTER_HEADERS)
		n = HEADERS_MAX - LETTER_HEADERS;
	*record = (struct lade_kafka_record){
		.topic = k->topic,
		.partition = -1,
		.value = m->tombstone ? NULL : m->bytes,
		.value_len = m->tombstone ? 0 : m->len,
		.timestamp_ms = m->timestamp_us == INT64_MIN ? 0 : m->timestamp_us / 1000,
	};
	set_key(record, &m->key);
	rc = set_headers(r, m, n, record, LETTER_HEADERS);
	if (rc == 0)
		rc = add_header(r, record, "x-dl-pipeline", "%s", e->config->name);
	if (rc == 0 && m->lane) {
		rc = add_header(r, record, "x-dl-topic", "%s", m->lane->topic);
		if (rc == 0)
			rc = add_header(r, record, "x-dl-partition", "%" PRId64, m->lane->part);
		if (rc == 0)
			rc = add_header(r, record, "x-dl-offset", "%" PRId64, m->offset);
	}
	if (rc == 0)
		rc = add_header(r, record, "x-dl-step", "%s", fate->step);
	if (rc == 0)
		rc = add_header(r, record, "x-dl-error", "%s", fate->reason);
	if (rc == 0)
		rc = add_header(r, record, "x-dl-attempts", "%" PRIu32, fate->attempts);
	if (rc == 0)
		rc = add_header(r, record, "x-dl-first-failed-at-ms", "%" PRId64,
				fate->first_us / 1000);
	if (rc == 0 && n < m->n_headers)
		rc = add_header(r, record, "x-dl-headers-left-out", "%" PRIu32, m->n_headers - n);
	r->from[r->n] = SIZE_MAX;
	r->batch_of[r->n] = b;
	r->index_of[r->n++] = i;
	return rc;
}

static int add_letters(struct to_kafka *k, struct lade_pipe_batch *b, struct records *r)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < b->n_rejected; i++)
		rc = add_letter(k, b, i, &b->rejected[i], &b->rejected_fates[i], r);
	for (uint32_t i = 0; rc == 0 && i < b->n; i++)
		if (b->fates[i].verdict == LADE_VERDICT_REJECT)
			rc = add_letter(k, b, i, &b->messages[i], &b->fates[i], r);
	return rc;
}

/* A message that its topic does not take. Without dead letters nothing more may be written: the
 * offset would move past it.  Returns 0, or -EBADMSG. */
static int reject(struct to_kafka *k, struct lade_pipe_batch *b, uint32_t i, const char *reason)
{
	lade_pipe_reject(b, i, "sink", "%s: %s", k->topic, reason);
	k->rejected = true;
	return lade_pipe_has_letters(k->outlet->engine) ? 0 : -EBADMSG;
}

static int add_batch(struct to_kafka *k, struct lade_pipe_batch *b, struct records *r)
{
	struct lade_json_error error;
	int rc = 0;

	if (k->letters)
		return add_letters(k, b, r);
	for (uint32_t i = 0; rc == 0 && i < b->n; i++) {
		if (b->fates[i].verdict != LADE_VERDICT_OK &&
		    b->fates[i].verdict != LADE_VERDICT_PASS)
			continue;
		rc = add_message(k, b, i, r, &error);
		if (rc == -EBADMSG)
			rc = reject(k, b, i, error.reason);
	}
	return rc;
}

static int gather(struct to_kafka *k, struct lade_pipe_batch *const *batches, uint32_t n,
		  struct records *r)
{
	size_t room = 1;
	int rc = 0;

	for (uint32_t i = 0; i < n; i++)
		room += batches[i]->n + batches[i]->n_rejected;
	r->at = lade_arena_alloc(&r->arena, room * sizeof(*r->at));
	r->from = lade_arena_alloc(&r->arena, room * sizeof(*r->from));
	r->batch_of = lade_arena_alloc(&r->arena, room * sizeof(struct lade_pipe_batch *));
	r->index_of = lade_arena_alloc(&r->arena, room * sizeof(*r->index_of));
	if (!r->at || !r->from || !r->batch_of || !r->index_of)
		return -ENOMEM;
	for (uint32_t i = 0; rc == 0 && i < n; i++)
		rc = add_batch(k, batches[i], r);
	for (uint32_t i = 0; rc == 0 && i < r->n; i++)
		if (r->from[i] != SIZE_MAX)
			r->at[i].value = r->values.data + r->from[i];
	return rc == 0 ? r->values.status : rc;
}

/* Sending */

/* Looks at what became of the records; those to be sent again are put in front.
 * Returns 0, and their number; -EBADMSG; or the failure of all of them. */
static int sort_out(struct to_kafka *k, struct records *r, uint32_t *left)
{
	uint32_t kept = 0;
	char said[256];
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < r->n; i++) {
		int verdict = r->at[i].verdict;

		if (verdict == 0) {
			k->outlet->written++;
		} else if (verdict == -EBADMSG && !k->letters) {
			/* In a transaction it is found out first which of them it is. */
			rc = is_transactional(k->outlet->engine)
				     ? -ECONNABORTED
				     : reject(k, r->batch_of[i], r->index_of[i],
					      lade_kafka_code_text(r->at[i].code));
		} else if (verdict == -EAGAIN || verdict == -EACCES || verdict == -EBADMSG) {
			lade_pipe_trouble(k->outlet->engine, name_of(k), k->outlet->trouble, "%s",
					  lade_pipe_kafka_say(k->topic, r->at[i].code, NULL, said));
			r->batch_of[kept] = r->batch_of[i];
			r->index_of[kept] = r->index_of[i];
			r->at[kept++] = r->at[i];
		} else {
			rc = verdict;
		}
	}
	*left = kept;
	return rc;
}

/* The transaction */

static void records_done(struct records *r)
{
	lade_kafka_send_forget(r->flight);
	lade_json_out_done(&r->values);
	lade_arena_done(&r->arena);
	*r = (struct records){ 0 };
}

static void forget_begun(struct to_kafka *k)
{
	for (uint32_t i = 0; i < k->n_begun; i++)
		records_done(&k->begun[i]);
	k->n_begun = 0;
	k->begin_failed = false;
}

/* The producer is of no use any more, or no abort helps. The broker fences it also when a
 * transaction was open for longer than it may, as while the broker was away: what was not committed
 * then is gone, and whether the last commit was done the group's offsets say. So all begins anew.
 * Returns -EIO. */
static int producer_failed(struct lade_pipe_engine *e, const struct lade_kafka_error *why)
{
	e->anew = why->fault == LADE_KAFKA_FENCED || why->fault == LADE_KAFKA_FATAL ||
		  why->fault == LADE_KAFKA_PASSING || why->fault == LADE_KAFKA_ABORT;
	if (why->fault != LADE_KAFKA_FENCED)
		return lade_pipe_fail(e, LADE_EXIT_FAILED, "sink kafka: %s", why->text);
	return lade_pipe_fail(e, LADE_EXIT_FAILED,
			      "sink kafka: it may not write as \"%s\" any more: a transaction took "
			      "too long, or another process writes as that; then give each its own "
			      "sink: { kafka: { instance: NAME } }", e->transaction->id);
}

/* What its failure means.  Returns -ERESTART, -ESTALE, -ECANCELED, or -EIO with engine->why. */
static int transaction_failed(struct to_kafka *k, int rc, const struct lade_kafka_error *why)
{
	struct lade_pipe_engine *e = k->outlet->engine;
	struct lade_pipe_transaction *t = e->transaction;
	const struct lade_kafka_error *fatal = lade_kafka_producer_error(t->producer);
	struct lade_kafka_error error;
	bool moved_on = rc == -ESTALE && fatal->fault != LADE_KAFKA_FENCED &&
			fatal->fault != LADE_KAFKA_FATAL;
	int aborted;

	if (rc == -ECANCELED || rc == -EBADMSG || rc == -ENOMEM || e->failed)
		return rc;
	if (rc == -ESTALE && !moved_on)
		return producer_failed(e, fatal);
	if (rc != -ESTALE && rc != -ECONNABORTED && rc != -EAGAIN)
		return producer_failed(e, why ? why : fatal);
	aborted = lade_kafka_transaction_abort(t->producer, &error);
	if (aborted < 0)
		return aborted == -ECANCELED ? aborted : producer_failed(e, &error);
	t->begun = false;
	forget_begun(e->keeper->self); /* it is gone with the transaction, also what had arrived */
	e->stats.aborted++;
	if (rc != -ESTALE && why)
		lade_pipe_trouble(e, name_of(k), k->outlet->trouble, "%s", why->text);
	return rc == -ESTALE ? -ESTALE : -ERESTART;
}

static int begin(struct to_kafka *k)
{
	struct lade_pipe_transaction *t = k->outlet->engine->transaction;
	struct lade_kafka_error error;
	int rc;

	if (!is_transactional(k->outlet->engine) || t->begun)
		return 0;
	rc = lade_kafka_transaction_begin(t->producer, &error);
	if (rc < 0)
		return transaction_failed(k, rc, &error);
	t->begun = true;
	return 0;
}

/* What is refused */

/* Puts the records of @index that were refused in front.  Returns how many. */
static uint32_t keep_refused(const struct records *r, uint32_t *index, uint32_t n)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++)
		if (r->at[index[i]].verdict == -EBADMSG)
			index[kept++] = index[i];
	return kept;
}

/* Sends some of the records; in a transaction only to see, in one that is aborted.
 *
 * Returns 0, and they have their verdicts; < 0: as transaction_failed(). */
static int send_these(struct to_kafka *k, struct records *r, const uint32_t *index, uint32_t n)
{
	struct lade_kafka_record *some = lade_arena_alloc(&r->arena, n * sizeof(*some));
	bool trial = is_transactional(k->outlet->engine);
	int rc = some ? begin(k) : -ENOMEM;

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < n; i++)
		some[i] = r->at[index[i]];
	rc = lade_kafka_send(k->producer, some, n);
	for (uint32_t i = 0; i < n; i++)
		r->at[index[i]] = some[i];
	if (rc == -ECANCELED)
		return rc;
	rc = trial ? transaction_failed(k, -ECONNABORTED, NULL) : 0;
	return rc == -ERESTART ? 0 : rc;
}

/* Sends records that were refused together again: in halves, until one is alone. */
static int sift(struct to_kafka *k, struct records *r, uint32_t *index, uint32_t n)
{
	uint32_t half = n > 1 ? n / 2 : n;
	int rc = 0;

	for (uint32_t from = 0; rc == 0 && from < n; from += half, half = n - half) {
		rc = send_these(k, r, index + from, half);
		if (rc == 0 && half > 1) {
			uint32_t m = keep_refused(r, index + from, half);

			rc = m ? sift(k, r, index + from, m) : 0;
		}
	}
	return rc;
}

static size_t bytes_of(const struct lade_kafka_record *r)
{
	return r->key_len + r->value_len;
}

/* None of them is refused alone: less is to be sent at a time. */
static void send_less(struct to_kafka *k, const struct records *r, uint32_t from, uint32_t n)
{
	size_t bytes = 0;

	for (uint32_t i = from; i < from + n; i++)
		bytes += bytes_of(&r->at[i]);
	k->together_max = bytes / 2 + 1;
}

/* Finds out which of some records, of which some were refused, are refused alone: these keep that
 * verdict. What is left of a transaction is nothing.  Returns 0 or < 0. */
static int find_refused(struct to_kafka *k, struct records *r, uint32_t from, uint32_t n)
{
	uint32_t *index = lade_arena_alloc(&r->arena, n * sizeof(*index)), m;
	int rc = index ? 0 : -ENOMEM;

	for (uint32_t i = 0; rc == 0 && i < n; i++)
		index[i] = from + i;
	m = rc == 0 ? keep_refused(r, index, n) : 0;
	if (m < 2)
		return rc; /* it was alone, or there is none */
	rc = sift(k, r, index, m);
	if (rc == 0 && keep_refused(r, index, m) == 0)
		send_less(k, r, from, n);
	return rc;
}

/* In a transaction: it is given up, and what is refused alone is rejected.  Returns < 0. */
static int give_up_refused(struct to_kafka *k, struct records *r, uint32_t from, uint32_t n)
{
	int rc = transaction_failed(k, -ECONNABORTED, NULL), found;
	char said[256];

	if (rc != -ERESTART)
		return rc;
	found = find_refused(k, r, from, n);
	for (uint32_t i = from; found == 0 && i < from + n; i++) {
		if (r->at[i].verdict != -EBADMSG)
			continue;
		if (k->letters)
			lade_pipe_trouble(k->outlet->engine, name_of(k), k->outlet->trouble, "%s",
					  lade_pipe_kafka_say(k->topic, r->at[i].code, NULL, said));
		else
			found = reject(k, r->batch_of[i], r->index_of[i],
				       lade_kafka_code_text(r->at[i].code));
	}
	return found < 0 ? found : -ERESTART;
}

/* How many records from @from on are sent together. */
static uint32_t together(const struct to_kafka *k, const struct records *r, uint32_t from)
{
	size_t bytes = bytes_of(&r->at[from]);
	uint32_t n = 1;

	while (from + n < r->n && (!k->together_max || bytes < k->together_max)) {
		bytes += bytes_of(&r->at[from + n]);
		if (k->together_max && bytes > k->together_max)
			break;
		n++;
	}
	return n;
}

static bool any_refused(const struct records *r, uint32_t from, uint32_t n)
{
	for (uint32_t i = from; i < from + n; i++)
		if (r->at[i].verdict == -EBADMSG)
			return true;
	return false;
}

/* Sends all once.  Returns 0, and each has a verdict; < 0. */
static int send_once(struct to_kafka *k, struct records *r)
{
	int rc = 0;

	for (uint32_t from = 0, n; rc == 0 && from < r->n; from += n) {
		n = together(k, r, from);
		rc = lade_kafka_send(k->producer, r->at + from, n);
		if (rc == -ECANCELED)
			return rc;
		rc = 0;
		if (any_refused(r, from, n))
			rc = is_transactional(k->outlet->engine)
				     ? give_up_refused(k, r, from, n)
				     : find_refused(k, r, from, n);
	}
	return rc;
}

/* Sends until all have an answer that stays.  Returns 0; -EBADMSG; the transaction's failure. */
static int send_all(struct to_kafka *k, struct records *r)
{
	struct lade_pipe_engine *e = k->outlet->engine;

	for (uint32_t attempt = 1; r->n; attempt++) {
		int rc = send_once(k, r);

		if (rc == 0)
			rc = sort_out(k, r, &r->n);
		if (rc < 0)
			return rc;
		if (r->n == 0)
			break;
		if (is_transactional(e))
			return -ECONNABORTED; /* the order would be lost: all of it again */
		if (e->failed)
			return -EAGAIN;
		if (!k->outlet->trouble_since_ns)
			k->outlet->trouble_since_ns = lade_now().mono_ns;
		rc = lade_pipe_back_off(e, attempt);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* The offsets, and the end.  A lane that was lost meanwhile is not to be spoken for. */
static int commit(struct to_kafka *k, const struct lade_pipe_move *moves, uint32_t n)
{
	struct lade_pipe_engine *e = k->outlet->engine;
	struct lade_pipe_transaction *t = e->transaction;
	struct lade_kafka_position *at = calloc(n + 1, sizeof(*at));
	struct lade_kafka_error error = { 0 };
	int rc = at ? 0 : -ENOMEM;

	for (uint32_t i = 0; rc == 0 && i < n; i++) {
		at[i].partition = lade_pipe_kafka_partition(moves[i].lane);
		at[i].offset = moves[i].to;
		if (!at[i].partition || !moves[i].lane->assigned)
			rc = -ESTALE;
	}
	if (rc == 0)
		lade_pipe_phase(LADE_PHASE_OFFSETS);
	if (rc == 0)
		rc = lade_kafka_transaction_offsets(t->producer, lade_pipe_kafka_consumer(e), at, n,
						    &error);
	if (rc == 0)
		lade_pipe_phase(LADE_PHASE_COMMIT);
	if (rc == 0)
		rc = lade_kafka_transaction_commit(t->producer, &error);
	free(at);
	if (rc < 0)
		return transaction_failed(k, rc, &error);
	t->begun = false;
	return 0;
}

static int records_of(struct to_kafka *k, struct lade_pipe_batch *const *batches, uint32_t n,
		      struct records *ret)
{
	*ret = (struct records){ 0 };
	lade_arena_init(&ret->arena, 64 << 10, (size_t)1 << 32);
	lade_json_out_init(&ret->values, (size_t)1 << 30);
	return gather(k, batches, n, ret);
}

static int write_records(struct to_kafka *k, struct lade_pipe_batch *const *batches, uint32_t n)
{
	struct records r;
	int rc = records_of(k, batches, n, &r);

	if (rc == 0)
		rc = send_all(k, &r);
	records_done(&r);
	return rc;
}

/* Beginning */

static int kafka_begin(struct lade_pipe_outlet *outlet, struct lade_pipe_batch *batch)
{
	struct to_kafka *k = outlet->self;
	struct records *r = &k->begun[k->n_begun];
	int rc;

	if (k->begin_failed || k->n_begun == BEGUN_MAX || k->together_max)
		return 0;
	k->rejected = false;
	rc = begin(k);
	if (rc == 0) {
		k->n_begun++;
		rc = records_of(k, &batch, 1, r);
		r->batch = batch;
	}
	if (rc == 0)
		rc = lade_kafka_send_begin(k->producer, r->at, r->n, &r->flight);
	/* The write tries all of it again, and says what is wrong. */
	k->begin_failed = rc < 0 || k->rejected;
	return rc == -ECANCELED || outlet->engine->failed ? rc : 0;
}

/* What came of the batches that were begun, which are the first of @batches.
 *
 * Returns 0: they are written; < 0: none is. */
static int end_begun(struct to_kafka *k, struct lade_pipe_batch *const *batches, uint32_t n)
{
	int rc = k->begin_failed || k->n_begun > n ? -ECONNABORTED : 0;

	for (uint32_t i = 0; rc == 0 && i < k->n_begun; i++) {
		struct records *r = &k->begun[i];
		struct lade_kafka_flight *flight = r->flight;

		if (r->batch != batches[i]) {
			rc = -ECONNABORTED;
			break;
		}
		r->flight = NULL;
		rc = lade_kafka_send_end(flight, r->at, r->n);
		if (rc == -ECANCELED)
			break;
		rc = sort_out(k, r, &r->n);
		if (rc == 0 && (r->n || k->rejected))
			rc = -ECONNABORTED;
	}
	forget_begun(k);
	return rc;
}

static int kafka_give_up(struct lade_pipe_outlet *outlet)
{
	struct to_kafka *k = outlet->self;
	int rc;

	forget_begun(k);
	if (!is_transactional(outlet->engine) || !outlet->engine->transaction->begun)
		return 0;
	rc = transaction_failed(k, -ECONNABORTED, NULL);
	return rc == -ERESTART ? 0 : rc;
}

/* Producers */

static int open_failed(struct to_kafka *k, const char *what, const char *why)
{
	const struct lade_pipe_config *config = k->outlet->engine->config;
	const struct lade_yaml_node *node =
		k->outlet->config ? lade_pipe_sink_node(k->outlet, "kafka")
				  : lade_pipe_config_node(config, NULL, 0, "errors.dead_letter");

	return lade_pipe_fail_at(k->outlet->engine, LADE_EXIT_FAILED, node, 0, "%s: %.120s%s%s",
				 name_of(k), what, *what ? ": " : "", why);
}

static const char *brokers_of(const struct to_kafka *k)
{
	const struct lade_pipe_sink *c = k->outlet->config;

	return c && c->brokers ? c->brokers : lade_pipe_dead_brokers(k->outlet->engine->config);
}

static int new_producer(struct to_kafka *k, const char *brokers, const char *transactional,
			struct lade_kafka_producer **ret)
{
	const struct lade_pipe_source *source = &k->outlet->engine->config->source;
	const struct lade_pipe_sink *c = k->outlet->config;
	static const char *const codecs[] = { NULL, "gzip", "snappy", "lz4", "zstd" };
	struct lade_kafka_setting settings[LADE_PIPE_SETTINGS_MAX];
	struct lade_kafka_error error;
	struct lade_kafka_producer_config config = {
		.brokers = brokers,
		.transactional = transactional,
		.linger_ns = transactional ? BEGUN_LINGER_NS : LINGER_NS,
		.compression = c ? codecs[c->compression] : NULL,
		.record_bytes_max = (size_t)source->message_bytes_max * 2 + (64 << 10),
		.settings = settings,
		.n_settings = lade_pipe_kafka_settings(c ? &c->client : &source->client, settings),
	};
	int rc = lade_kafka_producer_new(&config, ret, &error);

	return rc < 0 ? open_failed(k, brokers, error.text) : 0;
}

/* Without transactions: one that the brokers take nothing from any more is made anew, and what it
 * was given is sent again.  Returns -EAGAIN, or what it was. */
static int renew_producer(struct to_kafka *k, int rc)
{
	const struct lade_kafka_error *why = lade_kafka_producer_error(k->producer);

	if ((rc != -EIO && rc != -ESTALE) ||
	    (why->fault != LADE_KAFKA_FATAL && why->fault != LADE_KAFKA_FENCED))
		return rc;
	lade_pipe_trouble(k->outlet->engine, name_of(k), k->outlet->trouble,
			  "%.200s; the producer is made anew", why->text);
	k->producer = lade_kafka_producer_free(k->producer);
	rc = new_producer(k, brokers_of(k), NULL, &k->producer);
	return rc < 0 ? rc : -EAGAIN;
}

/* Writing */

static int kafka_write(struct lade_pipe_outlet *outlet, struct lade_pipe_batch *const *batches,
		       uint32_t n, const struct lade_pipe_move *moves, uint32_t n_moves)
{
	struct to_kafka *k = outlet->self;
	uint32_t begun;
	int rc = begin(k);

	if (rc < 0)
		return rc;
	k->rejected = false;
	begun = k->n_begun;
	rc = end_begun(k, batches, n);
	if (rc == 0 && begun < n)
		rc = write_records(k, batches + begun, n - begun);
	/* Its dead letter is to be in the transaction, and was not among those that are. */
	if (rc == 0 && k->rejected && outlet == outlet->engine->keeper)
		rc = -ECONNABORTED;
	if (rc == -ERESTART)
		return rc; /* it is given up already */
	if (rc < 0)
		return is_transactional(outlet->engine) ? transaction_failed(k, rc, NULL)
							: renew_producer(k, rc);
	if (outlet != outlet->engine->keeper)
		return 0;
	/* Sending waits: a lane may have gone meanwhile, and even have come back. */
	for (uint32_t i = 0; i < n; i++)
		if (lade_pipe_batch_is_late(batches[i]))
			return transaction_failed(k, -ESTALE, NULL);
	rc = commit(k, moves, n_moves);
	return rc;
}

/* The group has the offsets; who was before is fenced by the transactional id. */
static int kafka_claim(struct lade_pipe_outlet *outlet, struct lade_pipe_lane *lane)
{
	(void)outlet;
	lane->stored = (struct lade_pipe_stored){ 0 };
	return 0;
}

/* Opening */

/* A number for this process among those of this user on this host, whose locks lie beside the
 * sockets.  Returns it, and the lock; or -errno. */
static int take_slot(const char *pipeline, int *ret_lock)
{
	char folder[LADE_SOCKET_ROOM];
	char path[LADE_SOCKET_ROOM + 128];
	int rc = lade_pipe_socket_folder(folder);

	if (rc == 0)
		rc = lade_pipe_socket_make_folder(folder);
	if (rc < 0)
		return rc;
	for (int slot = 1; slot <= SLOTS_MAX; slot++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%.100s-%d.slot", folder, pipeline, slot);
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
			*ret_lock = fd;
			return slot;
		}
		close(fd);
	}
	return -EAGAIN;
}

static int name_transaction(struct to_kafka *k, struct lade_pipe_transaction *t)
{
	const struct lade_pipe_config *config = k->outlet->engine->config;
	const char *instance = k->outlet->config->instance;
	char host[65] = "host";
	int slot;

	t->lock = -1;
	if (instance) {
		snprintf(t->id, sizeof(t->id), "%.64s-%.100s-%.100s", config->name,
			 config->source.group, instance);
		return 0;
	}
	(void)gethostname(host, sizeof(host) - 1);
	slot = take_slot(config->name, &t->lock);
	if (slot < 0)
		return open_failed(k, "a lock for the number of this process", strerror(-slot));
	snprintf(t->id, sizeof(t->id), "%.64s-%.100s-%.64s-%d", config->name, config->source.group,
		 host, slot);
	return 0;
}

static int join_transaction(struct to_kafka *k, const char *brokers)
{
	struct lade_pipe_engine *e = k->outlet->engine;
	struct lade_pipe_transaction *t = e->transaction;
	struct lade_kafka_error error;
	int rc = 0;

	if (!t) {
		t = calloc(1, sizeof(*t));
		if (!t)
			return -ENOMEM;
		e->transaction = t;
		rc = name_transaction(k, t);
		if (rc == 0)
			rc = new_producer(k, brokers, t->id, &t->producer);
		if (rc == 0)
			rc = lade_kafka_transaction_init(t->producer, &error);
		if (rc < 0 && rc != -ECANCELED && !e->failed)
			rc = open_failed(k, brokers, error.text);
	}
	t->users++;
	k->producer = t->producer;
	return rc;
}

/* The topic must be there: one that appears at the first message has settings that nobody chose. */
static int look_at_topic(struct to_kafka *k, const char *brokers)
{
	const struct lade_pipe_sink *c = k->outlet->config;
	struct lade_pipe_engine *e = k->outlet->engine;
	struct lade_kafka_setting settings[LADE_PIPE_SETTINGS_MAX];
	struct lade_kafka_admin *admin;
	struct lade_kafka_topic topic;
	struct lade_kafka_error error;
	const struct lade_pipe_map *map = c ? &c->client : &e->config->source.client;
	size_t n = lade_pipe_kafka_settings(map, settings);
	char said[256];
	int rc = lade_kafka_admin_new(brokers, settings, n, &admin, &error);

	if (rc < 0)
		return open_failed(k, brokers, error.text);
	for (uint32_t attempt = 1;; attempt++) {
		rc = lade_kafka_topic_get(admin, k->topic, &topic, &error);
		if (rc != -EAGAIN || e->probing)
			break;
		lade_pipe_trouble(e, name_of(k), k->outlet->trouble, "%s",
				  lade_pipe_kafka_say(brokers, error.code, error.text, said));
		rc = lade_stopping() ? -ECANCELED : lade_pipe_back_off(e, attempt);
		if (rc < 0)
			break;
	}
	lade_kafka_admin_free(admin);
	if (rc == -ENOENT)
		return open_failed(k, k->topic, "there is no such topic; create it first");
	return rc < 0 && rc != -ECANCELED
		       ? open_failed(k, "",
				     lade_pipe_kafka_say(brokers, error.code, error.text, said))
		       : rc;
}

static int open_key(struct to_kafka *k, struct lade_pipe_shape *shape)
{
	const char *text = k->outlet->config->message_key;
	struct lade_json_error error;
	int rc = lade_pipe_shape_ask(shape, text, strlen(text), &k->key, &error);

	k->has_key = true;
	return rc < 0 ? open_failed(k, "key", error.reason) : 0;
}

static int kafka_open(struct lade_pipe_outlet *outlet, struct lade_pipe_shape *shape)
{
	const struct lade_pipe_config *config = outlet->engine->config;
	const struct lade_pipe_sink *c = outlet->config;
	struct to_kafka *k = calloc(1, sizeof(*k));
	const char *brokers;
	int rc;

	if (!k)
		return -ENOMEM;
	outlet->self = k;
	k->outlet = outlet;
	k->letters = !c;
	brokers = brokers_of(k);
	k->topic = c ? c->topic : config->errors.dead_topic;
	rc = lade_json_reader_new(&k->reader);
	if (rc == 0 && c && c->message_key)
		rc = open_key(k, shape);
	if (rc == 0)
		rc = look_at_topic(k, brokers);
	if (rc < 0 || outlet->engine->probing)
		return rc;
	return is_transactional(outlet->engine) ? join_transaction(k, brokers)
						: new_producer(k, brokers, NULL, &k->producer);
}

static void leave_transaction(struct lade_pipe_engine *e)
{
	struct lade_pipe_transaction *t = e->transaction;

	if (!t || --t->users)
		return;
	lade_kafka_producer_free(t->producer);
	if (t->lock >= 0)
		close(t->lock);
	free(t);
	e->transaction = NULL;
}

static void kafka_close(struct lade_pipe_outlet *outlet)
{
	struct to_kafka *k = outlet->self;

	if (!k)
		return;
	forget_begun(k);
	if (!is_transactional(outlet->engine))
		lade_kafka_producer_free(k->producer);
	else
		leave_transaction(outlet->engine);
	lade_json_reader_free(k->reader);
	free(k);
	outlet->self = NULL;
}

const struct lade_pipe_sink_ops lade_pipe_to_kafka = { .open = kafka_open, .claim = kafka_claim,
						       .write = kafka_write,
						       .begin = kafka_begin,
						       .give_up = kafka_give_up,
						       .close = kafka_close };
