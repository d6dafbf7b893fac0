/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_RECOLOUR_H
#define PST_TRANSFORM_RECOLOUR_H

#include "transform/segment.h"

/* PST_EINVAL: not one of enum pst_colour, or an amount that it does not take. */
int pst__check_colour(int colour, double amount, struct pst_error *err);
/* What torchvision makes of a PIL image: the change of enum pst_colour by this amount. */
int pst__fold_colour(struct pst__plan *plan, int colour, double amount, struct pst_error *err);

#endif
