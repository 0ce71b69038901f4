/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_KIND_H
#define PROTO_KIND_H

#include "proto/check.h"
#include "proto/decode.h"
#include "proto/handling.h"
#include "proto/words.h"

/* What an authority is, in the directory's words; a set of bits. */
enum role {
	ROLE_MANAGEMENT = 1,
	ROLE_SCIENTIFIC = 2,
	ROLE_ENFORCEMENT = 4,
	ROLE_SECRETARIAT = 8,
	ROLE_COMMITTEE = 16,
	ROLE_PARTNER = 32,
	ROLE_ANY = 63
};

/* 0 for a word that is no role. */
unsigned role_from_word(const char *word);

/* What the officer's verb takes as its arguments. */
enum kind_argument {
	TO_AUTHORITIES, /* citex ask AUTHORITY... : begins an exchange */
	TO_MESSAGE, /* citex answer ID: goes to the author of that message */
	TO_EXCHANGE, /* citex close ID: goes to everybody in that exchange */
	TO_DEFAULT /* citex report-fraud [--about ID]: to KIND.default_to unless --to or --all says
		      else */
};

/* What a message of this kind does to the exchange it belongs to. */
enum kind_effect {
	EFFECT_NONE,
	EFFECT_ASKS, /* starts a clock at each addressee, when KIND.clock says so */
	EFFECT_EXTENDS, /* moves the author's clock to the end of its date */
	EFFECT_ANSWERS, /* stops the author's clock, if KIND.is_final says so */
	EFFECT_CLOSES
};

/* A field of the body that takes a code of a list in proto/codes. */
struct kind_codes {
	const char *field; /* `reason', `permit.type': names joined by dots */
	const char *list; /* `query_reasons' */
};

#define KIND_CODES_MAX 32

struct kind {
	unsigned code;
	const char *name; /* the word */
	unsigned version; /* the highest that we write and read */
	const char *verb; /* citex VERB */
	const char *summary; /* for --help: what the officer does with it */
	const ProtobufCMessageDescriptor *body;
	unsigned may_send, may_receive; /* sets of enum role */
	enum kind_argument argument;
	const char *default_to; /* for TO_DEFAULT */
	enum kind_effect effect;
	const char *answers[8]; /* kinds that may answer it; NULL ends */
	const char *clock; /* a row of deadlines.csv, or NULL */
	const char *handling; /* TLP label when the officer gives none */
	const char *subject; /* fields whose texts make the line in a listing: `permit.number
				lines.species'; NULL: the beginning of `text' */
	const char *takes_over[8]; /* fields that --about fills in from the message it names, when
				      that has them too; NULL ends */
	const char *release; /* field that must be filled when an addressee has
				ROLE_SECRETARIAT (23(b)), or NULL */
	const char *paragraph; /* of the Resolution */
	struct kind_codes codes[KIND_CODES_MAX]; /* field NULL ends */
	/* What the fields' types do not say: needed values, dates, pairs. OK, or
	 * ERR_VALUE with *PROBLEM set. Warnings do not stop a message: see warn. */
	enum err (*check)(const ProtobufCMessage *body, struct kind_problem *problem);
	/* Fill up to MAX warnings and return how many. May be NULL. */
	size_t (*warn)(const ProtobufCMessage *body, struct kind_problem *warnings, size_t max);
	/* EFFECT_ANSWERS: whether this body ends the wait. NULL: always. */
	bool (*is_final)(const ProtobufCMessage *body);
	/* EFFECT_EXTENDS, or an answer that is not final: the date (ms since 1970, UTC, end of
	 * day); 0: none. */
	int64_t (*until)(const ProtobufCMessage *body);
};

/* All kinds, in the order of proto/room.am; NULL ends. */
extern const struct kind *const kinds[];

const struct kind *kind_by_name(const char *name); /* NULL: none */
const struct kind *kind_by_verb(const char *verb);
/* Whether a message of kind ANSWER may answer one of kind K. */
bool kind_may_answer(const struct kind *k, const char *answer);

/* Turn codes and words in BODY as people type them (`suspected-forgery') into
 * codes as they travel (`AUTHENTIC'). ERR_VALUE with *PROBLEM for one that is
 * in no list; BODY then is as far as it came. Before sending: kind_decode()
 * takes codes only. */
enum err kind_normalise(const struct kind *k, ProtobufCMessage *body, struct kind_problem *problem)
    MUST_CHECK;

/* Decode and check BODY as kind K: schema, text limits, code lists, dates, K's own check. OK and
 * *OUT (the caller's, proto_wipe()), or ERR_VALUE, ERR_MALFORMED, ERR_TOO_LARGE with *PROBLEM. */
enum err kind_decode(const struct kind *k, struct bytes body, ProtobufCMessage **out,
    struct kind_problem *problem) MUST_CHECK;

/* ERR_VALUE with *PROBLEM when BODY may not go to an authority with ROLES as it
 * stands: the release gate of 23(b). */
enum err kind_check_addressee(const struct kind *k, const ProtobufCMessage *body, unsigned roles,
    struct kind_problem *problem) MUST_CHECK;

/* Put STATEMENT where K keeps who released BODY under 23(b), instead of what stood there. ERR_VALUE
 * with *PROBLEM for a kind that needs no release. */
enum err kind_set_release(const struct kind *k, ProtobufCMessage *body, const char *statement,
    struct kind_problem *problem) MUST_CHECK;

/* The first text at PATH (`lines.species') in BODY; "" when there is none. Borrowed. */
const char *kind_text(const ProtobufCMessage *body, const char *path);

/* The line for a listing: "KE 2026/0417 Panthera pardus"; OUT has room for
 * KIND_SUBJECT_BYTES. One line of valid UTF-8, without control characters. */
#define KIND_SUBJECT_BYTES 200
void kind_subject(const struct kind *k, const ProtobufCMessage *body, char *out);

/* May an authority with roles FROM send a K to one with roles TO? */
bool kind_allowed(const struct kind *k, unsigned from_roles, unsigned to_roles);

#endif
