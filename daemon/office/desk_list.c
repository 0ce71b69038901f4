/* SPDX-License-Identifier: Apache-2.0 */
/* Listings of the desk. Long walks over the book (boxes, search, what is due)
 * go in steps, each with a snapshot of its own, so that the loop never waits
 * for one; what changes between two steps may be missed or seen twice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "daemon/conf.h"
#include "daemon/office/desk_inside.h"

#define STEP_MESSAGES 200 /* looked at before others are served */
#define ROW_MAX_BYTES (16 * KIB)
#define LIST_DEFAULT 200
#define EXCHANGES_MAX 10000 /* looked at for what is due */

/* Walks over boxes, newest first: listings, search, what is due, how many are new. */

struct walk {
	struct desk *desk;
	struct turn *turn;
	struct walk *next;
	enum box boxes[2];
	size_t box_count, box;
	struct id after; /* the last one looked at in this box; zero: none */
	uint32_t limit;
	const char *search; /* the turn's; "" for all */
	bool unread;
	/* Take the message ID, which fits. ERR_TOO_MANY: no more. */
	enum err (*take)(struct walk *w, const struct display *v, struct id id);
	void (*finish)(struct walk *w);
	Citex__Listing *listing;
	size_t bytes; /* of its rows */
	struct id *found; /* of the step under way */
	size_t found_count;
	size_t looked;
};

static void
walk_free(struct walk *w)
{
	struct walk **at = w->desk != NULL ? &w->desk->walks : NULL;
	while (at != NULL && *at != w)
		at = &(*at)->next;
	if (at != NULL)
		*at = w->next;
	if (w->listing != NULL)
		proto_wipe(&w->listing->base);
	free(w->found);
	free(w);
}

static struct walk *
walk_new(struct desk *d, struct turn *t)
{
	struct walk *w = xalloc(sizeof(*w));
	w->desk = d;
	w->turn = t;
	w->search = "";
	w->next = d->walks;
	d->walks = w;
	return w;
}

/* Gather what fits, and stop after so many. */
static bool
walk_look(void *arg, const Citex__BookMessage *m)
{
	struct walk *w = arg;
	struct id id;
	if (id_from_bytes(bytes_of_pb(m->id), &id) != OK)
		return true;
	w->after = id;
	w->looked++;
	if ((!w->unread || m->new_) && (w->search[0] == '\0' || display_matches(m, w->search))) {
		w->found = xgrow(w->found, w->found_count + 1, sizeof(*w->found));
		w->found[w->found_count++] = id;
	}
	return w->looked < STEP_MESSAGES;
}

static void
walk_end(struct walk *w, enum err e)
{
	if (e != OK)
		turn_fail(w->turn, e, "%s", "");
	else
		w->finish(w);
	walk_free(w);
}

static void
walk_step(void *arg)
{
	struct walk *w = arg;
	struct display v = { 0 };
	enum err e;
	if (w->desk == NULL || turn_is_gone(w->turn)) {
		walk_end(w, ERR_CLOSED);
		return;
	}
	w->looked = w->found_count = 0;
	e = display_begin(w->desk, &v);
	if (e == OK)
		e = book_list(v.book, v.t, w->boxes[w->box], w->after, walk_look, w);
	for (size_t i = 0; e == OK && i < w->found_count; i++)
		e = w->take(w, &v, w->found[i]);
	display_end(&v);
	if (e == OK && w->looked < STEP_MESSAGES) { /* the end of this box */
		w->box++;
		w->after = (struct id){ 0 };
	}
	if (e == ERR_TOO_MANY) /* enough */
		e = OK;
	else if (e == OK && w->box < w->box_count) {
		loop_defer(office_loop(w->desk->office), walk_step, w);
		return;
	}
	walk_end(w, e);
}

static enum err
take_row(struct walk *w, const struct display *v, struct id id)
{
	Citex__MessageRow *row = NULL;
	size_t bytes;
	enum err e;
	if (w->listing->n_messages >= w->limit) {
		w->listing->more = true;
		return ERR_TOO_MANY;
	}
	e = display_row(v, id, &row);
	if (e != OK)
		return e;
	bytes = protobuf_c_message_get_packed_size(&row->base) + 8;
	if (w->bytes + bytes > PAGE_BYTES) {
		w->listing->more = true;
		proto_wipe(&row->base);
		return ERR_TOO_MANY;
	}
	w->bytes += bytes;
	message_add(&w->listing->messages, &w->listing->n_messages, row);
	return OK;
}

