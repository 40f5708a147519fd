/* SPDX-License-Identifier: MIT */
/* step09_channel.c - tasks that hand each other things, and a choice of what comes first.
 *
 * A send waits while the channel is full, a receive while it is empty. What was handed over is the
 * receiver's; what could not be sent stays the sender's. lade_select does exactly one of its
 * cases and says which: the others did not happen.
 *
 * The law: rules 12 and 13, handing over; rule 19, tasks are raced, operations are selected.
 * Run: build/examples/step09_channel */
#include <lade/lade.h>

#include <errno.h>
#include <stdio.h>

LADE_CHANNEL(order, int)

/* A waiter: brings four orders to a kitchen that has room for two, then goes home. */
static int take_orders(struct order_channel *kitchen)
{
	int rc = 0;

	for (int table = 1; rc == 0 && table <= 4; table++)
		rc = order_send(kitchen, table);
	if (rc == 0)
		rc = lade_sleep(lade_ms(30));
	order_channel_close(kitchen);
	return rc;
}
LADE_TASK_VOID(take_orders, (struct order_channel *, kitchen))

/* A cook: cooks what comes, and sweeps the floor, once, when nothing has come for 10 ms. */
static int cook(struct order_channel *kitchen)
{
	struct lade_instant sweep = lade_in(lade_ms(10));
	int table, rc;

	while ((rc = lade_select(order_recv_case(kitchen, &table), lade_at(sweep))) >= 0) {
		printf(rc == 0 ? "cooks for table %d\n" : "sweeps the floor\n", table);
		sweep = rc == 0 ? lade_in(lade_ms(10)) : LADE_NEVER;
	}
	return rc == -EPIPE ? 0 : rc; /* closed, and empty */
}
LADE_TASK_VOID(cook, (struct order_channel *, kitchen))

static int app(void)
{
	struct order_channel *kitchen = NULL;
	int rc = order_channel_new(2, &kitchen);

	if (rc == 0)
		rc = lade_join(lade_do(take_orders, kitchen), lade_do(cook, kitchen));
	order_channel_free(kitchen);
	return rc;
}
LADE_TASK_VOID(app)

int main(void)
{
	return lade_main(lade_do(app));
}
