/* SPDX-License-Identifier: Apache-2.0 */
#include "base/xxh64.h"

#include <string.h>

/* doc/xxhash_spec.md of xxHash, section "XXH64 Algorithm Description". */
#define PRIME1 0x9e3779b185ebca87u
#define PRIME2 0xc2b2ae3d27d4eb4fu
#define PRIME3 0x165667b19e3779f9u
#define PRIME4 0x85ebca77c2b2ae63u
#define PRIME5 0x27d4eb2f165667c5u

static uint64_t rotate(uint64_t v, int n)
{
    return v << n | v >> (64 - n);
}

static uint64_t read64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static uint32_t read32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    return v;
}

static uint64_t round64(uint64_t lane, uint64_t input)
{
    return rotate(lane + input * PRIME2, 31) * PRIME1;
}

static uint64_t merge(uint64_t hash, uint64_t lane)
{
    return (hash ^ round64(0, lane)) * PRIME1 + PRIME4;
}

static uint64_t stripes(const uint8_t **p, size_t n)
{
    uint64_t a = PRIME1 + PRIME2, b = PRIME2, c = 0, d = 0 - PRIME1;
    for (; n > 0; n--, *p += 32) {
        a = round64(a, read64(*p));
        b = round64(b, read64(*p + 8));
        c = round64(c, read64(*p + 16));
        d = round64(d, read64(*p + 24));
    }
    uint64_t hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
    return merge(merge(merge(merge(hash, a), b), c), d);
}

uint64_t pst__xxh64(const void *data, size_t size)
{
    const uint8_t *p = data;
    uint64_t hash = (size >= 32 ? stripes(&p, size / 32) : PRIME5) + size;
    size_t left = size % 32;
    for (; left >= 8; left -= 8, p += 8)
        hash = rotate(hash ^ round64(0, read64(p)), 27) * PRIME1 + PRIME4;
    for (; left >= 4; left -= 4, p += 4)
        hash = rotate(hash ^ read32(p) * PRIME1, 23) * PRIME2 + PRIME3;
    for (; left > 0; left--, p++)
        hash = rotate(hash ^ *p * PRIME5, 11) * PRIME1;
    hash = (hash ^ hash >> 33) * PRIME2;
    hash = (hash ^ hash >> 29) * PRIME3;
    return hash ^ hash >> 32;
}