static void
finish_listing(struct walk *w)
{
	Citex__Answer a = CITEX__ANSWER__INIT;
	a.what_case = CITEX__ANSWER__WHAT_LISTING;
	a.listing = w->listing;
	turn_answer(w->turn, &a);
}

/* Where to go on: after the message AFTER, in its own box. */
static enum err
start_after(struct desk *d, struct walk *w, const char *after)
{
	bool incoming = false;
	enum err e;
	if (after[0] == '\0')
		return OK;
	e = id_parse(after, &w->after);
	if (e == OK)
		e = desk_is_incoming(d, w->after, &incoming);
	if (e != OK)
		return e;
	while (w->box < w->box_count && w->boxes[w->box] != (incoming ? BOX_INBOX : BOX_SENT))
		w->box++;
	return w->box < w->box_count ? OK : ERR_VALUE;
}

static void
list_messages(
    struct desk *d, struct turn *t, const Citex__List *l, const enum box *boxes, size_t box_count)
{
	struct walk *w = walk_new(d, t);
	enum err e;
	memcpy(w->boxes, boxes, box_count * sizeof(*boxes));
	w->box_count = box_count;
	w->limit = l->limit == 0 ? LIST_DEFAULT : l->limit;
	if (w->limit > LIST_PAGE_MAX)
		w->limit = LIST_PAGE_MAX;
	w->search = l->search;
	w->unread = l->unread;
	w->take = take_row;
	w->finish = finish_listing;
	w->listing = message_new(&citex__listing__descriptor);
	e = start_after(d, w, l->after);
	if (e == OK)
		walk_step(w);
	else
		walk_end(w, e);
}

/* What is due: in the exchanges that have a clock. */

struct due_gathering {
	struct id *exchanges;
	size_t count;
};

static bool
gather_exchange(void *arg, struct id exchange)
{
	struct due_gathering *g = arg;
	g->exchanges = xgrow(g->exchanges, g->count + 1, sizeof(*g->exchanges));
	g->exchanges[g->count++] = exchange;
	return g->count < EXCHANGES_MAX;
}

static enum err
gather_due(const struct display *v, Citex__DueList *due)
{
	struct due_gathering g = { 0 };
	enum err e = book_each_marked(v->book, v->t, LIST_CLOCKS, gather_exchange, &g);
	for (size_t i = 0; e == OK && i < g.count; i++)
		e = display_due(v, g.exchanges[i], due);
	free(g.exchanges);
	display_due_sort(due);
	return e;
}

static void
list_due(struct desk *d, struct turn *t)
{
	CLEANUP(proto_wipe_drop) Citex__DueList *due = message_new(&citex__due_list__descriptor);
	CLEANUP(display_end) struct display v = { 0 };
	Citex__Answer a = CITEX__ANSWER__INIT;
	enum err e = display_begin(d, &v);
	if (e == OK)
		e = gather_due(&v, due);
	if (e != OK) {
		turn_fail(t, e, "%s", "");
		return;
	}
	a.what_case = CITEX__ANSWER__WHAT_DUE;
	a.due = due;
	while (protobuf_c_message_get_packed_size(&a.base) > FRAME_MAX_BYTES - 64)
		proto_wipe(&due->due[--due->n_due]->base); /* the most urgent stay */
	turn_answer(t, &a);
}

/* Quarantine: envelopes, not messages. */

struct quarantine_list {
	Citex__Listing *listing;
	const char *me;
	uint32_t limit;
	size_t bytes;
};

