/* SPDX-License-Identifier: MIT */
/* on.c - a task that runs on another core.
 *
 * DESIGN
 * Here it is a control block without a stack, parked on an op as a task would be: what cancels it
 * asks abort(), which sends mail and answers PENDING, as for kernel work (rule 11). There it is a
 * child of a proxy scope, which has the deadline and the inherited values of this side; a request
 * comes with its reason and is made on the child's own scope, so that it sees just what it would
 * see here. The user's struct stays this core's: what runs there is a shadow of it, which calls the
 * function with the arguments kept in that struct, and writes nothing but the value.
 *
 * Mails are parts of the struct, so none can fail. Each comes back: the start when the task has
 * ended, a request when it has been made. The task is over here when none is out any more, so that
 * no mail is left behind in a mailbox when the struct goes.
 *
 * INVARIANT  @over, @status and what follows @type belong to the other core from the sending of
 * @start until it is back. */

#include "core/cores_priv.h"
#include "core/start.h"

static struct lade_on_task *on_of(struct lade_task *task)
{
	return LADE_CONTAINER(task, struct lade_on_task, head);
}

/* There */

static int run_shadow(struct lade_task *shadow)
{
	struct lade_task *task = LADE_CONTAINER(shadow, struct lade_on_task, shadow)->task;

	return task->type->run(task);
}

static void drop_shadow(struct lade_task *shadow)
{
	struct lade_task *task = LADE_CONTAINER(shadow, struct lade_on_task, shadow)->task;

	task->type->drop_args(task);
}

const struct lade_task *lade_behind_shadow(const struct lade_task *task)
{
	if (task->type->run != run_shadow)
		return task;
	return LADE_CONTAINER(task, const struct lade_on_task, shadow)->task;
}

static void mail_back(struct lade_mail *mail);

static void send_home(struct lade_on_task *on, struct lade_mail *mail,
		      void (*take)(struct lade_mail *))
{
	mail->take = take;
	lade_mail_send(on->home, mail);
}

static void start_back(struct lade_mail *mail);

/* The keeper's turn: what it keeps has ended. */
static void keeper_ready(struct lade_ctl *ctl)
{
	struct lade_on_task *on = LADE_CONTAINER(ctl, struct lade_on_task, keeper_ctl);

	ctl->flags &= ~(uint32_t)CTL_QUEUED;
	on->proxy.state = SCOPE_CLOSED;
	on->status = on->shadow.status;
	on->over = true;
	lade_ctl_end(ctl, 0);
	send_home(on, &on->start, start_back);
}

static void keeper_start(struct lade_scope *scope, struct lade_task *keeper)
{
	struct lade_on_task *on = LADE_CONTAINER(keeper, struct lade_on_task, keeper);

	on->keeper_ctl.context.sp = NULL;
	on->keeper_ctl.flags = 0;
	on->keeper_ctl.ready = keeper_ready;
	lade_ctl_attach(&on->keeper_ctl, on->there, scope, keeper, &on->proxy.head, NODE_BLOCK);
	/* A loop that ends asks its own tasks; those from elsewhere are asked by who sent them. */
	on->proxy.head.flags |= NODE_GUEST;
	on->proxy.head.eff = LEVEL_NONE;
	lade_scope_init(&on->proxy, on->there, POLICY_ALL);
	on->proxy.head.deadline_ns = on->deadline_ns;
	/* Written before the start was sent, and never again. */
	on->proxy.head.cleanup_ns = on->root.cleanup_ns;
	for (int i = 0; i < LADE_SCOPE_VALUES; i++)
		on->proxy.values[i] = on->values[i];
	lade_task_start(&on->proxy, &on->shadow, 0, 0, keeper->site);
}

static const struct lade_task_type keeper_type = {
	.start = keeper_start,
	.name = "(from another core)",
	.version = LADE_LAYOUT_VERSION,
};

const struct lade_node *lade_outer_of(const struct lade_node *node)
{
	const struct lade_ctl *owner = node->owner;

	if (!(node->flags & NODE_GUEST))
		return node->outer;
	return &LADE_CONTAINER(owner, const struct lade_on_task, keeper_ctl)->root;
}

