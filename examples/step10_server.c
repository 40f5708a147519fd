/* SPDX-License-Identifier: MIT */
/* step10_server.c - a TCP server: each connection is a task, Ctrl-C loses no conversation.
 *
 * It sends every line back with its number, and hangs up on who says nothing for a minute. Asked
 * to stop, it accepts nobody else and lets those who are there finish, for 30 s; a second Ctrl-C
 * does not. A connection is closed on every path: by its task, or by .drop_args if that never ran.
 *
 * The law: rule 5, soft and hard; rule 11, a descriptor that arrives is never lost.
 * Run: build/examples/step10_server 127.0.0.1:7000, then: nc 127.0.0.1 7000 */
#include <lade/lade.h>

#include <stdio.h>

static int talk(int fd)
{
	struct lade_line_stream *in = lade_lines_of(fd, 0, 1, 1000);
	struct lade_line line;
	char out[1024];
	int rc;

	while ((rc = lade_within(lade_s(60), lade_line_next(in, &line))) > 0) {
		size_t done = 0, len = (size_t)snprintf(out, sizeof(out), "%d %.*s\n",
							(int)line.number, (int)line.len, line.text);

		lade_line_drop(&line);
		rc = lade_write_all(fd, out, len, &done);
		if (rc < 0)
			break;
	}
	lade_line_stream_close(in);
	lade_close(fd);
	return rc;
}
LADE_TASK_VOID_WITH(talk, (.drop_args = lade_close), (int, fd))

static int serve(const char *address)
{
	int listener, fd, rc = lade_listen(address, &listener);

	if (rc < 0)
		return rc;
	fprintf(stderr, "listening on port %d\n", lade_local_port(listener));
	lade_scope(s, &rc, .policy = LADE_ALL) {
		while ((rc = lade_select(lade_readable_case(listener), lade_on_stopping())) == 0 &&
		       (rc = lade_accept(listener, &fd)) == 0)
			if ((rc = lade_spawn(&s, talk_task(fd))) < 0)
				break;
	}
	lade_close(listener);
	return rc;
}
LADE_TASK_VOID(serve, (const char *, address))

int main(int argc, char **argv)
{
	return lade_main(lade_do(serve, argc > 1 ? argv[1] : "127.0.0.1:7000"));
}
