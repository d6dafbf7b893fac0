/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_WARP_AVX2_H
#define PST_KERNELS_X86_WARP_AVX2_H

#include "kernels/x86/resample_avx2.h"

AVX2_INLINE int32_t fill2(const struct pst__raster *src)
{
    int32_t fill;
    __builtin_memcpy(&fill, src->fill, sizeof fill);
    return fill;
}

/* 0 <= i < n */
AVX2_INLINE __m256i within2(__m256i i, int n)
{
    return _mm256_andnot_si256(_mm256_srai_epi32(i, 31),
                               _mm256_cmpgt_epi32(_mm256_set1_epi32(n), i));
}

/* n >= 8. The last 8 overlap the ones before. */
AVX2 static void warp_fixed_avx2(uint8_t *dst, const struct pst__raster *src, int n, int32_t x,
                                 int32_t y, int32_t dx, int32_t dy)
{
    if (n < 8) {
        pst__warp_fixed_scalar(dst, src, n, x, y, dx, dy);
        return;
    }
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i fill = _mm256_set1_epi32(fill2(src));
    const __m256i pitch = _mm256_set1_epi32((int32_t)(src->stride / 4));
    const __m256i step_x = _mm256_set1_epi32(dx), step_y = _mm256_set1_epi32(dy);
    const __m256i from_x = _mm256_set1_epi32(x), from_y = _mm256_set1_epi32(y);
    for (int i = 0;; i += 8) {
        if (i > n - 8)
            i = n - 8;
        __m256i place = _mm256_add_epi32(_mm256_set1_epi32(i), index);
        __m256i at_x = _mm256_add_epi32(from_x, _mm256_mullo_epi32(place, step_x));
        __m256i at_y = _mm256_add_epi32(from_y, _mm256_mullo_epi32(place, step_y));
        __m256i column = _mm256_srai_epi32(at_x, 16), row = _mm256_srai_epi32(at_y, 16);
        __m256i inside = _mm256_and_si256(within2(column, src->w), within2(row, src->h));
        __m256i at = _mm256_add_epi32(_mm256_mullo_epi32(row, pitch), column);
        __m256i pixels = _mm256_mask_i32gather_epi32(fill, (const int *)(const void *)src->pixels,
                                                     at, inside, 4);
        _mm256_storeu_si256((__m256i *)(dst + (ptrdiff_t)i * 4), pixels);
        if (i == n - 8)
            return;
    }
}

/* Four places. */
struct place2 {
    __m128i inside;
    __m128i column, row; /* of the pixel before */
    __m256d dx, dy;
};

