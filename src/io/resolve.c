/* SPDX-License-Identifier: MIT */
/* resolve.c - host names, looked up on the pool.
 *
 * DESIGN
 * getaddrinfo may block for as long as the name service likes and cannot be called off. So a
 * look-up owns its memory and may be left behind: the task that was cancelled goes on at once, the
 * thread frees the look-up when it returns. Who frees it is decided by one atomic exchange.
 *
 * LIMITS  16 look-ups left behind in a loop; then new ones wait for theirs to end like any other
 * blocking call. LADE_ADDRESSES_MAX addresses of a name are used. */

#include "io/pool_priv.h"
#include "io/sys_priv.h"

#include <lade/io.h>

#include "base/alloc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define LEFT_BEHIND_MAX 16

enum { LOOKUP_WAITED_FOR, LOOKUP_LEFT, LOOKUP_DONE };

struct lookup {
	struct lade_job job;
	struct lade_op *op;	     /* who waits; not touched once the look-up is left */
	atomic_int state;	     /* LOOKUP_ */
	_Atomic uint32_t *left;	     /* the count of look-ups left behind */
	struct lade_addresses found; /* the answer */
	const struct lade_sys *sys;  /* who answers */
	struct lade_loop *loop;	     /* whose task asks */
	char host[256];
	uint16_t port;
};

static void keep_address(void *arg, const struct sockaddr *address, socklen_t len)
{
	struct lade_addresses *found = arg;
	struct lade_address *a = &found->list[found->count];

	if (found->count == LADE_ADDRESSES_MAX || len > sizeof(a->bytes))
		return;
	memcpy(a->bytes, address, len);
	a->len = (uint8_t)len;
	found->count++;
}

static void run_lookup(struct lade_job *job)
{
	struct lookup *l = LADE_CONTAINER(job, struct lookup, job);
	int rc = l->sys->look_up(l->loop, l->host, l->port, keep_address, &l->found);

	if (rc == 0 && !l->found.count)
		rc = -ENOENT;

	if (atomic_exchange(&l->state, LOOKUP_DONE) == LOOKUP_LEFT) {
		atomic_fetch_sub(l->left, 1);
		lade_free(l);
		return;
	}
	lade_complete_remote(l->op, rc);
}

/* The wait, and the look-up it is for. */
struct lookup_wait {
	struct lade_op op;
	struct lookup *lookup; /* NULL once it was left behind */
};

static enum lade_abort_result lookup_abort(struct lade_op *op)
{
	struct lookup_wait *w = LADE_CONTAINER(op, struct lookup_wait, op);
	struct lade_loop *loop = op->loop;
	_Atomic uint32_t *left = w->lookup->left;

	if (lade_pool_take_back(loop, &w->lookup->job))
		return LADE_ABORTED;
	if (atomic_fetch_add(left, 1) >= LEFT_BEHIND_MAX) {
		atomic_fetch_sub(left, 1);
		return LADE_PENDING;
	}
	if (atomic_exchange(&w->lookup->state, LOOKUP_LEFT) == LOOKUP_DONE) {
		/* The answer is under way to us. */
		atomic_store(&w->lookup->state, LOOKUP_DONE);
		atomic_fetch_sub(left, 1);
		return LADE_PENDING;
	}
	w->lookup = NULL;
	lade_pool_grow(loop);
	return LADE_ABORTED;
}

static bool is_numeric(const char *host, uint16_t port, struct lade_address *a)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
		memcpy(a->bytes, &v4, sizeof(v4));
		a->len = sizeof(v4);
	} else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
		memcpy(a->bytes, &v6, sizeof(v6));
		a->len = sizeof(v6);
	} else {
		return false;
	}
	return true;
}

static int wait_lookup(struct lookup *l, struct lade_addresses *ret, const char *site)
{
	struct lade_loop *loop = lade_loop_here();
	struct lookup_wait w = { .op = { .what = "a name",
					 .site = site,
					 .abort = lookup_abort,
					 .loop = loop },
				 .lookup = l };
	int rc;

	l->op = &w.op;
	l->left = &loop->first->lookups_left_behind;
	rc = lade_pool_add(loop, &l->job);
	if (rc == 0)
		rc = lade_op_wait(&w.op);
	if (rc == 0)
		*ret = l->found;
	lade_free(w.lookup);
	return rc;
}

int lade_resolve_at(const char *host, uint16_t port, struct lade_addresses *ret,
		    const char *site)
{
	struct lade_address numeric;
	struct lookup *l;
	int rc = lade_enter(site);

	if (rc < 0)
		return rc;
	if (is_numeric(host, port, &numeric)) {
		ret->list[0] = numeric;
		ret->count = 1;
		return 0;
	}
	if (!*host || strlen(host) >= sizeof(l->host))
		return -ENOENT;
	l = lade_calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->job.run = run_lookup;
	l->sys = lade_sys_here();
	l->loop = lade_loop_here();
	l->port = port;
	strcpy(l->host, host);
	return wait_lookup(l, ret, site);
}
