/* SPDX-License-Identifier: Apache-2.0 */
/* Message to envelopes and back: threats C2-C8. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pki/ossl.h"
#include "proto/decode.h"
#include "tests/mail.h"

/* Open E for ME; on an error nothing may be left in OUT. */
static enum err
open_as(
    struct fixture *f, const char *me, const struct envelope *e, int64_t now_ms, struct opened *out)
{
	struct cms_opener *o;
	char detail[200];
	enum err result;

	assert_int_equal(cms_opener_new(fixture_key(f, me, USE_SEALING), &o), OK);
	result = envelope_open(o, fixture_directory(f), me, e, now_ms, out, detail);
	assert_true((result == OK) == (detail[0] == '\0'));
	if (result != OK) {
		assert_null(out->content);
		assert_int_equal(out->signed_data.len, 0);
	}
	cms_opener_free(o);
	return result;
}

static enum err
open_plan(struct fixture *f, const struct mail_plan *p)
{
	struct envelope e;
	struct opened out;
	enum err result;

	mail_envelope(f, p, &e);
	result =
	    open_as(f, p->addressee != NULL ? p->addressee : "ke.ma", &e, FIXTURE_NOW_MS, &out);
	opened_release(&out);
	envelope_release(&e);
	return result;
}

static void
test_seal_padding_makes_a_power_of_two(void **state)
{
	size_t padding;

	(void)state;
	for (size_t size = 0; size <= 70000; size++) {
		size_t field, whole;
		enum err e = content_padding(size, &padding);
		if (size > CONTENT_MAX_BYTES - 4 && size != CONTENT_MAX_BYTES) {
			assert_int_equal(e, ERR_TOO_LARGE);
			continue;
		}
		if (e == ERR_TOO_LARGE) {
			/* the one other gap in the largest size that no field fills */
			assert_true(size > CONTENT_MAX_BYTES / 2);
			continue;
		}
		assert_int_equal(e, OK);
		field = padding == 0 ? 0
				     : padding + 2 +
			(padding < 128            ? 1U
				: padding < 16384 ? 2U
						  : 3U);
		whole = size + field;
		assert_int_equal(whole & (whole - 1), 0);
		assert_in_range(whole, CONTENT_PAD_MIN_BYTES, CONTENT_MAX_BYTES);
		/* never more than needed: half of it would not do, but for the gaps of few bytes */
		assert_true(whole == CONTENT_PAD_MIN_BYTES || size * 2 + 300 > whole);
	}
}

static void
set_body(Citex__Content *c, void *arg)
{
	free(c->body.data);
	c->body.len = *(size_t *)arg;
	c->body.data = xalloc(c->body.len);
	memset(c->body.data, 'b', c->body.len);
}

static void
check_size(struct fixture *f, size_t body)
{
	struct mail_plan p = { .content = set_body, .arg = &body };
	struct envelope e;
	struct opened out;
	struct cms_signed s;

	mail_envelope(f, &p, &e);
	assert_int_equal(open_as(f, "ke.ma", &e, FIXTURE_NOW_MS, &out), OK);
	assert_int_equal(out.content->body.len, body);
	assert_int_equal(cms_parse_signed(buffer_bytes(&out.signed_data), &s), OK);
	assert_int_equal(s.content.len & (s.content.len - 1), 0);
	assert_in_range(s.content.len, CONTENT_PAD_MIN_BYTES, CONTENT_MAX_BYTES);
	opened_release(&out);
	envelope_release(&e);
}

static void
test_seal_messages_of_all_sizes_come_back(void **state)
{
	size_t body = 1;

	for (; body < 1100; body += 7)
		check_size(*state, body);
	for (; body < 65000; body += 1601)
		check_size(*state, body);
}

static void
test_seal_content_has_a_largest_size(void **state)
{
	struct fixture *f = *state;
	size_t body = 60 * KIB, largest = 0;

	for (; body < 66 * KIB; body++) {
		struct mail_plan p = { 0 };
		CLEANUP(proto_drop) Citex__Content *c = mail_content(&p);
		size_t size, padding;
		set_body(c, &body);
		size = protobuf_c_message_get_packed_size(&c->base);
		if (content_padding(size, &padding) == OK)
			largest = body;
		if (size == CONTENT_MAX_BYTES)
			assert_int_equal(largest, body);
	}
	check_size(f, largest);
	{
		struct mail_plan p = { 0 };
		CLEANUP(proto_drop) Citex__Content *c = mail_content(&p);
		CLEANUP(buffer_release) struct buffer out = { 0 };
		body = largest + 1;
		set_body(c, &body);
		assert_int_equal(
		    content_sign(c, fixture_key(f, "gb.ma", USE_SIGNING), MAIL_CREATED_MS, &out),
		    ERR_TOO_LARGE);
		assert_int_equal(out.len, 0);
	}
}

