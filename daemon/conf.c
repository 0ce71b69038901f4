/* SPDX-License-Identifier: Apache-2.0 */
/* File to value, by one table of settings. Not here: what a setting does, and
 * whether keys and certificates are good (check.c).
 *
 * libconfuse cuts the file into words and knows the line; each word is judged
 * here, the moment it is read, by take_value(), so that every message names its
 * line. A section is gathered in struct parse and moves into its place at its
 * closing brace. libconfuse hands its callbacks no argument of ours, therefore
 * the one static pointer. */
#include "daemon/conf.h"

#include <confuse.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "pki/cert.h"
#include "proto/address.h"
#include "proto/ids.h"
#include "proto/limits.h"

enum section { TOP, AUTHORITY, OFFICER, SECTIONS };
static const char *const section_names[] = { "", "authority", "officer" };

struct parse {
	struct conf *c;
	struct conf_authority a; /* the sections under way */
	struct conf_officer o;
	uint64_t seen[SECTIONS]; /* settings given, whole, by their row */
	unsigned taken; /* elements of the list under way */
	struct buffer *why;
};
static struct parse *under_way;

/* Types: each judges one word and stores it at TO. NULL, or what is wrong with the word. */

struct setting;
typedef const char *take_fn(const struct setting *s, const char *word, void *to);

struct type {
	const char *name;
	take_fn *take;
	bool list;
};

struct setting {
	enum section section;
	const char *name;
	const struct type *type;
	size_t offset; /* in the section's struct */
	int64_t least, most; /* of a number; of a list: how many at most */
	const char *range; /* in words */
	const char *preset; /* as it would stand in the file; NULL: none */
	bool required;
	const char *words;
};

static const char *
take_text(const struct setting *s, const char *word, void *to)
{
	(void)s;
	*(char **)to = xstrdup(word);
	return NULL;
}

static const char *
take_node(const struct setting *s, const char *word, void *to)
{
	return node_is_valid(word) ? take_text(s, word, to) : "is no name of a node";
}

static const char *
take_credential(const struct setting *s, const char *word, void *to)
{
	if (*word == '\0' || *word == '.' || strchr(word, '/') != NULL || strlen(word) > 255)
		return "is no name of a credential";
	return take_text(s, word, to);
}

static const char *
take_address(const struct setting *s, const char *word, void *to)
{
	struct address a;

	if (address_parse(word, &a) != OK)
		return "is not ADDRESS:PORT";
	return take_text(s, word, to);
}

/* Is there a file of TYPE (S_IFDIR, S_IFREG) at the absolute PATH? */
static const char *
check_path(const char *path, mode_t type)
{
	struct stat st;

	if (path[0] != '/')
		return "does not begin with /";
	if (stat(path, &st) != 0)
		return strerror(errno);
	if ((st.st_mode & S_IFMT) != type)
		return type == S_IFDIR ? "is no folder" : "is no file";
	return NULL;
}

static const char *
take_folder(const struct setting *s, const char *word, void *to)
{
	const char *wrong = check_path(word, S_IFDIR);

	return wrong != NULL ? wrong : take_text(s, word, to);
}

/* It may be missing, where it can be made: what holds it is there. */
static const char *
take_run(const struct setting *s, const char *word, void *to)
{
	CLEANUP(buffer_release) struct buffer above = { 0 };
	const char *last = strrchr(word, '/'), *wrong = check_path(word, S_IFDIR);
	struct stat st;

	if (wrong != NULL && last != NULL && last != word && stat(word, &st) != 0 &&
	    errno == ENOENT) {
		buffer_add(&above, (struct bytes){ (const uint8_t *)word, (size_t)(last - word) });
		wrong = check_path(buffer_text(&above), S_IFDIR);
	}
	return wrong != NULL ? wrong : take_text(s, word, to);
}

static const char *
take_file(const struct setting *s, const char *word, void *to)
{
	const char *wrong = check_path(word, S_IFREG);

	return wrong != NULL ? wrong : take_text(s, word, to);
}

static const char *
take_program(const struct setting *s, const char *word, void *to)
{
	const char *wrong = check_path(word, S_IFREG);
	struct stat st;

	if (wrong != NULL)
		return wrong;
	if (stat(word, &st) != 0 || (st.st_mode & 0111) == 0)
		return "cannot be executed";
	if (st.st_mode & 022)
		return "may be changed by group or others";
	return take_text(s, word, to);
}

