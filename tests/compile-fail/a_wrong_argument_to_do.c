/* expect: incompatible pointer type */
#include <lade/lade.h>

static int load(long id, long *ret)
{
	*ret = id;
	return 0;
}
LADE_TASK(load, long, (long, id))

int f(void)
{
	double price;
	int rc = lade_join(lade_do(load, 5, &price));

	return rc;
}
