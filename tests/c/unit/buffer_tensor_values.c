/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/random.h>
#include <penstock/tensor.h>

#include <math.h>

#include "base/half.h"
#include "base/mem.h"
#include "base/rng.h"
#include "check.h"

/* Casts, text and random numbers: what the elements are. */

static double half_value(int e_bits, int m_bits, uint16_t half)
{
    int e = half >> m_bits & ((1 << e_bits) - 1), m = half & ((1 << m_bits) - 1);
    int bias = (1 << (e_bits - 1)) - 1;
    double value =
        e == 0 ? ldexp(m, 1 - bias - m_bits) : ldexp((1 << m_bits) + m, e - bias - m_bits);
    if (e == (1 << e_bits) - 1)
        value = m ? NAN : INFINITY;
    return half & 0x8000 ? -value : value;
}

static void check_rounding(uint16_t (*round)(float), uint16_t half, double low, double high)
{
    /* From one half's value to the next: the middle goes to the even one, its neighbours to the
     * near one. high may be the first power of two beyond the largest, which is infinity. */
    float middle = (float)((low + high) / 2);
    CHECK((double)middle == (low + high) / 2);
    CHECK_INT(round((float)low), half);
    CHECK_INT(round(middle), half & 1 ? half + 1 : half);
    CHECK_INT(round(nextafterf(middle, 0)), half);
    CHECK_INT(round(nextafterf(middle, INFINITY)), half + 1);
    CHECK_INT(round(-middle), (half & 1 ? half + 1 : half) | 0x8000);
}

static void halves(void)
{
    for (int i = 0; i < 0x10000; i++) {
        uint16_t half = (uint16_t)i;
        double value = half_value(5, 10, half);
        if (isnan(value)) {
            CHECK(isnan(pst__f32_from_f16(half)));
            CHECK(isnan(pst__f32_from_f16(pst__f16_from_f32(pst__f32_from_f16(half)))));
        } else {
            CHECK(pst__f32_bits(pst__f32_from_f16(half)) == pst__f32_bits((float)value));
            CHECK_INT(pst__f16_from_f32((float)value), half);
        }
        double wide = half_value(8, 7, half);
        if (isnan(wide)) {
            CHECK_INT(pst__bf16_from_f32(pst__f32_from_bf16(half)), 0x7fc0);
        } else {
            CHECK(pst__f32_bits(pst__f32_from_bf16(half)) == pst__f32_bits((float)wide));
            CHECK_INT(pst__bf16_from_f32((float)wide), half);
        }
        if (i < 0x7c00)
            check_rounding(pst__f16_from_f32, half, value,
                           i + 1 < 0x7c00 ? half_value(5, 10, half + 1) : 65536.0);
        /* Below, the middle of two bf16 is no float; at the top, the middle to 2^128 is. */
        if (i >= 0x80 && i < 0x7f80)
            check_rounding(pst__bf16_from_f32, half, wide,
                           i + 1 < 0x7f80 ? half_value(8, 7, half + 1) : 0x1p128);
    }
    CHECK_INT(pst__f16_from_f32(-0.0f), 0x8000);
    CHECK_INT(pst__f16_from_f32(0x1p-149f), 0);
    CHECK_INT(pst__f16_from_f32(3.4e38f), 0x7c00);
    CHECK_INT(pst__f16_from_f32(-INFINITY), 0xfc00);
}

static int64_t integer_at(const struct pst_tensor *tensor, int64_t i)
{
    switch (tensor->dtype) {
    case PST_U8:
    case PST_BOOL:
        return ((uint8_t *)tensor->data)[i];
    case PST_I8:
        return ((int8_t *)tensor->data)[i];
    case PST_I16:
        return ((int16_t *)tensor->data)[i];
    case PST_U16:
        return ((uint16_t *)tensor->data)[i];
    case PST_U32:
        return ((uint32_t *)tensor->data)[i];
    case PST_I32:
        return ((int32_t *)tensor->data)[i];
    default:
        return ((int64_t *)tensor->data)[i];
    }
}

