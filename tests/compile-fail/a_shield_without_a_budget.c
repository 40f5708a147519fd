/* expect: expected expression */
#include <lade/lade.h>

void f(void)
{
	lade_shield()
		(void)0;
}
