/* SPDX-License-Identifier: MIT */
/* plain.cc - the work of `script/bench pipeline` without a runtime: the limit for lade.
 *
 * DESIGN
 * What a careful programmer writes for this one job: read a block, parse a line at a time
 * with simdjson (its DOM, which validates the whole line), gather 500 messages, ask SQLite
 * one question per batch over a virtual table of the messages, and write each row of the
 * answer where it goes as it comes.  Same parser, statements, pragmas, transaction size and
 * fsync as lade; no task, no channel, no second batch at a time, no dead letter.
 *
 *	plain sqlite INPUT AIRPORTS_DB OUTPUT_DB	both airports' cities -> table late
 *	plain file   INPUT - OUTPUT			filter and five fields -> NDJSON
 *
 * bench/pipeline/run makes the databases and measures from outside, lade like this. */

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include <simdjson.h>
#include <sqlite3.h>

namespace {

constexpr size_t batch_max = 500;	/* messages in a batch and in a transaction */
constexpr size_t block_bytes = 1 << 20;	/* read at once; the longest line */

[[noreturn]] void die(const char *what, const char *why)
{
	std::fprintf(stderr, "plain: %s: %s\n", what, why);
	std::exit(1);
}

void check(bool ok, const char *what)
{
	if (!ok)
		die(what, std::strerror(errno));
}

void check_sql(sqlite3 *db, int rc, const char *what)
{
	if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_ROW)
		die(what, sqlite3_errmsg(db));
}

/* A flight; its texts lie in the batch's bytes. */
struct flight {
	bool has_delay;		/* else delay is null */
	int64_t delay;		/* minutes */
	int64_t distance;	/* miles */
	std::string_view date, origin, destination;
};

/* Messages and the bytes of their texts; cleared, never freed. */
struct batch {
	std::vector<flight> flights;
	std::string bytes;

	batch()
	{
		flights.reserve(batch_max);
		bytes.reserve(2 * block_bytes);
	}

	/* Never reallocates: a line is at most block_bytes, and add() looks first. */
	std::string_view keep(std::string_view text)
	{
		size_t at = bytes.size();

		bytes.append(text);
		return std::string_view(bytes).substr(at);
	}

	bool full() const
	{
		return flights.size() == batch_max || bytes.size() > block_bytes;
	}

	void clear()
	{
		flights.clear();
		bytes.clear();
	}
};

/* The relation `batch`: a virtual table over the messages of the batch in hand. */
struct relation {
	sqlite3_vtab base;	/* SQLite's part, first */
	const batch *rows;	/* the batch in hand, whichever it is */
};

struct cursor {
	sqlite3_vtab_cursor base;	/* SQLite's part, first */
	const batch *rows;		/* the batch in hand */
	size_t at;			/* the row: its place in the batch */
};

int vt_connect(sqlite3 *db, void *aux, int, const char *const *, sqlite3_vtab **ret, char **)
{
	auto *table = static_cast<relation *>(sqlite3_malloc(sizeof(relation)));
	int rc = sqlite3_declare_vtab(db, "create table x(i integer, delay integer,"
		" distance integer, date text, origin text, destination text)");

	if (!table || rc != SQLITE_OK) {
		sqlite3_free(table);
		return table ? rc : SQLITE_NOMEM;
	}
	*table = relation{ {}, static_cast<const batch *>(aux) };
	*ret = &table->base;
	return SQLITE_OK;
}

int vt_disconnect(sqlite3_vtab *table)
{
	sqlite3_free(table);
	return SQLITE_OK;
}

int vt_best_index(sqlite3_vtab *, sqlite3_index_info *info)
{
	info->estimatedCost = batch_max;
	info->estimatedRows = batch_max;
	return SQLITE_OK;
}

int vt_open(sqlite3_vtab *table, sqlite3_vtab_cursor **ret)
{
	auto *at = static_cast<cursor *>(sqlite3_malloc(sizeof(cursor)));

	if (!at)
		return SQLITE_NOMEM;
	*at = cursor{ {}, reinterpret_cast<relation *>(table)->rows, 0 };
	*ret = &at->base;
	return SQLITE_OK;
}

int vt_close(sqlite3_vtab_cursor *at)
{
	sqlite3_free(at);
	return SQLITE_OK;
}

cursor *cursor_of(sqlite3_vtab_cursor *at)
{
	return reinterpret_cast<cursor *>(at);
}

int vt_filter(sqlite3_vtab_cursor *at, int, const char *, int, sqlite3_value **)
{
	cursor_of(at)->at = 0;
	return SQLITE_OK;
}

