/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_SEGMENT_H
#define PST_TRANSFORM_SEGMENT_H

#include "transform/transform.h"

/* Folds steps into the segments of a plan. All coordinates of a step count from the top left corner
 * of the image as the steps before it left it. */

/* An image of w x h with 3 channels, or 1 when it is grey; no steps yet. */
int pst__fold_begin(struct pst__plan *plan, int32_t w, int32_t h, int channels,
                    struct pst_error *err);
/* rect may reach outside of the image, or miss it: zeros. */
int pst__fold_crop(struct pst__plan *plan, const struct pst_rect *rect, struct pst_error *err);
/* Nothing when the image has this size already: torchvision returns it as it is. */
int pst__fold_resize(struct pst__plan *plan, int64_t w, int64_t h, int filter,
                     struct pst_error *err);
int pst__fold_flip(struct pst__plan *plan, int hflip, int vflip, struct pst_error *err);
/* Copies change; its w and h say what it makes of the image. */
int pst__fold_change(struct pst__plan *plan, const struct pst__change *change,
                     struct pst_error *err);
/* Makes the image grey, its three channels the luma. 0: here that takes a change. */
int pst__fold_luma(struct pst__plan *plan);
/* No other step may come after it. */
int pst__fold_erase(struct pst__plan *plan, const struct pst_rect *rect, const float value[3],
                    struct pst_error *err);
/* The sample is these parts of the image, all of one size; nothing may come after it. Copies n
 * crops, at most PST_MAX_CROPS. */
int pst__fold_crops(struct pst__plan *plan, const struct pst__crop *crops, int n,
                    struct pst_error *err);
/* Fills in the result's size and the region. */
int pst__fold_end(struct pst__plan *plan, int era, int dtype, struct pst_error *err);
/* The size of the image after the last step. */
void pst__fold_size(const struct pst__plan *plan, int32_t *w, int32_t *h);

/* What is worked out of a segment: want is the part of its result that the next segment needs. The
 * rest is before flips: seen is the part of the resized image that want shows, with left columns
 * and top rows of zeros before it; need is the part of the segment's source that seen depends on.
 * Where want shows zeros alone, seen has no width and need is one pixel. */
struct pst__geometry {
    struct pst_rect want;
    struct pst_rect seen;
    int32_t left, top;
    struct pst_rect need;
};
void pst__plan_geometry(const struct pst__plan *plan,
                        struct pst__geometry geometry[PST_MAX_SEGMENTS]);

/* What the segments of a plan keep in memory at once, at most. */
size_t pst__plan_bytes(const struct pst__plan *plan, int era);

/* Which pass Pillow does first when it resizes w x h to new_w x new_h. */
int pst__vertical_first(int era, int32_t w, int32_t h, int32_t new_w, int32_t new_h);
/* Whether that of a segment with a resize is the vertical one. */
int pst__segment_vertical_first(const struct pst__segment *segment, int era);

#endif