static Citex__MessageRow *
quarantine_row(struct id envelope, const Citex__BookQuarantined *q, const char *me)
{
	Citex__MessageRow *row = message_new(&citex__message_row__descriptor);
	char id[ID_TEXT_BYTES], words[WORDS_BYTES];
	id_print(envelope, id);
	text_set(&row->id, id);
	text_set(&row->from, q->author);
	text_add(&row->to, &row->n_to, me);
	text_set_time(&row->time, (int64_t)q->time);
	text_set(&row->state, "quarantined");
	(void)snprintf(words, sizeof(words), "%s", q->words);
	text_set(&row->subject, words);
	text_set(&row->reason, q->reason);
	return row;
}

static bool
add_quarantined(void *arg, struct id envelope, const Citex__BookQuarantined *q)
{
	struct quarantine_list *list = arg;
	Citex__MessageRow *row;
	if (list->listing->n_messages >= list->limit || list->bytes > PAGE_BYTES - ROW_MAX_BYTES) {
		list->listing->more = true;
		return false;
	}
	row = quarantine_row(envelope, q, list->me);
	list->bytes += protobuf_c_message_get_packed_size(&row->base) + 8;
	message_add(&list->listing->messages, &list->listing->n_messages, row);
	return true;
}

static void
list_quarantine(struct desk *d, struct turn *t, const Citex__List *l)
{
	CLEANUP(proto_wipe_drop) Citex__Listing *listing = NULL;
	CLEANUP(display_end) struct display v = { 0 };
	Citex__Answer a = CITEX__ANSWER__INIT;
	struct quarantine_list list = { .limit = l->limit == 0 ? LIST_DEFAULT : l->limit };
	enum err e = display_begin(d, &v);
	listing = list.listing = message_new(&citex__listing__descriptor);
	list.me = v.me;
	if (e == OK)
		e = book_each_quarantined(v.book, v.t, add_quarantined, &list);
	if (e != OK) {
		turn_fail(t, e, "%s", "");
		return;
	}
	a.what_case = CITEX__ANSWER__WHAT_LISTING;
	a.listing = listing;
	turn_answer(t, &a);
}

void
run_list(void *arg, struct turn *t, const Citex__Request *r)
{
	static const enum box inbox[] = { BOX_INBOX }, sent[] = { BOX_SENT },
			      both[] = { BOX_INBOX, BOX_SENT };
	struct desk *d = arg;
	const Citex__List *l = r->list;
	if (strcmp(l->box, "inbox") == 0)
		list_messages(d, t, l, inbox, 1);
	else if (strcmp(l->box, "sent") == 0)
		list_messages(d, t, l, sent, 1);
	else if (l->box[0] == '\0')
		list_messages(d, t, l, both, 2);
	else if (strcmp(l->box, "due") == 0)
		list_due(d, t);
	else if (strcmp(l->box, "quarantine") == 0)
		list_quarantine(d, t, l);
	else
		turn_fail(t, ERR_VALUE, "there is no box `%s'", l->box);
}

struct quarantine_find {
	struct id low, high, found;
	size_t count;
	Citex__MessageRow *row; /* of the last one found */
	const char *me;
};

static bool
match_quarantined(void *arg, struct id envelope, const Citex__BookQuarantined *q)
{
	struct quarantine_find *f = arg;
	if (memcmp(envelope.at, f->low.at, ID_BYTES) < 0 ||
	    memcmp(envelope.at, f->high.at, ID_BYTES) > 0)
		return true;
	f->found = envelope;
	if (f->count++ == 0)
		f->row = quarantine_row(envelope, q, f->me);
	return f->count < 2;
}

static enum err
find_quarantined(struct desk *d, const char *text, struct quarantine_find *f)
{
	CLEANUP(display_end) struct display v = { 0 };
	enum err e = id_prefix(text, &f->low, &f->high);
	if (e == OK)
		e = display_begin(d, &v);
	f->me = v.me;
	if (e == OK)
		e = book_each_quarantined(v.book, v.t, match_quarantined, f);
	if (e == OK && f->count != 1)
		e = f->count == 0 ? ERR_NOT_FOUND : ERR_AMBIGUOUS;
	return e;
}

static void
show_quarantined(struct turn *t, Citex__MessageRow *row)
{
	Citex__Item *item = message_new(&citex__item__descriptor);
	item->message = row;
	answer_item(t, item);
}

