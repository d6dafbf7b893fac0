/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_RESAMPLE_AVX512_H
#define PST_KERNELS_X86_RESAMPLE_AVX512_H

#include <immintrin.h>

#include "kernels/scalar.h"

/* Both passes on vpdpbusd, which adds four products u8 * s8 to an int32 lane. A coefficient is
 * d2 * 65536 + d1 * 256 + d0 with digits from -128 to 127, so four taps cost three of them. */
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")))
#define AVX512_INLINE AVX512 __attribute__((always_inline)) static inline

#define H512_ROWS 16   /* rows that share the digits of a block of outputs */
#define H512_GROUPS 32 /* groups of 4 taps that are split at once */
#define V512_GROUPS 256

/* Bytes 0, 1 and 2 of a lane become d0, d1 and d2: adding 0x8080 carries from a digit above 127
 * into the next, flipping the same bits makes the two low digits signed. */
AVX512_INLINE __m512i digits512(__m512i coef)
{
    const __m512i bias = _mm512_set1_epi32(0x8080);
    return _mm512_xor_si512(_mm512_add_epi32(coef, bias), bias);
}

/* Adds the three digit sums; the first one holds the rounding constant. */
AVX512_INLINE __m512i join512(__m512i s2, __m512i s1, __m512i s0)
{
    __m512i high = _mm512_add_epi32(_mm512_slli_epi32(s2, 8), s1);
    return _mm512_add_epi32(_mm512_slli_epi32(high, 8), s0);
}

/* All taps in one group: the digits from the top, shifting in between, save the sums. */
AVX512_INLINE __m512i dot512(__m512i px, __m512i d2, __m512i d1, __m512i d0)
{
    const __m512i half = _mm512_set1_epi32(1 << (PST_TAP_BITS - 1 - 16));
    __m512i sum = _mm512_dpbusd_epi32(half, px, d2);
    sum = _mm512_dpbusd_epi32(_mm512_slli_epi32(sum, 8), px, d1);
    return _mm512_dpbusd_epi32(_mm512_slli_epi32(sum, 8), px, d0);
}

/* Four vectors of sums to bytes. Within each 128 bit lane the order is a, b, c, d. */
AVX512_INLINE __m512i clip512(__m512i a, __m512i b, __m512i c, __m512i d)
{
    a = _mm512_srai_epi32(a, PST_TAP_BITS);
    b = _mm512_srai_epi32(b, PST_TAP_BITS);
    c = _mm512_srai_epi32(c, PST_TAP_BITS);
    d = _mm512_srai_epi32(d, PST_TAP_BITS);
    return _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
}

AVX512_INLINE void store_planes512(uint8_t *dst, ptrdiff_t plane_stride, __m512i planes)
{
    _mm_storeu_si128((__m128i *)dst, _mm512_castsi512_si128(planes));
    _mm_storeu_si128((__m128i *)(dst + plane_stride), _mm512_extracti32x4_epi32(planes, 1));
    _mm_storeu_si128((__m128i *)(dst + 2 * plane_stride), _mm512_extracti32x4_epi32(planes, 2));
}

/* 16 outputs of a horizontal pass. */
struct h512 {
    uint8_t *dst;
    ptrdiff_t dst_stride, plane_stride;
    const uint8_t *src;
    ptrdiff_t src_stride;
    int n_rows;           /* <= H512_ROWS */
    const int32_t *start; /* of the block */
    int n_taps;           /* most of an output of the block */
    int end;              /* pst__taps_end() */
    __m512i digit[H512_GROUPS][3];
};

