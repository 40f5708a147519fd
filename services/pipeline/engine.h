/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_ENGINE_H
#define LADE_PIPELINE_ENGINE_H

/* engine.h - what runs a pipeline: batches through steps into sinks.
 *
 * The engine knows a source (a stream of batches), steps and sinks by the tables of functions
 * below and nothing of what is behind them. A step gives each message a verdict; a sink writes
 * what is left. Both say of a whole call: 0; -EAGAIN: it passes, the same again later; -EBADMSG:
 * one of the messages is to blame; -EIO: a person must act; -ECANCELED. */

#include <stdio.h>

#include <lade/http.h>
#include <lade/kafka.h>
#include <lade/lade.h>

#include "services/pipeline/breaker.h"
#include "services/pipeline/config.h"
#include "services/pipeline/csv.h"
#include "services/pipeline/figures.h"
#include "services/pipeline/message.h"
#include "services/pipeline/position.h"

#define LADE_PIPE_GROUP_MAX 64	/* batches of one write */

enum lade_pipe_verdict {
	LADE_VERDICT_OK,     /* goes on */
	LADE_VERDICT_DROP,   /* finished on purpose */
	LADE_VERDICT_REJECT, /* to the dead letter, with its reason */
	LADE_VERDICT_RETRY,  /* this step again, later */
	LADE_VERDICT_HOLD,   /* the same, and nothing counts against it: it was not tried */
	LADE_VERDICT_PASS    /* past all steps to the sinks that take it: a tombstone */
};

/* What the engine keeps beside each message of a batch. */
struct lade_pipe_fate {
	uint8_t verdict;	/* lade_pipe_verdict */
	bool asked;		/* it has wanted an answer of the present step */
	uint32_t attempts;	/* failures that count against it, in the present step */
	uint64_t passes_seen;	/* passes of the step when it failed last */
	const char *step;	/* where it was rejected */
	const char *reason;	/* why; in the batch's arena */
	int64_t first_us;	/* when it failed first, since 1970; 0: never */
};

/* What of a batch is one lane's. */
struct lade_pipe_part {
	struct lade_pipe_lane *lane;
	struct lade_pipe_segment segment;
	uint32_t taken;		/* messages */
	int64_t first_offset;	/* of the first of them */
	int64_t next_offset;	/* behind the last of them */
};

/* Where a batch is on its way to the writer. */
enum lade_pipe_turn {
	LADE_TURN_ENRICHED, /* it goes through the steps, or has not begun */
	LADE_TURN_DONE,	    /* through; it may have to wait for an older one */
	LADE_TURN_GIVEN,    /* the writer has it */
	LADE_TURN_FAILED    /* it could not go through, and is freed at the end */
};

/* Messages that go through the pipeline together. */
struct lade_pipe_batch {
	struct lade_arena arena;		/* all their memory */
	struct lade_pipe_message *messages;	/* in the order of their lanes */
	struct lade_pipe_fate *fates;		/* one for each */
	uint32_t n;				/* messages */
	const struct lade_pipe_shape *shape;	/* what they can be asked for now */
	struct lade_json_reader *reader;	/* of the task that has the batch */
	uint32_t taken;				/* messages of the source that it stands for */
	int64_t bytes;				/* of these, as they came */
	struct lade_pipe_part *parts;		/* the lanes that they are of */
	uint32_t n_parts;
	struct lade_instant first;		/* when the first one came */
	enum lade_batch_reason reason;		/* what closed it */
	uint32_t dropped;			/* messages that a transform left out */
	struct lade_pipe_message *rejected;	/* of before a transform, with their fates */
	struct lade_pipe_fate *rejected_fates;
	uint32_t n_rejected;
	struct lade_pipe_engine *of;		/* NULL: it is not among those under way */
	struct lade_pipe_batch *older, *newer;	/* its neighbours there */
	const char *at;				/* what it waits for: a step's name, a sink */
	uint64_t *keys;				/* order: key: hashes of lane and key, sorted */
	uint32_t n_keys;
	enum lade_pipe_turn turn;
	bool held;				/* it has left another one, to be tried again */
	uint32_t users;				/* of its memory: itself, and what has left it */
	struct lade_pipe_batch *shares;		/* what it has left, and whose memory it uses */
};

