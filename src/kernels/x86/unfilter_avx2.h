/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_UNFILTER_AVX2_H
#define PST_KERNELS_X86_UNFILTER_AVX2_H

#include "kernels/x86/resample_avx2.h"

/* A pixel needs the one to its left, so all but one of the filters take one pixel a step, all its
 * channels at once. What counts is how many operations lie between a pixel and the next. */

AVX2_INLINE __m128i load_filtered(const uint8_t *src, int bpp)
{
    return bpp <= 4 ? _mm_loadu_si32(src) : _mm_loadl_epi64((const __m128i *)(const void *)src);
}

/* Writes 4 or 8 bytes, the first ones of the next pixel too, which has been loaded by then. */
AVX2_INLINE void store_unfiltered(uint8_t *dst, __m128i v, int bpp)
{
    if (bpp <= 4)
        _mm_storeu_si32(dst, v);
    else
        _mm_storel_epi64((__m128i *)(void *)dst, v);
}

AVX2_INLINE void store_last(uint8_t *dst, __m128i v, int bpp)
{
    uint64_t bytes = (uint64_t)_mm_cvtsi128_si64(v);
    __builtin_memcpy(dst, &bytes, (size_t)bpp);
}

AVX2_INLINE __m128i average(__m128i left, __m128i above)
{
    /* pavgb rounds up. */
    __m128i odd = _mm_and_si128(_mm_xor_si128(left, above), _mm_set1_epi8(1));
    return _mm_sub_epi8(_mm_avg_epu8(left, above), odd);
}

/* Elements of 16 bits. With t = 3 corner - left - above the nearest is the lesser of left and above
 * if t is at least the greater one, the greater if t is at most the lesser, else the corner; where
 * both hold the two are equal. (Distances to left, above and corner are |above - corner|,
 * |left - corner| and |left + above - 2 corner|.) */
AVX2_INLINE __m128i nearest(__m128i left, __m128i above, __m128i corner, __m128i t_and_left)
{
    __m128i t = _mm_sub_epi16(t_and_left, left);
    __m128i low = _mm_min_epi16(left, above), high = _mm_max_epi16(left, above);
    __m128i not_low = _mm_cmpgt_epi16(high, t), not_high = _mm_cmpgt_epi16(t, low);
    __m128i middle = _mm_and_si128(corner, _mm_and_si128(not_low, not_high));
    __m128i end = _mm_or_si128(_mm_andnot_si128(not_low, low), _mm_andnot_si128(not_high, high));
    return _mm_or_si128(middle, end);
}

AVX2_INLINE void undo_sub_pixels(uint8_t *row, int n, int bpp)
{
    __m128i left = _mm_setzero_si128(), next = load_filtered(row, bpp);
    for (int i = 0; i < n; i += bpp) {
        left = _mm_add_epi8(left, next);
        next = load_filtered(row + i + bpp, bpp);
        if (i + bpp < n)
            store_unfiltered(row + i, left, bpp);
        else
            store_last(row + i, left, bpp);
    }
}

AVX2_INLINE void undo_average_pixels(uint8_t *row, const uint8_t *above, int n, int bpp)
{
    __m128i left = _mm_setzero_si128(), next = load_filtered(row, bpp);
    for (int i = 0; i < n; i += bpp) {
        left = _mm_add_epi8(next, average(left, load_filtered(above + i, bpp)));
        next = load_filtered(row + i + bpp, bpp);
        if (i + bpp < n)
            store_unfiltered(row + i, left, bpp);
        else
            store_last(row + i, left, bpp);
    }
}

AVX2_INLINE void undo_paeth_pixels(uint8_t *row, const uint8_t *above, int n, int bpp)
{
    __m128i left = _mm_setzero_si128(), corner = left;
    __m128i next = _mm_cvtepu8_epi16(load_filtered(row, bpp));
    for (int i = 0; i < n; i += bpp) {
        __m128i up = _mm_cvtepu8_epi16(load_filtered(above + i, bpp));
        __m128i three = _mm_add_epi16(corner, _mm_add_epi16(corner, corner));
        /* Sums of bytes: the upper halves stay 0. */
        left = _mm_add_epi8(next, nearest(left, up, corner, _mm_sub_epi16(three, up)));
        corner = up;
        next = _mm_cvtepu8_epi16(load_filtered(row + i + bpp, bpp));
        __m128i packed = _mm_packus_epi16(left, left);
        if (i + bpp < n)
            store_unfiltered(row + i, packed, bpp);
        else
            store_last(row + i, packed, bpp);
    }
}

