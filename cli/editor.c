/* SPDX-License-Identifier: Apache-2.0 */
/* A form in an editor. Plaintext must not reach a disk: hence tmpfs or nothing.
 * Weak: tmpfs may be swapped out; a machine with plaintext wants encrypted
 * swap (docs/guide.md). An editor set to keep its files elsewhere keeps them
 * elsewhere. */
#include "cli/editor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/words.h"
#include "proto/limits.h"

#define FORM_MAX_BYTES (256 * KIB)
#define FORM_NAME "citex-form.txt"

struct place {
	int base, folder; /* descriptors; -1: not open */
	char name[40]; /* of the folder, in base */
	const char *base_path;
	sigset_t mask; /* the officer's, for the editor and afterwards */
};

static enum err
refused(struct failure *why, const char *reason)
{
	return failure_set(
	    why, ERR_DENIED, _("--edit is refused: %s. Use options, or --from FILE"), reason);
}

static enum err
open_base(struct place *p, struct failure *why)
{
	struct statfs fs;
	p->base_path = getenv("XDG_RUNTIME_DIR");
	if (p->base_path == NULL || p->base_path[0] != '/')
		return refused(why, _("XDG_RUNTIME_DIR is not set"));
	p->base = open(p->base_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->base < 0)
		return refused(why, _("the folder in XDG_RUNTIME_DIR cannot be opened"));
	if (fstatfs(p->base, &fs) != 0 || (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC))
		return refused(why,
		    _("the folder in XDG_RUNTIME_DIR is not in memory (tmpfs), "
		      "and the text could stay on the disk"));
	return OK;
}

static enum err
open_place(struct place *p, struct failure *why)
{
	uint8_t chance[8];
	char hex[2 * sizeof(chance) + 1];
	enum err e = open_base(p, why);
	if (e != OK)
		return e;
	if (getrandom(chance, sizeof(chance), 0) != (ssize_t)sizeof(chance))
		return failure_errno(why, ERR_SYSTEM, "getrandom");
	hex_encode(BYTES_OF(chance), hex);
	(void)snprintf(p->name, sizeof(p->name), "citex-%s", hex);
	if (mkdirat(p->base, p->name, 0700) != 0) {
		p->name[0] = '\0';
		return refused(why, _("no folder can be made in XDG_RUNTIME_DIR"));
	}
	p->folder = openat(p->base, p->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return p->folder >= 0 ? OK : failure_errno(why, ERR_SYSTEM, "%s", p->name);
}

static void
wipe_file(int folder, const char *name)
{
	static const uint8_t zeros[16 * KIB];
	struct stat st;
	int fd = openat(folder, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		for (off_t left = st.st_size; left > 0;) {
			size_t len = left > (off_t)sizeof(zeros) ? sizeof(zeros) : (size_t)left;
			ssize_t n = write(fd, zeros, len);
			if (n <= 0)
				break;
			left -= n;
		}
	}
	if (fd >= 0)
		(void)close(fd);
	(void)unlinkat(folder, name, 0);
}

/* Whatever is there: the form, and what the editor made beside it. */
static void
wipe_all(int folder)
{
	int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = again >= 0 ? fdopendir(again) : NULL;
	if (dir == NULL)
		return;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			wipe_file(folder, entry->d_name);
	}
	(void)closedir(dir);
}

static void
close_place(struct place *p)
{
	if (p->folder >= 0) {
		wipe_all(p->folder);
		(void)close(p->folder);
	}
	if (p->base >= 0) {
		if (p->name[0] != '\0')
			(void)unlinkat(p->base, p->name, AT_REMOVEDIR);
		(void)close(p->base);
	}
}

static enum err
write_form(const struct place *p, const struct buffer *text, struct failure *why)
{
	struct bytes left = buffer_bytes(text);
	int fd = openat(
	    p->folder, FORM_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return failure_errno(why, ERR_IO, FORM_NAME);
	while (left.len > 0) {
		ssize_t n = write(fd, left.at, left.len);
		if (n < 0) {
			(void)failure_errno(why, ERR_IO, FORM_NAME);
			(void)close(fd);
			return ERR_IO;
		}
		left.at += n;
		left.len -= (size_t)n;
	}
	return close(fd) == 0 ? OK : failure_errno(why, ERR_IO, FORM_NAME);
}

static enum err
read_form(const struct place *p, struct buffer *text, struct failure *why)
{
	uint8_t piece[4 * KIB];
	ssize_t n;
	int fd = openat(p->folder, FORM_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return failure_errno(why, ERR_IO, FORM_NAME);
	buffer_wipe(text);
	while ((n = read(fd, piece, sizeof(piece))) > 0 && text->len <= FORM_MAX_BYTES)
		buffer_add(text, (struct bytes){ piece, (size_t)n });
	(void)close(fd);
	explicit_bzero(piece, sizeof(piece));
	if (n < 0)
		return failure_errno(why, ERR_IO, FORM_NAME);
	if (text->len > FORM_MAX_BYTES)
		return failure_set(why, ERR_TOO_LARGE, _("the form is too large"));
	return OK;
}

/* The shell takes $VISUAL apart, which may hold options and quotes; the path is an argument of its
 * own. */
static enum err
run_editor(const struct place *p, struct failure *why)
{
	CLEANUP(buffer_release) struct buffer path = { 0 };
	int status = 0;
	pid_t child;
	buffer_printf(&path, "%s/%s/%s", p->base_path, p->name, FORM_NAME);
	buffer_add_u8(&path, 0);
	child = fork();
	if (child == 0) {
		(void)sigprocmask(SIG_SETMASK, &p->mask, NULL);
		(void)execl("/bin/sh", "sh", "-c", "eval \"${VISUAL:-${EDITOR:-vi}} \\\"\\$1\\\"\"",
		    "sh", (const char *)path.at, (char *)NULL);
		_exit(127);
	}
	if (child < 0)
		return failure_errno(why, ERR_SYSTEM, "fork");
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return failure_errno(why, ERR_SYSTEM, "waitpid");
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return OK;
	return failure_set(why, ERR_VALUE, _("the editor ended with an error; nothing was sent"));
}

/* Nobody may end us between making the form and wiping it. */
static void
hold_signals(struct place *p)
{
	static const int ends[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGTSTP };
	sigset_t held;
	(void)sigemptyset(&held);
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		(void)sigaddset(&held, ends[i]);
	(void)sigprocmask(SIG_BLOCK, &held, &p->mask);
}

enum err
editor_run(struct buffer *text, struct failure *why)
{
	struct place p = { .base = -1, .folder = -1 };
	enum err e;
	hold_signals(&p);
	e = open_place(&p, why);
	if (e == OK)
		e = write_form(&p, text, why);
	if (e == OK)
		e = run_editor(&p, why);
	if (e == OK)
		e = read_form(&p, text, why);
	close_place(&p);
	(void)sigprocmask(SIG_SETMASK, &p.mask, NULL); /* one that came meanwhile ends us now */
	return e;
}
