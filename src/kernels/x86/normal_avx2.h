/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_NORMAL_AVX2_H
#define PST_KERNELS_X86_NORMAL_AVX2_H

#include "kernels/x86/resample_avx2.h"

/* Operation by operation as normal.c has it; what is chosen there is blended here. */

AVX2_INLINE __m256 unit8(const uint32_t *words)
{
    __m256i w = _mm256_loadu_si256((const __m256i *)(const void *)words);
    w = _mm256_and_si256(w, _mm256_set1_epi32(0xffffff));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(w), _mm256_set1_ps(0x1p-24f));
}

AVX2_INLINE __m256 log8(__m256 x)
{
    static const float c[] = {PST__LOG_COEFFICIENTS};
    const __m256 one = _mm256_set1_ps(1.0f), half = _mm256_set1_ps(0.5f);
    __m256i exponent = _mm256_srli_epi32(_mm256_castps_si256(x), 23);
    exponent = _mm256_sub_epi32(exponent, _mm256_set1_epi32(127));
    __m256 e = _mm256_add_ps(_mm256_cvtepi32_ps(exponent), one);
    __m256 m = _mm256_and_ps(x, _mm256_castsi256_ps(_mm256_set1_epi32(0x007fffff)));
    m = _mm256_or_ps(m, half);
    __m256 is_low = _mm256_cmp_ps(m, _mm256_set1_ps(PST__SQRT_HALF), _CMP_LT_OS);
    __m256 again = _mm256_and_ps(m, is_low);
    e = _mm256_sub_ps(e, _mm256_and_ps(one, is_low));
    m = _mm256_add_ps(_mm256_sub_ps(m, one), again);
    __m256 z = _mm256_mul_ps(m, m), y = _mm256_set1_ps(c[0]);
    for (int i = 1; i < 9; i++)
        y = _mm256_fmadd_ps(y, m, _mm256_set1_ps(c[i]));
    y = _mm256_fmadd_ps(_mm256_mul_ps(m, y), z, _mm256_mul_ps(e, _mm256_set1_ps(PST__LN2_LOW)));
    y = _mm256_fnmadd_ps(z, half, y);
    return _mm256_fmadd_ps(e, _mm256_set1_ps(PST__LN2_HIGH), _mm256_add_ps(m, y));
}

AVX2_INLINE void sine_cosine8(__m256 x, __m256 *sine, __m256 *cosine)
{
    const __m256i two = _mm256_set1_epi32(2), four = _mm256_set1_epi32(4);
    __m256i j = _mm256_cvttps_epi32(_mm256_mul_ps(x, _mm256_set1_ps(PST__FOUR_BY_PI)));
    j = _mm256_add_epi32(j, _mm256_set1_epi32(1));
    j = _mm256_and_si256(j, _mm256_set1_epi32(~1));
    __m256 octant = _mm256_cvtepi32_ps(j);
    x = _mm256_fmadd_ps(octant, _mm256_set1_ps(PST__QUARTER_PI_1), x);
    x = _mm256_fmadd_ps(octant, _mm256_set1_ps(PST__QUARTER_PI_2), x);
    x = _mm256_fmadd_ps(octant, _mm256_set1_ps(PST__QUARTER_PI_3), x);
    __m256 z = _mm256_mul_ps(x, x);
    __m256 c = _mm256_fmadd_ps(_mm256_set1_ps(PST__COS_0), z, _mm256_set1_ps(PST__COS_1));
    c = _mm256_mul_ps(z, _mm256_fmadd_ps(c, z, _mm256_set1_ps(PST__COS_2)));
    c = _mm256_fmsub_ps(z, c, _mm256_mul_ps(z, _mm256_set1_ps(0.5f)));
    c = _mm256_add_ps(c, _mm256_set1_ps(1.0f));
    __m256 s = _mm256_fmadd_ps(_mm256_set1_ps(PST__SIN_0), z, _mm256_set1_ps(PST__SIN_1));
    s = _mm256_mul_ps(z, _mm256_fmadd_ps(s, z, _mm256_set1_ps(PST__SIN_2)));
    s = _mm256_fmadd_ps(x, s, x);
    __m256 is_cosine = _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(j, two), two));
    __m256i sign = _mm256_slli_epi32(_mm256_and_si256(j, four), 29);
    __m256i other = _mm256_andnot_si256(_mm256_sub_epi32(j, two), four);
    other = _mm256_slli_epi32(other, 29);
    *sine = _mm256_xor_ps(_mm256_blendv_ps(s, c, is_cosine), _mm256_castsi256_ps(sign));
    *cosine = _mm256_xor_ps(_mm256_blendv_ps(c, s, is_cosine), _mm256_castsi256_ps(other));
}

AVX2 static void normal_avx2(float *dst, const uint32_t *words, size_t n)
{
    const __m256 zero = _mm256_setzero_ps();
    for (size_t i = 0; i < n; i += 16) {
        __m256 sine, cosine, u = _mm256_sub_ps(_mm256_set1_ps(1.0f), unit8(words + i));
        __m256 v = _mm256_mul_ps(unit8(words + i + 8), _mm256_set1_ps(PST__TWO_PI));
        __m256 radius = _mm256_sqrt_ps(_mm256_mul_ps(log8(u), _mm256_set1_ps(-2.0f)));
        sine_cosine8(v, &sine, &cosine);
        _mm256_storeu_ps(dst + i, _mm256_add_ps(_mm256_mul_ps(radius, cosine), zero));
        _mm256_storeu_ps(dst + i + 8, _mm256_add_ps(_mm256_mul_ps(radius, sine), zero));
    }
}

#endif
