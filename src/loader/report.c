/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/status.h"
#include "loader/engine.h"

static int64_t get(_Atomic int64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_workers(struct pst_loader *loader, struct pst_stats *stats)
{
    for (int i = 0; i <= loader->n_workers; i++) {
        struct pst__worker *worker = &loader->worker[i];
        stats->bytes_read += get(&worker->bytes_read);
        stats->read_ns += get(&worker->read_ns);
        stats->probe_ns += get(&worker->probe_ns);
        stats->plan_ns += get(&worker->plan_ns);
        stats->decode_ns += get(&worker->decode_ns);
        stats->transform_ns += get(&worker->transform_ns);
        stats->scratch_bytes += get(&worker->scratch_bytes);
    }
}

int pst_loader_stats(struct pst_loader *loader, struct pst_stats *out, struct pst_error *err)
{
    int rc = pst__loader_check(loader, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(out && out->struct_size >= sizeof out->struct_size, err,
                "struct_size of the stats is not set");
    struct pst_stats stats = {.struct_size = out->struct_size};
    struct pst__slab_pool_stats slabs;
    add_workers(loader, &stats);
    pst__slab_pool_stats(loader->pool, &slabs);
    pst__lock(&loader->lock);
    stats.batches = loader->batches;
    stats.samples = loader->samples;
    stats.doubts = loader->doubts;
    stats.replans = loader->replans;
    stats.wait_ns = loader->wait_ns;
    stats.reference_ns = loader->reference_ns;
    stats.batches_ahead = (int32_t)(loader->tail - loader->head);
    pst__unlock(&loader->lock);
    stats.elapsed_ns = pst__now_ns() - loader->opened_ns;
    stats.slab_bytes = slabs.bytes;
    stats.slab_peak_bytes = slabs.peak_bytes;
    stats.slab_allocs = slabs.allocs;
    stats.over_budget = slabs.over_budget;
    stats.held_peak_bytes = slabs.peak_held;
    stats.memory_budget = (int64_t)loader->config.memory_budget;
    stats.record_bytes = pst__mem_live(PST_MEM_RECORD);
    stats.heap_bytes = pst__mem_live(PST_MEM_HEAP);
    stats.threads = loader->n_workers;
    memcpy(out, &stats, out->struct_size < sizeof stats ? out->struct_size : sizeof stats);
    return PST_OK;
}

/* A sample of the oldest batch, which is at rest. */
static int resting_sample(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                          const struct pst__sample **sample, struct pst_error *err)
{
    int rc = pst__loader_check(loader, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(ticket == loader->head && loader->head < loader->tail, err,
                "batch %llu is not the oldest one", (unsigned long long)ticket);
    struct pst__batch *batch = pst__head(loader);
    pst__lock(&loader->lock);
    int is_over = pst__batch_is_over(batch);
    pst__unlock(&loader->lock);
    PST_REQUIRE(is_over && slot >= 0 && slot < batch->n && batch->sample[slot].is_planned, err,
                "slot %d of batch %llu has no plan", slot, (unsigned long long)ticket);
    *sample = &batch->sample[slot];
    return PST_OK;
}

int pst_loader_slot_shape(struct pst_loader *loader, uint64_t ticket, int32_t slot, int32_t *h,
                          int32_t *w, struct pst_error *err)
{
    const struct pst__sample *sample = NULL; /* gcc 12 does not see that a failure is negative */
    int rc = resting_sample(loader, ticket, slot, &sample, err);
    if (rc < 0)
        return rc;
    *h = sample->plan.out_h;
    *w = sample->plan.out_w;
    return PST_OK;
}

int pst_loader_describe_slot(struct pst_loader *loader, uint64_t ticket, int32_t slot, char *text,
                             size_t size, struct pst_error *err)
{
    const struct pst__sample *sample = NULL; /* gcc 12 does not see that a failure is negative */
    int rc = resting_sample(loader, ticket, slot, &sample, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(text && size > 0, err, "there is no place for the text");
    pst__plan_describe(&sample->plan, text, size);
    return PST_OK;
}
