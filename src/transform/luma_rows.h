/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_LUMA_ROWS_H
#define PST_TRANSFORM_LUMA_ROWS_H

#include "base/mem.h"
#include "transform/transform.h"

/* A row source over another one: all three channels are Pillow's luma of that one's. self of it is
 * the struct. */
struct pst__luma_rows {
    const struct pst__row_source *source;
    int32_t w;                 /* pixels of a row */
    struct pst__scratch *rows; /* the rows that were asked for last */
};
int pst__luma_rows(void *self, int max_rows, const uint8_t **rows, ptrdiff_t *stride, int *n_rows,
                   struct pst_error *err);

#endif
