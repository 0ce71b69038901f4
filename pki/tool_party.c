/* SPDX-License-Identifier: Apache-2.0 */
/* A Party's folder: its CA, its authorities' and nodes' keys, and what they say
 * of themselves.
 *   ca.key ca.pem about.json
 *   authorities/NAME/signing*.{key,pem,state} sealing*.{key,pem,state} about.json
 *   nodes/NAME/tls*.{key,pem,state} receipts*.{key,pem,state} about.json */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pki/card.h"
#include "pki/directory.h"
#include "pki/files.h"
#include "pki/tool.h"
#include "proto/address.h"
#include "proto/decode.h"
#include "proto/ids.h"
#include "proto/kind.h"

#define CA_DAYS 3650
#define LEAF_DAYS 730
#define KEYS_MAX 32
#define FILE_MAX_BYTES (256 * KIB)

struct ca {
	struct cert *cert;
	struct private_key *key;
	struct secret passphrase;
};

static void
ca_release(struct ca *c)
{
	cert_free(c->cert);
	private_key_free(c->key);
	secret_release(&c->passphrase);
}

static enum err
ca_load(const struct tool_args *a, const char *dir, struct ca *out)
{
	char path[TOOL_PATH_BYTES];
	enum err e = tool_passphrase(a, false, &out->passphrase);

	if (e == OK)
		e = tool_load_cert(tool_path(path, dir, "ca.pem", NULL), &out->cert);
	if (e == OK)
		e = tool_load_key(
		    tool_path(path, dir, "ca.key", NULL), &out->passphrase, &out->key);
	return e;
}

static enum err
days_of(const struct tool_args *a, long standard, int64_t *out)
{
	const char *text = tool_value(a, OPTION_DAYS);
	char *end = NULL;
	long days = text != NULL ? strtol(text, &end, 10) : standard;

	if (days < 1 || days > 20 * 365 || (end != NULL && *end != '\0'))
		return tool_fail(ERR_VALUE, "--days takes a number from 1 to 7300");
	*out = days * DAY_MS;
	return OK;
}

static enum err
save_about(const char *path, json_t *about)
{
	char *text = json_dumps(about, JSON_INDENT(1) | JSON_SORT_KEYS);
	enum err e = text == NULL ? ERR_NO_MEMORY : file_replace(path, bytes_str(text), 0600);

	free(text);
	json_decref(about);
	return e == OK ? OK : tool_fail(e, "%s: %s", path, strerror(errno));
}

static json_t *
load_about(const char *dir)
{
	char path[TOOL_PATH_BYTES];
	json_t *about =
	    json_load_file(tool_path(path, dir, "about.json", NULL), JSON_REJECT_DUPLICATES, NULL);

	if (about == NULL)
		(void)!tool_fail(ERR_IO, "%s can't be read", path);
	return about;
}

static json_t *
list_of(const struct tool_args *a, enum tool_option o)
{
	json_t *list = json_array();

	for (size_t i = 0; i < a->counts[o]; i++)
		json_array_append_new(list, json_string(a->values[o][i]));
	return list;
}

enum err
tool_party_init(const struct tool_args *a)
{
	const char *dir = a->words[0], *party = tool_value(a, OPTION_PARTY),
		   *name = tool_value(a, OPTION_NAME);
	CLEANUP(secret_release) struct secret passphrase = { 0 };
	CLEANUP(cert_drop) struct cert *cert = NULL;
	struct cert_request r = { party, party, USE_CA, NULL, a->now_ms - HOUR_MS, 0 };
	char path[TOOL_PATH_BYTES], fingerprint[80];
	int64_t days_ms;
	enum err e;

	if (party == NULL || !node_is_valid(party))
		return tool_fail(ERR_USAGE, "give --party CODE, like --party ke");
	e = days_of(a, CA_DAYS, &days_ms);
	if (e == OK)
		e = tool_passphrase(a, true, &passphrase);
	r.until_ms = a->now_ms + days_ms;
	if (e == OK)
		e = tool_folder(dir);
	if (e == OK)
		e = tool_make_pair(tool_path(path, dir, "ca", NULL), &r, NULL, NULL, &passphrase);
	if (e == OK)
		e = save_about(tool_path(path, dir, "about.json", NULL),
		    json_pack("{s:s, s:s}", "party", party, "name", name != NULL ? name : party));
	if (e == OK)
		e = tool_load_cert(tool_path(path, dir, "ca.pem", NULL), &cert);
	if (e != OK)
		return e;
	cert_fingerprint(cert, fingerprint);
	printf("CA of %s: %s/ca.pem\nfingerprint: %s\nTell it to the Secretariat by telephone.\n",
	    party, dir, fingerprint);
	return OK;
}

