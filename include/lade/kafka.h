/* SPDX-License-Identifier: MIT */
#ifndef LADE_KAFKA_H
#define LADE_KAFKA_H

/* kafka.h - consumers, producers, transactions and a little administration: librdkafka, driven by
 * the loop.
 *
 * A consumer gives items: messages, and events that somebody must answer. Nothing is committed
 * unless it is asked for, and nothing that is fetched is thrown away because its reader is slow. A
 * program that wants messages alone takes a stream of them, lade_kafka_messages.
 *
 * A producer takes records, many at a time, and gives each of them its own verdict.
 *
 * A consumer, a producer and all that comes from them belong to the loop on which they were made.
 * What blocks runs on the pool, what the brokers say comes by a descriptor; both go on while the
 * program's tasks wait for something else. There are no time-outs among the parameters: put
 * lade_within round a call. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lade/stream.h>
#include <lade/task.h>

LADE_API_BEGIN

struct lade_kafka_consumer;
struct lade_kafka_producer;
struct lade_kafka_admin;
struct lade_kafka_partition; /* of a topic, while it is a consumer's own: see ASSIGNED below */

/* Failures */

/* What kind of failure it is: whose fault, and so what is to be done. */
enum lade_kafka_fault {
	LADE_KAFKA_NONE,    /* 0: no failure */
	LADE_KAFKA_DATA,    /* a record's own fault: it fails alone, always (-EBADMSG) */
	LADE_KAFKA_PASSING, /* brokers away, too slow, too few: again later (-EAGAIN) */
	LADE_KAFKA_ABORT,   /* the transaction has failed: abort it, then again (-ECONNABORTED) */
	LADE_KAFKA_FENCED,  /* somebody else has this work now (-ESTALE) */
	LADE_KAFKA_OWN,	    /* rights, names, configuration: a person must act (-EACCES) */
	LADE_KAFKA_FATAL,   /* this consumer or producer is of no use any more (-EIO) */
	LADE_KAFKA_MEMORY,  /* memory is out (-ENOMEM) */
};

struct lade_kafka_error {
	enum lade_kafka_fault fault;
	int code;	/* librdkafka's or Kafka's, 0 if it was neither's */
	char text[320]; /* what happened */
};

/* lade_kafka_fault_name - "none", "data", "passing", "abort", "fenced", "own", "fatal", "memory".
 *
 * Returns a constant string.  Suspends: no.  Threads: any. */
const char *lade_kafka_fault_name(enum lade_kafka_fault fault);

/* lade_kafka_fault_of - the kind of failure that a code of Kafka or librdkafka stands for.
 *
 * Suspends: no.  Threads: any. */
enum lade_kafka_fault lade_kafka_fault_of(int code);

/* lade_kafka_code_text - what a code means, in words.
 *
 * Returns a constant string.  Suspends: no.  Threads: any. */
const char *lade_kafka_code_text(int code);

/* lade_kafka_code_remedy - what is wrong, and what to look at, in words for who runs a program.
 *
 * Returns a constant string; NULL: there is nothing to add to the text.
 * Suspends: no.  Threads: any. */
const char *lade_kafka_code_remedy(int code);

/* lade_kafka_version - the version of librdkafka, 0xMMmmrrpp.  Suspends: no.  Threads: any. */
int lade_kafka_version(void);

/* A setting that is handed on to librdkafka: its CONFIGURATION.md has the names. */
struct lade_kafka_setting {
	const char *name;
	const char *value;
};

/* lade_kafka_setting_check - may a program set this?  What a promise of this page rests on is
 * refused: how offsets are committed and reset, what is read, how partitions are shared out,
 * acknowledgements, idempotence, and what the other options say.
 *
 * @consumer: of a consumer; else of a producer.
 * Returns 0; -EPERM: it is not to be set, *ret_why says for what reason; -ENOENT: librdkafka does
 * not know the name; -EINVAL: it does not take the value.
 * Suspends: no.  Threads: any.  Owns: *ret_why is constant. */
int lade_kafka_setting_check(bool consumer, const struct lade_kafka_setting *setting,
			     const char **ret_why);

/* The consumer */

