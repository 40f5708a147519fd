/* expect: (is null where non-null expected|null passed to a callee) */
#include <lade/lade.h>

static int load(long id, long *ret)
{
	*ret = id;
	return 0;
}
LADE_TASK(load, long, (long, id))

int f(void)
{
	int rc = lade_join(lade_do(load, 5, NULL));

	return rc;
}
