/* SPDX-License-Identifier: MIT */
/* taps.c - samples of what passes behind a step, for somebody who looks.
 *
 * DESIGN
 * The pipeline writes a sample into the looker's memory and goes on; a task of the looker's own
 * sends it. Who reads slowly loses samples, and is told how many; the pipeline never waits for
 * him. Without anybody who looks it costs a comparison per batch and step.
 *
 * LIMITS  4 lookers, 1 MiB of samples that wait for each, 200 samples of a batch. */

#include "services/pipeline/taps.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "services/pipeline/health.h"

#define WAITING_MAX ((size_t)1 << 20) /* bytes of samples that were not sent yet */
#define SAMPLES_MAX 200		      /* of one batch */

int lade_pipe_tap_point(const struct lade_pipe_engine *e, const char *name)
{
	if (strcmp(name, "source") == 0)
		return 0;
	for (int i = 0; i < e->n_stages; i++)
		if (strcmp(e->stages[i].config->name, name) == 0)
			return i + 1;
	return -1;
}

int lade_pipe_tap_open(struct lade_pipe_tap *tap, struct lade_pipe_engine *e)
{
	int n = 0;

	for (const struct lade_pipe_tap *t = e->taps; t; t = t->next)
		n++;
	if (n == LADE_TAPS_MAX)
		return -EBUSY;
	tap->engine = e;
	lade_json_out_init(&tap->text, WAITING_MAX);
	lade_event_init(&tap->news);
	tap->next = e->taps;
	e->taps = tap;
	return 0;
}

void lade_pipe_tap_close(struct lade_pipe_tap *tap)
{
	struct lade_pipe_tap **at = &tap->engine->taps;

	while (*at != tap)
		at = &(*at)->next;
	*at = tap->next;
	lade_json_out_done(&tap->text);
}

/* Taking samples */

/* The place and the message, or what became of it. */
static void put_sample(const struct lade_pipe_tap *tap, const struct lade_pipe_batch *b,
		       uint32_t i, struct lade_json_out *out)
{
	const struct lade_pipe_message *m = &b->messages[i];
	const struct lade_pipe_fate *fate = &b->fates[i];
	char place[LADE_PLACE_ROOM] = "";
	struct lade_json_error error;

	if (m->lane)
		lade_pipe_place(tap->engine, m->lane, m->offset, place);
	lade_pipe_put(out, "{\"place\":");
	lade_json_out_string(out, place, strlen(place));
	switch (fate->verdict) {
	case LADE_VERDICT_DROP:
		lade_pipe_put(out, ",\"dropped\":true");
		break;
	case LADE_VERDICT_REJECT:
		lade_pipe_put(out, ",\"step\":");
		lade_json_out_string(out, fate->step, strlen(fate->step));
		lade_pipe_put(out, ",\"rejected\":");
		lade_json_out_string(out, fate->reason, strlen(fate->reason));
		break;
	case LADE_VERDICT_PASS:
		lade_pipe_put(out, ",\"message\":null");
		break;
	default:
		lade_pipe_put(out, ",\"message\":");
		if (lade_pipe_message_write(m, b->shape, b->reader, out, &error) == -EBADMSG) {
			lade_pipe_put(out, "null,\"unwritten\":");
			lade_json_out_string(out, error.reason, strlen(error.reason));
		}
	}
	lade_pipe_put(out, "}\n");
}

static void take_sample(struct lade_pipe_tap *tap, const struct lade_pipe_batch *b, uint32_t i,
			struct lade_json_out *scratch)
{
	lade_json_out_reset(scratch);
	put_sample(tap, b, i, scratch);
	if (scratch->status == 0 && tap->text.len + scratch->len <= WAITING_MAX)
		lade_json_out_raw(&tap->text, scratch->data, scratch->len);
	else
		tap->lost++;
	if (tap->text.status < 0)
		lade_json_out_reset(&tap->text);
	tap->left -= tap->left != UINT64_MAX;
}

static void take_samples(struct lade_pipe_tap *tap, const struct lade_pipe_batch *b,
			 struct lade_json_out *scratch)
{
	uint32_t taken = 0;

	for (uint32_t i = 0; i < b->n && tap->left; i++) {
		if (tap->seen++ % tap->every)
			continue;
		if (taken++ < SAMPLES_MAX)
			take_sample(tap, b, i, scratch);
		else
			tap->lost++;
	}
	lade_event_set(&tap->news);
}

void lade_pipe_tap_batch(struct lade_pipe_engine *e, int point, const struct lade_pipe_batch *b)
{
	struct lade_json_out scratch;

	lade_json_out_init(&scratch, WAITING_MAX);
	for (struct lade_pipe_tap *t = e->taps; t; t = t->next)
		if (t->point == point)
			take_samples(t, b, &scratch);
	lade_json_out_done(&scratch);
}

/* Sending them */

static int send_text(struct lade_pipe_tap *tap, int fd)
{
	struct lade_json_out out = tap->text;
	size_t done = 0;
	int rc;

	/* The pipeline goes on writing while this is sent. */
	lade_json_out_init(&tap->text, WAITING_MAX);
	out.max = 2 * WAITING_MAX;
	if (tap->lost != tap->lost_said)
		lade_pipe_put(&out, "{\"lost\":%" PRIu64 "}\n", tap->lost - tap->lost_said);
	tap->lost_said = tap->lost;
	rc = lade_write_all(fd, out.data, out.len, &done);
	lade_json_out_done(&out);
	return rc;
}

int lade_pipe_tap_give(struct lade_pipe_tap *tap, int fd)
{
	int rc = 0;

	while (rc == 0 && (tap->left || tap->text.len)) {
		/* Whoever looks says nothing more: what can be read is the connection's end. */
		rc = lade_select(lade_event_case(&tap->news), lade_readable_case(fd));
		if (rc == 1)
			return -EPIPE;
		lade_event_clear(&tap->news);
		if (rc == 0)
			rc = send_text(tap, fd);
	}
	return rc;
}