static void check_integers(const struct pst_tensor *from, int dtype, const int64_t *expected)
{
    struct pst_tensor out;
    CHECK_INT(pst_tensor_cast(&out, from, dtype, NULL), PST_OK);
    for (int64_t i = 0; i < pst_tensor_numel(from); i++)
        CHECK_INT(integer_at(&out, i), expected[i]);
    pst_tensor_reset(&out);
}

static void floats_to_integers(void)
{
    static const double values[] = {NAN,  INFINITY, -INFINITY,    3000000001.0, -3000000001.0,
                                    1e19, 300.9,    -1.5,         -129.0,       -0.9,
                                    0.5,  -0.0,     2147483647.5, -2147483648.9};
    static const int64_t u8[] = {0, 0, 0, 1, 255, 0, 44, 255, 127, 0, 0, 0, 255, 0};
    static const int64_t i8[] = {0, 0, 0, 0, 0, 0, 44, -1, 127, 0, 0, 0, -1, 0};
    static const int64_t i16[] = {0, 0, 0, 0, 0, 0, 300, -1, -129, 0, 0, 0, -1, 0};
    static const int64_t least = INT32_MIN,
                         i32[] = {least, least, least, least, least, least,     300,
                                  -1,    -129,  0,     0,     0,     INT32_MAX, INT32_MIN};
    static const int64_t i64[] = {INT64_MIN, INT64_MIN, INT64_MIN,  3000000001, -3000000001,
                                  INT64_MIN, 300,       -1,         -129,       0,
                                  0,         0,         2147483647, -2147483648};
    static const int64_t u16[] = {0, 0, 0, 0, 0, 0, 300, 65535, 65407, 0, 0, 0, 65535, 0};
    static const int64_t u32[] = {0, 0, 0, 3000000001, 1294967295, 0, 300, 4294967295, 4294967167,
                                  0, 0, 0, 2147483647, 2147483648};
    static const int64_t u64[] = {
        INT64_MIN,  0,          INT64_MIN, 3000000001, -3000000001, (int64_t)10000000000000000000u,
        300,        -1,         -129,      0,          0,           0,
        2147483647, -2147483648};
    static const int64_t truth[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1};
    struct pst_buffer *buffer;
    struct pst_tensor from;
    CHECK_INT(pst_buffer_wrap_const(&buffer, values, sizeof values, NULL, NULL, NULL), PST_OK);
    CHECK_INT(pst_tensor_from_buffer(&from, buffer, 0, PST_F64, 1, (int64_t[]){14}, NULL, NULL),
              PST_OK);
    pst_buffer_unref(buffer);
    check_integers(&from, PST_U8, u8);
    check_integers(&from, PST_I8, i8);
    check_integers(&from, PST_I16, i16);
    check_integers(&from, PST_I32, i32);
    check_integers(&from, PST_I64, i64);
    check_integers(&from, PST_U16, u16);
    check_integers(&from, PST_U32, u32);
    check_integers(&from, PST_U64, u64);
    check_integers(&from, PST_BOOL, truth);
    pst_tensor_reset(&from);
}

/* Every pair of dtypes on a turned, unaligned view with a negative stride: the cast of the view is
 * the cast of its contiguous copy, and a value that both dtypes have comes back. */
