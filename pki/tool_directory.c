/* SPDX-License-Identifier: Apache-2.0 */
/* The Secretariat's side: a folder from which directories are published.
 *   directory.key directory.pem fingerprint
 *   parties/CODE/about.json ca-NN.pem ca-NN.voucher NAME.card NAME.node
 *   published/N.citex */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pki/card.h"
#include "pki/directory_file.h"
#include "pki/files.h"
#include "pki/ossl.h"
#include "pki/tool.h"
#include "proto/decode.h"
#include "proto/escape.h"
#include "proto/ids.h"
#include "proto/json.h"

#define DIRECTORY_DAYS 3650
#define FRESH_DAYS 30
#define FILE_MAX_BYTES (DIRECTORY_MAX_BYTES + 64 * KIB)
#define CAS_MAX 90

enum err
tool_directory_init(const struct tool_args *a)
{
	const char *dir = a->words[0];
	CLEANUP(secret_release) struct secret passphrase = { 0 };
	CLEANUP(cert_drop) struct cert *cert = NULL;
	struct cert_request r = { "secretariat", "secretariat", USE_DIRECTORY, NULL,
		a->now_ms - HOUR_MS, a->now_ms + DIRECTORY_DAYS * DAY_MS };
	char path[TOOL_PATH_BYTES], fingerprint[80];
	enum err e = tool_passphrase(a, true, &passphrase);

	if (e == OK)
		e = tool_folder(dir);
	if (e == OK)
		e = tool_make_pair(
		    tool_path(path, dir, "directory", NULL), &r, NULL, NULL, &passphrase);
	if (e == OK)
		e = tool_folder(tool_path(path, dir, "parties", NULL));
	if (e == OK)
		e = tool_folder(tool_path(path, dir, "published", NULL));
	if (e == OK)
		e = tool_load_cert(tool_path(path, dir, "directory.pem", NULL), &cert);
	if (e != OK)
		return e;
	cert_fingerprint(cert, fingerprint);
	e = file_create(tool_path(path, dir, "fingerprint", NULL), bytes_str(fingerprint), 0644);
	if (e != OK)
		return tool_fail(e, "%s: %s", path, strerror(errno));
	printf("fingerprint: %s\nEach node begins with it: give it to administrators by another "
	       "way than the directory.\n",
	    fingerprint);
	return OK;
}

/* --- admitting --- */

static void
ca_path(char *out, const char *folder, int n, const char *ending)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "ca-%02d.%s", n, ending);
	(void)tool_path(out, folder, name, NULL);
}

static int
count_cas(const char *folder)
{
	char path[TOOL_PATH_BYTES];
	int n = 0;

	for (ca_path(path, folder, 1, "pem"); n < CAS_MAX && access(path, F_OK) == 0;
	     ca_path(path, folder, n + 1, "pem"))
		n++;
	return n;
}

static enum err
add_ca(const struct tool_args *a, const char *folder, const struct cert *ca)
{
	CLEANUP(buffer_release) struct buffer voucher = { 0 };
	CLEANUP(cert_drop) struct cert *last = NULL;
	const char *voucher_path = tool_value(a, OPTION_VOUCHER);
	char path[TOOL_PATH_BYTES];
	int n = count_cas(folder);
	enum err e = OK;

	if (n > 0) {
		ca_path(path, folder, n, "pem");
		e = tool_load_cert(path, &last);
		if (e == OK && bytes_equal(cert_der(last), cert_der(ca)))
			return OK;
		if (e == OK && voucher_path == NULL)
			e = tool_fail(ERR_SIGNATURE,
			    "this Party has another CA: the old one must vouch for it (citex-pki "
			    "voucher), --voucher FILE");
		if (e == OK)
			e = file_read(voucher_path, KIB, &voucher);
		if (e == OK)
			e = label_verify(
			    cert_key(last), CA_LABEL, cert_der(ca), buffer_bytes(&voucher));
		if (e != OK)
			return tool_fail(e, "the voucher is not good: %s", err_words(e));
		ca_path(path, folder, n + 1, "voucher");
		e = file_create(path, buffer_bytes(&voucher), 0644);
	}
	ca_path(path, folder, n + 1, "pem");
	return e == OK ? cert_save_pem(ca, path) : e;
}

/* What is said of a Party: NAME, or the one it had, or its code. */
static enum err
save_name(const char *folder, const char *party, const char *name)
{
	char path[TOOL_PATH_BYTES];
	json_t *was, *about;
	enum err e = OK;

	(void)tool_path(path, folder, "about.json", NULL);
	was = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
	if (name == NULL)
		name = json_string_value(json_object_get(was, "name"));
	about = json_pack("{s:s, s:s}", "party", party, "name", name != NULL ? name : party);
	if (about == NULL)
		e = tool_fail(ERR_VALUE, "--name is no UTF-8 text");
	else if (json_dump_file(about, path, JSON_INDENT(1)) != 0)
		e = tool_fail(ERR_IO, "%s: %s", path, strerror(errno));
	json_decref(was);
	json_decref(about);
	return e;
}

