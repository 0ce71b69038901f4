/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine can do at most, for the ratios of `make bench': one line a
 * limit, `name value unit'. The folder to write in is the argument. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pki/cms.h"
#include "pki/ossl.h"

#define ROUNDS 400

static double
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y ? 1 : 0;
}

static void
report(const char *name, double *times)
{
	qsort(times, ROUNDS, sizeof(*times), by_value);
	printf("%s %.2f us\n", name, times[ROUNDS / 2]);
}

static void
measure_sync(const char *folder)
{
	double times[ROUNDS];
	char path[4096], block[4096] = { 1 };
	int fd;

	(void)snprintf(path, sizeof(path), "%s/limits", folder);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	for (int i = 0; fd >= 0 && i < ROUNDS; i++) {
		double begin = now_us();
		if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block) || fdatasync(fd) != 0)
			exit(1);
		times[i] = now_us() - begin;
	}
	if (fd < 0)
		exit(1);
	close(fd);
	unlink(path);
	report("fdatasync_4k", times);
}

static void
measure_signatures(void)
{
	double sign[ROUNDS], verify[ROUNDS];
	struct private_key *k = private_key_new();
	struct public_key *p = private_key_public(k);
	uint8_t data[1024] = { 1 };

	for (int i = 0; i < ROUNDS; i++) {
		CLEANUP(buffer_release) struct buffer s = { 0 };
		double begin = now_us();
		if (label_sign(k, "citex bench", BYTES_OF(data), &s) != OK)
			exit(1);
		sign[i] = now_us() - begin;
		begin = now_us();
		if (label_verify(p, "citex bench", BYTES_OF(data), buffer_bytes(&s)) != OK)
			exit(1);
		verify[i] = now_us() - begin;
	}
	report("ecdsa_sign", sign);
	report("ecdsa_verify", verify);
	public_key_free(p);
	private_key_free(k);
}

/* A fresh ephemeral key and the agreement, as for each first envelope to an addressee. */
static void
measure_agreement(void)
{
	double times[ROUNDS];
	struct private_key *k = private_key_new();
	struct public_key *p = private_key_public(k);

	for (int i = 0; i < ROUNDS; i++) {
		struct cms_sender *s = NULL;
		double begin = now_us();
		if (cms_sender_new(p, &s) != OK)
			exit(1);
		times[i] = now_us() - begin;
		cms_sender_free(s);
	}
	report("ecdh_fresh", times);
	public_key_free(p);
	private_key_free(k);
}

int
main(int argc, char **argv)
{
	if (ossl_init() != OK)
		return 1;
	measure_sync(argc > 1 ? argv[1] : "/tmp");
	measure_signatures();
	measure_agreement();
	return 0;
}
