/* SPDX-License-Identifier: MIT */
/* admin.c - topics and groups: small questions and changes, each a job on the pool. */

#include "connectors/kafka/kafka_priv.h"

#include "base/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ADMIN_MS 10000 /* what a call may take */
#define SLICE_MS 100   /* how often it looks whether it was cancelled */

struct lade_kafka_admin {
	struct lade_kafka_client client; /* without a bell: its jobs wait themselves */
};

/* A call: what is asked, and what was answered. */
struct call {
	struct lade_kafka_job job;
	rd_kafka_t *rk;
	int (*fn)(struct call *);
	const char *name; /* a topic, or a group */
	int32_t partitions, replicas;
	int64_t offset;
	const struct lade_kafka_setting *settings;
	size_t n_settings;
	const struct lade_kafka_offset *set; /* offsets to set */
	size_t n;
	struct lade_kafka_offset *got; /* offsets that were asked for */
	size_t n_got;
	struct lade_kafka_topic topic;
	struct lade_kafka_range range;
	struct lade_kafka_group group;
};

int lade_kafka_admin_new(const char *brokers, const struct lade_kafka_setting *settings,
			 size_t n_settings, struct lade_kafka_admin **ret,
			 struct lade_kafka_error *ret_error)
{
	struct lade_kafka_admin *a = lade_calloc(1, sizeof(*a));
	struct lade_kafka_conf conf;
	int rc;

	if (!a)
		return lade_kafka_fail_as(ret_error, LADE_KAFKA_MEMORY, 0, "memory is out");
	lade_kafka_conf_open(&conf, brokers, "lade-admin", ret_error);
	lade_kafka_conf_set_all(&conf, false, settings, n_settings);
	rc = lade_kafka_conf_make(&conf, RD_KAFKA_PRODUCER, &a->client.rk);
	if (rc < 0)
		lade_free(a);
	else
		*ret = a;
	return rc;
}

struct lade_kafka_admin *lade_kafka_admin_free_at(struct lade_kafka_admin *admin, const char *site)
{
	if (!admin)
		return NULL;
	lade_kafka_client_done(&admin->client, site);
	lade_free(admin);
	return NULL;
}

/* The -errno of an answer. */
static int failure(struct call *c, rd_kafka_resp_err_t code, const char *text)
{
	int rc = lade_kafka_fail(c->job.error, (int)code, "%.100s: %.200s", c->name,
				 text ? text : rd_kafka_err2str(code));

	switch (code) {
	case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS:
		return -EEXIST;
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
		return -ENOENT;
	case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
		return -EINVAL;
	default:
		return rc;
	}
}

/* Where the answer comes, and how long it may take. */
struct request {
	rd_kafka_queue_t *queue;
	rd_kafka_AdminOptions_t *options;
};

static int wait_for(struct call *c, rd_kafka_queue_t *queue, rd_kafka_event_t **ret)
{
	rd_kafka_resp_err_t code;
	int rc;

	*ret = NULL;
	for (int ms = 0; !*ret && ms < ADMIN_MS + 1000; ms += SLICE_MS) {
		if (atomic_load(&c->job.stopped))
			return -ECANCELED;
		*ret = rd_kafka_queue_poll(queue, SLICE_MS);
	}
	if (!*ret)
		return failure(c, RD_KAFKA_RESP_ERR__TIMED_OUT, NULL);
	code = rd_kafka_event_error(*ret);
	if (!code)
		return 0;
	rc = failure(c, code, rd_kafka_event_error_string(*ret));
	rd_kafka_event_destroy(*ret);
	*ret = NULL;
	return rc;
}

static struct request request_begin(struct call *c, rd_kafka_admin_op_t op)
{
	struct request r = { rd_kafka_queue_new(c->rk), rd_kafka_AdminOptions_new(c->rk, op) };
	char text[8];

