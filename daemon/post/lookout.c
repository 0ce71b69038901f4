/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping up with the directory: serve it to peers and offices, notice a newer
 * one, fetch its heads, then the newest contents, check all of it, keep it, and
 * only then use it. Never a lower number. Two heads with one number: stay, keep
 * the proof, raise the alarm.
 *
 * One fetch at a time. Known weakness: who is more than DIRECTORY_HEADS_MAX
 * directories behind must be brought up by hand. */
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/post/inside.h"

#define ASK_AGAIN_MS (5 * SECOND_MS) /* at most so often because something is unknown */
#define FETCH_MAX_MS ANSWER_TIMEOUT_MS /* without a frame of an answer */
#define SLICE_BYTES CHUNK_BYTES

enum phase { IDLE, AWAIT_HEADS, AWAIT_CONTENTS, BUILDING };

struct lookout {
	struct post *post;
	enum phase phase;
	struct conn *conn; /* whom we ask; a reference */
	int64_t until_ms;
	Citex__DirectoryHeads *heads; /* what it answered, checked */
	Citex__Head *newest;
	struct buffer contents;
	uint64_t frozen; /* stays at this number; 0: not */
	int64_t asked_ms; /* when something unknown made us ask */
	int64_t hourly_ms;
	size_t turn; /* whom to ask next */
};

struct lookout *
lookout_new(struct post *p)
{
	struct lookout *x = xalloc(sizeof(*x));

	x->post = p;
	x->asked_ms = INT64_MIN / 2;
	x->hourly_ms = loop_now(p->loop).mono_ms + DIRECTORY_ASK_MS;
	return x;
}

static void
stop(struct lookout *x)
{
	x->phase = IDLE;
	if (x->conn != NULL)
		conn_unref(x->conn);
	x->conn = NULL;
	proto_free((ProtobufCMessage *)x->heads);
	proto_free((ProtobufCMessage *)x->newest);
	x->heads = NULL;
	x->newest = NULL;
	buffer_release(&x->contents);
}

void
lookout_free(struct lookout *x)
{
	if (x == NULL)
		return;
	stop(x);
	free(x);
}

/* --- asking --- */

static void
request(struct lookout *x, uint64_t from, bool contents, uint64_t offset)
{
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__DirectoryRequest r = CITEX__DIRECTORY_REQUEST__INIT;

	r.from = from;
	r.contents = contents;
	r.offset = offset;
	frame.body_case = CITEX__FRAME__BODY_DIRECTORY_REQUEST;
	frame.directory_request = &r;
	x->until_ms = loop_now(x->post->loop).mono_ms + FETCH_MAX_MS;
	conn_send(x->conn, &frame);
}

static void
ask_heads(struct lookout *x, struct conn *c, uint64_t from)
{
	if (x->phase != IDLE || c->dead || !c->ready || c->kind != CONN_PEER)
		return;
	x->phase = AWAIT_HEADS;
	x->conn = conn_ref(c);
	request(x, from, false, 0);
}

/* Nobody is there to ask: one node after the other is called, whose hello tells what it has. */
static void
call_somebody(struct lookout *x)
{
	struct post *p = x->post;
	const struct directory_node *n;
	size_t count = 0;

	while (directory_node_at(p->directory, count) != NULL)
		count++;
	for (size_t i = 0; i < count; i++) {
		n = directory_node_at(p->directory, x->turn++ % count);
		if (n->address_count > 0 && strcmp(n->id, p->config.node) != 0) {
			peers_want(p, n->id);
			break;
		}
	}
}

static void
ask_somebody(struct lookout *x)
{
	struct post *p = x->post;
	size_t peers = 0, i = 0;

	for (struct conn *c = p->conns; c != NULL; c = c->next)
		peers += c->kind == CONN_PEER && c->ready && !c->closing;
	if (p->directory == NULL)
		return;
	if (peers == 0) {
		call_somebody(x);
		return;
	}
	for (struct conn *c = p->conns; c != NULL; c = c->next) {
		if (c->kind != CONN_PEER || !c->ready || c->closing)
			continue;
		if (i++ == x->turn % peers) {
			ask_heads(x, c, p->self.directory);
			break;
		}
	}
	x->turn++;
}

