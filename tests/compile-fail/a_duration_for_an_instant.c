/* expect: (incompatible type for argument 2 of .lade_within_begin|'struct lade_duration' to parameter of incompatible type 'struct lade_instant') */
#include <lade/lade.h>

int f(void)
{
	int rc = lade_until(lade_ms(200), lade_yield());

	return rc;
}
