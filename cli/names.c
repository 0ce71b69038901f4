/* SPDX-License-Identifier: Apache-2.0 */
/* An attachment's name is a label: what is left of it here is only for the
 * officer to recognize. Safety does not rest on it alone: see folder.c. */
#include "cli/names.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proto/escape.h"

/* Bytes: leaves room for a number, and for file systems that encrypt names. */
#define CLEAN_MAX 200
#define ENDING_MAX 16

static bool
is_allowed(int32_t c)
{
	if (!escape_is_plain(c))
		return false;
	return c >= 0x80 || strchr("/\\:*?\"<>|", c) == NULL;
}

/* Where the ending (".pdf") begins; the length when there is none. */
static size_t
ending_at(const char *name, size_t len)
{
	for (size_t i = len; i-- > 1 && len - i <= ENDING_MAX;) {
		if (name[i] == '.')
			return i;
	}
	return len;
}

/* The largest length at most MAX that does not cut a character. */
static size_t
whole_characters(const char *name, size_t max)
{
	while (max > 0 && ((unsigned char)name[max] & 0xc0) == 0x80)
		max--;
	return max;
}

static void
shorten(struct buffer *b)
{
	size_t ending, keep;
	if (b->len <= CLEAN_MAX)
		return;
	buffer_add_u8(b, 0);
	b->len--;
	ending = ending_at((const char *)b->at, b->len);
	keep = whole_characters((const char *)b->at, CLEAN_MAX - (b->len - ending));
	memmove(b->at + keep, b->at + ending, b->len - ending);
	b->len = keep + (b->len - ending);
}

/* CON, NUL, COM1 …, with any ending: devices on file systems of Windows. */
static bool
is_device(const char *name)
{
	static const char *const devices[] = { "con", "prn", "aux", "nul", "com", "lpt" };
	size_t len = strcspn(name, ".");
	for (size_t i = 0; i < sizeof(devices) / sizeof(*devices); i++) {
		if (strncasecmp(name, devices[i], 3) == 0 &&
		    (len == 3 || (i >= 4 && len == 4 && isdigit((unsigned char)name[3]))))
			return true;
	}
	return false;
}

void
name_clean(const char *label, char out[NAME_BYTES])
{
	CLEANUP(buffer_release) struct buffer b = { 0 };
	struct bytes rest = bytes_str(label);
	const char *text;
	while (rest.len > 0) {
		const uint8_t *at = rest.at;
		int32_t c = utf8_next(&rest);
		if (b.len == 0 && c >= 0 && c < 0x80 && strchr(".-~ ", c) != NULL)
			continue;
		if (is_allowed(c))
			buffer_add(&b, (struct bytes){ at, (size_t)(rest.at - at) });
		else
			buffer_add_u8(&b, '_');
	}
	shorten(&b);
	while (b.len > 0 && (b.at[b.len - 1] == '.' || b.at[b.len - 1] == ' '))
		b.len--;
	text = b.len > 0 ? buffer_text(&b) : "attachment";
	(void)snprintf(out, NAME_BYTES, "%s%s", is_device(text) ? "_" : "", text);
}

void
name_number(const char *name, unsigned number, char out[NAME_BYTES])
{
	size_t ending = ending_at(name, strlen(name));
	(void)snprintf(out, NAME_BYTES, "%.*s-%u%s", (int)(ending > 220 ? 220 : ending), name,
	    number, name + ending);
}

bool
name_is_clean(const char *name)
{
	char clean[NAME_BYTES];
	name_clean(name, clean);
	return strcmp(name, clean) == 0;
}
