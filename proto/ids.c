/* SPDX-License-Identifier: Apache-2.0 */
/* Names and times as text and back. Not here: what the time is, and chance;
 * both are arguments. Whether an authority exists is the directory's matter. */
#include "proto/ids.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ID_DIGITS (2 * ID_BYTES)
#define DATE_TEXT_LEN 10 /* 2026-12-20 */

struct id
id_make(int64_t utc_ms, const uint8_t chance[10])
{
	struct id id;
	uint64_t ms = (uint64_t)utc_ms;

	for (unsigned i = 0; i < 6; i++)
		id.at[i] = (uint8_t)(ms >> (40 - 8 * i));
	memcpy(id.at + 6, chance, 10);
	id.at[6] = (uint8_t)(0x70 | (id.at[6] & 0x0f)); /* version 7 */
	id.at[8] = (uint8_t)(0x80 | (id.at[8] & 0x3f)); /* variant of RFC 9562 */
	return id;
}

enum err
id_parse(const char *text, struct id *out)
{
	char digits[ID_DIGITS + 1];
	size_t n = 0;
	bool dashes = strlen(text) == ID_TEXT_BYTES - 1;

	for (size_t i = 0; text[i] != '\0'; i++) {
		if (dashes && (i == 8 || i == 13 || i == 18 || i == 23)) {
			if (text[i] != '-')
				return ERR_MALFORMED;
			continue;
		}
		if (n == ID_DIGITS)
			return ERR_MALFORMED;
		digits[n++] = text[i];
	}
	digits[n] = '\0';
	return hex_decode(digits, out->at, ID_BYTES);
}

void
id_print(struct id id, char *out)
{
	char digits[ID_DIGITS + 1];

	hex_encode(BYTES_OF(id.at), digits);
	snprintf(out, ID_TEXT_BYTES, "%.8s-%.4s-%.4s-%.4s-%.12s", digits, digits + 8, digits + 12,
	    digits + 16, digits + 20);
}

enum err
id_prefix(const char *text, struct id *low, struct id *high)
{
	char digits[ID_DIGITS + 1];
	size_t n = 0;

	for (size_t i = 0; text[i] != '\0'; i++) {
		if (text[i] == '-')
			continue;
		if (n == ID_DIGITS)
			return ERR_MALFORMED;
		digits[n++] = text[i];
	}
	if (n == 0)
		return ERR_MALFORMED;
	digits[ID_DIGITS] = '\0';
	memset(digits + n, '0', ID_DIGITS - n);
	if (hex_decode(digits, low->at, ID_BYTES) != OK)
		return ERR_MALFORMED;
	memset(digits + n, 'f', ID_DIGITS - n);
	return hex_decode(digits, high->at, ID_BYTES);
}

enum err
id_from_bytes(struct bytes b, struct id *out)
{
	if (b.len != ID_BYTES)
		return ERR_MALFORMED;
	memcpy(out->at, b.at, ID_BYTES);
	return OK;
}

struct bytes
id_bytes(const struct id *id)
{
	return BYTES_OF(id->at);
}

bool
id_equal(struct id a, struct id b)
{
	return memcmp(a.at, b.at, ID_BYTES) == 0;
}

bool
id_is_zero(struct id id)
{
	return id_equal(id, (struct id){ { 0 } });
}

/* The length of the word at S: a letter, then letters, digits and dashes; 0: none. */
static size_t
word_length(const char *s)
{
	size_t n = 0;

	if (s[0] < 'a' || s[0] > 'z')
		return 0;
	while ((s[n] >= 'a' && s[n] <= 'z') || (s[n] >= '0' && s[n] <= '9') || s[n] == '-')
		n++;
	return n;
}

bool
authority_is_valid(const char *s)
{
	size_t party = word_length(s), office;

	if (party == 0 || party > AUTHORITY_MAX_BYTES)
		return false;
	if (s[party] == '\0')
		return true;
	if (s[party] != '.')
		return false;
	office = word_length(s + party + 1);
	return office != 0 && s[party + 1 + office] == '\0' &&
	    party + 1 + office <= AUTHORITY_MAX_BYTES;
}

bool
node_is_valid(const char *s)
{
	size_t n = word_length(s);

	return n != 0 && n <= NODE_MAX_BYTES && s[n] == '\0';
}

void
authority_party(const char *authority, char *out)
{
	size_t n = strcspn(authority, ".");

	if (n > AUTHORITY_MAX_BYTES)
		n = AUTHORITY_MAX_BYTES;
	memcpy(out, authority, n);
	out[n] = '\0';
}

bool
same_party(const char *a, const char *b)
{
	char party_a[AUTHORITY_MAX_BYTES + 1], party_b[AUTHORITY_MAX_BYTES + 1];

	authority_party(a, party_a);
	authority_party(b, party_b);
	return strcmp(party_a, party_b) == 0;
}

void
time_print(int64_t utc_ms, char *out)
{
	struct tm tm;
	time_t seconds = (time_t)(utc_ms / 1000 - (utc_ms % 1000 < 0 ? 1 : 0));

	if (utc_ms == 0 || gmtime_r(&seconds, &tm) == NULL ||
	    strftime(out, TIME_TEXT_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		out[0] = '\0';
}

void
date_print(int64_t utc_ms, char *out)
{
	time_print(utc_ms, out);
	out[strcspn(out, "T")] = '\0';
}

/* N digits at TEXT as a number; -1 when they are no digits. */
static int
digits_value(const char *text, size_t n)
{
	int v = 0;

	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		v = v * 10 + (text[i] - '0');
	}
	return v;
}

enum err
date_parse_end(const char *text, int64_t *utc_ms)
{
	struct tm tm = { 0 }, back;
	time_t begin;
	int year, month, day;

	if (strlen(text) != DATE_TEXT_LEN || text[4] != '-' || text[7] != '-')
		return ERR_VALUE;
	year = digits_value(text, 4);
	month = digits_value(text + 5, 2);
	day = digits_value(text + 8, 2);
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > 31)
		return ERR_VALUE;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	tm.tm_mday = day;
	begin = timegm(&tm);
	/* 31 November becomes 1 December on the way: not the same day, so no such day. */
	if (gmtime_r(&begin, &back) == NULL || back.tm_mday != day || back.tm_mon != month - 1)
		return ERR_VALUE;
	*utc_ms = (int64_t)begin * 1000 + DAY_MS - 1;
	return OK;
}

enum err
duration_parse(const char *text, int64_t *ms)
{
	static const struct {
		char letter;
		int64_t ms;
	} units[] = { { 's', SECOND_MS }, { 'm', MINUTE_MS }, { 'h', HOUR_MS }, { 'd', DAY_MS } };
	size_t n = strspn(text, "0123456789");
	int64_t value = 0;

	if (n == 0 || text[n] == '\0' || text[n + 1] != '\0')
		return ERR_VALUE;
	for (size_t i = 0; i < n; i++) {
		if (value > (INT64_MAX - 9) / 10)
			return ERR_VALUE;
		value = value * 10 + (text[i] - '0');
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (units[i].letter == text[n])
			return __builtin_mul_overflow(value, units[i].ms, ms) ? ERR_VALUE : OK;
	}
	return ERR_VALUE;
}
