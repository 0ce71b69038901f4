/* SPDX-License-Identifier: Apache-2.0 */
/* The one way out. Not here: which fields a listing has (the commands), what
 * is harmless (escape.c). Weak: the width of a character is the C library's
 * word for it, so a new script may make a ragged table; no line can begin
 * with text for all that, because marks are drawn before it. */
#include "cli/output.h"

#include <errno.h>
#include <langinfo.h>
#include <libsmartcols/libsmartcols.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "proto/escape.h"
#include "cli/words.h"
#include "proto/desk.pb-c.h"

#define TEXT_MARK "  | "
#define LABEL_WIDTH 14
#define COLUMNS_MIN 20

void
output_init(struct output *o, FILE *to)
{
	struct winsize size = { 0 };
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");
	*o = (struct output){ .to = to };
	o->ascii_only = strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
	o->terminal = isatty(fileno(to)) == 1;
	if (!o->terminal)
		return;
	o->colour =
	    (no_color == NULL || *no_color == '\0') && (term != NULL && strcmp(term, "dumb") != 0);
	o->columns = 80;
	if (ioctl(fileno(to), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		o->columns = size.ws_col < COLUMNS_MIN ? COLUMNS_MIN : size.ws_col;
}

enum err
output_finish(struct output *o, struct failure *f)
{
	if (fflush(o->to) != 0 || ferror(o->to))
		return failure_errno(f, ERR_IO,
		    _("what was asked for was done, but the output could not be written"));
	return OK;
}

static void
put(struct output *o, struct bytes b)
{
	(void)fwrite(b.at, 1, b.len, o->to); /* asked for by output_finish() */
}

PRINTF(4, 0)
static void
put_line(FILE *to, const char *prefix, bool ascii_only, const char *fmt, va_list args)
{
	CLEANUP(buffer_release) struct buffer line = { 0 };
	char *text = NULL;
	if (vasprintf(&text, fmt, args) < 0)
		return;
	buffer_add_str(&line, prefix);
	escape_append(bytes_str(text), ESCAPE_LINE, ascii_only, &line);
	buffer_add_u8(&line, '\n');
	free(text);
	(void)fwrite(line.at, 1, line.len, to);
}

void
output_say(struct output *o, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	put_line(o->to, "", o->ascii_only, fmt, args);
	va_end(args);
}

/* Columns that the escaped character at *TEXT takes; takes it off. */
static unsigned
next_width(struct bytes *text)
{
	int width = wcwidth((wchar_t)utf8_next(text));
	return width > 0 ? (unsigned)width : 0;
}

static unsigned
text_width(struct bytes text)
{
	unsigned width = 0;
	while (text.len > 0)
		width += next_width(&text);
	return width;
}

/* LINE (escaped) with PREFIX before it, and before each piece when it is broken at the width. */
static void
put_broken(struct output *o, const char *prefix, struct bytes line)
{
	unsigned room = 0, used = 0;
	struct bytes rest = line;
	if (o->columns > 0)
		room = o->columns - text_width(bytes_str(prefix));
	put(o, bytes_str(prefix));
	while (rest.len > 0) {
		const uint8_t *at = rest.at;
		unsigned width = next_width(&rest);
		if (room > 0 && used > 0 && used + width >= room) {
			put(o, bytes_str("\n"));
			put(o, bytes_str(prefix));
			used = 0;
		}
		put(o, (struct bytes){ at, (size_t)(rest.at - at) });
		used += width;
	}
	put(o, bytes_str("\n"));
}

void
output_field(struct output *o, unsigned indent, const char *label, const char *value)
{
	CLEANUP(buffer_release) struct buffer prefix = { 0 };
	CLEANUP(buffer_release) struct buffer escaped = { 0 };
	unsigned width;
	if (value == NULL || *value == '\0')
		return;
	buffer_printf(&prefix, "%*s", (int)indent, "");
	escape_append(bytes_str(label), ESCAPE_LINE, o->ascii_only, &prefix);
	buffer_add_str(&prefix, ":");
	width = text_width(buffer_bytes(&prefix));
	buffer_printf(&prefix, "%*s", width < LABEL_WIDTH ? (int)(LABEL_WIDTH - width) : 1, "");
	put(o, buffer_bytes(&prefix));
	width = text_width(buffer_bytes(&prefix));
	escape_append(bytes_str(value), ESCAPE_TEXT, o->ascii_only, &escaped);
	if (memchr(escaped.at, '\n', escaped.len) != NULL ||
	    (o->columns > 0 && width + text_width(buffer_bytes(&escaped)) >= o->columns)) {
		put(o, bytes_str("\n"));
		output_text(o, bytes_str(value));
		return;
	}
	put(o, buffer_bytes(&escaped));
	put(o, bytes_str("\n"));
}

void
output_text(struct output *o, struct bytes text)
{
	CLEANUP(buffer_release) struct buffer escaped = { 0 };
	struct bytes rest;
	escape_append(text, ESCAPE_TEXT, o->ascii_only, &escaped);
	rest = buffer_bytes(&escaped);
	while (rest.len > 0) {
		const uint8_t *end = memchr(rest.at, '\n', rest.len);
		size_t len = end != NULL ? (size_t)(end - rest.at) : rest.len;
		put_broken(o, TEXT_MARK, (struct bytes){ rest.at, len });
		len += end != NULL;
		rest.at += len;
		rest.len -= len;
	}
}

void
output_heading(struct output *o, const char *text)
{
	if (!o->colour) {
		output_say(o, "%s", text);
		return;
	}
	CLEANUP(buffer_release) struct buffer escaped = { 0 };
	escape_append(bytes_str(text), ESCAPE_LINE, o->ascii_only, &escaped);
	put(o, bytes_str("\033[1m"));
	put(o, buffer_bytes(&escaped));
	put(o, bytes_str("\033[0m\n"));
}

void
output_gap(struct output *o)
{
	put(o, bytes_str("\n"));
}

/* jansson escapes all but DEL. */
static void
put_json(struct output *o, json_t *value, size_t flags)
{
	char *text = value != NULL ? json_dumps(value, flags | JSON_ENSURE_ASCII) : NULL;
	json_decref(value);
	if (text == NULL)
		return;
	for (const char *at = text; *at != '\0'; at++) {
		if (*at == 0x7f)
			put(o, bytes_str("\\u007f"));
		else
			put(o, (struct bytes){ (const uint8_t *)at, 1 });
	}
	put(o, bytes_str("\n"));
	free(text);
	o->written = true;
}

void
output_json(struct output *o, json_t *value)
{
	put_json(o, value, JSON_INDENT(2));
}

void
output_json_line(struct output *o, json_t *value)
{
	put_json(o, value, JSON_COMPACT);
	(void)fflush(o->to);
}

void
output_message(struct output *o, const ProtobufCMessage *m)
{
	output_json(o, json_of_message(m));
}

PRINTF(2, 3)
static void
say_error(const struct output *o, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	put_line(stderr, "citex: ", o->ascii_only, fmt, args);
	va_end(args);
}

void
output_failure(struct output *o, const struct failure *f)
{
	CLEANUP(buffer_release) struct buffer words = { 0 };
	const char *text = _(err_words(f->err));
	Citex__Failure failure = CITEX__FAILURE__INIT;
	if (f->words.len > 0) {
		buffer_add(&words, buffer_bytes(&f->words));
		text = buffer_text(&words);
	}
	say_error(o, "%s", text);
	if (o->json && !o->written) {
		failure.error = (char *)(uintptr_t)err_name(f->err);
		failure.words = (char *)(uintptr_t)text;
		output_message(o, &failure.base);
	}
}

void
output_note(const struct output *o, const char *fmt, ...)
{
	va_list args;
	if (o->json)
		return;
	va_start(args, fmt);
	put_line(stderr, "", o->ascii_only, fmt, args);
	va_end(args);
}

void
output_progress(const struct output *o, const char *name, uint64_t done_bytes, uint64_t total_bytes)
{
	CLEANUP(buffer_release) struct buffer line = { 0 };
	char done[32], total[32];
	if (o->json || isatty(STDERR_FILENO) != 1)
		return;
	pretty_bytes(done_bytes, done);
	pretty_bytes(total_bytes, total);
	buffer_add_str(&line, "\r");
	escape_append(bytes_str(name), ESCAPE_LINE, o->ascii_only, &line);
	buffer_printf(&line, "  %s / %s   %s", done, total, done_bytes == total_bytes ? "\n" : "");
	(void)fwrite(line.at, 1, line.len, stderr);
	(void)fflush(stderr);
}

struct table {
	struct output *to;
	const struct table_column *columns;
	size_t column_count, row_count;
	char **cells; /* escaped, row by row; "" for an empty one */
	enum paint *paints;
	bool *used; /* by column: some row has something in it */
};

struct table *
table_new(struct output *o, const struct table_column *columns, size_t count)
{
	struct table *t = xalloc(sizeof(*t));
	t->to = o;
	t->columns = columns;
	t->column_count = count;
	t->used = xalloc_array(count, sizeof(*t->used));
	return t;
}

void
table_row(struct table *t, enum paint paint, const char *const *cells)
{
	size_t at = t->row_count * t->column_count;
	t->cells = xgrow(t->cells, at + t->column_count, sizeof(char *));
	t->paints = xgrow(t->paints, t->row_count + 1, sizeof(*t->paints));
	for (size_t i = 0; i < t->column_count; i++) {
		CLEANUP(buffer_release) struct buffer cell = { 0 };
		const char *text = cells[i] != NULL ? cells[i] : "";
		escape_append(bytes_str(text), ESCAPE_LINE, t->to->ascii_only, &cell);
		t->cells[at + i] = xstrdup(buffer_text(&cell));
		t->used[i] = t->used[i] || *text != '\0';
	}
	t->paints[t->row_count++] = paint;
}

static void
add_columns(const struct table *t, struct libscols_table *s)
{
	for (size_t i = 0; i < t->column_count; i++) {
		int flags = t->columns[i].how == COLUMN_RIGHT ? SCOLS_FL_RIGHT : 0;
		if (t->columns[i].how == COLUMN_WRAP && t->to->terminal)
			flags = SCOLS_FL_WRAP;
		if (t->used[i])
			scols_table_new_column(s, _(t->columns[i].name), 0, flags);
	}
}

static void
add_row(const struct table *t, size_t row, struct libscols_table *s)
{
	static const char *const colours[] = { NULL, "bold", "red", "green", "halfbright" };
	struct libscols_line *line = scols_table_new_line(s, NULL);
	size_t used = 0;
	if (line == NULL)
		abort(); /* no memory, as in xalloc() */
	for (size_t i = 0; i < t->column_count; i++) {
		if (t->used[i])
			(void)scols_line_set_data(
			    line, used++, t->cells[row * t->column_count + i]);
	}
	if (t->to->colour && colours[t->paints[row]] != NULL)
		(void)scols_line_set_color(line, colours[t->paints[row]]);
}

static void
print_rows(const struct table *t)
{
	struct output *o = t->to;
	struct libscols_table *s = scols_new_table();
	if (s == NULL)
		abort();
	scols_table_set_stream(s, o->to);
	scols_table_enable_colors(s, o->colour);
	scols_table_enable_noencoding(s, 1); /* escaped by us */
	if (o->columns > 0)
		scols_table_set_termwidth(s, o->columns);
	scols_table_set_termforce(s, o->terminal ? SCOLS_TERMFORCE_ALWAYS : SCOLS_TERMFORCE_NEVER);
	add_columns(t, s);
	for (size_t row = 0; row < t->row_count; row++)
		add_row(t, row, s);
	if (scols_print_table(s) != 0)
		abort();
	scols_unref_table(s);
}

void
table_print(struct table *t, const char *empty)
{
	if (t->row_count == 0 && *empty != '\0')
		output_say(t->to, "%s", empty);
	else if (t->row_count > 0)
		print_rows(t);
	for (size_t i = 0; i < t->row_count * t->column_count; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t->paints);
	free(t->used);
	free(t);
}

void
pretty_time(const char *iso, char *out)
{
	bool usual = strlen(iso) == 20 && iso[10] == 'T' && iso[19] == 'Z';
	(void)snprintf(out, 32, "%.31s", iso);
	if (!usual)
		return;
	out[10] = ' ';
	out[16] = '\0';
}

void
pretty_bytes(uint64_t bytes, char *out)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double amount = (double)bytes;
	size_t unit = 0;
	while (amount >= 1024 && unit < 4) {
		amount /= 1024;
		unit++;
	}
	(void)snprintf(out, 32, unit == 0 ? "%.0f %s" : "%.1f %s", amount, units[unit]);
}

void
pretty_list(char **words, size_t count, struct buffer *out)
{
	for (size_t i = 0; i < count; i++)
		buffer_printf(out, "%s%s", i > 0 ? ", " : "", words[i]);
}
