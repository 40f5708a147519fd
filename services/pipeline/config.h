/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_CONFIG_H
#define LADE_PIPELINE_CONFIG_H

/* config.h - what a pipeline's file says, checked, with every default filled in.
 *
 * A configuration that can be had is one that can run: unknown keys, values out of range,
 * paths that are none, and guarantees that nobody could keep have all been refused, each
 * with its line and column. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lade/arena.h>

#include "services/pipeline/yaml.h"

#define LADE_PIPE_STEPS_MAX 32		/* steps of a pipeline */
#define LADE_PIPE_SINKS_MAX 16		/* sinks of a pipeline */
#define LADE_PIPE_NAMES_MAX 256		/* entries of a map or a list */
#define LADE_PIPE_TOPICS_MAX 64		/* topics of a source */
#define LADE_PIPE_SETTINGS_MAX 64	/* settings that are handed on to librdkafka */

/* One entry of a map; of a list, one without a name. */
struct lade_pipe_entry {
	const char *name;	/* as keys: origin; NULL in a list */
	const char *text;	/* as keys: text .origin */
	const char *shown;	/* the same without secrets */
	int line, col;		/* where the text begins, from 1 */
};

struct lade_pipe_map {
	int n;				/* entries */
	struct lade_pipe_entry *at;	/* in the order of the file */
};

enum lade_pipe_source_kind {
	LADE_SOURCE_NONE,
	LADE_SOURCE_FILE,
	LADE_SOURCE_STDIN,
	LADE_SOURCE_KAFKA,
	LADE_SOURCE_POSTGRES
};
enum lade_pipe_order { LADE_ORDER_PARTITION, LADE_ORDER_NONE };
enum lade_pipe_step_kind {
	LADE_STEP_NONE,
	LADE_STEP_SQL,
	LADE_STEP_HTTP,
	LADE_STEP_TRANSFORM,
	LADE_STEP_PLUGIN,
	LADE_STEP_KINDS
};
enum lade_pipe_sink_kind {
	LADE_SINK_NONE,
	LADE_SINK_SQLITE,
	LADE_SINK_FILE,
	LADE_SINK_STDOUT,
	LADE_SINK_KAFKA,
	LADE_SINK_POSTGRES,
	LADE_SINK_KINDS
};
enum lade_pipe_delivery { LADE_AT_LEAST_ONCE, LADE_EXACTLY_ONCE };
enum lade_pipe_on_missing { LADE_MISSING_KEEP, LADE_MISSING_REJECT };
enum lade_pipe_on_error { LADE_ERROR_RETRY, LADE_ERROR_KEEP, LADE_ERROR_REJECT };
enum lade_pipe_on_conflict { LADE_CONFLICT_ERROR, LADE_CONFLICT_UPDATE, LADE_CONFLICT_NOTHING };
enum lade_pipe_extra { LADE_EXTRA_REJECT, LADE_EXTRA_IGNORE };
enum lade_pipe_fsync { LADE_FSYNC_BATCH, LADE_FSYNC_NONE };
enum lade_pipe_on_truncate { LADE_TRUNCATE_STOP, LADE_TRUNCATE_RESTART };
enum lade_pipe_format {
	LADE_FORMAT_JSON,
	LADE_FORMAT_CSV,
	LADE_FORMAT_TEXT,
	LADE_FORMAT_BYTES
};
enum lade_pipe_dead_kind { LADE_DEAD_NONE, LADE_DEAD_FILE, LADE_DEAD_TABLE, LADE_DEAD_KAFKA };
enum lade_pipe_compression {
	LADE_COMPRESS_NONE,
	LADE_COMPRESS_GZIP,
	LADE_COMPRESS_SNAPPY,
	LADE_COMPRESS_LZ4,
	LADE_COMPRESS_ZSTD
};
enum lade_pipe_start { LADE_START_EARLIEST, LADE_START_LATEST };
enum lade_pipe_on_gap { LADE_GAP_STOP, LADE_GAP_EARLIEST, LADE_GAP_LATEST };
enum lade_pipe_tombstone {
	LADE_TOMBSTONE_AUTO,	/* until the check: delete where all tables can, else pass */
	LADE_TOMBSTONE_PASS,
	LADE_TOMBSTONE_DROP,
	LADE_TOMBSTONE_DELETE,	/* and on to topics */
	LADE_TOMBSTONE_REJECT
};

