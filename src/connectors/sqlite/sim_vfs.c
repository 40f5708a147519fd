/* SPDX-License-Identifier: MIT */
/* sim_vfs.c - SQLite's files in a simulation: the simulated ones, with the simulation's clock.
 *
 * DESIGN
 * In a simulation a call of SQLite runs in its task, after the time that the pool would have
 * taken, and no other task runs meanwhile. So a lock is never waited for: what another connection
 * holds stays held until this call has failed. Locks and the shared memory of a WAL belong to the
 * file's name and are kept in one list, which the connections of one simulation share; it is the
 * thread's own because a simulation is.
 *
 * A failure of the simulated disk is SQLite's I/O error; what is left of a write is its business,
 * and that is the point.
 *
 * LIMITS  No memory mapping; names of SQLITE_NAME_MAX bytes. */

#include "connectors/sqlite/sqlite_priv.h"

#include <lade/blocking.h>

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SQLITE_NAME_MAX 1024
#define JULIAN_1970_MS INT64_C(210866760000000) /* as SQLite counts time */

/* What the connections to one file share. */
struct shared {
	struct shared *next;
	unsigned files;	      /* open files of this name */
	unsigned readers;     /* of them, those that hold SHARED or more */
	bool reserved;	      /* one holds RESERVED or more */
	bool pending;	      /* one waits for the last readers */
	void **regions;	      /* of the WAL's index */
	int n_regions;
	int slots[SQLITE_SHM_NLOCK]; /* of the WAL's locks: readers, or -1: exclusive */
	char name[];
};

/* An open file. */
struct file {
	sqlite3_file base;
	int fd;
	int level;	       /* SQLITE_LOCK_..., what it holds */
	uint8_t shares;	       /* bit per WAL lock: held shared */
	uint8_t owns;	       /* bit per WAL lock: held alone */
	struct shared *shared; /* of a database's main file, else NULL */
	char *remove;	       /* name to remove at the end, or NULL; owned */
};

static __thread struct shared *all;

static struct file *file_of(sqlite3_file *base)
{
	return (struct file *)base;
}

/* Shared state */

static struct shared *shared_take(const char *name)
{
	struct shared *s = all;

	while (s && strcmp(s->name, name) != 0)
		s = s->next;
	if (!s) {
		s = lade_calloc(1, sizeof(*s) + strlen(name) + 1);
		if (!s)
			return NULL;
		strcpy(s->name, name);
		s->next = all;
		all = s;
	}
	s->files++;
	return s;
}

static void shared_forget_index(struct shared *s)
{
	for (int i = 0; i < s->n_regions; i++)
		lade_free(s->regions[i]);
	lade_free(s->regions);
	s->regions = NULL;
	s->n_regions = 0;
}

static void shared_give(struct shared *s)
{
	struct shared **at = &all;

	if (--s->files)
		return;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	shared_forget_index(s);
	lade_free(s);
}

/* Files */

static int file_read(sqlite3_file *base, void *buf, int len, sqlite3_int64 at)
{
	int64_t n = lade_file_read(file_of(base)->fd, buf, (size_t)len, at);

	if (n < 0)
		return n == -ENOMEM ? SQLITE_IOERR_NOMEM : SQLITE_IOERR_READ;
	if (n == len)
		return SQLITE_OK;
	memset((char *)buf + n, 0, (size_t)(len - n));
	return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *base, const void *buf, int len, sqlite3_int64 at)
{
	int rc = lade_file_write(file_of(base)->fd, buf, (size_t)len, at);

	return rc == 0 ? SQLITE_OK : rc == -ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 len)
{
	return lade_file_truncate(file_of(base)->fd, len) < 0 ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
}

static int file_sync(sqlite3_file *base, int flags)
{
	(void)flags;
	return lade_file_sync(file_of(base)->fd) < 0 ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *ret)
{
	struct stat st;

	if (lade_file_stat(file_of(base)->fd, &st) < 0)
		return SQLITE_IOERR_FSTAT;
	*ret = st.st_size;
	return SQLITE_OK;
}

/* Locks: https://www.sqlite.org/lockingv3.html */

static int lock_exclusive(struct file *f)
{
	struct shared *s = f->shared;

	s->pending = true;
	if (f->level < SQLITE_LOCK_PENDING)
		f->level = SQLITE_LOCK_PENDING;
	if (s->readers > 1)
		return SQLITE_BUSY;
	f->level = SQLITE_LOCK_EXCLUSIVE;
	return SQLITE_OK;
}

