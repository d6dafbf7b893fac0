/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include "transform/draw.h"
#include "transform/ops.h"

static int check(const struct pst_op *op, struct pst_error *err)
{
    if (op->count < 0 || op->count > PST_MAX_OPS)
        return pst__fail(err, PST_EINVAL, "a count of %d steps", op->count);
    if (op->n_table > 0)
        return pst__fail(err, PST_EINVAL, "a table of %zu numbers, expected none", op->n_table);
    return pst__check_threshold(op, err);
}

/* All its steps are one part. */
static int enter(const struct pst__step *step, struct pst__draws *draws, int32_t part[PST_MAX_OPS])
{
    part[0] = 0;
    return pst__draw_chance(draws, step->op.threshold);
}

const struct pst__op_type pst__op_random_apply = {
    .kind = PST_OP_RANDOM_APPLY,
    .name = "random apply",
    .max_words = 1,
    .check = check,
    .enter = enter,
};