static void arrive(struct lade_mail *mail)
{
	struct lade_on_task *on = LADE_CONTAINER(mail, struct lade_on_task, start);

	on->type = (struct lade_task_type){ .run = run_shadow,
					    .drop_args = on->task->type->drop_args ? drop_shadow :
										     NULL,
					    .name = on->task->type->name,
					    .stack_bytes = on->task->type->stack_bytes,
					    .version = on->task->type->version };
	on->shadow = (struct lade_task){ .type = &on->type };
	on->keeper = (struct lade_task){ .type = &keeper_type };
	lade_task_start(&on->there->root, &on->keeper, 0, 0, on->head.site);
}

/* The shields round it at home: those there have no more left than they had with the request. */
static void limit_budgets(struct lade_node *proxy, int64_t end_ns)
{
	proxy->budget_end_ns = end_ns;
	proxy->flags |= NODE_DEFERRED | (end_ns == INT64_MIN ? NODE_SPENT : 0);
}

/* A request has come: its reason is what the task would see at home now, also when that is another
 * than the first, of a scope further out. */
static void request_there(struct lade_on_task *on, const struct lade_on_ask *ask, enum level level)
{
	struct lade_node *root = on->shadow.ctl->root;

	root->reason = ask->why;
	root->reason.at_ns = on->there->now_ns;
	if (ask->budget_end_ns != INT64_MAX)
		limit_budgets(&on->proxy.head, ask->budget_end_ns);
	lade_request_for(on->there, root, level, &ask->why);
}

static void be_asked(struct lade_on_task *on, struct lade_on_ask *ask, enum level level)
{
	if (!on->over && on->shadow.state == TASK_STARTED)
		request_there(on, ask, level);
	send_home(on, &ask->mail, mail_back);
}

static void be_asked_softly(struct lade_mail *mail)
{
	struct lade_on_ask *ask = LADE_CONTAINER(mail, struct lade_on_ask, mail);

	be_asked(ask->on, ask, LEVEL_SOFT);
}

static void be_asked_hard(struct lade_mail *mail)
{
	struct lade_on_ask *ask = LADE_CONTAINER(mail, struct lade_on_ask, mail);

	be_asked(ask->on, ask, LEVEL_HARD);
}

/* Here */

static void came_back(struct lade_on_task *on)
{
	if (--on->out == 0)
		lade_complete(&on->op, on->status);
}

static void mail_back(struct lade_mail *mail)
{
	came_back(LADE_CONTAINER(mail, struct lade_on_ask, mail)->on);
}

static void start_back(struct lade_mail *mail)
{
	came_back(LADE_CONTAINER(mail, struct lade_on_task, start));
}

static void ask(struct lade_on_task *on, struct lade_on_ask *ask, void (*take)(struct lade_mail *))
{
	ask->on = on;
	ask->why = lade_reason_from(&on->root);
	ask->budget_end_ns = lade_budgets_end(&on->root);
	ask->mail.take = take;
	on->out++;
	lade_mail_send(on->there, &ask->mail);
}

static void on_soft(struct lade_op *op)
{
	struct lade_on_task *on = LADE_CONTAINER(op, struct lade_on_task, op);

	op->soft = NULL;
	ask(on, &on->soft, be_asked_softly);
}

static enum lade_abort_result on_abort(struct lade_op *op)
{
	struct lade_on_task *on = LADE_CONTAINER(op, struct lade_on_task, op);

	ask(on, &on->hard, be_asked_hard);
	return LADE_PENDING;
}

/* What the user's task has come to; it may be awaited and asked by its own name. */
static void end_named(struct lade_task *task, int status)
{
	task->status = status;
	task->state = TASK_ENDED;
	task->ctl = NULL;
	lade_wake_waiters(task);
}

/* Its turn here: it has ended there. */
static void on_ready(struct lade_ctl *ctl)
{
	struct lade_on_task *on = LADE_CONTAINER(ctl, struct lade_on_task, ctl);

	end_named(on->task, on->status);
	lade_ctl_end(ctl, on->status);
}

