/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_NORMAL_PAIRS_AVX2_H
#define PST_KERNELS_X86_NORMAL_PAIRS_AVX2_H

#include "kernels/x86/resample_avx2.h"

/* Pairs of normals in double by polynomials of its own (those of fdlibm's log, sin and cos). Each
 * of the functions is within a few units of 2^-53 of the exact one, as the C library's are, so the
 * two products are within PAIRS_BOUND times the radius of one another, with much room. Only the
 * nearest float counts: where all that is so near has one, it is that; else (one pair of a million)
 * the C library decides. */

#define PAIRS_BOUND 0x1p-46

/* Integers below 2^53. */
AVX2_INLINE __m256d double_of(__m256i bits)
{
    const __m256i low_32 = _mm256_set1_epi64x(0xffffffff);
    const __m256i high_magic = _mm256_castpd_si256(_mm256_set1_pd(0x1p84));
    const __m256i low_magic = _mm256_castpd_si256(_mm256_set1_pd(0x1p52));
    __m256i high = _mm256_or_si256(_mm256_srli_epi64(bits, 32), high_magic);
    __m256i low = _mm256_or_si256(_mm256_and_si256(bits, low_32), low_magic);
    __m256d sum = _mm256_sub_pd(_mm256_castsi256_pd(high), _mm256_set1_pd(0x1p84 + 0x1p52));
    return _mm256_add_pd(sum, _mm256_castsi256_pd(low));
}

/* c[0] + c[1] z + ... */
AVX2_INLINE __m256d polynomial(__m256d z, const double *c, int n)
{
    __m256d y = _mm256_set1_pd(c[n - 1]);
    for (int i = n - 2; i >= 0; i--)
        y = _mm256_fmadd_pd(y, z, _mm256_set1_pd(c[i]));
    return y;
}

/* 2^-53 <= x <= 1 */
AVX2_INLINE __m256d log4(__m256d x)
{
    static const double c[] = {0x1.5555555555593p-1, 0x1.999999997fa04p-2, 0x1.2492494229359p-2,
                               0x1.c71c51d8e78afp-3, 0x1.7466496cb03dep-3, 0x1.39a09d078c69fp-3,
                               0x1.2f112df3e5244p-3};
    /* The exponent of x by sqrt(2), so that the rest is around 1. */
    const __m256i half = _mm256_set1_epi64x(0x3fe6a09e00000000);
    const __m256i mask = _mm256_set1_epi64x(0x7ff0000000000000);
    const __m256i one = _mm256_set1_epi64x(0x3ff0000000000000);
    __m256i bits = _mm256_castpd_si256(x);
    __m256i e = _mm256_and_si256(_mm256_sub_epi64(_mm256_add_epi64(bits, one), half), mask);
    __m256d m = _mm256_castsi256_pd(_mm256_sub_epi64(_mm256_add_epi64(bits, one), e));
    __m256i biased = _mm256_srli_epi64(e, 52);
    __m256d k = _mm256_sub_pd(double_of(biased), _mm256_set1_pd(1023.0));
    __m256d f = _mm256_sub_pd(m, _mm256_set1_pd(1.0));
    __m256d s = _mm256_div_pd(f, _mm256_add_pd(f, _mm256_set1_pd(2.0)));
    __m256d z = _mm256_mul_pd(s, s),
            square = _mm256_mul_pd(_mm256_set1_pd(0.5), _mm256_mul_pd(f, f));
    __m256d r = _mm256_mul_pd(z, polynomial(z, c, 7));
    __m256d low = _mm256_mul_pd(k, _mm256_set1_pd(0x1.a39ef35793c76p-33));
    low = _mm256_fmadd_pd(s, _mm256_add_pd(square, r), low);
    low = _mm256_sub_pd(_mm256_sub_pd(square, low), f);
    return _mm256_fmsub_pd(k, _mm256_set1_pd(0x1.62e42feep-1), low);
}