static void casts_of_views(void)
{
    int64_t blocks = pst__mem_blocks();
    for (int from = 1; from <= PST_LAST_DTYPE; from++)
        for (int to = 1; to <= PST_LAST_DTYPE; to++) {
            static uint8_t memory[8 * 30 * 40 + 1];
            struct pst_buffer *buffer;
            struct pst_tensor small, base, turned, flipped, dense, a, b, back;
            CHECK_INT(pst_tensor_empty(&small, PST_U8, 2, (int64_t[]){30, 40}, NULL), PST_OK);
            for (int i = 0; i < 1200; i++)
                ((uint8_t *)small.data)[i] =
                    (uint8_t)(i % 101 % (from == PST_BOOL || to == PST_BOOL ? 2 : 101));
            CHECK_INT(pst_tensor_cast(&a, &small, from, NULL), PST_OK);
            pst_buffer_wrap(&buffer, memory, sizeof memory, NULL, NULL, NULL);
            CHECK_INT(pst_tensor_from_buffer(&base, buffer, 1, from, 2, a.shape, NULL, NULL), 0);
            CHECK_INT(pst_tensor_copy(&base, &a, NULL), PST_OK);
            pst_buffer_unref(buffer);
            pst_tensor_reset(&a);
            pst_tensor_transpose(&turned, &base, 0, 1, NULL);
            pst_tensor_slice(&flipped, &turned, 1, INT64_MAX, INT64_MIN, -2, NULL);
            CHECK_INT(flipped.shape[1], 15);
            CHECK_INT(pst_tensor_contiguous(&dense, &flipped, NULL), PST_OK);
            CHECK_INT(pst_tensor_cast(&a, &flipped, to, NULL), PST_OK);
            CHECK_INT(pst_tensor_cast(&b, &dense, to, NULL), PST_OK);
            CHECK(pst_tensor_equal(&a, &b));
            CHECK_INT(pst_tensor_cast(&back, &a, from, NULL), PST_OK);
            CHECK(pst_tensor_equal(&back, &dense));
            struct pst_tensor *all[] = {&small, &base, &turned, &flipped, &dense, &a, &b, &back};
            for (size_t i = 0; i < sizeof all / sizeof *all; i++)
                pst_tensor_reset(all[i]);
        }
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void check_text(const struct pst_tensor *tensor, const char *expected)
{
    static char text[4096];
    CHECK_INT(pst_tensor_print(tensor, NULL, 0), (int64_t)strlen(expected));
    for (size_t size = 1; size < sizeof text; size = size * 3 / 2 + 1) {
        memset(text, 'x', sizeof text);
        CHECK_INT(pst_tensor_print(tensor, text, size), (int64_t)strlen(expected));
        CHECK(strlen(text) < size && memcmp(text, expected, strlen(text)) == 0);
        CHECK_INT(text[size], 'x');
    }
    CHECK_STR(text, expected);
}

static void check_print(int dtype, int ndim, const int64_t *shape, const double *values,
                        const char *expected)
{
    struct pst_tensor wide, tensor;
    CHECK_INT(pst_tensor_zeros(&wide, PST_F64, ndim, shape, NULL), PST_OK);
    if (values)
        memcpy(wide.data, values, (size_t)pst_tensor_bytes(&wide));
    CHECK_INT(pst_tensor_cast(&tensor, &wide, dtype, NULL), PST_OK);
    check_text(&tensor, expected);
    pst_tensor_reset(&tensor);
    pst_tensor_reset(&wide);
}

static void texts(void)
{
    static const double some[] = {1, -20, 0.1, NAN, -INFINITY, 1e300};
    struct pst_tensor none = {0};
    check_print(PST_I64, 0, NULL, some + 1, "tensor(-20, dtype=i64)");
    check_print(PST_I8, 2, (int64_t[]){1, 2}, some, "tensor([[  1, -20]], dtype=i8)");
    check_print(PST_F64, 2, (int64_t[]){2, 3}, some,
                "tensor([[   1.0,  -20.0,    0.1],\n        [   nan,   -inf, 1e+300]], dtype=f64)");
    check_print(PST_F64, 1, (int64_t[]){4}, (double[]){-1.25e-7, 1e16, 9e15, 1.5e-4},
                "tensor([         -1.25e-07,              1e+16, 9000000000000000.0,\n"
                "                   0.00015], dtype=f64)");
    check_print(PST_F32, 1, (int64_t[]){3}, some, "tensor([  1.0, -20.0,   0.1], dtype=f32)");
    check_print(PST_F16, 1, (int64_t[]){3}, some, "tensor([  1.0, -20.0,   0.1], dtype=f16)");
    check_print(PST_BF16, 1, (int64_t[]){3}, some, "tensor([  1.0, -20.0,   0.1], dtype=bf16)");
    check_print(PST_BOOL, 1, (int64_t[]){2}, (double[]){0, 1},
                "tensor([False,  True], dtype=bool)");
    check_print(PST_U16, 1, (int64_t[]){2}, (double[]){7, 65535},
                "tensor([    7, 65535], dtype=u16)");
    check_print(PST_U32, 1, (int64_t[]){1}, (double[]){4294967295},
                "tensor([4294967295], dtype=u32)");
    check_print(PST_U64, 1, (int64_t[]){2}, (double[]){0, 0x1p64 - 2048},
                "tensor([                   0, 18446744073709549568], dtype=u64)");
    check_print(PST_U8, 1, (int64_t[]){0}, NULL, "tensor([], dtype=u8)");
    check_print(PST_U8, 2, (int64_t[]){2, 0}, NULL, "tensor([], shape=(2, 0), dtype=u8)");
    check_print(PST_U8, 3, (int64_t[]){2, 1, 1}, NULL,
                "tensor([[[0]],\n\n        [[0]]], dtype=u8)");
    check_print(PST_U8, 1, (int64_t[]){1001}, NULL, "tensor([0, 0, 0, ..., 0, 0, 0], dtype=u8)");
    check_print(PST_U8, 2, (int64_t[]){7, 1000}, NULL,
                "tensor([[0, 0, 0, ..., 0, 0, 0],\n        [0, 0, 0, ..., 0, 0, 0],\n"
                "        [0, 0, 0, ..., 0, 0, 0],\n        ...,\n"
                "        [0, 0, 0, ..., 0, 0, 0],\n        [0, 0, 0, ..., 0, 0, 0],\n"
                "        [0, 0, 0, ..., 0, 0, 0]], dtype=u8)");
    check_print(PST_U8, 1, (int64_t[]){26}, NULL,
                "tensor([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,\n"
                "        0, 0, 0], dtype=u8)");
    check_text(&none, "tensor([])");
}

static void generators(void)
{
    struct pst_generator *generator;
    struct pst_tensor tensor, again;
    int64_t blocks = pst__mem_blocks(), n = 5;
    CHECK_INT(pst_generator_new(&generator, (1ull << 32) + 5489, NULL), PST_OK);
    /* The first word of the authors' own init_genrand(5489). */
    CHECK_INT(pst_generator_word(generator), 3499211612u);
    /* torch.Generator().manual_seed(7): torch.rand(3), then randint(1000, (3,)), randperm(8) */
    pst_generator_seed(generator, 7);
    CHECK_INT(pst_tensor_rand(&tensor, generator, PST_F32, 1, (int64_t[]){3}, NULL), PST_OK);
    static const float uniform[] = {0.5349225401878357f, 0.19880318641662598f, 0.6592116951942444f};
    CHECK(memcmp(tensor.data, uniform, sizeof uniform) == 0);
    pst_tensor_reset(&tensor);

    for (int seed = 0; seed < 50; seed++) {
        uint64_t seen = 0;
        pst_generator_seed(generator, (uint64_t)seed);
        CHECK_INT(pst_tensor_randperm(&tensor, generator, 60, NULL), PST_OK);
        for (int i = 0; i < 60; i++)
            seen |= 1ull << integer_at(&tensor, i);
        CHECK_INT(seen, (1ull << 60) - 1);
        pst_tensor_reset(&tensor);
        CHECK_INT(pst_tensor_randint(&tensor, generator, -3, 4, PST_I8, 1, &n, NULL), PST_OK);
        for (int i = 0; i < 5; i++)
            CHECK(integer_at(&tensor, i) >= -3 && integer_at(&tensor, i) < 4);
        pst_tensor_reset(&tensor);
    }
    CHECK_INT(pst_tensor_randperm(&tensor, generator, 214748364, NULL), PST_ELIMIT);
    CHECK_INT(pst_tensor_randperm(&tensor, generator, -1, NULL), PST_EINVAL);
    CHECK_INT(pst_tensor_randint(&tensor, generator, 0, 257, PST_U8, 1, &n, NULL), PST_EINVAL);
    CHECK_INT(pst_tensor_randint(&tensor, generator, -1, 3, PST_U8, 1, &n, NULL), PST_EINVAL);
    CHECK_INT(pst_tensor_randint(&tensor, generator, 3, 3, PST_U8, 1, &n, NULL), PST_EINVAL);
    CHECK_INT(pst_tensor_randint(&tensor, generator, 0, 2, PST_F32, 1, &n, NULL), PST_EINVAL);
    CHECK_INT(pst_tensor_rand(&tensor, generator, PST_I64, 1, &n, NULL), PST_EINVAL);
    CHECK_INT(pst_tensor_randn(&tensor, generator, PST_BOOL, 1, &n, NULL), PST_EINVAL);

    /* A part of a stream is the stream's part. */
    pst_generator_seed(generator, 3);
    CHECK_INT(pst_tensor_rand(&tensor, generator, PST_F64, 1, (int64_t[]){2000}, NULL), PST_OK);
    pst_generator_seed(generator, 3);
    for (int64_t done = 0, size = 1; done + size <= 2000; done += size, size = size * 2 + 1) {
        CHECK_INT(pst_tensor_rand(&again, generator, PST_F64, 1, &size, NULL), PST_OK);
        CHECK(memcmp(again.data, (double *)tensor.data + done, (size_t)size * 8) == 0);
        pst_tensor_reset(&again);
    }
    pst_tensor_reset(&tensor);
    pst_generator_free(generator);
    pst_generator_free(NULL);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void normal_numbers(void)
{
    /* Of seed 42, by Python's mathematics from the words of its own generator. */
    static const double first[] = {0.3194693959671807, 0.13329417249815906, 0.4858703355940474,
                                   0.16662405876075925, -1.2092404188073416};
    struct pst_generator *generator;
    struct pst_tensor tensor;
    int64_t n = 1000001;
    double sums[5] = {0};
    CHECK_INT(pst_generator_new(&generator, 42, NULL), PST_OK);
    CHECK_INT(pst_tensor_randn(&tensor, generator, PST_F64, 1, (int64_t[]){5}, NULL), PST_OK);
    for (int i = 0; i < 5; i++)
        CHECK(fabs(((double *)tensor.data)[i] - first[i]) < 1e-14);
    pst_tensor_reset(&tensor);
    CHECK_INT(pst_tensor_randn(&tensor, generator, PST_F32, 1, &n, NULL), PST_OK);
    const float *x = tensor.data;
    for (int64_t i = 0; i < n; i++) {
        double power = 1, value = (double)x[i];
        for (int k = 1; k < 5; k++)
            sums[k] += power *= value;
        sums[0] += value < -1.959963984540054 || value > 1.959963984540054;
    }
    /* Five standard errors of each. */
    CHECK(fabs(sums[1] / (double)n) < 5e-3);
    CHECK(fabs(sums[2] / (double)n - 1) < 5 * 1.5e-3);
    CHECK(fabs(sums[3] / (double)n) < 5 * 3.9e-3);
    CHECK(fabs(sums[4] / (double)n - 3) < 5 * 9.8e-3);
    CHECK(fabs(sums[0] / (double)n - 0.05) < 5 * 2.2e-4);
    pst_tensor_reset(&tensor);
    pst_generator_free(generator);
}

CHECK_MAIN(CASE(halves), CASE(floats_to_integers), CASE(casts_of_views), CASE(texts),
           CASE(generators), CASE(normal_numbers))