static const char *
take_fingerprint(const struct setting *s, const char *word, void *to)
{
	char text[80];
	enum err e = fingerprint_parse(word, text);

	(void)s;
	if (e != OK)
		return e == ERR_TOO_LARGE ? "has more than 64 hexadecimal digits"
					  : "is not 64 hexadecimal digits";
	*(char **)to = xstrdup(text);
	return NULL;
}

static const char *
take_bool(const struct setting *s, const char *word, void *to)
{
	bool yes = strcmp(word, "true") == 0 || strcmp(word, "yes") == 0;

	(void)s;
	if (!yes && strcmp(word, "false") != 0 && strcmp(word, "no") != 0)
		return "is neither true nor false";
	*(bool *)to = yes;
	return NULL;
}

static const char *
take_level(const struct setting *s, const char *word, void *to)
{
	(void)s;
	return log_level_parse(word, to) == OK ? NULL : "is none of error, warning, info, debug";
}

static const char *
check_range(const struct setting *s, int64_t value)
{
	return value < s->least || value > s->most ? "is out of range" : NULL;
}

/* duration_parse(), and milliseconds for tests on one machine. */
static enum err
parse_duration(const char *word, int64_t *ms)
{
	size_t n = strspn(word, "0123456789");
	char seconds[16] = "";
	enum err e;

	if (n == 0 || n > 9 || strcmp(word + n, "ms") != 0)
		return duration_parse(word, ms);
	memcpy(seconds, word, n);
	seconds[n] = 's';
	e = duration_parse(seconds, ms);
	*ms /= SECOND_MS;
	return e;
}

static const char *
take_duration(const struct setting *s, const char *word, void *to)
{
	int64_t ms;

	if (parse_duration(word, &ms) != OK)
		return "is not a time like 200ms, 30s, 15m, 4h or 14d";
	*(int64_t *)to = ms;
	return check_range(s, ms);
}

/* How many bits to shift by for K, M, G, T, with or without iB; -1: it is none of them. */
static int
unit_shift(const char *unit)
{
	static const char letters[] = "KMGT";
	const char *letter = *unit != '\0' ? strchr(letters, *unit) : NULL;

	if (*unit == '\0')
		return 0;
	if (letter == NULL || (unit[1] != '\0' && strcmp(unit + 1, "iB") != 0))
		return -1;
	return 10 * (int)(letter - letters + 1);
}

static const char *
take_size(const struct setting *s, const char *word, void *to)
{
	size_t n = strspn(word, "0123456789");
	int shift = unit_shift(word + n);
	int64_t value = 0;

	if (n == 0 || n > 15 || shift < 0)
		return "is not a size like 512M or 16G";
	for (size_t i = 0; i < n; i++)
		value = value * 10 + (word[i] - '0');
	if (__builtin_mul_overflow(value, (int64_t)1 << shift, &value))
		return "is out of range";
	*(uint64_t *)to = (uint64_t)value;
	return check_range(s, value);
}

/* A number is itself; a name is asked for. */
static const char *
take_user(const struct setting *s, const char *word, void *to)
{
	size_t n = strspn(word, "0123456789");
	const struct passwd *p;
	unsigned long value;

	(void)s;
	if (n > 0 && word[n] == '\0') {
		value = strtoul(word, NULL, 10);
		if (n > 10 || value >= UINT32_MAX)
			return "is out of range";
		*(uid_t *)to = (uid_t)value;
		return NULL;
	}
	p = getpwnam(word);
	if (p == NULL)
		return "is no user of this machine";
	*(uid_t *)to = p->pw_uid;
	return NULL;
}

static const char *
take_own_user(const struct setting *s, const char *word, void *to)
{
	const char *wrong = take_user(s, word, to);
	uid_t user = *(uid_t *)to;

	if (wrong == NULL && getuid() != 0 && user != getuid())
		return "is another user than the one who starts citexd, who is not root";
	return wrong;
}

static const char *
take_hook_user(const struct setting *s, const char *word, void *to)
{
	under_way->c->has_hook_user = true;
	return take_own_user(s, word, to);
}

