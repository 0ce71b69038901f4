/* SPDX-License-Identifier: Apache-2.0 */
/* A certificate, as it comes in a handshake, a card or a directory. */
#include <string.h>

#include "pki/cert.h"
#include "pki/ossl.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	static bool begun;
	struct cert *c = NULL;
	char fingerprint[80], same[80];
	enum err e;

	if (!begun)
		MUST(ossl_init() == OK);
	begun = true;
	e = cert_parse((struct bytes){ at, len }, &c);
	MUST((e == OK) == (c != NULL));
	if (c == NULL)
		return 0;
	MUST(bytes_equal(cert_der(c), (struct bytes){ at, len }));
	MUST(cert_from_ms(c) <= cert_until_ms(c));
	MUST(strlen(cert_name(c)) > 0 && strlen(cert_party(c)) > 0);
	for (int use = USE_CA; use <= USE_DIRECTORY; use++) {
		/* a leaf certifies nobody; a CA nobody but itself */
		e = cert_check_chain(c, c, (enum cert_use)use);
		MUST(e != OK || cert_use(c) == USE_CA || cert_use(c) == USE_DIRECTORY);
	}
	cert_fingerprint(c, fingerprint);
	MUST(fingerprint_parse(fingerprint, same) == OK && strcmp(same, fingerprint) == 0);
	cert_free(c);
	return 0;
}
