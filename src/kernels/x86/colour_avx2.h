/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_COLOUR_AVX2_H
#define PST_KERNELS_X86_COLOUR_AVX2_H

#include <string.h>

#include "kernels/x86/resample_avx2.h"

/* Eight pixels at a time, a dword each. What is left at the end goes through a block of its own. */
#define COLOUR_IN_PLACE_2(px, n, expression)                                                       \
    do {                                                                                           \
        int i_ = 0;                                                                                \
        for (; i_ + 8 <= (n); i_ += 8) {                                                           \
            __m256i *at_ = (__m256i *)((px) + 4 * (ptrdiff_t)i_), v = _mm256_loadu_si256(at_);     \
            _mm256_storeu_si256(at_, expression);                                                  \
        }                                                                                          \
        if (i_ < (n)) {                                                                            \
            uint8_t rest_[32] = {0};                                                               \
            memcpy(rest_, (px) + 4 * (ptrdiff_t)i_, 4 * (size_t)((n)-i_));                         \
            __m256i v = _mm256_loadu_si256((const __m256i *)rest_);                                \
            _mm256_storeu_si256((__m256i *)rest_, expression);                                     \
            memcpy((px) + 4 * (ptrdiff_t)i_, rest_, 4 * (size_t)((n)-i_));                         \
        }                                                                                          \
    } while (0)

/* The luma in each dword. vpmaddwd takes signed words, so green's weight comes in halves. */
AVX2_INLINE __m256i luma2(__m256i px)
{
    const __m256i greens = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(1, -1, 1, -1, 5, -1, 5, -1, 9, -1, 9, -1, 13, -1, 13, -1));
    __m256i rb = _mm256_and_si256(px, _mm256_set1_epi32(0x00ff00ff));
    __m256i gg = _mm256_shuffle_epi8(px, greens);
    __m256i sum =
        _mm256_add_epi32(_mm256_madd_epi16(rb, _mm256_set1_epi32(PST__LUMA_B << 16 | PST__LUMA_R)),
                         _mm256_madd_epi16(gg, _mm256_set1_epi16(PST__LUMA_G / 2)));
    return _mm256_srli_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(0x8000)), 16);
}

AVX2_INLINE __m256i grey2(__m256i px)
{
    const __m256i thrice = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 0, 0, -1, 4, 4, 4, -1, 8, 8, 8, -1, 12, 12, 12, -1));
    return _mm256_shuffle_epi8(luma2(px), thrice);
}

AVX2 static void grey_avx2(uint8_t *px, int n)
{
    COLOUR_IN_PLACE_2(px, n, grey2(v));
}

AVX2 static uint64_t grey_sum_avx2(const uint8_t *px, int n)
{
    __m256i sum = _mm256_setzero_si256();
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(px + 4 * (ptrdiff_t)i));
        sum = _mm256_add_epi64(sum, _mm256_sad_epu8(luma2(v), _mm256_setzero_si256()));
    }
    uint64_t lane[4];
    _mm256_storeu_si256((__m256i *)lane, sum);
    return lane[0] + lane[1] + lane[2] + lane[3] +
           pst__grey_sum_scalar(px + 4 * (ptrdiff_t)i, n - i);
}

/* pst__blend() of dwords. */
AVX2_INLINE __m256i blend2(__m256i back, __m256i front, __m256 factor)
{
    __m256 a = _mm256_cvtepi32_ps(back), b = _mm256_cvtepi32_ps(front);
    __m256 value = _mm256_add_ps(a, _mm256_mul_ps(factor, _mm256_sub_ps(b, a)));
    value = _mm256_min_ps(_mm256_max_ps(value, _mm256_setzero_ps()), _mm256_set1_ps(255));
    return _mm256_cvttps_epi32(value);
}

AVX2_INLINE __m256i byte2(__m256i px, int c)
{
    return _mm256_and_si256(_mm256_srli_epi32(px, 8 * c), _mm256_set1_epi32(255));
}
AVX2_INLINE __m256i join3_2(__m256i r, __m256i g, __m256i b)
{
    return _mm256_or_si256(r, _mm256_or_si256(_mm256_slli_epi32(g, 8), _mm256_slli_epi32(b, 16)));
}

