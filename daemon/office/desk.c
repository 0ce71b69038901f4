/* SPDX-License-Identifier: Apache-2.0 */
/* The desk: from a request to an act of the office or a view of the book, and
 * to an answer. Who asks, in which order and how fast is daemon/counter.c's;
 * what an act does is the office's; what a view shows is display.c's. */
#include "daemon/office/desk_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/conf.h"
#include "daemon/office/doctor.h"

const char *
officer_of(const struct turn *t)
{
	return turn_visitor(t)->name;
}

/* Views: a snapshot for one event. */

enum err
display_begin(struct desk *d, struct display *v)
{
	struct office *o = d->office;
	*v = (struct display){ .book = office_book(o),
		.directory = office_directory(o),
		.office = o,
		.me = office_config(o)->authority,
		.now_ms = loop_now(office_loop(o)).utc_ms };
	return store_read(book_store(v->book), &v->t);
}

void
display_end(struct display *v)
{
	store_end(v->t);
	v->t = NULL;
}

/* End T with E about the id that was asked for. */
void
fail_id(struct turn *t, enum err e, const char *id)
{
	if (e == ERR_NOT_FOUND)
		turn_fail(t, e,
		    "there is no message or exchange %s here; `citex inbox' and `citex sent' list "
		    "them",
		    id);
	else if (e == ERR_AMBIGUOUS)
		turn_fail(t, e, "%s fits more than one message: give more of the id", id);
	else if (e == ERR_MALFORMED)
		turn_fail(t, ERR_VALUE,
		    "`%s' is no id, nor the beginning of one: it is as 0193f3c2-1a2b", id);
	else
		turn_fail(t, e, "%s", "");
}

/* The message or exchange that TEXT names, in a view of its own. */
enum err
desk_find(struct desk *d, const char *text, struct id *out)
{
	CLEANUP(display_end) struct display v;
	enum err e = display_begin(d, &v);
	return e == OK ? book_find(v.book, v.t, text, out) : e;
}

/* Acts: what the office does is told to the officer when it is on disk. */

struct act *
act_new(struct desk *d, struct turn *t)
{
	struct act *a = xalloc(sizeof(*a));
	a->desk = d;
	a->turn = t;
	return a;
}

void
act_done(void *arg, enum err e, const char *words)
{
	struct act *a = arg;
	if (e == OK)
		turn_done(a->turn, OK);
	else
		turn_fail(a->turn, e, "%s", words);
	free(a);
}

static void
give_submitted(struct turn *t, const Citex__Submitted *s)
{
	Citex__Answer answer = CITEX__ANSWER__INIT;
	answer.what_case = CITEX__ANSWER__WHAT_SUBMITTED;
	answer.submitted = (Citex__Submitted *)(uintptr_t)s;
	turn_answer(t, &answer);
}

/* A refusal that is on record now: told as it was. */
struct refusal {
	struct turn *turn;
	enum err err;
	char words[WORDS_BYTES];
};

static void
refusal_recorded(void *arg, enum err e, const char *words)
{
	struct refusal *r = arg;
	(void)e; /* when the record fails, the office ends; what was refused stays refused */
	(void)words;
	turn_fail(r->turn, r->err, "%s", r->words);
	free(r);
}

/* What was asked: its name in the table, the message it is about, and for whom. */
static void
record_refusal(struct act *a, enum err e, const char *words)
{
	const Citex__Request *r = turn_request(a->turn);
	bool forward = r->what_case == CITEX__REQUEST__WHAT_FORWARD;
	struct refusal *refusal = xalloc(sizeof(*refusal));
	struct buffer what = { 0 };
	char *const *to = forward ? r->forward->to : r->submit->to;
	size_t count = forward ? r->forward->n_to : r->submit->n_to;
	refusal->turn = a->turn;
	refusal->err = e;
	(void)snprintf(refusal->words, sizeof(refusal->words), "%s", words);
	buffer_printf(&what, "%s: %s:", forward ? "forward" : r->submit->kind, err_name(e));
	for (size_t i = 0; i < count && i < 8; i++)
		buffer_printf(&what, " %s", to[i]);
	office_record(a->desk->office, officer_of(a->turn), "refused",
	    forward ? r->forward->message : r->submit->about, buffer_text(&what), refusal_recorded,
	    refusal);
	buffer_release(&what);
}

static void
act_submitted(void *arg, enum err e, const char *words, const Citex__Submitted *s)
{
	struct act *a = arg;
	if (e == OK)
		give_submitted(a->turn, s);
	else if (e == ERR_HANDLING || e == ERR_DENIED)
		record_refusal(a, e, words);
	else
		turn_fail(a->turn, e, "%s", words);
	free(a);
}

