/* SPDX-License-Identifier: Apache-2.0 */
/* Checks in words that an officer can act on. The ways are tested by the post,
 * a few at a time; the clock is judged by what the other nodes say of theirs:
 * the middle of all differences, so that one wrong clock elsewhere is not ours. */
#include "daemon/office/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/office/display.h"
#include "proto/words.h"

#define PROBES_AT_ONCE 16
#define CERTIFICATE_WARN_MS (30 * DAY_MS)
#define CLOCK_WRONG_MS (60 * SECOND_MS)
#define WORDS_BYTES 400

struct examination {
	struct office *office;
	Citex__DoctorView *view;
	void (*done)(void *arg, const Citex__DoctorView *v);
	void *arg;
	size_t next; /* node of the directory */
	struct directory *directory; /* referenced; NULL: none */
	unsigned waiting; /* probes */
	int64_t *offsets_ms; /* of other clocks to ours */
	size_t offset_count;
	bool stepping;
};

PRINTF(5, 6)
static void
add(struct examination *x, const char *what, bool good, const char *mend, const char *fmt, ...)
{
	Citex__Check *c = message_new(&citex__check__descriptor);
	char reason[WORDS_BYTES];
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	text_set(&c->what, what);
	c->good = good;
	text_set(&c->reason, reason);
	text_set(&c->mend, good ? "" : mend);
	message_add(&x->view->checks, &x->view->n_checks, c);
}

static int64_t
now_ms(struct examination *x)
{
	return loop_now(office_loop(x->office)).utc_ms;
}

static void
check_post(struct examination *x)
{
	bool good = office_has_post(x->office);
	add(x, N_("post"), good, N_("start citexd again; if it stays, its log says why"), "%s",
	    good ? N_("connected") : N_("not connected: nothing leaves and nothing comes in"));
}

static void
check_directory(struct examination *x)
{
	char date[TIME_TEXT_BYTES];
	if (x->directory == NULL) {
		add(x, N_("directory"), false,
		    N_("get the directory file from the Secretariat: citex-pki directory install "
		       "FILE"),
		    N_("there is none: nobody can be written to"));
		return;
	}
	bool stale = directory_is_stale(x->directory, now_ms(x));
	date_print((int64_t)directory_head(x->directory)->fresh_until, date);
	add(x, N_("directory"), !stale,
	    N_("ask the Secretariat for a new one: citex-pki directory install FILE"),
	    N_("number %llu, fresh until %s%s"), (unsigned long long)directory_number(x->directory),
	    date, stale ? N_(": past its time, no new key is accepted") : "");
}

/* Is one of ours in the directory, live, and for how long? KEYS are the directory's. */
static void
check_keys(struct examination *x, const char *what, const struct office_key *ours, size_t our_count,
    const struct directory_key *keys, size_t count)
{
	const struct cert *c = our_count > 0 ? ours[our_count - 1].cert : NULL;
	const struct directory_key *listed = NULL;
	char until[TIME_TEXT_BYTES];
	if (c == NULL) {
		add(x, what, false, N_("make them: citex-pki authority"), N_("there is no key"));
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (memcmp(cert_key_id(keys[i].cert), cert_key_id(c), KEY_ID_BYTES) == 0)
			listed = &keys[i];
	}
	date_print(cert_until_ms(c), until);
	if (listed == NULL)
		add(x, what, false,
		    N_("send the card to the Secretariat (citex-pki card), and install the next "
		       "directory"),
		    N_("the directory does not list our newest key"));
	else if (listed->revoked)
		add(x, what, false, N_("make a new one: citex-pki renew"),
		    N_("our newest key is revoked"));
	else
		add(x, what, cert_until_ms(c) > now_ms(x) + CERTIFICATE_WARN_MS,
		    N_("renew it in time (citex-pki renew), and send the card to the Secretariat"),
		    N_("valid until %s"), until);
}

