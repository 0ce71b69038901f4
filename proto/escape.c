/* SPDX-License-Identifier: Apache-2.0 */
/* Which characters reach a terminal. A list of what is refused among the
 * assigned formats, not of what is let through: scripts of all Parties must be
 * readable. Look-alike letters (a Cyrillic a) are not found here: names that
 * matter are ASCII by their own rules. Not joined here: emoji sequences, whose
 * joiner is shown as \u{200d}. */
#include "proto/escape.h"

struct range {
	int32_t first, last;
};

/* In order. Unicode 15: categories Cc, Cf, Co, Cs, Zl, Zp, noncharacters, and
 * letters and marks that are drawn as nothing. */
static const struct range hidden[] = {
	{ 0x00, 0x1f }, { 0x7f, 0x9f }, /* DEL, C1: 0x9b begins a control sequence on its own */
	{ 0xad, 0xad }, /* soft hyphen */
	{ 0x034f, 0x034f }, /* grapheme joiner */
	{ 0x0600, 0x0605 }, { 0x061c, 0x061c }, /* Arabic letter mark */
	{ 0x06dd, 0x06dd }, { 0x070f, 0x070f }, { 0x0890, 0x0891 }, { 0x08e2, 0x08e2 },
	{ 0x115f, 0x1160 }, /* Hangul fillers */
	{ 0x17b4, 0x17b5 }, { 0x180b, 0x180f },
	{ 0x200b, 0x200f }, /* zero width, marks of direction */
	{ 0x2028, 0x202e }, /* separators, embeddings and overrides */
	{ 0x2060, 0x206f }, /* word joiner, invisible operators, isolates */
	{ 0x2800, 0x2800 }, /* blank Braille */
	{ 0x3164, 0x3164 }, { 0xd800, 0xf8ff }, /* surrogates, private use */
	{ 0xfdd0, 0xfdef }, { 0xfe00, 0xfe0f }, /* variation selectors */
	{ 0xfeff, 0xfeff }, { 0xffa0, 0xffa0 }, { 0xfff0, 0xfffb }, { 0xfffe, 0xffff },
	{ 0x110bd, 0x110bd }, { 0x110cd, 0x110cd }, { 0x13430, 0x1345f }, { 0x1bca0, 0x1bca3 },
	{ 0x1d173, 0x1d17a }, { 0x1fffe, 0x1ffff }, { 0x2fffe, 0x2ffff },
	{ 0x3fffe, 0x10ffff }, /* tags, selectors, private planes, unassigned */
};

bool
escape_is_plain(int32_t c)
{
	size_t low = 0, high = sizeof(hidden) / sizeof(*hidden);
	if (c < 0)
		return false;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (c > hidden[middle].last)
			low = middle + 1;
		else
			high = middle;
	}
	return low == sizeof(hidden) / sizeof(*hidden) || c < hidden[low].first;
}

/* How many bytes FIRST announces, and the bits it carries itself; 0: it begins nothing. */
static size_t
utf8_length(uint8_t first, int32_t *bits)
{
	*bits = first;
	if (first < 0x80)
		return 1;
	*bits = first & 0x1f;
	if (first >= 0xc2 && first < 0xe0)
		return 2;
	*bits = first & 0x0f;
	if (first >= 0xe0 && first < 0xf0)
		return 3;
	*bits = first & 0x07;
	return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

int32_t
utf8_next(struct bytes *text)
{
	static const int32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	int32_t c;
	size_t len = utf8_length(text->at[0], &c);
	bool good = len > 0 && len <= text->len;
	for (size_t i = 1; good && i < len; i++) {
		good = (text->at[i] & 0xc0) == 0x80;
		c = c << 6 | (text->at[i] & 0x3f);
	}
	if (!good || c < smallest[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
		len = 1;
		c = -1;
	}
	text->at += len;
	text->len -= len;
	return c;
}

static bool
is_plain(int32_t c, enum escape how, bool ascii_only)
{
	if (c == '\n')
		return how == ESCAPE_TEXT;
	return escape_is_plain(c) && (!ascii_only || c < 0x80);
}

void
escape_append(struct bytes text, enum escape how, bool ascii_only, struct buffer *out)
{
	while (text.len > 0) {
		const uint8_t *at = text.at;
		int32_t c = utf8_next(&text);
		if (c == '\t' && how == ESCAPE_TEXT)
			buffer_add_u8(out, ' ');
		else if (c == '\\' && text.len > 1 && text.at[0] == 'u' && text.at[1] == '{')
			buffer_add_str(out, "\\u{5c}");
		else if (is_plain(c, how, ascii_only))
			buffer_add(out, (struct bytes){ at, (size_t)(text.at - at) });
		else
			buffer_printf(out, "\\u{%x}", (unsigned)(c < 0 ? *at : c));
	}
}
