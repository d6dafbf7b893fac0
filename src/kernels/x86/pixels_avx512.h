/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_PIXELS_AVX512_H
#define PST_KERNELS_X86_PIXELS_AVX512_H

#include "kernels/x86/resample_avx512.h"

AVX512 static void unpack_avx512(uint8_t *dst, ptrdiff_t plane_stride, const uint8_t *src, int n)
{
    const __m512i channels =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m512i planes = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    for (int i = 0; i < n; i += 16) {
        __m512i px = _mm512_loadu_si512(src + (ptrdiff_t)i * 4);
        px = _mm512_permutexvar_epi32(planes, _mm512_shuffle_epi8(px, channels));
        store_planes512(dst + i, plane_stride, px);
    }
}

AVX512 static void unpack_rgb_avx512(uint8_t *dst, ptrdiff_t plane_stride, const uint8_t *src,
                                     int n)
{
    const __m512i planes = _mm512_set_epi8(
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 47, 44, 41, 38, 35, 32, 29, 26, 23, 20, 17,
        14, 11, 8, 5, 2, 46, 43, 40, 37, 34, 31, 28, 25, 22, 19, 16, 13, 10, 7, 4, 1, 45, 42, 39,
        36, 33, 30, 27, 24, 21, 18, 15, 12, 9, 6, 3, 0);
    for (int i = 0; i < n; i += 16) {
        int left = n - i < 16 ? n - i : 16;
        __mmask64 mask = (1ull << (3 * left)) - 1;
        __m512i px = _mm512_maskz_loadu_epi8(mask, src + (ptrdiff_t)i * 3);
        store_planes512(dst + i, plane_stride, _mm512_permutexvar_epi8(planes, px));
    }
}

/* pst__norm_fast() of 16 bytes. */
AVX512_INLINE __m512 norm512(__m128i bytes, const struct pst__norm *norm, int kind, int divide)
{
    __m512 v = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
    __m512 rcp = _mm512_set1_ps(PST__RCP_255);
    __m512 scaled =
        divide ? _mm512_fmadd_ps(v, rcp, _mm512_mul_ps(v, _mm512_set1_ps(PST__RCP_255_LOW)))
               : _mm512_mul_ps(v, rcp);
    if (kind == PST_NORM_SCALE)
        return scaled;
    __m512 x = _mm512_sub_ps(scaled, _mm512_set1_ps(norm->mean));
    return _mm512_fmadd_ps(x, _mm512_set1_ps(norm->rcp_std),
                           _mm512_mul_ps(x, _mm512_set1_ps(norm->rcp_std_low)));
}

AVX512_INLINE __m128i reversed512(__m128i v)
{
    return _mm_shuffle_epi8(v, _mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
}

AVX512_INLINE void store16_avx512(float *dst, const uint8_t *src, int n,
                                  const struct pst__norm *norm, int kind, int divide, int reverse)
{
    const struct pst__norm local = *norm;
    int i = 0;
    for (; i <= n - 16; i += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(src + i));
        float *out = dst + (reverse ? n - 16 - i : i);
        if (reverse)
            bytes = reversed512(bytes);
        _mm512_storeu_ps(out, norm512(bytes, &local, kind, divide));
    }
    int left = n - i;
    if (left <= 0)
        return;
    __mmask16 mask = (__mmask16)((1u << left) - 1);
    __m128i bytes = _mm_maskz_loadu_epi8(mask, src + i);
    if (reverse) /* the last left bytes, last first, to the front */
        bytes = _mm_permutexvar_epi8(
            _mm_sub_epi8(_mm_set1_epi8((char)(left - 1)),
                         _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)),
            bytes);
    _mm512_mask_storeu_ps(dst + (reverse ? 0 : i), mask, norm512(bytes, &local, kind, divide));
}

AVX512 static void store_f32_avx512(float *dst, const uint8_t *src, int n,
                                    const struct pst__norm *norm, int reverse)
{
    if (norm->kind == PST_NORM_LUT) {
        pst__store_f32_scalar(dst, src, n, norm, reverse);
        return;
    }
    if (norm->kind == PST_NORM_MEAN_STD) {
        if (norm->divide)
            store16_avx512(dst, src, n, norm, PST_NORM_MEAN_STD, 1, reverse);
        else
            store16_avx512(dst, src, n, norm, PST_NORM_MEAN_STD, 0, reverse);
    } else {
        if (norm->divide)
            store16_avx512(dst, src, n, norm, PST_NORM_SCALE, 1, reverse);
        else
            store16_avx512(dst, src, n, norm, PST_NORM_SCALE, 0, reverse);
    }
}

AVX512 static void store_u8_avx512(uint8_t *dst, const uint8_t *src, int n, int reverse)
{
    if (!reverse) {
        pst__store_u8_scalar(dst, src, n, 0);
        return;
    }
    const __m512i steps = _mm512_set_epi8(
        63, 62, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41,
        40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18,
        17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    for (int i = 0; i < n; i += 64) {
        int m = n - i < 64 ? n - i : 64;
        __mmask64 mask = m == 64 ? ~0ull : (1ull << m) - 1;
        __m512i bytes = _mm512_maskz_loadu_epi8(mask, src + i);
        __m512i index = _mm512_sub_epi8(_mm512_set1_epi8((char)(m - 1)), steps);
        _mm512_mask_storeu_epi8(dst + n - i - m, mask, _mm512_permutexvar_epi8(index, bytes));
    }
}

#endif
