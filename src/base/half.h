/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BASE_HALF_H
#define PST_BASE_HALF_H

#include <stdint.h>
#include <string.h>

/* The 16-bit floats: IEEE 754 binary16, and bfloat16, which is the upper half of a float. To them
 * is rounded to nearest, ties to even, as F16C's instructions do; from them is exact. */

static inline uint32_t pst__f32_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float pst__f32_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint16_t pst__f16_from_f32(float value)
{
    uint32_t x = pst__f32_bits(value), sign = x >> 16 & 0x8000u;
    x &= 0x7fffffffu;
    if (x > 0x7f800000u) /* NaN: quiet, with the upper bits of its payload */
        return (uint16_t)(sign | 0x7e00u | (x >> 13 & 0x3ffu));
    if (x >= 0x47800000u) /* 2^16 */
        return (uint16_t)(sign | 0x7c00u);
    if (x >= 0x38800000u) { /* 2^-14, the smallest normal one; a carry out of 65504 is infinity */
        x += 0xfffu + (x >> 13 & 1u);
        return (uint16_t)(sign | (x - 0x38000000u) >> 13);
    }
    if (x < 0x33000000u) /* 2^-25, half of the smallest one */
        return (uint16_t)sign;
    /* In units of 2^-24: the significand has its point 150 - exponent from the right. */
    uint32_t shift = 126 - (x >> 23), m = (x & 0x7fffffu) | 0x800000u;
    uint32_t whole = m >> shift, rest = m & ((1u << shift) - 1), tie = 1u << (shift - 1);
    whole += rest > tie || (rest == tie && (whole & 1u));
    return (uint16_t)(sign | whole);
}

static inline float pst__f32_from_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, e = half >> 10 & 31u, m = half & 0x3ffu;
    if (e == 31) /* a NaN becomes quiet */
        return pst__f32_of_bits(sign | 0x7f800000u | (m ? 0x400000u | m << 13 : 0));
    if (e > 0)
        return pst__f32_of_bits(sign | (e + 112) << 23 | m << 13);
    float value = (float)m * 0x1p-24f;
    return sign ? -value : value;
}

static inline uint16_t pst__bf16_from_f32(float value)
{
    uint32_t x = pst__f32_bits(value);
    if ((x & 0x7fffffffu) > 0x7f800000u)
        return 0x7fc0u;
    return (uint16_t)((x + 0x7fffu + (x >> 16 & 1u)) >> 16);
}

static inline float pst__f32_from_bf16(uint16_t half)
{
    return pst__f32_of_bits((uint32_t)half << 16);
}

#endif
