/* SPDX-License-Identifier: Apache-2.0 */
/* citex-pki: keys, certificates, cards and directories. The table of commands
 * stands here; what they do, in tool_party.c and tool_directory.c. */
#include "pki/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ui.h>

#include "config.h"
#include "pki/files.h"
#include "pki/ossl.h"

static const struct {
	const char *name;
	int has_value;
	const char *words;
} options[OPTION_COUNT] = {
	[OPTION_PARTY] = { "party", required_argument,
	    "CODE: the Party, ISO 3166 alpha-2 in lower case" },
	[OPTION_NAME] = { "name", required_argument, "TEXT: its name" },
	[OPTION_ROLE] = { "role", required_argument,
	    "ROLE: management, scientific, enforcement, secretariat, committee, partner" },
	[OPTION_NODE] = { "node", required_argument, "NODE: the node that serves it" },
	[OPTION_LANGUAGE] = { "language", required_argument, "CODE: en, fr, es (several times)" },
	[OPTION_FOCAL_POINT] = { "focal-point", required_argument,
	    "'NAME <MAIL>': whom to ask (several times)" },
	[OPTION_ADDRESS] = { "address", required_argument,
	    "ADDRESS:PORT where it listens, as 192.0.2.1:4711 (several times; none: it only "
	    "dials)" },
	[OPTION_VIA] = { "via", required_argument, "NODE that relays for it (several times)" },
	[OPTION_SERVES] = { "serves", required_argument,
	    "AUTHORITY that it serves (several times)" },
	[OPTION_USE] = { "use", required_argument, "signing, sealing, tls or receipts" },
	[OPTION_REASON] = { "reason", required_argument, "TEXT: why" },
	[OPTION_CA] = { "ca", required_argument, "FILE: the Party's CA certificate" },
	[OPTION_VOUCHER] = { "voucher", required_argument, "FILE: of the CA before it" },
	[OPTION_PIN] = { "pin", required_argument, "FINGERPRINT of the publisher's certificate" },
	[OPTION_INTO] = { "into", required_argument, "DIR: the node's state folder" },
	[OPTION_OUTPUT] = { "output", required_argument, "FILE to write (-o)" },
	[OPTION_FRESH_DAYS] = { "fresh-days", required_argument,
	    "N: days until it counts as stale (30)" },
	[OPTION_DAYS] = { "days", required_argument, "N: days for which the certificate holds" },
	[OPTION_PASSPHRASE_FILE] = { "passphrase-file", required_argument,
	    "FILE whose first line is the passphrase (mode 0400); else it is asked for" },
	[OPTION_JSON] = { "json", no_argument, "for programs" },
	[FLAG_NODE] = { "node", no_argument, "NAME is a node's, not an authority's" },
};

#define BIT(o) (1UL << (o))
#define SECRET BIT(OPTION_PASSPHRASE_FILE)

