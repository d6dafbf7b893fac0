/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_RESAMPLE_AVX2_H
#define PST_KERNELS_X86_RESAMPLE_AVX2_H

#include <immintrin.h>

#include "kernels/scalar.h"

/* Both passes on vpmaddwd, which multiplies and adds two taps at once. A coefficient is
 * high * 32768 + low with low from 0 to 32767. */
#define AVX2 __attribute__((target("avx2,fma,f16c")))
#define AVX2_INLINE AVX2 __attribute__((always_inline)) static inline

#define SPLIT2_BITS 15
#define H2_ROWS 16   /* rows that share the coefficients of a block of outputs */
#define H2_GROUPS 16 /* groups of 4 taps that are split at once: 8 KiB */
#define V2_PAIRS 512

AVX2_INLINE __m256i join2(__m256i high, __m256i low)
{
    return _mm256_add_epi32(_mm256_slli_epi32(high, SPLIT2_BITS), low);
}

/* Four vectors of sums to bytes. Within each 128 bit lane the order is a, b, c, d. */
AVX2_INLINE __m256i clip2(__m256i a, __m256i b, __m256i c, __m256i d)
{
    a = _mm256_srai_epi32(a, PST_TAP_BITS);
    b = _mm256_srai_epi32(b, PST_TAP_BITS);
    c = _mm256_srai_epi32(c, PST_TAP_BITS);
    d = _mm256_srai_epi32(d, PST_TAP_BITS);
    return _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
}

/* Four taps of an output: the coefficients of taps 0 and 1, and of 2 and 3, in every dword of the
 * output's 128 bit lane. */
struct h2_group {
    __m256i low01, high01, low23, high23;
};

/* 8 outputs of a horizontal pass. */
struct h2 {
    uint8_t *dst;
    ptrdiff_t dst_stride, plane_stride;
    const uint8_t *src;
    ptrdiff_t src_stride;
    int n_rows;           /* <= H2_ROWS */
    const int32_t *start; /* of the block */
    int n_taps;           /* most of an output of the block */
    int end;              /* pst__taps_end() */
    int n_pairs;          /* of taps, split at the moment */
    /* Where the taps of a group start, in bytes of the row. Near the right end whole groups may lie
     * behind the last pixel: their coefficients are 0, so they read an earlier place. */
    int32_t offset[H2_GROUPS][8];
    int step;  /* offsets from a group to the next: 8, or 0 where one row of them serves all */
    int bytes; /* added for each group */
    /* [q] serves outputs q and q + 4. */
    struct h2_group group[4][H2_GROUPS];
};

AVX2_INLINE void h2_pair(__m256i *low, __m256i *high, __m256i a, __m256i b)
{
    const __m256i mask = _mm256_set1_epi32((1 << SPLIT2_BITS) - 1);
    *low = _mm256_or_si256(_mm256_and_si256(a, mask),
                           _mm256_slli_epi32(_mm256_and_si256(b, mask), 16));
    a = _mm256_srai_epi32(a, SPLIT2_BITS);
    b = _mm256_slli_epi32(_mm256_srai_epi32(b, SPLIT2_BITS), 16);
    *high = _mm256_blend_epi16(a, b, 0xaa);
}

/* Splits the coefficients of the taps from first on. */
AVX2 static void h2_split(struct h2 *h, const int32_t *coef, int pitch, int first)
{
    int left = h->n_taps - first;
    left = left < 4 * H2_GROUPS ? left : 4 * H2_GROUPS;
    h->n_pairs = (left + 1) / 2;
    coef += (ptrdiff_t)first * pitch;
    for (int k = 0, g = 0; k < left; k += 4, g++) {
        __m256i c[4], low01, high01, low23, high23;
        for (int i = 0; i < 4; i++)
            c[i] = k + i < left
                       ? _mm256_loadu_si256((const __m256i *)(coef + (ptrdiff_t)(k + i) * pitch))
                       : _mm256_setzero_si256();
        h2_pair(&low01, &high01, c[0], c[1]);
        h2_pair(&low23, &high23, c[2], c[3]);
#define SPREAD(q)                                                                                  \
    h->group[q][g].low01 = _mm256_shuffle_epi32(low01, (q)*0x55);                                  \
    h->group[q][g].high01 = _mm256_shuffle_epi32(high01, (q)*0x55);                                \
    h->group[q][g].low23 = _mm256_shuffle_epi32(low23, (q)*0x55);                                  \
    h->group[q][g].high23 = _mm256_shuffle_epi32(high23, (q)*0x55)
        SPREAD(0);
        SPREAD(1);
        SPREAD(2);
        SPREAD(3);
#undef SPREAD
    }
}

