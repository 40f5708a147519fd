/* SPDX-License-Identifier: MIT */
/* transaction.c - transactions of a producer, on the pool.
 *
 * librdkafka's calls block; the reports that some of them wait for are taken by the loop
 * meanwhile. Committing and aborting are left their whole time, as its documentation urges: cut
 * into short calls they may get out of step with the broker. */

#include "connectors/kafka/producer_priv.h"

#include <errno.h>

/* A call of a transaction. */
struct call {
	struct lade_kafka_job job;
	rd_kafka_error_t *(*fn)(struct call *);
	const char *what;
	rd_kafka_t *rk;
	rd_kafka_consumer_group_metadata_t *group; /* of offsets: taken when they were known */
	rd_kafka_topic_partition_list_t *list;
};

static rd_kafka_error_t *init(struct call *c)
{
	return rd_kafka_init_transactions(c->rk, CALL_MS);
}

static rd_kafka_error_t *commit(struct call *c)
{
	return rd_kafka_commit_transaction(c->rk, -1);
}

static rd_kafka_error_t *abort_it(struct call *c)
{
	return rd_kafka_abort_transaction(c->rk, -1);
}

static rd_kafka_error_t *send_offsets(struct call *c)
{
	return rd_kafka_send_offsets_to_transaction(c->rk, c->list, c->group, 5 * CALL_MS);
}

static int run(struct lade_kafka_job *job)
{
	struct call *c = (struct call *)(void *)job;
	rd_kafka_error_t *error = c->fn(c);
	bool again = error && rd_kafka_error_is_retriable(error) &&
		     !rd_kafka_error_txn_requires_abort(error);
	int rc = error ? lade_kafka_fail_with(job->error, error, c->what) : 0;

	return again ? 1 : rc;
}

static int call(struct lade_kafka_producer *p, struct call *c, struct lade_kafka_error *ret_error,
		const char *site)
{
	struct lade_kafka_error unused;
	int rc;

	if (lade_cancelled())
		return -ECANCELED;
	if (!p->transactional || p->busy) {
		(void)lade_kafka_fail_as(ret_error, LADE_KAFKA_OWN, 0,
					 p->busy ? "another call of the transaction is under way"
						 : "the producer has no transactional id");
		return -EINVAL;
	}
	c->job.run = run;
	c->job.error = ret_error ? ret_error : &unused;
	c->rk = p->client.rk;
	p->busy = true;
	rc = lade_kafka_run(&c->job, c->what, site);
	p->busy = false;
	/* Calls in the wrong order are the program's mistake. */
	return rc < 0 && c->job.error->code == RD_KAFKA_RESP_ERR__STATE && rc != -ECANCELED &&
			       rc != -ECONNABORTED && !p->useless
		       ? -EINVAL
		       : rc;
}

int lade_kafka_transaction_init_at(struct lade_kafka_producer *producer,
				   struct lade_kafka_error *ret_error, const char *site)
{
	struct call c = { .fn = init, .what = "beginning with transactions" };

	return call(producer, &c, ret_error, site);
}

int lade_kafka_transaction_begin(struct lade_kafka_producer *producer,
				 struct lade_kafka_error *ret_error)
{
	rd_kafka_error_t *error;
	bool state;
	int rc;

	if (!producer->transactional || producer->busy) {
		(void)lade_kafka_fail_as(ret_error, LADE_KAFKA_OWN, 0,
					 "beginning a transaction: out of order");
		return -EINVAL;
	}
	error = rd_kafka_begin_transaction(producer->client.rk);
	if (!error)
		return 0;
	state = rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR__STATE &&
		!rd_kafka_error_is_fatal(error);
	rc = lade_kafka_fail_with(ret_error, error, "beginning a transaction");
	return state ? -EINVAL : rc;
}

/* Whether the consumer is a member of its group, and what it has been given is its own. librdkafka
 * forgets a name that the group has forgotten at once, and not when somebody takes the event that
 * says so. Offsets of a transaction that name no member the broker takes from anybody. */
static bool is_member(struct lade_kafka_consumer *c)
{
	char *name = rd_kafka_memberid(c->client.rk);
	bool is = name && *name && !rd_kafka_assignment_lost(c->client.rk);

	if (name)
		rd_kafka_mem_free(NULL, name);
	return is;
}

int lade_kafka_transaction_offsets_at(struct lade_kafka_producer *producer,
				      struct lade_kafka_consumer *consumer,
				      const struct lade_kafka_position *positions, size_t n,
				      struct lade_kafka_error *ret_error, const char *site)
{
	struct call c = { .fn = send_offsets, .what = "offsets into a transaction" };
	int rc;

	if (!n)
		return 0;
	/* The group as it is now, while the partitions are known to be ours: a later generation,
	 * in which they may be another's, would be accepted. */
	c.group = rd_kafka_consumer_group_metadata(consumer->client.rk);
	if (!c.group || !is_member(consumer)) {
		if (c.group)
			rd_kafka_consumer_group_metadata_destroy(c.group);
		(void)lade_kafka_fail_as(ret_error, LADE_KAFKA_FENCED,
					 RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
					 "offsets into a transaction: the consumer is no member of"
					 " its group any more");
		return -ESTALE;
	}
	c.list = lade_kafka_list_of(positions, n);
	rc = call(producer, &c, ret_error, site);
	rd_kafka_topic_partition_list_destroy(c.list);
	if (c.group)
		rd_kafka_consumer_group_metadata_destroy(c.group);
	return rc;
}

int lade_kafka_transaction_commit_at(struct lade_kafka_producer *producer,
				     struct lade_kafka_error *ret_error, const char *site)
{
	struct call c = { .fn = commit, .what = "committing a transaction" };

	return call(producer, &c, ret_error, site);
}

int lade_kafka_transaction_abort_at(struct lade_kafka_producer *producer,
				    struct lade_kafka_error *ret_error, const char *site)
{
	struct call c = { .fn = abort_it, .what = "aborting a transaction" };

	return call(producer, &c, ret_error, site);
}
