/* expect: (makes pointer from integer|incompatible integer to pointer) */
#include <lade/lade.h>

static int load(const char *name, long *ret)
{
	*ret = name[0];
	return 0;
}
LADE_TASK(load, long, (long, id))
