/* SPDX-License-Identifier: MIT */
#ifndef LADE_CACHE_PRIV_H
#define LADE_CACHE_PRIV_H

/* cache_priv.h - the parts of the cache: records (values), entries (keys), flights (loads), waiters
 * (callers).
 *
 *   entry.c   what is stored: find, store, expire, evict
 *   flight.c  what is under way: a load's task, its end, its waiters
 *   cores.c   what several cores need: steps under locks, and a scope on each core
 *   cache.c   what callers see: get, get_many, set, invalidate, close
 *
 * All of it changes in steps: between lade_cache_lock and lade_cache_unlock, without a suspension.
 * What is said to be "in a step" is called there only. */

#include "core/core_priv.h"

#include <lade/cache.h>
#include <lade/shared_channel.h>

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
	struct lade_cache_record *next; /* in the list of those that nobody uses any more */
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
	struct lade_loop *loop;	    /* of the core where it began: runs the load, ends the flight */
	struct seat *seat;	    /* that core's, if it is not the cache's own; else NULL */
	struct lade_scope *scope;   /* parent of the load's task, once there is one; its loop's */
	struct lade_node *node;	    /* the load's task while it runs; its loop's */
	struct lade_timer deadline; /* the key is free again then, whatever the load does */
	struct lade_timer linger;   /* end of an abandoned load's grace */
	struct lade_link link;	    /* in the cache's list of flights */
	struct lade_link turn;	    /* among those that begin, or are asked to end */
	struct lade_mail mail;	    /* tells its loop to look at it */
	const char *why;	    /* where it was cancelled */
	bool told;		    /* the mail is on its way */
	bool ended;		    /* freed when the mail has come */
	bool linger_void;	    /* somebody has joined since the linger began */
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
	struct lade_node *node;		/* the task while it runs; its loop's */
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
	struct lade_cache *cache;
	struct waiter *waiters; /* count of them */
	uint32_t count;
	uint32_t left; /* waiters without an answer; 0: the op is complete, or about to be */
};

/* The flight's result is not for this caller: it loads for itself. Never leaves the cache. */
#define RC_RETRY 1

/* What one core has of a cache of several. In its own lines of memory: each is written by its core
 * with every hit. */
struct seat {
	pthread_mutex_t lock;	  /* its core takes it for a hit; a step takes those of all */
	uint64_t hits;		  /* fresh values that it gave; the lock's */
	uint64_t stale;		  /* stale ones, after a wait; the lock's */
	struct lade_loop *loop;	  /* the core's */
	struct lade_cache *cache;
	struct lade_scope *scope; /* parent of its loads while it has any, or NULL; its loop's */
	struct lade_link waiting; /* flights that begin when the scope is there; its loop's */
	struct lade_mail mail;	  /* asks the cache's own core for a scope */
	bool asked;		  /* the scope is there, or on its way; its loop's */
	int refused;		  /* why there is none; written before the mail comes back */
	uint32_t number;	  /* the core's */
	char apart[64];		  /* from the next one's lock */
};

/* What a step brings about: done when its lock has been given back, since it may begin others. */
struct effects {
	struct lade_link woken;		  /* waitings that have all their answers */
	struct lade_link begun;		  /* flights that begin; of the step's core */
	struct lade_link asked;		  /* flights whose loads are to end; of its core too */
	struct lade_cache_record *unused; /* records without a reference */
	struct lade_op *closer;		  /* who waited for the last flight, or NULL */
	struct lade_op *keeper;		  /* who waited for the end of the cache, or NULL */
	bool any;			  /* one of these is not empty, or there are locks */
};

struct lade_cache {
	struct lade_cache_config config; /* with defaults filled in */
	void (*free_arg)(void *);	 /* frees config.arg with the cache, or NULL */
	struct lade_scope *scope;	 /* parent of the loads, and of the scopes elsewhere; of
					    several cores NULL once it ends; home's */
	struct lade_op *keeper;		 /* of several: waits for the end of the cache, or NULL */
	struct lade_loop *loop;		 /* home */
	struct lade_loop *sole;		 /* home, if it is open and of one core; else NULL */
	struct seat *seats;		 /* of several cores: one for each; else NULL */
	uint32_t seat_count;		 /* 0: of one core, nothing is locked */
	struct lade_loop *here;		 /* whose step it is; of one core: home */
	struct effects effects;		 /* of the step */
	struct lade_map map;		 /* entries by key */
	struct lade_s3fifo policy;	 /* who leaves */
	struct lade_hash_key hash_key;	 /* random: nobody can aim at one bucket */
	struct lade_link flights;	 /* all loads under way */
	struct lade_sem turns;		 /* loads that may run, of one core */
	struct lade_shared_channel *places; /* of several: each has a place in it while it runs */
	struct lade_op *closer;		 /* waits for the last flight to end, or NULL */
	uint32_t strays;		 /* flights past their deadline whose loads go on */
	uint32_t refs;			 /* the owner's, the records', the callers', the mails' */
	size_t orphan_bytes;		 /* of records in use that have no entry */
	uint64_t generation;		 /* counts flights */
	bool closed;			 /* answers -ESHUTDOWN */
	struct lade_cache_stats stats;	 /* what the seats do not count */
};

/* cores.c */

/* lade_seats_init - gives a cache of several cores its seats.  Returns 0 or -errno. */
int lade_seats_init(struct lade_cache *c);

/* lade_scope_keep - notes when the scope of a cache of several cores ends, whoever asks for it from
 * elsewhere then. */
void lade_scope_keep(struct lade_cache *c);