static const struct command {
	const char *group, *name, *words, *summary;
	unsigned long options;
	size_t words_min, words_max;
	tool_run *run;
} commands[] = {
	{ "party", "init", "DIR", "make a Party's CA",
	    BIT(OPTION_PARTY) | BIT(OPTION_NAME) | BIT(OPTION_DAYS) | SECRET, 1, 1,
	    tool_party_init },
	{ NULL, "authority", "DIR AUTHORITY", "make an authority's signing and sealing keys",
	    BIT(OPTION_NAME) | BIT(OPTION_ROLE) | BIT(OPTION_NODE) | BIT(OPTION_LANGUAGE) |
		BIT(OPTION_FOCAL_POINT) | BIT(OPTION_DAYS) | SECRET,
	    2, 2, tool_authority },
	{ NULL, "node", "DIR NODE", "make a node's TLS and receipt keys",
	    BIT(OPTION_ADDRESS) | BIT(OPTION_VIA) | BIT(OPTION_SERVES) | BIT(OPTION_DAYS) | SECRET,
	    2, 2, tool_node },
	{ NULL, "card", "DIR NAME", "write the signed card for the directory",
	    BIT(FLAG_NODE) | BIT(OPTION_OUTPUT) | SECRET, 2, 2, tool_card },
	{ NULL, "renew", "DIR NAME", "make a new key beside the old one",
	    BIT(FLAG_NODE) | BIT(OPTION_USE) | BIT(OPTION_DAYS) | SECRET, 2, 2, tool_renew },
	{ NULL, "revoke", "DIR NAME", "revoke all keys for a use and make another",
	    BIT(FLAG_NODE) | BIT(OPTION_USE) | BIT(OPTION_REASON) | BIT(OPTION_DAYS) | SECRET, 2, 2,
	    tool_revoke },
	{ NULL, "voucher", "OLD-DIR NEW-CA", "let a Party's CA vouch for its next one",
	    BIT(OPTION_OUTPUT) | SECRET, 2, 2, tool_voucher },
	{ "directory", "init", "DIR", "make the publisher's key (the Secretariat, offline)",
	    BIT(OPTION_DAYS) | SECRET, 1, 1, tool_directory_init },
	{ "directory", "admit", "DIR", "admit a Party's CA",
	    BIT(OPTION_PARTY) | BIT(OPTION_NAME) | BIT(OPTION_CA) | BIT(OPTION_VOUCHER), 1, 1,
	    tool_directory_admit },
	{ "directory", "add", "DIR CARD...", "take up cards", 0, 2, TOOL_VALUES_MAX,
	    tool_directory_add },
	{ "directory", "remove", "DIR [NAME]", "take out a card, or with --party a whole Party",
	    BIT(OPTION_PARTY) | BIT(FLAG_NODE), 1, 2, tool_directory_remove },
	{ "directory", "publish", "DIR", "sign and write the next number",
	    BIT(OPTION_OUTPUT) | BIT(OPTION_FRESH_DAYS) | SECRET, 1, 1, tool_directory_publish },
	{ "directory", "show", "FILE", "print what a directory says", BIT(OPTION_JSON), 1, 1,
	    tool_directory_show },
	{ "directory", "verify", "FILE", "check all signatures of a directory", BIT(OPTION_PIN), 1,
	    1, tool_directory_verify },
	{ "directory", "install", "FILE...", "put a directory where citexd finds it",
	    BIT(OPTION_INTO) | BIT(OPTION_PIN), 1, TOOL_VALUES_MAX, tool_directory_install },
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(*commands))

const char *
tool_value(const struct tool_args *a, enum tool_option o)
{
	return a->counts[o] > 0 ? a->values[o][a->counts[o] - 1] : NULL;
}

const char *
tool_words(enum err e)
{
	return e == ERR_IO ? strerror(errno) : err_words(e);
}

enum err
tool_fail(enum err e, const char *fmt, ...)
{
	va_list args;

	fputs("citex-pki: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return e;
}

const char *
tool_path(char *out, const char *dir, const char *a, const char *b)
{
	(void)snprintf(out, TOOL_PATH_BYTES, "%s%s%s%s%s", dir, a != NULL ? "/" : "",
	    a != NULL ? a : "", b != NULL ? "/" : "", b != NULL ? b : "");
	return out;
}

enum err
tool_folder(const char *path)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return OK;
	return tool_fail(ERR_IO, "%s: %s", path, strerror(errno));
}

/* --- passphrases --- */

/* OpenSSL's own: it gives the echo back also when a signal ends the question. */
static enum err
ask(bool twice, struct secret *out)
{
	CLEANUP(secret_release) struct secret again = { 0 };
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	enum err e;
	int got;

	if (fd < 0)
		return tool_fail(ERR_USAGE,
		    "there is no terminal to ask for the passphrase: give --passphrase-file");
	close(fd);
	e = secret_init(out, PASSPHRASE_MAX_BYTES + 1);
	if (e == OK)
		e = secret_init(&again, PASSPHRASE_MAX_BYTES + 1);
	if (e != OK)
		return e;
	got = UI_UTIL_read_pw(
	    (char *)out->at, (char *)again.at, (int)out->len, "Passphrase: ", twice ? 1 : 0);
	ERR_clear_error();
	out->len = got == 0 ? strlen((char *)out->at) : 0;
	return got == 0 ? OK : tool_fail(ERR_VALUE, "no passphrase was given");
}