	rd_kafka_AdminOptions_set_request_timeout(r.options, ADMIN_MS, text, sizeof(text));
	if (op == RD_KAFKA_ADMIN_OP_CREATETOPICS || op == RD_KAFKA_ADMIN_OP_DELETETOPICS ||
	    op == RD_KAFKA_ADMIN_OP_CREATEPARTITIONS || op == RD_KAFKA_ADMIN_OP_DELETERECORDS)
		rd_kafka_AdminOptions_set_operation_timeout(r.options, ADMIN_MS / 2, text,
							    sizeof(text));
	return r;
}

/* Waits for the answer, which @read looks at. */
static int request_end(struct call *c, struct request r,
		       int (*read)(struct call *, rd_kafka_event_t *))
{
	rd_kafka_event_t *event;
	int rc = wait_for(c, r.queue, &event);

	if (rc == 0) {
		rc = read(c, event);
		rd_kafka_event_destroy(event);
	}
	rd_kafka_queue_destroy(r.queue);
	rd_kafka_AdminOptions_destroy(r.options);
	return rc;
}

/* The fate of the one topic that was named. */
static int result_of_topic(struct call *c, const rd_kafka_topic_result_t **results, size_t n)
{
	rd_kafka_resp_err_t code = n ? rd_kafka_topic_result_error(results[0]) : 0;

	return code ? failure(c, code, rd_kafka_topic_result_error_string(results[0])) : 0;
}

/* A coordinator of groups that has just come to be, or moves to another broker. */
static bool has_no_coordinator(int rc, const struct lade_kafka_error *error)
{
	return rc == -EAGAIN && (error->code == RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS ||
				 error->code == RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE ||
				 error->code == RD_KAFKA_RESP_ERR_NOT_COORDINATOR);
}

static int run(struct lade_kafka_job *job)
{
	const struct timespec slice = { 0, SLICE_MS * 1000000L };
	struct call *c = (struct call *)(void *)job;
	int rc = c->fn(c);

	for (int ms = 0; has_no_coordinator(rc, job->error) && ms < ADMIN_MS; ms += SLICE_MS) {
		nanosleep(&slice, NULL);
		rc = atomic_load(&job->stopped) ? -ECANCELED : c->fn(c);
	}
	return rc;
}

static int call(struct lade_kafka_admin *admin, struct call *c, struct lade_kafka_error *ret_error,
		const char *what, const char *site)
{
	struct lade_kafka_error unused;

	c->job.run = run;
	c->job.error = ret_error ? ret_error : &unused;
	c->rk = admin->client.rk;
	return lade_kafka_run(&c->job, what, site);
}

/* Topics */

static int look_up(struct call *c)
{
	rd_kafka_topic_t *topic = rd_kafka_topic_new(c->rk, c->name, NULL);
	const struct rd_kafka_metadata *found = NULL;
	rd_kafka_resp_err_t code;
	int rc = 0;
	char *cluster;

	if (!topic)
		return failure(c, rd_kafka_last_error(), NULL);
	/* Asking for all topics makes none, where the broker would make the one that is named. */
	code = rd_kafka_metadata(c->rk, 1, topic, &found, ADMIN_MS);
	rd_kafka_topic_destroy(topic);
	if (code)
		return failure(c, code, NULL);
	c->topic = (struct lade_kafka_topic){ .partitions = -1 };
	for (int i = 0; i < found->topic_cnt; i++) {
		if (strcmp(found->topics[i].topic, c->name) != 0 || found->topics[i].err)
			continue;
		c->topic.partitions = found->topics[i].partition_cnt;
	}
	rd_kafka_metadata_destroy(found);
	if (c->topic.partitions <= 0)
		return failure(c, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, NULL);
	cluster = rd_kafka_clusterid(c->rk, ADMIN_MS);
	if (cluster)
		snprintf(c->topic.cluster, sizeof(c->topic.cluster), "%s", cluster);
	else
		rc = failure(c, RD_KAFKA_RESP_ERR__TIMED_OUT, "the cluster's id");
	if (cluster)
		rd_kafka_mem_free(c->rk, cluster);
	return rc;
}

int lade_kafka_topic_get_at(struct lade_kafka_admin *admin, const char *name,
			    struct lade_kafka_topic *ret, struct lade_kafka_error *ret_error,
			    const char *site)
{
	struct call c = { .fn = look_up, .name = name };
	int rc = call(admin, &c, ret_error, "what a topic is", site);

	if (rc == 0)
		*ret = c.topic;
	return rc;
}

