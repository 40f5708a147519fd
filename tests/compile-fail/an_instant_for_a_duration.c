/* expect: (incompatible type for argument 1 of .lade_in|'struct lade_instant' to parameter of incompatible type 'struct lade_duration') */
#include <lade/lade.h>

int f(void)
{
	int rc = lade_within(lade_now(), lade_yield());

	return rc;
}
