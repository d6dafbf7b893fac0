/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/dataset.h"
#include "loader/engine.h"

/* Batches of a dataset of rows. There is nothing to plan and nobody to ask: a thread claims a run
 * of a batch's rows and has the dataset copy them into the batch's slab, where the fields lie one
 * after the other. */

#define RUN_BYTES ((size_t)256 << 10) /* of a run: some tens of microseconds */
/* Of one that is read around the page cache: as much as a thread has in flight. */
#define DIRECT_RUN_BYTES ((size_t)1 << 20)

/* --- layout
 * ------------------------------------------------------------------------------------------- */

static size_t aligned(size_t n)
{
    return (n + PST_ALIGN - 1) / PST_ALIGN * PST_ALIGN;
}

/* Whether its rows are of different lengths. */
static int is_varying(const struct pst_field *field)
{
    return field->ndim > 0 && field->shape[0] == -1;
}

static int field_size(const struct pst_field *field, size_t *bytes, struct pst_error *err)
{
    int64_t size = (int64_t)pst_dtype_size(field->dtype);
    PST_REQUIRE(size > 0 && field->ndim >= 0 && field->ndim < PST_MAX_DIMS, err,
                "field '%s' has dtype %d and %d dimensions", field->name, field->dtype,
                field->ndim);
    for (int d = is_varying(field); d < field->ndim; d++)
        if (field->shape[d] < 0 || __builtin_mul_overflow(size, field->shape[d], &size) ||
            size > PST_MAX_OUTPUT)
            return pst__fail(err, PST_ELIMIT, "a row of field '%s' has over %lld bytes",
                             field->name, PST_MAX_OUTPUT);
    *bytes = (size_t)size;
    return PST_OK;
}

int pst__rows_init(struct pst_loader *loader, struct pst_error *err)
{
    int n = pst_dataset_fields(loader->config.dataset, NULL, 0);
    if (n <= 0)
        return PST_OK;
    PST_REQUIRE(!loader->config.transform, err, "rows have no transform");
    PST_REQUIRE(n <= PST_MAX_FIELDS, err, "%d fields, expected at most %d", n, PST_MAX_FIELDS);
    loader->field = pst__calloc((size_t)n, sizeof *loader->field, PST_MEM_HEAP);
    loader->field_bytes = pst__calloc((size_t)n, sizeof *loader->field_bytes, PST_MEM_HEAP);
    if (!loader->field || !loader->field_bytes)
        return pst__fail(err, PST_ENOMEM, "no memory for %d fields", n);
    loader->n_fields = pst_dataset_fields(loader->config.dataset, loader->field, n);
    loader->run_bytes =
        pst__dataset_memory(loader->config.dataset) > 0 ? DIRECT_RUN_BYTES : RUN_BYTES;
    for (int f = 0; f < n; f++) {
        int rc = field_size(&loader->field[f], &loader->field_bytes[f], err);
        if (rc < 0)
            return rc;
        if (is_varying(&loader->field[f]))
            loader->is_varying = 1;
        else
            loader->row_bytes += loader->field_bytes[f];
    }
    return PST_OK;
}

/* Where a batch lies in its slab. */
struct layout {
    size_t n;               /* rows */
    const int64_t *lengths; /* NULL where all rows are of one length */
    size_t row_bytes;       /* of all fields */
    size_t field_bytes[PST_MAX_FIELDS], offset[PST_MAX_FIELDS];
    size_t bytes; /* of the slab */
};

/* n is at most PST_MAX_BATCH and a row of a field at most PST_MAX_OUTPUT, which lengths were
 * checked for: no product overflows. */
static void lay_out(struct layout *layout, const struct pst_loader *loader, size_t n,
                    const int64_t *lengths)
{
    size_t end = 0;
    layout->n = n;
    layout->lengths = lengths;
    layout->row_bytes = loader->row_bytes;
    for (int f = 0; f < loader->n_fields; f++) {
        layout->field_bytes[f] = loader->field_bytes[f];
        if (is_varying(&loader->field[f])) {
            layout->field_bytes[f] *= (size_t)lengths[f];
            layout->row_bytes += layout->field_bytes[f];
        }
        layout->offset[f] = end;
        end += aligned(n * layout->field_bytes[f]);
    }
    layout->bytes = end > 0 ? end : PST_ALIGN;
}