static const char *
take_group(const struct setting *s, const char *word, void *to)
{
	const struct group *g = getgrnam(word);

	(void)s;
	if (g == NULL)
		return "is no group of this machine";
	*(gid_t *)to = g->gr_gid;
	under_way->c->has_group = true;
	return NULL;
}

static const char *
take_may(const struct setting *s, const char *word, void *to)
{
	static const struct {
		const char *word;
		unsigned bit;
	} words[] = { { "read", OFFICER_MAY_READ }, { "write", OFFICER_MAY_WRITE },
		{ "manage", OFFICER_MAY_MANAGE } };

	(void)s;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(word, words[i].word) == 0) {
			*(unsigned *)to |= words[i].bit;
			return NULL;
		}
	return "is none of read, write, manage";
}

static bool
has_word(const struct conf_words *list, const char *word)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->at[i], word) == 0)
			return true;
	return false;
}

static const char *
add_word(const struct setting *s, const char *word, void *to, take_fn *take)
{
	struct conf_words *list = to;
	const char *wrong;

	if (has_word(list, word))
		return "stands there twice";
	list->at = xgrow(list->at, list->count + 1, sizeof(*list->at));
	wrong = take(s, word, &list->at[list->count]);
	if (wrong == NULL)
		list->count++;
	return wrong;
}

static const char *
take_listen(const struct setting *s, const char *word, void *to)
{
	return add_word(s, word, to, take_address);
}

static const char *
take_nodes(const struct setting *s, const char *word, void *to)
{
	return add_word(s, word, to, take_node);
}

static const char *
take_fingerprints(const struct setting *s, const char *word, void *to)
{
	return add_word(s, word, to, take_fingerprint);
}

static const char *
take_users(const struct setting *s, const char *word, void *to)
{
	struct conf_users *list = to;
	const char *wrong;

	list->at = xgrow(list->at, list->count + 1, sizeof(*list->at));
	wrong = take_user(s, word, &list->at[list->count]);
	if (wrong == NULL)
		list->count++;
	return wrong;
}

static const struct type type_node = { "node", take_node, false };
static const struct type type_nodes = { "nodes", take_nodes, true };
static const struct type type_listen = { "addresses", take_listen, true };
static const struct type type_folder = { "folder", take_folder, false };
static const struct type type_run = { "folder", take_run, false };
static const struct type type_file = { "file", take_file, false };
static const struct type type_credential = { "credential", take_credential, false };
static const struct type type_program = { "program", take_program, false };
static const struct type type_fingerprint = { "fingerprint", take_fingerprint, false };
static const struct type type_fingerprints = { "fingerprints", take_fingerprints, true };
static const struct type type_user = { "user", take_user, false };
static const struct type type_own_user = { "user", take_own_user, false };
static const struct type type_hook_user = { "user", take_hook_user, false };
static const struct type type_users = { "users", take_users, true };
static const struct type type_group = { "group", take_group, false };
static const struct type type_may = { "words", take_may, true };
static const struct type type_bool = { "true or false", take_bool, false };
static const struct type type_level = { "word", take_level, false };
static const struct type type_duration = { "time", take_duration, false };
static const struct type type_size = { "size", take_size, false };

/* The one table. A setting is a row here, a member of its struct, and its words in the manual. */

#define CONF(member) offsetof(struct conf, member)
#define AUTH(member) offsetof(struct conf_authority, member)
#define PERSON(member) offsetof(struct conf_officer, member)
#define TIB (1024LL * 1024 * 1024 * 1024)

