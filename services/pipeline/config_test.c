/* SPDX-License-Identifier: MIT */
/* config_test.c - whole files: what they mean, what is wrong with them, how they are shown. */

#include "services/pipeline/config.h"

#include <errno.h>

#include "services/pipeline/config_table.h"
#include "tap.h"

/* The smallest pipeline; tests add to it. */
#define HEAD "pipeline: p\nsource: { file: in.ndjson }\nsink: { stdout: }\n"
#define STDIN_HEAD "pipeline: p\nsource: { stdin: }\nsink: { stdout: }\n"
#define DB_HEAD "pipeline: p\nsource: { file: in.ndjson }\ndatabases: { out: \"sqlite:o.db\" }\n"

static struct lade_pipe_config *config;

static int parse(const char *text)
{
	lade_pipe_config_free(config);
	config = lade_pipe_config_new();
	return lade_pipe_config_parse(config, "p.yaml", text, strlen(text));
}

static void check_complaint(const char *text, const char *place, const char *reason)
{
	const char *said;
	char want[32];

	snprintf(want, sizeof(want), "p.yaml:%s: ", place);
	CHECK_EQ(parse(text), -EINVAL);
	said = lade_pipe_config_problems(config, false);
	if (!strstr(said, want) || !strstr(said, reason)) {
		printf("# in: %s\n# want: %s %s\n", text, want, reason);
		CHECK_STR(said, reason);
	}
}

/* A mistake behind a good head; where it is said to be, and words of what is said. */
struct mistake {
	const char *text, *place, *reason;
};

static void check_mistakes(const struct mistake *mistakes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_complaint(mistakes[i].text, mistakes[i].place, mistakes[i].reason);
}

static void check_fine(const char *text)
{
	int rc = parse(text);

	CHECK_EQ(rc, 0);
	if (rc < 0)
		CHECK_STR(text, lade_pipe_config_problems(config, false));
}

static const char full[] =
	"config: 1\n"
	"pipeline: flights\n"
	"databases: { main: \"sqlite:airports.db\", out: \"sqlite:out.db\" }\n"
	"source:\n"
	"  file: { path: flights.ndjson, on_truncate: restart }\n"
	"  max_message_bytes: 64KiB\n"
	"batch: { max_messages: 100, max_bytes: 512KiB, linger: 20ms, idle: 10ms, ahead: 3 }\n"
	"order: partition\n"
	"concurrency: 2\n"
	"steps:\n"
	"  - name: airports\n"
	"    sql:\n"
	"      db: main\n"
	"      keys: { origin: \"text .origin\", destination: \"text? .destination\" }\n"
	"      query: >\n"
	"        select b.i, o.city from batch b\n"
	"        left join airports o on o.iata = b.origin\n"
	"      into: .airports\n"
	"      many: true\n"
	"      on_missing: reject\n"
	"      timeout: 4s\n"
	"      cache: { ttl: 60s, negative_ttl: 5s, max_bytes: 1MiB }\n"
	"  - http:\n"
	"      get: \"http://weather/at/{.origin}\"\n"
	"      headers: { Authorization: \"Bearer x\" }\n"
	"      into: .weather\n"
	"      timeout: 300ms\n"
	"      retries: 0\n"
	"      on_error: keep\n"
	"  - http:\n"
	"      post: \"http://scores/\"\n"
	"      body: json .weather\n"
	"      batch: true\n"
	"      match: .id\n"
	"      into: .score\n"
	"  - transform:\n"
	"      fields: { delay: \"integer .delay\" }\n"
	"      query: select i, m as value from batch where delay > 15\n"
	"sink:\n"
	"  - sqlite:\n"
	"      db: out\n"
	"      table: delays\n"
	"      key: [part, id]\n"
	"      on_conflict: update\n"
	"      version: delay\n"
	"      create: true\n"
	"      columns:\n"
	"        { part: \"integer @partition\", id: \"integer @offset\", delay: integer .delay }\n"
	"  - file: { path: out.ndjson, fsync: none }\n"
	"delivery: at_least_once\n"
	"errors:\n"
	"  max_attempts: 7\n"
	"  backoff: 200ms..5s\n"
	"  max_reject_rate: 2.5%\n"
	"  dead_letter: { table: rejected }\n"
	"shutdown_timeout: 20s\n"
	"max_memory: 64MiB\n";

static void a_full_file_means_what_it_says(void)
{
	const struct lade_pipe_step *sql, *http;
	const struct lade_pipe_sink *sqlite;

	check_fine(full);
	sql = &config->steps[0];
	http = &config->steps[1];
	sqlite = &config->sinks[0];
	CHECK_STR(config->name, "flights");
	CHECK_EQ(config->source.kind, LADE_SOURCE_FILE);
	CHECK_STR(config->source.path, "flights.ndjson");
	CHECK_EQ(config->source.on_truncate, LADE_TRUNCATE_RESTART);
	CHECK_EQ(config->source.message_bytes_max, 65536);
	CHECK_EQ(config->batch.messages_max, 100);
	CHECK_EQ(config->batch.linger_ns, 20000000);
	CHECK_EQ(config->n_steps, 4);
	CHECK_EQ(sql->kind, LADE_STEP_SQL);
	CHECK_STR(sql->name, "airports");
	CHECK_EQ(sql->keys.n, 2);
	CHECK_STR(sql->keys.at[1].name, "destination");
	CHECK_STR(sql->keys.at[1].text, "text? .destination");
	CHECK(sql->many);
	CHECK_EQ(sql->on_missing, LADE_MISSING_REJECT);
	CHECK(sql->cache.on);
	CHECK_EQ(sql->cache.ttl_ns, 60000000000);
	CHECK_STR(http->name, "http2");
	CHECK_EQ(http->retries, 0);
	CHECK_EQ(http->concurrency, 32);
	CHECK_EQ(http->on_error, LADE_ERROR_KEEP);
	CHECK(!http->cache.on);
	CHECK_STR(config->steps[2].post, "http://scores/");
	CHECK_STR(config->steps[2].match, ".id");
	CHECK_EQ(config->steps[3].timeout_ns, 5000000000);
	CHECK_EQ(config->n_sinks, 2);
	CHECK_EQ(sqlite->key.n, 2);
	CHECK_STR(sqlite->key.at[1].text, "id");
	CHECK_EQ(sqlite->on_conflict, LADE_CONFLICT_UPDATE);
	CHECK(sqlite->create);
	CHECK_EQ(config->sinks[1].fsync, LADE_FSYNC_NONE);
	CHECK_EQ(config->errors.backoff_min_ns, 200000000);
	CHECK_EQ(config->errors.backoff_max_ns, 5000000000);
	CHECK_EQ(config->errors.reject_rate_max, 250);
	CHECK_EQ(config->errors.dead_kind, LADE_DEAD_TABLE);
	CHECK_STR(config->errors.dead_table, "rejected");
	CHECK_EQ(config->in_flight_max, 1000);
	CHECK_EQ(config->memory_bytes_max, 64 << 20);
}

