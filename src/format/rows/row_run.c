/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/mem.h"
#include "buffer/cast.h"
#include "format/rows/row_plan.h"

/* Elements go through all operations a chunk at a time, which stays in the first cache. */
#define MOST_ITEM 8
struct room {
    uint8_t a[PST__ROW_CHUNK * MOST_ITEM], b[PST__ROW_CHUNK * MOST_ITEM];
    float wide[PST__ROW_CHUNK];
} __attribute__((aligned(PST_ALIGN)));

/* The kernels' names for integers; -1: none. */
static int integer_of(int dtype)
{
    switch (dtype) {
    case PST_U8:
        return PST_INTEGER_U8;
    case PST_I8:
        return PST_INTEGER_I8;
    case PST_U16:
        return PST_INTEGER_U16;
    case PST_I16:
        return PST_INTEGER_I16;
    case PST_U32:
        return PST_INTEGER_U32;
    case PST_I32:
        return PST_INTEGER_I32;
    case PST_I64:
        return PST_INTEGER_I64;
    default:
        return -1;
    }
}

static int is_half(int dtype)
{
    return dtype == PST_F16 || dtype == PST_BF16;
}

static enum pst__half half_of(int dtype)
{
    return dtype == PST_F16 ? PST_HALF_F16 : PST_HALF_BF16;
}

static void cast(const struct pst__kernels *kernels, uint8_t *to, int to_dtype, const uint8_t *from,
                 int from_dtype, size_t n)
{
    int integer = integer_of(from_dtype);
    if (to_dtype == PST_F32 && integer >= 0)
        kernels->to_f32(to, from, n, (enum pst__integer)integer);
    else if (to_dtype == PST_F32 && is_half(from_dtype))
        kernels->half_to_f32(to, from, n, half_of(from_dtype));
    else if (from_dtype == PST_F32 && is_half(to_dtype))
        kernels->f32_to_half(to, from, n, half_of(to_dtype));
    else
        pst__cast(to, to_dtype, from, (int64_t)pst_dtype_size(from_dtype), from_dtype, (int64_t)n);
}

/* In pieces that have one operand, or operands one behind the other. */
static void arith(const struct pst__kernels *kernels, const struct pst__row_op *op, uint8_t *to,
                  const uint8_t *from, int64_t at, size_t n)
{
    size_t item = op->dtype == PST_F64 ? sizeof(double) : sizeof(float);
    for (size_t done = 0, some; done < n; done += some) {
        int64_t j = at + (int64_t)done;
        int64_t k = op->is_spread ? j % op->n : j / op->inner % op->n;
        int64_t left = op->is_spread ? op->n - k : op->inner - j % op->inner;
        some = n - done < (uint64_t)left ? n - done : (size_t)left;
        if (op->dtype == PST_F64)
            kernels->arith_f64(to + done * item, from + done * item, some, op->arith,
                               (const double *)op->values + k, !op->is_spread);
        else
            kernels->arith_f32(to + done * item, from + done * item, some, op->arith,
                               (const float *)op->values + k, !op->is_spread);
    }
}

/* Of 16 bits: in float, and rounded. */
static void arith_narrow(const struct pst__kernels *kernels, const struct pst__row_op *op,
                         uint8_t *to, const uint8_t *from, int64_t at, size_t n, float *wide)
{
    uint8_t *floats = (uint8_t *)wide;
    cast(kernels, floats, PST_F32, from, op->dtype, n);
    arith(kernels, op, floats, floats, at, n);
    cast(kernels, to, op->dtype, floats, PST_F32, n);
}

static int last_cast(const struct pst__row_plan *plan, int first, int end)
{
    int last = first;
    for (int i = first; i < end; i++)
        if (plan->ops[i].is_cast)
            last = i;
    return last;
}

void pst__row_ops(const struct pst__row_plan *plan, int first, int end, const uint8_t *from,
                  int from_dtype, int64_t at, size_t n, uint8_t *to)
{
    struct room room;
    const uint8_t *now = from;
    int dtype = from_dtype, last = last_cast(plan, first, end);
    if (first == end)
        memcpy(to, from, n * pst_dtype_size(from_dtype));
    for (int i = first; i < end; i++) {
        const struct pst__row_op *op = &plan->ops[i];
        /* From the last cast on elements have the size of the result's. */
        uint8_t *next = i >= last ? to : now == room.a ? room.b : room.a;
        if (op->is_cast)
            cast(plan->kernels, next, op->dtype, now, dtype, n);
        else if (is_half(op->dtype))
            arith_narrow(plan->kernels, op, next, now, at, n, room.wide);
        else
            arith(plan->kernels, op, next, now, at, n);
        dtype = op->dtype;
        now = next;
    }
}