AVX2 static void h2_place(struct h2 *h, int first)
{
    const __m256i limit = _mm256_set1_epi32((h->end + 16 - 4) * 4);
    int groups = (h->n_pairs + 1) / 2;
    int safe = h->start[7] + first + 4 * groups <= h->end + 16;
    __m256i at = _mm256_loadu_si256((const __m256i *)h->start);
    h->step = safe ? 0 : 8;
    h->bytes = safe ? 16 : 0;
    at = _mm256_slli_epi32(_mm256_add_epi32(at, _mm256_set1_epi32(first)), 2);
    for (int g = 0; g < (safe ? 1 : groups); g++) {
        _mm256_storeu_si256((__m256i *)h->offset[g], _mm256_min_epi32(at, limit));
        at = _mm256_add_epi32(at, _mm256_set1_epi32(16));
    }
}

/* Four pixels of each of two outputs, and words of two taps of them: lanes (R R G G B B X X). */
AVX2_INLINE __m256i load2x128(const uint8_t *a, const uint8_t *b)
{
    __m256i low = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)a));
    return _mm256_inserti128_si256(low, _mm_loadu_si128((const __m128i *)b), 1);
}
AVX2_INLINE __m256i taps01(__m256i px)
{
    return _mm256_shuffle_epi8(px, _mm256_broadcastsi128_si256(_mm_setr_epi8(
                                       0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1)));
}
AVX2_INLINE __m256i taps23(__m256i px)
{
    return _mm256_shuffle_epi8(
        px, _mm256_broadcastsi128_si256(
                _mm_setr_epi8(8, -1, 12, -1, 9, -1, 13, -1, 10, -1, 14, -1, 11, -1, 15, -1)));
}
#define MADD2(sum, px, coef) ((sum) = _mm256_add_epi32((sum), _mm256_madd_epi16((px), (coef))))

/* Outputs q and q + 4 of the block for all rows: so few taps (up to two groups) that the
 * coefficients stay in registers. */
AVX2_INLINE void h2_few_taps(const struct h2 *h, int q, int n_pairs, __m256i (*sum)[4])
{
    const int second = n_pairs > 2;
    const struct h2_group *group = h->group[q], *group2 = group + second;
    const __m256i low0 = group->low01, high0 = group->high01;
    const __m256i low1 = group->low23, high1 = group->high23;
    const __m256i low2 = group2->low01, high2 = group2->high01;
    const __m256i low3 = group2->low23, high3 = group2->high23;
    const int32_t *offset = h->offset[0] + q, *offset2 = offset + (second ? h->step : 0);
    const uint8_t *src0 = h->src + offset[0], *src1 = h->src + offset[4];
    const uint8_t *src2 = h->src + offset2[0] + h->bytes, *src3 = h->src + offset2[4] + h->bytes;
    ptrdiff_t at = 0;
    for (int row = 0; row < h->n_rows; row++, at += h->src_stride) {
        __m256i px = load2x128(src0 + at, src1 + at), t = taps01(px);
        __m256i low = sum[row][q], high = _mm256_madd_epi16(t, high0);
        MADD2(low, t, low0);
        if (n_pairs >= 2) {
            t = taps23(px);
            MADD2(low, t, low1);
            MADD2(high, t, high1);
        }
        if (n_pairs >= 3) {
            px = load2x128(src2 + at, src3 + at);
            t = taps01(px);
            MADD2(low, t, low2);
            MADD2(high, t, high2);
        }
        if (n_pairs >= 4) {
            t = taps23(px);
            MADD2(low, t, low3);
            MADD2(high, t, high3);
        }
        sum[row][q] = join2(high, low);
    }
}

