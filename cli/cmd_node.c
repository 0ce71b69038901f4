/* SPDX-License-Identifier: Apache-2.0 */
/* For administrators, on the post's own socket: queue, flush, peers, probe. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/said.h"
#include "cli/words.h"
#include "proto/ids.h"

static enum err
show_queue(struct call *c, struct client *client, Citex__Request *r)
{
	static const struct table_column columns[] = { { N_("ENVELOPE"), COLUMN_PLAIN },
		{ N_("FROM"), COLUMN_PLAIN }, { N_("TO"), COLUMN_PLAIN },
		{ N_("NODE"), COLUMN_PLAIN }, { N_("CREATED (UTC)"), COLUMN_PLAIN },
		{ N_("SIZE"), COLUMN_RIGHT }, { N_("TRIES"), COLUMN_RIGHT },
		{ N_("NEXT TRY"), COLUMN_PLAIN }, { N_("REASON"), COLUMN_WRAP } };
	CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
	struct table *t;
	enum err e = call_show(c, client, r, CITEX__ANSWER__WHAT_QUEUE, &answer);
	if (answer == NULL)
		return e;
	t = table_new(&c->out, columns, 9);
	for (size_t i = 0; i < answer->queue->n_queue; i++) {
		const Citex__QueueRow *row = answer->queue->queue[i];
		char created[32], next[32], size[32], tries[16];
		pretty_time(row->created, created);
		pretty_time(row->next_try, next);
		pretty_bytes(row->bytes, size);
		(void)snprintf(tries, sizeof(tries), "%u", row->attempts);
		const char *const cells[] = { row->envelope, row->author, row->addressee, row->node,
			created, size, tries, next, row->reason };
		table_row(t, PAINT_NONE, cells);
	}
	table_print(t, _("The queue is empty."));
	if (answer->queue->total > answer->queue->n_queue)
		output_note(&c->out, _("%llu in all; the oldest are shown."),
		    (unsigned long long)answer->queue->total);
	return e;
}

static enum err
show_peers(struct call *c, struct client *client, Citex__Request *r)
{
	static const struct table_column columns[] = { { N_("NODE"), COLUMN_PLAIN },
		{ N_("STATE"), COLUMN_PLAIN }, { N_("SINCE (UTC)"), COLUMN_PLAIN },
		{ N_("ADDRESS"), COLUMN_PLAIN }, { N_("QUEUED"), COLUMN_RIGHT },
		{ N_("SENT"), COLUMN_RIGHT }, { N_("RECEIVED"), COLUMN_RIGHT },
		{ N_("NEXT TRY"), COLUMN_PLAIN }, { N_("REASON"), COLUMN_WRAP } };
	CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
	struct table *t;
	enum err e = call_show(c, client, r, CITEX__ANSWER__WHAT_PEERS, &answer);
	if (answer == NULL)
		return e;
	t = table_new(&c->out, columns, 9);
	for (size_t i = 0; i < answer->peers->n_peers; i++) {
		const Citex__PeerRow *row = answer->peers->peers[i];
		char since[32], next[32], queued[24], sent[24], received[24];
		pretty_time(row->since, since);
		pretty_time(row->next_try, next);
		(void)snprintf(queued, sizeof(queued), "%llu", (unsigned long long)row->queued);
		(void)snprintf(sent, sizeof(sent), "%llu", (unsigned long long)row->sent);
		(void)snprintf(
		    received, sizeof(received), "%llu", (unsigned long long)row->received);
		const char *const cells[] = { row->node, said_word(row->state), since, row->address,
			queued, sent, received, next, row->reason };
		table_row(
		    t, strcmp(row->state, "connected") == 0 ? PAINT_GREEN : PAINT_NONE, cells);
	}
	table_print(t, _("It has no peer."));
	return e;
}

static enum err
flush(struct call *c, struct client *client, Citex__Request *r)
{
	CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
	enum err e = call_show(c, client, r, CITEX__ANSWER__WHAT_DONE, &answer);
	if (answer != NULL)
		output_say(&c->out, _("All that waits is tried now; see: citex node queue"));
	return e;
}

static enum err
probe(struct call *c, struct client *client, Citex__Request *r)
{
	CLEANUP(proto_wipe_drop) Citex__Answer *answer = NULL;
	enum err e;
	client_set_timeout(client, CLIENT_LONG_TIMEOUT_MS);
	e = client_ask(client, r, CITEX__ANSWER__WHAT_DOCTOR, &answer);
	return e == OK ? show_checks(c, answer->doctor) : e;
}

enum err
cmd_node(struct call *c)
{
	CLEANUP(client_drop) struct client *client = NULL;
	Citex__NodeQueue queue = CITEX__NODE_QUEUE__INIT;
	Citex__NodeFlush flushing = CITEX__NODE_FLUSH__INIT;
	Citex__NodePeers peers = CITEX__NODE_PEERS__INIT;
	Citex__NodeProbe probing = CITEX__NODE_PROBE__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	const char *action = c->given.words[0];
	char *node = c->given.word_count > 1 ? c->given.words[1] : (char *)(uintptr_t) "";
	enum err (*run)(struct call *, struct client *, Citex__Request *) = NULL;
	enum err e;
	queue.node = flushing.node = probing.node = node;
	if (strcmp(action, "queue") == 0) {
		r.what_case = CITEX__REQUEST__WHAT_QUEUE;
		r.queue = &queue;
		run = show_queue;
	} else if (strcmp(action, "flush") == 0) {
		r.what_case = CITEX__REQUEST__WHAT_FLUSH;
		r.flush = &flushing;
		run = flush;
	} else if (strcmp(action, "peers") == 0) {
		r.what_case = CITEX__REQUEST__WHAT_PEERS;
		r.peers = &peers;
		run = show_peers;
	} else if (strcmp(action, "probe") == 0) {
		r.what_case = CITEX__REQUEST__WHAT_PROBE;
		r.probe = &probing;
		run = probe;
	}
	if (run == NULL)
		return failure_set(&c->why, ERR_USAGE,
		    _("citex node knows: queue, flush, peers, probe; not `%s'"), action);
	if (run == probe && *node == '\0')
		return failure_set(&c->why, ERR_USAGE, _("which one? citex node probe NODE"));
	e = call_node(c, &client);
	return e == OK ? run(c, client, &r) : e;
}
