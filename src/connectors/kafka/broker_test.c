/* SPDX-License-Identifier: MIT */
/* broker_test.c - what a broker must prove: groups, offsets, transactions, retention.
 *
 * LADE_TEST_KAFKA names it, "host:port"; tests/components/with.py starts one. */

#include "connectors/kafka/kafka_priv.h"

#include "brokers.h"

#include <time.h>

static struct lade_kafka_admin *admin; /* of the running test */

/* Begins a test with a topic of its own. */
static void begin_with(const struct lade_kafka_setting *settings, size_t n)
{
	static int topics;
	struct lade_kafka_error error = { .text = "" };
	int rc;

	snprintf(topic, sizeof(topic), "t%d-%lld-%d", getpid(), (long long)time(NULL), ++topics);
	NEED_EQ(lade_kafka_admin_new(brokers, NULL, 0, &admin, &error), 0);
	rc = lade_kafka_topic_create(admin, topic, PARTITIONS, 1, settings, n, &error);
	if (rc < 0)
		printf("# %s\n", error.text);
	NEED_EQ(rc, 0);
}

static void begin(void)
{
	begin_with(NULL, 0);
}

static void end(void)
{
	admin = lade_kafka_admin_free(admin);
}

ON_LOOP(a_group_goes_on_where_it_has_committed)
{
	int rc = 0;

	begin();
	write_numbers(0, 40);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);
		struct lade_kafka_position positions[PARTITIONS];
		int64_t committed[PARTITIONS];
		struct lade_kafka_partition *parts[PARTITIONS];
		struct lade_kafka_item item;

		NEED_EQ(next_of(c, LADE_KAFKA_ASSIGNED, &item), 0);
		for (size_t i = 0; i < item.n_partitions; i++) {
			parts[i] = item.partitions[i];
			CHECK_EQ(lade_kafka_partition_self(parts[i]), 0);
			positions[i] = (struct lade_kafka_position){ parts[i], 5 };
		}
		NEED_EQ(lade_kafka_assign(c, NULL), 0);
		CHECK(lade_kafka_partition_fresh(parts[0]));
		CHECK_EQ(lade_kafka_partition_start(parts[0]), 0);
		read_numbers(c, 40);
		CHECK_EQ(lade_kafka_partition_high(parts[0]), 10);
		CHECK_EQ(lade_kafka_commit(c, positions, PARTITIONS, NULL), 0);
		CHECK_EQ(lade_kafka_committed(c, parts, PARTITIONS, committed, NULL), 0);
		CHECK_EQ(committed[3], 5);
		lade_kafka_consumer_free(c);

		c = consumer(&s);
		join_group(c);
		/* 0 to 19 were five in each partition. */
		CHECK_EQ(read_numbers(c, 20), sum_to(40) - sum_to(20));
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
	end();
}


ON_LOOP(messages_that_are_finished_without_a_gap_are_committed)
{
	int rc = 0;

	begin();
	write_numbers(0, 40);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);
		struct lade_kafka_message_stream *in = lade_kafka_messages(c);
		struct lade_kafka_message kept[10];
		int n = 0;

		for (int i = 0; i < 40; i++) {
			struct lade_kafka_message m;

			NEED_EQ(lade_within(lade_s(30), lade_kafka_message_next(in, &m)), 1);
			if (lade_kafka_partition_number(m.partition) == 2)
				kept[n++] = m;
			else
				lade_kafka_message_finish(&m);
		}
		CHECK_EQ(n, 10);
		/* All but the third, the last one first. */
		for (int i = 9; i >= 0; i--) {
			if (i == 2)
				lade_kafka_message_free(&kept[i]);
			else
				lade_kafka_message_finish(&kept[i]);
		}
		lade_kafka_message_stream_close(in);
		lade_kafka_consumer_free(c);

		c = consumer(&s);
		join_group(c);
		for (int i = 2; i < 10; i++) {
			struct lade_kafka_item item;

			NEED_EQ(next_of(c, LADE_KAFKA_MESSAGE, &item), 0);
			CHECK_EQ(lade_kafka_partition_number(item.message.partition), 2);
			CHECK_EQ(item.message.offset, i);
			lade_kafka_message_free(&item.message);
		}
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
	end();
}


/* Waits until something holds, half a minute at most. */
#define UNTIL(condition)                                                                   \
	do {                                                                               \
		struct lade_instant late = lade_in(lade_s(30));                            \
		while (!(condition) && lade_now().mono_ns < late.mono_ns)                  \
			(void)!lade_sleep(lade_ms(2));                                     \
		NEED_EQ(!(condition), 0);                                                  \
	} while (0)

