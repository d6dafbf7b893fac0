/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/status.h"
#include "transform/segment.h"
#include "transform/tensor_steps.h"

/* A shear, translation or rotation of a uint8 tensor as a change of its own: integer[0] is the
 * action and flags, the bits of the fill follow; number[0] is the magnitude. */

enum { ACTION = 255, IS_V2 = 256, IS_NEAREST = 512, HAS_FILL = 1024 };

static int run(const struct pst__change *change, const struct pst__image *src,
               const struct pst__image *dst, struct pst__scratch *work, struct pst_error *err)
{
    (void)work, (void)err;
    int32_t word = change->integer[0];
    struct pst__tensor_way way = {.is_v2 = (word & IS_V2) != 0,
                                  .is_nearest = (word & IS_NEAREST) != 0,
                                  .has_fill = (word & HAS_FILL) != 0};
    memcpy(way.fill, &change->integer[1], sizeof way.fill);
    pst__tensor_warp(&way, word & ACTION, change->number[0], src, dst);
    return PST_OK;
}

static const struct pst__change_type type = {
    .name = "warp of a tensor", .n_numbers = 1, .run = run};

int pst__fold_tensor_warp(struct pst__plan *plan, const struct pst__tensor_way *way, int action,
                          double magnitude, struct pst_error *err)
{
    struct pst__change change = {.type = &type, .number = {magnitude}};
    PST_REQUIRE(plan->channels == 3, err, "a warp of a grey tensor");
    pst__fold_size(plan, &change.w, &change.h);
    int rc = pst__tensor_step_check_size(way, action, change.w, change.h, err);
    if (rc < 0)
        return rc;
    change.integer[0] = action | (way->is_v2 ? IS_V2 : 0) | (way->is_nearest ? IS_NEAREST : 0) |
                        (way->has_fill ? HAS_FILL : 0);
    memcpy(&change.integer[1], way->fill, sizeof way->fill);
    return pst__fold_change(plan, &change, err);
}