void
lookout_ask(struct post *p, struct conn *c)
{
	struct lookout *x = p->lookout;
	int64_t now_ms = loop_now(p->loop).mono_ms;

	if (p->ending || p->directory == NULL || now_ms - x->asked_ms < ASK_AGAIN_MS)
		return;
	x->asked_ms = now_ms;
	if (c != NULL)
		ask_heads(x, c, p->self.directory);
	else
		ask_somebody(x);
}

void
lookout_tick(struct post *p)
{
	struct lookout *x = p->lookout;
	int64_t now_ms = loop_now(p->loop).mono_ms;

	if (x->phase != IDLE && x->phase != BUILDING && now_ms >= x->until_ms)
		stop(x);
	if (now_ms < x->hourly_ms)
		return;
	x->hourly_ms = now_ms + DIRECTORY_ASK_MS;
	ask_somebody(x);
}

void
lookout_gone(struct conn *c)
{
	struct lookout *x = c->post->lookout;

	if (x->conn == c && x->phase != BUILDING)
		stop(x);
}

/* --- two heads with one number --- */

struct split {
	struct errand errand;
	uint64_t number;
	Citex__SignedHead *ours, *theirs;
};

static enum err
write_split(struct errand *e, struct txn *t)
{
	struct split *s = (struct split *)e;

	return spool_put_split(e->post->spool, t, s->number, s->ours, s->theirs);
}

static void
wrote_split(struct errand *e, enum err result)
{
	if (result != OK)
		log_event(LEVEL_ERROR, "proof-not-kept", LOG_ERR(result));
	errand_end(e);
}

static void
release_split(struct errand *e)
{
	struct split *s = (struct split *)e;

	proto_free((ProtobufCMessage *)s->ours);
	proto_free((ProtobufCMessage *)s->theirs);
}

static Citex__SignedHead *
head_dup(const Citex__SignedHead *h)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	ProtobufCMessage *copy = NULL;

	proto_pack(&h->base, &packed);
	if (proto_unpack(&citex__signed_head__descriptor, buffer_bytes(&packed), &copy) != OK)
		return NULL;
	return (Citex__SignedHead *)copy;
}

/* The offices see the other head with their own eyes, and alarm their officers. */
static void
show_offices(struct post *p, const Citex__SignedHead *theirs)
{
	Citex__Frame f = CITEX__FRAME__INIT;
	Citex__DirectoryHeads heads = CITEX__DIRECTORY_HEADS__INIT;
	Citex__SignedHead *one[1] = { (Citex__SignedHead *)(uintptr_t)theirs };
	size_t count;
	struct conn **all = conns_hold(p, &count);

	heads.heads = one;
	heads.n_heads = 1;
	f.body_case = CITEX__FRAME__BODY_DIRECTORY_HEADS;
	f.directory_heads = &heads;
	for (size_t i = 0; i < count; i++) {
		if (all[i]->kind == CONN_OFFICE && all[i]->ready)
			conn_send(all[i], &f);
	}
	conns_let_go(all, count);
}

static void
freeze(struct lookout *x, uint64_t number, const Citex__SignedHead *ours,
    const Citex__SignedHead *theirs)
{
	struct post *p = x->post;
	struct split *s;

	log_event(LEVEL_ERROR, "split-view", LOG_NUM("number", number),
	    LOG_TEXT("peer", x->conn != NULL ? x->conn->name : ""));
	if (x->frozen != 0)
		return;
	x->frozen = number;
	s = errand_new(p, NULL, sizeof(*s));
	s->errand.write = write_split;
	s->errand.written = wrote_split;
	s->errand.release = release_split;
	s->number = number;
	s->ours = head_dup(ours);
	s->theirs = head_dup(theirs);
	if (s->ours == NULL || s->theirs == NULL)
		errand_end(&s->errand);
	else
		errand_commit(&s->errand);
	show_offices(p, theirs);
	post_alarm(p, "split-view", "");
}

