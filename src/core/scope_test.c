/* SPDX-License-Identifier: MIT */
/* scope_test.c - who is waited for, who is cancelled, and what comes out of a block. */

#include "run.h"

static void slow_farewell(void *name)
{
	(void)!lade_sleep(lade_ms(10));
	write_down("%s", (const char *)name);
}

static int cleans_up(int64_t ms)
{
	lade_defer(slow_farewell, "cleaned");
	return end_after(ms, 0);
}
LADE_TASK_VOID(cleans_up, (int64_t, ms))

IN_TASK(the_close_of_a_scope_waits_for_every_child_and_its_cleanups)
{
	struct cleans_up_task a = cleans_up_task(5), b = cleans_up_task(30);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 40);
	CHECK_EQ(lade_status(&a), 0);
	CHECK_EQ(lade_status(&b), 0);
	CHECK_STR(slate, "cleaned cleaned");
}

IN_TASK(a_scope_without_children_closes_at_once)
{
	int rc = 7;

	lade_scope(s, &rc)
		CHECK(s.state == SCOPE_OPEN);
	CHECK_EQ(rc, 7);
	CHECK_EQ(now_ms(), 0);
}

IN_TASK(reaching_the_end_of_a_block_waits_without_cancelling)
{
	struct tell_after_task a = tell_after_task("a", 20, 0);
	int rc = 0;

	lade_scope(s, &rc)
		lade_start(&s, &a);
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 20);
	CHECK_STR(slate, "a:0");
}

IN_TASK(continue_ends_a_block_as_its_end_does)
{
	struct tell_after_task a = tell_after_task("a", 20, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		if (now_ms() == 0)
			continue;
		write_down("not reached");
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 20);
	CHECK_STR(slate, "a:0");
}

IN_TASK(break_cancels_the_children_and_waits_for_them)
{
	struct tell_after_task a = tell_after_task("a", 1000, 0);
	struct stubborn_task b = stubborn_task(30, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		break;
	}
	CHECK_EQ(now_ms(), 30);
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_EQ(lade_status(&b), 0);
	CHECK_STR(slate, "a:-125");
}

static int returns_early(struct tell_after_task *a, struct stubborn_task *b)
{
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, a);
		lade_start(&s, b);
		if (lade_sleep(lade_ms(10)) == 0)
			return 77;
	}
	return rc;
}

IN_TASK(return_cancels_the_children_and_waits_for_them)
{
	struct tell_after_task a = tell_after_task("a", 1000, 0);
	struct stubborn_task b = stubborn_task(30, 0);

	CHECK_EQ(returns_early(&a, &b), 77);
	CHECK_EQ(now_ms(), 30);
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_EQ(lade_status(&b), 0);
}

IN_TASK(goto_out_of_nested_scopes_cancels_and_waits_for_each_from_inside_out)
{
	struct tell_after_task a = tell_after_task("outer", 1000, 0);
	struct tell_after_task b = tell_after_task("inner", 1000, 0);
	struct stubborn_task c = stubborn_task(20, 0), d = stubborn_task(40, 0);
	int rc = 0, inner_rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &c);
		lade_scope(t, &inner_rc) {
			lade_start(&t, &b);
			lade_start(&t, &d);
			CHECK_EQ(lade_sleep(lade_ms(10)), 0);
			goto out;
		}
		write_down("not reached");
	}
	write_down("not reached");
out:
	CHECK_EQ(now_ms(), 40);
	CHECK_STR(slate, "inner:-125 outer:-125");
	CHECK_EQ(lade_status(&c), 0);
	CHECK_EQ(lade_status(&d), 0);
}

static int returns_from_the_middle(struct tell_after_task *a, struct tell_after_task *b)
{
	int rc = 0, inner_rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, a);
		lade_shield(lade_s(1)) {
			lade_scope(t, &inner_rc) {
				lade_start(&t, b);
				if (lade_sleep(lade_ms(10)) == 0)
					return 5;
			}
		}
	}
	return rc;
}

