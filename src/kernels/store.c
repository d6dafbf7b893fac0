/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/scalar.h"

static void store_by_table(float *dst, const uint8_t *src, int n, const float *lut, int reverse)
{
    /* Words, not floats: a NaN of the table keeps its bits on every machine. */
    for (int i = 0; i < n; i++)
        memcpy(dst + (reverse ? n - 1 - i : i), lut + src[i], sizeof *dst);
}

void pst__store_f32_scalar(float *dst, const uint8_t *src, int n, const struct pst__norm *norm,
                           int reverse)
{
#if defined(__FP_FAST_FMAF) || defined(__aarch64__)
    /* With an fma instruction the formula vectorises, and table reads do not. */
    const struct pst__norm local = *norm;
    if (local.kind != PST_NORM_LUT) {
        if (reverse)
            for (int i = 0; i < n; i++)
                dst[i] = pst__norm_fast(&local, src[n - 1 - i]);
        else
            for (int i = 0; i < n; i++)
                dst[i] = pst__norm_fast(&local, src[i]);
        return;
    }
#endif
    store_by_table(dst, src, n, norm->lut, reverse);
}

void pst__store_u8_scalar(uint8_t *dst, const uint8_t *src, int n, int reverse)
{
    if (!reverse) {
        if (n > 0)
            memcpy(dst, src, (size_t)n);
        return;
    }
    for (int i = 0; i < n; i++)
        dst[i] = src[n - 1 - i];
}

void pst__store_u16_scalar(uint16_t *dst, const uint8_t *src, int n, const uint16_t *lut,
                           int reverse)
{
    if (reverse)
        for (int i = 0; i < n; i++)
            dst[i] = lut[src[n - 1 - i]];
    else
        for (int i = 0; i < n; i++)
            dst[i] = lut[src[i]];
}

void pst__interleave_scalar(uint8_t *dst, const uint8_t *src, ptrdiff_t plane_stride, int n,
                            int size)
{
    /* A copy of a size that is known becomes a move. */
    for (int c = 0; c < 3; c++, src += plane_stride, dst += size) {
        if (size == 4)
            for (int i = 0; i < n; i++)
                memcpy(dst + (ptrdiff_t)i * 12, src + (ptrdiff_t)i * 4, 4);
        else if (size == 2)
            for (int i = 0; i < n; i++)
                memcpy(dst + (ptrdiff_t)i * 6, src + (ptrdiff_t)i * 2, 2);
        else
            for (int i = 0; i < n; i++)
                dst[(ptrdiff_t)i * 3] = src[i];
    }
}