/* --- authorities and nodes --- */

static const struct {
	const char *word;
	enum cert_use use;
	bool of_node;
} uses[] = {
	{ "signing", USE_SIGNING, false },
	{ "sealing", USE_SEALING, false },
	{ "tls", USE_TLS, true },
	{ "receipts", USE_RECEIPTS, true },
};

/* A pair of a member that is not finished yet: what an interrupted command left is kept when it is
 * whole, and made again when not. */
static enum err
make_first_pair(const char *stem, const struct cert_request *r, const struct ca *ca)
{
	char key[TOOL_PATH_BYTES + 8], pem[TOOL_PATH_BYTES + 8];

	(void)snprintf(key, sizeof(key), "%s.key", stem);
	(void)snprintf(pem, sizeof(pem), "%s.pem", stem);
	if (access(key, F_OK) == 0 && access(pem, F_OK) == 0)
		return OK;
	if (access(pem, F_OK) != 0)
		(void)unlink(key); /* nobody has its certificate */
	return tool_make_pair(stem, r, ca->cert, ca->key, &ca->passphrase);
}

static enum err
make_member(const struct tool_args *a, bool is_node, json_t *about)
{
	const char *name = a->words[1];
	CLEANUP(ca_release) struct ca ca = { 0 };
	char folder[TOOL_PATH_BYTES], path[TOOL_PATH_BYTES], of[AUTHORITY_MAX_BYTES + 1];
	int64_t days_ms;
	enum err e = ca_load(a, a->words[0], &ca);

	if (e == OK)
		e = days_of(a, LEAF_DAYS, &days_ms);
	if (e == OK && !is_node) {
		authority_party(name, of);
		if (strcmp(of, cert_party(ca.cert)) != 0)
			e = tool_fail(ERR_IDENTITY,
			    "%s is no authority of %s: its name begins with the Party's code", name,
			    cert_party(ca.cert));
	}
	if (e == OK)
		e = tool_folder(
		    tool_path(folder, a->words[0], is_node ? "nodes" : "authorities", NULL));
	if (e == OK)
		e = tool_folder(
		    tool_path(folder, a->words[0], is_node ? "nodes" : "authorities", name));
	if (e == OK && access(tool_path(path, folder, "about.json", NULL), F_OK) == 0)
		e = tool_fail(
		    ERR_EXISTS, "%s is there already; citex-pki renew makes its next keys", folder);
	for (size_t i = 0; e == OK && i < sizeof(uses) / sizeof(*uses); i++) {
		struct cert_request r = { cert_party(ca.cert), name, uses[i].use, NULL,
			a->now_ms - HOUR_MS, a->now_ms + days_ms };
		if (uses[i].of_node == is_node)
			e = make_first_pair(tool_path(path, folder, uses[i].word, NULL), &r, &ca);
	}
	if (e == OK)
		return save_about(tool_path(path, folder, "about.json", NULL), about);
	json_decref(about);
	return e;
}

enum err
tool_authority(const struct tool_args *a)
{
	const char *node = tool_value(a, OPTION_NODE), *name = tool_value(a, OPTION_NAME);

	if (!authority_is_valid(a->words[1]))
		return tool_fail(ERR_VALUE,
		    "`%s' is no authority: it is PARTY or PARTY.OFFICE in lower case", a->words[1]);
	if (node == NULL || !node_is_valid(node) || a->counts[OPTION_ROLE] == 0)
		return tool_fail(ERR_USAGE, "give --node NODE and at least one --role");
	for (size_t i = 0; i < a->counts[OPTION_ROLE]; i++) {
		if (role_from_word(a->values[OPTION_ROLE][i]) == 0)
			return tool_fail(ERR_VALUE, "`%s' is no role", a->values[OPTION_ROLE][i]);
	}
	return make_member(a, false,
	    json_pack("{s:s, s:s, s:o, s:o, s:o}", "name", name != NULL ? name : a->words[1],
		"node", node, "roles", list_of(a, OPTION_ROLE), "languages",
		list_of(a, OPTION_LANGUAGE), "focal_points", list_of(a, OPTION_FOCAL_POINT)));
}