struct lade_pipe_engine;
struct lade_pipe_stage;
struct lade_pipe_transaction;
struct lade_line_stream;

/* What a step can do. */
struct lade_pipe_step_ops {
	/* Opens it; adds what it asks of messages to @in. Sets stage->out, the shape behind it. */
	int (*open)(struct lade_pipe_stage *stage, struct lade_pipe_shape *in);
	/* Gives the messages of @index a verdict. */
	int (*process)(struct lade_pipe_stage *stage, struct lade_pipe_batch *batch,
		       const uint32_t *index, uint32_t n);
	void (*close)(struct lade_pipe_stage *stage);
};

/* A step of a running pipeline. */
struct lade_pipe_stage {
	const struct lade_pipe_step_ops *ops;
	struct lade_pipe_engine *engine;
	const struct lade_pipe_step *config;
	struct lade_pipe_shape *in;	/* what its messages can be asked for */
	struct lade_pipe_shape *out;	/* the same, or a transform's own */
	void *self;			/* the step's */
	bool makes_new;			/* a batch has other messages behind it; set by open */
	bool remote;			/* a service or database answers; set by open */
	uint64_t answers;		/* of a remote step: calls that were answered */
	uint64_t passes;		/* messages that passed because it works */
	uint64_t asked;			/* messages that wanted an answer, each once */
	uint64_t again;			/* how often one of them wanted it again */
	uint64_t calls;			/* queries or requests that this took */
	uint64_t errors;		/* failures of calls */
	uint64_t hedges;		/* requests that were made a second time, and */
	uint64_t hedges_won;		/* those of them that were answered first */
	struct lade_pipe_breaker breaker; /* of a service; opens only where that is configured */
	int64_t busy_ns;		/* time in process, over all batches */
	struct lade_pipe_times took;	/* of each call of process */
	char trouble[256];		/* the latest failure, in words; "": none */
	int64_t trouble_since_ns;	/* 0: none */
};

/* Where a lane goes with a write: .cluster of the lane is what it counts in there. */
struct lade_pipe_move {
	struct lade_pipe_lane *lane;
	int64_t from;	     /* the first offset of what is written */
	int64_t to;	     /* next_offset after */
};

struct lade_pipe_outlet;

/* What a sink can do. */
struct lade_pipe_sink_ops {
	int (*open)(struct lade_pipe_outlet *outlet, struct lade_pipe_shape *shape);
	/* Takes a lane over, from whoever had it before: that one writes no more. Where it was
	 * left is in lane->stored. NULL: the sink keeps no offsets.
	 * Returns 0; -ECANCELED; < 0 with engine->why. */
	int (*claim)(struct lade_pipe_outlet *outlet, struct lade_pipe_lane *lane);
	/* Where a lane is kept that was claimed before: in lane->stored; -ESTALE: another one has
	 * claimed it since. NULL: the lane itself knows. Else as claim. */
	int (*look)(struct lade_pipe_outlet *outlet, struct lade_pipe_lane *lane);
	/* Writes the messages whose verdict is OK, all or none; gives a verdict to those that
	 * cannot be written at all. Moves the lanes of @moves in the same transaction, and
	 * lane->stored with them. -ESTALE: nothing is written, as another one has claimed the
	 * lanes of which .fenced says so; -ERESTART: the transaction is gone, with what other
	 * sinks have written in it: all of them again. */
	int (*write)(struct lade_pipe_outlet *outlet, struct lade_pipe_batch *const *batches,
		     uint32_t n, const struct lade_pipe_move *moves, uint32_t n_moves);
	/* In a transaction, with no other sink: what is in a batch that the next write will have is
	 * on its way already; what comes of it is told by that write. NULL: it waits for the write.
	 * Returns 0 or -ECANCELED. */
	int (*begin)(struct lade_pipe_outlet *outlet, struct lade_pipe_batch *batch);
	/* The next write has not all that was begun: none of it may be seen.
	 * Returns 0; -ECANCELED; < 0 with engine->why. */
	int (*give_up)(struct lade_pipe_outlet *outlet);
	void (*close)(struct lade_pipe_outlet *outlet);
};

