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