static void a_short_file_gets_the_defaults(void)
{
	check_fine(HEAD);
	CHECK_STR(config->source.path, "in.ndjson");
	CHECK_EQ(config->source.message_bytes_max, 1 << 20);
	CHECK_EQ(config->batch.messages_max, 500);
	CHECK_EQ(config->batch.bytes_max, 1 << 20);
	CHECK_EQ(config->batch.linger_ns, 50000000);
	CHECK_EQ(config->batch.idle_ns, 0);
	CHECK_EQ(config->batch.ahead, 2);
	CHECK_EQ(config->concurrency, 4);
	CHECK_EQ(config->order, LADE_ORDER_PARTITION);
	CHECK_EQ(config->delivery, LADE_AT_LEAST_ONCE);
	CHECK_EQ(config->errors.attempts_max, 5);
	CHECK_EQ(config->errors.reject_rate_max, 1000);
	CHECK_EQ(config->errors.dead_kind, LADE_DEAD_NONE);
	CHECK_EQ(config->shutdown_timeout_ns, 25000000000);
	CHECK_EQ(config->in_flight_max, 5000);
	CHECK_EQ(config->transaction_max, 5000);
	CHECK_EQ(config->n_steps, 0);
	CHECK_EQ(config->sinks[0].kind, LADE_SINK_STDOUT);
}

/* Offsets are kept by it. */
static void a_path_that_is_spelled_otherwise_is_the_same(void)
{
	static const char *const same[][2] = {
		{ "./in.ndjson", "in.ndjson" },	    { ".//a/./b", "a/b" },
		{ "a///b", "a/b" },		    { "/x//./y", "/x/y" },
		{ "//x", "/x" },		    { "../a/..b/.c", "../a/..b/.c" },
		{ "a/../b", "a/../b" },		    { "./", "./" },
	};
	char text[200];

	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++) {
		snprintf(text, sizeof(text), "config: 1\npipeline: p\nsource: { file: \"%s\" }\n"
			 "sink: { stdout: {} }\n", same[i][0]);
		check_fine(text);
		CHECK_STR(config->source.topic, same[i][1]);
	}
}

static void an_unknown_key_gets_its_place_and_a_guess(void)
{
	static const struct mistake mistakes[] = {
		{ HEAD "batc: { linger: 5ms }\n", "4:1", "did you mean batch?" },
		{ HEAD "batch: { lingr: 5ms }\n", "4:10", "did you mean linger?" },
		{ HEAD "batch: { max-messages: 5 }\n", "4:10", "did you mean max_messages?" },
		{ HEAD "batch: { maxmesages: 5 }\n", "4:10", "did you mean max_messages?" },
		{ HEAD "Order: none\n", "4:1", "did you mean order?" },
		{ HEAD "linger: 5ms\n", "4:1", "does not belong here, but at batch.linger" },
		{ HEAD "batch: { frobnicate: 5 }\n", "4:10",
		  "unknown key \"frobnicate\" in batch" },
		{ HEAD "xyzzy: 5\n", "4:1", "in the file; lade check --keys" },
		{ HEAD "steps:\n  - sql:\n      qeury: x\n", "6:7", "sql.query is missing" },
		{ HEAD "steps:\n  - sql:\n      qeury: x\n", "6:7", "did you mean query?" },
	};

	check_mistakes(mistakes, sizeof(mistakes) / sizeof(*mistakes));
}

static void a_misspelt_choice_is_one_mistake(void)
{
	check_complaint(HEAD "steps:\n  - transfrom: { query: select 1 }\n", "5:5",
			"did you mean transform?");
	CHECK(!strstr(lade_pipe_config_problems(config, false), "expected exactly one of"));
}

