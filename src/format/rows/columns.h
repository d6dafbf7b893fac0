/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_COLUMNS_H
#define PST_FORMAT_COLUMNS_H

#include <penstock/array.h>

#include "format/access.h"
#include "format/array/array_shared.h"
#include "io/source.h"

/* The dataset of rows over arrays in files or in memory, whatever file described them. */

/* One array. Zero-initialised means empty. */
struct pst__column {
    char *name;      /* PST_MEM_HEAP */
    int dtype, ndim; /* of the array: shape[0] is the number of rows */
    int64_t shape[PST_MAX_DIMS];
    int64_t strides[PST_MAX_DIMS]; /* bytes */
    int is_swapped;                /* its bytes are of the other order */
    struct pst__source *source;    /* a reference, and where in it the first element is */
    uint64_t offset;
    /* A reference, where the file vouches for its rows: they are those of a stream, which need not
     * lie in one piece; offset is 0. */
    struct pst__array_shared *file;
    int stream;
    /* Of a ragged column of the file, by its number there: rows of its first items, as many as
     * `ragged`, or how many of these are a row's own. 0: rows of a fixed shape. */
    int64_t ragged;
    int number, is_length;
    /* Padded to the longest row of a batch, and to a multiple: `ragged` is the most that is kept of
     * a row, shape[1] is 1. 0: to `ragged`. */
    int64_t multiple;
    uint8_t pad[8];            /* an element behind a row's items */
    struct pst_buffer *buffer; /* or in memory: a reference, and the first element */
    const uint8_t *data;
};
void pst__column_reset(struct pst__column *column);

/* Takes over what the columns hold, and leaves them empty, also on failure. They have as many rows.
 * Elements of a column with a source lie within it. Errors: PST_EINVAL, PST_ENOMEM. */
int pst__columns_dataset(struct pst_dataset **out, struct pst__column *columns, size_t n,
                         struct pst_error *err);
/* How its rows are read, and why, for whoever opened the files; NULL for another kind. */
struct pst__choice *pst__columns_choice(const struct pst_dataset *dataset);
/* The columns of such a dataset, or of one with steps over it; NULL for another kind. Valid while
 * the dataset is. */
const struct pst__column *pst__columns_of(const struct pst_dataset *dataset, size_t *n);
/* The file of a field of such a dataset; NULL where there is none. */
const char *pst__columns_path(const struct pst_dataset *dataset, size_t field);

#endif
