/* SPDX-License-Identifier: Apache-2.0 */
#include "format/rows/row_plan.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "buffer/cast.h"

#define SHOWN 128
/* Operands of runs that are shorter than this are written out, so that one call of a kernel takes
 * many of them. */
#define SHORT_RUN 64
#define LEAST_SPREAD 256
#define MOST_TABLES 64      /* channels: 64 KiB of tables */
#define BYTES_RUN (1 << 20) /* of one call of a kernel, where there is one channel */

/* A plan that is being made, and which of the steps it has come to. */
struct making {
    struct pst__row_plan *plan;
    const struct pst_step *step;
    size_t number;
    int dtype; /* of elements after the steps so far; their shape is plan->out's */
    struct pst_error *err;
};

static const char *name_of(int kind)
{
    static const char *const names[] = {"?",     "ToDtype",   "Scale",   "Divide",
                                        "Shift", "Normalize", "Reshape", "OneHot"};
    return kind > 0 && (size_t)kind < PST_COUNTOF(names) ? names[kind] : names[0];
}

__attribute__((format(printf, 3, 4))) static int fails(const struct making *making, int rc,
                                                       const char *format, ...)
{
    char shown[SHOWN], sentence[384];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    pst__printable(shown, sizeof shown, making->plan->out.name);
    return pst__fail(making->err, rc, "field '%s', step %zu (%s): %s", shown, making->number,
                     name_of(making->step->kind), sentence);
}

static int is_float(int dtype)
{
    return dtype == PST_F16 || dtype == PST_BF16 || dtype == PST_F32 || dtype == PST_F64;
}

static int is_varying(const struct pst_field *field)
{
    return field->ndim > 0 && field->shape[0] == -1;
}

/* Elements of a row of so many bytes each, of one of length 1 where they differ; -1: too many. */
static int64_t count(const struct pst_field *field, size_t item)
{
    int64_t n = 1, bytes;
    for (int d = is_varying(field); d < field->ndim; d++)
        if (field->shape[d] < 0 || __builtin_mul_overflow(n, field->shape[d], &n))
            return -1;
    if (__builtin_mul_overflow(n, (int64_t)item, &bytes) || bytes > PST_MAX_OUTPUT)
        return -1;
    return n;
}

static int check_size(const struct making *making)
{
    if (count(&making->plan->out, pst_dtype_size(making->dtype)) < 0)
        return fails(making, PST_ELIMIT, "a row has over %lld bytes", PST_MAX_OUTPUT);
    return PST_OK;
}

static struct pst__row_op *op_add(const struct making *making)
{
    struct pst__row_plan *plan = making->plan;
    struct pst__row_op *op = &plan->ops[plan->n_ops];
    if (plan->n_ops == PST__MAX_ROW_OPS) {
        fails(making, PST_ELIMIT, "the steps are over %d operations", PST__MAX_ROW_OPS);
        return NULL;
    }
    plan->n_ops++;
    *op = (struct pst__row_op){.dtype = making->dtype, .n = 1, .inner = INT64_MAX};
    return op;
}

static int add_cast(struct making *making, int dtype)
{
    if (making->dtype == dtype)
        return PST_OK;
    making->dtype = dtype;
    struct pst__row_op *op = op_add(making);
    if (!op)
        return PST_ELIMIT;
    op->is_cast = 1;
    return PST_OK;
}

/* --- operands
 * ---------------------------------------------------------------------------------------- */

/* A number as the kernels take it, for elements of this dtype; by way of the dtype with is_rounded.
 * Returns what it is then. */
static double put_value(void *values, size_t i, double number, int dtype, int is_rounded)
{
    int wide = dtype == PST_F64 ? PST_F64 : PST_F32;
    uint8_t narrow[sizeof number], *to = (uint8_t *)values + i * pst_dtype_size(wide);
    int by = is_rounded ? dtype : wide;
    double found;
    pst__cast(narrow, by, (const uint8_t *)&number, sizeof number, PST_F64, 1);
    pst__cast(to, wide, narrow, sizeof number, by, 1);
    pst__cast((uint8_t *)&found, PST_F64, to, sizeof number, wide, 1);
    return found;
}

