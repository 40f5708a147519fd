/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_POSITION_H
#define LADE_PIPELINE_POSITION_H

/* position.h - where in which file: device, inode, a hash of its beginning, byte offset.
 *
 * A name is not enough: the file may have been renamed, cut or replaced meanwhile.  The
 * hash covers the first 4 KiB, or what lies before the offset if that is less: only what was
 * read can be compared. */

#include <stddef.h>
#include <stdint.h>

#define LADE_POSITION_HASHED 4096	/* bytes of the beginning that are hashed */
#define LADE_POSITION_ROOM 64		/* room for an identity as text */

/* Which file it is, as far as it was read. */
struct lade_pipe_identity {
	uint64_t device, inode;
	uint64_t hash;		/* of the bytes before min(offset, LADE_POSITION_HASHED) */
};

/* A hash that grows with what is read. */
struct lade_pipe_beginning {
	uint64_t hash;		/* of the first .bytes */
	int64_t bytes;		/* at most LADE_POSITION_HASHED */
};

enum lade_pipe_same {
	LADE_SAME_FILE,		/* go on at the offset */
	LADE_SAME_NOT,		/* another file has its name */
	LADE_SAME_CUT,		/* it is shorter than the offset */
};

/* lade_pipe_beginning_init - the hash of nothing. */
void lade_pipe_beginning_init(struct lade_pipe_beginning *beginning);

/* lade_pipe_beginning_feed - @len bytes at @offset of the file were read.
 *
 * Bytes that it knows already, or that leave a gap, change nothing. */
void lade_pipe_beginning_feed(struct lade_pipe_beginning *beginning, int64_t offset,
			      const char *bytes, size_t len);

/* lade_pipe_identify - the identity of the open file @fd for a position @offset.
 *
 * Reads its beginning: it blocks like any read of a file.
 *
 * Returns 0; -ENODATA when the file is shorter than min(@offset, LADE_POSITION_HASHED);
 * -errno. */
int lade_pipe_identify(int fd, int64_t offset, struct lade_pipe_identity *ret);

/* lade_pipe_same_file - is @fd the file that @stored was made of, at @offset?
 *
 * Returns one of lade_pipe_same, or -errno. */
int lade_pipe_same_file(int fd, const struct lade_pipe_identity *stored, int64_t offset);

/* lade_pipe_identity_format - the identity as text: 10302:1835:9ae16a3b2f90404f */
void lade_pipe_identity_format(const struct lade_pipe_identity *identity,
			       char ret[LADE_POSITION_ROOM]);

/* lade_pipe_identity_parse - the identity from its text.  Returns 0 or -EINVAL. */
int lade_pipe_identity_parse(const char *text, struct lade_pipe_identity *ret);

#endif
