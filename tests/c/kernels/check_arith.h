/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_KERNELS_CHECK_ARITH_H
#define PST_TESTS_KERNELS_CHECK_ARITH_H

#include <string.h>

#include "base/half.h"
#include "kernels/check_memory.h"
#include "kernels/check_widen.h"

/* Floats of all sizes, and now and then one of those that round or do not. */
static void draw_floats(uint8_t *p, size_t n, int size)
{
    static const double specials[] = {
        0.0, -0.0,     1.0,       -1.0,           255.0,    INFINITY, -INFINITY,
        NAN, 0x1p-149, 0x1p-1074, 0x1.fffffep127, 0x1p-126, 1.0 / 255};
    for (size_t i = 0; i < n; i++) {
        double x = ldexp((double)draw() - 2147483648.0, between(-60, 10));
        if (draw() % 8 == 0)
            x = specials[draw() % PST_COUNTOF(specials)];
        float narrow = (float)x;
        memcpy(p + i * (size_t)size, size == 4 ? (void *)&narrow : (void *)&x, (size_t)size);
    }
}

/* The operation by the compiler, one at a time and kept from being made into a vector. */
static void arith_one(uint8_t *out, const uint8_t *x, const uint8_t *y, int size, int op)
{
    if (size == 4) {
        volatile float a, b, r;
        memcpy((void *)&a, x, 4);
        memcpy((void *)&b, y, 4);
        r = op == PST_ARITH_MULTIPLY ? a * b
            : op == PST_ARITH_DIVIDE ? a / b
            : op == PST_ARITH_ADD    ? a + b
                                     : a - b;
        float result = r;
        memcpy(out, &result, 4);
        return;
    }
    volatile double a, b, r;
    memcpy((void *)&a, x, 8);
    memcpy((void *)&b, y, 8);
    r = op == PST_ARITH_MULTIPLY ? a * b
        : op == PST_ARITH_DIVIDE ? a / b
        : op == PST_ARITH_ADD    ? a + b
                                 : a - b;
    double result = r;
    memcpy(out, &result, 8);
}

static int is_nan_at(const uint8_t *p, int size)
{
    float narrow;
    double wide;
    memcpy(&narrow, p, 4);
    memcpy(&wide, p, (size_t)size);
    return size == 4 ? isnan(narrow) : isnan(wide);
}

static void check_arith_of(const struct pst__kernels *kernels, int n, int size, int op, int is_one)
{
    struct fenced src, b;
    struct field dst;
    size_t bytes = (size_t)(n * size), b_bytes = is_one ? (size_t)size : bytes;
    size_t at = (size_t)between(0, 70);
    int in_place = draw() % 2;
    fenced_new(&src, bytes, 1);
    fenced_new(&b, b_bytes, 1);
    field_new(&dst, at + bytes + 70);
    field_allow(&dst, at, bytes);
    draw_floats(src.data, (size_t)n, size);
    draw_floats(b.data, b_bytes / (size_t)size, size);
    const uint8_t *from = src.data;
    if (in_place)
        from = memcpy(dst.data + at, src.data, bytes);
    if (size == 4)
        kernels->arith_f32(dst.data + at, from, (size_t)n, (enum pst__arith)op,
                           (const float *)(const void *)b.data, is_one);
    else
        kernels->arith_f64(dst.data + at, from, (size_t)n, (enum pst__arith)op,
                           (const double *)(const void *)b.data, is_one);
    for (int i = 0; i < n; i++) {
        uint8_t expected[8], *got = dst.data + at + (size_t)(i * size);
        arith_one(expected, src.data + i * size, b.data + (is_one ? 0 : i * size), size, op);
        /* Of two NaNs either may be the result. */
        if (memcmp(got, expected, (size_t)size) != 0 &&
            !(is_nan_at(got, size) && is_nan_at(expected, size)))
            differ("arith", kernels->name, n, i * size, *got, *expected);
    }
    field_check(&dst, "arith");
    field_free(&dst);
    fenced_free(&b);
    fenced_free(&src);
}

static void check_arith(const struct pst__kernels *kernels, int n)
{
    for (int size = 4; size <= 8; size += 4)
        for (int op = PST_ARITH_MULTIPLY; op <= PST_ARITH_SUBTRACT; op++)
            check_arith_of(kernels, n, size, op, draw() % 2);
}

/* Each operation by itself, kept from being fused or made into a vector. */
static float mix_one(float x, float y, float share, float own)
{
    volatile float a = x * share, b = y * own, sum = a + b;
    return sum;
}

