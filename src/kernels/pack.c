/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "kernels/scalar.h"

void pst__unpack_scalar(uint8_t *dst, ptrdiff_t plane_stride, const uint8_t *src, int n)
{
    assert(plane_stride >= n);
    for (int i = 0; i < n; i++) {
        dst[i] = src[4 * i];
        dst[plane_stride + i] = src[4 * i + 1];
        dst[2 * plane_stride + i] = src[4 * i + 2];
    }
}

void pst__unpack_rgb_scalar(uint8_t *dst, ptrdiff_t plane_stride, const uint8_t *src, int n)
{
    assert(plane_stride >= n);
    for (int i = 0; i < n; i++) {
        dst[i] = src[3 * i];
        dst[plane_stride + i] = src[3 * i + 1];
        dst[2 * plane_stride + i] = src[3 * i + 2];
    }
}