/* 0 <= x < 2 pi */
AVX2_INLINE void sine_cosine4(__m256d x, __m256d *sine, __m256d *cosine)
{
    static const double s[] = {-0x1.5555555555549p-3,  0x1.111111110f8a6p-7,
                               -0x1.a01a019c161d5p-13, 0x1.71de357b1fe7dp-19,
                               -0x1.ae5e68a2b9cebp-26, 0x1.5d93a5acfd57cp-33};
    static const double c[] = {0x1.555555555554cp-5,  -0x1.6c16c16c15177p-10,
                               0x1.a01a019cb1590p-16, -0x1.27e4f809c52adp-22,
                               0x1.1ee9ebdb4b1c4p-29, -0x1.8fae9be8838d4p-37};
    const __m256d magic = _mm256_set1_pd(0x1.8p52); /* its last bits are the quadrant */
    __m256d sum = _mm256_fmadd_pd(x, _mm256_set1_pd(0x1.45f306dc9c883p-1), magic);
    __m256i quadrant = _mm256_castpd_si256(sum);
    __m256d q = _mm256_sub_pd(sum, magic);
    __m256d y = _mm256_fnmadd_pd(q, _mm256_set1_pd(0x1.921fb54442d18p+0), x);
    y = _mm256_fnmadd_pd(q, _mm256_set1_pd(0x1.1a62633145c07p-54), y);
    __m256d z = _mm256_mul_pd(y, y);
    __m256d sin = _mm256_fmadd_pd(_mm256_mul_pd(y, z), polynomial(z, s, 6), y);
    __m256d cos = _mm256_fnmadd_pd(z, _mm256_set1_pd(0.5), _mm256_set1_pd(1.0));
    cos = _mm256_fmadd_pd(_mm256_mul_pd(z, z), polynomial(z, c, 6), cos);
    /* Blends look at the highest bit. */
    __m256d is_odd = _mm256_castsi256_pd(_mm256_slli_epi64(quadrant, 63));
    const __m256i two = _mm256_set1_epi64x(2), one = _mm256_set1_epi64x(1);
    __m256i sign = _mm256_slli_epi64(_mm256_and_si256(quadrant, two), 62);
    __m256i other = _mm256_and_si256(_mm256_add_epi64(quadrant, one), two);
    other = _mm256_slli_epi64(other, 62);
    *sine = _mm256_xor_pd(_mm256_blendv_pd(sin, cos, is_odd), _mm256_castsi256_pd(sign));
    *cosine = _mm256_xor_pd(_mm256_blendv_pd(cos, sin, is_odd), _mm256_castsi256_pd(other));
}

/* The float that all numbers within the bound round to; 0 in *is_clear where there is none. */
AVX2_INLINE __m128 rounded(__m256d x, __m256d bound, int *is_clear)
{
    __m128 below = _mm256_cvtpd_ps(_mm256_sub_pd(x, bound));
    __m128 above = _mm256_cvtpd_ps(_mm256_add_pd(x, bound));
    *is_clear &= _mm_movemask_ps(_mm_cmpeq_ps(below, above)) == 15;
    return _mm_add_ps(below, _mm_setzero_ps());
}

/* Eight normals of 16 words. */
AVX2_INLINE int normal_pairs4(float *dst, const uint32_t *words)
{
    const __m256i mask = _mm256_set1_epi64x((INT64_C(1) << 53) - 1);
    __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)words);
    __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(words + 8));
    a = _mm256_and_si256(_mm256_shuffle_epi32(a, 0xb1), mask); /* the first word is the high one */
    b = _mm256_and_si256(_mm256_shuffle_epi32(b, 0xb1), mask);
    /* Pairs 0, 2, 1, 3. */
    const __m256d unit = _mm256_set1_pd(0x1p-53), one = _mm256_set1_pd(1.0);
    __m256d u1 = _mm256_mul_pd(double_of(_mm256_unpacklo_epi64(a, b)), unit);
    __m256d u2 = _mm256_mul_pd(double_of(_mm256_unpackhi_epi64(a, b)), unit);
    __m256d log = log4(_mm256_sub_pd(one, u2)), sine, cosine;
    __m256d r = _mm256_sqrt_pd(_mm256_mul_pd(log, _mm256_set1_pd(-2.0)));
    sine_cosine4(_mm256_mul_pd(u1, _mm256_set1_pd(2.0 * M_PI)), &sine, &cosine);
    __m256d bound = _mm256_mul_pd(r, _mm256_set1_pd(PAIRS_BOUND));
    int is_clear = 1;
    __m128 c = rounded(_mm256_mul_pd(r, cosine), bound, &is_clear);
    __m128 s = rounded(_mm256_mul_pd(r, sine), bound, &is_clear);
    __m128 even = _mm_unpacklo_ps(c, s), odd = _mm_unpackhi_ps(c, s);
    _mm_storeu_ps(dst, _mm_movelh_ps(even, odd));
    _mm_storeu_ps(dst + 4, _mm_movehl_ps(odd, even));
    return is_clear;
}

AVX2 static void normal_pairs_avx2(float *dst, const uint32_t *words, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        if (!normal_pairs4(dst + i, words + 2 * i))
            pst__normal_pairs_scalar(dst + i, words + 2 * i, 8);
    pst__normal_pairs_scalar(dst + i, words + 2 * i, n - i);
}

#endif
