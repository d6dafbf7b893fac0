/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_TENSOR_AVX2_H
#define PST_KERNELS_X86_TENSOR_AVX2_H

#include "kernels/x86/resample_avx2.h"

/* torchvision's functions on tensors, eight pixels at a time. */

/* The bits of all ones where the integer i is from 0 to n - 1. */
AVX2_INLINE __m256i within256(__m256i i, int n)
{
    __m256i below = _mm256_cmpgt_epi32(_mm256_set1_epi32(n), i);
    return _mm256_andnot_si256(_mm256_srai_epi32(i, 31), below);
}

AVX2_INLINE __m256 place256(const struct pst__grid *grid, int k, __m256 x, float y)
{
    __m256 part = _mm256_mul_ps(x, _mm256_set1_ps(grid->a[k]));
    __m256 b = _mm256_set1_ps(grid->b[k]), at_y = _mm256_set1_ps(y);
    part = grid->is_plain ? _mm256_add_ps(part, _mm256_mul_ps(at_y, b))
                          : _mm256_fmadd_ps(at_y, b, part);
    part = _mm256_add_ps(_mm256_add_ps(part, _mm256_set1_ps(grid->c[k])), _mm256_set1_ps(1));
    return _mm256_fmadd_ps(part, _mm256_set1_ps(grid->half[k]), _mm256_set1_ps(-0.5f));
}

/* Where a place is between -1 and n. */
AVX2_INLINE __m256 near256(__m256 at, int n)
{
    return _mm256_and_ps(_mm256_cmp_ps(at, _mm256_set1_ps(-1), _CMP_GT_OQ),
                         _mm256_cmp_ps(at, _mm256_set1_ps((float)n), _CMP_LT_OQ));
}

AVX2_INLINE __m256i corner256(const struct pst__raster *src, __m256i x, __m256i y, __m256i inside)
{
    __m256i at = _mm256_mullo_epi32(y, _mm256_set1_epi32((int)(src->stride / 4)));
    return _mm256_mask_i32gather_epi32(_mm256_setzero_si256(),
                                       (const int *)(const void *)src->pixels,
                                       _mm256_add_epi32(at, x), inside, 4);
}

AVX2_INLINE __m256 byte256(__m256i pixels, int c)
{
    __m256i byte = _mm256_srli_epi32(pixels, c * 8);
    return _mm256_cvtepi32_ps(_mm256_and_si256(byte, _mm256_set1_epi32(255)));
}

AVX2_INLINE __m256 weigh256(const __m256 weight[4], __m256 a, __m256 b, __m256 c, __m256 d)
{
    __m256 sum = _mm256_fmadd_ps(b, weight[1], _mm256_mul_ps(a, weight[0]));
    return _mm256_fmadd_ps(d, weight[3], _mm256_fmadd_ps(c, weight[2], sum));
}

AVX2_INLINE __m256 fill256(const struct pst__grid *grid, int c, __m256 value, __m256 mask)
{
    __m256 fill = _mm256_set1_ps(grid->fill[c]), one = _mm256_set1_ps(1);
    if (grid->fill_kind == PST_GRID_FILL_V1)
        return _mm256_add_ps(_mm256_mul_ps(value, mask),
                             _mm256_mul_ps(_mm256_sub_ps(one, mask), fill));
    if (grid->fill_kind == PST_GRID_FILL_V2)
        return _mm256_add_ps(_mm256_mul_ps(_mm256_sub_ps(value, fill), mask), fill);
    return value;
}

AVX2_INLINE __m256i three256(const __m256i value[3])
{
    __m256i pixels = _mm256_or_si256(value[0], _mm256_slli_epi32(value[1], 8));
    return _mm256_or_si256(pixels, _mm256_slli_epi32(value[2], 16));
}

AVX2_INLINE __m256 ramp256(float x)
{
    return _mm256_add_ps(_mm256_set1_ps(x), _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7));
}

