/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_IO_RECORD_H
#define PST_IO_RECORD_H

#include <penstock/dataset.h>

#include "base/mem.h"

/* The bytes of one sample: memory of our own, or a view of the dataset's; or pixels that are not
 * encoded. Reused from sample to sample. Zero-initialised means empty. */
struct pst_record {
    struct pst_pixels pixels; /* data is NULL where the record is encoded */
    const uint8_t *data;
    size_t size;
    uint8_t *own; /* PST_MEM_RECORD */
    size_t capacity;
};

void pst__record_clear(struct pst_record *record); /* keeps the memory */
void pst__record_reset(struct pst_record *record); /* frees it */

/* Memory of at least capacity bytes without a limit on it; what is in it and the size stay. NULL
 * when memory is out, then nothing has changed. */
uint8_t *pst__record_grow(struct pst_record *record, size_t capacity) PST_NODISCARD;

#endif
