/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_ERROR_H
#define PROTO_ERROR_H

#include "proto/words.h"

/* The one list of errors: code, class, words. The class decides the exit
 * status of a program, whether a peer is told `later' or `refused', and
 * whether the process may go on. */

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* class, exit status, words */
#define CLASS_LIST(X) \
	X(CLASS_NONE, 0, "success") \
	X(CLASS_USAGE, 2, "wrong use") \
	X(CLASS_INPUT, 3, "bad input") \
	X(CLASS_NOT_FOUND, 4, "not found") \
	X(CLASS_DENIED, 5, "not allowed") \
	X(CLASS_RETRY, 6, "try again later") \
	X(CLASS_PEER, 7, "the other side broke the protocol") \
	X(CLASS_TRUST, 8, "cannot be trusted") \
	X(CLASS_SYSTEM, 9, "this machine failed") \
	X(CLASS_INTERNAL, 10, "a mistake in citex")

/* code, class, words for a person */
#define ERR_LIST(X) \
	X(OK, CLASS_NONE, N_("success")) \
	X(ERR_USAGE, CLASS_USAGE, N_("the command was not understood")) \
	X(ERR_CONFIG, CLASS_USAGE, N_("the configuration is wrong")) \
	X(ERR_TRUNCATED, CLASS_PEER, N_("the input ends too early")) \
	X(ERR_TRAILING, CLASS_PEER, N_("bytes are left over after the end")) \
	X(ERR_TOO_LARGE, CLASS_INPUT, N_("it is larger than the limit")) \
	X(ERR_TOO_MANY, CLASS_INPUT, N_("there are more of them than the limit")) \
	X(ERR_MALFORMED, CLASS_PEER, N_("the bytes are not of the expected form")) \
	X(ERR_UNEXPECTED, CLASS_PEER, N_("this is not allowed at this point of the session")) \
	X(ERR_VERSION, CLASS_INPUT, N_("this version is not known here")) \
	X(ERR_VALUE, CLASS_INPUT, N_("a value is missing or not allowed")) \
	X(ERR_UNKNOWN_KIND, CLASS_INPUT, N_("this kind of message is not known")) \
	X(ERR_NOT_FOUND, CLASS_NOT_FOUND, N_("there is no such thing here")) \
	X(ERR_AMBIGUOUS, CLASS_NOT_FOUND, N_("the shortened id fits more than one")) \
	X(ERR_EXISTS, CLASS_DENIED, N_("it is there already")) \
	X(ERR_CONFLICT, CLASS_DENIED, N_("this id was used before for another content")) \
	X(ERR_DENIED, CLASS_DENIED, N_("this is not allowed")) \
	X(ERR_HANDLING, CLASS_DENIED, N_("the handling restriction does not allow it")) \
	X(ERR_WRONG_STATE, CLASS_DENIED, N_("it is too late or too early for this")) \
	X(ERR_UNKNOWN_AUTHORITY, CLASS_NOT_FOUND, N_("the directory has no such authority")) \
	X(ERR_UNREADABLE, CLASS_DENIED, N_("the addressee cannot read this kind of message")) \
	X(ERR_NOT_SENT, CLASS_RETRY, N_("it could not be sent now")) \
	X(ERR_STORE_FULL, CLASS_RETRY, N_("the store is full")) \
	X(ERR_QUEUE_FULL, CLASS_RETRY, N_("the queue is full")) \
	X(ERR_BUSY, CLASS_RETRY, N_("too much is under way; try again")) \
	X(ERR_LATER, CLASS_RETRY, N_("not now; try again later")) \
	X(ERR_TIMEOUT, CLASS_RETRY, N_("the time ran out")) \
	X(ERR_CLOSED, CLASS_RETRY, N_("the connection is closed")) \
	X(ERR_UNREACHABLE, CLASS_RETRY, N_("the other side cannot be reached")) \
	X(ERR_SIGNATURE, CLASS_TRUST, N_("the signature does not verify")) \
	X(ERR_CERTIFICATE, CLASS_TRUST, N_("the certificate is not valid for this")) \
	X(ERR_EXPIRED, CLASS_TRUST, N_("it is past its end")) \
	X(ERR_NOT_YET, CLASS_TRUST, N_("it is not valid yet")) \
	X(ERR_REVOKED, CLASS_TRUST, N_("the key was revoked")) \
	X(ERR_UNKNOWN_KEY, CLASS_TRUST, N_("the directory does not list this key")) \
	X(ERR_IDENTITY, CLASS_TRUST, N_("the name is not the one expected")) \
	X(ERR_TLS, CLASS_TRUST, N_("the TLS handshake failed")) \
	X(ERR_CANNOT_BE_OPENED, CLASS_TRUST, N_("cannot be opened")) \
	X(ERR_RESEAL, CLASS_TRUST, N_("it was sealed to a key that is gone")) \
	X(ERR_DIRECTORY, CLASS_TRUST, N_("the directory does not fit the one held")) \
	X(ERR_SPLIT_VIEW, CLASS_TRUST, N_("two directories carry the same number")) \
	X(ERR_PASSPHRASE, CLASS_DENIED, N_("the passphrase does not open the key")) \
	X(ERR_CORRUPT, CLASS_SYSTEM, N_("the stored record is damaged")) \
	X(ERR_IO, CLASS_SYSTEM, N_("reading or writing failed")) \
	X(ERR_SYSTEM, CLASS_SYSTEM, N_("the operating system refused")) \
	X(ERR_LOCKED, CLASS_SYSTEM, N_("another process has it open")) \
	X(ERR_NO_MEMORY, CLASS_SYSTEM, N_("no memory left")) \
	X(ERR_CRYPTO, CLASS_INTERNAL, N_("OpenSSL refused an operation")) \
	X(ERR_FAULT, CLASS_INTERNAL, N_("a fault injected by a test")) \
	X(ERR_INTERNAL, CLASS_INTERNAL, N_("a mistake in citex"))

enum err_class {
#define X(name, exit_status, words) name,
	CLASS_LIST(X)
#undef X
};

enum err {
#define X(name, class, words) name,
	ERR_LIST(X)
#undef X
	    ERR_COUNT
};

/* The words for a person: lower case, no full stop. Never NULL, also for a number that is no error.
 */
const char *err_words(enum err e);

/* The name in the list without `ERR_', in lower case with dashes: `store-full'. For logs and
 * --json. */
const char *err_name(enum err e);

/* The error with that err_name; ERR_INTERNAL when there is none. */
enum err err_from_name(const char *name);

/* What the error means for retry, refusal and exit status. */
enum err_class err_class(enum err e);

/* The exit status of a program that ends with E: 0 for OK, else by class. */
int err_exit_status(enum err e);

#endif
