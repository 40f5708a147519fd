/* SPDX-License-Identifier: MIT */
/* prepared.c - the statements that a connection keeps prepared, by their text and types.
 *
 * LIMITS  PG_PREPARED_MAX; further statements are sent whole each time. */

#include "connectors/postgres/postgres_priv.h"

#include "base/alloc.h"
#include "base/hash.h"

#include <string.h>

static uint64_t hash_of(const struct lade_pg_statement *s)
{
	uint64_t hash = lade_hash_fnv(LADE_HASH_FNV, s->sql, strlen(s->sql));

	for (unsigned i = 0; s->args && i < s->args->n; i++)
		hash = lade_hash_fnv(hash, &s->args->list[i].type, sizeof(uint32_t));
	return hash ? hash : 1;
}

static bool is_it(const struct lade_pg_prepared *p, const struct lade_pg_statement *s)
{
	unsigned n = s->args ? s->args->n : 0;

	if (p->n != n || strcmp(p->sql, s->sql) != 0)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (p->types[i] != s->args->list[i].type)
			return false;
	return true;
}

static bool keep(struct lade_pg_prepared *p, const struct lade_pg_statement *s, uint64_t hash)
{
	unsigned n = s->args ? s->args->n : 0;
	size_t types = n * sizeof(uint32_t), len = strlen(s->sql) + 1;
	char *mem = lade_malloc(types + len);

	if (!mem)
		return false;
	p->types = (uint32_t *)(void *)mem;
	p->sql = memcpy(mem + types, s->sql, len);
	for (unsigned i = 0; i < n; i++)
		p->types[i] = s->args->list[i].type;
	p->n = n;
	p->hash = hash;
	return true;
}

int lade_pg_prepared_find(struct lade_pg_conn *conn, const struct lade_pg_statement *statement,
			  bool *ret_new)
{
	uint64_t hash = hash_of(statement);
	int unused = -1;

	*ret_new = false;
	for (unsigned i = 0; i < conn->n_prepared; i++) {
		if (conn->prepared[i].hash == hash && is_it(&conn->prepared[i], statement))
			return (int)i;
		if (!conn->prepared[i].hash)
			unused = (int)i;
	}
	if (unused < 0 && conn->n_prepared < PG_PREPARED_MAX)
		unused = (int)conn->n_prepared++;
	if (unused < 0 || !keep(&conn->prepared[unused], statement, hash))
		return -1;
	conn->prepared[unused].number = conn->next_number++;
	*ret_new = true;
	return unused;
}

void lade_pg_prepared_forget(struct lade_pg_conn *conn, int entry)
{
	/* Types and text are one piece of memory. */
	lade_free(conn->prepared[entry].types);
	conn->prepared[entry] = (struct lade_pg_prepared){ 0 };
}
