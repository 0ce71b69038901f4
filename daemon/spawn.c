/* SPDX-License-Identifier: Apache-2.0 */
/* fork() and execve(). The program is named by /proc/self/exe, so that a child
 * is of the same build as its supervisor even after the file was replaced.
 * Between fork and exec only what is safe there is called. */
#include "daemon/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"

/* FDS become 3, 4, ...; by a detour over higher numbers, so that none lands on another. */
static bool
arrange(const int *fds, size_t count)
{
	int above = SPAWN_FIRST_FD + (int)count;
	int detour[SPAWN_FDS_MAX];
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		detour[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, above);
		if (detour[i] < 0)
			return false;
	}
	for (size_t i = 0; i < count; i++)
		if (dup2(detour[i], SPAWN_FIRST_FD + (int)i) < 0)
			return false;
	return close_range((unsigned)above, ~0U, 0) == 0;
}

static void
be_child(const char *const *arguments, const int *fds, size_t count)
{
	char *const nothing[] = { NULL };
	sigset_t none;

	if (!arrange(fds, count))
		_exit(err_exit_status(ERR_SYSTEM));
	for (int signo = 1; signo < NSIG; signo++)
		(void)signal(signo, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execve("/proc/self/exe", (char *const *)(uintptr_t)arguments, nothing);
	_exit(err_exit_status(ERR_SYSTEM));
}

enum err
spawn_self(const char *const *arguments, const int *fds, size_t count, pid_t *pid)
{
	if (count > SPAWN_FDS_MAX)
		return ERR_TOO_MANY;
	*pid = fork();
	if (*pid == 0)
		be_child(arguments, fds, count);
	if (*pid > 0)
		return OK;
	log_event(LEVEL_ERROR, "fork-failed", LOG_TEXT("words", strerror(errno)));
	return ERR_SYSTEM;
}
