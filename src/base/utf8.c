/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

#include "base/attributes.h"

/* Table 3-7 of the Unicode standard: the lead byte decides the range of the byte behind it. */
static const struct {
    uint8_t first, last, low, high, length;
} rows[] = {
    {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
    {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
    {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

size_t pst__utf8_length(const char *text)
{
    const uint8_t *p = (const uint8_t *)text;
    if (p[0] < 0x80)
        return 1;
    for (size_t i = 0; i < PST_COUNTOF(rows); i++) {
        if (p[0] < rows[i].first || p[0] > rows[i].last)
            continue;
        /* Each byte is looked at only if the one before it was good, so never behind the NUL. */
        if (p[1] < rows[i].low || p[1] > rows[i].high)
            return 0;
        for (size_t k = 2; k < rows[i].length; k++)
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        return rows[i].length;
    }
    return 0;
}

uint32_t pst__utf8_next(const char **text)
{
    const uint8_t *p = (const uint8_t *)*text;
    size_t n = pst__utf8_length(*text);
    *text += n > 1 ? n : p[0] != 0;
    switch (n) {
    case 0:
        return 0xdc00u + p[0];
    case 1:
        return p[0];
    case 2:
        return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
    case 3:
        return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    default:
        return (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
    }
}

int pst__utf8_compare(const char *a, const char *b)
{
    for (;;) {
        uint32_t x = pst__utf8_next(&a), y = pst__utf8_next(&b);
        if (x != y)
            return x < y ? -1 : 1;
        if (x == 0)
            return 0;
    }
}
