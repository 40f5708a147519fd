/* expect: (incompatible type for argument 2 of .lade_cancel|'int' to parameter of incompatible type 'struct lade_duration') */
#include <lade/lade.h>

void f(struct lade_scope *scope)
{
	lade_cancel(scope, 5000);
}
