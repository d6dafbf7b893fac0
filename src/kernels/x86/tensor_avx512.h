/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_TENSOR_AVX512_H
#define PST_KERNELS_X86_TENSOR_AVX512_H

#include "kernels/x86/resample_avx512.h"

/* torchvision's functions on tensors, sixteen pixels at a time. */

#define TENSOR_NEAREST (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define TENSOR_DOWN (_MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)

AVX512_INLINE __mmask16 first512(int n)
{
    return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1);
}

/* Where the integer i is from 0 to n - 1. */
AVX512_INLINE __mmask16 within512(__m512i i, int n)
{
    return _mm512_cmplt_epu32_mask(i, _mm512_set1_epi32(n));
}

AVX512_INLINE __m512 place_f512(const struct pst__grid *grid, int k, __m512 x, float y)
{
    __m512 part = _mm512_mul_ps(x, _mm512_set1_ps(grid->a[k]));
    __m512 b = _mm512_set1_ps(grid->b[k]), at_y = _mm512_set1_ps(y);
    part = grid->is_plain ? _mm512_add_ps(part, _mm512_mul_ps(at_y, b))
                          : _mm512_fmadd_ps(at_y, b, part);
    part = _mm512_add_ps(_mm512_add_ps(part, _mm512_set1_ps(grid->c[k])), _mm512_set1_ps(1));
    return _mm512_fmadd_ps(part, _mm512_set1_ps(grid->half[k]), _mm512_set1_ps(-0.5f));
}

/* Where a place is between -1 and n. */
AVX512_INLINE __mmask16 near512(__m512 at, int n)
{
    __mmask16 above = _mm512_cmp_ps_mask(at, _mm512_set1_ps(-1), _CMP_GT_OQ);
    return _mm512_mask_cmp_ps_mask(above, at, _mm512_set1_ps((float)n), _CMP_LT_OQ);
}

AVX512_INLINE __m512i corner512(const struct pst__raster *src, __m512i x, __m512i y,
                                __mmask16 inside)
{
    __m512i at = _mm512_mullo_epi32(y, _mm512_set1_epi32((int)(src->stride / 4)));
    return _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), inside, _mm512_add_epi32(at, x),
                                       src->pixels, 4);
}

AVX512_INLINE __m512 byte_f512(__m512i pixels, int c)
{
    __m512i byte = _mm512_srli_epi32(pixels, (unsigned)c * 8);
    return _mm512_cvtepi32_ps(_mm512_and_si512(byte, _mm512_set1_epi32(255)));
}

AVX512_INLINE __m512 weigh512(const __m512 weight[4], __m512 a, __m512 b, __m512 c, __m512 d)
{
    __m512 sum = _mm512_fmadd_ps(b, weight[1], _mm512_mul_ps(a, weight[0]));
    return _mm512_fmadd_ps(d, weight[3], _mm512_fmadd_ps(c, weight[2], sum));
}

AVX512_INLINE __m512 fill_f512(const struct pst__grid *grid, int c, __m512 value, __m512 mask)
{
    __m512 fill = _mm512_set1_ps(grid->fill[c]), one = _mm512_set1_ps(1);
    if (grid->fill_kind == PST_GRID_FILL_V1)
        return _mm512_add_ps(_mm512_mul_ps(value, mask),
                             _mm512_mul_ps(_mm512_sub_ps(one, mask), fill));
    if (grid->fill_kind == PST_GRID_FILL_V2)
        return _mm512_add_ps(_mm512_mul_ps(_mm512_sub_ps(value, fill), mask), fill);
    return value;
}

AVX512_INLINE __m512i three512(const __m512i value[3])
{
    __m512i pixels = _mm512_or_si512(value[0], _mm512_slli_epi32(value[1], 8));
    return _mm512_or_si512(pixels, _mm512_slli_epi32(value[2], 16));
}

