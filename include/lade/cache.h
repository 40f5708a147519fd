/* SPDX-License-Identifier: MIT */
#ifndef LADE_CACHE_H
#define LADE_CACHE_H

/* cache.h - a cache whose loads nobody's time-out can lose.
 *
 * A load runs in the cache's scope, once per key however many wait. A caller only waits: its cancel
 * or deadline ends its own wait, and the finished load is stored before anyone is told. Keys are
 * bytes; LADE_CACHE gives keys and values types.
 *
 * A cache is for the tasks of the core of its scope or, with .cores in its configuration, for those
 * of all cores, by the same calls: there is one load per key at a time on whatever core, and it
 * runs where the caller was that began it, as a descendant of the cache's scope. Who waits on
 * another core is woken by mail, which takes some microseconds. A hit takes a lock that nobody else
 * wants unless somebody loads; what is no hit, those of all cores. Load and drop are then called on
 * any core, on several at once, and what they share is theirs to lock. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <lade/event.h>
#include <lade/scope.h>

LADE_API_BEGIN

struct lade_cache;
struct lade_cache_record;

/* What becomes of a load when nobody waits for it any more. */
enum lade_on_abandon {
	LADE_ABANDON_FINISH, /* it runs to its end and is stored */
	LADE_ABANDON_LINGER, /* it has abandon_linger more time, then it is cancelled */
	LADE_ABANDON_CANCEL  /* it is cancelled; a new caller begins a new one */
};

/* A key: any bytes. */
struct lade_cache_key {
	const void *bytes;
	size_t len; /* at most 65,536 */
};

/* What a load gives back. It begins with the cache's own ttl. */
struct lade_cache_load {
	void *value;		  /* handed to the cache, which drops it */
	size_t bytes;		  /* what it weighs */
	struct lade_duration ttl; /* how long it is fresh; 0: only for those who wait */
	bool uncacheable;	  /* only for the caller who began it; others load themselves */
	int rc;			  /* of load_many: this key's own outcome */
};

/* Options; what is left out has its default. */
struct lade_cache_config {
	/* Loads one value: 0 and load->value, or -errno. Runs in a task of the cache's scope, on
	 * the core of the caller that began it. */
	int (*load)(void *arg, const struct lade_cache_key *key, struct lade_cache_load *load);
	/* Loads several at once and sets loads[i].rc; NULL: they are loaded one by one. One of
	 * the two may be missing. */
	int (*load_many)(void *arg, const struct lade_cache_key *keys,
			 struct lade_cache_load *loads, size_t count);
	void *arg;			 /* handed to both */
	void (*drop)(void *value);	 /* frees a value, or NULL; on any core; does not suspend */
	size_t max_bytes;		 /* keys, values and overhead; 0: 64 MiB */
	size_t max_value_bytes;		 /* larger ones are not stored; 0: max_bytes / 4 */
	struct lade_duration ttl;	 /* 0: 60 s */
	struct lade_duration negative_ttl; /* how long an error is kept; 0: not at all */
	struct lade_duration stale_while_revalidate; /* stale given while a load refreshes it */
	struct lade_duration stale_if_error; /* stale given when the load fails */
	struct lade_duration soft_timeout; /* with stale at hand, wait so long for fresh; 0: off */
	struct lade_duration load_timeout; /* each load's own deadline, from its begin; 0: 30 s */
	struct lade_duration abandon_linger; /* of LADE_ABANDON_LINGER */
	struct lade_duration unshared_ttl; /* how long a key is known as uncacheable; 0: 10 s */
	enum lade_on_abandon on_abandon;
	uint32_t max_loads;	 /* that run at once, of all cores; others wait; 0: 256 */
	uint32_t max_flights;	 /* loads running or waiting; then -EBUSY; 0: 10,000 */
	uint32_t max_waiters;	 /* callers that wait for one key; then -EBUSY; 0: 10,000 */
	uint8_t jitter_percent;	 /* ttls are shortened at random by up to so much; at most 50 */
	bool cores;		 /* for the tasks of all cores; else of its scope's core alone */
};

/* A value that is in use: valid until lade_cache_release. */
struct lade_cached {
	const void *value;
	size_t bytes;
	bool stale;			   /* no longer fresh */
	struct lade_duration stale_for;	   /* since when */
	int rc;				   /* of lade_cache_get_many: this key's own outcome */
	struct lade_cache_record *record;  /* the library's */
};