/* Splits the coefficients of the taps from first on, four taps in a lane. Returns the groups. */
AVX512 static int h512_split(struct h512 *h, const int32_t *coef, int pitch, int first)
{
    const __m512i low = _mm512_set1_epi32(0xffff);
    /* Bytes 0 and 1 of two vectors to (a0 b0 a1 b1), byte 2 to (a2 b2 0 0). */
    const __m512i pair01 = _mm512_add_epi8(
        _mm512_set1_epi32(0x41014000),
        _mm512_mullo_epi32(_mm512_set1_epi32(0x04040404),
                           _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)));
    const __m512i pair2 = _mm512_add_epi8(pair01, _mm512_set1_epi32(0x0202));
    int groups = 0;
    for (int k = first; k < h->n_taps && groups < H512_GROUPS; k += 4, groups++) {
        __m512i t[4];
        for (int i = 0; i < 4; i++)
            t[i] = k + i < h->n_taps
                       ? digits512(_mm512_loadu_si512(coef + (ptrdiff_t)(k + i) * pitch))
                       : _mm512_setzero_si512();
        __m512i a = _mm512_permutex2var_epi8(t[0], pair01, t[1]);
        __m512i b = _mm512_permutex2var_epi8(t[2], pair01, t[3]);
        __m512i c = _mm512_permutex2var_epi8(t[0], pair2, t[1]);
        __m512i d = _mm512_permutex2var_epi8(t[2], pair2, t[3]);
        h->digit[groups][0] = _mm512_or_si512(_mm512_and_si512(a, low), _mm512_slli_epi32(b, 16));
        h->digit[groups][1] =
            _mm512_or_si512(_mm512_srli_epi32(a, 16), _mm512_andnot_si512(low, b));
        h->digit[groups][2] = _mm512_or_si512(_mm512_and_si512(c, low), _mm512_slli_epi32(d, 16));
    }
    return groups;
}

/* 32 pixels from src on. The first 16 of them may be read, since src is the place of a tap; of the
 * others, those of mask. */
struct window512 {
    const uint8_t *src;
    __mmask16 mask;
};

AVX512_INLINE struct window512 window512(const struct h512 *h, int first)
{
    int left = h->end - h->start[first] - 16;
    struct window512 w = {h->src + (ptrdiff_t)h->start[first] * 4, 0xffff};
    if (left < 16)
        w.mask = left <= 0 ? 0 : (__mmask16)((1u << left) - 1);
    return w;
}

/* Where the source is near: in 16 pixels (windows = 0), in 32 (1), or that of outputs 0-7 in 32 and
 * of 8-15 in another 32 (2). Then a byte permutation fetches four taps of one channel for all 16
 * outputs. */
