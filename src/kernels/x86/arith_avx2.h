/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_ARITH_AVX2_H
#define PST_KERNELS_X86_ARITH_AVX2_H

#include "kernels/x86/resample_avx2.h"

/* Whole vectors, and behind them the scalar version. */
#define ARITH_LOOP_V(type, lanes, load, store, load_b, calc)                                       \
    for (; i + (lanes) <= n; i += (lanes))                                                         \
        store(dst + i * sizeof(type), calc(load(src + i * sizeof(type)), load_b));                 \
    break

#define ARITH_SWITCH_V(type, lanes, load, store, load_b, mul, div, add, sub)                       \
    switch (op) {                                                                                  \
    case PST_ARITH_MULTIPLY:                                                                       \
        ARITH_LOOP_V(type, lanes, load, store, load_b, mul);                                       \
    case PST_ARITH_DIVIDE:                                                                         \
        ARITH_LOOP_V(type, lanes, load, store, load_b, div);                                       \
    case PST_ARITH_ADD:                                                                            \
        ARITH_LOOP_V(type, lanes, load, store, load_b, add);                                       \
    default:                                                                                       \
        ARITH_LOOP_V(type, lanes, load, store, load_b, sub);                                       \
    }

#define ARITH_V(attribute, name, type, vector, lanes, set1, load, load_b, store, mul, div, add,    \
                sub, scalar)                                                                       \
    attribute static void name(uint8_t *dst, const uint8_t *src, size_t n, enum pst__arith op,     \
                               const type *b, int is_one)                                          \
    {                                                                                              \
        size_t i = 0;                                                                              \
        vector one = set1(*b);                                                                     \
        if (is_one) {                                                                              \
            ARITH_SWITCH_V(type, lanes, load, store, one, mul, div, add, sub)                      \
        } else {                                                                                   \
            ARITH_SWITCH_V(type, lanes, load, store, load_b(b + i), mul, div, add, sub)            \
        }                                                                                          \
        scalar(dst + i * sizeof(type), src + i * sizeof(type), n - i, op, is_one ? b : b + i,      \
               is_one);                                                                            \
    }

AVX2_INLINE __m256 load2_f32(const uint8_t *p)
{
    return _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)p));
}

AVX2_INLINE void store2_f32(uint8_t *p, __m256 v)
{
    _mm256_storeu_si256((__m256i *)p, _mm256_castps_si256(v));
}

AVX2_INLINE __m256d load2_f64(const uint8_t *p)
{
    return _mm256_castsi256_pd(_mm256_loadu_si256((const __m256i *)p));
}

AVX2_INLINE void store2_f64(uint8_t *p, __m256d v)
{
    _mm256_storeu_si256((__m256i *)p, _mm256_castpd_si256(v));
}

ARITH_V(AVX2, arith_f32_avx2, float, __m256, 8, _mm256_set1_ps, load2_f32, _mm256_loadu_ps,
        store2_f32, _mm256_mul_ps, _mm256_div_ps, _mm256_add_ps, _mm256_sub_ps,
        pst__arith_f32_scalar)
ARITH_V(AVX2, arith_f64_avx2, double, __m256d, 4, _mm256_set1_pd, load2_f64, _mm256_loadu_pd,
        store2_f64, _mm256_mul_pd, _mm256_div_pd, _mm256_add_pd, _mm256_sub_pd,
        pst__arith_f64_scalar)

AVX2 static void mix_f32_avx2(uint8_t *dst, const uint8_t *other, size_t n, float share, float own)
{
    size_t i = 0;
    const __m256 a = _mm256_set1_ps(share), b = _mm256_set1_ps(own);
    for (; i + 8 <= n; i += 8) {
        __m256 x = _mm256_mul_ps(load2_f32(other + i * 4), a);
        store2_f32(dst + i * 4, _mm256_add_ps(x, _mm256_mul_ps(load2_f32(dst + i * 4), b)));
    }
    pst__mix_f32_scalar(dst + i * 4, other + i * 4, n - i, share, own);
}

#define TO_F32_LOOP2(size, value)                                                                  \
    for (; i + 8 <= n; i += 8) {                                                                   \
        const uint8_t *p = src + i * (size);                                                       \
        store2_f32(dst + i * 4, _mm256_cvtepi32_ps(value));                                        \
    }                                                                                              \
    src += i * (size);                                                                             \
    break

AVX2 static void to_f32_avx2(uint8_t *dst, const uint8_t *src, size_t n, enum pst__integer from)
{
    size_t i = 0;
    switch (from) {
    case PST_INTEGER_U8:
        TO_F32_LOOP2(1, _mm256_cvtepu8_epi32(_mm_loadu_si64(p)));
    case PST_INTEGER_I8:
        TO_F32_LOOP2(1, _mm256_cvtepi8_epi32(_mm_loadu_si64(p)));
    case PST_INTEGER_U16:
        TO_F32_LOOP2(2, _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)));
    case PST_INTEGER_I16:
        TO_F32_LOOP2(2, _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)p)));
    case PST_INTEGER_I32:
        TO_F32_LOOP2(4, _mm256_loadu_si256((const __m256i *)p));
    default: /* AVX2 converts signed dwords only */
        break;
    }
    pst__to_f32_scalar(dst + i * 4, src, n - i, from);
}

#endif
