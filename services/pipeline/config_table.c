/* SPDX-License-Identifier: MIT */
/* config_table.c - every key of a pipeline's file, and how to find one by what was meant. */

#include "services/pipeline/config_table.h"

#include <string.h>

#include "services/pipeline/config.h"
#include "services/pipeline/csv.h"

#define NS_MS INT64_C(1000000)
#define NS_S (1000 * NS_MS)
#define NS_H (3600 * NS_S)
#define NS_D (24 * NS_H)
#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define NEAR_MAX 40	/* longer names are not compared */

/* Where a row's field is. */
#define IN_CONFIG(field) \
	.base = LADE_BASE_CONFIG, .offset = offsetof(struct lade_pipe_config, field)
#define IN_STEP(field) .base = LADE_BASE_STEP, .offset = offsetof(struct lade_pipe_step, field)
#define IN_SINK(field) .base = LADE_BASE_SINK, .offset = offsetof(struct lade_pipe_sink, field)
#define NOWHERE .flags = LADE_ROW_NOWHERE
#define LATER .flags = LADE_ROW_NOWHERE | LADE_ROW_LATER

const struct lade_pipe_row lade_pipe_rows[] = {
{ "config", LADE_ROW_COUNT, IN_CONFIG(config), .unset = "1", .min = 1, .max = 1,
  .help = "The version of this format." },
{ "pipeline", LADE_ROW_TEXT, IN_CONFIG(name), .flags = LADE_ROW_REQUIRED,
  .help = "The pipeline's name: offsets are stored under it, so a renamed pipeline begins anew." },
{ "databases", LADE_ROW_MAP, IN_CONFIG(databases), .max = 16,
  .help = "Names for databases: sqlite:FILE, from the pipeline's folder, or postgres://HOST/DB." },

{ "source", LADE_ROW_SECTION, NOWHERE | LADE_ROW_REQUIRED,
  .help = "Where messages come from: file, stdin, kafka or postgres." },
{ "source.file", LADE_ROW_CHOICE, IN_CONFIG(source.kind), .min = LADE_SOURCE_FILE,
  .help = "A file of one JSON object per line (NDJSON)." },
{ "source.file.path", LADE_ROW_TEXT, IN_CONFIG(source.path),
  .flags = LADE_ROW_REQUIRED | LADE_ROW_SHORT,
  .help = "The file, from the pipeline's own folder; * ? [ ] match several: a lane each." },
{ "source.file.on_truncate", LADE_ROW_WORD, IN_CONFIG(source.on_truncate), .unset = "stop",
  .words = "stop|restart",
  .help = "When the file is not the one that was begun: stop, or read it from its start." },
{ "source.file.follow", LADE_ROW_BOOL, IN_CONFIG(source.follow), .unset = "false",
  .help = "Wait for more at the end of the file, and for new files." },
{ "source.stdin", LADE_ROW_CHOICE, IN_CONFIG(source.kind), .min = LADE_SOURCE_STDIN,
  .help = "Standard input, one JSON object per line; cannot be read again after a crash." },
{ "source.kafka", LADE_ROW_CHOICE, IN_CONFIG(source.kind), .min = LADE_SOURCE_KAFKA,
  .help = "Topics of a Kafka cluster, as a member of a consumer group." },
{ "source.kafka.brokers", LADE_ROW_TEXT, IN_CONFIG(source.brokers), .flags = LADE_ROW_REQUIRED,
  .help = "Brokers to begin with: HOST:PORT, with commas between." },
{ "source.kafka.topics", LADE_ROW_TEXTS, IN_CONFIG(source.topics), .flags = LADE_ROW_REQUIRED,
  .min = 1, .max = LADE_PIPE_TOPICS_MAX,
  .help = "Their names; one that begins with ^ is a regular expression." },
{ "source.kafka.group", LADE_ROW_TEXT, IN_CONFIG(source.group), .flags = LADE_ROW_REQUIRED,
  .help = "The consumer group: its members share the partitions, and its offsets are kept." },
{ "source.kafka.instance", LADE_ROW_TEXT, IN_CONFIG(source.instance),
  .help = "This member's lasting name: back within the session's time it has its partitions." },
{ "source.kafka.start", LADE_ROW_WORD, IN_CONFIG(source.start), .unset = "earliest",
  .words = "earliest|latest", .help = "Where to begin a partition of which no offset is kept." },
{ "source.kafka.on_gap", LADE_ROW_WORD, IN_CONFIG(source.on_gap), .unset = "stop",
  .words = "stop|earliest|latest",
  .help = "When the next message was deleted before it was read: stop, or go on from there." },
{ "source.kafka.tombstone", LADE_ROW_WORD, IN_CONFIG(source.tombstone), .unset = "auto",
  .words = "auto|pass|drop|delete|reject",
  .help = "A message without a value: deletes its key's row where it can, goes on to topics." },
{ "source.kafka.librdkafka", LADE_ROW_MAP, IN_CONFIG(source.client), .flags = LADE_ROW_SECRET,
  .max = LADE_PIPE_SETTINGS_MAX,
  .help = "Further settings of librdkafka, as security.protocol." },
{ "source.postgres", LADE_ROW_CHOICE, IN_CONFIG(source.kind), .min = LADE_SOURCE_POSTGRES,
  .help = "A table of a PostgreSQL database that grows: each row is a message, an object." },
{ "source.postgres.db", LADE_ROW_TEXT, IN_CONFIG(source.db), .flags = LADE_ROW_REQUIRED,
  .help = "The database, by its name in databases." },
{ "source.postgres.table", LADE_ROW_TEXT, IN_CONFIG(source.table), .flags = LADE_ROW_REQUIRED,
  .help = "The table, as in SQL." },
{ "source.postgres.key", LADE_ROW_TEXT, IN_CONFIG(source.key), .flags = LADE_ROW_REQUIRED,
  .help = "Its unique column of integers, as a bigserial." },
{ "source.postgres.xid", LADE_ROW_TEXT, IN_CONFIG(source.xid),
  .help = "Its column with the row's transaction: xid8 not null default pg_current_xact_id()." },
{ "source.postgres.outbox", LADE_ROW_BOOL, IN_CONFIG(source.outbox), .unset = "false",
  .help = "Rows are deleted in the sink's transaction, which must be of the same database." },
{ "source.postgres.settle", LADE_ROW_DURATION, IN_CONFIG(source.settle_ns), .min = NS_MS,
  .max = NS_H, .help = "Without xid: how long a key has been there before it is read; 10s." },
{ "source.postgres.follow", LADE_ROW_BOOL, IN_CONFIG(source.follow), .unset = "false",
  .help = "Wait for more rows." },
{ "source.max_message_bytes", LADE_ROW_BYTES, IN_CONFIG(source.message_bytes_max),
  .unset = "1MiB", .min = 64, .max = 64 * MIB, .help = "A longer line is rejected." },
{ "source.format", LADE_ROW_WORD, IN_CONFIG(source.format), .unset = "json",
  .words = "json|csv|text|bytes", .later = "avro",
  .help = "json: an object; csv: a record, whose fields become members; text: UTF-8; bytes: any." },
{ "source.csv", LADE_ROW_SECTION, IN_CONFIG(source.csv_given), .help = "How CSV is written." },
{ "source.csv.delimiter", LADE_ROW_TEXT, IN_CONFIG(source.csv_delimiter), .unset = ",",
  .help = "The byte between two fields; \"\\t\" is a tab." },
{ "source.csv.header", LADE_ROW_TEXTS, IN_CONFIG(source.csv_header), .max = LADE_CSV_FIELDS_MAX,
  .help = "Names of the fields of files that have no header." },

{ "batch", LADE_ROW_SECTION, NOWHERE,
  .help = "A batch closes at the first of these; it is never empty." },
{ "batch.max_messages", LADE_ROW_COUNT, IN_CONFIG(batch.messages_max), .unset = "500", .min = 1,
  .max = 100000, .help = "Messages of a batch." },
{ "batch.max_bytes", LADE_ROW_BYTES, IN_CONFIG(batch.bytes_max), .unset = "1MiB", .min = KIB,
  .max = GIB, .help = "Bytes of a batch's messages; one longer message is a batch of its own." },
{ "batch.linger", LADE_ROW_DURATION, IN_CONFIG(batch.linger_ns), .unset = "50ms", .min = 0,
  .max = NS_H,
  .help = "Time after the batch's FIRST message; 0 takes what is there and does not wait." },
{ "batch.idle", LADE_ROW_DURATION, IN_CONFIG(batch.idle_ns), .unset = "0", .min = 0, .max = NS_H,
  .help = "Time after the batch's LAST message; 0: off." },
{ "batch.ahead", LADE_ROW_COUNT, IN_CONFIG(batch.ahead), .unset = "2", .min = 1, .max = 100,
  .help = "Batches that form while earlier ones are processed." },

{ "order", LADE_ROW_SECTION, NOWHERE,
  .help = "What keeps its order on the way out: partition, none, or { key: PATH }." },
{ "order.by", LADE_ROW_WORD, IN_CONFIG(order), .unset = "partition", .words = "partition|none",
  .flags = LADE_ROW_SHORT,
  .help = "partition: each lane, a partition or a file, in its order; none: as they are done." },
{ "order.key", LADE_ROW_TEXT, IN_CONFIG(order_key),
  .help = "Messages of one key (and partition) keep their order: .customer, or @key." },
{ "concurrency", LADE_ROW_COUNT, IN_CONFIG(concurrency), .unset = "4", .min = 1, .max = 256,
  .help = "Batches that go through the steps at once." },

{ "steps", LADE_ROW_SECTIONS, IN_CONFIG(n_steps), .max = LADE_PIPE_STEPS_MAX,
  .help = "What is done with each batch, in this order." },
{ "steps[].name", LADE_ROW_TEXT, IN_STEP(name),
  .help = "The step's name in reports; by default its type and place: sql1." },
{ "steps[].sql", LADE_ROW_CHOICE, IN_STEP(kind), .min = LADE_STEP_SQL,
  .help = "ONE query for the whole batch, which is a table: batch(i, KEYS)." },
{ "steps[].sql.db", LADE_ROW_TEXT, IN_STEP(db), .flags = LADE_ROW_REQUIRED,
  .help = "The database, by its name in databases." },
{ "steps[].sql.keys", LADE_ROW_MAP, IN_STEP(keys), .flags = LADE_ROW_REQUIRED, .min = 1,
  .max = 64, .help = "Columns of batch: a name, and a type and path: origin: text .origin." },
{ "steps[].sql.query", LADE_ROW_TEXT, IN_STEP(query), .flags = LADE_ROW_REQUIRED,
  .help = "A SELECT that returns b.i and the columns that the message gets." },
{ "steps[].sql.into", LADE_ROW_TEXT, IN_STEP(into), .flags = LADE_ROW_REQUIRED,
  .help = "The path that gets the row as an object." },
{ "steps[].sql.many", LADE_ROW_BOOL, IN_STEP(many), .unset = "false",
  .help = "Several rows of one message make an array; else they are an error." },
{ "steps[].sql.on_missing", LADE_ROW_WORD, IN_STEP(on_missing), .unset = "keep",
  .words = "keep|reject", .help = "What happens to a message without a row." },
{ "steps[].sql.timeout", LADE_ROW_DURATION, IN_STEP(timeout_ns), .unset = "5s", .min = NS_MS,
  .max = NS_H, .help = "Time for the query of one batch." },
{ "steps[].sql.cache", LADE_ROW_SECTION, IN_STEP(cache.on),
  .help = "Rows are kept by all of their keys; without this there is no cache." },
{ "steps[].sql.cache.ttl", LADE_ROW_DURATION, IN_STEP(cache.ttl_ns), .flags = LADE_ROW_REQUIRED,
  .min = NS_MS, .max = 30 * NS_D, .help = "How long a row is used." },
{ "steps[].sql.cache.negative_ttl", LADE_ROW_DURATION, IN_STEP(cache.negative_ttl_ns),
  .unset = "0", .min = 0, .max = 30 * NS_D, .help = "How long \"no row\" is used; 0: not at all." },
{ "steps[].sql.cache.max_bytes", LADE_ROW_BYTES, IN_STEP(cache.bytes_max), .unset = "16MiB",
  .min = 64 * KIB, .max = 64 * GIB, .help = "Memory for rows and their keys." },
{ "steps[].http", LADE_ROW_CHOICE, IN_STEP(kind), .min = LADE_STEP_HTTP,
  .help = "A GET or POST per message or per batch, concurrent, cached and timed out." },
{ "steps[].http.get", LADE_ROW_TEXT, IN_STEP(get),
  .help = "The address; {.path} in a segment or in the query is percent-encoded; or else post." },
{ "steps[].http.post", LADE_ROW_TEXT, IN_STEP(post),
  .help = "The address of a POST, with holes as in get; it has an Idempotency-Key." },
{ "steps[].http.body", LADE_ROW_TEXT, IN_STEP(body),
  .help = "post: what is sent, as JSON: a type and path; by default the message: json ." },
{ "steps[].http.batch", LADE_ROW_BOOL, IN_STEP(batch), .unset = "false",
  .help = "post: ONE request per batch, an array of bodies, answered by an array." },
{ "steps[].http.match", LADE_ROW_TEXT, IN_STEP(match),
  .help = "batch: a path with an equal value in body and answer; by default by position." },
{ "steps[].http.headers", LADE_ROW_MAP, IN_STEP(keys), .flags = LADE_ROW_SECRET, .max = 32,
  .help = "Request headers with their values." },
{ "steps[].http.expect", LADE_ROW_TEXT, IN_STEP(expect),
  .help = "A path: an answer in which it is not there, null or false is a failure that passes." },
{ "steps[].http.into", LADE_ROW_TEXT, IN_STEP(into), .flags = LADE_ROW_REQUIRED,
  .help = "The path that gets the answer, which is JSON." },
{ "steps[].http.concurrency", LADE_ROW_COUNT, IN_STEP(concurrency), .unset = "32", .min = 1,
  .max = 1024, .help = "Requests at once, counted over all batches." },
{ "steps[].http.timeout", LADE_ROW_DURATION, IN_STEP(timeout_ns), .unset = "5s", .min = NS_MS,
  .max = NS_H, .help = "Time for one request." },
{ "steps[].http.retries", LADE_ROW_COUNT, IN_STEP(retries), .unset = "2", .min = 0, .max = 100,
  .help = "Further attempts inside of the step, then on_error." },
{ "steps[].http.on_missing", LADE_ROW_WORD, IN_STEP(on_missing), .unset = "keep",
  .words = "keep|reject", .help = "What happens to a message whose answer is 404." },
{ "steps[].http.on_error", LADE_ROW_WORD, IN_STEP(on_error), .unset = "retry",
  .words = "retry|keep|reject",
  .help = "After the retries: try the message again later, pass it on without, or reject it." },
{ "steps[].http.hedge", LADE_ROW_DURATION, IN_STEP(hedge_ns), .unset = "0", .min = 0, .max = NS_H,
  .help = "get: without an answer for so long it is asked again, and the first counts; 0: not." },
{ "steps[].http.breaker", LADE_ROW_SECTION, IN_STEP(breaker.given),
  .help = "A service that fails is left alone for a while; without this too, but for keep." },
{ "steps[].http.breaker.failures", LADE_ROW_COUNT, IN_STEP(breaker.failures_max), .unset = "20",
  .min = 0, .max = 1000000, .help = "Failures in a row that pass; then it opens. 0: never." },
{ "steps[].http.breaker.pause", LADE_ROW_DURATION, IN_STEP(breaker.pause_ns), .unset = "5s",
  .min = NS_MS, .max = NS_H, .help = "No request is made for so long, and then one, as a probe." },
{ "steps[].http.cache", LADE_ROW_SECTION, IN_STEP(cache.on),
  .help = "Answers are kept by all that the service sees; without this there is no cache." },
{ "steps[].http.cache.ttl", LADE_ROW_DURATION, IN_STEP(cache.ttl_ns),
  .flags = LADE_ROW_REQUIRED, .min = NS_MS, .max = 30 * NS_D,
  .help = "How long an answer is used." },
{ "steps[].http.cache.negative_ttl", LADE_ROW_DURATION, IN_STEP(cache.negative_ttl_ns),
  .unset = "0", .min = 0, .max = 30 * NS_D, .help = "How long a 404 is used; 0: not at all." },
{ "steps[].http.cache.stale_while_revalidate", LADE_ROW_DURATION, IN_STEP(cache.stale_ns),
  .unset = "0", .min = 0, .max = 30 * NS_D,
  .help = "How much longer an answer is used while it is fetched anew." },
{ "steps[].http.cache.max_bytes", LADE_ROW_BYTES, IN_STEP(cache.bytes_max), .unset = "16MiB",
  .min = 64 * KIB, .max = 64 * GIB, .help = "Memory for answers and their addresses." },
{ "steps[].transform", LADE_ROW_CHOICE, IN_STEP(kind), .min = LADE_STEP_TRANSFORM,
  .help = "SQL over the batch: with i and value per message, without i an aggregate." },
{ "steps[].transform.fields", LADE_ROW_MAP, IN_STEP(keys), .max = 64,
  .help = "Columns of batch: a name, and a type and path: delay: integer .delay." },
{ "steps[].transform.query", LADE_ROW_TEXT, IN_STEP(query), .flags = LADE_ROW_REQUIRED,
  .help = "A SELECT from batch; a message without a row is dropped." },
{ "steps[].transform.timeout", LADE_ROW_DURATION, IN_STEP(timeout_ns), .unset = "5s",
  .min = NS_MS, .max = NS_H, .help = "Time for the query of one batch." },
{ "steps[].plugin", LADE_ROW_CHOICE, IN_STEP(kind), .min = LADE_STEP_PLUGIN,
  .help = "A shared library that does the step, in C: see lade/plugin.h." },
{ "steps[].plugin.path", LADE_ROW_TEXT, IN_STEP(path), .flags = LADE_ROW_REQUIRED | LADE_ROW_SHORT,
  .help = "Its file, from the pipeline's own folder." },
{ "steps[].plugin.into", LADE_ROW_TEXT, IN_STEP(into),
  .help = "The path that gets what it says of a message, which is JSON." },
{ "steps[].plugin.config", LADE_ROW_TEXT, IN_STEP(plugin_config),
  .help = "A text that it is told at the start." },

{ "sink", LADE_ROW_SECTIONS, IN_CONFIG(n_sinks), .flags = LADE_ROW_REQUIRED,
  .max = LADE_PIPE_SINKS_MAX, .help = "Where messages go; a message is done when all have it." },
{ "sink[].sqlite", LADE_ROW_CHOICE, IN_SINK(kind), .min = LADE_SINK_SQLITE,
  .help = "A table of an SQLite database." },
{ "sink[].sqlite.db", LADE_ROW_TEXT, IN_SINK(db),
  .help = "The database, by its name in databases; or else path." },
{ "sink[].sqlite.path", LADE_ROW_TEXT, IN_SINK(path), .help = "The database's file; or else db." },
{ "sink[].sqlite.table", LADE_ROW_TEXT, IN_SINK(table), .flags = LADE_ROW_REQUIRED,
  .help = "The table; its columns are read at the start." },
{ "sink[].sqlite.columns", LADE_ROW_MAP, IN_SINK(columns), .max = LADE_PIPE_NAMES_MAX,
  .help = "A column, and a type and path; without this, members are matched by name." },
{ "sink[].sqlite.key", LADE_ROW_TEXTS, IN_SINK(key), .max = 16,
  .help = "The columns that make two rows the same row." },
{ "sink[].sqlite.on_conflict", LADE_ROW_WORD, IN_SINK(on_conflict), .unset = "error",
  .words = "error|update|nothing", .help = "What happens to a row whose key is there." },
{ "sink[].sqlite.version", LADE_ROW_TEXT, IN_SINK(version),
  .help = "With update: only a row with a higher value in this column replaces one." },
{ "sink[].sqlite.extra", LADE_ROW_WORD, IN_SINK(extra), .unset = "reject",
  .words = "reject|ignore", .help = "What happens to members that are no column." },
{ "sink[].sqlite.create", LADE_ROW_BOOL, IN_SINK(create), .unset = "false",
  .help = "Make the table from columns and key where it is missing." },
{ "sink[].file", LADE_ROW_CHOICE, IN_SINK(kind), .min = LADE_SINK_FILE,
  .help = "A file, one message per line." },
{ "sink[].file.path", LADE_ROW_TEXT, IN_SINK(path), .flags = LADE_ROW_REQUIRED | LADE_ROW_SHORT,
  .help = "The file, from the pipeline's own folder." },
{ "sink[].file.fsync", LADE_ROW_WORD, IN_SINK(fsync), .unset = "batch", .words = "batch|none",
  .help = "batch: on the disk before a batch is done; none: a power cut may lose lines." },
{ "sink[].stdout", LADE_ROW_CHOICE, IN_SINK(kind), .min = LADE_SINK_STDOUT,
  .help = "Standard output, one message per line." },
{ "sink[].kafka", LADE_ROW_CHOICE, IN_SINK(kind), .min = LADE_SINK_KAFKA,
  .help = "A topic of a Kafka cluster." },
{ "sink[].kafka.topic", LADE_ROW_TEXT, IN_SINK(topic), .flags = LADE_ROW_REQUIRED | LADE_ROW_SHORT,
  .help = "The topic; it must be there." },
{ "sink[].kafka.brokers", LADE_ROW_TEXT, IN_SINK(brokers),
  .help = "Brokers to begin with: HOST:PORT, with commas between; by default the source's." },
{ "sink[].kafka.key", LADE_ROW_TEXT, IN_SINK(message_key),
  .help = "The key, as a type and path: .from; by default the one that the message came with." },
{ "sink[].kafka.compression", LADE_ROW_WORD, IN_SINK(compression), .unset = "none",
  .words = "none|gzip|snappy|lz4|zstd", .help = "How batches of messages are compressed." },
{ "sink[].kafka.instance", LADE_ROW_TEXT, IN_SINK(instance),
  .help = "exactly_once: this process among those of the pipeline; by default host and number." },
{ "sink[].kafka.librdkafka", LADE_ROW_MAP, IN_SINK(client), .flags = LADE_ROW_SECRET,
  .max = LADE_PIPE_SETTINGS_MAX, .help = "Further settings of librdkafka, as security.protocol." },
{ "sink[].postgres", LADE_ROW_CHOICE, IN_SINK(kind), .min = LADE_SINK_POSTGRES,
  .help = "A table of a PostgreSQL database." },
{ "sink[].postgres.db", LADE_ROW_TEXT, IN_SINK(db), .flags = LADE_ROW_REQUIRED,
  .help = "The database, by its name in databases." },
{ "sink[].postgres.table", LADE_ROW_TEXT, IN_SINK(table), .flags = LADE_ROW_REQUIRED,
  .help = "The table, as in SQL; its columns are read at the start." },
{ "sink[].postgres.columns", LADE_ROW_MAP, IN_SINK(columns), .max = LADE_PIPE_NAMES_MAX,
  .help = "A column, and a type and path; without this, members are matched by name." },
{ "sink[].postgres.key", LADE_ROW_TEXTS, IN_SINK(key), .max = 16,
  .help = "The columns that make two rows the same row." },
{ "sink[].postgres.on_conflict", LADE_ROW_WORD, IN_SINK(on_conflict), .unset = "error",
  .words = "error|update|nothing", .help = "What happens to a row whose key is there." },
{ "sink[].postgres.version", LADE_ROW_TEXT, IN_SINK(version),
  .help = "With update: only a row with a higher value in this column replaces one." },
{ "sink[].postgres.extra", LADE_ROW_WORD, IN_SINK(extra), .unset = "reject",
  .words = "reject|ignore", .help = "What happens to members that are no column." },
{ "sink[].postgres.create", LADE_ROW_BOOL, IN_SINK(create), .unset = "false",
  .help = "Make the table from columns and key where it is missing." },

{ "delivery", LADE_ROW_WORD, IN_CONFIG(delivery), .unset = "at_least_once",
  .words = "at_least_once|exactly_once",
  .help = "exactly_once: into one table of a database, or topics of the source's own cluster." },

{ "errors", LADE_ROW_SECTION, NOWHERE, .help = "What happens when something fails." },
{ "errors.max_attempts", LADE_ROW_COUNT, IN_CONFIG(errors.attempts_max), .unset = "5", .min = 1,
  .max = 1000, .help = "Attempts before a passing error counts against a message." },
{ "errors.backoff", LADE_ROW_RANGE, IN_CONFIG(errors.backoff_min_ns), .unset = "100ms..10s",
  .min = NS_MS, .max = NS_H, .help = "The pause between attempts: it doubles from .. to." },
{ "errors.max_reject_rate", LADE_ROW_PERCENT, IN_CONFIG(errors.reject_rate_max), .unset = "10%",
  .min = 0, .max = 10000,
  .help = "Above this share of this run's last 1,000 messages reading stops; 100%: never." },
{ "errors.dead_letter", LADE_ROW_SECTION, NOWHERE,
  .help = "Where rejected messages go; without one the first stops the pipeline (exit 4)." },
{ "errors.dead_letter.file", LADE_ROW_CHOICE, IN_CONFIG(errors.dead_kind), .min = LADE_DEAD_FILE,
  .help = "A file, one rejected message with its reason per line." },
{ "errors.dead_letter.file.path", LADE_ROW_TEXT, IN_CONFIG(errors.dead_file),
  .flags = LADE_ROW_REQUIRED | LADE_ROW_SHORT,
  .help = "The file, from the pipeline's own folder." },
{ "errors.dead_letter.table", LADE_ROW_CHOICE, IN_CONFIG(errors.dead_kind),
  .min = LADE_DEAD_TABLE,
  .help = "A table in the database of the sink; made where it is missing." },
{ "errors.dead_letter.table.name", LADE_ROW_TEXT, IN_CONFIG(errors.dead_table),
  .flags = LADE_ROW_REQUIRED | LADE_ROW_SHORT, .help = "The table's name." },
{ "errors.dead_letter.kafka", LADE_ROW_CHOICE, IN_CONFIG(errors.dead_kind),
  .min = LADE_DEAD_KAFKA,
  .help = "A topic, which gets the message as it came, and in its headers why." },
{ "errors.dead_letter.kafka.topic", LADE_ROW_TEXT, IN_CONFIG(errors.dead_topic),
  .flags = LADE_ROW_REQUIRED | LADE_ROW_SHORT,
  .help = "The topic, in the cluster of the source or else of the first Kafka sink." },

{ "shutdown_timeout", LADE_ROW_DURATION, IN_CONFIG(shutdown_timeout_ns), .unset = "25s",
  .min = 0, .max = NS_H, .help = "Time to finish after SIGTERM, then what is done is committed." },
{ "drain_timeout", LADE_ROW_DURATION, IN_CONFIG(drain_timeout_ns), .unset = "10s", .min = 0,
  .max = NS_H, .help = "Time to finish a lane that is taken away." },
{ "max_in_flight", LADE_ROW_COUNT, IN_CONFIG(in_flight_max), .min = 1, .max = 10000000,
  .help = "Unfinished messages of a lane; by default 10 x batch.max_messages." },
{ "max_memory", LADE_ROW_BYTES, IN_CONFIG(memory_bytes_max), .unset = "32MiB", .min = MIB,
  .max = 64 * GIB, .help = "Bytes of unfinished messages in all; then reading stops." },
{ "max_transaction", LADE_ROW_COUNT, IN_CONFIG(transaction_max), .min = 1, .max = 10000000,
  .help = "Messages of a transaction; by default 10 x batch.max_messages, into Kafka 20 x"
	  " and 10,000 at least." },
{ "unhealthy_after", LADE_ROW_DURATION, IN_CONFIG(unhealthy_after_ns), .unset = "60s",
  .min = NS_S, .max = NS_D,
  .help = "A message unfinished for longer, or a sink down for longer, fails /health." },
{ "metrics", LADE_ROW_SECTION, IN_CONFIG(metrics_given),
  .help = "Figures in Prometheus' format and the state of health, over HTTP." },
{ "metrics.listen", LADE_ROW_TEXT, IN_CONFIG(metrics_listen),
  .flags = LADE_ROW_REQUIRED | LADE_ROW_SHORT,
  .help = "The address of /metrics and /health, as 127.0.0.1:9464; port 0: any that is free." },
{ "admin", LADE_ROW_SECTION, IN_CONFIG(admin_given), .help = "How lade top and lade tap find it." },
{ "admin.socket", LADE_ROW_TEXT, IN_CONFIG(admin_socket),
  .flags = LADE_ROW_REQUIRED | LADE_ROW_SHORT,
  .help = "A UNIX socket's file, or none; by default $XDG_RUNTIME_DIR/lade/PIPELINE.sock." },
{ .key = NULL },
};