/* Each number for its run of elements, and all of that again until it is long. */
static int spread(const struct making *making, struct pst__row_op *op)
{
    size_t item = op->dtype == PST_F64 ? sizeof(double) : sizeof(float);
    int64_t once = op->n * op->inner, n = once;
    while (n < LEAST_SPREAD)
        n += once;
    uint8_t *values = pst__alloc((size_t)n * item, PST_MEM_HEAP);
    if (!values)
        return fails(making, PST_ENOMEM, "no memory for its numbers");
    for (int64_t i = 0; i < n; i++)
        memcpy(values + (size_t)i * item,
               (uint8_t *)op->values + (size_t)(i / op->inner % op->n) * item, item);
    pst__free(op->values);
    op->values = values;
    op->n = n;
    op->is_spread = 1;
    return PST_OK;
}

/* numbers lie along dimension dim of the rows, one of them for all of it or one for each place. */
static int add_arith(const struct making *making, enum pst__arith arith, const double *numbers,
                     size_t n, int dim, int is_rounded)
{
    struct pst__row_op *op = op_add(making);
    if (!op)
        return PST_ELIMIT;
    op->arith = arith;
    op->values = pst__alloc(n * sizeof(double), PST_MEM_HEAP);
    if (!op->values)
        return fails(making, PST_ENOMEM, "no memory for its numbers");
    for (size_t i = 0; i < n; i++) {
        double found = put_value(op->values, i, numbers[i], making->dtype, is_rounded);
        if (!isfinite(found))
            return fails(making, PST_EINVAL, "%g is no finite number of the rows' dtype",
                         numbers[i]);
        if (arith == PST_ARITH_DIVIDE && found == 0)
            return fails(making, PST_EINVAL, "%g is 0 in the rows' dtype, which divides nothing",
                         numbers[i]);
    }
    if (n == 1)
        return PST_OK;
    const struct pst_field *row = &making->plan->out;
    op->n = (int64_t)n;
    op->inner = 1;
    for (int d = dim + 1; d < row->ndim; d++)
        op->inner *= row->shape[d];
    return op->inner > 0 && op->inner < SHORT_RUN ? spread(making, op) : PST_OK;
}

/* --- the steps
 * --------------------------------------------------------------------------------------- */

static int check_floats(const struct making *making)
{
    return is_float(making->dtype)
               ? PST_OK
               : fails(making, PST_EINVAL,
                       "the rows are integers: put a ToDtype of floats in front of it");
}

static int add_normalize(const struct making *making)
{
    const struct pst_step *step = making->step;
    const struct pst_field *row = &making->plan->out;
    int dim = step->dim < 0 ? step->dim + row->ndim : step->dim;
    if (dim < 0 || dim >= row->ndim)
        return fails(making, PST_EINVAL, "the rows have %d dimensions, there is no dimension %d",
                     row->ndim, step->dim);
    if (!step->mean || !step->std || (step->n != 1 && (int64_t)step->n != row->shape[dim]) ||
        step->n == 0)
        return fails(making, PST_EINVAL,
                     "%zu numbers for dimension %d, which has %" PRId64 ": one or as many expected",
                     step->n, step->dim, row->shape[dim]);
    int rc = add_arith(making, PST_ARITH_SUBTRACT, step->mean, step->n, dim, 1);
    return rc < 0 ? rc : add_arith(making, PST_ARITH_DIVIDE, step->std, step->n, dim, 1);
}

