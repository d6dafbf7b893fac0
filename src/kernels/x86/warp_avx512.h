/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_WARP_AVX512_H
#define PST_KERNELS_X86_WARP_AVX512_H

#include "kernels/x86/resample_avx512.h"

AVX512_INLINE __m512i fill512(const struct pst__raster *src)
{
    int32_t fill;
    __builtin_memcpy(&fill, src->fill, sizeof fill);
    return _mm512_set1_epi32(fill);
}

AVX512 static void warp_fixed_avx512(uint8_t *dst, const struct pst__raster *src, int n, int32_t x,
                                     int32_t y, int32_t dx, int32_t dy)
{
    const __m512i index = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i fill = fill512(src), zero = _mm512_setzero_si512();
    const __m512i w = _mm512_set1_epi32(src->w), h = _mm512_set1_epi32(src->h);
    const __m512i pitch = _mm512_set1_epi32((int32_t)(src->stride / 4));
    const __m512i next_x = _mm512_slli_epi32(_mm512_set1_epi32(dx), 4);
    const __m512i next_y = _mm512_slli_epi32(_mm512_set1_epi32(dy), 4);
    __m512i at_x =
        _mm512_add_epi32(_mm512_set1_epi32(x), _mm512_mullo_epi32(index, _mm512_set1_epi32(dx)));
    __m512i at_y =
        _mm512_add_epi32(_mm512_set1_epi32(y), _mm512_mullo_epi32(index, _mm512_set1_epi32(dy)));
    for (int i = 0; i < n; i += 16) {
        __mmask16 here = (__mmask16)(n - i >= 16 ? 0xffff : (1u << (n - i)) - 1);
        __m512i column = _mm512_srai_epi32(at_x, 16), row = _mm512_srai_epi32(at_y, 16);
        __mmask16 inside = _mm512_mask_cmp_epi32_mask(here, column, zero, _MM_CMPINT_NLT);
        inside = _mm512_mask_cmp_epi32_mask(inside, column, w, _MM_CMPINT_LT);
        inside = _mm512_mask_cmp_epi32_mask(inside, row, zero, _MM_CMPINT_NLT);
        inside = _mm512_mask_cmp_epi32_mask(inside, row, h, _MM_CMPINT_LT);
        __m512i at = _mm512_add_epi32(_mm512_mullo_epi32(row, pitch), column);
        __m512i pixels = _mm512_mask_i32gather_epi32(fill, inside, at, src->pixels, 4);
        _mm512_mask_storeu_epi32(dst + (ptrdiff_t)i * 4, here, pixels);
        at_x = _mm512_add_epi32(at_x, next_x);
        at_y = _mm512_add_epi32(at_y, next_y);
    }
}

/* Eight places. */
struct place512 {
    __mmask8 here, inside;
    __m256i column, row; /* of the pixel before */
    __m512d dx, dy;
};

