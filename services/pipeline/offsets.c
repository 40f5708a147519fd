/* SPDX-License-Identifier: MIT */
/* offsets.c - where the lanes of a pipeline stand, shown and set: as its sink keeps it, or its
 * consumer group.
 *
 * DESIGN
 * In a database an offset is set as a pipeline claims a lane: under a new epoch. So a process that
 * has the lane and was not noticed writes nothing more: it is fenced. Of a consumer group Kafka
 * takes no offset while it has members, so there is nothing to fence. A file's offset is checked
 * against the file, because what is no line's beginning would be read as half a message.
 *
 * A topic's lanes stand in the database and in the group. A database's offset 0 means that nothing
 * is kept, and then the group's is taken: so both are set, the group's first. */

#include "services/pipeline/offsets.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "services/pipeline/position.h"

#define LOOK_BACK 65536 /* bytes before an offset in which a line's beginning is looked for */

/* Opening */

/* The place: the first sink that can keep offsets, else the group. */
static const struct lade_offsets_ops *place_of(const struct lade_pipe_config *config)
{
	for (int i = 0; config->delivery == LADE_EXACTLY_ONCE && i < config->n_sinks; i++) {
		if (config->sinks[i].kind == LADE_SINK_SQLITE)
			return &lade_offsets_of_sqlite;
		if (config->sinks[i].kind == LADE_SINK_POSTGRES)
			return &lade_offsets_of_postgres;
	}
	return config->source.kind == LADE_SOURCE_KAFKA ? &lade_offsets_of_group : NULL;
}

bool lade_offsets_in_group(const struct lade_offsets *o)
{
	return o->ops == &lade_offsets_of_group;
}

int lade_offsets_open(struct lade_offsets *o, const struct lade_pipe_config *config, bool setting)
{
	int rc = 0;

	*o = (struct lade_offsets){ .config = config, .setting = setting };
	o->ops = place_of(config);
	if (!o->ops) {
		snprintf(o->why, sizeof(o->why), "%s: at_least_once keeps no offsets in its sink:"
			 " each run reads its %s beginning", config->name,
			 config->source.kind == LADE_SOURCE_POSTGRES ? "table from its"
								     : "files from their");
		return -EOPNOTSUPP;
	}
	if (config->source.kind == LADE_SOURCE_KAFKA)
		rc = lade_offsets_log_open(o);
	if (rc == 0)
		rc = o->ops->open(o);
	if (rc < 0 && !*o->why)
		snprintf(o->why, sizeof(o->why), "%s", strerror(-rc));
	return rc;
}

int lade_offsets_next(struct lade_offsets *o, struct lade_offset *ret)
{
	int rc, looked;

	*ret = (struct lade_offset){ .low = -1, .high = -1 };
	rc = o->ops->next(o, ret);
	if (rc <= 0 || !o->log)
		return rc;
	looked = lade_offsets_log_look(o, ret);
	return looked < 0 ? looked : rc;
}

/* Who has a lane */

/* Whether it was a process of another host. */
bool lade_offsets_elsewhere(const char *owner)
{
	const char *on = strstr(owner, " on ");
	char host[64] = "";

	gethostname(host, sizeof(host) - 1);
	return strncmp(owner, "process ", 8) == 0 && on && strcmp(on + 4, host) != 0;
}

long lade_offsets_holder(const char *owner)
{
	char path[64], name[32] = "";
	FILE *file;
	long pid = 0;

	if (lade_offsets_elsewhere(owner) || sscanf(owner, "process %ld", &pid) != 1 || pid <= 1 ||
	    (kill((pid_t)pid, 0) < 0 && errno != EPERM))
		return 0;
	/* The number may be another program's by now. */
	snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
	file = fopen(path, "re");
	if (!file)
		return pid;
	if (!fgets(name, sizeof(name), file))
		*name = 0;
	fclose(file);
	return strncmp(name, "lade", 4) == 0 ? pid : 0;
}

