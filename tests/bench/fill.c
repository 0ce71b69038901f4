/* SPDX-License-Identifier: Apache-2.0 */
/* Fills the spool of a node that is not running: what a start with much in the
 * queue has before it.
 *
 *   fill STATE-FOLDER COUNT NODE AUTHOR ADDRESSEE
 *
 * COUNT envelopes of AUTHOR's to ADDRESSEE wait in the lane to NODE. They are
 * well-formed, but nobody has stamped them: NODE would refuse them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/post/spool.h"
#include "pki/ossl.h"
#include "pki/stamp.h"
#include "proto/decode.h"

#define SEALED_BYTES 1200 /* of a query */
#define BULK 10000 /* envelopes in one transaction */

struct filling {
	const char *author, *addressee;
	char from[LANE_NAME_BYTES], to[LANE_NAME_BYTES];
	uint64_t sequence;
	int64_t now_ms;
	uint8_t sealed[SEALED_BYTES], sealed_digest[DIGEST_BYTES];
};

static void
must(enum err e, const char *what)
{
	if (e == OK)
		return;
	fprintf(stderr, "fill: %s: %s\n", what, err_words(e));
	exit(1);
}

static void
pack_outer(struct filling *f, struct buffer *out)
{
	static const uint8_t zeros[DIGEST_BYTES];
	Citex__Outer outer = CITEX__OUTER__INIT;
	uint8_t chance[10];
	struct id id;

	random_bytes(chance, sizeof(chance));
	id = id_make(f->now_ms, chance);
	outer.version = 1;
	outer.envelope_id = pb_of_bytes(id_bytes(&id));
	outer.author = (char *)(uintptr_t)f->author;
	outer.addressee = (char *)(uintptr_t)f->addressee;
	outer.incarnation = pb_of_bytes((struct bytes){ zeros, INCARNATION_BYTES });
	outer.sequence = ++f->sequence;
	outer.created = (uint64_t)f->now_ms;
	outer.expires = (uint64_t)(f->now_ms + LIFETIME_DEFAULT_MS);
	outer.signed_digest = pb_of_bytes(BYTES_OF(zeros));
	outer.sealed_length = SEALED_BYTES;
	outer.sealed_digest = pb_of_bytes(BYTES_OF(f->sealed_digest));
	proto_pack(&outer.base, out);
}

static void
pack_envelope(struct filling *f, struct buffer *out)
{
	static uint8_t like_a_signature[70];
	CLEANUP(buffer_release) struct buffer outer = { 0 };
	Citex__Envelope envelope = CITEX__ENVELOPE__INIT;
	Citex__Proof proof = CITEX__PROOF__INIT;

	pack_outer(f, &outer);
	proof.key_id = pb_of_bytes((struct bytes){ like_a_signature, KEY_ID_BYTES });
	proof.size = 1;
	proof.signature = pb_of_bytes(BYTES_OF(like_a_signature));
	envelope.outer = pb_of_bytes(buffer_bytes(&outer));
	envelope.stamp = &proof;
	envelope.sealed = pb_of_bytes(BYTES_OF(f->sealed));
	proto_pack(&envelope.base, out);
}

static void
add_one(struct filling *f, struct spool *s, struct txn *t)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	struct spool_news news = { .count = 0 };
	struct envelope e;
	struct spool_arrival a;

	pack_envelope(f, &packed);
	must(envelope_parse(buffer_bytes(&packed), &e), "an envelope");
	a = (struct spool_arrival){
		.envelope = &e,
		.packed = buffer_bytes(&packed),
		.from = f->from,
		.to = f->to,
		.home = f->from,
		.slip = CITEX__SLIP_TYPE__SLIP_NONE,
		.words = "",
		.now_ms = f->now_ms,
		.directory = 1,
	};
	must(spool_accept(s, t, &a, &news), "the spool");
	spool_news_release(&news);
	envelope_release(&e);
}

static void
fill(struct filling *f, struct spool *s, unsigned long count)
{
	while (count > 0) {
		struct txn *t = NULL;
		must(spool_begin(s, &t), "a transaction");
		for (unsigned i = 0; i < BULK && count > 0; i++, count--)
			add_one(f, s, t);
		must(spool_commit(s, t), "a commit");
	}
}

int
main(int argc, char **argv)
{
	struct filling f = { .author = "" };
	struct store *store = NULL;
	struct spool *s = NULL;
	char why[200] = "";

	if (argc != 6) {
		fputs("usage: fill STATE-FOLDER COUNT NODE AUTHOR ADDRESSEE\n", stderr);
		return 1;
	}
	f.author = argv[4];
	f.addressee = argv[5];
	f.now_ms = (int64_t)time(NULL) * 1000;
	sha256(BYTES_OF(f.sealed), f.sealed_digest);
	must(lane_name_make(LANE_NODE, argv[3], f.to), "the node");
	must(lane_name_make(LANE_OFFICE, f.author, f.from), "the author");
	must(store_open_lmdb(argv[1], &spool_layout, STORE_MAP_DEFAULT_BYTES, &store, why), why);
	must(spool_open(store, &(struct spool_signer){ "fill", NULL }, &s), "the spool");
	fill(&f, s, strtoul(argv[2], NULL, 10));
	spool_free(s);
	store_close(store);
	return 0;
}
