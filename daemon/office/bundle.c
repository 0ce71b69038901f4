/* SPDX-License-Identifier: Apache-2.0 */
/* What is written here was signed by somebody else, but for the manifest and
 * the README, which prove nothing and say so. Not in it: attachments, whose
 * digests the messages have; envelopes, which only their addressee can open. */
#include "daemon/office/bundle.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pki/ossl.h"
#include "pki/slip.h"

/* Keys and Parties that are in the bundle already: an exchange has few of them. */
#define SIGNERS_MAX 256

struct making {
	const struct display *v;
	struct bundle *out;
	struct buffer signers, cas; /* PEM */
	const struct cert *known[SIGNERS_MAX];
	size_t known_count;
	json_t *messages, *receipts;
};

static struct buffer *
add_file(struct bundle *b, const char *fmt, const char *name)
{
	CLEANUP(buffer_release) struct buffer path = { 0 };
	struct bundle_file *f;
	b->files = xgrow(b->files, b->count + 1, sizeof(*b->files));
	f = &b->files[b->count++];
	*f = (struct bundle_file){ 0 };
	buffer_add_str(&path, fmt);
	buffer_add_str(&path, name);
	f->name = xstrdup(buffer_text(&path));
	return &f->data;
}

void
bundle_release(struct bundle *b)
{
	for (size_t i = 0; i < b->count; i++) {
		free(b->files[i].name);
		buffer_wipe(&b->files[i].data);
	}
	free(b->files);
	*b = (struct bundle){ 0 };
}

static void
add_certificate(struct making *k, const struct cert *c, struct buffer *pem)
{
	for (size_t i = 0; i < k->known_count; i++) {
		if (k->known[i] == c)
			return;
	}
	if (c == NULL || k->known_count == SIGNERS_MAX)
		return;
	k->known[k->known_count++] = c;
	cert_print_pem(c, pem);
}

static void
add_signer(struct making *k, ProtobufCBinaryData key_id)
{
	const struct directory_key *key = NULL;
	const char *owner = NULL;
	enum cert_use use;
	if (directory_key_find(k->v->directory, bytes_of_pb(key_id), &key, &owner, &use) != OK)
		return; /* citex verify will say that the key is not known */
	add_certificate(k, key->cert, &k->signers);
	add_certificate(k, directory_ca(k->v->directory, cert_party(key->cert)), &k->cas);
}

static void
add_receipt(struct making *k, const char *envelope, const char *message, const char *addressee,
    struct bytes packed)
{
	CLEANUP(slip_release) struct slip slip = { 0 };
	char name[80], time[TIME_TEXT_BYTES];
	if (slip_parse(packed, &slip) != OK)
		return;
	(void)snprintf(name, sizeof(name), "%s-%s.slip", envelope, slip_word(slip.body->type));
	buffer_add(add_file(k->out, "slips/", name), packed);
	time_print((int64_t)slip.body->time, time);
	(void)json_array_append_new(k->receipts,
	    json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "file", name, "message", message,
		"addressee", addressee, "state", slip_word(slip.body->type), "time", time, "maker",
		slip.body->maker));
}

/* The outer fields of an envelope, and every slip about it that is held. */
static void
add_envelope(
    struct making *k, struct id id, struct bytes outer, const char *message, const char *addressee)
{
	char text[ID_TEXT_BYTES], name[ID_TEXT_BYTES + 8];
	if (outer.len == 0)
		return;
	id_print(id, text);
	(void)snprintf(name, sizeof(name), "%s.outer", text);
	buffer_add(add_file(k->out, "slips/", name), outer);
	for (int type = CITEX__SLIP_TYPE__SLIP_RELAYED; type <= CITEX__SLIP_TYPE__SLIP_EXPIRED;
	     type++) {
		CLEANUP(buffer_release) struct buffer packed = { 0 };
		if (book_slip(k->v->book, k->v->t, id, (unsigned)type, &packed) == OK)
			add_receipt(k, text, message, addressee, buffer_bytes(&packed));
	}
}