static void a_wrong_value_gets_its_place_and_what_was_expected(void)
{
	static const struct mistake mistakes[] = {
		{ HEAD "batch: { linger: 50 }\n", "4:18",
		  "\"50\" has no unit; did you mean 50ms?" },
		{ HEAD "batch: { linger: fast }\n", "4:18", "expected a duration" },
		{ HEAD "batch: { linger: 2h }\n", "4:18", "must be between 0 and 1h" },
		{ HEAD "batch: { linger: -5ms }\n", "4:18", "expected a duration" },
		{ HEAD "batch: { max_messages: 0 }\n", "4:24", "must be between 1 and 100000" },
		{ HEAD "batch: { max_messages: many }\n", "4:24", "expected a whole number" },
		{ HEAD "batch: { max_messages: 99999999999999999999 }\n", "4:24",
		  "must be between" },
		{ HEAD "batch: { max_bytes: 1024 }\n", "4:21", "did you mean 1024KiB?" },
		{ HEAD "batch: 5\n", "4:8", "batch: expected keys, found a single value" },
		{ HEAD "batch: [1]\n", "4:8", "batch: expected keys, found a list" },
		{ HEAD "batch: { linger: [50ms] }\n", "4:18",
		  "expected a single value, found a list" },
		{ HEAD "order: partitions\n", "4:8", "did you mean partition?" },
		{ HEAD "order: random\n", "4:8", "expected partition or none, found \"random\"" },
		{ HEAD "order: { key: .a..b }\n", "4:15", "character 4: expected a name" },
		{ HEAD "order: { kay: .a }\n", "4:10", "did you mean key?" },
		{ HEAD "delivery: exactly-once\n", "4:11", "did you mean exactly_once?" },
		{ HEAD "errors: { backoff: 1s }\n", "4:20", "expected two durations" },
		{ HEAD "errors: { backoff: 10s..1s }\n", "4:20", "must not be the longer one" },
		{ HEAD "errors: { backoff: 10..20s }\n", "4:20", "\"10\" has no unit" },
		{ HEAD "errors: { max_reject_rate: 200% }\n", "4:28", "between 0% and 100%" },
		{ HEAD "config: 2\n", "4:9", "this lade reads format 1, found \"2\"" },
		{ HEAD "databases: [a]\n", "4:12", "expected names with values" },
		{ HEAD "databases: { a: [b] }\n", "4:17", "a: expected a text, found a list" },
		{ HEAD "databases: { a: }\n", "4:17", "expected a text, found nothing" },
		{ "pipeline: ''\nsource: { stdin: }\nsink: { stdout: }\n", "1:11", "is empty" },
		{ DB_HEAD "sink: { sqlite: { db: out, table: t, create: yes } }\n", "4:46",
		  "expected true or false, found \"yes\"" },
	};

	check_mistakes(mistakes, sizeof(mistakes) / sizeof(*mistakes));
}

static void what_is_missing_is_named_with_its_meaning(void)
{
	static const struct mistake mistakes[] = {
		{ "pipeline: p\nsource: { stdin: }\n", "1:1", "sink is missing: Where" },
		{ "source: { stdin: }\nsink: { stdout: }\n", "1:1",
		  "pipeline is missing: write pipeline: NAME" },
		{ "pipeline: p\nsink: { stdout: }\n", "1:1", "source is missing" },
		{ "pipeline: p\nsink: { stdout: }\n", "1:1", "; write source: { file: PATH }" },
		{ "pipeline: p\nsource: { stdin: }\n", "1:1", "; write sink: { stdout: {} }" },
		{ "pipeline: p\nsource: in\nsink: { stdout: }\n", "2:9",
		  "found a single value; write source: { file: PATH }" },
		{ "pipeline: p\nsource: { stdin: }\nsink: stdout\n", "3:7",
		  "found a single value; write sink: { stdout: {} }" },
		{ HEAD "errors: { dead_letter: x.ndjson }\n", "4:24",
		  "; write dead_letter: { file: PATH }" },
		{ "pipeline: p\nsource: { }\nsink: { stdout: }\n", "2:9",
		  "expected exactly one of file, stdin, kafka, postgres here, found none" },
		{ "pipeline: p\nsource: { stdin: , file: x }\nsink: { stdout: }\n", "2:9",
		  "found several" },
		{ "pipeline: p\nsource: { stdin: }\nsink: []\n", "3:7", "the list is empty" },
		{ "pipeline: p\nsource: { file: { } }\nsink: { stdout: }\n", "2:17",
		  "source.file.path is missing" },
		{ HEAD "steps:\n  - name: x\n", "5:5",
		  "expected exactly one of sql, http, transform, plugin" },
		{ HEAD "steps:\n  - transform: { fields: { a: .a } }\n", "5:16",
		  "steps.transform.query is missing" },
		{ HEAD "errors: { dead_letter: {} }\n", "4:24",
		  "expected exactly one of file, table, kafka" },
		{ "[]\n", "1:1", "the file: expected keys, found a list" },
		{ "hello\n", "1:1", "the file: expected keys, found a single value" },
	};

	check_mistakes(mistakes, sizeof(mistakes) / sizeof(*mistakes));
}

static void what_is_designed_but_not_here_says_so(void)
{
	static const char later[] = "not in this version";

	check_complaint("pipeline: p\nsource: { stdin: , format: avro }\nsink: { stdout: }\n",
			"2:28", later);
}

#define SQL "databases: { d: \"sqlite:d.db\" }\nsteps:\n  - sql: { db: d, query: select 1, "
#define HTTP "steps:\n  - http: { into: .w, get: "