/* Whether the lane can be set.  Returns 0, or -EBUSY with why. */
static int refuse_held(struct lade_offsets *o, const struct lade_offset *lane, bool force)
{
	const char *one = "";
	size_t members = lade_offsets_log_members(o, &one);
	long holder = o->log ? 0 : lade_offsets_holder(lane->owner);

	if (lade_offsets_in_group(o) ? !members : force)
		return 0;
	if (members)
		snprintf(o->why, sizeof(o->why), "the group %.100s has %zu member%s (%.120s); stop"
			 " them first%s", o->config->source.group, members,
			 members == 1 ? "" : "s", one, lade_offsets_in_group(o)
			 ? ". One that was killed is a member until its session ends"
			 : ", or take the lanes away from them with --force");
	else if (holder)
		snprintf(o->why, sizeof(o->why), "process %ld runs the pipeline and has this lane;"
			 " stop it first, or take the lane away from it with --force", holder);
	else if (!o->log && lade_offsets_elsewhere(lane->owner))
		snprintf(o->why, sizeof(o->why), "%.100s had this lane last, and whether it runs"
			 " cannot be seen from here; --force takes the lane away from it",
			 lane->owner);
	else
		return 0;
	return -EBUSY;
}

/* Files */

/* Where lines begin round an offset. */
static int refuse_middle(struct lade_offsets *o, const char *path, int fd, int64_t to)
{
	static char bytes[LOOK_BACK];
	int64_t from = to > LOOK_BACK ? to - LOOK_BACK : 0, begin = from;
	ssize_t n = pread(fd, bytes, (size_t)(to - from), from);

	for (ssize_t i = 0; i < n; i++)
		if (bytes[i] == '\n')
			begin = from + i + 1;
	snprintf(o->why, sizeof(o->why), "%.200s: byte %" PRId64 " is within a line, which begins"
		 " at byte %" PRId64, path, to, begin);
	return -EINVAL;
}

/* Whether a file has a line that begins there, and which file it is then. */
static int check_file(struct lade_offsets *o, const char *path, int fd, struct lade_offset *to)
{
	struct lade_pipe_identity identity;
	struct stat st;
	char before = '\n';
	int rc;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (to->next_offset > st.st_size) {
		snprintf(o->why, sizeof(o->why), "%.200s has %lld bytes, and no byte %" PRId64,
			 path, (long long)st.st_size, to->next_offset);
		return -EINVAL;
	}
	if (to->next_offset && pread(fd, &before, 1, to->next_offset - 1) != 1)
		return -EIO;
	if (before != '\n')
		return refuse_middle(o, path, fd, to->next_offset);
	rc = lade_pipe_identify(fd, to->next_offset, &identity);
	if (rc == 0)
		lade_pipe_identity_format(&identity, to->cluster);
	return rc;
}

/* A file's lane; @end: behind the last line. */
static int identify(struct lade_offsets *o, struct lade_offset *to, bool end)
{
	struct stat st;
	const char *folder = o->config->folder && *to->topic != '/' ? o->config->folder : "";
	char path[4096];
	int fd, rc;

	snprintf(path, sizeof(path), "%s%s", folder, to->topic);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	rc = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;
	if (rc == 0 && end)
		to->next_offset = st.st_size;
	if (rc == 0)
		rc = check_file(o, path, fd, to);
	if (rc < 0 && !*o->why)
		snprintf(o->why, sizeof(o->why), "%.300s: %s", path, strerror(-rc));
	if (fd >= 0)
		close(fd);
	return rc;
}

/* Setting */

/* A lane of a topic. */
static int aim_log(struct lade_offsets *o, const struct lade_offset_target *target,
		   struct lade_offset *to)
{
	if (target->to == LADE_OFFSET_SINCE)
		return lade_offsets_log_since(o, to, target->value, &to->next_offset);
	to->next_offset = target->to == LADE_OFFSET_EARLIEST ? to->low
			  : target->to == LADE_OFFSET_LATEST ? to->high
							     : target->value;
	if (to->next_offset >= to->low && to->next_offset <= to->high)
		return 0;
	snprintf(o->why, sizeof(o->why), "%.200s, partition %" PRId64 ", has the offsets %" PRId64
		 " to %" PRId64 ", and not %" PRId64, to->topic, to->part, to->low, to->high,
		 to->next_offset);
	return -EINVAL;
}

/* Where a lane is to go on. */
static int aim(struct lade_offsets *o, const struct lade_offset_target *target,
	       struct lade_offset *to)
{
	const char *reason = NULL;

	if (o->log)
		return aim_log(o, target, to);
	to->next_offset = target->to == LADE_OFFSET_NUMBER ? target->value : 0;
	if (target->to == LADE_OFFSET_SINCE)
		reason = "only messages of Kafka have a time by which they can be found";
	else if (o->config->source.kind == LADE_SOURCE_POSTGRES &&
		 (target->to == LADE_OFFSET_LATEST || to->next_offset))
		reason = "a place in a table is no number: it can be set to earliest alone";
	if (reason) {
		snprintf(o->why, sizeof(o->why), "%s", reason);
		return -EINVAL;
	}
	return o->config->source.kind == LADE_SOURCE_FILE
		       ? identify(o, to, target->to == LADE_OFFSET_LATEST)
		       : 0;
}