/* A sink of a running pipeline. */
struct lade_pipe_outlet {
	const struct lade_pipe_sink_ops *ops;
	struct lade_pipe_engine *engine;
	const struct lade_pipe_sink *config;
	struct lade_pipe_shape *shape;
	void *self;
	uint64_t written;	/* messages */
	uint64_t errors;	/* writes that failed */
	struct lade_pipe_times took; /* of each write, whatever came of it */
	char trouble[256];
	int64_t trouble_since_ns;
};

/* What a run has done, for the live line and the summary. */
struct lade_pipe_stats {
	uint64_t in, out, dropped, rejected;
	uint64_t batches, by_reason[LADE_BATCH_REASONS];
	uint64_t sizes[LADE_SIZE_BUCKETS]; /* messages of a batch */
	struct lade_pipe_times latency;	/* arrival to acknowledgement, of messages */
	uint64_t late_acks;	/* messages of lanes that were ended, finished too late */
	uint64_t retries;
	uint64_t fenced;	/* writes that another process's claim has prevented */
	uint64_t rewound;	/* batches that were given up, to be read again */
	uint64_t aborted;	/* transactions of Kafka that had to be done again */
	uint64_t lost;		/* lanes that were another's before they were given back */
	uint64_t gaps;		/* times that messages were gone before they were read */
	int64_t started_ns, ended_ns;
	int64_t bytes_read, bytes_total; /* of a finite source; total -1: not known */
};

/* How a run ended. */
enum lade_pipe_exit {
	LADE_EXIT_DONE = 0,
	LADE_EXIT_FAILED = 1,
	LADE_EXIT_UNFINISHED = 3,
	LADE_EXIT_BAD_MESSAGE = 4,
	LADE_EXIT_CONFIG = 78,
};

struct lade_pipe_tap;
struct lade_pipe_observer;

#define LADE_CAUSES 8 /* of failures that are told apart in the log */

/* Who fails, and when that was said. */
struct lade_pipe_said {
	char who[64];
	int64_t said_ns;	/* 0: never */
	uint64_t unsaid;	/* failures since */
};

