/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_SOCKET_H
#define LADE_PIPELINE_SOCKET_H

/* socket.h - the name of a running pipeline's socket, and who has it. */

#include <stdbool.h>
#include <stddef.h>

#define LADE_SOCKET_ROOM 108 /* bytes of its path, with the 0 behind it */

/* A name that is ours, while its lock is held. */
struct lade_pipe_socket {
	char path[LADE_SOCKET_ROOM];	       /* of the socket; "": none */
	char lock_path[LADE_SOCKET_ROOM + 8];  /* of its lock */
	int lock_fd;			       /* -1: none */
};

/* lade_pipe_socket_folder - the folder of the sockets of this user: $XDG_RUNTIME_DIR/lade, else
 * /tmp/lade-UID.
 *
 * Returns 0 or -ENAMETOOLONG. */
int lade_pipe_socket_folder(char ret[LADE_SOCKET_ROOM]);

/* lade_pipe_socket_make_folder - makes it where it is missing.
 *
 * Returns 0; -EPERM: it is not this user's alone; another -errno. */
int lade_pipe_socket_make_folder(const char *folder);

/* lade_pipe_socket_claim - makes a name ours: a socket of a dead process is removed.
 *
 * Returns 0; -EADDRINUSE: a living process has it; -EEXIST: it is not a socket; another -errno. */
int lade_pipe_socket_claim(struct lade_pipe_socket *socket, const char *path);

/* lade_pipe_socket_release - removes socket and lock, and forgets the name. */
void lade_pipe_socket_release(struct lade_pipe_socket *socket);

#endif