static int file_lock(sqlite3_file *base, int level)
{
	struct file *f = file_of(base);
	struct shared *s = f->shared;

	if (!s || f->level >= level)
		return SQLITE_OK;
	if (level == SQLITE_LOCK_SHARED) {
		if (s->pending)
			return SQLITE_BUSY;
		s->readers++;
		f->level = level;
		return SQLITE_OK;
	}
	if (s->reserved && f->level < SQLITE_LOCK_RESERVED)
		return SQLITE_BUSY;
	s->reserved = true;
	if (level == SQLITE_LOCK_EXCLUSIVE)
		return lock_exclusive(f);
	f->level = level;
	return SQLITE_OK;
}

static int file_unlock(sqlite3_file *base, int level)
{
	struct file *f = file_of(base);
	struct shared *s = f->shared;

	if (!s || f->level <= level)
		return SQLITE_OK;
	if (f->level >= SQLITE_LOCK_PENDING)
		s->pending = false;
	if (f->level >= SQLITE_LOCK_RESERVED)
		s->reserved = false;
	if (level == SQLITE_LOCK_NONE)
		s->readers--;
	f->level = level;
	return SQLITE_OK;
}

static int file_is_reserved(sqlite3_file *base, int *ret)
{
	struct file *f = file_of(base);

	*ret = f->shared && f->shared->reserved;
	return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int op, void *arg)
{
	(void)base, (void)op, (void)arg;
	return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *base)
{
	(void)base;
	return 4096;
}