enum err
tool_node(const struct tool_args *a)
{
	if (!node_is_valid(a->words[1]))
		return tool_fail(
		    ERR_VALUE, "`%s' is no node id: one word in lower case", a->words[1]);
	if (a->counts[OPTION_ADDRESS] == 0 && a->counts[OPTION_VIA] == 0)
		return tool_fail(ERR_USAGE,
		    "give --address ADDRESS:PORT, or --via NODE when nobody can reach it");
	for (size_t i = 0; i < a->counts[OPTION_ADDRESS]; i++) {
		struct address parsed;
		if (address_parse(a->values[OPTION_ADDRESS][i], &parsed) != OK)
			return tool_fail(ERR_VALUE,
			    "--address: `%s' is not ADDRESS:PORT, like 192.0.2.1:4711 or "
			    "[2001:db8::1]:4711; names are not looked up",
			    a->values[OPTION_ADDRESS][i]);
	}
	for (size_t i = 0; i < a->counts[OPTION_VIA]; i++) {
		if (!node_is_valid(a->values[OPTION_VIA][i]))
			return tool_fail(
			    ERR_VALUE, "--via: `%s' is no node id", a->values[OPTION_VIA][i]);
	}
	for (size_t i = 0; i < a->counts[OPTION_SERVES]; i++) {
		if (!authority_is_valid(a->values[OPTION_SERVES][i]))
			return tool_fail(ERR_VALUE, "--serves: `%s' is no authority",
			    a->values[OPTION_SERVES][i]);
	}
	return make_member(a, true,
	    json_pack("{s:o, s:o, s:o}", "addresses", list_of(a, OPTION_ADDRESS), "via",
		list_of(a, OPTION_VIA), "serves", list_of(a, OPTION_SERVES)));
}

/* --- keys of a member, with their states --- */

struct member_key {
	char stem[TOOL_PATH_BYTES];
	struct cert *cert;
	char state[16];
	int64_t until_ms;
	char reason[200];
};

struct member_keys {
	struct member_key at[KEYS_MAX];
	size_t count;
};

static void
member_keys_release(struct member_keys *k)
{
	for (size_t i = 0; i < k->count; i++)
		cert_free(k->at[i].cert);
}

static enum err
load_state(struct member_key *k)
{
	char path[TOOL_PATH_BYTES + 16];
	json_t *state;
	const char *word, *reason;
	json_int_t until;

	(void)snprintf(k->state, sizeof(k->state), "live");
	(void)snprintf(path, sizeof(path), "%s.state", k->stem);
	if (access(path, F_OK) != 0)
		return OK;
	state = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
	if (state == NULL ||
	    json_unpack(state, "{s:s, s:I, s:s}", "state", &word, "until", &until, "reason",
		&reason) != 0) {
		json_decref(state);
		return tool_fail(ERR_MALFORMED, "%s can't be read", path);
	}
	(void)snprintf(k->state, sizeof(k->state), "%s", word);
	(void)snprintf(k->reason, sizeof(k->reason), "%s", reason);
	k->until_ms = until;
	json_decref(state);
	return OK;
}

static int
by_begin(const void *a, const void *b)
{
	const struct member_key *x = a, *y = b;
	int64_t d = cert_from_ms(x->cert) - cert_from_ms(y->cert);

	return d != 0 ? (d < 0 ? -1 : 1) : strcmp(x->stem, y->stem);
}

static enum err
load_keys(const char *folder, const char *word, struct member_keys *out)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	enum err e = OK;

	if (d == NULL)
		return tool_fail(ERR_IO, "%s: %s", folder, strerror(errno));
	while (e == OK && (entry = readdir(d)) != NULL) {
		struct member_key *k = &out->at[out->count];
		size_t len = strlen(entry->d_name);
		char path[TOOL_PATH_BYTES];
		if (strncmp(entry->d_name, word, strlen(word)) != 0 || len < 5 ||
		    strcmp(entry->d_name + len - 4, ".pem") != 0)
			continue;
		if (out->count == KEYS_MAX) {
			e = tool_fail(ERR_TOO_MANY, "%s holds more than %d keys", folder, KEYS_MAX);
			break;
		}
		(void)snprintf(k->stem, sizeof(k->stem), "%.3000s/%.*s", folder, (int)(len - 4),
		    entry->d_name);
		e = tool_load_cert(tool_path(path, folder, entry->d_name, NULL), &k->cert);
		if (e == OK) {
			out->count++;
			e = load_state(k);
		}
	}
	closedir(d);
	if (e == OK && out->count > 1)
		qsort(out->at, out->count, sizeof(*out->at), by_begin);
	return e;
}