struct lade_pipe_engine {
	const struct lade_pipe_config *config;
	FILE *log;			/* where the engine speaks */
	bool live;			/* a line that is rewritten: a terminal */
	bool quiet;			/* no summary */
	bool observed;			/* others may look: metrics and a socket */
	struct lade_pipe_observer *observer; /* what they look through */
	struct lade_pipe_tap *taps;	/* those who look at messages */
	FILE *show;			/* where each step is shown and nothing written; or NULL */
	uint64_t read_max;		/* messages after which reading ends; 0: there is no end */
	const struct lade_pipe_parts *parts; /* what the kinds of the configuration stand for */
	const struct lade_pipe_source_ops *from; /* the source's */
	struct lade_scope *scope;	/* parent of what must outlive a batch: loads of caches */
	struct lade_http *http;		/* made when a step needs it */
	struct lade_pipe_transaction *transaction; /* of all Kafka sinks, exactly once */
	struct lade_pipe_ref order_key; /* of config->order_key, asked of shapes[0] */
	struct lade_pipe_shape *shapes[LADE_PIPE_STEPS_MAX + 1];
	int n_shapes;
	struct lade_pipe_stage stages[LADE_PIPE_STEPS_MAX];
	int n_stages;
	struct lade_pipe_outlet outlets[LADE_PIPE_SINKS_MAX];
	int n_outlets;
	struct lade_pipe_outlet dead;	/* the dead letters' file; ops NULL: none */
	struct lade_pipe_outlet *keeper; /* the sink that keeps the offsets, or NULL */
	struct lade_pipe_outlet *letters_in; /* the sink whose database has the dead letters */
	struct lade_pipe_lane *lanes;	/* those that were begun, the first one first */
	struct lade_pipe_batch *oldest, *newest; /* ends of the list of those that are under way */
	int64_t bytes;			/* of the messages of those */
	uint32_t n_done;		/* batches that wait for the writer, or for older ones */
	bool all_done;			/* no more come, because of done_rc; 0: the end */
	int done_rc;
	struct lade_event news;		/* a batch is done, or all are */
	struct lade_event wanted;	/* the writer has taken one */
	struct lade_event lane_moved;	/* messages of a lane were finished, or a batch has gone */
	struct lade_event stop_reading;	/* the process is asked to stop */
	struct lade_sem keeping;	/* the one call at a time that the keeper serves */
	void *source;			/* the source's */
	bool probing; /* `check`: what is opened must not be made or changed */
	bool offline; /* `check` without --connect: nothing but files is opened */
	struct lade_pipe_stats stats;
	uint8_t recent[1000];		/* 1: rejected; the last 1,000 messages */
	uint32_t recent_at, recent_rejected;
	enum lade_pipe_exit exit;
	char why[1024];			/* how it ended, if not at the end: what, and what to do */
	bool placed;			/* why begins with a place in the configuration */
	char waits[400];		/* while it is shown: the latest trouble, or "" */
	char nothing_new[320];		/* what an earlier run had finished, if all */
	bool said_taken;		/* it was said from whom a lane was taken over */
	bool failed;			/* intake has stopped because of why */
	bool anew;			/* it failed, and goes on as a new engine: see engine.c */
	bool stopped;			/* a signal has ended reading */
	bool timed_out;			/* shutdown_timeout has passed */
	struct lade_json_reader **readers; /* free ones; a batch takes one while it is enriched */
	uint32_t n_readers;
	int64_t written_ns;		/* when the latest write had ended */
	uint64_t jitter;		/* state of the generator for pauses */
	struct lade_pipe_said said[LADE_CAUSES]; /* failures, once per cause */
	uint64_t shown_in;		/* of the latest progress line */
	int64_t shown_ns;
};

/* A message as the source has it. */
struct lade_pipe_raw {
	struct lade_line line;	     /* its bytes and its place */
	struct lade_pipe_lane *lane; /* whose it is */
	uint64_t epoch;		     /* the lane's when it was read; 0: any */
	struct lade_kafka_message message; /* what the bytes are part of, if it is Kafka's */
	const struct lade_pipe_csv *csv; /* how to read it, if it is CSV; the lane keeps it */
	char *owned;		     /* its bytes, if not in the line's chunk; from malloc */
};

void lade_pipe_raw_drop(struct lade_pipe_raw *raw);
size_t lade_pipe_raw_weight(const struct lade_pipe_raw *raw);

LADE_STREAM_WITH(lade_pipe_raw, struct lade_pipe_raw,
		 (.drop = lade_pipe_raw_drop, .bytes = lade_pipe_raw_weight))

/* What a source can do. It has one or more lanes, and gives what is in them as one stream. */
struct lade_pipe_source_ops {
	/* Opens it; says in stats.bytes_total how much there is, if that is known. */
	int (*open)(struct lade_pipe_engine *engine);
	/* Notes in lane->cluster what @offset of it counts in: the offset is about to be kept.
	 * NULL: it is known since the lane was claimed. */
	int (*identify)(struct lade_pipe_engine *engine, struct lade_pipe_lane *lane,
			int64_t offset);
	/* Adds to a message what is known of it beside its bytes, which are in @arena already.
	 * Returns 0 or -ENOMEM. NULL: nothing is. */
	int (*describe)(const struct lade_pipe_raw *raw, struct lade_pipe_message *message,
			struct lade_arena *arena);
	/* Messages of a lane were finished, or could not be. NULL: it does not matter. */
	void (*moved)(struct lade_pipe_engine *engine, struct lade_pipe_lane *lane);
	/* Reads a lane again from where it is kept, under a new epoch: what is under way of it
	 * will be too late. One that lane->fenced says is another's is given up instead. NULL:
	 * there is no other one. Returns 0; -ECANCELED; < 0 with engine->why. */
	int (*rewind)(struct lade_pipe_engine *engine, struct lade_pipe_lane *lane);
	/* How many unfinished messages, also such as are not read yet, belong into one write: it is
	 * not made before they are there. NULL: any. */
	int64_t (*whole)(const struct lade_pipe_engine *engine);
	/* What it has, begun where lanes were left; see lade_pipe_lane_begin(). *ret may be NULL:
	 * memory is out. Tasks of the stream live in @scope. Returns 0, or < 0 with
	 * engine->why. */
	int (*start)(struct lade_pipe_engine *engine, struct lade_scope *scope,
		     struct lade_pipe_raw_stream **ret);
	void (*close)(struct lade_pipe_engine *engine);
};

