/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_COLOUR_AVX512_H
#define PST_KERNELS_X86_COLOUR_AVX512_H

#include <string.h>

#include "kernels/x86/resample_avx512.h"

/* Sixteen pixels at a time, a dword each, those at the end under a mask. */
#define COLOUR_IN_PLACE_512(px, n, expression)                                                     \
    for (int i_ = 0; i_ < (n); i_ += 16) {                                                         \
        int left_ = (n)-i_;                                                                        \
        __mmask16 mask_ = left_ < 16 ? (__mmask16)((1u << left_) - 1) : 0xffff;                    \
        uint8_t *at_ = (px) + 4 * (ptrdiff_t)i_;                                                   \
        __m512i v = _mm512_maskz_loadu_epi32(mask_, at_);                                          \
        _mm512_mask_storeu_epi32(at_, mask_, expression);                                          \
    }

/* Tables of 256 bytes, and the bytes of a pixel that they are for. */
struct quarters512 {
    __m512i quarter[3][4];
};

AVX512_INLINE __m512i mapped512(const __m512i quarter[4], __m512i px, __mmask64 high)
{
    return _mm512_mask_blend_epi8(high, _mm512_permutex2var_epi8(quarter[0], px, quarter[1]),
                                  _mm512_permutex2var_epi8(quarter[2], px, quarter[3]));
}

AVX512_INLINE __m512i map512(const struct quarters512 *map, __m512i px)
{
    __mmask64 high = _mm512_movepi8_mask(px);
    __m512i r = mapped512(map->quarter[0], px, high), g = mapped512(map->quarter[1], px, high);
    __m512i b = mapped512(map->quarter[2], px, high);
    return _mm512_mask_blend_epi8(0x4444444444444444ull,
                                  _mm512_mask_blend_epi8(0x2222222222222222ull, r, g), b);
}

AVX512 static void map_avx512(uint8_t *px, int n, const struct pst__map *map)
{
    struct quarters512 tables;
    for (int c = 0; c < 3; c++)
        for (int q = 0; q < 4; q++)
            tables.quarter[c][q] = _mm512_loadu_si512(map->channel[c] + 64 * q);
    COLOUR_IN_PLACE_512(px, n, map512(&tables, v));
}

/* The luma in each dword. The products take signed words, so green's weight comes in halves. */
AVX512_INLINE __m512i luma512(__m512i px)
{
    const __m512i greens = _mm512_broadcast_i32x4(
        _mm_setr_epi8(1, -1, 1, -1, 5, -1, 5, -1, 9, -1, 9, -1, 13, -1, 13, -1));
    __m512i rb = _mm512_and_si512(px, _mm512_set1_epi32(0x00ff00ff));
    __m512i gg = _mm512_shuffle_epi8(px, greens);
    __m512i sum = _mm512_dpwssd_epi32(_mm512_set1_epi32(0x8000), rb,
                                      _mm512_set1_epi32(PST__LUMA_B << 16 | PST__LUMA_R));
    sum = _mm512_dpwssd_epi32(sum, gg, _mm512_set1_epi16(PST__LUMA_G / 2));
    return _mm512_srli_epi32(sum, 16);
}

AVX512_INLINE __m512i grey512(__m512i px)
{
    const __m512i thrice = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 0, 0, -1, 4, 4, 4, -1, 8, 8, 8, -1, 12, 12, 12, -1));
    return _mm512_shuffle_epi8(luma512(px), thrice);
}

AVX512 static void grey_avx512(uint8_t *px, int n)
{
    COLOUR_IN_PLACE_512(px, n, grey512(v));
}

AVX512 static uint64_t grey_sum_avx512(const uint8_t *px, int n)
{
    __m512i sum = _mm512_setzero_si512();
    for (int i = 0; i < n; i += 16) {
        __mmask16 mask = n - i < 16 ? (__mmask16)((1u << (n - i)) - 1) : 0xffff;
        __m512i v = _mm512_maskz_loadu_epi32(mask, px + 4 * (ptrdiff_t)i);
        sum = _mm512_add_epi64(sum, _mm512_sad_epu8(luma512(v), _mm512_setzero_si512()));
    }
    return (uint64_t)_mm512_reduce_add_epi64(sum);
}

/* pst__blend() of dwords. */
AVX512_INLINE __m512i blend512(__m512i back, __m512i front, __m512 factor)
{
    __m512 a = _mm512_cvtepi32_ps(back), b = _mm512_cvtepi32_ps(front);
    __m512 value = _mm512_add_ps(a, _mm512_mul_ps(factor, _mm512_sub_ps(b, a)));
    value = _mm512_min_ps(_mm512_max_ps(value, _mm512_setzero_ps()), _mm512_set1_ps(255));
    return _mm512_cvttps_epi32(value);
}

