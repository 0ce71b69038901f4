/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <libintl.h>
#include <locale.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "cli/command.h"
#include "proto/ids.h"
#include "proto/kinds/fraud.pb-c.h"
#include "proto/kinds/interim.pb-c.h"
#include "proto/kinds/query.pb-c.h"

/* An office of our own: a thread that answers each connection's requests by OFFICE_ANSWERS, and
 * keeps what it was asked. */
typedef void answers(int fd, const Citex__Request *r);

static char place[] = "/tmp/citex-commands-XXXXXX";
static char run_folder[64], work[64];
static struct sockaddr_un office_address = { .sun_family = AF_UNIX };
static int listener = -1;
static pthread_t thread;
static answers *office_answers;
static Citex__Request *asked[64];
static size_t asked_count;
/* Held while a request is taken and answered, and while the next test sets the scene. */
static pthread_mutex_t asked_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned served; /* connections that are being served */

static void
send_answer(int fd, const Citex__Request *r, Citex__Answer *a)
{
	struct buffer out = { 0 };
	a->number = r->number;
	frame_write(&a->base, &out);
	(void)!send(fd, out.at, out.len, MSG_NOSIGNAL);
	buffer_release(&out);
}

static void *
serve_one(void *arg)
{
	int fd = (int)(intptr_t)arg;
	struct frame_reader in;
	struct bytes frame;
	static _Thread_local uint8_t piece[65536];
	ssize_t n;
	frame_reader_init(&in);
	while ((n = read(fd, piece, sizeof(piece))) > 0) {
		frame_feed(&in, (struct bytes){ piece, (size_t)n });
		while (frame_next(&in, &frame) == OK) {
			ProtobufCMessage *m = NULL;
			assert_int_equal(proto_unpack(&citex__request__descriptor, frame, &m), OK);
			pthread_mutex_lock(&asked_lock);
			if (asked_count < 64)
				asked[asked_count++] = (Citex__Request *)m;
			office_answers(fd, (Citex__Request *)m);
			pthread_mutex_unlock(&asked_lock);
		}
	}
	frame_reader_release(&in);
	/* The answer to one connection may tell another one of an event. */
	pthread_mutex_lock(&asked_lock);
	close(fd);
	served--;
	pthread_mutex_unlock(&asked_lock);
	return NULL;
}

static void *
serve(void *arg)
{
	(void)arg;
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		pthread_t one;
		if (fd < 0)
			return NULL;
		pthread_mutex_lock(&asked_lock);
		served++;
		pthread_mutex_unlock(&asked_lock);
		pthread_create(&one, NULL, serve_one, (void *)(intptr_t)fd);
		pthread_detach(one);
	}
}

static int
start(void **state)
{
	(void)state;
	if (mkdtemp(place) == NULL)
		return -1;
	snprintf(run_folder, sizeof(run_folder), "%s/run", place);
	snprintf(work, sizeof(work), "%s/work", place);
	if (mkdir(run_folder, 0700) != 0 || mkdir(work, 0700) != 0)
		return -1;
	setenv("CITEX_RUN", run_folder, 1);
	snprintf(office_address.sun_path, sizeof(office_address.sun_path), "%s/office-ke.ma.sock",
	    run_folder);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&office_address, sizeof(office_address)) != 0 ||
	    listen(listener, 8) != 0)
		return -1;
	return pthread_create(&thread, NULL, serve, NULL);
}

static void
remove_all(const char *path)
{
	char inner[512];
	DIR *dir = opendir(path);
	if (dir == NULL) {
		unlink(path);
		return;
	}
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(inner, sizeof(inner), "%s/%s", path, e->d_name);
		remove_all(inner);
	}
	closedir(dir);
	rmdir(path);
}

static void
forget_asked(void)
{
	for (size_t i = 0; i < asked_count; i++)
		proto_free(&asked[i]->base);
	asked_count = 0;
}

static int
stop(void **state)
{
	(void)state;
	forget_asked();
	shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(listener);
	remove_all(place);
	return 0;
}

/* A command that fails leaves in the middle of an answer: nothing is changed under that one. What
 * connected before us was taken before us. */
static void
until_nobody_is_served(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool quiet = false;
	char nothing;

	assert_int_equal(
	    connect(fd, (struct sockaddr *)&office_address, sizeof(office_address)), 0);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_int_equal(read(fd, &nothing, 1), 0);
	close(fd);
	while (!quiet) {
		pthread_mutex_lock(&asked_lock);
		quiet = served == 0;
		pthread_mutex_unlock(&asked_lock);
		if (!quiet)
			usleep(200);
	}
}

/* What the run of a command came to. */
struct result {
	enum err err;
	char *text; /* standard output */
	char *why;
};

static void
result_free(struct result *r)
{
	free(r->text);
	free(r->why);
}

