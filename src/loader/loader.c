/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/loader.h>

#include <stdlib.h>
#include <string.h>

#include "base/cgroup.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/dataset.h"
#include "loader/engine.h"

enum { DEFAULT_AHEAD = 4, DEFAULT_NICE = 5 };
static const size_t default_budget = (size_t)1 << 30;
static const int64_t default_timeout_ms = 300000;

void pst_loader_config_init(struct pst_loader_config *config)
{
    *config = (struct pst_loader_config){.struct_size = sizeof *config};
}

void pst_batch_reset(struct pst_batch *batch)
{
    pst_tensor_reset(&batch->images);
    pst_tensor_reset(&batch->labels);
}

int pst__loader_check(const struct pst_loader *loader, struct pst_error *err)
{
    if (loader->generation != pst__fork_generation())
        return pst__fail(err, PST_EFORKED,
                         "this loader was opened before a fork; its threads are in the parent");
    return PST_OK;
}

/* Defaults in place of zeros, bounds checked. */
/* In a small container no more than a quarter of it: the rest is the trainer's. */
static size_t default_budget_of_process(void)
{
    int64_t limit = pst__cgroup_memory("/proc/self/cgroup", "/sys/fs/cgroup");
    if (limit == 0 || (uint64_t)limit / 4 > default_budget)
        return default_budget;
    return (size_t)limit / 4;
}

static int config_settle(struct pst_loader_config *to, const struct pst_loader_config *from,
                         struct pst_error *err)
{
    PST_REQUIRE(from && from->struct_size >= offsetof(struct pst_loader_config, threads), err,
                "the loader config is not initialised");
    pst_loader_config_init(to);
    memcpy(to, from, from->struct_size < sizeof *to ? from->struct_size : sizeof *to);
    to->struct_size = sizeof *to;
    PST_REQUIRE(to->dataset && (to->transform || pst_dataset_fields(to->dataset, NULL, 0) > 0), err,
                "a loader needs a dataset and a transform");
    if (to->threads == 0)
        to->threads = pst__cpu_count();
    if (to->batch_size == 0)
        to->batch_size = 1;
    if (to->ahead == 0)
        to->ahead = DEFAULT_AHEAD;
    if (to->n_streams == 0)
        to->n_streams = 1;
    if (to->memory_budget == 0)
        to->memory_budget = default_budget_of_process();
    to->nice = to->nice == 0 ? DEFAULT_NICE : to->nice < 0 ? 0 : to->nice;
    if (to->timeout_ms == 0)
        to->timeout_ms = default_timeout_ms;
    PST_REQUIRE(to->threads > 0 && to->threads <= PST_MAX_THREADS, err,
                "threads must be 1 to %d, not %d", PST_MAX_THREADS, to->threads);
    PST_REQUIRE(to->batch_size > 0 && to->batch_size <= PST_MAX_BATCH, err,
                "batch_size must be 1 to %d, not %d", PST_MAX_BATCH, to->batch_size);
    PST_REQUIRE(to->ahead > 0 && to->ahead <= PST_MAX_AHEAD, err,
                "ahead must be 1 to %d batches, not %d", PST_MAX_AHEAD, to->ahead);
    PST_REQUIRE(to->n_streams > 0 && to->n_streams <= PST_MAX_STREAMS, err,
                "n_streams must be 1 to %d, not %d", PST_MAX_STREAMS, to->n_streams);
    PST_REQUIRE(to->rng == PST_RNG_TORCH || to->rng == PST_RNG_SAMPLE, err, "rng %d is unknown",
                to->rng);
    return PST_OK;
}

/* The configuration is the caller's; what is kept of it is a copy. */
static int mix_init(struct pst_loader *loader, struct pst_error *err)
{
    const struct pst_mix_config *mix = loader->config.mix;
    loader->config.mix = NULL;
    if (!mix)
        return PST_OK;
    PST_REQUIRE(loader->config.transform, err, "rows are not mixed");
    int rc = pst__mix_check(mix, loader->config.transform, err);
    if (rc < 0)
        return rc;
    loader->mix = *mix;
    loader->mix_words = pst_mix_max_words(mix);
    loader->is_free = loader->config.rng == PST_RNG_SAMPLE;
    return PST_OK;
}

