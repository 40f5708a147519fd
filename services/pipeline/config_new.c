/* SPDX-License-Identifier: MIT */
/* config_new.c - writes a pipeline to begin from, with every key of what it uses.
 *
 * DESIGN
 * The text is a walk over the table of keys: a key that has a sample stands as it is, any other one
 * as a remark with its default, and each has its line of help above it. So a source or sink that is
 * added to the table needs no more than samples of what it requires. Which guarantee and which
 * dead letters a pair can have is not written down again either: the strictest that the checks of
 * a configuration let pass is taken. */

#include "services/pipeline/config_new.h"

#include <stdio.h>
#include <string.h>

#include <lade/json.h>

#include "services/pipeline/config.h"
#include "services/pipeline/config_table.h"

#define TEXT_MAX (1 << 20)

/* A value that stands in the file; %s is the pipeline's name. */
struct sample {
	const char *key, *value;
};

static const struct sample samples[] = {
	{ "config", "1" },
	{ "pipeline", "%s" },
	{ "source.file.path", "orders.ndjson" },
	{ "source.kafka.brokers", "\"${env:KAFKA:-localhost:9092}\"" },
	{ "source.kafka.topics", "[orders]" },
	{ "source.kafka.group", "%s" },
	{ "source.postgres.db", "main" },
	{ "source.postgres.table", "incoming" },
	{ "source.postgres.key", "id" },
	{ "source.postgres.xid", "xid" },
	{ "batch.max_messages", "500" },
	{ "batch.linger", "50ms" },
	{ "steps[].name", "large_orders" },
	{ "steps[].transform.fields",
	  "{ id: \"integer .id\", customer: \"text .customer\", cents: \"integer .cents\" }" },
	{ "steps[].transform.query",
	  "\"select i, json_object('id', id, 'customer', customer, 'euros', cents / 100.0)"
	  " as value from batch where cents >= 1000\"" },
	{ "sink[].sqlite.path", "orders.db" },
	{ "sink[].sqlite.table", "orders" },
	{ "sink[].sqlite.create", "true" },
	{ "sink[].sqlite.key", "[id]" },
	{ "sink[].sqlite.on_conflict", "update" },
	{ "sink[].sqlite.columns",
	  "{ id: \"integer .id\", customer: \"text .customer\", euros: \"double .euros\" }" },
	{ "sink[].file.path", "large.ndjson" },
	{ "sink[].kafka.topic", "large-orders" },
	{ "sink[].kafka.brokers", "\"${env:KAFKA:-localhost:9092}\"" },
	{ "sink[].postgres.db", "main" },
	{ "sink[].postgres.table", "orders" },
	{ "sink[].postgres.create", "true" },
	{ "sink[].postgres.key", "[id]" },
	{ "sink[].postgres.on_conflict", "update" },
	{ "sink[].postgres.columns",
	  "{ id: \"integer .id\", customer: \"text .customer\", euros: \"double .euros\" }" },
};

/* What a pair may have, the strictest first. */
static const struct choice {
	const char *delivery, *letters, *value;
} choices[] = {
	{ "exactly_once", "table", "dead_letters" },
	{ "exactly_once", "kafka", "orders.dead" },
	{ "at_least_once", "table", "dead_letters" },
	{ "at_least_once", "kafka", "orders.dead" },
	{ "at_least_once", "file", "dead.ndjson" },
};

struct writing {
	const char *source, *sink, *name;
	const struct choice *choice;
	struct lade_json_out out;
	bool dash;	/* the next key begins an element of a list */
};

static void put(struct writing *w, const char *text)
{
	lade_json_out_raw(&w->out, text, strlen(text));
}

static void indent(struct writing *w, int depth, bool remark)
{
	for (int i = 0; i < depth; i++)
		put(w, i == depth - 1 && w->dash && !remark ? "- " : "  ");
	w->dash &= remark;
}

/* The value of a key in this pair's file; NULL: it stays at its default. */
static const char *sample_of(const struct writing *w, const char *key)
{
	if (strcmp(key, "delivery") == 0)
		return w->choice->delivery;
	if (strncmp(key, "errors.dead_letter.", 19) == 0)
		return w->choice->value;
	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++)
		if (strcmp(samples[i].key, key) == 0)
			return samples[i].value;
	return NULL;
}

static void put_value(struct writing *w, const char *value)
{
	const char *hole = strstr(value, "%s");

	lade_json_out_raw(&w->out, value, hole ? (size_t)(hole - value) : strlen(value));
	if (hole) {
		put(w, w->name);
		put(w, hole + 2);
	}
}