/* A member that reads on its own. */
struct member {
	struct lade_kafka_consumer *consumer;
	int owned;	 /* partitions */
	int revoked;	 /* events */
	int lost;	 /* events */
	int messages;
	int64_t sum;	 /* of the numbers read */
	int failed;	 /* fault of FAILED */
	int troubles;
	bool silent;	 /* does not answer REVOKED */
};

static void member_takes(struct member *m, struct lade_kafka_message *message)
{
	char text[16] = "";

	memcpy(text, message->value, message->value_len & 15);
	m->messages++;
	m->sum += atoi(text);
	lade_kafka_message_free(message);
}

static int drive(struct member *m)
{
	struct lade_kafka_item item;
	int rc = 0;

	while (rc == 0) {
		rc = lade_kafka_next(m->consumer, &item);
		if (rc < 0)
			break;
		switch (item.kind) {
		case LADE_KAFKA_MESSAGE:
			member_takes(m, &item.message);
			break;
		case LADE_KAFKA_ASSIGNED:
			m->owned += (int)item.n_partitions;
			rc = lade_kafka_assign(m->consumer, NULL);
			break;
		case LADE_KAFKA_REVOKED:
		case LADE_KAFKA_LOST:
			m->owned -= (int)item.n_partitions;
			m->revoked += item.kind == LADE_KAFKA_REVOKED;
			m->lost += item.kind == LADE_KAFKA_LOST;
			if (!m->silent)
				rc = lade_kafka_release(m->consumer);
			break;
		case LADE_KAFKA_FAILED:
			m->failed = (int)item.error->fault;
			break;
		case LADE_KAFKA_TROUBLE:
			m->troubles++;
			break;
		default:
			break;
		}
	}
	return rc;
}
LADE_TASK_VOID(drive, (struct member *, m))

/* Has a member read on until its consumer is to go. */
static void member_stops(struct member *m, struct drive_task *task)
{
	lade_cancel(task);
	(void)!lade_wait(task);
	m->consumer = lade_kafka_consumer_free(m->consumer);
}

ON_LOOP(two_members_share_the_partitions_and_one_takes_them_back)
{
	struct member a = { .owned = 0 }, b = { .owned = 0 };
	struct drive_task drive_a = drive_task(&a), drive_b = drive_task(&b);
	int rc = 0;

	begin();
	lade_scope(s, &rc, .policy = LADE_ALL) {
		a.consumer = consumer(&s);
		lade_start(&s, &drive_a);
		UNTIL(a.owned == PARTITIONS);
		b.consumer = consumer(&s);
		lade_start(&s, &drive_b);
		UNTIL(a.owned == PARTITIONS / 2 && b.owned == PARTITIONS / 2);
		CHECK_EQ(a.revoked, 1);
		write_numbers(0, 100);
		UNTIL(a.messages + b.messages == 100);
		CHECK_EQ(a.sum + b.sum, sum_to(100));
		CHECK_EQ(a.messages, 50);
		/* It says that it leaves: nobody waits out its session, which is 45 s. */
		member_stops(&b, &drive_b);
		UNTIL(a.owned == PARTITIONS);
		CHECK_EQ(a.lost, 0);
		CHECK_EQ(a.revoked, 1);
		member_stops(&a, &drive_a);
	}
	CHECK_EQ(rc, 0);
	end();
}

ON_LOOP(partitions_that_are_revoked_stay_until_the_event_is_answered)
{
	struct member a = { .silent = true }, b = { .owned = 0 };
	struct drive_task drive_a = drive_task(&a), drive_b = drive_task(&b);
	int rc = 0;

	begin();
	lade_scope(s, &rc, .policy = LADE_ALL) {
		a.consumer = consumer(&s);
		lade_start(&s, &drive_a);
		UNTIL(a.owned == PARTITIONS);
		b.consumer = consumer(&s);
		lade_start(&s, &drive_b);
		UNTIL(a.revoked == 1);
		write_numbers(0, 100);
		(void)!lade_sleep(lade_ms(200));
		CHECK_EQ(b.owned, 0);
		CHECK_EQ(lade_kafka_release(a.consumer), 0);
		UNTIL(b.owned == 2 && a.messages == 50 && b.messages == 50);
		CHECK_EQ(a.sum + b.sum, sum_to(100));
		CHECK_EQ(lade_kafka_release(a.consumer), -EINVAL);
		member_stops(&b, &drive_b);
		member_stops(&a, &drive_a);
	}
	CHECK_EQ(rc, 0);
	end();
}

