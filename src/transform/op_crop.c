/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
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

static int n_corner_crops(const struct pst_op *op)
{
    return op->count == 0 ? 5 : 10;
}

static int check_corner_crops(const struct pst_op *op, struct pst_error *err)
{
    if (op->count < 0 || op->count > 2)
        return pst__fail(err, PST_EINVAL, "count %d, expected 0, 1 or 2", op->count);
    return pst__check_size(op, err);
}

/* The second five are those of the flipped image, in its coordinates. */
static int plan_corner_crops(const struct pst__step *step, struct pst__draws *draws,
                             struct pst__plan *plan, struct pst_error *err)
{
    (void)draws;
    int32_t w, h, crop_w = step->op.w, crop_h = step->op.h;
    struct pst__crop crop[PST_MAX_CROPS];
    pst__fold_size(plan, &w, &h);
    if (crop_w > w || crop_h > h)
        return pst__fail(err, PST_EINVAL, "crops of %d x %d pixels from an image of %d x %d",
                         crop_w, crop_h, w, h);
    const int32_t left[5] = {0, w - crop_w, 0, w - crop_w, offset(w, crop_w)};
    const int32_t top[5] = {0, 0, h - crop_h, h - crop_h, offset(h, crop_h)};
    for (int i = 0; i < n_corner_crops(&step->op); i++) {
        int32_t x = left[i % 5], y = top[i % 5];
        int hflip = i >= 5 && step->op.count == 1, vflip = i >= 5 && step->op.count == 2;
        crop[i] = (struct pst__crop){
            .rect = {hflip ? w - crop_w - x : x, vflip ? h - crop_h - y : y, crop_w, crop_h},
            .hflip = (uint8_t)hflip,
            .vflip = (uint8_t)vflip};
    }
    return pst__fold_crops(plan, crop, n_corner_crops(&step->op), err);
}

const struct pst__op_type pst__op_corner_crops = {
    .kind = PST_OP_CORNER_CROPS,
    .name = "corner crops",
    .check = check_corner_crops,
    .plan = plan_corner_crops,
    .size = pst__op_size_fixed,
    .images = n_corner_crops,
};

const struct pst__op_type pst__op_center_crop = {
    .kind = PST_OP_CENTER_CROP,
    .name = "center crop",
    .check = pst__check_size,
    .plan = plan_center_crop,
    .size = pst__op_size_fixed,
};
