/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_YAML_H
#define LADE_PIPELINE_YAML_H

/* yaml.h - a YAML document as a tree whose nodes know their places.
 *
 * Scalars are text, whatever they look like: the table of keys says what type they have.
 * ${env:NAME}, ${env:NAME:-default} and ${file:/path} are replaced in scalars, after parsing,
 * so that no value can become structure.  $${ stands for ${ itself. */

#include <stdbool.h>
#include <stddef.h>

#include <lade/arena.h>

#define LADE_YAML_BYTES_MAX (1 << 20)		/* bytes of a file */
#define LADE_YAML_NODES_MAX 10000		/* nodes of a document */
#define LADE_YAML_DEPTH_MAX 32			/* maps and lists in one another */
#define LADE_YAML_SECRET_MAX (64 << 10)		/* bytes that ${file:} reads */
#define LADE_YAML_PROBLEMS_MAX 50		/* problems that are kept */

/* A thing that is wrong. */
struct lade_pipe_problem {
	int line;			/* from 1; 0: the file as a whole */
	int col;			/* from 1, in characters */
	const char *text;		/* what, and what to do */
	struct lade_pipe_problem *next;	/* the next, in the order in which they were found */
};

/* Problems as they are found. */
struct lade_pipe_problems {
	struct lade_arena *arena;		/* their memory */
	struct lade_pipe_problem *first;	/* NULL: none */
	struct lade_pipe_problem *last;		/* where the next one is linked */
	int n;					/* all that were found, kept or not */
	bool out_of_memory;			/* some could not be kept for lack of memory */
	const char *folder;			/* where the text's ${file:} begin; NULL: here */
};

enum lade_yaml_kind {
	LADE_YAML_SCALAR,
	LADE_YAML_MAP,
	LADE_YAML_LIST,
};

struct lade_yaml_pair;

struct lade_yaml_node {
	enum lade_yaml_kind kind;
	int line, col;			/* where it begins, from 1 */
	bool plain;			/* scalar: it was written without quotes */
	bool building;			/* for aliases: its children are being read */
	const char *text;		/* scalar: its value, with a NUL behind it */
	size_t len;			/* bytes of it */
	const char *shown;		/* scalar: the same with *** in place of secrets */
	int n;				/* map, list: children */
	struct lade_yaml_pair *pairs;	/* map, list: the children; a list's have no key */
};

struct lade_yaml_pair {
	const char *key;		/* with a NUL behind it */
	int line, col;			/* where the key begins */
	struct lade_yaml_node *value;
};

/* lade_pipe_problem - adds a problem.
 *
 * Returns -EINVAL. */
__attribute__((format(printf, 4, 5)))
int lade_pipe_problem(struct lade_pipe_problems *problems, int line, int col,
		      const char *format, ...);

/* lade_yaml_parse - reads the one document that @text holds.
 *
 * The tree lives in the arena of @problems.
 *
 * Returns 0; -EINVAL with at least one problem; -ENOMEM. */
int lade_yaml_parse(const char *text, size_t len, struct lade_pipe_problems *problems,
		    struct lade_yaml_node **ret);

/* lade_yaml_get - the value of a map's key; NULL if there is none, or @map is no map. */
struct lade_yaml_node *lade_yaml_get(const struct lade_yaml_node *map, const char *key,
				     size_t key_len);

/* lade_yaml_substitute - replaces ${...} in a scalar; for lade_yaml_parse().
 *
 * Returns 0, -EINVAL with a problem, or -ENOMEM. */
int lade_yaml_substitute(struct lade_yaml_node *scalar, struct lade_pipe_problems *problems);

#endif