/* Says that no lane was meant. */
static int no_such(struct lade_offsets *o, const struct lade_offset_target *t, const char *there,
		   int n)
{
	char part[40] = "";

	if (t->part >= 0)
		snprintf(part, sizeof(part), ", partition %" PRId64, t->part);
	snprintf(o->why, sizeof(o->why), "no offset is kept of %.80s%s; %s%.300s%s", t->topic, part,
		 n ? "there are: " : "none is kept yet: it has not run", there,
		 n > 5 ? ", ..." : "");
	return -ENOENT;
}

static int add(struct lade_offsets *o, const struct lade_offset *lane)
{
	if (o->n == LADE_OFFSETS_MAX) {
		snprintf(o->why, sizeof(o->why), "the topic has more than %d partitions: set them"
			 " one by one, with --part", LADE_OFFSETS_MAX);
		return -E2BIG;
	}
	if (!o->was) {
		o->was = calloc(LADE_OFFSETS_MAX, sizeof(*o->was));
		o->to = calloc(LADE_OFFSETS_MAX, sizeof(*o->to));
	}
	if (!o->was || !o->to)
		return -ENOMEM;
	o->was[o->n] = o->to[o->n] = *lane;
	o->n++;
	return 0;
}

/* The lanes that are meant. */
static int find(struct lade_offsets *o, const struct lade_offset_target *t)
{
	struct lade_offset lane;
	char there[480] = "";
	int rc, n = 0;
	size_t len = 0;

	while ((rc = lade_offsets_next(o, &lane)) > 0) {
		if (strcmp(lane.topic, t->topic) == 0 && (t->part < 0 || lane.part == t->part))
			rc = add(o, &lane);
		else if (n++ < 5)
			len += (size_t)snprintf(there + len, sizeof(there) - len,
						"%s%.70s/%" PRId64, len ? ", " : "", lane.topic,
						lane.part);
		if (rc < 0)
			break;
	}
	if (rc == 0 && o->n == 0)
		rc = no_such(o, t, there, n);
	if (rc == 0 && o->n > 1 && t->to == LADE_OFFSET_NUMBER) {
		snprintf(o->why, sizeof(o->why), "%.200s has %zu partitions: which? --part says it",
			 t->topic, o->n);
		rc = -EINVAL;
	}
	return rc;
}

/* The group's offsets of lanes that stand in a database, too. */
static int set_group_too(struct lade_offsets *o)
{
	bool zero = false;

	for (size_t i = 0; i < o->n; i++)
		zero = zero || o->to[i].next_offset == 0;
	if (!o->log || lade_offsets_in_group(o))
		return 0;
	if (!lade_offsets_log_members(o, &(const char *){ NULL }))
		return lade_offsets_log_set(o, o->to, o->n);
	if (!zero)
		return 0;
	snprintf(o->why, sizeof(o->why), "offset 0 needs the group's offset to be set, too, which"
		 " Kafka does not do while it has members: stop them first");
	return -EBUSY;
}

int lade_offsets_set(struct lade_offsets *o, const struct lade_offset_target *target)
{
	int rc = find(o, target);

	for (size_t i = 0; rc == 0 && i < o->n; i++) {
		rc = refuse_held(o, &o->was[i], target->force);
		if (rc == 0)
			rc = aim(o, target, &o->to[i]);
	}
	if (rc == 0)
		rc = set_group_too(o);
	if (rc == 0)
		rc = o->ops->set(o, o->was, o->to, o->n);
	if (rc == -EAGAIN && !*o->why)
		snprintf(o->why, sizeof(o->why), "the lane has moved meanwhile: somebody runs the"
			 " pipeline; nothing was set");
	if (rc < 0 && !*o->why)
		snprintf(o->why, sizeof(o->why), "%s", strerror(-rc));
	return rc;
}

void lade_offsets_close(struct lade_offsets *o)
{
	if (o->ops)
		o->ops->close(o);
	o->ops = NULL;
	lade_offsets_log_close(o);
	free(o->was);
	free(o->to);
	o->was = o->to = NULL;
}