static struct result
run(enum err (*fn)(struct call *c), const struct option_row *options, const char *verb,
    answers *office, const char *const *argv)
{
	struct call c = { 0 };
	struct result r = { 0 };
	char *copy[64] = { (char *)(uintptr_t) "citex" };
	int argc = 1;
	FILE *file = tmpfile();
	pthread_mutex_lock(&asked_lock);
	forget_asked();
	office_answers = office;
	pthread_mutex_unlock(&asked_lock);
	for (; argv[argc - 1] != NULL; argc++)
		copy[argc] = (char *)(uintptr_t)argv[argc - 1];
	output_init(&c.out, file);
	c.out.ascii_only = false;
	arguments_allow(&c.given, global_options);
	arguments_allow(&c.given, options);
	c.kind = verb != NULL ? kind_by_verb(verb) : NULL;
	if (c.kind != NULL) {
		c.form = form_new(c.kind, &c.given);
		arguments_allow(&c.given, form_options(c.form));
	}
	assert_int_equal(arguments_parse(&c.given, argc, copy, false, &c.why), OK);
	c.out.json = arguments_has(&c.given, "json");
	r.err = fn(&c);
	until_nobody_is_served();
	assert_true((r.err == OK) == (c.why.err == OK));
	fflush(file);
	long len = ftell(file);
	r.text = calloc(1, (size_t)len + 1);
	rewind(file);
	assert_int_equal(fread(r.text, 1, (size_t)len, file), len);
	fclose(file);
	r.why = strdup(buffer_text(&c.why.words));
	form_free(c.form);
	arguments_release(&c.given);
	failure_release(&c.why);
	return r;
}

#define RUN(fn, options, office, ...) \
	run(fn, options, NULL, office, (const char *const[]){ __VA_ARGS__, NULL })
#define SEND(verb, office, ...) \
	run(cmd_send, send_options, verb, office, (const char *const[]){ __VA_ARGS__, NULL })

#define ID_ONE "0193f3c2-1a2b-7000-8000-000000000001"

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static Citex__MessageRow
hostile_row(void)
{
	static char *to[] = { (char *)(uintptr_t) "ke.ma" };
	Citex__MessageRow row = CITEX__MESSAGE_ROW__INIT;
	row.id = text(ID_ONE);
	row.exchange = text(ID_ONE);
	row.kind = text("query");
	row.from = text("gb.ma");
	row.to = to;
	row.n_to = 1;
	row.time = text("2026-11-23T10:00:00Z");
	row.subject = text("KE 2026/0417\033[2J\nFrom: secretariat");
	row.state = text("opened");
	row.due = text("2026-12-07T10:00:00Z");
	row.new_ = true;
	return row;
}

static void
answer_listing(int fd, const Citex__Request *r)
{
	Citex__MessageRow row = hostile_row();
	Citex__MessageRow *rows[] = { &row };
	Citex__Listing listing = CITEX__LISTING__INIT;
	Citex__Answer a = CITEX__ANSWER__INIT;
	listing.messages = rows;
	listing.n_messages = 1;
	listing.more = r->list->after[0] == '\0';
	a.what_case = CITEX__ANSWER__WHAT_LISTING;
	a.listing = &listing;
	send_answer(fd, r, &a);
}

static void
test_inbox_is_a_table_and_one_json_value_of_all_pages(void **state)
{
	struct result r = RUN(cmd_inbox, list_options, answer_listing, "--unread");
	(void)state;
	assert_int_equal(r.err, OK);
	assert_non_null(strstr(r.text, "0193f3c2-1a2b"));
	assert_non_null(strstr(r.text, "KE 2026/0417\\u{1b}[2J\\u{a}From: secretariat"));
	assert_int_equal(asked_count, 2);
	assert_true(asked[0]->list->unread);
	assert_string_equal(asked[0]->list->box, "inbox");
	assert_string_equal(asked[1]->list->after, ID_ONE);
	result_free(&r);
	r = RUN(cmd_inbox, list_options, answer_listing, "--json");
	json_t *v = json_loads(r.text, 0, NULL);
	json_t *first = json_array_get(json_object_get(v, "messages"), 0);
	static const char *const names[] = { "id", "exchange", "kind", "from", "to", "time",
		"subject", "state", "due", "new" };
	assert_int_equal(json_array_size(json_object_get(v, "messages")), 2);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		assert_non_null(json_object_get(first, names[i]));
	json_decref(v);
	result_free(&r);
}

static void
answer_due(int fd, const Citex__Request *r)
{
	Citex__DueRow one = CITEX__DUE_ROW__INIT, two = CITEX__DUE_ROW__INIT,
		      three = CITEX__DUE_ROW__INIT, *rows[] = { &one, &three, &two };
	Citex__DueList due = CITEX__DUE_LIST__INIT;
	Citex__Answer a = CITEX__ANSWER__INIT;
	one.id = text(ID_ONE);
	two.id = text("0193f3c2-1a2b-7000-8000-000000000002");
	three.id = text("0193f3c2-1a2c-7000-8000-000000000003");
	due.due = rows;
	due.n_due = 3;
	a.what_case = CITEX__ANSWER__WHAT_DUE;
	a.due = &due;
	send_answer(fd, r, &a);
}