/* Where a partition begins of which the group has never committed an offset. */
enum lade_kafka_start {
	LADE_KAFKA_EARLIEST, /* with the oldest message that is there */
	LADE_KAFKA_LATEST    /* with the first one that comes after it was assigned */
};

/* Options; what is left out has its default. */
struct lade_kafka_consumer_config {
	const char *brokers;	       /* "host:port,…" to begin with */
	const char *const *topics;     /* names; one that begins with ^ is a regular expression */
	size_t n_topics;
	const char *group;	       /* the consumer group */
	const char *instance;	       /* of a static member, else NULL: it keeps its
					* partitions while it is away for less than a session */
	const char *client;	       /* client.id; NULL: "lade" */
	enum lade_kafka_start start;   /* used only where no offset was ever committed */
	size_t queue_bytes;	       /* of each partition that are fetched ahead; 0: 1 MiB; one
					* fetch more may come on top of it */
	bool ends;		       /* END is told when a partition was read to its end */
	const struct lade_kafka_setting *settings; /* for librdkafka */
	size_t n_settings;
};

/* A message: a handle on what librdkafka has fetched, nothing is copied. It keeps the whole answer
 * of the broker that it came in, so what waits longer than a second or so is better copied.
 * Copying the struct does not make another message. */
struct lade_kafka_message {
	struct lade_kafka_partition *partition; /* where it comes from */
	const void *value;			/* NULL: none, a tombstone */
	size_t value_len;
	const void *key;			/* NULL: none */
	size_t key_len;
	int64_t offset;
	int64_t timestamp_ms; /* since 1970; -1: none */
	uint64_t ticket;      /* the library's */
	const void *raw;      /* the library's */
	void *event;	      /* the library's; NULL: freed */
};

/* A header of a message or of a record. */
struct lade_kafka_header {
	const char *name;
	const void *value; /* NULL: none */
	size_t value_len;
};

enum lade_kafka_kind {
	LADE_KAFKA_MESSAGE,   /* .message, which is the caller's to free */
	LADE_KAFKA_ASSIGNED,  /* .partitions are new here; nothing of theirs comes before
			       * lade_kafka_assign answers the event */
	LADE_KAFKA_REVOKED,   /* .partitions go to another member, and nothing more of theirs comes;
			       * they are this one's, and may be committed, until
			       * lade_kafka_release answers the event */
	LADE_KAFKA_LOST,      /* .partitions may have been another's for a while: what is unfinished
			       * is to be dropped, commits fail; lade_kafka_release answers */
	LADE_KAFKA_GAP,	      /* .partitions[0] stands at .offset, which lies outside its log, and
			       * gives nothing more until lade_kafka_seek says where to go on;
			       * lade_kafka_consumer_range knows what there is */
	LADE_KAFKA_END,	      /* .partitions[0] was read to its end, .offset is the next one */
	LADE_KAFKA_TROUBLE,   /* .error: the brokers cannot be reached, or a topic not be read. It
			       * goes on trying; the same is not said twice before RECOVERED or
			       * ASSIGNED */
	LADE_KAFKA_RECOVERED, /* the brokers, which could not be reached, answer again */
	LADE_KAFKA_FAILED     /* .error: nothing more comes; FENCED: another has taken the name */
};

struct lade_kafka_item {
	enum lade_kafka_kind kind;
	struct lade_kafka_message message;
	struct lade_kafka_partition *const *partitions; /* valid until the event is answered, of GAP
							 * and END until the next call */
	size_t n_partitions;
	int64_t offset;
	const struct lade_kafka_error *error; /* valid until the next call */
};

/* How far a partition has been worked off. */
struct lade_kafka_position {
	struct lade_kafka_partition *partition;
	int64_t offset; /* of the next message to read, as Kafka counts */
};

/* lade_kafka_consumer_new - a consumer that joins its group.
 *
 * @scope is where its helper lives, a daemon task which asks the brokers what must be asked; the
 * consumer is freed before the scope ends. Brokers that are away are no failure: an item says so.
 * Returns 0 and *ret; -EINVAL: ret_error->text names the setting; -EOPNOTSUPP: the loop cannot
 * watch descriptors (a simulation); -ENOMEM.
 * Suspends: no.  Threads: inside a task only.  Owns: lade_kafka_consumer_free frees it. */