static struct lade_kafka_consumer *instance(struct lade_scope *scope, const char *name)
{
	const struct lade_kafka_setting session = { "session.timeout.ms", "6000" };

	return consumer_with(scope, &(struct lade_kafka_consumer_config){ .instance = name,
									   .settings = &session,
									   .n_settings = 1 });
}

ON_LOOP(a_static_member_finds_its_partitions_again_and_nobody_else_moves)
{
	struct member a = { .owned = 0 }, b = { .owned = 0 };
	struct drive_task drive_a = drive_task(&a), drive_b = drive_task(&b);
	struct drive_task again = drive_task(&b);
	int rc = 0;

	begin();
	lade_scope(s, &rc, .policy = LADE_ALL) {
		a.consumer = instance(&s, "one");
		lade_start(&s, &drive_a);
		UNTIL(a.owned == PARTITIONS);
		b.consumer = instance(&s, "two");
		lade_start(&s, &drive_b);
		UNTIL(a.owned == 2 && b.owned == 2);
		member_stops(&b, &drive_b);
		b.owned = 0;
		b.consumer = instance(&s, "two");
		lade_start(&s, &again);
		UNTIL(b.owned == 2);
		CHECK_EQ(a.owned, 2);
		CHECK_EQ(a.revoked, 1);
		member_stops(&b, &again);
		member_stops(&a, &drive_a);
	}
	CHECK_EQ(rc, 0);
	end();
}

ON_LOOP(a_second_member_of_the_same_instance_fences_the_first)
{
	struct member a = { .owned = 0 }, b = { .owned = 0 };
	struct drive_task drive_a = drive_task(&a), drive_b = drive_task(&b);
	int rc = 0;

	begin();
	lade_scope(s, &rc, .policy = LADE_ALL) {
		a.consumer = instance(&s, "one");
		lade_start(&s, &drive_a);
		UNTIL(a.owned == PARTITIONS);
		b.consumer = instance(&s, "one");
		lade_start(&s, &drive_b);
		UNTIL(b.owned == PARTITIONS);
		UNTIL(a.failed);
		CHECK_EQ(a.failed, LADE_KAFKA_FENCED);
		UNTIL(lade_status(&drive_a) != -EINPROGRESS);
		CHECK_EQ(lade_status(&drive_a), -ESTALE);
		member_stops(&a, &drive_a);
		member_stops(&b, &drive_b);
	}
	CHECK_EQ(rc, 0);
	end();
}

ON_LOOP(what_retention_has_taken_is_a_gap)
{
	int rc = 0;

	begin();
	write_numbers(0, 400);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);
		struct lade_kafka_partition *p = NULL;
		struct lade_kafka_position position;
		struct lade_kafka_range range;
		struct lade_kafka_item item;

		NEED_EQ(next_of(c, LADE_KAFKA_ASSIGNED, &item), 0);
		for (size_t i = 0; i < item.n_partitions; i++)
			if (lade_kafka_partition_number(item.partitions[i]) == 0)
				p = item.partitions[i];
		NEED_EQ(lade_kafka_assign(c, NULL), 0);
		position = (struct lade_kafka_position){ p, 10 };
		CHECK_EQ(lade_kafka_commit(c, &position, 1, NULL), 0);
		lade_kafka_consumer_free(c);

		CHECK_EQ(lade_kafka_topic_trim(admin, topic, 0, 60, NULL), 0);
		c = consumer(&s);
		join_group(c);
		NEED_EQ(next_of(c, LADE_KAFKA_GAP, &item), 0);
		CHECK_EQ(item.offset, 10);
		p = item.partitions[0];
		NEED_EQ(lade_kafka_consumer_range(c, topic, 0, &range, NULL), 0);
		CHECK_EQ(range.low, 60);
		CHECK_EQ(range.high, 100);
		CHECK_EQ(lade_kafka_seek(p, range.low), 0);
		do {
			NEED_EQ(next_of(c, LADE_KAFKA_MESSAGE, &item), 0);
			lade_kafka_message_free(&item.message);
		} while (item.message.partition != p);
		CHECK_EQ(item.message.offset, 60);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
	end();
}