/* How long rows are in a batch of these, within the limit of a row. */
static int measure(const struct pst_loader *loader, const int64_t *indices, size_t n,
                   int64_t *lengths, struct pst_error *err)
{
    int rc = pst_dataset_lengths(loader->config.dataset, indices, n, lengths, err);
    for (int f = 0; rc == PST_OK && f < loader->n_fields; f++) {
        int64_t bytes;
        if (is_varying(&loader->field[f]) &&
            (lengths[f] < 0 ||
             __builtin_mul_overflow(lengths[f], (int64_t)loader->field_bytes[f], &bytes) ||
             bytes > PST_MAX_OUTPUT))
            rc = pst__fail(err, PST_ELIMIT,
                           "a row of field '%s' has %lld items of %zu bytes, which is over %lld "
                           "bytes",
                           loader->field[f].name, (long long)lengths[f], loader->field_bytes[f],
                           PST_MAX_OUTPUT);
    }
    return rc;
}

size_t pst__rows_bytes(const struct pst_loader *loader, size_t n)
{
    struct layout layout;
    if (loader->is_varying)
        return 0;
    lay_out(&layout, loader, n, NULL);
    return layout.bytes;
}

/* A tensor for each field over a slab that was filled. */
static int make_fields(const struct pst_loader *loader, struct pst_buffer *slab,
                       const struct layout *layout, struct pst_tensor *fields,
                       struct pst_error *err)
{
    for (int f = 0; f < loader->n_fields; f++) {
        int64_t shape[PST_MAX_DIMS] = {(int64_t)layout->n};
        const struct pst_field *field = &loader->field[f];
        for (int d = 0; d < field->ndim; d++)
            shape[d + 1] = field->shape[d];
        if (is_varying(field))
            shape[1] = layout->lengths[f];
        int rc = pst_tensor_from_buffer(&fields[f], slab, layout->offset[f], field->dtype,
                                        field->ndim + 1, shape, NULL, err);
        if (rc == PST_OK)
            continue;
        while (f-- > 0)
            pst_tensor_reset(&fields[f]);
        return rc;
    }
    return PST_OK;
}

static int gather_into(const struct pst_loader *loader, struct pst_buffer *slab,
                       const struct layout *layout, size_t first, const int64_t *indices, size_t n,
                       struct pst_error *err)
{
    void *dst[PST_MAX_FIELDS];
    for (int f = 0; f < loader->n_fields; f++)
        dst[f] =
            (uint8_t *)pst_buffer_data(slab) + layout->offset[f] + first * layout->field_bytes[f];
    return pst_gather_padded(loader->config.dataset, indices, n, layout->lengths, dst, err);
}

static int check_size(const struct pst_loader *loader, size_t bytes, size_t n,
                      struct pst_error *err)
{
    if (loader->is_strict_budget && bytes > loader->config.memory_budget)
        return pst__fail(err, PST_ELIMIT,
                         "a batch of %zu rows takes %zu bytes, the memory budget is %zu", n, bytes,
                         loader->config.memory_budget);
    return PST_OK;
}

/* --- on the threads
 * ----------------------------------------------------------------------------------- */

int pst__rows_fill(const struct pst_loader *loader, struct pst__batch *batch,
                   const int64_t *indices, size_t n, struct pst_error *err)
{
    if (loader->is_varying && !batch->lengths) {
        batch->lengths =
            pst__calloc((size_t)loader->n_fields, sizeof *batch->lengths, PST_MEM_HEAP);
        if (!batch->lengths)
            return pst__fail(err, PST_ENOMEM, "no memory for the lengths of a batch");
    }
    if (batch->capacity < (int32_t)n) {
        int64_t *rows = pst__calloc(n, sizeof *rows, PST_MEM_HEAP);
        if (!rows)
            return pst__fail(err, PST_ENOMEM, "no memory for a batch of %zu rows", n);
        pst__free(batch->rows);
        batch->rows = rows;
        batch->capacity = (int32_t)n;
    }
    memcpy(batch->rows, indices, n * sizeof *indices);
    return PST_OK;
}

