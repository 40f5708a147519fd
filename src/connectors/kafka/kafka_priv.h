/* SPDX-License-Identifier: MIT */
#ifndef LADE_KAFKA_PRIV_H
#define LADE_KAFKA_PRIV_H

/* kafka_priv.h - what consumers, producers and administration share. */

#include <lade/event.h>
#include <lade/io.h>
#include <lade/kafka.h>
#include <lade/watch.h>

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

#define CALL_MS 1000	     /* what one call of librdkafka's that blocks may take */
#define NAP_NS 50000000	     /* between two of them, when the first has failed at once */
#define DESTROY_S 5	     /* what freeing a handle may take */
#define EVENTS_MAX 256	     /* events of a consumer that wait to be taken */
#define BURST_MAX 256	     /* messages of a partition before it is the next one's turn */
#define INLINE_MAX 64	     /* messages in a row before others run */
#define TICKETS_MAX 65536    /* messages of a stream and partition that are out */
#define TROUBLES_MAX 8	     /* troubles remembered, so as not to say them twice */

/* Errors (error.c) */

/* lade_kafka_errno - the -errno of a kind of failure. */
int lade_kafka_errno(enum lade_kafka_fault fault);

/* lade_kafka_fail - fills in an error, which may be NULL; the -errno of its kind. */
__attribute__((format(printf, 3, 4))) int lade_kafka_fail(struct lade_kafka_error *error, int code,
							  const char *format, ...);

/* lade_kafka_fail_as - the same for a failure whose kind is known otherwise. */
__attribute__((format(printf, 4, 5))) int lade_kafka_fail_as(struct lade_kafka_error *error,
							     enum lade_kafka_fault fault, int code,
							     const char *format, ...);

/* lade_kafka_fail_with - the same of an error object of librdkafka's, which is freed. */
int lade_kafka_fail_with(struct lade_kafka_error *error, rd_kafka_error_t *from, const char *what);

/* Settings (settings.c) */

/* A configuration that is being made. The first failure is kept. */
struct lade_kafka_conf {
	rd_kafka_conf_t *conf;		/* NULL: given away */
	struct lade_kafka_error *error; /* where a failure is said */
	int rc;				/* the first failure */
};

/* lade_kafka_conf_open - a configuration with what every handle has. */
void lade_kafka_conf_open(struct lade_kafka_conf *c, const char *brokers, const char *client,
			  struct lade_kafka_error *error);

/* lade_kafka_conf_set - sets something of our own. */
void lade_kafka_conf_set(struct lade_kafka_conf *c, const char *name, const char *value);

/* lade_kafka_conf_set_number - the same for a number. */
void lade_kafka_conf_set_number(struct lade_kafka_conf *c, const char *name, int64_t value);

/* lade_kafka_conf_set_all - sets what the program asks for; refuses what it may not. */
void lade_kafka_conf_set_all(struct lade_kafka_conf *c, bool consumer,
			     const struct lade_kafka_setting *settings, size_t n);

/* lade_kafka_conf_make - makes the handle, unless something failed.
 *
 * Returns 0 and *ret, or the first failure. The configuration is gone in any case. */
int lade_kafka_conf_make(struct lade_kafka_conf *c, rd_kafka_type_t type, rd_kafka_t **ret);

/* The handle and its bell (client.c) */

/* Says of one queue that something was put into it while it was empty. */
struct lade_kafka_bell {
	struct lade_kafka_client *client;
	atomic_bool rung; /* set by librdkafka's threads, taken back on the loop */
};

/* A handle of librdkafka's on a loop. */
struct lade_kafka_client {
	rd_kafka_t *rk;
	int fd;			     /* an eventfd, rung by the bells */
	atomic_bool told;	     /* it was rung, and not read since */
	struct lade_watch *watch;    /* on fd */
	struct lade_alarm tick;	     /* once a second */
	void (*serve)(void *arg);    /* a bell was rung */
	void (*ticked)(void *arg);   /* a second has passed; or NULL */
	void *arg;		     /* handed to both */
	rd_kafka_queue_t *queue;     /* the main queue, or the consumer's */
	bool fragile;		     /* to destroy it would end the process: it is left behind */
	struct lade_kafka_bell bell; /* of queue */
};

/* lade_kafka_client_open - rings and ticks for a handle whose queue is set. */
int lade_kafka_client_open(struct lade_kafka_client *client, const char *site);

/* lade_kafka_client_quiet - no more callbacks; suspends: no. */
void lade_kafka_client_quiet(struct lade_kafka_client *client);