/* The head with NUMBER that we keep; NULL: none. The caller's. */
static Citex__SignedHead *
kept_head(struct post *p, uint64_t number)
{
	Citex__SignedHead *heads[DIRECTORY_HEADS_MAX];
	Citex__SignedHead *found = NULL;
	Citex__Head *head;
	size_t count = 0;

	if (spool_heads(p->spool, number, heads, &count) != OK || count == 0)
		return NULL;
	if (directory_check_head(p->directory, heads[0], &head) == OK) {
		if (head->number == number)
			found = heads[0];
		proto_free(&head->base);
	}
	for (size_t i = found != NULL ? 1 : 0; i < count; i++)
		proto_free(&heads[i]->base);
	return found;
}

/* Does one of HEADS, truly signed, bear the number of another one of ours? */
static bool
find_split(struct lookout *x, const Citex__DirectoryHeads *heads)
{
	struct post *p = x->post;

	for (size_t i = 0; i < heads->n_heads; i++) {
		CLEANUP(proto_drop) Citex__SignedHead *ours = NULL;
		CLEANUP(proto_drop) Citex__Head *head = NULL;
		uint8_t digest[DIGEST_BYTES], our_digest[DIGEST_BYTES];
		if (directory_check_head(p->directory, heads->heads[i], &head) != OK)
			return false;
		if (head->number > p->self.directory)
			return false;
		ours = kept_head(p, head->number);
		if (ours == NULL)
			continue;
		head_digest(heads->heads[i], digest);
		head_digest(ours, our_digest);
		if (memcmp(digest, our_digest, DIGEST_BYTES) != 0) {
			freeze(x, head->number, ours, heads->heads[i]);
			return true;
		}
	}
	return false;
}

/* --- a peer's hello --- */

/* Is the head that C holds, not newer than ours, the one that we know? */
static bool
is_known_head(struct post *p, const Citex__Hello *hello)
{
	CLEANUP(proto_drop) Citex__SignedHead *ours = kept_head(p, hello->directory);
	uint8_t digest[DIGEST_BYTES];

	if (ours == NULL)
		return true; /* from before our time */
	head_digest(ours, digest);
	return bytes_equal(BYTES_OF(digest), bytes_of_pb(hello->head_digest));
}

void
lookout_peer(struct conn *c)
{
	struct post *p = c->post;
	const Citex__Hello *hello = session_peer_hello(c->session);

	if (c->kind != CONN_PEER || p->directory == NULL || hello == NULL || hello->directory == 0)
		return;
	if (hello->directory > p->self.directory)
		ask_heads(p->lookout, c, p->self.directory);
	else if (!is_known_head(p, hello))
		ask_heads(p->lookout, c, hello->directory);
}

/* --- answers --- */

struct keep {
	struct errand errand;
	struct directory *previous; /* NULL: the pin judges */
	const struct directory_trust *trust;
	Citex__DirectoryHeads *heads; /* to keep; the last is DIRECTORY's */
	struct buffer contents;
	struct directory *directory;
	enum err built;
	char why[200];
	bool by_hand;
};

static void
release_keep(struct errand *e)
{
	struct keep *k = (struct keep *)e;

	directory_free(k->previous);
	directory_free(k->directory);
	proto_free((ProtobufCMessage *)k->heads);
	buffer_release(&k->contents);
}

static void
build(struct errand *e)
{
	struct keep *k = (struct keep *)e;

	k->built = directory_build(k->previous, k->trust, k->heads->heads[k->heads->n_heads - 1],
	    buffer_bytes(&k->contents), &k->directory, k->why);
}

