/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/tensor.h>

#include <string.h>

#include "base/half.h"
#include "base/status.h"
#include "buffer/cast.h"
#include "buffer/tensor_parts.h"

/* Elements go through one of two wide types, some hundred at a time: int64_t for integers and bool,
 * double for floats. Both hold each element exactly, so that a cast is rounded where its rule says
 * and nowhere else; u64 goes by its bits, which are another number only on the way to a float.
 * Elements need not be aligned. */
#define BLOCK 256

static int is_float(int dtype)
{
    return dtype == PST_F16 || dtype == PST_BF16 || dtype == PST_F32 || dtype == PST_F64;
}

#define LOAD(type, wide, expression)                                                               \
    for (int64_t i = 0; i < n; i++) {                                                              \
        type x;                                                                                    \
        memcpy(&x, from + i * step, sizeof x);                                                     \
        out[i] = (wide)(expression);                                                               \
    }                                                                                              \
    break

static void load_integers(int64_t *out, const uint8_t *from, int64_t step, int64_t n, int dtype)
{
    switch (dtype) {
    case PST_U8:
        LOAD(uint8_t, int64_t, x);
    case PST_BOOL:
        LOAD(uint8_t, int64_t, x != 0);
    case PST_I8:
        LOAD(int8_t, int64_t, x);
    case PST_I16:
        LOAD(int16_t, int64_t, x);
    case PST_I32:
        LOAD(int32_t, int64_t, x);
    case PST_U16:
        LOAD(uint16_t, int64_t, x);
    case PST_U32:
        LOAD(uint32_t, int64_t, x);
    default:
        LOAD(int64_t, int64_t, x);
    }
}

static void load_floats(double *out, const uint8_t *from, int64_t step, int64_t n, int dtype)
{
    switch (dtype) {
    case PST_F16:
        LOAD(uint16_t, double, pst__f32_from_f16(x));
    case PST_BF16:
        LOAD(uint16_t, double, pst__f32_from_bf16(x));
    case PST_F32:
        LOAD(float, double, x);
    default:
        LOAD(double, double, x);
    }
}

/* What cvttsd2si gives, of 32 and of 64 bits. A NaN fails both comparisons. */
static int32_t truncate32(double x)
{
    return x > -2147483649.0 && x < 2147483648.0 ? (int32_t)x : INT32_MIN;
}

static int64_t truncate64(double x)
{
    return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN;
}

static uint64_t truncate_u64(double x)
{
    if (x >= 0x1p63)
        return x < 0x1p64 ? (uint64_t)x : 0;
    return (uint64_t)truncate64(x);
}

#define STORE(type, expression)                                                                    \
    for (int64_t i = 0; i < n; i++) {                                                              \
        type y = (type)(expression);                                                               \
        memcpy(to + i * (int64_t)sizeof y, &y, sizeof y);                                          \
    }                                                                                              \
    break

static void store_integers(uint8_t *to, const int64_t *in, int64_t n, int dtype)
{
    switch (dtype) {
    case PST_BOOL:
        STORE(uint8_t, in[i] != 0);
    case PST_U8:
    case PST_I8:
        STORE(uint8_t, (uint64_t)in[i]);
    case PST_I16:
    case PST_U16:
        STORE(uint16_t, (uint64_t)in[i]);
    case PST_I32:
    case PST_U32:
        STORE(uint32_t, (uint64_t)in[i]);
    case PST_I64:
    case PST_U64:
        STORE(int64_t, in[i]);
    case PST_F16:
        STORE(uint16_t, pst__f16_from_f32((float)in[i]));
    case PST_BF16:
        STORE(uint16_t, pst__bf16_from_f32((float)in[i]));
    case PST_F32:
        STORE(float, in[i]);
    default:
        STORE(double, in[i]);
    }
}

/* Elements of u64 to a float. */
static void store_unsigned(uint8_t *to, const int64_t *in, int64_t n, int dtype)
{
    switch (dtype) {
    case PST_F16:
        STORE(uint16_t, pst__f16_from_f32((float)(uint64_t)in[i]));
    case PST_BF16:
        STORE(uint16_t, pst__bf16_from_f32((float)(uint64_t)in[i]));
    case PST_F32:
        STORE(float, (uint64_t)in[i]);
    default:
        STORE(double, (uint64_t)in[i]);
    }
}

static void store_floats(uint8_t *to, const double *in, int64_t n, int dtype)
{
    switch (dtype) {
    case PST_BOOL:
        STORE(uint8_t, in[i] != 0);
    case PST_U8:
        STORE(uint8_t, (uint64_t)truncate64(in[i]));
    case PST_I8:
        STORE(uint8_t, (uint32_t)truncate32(in[i]));
    case PST_I16:
    case PST_U16:
        STORE(uint16_t, (uint32_t)truncate32(in[i]));
    case PST_U32:
        STORE(uint32_t, (uint64_t)truncate64(in[i]));
    case PST_U64:
        STORE(uint64_t, truncate_u64(in[i]));
    case PST_I32:
        STORE(int32_t, truncate32(in[i]));
    case PST_I64:
        STORE(int64_t, truncate64(in[i]));
    case PST_F16:
        STORE(uint16_t, pst__f16_from_f32((float)in[i]));
    case PST_BF16:
        STORE(uint16_t, pst__bf16_from_f32((float)in[i]));
    case PST_F32:
        STORE(float, in[i]);
    default:
        STORE(double, in[i]);
    }
}

void pst__cast(uint8_t *to, int to_dtype, const uint8_t *from, int64_t step, int from_dtype,
               int64_t n)
{
    union {
        int64_t integers[BLOCK];
        double floats[BLOCK];
    } wide;
    int64_t item = (int64_t)pst_dtype_size(to_dtype);
    for (int64_t done = 0, some; done < n; done += some) {
        some = n - done < BLOCK ? n - done : BLOCK;
        if (is_float(from_dtype)) {
            load_floats(wide.floats, from + done * step, step, some, from_dtype);
            store_floats(to + done * item, wide.floats, some, to_dtype);
        } else {
            load_integers(wide.integers, from + done * step, step, some, from_dtype);
            if (from_dtype == PST_U64 && is_float(to_dtype))
                store_unsigned(to + done * item, wide.integers, some, to_dtype);
            else
                store_integers(to + done * item, wide.integers, some, to_dtype);
        }
    }
}

int pst_tensor_cast(struct pst_tensor *out, const struct pst_tensor *from, int dtype,
                    struct pst_error *err)
{
    *out = (struct pst_tensor){0};
    int rc = pst__tensor_check(from, err);
    if (rc < 0 || dtype == from->dtype)
        return rc < 0 ? rc : pst_tensor_clone(out, from, err);
    rc = pst_tensor_empty(out, dtype, from->ndim, from->shape, err);
    if (rc < 0 || pst_tensor_numel(out) == 0)
        return rc;
    struct pst__tensor_pair pair;
    int64_t at[PST_MAX_DIMS] = {0};
    uint8_t *to = out->data;
    const uint8_t *elements = from->data;
    pst__tensor_pair(&pair, out, from, 1);
    int inner = pair.ndim - 1;
    do
        pst__cast(to, dtype, elements, pair.b[inner], from->dtype, pair.shape[inner]);
    while (pst__tensor_pair_next(&pair, inner, at, &to, &elements));
    return PST_OK;
}