/* Old keys: retired when a newer one of the same use is live. */
static Citex__Key **
list_keys(struct member_keys *keys, size_t *count)
{
	Citex__Key **list = xalloc_array(keys->count, sizeof(*list));

	for (size_t i = 0; i < keys->count; i++) {
		struct member_key *k = &keys->at[i];
		Citex__Key *out = xalloc(sizeof(*out));
		citex__key__init(out);
		out->certificate = pb_of_bytes(cert_der(k->cert));
		out->from = (uint64_t)cert_from_ms(k->cert);
		out->until = (uint64_t)k->until_ms;
		out->state = k->state;
		out->reason = k->reason;
		list[(*count)++] = out;
	}
	return list;
}

static void
free_list(Citex__Key **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

static char **
strings_of(json_t *about, const char *name, size_t *count)
{
	json_t *list = json_object_get(about, name), *value;
	char **out = xalloc_array(json_array_size(list), sizeof(*out));
	size_t i;

	json_array_foreach(list, i, value)
	{
		if (json_is_string(value))
			out[(*count)++] = (char *)(uintptr_t)json_string_value(value);
	}
	return out;
}

static const char *
text_of(json_t *about, const char *name)
{
	const char *text = json_string_value(json_object_get(about, name));

	return text != NULL ? text : "";
}

/* Sign CARD with the newest live key of KEYS and write it to the file asked for. */
static enum err
write_card(const struct tool_args *a, const ProtobufCMessage *card, const char *label, bool is_node,
    const struct member_keys *keys)
{
	const char *path = tool_value(a, OPTION_OUTPUT);
	CLEANUP(secret_release) struct secret passphrase = { 0 };
	CLEANUP(private_key_drop) struct private_key *key = NULL;
	CLEANUP(buffer_release)
	struct buffer bytes = { 0 }, signature = { 0 }, packed = { 0 }, text = { 0 };
	Citex__SignedCard s = CITEX__SIGNED_CARD__INIT;
	const struct member_key *newest = NULL;
	char key_path[TOOL_PATH_BYTES + 8];
	enum err e;

	for (size_t i = 0; i < keys->count; i++)
		newest = strcmp(keys->at[i].state, "live") == 0 ? &keys->at[i] : newest;
	if (newest == NULL)
		return tool_fail(
		    ERR_NOT_FOUND, "there is no live key to sign the card with: citex-pki renew");
	e = tool_passphrase(a, false, &passphrase);
	(void)snprintf(key_path, sizeof(key_path), "%s.key", newest->stem);
	if (e == OK)
		e = tool_load_key(key_path, &passphrase, &key);
	proto_pack(card, &bytes);
	if (e == OK)
		e = label_sign(key, label, buffer_bytes(&bytes), &signature);
	if (e != OK)
		return e;
	s.card = pb_of_bytes(buffer_bytes(&bytes));
	s.key_id = pb_of_bytes((struct bytes){ cert_key_id(newest->cert), KEY_ID_BYTES });
	s.signature = pb_of_bytes(buffer_bytes(&signature));
	proto_pack(&s.base, &packed);
	card_print(is_node, buffer_bytes(&packed), &text);
	if (path == NULL)
		return fputs(buffer_text(&text), stdout) < 0 ? ERR_IO : OK;
	e = file_replace(path, buffer_bytes(&text), 0644);
	return e == OK ? OK : tool_fail(e, "%s: %s", path, strerror(errno));
}

static void
add_kinds(Citex__AuthorityCard *card, Citex__ReadableKind *room, Citex__ReadableKind **list)
{
	for (size_t i = 0; kinds[i] != NULL && i < KEYS_MAX; i++) {
		citex__readable_kind__init(&room[i]);
		room[i].kind = (char *)(uintptr_t)kinds[i]->name;
		room[i].version = kinds[i]->version;
		list[i] = &room[i];
		card->n_kinds++;
	}
	card->kinds = list;
}

/* 'NAME <MAIL>' taken apart in place. */
static void
add_focal_points(Citex__AuthorityCard *card, char **texts, size_t count)
{
	card->focal_points = xalloc_array(count, sizeof(*card->focal_points));
	for (size_t i = 0; i < count; i++) {
		Citex__FocalPoint *p = xalloc(sizeof(*p));
		char *copy = xstrdup(texts[i]), *mail = strstr(copy, " <");
		citex__focal_point__init(p);
		p->name = copy;
		if (mail != NULL) {
			*mail = '\0';
			p->email = mail + 2;
			p->email[strcspn(p->email, ">")] = '\0';
		}
		card->focal_points[card->n_focal_points++] = p;
	}
}

static enum err
authority_card(const struct tool_args *a, const char *folder, json_t *about)
{
	static struct member_keys signing, sealing;
	Citex__AuthorityCard c = CITEX__AUTHORITY_CARD__INIT;
	Citex__ReadableKind room[KEYS_MAX], *list[KEYS_MAX];
	size_t points = 0;
	char **texts = strings_of(about, "focal_points", &points);
	enum err e = load_keys(folder, "signing", &signing);

	if (e == OK)
		e = load_keys(folder, "sealing", &sealing);
	c.version = 1;
	c.issued = (uint64_t)a->now_ms;
	c.authority = a->words[1];
	c.name = (char *)(uintptr_t)text_of(about, "name");
	c.node = (char *)(uintptr_t)text_of(about, "node");
	c.roles = strings_of(about, "roles", &c.n_roles);
	c.languages = strings_of(about, "languages", &c.n_languages);
	c.signing = list_keys(&signing, &c.n_signing);
	c.sealing = list_keys(&sealing, &c.n_sealing);
	add_focal_points(&c, texts, points);
	add_kinds(&c, room, list);
	if (e == OK)
		e = write_card(a, &c.base, AUTHORITY_CARD_LABEL, false, &signing);
	free_list(c.signing, c.n_signing);
	free_list(c.sealing, c.n_sealing);
	for (size_t i = 0; i < c.n_focal_points; i++) {
		free(c.focal_points[i]->name);
		free(c.focal_points[i]);
	}
	free(c.focal_points);
	free(c.roles);
	free(c.languages);
	free(texts);
	member_keys_release(&signing);
	member_keys_release(&sealing);
	return e;
}

static enum err
node_card(const struct tool_args *a, const char *folder, json_t *about)
{
	static struct member_keys tls, receipts;
	Citex__NodeCard c = CITEX__NODE_CARD__INIT;
	enum err e = load_keys(folder, "tls", &tls);

	if (e == OK)
		e = load_keys(folder, "receipts", &receipts);
	c.version = 1;
	c.issued = (uint64_t)a->now_ms;
	c.node = a->words[1];
	c.addresses = strings_of(about, "addresses", &c.n_addresses);
	c.via = strings_of(about, "via", &c.n_via);
	c.serves = strings_of(about, "serves", &c.n_serves);
	c.tls = list_keys(&tls, &c.n_tls);
	c.receipts = list_keys(&receipts, &c.n_receipts);
	if (e == OK)
		e = write_card(a, &c.base, NODE_CARD_LABEL, true, &receipts);
	free_list(c.tls, c.n_tls);
	free_list(c.receipts, c.n_receipts);
	free(c.addresses);
	free(c.via);
	free(c.serves);
	member_keys_release(&tls);
	member_keys_release(&receipts);
	return e;
}

static const char *
member_folder(const struct tool_args *a, char *out)
{
	return tool_path(
	    out, a->words[0], a->counts[FLAG_NODE] > 0 ? "nodes" : "authorities", a->words[1]);
}

enum err
tool_card(const struct tool_args *a)
{
	char folder[TOOL_PATH_BYTES];
	json_t *about = load_about(member_folder(a, folder));
	enum err e;

	if (about == NULL)
		return ERR_IO;
	e = a->counts[FLAG_NODE] > 0 ? node_card(a, folder, about)
				     : authority_card(a, folder, about);
	json_decref(about);
	return e;
}

/* --- renewing and revoking --- */

static enum err
find_use(const struct tool_args *a, size_t *out)
{
	const char *word = tool_value(a, OPTION_USE);

	for (size_t i = 0; word != NULL && i < sizeof(uses) / sizeof(*uses); i++) {
		if (strcmp(uses[i].word, word) == 0 &&
		    uses[i].of_node == (a->counts[FLAG_NODE] > 0)) {
			*out = i;
			return OK;
		}
	}
	return tool_fail(ERR_USAGE, "give --use %s",
	    a->counts[FLAG_NODE] > 0 ? "tls or receipts" : "signing or sealing");
}

static enum err
end_key(const struct member_key *k, const char *state, int64_t now_ms, const char *reason)
{
	char path[TOOL_PATH_BYTES + 16];

	(void)snprintf(path, sizeof(path), "%s.state", k->stem);
	return save_about(path,
	    json_pack(
		"{s:s, s:I, s:s}", "state", state, "until", (json_int_t)now_ms, "reason", reason));
}

/* The next key of a use; a stem that no key has, also none without its certificate. */
static enum err
make_next_key(const struct tool_args *a, const char *folder, size_t use, size_t count,
    const struct ca *ca, char *stem)
{
	struct cert_request r = { .party = cert_party(ca->cert),
		.name = a->words[1],
		.use = uses[use].use,
		.from_ms = a->now_ms - SECOND_MS };
	char path[TOOL_PATH_BYTES + 8];
	int64_t days_ms;
	enum err e = days_of(a, LEAF_DAYS, &days_ms);

	if (e != OK)
		return e;
	if (count >= KEYS_MAX)
		return tool_fail(ERR_TOO_MANY,
		    "%s holds %d keys for %s, and a card has no room for more: move the oldest "
		    "away (.key, .pem and .state) when nothing that it proves is needed any more",
		    folder, KEYS_MAX, uses[use].word);
	do {
		/* `_' sorts behind `.': the newest is the last in a listing, too */
		(void)snprintf(
		    stem, TOOL_PATH_BYTES, "%.4000s/%s_%04zu", folder, uses[use].word, ++count);
		(void)snprintf(path, sizeof(path), "%s.key", stem);
	} while (access(path, F_OK) == 0);
	r.until_ms = a->now_ms + days_ms;
	return tool_make_pair(stem, &r, ca->cert, ca->key, &ca->passphrase);
}

/* Make the next key, and only then end those before it: an interruption leaves one that works. */
static enum err
replace_key(const struct tool_args *a, bool revoke, const char *reason)
{
	static struct member_keys keys;
	CLEANUP(ca_release) struct ca ca = { 0 };
	char folder[TOOL_PATH_BYTES], stem[TOOL_PATH_BYTES];
	size_t use = 0, ended = 0;
	enum err e = find_use(a, &use);

	if (e == OK)
		e = ca_load(a, a->words[0], &ca);
	if (e == OK)
		e = load_keys(member_folder(a, folder), uses[use].word, &keys);
	if (e == OK)
		e = make_next_key(a, folder, use, keys.count, &ca, stem);
	for (size_t i = 0; e == OK && i < keys.count; i++) {
		const char *state = keys.at[i].state;
		/* who has the folder has the retired ones, too */
		if (strcmp(state, "live") == 0 || (revoke && strcmp(state, "retired") == 0)) {
			e = end_key(&keys.at[i], revoke ? "revoked" : "retired", a->now_ms, reason);
			ended++;
		}
	}
	if (e == OK)
		printf("new key: %s.pem; %s: %zu\nMake a new card (citex-pki card) and send it to "
		       "the Secretariat.\n",
		    stem, revoke ? "revoked" : "retired", ended);
	member_keys_release(&keys);
	return e;
}

enum err
tool_renew(const struct tool_args *a)
{
	return replace_key(a, false, "renewed");
}

enum err
tool_revoke(const struct tool_args *a)
{
	const char *reason = tool_value(a, OPTION_REASON);

	if (reason == NULL)
		return tool_fail(ERR_USAGE, "give --reason TEXT: it stands in the directory");
	return replace_key(a, true, reason);
}

enum err
tool_voucher(const struct tool_args *a)
{
	CLEANUP(ca_release) struct ca ca = { 0 };
	CLEANUP(cert_drop) struct cert *next = NULL;
	CLEANUP(buffer_release) struct buffer signature = { 0 };
	const char *path = tool_value(a, OPTION_OUTPUT);
	enum err e =
	    path == NULL ? tool_fail(ERR_USAGE, "give -o FILE") : ca_load(a, a->words[0], &ca);

	if (e == OK)
		e = tool_load_cert(a->words[1], &next);
	if (e == OK)
		e = label_sign(ca.key, CA_LABEL, cert_der(next), &signature);
	if (e == OK)
		e = file_replace(path, buffer_bytes(&signature), 0644);
	return e;
}
