/* SPDX-License-Identifier: MIT */
/* sim_file.c - simulated files: in memory, by name.
 *
 * A file that the run has not written is read from the real one, once; what is written stays in
 * memory, unless LADE_SIM_SAVE names a folder that the run's end puts it into. There are no
 * folders: a name is what the program says it is. A file that is removed while it is open lives on
 * without its name, as everywhere.
 *
 * LIMITS  config.disk_bytes in all files together; then ENOSPC. */

#include "core/sim_priv.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file, open or not. */
struct sim_inode {
	struct sim_inode *next; /* in the simulation's list */
	char *data;
	uint64_t len;	   /* bytes in it */
	uint64_t capacity; /* bytes in data */
	bool nameless;	   /* it was removed; who has it open has it still */
	bool absent;	   /* there is no file of this name, whatever the real system has */
	bool written;	   /* it is not as the real one was */
	char name[];
};

/* Also one that says that there is no such file. */
static struct sim_inode *inode_of(struct sim *sim, const char *name)
{
	for (struct sim_inode *i = sim->inodes; i; i = i->next)
		if (!i->nameless && strcmp(i->name, name) == 0)
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
	int fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC), rc;
	struct stat s;
	ssize_t n = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	rc = fstat(fd, &s) < 0 ? -errno : !S_ISREG(s.st_mode) ? -EACCES : 0;
	if (rc == 0) {
		*ret = inode_new(sim, name);
		rc = *ret ? resize(sim, *ret, (uint64_t)s.st_size) : -ENOMEM;
	}
	for (uint64_t done = 0; rc == 0 && done < (*ret)->len; done += (uint64_t)n) {
		n = pread(fd, (*ret)->data + done, (*ret)->len - done, (off_t)done);
		if (n <= 0)
			rc = n < 0 ? -errno : -EIO;
	}
	close(fd);
	/* Half a file is none: the next open reads it again. */
	if (rc < 0 && *ret)
		(*ret)->nameless = true;
	return rc < 0 ? rc : 1;
}

/* Returns 1: there is such a file; 0: there is none, and *ret may be NULL; or -errno. */
static int find(struct sim *sim, const char *path, struct sim_inode **ret)
{
	*ret = inode_of(sim, path);
	return *ret ? !(*ret)->absent : load(sim, path, ret);
}

int sim_open(struct sim *sim, const char *path, int flags)
{
	struct sim_inode *i;
	struct sim_fd *f;
	int fd, rc = find(sim, path, &i);

	if (rc < 0)
		return rc;
	if (rc == 1 && (flags & O_CREAT) && (flags & O_EXCL))
		return -EEXIST;
	if (rc == 0 && !(flags & O_CREAT))
		return -ENOENT;
	if (rc == 0 && !i && !(i = inode_new(sim, path)))
		return -ENOMEM;
	i->absent = false;
	i->written |= rc == 0;
	if ((flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY) {
		i->written = true;
		(void)resize(sim, i, 0);
	}
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
	i->written = true;
	return (int)len;
}

int sim_file_transfer(struct sim *sim, struct sim_fd *f, const struct lade_transfer *t,
		      bool is_effect)
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
	if (t->out && rc > 0 && is_effect)
		sim_effect(sim, &(struct lade_effect){
					.kind = EFFECT_WRITE,
					.peer = f->inode->name,
					.request = lade_hash_fnv(LADE_HASH_FNV, t->buf, (size_t)rc),
					.sent = (uint32_t)rc,
					.bytes = t->buf });
	if (rc > 0 && t->offset < 0)
		f->position = at + rc;
	sim_trace(sim, "%s %d at %lld: %d", t->out ? "write" : "read", t->fd - SIM_FIRST_FD,
		  (long long)at, rc);
	return rc;
}

int sim_file_stat(struct sim *sim, const struct sim_fd *f, const char *path, struct stat *ret)
{
	struct sim_inode *i = f ? f->inode : NULL;
	int rc = f ? 1 : find(sim, path, &i);

	if (rc <= 0)
		return rc < 0 ? rc : -ENOENT;
	memset(ret, 0, sizeof(*ret));
	ret->st_mode = S_IFREG | 0644;
	ret->st_size = (off_t)i->len;
	ret->st_nlink = !i->nameless;
	/* The same in every run: a program may keep it. */
	ret->st_ino = (ino_t)lade_hash_fnv(LADE_HASH_FNV, i->name, strlen(i->name));
	return 0;
}

int sim_file_truncate(struct sim *sim, struct sim_fd *f, int64_t len)
{
	int rc;

	if ((f->flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	if (sim_chance(sim, sim->config.io_error))
		return -EIO;
	f->inode->written = true;
	rc = resize(sim, f->inode, (uint64_t)len);
	sim_trace(sim, "truncate %s to %lld: %d", f->inode->name, (long long)len, rc);
	return rc;
}

static bool is_open(const struct sim *sim, const struct sim_inode *i)
{
	for (uint32_t n = 0; n < sim->fds_len; n++)
		if (sim->fds[n] && sim->fds[n]->inode == i)
			return true;
	return false;
}

int sim_file_remove(struct sim *sim, const char *path)
{
	struct sim_inode *i, *none;
	int rc = find(sim, path, &i);

	if (rc <= 0)
		return rc < 0 ? rc : -ENOENT;
	none = i;
	if (is_open(sim, i)) {
		none = inode_new(sim, path);
		if (!none)
			return -ENOMEM;
		i->nameless = true;
	}
	none->absent = true;
	(void)resize(sim, none, 0);
	sim_trace(sim, "remove %s", path);
	return 0;
}

/* The name of the real file that keeps a simulated one.  Returns 0, or -ENAMETOOLONG. */
static int name_copy(const struct sim_inode *i, const char *folder, char ret[PATH_MAX])
{
	char here[PATH_MAX] = "";
	int len, folder_len = (int)strlen(folder);

	if (*i->name != '/' && !getcwd(here, sizeof(here)))
		return -ENAMETOOLONG;
	len = snprintf(ret, PATH_MAX, "%s/%s%s%s", folder, here, *here ? "/" : "", i->name);
	if (len >= PATH_MAX)
		return -ENAMETOOLONG;
	for (char *c = ret + folder_len + 1; *c; c++)
		if (*c == '/')
			*c = '%';
	return 0;
}

/* What was written goes into a folder of the real system, each file under its whole name, from the
 * root on, with the slashes made percent signs, as editors name their copies. */
static void save(const struct sim_inode *i, const char *folder)
{
	char path[PATH_MAX];
	ssize_t n = 0;
	int fd;

	if (name_copy(i, folder, path) < 0)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return;
	for (uint64_t done = 0; n >= 0 && done < i->len; done += (uint64_t)n)
		n = write(fd, i->data + done, i->len - done);
	close(fd);
}

void sim_files_free(struct sim *sim)
{
	const char *folder = getenv("LADE_SIM_SAVE");
	struct sim_inode *next;

	for (struct sim_inode *i = sim->inodes; i; i = next) {
		next = i->next;
		if (folder && *folder && i->written && !i->absent && !i->nameless)
			save(i, folder);
		lade_free(i->data);
		lade_free(i);
	}
}