AVX2_INLINE __m256i bilinear256(const struct pst__raster *src, const struct pst__grid *grid,
                                __m256 at_x, float at_y)
{
    const __m256 one = _mm256_set1_ps(1);
    __m256 x = place256(grid, 0, at_x, at_y), y = place256(grid, 1, at_x, at_y);
    __m256 near = _mm256_and_ps(near256(x, src->w), near256(y, src->h));
    __m256 left = _mm256_floor_ps(x), top = _mm256_floor_ps(y);
    __m256 w = _mm256_sub_ps(x, left), n = _mm256_sub_ps(y, top);
    __m256 e = _mm256_sub_ps(one, w), s = _mm256_sub_ps(one, n);
    const __m256 weight[4] = {
        _mm256_and_ps(near, _mm256_mul_ps(e, s)), _mm256_and_ps(near, _mm256_mul_ps(w, s)),
        _mm256_and_ps(near, _mm256_mul_ps(e, n)), _mm256_and_ps(near, _mm256_mul_ps(w, n))};
    __m256i x0 = _mm256_cvttps_epi32(left), x1 = _mm256_add_epi32(x0, _mm256_set1_epi32(1));
    __m256i y0 = _mm256_cvttps_epi32(top), y1 = _mm256_add_epi32(y0, _mm256_set1_epi32(1));
    __m256i left_in = _mm256_and_si256(within256(x0, src->w), _mm256_castps_si256(near));
    __m256i right_in = _mm256_and_si256(within256(x1, src->w), _mm256_castps_si256(near));
    __m256i top_in = within256(y0, src->h), bottom_in = within256(y1, src->h), in[4], pixel[4];
    in[0] = _mm256_and_si256(left_in, top_in);
    in[1] = _mm256_and_si256(right_in, top_in);
    in[2] = _mm256_and_si256(left_in, bottom_in);
    in[3] = _mm256_and_si256(right_in, bottom_in);
    for (int k = 0; k < 4; k++)
        pixel[k] = corner256(src, k % 2 ? x1 : x0, k / 2 ? y1 : y0, in[k]);
    __m256 mask = one;
    if (grid->fill_kind != PST_GRID_FILL_NONE) {
        __m256 part[4];
        for (int k = 0; k < 4; k++)
            part[k] = _mm256_and_ps(_mm256_castsi256_ps(in[k]), one);
        mask = weigh256(weight, part[0], part[1], part[2], part[3]);
    }
    __m256i value[3];
    for (int c = 0; c < 3; c++) {
        __m256 sum = weigh256(weight, byte256(pixel[0], c), byte256(pixel[1], c),
                              byte256(pixel[2], c), byte256(pixel[3], c));
        value[c] = _mm256_cvtps_epi32(fill256(grid, c, sum, mask));
    }
    return three256(value);
}

AVX2 static void grid_bilinear_avx2(uint8_t *dst, const struct pst__raster *src,
                                    const struct pst__grid *grid, int n, float x, float y)
{
    int i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_si256((__m256i *)(void *)(dst + (ptrdiff_t)i * 4),
                            bilinear256(src, grid, ramp256(x + (float)i), y));
    pst__grid_bilinear_scalar(dst + (ptrdiff_t)i * 4, src, grid, n - i, x + (float)i, y);
}

AVX2_INLINE __m256i fills256(const struct pst__grid *grid)
{
    __m256i value[3];
    if (grid->fill_kind == PST_GRID_FILL_NONE)
        return _mm256_setzero_si256();
    for (int c = 0; c < 3; c++)
        value[c] = _mm256_cvtps_epi32(_mm256_set1_ps(grid->fill[c]));
    return three256(value);
}

AVX2 static void grid_nearest_avx2(uint8_t *dst, const struct pst__raster *src,
                                   const struct pst__grid *grid, int n, float x, float y)
{
    __m256i fill = fills256(grid);
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 at_x = ramp256(x + (float)i);
        __m256 px = place256(grid, 0, at_x, y), py = place256(grid, 1, at_x, y);
        __m256 near = _mm256_and_ps(near256(px, src->w), near256(py, src->h));
        __m256i column = _mm256_cvtps_epi32(px), row = _mm256_cvtps_epi32(py);
        __m256i inside = _mm256_and_si256(within256(column, src->w), within256(row, src->h));
        inside = _mm256_and_si256(inside, _mm256_castps_si256(near));
        __m256i pixels = corner256(src, column, row, inside);
        pixels = _mm256_blendv_epi8(fill, pixels, inside);
        _mm256_storeu_si256((__m256i *)(void *)(dst + (ptrdiff_t)i * 4), pixels);
    }
    pst__grid_nearest_scalar(dst + (ptrdiff_t)i * 4, src, grid, n - i, x + (float)i, y);
}

AVX2_INLINE __m256 tensor_luma256(const __m256 rgb[3], int is_fused)
{
    const __m256 g = _mm256_set1_ps(PST__TENSOR_LUMA_G), b = _mm256_set1_ps(PST__TENSOR_LUMA_B);
    __m256 sum = _mm256_mul_ps(rgb[0], _mm256_set1_ps(PST__TENSOR_LUMA_R));
    if (is_fused)
        sum = _mm256_fmadd_ps(rgb[2], b, _mm256_fmadd_ps(rgb[1], g, sum));
    else
        sum = _mm256_add_ps(_mm256_add_ps(sum, _mm256_mul_ps(rgb[1], g)), _mm256_mul_ps(rgb[2], b));
    return _mm256_floor_ps(sum);
}