enum err
tool_passphrase(const struct tool_args *a, bool is_new, struct secret *out)
{
	const char *file = tool_value(a, OPTION_PASSPHRASE_FILE);
	enum err e = file != NULL ? secret_read_file(file, out) : ask(is_new, out);

	if (e == ERR_DENIED)
		return tool_fail(e, "%s: others can read it; chmod 0400 it", file);
	if (e != OK)
		return file == NULL ? e : tool_fail(e, "%s: %s", file, tool_words(e));
	if (out->len == 0)
		return tool_fail(ERR_VALUE, "the passphrase is empty");
	return OK;
}

/* --- keys --- */

enum err
tool_load_key(const char *path, const struct secret *passphrase, struct private_key **out)
{
	enum err e = private_key_load(path, passphrase, out);

	return e == OK ? OK
		       : tool_fail(e, "%s: %s", path,
			     e == ERR_DENIED ? "others can read it; chmod 0600 it" : err_words(e));
}

enum err
tool_load_cert(const char *path, struct cert **out)
{
	enum err e = cert_load_pem(path, out);

	return e == OK ? OK : tool_fail(e, "%s: %s", path, tool_words(e));
}

enum err
tool_make_pair(const char *stem, const struct cert_request *r, const struct cert *ca,
    const struct private_key *ca_key, const struct secret *passphrase)
{
	CLEANUP(private_key_drop) struct private_key *key = private_key_new();
	CLEANUP(public_key_drop) struct public_key *public = NULL;
	CLEANUP(cert_drop) struct cert *cert = NULL;
	struct cert_request request = *r;
	char path[TOOL_PATH_BYTES];
	enum err e;

	if (key == NULL)
		return tool_fail(ERR_CRYPTO, "no key could be made: %s", ossl_why());
	public = private_key_public(key);
	request.key = public;
	e = cert_issue(&request, ca, ca != NULL ? ca_key : key, &cert);
	if (e != OK)
		return tool_fail(e, "no certificate for %s: %s", r->name, err_words(e));
	(void)snprintf(path, sizeof(path), "%s.key", stem);
	e = private_key_save(key, path, passphrase);
	if (e == OK) {
		(void)snprintf(path, sizeof(path), "%s.pem", stem);
		e = cert_save_pem(cert, path);
	}
	if (e == ERR_EXISTS)
		return tool_fail(e, "%s is there already; keys are never overwritten", path);
	return e == OK ? OK : tool_fail(e, "%s: %s", path, strerror(errno));
}

/* --- the command line --- */

static void
usage(FILE *to)
{
	fputs("usage: citex-pki COMMAND [OPTION]... [ARGUMENT]...\n"
	      "Keys, certificates, cards and directories of a citex exchange.\n\nCommands:\n",
	    to);
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		char line[128];
		(void)snprintf(line, sizeof(line), "%s%s%s %s",
		    commands[i].group != NULL ? commands[i].group : "",
		    commands[i].group != NULL ? " " : "", commands[i].name, commands[i].words);
		fprintf(to, "  %-28s %s\n", line, commands[i].summary);
	}
	fputs(
	    "\ncitex-pki COMMAND --help tells its options; citex-pki --version the version.\n", to);
}

static void
command_usage(const struct command *c)
{
	printf("usage: citex-pki %s%s%s [OPTION]... %s\n%s.\n\nOptions:\n",
	    c->group != NULL ? c->group : "", c->group != NULL ? " " : "", c->name, c->words,
	    c->summary);
	for (int i = 0; i < OPTION_COUNT; i++) {
		if (c->options & BIT(i))
			printf("  --%-16s %s\n", options[i].name, options[i].words);
	}
}