#define lade_kafka_consumer_new(...) lade_kafka_consumer_new_at(__VA_ARGS__, LADE_SITE)
int lade_kafka_consumer_new_at(struct lade_scope *scope,
			       const struct lade_kafka_consumer_config *config,
			       struct lade_kafka_consumer **ret,
			       struct lade_kafka_error *ret_error, const char *site);

/* lade_kafka_next - waits for a message or an event; one task at a time, another gets -EBUSY.
 *
 * After ASSIGNED, REVOKED or LOST the next such event waits until that one is answered; everything
 * else comes meanwhile. But librdkafka fetches nothing, of no partition, until the answer: it is
 * better given soon.
 * Returns 0 and *ret; -ECANCELED: nothing was taken; after FAILED -ESTALE or -EIO.
 * Suspends: yes; while messages are ready it only lets others run now and then.
 * Threads: inside a task only. */
#define lade_kafka_next(...) lade_kafka_next_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_next_at(struct lade_kafka_consumer *consumer,
				     struct lade_kafka_item *ret, const char *site);

/* lade_kafka_try_next - the same without waiting: -EAGAIN when nothing is there.
 *
 * Costs little when there is nothing, and no system call when there is something.
 * Suspends: no.  Threads: its loop's. */
int lade_kafka_try_next(struct lade_kafka_consumer *consumer, struct lade_kafka_item *ret);

/* lade_kafka_message_free - gives a message up; once for each; nothing if it is freed.
 *
 * Suspends: no.  Threads: its loop's; before its consumer is freed. */
void lade_kafka_message_free(struct lade_kafka_message *message);

/* lade_kafka_message_header - the @i-th header of a message, from 0.
 *
 * Returns 0 and *ret, which lives as long as the message; -ENOENT: it has no more.
 * Suspends: no.  Threads: its loop's. */
int lade_kafka_message_header(const struct lade_kafka_message *message, size_t i,
			      struct lade_kafka_header *ret);

/* lade_kafka_message_header_find - the last header of that name.
 *
 * Returns and suspends as lade_kafka_message_header does. */
int lade_kafka_message_header_find(const struct lade_kafka_message *message, const char *name,
				   struct lade_kafka_header *ret);

/* lade_kafka_partition_topic - the name of its topic.  Suspends: no.  Threads: its loop's.
 *
 * A partition, and its name, live until it was released and the last message of it was freed. */
const char *lade_kafka_partition_topic(const struct lade_kafka_partition *partition);

/* lade_kafka_partition_number - its number in its topic.  Suspends: no.  Threads: its loop's. */
int32_t lade_kafka_partition_number(const struct lade_kafka_partition *partition);

/* lade_kafka_partition_self - what lade_kafka_partition_set_self has kept; NULL at first.
 *
 * Suspends: no.  Threads: its loop's. */
void *lade_kafka_partition_self(const struct lade_kafka_partition *partition);

/* lade_kafka_partition_set_self - keeps a pointer of the user's.
 *
 * Suspends: no.  Threads: its loop's. */
void lade_kafka_partition_set_self(struct lade_kafka_partition *partition, void *self);

/* lade_kafka_partition_high - the end of its log as the last fetch told it: the offset of the next
 * message that is written; -1: not known yet.
 *
 * Suspends: no.  Threads: its loop's. */
int64_t lade_kafka_partition_high(const struct lade_kafka_partition *partition);

/* lade_kafka_start_at - in ASSIGNED: this partition begins at @offset, wherever the group's offset
 * is.  Suspends: no.  Threads: its loop's. */
void lade_kafka_start_at(struct lade_kafka_partition *partition, int64_t offset);

/* lade_kafka_partition_start - where it began: after lade_kafka_assign the offset that was given or
 * committed or, where there was none, that of the oldest message or of the next one; -1: no broker
 * has said within two seconds which that is.
 *
 * Suspends: no.  Threads: its loop's. */
int64_t lade_kafka_partition_start(const struct lade_kafka_partition *partition);

/* lade_kafka_partition_fresh - whether it begins by the policy, as no offset was ever committed.
 *
 * With LATEST the program does well to commit its start at once: else it begins with what is the
 * latest then, should it end before its first commit.  Suspends: no.  Threads: its loop's. */