static void a_step_is_checked_as_far_as_can_be_seen(void)
{
	check_fine(HEAD SQL "keys: { a: .a }, into: .x }\n");
	check_complaint(HEAD "steps:\n  - sql: { db: nope, query: q, keys: { a: .a }, into: .x }\n",
			"5:16", "there is no database \"nope\"");
	check_complaint(HEAD SQL "keys: { a: .a..b }, into: .x }\n", "6:47",
			"character 4: expected a name");
	check_complaint(HEAD SQL "keys: { a: int .a }, into: .x }\n", "6:47", "expected a type");
	check_complaint(HEAD SQL "keys: { a b: .a }, into: .x }\n", "6:49", "letters, digits");
	check_complaint(HEAD SQL "keys: { \"x) ; drop table t; --\": .a }, into: .x }\n", "6:69",
			"letters, digits");
	check_complaint(HEAD SQL "keys: { I: .a }, into: .x }\n", "6:47",
			"i is the message's number");
	check_complaint(HEAD SQL "keys: { m: .a }, into: .x }\n", "6:47", "m is the message");
	check_complaint(HEAD SQL "keys: { a: .a, A: .b }, into: .x }\n", "6:54", "two columns");
	check_complaint(HEAD SQL "keys: { }, into: .x }\n", "6:42", "expected 1 to 64 entries");
	check_complaint(HEAD SQL "keys: { a: \"@header.x\" }, into: .x }\n", "6:47",
			"no such thing");
	check_complaint(HEAD SQL "keys: { a: .a }, into: . }\n", "6:59", "whole document");
	check_complaint(HEAD SQL "keys: { a: .a }, into: x }\n", "6:59", "begins with a dot");
	check_complaint(HEAD SQL "keys: { a: .a }, into: \".[5]\" }\n", "6:59", "has no items");
	check_complaint(HEAD "steps:\n  - { name: a, transform: { query: q } }\n"
			     "  - { name: a, transform: { query: q } }\n",
			"6:13", "two steps are named");
	check_complaint(HEAD "steps:\n  - { name: a b, transform: { query: q } }\n", "5:13",
			"letters, digits");
}

static void two_steps_do_not_set_the_same_value(void)
{
	check_complaint(HEAD HTTP "\"http://w/1\" }\n  - http: { into: .w, get: \"http://w/2\" }\n",
			"6:19", "an earlier step sets this path");
	check_complaint(HEAD HTTP
			"\"http://w/1\" }\n  - http: { into: .w.x, get: \"http://w/2\" }\n",
			"6:19", "leads into a value that is set as a whole");
	check_fine(HEAD HTTP "\"http://w/1\" }\n  - transform: { query: q }\n"
		   "  - http: { into: .w.x, get: \"http://w/2\" }\n");
}

static void an_address_is_checked(void)
{
	check_complaint(HEAD HTTP "\"http://{.host}/\" }\n", "5:28",
			"character 8: the host cannot come");
	check_complaint(HEAD HTTP "\"http://w/{.a\" }\n", "5:28", "not closed");
	check_complaint(HEAD HTTP "\"http://w/{@header.x}\" }\n", "5:28", "no such @name");
	check_complaint(HEAD HTTP "\"http://w/\", headers: { \"a b\": c } }\n", "5:59",
			"no header's name");
	check_complaint(HEAD HTTP "\"http://w/\", headers: { A: \"b\\r\\nc\" } }\n", "5:55",
			"line break");
	check_complaint(HEAD HTTP "\"http://w/\", headers: { Content-Length: 5 } }\n", "5:68",
			"is set by lade");
}

#define POST "steps:\n  - http: { into: .w, post: \"http://w/\""
static void what_a_post_can_have_is_checked(void)
{
	static const char head[] = HEAD "steps:\n  - http: { into: .w, ";
	char text[400];

	check_fine(HEAD POST ", body: \"json .a\", cache: { ttl: 1s } }\n");
	check_fine(HEAD POST ", batch: true, match: .a.id }\n");
	CHECK(config->steps[0].batch);
	CHECK_STR(config->steps[0].match, ".a.id");
	check_complaint(HEAD "steps:\n  - http: { into: .w }\n", "5:11",
			"exactly one of get and post, with the address; found none");
	check_complaint(HEAD POST ", get: \"http://w/\" }\n", "5:11", "found both");
	check_complaint(HEAD POST ", hedge: 50ms }\n", "5:49", "hedge needs get");
	check_complaint(HEAD HTTP "\"http://w/\", timeout: 50ms, hedge: 50ms }\n", "5:63",
			"not below timeout");
	check_complaint(HEAD POST ", expect: ok }\n", "5:50", "character 1");
	check_complaint(HEAD POST ", breaker: { pause: 0 } }\n", "5:60", "1ms and 1h");
	check_fine(HEAD HTTP "\"http://w/\", hedge: 50ms, expect: \".a[0]\","
		   " breaker: { failures: 0 } }\n");
	snprintf(text, sizeof(text), "%sget: \"http://w/\", body: .a }\n", head);
	check_complaint(text, "5:47", "body needs post");
	snprintf(text, sizeof(text), "%sget: \"http://w/\", batch: true }\n", head);
	check_complaint(text, "5:48", "batch needs post");
	check_complaint(HEAD POST ", match: .id }\n", "5:49", "match needs batch: true");
	check_complaint(HEAD POST ", batch: true, match: id }\n", "5:62", "begins with a dot");
	check_complaint(HEAD POST ", body: \"int .a\" }\n", "5:48", "expected a type");
	check_complaint(HEAD POST ", body: \"@key\" }\n", "5:48", "no such thing");
	snprintf(text, sizeof(text), "%spost: \"http://w/{.a}\", batch: true }\n", head);
	check_complaint(text, "5:29", "one request for a whole batch has one address");
	check_complaint(HEAD POST ", batch: true, cache: { ttl: 1s, stale_while_revalidate: 1s }"
				  " }\n",
			"5:97", "leave out stale_while_revalidate");
	check_complaint(HEAD POST ", headers: { Idempotency-Key: x } }\n", "5:70",
			"is set by lade");
}

#define ASKED \
	"pipeline: p\nsource: { file: in.ndjson }\ndelivery: exactly_once\n" \
	"sink: { sqlite: { table: t, path: o.db } }\n"
