/* SPDX-License-Identifier: MIT */
/* step06_scope.c - a block that owns tasks, as many as there turn out to be.
 *
 * lade_spawn starts a task that nobody needs to name; lade_start one whose result is read later,
 * and which is declared before the block. The block ends when the last of them has: no task is
 * ever left running behind it. The first failure cancels the others and is the block's outcome.
 *
 * The law: rules 1 and 3, scopes; rule 21, lade_spawn waits at .max_children.
 * Run: build/examples/step06_scope */
#include <lade/lade.h>

#include <errno.h>
#include <stdio.h>

/* Crawls a page; the third one is broken. */
static int crawl(int page)
{
	int rc = lade_sleep(page < 4 ? lade_ms(10) : lade_s(10));

	if (rc == 0 && page == 3)
		rc = -EBADMSG;
	printf("  page %d: %s\n", page, rc == 0 ? "done" : strerror(-rc));
	return rc;
}
LADE_TASK_VOID(crawl, (int, page))

static int count_pages(int *ret)
{
	*ret = 4;
	return 0;
}
LADE_TASK(count_pages, int)

static int app(void)
{
	struct count_pages_task pages = count_pages_task();
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &pages);
		rc = lade_wait(&pages);
		for (int page = 1; rc == 0 && page <= lade_value(&pages); page++)
			rc = lade_spawn(&s, crawl_task(page));
	}
	printf("all have ended; the outcome: %s\n", strerror(-rc));
	return 0;
}
LADE_TASK_VOID(app)

int main(void)
{
	return lade_main(lade_do(app));
}
