/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_BLUR_AVX512_H
#define PST_KERNELS_X86_BLUR_AVX512_H

#include "kernels/x86/blur_avx2.h"
#include "kernels/x86/resample_avx512.h"

#define CHAIN_BEGIN_512(k) __m512 sum##k = _mm512_setzero_ps();
#define CHAIN_ADD_512(k) sum##k = _mm512_fmadd_ps(w, _mm512_loadu_ps(at + (k)*16), sum##k);
#define CHAIN_END_512(k) _mm512_storeu_ps(dst + (k)*16, sum##k);

#define CONVOLVE_512(n_vectors)                                                                    \
    AVX512_INLINE void convolve512_##n_vectors(float *dst, const float *const *row, ptrdiff_t x,   \
                                               const float *weight, int n_rows, int n_taps)        \
    {                                                                                              \
        CHAINS_##n_vectors(CHAIN_BEGIN_512) for (int i = 0; i < n_rows; i++)                       \
        {                                                                                          \
            const float *at = row[i] + x;                                                          \
            for (int j = 0; j < n_taps; j++, at++, weight++) {                                     \
                __m512 w = _mm512_set1_ps(*weight);                                                \
                CHAINS_##n_vectors(CHAIN_ADD_512)                                                  \
            }                                                                                      \
        }                                                                                          \
        CHAINS_##n_vectors(CHAIN_END_512)                                                          \
    }

CONVOLVE_512(1)
CONVOLVE_512(2)
CONVOLVE_512(4)
CONVOLVE_512(8)

AVX512 static void convolve_avx512(float *dst, const float *const *row, int n, const float *weight,
                                   int n_rows, int n_taps)
{
    ptrdiff_t x = 0, end = ((ptrdiff_t)n + 15) / 16 * 16;
    for (; x + 128 <= end; x += 128)
        convolve512_8(dst + x, row, x, weight, n_rows, n_taps);
    if (x + 64 <= end) {
        convolve512_4(dst + x, row, x, weight, n_rows, n_taps);
        x += 64;
    }
    if (x + 32 <= end) {
        convolve512_2(dst + x, row, x, weight, n_rows, n_taps);
        x += 32;
    }
    if (x + 16 <= end)
        convolve512_1(dst + x, row, x, weight, n_rows, n_taps);
}

AVX512_INLINE __m512i round512(const float *sum, int32_t at, __m512 limit, int32_t *place,
                               int *n_places)
{
    __m512 v = _mm512_loadu_ps(sum);
    __m512 whole = _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 off = _mm512_abs_ps(_mm512_sub_ps(v, whole));
    unsigned far = _mm512_cmp_ps_mask(off, limit, _CMP_GT_OQ);
    for (; far; far &= far - 1)
        place[(*n_places)++] = at + __builtin_ctz(far);
    return _mm512_cvtps_epi32(whole);
}

AVX512 static int round_sums_avx512(uint8_t *px, const float *sum, ptrdiff_t plane, int n,
                                    float limit, int32_t *place)
{
    __m512 most = _mm512_set1_ps(limit);
    int x = 0, n_places = 0;
    for (; x + 16 <= n; x += 16) {
        int32_t p = (int32_t)plane;
        __m512i r = round512(sum + x, x, most, place, &n_places);
        __m512i g = round512(sum + plane + x, p + x, most, place, &n_places);
        __m512i b = round512(sum + 2 * plane + x, 2 * p + x, most, place, &n_places);
        __m512i rgb =
            _mm512_or_si512(r, _mm512_or_si512(_mm512_slli_epi32(g, 8), _mm512_slli_epi32(b, 16)));
        _mm512_storeu_si512(px + 4 * (ptrdiff_t)x, rgb);
    }
    return n_places + pst__round_sums_from(px, sum, plane, x, n, limit, place + n_places);
}

AVX512 static void spread_avx512(float *dst, ptrdiff_t plane, const uint8_t *px, int n)
{
    const __m512i byte = _mm512_set1_epi32(255);
    int x = 0;
    for (; x + 16 <= n; x += 16) {
        __m512i v = _mm512_loadu_si512(px + 4 * (ptrdiff_t)x);
        __m512i g = _mm512_srli_epi32(v, 8), b = _mm512_srli_epi32(v, 16);
        _mm512_storeu_ps(dst + x, _mm512_cvtepi32_ps(_mm512_and_si512(v, byte)));
        _mm512_storeu_ps(dst + plane + x, _mm512_cvtepi32_ps(_mm512_and_si512(g, byte)));
        _mm512_storeu_ps(dst + 2 * plane + x, _mm512_cvtepi32_ps(_mm512_and_si512(b, byte)));
    }
    pst__spread_scalar(dst + x, plane, px + 4 * (ptrdiff_t)x, n - x);
}

#endif
