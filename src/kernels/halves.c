/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/half.h"
#include "kernels/scalar.h"

#define LOOP(from_type, to_type, expression)                                                       \
    for (size_t i = 0; i < n; i++) {                                                               \
        from_type x;                                                                               \
        memcpy(&x, src + i * sizeof x, sizeof x);                                                  \
        to_type y = expression;                                                                    \
        memcpy(dst + i * sizeof y, &y, sizeof y);                                                  \
    }

void pst__half_to_f32_scalar(uint8_t *dst, const uint8_t *src, size_t n, enum pst__half from)
{
    if (from == PST_HALF_F16)
        LOOP(uint16_t, float, pst__f32_from_f16(x))
    else
        LOOP(uint16_t, float, pst__f32_from_bf16(x))
}

void pst__f32_to_half_scalar(uint8_t *dst, const uint8_t *src, size_t n, enum pst__half to)
{
    if (to == PST_HALF_F16)
        LOOP(float, uint16_t, pst__f16_from_f32(x))
    else
        LOOP(float, uint16_t, pst__bf16_from_f32(x))
}