/* The node's own: an office has not got them, but the directory has. */
static void
check_node(struct examination *x)
{
	const struct directory_node *n = x->directory == NULL
	    ? NULL
	    : directory_node(x->directory, office_config(x->office)->node);
	const struct directory_key *key;
	char until[TIME_TEXT_BYTES];

	if (x->directory == NULL)
		return;
	if (n == NULL || n->tls_count == 0) {
		add(x, N_("node's key"), false,
		    N_("send the node's card to the Secretariat (citex-pki card --node), and "
		       "install the next directory"),
		    N_("the directory does not list this node"));
		return;
	}
	key = &n->tls[n->tls_count - 1];
	date_print(cert_until_ms(key->cert), until);
	if (directory_key_usable(key, now_ms(x)) != OK)
		add(x, N_("node's key"), false,
		    N_("make a new one: citex-pki renew --node, and send the card to the "
		       "Secretariat"),
		    N_("%s: no other node lets this one in"),
		    key->revoked ? N_("revoked") : N_("its certificate has ended"));
	else
		add(x, N_("node's key"), cert_until_ms(key->cert) > now_ms(x) + CERTIFICATE_WARN_MS,
		    N_("renew it in time (citex-pki renew --node), and send the card to the "
		       "Secretariat"),
		    N_("valid until %s"), until);
}

static void
check_certificates(struct examination *x)
{
	const struct office_config *c = office_config(x->office);
	const struct directory_authority *a =
	    x->directory != NULL ? directory_authority(x->directory, c->authority) : NULL;
	check_keys(x, N_("signing key"), c->signing, c->signing_count,
	    a != NULL ? a->signing : NULL, a != NULL ? a->signing_count : 0);
	check_keys(x, N_("sealing key"), c->sealing, c->sealing_count,
	    a != NULL ? a->sealing : NULL, a != NULL ? a->sealing_count : 0);
}

static void
check_store(struct examination *x)
{
	struct store *s = book_store(office_book(x->office));
	uint64_t used = store_used_bytes(s), limit = store_limit_bytes(s);
	unsigned percent = limit > 0 ? (unsigned)(used * 100 / limit) : 0;
	add(x, N_("store"), !store_is_low(s),
	    N_("raise store-limit in the configuration, or make room on the disk"),
	    N_("%u %% of %llu MiB in use%s"), percent, (unsigned long long)(limit / MIB),
	    store_is_low(s) ? N_(": nothing new is accepted") : "");
}

static void
check_quarantine(struct examination *x)
{
	struct book *b = office_book(x->office);
	CLEANUP(store_end_drop) struct txn *t = NULL;
	uint64_t count;
	if (store_read(book_store(b), &t) != OK) {
		add(x, N_("store"), false, N_("see citexd's log"), N_("it cannot be read"));
		return;
	}
	count = book_count(b, t, BOX_QUARANTINE);
	add(x, N_("quarantine"), count == 0, N_("look at them: citex quarantine"),
	    count == 1 ? N_("%llu message") : N_("%llu messages"), (unsigned long long)count);
}

/* The Party, and the fingerprint that it must confirm. */
static void
check_held(struct examination *x)
{
	const struct cert *ca;
	const char *party;
	char fingerprint[80];

	for (size_t i = 0;
	     x->directory != NULL && (party = directory_held_at(x->directory, i, &ca)) != NULL;
	     i++) {
		cert_fingerprint(ca, fingerprint);
		add(x, N_("Party"), false,
		    N_("ask it by telephone for its CA's fingerprint; if it is this one, your "
		       "administrator enters it as confirmed-ca (citexd.conf)"),
		    N_("%s has another CA, which its old one did not vouch for: %s"), party,
		    fingerprint);
	}
}

static void
check_alarms(struct examination *x)
{
	for (const char *const *a = office_alarms(x->office); a != NULL && *a != NULL; a++)
		add(x, N_("alarm"), false, N_("tell your administrator"), "%s", *a);
}

