/* SPDX-License-Identifier: MIT */
/* sync.c - channels, permits, events, selects, joins and races, cancelled everywhere.
 *
 * What must hold whatever is cancelled: every item that was sent is received, left in the channel
 * or still its sender's; every permit comes back. */

#include <lade/explore.h>
#include <lade/lade.h>

#include <errno.h>

LADE_CHANNEL(number, long)

static struct number_channel *numbers;
static int sent, received;

static int open_channel(uint32_t capacity)
{
	sent = received = 0;
	return number_channel_new(capacity, &numbers);
}

static int make_buffered(struct lade_scope *world)
{
	(void)world;
	return open_channel(2);
}

static int make_unbuffered(struct lade_scope *world)
{
	(void)world;
	return open_channel(0);
}

static void free_channel(void)
{
	number_channel_free(numbers);
}

static int conserved(void)
{
	long n;

	while (number_try_recv(numbers, &n) == 0)
		received++;
	return sent == received ? 0 : -EBADMSG;
}

static int send_some(int count)
{
	int rc = 0;

	for (int i = 0; i < count && rc == 0; i++) {
		rc = number_send(numbers, i);
		sent += rc == 0;
	}
	return rc;
}
LADE_TASK_VOID(send_some, (int, count))

static int receive_some(int count)
{
	long n;
	int rc = 0;

	for (int i = 0; i < count && rc == 0; i++) {
		rc = number_recv(numbers, &n);
		received += rc == 0;
	}
	return rc;
}
LADE_TASK_VOID(receive_some, (int, count))

LADE_EXPLORE(buffered_channel, .setup = make_buffered, .invariant = conserved,
	     .teardown = free_channel)
{
	return lade_join(lade_do(send_some, 5), lade_do(receive_some, 5));
}

LADE_EXPLORE(unbuffered_channel, .setup = make_unbuffered, .invariant = conserved,
	     .teardown = free_channel)
{
	return lade_join(lade_do(send_some, 3), lade_do(receive_some, 3));
}

static int reserve_some(int count)
{
	int rc = 0;

	for (int i = 0; i < count && rc == 0; i++) {
		rc = number_reserve(numbers);
		if (rc < 0)
			break;
		rc = lade_sleep(lade_us(10)); /* between the reservation and the commit */
		if (rc < 0) {
			number_unreserve(numbers);
			break;
		}
		number_commit(numbers, i);
		sent++;
	}
	return rc;
}
LADE_TASK_VOID(reserve_some, (int, count))

LADE_EXPLORE(reserved_channel, .setup = make_buffered, .invariant = conserved,
	     .teardown = free_channel)
{
	return lade_join(lade_do(reserve_some, 4), lade_do(receive_some, 4));
}

static int select_some(int count)
{
	int rc = 0;

	for (int i = 0; i < count && rc >= 0; i++) {
		long in = -1;

		rc = lade_select(number_recv_case(numbers, &in), lade_after(lade_ms(50)));
		received += rc == 0;
	}
	return rc < 0 ? rc : 0;
}
LADE_TASK_VOID(select_some, (int, count))

LADE_EXPLORE(selected_channel, .setup = make_unbuffered, .invariant = conserved,
	     .teardown = free_channel)
{
	return lade_join(lade_do(send_some, 3), lade_do(select_some, 3));
}

/* Channels between cores, which a select serves from both. */
LADE_SHARED_CHANNEL(parcel, long)
typedef struct parcel_shared_channel *parcels_ptr;

static parcels_ptr to, from;

static int open_shared(struct lade_scope *world)
{
	int rc = parcel_shared_channel_new(1, &to);

	(void)world;
	sent = received = 0;
	return rc < 0 ? rc : parcel_shared_channel_new(1, &from);
}

static void free_shared(void)
{
	to = parcel_shared_channel_free(to);
	from = parcel_shared_channel_free(from);
}

static int shared_conserved(void)
{
	long n;

	while (parcel_shared_try_recv(to, &n) == 0 || parcel_shared_try_recv(from, &n) == 0)
		received++;
	return sent == received ? 0 : -EBADMSG;
}

/* Receives or sends, as can be done, so many times in all. */
static int pass_on(parcels_ptr in, parcels_ptr out, int count)
{
	int rc = 0;

	for (long i = 0; i < count && rc >= 0; i++) {
		long n;

		rc = lade_select(parcel_shared_recv_case(in, &n), parcel_shared_send_case(out, &i),
				 lade_after(lade_ms(50)));
		received += rc == 0;
		sent += rc == 1;
	}
	return rc < 0 ? rc : 0;
}
LADE_TASK_VOID(pass_on, (parcels_ptr, in), (parcels_ptr, out), (int, count))

LADE_EXPLORE(selected_shared_channels, .setup = open_shared, .invariant = shared_conserved,
	     .teardown = free_shared)
{
	return lade_join(lade_do(pass_on, from, to, 4), lade_on(1, lade_do(pass_on, to, from, 4)),
			 lade_do(pass_on, to, from, 2));
}

