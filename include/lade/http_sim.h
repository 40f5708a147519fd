/* SPDX-License-Identifier: MIT */
#ifndef LADE_HTTP_SIM_H
#define LADE_HTTP_SIM_H

/* http_sim.h - simulated HTTP services: who answers the client in a simulation.
 *
 * In a simulation there is nobody outside. A service is made of a table, a line for each address:
 *
 * http://places.example/v1?of=Oslo   200    20  {"lat": 59.9}
 * http://places.example/             404    0   {}
 * http://rates.example:8080/         reset  5
 *
 * with one tab between two of them: the beginning of an address, of which the longest that fits
 * counts; a status, or `reset` (the connection breaks), `never` (no answer comes), `half` (the
 * connection breaks in the middle of the body), `drip` (status 200, the body byte by byte, its
 * delay before each) or `each` (status 200, an array with the body as often as the request's body,
 * an array, has elements); the delay in milliseconds of the simulation; the body. A line that
 * begins with # is a remark. What no line fits is answered by 404.
 *
 * Example:
 *	int serve_places(struct lade_scope *world, struct lade_http_sim **ret)
 *	{
 *		return lade_http_sim_new(world, "http://places.example/\t200\t20\t{}\n", ret, NULL);
 *	}
 */

#include <stdint.h>

#include <lade/scope.h>

LADE_API_BEGIN

struct lade_http_sim;

/* lade_http_sim_new - starts services as a table says; they answer until @scope ends.
 *
 * @table is copied. *ret_line, unless NULL, is the line that is wrong, from 1, after -EINVAL.
 * Returns 0; -EINVAL; -EADDRINUSE: somebody listens at such a port already; -ENOMEM; -EMFILE.
 * Suspends: no.  Threads: inside a task of a simulation.  Owns: lade_http_sim_free frees it. */
int lade_http_sim_new(struct lade_scope *scope, const char *table, struct lade_http_sim **ret,
		      int *ret_line);

/* lade_http_sim_free - frees the services when their scope has ended; NULL is allowed.
 *
 * Returns NULL.  Suspends: no.  Threads: inside a task of the simulation. */
struct lade_http_sim *lade_http_sim_free(struct lade_http_sim *sim);

/* lade_http_sim_requests - how many requests have come so far.  Suspends: no. */
uint64_t lade_http_sim_requests(const struct lade_http_sim *sim);

LADE_API_END

#endif