/* A table gives no id that fits two of its messages. */
static void
test_ids_of_one_millisecond_are_whole(void **state)
{
	struct result r = RUN(cmd_due, NULL, answer_due, NULL);
	(void)state;
	assert_non_null(strstr(r.text, ID_ONE));
	assert_non_null(strstr(r.text, "0193f3c2-1a2b-7000-8000-000000000002"));
	assert_non_null(strstr(r.text, "0193f3c2-1a2c"));
	assert_null(strstr(r.text, "0193f3c2-1a2c-"));
	result_free(&r);
}

static void
test_listing_is_asked_for_in_pages(void **state)
{
	static const struct {
		const char *limit;
		uint32_t first, second;
	} rows[] = {
		{ "1000", LIST_PAGE_MAX, LIST_PAGE_MAX - 1 },
		{ "1001", LIST_PAGE_MAX, LIST_PAGE_MAX },
		{ "1002", LIST_PAGE_MAX, LIST_PAGE_MAX },
		{ "999", LIST_PAGE_MAX - 1, LIST_PAGE_MAX - 2 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct result r =
		    RUN(cmd_inbox, list_options, answer_listing, "--limit", rows[i].limit);
		assert_int_equal(r.err, OK);
		assert_int_equal(asked_count, 2); /* each answer has one row */
		assert_int_equal(asked[0]->list->limit, rows[i].first);
		assert_int_equal(asked[1]->list->limit, rows[i].second);
		result_free(&r);
	}
}

static void
answer_item(int fd, const Citex__Request *r)
{
	Citex__MessageRow row = hostile_row();
	Citex__Item item = CITEX__ITEM__INIT;
	Citex__Answer a = CITEX__ANSWER__INIT;
	Citex__Query query = CITEX__QUERY__INIT;
	Citex__Permit permit = CITEX__PERMIT__INIT;
	char *reasons[] = { text("AUTHENTIC") };
	char *next[] = { text("answer"), text("interim") };
	struct buffer body = { 0 };
	permit.number = text("KE 2026/0417");
	query.permit = &permit;
	query.reason = reasons;
	query.n_reason = 1;
	query.text = text("first\nFrom:         secretariat");
	proto_pack(&query.base, &body);
	item.message = &row;
	item.body = pb_of_bytes(buffer_bytes(&body));
	item.handling = text("AMBER");
	item.next = next;
	item.n_next = 2;
	a.what_case = CITEX__ANSWER__WHAT_ITEM;
	a.item = &item;
	send_answer(fd, r, &a);
	buffer_release(&body);
}

static void
test_show_draws_the_frame_and_marks_the_text(void **state)
{
	struct result r = RUN(cmd_show, NULL, answer_item, "0193f3c2");
	(void)state;
	assert_int_equal(r.err, OK);
	assert_false(asked[0]->show->quiet);
	assert_non_null(strstr(r.text, "\nFrom:         gb.ma\n"));
	assert_null(strstr(r.text, "\nFrom:         secretariat"));
	assert_non_null(strstr(r.text, "  | From:         secretariat"));
	assert_non_null(strstr(r.text, "suspected-forgery"));
	assert_non_null(strstr(r.text, "citex answer 0193f3c2-1a2b"));
	result_free(&r);
	r = RUN(cmd_show, NULL, answer_item, "0193f3c2", "--json");
	json_t *v = json_loads(r.text, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(
				json_object_get(json_object_get(v, "body"), "permit"), "number")),
	    "KE 2026/0417");
	json_decref(v);
	result_free(&r);
}

static void
answer_submitted(int fd, const Citex__Request *r)
{
	Citex__Answer a = CITEX__ANSWER__INIT;
	Citex__Submitted s = CITEX__SUBMITTED__INIT;
	Citex__Done done = CITEX__DONE__INIT;
	if (r->what_case == CITEX__REQUEST__WHAT_PUT) {
		a.what_case = CITEX__ANSWER__WHAT_DONE;
		a.done = &done;
	} else {
		s.id = r->submit->id;
		s.exchange = r->submit->id;
		s.to = r->submit->to;
		s.n_to = r->submit->n_to;
		a.what_case = CITEX__ANSWER__WHAT_SUBMITTED;
		a.submitted = &s;
	}
	send_answer(fd, r, &a);
}

/* A query with its boxes, when it is shown; then as answer_submitted(). */
static const char *shown_handling;

