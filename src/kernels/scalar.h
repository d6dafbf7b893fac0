/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_SCALAR_H
#define PST_KERNELS_SCALAR_H

#include <math.h>

#include "kernels/kernels.h"

/* The specification of each kernel, and what the vector versions share with it. */

void pst__resample_h_scalar(uint8_t *dst, ptrdiff_t dst_stride, ptrdiff_t plane_stride,
                            const uint8_t *src, ptrdiff_t src_stride, int n_rows,
                            const struct pst__taps *taps);
void pst__resample_v_scalar(uint8_t *dst, const uint8_t *src, ptrdiff_t src_stride, int n,
                            const int32_t *coef, int count);
void pst__unpack_scalar(uint8_t *dst, ptrdiff_t plane_stride, const uint8_t *src, int n);
void pst__unpack_rgb_scalar(uint8_t *dst, ptrdiff_t plane_stride, const uint8_t *src, int n);
void pst__store_f32_scalar(float *dst, const uint8_t *src, int n, const struct pst__norm *norm,
                           int reverse);
void pst__store_u16_scalar(uint16_t *dst, const uint8_t *src, int n, const uint16_t *lut,
                           int reverse);
void pst__interleave_scalar(uint8_t *dst, const uint8_t *src, ptrdiff_t plane_stride, int n,
                            int size);
void pst__store_u8_scalar(uint8_t *dst, const uint8_t *src, int n, int reverse);
void pst__warp_fixed_scalar(uint8_t *dst, const struct pst__raster *src, int n, int32_t x,
                            int32_t y, int32_t dx, int32_t dy);
void pst__warp_bilinear_scalar(uint8_t *dst, const struct pst__raster *src, int n, const double *x,
                               const double *y);
void pst__warp_bicubic_scalar(uint8_t *dst, const struct pst__raster *src, int n, const double *x,
                              const double *y);

void pst__map_scalar(uint8_t *px, int n, const struct pst__map *map);
void pst__grey_scalar(uint8_t *px, int n);
uint64_t pst__grey_sum_scalar(const uint8_t *px, int n);
void pst__saturate_scalar(uint8_t *px, int n, float factor);
void pst__hue_scalar(uint8_t *px, int n, uint8_t shift);
void pst__sharpen_scalar(uint8_t *dst, const uint8_t *above, const uint8_t *row,
                         const uint8_t *below, int n, float factor);

void pst__unfilter_scalar(uint8_t *row, const uint8_t *above, int n, int bpp,
                          enum pst__filter filter);
uint32_t pst__adler32_scalar(const uint8_t *src, size_t n);
int pst__widen_scalar(uint8_t *x, uint8_t *y, const uint8_t *src, size_t n, enum pst__integer from,
                      int is_narrow);
void pst__arith_f32_scalar(uint8_t *dst, const uint8_t *src, size_t n, enum pst__arith op,
                           const float *b, int is_one);
void pst__arith_f64_scalar(uint8_t *dst, const uint8_t *src, size_t n, enum pst__arith op,
                           const double *b, int is_one);
void pst__mix_f32_scalar(uint8_t *dst, const uint8_t *other, size_t n, float share, float own);
void pst__to_f32_scalar(uint8_t *dst, const uint8_t *src, size_t n, enum pst__integer from);
void pst__half_to_f32_scalar(uint8_t *dst, const uint8_t *src, size_t n, enum pst__half from);
void pst__f32_to_half_scalar(uint8_t *dst, const uint8_t *src, size_t n, enum pst__half to);

void pst__grid_bilinear_scalar(uint8_t *dst, const struct pst__raster *src,
                               const struct pst__grid *grid, int n, float x, float y);
void pst__grid_nearest_scalar(uint8_t *dst, const struct pst__raster *src,
                              const struct pst__grid *grid, int n, float x, float y);
uint64_t pst__tensor_luma_sum_scalar(const uint8_t *px, int n, int is_fused);
void pst__tensor_saturate_scalar(uint8_t *px, int n, const struct pst__portions *portions);
void pst__tensor_sharpen_scalar(uint8_t *dst, const uint8_t *px, const float *sum, ptrdiff_t plane,
                                int n, const struct pst__portions *portions);
void pst__tensor_hue_scalar(uint8_t *px, int n, float shift, int is_v2);
void pst__combine_scalar(uint8_t *dst, const uint8_t *const *src, const float *weight, int n_src,
                         size_t n);
/* Of bytes first .. n - 1. */
void pst__combine_from(uint8_t *dst, const uint8_t *const *src, const float *weight, int n_src,
                       size_t first, size_t n);

void pst__convolve_scalar(float *dst, const float *const *row, int n, const float *weight,
                          int n_rows, int n_taps);