static void
test_seal_content_is_given_back_as_it_was(void **state)
{
	struct mail_plan p = { 0 };
	CLEANUP(proto_drop) Citex__Content *c = mail_content(&p);
	CLEANUP(buffer_release) struct buffer before = { 0 }, after = { 0 }, out = { 0 };

	c->padding = (ProtobufCBinaryData){ 3, xalloc(3) };
	proto_pack(&c->base, &before);
	assert_int_equal(
	    content_sign(c, fixture_key(*state, "gb.ma", USE_SIGNING), MAIL_CREATED_MS, &out), OK);
	proto_pack(&c->base, &after);
	assert_true(bytes_equal(buffer_bytes(&before), buffer_bytes(&after)));
}

static void
test_open_gives_what_was_said_and_by_whom(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buffer_release) struct buffer packed = { 0 }, signed_data = { 0 };
	struct mail_plan p = { .attachments = ATTACHMENTS_MAX };
	struct envelope e;
	struct opened out;
	struct bytes key_id;

	mail_make(f, &p, &packed, &signed_data);
	assert_int_equal(envelope_parse(buffer_bytes(&packed), &e), OK);
	assert_int_equal(envelope_recipient(&e, &key_id), OK);
	assert_memory_equal(
	    key_id.at, cert_key_id(fixture_cert(f, "ke.ma", USE_SEALING)), KEY_ID_BYTES);
	assert_int_equal(open_as(f, "ke.ma", &e, FIXTURE_NOW_MS, &out), OK);
	assert_string_equal(out.content->author, "gb.ma");
	assert_int_equal(out.signing_time_ms, MAIL_CREATED_MS);
	assert_memory_equal(
	    out.key_id, cert_key_id(fixture_cert(f, "gb.ma", USE_SIGNING)), KEY_ID_BYTES);
	assert_true(bytes_equal(buffer_bytes(&out.signed_data), buffer_bytes(&signed_data)));
	assert_int_equal(out.content->n_attachments, ATTACHMENTS_MAX);
	opened_release(&out);
	envelope_release(&e);
}

static void
test_seal_batch_of_many_addressees(void **state)
{
	struct fixture *f = *state;
	static const char *const to[] = { "ke.ma", "ke.kws", "so.ma", "secretariat" };
	struct mail_plan p = { 0 };
	CLEANUP(proto_drop) Citex__Content *c = mail_content(&p);
	CLEANUP(buffer_release) struct buffer signed_data = { 0 };
	struct directory_key keys[4];
	struct seal_draft drafts[BATCH_MAX + 1] = { 0 };
	struct bytes data[BATCH_MAX + 1];
	struct buffer packed[BATCH_MAX + 1] = { { 0 } };
	struct private_key *signing = fixture_key(f, "gb.ma", USE_SIGNING);
	struct cms_sender *senders[4];
	struct proof_cache cache = { 0 };

	free(c->addressees[0]);
	c->n_addressees = 0;
	c->audience = xstrdup("all@1");
	assert_int_equal(content_sign(c, signing, MAIL_CREATED_MS, &signed_data), OK);
	for (size_t i = 0; i < 4; i++) {
		keys[i] = (struct directory_key){ .cert = fixture_cert(f, to[i], USE_SEALING) };
		assert_int_equal(cms_sender_new(cert_key(keys[i].cert), &senders[i]), OK);
	}
	for (size_t i = 0; i <= BATCH_MAX; i++) {
		drafts[i] = (struct seal_draft){ .author = "gb.ma",
			.addressee = to[i % 4],
			.incarnation = c->incarnation.data,
			.sequence = i / 4 + 1,
			.created_ms = MAIL_CREATED_MS,
			.expires_ms = MAIL_CREATED_MS + DAY_MS,
			.recipient = &keys[i % 4],
			.sender = senders[i % 4] };
		random_bytes(drafts[i].envelope_id.at, ID_BYTES);
		data[i] = buffer_bytes(&signed_data);
	}
	assert_int_equal(envelopes_make(signing, data, drafts, 0, packed), ERR_TOO_MANY);
	assert_int_equal(
	    envelopes_make(signing, data, drafts, BATCH_MAX + 1, packed), ERR_TOO_MANY);
	assert_int_equal(envelopes_make(signing, data, drafts, BATCH_MAX, packed), OK);
	for (size_t i = 0; i < BATCH_MAX; i++) {
		struct envelope e;
		struct opened out;
		assert_int_equal(envelope_parse(buffer_bytes(&packed[i]), &e), OK);
		assert_int_equal(
		    stamp_verify(&cache, fixture_directory(f), &e, FIXTURE_NOW_MS), OK);
		assert_int_equal(open_as(f, to[i % 4], &e, FIXTURE_NOW_MS, &out), OK);
		opened_release(&out);
		envelope_release(&e);
		buffer_release(&packed[i]);
	}
	for (size_t i = 0; i < 4; i++)
		cms_sender_free(senders[i]);
}