static void
answer_shown(int fd, const Citex__Request *r)
{
	Citex__Answer a = CITEX__ANSWER__INIT;
	Citex__Item item = CITEX__ITEM__INIT;
	Citex__MessageRow row = hostile_row();
	Citex__Query query = CITEX__QUERY__INIT;
	Citex__Permit permit = CITEX__PERMIT__INIT;
	Citex__Line line = CITEX__LINE__INIT, *lines[] = { &line };
	struct buffer body = { 0 };
	if (r->what_case != CITEX__REQUEST__WHAT_SHOW) {
		answer_submitted(fd, r);
		return;
	}
	permit.number = text("KE 2026/0417");
	permit.type = text("E");
	line.species = text("Panthera pardus");
	query.permit = &permit;
	query.lines = lines;
	query.n_lines = 1;
	query.text = text("of the query alone");
	proto_pack(&query.base, &body);
	item.message = &row;
	item.handling = text(shown_handling);
	item.body = pb_of_bytes(buffer_bytes(&body));
	a.what_case = CITEX__ANSWER__WHAT_ITEM;
	a.item = &item;
	send_answer(fd, r, &a);
	buffer_release(&body);
}

/* The Secretariat cannot open the message that a report is about: its boxes go with the report. */
static void
test_a_report_repeats_the_boxes_of_what_it_is_about(void **state)
{
	Citex__Fraud *fraud = NULL;
	(void)state;
	shown_handling = "AMBER";
	struct result r = SEND(
	    "report-fraud", answer_shown, "--about", "0193", "--permit-number", "KE 2026/0418");
	assert_int_equal(r.err, OK);
	assert_int_equal(asked_count, 2);
	assert_string_equal(asked[1]->submit->about, "0193");
	assert_int_equal(proto_unpack(&citex__fraud__descriptor,
			     bytes_of_pb(asked[1]->submit->body), (ProtobufCMessage **)&fraud),
	    OK);
	assert_string_equal(fraud->permit->number, "KE 2026/0418"); /* what is given goes before */
	assert_string_equal(fraud->permit->type, "E");
	assert_int_equal(fraud->n_lines, 1);
	assert_string_equal(fraud->lines[0]->species, "Panthera pardus");
	assert_string_equal(fraud->text, "");
	proto_wipe(&fraud->base);
	result_free(&r);
}

static void
test_a_report_repeats_nothing_that_is_held_close(void **state)
{
	(void)state;
	shown_handling = "RED";
	struct result r = SEND("report-fraud", answer_shown, "--about", "0193");
	assert_int_equal(r.err, ERR_VALUE);
	assert_int_equal(asked_count, 1);
	result_free(&r);
	r = SEND("report-fraud", answer_shown, "--text", ""); /* nothing at all is known */
	assert_int_equal(r.err, ERR_VALUE);
	assert_int_equal(asked_count, 0);
	result_free(&r);
}

static void
make_file(const char *name, size_t len)
{
	char path[128];
	FILE *f;
	snprintf(path, sizeof(path), "%s/%s", work, name);
	f = fopen(path, "w");
	for (size_t i = 0; i < len; i++)
		fputc((int)(i % 251), f);
	fclose(f);
}

static void
test_ask_puts_attachments_in_pieces_and_prints_the_id(void **state)
{
	char scan[128];
	(void)state;
	make_file("scan1.pdf", 3 * CHUNK_PLAIN_BYTES + 5);
	snprintf(scan, sizeof(scan), "%s/scan1.pdf", work);
	struct result r = SEND("ask", answer_submitted, "gb.ma", "--permit-number", "1", "--reason",
	    "routine", "--attach", scan, "--id", ID_ONE);
	assert_int_equal(r.err, OK);
	assert_non_null(strstr(r.text, "id " ID_ONE "\n"));
	assert_int_equal(asked_count, 5);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(asked[i]->put->offset, i * CHUNK_PLAIN_BYTES);
		assert_int_equal(asked[i]->put->length, 3 * CHUNK_PLAIN_BYTES + 5);
		assert_string_equal(asked[i]->put->name, "scan1.pdf");
		assert_string_equal(asked[i]->put->media_type, "application/pdf");
	}
	assert_int_equal(asked[3]->put->data.len, 5);
	const Citex__Submit *s = asked[4]->submit;
	assert_int_equal(s->n_attachments, 1);
	assert_memory_equal(s->attachments[0].data, asked[0]->put->handle.data, 16);
	assert_string_equal(s->kind, "query");
	result_free(&r);
	r = SEND("ask", answer_submitted, "gb.ma", "--permit-number", "1", "--reason", "routine",
	    "--json");
	json_t *v = json_loads(r.text, 0, NULL);
	assert_int_equal(strlen(json_string_value(json_object_get(v, "id"))), ID_TEXT_BYTES - 1);
	assert_non_null(json_object_get(v, "exchange"));
	json_decref(v);
	result_free(&r);
}

static void
test_a_name_that_is_no_utf8_and_a_pipe_are_not_attached(void **state)
{
	char path[128];
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		if (i == 0)
			make_file("\xff.pdf", 3);
		snprintf(path, sizeof(path), "%s/%s", work, i == 0 ? "\xff.pdf" : "pipe");
		if (i == 1)
			assert_int_equal(mkfifo(path, 0600), 0);
		struct result r = SEND("ask", answer_submitted, "gb.ma", "--permit-number", "1",
		    "--reason", "routine", "--attach", path);
		assert_int_equal(r.err, ERR_VALUE);
		assert_int_equal(asked_count, 0);
		assert_non_null(strstr(r.why, i == 0 ? "UTF-8" : "is not a file"));
		result_free(&r);
	}
}

