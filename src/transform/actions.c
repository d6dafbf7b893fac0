/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/actions.h"

#include <math.h>

#include "base/status.h"

#define MOST_SIDE (1 << 16)
#define BINS_UNIT 4096

const double *pst__next_action(const double *entry, const double *end)
{
    if (end - entry < PST__MAGNITUDES)
        return NULL;
    double n = entry[PST__COUNT];
    if (!(n >= 0 && n <= (double)(end - entry - PST__MAGNITUDES)))
        return NULL;
    return entry + PST__MAGNITUDES + (ptrdiff_t)n;
}

static int n_actions(const struct pst_op *op)
{
    int n = 0;
    const double *end = op->table + op->n_table;
    for (const double *entry = op->table; entry < end; entry = pst__next_action(entry, end))
        n++;
    return n;
}

const double *pst__draw_action(const struct pst_op *op, struct pst__draws *draws)
{
    const double *entry = op->table, *end = op->table + op->n_table;
    for (int32_t skip = pst__draw_below(draws, n_actions(op)); skip > 0; skip--)
        entry = pst__next_action(entry, end);
    return entry;
}

int pst__draw_is_negative(struct pst__draws *draws, int is_v2)
{
    return is_v2 ? pst__draw_chance(draws, PST_CERTAIN / 2 + 1) : pst__draw_below(draws, 2);
}

int pst__check_tensor_way(const struct pst_op *op, int fill, struct pst_error *err)
{
    const double *colour = op->number + fill, n_fill = colour[3];
    if (op->filter != PST_FILTER_NEAREST && op->filter != PST_FILTER_BILINEAR)
        return pst__fail(err, PST_EINVAL, "filter %d, expected nearest or bilinear", op->filter);
    if (n_fill != 0 && n_fill != 1 && n_fill != 3)
        return pst__fail(err, PST_EINVAL, "a colour of %g values, expected 0, 1 or 3", n_fill);
    for (int c = 0; c < n_fill; c++)
        if (!(colour[c] >= 0 && colour[c] <= 255)) /* a NaN fails */
            return pst__fail(err, PST_EINVAL, "a colour of %g", colour[c]);
    return PST_OK;
}

struct pst__tensor_way pst__tensor_way_of(const struct pst_op *op, int fill)
{
    const double *colour = op->number + fill, n_fill = colour[3];
    struct pst__tensor_way way = {.is_v2 = op->number[0] != 0,
                                  .is_nearest = op->filter == PST_FILTER_NEAREST,
                                  .has_fill = n_fill != 0};
    for (int c = 0; c < 3; c++)
        way.fill[c] = (float)colour[n_fill == 3 ? c : 0];
    return way;
}

int pst__is_by_size(int action)
{
    return action == PST_ACTION_TRANSLATE_X_BY_SIZE || action == PST_ACTION_TRANSLATE_Y_BY_SIZE;
}

struct pst__share pst__share_of(double magnitude)
{
    double whole = floor(fabs(magnitude));
    return (struct pst__share){(int)whole, (int)((fabs(magnitude) - whole) * BINS_UNIT)};
}

int pst__share_pixels(struct pst__share share, int32_t side, double end, float *pixels,
                      struct pst_error *err)
{
    if (side > MOST_SIDE)
        return pst__fail(err, PST_ELIMIT, "a translation of an image of %d pixels, the limit is %d",
                         side, MOST_SIDE);
    float last = (float)end, step = last / (float)(share.bins - 1);
    *pixels = share.index < share.bins / 2 ? step * (float)share.index
                                           : last - step * (float)(share.bins - share.index - 1);
    return PST_OK;
}
