/* SPDX-License-Identifier: MIT */
/* db.c - connections, their limits, and what an error means.
 *
 * DESIGN
 * A call is ended by the progress handler, never by sqlite3_interrupt(): that one hits
 * whatever runs on the connection when it arrives, be it the next call.  The handler asks
 * every PROGRESS_STEPS instructions of SQLite's machine whether the deadline has passed or
 * somebody said stop; the busy handler asks before each nap.
 *
 * LIMITS  A single instruction is not interrupted: a huge LIKE, a large sort, the fsync of a
 * commit.  LENGTH_MAX bounds what one value can be. */

#include "connectors/sqlite/sqlite_priv.h"

#include <lade/blocking.h>

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"

#define PROGRESS_STEPS 2000
#define BUSY_NS INT64_C(1000000000)
#define OPEN_NS INT64_C(30000000000)	/* time for what opening does */
#define NAP_MAX_NS INT64_C(20000000)
#define LENGTH_MAX (128 << 20)

static const struct {
	const char *name;	/* for people */
	int rc;			/* what a call returns */
} faults[] = {
	[LADE_SQLITE_DATA] = { "data", -EBADMSG },
	[LADE_SQLITE_PASSING] = { "passing", -EAGAIN },
	[LADE_SQLITE_FATAL] = { "fatal", -EIO },
	[LADE_SQLITE_FENCED] = { "fenced", -ESTALE },
	[LADE_SQLITE_STOPPED] = { "stopped", -ECANCELED },
	[LADE_SQLITE_MEMORY] = { "memory", -ENOMEM },
};

const char *lade_sqlite_fault_name(enum lade_sqlite_fault fault)
{
	return faults[fault].name;
}

/* Must the running call end? */
static bool must_end(struct lade_sqlite *db)
{
	if (atomic_load_explicit(&db->stop, memory_order_relaxed))
		return true;
	db->late = db->late || lade_clock_ns() >= db->deadline_ns;
	return db->late;
}

static int on_progress(void *arg)
{
	return must_end(arg);
}

static int on_busy(void *arg, int naps)
{
	struct lade_sqlite *db = arg;
	int64_t nap_ns = INT64_C(1000000) << (naps < 5 ? naps : 5), now = lade_clock_ns();

	/* In a simulation who holds the lock goes on only when this call has ended. */
	if (lade_simulated())
		return 0;
	if (naps == 0)
		db->busy_since_ns = now;
	if (must_end(db) || now - db->busy_since_ns >= db->busy_ns)
		return 0;
	nap_ns = nap_ns < NAP_MAX_NS ? nap_ns : NAP_MAX_NS;
	nanosleep(&(struct timespec){ .tv_nsec = nap_ns }, NULL);
	return 1;
}

int lade_sqlite_fail(struct lade_sqlite_error *error, enum lade_sqlite_fault fault,
		     const char *format, ...)
{
	va_list args;

	*error = (struct lade_sqlite_error){ .fault = fault, .part = -1, .row = -1 };
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return faults[fault].rc;
}

static enum lade_sqlite_fault fault_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_TOOBIG:
		return LADE_SQLITE_DATA;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_FULL:
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_PROTOCOL:
	case SQLITE_INTERRUPT:
		return LADE_SQLITE_PASSING;
	case SQLITE_NOMEM:
		return LADE_SQLITE_MEMORY;
	default:
		return LADE_SQLITE_FATAL;
	}
}

static const char *advice(int code)
{
	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return "; another program holds the database: end its transaction";
	case SQLITE_FULL:
		return "; make room on the disk";
	case SQLITE_IOERR:
		return "; look at the disk (dmesg)";
	case SQLITE_CANTOPEN:
		return "; does the file exist, and may this user read and write it and its folder?";
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return "; this user may not write the file or its folder";
	case SQLITE_NOTADB:
		return "; is this the right file?";
	case SQLITE_CORRUPT:
		return "; the file is damaged: restore it, or try PRAGMA integrity_check";
	default:
		return "";
	}
}

int lade_sqlite_failed(struct lade_sqlite *db, int code, const char *doing,
		       struct lade_sqlite_error *error)
{
	const char *said = db->db ? sqlite3_errmsg(db->db) : sqlite3_errstr(code);
	int rc;

	code = db->db ? sqlite3_extended_errcode(db->db) : code;
	if (atomic_load(&db->stop) && (code & 0xff) == SQLITE_INTERRUPT)
		return lade_sqlite_fail(error, LADE_SQLITE_STOPPED, "%s was stopped", doing);
	if (db->late && ((code & 0xff) == SQLITE_INTERRUPT || (code & 0xff) == SQLITE_BUSY))
		rc = lade_sqlite_fail(error, LADE_SQLITE_PASSING,
				      "%s took longer than its timeout%s", doing,
				      (code & 0xff) == SQLITE_BUSY ? advice(code) : "");
	else
		rc = lade_sqlite_fail(error, fault_of(code), "%s: %.240s%s", doing, said,
				      advice(code));
	error->code = code;
	return rc;
}

