/* SPDX-License-Identifier: MIT */
/* position.c - is this the file that was being read? */

#include "services/pipeline/position.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <lade/blocking.h>

/* FNV-1a, 64 bits: it grows byte by byte, and a file is no adversary of itself. */
#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

void lade_pipe_beginning_init(struct lade_pipe_beginning *beginning)
{
	*beginning = (struct lade_pipe_beginning){ .hash = FNV_BASIS };
}

void lade_pipe_beginning_feed(struct lade_pipe_beginning *beginning, int64_t offset,
			      const char *bytes, size_t len)
{
	int64_t known = beginning->bytes - offset;

	if (known < 0 || (uint64_t)known >= len)
		return;
	bytes += known;
	len -= (size_t)known;
	for (; len && beginning->bytes < LADE_POSITION_HASHED; len--, beginning->bytes++)
		beginning->hash = (beginning->hash ^ (unsigned char)*bytes++) * FNV_PRIME;
}

int lade_pipe_identify(int fd, int64_t offset, struct lade_pipe_identity *ret)
{
	size_t len = offset < LADE_POSITION_HASHED ? (size_t)offset : LADE_POSITION_HASHED;
	struct lade_pipe_beginning beginning;
	char bytes[LADE_POSITION_HASHED];
	struct stat st;
	int64_t n;
	int rc = lade_file_stat(fd, &st);

	if (rc < 0)
		return rc;
	n = lade_file_read(fd, bytes, len, 0);
	if (n < 0)
		return (int)n;
	if ((size_t)n < len)
		return -ENODATA;
	lade_pipe_beginning_init(&beginning);
	lade_pipe_beginning_feed(&beginning, 0, bytes, len);
	*ret = (struct lade_pipe_identity){ st.st_dev, st.st_ino, beginning.hash };
	return 0;
}

int lade_pipe_same_file(int fd, const struct lade_pipe_identity *stored, int64_t offset)
{
	struct lade_pipe_identity now;
	struct stat st;
	int rc = lade_file_stat(fd, &st);

	if (rc < 0)
		return rc;
	if (offset == 0)
		return LADE_SAME_FILE;
	if (st.st_dev != stored->device || st.st_ino != stored->inode)
		return LADE_SAME_NOT;
	if (st.st_size < offset)
		return LADE_SAME_CUT;
	rc = lade_pipe_identify(fd, offset, &now);
	if (rc == -ENODATA)
		return LADE_SAME_CUT;
	if (rc < 0)
		return rc;
	return now.hash == stored->hash ? LADE_SAME_FILE : LADE_SAME_NOT;
}

void lade_pipe_identity_format(const struct lade_pipe_identity *identity,
			       char ret[LADE_POSITION_ROOM])
{
	snprintf(ret, LADE_POSITION_ROOM, "%" PRIu64 ":%" PRIu64 ":%016" PRIx64,
		 identity->device, identity->inode, identity->hash);
}

static int read_number(const char **at, int base, char end, uint64_t *ret)
{
	char *behind;

	if (!((**at >= '0' && **at <= '9') || (base == 16 && **at >= 'a' && **at <= 'f')))
		return -EINVAL;
	errno = 0;
	*ret = strtoull(*at, &behind, base);
	if (errno != 0 || *behind != end)
		return -EINVAL;
	*at = behind + (end != '\0');
	return 0;
}

int lade_pipe_identity_parse(const char *text, struct lade_pipe_identity *ret)
{
	struct lade_pipe_identity identity;

	if (read_number(&text, 10, ':', &identity.device) < 0 ||
	    read_number(&text, 10, ':', &identity.inode) < 0 || strlen(text) != 16 ||
	    read_number(&text, 16, '\0', &identity.hash) < 0)
		return -EINVAL;
	*ret = identity;
	return 0;
}
