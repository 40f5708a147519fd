/* SPDX-License-Identifier: MIT */
/* sim_config.c - what LADE_SEED and LADE_SIM say of a simulation. */

#include "core/sim_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One setting of LADE_SIM. */
struct setting {
	const char *name;
	size_t at;     /* of the field in struct sim_config */
	uint8_t bytes; /* size of the field */
	uint32_t unit; /* what one stands for */
};

#define SETTING(name, field, unit)                                                                 \
	{ name, offsetof(struct sim_config, field), sizeof(((struct sim_config *)0)->field), unit }

static const struct setting settings[] = {
	SETTING("latency_us", latency_ns, 1000), SETTING("disk_us", disk_ns, 1000),
	SETTING("pool_us", pool_ns, 1000),	 SETTING("name_us", name_ns, 1000),
	SETTING("disk_bytes", disk_bytes, 1),	 SETTING("buffer_bytes", buffer_bytes, 1),
	SETTING("backlog", backlog, 1),		 SETTING("cut", cut, 1),
	SETTING("late", late, 1),
	SETTING("reset", reset, 1),		 SETTING("io_error", io_error, 1),
	SETTING("no_name", no_name, 1),
};

static const char *const orders[] = { "in-order", "random", "preempt", "pct" };

static int set_order(struct sim_config *config, const char *name)
{
	for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++) {
		if (strcmp(name, orders[i]) == 0) {
			config->order = (enum sim_order)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int set_number(struct sim_config *config, const char *name, const char *value)
{
	char *end;
	unsigned long long number = strtoull(value, &end, 10);

	if (!*value || *end)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
		const struct setting *s = &settings[i];
		uint64_t wide = (uint64_t)number * s->unit;
		uint32_t narrow = (uint32_t)wide;

		if (strcmp(name, s->name) != 0)
			continue;
		memcpy((char *)config + s->at, s->bytes == 8 ? (void *)&wide : (void *)&narrow,
		       s->bytes);
		return 0;
	}
	return -EINVAL;
}

/* Reads "name=value,name=value".  Returns 0, or -EINVAL. */
static int read_settings(struct sim_config *config, const char *text, char wrong[64])
{
	char copy[512], *rest = copy, *item;
	int rc = 0;

	snprintf(wrong, 64, "%s", text);
	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	while (rc == 0 && (item = strsep(&rest, ","))) {
		char *value = strchr(item, '=');

		if (!*item)
			continue;
		snprintf(wrong, 64, "%s", item);
		if (!value)
			return -EINVAL;
		*value++ = 0;
		rc = strcmp(item, "order") == 0 ? set_order(config, value)
						: set_number(config, item, value);
	}
	return rc;
}

void sim_name_settings(char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < sizeof(orders) / sizeof(*orders) && n < len; i++)
		n += (size_t)snprintf(text + n, len - n, "%s%s", i ? "|" : "order=", orders[i]);
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings) && n < len; i++)
		n += (size_t)snprintf(text + n, len - n, ", %s=N", settings[i].name);
}

int sim_read_config(struct sim_config *config, char wrong[64])
{
	const char *seed = getenv("LADE_SEED"), *settings_text = getenv("LADE_SIM");

	*config = (struct sim_config){ .seed = seed && *seed ? strtoull(seed, NULL, 0) : 1,
				       .order = SIM_RANDOM,
				       .latency_ns = 500000,
				       .disk_ns = 2000000,
				       .pool_ns = 1000000,
				       .name_ns = 20000000,
				       .disk_bytes = UINT64_C(1) << 30,
				       .buffer_bytes = 65536,
				       .backlog = SIM_BACKLOG_MAX,
				       .cut = 200,
				       .late = 200 };
	return settings_text ? read_settings(config, settings_text, wrong) : 0;
}
