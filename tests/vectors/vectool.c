/* SPDX-License-Identifier: Apache-2.0 */
/* What our code says of test vectors: one JSON object a line in, one out. Only
 * for tests/vectors/check.py, which compares; nothing is judged here. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/pem.h>

#include "pki/ossl.h"
#include "pki/ossl_types.h"
#include "pki/seal.h"
#include "pki/slip.h"
#include "proto/decode.h"

#define DETAIL_BYTES 200

static _Noreturn void
die(const char *why)
{
	fprintf(stderr, "vectool: %s\n", why);
	exit(1);
}

static const char *
text_of(const json_t *v, const char *name)
{
	const char *text = json_string_value(json_object_get(v, name));

	if (text == NULL)
		die(name);
	return text;
}

/* What stands in the line, until its end. */
static uint8_t **kept;
static size_t kept_count;

static void
forget(void)
{
	while (kept_count > 0)
		free(kept[--kept_count]);
	free(kept);
	kept = NULL;
}

static struct bytes
hex_text(const char *text)
{
	size_t len = strlen(text) / 2;
	uint8_t *to = xalloc(len);

	kept = xgrow(kept, kept_count + 1, sizeof(*kept));
	kept[kept_count++] = to;

	if (hex_decode(text, to, len) != OK)
		die("no hexadecimal digits");
	return (struct bytes){ to, len };
}

static struct bytes
bytes_in(const json_t *v, const char *name)
{
	return hex_text(text_of(v, name));
}

static int64_t
number_in(const json_t *v, const char *name)
{
	return (int64_t)json_integer_value(json_object_get(v, name));
}

static void
put_bytes(json_t *out, const char *name, struct bytes b)
{
	char *hex = xalloc(2 * b.len + 1);

	hex_encode(b, hex);
	json_object_set_new(out, name, json_string(hex));
	free(hex);
}

static void
put_digest(json_t *out, const char *name, struct bytes b)
{
	uint8_t digest[DIGEST_BYTES];

	sha256(b, digest);
	put_bytes(out, name, BYTES_OF(digest));
}

static void
put_err(json_t *out, const char *name, enum err e)
{
	json_object_set_new(out, name, json_string(err_name(e)));
}

static struct private_key *
key_in(const json_t *v, const char *name)
{
	const char *pem = text_of(v, name);
	CLEANUP(bio_drop) BIO *bio = BIO_new_mem_buf(pem, -1);
	struct private_key *k = NULL;

	if (private_key_take(PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL), &k) != OK)
		die("no private key");
	return k;
}

static struct public_key *
point_in(const json_t *v, const char *name)
{
	struct public_key *k = NULL;

	if (public_key_from_point(bytes_in(v, name), &k) != OK)
		die("no public key");
	return k;
}

static enum err
directory_in(const json_t *v, struct directory **out)
{
	CLEANUP(proto_drop) ProtobufCMessage *head = NULL;
	char why[DETAIL_BYTES];

	if (proto_unpack(&citex__signed_head__descriptor, bytes_in(v, "head"), &head) != OK)
		return ERR_MALFORMED;
	return directory_build(NULL, &(struct directory_trust){ .pin = text_of(v, "pin") },
	    (Citex__SignedHead *)head, bytes_in(v, "contents"), out, why);
}

static void
do_signed(const json_t *v, json_t *out)
{
	CLEANUP(public_key_drop) struct public_key *key = point_in(v, "signer");
	uint8_t key_id[KEY_ID_BYTES];
	struct cms_signed s;
	enum err e = cms_parse_signed(bytes_in(v, "der"), &s);

	public_key_id(key, key_id);
	if (e == OK && !bytes_equal(s.key_id, BYTES_OF(key_id)))
		e = ERR_UNKNOWN_KEY;
	if (e == OK)
		e = cms_verify(&s, key);
	put_err(out, "result", e);
	if (e == OK)
		put_digest(out, "content_sha256", s.content);
}

static void
do_sealed(const json_t *v, json_t *out)
{
	CLEANUP(private_key_drop) struct private_key *key = key_in(v, "key");
	CLEANUP(buffer_release) struct buffer plain = { 0 };
	struct cms_opener *o;
	struct cms_sealed s;
	enum err e = cms_parse_sealed(bytes_in(v, "der"), &s);

	if (cms_opener_new(key, &o) != OK)
		die("no opener");
	if (e == OK)
		e = cms_open(o, &s, bytes_in(v, "envelope_id"), &plain);
	cms_opener_free(o);
	put_err(out, "result", e);
	if (e == OK)
		put_bytes(out, "plain", buffer_bytes(&plain));
}

