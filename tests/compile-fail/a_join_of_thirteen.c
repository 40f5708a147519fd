/* expect: at_most_twelve_tasks_are_joined_or_raced */
#include <lade/lade.h>

int f(struct lade_join_task *t)
{
	int rc = lade_join(t, t, t, t, t, t, t, t, t, t, t, t, t);

	return rc;
}
