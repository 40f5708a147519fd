/* expect: not a structure or union */
#include <lade/lade.h>

int f(void)
{
	int number = 5;
	int rc = lade_join(&number);

	return rc;
}