AVX512_INLINE void h512_near(const struct h512 *h, int groups, int windows)
{
    const __m512i next = _mm512_set1_epi32(0x01010101), skip = _mm512_set1_epi32(0x10101010);
    /* R of 16 outputs, then G, then B, out of lanes (R G B B) of 4 outputs each. */
    const __m512i planes = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    const __m512i half = _mm512_set1_epi32(1 << (PST_TAP_BITS - 1 - 16));
    const __mmask64 upper = 0xffffffff00000000u;
    struct window512 w0 = window512(h, 0), w1 = window512(h, 8);
    __m512i base = _mm512_set1_epi32(h->start[0]);
    if (windows == 2)
        base = _mm512_mask_set1_epi32(base, 0xff00, h->start[8]);
    __m512i index = _mm512_sub_epi32(_mm512_loadu_si512(h->start), base);
    index = _mm512_add_epi8(_mm512_mullo_epi32(index, _mm512_set1_epi32(0x04040404)),
                            _mm512_set1_epi32(0x0c080400));

    for (int row = 0; row < h->n_rows; row++) {
        ptrdiff_t at = row * h->src_stride;
        __m512i a = _mm512_loadu_si512(w0.src + at), b = a, c = a, d = a, sum[3];
        if (windows >= 1)
            b = _mm512_maskz_loadu_epi32(w0.mask, w0.src + at + 64);
        if (windows == 2) {
            c = _mm512_loadu_si512(w1.src + at);
            d = _mm512_maskz_loadu_epi32(w1.mask, w1.src + at + 64);
        }
#define FETCH(i)                                                                                   \
    (windows == 0   ? _mm512_permutexvar_epi8((i), a)                                              \
     : windows == 1 ? _mm512_permutex2var_epi8(a, (i), b)                                          \
                    : _mm512_mask_blend_epi8(upper, _mm512_permutex2var_epi8(a, (i), b),           \
                                             _mm512_permutex2var_epi8(c, (i), d)))
#define CHANNEL(sum, index)                                                                        \
    do {                                                                                           \
        __m512i i = (index);                                                                       \
        if (groups == 1) {                                                                         \
            (sum) = dot512(FETCH(i), h->digit[0][2], h->digit[0][1], h->digit[0][0]);              \
            break;                                                                                 \
        }                                                                                          \
        __m512i s2 = half, s1 = _mm512_setzero_si512(), s0 = s1;                                   \
        for (int g = 0; g < groups; g++, i = _mm512_add_epi8(i, skip)) {                           \
            __m512i px = FETCH(i);                                                                 \
            s2 = _mm512_dpbusd_epi32(s2, px, h->digit[g][2]);                                      \
            s1 = _mm512_dpbusd_epi32(s1, px, h->digit[g][1]);                                      \
            s0 = _mm512_dpbusd_epi32(s0, px, h->digit[g][0]);                                      \
        }                                                                                          \
        (sum) = join512(s2, s1, s0);                                                               \
    } while (0)
        CHANNEL(sum[0], index);
        CHANNEL(sum[1], _mm512_add_epi8(index, next));
        CHANNEL(sum[2], _mm512_add_epi8(index, _mm512_add_epi8(next, next)));
#undef CHANNEL
#undef FETCH
        __m512i px = clip512(sum[0], sum[1], sum[2], sum[2]);
        store_planes512(h->dst + row * h->dst_stride, h->plane_stride,
                        _mm512_permutexvar_epi32(planes, px));
    }
}

/* Sums of 4 outputs (each a 128 bit lane R G B X) over some groups, from the four places given. */
AVX512_INLINE __m512i load4x128(const uint8_t *a, const uint8_t *b, const uint8_t *c,
                                const uint8_t *d)
{
    __m256i ab =
        _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)a)),
                                _mm_loadu_si128((const __m128i *)b), 1);
    __m256i cd =
        _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)c)),
                                _mm_loadu_si128((const __m128i *)d), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(ab), cd, 1);
}

/* Where the taps of a group start, in bytes of the row, for each output of a block. Near the right
 * end whole groups may lie behind the last pixel: their coefficients are 0, so they read an earlier
 * place. */
struct h512_places {
    int32_t offset[H512_GROUPS][16];
    int step;  /* offsets from a group to the next: 16, or 0 where one row of them serves all */
    int bytes; /* added for each group */
};

AVX512 static void h512_place(struct h512_places *places, const struct h512 *h, int first,
                              int groups)
{
    const __m512i limit = _mm512_set1_epi32((h->end + 16 - 4) * 4);
    __m512i at = _mm512_loadu_si512(h->start);
    int safe = h->start[15] + first + 4 * groups <= h->end + 16;
    places->step = safe ? 0 : 16;
    places->bytes = safe ? 16 : 0;
    at = _mm512_slli_epi32(_mm512_add_epi32(at, _mm512_set1_epi32(first)), 2);
    for (int g = 0; g < (safe ? 1 : groups); g++) {
        _mm512_storeu_si512(places->offset[g], _mm512_min_epi32(at, limit));
        at = _mm512_add_epi32(at, _mm512_set1_epi32(16));
    }
}