AVX2_INLINE __m256i saturate2(__m256i px, __m256 factor)
{
    __m256i grey = luma2(px);
    return join3_2(blend2(grey, byte2(px, 0), factor), blend2(grey, byte2(px, 1), factor),
                   blend2(grey, byte2(px, 2), factor));
}

AVX2 static void saturate_avx2(uint8_t *px, int n, float factor)
{
    __m256 f = _mm256_set1_ps(factor);
    COLOUR_IN_PLACE_2(px, n, saturate2(v, f));
}

/* x * 255 without its fraction, as if the product were exact. */
AVX2_INLINE __m256i floor255_2(__m256 x)
{
    const __m256 scale = _mm256_set1_ps(255);
    __m256i i = _mm256_cvttps_epi32(_mm256_mul_ps(x, scale));
    __m256 left = _mm256_fmsub_ps(x, scale, _mm256_cvtepi32_ps(i));
    return _mm256_add_epi32(
        i, _mm256_castps_si256(_mm256_cmp_ps(left, _mm256_setzero_ps(), _CMP_LT_OQ)));
}

/* docs/internals/kernels.md says why this equals the scalar arithmetic. */
AVX2_INLINE __m256i hue2(__m256i px, __m256i shift)
{
    const __m256i one = _mm256_set1_epi32(1);
    __m256i r = byte2(px, 0), g = byte2(px, 1), b = byte2(px, 2);
    __m256i most = _mm256_max_epi32(r, _mm256_max_epi32(g, b));
    __m256i least = _mm256_min_epi32(r, _mm256_min_epi32(g, b));
    __m256i is_r = _mm256_cmpeq_epi32(r, most), is_g = _mm256_cmpeq_epi32(g, most);
    __m256i before = _mm256_blendv_epi8(_mm256_blendv_epi8(g, r, is_g), b, is_r);
    __m256i after = _mm256_blendv_epi8(_mm256_blendv_epi8(r, b, is_g), g, is_r);
    __m256i sixth = _mm256_andnot_si256(
        is_r, _mm256_add_epi32(_mm256_set1_epi32(4), _mm256_add_epi32(is_g, is_g)));
    __m256i falls = _mm256_cmpeq_epi32(before, least);
    __m256i middle = _mm256_blendv_epi8(before, after, falls);
    sixth = _mm256_sub_epi32(sixth, _mm256_or_si256(falls, one)); /* +1 where it falls, else -1 */

    __m256 range = _mm256_cvtepi32_ps(_mm256_sub_epi32(most, least));
    __m256 part = _mm256_div_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(most, middle)), range);
    part = _mm256_xor_ps(part, _mm256_castsi256_ps(_mm256_slli_epi32(falls, 31)));
    __m256 h = _mm256_div_ps(_mm256_add_ps(_mm256_cvtepi32_ps(sixth), part), _mm256_set1_ps(6));
    h = _mm256_blendv_ps(h, _mm256_add_ps(h, _mm256_set1_ps(1)), h);
    __m256i s = floor255_2(_mm256_div_ps(range, _mm256_cvtepi32_ps(most)));
    s = _mm256_andnot_si256(_mm256_cmpeq_epi32(most, least), s);
    __m256i turned =
        _mm256_and_si256(_mm256_add_epi32(floor255_2(h), shift), _mm256_set1_epi32(255));

    /* Everything below fits 16 bits but the product that is divided. */
    __m256i six = _mm256_mullo_epi16(turned, _mm256_set1_epi32(6));
    __m256i sector = _mm256_srli_epi32(
        _mm256_madd_epi16(_mm256_add_epi32(six, one), _mm256_set1_epi32(257)), 16);
    __m256i rest = _mm256_sub_epi32(six, _mm256_mullo_epi16(sector, _mm256_set1_epi32(255)));
    __m256i odd = _mm256_cmpeq_epi32(_mm256_and_si256(sector, one), one);
    rest = _mm256_blendv_epi8(_mm256_sub_epi32(_mm256_set1_epi32(255), rest), rest, odd);
    __m256i low = _mm256_mullo_epi16(most, _mm256_sub_epi32(_mm256_set1_epi32(255), s));
    low = _mm256_add_epi32(low, _mm256_set1_epi32(128));
    low = _mm256_srli_epi32(_mm256_add_epi32(low, _mm256_slli_epi32(low, 8)), 16);
    __m256i share = _mm256_sub_epi32(_mm256_set1_epi32(65025), _mm256_mullo_epi16(s, rest));
    /* Products below 2^24 are exact. */
    __m256 product = _mm256_mul_ps(_mm256_cvtepi32_ps(most), _mm256_cvtepi32_ps(share));
    __m256i mid = _mm256_cvtps_epi32(_mm256_mul_ps(product, _mm256_set1_ps(1.0f / 65025)));
    __m256 left = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(mid), _mm256_set1_ps(65025), product);
    mid = _mm256_sub_epi32(
        mid, _mm256_castps_si256(_mm256_cmp_ps(left, _mm256_set1_ps(32512), _CMP_GT_OQ)));
    mid = _mm256_add_epi32(
        mid, _mm256_castps_si256(_mm256_cmp_ps(left, _mm256_set1_ps(-32512), _CMP_LT_OQ)));

    const __m256i order = _mm256_setr_epi32(PST__HUE_ORDER);
    const __m256i pixel =
        _mm256_broadcastsi128_si256(_mm_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c));
    __m256i at = _mm256_add_epi32(_mm256_permutevar8x32_epi32(order, sector), pixel);
    return _mm256_shuffle_epi8(join3_2(most, mid, low), at);
}

