/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_LAYOUT_AVX512_H
#define PST_KERNELS_X86_LAYOUT_AVX512_H

#include "kernels/x86/pixels_avx512.h"

/* 32 of 256 words: each permutation answers for 64 of them, the two top bits of the byte choose
 * between the answers. */
AVX512_INLINE __m512i lookup512(const __m512i table[8], __m256i bytes)
{
    __m512i index = _mm512_cvtepu8_epi16(bytes);
    __mmask32 upper = _mm512_test_epi16_mask(index, _mm512_set1_epi16(0x80));
    __mmask32 odd = _mm512_test_epi16_mask(index, _mm512_set1_epi16(0x40));
    __m512i a = _mm512_permutex2var_epi16(table[0], index, table[1]);
    __m512i b = _mm512_permutex2var_epi16(table[2], index, table[3]);
    __m512i c = _mm512_permutex2var_epi16(table[4], index, table[5]);
    __m512i d = _mm512_permutex2var_epi16(table[6], index, table[7]);
    return _mm512_mask_blend_epi16(upper, _mm512_mask_blend_epi16(odd, a, b),
                                   _mm512_mask_blend_epi16(odd, c, d));
}

AVX512 static void store_u16_avx512(uint16_t *dst, const uint8_t *src, int n, const uint16_t *lut,
                                    int reverse)
{
    const __m256i steps =
        _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
                         21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
    __m512i table[8];
    for (int t = 0; t < 8; t++)
        table[t] = _mm512_loadu_si512(lut + (ptrdiff_t)t * 32);
    for (int i = 0; i < n; i += 32) {
        int m = n - i < 32 ? n - i : 32;
        __mmask32 mask = m == 32 ? ~0u : (1u << m) - 1;
        __m256i bytes = _mm256_maskz_loadu_epi8(mask, src + i);
        if (reverse)
            bytes = _mm256_permutexvar_epi8(_mm256_sub_epi8(_mm256_set1_epi8((char)(m - 1)), steps),
                                            bytes);
        _mm512_mask_storeu_epi16(dst + (reverse ? n - i - m : i), mask, lookup512(table, bytes));
    }
}

/* Element e of the triples is number e / 3 of plane e % 3. For a vector of n elements: where it is
 * in planes 0 and 1 together, where in plane 2, and whether it is there. */
#define PST__E4(f, o) f(o), f((o) + 1), f((o) + 2), f((o) + 3)
#define PST__E16(f, o) PST__E4(f, o), PST__E4(f, (o) + 4), PST__E4(f, (o) + 8), PST__E4(f, (o) + 12)
#define PST__E32(f, o) PST__E16(f, o), PST__E16(f, (o) + 16)
#define PST__E64(f, o) PST__E32(f, o), PST__E32(f, (o) + 32)
#define PST__AB16(e) ((e) % 3 == 1 ? 16 + (e) / 3 : (e) / 3)
#define PST__AB32(e) ((e) % 3 == 1 ? 32 + (e) / 3 : (e) / 3)
#define PST__AB64(e) ((e) % 3 == 1 ? 64 + (e) / 3 : (e) / 3)
#define PST__THIRD(e) ((e) / 3)
/* Bits 2, 5, 8 ... of the endless row of elements, from element 0, 64 and 128 on. */
#define PST__MASK_0 0x4924924924924924ull
#define PST__MASK_64 0x2492492492492492ull
#define PST__MASK_128 0x9249249249249249ull

static const uint32_t ab_16[3][16] = {
    {PST__E16(PST__AB16, 0)}, {PST__E16(PST__AB16, 16)}, {PST__E16(PST__AB16, 32)}};
static const uint32_t c_16[3][16] = {
    {PST__E16(PST__THIRD, 0)}, {PST__E16(PST__THIRD, 16)}, {PST__E16(PST__THIRD, 32)}};
static const uint16_t ab_32[3][32] = {
    {PST__E32(PST__AB32, 0)}, {PST__E32(PST__AB32, 32)}, {PST__E32(PST__AB32, 64)}};
static const uint16_t c_32[3][32] = {
    {PST__E32(PST__THIRD, 0)}, {PST__E32(PST__THIRD, 32)}, {PST__E32(PST__THIRD, 64)}};
static const uint8_t ab_64[3][64] = {
    {PST__E64(PST__AB64, 0)}, {PST__E64(PST__AB64, 64)}, {PST__E64(PST__AB64, 128)}};
static const uint8_t c_64[3][64] = {
    {PST__E64(PST__THIRD, 0)}, {PST__E64(PST__THIRD, 64)}, {PST__E64(PST__THIRD, 128)}};

/* Vector k of three of the triples of a, b and c. */
AVX512_INLINE __m512i triples512(__m512i a, __m512i b, __m512i c, int k, int size)
{
    const uint64_t mask64[3] = {PST__MASK_0, PST__MASK_64, PST__MASK_128};
    if (size == 4) {
        __m512i ab = _mm512_permutex2var_epi32(a, _mm512_loadu_si512(ab_16[k]), b);
        uint64_t mask = PST__MASK_0 >> (16 * k) & 0xffff;
        return _mm512_mask_permutexvar_epi32(ab, (__mmask16)mask, _mm512_loadu_si512(c_16[k]), c);
    }
    if (size == 2) {
        __m512i ab = _mm512_permutex2var_epi16(a, _mm512_loadu_si512(ab_32[k]), b);
        uint64_t mask = k < 2 ? PST__MASK_0 >> (32 * k) & 0xffffffff : PST__MASK_64 & 0xffffffff;
        return _mm512_mask_permutexvar_epi16(ab, (__mmask32)mask, _mm512_loadu_si512(c_32[k]), c);
    }
    __m512i ab = _mm512_permutex2var_epi8(a, _mm512_loadu_si512(ab_64[k]), b);
    return _mm512_mask_permutexvar_epi8(ab, mask64[k], _mm512_loadu_si512(c_64[k]), c);
}

AVX512_INLINE void interleave512(uint8_t *dst, const uint8_t *src, ptrdiff_t plane_stride, int n,
                                 int size)
{
    int lanes = 64 / size, i = 0;
    for (; i <= n - lanes; i += lanes, src += 64, dst += 192) {
        __m512i a = _mm512_loadu_si512(src);
        __m512i b = _mm512_loadu_si512(src + plane_stride);
        __m512i c = _mm512_loadu_si512(src + 2 * plane_stride);
        for (int k = 0; k < 3; k++)
            _mm512_storeu_si512(dst + (ptrdiff_t)k * 64, triples512(a, b, c, k, size));
    }
    if (i < n)
        pst__interleave_scalar(dst, src, plane_stride, n - i, size);
}

AVX512 static void interleave_avx512(uint8_t *dst, const uint8_t *src, ptrdiff_t plane_stride,
                                     int n, int size)
{
    if (size == 4)
        interleave512(dst, src, plane_stride, n, 4);
    else if (size == 2)
        interleave512(dst, src, plane_stride, n, 2);
    else
        interleave512(dst, src, plane_stride, n, 1);
}

#endif
