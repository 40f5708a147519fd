/* SPDX-License-Identifier: MIT */
/* generate.c - from a seed to a program.
 *
 * Times are few and small, so that much falls into the same instant; channels, permits and the
 * event are the same for all tasks of a program, so that they meet. */

#include "model/program.h"

#include <errno.h>
#include <string.h>

#define DEPTH_MAX 9

struct generator {
	struct program *p;
	uint64_t state; /* of the random numbers; not 0 */
	int left;	/* statements that may still be made */
	uint8_t label;	/* the next one */
	bool sends;	/* some tasks go to another core */
};

static int draw(struct generator *g, int below)
{
	g->state ^= g->state >> 12;
	g->state ^= g->state << 25;
	g->state ^= g->state >> 27;
	return (int)((g->state * UINT64_C(2685821657736338717) >> 33) % (uint64_t)below);
}

static int add(struct generator *g, int parent, enum kind kind)
{
	struct program *p = g->p;
	int at = p->count++, last = -1;

	p->nodes[at] = (struct node){ .kind = (uint8_t)kind,
				      .parent = (int16_t)parent,
				      .first = -1,
				      .next = -1 };
	g->left--;
	if (kind == SCOPE || program_is_task(p, at)) {
		p->nodes[at].label = g->label++;
		p->at[p->nodes[at].label] = (int16_t)at;
	}
	if (parent < 0)
		return at;
	for (int kid = p->nodes[parent].first; kid >= 0; kid = p->nodes[kid].next)
		last = kid;
	if (last < 0)
		p->nodes[parent].first = (int16_t)at;
	else
		p->nodes[last].next = (int16_t)at;
	return at;
}

/* A label that some statement of the program may have. */
static uint8_t any_label(struct generator *g)
{
	return (uint8_t)(1 + draw(g, g->label + 6));
}

static int16_t any_ms(struct generator *g)
{
	return (int16_t)(draw(g, 5) ? draw(g, 7) : draw(g, 16));
}

static int16_t any_errno(struct generator *g)
{
	static const int16_t numbers[] = { EIO, EIO, ENOSPC, ENOSPC, ECANCELED };

	return numbers[draw(g, 5)];
}

static void body(struct generator *g, int parent, int depth, int most);

static void task(struct generator *g, int parent, int depth)
{
	int at = add(g, parent, TASK);

	g->p->nodes[at].flag = draw(g, 3) == 0;
	body(g, at, depth - 1, 3);
}

static void task_or_composite(struct generator *g, int parent, int depth)
{
	int at, count;

	if (g->sends && g->left > 2 && draw(g, 3) == 0) {
		at = add(g, parent, ON);
		g->p->nodes[at].n = (int16_t)draw(g, 2);
		task(g, at, depth - 1);
		return;
	}
	if (depth < 2 || g->left < 4 || draw(g, 6)) {
		task(g, parent, depth);
		return;
	}
	at = add(g, parent, (enum kind)(JOIN_TASK + draw(g, 3)));
	count = 1 + draw(g, 3);
	while (count-- && (g->left > 1 || g->p->nodes[at].first < 0))
		task_or_composite(g, at, depth - 1);
}

static void members(struct generator *g, int parent, int depth)
{
	int count = 1 + draw(g, MEMBERS_MAX);

	while (count-- && (g->left > 1 || g->p->nodes[parent].first < 0))
		task_or_composite(g, parent, depth - 1);
}

static void cases(struct generator *g, int parent)
{
	static const enum kind kinds[] = { SEND, RECV, RECV, SLEEP, AWAIT, STOPPING };
	int count = 1 + draw(g, MEMBERS_MAX);

	g->p->nodes[parent].flag = draw(g, 4) == 0;
	while (count--) {
		int at = add(g, parent, kinds[draw(g, 6)]);

		g->p->nodes[at].n = g->p->nodes[at].kind == SLEEP ? any_ms(g)
								  : (int16_t)draw(g, CHANNELS);
	}
}

static int enclosing_scope_label(struct generator *g, int node)
{
	int found = 0;

	for (; node >= 0; node = program_around(g->p, node))
		if (g->p->nodes[node].kind == SCOPE && (!found || draw(g, 4) == 0))
			found = g->p->nodes[node].label;
	return found;
}

/* Whether a scope is on another core than a statement inside it. */
static bool is_elsewhere(const struct generator *g, int node, int label)
{
	const struct program *p = g->p;

	while (p->nodes[node].label != label && p->nodes[node].kind != ON)
		node = program_around(p, node);
	return p->nodes[node].kind == ON;
}

/* Whom a cancel means: a scope around, or whoever has the label by then. */
static uint8_t target(struct generator *g, int parent)
{
	int label = draw(g, 3) ? 0 : enclosing_scope_label(g, parent);

	return label ? (uint8_t)label : any_label(g);
}

/* Requests on one scope, of which the later may be harder or shorter. */
static void cancels(struct generator *g, int parent)
{
	int count = draw(g, 3) ? 1 : 2;
	uint8_t to = target(g, parent);

	while (count--) {
		struct node *n = &g->p->nodes[add(g, parent, CANCEL)];

		n->to = to;
		n->n = (int16_t)(draw(g, 2) ? 0 : draw(g, 6));
		if (count)
			n->n = (int16_t)(1 + draw(g, 6));
	}
}