/* The batch cannot be had from this row on; of two rows the first one counts. */
static void rows_fail(struct pst__batch *batch, int32_t slot, int rc, const struct pst_error *err)
{
    if (batch->failed_slot >= 0 && batch->failed_slot <= slot)
        return;
    batch->failed_slot = slot;
    batch->failure_status = rc;
    if (!batch->failure)
        batch->failure = pst__alloc(sizeof *batch->failure, PST_MEM_HEAP);
    if (batch->failure) /* without memory for the sentence the status says it */
        *batch->failure = *err;
}

static int32_t slot_of(const struct pst__batch *batch, int32_t first, int32_t n, int64_t index)
{
    for (int32_t i = first; i < first + n; i++)
        if (batch->rows[i] == index)
            return i;
    return first;
}

struct rows_run {
    struct pst__batch *batch;
    int32_t first, n;
};

static int take_slab(struct pst_loader *loader, struct pst__batch *batch, int is_oldest)
{
    struct pst_error err;
    pst_error_init(&err);
    struct layout layout;
    if (batch->awaits)
        return PST_AGAIN;
    lay_out(&layout, loader, (size_t)batch->n, batch->lengths);
    if (pst__memory_use(batch, layout.bytes))
        return PST_OK;
    int rc = check_size(loader, layout.bytes, (size_t)batch->n, &err);
    if (rc == PST_OK)
        rc = pst__slab_take(loader->pool, layout.bytes, is_oldest, &batch->slab, &err);
    if (rc < 0) {
        rows_fail(batch, 0, rc, &err);
        pst__signal(&loader->done);
    }
    return rc;
}

/* Rows of a batch's next run: about loader->run_bytes of them. */
static int32_t run_length(const struct pst_loader *loader, const struct pst__batch *batch)
{
    struct layout layout;
    lay_out(&layout, loader, (size_t)batch->n, batch->lengths);
    size_t most = layout.row_bytes > 0 ? loader->run_bytes / layout.row_bytes : RUN_BYTES;
    int32_t left = batch->n - batch->read_next;
    return most < 1 ? 1 : most < (size_t)left ? (int32_t)most : left;
}

/* The oldest rows that nobody has. 0: there are none, or it is not known yet how large the next
 * batch is, or the budget is full; it comes back in the order of batches. */
static int claim_rows(struct pst_loader *loader, struct rows_run *run)
{
    for (uint64_t t = loader->head; t < loader->tail; t++) {
        struct pst__batch *batch = pst__batch_at(loader, t);
        if (!pst__batch_is_open(batch) || batch->read_next == batch->n)
            continue;
        if (loader->is_varying && batch->is_measured != PST_MEASURED)
            return 0;
        if (!batch->slab) {
            int rc = take_slab(loader, batch, t == loader->head);
            if (rc < 0)
                continue;
            if (rc == PST_AGAIN)
                return 0;
        }
        run->batch = batch;
        run->first = batch->read_next;
        run->n = run_length(loader, batch);
        batch->read_next += run->n;
        batch->n_active++;
        return 1;
    }
    return 0;
}

static void finish_rows(struct pst_loader *loader, struct pst__worker *worker,
                        const struct rows_run *run, int rc, const struct pst_error *err)
{
    struct pst__batch *batch = run->batch;
    batch->n_active--;
    if (rc < 0 && !batch->is_held)
        rows_fail(batch, slot_of(batch, run->first, run->n, err->record), rc, err);
    if (!pst__batch_is_open(batch)) {
        if (batch->n_active == 0)
            pst__signal(&loader->done);
        return;
    }
    batch->n_done += run->n;
    if (batch->n_done < batch->n)
        return;
    pst__signal(&loader->done);
    if (pst__is_traced(loader)) {
        int64_t now = pst__now_ns();
        pst__trace_batch(loader, worker, PST_TRACE_READY, batch->ticket, now, now, batch->n);
    }
}

