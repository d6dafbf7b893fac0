/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_INDEX_H
#define PST_FORMAT_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>

#include "format/folder/tree.h"
#include "io/replace.h"

/* A tree as bytes; docs/format-index.md has the layout. */

#define PST__INDEX_HEADER 128

/* Which walk a tree is of: the root and what was looked for in it. */
struct pst__index_key {
    const char *root;     /* absolute */
    const char *suffixes; /* in one spelling */
    uint64_t user;        /* who walked: what may be listed depends on it */
};

/* The bytes of a tree, in pieces; names are the tree's own. Zero-initialised means empty. */
struct pst__index {
    uint8_t header[PST__INDEX_HEADER];
    uint8_t *key, *folders;
    struct pst__piece piece[5];
};
#define PST__INDEX_PIECES 5
int pst__index_encode(struct pst__index *index, const struct pst__tree *tree,
                      const struct pst__index_key *key) PST_NODISCARD;
void pst__index_reset(struct pst__index *index);
uint64_t pst__index_size(const struct pst__index *index);

/* Where the bytes of an index come from: n of them at offset, all or a negative status. */
struct pst__index_source {
    int (*read)(void *self, uint64_t offset, void *out, size_t n, struct pst_error *err);
    void *self;
    uint64_t size;
};

/* Makes the tree that was encoded. key NULL: of any walk; otherwise another one's is
 * PST_ENOTFOUND. Nothing in the bytes is trusted: PST_EFORMAT, PST_ETRUNCATED, PST_ELIMIT,
 * PST_EUNSUPPORTED (another version) with the byte offset. header, where not NULL, gets a copy of
 * the header, which is equal where the trees are. */
int pst__index_decode(struct pst__tree *tree, const struct pst__index_source *source,
                      const struct pst__index_key *key, uint8_t *header, struct pst_error *err);

/* Does a file begin like an index of whatever version? */
int pst__index_is_ours(const uint8_t *bytes, size_t n);

#endif
