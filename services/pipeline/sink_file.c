/* SPDX-License-Identifier: MIT */
/* sink_file.c - lines into a file or to stdout; dead letters into a file.
 *
 * DESIGN
 * A write is one block of whole lines, then fdatasync, unless the configuration says what it risks
 * without. What a full disk left of a block is cut off again, so a block is there or not, and it
 * is written again until it is; on stdout nothing can be cut, so its first failure ends the run.
 * A torn last line, which a crash leaves, is cut when the file is opened. */

#include "services/pipeline/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct to_file {
	const char *path; /* NULL: stdout */
	const char *name; /* for messages */
	int fd;
	bool sync;
	bool letters;	  /* writes what was rejected */
	bool rejected;	  /* the present write has rejected a message */
	struct lade_json_reader *reader;
	struct lade_json_out out;
};

/* Why a file cannot be written, and what to do; where its folder is to blame, the folder. */
static void why_not(const char *path, int error, char *ret, size_t room)
{
	const char *slash = strrchr(path, '/');
	const char *folder = slash ? path : ".";
	int len = !slash ? 1 : slash == path ? 1 : (int)(slash - path);
	bool there = access(path, F_OK) == 0;

	if (error == ENOENT || error == ENOTDIR)
		snprintf(ret, room, "%s: the folder %.*s; make it, as mkdir -p does, or name "
			 "another one", strerror(error), len, folder);
	else if ((error == EACCES || error == EPERM || error == EROFS) && !there)
		snprintf(ret, room, "%s: the user %u may make no file in the folder %.*s; give it "
			 "the right to, or name another folder", strerror(error),
			 (unsigned)geteuid(), len, folder);
	else if (error == EACCES || error == EPERM || error == EROFS)
		snprintf(ret, room, "%s: the user %u may not write it; give it the right to, or "
			 "name another file", strerror(error), (unsigned)geteuid());
	else if (error == EISDIR)
		snprintf(ret, room, "%s; name a file in it", strerror(error));
	else
		snprintf(ret, room, "%s", strerror(error));
}

static int config_fail(struct lade_pipe_outlet *outlet, const char *what, int error)
{
	char why[400];

	why_not(what, error, why, sizeof(why));
	return lade_pipe_fail_at(outlet->engine, LADE_EXIT_FAILED,
				 outlet->config ? lade_pipe_sink_node(outlet, "file")
						: lade_pipe_config_node(outlet->engine->config,
									NULL, 0,
									"errors.dead_letter"),
				 0, "%s: %s", what, why);
}

/* Cuts a torn last line off.  Runs on the pool: it may read a lot. */
static int cut_torn_line(void *arg)
{
	int fd = *(int *)arg;
	struct stat st;
	char block[4096];
	int64_t end;
	int rc = lade_file_stat(fd, &st);

	if (rc < 0 || !S_ISREG(st.st_mode))
		return rc;
	for (end = st.st_size; end > 0;) {
		size_t want = end < (int64_t)sizeof(block) ? (size_t)end : sizeof(block);
		int64_t n = lade_file_read(fd, block, want, end - (int64_t)want);

		if (n < 0)
			return (int)n;
		while (n > 0 && block[n - 1] != '\n')
			n--, end--;
		if (n > 0)
			break;
	}
	return end == st.st_size ? 0 : lade_file_truncate(fd, end);
}

int lade_pipe_probe_file(const char *path)
{
	const char *slash = strrchr(path, '/');
	struct stat st;
	char *folder;
	int rc;

	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return -EISDIR;
		return access(path, W_OK) == 0 ? 1 : -errno;
	}
	if (errno != ENOENT)
		return -errno;
	folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	if (!folder)
		return -ENOMEM;
	rc = access(folder, W_OK | X_OK) == 0 ? 0 : -errno;
	free(folder);
	return rc;
}

