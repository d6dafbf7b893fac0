/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "loader/engine.h"

/* Batches of a dataset of rows. There is nothing to plan and nobody to ask: a thread claims a run
 * of a batch's rows and has the dataset copy them into the batch's slab, where the fields lie one
 * after the other. */

#define RUN_BYTES ((size_t)256 << 10) /* of a run: some tens of microseconds */

/* --- layout
 * ------------------------------------------------------------------------------------------- */

static size_t aligned(size_t n)
{
    return (n + PST_ALIGN - 1) / PST_ALIGN * PST_ALIGN;
}

static int field_size(const struct pst_field *field, size_t *bytes, struct pst_error *err)
{
    int64_t size = (int64_t)pst_dtype_size(field->dtype);
    PST_REQUIRE(size > 0 && field->ndim >= 0 && field->ndim < PST_MAX_DIMS, err,
                "field '%s' has dtype %d and %d dimensions", field->name, field->dtype,
                field->ndim);
    for (int d = 0; d < field->ndim; d++)
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
    for (int f = 0; f < n; f++) {
        int rc = field_size(&loader->field[f], &loader->field_bytes[f], err);
        if (rc < 0)
            return rc;
        loader->row_bytes += loader->field_bytes[f];
    }
    return PST_OK;
}

/* Where the fields of a batch of n rows begin in its slab; returns the slab's size. n is at most
 * PST_MAX_BATCH and a field at most PST_MAX_OUTPUT: no product overflows. */
static size_t lay_out(const struct pst_loader *loader, size_t n, size_t *offset)
{
    size_t end = 0;
    for (int f = 0; f < loader->n_fields; f++) {
        offset[f] = end;
        end += aligned(n * loader->field_bytes[f]);
    }
    return end > 0 ? end : PST_ALIGN;
}

/* A tensor for each field over a slab that was filled. */
static int make_fields(const struct pst_loader *loader, struct pst_buffer *slab, size_t n,
                       struct pst_tensor *fields, struct pst_error *err)
{
    size_t offset[PST_MAX_FIELDS];
    lay_out(loader, n, offset);
    for (int f = 0; f < loader->n_fields; f++) {
        int64_t shape[PST_MAX_DIMS] = {(int64_t)n};
        const struct pst_field *field = &loader->field[f];
        for (int d = 0; d < field->ndim; d++)
            shape[d + 1] = field->shape[d];
        int rc = pst_tensor_from_buffer(&fields[f], slab, offset[f], field->dtype, field->ndim + 1,
                                        shape, NULL, err);
        if (rc == PST_OK)
            continue;
        while (f-- > 0)
            pst_tensor_reset(&fields[f]);
        return rc;
    }
    return PST_OK;
}

static int gather_into(const struct pst_loader *loader, struct pst_buffer *slab, size_t n_batch,
                       size_t first, const int64_t *indices, size_t n, struct pst_error *err)
{
    size_t offset[PST_MAX_FIELDS];
    void *dst[PST_MAX_FIELDS];
    lay_out(loader, n_batch, offset);
    for (int f = 0; f < loader->n_fields; f++)
        dst[f] = (uint8_t *)pst_buffer_data(slab) + offset[f] + first * loader->field_bytes[f];
    return pst_gather(loader->config.dataset, indices, n, dst, err);
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

int pst__rows_fill(struct pst__batch *batch, const int64_t *indices, size_t n,
                   struct pst_error *err)
{
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
    size_t offset[PST_MAX_FIELDS], bytes = lay_out(loader, (size_t)batch->n, offset);
    int rc = check_size(loader, bytes, (size_t)batch->n, &err);
    if (rc == PST_OK)
        rc = pst__slab_take(loader->pool, bytes, is_oldest, &batch->slab, &err);
    if (rc < 0) {
        rows_fail(batch, 0, rc, &err);
        pst__signal(&loader->done);
    }
    return rc;
}

/* The oldest rows that nobody has. 0: there are none, or the budget is full; it comes back in the
 * order of batches. */
static int claim_rows(struct pst_loader *loader, struct rows_run *run)
{
    for (uint64_t t = loader->head; t < loader->tail; t++) {
        struct pst__batch *batch = pst__batch_at(loader, t);
        if (!pst__batch_is_open(batch) || batch->read_next == batch->n)
            continue;
        if (!batch->slab) {
            int rc = take_slab(loader, batch, t == loader->head);
            if (rc < 0)
                continue;
            if (rc == PST_AGAIN)
                return 0;
        }
        size_t most = loader->row_bytes > 0 ? RUN_BYTES / loader->row_bytes : RUN_BYTES;
        int32_t left = batch->n - batch->read_next;
        run->batch = batch;
        run->first = batch->read_next;
        run->n = most < 1 ? 1 : most < (size_t)left ? (int32_t)most : left;
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
    int64_t t0 = pst__now_ns();
    int rc = gather_into(loader, batch->slab, (size_t)batch->n, (size_t)run->first,
                         batch->rows + run->first, (size_t)run->n, &err);
    int64_t t1 = pst__now_ns();
    atomic_fetch_add_explicit(&worker->read_ns, t1 - t0, memory_order_relaxed);
    atomic_fetch_add_explicit(&worker->bytes_read, (int64_t)(loader->row_bytes * (size_t)run->n),
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

int pst__rows_work(struct pst_loader *loader, struct pst__worker *worker)
{
    struct rows_run run;
    if (intend_next(loader))
        return PST_OK;
    if (!claim_rows(loader, &run))
        return PST_AGAIN;
    pst__unlock(&loader->lock);
    gather_rows(loader, worker, &run);
    return PST_OK;
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
    if (slab)
        rc = make_fields(loader, slab, (size_t)batch->n, fields, err);
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
    return rc;
}

int pst_loader_gather(struct pst_loader *loader, const int64_t *indices, size_t n,
                      struct pst_tensor *fields, int n_fields, struct pst_error *err)
{
    size_t offset[PST_MAX_FIELDS];
    int rc = check_fields(loader, fields, n_fields, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(n > 0 && n <= (size_t)loader->config.batch_size, err,
                "a batch has 1 to %d samples, not %zu", loader->config.batch_size, n);
    memset(fields, 0, (size_t)n_fields * sizeof *fields);
    size_t bytes = lay_out(loader, n, offset);
    struct pst_buffer *slab;
    rc = check_size(loader, bytes, n, err);
    /* Its caller waits for it: it goes in front of all that is submitted. */
    if (rc == PST_OK)
        rc = pst__slab_take(loader->pool, bytes, 1, &slab, err);
    if (rc < 0)
        return rc;
    int64_t t0 = pst__now_ns();
    rc = gather_into(loader, slab, n, 0, indices, n, err);
    struct pst__worker *self = pst__consumer(loader);
    int64_t t1 = pst__now_ns();
    atomic_fetch_add_explicit(&self->read_ns, t1 - t0, memory_order_relaxed);
    atomic_fetch_add_explicit(&self->bytes_read, (int64_t)(loader->row_bytes * n),
                              memory_order_relaxed);
    if (pst__is_traced(loader))
        pst__trace_batch(loader, self, PST_TRACE_READ, 0, t0, t1, (int)n);
    if (rc == PST_OK)
        rc = make_fields(loader, slab, n, fields, err);
    pst__slab_leave(loader->pool, slab);
    pst_buffer_unref(slab);
    if (rc < 0)
        return rc;
    pst__lock(&loader->lock);
    loader->batches++;
    loader->samples += (int64_t)n;
    pst__unlock(&loader->lock);
    return PST_OK;
}
