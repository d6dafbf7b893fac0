/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/scalar.h"

/* Convolutions as torch's CPU has them. One chain of fused multiply-adds an output: what is taken
 * apart between outputs may be done in any order, what is within a chain may not. */

static float sum_at(const float *const *row, ptrdiff_t x, const float *weight, int n_rows,
                    int n_taps)
{
    float sum = 0;
    for (int i = 0; i < n_rows; i++) {
        for (int j = 0; j < n_taps; j++)
            sum = fmaf(weight[(ptrdiff_t)i * n_taps + j], row[i][x + j], sum);
    }
    return sum;
}

void pst__convolve_scalar(float *dst, const float *const *row, int n, const float *weight,
                          int n_rows, int n_taps)
{
    for (int x = 0; x < n; x++)
        dst[x] = sum_at(row, x, weight, n_rows, n_taps);
}

void pst__convolve_at_scalar(float *dst, const int32_t *place, int n, const float *const *row,
                             const float *weight, int n_rows, int n_taps)
{
    for (int k = 0; k < n; k++)
        dst[k] = sum_at(row, place[k], weight, n_rows, n_taps);
}

/* Of pixels first .. n - 1. */
int pst__round_sums_from(uint8_t *px, const float *sum, ptrdiff_t plane, int first, int n,
                         float limit, int32_t *place)
{
    int n_places = 0;
    for (int c = 0; c < 3; c++) {
        const float *from = sum + c * plane;
        for (int x = first; x < n; x++) {
            float whole = rintf(from[x]);
            px[4 * (ptrdiff_t)x + c] = (uint8_t)whole;
            if (fabsf(from[x] - whole) > limit)
                place[n_places++] = (int32_t)(c * plane + x);
        }
    }
    return n_places;
}

int pst__round_sums_scalar(uint8_t *px, const float *sum, ptrdiff_t plane, int n, float limit,
                           int32_t *place)
{
    return pst__round_sums_from(px, sum, plane, 0, n, limit, place);
}

void pst__spread_scalar(float *dst, ptrdiff_t plane, const uint8_t *px, int n)
{
    for (int x = 0; x < n; x++, px += 4) {
        for (int c = 0; c < 3; c++)
            dst[c * plane + x] = px[c];
    }
}