/* What a cache has done so far. */
struct lade_cache_stats {
	uint64_t hits;	      /* fresh values given at once */
	uint64_t stale;	      /* stale values given */
	uint64_t joined;      /* callers that waited for a load which another had begun */
	uint64_t loads;	      /* calls of load or load_many */
	uint64_t failed;      /* loads that ended with an error */
	uint64_t negative;    /* kept errors given */
	uint64_t abandoned;   /* loads that nobody waited for any more */
	uint64_t late;	      /* results thrown away: a newer load had begun */
	uint64_t too_large;   /* values not stored for their size */
	uint64_t uncacheable; /* values not stored because the load said so */
	uint64_t evicted;     /* entries that made room */
	uint64_t expired;     /* waits that ended because a load had taken too long */
	size_t bytes;	      /* in the cache now, those in use included */
	size_t entries;	      /* in the cache now */
	uint32_t flights;     /* loads running or waiting for their turn now */
};

/* lade_cache_new - a cache whose loads are children of a scope.
 *
 * The cache is used while its scope is open; closing it may come later. With .cores it begins the
 * threads of the other cores, as the first lade_on does; without, a call from another core ends the
 * process.
 * Returns 0; -EINVAL: no load function, or a limit out of range; -ENOMEM; -EAGAIN, -EMFILE: the
 * other cores cannot be had.
 * Suspends: no.  Threads: the scope's loop's.  Owns: lade_cache_close frees it. */
int lade_cache_new(struct lade_scope *scope, const struct lade_cache_config *config,
		   struct lade_cache **ret);

/* lade_cache_close - wakes everybody who waits with -ESHUTDOWN, ends the loads and waits for them.
 *
 * @cancel: loads are cancelled; else they run to their end or deadline. It waits for those of all
 * cores, where no call may begin any more. The cache is freed when the last value in use is
 * released; NULL is allowed.
 * Suspends: yes, and is not cut short by a cancel.  Threads: inside a task only, of any core that
 * may use the cache. */
#define lade_cache_close(...) lade_cache_close_at(__VA_ARGS__, LADE_SITE)
void lade_cache_close_at(struct lade_cache *cache, bool cancel, const char *site);

/* lade_cache_get - the value of a key: from the cache, from a load under way, or from a new one.
 *
 * Returns 0 and *ret; the load's error; -ECANCELED: the caller's own cancel, the load goes on;
 * -ETIME: the load took longer than load_timeout; -EDEADLK: called by the load of this very key, on
 * its own core (a call that it makes by way of another core waits until load_timeout);
 * -EBUSY: a cap is reached; -ESHUTDOWN: the cache is closed or its scope is cancelled; -ENOMEM;
 * -EMSGSIZE: the key is too long.
 * Suspends: yes.  Threads: inside a task only.  Owns: release *ret. */
#define lade_cache_get(...) lade_cache_get_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_cache_get_at(struct lade_cache *cache, const void *key, size_t key_len,
				    struct lade_cached *ret, const char *site);

/* lade_cache_get_many - the values of several keys: one load for all that are neither stored nor
 * under way.
 *
 * Returns 0: each ret[i].rc says what lade_cache_get would have returned for keys[i]; -ECANCELED,
 * -ESHUTDOWN or -ENOMEM: there are no values.
 * Suspends: yes.  Threads: inside a task only.  Owns: release each ret[i] whose rc is 0. */
#define lade_cache_get_many(...) lade_cache_get_many_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_cache_get_many_at(struct lade_cache *cache,
					 const struct lade_cache_key *keys, size_t count,
					 struct lade_cached *ret, const char *site);

/* lade_cache_release - ends the use of a value; of an empty struct: nothing.
 *
 * Suspends: no.  Threads: its loop's; with .cores any. */
void lade_cache_release(struct lade_cached *cached);

/* lade_cache_set - stores a value; a load of the key that is under way will not be stored.
 *
 * Returns 0; -ENOMEM, -EMSGSIZE: too large or too long: the value stays the caller's.
 * @ttl less than 0: the cache's own; 0: the value is dropped, and the key forgotten.
 * Suspends: no.  Threads: its loop's; with .cores the loops' of all cores. */
int lade_cache_set(struct lade_cache *cache, const void *key, size_t key_len, void *value,
		   size_t bytes, struct lade_duration ttl);

/* lade_cache_invalidate - forgets a key; a load of it that is under way will not be stored, and a
 * later caller begins a new one.
 *
 * Suspends: no.  Threads: its loop's; with .cores the loops' of all cores. */
void lade_cache_invalidate(struct lade_cache *cache, const void *key, size_t key_len);

/* lade_cache_stats - what the cache has done so far, on all cores.
 *
 * Suspends: no.  Threads: its loop's; with .cores the loops' of all cores. */
struct lade_cache_stats lade_cache_stats(struct lade_cache *cache);

/* LADE_CACHE - LADE_CACHE(name, key type, value type): a cache with types, for plain values.
 *
 *  name_cache_new(scope, load, arg, &config, &cache)   int load(void *arg, K const *key, V *ret)
 *  name_cache_get(cache, key, &value)                  suspends; returns as lade_cache_get does
 *  name_cache_set(cache, key, value)                   0, -ENOMEM
 *  name_cache_invalidate(cache, key)
 *  name_cache_close(cache, cancel)                     suspends
 *  name_cache_raw(cache)                               the struct lade_cache
 *
 * Keys are compared as bytes: K has neither padding nor pointers.  V is copied out. */