static void check_headers(const struct lade_kafka_message *m, int n)
{
	struct lade_kafka_header h;

	CHECK_EQ(lade_kafka_message_header(m, 0, &h), 0);
	CHECK_STR(h.name, "a");
	CHECK(h.value_len == 2 && memcmp(h.value, "\0x", 2) == 0);
	CHECK_EQ(lade_kafka_message_header(m, 1, &h), 0);
	CHECK(!h.value);
	CHECK_EQ(lade_kafka_message_header_find(m, "a", &h), 0);
	CHECK(h.value_len == 1 && *(const char *)h.value == (char)('0' + n));
	CHECK_EQ(lade_kafka_message_header(m, 3, &h), -ENOENT);
	CHECK_EQ(lade_kafka_message_header_find(m, "c", &h), -ENOENT);
}

static void check_compressed(struct lade_kafka_consumer *c, const char *codec)
{
	char number[] = "0";
	const struct lade_kafka_header headers[] = { { "a", "\0x", 2 },
						     { "b", NULL, 0 },
						     { "a", number, 1 } };
	struct lade_kafka_producer *p =
		producer_with(&(struct lade_kafka_producer_config){ .compression = codec });
	struct lade_kafka_record r[8];
	struct lade_kafka_item item;
	const int64_t began_ms = (int64_t)time(NULL) * 1000 - 60000; /* retention takes older */

	for (int i = 0; i < 8; i++)
		r[i] = (struct lade_kafka_record){ .topic = topic,
						   .key = "key",
						   .key_len = i & 1 ? 3 : 0,
						   .value = i & 2 ? "a value that repeats itself"
								  : NULL,
						   .value_len = i & 2 ? 27 : 0,
						   .timestamp_ms = began_ms + i,
						   .headers = headers,
						   .n_headers = 3 };
	CHECK_EQ(lade_kafka_send(p, r, 8), 0);
	for (int i = 0; i < 8; i++) {
		NEED_EQ(next_of(c, LADE_KAFKA_MESSAGE, &item), 0);
		CHECK_EQ(item.message.key_len, i & 1 ? 3 : 0);
		CHECK_EQ(item.message.value_len, i & 2 ? 27 : 0);
		CHECK_EQ(!item.message.value, !(i & 2));
		CHECK_EQ(item.message.timestamp_ms, began_ms + i);
		CHECK_EQ(item.message.offset, r[i].offset);
		check_headers(&item.message, 0);
		lade_kafka_message_free(&item.message);
	}
	lade_kafka_producer_free(p);
}

ON_LOOP(keys_headers_times_and_tombstones_survive_every_compression)
{
	static const char *const codecs[] = { "none", "gzip", "snappy", "lz4", "zstd" };
	int rc = 0;

	begin();
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);

		join_group(c);
		for (int i = 0; i < 5; i++)
			check_compressed(c, codecs[i]);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
	end();
}

ON_LOOP(an_empty_value_is_no_tombstone_and_an_empty_key_is_a_key)
{
	struct lade_kafka_record r[2] = {
		{ .topic = topic, .key = "", .value = "" },
		{ .topic = topic, .value = "v", .value_len = 1 },
	};
	struct lade_kafka_producer *p;
	int rc = 0;

	begin();
	p = producer();
	CHECK_EQ(lade_kafka_send(p, r, 2), 0);
	lade_kafka_producer_free(p);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);
		struct lade_kafka_item item;

		join_group(c);
		NEED_EQ(next_of(c, LADE_KAFKA_MESSAGE, &item), 0);
		CHECK(item.message.value && item.message.value_len == 0);
		CHECK(item.message.key && item.message.key_len == 0);
		lade_kafka_message_free(&item.message);
		NEED_EQ(next_of(c, LADE_KAFKA_MESSAGE, &item), 0);
		CHECK(!item.message.key);
		lade_kafka_message_free(&item.message);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
	end();
}

ON_LOOP(a_group_that_begins_with_the_latest_reads_what_comes_later_and_remembers_it)
{
	int rc = 0;

	begin();
	write_numbers(0, 40);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer_with(
			&s, &(struct lade_kafka_consumer_config){ .start = LADE_KAFKA_LATEST });
		struct lade_kafka_message_stream *in = lade_kafka_messages(c);
		struct lade_kafka_message m;

		/* Its start is committed before anything has come. */
		CHECK_EQ(lade_within(lade_s(3), lade_kafka_message_next(in, &m)), -ETIME);
		lade_kafka_message_stream_close(in);
		lade_kafka_consumer_free(c);
		write_numbers(40, 4);
		c = consumer_with(&s, &(struct lade_kafka_consumer_config){
					      .start = LADE_KAFKA_LATEST });
		join_group(c);
		CHECK_EQ(read_numbers(c, 4), sum_to(44) - sum_to(40));
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
	end();
}