static bool
is_newer(const struct post *p, const struct directory *d)
{
	return p->directory == NULL || directory_number(d) > directory_number(p->directory);
}

static void
built(struct errand *e)
{
	struct keep *k = (struct keep *)e;

	if (k->built == OK && !is_newer(e->post, k->directory)) {
		k->built = ERR_DIRECTORY;
		memcpy(k->why, "it is not newer", sizeof("it is not newer"));
	}
	if (k->built == OK) {
		errand_commit(e);
		return;
	}
	log_event(LEVEL_WARNING, "directory-refused", LOG_ERR(k->built), LOG_TEXT("words", k->why));
	stop(e->post->lookout);
	errand_end(e);
}

static enum err
write_directory(struct errand *e, struct txn *t)
{
	struct keep *k = (struct keep *)e;
	CLEANUP(buffer_release) struct buffer kept = { 0 };
	enum err result;

	directory_keep(k->directory, &kept);
	result = spool_put_directory(
	    e->post->spool, t, k->heads->heads, k->heads->n_heads, buffer_bytes(&kept));

	return result == OK && k->by_hand ? spool_thaw(e->post->spool, t) : result;
}

/* What the Secretariat installs by hand reaches everybody at once, not within the hour. */
static void
greet_everybody(struct post *p)
{
	const struct directory_node *n;

	for (size_t i = 0; (n = directory_node_at(p->directory, i)) != NULL; i++) {
		if (n->address_count > 0 && strcmp(n->id, p->config.node) != 0)
			peers_want(p, n->id);
	}
}

static void
wrote_directory(struct errand *e, enum err result)
{
	struct keep *k = (struct keep *)e;
	struct post *p = e->post;

	stop(p->lookout);
	if (result != OK) {
		log_event(LEVEL_ERROR, "directory-not-kept", LOG_ERR(result));
	} else if (is_newer(p, k->directory) && !p->ending) {
		if (k->by_hand)
			p->lookout->frozen = 0;
		post_switch_directory(p, k->directory);
		k->directory = NULL;
		if (k->by_hand)
			greet_everybody(p);
	}
	errand_end(e);
}

static struct keep *
keep_new(struct post *p, Citex__DirectoryHeads *heads, struct buffer *contents)
{
	struct keep *k = errand_new(p, NULL, sizeof(*k));

	k->errand.compute = build;
	k->errand.computed = built;
	k->errand.write = write_directory;
	k->errand.written = wrote_directory;
	k->errand.release = release_keep;
	k->previous = p->directory != NULL ? directory_ref(p->directory) : NULL;
	k->trust = &p->config.trust;
	k->heads = heads;
	k->contents = *contents;
	*contents = (struct buffer){ 0 };
	return k;
}

static void
contents_are_here(struct lookout *x)
{
	struct keep *k = keep_new(x->post, x->heads, &x->contents);

	x->heads = NULL;
	x->phase = BUILDING;
	errand_compute(&k->errand);
}

static Citex__DirectoryHeads *
heads_dup(const Citex__DirectoryHeads *h)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 };
	ProtobufCMessage *copy = NULL;

	proto_pack(&h->base, &packed);
	if (proto_unpack(&citex__directory_heads__descriptor, buffer_bytes(&packed), &copy) != OK)
		return NULL;
	return (Citex__DirectoryHeads *)copy;
}