static int created(struct call *c, rd_kafka_event_t *event)
{
	size_t n;
	const rd_kafka_topic_result_t **results = rd_kafka_CreateTopics_result_topics(
		rd_kafka_event_CreateTopics_result(event), &n);

	return result_of_topic(c, results, n);
}

static int create(struct call *c)
{
	char text[256] = "";
	rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(c->name, c->partitions, c->replicas,
							   text, sizeof(text));
	struct request r;
	int rc;

	if (!topic)
		return failure(c, RD_KAFKA_RESP_ERR__INVALID_ARG, text);
	for (size_t i = 0; i < c->n_settings; i++)
		rd_kafka_NewTopic_set_config(topic, c->settings[i].name, c->settings[i].value);
	r = request_begin(c, RD_KAFKA_ADMIN_OP_CREATETOPICS);
	rd_kafka_CreateTopics(c->rk, &topic, 1, r.options, r.queue);
	rc = request_end(c, r, created);
	rd_kafka_NewTopic_destroy(topic);
	return rc;
}

int lade_kafka_topic_create_at(struct lade_kafka_admin *admin, const char *name,
			       int32_t partitions, int32_t replicas,
			       const struct lade_kafka_setting *settings, size_t n_settings,
			       struct lade_kafka_error *ret_error, const char *site)
{
	struct call c = { .fn = create,
			  .name = name,
			  .partitions = partitions,
			  .replicas = replicas,
			  .settings = settings,
			  .n_settings = n_settings };

	return call(admin, &c, ret_error, "a topic to be made", site);
}

static int grown(struct call *c, rd_kafka_event_t *event)
{
	size_t n;
	const rd_kafka_topic_result_t **results = rd_kafka_CreatePartitions_result_topics(
		rd_kafka_event_CreatePartitions_result(event), &n);

	return result_of_topic(c, results, n);
}

static int grow(struct call *c)
{
	char text[256] = "";
	rd_kafka_NewPartitions_t *more = rd_kafka_NewPartitions_new(
		c->name, (size_t)c->partitions, text, sizeof(text));
	struct request r;
	int rc;

	if (!more)
		return failure(c, RD_KAFKA_RESP_ERR_INVALID_PARTITIONS, text);
	r = request_begin(c, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS);
	rd_kafka_CreatePartitions(c->rk, &more, 1, r.options, r.queue);
	rc = request_end(c, r, grown);
	rd_kafka_NewPartitions_destroy(more);
	return rc;
}

int lade_kafka_topic_grow_at(struct lade_kafka_admin *admin, const char *name, int32_t partitions,
			     struct lade_kafka_error *ret_error, const char *site)
{
	struct call c = { .fn = grow, .name = name, .partitions = partitions };

	return call(admin, &c, ret_error, "a topic to grow", site);
}

static int deleted(struct call *c, rd_kafka_event_t *event)
{
	size_t n;
	const rd_kafka_topic_result_t **results = rd_kafka_DeleteTopics_result_topics(
		rd_kafka_event_DeleteTopics_result(event), &n);

	return result_of_topic(c, results, n);
}

static int delete_topic(struct call *c)
{
	rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(c->name);
	struct request r = request_begin(c, RD_KAFKA_ADMIN_OP_DELETETOPICS);
	int rc;

	rd_kafka_DeleteTopics(c->rk, &topic, 1, r.options, r.queue);
	rc = request_end(c, r, deleted);
	rd_kafka_DeleteTopic_destroy(topic);
	return rc;
}

int lade_kafka_topic_delete_at(struct lade_kafka_admin *admin, const char *name,
			       struct lade_kafka_error *ret_error, const char *site)
{
	struct call c = { .fn = delete_topic, .name = name };

	return call(admin, &c, ret_error, "a topic to be deleted", site);
}