static int
compare_offsets(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

static void
check_clock(struct examination *x)
{
	int64_t middle, off;
	if (x->offset_count == 0) {
		add(x, N_("clock"), true, "", N_("no other node was there to compare it with"));
		return;
	}
	qsort(x->offsets_ms, x->offset_count, sizeof(*x->offsets_ms), compare_offsets);
	middle = x->offsets_ms[x->offset_count / 2];
	off = middle < 0 ? -middle : middle;
	add(x, N_("clock"), off <= CLOCK_WRONG_MS,
	    N_("set it: timedatectl set-ntp true; deadlines are counted by it"),
	    N_("%lld.%lld s %s the other nodes"), (long long)(off / 1000),
	    (long long)(off % 1000 / 100), middle < 0 ? N_("ahead of") : N_("behind"));
}

static void
finish(struct examination *x)
{
	check_clock(x);
	x->done(x->arg, x->view);
	proto_wipe(&x->view->base);
	directory_free(x->directory);
	free(x->offsets_ms);
	free(x);
}

static const char *
mend_of(const char *reason)
{
	static const struct {
		const char *reason, *mend;
	} mends[] = {
		{ "unreachable",
		    N_("is the network up here? Else it is down there; its focal point is in: "
		       "citex directory") },
		{ "timeout", N_("the line is slow or cut; mail waits and goes by itself") },
		{ "tls",
		    N_("its certificate or ours is not accepted: is the directory the newest one, "
		       "on both sides?") },
		{ "certificate", N_("its certificate is not good: tell its focal point") },
		{ "expired", N_("its certificate has ended: tell its focal point") },
		{ "revoked", N_("its key was revoked: it needs a new one") },
		{ "unknown-key", N_("its key is not in the directory: install the newest one") },
		{ "identity", N_("another node answers at its address: tell its focal point") },
	};
	for (size_t i = 0; i < sizeof(mends) / sizeof(*mends); i++) {
		if (strcmp(reason, mends[i].reason) == 0)
			return mends[i].mend;
	}
	return N_("mail waits and goes by itself; if it stays so, tell its focal point");
}

static void step(struct examination *x);

struct probe {
	struct examination *x;
	char node[NODE_MAX_BYTES + 1];
};

static void
judge(struct examination *x, const char *node, const Citex__ProbeResult *r)
{
	char what[NODE_MAX_BYTES + 16];
	(void)snprintf(what, sizeof(what), N_("way to %s"), node);
	if (r == NULL) {
		add(x, what, false, N_("start citexd again"), N_("the post is gone"));
		return;
	}
	if (strcmp(r->reason, "ok") != 0) {
		add(x, what, false, mend_of(r->reason), "%s%s%s", r->reason,
		    r->words[0] != '\0' ? ": " : "", r->words);
		return;
	}
	add(x, what, true, "", "%llu.%llu ms%s%s", (unsigned long long)(r->round_trip_us / 1000),
	    (unsigned long long)(r->round_trip_us % 1000 / 100), r->words[0] != '\0' ? ", " : "",
	    r->words);
	if (r->time == 0)
		return;
	x->offsets_ms = xgrow(x->offsets_ms, x->offset_count + 1, sizeof(*x->offsets_ms));
	x->offsets_ms[x->offset_count++] = (int64_t)r->time - now_ms(x);
}

static void
probed(void *arg, const Citex__ProbeResult *r)
{
	struct probe *p = arg;
	struct examination *x = p->x;
	judge(x, p->node, r);
	free(p);
	x->waiting--;
	step(x);
}

static void
probe_next(struct examination *x, const struct directory_node *n)
{
	struct probe *p = xalloc(sizeof(*p));
	p->x = x;
	(void)snprintf(p->node, sizeof(p->node), "%s", n->id);
	x->waiting++;
	office_probe(x->office, n->id, probed, p);
}

/* Start probes while there is room; the last answer ends the examination. */
static void
step(struct examination *x)
{
	const struct directory_node *n = NULL;
	if (x->stepping) /* an answer that came at once */
		return;
	x->stepping = true;
	while (x->waiting < PROBES_AT_ONCE && x->directory != NULL &&
	    (n = directory_node_at(x->directory, x->next)) != NULL) {
		x->next++;
		if (strcmp(n->id, office_config(x->office)->node) != 0)
			probe_next(x, n);
	}
	x->stepping = false;
	if (x->waiting == 0)
		finish(x);
}

void
doctor_run(struct office *o, void (*done)(void *arg, const Citex__DoctorView *v), void *arg)
{
	struct examination *x = xalloc(sizeof(*x));
	x->office = o;
	x->done = done;
	x->arg = arg;
	x->view = message_new(&citex__doctor_view__descriptor);
	if (office_directory(o) != NULL)
		x->directory = directory_ref(office_directory(o));
	check_post(x);
	check_directory(x);
	check_certificates(x);
	check_node(x);
	check_store(x);
	check_quarantine(x);
	check_held(x);
	check_alarms(x);
	if (!office_has_post(o)) { /* no way can be tested */
		finish(x);
		return;
	}
	step(x);
}
