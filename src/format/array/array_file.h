/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_ARRAY_FILE_H
#define PST_FORMAT_ARRAY_FILE_H

#include "format/array/array_layout.h"

/* An array file that is read: its layout, and which of its blocks were found to be right. All calls
 * but init and reset from any thread, several at once. Zero-initialised means empty. */
struct pst__array_file {
    struct pst__array_layout layout;
    struct pst__array_bytes bytes;
    int is_unverified; /* blocks are not looked at */
    _Atomic uint32_t *checked;
};

/* What bytes.self and bytes.name point to lives as long. Errors as pst__array_layout_read(). */
int pst__array_file_init(struct pst__array_file *file, const struct pst__array_bytes *bytes,
                         int is_unverified, struct pst_error *err) PST_NODISCARD;
void pst__array_file_reset(struct pst__array_file *file);

/* The run that has an element of a stream; 0 <= element < the stream's n. */
const struct pst__array_run *pst__array_run_of(const struct pst__array_stream *stream,
                                               int64_t element);

/* Checks the blocks of n elements of a stream from `first` on, each once. Whoever has their bytes
 * from elsewhere than bytes.read() should take them afterwards. PST_EFORMAT names column, rows and
 * offset; else what read() says. */
int pst__array_verify(struct pst__array_file *file, int stream, int64_t first, int64_t n,
                      struct pst_error *err) PST_NODISCARD;

/* The items of n rows of a ragged column from `first` on: row first + i has the items bounds[i] to
 * bounds[i + 1]. bounds has room for n + 1. Checked as pst__array_verify(), and against each other
 * in any case: they are within the column's items. */
int pst__array_bounds(struct pst__array_file *file, int column, int64_t first, int64_t n,
                      int64_t *bounds, struct pst_error *err) PST_NODISCARD;

#endif
