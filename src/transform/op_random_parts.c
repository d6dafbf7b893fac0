/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>

#include "base/limits.h"
#include "base/status.h"
#include "transform/draw.h"
#include "transform/ops.h"

/* torchvision RandomChoice and RandomOrder, of v2 by torch's generator and of v1 by Python's. The
 * steps that one of them holds fall into parts: table[k] is how many steps part k has. */

static int check_parts(const struct pst_op *op, size_t n, struct pst_error *err)
{
    if (n < 1 || n > PST_MAX_OPS)
        return pst__fail(err, PST_EINVAL, "%zu parts, expected 1 to %d", n, PST_MAX_OPS);
    double count = 0;
    for (size_t k = 0; k < n; k++) {
        double steps = op->table[k];
        /* Written so that a NaN fails. */
        if (!(steps >= 0 && steps <= PST_MAX_OPS && steps == floor(steps)))
            return pst__fail(err, PST_EINVAL, "a part of %g steps", steps);
        count += steps;
    }
    if (count != op->count)
        return pst__fail(err, PST_EINVAL, "a count of %d steps, its parts have %g", op->count,
                         count);
    return PST_OK;
}

static size_t n_choices(const struct pst_op *op)
{
    return op->n_table / 2;
}

/* What multinomial() refuses, and probabilities of which float32 knows none. */
static int check_choice(const struct pst_op *op, struct pst_error *err)
{
    size_t n = n_choices(op);
    if (op->n_table % 2)
        return pst__fail(err, PST_EINVAL, "a table of %zu numbers, expected pairs", op->n_table);
    int rc = check_parts(op, n, err);
    int is_possible = 0;
    for (size_t k = 0; k < n && rc == PST_OK; k++) {
        double p = op->table[n + k];
        /* Written so that a NaN fails. */
        if (!(p >= 0 && p <= 1))
            return pst__fail(err, PST_EINVAL, "a probability of %g", p);
        is_possible |= (float)p > 0;
    }
    if (rc == PST_OK && !is_possible)
        return pst__fail(err, PST_EINVAL, "no part has a probability");
    return rc;
}

static size_t choice_words(const struct pst_op *op)
{
    return 2 * n_choices(op);
}

static int choose(const struct pst__step *step, struct pst__draws *draws, int32_t part[PST_MAX_OPS])
{
    size_t n = n_choices(&step->op);
    part[0] = pst__draw_choice(draws, step->op.table + n, (int32_t)n);
    return 1;
}

static int check_order(const struct pst_op *op, struct pst_error *err)
{
    return check_parts(op, op->n_table, err);
}

static size_t order_words(const struct pst_op *op)
{
    return op->n_table - 1;
}

static int shuffle(const struct pst__step *step, struct pst__draws *draws,
                   int32_t part[PST_MAX_OPS])
{
    int32_t n = (int32_t)step->op.n_table;
    pst__draw_order(draws, part, n);
    return n;
}

static int has_weights(const struct pst_op *op)
{
    return op->number[0] != 0;
}

static size_t n_python_choices(const struct pst_op *op)
{
    return has_weights(op) ? n_choices(op) : op->n_table;
}

static int check_python_choice(const struct pst_op *op, struct pst_error *err)
{
    size_t n = n_python_choices(op);
    if (has_weights(op) && op->n_table % 2)
        return pst__fail(err, PST_EINVAL, "a table of %zu numbers, expected pairs", op->n_table);
    int rc = check_parts(op, n, err);
    if (rc < 0 || !has_weights(op))
        return rc;
    const double *sum = op->table + n;
    for (size_t k = 0; k < n; k++)
        /* Written so that a NaN fails. */
        if (!(sum[k] >= (k > 0 ? sum[k - 1] : 0) && sum[k] <= DBL_MAX))
            return pst__fail(err, PST_EINVAL, "a sum of weights of %g", sum[k]);
    if (sum[n - 1] == 0)
        return pst__fail(err, PST_EINVAL, "no part has a weight");
    return PST_OK;
}

/* random.choices(): by a float that is floored, or the first sum that is more. */
static int choose_as_python(const struct pst__step *step, struct pst__draws *draws,
                            int32_t part[PST_MAX_OPS])
{
    int32_t n = (int32_t)n_python_choices(&step->op), k = 0;
    double unit = pst__draw_python_unit(draws);
    if (!has_weights(&step->op)) {
        part[0] = (int32_t)floor(unit * n);
        return 1;
    }
    const double *sum = step->op.table + n;
    double place = unit * sum[n - 1];
    while (k < n - 1 && sum[k] <= place)
        k++;
    part[0] = k;
    return 1;
}

static int shuffle_as_python(const struct pst__step *step, struct pst__draws *draws,
                             int32_t part[PST_MAX_OPS])
{
    int32_t n = (int32_t)step->op.n_table;
    pst__draw_python_order(draws, part, n);
    return n;
}

const struct pst__op_type pst__op_python_choice = {
    .kind = PST_OP_PYTHON_CHOICE,
    .name = "random choice of v1",
    .check = check_python_choice,
    .enter = choose_as_python,
    .draws_python = 1,
};

const struct pst__op_type pst__op_python_order = {
    .kind = PST_OP_PYTHON_ORDER,
    .name = "random order of v1",
    .check = check_order,
    .enter = shuffle_as_python,
    .draws_python = 1,
    .is_shuffled = 1,
};

const struct pst__op_type pst__op_random_choice = {
    .kind = PST_OP_RANDOM_CHOICE,
    .name = "random choice",
    .words = choice_words,
    .check = check_choice,
    .enter = choose,
};

const struct pst__op_type pst__op_random_order = {
    .kind = PST_OP_RANDOM_ORDER,
    .name = "random order",
    .words = order_words,
    .check = check_order,
    .enter = shuffle,
    .is_shuffled = 1,
};