enum err
tool_directory_admit(const struct tool_args *a)
{
	const char *party = tool_value(a, OPTION_PARTY), *name = tool_value(a, OPTION_NAME),
		   *file = tool_value(a, OPTION_CA);
	CLEANUP(cert_drop) struct cert *ca = NULL;
	char folder[TOOL_PATH_BYTES], fingerprint[80];
	enum err e;

	if (party == NULL || file == NULL || !node_is_valid(party))
		return tool_fail(ERR_USAGE, "give --party CODE and --ca FILE");
	e = tool_load_cert(file, &ca);
	if (e == OK && (cert_use(ca) != USE_CA || strcmp(cert_party(ca), party) != 0))
		e = tool_fail(
		    ERR_IDENTITY, "%s is not the CA of %s but of %s", file, party, cert_party(ca));
	if (e == OK)
		e = tool_folder(tool_path(folder, a->words[0], "parties", party));
	if (e == OK)
		e = add_ca(a, folder, ca);
	if (e == OK)
		e = save_name(folder, party, name);
	if (e != OK)
		return e;
	cert_fingerprint(ca, fingerprint);
	printf("admitted %s, fingerprint %s\nCompare it with what the Party says by telephone.\n",
	    party, fingerprint);
	return OK;
}

/* --- cards --- */

/* Who a card is of, and when it was issued. */
static enum err
read_card(struct bytes signed_card, bool is_node, char *name, char *party, uint64_t *issued)
{
	Citex__SignedCard *s = NULL;
	ProtobufCMessage *card = NULL;
	struct cert *cert = NULL;
	enum err e =
	    proto_unpack(&citex__signed_card__descriptor, signed_card, (ProtobufCMessage **)&s);

	if (e == OK)
		e = proto_unpack(
		    is_node ? &citex__node_card__descriptor : &citex__authority_card__descriptor,
		    bytes_of_pb(s->card), &card);
	if (e == OK && is_node) {
		Citex__NodeCard *n = (Citex__NodeCard *)card;
		e = n->n_tls > 0 && node_is_valid(n->node)
		    ? cert_parse(bytes_of_pb(n->tls[0]->certificate), &cert)
		    : ERR_VALUE;
		if (e == OK) {
			(void)snprintf(name, NODE_MAX_BYTES + 1, "%s", n->node);
			(void)snprintf(party, AUTHORITY_MAX_BYTES + 1, "%s", cert_party(cert));
			*issued = n->issued;
		}
	} else if (e == OK) {
		Citex__AuthorityCard *c = (Citex__AuthorityCard *)card;
		e = authority_is_valid(c->authority) ? OK : ERR_VALUE;
		if (e == OK) {
			(void)snprintf(name, AUTHORITY_MAX_BYTES + 1, "%s", c->authority);
			authority_party(c->authority, party);
			*issued = c->issued;
		}
	}
	cert_free(cert);
	proto_free(card);
	proto_free((ProtobufCMessage *)s);
	return e;
}

/* By the CAs that were admitted: what is false does not even replace what is good. */
static enum err
judge_card(const char *folder, const char *party, struct bytes card, bool is_node, const char *file)
{
	struct cert *cas[CAS_MAX] = { NULL };
	ProtobufCMessage *s = NULL;
	char path[TOOL_PATH_BYTES], why[200] = "";
	size_t count = (size_t)count_cas(folder), n;
	enum err e = proto_unpack(&citex__signed_card__descriptor, card, &s);

	for (n = 0; e == OK && n < count; n++) {
		ca_path(path, folder, (int)n + 1, "pem");
		e = tool_load_cert(path, &cas[n]);
	}
	if (e == OK) {
		e = directory_check_card(
		    (const Citex__SignedCard *)s, is_node, party, cas, count, why);
		if (e != OK)
			e = tool_fail(e, "%s is refused: %s", file, why);
	}
	for (size_t i = 0; i < n; i++)
		cert_free(cas[i]);
	proto_free(s);
	return e;
}

