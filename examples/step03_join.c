/* SPDX-License-Identifier: MIT */
/* step03_join.c - several at once, each with a result of its own type.
 *
 * lade_join starts its tasks and waits for all. The results need no common type: each is written
 * to where its task was told. The first failure cancels the others, which are still waited for:
 * behind the join nobody writes to `user` and `price` any more.
 *
 * The law: rule 17, join; lade_join_all is the one that cancels nobody.
 * Run: build/examples/step03_join */
#include <lade/lade.h>

#include <errno.h>
#include <stdio.h>

struct user {
	char name[16];
};

static int load_user(long id, struct user *ret)
{
	int rc = lade_sleep(lade_ms(10));

	if (rc == 0 && id < 0)
		rc = -ENOENT;
	if (rc == 0)
		snprintf(ret->name, sizeof(ret->name), "user %ld", id);
	return rc;
}
LADE_TASK(load_user, struct user, (long, id))

static int load_price(const char *item, double *ret)
{
	int rc = lade_sleep(lade_ms(*item == 't' ? 10 : 10000));

	if (rc == 0)
		*ret = 4.5;
	return rc;
}
LADE_TASK(load_price, double, (const char *, item))

static int app(void)
{
	struct load_price_task cake = load_price_task("cake");
	struct user user;
	double price;
	int rc = lade_join(lade_do(load_user, 7, &user), lade_do(load_price, "tea", &price));

	if (rc == 0)
		printf("%s pays %.2f\n", user.name, price);
	rc = lade_join(lade_do(load_user, -1, &user), &cake);
	printf("the join: %s; the other one: %s\n", strerror(-rc), strerror(-lade_status(&cake)));
	return 0;
}
LADE_TASK_VOID(app)

int main(void)
{
	return lade_main(lade_do(app));
}