static void
test_seal_has_at_most_so_many_attachments(void **state)
{
	struct fixture *f = *state;
	struct mail_plan p = { .attachments = ATTACHMENTS_MAX + 1 };
	CLEANUP(proto_drop) Citex__Content *c = mail_content(&p);
	struct directory_key key = { .cert = fixture_cert(f, "ke.ma", USE_SEALING) };
	struct seal_draft d = { .author = "gb.ma",
		.addressee = "ke.ma",
		.incarnation = c->incarnation.data,
		.recipient = &key,
		.attachments = (const Citex__Attachment *const *)c->attachments,
		.attachment_count = c->n_attachments };
	struct bytes data = bytes_str("x");
	struct buffer packed = { 0 };

	assert_int_equal(
	    envelopes_make(fixture_key(f, "gb.ma", USE_SIGNING), &data, &d, 1, &packed),
	    ERR_TOO_MANY);
	buffer_release(&packed);
}

/* --- what is refused before the signature: all alike --- */

static void
flip_last(struct buffer *sealed, void *arg)
{
	(void)arg;
	sealed->at[sealed->len - 1] ^= 1;
}
static void
flip_middle(struct buffer *sealed, void *arg)
{
	(void)arg;
	sealed->at[sealed->len / 2] ^= 1;
}
static void
flip_first(struct buffer *sealed, void *arg)
{
	(void)arg;
	sealed->at[0] ^= 1;
}
static void
add_byte(struct buffer *sealed, void *arg)
{
	(void)arg;
	buffer_add_u8(sealed, 0);
}
static void
other_signed_digest(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->signed_digest.data[5] ^= 1;
}
static void
other_envelope_id(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->envelope_id.data[5] ^= 1;
}
static void
other_author(Citex__Outer *o, void *arg)
{
	free(o->author);
	o->author = xstrdup(arg);
}

/* t_oracle, t_key_roles (threats C5-C7) */
static void
test_open_fails_alike_whatever_is_wrong_up_to_the_signature(void **state)
{
	struct fixture *f = *state;
	const struct mail_plan plans[] = {
		{ .sealed_to = "ke.kws" }, /* to another key */
		{ .sealed_to = "gb.ma" },
		{ .sealed = flip_first }, /* shape */
		{ .sealed = flip_middle },
		{ .sealed = flip_last }, /* tag */
		{ .sealed = add_byte },
		{ .signed_data = bytes_str("no SignedData") },
		{ .signed_data = bytes_str("0") },
		{ .outer = other_signed_digest },
		{ .outer = other_envelope_id }, /* ukm */
		{ .signer = "ke.ma" }, /* somebody else's key */
		{ .signer = "gb.border-force" },
		{ .signer_use = USE_SEALING }, /* key roles */
		{ .signer = "gb", .signer_use = USE_TLS },
		{ .signer = "gb", .signer_use = USE_RECEIPTS },
		{ .signer = "gb", .signed_by_ca = true },
		{ .signer_use = USE_DIRECTORY },
		/* C5: the signature is gb.ma's, the envelope claims to be somebody else's */
		{ .signer = "gb.ma",
		    .stamper = "ke.kws",
		    .outer = other_author,
		    .arg = (void *)(uintptr_t) "ke.kws" },
	};

	for (size_t i = 0; i < sizeof(plans) / sizeof(*plans); i++) {
		enum err got = open_plan(f, &plans[i]);
		if (got != ERR_CANNOT_BE_OPENED)
			fail_msg("plan %zu: %s", i, err_name(got));
	}
}

/* Sealed and stamped by the author, but with a bit of its own SignedData changed, each in turn. */
static void
test_open_needs_the_authors_signature_over_every_byte(void **state)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 }, signed_data = { 0 };
	struct mail_plan p = { 0 };

	mail_make(*state, &p, &packed, &signed_data);
	for (size_t i = 0; i < signed_data.len; i += i < 60 || i > 1080 ? 1 : 97) {
		signed_data.at[i] ^= 1;
		p.signed_data = buffer_bytes(&signed_data);
		assert_int_equal(open_plan(*state, &p), ERR_CANNOT_BE_OPENED);
		signed_data.at[i] ^= 1;
	}
	assert_int_equal(open_plan(*state, &p), OK);
}

static void
test_open_with_sealed_bytes_changed_under_way(void **state)
{
	struct fixture *f = *state;
	struct mail_plan p = { 0 };
	struct envelope e;
	struct opened out;

	mail_envelope(f, &p, &e);
	e.pb->sealed.data[100] ^= 1; /* after it was taken apart: as on a bad disk */
	assert_int_equal(open_as(f, "ke.ma", &e, FIXTURE_NOW_MS, &out), ERR_CANNOT_BE_OPENED);
	e.pb->sealed.data[100] ^= 1;
	e.pb->sealed.len--;
	assert_int_equal(open_as(f, "ke.ma", &e, FIXTURE_NOW_MS, &out), ERR_CANNOT_BE_OPENED);
	e.pb->sealed.len++;
	assert_int_equal(open_as(f, "ke.ma", &e, FIXTURE_NOW_MS, &out), OK);
	opened_release(&out);
	envelope_release(&e);
}