/* What an engine is made of; a test brings its own. */
struct lade_pipe_parts {
	const struct lade_pipe_source_ops *source;  /* NULL: by kind */
	const struct lade_pipe_step_ops *steps[LADE_STEP_KINDS]; /* by kind */
	const struct lade_pipe_sink_ops *sinks[LADE_SINK_KINDS];	 /* by kind */
	const struct lade_pipe_sink_ops *letters; /* dead letters into a file */
};

/* lade_pipe_engine_new - an engine that has not begun.
 *
 * @parts NULL: the real ones. It is run once, by lade_pipe_engine_run(), and freed with
 * lade_pipe_engine_free(). Returns NULL when memory is out. */
struct lade_pipe_engine *lade_pipe_engine_new(const struct lade_pipe_config *config,
					      const struct lade_pipe_parts *parts, FILE *log);

/* lade_pipe_engine_run - opens everything, runs to the end, closes.
 *
 * How it ended is in engine->exit and engine->why. Returns 0 or < 0.  Suspends: yes. */
lade_suspends int lade_pipe_engine_run(struct lade_pipe_engine *engine);

/* lade_pipe_engine_free - frees an engine; NULL is allowed.  Returns NULL. */
struct lade_pipe_engine *lade_pipe_engine_free(struct lade_pipe_engine *engine);

/* lade_pipe_run - runs a pipeline to the end of its source, or until it is asked to stop.
 *
 * @log gets what there is to say. Returns 0, and *ret_exit is how it ended; -ECANCELED, with
 * *ret_exit as well; -ENOMEM.
 * Suspends: yes.  Threads: inside a task only. */
lade_suspends int lade_pipe_run(const struct lade_pipe_config *config, FILE *log, bool live,
				bool quiet, int *ret_exit);

/* lade_pipe_try - shows @n messages of a pipeline behind each of its steps, and writes nothing.
 *
 * After @timeout_ns it ends as failed, with what it waits for.
 * @out gets what is shown, @log what goes wrong. Returns as lade_pipe_run() does.
 * Suspends: yes.  Threads: inside a task only. */
lade_suspends int lade_pipe_try(const struct lade_pipe_config *config, uint32_t n,
				int64_t timeout_ns, FILE *out, FILE *log, int *ret_exit);

/* lade_pipe_show_read, lade_pipe_show_step - show a batch in engine->show, as it was read and
 * behind a step. */
void lade_pipe_show_read(const struct lade_pipe_engine *engine,
			 const struct lade_pipe_batch *batch);
void lade_pipe_show_step(const struct lade_pipe_stage *stage, const struct lade_pipe_batch *batch,
			 uint64_t calls_before, int64_t took_ns);

/* lade_pipe_connect - opens everything a pipeline needs, and closes it again; it makes no file and
 * no table, and changes none.
 *
 * Returns 0 and *ret_exit; what is wrong is said to @log.  Suspends: yes. */
lade_suspends int lade_pipe_connect(const struct lade_pipe_config *config, FILE *log,
				    int *ret_exit);

/* lade_pipe_prepare - prepares what SQL can be prepared without a connection: transforms, and
 * queries of SQLite whose file is there.
 *
 * Returns 0 and *ret_exit; what is wrong is said to @log.  Suspends: yes. */
lade_suspends int lade_pipe_prepare(const struct lade_pipe_config *config, FILE *log,
				    int *ret_exit);

/* lade_pipe_open_all - opens steps and sinks of an engine: what `check` does and `run` begins
 * with. Returns 0, or < 0 with engine->why.  Suspends: yes. */
