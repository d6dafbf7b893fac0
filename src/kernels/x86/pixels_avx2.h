/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_PIXELS_AVX2_H
#define PST_KERNELS_X86_PIXELS_AVX2_H

#include "kernels/x86/resample_avx2.h"

AVX2 static void unpack_avx2(uint8_t *dst, ptrdiff_t plane_stride, const uint8_t *src, int n)
{
    const __m256i channels = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m256i planes = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (int i = 0; i < n; i += 16) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(src + (ptrdiff_t)i * 4));
        __m256i b = _mm256_loadu_si256((const __m256i *)(src + (ptrdiff_t)i * 4 + 32));
        a = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(a, channels), planes);
        b = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(b, channels), planes);
        __m256i rb = _mm256_unpacklo_epi64(a, b), gx = _mm256_unpackhi_epi64(a, b);
        _mm_storeu_si128((__m128i *)(dst + i), _mm256_castsi256_si128(rb));
        _mm_storeu_si128((__m128i *)(dst + plane_stride + i), _mm256_castsi256_si128(gx));
        _mm_storeu_si128((__m128i *)(dst + 2 * plane_stride + i), _mm256_extracti128_si256(rb, 1));
    }
}

/* 16 packed pixels. The last four are taken from 4 bytes further down, so that nothing behind them
 * is read. */
AVX2_INLINE void unpack_rgb16(uint8_t *dst, ptrdiff_t plane_stride, const uint8_t *src)
{
    const __m128i low = _mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1);
    const __m128i high = _mm_setr_epi8(4, 7, 10, 13, 5, 8, 11, 14, 6, 9, 12, 15, -1, -1, -1, -1);
    const __m256i planes = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i a = _mm256_loadu2_m128i((const __m128i *)(src + 12), (const __m128i *)src);
    __m256i b = _mm256_loadu2_m128i((const __m128i *)(src + 32), (const __m128i *)(src + 24));
    a = _mm256_shuffle_epi8(a, _mm256_broadcastsi128_si256(low));
    b = _mm256_shuffle_epi8(b, _mm256_set_m128i(high, low));
    a = _mm256_permutevar8x32_epi32(a, planes);
    b = _mm256_permutevar8x32_epi32(b, planes);
    __m256i rb = _mm256_unpacklo_epi64(a, b), g = _mm256_unpackhi_epi64(a, b);
    _mm_storeu_si128((__m128i *)dst, _mm256_castsi256_si128(rb));
    _mm_storeu_si128((__m128i *)(dst + plane_stride), _mm256_castsi256_si128(g));
    _mm_storeu_si128((__m128i *)(dst + 2 * plane_stride), _mm256_extracti128_si256(rb, 1));
}

AVX2 static void unpack_rgb_avx2(uint8_t *dst, ptrdiff_t plane_stride, const uint8_t *src, int n)
{
    int i = 0;
    for (; i <= n - 16; i += 16)
        unpack_rgb16(dst + i, plane_stride, src + (ptrdiff_t)i * 3);
    if (i == n)
        return;
    uint8_t rest[48] = {0};
    __builtin_memcpy(rest, src + (ptrdiff_t)i * 3, (size_t)(n - i) * 3);
    unpack_rgb16(dst + i, plane_stride, rest);
}

AVX2_INLINE __m128i reversed2(__m128i v)
{
    return _mm_shuffle_epi8(v, _mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
}

/* pst__norm_fast() of 8 bytes. */
AVX2_INLINE __m256 norm2(__m128i bytes, const struct pst__norm *norm, int kind, int divide)
{
    __m256 v = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
    __m256 rcp = _mm256_set1_ps(PST__RCP_255);
    __m256 scaled =
        divide ? _mm256_fmadd_ps(v, rcp, _mm256_mul_ps(v, _mm256_set1_ps(PST__RCP_255_LOW)))
               : _mm256_mul_ps(v, rcp);
    if (kind == PST_NORM_SCALE)
        return scaled;
    __m256 x = _mm256_sub_ps(scaled, _mm256_set1_ps(norm->mean));
    return _mm256_fmadd_ps(x, _mm256_set1_ps(norm->rcp_std),
                           _mm256_mul_ps(x, _mm256_set1_ps(norm->rcp_std_low)));
}

/* n >= 16. The last 16 overlap the ones before. */
AVX2_INLINE void store16_avx2(float *dst, const uint8_t *src, int n, const struct pst__norm *norm,
                              int kind, int divide, int reverse)
{
    const struct pst__norm local = *norm;
    for (int i = 0;; i += 16) {
        if (i > n - 16)
            i = n - 16;
        __m128i bytes = _mm_loadu_si128((const __m128i *)(src + i));
        float *out = dst + (reverse ? n - 16 - i : i);
        if (reverse)
            bytes = reversed2(bytes);
        _mm256_storeu_ps(out, norm2(bytes, &local, kind, divide));
        _mm256_storeu_ps(out + 8, norm2(_mm_srli_si128(bytes, 8), &local, kind, divide));
        if (i == n - 16)
            return;
    }
}

AVX2 static void store_f32_avx2(float *dst, const uint8_t *src, int n, const struct pst__norm *norm,
                                int reverse)
{
    if (norm->kind == PST_NORM_LUT || n < 16) {
        pst__store_f32_scalar(dst, src, n, norm, reverse);
        return;
    }
    if (norm->kind == PST_NORM_MEAN_STD) {
        if (norm->divide)
            store16_avx2(dst, src, n, norm, PST_NORM_MEAN_STD, 1, reverse);
        else
            store16_avx2(dst, src, n, norm, PST_NORM_MEAN_STD, 0, reverse);
    } else {
        if (norm->divide)
            store16_avx2(dst, src, n, norm, PST_NORM_SCALE, 1, reverse);
        else
            store16_avx2(dst, src, n, norm, PST_NORM_SCALE, 0, reverse);
    }
}

AVX2 static void store_u8_avx2(uint8_t *dst, const uint8_t *src, int n, int reverse)
{
    if (!reverse || n < 16) {
        pst__store_u8_scalar(dst, src, n, reverse);
        return;
    }
    for (int i = 0; i < n - 16; i += 16)
        _mm_storeu_si128((__m128i *)(dst + n - 16 - i),
                         reversed2(_mm_loadu_si128((const __m128i *)(src + i))));
    _mm_storeu_si128((__m128i *)dst, reversed2(_mm_loadu_si128((const __m128i *)(src + n - 16))));
}

#endif