int lade_sqlite_exec(struct lade_sqlite *db, const char *sql, struct lade_sqlite_error *error)
{
	int code = sqlite3_exec(db->db, sql, NULL, NULL, NULL);

	return code == SQLITE_OK ? 0 : lade_sqlite_failed(db, code, db->path, error);
}

int lade_sqlite_prepare(struct lade_sqlite *db, const char *sql, sqlite3_stmt **ret,
			struct lade_sqlite_error *error)
{
	int code = sqlite3_prepare_v3(db->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);

	return code == SQLITE_OK ? 0 : lade_sqlite_failed(db, code, db->path, error);
}

int lade_sqlite_bind(sqlite3_stmt *statement, int at, const struct lade_datum *value,
		     char room[LADE_TIMESTAMP_ROOM])
{
	int len;

	switch (value->type) {
	case LADE_TEXT:
	case LADE_JSON:
		return sqlite3_bind_text64(statement, at, value->text ? value->text : "",
					   value->len, SQLITE_STATIC, SQLITE_UTF8);
	case LADE_INTEGER:
	case LADE_BOOLEAN:
		return sqlite3_bind_int64(statement, at, value->integer);
	case LADE_DOUBLE:
		return sqlite3_bind_double(statement, at, value->real);
	case LADE_TIMESTAMP:
		len = lade_timestamp_format(value->integer, room);
		return len < 0 ? SQLITE_RANGE :
				 sqlite3_bind_text(statement, at, room, len, SQLITE_STATIC);
	default:
		return sqlite3_bind_null(statement, at);
	}
}

int lade_sqlite_has_table(struct lade_sqlite *db, const char *name,
			  struct lade_sqlite_error *error)
{
	sqlite3_stmt *statement;
	int code, rc = lade_sqlite_prepare(db, "select 1 from pragma_table_list where name = ?1"
					       " collate nocase and type in ('table', 'view')",
					   &statement, error);

	if (rc < 0)
		return rc;
	sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
	code = sqlite3_step(statement);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		rc = lade_sqlite_failed(db, code, db->path, error);
	sqlite3_finalize(statement);
	return rc < 0 ? rc : code == SQLITE_ROW;
}

void lade_sqlite_begin_call(struct lade_sqlite *db, int64_t limit_ns)
{
	int64_t now = lade_clock_ns();

	db->late = false;
	db->deadline_ns = limit_ns < INT64_MAX - now ? now + limit_ns : INT64_MAX;
}

void lade_sqlite_stop(struct lade_sqlite *db)
{
	atomic_store(&db->stop, true);
}

void lade_sqlite_ready(struct lade_sqlite *db)
{
	atomic_store(&db->stop, false);
}

static void harden(sqlite3 *db)
{
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_limit(db, SQLITE_LIMIT_WORKER_THREADS, 0);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, LENGTH_MAX);
	sqlite3_extended_result_codes(db, 1);
}

static int set_up(struct lade_sqlite *db, bool write, struct lade_sqlite_error *error)
{
	harden(db->db);
	sqlite3_busy_handler(db->db, on_busy, db);
	sqlite3_progress_handler(db->db, PROGRESS_STEPS, on_progress, db);
	if (!write)
		return lade_sqlite_exec(db, "pragma query_only = 1; select 1 from sqlite_schema",
					error);
	return lade_sqlite_exec(db, "pragma journal_mode = wal; pragma synchronous = full", error);
}

static int open_file(const struct lade_sqlite_config *config, struct lade_sqlite *db,
		     struct lade_sqlite_error *error)
{
	int flags = SQLITE_OPEN_NOMUTEX, code;

	if (strcmp(config->path, ":memory:") == 0)
		flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	else if (config->write)
		flags |= SQLITE_OPEN_READWRITE | (config->create ? SQLITE_OPEN_CREATE : 0);
	else
		flags |= SQLITE_OPEN_READONLY;
	code = sqlite3_open_v2(config->path, &db->db, flags,
			       lade_simulated() ? lade_sqlite_sim_vfs() : NULL);
	return code == SQLITE_OK ? 0 : lade_sqlite_failed(db, code, config->path, error);
}

static char *copy_of(const char *text)
{
	char *copy = lade_malloc(strlen(text) + 1);

	return copy ? strcpy(copy, text) : NULL;
}

int lade_sqlite_open(const struct lade_sqlite_config *config, struct lade_sqlite *ret,
		     struct lade_sqlite_error *ret_error)
{
	int rc;

	*ret = (struct lade_sqlite){ .busy_ns = config->busy_ns ? config->busy_ns : BUSY_NS,
				     .path = copy_of(config->path) };
	if (!ret->path)
		return lade_sqlite_fail(ret_error, LADE_SQLITE_MEMORY, "memory is out");
	lade_sqlite_begin_call(ret, OPEN_NS);
	rc = open_file(config, ret, ret_error);
	if (rc == 0)
		rc = set_up(ret, config->write, ret_error);
	if (rc < 0)
		lade_sqlite_close(ret);
	return rc;
}

void lade_sqlite_close(struct lade_sqlite *db)
{
	int code = sqlite3_close(db->db);

	assert(code == SQLITE_OK); /* else a statement was forgotten */
	(void)code;
	lade_free((char *)db->path);
	db->db = NULL;
	db->path = NULL;
}
