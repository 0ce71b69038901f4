/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PKI_TOOL_H
#define PKI_TOOL_H

#include "pki/cert.h"

/* What the commands of citex-pki share. */

#define TOOL_VALUES_MAX 64

enum tool_option {
	OPTION_PARTY,
	OPTION_NAME,
	OPTION_ROLE,
	OPTION_NODE, /* of an authority: the node; of others a flag, see FLAG_NODE */
	OPTION_LANGUAGE,
	OPTION_FOCAL_POINT,
	OPTION_ADDRESS,
	OPTION_VIA,
	OPTION_SERVES,
	OPTION_USE,
	OPTION_REASON,
	OPTION_CA,
	OPTION_VOUCHER,
	OPTION_PIN,
	OPTION_INTO,
	OPTION_OUTPUT,
	OPTION_FRESH_DAYS,
	OPTION_DAYS,
	OPTION_PASSPHRASE_FILE,
	OPTION_JSON,
	FLAG_NODE,
	OPTION_COUNT
};

struct tool_args {
	const char *values[OPTION_COUNT][TOOL_VALUES_MAX];
	size_t counts[OPTION_COUNT];
	char *const *words; /* what is not an option */
	size_t word_count;
	int64_t now_ms;
};

/* The first value, or NULL. */
const char *tool_value(const struct tool_args *a, enum tool_option o);
/* Why a file was not read: E in words, the system's when it is ERR_IO (errno as it was left). */
const char *tool_words(enum err e);
/* Say on standard error what went wrong and what to do; returns E. */
enum err tool_fail(enum err e, const char *fmt, ...) PRINTF(2, 3) MUST_CHECK;
/* DIR/A/B...: up to three parts, NULL ends; OUT has TOOL_PATH_BYTES. */
#define TOOL_PATH_BYTES 4096
const char *tool_path(char *out, const char *dir, const char *a, const char *b);
/* Make a folder that may be there already. */
enum err tool_folder(const char *path) MUST_CHECK;
/* From --passphrase-file, or asked for on the terminal (twice when it is NEW). */
enum err tool_passphrase(const struct tool_args *a, bool is_new, struct secret *out) MUST_CHECK;
enum err tool_load_key(const char *path, const struct secret *passphrase, struct private_key **out)
    MUST_CHECK;
enum err tool_load_cert(const char *path, struct cert **out) MUST_CHECK;
/* A new key and its certificate, by CA or by itself, as STEM.key and STEM.pem. */
enum err tool_make_pair(const char *stem, const struct cert_request *r, const struct cert *ca,
    const struct private_key *ca_key, const struct secret *passphrase) MUST_CHECK;

typedef enum err tool_run(const struct tool_args *a);
tool_run tool_party_init, tool_authority, tool_node, tool_card, tool_renew, tool_revoke,
    tool_voucher;
tool_run tool_directory_init, tool_directory_admit, tool_directory_add, tool_directory_remove,
    tool_directory_publish, tool_directory_show, tool_directory_verify, tool_directory_install;

#endif