IN_TASK(return_leaves_scopes_and_shields_together)
{
	struct tell_after_task a = tell_after_task("outer", 1000, 0);
	struct tell_after_task b = tell_after_task("inner", 1000, 0);

	CHECK_EQ(returns_from_the_middle(&a, &b), 5);
	CHECK_EQ(now_ms(), 10);
	CHECK_STR(slate, "inner:-125 outer:-125");
	CHECK(!lade_stopping());
}

IN_TASK(leaving_early_with_success_is_a_success)
{
	struct end_after_task a = end_after_task(1000, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		rc = 3;
		break;
	}
	CHECK_EQ(rc, 3);
	CHECK_EQ(lade_status(&a), -ECANCELED);
}

IN_TASK(leaving_early_with_an_error_keeps_that_error)
{
	struct end_after_task a = end_after_task(1000, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		rc = -EIO;
		break;
	}
	CHECK_EQ(rc, -EIO);
	CHECK_EQ(lade_status(&a), -ECANCELED);
}

IN_TASK(a_child_that_fails_while_the_block_is_left_early_is_the_outcome)
{
	struct stubborn_task a = stubborn_task(10, -EIO);
	struct end_after_task b = end_after_task(1000, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &b);
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		break;
	}
	CHECK_EQ(rc, -EIO);
}

IN_TASK(a_body_that_leaves_early_with_an_error_is_the_first_failure)
{
	struct stubborn_task a = stubborn_task(10, -EPIPE);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		rc = -EIO;
		break;
	}
	CHECK_EQ(rc, -EIO);
	CHECK_EQ(lade_status(&a), -EPIPE);
}

static void say(void *word)
{
	write_down("%s", (const char *)word);
}

IN_TASK(what_the_block_declares_is_gone_before_its_children_are_waited_for)
{
	struct tell_after_task a = tell_after_task("child", 10, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_defer(say, "defer");
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		write_down("end");
	}
	CHECK_STR(slate, "end defer child:0");
}

static int spawn_into(struct lade_scope *outer, const char *name, int64_t ms)
{
	int rc = lade_spawn(outer, tell_after_task(name, ms, 0));

	return rc < 0 ? rc : end_after(5, 0);
}
LADE_TASK_VOID(spawn_into, (struct lade_scope *, outer), (const char *, name), (int64_t, ms))

IN_TASK(a_task_spawned_into_a_longer_lived_scope_outlives_who_spawned_it)
{
	struct spawn_into_task a = { 0 };
	int rc = 0, inner_rc = 0;

	lade_scope(s, &rc) {
		a = spawn_into_task(&s, "detached", 50);
		lade_scope(t, &inner_rc)
			lade_start(&t, &a);
		CHECK_EQ(now_ms(), 5);
		CHECK_EQ(s.live, 1);
	}
	CHECK_EQ(now_ms(), 50);
	CHECK_EQ(rc, 0);
	CHECK_STR(slate, "detached:0");
}

IN_TASK(a_task_has_one_parent_that_alone_waits_for_it)
{
	struct end_after_task a = end_after_task(30, 0), b = end_after_task(10, 0);
	int rc = 0, inner_rc = 0;

	lade_scope(s, &rc) {
		lade_scope(t, &inner_rc) {
			lade_start(&s, &a);
			lade_start(&t, &b);
			CHECK_EQ(s.live, 1);
			CHECK_EQ(t.live, 1);
			CHECK(a.head.ctl->root->outer == &s.head);
			CHECK(b.head.ctl->root->outer == &t.head);
		}
		CHECK_EQ(now_ms(), 10);
	}
	CHECK_EQ(now_ms(), 30);
}

/* The links of a chain: each starts the next in a scope that is being closed meanwhile. */
struct chain {
	struct lade_scope *scope;
	struct link_in_task *links;
	int count;
};
static int link_in(struct chain *chain, int at);
LADE_TASK_VOID(link_in, (struct chain *, chain), (int, at))

static int link_in(struct chain *chain, int at)
{
	int rc = lade_sleep(lade_ms(10));

	if (rc == 0 && at + 1 < chain->count)
		lade_start(chain->scope, &chain->links[at + 1]);
	return rc;
}