static int loader_allocate(struct pst_loader *loader, struct pst_error *err)
{
    const struct pst_loader_config *config = &loader->config;
    loader->ring = pst__calloc((size_t)config->ahead, sizeof *loader->ring, PST_MEM_HEAP);
    loader->stream = pst__calloc((size_t)config->n_streams, sizeof *loader->stream, PST_MEM_HEAP);
    loader->worker = pst__calloc((size_t)config->threads + 1, sizeof *loader->worker, PST_MEM_HEAP);
    loader->idle_records =
        pst__calloc((size_t)loader->staged_most, sizeof *loader->idle_records, PST_MEM_HEAP);
    loader->spent = pst__calloc((size_t)config->ahead, sizeof *loader->spent, PST_MEM_HEAP);
    if (!loader->ring || !loader->stream || !loader->worker || !loader->idle_records ||
        !loader->spent)
        return pst__fail(err, PST_ENOMEM, "no memory for a loader");
    for (int32_t i = 0; i < config->ahead; i++)
        loader->ring[i].mixes = loader->mix.n > 0;
    loader->n_workers = config->threads;
    for (int i = 0; i <= loader->n_workers; i++) {
        int rc = pst__worker_init(loader, &loader->worker[i], err);
        if (rc < 0)
            return rc;
    }
    int rc = pst__slab_pool_new(&loader->pool, config->memory_budget, err);
    if (rc == PST_OK)
        pst__slab_pool_beside(loader->pool, ((int64_t)pst__dataset_memory(config->dataset) +
                                             (loader->mix.n > 0 ? PST_MIX_PIECE : 0)) *
                                                loader->n_workers);
    return rc;
}

/* What a half-built loader holds goes back; its threads are gone. */
static void loader_free(struct pst_loader *loader)
{
    if (loader->ring)
        for (int32_t i = 0; i < loader->config.ahead; i++) {
            pst__batch_clear(loader, &loader->ring[i]);
            pst__free(loader->ring[i].sample);
            pst__free(loader->ring[i].rows);
            pst__free(loader->ring[i].lengths);
        }
    pst__memory_release(loader);
    for (int i = 0; i < loader->n_idle_records; i++) {
        pst__record_reset(loader->idle_records[i]);
        pst__free(loader->idle_records[i]);
    }
    if (loader->stream)
        for (int32_t i = 0; i < loader->config.n_streams; i++)
            pst__stream_reset(&loader->stream[i]);
    if (loader->worker)
        for (int i = 0; i <= loader->n_workers; i++)
            pst__worker_reset(&loader->worker[i]);
    pst__refill_reset(&loader->refill);
    pst__free(loader->field);
    pst__free(loader->field_bytes);
    pst__free(loader->epoch.indices);
    pst__free(loader->idle_records);
    pst__free(loader->spent);
    pst__free(loader->ring);
    pst__free(loader->stream);
    pst__free(loader->worker);
    pst__slab_pool_unref(loader->pool);
    pst__cond_reset(&loader->done);
    pst__cond_reset(&loader->work);
    pst__mutex_reset(&loader->lock);
    pst_transform_unref(loader->config.transform);
    pst_dataset_unref(loader->config.dataset);
    pst__free(loader);
}

static int locks_init(struct pst_loader *loader)
{
    int rc = pst__mutex_init(&loader->lock);
    if (rc < 0)
        return rc;
    rc = pst__cond_init(&loader->work);
    if (rc < 0) {
        pst__mutex_reset(&loader->lock);
        return rc;
    }
    rc = pst__cond_init(&loader->done);
    if (rc < 0) {
        pst__cond_reset(&loader->work);
        pst__mutex_reset(&loader->lock);
    }
    return rc;
}

