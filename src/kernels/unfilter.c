/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/scalar.h"

/* The filters of PNG (section 9 of the specification). Left of the row stand zeros. */

static void undo_sub(uint8_t *row, int n, int bpp)
{
    for (int i = bpp; i < n; i++)
        row[i] = (uint8_t)(row[i] + row[i - bpp]);
}

static void undo_up(uint8_t *row, const uint8_t *above, int n)
{
    for (int i = 0; i < n; i++)
        row[i] = (uint8_t)(row[i] + above[i]);
}

static void undo_average(uint8_t *row, const uint8_t *above, int n, int bpp)
{
    for (int i = 0; i < bpp && i < n; i++)
        row[i] = (uint8_t)(row[i] + above[i] / 2);
    for (int i = bpp; i < n; i++)
        row[i] = (uint8_t)(row[i] + (row[i - bpp] + above[i]) / 2);
}

static int distance(int a, int b)
{
    return a > b ? a - b : b - a;
}

/* Which of left, above and above left is nearest to left + above - above left. */
static uint8_t paeth(uint8_t left, uint8_t above, uint8_t corner)
{
    int to_left = distance(above, corner), to_above = distance(left, corner);
    int to_corner = distance(left + above, 2 * corner);
    uint8_t far = to_above <= to_corner ? above : corner;
    return to_left <= to_above && to_left <= to_corner ? left : far;
}

static void undo_paeth(uint8_t *row, const uint8_t *above, int n, int bpp)
{
    for (int i = 0; i < bpp && i < n; i++)
        row[i] = (uint8_t)(row[i] + above[i]);
    for (int i = bpp; i < n; i++)
        row[i] = (uint8_t)(row[i] + paeth(row[i - bpp], above[i], above[i - bpp]));
}

void pst__unfilter_scalar(uint8_t *row, const uint8_t *above, int n, int bpp,
                          enum pst__filter filter)
{
    switch (filter) {
    case PST_FILTER_NONE:
        return;
    case PST_FILTER_SUB:
        undo_sub(row, n, bpp);
        return;
    case PST_FILTER_UP:
        undo_up(row, above, n);
        return;
    case PST_FILTER_AVERAGE:
        undo_average(row, above, n, bpp);
        return;
    case PST_FILTER_PAETH:
        undo_paeth(row, above, n, bpp);
        return;
    }
}

/* The sums of a block are cut late: 5552 bytes of 255 leave both below 2^32. */
uint32_t pst__adler32_scalar(const uint8_t *src, size_t n)
{
    uint32_t a = 1, b = 0;
    while (n > 0) {
        size_t block = n < 5552 ? n : 5552;
        for (size_t i = 0; i < block; i++) {
            a += src[i];
            b += a;
        }
        a %= PST__ADLER_MODULUS;
        b %= PST__ADLER_MODULUS;
        src += block;
        n -= block;
    }
    return b << 16 | a;
}