static const struct setting settings[] = {
	{ TOP, "node", &type_node, CONF(node), 0, 0, NULL, NULL, true,
	    "the name of this node in the directory" },
	{ TOP, "listen", &type_listen, CONF(listen), 0, 16, "at most 16", NULL, false,
	    "where other nodes can connect; none: only this node dials" },
	{ TOP, "state", &type_folder, CONF(state), 0, 0, NULL, CITEX_LOCALSTATEDIR "/lib/citex",
	    false, "where the stores and the directory are kept" },
	{ TOP, "run", &type_run, CONF(run), 0, 0, NULL, CITEX_RUNDIR, false,
	    "where the sockets are, made when it is missing; several nodes may share one" },
	{ TOP, "keys", &type_folder, CONF(keys), 0, 0, NULL, NULL, true,
	    "the node's TLS and receipt keys and certificates" },
	{ TOP, "passphrase-file", &type_file, CONF(passphrase.file), 0, 0, NULL, NULL, false,
	    "its first line opens the node's keys" },
	{ TOP, "passphrase-credential", &type_credential, CONF(passphrase.credential), 0, 0, NULL,
	    NULL, false, "the same from a systemd credential of that name" },
	{ TOP, "directory-key", &type_fingerprint, CONF(directory_key), 0, 0,
	    "64 hexadecimal digits", NULL, true,
	    "fingerprint of the key with which the Secretariat signs directories" },
	{ TOP, "confirmed-ca", &type_fingerprints, CONF(confirmed_ca), 0, 256, "at most 256", NULL,
	    false,
	    "fingerprints of CAs that a Party changed without a voucher, once it has confirmed "
	    "them" },
	{ TOP, "user", &type_own_user, CONF(user), 0, 0, NULL, "citex", false,
	    "whom post and offices run as, when citexd is started by root" },
	{ TOP, "group", &type_group, CONF(group), 0, 0, NULL, NULL, false,
	    "who may connect to the officers' and administrators' sockets; not set: everybody, "
	    "and each caller is judged by user" },
	{ TOP, "hook-user", &type_hook_user, CONF(hook_user), 0, 0, NULL, NULL, false,
	    "whom hooks run as; not set: the same as user" },
	{ TOP, "administrators", &type_users, CONF(administrators), 0, 64, "at most 64", NULL,
	    false, "users who may ask and steer the post, beside root and user" },
	{ TOP, "relay-for", &type_nodes, CONF(relay_for), 0, PEERS_MAX, "at most 2000", NULL, false,
	    "nodes whose mail this one keeps until they dial in" },
	{ TOP, "store-limit", &type_size, CONF(store_limit_bytes), MIB, 64 * TIB, "1M to 64T",
	    "16G", false,
	    "how large a store may grow: the post's, and each office's that says nothing else" },
	{ TOP, "retry-first", &type_duration, CONF(retry_first_ms), 10, MINUTE_MS, "10ms to 1m",
	    "1s", false, "how long after a failure a peer is dialled again, at first" },
	{ TOP, "retry-max", &type_duration, CONF(retry_max_ms), 10, RETRY_MAX_MS, "10ms to 15m",
	    "15m", false, "and at most" },
	{ TOP, "log-level", &type_level, CONF(log_level), 0, 0, "error, warning, info, debug",
	    "info", false, "what is worth a line" },
	{ TOP, "on-alarm", &type_program, CONF(on_alarm), 0, 0, NULL, NULL, false,
	    "run when the post raises an alarm" },

	{ AUTHORITY, "keys", &type_folder, AUTH(keys), 0, 0, NULL, NULL, true,
	    "its signing and sealing keys and certificates" },
	{ AUTHORITY, "passphrase-file", &type_file, AUTH(passphrase.file), 0, 0, NULL, NULL, false,
	    "its first line opens the authority's keys and its store" },
	{ AUTHORITY, "passphrase-credential", &type_credential, AUTH(passphrase.credential), 0, 0,
	    NULL, NULL, false, "the same from a systemd credential of that name" },
	{ AUTHORITY, "seen", &type_bool, AUTH(seen), 0, 0, NULL, "false", false,
	    "whether senders are told that an officer has seen their message" },
	{ AUTHORITY, "store-limit", &type_size, AUTH(store_limit_bytes), MIB, 64 * TIB, "1M to 64T",
	    NULL, false, "how large the office's store may grow; not set: as the node says" },
	{ AUTHORITY, "on-new", &type_program, AUTH(on_new), 0, 0, NULL, NULL, false,
	    "run when a message arrives" },
	{ AUTHORITY, "on-due", &type_program, AUTH(on_due), 0, 0, NULL, NULL, false,
	    "run when an answer is nearly due, due, or overdue" },
	{ AUTHORITY, "on-alarm", &type_program, AUTH(on_alarm), 0, 0, NULL, NULL, false,
	    "run when the office raises an alarm" },

	{ OFFICER, "user", &type_user, PERSON(user), 0, 0, NULL, NULL, true,
	    "the officer's user on this machine, name or number" },
	{ OFFICER, "may", &type_may, PERSON(may), 0, 3, "read, write, manage", NULL, false,
	    "what the officer may do; not set: read and write" },
};
#define SETTINGS (sizeof(settings) / sizeof(settings[0]))
_Static_assert(SETTINGS <= 64, "struct parse keeps one bit for each");

