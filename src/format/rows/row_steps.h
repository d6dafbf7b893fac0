/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_ROW_STEPS_H
#define PST_FORMAT_ROW_STEPS_H

#include <penstock/dataset.h>

/* The dataset that a dataset of pst_steps_open() is over; NULL for another kind. Borrowed. */
const struct pst_dataset *pst__row_steps_under(const struct pst_dataset *dataset);

#endif
