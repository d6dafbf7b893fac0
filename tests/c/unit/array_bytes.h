/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_ARRAY_BYTES_H
#define PST_TESTS_ARRAY_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/status.h"
#include "format/array/array_file.h"

/* An array file in memory. */
struct array_bytes {
    const uint8_t *data;
    size_t size;
};

static inline int array_bytes_read(void *self, uint64_t offset, size_t n, void *out,
                                   struct pst_error *err)
{
    const struct array_bytes *bytes = self;
    if (offset > bytes->size || n > bytes->size - offset)
        return pst__fail(err, PST_EIO, "a read outside of the file");
    memcpy(out, bytes->data + offset, n);
    return PST_OK;
}

static inline struct pst__array_bytes array_bytes_source(struct array_bytes *bytes)
{
    return (struct pst__array_bytes){array_bytes_read, bytes, bytes->size, "bytes"};
}

static inline void array_put(uint8_t *p, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static inline uint64_t array_get(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* The CRCs of the footer that the first root points to and of both roots made right again: only the
 * parser is left. The second root becomes the first. */
static inline void array_make_right(uint8_t *bytes, size_t size)
{
    if (size < PST__ARRAY_DATA)
        return;
    uint64_t at = array_get(bytes + 24), n = array_get(bytes + 32);
    if (at <= size && n <= size - at)
        array_put(bytes + 48, pst__crc32c(0, bytes + at, (size_t)n), 4);
    array_put(bytes + 124, pst__crc32c(0, bytes, 124), 4);
    memcpy(bytes + PST__ARRAY_PAGE, bytes, PST__ARRAY_ROOT);
}

#endif
