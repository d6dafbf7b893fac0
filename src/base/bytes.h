/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BASE_BYTES_H
#define PST_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A reader over bytes from outside. A read past the end gives zeros and sets `over` for good, so
 * that a parser may read a whole structure and check once. */
struct pst__bytes {
    const uint8_t *data;
    size_t size, pos;
    int over;
};

static inline struct pst__bytes pst__bytes_over(const void *data, size_t size)
{
    return (struct pst__bytes){.data = data, .size = size};
}
static inline size_t pst__bytes_left(const struct pst__bytes *b)
{
    return b->size - b->pos;
}
/* n bytes, or NULL. */
static inline const uint8_t *pst__bytes_take(struct pst__bytes *b, size_t n)
{
    if (b->over || n > b->size - b->pos) {
        b->over = 1;
        return NULL;
    }
    const uint8_t *p = b->data + b->pos;
    b->pos += n;
    return p;
}
static inline uint8_t pst__bytes_u8(struct pst__bytes *b)
{
    const uint8_t *p = pst__bytes_take(b, 1);
    return p ? p[0] : 0;
}
static inline uint16_t pst__bytes_be16(struct pst__bytes *b)
{
    const uint8_t *p = pst__bytes_take(b, 2);
    return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}
static inline uint16_t pst__bytes_le16(struct pst__bytes *b)
{
    const uint8_t *p = pst__bytes_take(b, 2);
    return p ? (uint16_t)(p[1] << 8 | p[0]) : 0;
}
static inline uint32_t pst__bytes_le24(struct pst__bytes *b)
{
    const uint8_t *p = pst__bytes_take(b, 3);
    return p ? (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0] : 0;
}
static inline uint32_t pst__bytes_le32(struct pst__bytes *b)
{
    const uint8_t *p = pst__bytes_take(b, 4);
    return p ? (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0] : 0;
}
static inline uint64_t pst__bytes_le64(struct pst__bytes *b)
{
    uint64_t low = pst__bytes_le32(b);
    return low | (uint64_t)pst__bytes_le32(b) << 32;
}
static inline uint32_t pst__bytes_be32(struct pst__bytes *b)
{
    const uint8_t *p = pst__bytes_take(b, 4);
    return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

#endif
