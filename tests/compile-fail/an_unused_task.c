/* expect: ignoring return value of */
#include <lade/lade.h>

static int nap(int ms)
{
	return lade_sleep(lade_ms(ms));
}
LADE_TASK_VOID(nap, (int, ms))

void f(void)
{
	nap_task(5);
}
