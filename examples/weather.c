/* SPDX-License-Identifier: MIT */
/* weather.c - a slow HTTP service: 20 to 200 ms, sometimes 503, sometimes it hangs; by seed. */
#include <lade/lade.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long seed = 1; /* of all that happens */

static int answer(int fd)
{
	char reply[128];
	unsigned long luck = (seed = seed * 6364136223846793005UL + 1442695040888963407UL) >> 33;
	size_t done = 0;
	int rc = lade_sleep(luck % 100 < 2 ? lade_s(2) : lade_ms(20 + (long)(luck / 100 % 180)));

	if (rc < 0)
		return rc;
	snprintf(reply, sizeof(reply), "HTTP/1.1 %s\r\nContent-Length: 11\r\n\r\n{\"wind\":%2lu}",
		 luck % 100 < 7 ? "503 Busy" : "200 OK", luck % 40);
	return lade_write_all(fd, reply, strlen(reply), &done);
}

static int serve_client(int fd)
{
	char head[4096] = "";
	size_t len = 0;
	int rc;

	while ((rc = lade_read(fd, head + len, sizeof(head) - 1 - len)) > 0) {
		head[len += (size_t)rc] = 0;
		if (strstr(head, "\r\n\r\n") && (rc = answer(fd), len = 0, rc) < 0)
			break;
	}
	lade_close(fd);
	return 0;
}
LADE_TASK_VOID_WITH(serve_client, (.drop_args = lade_close), (int, fd))

static int serve(const char *address)
{
	int listener, fd, rc = lade_listen(address, &listener);

	if (rc < 0)
		return rc;
	fprintf(stderr, "port %d; usage: weather [HOST:PORT [SEED]]\n", lade_local_port(listener));
	lade_scope(s, &rc)
		while ((rc = lade_accept(listener, &fd)) == 0 &&
		       (rc = lade_spawn(&s, serve_client_task(fd))) == 0)
			;
	return rc;
}
LADE_TASK_VOID(serve, (const char *, address))

int main(int argc, char **argv)
{
	seed = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
	return lade_main(lade_do(serve, argc > 1 ? argv[1] : "127.0.0.1:9464"));
}