/* The first failure of a list of partitions. */
static int result_of_list(struct call *c, const rd_kafka_topic_partition_list_t *list)
{
	for (int i = 0; list && i < list->cnt; i++)
		if (list->elems[i].err)
			return failure(c, list->elems[i].err, NULL);
	return 0;
}

static int trimmed(struct call *c, rd_kafka_event_t *event)
{
	return result_of_list(c, rd_kafka_DeleteRecords_result_offsets(
					 rd_kafka_event_DeleteRecords_result(event)));
}

static int trim(struct call *c)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	struct request r = request_begin(c, RD_KAFKA_ADMIN_OP_DELETERECORDS);
	rd_kafka_DeleteRecords_t *what;
	int rc;

	rd_kafka_topic_partition_list_add(list, c->name, c->partitions)->offset = c->offset;
	what = rd_kafka_DeleteRecords_new(list);
	rd_kafka_DeleteRecords(c->rk, &what, 1, r.options, r.queue);
	rc = request_end(c, r, trimmed);
	rd_kafka_DeleteRecords_destroy(what);
	rd_kafka_topic_partition_list_destroy(list);
	return rc;
}

int lade_kafka_topic_trim_at(struct lade_kafka_admin *admin, const char *name, int32_t partition,
			     int64_t offset, struct lade_kafka_error *ret_error, const char *site)
{
	struct call c = { .fn = trim, .name = name, .partitions = partition, .offset = offset };

	return call(admin, &c, ret_error, "messages to be deleted", site);
}

static int ask_range(struct call *c)
{
	rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
		c->rk, c->name, c->partitions, &c->range.low, &c->range.high, ADMIN_MS);

	return code ? failure(c, code, NULL) : 0;
}

int lade_kafka_topic_range_at(struct lade_kafka_admin *admin, const char *name, int32_t partition,
			      struct lade_kafka_range *ret, struct lade_kafka_error *ret_error,
			      const char *site)
{
	struct call c = { .fn = ask_range, .name = name, .partitions = partition };
	int rc = call(admin, &c, ret_error, "what there is of a partition", site);

	if (rc == 0)
		*ret = c.range;
	return rc;
}

static int ask_since(struct call *c)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_t *at =
		rd_kafka_topic_partition_list_add(list, c->name, c->partitions);
	rd_kafka_resp_err_t code;
	int64_t low;
	int rc;

	at->offset = c->offset;
	code = rd_kafka_offsets_for_times(c->rk, list, ADMIN_MS);
	code = code ? code : at->err;
	c->offset = at->offset;
	/* Behind the last message the answer is "the end", which has a number, too. */
	if (!code && c->offset < 0)
		code = rd_kafka_query_watermark_offsets(c->rk, c->name, c->partitions, &low,
							&c->offset, ADMIN_MS);
	rc = code ? failure(c, code, NULL) : 0;
	rd_kafka_topic_partition_list_destroy(list);
	return rc;
}

int lade_kafka_topic_since_at(struct lade_kafka_admin *admin, const char *name, int32_t partition,
			      int64_t timestamp_ms, int64_t *ret_offset,
			      struct lade_kafka_error *ret_error, const char *site)
{
	struct call c = { .fn = ask_since,
			  .name = name,
			  .partitions = partition,
			  .offset = timestamp_ms };
	int rc = call(admin, &c, ret_error, "where a time is in a partition", site);

	if (rc == 0)
		*ret_offset = c.offset;
	return rc;
}

/* Groups */