/* Of sections that exclude one another: whether this one is the pair's. */
static bool is_chosen(const struct writing *w, const struct lade_pipe_row *row)
{
	const char *name = lade_pipe_row_name(row);

	if (strncmp(row->key, "source.", 7) == 0)
		return strcmp(name, w->source) == 0;
	if (strncmp(row->key, "sink[].", 7) == 0)
		return strcmp(name, w->sink) == 0;
	if (strncmp(row->key, "steps[].", 8) == 0)
		return strcmp(name, "transform") == 0;
	return strcmp(name, w->choice->letters) == 0;
}

static void put_help(struct writing *w, const struct lade_pipe_row *row, int depth)
{
	indent(w, depth, true);
	put(w, "# ");
	put(w, row->help);
	if (row->words) {
		put(w, " (");
		put(w, row->words);
		put(w, ")");
	}
	put(w, "\n");
}

static void put_section(struct writing *w, const char *prefix, int depth, bool remark);

static bool is_section(const struct lade_pipe_row *row)
{
	return row->kind == LADE_ROW_SECTION || row->kind == LADE_ROW_CHOICE ||
	       row->kind == LADE_ROW_SECTIONS;
}

/* Whether something of a section stands in the file. */
static bool is_used(const struct writing *w, const struct lade_pipe_row *row)
{
	size_t len = strlen(row->key);

	if (row->kind == LADE_ROW_CHOICE || strcmp(row->key, "errors.dead_letter") == 0 ||
	    strcmp(row->key, "errors") == 0 || (row->flags & LADE_ROW_REQUIRED))
		return true;
	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++)
		if (strncmp(samples[i].key, row->key, len) == 0 &&
		    (samples[i].key[len] == '.' || samples[i].key[len] == '['))
			return true;
	(void)w;
	return false;
}

static void put_subsection(struct writing *w, const struct lade_pipe_row *row, int depth,
			   bool remark)
{
	char prefix[128];
	size_t before;

	remark |= !is_used(w, row);
	put_help(w, row, depth);
	indent(w, depth, remark);
	put(w, remark ? "#" : "");
	put(w, lade_pipe_row_name(row));
	put(w, ":");
	before = w->out.len;
	put(w, "\n");
	snprintf(prefix, sizeof(prefix), "%s%s", row->key,
		 row->kind == LADE_ROW_SECTIONS ? "[]" : "");
	w->dash = row->kind == LADE_ROW_SECTIONS;
	put_section(w, prefix, depth + (row->kind == LADE_ROW_SECTIONS ? 2 : 1), remark);
	w->dash = false;
	/* A section in which nothing is set is an empty one. */
	if (!remark && before < w->out.len && !lade_pipe_row_child(lade_pipe_rows, prefix)) {
		w->out.len = before;
		put(w, " {}\n");
	}
}

/* What a value looks like, for a key that has neither sample nor default. */
static const char *shape_of(const struct lade_pipe_row *row)
{
	switch (row->kind) {
	case LADE_ROW_MAP: return "{ NAME: TEXT }";
	case LADE_ROW_TEXTS: return "[TEXT, TEXT]";
	case LADE_ROW_TEXT: return "TEXT";
	case LADE_ROW_DURATION: return "DURATION";
	default: return "NUMBER";
	}
}

static void put_row(struct writing *w, const struct lade_pipe_row *row, int depth, bool remark)
{
	const char *value = remark ? NULL : sample_of(w, row->key);

	if (strcmp(row->key, "databases") == 0 &&
	    (strcmp(w->sink, "postgres") == 0 || strcmp(w->source, "postgres") == 0))
		value = "{ main: \"${env:DATABASE:-postgres://localhost/app}\" }";
	/* The source's brokers are the sink's as well. */
	if (strcmp(row->key, "sink[].kafka.brokers") == 0 && strcmp(w->source, "kafka") == 0)
		value = NULL;
	put_help(w, row, depth);
	indent(w, depth, !value);
	put(w, value ? "" : "#");
	put(w, lade_pipe_row_name(row));
	put(w, ": ");
	if (!value && row->unset && *row->unset == ',') /* bare it would be no value in YAML */
		put(w, "\",\"");
	else
		put_value(w, value ? value : row->unset ? row->unset : shape_of(row));
	put(w, "\n");
}

static void put_section(struct writing *w, const char *prefix, int depth, bool remark)
{
	const struct lade_pipe_row *row = lade_pipe_row_child(lade_pipe_rows, prefix);

	for (; row; row = lade_pipe_row_child(row + 1, prefix)) {
		if ((row->flags & LADE_ROW_LATER) ||
		    (row->kind == LADE_ROW_CHOICE && !is_chosen(w, row)))
			continue;
		if (depth == 0 && w->out.len)
			put(w, "\n");
		if (is_section(row))
			put_subsection(w, row, depth, remark);
		else
			put_row(w, row, depth, remark);
	}
}