bool lade_kafka_partition_fresh(const struct lade_kafka_partition *partition);

/* lade_kafka_assign - answers ASSIGNED: its partitions begin, where lade_kafka_start_at said, else
 * at the offset that the group has committed, else by the policy.
 *
 * The group's offsets are asked for as long as no broker answers.
 * Returns 0, also when the event has been overtaken by a loss, which comes as LOST;
 * -EINVAL: no ASSIGNED waits for its answer; -ECANCELED: it is not answered, and may be again;
 * else as the fault of @ret_error says.
 * Suspends: yes.  Threads: inside a task only. */
#define lade_kafka_assign(...) lade_kafka_assign_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_assign_at(struct lade_kafka_consumer *consumer,
				       struct lade_kafka_error *ret_error, const char *site);

/* lade_kafka_release - answers REVOKED or LOST: the partitions are the other's now.
 *
 * It is to come within max.poll.interval.ms (five minutes), or the member is expelled.
 * Returns 0; -EINVAL: no such event waits for its answer.
 * Suspends: no.  Threads: its loop's.  Owns: the partitions are gone, unless messages hold them. */
int lade_kafka_release(struct lade_kafka_consumer *consumer);

/* lade_kafka_hold - whether a partition is left unread: what is fetched stays, and no more than
 * queue_bytes is fetched.  Suspends: no.  Threads: its loop's. */
void lade_kafka_hold(struct lade_kafka_partition *partition, bool hold);

/* lade_kafka_seek - has a partition go on at another offset; what was fetched is thrown away.
 *
 * @offset is 0 or more, or LADE_KAFKA_OLDEST or LADE_KAFKA_NEWEST.
 * Returns 0; -EINVAL: it is not assigned any more; -EAGAIN: it is just being assigned.
 * Suspends: no.  Threads: its loop's. */
int lade_kafka_seek(struct lade_kafka_partition *partition, int64_t offset);

#define LADE_KAFKA_OLDEST INT64_C(-2) /* the oldest message that is there */
#define LADE_KAFKA_NEWEST INT64_C(-1) /* the next one that is written */

/* lade_kafka_pause - stops fetching a partition, throws away what was fetched, and fetches it again
 * when that ends: for minutes. For less lade_kafka_hold is better.
 *
 * Returns 0; -EINVAL: it is not assigned any more.  Suspends: no.  Threads: its loop's. */
int lade_kafka_pause(struct lade_kafka_partition *partition, bool pause);

/* lade_kafka_commit - has the group remember positions; several may be under way.
 *
 * Returns 0; -EAGAIN: a rebalance or the brokers were in the way, to be done again; -ESTALE: the
 * partitions are another's; -ECANCELED: it may yet happen, which a later commit makes good; else as
 * the fault of @ret_error says.
 * Suspends: yes.  Threads: inside a task only. */
#define lade_kafka_commit(...) lade_kafka_commit_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_commit_at(struct lade_kafka_consumer *consumer,
				       const struct lade_kafka_position *positions, size_t n,
				       struct lade_kafka_error *ret_error, const char *site);

/* lade_kafka_committed - what the group has committed of partitions; -1: nothing.
 *
 * @ret_offsets: one for each partition.
 * Returns 0; -ECANCELED; else as the fault of @ret_error says.
 * Suspends: yes; a cancel takes up to a second.  Threads: inside a task only. */
#define lade_kafka_committed(...) lade_kafka_committed_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_committed_at(struct lade_kafka_consumer *consumer,
					  struct lade_kafka_partition *const *partitions, size_t n,
					  int64_t *ret_offsets,
					  struct lade_kafka_error *ret_error, const char *site);

/* What there is of a partition: messages from @low to before @high. */
struct lade_kafka_range {
	int64_t low;
	int64_t high;
};

/* lade_kafka_consumer_range - asks the broker what there is of a partition.
 *
 * Returns and suspends as lade_kafka_committed does. */
#define lade_kafka_consumer_range(...) lade_kafka_consumer_range_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_consumer_range_at(struct lade_kafka_consumer *consumer,
					       const char *topic, int32_t partition,
					       struct lade_kafka_range *ret,
					       struct lade_kafka_error *ret_error,
					       const char *site);

