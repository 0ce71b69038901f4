/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox: what is forbidden kills, what is needed works, nothing comes back. Each case runs in
 * a process of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/sandbox.h"

/* An attempt: true when the system let it happen. */
typedef bool attempt(void);

static bool
do_open(void)
{
	return open("/etc/passwd", O_RDONLY) >= 0;
}

static bool
do_create(void)
{
	return syscall(SYS_openat, AT_FDCWD, "/tmp/x", O_CREAT | O_WRONLY, 0600) >= 0;
}

static bool
do_exec(void)
{
	char *const arguments[] = { (char *)(uintptr_t) "true", NULL };

	return execve("/bin/true", arguments, NULL) == 0;
}

static bool
do_fork(void)
{
	return fork() >= 0;
}

static bool
do_ptrace(void)
{
	return ptrace(PTRACE_ATTACH, 1, NULL, NULL) == 0;
}

static bool
do_kill(void)
{
	return kill(getppid(), 0) == 0;
}

static bool
do_setuid(void)
{
	return setuid(0) == 0;
}

static bool
do_unlink(void)
{
	return unlink("/tmp/no-such-file") == 0;
}

static bool
do_bind(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	return bind(0, (struct sockaddr *)&a, sizeof(a)) == 0;
}

static bool
do_memfd(void)
{
	return memfd_create("x", 0) >= 0;
}

static bool
do_executable_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
	    MAP_FAILED;
}

static bool
do_make_executable(void)
{
	void *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(at, 4096, PROT_READ | PROT_EXEC) == 0;
}

static bool
do_unshare(void)
{
	return unshare(CLONE_NEWUSER) == 0;
}

static bool
do_unix_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) >= 0;
}

static bool
do_inet_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) >= 0;
}

static bool
do_inet6_socket(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 || errno == EAFNOSUPPORT;
}

static bool
do_udp_socket(void)
{
	return socket(AF_INET, SOCK_DGRAM, 0) >= 0;
}

static bool
do_raw_socket(void)
{
	return socket(AF_INET, SOCK_RAW, 1) >= 0;
}

static bool
do_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0) >= 0;
}

/* What each of our processes does all day. */
static bool
do_daily_work(void)
{
	char bytes[32];
	struct stat st;
	void *at = malloc(1 << 20);

	free(at);
	return getrandom(bytes, sizeof(bytes), 0) == sizeof(bytes) && fstat(2, &st) == 0 &&
	    write(2, "", 0) == 0 && getpid() > 0 && fcntl(2, F_GETFL) >= 0;
}

static const struct {
	const char *name;
	attempt *attempt;
	bool post, office; /* is it allowed? */
} attempts[] = {
	{ "daily work", do_daily_work, true, true },
	{ "open", do_open, false, false },
	{ "create", do_create, false, false },
	{ "exec", do_exec, false, false },
	{ "fork", do_fork, false, false },
	{ "ptrace", do_ptrace, false, false },
	{ "kill", do_kill, false, false },
	{ "setuid", do_setuid, false, false },
	{ "unlink", do_unlink, false, false },
	{ "bind", do_bind, false, false },
	{ "memfd", do_memfd, false, false },
	{ "executable memory", do_executable_memory, false, false },
	{ "make executable", do_make_executable, false, false },
	{ "unshare", do_unshare, false, false },
	{ "Unix socket", do_unix_socket, false, true },
	{ "TCP socket", do_inet_socket, true, false },
	{ "TCP socket, IPv6", do_inet6_socket, true, false },
	{ "UDP socket", do_udp_socket, false, false },
	{ "raw socket", do_raw_socket, false, false },
	{ "netlink", do_netlink, false, false },
};

/* Run FN in a process of its own; its wait status. */
static int
apart(int (*fn)(const void *), const void *arg)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(fn(arg));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

struct filtered {
	enum sandbox_role role;
	attempt *attempt;
	bool in_thread;
};

static pthread_barrier_t barrier;

static void *
thread_attempt(void *arg)
{
	attempt *a = *(attempt **)arg;

	(void)pthread_barrier_wait(&barrier);
	return a() ? arg : NULL;
}

static int
run_filtered(const void *arg)
{
	const struct filtered *f = arg;
	const struct rlimit no_core = { 0, 0 };
	attempt *what = f->attempt;
	pthread_t thread;
	void *worked = NULL;

	(void)setrlimit(RLIMIT_CORE, &no_core);
	if (f->in_thread) {
		(void)pthread_barrier_init(&barrier, NULL, 2);
		(void)pthread_create(&thread, NULL, thread_attempt, &what);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || sandbox_filter(f->role) != OK)
		return 2;
	if (!f->in_thread)
		return what() ? 0 : 1;
	(void)pthread_barrier_wait(&barrier);
	(void)pthread_join(thread, &worked);
	return worked != NULL ? 0 : 1;
}