static int add_reshape(const struct making *making)
{
    const struct pst_step *step = making->step;
    struct pst_field *row = &making->plan->out, next = *row;
    if (is_varying(row))
        return fails(making, PST_EINVAL, "the rows are of different lengths");
    if (step->ndim < 0 || step->ndim >= PST_MAX_DIMS)
        return fails(making, PST_EINVAL, "%d dimensions, at most %d expected", step->ndim,
                     PST_MAX_DIMS - 1);
    int64_t n = count(row, 1), known = 1;
    int open = -1;
    next.ndim = step->ndim;
    for (int d = 0; d < step->ndim; d++) {
        int is_open = step->shape[d] == -1 && open < 0;
        if (is_open)
            open = d;
        else if (step->shape[d] < 0 || __builtin_mul_overflow(known, step->shape[d], &known))
            return fails(making, PST_EINVAL, "a size of %" PRId64, step->shape[d]);
        next.shape[d] = step->shape[d];
    }
    if (open >= 0 ? known == 0 || n % known != 0 : known != n)
        return fails(making, PST_EINVAL,
                     "rows of %" PRId64 " elements cannot have its shape, which has %" PRId64
                     "%s of them",
                     n, known, open >= 0 ? " times a number" : "");
    if (open >= 0)
        next.shape[open] = n / known;
    *row = next;
    return PST_OK;
}

static int add_one_hot(struct making *making)
{
    struct pst__row_plan *plan = making->plan;
    const struct pst_step *step = making->step;
    if (plan->classes > 0)
        return fails(making, PST_EINVAL, "a field has one OneHot at most");
    if (is_float(making->dtype) || making->dtype == PST_BOOL)
        return fails(making, PST_EINVAL, "classes are integers: the rows are of another dtype");
    if (step->classes < 1 || plan->out.ndim + 1 >= PST_MAX_DIMS)
        return fails(making, PST_EINVAL,
                     "%" PRId64 " classes of rows with %d dimensions: at least 1, and at most %d "
                     "dimensions expected",
                     step->classes, plan->out.ndim, PST_MAX_DIMS - 2);
    int rc = add_cast(making, PST_I64);
    if (rc < 0)
        return rc;
    plan->n_before = plan->n_ops;
    plan->classes = step->classes;
    making->dtype = plan->hot_dtype = step->dtype;
    plan->out.shape[plan->out.ndim++] = step->classes;
    return PST_OK;
}

static int add_step(struct making *making)
{
    const struct pst_step *step = making->step;
    int kind = step->kind, rc = PST_OK;
    if (kind < PST_STEP_TO_DTYPE || kind > PST_STEP_ONE_HOT)
        return fails(making, PST_EINVAL, "there is no step of kind %d", kind);
    if ((kind == PST_STEP_TO_DTYPE || kind == PST_STEP_ONE_HOT) && pst_dtype_size(step->dtype) == 0)
        return fails(making, PST_EINVAL, "there is no dtype %d", step->dtype);
    if (kind >= PST_STEP_SCALE && kind <= PST_STEP_NORMALIZE)
        rc = check_floats(making);
    if (rc < 0)
        return rc;
    switch (kind) {
    case PST_STEP_TO_DTYPE:
        return add_cast(making, step->dtype);
    case PST_STEP_SCALE:
        return add_arith(making, PST_ARITH_MULTIPLY, &step->number, 1, 0, 0);
    case PST_STEP_DIVIDE:
        return add_arith(making, PST_ARITH_DIVIDE, &step->number, 1, 0, 0);
    case PST_STEP_SHIFT:
        return add_arith(making, PST_ARITH_ADD, &step->number, 1, 0, 1);
    case PST_STEP_NORMALIZE:
        return add_normalize(making);
    case PST_STEP_RESHAPE:
        return add_reshape(making);
    default:
        return add_one_hot(making);
    }
}

/* --- what becomes of bytes
 * --------------------------------------------------------------------------- */

/* Whether what becomes of an element depends on its value and on one channel alone; sets them. */
static int has_channels(struct pst__row_plan *plan)
{
    int64_t n = 1, inner = BYTES_RUN;
    for (int i = 0; i < plan->n_ops; i++) {
        const struct pst__row_op *op = &plan->ops[i];
        if (op->is_spread)
            return 0;
        if (op->is_cast || op->n == 1)
            continue;
        if (n > 1 && (n != op->n || inner != op->inner))
            return 0;
        n = op->n;
        inner = op->inner;
    }
    plan->inner = inner;
    plan->n_channels = n;
    return n <= MOST_TABLES && inner > 0 && inner <= INT32_MAX;
}

