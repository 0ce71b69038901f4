/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PKI_CHUNK_H
#define PKI_CHUNK_H

#include "pki/merkle.h"

/* Attachments as whoever carries them sees them: ciphertext in chunks of
 * CHUNK_BYTES under a Merkle root. Keys are not here: see seal.h. */

/* Chunks of a ciphertext of LENGTH bytes; 0 for a length that no attachment has: under a tag, over
 * that of ATTACHMENT_MAX_BYTES, or with a last chunk of nothing but its tag. */
uint32_t chunk_count(uint64_t sealed_length);
/* The length of chunk INDEX; 0 when there is none. */
size_t chunk_length(uint64_t sealed_length, uint32_t index);
/* Of the ciphertext of PLAIN_LENGTH bytes. An empty attachment is one chunk with nothing in it. */
uint64_t sealed_length_of(uint64_t plain_length);
/* Does DATA with PATH stand at INDEX under ROOT of PART? OK, ERR_MALFORMED, ERR_SIGNATURE (not that
 * root). */
enum err chunk_check(const Citex__Part *part, uint32_t index, struct bytes data,
    const struct bytes *path, size_t path_count) MUST_CHECK;

#endif