void
run_quarantine(void *arg, struct turn *t, const Citex__Request *r)
{
	struct desk *d = arg;
	const Citex__Quarantine *q = r->quarantine;
	struct quarantine_find f = { 0 };
	bool show = strcmp(q->action, "show") == 0;
	bool retry = strcmp(q->action, "retry") == 0;
	enum err e;
	if (!show && (turn_visitor(t)->may & OFFICER_MAY_MANAGE) == 0) {
		turn_fail(t, ERR_DENIED,
		    "%s may look at quarantine but not act on it; the administrator can allow it "
		    "(may = manage)",
		    officer_of(t));
		return;
	}
	if (!show && !retry && strcmp(q->action, "drop") != 0) {
		turn_fail(t, ERR_VALUE, "quarantine knows no `%s'", q->action);
		return;
	}
	e = find_quarantined(d, q->id, &f);
	if (e == OK && show) {
		show_quarantined(t, f.row);
		return;
	}
	if (f.row != NULL)
		proto_wipe(&f.row->base);
	if (e != OK)
		fail_id(t, e, q->id);
	else if (retry)
		office_retry(d->office, f.found, officer_of(t), act_done, act_new(d, t));
	else
		office_drop(d->office, f.found, officer_of(t), act_done, act_new(d, t));
}

/* How the office is. */

static bool
count_id(void *arg, struct id id)
{
	(void)id;
	++*(uint64_t *)arg;
	return true;
}

static void
give_status(struct walk *w)
{
	struct desk *d = w->desk;
	const struct office_config *c = office_config(d->office);
	Citex__Answer a = CITEX__ANSWER__INIT;
	CLEANUP(proto_wipe_drop)
	Citex__StatusView *s = message_new(&citex__status_view__descriptor);
	CLEANUP(proto_wipe_drop) Citex__DueList *due = message_new(&citex__due_list__descriptor);
	CLEANUP(display_end) struct display v = { 0 };
	uint8_t head[DIGEST_BYTES];
	if (display_begin(d, &v) != OK ||
	    book_each_marked(v.book, v.t, LIST_UNSEALED, count_id, &s->queued) != OK ||
	    book_each_marked(v.book, v.t, LIST_UNSENT, count_id, &s->queued) != OK ||
	    gather_due(&v, due) != OK) {
		turn_fail(w->turn, ERR_IO, "the office's store cannot be read; see citexd's log");
		return;
	}
	text_set(&s->authority, c->authority);
	text_set(&s->node, c->node);
	text_set(&s->version, PACKAGE_VERSION);
	s->directory = v.directory != NULL ? directory_number(v.directory) : 0;
	s->new_ = w->bytes;
	for (size_t i = 0; i < due->n_due; i++)
		s->overdue += due->due[i]->overdue ? 1 : 0;
	s->quarantined = book_count(v.book, v.t, BOX_QUARANTINE);
	if (book_audit_head(v.book, v.t, &s->audit_count, head) != OK)
		s->audit_count = 0;
	s->store_bytes = store_used_bytes(book_store(v.book));
	s->store_limit_bytes = store_limit_bytes(book_store(v.book));
	s->post = office_has_post(d->office);
	for (const char *const *alarm = office_alarms(d->office); alarm != NULL && *alarm != NULL;
	     alarm++)
		text_add(&s->alarms, &s->n_alarms, *alarm);
	a.what_case = CITEX__ANSWER__WHAT_STATUS;
	a.status = s;
	turn_answer(w->turn, &a);
}

/* Counts what is new, in BYTES. */
static enum err
take_new(struct walk *w, const struct display *v, struct id id)
{
	(void)v;
	(void)id;
	w->bytes++;
	return OK;
}

void
run_status(void *arg, struct turn *t, const Citex__Request *r)
{
	struct desk *d = arg;
	struct walk *w = walk_new(d, t);
	(void)r;
	w->boxes[0] = BOX_INBOX;
	w->box_count = 1;
	w->unread = true;
	w->take = take_new;
	w->finish = give_status;
	walk_step(w);
}

void
walks_end(struct desk *d)
{
	for (struct walk *w = d->walks; w != NULL; w = w->next)
		w->desk = NULL; /* ends at its next step */
}