/* lade_seats_done - gives them up. */
void lade_seats_done(struct lade_cache *c);

/* lade_seat_here - the seat of the running task's core; @site: of its call. A loop that has none
 * ends the process. */
struct seat *lade_seat_here(struct lade_cache *c, const char *site);

/* lade_cache_astray - ends the process: a cache of one core is used on another. */
__attribute__((noreturn, cold)) void lade_cache_astray(const char *site);

/* The parts of the two below that are not of one core alone, or not always. */
void lade_cache_lock_all(struct lade_cache *c, struct lade_loop *here);
void lade_cache_unlock_all(struct lade_cache *c);

/* lade_cache_lock - begins a step of the core whose loop is @here. */
static inline void lade_cache_lock(struct lade_cache *c, struct lade_loop *here)
{
	if (lade_unlikely(c->seat_count))
		lade_cache_lock_all(c, here);
}

/* lade_cache_unlock - ends a step and does what it has brought about. The cache may be gone then,
 * unless the caller has a reference. */
static inline void lade_cache_unlock(struct lade_cache *c)
{
	if (lade_unlikely(c->effects.any))
		lade_cache_unlock_all(c);
}

/* The counts below are changed outside of steps too, and by other cores if there are any: only then
 * that costs an atomic operation. */

/* lade_ref_up - takes a reference. */
static inline void lade_ref_up(const struct lade_cache *c, uint32_t *refs)
{
	if (lade_unlikely(c->seat_count))
		__atomic_fetch_add(refs, 1, __ATOMIC_RELAXED);
	else
		++*refs;
}

/* lade_ref_down - gives a reference up.  Returns whether it was the last. */
static inline bool lade_ref_down(const struct lade_cache *c, uint32_t *refs)
{
	if (lade_unlikely(c->seat_count))
		return __atomic_fetch_sub(refs, 1, __ATOMIC_ACQ_REL) == 1;
	return --*refs == 0;
}

/* lade_orphans_add - counts the bytes of a value that is in use without an entry. */
static inline void lade_orphans_add(struct lade_cache *c, size_t bytes)
{
	__atomic_fetch_add(&c->orphan_bytes, bytes, __ATOMIC_RELAXED);
}

/* lade_orphans - those bytes. */
static inline size_t lade_orphans(const struct lade_cache *c)
{
	return __atomic_load_n(&c->orphan_bytes, __ATOMIC_RELAXED);
}

/* lade_load_start - has the load of a flight, or of its batch, begin on this core; behind the
 * lock. */
void lade_load_start(struct flight *f);

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

/* lade_record_new - takes a value over, with one reference, in a step; NULL: no memory. */
struct lade_cache_record *lade_record_new(struct lade_cache *c, void *value, size_t bytes,
					  struct lade_duration ttl);

/* lade_record_unref - gives a reference up, in no step, in any thread; NULL is allowed. */
void lade_record_unref(struct lade_cache_record *record);

/* lade_record_leave - lade_record_unref in a step: the value is dropped behind it. */
void lade_record_leave(struct lade_cache *c, struct lade_cache_record *record);

/* lade_cache_unref - gives a reference to the cache up. */
void lade_cache_unref(struct lade_cache *c);

/* lade_cache_later - the instant @d from now, shortened by the jitter; in a step. */
int64_t lade_cache_later(struct lade_cache *c, struct lade_duration d);

/* lade_cache_fits - whether a value of that size is stored. */
static inline bool lade_cache_fits(const struct lade_cache *c, size_t bytes)
{
	return bytes <= c->config.max_value_bytes;
}

/* flight.c; what is not said to be otherwise is called in a step */

/* lade_flight_new - a load for a key that begins with lade_flight_begin; NULL: no memory. */
struct flight *lade_flight_new(struct lade_cache *c, struct entry *e, const void *key, size_t len);

/* lade_flight_begin - has the load of a flight begin behind the step. */
void lade_flight_begin(struct flight *f);

/* lade_flights_begin - has one load of several flights begin.  Returns 0 or -ENOMEM: none will. */
int lade_flights_begin(struct lade_cache *c, struct flight **flights, uint32_t count);

/* lade_flight_run - starts the task of a flight, or of its batch, in a scope of its loop; in no
 * step. */
void lade_flight_run(struct flight *f, struct lade_scope *scope);

/* lade_flight_refuse - ends a flight, or its batch, whose load cannot run; in no step. */
void lade_flight_refuse(struct flight *f);

/* lade_flight_drop - gives up a flight that was not begun. */
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

/* lade_flight_arm - arms the deadlines of a flight, or of its batch, on its loop; in no step. */
void lade_flight_arm(struct flight *f);

/* lade_flight_ask - tells the task of a cancelled flight, if it runs, to end; in no step. */
void lade_flight_ask(struct flight *f);

/* lade_waiting_init - makes a wait of the running task; waiters are added in a step. */
void lade_waiting_init(struct waiting *w, struct lade_cache *c, struct waiter *waiters,
		       const char *site);

/* lade_waiting_wait - waits until every waiter has its answer, or until the caller's cancel; in no
 * step.  Returns 0, or -ECANCELED: the waiters have left their flights and hold nothing. */
int lade_waiting_wait(struct waiting *w);

/* lade_flight_is_mine - whether the running task is below the load of this flight, all of it on
 * this core. */
bool lade_flight_is_mine(const struct flight *f);

/* lade_flight_mine_of - whether the running task is below any load of this key. */
bool lade_flight_mine_of(const struct lade_cache *c, const void *key, size_t len);

#endif
