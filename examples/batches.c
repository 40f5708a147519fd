/* SPDX-License-Identifier: MIT */
/* batches.c - messages in; for each timed batch a query and a call, both at once; rows out. */
#include "departures.h"

/* One query for all messages of a batch. */
static int places(struct lade_sqlite_query *query, const struct departure_batch *batch,
		  struct lade_sqlite_result *ret)
{
	struct lade_datum codes[batch->len];
	struct lade_sqlite_batch table = { .rows = (uint32_t)batch->len, .cells = codes };

	for (size_t i = 0; i < batch->len; i++)
		codes[i] = lade_datum_text(batch->items[i].to, 3);
	return lade_sqlite_query_ask(query, &table, lade_s(1).ns, ret,
				     &(struct lade_sqlite_error){ 0 });
}
LADE_TASK(places, struct lade_sqlite_result, (struct lade_sqlite_query *, query),
	  (const struct departure_batch *, batch))

/* One call to a replica. */
static int weather(struct lade_http *http, const char *url, struct line *ret)
{
	struct lade_http_reply reply;
	int rc = lade_http_fetch(http, &(struct lade_http_request){ .url = url }, &reply);

	if (rc == 0)
		snprintf(ret->text, sizeof(ret->text), "%.4s", reply.body);
	lade_http_reply_done(&reply);
	return rc;
}
LADE_TASK(weather, struct line, (struct lade_http *, http), (const char *, url))

/* All messages, in batches: a query and a race of two calls for each, everything at once. */
static int enrich(struct lade_scope *scope, struct services *all)
{
	struct lade_batch_config timed = { .max_items = 3, .linger = lade_ms(20) };
	struct departure_stream *in = departure_from_channel(all->messages);
	struct departure_batches *batches =
		departure_batch(scope, departure_prefetch(scope, in, 1000, 0), timed);
	struct departure_batch b;
	int rc;

	while ((rc = departure_batch_next(batches, &b)) > 0) {
		struct weather_task near = weather_task(all->http, all->urls[0].text);
		struct weather_task far = weather_task(all->http, all->urls[1].text);
		struct lade_race_ok_task first = lade_race_ok_task(&near, &far);

		rc = lade_join(lade_do(places, all->query, &b, &all->found), &first);
		if (rc < 0)
			break;
		print_batch(&b, &all->found, first.winner ? &lade_value(&far) : &lade_value(&near));
	}
	departure_batches_close(batches);
	return rc;
}

int main(void)
{
	return run_with_services(enrich);
}
