/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "cli/client.h"

/* A client whose office is the other end of a pair. */
struct fixture {
	int office;
	struct client *client;
	struct failure why;
};

static void
begin(struct fixture *x)
{
	int pair[2];
	*x = (struct fixture){ 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	x->office = pair[0];
	x->client = client_new(pair[1], "ke.ma", &x->why);
	client_set_timeout(x->client, 200);
}

static void
end(struct fixture *x)
{
	if (x->office >= 0)
		close(x->office);
	client_free(x->client);
	failure_release(&x->why);
}

static void
answer(struct fixture *x, const Citex__Answer *a)
{
	struct buffer out = { 0 };
	frame_write(&a->base, &out);
	assert_int_equal(write(x->office, out.at, out.len), (ssize_t)out.len);
	buffer_release(&out);
}

static void
answer_done(struct fixture *x, uint32_t number)
{
	Citex__Done done = CITEX__DONE__INIT;
	Citex__Answer a = CITEX__ANSWER__INIT;
	a.number = number;
	a.what_case = CITEX__ANSWER__WHAT_DONE;
	a.done = &done;
	answer(x, &a);
}

static enum err
ask(struct fixture *x)
{
	Citex__Status status = CITEX__STATUS__INIT;
	Citex__Request r = CITEX__REQUEST__INIT;
	Citex__Answer *a = NULL;
	r.what_case = CITEX__REQUEST__WHAT_STATUS;
	r.status = &status;
	enum err e = client_ask(x->client, &r, CITEX__ANSWER__WHAT_DONE, &a);
	assert_true((e == OK) == (a != NULL));
	if (a != NULL)
		proto_wipe(&a->base);
	return e;
}

static void
test_answer_of_the_same_number_is_given(void **state)
{
	struct fixture x;
	(void)state;
	begin(&x);
	answer_done(&x, 1);
	answer_done(&x, 2);
	assert_int_equal(ask(&x), OK);
	assert_int_equal(ask(&x), OK);
	end(&x);
}

static void
test_answer_of_another_number_ends_it(void **state)
{
	struct fixture x;
	(void)state;
	begin(&x);
	answer_done(&x, 7);
	assert_int_equal(ask(&x), ERR_UNEXPECTED);
	end(&x);
}

static void
test_failure_keeps_its_error_and_words(void **state)
{
	static const struct {
		uint32_t number;
		const char *error, *words;
		enum err want;
		const char *said;
	} cases[] = {
		{ 1, "handling", "only within ke", ERR_HANDLING, "only within ke" },
		{ 0, "denied", "user 1007 is no officer", ERR_DENIED, "user 1007 is no officer" },
		{ 1, "not-found", "", ERR_NOT_FOUND, "there is no such thing here" },
		{ 1, "ok", "", ERR_UNEXPECTED, "not allowed at this point" },
		{ 1, "of another version", "x", ERR_INTERNAL, "x" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fixture x;
		Citex__Failure failure = CITEX__FAILURE__INIT;
		Citex__Answer a = CITEX__ANSWER__INIT;
		begin(&x);
		failure.error = (char *)(uintptr_t)cases[i].error;
		failure.words = (char *)(uintptr_t)cases[i].words;
		a.number = cases[i].number;
		a.what_case = CITEX__ANSWER__WHAT_FAILURE;
		a.failure = &failure;
		answer(&x, &a);
		assert_int_equal(ask(&x), cases[i].want);
		assert_non_null(strstr(buffer_text(&x.why.words), cases[i].said));
		end(&x);
	}
}

static void
test_another_answer_than_asked_for_is_refused(void **state)
{
	struct fixture x;
	Citex__DoctorView doctor = CITEX__DOCTOR_VIEW__INIT;
	Citex__Answer a = CITEX__ANSWER__INIT;
	(void)state;
	begin(&x);
	a.number = 1;
	a.what_case = CITEX__ANSWER__WHAT_DOCTOR;
	a.doctor = &doctor;
	answer(&x, &a);
	assert_int_equal(ask(&x), ERR_UNEXPECTED);
	end(&x);
}

static void
test_silence_and_closing_are_told_apart(void **state)
{
	struct fixture x;
	(void)state;
	begin(&x);
	assert_int_equal(ask(&x), ERR_TIMEOUT);
	assert_non_null(strstr(buffer_text(&x.why.words), "try again"));
	end(&x);
	begin(&x);
	close(x.office);
	x.office = -1;
	assert_int_equal(ask(&x), ERR_CLOSED);
	end(&x);
}

/* Whatever an office sends: an error or an answer, never a crash or a wait without end. */
static void
test_garbage_from_the_office_is_an_error(void **state)
{
	uint32_t seed = 5;
	(void)state;
	for (int i = 0; i < 3000; i++) {
		struct fixture x;
		uint8_t junk[64];
		begin(&x);
		for (size_t j = 0; j < sizeof(junk); j++) {
			seed = seed * 1664525 + 1013904223;
			junk[j] = (uint8_t)(seed >> 24);
		}
		if (i % 2 == 0) { /* a length that fits, so that the decoder gets it */
			memcpy(junk, "\0\0\0", 3);
			junk[3] = (uint8_t)(seed % 60);
		}
		assert_int_equal(write(x.office, junk, sizeof(junk)), sizeof(junk));
		shutdown(x.office, SHUT_WR);
		(void)ask(&x);
		end(&x);
	}
}

static void
make_socket(const char *folder, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", folder, name);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	/* stays open until the test's process ends */
}

static void
test_office_is_found_or_the_words_say_what_to_do(void **state)
{
	char folder[] = "/tmp/citex-client-XXXXXX", path[80];
	struct failure why = { 0 };
	struct client *c = NULL;
	(void)state;
	assert_non_null(mkdtemp(folder));
	setenv("CITEX_RUN", folder, 1);
	assert_int_equal(client_open_office(NULL, &why, &c), ERR_UNREACHABLE);
	assert_non_null(strstr(buffer_text(&why.words), "systemctl start citexd"));
	failure_release(&why);
	make_socket(folder, "office-ke.ma.sock");
	make_socket(folder, "node-ke.sock");
	assert_int_equal(client_open_office(NULL, &why, &c), OK);
	assert_string_equal(client_name(c), "ke.ma");
	client_drop(&c);
	assert_int_equal(client_open_node("", &why, &c), OK);
	assert_string_equal(client_name(c), "ke");
	client_drop(&c);
	make_socket(folder, "office-ke.kws.sock");
	assert_int_equal(client_open_office(NULL, &why, &c), ERR_USAGE);
	assert_non_null(strstr(buffer_text(&why.words), "ke.kws"));
	failure_release(&why);
	assert_int_equal(client_open_office("ke.kws", &why, &c), OK);
	client_drop(&c);
	assert_int_equal(client_open_office("gb.ma", &why, &c), ERR_UNREACHABLE);
	failure_release(&why);
	assert_int_equal(client_open_office("../x", &why, &c), ERR_USAGE);
	failure_release(&why);
	setenv("CITEX_RUN", "/nonexistent", 1);
	assert_int_equal(client_open_office(NULL, &why, &c), ERR_UNREACHABLE);
	failure_release(&why);
	static const char *const names[] = { "office-ke.ma.sock", "node-ke.sock",
		"office-ke.kws.sock" };
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer_of_the_same_number_is_given),
		cmocka_unit_test(test_answer_of_another_number_ends_it),
		cmocka_unit_test(test_failure_keeps_its_error_and_words),
		cmocka_unit_test(test_another_answer_than_asked_for_is_refused),
		cmocka_unit_test(test_silence_and_closing_are_told_apart),
		cmocka_unit_test(test_garbage_from_the_office_is_an_error),
		cmocka_unit_test(test_office_is_found_or_the_words_say_what_to_do),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
