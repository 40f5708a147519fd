/* SPDX-License-Identifier: MIT */
/* in_epoll.c - lade inside a program that has an epoll loop of its own.
 *
 * The program's timer ticks every 20 ms; its loop also watches lade's descriptor, and its time-out
 * is lade's next timer. Two tasks race meanwhile, and nobody waits for anybody. */
#include <lade/lade.h>

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int answer_after(int64_t ms, int *ret)
{
	int rc = lade_sleep(lade_ms(ms));

	if (rc == 0)
		*ret = (int)ms;
	return rc;
}
LADE_TASK(answer_after, int, (int64_t, ms))

static int ask_two(int *ret)
{
	return lade_race_ok(lade_do(answer_after, 500, ret), lade_do(answer_after, 50, ret));
}
LADE_TASK(ask_two, int)

static void watch(int ep, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
}

int main(void)
{
	struct itimerspec every = { { 0, 20000000 }, { 0, 20000000 } };
	int ep = epoll_create1(EPOLL_CLOEXEC), ticker = timerfd_create(CLOCK_MONOTONIC, 0);
	struct ask_two_task ask = ask_two_task();
	struct epoll_event event;
	struct lade_loop *loop;
	uint64_t ticks;

	if (lade_loop_new(&(struct lade_loop_config){ 0 }, &loop) < 0)
		return 1;
	timerfd_settime(ticker, 0, &every, NULL);
	watch(ep, ticker);
	watch(ep, lade_loop_fd(loop));
	lade_loop_start(loop, &ask);
	for (int next_ms; next_ms = lade_loop_turn(loop), lade_status(&ask) == -EINPROGRESS;)
		if (epoll_wait(ep, &event, 1, next_ms) == 1 && event.data.fd == ticker)
			(void)!read(ticker, &ticks, sizeof(ticks));
	printf("the quicker one answers %d\n", lade_value(&ask));
	lade_loop_free(loop);
	return 0;
}