int vt_next(sqlite3_vtab_cursor *at)
{
	cursor_of(at)->at++;
	return SQLITE_OK;
}

int vt_eof(sqlite3_vtab_cursor *at)
{
	return cursor_of(at)->at == cursor_of(at)->rows->flights.size();
}

void result_text(sqlite3_context *to, std::string_view text)
{
	sqlite3_result_text(to, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
}

int vt_column(sqlite3_vtab_cursor *at, sqlite3_context *to, int column)
{
	const flight &f = cursor_of(at)->rows->flights[cursor_of(at)->at];

	switch (column) {
	case 0:
		sqlite3_result_int64(to, static_cast<sqlite3_int64>(cursor_of(at)->at));
		break;
	case 1:
		if (f.has_delay)
			sqlite3_result_int64(to, f.delay);
		break;
	case 2:
		sqlite3_result_int64(to, f.distance);
		break;
	case 3:
		result_text(to, f.date);
		break;
	case 4:
		result_text(to, f.origin);
		break;
	case 5:
		result_text(to, f.destination);
		break;
	}
	return SQLITE_OK;
}

int vt_rowid(sqlite3_vtab_cursor *at, sqlite3_int64 *ret)
{
	*ret = static_cast<sqlite3_int64>(cursor_of(at)->at);
	return SQLITE_OK;
}

void add_relation(sqlite3 *db, const batch *rows)
{
	static sqlite3_module module;

	module.xConnect = vt_connect;	/* and no xCreate: the table is just there */
	module.xDisconnect = vt_disconnect;
	module.xBestIndex = vt_best_index;
	module.xOpen = vt_open;
	module.xClose = vt_close;
	module.xFilter = vt_filter;
	module.xNext = vt_next;
	module.xEof = vt_eof;
	module.xColumn = vt_column;
	module.xRowid = vt_rowid;
	check_sql(db, sqlite3_create_module(db, "batch", &module, const_cast<batch *>(rows)),
		  "module");
}

sqlite3 *open_db(const char *path, int flags)
{
	sqlite3 *db = nullptr;
	int rc = sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX, nullptr);

	check_sql(db, rc, path);
	return db;
}

void exec(sqlite3 *db, const char *sql)
{
	check_sql(db, sqlite3_exec(db, sql, nullptr, nullptr, nullptr), sql);
}

sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement;

	int rc = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);

	check_sql(db, rc, sql);
	return statement;
}

void run(sqlite3_stmt *statement)
{
	check_sql(sqlite3_db_handle(statement), sqlite3_step(statement), sqlite3_sql(statement));
	sqlite3_reset(statement);
}

/* What is done with a batch. */
struct sink {
	virtual ~sink() = default;
	virtual void write(const batch &batch) = 0;
};

/* One query per batch for both cities; each row of its answer becomes a row of the sink. */
struct sqlite_sink : sink {
	sqlite3 *airports, *out;				/* two databases */
	sqlite3_stmt *query, *insert, *begin, *commit;	/* the first is airports', else out's */

	sqlite_sink(const char *airports_path, const char *path, const batch *rows)
	{
		airports = open_db(airports_path, SQLITE_OPEN_READONLY);
		add_relation(airports, rows);
		query = prepare(airports,
			"select b.i, o.city as from_city, d.city as to_city from batch b"
			" left join airports o on o.iata = b.origin"
			" left join airports d on d.iata = b.destination");
		out = open_db(path, SQLITE_OPEN_READWRITE);
		exec(out, "pragma journal_mode = wal; pragma synchronous = full");
		begin = prepare(out, "begin immediate");
		insert = prepare(out, "insert into late values (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
		commit = prepare(out, "commit");
	}

	~sqlite_sink() override
	{
		sqlite3_finalize(query);
		sqlite3_finalize(insert);
		sqlite3_finalize(begin);
		sqlite3_finalize(commit);
		sqlite3_close(airports);
		sqlite3_close(out);
	}

	void bind(int at, std::string_view text)
	{
		sqlite3_bind_text(insert, at, text.data(), static_cast<int>(text.size()),
				  SQLITE_STATIC);
	}

	/* The text stays where the query has it: the insert runs before the query goes on. */
	void bind_answer(int at, int column)
	{
		sqlite3_bind_text(insert, at,
			reinterpret_cast<const char *>(sqlite3_column_text(query, column)),
			sqlite3_column_bytes(query, column), SQLITE_STATIC);
	}

	void insert_row(const flight &f)
	{
		bind(1, f.date);
		if (f.has_delay)
			sqlite3_bind_int64(insert, 2, f.delay);
		else
			sqlite3_bind_null(insert, 2);
		sqlite3_bind_int64(insert, 3, f.distance);
		bind(4, f.origin);
		bind(5, f.destination);
		bind_answer(6, 1);
		bind_answer(7, 2);
		run(insert);
	}

	void write(const batch &batch) override
	{
		int rc;

		run(begin);
		while ((rc = sqlite3_step(query)) == SQLITE_ROW) {
			auto i = static_cast<size_t>(sqlite3_column_int64(query, 0));

			insert_row(batch.flights[i]);
		}
		check_sql(airports, rc, "query");
		sqlite3_reset(query);
		run(commit);
	}
};

/* The transform: a query over the batch that gives one JSON object per message it keeps. */
struct file_sink : sink {
	sqlite3 *memory;	/* a database with nothing but the relation */
	sqlite3_stmt *query;	/* the transform */
	std::string text;	/* the batch's lines, written at once */
	int fd;			/* the output */

