/* SPDX-License-Identifier: Apache-2.0 */
/* Internet addresses as text. Not here: names, because nothing that faces the
 * network may open the files that looking one up takes. */
#include "proto/address.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PORT_DIGITS_MAX 5

static enum err
parse_port(const char *text, in_port_t *port)
{
	size_t digits = strspn(text, "0123456789");
	uint32_t value = 0;

	if (digits == 0 || digits > PORT_DIGITS_MAX || text[digits] != '\0')
		return ERR_VALUE;
	for (; *text != '\0'; text++)
		value = value * 10 + (uint32_t)(*text - '0');
	if (value == 0 || value > UINT16_MAX)
		return ERR_VALUE;
	*port = htons((uint16_t)value);
	return OK;
}

static enum err
parse_v4(const char *host, in_port_t port, struct address *out)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = port };

	if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
		return ERR_VALUE;
	memcpy(&out->at, &a, sizeof(a));
	out->len = sizeof(a);
	return OK;
}

static enum err
parse_v6(const char *host, in_port_t port, struct address *out)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = port };

	if (inet_pton(AF_INET6, host, &a.sin6_addr) != 1)
		return ERR_VALUE;
	memcpy(&out->at, &a, sizeof(a));
	out->len = sizeof(a);
	return OK;
}

enum err
address_parse(const char *text, struct address *out)
{
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2] = "";
	in_port_t port;
	size_t len;

	*out = (struct address){ 0 };
	if (colon == NULL || parse_port(colon + 1, &port) != OK)
		return ERR_VALUE;
	len = (size_t)(colon - text);
	if (len == 0 || len >= sizeof(host))
		return ERR_VALUE;
	memcpy(host, text, len);
	if (host[0] != '[')
		return parse_v4(host, port, out);
	if (host[len - 1] != ']')
		return ERR_VALUE;
	host[len - 1] = '\0';
	return parse_v6(host + 1, port, out);
}

void
address_print(const struct address *a, char *out)
{
	char host[INET6_ADDRSTRLEN] = "";
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	out[0] = '\0';
	memcpy(&v4, &a->at, sizeof(v4));
	memcpy(&v6, &a->at, sizeof(v6));
	if (a->at.ss_family == AF_INET && inet_ntop(AF_INET, &v4.sin_addr, host, sizeof(host)))
		(void)snprintf(out, ADDRESS_TEXT_BYTES, "%s:%u", host, ntohs(v4.sin_port));
	if (a->at.ss_family == AF_INET6 && inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof(host)))
		(void)snprintf(out, ADDRESS_TEXT_BYTES, "[%s]:%u", host, ntohs(v6.sin6_port));
}