static int file_traits(sqlite3_file *base)
{
	(void)base;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* The WAL's index and its locks: https://www.sqlite.org/walformat.html */

static int add_regions(struct shared *s, int upto, int bytes)
{
	void **more = lade_realloc(s->regions, (size_t)upto * sizeof(*more));

	if (!more)
		return SQLITE_NOMEM;
	s->regions = more;
	for (; s->n_regions < upto; s->n_regions++) {
		more[s->n_regions] = lade_calloc(1, (size_t)bytes);
		if (!more[s->n_regions])
			return SQLITE_NOMEM;
	}
	return SQLITE_OK;
}

static int shm_map(sqlite3_file *base, int region, int bytes, int extend, void volatile **ret)
{
	struct shared *s = file_of(base)->shared;
	int rc = SQLITE_OK;

	*ret = NULL;
	if (region >= s->n_regions && extend)
		rc = add_regions(s, region + 1, bytes);
	if (rc == SQLITE_OK && region < s->n_regions)
		*ret = s->regions[region];
	return rc;
}

static int shm_unlock(struct file *f, int first, int end)
{
	for (int i = first; i < end; i++) {
		const uint8_t bit = (uint8_t)(1u << i);

		if (f->owns & bit)
			f->shared->slots[i] = 0;
		else if (f->shares & bit)
			f->shared->slots[i]--;
		f->owns &= (uint8_t)~bit;
		f->shares &= (uint8_t)~bit;
	}
	return SQLITE_OK;
}

static int shm_lock_shared(struct file *f, int i)
{
	const uint8_t bit = (uint8_t)(1u << i);

	if (f->shares & bit)
		return SQLITE_OK;
	if (f->shared->slots[i] < 0)
		return SQLITE_BUSY;
	f->shared->slots[i]++;
	f->shares |= bit;
	return SQLITE_OK;
}

static int shm_lock(sqlite3_file *base, int first, int n, int flags)
{
	struct file *f = file_of(base);

	if (flags & SQLITE_SHM_UNLOCK)
		return shm_unlock(f, first, first + n);
	if (flags & SQLITE_SHM_SHARED)
		return shm_lock_shared(f, first);
	for (int i = first; i < first + n; i++)
		if (f->shared->slots[i] != 0 && !(f->owns & 1u << i))
			return SQLITE_BUSY;
	for (int i = first; i < first + n; i++) {
		f->shared->slots[i] = -1;
		f->owns |= (uint8_t)(1u << i);
	}
	return SQLITE_OK;
}

static void shm_barrier(sqlite3_file *base)
{
	(void)base;
}

static int shm_unmap(sqlite3_file *base, int forget)
{
	struct file *f = file_of(base);

	(void)shm_unlock(f, 0, SQLITE_SHM_NLOCK);
	if (forget)
		shared_forget_index(f->shared);
	return SQLITE_OK;
}

static int file_close(sqlite3_file *base)
{
	struct file *f = file_of(base);

	if (f->shared) {
		(void)file_unlock(base, SQLITE_LOCK_NONE);
		(void)shm_unlock(f, 0, SQLITE_SHM_NLOCK);
		shared_give(f->shared);
	}
	lade_file_close(f->fd);
	if (f->remove)
		(void)lade_file_remove(f->remove);
	lade_free(f->remove);
	return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_is_reserved,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_traits,
	.xShmMap = shm_map,
	.xShmLock = shm_lock,
	.xShmBarrier = shm_barrier,
	.xShmUnmap = shm_unmap,
};

/* Opening */

static int open_flags(int flags)
{
	return (flags & SQLITE_OPEN_READWRITE ? O_RDWR : O_RDONLY) |
	       (flags & SQLITE_OPEN_CREATE ? O_CREAT : 0) |
	       (flags & SQLITE_OPEN_EXCLUSIVE ? O_EXCL : 0);
}

/* What is kept of the name; a file without one is there for as long as it is open. */
static int note_name(struct file *f, const char *name, int flags)
{
	if (flags & SQLITE_OPEN_MAIN_DB) {
		f->shared = shared_take(name);
		return f->shared ? SQLITE_OK : SQLITE_NOMEM;
	}
	if (!(flags & SQLITE_OPEN_DELETEONCLOSE))
		return SQLITE_OK;
	f->remove = lade_malloc(strlen(name) + 1);
	if (f->remove)
		strcpy(f->remove, name);
	return f->remove ? SQLITE_OK : SQLITE_NOMEM;
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
		    int *ret_flags)
{
	struct file *f = file_of(base);
	char unnamed[48];
	int rc;

	(void)vfs;
	memset(f, 0, sizeof(*f));
	if (!name) {
		snprintf(unnamed, sizeof(unnamed), "sqlite-temporary-%016llx",
			 (unsigned long long)lade_random());
		name = unnamed;
		flags |= SQLITE_OPEN_DELETEONCLOSE;
	}
	rc = note_name(f, name, flags);
	if (rc != SQLITE_OK)
		return rc;
	f->fd = lade_file_open(name, open_flags(flags), 0644);
	if (f->fd < 0) {
		rc = f->fd;
		if (f->shared)
			shared_give(f->shared);
		lade_free(f->remove);
		return rc == -ENOMEM ? SQLITE_NOMEM : SQLITE_CANTOPEN;
	}
	f->base.pMethods = &methods;
	if (ret_flags)
		*ret_flags = flags;
	return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
	int rc = lade_file_remove(name);

	(void)vfs, (void)sync_folder;
	return rc == -ENOENT ? SQLITE_IOERR_DELETE_NOENT : rc < 0 ? SQLITE_IOERR_DELETE : SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
	struct stat st;
	int rc = lade_file_stat_path(name, &st);

	(void)vfs, (void)flags;
	/* SQLite takes an empty journal for none. */
	*ret = rc == 0 && (flags != SQLITE_ACCESS_EXISTS || st.st_size > 0);
	return rc == 0 || rc == -ENOENT ? SQLITE_OK : SQLITE_IOERR_ACCESS;
}

static int vfs_full_name(sqlite3_vfs *vfs, const char *name, int len, char *ret)
{
	(void)vfs;
	if ((int)strlen(name) >= len)
		return SQLITE_CANTOPEN;
	strcpy(ret, name);
	return SQLITE_OK;
}

static int vfs_random(sqlite3_vfs *vfs, int len, char *ret)
{
	(void)vfs;
	for (int i = 0; i < len; i += 8) {
		uint64_t bits = lade_random();

		memcpy(ret + i, &bits, len - i < 8 ? (size_t)(len - i) : 8);
	}
	return len;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
	(void)vfs;
	return us;
}

static int vfs_time_ms(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
	(void)vfs;
	*ret = JULIAN_1970_MS + lade_wall_ns() / 1000000;
	return SQLITE_OK;
}

static int vfs_time_days(sqlite3_vfs *vfs, double *ret)
{
	sqlite3_int64 ms;

	(void)vfs_time_ms(vfs, &ms);
	*ret = (double)ms / 86400000.0;
	return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *vfs, int len, char *ret)
{
	(void)vfs, (void)len, (void)ret;
	return 0;
}

const char *lade_sqlite_sim_vfs(void)
{
	static sqlite3_vfs vfs = {
		.iVersion = 2,
		.szOsFile = sizeof(struct file),
		.mxPathname = SQLITE_NAME_MAX,
		.zName = "lade-sim",
		.xOpen = vfs_open,
		.xDelete = vfs_delete,
		.xAccess = vfs_access,
		.xFullPathname = vfs_full_name,
		.xRandomness = vfs_random,
		.xSleep = vfs_sleep,
		.xCurrentTime = vfs_time_days,
		.xGetLastError = vfs_last_error,
		.xCurrentTimeInt64 = vfs_time_ms,
	};

	/* Registering it again changes nothing. SQLite has one generator of random numbers for all
	 * connections, which asks the system for its seed; here the simulation gives it. */
	(void)sqlite3_vfs_register(&vfs, 0);
	(void)sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, (int)(lade_random() | 1),
				   (sqlite3 *)NULL);
	return vfs.zName;
}