static void
run_put(void *arg, struct turn *t, const Citex__Request *r)
{
	struct desk *d = arg;
	office_put(d->office, turn_visitor(t)->visit, r->put, act_done, act_new(d, t));
}

static void
run_submit(void *arg, struct turn *t, const Citex__Request *r)
{
	struct desk *d = arg;
	office_submit(d->office, r->submit, officer_of(t), act_submitted, act_new(d, t));
}

static void
run_forward(void *arg, struct turn *t, const Citex__Request *r)
{
	struct desk *d = arg;
	office_forward(d->office, r->forward, officer_of(t), act_submitted, act_new(d, t));
}

static void
run_withdraw(void *arg, struct turn *t, const Citex__Request *r)
{
	struct desk *d = arg;
	struct id id;
	enum err e = desk_find(d, r->withdraw->id, &id);
	if (e != OK) {
		fail_id(t, e, r->withdraw->id);
		return;
	}
	office_withdraw(d->office, id, officer_of(t), act_done, act_new(d, t));
}

/* Showing one thing. */

void
answer_item(struct turn *t, Citex__Item *item)
{
	Citex__Answer a = CITEX__ANSWER__INIT;
	a.what_case = CITEX__ANSWER__WHAT_ITEM;
	a.item = item;
	turn_answer(t, &a);
	proto_wipe(&item->base);
}

/* It is on record that the officer reads this; now it may be read. */
static void
shown(void *arg, enum err e, const char *words)
{
	struct act *a = arg;
	struct display v = { 0 };
	Citex__Item *item = NULL;
	if (e != OK) {
		turn_fail(a->turn, e, "%s", words);
		free(a);
		return;
	}
	e = display_begin(a->desk, &v);
	if (e == OK)
		e = display_item(&v, a->id, &item);
	display_end(&v);
	if (e == OK)
		answer_item(a->turn, item);
	else
		turn_fail(a->turn, e, "%s", "");
	free(a);
}

/* Is the message ID one that came in? */
enum err
desk_is_incoming(struct desk *d, struct id id, bool *out)
{
	CLEANUP(display_end) struct display v = { 0 };
	CLEANUP(proto_wipe_drop) Citex__BookMessage *m = NULL;
	enum err e = display_begin(d, &v);
	if (e == OK)
		e = book_message(v.book, v.t, id, &m);
	if (e == OK)
		*out = !m->outgoing;
	return e;
}

static void
run_show(void *arg, struct turn *t, const Citex__Request *r)
{
	struct desk *d = arg;
	struct act *a;
	struct id id;
	bool incoming = false;
	char text[ID_TEXT_BYTES];
	enum err e = desk_find(d, r->show->id, &id);
	if (e == OK)
		e = desk_is_incoming(d, id, &incoming);
	if (e != OK) {
		fail_id(t, e, r->show->id);
		return;
	}
	a = act_new(d, t);
	a->id = id;
	id_print(id, text);
	if (incoming && !r->show->quiet)
		office_shown(d->office, id, officer_of(t), shown, a);
	else
		office_record(d->office, officer_of(t), "looked", text, "", shown, a);
}

static void
run_track(void *arg, struct turn *t, const Citex__Request *r)
{
	struct desk *d = arg;
	Citex__Answer a = CITEX__ANSWER__INIT;
	CLEANUP(display_end) struct display v = { 0 };
	CLEANUP(proto_wipe_drop) Citex__Tracking *tracking = NULL;
	struct id id;
	enum err e = display_begin(d, &v);
	if (e == OK)
		e = book_find(v.book, v.t, r->track->id, &id);
	if (e == OK)
		e = display_tracking(&v, id, &tracking);
	if (e != OK) {
		fail_id(t, e, r->track->id);
		return;
	}
	a.what_case = CITEX__ANSWER__WHAT_TRACKING;
	a.tracking = tracking;
	turn_answer(t, &a);
}

/* The exchange of the message ID, which may be its first. */
enum err
exchange_of(const struct display *v, struct id id, struct id *out)
{
	CLEANUP(proto_wipe_drop) Citex__BookMessage *m = NULL;
	enum err e = book_message(v->book, v->t, id, &m);
	if (e == ERR_NOT_FOUND) { /* an exchange whose first message is not here */
		*out = id;
		return OK;
	}
	return e == OK ? id_from_bytes(bytes_of_pb(m->exchange), out) : e;
}