/* Outputs q and q + 4 of the block for two rows, any number of groups. */
AVX2_INLINE void h2_many_groups(const struct h2 *h, int q, int row, __m256i (*sum)[4])
{
    const struct h2_group *group = h->group[q];
    const int32_t *offset = h->offset[0] + q;
    int next = row + 1 < h->n_rows ? row + 1 : row;
    const uint8_t *row0 = h->src + row * h->src_stride, *row1 = h->src + next * h->src_stride;
    __m256i a0 = sum[row][q], b0 = sum[next][q], a1 = _mm256_setzero_si256(), b1 = a1;
    for (int g = h->n_pairs / 2; g > 0; g--, group++, offset += h->step) {
        ptrdiff_t at0 = offset[0], at1 = offset[4];
        __m256i pa = load2x128(row0 + at0, row0 + at1), pb = load2x128(row1 + at0, row1 + at1);
        __m256i ta = taps01(pa), tb = taps01(pb);
        MADD2(a0, ta, group->low01);
        MADD2(b0, tb, group->low01);
        MADD2(a1, ta, group->high01);
        MADD2(b1, tb, group->high01);
        ta = taps23(pa);
        tb = taps23(pb);
        MADD2(a0, ta, group->low23);
        MADD2(b0, tb, group->low23);
        MADD2(a1, ta, group->high23);
        MADD2(b1, tb, group->high23);
        row0 += h->bytes;
        row1 += h->bytes;
    }
    if (h->n_pairs & 1) {
        ptrdiff_t at0 = offset[0], at1 = offset[4];
        __m256i ta = taps01(load2x128(row0 + at0, row0 + at1));
        __m256i tb = taps01(load2x128(row1 + at0, row1 + at1));
        MADD2(a0, ta, group->low01);
        MADD2(b0, tb, group->low01);
        MADD2(a1, ta, group->high01);
        MADD2(b1, tb, group->high01);
    }
    sum[row][q] = join2(a1, a0);
    sum[next][q] = join2(b1, b0);
}

AVX2_INLINE void h2_store(const struct h2 *h, int row, const __m256i sum[4])
{
    const __m256i channels = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m256i planes = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    uint8_t *dst = h->dst + row * h->dst_stride;
    __m256i px = _mm256_shuffle_epi8(clip2(sum[0], sum[1], sum[2], sum[3]), channels);
    px = _mm256_permutevar8x32_epi32(px, planes);
    __m128i rg = _mm256_castsi256_si128(px), b = _mm256_extracti128_si256(px, 1);
    _mm_storel_epi64((__m128i *)dst, rg);
    _mm_storel_epi64((__m128i *)(dst + h->plane_stride), _mm_unpackhi_epi64(rg, rg));
    _mm_storel_epi64((__m128i *)(dst + 2 * h->plane_stride), b);
}

AVX2 static void h2_block(struct h2 *h, const int32_t *coef, int pitch)
{
    __m256i sum[H2_ROWS][4];
    for (int row = 0; row < h->n_rows; row++)
        for (int q = 0; q < 4; q++)
            sum[row][q] = _mm256_set1_epi32(1 << (PST_TAP_BITS - 1));
    for (int first = 0; first < h->n_taps; first += 4 * H2_GROUPS) {
        h2_split(h, coef, pitch, first);
        h2_place(h, first);
        for (int q = 0; q < 4; q++) {
            if (h->n_pairs == 1)
                h2_few_taps(h, q, 1, sum);
            else if (h->n_pairs == 2)
                h2_few_taps(h, q, 2, sum);
            else if (h->n_pairs == 3)
                h2_few_taps(h, q, 3, sum);
            else if (h->n_pairs == 4)
                h2_few_taps(h, q, 4, sum);
            else
                for (int row = 0; row < h->n_rows; row += 2)
                    h2_many_groups(h, q, row, sum);
        }
    }
    for (int row = 0; row < h->n_rows; row++)
        h2_store(h, row, sum[row]);
}

AVX2 static void resample_h_avx2(uint8_t *dst, ptrdiff_t dst_stride, ptrdiff_t plane_stride,
                                 const uint8_t *src, ptrdiff_t src_stride, int n_rows,
                                 const struct pst__taps *taps)
{
    struct h2 h;
    h.dst_stride = dst_stride;
    h.plane_stride = plane_stride;
    h.src_stride = src_stride;
    h.end = pst__taps_end(taps);
    for (int row = 0; row < n_rows; row += H2_ROWS) {
        h.n_rows = n_rows - row < H2_ROWS ? n_rows - row : H2_ROWS;
        h.src = src + row * src_stride;
        for (int i = 0; i < taps->n; i += 8) {
            h.dst = dst + row * dst_stride + i;
            h.start = taps->start + i;
            h.n_taps = 0;
            for (int k = 0; k < 8; k++)
                h.n_taps = taps->count[i + k] > h.n_taps ? taps->count[i + k] : h.n_taps;
            h2_block(&h, taps->coef + i, taps->pitch);
        }
    }
}

