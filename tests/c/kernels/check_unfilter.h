/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_KERNELS_CHECK_UNFILTER_H
#define PST_TESTS_KERNELS_CHECK_UNFILTER_H

#include <zlib.h>

#include "kernels/check_memory.h"
#include "kernels/kernels.h"

/* What the PNG specification says a filter adds to a byte. */
static int filter_adds(enum pst__filter filter, int left, int above, int corner)
{
    int p = left + above - corner;
    switch (filter) {
    case PST_FILTER_SUB:
        return left;
    case PST_FILTER_UP:
        return above;
    case PST_FILTER_AVERAGE:
        return (left + above) / 2;
    case PST_FILTER_PAETH:
        if (abs(p - left) <= abs(p - above) && abs(p - left) <= abs(p - corner))
            return left;
        return abs(p - above) <= abs(p - corner) ? above : corner;
    default:
        return 0;
    }
}

static void check_unfilter(const struct pst__kernels *kernels, int n)
{
    static const int sizes[] = {1, 2, 3, 4, 6, 8};
    int bpp = sizes[draw() % 6], bytes = n * bpp;
    enum pst__filter filter = (enum pst__filter)(draw() % 5);
    struct fenced above, room;
    struct field row;
    fenced_new(&above, (size_t)bytes + PST_PAD, draw() % 4 != 0);
    fenced_new(&room, (size_t)bytes + PST_PAD, draw() % 4 != 0);
    field_new(&row, (size_t)bytes + PST_PAD);
    field_allow(&row, 0, (size_t)bytes);
    memcpy(room.data, row.data, row.size);
    kernels->unfilter(room.data, above.data, bytes, bpp, filter);
    for (int i = 0; i < bytes; i++) {
        int left = i < bpp ? 0 : room.data[i - bpp], corner = i < bpp ? 0 : above.data[i - bpp];
        int expected = (row.data[i] + filter_adds(filter, left, above.data[i], corner)) & 255;
        if (room.data[i] != expected)
            differ("unfilter", kernels->name, n, i, room.data[i], expected);
    }
    memcpy(row.data, room.data, row.size);
    field_check(&row, "unfilter");
    field_free(&row);
    fenced_free(&room);
    fenced_free(&above);
}

/* Every left, above and corner. Nothing but zeros stands before the first pixel, to which Paeth
 * then adds what is above it. */
static void check_all_paeth(const struct pst__kernels *kernels)
{
    uint8_t row[8 + PST_PAD] = {0}, up[8 + PST_PAD] = {0};
    for (unsigned v = 0; v < 1u << 24; v += 4) {
        int above = (int)(v >> 8 & 255), corner = (int)(v >> 16);
        for (unsigned c = 0; c < 4; c++) {
            row[c] = (uint8_t)((v & 255) + c - (unsigned)corner);
            row[4 + c] = 0;
            up[c] = (uint8_t)corner;
            up[4 + c] = (uint8_t)above;
        }
        kernels->unfilter(row, up, 8, 4, PST_FILTER_PAETH);
        for (unsigned c = 0; c < 4; c++) {
            int left = (int)((v & 255) + c);
            int expected = filter_adds(PST_FILTER_PAETH, left, above, corner);
            if (row[4 + c] != expected)
                differ("unfilter, Paeth", kernels->name, left, above, row[4 + c], expected);
        }
    }
}

static void check_adler32(const struct pst__kernels *kernels, int n)
{
    /* The largest sums come of bytes of 255, after many of them. */
    size_t size = draw() % 4 ? (size_t)n : (size_t)n * 64;
    struct fenced src;
    fenced_new(&src, size, draw() % 4 != 0);
    if (draw() % 4 == 0)
        memset(src.data, 255, size);
    uint32_t got = kernels->adler32(src.data, size);
    uint32_t expected = (uint32_t)adler32(1, src.data, (uInt)size);
    if (got != expected)
        differ("adler32", kernels->name, n, 0, (int)got, (int)expected);
    fenced_free(&src);
}

#endif