static int check_uniform(const struct pst_loader *loader, struct pst_error *err)
{
    PST_REQUIRE(!loader->is_uniform || loader->uniform.channels <=
                                           pst__transform_in_channels(loader->config.transform),
                err, "images of %d channels, the transform is for grey ones",
                loader->uniform.channels);
    return PST_OK;
}

static size_t fixed_bytes(const struct pst_transform *transform)
{
    struct pst__plan plan;
    int is_fixed = pst__transform_fixed_size(transform, &plan.out_h, &plan.out_w);
    return is_fixed ? pst__transform_bytes(transform, &plan) : 0;
}

static void threads_stop(struct pst_loader *loader)
{
    pst__lock(&loader->lock);
    loader->is_stopping = 1;
    pst__broadcast(&loader->work);
    pst__unlock(&loader->lock);
    pst__workers_join(loader->team);
    loader->team = NULL;
}

int pst__threads_start(struct pst_loader *loader, struct pst_error *err)
{
    if (loader->team)
        return PST_OK;
    int rc = pst__workers_start(&loader->team, loader->n_workers, "penstock", loader->config.nice,
                                pst__worker_run, loader, err);
    if (rc < 0) {
        threads_stop(loader); /* those that were started */
        loader->is_stopping = 0;
    }
    return rc;
}

int pst_loader_open(struct pst_loader **out, const struct pst_loader_config *config,
                    struct pst_error *err)
{
    PST_REQUIRE(out, err, "there is no place for the loader");
    struct pst_loader_config settled;
    int rc = config_settle(&settled, config, err);
    if (rc < 0)
        return rc;
    struct pst_loader *loader = pst__calloc(1, sizeof *loader, PST_MEM_HEAP);
    if (!loader)
        return pst__fail(err, PST_ENOMEM, "no memory for a loader");
    loader->config = settled;
    rc = locks_init(loader);
    if (rc < 0) {
        pst__free(loader);
        return pst__fail(err, rc, "no memory for the loader's locks");
    }
    pst_dataset_ref(settled.dataset);
    if (settled.transform)
        pst_transform_ref(settled.transform);
    loader->generation = pst__fork_generation();
    loader->opened_ns = pst__now_ns();
    loader->head = loader->tail = 1;
    loader->is_strict_budget = config->memory_budget != 0;
    loader->is_free = 1;
    if (settled.transform) {
        loader->max_words = pst_transform_max_words(settled.transform);
        loader->n_ranges = pst__transform_n_exp_ranges(settled.transform);
        loader->draws_python = pst_transform_draws_python(settled.transform);
        loader->draws_normals = pst_transform_draws_normals(settled.transform);
        loader->is_free =
            (loader->max_words == 0 && !loader->draws_python) || settled.rng == PST_RNG_SAMPLE;
        loader->is_uniform = pst__dataset_uniform(settled.dataset, &loader->uniform);
        loader->fixed_bytes = fixed_bytes(settled.transform);
    }
    /* Each thread runs one record and has one read; as much again keeps them from waiting for a
     * plan. */
    loader->staged_most = 4 * settled.threads + 2;
    rc = pst__rows_init(loader, err);
    if (rc == PST_OK)
        rc = mix_init(loader, err);
    if (rc == PST_OK)
        rc = check_uniform(loader, err);
    if (rc == PST_OK)
        rc = loader_allocate(loader, err);
    if (rc == PST_OK && loader->n_fields == 0)
        rc = pst__threads_start(loader, err);
    if (rc < 0) {
        pst_loader_close(&loader);
        return rc;
    }
    *out = loader;
    return PST_OK;
}

void pst_loader_close(struct pst_loader **out)
{
    if (!out || !*out)
        return;
    struct pst_loader *loader = *out;
    *out = NULL;
    /* In a child the threads do not exist and the lock may have been held at the fork: the child
     * leaves the parent's copy alone. */
    if (loader->generation != pst__fork_generation())
        return;
    threads_stop(loader);
    loader_free(loader);
}