static void fill_tables(struct pst__row_plan *plan, size_t item)
{
    for (int64_t c = 0; c < plan->n_channels; c++)
        for (int v = 0; v < 256; v++) {
            uint8_t byte = (uint8_t)v;
            uint8_t *to = plan->tables + ((size_t)c * 256 + (size_t)v) * item;
            pst__row_ops(plan, 0, plan->n_ops, &byte, PST_U8, c * plan->inner, 1, to);
        }
}

/* Whether the kernels have a formula for all tables. The last two operations are those of a
 * Normalize, if there is one. */
static int find_norms(struct pst__row_plan *plan)
{
    int is_fast = 1, n_ops = plan->n_ops;
    for (int64_t c = 0; c < plan->n_channels; c++) {
        float mean = 0, std = 1;
        if (n_ops >= 2 && plan->ops[n_ops - 2].arith == PST_ARITH_SUBTRACT) {
            const struct pst__row_op *last = &plan->ops[n_ops - 1];
            mean = ((const float *)last[-1].values)[last[-1].n > 1 ? c : 0];
            std = ((const float *)last->values)[last->n > 1 ? c : 0];
        }
        const float *table = (const float *)(void *)plan->tables + c * 256;
        pst__norm_init(&plan->norms[c], table, mean, std);
        is_fast &= plan->norms[c].kind != PST_NORM_LUT;
    }
    return is_fast;
}

/* Bytes to floats by a formula that was proved for all of them; to elements of 16 bits by a table.
 * Others go through the operations one by one, which is not slower than a table of floats. */
static int plan_bytes(struct pst__row_plan *plan, struct pst_error *err)
{
    size_t item = pst_dtype_size(plan->out.dtype);
    int is_f32 = plan->out.dtype == PST_F32;
    int is_here = plan->in_dtype == PST_U8 && plan->classes == 0 && plan->n_ops > 0 &&
                  (item == 2 || is_f32) && has_channels(plan);
    if (!is_here) {
        plan->n_channels = 0;
        return PST_OK;
    }
    plan->tables = pst__alloc((size_t)plan->n_channels * 256 * item, PST_MEM_HEAP);
    if (is_f32)
        plan->norms = pst__calloc((size_t)plan->n_channels, sizeof *plan->norms, PST_MEM_HEAP);
    if (!plan->tables || (is_f32 && !plan->norms))
        return pst__fail(err, PST_ENOMEM, "no memory for tables of %" PRId64 " channels",
                         plan->n_channels);
    fill_tables(plan, item);
    if (is_f32 && !find_norms(plan))
        plan->n_channels = 0;
    return PST_OK;
}

/* --- the plan
 * ---------------------------------------------------------------------------------------- */

int pst__row_plan_init(struct pst__row_plan *plan, const struct pst_field *field,
                       const struct pst_step *steps, size_t n, struct pst_error *err)
{
    *plan = (struct pst__row_plan){.in_dtype = field->dtype, .out = *field};
    plan->kernels = pst__kernels();
    struct making making = {plan, NULL, 0, field->dtype, err};
    size_t item = pst_dtype_size(field->dtype);
    plan->n_in = count(field, item);
    if (item == 0 || plan->n_in < 0)
        return pst__fail(err, PST_ELIMIT, "a row of field '%s' has over %lld bytes", field->name,
                         PST_MAX_OUTPUT);
    for (size_t i = 0; i < n; i++) {
        making.step = &steps[i];
        making.number = i;
        int rc = add_step(&making);
        if (rc == PST_OK)
            rc = check_size(&making);
        if (rc < 0)
            return rc;
    }
    plan->out.dtype = making.dtype;
    plan->n_out = count(&plan->out, 1);
    if (plan->classes == 0)
        plan->n_before = plan->n_ops;
    return plan_bytes(plan, err);
}

void pst__row_plan_reset(struct pst__row_plan *plan)
{
    for (int i = 0; i < plan->n_ops; i++)
        pst__free(plan->ops[i].values);
    pst__free(plan->norms);
    pst__free(plan->tables);
    *plan = (struct pst__row_plan){0};
}
