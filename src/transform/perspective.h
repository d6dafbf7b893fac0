/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_PERSPECTIVE_H
#define PST_TRANSFORM_PERSPECTIVE_H

#include "transform/segment.h"

/* The corners of a w x h image and where they go, clockwise from the top left. */
struct pst__quad {
    int32_t w, h; /* at most PST_MAX_SIDE */
    int32_t x[4], y[4];
};

/* a to h of torchvision's _get_perspective_coeffs(): a pixel (x, y) of the result is taken at
 * ((a x + b y + c) / (g x + h y + 1), (d x + e y + f) / (g x + h y + 1)). 0: it cannot be told what
 * torch's solver makes of them. */
int pst__perspective_coefficients(const struct pst__quad *quad, double coefficients[8]);

/* Image.transform() of Pillow with PERSPECTIVE and these coefficients. */
int pst__fold_perspective(struct pst__plan *plan, const double coefficients[8], int filter,
                          const uint8_t fill[4], struct pst_error *err);

#endif
