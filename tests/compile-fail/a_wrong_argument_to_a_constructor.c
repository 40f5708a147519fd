/* expect: incompatible pointer type */
#include <lade/lade.h>

struct db;
static int load(struct db *db, long id, long *ret)
{
	*ret = db ? id : 0;
	return 0;
}
LADE_TASK(load, long, (struct db *, db), (long, id))

int f(const char *name)
{
	struct load_task a = load_task(name, 5);
	int rc = lade_join(&a);

	return rc;
}