static enum err
add_card(const char *dir, const char *file)
{
	CLEANUP(buffer_release) struct buffer text = { 0 }, card = { 0 }, old = { 0 };
	char name[AUTHORITY_MAX_BYTES + 1], party[AUTHORITY_MAX_BYTES + 1],
	    leaf[AUTHORITY_MAX_BYTES + 16];
	char folder[TOOL_PATH_BYTES], path[TOOL_PATH_BYTES], parties[TOOL_PATH_BYTES];
	uint64_t issued, before;
	bool is_node;
	enum err e = file_read(file, MIB, &text);

	if (e == OK)
		e = card_parse(buffer_bytes(&text), &is_node, &card);
	if (e == OK)
		e = read_card(buffer_bytes(&card), is_node, name, party, &issued);
	if (e != OK)
		return e == ERR_IO ? tool_fail(e, "%s: %s", file, strerror(errno))
				   : tool_fail(e, "%s is no card: %s", file, err_words(e));
	(void)tool_path(folder, tool_path(parties, dir, "parties", NULL), party, NULL);
	if (access(folder, F_OK) != 0)
		return tool_fail(ERR_NOT_FOUND,
		    "%s is not admitted: citex-pki directory admit --party %s", party, party);
	e = judge_card(folder, party, buffer_bytes(&card), is_node, file);
	if (e != OK)
		return e;
	(void)snprintf(leaf, sizeof(leaf), "%s.%s", name, is_node ? "node" : "card");
	(void)tool_path(path, folder, leaf, NULL);
	if (file_read(path, MIB, &old) == OK &&
	    read_card(buffer_bytes(&old), is_node, name, party, &before) == OK && before > issued)
		return tool_fail(ERR_EXISTS, "%s: a later card of %s is here already", file, name);
	e = file_replace(path, buffer_bytes(&card), 0644);
	if (e == OK)
		printf("%s %s\n", is_node ? "node" : "authority", name);
	return e == OK ? OK : tool_fail(e, "%s: %s", path, strerror(errno));
}

enum err
tool_directory_add(const struct tool_args *a)
{
	enum err e = OK;

	for (size_t i = 1; e == OK && i < a->word_count; i++)
		e = add_card(a->words[0], a->words[i]);
	return e;
}

/* --- taking out --- */