/* Errors */

/* libconfuse calls this with its own messages and with ours. */
static void PRINTF(2, 0) note_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[512];

	if (under_way->why->len > 0)
		return;
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	buffer_printf(under_way->why, "%s:%d: %s", cfg->filename, cfg->line, text);
}

/* Storing */

static void *
section_base(enum section section)
{
	switch (section) {
	case AUTHORITY:
		return &under_way->a;
	case OFFICER:
		return &under_way->o;
	default:
		return under_way->c;
	}
}

static const struct setting *
find_setting(enum section section, const char *name)
{
	for (size_t i = 0; i < SETTINGS; i++)
		if (settings[i].section == section && strcmp(settings[i].name, name) == 0)
			return &settings[i];
	return NULL;
}

static const char *
store_word(const struct setting *s, const char *word)
{
	return s->type->take(s, word, (char *)section_base(s->section) + s->offset);
}

static int
take_word(cfg_t *cfg, const struct setting *s, const char *word)
{
	const char *wrong = store_word(s, word);

	if (wrong == NULL)
		return 0;
	cfg_error(cfg, "`%s': \"%s\" %s", s->name, word, wrong);
	return -1;
}

/* libconfuse calls for each element, and once more at the closing brace. */
static int
take_element(cfg_t *cfg, cfg_opt_t *opt, const struct setting *s, uint64_t *seen, uint64_t bit)
{
	unsigned count = cfg_opt_size(opt);

	if (count == under_way->taken) {
		*seen |= bit;
		under_way->taken = 0;
		return 0;
	}
	if (count > s->most) {
		cfg_error(cfg, "`%s' has more than %lld", s->name, (long long)s->most);
		return -1;
	}
	under_way->taken = count;
	return take_word(cfg, s, cfg_opt_getnstr(opt, count - 1));
}

static int
take_value_in(cfg_t *cfg, cfg_opt_t *opt, enum section section)
{
	const struct setting *s = find_setting(section, cfg_opt_name(opt));
	uint64_t bit = (uint64_t)1 << (s - settings);
	uint64_t *seen = &under_way->seen[section];

	if (*seen & bit) {
		cfg_error(cfg, "`%s' stands there twice", s->name);
		return -1;
	}
	if (s->type->list)
		return take_element(cfg, opt, s, seen, bit);
	*seen |= bit;
	return take_word(cfg, s, cfg_opt_getnstr(opt, 0));
}

static int
take_top(cfg_t *cfg, cfg_opt_t *opt)
{
	return take_value_in(cfg, opt, TOP);
}

static int
take_authority(cfg_t *cfg, cfg_opt_t *opt)
{
	return take_value_in(cfg, opt, AUTHORITY);
}

static int
take_officer(cfg_t *cfg, cfg_opt_t *opt)
{
	return take_value_in(cfg, opt, OFFICER);
}

static cfg_validate_callback_t const takers[] = { take_top, take_authority, take_officer };

/* Presets and what is missing, at the end of SECTION. */
static int
fill_section(cfg_t *cfg, enum section section, const char *whose)
{
	for (size_t i = 0; i < SETTINGS; i++) {
		const struct setting *s = &settings[i];
		const char *wrong;

		if (s->section != section || under_way->seen[section] & (uint64_t)1 << i)
			continue;
		if (s->required) {
			cfg_error(cfg, "%s`%s' is missing", whose, s->name);
			return -1;
		}
		if (s->preset == NULL || (s->type == &type_own_user && getuid() != 0))
			continue;
		wrong = store_word(s, s->preset);
		if (wrong != NULL) {
			cfg_error(cfg, "`%s' is not set, and its default \"%s\" %s", s->name,
			    s->preset, wrong);
			return -1;
		}
	}
	under_way->seen[section] = 0;
	return 0;
}

/* Sections, at their closing brace */