/* davis_2001, t_forward (threats C4): gb.ma takes what ke.ma wrote to it and seals it to so.ma. */
static void
test_open_surreptitious_forwarding_is_refused(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buffer_release) struct buffer packed = { 0 }, signed_data = { 0 };
	struct mail_plan original = { .author = "ke.ma", .addressee = "gb.ma" };
	struct mail_plan as_own = { .author = "gb.ma", .addressee = "so.ma" },
			 as_theirs = {
				 .author = "ke.ma", .addressee = "so.ma", .stamper = "gb.ma"
			 };
	struct envelope e;
	struct opened out;
	struct proof_cache cache = { 0 };

	mail_make(f, &original, &packed, &signed_data);
	as_own.signed_data = as_theirs.signed_data = buffer_bytes(&signed_data);
	assert_int_equal(open_plan(f, &as_own), ERR_CANNOT_BE_OPENED);
	/* even when the post let a wrong stamp pass */
	mail_envelope(f, &as_theirs, &e);
	assert_int_equal(
	    stamp_verify(&cache, fixture_directory(f), &e, FIXTURE_NOW_MS), ERR_IDENTITY);
	assert_int_equal(open_as(f, "so.ma", &e, FIXTURE_NOW_MS, &out), ERR_IDENTITY);
	envelope_release(&e);
}

/* --- what is refused after it --- */

static void
outer_created(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->created++;
}
static void
outer_incarnation(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->incarnation.data[0] ^= 1;
}
static void
outer_fewer_parts(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->n_parts--;
	proto_free(&o->parts[o->n_parts]->base);
}
static void
outer_other_root(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->parts[0]->root.data[0] ^= 0x80;
}
static void
outer_other_length(Citex__Outer *o, void *arg)
{
	(void)arg;
	o->parts[0]->length++;
}
static void
outer_parts_swapped(Citex__Outer *o, void *arg)
{
	Citex__Part *first = o->parts[0];

	(void)arg;
	o->parts[0] = o->parts[1];
	o->parts[1] = first;
}
static void
content_author(Citex__Content *c, void *arg)
{
	(void)arg;
	c->author[1] = 'c';
}
static void
content_addressee(Citex__Content *c, void *arg)
{
	(void)arg;
	c->addressees[0][0] = 'x';
}

static void
test_open_inner_fields_must_be_the_outer_ones(void **state)
{
	static const struct mail_plan plans[] = {
		{ .outer = outer_created },
		{ .outer = outer_incarnation },
		{ .outer = outer_fewer_parts, .attachments = 2 },
		{ .outer = outer_other_root, .attachments = 2 },
		{ .outer = outer_other_length, .attachments = 2 },
		{ .outer = outer_parts_swapped, .attachments = 2 },
		{ .content = content_author },
		{ .content = content_addressee },
	};

	for (size_t i = 0; i < sizeof(plans) / sizeof(*plans); i++) {
		enum err got = open_plan(*state, &plans[i]);
		if (got != ERR_IDENTITY)
			fail_msg("plan %zu: %s", i, err_name(got));
	}
}

/* One of the addressees is me; one addressee more than the limit. */
static void
many_addressees(Citex__Content *c, void *arg)
{
	size_t count = *(size_t *)arg;

	c->addressees = xgrow(c->addressees, count, sizeof(*c->addressees));
	while (c->n_addressees < count)
		c->addressees[c->n_addressees++] = xstrdup("xx");
}

static void
test_open_addressees_are_bounded(void **state)
{
	size_t count = ADDRESSEES_MAX;
	struct mail_plan p = { .content = many_addressees, .arg = &count };

	assert_int_equal(open_plan(*state, &p), OK);
	count++;
	assert_int_equal(open_plan(*state, &p), ERR_MALFORMED);
}

static void
set_audience(Citex__Content *c, void *arg)
{
	free(c->addressees[0]);
	c->n_addressees = 0;
	c->audience = xstrdup(arg);
}

static void
test_open_audience_is_every_authority_of_a_directory(void **state)
{
	static const struct {
		const char *audience;
		enum err expect;
	} rows[] = {
		{ "all@1", OK },
		{ "all@17", OK },
		{ "all@0", ERR_IDENTITY },
		{ "all@01", ERR_IDENTITY },
		{ "all@", ERR_IDENTITY },
		{ "all", ERR_IDENTITY },
		{ "all@1x", ERR_IDENTITY },
		{ "all@99999999999999999999", ERR_IDENTITY },
		{ "some@1", ERR_IDENTITY },
		{ "", ERR_MALFORMED },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct mail_plan p = { .content = set_audience,
			.arg = (void *)(uintptr_t)rows[i].audience };
		enum err got = open_plan(*state, &p);
		if (got != rows[i].expect)
			fail_msg("%s: %s", rows[i].audience, err_name(got));
	}
}