ON_LOOP(partitions_that_are_added_and_a_topic_that_goes_are_told)
{
	const struct lade_kafka_setting often[] = {
		{ "topic.metadata.refresh.interval.ms", "200" },
		{ "topic.metadata.propagation.max.ms", "100" },
	};
	struct member a = { .owned = 0 };
	struct drive_task drive_a = drive_task(&a);
	int rc = 0;

	begin();
	lade_scope(s, &rc, .policy = LADE_ALL) {
		a.consumer = consumer_with(&s, &(struct lade_kafka_consumer_config){
						       .settings = often, .n_settings = 2 });
		lade_start(&s, &drive_a);
		UNTIL(a.owned == PARTITIONS);
		CHECK_EQ(lade_kafka_topic_grow(admin, topic, PARTITIONS + 2, NULL), 0);
		UNTIL(a.owned == PARTITIONS + 2);
		CHECK_EQ(lade_kafka_topic_delete(admin, topic, NULL), 0);
		UNTIL(a.owned == 0);
		UNTIL(a.troubles > 0);
		CHECK_EQ(lade_kafka_topic_delete(admin, topic, NULL), -ENOENT);
		member_stops(&a, &drive_a);
	}
	CHECK_EQ(rc, 0);
	end();
}

ON_LOOP(a_topic_is_made_looked_up_and_read_by_a_regular_expression)
{
	struct lade_kafka_error error = { .text = "" };
	struct lade_kafka_topic found;
	struct lade_kafka_range range;
	char pattern[80];
	int rc = 0;

	begin();
	CHECK_EQ(lade_kafka_topic_get(admin, topic, &found, &error), 0);
	CHECK_EQ(found.partitions, PARTITIONS);
	CHECK(strlen(found.cluster) > 10);
	CHECK_EQ(lade_kafka_topic_get(admin, "no-such-topic", &found, &error), -ENOENT);
	CHECK_EQ(lade_kafka_topic_create(admin, topic, 1, 1, NULL, 0, &error), -EEXIST);
	CHECK_EQ(lade_kafka_topic_grow(admin, topic, 2, &error), -EINVAL);
	/* A topic that was made a moment ago may have no leader yet. */
	UNTIL(lade_kafka_topic_range(admin, topic, 0, &range, &error) == 0);
	CHECK_EQ(range.high, 0);
	CHECK_EQ(lade_kafka_topic_range(admin, "no-such-topic", 0, &range, &error), -ENOENT);
	write_numbers(0, 40);
	lade_scope(s, &rc) {
		const char *const patterns[] = { pattern };
		struct lade_kafka_consumer_config config = { .brokers = brokers,
							     .group = topic,
							     .topics = patterns,
							     .n_topics = 1 };
		struct lade_kafka_consumer *c = NULL;

		snprintf(pattern, sizeof(pattern), "^%s$", topic);
		NEED_EQ(lade_kafka_consumer_new(&s, &config, &c, &error), 0);
		CHECK_EQ(join_group(c), PARTITIONS);
		CHECK_EQ(read_numbers(c, 40), sum_to(40));
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
	end();
}

ON_LOOP(the_offsets_of_a_group_are_set_only_while_it_has_no_members)
{
	struct lade_kafka_offset set[2] = { { .partition = 1, .offset = 7 },
					    { .partition = 0, .offset = 3 } };
	struct lade_kafka_offset *got = NULL;
	struct member a = { .owned = 0 };
	struct drive_task drive_a = drive_task(&a);
	struct lade_kafka_error error;
	size_t n = 1;
	int rc = 0;

	begin();
	write_numbers(0, 40);
	strcpy(set[0].topic, topic);
	strcpy(set[1].topic, topic);
	CHECK_EQ(lade_kafka_group_offsets(admin, topic, &got, &n, &error), 0);
	CHECK_EQ(n, 0);
	lade_kafka_offsets_free(got);
	CHECK_EQ(lade_kafka_group_set_offsets(admin, topic, set, 2, &error), 0);
	CHECK_EQ(lade_kafka_group_offsets(admin, topic, &got, &n, &error), 0);
	NEED_EQ(n, 2);
	CHECK_EQ(got[0].partition, 0);
	CHECK_EQ(got[0].offset, 3);
	CHECK_EQ(got[1].offset, 7);
	lade_kafka_offsets_free(got);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		a.consumer = consumer(&s);
		lade_start(&s, &drive_a);
		UNTIL(a.messages == 30);
		CHECK_EQ(lade_kafka_group_set_offsets(admin, topic, set, 2, &error), -EBUSY);
		member_stops(&a, &drive_a);
	}
	CHECK_EQ(lade_kafka_group_set_offsets(admin, topic, set, 2, &error), 0);
	CHECK_EQ(rc, 0);
	end();
}