static int
check_passphrase(cfg_t *cfg, const struct conf_passphrase *p)
{
	if (p->file == NULL || p->credential == NULL)
		return 0;
	cfg_error(cfg, "`passphrase-file' and `passphrase-credential' exclude each other");
	return -1;
}

static int
end_officer(cfg_t *cfg, cfg_opt_t *opt)
{
	struct conf_authority *a = &under_way->a;
	struct conf_officer *o = &under_way->o;
	const char *name = cfg_title(cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1));

	if (*name == '\0' || strlen(name) > OFFICER_MAX_BYTES) {
		cfg_error(cfg, "an officer's name has 1 to %d bytes", OFFICER_MAX_BYTES);
		return -1;
	}
	if (fill_section(cfg, OFFICER, "officer: ") != 0)
		return -1;
	for (size_t i = 0; i < a->officer_count; i++)
		if (a->officers[i].user == o->user) {
			cfg_error(cfg, "\"%s\" and \"%s\" are one user", a->officers[i].name, name);
			return -1;
		}
	if (o->may == 0)
		o->may = OFFICER_MAY_READ | OFFICER_MAY_WRITE;
	o->name = xstrdup(name);
	a->officers = xgrow(a->officers, a->officer_count + 1, sizeof(*a->officers));
	a->officers[a->officer_count++] = *o;
	*o = (struct conf_officer){ 0 };
	return 0;
}

/* A socket's path must fit its address. */
static int
check_socket_path(cfg_t *cfg, const char *kind, const char *name)
{
	size_t len = strlen(under_way->c->run) + strlen(kind) + strlen(name) + strlen("/-.sock~");

	if (len < sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return 0;
	cfg_error(cfg, "`run': \"%s\" is too long a path for sockets", under_way->c->run);
	return -1;
}

static int
end_authority(cfg_t *cfg, cfg_opt_t *opt)
{
	struct conf *c = under_way->c;
	struct conf_authority *a = &under_way->a;
	const char *id = cfg_title(cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1));

	if (!authority_is_valid(id)) {
		cfg_error(cfg, "\"%s\" is no id of an authority", id);
		return -1;
	}
	if (fill_section(cfg, AUTHORITY, "authority: ") != 0 ||
	    check_passphrase(cfg, &a->passphrase) != 0)
		return -1;
	a->id = xstrdup(id);
	c->authorities = xgrow(c->authorities, c->authority_count + 1, sizeof(*c->authorities));
	c->authorities[c->authority_count++] = *a;
	*a = (struct conf_authority){ 0 };
	return 0;
}

/* What only the whole file shows. */
static int
check_whole(cfg_t *cfg)
{
	struct conf *c = under_way->c;

	if (check_passphrase(cfg, &c->passphrase) != 0)
		return -1;
	if (c->retry_first_ms > c->retry_max_ms) {
		cfg_error(cfg, "`retry-first' is longer than `retry-max'");
		return -1;
	}
	if (has_word(&c->relay_for, c->node)) {
		cfg_error(cfg, "`relay-for': \"%s\" is this node itself", c->node);
		return -1;
	}
	for (size_t i = 0; i < c->authority_count; i++)
		if (check_socket_path(cfg, "office", c->authorities[i].id) != 0)
			return -1;
	return check_socket_path(cfg, "node", c->node);
}

/* The group of the user: by its entry, else a group of the same number. */
static gid_t
group_of(uid_t user)
{
	const struct passwd *p = user == getuid() ? NULL : getpwuid(user);

	if (p != NULL)
		return p->pw_gid;
	return user == getuid() ? getgid() : (gid_t)user;
}

static void
fill_limits(struct conf *c)
{
	for (size_t i = 0; i < c->authority_count; i++)
		if (c->authorities[i].store_limit_bytes == 0)
			c->authorities[i].store_limit_bytes = c->store_limit_bytes;
}

static void
fill_users(struct conf *c)
{
	if (getuid() != 0)
		c->user = getuid();
	c->user_group = group_of(c->user);
	if (!c->has_hook_user)
		c->hook_user = c->user;
	c->hook_group = group_of(c->hook_user);
}

/* The file */