AVX2 static int v2_split(int32_t (*pair)[2], const int32_t *coef, int count)
{
    const int32_t mask = (1 << SPLIT2_BITS) - 1;
    int n = 0;
    for (int k = 0; k < count; k += 2, n++) {
        uint32_t a = (uint32_t)coef[k], b = k + 1 < count ? (uint32_t)coef[k + 1] : 0;
        pair[n][0] = (int32_t)((a & mask) | (b & mask) << 16);
        a = (uint32_t)((int32_t)a >> SPLIT2_BITS);
        b = (uint32_t)((int32_t)b >> SPLIT2_BITS);
        pair[n][1] = (int32_t)((a & 0xffff) | b << 16);
    }
    return n;
}

/* 32 columns of two rows as words: in each 128 bit lane a, b, c and d hold columns 0-3, 4-7, 8-11
 * and 12-15 of it. The packs of clip2() undo that order. (Named members, not an array: gcc at -O2
 * keeps an array in memory.) */
struct quad2 {
    __m256i a, b, c, d;
};

AVX2_INLINE struct quad2 v2_fetch(const uint8_t *row0, const uint8_t *row1)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i x = _mm256_loadu_si256((const __m256i *)row0);
    __m256i y = _mm256_loadu_si256((const __m256i *)row1);
    __m256i low = _mm256_unpacklo_epi8(x, y), high = _mm256_unpackhi_epi8(x, y);
    struct quad2 px;
    px.a = _mm256_unpacklo_epi8(low, zero);
    px.b = _mm256_unpackhi_epi8(low, zero);
    px.c = _mm256_unpacklo_epi8(high, zero);
    px.d = _mm256_unpackhi_epi8(high, zero);
    return px;
}

AVX2_INLINE void v2_add(struct quad2 *sum, const struct quad2 *px, int32_t pair)
{
    __m256i coef = _mm256_set1_epi32(pair);
    MADD2(sum->a, px->a, coef);
    MADD2(sum->b, px->b, coef);
    MADD2(sum->c, px->c, coef);
    MADD2(sum->d, px->d, coef);
}

/* The sums from the first pair on. */
AVX2_INLINE void v2_first(struct quad2 *low, struct quad2 *high, const struct quad2 *px,
                          const int32_t pair[2])
{
    const __m256i half = _mm256_set1_epi32(1 << (PST_TAP_BITS - 1));
    const __m256i coef = _mm256_set1_epi32(pair[1]);
    *low = (struct quad2){half, half, half, half};
    v2_add(low, px, pair[0]);
    high->a = _mm256_madd_epi16(px->a, coef);
    high->b = _mm256_madd_epi16(px->b, coef);
    high->c = _mm256_madd_epi16(px->c, coef);
    high->d = _mm256_madd_epi16(px->d, coef);
}

AVX2 static void resample_v_avx2(uint8_t *dst, const uint8_t *src, ptrdiff_t src_stride, int n,
                                 const int32_t *coef, int count)
{
    int32_t pair[V2_PAIRS][2];
    if (count > 2 * V2_PAIRS || count < 1) {
        pst__resample_v_scalar(dst, src, src_stride, n, coef, count);
        return;
    }
    int n_pairs = v2_split(pair, coef, count);
    /* A last row without a partner has one with coefficient 0: itself. */
    ptrdiff_t last_step = count & 1 ? 0 : src_stride;
    ptrdiff_t first_step = n_pairs > 1 ? src_stride : last_step;
    for (int x = 0; x < n; x += 32) {
        struct quad2 low, high;
        const uint8_t *row = src + x;
        struct quad2 px = v2_fetch(row, row + first_step);
        v2_first(&low, &high, &px, pair[0]);
        for (int p = 1; p < n_pairs; p++) {
            row += 2 * src_stride;
            px = v2_fetch(row, row + (p + 1 < n_pairs ? src_stride : last_step));
            v2_add(&low, &px, pair[p][0]);
            v2_add(&high, &px, pair[p][1]);
        }
        _mm256_storeu_si256((__m256i *)(dst + x),
                            clip2(join2(high.a, low.a), join2(high.b, low.b), join2(high.c, low.c),
                                  join2(high.d, low.d)));
    }
}

#undef MADD2

#endif
