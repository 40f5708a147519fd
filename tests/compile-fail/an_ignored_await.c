/* expect: ignoring return value of */
#include <lade/lade.h>

int f(void)
{
	lade_sleep(lade_ms(5));
	return 0;
}