/* A wrong date does not cost the officer the text. */
static void
test_a_form_that_is_wrong_is_edited_again(void **state)
{
	static const char *const editors[] = {
		/* at first wrong, with a text; then the mark and the text are there */
		"sh -c 'if grep -q \"^# !! .*until\" \"$0\"; then grep -q \"^text: a long one\" "
		"\"$0\" && "
		"sed -i \"s/^until:.*/until: 2026-12-20/\" \"$0\"; else sed -i "
		"\"s/^until:.*/until: "
		"soon/; s/^text:.*/text: a long one/\" \"$0\"; fi'",
		/* left as it was: given up */
		"sh -c 'grep -q \"^# !!\" \"$0\" || sed -i \"s/^until:.*/until: soon/\" \"$0\"'",
		/* never right */
		"sh -c 'date +%N >>\"$0\"'",
	};
	char shm[] = "/dev/shm/citex-test-XXXXXX";
	(void)state;
	if (mkdtemp(shm) == NULL)
		skip();
	setenv("XDG_RUNTIME_DIR", shm, 1);
	for (size_t i = 0; i < 3; i++) {
		setenv("VISUAL", editors[i], 1);
		struct result r = SEND("interim", answer_submitted, "0193", "--edit");
		if (r.err == ERR_DENIED) /* no tmpfs at /dev/shm here */
			skip();
		assert_int_equal(r.err, i == 0 ? OK : ERR_VALUE);
		assert_int_equal(asked_count, i == 0 ? 1 : 0);
		if (i == 0) {
			Citex__Interim *interim = NULL;
			assert_int_equal(
			    proto_unpack(&citex__interim__descriptor,
				bytes_of_pb(asked[0]->submit->body), (ProtobufCMessage **)&interim),
			    OK);
			assert_string_equal(interim->text, "a long one");
			proto_wipe(&interim->base);
		}
		result_free(&r);
	}
	assert_int_equal(rmdir(shm), 0);
	unsetenv("VISUAL");
}

static void
test_empty_attachment_is_one_piece(void **state)
{
	char path[128];
	(void)state;
	make_file("empty", 0);
	snprintf(path, sizeof(path), "%s/empty", work);
	struct result r = SEND("ask", answer_submitted, "gb.ma", "--permit-number", "1", "--reason",
	    "routine", "--attach", path);
	assert_int_equal(r.err, OK);
	assert_int_equal(asked_count, 2);
	assert_int_equal(asked[0]->put->data.len, 0);
	result_free(&r);
}

/* ATTACHMENTS_MAX, and one more. */
static void
test_a_message_has_sixteen_attachments_and_no_more(void **state)
{
	(void)state;
	make_file("small", 3);
	for (size_t n = ATTACHMENTS_MAX; n <= ATTACHMENTS_MAX + 1; n++) {
		const char *argv[2 * (ATTACHMENTS_MAX + 1) + 6] = { "gb.ma", "--permit-number", "1",
			"--reason", "routine" };
		char path[128];
		snprintf(path, sizeof(path), "%s/small", work);
		for (size_t i = 0; i < n; i++) {
			argv[5 + 2 * i] = "--attach";
			argv[6 + 2 * i] = path;
		}
		struct result r = run(cmd_send, send_options, "ask", answer_submitted, argv);
		assert_int_equal(r.err, n == ATTACHMENTS_MAX ? OK : ERR_TOO_MANY);
		result_free(&r);
	}
}

