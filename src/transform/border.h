/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_BORDER_H
#define PST_TRANSFORM_BORDER_H

#include "transform/segment.h"

/* What lies outside of an image: torchvision's padding modes. */
enum pst__border_mode {
    PST_BORDER_CONSTANT,
    PST_BORDER_EDGE,      /* the last pixel again and again */
    PST_BORDER_REFLECT,   /* the image mirrored about its last pixel */
    PST_BORDER_SYMMETRIC, /* about the edge behind it */
};

struct pst__border {
    int mode;        /* enum pst__border_mode */
    uint8_t fill[4]; /* of the constant one; the last is not used */
};

/* rect, which may reach outside of the image. Black outside is a crop; of any other border nothing
 * is left where rect lies inside. PST_ELIMIT: a mirrored image would have to be mirrored again. */
int pst__fold_border(struct pst__plan *plan, const struct pst_rect *rect,
                     const struct pst__border *border, struct pst_error *err);
/* PST_ELIMIT: to show all of rect, a mirrored image would have to be mirrored again. */
int pst__check_border(const struct pst__plan *plan, const struct pst_rect *rect,
                      const struct pst__border *border, struct pst_error *err);

#endif