IN_TASK(a_closing_scope_waits_for_the_children_that_its_children_start)
{
	struct link_in_task links[10];
	struct chain chain = { .links = links, .count = 10 };
	int rc = 0;

	for (int i = 0; i < chain.count; i++)
		links[i] = link_in_task(&chain, i);
	lade_scope(s, &rc) {
		chain.scope = &s;
		lade_start(&s, &links[0]);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 100);
	CHECK_EQ(lade_status(&links[9]), 0);
}

static int link_from_below(struct chain *chain)
{
	struct link_in_task first = link_in_task(chain, 0);
	int rc = 0;

	lade_scope(s, &rc)
		lade_start(&s, &first);
	return rc;
}
LADE_TASK_VOID(link_from_below, (struct chain *, chain))

IN_TASK(a_grandchild_may_start_children_in_a_closing_grandparent_scope)
{
	struct link_in_task links[4];
	struct chain chain = { .links = links, .count = 4 };
	struct link_from_below_task below = link_from_below_task(&chain);
	int rc = 0;

	for (int i = 1; i < chain.count; i++)
		links[i] = link_in_task(&chain, i);
	lade_scope(s, &rc) {
		chain.scope = &s;
		lade_start(&s, &below);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 40);
	CHECK_EQ(lade_status(&links[3]), 0);
}

/* Failures */

IN_TASK(the_first_child_that_fails_cancels_its_siblings)
{
	struct tell_after_task a = tell_after_task("a", 10, -EIO);
	struct tell_after_task b = tell_after_task("b", 20, -EPIPE);
	struct tell_after_task c = tell_after_task("c", 5, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		lade_start(&s, &c);
	}
	CHECK_EQ(rc, -EIO);
	CHECK_EQ(now_ms(), 10);
	CHECK_STR(slate, "c:0 a:-5 b:-125");
}

IN_TASK(the_first_child_that_fails_cancels_the_body)
{
	struct end_after_task a = end_after_task(10, -EIO);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		rc = lade_sleep(lade_ms(1000));
		CHECK_EQ(rc, -ECANCELED);
		CHECK_EQ(lade_why().kind, LADE_REASON_SIBLING);
		CHECK_STR(lade_why().task, "end_after");
	}
	CHECK_EQ(rc, -EIO);
	CHECK_EQ(now_ms(), 10);
	CHECK_EQ(lade_yield(), 0);
}

IN_TASK(after_a_failure_all_children_are_waited_for)
{
	struct end_after_task a = end_after_task(10, -EIO);
	struct stubborn_task b = stubborn_task(50, 0);
	struct cleans_up_task c = cleans_up_task(60);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		lade_start(&s, &c);
	}
	CHECK_EQ(rc, -EIO);
	CHECK_EQ(now_ms(), 50);
	CHECK_EQ(lade_status(&b), 0);
	CHECK_EQ(lade_status(&c), -ECANCELED);
	CHECK_STR(slate, "cleaned");
}

IN_TASK(of_several_failures_the_first_is_the_outcome)
{
	struct stubborn_task a = stubborn_task(30, -EPIPE), b = stubborn_task(10, -EIO);
	struct stubborn_task c = stubborn_task(20, -ENOSPC);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		lade_start(&s, &c);
	}
	CHECK_EQ(rc, -EIO);
	CHECK_EQ(now_ms(), 30);
}

IN_TASK(a_child_that_succeeds_with_a_positive_status_has_not_failed)
{
	struct end_after_task a = end_after_task(10, 7);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		rc = lade_sleep(lade_ms(20));
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&a), 7);
	CHECK_EQ(now_ms(), 20);
}

IN_TASK(a_body_that_ends_below_0_has_failed_and_cancels_the_children)
{
	struct tell_after_task a = tell_after_task("a", 1000, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		rc = lade_sleep(lade_ms(10));
		rc = -EBADMSG;
	}
	CHECK_EQ(rc, -EBADMSG);
	CHECK_EQ(now_ms(), 10);
	CHECK_STR(slate, "a:-125");
}

IN_TASK(a_body_that_fails_after_a_child_did_is_not_the_first_failure)
{
	struct end_after_task a = end_after_task(10, -EIO);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		(void)!lade_sleep(lade_ms(1000));
		rc = -EBADMSG;
	}
	CHECK_EQ(rc, -EIO);
}

