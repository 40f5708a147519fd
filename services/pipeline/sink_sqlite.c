/* SPDX-License-Identifier: MIT */
/* sink_sqlite.c - rows into a table, and with them, in one transaction, offsets and dead letters.
 *
 * DESIGN
 * Batches that are ready together are one transaction. A row that SQLite refuses is named by the
 * writer, gets its verdict, and the rest is written again: nothing of a failed transaction stays.
 * With exactly once the sink keeps the offsets: they move in the rows' transaction and only if they
 * are where this process left them, so one that was overtaken writes nothing. When a commit's
 * answer is lost, the stored offset says whether it happened. */

#include "services/pipeline/phase.h"
#include "services/pipeline/rows.h"

#include <lade/sqlite.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRITE_LIMIT_NS INT64_C(30000000000)
#define OPEN_ATTEMPTS 10 /* each waits a second for a lock */

struct to_sqlite {
	struct lade_pipe_outlet *outlet;
	struct lade_sqlite_config config;
	const char *path; /* the database's file, whatever is opened in its place */
	struct lade_sqlite_writer *writer;
	struct lade_sqlite_table *table, *letters;
	struct lade_pipe_table rows; /* what they are made of */
	struct lade_sqlite_column columns[LADE_PIPE_NAMES_MAX];
	const char *key[LADE_PIPE_NAMES_MAX];
};

static int config_fail(struct lade_pipe_outlet *outlet, const char *what, const char *reason)
{
	/* What SQLite says begins with the database's name where that matters. */
	bool said = strncmp(reason, what, strlen(what)) == 0;

	return lade_pipe_fail_at(outlet->engine, LADE_EXIT_FAILED,
				 lade_pipe_sink_node(outlet, "sqlite"), 0, "sink sqlite: %s%s%s",
				 said ? "" : what, said ? "" : ": ", reason);
}

/* Writing */

/* Somebody else has claimed a lane. Where lanes come and go that is how one learns that it has
 * gone; else two processes run one pipeline. */
static int overtaken(struct to_sqlite *s, struct lade_pipe_lane *lane, const char *owner)
{
	struct lade_pipe_engine *e = s->outlet->engine;

	lane->fenced = true;
	if (e->from->rewind)
		return -ESTALE;
	return lade_pipe_fail(e, LADE_EXIT_FAILED,
			      "%s: another process (%s) has taken this pipeline over; what this "
			      "one had not committed is that one's now. Let one run at a time",
			      s->config.path, owner);
}

/* A commit whose answer is lost, or a fence: what the database says of each lane.
 *
 * Returns 0: all is written; -EAGAIN: nothing is, again; -ESTALE: nothing is, and never will be. */
static int ask_stored(struct to_sqlite *s, const struct lade_sqlite_offset *offsets,
		      const struct lade_pipe_move *moves, uint32_t n,
		      struct lade_sqlite_error *error)
{
	uint32_t done = 0;
	int overtaken_rc = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct lade_sqlite_offset *o = &offsets[i];
		struct lade_sqlite_stored now;
		int rc = lade_sqlite_writer_read(s->writer, o, WRITE_LIMIT_NS, &now, error);

		if (rc < 0)
			return rc == -ECANCELED ? rc : -EAGAIN;
		if (now.epoch != o->epoch ||
		    (now.next_offset != o->to && now.next_offset != o->from))
			overtaken_rc = overtaken(s, moves[i].lane, now.owner);
		done += now.next_offset == o->to;
	}
	if (overtaken_rc < 0)
		return overtaken_rc;
	return done == n ? 0 : -EAGAIN;
}

static int write_rows(struct to_sqlite *s, struct lade_pipe_rows *rows,
		      const struct lade_pipe_move *moves, uint32_t n_moves,
		      struct lade_sqlite_error *error)
{
	const struct lade_sqlite_part parts[] = {
		{ s->table, rows->cells, rows->n, s->rows.deletes ? rows->is_delete : NULL },
		{ s->letters, rows->letters, rows->n_letters, NULL },
	};
	struct lade_sqlite_offset *offsets =
		lade_arena_alloc(&rows->arena, (n_moves + 1) * sizeof(*offsets));
	int rc;

