/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_TURN_H
#define PST_TRANSFORM_TURN_H

#include "transform/segment.h"

/* Exact turns of an image: every one is an exchange of rows and columns, or none, and flips. */

/* By so many quarters counterclockwise, 0 to 3: Pillow's ROTATE_90, _180 and _270. */
int pst__fold_quarters(struct pst__plan *plan, int quarters, struct pst_error *err);

/* As the EXIF tag Orientation (1 to 8) says the image has to be turned to be seen upright: Pillow's
 * ImageOps.exif_transpose(). PST_EINVAL: another number. */
int pst__fold_orientation(struct pst__plan *plan, int orientation, struct pst_error *err);

#endif
