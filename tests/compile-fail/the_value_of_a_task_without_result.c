/* expect: no member named .value */
#include <lade/lade.h>

static int nap(int ms)
{
	return lade_sleep(lade_ms(ms));
}
LADE_TASK_VOID(nap, (int, ms))

int f(struct nap_task *task)
{
	int rc = lade_value(task);

	return rc;
}