struct lade_pipe_source {
	int kind;			/* lade_pipe_source_kind */
	const char *path;		/* file: where it is, from the working directory */
	const char *topic;		/* file: its name as written: what positions are kept by */
	int64_t message_bytes_max;	/* a longer line is rejected */
	int on_truncate;		/* lade_pipe_on_truncate: what if it is another file */
	int format;			/* lade_pipe_format: what a message is */
	bool csv_given;			/* something is said of CSV */
	const char *csv_delimiter;	/* csv: one byte */
	struct lade_pipe_map csv_header; /* csv: names of the fields; empty: the first record */
	bool follow;			/* file: wait for more at its end, and for new files */
	const char *db;			/* postgres: a name of databases */
	const char *table;		/* postgres */
	const char *key;		/* postgres: its integer column that is unique */
	const char *xid;		/* postgres: its column with a row's transaction, or NULL */
	bool outbox;			/* postgres: rows are deleted as they are written */
	int64_t settle_ns;		/* the same, with neither: how old a row is to be */
	const char *brokers;		/* kafka: HOST:PORT,... to begin with */
	struct lade_pipe_map topics;	/* kafka: their names; one with ^ in front is a pattern */
	const char *group;		/* kafka: the consumer group */
	const char *instance;		/* kafka: the member's lasting name, or NULL */
	int start;			/* kafka: lade_pipe_start: where no offset is kept */
	int on_gap;			/* kafka: lade_pipe_on_gap: what if messages are gone */
	int tombstone;			/* kafka: lade_pipe_tombstone */
	struct lade_pipe_map client;	/* kafka: further settings of librdkafka */
};

struct lade_pipe_batching {
	int64_t messages_max;
	int64_t bytes_max;
	int64_t linger_ns;	/* after the first message; 0: take what is there */
	int64_t idle_ns;	/* after the last message; 0: off */
	int64_t ahead;		/* batches that form while others are processed */
};

struct lade_pipe_step_cache {
	bool on;
	int64_t ttl_ns;
	int64_t negative_ttl_ns;	/* "no row" and 404; 0: not at all */
	int64_t stale_ns;		/* http: stale while it is fetched anew; 0: off */
	int64_t bytes_max;
};

struct lade_pipe_step_breaker {
	bool given;		/* something is said of it; after the check: it is an http step */
	int64_t failures_max;	/* in a row, then it opens; 0: never */
	int64_t pause_ns;	/* until it is tried again */
};

struct lade_pipe_step {
	const char *name;		/* unique */
	int kind;			/* lade_pipe_step_kind: says which of the others count */
	const char *db;			/* sql: a name of the map of databases */
	struct lade_pipe_map keys;	/* sql: keys; transform: fields; http: headers */
	const char *query;		/* sql, transform */
	const char *get;		/* http: the address with holes, or NULL: */
	const char *post;		/* http: the same of a POST */
	const char *body;		/* http: a reference to what is sent; NULL: the message */
	bool batch;			/* http: one request for a whole batch */
	const char *match;		/* http: where answers of a batch say whose they are */
	const char *expect;		/* http: a path that an answer must have; or NULL */
	int64_t hedge_ns;		/* http: then a GET is made a second time; 0: never */
	struct lade_pipe_step_breaker breaker; /* http */
	const char *into;		/* the path that gets the answer; plugin: or NULL */
	const char *path;		/* plugin: the shared library */
	const char *plugin_config;	/* plugin: what its open() is told, or NULL */
	int64_t timeout_ns;
	int64_t concurrency;		/* http: requests at once, over all batches */
	int64_t retries;		/* http: after the first attempt */
	bool many;			/* sql: several rows a message make an array */
	int on_missing;			/* sql, http: lade_pipe_on_missing */
	int on_error;			/* http: lade_pipe_on_error */
	struct lade_pipe_step_cache cache;
};

struct lade_pipe_sink {
	int kind;			/* lade_pipe_sink_kind: says which of the others count */
	const char *db;			/* postgres, sqlite: a name of databases, or NULL */
	const char *path;		/* file; sqlite without db */
	const char *table;		/* postgres, sqlite */
	struct lade_pipe_map key;	/* the same: columns of the conflict key */
	struct lade_pipe_map columns;	/* the same: column and reference; empty: by name */
	int on_conflict;		/* the same: lade_pipe_on_conflict */
	int extra;			/* the same: lade_pipe_extra */
	const char *version;		/* the same: the column that decides which row is newer */
	bool create;			/* the same: make the table where it is missing */
	int fsync;			/* file: lade_pipe_fsync */
	const char *brokers;		/* kafka; NULL: the source's */
	const char *topic;		/* kafka */
	const char *message_key;	/* kafka: a reference; NULL: the key that it came with */
	int compression;		/* kafka: lade_pipe_compression */
	const char *instance;		/* kafka, exactly once: this process among others */
	struct lade_pipe_map client;	/* kafka: further settings of librdkafka */
};

struct lade_pipe_errors {
	int64_t attempts_max;
	int64_t backoff_min_ns, backoff_max_ns;
	int64_t reject_rate_max;	/* hundredths of a percent of the last 1,000 messages */
	int dead_kind;			/* lade_pipe_dead_kind */
	const char *dead_file;
	const char *dead_table;		/* in the database of the SQLite sink */
	const char *dead_topic;		/* in the cluster of the source, or of the first sink */
};