	file_sink(const char *path, const batch *rows)
	{
		memory = open_db(":memory:", SQLITE_OPEN_READWRITE);
		add_relation(memory, rows);
		query = prepare(memory,
			"select i, json_object('date', date, 'delay', delay, 'distance', distance,"
			" 'from', origin, 'to', destination) as value"
			" from batch where delay is not null and delay > 15");
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		check(fd >= 0, path);
	}

	~file_sink() override
	{
		sqlite3_finalize(query);
		sqlite3_close(memory);
		close(fd);
	}

	void write(const batch &) override
	{
		int rc;

		text.clear();
		while ((rc = sqlite3_step(query)) == SQLITE_ROW) {
			auto *value = reinterpret_cast<const char *>(sqlite3_column_text(query, 1));

			text.append(value, static_cast<size_t>(sqlite3_column_bytes(query, 1)));
			text.push_back('\n');
		}
		check_sql(memory, rc, "query");
		sqlite3_reset(query);
		for (size_t at = 0; at < text.size();) {
			ssize_t n = ::write(fd, text.data() + at, text.size() - at);

			check(n >= 0, "write");
			at += static_cast<size_t>(n);
		}
		check(fdatasync(fd) == 0, "fdatasync");
	}
};

flight flight_of(simdjson::dom::element line, batch &batch)
{
	auto text = [&](const char *key) {
		return batch.keep(line[key].get_string().value());
	};
	auto delay = line["delay"];
	flight f = { !delay.is_null(), 0, line["distance"].get_int64().value(), text("date"),
		     text("origin"), text("destination") };

	if (f.has_delay)
		f.delay = delay.get_int64().value();
	return f;
}

/* Lines to batches to the sink. */
void pump(int fd, batch &batch, sink &sink)
{
	std::vector<char> block(block_bytes + simdjson::SIMDJSON_PADDING);
	simdjson::dom::parser parser;
	size_t have = 0;
	ssize_t n;

	while ((n = read(fd, block.data() + have, block_bytes - have)) > 0) {
		const char *at = block.data(), *end = at + have + n, *newline;

		while ((newline = static_cast<const char *>(
				std::memchr(at, '\n', static_cast<size_t>(end - at))))) {
			size_t len = static_cast<size_t>(newline - at);

			batch.flights.push_back(flight_of(parser.parse(at, len, false), batch));
			at = newline + 1;
			if (batch.full()) {
				sink.write(batch);
				batch.clear();
			}
		}
		have = static_cast<size_t>(end - at);
		if (have == block_bytes)
			die("input", "a line is longer than a block");
		std::memmove(block.data(), at, have);
	}
	check(n == 0, "read");
	if (have > 0)
		die("input", "the last line does not end");
	if (!batch.flights.empty())
		sink.write(batch);
}

} // namespace

int main(int argc, char **argv)
{
	bool to_sqlite = argc == 5 && std::strcmp(argv[1], "sqlite") == 0;
	batch batch;
	int fd;

	if (!to_sqlite && !(argc == 5 && std::strcmp(argv[1], "file") == 0)) {
		std::fprintf(stderr, "usage: plain sqlite|file INPUT AIRPORTS_DB OUTPUT\n");
		return 2;
	}
	fd = open(argv[2], O_RDONLY | O_CLOEXEC);
	check(fd >= 0, argv[2]);
	try {
		if (to_sqlite) {
			sqlite_sink sink(argv[3], argv[4], &batch);
			pump(fd, batch, sink);
		} else {
			file_sink sink(argv[4], &batch);
			pump(fd, batch, sink);
		}
	} catch (const std::exception &e) {
		die("input", e.what());
	}
	return 0;
}
