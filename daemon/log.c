/* SPDX-License-Identifier: Apache-2.0 */
/* Events as lines. Not here: what is worth a line, and audit, which is a record
 * of its own.
 *
 * A line is written by one write(), so that lines of several threads and
 * processes do not mix. Into a journal (its stream is a socket) a line begins
 * with its syslog priority, anywhere else with the time: the process has no
 * environment to ask. The clocks are asked here and not handed in, because any
 * thread may log, and nothing is decided by them but how many lines there are.
 *
 * Known weakness: what was dropped is told with the next line that is written. */
#include "daemon/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/bytes.h"
#include "proto/ids.h"
#include "proto/limits.h"

static const struct {
	const char *word;
	const char *journal; /* syslog(3) */
} levels[] = {
	[LEVEL_ERROR] = { "error", "<3>" },
	[LEVEL_WARNING] = { "warning", "<4>" },
	[LEVEL_INFO] = { "info", "<6>" },
	[LEVEL_DEBUG] = { "debug", "<7>" },
};
#define LEVELS (sizeof(levels) / sizeof(levels[0]))

static int64_t
clock_ms(clockid_t id)
{
	struct timespec t = { 0 };

	(void)clock_gettime(id, &t);
	return t.tv_sec * SECOND_MS + t.tv_nsec / 1000000;
}

static int64_t
own_mono_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

static int64_t
own_utc_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

static atomic_int log_level = LEVEL_INFO;

/* All below is under the lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	char who[AUTHORITY_MAX_BYTES + 16];
	int fd;
	bool journal;
	log_clock *mono_ms;
	log_clock *utc_ms;
	int64_t second_ms; /* when the second under way began */
	unsigned lines; /* written in it */
	unsigned long dropped;
} out = { .fd = STDERR_FILENO, .mono_ms = own_mono_ms, .utc_ms = own_utc_ms };

/* A line that grows in place and is cut, never overrun; room for its newline is kept. */
struct line {
	char at[LOG_LINE_MAX_BYTES];
	size_t len;
};

static void
line_add(struct line *l, const char *text, size_t len)
{
	size_t room = sizeof(l->at) - 1 - l->len;

	if (len > room)
		len = room;
	memcpy(l->at + l->len, text, len);
	l->len += len;
}

static void
line_str(struct line *l, const char *text)
{
	line_add(l, text, strlen(text));
}

static void
line_number(struct line *l, int64_t number)
{
	char digits[24];
	size_t at = sizeof(digits);
	uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

	do
		digits[--at] = (char)('0' + left % 10);
	while ((left /= 10) != 0);
	if (number < 0)
		digits[--at] = '-';
	line_add(l, digits + at, sizeof(digits) - at);
}

/* Nothing but these stands unquoted: a value can't end its field, nor its line. */
static bool
is_plain(const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "-_.:/@+,%~[]";

	return *text != '\0' && text[strspn(text, plain)] == '\0';
}

/* TEXT in quotes, its bytes printable ASCII: nothing in a log can drive a terminal or look like
 * another line. */
static void
line_quoted(struct line *l, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	size_t left = LOG_VALUE_MAX_BYTES;

	line_str(l, "\"");
	for (; *text != '\0' && left > 0; text++, left--) {
		unsigned char c = (unsigned char)*text;
		if (c == '"' || c == '\\')
			line_add(l, (const char[]){ '\\', (char)c }, 2);
		else if (c == '\n')
			line_str(l, "\\n");
		else if (c < 0x20 || c > 0x7e)
			line_add(l, (const char[]){ '\\', 'x', hex[c >> 4], hex[c & 15] }, 4);
		else
			line_add(l, (const char *)text, 1);
	}
	line_str(l, *text == '\0' ? "\"" : "\"...");
}

static void
line_field(struct line *l, const struct log_field *f)
{
	line_str(l, " ");
	line_str(l, f->key);
	line_str(l, "=");
	if (f->text == NULL)
		line_number(l, f->number);
	else if (is_plain(f->text) && strlen(f->text) <= LOG_VALUE_MAX_BYTES)
		line_str(l, f->text);
	else
		line_quoted(l, f->text);
}

