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

#include "pki/directory_file.h"
#include "pki/files.h"
#include "pki/ossl.h"
#include "pki/tool.h"
#include "proto/decode.h"
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

enum err
tool_directory_admit(const struct tool_args *a)
{
	const char *party = tool_value(a, OPTION_PARTY), *name = tool_value(a, OPTION_NAME),
		   *file = tool_value(a, OPTION_CA);
	CLEANUP(cert_drop) struct cert *ca = NULL;
	char folder[TOOL_PATH_BYTES], path[TOOL_PATH_BYTES], fingerprint[80];
	json_t *about;
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
	if (e != OK)
		return e;
	about = json_pack("{s:s, s:s}", "party", party, "name", name != NULL ? name : party);
	if (json_dump_file(about, tool_path(path, folder, "about.json", NULL), JSON_INDENT(1)) != 0)
		e = tool_fail(ERR_IO, "%s: %s", path, strerror(errno));
	json_decref(about);
	cert_fingerprint(ca, fingerprint);
	printf("admitted %s, fingerprint %s\nCompare it with what the Party says by telephone.\n",
	    party, fingerprint);
	return e;
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
		e = tool_parse_card(buffer_bytes(&text), &is_node, &card);
	if (e == OK)
		e = read_card(buffer_bytes(&card), is_node, name, party, &issued);
	if (e != OK)
		return tool_fail(e, "%s is no card: %s", file, err_words(e));
	(void)tool_path(folder, tool_path(parties, dir, "parties", NULL), party, NULL);
	if (access(folder, F_OK) != 0)
		return tool_fail(ERR_NOT_FOUND,
		    "%s is not admitted: citex-pki directory admit --party %s", party, party);
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

/* --- publishing --- */

static Citex__Key *
key_of_cert(const struct cert *c, bool live)
{
	Citex__Key *k = xalloc(sizeof(*k));

	citex__key__init(k);
	k->certificate.data = xmemdup(cert_der(c).at, cert_der(c).len);
	k->certificate.len = cert_der(c).len;
	k->from = (uint64_t)cert_from_ms(c);
	k->state = xstrdup("live");
	(void)live;
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
		p->cas[p->n_cas++] = key_of_cert(c, i == n);
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

static int
is_no_dot(const struct dirent *d)
{
	return d->d_name[0] != '.';
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
	c->publishers[c->n_publishers++] = key_of_cert(publisher, true);
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

/* What would be refused by a node is not published. */
static enum err
check_and_save(const struct tool_args *a, const struct publisher *p, const Citex__SignedHead *head,
    struct bytes contents)
{
	CLEANUP(directory_drop) struct directory *d = NULL;
	CLEANUP(buffer_release) struct buffer file = { 0 };
	const char *output = tool_value(a, OPTION_OUTPUT);
	char why[200], path[TOOL_PATH_BYTES], published[TOOL_PATH_BYTES], name[32];
	enum err e = directory_build(
	    p->last, &(struct directory_trust){ .pin = p->pin }, head, contents, &d, why);

	if (e != OK)
		return tool_fail(e, "nothing was published: %s", why);
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
	long fresh_days = text != NULL ? strtol(text, NULL, 10) : FRESH_DAYS;
	enum err e = fresh_days < 1 || fresh_days > 3650
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
	return e == OK ? OK
		       : tool_fail(e, "%s: %s", path, e == ERR_IO ? strerror(errno) : err_words(e));
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

enum err
tool_directory_show(const struct tool_args *a)
{
	CLEANUP(buffer_release) struct buffer file = { 0 };
	CLEANUP(directory_drop) struct directory *d = NULL;
	char date[TIME_TEXT_BYTES], until[TIME_TEXT_BYTES];
	enum err e = build_file(a->words[0], NULL, NULL, &file, &d);
	const struct directory_authority *x;

	if (e != OK)
		return e;
	time_print((int64_t)directory_head(d)->date, date);
	time_print((int64_t)directory_head(d)->fresh_until, until);
	if (a->counts[OPTION_JSON] > 0) {
		json_t *list = json_array();
		for (size_t i = 0; (x = directory_authority_at(d, i)) != NULL; i++)
			json_array_append_new(list,
			    json_pack("{s:s, s:s, s:s, s:s}", "authority", x->id, "name", x->name,
				"party", x->party, "node", x->node));
		json_t *all =
		    json_pack("{s:I, s:s, s:s, s:o}", "number", (json_int_t)directory_number(d),
			"date", date, "fresh_until", until, "authorities", list);
		json_dumpf(all, stdout, JSON_INDENT(1));
		putchar('\n');
		json_decref(all);
		return OK;
	}
	printf("directory %lu of %s, fresh until %s\n", (unsigned long)directory_number(d), date,
	    until);
	for (size_t i = 0; (x = directory_authority_at(d, i)) != NULL; i++)
		printf("  %-24s %-16s %s\n", x->id, x->node, x->name);
	return OK;
}

enum err
tool_directory_verify(const struct tool_args *a)
{
	CLEANUP(buffer_release) struct buffer file = { 0 };
	CLEANUP(directory_drop) struct directory *d = NULL;
	const char *pin = tool_value(a, OPTION_PIN);
	enum err e = build_file(a->words[0], NULL, pin, &file, &d);

	if (e != OK)
		return e;
	printf("directory %lu is good%s\n", (unsigned long)directory_number(d),
	    pin != NULL ? "" : ", by a key that it names itself; --pin compares that key");
	return OK;
}

/* The one that is installed; *OUT stays NULL when there is none. */
static enum err
load_installed(const char *path, struct directory **out)
{
	CLEANUP(buffer_release) struct buffer file = { 0 };

	return access(path, F_OK) != 0 ? OK : build_file(path, NULL, NULL, &file, out);
}

static enum err
check_newer(const struct directory *is, const struct directory *next)
{
	if (directory_number(next) < directory_number(is))
		return tool_fail(ERR_DIRECTORY,
		    "directory %lu is installed: nobody goes back to %lu",
		    (unsigned long)directory_number(is), (unsigned long)directory_number(next));
	if (directory_number(next) == directory_number(is) &&
	    memcmp(directory_head_digest(next), directory_head_digest(is), DIGEST_BYTES) != 0)
		return tool_fail(ERR_SPLIT_VIEW,
		    "another directory %lu is installed: the publisher has signed two; keep both "
		    "files and tell the Secretariat",
		    (unsigned long)directory_number(is));
	if (directory_number(next) == directory_number(is) + 1 &&
	    !bytes_equal(bytes_of_pb(directory_head(next)->previous),
		(struct bytes){ directory_head_digest(is), DIGEST_BYTES }))
		return tool_fail(ERR_SPLIT_VIEW,
		    "it does not follow the directory that is installed; keep both files and tell "
		    "the Secretariat");
	return OK;
}

enum err
tool_directory_install(const struct tool_args *a)
{
	const char *into = tool_value(a, OPTION_INTO), *pin = tool_value(a, OPTION_PIN);
	CLEANUP(buffer_release) struct buffer file = { 0 };
	CLEANUP(directory_drop) struct directory *next = NULL, *is = NULL;
	char path[TOOL_PATH_BYTES];
	enum err e;

	if (into == NULL || pin == NULL)
		return tool_fail(ERR_USAGE,
		    "give --into DIR (the node's state folder) and --pin FINGERPRINT (of the "
		    "publisher)");
	e = load_installed(tool_path(path, into, DIRECTORY_FILE_NAME, NULL), &is);
	if (e == OK)
		e = build_file(a->words[0], is, is == NULL ? pin : NULL, &file, &next);
	if (e == OK && is != NULL)
		e = check_newer(is, next);
	if (e == OK) {
		e = file_replace(path, buffer_bytes(&file), 0644);
		if (e != OK)
			e = tool_fail(e, "%s: %s", path, strerror(errno));
	}
	if (e == OK)
		printf("directory %lu is installed; a running citexd takes it up on SIGHUP\n",
		    (unsigned long)directory_number(next));
	return e;
}
