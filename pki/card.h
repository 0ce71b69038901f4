/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PKI_CARD_H
#define PKI_CARD_H

#include "proto/bytes.h"
#include "proto/error.h"

/* A card as it travels by hand: a line, the SignedCard in base64, a line; docs/protocol.md, 4. */

/* Append the text of SIGNED_CARD, an authority's or a node's, to OUT. */
void card_print(bool is_node, struct bytes signed_card, struct buffer *out);
/* Append the SignedCard in TEXT to SIGNED_CARD; nothing in it is looked at. ERR_MALFORMED,
 * ERR_TRUNCATED. */
enum err card_parse(struct bytes text, bool *is_node, struct buffer *signed_card) MUST_CHECK;

#endif
