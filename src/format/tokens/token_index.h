/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_TOKEN_INDEX_H
#define PST_FORMAT_TOKEN_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>

#include "base/attributes.h"
#include "format/layout/layout.h"

/* The files that say where the documents of a file of tokens are. */

/* Zero-initialised means empty. */
struct pst__token_index {
    int dtype; /* enum pst_dtype */
    uint64_t n_tokens, n_documents;
    uint64_t *ends; /* of the documents, in tokens, never decreasing; the last is n_tokens */
};
void pst__token_index_reset(struct pst__token_index *index);

/* Megatron's .idx. Without `with_ends` the arrays in it are not read, but for their ends. */
int pst__megatron_read(struct pst__token_index *index, const struct pst__reader *reader,
                       int with_ends, struct pst_error *err) PST_NODISCARD;
/* datatrove's .ds.index. It does not know the dtype: that follows from the size of the tokens. */
int pst__datatrove_read(struct pst__token_index *index, const struct pst__reader *reader,
                        int with_ends, struct pst_error *err) PST_NODISCARD;

/* An array of an index, front to back. Items are 4 or 8 bytes, little-endian, and not aligned. */
struct pst__index_array {
    const struct pst__reader *reader;
    uint64_t offset, n; /* of the array, in bytes and items */
    uint64_t next;      /* item */
    uint32_t width;
    uint32_t held; /* items in bytes[] from `next` on */
    const uint8_t *at;
    uint8_t bytes[8192];
};
void pst__index_array_init(struct pst__index_array *array, const struct pst__reader *reader,
                           uint64_t offset, uint64_t n, uint32_t width);
/* The next item; there is one. 4 bytes are signed. */
int pst__index_array_next(struct pst__index_array *array, int64_t *item, struct pst_error *err);

#endif
