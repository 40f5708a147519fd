/* expect: (incompatible type for argument 1 of .lade_in|'int' to parameter of incompatible type 'struct lade_duration') */
#include <lade/lade.h>

int f(void)
{
	int rc = lade_sleep(200);

	return rc;
}