static void gather_rows(struct pst_loader *loader, struct pst__worker *worker,
                        const struct rows_run *run)
{
    struct pst_error err;
    pst_error_init(&err);
    const struct pst__batch *batch = run->batch;
    struct layout layout;
    lay_out(&layout, loader, (size_t)batch->n, batch->lengths);
    int64_t t0 = pst__now_ns();
    int rc = gather_into(loader, batch->slab, &layout, (size_t)run->first, batch->rows + run->first,
                         (size_t)run->n, &err);
    int64_t t1 = pst__now_ns();
    atomic_fetch_add_explicit(&worker->read_ns, t1 - t0, memory_order_relaxed);
    atomic_fetch_add_explicit(&worker->bytes_read, (int64_t)(layout.row_bytes * (size_t)run->n),
                              memory_order_relaxed);
    if (pst__is_traced(loader))
        pst__trace_batch(loader, worker, PST_TRACE_READ, batch->ticket, t0, t1, run->n);
    pst__lock(&loader->lock);
    finish_rows(loader, worker, run, rc, &err);
}

/* All that is submitted is known: the system is told of it in front of the first row. */
static int intend_next(struct pst_loader *loader)
{
    for (uint64_t t = loader->head; t < loader->tail; t++) {
        struct pst__batch *batch = pst__batch_at(loader, t);
        if (batch->is_intended || !pst__batch_is_open(batch))
            continue;
        batch->is_intended = 1;
        batch->n_active++; /* so that the indices stay */
        pst__unlock(&loader->lock);
        pst_dataset_intend(loader->config.dataset, batch->rows, (size_t)batch->n);
        pst__lock(&loader->lock);
        if (--batch->n_active == 0 && (!pst__batch_is_open(batch) || batch->n_done == batch->n))
            pst__signal(&loader->done);
        return 1;
    }
    return 0;
}

/* The oldest batch whose rows' lengths nobody has asked for. That may read from files. */
static int measure_next(struct pst_loader *loader)
{
    for (uint64_t t = loader->head; t < loader->tail; t++) {
        struct pst__batch *batch = pst__batch_at(loader, t);
        if (batch->is_measured != PST_NOT_MEASURED || !pst__batch_is_open(batch))
            continue;
        struct pst_error err;
        pst_error_init(&err);
        batch->is_measured = PST_MEASURING;
        batch->n_active++; /* so that the indices stay */
        pst__unlock(&loader->lock);
        int rc = measure(loader, batch->rows, (size_t)batch->n, batch->lengths, &err);
        pst__lock(&loader->lock);
        batch->n_active--;
        if (rc < 0 && !batch->is_held)
            rows_fail(batch, slot_of(batch, 0, batch->n, err.record), rc, &err);
        batch->is_measured = PST_MEASURED;
        if (batch->n_active == 0 && !pst__batch_is_open(batch))
            pst__signal(&loader->done);
        pst__broadcast(&loader->work); /* its rows can be claimed */
        return 1;
    }
    return 0;
}

int pst__rows_work(struct pst_loader *loader, struct pst__worker *worker)
{
    struct rows_run run;
    if (intend_next(loader))
        return PST_OK;
    if (claim_rows(loader, &run)) {
        pst__unlock(&loader->lock);
        gather_rows(loader, worker, &run);
        return PST_OK;
    }
    return loader->is_varying && measure_next(loader) ? PST_OK : PST_AGAIN;
}

/* --- the consumer
 * ------------------------------------------------------------------------------------- */