static int
is_no_dot(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

/* All of a Party's folder; its CA is admitted anew, with whatever cards, afterwards. */
static enum err
remove_party(const char *folder, const char *party)
{
	struct dirent **names = NULL;
	int n = scandir(folder, &names, is_no_dot, NULL);
	enum err e = n >= 0 ? OK : tool_fail(ERR_NOT_FOUND, "%s is not admitted", party);

	for (int i = 0; i < n; i++) {
		char path[TOOL_PATH_BYTES];
		if (e == OK && unlink(tool_path(path, folder, names[i]->d_name, NULL)) != 0)
			e = tool_fail(ERR_IO, "%s: %s", path, strerror(errno));
		free(names[i]);
	}
	free(names);
	if (e == OK && rmdir(folder) != 0)
		e = tool_fail(ERR_IO, "%s: %s", folder, strerror(errno));
	return e;
}

/* A node's Party is not in its name. */
static enum err
remove_card(const char *parties, const char *name, bool is_node)
{
	struct dirent **names = NULL;
	int n = scandir(parties, &names, is_no_dot, NULL);
	char leaf[AUTHORITY_MAX_BYTES + 16];
	bool found = false;
	enum err e = OK;

	(void)snprintf(
	    leaf, sizeof(leaf), "%.*s.%s", AUTHORITY_MAX_BYTES, name, is_node ? "node" : "card");
	for (int i = 0; i < n; i++) {
		char path[TOOL_PATH_BYTES];
		(void)tool_path(path, parties, names[i]->d_name, leaf);
		if (e == OK && unlink(path) == 0)
			found = true;
		else if (e == OK && errno != ENOENT)
			e = tool_fail(ERR_IO, "%s: %s", path, strerror(errno));
		free(names[i]);
	}
	free(names);
	if (e == OK && !found)
		e = tool_fail(ERR_NOT_FOUND, "there is no card of %s %s",
		    is_node ? "node" : "authority", name);
	return e;
}

enum err
tool_directory_remove(const struct tool_args *a)
{
	const char *party = tool_value(a, OPTION_PARTY),
		   *name = a->word_count > 1 ? a->words[1] : NULL;
	const bool is_node = a->counts[FLAG_NODE] > 0;
	char parties[TOOL_PATH_BYTES], folder[TOOL_PATH_BYTES];
	enum err e;

	if ((party == NULL) == (name == NULL) || (is_node && name == NULL))
		return tool_fail(
		    ERR_USAGE, "name an authority, a node with --node, or a Party with --party");
	if (!(party != NULL || is_node ? node_is_valid(party != NULL ? party : name)
				       : authority_is_valid(name)))
		return tool_fail(ERR_VALUE, "`%s' is no such name", party != NULL ? party : name);
	(void)tool_path(parties, a->words[0], "parties", NULL);
	e = party != NULL ? remove_party(tool_path(folder, parties, party, NULL), party)
			  : remove_card(parties, name, is_node);
	if (e == OK)
		printf("%s is out of the next directory\n", party != NULL ? party : name);
	return e;
}

/* --- publishing --- */

static Citex__Key *
key_of_cert(const struct cert *c)
{
	Citex__Key *k = xalloc(sizeof(*k));

	citex__key__init(k);
	k->certificate.data = xmemdup(cert_der(c).at, cert_der(c).len);
	k->certificate.len = cert_der(c).len;
	k->from = (uint64_t)cert_from_ms(c);
	k->state = xstrdup("live");
	return k;
}

static enum err
load_cas(const char *folder, Citex__Party *p)
{
	int n = count_cas(folder);

	p->cas = xalloc_array((size_t)n, sizeof(*p->cas));
	p->vouchers = xalloc_array((size_t)n, sizeof(*p->vouchers));
	for (int i = 1; i <= n; i++) {
		CLEANUP(cert_drop) struct cert *c = NULL;
		CLEANUP(buffer_release) struct buffer voucher = { 0 };
		char path[TOOL_PATH_BYTES];
		enum err e;
		ca_path(path, folder, i, "pem");
		e = tool_load_cert(path, &c);
		if (e != OK)
			return e;
		p->cas[p->n_cas++] = key_of_cert(c);
		if (i == 1)
			continue;
		ca_path(path, folder, i, "voucher");
		e = file_read(path, KIB, &voucher);
		if (e != OK)
			return tool_fail(e, "%s: %s", path, strerror(errno));
		p->vouchers[p->n_vouchers].len = voucher.len;
		p->vouchers[p->n_vouchers++].data = buffer_detach(&voucher, &(size_t){ 0 });
	}
	return OK;
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static bool
ends_with(const char *name, const char *ending)
{
	size_t n = strlen(name), e = strlen(ending);

	return n > e && strcmp(name + n - e, ending) == 0;
}

static enum err
load_cards(const char *folder, Citex__Party *p)
{
	struct dirent **names = NULL;
	int n = scandir(folder, &names, is_no_dot, by_name);
	enum err e = OK;

	p->authorities = xalloc_array(n > 0 ? (size_t)n : 0, sizeof(*p->authorities));
	p->nodes = xalloc_array(n > 0 ? (size_t)n : 0, sizeof(*p->nodes));
	for (int i = 0; i < n; i++) {
		CLEANUP(buffer_release) struct buffer bytes = { 0 };
		char path[TOOL_PATH_BYTES];
		bool is_node = ends_with(names[i]->d_name, ".node");
		Citex__SignedCard *card = NULL;
		if (e == OK && (is_node || ends_with(names[i]->d_name, ".card"))) {
			e = file_read(tool_path(path, folder, names[i]->d_name, NULL), MIB, &bytes);
			if (e == OK)
				e = proto_unpack(&citex__signed_card__descriptor,
				    buffer_bytes(&bytes), (ProtobufCMessage **)&card);
			if (e != OK)
				e = tool_fail(e, "%s: %s", path, err_words(e));
			else if (is_node)
				p->nodes[p->n_nodes++] = card;
			else
				p->authorities[p->n_authorities++] = card;
		}
		free(names[i]);
	}
	free(names);
	return e;
}

static enum err
load_party(const char *parties, const char *code, Citex__Party *p)
{
	char folder[TOOL_PATH_BYTES], path[TOOL_PATH_BYTES];
	json_t *about = json_load_file(
	    tool_path(path, tool_path(folder, parties, code, NULL), "about.json", NULL),
	    JSON_REJECT_DUPLICATES, NULL);
	const char *name = json_string_value(json_object_get(about, "name"));
	enum err e;

	p->code = xstrdup(code);
	p->name = xstrdup(name != NULL ? name : code);
	json_decref(about);
	e = load_cas(folder, p);
	return e == OK ? load_cards(folder, p) : e;
}

static enum err
load_contents(
    const char *dir, uint64_t number, const struct cert *publisher, Citex__DirectoryContents **out)
{
	char parties[TOOL_PATH_BYTES];
	struct dirent **names = NULL;
	int n = scandir(tool_path(parties, dir, "parties", NULL), &names, is_no_dot, by_name);
	Citex__DirectoryContents *c = xalloc(sizeof(*c));
	enum err e = n >= 0 ? OK : tool_fail(ERR_IO, "%s: %s", parties, strerror(errno));

	citex__directory_contents__init(c);
	c->version = 1;
	c->number = number;
	c->publishers = xalloc_array(1, sizeof(*c->publishers));
	c->publishers[c->n_publishers++] = key_of_cert(publisher);
	c->parties = xalloc_array(n > 0 ? (size_t)n : 0, sizeof(*c->parties));
	for (int i = 0; i < n; i++) {
		if (e == OK) {
			Citex__Party *p = xalloc(sizeof(*p));
			citex__party__init(p);
			c->parties[c->n_parties++] = p;
			e = load_party(parties, names[i]->d_name, p);
		}
		free(names[i]);
	}
	free(names);
	*out = c;
	return e;
}

/* The newest published directory; *OUT stays NULL when there is none. */
static enum err
load_last(const char *dir, const char *pin, struct directory **out)
{
	char published[TOOL_PATH_BYTES], path[TOOL_PATH_BYTES], name[32], why[200];
	uint64_t number = 0;

	(void)tool_path(published, dir, "published", NULL);
	for (;; number++) {
		(void)snprintf(name, sizeof(name), "%lu.citex", (unsigned long)number + 1);
		if (access(tool_path(path, published, name, NULL), F_OK) != 0)
			break;
	}
	if (number == 0)
		return OK;
	(void)snprintf(name, sizeof(name), "%lu.citex", (unsigned long)number);
	CLEANUP(buffer_release) struct buffer file = { 0 };
	Citex__SignedHead *head = NULL;
	struct bytes contents;
	enum err e = file_read(tool_path(path, published, name, NULL), FILE_MAX_BYTES, &file);
	if (e == OK)
		e = directory_file_parse(buffer_bytes(&file), &head, &contents);
	if (e == OK)
		e = directory_build(
		    NULL, &(struct directory_trust){ .pin = pin }, head, contents, out, why);
	proto_free((ProtobufCMessage *)head);
	return e == OK ? OK : tool_fail(e, "%s: %s", path, err_words(e));
}

struct publisher {
	struct cert *cert;
	struct private_key *key;
	struct directory *last;
	char pin[80];
};

static void
publisher_release(struct publisher *p)
{
	cert_free(p->cert);
	private_key_free(p->key);
	directory_free(p->last);
}

static enum err
load_publisher(const struct tool_args *a, struct publisher *p)
{
	CLEANUP(secret_release) struct secret passphrase = { 0 };
	char path[TOOL_PATH_BYTES];
	enum err e = tool_passphrase(a, false, &passphrase);

	if (e == OK)
		e = tool_load_cert(tool_path(path, a->words[0], "directory.pem", NULL), &p->cert);
	if (e == OK)
		e = tool_load_key(
		    tool_path(path, a->words[0], "directory.key", NULL), &passphrase, &p->key);
	if (e != OK)
		return e;
	cert_fingerprint(p->cert, p->pin);
	return load_last(a->words[0], p->pin, &p->last);
}

static enum err
sign_head(const struct tool_args *a, const struct publisher *p, struct bytes contents,
    long fresh_days, Citex__SignedHead **out)
{
	Citex__Head h = CITEX__HEAD__INIT;
	Citex__SignedHead s = CITEX__SIGNED_HEAD__INIT;
	CLEANUP(buffer_release) struct buffer bytes = { 0 }, signature = { 0 }, packed = { 0 };
	uint8_t digest[DIGEST_BYTES];
	enum err e;

	sha256(contents, digest);
	h.version = 1;
	h.number = p->last != NULL ? directory_number(p->last) + 1 : 1;
	if (p->last != NULL)
		h.previous =
		    pb_of_bytes((struct bytes){ directory_head_digest(p->last), DIGEST_BYTES });
	h.contents_digest = pb_of_bytes(BYTES_OF(digest));
	h.contents_length = contents.len;
	h.date = (uint64_t)a->now_ms;
	h.fresh_until = (uint64_t)(a->now_ms + fresh_days * DAY_MS);
	proto_pack(&h.base, &bytes);
	e = label_sign(p->key, DIRECTORY_LABEL, buffer_bytes(&bytes), &signature);
	if (e != OK)
		return e;
	s.head = pb_of_bytes(buffer_bytes(&bytes));
	s.key_id = pb_of_bytes((struct bytes){ cert_key_id(p->cert), KEY_ID_BYTES });
	s.signature = pb_of_bytes(buffer_bytes(&signature));
	proto_pack(&s.base, &packed);
	return proto_unpack(
	    &citex__signed_head__descriptor, buffer_bytes(&packed), (ProtobufCMessage **)out);
}

static void
warn_of_held(const struct directory *d)
{
	const struct cert *ca;
	const char *party;
	char fingerprint[80];

	for (size_t i = 0; (party = directory_held_at(d, i, &ca)) != NULL; i++) {
		cert_fingerprint(ca, fingerprint);
		(void)!tool_fail(OK,
		    "WARNING: %s has another CA, which the one before did not vouch for. Each node "
		    "holds this Party until its administrator has asked it by telephone and "
		    "confirmed the fingerprint %s (confirmed-ca in citexd.conf)",
		    party, fingerprint);
	}
}

/* Mail to an authority whose node nobody knows would wait until it expires. A node takes such a
 * directory, for the missing one may be a Party's that it holds. */
static enum err
check_nodes(const struct directory *d)
{
	const struct directory_authority *x;

	for (size_t i = 0; (x = directory_authority_at(d, i)) != NULL; i++) {
		if (directory_node(d, x->node) == NULL)
			return tool_fail(ERR_DIRECTORY,
			    "nothing was published: %s is served by node %s, which has no card: "
			    "citex-pki directory add its card, or remove %s",
			    x->id, x->node, x->id);
	}
	return OK;
}

/* What would be refused by a node is not published. */
static enum err
check_and_save(const struct tool_args *a, const struct publisher *p, const Citex__SignedHead *head,
    struct bytes contents)
{
	CLEANUP(directory_drop) struct directory *d = NULL;
	CLEANUP(buffer_release) struct buffer file = { 0 };
	const char *output = tool_value(a, OPTION_OUTPUT);
	const struct cert *ca;
	char why[200], path[TOOL_PATH_BYTES], published[TOOL_PATH_BYTES], name[32];
	enum err e = directory_build(
	    p->last, &(struct directory_trust){ .pin = p->pin }, head, contents, &d, why);

	if (e != OK)
		return tool_fail(e, "nothing was published: %s", why);
	if (directory_held_at(d, 0, &ca) == NULL)
		e = check_nodes(d);
	if (e != OK)
		return e;
	warn_of_held(d);
	directory_file_print(head, contents, &file);
	(void)snprintf(name, sizeof(name), "%lu.citex", (unsigned long)directory_number(d));
	(void)tool_path(path, tool_path(published, a->words[0], "published", NULL), name, NULL);
	e = file_create(path, buffer_bytes(&file), 0644);
	if (e == OK && output != NULL)
		e = file_replace(output, buffer_bytes(&file), 0644);
	if (e == OK)
		printf("directory %lu: %zu bytes, %s\n", (unsigned long)directory_number(d),
		    file.len, output != NULL ? output : path);
	return e == OK ? OK
		       : tool_fail(e, "%s: %s", output != NULL ? output : path, strerror(errno));
}

enum err
tool_directory_publish(const struct tool_args *a)
{
	CLEANUP(publisher_release) struct publisher p = { 0 };
	CLEANUP(buffer_release) struct buffer contents = { 0 };
	Citex__DirectoryContents *c = NULL;
	Citex__SignedHead *head = NULL;
	const char *text = tool_value(a, OPTION_FRESH_DAYS);
	char *end = NULL;
	long fresh_days = text != NULL ? strtol(text, &end, 10) : FRESH_DAYS;
	enum err e = fresh_days < 1 || fresh_days > 3650 || (end != NULL && *end != '\0')
	    ? tool_fail(ERR_VALUE, "--fresh-days takes 1 to 3650")
	    : load_publisher(a, &p);

	if (e == OK)
		e = load_contents(
		    a->words[0], p.last != NULL ? directory_number(p.last) + 1 : 1, p.cert, &c);
	if (e == OK) {
		proto_pack(&c->base, &contents);
		if (contents.len > DIRECTORY_MAX_BYTES)
			e = tool_fail(ERR_TOO_LARGE,
			    "the contents have %zu bytes, at most %lu are allowed", contents.len,
			    DIRECTORY_MAX_BYTES);
	}
	if (e == OK)
		e = sign_head(a, &p, buffer_bytes(&contents), fresh_days, &head);
	if (e == OK)
		e = check_and_save(a, &p, head, buffer_bytes(&contents));
	proto_free((ProtobufCMessage *)head);
	proto_free((ProtobufCMessage *)c);
	return e;
}

/* --- reading --- */

static enum err
load_file(const char *path, struct buffer *file, Citex__SignedHead **head, struct bytes *contents)
{
	enum err e = file_read(path, FILE_MAX_BYTES, file);

	if (e == OK)
		e = directory_file_parse(buffer_bytes(file), head, contents);
	return e == OK ? OK : tool_fail(e, "%s: %s", path, tool_words(e));
}

static enum err
build_file(const char *path, const struct directory *previous, const char *pin, struct buffer *file,
    struct directory **out)
{
	Citex__SignedHead *head = NULL;
	struct bytes contents;
	char why[200] = "";
	enum err e = load_file(path, file, &head, &contents);

	if (e == OK) {
		e = previous == NULL && pin == NULL
		    ? directory_build_kept(NULL, NULL, head, contents, out, why)
		    : directory_build(previous, &(struct directory_trust){ .pin = pin }, head,
			  contents, out, why);
		if (e != OK)
			e = tool_fail(e, "%s: %s", path, why);
	}
	proto_free((ProtobufCMessage *)head);
	return e;
}

/* Names come from cards: nothing in them may drive the terminal. ROOM holds what is given back. */
static const char *
harmless(const char *name, struct buffer *room)
{
	room->len = 0;
	escape_append(bytes_str(name), ESCAPE_LINE, false, room);
	return buffer_text(room);
}

/* Each Party with the fingerprints of its CAs, the live one last. */
static json_t *
parties_of(const struct directory *d)
{
	Citex__DirectoryContents *c = NULL;
	json_t *list = json_array();

	if (proto_unpack(&citex__directory_contents__descriptor, directory_contents(d),
		(ProtobufCMessage **)&c) != OK)
		return list;
	for (size_t i = 0; i < c->n_parties; i++) {
		const Citex__Party *p = c->parties[i];
		json_t *cas = json_array();
		for (size_t k = 0; k < p->n_cas; k++) {
			CLEANUP(cert_drop) struct cert *ca = NULL;
			char fingerprint[80];
			if (cert_parse(bytes_of_pb(p->cas[k]->certificate), &ca) != OK)
				continue;
			cert_fingerprint(ca, fingerprint);
			json_array_append_new(cas, json_string(fingerprint));
		}
		json_array_append_new(list,
		    json_pack("{s:s, s:s, s:o}", "party", p->code, "name", p->name, "cas", cas));
	}
	proto_free(&c->base);
	return list;
}

static json_t *
keys_of(const struct directory_key *keys, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++) {
		char fingerprint[80], until[TIME_TEXT_BYTES] = "";
		cert_fingerprint(keys[i].cert, fingerprint);
		if (keys[i].until_ms != 0)
			time_print(keys[i].until_ms, until);
		json_array_append_new(list,
		    json_pack("{s:s, s:s, s:s}", "fingerprint", fingerprint, "state",
			keys[i].revoked             ? "revoked"
			    : keys[i].until_ms != 0 ? "retired"
						    : "live",
			"until", until));
	}
	return list;
}

static json_t *
words_of(const char *const *words, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_string(words[i]));
	return list;
}

