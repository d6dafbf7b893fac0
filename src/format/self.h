/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_SELF_H
#define PST_FORMAT_SELF_H

#include <penstock/dataset.h>

/* The self of a dataset whose close function is this one, NULL for another kind of dataset. */
void *pst__dataset_self(const struct pst_dataset *dataset, void (*close)(void *self));

/* Pixels that a caller handed over: sizes and limits. Errors: PST_EINVAL, PST_ELIMIT. */
int pst__pixels_check(const struct pst_pixels *pixels, struct pst_error *err);

#endif
