/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/files.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool
write_all(int fd, struct bytes content)
{
	while (content.len > 0) {
		ssize_t n = write(fd, content.at, content.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		content.at += n;
		content.len -= (size_t)n;
	}
	return true;
}

static bool
sync_folder_of(const char *path)
{
	char *copy = xstrdup(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool done = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	free(copy);
	return done;
}

static enum err
write_temporary(const char *temporary, struct bytes content, mode_t mode)
{
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	bool done;

	if (fd < 0)
		return ERR_IO;
	done = fchmod(fd, mode) == 0 && write_all(fd, content) && fsync(fd) == 0;
	if (close(fd) != 0)
		done = false;
	if (!done)
		unlink(temporary);
	return done ? OK : ERR_IO;
}

static enum err
put(const char *path, struct bytes content, mode_t mode, bool replace)
{
	CLEANUP(buffer_release) struct buffer name = { 0 };
	const char *temporary;
	enum err e;

	buffer_printf(&name, "%s.new-%ld", path, (long)getpid());
	temporary = buffer_text(&name);
	(void)unlink(temporary); /* left by a process of that number that died */
	e = write_temporary(temporary, content, mode);
	if (e != OK)
		return e;
	/* link() refuses an existing name, rename() does not */
	if (replace ? rename(temporary, path) != 0 : link(temporary, path) != 0)
		e = !replace && errno == EEXIST ? ERR_EXISTS : ERR_IO;
	if (!replace || e != OK)
		unlink(temporary);
	if (e == OK && !sync_folder_of(path))
		e = ERR_IO;
	return e;
}

enum err
file_create(const char *path, struct bytes content, mode_t mode)
{
	return put(path, content, mode, false);
}

enum err
file_replace(const char *path, struct bytes content, mode_t mode)
{
	return put(path, content, mode, true);
}

enum err
file_read(const char *path, size_t max, struct buffer *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	uint8_t piece[16 * 1024];
	enum err e = fd < 0 ? ERR_IO : OK;
	size_t len = 0;

	while (e == OK) {
		ssize_t n = read(fd, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			e = ERR_IO;
		if (n <= 0)
			break;
		len += (size_t)n;
		if (len > max)
			e = ERR_TOO_LARGE;
		else
			buffer_add(out, (struct bytes){ piece, (size_t)n });
	}
	if (fd >= 0)
		close(fd);
	explicit_bzero(piece, sizeof(piece));
	return e != OK ? e : buffer_status(out);
}