lade_suspends int lade_pipe_open_all(struct lade_pipe_engine *engine);

/* lade_pipe_close_all - closes what was opened.  Suspends: yes. */
void lade_pipe_close_all(struct lade_pipe_engine *engine);

/* lade_pipe_fail - stops intake: what went wrong, and what to do.  Returns -EIO. */
__attribute__((format(printf, 3, 4))) int lade_pipe_fail(struct lade_pipe_engine *engine,
							 enum lade_pipe_exit how,
							 const char *format, ...);

/* lade_pipe_fail_at - the same, and where in the configuration: at a value, or at a byte of it,
 * from 1; 0: at the value. The place comes first, as of every mistake there.  Returns -EIO. */
__attribute__((format(printf, 5, 6))) int lade_pipe_fail_at(struct lade_pipe_engine *engine,
							    enum lade_pipe_exit how,
							    const struct lade_yaml_node *node,
							    size_t position, const char *format,
							    ...);

/* lade_pipe_step_node, lade_pipe_sink_node - a value of a step or a sink in the file, as
 * "sql.query"; NULL: the configuration is of no file. */
const struct lade_yaml_node *lade_pipe_step_node(const struct lade_pipe_stage *stage,
						 const char *path);
const struct lade_yaml_node *lade_pipe_sink_node(const struct lade_pipe_outlet *outlet,
						 const char *path);

/* lade_pipe_print_why - a line on how a run ended, if there is something to say. */
void lade_pipe_print_why(const struct lade_pipe_engine *engine, FILE *to);

/* lade_pipe_asked - counts a message that wants an answer of a step, or wants it again. */
void lade_pipe_asked(struct lade_pipe_stage *stage, struct lade_pipe_batch *batch, uint32_t i);

/* lade_pipe_reject - gives a message the verdict REJECT with a reason. */
__attribute__((format(printf, 4, 5))) void lade_pipe_reject(struct lade_pipe_batch *batch,
							    uint32_t i, const char *step,
							    const char *format, ...);

/* lade_pipe_retry - gives a message the verdict RETRY, and why. */
__attribute__((format(printf, 3, 4))) void lade_pipe_retry(struct lade_pipe_batch *batch,
							   uint32_t i, const char *format, ...);

/* lade_pipe_hold - gives a message the verdict HOLD, and why. */
__attribute__((format(printf, 3, 4))) void lade_pipe_hold(struct lade_pipe_batch *batch, uint32_t i,
							  const char *format, ...);

/* lade_pipe_has_letters - whether a rejected message has a place to go. Where it has none, a sink
 * that must reject one writes nothing and returns -EBADMSG. */
bool lade_pipe_has_letters(const struct lade_pipe_engine *engine);

/* lade_pipe_trouble - notes a passing failure, and says so once per cause. */
__attribute__((format(printf, 4, 5))) void lade_pipe_trouble(struct lade_pipe_engine *engine,
							     const char *who, char trouble[256],
							     const char *format, ...);

/* lade_pipe_say - a line to the log that somebody should read. */
__attribute__((format(printf, 2, 3))) void lade_pipe_say(struct lade_pipe_engine *engine,
							 const char *format, ...);

/* lade_pipe_recovered - the trouble is over; says so if there was any. */
void lade_pipe_recovered(struct lade_pipe_engine *engine, const char *who, char trouble[256],
			 int64_t *since_ns);

/* lade_pipe_back_off - waits after the @attempt-th failure, from 1; jittered.  Suspends: yes. */
lade_suspends int lade_pipe_back_off(struct lade_pipe_engine *engine, uint32_t attempt);

/* lade_pipe_back_off_reading - the same for who reads: it ends when reading does.
 *
 * Returns 0 or -ECANCELED.  Suspends: yes. */
lade_suspends int lade_pipe_back_off_reading(struct lade_pipe_engine *engine, uint32_t attempt);

/* lade_pipe_progress - one line on how it goes. */
void lade_pipe_progress(struct lade_pipe_engine *engine);

/* lade_pipe_rate - messages that were read, per second of the run. */
double lade_pipe_rate(const struct lade_pipe_engine *engine);