/* lade_kafka_client_done - frees the handle on the pool; not cut short by a cancel. */
void lade_kafka_client_done(struct lade_kafka_client *client, const char *site);

/* lade_kafka_bell_hang - has a queue ring its bell. */
void lade_kafka_bell_hang(struct lade_kafka_bell *bell, struct lade_kafka_client *client,
			  rd_kafka_queue_t *queue);

/* lade_kafka_rest - waits a moment, whatever is asked of the task: for what gives back. */
void lade_kafka_rest(struct lade_duration moment, const char *site);

/* A call on the pool that a cancel ends between two calls of librdkafka's. */
struct lade_kafka_job {
	int (*run)(struct lade_kafka_job *job); /* 0, -errno, or 1: once more, after a nap */
	struct lade_kafka_error *error;		/* where it says why; not NULL */
	atomic_bool stopped;			/* by a cancel */
};

/* lade_kafka_run - runs a job until it says something else than 1. */
lade_suspends int lade_kafka_run(struct lade_kafka_job *job, const char *what, const char *site);

/* The consumer (consumer.c and its neighbours) */

enum partition_state {
	PARTITION_NEW,	  /* in ASSIGNED */
	PARTITION_ACTIVE, /* is read */
	PARTITION_ENDING, /* in REVOKED or LOST */
	PARTITION_GONE	  /* released; messages hold it */
};

/* What a stream knows of a message that is out. */
struct lade_kafka_ticket {
	int64_t next_offset; /* of the one behind it */
	bool finished;
};

struct lade_kafka_partition {
	struct lade_kafka_consumer *consumer;
	void *self;		     /* the user's */
	rd_kafka_queue_t *queue;     /* NULL: gone */
	struct lade_kafka_bell bell; /* of queue */
	uint32_t left;		     /* messages to take before the queue is looked at again */
	uint32_t refs;		     /* the consumer's, and one of each message */
	enum partition_state state;
	bool held;		     /* by the user */
	bool given;		     /* start was given by the user */
	bool fresh;		     /* it began by the policy */
	bool gap;		     /* librdkafka has stopped it, outside its log */
	bool full;		     /* it was seen nearly full, and not half empty since */
	int32_t number;
	int64_t start;
	uint32_t bytes_each;	     /* what a message weighs, roughly */
	struct lade_kafka_ticket *tickets; /* a ring, of a stream's messages that are out */
	uint32_t tickets_cap;	     /* a power of two, TICKETS_MAX at most */
	bool stuck;		     /* one was freed unfinished: no commit any more */
	uint64_t ticket_first;	     /* the oldest one that is not finished, or next; from 1 */
	uint64_t ticket_next;
	int64_t finished;	     /* a stream: the offset up to which all is finished */
	int64_t committed;	     /* a stream: the offset that was committed last; -1: none */
	size_t listed;		     /* its place in the consumer's list */
	char topic[];
};

/* An event that waits to be taken, or to be answered. */
struct lade_kafka_event {
	struct lade_link link;
	enum lade_kafka_kind kind;
	rd_kafka_event_t *rebalance; /* of ASSIGNED, REVOKED, LOST */
	struct lade_kafka_partition **partitions;
	size_t n;
	struct lade_kafka_partition *one; /* of GAP and END, with a reference */
	int64_t offset;
	struct lade_kafka_error error; /* of TROUBLE and FAILED */
};

struct lade_kafka_consumer {
	struct lade_kafka_client client;
	enum lade_kafka_start start;
	size_t queue_bytes;		      /* of a partition */
	struct lade_kafka_partition **list;   /* those that are assigned */
	size_t n, cap;			      /* of list */
	size_t at;			      /* whose turn it is */
	struct lade_kafka_partition *current; /* the one whose burst it is, or NULL */
	struct lade_link events;	      /* struct lade_kafka_event, oldest first */
	uint32_t n_events;
	struct lade_kafka_event *open;	      /* was taken and waits for its answer */
	struct lade_kafka_event *shown;	      /* valid until the next call */
	struct lade_op *waiter;		      /* the task in lade_kafka_next */
	uint32_t in_row;		      /* messages since others ran */
	bool assigning;			      /* lade_kafka_assign is under way */
	bool closing;			      /* events answer themselves */
	bool in_group;			      /* the group has said once what it has */
	bool down;			      /* no broker is reached; RECOVERED will follow */
	int failed;			      /* after FAILED: what next returns */
	struct {
		int code;
		uint32_t topic; /* hash of its name */
	} troubles[TROUBLES_MAX];
	uint32_t n_troubles;
	struct lade_kafka_error error;	 /* the latest trouble */
	char last[160];			 /* why a connection failed last */
	char *member;			 /* of lade_kafka_consumer_member */
	struct lade_kafka_helper *helper; /* helper.c's */
	bool tracked;			 /* a stream's: messages have tickets */
	uint32_t streams;		 /* that are open; an operator's task may hold one */
	struct lade_sem commit_turn;	 /* a stream's commits come one after the other */
};

