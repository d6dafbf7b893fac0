/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_RAGGED_H
#define PST_FORMAT_RAGGED_H

#include "format/rows/columns.h"

/* Rows of ragged columns as rows of one shape: their first items, and padding behind them. */

/* The two columns of column `number` of an array file: its items and their numbers, from->ragged of
 * them, padded with from->pad. Takes references. On failure both are to be reset. Errors:
 * PST_EUNSUPPORTED (from->ragged is 0; too many dimensions), PST_EINVAL (what the padding is),
 * PST_ELIMIT, PST_ENOMEM. */
int pst__ragged_columns(struct pst__column columns[2], struct pst__array_shared *file,
                        struct pst__source *source, int number, const struct pst_array_source *from,
                        struct pst_error *err) PST_NODISCARD;

/* See gather() of a dataset; rows are padded to so many items. */
int pst__ragged_gather(const struct pst__column *column, int64_t length, const int64_t *indices,
                       size_t n, uint8_t *dst, struct pst_error *err) PST_NODISCARD;
/* What the longest of these rows is padded to. */
int pst__ragged_longest(const struct pst__column *column, const int64_t *indices, size_t n,
                        int64_t *length, struct pst_error *err) PST_NODISCARD;
/* See intend() of a dataset. may_wait: for the ends of the rows; else of a row whose end is not in
 * memory only the end is fetched. */
void pst__ragged_intend(const struct pst__column *column, const int64_t *indices, size_t n,
                        int may_wait);
/* Whether the row's end, and the beginning of what else the column has of it, are in memory. */
int pst__ragged_is_resident(const struct pst__column *column, int64_t index);

#endif
