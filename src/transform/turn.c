/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/turn.h"

#include <string.h>

#include "base/status.h"
#include "transform/change.h"

#define TILE 16 /* pixels a side: a cache line of each row */

static int least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static void run_tile(const struct pst__image *src, const struct pst__image *dst, int32_t x0,
                     int32_t y0)
{
    int32_t x1 = least(x0 + TILE, dst->w), y1 = least(y0 + TILE, dst->h);
    for (int32_t y = y0; y < y1; y++) {
        for (int32_t x = x0; x < x1; x++)
            memcpy(dst->pixels + y * dst->stride + (ptrdiff_t)x * 4,
                   src->pixels + x * src->stride + (ptrdiff_t)y * 4, 4);
    }
}

static int run(const struct pst__change *change, const struct pst__image *src,
               const struct pst__image *dst, struct pst__scratch *work, struct pst_error *err)
{
    (void)change, (void)work, (void)err;
    for (int32_t y = 0; y < dst->h; y += TILE) {
        for (int32_t x = 0; x < dst->w; x += TILE)
            run_tile(src, dst, x, y);
    }
    return PST_OK;
}

static const struct pst__change_type type = {.name = "transpose", .run = run};

static int fold(struct pst__plan *plan, int transposes, int hflip, int vflip, struct pst_error *err)
{
    if (transposes) {
        struct pst__change change = {.type = &type};
        pst__fold_size(plan, &change.h, &change.w);
        int rc = pst__fold_change(plan, &change, err);
        if (rc < 0)
            return rc;
    }
    return pst__fold_flip(plan, hflip, vflip, err);
}

int pst__fold_quarters(struct pst__plan *plan, int quarters, struct pst_error *err)
{
    switch (quarters) {
    case 0:
        return PST_OK;
    case 1:
        return fold(plan, 1, 0, 1, err);
    case 2:
        return fold(plan, 0, 1, 1, err);
    default:
        return fold(plan, 1, 1, 0, err);
    }
}

int pst__fold_orientation(struct pst__plan *plan, int orientation, struct pst_error *err)
{
    PST_REQUIRE(orientation >= 1 && orientation <= 8, err, "orientation %d, expected 1 to 8",
                orientation);
    /* transpose, flip left to right, flip top to bottom */
    static const uint8_t steps[8][3] = {
        {0, 0, 0}, {0, 1, 0}, {0, 1, 1}, {0, 0, 1}, {1, 0, 0}, {1, 1, 0}, {1, 1, 1}, {1, 0, 1},
    };
    const uint8_t *step = steps[orientation - 1];
    return fold(plan, step[0], step[1], step[2], err);
}
