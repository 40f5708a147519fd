/* SPDX-License-Identifier: MIT */
/* step07_shield.c - work that must not be cut in half.
 *
 * Money leaves one account and reaches another, with a wait between. A time-out of the caller's
 * that falls there would destroy it. The callee shields the part that has to run to its end: the
 * request waits outside, up to the budget, and what was done is then reported as done.
 *
 * The law: rule 14, shields have a budget; rule 10, completion wins over a pending cancel.
 * Run: build/examples/step07_shield */
#include <lade/lade.h>

#include <stdio.h>

struct accounts {
	int from, to;
};

static int move(struct accounts *a, int sum)
{
	int rc;

	a->from -= sum;
	rc = lade_sleep(lade_ms(30)); /* the other bank thinks */
	if (rc == 0)
		a->to += sum;
	return rc;
}

static int move_shielded(struct accounts *a, int sum)
{
	int rc = 0;

	lade_shield(lade_s(1)) {
		rc = move(a, sum);
	}
	return rc;
}

static void report(const char *what, int rc, const struct accounts *a)
{
	printf("%s: %s, %d + %d\n", what, rc == 0 ? "done" : "timed out", a->from, a->to);
}

static int app(void)
{
	struct accounts a = { 100, 0 }, b = { 100, 0 };

	report("bare", lade_within(lade_ms(10), move(&a, 40)), &a);
	report("shielded", lade_within(lade_ms(10), move_shielded(&b, 40)), &b);
	return 0;
}
LADE_TASK_VOID(app)

int main(void)
{
	return lade_main(lade_do(app));
}
