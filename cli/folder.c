/* SPDX-License-Identifier: Apache-2.0 */
/* Making files where nobody can lead us elsewhere: each step is relative to a
 * descriptor, through no symbolic link, and makes a new file or fails. */
#include "cli/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/names.h"
#include "cli/words.h"

/* openat2() where the kernel has and allows it; else openat() with the same
 * flags, which for a single name comes to the same. */
static int
open_within(int folder, const char *name, uint64_t flags, uint64_t mode)
{
	struct open_how how = { .flags = flags | O_CLOEXEC | O_NOFOLLOW,
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	long fd = syscall(SYS_openat2, folder, name, &how, sizeof(how));
	if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
		return (int)fd;
	return openat(folder, name, (int)how.flags, (mode_t)mode);
}

/* mkdir -p, as the officer, who may have links in a path of his own. */
static int
make_path(const char *path)
{
	char *copy = xstrdup(path);
	int result = 0;
	for (char *at = copy + 1; result == 0 && *copy != '\0'; at++) {
		if (*at != '/' && *at != '\0')
			continue;
		bool end = *at == '\0';
		*at = '\0';
		if (mkdir(copy, 0700) != 0 && errno != EEXIST)
			result = -1;
		if (end)
			break;
		*at = '/';
	}
	free(copy);
	return result;
}

int
folder_open(const char *path, struct failure *why)
{
	int fd = -1;
	if (make_path(path) == 0)
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		(void)failure_errno(why, ERR_IO, _("the folder %s cannot be made or opened"), path);
	return fd;
}

int
folder_within(int folder, const char *name, struct failure *why)
{
	int fd = -1;
	if (!name_is_clean(name)) {
		(void)failure_set(why, ERR_VALUE, _("`%s' is no name for a folder"), name);
		return -1;
	}
	if (mkdirat(folder, name, 0700) == 0 || errno == EEXIST)
		fd = open_within(folder, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		(void)failure_errno(why, ERR_IO, _("the folder %s cannot be made or opened"), name);
	return fd;
}

int
folder_create(int folder, const char *name, struct failure *why)
{
	int fd;
	if (!name_is_clean(name)) {
		(void)failure_set(why, ERR_VALUE, _("`%s' is no name for a file"), name);
		return -1;
	}
	fd = open_within(folder, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0 && (errno == EEXIST || errno == ELOOP))
		(void)failure_set(why, ERR_EXISTS,
		    _("%s is there already; nothing is ever written over. "
		      "Choose another folder, or move it away"),
		    name);
	else if (fd < 0)
		(void)failure_errno(why, ERR_IO, _("the file %s cannot be made"), name);
	return fd;
}

enum err
folder_write(int fd, struct bytes what, struct failure *why)
{
	while (what.len > 0) {
		ssize_t n = write(fd, what.at, what.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failure_errno(why, ERR_IO, _("the file cannot be written"));
		what.at += n;
		what.len -= (size_t)n;
	}
	return OK;
}

enum err
folder_finish(int folder, const char *name, int fd, enum err e, struct failure *why)
{
	if (e == OK && fsync(fd) != 0 && errno != EINVAL && errno != EROFS)
		e = failure_errno(why, ERR_IO, "%s", name);
	if (close(fd) != 0 && e == OK)
		e = failure_errno(why, ERR_IO, "%s", name);
	if (e != OK)
		(void)unlinkat(folder, name, 0);
	return e;
}