static void leaf(struct generator *g, int parent)
{
	static const enum kind kinds[] = { SLEEP, SLEEP, SLEEP, SLEEP,	YIELD,	  YIELD,    FAIL,
					   FAIL,  SEND,	 SEND,	SEND,	RECV,	  RECV,	    RECV,
					   CLOSE, SET,	 CLEAR, AWAIT,	TRY_SEND, TRY_RECV, CANCEL,
					   CANCEL, CANCEL, WAIT, LEAVE };
	enum kind kind = kinds[draw(g, sizeof(kinds) / sizeof(*kinds))];
	struct node *n;

	if ((kind == CLOSE || kind == LEAVE || kind == FAIL) && draw(g, 2))
		kind = SLEEP;
	if (kind == CANCEL) {
		cancels(g, parent);
		return;
	}
	n = &g->p->nodes[add(g, parent, kind)];
	switch (kind) {
	case SLEEP:
		n->n = any_ms(g);
		break;
	case FAIL:
		n->n = any_errno(g);
		break;
	case LEAVE:
		n->n = draw(g, 3) ? 0 : any_errno(g);
		break;
	case WAIT:
		n->to = any_label(g);
		break;
	default:
		n->n = (int16_t)draw(g, CHANNELS);
	}
}

static void scope(struct generator *g, int at, int depth)
{
	struct node *n = &g->p->nodes[at];

	n->flag = draw(g, 3) == 0;
	n->n = (int16_t)(draw(g, 3) ? 0 : 1 + draw(g, 3));
	n->m = (int16_t)(draw(g, 3) ? 0 : 1 + draw(g, 4));
	body(g, at, depth - 1, 5);
}

static void branch(struct generator *g, int parent, int depth)
{
	static const enum kind kinds[] = { PUT,	   HOLD,  HOLD,	 IGNORE, IGNORE, WITHIN, WITHIN,
					   SHIELD, SCOPE, SCOPE, SCOPE,	 SCOPE,	 DEFER,	 DEFER,
					   SELECT, SELECT, JOIN, JOIN,	 JOIN_ALL, RACE, RACE_OK };
	enum kind kind = kinds[draw(g, sizeof(kinds) / sizeof(*kinds))];
	int at = add(g, parent, kind);
	struct node *n = &g->p->nodes[at];

	switch (kind) {
	case PUT:
		n->n = (int16_t)draw(g, CHANNELS);
		body(g, at, depth - 1, 2);
		break;
	case HOLD:
		n->n = (int16_t)(1 + draw(g, 3));
		n->flag = draw(g, 6) == 0;
		body(g, at, depth - 1, 3);
		break;
	case WITHIN:
	case SHIELD:
		n->n = any_ms(g);
		body(g, at, depth - 1, 3);
		break;
	case SCOPE:
		scope(g, at, depth);
		break;
	case DEFER:
		body(g, add(g, at, CLEANUP), depth - 2, 2);
		body(g, at, depth - 1, 3);
		break;
	case SELECT:
		cases(g, at);
		break;
	case IGNORE:
		body(g, at, depth - 1, 3);
		break;
	default:
		members(g, at, depth);
	}
}

/* A start in a scope around, on the same core. */
static bool start(struct generator *g, int parent, int depth)
{
	int label = enclosing_scope_label(g, parent), at;

	if (!label || is_elsewhere(g, parent, label))
		return false;
	at = add(g, parent, (enum kind)(START + draw(g, 3)));
	g->p->nodes[at].to = (uint8_t)label;
	if (g->p->nodes[at].kind == SPAWN)
		task(g, at, depth - 1);
	else
		task_or_composite(g, at, depth - 1);
	return true;
}

static void statement(struct generator *g, int parent, int depth)
{
	int in_scope = g->p->nodes[parent].kind == SCOPE;

	if (depth > 0 && g->left > 8 && draw(g, in_scope ? 2 : 8) == 0 &&
	    start(g, parent, depth))
		return;
	if (depth > 0 && g->left > 8 && draw(g, DEPTH_MAX) < depth)
		branch(g, parent, depth);
	else
		leaf(g, parent);
}

static void body(struct generator *g, int parent, int depth, int most)
{
	int count = 1 + draw(g, most);

	while (count-- && g->left > 0)
		statement(g, parent, depth);
}

void program_generate(struct program *p, uint64_t seed)
{
	struct generator g = { .p = p, .state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1 };

	for (int i = 0; i < 4; i++)
		(void)draw(&g, 2);
	memset(p->at, -1, sizeof(p->at));
	p->count = 0;
	g.label = 1;
	g.left = 6 + draw(&g, NODES_MAX - 30);
	g.sends = draw(&g, 3) == 0;
	p->stacks_max = draw(&g, 6) ? 0 : 2 + (uint32_t)draw(&g, 8);
	p->inline_budget = draw(&g, 2) ? 0 : 1 + draw(&g, 12);
	p->permits = 1 + draw(&g, 3);
	for (int i = 0; i < CHANNELS; i++)
		p->capacity[i] = draw(&g, 3);
	add(&g, -1, TASK);
	/* Several tasks from the beginning, or most programs would be over at once. */
	if (draw(&g, 3)) {
		int at = add(&g, 0, SCOPE);

		g.p->nodes[at].flag = draw(&g, 2);
		for (int i = 2 + draw(&g, 4); i > 0 && g.left > 8; i--)
			(void)start(&g, at, DEPTH_MAX - 1);
	}
	for (int i = 0; i < 4 && g.left > 0; i++)
		statement(&g, 0, DEPTH_MAX);
}