/* lade_kafka_consumer_member - the name by which the group knows this member; "" before it has
 * joined.  Suspends: no.  Threads: its loop's.  Owns: valid until the next call. */
const char *lade_kafka_consumer_member(struct lade_kafka_consumer *consumer);

/* lade_kafka_consumer_free - leaves the group, so that others need not wait for its time-out, and
 * frees a consumer; all its messages are freed before; NULL is allowed.
 *
 * An event that waits for an answer is answered. Nothing is committed, but for what a stream of
 * messages has finished. It takes 20 s at most, and a librdkafka that hangs is left behind.
 * Returns NULL.  Suspends: yes, and is not cut short by a cancel.  Threads: inside a task only. */
#define lade_kafka_consumer_free(...) lade_kafka_consumer_free_at(__VA_ARGS__, LADE_SITE)
struct lade_kafka_consumer *lade_kafka_consumer_free_at(struct lade_kafka_consumer *consumer,
							const char *site);

LADE_STREAM_WITH(lade_kafka_message, struct lade_kafka_message, (.drop = lade_kafka_message_free))
struct lade_kafka_message_stream;

/* lade_kafka_messages - the messages of a consumer, at least once: nobody else calls
 * lade_kafka_next.
 *
 * A message that has been dealt with is given to lade_kafka_message_finish. Of each partition the
 * messages that are finished without a gap are committed: every second, when the partition goes to
 * another member, and when the consumer is freed. What was freed and not finished is read again by
 * whoever has the partition next; nothing behind it is committed. At most 65,536 messages of a
 * partition are out at a time; then it waits.
 * next fails with -ERANGE: a partition's position lies outside its log; or as after FAILED;
 * lade_kafka_consumer_error says more. Brokers that are away are waited for.
 * Returns NULL: no memory.  Suspends: no.  Threads: its loop's.  Owns: the stream is closed before
 * the consumer is freed. */
struct lade_kafka_message_stream *lade_kafka_messages(struct lade_kafka_consumer *consumer);

/* lade_kafka_message_finish - says that a message was dealt with, and frees it.
 *
 * Suspends: no.  Threads: its loop's. */
void lade_kafka_message_finish(struct lade_kafka_message *message);

/* lade_kafka_consumer_error - the latest trouble or failure; its fault is NONE when there is none.
 *
 * Suspends: no.  Threads: its loop's.  Owns: valid until the next call. */
const struct lade_kafka_error *lade_kafka_consumer_error(
	const struct lade_kafka_consumer *consumer);

/* The producer */

/* Options; what is left out has its default. */
struct lade_kafka_producer_config {
	const char *brokers;	   /* "host:port,…" to begin with */
	const char *client;	   /* client.id; NULL: "lade" */
	const char *transactional; /* transactional.id; NULL: no transactions */
	int64_t transaction_ns;	   /* a transaction that takes longer is aborted; 0: 10 s */
	int64_t linger_ns;	   /* how long records wait for company; 0: 5 ms; -1: not at all */
	const char *compression;   /* "none", "gzip", "snappy", "lz4", "zstd"; NULL: none */
	size_t record_bytes_max;   /* of a record; 0: 1 MiB */
	size_t queue_bytes;	   /* of records that are under way; 0: 32 MiB */
	const struct lade_kafka_setting *settings; /* for librdkafka */
	size_t n_settings;
};

/* A record to write. */
struct lade_kafka_record {
	const char *topic;
	int32_t partition;   /* -1: by the key as Java's clients do, without by turns of 64 KiB */
	const void *key;     /* NULL: none */
	size_t key_len;
	const void *value;   /* NULL: none, a tombstone */
	size_t value_len;
	int64_t timestamp_ms; /* since 1970; 0: now */
	const struct lade_kafka_header *headers;
	size_t n_headers;
	/* What lade_kafka_send says: */
	int verdict;	/* 0: all in-sync replicas have it; else as @code's fault says */
	int code;	/* librdkafka's or Kafka's */
	int64_t offset; /* where it is in its partition; -1: not known */
};