static int open_path(struct lade_pipe_outlet *outlet, struct to_file *f)
{
	int rc;

	if (outlet->engine->probing) {
		rc = lade_pipe_probe_file(f->path);
		return rc < 0 ? config_fail(outlet, f->path, -rc) : 0;
	}
	rc = lade_open(f->path, O_RDWR | O_CREAT | O_APPEND, 0644, &f->fd);
	/* A device or FIFO that is only written; what is not there cannot be made either. */
	if ((rc == -EACCES || rc == -EINVAL) && lade_pipe_probe_file(f->path) > 0)
		rc = lade_open(f->path, O_WRONLY | O_APPEND, 0644, &f->fd);
	else if (rc == 0)
		rc = lade_blocking(cut_torn_line, &f->fd);
	return rc < 0 && rc != -ECANCELED ? config_fail(outlet, f->path, -rc) : rc;
}

static int file_open(struct lade_pipe_outlet *outlet, struct lade_pipe_shape *shape)
{
	const struct lade_pipe_sink *c = outlet->config;
	struct to_file *f = calloc(1, sizeof(*f));
	int rc;

	(void)shape;
	if (!f)
		return -ENOMEM;
	outlet->self = f;
	f->fd = -1;
	f->letters = !c;
	f->path = c ? (c->kind == LADE_SINK_FILE ? c->path : NULL)
		    : outlet->engine->config->errors.dead_file;
	f->name = f->path ? f->path : "stdout";
	f->sync = f->path && (!c || c->fsync == LADE_FSYNC_BATCH);
	lade_json_out_init(&f->out, (size_t)1 << 30);
	rc = lade_json_reader_new(&f->reader);
	if (rc < 0)
		return rc;
	if (f->path)
		return open_path(outlet, f);
	f->fd = STDOUT_FILENO;
	if ((fcntl(f->fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		return config_fail(outlet, f->name, EBADF);
	return 0;
}

static void append_letter(struct to_file *f, const struct lade_pipe_message *m,
			  const struct lade_pipe_fate *fate)
{
	const struct lade_pipe_rejection why = { fate->step, fate->reason,
						 (int64_t)fate->attempts, fate->first_us };

	(void)lade_pipe_dead_letter(m, &why, &f->out);
	lade_json_out_raw(&f->out, "\n", 1);
}

static uint32_t append_letters(struct to_file *f, struct lade_pipe_batch *b)
{
	uint32_t n = b->n_rejected;

	for (uint32_t i = 0; i < b->n_rejected; i++)
		append_letter(f, &b->rejected[i], &b->rejected_fates[i]);
	for (uint32_t i = 0; i < b->n; i++) {
		if (b->fates[i].verdict != LADE_VERDICT_REJECT)
			continue;
		append_letter(f, &b->messages[i], &b->fates[i]);
		n++;
	}
	return n;
}

/* A message, as a line.  -EBADMSG: it cannot be one. */
static int append_message(struct to_file *f, const struct lade_pipe_batch *b, uint32_t i,
			  struct lade_json_error *error)
{
	const struct lade_pipe_message *m = &b->messages[i];

	if (!m->plain)
		return lade_pipe_message_write(m, b->shape, f->reader, &f->out, error);
	if (memchr(m->bytes, '\n', m->len)) {
		snprintf(error->reason, sizeof(error->reason),
			 "it has a line end within, and the sink writes lines");
		return -EBADMSG;
	}
	lade_json_out_raw(&f->out, m->bytes, m->len);
	return f->out.status;
}

static uint32_t append_messages(struct to_file *f, struct lade_pipe_batch *b)
{
	struct lade_json_error error;
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		size_t before = f->out.len;

		if (b->fates[i].verdict != LADE_VERDICT_OK)
			continue;
		if (append_message(f, b, i, &error) == -EBADMSG) {
			f->out.len = before;
			lade_pipe_reject(b, i, "sink", "%s", error.reason);
			f->rejected = true;
			continue;
		}
		lade_json_out_raw(&f->out, "\n", 1);
		n++;
	}
	return n;
}

/* Where a block begins; -1: nothing can be cut off there. */
static int64_t end_of(const struct to_file *f)
{
	struct stat st;

	return f->path && lade_file_stat(f->fd, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : -1;
}

/* Writes the block; what is left of a failed write is cut off. */
static int write_block(struct to_file *f)
{
	int64_t start = end_of(f);
	size_t done = 0;
	int rc = lade_write_all(f->fd, f->out.data, f->out.len, &done);

	if (rc == 0 && f->sync)
		rc = lade_fsync(f->fd);
	if (rc < 0 && done && start >= 0 && lade_file_truncate(f->fd, start) < 0)
		return -EIO;
	return rc;
}

/* What a person can do about a failed write; "" when the error says it all. */
static const char *remedy(int rc)
{
	switch (rc) {
	case -ENOSPC:
		return ": make room on the disk; nothing is lost, and it goes on by itself";
	case -EDQUOT:
		return ": make room, or have the quota raised; nothing is lost, and it goes on by"
		       " itself";
	case -EFBIG:
		return ": the file may grow no more; empty it and it goes on, or stop this,"
		       " raise the limit (ulimit -f) or name another file, and run it again";
	default:
		return "";
	}
}

/* What was written to stdout cannot be taken back and written again. */
static int stdout_failed(struct lade_pipe_outlet *outlet, int rc)
{
	return lade_pipe_fail(outlet->engine, LADE_EXIT_FAILED,
			      "stdout: %s, after %" PRIu64 " message%s. Half a block may be there,"
			      " so it is not tried again; a `file` sink would wait for room and go"
			      " on",
			      strerror(-rc), outlet->written, outlet->written == 1 ? "" : "s");
}

static int file_failed(struct lade_pipe_outlet *outlet, int rc)
{
	struct to_file *f = outlet->self;

	if (rc == -EPIPE)
		return lade_pipe_fail(outlet->engine, LADE_EXIT_FAILED,
				      "%s: nobody reads any more, after %" PRIu64 " message%s",
				      f->name, outlet->written, outlet->written == 1 ? "" : "s");
	if (!f->path)
		return stdout_failed(outlet, rc);
	lade_pipe_trouble(outlet->engine, f->name, outlet->trouble, "%s%s", strerror(-rc),
			  remedy(rc));
	return rc == -ENOSPC || rc == -EDQUOT || rc == -EAGAIN ? -EAGAIN : -EIO;
}

static int file_write(struct lade_pipe_outlet *outlet, struct lade_pipe_batch *const *batches,
		      uint32_t n, const struct lade_pipe_move *moves, uint32_t n_moves)
{
	struct to_file *f = outlet->self;
	uint32_t lines = 0;
	int rc = 0;

	(void)moves;
	(void)n_moves;
	lade_json_out_reset(&f->out);
	f->rejected = false;
	for (uint32_t k = 0; k < n; k++)
		lines += f->letters ? append_letters(f, batches[k])
				    : append_messages(f, batches[k]);
	if (f->out.status < 0)
		return f->out.status;
	if (f->rejected && !lade_pipe_has_letters(outlet->engine))
		return -EBADMSG;
	if (f->out.len)
		rc = write_block(f);
	if (rc == 0)
		outlet->written += lines;
	return rc == 0 || rc == -ECANCELED ? rc : file_failed(outlet, rc);
}

static void file_close(struct lade_pipe_outlet *outlet)
{
	struct to_file *f = outlet->self;

	if (!f)
		return;
	if (f->path)
		lade_close(f->fd);
	lade_json_out_done(&f->out);
	lade_json_reader_free(f->reader);
	free(f);
	outlet->self = NULL;
}

const struct lade_pipe_sink_ops lade_pipe_to_file = { .open = file_open, .write = file_write,
						      .close = file_close };
