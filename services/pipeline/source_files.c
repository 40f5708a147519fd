/* SPDX-License-Identifier: MIT */
/* source_files.c - files, one or those of a pattern, a FIFO, or stdin: a lane each.
 *
 * DESIGN
 * Files are read one after the other, in the order of their names. With follow they are read in
 * turn, as they grow, and new ones are looked for: there is one reader, because a file never makes
 * it wait long.
 *
 * What a file is called and which file it is are two things. A lane is kept by the name; which file
 * its offset is of is a part of the offset (position.h). So a file that was renamed, because logs
 * are rotated, is read to its end, here and after a restart, before the new one of its name begins.
 * Between those two may be others, that nobody has seen under the name: files that are called like
 * it with a suffix, made after the one and before the other. A lane ends when all that was given of
 * it is finished.
 *
 * Reading ends when the process is asked to stop: what has been read is flushed at once, what has
 * not stays where it is.
 *
 * LIMITS  FILES_MAX files match a pattern. A follower looks every POLL_MS whether files have grown
 * and every NAMES_NS for new ones; of a file with another one in its place it waits GRACE_NS for
 * last lines. A last line without a newline is a message, but for a file that is followed: there it
 * is one when the file will not grow any more. A header of CSV has at most HEADER_BYTES. */

#include "services/pipeline/csv.h"
#include "services/pipeline/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lade/blocking.h>

#define FILES_MAX 10000
#define POLL_MS 250
#define NAMES_NS INT64_C(1000000000)
#define GRACE_NS INT64_C(1000000000)
#define HEADER_BYTES 65536
#define TURN 4096 /* lines of a followed file before it is another one's turn */

enum state {
	IS_NEW,	  /* not begun: perhaps it is not its turn */
	IS_READ,  /* begun; without .lines it is at its end for now */
	IS_LAST,  /* the same, but it has its name no more: at its end it is over */
	IS_OVER,  /* read to its end: closed when all of it is finished */
};

struct file {
	struct file *next;
	struct lade_pipe_lane lane;	/* .name is .path */
	char *path;			/* from the working directory */
	char *topic;			/* as the pipeline's file says it */
	int fd;				/* -1: not open */
	struct stat st;			/* as of the latest look */
	int looked;			/* what fstat said then: 0 or -errno */
	bool named_otherwise;		/* its name was another file's then */
	int64_t size;			/* up to which it was read, the last line's part too */
	enum state state;
	struct lade_line_stream *lines;	/* NULL: not begun, or at its end */
	int64_t offset;			/* behind the last line that was given */
	uint64_t number;		/* of the next line */
	bool numbered;			/* it was read from its first line on */
	bool follows_another;		/* one of its name was read to its end before it */
	int64_t born_ns;		/* when it was made, since 1970; as of open */
	int64_t after_ns;		/* when the one before it was made; 0: not known */
	bool cluster_is_final;		/* enough was read: its identity changes no more */
	struct lade_pipe_csv *csv;	/* its header, if it is CSV and has been read */
	char *record;			/* lines of a record that is not whole, or NULL */
	size_t record_len;
	struct lade_line record_first;	/* the first of them; without text */
	bool record_too_long;		/* it is: its rest is left out */
	int64_t left_ns;		/* since when another one has its name; 0: none has */
};

struct source {
	struct lade_pipe_engine *engine;
	struct file *files;		/* in the order in which they are read */
	struct file *current;		/* that is read, or was read last */
	const char *pattern;		/* NULL: one name */
	uint32_t n_files;
	uint64_t given;			/* messages, in all */
	uint32_t in_turn;		/* lines of the current one since the turn began */
	int64_t names_ns;		/* when names were looked for last */
	bool said_none;			/* that there is no file yet */
};

static bool is_stopped(const struct source *s)
{
	const struct lade_pipe_engine *e = s->engine;

	/* Not lade_stopping(): that is also true inside a batch's deadline that has passed. */
	return e->stop_reading.set || e->failed || (e->read_max && s->given >= e->read_max);
}

static bool follows(const struct source *s)
{
	return s->engine->config->source.follow;
}

/* Which files */

static struct file *file_free(struct file *f)
{
	if (f) {
		lade_pipe_csv_free(f->csv);
		free(f->record);
		free(f->path);
		free(f->topic);
		free(f);
	}
	return NULL;
}

/* A file behind all others, or, with @before, in front of that one.  Returns NULL: no memory. */
static struct file *add_file(struct source *s, const char *path, const char *topic,
			     struct file *before)
{
	struct file *f = calloc(1, sizeof(*f)), **at = &s->files;

	if (!f)
		return NULL;
	f->fd = -1;
	f->path = strdup(path);
	f->topic = strdup(topic);
	if (!f->path || !f->topic)
		return file_free(f);
	lade_pipe_lane_init(&f->lane, f->topic, 0, s->engine->config->in_flight_max);
	f->lane.name = f->path;
	f->lane.self = f;
	while (*at && *at != before)
		at = &(*at)->next;
	f->next = *at;
	*at = f;
	s->n_files++;
	return f;
}

