/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_RECOLOUR_H
#define PST_TRANSFORM_RECOLOUR_H

#include "kernels/kernels.h"
#include "transform/change.h"
#include "transform/segment.h"

/* PST_EINVAL: not one of enum pst_colour, or an amount that it does not take. */
int pst__check_colour(int colour, double amount, struct pst_error *err);
/* What torchvision makes of a PIL image, or with PST_COLOUR_OF_TENSOR of a tensor: the change of
 * enum pst_colour by this amount. */
int pst__fold_colour(struct pst__plan *plan, int colour, double amount, struct pst_error *err);

/* With PST_COLOUR_OF_TENSOR. PST_ELIMIT: of an image of this size only torch itself can tell. */
int pst__fold_tensor_colour(struct pst__plan *plan, int colour, double amount,
                            struct pst_error *err);

/* What the functions on tensors share: a table for each channel or for all, how many pixels have a
 * value, and the table of equalize(). */
void pst__map_image(const struct pst__image *image, const struct pst__map *map);
void pst__map_alike(const struct pst__image *image, const uint8_t lut[256]);
void pst__count_values(const struct pst__image *image, uint32_t count[3][256]);
void pst__equal_table(const uint32_t count[256], uint8_t lut[256]);

#endif
