/* SPDX-License-Identifier: MIT */
/* step08_stream.c - a chain of streams: filter, concurrent map, timed batches.
 *
 * A stream is pulled: next gives 1 and an item, 0 at the end, or less. An operator that works
 * ahead takes the scope that its tasks belong to. Here at most four items are looked up at once,
 * and still come in order; a batch closes when it is full, or a second after its FIRST item.
 *
 * The law: rules 23 to 26, streams; the chain is closed by closing its last.
 * Run: build/examples/step08_stream */
#include <lade/lade.h>

#include <stdio.h>

LADE_STREAM(number, long)
LADE_STREAM(square, double)

static bool is_odd(void *arg, const long *n)
{
	(void)arg;
	return *n % 2;
}
LADE_FILTER(odd, number, is_odd)

/* Slow for small numbers: the later ones are done first, and wait for their turn. */
static int square_of(void *arg, long *n, double *ret)
{
	(void)arg;
	*ret = (double)(*n * *n);
	return lade_sleep(lade_ms(10 - *n / 2));
}
LADE_MAP(squares, number, square, square_of)

static int app(void)
{
	const long numbers[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	const struct lade_batch_config timed = { .max_items = 3, .linger = lade_s(1) };
	int rc = 0;

	lade_scope(s, &rc) {
		struct square_stream *in =
			squares(&s, odd(number_from_array(numbers, 9), NULL), NULL, 4, false);
		struct square_batches *batches = square_batch(&s, in, timed);
		struct square_batch b;

		while ((rc = square_batch_next(batches, &b)) > 0) {
			for (size_t i = 0; i < b.len; i++)
				printf("%.0f ", b.items[i]);
			printf("(closed by %s)\n", lade_batch_reason_name(b.reason));
		}
		square_batches_close(batches);
	}
	return rc;
}
LADE_TASK_VOID(app)

int main(void)
{
	return lade_main(lade_do(app));
}