/* lade_pipe_summary - prints what a run has done. */
void lade_pipe_summary(const struct lade_pipe_engine *engine, FILE *out);

/* The steps and sinks that there are. */
extern const struct lade_pipe_step_ops lade_pipe_sql, lade_pipe_http, lade_pipe_transform,
	lade_pipe_plugin;
extern const struct lade_pipe_sink_ops lade_pipe_to_sqlite, lade_pipe_to_kafka,
	lade_pipe_to_postgres;

/* lade_pipe_probe_file - whether a file could be opened for writing, without making it.
 *
 * Returns 1: it is there; 0: it can be made; -errno: neither.  Suspends: no. */
int lade_pipe_probe_file(const char *path);

/* Lines to a file or stdout; an outlet without a configuration writes the dead letters. */
extern const struct lade_pipe_sink_ops lade_pipe_to_file;

/* lade_pipe_batch_new - a batch with room for @n messages and their fates, not zeroed, which is not
 * under way yet; its memory grows by @block_bytes.  Returns NULL: no memory. */
struct lade_pipe_batch *lade_pipe_batch_new(size_t n, size_t block_bytes);

/* lade_pipe_batch_free - frees a batch; NULL is allowed.  Returns NULL. */
struct lade_pipe_batch *lade_pipe_batch_free(struct lade_pipe_batch *batch);

/* lade_pipe_batch_is_late - whether any lane of a batch was lost since it was taken. */
bool lade_pipe_batch_is_late(const struct lade_pipe_batch *batch);

/* lade_pipe_batch_drop - the same as lade_pipe_batch_free() for a stream that gives an item up. */
void lade_pipe_batch_drop(struct lade_pipe_batch **item);

/* A batch that goes from task to task; whoever drops one frees it. */
LADE_STREAM_WITH(lade_pipe_batches, struct lade_pipe_batch *, (.drop = lade_pipe_batch_drop))

/* lade_pipe_batch_follow - @left, whose messages were @batch's, is under way behind it and uses its
 * memory. */
void lade_pipe_batch_follow(struct lade_pipe_batch *left, struct lade_pipe_batch *batch);

/* lade_pipe_batch_part - which part of a batch is a lane's; n_parts: none is. */
uint32_t lade_pipe_batch_part(const struct lade_pipe_batch *batch,
			      const struct lade_pipe_lane *lane);

/* lade_pipe_split - takes the @n messages of @index, which a step is to try again, out of a batch,
 * with those that may not overtake them, as a batch of its own behind it.
 *
 * Returns 1, *ret, and in @index the places of the @n there; 0: nothing would be left, or this
 * batch has to stay together; -ENOMEM.  Suspends: no. */
int lade_pipe_split(struct lade_pipe_batch *batch, uint32_t *index, uint32_t n,
		    struct lade_pipe_batch **ret);

/* lade_pipe_split_lanes - takes the messages of some lanes out of a batch: lane_leaves[p] is for
 * its part p. Some lane stays.
 *
 * Returns 1 and *ret; 0: this batch has to stay together; -ENOMEM.  Suspends: no. */
int lade_pipe_split_lanes(struct lade_pipe_batch *batch, const bool *lane_leaves,
			  struct lade_pipe_batch **ret);

/* lade_pipe_order_open - asks for the key that orders batches, if there is one.
 *
 * Returns 0, or < 0 with engine->why.  Suspends: no. */
int lade_pipe_order_open(struct lade_pipe_engine *engine);

/* lade_pipe_order_key - the hash of a message's lane and key; where the key cannot be had the
 * message is rejected.
 *
 * Returns 1; 0: it has none; -ENOMEM.  Suspends: no. */
int lade_pipe_order_key(struct lade_pipe_batch *batch, uint32_t i, const struct lade_pipe_ref *key,
			struct lade_json_reader *reader, uint64_t *ret);

/* lade_pipe_order_note - notes the keys of a batch's messages, as lade_pipe_order_key().
 *
 * Returns 0 or -ENOMEM.  Suspends: no. */
