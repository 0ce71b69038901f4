/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTO_ADDRESS_H
#define PROTO_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "proto/error.h"

/* ADDRESS:PORT, as in "192.0.2.1:4711" and "[2001:db8::1]:4711": a value, never a name to look up.
 */
struct address {
	struct sockaddr_storage at;
	socklen_t len;
};

/* The text form whole, port 1 to 65535; ERR_VALUE else. */
enum err address_parse(const char *text, struct address *out) MUST_CHECK;

#define ADDRESS_TEXT_BYTES (INET6_ADDRSTRLEN + 10)
/* OUT has ADDRESS_TEXT_BYTES; "" for what is no Internet address. */
void address_print(const struct address *a, char *out);

#endif
