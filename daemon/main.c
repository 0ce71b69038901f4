/* SPDX-License-Identifier: Apache-2.0 */
/* citexd: options, and which role this process plays. Not here: what a role
 * does (role_*.c, supervisor.c). */
#include <event2/event.h>
#include <getopt.h>
#include <lmdb.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "daemon/backup.h"
#include "daemon/conf.h"
#include "daemon/roles.h"
#include "daemon/start.h"
#include "daemon/supervisor.h"
#include "pki/ossl.h"

#define DEFAULT_FILE CITEX_SYSCONFDIR "/citex/citexd.conf"

static const char usage[] =
    "citexd [-t] [-c FILE]          run the node of FILE, or only check (-t)\n"
    "citexd backup [-c FILE] DIR    copy the stores to DIR; the daemon may be running\n"
    "citexd restore [-c FILE] DIR   put the stores of a backup in their place\n"
    "citexd check [-c FILE]         walk every record of every store\n"
    "citexd --settings              list the settings of FILE\n"
    "citexd --version | --help\n"
    "FILE is " DEFAULT_FILE " when it is not named; see citexd.conf(5).\n";

struct options {
	const char *file;
	bool check_only;
};

/* Print TEXT; a failed write fails the command. */
static int
print(const char *text)
{
	return fputs(text, stdout) >= 0 && fflush(stdout) == 0 ? 0 : err_exit_status(ERR_IO);
}

static int
print_version(void)
{
	CLEANUP(buffer_release) struct buffer text = { 0 };

	buffer_printf(&text, "citexd %s\n%s\n%s\nlibevent %s\nprotobuf-c %s\n", PACKAGE_VERSION,
	    ossl_version(), mdb_version(NULL, NULL, NULL), event_get_version(),
	    protobuf_c_version());
	return print(buffer_text(&text));
}

static int
print_settings(void)
{
	CLEANUP(buffer_release) struct buffer text = { 0 };

	conf_print_settings(&text);
	return print(buffer_text(&text));
}

static int
wrong_use(const char *words)
{
	(void)fprintf(stderr, "citexd: %s\n%s", words, usage);
	return err_exit_status(ERR_USAGE);
}

/* -1: go on; else the exit status. */
static int
parse(int argc, char **argv, struct options *o)
{
	enum { ASK_HELP = 1000, ASK_VERSION, ASK_SETTINGS };
	static const struct option options[] = { { "help", no_argument, NULL, ASK_HELP },
		{ "version", no_argument, NULL, ASK_VERSION },
		{ "settings", no_argument, NULL, ASK_SETTINGS }, { NULL, 0, NULL, 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "c:ft", options, NULL)) != -1)
		switch (c) {
		case 'c':
			o->file = optarg;
			break;
		case 'f':
			break;
		case 't':
			o->check_only = true;
			break;
		case ASK_HELP:
			return print(usage);
		case ASK_VERSION:
			return print_version();
		case ASK_SETTINGS:
			return print_settings();
		default:
			(void)fputs(usage, stderr);
			return err_exit_status(ERR_USAGE);
		}
	return -1;
}

static int
check_only(const char *file)
{
	enum err e = role_check(file);

	if (e != OK)
		return err_exit_status(e);
	return printf("%s: good\n", file) > 0 && fflush(stdout) == 0 ? 0 : err_exit_status(ERR_IO);
}

static int
run_node(int argc, char **argv)
{
	struct options o = { .file = DEFAULT_FILE };
	int status = parse(argc, argv, &o);

	if (status >= 0)
		return status;
	if (optind < argc)
		return wrong_use("there are words too many");
	return o.check_only ? check_only(o.file) : err_exit_status(supervisor_run(o.file));
}

/* citexd --role WORD ...: processes started by the supervisor. */
static int
run_role(int argc, char **argv)
{
	const char *role = argc > 2 ? argv[2] : "";

	if (strcmp(role, "post") == 0)
		return err_exit_status(role_post());
	if (strcmp(role, "office") == 0)
		return err_exit_status(role_office());
	if (strcmp(role, "check") != 0 || argc != 5)
		return wrong_use("--role is for the supervisor alone");
	if (argv[4][0] != '\0')
		start_set_credentials(argv[4]);
	return err_exit_status(role_check(argv[3]));
}

static const struct {
	const char *name;
	enum err (*run)(const struct conf *c, const char *dir, struct buffer *why);
	int words;
} commands[] = {
	{ "backup", backup_make, 1 },
	{ "restore", backup_restore, 1 },
	{ "check", backup_check, 0 },
};

static int
run_command(size_t which, int argc, char **argv)
{
	CLEANUP(buffer_release) struct buffer why = { 0 };
	CLEANUP(conf_drop) struct conf *c = NULL;
	struct options o = { .file = DEFAULT_FILE };
	int status = parse(argc, argv, &o);
	enum err e;

	if (status >= 0)
		return status;
	if (argc - optind != commands[which].words)
		return wrong_use(
		    commands[which].words == 0 ? "there are words too many" : "name one folder");
	e = conf_load(o.file, &c, &why);
	if (e == OK)
		e = commands[which].run(c, argv[optind], &why);
	if (e != OK)
		(void)fprintf(
		    stderr, "citexd: %s\n", why.len > 0 ? buffer_text(&why) : err_words(e));
	return err_exit_status(e);
}

int
main(int argc, char **argv)
{
	if (ossl_init() != OK) {
		(void)fprintf(stderr, "citexd: %s does not do: %s\n", ossl_version(), ossl_why());
		return err_exit_status(ERR_CRYPTO);
	}
	if (argc > 1 && strcmp(argv[1], "--role") == 0)
		return run_role(argc, argv);
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return run_command(i, argc - 1, argv + 1);
	return run_node(argc, argv);
}