/* Outputs q, q + 4, q + 8 and q + 12 of the block for two rows. */
AVX512_INLINE void h512_lanes(const struct h512 *h, const struct h512_places *places, int groups,
                              int q, __m512i half, const uint8_t *row0, const uint8_t *row1,
                              __m512i *sum0, __m512i *sum1)
{
    const __m512i channels =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m512i spread = _mm512_set1_epi32(0x03020100 + 0x04040404 * q);
    const __m512i zero = _mm512_setzero_si512();
    const int32_t *offset = places->offset[0] + q;
    __m512i a2 = half, a1 = zero, a0 = zero, b2 = half, b1 = zero, b0 = zero;
    for (int g = 0; g < groups; g++, offset += places->step) {
        ptrdiff_t at0 = offset[0], at1 = offset[4], at2 = offset[8], at3 = offset[12];
        __m512i pa = load4x128(row0 + at0, row0 + at1, row0 + at2, row0 + at3);
        __m512i pb = load4x128(row1 + at0, row1 + at1, row1 + at2, row1 + at3);
        __m512i d0 = _mm512_shuffle_epi8(h->digit[g][0], spread);
        __m512i d1 = _mm512_shuffle_epi8(h->digit[g][1], spread);
        __m512i d2 = _mm512_shuffle_epi8(h->digit[g][2], spread);
        pa = _mm512_shuffle_epi8(pa, channels);
        pb = _mm512_shuffle_epi8(pb, channels);
        a2 = _mm512_dpbusd_epi32(a2, pa, d2);
        b2 = _mm512_dpbusd_epi32(b2, pb, d2);
        a1 = _mm512_dpbusd_epi32(a1, pa, d1);
        b1 = _mm512_dpbusd_epi32(b1, pb, d1);
        a0 = _mm512_dpbusd_epi32(a0, pa, d0);
        b0 = _mm512_dpbusd_epi32(b0, pb, d0);
        row0 += places->bytes;
        row1 += places->bytes;
    }
    *sum0 = join512(a2, a1, a0);
    *sum1 = join512(b2, b1, b0);
}

/* Any distance between the outputs: four pixels are loaded for each. */
AVX512 static void h512_far(struct h512 *h, const int32_t *coef, int pitch)
{
    const __m512i half = _mm512_set1_epi32(1 << (PST_TAP_BITS - 1 - 16));
    /* Four lanes of 4 RGBX pixels to planes of 16. */
    const __m512i planes =
        _mm512_add_epi8(_mm512_set_epi32(0x03030303, 0x03030303, 0x03030303, 0x03030303, 0x02020202,
                                         0x02020202, 0x02020202, 0x02020202, 0x01010101, 0x01010101,
                                         0x01010101, 0x01010101, 0, 0, 0, 0),
                        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 16, 20, 24, 28, 32, 36,
                                                             40, 44, 48, 52, 56, 60)));
    struct h512_places places;
    __m512i sum[H512_ROWS][4];
    for (int first = 0; first < h->n_taps; first += 4 * H512_GROUPS) {
        int groups = h512_split(h, coef, pitch, first);
        h512_place(&places, h, first, groups);
        for (int row = 0; row < h->n_rows; row += 2) {
            int next = row + 1 < h->n_rows ? row + 1 : row;
            const uint8_t *src0 = h->src + row * h->src_stride;
            const uint8_t *src1 = h->src + next * h->src_stride;
            for (int q = 0; q < 4; q++) {
                __m512i s0, s1;
                h512_lanes(h, &places, groups, q, first ? _mm512_setzero_si512() : half, src0, src1,
                           &s0, &s1);
                if (first) {
                    s0 = _mm512_add_epi32(s0, sum[row][q]);
                    s1 = _mm512_add_epi32(s1, sum[next][q]);
                }
                sum[row][q] = s0;
                sum[next][q] = s1;
            }
        }
    }
    for (int row = 0; row < h->n_rows; row++) {
        __m512i px = clip512(sum[row][0], sum[row][1], sum[row][2], sum[row][3]);
        store_planes512(h->dst + row * h->dst_stride, h->plane_stride,
                        _mm512_permutexvar_epi8(planes, px));
    }
}

