/* SPDX-License-Identifier: Apache-2.0 */
/* Taking back what has not left. */
#include <stdlib.h>
#include <string.h>

#include "daemon/office/inside.h"
#include "proto/decode.h"

/* --- taking back --- */

struct withdraw_job {
	struct job job;
	struct office *office;
	struct id id;
	char *officer;
	int64_t now_ms;
	office_done *done;
	void *arg;
	const char *words;
};

/* FN for the envelope of each addressee that has one. */
static enum err
each_envelope(struct withdraw_job *w, struct txn *t, const Citex__BookMessage *m,
    enum err (*fn)(struct withdraw_job *w, struct txn *t, struct id envelope))
{
	enum err e = OK;

	for (unsigned i = 0; e == OK && i < m->addressee_count; i++) {
		Citex__BookAddressee *a = NULL;
		struct id envelope;
		e = book_addressee(w->office->book, t, w->id, i, &a);
		if (e == OK && a->reseals > 0) { /* they had it, unread */
			w->words = "it has left this office; send a note that corrects it";
			e = ERR_WRONG_STATE;
		}
		if (e == OK && id_from_bytes(bytes_of_pb(a->envelope_id), &envelope) == OK)
			e = fn(w, t, envelope);
		proto_free((ProtobufCMessage *)a);
	}
	return e;
}

/* What was offered once may be on its way, answered or not, and whoever has died since. */
static enum err
is_still_here(struct withdraw_job *w, struct txn *t, struct id envelope)
{
	Citex__BookEnvelope *e = NULL;
	enum err err = book_envelope(w->office->book, t, envelope, &e);

	if (err == OK &&
	    (e->offered != 0 || !book_is_marked(w->office->book, t, LIST_UNSENT, envelope))) {
		w->words = "it has left this office, or may have; send a note that corrects it";
		err = ERR_WRONG_STATE;
	}
	proto_free((ProtobufCMessage *)e);
	return err;
}

static enum err
take_off_lists(struct withdraw_job *w, struct txn *t, struct id envelope)
{
	enum err e = book_unmark(w->office->book, t, LIST_UNSENT, envelope);

	return e == OK ? book_unmark(w->office->book, t, LIST_WAITING, envelope) : e;
}

static enum err
withdraw_run(struct job *j, struct txn *t)
{
	struct withdraw_job *w = (struct withdraw_job *)j;
	struct book *b = w->office->book;
	Citex__BookMessage *m = NULL;
	char text[ID_TEXT_BYTES];
	enum err e = book_message(b, t, w->id, &m);

	id_print(w->id, text);
	if (e == OK && (!m->outgoing || m->withdrawn)) {
		w->words = m->outgoing ? "it was withdrawn before"
				       : "only a message of yours can be withdrawn";
		e = ERR_WRONG_STATE;
	}
	/* checked before anything is written: a batch keeps what a refused job wrote */
	if (e == OK)
		e = each_envelope(w, t, m, is_still_here);
	if (e == OK)
		e = each_envelope(w, t, m, take_off_lists);
	if (e == OK)
		e = book_unmark(b, t, LIST_UNSEALED, w->id);
	if (e == OK) {
		m->withdrawn = true;
		e = book_put_message(b, t, m, false);
	}
	proto_wipe((ProtobufCMessage *)m);
	return e == OK ? book_audit(b, t, w->now_ms, w->officer, "withdraw", text, "") : e;
}

static void
withdraw_done(struct job *j, enum err result)
{
	struct withdraw_job *w = (struct withdraw_job *)j;

	w->done(w->arg, result, w->words != NULL ? w->words : "");
	if (result == OK)
		tell_watches(w->office, "state", w->id, "", "", "withdrawn");
	free(w->officer);
	free(w);
}

void
office_withdraw(
    struct office *o, struct id message, const char *officer, office_done *done, void *arg)
{
	struct withdraw_job *w = xalloc(sizeof(*w));

	*w = (struct withdraw_job){ { withdraw_run, withdraw_done, OK, NULL }, o, message,
		xstrdup(officer), loop_now(o->loop).utc_ms, done, arg, NULL };
	office_submit_job(o, &w->job);
}
