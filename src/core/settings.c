/* SPDX-License-Identifier: MIT */
/* settings.c - what the environment asks of a loop: refused before there is one, each by name. */

#include "core/settings.h"

#include "core/io_priv.h"
#include "core/sim_priv.h"
#include "lade_config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is asked for; NULL also for an empty text. */
static const char *asked(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static int refuse(char *text, size_t len, const char *name, const char *expected)
{
	snprintf(text, len, "%s=%.200s: %s", name, getenv(name), expected);
	return -EINVAL;
}

static int check_backend(char *text, size_t len)
{
	const char *value = asked("LADE_BACKEND");

	if (!value || lade_backend_is_known(value))
		return 0;
	return refuse(text, len, "LADE_BACKEND",
		      LADE_HAVE_URING ? "uring, epoll, virtual or sim is expected"
				      : "epoll, virtual or sim is expected");
}

static int check_number(char *text, size_t len, const char *name, int base, const char *expected)
{
	const char *value = asked(name);
	char *end = NULL;

	if (!value)
		return 0;
	errno = 0;
	/* A sign is no part of either number: it would be taken as a very large one. */
	if (!isdigit((unsigned char)*value))
		return refuse(text, len, name, expected);
	if ((strtoull(value, &end, base) == 0 && base == 10) || *end || errno)
		return refuse(text, len, name, expected);
	return 0;
}

static int check_sim(char *text, size_t len)
{
	struct sim_config config;
	char wrong[64], names[256], expected[400];

	if (sim_read_config(&config, wrong) == 0)
		return 0;
	sim_name_settings(names, sizeof(names));
	snprintf(expected, sizeof(expected), "%s is no setting; there are %s", wrong, names);
	return refuse(text, len, "LADE_SIM", expected);
}

static int check_trace(char *text, size_t len)
{
	const char *path = asked("LADE_TRACE");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : -1;

	if (path && fd < 0)
		return refuse(text, len, "LADE_TRACE", strerror(errno));
	if (fd >= 0)
		close(fd);
	return 0;
}

static int check_save(char *text, size_t len)
{
	const char *path = asked("LADE_SIM_SAVE");
	struct stat st;

	if (!path)
		return 0;
	if (mkdir(path, 0777) < 0 && errno != EEXIST)
		return refuse(text, len, "LADE_SIM_SAVE", strerror(errno));
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return refuse(text, len, "LADE_SIM_SAVE", "a folder is expected");
	if (access(path, W_OK | X_OK) < 0)
		return refuse(text, len, "LADE_SIM_SAVE", strerror(errno));
	return 0;
}

int lade_settings_check(char *text, size_t len)
{
	const char *backend = asked("LADE_BACKEND");
	bool simulated = backend && strcmp(backend, lade_backend_sim.name) == 0;
	int rc = check_backend(text, len);

	if (rc == 0)
		rc = check_number(text, len, "LADE_CORES", 10,
				  "a number of cores is expected, 1 or more");
	if (rc == 0)
		rc = check_number(text, len, "LADE_SEED", 0, "a number is expected");
	if (rc == 0)
		rc = check_sim(text, len);
	if (rc == 0 && simulated)
		rc = check_trace(text, len);
	return rc == 0 && simulated ? check_save(text, len) : rc;
}