/* lade_kafka_producer_new - a producer. Its records are written once and in order however often it
 * has to try; it goes on trying until it is told otherwise, or the transaction's time is over.
 *
 * Returns 0 and *ret; -EINVAL: ret_error->text names the setting; -EOPNOTSUPP: the loop cannot
 * watch descriptors (a simulation); -ENOMEM.
 * Suspends: no.  Threads: inside a task only.  Owns: lade_kafka_producer_free frees it. */
#define lade_kafka_producer_new(...) lade_kafka_producer_new_at(__VA_ARGS__, LADE_SITE)
int lade_kafka_producer_new_at(const struct lade_kafka_producer_config *config,
			       struct lade_kafka_producer **ret,
			       struct lade_kafka_error *ret_error, const char *site);

/* lade_kafka_send - writes records, waits until the fate of each is known, and says it in the
 * record. Any number of tasks may send; the records of one call are written in their order to each
 * partition. What they point to is copied.
 *
 * Verdicts: 0; -EBADMSG: too large or refused, whoever sends it; -EAGAIN: not written, because of
 * the brokers; -EACCES: rights, or there is no such topic or partition; -ECONNABORTED: its
 * transaction has failed; -ESTALE: fenced; -EIO: the producer is of no use any more;
 * -ECANCELED: it may have been written, or may yet be; -ENOMEM.
 * Returns 0: all verdicts are 0; -ECANCELED; else the first verdict that is not 0.
 * Suspends: yes, also while queue_bytes are under way.  Threads: inside a task only. */
#define lade_kafka_send(...) lade_kafka_send_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_send_at(struct lade_kafka_producer *producer,
				     struct lade_kafka_record *records, size_t n,
				     const char *site);

/* Records of a call that are on their way. */
struct lade_kafka_flight;

/* lade_kafka_send_begin - the first half of lade_kafka_send: hands records over, and does not wait
 * for their fate. @records need not live on; they are given to lade_kafka_send_end again.
 *
 * Returns 0 and *ret; -ECANCELED, -ENOMEM: as lade_kafka_send, with verdicts.
 * Suspends: yes, while queue_bytes are under way.  Threads: inside a task only.  Owns:
 * lade_kafka_send_end or lade_kafka_send_forget frees it, before its producer is freed. */
#define lade_kafka_send_begin(...) lade_kafka_send_begin_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_send_begin_at(struct lade_kafka_producer *producer,
					   struct lade_kafka_record *records, size_t n,
					   struct lade_kafka_flight **ret, const char *site);

/* lade_kafka_send_end - the second half: waits, and says in the same @n records what came of them.
 *
 * Returns as lade_kafka_send does, and frees the flight whatever it returns.  Suspends: yes. */
#define lade_kafka_send_end(...) lade_kafka_send_end_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_send_end_at(struct lade_kafka_flight *flight,
					 struct lade_kafka_record *records, size_t n,
					 const char *site);

/* lade_kafka_send_forget - frees a flight whose fate nobody asks for; NULL is allowed. Its records
 * may be written.  Suspends: no. */
void lade_kafka_send_forget(struct lade_kafka_flight *flight);

/* lade_kafka_producer_error - the latest trouble with the brokers, or why the producer is of no use
 * any more; its fault is NONE when there is none.
 *
 * Suspends: no.  Threads: its loop's.  Owns: valid until the next call. */
const struct lade_kafka_error *lade_kafka_producer_error(
	const struct lade_kafka_producer *producer);

/* lade_kafka_producer_free - frees a producer; no call may be under way; NULL is allowed.
 *
 * What cancelled calls have left behind is given up; a transaction that is open is left to its
 * time-out. It takes 7 s at most: a librdkafka that hangs is left behind.
 * Returns NULL.  Suspends: yes, and is not cut short by a cancel.  Threads: inside a task only. */
#define lade_kafka_producer_free(...) lade_kafka_producer_free_at(__VA_ARGS__, LADE_SITE)
struct lade_kafka_producer *lade_kafka_producer_free_at(struct lade_kafka_producer *producer,
							const char *site);

/* Transactions: of a producer with a transactional id, one at a time, and one call of these at a
 * time. What passes is tried again inside. All of them
 *
 * return 0; -ECONNABORTED: lade_kafka_transaction_abort, then begin anew; -ESTALE: another producer
 * has the transactional id, or another member the partitions; -ECANCELED: the call may be made
 * again to learn its outcome; -EINVAL: out of order; else as the fault of @ret_error says.
 * They suspend, and a cancel takes effect when the call under way has ended, which transaction_ns
 * bounds.  Threads: inside a task only. */