ON_LOOP(a_group_says_who_has_what_and_a_time_is_found_in_a_partition)
{
	struct lade_kafka_group group = { .members = 7 };
	struct member a = { .owned = 0 };
	struct drive_task drive_a = drive_task(&a);
	struct lade_kafka_error error = { .text = "" };
	struct lade_kafka_range range;
	int64_t at = -1;
	int rc = 0;

	begin();
	write_numbers(0, 40);
	/* A group that nobody has ever been in is none, and has no members. */
	rc = lade_kafka_group_get(admin, topic, &group, &error);
	CHECK_EQ(rc, 0);
	CHECK_EQ(group.members, 0);
	lade_kafka_group_done(&group);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		a.consumer = consumer(&s);
		lade_start(&s, &drive_a);
		UNTIL(a.messages == 40);
		CHECK_EQ(lade_kafka_group_get(admin, topic, &group, &error), 0);
		CHECK_STR(group.state, "Stable");
		CHECK_EQ(group.members, 1);
		NEED_EQ(group.n_owned, PARTITIONS);
		for (int i = 0; i < PARTITIONS; i++) {
			CHECK_EQ(group.owned[i].partition, i);
			CHECK_STR(group.owned[i].topic, topic);
			CHECK(*group.owned[i].client && *group.owned[i].host != '/');
		}
		lade_kafka_group_done(&group);
		member_stops(&a, &drive_a);
	}
	CHECK_EQ(lade_kafka_topic_range(admin, topic, 1, &range, &error), 0);
	CHECK_EQ(lade_kafka_topic_since(admin, topic, 1, 0, &at, &error), 0);
	CHECK_EQ(at, range.low);
	CHECK_EQ(lade_kafka_topic_since(admin, topic, 1, INT64_C(4102444800000), &at, &error), 0);
	CHECK_EQ(at, range.high);
	CHECK(range.high > range.low);
	CHECK_EQ(lade_kafka_topic_since(admin, "no-such-topic", 0, 0, &at, &error), -ENOENT);
	CHECK_EQ(rc, 0);
	end();
}

/* Transactions */

static struct lade_kafka_producer *transactional(const char *id)
{
	return producer_with(&(struct lade_kafka_producer_config){ .transactional = id,
								   .linger_ns = 1000000 });
}

/* Sends one number in a transaction that is open. */
static int send_number(struct lade_kafka_producer *p, int number)
{
	char text[16];
	struct lade_kafka_record r = { .topic = topic,
				       .partition = number % PARTITIONS,
				       .value = text,
				       .value_len = (size_t)snprintf(text, sizeof(text), "%d",
								     number) };

	return lade_kafka_send(p, &r, 1);
}

ON_LOOP(what_is_aborted_is_not_read_and_what_is_committed_is)
{
	struct lade_kafka_producer *p;
	int rc = 0;

	begin();
	p = transactional(topic);
	CHECK_EQ(lade_kafka_transaction_begin(p, NULL), -EINVAL);
	CHECK_EQ(lade_kafka_transaction_init(p, NULL), 0);
	for (int i = 0; i < 12; i++) {
		CHECK_EQ(lade_kafka_transaction_begin(p, NULL), 0);
		CHECK_EQ(send_number(p, i), 0);
		if (i % 3 == 1)
			CHECK_EQ(lade_kafka_transaction_abort(p, NULL), 0);
		else
			CHECK_EQ(lade_kafka_transaction_commit(p, NULL), 0);
	}
	CHECK_EQ(lade_kafka_transaction_commit(p, NULL), -EINVAL);
	lade_kafka_producer_free(p);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);

		join_group(c);
		CHECK_EQ(read_numbers(c, 8), sum_to(12) - 1 - 4 - 7 - 10);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
	end();
}

ON_LOOP(a_second_producer_of_the_same_transactional_id_fences_the_first)
{
	struct lade_kafka_producer *a, *b;
	struct lade_kafka_error error = { .fault = LADE_KAFKA_NONE };
	int rc;

	begin();
	a = transactional(topic);
	CHECK_EQ(lade_kafka_transaction_init(a, NULL), 0);
	CHECK_EQ(lade_kafka_transaction_begin(a, NULL), 0);
	CHECK_EQ(send_number(a, 1), 0);
	b = transactional(topic);
	CHECK_EQ(lade_kafka_transaction_init(b, NULL), 0);
	CHECK_EQ(lade_kafka_transaction_begin(b, NULL), 0);
	CHECK_EQ(send_number(b, 2), 0);
	rc = lade_kafka_transaction_commit(a, &error);
	CHECK_EQ(rc, -ESTALE);
	CHECK_EQ(error.fault, LADE_KAFKA_FENCED);
	CHECK_EQ(send_number(a, 3), -ESTALE);
	CHECK_EQ(lade_kafka_transaction_commit(b, NULL), 0);
	lade_kafka_producer_free(a);
	lade_kafka_producer_free(b);
	rc = 0;
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);

		join_group(c);
		CHECK_EQ(read_numbers(c, 1), 2);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
	end();
}

