/* SPDX-License-Identifier: MIT */
/* calls.c - two functions with results of different types, and a place to call them. */
#include <errno.h>
#include <lade/lade.h>

struct pg;
struct http;
struct user {
	long id;
};

int load_user(struct pg *db, long id, struct user *ret);
int load_price(struct http *api, long id, double *ret);
LADE_TASK(load_user, struct user, (struct pg *, db), (long, id))
LADE_TASK(load_price, double, (struct http *, api), (long, id))

int context(struct pg *db, struct http *api, long id);
int context(struct pg *db, struct http *api, long id)
{
	struct user user = { 0 };
	double price = 0;
	int rc = 0;

	(void)db;
	(void)user;
	{
@code@
	}
	(void)price;
	return rc;
}
