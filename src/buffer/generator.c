/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/random.h>

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/status.h"

/* torch keeps its first way of shuffling below a twentieth of the 32-bit numbers. */
#define MAX_PERMUTATION (UINT32_MAX / 20)
#define WIDE_RANGE (1ull << 28) /* from here on torch takes 64 bits for an integer */
#define BLOCK 256

struct pst_generator {
    struct pst__mt mt;
};

int pst_generator_new(struct pst_generator **out, uint64_t seed, struct pst_error *err)
{
    PST_REQUIRE(out, err, "pst_generator_new: out is NULL");
    *out = pst__alloc(sizeof **out, PST_MEM_HEAP);
    if (!*out)
        return pst__fail(err, PST_ENOMEM, "no memory for a generator");
    pst_generator_seed(*out, seed);
    return PST_OK;
}

void pst_generator_free(struct pst_generator *generator)
{
    pst__free(generator);
}

void pst_generator_seed(struct pst_generator *generator, uint64_t seed)
{
    pst__mt_seed(&generator->mt, (uint32_t)seed);
}

uint32_t pst_generator_word(struct pst_generator *generator)
{
    uint32_t word;
    pst__mt_fill(&generator->mt, &word, 1);
    return word;
}

static void fill_wide(struct pst_generator *generator, uint64_t *out, int64_t n)
{
    uint32_t words[2 * BLOCK];
    pst__mt_fill(&generator->mt, words, 2 * (size_t)n);
    for (int64_t i = 0; i < n; i++)
        out[i] = (uint64_t)words[2 * i] << 32 | words[2 * i + 1];
}

static int is_float(int dtype)
{
    return dtype == PST_F16 || dtype == PST_BF16 || dtype == PST_F32 || dtype == PST_F64;
}

/* Element i of a fresh tensor, which is aligned and contiguous. */
static void put_float(void *data, int dtype, int64_t i, double value)
{
    if (dtype == PST_F64)
        ((double *)data)[i] = value;
    else if (dtype == PST_F32)
        ((float *)data)[i] = (float)value;
    else if (dtype == PST_F16)
        ((uint16_t *)data)[i] = pst__f16_from_f32((float)value);
    else
        ((uint16_t *)data)[i] = pst__bf16_from_f32((float)value);
}

static void put_integer(void *data, int dtype, int64_t i, int64_t value)
{
    if (dtype == PST_I64)
        ((int64_t *)data)[i] = value;
    else if (dtype == PST_I32)
        ((int32_t *)data)[i] = (int32_t)value;
    else if (dtype == PST_I16)
        ((int16_t *)data)[i] = (int16_t)value;
    else if (dtype == PST_I8)
        ((int8_t *)data)[i] = (int8_t)value;
    else
        ((uint8_t *)data)[i] = (uint8_t)value;
}

/* Below 1 in 24 bits, an element may be 1 in f16 and bf16; torch makes 0 of it. */
static double keep_below_one(double value, int dtype)
{
    double first = dtype == PST_F16 ? 1 - 0x1p-12 : dtype == PST_BF16 ? 1 - 0x1p-9 : 1;
    return value >= first ? 0 : value;
}

static int64_t block_of(int64_t left)
{
    return left < BLOCK ? left : BLOCK;
}

int pst_tensor_rand(struct pst_tensor *out, struct pst_generator *generator, int dtype, int ndim,
                    const int64_t *shape, struct pst_error *err)
{
    uint32_t words[BLOCK];
    uint64_t wide[BLOCK];
    *out = (struct pst_tensor){0};
    PST_REQUIRE(generator, err, "generator is NULL");
    PST_REQUIRE(is_float(dtype), err, "rand makes floats, not %s", pst_dtype_name(dtype));
    int rc = pst_tensor_empty(out, dtype, ndim, shape, err);
    if (rc < 0)
        return rc;
    int64_t n = pst_tensor_numel(out);
    for (int64_t done = 0, some; done < n; done += some) {
        some = block_of(n - done);
        if (dtype == PST_F64) {
            fill_wide(generator, wide, some);
            for (int64_t i = 0; i < some; i++)
                put_float(out->data, dtype, done + i,
                          (double)(wide[i] & ((1ull << 53) - 1)) * 0x1p-53);
        } else {
            pst__mt_fill(&generator->mt, words, (size_t)some);
            for (int64_t i = 0; i < some; i++)
                put_float(out->data, dtype, done + i,
                          keep_below_one((double)(words[i] & 0xffffffu) * 0x1p-24, dtype));
        }
    }
    return PST_OK;
}