#define CHANGE(name, statement) \
	static void name(Citex__Content *c, void *arg) \
	{ \
		(void)arg; \
		statement; \
	}
CHANGE(no_message_id, c->message_id.len = 0)
CHANGE(long_message_id, c->message_id.len = 15)
CHANGE(zero_message_id, memset(c->message_id.data, 0, ID_BYTES))
CHANGE(no_exchange, c->exchange.len = 0)
CHANGE(odd_author, c->author[0] = '.')
CHANGE(odd_addressee, c->addressees[0][0] = '.')
CHANGE(both_audience, c->audience = xstrdup("all@1"))
CHANGE(no_created, c->created = 0)
CHANGE(no_kind, c->kind[0] = '\0')
CHANGE(no_kind_version, c->kind_version = 0)
CHANGE(odd_about, c->about = ((ProtobufCBinaryData){ 3, xalloc(3) }))
CHANGE(odd_audit, c->audit_head = ((ProtobufCBinaryData){ 31, xalloc(31) }))
CHANGE(short_incarnation, c->incarnation.len--)
CHANGE(no_attachment_name, c->attachments[0]->name[0] = '\0')
CHANGE(short_attachment_key, c->attachments[0]->key.len--)
CHANGE(short_attachment_digest, c->attachments[0]->digest.len--)
CHANGE(odd_attachment_length, c->attachments[0]->length++)

static void
long_attachment_name(Citex__Content *c, void *arg)
{
	size_t len = *(size_t *)arg;

	free(c->attachments[0]->name);
	c->attachments[0]->name = xalloc(len + 1);
	memset(c->attachments[0]->name, 'n', len);
}
static void
long_officer(Citex__Content *c, void *arg)
{
	size_t len = *(size_t *)arg;

	free(c->officer);
	c->officer = xalloc(len + 1);
	memset(c->officer, 'o', len);
}
static void
odd_origin(Citex__Content *c, void *arg)
{
	(void)arg;
	c->origin = xalloc(sizeof(*c->origin));
	citex__origin__init(c->origin);
	c->origin->author = xstrdup("ke.ma");
}

static void
test_open_content_fields_have_their_bounds(void **state)
{
	size_t name_longest = ATTACHMENT_NAME_MAX_BYTES, name_over = name_longest + 1;
	size_t officer_longest = OFFICER_MAX_BYTES, officer_over = officer_longest + 1;
	const struct {
		void (*change)(Citex__Content *c, void *arg);
		void *arg;
		enum err expect;
	} rows[] = {
		{ NULL, NULL, OK },
		{ no_message_id, NULL, ERR_MALFORMED },
		{ long_message_id, NULL, ERR_MALFORMED },
		{ zero_message_id, NULL, ERR_MALFORMED },
		{ no_exchange, NULL, ERR_MALFORMED },
		{ odd_author, NULL, ERR_MALFORMED },
		{ odd_addressee, NULL, ERR_MALFORMED },
		{ both_audience, NULL, ERR_MALFORMED },
		{ no_created, NULL, ERR_MALFORMED },
		{ no_kind, NULL, ERR_MALFORMED },
		{ no_kind_version, NULL, ERR_MALFORMED },
		{ odd_about, NULL, ERR_MALFORMED },
		{ odd_audit, NULL, ERR_MALFORMED },
		{ short_incarnation, NULL, ERR_MALFORMED },
		{ no_attachment_name, NULL, ERR_MALFORMED },
		{ short_attachment_key, NULL, ERR_MALFORMED },
		{ short_attachment_digest, NULL, ERR_MALFORMED },
		{ odd_attachment_length, NULL, ERR_MALFORMED },
		{ long_attachment_name, &name_longest, OK },
		{ long_attachment_name, &name_over, ERR_MALFORMED },
		{ long_officer, &officer_longest, OK },
		{ long_officer, &officer_over, ERR_MALFORMED },
		{ odd_origin, NULL, ERR_MALFORMED },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct mail_plan p = {
			.content = rows[i].change, .arg = rows[i].arg, .attachments = 1
		};
		enum err got = open_plan(*state, &p);
		if (got != rows[i].expect)
			fail_msg("row %zu: %s", i, err_name(got));
	}
}

CHANGE(version_2, c->version = 2)

static void
test_open_another_version_is_named_so(void **state)
{
	struct mail_plan p = { .content = version_2 };

	assert_int_equal(open_plan(*state, &p), ERR_VERSION);
}

