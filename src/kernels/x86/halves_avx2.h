/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_HALVES_AVX2_H
#define PST_KERNELS_X86_HALVES_AVX2_H

#include "kernels/x86/arith_avx2.h"

/* Whole vectors; `done` of n elements are behind the loop. */
#define HALVES_LOOP(lanes, from_size, to_size, store, value)                                       \
    for (; done + (lanes) <= n; done += (lanes)) {                                                 \
        const uint8_t *p = src + done * (from_size);                                               \
        store(dst + done * (to_size), value);                                                      \
    }

AVX2_INLINE __m128i load2_half(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

AVX2_INLINE void store2_half(uint8_t *p, __m128i v)
{
    _mm_storeu_si128((__m128i *)p, v);
}

AVX2_INLINE __m256 f32_of_bf16_avx2(__m128i v)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
}

/* To nearest, ties to even, by an addition to the bits: see pst__bf16_from_f32(). */
AVX2_INLINE __m128i bf16_of_f32_avx2(__m256 v)
{
    __m256i x = _mm256_castps_si256(v);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(x, 16), _mm256_set1_epi32(1));
    __m256i up = _mm256_add_epi32(x, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i half = _mm256_srli_epi32(up, 16);
    __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    half = _mm256_blendv_epi8(half, _mm256_set1_epi32(0x7fc0), is_nan);
    return _mm_packus_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

AVX2 static void half_to_f32_avx2(uint8_t *dst, const uint8_t *src, size_t n, enum pst__half from)
{
    size_t done = 0;
    if (from == PST_HALF_F16)
        HALVES_LOOP(8, 2, 4, store2_f32, _mm256_cvtph_ps(load2_half(p)))
    else
        HALVES_LOOP(8, 2, 4, store2_f32, f32_of_bf16_avx2(load2_half(p)))
    pst__half_to_f32_scalar(dst + done * 4, src + done * 2, n - done, from);
}

AVX2 static void f32_to_half_avx2(uint8_t *dst, const uint8_t *src, size_t n, enum pst__half to)
{
    size_t done = 0;
    if (to == PST_HALF_F16)
        HALVES_LOOP(8, 4, 2, store2_half, _mm256_cvtps_ph(load2_f32(p), _MM_FROUND_TO_NEAREST_INT))
    else
        HALVES_LOOP(8, 4, 2, store2_half, bf16_of_f32_avx2(load2_f32(p)))
    pst__f32_to_half_scalar(dst + done * 2, src + done * 4, n - done, to);
}

#endif