IN_TASK(under_all_a_failure_stays_with_its_task_and_cancels_nobody)
{
	struct tell_after_task a = tell_after_task("a", 10, -EIO);
	struct tell_after_task b = tell_after_task("b", 20, 0);
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		CHECK_EQ(lade_sleep(lade_ms(15)), 0);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 20);
	CHECK_EQ(lade_status(&a), -EIO);
	CHECK_STR(slate, "a:-5 b:0");
}

IN_TASK(under_all_the_outcome_is_what_the_body_says)
{
	struct tell_after_task a = tell_after_task("a", 10, 0);
	struct tell_after_task b = tell_after_task("b", 10, -EIO);
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		rc = -EBADMSG;
	}
	CHECK_EQ(rc, -EBADMSG);
	CHECK_EQ(now_ms(), 10);
	CHECK_STR(slate, "a:0 b:-5");
}

static int returns_the_value_before_the_close(struct end_after_task *failing)
{
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, failing);
		CHECK_EQ(lade_yield(), 0);
		return rc;
	}
	return -EBADMSG;
}

IN_TASK(a_return_inside_the_block_gives_the_value_from_before_the_close)
{
	struct end_after_task a = end_after_task(0, -EIO);

	CHECK_EQ(returns_the_value_before_the_close(&a), 0);
}

IN_TASK(the_options_of_a_scope_are_its_policy_its_children_and_its_cleanups)
{
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL, .max_children = 3, .cleanup = lade_ms(9)) {
		CHECK_EQ(s.policy, POLICY_ALL);
		CHECK_EQ(s.children_max, 3);
		CHECK_EQ(s.head.cleanup_ns, 9000000);
	}
	lade_scope(s, &rc) {
		CHECK_EQ(s.policy, POLICY_FAIL_FAST);
		CHECK_EQ(s.children_max, 10000);
		CHECK_EQ(s.head.cleanup_ns, 5000000000);
	}
}

IN_TASK(a_child_cancelled_by_name_has_not_failed_its_parent)
{
	struct tell_after_task a = tell_after_task("a", 1000, 0);
	struct tell_after_task b = tell_after_task("b", 20, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		lade_cancel(&a, lade_ns(0));
		CHECK_EQ(lade_sleep(lade_ms(1)), 0);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 20);
	CHECK_STR(slate, "a:-125 b:0");
}

IN_TASK(a_child_cancelled_by_name_before_its_start_has_not_failed_its_parent)
{
	struct tell_after_task a = tell_after_task("a", 1000, 0);
	struct tell_after_task b = tell_after_task("b", 20, 0);
	int rc = 0;

	lade_cancel(&a, lade_ms(3));
	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_STR(slate, "b:0");
}

IN_TASK(a_child_cancelled_by_name_that_fails_otherwise_has_failed_its_parent)
{
	struct stubborn_task a = stubborn_task(10, -EIO);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&a, lade_ns(0));
	}
	CHECK_EQ(rc, -EIO);
}

IN_TASK(a_body_that_heard_of_the_scopes_own_cancel_hides_no_failure_of_a_child)
{
	struct stubborn_task a = stubborn_task(10, -EIO);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&s, lade_ns(0));
		rc = lade_yield();
		CHECK_EQ(rc, -ECANCELED);
	}
	CHECK_EQ(rc, -EIO);
}

static int ends_later(int64_t ms)
{
	int rc = lade_sleep(lade_ms(1000));

	lade_shield(lade_s(1))
		(void)!lade_sleep(lade_ms(ms));
	return rc;
}
LADE_TASK_VOID(ends_later, (int64_t, ms))

IN_TASK(a_child_cancelled_by_name_and_from_outside_has_failed_its_parent)
{
	struct ends_later_task a = ends_later_task(10);
	int rc = 0, inner_rc = 0;

	lade_scope(s, &rc)
		lade_scope(t, &inner_rc) {
			lade_start(&t, &a);
			CHECK_EQ(lade_yield(), 0);
			lade_cancel(&a);
			lade_cancel(&s);
		}
	CHECK_EQ(inner_rc, -ECANCELED);
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 10);
}

