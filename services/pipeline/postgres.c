/* SPDX-License-Identifier: MIT */
/* postgres.c - addresses, SQL and failures of PostgreSQL. */

#include "services/pipeline/postgres.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "services/pipeline/ref.h"

void lade_pipe_pg_conninfo(const char *url, char *room, bool *ret_prepare)
{
	size_t base = strcspn(url, "?");
	const char *param = url + base + (url[base] == '?');
	char *to = room + base;
	char before = '?';

	*ret_prepare = true;
	memcpy(room, url, base);
	while (*param) {
		size_t len = strcspn(param, "&");

		if (strncmp(param, "prepare=", 8) == 0) {
			*ret_prepare = !(len == 13 && memcmp(param + 8, "false", 5) == 0);
		} else {
			*to++ = before;
			before = '&';
			memcpy(to, param, len);
			to += len;
		}
		param += len + (param[len] == '&');
	}
	*to = 0;
}

int lade_pipe_pg_open(const struct lade_pipe_config *config, const char *name,
		      struct lade_pg_config settings, struct lade_pg **ret,
		      struct lade_pg_error *ret_error)
{
	const char *url = lade_pipe_database_url(config, name);
	char *room = malloc(strlen(url) + 1), application[96];
	bool prepare;
	int rc;

	if (!room)
		return -ENOMEM;
	lade_pipe_pg_conninfo(url, room, &prepare);
	snprintf(application, sizeof(application), "lade %.60s", config->name);
	settings.conninfo = room;
	settings.application = application;
	settings.unprepared = !prepare;
	rc = lade_pg_open(&settings, ret, ret_error);
	free(room);
	return rc;
}

void lade_pipe_pg_put(struct lade_json_out *out, const char *text)
{
	lade_json_out_raw(out, text, strlen(text));
}

void lade_pipe_pg_name(struct lade_json_out *out, const char *name)
{
	lade_pipe_pg_put(out, "\"");
	for (; *name; name++)
		lade_json_out_raw(out, *name == '"' ? "\"\"" : name, *name == '"' ? 2 : 1);
	lade_pipe_pg_put(out, "\"");
}

char *lade_pipe_pg_source_sql(const struct lade_pipe_source *source, const char *text)
{
	struct lade_json_out out;

	lade_json_out_init(&out, 1 << 16);
	while (*text) {
		size_t len = strcspn(text, "{");

		lade_json_out_raw(&out, text, len);
		text += len;
		if (strncmp(text, "{table}", 7) == 0)
			lade_pipe_pg_put(&out, source->table);
		else if (strncmp(text, "{key}", 5) == 0)
			lade_pipe_pg_name(&out, source->key);
		else if (strncmp(text, "{xid}", 5) == 0)
			lade_pipe_pg_name(&out, source->xid);
		text += *text ? strcspn(text, "}") + 1 : 0;
	}
	lade_json_out_raw(&out, "", 1);
	if (out.status < 0)
		lade_json_out_done(&out);
	return out.data;
}

/* Behind blanks and comments. */
static const char *skip_space(const char *sql)
{
	for (;;) {
		if (isspace((unsigned char)*sql)) {
			sql++;
		} else if (strncmp(sql, "--", 2) == 0) {
			sql += strcspn(sql, "\n");
		} else if (strncmp(sql, "/*", 2) == 0) {
			const char *end = strstr(sql + 2, "*/");

			sql = end ? end + 2 : sql + strlen(sql);
		} else {
			return sql;
		}
	}
}

static bool word(const char **sql, const char *what)
{
	size_t len = strlen(what);

	if (strncasecmp(*sql, what, len) != 0 || isalnum((unsigned char)(*sql)[len]) ||
	    (*sql)[len] == '_')
		return false;
	*sql = skip_space(*sql + len);
	return true;
}

/* A query's end: a semicolon there is a habit, and no second statement. */
static size_t length_of(const char *sql)
{
	size_t len = strlen(sql);

	while (len && (isspace((unsigned char)sql[len - 1]) || sql[len - 1] == ';'))
		len--;
	return len;
}

