/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_TENSOR_STEPS_H
#define PST_TRANSFORM_TENSOR_STEPS_H

#include "transform/change.h"

/* torchvision's functions on uint8 tensors of three channels, as its automatic augmentations call
 * them. Their pixels are not those of its functions on PIL images. */

struct pst__tensor_way {
    int is_v2, is_nearest, has_fill;
    float fill[3]; /* 0 to 255 */
};

/* action: enum pst_colour or enum pst_action, without translations by a share of the side. Of a
 * shear the magnitude is the tangent, and posterize and solarize take theirs as they are.
 * PST_EINVAL: one that torchvision would not take, or that is not known. */
int pst__tensor_step_check(int action, double magnitude, struct pst_error *err);
/* PST_ELIMIT: of an image of this size only torch itself can tell. */
int pst__tensor_step_check_size(const struct pst__tensor_way *way, int action, int32_t w, int32_t h,
                                struct pst_error *err);
/* Whether it is made in place: src is dst then, and else they do not overlap. */
int pst__tensor_is_in_place(int action);
/* lines: floats that are needed for images of this width. */
size_t pst__tensor_lines(int32_t w);
void pst__tensor_step(const struct pst__tensor_way *way, int action, double magnitude,
                      const struct pst__image *src, const struct pst__image *dst, float *lines);

/* A shear, translation or rotation as a step of its own. PST_ELIMIT: as above. */
int pst__fold_tensor_warp(struct pst__plan *plan, const struct pst__tensor_way *way, int action,
                          double magnitude, struct pst_error *err);

/* Shears, translations and rotations. */
void pst__tensor_warp(const struct pst__tensor_way *way, int action, double magnitude,
                      const struct pst__image *src, const struct pst__image *dst);

#endif