/* Content that content_sign() would not write: not padded, or padded with something. */
static void
test_open_padding_is_zeros_to_a_power_of_two(void **state)
{
	struct fixture *f = *state;
	static const struct {
		size_t padding;
		uint8_t fill;
		enum err expect;
	} rows[] = { { 0, 0, ERR_MALFORMED }, { 100, 0, ERR_MALFORMED }, { 1, 0, OK },
		{ 1, 1, ERR_MALFORMED } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct mail_plan p = { 0 };
		CLEANUP(proto_drop) Citex__Content *c = mail_content(&p);
		CLEANUP(buffer_release) struct buffer encoded = { 0 }, signed_data = { 0 };
		size_t padding = rows[i].padding;
		if (padding == 1)
			assert_int_equal(
			    content_padding(protobuf_c_message_get_packed_size(&c->base), &padding),
			    OK);
		c->padding = (ProtobufCBinaryData){ padding, xalloc(padding) };
		if (padding > 0)
			c->padding.data[padding - 1] = rows[i].fill;
		proto_pack(&c->base, &encoded);
		assert_int_equal(cms_sign(fixture_key(f, "gb.ma", USE_SIGNING),
				     buffer_bytes(&encoded), MAIL_CREATED_MS, &signed_data),
		    OK);
		p.signed_data = buffer_bytes(&signed_data);
		assert_int_equal(open_plan(f, &p), rows[i].expect);
	}
}

/* Half of what content_padding() gives is a power of two, and too small. */
static void
test_open_content_is_padded_to_its_smallest_size(void **state)
{
	struct fixture *f = *state;

	for (size_t whole = CONTENT_PAD_MIN_BYTES / 2; whole <= CONTENT_PAD_MIN_BYTES; whole *= 2) {
		struct mail_plan p = { 0 };
		CLEANUP(proto_drop) Citex__Content *c = mail_content(&p);
		CLEANUP(buffer_release) struct buffer encoded = { 0 }, signed_data = { 0 };
		size_t size = protobuf_c_message_get_packed_size(&c->base), padding;
		assert_true(size + 132 < whole);
		padding = whole - size - 4; /* tag and length, two bytes each */
		c->padding = (ProtobufCBinaryData){ padding, xalloc(padding) };
		proto_pack(&c->base, &encoded);
		assert_int_equal(encoded.len, whole);
		assert_int_equal(cms_sign(fixture_key(f, "gb.ma", USE_SIGNING),
				     buffer_bytes(&encoded), MAIL_CREATED_MS, &signed_data),
		    OK);
		p.signed_data = buffer_bytes(&signed_data);
		assert_int_equal(
		    open_plan(f, &p), whole == CONTENT_PAD_MIN_BYTES ? OK : ERR_MALFORMED);
	}
}

static void
test_open_content_that_is_no_message_is_malformed(void **state)
{
	CLEANUP(buffer_release) struct buffer junk = { 0 }, signed_data = { 0 };
	struct mail_plan p = { 0 };

	memset(buffer_extend(&junk, 1024), 0xff, 1024);
	assert_int_equal(cms_sign(fixture_key(*state, "gb.ma", USE_SIGNING), buffer_bytes(&junk),
			     MAIL_CREATED_MS, &signed_data),
	    OK);
	p.signed_data = buffer_bytes(&signed_data);
	assert_int_equal(open_plan(*state, &p), ERR_MALFORMED);
}

/* Threats C9: mail that waited for weeks. */
static void
test_open_mail_that_waited_while_its_key_was_retired(void **state)
{
	struct fixture *f = fixture_new();
	struct mail_plan p = { 0 };
	struct envelope e;
	struct opened out, alone;
	char detail[200];

	(void)state;
	mail_envelope(f, &p, &e);
	fixture_renew(f, "gb.ma", USE_SIGNING, FIXTURE_NOW_MS);
	fixture_publish(f);
	assert_int_equal(open_as(f, "ke.ma", &e, FIXTURE_NOW_MS + 80 * DAY_MS, &out), OK);
	assert_int_equal(
	    signed_verify(fixture_directory(f), buffer_bytes(&out.signed_data), &alone, detail),
	    OK);
	opened_release(&alone);
	opened_release(&out);
	envelope_release(&e);
	fixture_free(f);
}

static void
test_open_mail_of_a_revoked_key_is_refused(void **state)
{
	struct fixture *f = fixture_new();
	struct mail_plan p = { 0 };
	struct envelope e;
	struct opened out;

	(void)state;
	mail_envelope(f, &p, &e);
	fixture_revoke(f, "gb.ma", USE_SIGNING, FIXTURE_NOW_MS);
	fixture_renew(f, "gb.ma", USE_SIGNING, FIXTURE_NOW_MS);
	fixture_publish(f);
	assert_int_equal(open_as(f, "ke.ma", &e, FIXTURE_NOW_MS, &out), ERR_REVOKED);
	envelope_release(&e);
	fixture_free(f);
}

static enum err
verify(struct fixture *f, const struct mail_plan *p)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 }, signed_data = { 0 };
	struct opened out;
	char detail[200];
	enum err e;

	mail_make(f, p, &packed, &signed_data);
	e = signed_verify(fixture_directory(f), buffer_bytes(&signed_data), &out, detail);
	assert_true((e == OK) == (out.content != NULL));
	assert_true((e == OK) == (detail[0] == '\0'));
	opened_release(&out);
	return e;
}