static void what_is_asked_for_more_than_once_is_said(void)
{
	check_fine(ASKED HTTP "\"http://w/\" }\n");
	CHECK(strstr(lade_pipe_config_problems(config, true), "may be made more than once\n"));
	check_fine(ASKED POST " }\n");
	CHECK(strstr(lade_pipe_config_problems(config, true),
		     "more than once, with the same Idempotency-Key"));
	check_fine(ASKED POST ", batch: true }\n");
	CHECK(strstr(lade_pipe_config_problems(config, true),
		     "a batch of the same messages with the same Idempotency-Key"));
}

#define LITE "sink:\n  - sqlite: { table: t, "

static void a_sqlite_sink_is_checked(void)
{
	check_fine(DB_HEAD LITE "db: out }\n");
	check_complaint(DB_HEAD LITE "extra: ignore }\n", "5:13", "either db");
	check_complaint(DB_HEAD LITE "db: out, path: x }\n", "5:13", "either db");
	check_complaint(DB_HEAD LITE "db: in }\n", "5:29", "there is no database \"in\"");
	check_complaint(DB_HEAD LITE "db: out, on_conflict: update }\n", "5:47", "needs key");
	check_complaint(DB_HEAD LITE "db: out, key: a, version: v }\n", "5:51",
			"needs on_conflict: update");
	check_complaint(DB_HEAD LITE "db: out, create: true }\n", "5:42", "create needs columns");
	check_complaint(DB_HEAD LITE "db: out, columns: { a: .a }, key: b }\n", "5:59",
			"not among columns");
	check_complaint(DB_HEAD LITE "db: out, columns: { a: .a, A: .b } }\n", "5:55",
			"here twice");
	check_complaint(DB_HEAD "sink: { sqlite: { db: out, table: sqlite_master } }\n", "4:35",
			"belongs to");
	check_complaint(DB_HEAD "sink: { sqlite: { db: out, table: Lade_Offsets } }\n", "4:35",
			"belongs to lade");
	check_complaint(DB_HEAD LITE "db: out }\n  - sqlite: { table: T, path: ./o.db }\n", "6:22",
			"two sinks write to the table");
	check_complaint(HEAD "databases: { \"a b\": \"sqlite:x\" }\n", "4:12", "letters, digits");
	check_complaint(HEAD "databases: { a: \"sqlite:\" }\n", "4:17", "expected sqlite:FILE");
	check_complaint(HEAD "databases: { a: x.db }\n", "4:17", "expected sqlite:FILE");
}

static void sinks_and_sources_do_not_share_a_file(void)
{
	check_complaint("pipeline: p\nsource: { file: a }\nsink: { file: ./a }\n", "3:15",
			"is the file that is read");
	check_complaint("pipeline: p\nsource: { file: a }\nsink: [ { file: b }, { file: b } ]\n",
			"3:30", "two sinks write to the file b");
	check_complaint("pipeline: p\nsource: { stdin: }\nsink: [ { stdout: }, { stdout: } ]\n",
			"3:32", "two sinks write to standard output");
	check_complaint(HEAD "errors: { dead_letter: { file: in.ndjson } }\n", "4:24",
			"the file that is read");
	check_complaint(HEAD "errors: { dead_letter: { table: t } }\n", "4:33",
			"which are to be tables of exactly one");
	check_complaint(DB_HEAD LITE "db: out }\nerrors: { dead_letter: { table: T } }\n", "6:24",
			"is a sink as well");
}

#define KAFKA "pipeline: p\nsource: { kafka: { brokers: \"b:1\", topics: [a, ^c.*], group: g } }\n"

static void kafka_says_what_is_missing_and_what_would_go_round_in_circles(void)
{
	static const char fine[] = KAFKA "sink: { kafka: { topic: out, key: .from } }\n"
					 "errors: { dead_letter: { kafka: dead } }\n";

	check_fine(fine);
	CHECK_EQ(config->source.kind, LADE_SOURCE_KAFKA);
	CHECK_STR(config->source.topics.at[1].text, "^c.*");
	CHECK_STR(config->sinks[0].topic, "out");
	CHECK_STR(config->errors.dead_topic, "dead");
	CHECK_STR(lade_pipe_dead_brokers(config), "b:1");
	check_complaint("pipeline: p\nsource: { kafka: { brokers: x } }\nsink: { stdout: }\n",
			"2:18", "source.kafka.topics is missing");
	check_complaint("pipeline: p\nsource: { stdin: }\nsink: { kafka: out }\n", "3:16",
			"brokers is missing");
	check_complaint(KAFKA "sink: { kafka: { topic: a } }\n", "3:25", "it would never end");
	check_complaint(KAFKA "sink: [ { kafka: o }, { kafka: o } ]\n", "3:32",
			"two sinks write to the topic o");
	check_complaint(KAFKA "sink: { kafka: o }\nerrors: { dead_letter: { kafka: o } }\n", "4:24",
			"choose another one");
	check_complaint(HEAD "errors: { dead_letter: { kafka: t } }\n", "4:24",
			"there is no cluster for the topic");
	check_complaint("pipeline: p\nsource: { kafka: { brokers: b, topics: [t], group: g,\n"
			"  librdkafka: { enable.auto.commit: \"true\" } } }\nsink: { stdout: }\n",
			"3:37", "\"enable.auto.commit\": ");
	check_complaint(KAFKA "sink: { kafka: { topic: o, librdkafka: { no.such: \"1\" } } }\n",
			"3:51", "librdkafka knows no such setting");
	check_complaint(KAFKA "sink: { kafka: { topic: o, key: integer @line } }\n", "3:33",
			"messages of Kafka have no such thing");
}

