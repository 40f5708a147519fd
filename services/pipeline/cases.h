/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_CASES_H
#define LADE_PIPELINE_CASES_H

/* cases.h - the cases of `lade test`: messages in, messages out, without any server.
 *
 * A file of cases names a pipeline and lists cases. Each runs the pipeline's steps, in the
 * simulation and on its own, over its input; what would go to the sinks, what is dropped and what
 * is rejected is compared with what is expected. */

#include <stdio.h>

#include <lade/arena.h>
#include <lade/http_sim.h>
#include <lade/lade.h>

#include "services/pipeline/config.h"
#include "services/pipeline/message.h"

#define LADE_CASES_MAX 1000 /* cases of a file */
#define LADE_CASE_ITEMS_MAX 10000 /* messages of a case; as many expected ones, and answers */

/* A message that is given, or expected. */
struct lade_case_message {
	const struct lade_yaml_node *node; /* where it stands */
	const char *value;		/* JSON, or for an input any bytes; NULL: a tombstone */
	size_t len;			/* bytes of it */
	const char *key, *topic;	/* NULL: not said */
	struct lade_pipe_header *headers;
	uint32_t n_headers;
	bool headers_said;		/* expected: none are expected either */
	int64_t timestamp_us;		/* INT64_MIN: not said */
};

/* A message that is to be rejected. */
struct lade_case_rejection {
	const struct lade_yaml_node *node;
	int64_t input;			/* its number, from 1; 0: any */
	const char *step, *reason;	/* NULL: any; the reason is a part of it */
};

/* What is answered in place of a database or a service. */
struct lade_case_answers {
	const char *step;		/* the step's name */
	const struct lade_yaml_node *node; /* a list: of rows, or of replies */
};

struct lade_pipe_case {
	const struct lade_yaml_node *node;
	const char *name;
	struct lade_case_message *inputs, *outputs;
	int n_inputs, n_outputs;
	struct lade_case_rejection *rejections;
	int n_rejections;
	struct lade_case_answers *answers;
	int n_answers;
	int64_t dropped;		/* how many; -1: not said */
};

struct lade_pipe_cases {
	const char *file;		/* its name, for messages */
	struct lade_arena arena;	/* all memory of the cases */
	struct lade_pipe_problems problems;
	struct lade_yaml_node *root;
	struct lade_pipe_config *config; /* the pipeline */
	struct lade_pipe_case *cases;
	int n;
};

/* lade_pipe_cases_load - reads a file of cases, and the pipeline that it names.
 *
 * Returns 0; -EINVAL, having said to @log what is wrong and where; -ENOMEM. Free it with
 * lade_pipe_cases_free(), whatever was returned. */
int lade_pipe_cases_load(struct lade_pipe_cases *cases, const char *path, FILE *log);

/* lade_pipe_cases_free - frees what is in it. */
void lade_pipe_cases_free(struct lade_pipe_cases *cases);

/* lade_pipe_cases_run - runs the cases, one after the other.
 *
 * Says to @out how each went, and where it failed what differs. Returns 0 and how many failed;
 * < 0: it could not go on.  Suspends: yes.  Threads: inside a task of a simulation only. */
lade_suspends int lade_pipe_cases_run(struct lade_pipe_cases *cases, FILE *out, int *ret_failed);

/* lade_pipe_answers_table - appends the lines by which simulated services answer (http_sim.h).
 *
 * Returns 0; -ENOMEM. */
int lade_pipe_answers_table(const struct lade_pipe_cases *cases, const struct lade_pipe_case *one,
			    struct lade_json_out *table);

/* lade_yaml_json - appends what a node says, as JSON. */
void lade_yaml_json(const struct lade_yaml_node *node, struct lade_json_out *out);

/* A step whose rows a case gives; stage->self is a struct lade_case_answers when it is opened. */
struct lade_pipe_step_ops;
extern const struct lade_pipe_step_ops lade_pipe_canned_rows;

#endif
