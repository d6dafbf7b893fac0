/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_HALVES_AVX512_H
#define PST_KERNELS_X86_HALVES_AVX512_H

#include "kernels/x86/halves_avx2.h"
#include "kernels/x86/widen_avx512.h"

AVX512_INLINE __m256i load512_half(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

AVX512_INLINE __m512 f32_of_bf16_avx512(__m256i v)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
}

/* As in halves_avx2.h. VCVTNEPS2BF16 takes denormal numbers for 0. */
AVX512_INLINE __m256i bf16_of_f32_avx512(__m512 v)
{
    __m512i x = _mm512_castps_si512(v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(x, 16), _mm512_set1_epi32(1));
    __m512i up = _mm512_add_epi32(x, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __mmask16 is_nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    __m512i half = _mm512_srli_epi32(up, 16);
    return _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(is_nan, half, _mm512_set1_epi32(0x7fc0)));
}

AVX512 static void half_to_f32_avx512(uint8_t *dst, const uint8_t *src, size_t n,
                                      enum pst__half from)
{
    size_t done = 0;
    if (from == PST_HALF_F16)
        HALVES_LOOP(16, 2, 4, _mm512_storeu_ps, _mm512_cvtph_ps(load512_half(p)))
    else
        HALVES_LOOP(16, 2, 4, _mm512_storeu_ps, f32_of_bf16_avx512(load512_half(p)))
    pst__half_to_f32_scalar(dst + done * 4, src + done * 2, n - done, from);
}

AVX512 static void f32_to_half_avx512(uint8_t *dst, const uint8_t *src, size_t n, enum pst__half to)
{
    size_t done = 0;
    if (to == PST_HALF_F16)
        HALVES_LOOP(16, 4, 2, store512_half,
                    _mm512_cvtps_ph(_mm512_loadu_ps(p), _MM_FROUND_TO_NEAREST_INT))
    else
        HALVES_LOOP(16, 4, 2, store512_half, bf16_of_f32_avx512(_mm512_loadu_ps(p)))
    pst__f32_to_half_scalar(dst + done * 2, src + done * 4, n - done, to);
}

#endif
