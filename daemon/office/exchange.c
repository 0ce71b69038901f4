/* SPDX-License-Identifier: Apache-2.0 */
/* The life of an exchange, as a function. Paragraphs are those of Conf. 11.3. */
#include "daemon/office/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "proto/words.h"

static void
add_clock(struct exchange *x, const struct exchange_message *m, const struct exchange_asked *a)
{
	struct exchange_clock *c;

	x->clocks = xgrow(x->clocks, x->clock_count + 1, sizeof(*x->clocks));
	c = &x->clocks[x->clock_count++];
	*c = (struct exchange_clock){ .message = m->id,
		.authority = a->authority,
		.to = m->author,
		.start_ms = a->stored_ms,
		.ended = a->ended,
		.rule = m->rule,
		.paragraph = m->kind->paragraph };
	/* 3(c): the two weeks begin where both sides hold the receipt; before it nothing is due */
	if (a->stored_ms != 0)
		c->due_ms = clock_due_ms(a->stored_ms, m->rule);
}

/* Does M speak of the message that C waits for? An answer names it, or the exchange has only that
 * one. */
static bool
speaks_of(
    const struct exchange *x, const struct exchange_clock *c, const struct exchange_message *m)
{
	if (strcmp(c->authority, m->author) != 0)
		return false;
	return m->has_about ? id_equal(m->about, c->message) : x->clock_count == 1;
}

/* Was M not here by the day that C names? A message may be dated back by its author; when our node
 * stored it is known. */
static bool
is_late(const struct exchange_clock *c, const struct exchange_message *m)
{
	return c->due_ms != 0 && (m->created_ms > c->due_ms || m->arrived_ms > c->due_ms);
}

static void
extend(struct exchange_clock *c, const struct exchange_message *m)
{
	if (c->answered_ms != 0 && m->created_ms > c->answered_ms)
		return; /* what is answered waits for nothing */
	/* 3(c), 21(a): an interim answer moves the date, never earlier, and hides nothing that was
	 * late */
	if (is_late(c, m))
		c->was_overdue = true;
	if (m->until_ms > c->until_ms)
		c->until_ms = m->until_ms;
	if (c->due_ms != 0)
		c->due_ms = clock_extended_ms(c->due_ms, m->until_ms);
}

static void
stop(struct exchange_clock *c, const struct exchange_message *m)
{
	if (c->answered_ms != 0)
		return;
	c->answered_ms = m->created_ms;
	if (is_late(c, m))
		c->was_overdue = true;
}

static void
apply(struct exchange *x, const struct exchange_message *m)
{
	for (size_t i = 0; i < x->clock_count; i++) {
		struct exchange_clock *c = &x->clocks[i];
		if (!speaks_of(x, c, m))
			continue;
		if (m->kind->effect == EFFECT_EXTENDS)
			extend(c, m);
		if (m->kind->effect == EFFECT_ANSWERS && m->is_final)
			stop(c, m);
		/* `cannot tell' is an answer that does not end the wait, and may name a date */
		if (m->kind->effect == EFFECT_ANSWERS && !m->is_final && m->until_ms != 0)
			extend(c, m);
	}
}

/* Nothing is owed any more in a closed exchange; what was late stays so. */
static void
close_all(struct exchange *x, const struct exchange_message *m)
{
	x->status = EXCHANGE_CLOSED;
	x->outcome = m->outcome;
	for (size_t i = 0; i < x->clock_count; i++) {
		struct exchange_clock *c = &x->clocks[i];
		if (c->answered_ms != 0 || c->ended)
			continue;
		c->ended = true;
		if (is_late(c, m))
			c->was_overdue = true;
	}
}

/* Whose exchange it is: NULL when its first message is not here. */
static const char *
beginner(const struct exchange_message *messages, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (messages[i].begins)
			return messages[i].author;
	}
	return NULL;
}

static bool
has_effect(const struct exchange_message *m, enum kind_effect effect)
{
	return m->kind != NULL && m->kind->effect == effect;
}