	if (!offsets)
		return -ENOMEM;
	for (uint32_t i = 0; i < n_moves; i++) {
		const struct lade_pipe_lane *lane = moves[i].lane;

		offsets[i] = (struct lade_sqlite_offset){
			.pipeline = s->outlet->engine->config->name,
			.topic = lane->topic,
			.part = lane->part,
			.epoch = lane->stored.epoch,
			.from = lane->stored.next_offset,
			.to = moves[i].to,
			.cluster = lane->cluster,
		};
	}
	lade_pipe_phase(LADE_PHASE_FENCE);
	lade_pipe_phase(LADE_PHASE_COMMIT);
	rc = lade_sqlite_writer_write(s->writer, parts, s->letters ? 2 : 1, offsets, n_moves,
				      WRITE_LIMIT_NS, error);
	if (n_moves && (rc == -ESTALE || (rc < 0 && error->unsure)))
		rc = ask_stored(s, offsets, moves, n_moves, error);
	for (uint32_t i = 0; rc == 0 && i < n_moves; i++)
		moves[i].lane->stored.next_offset = moves[i].to;
	return rc;
}

/* One transaction, or the next after a row was refused.  Returns 0; 1: again; < 0. */
static int write_once(struct to_sqlite *s, struct lade_pipe_batch *const *batches, uint32_t n,
		      const struct lade_pipe_move *moves, uint32_t n_moves,
		      struct lade_pipe_rows *rows,
		      struct lade_sqlite_error *error)
{
	int rc = lade_pipe_rows_gather(&s->rows, batches, n, rows);

	if (rc < 0)
		return rc;
	rc = write_rows(s, rows, moves, n_moves, error);
	if (rc == 0)
		s->outlet->written += rows->n;
	if (rc != -EBADMSG)
		return rc;
	if (error->part != 0 || error->row < 0 || error->row >= (int64_t)rows->n)
		return -EIO; /* a dead letter that cannot be written: a person must see to it */
	rc = lade_pipe_rows_reject(&s->rows, rows->batch_of[error->row], rows->at_of[error->row],
				   error->text);
	return rc < 0 ? rc : 1;
}

static int sqlite_write(struct lade_pipe_outlet *outlet, struct lade_pipe_batch *const *batches,
			uint32_t n, const struct lade_pipe_move *moves, uint32_t n_moves)
{
	struct lade_sqlite_error error = { 0 };
	int rc;

	do {
		struct lade_pipe_rows rows = { 0 };

		lade_arena_init(&rows.arena, 256 << 10, (size_t)1 << 32);
		rc = write_once(outlet->self, batches, n, moves, n_moves, &rows, &error);
		lade_arena_done(&rows.arena);
	} while (rc == 1);
	if ((rc == -EAGAIN || rc == -EIO) && !outlet->engine->failed)
		lade_pipe_trouble(outlet->engine, "sink sqlite", outlet->trouble, "%s",
				  error.text);
	return rc;
}

/* Opening */

/* Columns as the configuration names them. */
static int open_listed(struct to_sqlite *s, struct lade_pipe_shape *shape)
{
	struct lade_json_error error;
	const char *column;
	int rc = lade_pipe_table_listed(&s->rows, shape, &column, &error);

	for (unsigned i = 0; rc == 0 && i < s->rows.n_columns; i++)
		s->columns[i] = (struct lade_sqlite_column){ s->rows.columns[i].name,
							     s->rows.columns[i].ref.want };
	return rc < 0 && rc != -ENOMEM ? config_fail(s->outlet, column, error.reason) : rc;
}

/* Columns as the table has them: each takes the member of its name. */
static int open_by_name(struct to_sqlite *s, struct lade_pipe_shape *shape)
{
	unsigned n = lade_sqlite_table_columns(s->table);
	struct lade_json_error error;

	for (unsigned i = 0; i < n; i++) {
		const struct lade_sqlite_column *c = lade_sqlite_table_column(s->table, i);
		int rc = lade_pipe_table_by_name(&s->rows, shape, c->name, c->want, &error);

		if (rc < 0)
			return rc == -ENOMEM ? rc : config_fail(s->outlet, c->name, error.reason);
	}
	s->rows.check_extra = s->outlet->config->extra == LADE_EXTRA_REJECT;
	return 0;
}

/* A database that is held for a moment is no reason not to begin. */
static int open_writer(struct to_sqlite *s, struct lade_sqlite_error *error)
{
	const struct lade_pipe_engine *e = s->outlet->engine;
	const bool keeps = s->outlet == e->keeper && !e->probing;
	int rc;

	for (int attempt = 1;; attempt++) {
		rc = lade_sqlite_writer_new(&s->config, keeps, &s->writer, error);
		if (rc != -EAGAIN || attempt == OPEN_ATTEMPTS || lade_stopping())
			return rc;
		rc = lade_pipe_back_off(s->outlet->engine, 1);
		if (rc < 0)
			return rc;
	}
}