static void
test_sending_is_refused_before_anybody_is_asked(void **state)
{
	static const struct {
		const char *verb;
		const char *argv[6];
		const char *words;
	} cases[] = {
		{ "ask", { "--permit-number", "1", "--reason", "routine" }, "to whom?" },
		{ "ask", { "not an authority", "--reason", "routine" }, "is no authority" },
		{ "ask", { "gb.ma", "--reason", "routine" }, "--permit-number" },
		{ "ask", { "gb.ma", "--id", "12" }, "--id" },
		{ "ask", { "gb.ma", "--handling", "pink" }, "--handling" },
		{ "ask", { "gb.ma", "--use", "fun" }, "--use" },
		{ "answer", { "--outcome", "not-issued" }, "which message?" },
		{ "ask", { "gb.ma", "--from", "/nonexistent" }, "/nonexistent" },
		{ "ask", { "gb.ma", "--to", "x y" }, "--to" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct result r =
		    run(cmd_send, send_options, cases[i].verb, answer_submitted, cases[i].argv);
		assert_int_not_equal(r.err, OK);
		assert_non_null(strstr(r.why, cases[i].words));
		assert_int_equal(asked_count, 0);
		result_free(&r);
	}
}

static void
test_answer_goes_to_the_message_and_its_author(void **state)
{
	struct result r =
	    SEND("answer", answer_submitted, "0193", "--outcome", "not-issued", "--text", "No.");
	(void)state;
	assert_int_equal(r.err, OK);
	assert_string_equal(asked[0]->submit->about, "0193");
	assert_int_equal(asked[0]->submit->n_to, 0);
	assert_string_equal(asked[0]->submit->kind, "reply");
	result_free(&r);
}

/* Saving */

static const char *save_names[3];
static size_t save_lie; /* bytes that the office gives too few */

static void
answer_save(int fd, const Citex__Request *r)
{
	static uint8_t data[100];
	Citex__Answer a = CITEX__ANSWER__INIT;
	if (r->what_case == CITEX__REQUEST__WHAT_FETCH) {
		Citex__Data d = CITEX__DATA__INIT;
		d.data = (ProtobufCBinaryData){ sizeof(data) - save_lie, data };
		d.offset = r->fetch->offset;
		d.last = true;
		a.what_case = CITEX__ANSWER__WHAT_DATA;
		a.data = &d;
		send_answer(fd, r, &a);
		return;
	}
	Citex__MessageRow row = hostile_row();
	Citex__Item item = CITEX__ITEM__INIT;
	Citex__AttachmentRow rows[3], *pointers[3];
	for (size_t i = 0; i < 3; i++) {
		rows[i] = (Citex__AttachmentRow)CITEX__ATTACHMENT_ROW__INIT;
		rows[i].index = (uint32_t)i;
		rows[i].name = text(save_names[i]);
		rows[i].length = sizeof(data);
		rows[i].complete = true;
		pointers[i] = &rows[i];
	}
	item.message = &row;
	item.attachments = pointers;
	item.n_attachments = 3;
	a.what_case = CITEX__ANSWER__WHAT_ITEM;
	a.item = &item;
	send_answer(fd, r, &a);
}

static bool
exists(const char *folder, const char *name)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return access(path, F_OK) == 0;
}

static void
test_save_makes_the_folder_and_keeps_names_apart(void **state)
{
	char folder[96];
	(void)state;
	snprintf(folder, sizeof(folder), "%s/a/scans", work);
	save_lie = 0;
	save_names[0] = "scan.pdf";
	save_names[1] = "Scan.pdf";
	save_names[2] = "../../../escape";
	struct result r = RUN(cmd_save, save_options, answer_save, "0193", "--to", folder);
	assert_int_equal(r.err, OK);
	assert_true(asked[0]->show->quiet);
	assert_true(exists(folder, "scan.pdf"));
	assert_true(exists(folder, "Scan-2.pdf"));
	assert_true(exists(folder, "_.._.._escape"));
	assert_false(exists(work, "escape"));
	assert_false(exists(place, "escape"));
	result_free(&r);
	r = RUN(cmd_save, save_options, answer_save, "0193", "--to", folder);
	assert_int_equal(r.err, ERR_EXISTS);
	result_free(&r);
	r = RUN(cmd_save, save_options, answer_save, "0193");
	assert_int_equal(r.err, ERR_USAGE);
	result_free(&r);
}

static void
test_save_of_a_wrong_length_leaves_no_file(void **state)
{
	char folder[96];
	(void)state;
	snprintf(folder, sizeof(folder), "%s/short", work);
	save_names[0] = save_names[1] = save_names[2] = "x";
	save_lie = 1;
	struct result r = RUN(cmd_save, save_options, answer_save, "0193", "--to", folder);
	assert_int_equal(r.err, ERR_CORRUPT);
	assert_false(exists(folder, "x"));
	result_free(&r);
}

/* Exporting */

static const char *export_names[4];

static void
answer_export(int fd, const Citex__Request *r)
{
	for (size_t i = 0; i < 4 && export_names[i] != NULL; i++) {
		Citex__BundleFile file = CITEX__BUNDLE_FILE__INIT;
		Citex__Answer a = CITEX__ANSWER__INIT;
		file.name = text(export_names[i]);
		file.data = (ProtobufCBinaryData){ 3, (uint8_t *)(uintptr_t) "abc" };
		a.more = true;
		a.what_case = CITEX__ANSWER__WHAT_FILE;
		a.file = &file;
		send_answer(fd, r, &a);
	}
	Citex__BundleFile last = CITEX__BUNDLE_FILE__INIT;
	Citex__Answer a = CITEX__ANSWER__INIT;
	a.what_case = CITEX__ANSWER__WHAT_FILE;
	a.file = &last;
	send_answer(fd, r, &a);
}