AVX512_INLINE __m512i byte512(__m512i px, int c)
{
    return _mm512_and_si512(_mm512_srli_epi32(px, (unsigned)(8 * c)), _mm512_set1_epi32(255));
}
AVX512_INLINE __m512i join3_512(__m512i r, __m512i g, __m512i b)
{
    return _mm512_or_si512(r, _mm512_or_si512(_mm512_slli_epi32(g, 8), _mm512_slli_epi32(b, 16)));
}

AVX512_INLINE __m512i saturate512(__m512i px, __m512 factor)
{
    __m512i grey = luma512(px);
    return join3_512(blend512(grey, byte512(px, 0), factor), blend512(grey, byte512(px, 1), factor),
                     blend512(grey, byte512(px, 2), factor));
}

AVX512 static void saturate_avx512(uint8_t *px, int n, float factor)
{
    __m512 f = _mm512_set1_ps(factor);
    COLOUR_IN_PLACE_512(px, n, saturate512(v, f));
}

/* x * 255 without its fraction, as if the product were exact. */
AVX512_INLINE __m512i floor255_512(__m512 x)
{
    const __m512 scale = _mm512_set1_ps(255);
    __m512i i = _mm512_cvttps_epi32(_mm512_mul_ps(x, scale));
    __m512 left = _mm512_fmsub_ps(x, scale, _mm512_cvtepi32_ps(i));
    __mmask16 over = _mm512_cmp_ps_mask(left, _mm512_setzero_ps(), _CMP_LT_OQ);
    return _mm512_mask_sub_epi32(i, over, i, _mm512_set1_epi32(1));
}

/* A pixel's H and S, 0 to 255, and V. */
struct hsv512 {
    __m512i h, s, v;
};

/* docs/internals/kernels.md says why this equals the scalar arithmetic. */
AVX512_INLINE struct hsv512 to_hsv512(__m512i px)
{
    __m512i r = byte512(px, 0), g = byte512(px, 1), b = byte512(px, 2);
    __m512i most = _mm512_max_epi32(r, _mm512_max_epi32(g, b));
    __m512i least = _mm512_min_epi32(r, _mm512_min_epi32(g, b));
    __mmask16 is_r = _mm512_cmpeq_epi32_mask(r, most), is_g = _mm512_cmpeq_epi32_mask(g, most);
    __m512i before = _mm512_mask_mov_epi32(_mm512_mask_mov_epi32(g, is_g, r), is_r, b);
    __m512i after = _mm512_mask_mov_epi32(_mm512_mask_mov_epi32(r, is_g, b), is_r, g);
    __m512i sixth = _mm512_mask_mov_epi32(_mm512_set1_epi32(3), is_g, _mm512_set1_epi32(1));
    sixth = _mm512_mask_mov_epi32(sixth, is_r, _mm512_set1_epi32(-1));
    __mmask16 falls = _mm512_cmpeq_epi32_mask(before, least);
    __m512i middle = _mm512_mask_mov_epi32(before, falls, after);
    sixth = _mm512_mask_add_epi32(sixth, falls, sixth, _mm512_set1_epi32(2));

    __m512 range = _mm512_cvtepi32_ps(_mm512_sub_epi32(most, least));
    __m512 part = _mm512_div_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(most, middle)), range);
    __m512 from = _mm512_cvtepi32_ps(sixth);
    __m512 h = _mm512_mask_sub_ps(_mm512_add_ps(from, part), falls, from, part);
    h = _mm512_div_ps(h, _mm512_set1_ps(6));
    __mmask16 negative = _mm512_cmp_ps_mask(h, _mm512_setzero_ps(), _CMP_LT_OQ);
    h = _mm512_mask_add_ps(h, negative, h, _mm512_set1_ps(1));
    __mmask16 colour = _mm512_cmpneq_epi32_mask(most, least);
    __m512 s = _mm512_div_ps(range, _mm512_cvtepi32_ps(most));
    return (struct hsv512){floor255_512(h), _mm512_maskz_mov_epi32(colour, floor255_512(s)), most};
}

