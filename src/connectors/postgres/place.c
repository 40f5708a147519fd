/* SPDX-License-Identifier: MIT */
/* place.c - where a database is: the settings of its conninfo, and the addresses of its hosts.
 *
 * DESIGN
 * libpq looks names up on the calling thread. So the runtime does it, and libpq gets the address
 * beside the name, which TLS still needs. A name with several addresses becomes several hosts,
 * which libpq tries in turn, as it does with a list of them.
 *
 * LIMITS  the lists of names and addresses have 1,024 bytes each, which holds some 30 hosts;
 * further ones are left out. Names in a service file are libpq's own to look up. */

#include "connectors/postgres/postgres_priv.h"

#include "base/alloc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define ADDRESS_NS INT64_C(30000000000) /* how long addresses are used */
#define PORT 5432

/* What libpq does unless the conninfo says otherwise. A silent peer is noticed, and Kerberos, for
 * which libpq would ask the network on the calling thread, is not tried. */
static const struct {
	const char *name, *value;
} defaults[] = {
	{ "gssencmode", "disable" },   { "keepalives_idle", "15" },
	{ "keepalives_interval", "5" }, { "keepalives_count", "3" },
	{ "tcp_user_timeout", "15000" },
};

static int find(const struct lade_pg_place *p, const char *name)
{
	for (unsigned i = 0; i < p->n; i++)
		if (strcmp(p->names[i], name) == 0)
			return (int)i;
	return -1;
}

static int set(struct lade_pg_place *p, const char *name, const char *value)
{
	int at = find(p, name);

	if (at < 0) {
		at = (int)p->n++;
		p->names[at] = name;
	}
	p->values[at] = value;
	return at;
}

/* What stands between quotes may be a piece of a password. */
static void say_without_quotes(struct lade_pg_error *error, const char *message)
{
	size_t len = strlen(error->text);
	bool quoted = false;

	for (; *message && *message != '\n' && len + 5 < sizeof(error->text); message++) {
		if (*message == '"') {
			quoted = !quoted;
			if (quoted) {
				memcpy(error->text + len, "\"***\"", 5);
				len += 5;
			}
		} else if (!quoted) {
			error->text[len++] = *message;
		}
	}
	error->text[len] = 0;
}

/* The server's settings travel in one of libpq's. */
static int set_server_options(struct lade_pg_place *p, const struct lade_pg_config *config)
{
	int at = find(p, "options");
	const char *given = at < 0 ? "" : p->values[at];
	size_t room = strlen(given) + 120;
	char *text;
	int n;

	/* A pooler between us and the server takes none: each transaction says it again. */
	if (config->unprepared || (!config->statement_ns && !config->read_only))
		return 0;
	text = p->owned[0] = lade_malloc(room);
	if (!text)
		return -ENOMEM;
	n = snprintf(text, room, "%s", given);
	if (config->statement_ns)
		n += snprintf(text + n, room - (size_t)n, " -c statement_timeout=%" PRId64,
			      (config->statement_ns + 999999) / 1000000);
	if (config->read_only)
		snprintf(text + n, room - (size_t)n, " -c default_transaction_read_only=on");
	set(p, "options", text);
	return 0;
}

static char *copy(struct lade_pg_place *p, unsigned slot, const char *text)
{
	p->owned[slot] = lade_malloc(strlen(text) + 1);
	return p->owned[slot] ? strcpy(p->owned[slot], text) : NULL;
}

/* Places for the lists of hosts, if there are names to look up. */
static int set_hosts(struct lade_pg_place *p)
{
	const char *host = getenv("PGHOST");
	bool named = find(p, "host") >= 0;

	p->host_at = p->address_at = p->port_at = -1;
	if (find(p, "hostaddr") >= 0 || (!named && (find(p, "service") >= 0 || !host || !*host)))
		return 0;
	host = copy(p, 1, named ? p->values[find(p, "host")] : host);
	if (!host)
		return -ENOMEM;
	p->owned[2] = NULL;
	if (find(p, "port") >= 0 && !copy(p, 2, p->values[find(p, "port")]))
		return -ENOMEM;
	p->host_at = set(p, "host", p->hosts);
	p->address_at = set(p, "hostaddr", p->addresses);
	p->port_at = set(p, "port", p->ports);
	return 0;
}

static PQconninfoOption *read_conninfo(const char *conninfo, struct lade_pg_error *error,
				       int *ret_rc)
{
	char *said = NULL;
	PQconninfoOption *options = PQconninfoParse(conninfo, &said);

	*ret_rc = options ? 0 : said ? -EINVAL : -ENOMEM;
	if (!options) {
		(void)lade_pg_fail(error, said ? LADE_PG_OWN : LADE_PG_MEMORY, -1,
				   "the address of the database cannot be read: ");
		say_without_quotes(error, said ? said : "out of memory");
		PQfreemem(said);
	}
	return options;
}

int lade_pg_conninfo_check(const char *conninfo, struct lade_pg_error *ret_error)
{
	int rc;

	*ret_error = (struct lade_pg_error){ .statement = -1 };
	PQconninfoFree(read_conninfo(conninfo, ret_error, &rc));
	return rc;
}

int lade_pg_place_init(struct lade_pg_place *p, const struct lade_pg_config *config,
		       struct lade_pg_error *error)
{
	int rc;

