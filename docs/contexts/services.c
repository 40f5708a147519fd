/* SPDX-License-Identifier: MIT */
/* services.c - the world of a scenario that asks HTTP services. */

#include <lade/explore.h>
#include <lade/http_sim.h>

@code@

static int ask(void)
{
	return services ? 0 : -1;
}

LADE_EXPLORE(services_answer, .setup = start_services)
{
	return ask();
}