/* Removes a file of which nothing is under way. */
static void remove_file(struct source *s, struct file *f)
{
	struct file **at = &s->files;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	if (s->current == f)
		s->current = NULL;
	s->n_files--;
	lade_line_stream_close(f->lines);
	lade_pipe_lane_end(s->engine, &f->lane);
	if (f->fd > STDIN_FILENO)
		lade_close(f->fd);
	file_free(f);
}

/* Its name from where the pipeline's file is. */
static const char *topic_of(const struct source *s, const char *path)
{
	const char *folder = s->engine->config->folder;
	size_t len = folder ? strlen(folder) : 0;

	return len && strncmp(path, folder, len) == 0 ? path + len : path;
}

/* What a call on the pool is to do. */
struct look {
	struct source *source;
	struct file *file;
	int64_t offset;
	glob_t found;
	struct lade_pipe_identity identity;
	char path[PATH_MAX], pattern[PATH_MAX + 8];
	int64_t born_ns;
};

static bool has_path(const struct source *s, const char *path)
{
	for (const struct file *f = s->files; f; f = f->next)
		if (f->state != IS_OVER && f->state != IS_LAST && strcmp(f->path, path) == 0)
			return true;
	return false;
}

/* Is it a file that is read already, under the name that it had before? */
static bool is_read(const struct source *s, const char *path)
{
	struct stat st;

	if (lade_file_stat_path(path, &st) < 0)
		return false;
	for (const struct file *f = s->files; f; f = f->next)
		if (f->fd >= 0 && f->st.st_dev == st.st_dev && f->st.st_ino == st.st_ino)
			return true;
	return false;
}

/* Names that match and are new; those that are not are made empty. */
static int find_names(void *arg)
{
	struct look *l = arg;
	int rc = glob(l->source->pattern, 0, NULL, &l->found);

	if (rc == GLOB_NOMATCH) {
		l->found.gl_pathc = 0;
		return 0;
	}
	if (rc != 0)
		return rc == GLOB_NOSPACE ? -ENOMEM : -EIO;
	for (size_t i = 0; i < l->found.gl_pathc; i++) {
		char *path = l->found.gl_pathv[i];

		if (has_path(l->source, path) || is_read(l->source, path))
			*path = 0;
	}
	return 0;
}

static int add_found(struct source *s, const glob_t *found)
{
	for (size_t i = 0; i < found->gl_pathc; i++) {
		const char *path = found->gl_pathv[i];

		if (!*path)
			continue;
		if (s->n_files == FILES_MAX)
			return lade_pipe_fail(s->engine, LADE_EXIT_FAILED,
					      "%s: more than %d files match; let the pattern "
					      "match fewer, or read them in several runs",
					      s->pattern, FILES_MAX);
		if (!add_file(s, path, topic_of(s, path), NULL))
			return -ENOMEM;
	}
	return 0;
}

/* Adds files of the pattern that are not there yet. */
static int find_files(struct source *s)
{
	struct look look = { .source = s };
	int rc;

	if (!s->pattern)
		return 0;
	rc = lade_blocking(find_names, &look);
	if (rc == 0)
		rc = add_found(s, &look.found);
	globfree(&look.found);
	if (rc == -EIO && !s->engine->failed)
		return lade_pipe_fail(s->engine, LADE_EXIT_FAILED,
				      "%s: a folder of it cannot be read", s->pattern);
	return rc;
}

/* Beginning a file */

static int failed(struct source *s, const struct file *f, int rc)
{
	if (rc == -ECANCELED || s->engine->failed)
		return rc;
	return lade_pipe_fail(s->engine, LADE_EXIT_FAILED, "%s: %s%s", f->path, strerror(-rc),
			      rc == -EMFILE ? "; ulimit -n allows more open files" : "");
}

static int identify_now(void *arg)
{
	struct look *l = arg;

	return lade_pipe_identify(l->file->fd, l->offset, &l->identity);
}

/* Notes which file an offset is of: its beginning is part of that until 4 KiB are read. */
static int files_identify(struct lade_pipe_engine *e, struct lade_pipe_lane *lane, int64_t offset)
{
	struct look look = { .file = lane->self, .offset = offset };
	int rc;

	(void)e;
	if (look.file->cluster_is_final)
		return 0;
	rc = lade_blocking(identify_now, &look);
	if (rc == 0) {
		lade_pipe_identity_format(&look.identity, lane->cluster);
		look.file->cluster_is_final = offset >= LADE_POSITION_HASHED;
	}
	return rc;
}