static void
add_sent(struct making *k, const Citex__BookAddressee *a, const char *message)
{
	CLEANUP(proto_drop) Citex__BookEnvelope *envelope = NULL;
	CLEANUP(proto_drop) Citex__Envelope *pb = NULL;
	struct id id;
	if (id_from_bytes(bytes_of_pb(a->envelope_id), &id) != OK ||
	    book_envelope(k->v->book, k->v->t, id, &envelope) != OK)
		return;
	if (envelope->packed.len == 0) { /* pruned */
		add_envelope(k, id, bytes_of_pb(envelope->outer), message, a->authority);
		return;
	}
	if (proto_unpack(&citex__envelope__descriptor, bytes_of_pb(envelope->packed),
		(ProtobufCMessage **)(void *)&pb) != OK)
		return;
	add_envelope(k, id, bytes_of_pb(pb->outer), message, a->authority);
}

static void
add_to_manifest(struct making *k, const struct history_message *m, const char *id, const char *file)
{
	char created[TIME_TEXT_BYTES], signer[2 * KEY_ID_BYTES + 1] = "";
	json_t *to = json_array();
	time_print((int64_t)m->content->created, created);
	if (m->message->signer.len == KEY_ID_BYTES)
		hex_encode(bytes_of_pb(m->message->signer), signer);
	for (size_t i = 0; i < m->content->n_addressees; i++)
		(void)json_array_append_new(to, json_string(m->content->addressees[i]));
	(void)json_array_append_new(k->messages,
	    json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:s}", "id", id, "file", file, "kind",
		m->content->kind, "author", m->content->author, "officer", m->content->officer,
		"to", to, "created", created, "key", signer));
}

static void
add_message(struct making *k, const struct history_message *m)
{
	char id[ID_TEXT_BYTES], file[ID_TEXT_BYTES + 16];
	uint8_t digest[DIGEST_BYTES];
	struct id raw;
	if (m->message->signed_data.len == 0)
		return; /* not signed yet: nothing to prove */
	if (id_from_bytes(bytes_of_pb(m->message->id), &raw) != OK)
		return;
	id_print(raw, id);
	(void)snprintf(file, sizeof(file), "%s.cms", id);
	buffer_add(add_file(k->out, "messages/", file), bytes_of_pb(m->message->signed_data));
	add_to_manifest(k, m, id, file);
	add_signer(k, m->message->signer);
	if (!m->message->outgoing) {
		sha256(bytes_of_pb(m->message->outer), digest);
		add_envelope(
		    k, book_arrival_name(digest), bytes_of_pb(m->message->outer), id, k->v->me);
	}
	for (size_t i = 0; i < m->addressee_count; i++)
		add_sent(k, m->addressees[i], id);
}

static void
add_directory(struct making *k)
{
	const struct directory *d = k->v->directory;
	char name[48];
	(void)snprintf(name, sizeof(name), "%llu.head", (unsigned long long)directory_number(d));
	proto_pack(&directory_signed_head(d)->base, add_file(k->out, "directory/", name));
	(void)snprintf(
	    name, sizeof(name), "%llu.contents", (unsigned long long)directory_number(d));
	buffer_add(add_file(k->out, "directory/", name), directory_contents(d));
}

static void
add_manifest(struct making *k, struct id exchange)
{
	char id[ID_TEXT_BYTES], now[TIME_TEXT_BYTES], *text;
	json_t *all;
	id_print(exchange, id);
	time_print(k->v->now_ms, now);
	all = json_pack("{s:i, s:s, s:s, s:s, s:I, s:O, s:O}", "version", 1, "exchange", id,
	    "exported", now, "by", k->v->me, "directory",
	    (json_int_t)directory_number(k->v->directory), "messages", k->messages, "receipts",
	    k->receipts);
	text = json_dumps(all, JSON_INDENT(1));
	json_decref(all);
	if (text == NULL)
		return;
	struct buffer *out = add_file(k->out, "", "manifest.json");
	buffer_add_str(out, text);
	buffer_add_str(out, "\n");
	free(text);
}