struct lade_pipe_config {
	const char *file;			/* its name, for messages */
	const char *folder; /* of the file, with a / behind it: where its paths begin; "": here */
	bool as_written; /* paths are not put into the folder: for who only shows the file */
	struct lade_arena arena;		/* all memory of the configuration */
	struct lade_pipe_problems problems;	/* what is wrong; empty after success */
	struct lade_pipe_problems notes;	/* what is fine and worth saying */
	struct lade_yaml_node *root;		/* the file, for places and for what may be shown */
	const char *text;			/* the file as it was written */
	int64_t config;				/* the version of the format */
	const char *name;			/* the pipeline's */
	struct lade_pipe_map databases;		/* name and address */
	struct lade_pipe_source source;
	struct lade_pipe_batching batch;
	int order;				/* lade_pipe_order */
	const char *order_key;			/* messages of one keep their order; NULL: off */
	int64_t concurrency;			/* batches that are enriched at once */
	struct lade_pipe_step steps[LADE_PIPE_STEPS_MAX];
	int n_steps;
	struct lade_pipe_sink sinks[LADE_PIPE_SINKS_MAX];
	int n_sinks;
	int delivery;				/* lade_pipe_delivery */
	struct lade_pipe_errors errors;
	int64_t shutdown_timeout_ns;
	int64_t drain_timeout_ns;
	int64_t in_flight_max;			/* messages of a lane */
	int64_t memory_bytes_max;
	int64_t transaction_max;		/* messages of a transaction */
	int64_t unhealthy_after_ns;
	bool log_json;				/* said by the command line: no key */
	int process;				/* its number among several, from 1; 0: no key */
	bool metrics_given;
	const char *metrics_listen;		/* where figures are served, or NULL */
	bool admin_given;
	const char *admin_socket;		/* NULL: by default; "none": there is none */
};

/* lade_pipe_config_new - an empty configuration.
 *
 * Returns NULL when memory is out.  Free it with lade_pipe_config_free(). */
struct lade_pipe_config *lade_pipe_config_new(void);

/* lade_pipe_read_once - whether what is read is gone: stdin, a FIFO, a terminal. */
bool lade_pipe_read_once(const struct lade_pipe_config *config);

/* lade_pipe_config_free - frees a configuration, or does nothing for NULL.
 *
 * Returns NULL. */
struct lade_pipe_config *lade_pipe_config_free(struct lade_pipe_config *config);

/* lade_pipe_config_load - reads the file @path into an empty configuration.
 *
 * Returns 0; -EINVAL with problems; -ENOMEM; -errno and one problem when the file cannot be
 * read. */
int lade_pipe_config_load(struct lade_pipe_config *config, const char *path);

/* lade_pipe_config_parse - the same for a text; @file is its name for messages.
 *
 * Returns as lade_pipe_config_load(). */
int lade_pipe_config_parse(struct lade_pipe_config *config, const char *file, const char *text,
			   size_t len);

/* lade_pipe_config_problems - what is wrong, a line each: file:line:col: what, and what to
 * do.  With @notes what is worth knowing instead.
 *
 * The text lives as long as the configuration.  Returns NULL when memory is out. */
const char *lade_pipe_config_problems(struct lade_pipe_config *config, bool notes);

/* lade_pipe_config_show - the configuration as YAML with every default, without secrets.
 *
 * What it returns can be read again, unless something is hidden in it.  The text lives as
 * long as the configuration.  Returns NULL when memory is out. */
const char *lade_pipe_config_show(struct lade_pipe_config *config);

/* lade_pipe_config_reference - every key with its type, range, default and meaning, as text
 * for --help and the manual.
 *
 * Free it with free().  Returns NULL when memory is out. */
char *lade_pipe_config_reference(void);

/* lade_pipe_config_check - refuses what no run could keep, and notes what is worth knowing;
 * lade_pipe_config_parse() does it.
 *
 * Returns 0, -EINVAL with problems, or -ENOMEM. */
int lade_pipe_config_check(struct lade_pipe_config *config);

/* lade_pipe_config_node - the value at a place of the file, or the last one that is there on
 * the way to it; NULL for an empty file.
 *
 * @list is "steps", "sink" or NULL, @i the element; @path its keys with dots between. */
const struct lade_yaml_node *lade_pipe_config_node(const struct lade_pipe_config *config,
						   const char *list, int i, const char *path);

/* lade_pipe_config_place - where the @position-th byte of a value was written in the file: line
 * and column, from 1. For 0, and where that cannot be told, the value's own place. */
void lade_pipe_config_place(const struct lade_pipe_config *config,
			    const struct lade_yaml_node *node, size_t position, int *ret_line,
			    int *ret_col);

/* lade_pipe_step_type - "sql", "http", "transform" or "plugin". */
const char *lade_pipe_step_type(int kind);

/* lade_pipe_dead_brokers - where the topic of dead letters is, or NULL. */
const char *lade_pipe_dead_brokers(const struct lade_pipe_config *config);

/* lade_pipe_sink_deletes - whether a message without a value deletes a row of this sink. */
bool lade_pipe_sink_deletes(const struct lade_pipe_config *config,
			    const struct lade_pipe_sink *sink);

/* lade_pipe_database_url - the address of the PostgreSQL database @name, or NULL if there is none,
 * or it is none of PostgreSQL. */
const char *lade_pipe_database_url(const struct lade_pipe_config *config, const char *name);

/* lade_pipe_database_file - the file of the SQLite database @name, or NULL if there is none, or it
 * is none of SQLite. */
const char *lade_pipe_database_file(const struct lade_pipe_config *config, const char *name);

#endif
