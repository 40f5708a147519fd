/* SPDX-License-Identifier: MIT */
/* letters.c - dead letters that were kept: read one by one, and marked when they are done.
 *
 * DESIGN
 * A file of letters only ever grows, also while this reads it: a pipeline that runs goes on
 * appending. So nothing is taken out of it; what was replayed is noted beside it, by its place and
 * a check of what stands there, so that a note is void when another file has taken the name. */

#include "services/pipeline/letters.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LETTER_MAX ((size_t)256 << 20) /* bytes of a letter */

uint64_t lade_letters_check(const char *document, size_t len)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)document[i]) * UINT64_C(1099511628211);
	return hash;
}

/* A file */

struct of_file {
	FILE *file;
	int64_t at, end;		/* the next letter; behind the last one that is read */
	char *line;
	size_t cap;
	FILE *notes;			/* of what is done; replaying: it is locked */
	struct lade_letter_ref *done;	/* by id */
	size_t n_done, cap_done;
};

static int failed(struct lade_letters *l, const char *what, int rc)
{
	snprintf(l->why, sizeof(l->why), "%.250s: %s", what, strerror(-rc));
	return rc;
}

static int by_id(const void *a, const void *b)
{
	const struct lade_letter_ref *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int add_done(struct of_file *f, struct lade_letter_ref ref)
{
	if (f->n_done == f->cap_done) {
		size_t cap = f->cap_done ? 2 * f->cap_done : 64;
		struct lade_letter_ref *more = realloc(f->done, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		f->done = more;
		f->cap_done = cap;
	}
	f->done[f->n_done++] = ref;
	return 0;
}

/* Reads the notes; a line that a crash has torn says nothing. */
static int read_notes(struct of_file *f)
{
	char line[64];
	int rc = 0;

	while (rc == 0 && fgets(line, sizeof(line), f->notes)) {
		struct lade_letter_ref ref;

		if (strchr(line, '\n') &&
		    sscanf(line, "%" SCNd64 " %" SCNx64, &ref.id, &ref.check) == 2)
			rc = add_done(f, ref);
	}
	if (f->n_done)
		qsort(f->done, f->n_done, sizeof(*f->done), by_id);
	return rc;
}

static int open_notes(struct lade_letters *l, struct of_file *f)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s.replayed", l->config->errors.dead_file);
	f->notes = fopen(path, l->replaying ? "a+e" : "re");
	if (!f->notes)
		return errno == ENOENT ? 0 : failed(l, path, -errno);
	if (l->replaying && flock(fileno(f->notes), LOCK_EX | LOCK_NB) < 0) {
		snprintf(l->why, sizeof(l->why), "%.250s is being replayed by another process",
			 l->name);
		return -EBUSY;
	}
	rewind(f->notes);
	return read_notes(f);
}

static int file_open(struct lade_letters *l)
{
	struct of_file *f = calloc(1, sizeof(*f));
	struct stat st;

	l->self = f;
	if (!f)
		return -ENOMEM;
	snprintf(l->name, sizeof(l->name), "%s", l->config->errors.dead_file);
	f->file = fopen(l->config->errors.dead_file, "re");
	if (!f->file && errno == ENOENT)
		return 0; /* none was ever kept */
	if (!f->file)
		return failed(l, l->name, -errno);
	if (fstat(fileno(f->file), &st) < 0)
		return failed(l, l->name, -errno);
	f->end = st.st_size;
	return open_notes(l, f);
}

static bool is_done(const struct of_file *f, const struct lade_letter_ref *ref)
{
	const struct lade_letter_ref *found =
		f->n_done ? bsearch(ref, f->done, f->n_done, sizeof(*f->done), by_id) : NULL;

	return found && found->check == ref->check;
}

static int file_next(struct lade_letters *l, struct lade_letter *letter)
{
	struct lade_letter_ref *ret = &letter->ref;
	struct of_file *f = l->self;

	while (f->file && f->at < f->end) {
		ssize_t n = getline(&f->line, &f->cap, f->file);

		if (n < 0)
			return ferror(f->file) ? failed(l, l->name, -EIO) : 0;
		ret->id = f->at;
		f->at += n;
		if (f->line[n - 1] != '\n')
			return 0; /* it is still being written */
		ret->check = lade_letters_check(f->line, (size_t)n - 1);
		l->document = f->line;
		l->len = (size_t)n - 1;
		if (n > 1 && !is_done(f, ret))
			return 1;
	}
	return 0;
}

static int file_done(struct lade_letters *l, const struct lade_letter_ref *refs, size_t n)
{
	struct of_file *f = l->self;

	/* Behind what a crash may have torn: an empty line says nothing. */
	fputc('\n', f->notes);
	for (size_t i = 0; i < n; i++)
		fprintf(f->notes, "%" PRId64 " %" PRIx64 "\n", refs[i].id, refs[i].check);
	if (fflush(f->notes) != 0 || fdatasync(fileno(f->notes)) < 0)
		return failed(l, "the notes of what was replayed", -errno);
	return 0;
}

static void file_close(struct lade_letters *l)
{
	struct of_file *f = l->self;

	if (!f)
		return;
	if (f->file)
		fclose(f->file);
	if (f->notes)
		fclose(f->notes);
	free(f->line);
	free(f->done);
	free(f);
}

const struct lade_letters_ops lade_letters_of_file = { .open = file_open,
						       .next = file_next,
						       .done = file_done,
						       .close = file_close };

/* A document */

enum { TOPIC, PART, OFFSET, LINE, STEP, ERROR, ATTEMPTS, FIRST, TIME, KEY, KEY64, VALUE, VALUE64,
       HEADERS };
static const char *const names[HEADERS] = {
	".topic", ".partition", ".offset", ".line", ".step", ".error", ".attempts",
	".first_failure", ".timestamp", ".key", ".key_base64", ".value", ".value_base64",
};
static const char *const header_names[4] = { "name", "name_base64", "value", "value_base64" };

static int add_paths(struct lade_letters *l)
{
	struct lade_json_error error;
	unsigned slot;
	int rc = 0;

	for (int i = 0; rc == 0 && i < HEADERS; i++)
		rc = lade_json_paths_add(l->paths, names[i], strlen(names[i]), &slot, &error);
	for (int i = 0; rc == 0 && i < 4 * LADE_LETTER_HEADERS_MAX; i++) {
		char path[64];
		int len = snprintf(path, sizeof(path), ".headers[%d].%s", i / 4,
				   header_names[i % 4]);

		rc = lade_json_paths_add(l->paths, path, (size_t)len, &slot, &error);
	}
	return rc;
}

static unsigned hex4(const char *p)
{
	char text[5] = { p[0], p[1], p[2], p[3], 0 };

	return (unsigned)strtoul(text, NULL, 16);
}

static char *put_utf8(char *to, unsigned c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	if (c >= 0x10000) {
		*to++ = (char)(0xf0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 63));
	} else if (c >= 0x800) {
		*to++ = (char)(0xe0 | c >> 12);
	} else {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 63));
		return to;
	}
	*to++ = (char)(0x80 | (c >> 6 & 63));
	*to++ = (char)(0x80 | (c & 63));
	return to;
}

