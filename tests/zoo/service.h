/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ZOO_SERVICE_H
#define TESTS_ZOO_SERVICE_H

/* service.h - the slow, paid service that the programs of the zoo talk to. */

#include "examples/line.h"

static struct line service_address;
static struct serve_lines_task service_task;
static int service_fd = -1;

/* Answers after 5 ms. */
static inline int slow_reply(void *arg, const struct line *line, struct line *ret)
{
	int rc = lade_sleep(lade_ms(5));

	(void)arg;
	snprintf(ret->text, sizeof(ret->text), "re: %.50s", line->text);
	return rc;
}

/* serve - a world with a service in it, which answers as @handler does. */
static inline int serve(struct lade_scope *world, line_handler *handler)
{
	int rc = listen_here(&service_address, &service_fd);

	if (rc < 0)
		return rc;
	service_task = serve_lines_task(service_fd, handler, NULL);
	lade_start_daemon(world, &service_task);
	return 0;
}

/* start_service - a world with the slow service in it. */
static inline int start_service(struct lade_scope *world)
{
	return serve(world, slow_reply);
}

/* stop_service - the end of that world. */
static inline void stop_service(void)
{
	lade_close(service_fd);
}

#endif