AVX2_INLINE void undo_up_avx2(uint8_t *row, const uint8_t *above, int n)
{
    int i = 0;
    for (; i <= n - 32; i += 32) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(row + i));
        __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(above + i));
        _mm256_storeu_si256((__m256i *)(void *)(row + i), _mm256_add_epi8(a, b));
    }
    for (; i < n; i++)
        row[i] = (uint8_t)(row[i] + above[i]);
}

/* Inlined with a constant. */
AVX2_INLINE void undo_pixels(uint8_t *row, const uint8_t *above, int n, int bpp,
                             enum pst__filter filter)
{
    if (filter == PST_FILTER_SUB)
        undo_sub_pixels(row, n, bpp);
    else if (filter == PST_FILTER_AVERAGE)
        undo_average_pixels(row, above, n, bpp);
    else
        undo_paeth_pixels(row, above, n, bpp);
}

AVX2 static void unfilter_avx2(uint8_t *row, const uint8_t *above, int n, int bpp,
                               enum pst__filter filter)
{
    if (filter == PST_FILTER_NONE)
        return;
    if (filter == PST_FILTER_UP)
        undo_up_avx2(row, above, n);
    else if (bpp == 3)
        undo_pixels(row, above, n, 3, filter);
    else if (bpp == 4)
        undo_pixels(row, above, n, 4, filter);
    else if (bpp == 6)
        undo_pixels(row, above, n, 6, filter);
    else if (bpp == 8)
        undo_pixels(row, above, n, 8, filter);
    else /* a byte or two at a time are no work for a vector */
        pst__unfilter_scalar(row, above, n, bpp, filter);
}

AVX2_INLINE uint32_t sum_of_dwords(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(s);
}

/* Up to 173 times 32 bytes (5536, see the scalar version). Each byte counts in b as often as there
 * are bytes from it to the end: by its place among the 32, and 32 times for each 32 behind. */
AVX2_INLINE void adler32_block(uint32_t *a, uint32_t *b, const uint8_t *src, size_t n_vectors)
{
    const __m256i weights =
        _mm256_setr_epi8(32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14,
                         13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1);
    const __m256i zero = _mm256_setzero_si256(), ones = _mm256_set1_epi16(1);
    __m256i sum = zero, sums_before = zero, weighted = zero;
    for (size_t i = 0; i < n_vectors; i++) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(src + 32 * i));
        sums_before = _mm256_add_epi32(sums_before, sum);
        sum = _mm256_add_epi32(sum, _mm256_sad_epu8(v, zero));
        __m256i pairs = _mm256_maddubs_epi16(v, weights);
        weighted = _mm256_add_epi32(weighted, _mm256_madd_epi16(pairs, ones));
    }
    *b +=
        (uint32_t)(32 * n_vectors) * *a + 32 * sum_of_dwords(sums_before) + sum_of_dwords(weighted);
    *a += sum_of_dwords(sum);
    *a %= PST__ADLER_MODULUS;
    *b %= PST__ADLER_MODULUS;
}

AVX2 static uint32_t adler32_avx2(const uint8_t *src, size_t n)
{
    uint32_t a = 1, b = 0;
    while (n >= 32) {
        size_t n_vectors = n / 32 < 173 ? n / 32 : 173;
        adler32_block(&a, &b, src, n_vectors);
        src += 32 * n_vectors;
        n -= 32 * n_vectors;
    }
    for (size_t i = 0; i < n; i++) {
        a += src[i];
        b += a;
    }
    return b % PST__ADLER_MODULUS << 16 | a % PST__ADLER_MODULUS;
}

#endif