/* The end of one that was not sent: the arguments are given up here. */
static void end_unsent(struct lade_on_task *on, int status)
{
	on->status = status;
	on->head.flags |= on->task->flags & TASK_CANCELLED;
	if (on->task->type->drop_args)
		lade_no_suspend
			on->task->type->drop_args(on->task);
	lade_ready(&on->ctl);
}

static bool has_value(const struct lade_on_task *on, int count, const void *key)
{
	while (count-- > 0)
		if (on->values[count].key == key)
			return true;
	return false;
}

/* The values that the scopes round it keep, innermost first. */
static void copy_values(struct lade_on_task *on, const struct lade_node *node)
{
	int count = 0;

	for (int i = 0; i < LADE_SCOPE_VALUES; i++)
		on->values[i] = (struct lade_scope_value){ NULL, NULL };
	for (; node; node = node->outer) {
		const struct lade_scope *scope =
			LADE_CONTAINER(node, const struct lade_scope, head);

		for (int i = 0; node->kind == NODE_BLOCK && i < LADE_SCOPE_VALUES; i++)
			if (scope->values[i].key && count < LADE_SCOPE_VALUES &&
			    !has_value(on, count, scope->values[i].key))
				on->values[count++] = scope->values[i];
	}
}

static void check_startable(struct lade_scope *scope, struct lade_on_task *on)
{
	struct lade_task *task = on->task;

	if (task->type->start)
		lade_misuse("%s: a composite runs where it is written: put lade_on round each of "
			    "its tasks, or the whole into a function",
			    on->head.site);
	if (task->state != TASK_LAZY || task->type->version != LADE_LAYOUT_VERSION)
		lade_task_unstartable(scope, task, on->head.site);
}

static void on_start(struct lade_scope *scope, struct lade_task *head)
{
	struct lade_on_task *on = on_of(head);
	struct lade_task *task = on->task;
	int rc;

	check_startable(scope, on);
	task->self = task;
	task->site = head->site;
	task->state = TASK_STARTED;
	task->ctl = &on->ctl;
	lade_list_init(&task->waiters);
	on->ctl.context.sp = NULL;
	on->ctl.flags = 0;
	on->ctl.depth = 0;
	on->ctl.ready = on_ready;
	lade_ctl_attach(&on->ctl, scope->loop, scope, head, &on->root, NODE_TASK);
	on->home = scope->loop;
	on->over = false;
	if ((head->flags | task->flags) & TASK_CANCELLED)
		lade_request(scope->loop, &on->root, LEVEL_HARD, LADE_REASON_USER, head->site, "");
	if (on->root.eff == LEVEL_HARD) {
		end_unsent(on, -ECANCELED);
		return;
	}
	rc = lade_cores_find(scope->loop, on->core, &on->there);
	if (rc < 0) {
		end_unsent(on, rc);
		return;
	}
	copy_values(on, &scope->head);
	on->deadline_ns = on->root.deadline_ns;
	lade_op_init(&on->op, "a task on another core", head->site, on_abort);
	on->op.soft = on_soft;
	on->op.task = &on->ctl;
	on->op.since_ns = scope->loop->now_ns;
	on->op.state = OP_PARKED;
	on->ctl.wait = &on->op;
	on->start.take = arrive;
	on->out = 1;
	lade_mail_send(on->there, &on->start);
	if (on->root.eff == LEVEL_SOFT)
		on_soft(&on->op);
}

/* A value that nobody claims is the named task's to dispose of. */
static bool on_dispose(struct lade_task *head)
{
	struct lade_task *task = on_of(head)->task;

	lade_task_dispose(task);
	return task->status < 0;
}

static const struct lade_task_type on_type = {
	.start = on_start,
	.dispose = on_dispose,
	.name = "on",
	.version = LADE_LAYOUT_VERSION,
};

struct lade_on_task *lade_on_init(struct lade_on_task *on, struct lade_task *task, const char *site)
{
	on->head.type = &on_type;
	on->head.site = site;
	on->task = task;
	return on;
}

struct lade_on_task lade_on_task_at(uint32_t core, struct lade_task *task, const char *site)
{
	return (struct lade_on_task){ .head = { .type = &on_type, .site = site },
				      .task = task,
				      .core = core };
}
