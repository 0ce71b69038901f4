/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/parcel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pki/merkle.h"

uint64_t
parcel_length(const struct parcel_part *p)
{
	return (uint64_t)(p->count - 1) * CHUNK_BYTES + p->last;
}

void
parcel_chunk(const struct parcel_part *p, uint32_t index, struct buffer *out)
{
	size_t len = index + 1 == p->count ? p->last : CHUNK_BYTES;
	uint8_t *at = buffer_extend(out, len);

	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)(p->seed + index * 7 + i);
}

/* Trees are asked for again and again; each is made once. */
static struct tree {
	struct parcel_part part;
	struct merkle *merkle;
	struct tree *next;
} * trees;

static const struct merkle *
tree_of(const struct parcel_part *p)
{
	struct tree *t = trees;

	while (t != NULL &&
	    (t->part.seed != p->seed || t->part.count != p->count || t->part.last != p->last))
		t = t->next;
	if (t != NULL)
		return t->merkle;
	t = xalloc(sizeof(*t));
	*t = (struct tree){ *p, merkle_new(), trees };
	trees = t;
	for (uint32_t i = 0; i < p->count; i++) {
		CLEANUP(buffer_release) struct buffer chunk = { 0 };
		parcel_chunk(p, i, &chunk);
		merkle_add(t->merkle, buffer_bytes(&chunk));
	}
	return t->merkle;
}

void
parcel_root(const struct parcel_part *p, uint8_t root[DIGEST_BYTES])
{
	merkle_root(tree_of(p), root);
}

static ProtobufCBinaryData
owned(struct bytes b)
{
	return (ProtobufCBinaryData){ b.len, xmemdup(b.at, b.len) };
}

Citex__Chunk *
parcel_pb(const struct parcel_part *p, uint32_t index)
{
	const struct merkle *m = tree_of(p);
	CLEANUP(buffer_release) struct buffer data = { 0 };
	uint8_t root[DIGEST_BYTES], path[MERKLE_PATH_MAX][DIGEST_BYTES];
	Citex__Chunk *c = xalloc(sizeof(*c));

	citex__chunk__init(c);
	merkle_root(m, root);
	parcel_chunk(p, index, &data);
	c->root = owned(BYTES_OF(root));
	c->index = index;
	c->data = owned(buffer_bytes(&data));
	c->n_path = merkle_path(m, index, path);
	c->path = xalloc_array(c->n_path + 1, sizeof(*c->path));
	for (size_t i = 0; i < c->n_path; i++)
		c->path[i] = owned(BYTES_OF(path[i]));
	return c;
}

static void
change(Citex__Outer *o, void *arg)
{
	const struct parcel *p = arg;

	memset(o->envelope_id.data, p->id, ID_BYTES);
	o->priority = p->urgent ? 1 : 0;
	if (p->created_ms != 0)
		o->created = (uint64_t)p->created_ms;
	o->expires = p->expires_ms != 0 ? (uint64_t)p->expires_ms
					: o->created + (uint64_t)LIFETIME_DEFAULT_MS;
	o->n_parts = p->part_count;
	o->parts = xalloc_array(p->part_count + 1, sizeof(*o->parts));
	for (size_t i = 0; i < p->part_count; i++) {
		uint8_t root[DIGEST_BYTES];
		o->parts[i] = xalloc(sizeof(Citex__Part));
		citex__part__init(o->parts[i]);
		parcel_root(&p->parts[i], root);
		o->parts[i]->root = owned(BYTES_OF(root));
		o->parts[i]->length = parcel_length(&p->parts[i]);
	}
}

static void
make(struct fixture *f, const struct parcel *p, struct buffer *packed)
{
	struct mail_plan plan = {
		.author = p->author,
		.addressee = p->addressee,
		.stamper = p->stamper,
		.sequence = p->sequence,
		.outer = change,
		.arg = (void *)(uintptr_t)p,
	};

	assert_true(p->id != 0);
	mail_make(f, &plan, packed, NULL);
}

/* Sealing takes chance: the same parcel made again would be another envelope. So each is made
 * once. */
static struct made {
	const struct fixture *fixture;
	struct parcel parcel;
	struct buffer packed;
	struct made *next;
} * made;

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
same_parcel(const struct parcel *a, const struct parcel *b)
{
	return same_text(a->author, b->author) && same_text(a->addressee, b->addressee) &&
	    same_text(a->stamper, b->stamper) && a->id == b->id && a->sequence == b->sequence &&
	    a->urgent == b->urgent && a->created_ms == b->created_ms &&
	    a->expires_ms == b->expires_ms && a->parts == b->parts &&
	    a->part_count == b->part_count;
}

void
parcels_forget(void)
{
	while (made != NULL) {
		struct made *gone = made;
		made = gone->next;
		buffer_release(&gone->packed);
		free(gone);
	}
	while (trees != NULL) {
		struct tree *gone = trees;
		trees = gone->next;
		merkle_free(gone->merkle);
		free(gone);
	}
}

void
parcel_make(struct fixture *f, const struct parcel *p, struct buffer *packed)
{
	struct made *m = made;

	while (m != NULL && (m->fixture != f || !same_parcel(&m->parcel, p)))
		m = m->next;
	if (m == NULL) {
		m = xalloc(sizeof(*m));
		*m = (struct made){ .fixture = f, .parcel = *p, .next = made };
		make(f, p, &m->packed);
		made = m;
	}
	buffer_add(packed, buffer_bytes(&m->packed));
}

void
parcel_envelope(struct fixture *f, const struct parcel *p, struct envelope *e)
{
	CLEANUP(buffer_release) struct buffer packed = { 0 };

	parcel_make(f, p, &packed);
	assert_int_equal(envelope_parse(buffer_bytes(&packed), e), OK);
}