static void
test_signed_data_alone_tells_what_is_wrong(void **state)
{
	struct fixture *f = *state;
	const struct {
		struct mail_plan plan;
		enum err expect;
	} rows[] = {
		{ { 0 }, OK },
		{ { .signed_data = bytes_str("none") }, ERR_CANNOT_BE_OPENED },
		{ { .signer = "ke.ma" }, ERR_IDENTITY },
		{ { .signer_use = USE_SEALING }, ERR_IDENTITY },
		{ { .signer = "gb", .signed_by_ca = true }, ERR_UNKNOWN_KEY },
		{ { .content = version_2 }, ERR_VERSION },
		{ { .content = no_exchange }, ERR_MALFORMED },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(verify(f, &rows[i].plan), rows[i].expect);
}

static void
test_signed_data_changed_or_signed_after_the_revocation(void **state)
{
	struct fixture *f = fixture_new();
	CLEANUP(buffer_release) struct buffer packed = { 0 }, before = { 0 }, after = { 0 };
	struct mail_plan p = { 0 };
	CLEANUP(proto_drop) Citex__Content *c = mail_content(&p);
	struct opened out;
	char detail[200];

	(void)state;
	mail_make(f, &p, &packed, &before);
	assert_int_equal(
	    content_sign(c, fixture_key(f, "gb.ma", USE_SIGNING), FIXTURE_NOW_MS + 1000, &after),
	    OK);
	fixture_revoke(f, "gb.ma", USE_SIGNING, FIXTURE_NOW_MS);
	fixture_renew(f, "gb.ma", USE_SIGNING, FIXTURE_NOW_MS);
	fixture_publish(f);
	assert_int_equal(
	    signed_verify(fixture_directory(f), buffer_bytes(&before), &out, detail), OK);
	opened_release(&out);
	assert_int_equal(
	    signed_verify(fixture_directory(f), buffer_bytes(&after), &out, detail), ERR_REVOKED);
	before.at[200] ^= 1;
	assert_int_equal(signed_verify(fixture_directory(f), buffer_bytes(&before), &out, detail),
	    ERR_SIGNATURE);
	fixture_free(f);
}

static void
test_envelope_recipient_of_another_shape_is_refused(void **state)
{
	struct mail_plan p = { .sealed = add_byte };
	struct envelope e;
	struct bytes key_id;

	mail_envelope(*state, &p, &e);
	assert_int_equal(envelope_recipient(&e, &key_id), ERR_CANNOT_BE_OPENED);
	assert_int_equal(key_id.len, 0);
	envelope_release(&e);
}

/* --- chunks: threats C8, t_attach_identity --- */

static void
test_chunk_opens_at_its_place_only(void **state)
{
	static const size_t lengths[] = { 0, 1, CHUNK_PLAIN_BYTES - 1, CHUNK_PLAIN_BYTES };
	const uint8_t key[32] = { 1 }, other[32] = { 2 };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		CLEANUP(buffer_release) struct buffer plain = { 0 }, sealed = { 0 }, out = { 0 };
		memset(buffer_extend(&plain, lengths[i]), 'p', lengths[i]);
		assert_int_equal(chunk_seal(key, 0, 1, buffer_bytes(&plain), &sealed), OK);
		assert_int_equal(sealed.len, lengths[i] + CHUNK_TAG_BYTES);
		assert_int_equal(chunk_open(key, 0, 1, buffer_bytes(&sealed), &out), OK);
		assert_true(bytes_equal(buffer_bytes(&out), buffer_bytes(&plain)));
		buffer_clear(&out);
		assert_int_equal(
		    chunk_open(other, 0, 1, buffer_bytes(&sealed), &out), ERR_CANNOT_BE_OPENED);
		assert_int_equal(
		    chunk_open(key, 0, 2, buffer_bytes(&sealed), &out), ERR_CANNOT_BE_OPENED);
		assert_int_equal(
		    chunk_open(key, 1, 2, buffer_bytes(&sealed), &out), ERR_CANNOT_BE_OPENED);
		assert_int_equal(out.len, 0);
	}
}

static void
test_chunk_only_the_last_may_be_shorter(void **state)
{
	CLEANUP(buffer_release) struct buffer plain = { 0 }, sealed = { 0 };
	const uint8_t key[32] = { 1 };

	(void)state;
	memset(buffer_extend(&plain, CHUNK_PLAIN_BYTES + 1), 'p', CHUNK_PLAIN_BYTES + 1);
	assert_int_equal(chunk_seal(key, 0, 1, buffer_bytes(&plain), &sealed), ERR_VALUE);
	plain.len -= 2;
	assert_int_equal(chunk_seal(key, 0, 2, buffer_bytes(&plain), &sealed), ERR_VALUE);
	assert_int_equal(chunk_seal(key, 1, 2, buffer_bytes(&plain), &sealed), OK);
	assert_int_equal(chunk_seal(key, 2, 2, buffer_bytes(&plain), &sealed), ERR_VALUE);
	assert_int_equal(chunk_seal(key, 1, 2, BYTES_NONE, &sealed), ERR_VALUE);
	assert_int_equal(chunk_open(key, 0, 1, BYTES_NONE, &sealed), ERR_CANNOT_BE_OPENED);
}