static void
test_export_joins_pieces_and_refuses_names_that_lead_out(void **state)
{
	static const char *const bad[] = { "../x", "a/../x", "/x", "a/b/c", ".x", "a/", "" };
	char bundle[96], path[160];
	struct stat st;
	(void)state;
	snprintf(bundle, sizeof(bundle), "%s/bundle", work);
	export_names[0] = "README";
	export_names[1] = "messages/1.cms";
	export_names[2] = "messages/1.cms";
	export_names[3] = "slips/1.slip";
	struct result r = RUN(cmd_export, export_options, answer_export, "0193", "-o", bundle);
	assert_int_equal(r.err, OK);
	snprintf(path, sizeof(path), "%s/messages/1.cms", bundle);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 6);
	result_free(&r);
	r = RUN(cmd_export, export_options, answer_export, "0193", "-o", bundle);
	assert_int_equal(r.err, ERR_EXISTS);
	result_free(&r);
	for (size_t i = 0; i < 6; i++) {
		snprintf(bundle, sizeof(bundle), "%s/bad%zu", work, i);
		export_names[0] = bad[i];
		export_names[1] = NULL;
		r = RUN(cmd_export, export_options, answer_export, "0193", "-o", bundle);
		assert_int_not_equal(r.err, OK);
		assert_false(exists(work, "x"));
		result_free(&r);
	}
}

/* Waiting */

static atomic_uint looks;
static atomic_int told;

static void
answer_wait(int fd, const Citex__Request *r)
{
	Citex__Answer a = CITEX__ANSWER__INIT;
	Citex__Event event = CITEX__EVENT__INIT;
	Citex__Tracking tracking = CITEX__TRACKING__INIT;
	Citex__Addressee one = CITEX__ADDRESSEE__INIT, *addressees[] = { &one };
	if (r->what_case == CITEX__REQUEST__WHAT_WATCH) {
		atomic_store(&told, fd);
		return;
	}
	one.authority = text("gb.ma");
	one.state = text(looks++ == 0 ? "queued" : "opened");
	tracking.id = text(ID_ONE);
	tracking.addressees = addressees;
	tracking.n_addressees = 1;
	a.what_case = CITEX__ANSWER__WHAT_TRACKING;
	a.tracking = &tracking;
	send_answer(fd, r, &a);
	if (looks > 1)
		return;
	Citex__Request watch = CITEX__REQUEST__INIT;
	watch.number = 1;
	a.what_case = CITEX__ANSWER__WHAT_EVENT;
	a.more = true;
	a.event = &event;
	pthread_mutex_unlock(&asked_lock); /* for the listener's request */
	while (atomic_load(&told) < 0)
		usleep(1000);
	pthread_mutex_lock(&asked_lock);
	send_answer(atomic_load(&told), &watch, &a);
}

static void
answer_refused(int fd, const Citex__Request *r)
{
	Citex__Answer a = CITEX__ANSWER__INIT;
	Citex__Tracking tracking = CITEX__TRACKING__INIT;
	Citex__Addressee one = CITEX__ADDRESSEE__INIT, *addressees[] = { &one };
	if (r->what_case == CITEX__REQUEST__WHAT_WATCH)
		return;
	one.authority = text("gb.ma");
	one.state = text("refused");
	one.reason = text("cannot-be-opened");
	tracking.addressees = addressees;
	tracking.n_addressees = 1;
	a.what_case = CITEX__ANSWER__WHAT_TRACKING;
	a.tracking = &tracking;
	send_answer(fd, r, &a);
}

static void
test_wait_ends_when_told_or_late_or_refused(void **state)
{
	struct result r;
	(void)state;
	looks = 0;
	told = -1;
	r = RUN(cmd_wait, wait_options, answer_wait, "0193", "--for", "stored", "--timeout", "4s");
	assert_int_equal(r.err, OK);
	assert_int_equal(looks, 2);
	result_free(&r);
	looks = 1;
	r = RUN(
	    cmd_wait, wait_options, answer_wait, "0193", "--for", "answered", "--timeout", "1s");
	assert_int_equal(r.err, ERR_TIMEOUT);
	assert_int_equal(err_exit_status(r.err), 6);
	assert_non_null(strstr(r.why, "gb.ma: opened"));
	result_free(&r);
	r = RUN(cmd_wait, wait_options, answer_refused, "0193", "--timeout", "4s");
	assert_int_equal(r.err, ERR_DENIED);
	assert_non_null(strstr(r.why, "cannot-be-opened"));
	result_free(&r);
	r = RUN(cmd_wait, wait_options, answer_wait, "0193", "--for", "ever");
	assert_int_equal(r.err, ERR_USAGE);
	result_free(&r);
}

static void
answer_doctor(int fd, const Citex__Request *r)
{
	Citex__Check good = CITEX__CHECK__INIT, bad = CITEX__CHECK__INIT,
		     *checks[] = { &good, &bad };
	Citex__DoctorView view = CITEX__DOCTOR_VIEW__INIT;
	Citex__Answer a = CITEX__ANSWER__INIT;
	good.what = text("directory");
	good.good = true;
	bad.what = text("way to gb");
	bad.reason = text("unreachable");
	bad.mend = text("ask gb");
	view.checks = checks;
	view.n_checks = 2;
	a.what_case = CITEX__ANSWER__WHAT_DOCTOR;
	a.doctor = &view;
	send_answer(fd, r, &a);
}

