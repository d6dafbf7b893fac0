/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../c/unit/array_bytes.h"
#include "base/mem.h"

/* An array file. With an odd first byte its CRCs are made right, so that mutation reaches what is
 * behind them; with the second bit set blocks are not checked. What is taken is read to the end,
 * and all of it lies in the file. */

#define ROWS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "fuzz_array: %s\n", what);
    abort();
}

static void check_status(int rc, const struct pst_error *err)
{
    require(rc == PST_OK || (err->status == rc && err->message[0]), "an error without a word");
    require(rc != PST_EIO, "a read outside of the file");
}

static void check_runs(const struct pst__array_stream *stream, size_t size)
{
    int64_t n = 0;
    for (size_t i = 0; i < stream->n_runs; i++) {
        const struct pst__array_run *run = &stream->runs[i];
        require(run->first == n && run->n > 0, "runs that do not follow each other");
        n += run->n;
        if (stream->element > 0)
            require(run->offset <= size &&
                        (uint64_t)run->n <= (size - run->offset) / (uint64_t)stream->element,
                    "a run outside of the file");
    }
    require(n == stream->n, "runs that do not add up");
}

static void check_bounds(struct pst__array_file *file, int column)
{
    const struct pst__array_layout *layout = &file->layout;
    int64_t items = layout->streams[layout->columns[column].stream + 1].n, bounds[ROWS + 1];
    int64_t starts[] = {0, layout->n_rows / 2, layout->n_rows - ROWS};
    for (size_t k = 0; k < 3; k++) {
        int64_t first = starts[k] < 0 ? 0 : starts[k];
        int64_t n = layout->n_rows - first < ROWS ? layout->n_rows - first : ROWS;
        struct pst_error err = {0};
        int rc = pst__array_bounds(file, column, first, n, bounds, &err);
        check_status(rc, &err);
        for (int64_t i = 0; rc == PST_OK && i < n; i++)
            require(bounds[i] >= 0 && bounds[i] <= bounds[i + 1] && bounds[i + 1] <= items,
                    "items that the column has not");
    }
}

static void check_file(struct pst__array_file *file)
{
    const struct pst__array_layout *layout = &file->layout;
    for (int s = 0; s < layout->n_streams; s++) {
        struct pst_error err = {0};
        check_runs(&layout->streams[s], (size_t)file->bytes.size);
        int64_t n = layout->streams[s].n < 100000 ? layout->streams[s].n : 100000;
        check_status(pst__array_verify(file, s, layout->streams[s].n - n, n, &err), &err);
    }
    for (int c = 0; c < layout->n_columns; c++)
        if (layout->columns[c].is_ragged)
            check_bounds(file, c);
    uint64_t footer;
    uint8_t *bytes = pst__array_layout_encode(layout, &footer);
    require(bytes && footer == layout->root.footer_size, "another footer than it was read from");
    pst__free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    int64_t blocks = pst__mem_blocks();
    size_t n = size - 1;
    uint8_t *copy = malloc(n ? n : 1);
    require(copy != NULL, "memory is out");
    memcpy(copy, data + 1, n);
    if (data[0] & 1)
        array_make_right(copy, n);
    struct array_bytes bytes = {copy, n};
    struct pst__array_bytes source = array_bytes_source(&bytes);
    struct pst__array_file file;
    struct pst_error err = {0};
    int rc = pst__array_file_init(&file, &source, data[0] & 2, &err);
    check_status(rc, &err);
    if (rc == PST_OK)
        check_file(&file);
    pst__array_file_reset(&file);
    free(copy);
    require(pst__mem_blocks() == blocks, "blocks leak");
    return 0;
}