static int check_fields(const struct pst_loader *loader, const struct pst_tensor *fields,
                        int n_fields, struct pst_error *err)
{
    int rc = pst__loader_check(loader, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(loader->n_fields > 0, err, "the loader's dataset is not of rows");
    PST_REQUIRE(fields && n_fields == loader->n_fields, err, "%d tensors for %d fields", n_fields,
                loader->n_fields);
    return PST_OK;
}

static int failure_of(const struct pst__batch *batch, struct pst_error *err)
{
    if (batch->failure && err && err->status >= 0) {
        *err = *batch->failure;
        err->record = batch->rows[batch->failed_slot];
    }
    return pst__fail(err, batch->failure_status, "%s", pst_status_text(batch->failure_status));
}

int pst_loader_take_fields(struct pst_loader *loader, uint64_t ticket, struct pst_tensor *fields,
                           int n_fields, struct pst_error *err)
{
    int rc = check_fields(loader, fields, n_fields, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(ticket == loader->head && loader->head < loader->tail, err,
                "batch %llu is not the oldest one", (unsigned long long)ticket);
    memset(fields, 0, (size_t)n_fields * sizeof *fields);
    struct pst__batch *batch = pst__head(loader);
    pst__lock(&loader->lock);
    int is_over = pst__batch_is_over(batch);
    struct pst_buffer *slab = is_over && batch->failed_slot < 0 ? batch->slab : NULL;
    pst__unlock(&loader->lock);
    if (!is_over)
        return PST_AGAIN;
    struct layout layout;
    if (slab) {
        lay_out(&layout, loader, (size_t)batch->n, batch->lengths);
        rc = make_fields(loader, slab, &layout, fields, err);
    }
    if (rc < 0)
        return rc;
    pst__lock(&loader->lock);
    if (batch->failed_slot >= 0)
        rc = failure_of(batch, err);
    if (slab) {
        loader->batches++;
        loader->samples += batch->n;
    }
    pst__trace_left(loader, batch);
    pst__batch_clear(loader, batch); /* drops the batch's reference on the slab */
    loader->head++;
    pst__broadcast(&loader->work);
    pst__unlock(&loader->lock);
    pst__memory_release(loader);
    return rc;
}

/* The rows into a slab or the caller's memory, and the tensors over it. */
static int gather_over(struct pst_loader *loader, struct pst_buffer *slab,
                       const struct layout *layout, const int64_t *indices,
                       struct pst_tensor *fields, struct pst_error *err)
{
    int64_t t0 = pst__now_ns();
    int rc = gather_into(loader, slab, layout, 0, indices, layout->n, err);
    struct pst__worker *self = pst__consumer(loader);
    int64_t t1 = pst__now_ns();
    atomic_fetch_add_explicit(&self->read_ns, t1 - t0, memory_order_relaxed);
    atomic_fetch_add_explicit(&self->bytes_read, (int64_t)(layout->row_bytes * layout->n),
                              memory_order_relaxed);
    if (pst__is_traced(loader))
        pst__trace_batch(loader, self, PST_TRACE_READ, 0, t0, t1, (int)layout->n);
    if (rc == PST_OK)
        rc = make_fields(loader, slab, layout, fields, err);
    if (rc < 0)
        return rc;
    pst__lock(&loader->lock);
    loader->batches++;
    loader->samples += (int64_t)layout->n;
    pst__unlock(&loader->lock);
    return PST_OK;
}

/* The same in a slab of its own. Its caller waits for it: it goes in front of all that is
 * submitted. */
static int gather_batch(struct pst_loader *loader, const struct layout *layout,
                        const int64_t *indices, struct pst_tensor *fields, struct pst_error *err)
{
    struct pst_buffer *slab;
    int rc = pst__slab_take(loader->pool, layout->bytes, 1, &slab, err);
    if (rc < 0)
        return rc;
    rc = gather_over(loader, slab, layout, indices, fields, err);
    pst__slab_leave(loader->pool, slab);
    pst_buffer_unref(slab);
    return rc;
}

int pst_loader_gather_into(struct pst_loader *loader, const int64_t *indices, size_t n,
                           struct pst_buffer *memory, struct pst_tensor *fields, int n_fields,
                           struct pst_error *err)
{
    int64_t lengths[PST_MAX_FIELDS];
    struct layout layout;
    int rc = check_fields(loader, fields, n_fields, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(n > 0 && n <= (size_t)loader->config.batch_size, err,
                "a batch has 1 to %d samples, not %zu", loader->config.batch_size, n);
    memset(fields, 0, (size_t)n_fields * sizeof *fields);
    rc = loader->is_varying ? measure(loader, indices, n, lengths, err) : PST_OK;
    if (rc < 0)
        return rc;
    lay_out(&layout, loader, n, lengths);
    rc = check_size(loader, layout.bytes, n, err);
    if (rc == PST_OK && memory)
        rc = pst__memory_check(memory, layout.bytes, err);
    if (rc < 0)
        return rc;
    return memory ? gather_over(loader, memory, &layout, indices, fields, err)
                  : gather_batch(loader, &layout, indices, fields, err);
}

int pst_loader_gather(struct pst_loader *loader, const int64_t *indices, size_t n,
                      struct pst_tensor *fields, int n_fields, struct pst_error *err)
{
    return pst_loader_gather_into(loader, indices, n, NULL, fields, n_fields, err);
}