/* The part of @key behind "@parent.", or NULL when it is elsewhere. */
static const char *below(const char *key, const char *parent)
{
	size_t len = strlen(parent);

	if (len == 0)
		return key;
	return strncmp(key, parent, len) == 0 && key[len] == '.' ? key + len + 1 : NULL;
}

const struct lade_pipe_row *lade_pipe_row_child(const struct lade_pipe_row *row,
						const char *parent)
{
	for (; row->key; row++) {
		const char *rest = below(row->key, parent);

		if (rest && !strchr(rest, '.'))
			return row;
	}
	return NULL;
}

const char *lade_pipe_row_name(const struct lade_pipe_row *row)
{
	const char *dot = strrchr(row->key, '.');

	return dot ? dot + 1 : row->key;
}

const struct lade_pipe_row *lade_pipe_row_find(const char *parent, const char *name)
{
	const struct lade_pipe_row *row = lade_pipe_row_child(lade_pipe_rows, parent);

	while (row && strcmp(lade_pipe_row_name(row), name) != 0)
		row = lade_pipe_row_child(row + 1, parent);
	return row;
}

const struct lade_pipe_row *lade_pipe_row_elsewhere(const char *name)
{
	for (const struct lade_pipe_row *row = lade_pipe_rows; row->key; row++)
		if (strcmp(lade_pipe_row_name(row), name) == 0)
			return row;
	return NULL;
}

