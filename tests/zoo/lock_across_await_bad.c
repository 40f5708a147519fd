/* SPDX-License-Identifier: MIT */
/* lock_across_await_bad.c - cancelled while it holds a lock, a task leaves half of a change.
 *
 * The lock is released as it must be, and the next one finds what the lock was to hide. Oxide's
 * RFD 397 tells of such; Neon poisons its locks for it (#6548).
 *
 * Found: INVARIANT BROKEN, with an invariant: nothing outside shows what belongs together. */

#include <lade/explore.h>
#include <lade/lade.h>

#include <errno.h>

static struct lade_sem lock; /* of the two accounts */
static int spending = 100, savings;

static int open_accounts(struct lade_scope *world)
{
	(void)world;
	lade_sem_init(&lock, 1);
	return 0;
}

static void unlock(void *arg)
{
	lade_sem_release(arg, 1);
}

static int ask_the_auditor(void)
{
	return lade_sleep(lade_ms(1));
}

static int money_is_all_there(void)
{
	return spending + savings == 100 ? 0 : -ENODATA;
}

static int save(int amount)
{
	int rc = lade_sem_acquire(&lock, 1);

	if (rc < 0)
		return rc;
	lade_defer(unlock, &lock);
	spending -= amount;
	rc = ask_the_auditor(); /* named: it is in neither account */
	if (rc == 0)
		savings += amount;
	return rc;
}

LADE_EXPLORE(lock_across_await_bad, .setup = open_accounts, .invariant = money_is_all_there)
{
	return save(10);
}