/* A string's bytes, byte 0 among them, which a text of JSON's types could not have. */
static char *decode_string(char *to, const char *p, const char *end)
{
	static const char from[] = "bfnrt", is[] = "\b\f\n\r\t";

	for (; p < end; p++) {
		const char *special;
		unsigned c;

		if (*p != '\\') {
			*to++ = *p;
			continue;
		}
		special = strchr(from, *++p);
		if (*p != 'u') {
			*to++ = special && *special ? is[special - from] : *p;
			continue;
		}
		c = hex4(p + 1);
		p += 4;
		if (c >= 0xd800 && c < 0xdc00 && end - p > 6 && p[1] == '\\' && p[2] == 'u') {
			c = 0x10000 + ((c - 0xd800) << 10) + (hex4(p + 3) - 0xdc00);
			p += 6;
		}
		to = put_utf8(to, c);
	}
	return to;
}

static char *decode_base64(char *to, const char *p, const char *end)
{
	static const char code[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t group = 0;
	int bits = 0;

	for (; p < end && *p != '='; p++) {
		const char *at = strchr(code, *p);

		group = group << 6 | (uint32_t)(at ? at - code : 0);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			*to++ = (char)(group >> bits);
		}
	}
	return to;
}

/* The bytes of a member, into the room at *@to; NULL: it has none, or null. */
static const char *bytes_of(struct lade_letters *l, int plain, int base64, char **to,
			    size_t *ret_len)
{
	const struct lade_json_span *s = &l->spans[plain], *b = &l->spans[base64];
	char *begin = *to;

	if (s->len && l->document[s->at] == '"')
		*to = decode_string(begin, l->document + s->at + 1,
				    l->document + s->at + s->len - 1);
	else if (b->len > 1)
		*to = decode_base64(begin, l->document + b->at + 1,
				    l->document + b->at + b->len - 1);
	else
		return NULL;
	*ret_len = (size_t)(*to - begin);
	*(*to)++ = 0;
	return begin;
}

