/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "loader/engine.h"

/* Samples whose transform the engine refuses for their size, finished by the consumer. */

static int find_refused(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                        struct pst__batch **batch, struct pst__sample **sample,
                        struct pst_error *err)
{
    int rc = pst__find_doubtful(loader, ticket, slot, batch, sample, err);
    if (rc < 0)
        return rc;
    /* One that has a plan was refused for its batch's memory. */
    PST_REQUIRE((*sample)->is_refused && !(*sample)->is_planned, err,
                "sample %d of batch %llu is not refused by its plan", slot,
                (unsigned long long)ticket);
    return PST_OK;
}

int pst_loader_words(struct pst_loader *loader, uint64_t ticket, int32_t slot, uint32_t *words,
                     size_t n, struct pst_error *err)
{
    struct pst__batch *batch;
    struct pst__sample *sample;
    int rc = find_refused(loader, ticket, slot, &batch, &sample, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(n <= loader->max_words && (words || n == 0), err,
                "%zu words, a sample draws at most %zu", n, loader->max_words);
    if (n == 0)
        return PST_OK;
    PST_REQUIRE(!loader->draws_normals, err, "the transform draws any number of words");
    if (loader->is_free) {
        struct pst__worker *worker = &loader->worker[loader->n_workers];
        pst__draw_own(loader, worker, sample->index);
        memcpy(words, worker->words, n * sizeof *words);
        return PST_OK;
    }
    /* The stream waits for this sample: its next words are the sample's. */
    pst__lock(&loader->lock);
    const struct pst__stream *stream = &loader->stream[batch->stream];
    struct pst__draws draws = pst__stream_draws(stream, loader->config.transform, stream->next);
    memcpy(words, draws.words, n * sizeof *words);
    pst__unlock(&loader->lock);
    return PST_OK;
}

/* Python's generator or torch's as the sample, whose turn it is, draws from it. */
static void state_of(struct pst_loader *loader, const struct pst__batch *batch,
                     const struct pst__sample *sample, int of_python, uint32_t words[PST_MT_N],
                     int32_t *position)
{
    struct pst__worker *worker = &loader->worker[loader->n_workers];
    struct pst__stream *stream = &loader->stream[batch->stream];
    if (loader->is_free)
        pst__draw_own(loader, worker, sample->index);
    pst__lock(&loader->lock);
    const struct pst__mt *python = loader->is_free ? &worker->python : &stream->python;
    const struct pst__mt *mt = of_python ? python : loader->is_free ? &worker->mt : &stream->mt;
    memcpy(words, mt->state, sizeof mt->state);
    *position = (int32_t)mt->given;
    pst__unlock(&loader->lock);
}

int pst_loader_python(struct pst_loader *loader, uint64_t ticket, int32_t slot, uint32_t words[624],
                      int32_t *position, struct pst_error *err)
{
    struct pst__batch *batch;
    struct pst__sample *sample;
    int rc = find_refused(loader, ticket, slot, &batch, &sample, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(loader->draws_python, err, "the transform does not draw from Python's random");
    state_of(loader, batch, sample, 1, words, position);
    return PST_OK;
}

int pst_loader_generator(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                         uint32_t words[624], int32_t *position, struct pst_error *err)
{
    struct pst__batch *batch;
    struct pst__sample *sample;
    int rc = find_refused(loader, ticket, slot, &batch, &sample, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(loader->draws_normals, err, "the transform does not draw normals");
    state_of(loader, batch, sample, 0, words, position);
    return PST_OK;
}

int pst_loader_normal(struct pst_loader *loader, uint64_t ticket, int32_t slot, double *normal,
                      struct pst_error *err)
{
    struct pst__batch *batch;
    struct pst__sample *sample;
    int rc = find_refused(loader, ticket, slot, &batch, &sample, err);
    if (rc < 0)
        return rc;
    pst__lock(&loader->lock);
    *normal = loader->is_free ? NAN : loader->stream[batch->stream].normal;
    pst__unlock(&loader->lock);
    return PST_OK;
}

int pst_loader_leave_normal(struct pst_loader *loader, uint64_t ticket, int32_t slot, double normal,
                            struct pst_error *err)
{
    struct pst__batch *batch;
    struct pst__sample *sample;
    int rc = find_refused(loader, ticket, slot, &batch, &sample, err);
    if (rc == PST_OK)
        sample->normal_spent = normal;
    return rc;
}

/* A plan that says no more than its result's size. */
static void plan_result(struct pst__sample *sample, int32_t h, int32_t w)
{
    struct pst__plan *plan = &sample->plan;
    plan->src_w = sample->info.width;
    plan->src_h = sample->info.height;
    plan->n_segments = plan->n_changes = plan->n_erased = plan->n_crops = 0;
    plan->region = (struct pst_rect){0};
    plan->out_w = w;
    plan->out_h = h;
}

static void go_on(struct pst_loader *loader, struct pst__batch *batch, struct pst__sample *sample,
                  size_t words, uint32_t python_words)
{
    if (loader->is_free) {
        pst__planned(loader, batch, sample);
        return;
    }
    struct pst__stream *stream = &loader->stream[batch->stream];
    sample->words_at = stream->next;
    sample->python_at = batch->python_words;
    sample->normal_at = stream->normal;
    pst__stream_at(loader, batch, stream->next + words, batch->python_words + python_words,
                   words ? sample->normal_spent : stream->normal);
    batch->plan_next++;
    pst__planned(loader, batch, sample);
    pst__plan_on(loader, batch, sample);
}

int pst_loader_finish(struct pst_loader *loader, uint64_t ticket, int32_t slot, const void *data,
                      size_t size, int32_t h, int32_t w, size_t words, uint32_t python_words,
                      struct pst_error *err)
{
    struct pst__batch *batch;
    struct pst__sample *sample;
    int rc = find_refused(loader, ticket, slot, &batch, &sample, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(words <= loader->max_words || loader->draws_normals, err,
                "%zu words, a sample draws at most %zu", words, loader->max_words);
    if (size == 0) {
        sample->words_spent = words;
        sample->python_spent = python_words;
        return PST_OK;
    }
    PST_REQUIRE(data && h > 0 && w > 0 && h <= PST_MAX_PLAN_SIDE && w <= PST_MAX_PLAN_SIDE, err,
                "a sample of %d x %d", w, h);
    plan_result(sample, h, w);
    size_t bytes = pst__transform_bytes(loader->config.transform, &sample->plan);
    PST_REQUIRE(size == bytes, err, "a sample of %d x %d in %zu bytes, expected %zu", w, h, size,
                bytes);
    uint8_t *copy = pst__alloc(size, PST_MEM_RECORD);
    if (!copy)
        return pst__fail(err, PST_ENOMEM, "no memory for a sample of %zu bytes", size);
    memcpy(copy, data, size);
    pst__lock(&loader->lock);
    pst__doubt_ends(loader);
    pst__sample_settle(loader, batch, sample);
    sample->cost = 0;
    pst__pixels_take(loader, sample, copy, size);
    sample->is_finished = 1;
    sample->words_spent = 0;
    go_on(loader, batch, sample, words, python_words);
    pst__broadcast(&loader->work);
    pst__unlock(&loader->lock);
    return PST_OK;
}