AVX512 static void h512_block(struct h512 *h, const int32_t *coef, int pitch)
{
    const int32_t *start = h->start;
    int whole = start[15] + h->n_taps - start[0];
    int low = start[7] + h->n_taps - start[0], high = start[15] + h->n_taps - start[8];
    if (low > 32 || high > 32) {
        h512_far(h, coef, pitch);
        return;
    }
    int groups = h512_split(h, coef, pitch, 0);
    if (whole <= 16 && groups == 1)
        h512_near(h, 1, 0);
    else if (whole <= 32 && groups == 1)
        h512_near(h, 1, 1);
    else if (whole <= 32 && groups == 2)
        h512_near(h, 2, 1);
    else if (whole <= 32)
        h512_near(h, groups, 1);
    else if (groups == 2)
        h512_near(h, 2, 2);
    else
        h512_near(h, groups, 2);
}

AVX512 static void resample_h_avx512(uint8_t *dst, ptrdiff_t dst_stride, ptrdiff_t plane_stride,
                                     const uint8_t *src, ptrdiff_t src_stride, int n_rows,
                                     const struct pst__taps *taps)
{
    struct h512 h;
    h.dst_stride = dst_stride;
    h.plane_stride = plane_stride;
    h.src_stride = src_stride;
    h.end = pst__taps_end(taps);
    for (int row = 0; row < n_rows; row += H512_ROWS) {
        h.n_rows = n_rows - row < H512_ROWS ? n_rows - row : H512_ROWS;
        h.src = src + row * src_stride;
        for (int i = 0; i < taps->n; i += 16) {
            h.dst = dst + row * dst_stride + i;
            h.start = taps->start + i;
            h.n_taps = _mm512_reduce_max_epi32(_mm512_loadu_si512(taps->count + i));
            h512_block(&h, taps->coef + i, taps->pitch);
        }
    }
}

/* One dword for each digit of four taps: bytes (d0 of 4 taps, d1 of 4, d2 of 4). */
AVX512 static int v512_split(int32_t (*digit)[4], const int32_t *coef, int count)
{
    const __m128i bias = _mm_set1_epi32(0x8080);
    const __m128i by_digit = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    int groups = 0;
    for (int k = 0; k < count; k += 4, groups++) {
        __mmask8 mask = count - k >= 4 ? 15 : (__mmask8)((1u << (count - k)) - 1);
        __m128i c = _mm_maskz_loadu_epi32(mask, coef + k);
        c = _mm_shuffle_epi8(_mm_xor_si128(_mm_add_epi32(c, bias), bias), by_digit);
        _mm_storeu_si128((__m128i *)digit[groups], c);
    }
    return groups;
}

/* 64 columns of four rows: in each 128 bit lane a, b, c and d hold columns 0-3, 4-7, 8-11 and 12-15
 * of it with the four rows as bytes of a dword. The packs of clip512() undo that order. (Named
 * members, not an array: gcc at -O2 keeps an array in memory.) */
struct quad512 {
    __m512i a, b, c, d;
};

AVX512_INLINE struct quad512 v512_fetch(const uint8_t *row0, const uint8_t *row1,
                                        const uint8_t *row2, const uint8_t *row3)
{
    __m512i a = _mm512_loadu_si512(row0), b = _mm512_loadu_si512(row1);
    __m512i c = _mm512_loadu_si512(row2), d = _mm512_loadu_si512(row3);
    __m512i ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
    struct quad512 px;
    px.a = _mm512_unpacklo_epi16(ab, cd);
    px.b = _mm512_unpackhi_epi16(ab, cd);
    ab = _mm512_unpackhi_epi8(a, b);
    cd = _mm512_unpackhi_epi8(c, d);
    px.c = _mm512_unpacklo_epi16(ab, cd);
    px.d = _mm512_unpackhi_epi16(ab, cd);
    return px;
}

