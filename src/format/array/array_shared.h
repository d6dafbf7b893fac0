/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_ARRAY_SHARED_H
#define PST_FORMAT_ARRAY_SHARED_H

#include "format/array/array_file.h"
#include "io/source.h"

/* An array file that the columns of a dataset share: each holds a reference. */
struct pst__array_shared;

/* Takes a reference on the source. Errors as pst__array_layout_read(). */
int pst__array_shared_open(struct pst__array_shared **out, struct pst__source *source,
                           int is_unverified, struct pst_error *err) PST_NODISCARD;
struct pst__array_shared *pst__array_shared_ref(struct pst__array_shared *rows);
void pst__array_shared_unref(struct pst__array_shared *rows); /* NULL is legal */

const struct pst__array_layout *pst__array_shared_layout(const struct pst__array_shared *rows);
/* The place of a row of a fixed column's stream in the file. */
uint64_t pst__array_shared_offset(const struct pst__array_shared *rows, int stream, int64_t row);
/* 1 where the rows of a stream lie in one piece. */
int pst__array_shared_are_whole(const struct pst__array_shared *rows, int stream);
/* Checks the blocks of n rows, each once. */
int pst__array_shared_verify(struct pst__array_shared *rows, int stream, const int64_t *indices,
                             size_t n, struct pst_error *err) PST_NODISCARD;

/* Items of one row of a ragged column, in one piece. */
struct pst__array_items {
    int64_t first, n; /* of the column's items */
    uint64_t offset;  /* place in the file; 0 where n is */
};
/* The first items of a row, at most `most`. The row's ends are checked, see pst__array_bounds(). */
int pst__array_shared_items(struct pst__array_shared *rows, int column, int64_t row, int64_t most,
                            struct pst__array_items *out, struct pst_error *err) PST_NODISCARD;
/* Checks the blocks of these items, each once. */
int pst__array_shared_verify_items(struct pst__array_shared *rows, int column,
                                   const struct pst__array_items *items,
                                   struct pst_error *err) PST_NODISCARD;

#endif