static const struct command *
find_command(int argc, char **argv, int *used)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		const struct command *c = &commands[i];
		if (c->group == NULL && argc > 1 && strcmp(argv[1], c->name) == 0) {
			*used = 1;
			return c;
		}
		if (c->group != NULL && argc > 2 && strcmp(argv[1], c->group) == 0 &&
		    strcmp(argv[2], c->name) == 0) {
			*used = 2;
			return c;
		}
	}
	return NULL;
}

/* SECOND, which may be NULL, is a part of the name when FIRST is the name of a group. */
static enum err
no_command(const char *first, const char *second)
{
	for (size_t i = 0; second != NULL && i < COMMAND_COUNT; i++) {
		if (commands[i].group != NULL && strcmp(commands[i].group, first) == 0)
			return tool_fail(ERR_USAGE,
			    "there is no command `%s %s': citex-pki --help lists them", first,
			    second);
	}
	return tool_fail(ERR_USAGE, "there is no command `%s': citex-pki --help lists them", first);
}

static enum err
parse_options(const struct command *c, int argc, char **argv, struct tool_args *a, bool *help)
{
	struct option longs[OPTION_COUNT + 2] = { { 0 } };
	size_t n = 0;
	int got;

	for (int i = 0; i < OPTION_COUNT; i++) {
		if (c->options & BIT(i))
			longs[n++] = (struct option){ options[i].name, options[i].has_value, NULL,
				1000 + i };
	}
	longs[n++] = (struct option){ "help", no_argument, NULL, 'h' };
	while ((got = getopt_long(argc, argv, "ho:", longs, NULL)) != -1) {
		int which = got == 'o' ? (int)OPTION_OUTPUT : got - 1000;
		if (got == 'h') {
			*help = true;
			return OK;
		}
		if (which < 0 || which >= OPTION_COUNT || !(c->options & BIT(which)))
			return tool_fail(ERR_USAGE, "see citex-pki %s%s%s --help",
			    c->group != NULL ? c->group : "", c->group != NULL ? " " : "", c->name);
		if (a->counts[which] == TOOL_VALUES_MAX)
			return tool_fail(
			    ERR_TOO_MANY, "--%s is given too often", options[which].name);
		a->values[which][a->counts[which]++] = optarg != NULL ? optarg : "";
	}
	a->words = argv + optind;
	a->word_count = (size_t)(argc - optind);
	if (a->word_count < c->words_min || a->word_count > c->words_max)
		return tool_fail(ERR_USAGE, "it takes: citex-pki %s%s%s %s",
		    c->group != NULL ? c->group : "", c->group != NULL ? " " : "", c->name,
		    c->words);
	return OK;
}

int
main(int argc, char **argv)
{
	static struct tool_args a;
	const struct command *c;
	struct timespec now;
	bool help = false;
	int used = 0;
	enum err e;

	umask(077);
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		usage(stdout);
		return 0;
	}
	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		printf("citex-pki %s, %s\n", PACKAGE_VERSION, ossl_version());
		return 0;
	}
	c = find_command(argc, argv, &used);
	if (c == NULL && argc == 1) {
		usage(stderr);
		return err_exit_status(ERR_USAGE);
	}
	if (c == NULL)
		return err_exit_status(no_command(argv[1], argc > 2 ? argv[2] : NULL));
	if (ossl_init() != OK)
		return err_exit_status(
		    tool_fail(ERR_CRYPTO, "this OpenSSL lacks what citex needs"));
	clock_gettime(CLOCK_REALTIME, &now);
	a.now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	e = parse_options(c, argc - used, argv + used, &a, &help);
	if (e == OK && help)
		command_usage(c);
	else if (e == OK)
		e = c->run(&a);
	if (fflush(stdout) != 0 && e == OK)
		e = tool_fail(ERR_IO, "standard output: %s", strerror(errno));
	return err_exit_status(e);
}
