/* SPDX-License-Identifier: MIT */
/* offsets.c - where the lanes of a pipeline stand, as its sink keeps it: shown and set.
 *
 * DESIGN
 * An offset is set as a pipeline claims a lane: under a new epoch. So a process that has the lane
 * and was not noticed writes nothing more: it is fenced. A file's offset is checked against the
 * file, because what is no line's beginning would be read as half a message. */

#include "services/pipeline/offsets.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "services/pipeline/letters.h"
#include "services/pipeline/position.h"

#define BUSY_MS 10000
#define LOOK_BACK 65536 /* bytes before an offset in which a line's beginning is looked for */

/* SQLite */

struct of_sqlite {
	sqlite3 *db;
	sqlite3_stmt *rows; /* NULL: there is no table */
};

static int failed(struct lade_offsets *o, const struct of_sqlite *s)
{
	snprintf(o->why, sizeof(o->why), "%.200s: %s", lade_letters_database(o->config),
		 sqlite3_errmsg(s->db));
	return -EIO;
}

static int sqlite_open(struct lade_offsets *o)
{
	const char *file = lade_letters_database(o->config);
	struct of_sqlite *s = calloc(1, sizeof(*s));
	int rc;

	o->self = s;
	if (!s)
		return -ENOMEM;
	if (access(file, F_OK) < 0 && errno == ENOENT)
		return 0; /* nothing has run yet */
	if (sqlite3_open_v2(file, &s->db, o->setting ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY,
			    NULL) != SQLITE_OK)
		return failed(o, s);
	sqlite3_busy_timeout(s->db, BUSY_MS);
	rc = sqlite3_prepare_v2(s->db, "select topic, part, next_offset, epoch, owner, cluster"
				" from lade_offsets where pipeline = ?1 order by topic, part", -1,
				&s->rows, NULL);
	if (rc != SQLITE_OK)
		return strstr(sqlite3_errmsg(s->db), "no such table") ? 0 : failed(o, s);
	sqlite3_bind_text(s->rows, 1, o->config->name, -1, SQLITE_STATIC);
	return 0;
}

static void copy_text(sqlite3_stmt *rows, int column, char *ret, size_t room)
{
	const unsigned char *text = sqlite3_column_text(rows, column);

	snprintf(ret, room, "%s", text ? (const char *)text : "");
}

static int sqlite_next(struct lade_offsets *o, struct lade_offset *ret)
{
	struct of_sqlite *s = o->self;
	int rc = s->rows ? sqlite3_step(s->rows) : SQLITE_DONE;

	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? 0 : failed(o, s);
	copy_text(s->rows, 0, ret->topic, sizeof(ret->topic));
	ret->part = sqlite3_column_int64(s->rows, 1);
	ret->next_offset = sqlite3_column_int64(s->rows, 2);
	ret->epoch = sqlite3_column_int64(s->rows, 3);
	copy_text(s->rows, 4, ret->owner, sizeof(ret->owner));
	copy_text(s->rows, 5, ret->cluster, sizeof(ret->cluster));
	return 1;
}

static int sqlite_set(struct lade_offsets *o, const struct lade_offset *was,
		      const struct lade_offset *to)
{
	struct of_sqlite *s = o->self;
	sqlite3_stmt *st = NULL;
	int rc;

	sqlite3_reset(s->rows);
	rc = sqlite3_prepare_v2(s->db, "update lade_offsets set next_offset = ?1, cluster = ?2,"
				" epoch = epoch + 1, owner = 'lade offsets set'"
				" where pipeline = ?3 and topic = ?4 and part = ?5 and epoch = ?6"
				" and next_offset = ?7", -1, &st, NULL);
	if (rc != SQLITE_OK)
		return failed(o, s);
	sqlite3_bind_int64(st, 1, to->next_offset);
	sqlite3_bind_text(st, 2, to->cluster, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 3, o->config->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 4, was->topic, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 5, was->part);
	sqlite3_bind_int64(st, 6, was->epoch);
	sqlite3_bind_int64(st, 7, was->next_offset);
	rc = sqlite3_step(st);
	if (rc != SQLITE_DONE)
		rc = failed(o, s);
	else
		rc = sqlite3_changes(s->db) == 1 ? 0 : -EAGAIN;
	sqlite3_finalize(st);
	return rc;
}

static void sqlite_close(struct lade_offsets *o)
{
	struct of_sqlite *s = o->self;

	if (!s)
		return;
	sqlite3_finalize(s->rows);
	sqlite3_close(s->db);
	free(s);
}

const struct lade_offsets_ops lade_offsets_of_sqlite = { sqlite_open, sqlite_next, sqlite_set,
							 sqlite_close };

/* All kinds */

int lade_offsets_open(struct lade_offsets *o, const struct lade_pipe_config *config, bool setting)
{
	int rc;

	*o = (struct lade_offsets){ .config = config, .setting = setting };
	if (config->delivery != LADE_EXACTLY_ONCE) {
		snprintf(o->why, sizeof(o->why), "%s: at_least_once keeps no offsets in its sink%s",
			 config->name, config->source.kind == LADE_SOURCE_KAFKA
			 ? "; those of the consumer group are Kafka's"
			 : ": each run reads its files from their beginning");
		return -EOPNOTSUPP;
	}
	if (!lade_letters_database(config)) {
		snprintf(o->why, sizeof(o->why), "%s: its offsets are in no SQLite database, and"
			 " lade offsets knows no other place", config->name);
		return -EOPNOTSUPP;
	}
	o->ops = &lade_offsets_of_sqlite;
	rc = o->ops->open(o);
	if (rc < 0 && !*o->why)
		snprintf(o->why, sizeof(o->why), "%s", strerror(-rc));
	return rc;
}

