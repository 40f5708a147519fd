/* SPDX-License-Identifier: MIT */
#ifndef LADE_EVENT_H
#define LADE_EVENT_H

/* event.h - a flag that tasks wait for, and a count of permits. */

#include <lade/select.h>

LADE_API_BEGIN

/* A flag: once set it stays set, and everybody who waits goes on, until it is cleared. Lives
 * wherever its user puts it; freed when nobody waits. */
struct lade_event {
	struct lade_link waiters; /* the library's */
	bool set;		  /* the library's */
};

/* lade_event_init - makes an event that is not set.  Suspends: no. */
void lade_event_init(struct lade_event *event);

/* lade_event_set - sets it and lets all that wait go on; nothing if it is set.
 *
 * Suspends: no.  Threads: its loop's. */
void lade_event_set(struct lade_event *event);

/* lade_event_clear - clears it; who was let go stays let go.  Suspends: no. */
void lade_event_clear(struct lade_event *event);

/* lade_event_wait - waits until the event is set.
 *
 * Returns 0, or -ECANCELED.  Suspends: yes.  Threads: inside a task only. */
#define lade_event_wait(...) lade_event_wait_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_event_wait_at(struct lade_event *event, const char *site);

/* lade_event_case - a case that is possible once the event is set.  Suspends: no. */
struct lade_case lade_event_case(struct lade_event *event);

/* A count of permits, given out in the order of asking. Lives wherever its user puts it. */
struct lade_sem {
	struct lade_link waiters; /* the library's: who asked, oldest first */
	uint32_t permits;	  /* the library's: free ones */
};

/* lade_sem_init - makes a semaphore with a number of free permits.  Suspends: no. */
void lade_sem_init(struct lade_sem *sem, uint32_t permits);

/* lade_sem_acquire - waits until @count permits are free and nobody asked before, and takes them.
 *
 * Between its return and a lade_defer on the next line nothing can cancel: waiting can be called
 * off, taking and registering the release cannot be torn apart.
 * Returns 0; -ECANCELED: none was taken.  Suspends: yes.  Threads: inside a task only. */
#define lade_sem_acquire(...) lade_sem_acquire_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_sem_acquire_at(struct lade_sem *sem, uint32_t count, const char *site);

/* lade_sem_try_acquire - takes permits if that needs no waiting.
 *
 * Returns 0, or -EAGAIN.  Suspends: no.  Threads: its loop's. */
int lade_sem_try_acquire(struct lade_sem *sem, uint32_t count);

/* lade_sem_release - gives permits back; they go straight to those who wait.
 *
 * No more than 4,294,967,295 are ever free: what goes beyond is lost. *
 * Suspends: no.  Threads: its loop's. */
void lade_sem_release(struct lade_sem *sem, uint32_t count);

LADE_API_END

#endif