static json_t *
json_of(const struct directory *d, const char *date, const char *until)
{
	const struct directory_authority *x;
	const struct directory_node *n;
	json_t *authorities = json_array(), *nodes = json_array();

	for (size_t i = 0; (x = directory_authority_at(d, i)) != NULL; i++)
		json_array_append_new(authorities,
		    json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "authority", x->id, "name", x->name,
			"party", x->party, "node", x->node, "signing",
			keys_of(x->signing, x->signing_count), "sealing",
			keys_of(x->sealing, x->sealing_count)));
	for (size_t i = 0; (n = directory_node_at(d, i)) != NULL; i++)
		json_array_append_new(nodes,
		    json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "node", n->id, "party", n->party,
			"addresses", words_of(n->addresses, n->address_count), "via",
			words_of(n->via, n->via_count), "tls", keys_of(n->tls, n->tls_count),
			"receipts", keys_of(n->receipts, n->receipts_count)));
	return json_pack("{s:I, s:s, s:s, s:o, s:o, s:o}", "number",
	    (json_int_t)directory_number(d), "date", date, "fresh_until", until, "parties",
	    parties_of(d), "authorities", authorities, "nodes", nodes);
}

static void
print_directory(const struct directory *d, const char *date, const char *until)
{
	const struct directory_authority *x;
	const struct directory_node *n;
	json_t *parties = parties_of(d), *p, *ca;
	CLEANUP(buffer_release) struct buffer room = { 0 };
	size_t i, k;

	printf("directory %lu of %s, fresh until %s\n", (unsigned long)directory_number(d), date,
	    until);
	json_array_foreach(parties, i, p)
	{
		printf("Party %s, %s\n", json_string_value(json_object_get(p, "party")),
		    harmless(json_string_value(json_object_get(p, "name")), &room));
		json_array_foreach(json_object_get(p, "cas"), k, ca)
		    printf("  CA %s\n", json_string_value(ca));
	}
	json_decref(parties);
	for (i = 0; (x = directory_authority_at(d, i)) != NULL; i++)
		printf("  %-24s %-16s %s\n", x->id, x->node, harmless(x->name, &room));
	for (i = 0; (n = directory_node_at(d, i)) != NULL; i++)
		printf("  node %-19s %-16s %s\n", n->id, n->party,
		    harmless(n->address_count > 0 ? n->addresses[0]
			    : n->via_count > 0    ? "behind a relay"
						  : "",
			&room));
}

