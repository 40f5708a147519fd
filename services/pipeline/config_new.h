/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_CONFIG_NEW_H
#define LADE_PIPELINE_CONFIG_NEW_H

/* config_new.h - a pipeline to begin from, for each pair of a source and a sink. */

#include <stdbool.h>
#include <stddef.h>

/* lade_pipe_pair_at - the name of the i-th pair, as "file-sqlite".  Returns false: it is not. */
bool lade_pipe_pair_at(int i, char *ret, size_t room);

/* lade_pipe_config_begin - a commented file of a pair, which lade run can run.
 *
 * Free it with free().  Returns NULL: there is no such pair, or no memory. */
char *lade_pipe_config_begin(const char *pair);

#endif