static int prepare_table(struct to_sqlite *s, bool create, struct lade_sqlite_error *error)
{
	const struct lade_pipe_sink *c = s->outlet->config;
	struct lade_sqlite_table_config config = {
		.name = c->table,
		.columns = s->rows.n_columns ? s->columns : NULL,
		.n_columns = s->rows.n_columns,
		.key = s->key,
		.n_key = (unsigned)c->key.n,
		.on_conflict = c->on_conflict == LADE_CONFLICT_UPDATE ? LADE_SQLITE_CONFLICT_UPDATE
			       : c->on_conflict == LADE_CONFLICT_NOTHING
				       ? LADE_SQLITE_CONFLICT_NOTHING
				       : LADE_SQLITE_CONFLICT_ERROR,
		.version = c->version,
		.deletes = s->rows.deletes,
		.create = create,
	};

	for (int i = 0; i < c->key.n; i++)
		s->key[i] = c->key.at[i].text;
	return lade_sqlite_writer_table(s->writer, &config, &s->table, error);
}

/* What `check` would have to make is made in memory: it fails as it would. */
static int probe_in_memory(struct to_sqlite *s, struct lade_sqlite_error *error)
{
	int rc;

	s->writer = lade_sqlite_writer_free(s->writer);
	s->config.path = ":memory:";
	s->config.create = true;
	rc = open_writer(s, error);
	return rc == 0 ? prepare_table(s, true, error) : rc;
}

static int open_table(struct to_sqlite *s)
{
	const bool create = s->outlet->config->create, probing = s->outlet->engine->probing;
	struct lade_sqlite_error error;
	int rc = prepare_table(s, create && !probing, &error);

	if (rc < 0 && create && probing && strstr(error.text, "has no table"))
		rc = probe_in_memory(s, &error);
	return rc < 0 && rc != -ECANCELED ? config_fail(s->outlet, s->path, error.text) : rc;
}

static int open_letters(struct to_sqlite *s)
{
	static const struct lade_sqlite_column columns[LADE_PIPE_LETTER_COLUMNS] = {
		{ "pipeline", { LADE_TEXT, false } },	{ "topic", { LADE_TEXT, false } },
		{ "part", { LADE_INTEGER, false } },	{ "offset", { LADE_INTEGER, false } },
		{ "line", { LADE_INTEGER, false } },	{ "step", { LADE_TEXT, false } },
		{ "reason", { LADE_TEXT, false } },	{ "attempts", { LADE_INTEGER, false } },
		{ "first_failed", { LADE_TIMESTAMP, false } },
		{ "document", { LADE_TEXT, false } },
	};
	const struct lade_pipe_errors *c = &s->outlet->engine->config->errors;
	const struct lade_sqlite_table_config config = { .name = c->dead_table,
							 .columns = columns,
							 .n_columns = LADE_PIPE_LETTER_COLUMNS,
							 .create = true };
	struct lade_sqlite_error error;
	int rc;

	if (c->dead_kind != LADE_DEAD_TABLE || s->outlet->engine->letters_in ||
	    s->outlet->engine->probing)
		return 0;
	rc = lade_sqlite_writer_table(s->writer, &config, &s->letters, &error);
	if (rc < 0)
		return rc == -ECANCELED ? rc : config_fail(s->outlet, c->dead_table, error.text);
	s->rows.letters = true;
	s->outlet->engine->letters_in = s->outlet;
	return 0;
}

/* What `check` opens in place of a database that is not there. */
static int probe(struct to_sqlite *s)
{
	int rc = strcmp(s->path, ":memory:") == 0 ? 0 : lade_pipe_probe_file(s->path);

	s->config.create = false;
	if (rc < 0)
		return config_fail(s->outlet, s->path, strerror(-rc));
	if (rc == 0 && !s->outlet->config->create)
		return config_fail(s->outlet, s->path,
				   "is not there, and without `create: true` nobody makes the"
				   " table");
	if (rc == 0) {
		s->config.path = ":memory:";
		s->config.create = true;
	}
	return 0;
}

static int sqlite_open(struct lade_pipe_outlet *outlet, struct lade_pipe_shape *shape)
{
	const struct lade_pipe_sink *c = outlet->config;
	struct to_sqlite *s = calloc(1, sizeof(*s));
	struct lade_sqlite_error error;
	int rc;

	if (!s)
		return -ENOMEM;
	outlet->self = s;
	s->outlet = outlet;
	s->config = (struct lade_sqlite_config){
		.path = c->db ? lade_pipe_database_file(outlet->engine->config, c->db) : c->path,
		.write = true,
		.create = true,
	};
	s->path = s->config.path;
	s->rows.outlet = outlet;
	rc = lade_json_reader_new(&s->rows.reader);
	if (rc == 0 && outlet->engine->probing)
		rc = probe(s);
	if (rc == 0) {
		rc = open_writer(s, &error);
		if (rc < 0 && rc != -ECANCELED)
			return config_fail(outlet, s->path, error.text);
	}
	if (rc == 0 && c->columns.n)
		rc = open_listed(s, shape);
	if (rc == 0)
		rc = open_table(s);
	if (rc == 0 && !c->columns.n)
		rc = open_by_name(s, shape);
	return rc == 0 ? open_letters(s) : rc;
}