AVX2 static void hue_avx2(uint8_t *px, int n, uint8_t shift)
{
    __m256i by = _mm256_set1_epi32(shift);
    COLOUR_IN_PLACE_2(px, n, hue2(v, by));
}

AVX2_INLINE __m256i words2(const uint8_t *p)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p));
}
AVX2_INLINE __m256i column2(const uint8_t *above, const uint8_t *row, const uint8_t *below)
{
    return _mm256_add_epi16(_mm256_add_epi16(words2(above), words2(below)), words2(row));
}

/* Four pixels that have neighbours. */
AVX2_INLINE __m128i sharpen2(const uint8_t *above, const uint8_t *row, const uint8_t *below,
                             __m256 factor)
{
    __m256i front = words2(row);
    __m256i sum = _mm256_add_epi16(column2(above - 4, row - 4, below - 4),
                                   column2(above + 4, row + 4, below + 4));
    sum = _mm256_add_epi16(sum, column2(above, row, below));
    sum = _mm256_add_epi16(sum, _mm256_slli_epi16(front, 2));
    __m256i back = _mm256_mulhi_epu16(_mm256_add_epi16(sum, _mm256_set1_epi16(6)),
                                      _mm256_set1_epi16(PST__RCP_13));
    const __m256i zero = _mm256_setzero_si256();
    __m256i a =
        blend2(_mm256_unpacklo_epi16(back, zero), _mm256_unpacklo_epi16(front, zero), factor);
    __m256i b =
        blend2(_mm256_unpackhi_epi16(back, zero), _mm256_unpackhi_epi16(front, zero), factor);
    __m256i both = _mm256_packus_epi16(_mm256_packs_epi32(a, b), zero);
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(both, 0x08));
}

AVX2 static void sharpen_avx2(uint8_t *dst, const uint8_t *above, const uint8_t *row,
                              const uint8_t *below, int n, float factor)
{
    if (n < 6) {
        pst__sharpen_scalar(dst, above, row, below, n, factor);
        return;
    }
    const ptrdiff_t last = 4 * ((ptrdiff_t)n - 5);
    __m256 f = _mm256_set1_ps(factor);
    memcpy(dst, row, 4);
    memcpy(dst + last + 16, row + last + 16, 4);
    for (ptrdiff_t i = 4;; i += 16) {
        i = i < last ? i : last; /* the last four overlap the ones before */
        _mm_storeu_si128((__m128i *)(dst + i), sharpen2(above + i, row + i, below + i, f));
        if (i == last)
            return;
    }
}

#undef COLOUR_IN_PLACE_2

#endif
