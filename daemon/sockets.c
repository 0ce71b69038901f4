/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets. Not here: accepting (link.c), and who may be a caller (the
 * desk of each process, by the kernel's word). */
#include "daemon/sockets.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/address.h"

#define BACKLOG 512 /* the kernel cuts it to its own limit */

static enum err
wrong(struct buffer *why, const char *what, const char *which)
{
	enum err e = errno == EADDRINUSE ? ERR_LOCKED : ERR_SYSTEM;

	buffer_printf(why, "%s %s: %s", what, which, strerror(errno));
	return e;
}

static enum err
local_address(const char *path, struct sockaddr_un *a, struct buffer *why)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) < sizeof(a->sun_path)) {
		memcpy(a->sun_path, path, strlen(path));
		return OK;
	}
	errno = ENAMETOOLONG;
	return wrong(why, "socket", path);
}

/* Does somebody answer at A? */
static bool
is_alive(const struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool alive;

	if (fd < 0)
		return false;
	/* EAGAIN: its queue is full, therefore it lives */
	alive = connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno == EAGAIN;
	(void)close(fd);
	return alive;
}

static bool
is_stranger(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode);
}

/* Bind FD at A, a name nobody connects to yet, and give it its rights. */
static enum err
bind_local(int fd, const struct sockaddr_un *a, const struct socket_rights *r, struct buffer *why)
{
	(void)unlink(a->sun_path);
	if (bind(fd, (const struct sockaddr *)a, sizeof(*a)) != 0)
		return wrong(why, "binding", a->sun_path);
	if (r->change_owner && lchown(a->sun_path, r->user, r->group) != 0)
		return wrong(why, "giving away", a->sun_path);
	if (chmod(a->sun_path, r->mode) != 0)
		return wrong(why, "rights of", a->sun_path);
	if (listen(fd, BACKLOG) != 0)
		return wrong(why, "listening at", a->sun_path);
	return OK;
}

static enum err
bind_and_rename(int fd, const char *path, const struct socket_rights *r, struct buffer *why)
{
	struct sockaddr_un fresh;
	char name[sizeof(fresh.sun_path)];
	enum err e;

	/* one letter more than the name itself: conf.c sees to it that there is room */
	(void)snprintf(name, sizeof(name), "%.*s~", (int)sizeof(name) - 2, path);
	e = local_address(name, &fresh, why);
	if (e == OK)
		e = bind_local(fd, &fresh, r, why);
	if (e == OK && rename(name, path) != 0)
		e = wrong(why, "naming", path);
	if (e != OK)
		(void)unlink(name);
	return e;
}

enum err
socket_listen_local(
    const char *path, const struct socket_rights *rights, int *fd, struct buffer *why)
{
	struct sockaddr_un a;
	enum err e = local_address(path, &a, why);

	if (e != OK)
		return e;
	if (is_stranger(path)) {
		errno = ENOTSOCK;
		return wrong(why, "socket", path);
	}
	if (is_alive(&a)) {
		errno = EADDRINUSE;
		return wrong(why, "socket", path);
	}
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return wrong(why, "socket", path);
	e = bind_and_rename(*fd, path, rights, why);
	if (e != OK)
		(void)close(*fd);
	return e;
}

enum err
socket_listen(const char *address, int *fd, struct buffer *why)
{
	struct address a;
	int on = 1;

	errno = EINVAL;
	if (address_parse(address, &a) != OK)
		return wrong(why, "address", address);
	*fd = socket(a.at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return wrong(why, "socket", address);
	if (setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    (a.at.ss_family != AF_INET6 ||
		setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
	    bind(*fd, (const struct sockaddr *)&a.at, a.len) == 0 && listen(*fd, BACKLOG) == 0)
		return OK;
	(void)close(*fd);
	return wrong(why, "listening at", address);
}
