/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/clock.h"
#include "base/rng.h"
#include "buffer/buffer.h"
#include "loader/engine.h"

/* Batches that are mixed (CutMix, MixUp) when all their samples are there: drawn in the order of
 * the stream behind their samples, and worked on by all threads, in pieces. */

#define RUN_BYTES ((size_t)1 << 20) /* of the batch, that a thread takes at once */

static int can_mix(const struct pst__batch *batch)
{
    return batch->mixes && !batch->is_ragged && batch->n_absent < batch->n;
}

int pst__mix_is_due(const struct pst__batch *batch)
{
    return can_mix(batch) && !batch->is_mixed;
}

static void draw(const struct pst_loader *loader, struct pst__batch *batch,
                 struct pst__draws *draws, double *normal)
{
    pst__mix_draw(&loader->mix, batch->out_h, batch->out_w, draws, normal, &batch->mix);
    batch->n_pieces =
        pst__mix_pieces(&batch->mix, loader->config.transform, batch->out_h, batch->out_w);
    batch->is_mix_drawn = 1;
}

void pst__mix_plan(const struct pst_loader *loader, struct pst__stream *stream,
                   struct pst__batch *batch)
{
    if (!can_mix(batch) || batch->is_mix_drawn)
        return;
    struct pst__draws draws = pst__draws_next(loader, stream);
    draw(loader, batch, &draws, &stream->normal);
    stream->next += draws.used;
    batch->words_end = stream->next;
    batch->normal_end = stream->normal;
}

/* With PST_RNG_SAMPLE a mix depends on the epoch and on the batch's samples alone. */
static void draw_own(const struct pst_loader *loader, struct pst__batch *batch)
{
    uint32_t words[PST_MIX_MOST_WORDS];
    uint64_t key = pst__mix64(~loader->sample_key);
    for (int32_t i = 0; i < batch->n; i++)
        if (!batch->sample[i].is_absent)
            key = pst__mix64(key ^ pst__mix64((uint64_t)batch->sample[i].index + 1));
    for (size_t i = 0; i < loader->mix_words; i++)
        words[i] = pst__keyed_word(key, i);
    struct pst__draws draws = {.words = words};
    double normal = NAN;
    draw(loader, batch, &draws, &normal);
}

static void batch_ready(struct pst_loader *loader, struct pst__worker *worker,
                        const struct pst__batch *batch)
{
    pst__signal(&loader->done);
    if (pst__is_traced(loader)) {
        int64_t now = pst__now_ns();
        pst__trace_batch(loader, worker, PST_TRACE_READY, batch->ticket, now, now,
                         batch->n - batch->n_absent);
    }
}

void pst__batch_landed(struct pst_loader *loader, struct pst__worker *worker,
                       const struct pst__batch *batch)
{
    if (pst__mix_is_due(batch))
        pst__broadcast(&loader->work);
    else
        batch_ready(loader, worker, batch);
}

static void mixed(struct pst_loader *loader, struct pst__worker *worker, struct pst__batch *batch)
{
    batch->is_mixed = 1;
    batch_ready(loader, worker, batch);
}

int pst__mix_claim(struct pst_loader *loader, struct pst__worker *worker, struct pst__mix_run *run)
{
    for (uint64_t t = loader->head; t < loader->tail; t++) {
        struct pst__batch *batch = pst__batch_at(loader, t);
        if (batch->n_done < batch->n || !pst__batch_is_open(batch) || !pst__mix_is_due(batch))
            continue;
        if (!batch->is_mix_drawn && loader->is_free)
            draw_own(loader, batch);
        if (!batch->is_mix_drawn)
            continue;             /* the consumer is about to */
        if (batch->n_pieces == 0) /* an empty rectangle */
            mixed(loader, worker, batch);
        if (batch->piece_next == batch->n_pieces)
            continue;
        size_t left = batch->n_pieces - batch->piece_next;
        size_t bytes = batch->sample_bytes < PST_MIX_PIECE ? batch->sample_bytes : PST_MIX_PIECE;
        size_t most = RUN_BYTES / (bytes * (size_t)batch->n) + 1;
        *run = (struct pst__mix_run){batch, batch->piece_next, left < most ? left : most};
        batch->piece_next += run->n;
        batch->n_active++;
        return 1;
    }
    return 0;
}

static int32_t present_before(const struct pst__batch *batch, int32_t slot)
{
    while (--slot >= 0 && batch->sample[slot].is_absent)
        ;
    return slot;
}

/* From the last sample to the first, so that what comes before a sample is still what it was. */
static void mix_piece(const struct pst_loader *loader, struct pst__worker *worker,
                      const struct pst__batch *batch, size_t piece)
{
    struct pst__span span =
        pst__mix_span(&batch->mix, loader->config.transform, batch->out_h, batch->out_w, piece);
    uint8_t *data = (uint8_t *)pst_buffer_data(batch->slab) + span.at;
    int32_t slot = present_before(batch, batch->n);
    pst__mix_keep(&span, data + (size_t)slot * batch->sample_bytes, worker->mixed_last);
    for (int32_t before; slot >= 0; slot = before) {
        uint8_t *own = data + (size_t)slot * batch->sample_bytes;
        before = present_before(batch, slot);
        if (before < 0)
            pst__mix_pair(&batch->mix, &span, own, worker->mixed_last, span.bytes);
        else
            pst__mix_pair(&batch->mix, &span, own, data + (size_t)before * batch->sample_bytes,
                          span.pitch);
    }
}

void pst__mix_run(struct pst_loader *loader, struct pst__worker *worker,
                  const struct pst__mix_run *run)
{
    struct pst__batch *batch = run->batch;
    int64_t start = pst__now_ns();
    for (size_t i = 0; i < run->n; i++)
        mix_piece(loader, worker, batch, run->from + i);
    atomic_fetch_add_explicit(&worker->transform_ns, pst__now_ns() - start, memory_order_relaxed);
    pst__lock(&loader->lock);
    batch->n_active--;
    if (!pst__batch_is_open(batch)) {
        if (batch->n_active == 0)
            pst__signal(&loader->done);
        return;
    }
    batch->pieces_done += run->n;
    if (batch->pieces_done == batch->n_pieces)
        mixed(loader, worker, batch);
}
