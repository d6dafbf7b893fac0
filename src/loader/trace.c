/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/trace.h>

#include "base/clock.h"
#include "base/status.h"
#include "loader/engine.h"

static void add(struct pst_loader *loader, struct pst__worker *worker,
                struct pst_trace_event *event, int64_t end_ns)
{
    event->thread = (int32_t)(worker - loader->worker);
    event->duration_ns = end_ns > event->start_ns ? end_ns - event->start_ns : 0;
    pst__ring_add(&worker->ring, event);
}

void pst__trace_sample(struct pst_loader *loader, struct pst__worker *worker, int kind,
                       const struct pst__batch *batch, const struct pst__sample *sample,
                       int64_t start_ns, int64_t end_ns, int count)
{
    struct pst_trace_event event = {.kind = kind,
                                    .start_ns = start_ns,
                                    .index = sample->index,
                                    .ticket = batch->ticket,
                                    .slot = (int32_t)(sample - batch->sample),
                                    .count = count};
    add(loader, worker, &event, end_ns);
}

void pst__trace_batch(struct pst_loader *loader, struct pst__worker *worker, int kind,
                      uint64_t ticket, int64_t start_ns, int64_t end_ns, int count)
{
    struct pst_trace_event event = {.kind = kind,
                                    .start_ns = start_ns,
                                    .index = -1,
                                    .ticket = ticket,
                                    .slot = -1,
                                    .count = count};
    add(loader, worker, &event, end_ns);
}

void pst__trace_submitted(struct pst_loader *loader, struct pst__batch *batch)
{
    batch->submitted_ns = 0;
    if (!pst__is_traced(loader))
        return;
    int64_t now = batch->submitted_ns = pst__now_ns();
    pst__trace_batch(loader, pst__consumer(loader), PST_TRACE_SUBMIT, batch->ticket, now, now,
                     batch->n);
}

void pst__trace_left(struct pst_loader *loader, const struct pst__batch *batch)
{
    if (pst__is_traced(loader) && batch->submitted_ns)
        pst__trace_batch(loader, pst__consumer(loader), PST_TRACE_BATCH, batch->ticket,
                         batch->submitted_ns, pst__now_ns(), batch->n);
}

/* Rings belong to this file while the flag is down; a thread that saw it up may still come with an
 * event, for which a ring has a lock. */
static void set_traced(struct pst_loader *loader, int is_traced)
{
    atomic_store_explicit(&loader->is_traced, is_traced, memory_order_release);
}

static void drop_rings(struct pst_loader *loader)
{
    for (int i = 0; i <= loader->n_workers; i++)
        (void)pst__ring_resize(&loader->worker[i].ring, 0); /* asks for no memory */
}

int pst_loader_trace_start(struct pst_loader *loader, size_t capacity, struct pst_error *err)
{
    int rc = pst__loader_check(loader, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(capacity > 0 && capacity <= PST_TRACE_MOST, err,
                "a thread keeps 1 to %d events, not %zu", PST_TRACE_MOST, capacity);
    set_traced(loader, 0);
    for (int i = 0; i <= loader->n_workers && rc == PST_OK; i++)
        rc = pst__ring_resize(&loader->worker[i].ring, capacity);
    if (rc < 0) {
        drop_rings(loader);
        return pst__fail(err, rc, "no memory for %zu events a thread", capacity);
    }
    set_traced(loader, 1);
    return PST_OK;
}

int pst_loader_trace_stop(struct pst_loader *loader, struct pst_error *err)
{
    int rc = pst__loader_check(loader, err);
    if (rc == PST_OK)
        set_traced(loader, 0);
    return rc;
}

int pst_loader_trace(struct pst_loader *loader, struct pst_trace_event *events, size_t n,
                     size_t *taken, uint64_t *lost, struct pst_error *err)
{
    int rc = pst__loader_check(loader, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(events && n > 0 && taken && lost, err, "there is no place for the events");
    *taken = 0;
    *lost = 0;
    int is_traced = pst__is_traced(loader);
    for (int i = 0; i <= loader->n_workers; i++)
        *taken += pst__ring_take(&loader->worker[i].ring, events + *taken, n - *taken, lost);
    if (!is_traced && *taken < n)
        drop_rings(loader);
    return PST_OK;
}