static int by_place(const void *left, const void *right)
{
	const struct lade_kafka_offset *a = left, *b = right;
	int order = strcmp(a->topic, b->topic);

	return order ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

/* Keeps the offsets of an answer, in order. */
static int keep_offsets(struct call *c, const rd_kafka_topic_partition_list_t *list)
{
	c->got = lade_calloc((size_t)list->cnt + 1, sizeof(*c->got));
	if (!c->got)
		return lade_kafka_fail_as(c->job.error, LADE_KAFKA_MEMORY, 0, "memory is out");
	for (int i = 0; i < list->cnt; i++) {
		struct lade_kafka_offset *to = &c->got[c->n_got];

		if (list->elems[i].offset < 0)
			continue;
		snprintf(to->topic, sizeof(to->topic), "%s", list->elems[i].topic);
		to->partition = list->elems[i].partition;
		to->offset = list->elems[i].offset;
		c->n_got++;
	}
	qsort(c->got, c->n_got, sizeof(*c->got), by_place);
	return 0;
}

/* The one group of an answer: its error, or its partitions. */
static int result_of_group(struct call *c, const rd_kafka_group_result_t **groups, size_t n,
			   const rd_kafka_topic_partition_list_t **ret)
{
	const rd_kafka_error_t *error = n ? rd_kafka_group_result_error(groups[0]) : NULL;

	if (error)
		return failure(c, rd_kafka_error_code(error), rd_kafka_error_string(error));
	*ret = n ? rd_kafka_group_result_partitions(groups[0]) : NULL;
	return *ret ? result_of_list(c, *ret) : 0;
}

static int got_offsets(struct call *c, rd_kafka_event_t *event)
{
	const rd_kafka_topic_partition_list_t *list = NULL;
	size_t n;
	const rd_kafka_group_result_t **groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
		rd_kafka_event_ListConsumerGroupOffsets_result(event), &n);
	int rc = result_of_group(c, groups, n, &list);

	return rc == 0 && list ? keep_offsets(c, list) : rc;
}

static int group_offsets(struct call *c)
{
	rd_kafka_ListConsumerGroupOffsets_t *what =
		rd_kafka_ListConsumerGroupOffsets_new(c->name, NULL);
	struct request r = request_begin(c, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS);
	int rc;

	rd_kafka_ListConsumerGroupOffsets(c->rk, &what, 1, r.options, r.queue);
	rc = request_end(c, r, got_offsets);
	rd_kafka_ListConsumerGroupOffsets_destroy(what);
	return rc;
}

int lade_kafka_group_offsets_at(struct lade_kafka_admin *admin, const char *group,
				struct lade_kafka_offset **ret, size_t *ret_n,
				struct lade_kafka_error *ret_error, const char *site)
{
	struct call c = { .fn = group_offsets, .name = group };
	int rc = call(admin, &c, ret_error, "the offsets of a group", site);

	if (rc < 0) {
		lade_free(c.got);
		return rc;
	}
	*ret = c.got;
	*ret_n = c.n_got;
	return 0;
}

void lade_kafka_offsets_free(struct lade_kafka_offset *offsets)
{
	lade_free(offsets);
}

/* The broker's word for a group that is at work. */
static bool has_members(int code)
{
	return code == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID ||
	       code == RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS ||
	       code == RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP ||
	       code == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION;
}

static int have_set_offsets(struct call *c, rd_kafka_event_t *event)
{
	const rd_kafka_topic_partition_list_t *unused;
	size_t n;
	const rd_kafka_group_result_t **groups = rd_kafka_AlterConsumerGroupOffsets_result_groups(
		rd_kafka_event_AlterConsumerGroupOffsets_result(event), &n);

	return result_of_group(c, groups, n, &unused);
}

static int set_offsets(struct call *c)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)c->n);
	struct request r = request_begin(c, RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS);
	rd_kafka_AlterConsumerGroupOffsets_t *what;
	int rc;

	for (size_t i = 0; i < c->n; i++)
		rd_kafka_topic_partition_list_add(list, c->set[i].topic, c->set[i].partition)
			->offset = c->set[i].offset;
	what = rd_kafka_AlterConsumerGroupOffsets_new(c->name, list);
	rd_kafka_AlterConsumerGroupOffsets(c->rk, &what, 1, r.options, r.queue);
	rc = request_end(c, r, have_set_offsets);
	rd_kafka_AlterConsumerGroupOffsets_destroy(what);
	rd_kafka_topic_partition_list_destroy(list);
	return rc < 0 && rc != -ECANCELED && has_members(c->job.error->code) ? -EBUSY : rc;
}

int lade_kafka_group_set_offsets_at(struct lade_kafka_admin *admin, const char *group,
				    const struct lade_kafka_offset *offsets, size_t n,
				    struct lade_kafka_error *ret_error, const char *site)
{
	struct call c = { .fn = set_offsets, .name = group, .set = offsets, .n = n };

