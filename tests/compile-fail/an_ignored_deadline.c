/* expect: ignoring return value of */
#include <lade/lade.h>

void f(void)
{
	lade_within(lade_ms(5), lade_yield());
}