void lade_pipe_pg_batch_sql(struct lade_json_out *out, const char *query,
			    const struct lade_pipe_pg_key *keys, unsigned n)
{
	const char *rest = skip_space(query);
	bool more = word(&rest, "with");

	/* The query's own relations come behind batch, and may use it. */
	lade_pipe_pg_put(out, more && word(&rest, "recursive") ? "with recursive batch(i"
							       : "with batch(i");
	for (unsigned i = 0; i < n; i++) {
		lade_pipe_pg_put(out, ", ");
		lade_pipe_pg_name(out, keys[i].name);
	}
	lade_pipe_pg_put(out, ") as (select b.i - 1");
	for (unsigned i = 0; i < n; i++) {
		lade_pipe_pg_put(out, ", b.");
		lade_pipe_pg_name(out, keys[i].name);
	}
	lade_pipe_pg_put(out, " from unnest(");
	for (unsigned i = 0; i < n; i++) {
		char text[48];

		snprintf(text, sizeof(text), "%s$%u::%s[]", i ? ", " : "", i + 1,
			 lade_pg_type_name(lade_pg_type_of(keys[i].type)));
		lade_pipe_pg_put(out, text);
	}
	lade_pipe_pg_put(out, ") with ordinality as b(");
	for (unsigned i = 0; i < n; i++) {
		lade_pipe_pg_name(out, keys[i].name);
		lade_pipe_pg_put(out, ", ");
	}
	lade_pipe_pg_put(out, more ? "i)), " : "i)) ");
	lade_json_out_raw(out, rest, length_of(rest));
}

void lade_pipe_pg_step_sql(struct lade_json_out *out, const struct lade_pipe_step *step)
{
	struct lade_pipe_pg_key keys[LADE_PIPE_NAMES_MAX];
	struct lade_json_paths *paths = lade_json_paths_new();
	struct lade_json_error error;

	for (int i = 0; paths && i < step->keys.n; i++) {
		const char *text = step->keys.at[i].text;
		struct lade_pipe_ref ref = { .want = { LADE_TEXT, false } };

		(void)lade_pipe_ref_parse(text, strlen(text), paths, &ref, &error);
		keys[i] = (struct lade_pipe_pg_key){ step->keys.at[i].name, ref.want.type };
	}
	if (paths)
		lade_pipe_pg_batch_sql(out, step->query, keys, (unsigned)step->keys.n);
	lade_json_paths_free(paths);
}

/* What is sent ends as the query does: places are the same from the end. */
size_t lade_pipe_pg_position(const char *sent, const char *query, int position)
{
	size_t at = 0, sent_len = strlen(sent), len = length_of(query);

	if (position < 1)
		return 0;
	while (sent[at] && ((unsigned char)sent[at] & 0xc0) == 0x80)
		at++;
	for (int i = 1; i < position && sent[at]; i++)
		for (at++; ((unsigned char)sent[at] & 0xc0) == 0x80; at++)
			;
	return at + len < sent_len ? 0 : at + len - sent_len + 1;
}

static bool of_class(const struct lade_pg_error *error, const char *class)
{
	return strncmp(error->sqlstate, class, strlen(class)) == 0;
}

bool lade_pipe_pg_of_address(const struct lade_pg_error *error)
{
	return error->fault == LADE_PG_PASSING || of_class(error, "28") || of_class(error, "3D");
}

const char *lade_pipe_pg_remedy(const struct lade_pg_error *error)
{
	static const struct {
		const char *state, *remedy;
	} remedies[] = {
		{ "28", "; check user and password of the address, and the server's pg_hba.conf" },
		{ "3D", "; create the database, or name another one in the address" },
		{ "42P01", "; create the table, or name it with its schema, as SCHEMA.TABLE" },
		{ "42703", "; columns are those of the tables that the query names, and of batch,"
			   " which has i and the step's keys" },
		{ "42501", "; grant the right to the user of the address" },
		{ "42601", "; mend the query: lade show --effective prints what is sent" },
		{ "42883", "; cast its arguments to the types that it is for" },
		{ "25006", "; a step only reads: SELECT is what is allowed here" },
	};

	if (error->fault == LADE_PG_PASSING && (!*error->sqlstate || of_class(error, "08")))
		return "; is the server running, and the address right?";
	for (size_t i = 0; i < sizeof(remedies) / sizeof(*remedies); i++)
		if (of_class(error, remedies[i].state))
			return remedies[i].remedy;
	return "";
}

const char *lade_pipe_pg_say(const struct lade_pg_error *error, char ret[512])
{
	bool state = *error->sqlstate != 0, detail = *error->detail != 0;

	snprintf(ret, 512, "%.300s%s%s%s%s%.150s", error->text, state ? " (SQLSTATE " : "",
		 error->sqlstate, state ? ")" : "", detail ? ": " : "", error->detail);
	return ret;
}