int lade_pipe_order_note(struct lade_pipe_batch *batch, const struct lade_pipe_ref *key,
			 struct lade_json_reader *reader);

/* lade_pipe_order_done - a batch has gone through the steps. It is the writer's as soon as no older
 * one has to be written before it. */
void lade_pipe_order_done(struct lade_pipe_engine *engine, struct lade_pipe_batch *batch);

/* lade_pipe_ordered - a stream of the batches that may be written, from @in, which gives them as
 * they are done, and from lade_pipe_order_done(). Its task lives in @scope, and closes @in. When it
 * ends with < 0 what is done and was not given stays; lade_pipe_order_end() frees it.
 *
 * Returns 0; -ECANCELED, -ENOMEM.  Suspends: yes. */
lade_suspends int lade_pipe_ordered(struct lade_pipe_engine *engine, struct lade_scope *scope,
				    struct lade_pipe_batches_stream *in, uint32_t ready_max,
				    struct lade_pipe_batches_stream **ret);
void lade_pipe_order_end(struct lade_pipe_engine *engine);

/* lade_pipe_batches_of - timed batches of messages of @raw, which it closes; NULL: no memory.
 *
 * Its tasks live in @scope. It takes no more than the lanes have room for.  Suspends: no. */
struct lade_pipe_batches_stream *lade_pipe_batches_of(struct lade_pipe_engine *engine,
						      struct lade_scope *scope,
						      struct lade_pipe_raw_stream *raw);

/* Files, and stdin; topics of Kafka; a table of PostgreSQL. */
extern const struct lade_pipe_source_ops lade_pipe_files, lade_pipe_from_kafka,
	lade_pipe_from_postgres;

/* lade_pipe_lane_claim - asks the sink that keeps offsets where a lane was left, and takes it over.
 *
 * lane->cluster says what its offsets count in now. Afterwards lane->stored has what is kept;
 * .next_offset 0: nothing, which is also the answer where no sink keeps offsets. The lane is not
 * assigned yet. Returns 0; -ECANCELED; < 0 with engine->why.  Suspends: yes. */
lade_suspends int lade_pipe_lane_claim(struct lade_pipe_engine *engine,
				       struct lade_pipe_lane *lane);

/* lade_pipe_lane_look - asks again where a lane is kept, which this process has claimed.
 *
 * It takes nothing from anybody: a process that has not heard yet that its lane is another's would
 * fence that one. Returns as lade_pipe_lane_claim() does; -ESTALE: it is another's, and
 * lane->fenced.  Suspends: yes. */
lade_suspends int lade_pipe_lane_look(struct lade_pipe_engine *engine, struct lade_pipe_lane *lane);

/* lade_pipe_lane_begin - reading of a lane begins at @offset; it is the engine's too until
 * lade_pipe_lane_end(). */
void lade_pipe_lane_begin(struct lade_pipe_engine *engine, struct lade_pipe_lane *lane,
			  int64_t offset);

/* lade_pipe_lane_unlist - the engine forgets a lane that was begun, which stays its source's;
 * nothing if it has. */
void lade_pipe_lane_unlist(struct lade_pipe_engine *engine, struct lade_pipe_lane *lane);

/* lade_pipe_lane_end - the engine forgets a lane, of which nothing is under way any more. */
void lade_pipe_lane_end(struct lade_pipe_engine *engine, struct lade_pipe_lane *lane);

/* lade_pipe_lanes_in_flight - messages of all lanes that are taken and not finished. */
int64_t lade_pipe_lanes_in_flight(const struct lade_pipe_engine *engine);

/* lade_pipe_moves - where the lanes of a write go; each lane once.
 *
 * Returns their number, or -errno: a source could not identify a lane.  Suspends: yes. */
lade_suspends int lade_pipe_moves(struct lade_pipe_engine *engine,
				  struct lade_pipe_batch *const *batches, uint32_t n,
				  struct lade_pipe_move **ret);

/* lade_pipe_settle - says in engine->why how a run has ended that came to @rc; and, where an
 * earlier one had finished all there is, that in engine->nothing_new. */
void lade_pipe_settle(struct lade_pipe_engine *engine, int rc);

#endif