AVX512_INLINE __m512i from_hsv512(struct hsv512 c)
{
    const __m512i full = _mm512_set1_epi32(255), one = _mm512_set1_epi32(1);
    /* Everything here fits 16 bits but the product that is divided. */
    __m512i six = _mm512_mullo_epi16(c.h, _mm512_set1_epi32(6));
    __m512i sector = _mm512_srli_epi32(
        _mm512_madd_epi16(_mm512_add_epi32(six, one), _mm512_set1_epi32(257)), 16);
    __m512i rest = _mm512_sub_epi32(six, _mm512_mullo_epi16(sector, full));
    __mmask16 even = _mm512_testn_epi32_mask(sector, one);
    rest = _mm512_mask_sub_epi32(rest, even, full, rest);
    __m512i low = _mm512_mullo_epi16(c.v, _mm512_sub_epi32(full, c.s));
    low = _mm512_add_epi32(low, _mm512_set1_epi32(128));
    low = _mm512_srli_epi32(_mm512_add_epi32(low, _mm512_slli_epi32(low, 8)), 16);
    __m512i share = _mm512_sub_epi32(_mm512_set1_epi32(65025), _mm512_mullo_epi16(c.s, rest));
    /* Products below 2^24 are exact. */
    __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(c.v), _mm512_cvtepi32_ps(share));
    __m512i mid = _mm512_cvtps_epi32(_mm512_mul_ps(product, _mm512_set1_ps(1.0f / 65025)));
    __m512 left = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(mid), _mm512_set1_ps(65025), product);
    __mmask16 above = _mm512_cmp_ps_mask(left, _mm512_set1_ps(32512), _CMP_GT_OQ);
    __mmask16 below = _mm512_cmp_ps_mask(left, _mm512_set1_ps(-32512), _CMP_LT_OQ);
    mid = _mm512_mask_add_epi32(mid, above, mid, one);
    mid = _mm512_mask_sub_epi32(mid, below, mid, one);

    const __m512i order = _mm512_castsi256_si512(_mm256_setr_epi32(PST__HUE_ORDER));
    const __m512i pixel =
        _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c));
    __m512i at = _mm512_add_epi32(_mm512_permutexvar_epi32(sector, order), pixel);
    return _mm512_shuffle_epi8(join3_512(c.v, mid, low), at);
}

AVX512_INLINE __m512i hue512(__m512i px, __m512i shift)
{
    struct hsv512 c = to_hsv512(px);
    c.h = _mm512_and_si512(_mm512_add_epi32(c.h, shift), _mm512_set1_epi32(255));
    return from_hsv512(c);
}

AVX512 static void hue_avx512(uint8_t *px, int n, uint8_t shift)
{
    __m512i by = _mm512_set1_epi32(shift);
    COLOUR_IN_PLACE_512(px, n, hue512(v, by));
}

AVX512_INLINE __m512i words512(const uint8_t *p)
{
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)p));
}
AVX512_INLINE __m512i column512(const uint8_t *above, const uint8_t *row, const uint8_t *below)
{
    return _mm512_add_epi16(_mm512_add_epi16(words512(above), words512(below)), words512(row));
}

/* Eight pixels that have neighbours. */
AVX512_INLINE __m256i sharpen512(const uint8_t *above, const uint8_t *row, const uint8_t *below,
                                 __m512 factor)
{
    __m512i front = words512(row);
    __m512i sum = _mm512_add_epi16(column512(above - 4, row - 4, below - 4),
                                   column512(above + 4, row + 4, below + 4));
    sum = _mm512_add_epi16(sum, column512(above, row, below));
    sum = _mm512_add_epi16(sum, _mm512_slli_epi16(front, 2));
    __m512i back = _mm512_mulhi_epu16(_mm512_add_epi16(sum, _mm512_set1_epi16(6)),
                                      _mm512_set1_epi16(PST__RCP_13));
    const __m512i zero = _mm512_setzero_si512();
    __m512i a =
        blend512(_mm512_unpacklo_epi16(back, zero), _mm512_unpacklo_epi16(front, zero), factor);
    __m512i b =
        blend512(_mm512_unpackhi_epi16(back, zero), _mm512_unpackhi_epi16(front, zero), factor);
    return _mm512_cvtepi16_epi8(_mm512_packs_epi32(a, b));
}

AVX512 static void sharpen_avx512(uint8_t *dst, const uint8_t *above, const uint8_t *row,
                                  const uint8_t *below, int n, float factor)
{
    if (n < 10) {
        pst__sharpen_scalar(dst, above, row, below, n, factor);
        return;
    }
    const ptrdiff_t last = 4 * ((ptrdiff_t)n - 9);
    __m512 f = _mm512_set1_ps(factor);
    memcpy(dst, row, 4);
    memcpy(dst + last + 32, row + last + 32, 4);
    for (ptrdiff_t i = 4;; i += 32) {
        i = i < last ? i : last; /* the last eight overlap the ones before */
        _mm256_storeu_si256((__m256i *)(dst + i), sharpen512(above + i, row + i, below + i, f));
        if (i == last)
            return;
    }
}

#undef COLOUR_IN_PLACE_512

#endif
