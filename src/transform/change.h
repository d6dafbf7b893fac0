/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_CHANGE_H
#define PST_TRANSFORM_CHANGE_H

#include <string.h>

#include "base/mem.h"
#include "transform/transform.h"

/* An image in memory: RGBX rows, stride bytes apart, each followed by room up to the next multiple
 * of 64 bytes, and the last one by PST_PAD readable bytes more. The three channels of a grey image
 * are equal, before a change and after it. */
struct pst__image {
    uint8_t *pixels;
    ptrdiff_t stride;
    int32_t w, h;
};

/* Of two images of one size, which do not overlap. */
static inline void pst__image_copy(const struct pst__image *dst, const struct pst__image *src)
{
    for (int32_t y = 0; y < src->h; y++)
        memcpy(dst->pixels + y * dst->stride, src->pixels + y * src->stride, (size_t)src->w * 4);
}

/* One kind of change. A row of this for each; steps fold changes into a plan. */
struct pst__change_type {
    const char *name;          /* for reports */
    int n_integers, n_numbers; /* of them are shown */
    int is_in_place;           /* dst is src, of the same size; else they do not overlap */
    /* Bytes of work that it takes, for budgets; NULL: a few rows. */
    size_t (*work)(const struct pst__change *change);
    /* Runs on any thread. work is memory of the executor, empty or left over from another change.
     * Errors: PST_ENOMEM. */
    int (*run)(const struct pst__change *change, const struct pst__image *src,
               const struct pst__image *dst, struct pst__scratch *work, struct pst_error *err);
};

#endif