static void
assert_attempt(size_t i, enum sandbox_role role, bool allowed, bool in_thread)
{
	struct filtered f = { role, attempts[i].attempt, in_thread };
	int status = apart(run_filtered, &f);
	bool right = allowed ? WIFEXITED(status) && WEXITSTATUS(status) == 0
			     : WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;

	if (!right)
		fail_msg("%s as %s: status %#x", attempts[i].name,
		    role == SANDBOX_POST ? "post" : "office", (unsigned)status);
}

static void
test_filter_allows_its_role_and_kills_the_rest(void **state)
{
	(void)state;
	if (sandbox_is_sanitized())
		skip();
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		assert_attempt(i, SANDBOX_POST, attempts[i].post, false);
		assert_attempt(i, SANDBOX_OFFICE, attempts[i].office, false);
	}
}

static void
test_filter_holds_for_threads_that_are_there(void **state)
{
	(void)state;
	if (sandbox_is_sanitized())
		skip();
	assert_attempt(1, SANDBOX_POST, false, true);
	assert_attempt(3, SANDBOX_OFFICE, false, true);
}

static int
run_early(const void *arg)
{
	int high = fcntl(2, F_DUPFD, 50), low = fcntl(2, F_DUPFD, 4);
	struct rlimit core;

	(void)arg;
	if (sandbox_early(low + 1) != OK)
		return 1;
	if (fcntl(high, F_GETFD) >= 0 || fcntl(low, F_GETFD) < 0)
		return 2;
	if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur != 0 || core.rlim_max != 0)
		return 3;
	if (!sandbox_is_sanitized() && prctl(PR_GET_DUMPABLE) != 0)
		return 4;
	if (umask(0) != 0077)
		return 5;
	return 0;
}

static void
test_early_closes_and_forbids(void **state)
{
	(void)state;
	assert_int_equal(apart(run_early, NULL), 0);
}

static char folder[] = "/tmp/citex-sandbox-XXXXXX";

static int
run_drop(const void *arg)
{
	const struct sandbox *s = arg;
	uid_t real, effective, saved;
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/made", folder);
	if (sandbox_as_user(s) != OK)
		return 1;
	(void)close(open(path, O_CREAT | O_WRONLY, 0600));
	if (sandbox_as_root(s) != OK || stat(path, &st) != 0 || st.st_uid != s->user)
		return 2;
	if (sandbox_drop(s) != OK)
		return 3;
	if (getresuid(&real, &effective, &saved) != 0 || real != s->user || effective != s->user ||
	    saved != s->user)
		return 4;
	if (getgroups(0, NULL) != 0 || getegid() != s->group)
		return 5;
	if (open("/etc/passwd", O_RDONLY) >= 0)
		return 6;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 7;
	if (!sandbox_is_sanitized() && prctl(PR_GET_DUMPABLE) != 0)
		return 8;
	return setuid(0) == 0 ? 9 : 0;
}

static void
test_drop_leaves_nothing_of_root(void **state)
{
	struct sandbox s = {
		.role = SANDBOX_POST, .change_user = true, .user = 65534, .group = 65534
	};
	char path[64];

	(void)state;
	if (getuid() != 0)
		skip();
	assert_non_null(mkdtemp(folder));
	assert_return_code(chown(folder, 65534, 65534), errno);
	s.root = folder;
	assert_int_equal(apart(run_drop, &s), 0);
	(void)snprintf(path, sizeof(path), "%s/made", folder);
	(void)unlink(path);
	(void)rmdir(folder);
}

static int
run_torn_store(const void *arg)
{
	int out = *(const int *)arg;
	FILE *f = tmpfile();
	char *at;

	(void)dup2(out, 2);
	if (f == NULL || ftruncate(fileno(f), 4096) != 0)
		return 1;
	at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(f), 0);
	sandbox_name_store("/var/lib/citex/spool.mdb");
	if (ftruncate(fileno(f), 0) != 0)
		return 1;
	return *(volatile char *)at;
}

static void
test_torn_store_is_named(void **state)
{
	int pipes[2], status;
	char text[256] = "";

	(void)state;
	if (sandbox_is_sanitized())
		skip();
	assert_return_code(pipe(pipes), errno);
	status = apart(run_torn_store, &pipes[1]);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), err_exit_status(ERR_CORRUPT));
	assert_true(read(pipes[0], text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, "/var/lib/citex/spool.mdb"));
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filter_allows_its_role_and_kills_the_rest),
		cmocka_unit_test(test_filter_holds_for_threads_that_are_there),
		cmocka_unit_test(test_early_closes_and_forbids),
		cmocka_unit_test(test_drop_leaves_nothing_of_root),
		cmocka_unit_test(test_torn_store_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
