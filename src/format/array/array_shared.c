/* SPDX-License-Identifier: Apache-2.0 */
#include "format/array/array_shared.h"

#include <stdatomic.h>

#include "base/mem.h"
#include "base/status.h"

#define SHOWN 320

struct pst__array_shared {
    _Atomic int64_t refs; /* taken relaxed, dropped acq_rel */
    struct pst__source *source;
    struct pst__array_file file;
    char shown[SHOWN];
};

static int read_source(void *self, uint64_t offset, size_t n, void *out, struct pst_error *err)
{
    return pst__source_read(self, offset, n, out, err);
}

int pst__array_shared_open(struct pst__array_shared **out, struct pst__source *source,
                           int is_unverified, struct pst_error *err)
{
    *out = NULL;
    struct pst__array_shared *rows = pst__calloc(1, sizeof *rows, PST_MEM_HEAP);
    if (!rows)
        return pst__fail(err, PST_ENOMEM, "no memory for an array file");
    atomic_init(&rows->refs, 1);
    struct pst__array_bytes bytes = {
        read_source, source, pst__source_size(source),
        pst__printable(rows->shown, sizeof rows->shown, pst__source_path(source))};
    int rc = pst__array_file_init(&rows->file, &bytes, is_unverified, err);
    if (rc < 0) {
        pst__free(rows);
        return rc;
    }
    rows->source = pst__source_ref(source);
    *out = rows;
    return PST_OK;
}

struct pst__array_shared *pst__array_shared_ref(struct pst__array_shared *rows)
{
    atomic_fetch_add_explicit(&rows->refs, 1, memory_order_relaxed);
    return rows;
}

void pst__array_shared_unref(struct pst__array_shared *rows)
{
    if (!rows || atomic_fetch_sub_explicit(&rows->refs, 1, memory_order_acq_rel) != 1)
        return;
    pst__array_file_reset(&rows->file);
    pst__source_unref(rows->source);
    pst__free(rows);
}

const struct pst__array_layout *pst__array_shared_layout(const struct pst__array_shared *rows)
{
    return &rows->file.layout;
}

uint64_t pst__array_shared_offset(const struct pst__array_shared *rows, int stream, int64_t row)
{
    const struct pst__array_stream *of = &rows->file.layout.streams[stream];
    const struct pst__array_run *run = pst__array_run_of(of, row);
    return run->offset + (uint64_t)(row - run->first) * (uint64_t)of->element;
}

int pst__array_shared_are_whole(const struct pst__array_shared *rows, int stream)
{
    return rows->file.layout.streams[stream].n_runs <= 1;
}

int pst__array_shared_verify(struct pst__array_shared *rows, int stream, const int64_t *indices,
                             size_t n, struct pst_error *err)
{
    for (size_t i = 0; i < n && !rows->file.is_unverified; i++) {
        int rc = pst__array_verify(&rows->file, stream, indices[i], 1, err);
        if (rc < 0) {
            if (err)
                err->record = indices[i];
            return rc;
        }
    }
    return PST_OK;
}

int pst__array_shared_items(struct pst__array_shared *rows, int column, int64_t row, int64_t most,
                            struct pst__array_items *out, struct pst_error *err)
{
    int64_t bounds[2];
    int rc = pst__array_bounds(&rows->file, column, row, 1, bounds, err);
    *out = (struct pst__array_items){0};
    if (rc < 0)
        return rc;
    int stream = rows->file.layout.columns[column].stream + 1;
    int64_t n = bounds[1] - bounds[0];
    out->first = bounds[0];
    out->n = n < most ? n : most;
    if (n > 0)
        out->offset = pst__array_shared_offset(rows, stream, bounds[0]);
    return PST_OK;
}

int pst__array_shared_verify_items(struct pst__array_shared *rows, int column,
                                   const struct pst__array_items *items, struct pst_error *err)
{
    int stream = rows->file.layout.columns[column].stream + 1;
    return pst__array_verify(&rows->file, stream, items->first, items->n, err);
}