static int compare_now(void *arg)
{
	struct look *l = arg;
	const struct lade_pipe_stored *stored = &l->file->lane.stored;
	int same;

	if (lade_pipe_identity_parse(stored->cluster, &l->identity) < 0)
		return -EINVAL;
	same = lade_pipe_same_file(l->file->fd, &l->identity, stored->next_offset);
	/* Of a file that was begun and no more only this is known: which one it was. */
	if (same == LADE_SAME_FILE && stored->next_offset == 0 &&
	    (l->file->st.st_dev != l->identity.device || l->file->st.st_ino != l->identity.inode))
		same = LADE_SAME_NOT;
	return same;
}

/* When a file was made; where that is not kept, when it was written last. */
static int64_t born_ns(int fd, const char *path)
{
	struct statx x;
	const struct statx_timestamp *t;

	if (lade_simulated() || statx(fd, path, fd < 0 ? 0 : AT_EMPTY_PATH,
				      STATX_BTIME | STATX_MTIME, &x) < 0)
		return 0;
	t = x.stx_mask & STATX_BTIME ? &x.stx_btime : &x.stx_mtime;
	return t->tv_sec * INT64_C(1000000000) + t->tv_nsec;
}

/* Is the file at @path the one that was being read, under another name?  Returns 1, 0, < 0. */
static int is_renamed(struct look *l, const char *path)
{
	struct stat st;
	int fd, same;

	if (lade_file_stat_path(path, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_dev != l->identity.device || st.st_ino != l->identity.inode)
		return 0;
	fd = lade_file_open(path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	same = lade_pipe_same_file(fd, &l->identity, l->file->lane.stored.next_offset);
	l->born_ns = born_ns(fd, "");
	lade_file_close(fd);
	return same == LADE_SAME_FILE;
}

/* Looks in the file's folder for the one that had its name. */
static int find_renamed(void *arg)
{
	struct look *l = arg;
	const char *slash = strrchr(l->file->path, '/');
	int len = slash ? (int)(slash - l->file->path) + 1 : 0, rc = 0;
	glob_t found = { 0 };

	snprintf(l->path, sizeof(l->path), "%.*s*", len, l->file->path);
	if (glob(l->path, GLOB_NOSORT, NULL, &found) == 0)
		for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++) {
			rc = is_renamed(l, found.gl_pathv[i]);
			if (rc > 0)
				snprintf(l->path, sizeof(l->path), "%s", found.gl_pathv[i]);
		}
	globfree(&found);
	return rc;
}

/* A name that was the file's before it was renamed, as programs do that rotate: log.1, log-2026. */
static bool is_suffixed(const struct file *f, const char *path)
{
	size_t len = strlen(f->path);

	return strncmp(path, f->path, len) == 0 && (path[len] == '.' || path[len] == '-');
}

/* The oldest of the files that had its name between the one before it and itself. */
static int find_between(void *arg)
{
	struct look *l = arg;
	struct file *f = l->file;
	glob_t found = { 0 };
	struct stat st;

	*l->path = 0;
	f->born_ns = born_ns(f->fd, "");
	l->born_ns = f->born_ns;
	if (!f->after_ns || !f->born_ns)
		return 0;
	snprintf(l->pattern, sizeof(l->pattern), "%s[.-]*", f->path);
	if (glob(l->pattern, GLOB_NOSORT, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++) {
			const char *path = found.gl_pathv[i];
			int64_t born = born_ns(AT_FDCWD, path);

			if (born <= f->after_ns || born >= l->born_ns || !is_suffixed(f, path) ||
			    lade_file_stat_path(path, &st) < 0 || !S_ISREG(st.st_mode))
				continue;
			l->born_ns = born;
			snprintf(l->path, sizeof(l->path), "%s", path);
		}
	globfree(&found);
	return 0;
}

static bool is_compressed(const char *path)
{
	static const char *const ends[] = { ".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip" };
	size_t len = strlen(path);

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		if (len > strlen(ends[i]) && strcmp(path + len - strlen(ends[i]), ends[i]) == 0)
			return true;
	return false;
}

/* Puts in front of a file one that had its name before it and has not been read.
 * Returns 1; 0: there is none; < 0. */
static int put_between(struct source *s, struct file *f)
{
	struct look look = { .file = f };
	int rc = lade_blocking(find_between, &look);
	struct file *other;

	if (rc < 0 || !*look.path)
		return rc;
	f->after_ns = look.born_ns;
	if (is_compressed(look.path)) {
		if (s->engine->config->source.on_truncate == LADE_TRUNCATE_RESTART)
			return put_between(s, f);
		return lade_pipe_fail(s->engine, LADE_EXIT_FAILED,
				      "%s: was %s, and is compressed before it was read; "
				      "source: { file: { on_truncate: restart } } leaves it out",
				      look.path, f->path);
	}
	other = add_file(s, look.path, f->topic, f);
	if (!other)
		return -ENOMEM;
	other->state = IS_LAST;
	other->follows_another = true;
	return 1;
}

static int read_from(struct source *s, struct file *f)
{
	struct lade_pipe_engine *e = s->engine;

	f->lines = lade_lines_of(f->fd, f->offset, f->number,
				 (uint32_t)e->config->source.message_bytes_max);
	return f->lines ? 0 : -ENOMEM;
}

static int header_fails(struct source *s, const struct file *f, const struct lade_json_error *e)
{
	return lade_pipe_fail(s->engine, LADE_EXIT_FAILED,
			      "%s: %s at byte %zu; source: { csv: { header: [a, b] } } gives names "
			      "to a file without a header", f->path, e->reason, e->at);
}

static int take_header(struct source *s, struct file *f, const char *text, size_t len)
{
	struct lade_json_error error;
	int rc;

	/* What is read on in its middle has no more of it at hand. */
	if (len + 2 > HEADER_BYTES)
		return lade_pipe_fail(s->engine, LADE_EXIT_FAILED,
				      "%s: its header is longer than %d bytes; "
				      "source: { csv: { header: [a, b] } } is for a file without "
				      "one", f->path, HEADER_BYTES - 2);
	rc = lade_pipe_csv_new(*s->engine->config->source.csv_delimiter, text, len, &f->csv,
			       &error);
	return rc == -EBADMSG ? header_fails(s, f, &error) : rc;
}

/* A header that is read for itself: too much for a task's stack. */
struct header {
	int fd;
	char text[HEADER_BYTES];
};

/* Reads the header of a file that is read on in its middle. */
static int read_header(void *arg)
{
	struct header *l = arg;
	int64_t n = lade_file_read(l->fd, l->text, sizeof(l->text), 0);
	bool within = false;

	for (int64_t i = 0; i < n; i++) {
		within ^= l->text[i] == '"';
		if (l->text[i] == '\n' && !within)
			return (int)(i && l->text[i - 1] == '\r' ? i - 1 : i);
	}
	return n < 0 ? (int)n : -ENODATA;
}

static int header_again(struct source *s, struct file *f)
{
	struct header *header = malloc(sizeof(*header));
	int rc = header ? 0 : -ENOMEM;

	if (header) {
		header->fd = f->fd;
		rc = lade_blocking(read_header, header);
	}
	if (rc >= 0)
		rc = take_header(s, f, header->text, (size_t)rc);
	free(header);
	return rc;
}

/* The names of the fields: the configuration's, or, behind the first line, the file's. */
static int begin_csv(struct source *s, struct file *f, int64_t offset)
{
	const struct lade_pipe_source *c = &s->engine->config->source;
	struct lade_json_error error;

	if (c->format != LADE_FORMAT_CSV || f->csv)
		return 0;
	if (c->csv_header.n == 0)
		return offset ? header_again(s, f) : 0;
	return lade_pipe_csv_names(*c->csv_delimiter, &c->csv_header, &f->csv, &error);
}

static int begin_at(struct source *s, struct file *f, int64_t offset)
{
	int rc = begin_csv(s, f, offset);

	f->offset = offset;
	f->numbered = offset == 0;
	f->number = 1;
	f->state = f->state == IS_NEW ? IS_READ : f->state;
	if (rc == 0 && offset)
		rc = lade_file_seek(f->fd, offset);
	if (rc == 0)
		rc = read_from(s, f);
	if (rc < 0)
		return failed(s, f, rc);
	s->engine->stats.bytes_read += offset;
	lade_pipe_lane_begin(s->engine, &f->lane, offset);
	f->lane.end_offset = S_ISREG(f->st.st_mode) ? f->st.st_size : 0;
	return 0;
}

/* The name has another file than the one that was being read: that one first, if it is still there;
 * else as on_truncate says. */
static int begin_replaced(struct source *s, struct file *f, int same)
{
	struct look look = { .file = f };
	const int64_t left = f->lane.stored.next_offset;
	struct file *old;
	int rc = lade_pipe_identity_parse(f->lane.stored.cluster, &look.identity);

	if (rc == 0 && same == LADE_SAME_NOT)
		rc = lade_blocking(find_renamed, &look);
	if (rc < 0)
		return failed(s, f, rc);
	if (rc > 0) {
		old = add_file(s, look.path, f->topic, f);
		if (!old)
			return -ENOMEM;
		old->state = IS_LAST;
		f->follows_another = true;
		f->after_ns = look.born_ns;
		return 0;
	}
	if (left == 0 || s->engine->config->source.on_truncate == LADE_TRUNCATE_RESTART)
		return begin_at(s, f, 0);
	return lade_pipe_fail(s->engine, LADE_EXIT_FAILED,
			      "%s: %s at byte %lld, where this pipeline had stopped; "
			      "source: { file: { on_truncate: restart } } begins anew", f->path,
			      same == LADE_SAME_CUT ? "is shorter now: it was cut"
						    : "is another file now: it was replaced",
			      (long long)left);
}

/* Asks where the file was left, and goes there. */
static int claim(struct source *s, struct file *f)
{
	struct look look = { .file = f };
	int rc = 0;

	if (s->engine->keeper)
		rc = files_identify(s->engine, &f->lane, 0);
	if (rc < 0)
		return failed(s, f, rc);
	rc = lade_pipe_lane_claim(s->engine, &f->lane);
	if (rc < 0)
		return rc;
	if (!*f->lane.stored.cluster || f->follows_another)
		return begin_at(s, f, 0);
	rc = lade_blocking(compare_now, &look);
	if (rc < 0)
		return failed(s, f, rc);
	return rc == LADE_SAME_FILE ? begin_at(s, f, f->lane.stored.next_offset)
				    : begin_replaced(s, f, rc);
}

/* A file that is not there is none yet, where others may come. */
static bool may_come(const struct source *s, int rc)
{
	return rc == -ENOENT && (s->pattern || follows(s));
}

static int open_file(struct source *s, struct file *f)
{
	int rc;

	if (f->fd >= 0)
		return 0;
	/* A FIFO that nobody writes to yet is waited for where a stop is heard: not in open. */
	rc = lade_open(f->path, O_RDONLY | O_NONBLOCK, 0, &f->fd);
	if (rc == 0)
		rc = lade_file_stat(f->fd, &f->st);
	if (rc == 0 && S_ISDIR(f->st.st_mode))
		rc = -EISDIR;
	if (rc == 0 && !S_ISREG(f->st.st_mode) && s->engine->keeper)
		return lade_pipe_fail(s->engine, LADE_EXIT_FAILED,
				      "%s: cannot be read again after a crash, as a file can: "
				      "exactly_once cannot be promised; choose at_least_once",
				      f->path);
	return rc < 0 && !may_come(s, rc) ? failed(s, f, rc) : 0;
}

/* Begins a file. One that is not there is waited for; if a pattern found it, it is gone again. */
static int begin_file(struct source *s, struct file *f)
{
	int rc = open_file(s, f);

	if (rc < 0)
		return rc;
	if (f->fd >= 0) {
		if (S_ISREG(f->st.st_mode) && f->state == IS_NEW)
			rc = put_between(s, f);
		return rc != 0 ? (rc < 0 ? rc : 0) : claim(s, f);
	}
	if (s->pattern)
		remove_file(s, f);
	return 0;
}

/* Ends */

static bool is_finished(const struct file *f)
{
	return f->lane.in_flight == 0 && f->lane.commit_offset == f->offset;
}

/* Forgets files that are over, and of which all is finished. The last one stays: it has a name. */
static void sweep(struct source *s)
{
	struct file *f = s->files, *next;

	for (; f; f = next) {
		next = f->next;
		if (f->state == IS_OVER && is_finished(f) && s->files->next)
			remove_file(s, f);
	}
}

/* A file of the same name comes before it: their offsets are one, so one is finished first. */
static bool must_wait(const struct source *s, const struct file *f)
{
	for (const struct file *g = s->files; g != f; g = g->next)
		if (strcmp(g->topic, f->topic) == 0)
			return true;
	return false;
}

/* At its end for now, or for good. */
static int at_end(struct source *s, struct file *f)
{
	lade_line_stream_close(f->lines);
	f->lines = NULL;
	if (!follows(s) || f->state == IS_LAST) {
		f->state = IS_OVER;
	} else if (!S_ISREG(f->st.st_mode)) {
		/* All who wrote to the FIFO are gone: opened anew it waits for others. */
		lade_close(f->fd);
		f->fd = -1;
		return open_file(s, f) < 0 ? -EIO : read_from(s, f);
	}
	return 0;
}

/* Following */

/* What a look at a file and at its name has seen. */
static int look_now(void *arg)
{
	struct source *s = ((struct look *)arg)->source;
	struct stat named;

	for (struct file *f = s->files; f; f = f->next) {
		if (f->state != IS_READ || f->lines || !S_ISREG(f->st.st_mode))
			continue;
		f->looked = lade_file_stat(f->fd, &f->st);
		f->named_otherwise = lade_file_stat_path(f->path, &named) == 0 &&
				     (named.st_ino != f->st.st_ino ||
				      named.st_dev != f->st.st_dev);
	}
	return 0;
}

/* Another file has its name: it comes next. */
static int add_successor(struct source *s, struct file *f)
{
	struct file *next = add_file(s, f->path, f->topic, f->next);

	if (!next)
		return -ENOMEM;
	next->follows_another = true;
	next->after_ns = f->born_ns;
	return 0;
}

/* It is shorter than what was read of it. */
static int was_cut(struct source *s, struct file *f)
{
	if (s->engine->config->source.on_truncate == LADE_TRUNCATE_STOP)
		return lade_pipe_fail(s->engine, LADE_EXIT_FAILED,
				      "%s: is shorter now than what was read of it: it was cut; "
				      "source: { file: { on_truncate: restart } } reads it from "
				      "its beginning then", f->path);
	f->state = IS_OVER;
	return add_successor(s, f);
}

static int read_on(struct source *s, struct file *f)
{
	int rc = lade_file_seek(f->fd, f->offset);

	if (rc == 0)
		rc = read_from(s, f);
	return rc < 0 ? failed(s, f, rc) : 0;
}

/* Reads on where a file has grown; one that was left by its name for long enough is read for the
 * last time: what it has without a newline will get none. */
static int follow(struct source *s, struct file *f)
{
	int64_t now_ns = lade_now().mono_ns;
	int rc;

	if (f->looked < 0)
		return failed(s, f, f->looked);
	if (f->st.st_size < f->offset)
		return was_cut(s, f);
	if (f->st.st_size > f->size) {
		f->size = f->lane.end_offset = f->st.st_size;
		f->left_ns = 0;
		return read_on(s, f);
	}
	if (f->named_otherwise && !f->left_ns)
		f->left_ns = now_ns;
	if (!f->named_otherwise || now_ns - f->left_ns < GRACE_NS)
		return 0;
	rc = add_successor(s, f);
	f->state = IS_LAST;
	return rc < 0 ? rc : read_on(s, f);
}

static int follow_all(struct source *s)
{
	struct file *f, *next;
	int rc = 0;

	for (f = s->files; rc == 0 && f; f = next) {
		next = f->next;
		if (f->state == IS_READ && !f->lines && S_ISREG(f->st.st_mode))
			rc = follow(s, f);
	}
	return rc;
}

static void say_none(struct source *s)
{
	if (s->said_none || s->engine->lanes)
		return;
	s->said_none = true;
	fprintf(s->engine->log, "%s: %s: is not there yet: waits for it\n",
		s->engine->config->name,
		s->pattern ? s->pattern : s->engine->config->source.path);
	fflush(s->engine->log);
}

/* Waits a little, then looks what has changed.  Returns 1; 0: stopped; < 0. */
static int wait_and_look(struct source *s)
{
	struct look look = { .source = s };
	int rc;

	say_none(s);
	rc = lade_select(lade_event_case(&s->engine->stop_reading), lade_after(lade_ms(POLL_MS)));
	if (rc <= 0)
		return rc;
	rc = lade_blocking(look_now, &look);
	if (rc == 0)
		rc = follow_all(s);
	if (rc == 0 && lade_now().mono_ns - s->names_ns >= NAMES_NS) {
		s->names_ns = lade_now().mono_ns;
		rc = find_files(s);
	}
	return rc < 0 ? rc : 1;
}

/* Reading */

/* Keeps a line of a record that is not whole.  Returns -EAGAIN or -ENOMEM. */
static int keep_line(struct source *s, struct file *f, struct lade_line *line)
{
	size_t max = (size_t)s->engine->config->source.message_bytes_max;
	char *record = f->record;

	if (!record)
		f->record_first = *line;
	if (f->record_len + line->len + 1 > max || line->too_long)
		f->record_too_long = true;
	else
		record = realloc(record, f->record_len + line->len + 1);
	if (!record && !f->record_too_long)
		return -ENOMEM;
	if (!record) /* the very first line is too long already */
		record = malloc(1);
	if (!f->record_too_long) {
		memcpy(record + f->record_len, line->text, line->len);
		f->record_len += line->len;
		record[f->record_len++] = '\n';
	}
	f->record = record;
	lade_line_drop(line);
	return record ? -EAGAIN : -ENOMEM;
}

/* The lines that were kept, as one. */
static void take_record(struct file *f, struct lade_pipe_raw *raw, int64_t next_offset)
{
	*raw = (struct lade_pipe_raw){
		.owned = f->record,
		.line = { .text = f->record,
			  .len = (uint32_t)(f->record_len ? f->record_len - 1 : 0),
			  .too_long = f->record_too_long,
			  .ended = true,
			  .number = f->record_first.number,
			  .offset = f->record_first.offset,
			  .next_offset = next_offset },
	};
	f->record = NULL;
	f->record_len = 0;
	f->record_too_long = false;
}

/* What was read of a record is read again from its first line on. */
static void forget_record(struct file *f)
{
	struct lade_pipe_raw raw;

	if (!f->record)
		return;
	take_record(f, &raw, 0);
	lade_pipe_raw_drop(&raw);
}

/* Does the record go on behind this line?  While one is kept, it does so far. */
static bool goes_on(const struct source *s, const struct file *f, const struct lade_line *line)
{
	return lade_pipe_csv_quotes(*s->engine->config->source.csv_delimiter, f->record,
				    line->text, line->len);
}

/* Makes records of lines, and takes the first one for the header.
 * Returns 1: *raw is a record; -EAGAIN: it goes on in the next line, or was none; < 0. */
static int join(struct source *s, struct file *f, struct lade_pipe_raw *raw)
{
	struct lade_line *line = &raw->line;
	const int64_t next_offset = line->next_offset;
	bool within = goes_on(s, f, line);
	int rc;

	/* What has grown too long is ended by the next line, lest a lone quote takes all. */
	if (f->record_too_long)
		within = false;
	if (!f->record && line->len == 0) {
		lade_line_drop(line);
		return -EAGAIN;
	}
	if (f->record || within) {
		rc = keep_line(s, f, line);
		if (rc != -EAGAIN || within)
			return rc;
		take_record(f, raw, next_offset);
	}
	if (f->csv)
		return 1;
	f->offset = next_offset;
	f->number = line->number + 1;
	rc = take_header(s, f, line->text, line->len);
	lade_pipe_raw_drop(raw);
	if (rc == 0)
		rc = lade_pipe_lane_take(&f->lane, 0, next_offset, 0,
					 &(struct lade_pipe_segment){ 0 });
	return rc < 0 ? rc : -EAGAIN;
}

static int give_whole(struct source *s, struct file *f, struct lade_pipe_raw *raw)
{
	struct lade_line *line = &raw->line;

	raw->lane = &f->lane;
	raw->csv = f->csv;
	s->engine->stats.bytes_read += line->next_offset - f->offset;
	f->offset = line->next_offset;
	f->number = line->number + 1;
	if (!f->numbered)
		line->number = 0;
	s->in_turn++;
	s->given++;
	return 1;
}

/* Gives a line.  Returns 1; -EAGAIN: it is none yet, but its record's; -ENODATA: it has no end yet,
 * and is there again when it has; < 0. */
static int give(struct source *s, struct file *f, struct lade_pipe_raw *raw)
{
	int rc = 1;

	*raw = (struct lade_pipe_raw){ .line = raw->line };
	if (!raw->line.ended && follows(s) && f->state == IS_READ && S_ISREG(f->st.st_mode)) {
		lade_line_drop(&raw->line);
		forget_record(f);
		return -ENODATA;
	}
	if (s->engine->config->source.format == LADE_FORMAT_CSV)
		rc = join(s, f, raw);
	return rc == 1 ? give_whole(s, f, raw) : rc;
}

/* Begins a file if it is its turn.  Returns 0 or < 0; the list may have changed. */
static int begin_in_turn(struct source *s, struct file *f)
{
	bool is_begun = f->state != IS_NEW && f->fd >= 0;

	return is_begun || must_wait(s, f) ? 0 : begin_file(s, f);
}

/* The file that is to be read next, begun.  Returns 1; 0: there is none; < 0. */
static int next_file(struct source *s)
{
	struct file *f;
	uint32_t seen = 0, n;

	sweep(s);
	s->in_turn = 0;
	for (f = s->current; seen <= s->n_files; seen++) {
		int rc;

		f = f && f->next ? f->next : s->files;
		if (!f)
			return 0;
		n = s->n_files;
		rc = begin_in_turn(s, f);
		if (rc < 0)
			return rc;
		if (n != s->n_files) {
			/* One was found in front of it, or it is gone: from the beginning. */
			f = NULL;
			seen = 0;
		} else if (f->lines) {
			s->current = f;
			return 1;
		}
	}
	return 0;
}

/* Is there a file that is not begun, because one of its name is not finished? */
static bool one_waits(const struct source *s)
{
	const struct file *f = s->files;

	while (f && f->state != IS_NEW)
		f = f->next;
	return f;
}

/* Waits until messages are finished, or the process is asked to stop. */
static int wait_finished(struct source *s)
{
	int rc;

	lade_event_clear(&s->engine->lane_moved);
	rc = lade_select(lade_event_case(&s->engine->stop_reading),
			 lade_event_case(&s->engine->lane_moved));
	return rc < 0 ? rc : 1;
}

/* Goes to another file; waits where there is none now.  Returns 1; 0: the end; < 0. */
static int go_on(struct source *s)
{
	int rc = next_file(s);

	if (rc != 0 || is_stopped(s))
		return rc < 0 ? rc : !is_stopped(s);
	if (follows(s))
		return wait_and_look(s);
	return one_waits(s) ? wait_finished(s) : 0;
}

/* May the current file be read on? */
static bool has_turn(const struct source *s)
{
	bool had_enough = follows(s) && s->in_turn >= TURN && s->n_files > 1;

	return s->current && s->current->lines && !had_enough;
}

static int files_try_next(void *self, void *ret_item)
{
	struct source *s = self;
	struct lade_pipe_raw *raw = ret_item;
	int rc = -EAGAIN;

	if (is_stopped(s))
		return 0;
	while (rc == -EAGAIN && has_turn(s)) {
		if (lade_line_try_next(s->current->lines, &raw->line) != 1)
			break;
		rc = give(s, s->current, raw);
	}
	return rc == -ENODATA ? -EAGAIN : rc;
}

/* A file has come to its end. A record that is not whole there is one, unless the file grows. */
static int give_last(struct source *s, struct file *f, struct lade_pipe_raw *raw)
{
	int64_t end = f->record ? f->record_first.offset + (int64_t)f->record_len : 0;

	if (!f->record)
		return -ENODATA;
	if (follows(s) && f->state == IS_READ && S_ISREG(f->st.st_mode)) {
		forget_record(f);
		return -ENODATA;
	}
	take_record(f, raw, f->record_too_long ? f->st.st_size : end);
	return give_whole(s, f, raw);
}

/* A line that is not in memory.  Returns 1; -EAGAIN: none, go on; 0: stopped; < 0. */
static int read_line(struct source *s, struct file *f, struct lade_pipe_raw *raw)
{
	int rc = -EOPNOTSUPP;

	if (!S_ISREG(f->st.st_mode))
		rc = lade_select(lade_readable_case(f->fd),
				 lade_event_case(&s->engine->stop_reading));
	if (rc == 1 || (rc < 0 && rc != -EOPNOTSUPP))
		return rc == 1 ? 0 : rc;
	rc = lade_line_next(f->lines, &raw->line);
	if (rc < 0)
		return failed(s, f, rc);
	rc = rc == 1 ? give(s, f, raw) : give_last(s, f, raw);
	if (rc != -ENODATA)
		return rc;
	rc = at_end(s, f);
	return rc < 0 ? rc : -EAGAIN;
}

static int files_next(void *self, void *ret_item)
{
	struct source *s = self;

	for (;;) {
		int rc = files_try_next(self, ret_item);

		if (rc != -EAGAIN)
			return rc;
		if (has_turn(s)) {
			rc = read_line(s, s->current, ret_item);
			if (rc != -EAGAIN)
				return rc;
		} else {
			rc = go_on(s);
			if (rc <= 0)
				return rc;
		}
	}
}

/* The files themselves stay: their lanes have messages under way. */
static void stop_reading(void *self)
{
	(void)self;
}

static const struct lade_source files_source = { files_next, files_try_next, stop_reading };

/* Opening */

static bool has_wildcards(const char *path)
{
	return strpbrk(path, "*?[");
}

static int path_is_there(void *arg)
{
	struct stat st;

	return lade_file_stat_path(arg, &st) == 0;
}

static int add_up_sizes(void *arg)
{
	struct source *s = ((struct look *)arg)->source;
	struct stat st;
	int64_t total = 0;

	for (const struct file *f = s->files; f && total >= 0; f = f->next) {
		int rc = lade_file_stat_path(f->path, &st);

		total = rc < 0 || !S_ISREG(st.st_mode) ? -1 : total + st.st_size;
	}
	((struct look *)arg)->offset = total;
	return 0;
}

static int open_pattern(struct source *s)
{
	int rc = find_files(s);

	s->names_ns = lade_now().mono_ns;
	if (rc == 0 && !s->files && !follows(s))
		rc = lade_pipe_fail(s->engine, LADE_EXIT_FAILED, "%s: no file matches", s->pattern);
	return rc;
}

static int open_path(struct source *s, const char *path)
{
	struct file *f = add_file(s, path, s->engine->config->source.topic, NULL);

	return f ? open_file(s, f) : -ENOMEM;
}

static int open_stdin(struct source *s)
{
	struct file *f = add_file(s, "stdin", "stdin", NULL);

	if (!f)
		return -ENOMEM;
	f->fd = STDIN_FILENO;
	return lade_file_stat(f->fd, &f->st);
}

static int files_open(struct lade_pipe_engine *e)
{
	const char *path = e->config->source.path;
	struct source *s = calloc(1, sizeof(*s));
	struct look look = { .source = s };
	int rc = 0;

	if (!s)
		return -ENOMEM;
	e->source = s;
	s->engine = e;
	e->stats.bytes_total = -1;
	if (e->config->source.kind == LADE_SOURCE_STDIN)
		return open_stdin(s);
	if (has_wildcards(path))
		rc = lade_blocking(path_is_there, (void *)path);
	if (rc < 0)
		return rc;
	if (has_wildcards(path) && rc == 0)
		s->pattern = path;
	rc = s->pattern ? open_pattern(s) : open_path(s, path);
	if (rc == 0 && !follows(s)) {
		rc = lade_blocking(add_up_sizes, &look);
		e->stats.bytes_total = look.offset;
	}
	return rc;
}

static int files_start(struct lade_pipe_engine *e, struct lade_scope *scope,
		       struct lade_pipe_raw_stream **ret)
{
	(void)scope;
	*ret = lade_pipe_raw_stream_of(&files_source, e->source);
	return 0;
}

static void files_close(struct lade_pipe_engine *e)
{
	struct source *s = e->source;

	while (s && s->files)
		remove_file(s, s->files);
	free(s);
	e->source = NULL;
}

const struct lade_pipe_source_ops lade_pipe_files = {
	.open = files_open,
	.identify = files_identify,
	.start = files_start,
	.close = files_close,
};
