/* SPDX-License-Identifier: MIT */
/* step11_cores.c - work on all cores.
 *
 * lade_on makes of a task one that runs on another core; a shared channel hands the parts out, and
 * whoever is free takes the next. Joining, cancelling and deadlines are what they are elsewhere.
 *
 * The law: rule 22, several cores; rules 12 and 13, handing over.
 * Run: build/examples/step11_cores */

#include <lade/lade.h>

#include <stdio.h>

LADE_SHARED_CHANNEL(part, long)

/* Primes in the parts of 1,000 numbers that a worker gets. */
static int count_primes(struct part_shared_channel *parts, long *ret)
{
	long from, count = 0;
	int rc;

	while ((rc = part_shared_recv(parts, &from)) == 0)
		for (long n = from; n < from + 1000; n++) {
			long d = 2;

			while (d * d <= n && n % d)
				d++;
			count += n > 1 && d * d > n;
		}
	*ret = count;
	return rc == -EPIPE ? 0 : rc;
}
LADE_TASK(count_primes, long, (struct part_shared_channel *, parts))

static int app(void)
{
	struct part_shared_channel *parts = NULL;
	long a, b;
	int rc = part_shared_channel_new(100, &parts);

	for (long from = 0; rc == 0 && from < 100000; from += 1000)
		rc = part_shared_send(parts, from);
	if (rc == 0) {
		part_shared_channel_close(parts);
		rc = lade_join(lade_on(0, lade_do(count_primes, parts, &a)),
			       lade_on(1, lade_do(count_primes, parts, &b)));
	}
	if (rc == 0)
		printf("primes below 100,000: %ld\n", a + b);
	part_shared_channel_free(parts);
	return rc;
}
LADE_TASK_VOID(app)

int main(void)
{
	return lade_main(lade_do(app));
}
