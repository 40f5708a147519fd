/* SPDX-License-Identifier: MIT */
/* remember_test.c - deadlines fall everywhere between a reply and its answer; none is lost. */

int remember_main(void);
#define main remember_main
#include "examples/remember.c"
#undef main

#include "backend.h"

#include <lade/join.h>

#include <errno.h>

#define WAVE 200 /* requests at once */
#define WAVES 20
#define WAVES_TCP 10

static int timed_out; /* requests whose deadline came first */

/* A reply that comes in pieces: deadlines fall between any two of them, and onto them. */
static int in_pieces(void *paid, const struct line *city, struct line *ret)
{
	int rc = lade_sleep(lade_ms(40));

	for (int i = 0; rc == 0 && i < 20; i++)
		rc = lade_sleep(lade_us(10));
	*(int *)paid += rc == 0;
	*ret = *city;
	return rc;
}

static struct line name_of(int number)
{
	struct line name = { "" };

	snprintf(name.text, sizeof(name.text), "city %d", number);
	return name;
}

/* A request whose deadline is anything. */
static int request(struct reply_cache *cache, int number, struct lade_duration deadline)
{
	struct line reply, name = name_of(number);
	int rc = lade_within(deadline, reply_cache_get(cache, name, &reply));

	CHECK(rc == 0 || rc == -ETIME);
	timed_out += rc == -ETIME;
	return 0;
}
LADE_TASK_VOID(request, (struct reply_cache *, cache), (int, number),
	       (struct lade_duration, deadline))

/* One wave of requests with deadlines @step apart, from @from on. */
static int wave(struct reply_cache *cache, int first, struct lade_duration from,
		struct lade_duration step)
{
	int rc = 0;

	lade_scope(s, &rc) {
		for (int i = 0; rc == 0 && i < WAVE; i++)
			rc = lade_spawn(&s, request_task(cache, first + i,
							 lade_ns(from.ns + i * step.ns)));
	}
	return rc;
}

/* What is asked for again is all there: nothing is paid for twice. */
static void check_all(struct reply_cache *cache, int count, const int *paid)
{
	struct lade_cache_stats stats = lade_cache_stats(reply_cache_raw(cache));
	int before = *paid;
	struct line reply;

	CHECK_EQ(stats.entries, *paid);
	CHECK_EQ(stats.loads, *paid);
	CHECK_EQ(stats.late, 0);
	for (int i = 0; i < count; i++) {
		struct line name = name_of(i);

		CHECK_EQ(remember(cache, &name, &reply), 0);
		CHECK(strstr(reply.text, name.text));
	}
	CHECK_EQ(*paid, before);
	CHECK_EQ(lade_cache_stats(reply_cache_raw(cache)).hits, stats.hits + (unsigned)count);
}

static void virtual_body(void)
{
	struct reply_cache *cache = NULL;
	int rc = 0, paid = 0, waves = WAVES;

	timed_out = 0;
	lade_scope(s, &rc) {
		rc = reply_cache_new(&s, in_pieces, &paid, &(struct lade_cache_config){ 0 },
				     &cache);
		/* 39.9 to 40.3 ms in steps of 2 us, each wave half a microsecond on. */
		for (int i = 0; rc == 0 && i < waves; i++)
			rc = wave(cache, i * WAVE, lade_ns(39900000 + i * 500), lade_us(2));
		if (rc == 0)
			rc = lade_sleep(lade_ms(100));
		CHECK_EQ(paid, waves * WAVE);
		CHECK(timed_out > waves * WAVE / 2 && timed_out < waves * WAVE);
		check_all(cache, waves * WAVE, &paid);
	}
	CHECK_EQ(rc, 0);
	reply_cache_close(cache, false);
}

static void every_reply_is_stored_wherever_the_deadline_falls(void)
{
	run_on("virtual", virtual_body);
}

static void tcp_body(void)
{
	struct reply_cache *cache = NULL;
	struct serve_lines_task service;
	struct line address;
	int rc, fd, paid = 0, waves = WAVES_TCP;

	rc = listen_here(&address, &fd);
	CHECK_EQ(rc, 0);
	lade_scope(s, &rc) {
		rc = reply_cache_new(&s, exchange, &address, &(struct lade_cache_config){ 0 },
				     &cache);
		service = serve_lines_task(fd, forecast, &paid);
		lade_start_daemon(&s, &service);
		/* From before the reply is sent to well after it has come. */
		for (int i = 0; rc == 0 && i < waves; i++)
			rc = wave(cache, i * WAVE, lade_us(48000 + 10 * i), lade_us(150));
		if (rc == 0)
			rc = lade_sleep(lade_ms(500));
		CHECK_EQ(paid, waves * WAVE);
		check_all(cache, waves * WAVE, &paid);
	}
	CHECK_EQ(rc, 0);
	reply_cache_close(cache, false);
	lade_close(fd);
}

static void every_reply_that_came_over_tcp_is_stored_wherever_the_deadline_falls(void)
{
	run_on(NULL, tcp_body);
}

int main(void)
{
	TAP(every_reply_is_stored_wherever_the_deadline_falls);
	TAP(every_reply_that_came_over_tcp_is_stored_wherever_the_deadline_falls);
	return tap_done();
}
