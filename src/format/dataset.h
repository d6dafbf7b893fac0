/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_DATASET_H
#define PST_FORMAT_DATASET_H

#include <penstock/dataset.h>

/* The front of the format room: what the loader asks of a dataset. */

/* Reads record index (checked against the length) and names it in err on failure. Any thread. */
int pst__dataset_read(struct pst_dataset *dataset, int64_t index, struct pst_record *record,
                      struct pst_error *err);

/* 1: every record is pixels of this size, and reading one takes nanoseconds. */
int pst__dataset_uniform(const struct pst_dataset *dataset, struct pst_pixels *size);

/* Bytes that each thread which gathers keeps for it. */
size_t pst__dataset_memory(const struct pst_dataset *dataset);

#endif