	return n ? call(admin, &c, ret_error, "the offsets of a group", site) : 0;
}

static int by_owned(const void *left, const void *right)
{
	const struct lade_kafka_owner *a = left, *b = right;
	int order = strcmp(a->topic, b->topic);

	return order ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

static const rd_kafka_topic_partition_list_t *
partitions_of(const rd_kafka_ConsumerGroupDescription_t *group, size_t i)
{
	const rd_kafka_MemberDescription_t *member =
		rd_kafka_ConsumerGroupDescription_member(group, i);
	const rd_kafka_MemberAssignment_t *assignment =
		member ? rd_kafka_MemberDescription_assignment(member) : NULL;

	return assignment ? rd_kafka_MemberAssignment_partitions(assignment) : NULL;
}

static void add_owned(struct lade_kafka_group *to, const rd_kafka_MemberDescription_t *member,
		      const rd_kafka_topic_partition_list_t *list)
{
	for (int k = 0; list && k < list->cnt; k++) {
		struct lade_kafka_owner *o = &to->owned[to->n_owned++];
		const char *client = rd_kafka_MemberDescription_client_id(member);
		const char *host = rd_kafka_MemberDescription_host(member);

		snprintf(o->topic, sizeof(o->topic), "%s", list->elems[k].topic);
		o->partition = list->elems[k].partition;
		snprintf(o->client, sizeof(o->client), "%s", client ? client : "");
		snprintf(o->host, sizeof(o->host), "%s", host ? host + (*host == '/') : "");
	}
}

static int described(struct call *c, rd_kafka_event_t *event)
{
	size_t n, room = 1;
	const rd_kafka_ConsumerGroupDescription_t **groups =
		rd_kafka_DescribeConsumerGroups_result_groups(
			rd_kafka_event_DescribeConsumerGroups_result(event), &n);
	const rd_kafka_error_t *error =
		n ? rd_kafka_ConsumerGroupDescription_error(groups[0]) : NULL;
	struct lade_kafka_group *to = &c->group;

	if (error && rd_kafka_error_code(error))
		return failure(c, rd_kafka_error_code(error), rd_kafka_error_string(error));
	snprintf(to->state, sizeof(to->state), "%s", n
		 ? rd_kafka_consumer_group_state_name(
			   rd_kafka_ConsumerGroupDescription_state(groups[0]))
		 : "Dead");
	to->members = n ? rd_kafka_ConsumerGroupDescription_member_count(groups[0]) : 0;
	for (size_t i = 0; i < to->members; i++) {
		const rd_kafka_topic_partition_list_t *list = partitions_of(groups[0], i);

		room += list ? (size_t)list->cnt : 0;
	}
	to->owned = lade_calloc(room, sizeof(*to->owned));
	if (!to->owned)
		return lade_kafka_fail_as(c->job.error, LADE_KAFKA_MEMORY, 0, "memory is out");
	for (size_t i = 0; i < to->members; i++)
		add_owned(to, rd_kafka_ConsumerGroupDescription_member(groups[0], i),
			  partitions_of(groups[0], i));
	qsort(to->owned, to->n_owned, sizeof(*to->owned), by_owned);
	return 0;
}

static int describe_group(struct call *c)
{
	struct request r = request_begin(c, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);

	rd_kafka_DescribeConsumerGroups(c->rk, &c->name, 1, r.options, r.queue);
	return request_end(c, r, described);
}

int lade_kafka_group_get_at(struct lade_kafka_admin *admin, const char *group,
			    struct lade_kafka_group *ret, struct lade_kafka_error *ret_error,
			    const char *site)
{
	struct call c = { .fn = describe_group, .name = group };
	int rc = call(admin, &c, ret_error, "what a group is", site);

	if (rc == 0)
		*ret = c.group;
	else
		lade_free(c.group.owned);
	return rc;
}

void lade_kafka_group_done(struct lade_kafka_group *group)
{
	lade_free(group->owned);
	*group = (struct lade_kafka_group){ 0 };
}
