/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_ACTIONS_H
#define PST_TRANSFORM_ACTIONS_H

#include "transform/draw.h"
#include "transform/ops.h"
#include "transform/tensor_steps.h"

/* What the automatic augmentations choose from: a step's table of entries, and the draws that they
 * have in common. */

/* An entry: enum pst_action, whether its sign is drawn, how many magnitudes follow. */
enum { PST__ACTION, PST__SIGNED, PST__COUNT, PST__MAGNITUDES };

/* The entry after this one; NULL: the table ends within this one. */
const double *pst__next_action(const double *entry, const double *end);
/* Of a table that was checked: one entry, by one word. */
const double *pst__draw_action(const struct pst_op *op, struct pst__draws *draws);
/* v1 draws randint(2), v2 rand() <= 0.5. */
int pst__draw_is_negative(struct pst__draws *draws, int is_v2);

/* How a step works on tensors: filter, 1 for v2 in number[0], and from number[fill] on the colour
 * outside and how many of its values count, of which none leaves the edge without a seam. */
int pst__check_tensor_way(const struct pst_op *op, int fill, struct pst_error *err);
struct pst__tensor_way pst__tensor_way_of(const struct pst_op *op, int fill);

/* Translations by a share of the side: the magnitude is n + bins / 4096 for element n of
 * torch.linspace(0, end, bins). */
int pst__is_by_size(int action);
struct pst__share {
    int index, bins;
};
struct pst__share pst__share_of(double magnitude);
/* The element, for a side of so many pixels. PST_ELIMIT: larger sides were not compared with
 * torch's. */
int pst__share_pixels(struct pst__share share, int32_t side, double end, float *pixels,
                      struct pst_error *err);

#endif
