/* expect: ignoring return value of */
#include <lade/lade.h>

static int nap(int ms)
{
	return lade_sleep(lade_ms(ms));
}
LADE_TASK_VOID(nap, (int, ms))

void f(void)
{
	struct nap_task a = nap_task(5), b = nap_task(6);

	lade_race_ok_task(&a, &b);
}