static int send_parcels(int count)
{
	int rc = 0;

	for (int i = 0; i < count && rc == 0; i++) {
		rc = parcel_shared_reserve(to);
		if (rc < 0)
			break;
		parcel_shared_commit(to, i);
		sent++;
		rc = parcel_shared_send(to, i);
		sent += rc == 0;
	}
	return rc;
}
LADE_TASK_VOID(send_parcels, (int, count))

static int receive_parcels(int count)
{
	long two[2];
	uint32_t got = 0;
	int rc = 0;

	for (int left = count; left > 0 && rc == 0; left -= (int)got) {
		rc = parcel_shared_recv_many(to, two, left < 2 ? 1 : 2, &got);
		received += (int)got;
	}
	return rc;
}
LADE_TASK_VOID(receive_parcels, (int, count))

LADE_EXPLORE(shared_channel, .setup = open_shared, .invariant = shared_conserved,
	     .teardown = free_shared)
{
	return lade_join(lade_on(1, lade_do(send_parcels, 2)), lade_do(receive_parcels, 4));
}

/* Permits. */
static struct lade_sem permits;

static int make_permits(struct lade_scope *world)
{
	(void)world;
	lade_sem_init(&permits, 2);
	return 0;
}

static int all_permits_are_back(void)
{
	return lade_sem_try_acquire(&permits, 2);
}

static int use_a_permit(uint32_t count)
{
	int rc = lade_sem_acquire(&permits, count);

	if (rc < 0)
		return rc;
	rc = lade_sleep(lade_us(20));
	lade_sem_release(&permits, count);
	return rc;
}
LADE_TASK_VOID(use_a_permit, (uint32_t, count))

LADE_EXPLORE(semaphore, .setup = make_permits, .invariant = all_permits_are_back)
{
	return lade_join(lade_do(use_a_permit, 1), lade_do(use_a_permit, 2),
			 lade_do(use_a_permit, 1));
}

/* An event, and tasks that wait for each other. */
static struct lade_event happened;

static int make_event(struct lade_scope *world)
{
	(void)world;
	lade_event_init(&happened);
	return 0;
}

static int wait_for_it(void)
{
	return lade_event_wait(&happened);
}
LADE_TASK_VOID(wait_for_it)

static int make_it_happen(void)
{
	int rc = lade_sleep(lade_us(30));

	if (rc == 0)
		lade_event_set(&happened);
	return rc;
}
LADE_TASK_VOID(make_it_happen)

LADE_EXPLORE(event, .setup = make_event)
{
	struct wait_for_it_task first = wait_for_it_task();
	int rc = 0;

	lade_event_clear(&happened);
	lade_scope(s, &rc) {
		lade_start(&s, &first);
		rc = lade_join(lade_do(wait_for_it), lade_do(make_it_happen));
		if (rc == 0)
			rc = lade_wait(&first);
	}
	return rc;
}

/* Combinators in each other. */
static int value_after(int64_t us, long value, long *ret)
{
	int rc = lade_sleep(lade_us(us));

	if (rc < 0)
		return rc;
	*ret = value;
	return 0;
}
LADE_TASK(value_after, long, (int64_t, us), (long, value))

LADE_EXPLORE(combinators)
{
	struct value_after_task near = value_after_task(10, 1), far = value_after_task(20, 2);
	struct lade_race_ok_task first = lade_race_ok_task(&near, &far);
	long other = 0;
	int rc = lade_join(&first, lade_do(value_after, 15, 3, &other));

	if (rc < 0)
		return rc;
	if (first.winner != 0 || lade_value(&near) != 1 || other != 3)
		return -EBADMSG;
	rc = lade_race(lade_do(value_after, 5, 1, &other), lade_do(value_after, 6, 2, &other));
	return rc < 0 ? rc : 0;
}

static int sleep_a_little(void)
{
	return lade_sleep(lade_us(10));
}
LADE_TASK_VOID(sleep_a_little)

LADE_EXPLORE(spawn_at_the_limit)
{
	int rc = 0;

	lade_scope(s, &rc, .max_children = 2) {
		for (int i = 0; i < 5 && rc == 0; i++)
			rc = lade_spawn(&s, sleep_a_little_task());
	}
	return rc;
}

/* Cleanups run once; how far, their budget says. */
static int opened, cleaned;

static void clean_up(void *arg)
{
	(void)arg;
	cleaned++;
	(void)!lade_sleep(lade_us(10));
}

static int each_cleanup_once(void)
{
	return opened == cleaned ? 0 : -EBADMSG;
}

LADE_EXPLORE(cleanup, .invariant = each_cleanup_once)
{
	lade_defer(clean_up, NULL);
	opened++;
	return lade_within(lade_ms(1), lade_sleep(lade_us(50)));
}
