/* SPDX-License-Identifier: MIT */
#ifndef LADE_CACHE_PRIV_H
#define LADE_CACHE_PRIV_H

/* cache_priv.h - the parts of the cache: records (values), entries (keys), flights (loads), waiters
 * (callers).
 *
 *   entry.c   what is stored: find, store, expire, evict
 *   flight.c  what is under way: a load's task, its end, its waiters
 *   cache.c   what callers see: get, get_many, set, invalidate, close */

#include "core/core_priv.h"

#include <lade/cache.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/map.h"
#include "cache/s3fifo.h"

#define CACHE_KEY_MAX 65536u

struct flight;

/* A value, shared by its entry and by those who use it. */
struct lade_cache_record {
	struct lade_cache *cache; /* kept alive by it */
	uint32_t refs;		  /* the entry's and the users' */
	void *value;		  /* the load's */
	size_t bytes;		  /* its weight */
	int64_t fresh_until_ns;	  /* then it is stale; 0: for those who waited only */
	bool orphan;		  /* has lost its entry while in use: in orphan_bytes */
};

/* What is known of a key. In the map while any of record, negative, unshared or flight is set. */
struct entry {
	struct lade_evict_entry evict; /* in the policy while @kept */
	struct lade_cache_record *record; /* the value, or NULL */
	struct flight *flight;	       /* the load that will be stored, or NULL */
	uint64_t hash;		       /* of the key */
	uint64_t generation;	       /* of the latest flight: counts in the whole cache */
	int64_t negative_until_ns;     /* negative_rc is the answer until then */
	int64_t unshared_until_ns;     /* callers load for themselves until then */
	int64_t backoff_until_ns;      /* no refresh before */
	int64_t backoff_ns;	       /* the latest pause after a failed refresh */
	int negative_rc;	       /* the kept error, or 0 */
	bool kept;		       /* counted and ordered by the policy */
	uint32_t key_len;
	char key[];
};

/* A load under way. */
struct flight {
	struct lade_cache *cache;
	struct entry *entry;	    /* whose result it will be; NULL: private, or overtaken */
	struct lade_link waiters;   /* of struct waiter */
	uint32_t waiting;	    /* how many */
	uint64_t generation;	    /* as in the entry when it began */
	struct lade_node *node;	    /* the load's task while it runs */
	struct lade_timer deadline; /* the key is free again then, whatever the load does */
	struct lade_timer linger;   /* end of an abandoned load's grace */
	struct lade_link link;	    /* in the cache's list of flights */
	bool cancelled;		    /* abandoned: joins nobody */
	bool refresh;		    /* began without a waiter */
	bool shared;		    /* others may join, and the result may be stored */
	bool stray;		    /* past its deadline: counted in the cache's strays */
	struct batch *batch;	    /* the load_many it is part of, or NULL */
	uint32_t index;		    /* its place there */
	uint32_t key_len;
	char key[];
};

/* A load_many: one task for several flights. */
struct batch {
	struct lade_cache *cache;
	uint32_t count;
	uint32_t wanted;		/* flights that have not been cancelled */
	struct lade_node *node;		/* the task while it runs */
	struct flight **flights;	/* count of them */
	struct lade_cache_key *keys;	/* their keys */
	struct lade_cache_load *loads;	/* their results */
};

/* A caller that waits. */
struct waiter {
	struct lade_link link;	  /* in the flight's list; only while @flight */
	struct flight *flight;	  /* what it waits for, or NULL */
	struct waiting *waiting;  /* the wait that it is part of */
	struct lade_cache_record *record; /* the answer, referenced, or NULL */
	int rc;			  /* the answer: 0, an error, RC_RETRY */
};

/* The one wait of a caller, for one flight or for several. */
struct waiting {
	struct lade_op op;
	struct waiter *waiters; /* count of them */
	uint32_t count;
	uint32_t left; /* waiters without an answer */
};

/* The flight's result is not for this caller: it loads for itself. Never leaves the cache. */
#define RC_RETRY 1

