/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/status.h"
#include "transform/draw.h"
#include "transform/ops.h"
#include "transform/segment.h"

/* torchvision v2 GaussianNoise. A plan passes over the words; who writes the sample draws them. */

#define MOST 1e6 /* mean and sigma: no sum of float32 overflows */
/* Numbers of a sample. Whoever finishes one in the place of the engine goes through its words. */
#define MOST_NUMBERS 5000000

int pst__check_noise(const struct pst_op *op, int32_t h, int32_t w, int channels,
                     struct pst_error *err)
{
    if (h == 0)
        return pst__fail(err, PST_EINVAL, "the samples have no size of their own");
    int64_t n = (int64_t)h * w * channels;
    if (n < 16)
        return pst__fail(err, PST_EINVAL, "a sample of %d x %d has less than 16 numbers", w, h);
    if (n > MOST_NUMBERS)
        return pst__fail(err, PST_EINVAL, "a sample of %d x %d has more than %d numbers", w, h,
                         MOST_NUMBERS);
    if (channels == 1 && op->count & PST_NOISE_ONE_BY_ONE)
        return pst__fail(err, PST_EINVAL, "of one channel no pixels lie together");
    return PST_OK;
}

static int check(const struct pst_op *op, struct pst_error *err)
{
    /* Written so that a NaN fails. Of a sigma below 0 torchvision raises. */
    for (int i = 0; i < 2; i++)
        if (!(op->number[i] >= (i ? 0 : -MOST) && op->number[i] <= MOST))
            return pst__fail(err, PST_EINVAL, "%s is %g, expected %g to %g", i ? "sigma" : "mean",
                             op->number[i], i ? 0 : -MOST, MOST);
    if (op->count < 0 || op->count > (PST_NOISE_CLIPPED | PST_NOISE_ONE_BY_ONE))
        return pst__fail(err, PST_EINVAL, "count is %d, expected 0 to 3", op->count);
    if (op->n_table != 0 && op->n_table != 6)
        return pst__fail(err, PST_EINVAL, "a table of %zu numbers, expected 0 or 6", op->n_table);
    for (size_t i = 0; i < op->n_table; i++)
        if (!isfinite((float)op->table[i]) || (i >= 3 && (float)op->table[i] == 0.0f))
            return pst__fail(err, PST_EINVAL, "number %zu of the table is %g", i, op->table[i]);
    return PST_OK;
}

static int plan(const struct pst__step *step, struct pst__draws *draws, struct pst__plan *plan,
                struct pst_error *err)
{
    int32_t w, h;
    (void)err;
    pst__fold_size(plan, &w, &h);
    size_t n = (size_t)plan->channels * (size_t)h * (size_t)w;
    plan->is_noisy = 1;
    plan->normals = *draws->mt;
    plan->normal = draws->normal ? *draws->normal : NAN;
    if (step->op.count & PST_NOISE_ONE_BY_ONE)
        pst__draw_past(draws, n);
    else
        pst__draw_skip(draws, pst__normal_words(n));
    return PST_OK;
}

const struct pst__op_type pst__op_gaussian_noise = {
    .kind = PST_OP_GAUSSIAN_NOISE,
    .name = "gaussian noise",
    .max_words = 16, /* at least; it draws from the generator itself */
    .check = check,
    .plan = plan,
    .is_last = 1,
};