enum err
tool_directory_show(const struct tool_args *a)
{
	CLEANUP(buffer_release) struct buffer file = { 0 };
	CLEANUP(directory_drop) struct directory *d = NULL;
	char date[TIME_TEXT_BYTES], until[TIME_TEXT_BYTES];
	enum err e = build_file(a->words[0], NULL, NULL, &file, &d);
	json_t *all;

	if (e != OK)
		return e;
	time_print((int64_t)directory_head(d)->date, date);
	time_print((int64_t)directory_head(d)->fresh_until, until);
	if (a->counts[OPTION_JSON] == 0) {
		print_directory(d, date, until);
		return OK;
	}
	all = json_of(d, date, until);
	if (all == NULL)
		return tool_fail(ERR_MALFORMED, "a name in it is no text");
	json_dumpf(all, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(all);
	return OK;
}

/* What --pin gives, as cert_fingerprint() writes it; PIN (80 bytes) stays when it is not given. */
static enum err
take_pin(const struct tool_args *a, char *pin)
{
	const char *text = tool_value(a, OPTION_PIN);

	if (text == NULL || fingerprint_parse(text, pin) == OK)
		return OK;
	return tool_fail(ERR_VALUE, "--pin: `%s' is not 64 hexadecimal digits", text);
}

enum err
tool_directory_verify(const struct tool_args *a)
{
	CLEANUP(buffer_release) struct buffer file = { 0 };
	CLEANUP(directory_drop) struct directory *d = NULL;
	char pin[80] = "";
	enum err e = take_pin(a, pin);

	if (e == OK)
		e = build_file(a->words[0], NULL, pin[0] != '\0' ? pin : NULL, &file, &d);
	if (e != OK)
		return e;
	printf("directory %lu is good%s\n", (unsigned long)directory_number(d),
	    pin[0] != '\0' ? "" : ", by a key that it names itself; --pin compares that key");
	return OK;
}

/* The one that is installed; *OUT stays NULL when there is none. */
static enum err
load_installed(const char *path, struct directory **out)
{
	CLEANUP(buffer_release) struct buffer file = { 0 };

	return access(path, F_OK) != 0 ? OK : build_file(path, NULL, NULL, &file, out);
}

/* It must go on from the one that is installed, head by head: over a gap nobody sees whether it is
 * the same history. */
static enum err
check_follows(const struct directory *is, const struct directory *next)
{
	Citex__DirectoryHeads heads = CITEX__DIRECTORY_HEADS__INIT;
	Citex__SignedHead *one[1] = { (Citex__SignedHead *)(uintptr_t)directory_signed_head(next) };
	unsigned long number = (unsigned long)directory_number(next),
		      have = (unsigned long)directory_number(is);
	const Citex__SignedHead *newest;
	enum err e;

	if (number == have &&
	    memcmp(directory_head_digest(next), directory_head_digest(is), DIGEST_BYTES) == 0)
		return OK;
	heads.heads = one;
	heads.n_heads = 1;
	e = directory_check_heads(is, &heads, &newest);
	if (e == ERR_SPLIT_VIEW)
		return tool_fail(e,
		    "it does not fit directory %lu, which is installed: the publisher has signed "
		    "two histories. Keep both files and tell the Secretariat. When it has said, by "
		    "telephone, which one holds: take the installed file away and install that one",
		    have);
	if (e == ERR_DIRECTORY && number < have)
		return tool_fail(
		    e, "directory %lu is installed: nobody goes back to %lu", have, number);
	if (e == ERR_DIRECTORY)
		return tool_fail(e,
		    "directory %lu is installed, and %lu is not the next: give the files between "
		    "too, in order. A running citexd fetches them by itself from the other nodes",
		    have, number);
	return e == OK ? OK
		       : tool_fail(e, "directory %lu is not signed by the publisher of %lu: %s",
			     number, have, err_words(e));
}

/* Judge FILE by the pin and by *IS, and put it in the place of *IS. */
static enum err
follow(const char *path, const char *pin, struct buffer *file, struct directory **is)
{
	CLEANUP(directory_drop) struct directory *pinned = NULL;
	struct directory *next = NULL;
	enum err e;

	file->len = 0;
	e = build_file(path, NULL, pin, file, &pinned);
	if (e != OK)
		return e;
	if (*is == NULL) {
		*is = directory_ref(pinned);
		return OK;
	}
	e = check_follows(*is, pinned);
	file->len = 0;
	if (e == OK)
		e = build_file(path, *is, NULL, file, &next);
	if (e != OK)
		return e;
	directory_free(*is);
	*is = next;
	return OK;
}

enum err
tool_directory_install(const struct tool_args *a)
{
	const char *into = tool_value(a, OPTION_INTO);
	CLEANUP(buffer_release) struct buffer file = { 0 };
	CLEANUP(directory_drop) struct directory *is = NULL;
	char path[TOOL_PATH_BYTES], pin[80] = "";
	enum err e = take_pin(a, pin);

	if (e == OK && (into == NULL || pin[0] == '\0'))
		return tool_fail(ERR_USAGE,
		    "give --into DIR (the node's state folder) and --pin FINGERPRINT (of the "
		    "publisher)");
	if (e == OK)
		e = load_installed(tool_path(path, into, DIRECTORY_FILE_NAME, NULL), &is);
	for (size_t i = 0; e == OK && i < a->word_count; i++)
		e = follow(a->words[i], pin, &file, &is);
	if (e == OK) {
		e = file_replace(path, buffer_bytes(&file), 0644);
		if (e != OK)
			e = tool_fail(e, "%s: %s", path, strerror(errno));
	}
	if (e != OK)
		return e;
	warn_of_held(is);
	printf("directory %lu is installed; a running citexd takes it up on SIGHUP\n",
	    (unsigned long)directory_number(is));
	return OK;
}
