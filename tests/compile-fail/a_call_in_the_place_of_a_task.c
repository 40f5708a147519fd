/* expect: (invalid type argument of .->.|is not a pointer) */
#include <lade/lade.h>

static int nap(int ms)
{
	return lade_sleep(lade_ms(ms));
}
LADE_TASK_VOID(nap, (int, ms))

int f(void)
{
	int rc = lade_join(nap(5));

	return rc;
}