static void run_elements(const struct pst__row_plan *plan, const uint8_t *src, int64_t n,
                         uint8_t *dst)
{
    size_t in = pst_dtype_size(plan->in_dtype), out = pst_dtype_size(plan->out.dtype), some;
    for (size_t done = 0; done < (uint64_t)n; done += some) {
        some = (uint64_t)n - done < PST__ROW_CHUNK ? (uint64_t)n - done : PST__ROW_CHUNK;
        pst__row_ops(plan, 0, plan->n_ops, src + done * in, plan->in_dtype, (int64_t)done, some,
                     dst + done * out);
    }
}

/* --- bytes
 * ------------------------------------------------------------------------------------------- */

/* inner elements of one channel after the other. */
static void run_bytes(const struct pst__row_plan *plan, const uint8_t *src, int64_t n, uint8_t *dst)
{
    size_t item = pst_dtype_size(plan->out.dtype), table = 256 * item;
    int64_t channel = 0;
    for (int64_t done = 0; done < n; done += plan->inner) {
        const uint8_t *from = src + done;
        uint8_t *to = dst + (size_t)done * item;
        int some = (int)(n - done < plan->inner ? n - done : plan->inner);
        if (item == sizeof(float))
            plan->kernels->store_f32((float *)(void *)to, from, some, &plan->norms[channel], 0);
        else
            plan->kernels->store_u16(
                (uint16_t *)(void *)to, from, some,
                (const uint16_t *)(void *)(plan->tables + (size_t)channel * table), 0);
        channel = channel + 1 < plan->n_channels ? channel + 1 : 0;
    }
}

/* --- classes
 * ----------------------------------------------------------------------------------------- */

struct hot {
    const struct pst__row_plan *plan;
    const int64_t *classes; /* n of them, which are in range */
    int64_t n;
};

/* Elements [from, from + n) of the zeros and ones. */
static void ones(const struct hot *hot, int64_t from, int64_t n, uint8_t *to)
{
    const struct pst__row_plan *plan = hot->plan;
    size_t item = pst_dtype_size(plan->hot_dtype);
    uint8_t one[MOST_ITEM];
    pst__cast(one, plan->hot_dtype, (const uint8_t *)"\1", 1, PST_U8, 1);
    memset(to, 0, (size_t)n * item);
    for (int64_t i = from / plan->classes; i < hot->n; i++) {
        int64_t at = i * plan->classes + hot->classes[i] - from;
        if (i * plan->classes >= from + n)
            break;
        if (at >= 0 && at < n)
            memcpy(to + (size_t)at * item, one, item);
    }
}

/* `at`: how many classes came before. */
static void run_hot(const struct hot *hot, int64_t at, uint8_t *dst)
{
    const struct pst__row_plan *plan = hot->plan;
    int64_t n = hot->n * plan->classes, some;
    size_t item = pst_dtype_size(plan->out.dtype);
    uint8_t zeros[PST__ROW_CHUNK * MOST_ITEM];
    if (plan->n_before == plan->n_ops) {
        ones(hot, 0, n, dst);
        return;
    }
    for (int64_t done = 0; done < n; done += some) {
        some = n - done < PST__ROW_CHUNK ? n - done : PST__ROW_CHUNK;
        ones(hot, done, some, zeros);
        pst__row_ops(plan, plan->n_before, plan->n_ops, zeros, plan->hot_dtype,
                     at * plan->classes + done, (size_t)some, dst + (size_t)done * item);
    }
}

static int run_classes(const struct pst__row_plan *plan, const uint8_t *src, int64_t n,
                       uint8_t *dst, struct pst__row_fault *fault)
{
    int64_t classes[PST__ROW_CHUNK], some;
    size_t in = pst_dtype_size(plan->in_dtype), out = pst_dtype_size(plan->out.dtype);
    for (int64_t done = 0; done < n; done += some) {
        some = n - done < PST__ROW_CHUNK ? n - done : PST__ROW_CHUNK;
        pst__row_ops(plan, 0, plan->n_before, src + (size_t)done * in, plan->in_dtype, done,
                     (size_t)some, (uint8_t *)classes);
        for (int64_t i = 0; i < some; i++)
            if (classes[i] < 0 || classes[i] >= plan->classes) {
                *fault = (struct pst__row_fault){(done + i) / plan->n_in, classes[i]};
                return PST_EFORMAT;
            }
        struct hot hot = {plan, classes, some};
        run_hot(&hot, done, dst + (size_t)(done * plan->classes) * out);
    }
    return PST_OK;
}

int pst__row_run(const struct pst__row_plan *plan, const uint8_t *src, int64_t n, uint8_t *dst,
                 struct pst__row_fault *fault)
{
    if (plan->classes > 0)
        return run_classes(plan, src, n * plan->n_in, dst, fault);
    if (plan->n_channels > 0 && (uintptr_t)dst % pst_dtype_size(plan->out.dtype) == 0)
        run_bytes(plan, src, n * plan->n_in, dst);
    else
        run_elements(plan, src, n * plan->n_in, dst);
    return PST_OK;
}