static void
do_merkle(const json_t *v, json_t *out)
{
	CLEANUP(merkle_drop) struct merkle *m = merkle_new();
	uint8_t root[DIGEST_BYTES], path[MERKLE_PATH_MAX][DIGEST_BYTES];
	const json_t *leaves = json_object_get(v, "leaves");
	json_t *paths = json_object(), *wanted = json_object_get(v, "paths"), *hashes;
	const char *place;

	for (size_t i = 0; i < json_array_size(leaves); i++)
		merkle_add(m, hex_text(json_string_value(json_array_get(leaves, i))));
	merkle_root(m, root);
	put_err(out, "result", OK);
	put_bytes(out, "root", BYTES_OF(root));
	json_object_foreach(wanted, place, hashes)
	{
		json_t *mine = json_array();
		size_t count = merkle_path(m, strtoul(place, NULL, 10), path);
		for (size_t i = 0; i < count; i++) {
			char hex[2 * DIGEST_BYTES + 1];
			hex_encode(BYTES_OF(path[i]), hex);
			json_array_append_new(mine, json_string(hex));
		}
		json_object_set_new(paths, place, mine);
	}
	json_object_set_new(out, "paths", paths);
}

static void
do_proof(const json_t *v, json_t *out)
{
	CLEANUP(public_key_drop) struct public_key *key = point_in(v, "signer");
	CLEANUP(proto_drop) ProtobufCMessage *proof = NULL;
	struct proof_cache cache = { 0 };
	const char *label = text_of(v, "label");
	struct bytes leaf = bytes_in(v, "leaf");
	enum err e = proto_unpack(&citex__proof__descriptor, bytes_in(v, "proof"), &proof);

	if (e == OK)
		e = proof_verify((Citex__Proof *)proof, key, label, leaf);
	for (unsigned i = 0; i < 2 && proof != NULL; i++)
		if (proof_verify_cached(&cache, (Citex__Proof *)proof, key, label, leaf) != e)
			die("the cache says something else");
	put_err(out, "result", e);
}

static void
do_chunk(const json_t *v, json_t *out)
{
	CLEANUP(buffer_release) struct buffer plain = { 0 }, again = { 0 };
	struct bytes key = bytes_in(v, "key"), sealed = bytes_in(v, "sealed");
	uint32_t index = (uint32_t)number_in(v, "index"), count = (uint32_t)number_in(v, "count");
	enum err e = chunk_open(key.at, index, count, sealed, &plain);

	put_err(out, "result", e);
	if (e != OK)
		return;
	put_bytes(out, "plain", buffer_bytes(&plain));
	if (chunk_seal(key.at, index, count, buffer_bytes(&plain), &again) != OK ||
	    !bytes_equal(buffer_bytes(&again), sealed))
		die("a chunk sealed again is another");
}

static void
do_directory(const json_t *v, json_t *out)
{
	CLEANUP(directory_drop) struct directory *d = NULL;

	put_err(out, "result", directory_in(v, &d));
}

static enum err
open_it(const json_t *v, const struct directory *d, const struct envelope *e, json_t *out)
{
	CLEANUP(private_key_drop) struct private_key *key = key_in(v, "key");
	struct cms_opener *o;
	struct opened opened;
	char detail[DETAIL_BYTES];
	enum err result;

	if (cms_opener_new(key, &o) != OK)
		die("no opener");
	result = envelope_open(o, d, text_of(v, "me"), e, number_in(v, "now"), &opened, detail);
	cms_opener_free(o);
	if (result == OK) {
		put_bytes(out, "message_id", bytes_of_pb(opened.content->message_id));
		put_digest(out, "signed_sha256", buffer_bytes(&opened.signed_data));
	} else {
		json_object_set_new(out, "detail", json_string(detail));
	}
	opened_release(&opened);
	return result;
}

static void
do_envelope(const json_t *v, json_t *out)
{
	CLEANUP(directory_drop) struct directory *d = NULL;
	struct proof_cache cache = { 0 };
	struct envelope e;
	enum err result;

	if (directory_in(v, &d) != OK)
		die("no directory");
	result = envelope_parse(bytes_in(v, "envelope"), &e);
	put_err(
	    out, "stamp", result == OK ? stamp_verify(&cache, d, &e, number_in(v, "now")) : result);
	if (result == OK)
		result = open_it(v, d, &e, out);
	put_err(out, "result", result);
	envelope_release(&e);
}

