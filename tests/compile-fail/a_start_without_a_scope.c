/* expect: (null where non-null expected|null passed to a callee) */
#include <lade/lade.h>

static int nap(int ms)
{
	return lade_sleep(lade_ms(ms));
}
LADE_TASK_VOID(nap, (int, ms))

void f(struct nap_task *task)
{
	lade_start(NULL, task);
}