/* The values of an integer dtype; 0 for another dtype. */
static int integer_bounds(int dtype, int64_t *least, int64_t *most)
{
    switch (dtype) {
    case PST_U8:
        *least = 0, *most = UINT8_MAX;
        return 1;
    case PST_I8:
        *least = INT8_MIN, *most = INT8_MAX;
        return 1;
    case PST_I16:
        *least = INT16_MIN, *most = INT16_MAX;
        return 1;
    case PST_I32:
        *least = INT32_MIN, *most = INT32_MAX;
        return 1;
    case PST_I64:
        *least = INT64_MIN, *most = INT64_MAX;
        return 1;
    default:
        return 0;
    }
}

int pst_tensor_randint(struct pst_tensor *out, struct pst_generator *generator, int64_t low,
                       int64_t high, int dtype, int ndim, const int64_t *shape,
                       struct pst_error *err)
{
    uint32_t words[BLOCK];
    uint64_t wide[BLOCK];
    int64_t least, most;
    *out = (struct pst_tensor){0};
    PST_REQUIRE(generator, err, "generator is NULL");
    PST_REQUIRE(integer_bounds(dtype, &least, &most), err, "randint makes integers, not %s",
                pst_dtype_name(dtype));
    PST_REQUIRE(low < high, err, "randint from %lld to %lld: nothing is between them",
                (long long)low, (long long)high);
    PST_REQUIRE(low >= least && high - 1 <= most, err, "randint from %lld to %lld does not fit %s",
                (long long)low, (long long)high, pst_dtype_name(dtype));
    int rc = pst_tensor_empty(out, dtype, ndim, shape, err);
    if (rc < 0)
        return rc;
    uint64_t range = (uint64_t)high - (uint64_t)low;
    int64_t n = pst_tensor_numel(out);
    for (int64_t done = 0, some; done < n; done += some) {
        some = block_of(n - done);
        if (range >= WIDE_RANGE)
            fill_wide(generator, wide, some);
        else
            pst__mt_fill(&generator->mt, words, (size_t)some);
        for (int64_t i = 0; i < some; i++) {
            uint64_t draw = range >= WIDE_RANGE ? wide[i] % range : words[i] % (uint32_t)range;
            put_integer(out->data, dtype, done + i, (int64_t)((uint64_t)low + draw));
        }
    }
    return PST_OK;
}

int pst_tensor_randperm(struct pst_tensor *out, struct pst_generator *generator, int64_t n,
                        struct pst_error *err)
{
    uint32_t words[BLOCK];
    *out = (struct pst_tensor){0};
    PST_REQUIRE(generator, err, "generator is NULL");
    PST_REQUIRE(n >= 0, err, "a permutation of %lld numbers", (long long)n);
    if (n >= MAX_PERMUTATION)
        return pst__fail(err, PST_ELIMIT, "a permutation of %lld numbers: the limit is %u",
                         (long long)n, MAX_PERMUTATION - 1);
    int rc = pst_tensor_empty(out, PST_I64, 1, &n, err);
    if (rc < 0)
        return rc;
    int64_t *data = out->data;
    for (int64_t i = 0; i < n; i++)
        data[i] = i;
    for (int64_t done = 0, some; done < n - 1; done += some) {
        some = block_of(n - 1 - done);
        pst__mt_fill(&generator->mt, words, (size_t)some);
        for (int64_t k = 0; k < some; k++) {
            int64_t i = done + k, other = i + (int64_t)(words[k] % (uint32_t)(n - i));
            int64_t kept = data[i];
            data[i] = data[other];
            data[other] = kept;
        }
    }
    return PST_OK;
}

int pst_tensor_randn(struct pst_tensor *out, struct pst_generator *generator, int dtype, int ndim,
                     const int64_t *shape, struct pst_error *err)
{
    static const double two_pi = 6.283185307179586;
    *out = (struct pst_tensor){0};
    PST_REQUIRE(generator, err, "generator is NULL");
    PST_REQUIRE(is_float(dtype), err, "randn makes floats, not %s", pst_dtype_name(dtype));
    int rc = pst_tensor_empty(out, dtype, ndim, shape, err);
    if (rc < 0)
        return rc;
    int64_t n = pst_tensor_numel(out);
    for (int64_t i = 0; i < n; i += 2) {
        uint64_t draws[2];
        fill_wide(generator, draws, 2);
        double u = (double)(draws[0] & ((1ull << 53) - 1)) * 0x1p-53;
        double v = (double)(draws[1] & ((1ull << 53) - 1)) * 0x1p-53;
        double radius = sqrt(-2 * log(1 - u));
        put_float(out->data, dtype, i, radius * cos(two_pi * v));
        if (i + 1 < n)
            put_float(out->data, dtype, i + 1, radius * sin(two_pi * v));
    }
    return PST_OK;
}