/* lade_kafka_transaction_init - fences older producers of this transactional id and has what they
 * left open aborted; first of all, once. */
#define lade_kafka_transaction_init(...) lade_kafka_transaction_init_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_transaction_init_at(struct lade_kafka_producer *producer,
						 struct lade_kafka_error *ret_error,
						 const char *site);

/* lade_kafka_transaction_begin - begins a transaction: what is sent from now on belongs to it.
 *
 * Returns as said above.  Suspends: no.  Threads: its loop's. */
int lade_kafka_transaction_begin(struct lade_kafka_producer *producer,
				 struct lade_kafka_error *ret_error);

/* lade_kafka_transaction_offsets - has the transaction commit positions of a consumer's group.
 *
 * -ESTALE may also mean that the consumer is no member any more, or that the group has moved on;
 * then too the transaction is to be aborted. */
#define lade_kafka_transaction_offsets(...)                                                        \
	lade_kafka_transaction_offsets_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_transaction_offsets_at(struct lade_kafka_producer *producer,
						    struct lade_kafka_consumer *consumer,
						    const struct lade_kafka_position *positions,
						    size_t n, struct lade_kafka_error *ret_error,
						    const char *site);

/* lade_kafka_transaction_commit - ends the transaction: all of it is there at once. */
#define lade_kafka_transaction_commit(...) lade_kafka_transaction_commit_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_transaction_commit_at(struct lade_kafka_producer *producer,
						   struct lade_kafka_error *ret_error,
						   const char *site);

/* lade_kafka_transaction_abort - ends the transaction: nothing of it will be read. Records of it
 * that are under way fail. */
#define lade_kafka_transaction_abort(...) lade_kafka_transaction_abort_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_transaction_abort_at(struct lade_kafka_producer *producer,
						  struct lade_kafka_error *ret_error,
						  const char *site);

/* Administration: small questions and changes, one call at a time. Each call waits 10 s at most for
 * the brokers, then fails with -EAGAIN. All of them
 *
 * return 0; -ECANCELED: a change may have happened; else as the fault of @ret_error says.
 * They suspend, and a cancel takes up to a second.  Threads: inside a task only. */

/* lade_kafka_admin_new - what the calls below need.
 *
 * Returns and suspends as lade_kafka_producer_new does.  Owns: lade_kafka_admin_free frees it. */
int lade_kafka_admin_new(const char *brokers, const struct lade_kafka_setting *settings,
			 size_t n_settings, struct lade_kafka_admin **ret,
			 struct lade_kafka_error *ret_error);

/* lade_kafka_admin_free - frees it; NULL is allowed.  Returns NULL.
 *
 * Suspends: yes, and is not cut short by a cancel.  Threads: inside a task only. */
#define lade_kafka_admin_free(...) lade_kafka_admin_free_at(__VA_ARGS__, LADE_SITE)
struct lade_kafka_admin *lade_kafka_admin_free_at(struct lade_kafka_admin *admin,
						  const char *site);

/* What a topic is, and where. */
struct lade_kafka_topic {
	int32_t partitions; /* how many */
	char cluster[64];   /* the id of the cluster */
};

/* lade_kafka_topic_get - what a topic is; -ENOENT: there is none of that name. */
#define lade_kafka_topic_get(...) lade_kafka_topic_get_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_topic_get_at(struct lade_kafka_admin *admin, const char *name,
					  struct lade_kafka_topic *ret,
					  struct lade_kafka_error *ret_error, const char *site);

/* lade_kafka_topic_create - makes a topic and waits until it is known; -EEXIST.
 *
 * @replicas: -1: as many as the cluster's default. @settings are the topic's. */
#define lade_kafka_topic_create(...) lade_kafka_topic_create_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_topic_create_at(struct lade_kafka_admin *admin, const char *name,
					     int32_t partitions, int32_t replicas,
					     const struct lade_kafka_setting *settings,
					     size_t n_settings,
					     struct lade_kafka_error *ret_error,
					     const char *site);