static void sqlite_close(struct lade_pipe_outlet *outlet)
{
	struct to_sqlite *s = outlet->self;

	if (!s)
		return;
	lade_sqlite_writer_free(s->writer);
	lade_pipe_table_done(&s->rows);
	free(s);
	outlet->self = NULL;
}

/* What passes is waited out, visibly: another program holds the database. */
static int wait_out(struct lade_pipe_outlet *outlet, uint32_t attempt,
		    const struct lade_sqlite_error *error)
{
	lade_pipe_trouble(outlet->engine, "sink sqlite", outlet->trouble, "%s", error->text);
	if (!outlet->trouble_since_ns)
		outlet->trouble_since_ns = lade_now().mono_ns;
	return lade_pipe_back_off(outlet->engine, attempt);
}

/* Who has a lane, as far as that can be known at once; "": nobody. */
static void ask_owner(struct to_sqlite *s, const struct lade_pipe_lane *lane, char ret[128])
{
	const struct lade_sqlite_offset offset = {
		.pipeline = s->outlet->engine->config->name,
		.topic = lane->topic,
		.part = lane->part,
	};
	struct lade_sqlite_stored stored;
	struct lade_sqlite_error error;

	*ret = 0;
	if (lade_simulated())
		return;
	if (lade_sqlite_writer_read(s->writer, &offset, WRITE_LIMIT_NS, &stored, &error) == 0)
		memcpy(ret, stored.owner, sizeof(stored.owner));
}

/* Asks for a lane's row, and claims it if it has an owner's name to claim it for. */
static int ask_lane(struct lade_pipe_outlet *outlet, const struct lade_pipe_lane *lane,
		    const char *owner, struct lade_sqlite_stored *ret)
{
	struct to_sqlite *s = outlet->self;
	const struct lade_sqlite_offset offset = {
		.pipeline = outlet->engine->config->name,
		.topic = lane->topic,
		.part = lane->part,
		.to = 0,
		.cluster = lane->cluster,
	};
	struct lade_sqlite_error error;
	int rc;

	for (uint32_t attempt = 1;; attempt++) {
		rc = owner ? lade_sqlite_writer_claim(s->writer, &offset, owner, WRITE_LIMIT_NS,
						      ret, &error)
			   : lade_sqlite_writer_read(s->writer, &offset, WRITE_LIMIT_NS, ret,
						     &error);
		if (rc == -EAGAIN && !lade_stopping())
			rc = wait_out(outlet, attempt, &error);
		else
			break;
		if (rc < 0)
			return rc;
	}
	lade_pipe_recovered(outlet->engine, "sink sqlite", outlet->trouble,
			    &outlet->trouble_since_ns);
	if (rc == -EAGAIN) /* asked to stop: nothing more begins */
		return -ECANCELED;
	return rc < 0 && rc != -ECANCELED ? config_fail(outlet, "the table of offsets", error.text)
					  : rc;
}

static int sqlite_claim(struct lade_pipe_outlet *outlet, struct lade_pipe_lane *lane)
{
	struct lade_sqlite_stored stored;
	char owner[96];
	int rc;

	/* A simulation is the same in every process. */
	snprintf(owner, sizeof(owner), "process %ld", lade_simulated() ? 1 : (long)getpid());
	ask_owner(outlet->self, lane, lane->stored.owner);
	rc = ask_lane(outlet, lane, owner, &stored);
	if (rc < 0)
		return rc;
	lane->stored.next_offset = stored.next_offset;
	lane->stored.epoch = stored.epoch;
	snprintf(lane->stored.cluster, sizeof(lane->stored.cluster), "%.63s", stored.cluster);
	return 0;
}

static int sqlite_look(struct lade_pipe_outlet *outlet, struct lade_pipe_lane *lane)
{
	struct lade_sqlite_stored stored;
	int rc = ask_lane(outlet, lane, NULL, &stored);

	if (rc < 0)
		return rc;
	if (stored.epoch != lane->stored.epoch)
		return -ESTALE;
	lane->stored.next_offset = stored.next_offset;
	return 0;
}

const struct lade_pipe_sink_ops lade_pipe_to_sqlite = { .open = sqlite_open, .claim = sqlite_claim,
							.look = sqlite_look, .write = sqlite_write,
							.close = sqlite_close };
