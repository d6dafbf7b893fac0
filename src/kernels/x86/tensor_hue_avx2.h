/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_TENSOR_HUE_AVX2_H
#define PST_KERNELS_X86_TENSOR_HUE_AVX2_H

#include "kernels/x86/tensor_avx2.h"

/* torchvision's adjust_hue() of uint8 tensors, eight pixels at a time. */

struct hsv256 {
    __m256 h, s, v;
};

AVX2_INLINE __m256 select256(__m256 otherwise, __m256 here, __m256 mask)
{
    return _mm256_blendv_ps(otherwise, here, mask);
}

AVX2_INLINE __m256 less_one256(__m256 h)
{
    const __m256 one = _mm256_set1_ps(1);
    __m256 is_over = _mm256_cmp_ps(h, one, _CMP_GE_OQ);
    return _mm256_sub_ps(h, _mm256_and_ps(is_over, one));
}

AVX2_INLINE struct hsv256 hsv256_of(const __m256 bytes[3], int is_v2)
{
    const __m256 one = _mm256_set1_ps(1);
    __m256 rgb[3];
    for (int c = 0; c < 3; c++)
        rgb[c] = is_v2 ? _mm256_mul_ps(bytes[c], _mm256_set1_ps(PST__BY_255))
                       : _mm256_div_ps(bytes[c], _mm256_set1_ps(255));
    __m256 most = _mm256_max_ps(_mm256_max_ps(rgb[0], rgb[1]), rgb[2]);
    __m256 least = _mm256_min_ps(_mm256_min_ps(rgb[0], rgb[1]), rgb[2]);
    __m256 range = _mm256_sub_ps(most, least);
    __m256 is_grey = _mm256_cmp_ps(range, _mm256_setzero_ps(), _CMP_EQ_OQ);
    __m256 divisor = select256(range, one, is_grey);
    __m256 rc = _mm256_div_ps(_mm256_sub_ps(most, rgb[0]), divisor);
    __m256 gc = _mm256_div_ps(_mm256_sub_ps(most, rgb[1]), divisor);
    __m256 bc = _mm256_div_ps(_mm256_sub_ps(most, rgb[2]), divisor);
    __m256 sixths = _mm256_sub_ps(_mm256_add_ps(gc, _mm256_set1_ps(4)), rc);
    sixths = select256(sixths, _mm256_sub_ps(_mm256_add_ps(rc, _mm256_set1_ps(2)), bc),
                       _mm256_cmp_ps(most, rgb[1], _CMP_EQ_OQ));
    sixths = select256(sixths, _mm256_sub_ps(bc, gc), _mm256_cmp_ps(most, rgb[0], _CMP_EQ_OQ));
    __m256 h = is_v2 ? _mm256_mul_ps(sixths, _mm256_set1_ps(PST__BY_6))
                     : _mm256_div_ps(sixths, _mm256_set1_ps(6));
    return (struct hsv256){less_one256(_mm256_add_ps(h, one)),
                           _mm256_div_ps(range, select256(most, one, is_grey)), most};
}

AVX2_INLINE __m256 turned256(__m256 h, float shift)
{
    h = _mm256_add_ps(h, _mm256_set1_ps(shift));
    __m256 is_under = _mm256_cmp_ps(h, _mm256_setzero_ps(), _CMP_LT_OQ);
    /* Once: what is rounded up to 1 stays it. */
    return select256(less_one256(h), _mm256_add_ps(h, _mm256_set1_ps(1)), is_under);
}

AVX2_INLINE __m256i scaled256(__m256 value)
{
    value = _mm256_min_ps(_mm256_max_ps(value, _mm256_setzero_ps()), _mm256_set1_ps(1));
    return _mm256_cvttps_epi32(_mm256_mul_ps(value, _mm256_set1_ps(PST__TO_BYTE)));
}

/* One of four values, by the two bits of each lane's entry in table. */
AVX2_INLINE __m256i choose256(const __m256i value[4], __m256i sixth, const int32_t table[8])
{
    __m256i which = _mm256_permutevar8x32_epi32(
        _mm256_loadu_si256((const __m256i *)(const void *)table), sixth);
    __m256i chosen = value[0];
    for (int k = 1; k < 4; k++)
        chosen =
            _mm256_blendv_epi8(chosen, value[k], _mm256_cmpeq_epi32(which, _mm256_set1_epi32(k)));
    return chosen;
}

AVX2_INLINE void rgb256_of(__m256i rgb[3], const struct hsv256 *hsv, int is_v2)
{
    /* The circle's end is its beginning. */
    static const int32_t select[3][8] = {
        {0, 2, 1, 1, 3, 0, 0}, {3, 0, 0, 2, 1, 1, 3}, {1, 1, 3, 0, 0, 2, 1}};
    const __m256 one = _mm256_set1_ps(1);
    __m256 sixths = _mm256_mul_ps(hsv->h, _mm256_set1_ps(6)), whole = _mm256_floor_ps(sixths);
    __m256 f = _mm256_sub_ps(sixths, whole), s = hsv->s;
    __m256 sxf = _mm256_mul_ps(s, f), paler = _mm256_sub_ps(one, s);
    __m256 rest = is_v2 ? _mm256_add_ps(sxf, paler)
                        : _mm256_sub_ps(one, _mm256_mul_ps(s, _mm256_sub_ps(one, f)));
    const __m256i vpqt[4] = {scaled256(hsv->v), scaled256(_mm256_mul_ps(paler, hsv->v)),
                             scaled256(_mm256_mul_ps(_mm256_sub_ps(one, sxf), hsv->v)),
                             scaled256(_mm256_mul_ps(rest, hsv->v))};
    __m256i sixth = _mm256_cvttps_epi32(whole);
    for (int c = 0; c < 3; c++)
        rgb[c] = choose256(vpqt, sixth, select[c]);
}

AVX2 static void tensor_hue_avx2(uint8_t *px, int n, float shift, int is_v2)
{
    int i = 0;
    for (; i + 8 <= n; i += 8) {
        uint8_t *at = px + (ptrdiff_t)i * 4;
        __m256 bytes[3];
        __m256i value[3];
        bytes256(bytes, at);
        struct hsv256 hsv = hsv256_of(bytes, is_v2);
        hsv.h = turned256(hsv.h, shift);
        rgb256_of(value, &hsv, is_v2);
        _mm256_storeu_si256((__m256i *)(void *)at, three256(value));
    }
    pst__tensor_hue_scalar(px + (ptrdiff_t)i * 4, n - i, shift, is_v2);
}

#endif
