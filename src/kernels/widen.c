/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/scalar.h"

/* One function for each pair of types. A number that does not fit is no longer itself after the
 * cut. */
#define WIDEN(name, from_type, to_type)                                                            \
    static int name(uint8_t *x, uint8_t *y, const uint8_t *src, size_t n)                          \
    {                                                                                              \
        int is_cut = 0;                                                                            \
        for (size_t i = 0; i < n + (y != NULL); i++) {                                             \
            from_type value;                                                                       \
            memcpy(&value, src + i * sizeof value, sizeof value);                                  \
            to_type wide = (to_type)value;                                                         \
            is_cut |= (int64_t)wide != (int64_t)value;                                             \
            if (i < n)                                                                             \
                memcpy(x + i * sizeof wide, &wide, sizeof wide);                                   \
            if (y && i > 0)                                                                        \
                memcpy(y + (i - 1) * sizeof wide, &wide, sizeof wide);                             \
        }                                                                                          \
        return is_cut;                                                                             \
    }

WIDEN(u8_to_i64, uint8_t, int64_t)
WIDEN(i8_to_i64, int8_t, int64_t)
WIDEN(u16_to_i64, uint16_t, int64_t)
WIDEN(i16_to_i64, int16_t, int64_t)
WIDEN(u32_to_i64, uint32_t, int64_t)
WIDEN(i32_to_i64, int32_t, int64_t)
WIDEN(i64_to_i64, int64_t, int64_t)
WIDEN(u8_to_i32, uint8_t, int32_t)
WIDEN(i8_to_i32, int8_t, int32_t)
WIDEN(u16_to_i32, uint16_t, int32_t)
WIDEN(i16_to_i32, int16_t, int32_t)
WIDEN(u32_to_i32, uint32_t, int32_t)
WIDEN(i32_to_i32, int32_t, int32_t)
WIDEN(i64_to_i32, int64_t, int32_t)

int pst__widen_scalar(uint8_t *x, uint8_t *y, const uint8_t *src, size_t n, enum pst__integer from,
                      int is_narrow)
{
    static int (*const widen[2][7])(uint8_t *, uint8_t *, const uint8_t *, size_t) = {
        {u8_to_i64, i8_to_i64, u16_to_i64, i16_to_i64, u32_to_i64, i32_to_i64, i64_to_i64},
        {u8_to_i32, i8_to_i32, u16_to_i32, i16_to_i32, u32_to_i32, i32_to_i32, i64_to_i32},
    };
    return widen[is_narrow != 0][from](x, y, src, n);
}
