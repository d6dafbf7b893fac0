/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_TOKEN_INDICES_H
#define PST_TESTS_TOKEN_INDICES_H

#include <penstock/error.h>

#include "format/tokens/token_index.h"

/* An index in memory, and what reads it. */
struct index_bytes {
    const uint8_t *data;
    size_t size;
};

static inline int read_index_bytes(void *self, uint64_t offset, size_t n, void *out,
                                   struct pst_error *err)
{
    const struct index_bytes *bytes = self;
    (void)err;
    /* A read outside is the parser's error. */
    if (offset > bytes->size || n > bytes->size - offset)
        __builtin_trap();
    if (n > 0)
        __builtin_memcpy(out, bytes->data + offset, n);
    return PST_OK;
}

static inline struct pst__reader index_reader(struct index_bytes *bytes)
{
    return (struct pst__reader){
        .shown = "a.idx", .size = bytes->size, .read = read_index_bytes, .self = bytes};
}

#endif
