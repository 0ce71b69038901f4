/* SPDX-License-Identifier: Apache-2.0 */
/* A directory as a file. Whether it may replace the one held is not here. */
#include "pki/directory_file.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "pki/files.h"
#include "proto/decode.h"

#define WHY_BYTES 200
#define HEAD_MAX_BYTES (4 * KIB) /* a head has a few hundred bytes */
#define FILE_MAX_BYTES (DIRECTORY_MAX_BYTES + HEAD_MAX_BYTES + 64)

void
directory_file_print(const Citex__SignedHead *head, struct bytes contents, struct buffer *out)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 };

	proto_pack(&head->base, &packed);
	buffer_add_str(out, DIRECTORY_FILE_MAGIC);
	buffer_add_u32(out, (uint32_t)packed.len);
	buffer_add(out, buffer_bytes(&packed));
	buffer_add(out, contents);
}

enum err
directory_file_parse(struct bytes file, Citex__SignedHead **head, struct bytes *contents)
{
	struct reader r = { file, OK };
	struct bytes magic = read_bytes(&r, strlen(DIRECTORY_FILE_MAGIC));
	uint32_t len = read_u32(&r);
	struct bytes packed = read_bytes(&r, len);
	ProtobufCMessage *m = NULL;
	enum err e;

	if (r.err != OK || !bytes_equal(magic, bytes_str(DIRECTORY_FILE_MAGIC)))
		return ERR_MALFORMED;
	if (len > HEAD_MAX_BYTES || r.left.len > DIRECTORY_MAX_BYTES)
		return ERR_TOO_LARGE;
	e = proto_unpack(&citex__signed_head__descriptor, packed, &m);
	if (e != OK)
		return e;
	*head = (Citex__SignedHead *)m;
	*contents = r.left;
	return OK;
}

static enum err
say(char *why, enum err e, const char *words)
{
	(void)snprintf(why, WHY_BYTES, "%s", words);
	return e;
}

static enum err
build(struct bytes file, const char *pin, struct directory **out, char *why)
{
	Citex__SignedHead *head = NULL;
	struct bytes contents;
	enum err e = directory_file_parse(file, &head, &contents);

	if (e != OK)
		return say(why, e, "this is no directory file");
	e = directory_build(
	    NULL, &(struct directory_trust){ .pin = pin }, head, contents, out, why);
	proto_free((ProtobufCMessage *)head);
	return e;
}

enum err
directory_file_read(const char *state, const char *pin, struct directory **out, char *why)
{
	CLEANUP(buffer_release) struct buffer file = { 0 };
	char path[4096];
	struct stat st;
	enum err e;

	why[0] = '\0';
	(void)snprintf(path, sizeof(path), "%s/%s", state, DIRECTORY_FILE_NAME);
	if (stat(path, &st) != 0)
		return say(
		    why, ERR_NOT_FOUND, "there is no directory yet: citex-pki directory install");
	e = file_read(path, FILE_MAX_BYTES, &file);
	if (e != OK)
		return say(why, e, err_words(e));
	return build(buffer_bytes(&file), pin, out, why);
}
