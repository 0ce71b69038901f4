/* SPDX-License-Identifier: Apache-2.0 */
/* DER for one shape. Not here: what an element means. */
#include "pki/der.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

uint8_t *
der_reserve(struct der_writer *w, size_t len)
{
	if (len > w->left)
		abort();
	w->left -= len;
	return w->base + w->left;
}

void
der_put(struct der_writer *w, struct bytes b)
{
	uint8_t *to = der_reserve(w, b.len);

	if (b.len > 0)
		memcpy(to, b.at, b.len);
}

void
der_close(struct der_writer *w, uint8_t tag, size_t mark)
{
	size_t len = mark - w->left;
	unsigned octets = len < 0x80 ? 0 : len < 0x100 ? 1 : len < 0x10000 ? 2 : 3;

	if (octets == 0) {
		*der_reserve(w, 1) = (uint8_t)len;
	} else {
		for (unsigned i = 0; i < octets; i++)
			*der_reserve(w, 1) = (uint8_t)(len >> (8 * i));
		*der_reserve(w, 1) = (uint8_t)(0x80 | octets);
	}
	*der_reserve(w, 1) = tag;
}

void
der_element(struct der_writer *w, uint8_t tag, struct bytes value)
{
	size_t mark = w->left;

	der_put(w, value);
	der_close(w, tag, mark);
}

enum err
der_begin(struct der_writer *w, struct buffer *out, size_t inner_len)
{
	if (inner_len > DER_MAX_BYTES - DER_ROOM_BYTES)
		return ERR_TOO_LARGE;
	w->left = inner_len + DER_ROOM_BYTES;
	w->base = buffer_extend(out, w->left);
	return w->base == NULL ? ERR_NO_MEMORY : OK;
}

void
der_end(struct der_writer *w, struct buffer *out)
{
	size_t len = (size_t)(out->at + out->len - w->base) - w->left;

	memmove(w->base, w->base + w->left, len);
	out->len -= w->left;
}

/* The octets of a long length; 0: not the shortest form, or too long. */
static uint32_t
long_length(struct reader *r, unsigned octets)
{
	uint32_t len = 0;

	if (octets == 0 || octets > 3)
		return 0;
	for (unsigned i = 0; i < octets; i++)
		len = len << 8 | read_u8(r);
	return len < 0x80 || len >> (8 * (octets - 1)) == 0 ? 0 : len;
}

struct bytes
der_take(struct reader *r, uint8_t tag)
{
	uint32_t len;

	if (read_u8(r) != tag)
		r->err = ERR_CANNOT_BE_OPENED;
	len = read_u8(r);
	if (len >= 0x80) {
		len = long_length(r, len & 0x7f);
		if (len == 0)
			r->err = ERR_CANNOT_BE_OPENED;
	}
	return read_bytes(r, len);
}

struct bytes
der_take_sized(struct reader *r, uint8_t tag, size_t len)
{
	struct bytes value = der_take(r, tag);

	if (value.len != len)
		r->err = ERR_CANNOT_BE_OPENED;
	return r->err == OK ? value : BYTES_NONE;
}

struct reader
der_enter(struct reader *r, uint8_t tag)
{
	struct bytes value = der_take(r, tag);

	return (struct reader){ value, r->err };
}

void
der_expect(struct reader *r, struct bytes exact)
{
	if (!bytes_equal(read_bytes(r, exact.len), exact))
		r->err = ERR_CANNOT_BE_OPENED;
}

bool
der_ended(const struct reader *r)
{
	return reader_finish(r) == OK;
}

static unsigned
digits(const uint8_t *at, unsigned count)
{
	unsigned v = 0;

	for (unsigned i = 0; i < count; i++)
		v = v * 10 + (unsigned)(at[i] - '0');
	return v;
}

bool
der_time_value(uint8_t tag, struct bytes text, int64_t *ms)
{
	const unsigned year_len = tag == DER_UTC_TIME ? 2 : 4;
	struct tm tm = { 0 };
	struct tm again;
	unsigned year;
	time_t t;

	if (text.len != year_len + 11 || text.at[text.len - 1] != 'Z')
		return false;
	for (size_t i = 0; i + 1 < text.len; i++)
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
	year = digits(text.at, year_len);
	if (tag == DER_UTC_TIME)
		year += year < 50 ? 2000 : 1900;
	if (year < 1970 || (tag == DER_GENERALIZED_TIME && year < 2050))
		return false;
	tm.tm_year = (int)year - 1900;
	tm.tm_mon = (int)digits(text.at + year_len, 2) - 1;
	tm.tm_mday = (int)digits(text.at + year_len + 2, 2);
	tm.tm_hour = (int)digits(text.at + year_len + 4, 2);
	tm.tm_min = (int)digits(text.at + year_len + 6, 2);
	tm.tm_sec = (int)digits(text.at + year_len + 8, 2);
	again = tm;
	t = timegm(&again);
	/* timegm() puts 31 February in March: then it is no date */
	if (again.tm_mon != tm.tm_mon || again.tm_mday != tm.tm_mday ||
	    again.tm_hour != tm.tm_hour || again.tm_min != tm.tm_min || again.tm_sec != tm.tm_sec)
		return false;
	*ms = (int64_t)t * 1000;
	return true;
}

bool
der_time_text(int64_t ms, uint8_t *tag, char text[DER_TIME_BYTES])
{
	time_t t = ms / 1000;
	struct tm tm;
	char all[32];

	if (ms < 0 || gmtime_r(&t, &tm) == NULL || tm.tm_year > 9999 - 1900)
		return false;
	*tag = tm.tm_year < 150 ? DER_UTC_TIME : DER_GENERALIZED_TIME;
	if (strftime(all, sizeof(all), "%Y%m%d%H%M%SZ", &tm) == 0)
		return false;
	memcpy(text, *tag == DER_UTC_TIME ? all + 2 : all, DER_TIME_BYTES);
	text[*tag == DER_UTC_TIME ? 13 : 15] = '\0';
	return true;
}
