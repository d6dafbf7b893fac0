/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_INDEX_HASHES_H
#define PST_TESTS_INDEX_HASHES_H

#include <stddef.h>
#include <stdint.h>

#include <xxhash.h>

static inline void put64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static inline uint64_t get64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* The hashes of an index's sections, as far as they lie in it, and of its header made right again:
 * only the parser is left. */
static inline void make_hashes_right(uint8_t *bytes, size_t size)
{
    uint64_t at = 128;
    for (int i = 0; i < 4 && size >= 128; i++) {
        uint64_t n = get64(bytes + 40 + 16 * i);
        if (n > size - at)
            break;
        put64(bytes + 48 + 16 * i, XXH64(bytes + at, n, 0));
        at += n;
    }
    if (size >= 128)
        put64(bytes + 120, XXH64(bytes, 120, 0));
}

#endif
