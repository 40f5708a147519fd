/* SPDX-License-Identifier: MIT */
/* gdb_parked.c - a program for tests/gdb.py to look into: its tasks are parked, and stay so. */

#include <lade/lade.h>

#include <stdio.h>

static struct lade_op camera = { .what = "a camera" };

static __attribute__((noinline)) int wait_for_frame(int number)
{
	int rc = lade_park(&camera, NULL);

	return rc < 0 ? rc : number;
}

static __attribute__((noinline)) int take_pictures(int count)
{
	int rc = 0;

	for (int i = 0; i < count && rc >= 0; i++)
		rc = wait_for_frame(i);
	return rc;
}
LADE_TASK_VOID(take_pictures, (int, count))

static int naps(void)
{
	return lade_sleep(lade_s(3600));
}
LADE_TASK_VOID(naps)

static int app(void)
{
	struct take_pictures_task pictures = take_pictures_task(3);
	struct naps_task one = naps_task(), two = naps_task();
	struct lade_join_task both = lade_join_task(&one, &two);
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &pictures);
		lade_start(&s, &both);
		rc = lade_sleep(lade_ms(1));
		lade_cancel(&pictures);
		puts("parked");
		fflush(stdout);
		rc = rc < 0 ? rc : lade_sleep(lade_s(3600));
	}
	return rc;
}
LADE_TASK_VOID(app)

int main(void)
{
	return lade_main(lade_do(app));
}