/* The low halves of four lanes of 64 bits. */
AVX2_INLINE __m128i narrow2(__m256d mask)
{
    __m256i v = _mm256_permutevar8x32_epi32(_mm256_castpd_si256(mask),
                                            _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    return _mm256_castsi256_si128(v);
}

AVX2_INLINE __m256d within_pd2(__m256d v, int n)
{
    return _mm256_and_pd(_mm256_cmp_pd(v, _mm256_setzero_pd(), _CMP_GE_OQ),
                         _mm256_cmp_pd(v, _mm256_set1_pd(n), _CMP_LT_OQ));
}

AVX2_INLINE struct place2 place2(const struct pst__raster *src, const double *x, const double *y)
{
    struct place2 p;
    const __m256d half = _mm256_set1_pd(0.5);
    __m256d at_x = _mm256_loadu_pd(x), at_y = _mm256_loadu_pd(y);
    p.inside = narrow2(_mm256_and_pd(within_pd2(at_x, src->w), within_pd2(at_y, src->h)));
    at_x = _mm256_sub_pd(at_x, half);
    at_y = _mm256_sub_pd(at_y, half);
    __m256d floor_x = _mm256_floor_pd(at_x), floor_y = _mm256_floor_pd(at_y);
    p.dx = _mm256_sub_pd(at_x, floor_x);
    p.dy = _mm256_sub_pd(at_y, floor_y);
    p.column = _mm256_cvttpd_epi32(floor_x);
    p.row = _mm256_cvttpd_epi32(floor_y);
    return p;
}

/* i moved into 0 .. n - 1. */
AVX2_INLINE __m128i clamp2(__m128i i, int n)
{
    return _mm_min_epi32(_mm_max_epi32(i, _mm_setzero_si128()), _mm_set1_epi32(n - 1));
}

AVX2_INLINE __m128i line2(const struct pst__raster *src, __m128i row)
{
    return _mm_mullo_epi32(clamp2(row, src->h), _mm_set1_epi32((int)(src->stride / 4)));
}

AVX2_INLINE __m128i fetch2(const struct pst__raster *src, __m128i inside, __m128i line,
                           __m128i column)
{
    return _mm_mask_i32gather_epi32(_mm_setzero_si128(), (const int *)(const void *)src->pixels,
                                    _mm_add_epi32(line, column), inside, 4);
}

AVX2_INLINE __m256d channel2(__m128i pixels, int channel)
{
    return _mm256_cvtepi32_pd(
        _mm_and_si128(_mm_srli_epi32(pixels, channel * 8), _mm_set1_epi32(255)));
}

AVX2_INLINE __m256d between2(__m256d a, __m256d b, __m256d d)
{
    return _mm256_add_pd(a, _mm256_mul_pd(_mm256_sub_pd(b, a), d));
}

AVX2_INLINE void store_warped2(uint8_t *dst, const struct pst__raster *src, const struct place2 *p,
                               const __m128i value[3])
{
    __m128i pixels = _mm_or_si128(value[0], _mm_slli_epi32(value[1], 8));
    pixels = _mm_or_si128(pixels, _mm_slli_epi32(value[2], 16));
    pixels = _mm_blendv_epi8(_mm_set1_epi32(fill2(src)), pixels, p->inside);
    _mm_storeu_si128((__m128i *)dst, pixels);
}

/* The last 4 overlap the ones before. */
AVX2 static void warp_bilinear_avx2(uint8_t *dst, const struct pst__raster *src, int n,
                                    const double *x, const double *y)
{
    if (n < 4) {
        pst__warp_bilinear_scalar(dst, src, n, x, y);
        return;
    }
    const __m128i one = _mm_set1_epi32(1);
    for (int i = 0;; i += 4) {
        if (i > n - 4)
            i = n - 4;
        struct place2 p = place2(src, x + i, y + i);
        __m128i left = clamp2(p.column, src->w);
        __m128i right = clamp2(_mm_add_epi32(p.column, one), src->w);
        __m128i above = line2(src, p.row), below = line2(src, _mm_add_epi32(p.row, one));
        __m128i a = fetch2(src, p.inside, above, left), b = fetch2(src, p.inside, above, right);
        __m128i c = fetch2(src, p.inside, below, left), d = fetch2(src, p.inside, below, right);
        __m128i value[3];
        for (int k = 0; k < 3; k++) {
            __m256d top = between2(channel2(a, k), channel2(b, k), p.dx);
            __m256d bottom = between2(channel2(c, k), channel2(d, k), p.dx);
            value[k] = _mm256_cvttpd_epi32(between2(top, bottom, p.dy));
        }
        store_warped2(dst + (ptrdiff_t)i * 4, src, &p, value);
        if (i == n - 4)
            return;
    }
}

/* As cubic() of warp.c; -v1 + v3 is v3 - v1, exactly. */
AVX2_INLINE __m256d cubic2(__m256d v1, __m256d v2, __m256d v3, __m256d v4, __m256d d)
{
    __m256d p2 = _mm256_sub_pd(v3, v1);
    __m256d p3 = _mm256_mul_pd(_mm256_set1_pd(2), _mm256_sub_pd(v1, v2));
    p3 = _mm256_sub_pd(_mm256_add_pd(p3, v3), v4);
    __m256d p4 = _mm256_add_pd(_mm256_sub_pd(_mm256_sub_pd(v2, v1), v3), v4);
    __m256d v = _mm256_add_pd(p3, _mm256_mul_pd(d, p4));
    v = _mm256_add_pd(p2, _mm256_mul_pd(d, v));
    return _mm256_add_pd(v2, _mm256_mul_pd(d, v));
}

AVX2 static void warp_bicubic_avx2(uint8_t *dst, const struct pst__raster *src, int n,
                                   const double *x, const double *y)
{
    if (n < 4) {
        pst__warp_bicubic_scalar(dst, src, n, x, y);
        return;
    }
    const __m256d zero = _mm256_setzero_pd(), most = _mm256_set1_pd(255);
    for (int i = 0;; i += 4) {
        if (i > n - 4)
            i = n - 4;
        struct place2 p = place2(src, x + i, y + i);
        __m128i column[4], value[3];
        __m256d v[3][4];
        for (int k = 0; k < 4; k++)
            column[k] = clamp2(_mm_add_epi32(p.column, _mm_set1_epi32(k - 1)), src->w);
        for (int k = 0; k < 4; k++) {
            __m128i line = line2(src, _mm_add_epi32(p.row, _mm_set1_epi32(k - 1)));
            __m128i a = fetch2(src, p.inside, line, column[0]);
            __m128i b = fetch2(src, p.inside, line, column[1]);
            __m128i c = fetch2(src, p.inside, line, column[2]);
            __m128i d = fetch2(src, p.inside, line, column[3]);
            for (int j = 0; j < 3; j++)
                v[j][k] =
                    cubic2(channel2(a, j), channel2(b, j), channel2(c, j), channel2(d, j), p.dx);
        }
        for (int j = 0; j < 3; j++) {
            __m256d sum = cubic2(v[j][0], v[j][1], v[j][2], v[j][3], p.dy);
            value[j] = _mm256_cvttpd_epi32(_mm256_min_pd(_mm256_max_pd(sum, zero), most));
        }
        store_warped2(dst + (ptrdiff_t)i * 4, src, &p, value);
        if (i == n - 4)
            return;
    }
}

#endif
