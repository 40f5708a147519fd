/* SPDX-License-Identifier: MIT */
/* tcp.c - listen, accept, connect; by TCP, and by UNIX sockets.
 *
 * A descriptor that arrives although a cancel was on its way is returned (rule 11): accept and
 * connect look once more before they say -ECANCELED. */

#include "io/sys_priv.h"

#include <lade/io.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HOST_MAX 256

/* Splits "host:port" or "[v6]:port".  Returns 0, or -EINVAL. */
static int split_host_port(const char *text, char host[HOST_MAX], uint16_t *ret_port)
{
	const char *colon = strrchr(text, ':');
	size_t len;
	char *end;
	long port;

	if (!colon || colon[1] < '0' || colon[1] > '9')
		return -EINVAL;
	port = strtol(colon + 1, &end, 10);
	if (*end || port > 65535)
		return -EINVAL;
	len = (size_t)(colon - text);
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= HOST_MAX)
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = 0;
	*ret_port = (uint16_t)port;
	return 0;
}

/* Reads a numeric address.  Returns its length, or 0. */
static uint8_t numeric_address(const char *host, uint16_t port, uint8_t bytes[28])
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	if (inet_pton(AF_INET, *host ? host : "0.0.0.0", &v4.sin_addr) == 1) {
		memcpy(bytes, &v4, sizeof(v4));
		return sizeof(v4);
	}
	if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
		memcpy(bytes, &v6, sizeof(v6));
		return sizeof(v6);
	}
	return 0;
}

static bool is_path(const char *address)
{
	return strncmp(address, "unix:", 5) == 0;
}

/* Reads "unix:path".  Returns 0; -EINVAL: no path; -ENAMETOOLONG. */
static int path_address(const char *address, struct sockaddr_un *ret)
{
	const char *path = address + 5;

	if (!*path)
		return -EINVAL;
	if (strlen(path) >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	strcpy(ret->sun_path, path);
	return 0;
}

static int listen_at(const struct sockaddr *where, socklen_t len, int *ret_fd)
{
	int fd = lade_sys_here()->listen(where, len);

	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

int lade_listen(const char *address, int *ret_fd)
{
	_Alignas(struct sockaddr_in6) uint8_t bytes[28];
	struct sockaddr_un path;
	char host[HOST_MAX];
	uint16_t port;
	uint8_t len;

	if (is_path(address)) {
		int rc = path_address(address, &path);

		return rc < 0 ? rc : listen_at((const void *)&path, sizeof(path), ret_fd);
	}
	if (split_host_port(address, host, &port) < 0)
		return -EINVAL;
	len = numeric_address(host, port, bytes);
	return len ? listen_at((const void *)bytes, len, ret_fd) : -EINVAL;
}

int lade_shutdown(int fd)
{
	return lade_sys_here()->shutdown(fd);
}

int lade_local_port(int fd)
{
	return lade_sys_here()->local_port(fd);
}

/* A connection that the peer gave up while it was queued is none: the next is taken. */
static bool passes(int error)
{
	return error == EINTR || error == ECONNABORTED || error == EPROTO;
}

static int wait_accept(int listener, const char *site)
{
	struct lade_io io = { .op = { .what = "accept", .site = site },
			      .code = IO_ACCEPT,
			      .fd = listener,
			      .flags = SOCK_CLOEXEC | SOCK_NONBLOCK };
	int rc = lade_io_wait(&io);

	if (rc < 0 && passes(-rc))
		return -EAGAIN;
	if (rc != -EOPNOTSUPP)
		return rc;
	io = (struct lade_io){ .op = { .what = "accept", .site = site },
			       .code = IO_POLL,
			       .fd = listener,
			       .events = POLLIN };
	rc = lade_io_wait(&io);
	return rc < 0 ? rc : -EAGAIN;
}

int lade_accept_at(int listener, int *ret_fd, const char *site)
{
	int rc = lade_enter(site), waited = -EAGAIN;

	if (rc < 0)
		return rc;
	for (;;) {
		rc = lade_sys_here()->accept(listener);
		if (waited == -ECANCELED)
			rc = lade_outran(rc);
		if (rc != -EAGAIN || waited == -ECANCELED)
			break;
		waited = wait_accept(listener, site);
		if (waited != -EAGAIN && waited != -ECANCELED) {
			rc = waited;
			break;
		}
	}
	if (rc < 0)
		return rc == -EAGAIN ? -ECANCELED : rc;
	lade_sys_here()->no_delay(rc);
	*ret_fd = rc;
	return 0;
}

static int finish_connect(int fd, const char *site)
{
	for (;;) {
		struct lade_io io = { .op = { .what = "connect", .site = site },
				      .code = IO_POLL,
				      .fd = fd,
				      .events = POLLOUT };
		int waited = lade_io_wait(&io), rc;

		if (waited < 0 && waited != -ECANCELED)
			return waited;
		rc = lade_sys_here()->connect_state(fd);
		if (rc != -EINPROGRESS)
			return waited < 0 ? lade_outran(rc) : rc;
		if (waited < 0)
			return waited;
	}
}

static int connect_at(const struct sockaddr *where, socklen_t len, int *ret_fd, const char *site)
{
	int fd, rc = lade_enter(site);

	if (rc < 0)
		return rc;
	rc = lade_sys_here()->connect(where, len, &fd);
	if (rc == -EINPROGRESS) {
		rc = finish_connect(fd, site);
		if (rc < 0)
			lade_close(fd);
	}
	if (rc < 0)
		return rc;
	*ret_fd = fd;
	return 0;
}

int lade_connect_at(const struct lade_address *address, int *ret_fd, const char *site)
{
	_Alignas(struct sockaddr_in6) uint8_t bytes[28];

	memcpy(bytes, address->bytes, sizeof(bytes));
	return connect_at((const void *)bytes, address->len, ret_fd, site);
}

int lade_connect_to_at(const char *host_port, int *ret_fd, const char *site)
{
	struct lade_addresses found;
	struct sockaddr_un path;
	char host[HOST_MAX];
	uint16_t port;
	int rc;

	if (is_path(host_port)) {
		rc = path_address(host_port, &path);
		return rc < 0 ? rc : connect_at((const void *)&path, sizeof(path), ret_fd, site);
	}
	if (split_host_port(host_port, host, &port) < 0 || !*host)
		return -EINVAL;
	rc = lade_resolve_at(host, port, &found, site);
	if (rc < 0)
		return rc;
	rc = -ENOENT;
	for (uint32_t i = 0; i < found.count; i++) {
		rc = lade_connect_at(&found.list[i], ret_fd, site);
		if (rc == 0 || rc == -ECANCELED)
			break;
	}
	return rc;
}