static int least(int a, int b)
{
	return a < b ? a : b;
}

static char lower(char c)
{
	if (c == '-')
		return '_';
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* How many letters to change, add, drop or swap (Damerau and Levenshtein's distance, a
 * letter touched once).  Case counts for nothing, and - is _. */
static int distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int rows[NEAR_MAX + 1][NEAR_MAX + 1];

	if (a_len > NEAR_MAX || b_len > NEAR_MAX)
		return NEAR_MAX;
	for (size_t i = 0; i <= a_len; i++)
		rows[i][0] = (int)i;
	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = (int)j;
	for (size_t i = 1; i <= a_len; i++) {
		for (size_t j = 1; j <= b_len; j++) {
			int change = rows[i - 1][j - 1] + (lower(a[i - 1]) != lower(b[j - 1]));
			int best = least(change, least(rows[i - 1][j], rows[i][j - 1]) + 1);

			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
			    lower(a[i - 2]) == lower(b[j - 1]))
				best = least(best, rows[i - 2][j - 2] + 1);
			rows[i][j] = best;
		}
	}
	return rows[a_len][b_len];
}

/* Up to a third of the letters may be wrong. */
static int tolerance(size_t len)
{
	return len < 3 ? 0 : len < 6 ? 1 : (int)(len / 3);
}

