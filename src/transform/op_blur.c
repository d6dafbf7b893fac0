/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include "transform/convolve.h"
#include "transform/draw.h"
#include "transform/ops.h"

/* torchvision GaussianBlur. */

#define MOST_SIGMA 1e6

static int check(const struct pst_op *op, struct pst_error *err)
{
    if (op->w < 1 || op->h < 1 || op->w % 2 == 0 || op->h % 2 == 0 || op->w > PST_MAX_SIDE ||
        op->h > PST_MAX_SIDE || pst__blur_kept(op->w, op->h) > PST_MAX_BLUR_WEIGHTS)
        return pst__fail(err, PST_EINVAL,
                         "a kernel of %d x %d, expected odd sides, at most %d when they are equal",
                         op->w, op->h, 2 * PST_MAX_BLUR_WEIGHTS - 1);
    /* Written so that a NaN fails. */
    if (!(op->scale[0] >= 1 / MOST_SIGMA && op->scale[0] <= op->scale[1] &&
          op->scale[1] <= MOST_SIGMA))
        return pst__fail(err, PST_EINVAL, "sigma from %g to %g, expected %g to %g", op->scale[0],
                         op->scale[1], 1 / MOST_SIGMA, MOST_SIGMA);
    if (op->n_table != 0 && op->n_table != (size_t)op->w + (size_t)op->h)
        return pst__fail(err, PST_EINVAL, "%zu weights, expected none or %d", op->n_table,
                         op->w + op->h);
    return PST_OK;
}

static int ranges(const struct pst_op *op, struct pst__range range[2])
{
    if (op->n_table > 0)
        return 0;
    for (int i = 0; i < 2; i++)
        range[i] = (struct pst__range){(float)op->scale[0], (float)op->scale[1],
                                       i == 0 ? op->w : op->h, op->count == 1};
    return 2;
}

static int plan(const struct pst__step *step, struct pst__draws *draws, struct pst__plan *plan,
                struct pst_error *err)
{
    const struct pst_op *op = &step->op;
    float fixed[4 * PST_MAX_BLUR_WEIGHTS];
    const float *row = fixed, *column = fixed + op->w;
    size_t at;
    float sigma = pst__draw_sigma(draws, (float)op->scale[0], (float)op->scale[1], &at);
    if (op->n_table > 0) {
        for (size_t k = 0; k < op->n_table; k++)
            fixed[k] = (float)op->table[k];
    } else {
        row = draws->exps[step->exp_range[0]] + at * (size_t)op->w;
        column = draws->exps[step->exp_range[1]] + at * (size_t)op->h;
    }
    return pst__fold_blur(plan, (double)sigma, row, op->w, column, op->h, err);
}

/* torch adds the products in another order where there is one channel. */
static int channels(const struct pst_op *op, int channels)
{
    (void)op;
    return channels == 3 ? 3 : 0;
}

const struct pst__op_type pst__op_gaussian_blur = {
    .kind = PST_OP_GAUSSIAN_BLUR,
    .name = "gaussian blur",
    .max_words = 1,
    .ranges = ranges,
    .check = check,
    .plan = plan,
    .channels = channels,
};