/* A scope's own cancel */

IN_TASK(a_scope_cancelled_by_its_own_body_ends_with_0)
{
	struct tell_after_task a = tell_after_task("a", 1000, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&s, lade_ns(0));
		rc = lade_sleep(lade_ms(5));
		CHECK_EQ(rc, -ECANCELED);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 0);
	CHECK_EQ(lade_yield(), 0);
	CHECK_STR(slate, "a:-125");
}

static int cancel_later(struct lade_scope *scope, int64_t ms)
{
	int rc = lade_sleep(lade_ms(ms));

	lade_cancel(scope, lade_ns(0));
	return rc;
}
LADE_TASK_VOID(cancel_later, (struct lade_scope *, scope), (int64_t, ms))

IN_TASK(a_scope_cancelled_by_its_child_while_it_closes_ends_with_0)
{
	struct tell_after_task a = tell_after_task("a", 1000, 0);
	struct cancel_later_task b = { 0 };
	int rc = 0;

	lade_scope(s, &rc) {
		b = cancel_later_task(&s, 10);
		lade_start(&s, &a);
		lade_start(&s, &b);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 10);
	CHECK_EQ(lade_status(&b), 0);
	CHECK_STR(slate, "a:-125");
}

IN_TASK(a_failure_after_the_own_cancel_of_a_scope_is_not_lost)
{
	struct end_after_task a = end_after_task(1000, 0);
	struct stubborn_task b = stubborn_task(20, -EIO);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&s, lade_ns(0));
	}
	CHECK_EQ(rc, -EIO);
	CHECK_EQ(now_ms(), 20);
}

IN_TASK(a_body_that_succeeded_keeps_its_result_when_its_scope_was_cancelled)
{
	struct end_after_task a = end_after_task(1000, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_cancel(&s, lade_ns(0));
		rc = 7;
	}
	CHECK_EQ(rc, 7);
}

/* Daemons */

IN_TASK(a_daemon_is_cancelled_when_the_body_and_the_last_ordinary_child_have_ended)
{
	struct tell_after_task d = tell_after_task("daemon", 1000, 0);
	struct tell_after_task a = tell_after_task("a", 20, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_daemon(&s, &d);
		lade_start(&s, &a);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 20);
	CHECK_STR(slate, "a:0 daemon:-125");
}

IN_TASK(a_daemon_alone_is_cancelled_at_the_end_of_the_body_and_not_before)
{
	struct tell_after_task d = tell_after_task("daemon", 1000, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_daemon(&s, &d);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		write_down("end");
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 10);
	CHECK_STR(slate, "end daemon:-125");
}

IN_TASK(a_daemon_is_waited_for)
{
	struct cleans_up_task d = cleans_up_task(1000);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_daemon(&s, &d);
		CHECK_EQ(lade_sleep(lade_ms(5)), 0);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 15);
	CHECK_STR(slate, "cleaned");
}

IN_TASK(a_daemon_that_fails_has_failed_its_scope)
{
	struct end_after_task d = end_after_task(10, -EIO);
	struct tell_after_task a = tell_after_task("a", 20, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_daemon(&s, &d);
		lade_start(&s, &a);
	}
	CHECK_EQ(rc, -EIO);
	CHECK_STR(slate, "a:-125");
}

IN_TASK(a_daemon_that_fails_while_it_is_cancelled_has_failed_its_scope)
{
	struct stubborn_task d = stubborn_task(10, -EIO);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_daemon(&s, &d);
		CHECK_EQ(lade_yield(), 0);
	}
	CHECK_EQ(rc, -EIO);
}

IN_TASK(a_daemon_that_ends_early_ends_nobody)
{
	struct end_after_task d = end_after_task(5, 0), a = end_after_task(20, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_daemon(&s, &d);
		lade_start(&s, &a);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 20);
}

static int starts_when_cancelled(struct lade_scope *scope, struct tell_after_task *task,
				 bool daemon)
{
	int rc = lade_sleep(lade_ms(1000));

	if (daemon)
		lade_start_daemon(scope, task);
	else
		lade_start(scope, task);
	return rc;
}
LADE_TASK_VOID(starts_when_cancelled, (struct lade_scope *, scope),
	       (struct tell_after_task *, task), (bool, daemon))