/* --- several threads, as in the vault --- */

struct worker {
	pthread_t thread;
	struct fixture *f;
	struct cms_sender *sender; /* shared: one addressee, one minute */
	unsigned failures;
};

static void *
work(void *arg)
{
	struct worker *w = arg;
	struct cms_opener *o;

	if (cms_opener_new(fixture_key(w->f, "ke.ma", USE_SEALING), &o) != OK)
		return NULL;
	for (unsigned i = 0; i < 50; i++) {
		struct mail_plan p = { 0 };
		CLEANUP(proto_drop) Citex__Content *c = mail_content(&p);
		CLEANUP(buffer_release) struct buffer inner = { 0 }, packed = { 0 };
		struct directory_key key = { .cert = fixture_cert(w->f, "ke.ma", USE_SEALING) };
		struct seal_draft d = { .author = "gb.ma",
			.addressee = "ke.ma",
			.incarnation = c->incarnation.data,
			.sequence = i + 1,
			.created_ms = MAIL_CREATED_MS,
			.expires_ms = MAIL_CREATED_MS + DAY_MS,
			.recipient = &key,
			.sender = w->sender };
		struct envelope e = { 0 };
		struct opened out = { 0 };
		struct bytes data;
		char detail[200];
		random_bytes(d.envelope_id.at, ID_BYTES);
		if (content_sign(
			c, fixture_key(w->f, "gb.ma", USE_SIGNING), MAIL_CREATED_MS, &inner) != OK)
			w->failures++;
		data = buffer_bytes(&inner);
		if (envelopes_make(
			fixture_key(w->f, "gb.ma", USE_SIGNING), &data, &d, 1, &packed) != OK ||
		    envelope_parse(buffer_bytes(&packed), &e) != OK ||
		    envelope_open(o, fixture_directory(w->f), "ke.ma", &e, FIXTURE_NOW_MS, &out,
			detail) != OK)
			w->failures++;
		opened_release(&out);
		envelope_release(&e);
	}
	cms_opener_free(o);
	return NULL;
}

static void
test_seal_and_open_in_several_threads(void **state)
{
	struct worker workers[4];
	struct cms_sender *sender;

	assert_int_equal(
	    cms_sender_new(cert_key(fixture_cert(*state, "ke.ma", USE_SEALING)), &sender), OK);
	for (size_t i = 0; i < 4; i++) {
		workers[i] = (struct worker){ .f = *state, .sender = sender };
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
		assert_int_equal(workers[i].failures, 0);
	}
	cms_sender_free(sender);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seal_padding_makes_a_power_of_two),
		cmocka_unit_test(test_seal_messages_of_all_sizes_come_back),
		cmocka_unit_test(test_seal_content_has_a_largest_size),
		cmocka_unit_test(test_seal_content_is_given_back_as_it_was),
		cmocka_unit_test(test_open_gives_what_was_said_and_by_whom),
		cmocka_unit_test(test_seal_batch_of_many_addressees),
		cmocka_unit_test(test_seal_has_at_most_so_many_attachments),
		cmocka_unit_test(test_open_fails_alike_whatever_is_wrong_up_to_the_signature),
		cmocka_unit_test(test_open_needs_the_authors_signature_over_every_byte),
		cmocka_unit_test(test_open_with_sealed_bytes_changed_under_way),
		cmocka_unit_test(test_open_surreptitious_forwarding_is_refused),
		cmocka_unit_test(test_open_inner_fields_must_be_the_outer_ones),
		cmocka_unit_test(test_open_addressees_are_bounded),
		cmocka_unit_test(test_open_audience_is_every_authority_of_a_directory),
		cmocka_unit_test(test_open_content_fields_have_their_bounds),
		cmocka_unit_test(test_open_another_version_is_named_so),
		cmocka_unit_test(test_open_padding_is_zeros_to_a_power_of_two),
		cmocka_unit_test(test_open_content_is_padded_to_its_smallest_size),
		cmocka_unit_test(test_open_content_that_is_no_message_is_malformed),
		cmocka_unit_test(test_open_mail_that_waited_while_its_key_was_retired),
		cmocka_unit_test(test_open_mail_of_a_revoked_key_is_refused),
		cmocka_unit_test(test_signed_data_alone_tells_what_is_wrong),
		cmocka_unit_test(test_signed_data_changed_or_signed_after_the_revocation),
		cmocka_unit_test(test_envelope_recipient_of_another_shape_is_refused),
		cmocka_unit_test(test_chunk_opens_at_its_place_only),
		cmocka_unit_test(test_chunk_only_the_last_may_be_shorter),
		cmocka_unit_test(test_seal_and_open_in_several_threads),
	};

	return cmocka_run_group_tests_name("seal", tests, fixture_set_up, fixture_tear_down);
}
