/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/scalar.h"

/* One loop for each operation and type. */
#define ARITH_LOOP(type, expression)                                                               \
    for (size_t i = 0; i < n; i++) {                                                               \
        type x, y = b[is_one ? 0 : i];                                                             \
        memcpy(&x, src + i * sizeof x, sizeof x);                                                  \
        x = expression;                                                                            \
        memcpy(dst + i * sizeof x, &x, sizeof x);                                                  \
    }                                                                                              \
    break

#define ARITH(name, type)                                                                          \
    void name(uint8_t *dst, const uint8_t *src, size_t n, enum pst__arith op, const type *b,       \
              int is_one)                                                                          \
    {                                                                                              \
        switch (op) {                                                                              \
        case PST_ARITH_MULTIPLY:                                                                   \
            ARITH_LOOP(type, x *y);                                                                \
        case PST_ARITH_DIVIDE:                                                                     \
            ARITH_LOOP(type, x / y);                                                               \
        case PST_ARITH_ADD:                                                                        \
            ARITH_LOOP(type, x + y);                                                               \
        default:                                                                                   \
            ARITH_LOOP(type, x - y);                                                               \
        }                                                                                          \
    }

ARITH(pst__arith_f32_scalar, float)
ARITH(pst__arith_f64_scalar, double)

void pst__mix_f32_scalar(uint8_t *dst, const uint8_t *other, size_t n, float share, float own)
{
    for (size_t i = 0; i < n; i++) {
        float x, y;
        memcpy(&x, other + i * sizeof x, sizeof x);
        memcpy(&y, dst + i * sizeof y, sizeof y);
        y = x * share + y * own;
        memcpy(dst + i * sizeof y, &y, sizeof y);
    }
}

#define TO_F32(type)                                                                               \
    for (size_t i = 0; i < n; i++) {                                                               \
        type x;                                                                                    \
        memcpy(&x, src + i * sizeof x, sizeof x);                                                  \
        float y = (float)x;                                                                        \
        memcpy(dst + i * sizeof y, &y, sizeof y);                                                  \
    }                                                                                              \
    break

void pst__to_f32_scalar(uint8_t *dst, const uint8_t *src, size_t n, enum pst__integer from)
{
    switch (from) {
    case PST_INTEGER_U8:
        TO_F32(uint8_t);
    case PST_INTEGER_I8:
        TO_F32(int8_t);
    case PST_INTEGER_U16:
        TO_F32(uint16_t);
    case PST_INTEGER_I16:
        TO_F32(int16_t);
    case PST_INTEGER_U32:
        TO_F32(uint32_t);
    case PST_INTEGER_I32:
        TO_F32(int32_t);
    default:
        TO_F32(int64_t);
    }
}