ON_LOOP(offsets_in_a_transaction_count_when_it_is_committed)
{
	int rc = 0;

	begin();
	write_numbers(0, 40);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer(&s);
		struct lade_kafka_producer *p = transactional(topic);
		struct lade_kafka_partition *part;
		struct lade_kafka_position position;
		struct lade_kafka_item item;
		int64_t committed = 0;

		NEED_EQ(next_of(c, LADE_KAFKA_ASSIGNED, &item), 0);
		part = item.partitions[0];
		NEED_EQ(lade_kafka_assign(c, NULL), 0);
		read_numbers(c, 40);
		position = (struct lade_kafka_position){ part, 6 };
		CHECK_EQ(lade_kafka_transaction_init(p, NULL), 0);
		CHECK_EQ(lade_kafka_transaction_begin(p, NULL), 0);
		CHECK_EQ(lade_kafka_transaction_offsets(p, c, &position, 1, NULL), 0);
		CHECK_EQ(lade_kafka_transaction_abort(p, NULL), 0);
		CHECK_EQ(lade_kafka_committed(c, &part, 1, &committed, NULL), 0);
		CHECK_EQ(committed, -1);
		position.offset = 8;
		CHECK_EQ(lade_kafka_transaction_begin(p, NULL), 0);
		CHECK_EQ(send_number(p, 40), 0);
		CHECK_EQ(lade_kafka_transaction_offsets(p, c, &position, 1, NULL), 0);
		CHECK_EQ(lade_kafka_transaction_commit(p, NULL), 0);
		CHECK_EQ(lade_kafka_committed(c, &part, 1, &committed, NULL), 0);
		CHECK_EQ(committed, 8);
		lade_kafka_producer_free(p);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
	end();
}

ON_LOOP(offsets_of_a_member_that_the_group_has_expelled_are_refused)
{
	int rc = 0;

	begin();
	write_numbers(0, 40);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *a = instance(&s, "one"), *b;
		struct lade_kafka_producer *p = transactional(topic);
		struct lade_kafka_error error = { .fault = LADE_KAFKA_NONE };
		struct lade_kafka_position position;
		struct lade_kafka_item item;

		NEED_EQ(next_of(a, LADE_KAFKA_ASSIGNED, &item), 0);
		position = (struct lade_kafka_position){ item.partitions[0], 6 };
		NEED_EQ(lade_kafka_assign(a, NULL), 0);
		b = instance(&s, "one");
		join_group(b);
		CHECK_EQ(lade_kafka_commit(a, &position, 1, NULL), -ESTALE);
		CHECK_EQ(lade_kafka_transaction_init(p, NULL), 0);
		CHECK_EQ(lade_kafka_transaction_begin(p, NULL), 0);
		CHECK_EQ(lade_kafka_transaction_offsets(p, a, &position, 1, &error), -ESTALE);
		CHECK_EQ(error.fault, LADE_KAFKA_FENCED);
		CHECK_EQ(lade_kafka_transaction_abort(p, NULL), 0);
		/* The producer is as good as before. */
		CHECK_EQ(lade_kafka_transaction_begin(p, NULL), 0);
		CHECK_EQ(send_number(p, 40), 0);
		CHECK_EQ(lade_kafka_transaction_commit(p, NULL), 0);
		lade_kafka_producer_free(p);
		lade_kafka_consumer_free(a);
		lade_kafka_consumer_free(b);
	}
	CHECK_EQ(rc, 0);
	end();
}

#define WIDE 12	 /* partitions, more than are asked for at once */
#define ROWS 120000

static void hold_the_core(int64_t ns)
{
	int64_t until_ns = lade_now().mono_ns + ns;

	while (lade_now().mono_ns < until_ns)
		;
}

