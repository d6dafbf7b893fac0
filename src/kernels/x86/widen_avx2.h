/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_WIDEN_AVX2_H
#define PST_KERNELS_X86_WIDEN_AVX2_H

#include "kernels/x86/resample_avx2.h"

/* Whole vectors from the first place on where a store of x is aligned; before and behind them the
 * scalar version. What y takes is loaded again one integer later: a load that is not aligned costs
 * less than a store that is not. */
#define WIDEN_LOOP(attribute, name, vector, zero, lanes, size, item, load, store, is_cut, from,    \
                   is_narrow)                                                                      \
    attribute static int name(uint8_t *x, uint8_t *y, const uint8_t *src, size_t n)                \
    {                                                                                              \
        vector cut = zero;                                                                         \
        size_t i = -(uintptr_t)x % ((lanes) * (item)) / (item), head = i < n ? i : n;              \
        int rest = pst__widen_scalar(x, y, src, head, from, is_narrow);                            \
        for (i = head; i + (lanes) <= n; i += (lanes)) {                                           \
            store(x + i * (item), load(src + i * (size), &cut));                                   \
            if (y)                                                                                 \
                store(y + i * (item), load(src + (i + 1) * (size), &cut));                         \
        }                                                                                          \
        rest |= pst__widen_scalar(x + i * (item), y ? y + i * (item) : NULL, src + i * (size),     \
                                  n - i, from, is_narrow);                                         \
        return (is_cut(cut)) | rest;                                                               \
    }

/* A load says in *cut which of its integers do not fit: bits 31 and 63 of a quadword. */
#define WIDEN_LOAD2(name, value)                                                                   \
    AVX2_INLINE __m256i name(const uint8_t *p, __m256i *cut)                                       \
    {                                                                                              \
        (void)cut;                                                                                 \
        return value;                                                                              \
    }
WIDEN_LOAD2(load2_u8_i64, _mm256_cvtepu8_epi64(_mm_loadu_si32(p)))
WIDEN_LOAD2(load2_i8_i64, _mm256_cvtepi8_epi64(_mm_loadu_si32(p)))
WIDEN_LOAD2(load2_u16_i64, _mm256_cvtepu16_epi64(_mm_loadu_si64(p)))
WIDEN_LOAD2(load2_i16_i64, _mm256_cvtepi16_epi64(_mm_loadu_si64(p)))
WIDEN_LOAD2(load2_u32_i64, _mm256_cvtepu32_epi64(_mm_loadu_si128((const __m128i *)p)))
WIDEN_LOAD2(load2_i32_i64, _mm256_cvtepi32_epi64(_mm_loadu_si128((const __m128i *)p)))
WIDEN_LOAD2(load2_whole, _mm256_loadu_si256((const __m256i *)p))
WIDEN_LOAD2(load2_u8_i32, _mm256_cvtepu8_epi32(_mm_loadu_si64(p)))
WIDEN_LOAD2(load2_i8_i32, _mm256_cvtepi8_epi32(_mm_loadu_si64(p)))
WIDEN_LOAD2(load2_u16_i32, _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)))
WIDEN_LOAD2(load2_i16_i32, _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)p)))

AVX2_INLINE __m256i load2_u32_i32(const uint8_t *p, __m256i *cut)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)p);
    *cut = _mm256_or_si256(*cut, v);
    return v;
}

/* Eight low halves. A quadword fits where its high half is the sign of its low half. */
AVX2_INLINE __m256i load2_i64_i32(const uint8_t *p, __m256i *cut)
{
    const __m256i evens = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
    const __m256i high = _mm256_set1_epi64x((long long)0xffffffff00000000ull);
    __m256i a = _mm256_loadu_si256((const __m256i *)p);
    __m256i b = _mm256_loadu_si256((const __m256i *)(p + 32));
    __m256i sign_a = _mm256_shuffle_epi32(_mm256_srai_epi32(a, 31), 0xa0);
    __m256i sign_b = _mm256_shuffle_epi32(_mm256_srai_epi32(b, 31), 0xa0);
    __m256i off = _mm256_or_si256(_mm256_xor_si256(a, sign_a), _mm256_xor_si256(b, sign_b));
    off = _mm256_and_si256(off, high);
    /* What is not zero becomes all ones. */
    off = _mm256_xor_si256(_mm256_cmpeq_epi32(off, _mm256_setzero_si256()), _mm256_set1_epi32(-1));
    *cut = _mm256_or_si256(*cut, off);
    return _mm256_permute2x128_si256(_mm256_permutevar8x32_epi32(a, evens),
                                     _mm256_permutevar8x32_epi32(b, evens), 0x20);
}

AVX2_INLINE void store2_whole(uint8_t *p, __m256i v)
{
    _mm256_storeu_si256((__m256i *)p, v);
}

#define IS_CUT2(cut) (_mm256_movemask_ps(_mm256_castsi256_ps(cut)) != 0)
#define WIDEN2(name, lanes, size, item, load, from, is_narrow)                                     \
    WIDEN_LOOP(AVX2, name, __m256i, _mm256_setzero_si256(), lanes, size, item, load, store2_whole, \
               IS_CUT2, from, is_narrow)
WIDEN2(widen2_u8_i64, 4, 1, 8, load2_u8_i64, PST_INTEGER_U8, 0)
WIDEN2(widen2_i8_i64, 4, 1, 8, load2_i8_i64, PST_INTEGER_I8, 0)
WIDEN2(widen2_u16_i64, 4, 2, 8, load2_u16_i64, PST_INTEGER_U16, 0)
WIDEN2(widen2_i16_i64, 4, 2, 8, load2_i16_i64, PST_INTEGER_I16, 0)
WIDEN2(widen2_u32_i64, 4, 4, 8, load2_u32_i64, PST_INTEGER_U32, 0)
WIDEN2(widen2_i32_i64, 4, 4, 8, load2_i32_i64, PST_INTEGER_I32, 0)
WIDEN2(widen2_i64_i64, 4, 8, 8, load2_whole, PST_INTEGER_I64, 0)
WIDEN2(widen2_u8_i32, 8, 1, 4, load2_u8_i32, PST_INTEGER_U8, 1)
WIDEN2(widen2_i8_i32, 8, 1, 4, load2_i8_i32, PST_INTEGER_I8, 1)
WIDEN2(widen2_u16_i32, 8, 2, 4, load2_u16_i32, PST_INTEGER_U16, 1)
WIDEN2(widen2_i16_i32, 8, 2, 4, load2_i16_i32, PST_INTEGER_I16, 1)
WIDEN2(widen2_u32_i32, 8, 4, 4, load2_u32_i32, PST_INTEGER_U32, 1)
WIDEN2(widen2_i32_i32, 8, 4, 4, load2_whole, PST_INTEGER_I32, 1)
WIDEN2(widen2_i64_i32, 8, 8, 4, load2_i64_i32, PST_INTEGER_I64, 1)

static int widen_avx2(uint8_t *x, uint8_t *y, const uint8_t *src, size_t n, enum pst__integer from,
                      int is_narrow)
{
    static int (*const widen[2][7])(uint8_t *, uint8_t *, const uint8_t *, size_t) = {
        {widen2_u8_i64, widen2_i8_i64, widen2_u16_i64, widen2_i16_i64, widen2_u32_i64,
         widen2_i32_i64, widen2_i64_i64},
        {widen2_u8_i32, widen2_i8_i32, widen2_u16_i32, widen2_i16_i32, widen2_u32_i32,
         widen2_i32_i32, widen2_i64_i32},
    };
    return widen[is_narrow != 0][from](x, y, src, n);
}

#endif
