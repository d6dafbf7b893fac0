/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/status.h"
#include "loader/engine.h"

/* The simple circle: an order of its own over the explicit one. */

/* What an epoch's order and draws are keyed by. */
static uint64_t epoch_key(const struct pst_loader *loader, uint64_t purpose)
{
    return pst__mix64(pst__mix64(loader->config.seed ^ pst__mix64(purpose)) + loader->epoch.number);
}

static int epoch_begin(struct pst_loader *loader, struct pst_error *err)
{
    struct pst__epoch *epoch = &loader->epoch;
    int64_t length = pst_dataset_length(loader->config.dataset);
    if (!epoch->indices)
        epoch->indices =
            pst__calloc((size_t)loader->config.batch_size, sizeof *epoch->indices, PST_MEM_HEAP);
    if (!epoch->indices)
        return pst__fail(err, PST_ENOMEM, "no memory for a batch's indices");
    uint64_t key = epoch_key(loader, 1);
    for (int32_t s = 0; s < loader->config.n_streams; s++) {
        int rc = pst_loader_seed(loader, s, key + (uint64_t)s, err);
        if (rc < 0)
            return rc;
    }
    epoch->n_batches =
        pst__epoch_batches(length, loader->config.batch_size, loader->config.drop_last);
    if (length > 0 && loader->config.shuffle)
        pst__permutation_init(&epoch->order, (uint64_t)length, epoch_key(loader, 2));
    epoch->next = 0;
    epoch->is_open = 1;
    return PST_OK;
}

static size_t epoch_batch(struct pst_loader *loader)
{
    struct pst__epoch *epoch = &loader->epoch;
    int64_t length = pst_dataset_length(loader->config.dataset);
    int64_t first = epoch->next * loader->config.batch_size;
    int64_t n = length - first;
    if (n > loader->config.batch_size)
        n = loader->config.batch_size;
    for (int64_t i = 0; i < n; i++)
        epoch->indices[i] = loader->config.shuffle
                                ? (int64_t)pst__permutation_at(&epoch->order, (uint64_t)(first + i))
                                : first + i;
    return (size_t)n;
}

static int epoch_submit(struct pst_loader *loader, struct pst_error *err)
{
    struct pst__epoch *epoch = &loader->epoch;
    while (epoch->next < epoch->n_batches) {
        uint64_t ticket;
        size_t n = epoch_batch(loader);
        int32_t stream = (int32_t)(epoch->next % loader->config.n_streams);
        int rc = pst_loader_submit(loader, epoch->indices, n, stream, &ticket, err);
        if (rc == PST_AGAIN)
            return PST_OK;
        if (rc < 0)
            return rc;
        epoch->next++;
    }
    return PST_OK;
}

/* Takes the batch of an event, in whichever form the dataset has. */
static int batch_take(struct pst_loader *loader, const struct pst_event *event,
                      struct pst_batch *batch, struct pst_tensor *fields, struct pst_error *err)
{
    if (fields)
        return pst_loader_take_fields(loader, event->ticket, fields, loader->n_fields, err);
    return pst_loader_take(loader, event->ticket, batch, err);
}

/* batch, or the fields of a dataset of rows. */
static int epoch_take(struct pst_loader *loader, struct pst_batch *batch, struct pst_tensor *fields,
                      struct pst_error *err)
{
    int64_t deadline = pst__now_ns() + loader->config.timeout_ms * 1000000;
    for (;;) {
        struct pst_event event;
        int64_t left_ms = (deadline - pst__now_ns()) / 1000000;
        int rc = pst_loader_wait(loader, &event, left_ms > 0 ? left_ms : 0, err);
        if (rc == PST_AGAIN)
            return pst__fail(err, PST_ETIMEOUT, "no batch within %lld ms",
                             (long long)loader->config.timeout_ms);
        if (rc != PST_OK)
            return rc;
        if (event.kind == PST_EVENT_DOUBT) {
            /* Nobody stands behind this circle: a doubt is an error, reported when its batch is
             * due. */
            rc = pst_loader_fail(loader, event.ticket, event.slot, err);
            if (rc < 0)
                return rc;
            continue;
        }
        rc = batch_take(loader, &event, batch, fields, err);
        if (rc < 0 || event.kind == PST_EVENT_BATCH)
            return rc;
        if (event.kind == PST_EVENT_RAGGED)
            return pst__fail(err, PST_ERAGGED, "the samples of a batch differ in shape");
        if (err && err->status == PST_OK)
            *err = event.error;
        return event.error.status;
    }
}

static int epoch_next(struct pst_loader *loader, struct pst_batch *batch, struct pst_tensor *fields,
                      struct pst_error *err)
{
    struct pst__epoch *epoch = &loader->epoch;
    int rc = pst__loader_check(loader, err);
    if (rc == PST_OK && !epoch->is_open)
        rc = epoch_begin(loader, err);
    if (rc == PST_OK)
        rc = epoch_submit(loader, err);
    if (rc < 0)
        return rc;
    rc = epoch_take(loader, batch, fields, err);
    if (rc == PST_END) {
        epoch->is_open = 0;
        epoch->number++;
    }
    return rc;
}

int pst_loader_next(struct pst_loader *loader, struct pst_batch *batch, struct pst_error *err)
{
    PST_REQUIRE(loader->n_fields == 0, err, "batches of rows are taken as fields");
    return epoch_next(loader, batch, NULL, err);
}

int pst_loader_next_fields(struct pst_loader *loader, struct pst_tensor *fields, int n_fields,
                           struct pst_error *err)
{
    PST_REQUIRE(loader->n_fields > 0 && fields && n_fields == loader->n_fields, err,
                "%d tensors for %d fields", n_fields, loader->n_fields);
    return epoch_next(loader, NULL, fields, err);
}