static void exactly_once_takes_one_database_or_one_cluster(void)
{
	check_fine(KAFKA "sink: { sqlite: { path: d, table: t } }\ndelivery: exactly_once\n");
	check_fine(KAFKA "sink: { kafka: o }\ndelivery: exactly_once\n");
	check_complaint(KAFKA "sink: [ { kafka: o }, { sqlite: { path: d, table: t } } ]\n"
			      "delivery: exactly_once\n",
			"3:23", "cannot take part in the transaction of the other ones");
	check_complaint(KAFKA "sink: { kafka: { topic: o, brokers: \"other:1\" } }\n"
			      "delivery: exactly_once\n",
			"3:7", "of the source's cluster");
	check_complaint("pipeline: p\nsource: { file: in }\n"
			"sink: { kafka: { topic: o, brokers: \"b:1\" } }\ndelivery: exactly_once\n",
			"4:11", "exactly_once into Kafka needs Kafka as the source");
	check_complaint(KAFKA "sink: { kafka: o }\ndelivery: exactly_once\n"
			      "errors: { dead_letter: { file: dead } }\n",
			"5:24", "use dead_letter: { kafka: TOPIC }");
	check_complaint(KAFKA "sink: { sqlite: { path: d, table: t } }\ndelivery: exactly_once\n"
			      "errors: { dead_letter: { kafka: dead } }\n",
			"5:24", "a topic cannot take part");
}

#define ONCE "delivery: exactly_once\n"

static void exactly_once_is_refused_where_it_could_not_be_kept(void)
{
	check_fine(DB_HEAD ONCE LITE "db: out }\n");
	check_fine(DB_HEAD ONCE LITE "db: out }\nerrors: { dead_letter: { table: dead } }\n");
	check_complaint(DB_HEAD ONCE LITE "db: out }\n  - sqlite: { table: u, path: ./o.db }\n",
			"7:5", "ONE table");
	check_complaint(STDIN_HEAD ONCE, "4:11", "standard input cannot be read again");
	check_complaint(HEAD ONCE, "3:7", "this sink cannot take part");
	check_complaint(DB_HEAD ONCE "order: none\n" LITE "db: out }\n", "5:8",
			"needs order: partition");
	check_complaint(DB_HEAD ONCE "order: { key: .id }\n" LITE "db: out }\n", "5:8",
			"needs order: partition");
	check_complaint(DB_HEAD ONCE LITE "db: out }\n  - file: x\n", "7:5",
			"this sink cannot take part");
	check_complaint(DB_HEAD ONCE LITE "db: out }\n  - sqlite: { table: u, path: p.db }\n",
			"7:5", "ONE table");
	check_complaint(DB_HEAD ONCE LITE "db: out }\nerrors: { dead_letter: { file: x } }\n",
			"7:24", "use dead_letter: { table: NAME }");
}

#define TOPIC_HEAD "pipeline: p\nsource: { kafka: { brokers: b, topics: t, group: g } }\n"
#define KEYED "{ path: o, table: t, create: true, key: a, on_conflict: update, columns: "

static void what_a_message_without_a_value_does_is_chosen(void)
{
	check_fine(TOPIC_HEAD "sink: [ kafka: { topic: u } ]\n");
	CHECK_EQ(config->source.tombstone, LADE_TOMBSTONE_PASS);
	check_fine(TOPIC_HEAD "sink:\n  - sqlite: " KEYED "{ a: \"integer @key\", b: .b } }\n");
	CHECK_EQ(config->source.tombstone, LADE_TOMBSTONE_DELETE);
	CHECK(lade_pipe_sink_deletes(config, &config->sinks[0]));
	check_fine(TOPIC_HEAD "sink:\n  - sqlite: " KEYED "{ a: .\"x@key\", b: .b } }\n");
	CHECK_EQ(config->source.tombstone, LADE_TOMBSTONE_PASS);
	CHECK(strstr(lade_pipe_config_problems(config, true), "they are rejected"));
	check_fine(TOPIC_HEAD "sink:\n  - sqlite: " KEYED "{ a: .a } }\n  - kafka: u\n");
	CHECK_EQ(config->source.tombstone, LADE_TOMBSTONE_PASS);
	CHECK(strstr(lade_pipe_config_problems(config, true), "they are left out here"));
	check_complaint("pipeline: p\nsink: { stdout: }\nsource: { kafka: { brokers: b, topics: t,"
			" group: g, tombstone: delete } }\n", "3:64", "there is no table");
}

#define ROWS_HEAD "pipeline: p\ndatabases: { d: \"postgres://h/x\", e: \"postgres://h/y\" }\n"
#define ROWS "source: { postgres: { db: d, table: t, key: id"
#define INTO " } }\nsink: { postgres: { db: d, table: u } }\n"

static void what_keeps_rows_of_a_table_from_being_left_out_is_checked(void)
{
	check_fine(ROWS_HEAD ROWS ", xid: x" INTO);
	CHECK(!strstr(lade_pipe_config_problems(config, true), "left out for good"));
	check_fine(ROWS_HEAD ROWS INTO);
	CHECK_EQ(config->source.settle_ns, 10000000000);
	CHECK(strstr(lade_pipe_config_problems(config, true), "alter table t add xid xid8"));
	check_complaint(ROWS_HEAD ROWS ", xid: x, settle: 1s" INTO, "3:65", "without xid");
	check_fine(ROWS_HEAD "delivery: exactly_once\n" ROWS ", outbox: true" INTO);
	CHECK(!strstr(lade_pipe_config_problems(config, true), "left out for good"));
	check_complaint(ROWS_HEAD ROWS ", outbox: true" INTO, "3:57", "exactly_once");
	check_complaint(ROWS_HEAD "delivery: exactly_once\n" ROWS ", outbox: true, settle: 1s" INTO,
			"4:71", "leave it out");
	check_complaint(ROWS_HEAD "delivery: exactly_once\n" ROWS ", outbox: true } }\n"
			"sink: { postgres: { db: e, table: u } }\n", "5:7",
			"must be a table of the database");
}

