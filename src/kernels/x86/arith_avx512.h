/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_ARITH_AVX512_H
#define PST_KERNELS_X86_ARITH_AVX512_H

#include "kernels/x86/arith_avx2.h"
#include "kernels/x86/resample_avx512.h"

/* As in arith_avx2.h. */
ARITH_V(AVX512, arith_f32_avx512, float, __m512, 16, _mm512_set1_ps, _mm512_loadu_ps,
        _mm512_loadu_ps, _mm512_storeu_ps, _mm512_mul_ps, _mm512_div_ps, _mm512_add_ps,
        _mm512_sub_ps, pst__arith_f32_scalar)
ARITH_V(AVX512, arith_f64_avx512, double, __m512d, 8, _mm512_set1_pd, _mm512_loadu_pd,
        _mm512_loadu_pd, _mm512_storeu_pd, _mm512_mul_pd, _mm512_div_pd, _mm512_add_pd,
        _mm512_sub_pd, pst__arith_f64_scalar)

AVX512 static void mix_f32_avx512(uint8_t *dst, const uint8_t *other, size_t n, float share,
                                  float own)
{
    size_t i = 0;
    const __m512 a = _mm512_set1_ps(share), b = _mm512_set1_ps(own);
    for (; i + 16 <= n; i += 16) {
        __m512 x = _mm512_mul_ps(_mm512_loadu_ps(other + i * 4), a);
        __m512 y = _mm512_mul_ps(_mm512_loadu_ps(dst + i * 4), b);
        _mm512_storeu_ps(dst + i * 4, _mm512_add_ps(x, y));
    }
    pst__mix_f32_scalar(dst + i * 4, other + i * 4, n - i, share, own);
}

#define TO_F32_LOOP512(size, value)                                                                \
    for (; i + 16 <= n; i += 16) {                                                                 \
        const uint8_t *p = src + i * (size);                                                       \
        _mm512_storeu_ps(dst + i * 4, value);                                                      \
    }                                                                                              \
    src += i * (size);                                                                             \
    break

AVX512 static void to_f32_avx512(uint8_t *dst, const uint8_t *src, size_t n, enum pst__integer from)
{
    size_t i = 0;
    switch (from) {
    case PST_INTEGER_U8:
        TO_F32_LOOP512(
            1, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p))));
    case PST_INTEGER_I8:
        TO_F32_LOOP512(
            1, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p))));
    case PST_INTEGER_U16:
        TO_F32_LOOP512(
            2, _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p))));
    case PST_INTEGER_I16:
        TO_F32_LOOP512(
            2, _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)p))));
    case PST_INTEGER_U32:
        TO_F32_LOOP512(4, _mm512_cvtepu32_ps(_mm512_loadu_si512(p)));
    case PST_INTEGER_I32:
        TO_F32_LOOP512(4, _mm512_cvtepi32_ps(_mm512_loadu_si512(p)));
    default:
        break;
    }
    pst__to_f32_scalar(dst + i * 4, src, n - i, from);
}

#endif