/* The SQL of the tables at PostgreSQL, to be pasted. */
static void put_tables(struct writing *w)
{
	if (strcmp(w->source, "postgres") == 0)
		put(w, "# The table that is read, and a row to try it with:\n"
		       "#   create table incoming (\n"
		       "#     id bigint generated always as identity primary key,\n"
		       "#     customer text not null,\n"
		       "#     cents bigint not null,\n"
		       "#     xid xid8 not null default pg_current_xact_id()\n"
		       "#   );\n"
		       "#   create index on incoming (xid, id);\n"
		       "#   insert into incoming (customer, cents) values ('Ada', 1200);\n");
	if (strcmp(w->sink, "postgres") == 0)
		put(w, "# The table that is written; create: true makes it, where the user may:\n"
		       "#   create table orders (\n"
		       "#     id bigint primary key,\n"
		       "#     customer text,\n"
		       "#     euros double precision\n"
		       "#   );\n");
}

/* What to send, and how. */
static void put_message(struct writing *w)
{
	static const char message[] = "{\"id\":1,\"customer\":\"Ada\",\"cents\":1200}";

	put(w, "# A message to try it with:\n#   ");
	put(w, strcmp(w->source, "kafka") == 0 ? "" : "echo '");
	put(w, message);
	put(w, strcmp(w->source, "file") == 0	 ? "' > orders.ndjson && lade run THIS"
	       : strcmp(w->source, "stdin") == 0 ? "' | lade run THIS"
						 : "");
	put(w, "\n");
}

static void put_head(struct writing *w)
{
	put(w, "# A pipeline from ");
	put(w, w->source);
	put(w, " to ");
	put(w, w->sink);
	put(w, ". A key behind # has that value unless it is set.\n");
	put_tables(w);
	if (strcmp(w->source, "postgres") != 0)
		put_message(w);
}

/* Whether the file could run, as far as nothing is opened. */
static bool is_valid(const struct lade_json_out *out)
{
	struct lade_pipe_config *config = lade_pipe_config_new();
	bool valid = config && lade_pipe_config_parse(config, "new", out->data, out->len) == 0;

	lade_pipe_config_free(config);
	return valid;
}

static const struct lade_pipe_row *choice_named(const char *prefix, const char *name, size_t len)
{
	const struct lade_pipe_row *row = lade_pipe_row_child(lade_pipe_rows, prefix);

	for (; row; row = lade_pipe_row_child(row + 1, prefix))
		if (row->kind == LADE_ROW_CHOICE && !(row->flags & LADE_ROW_LATER) &&
		    strlen(lade_pipe_row_name(row)) == len &&
		    memcmp(lade_pipe_row_name(row), name, len) == 0)
			return row;
	return NULL;
}

bool lade_pipe_pair_at(int i, char *ret, size_t room)
{
	const struct lade_pipe_row *source = lade_pipe_row_child(lade_pipe_rows, "source");

	for (; source; source = lade_pipe_row_child(source + 1, "source")) {
		const struct lade_pipe_row *sink = lade_pipe_row_child(lade_pipe_rows, "sink[]");

		if (source->kind != LADE_ROW_CHOICE || (source->flags & LADE_ROW_LATER))
			continue;
		for (; sink; sink = lade_pipe_row_child(sink + 1, "sink[]")) {
			if (sink->kind != LADE_ROW_CHOICE || (sink->flags & LADE_ROW_LATER) || i--)
				continue;
			snprintf(ret, room, "%s-%s", lade_pipe_row_name(source),
				 lade_pipe_row_name(sink));
			return true;
		}
	}
	return false;
}

char *lade_pipe_config_begin(const char *pair)
{
	size_t len = strcspn(pair, "-");
	const struct lade_pipe_row *source = choice_named("source", pair, len), *sink =
		pair[len] ? choice_named("sink[]", pair + len + 1, strlen(pair + len + 1)) : NULL;
	struct writing w = { .name = pair };
	bool valid = false;

	if (!source || !sink)
		return NULL;
	w.source = lade_pipe_row_name(source);
	w.sink = lade_pipe_row_name(sink);
	lade_json_out_init(&w.out, TEXT_MAX);
	for (size_t i = 0; !valid && i < sizeof(choices) / sizeof(*choices); i++) {
		w.choice = &choices[i];
		lade_json_out_reset(&w.out);
		put_head(&w);
		put_section(&w, "", 0, false);
		valid = w.out.status == 0 && is_valid(&w.out);
	}
	lade_json_out_raw(&w.out, "", 1);
	if (w.out.status < 0 || !valid)
		lade_json_out_done(&w.out);
	return w.out.data;
}
