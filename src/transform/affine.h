/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_AFFINE_H
#define PST_TRANSFORM_AFFINE_H

#include "transform/segment.h"

/* Image.transform() of Pillow with AFFINE: pixel (x, y) of the result is taken where
 * (a x + b y + c, d x + e y + f) lies in the image, with pixels' middles at halves. */
struct pst__warp {
    double matrix[6]; /* a to f */
    int32_t w, h;     /* of the result */
    int filter;       /* enum pst_filter: nearest, bilinear or bicubic */
    uint8_t fill[4];  /* outside; the last is not used */
};

/* A shift by whole pixels becomes a crop, anything else a change. PST_ELIMIT: places that Pillow's
 * own fixed point does not hold. */
int pst__fold_warp(struct pst__plan *plan, const struct pst__warp *warp, struct pst_error *err);

/* torchvision's _get_inverse_affine_matrix() for the middle given, angles in degrees. v1 and v2
 * round differently. */
struct pst__affine {
    double center[2], translate[2], shear[2];
    double angle, scale;
    int is_v2;
};
void pst__affine_matrix(const struct pst__affine *affine, double m[6]);

double pst__turn_of(double angle); /* angle % 360.0 of Python */

/* Image.rotate() of Pillow, angle in degrees counterclockwise; center NULL: the middle. warp's
 * filter and fill are given, the rest is filled in. What it turns by quarters is folded so. */
int pst__fold_rotate(struct pst__plan *plan, struct pst__warp *warp, double angle, int expand,
                     const double *center, struct pst_error *err);

/* torchvision's affine() with PIL images. */
int pst__fold_affine(struct pst__plan *plan, struct pst__warp *warp,
                     const struct pst__affine *affine, struct pst_error *err);

#endif
