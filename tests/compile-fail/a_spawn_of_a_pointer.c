/* expect: (is a pointer; did you mean|is not a structure or union) */
#include <lade/lade.h>

static int nap(int ms)
{
	return lade_sleep(lade_ms(ms));
}
LADE_TASK_VOID(nap, (int, ms))

int f(struct lade_scope *scope)
{
	struct nap_task a = nap_task(5);
	int rc = lade_spawn(scope, &a);

	return rc;
}