/* A block with a child that is cut short, one that fails later, and a body that ends with 0. */
static int cut_and_late(enum lade_policy policy, int body_rc)
{
	struct end_after_task cut = end_after_task(1000, 0);
	struct stubborn_task late = stubborn_task(20, -EIO);
	int rc = body_rc;

	lade_scope(s, &rc, .policy = policy) {
		lade_start(&s, &cut);
		lade_start(&s, &late);
	}
	return rc;
}

IN_TASK(in_a_block_success_ranks_below_an_error_and_an_error_below_cancelled)
{
	struct end_after_task good = end_after_task(5, 0), bad = end_after_task(6, -EIO);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &good);
		lade_start(&s, &bad);
	}
	CHECK_EQ(rc, -EIO);
	CHECK_EQ(lade_within(lade_ms(3), cut_and_late(LADE_FAIL_FAST, 0)), -ETIME);
	/* With LADE_ALL the body alone says what comes out. */
	CHECK_EQ(lade_within(lade_ms(3), cut_and_late(LADE_ALL, 0)), 0);
	CHECK_EQ(lade_within(lade_ms(3), cut_and_late(LADE_ALL, -EIO)), -EIO);
}

/* A scope whose daemon, when it is cancelled at 10 ms, starts @task.  Returns its outcome. */
static int cancel_a_daemon_that_starts(struct tell_after_task *task, bool daemon)
{
	struct starts_when_cancelled_task d = { 0 };
	int rc = 0;

	lade_scope(s, &rc) {
		d = starts_when_cancelled_task(&s, task, daemon);
		lade_start_daemon(&s, &d);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
	}
	return rc;
}

IN_TASK(a_child_that_a_cancelled_daemon_starts_is_waited_for)
{
	struct tell_after_task a = tell_after_task("a", 30, 0);

	CHECK_EQ(cancel_a_daemon_that_starts(&a, false), 0);
	CHECK_EQ(now_ms(), 40);
	CHECK_STR(slate, "a:0");
}

IN_TASK(a_daemon_that_a_cancelled_daemon_starts_is_cancelled_too)
{
	struct tell_after_task a = tell_after_task("a", 3000, 0);

	CHECK_EQ(cancel_a_daemon_that_starts(&a, true), 0);
	CHECK_EQ(now_ms(), 10);
	CHECK_EQ(lade_status(&a), -ECANCELED);
}

static int starts_two(struct lade_scope *scope, struct tell_after_task *ordinary,
		      struct tell_after_task *daemon)
{
	int rc = lade_sleep(lade_ms(1000));

	lade_start_daemon(scope, daemon);
	lade_start(scope, ordinary);
	return rc;
}
LADE_TASK_VOID(starts_two, (struct lade_scope *, scope), (struct tell_after_task *, ordinary),
	       (struct tell_after_task *, daemon))

IN_TASK(daemons_and_children_that_a_cancelled_daemon_starts_all_end)
{
	struct tell_after_task a = tell_after_task("a", 30, 0);
	struct tell_after_task b = tell_after_task("b", 3000, 0);
	struct starts_two_task d = { 0 };
	int rc = 0;

	lade_scope(s, &rc) {
		d = starts_two_task(&s, &a, &b);
		lade_start_daemon(&s, &d);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 40);
	CHECK_EQ(lade_status(&a), 0);
	CHECK_EQ(lade_status(&b), -ECANCELED);
}

static int with_a_slow_daemon(void)
{
	struct cleans_up_task d = cleans_up_task(1000);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_daemon(&s, &d);
		rc = lade_sleep(lade_ms(5));
	}
	return rc;
}
LADE_TASK_VOID(with_a_slow_daemon)

IN_TASK(a_cancel_that_comes_while_daemons_end_takes_no_result_away)
{
	struct with_a_slow_daemon_task a = with_a_slow_daemon_task();
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		lade_cancel(&a, lade_ns(0));
	}
	CHECK_EQ(lade_status(&a), 0);
	CHECK_EQ(now_ms(), 15);
}