/* For an outsider with openssl and the tools of any Unix. The author stands at a fixed place of the
 * content (version, two ids, then length and name): docs/protocol.md. */
static const char readme[] =
    "messages/*.cms are the signed originals (CMS SignedData, RFC 5652). Who signed each, and whom "
    "it names as its author, the stock openssl tells:\n"
    "  for m in messages/*.cms; do openssl cms -verify -binary -inform DER -in \"$m\" -certfile "
    "certificates/signers.pem -CAfile certificates/cas.pem -purpose any -no_check_time -signer "
    "signer.pem -out content && echo \"$m: author $(tail -c +41 content | head -c $(od -An -j39 "
    "-N1 -tu1 content)), signed by: $(openssl x509 -in signer.pem -noout -subject -issuer)\" || "
    "echo \"NOT PROVED: $m\"; done\n"
    "Believe it only when the author is the CN of the subject, and subject and issuer are of the "
    "author's Party (O). Both content types must be alike, which openssl does not compare:\n"
    "  for m in messages/*.cms; do openssl cms -cmsout -print -noout -inform DER -in \"$m\" | "
    "grep -A 3 -E 'eContentType|object: contentType'; done\n"
    "All rests on the CAs of the Parties: ask each Party for the fingerprint of its CA, not whom "
    "you have this from, and compare:\n"
    "  csplit -s -z -f ca- certificates/cas.pem '/BEGIN/' '{*}'; for c in ca-??; do openssl x509 "
    "-in $c -noout -subject -fingerprint -sha256; done\n"
    "slips/ has the receipts, each with the outer fields of the envelope it speaks of; directory/ "
    "the signed list of all keys. `citex verify' checks them too.\n"
    "Attachments are not in here (`citex save'); the signed message has the SHA-256 of each. "
    "manifest.json is for finding things: nobody signed it, and it proves nothing.\n";

static void
add_readme(struct making *k)
{
	char now[TIME_TEXT_BYTES];
	time_print(k->v->now_ms, now);
	buffer_printf(add_file(k->out, "", "README"),
	    "An exchange between CITES authorities, as %s held it at %s. Keep it as its handling "
	    "demands.\n%s",
	    k->v->me, now, readme);
}

static enum err
make(struct making *k, struct id exchange)
{
	CLEANUP(history_release) struct history d = { 0 };
	enum err e = history_load(k->v->office, k->v->t, exchange, k->v->now_ms, &d);
	if (e != OK)
		return e;
	add_readme(k);
	for (size_t i = 0; i < d.count; i++)
		add_message(k, &d.messages[i]);
	add_directory(k);
	add_manifest(k, exchange);
	buffer_add(add_file(k->out, "certificates/", "signers.pem"), buffer_bytes(&k->signers));
	buffer_add(add_file(k->out, "certificates/", "cas.pem"), buffer_bytes(&k->cas));
	return OK;
}

enum err
bundle_make(const struct display *v, struct id exchange, struct bundle *out)
{
	struct making *k;
	enum err e;
	*out = (struct bundle){ 0 };
	if (v->directory == NULL)
		return ERR_DIRECTORY;
	k = xalloc(sizeof(*k));
	k->v = v;
	k->out = out;
	k->messages = json_array();
	k->receipts = json_array();
	e = make(k, exchange);
	json_decref(k->messages);
	json_decref(k->receipts);
	buffer_release(&k->signers);
	buffer_release(&k->cas);
	free(k);
	for (size_t i = 0; e == OK && i < out->count; i++)
		e = buffer_status(&out->files[i].data);
	return e;
}