static void check_mix(const struct pst__kernels *kernels, int n)
{
    struct fenced other;
    struct field dst;
    size_t bytes = (size_t)n * 4, at = (size_t)between(0, 70);
    float weights[2];
    fenced_new(&other, bytes, draw() % 2);
    field_new(&dst, at + bytes + 70);
    field_allow(&dst, at, bytes);
    draw_floats(other.data, (size_t)n, 4);
    draw_floats(dst.data + at, (size_t)n, 4);
    memcpy(dst.before, dst.data, dst.size);
    weights[1] = (float)(draw() & 0xffffff) * 0x1p-24f;
    weights[0] = (float)(1.0 - (double)weights[1]);
    kernels->mix_f32(dst.data + at, other.data, (size_t)n, weights[0], weights[1]);
    for (int i = 0; i < n; i++) {
        float x, y, got, expected;
        memcpy(&x, other.data + (size_t)i * 4, 4);
        memcpy(&y, dst.before + at + (size_t)i * 4, 4);
        memcpy(&got, dst.data + at + (size_t)i * 4, 4);
        expected = mix_one(x, y, weights[0], weights[1]);
        /* Of two NaNs either may be the result. */
        if (memcmp(&got, &expected, 4) != 0 && !(isnan(got) && isnan(expected)))
            differ("mix_f32", kernels->name, n, i * 4, (int)got, (int)expected);
    }
    field_check(&dst, "mix_f32");
    field_free(&dst);
    fenced_free(&other);
}

static void check_to_f32(const struct pst__kernels *kernels, int n)
{
    for (int from = PST_INTEGER_U8; from <= PST_INTEGER_I64; from++) {
        int size = integers[from].size;
        size_t at = (size_t)between(0, 70);
        struct fenced src;
        struct field dst;
        fenced_new(&src, (size_t)(n * size), draw() % 4 != 0);
        field_new(&dst, at + (size_t)n * 4 + 70);
        field_allow(&dst, at, (size_t)n * 4);
        kernels->to_f32(dst.data + at, src.data, (size_t)n, (enum pst__integer)from);
        for (int i = 0; i < n; i++) {
            float got, expected = (float)integer_at(src.data + i * size, from);
            memcpy(&got, dst.data + at + (size_t)i * 4, sizeof got);
            if (got != expected)
                differ("to_f32", kernels->name, n, i, (int)got, (int)expected);
        }
        field_check(&dst, "to_f32");
        field_free(&dst);
        fenced_free(&src);
    }
}

static float as_f32(uint16_t half, int is_f16)
{
    return is_f16 ? pst__f32_from_f16(half) : pst__f32_from_bf16(half);
}

static void check_halves_of(const struct pst__kernels *kernels, int n, int is_f16, int is_back)
{
    size_t from = is_back ? 4 : 2, to = 6 - from, at = (size_t)between(0, 70);
    enum pst__half half = is_f16 ? PST_HALF_F16 : PST_HALF_BF16;
    struct fenced src;
    struct field dst;
    fenced_new(&src, (size_t)n * from, 1);
    field_new(&dst, at + (size_t)n * to + 70);
    field_allow(&dst, at, (size_t)n * to);
    /* Any bits; for the way back also numbers around those of 16 bits, and halfway between two. */
    for (int i = 0; is_back && i < n; i++) {
        uint32_t bits = draw();
        if (draw() % 2)
            bits =
                pst__f32_bits(as_f32((uint16_t)draw(), is_f16)) + (uint32_t)between(-2, 2) * 0x1000;
        memcpy(src.data + (size_t)i * 4, &bits, 4);
    }
    if (is_back)
        kernels->f32_to_half(dst.data + at, src.data, (size_t)n, half);
    else
        kernels->half_to_f32(dst.data + at, src.data, (size_t)n, half);
    for (int i = 0; i < n; i++) {
        uint32_t x = 0, got = 0, expected;
        memcpy(&x, src.data + (size_t)i * from, from);
        memcpy(&got, dst.data + at + (size_t)i * to, to);
        float wide = pst__f32_of_bits(x);
        expected = !is_back ? pst__f32_bits(as_f32((uint16_t)x, is_f16))
                   : is_f16 ? pst__f16_from_f32(wide)
                            : pst__bf16_from_f32(wide);
        if (got != expected)
            differ(is_back ? "f32_to_half" : "half_to_f32", kernels->name, n, i, (int)got,
                   (int)expected);
    }
    field_check(&dst, "halves");
    field_free(&dst);
    fenced_free(&src);
}

static void check_halves(const struct pst__kernels *kernels, int n)
{
    for (int i = 0; i < 4; i++)
        check_halves_of(kernels, n, i & 1, i >> 1);
}

#endif
