/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_KERNELS_CHECK_WIDEN_H
#define PST_TESTS_KERNELS_CHECK_WIDEN_H

#include "kernels/check_memory.h"
#include "kernels/kernels.h"

static const struct {
    int size, is_signed;
} integers[] = {[PST_INTEGER_U8] = {1, 0},  [PST_INTEGER_I8] = {1, 1},  [PST_INTEGER_U16] = {2, 0},
                [PST_INTEGER_I16] = {2, 1}, [PST_INTEGER_U32] = {4, 0}, [PST_INTEGER_I32] = {4, 1},
                [PST_INTEGER_I64] = {8, 1}};

/* Byte by byte, with the sign of the last one. */
static int64_t integer_at(const uint8_t *p, int from)
{
    int size = integers[from].size;
    uint64_t value = integers[from].is_signed && p[size - 1] & 0x80 ? UINT64_MAX : 0;
    for (int i = size; i-- > 0;)
        value = value << 8 | p[i];
    return (int64_t)value;
}

static void put_integer(uint8_t *p, int size, int64_t value)
{
    for (int i = 0; i < size; i++)
        p[i] = (uint8_t)((uint64_t)value >> (8 * i));
}

/* Random bits fit in int32 in half of the cases at most; here none is too large, or one alone. */
static void tame(uint8_t *src, int n, int from)
{
    int size = integers[from].size, loud = draw() % 2 ? between(0, n - 1) : -1;
    for (int i = 0; i < n; i++) {
        int64_t value = integers[from].is_signed ? (int32_t)draw() : (int32_t)(draw() >> 1);
        if (draw() % 8 == 0)
            value = draw() & 1 && integers[from].is_signed ? INT32_MIN : INT32_MAX;
        if (i == loud && from == PST_INTEGER_I64)
            value = draw() & 1 ? (int64_t)INT32_MAX + 1 : (int64_t)INT32_MIN - 1;
        if (i == loud && from == PST_INTEGER_U32)
            value = (int64_t)INT32_MAX + 1 + draw() / 2;
        put_integer(src + i * size, size, value);
    }
}

static void check_widened(const struct field *dst, size_t at, const uint8_t *src, int n, int from,
                          int item, const char *name)
{
    uint8_t expected[8];
    for (int i = 0; i < n; i++) {
        put_integer(expected, item, integer_at(src + i * integers[from].size, from));
        for (int b = 0; b < item; b++)
            if (dst->data[at + (size_t)(i * item + b)] != expected[b])
                differ("widen", name, n, i * item + b, dst->data[at + (size_t)(i * item + b)],
                       expected[b]);
    }
}

static void check_widen_from(const struct pst__kernels *kernels, int n, int from, int is_narrow)
{
    int with_y = between(0, 1);
    int size = integers[from].size, item = is_narrow ? 4 : 8, m = n + with_y;
    struct fenced src;
    struct field x, y;
    fenced_new(&src, (size_t)(m * size), draw() % 4 != 0);
    if (size >= 4 && draw() % 4 != 0)
        tame(src.data, m, from);
    size_t at_x = (size_t)between(0, 70), at_y = (size_t)between(0, 70);
    field_new(&x, at_x + (size_t)(n * item) + 70);
    field_new(&y, at_y + (size_t)(n * item) + 70);
    field_allow(&x, at_x, (size_t)(n * item));
    if (with_y)
        field_allow(&y, at_y, (size_t)(n * item));
    int got = kernels->widen(x.data + at_x, with_y ? y.data + at_y : NULL, src.data, (size_t)n,
                             (enum pst__integer)from, is_narrow);
    int is_cut = 0;
    for (int i = 0; i < m; i++) {
        int64_t value = integer_at(src.data + i * size, from);
        is_cut |= is_narrow && (value < INT32_MIN || value > INT32_MAX);
    }
    if (got != is_cut)
        differ("widen says", kernels->name, n, from, got, is_cut);
    check_widened(&x, at_x, src.data, n, from, item, kernels->name);
    if (with_y)
        check_widened(&y, at_y, src.data + size, n, from, item, kernels->name);
    field_check(&x, "widen");
    field_check(&y, "widen");
    field_free(&x);
    field_free(&y);
    fenced_free(&src);
}

static void check_widen(const struct pst__kernels *kernels, int n)
{
    for (int from = PST_INTEGER_U8; from <= PST_INTEGER_I64; from++)
        for (int is_narrow = 0; is_narrow < 2; is_narrow++)
            check_widen_from(kernels, n, from, is_narrow);
}

#endif
