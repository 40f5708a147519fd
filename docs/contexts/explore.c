/* SPDX-License-Identifier: MIT */
/* explore.c - a client, a paid service and a store: what the pages on the explorer talk of. */

#include <lade/explore.h>
#include <lade/lade.h>

struct client {
	int fd;
};

struct reply {
	char text[64];
};

int fetch(long key, struct reply *ret);
int send_reply(struct client *client, const struct reply *reply);
void store(long key, const struct reply *reply);
int start_service(struct lade_scope *world);
extern struct client client;

@code@
