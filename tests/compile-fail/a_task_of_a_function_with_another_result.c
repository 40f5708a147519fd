/* expect: incompatible pointer type */
#include <lade/lade.h>

static int load(long id, double *ret)
{
	*ret = (double)id;
	return 0;
}
LADE_TASK(load, long, (long, id))