static void
take_heads(struct lookout *x, const Citex__DirectoryHeads *heads)
{
	struct post *p = x->post;
	const Citex__SignedHead *newest;
	enum err e;

	if (heads->n_heads == 0 || find_split(x, heads)) {
		stop(x);
		return;
	}
	e = directory_check_heads(p->directory, heads, &newest);
	if (e == ERR_SPLIT_VIEW) /* another past */
		freeze(x, p->self.directory, directory_signed_head(p->directory),
		    heads->heads[heads->n_heads - 1]);
	else if (e != OK && e != ERR_DIRECTORY)
		log_event(LEVEL_WARNING, "bad-heads", LOG_TEXT("peer", x->conn->name), LOG_ERR(e));
	if (e == OK && x->frozen != 0) {
		log_event(LEVEL_WARNING, "directory-frozen", LOG_NUM("number", x->frozen));
		e = ERR_SPLIT_VIEW;
	}
	if (e == OK)
		e = directory_check_head(p->directory, newest, &x->newest);
	if (e == OK && x->newest->contents_length > DIRECTORY_MAX_BYTES)
		e = ERR_TOO_LARGE;
	if (e == OK)
		x->heads = heads_dup(heads);
	if (e != OK || x->heads == NULL) {
		stop(x);
		return;
	}
	x->phase = AWAIT_CONTENTS;
	request(x, x->newest->number, true, 0);
}

static void
take_part(struct lookout *x, const Citex__DirectoryPart *part)
{
	if (part->number != x->newest->number || part->offset != x->contents.len ||
	    part->data.len == 0 || part->data.len > SLICE_BYTES ||
	    part->data.len > x->newest->contents_length - x->contents.len) {
		log_event(LEVEL_INFO, "directory-not-had", LOG_TEXT("peer", x->conn->name),
		    LOG_NUM("number", x->newest->number));
		stop(x);
		return;
	}
	buffer_add(&x->contents, bytes_of_pb(part->data));
	if (x->contents.len < x->newest->contents_length)
		request(x, x->newest->number, true, x->contents.len);
	else
		contents_are_here(x);
}

/* --- serving --- */

static void
serve_heads(struct conn *c, uint64_t from)
{
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__DirectoryHeads heads = CITEX__DIRECTORY_HEADS__INIT;
	Citex__SignedHead *at[DIRECTORY_HEADS_MAX];
	size_t count = 0;
	enum err e = spool_heads(c->post->spool, from, at, &count);

	if (e != OK)
		log_event(LEVEL_ERROR, "heads-unreadable", LOG_ERR(e));
	heads.heads = at;
	heads.n_heads = count;
	frame.body_case = CITEX__FRAME__BODY_DIRECTORY_HEADS;
	frame.directory_heads = &heads;
	conn_send(c, &frame);
	for (size_t i = 0; i < count; i++)
		proto_free(&at[i]->base);
}

static void
serve_contents(struct conn *c, const Citex__DirectoryRequest *r)
{
	struct directory *d = c->post->directory;
	Citex__Frame frame = CITEX__FRAME__INIT;
	Citex__DirectoryPart part = CITEX__DIRECTORY_PART__INIT;
	struct bytes all = d != NULL ? directory_contents(d) : BYTES_NONE;

	part.number = r->from;
	part.offset = r->offset;
	if (d != NULL && r->from == directory_number(d) && r->offset < all.len) {
		size_t left = all.len - (size_t)r->offset;
		part.data = pb_of_bytes(
		    (struct bytes){ all.at + r->offset, left < SLICE_BYTES ? left : SLICE_BYTES });
	}
	frame.body_case = CITEX__FRAME__BODY_DIRECTORY_PART;
	frame.directory_part = &part;
	conn_send(c, &frame);
}

void
lookout_frame(struct conn *c, const Citex__Frame *f)
{
	struct lookout *x = c->post->lookout;

	switch (f->body_case) {
	case CITEX__FRAME__BODY_DIRECTORY_REQUEST:
		if (f->directory_request->contents)
			serve_contents(c, f->directory_request);
		else
			serve_heads(c, f->directory_request->from);
		break;
	case CITEX__FRAME__BODY_DIRECTORY_HEADS:
		if (x->conn == c && x->phase == AWAIT_HEADS)
			take_heads(x, f->directory_heads);
		break;
	case CITEX__FRAME__BODY_DIRECTORY_PART:
		if (x->conn == c && x->phase == AWAIT_CONTENTS)
			take_part(x, f->directory_part);
		break;
	default:
		break;
	}
}

