/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/scalar.h"

/* torch's normal_() of floats, as its AVX2 version computes it: Box and Muller, with the
 * polynomials of Cephes for the logarithm, the sine and the cosine (ATen's avx_mathfun.h). Each fma
 * is one that its compiler made of a product and a sum, and its rounding shows: the constants and
 * the order of all operations are those of the machine code of torch 2.13. */

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* 0 < x <= 1 */
static float log_of(float x)
{
    static const float c[] = {PST__LOG_COEFFICIENTS};
    int32_t exponent = (int32_t)(bits_of(x) >> 23) - 127;
    float m = float_of((bits_of(x) & 0x007fffffu) | 0x3f000000u), e = (float)exponent + 1.0f;
    int is_low = m < PST__SQRT_HALF;
    float again = is_low ? m : 0.0f;
    e -= is_low ? 1.0f : 0.0f;
    m = m - 1.0f + again;
    float z = m * m, y = c[0];
    for (int i = 1; i < 9; i++)
        y = fmaf(y, m, c[i]);
    y = fmaf(m * y, z, e * PST__LN2_LOW);
    y = fmaf(-z, 0.5f, y);
    return fmaf(e, PST__LN2_HIGH, m + y);
}

/* x >= 0 */
static void sine_cosine_of(float x, float *sine, float *cosine)
{
    int32_t j = ((int32_t)(x * PST__FOUR_BY_PI) + 1) & ~1;
    float octant = (float)j;
    x = fmaf(octant, PST__QUARTER_PI_1, x);
    x = fmaf(octant, PST__QUARTER_PI_2, x);
    x = fmaf(octant, PST__QUARTER_PI_3, x);
    float z = x * x;
    float c = fmaf(fmaf(PST__COS_0, z, PST__COS_1), z, PST__COS_2);
    c = fmaf(z, z * c, -(z * 0.5f)) + 1.0f;
    float s = fmaf(fmaf(PST__SIN_0, z, PST__SIN_1), z, PST__SIN_2);
    s = fmaf(x, z * s, x);
    int is_sine = !(j & 2);
    *sine = is_sine ? s : c;
    *cosine = is_sine ? c : s;
    if (j & 4)
        *sine = -*sine;
    if (!((j - 2) & 4))
        *cosine = -*cosine;
}

void pst__normal_scalar(float *dst, const uint32_t *words, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        for (size_t k = i; k < i + 8; k++) {
            float u = (float)(words[k] & 0xffffffu) * 0x1p-24f, sine, cosine;
            float v = (float)(words[k + 8] & 0xffffffu) * 0x1p-24f;
            float radius = sqrtf(log_of(1.0f - u) * -2.0f);
            sine_cosine_of(v * PST__TWO_PI, &sine, &cosine);
            /* Times 1, plus 0: of which no negative zero is left. */
            dst[k] = radius * cosine + 0.0f;
            dst[k + 8] = radius * sine + 0.0f;
        }
    }
}
