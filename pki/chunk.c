/* SPDX-License-Identifier: Apache-2.0 */
/* Lengths and Merkle paths of chunks. Not here: encryption (seal.c). */
#include "pki/chunk.h"

#include <string.h>

uint64_t
sealed_length_of(uint64_t plain_length)
{
	uint64_t count = plain_length == 0 ? 1 : (plain_length - 1) / CHUNK_PLAIN_BYTES + 1;

	return plain_length + count * CHUNK_TAG_BYTES;
}

uint32_t
chunk_count(uint64_t sealed_length)
{
	uint64_t count, last;

	if (sealed_length < CHUNK_TAG_BYTES ||
	    sealed_length > sealed_length_of(ATTACHMENT_MAX_BYTES))
		return 0;
	count = (sealed_length - 1) / CHUNK_BYTES + 1;
	last = sealed_length - (count - 1) * CHUNK_BYTES;
	if (count > 1 && last <= CHUNK_TAG_BYTES)
		return 0;
	return (uint32_t)count;
}

size_t
chunk_length(uint64_t sealed_length, uint32_t index)
{
	uint32_t count = chunk_count(sealed_length);

	if (index >= count)
		return 0;
	if (index < count - 1)
		return CHUNK_BYTES;
	return (size_t)(sealed_length - (uint64_t)index * CHUNK_BYTES);
}

enum err
chunk_check(const Citex__Part *part, uint32_t index, struct bytes data, const struct bytes *path,
    size_t path_count)
{
	uint32_t count = chunk_count(part->length);
	uint8_t root[DIGEST_BYTES];
	enum err e;

	if (index >= count || data.len != chunk_length(part->length, index) ||
	    part->root.len != DIGEST_BYTES)
		return ERR_MALFORMED;
	e = merkle_walk(data, index, count, path, path_count, root);
	if (e != OK)
		return e;
	return memcmp(root, part->root.data, DIGEST_BYTES) == 0 ? OK : ERR_SIGNATURE;
}