/* libconfuse's own table for SECTION, made from ours. EXTRA, if not NULL, is a section in it. */
static size_t
fill_options(enum section section, const cfg_opt_t *extra, cfg_opt_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < SETTINGS; i++) {
		const struct setting *s = &settings[i];
		if (s->section != section)
			continue;
		if (s->type->list)
			out[n] = (cfg_opt_t)CFG_STR_LIST(s->name, NULL, CFGF_NODEFAULT);
		else
			out[n] = (cfg_opt_t)CFG_STR(s->name, NULL, CFGF_NODEFAULT);
		out[n++].validcb = takers[section];
	}
	if (extra != NULL)
		out[n++] = *extra;
	out[n] = (cfg_opt_t)CFG_END();
	return n;
}

static enum err
parse_file(const char *path)
{
	static cfg_opt_t top[SETTINGS + 2], authority[SETTINGS + 2], officer[SETTINGS + 2];
	const cfg_flag_t many = CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES;
	cfg_opt_t section;
	enum err e = ERR_CONFIG;
	struct stat st;
	cfg_t *cfg;

	(void)fill_options(OFFICER, NULL, officer);
	section = (cfg_opt_t)CFG_SEC(section_names[OFFICER], officer, many);
	section.validcb = end_officer;
	(void)fill_options(AUTHORITY, &section, authority);
	section = (cfg_opt_t)CFG_SEC(section_names[AUTHORITY], authority, many);
	section.validcb = end_authority;
	(void)fill_options(TOP, &section, top);

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) { /* the library's scanner would exit */
		buffer_printf(under_way->why, "%s: is a folder", path);
		return ERR_CONFIG;
	}
	cfg = cfg_init(top, CFGF_NONE);
	if (cfg == NULL)
		return ERR_NO_MEMORY;
	(void)cfg_set_error_function(cfg, note_error);
	switch (cfg_parse(cfg, path)) {
	case CFG_SUCCESS:
		if (fill_section(cfg, TOP, "") == 0 && check_whole(cfg) == 0)
			e = OK;
		break;
	case CFG_FILE_ERROR:
		buffer_printf(under_way->why, "%s: %s", path, strerror(errno));
		break;
	default:
		break;
	}
	(void)cfg_free(cfg);
	return e;
}

static void
passphrase_release(struct conf_passphrase *p)
{
	free(p->file);
	free(p->credential);
}

static void
words_release(struct conf_words *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(w->at[i]);
	free(w->at);
}

static void
authority_release(struct conf_authority *a)
{
	for (size_t i = 0; i < a->officer_count; i++)
		free(a->officers[i].name);
	free(a->officers);
	passphrase_release(&a->passphrase);
	free(a->id);
	free(a->keys);
	free(a->on_new);
	free(a->on_due);
	free(a->on_alarm);
}

void
conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->authority_count; i++)
		authority_release(&c->authorities[i]);
	free(c->authorities);
	words_release(&c->listen);
	words_release(&c->relay_for);
	words_release(&c->confirmed_ca);
	passphrase_release(&c->passphrase);
	free(c->administrators.at);
	free(c->node);
	free(c->state);
	free(c->run);
	free(c->keys);
	free(c->directory_key);
	free(c->on_alarm);
	free(c);
}

void
conf_drop(struct conf **c)
{
	conf_free(*c);
}

enum err
conf_load(const char *path, struct conf **out, struct buffer *why)
{
	struct parse p = { .c = xalloc(sizeof(*p.c)), .why = why };
	enum err e;

	under_way = &p;
	e = parse_file(path);
	under_way = NULL;
	authority_release(&p.a); /* a section that was broken off */
	free(p.o.name);
	if (e != OK) {
		if (why->len == 0)
			buffer_printf(why, "%s: cannot be understood", path);
		conf_free(p.c);
		return e;
	}
	fill_users(p.c);
	fill_limits(p.c);
	*out = p.c;
	return OK;
}

void
conf_print_settings(struct buffer *out)
{
	for (size_t i = 0; i < SETTINGS; i++) {
		const struct setting *s = &settings[i];
		buffer_printf(out, "%s\t%s\t%s\t%s\t%s\t%s\n", section_names[s->section], s->name,
		    s->type->name, s->range != NULL ? s->range : "",
		    s->required             ? "required"
			: s->preset != NULL ? s->preset
					    : "",
		    s->words);
	}
}
