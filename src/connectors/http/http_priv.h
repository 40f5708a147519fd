/* SPDX-License-Identifier: MIT */
#ifndef LADE_HTTP_PRIV_H
#define LADE_HTTP_PRIV_H

/* http_priv.h - what the client and its twin for the simulation share. */

#include <lade/http.h>

#define HTTP_REDIRECTS_MAX 5

/* lade_http_sim_fetch - lade_http_fetch in a simulation; @ret is a reply without anything.
 *
 * Suspends: yes. */
lade_suspends int lade_http_sim_fetch(const struct lade_http_config *config,
				      const struct lade_http_request *request,
				      struct lade_http_reply *ret, const char *site);

#endif