AVX512_INLINE __m512 ramp512(float x)
{
    return _mm512_add_ps(_mm512_set1_ps(x),
                         _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

AVX512_INLINE __m512i bilinear_f512(const struct pst__raster *src, const struct pst__grid *grid,
                                    __m512 at_x, float at_y)
{
    const __m512 one = _mm512_set1_ps(1);
    __m512 x = place_f512(grid, 0, at_x, at_y), y = place_f512(grid, 1, at_x, at_y);
    __mmask16 near = near512(x, src->w) & near512(y, src->h), in[4];
    __m512 left = _mm512_roundscale_ps(x, TENSOR_DOWN), top = _mm512_roundscale_ps(y, TENSOR_DOWN);
    __m512 w = _mm512_sub_ps(x, left), n = _mm512_sub_ps(y, top);
    __m512 e = _mm512_sub_ps(one, w), s = _mm512_sub_ps(one, n);
    const __m512 weight[4] = {_mm512_maskz_mul_ps(near, e, s), _mm512_maskz_mul_ps(near, w, s),
                              _mm512_maskz_mul_ps(near, e, n), _mm512_maskz_mul_ps(near, w, n)};
    __m512i x0 = _mm512_cvttps_epi32(left), x1 = _mm512_add_epi32(x0, _mm512_set1_epi32(1));
    __m512i y0 = _mm512_cvttps_epi32(top), y1 = _mm512_add_epi32(y0, _mm512_set1_epi32(1));
    __mmask16 left_in = near & within512(x0, src->w), right_in = near & within512(x1, src->w);
    __mmask16 top_in = within512(y0, src->h), bottom_in = within512(y1, src->h);
    in[0] = left_in & top_in;
    in[1] = right_in & top_in;
    in[2] = left_in & bottom_in;
    in[3] = right_in & bottom_in;
    __m512i pixel[4], value[3];
    for (int k = 0; k < 4; k++)
        pixel[k] = corner512(src, k % 2 ? x1 : x0, k / 2 ? y1 : y0, in[k]);
    __m512 mask = one;
    if (grid->fill_kind != PST_GRID_FILL_NONE)
        mask = weigh512(weight, _mm512_maskz_mov_ps(in[0], one), _mm512_maskz_mov_ps(in[1], one),
                        _mm512_maskz_mov_ps(in[2], one), _mm512_maskz_mov_ps(in[3], one));
    for (int c = 0; c < 3; c++) {
        __m512 sum = weigh512(weight, byte_f512(pixel[0], c), byte_f512(pixel[1], c),
                              byte_f512(pixel[2], c), byte_f512(pixel[3], c));
        value[c] = _mm512_cvtps_epi32(fill_f512(grid, c, sum, mask));
    }
    return three512(value);
}

AVX512 static void grid_bilinear_avx512(uint8_t *dst, const struct pst__raster *src,
                                        const struct pst__grid *grid, int n, float x, float y)
{
    for (int i = 0; i < n; i += 16)
        _mm512_mask_storeu_epi32(dst + (ptrdiff_t)i * 4, first512(n - i),
                                 bilinear_f512(src, grid, ramp512(x + (float)i), y));
}

AVX512_INLINE __m512i fills512(const struct pst__grid *grid)
{
    __m512i value[3];
    if (grid->fill_kind == PST_GRID_FILL_NONE)
        return _mm512_setzero_si512();
    for (int c = 0; c < 3; c++)
        value[c] = _mm512_cvtps_epi32(_mm512_set1_ps(grid->fill[c]));
    return three512(value);
}

AVX512 static void grid_nearest_avx512(uint8_t *dst, const struct pst__raster *src,
                                       const struct pst__grid *grid, int n, float x, float y)
{
    __m512i fill = fills512(grid);
    for (int i = 0; i < n; i += 16) {
        __m512 at_x = ramp512(x + (float)i);
        __m512 px = place_f512(grid, 0, at_x, y), py = place_f512(grid, 1, at_x, y);
        __mmask16 inside = near512(px, src->w) & near512(py, src->h);
        __m512i column = _mm512_cvtps_epi32(px), row = _mm512_cvtps_epi32(py);
        inside &= within512(column, src->w) & within512(row, src->h);
        __m512i pixels = corner512(src, column, row, inside);
        pixels = _mm512_mask_mov_epi32(fill, inside, pixels);
        _mm512_mask_storeu_epi32(dst + (ptrdiff_t)i * 4, first512(n - i), pixels);
    }
}

AVX512_INLINE __m512 tensor_luma512(const __m512 rgb[3], int is_fused)
{
    const __m512 g = _mm512_set1_ps(PST__TENSOR_LUMA_G), b = _mm512_set1_ps(PST__TENSOR_LUMA_B);
    __m512 sum = _mm512_mul_ps(rgb[0], _mm512_set1_ps(PST__TENSOR_LUMA_R));
    if (is_fused)
        sum = _mm512_fmadd_ps(rgb[2], b, _mm512_fmadd_ps(rgb[1], g, sum));
    else
        sum = _mm512_add_ps(_mm512_add_ps(sum, _mm512_mul_ps(rgb[1], g)), _mm512_mul_ps(rgb[2], b));
    return _mm512_roundscale_ps(sum, TENSOR_DOWN);
}

AVX512_INLINE void bytes512(__m512 rgb[3], const uint8_t *px, __mmask16 here)
{
    __m512i pixels = _mm512_maskz_loadu_epi32(here, px);
    for (int c = 0; c < 3; c++)
        rgb[c] = byte_f512(pixels, c);
}

AVX512_INLINE __m512i cut512(__m512 value)
{
    value = _mm512_min_ps(_mm512_max_ps(value, _mm512_setzero_ps()), _mm512_set1_ps(255));
    return _mm512_cvttps_epi32(value);
}

AVX512_INLINE __m512i tensor_blend512(__m512 own, __m512 other,
                                      const struct pst__portions *portions)
{
    __m512 part = _mm512_mul_ps(own, _mm512_set1_ps(portions->own));
    __m512 share = _mm512_set1_ps(portions->other);
    return cut512(portions->is_fused ? _mm512_fmadd_ps(other, share, part)
                                     : _mm512_add_ps(part, _mm512_mul_ps(other, share)));
}

AVX512 static uint64_t tensor_luma_sum_avx512(const uint8_t *px, int n, int is_fused)
{
    /* Of 2^20 pixels a lane has at most 2^16 * 255. */
    uint64_t total = 0;
    for (int i = 0; i < n;) {
        __m512i sum = _mm512_setzero_si512();
        for (int most = i + (1 << 20); i < n && i < most; i += 16) {
            __m512 rgb[3];
            bytes512(rgb, px + (ptrdiff_t)i * 4, first512(n - i));
            sum = _mm512_add_epi32(sum, _mm512_cvttps_epi32(tensor_luma512(rgb, is_fused)));
        }
        total += (uint32_t)_mm512_reduce_add_epi32(sum);
    }
    return total;
}

AVX512 static void tensor_saturate_avx512(uint8_t *px, int n, const struct pst__portions *portions)
{
    for (int i = 0; i < n; i += 16) {
        uint8_t *at = px + (ptrdiff_t)i * 4;
        __m512 rgb[3];
        __m512i value[3];
        bytes512(rgb, at, first512(n - i));
        __m512 grey = tensor_luma512(rgb, portions->is_fused);
        for (int c = 0; c < 3; c++)
            value[c] = tensor_blend512(rgb[c], grey, portions);
        _mm512_mask_storeu_epi32(at, first512(n - i), three512(value));
    }
}

AVX512 static void tensor_sharpen_avx512(uint8_t *dst, const uint8_t *px, const float *sum,
                                         ptrdiff_t plane, int n,
                                         const struct pst__portions *portions)
{
    const __m512 share = _mm512_set1_ps(portions->other);
    for (int i = 0; i < n; i += 16) {
        __mmask16 here = first512(n - i);
        __m512 rgb[3];
        __m512i value[3];
        bytes512(rgb, px + (ptrdiff_t)i * 4, here);
        for (int c = 0; c < 3; c++) {
            __m512 blurred = _mm512_maskz_loadu_ps(here, sum + c * plane + i);
            blurred = _mm512_roundscale_ps(blurred, TENSOR_NEAREST);
            if (portions->is_fused)
                value[c] = cut512(_mm512_fmadd_ps(_mm512_sub_ps(blurred, rgb[c]), share, rgb[c]));
            else
                value[c] = tensor_blend512(rgb[c], blurred, portions);
        }
        _mm512_mask_storeu_epi32(dst + (ptrdiff_t)i * 4, here, three512(value));
    }
}

AVX512 static void combine_avx512(uint8_t *dst, const uint8_t *const *src, const float *weight,
                                  int n_src, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 here = first512(n - i < 16 ? (int)(n - i) : 16);
        __m512 sum = _mm512_setzero_ps();
        for (int k = 0; k < n_src; k++) {
            __m512i bytes = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(here, src[k] + i));
            __m512 part = _mm512_mul_ps(_mm512_cvtepi32_ps(bytes), _mm512_set1_ps(weight[k]));
            sum = k == 0 ? part : _mm512_add_ps(sum, part);
        }
        _mm_mask_storeu_epi8(dst + i, here, _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(sum)));
    }
}

#endif