void pst__convolve_at_scalar(float *dst, const int32_t *place, int n, const float *const *row,
                             const float *weight, int n_rows, int n_taps);
int pst__round_sums_scalar(uint8_t *px, const float *sum, ptrdiff_t plane, int n, float limit,
                           int32_t *place);
/* Of pixels first .. n - 1. */
int pst__round_sums_from(uint8_t *px, const float *sum, ptrdiff_t plane, int first, int n,
                         float limit, int32_t *place);
void pst__spread_scalar(float *dst, ptrdiff_t plane, const uint8_t *px, int n);

void pst__normal_scalar(float *dst, const uint32_t *words, size_t n);
void pst__normal_pairs_scalar(float *dst, const uint32_t *words, size_t n);

/* Of the logarithm, the sine and the cosine in normal(). The sum of ln 2's two is ln 2; that of the
 * three others is -pi / 4. */
#define PST__LOG_COEFFICIENTS                                                                      \
    0x1.204376p-4f, -0x1.d7a37p-4f, 0x1.de4a34p-4f, -0x1.fcba9ep-4f, 0x1.23d37ep-3f,               \
        -0x1.555cap-3f, 0x1.999d58p-3f, -0x1.fffff8p-3f, 0x1.555554p-2f
#define PST__SQRT_HALF 0x1.6a09e6p-1f
#define PST__LN2_LOW (-0x1.bd0106p-13f)
#define PST__LN2_HIGH 0x1.63p-1f
#define PST__TWO_PI 0x1.921fb6p+2f
#define PST__FOUR_BY_PI 0x1.45f306p+0f
#define PST__QUARTER_PI_1 (-0x1.92p-1f)
#define PST__QUARTER_PI_2 (-0x1.fb4p-13f)
#define PST__QUARTER_PI_3 (-0x1.4442d2p-25f)
#define PST__COS_0 0x1.99eb9cp-16f
#define PST__COS_1 (-0x1.6c0c34p-10f)
#define PST__COS_2 0x1.55554ap-5f
#define PST__SIN_0 (-0x1.9943f2p-13f)
#define PST__SIN_1 0x1.11073cp-7f
#define PST__SIN_2 (-0x1.555546p-3f)

/* The largest prime below 2^16. */
#define PST__ADLER_MODULUS 65521u

/* Pillow's luma of RGB, in 65536ths. */
#define PST__LUMA_R 19595
#define PST__LUMA_G 38470
#define PST__LUMA_B 7471

/* torchvision's luma of tensors. */
#define PST__TENSOR_LUMA_R 0.2989f
#define PST__TENSOR_LUMA_G 0.587f
#define PST__TENSOR_LUMA_B 0.114f

/* As torchvision has them in float32, from bytes and back. */
#define PST__BY_255 0x1.010102p-8f
#define PST__BY_6 0x1.555556p-3f
#define PST__TO_BYTE 255.999f

/* n / 13 is (n * this) >> 16 for n below 6553. */
#define PST__RCP_13 5042

/* Where R, G and B are in a dword (value, between, low, 0), for each sixth of the circle of hues,
 * and for its end. */
#define PST__HUE_ORDER                                                                             \
    0x03020100, 0x03020001, 0x03010002, 0x03000102, 0x03000201, 0x03010200, 0x03020100, 0

/* 1/255 as the sum of two floats. */
#define PST__RCP_255 0x1.010102p-8f
#define PST__RCP_255_LOW (-0x1.fdfdfep-33f)

/* The fast formula that every version of store_f32 evaluates, operation by operation, where
 * norm->kind is not PST_NORM_LUT. x / d is taken as fma(x, r, x * l), where r + l is 1/d to 48
 * bits: before its one rounding it is within about 2^-47 of the quotient (relative), so it is the
 * quotient correctly rounded unless that lies this close to the middle of two floats. Whether one
 * of the 256 inputs does is not argued but tried, by pst__norm_init(). */
static inline float pst__norm_fast(const struct pst__norm *norm, uint8_t value)
{
    float v = value;
    float scaled = norm->divide ? fmaf(v, PST__RCP_255, v * PST__RCP_255_LOW) : v * PST__RCP_255;
    if (norm->kind == PST_NORM_SCALE)
        return scaled;
    float x = scaled - norm->mean;
    return fmaf(x, norm->rcp_std, x * norm->rcp_std_low);
}

/* One past the last input that an output has a tap on. What lies up to PST_PAD bytes behind it may
 * be read, nothing after that. */
static inline int pst__taps_end(const struct pst__taps *taps)
{
    int end = 0;
    for (int i = 0; i < taps->n; i++) {
        int last = taps->start[i] + taps->count[i];
        end = last > end ? last : end;
    }
    return end;
}

#endif
