/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/scalar.h"

/* What torchvision makes of the colours of uint8 tensors, in float32, operation by operation. What
 * v2 does by add_(alpha) is fused where torch runs with AVX2 and more. */

float pst__tensor_luma(const uint8_t *px, int is_fused)
{
    float r = px[0] * PST__TENSOR_LUMA_R;
    if (is_fused)
        return floorf(fmaf(px[2], PST__TENSOR_LUMA_B, fmaf(px[1], PST__TENSOR_LUMA_G, r)));
    return floorf(r + px[1] * PST__TENSOR_LUMA_G + px[2] * PST__TENSOR_LUMA_B);
}

static uint8_t cut(float value)
{
    return value <= 0 ? 0 : value >= 255 ? 255 : (uint8_t)value;
}

uint8_t pst__tensor_blend(float own, float other, const struct pst__portions *portions)
{
    float part = own * portions->own;
    return cut(portions->is_fused ? fmaf(other, portions->other, part)
                                  : part + other * portions->other);
}

uint64_t pst__tensor_luma_sum_scalar(const uint8_t *px, int n, int is_fused)
{
    uint64_t sum = 0;
    for (int i = 0; i < n; i++, px += 4)
        sum += (uint64_t)pst__tensor_luma(px, is_fused);
    return sum;
}

void pst__tensor_saturate_scalar(uint8_t *px, int n, const struct pst__portions *portions)
{
    for (int i = 0; i < n; i++, px += 4) {
        float grey = pst__tensor_luma(px, portions->is_fused);
        for (int c = 0; c < 3; c++)
            px[c] = pst__tensor_blend(px[c], grey, portions);
    }
}

void pst__tensor_sharpen_scalar(uint8_t *dst, const uint8_t *px, const float *sum, ptrdiff_t plane,
                                int n, const struct pst__portions *portions)
{
    for (int i = 0; i < n; i++, px += 4, dst += 4) {
        for (int c = 0; c < 3; c++) {
            float own = px[c], blurred = rintf(sum[c * plane + i]);
            dst[c] = portions->is_fused ? cut(fmaf(blurred - own, portions->other, own))
                                        : pst__tensor_blend(own, blurred, portions);
        }
        dst[3] = 0;
    }
}

/* Of bytes first .. n - 1. */
void pst__combine_from(uint8_t *dst, const uint8_t *const *src, const float *weight, int n_src,
                       size_t first, size_t n)
{
    for (size_t i = first; i < n; i++) {
        float sum = src[0][i] * weight[0];
        for (int k = 1; k < n_src; k++)
            sum += src[k][i] * weight[k];
        dst[i] = (uint8_t)sum;
    }
}

void pst__combine_scalar(uint8_t *dst, const uint8_t *const *src, const float *weight, int n_src,
                         size_t n)
{
    pst__combine_from(dst, src, weight, n_src, 0, n);
}