static void
line_time(struct line *l, int64_t utc_ms)
{
	char text[TIME_TEXT_BYTES];
	int64_t ms = utc_ms % SECOND_MS;
	const char fraction[] = { '.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10),
		(char)('0' + ms % 10) };

	time_print(utc_ms, text);
	line_add(l, text, strcspn(text, "Z"));
	line_add(l, fraction, sizeof(fraction));
	line_str(l, "Z ");
}

/* Under the lock. A log that can't be written to is no reason to stop the mail. */
static void
put_line(enum log_level level, const char *event, const struct log_field *fields)
{
	struct line l = { .len = 0 };
	size_t done = 0;

	if (out.journal) {
		line_str(&l, levels[level].journal);
	} else {
		line_time(&l, out.utc_ms());
		line_str(&l, levels[level].word);
		line_str(&l, " ");
	}
	if (out.who[0] != '\0') {
		line_str(&l, out.who);
		line_str(&l, ": ");
	}
	line_str(&l, event);
	for (; fields->key != NULL; fields++)
		line_field(&l, fields);
	l.at[l.len++] = '\n';
	while (done < l.len) {
		ssize_t n = write(out.fd, l.at + done, l.len - done);
		if (n <= 0)
			return;
		done += (size_t)n;
	}
}

/* Under the lock: is there room for one more line in this second? */
static bool
may_write(void)
{
	int64_t now_ms = out.mono_ms();

	if (now_ms - out.second_ms >= SECOND_MS || out.second_ms == 0) {
		unsigned long dropped = out.dropped;
		out.second_ms = now_ms;
		out.lines = 0;
		out.dropped = 0;
		if (dropped > 0)
			put_line(LEVEL_WARNING, "log-dropped",
			    (const struct log_field[]){ LOG_NUM("lines", dropped), { 0 } });
	}
	if (out.lines < LOG_LINES_PER_SECOND_MAX) {
		out.lines++;
		return true;
	}
	out.dropped++;
	return false;
}

void
log_write(enum log_level level, const char *event, const struct log_field *fields)
{
	if ((int)level > atomic_load_explicit(&log_level, memory_order_relaxed))
		return;
	(void)pthread_mutex_lock(&lock);
	if (may_write())
		put_line(level, event, fields);
	(void)pthread_mutex_unlock(&lock);
}

static bool
is_journal(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

void
log_open(const char *who, enum log_level level)
{
	size_t len = strlen(who);

	(void)pthread_mutex_lock(&lock);
	if (len >= sizeof(out.who))
		len = sizeof(out.who) - 1;
	memcpy(out.who, who, len);
	out.who[len] = '\0';
	out.journal = is_journal(out.fd);
	(void)pthread_mutex_unlock(&lock);
	log_set_level(level);
}

void
log_set_level(enum log_level level)
{
	atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

enum err
log_level_parse(const char *word, enum log_level *level)
{
	for (size_t i = 0; i < LEVELS; i++)
		if (strcmp(word, levels[i].word) == 0) {
			*level = (enum log_level)i;
			return OK;
		}
	return ERR_VALUE;
}

void
log_set_fd(int fd)
{
	(void)pthread_mutex_lock(&lock);
	out.fd = fd;
	out.journal = is_journal(fd);
	(void)pthread_mutex_unlock(&lock);
}

void
log_set_clocks(log_clock *mono_ms, log_clock *utc_ms)
{
	(void)pthread_mutex_lock(&lock);
	out.mono_ms = mono_ms != NULL ? mono_ms : own_mono_ms;
	out.utc_ms = utc_ms != NULL ? utc_ms : own_utc_ms;
	out.second_ms = 0;
	out.lines = 0;
	out.dropped = 0;
	(void)pthread_mutex_unlock(&lock);
}
