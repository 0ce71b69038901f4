/* SPDX-License-Identifier: Apache-2.0 */
/* Sentences come as text, their parameters filled in, often from another
 * process. So those with parameters are found again by their formats. Weak: a
 * sentence that is written anew below and not here is shown in English
 * (po/check.sh compares those of the checks and of the doctor). */
#include "cli/said.h"

#include <string.h>

#include "cli/words.h"
#include "proto/kind.h"

#define HOLES_MAX 4

struct sentence {
	const char *format;
	bool words; /* its parameters may be words of ours, too */
};

static const struct sentence sentences[] = {
	/* The checks of forms. */
	{ N_("is longer than %zu characters"), false },
	{ N_("is longer than %lu bytes"), false },
	{ N_("this is longer than %lu bytes: shorten it, or attach what is long"), false },
	{ N_("is not of the form of a %s"), false },
	{ N_("`%.60s' is not in the list %s"), false },
	{ N_("`%.20s' is no grade of the scheme %.20s"), false },
	{ N_("a %s needs no release: leave --release out"), false },
	{ N_("is more than %ld months after the first day, the most for this type"), false },
	/* What an office refuses. */
	{ N_("there is no message or exchange %s here; `citex inbox' and `citex sent' list them"),
	    false },
	{ N_("%s fits more than one message: give more of the id"), false },
	{ N_("`%s' is no id, nor the beginning of one: it is as 0193f3c2-1a2b"), false },
	{ N_("%s may look at quarantine but not act on it; the administrator can allow it (may = "
	     "manage)"),
	    false },
	{ N_("a %s can't be answered with `%s'"), true },
	{ N_("this message is your own; wait for the answer of %s"), true },
	{ N_("name the message: citex %s ID"), false },
	{ N_("%s: %s; `citex inbox' and `citex sent' list what is here"), true },
	{ N_("at most %d addressees"), false },
	{ N_("at most %d attachments"), false },
	{ N_("directory %lu does not list %s yet: ask the Secretariat"), false },
	{ N_("there is no authority %s; `citex directory' lists them"), false },
	{ N_("%s is your own authority: name another"), false },
	{ N_("%s may not send a %s to %s (%s)"), true },
	{ N_("%s cannot read messages of kind %s; --even-if-unreadable sends it all the same"),
	    true },
	{ N_("`%s' is no TLP label: use red, amber+strict, amber, green or clear"), false },
	{ N_("the message has %zu bytes, at most %lu fit: shorten it, or attach what is long"),
	    false },
	{ N_("`%s' is no message id (a UUID)"), false },
	{ N_("TLP:AMBER stays with the authorities of your Party; ask %.64s for permission"),
	    false },
	{ N_("TLP:AMBER+STRICT stays inside your authority; ask %.64s for permission"), false },
	{ N_("TLP:RED is for you alone; ask %.64s for permission"), false },
	{ N_("there is no box `%s'"), false },
	{ N_("quarantine knows no `%s'"), false },
	{ N_("there is no kind of message called `%s'"), false },
	{ N_("the directory has no node %s"), false },
	{ N_("the directory has no node or authority %s"), false },
	/* The office's doctor. */
	{ N_("number %llu, fresh until %s%s"), true },
	{ N_("valid until %s"), false },
	{ N_("%s: no other node lets this one in"), true },
	{ N_("%u %% of %llu MiB in use%s"), true },
	{ N_("%llu message"), false },
	{ N_("%llu messages"), false },
	{ N_("%s has another CA, which its old one did not vouch for: %s"), false },
	{ N_("%lld.%lld s %s the other nodes"), true },
	{ N_("way to %s"), false },
	/* For whose key a message was signed. */
	{ N_("%s, key %s"), false },
};

/* The length of the conversion that FORMAT begins with, `%.60s', `%2$s'; 0: none, or `%%'. */
static size_t
conversion(const char *format)
{
	size_t len = 1 + strspn(format + (*format == '%'), "0123456789.$lz");
	if (format[0] != '%' || format[1] == '%')
		return 0;
	return len + 1;
}