IN_TASK(a_body_that_fails_after_the_own_cancel_of_its_scope_is_the_first_failure)
{
	struct stubborn_task a = stubborn_task(10, -EPIPE);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&s);
		rc = -EIO;
	}
	CHECK_EQ(rc, -EIO);
	CHECK_EQ(lade_status(&a), -EPIPE);
}

/* Tasks of the library itself, whose failure is told elsewhere. */

static int needs_a_huge_stack(void)
{
	return 0;
}
LADE_TASK_VOID_WITH(needs_a_huge_stack, (.stack_bytes = 1u << 30))

IN_TASK(a_forgiven_child_that_fails_or_finds_no_stack_has_not_failed_its_scope)
{
	struct end_after_task a = end_after_task(5, -EIO);
	struct needs_a_huge_stack_task b = needs_a_huge_stack_task();
	struct tell_after_task c = tell_after_task("c", 10, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_task_start(&s, &a.head, 0, TASK_FORGIVEN, LADE_SITE);
		lade_task_start(&s, &b.head, 0, TASK_FORGIVEN | TASK_DAEMON, LADE_SITE);
		lade_start(&s, &c);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&a), -EIO);
	CHECK_EQ(lade_status(&b), -ENOMEM);
	CHECK_STR(slate, "c:0");
}

/* Values */

static const struct lade_key trace = { "trace" }, tenant = { "tenant" };

static int reads_values(const char *want)
{
	CHECK_STR(lade_scope_get(&trace), want);
	return 0;
}
LADE_TASK_VOID(reads_values, (const char *, want))

IN_TASK(a_value_of_a_scope_is_seen_by_everything_below_it)
{
	static char outer[] = "outer", inner[] = "inner";
	struct reads_values_task a = reads_values_task("outer"), b = reads_values_task("inner");
	int rc = 0, inner_rc = 0;

	CHECK(!lade_scope_get(&trace));
	lade_scope(s, &rc) {
		CHECK_EQ(lade_scope_set(&s, &trace, outer), 0);
		CHECK(lade_scope_get(&trace) == outer);
		CHECK(!lade_scope_get(&tenant));
		lade_start(&s, &a);
		lade_scope(t, &inner_rc) {
			CHECK(lade_scope_get(&trace) == outer);
			CHECK_EQ(lade_scope_set(&t, &trace, inner), 0);
			lade_start(&t, &b);
			lade_shield(lade_ms(1))
				CHECK(lade_scope_get(&trace) == inner);
		}
		CHECK(lade_scope_get(&trace) == outer);
	}
	CHECK(!lade_scope_get(&trace));
}

IN_TASK(a_scope_keeps_four_values_and_refuses_a_fifth)
{
	struct lade_key keys[LADE_SCOPE_VALUES + 1];
	int values[LADE_SCOPE_VALUES + 1], rc = 0;

	lade_scope(s, &rc) {
		for (int i = 0; i < LADE_SCOPE_VALUES; i++)
			CHECK_EQ(lade_scope_set(&s, &keys[i], &values[i]), 0);
		CHECK_EQ(lade_scope_set(&s, &keys[LADE_SCOPE_VALUES], &values[0]), -ENOSPC);
		CHECK(!lade_scope_get(&keys[LADE_SCOPE_VALUES]));
		CHECK_EQ(lade_scope_set(&s, &keys[1], &values[4]), 0);
		CHECK(lade_scope_get(&keys[0]) == &values[0]);
		CHECK(lade_scope_get(&keys[1]) == &values[4]);
	}
}

IN_TASK(a_scope_where_another_was_before_has_none_of_its_values)
{
	static int value;
	int rc = 0;

	for (int i = 0; i < 2; i++)
		lade_scope(s, &rc) {
			CHECK(!lade_scope_get(&trace));
			CHECK_EQ(lade_scope_set(&s, &trace, &value), 0);
		}
}