/* lade_kafka_topic_grow - has a topic have so many partitions; -EINVAL: it has as many or more. */
#define lade_kafka_topic_grow(...) lade_kafka_topic_grow_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_topic_grow_at(struct lade_kafka_admin *admin, const char *name,
					   int32_t partitions, struct lade_kafka_error *ret_error,
					   const char *site);

/* lade_kafka_topic_delete - deletes a topic with all that is in it; -ENOENT. */
#define lade_kafka_topic_delete(...) lade_kafka_topic_delete_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_topic_delete_at(struct lade_kafka_admin *admin, const char *name,
					     struct lade_kafka_error *ret_error, const char *site);

/* lade_kafka_topic_trim - deletes the messages of a partition before @offset, as retention does. */
#define lade_kafka_topic_trim(...) lade_kafka_topic_trim_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_topic_trim_at(struct lade_kafka_admin *admin, const char *name,
					   int32_t partition, int64_t offset,
					   struct lade_kafka_error *ret_error, const char *site);

/* lade_kafka_topic_range - what there is of a partition; -ENOENT. */
#define lade_kafka_topic_range(...) lade_kafka_topic_range_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_topic_range_at(struct lade_kafka_admin *admin, const char *name,
					    int32_t partition, struct lade_kafka_range *ret,
					    struct lade_kafka_error *ret_error, const char *site);

/* lade_kafka_topic_since - the offset of the first message of a partition whose timestamp is
 * @timestamp_ms since 1970 or later; where there is none the end of the partition; -ENOENT. */
#define lade_kafka_topic_since(...) lade_kafka_topic_since_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_topic_since_at(struct lade_kafka_admin *admin, const char *name,
					    int32_t partition, int64_t timestamp_ms,
					    int64_t *ret_offset,
					    struct lade_kafka_error *ret_error, const char *site);

/* A partition that a member of a group has. */
struct lade_kafka_owner {
	char topic[256];
	int32_t partition;
	char client[128]; /* the member's client.id */
	char host[64];	  /* the address that it comes from, as the broker writes it */
};

/* What a group is. */
struct lade_kafka_group {
	char state[32];	 /* "Stable", "PreparingRebalance", "Empty" and so on, as Kafka says */
	size_t members;
	struct lade_kafka_owner *owned; /* what the members have, by topic and partition */
	size_t n_owned;
};

/* lade_kafka_group_get - what a group is, and who has what; of one that there is not the state is
 * "Dead" and there are no members.
 *
 * Owns: lade_kafka_group_done frees what *ret has. */
#define lade_kafka_group_get(...) lade_kafka_group_get_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_group_get_at(struct lade_kafka_admin *admin, const char *group,
					  struct lade_kafka_group *ret,
					  struct lade_kafka_error *ret_error, const char *site);

/* lade_kafka_group_done - frees what a group has; of zeros: nothing.
 *
 * Suspends: no.  Threads: any. */
void lade_kafka_group_done(struct lade_kafka_group *group);

/* What a group has committed of a partition. */
struct lade_kafka_offset {
	char topic[256];
	int32_t partition;
	int64_t offset; /* of the next message to read */
};

/* lade_kafka_group_offsets - all that a group has committed, by topic and partition; nothing where
 * there is no such group.
 *
 * Owns: the caller frees *ret with lade_kafka_offsets_free. */
#define lade_kafka_group_offsets(...) lade_kafka_group_offsets_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_group_offsets_at(struct lade_kafka_admin *admin, const char *group,
					      struct lade_kafka_offset **ret, size_t *ret_n,
					      struct lade_kafka_error *ret_error,
					      const char *site);

/* lade_kafka_offsets_free - frees what lade_kafka_group_offsets returned; NULL is allowed.
 *
 * Suspends: no.  Threads: any. */
void lade_kafka_offsets_free(struct lade_kafka_offset *offsets);

/* lade_kafka_group_set_offsets - has a group begin elsewhere; -EBUSY: it has members. */
#define lade_kafka_group_set_offsets(...) lade_kafka_group_set_offsets_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_kafka_group_set_offsets_at(struct lade_kafka_admin *admin,
						  const char *group,
						  const struct lade_kafka_offset *offsets,
						  size_t n, struct lade_kafka_error *ret_error,
						  const char *site);

LADE_API_END

#endif