static void
settle(struct exchange *x, int64_t now_ms)
{
	bool open = false;

	for (size_t i = 0; i < x->clock_count; i++) {
		struct exchange_clock *c = &x->clocks[i];
		open = open || (c->answered_ms == 0 && !c->ended);
		if (exchange_clock_is_overdue(c, now_ms))
			c->was_overdue = true;
	}
	if (x->status == EXCHANGE_OPEN && x->clock_count > 0 && !open)
		x->status = EXCHANGE_ANSWERED;
}

void
exchange_fill(
    struct exchange *x, const struct exchange_message *messages, size_t count, int64_t now_ms)
{
	const char *owner = beginner(messages, count);

	*x = (struct exchange){ 0 };
	for (size_t i = 0; i < count; i++) {
		const struct exchange_message *m = &messages[i];
		for (size_t k = 0; has_effect(m, EFFECT_ASKS) && k < m->asked_count; k++)
			add_clock(x, m, &m->asked[k]);
	}
	for (size_t i = 0; i < count; i++) {
		if (messages[i].kind != NULL)
			apply(x, &messages[i]);
	}
	for (size_t i = 0; owner != NULL && i < count; i++) {
		const struct exchange_message *m = &messages[i];
		if (has_effect(m, EFFECT_CLOSES) && strcmp(m->author, owner) == 0)
			close_all(x, m);
	}
	settle(x, now_ms);
}

void
exchange_release(struct exchange *x)
{
	free(x->clocks);
	*x = (struct exchange){ 0 };
}

const char *
exchange_status_word(enum exchange_status s)
{
	static const char *const words[] = { "open", "answered", "closed" };

	return words[s];
}

bool
exchange_clock_is_overdue(const struct exchange_clock *c, int64_t now_ms)
{
	return c->answered_ms == 0 && !c->ended && c->due_ms != 0 && now_ms > c->due_ms;
}

bool
exchange_clock_is_due_soon(const struct exchange_clock *c, int64_t now_ms)
{
	return c->answered_ms == 0 && !c->ended && c->due_ms != 0 && now_ms <= c->due_ms &&
	    now_ms > c->due_ms - DUE_SOON_MS;
}

/* The clock that M, an answer, is about. */
static const struct exchange_clock *
clock_for(const struct exchange *x, const struct exchange_message *m)
{
	for (size_t i = 0; i < x->clock_count; i++) {
		if (speaks_of(x, &x->clocks[i], m))
			return &x->clocks[i];
	}
	return NULL;
}

const char *
exchange_advice(const struct exchange *x, const struct exchange_message *m)
{
	const struct exchange_clock *c = clock_for(x, m);

	if (m->kind->effect == EFFECT_CLOSES)
		return x->status == EXCHANGE_CLOSED
		    ? N_("this was closed before: the newest closing is the one that counts")
		    : NULL;
	if (m->kind->effect != EFFECT_ANSWERS && m->kind->effect != EFFECT_EXTENDS)
		return NULL;
	if (x->status == EXCHANGE_CLOSED)
		return N_("this is closed: nobody waits for an answer any more");
	if (c == NULL)
		return NULL;
	if (c->answered_ms != 0)
		return N_("you have answered this before: both answers stand, and they see both");
	if (m->until_ms != 0 && c->due_ms != 0 &&
	    clock_extended_ms(c->due_ms, m->until_ms) == c->due_ms)
		return N_("the day this is due does not change: an interim answer moves it only to "
			  "a later one");
	return NULL;
}

int64_t
exchange_next_ms(const struct exchange *x, int64_t now_ms)
{
	int64_t next_ms = INT64_MAX;

	for (size_t i = 0; x->status != EXCHANGE_CLOSED && i < x->clock_count; i++) {
		const struct exchange_clock *c = &x->clocks[i];
		if (c->answered_ms == 0 && !c->ended && c->due_ms >= now_ms && c->due_ms < next_ms)
			next_ms = c->due_ms + 1;
	}
	return next_ms;
}
