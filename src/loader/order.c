/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>

#include "base/clock.h"
#include "base/status.h"
#include "loader/engine.h"

/* A sample with a plan may run as soon as its batch has a shape, which it may give itself. */
void pst__plan_placed(struct pst_loader *loader, struct pst__batch *batch, int32_t slot)
{
    const struct pst__sample *sample = &batch->sample[slot];
    int32_t last = slot;
    if (slot == batch->shape_slot) {
        batch->out_w = sample->plan.out_w;
        batch->out_h = sample->plan.out_h;
        batch->sample_bytes = pst__transform_bytes(loader->config.transform, &sample->plan);
    }
    if (!batch->out_w)
        return; /* until shape_slot gives the shape and comes back for it */
    if (slot == batch->shape_slot)
        last = batch->n - 1;
    for (int32_t i = slot; i <= last; i++) {
        struct pst__sample *other = &batch->sample[i];
        if (other->state != PST_SAMPLE_PLANNED)
            continue;
        if (other->plan.out_w != batch->out_w || other->plan.out_h != batch->out_h)
            batch->is_ragged = 1;
        pst__sample_ready(batch, other);
    }
}

void pst__planned(struct pst_loader *loader, struct pst__batch *batch, struct pst__sample *sample)
{
    sample->state = PST_SAMPLE_PLANNED;
    sample->is_planned = 1;
    sample->cost += pst__plan_cost(loader->config.transform, &sample->plan);
    pst__cost_expect(batch, sample);
    pst__plan_placed(loader, batch, (int32_t)(sample - batch->sample));
}

void pst__stream_begins(const struct pst_loader *loader, struct pst__batch *batch)
{
    const struct pst__stream *stream = &loader->stream[batch->stream];
    batch->words_start = batch->words_end = stream->next;
    batch->normal_end = stream->normal;
    batch->python_words = 0;
    if (loader->draws_python)
        batch->python_start = stream->python;
    if (loader->draws_normals)
        batch->mt_start = stream->mt;
}

void pst__stream_at(struct pst_loader *loader, struct pst__batch *batch, uint64_t position,
                    uint32_t python_words, double normal)
{
    struct pst__stream *stream = &loader->stream[batch->stream];
    batch->words_end = stream->next = position;
    batch->python_words = python_words;
    stream->normal = batch->normal_end = normal;
    if (loader->draws_python) {
        stream->python = batch->python_start;
        pst__mt_skip(&stream->python, python_words);
    }
    if (loader->draws_normals) {
        stream->mt = batch->mt_start;
        pst__mt_skip(&stream->mt, position - batch->words_start);
    }
}

struct pst__draws pst__draws_next(const struct pst_loader *loader, struct pst__stream *stream)
{
    struct pst__draws draws;
    if (loader->draws_normals) {
        draws = pst__transform_draws(loader->config.transform, &stream->mt, &stream->python);
    } else {
        draws = pst__stream_draws(stream, loader->config.transform, stream->next);
        draws.python = &stream->python;
    }
    draws.normal = &stream->normal;
    return draws;
}

/* Draws for the next sample of a batch that is at its turn. 0: it is not ready. */
static int plan_next(struct pst_loader *loader, struct pst__stream *stream,
                     struct pst__batch *batch)
{
    struct pst__sample *sample = &batch->sample[batch->plan_next];
    if (sample->is_absent) {
        batch->plan_next++;
        return 1;
    }
    if (sample->state != PST_SAMPLE_PROBED)
        return 0;
    struct pst__draws draws = pst__draws_next(loader, stream);
    sample->normal_at = stream->normal;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst__transform_plan(loader->config.transform, sample->info.width, sample->info.height,
                                 sample->info.orientation, &draws, &sample->plan, &err);
    if (rc < 0) {
        sample->is_refused = 1;
        sample->words_drawn = draws.used;
        sample->python_drawn = draws.python_used;
        sample->normal_spent = stream->normal;
        pst__stream_at(loader, batch, stream->next, batch->python_words, sample->normal_at);
        pst__sample_doubt(loader, batch, sample, rc, &err);
        return 0;
    }
    sample->words_at = stream->next;
    stream->next += draws.used;
    batch->words_end = stream->next;
    batch->normal_end = stream->normal;
    sample->python_at = batch->python_words;
    batch->python_words += draws.python_used;
    batch->plan_next++;
    pst__planned(loader, batch, sample);
    return 1;
}

int pst__plan_ahead(struct pst_loader *loader, int32_t which, int most)
{
    struct pst__stream *stream = &loader->stream[which];
    int n = 0;
    for (uint64_t t = loader->head; t < loader->tail; t++) {
        struct pst__batch *batch = pst__batch_at(loader, t);
        if (batch->stream != which || batch->failed_slot >= 0)
            continue;
        if (batch->is_held)
            return n;
        if (batch->plan_next == 0)
            pst__stream_begins(loader, batch);
        for (; batch->plan_next < batch->n; n++)
            if (n == most || !plan_next(loader, stream, batch))
                return n;
        pst__mix_plan(loader, stream, batch);
    }
    return n;
}

void pst__plan_on(struct pst_loader *loader, const struct pst__batch *batch,
                  const struct pst__sample *sample)
{
    int64_t t0 = pst__is_traced(loader) ? pst__now_ns() : 0;
    int n = pst__plan_ahead(loader, batch->stream, INT_MAX);
    if (pst__is_traced(loader) && t0 && n > 0)
        pst__trace_sample(loader, pst__consumer(loader), PST_TRACE_PLAN, batch, sample, t0,
                          pst__now_ns(), n);
}

void pst__draw_own(struct pst_loader *loader, struct pst__worker *worker, int64_t index)
{
    uint64_t key = pst__mix64(loader->sample_key ^ pst__mix64((uint64_t)index + 1));
    if (loader->draws_python)
        pst__mt_seed_words(&worker->python, pst__mix64(key));
    if (loader->draws_normals) {
        pst__mt_seed_words(&worker->mt, pst__mix64(~key));
        worker->draws =
            pst__transform_draws(loader->config.transform, &worker->mt, &worker->python);
        return;
    }
    for (size_t i = 0; i < loader->max_words; i++)
        worker->words[i] = pst__keyed_word(key, i);
    for (int r = 0; r < loader->n_ranges; r++) {
        pst__transform_exp_arguments(loader->config.transform, r, worker->words, loader->max_words,
                                     worker->exps[r]);
        pst__range_compute(pst__transform_range(loader->config.transform, r), worker->exps[r],
                           loader->max_words);
        worker->draws.exps[r] = worker->exps[r];
    }
    worker->draws.words = worker->words;
    worker->draws.python = &worker->python;
}

/* Plans a sample whose draws need no order. The caller owns the sample: lock not needed. */
int pst__plan_own(struct pst_loader *loader, struct pst__worker *worker, struct pst__sample *sample,
                  struct pst_error *err)
{
    if (loader->max_words > 0 || loader->draws_python)
        pst__draw_own(loader, worker, sample->index);
    worker->draws.used = 0;
    worker->draws.python_used = 0;
    worker->draws.is_uncertain = 0;
    int rc = pst__transform_plan(loader->config.transform, sample->info.width, sample->info.height,
                                 sample->info.orientation, &worker->draws, &sample->plan, err);
    sample->is_planned = rc == PST_OK;
    sample->is_refused = rc < 0;
    return rc;
}
