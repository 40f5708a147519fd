/* expect: incompatible pointer type */
#include <lade/lade.h>

static int nap(int ms)
{
	return lade_sleep(lade_ms(ms));
}
LADE_TASK_VOID(nap, (int, ms))

int f(void)
{
	struct nap_task a = nap_task(5);
	int rc = lade_spawn(&a, nap_task(6));

	return rc;
}
