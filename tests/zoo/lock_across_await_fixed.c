/* SPDX-License-Identifier: MIT */
/* lock_across_await_fixed.c - all waits come first, and the change is made in one piece. */

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
	rc = ask_the_auditor();
	if (rc < 0)
		return rc;
	spending -= amount;
	savings += amount;
	return 0;
}

LADE_EXPLORE(lock_across_await_fixed, .setup = open_accounts, .invariant = money_is_all_there)
{
	return save(10);
}