AVX2_INLINE void bytes256(__m256 rgb[3], const uint8_t *px)
{
    __m256i pixels = _mm256_loadu_si256((const __m256i *)(const void *)px);
    for (int c = 0; c < 3; c++)
        rgb[c] = byte256(pixels, c);
}

AVX2_INLINE __m256i cut256(__m256 value)
{
    value = _mm256_min_ps(_mm256_max_ps(value, _mm256_setzero_ps()), _mm256_set1_ps(255));
    return _mm256_cvttps_epi32(value);
}

AVX2_INLINE __m256i tensor_blend256(__m256 own, __m256 other, const struct pst__portions *portions)
{
    __m256 part = _mm256_mul_ps(own, _mm256_set1_ps(portions->own));
    __m256 share = _mm256_set1_ps(portions->other);
    return cut256(portions->is_fused ? _mm256_fmadd_ps(other, share, part)
                                     : _mm256_add_ps(part, _mm256_mul_ps(other, share)));
}

AVX2 static uint64_t tensor_luma_sum_avx2(const uint8_t *px, int n, int is_fused)
{
    /* Of 2^20 pixels a lane has at most 2^17 * 255. */
    uint64_t total = 0;
    int i = 0;
    while (i + 8 <= n) {
        __m256i sum = _mm256_setzero_si256();
        for (int most = i + (1 << 20); i + 8 <= n && i < most; i += 8) {
            __m256 rgb[3];
            bytes256(rgb, px + (ptrdiff_t)i * 4);
            sum = _mm256_add_epi32(sum, _mm256_cvttps_epi32(tensor_luma256(rgb, is_fused)));
        }
        uint32_t lane[8];
        _mm256_storeu_si256((__m256i *)(void *)lane, sum);
        for (int k = 0; k < 8; k++)
            total += lane[k];
    }
    return total + pst__tensor_luma_sum_scalar(px + (ptrdiff_t)i * 4, n - i, is_fused);
}

AVX2 static void tensor_saturate_avx2(uint8_t *px, int n, const struct pst__portions *portions)
{
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        uint8_t *at = px + (ptrdiff_t)i * 4;
        __m256 rgb[3];
        __m256i value[3];
        bytes256(rgb, at);
        __m256 grey = tensor_luma256(rgb, portions->is_fused);
        for (int c = 0; c < 3; c++)
            value[c] = tensor_blend256(rgb[c], grey, portions);
        _mm256_storeu_si256((__m256i *)(void *)at, three256(value));
    }
    pst__tensor_saturate_scalar(px + (ptrdiff_t)i * 4, n - i, portions);
}

AVX2 static void tensor_sharpen_avx2(uint8_t *dst, const uint8_t *px, const float *sum,
                                     ptrdiff_t plane, int n, const struct pst__portions *portions)
{
    const __m256 share = _mm256_set1_ps(portions->other);
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 rgb[3];
        __m256i value[3];
        bytes256(rgb, px + (ptrdiff_t)i * 4);
        for (int c = 0; c < 3; c++) {
            __m256 blurred = _mm256_round_ps(_mm256_loadu_ps(sum + c * plane + i),
                                             _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
            if (portions->is_fused)
                value[c] = cut256(_mm256_fmadd_ps(_mm256_sub_ps(blurred, rgb[c]), share, rgb[c]));
            else
                value[c] = tensor_blend256(rgb[c], blurred, portions);
        }
        _mm256_storeu_si256((__m256i *)(void *)(dst + (ptrdiff_t)i * 4), three256(value));
    }
    pst__tensor_sharpen_scalar(dst + (ptrdiff_t)i * 4, px + (ptrdiff_t)i * 4, sum + i, plane, n - i,
                               portions);
}

AVX2_INLINE __m256i combine256(const uint8_t *const *src, const float *weight, int n_src, size_t i)
{
    __m256 sum = _mm256_setzero_ps();
    for (int k = 0; k < n_src; k++) {
        __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)(src[k] + i));
        __m256 part = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)),
                                    _mm256_set1_ps(weight[k]));
        sum = k == 0 ? part : _mm256_add_ps(sum, part);
    }
    return _mm256_cvttps_epi32(sum);
}

AVX2 static void combine_avx2(uint8_t *dst, const uint8_t *const *src, const float *weight,
                              int n_src, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i low = combine256(src, weight, n_src, i),
                high = combine256(src, weight, n_src, i + 8);
        __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
        __m128i bytes =
            _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storeu_si128((__m128i *)(void *)(dst + i), bytes);
    }
    pst__combine_from(dst, src, weight, n_src, i, n);
}

#endif
