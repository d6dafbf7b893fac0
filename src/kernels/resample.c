/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/scalar.h"

/* The two passes of a resize, in Pillow's fixed point.
 *
 * An output is clip8((2^21 + S) >> 22) with S the sum of coef * pixel, the shift rounding towards
 * minus infinity. The weights of an output are divided by their sum before they become integers, so
 * P - N = 2^22 up to half a unit for each tap, where P is the sum of the positive coefficients and
 * N that of the negative ones, negated. N is 0 for box, bilinear and hamming; over all sizes and
 * positions it stays below 0.15 * 2^22 for bicubic and 0.29 * 2^22 for lanczos (the worst cases are
 * at the edges, where the filter is cut off). Every partial sum lies between -255 N and 255 P, and
 *
 *   255 P + 2^21 <= 255 * 1.29 * 2^22 + 255 * taps / 2 + 2^21 < 2^31
 *
 * for any number of taps below 6 million, so int32 holds it. More generally P <= 2^23 is enough,
 * the bound that callers have to keep. The vector versions split coefficients into digits whose
 * partial sums may wrap; wrapping is exact modulo 2^32, and the whole sum fits.
 *
 * A single coefficient is below 1.3 * 2^22; the digits of the vector versions hold up to
 * PST__COEF_MAX. */
#define PST__COEF_MAX 0x7f7f7f
#define V_TILE 64

static uint8_t clip8(int32_t sum)
{
    int32_t v = sum >> PST_TAP_BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Unused where assertions are off. */
__attribute__((unused)) static int coefs_fit(const struct pst__taps *taps)
{
    for (ptrdiff_t i = 0; i < (ptrdiff_t)taps->ksize * taps->pitch; i++)
        if (taps->coef[i] < -PST__COEF_MAX || taps->coef[i] > PST__COEF_MAX)
            return 0;
    return 1;
}

void pst__resample_h_scalar(uint8_t *dst, ptrdiff_t dst_stride, ptrdiff_t plane_stride,
                            const uint8_t *src, ptrdiff_t src_stride, int n_rows,
                            const struct pst__taps *taps)
{
    assert(taps->pitch >= taps->n && taps->pitch % PST_TAP_LANES == 0);
    assert(plane_stride >= taps->pitch);
    assert(coefs_fit(taps));
    for (int row = 0; row < n_rows; row++, dst += dst_stride, src += src_stride) {
        for (int i = 0; i < taps->n; i++) {
            const uint8_t *pixel = src + (ptrdiff_t)taps->start[i] * 4;
            const int32_t *coef = taps->coef + i;
            int32_t r = 1 << (PST_TAP_BITS - 1), g = r, b = r;
            for (int k = 0; k < taps->count[i]; k++, pixel += 4, coef += taps->pitch) {
                r += *coef * pixel[0];
                g += *coef * pixel[1];
                b += *coef * pixel[2];
            }
            dst[i] = clip8(r);
            dst[plane_stride + i] = clip8(g);
            dst[2 * plane_stride + i] = clip8(b);
        }
    }
}

/* Whole tiles: the loops over V_TILE columns have a constant length, which is what compilers need
 * to vectorise them at -O2. The contract allows it on both sides. */
void pst__resample_v_scalar(uint8_t *dst, const uint8_t *src, ptrdiff_t src_stride, int n,
                            const int32_t *coef, int count)
{
    for (int x = 0; x < n; x += V_TILE) {
        int32_t sum[V_TILE];
        for (int i = 0; i < V_TILE; i++)
            sum[i] = 1 << (PST_TAP_BITS - 1);
        const uint8_t *row = src + x;
        for (int k = 0; k < count; k++, row += src_stride) {
            int32_t c = coef[k];
            assert(c >= -PST__COEF_MAX && c <= PST__COEF_MAX);
            for (int i = 0; i < V_TILE; i++)
                sum[i] += c * row[i];
        }
        for (int i = 0; i < V_TILE; i++)
            dst[x + i] = clip8(sum[i]);
    }
}
