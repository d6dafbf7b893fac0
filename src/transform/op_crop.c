/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/ops.h"
#include "transform/segment.h"

/* round(d / 2.0) of Python for d >= 0: a half goes to the even neighbour. */
static int32_t half_to_even(int32_t d)
{
    int32_t half = d / 2;
    return d % 2 ? half + half % 2 : half;
}

/* Where a crop of `wanted` begins on an axis of `size`. A smaller image is padded to exactly
 * `wanted` first, the odd pixel after it. */
static int32_t offset(int32_t size, int32_t wanted)
{
    return wanted > size ? -((wanted - size) / 2) : half_to_even(size - wanted);
}

static int plan_center_crop(const struct pst__step *step, struct pst__draws *draws,
                            struct pst__plan *plan, struct pst_error *err)
{
    (void)draws;
    int32_t w, h;
    pst__fold_size(plan, &w, &h);
    struct pst_rect rect = {offset(w, step->op.w), offset(h, step->op.h), step->op.w, step->op.h};
    return pst__fold_crop(plan, &rect, err);
}

const struct pst__op_type pst__op_center_crop = {
    .kind = PST_OP_CENTER_CROP,
    .name = "center crop",
    .check = pst__check_size,
    .plan = plan_center_crop,
    .size = pst__op_size_fixed,
};