AVX512_INLINE struct place512 place512(const struct pst__raster *src, int left, const double *x,
                                       const double *y)
{
    struct place512 p;
    p.here = (__mmask8)(left >= 8 ? 0xff : (1u << left) - 1);
    const __m512d half = _mm512_set1_pd(0.5), zero = _mm512_setzero_pd();
    __m512d at_x = _mm512_maskz_loadu_pd(p.here, x), at_y = _mm512_maskz_loadu_pd(p.here, y);
    p.inside = _mm512_mask_cmp_pd_mask(p.here, at_x, zero, _CMP_GE_OQ);
    p.inside = _mm512_mask_cmp_pd_mask(p.inside, at_x, _mm512_set1_pd(src->w), _CMP_LT_OQ);
    p.inside = _mm512_mask_cmp_pd_mask(p.inside, at_y, zero, _CMP_GE_OQ);
    p.inside = _mm512_mask_cmp_pd_mask(p.inside, at_y, _mm512_set1_pd(src->h), _CMP_LT_OQ);
    at_x = _mm512_sub_pd(at_x, half);
    at_y = _mm512_sub_pd(at_y, half);
    __m512d floor_x = _mm512_roundscale_pd(at_x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    __m512d floor_y = _mm512_roundscale_pd(at_y, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    p.dx = _mm512_sub_pd(at_x, floor_x);
    p.dy = _mm512_sub_pd(at_y, floor_y);
    p.column = _mm512_cvttpd_epi32(floor_x);
    p.row = _mm512_cvttpd_epi32(floor_y);
    return p;
}

/* i moved into 0 .. n - 1. */
AVX512_INLINE __m256i clamp512(__m256i i, int n)
{
    return _mm256_min_epi32(_mm256_max_epi32(i, _mm256_setzero_si256()), _mm256_set1_epi32(n - 1));
}

AVX512_INLINE __m256i fetch512(const struct pst__raster *src, __mmask8 inside, __m256i line,
                               __m256i column)
{
    return _mm256_mmask_i32gather_epi32(_mm256_setzero_si256(), inside,
                                        _mm256_add_epi32(line, column), src->pixels, 4);
}

AVX512_INLINE __m256i line512(const struct pst__raster *src, __m256i row)
{
    return _mm256_mullo_epi32(clamp512(row, src->h), _mm256_set1_epi32((int)(src->stride / 4)));
}

AVX512_INLINE __m512d channel512(__m256i pixels, int channel)
{
    __m256i byte =
        _mm256_and_si256(_mm256_srli_epi32(pixels, (unsigned)channel * 8), _mm256_set1_epi32(255));
    return _mm512_cvtepi32_pd(byte);
}

AVX512_INLINE __m512d between512(__m512d a, __m512d b, __m512d d)
{
    return _mm512_add_pd(a, _mm512_mul_pd(_mm512_sub_pd(b, a), d));
}

AVX512_INLINE void store_warped512(uint8_t *dst, const struct pst__raster *src,
                                   const struct place512 *p, const __m256i value[3])
{
    __m256i pixels = _mm256_or_si256(value[0], _mm256_slli_epi32(value[1], 8));
    pixels = _mm256_or_si256(pixels, _mm256_slli_epi32(value[2], 16));
    pixels = _mm256_mask_mov_epi32(_mm512_castsi512_si256(fill512(src)), p->inside, pixels);
    _mm256_mask_storeu_epi32(dst, p->here, pixels);
}

AVX512 static void warp_bilinear_avx512(uint8_t *dst, const struct pst__raster *src, int n,
                                        const double *x, const double *y)
{
    const __m256i one = _mm256_set1_epi32(1);
    for (int i = 0; i < n; i += 8) {
        struct place512 p = place512(src, n - i, x + i, y + i);
        __m256i left = clamp512(p.column, src->w);
        __m256i right = clamp512(_mm256_add_epi32(p.column, one), src->w);
        __m256i above = line512(src, p.row);
        __m256i below = line512(src, _mm256_add_epi32(p.row, one));
        __m256i a = fetch512(src, p.inside, above, left), b = fetch512(src, p.inside, above, right);
        __m256i c = fetch512(src, p.inside, below, left), d = fetch512(src, p.inside, below, right);
        __m256i value[3];
        for (int k = 0; k < 3; k++) {
            __m512d top = between512(channel512(a, k), channel512(b, k), p.dx);
            __m512d bottom = between512(channel512(c, k), channel512(d, k), p.dx);
            value[k] = _mm512_cvttpd_epi32(between512(top, bottom, p.dy));
        }
        store_warped512(dst + (ptrdiff_t)i * 4, src, &p, value);
    }
}

/* As cubic() of warp.c; -v1 + v3 is v3 - v1, exactly. */
AVX512_INLINE __m512d cubic512(__m512d v1, __m512d v2, __m512d v3, __m512d v4, __m512d d)
{
    __m512d p2 = _mm512_sub_pd(v3, v1);
    __m512d p3 = _mm512_mul_pd(_mm512_set1_pd(2), _mm512_sub_pd(v1, v2));
    p3 = _mm512_sub_pd(_mm512_add_pd(p3, v3), v4);
    __m512d p4 = _mm512_add_pd(_mm512_sub_pd(_mm512_sub_pd(v2, v1), v3), v4);
    __m512d v = _mm512_add_pd(p3, _mm512_mul_pd(d, p4));
    v = _mm512_add_pd(p2, _mm512_mul_pd(d, v));
    return _mm512_add_pd(v2, _mm512_mul_pd(d, v));
}

AVX512 static void warp_bicubic_avx512(uint8_t *dst, const struct pst__raster *src, int n,
                                       const double *x, const double *y)
{
    const __m512d zero = _mm512_setzero_pd(), most = _mm512_set1_pd(255);
    for (int i = 0; i < n; i += 8) {
        struct place512 p = place512(src, n - i, x + i, y + i);
        __m256i column[4], value[3];
        __m512d v[3][4];
        for (int k = 0; k < 4; k++)
            column[k] = clamp512(_mm256_add_epi32(p.column, _mm256_set1_epi32(k - 1)), src->w);
        for (int k = 0; k < 4; k++) {
            __m256i line = line512(src, _mm256_add_epi32(p.row, _mm256_set1_epi32(k - 1)));
            __m256i a = fetch512(src, p.inside, line, column[0]);
            __m256i b = fetch512(src, p.inside, line, column[1]);
            __m256i c = fetch512(src, p.inside, line, column[2]);
            __m256i d = fetch512(src, p.inside, line, column[3]);
            for (int j = 0; j < 3; j++)
                v[j][k] = cubic512(channel512(a, j), channel512(b, j), channel512(c, j),
                                   channel512(d, j), p.dx);
        }
        for (int j = 0; j < 3; j++) {
            __m512d sum = cubic512(v[j][0], v[j][1], v[j][2], v[j][3], p.dy);
            value[j] = _mm512_cvttpd_epi32(_mm512_min_pd(_mm512_max_pd(sum, zero), most));
        }
        store_warped512(dst + (ptrdiff_t)i * 4, src, &p, value);
    }
}

#endif
