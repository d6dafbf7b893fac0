/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_X86_BLUR_AVX2_H
#define PST_KERNELS_X86_BLUR_AVX2_H

#include "kernels/x86/resample_avx2.h"

/* Chains side by side: a fused multiply-add takes some cycles, and two can begin in each. Named, so
 * that they stay in registers. LANES floats a vector; LOAD, FMA and the like by instruction set. */
#define CHAINS_1(M) M(0)
#define CHAINS_2(M) M(0) M(1)
#define CHAINS_4(M) CHAINS_2(M) M(2) M(3)
#define CHAINS_8(M) CHAINS_4(M) M(4) M(5) M(6) M(7)

#define CHAIN_BEGIN_256(k) __m256 sum##k = _mm256_setzero_ps();
#define CHAIN_ADD_256(k) sum##k = _mm256_fmadd_ps(w, _mm256_loadu_ps(at + (k)*8), sum##k);
#define CHAIN_END_256(k) _mm256_storeu_ps(dst + (k)*8, sum##k);

#define CONVOLVE_256(n_vectors)                                                                    \
    AVX2_INLINE void convolve256_##n_vectors(float *dst, const float *const *row, ptrdiff_t x,     \
                                             const float *weight, int n_rows, int n_taps)          \
    {                                                                                              \
        CHAINS_##n_vectors(CHAIN_BEGIN_256) for (int i = 0; i < n_rows; i++)                       \
        {                                                                                          \
            const float *at = row[i] + x;                                                          \
            for (int j = 0; j < n_taps; j++, at++, weight++) {                                     \
                __m256 w = _mm256_broadcast_ss(weight);                                            \
                CHAINS_##n_vectors(CHAIN_ADD_256)                                                  \
            }                                                                                      \
        }                                                                                          \
        CHAINS_##n_vectors(CHAIN_END_256)                                                          \
    }

CONVOLVE_256(1)
CONVOLVE_256(2)
CONVOLVE_256(4)
CONVOLVE_256(8)

AVX2 static void convolve_avx2(float *dst, const float *const *row, int n, const float *weight,
                               int n_rows, int n_taps)
{
    ptrdiff_t x = 0, end = ((ptrdiff_t)n + 7) / 8 * 8;
    for (; x + 64 <= end; x += 64)
        convolve256_8(dst + x, row, x, weight, n_rows, n_taps);
    if (x + 32 <= end) {
        convolve256_4(dst + x, row, x, weight, n_rows, n_taps);
        x += 32;
    }
    if (x + 16 <= end) {
        convolve256_2(dst + x, row, x, weight, n_rows, n_taps);
        x += 16;
    }
    if (x + 8 <= end)
        convolve256_1(dst + x, row, x, weight, n_rows, n_taps);
}

/* Eight places, one chain each. */
#define PLACE_BEGIN(k)                                                                             \
    __m128 sum##k = _mm_setzero_ps();                                                              \
    ptrdiff_t x##k = place[k];
#define PLACE_ADD(k) sum##k = _mm_fmadd_ss(w, _mm_load_ss(at + x##k), sum##k);
#define PLACE_END(k) dst[k] = _mm_cvtss_f32(sum##k);

AVX2_INLINE void convolve_eight(float *dst, const int32_t *place, const float *const *row,
                                const float *weight, int n_rows, int n_taps)
{
    CHAINS_8(PLACE_BEGIN)
    for (int i = 0; i < n_rows; i++) {
        const float *at = row[i];
        for (int j = 0; j < n_taps; j++, at++, weight++) {
            __m128 w = _mm_load_ss(weight);
            CHAINS_8(PLACE_ADD)
        }
    }
    CHAINS_8(PLACE_END)
}

/* One chain takes about as long as eight: what is left over is made eight. */
AVX2 static void convolve_at_avx2(float *dst, const int32_t *place, int n, const float *const *row,
                                  const float *weight, int n_rows, int n_taps)
{
    for (; n >= 8; n -= 8, place += 8, dst += 8)
        convolve_eight(dst, place, row, weight, n_rows, n_taps);
    if (n <= 0)
        return;
    int32_t places[8];
    float sums[8];
    for (int k = 0; k < 8; k++)
        places[k] = place[k < n ? k : 0];
    convolve_eight(sums, places, row, weight, n_rows, n_taps);
    for (int k = 0; k < n; k++)
        dst[k] = sums[k];
}

/* Eight sums as bytes of a pixel at this bit; the doubtful ones are listed. */
AVX2_INLINE __m256i round256(const float *sum, int32_t at, __m256 limit, int32_t *place,
                             int *n_places)
{
    __m256 v = _mm256_loadu_ps(sum);
    __m256 whole = _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 off = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), _mm256_sub_ps(v, whole));
    unsigned far = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(off, limit, _CMP_GT_OQ));
    for (; far; far &= far - 1)
        place[(*n_places)++] = at + __builtin_ctz(far);
    return _mm256_cvtps_epi32(whole);
}

AVX2 static int round_sums_avx2(uint8_t *px, const float *sum, ptrdiff_t plane, int n, float limit,
                                int32_t *place)
{
    __m256 most = _mm256_set1_ps(limit);
    int x = 0, n_places = 0;
    for (; x + 8 <= n; x += 8) {
        int32_t p = (int32_t)plane;
        __m256i r = round256(sum + x, x, most, place, &n_places);
        __m256i g = round256(sum + plane + x, p + x, most, place, &n_places);
        __m256i b = round256(sum + 2 * plane + x, 2 * p + x, most, place, &n_places);
        __m256i rgb =
            _mm256_or_si256(r, _mm256_or_si256(_mm256_slli_epi32(g, 8), _mm256_slli_epi32(b, 16)));
        _mm256_storeu_si256((__m256i *)(px + 4 * (ptrdiff_t)x), rgb);
    }
    return n_places + pst__round_sums_from(px, sum, plane, x, n, limit, place + n_places);
}

AVX2 static void spread_avx2(float *dst, ptrdiff_t plane, const uint8_t *px, int n)
{
    const __m256i byte = _mm256_set1_epi32(255);
    int x = 0;
    for (; x + 8 <= n; x += 8) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(px + 4 * (ptrdiff_t)x));
        __m256i g = _mm256_srli_epi32(v, 8), b = _mm256_srli_epi32(v, 16);
        _mm256_storeu_ps(dst + x, _mm256_cvtepi32_ps(_mm256_and_si256(v, byte)));
        _mm256_storeu_ps(dst + plane + x, _mm256_cvtepi32_ps(_mm256_and_si256(g, byte)));
        _mm256_storeu_ps(dst + 2 * plane + x, _mm256_cvtepi32_ps(_mm256_and_si256(b, byte)));
    }
    pst__spread_scalar(dst + x, plane, px + 4 * (ptrdiff_t)x, n - x);
}

#endif
