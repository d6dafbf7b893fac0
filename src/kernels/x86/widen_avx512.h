/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_WIDEN_AVX512_H
#define PST_KERNELS_X86_WIDEN_AVX512_H

#include "kernels/x86/resample_avx512.h"
#include "kernels/x86/widen_avx2.h"

/* As in widen_avx2.h; *cut has a bit for each lane of a load. */
#define WIDEN_LOAD512(name, value)                                                                 \
    AVX512_INLINE __m512i name(const uint8_t *p, uint32_t *cut)                                    \
    {                                                                                              \
        (void)cut;                                                                                 \
        return value;                                                                              \
    }
WIDEN_LOAD512(load512_u8_i64, _mm512_cvtepu8_epi64(_mm_loadu_si64(p)))
WIDEN_LOAD512(load512_i8_i64, _mm512_cvtepi8_epi64(_mm_loadu_si64(p)))
WIDEN_LOAD512(load512_u16_i64, _mm512_cvtepu16_epi64(_mm_loadu_si128((const __m128i *)p)))
WIDEN_LOAD512(load512_i16_i64, _mm512_cvtepi16_epi64(_mm_loadu_si128((const __m128i *)p)))
WIDEN_LOAD512(load512_u32_i64, _mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i *)p)))
WIDEN_LOAD512(load512_i32_i64, _mm512_cvtepi32_epi64(_mm256_loadu_si256((const __m256i *)p)))
WIDEN_LOAD512(load512_whole, _mm512_loadu_si512(p))
WIDEN_LOAD512(load512_u8_i32, _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)))
WIDEN_LOAD512(load512_i8_i32, _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)))
WIDEN_LOAD512(load512_u16_i32, _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)))
WIDEN_LOAD512(load512_i16_i32, _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)p)))

AVX512_INLINE __m512i load512_u32_i32(const uint8_t *p, uint32_t *cut)
{
    __m512i v = _mm512_loadu_si512(p);
    *cut |= _mm512_movepi32_mask(v);
    return v;
}

AVX512_INLINE __m256i load512_i64_i32(const uint8_t *p, uint32_t *cut)
{
    __m512i v = _mm512_loadu_si512(p);
    __m256i low = _mm512_cvtepi64_epi32(v);
    *cut |= _mm512_cmpneq_epi64_mask(v, _mm512_cvtepi32_epi64(low));
    return low;
}

AVX512_INLINE void store512_whole(uint8_t *p, __m512i v)
{
    _mm512_storeu_si512(p, v);
}

AVX512_INLINE void store512_half(uint8_t *p, __m256i v)
{
    _mm256_storeu_si256((__m256i *)p, v);
}

#define IS_CUT512(cut) ((cut) != 0)
#define WIDEN512(name, lanes, size, item, load, store, from, is_narrow)                            \
    WIDEN_LOOP(AVX512, name, uint32_t, 0, lanes, size, item, load, store, IS_CUT512, from,         \
               is_narrow)
WIDEN512(widen512_u8_i64, 8, 1, 8, load512_u8_i64, store512_whole, PST_INTEGER_U8, 0)
WIDEN512(widen512_i8_i64, 8, 1, 8, load512_i8_i64, store512_whole, PST_INTEGER_I8, 0)
WIDEN512(widen512_u16_i64, 8, 2, 8, load512_u16_i64, store512_whole, PST_INTEGER_U16, 0)
WIDEN512(widen512_i16_i64, 8, 2, 8, load512_i16_i64, store512_whole, PST_INTEGER_I16, 0)
WIDEN512(widen512_u32_i64, 8, 4, 8, load512_u32_i64, store512_whole, PST_INTEGER_U32, 0)
WIDEN512(widen512_i32_i64, 8, 4, 8, load512_i32_i64, store512_whole, PST_INTEGER_I32, 0)
WIDEN512(widen512_i64_i64, 8, 8, 8, load512_whole, store512_whole, PST_INTEGER_I64, 0)
WIDEN512(widen512_u8_i32, 16, 1, 4, load512_u8_i32, store512_whole, PST_INTEGER_U8, 1)
WIDEN512(widen512_i8_i32, 16, 1, 4, load512_i8_i32, store512_whole, PST_INTEGER_I8, 1)
WIDEN512(widen512_u16_i32, 16, 2, 4, load512_u16_i32, store512_whole, PST_INTEGER_U16, 1)
WIDEN512(widen512_i16_i32, 16, 2, 4, load512_i16_i32, store512_whole, PST_INTEGER_I16, 1)
WIDEN512(widen512_u32_i32, 16, 4, 4, load512_u32_i32, store512_whole, PST_INTEGER_U32, 1)
WIDEN512(widen512_i32_i32, 16, 4, 4, load512_whole, store512_whole, PST_INTEGER_I32, 1)
WIDEN512(widen512_i64_i32, 8, 8, 4, load512_i64_i32, store512_half, PST_INTEGER_I64, 1)

static int widen_avx512(uint8_t *x, uint8_t *y, const uint8_t *src, size_t n,
                        enum pst__integer from, int is_narrow)
{
    static int (*const widen[2][7])(uint8_t *, uint8_t *, const uint8_t *, size_t) = {
        {widen512_u8_i64, widen512_i8_i64, widen512_u16_i64, widen512_i16_i64, widen512_u32_i64,
         widen512_i32_i64, widen512_i64_i64},
        {widen512_u8_i32, widen512_i8_i32, widen512_u16_i32, widen512_i16_i32, widen512_u32_i32,
         widen512_i32_i32, widen512_i64_i32},
    };
    return widen[is_narrow != 0][from](x, y, src, n);
}

#endif