/* librdkafka 2.0.2 would sleep for a second beside each queue that has run empty. */
ON_LOOP(a_reader_slower_than_the_broker_is_not_left_without_messages)
{
	static char value[200];
	/* A fetch gives whole batches: small ones fill the queues to what they may hold. */
	const struct lade_kafka_setting small = { "batch.num.messages", "50" };
	struct lade_kafka_record *r = calloc(ROWS, sizeof(*r));
	struct lade_kafka_producer *p = producer_with(
		&(struct lade_kafka_producer_config){ .settings = &small, .n_settings = 1 });
	int rc = 0;

	begin();
	strcat(topic, "-wide");
	CHECK_EQ(lade_kafka_topic_create(admin, topic, WIDE, 1, NULL, 0, NULL), 0);
	for (int i = 0; i < ROWS; i++)
		r[i] = (struct lade_kafka_record){ .topic = topic,
						   .partition = i % WIDE,
						   .value = value,
						   .value_len = sizeof(value) };
	CHECK_EQ(lade_kafka_send(p, r, ROWS), 0);
	lade_kafka_producer_free(p);
	lade_scope(s, &rc) {
		struct lade_kafka_consumer *c = consumer_with(
			&s, &(struct lade_kafka_consumer_config){ .queue_bytes = 65536 });
		struct lade_instant began;

		CHECK_EQ(join_group(c), WIDE);
		began = lade_now();
		for (int i = 0; i < ROWS; i++) {
			struct lade_kafka_item item;

			NEED_EQ(next_of(c, LADE_KAFKA_MESSAGE, &item), 0);
			lade_kafka_message_free(&item.message);
			if (i % 100 == 0)
				hold_the_core(lade_ms(1).ns);
		}
		/* 24 MB by queues of 64 KiB: more than twenty such seconds. */
		CHECK(lade_now().mono_ns - began.mono_ns < lade_s(10).ns);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
	free(r);
	end();
}

ON_LOOP(a_broker_that_is_not_there_is_waited_for)
{
	int rc = 0;

	begin();
	lade_scope(s, &rc) {
		/* A port that nobody listens on. */
		struct lade_kafka_consumer *c = consumer_with(
			&s, &(struct lade_kafka_consumer_config){ .brokers = "127.0.0.1:1" });
		struct lade_kafka_range range;
		struct lade_kafka_error error;
		struct lade_kafka_item item;

		NEED_EQ(next_any(c, &item), 0);
		CHECK_EQ(item.kind, LADE_KAFKA_TROUBLE);
		CHECK_EQ(item.error->fault, LADE_KAFKA_PASSING);
		CHECK(strstr(item.error->text, "127.0.0.1:1"));
		CHECK_EQ(lade_within(lade_ms(100),
				     lade_kafka_consumer_range(c, topic, 0, &range, &error)),
			 -ETIME);
		lade_kafka_consumer_free(c);
	}
	CHECK_EQ(rc, 0);
	end();
}

int main(void)
{
	brokers = getenv("LADE_TEST_KAFKA");
	if (!brokers || !*brokers) {
		printf("1..0 # SKIP LADE_TEST_KAFKA names no broker\n");
		return 0;
	}
	TAP(a_group_goes_on_where_it_has_committed);
	TAP(messages_that_are_finished_without_a_gap_are_committed);
	TAP(two_members_share_the_partitions_and_one_takes_them_back);
	TAP(partitions_that_are_revoked_stay_until_the_event_is_answered);
	TAP(a_static_member_finds_its_partitions_again_and_nobody_else_moves);
	TAP(a_second_member_of_the_same_instance_fences_the_first);
	TAP(what_retention_has_taken_is_a_gap);
	TAP(keys_headers_times_and_tombstones_survive_every_compression);
	TAP(an_empty_value_is_no_tombstone_and_an_empty_key_is_a_key);
	TAP(a_group_that_begins_with_the_latest_reads_what_comes_later_and_remembers_it);
	TAP(partitions_that_are_added_and_a_topic_that_goes_are_told);
	TAP(a_topic_is_made_looked_up_and_read_by_a_regular_expression);
	TAP(the_offsets_of_a_group_are_set_only_while_it_has_no_members);
	TAP(a_group_says_who_has_what_and_a_time_is_found_in_a_partition);
	TAP(what_is_aborted_is_not_read_and_what_is_committed_is);
	TAP(a_second_producer_of_the_same_transactional_id_fences_the_first);
	TAP(offsets_in_a_transaction_count_when_it_is_committed);
	TAP(offsets_of_a_member_that_the_group_has_expelled_are_refused);
	TAP(a_reader_slower_than_the_broker_is_not_left_without_messages);
	TAP(a_broker_that_is_not_there_is_waited_for);
	return tap_done();
}