/* --- from the disk, and by hand --- */

static enum err
from_disk(struct post *p, struct directory **out)
{
	CLEANUP(proto_drop) Citex__SignedHead *head = NULL;
	CLEANUP(buffer_release) struct buffer kept = { 0 };
	char why[200] = "";
	enum err e = spool_directory(p->spool, &head, &kept);

	if (e == ERR_NOT_FOUND)
		return OK;
	if (e != OK)
		return e;
	e = directory_build_kept(
	    p->config.directory, &p->config.trust, head, buffer_bytes(&kept), out, why);
	/* It was checked when it came: a pin that has changed since then is not a reason to stop.
	 */
	if (e != OK)
		log_event(
		    LEVEL_ERROR, "directory-on-disk-refused", LOG_ERR(e), LOG_TEXT("words", why));
	return OK;
}

/* The one the supervisor gave was judged by the pin alone: its CAs must go on from MINE. */
static enum err
judge_given(const struct post *p, struct directory *given, const struct directory *mine,
    struct directory **out)
{
	char why[200] = "";
	enum err e;

	if (mine == NULL) {
		*out = directory_ref(given);
		return OK;
	}
	e = directory_build(mine, &p->config.trust, directory_signed_head(given),
	    directory_contents(given), out, why);
	if (e != OK)
		log_event(
		    LEVEL_ERROR, "directory-given-refused", LOG_ERR(e), LOG_TEXT("words", why));
	return e;
}

/* Keep what the supervisor gave, before there is a store thread. */
static enum err
keep_given(struct post *p, struct directory *given)
{
	CLEANUP(buffer_release) struct buffer kept = { 0 };
	Citex__SignedHead *head = (Citex__SignedHead *)(uintptr_t)directory_signed_head(given);
	struct txn *t = NULL;
	enum err e = spool_begin(p->spool, &t);

	if (e != OK)
		return e;
	directory_keep(given, &kept);
	e = spool_put_directory(p->spool, t, &head, 1, buffer_bytes(&kept));
	if (e == OK)
		e = spool_thaw(p->spool, t);
	if (e == OK)
		return spool_commit(p->spool, t);
	store_end(t);
	return e;
}

enum err
lookout_begin(struct lookout *x)
{
	struct post *p = x->post;
	struct directory *mine = NULL, *judged = NULL, *given = p->config.directory;
	enum err e = spool_frozen(p->spool, &x->frozen);

	if (e == OK)
		e = from_disk(p, &mine);
	if (e != OK)
		return e;
	if (given != NULL && (mine == NULL || directory_number(mine) < directory_number(given)))
		(void)judge_given(p, given, mine, &judged);
	if (judged == NULL) {
		if (mine != NULL)
			post_switch_directory(p, mine);
		return OK;
	}
	directory_free(mine);
	e = keep_given(p, judged);
	x->frozen = 0;
	if (e == OK)
		post_switch_directory(p, judged);
	else
		directory_free(judged);
	return e;
}

enum err
lookout_offered(struct post *p, const Citex__SignedHead *head, struct bytes contents)
{
	Citex__DirectoryHeads heads = CITEX__DIRECTORY_HEADS__INIT;
	Citex__SignedHead *one[1] = { (Citex__SignedHead *)(uintptr_t)head };
	Citex__DirectoryHeads *copy;
	struct buffer bytes = { 0 };
	struct keep *k;

	heads.heads = one;
	heads.n_heads = 1;
	copy = heads_dup(&heads);
	if (copy == NULL)
		return ERR_MALFORMED;
	buffer_add(&bytes, contents);
	k = keep_new(p, copy, &bytes);
	k->by_hand = true;
	errand_compute(&k->errand);
	return OK;
}