static void
do_slip(const json_t *v, json_t *out)
{
	CLEANUP(directory_drop) struct directory *d = NULL;
	struct proof_cache cache = { 0 };
	struct envelope e;
	struct slip s;
	enum err result, fits;

	if (directory_in(v, &d) != OK || envelope_parse(bytes_in(v, "envelope"), &e) != OK)
		die("no directory, or no envelope");
	result = fits = slip_parse(bytes_in(v, "slip"), &s);
	if (result == OK) {
		result = slip_verify(&cache, d, &s);
		fits = slip_fits(d, &s, &e);
	}
	put_err(out, "result", result);
	put_err(out, "fits", fits);
	slip_release(&s);
	envelope_release(&e);
}

/* Sign and seal something new, for others to open. */
static void
do_make(const json_t *v, json_t *out)
{
	CLEANUP(private_key_drop) struct private_key *key = key_in(v, "key");
	CLEANUP(public_key_drop) struct public_key *reader = point_in(v, "reader");
	CLEANUP(buffer_release) struct buffer inner = { 0 }, sealed = { 0 };
	uint8_t key_id[KEY_ID_BYTES];
	struct cms_sender *s = NULL;

	public_key_id(reader, key_id);
	if (cms_sign(key, bytes_in(v, "content"), number_in(v, "time"), &inner) != OK ||
	    cms_sender_new(reader, &s) != OK)
		die("cannot sign");
	if (cms_seal(s, key_id, bytes_in(v, "envelope_id"), buffer_bytes(&inner), &sealed) != OK)
		die("cannot seal");
	cms_sender_free(s);
	put_bytes(out, "signed", buffer_bytes(&inner));
	put_bytes(out, "sealed", buffer_bytes(&sealed));
	put_err(out, "result", OK);
}

/* Write a key under a passphrase; read it (or another's file) again. */
static void
do_key(const json_t *v, json_t *out)
{
	CLEANUP(secret_release) struct secret passphrase = { 0 };
	CLEANUP(private_key_drop) struct private_key *key = NULL, *again = NULL;
	CLEANUP(public_key_drop) struct public_key *public = NULL;
	uint8_t point[65];
	enum err e = secret_from(&passphrase, bytes_str(text_of(v, "passphrase")));

	if (e == OK && json_object_get(v, "key") != NULL) {
		key = key_in(v, "key");
		e = private_key_save(key, text_of(v, "path"), &passphrase);
	}
	if (e == OK)
		e = private_key_load(text_of(v, "path"), &passphrase, &again);
	put_err(out, "result", e);
	if (e != OK)
		return;
	public = private_key_public(again);
	if (public_key_point(public, point) != OK)
		die("no point");
	put_bytes(out, "point", BYTES_OF(point));
}

static const struct {
	const char *format;
	void (*run)(const json_t *v, json_t *out);
} formats[] = {
	{ "signed", do_signed },
	{ "sealed", do_sealed },
	{ "merkle", do_merkle },
	{ "proof", do_proof },
	{ "chunk", do_chunk },
	{ "directory", do_directory },
	{ "envelope", do_envelope },
	{ "slip", do_slip },
	{ "make", do_make },
	{ "key", do_key },
};

static void
run_line(const char *line)
{
	json_error_t problem;
	json_t *v = json_loads(line, 0, &problem), *out = json_object();
	const char *format;
	char *text;
	size_t i = 0;

	if (v == NULL)
		die(problem.text);
	format = text_of(v, "format");
	while (i < sizeof(formats) / sizeof(*formats) && strcmp(formats[i].format, format) != 0)
		i++;
	if (i == sizeof(formats) / sizeof(*formats))
		die("an unknown format");
	formats[i].run(v, out);
	text = json_dumps(out, JSON_COMPACT);
	puts(text);
	free(text);
	json_decref(v);
	json_decref(out);
	forget();
}

int
main(void)
{
	char *line = NULL;
	size_t room = 0;

	if (ossl_init() != OK)
		die("OpenSSL lacks something");
	while (getline(&line, &room, stdin) > 0)
		run_line(line);
	free(line);
	return fflush(stdout) == 0 ? 0 : 1;
}