static void
run_exchange(void *arg, struct turn *t, const Citex__Request *r)
{
	struct desk *d = arg;
	Citex__Answer a = CITEX__ANSWER__INIT;
	CLEANUP(display_end) struct display v = { 0 };
	CLEANUP(proto_wipe_drop) Citex__ExchangeView *x = NULL;
	struct id id;
	enum err e = display_begin(d, &v);
	if (e == OK)
		e = book_find(v.book, v.t, r->exchange->id, &id);
	if (e == OK)
		e = exchange_of(&v, id, &id);
	if (e == OK)
		e = display_exchange(&v, id, &x);
	if (e != OK) {
		fail_id(t, e, r->exchange->id);
		return;
	}
	a.what_case = CITEX__ANSWER__WHAT_EXCHANGE;
	a.exchange = x;
	turn_answer(t, &a);
}

/* The directory, in as many answers as it takes. */

struct directory_out {
	struct turn *turn;
	Citex__DirectoryView *view;
	size_t bytes;
};

static bool
directory_fits(const struct directory_authority *a, const char *filter)
{
	return filter[0] == '\0' || strcasestr(a->id, filter) != NULL ||
	    strcasestr(a->name, filter) != NULL || strcasestr(a->party, filter) != NULL;
}

static void
add_focal_point(Citex__AuthorityRow *row, const Citex__FocalPoint *p)
{
	char text[WORDS_BYTES];
	(void)snprintf(text, sizeof(text), "%s%s%s%s%s%s%s", p->name, p->title[0] ? ", " : "",
	    p->title, p->phone[0] ? ", " : "", p->phone, p->email[0] ? ", " : "", p->email);
	text_add(&row->focal_points, &row->n_focal_points, text);
}

static Citex__AuthorityRow *
authority_row(const struct directory_authority *a)
{
	Citex__AuthorityRow *row = message_new(&citex__authority_row__descriptor);
	text_set(&row->authority, a->id);
	text_set(&row->name, a->name);
	text_set(&row->node, a->node);
	for (size_t i = 0; i < a->card->n_roles; i++)
		text_add(&row->roles, &row->n_roles, a->card->roles[i]);
	for (size_t i = 0; i < a->card->n_languages; i++)
		text_add(&row->languages, &row->n_languages, a->card->languages[i]);
	for (size_t i = 0; i < a->card->n_kinds; i++) {
		char text[96];
		(void)snprintf(text, sizeof(text), "%s %u", a->card->kinds[i]->kind,
		    a->card->kinds[i]->version);
		text_add(&row->kinds, &row->n_kinds, text);
	}
	for (size_t i = 0; i < a->card->n_focal_points; i++)
		add_focal_point(row, a->card->focal_points[i]);
	return row;
}

static Citex__DirectoryView *
directory_head_view(const struct directory *dir, int64_t now_ms)
{
	Citex__DirectoryView *v = message_new(&citex__directory_view__descriptor);
	v->number = directory_number(dir);
	text_set_time(&v->date, (int64_t)directory_head(dir)->date);
	text_set_time(&v->fresh_until, (int64_t)directory_head(dir)->fresh_until);
	v->stale = directory_is_stale(dir, now_ms);
	return v;
}

static void
give_directory(struct turn *t, Citex__DirectoryView *v, bool more)
{
	Citex__Answer a = CITEX__ANSWER__INIT;
	a.what_case = CITEX__ANSWER__WHAT_DIRECTORY;
	a.directory = v;
	if (more)
		turn_more(t, &a);
	else
		turn_answer(t, &a);
	proto_wipe(&v->base);
}

static void
run_directory(void *arg, struct turn *t, const Citex__Request *r)
{
	struct desk *d = arg;
	const struct directory *dir = office_directory(d->office);
	int64_t now_ms = loop_now(office_loop(d->office)).utc_ms;
	const struct directory_authority *a;
	Citex__DirectoryView *view;
	size_t bytes = 0;
	if (dir == NULL) {
		turn_fail(t, ERR_DIRECTORY,
		    "this office has no directory yet: citex-pki directory install FILE");
		return;
	}
	view = directory_head_view(dir, now_ms);
	for (size_t i = 0; (a = directory_authority_at(dir, i)) != NULL; i++) {
		if (!directory_fits(a, r->directory->filter))
			continue;
		Citex__AuthorityRow *row = authority_row(a);
		size_t row_bytes = protobuf_c_message_get_packed_size(&row->base) + 8;
		if (bytes + row_bytes > PAGE_BYTES && bytes > 0) {
			give_directory(t, view, true);
			view = directory_head_view(dir, now_ms);
			bytes = 0;
		}
		bytes += row_bytes;
		message_add(&view->authorities, &view->n_authorities, row);
	}
	give_directory(t, view, false);
}

/* Watching: told until the visitor leaves. */

struct hearing {
	struct desk *desk;
	struct turn *turn;
	struct office_watch *watch;
	struct hearing *next;
};

static void
hearing_end(struct hearing *h)
{
	struct hearing **at = &h->desk->hearings;
	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	office_unwatch(h->watch);
	turn_done(h->turn, OK);
	free(h);
}

