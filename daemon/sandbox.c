/* SPDX-License-Identifier: Apache-2.0 */
/* What a process gives up before it reads a byte from outside. Not here: who
 * starts it and with which descriptors (supervisor.c).
 *
 * The filter names what is allowed; everything else kills the whole process, so
 * that a program that does what ours never do gets no second try. The list was
 * measured (strace of post and office under load) with what glibc needs to
 * report its own death. mmap() and mprotect() are allowed without execution.
 *
 * Known weakness: under the address and thread sanitizers there is no filter,
 * and the process stays dumpable, because they need both. */
#include "daemon/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/log.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

bool
sandbox_is_sanitized(void)
{
	return SANITIZED;
}

/* Log what the system refused. */
static enum err
refused(const char *what)
{
	log_event(LEVEL_ERROR, "sandbox-refused", LOG_TEXT("what", what),
	    LOG_TEXT("words", strerror(errno)));
	return ERR_SYSTEM;
}

enum err
sandbox_early(int keep)
{
	const struct rlimit none = { 0, 0 };

	(void)umask(0077);
	(void)signal(SIGPIPE, SIG_IGN);
	if (close_range((unsigned)keep, ~0U, 0) != 0)
		return refused("close_range");
	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return refused("core");
	if (!SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return refused("dumpable");
	return OK;
}

enum err
sandbox_as_user(const struct sandbox *s)
{
	if (!s->change_user)
		return OK;
	if (setgroups(0, NULL) != 0)
		return refused("groups");
	if (setegid(s->group) != 0)
		return refused("group");
	if (seteuid(s->user) != 0)
		return refused("user");
	return OK;
}

enum err
sandbox_as_root(const struct sandbox *s)
{
	if (!s->change_user)
		return OK;
	if (seteuid(0) != 0)
		return refused("root");
	if (setegid(0) != 0)
		return refused("root group");
	return OK;
}

static enum err
become_user(const struct sandbox *s)
{
	if (chroot(s->root) != 0 || chdir("/") != 0)
		return refused("root folder");
	if (setgroups(0, NULL) != 0)
		return refused("groups");
	if (setresgid(s->group, s->group, s->group) != 0)
		return refused("group");
	if (setresuid(s->user, s->user, s->user) != 0)
		return refused("user");
	if (setuid(0) == 0 || seteuid(0) == 0) {
		errno = EPERM;
		return refused("giving up root");
	}
	return OK;
}

enum err
sandbox_drop(const struct sandbox *s)
{
	enum err e;

	if (s->change_user) {
		e = become_user(s);
		if (e != OK)
			return e;
	} else if (chdir("/") != 0) {
		return refused("chdir");
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return refused("no new privileges");
	/* changing the user has reset it */
	if (!SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return refused("dumpable");
	return OK;
}

/* The filter */

/* By name, because not every architecture has each of them. What was seen under load stands first
 * in each group, then what a library does in a rarer case. */
static const char *const allowed[] = {
	/* bytes */
	"read",
	"write",
	"writev",
	"pwrite64",
	"lseek",
	"fdatasync",
	"close",
	"readv",
	"pread64",
	"pwritev",
	"fsync",
	"fcntl",
	"fstat",
	"newfstatat",
	/* sockets that are there */
	"accept4",
	"connect",
	"sendto",
	"recvfrom",
	"getsockopt",
	"setsockopt",
	"getpeername",
	"shutdown",
	"sendmsg",
	"recvmsg",
	"getsockname",
	/* the loop */
	"epoll_wait",
	"epoll_ctl",
	"timerfd_settime",
	"epoll_pwait",
	"poll",
	"ppoll",
	/* memory */
	"munmap",
	"madvise",
	"brk",
	"mlock",
	"mlock2",
	"munlock",
	"mremap",
	/* threads that are there; one may just be beginning */
	"futex",
	"set_robust_list",
	"rseq",
	"futex_time64",
	"sched_yield",
	"sched_getaffinity",
	/* time and chance */
	"clock_gettime",
	"getrandom",
	"clock_getres",
	"clock_nanosleep",
	"nanosleep",
	"gettimeofday",
	"restart_syscall",
	/* signals and the end */
	"rt_sigreturn",
	"exit",
	"exit_group",
	"rt_sigaction",
	"rt_sigprocmask",
	/* who am I, and how much memory is there (qsort) */
	"getpid",
	"gettid",
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"sysinfo",
};

static int
allow(scmp_filter_ctx f, const char *name)
{
	int number = seccomp_syscall_resolve_name(name);

	if (number < 0)
		return 0; /* this architecture has none */
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, number, 0);
}

static int
allow_memory(scmp_filter_ctx f)
{
	int r = seccomp_rule_add(
	    f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

	if (r != 0)
		return r;
	return seccomp_rule_add(
	    f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

/* abort() sends itself a signal. */
static int
allow_own_death(scmp_filter_ctx f)
{
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
	    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
}

static int
allow_socket(scmp_filter_ctx f, int family)
{
	const scmp_datum_t extras = SOCK_NONBLOCK | SOCK_CLOEXEC;

	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
	    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family, 0),
	    SCMP_A1(SCMP_CMP_MASKED_EQ, ~extras & 0xffffffffU, SOCK_STREAM));
}

static int
allow_role(scmp_filter_ctx f, enum sandbox_role role)
{
	int r;

	if (role == SANDBOX_OFFICE)
		return allow_socket(f, AF_UNIX);
	r = allow_socket(f, AF_INET);
	return r != 0 ? r : allow_socket(f, AF_INET6);
}

static int
fill_filter(scmp_filter_ctx f, enum sandbox_role role)
{
	int r = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);

	for (size_t i = 0; r == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		r = allow(f, allowed[i]);
	if (r == 0)
		r = allow_memory(f);
	if (r == 0)
		r = allow_own_death(f);
	if (r == 0)
		r = allow_role(f, role);
	return r != 0 ? r : seccomp_load(f);
}

enum err
sandbox_filter(enum sandbox_role role)
{
	scmp_filter_ctx f;
	int r;

	if (SANITIZED) {
		log_event(LEVEL_WARNING, "no-filter", LOG_TEXT("why", "built with a sanitizer"));
		return OK;
	}
	f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (f == NULL)
		return refused("seccomp");
	r = fill_filter(f, role);
	seccomp_release(f);
	if (r == 0)
		return OK;
	errno = -r;
	return refused("seccomp");
}

/* SIGBUS */

static char store_words[512];
static size_t store_words_len;

static void
on_sigbus(int signo)
{
	ssize_t ignored = write(STDERR_FILENO, store_words, store_words_len);

	(void)signo;
	(void)ignored;
	_exit(err_exit_status(ERR_CORRUPT));
}

void
sandbox_name_store(const char *file)
{
	struct sigaction a = { .sa_handler = on_sigbus };
	int n = snprintf(store_words, sizeof(store_words),
	    "<3>store-torn file=\"%s\" words=\"the file is shorter than its own records say\"\n",
	    file);

	store_words_len = n < 0 ? 0 : (size_t)n;
	if (store_words_len >= sizeof(store_words))
		store_words_len = sizeof(store_words) - 1;
	(void)sigaction(SIGBUS, &a, NULL);
}
