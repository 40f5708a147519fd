/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ZOO_CAMERA_H
#define TESTS_ZOO_CAMERA_H

/* camera.h - a foreign library with callbacks: it calls back when there is a frame, and never after
 * it was told to forget a question. */

#include <lade/lade.h>

typedef void camera_done(void *arg, int rc);

static camera_done *camera_fn; /* who asks, or NULL */
static void *camera_arg;
static struct lade_event camera_asked;

static inline void camera_ask(camera_done *fn, void *arg)
{
	camera_fn = fn;
	camera_arg = arg;
	lade_event_set(&camera_asked);
}

static inline void camera_forget(void)
{
	camera_fn = NULL;
}

static inline int camera(void)
{
	int rc;

	while ((rc = lade_event_wait(&camera_asked)) == 0) {
		lade_event_clear(&camera_asked);
		rc = lade_sleep(lade_ms(3));
		if (rc < 0)
			break;
		if (camera_fn)
			camera_fn(camera_arg, 0);
		camera_fn = NULL;
	}
	return rc;
}
LADE_TASK_VOID(camera)

static struct camera_task the_camera;

/* start_camera - a world with a camera in it. */
static inline int start_camera(struct lade_scope *world)
{
	lade_event_init(&camera_asked);
	the_camera = camera_task();
	lade_start_daemon(world, &the_camera);
	return 0;
}

static inline void on_frame(void *op, int rc)
{
	lade_complete(op, rc);
}

#endif
