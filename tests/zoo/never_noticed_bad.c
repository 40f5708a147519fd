/* SPDX-License-Identifier: MIT */
/* never_noticed_bad.c - a wait for a foreign library that a cancel does not end.
 *
 * The library is told to forget the question, as its manual says, and so never calls back; the
 * answer to lade says that it will. Thaw #453 and klaviyo-swift-sdk #675 (a continuation that is
 * resumed by nobody; the second hung a build for hours), neon #5585.
 *
 * Found: CRASH OR HANG, without an invariant or an annotation. */

#include "camera.h"

#include <lade/explore.h>

static enum lade_abort_result forget(struct lade_op *op)
{
	(void)op;
	camera_forget();
	return LADE_PENDING;
}

static int next_frame(void)
{
	struct lade_op op = LADE_OP("a frame");

	camera_ask(on_frame, &op);
	return lade_park(&op, forget); /* named: waits for ever */
}

LADE_EXPLORE(never_noticed_bad, .setup = start_camera)
{
	return next_frame();
}