static void text_of(struct lade_letters *l, int which, char *ret, size_t room)
{
	char *to = l->room;
	size_t len;
	const char *text = bytes_of(l, which, which, &to, &len);

	snprintf(ret, room, "%s", text ? text : "");
}

static int64_t number_of(const struct lade_letters *l, int which)
{
	const struct lade_json_span *s = &l->spans[which];

	return s->len ? strtoll(l->document + s->at, NULL, 10) : 0;
}

static void read_headers(struct lade_letters *l, struct lade_letter *letter, char **to)
{
	letter->n_headers = 0;
	for (int i = 0; i < LADE_LETTER_HEADERS_MAX; i++) {
		struct lade_pipe_header *h = &letter->headers[letter->n_headers];
		int at = HEADERS + 4 * i;
		size_t len = 0;

		h->name = bytes_of(l, at, at + 1, to, &len);
		if (!h->name)
			return;
		h->bytes = bytes_of(l, at + 2, at + 3, to, &len);
		h->len = h->bytes ? (uint32_t)len : 0;
		letter->n_headers++;
	}
}

static int read_letter(struct lade_letters *l, struct lade_letter *letter)
{
	struct lade_json_error error;
	char *to, time[40], id[48];
	int rc = l->len > LETTER_MAX ? -EBADMSG
		 : lade_json_read(l->reader, l->paths, l->document, l->len, 0, l->spans, &error);

	if (rc < 0) {
		snprintf(l->why, sizeof(l->why), "%.250s: what is at %s is no dead letter of"
			 " lade", l->name, lade_letters_id(l, &letter->ref, id));
		return rc;
	}
	if (l->room_cap < l->len + 1024) {
		free(l->room);
		l->room_cap = 2 * l->len + 1024;
		l->room = malloc(l->room_cap);
		if (!l->room)
			return -ENOMEM;
	}
	letter->document = l->document;
	letter->len = l->len;
	text_of(l, TOPIC, letter->topic, sizeof(letter->topic));
	text_of(l, STEP, letter->step, sizeof(letter->step));
	text_of(l, ERROR, letter->error, sizeof(letter->error));
	text_of(l, FIRST, letter->first_failure, sizeof(letter->first_failure));
	text_of(l, TIME, time, sizeof(time));
	if (lade_timestamp_parse(time, strlen(time), &letter->timestamp_us) < 0)
		letter->timestamp_us = INT64_MIN;
	letter->part = number_of(l, PART);
	letter->offset = number_of(l, OFFSET);
	letter->line = number_of(l, LINE);
	letter->attempts = number_of(l, ATTEMPTS);
	to = l->room;
	letter->key = bytes_of(l, KEY, KEY64, &to, &letter->key_len);
	letter->value = bytes_of(l, VALUE, VALUE64, &to, &letter->value_len);
	read_headers(l, letter, &to);
	return 0;
}

