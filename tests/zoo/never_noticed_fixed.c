/* SPDX-License-Identifier: MIT */
/* never_noticed_fixed.c - a question that was forgotten did not happen, and the answer says so. */

#include "camera.h"

#include <lade/explore.h>

static enum lade_abort_result forget(struct lade_op *op)
{
	(void)op;
	camera_forget();
	return LADE_ABORTED;
}

static int next_frame(void)
{
	struct lade_op op = LADE_OP("a frame");

	camera_ask(on_frame, &op);
	return lade_park(&op, forget);
}

LADE_EXPLORE(never_noticed_fixed, .setup = start_camera)
{
	return next_frame();
}