static void
test_doctor_fails_when_something_is_bad(void **state)
{
	struct result r = RUN(cmd_doctor, NULL, answer_doctor, "--json");
	(void)state;
	assert_int_equal(r.err, ERR_UNREACHABLE);
	json_t *v = json_loads(r.text, 0, NULL);
	assert_int_equal(json_array_size(json_object_get(v, "checks")), 2);
	json_decref(v);
	result_free(&r);
}

/* With the catalogue that is installed. "C": English again. */
static void
speak(const char *language)
{
	setenv("LANGUAGE", language, 1);
	setlocale(LC_MESSAGES, strcmp(language, "C") == 0 ? "C" : "C.UTF-8");
	bindtextdomain("citex", PO_FOLDER);
	textdomain("citex");
}

static void
test_french_headings_are_words_and_no_catalogue_header(void **state)
{
	struct result r;
	(void)state;
	speak("fr");
	r = RUN(cmd_inbox, list_options, answer_listing, "--unread");
	speak("C");
	assert_int_equal(r.err, OK);
	assert_non_null(strstr(r.text, "TYPE"));
	assert_non_null(strstr(r.text, "OBJET"));
	assert_null(strstr(r.text, "KIND"));
	assert_null(strstr(r.text, "SUBJECT"));
	assert_null(strstr(r.text, "Project-Id-Version"));
	assert_non_null(strstr(r.text, "demande"));
	assert_non_null(strstr(r.text, "ouvert"));
	assert_null(strstr(r.text, "opened"));
	result_free(&r);
}

static void
test_show_in_french_has_french_labels_and_the_words_as_written(void **state)
{
	struct result r;
	(void)state;
	speak("fr");
	r = RUN(cmd_show, NULL, answer_item, ID_ONE);
	speak("C");
	assert_int_equal(r.err, OK);
	assert_non_null(strstr(r.text, "Permis"));
	assert_non_null(strstr(r.text, "  Numéro:"));
	assert_non_null(strstr(r.text, "suspected-forgery (Doute sur l'authenticité"));
	assert_non_null(strstr(r.text, "| From:         secretariat"));
	assert_null(strstr(r.text, "Reason"));
	assert_null(strstr(r.text, "Number"));
	assert_null(strstr(r.text, "Project-Id-Version"));
	result_free(&r);
}

static void
test_doctor_counts_in_each_language(void **state)
{
	struct result r = RUN(cmd_doctor, NULL, answer_doctor, "--authority", "ke.ma");
	(void)state;
	assert_string_equal(r.why, "1 check of 2 is bad");
	result_free(&r);
	speak("fr");
	r = RUN(cmd_doctor, NULL, answer_doctor, "--authority", "ke.ma");
	speak("C");
	assert_string_equal(r.why, "1 vérification sur 2 est mauvaise");
	assert_non_null(strstr(r.text, "chemin vers gb"));
	assert_null(strstr(r.text, "directory"));
	assert_null(strstr(r.text, "Project-Id-Version"));
	result_free(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inbox_is_a_table_and_one_json_value_of_all_pages),
		cmocka_unit_test(test_ids_of_one_millisecond_are_whole),
		cmocka_unit_test(test_listing_is_asked_for_in_pages),
		cmocka_unit_test(test_show_draws_the_frame_and_marks_the_text),
		cmocka_unit_test(test_ask_puts_attachments_in_pieces_and_prints_the_id),
		cmocka_unit_test(test_a_report_repeats_the_boxes_of_what_it_is_about),
		cmocka_unit_test(test_a_report_repeats_nothing_that_is_held_close),
		cmocka_unit_test(test_a_name_that_is_no_utf8_and_a_pipe_are_not_attached),
		cmocka_unit_test(test_a_form_that_is_wrong_is_edited_again),
		cmocka_unit_test(test_empty_attachment_is_one_piece),
		cmocka_unit_test(test_a_message_has_sixteen_attachments_and_no_more),
		cmocka_unit_test(test_sending_is_refused_before_anybody_is_asked),
		cmocka_unit_test(test_answer_goes_to_the_message_and_its_author),
		cmocka_unit_test(test_save_makes_the_folder_and_keeps_names_apart),
		cmocka_unit_test(test_save_of_a_wrong_length_leaves_no_file),
		cmocka_unit_test(test_export_joins_pieces_and_refuses_names_that_lead_out),
		cmocka_unit_test(test_wait_ends_when_told_or_late_or_refused),
		cmocka_unit_test(test_doctor_fails_when_something_is_bad),
		cmocka_unit_test(test_french_headings_are_words_and_no_catalogue_header),
		cmocka_unit_test(test_show_in_french_has_french_labels_and_the_words_as_written),
		cmocka_unit_test(test_doctor_counts_in_each_language),
	};
	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, start, stop);
}