AVX512_INLINE void v512_add(struct quad512 *sum, const struct quad512 *px, __m512i digit)
{
    sum->a = _mm512_dpbusd_epi32(sum->a, px->a, digit);
    sum->b = _mm512_dpbusd_epi32(sum->b, px->b, digit);
    sum->c = _mm512_dpbusd_epi32(sum->c, px->c, digit);
    sum->d = _mm512_dpbusd_epi32(sum->d, px->d, digit);
}

/* Offsets of four rows from the first of a group; those behind the last row of all have coefficient
 * 0 and repeat it. */
struct steps512 {
    ptrdiff_t b, c, d;
};

AVX512_INLINE struct steps512 v512_steps(ptrdiff_t stride, int rows)
{
    struct steps512 steps = {rows > 1 ? stride : 0, 0, 0};
    steps.c = rows > 2 ? 2 * stride : steps.b;
    steps.d = rows > 3 ? 3 * stride : steps.c;
    return steps;
}

AVX512 static void v512_one_group(uint8_t *dst, const uint8_t *src, ptrdiff_t src_stride, int n,
                                  const int32_t digit[4], int count)
{
    __m512i d0 = _mm512_set1_epi32(digit[0]), d1 = _mm512_set1_epi32(digit[1]);
    __m512i d2 = _mm512_set1_epi32(digit[2]);
    struct steps512 at = v512_steps(src_stride, count);
    for (int x = 0; x < n; x += 64, src += 64) {
        struct quad512 px = v512_fetch(src, src + at.b, src + at.c, src + at.d);
        px.a = dot512(px.a, d2, d1, d0);
        px.b = dot512(px.b, d2, d1, d0);
        px.c = dot512(px.c, d2, d1, d0);
        px.d = dot512(px.d, d2, d1, d0);
        _mm512_storeu_si512(dst + x, clip512(px.a, px.b, px.c, px.d));
    }
}

AVX512 static void v512_many_groups(uint8_t *dst, const uint8_t *src, ptrdiff_t src_stride, int n,
                                    const int32_t (*digit)[4], int groups, int count)
{
    const __m512i half = _mm512_set1_epi32(1 << (PST_TAP_BITS - 1 - 16));
    const __m512i zero = _mm512_setzero_si512();
    struct steps512 full = v512_steps(src_stride, 4);
    struct steps512 last = v512_steps(src_stride, count - 4 * (groups - 1));
    for (int x = 0; x < n; x += 64) {
        struct quad512 s2 = {half, half, half, half}, s1 = {zero, zero, zero, zero}, s0 = s1;
        const uint8_t *row = src + x;
        for (int g = 0; g < groups; g++, row += 4 * src_stride) {
            struct steps512 at = g + 1 < groups ? full : last;
            struct quad512 px = v512_fetch(row, row + at.b, row + at.c, row + at.d);
            v512_add(&s2, &px, _mm512_set1_epi32(digit[g][2]));
            v512_add(&s1, &px, _mm512_set1_epi32(digit[g][1]));
            v512_add(&s0, &px, _mm512_set1_epi32(digit[g][0]));
        }
        _mm512_storeu_si512(dst + x, clip512(join512(s2.a, s1.a, s0.a), join512(s2.b, s1.b, s0.b),
                                             join512(s2.c, s1.c, s0.c), join512(s2.d, s1.d, s0.d)));
    }
}

AVX512 static void resample_v_avx512(uint8_t *dst, const uint8_t *src, ptrdiff_t src_stride, int n,
                                     const int32_t *coef, int count)
{
    int32_t digit[V512_GROUPS][4];
    if (count > 4 * V512_GROUPS || count < 1) {
        pst__resample_v_scalar(dst, src, src_stride, n, coef, count);
        return;
    }
    int groups = v512_split(digit, coef, count);
    if (groups == 1)
        v512_one_group(dst, src, src_stride, n, digit[0], count);
    else
        v512_many_groups(dst, src, src_stride, n, (const int32_t(*)[4])digit, groups, count);
}

#endif