int main(void)
{
	TAP(the_close_of_a_scope_waits_for_every_child_and_its_cleanups);
	TAP(a_scope_without_children_closes_at_once);
	TAP(reaching_the_end_of_a_block_waits_without_cancelling);
	TAP(continue_ends_a_block_as_its_end_does);
	TAP(break_cancels_the_children_and_waits_for_them);
	TAP(return_cancels_the_children_and_waits_for_them);
	TAP(goto_out_of_nested_scopes_cancels_and_waits_for_each_from_inside_out);
	TAP(return_leaves_scopes_and_shields_together);
	TAP(leaving_early_with_success_is_a_success);
	TAP(leaving_early_with_an_error_keeps_that_error);
	TAP(a_child_that_fails_while_the_block_is_left_early_is_the_outcome);
	TAP(a_body_that_leaves_early_with_an_error_is_the_first_failure);
	TAP(what_the_block_declares_is_gone_before_its_children_are_waited_for);
	TAP(a_task_spawned_into_a_longer_lived_scope_outlives_who_spawned_it);
	TAP(a_task_has_one_parent_that_alone_waits_for_it);
	TAP(a_closing_scope_waits_for_the_children_that_its_children_start);
	TAP(a_grandchild_may_start_children_in_a_closing_grandparent_scope);
	TAP(the_first_child_that_fails_cancels_its_siblings);
	TAP(the_first_child_that_fails_cancels_the_body);
	TAP(after_a_failure_all_children_are_waited_for);
	TAP(of_several_failures_the_first_is_the_outcome);
	TAP(a_child_that_succeeds_with_a_positive_status_has_not_failed);
	TAP(a_body_that_ends_below_0_has_failed_and_cancels_the_children);
	TAP(a_body_that_fails_after_a_child_did_is_not_the_first_failure);
	TAP(under_all_a_failure_stays_with_its_task_and_cancels_nobody);
	TAP(under_all_the_outcome_is_what_the_body_says);
	TAP(a_return_inside_the_block_gives_the_value_from_before_the_close);
	TAP(the_options_of_a_scope_are_its_policy_its_children_and_its_cleanups);
	TAP(a_child_cancelled_by_name_has_not_failed_its_parent);
	TAP(a_child_cancelled_by_name_before_its_start_has_not_failed_its_parent);
	TAP(a_child_cancelled_by_name_that_fails_otherwise_has_failed_its_parent);
	TAP(a_body_that_heard_of_the_scopes_own_cancel_hides_no_failure_of_a_child);
	TAP(a_child_cancelled_by_name_and_from_outside_has_failed_its_parent);
	TAP(a_scope_cancelled_by_its_own_body_ends_with_0);
	TAP(a_scope_cancelled_by_its_child_while_it_closes_ends_with_0);
	TAP(a_failure_after_the_own_cancel_of_a_scope_is_not_lost);
	TAP(a_body_that_succeeded_keeps_its_result_when_its_scope_was_cancelled);
	TAP(a_daemon_is_cancelled_when_the_body_and_the_last_ordinary_child_have_ended);
	TAP(a_daemon_alone_is_cancelled_at_the_end_of_the_body_and_not_before);
	TAP(a_daemon_is_waited_for);
	TAP(a_daemon_that_fails_has_failed_its_scope);
	TAP(a_daemon_that_fails_while_it_is_cancelled_has_failed_its_scope);
	TAP(a_daemon_that_ends_early_ends_nobody);
	TAP(in_a_block_success_ranks_below_an_error_and_an_error_below_cancelled);
	TAP(a_child_that_a_cancelled_daemon_starts_is_waited_for);
	TAP(a_daemon_that_a_cancelled_daemon_starts_is_cancelled_too);
	TAP(daemons_and_children_that_a_cancelled_daemon_starts_all_end);
	TAP(a_cancel_that_comes_while_daemons_end_takes_no_result_away);
	TAP(a_body_that_fails_after_the_own_cancel_of_its_scope_is_the_first_failure);
	TAP(a_forgiven_child_that_fails_or_finds_no_stack_has_not_failed_its_scope);
	TAP(a_value_of_a_scope_is_seen_by_everything_below_it);
	TAP(a_scope_keeps_four_values_and_refuses_a_fifth);
	TAP(a_scope_where_another_was_before_has_none_of_its_values);
	return tap_done();
}