#define LADE_CACHE(name, K, V)                                                                     \
	struct name##_cache;                                                                       \
	struct name##_cache_state {                                                                \
		int (*load)(void *arg, K const *key, V *ret);                                      \
		void *arg;                                                                         \
	};                                                                                         \
	__attribute__((unused)) static inline int name##_cache_load(                               \
		void *arg, const struct lade_cache_key *key, struct lade_cache_load *load)         \
	{                                                                                          \
		struct name##_cache_state *s = arg;                                                \
		V *value = malloc(sizeof(*value));                                                 \
		K k;                                                                               \
		int rc = value ? 0 : -ENOMEM;                                                      \
		memcpy(&k, key->bytes, sizeof(k));                                                 \
		if (rc == 0)                                                                       \
			rc = s->load(s->arg, &k, value);                                           \
		if (rc < 0) {                                                                      \
			free(value);                                                               \
			return rc;                                                                 \
		}                                                                                  \
		load->value = value;                                                               \
		load->bytes = sizeof(*value);                                                      \
		return 0;                                                                          \
	}                                                                                          \
	__attribute__((unused)) static inline int name##_cache_new(                                \
		struct lade_scope *scope, int (*load)(void *arg, K const *key, V *ret), void *arg, \
		const struct lade_cache_config *config, struct name##_cache **ret)                 \
	{                                                                                          \
		struct lade_cache_config c = *config;                                              \
		struct name##_cache_state *s = malloc(sizeof(*s));                                 \
		struct lade_cache *made = NULL;                                                    \
		int rc = s ? 0 : -ENOMEM;                                                          \
		if (rc == 0) {                                                                     \
			*s = (struct name##_cache_state){ load, arg };                             \
			c.load = name##_cache_load;                                                \
			c.arg = s;                                                                 \
			c.drop = free;                                                             \
			rc = lade_cache_new_owning(scope, &c, free, &made);                        \
		}                                                                                  \
		if (rc < 0)                                                                        \
			free(s);                                                                   \
		else                                                                               \
			*ret = (struct name##_cache *)(void *)made;                                \
		return rc;                                                                         \
	}                                                                                          \
	__attribute__((unused)) static inline struct lade_cache *name##_cache_raw(                 \
		struct name##_cache *cache)                                                        \
	{                                                                                          \
		return (struct lade_cache *)(void *)cache;                                         \
	}                                                                                          \
	__attribute__((unused)) static inline lade_suspends int name##_cache_get(                  \
		struct name##_cache *cache, K key, V *ret)                                         \
	{                                                                                          \
		struct lade_cached got;                                                            \
		int rc = lade_cache_get_at(name##_cache_raw(cache), &key, sizeof(key), &got,       \
					   #name "_cache_get");                                    \
		if (rc == 0) {                                                                     \
			memcpy(ret, got.value, sizeof(*ret));                                      \
			lade_cache_release(&got);                                                  \
		}                                                                                  \
		return rc;                                                                         \
	}                                                                                          \
	__attribute__((unused)) static inline int name##_cache_set(struct name##_cache *cache,     \
								   K key, V value)                 \
	{                                                                                          \
		V *copy = malloc(sizeof(*copy));                                                   \
		int rc;                                                                            \
		if (!copy)                                                                         \
			return -ENOMEM;                                                            \
		*copy = value;                                                                     \
		rc = lade_cache_set(name##_cache_raw(cache), &key, sizeof(key), copy,              \
				    sizeof(*copy), (struct lade_duration){ -1 });                  \
		if (rc < 0)                                                                        \
			free(copy);                                                                \
		return rc;                                                                         \
	}                                                                                          \
	__attribute__((unused)) static inline void name##_cache_invalidate(                        \
		struct name##_cache *cache, K key)                                                 \
	{                                                                                          \
		lade_cache_invalidate(name##_cache_raw(cache), &key, sizeof(key));                 \
	}                                                                                          \
	__attribute__((unused)) static inline void name##_cache_close(struct name##_cache *cache,  \
								      bool cancel)                 \
	{                                                                                          \
		lade_cache_close_at(name##_cache_raw(cache), cancel, #name "_cache_close");        \
	}

/* lade_cache_new_owning - lade_cache_new that takes config->arg over: @free_arg frees it with the
 * cache. What LADE_CACHE uses.
 *
 * Returns and owns as lade_cache_new does.  Suspends: no. */
int lade_cache_new_owning(struct lade_scope *scope, const struct lade_cache_config *config,
			  void (*free_arg)(void *), struct lade_cache **ret);

LADE_API_END

#endif
