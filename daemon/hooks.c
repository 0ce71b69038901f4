/* SPDX-License-Identifier: Apache-2.0 */
/* Programs of the operator. Not here: which program belongs to which event
 * (conf.c), and what is worth an event (the office). The supervisor runs them
 * because a child's filter allows no program at all; what a child says is
 * checked like anything from outside. */
#include "daemon/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/log.h"
#include "proto/bytes.h"
#include "proto/ids.h"
#include "proto/limits.h"

#define EVENT_MAX_BYTES 15
#define KIND_MAX_BYTES 64

struct hook { /* one that waits */
	char *program;
	char event[EVENT_MAX_BYTES + 1];
	char id[ID_TEXT_BYTES];
	char kind[KIND_MAX_BYTES + 1];
	struct hook *next;
};

struct run { /* one that runs */
	struct hooks *of;
	pid_t pid; /* 0: free */
	struct timer *limit;
};

struct hooks {
	struct loop *loop;
	struct hooks_user as;
	struct run runs[HOOKS_RUNNING_MAX];
	struct hook *first, **end; /* oldest first */
	unsigned waiting;
};

/* In the new process: from here to the program only what is safe there. */

static bool
become(const struct hooks_user *as)
{
	if (!as->change)
		return true;
	return setgroups(0, NULL) == 0 && setresgid(as->group, as->group, as->group) == 0 &&
	    setresuid(as->user, as->user, as->user) == 0;
}

static void
be_hook(const struct hooks_user *as, const struct hook *h)
{
	char *const nothing[] = { NULL };
	char *arguments[] = { h->program, (char *)(uintptr_t)h->event, (char *)(uintptr_t)h->id,
		(char *)(uintptr_t)h->kind, NULL };
	const struct rlimit no_core = { 0, 0 };
	sigset_t none;
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 ||
	    close_range(3, ~0U, 0) != 0)
		_exit(127);
	if (setpgid(0, 0) != 0 || setrlimit(RLIMIT_CORE, &no_core) != 0 || chdir("/") != 0 ||
	    !become(as))
		_exit(127);
	for (int signo = 1; signo < NSIG; signo++)
		(void)signal(signo, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execve(h->program, arguments, nothing);
	_exit(127);
}

static void
hook_free(struct hook *h)
{
	free(h->program);
	free(h);
}

static void
kill_run(struct run *r)
{
	(void)kill(-r->pid, SIGKILL);
	(void)kill(r->pid, SIGKILL); /* it may not yet lead its group */
}

static void
on_limit(void *arg)
{
	struct run *r = arg;

	log_event(LEVEL_WARNING, "hook-too-slow", LOG_NUM("pid", r->pid));
	kill_run(r);
}

static void
start_run(struct hooks *h, struct run *r, const struct hook *what)
{
	pid_t pid = fork();

	if (pid == 0)
		be_hook(&h->as, what);
	if (pid < 0) {
		log_event(LEVEL_WARNING, "hook-failed", LOG_TEXT("program", what->program),
		    LOG_TEXT("words", strerror(errno)));
		return;
	}
	(void)setpgid(pid, pid); /* both do it: who comes first does not matter */
	r->pid = pid;
	timer_set(r->limit, loop_now(h->loop).mono_ms + HOOK_MAX_MS);
	log_event(LEVEL_DEBUG, "hook", LOG_TEXT("program", what->program),
	    LOG_TEXT("event", what->event), LOG_TEXT("id", what->id), LOG_NUM("pid", pid));
}

static void
start_waiting(struct hooks *h)
{
	for (size_t i = 0; i < HOOKS_RUNNING_MAX && h->first != NULL; i++) {
		struct hook *next = h->first;

		if (h->runs[i].pid != 0)
			continue;
		h->first = next->next;
		if (h->first == NULL)
			h->end = &h->first;
		h->waiting--;
		start_run(h, &h->runs[i], next);
		hook_free(next);
	}
}

struct hooks *
hooks_new(struct loop *l, const struct hooks_user *as)
{
	struct hooks *h = xalloc(sizeof(*h));

	h->loop = l;
	h->as = *as;
	h->end = &h->first;
	for (size_t i = 0; i < HOOKS_RUNNING_MAX; i++) {
		h->runs[i].of = h;
		h->runs[i].limit = timer_new(l, on_limit, &h->runs[i]);
	}
	return h;
}

void
hooks_free(struct hooks *h)
{
	if (h == NULL)
		return;
	for (size_t i = 0; i < HOOKS_RUNNING_MAX; i++) {
		if (h->runs[i].pid != 0) {
			kill_run(&h->runs[i]);
			(void)waitpid(h->runs[i].pid, NULL, 0);
		}
		timer_free(h->runs[i].limit);
	}
	while (h->first != NULL) {
		struct hook *next = h->first->next;
		hook_free(h->first);
		h->first = next;
	}
	free(h);
}

void
hooks_set_user(struct hooks *h, const struct hooks_user *as)
{
	h->as = *as;
}

/* Letters, digits, dashes, dots; it can't be taken for an option. */
static bool
is_word(const char *text, size_t most)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";

	return strlen(text) <= most && text[0] != '-' && text[strspn(text, good)] == '\0';
}

enum err
hooks_run(struct hooks *h, const char *program, const char *event, const char *id, const char *kind)
{
	struct hook *made;
	struct id parsed;

	if (*event == '\0' || !is_word(event, EVENT_MAX_BYTES) ||
	    (*id != '\0' && id_parse(id, &parsed) != OK) || !is_word(kind, KIND_MAX_BYTES))
		return ERR_VALUE;
	if (h->waiting >= HOOKS_WAITING_MAX)
		return ERR_QUEUE_FULL;
	made = xalloc(sizeof(*made));
	made->program = xstrdup(program);
	memcpy(made->event, event, strlen(event));
	if (*id != '\0')
		id_print(parsed, made->id);
	memcpy(made->kind, kind, strlen(kind));
	*h->end = made;
	h->end = &made->next;
	h->waiting++;
	start_waiting(h);
	return OK;
}

static void
log_end(pid_t pid, int status)
{
	if (WIFSIGNALED(status))
		log_event(LEVEL_WARNING, "hook-killed", LOG_NUM("pid", pid),
		    LOG_NUM("signal", WTERMSIG(status)));
	else if (WEXITSTATUS(status) != 0)
		log_event(LEVEL_WARNING, "hook-ended", LOG_NUM("pid", pid),
		    LOG_NUM("status", WEXITSTATUS(status)));
}

void
hooks_reap(struct hooks *h)
{
	for (size_t i = 0; i < HOOKS_RUNNING_MAX; i++) {
		struct run *r = &h->runs[i];
		int status = 0;

		if (r->pid == 0 || waitpid(r->pid, &status, WNOHANG) != r->pid)
			continue;
		(void)kill(-r->pid, SIGKILL); /* what it left behind in its group */
		log_end(r->pid, status);
		timer_set(r->limit, INT64_MAX);
		r->pid = 0;
	}
	start_waiting(h);
}

unsigned
hooks_running(const struct hooks *h)
{
	unsigned n = 0;

	for (size_t i = 0; i < HOOKS_RUNNING_MAX; i++)
		n += h->runs[i].pid != 0;
	return n;
}
