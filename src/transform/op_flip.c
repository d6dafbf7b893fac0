/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/draw.h"
#include "transform/ops.h"
#include "transform/segment.h"

static int plan_hflip(const struct pst__step *step, struct pst__draws *draws,
                      struct pst__plan *plan, struct pst_error *err)
{
    return pst__fold_flip(plan, pst__draw_chance(draws, step->op.threshold), 0, err);
}

static int plan_vflip(const struct pst__step *step, struct pst__draws *draws,
                      struct pst__plan *plan, struct pst_error *err)
{
    return pst__fold_flip(plan, 0, pst__draw_chance(draws, step->op.threshold), err);
}

const struct pst__op_type pst__op_hflip = {
    .kind = PST_OP_RANDOM_HFLIP,
    .name = "random horizontal flip",
    .max_words = 1,
    .check = pst__check_threshold,
    .plan = plan_hflip,
};

const struct pst__op_type pst__op_vflip = {
    .kind = PST_OP_RANDOM_VFLIP,
    .name = "random vertical flip",
    .max_words = 1,
    .check = pst__check_threshold,
    .plan = plan_vflip,
};