static void limits_that_would_stop_everything_are_refused(void)
{
	check_complaint(HEAD "max_in_flight: 10\n", "4:16", "below batch.max_messages");
	check_complaint(HEAD "max_transaction: 10\n", "4:18", "below batch.max_messages");
	check_complaint(
		"pipeline: p\nsource: { stdin: , max_message_bytes: 2MiB }\nsink: { stdout: }\n"
		"max_memory: 1MiB\n",
		"4:13", "below source.max_message_bytes");
	check_complaint(HEAD "max_memory: 1MiB\nbatch: { max_bytes: 2MiB }\n", "4:13",
			"below batch.max_bytes");
}

static void what_is_worth_knowing_is_noted(void)
{
	check_fine(STDIN_HEAD);
	CHECK(strstr(lade_pipe_config_problems(config, true), "at most once"));
	CHECK(strstr(lade_pipe_config_problems(config, true), "the first rejected message stops"));
	check_fine(full);
	CHECK(strstr(lade_pipe_config_problems(config, true), "fsync: none"));
	CHECK(!strstr(lade_pipe_config_problems(config, true), "first rejected"));
}

static void all_problems_are_reported_up_to_a_limit(void)
{
	char text[4096] = HEAD, line[32];

	CHECK_EQ(parse(HEAD "a1: 1\na2: 2\nbatch: { linger: 1 }\n"), -EINVAL);
	CHECK_EQ(config->problems.n, 3);
	for (int i = 0; i < 60; i++) {
		snprintf(line, sizeof(line), "qqqq%d: 1\n", i);
		strcat(text, line);
	}
	CHECK_EQ(parse(text), -EINVAL);
	CHECK(strstr(lade_pipe_config_problems(config, false), "and 10 more"));
}

static void what_is_shown_can_be_read_again_and_shows_the_same(void)
{
	char first[8192];
	const char *again;

	check_fine(full);
	CHECK(!strstr(lade_pipe_config_show(config), "Bearer x"));
	snprintf(first, sizeof(first), "%s", lade_pipe_config_show(config));
	check_fine(first);
	again = lade_pipe_config_show(config);
	CHECK_STR(again, first);
	CHECK_STR(config->steps[0].query, "select b.i, o.city from batch b left join airports o on"
					  " o.iata = b.origin\n");
	CHECK(strstr(first, "linger: 20ms"));
	CHECK(strstr(first, "max_in_flight: 1000"));
	CHECK(strstr(first, "Authorization: \"***\""));
}

static void odd_text_survives_being_shown(void)
{
	static const char *const queries[] = {
		"a: b # c",
		"true",
		"- x",
		"'q'",
		"\"",
		"a\\nb",
		"select\n  1\n",
		"\n x",
		" x\ny",
		"x\n\n",
		"\xe2\x80\xa8\xc2\x85\x7f",
		"\xc3\x9f\n\xe2\x82\xac",
		"x\r\ny",
		"tab\tx\ny",
		"{a}",
		"$x",
	};
	char text[1024], first[8192];

	for (size_t i = 0; i < sizeof(queries) / sizeof(*queries); i++) {
		setenv("LADE_TEST_QUERY", queries[i], 1);
		snprintf(text, sizeof(text), "%s",
			 HEAD "steps:\n  - transform: { query: \"${env:LADE_TEST_QUERY}\" }\n");
		check_fine(text);
		snprintf(first, sizeof(first), "%s", lade_pipe_config_show(config));
		check_fine(first);
		CHECK_STR(config->steps[0].query, queries[i]);
	}
}

static void secrets_are_neither_shown_nor_in_messages(void)
{
	const char *said;

	setenv("LADE_TEST_PASSWORD", "hunter2", 1);
	check_fine(HEAD HTTP "\"http://u:${env:LADE_TEST_PASSWORD}@w/\" }\n");
	CHECK(strstr(config->steps[0].get, "hunter2"));
	CHECK(!strstr(lade_pipe_config_show(config), "hunter2"));
	check_fine(HEAD HTTP "\"http://u:hunter2@w/\" }\n");
	CHECK(!strstr(lade_pipe_config_show(config), "hunter2"));
	CHECK_EQ(parse(HEAD "batch: { linger: \"${env:LADE_TEST_PASSWORD}\" }\n"), -EINVAL);
	said = lade_pipe_config_problems(config, false);
	CHECK(!strstr(said, "hunter2"));
	CHECK(strstr(said, "***"));
	CHECK_EQ(parse(HEAD "order: \"${env:LADE_TEST_PASSWORD}\"\n"), -EINVAL);
	CHECK(!strstr(lade_pipe_config_problems(config, false), "hunter2"));
	CHECK_EQ(parse(HEAD HTTP "\"${env:LADE_TEST_PASSWORD}\" }\n"), -EINVAL);
	CHECK(!strstr(lade_pipe_config_problems(config, false), "hunter2"));
}

static void every_key_is_in_the_reference_and_has_a_meaning(void)
{
	char *reference = lade_pipe_config_reference();

	for (const struct lade_pipe_row *row = lade_pipe_rows; row->key; row++) {
		CHECK(strstr(reference, row->key));
		CHECK(row->help && strlen(row->help) > 10 &&
		      row->help[strlen(row->help) - 1] == '.');
	}
	free(reference);
}