/* lade_kafka_serve_main - takes what lies in the consumer's queue; @poll: once even if empty. */
void lade_kafka_serve_main(struct lade_kafka_consumer *c, bool poll);

/* lade_kafka_tell - puts an event last; the waiting task goes on. */
void lade_kafka_tell(struct lade_kafka_consumer *c, struct lade_kafka_event *event);

/* lade_kafka_event_free - frees an event and what it holds; NULL is allowed. */
void lade_kafka_event_free(struct lade_kafka_event *event);

/* lade_kafka_trouble - says a trouble, once. */
void lade_kafka_trouble(struct lade_kafka_consumer *c, int code, const char *topic,
			const char *text);

/* lade_kafka_recovered - the brokers answer. */
void lade_kafka_recovered(struct lade_kafka_consumer *c);

/* Partitions and their events (members.c) */

/* lade_kafka_rebalance - makes an event of librdkafka's; takes it over. */
void lade_kafka_rebalance(struct lade_kafka_consumer *c, rd_kafka_event_t *event);

/* lade_kafka_answer_all - closing: answers every event there is, without asking. */
void lade_kafka_answer_all(struct lade_kafka_consumer *c);

/* lade_kafka_let_go - gives a partition's queue back to librdkafka. */
void lade_kafka_let_go(struct lade_kafka_partition *p);

/* lade_kafka_partition_unref - gives a reference up. */
void lade_kafka_partition_unref(struct lade_kafka_partition *p);

/* lade_kafka_find - an assigned partition, or NULL. */
struct lade_kafka_partition *lade_kafka_find(struct lade_kafka_consumer *c, const char *topic,
					     int32_t number);

/* lade_kafka_commit_told - the answer to a commit has come; takes the event over. */
void lade_kafka_commit_told(struct lade_kafka_consumer *c, rd_kafka_event_t *event);

/* lade_kafka_list_of - positions as librdkafka wants them; NULL: no memory. */
rd_kafka_topic_partition_list_t *lade_kafka_list_of(const struct lade_kafka_position *positions,
						    size_t n);

/* lade_kafka_range_job - asks what there is of a partition; on the pool.
 *
 * Returns 0, or 1: once more, or -errno. */
int lade_kafka_range_job(rd_kafka_t *rk, const char *topic, int32_t partition,
			 struct lade_kafka_range *ret, struct lade_kafka_error *error);

/* What asks the brokers on its own account (helper.c) */

/* lade_kafka_helper_open - starts the helper of a consumer in a scope. */
int lade_kafka_helper_open(struct lade_kafka_consumer *c, struct lade_scope *scope,
			   const char *site);

/* lade_kafka_helper_close - ends it, and waits for its end. */
void lade_kafka_helper_close(struct lade_kafka_consumer *c, const char *site);

/* lade_kafka_helper_wake - there is something to ask, or to commit. */
void lade_kafka_helper_wake(struct lade_kafka_consumer *c);

/* lade_kafka_helper_kick - has the leader of a partition fetch at once. */
void lade_kafka_helper_kick(struct lade_kafka_partition *p);

/* lade_kafka_needs_kicks - whether this librdkafka sleeps beside an empty queue. */
bool lade_kafka_needs_kicks(void);

/* Streams (messages.c) */

/* lade_kafka_ticket_room - whether one more message of a partition may go out. */
bool lade_kafka_ticket_room(struct lade_kafka_partition *p);

/* lade_kafka_ticket_new - the ticket of a message that goes out; 0: it needs none. */
uint64_t lade_kafka_ticket_new(struct lade_kafka_partition *p, int64_t offset);

/* lade_kafka_ticket_lost - a message was freed and never finished. */
void lade_kafka_ticket_lost(struct lade_kafka_partition *p, uint64_t ticket);

/* lade_kafka_commit_finished - commits what is finished of partitions. */
lade_suspends int lade_kafka_commit_finished(struct lade_kafka_consumer *c,
					     struct lade_kafka_partition *const *list,
					     size_t n, const char *site);

#endif
