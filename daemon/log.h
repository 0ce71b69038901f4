/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <stdint.h>

#include "proto/error.h"

/* Events, not prose: `event key=value key="va lue"', one line for each change,
 * always with the id it is about, so that grep tells its whole life. Text is
 * escaped here and only here; never plaintext of a message, never a secret. To
 * standard error, or the journal when it is there. At most 100 lines a second;
 * what was dropped is counted in a line. Thread safe. */
enum log_level { LEVEL_ERROR, LEVEL_WARNING, LEVEL_INFO, LEVEL_DEBUG };

struct log_field {
	const char *key; /* NULL ends */
	const char *text; /* NULL: NUMBER counts */
	int64_t number;
};
#define LOG_TEXT(key, text) ((struct log_field){ key, text, 0 })
#define LOG_NUM(key, number) ((struct log_field){ key, NULL, (int64_t)(number) })
#define LOG_ERR(e) LOG_TEXT("error", err_name(e))

/* log_event(LEVEL_INFO, "stored", LOG_TEXT("envelope", id), LOG_TEXT("peer", peer)); */
#define log_event(level, event, ...) \
	log_write(level, event, (const struct log_field[]){ __VA_ARGS__, { 0 } })
void log_write(enum log_level level, const char *event, const struct log_field *fields);

/* WHO stands in each line: "post ke", "office ke.ma". Copied. */
void log_open(const char *who, enum log_level level);
void log_set_level(enum log_level level);
/* "error", "warning", "info", "debug"; ERR_VALUE. */
enum err log_level_parse(const char *word, enum log_level *out) MUST_CHECK;
/* Where lines go (standard error at first). */
void log_set_fd(int fd);
/* Other clocks than the system's, for tests and the simulator; NULL: the system's. */
typedef int64_t log_clock(void);
void log_set_clocks(log_clock *mono_ms, log_clock *utc_ms);

#endif