	*p = (struct lade_pg_place){ .n = 0 };
	p->options = read_conninfo(config->conninfo, error, &rc);
	if (rc < 0)
		return rc;
	for (const PQconninfoOption *o = p->options; o->keyword; o++)
		if (o->val && p->n < PG_OPTIONS_ROOM - 16)
			set(p, o->keyword, o->val);
	for (unsigned i = 0; i < sizeof(defaults) / sizeof(*defaults); i++)
		if (find(p, defaults[i].name) < 0)
			set(p, defaults[i].name, defaults[i].value);
	set(p, "client_encoding", "UTF8");
	if (find(p, "application_name") < 0) {
		const char *name = copy(p, 3, config->application ? config->application : "lade");

		if (!name)
			return -ENOMEM;
		set(p, "application_name", name);
	}
	rc = set_server_options(p, config);
	return rc < 0 ? rc : set_hosts(p);
}

void lade_pg_place_done(struct lade_pg_place *p)
{
	PQconninfoFree(p->options);
	for (unsigned i = 0; i < sizeof(p->owned) / sizeof(*p->owned); i++)
		lade_free(p->owned[i]);
}

/* The lists, as they grow. */
struct lists {
	char hosts[1024], addresses[1024], ports[256];
	unsigned n;
};

static bool append(char *list, size_t room, bool first, const char *text, size_t len)
{
	size_t at = strlen(list);

	if (at + len + 2 > room)
		return false;
	snprintf(list + at, room - at, "%s%.*s", first ? "" : ",", (int)len, text);
	return true;
}

static void add_host(struct lists *l, const char *host, size_t len, const char *address,
		     unsigned port)
{
	struct lists before = *l;
	char number[8];

	snprintf(number, sizeof(number), "%u", port);
	if (append(l->hosts, sizeof(l->hosts), !l->n, host, len) &&
	    append(l->addresses, sizeof(l->addresses), !l->n, address, strlen(address)) &&
	    append(l->ports, sizeof(l->ports), !l->n, number, strlen(number)))
		l->n++;
	else
		*l = before;
}

static void add_addresses(struct lists *l, const char *host, size_t len,
			  const struct lade_addresses *found, unsigned port)
{
	for (uint32_t i = 0; i < found->count; i++) {
		const struct sockaddr *a = (const void *)found->list[i].bytes;
		const struct sockaddr_in *v4 = (const void *)a;
		const struct sockaddr_in6 *v6 = (const void *)a;
		const void *bytes = a->sa_family == AF_INET ? (const void *)&v4->sin_addr
							    : (const void *)&v6->sin6_addr;
		char text[INET6_ADDRSTRLEN];

		if (inet_ntop(a->sa_family, bytes, text, sizeof(text)))
			add_host(l, host, len, text, port);
	}
}

/* The port of the host at @i: one for all, or one for each. */
static unsigned port_of(const char *ports, unsigned i)
{
	unsigned long port;

	if (!ports || !*ports)
		return PORT;
	if (strchr(ports, ','))
		for (; i && strchr(ports, ','); i--)
			ports = strchr(ports, ',') + 1;
	port = strtoul(ports, NULL, 10);
	return port && port <= UINT16_MAX ? (unsigned)port : PORT;
}

static int add_name(struct lists *l, const char *host, size_t len, unsigned port,
		    struct lade_pg_error *error, const char *site)
{
	struct lade_addresses found;
	char name[256];
	int rc;

	if (len == 0 || *host == '/' || *host == '@' || len >= sizeof(name)) {
		add_host(l, host, len, "", port);
		return 0;
	}
	snprintf(name, sizeof(name), "%.*s", (int)len, host);
	rc = lade_resolve_at(name, (uint16_t)port, &found, site);
	if (rc == -ECANCELED || rc == -ENOMEM)
		return rc;
	if (rc < 0)
		return lade_pg_fail(error, LADE_PG_PASSING, -1, "host %.100s: %.60s", name,
				    rc == -ENOENT ? "no such name" : strerror(-rc));
	add_addresses(l, host, len, &found, port);
	return 0;
}

static int look_up(struct lade_pg_place *p, struct lists *l, struct lade_pg_error *error,
		   const char *site)
{
	const char *host = p->owned[1];
	int rc = 0, last = 0;

	/* Of several one will do. */
	for (unsigned i = 0;; i++) {
		size_t len = strcspn(host, ",");

		rc = add_name(l, host, len, port_of(p->owned[2], i), error, site);
		if (rc == -ECANCELED || rc == -ENOMEM)
			return rc;
		last = rc < 0 ? rc : last;
		if (!host[len])
			break;
		host += len + 1;
	}
	return l->n ? 0 : last;
}

int lade_pg_place_find(struct lade_pg_place *p, struct lade_pg_error *error, const char *site)
{
	struct lists *l;
	int rc;

	if (p->host_at < 0 || p->until_ns > lade_now().mono_ns)
		return 0;
	l = lade_calloc(1, sizeof(*l));
	if (!l)
		return lade_pg_fail(error, LADE_PG_MEMORY, -1, "out of memory");
	rc = look_up(p, l, error, site);
	if (rc == 0) {
		memcpy(p->hosts, l->hosts, sizeof(l->hosts));
		memcpy(p->addresses, l->addresses, sizeof(l->addresses));
		memcpy(p->ports, l->ports, sizeof(l->ports));
		p->until_ns = lade_now().mono_ns + ADDRESS_NS;
	}
	lade_free(l);
	return rc;
}