struct lade_cache {
	struct lade_cache_config config; /* with defaults filled in */
	void (*free_arg)(void *);	 /* frees config.arg with the cache, or NULL */
	struct lade_scope *scope;	 /* parent of the loads */
	struct lade_loop *loop;		 /* home */
	struct lade_map map;		 /* entries by key */
	struct lade_s3fifo policy;	 /* who leaves */
	struct lade_hash_key hash_key;	 /* random: nobody can aim at one bucket */
	struct lade_link flights;	 /* all loads under way */
	struct lade_sem turns;		 /* loads that may run */
	struct lade_event landed;	 /* a flight has ended */
	uint32_t strays;		 /* flights past their deadline whose loads go on */
	uint32_t refs;			 /* the owner's and the records' */
	size_t orphan_bytes;		 /* of records in use that have no entry */
	uint64_t generation;		 /* counts flights */
	bool closed;			 /* answers -ESHUTDOWN */
	struct lade_cache_stats stats;
};

/* entry.c */

/* lade_entry_init_map - makes the map of a cache's entries. */
void lade_entry_init_map(struct lade_map *map, size_t max);

/* lade_entry_find - what is known of a key, or NULL. */
struct entry *lade_entry_find(struct lade_cache *c, const void *key, size_t len);

/* lade_entry_make - lade_entry_find, or a new one, to be given content; NULL: no memory. */
struct entry *lade_entry_make(struct lade_cache *c, const void *key, size_t len);

/* lade_entry_tidy - removes an entry of which nothing is known; orders one that has content. */
void lade_entry_tidy(struct lade_cache *c, struct entry *e);

/* lade_entry_store - makes a record the entry's value and makes room for it. */
void lade_entry_store(struct lade_cache *c, struct entry *e, struct lade_cache_record *record);

/* lade_entry_forget - drops value, kept error and marks; a flight stays. */
void lade_entry_forget(struct lade_cache *c, struct entry *e);

/* lade_record_new - takes a value over, with one reference; NULL: no memory. */
struct lade_cache_record *lade_record_new(struct lade_cache *c, void *value, size_t bytes,
					  struct lade_duration ttl);

/* lade_record_unref - gives a reference up; NULL is allowed. */
void lade_record_unref(struct lade_cache_record *record);

/* lade_cache_unref - gives a reference to the cache up. */
void lade_cache_unref(struct lade_cache *c);

/* lade_cache_later - the instant @d from now, shortened by the jitter. */
int64_t lade_cache_later(struct lade_cache *c, struct lade_duration d);

/* lade_cache_fits - whether a value of that size is stored. */
static inline bool lade_cache_fits(const struct lade_cache *c, size_t bytes)
{
	return bytes <= c->config.max_value_bytes;
}

/* flight.c */

/* lade_flight_new - a load for a key that begins with lade_flight_start; NULL: no memory. */
struct flight *lade_flight_new(struct lade_cache *c, struct entry *e, const void *key, size_t len);

/* lade_flight_start - starts the task of a flight of its own. */
void lade_flight_start(struct flight *f);

/* lade_flights_start - starts one task for several flights.  Returns 0 or -ENOMEM: none began. */
int lade_flights_start(struct lade_cache *c, struct flight **flights, uint32_t count);

/* lade_flight_drop - gives up a flight that was not started. */
void lade_flight_drop(struct flight *f);

/* lade_flight_join - makes a caller wait for a flight. */
void lade_flight_join(struct flight *f, struct waiter *w);

/* lade_flight_detach - the flight's result will not be stored; who waits still gets it. */
void lade_flight_detach(struct flight *f);

/* lade_strays_disown - what overdue loads of a key still bring will not be stored. */
void lade_strays_disown(struct lade_cache *c, const void *key, size_t len);

/* lade_flight_wake - gives all waiters of a flight an answer; @record may be NULL. */
void lade_flight_wake(struct flight *f, int rc, struct lade_cache_record *record);

/* lade_flight_cancel - asks a load to end; it joins nobody any more. */
void lade_flight_cancel(struct flight *f, const char *site);

/* lade_waiting_wait - waits until every waiter has its answer, or until the caller's cancel.
 * Returns 0, or -ECANCELED: the waiters have left their flights and hold nothing. */
int lade_waiting_wait(struct waiting *w, const char *site);

/* lade_flight_is_mine - whether the running task is below the load of this flight. */
bool lade_flight_is_mine(const struct flight *f);

/* lade_flight_mine_of - whether the running task is below any load of this key. */
bool lade_flight_mine_of(const struct lade_cache *c, const void *key, size_t len);

#endif