const struct lade_pipe_row *lade_pipe_row_near(const char *parent, const char *name)
{
	const struct lade_pipe_row *row = lade_pipe_row_child(lade_pipe_rows, parent), *best = NULL;
	int best_distance = tolerance(strlen(name)) + 1;

	for (; row; row = lade_pipe_row_child(row + 1, parent)) {
		const char *other = lade_pipe_row_name(row);
		int d = distance(name, strlen(name), other, strlen(other));

		if (d < best_distance) {
			best_distance = d;
			best = row;
		}
	}
	return best;
}

const char *lade_pipe_word_at(const char *words, int number, size_t *ret_len)
{
	while (number-- && *words) {
		words += strcspn(words, "|");
		words += *words == '|';
	}
	*ret_len = strcspn(words, "|");
	return words;
}

int lade_pipe_word_number(const char *words, const char *text)
{
	for (int i = 0;; i++) {
		size_t len;
		const char *word = lade_pipe_word_at(words, i, &len);

		if (len == 0)
			return -1;
		if (strlen(text) == len && memcmp(word, text, len) == 0)
			return i;
	}
}

size_t lade_pipe_word_near(const char *words, const char *text, const char **ret)
{
	int best_distance = tolerance(strlen(text)) + 1;
	size_t best = 0;

	for (int i = 0;; i++) {
		size_t len;
		const char *word = lade_pipe_word_at(words, i, &len);
		int d;

		if (len == 0)
			return best;
		d = distance(text, strlen(text), word, len);
		if (d < best_distance) {
			best_distance = d;
			best = len;
			*ret = word;
		}
	}
}