/* Does TEXT come of FORMAT? Then HOLES are its parameters. */
static bool
comes_of(const char *text, const char *format, struct bytes *holes, size_t *count)
{
	size_t len = conversion(format), at = *count;
	if (*format == '\0')
		return *text == '\0';
	if (len == 0) {
		if (*text != *format)
			return false;
		return comes_of(text + 1, format + (*format == '%' ? 2 : 1), holes, count);
	}
	if (at == HOLES_MAX)
		return false;
	for (size_t end = 0; end <= strlen(text); end++) {
		if (conversion(format + len) > 0 && text[end] != '\0' &&
		    strncmp(text + end, ": ", 2) != 0)
			continue; /* what follows without a blank is ": and more", or nothing */
		*count = at + 1;
		holes[at] = (struct bytes){ (const uint8_t *)text, end };
		if (comes_of(text + end, format + len, holes, count))
			return true;
	}
	return false;
}

static void
add_hole(struct bytes hole, bool words, struct buffer *out)
{
	CLEANUP(buffer_release) struct buffer text = { 0 };
	buffer_add(&text, hole);
	buffer_add_str(out, words ? _(buffer_text(&text)) : buffer_text(&text));
}

/* FORMAT with HOLES for its conversions, in their order or as `%2$s' says. */
static void
fill(const char *format, const struct bytes *holes, size_t count, bool words, struct buffer *out)
{
	size_t next = 0;
	while (*format != '\0') {
		size_t len = conversion(format), which = next;
		if (len == 0) {
			buffer_add_u8(out, (uint8_t)*format);
			format += *format == '%' ? 2 : 1;
			continue;
		}
		if (len > 2 && format[2] == '$')
			which = (size_t)(format[1] - '1');
		if (which < count)
			add_hole(holes[which], words, out);
		next++;
		format += len;
	}
}

/* The length of `sanitised: ' or `ke.ma: ' before a sentence; 0: there is none. */
static size_t
prefix_length(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz_.-0123456789");
	return len > 0 && strncmp(text + len, ": ", 2) == 0 ? len + 2 : 0;
}

void
said_append(const char *text, struct buffer *out)
{
	struct bytes holes[HOLES_MAX];
	size_t prefix = prefix_length(text);
	const char *whole = _(text);
	for (size_t i = 0; whole == text && i < sizeof(sentences) / sizeof(*sentences); i++) {
		const char *format = sentences[i].format, *ours = _(format);
		size_t count = 0;
		if (ours == format || !comes_of(text, format, holes, &count))
			continue;
		fill(ours, holes, count, sentences[i].words, out);
		return;
	}
	if (whole == text && prefix > 0) {
		buffer_add(out, (struct bytes){ (const uint8_t *)text, prefix });
		said_append(text + prefix, out);
		return;
	}
	buffer_add_str(out, whole);
}

const char *
said_word(const char *word)
{
	static const char *const words[] = {
		/* For how far a message is, as `stored' in "stored since 10:00". */
		N_("queued"),
		N_("relayed"),
		N_("stored"),
		N_("opened"),
		N_("seen"),
		N_("answered"),
		N_("refused"),
		N_("expired"),
		N_("withdrawn"),
		/* For what an exchange or a message is. */
		N_("open"),
		N_("closed"),
		N_("new"),
		N_("read"),
		/* For a line to another node. */
		N_("dialling"),
		N_("waiting"),
		N_("incoming-only"),
		/* For what kind a message is. */
		N_("query"),
		N_("interim"),
		N_("reply"),
		N_("closing"),
		N_("alert"),
		N_("case"),
		N_("note"),
		/* For what an authority is. */
		N_("management"),
		N_("scientific"),
		N_("enforcement"),
		N_("secretariat"),
		N_("committee"),
		N_("partner"),
		/* In two places. */
		N_("fraud"),
		N_("connected"),
	};
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcmp(words[i], word) == 0)
			return _(words[i]);
	}
	return word;
}

void
said_list(char **words, size_t count, struct buffer *out)
{
	for (size_t i = 0; i < count; i++)
		buffer_printf(out, "%s%s", i > 0 ? ", " : "", said_word(words[i]));
}

const char *
said_name(const struct code_list *list, const struct code *code)
{
	/* For the column of the lists in proto/codes that has names in this language. */
	const char *name = code_value(list, code, _("name_en"));
	return *name != '\0' ? name : _(code->name);
}
