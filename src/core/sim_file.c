/* SPDX-License-Identifier: MIT */
/* sim_file.c - simulated files: in memory, by name.
 *
 * A file that the run has not written is read from the real one, once; what is written stays in
 * memory. There are no folders: a name is what the program says it is.
 *
 * LIMITS  config.disk_bytes in all files together; then ENOSPC. */

#include "core/sim_priv.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file, open or not. */
struct sim_inode {
	struct sim_inode *next; /* in the simulation's list */
	char *data;
	uint64_t len;	   /* bytes in it */
	uint64_t capacity; /* bytes in data */
	char name[];
};

static struct sim_inode *inode_of(struct sim *sim, const char *name)
{
	for (struct sim_inode *i = sim->inodes; i; i = i->next)
		if (strcmp(i->name, name) == 0)
			return i;
	return NULL;
}

static struct sim_inode *inode_new(struct sim *sim, const char *name)
{
	struct sim_inode *i = lade_calloc(1, sizeof(*i) + strlen(name) + 1);

	if (!i)
		return NULL;
	strcpy(i->name, name);
	i->next = sim->inodes;
	sim->inodes = i;
	return i;
}

/* Makes a file @len bytes long.  Returns 0, -ENOSPC or -ENOMEM. */
static int resize(struct sim *sim, struct sim_inode *i, uint64_t len)
{
	if (len > i->len && sim->disk_used + len - i->len > sim->config.disk_bytes)
		return -ENOSPC;
	if (len > i->capacity) {
		uint64_t capacity = len < 4096 ? 4096 : len * 2;
		char *data = lade_realloc(i->data, capacity);

		if (!data)
			return -ENOMEM;
		i->data = data;
		i->capacity = capacity;
	}
	if (len > i->len)
		memset(i->data + i->len, 0, len - i->len);
	sim->disk_used += len - i->len;
	i->len = len;
	return 0;
}

/* Reads the real file, if there is one.  Returns 1: there is; 0: there is none; or -errno. */
static int load(struct sim *sim, const char *name, struct sim_inode **ret)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC), rc;
	struct stat s;
	ssize_t n = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	rc = fstat(fd, &s) < 0 ? -errno : !S_ISREG(s.st_mode) ? -EACCES : 1;
	if (rc == 1) {
		*ret = inode_new(sim, name);
		rc = *ret ? resize(sim, *ret, (uint64_t)s.st_size) : -ENOMEM;
	}
	for (uint64_t done = 0; rc == 0 && done < (*ret)->len; done += (uint64_t)n) {
		n = pread(fd, (*ret)->data + done, (*ret)->len - done, (off_t)done);
		if (n <= 0)
			rc = n < 0 ? -errno : -EIO;
	}
	close(fd);
	return rc < 0 ? rc : 1;
}

int sim_open(struct sim *sim, const char *path, int flags)
{
	struct sim_inode *i = inode_of(sim, path);
	struct sim_fd *f;
	int fd, rc = i ? 1 : load(sim, path, &i);

	if (rc < 0)
		return rc;
	if (rc == 1 && (flags & O_CREAT) && (flags & O_EXCL))
		return -EEXIST;
	if (rc == 0 && !(flags & O_CREAT))
		return -ENOENT;
	if (rc == 0 && !(i = inode_new(sim, path)))
		return -ENOMEM;
	if ((flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY)
		(void)resize(sim, i, 0);
	fd = sim_fd_new(sim, SIM_FILE, &f);
	if (fd < 0)
		return fd;
	f->inode = i;
	f->flags = flags;
	sim_trace(sim, "open %s: %d", path, fd - SIM_FIRST_FD);
	return fd;
}

static int file_read(struct sim_inode *i, int64_t at, char *buf, size_t len)
{
	uint64_t left = (uint64_t)at < i->len ? i->len - (uint64_t)at : 0;
	size_t n = len < left ? len : (size_t)left;

	if (n)
		memcpy(buf, i->data + at, n);
	return (int)n;
}

static int file_write(struct sim *sim, struct sim_inode *i, int64_t at, const char *buf, size_t len)
{
	int rc = 0;

	if ((uint64_t)at + len > i->len)
		rc = resize(sim, i, (uint64_t)at + len);
	if (rc < 0)
		return rc;
	if (len)
		memcpy(i->data + at, buf, len);
	return (int)len;
}

int sim_file_transfer(struct sim *sim, struct sim_fd *f, const struct lade_transfer *t)
{
	int mode = f->flags & O_ACCMODE, rc;
	size_t len = t->len;
	int64_t at = t->offset;

	if (t->out ? mode == O_RDONLY : mode == O_WRONLY)
		return -EBADF;
	if (sim_chance(sim, sim->config.io_error))
		return -EIO;
	if (at < 0)
		at = t->out && (f->flags & O_APPEND) ? (int64_t)f->inode->len : f->position;
	if (len > 1 && sim_chance(sim, sim->config.cut))
		len = 1 + (size_t)sim_below(sim, len - 1);
	rc = t->out ? file_write(sim, f->inode, at, t->buf, len)
		    : file_read(f->inode, at, t->buf, len);
	if (t->out && rc > 0)
		sim_effect(sim, &(struct lade_effect){
					.kind = EFFECT_WRITE,
					.peer = f->inode->name,
					.request = lade_hash_fnv(LADE_HASH_FNV, t->buf, (size_t)rc),
					.sent = (uint32_t)rc });
	if (rc > 0 && t->offset < 0)
		f->position = at + rc;
	sim_trace(sim, "%s %d at %lld: %d", t->out ? "write" : "read", t->fd - SIM_FIRST_FD,
		  (long long)at, rc);
	return rc;
}

void sim_files_free(struct sim *sim)
{
	struct sim_inode *next;

	for (struct sim_inode *i = sim->inodes; i; i = next) {
		next = i->next;
		lade_free(i->data);
		lade_free(i);
	}
}