static void
hear(void *arg, Citex__Event *event)
{
	struct hearing *h = arg;
	Citex__Answer a = CITEX__ANSWER__INIT;
	if (turn_is_gone(h->turn) || turn_is_full(h->turn))
		return; /* gone: see below; full: who does not listen misses something */
	a.what_case = CITEX__ANSWER__WHAT_EVENT;
	a.event = event;
	turn_more(h->turn, &a);
}

static void
hearing_room(void *arg)
{
	struct hearing *h = arg;
	if (turn_is_gone(h->turn))
		hearing_end(h);
	else
		turn_when_room(h->turn, hearing_room, h);
}

static void
run_watch(void *arg, struct turn *t, const Citex__Request *r)
{
	struct desk *d = arg;
	struct hearing *h = xalloc(sizeof(*h));
	(void)r;
	h->desk = d;
	h->turn = t;
	h->next = d->hearings;
	d->hearings = h;
	h->watch = office_watch(d->office, hear, h);
	turn_when_room(t, hearing_room, h);
}

static void
examined(void *arg, const Citex__DoctorView *v)
{
	struct act *a = arg;
	Citex__Answer answer = CITEX__ANSWER__INIT;
	answer.what_case = CITEX__ANSWER__WHAT_DOCTOR;
	answer.doctor = (Citex__DoctorView *)(uintptr_t)v;
	turn_answer(a->turn, &answer);
	free(a);
}

static void
run_doctor(void *arg, struct turn *t, const Citex__Request *r)
{
	struct desk *d = arg;
	(void)r;
	doctor_run(d->office, examined, act_new(d, t));
}

/* What may be asked, and by whom. */
#define READ OFFICER_MAY_READ
#define WRITE (OFFICER_MAY_READ | OFFICER_MAY_WRITE)
static const struct counter_row requests[] = {
	{ CITEX__REQUEST__WHAT_PUT, "put", WRITE, false, run_put },
	{ CITEX__REQUEST__WHAT_SUBMIT, "submit", WRITE, false, run_submit },
	{ CITEX__REQUEST__WHAT_FORWARD, "forward", WRITE, false, run_forward },
	{ CITEX__REQUEST__WHAT_WITHDRAW, "withdraw", WRITE, false, run_withdraw },
	{ CITEX__REQUEST__WHAT_LIST, "list", READ, false, run_list },
	{ CITEX__REQUEST__WHAT_SHOW, "show", READ, false, run_show },
	{ CITEX__REQUEST__WHAT_EXCHANGE, "exchange", READ, false, run_exchange },
	{ CITEX__REQUEST__WHAT_TRACK, "track", READ, false, run_track },
	{ CITEX__REQUEST__WHAT_FETCH, "fetch", READ, false, run_fetch },
	{ CITEX__REQUEST__WHAT_EXPORT, "export", READ, false, run_export },
	{ CITEX__REQUEST__WHAT_QUARANTINE, "quarantine", READ, false, run_quarantine },
	{ CITEX__REQUEST__WHAT_DIRECTORY, "directory", READ, false, run_directory },
	{ CITEX__REQUEST__WHAT_WATCH, "watch", READ, true, run_watch },
	{ CITEX__REQUEST__WHAT_STATUS, "status", READ, false, run_status },
	{ CITEX__REQUEST__WHAT_DOCTOR, "doctor", READ, false, run_doctor },
	{ 0 },
};

static bool
who(void *arg, uid_t user, struct visitor *out)
{
	const struct desk *d = arg;
	const struct office_config *c = office_config(d->office);
	for (size_t i = 0; i < c->officer_count; i++) {
		if (c->officers[i].user != user)
			continue;
		(void)snprintf(out->name, sizeof(out->name), "%s", c->officers[i].name);
		out->may = c->officers[i].may;
		return true;
	}
	return false;
}

static void
left(void *arg, const struct visitor *v)
{
	const struct desk *d = arg;
	office_visit_ended(d->office, v->visit);
}

enum err
desk_new(struct office *o, int fd, struct desk **out)
{
	struct desk *d = xalloc(sizeof(*d));
	struct counter_rules rules = { d->whose, requests, who, d, left };
	d->office = o;
	(void)snprintf(d->whose, sizeof(d->whose), "the office of %s", office_config(o)->authority);
	d->counter = counter_new(office_loop(o), fd, &rules);
	*out = d;
	return OK;
}

struct counter_figures
desk_figures(const struct desk *d)
{
	return counter_figures(d->counter);
}

void
desk_free(struct desk *d)
{
	if (d == NULL)
		return;
	while (d->hearings != NULL)
		hearing_end(d->hearings);
	walks_end(d);
	counter_free(d->counter);
	fetches_end(d);
	free(d);
}