/* The table's own grammar: a default is in its range, a row stands below its section. */
static void the_table_of_keys_is_sound(void)
{
	for (const struct lade_pipe_row *row = lade_pipe_rows; row->key; row++) {
		const char *dot = strrchr(row->key, '.');
		char parent[96];

		CHECK(row->max >= row->min || row->kind == LADE_ROW_CHOICE);
		CHECK((row->kind == LADE_ROW_WORD) == (row->words != NULL));
		if (!dot)
			continue;
		snprintf(parent, sizeof(parent), "%.*s", (int)(dot - row->key), row->key);
		if (strchr(parent, ']') == parent + strlen(parent) - 1)
			parent[strlen(parent) - 2] = '\0';
		CHECK(lade_pipe_row_elsewhere(strrchr(parent, '.') ? strrchr(parent, '.') + 1
								   : parent));
	}
}

static void a_file_that_cannot_be_read_says_why(void)
{
	lade_pipe_config_free(config);
	config = lade_pipe_config_new();
	CHECK_EQ(lade_pipe_config_load(config, "/nonexistent/p.yaml"), -ENOENT);
	CHECK_STR(
		lade_pipe_config_problems(config, false),
		"/nonexistent/p.yaml: cannot be read: No such file or directory; lade new DIR makes"
		" a first pipeline\n");
	lade_pipe_config_free(config);
	config = lade_pipe_config_new();
	CHECK_EQ(lade_pipe_config_load(config, "/"), -EISDIR);
}

static void every_beginning_of_a_file_gets_a_verdict(void)
{
	char text[sizeof(full)];
	int good = 0;

	for (size_t len = 0; len < sizeof(full); len++) {
		memcpy(text, full, len);
		lade_pipe_config_free(config);
		config = lade_pipe_config_new();
		good += lade_pipe_config_parse(config, "p", text, len) == 0;
	}
	CHECK(good > 0);
	CHECK(good < 200);
}

static void memory_that_is_out_is_reported(void)
{
	int rc = -ENOMEM;

	for (size_t max = 1000; rc < 0 && max < 200000; max += 700) {
		lade_pipe_config_free(config);
		config = lade_pipe_config_new();
		lade_arena_init(&config->arena, 500, max);
		rc = lade_pipe_config_parse(config, "p", full, strlen(full));
		CHECK(rc == 0 || rc == -ENOMEM);
	}
	CHECK_EQ(rc, 0);
}

#define TEXT "pipeline: p\nsource: { file: in, format: text }\n"
#define BYTES "pipeline: p\nsource: { file: in, format: bytes }\n"
#define TABLE "sink: { sqlite: { path: o.db, table: t, create: true, columns: "

static void what_messages_that_are_no_objects_can_have_is_checked(void)
{
	static const char steps[] = "steps:\n  - http: { into: .w, get: \"http://w/\" }\n";
	char text[400];

	check_fine(TEXT TABLE "{ a: text ., b: integer @offset } } }\n");
	check_complaint(TEXT TABLE "{ a: text .a } } }\n", "3:69", "their only path is");
	check_fine(BYTES TABLE "{ b: integer @offset } } }\n");
	check_complaint(BYTES TABLE "{ a: text . } } }\n", "3:69", "which have no values");
	check_complaint(TEXT "sink: { sqlite: { path: o.db, table: t } }\n", "3:38",
			"columns: { line: text . }");
	snprintf(text, sizeof(text), "%ssink: { stdout: }\n%s", TEXT, steps);
	check_complaint(text, "5:19", "nothing can be set in them");
	check_fine(TEXT "sink: { stdout: }\nsteps:\n"
		   "  - transform: { fields: { t: text . }, query: q }\n"
		   "  - http: { into: .w, get: \"http://w/{.t}\" }\n");
	check_complaint("pipeline: p\nsink: { stdout: }\nsource: { kafka: { brokers: b, topics: t,"
			" group: g }, format: csv }\n", "3:63", "csv is for files and stdin");
}

int main(void)
{
	TAP(a_full_file_means_what_it_says);
	TAP(a_short_file_gets_the_defaults);
	TAP(a_path_that_is_spelled_otherwise_is_the_same);
	TAP(an_unknown_key_gets_its_place_and_a_guess);
	TAP(a_misspelt_choice_is_one_mistake);
	TAP(a_wrong_value_gets_its_place_and_what_was_expected);
	TAP(what_is_missing_is_named_with_its_meaning);
	TAP(what_is_designed_but_not_here_says_so);
	TAP(a_step_is_checked_as_far_as_can_be_seen);
	TAP(two_steps_do_not_set_the_same_value);
	TAP(an_address_is_checked);
	TAP(what_a_post_can_have_is_checked);
	TAP(what_messages_that_are_no_objects_can_have_is_checked);
	TAP(what_is_asked_for_more_than_once_is_said);
	TAP(a_sqlite_sink_is_checked);
	TAP(sinks_and_sources_do_not_share_a_file);
	TAP(exactly_once_is_refused_where_it_could_not_be_kept);
	TAP(kafka_says_what_is_missing_and_what_would_go_round_in_circles);
	TAP(exactly_once_takes_one_database_or_one_cluster);
	TAP(what_a_message_without_a_value_does_is_chosen);
	TAP(what_keeps_rows_of_a_table_from_being_left_out_is_checked);
	TAP(limits_that_would_stop_everything_are_refused);
	TAP(what_is_worth_knowing_is_noted);
	TAP(all_problems_are_reported_up_to_a_limit);
	TAP(what_is_shown_can_be_read_again_and_shows_the_same);
	TAP(odd_text_survives_being_shown);
	TAP(secrets_are_neither_shown_nor_in_messages);
	TAP(every_key_is_in_the_reference_and_has_a_meaning);
	TAP(the_table_of_keys_is_sound);
	TAP(a_file_that_cannot_be_read_says_why);
	TAP(every_beginning_of_a_file_gets_a_verdict);
	TAP(memory_that_is_out_is_reported);
	lade_pipe_config_free(config);
	return tap_done();
}