/* All kinds */

const char *lade_letters_database(const struct lade_pipe_config *config)
{
	for (int i = 0; i < config->n_sinks; i++) {
		const struct lade_pipe_sink *s = &config->sinks[i];

		if (s->kind == LADE_SINK_SQLITE)
			return s->db ? lade_pipe_database_file(config, s->db) : s->path;
	}
	return NULL;
}

static bool writes_postgres(const struct lade_pipe_config *config)
{
	for (int i = 0; i < config->n_sinks; i++)
		if (config->sinks[i].kind == LADE_SINK_POSTGRES)
			return true;
	return false;
}

static int choose(struct lade_letters *l)
{
	const struct lade_pipe_config *c = l->config;

	if (c->errors.dead_kind == LADE_DEAD_FILE)
		l->ops = &lade_letters_of_file;
	else if (c->errors.dead_kind == LADE_DEAD_KAFKA)
		l->ops = &lade_letters_of_kafka;
	else if (c->errors.dead_kind == LADE_DEAD_TABLE && writes_postgres(c))
		l->ops = &lade_letters_of_postgres;
	else if (c->errors.dead_kind == LADE_DEAD_TABLE)
		l->ops = &lade_letters_of_sqlite;
	else
		snprintf(l->why, sizeof(l->why), "the pipeline has no dead letters: errors:"
			 " { dead_letter: { file: rejected.ndjson } } would keep them");
	return l->ops ? 0 : -EOPNOTSUPP;
}

int lade_letters_open(struct lade_letters *l, const struct lade_pipe_config *config,
		      struct lade_scope *scope, bool replaying)
{
	int rc;

	*l = (struct lade_letters){ .config = config, .scope = scope,
				     .replaying = replaying };
	l->paths = lade_json_paths_new();
	rc = l->paths ? lade_json_reader_new(&l->reader) : -ENOMEM;
	if (rc == 0)
		rc = add_paths(l);
	if (rc == 0) {
		l->spans = calloc(lade_json_paths_count(l->paths), sizeof(*l->spans));
		rc = l->spans ? choose(l) : -ENOMEM;
	}
	if (rc == 0)
		rc = l->ops->open(l);
	if (rc < 0 && !*l->why)
		snprintf(l->why, sizeof(l->why), "%s", strerror(-rc));
	return rc;
}

int lade_letters_next(struct lade_letters *l, struct lade_letter *ret)
{
	int rc = l->ops->next(l, ret);

	if (rc > 0 && l->document) {
		rc = read_letter(l, ret);
		rc = rc == 0 ? 1 : rc;
	}
	return rc;
}

int lade_letters_done(struct lade_letters *l, const struct lade_letter_ref *refs, size_t n)
{
	return n ? l->ops->done(l, refs, n) : 0;
}

int lade_letters_flush(struct lade_letters *l)
{
	return l->ops->flush ? l->ops->flush(l) : 0;
}

int lade_letters_leave(struct lade_letters *l)
{
	return l->ops->leave ? l->ops->leave(l) : 0;
}

const char *lade_letters_id(const struct lade_letters *l, const struct lade_letter_ref *ref,
			    char ret[48])
{
	if (l->ops->paired)
		snprintf(ret, 48, "%" PRId64 "/%" PRId64, ref->part, ref->id);
	else
		snprintf(ret, 48, "%" PRId64, ref->id);
	return ret;
}

void lade_letters_close(struct lade_letters *l)
{
	if (l->ops)
		l->ops->close(l);
	lade_json_reader_free(l->reader);
	lade_json_paths_free(l->paths);
	free(l->spans);
	free(l->room);
	*l = (struct lade_letters){ 0 };
}