int lade_offsets_next(struct lade_offsets *o, struct lade_offset *ret)
{
	return o->ops->next(o, ret);
}

long lade_offsets_holder(const struct lade_offset *offset)
{
	char path[64], name[32] = "";
	FILE *file;
	long pid = 0;

	if (sscanf(offset->owner, "process %ld", &pid) != 1 || pid <= 1 ||
	    (kill((pid_t)pid, 0) < 0 && errno != EPERM))
		return 0;
	/* The number may be another program's by now. */
	snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
	file = fopen(path, "re");
	if (!file)
		return pid;
	if (!fgets(name, sizeof(name), file))
		*name = 0;
	fclose(file);
	return strncmp(name, "lade", 4) == 0 ? pid : 0;
}

/* Where lines begin round an offset. */
static int refuse_middle(struct lade_offsets *o, const char *path, int fd, int64_t to)
{
	static char bytes[LOOK_BACK];
	int64_t from = to > LOOK_BACK ? to - LOOK_BACK : 0, begin = from;
	ssize_t n = pread(fd, bytes, (size_t)(to - from), from);

	for (ssize_t i = 0; i < n; i++)
		if (bytes[i] == '\n')
			begin = from + i + 1;
	snprintf(o->why, sizeof(o->why), "%.200s: byte %" PRId64 " is within a line, which begins"
		 " at byte %" PRId64, path, to, begin);
	return -EINVAL;
}

/* Whether a file has a line that begins there, and which file it is then. */
static int check_file(struct lade_offsets *o, const char *path, int fd, struct lade_offset *to)
{
	struct lade_pipe_identity identity;
	struct stat st;
	char before = '\n';
	int rc;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (to->next_offset > st.st_size) {
		snprintf(o->why, sizeof(o->why), "%.200s has %lld bytes, and no byte %" PRId64,
			 path, (long long)st.st_size, to->next_offset);
		return -EINVAL;
	}
	if (to->next_offset && pread(fd, &before, 1, to->next_offset - 1) != 1)
		return -EIO;
	if (before != '\n')
		return refuse_middle(o, path, fd, to->next_offset);
	rc = lade_pipe_identify(fd, to->next_offset, &identity);
	if (rc == 0)
		lade_pipe_identity_format(&identity, to->cluster);
	return rc;
}

static int identify(struct lade_offsets *o, struct lade_offset *to)
{
	const char *folder = o->config->folder && *to->topic != '/' ? o->config->folder : "";
	char path[4096];
	int fd, rc;

	if (o->config->source.kind != LADE_SOURCE_FILE)
		return 0;
	snprintf(path, sizeof(path), "%s%s", folder, to->topic);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	rc = fd < 0 ? -errno : check_file(o, path, fd, to);
	if (rc < 0 && !*o->why)
		snprintf(o->why, sizeof(o->why), "%.300s: %s", path, strerror(-rc));
	if (fd >= 0)
		close(fd);
	return rc;
}

/* The lane that is meant.  Returns 1; 0: there is none, with why. */
static int find(struct lade_offsets *o, const char *topic, int64_t part, struct lade_offset *ret)
{
	int rc, n = 0, len = 0;

	while ((rc = lade_offsets_next(o, ret)) > 0) {
		if (strcmp(ret->topic, topic) == 0 && ret->part == part)
			return 1;
		if (n++ < 5)
			len += snprintf(o->why + len, sizeof(o->why) - (size_t)len,
					"%s%.80s/%" PRId64, n > 1 ? ", " : "", ret->topic,
					ret->part);
	}
	if (rc == 0) {
		char there[sizeof(o->why)];

		memcpy(there, o->why, sizeof(there));
		snprintf(o->why, sizeof(o->why), "no offset is kept of %.80s, partition %" PRId64
			 "; %s%.300s%s", topic, part, n ? "there are: " : "none is kept yet: it has"
			 " not run", n ? there : "", n > 5 ? ", ..." : "");
	}
	return rc;
}

int lade_offsets_set(struct lade_offsets *o, const char *topic, int64_t part, int64_t to,
		     bool force, struct lade_offset *ret_was)
{
	struct lade_offset target;
	int rc = find(o, topic, part, ret_was);
	long holder = rc > 0 ? lade_offsets_holder(ret_was) : 0;

	if (rc <= 0)
		return rc < 0 ? rc : -ENOENT;
	*o->why = 0;
	if (holder && !force) {
		snprintf(o->why, sizeof(o->why), "process %ld runs the pipeline and has this lane;"
			 " stop it first, or take the lane away from it with --force", holder);
		return -EBUSY;
	}
	target = *ret_was;
	target.next_offset = to;
	rc = identify(o, &target);
	if (rc == 0)
		rc = o->ops->set(o, ret_was, &target);
	if (rc == -EAGAIN)
		snprintf(o->why, sizeof(o->why), "the lane has moved meanwhile: somebody runs the"
			 " pipeline; nothing was set");
	return rc;
}

void lade_offsets_close(struct lade_offsets *o)
{
	if (o->ops)
		o->ops->close(o);
	o->ops = NULL;
}
