/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/luma_rows.h"

#include <string.h>

#include "base/status.h"
#include "kernels/kernels.h"

/* The source's rows are not written to: a decoder may look at them again. */
int pst__luma_rows(void *self, int max_rows, const uint8_t **rows, ptrdiff_t *stride, int *n_rows,
                   struct pst_error *err)
{
    const struct pst__luma_rows *luma = self;
    const uint8_t *from;
    ptrdiff_t from_stride;
    int rc = luma->source->rows(luma->source->self, max_rows, &from, &from_stride, n_rows, err);
    if (rc < 0)
        return rc;
    size_t row = (size_t)luma->w * 4;
    uint8_t *to = pst__scratch_reserve(luma->rows, row * (size_t)*n_rows);
    if (!to)
        return pst__fail(err, PST_ENOMEM, "no memory for %d rows of %d pixels", *n_rows, luma->w);
    *rows = to;
    *stride = (ptrdiff_t)row;
    for (int i = 0; i < *n_rows; i++, to += row, from += from_stride) {
        memcpy(to, from, row);
        pst__kernels()->grey(to, luma->w);
    }
    return PST_OK;
}
