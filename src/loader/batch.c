/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "loader/engine.h"

int pst__batch_is_open(const struct pst__batch *batch)
{
    return !batch->is_held && batch->failed_slot < 0;
}

int pst__batch_is_over(const struct pst__batch *batch)
{
    if (batch->is_held)
        return 0;
    return batch->n_active == 0 &&
           (batch->failed_slot >= 0 || (batch->n_done == batch->n && !pst__mix_is_due(batch)));
}

void pst__sample_begin(const struct pst_loader *loader, struct pst__sample *sample, int64_t index)
{
    memset(sample, 0, offsetof(struct pst__sample, plan));
    sample->index = sample->asked = index;
    sample->state = PST_SAMPLE_NEW;
    sample->next_ready = -1;
    if (!loader->is_uniform)
        return;
    sample->info = (struct pst_image_info){PST_IMAGE_RAW, loader->uniform.width,
                                           loader->uniform.height, .orientation = 1};
    if (!loader->is_free)
        sample->state = PST_SAMPLE_PROBED;
}

/* All samples begin, in a batch that has begun. */
static void samples_begin(const struct pst_loader *loader, struct pst__batch *batch,
                          const int64_t *indices)
{
    for (int32_t i = 0; i < batch->n; i++)
        pst__sample_begin(loader, &batch->sample[i], indices ? indices[i] : batch->sample[i].asked);
    /* Where sizes are known and draws have an order, there is nothing to do before planning. */
    batch->read_next = loader->is_uniform && !loader->is_free ? batch->n : 0;
}

static void batch_begin(struct pst__batch *batch)
{
    pst__free(batch->failure);
    batch->failure = NULL;
    batch->failure_status = PST_OK;
    batch->read_next = batch->plan_next = 0;
    batch->n_done = batch->n_active = batch->n_doubts = 0;
    batch->ready_first = batch->ready_last = -1;
    batch->n_expected = 0;
    batch->cost_most = 0;
    batch->n_absent = batch->shape_slot = 0;
    batch->failed_slot = -1;
    batch->is_held = batch->is_ragged = batch->is_intended = 0;
    batch->is_measured = PST_NOT_MEASURED;
    batch->out_w = batch->out_h = 0;
    batch->sample_bytes = 0;
    batch->words_start = batch->words_end = 0;
    batch->python_words = 0;
    batch->normal_end = NAN;
    batch->is_mix_drawn = batch->is_mixed = 0;
    batch->n_pieces = batch->piece_next = batch->pieces_done = 0;
}

int pst__batch_fill(struct pst_loader *loader, struct pst__batch *batch, uint64_t ticket,
                    const int64_t *indices, size_t n, int32_t stream, struct pst_error *err)
{
    if (loader->n_fields > 0) {
        int rc = pst__rows_fill(loader, batch, indices, n, err);
        if (rc < 0)
            return rc;
    } else if (batch->capacity < (int32_t)n) {
        struct pst__sample *sample = pst__calloc(n, sizeof *sample, PST_MEM_HEAP);
        if (!sample)
            return pst__fail(err, PST_ENOMEM, "no memory for a batch of %zu samples", n);
        pst__free(batch->sample);
        batch->sample = sample;
        batch->capacity = (int32_t)n;
    }
    batch_begin(batch);
    batch->ticket = ticket;
    batch->stream = stream;
    batch->n = (int32_t)n;
    if (loader->n_fields == 0)
        samples_begin(loader, batch, indices);
    return PST_OK;
}

static void record_give_back(struct pst_loader *loader, struct pst_record *record)
{
    loader->n_staged--;
    if (loader->n_idle_records < loader->staged_most) {
        pst__record_idle(loader, record);
        loader->idle_records[loader->n_idle_records++] = record;
        return;
    }
    pst__record_discharge(loader, record);
    pst__free(record);
}

void pst__sample_settle(struct pst_loader *loader, struct pst__batch *batch,
                        struct pst__sample *sample)
{
    if (sample->state == PST_SAMPLE_DOUBT)
        batch->n_doubts--;
    pst__cost_forget(batch, sample);
    if (sample->record)
        record_give_back(loader, sample->record);
    if (sample->pixels)
        pst__pixels_drop(loader, sample);
    pst__free(sample->error);
    sample->record = NULL;
    sample->error = NULL;
}

static void slab_drop(struct pst_loader *loader, struct pst__batch *batch)
{
    if (batch->slab && batch->slab != batch->memory) {
        pst__slab_leave(loader->pool, batch->slab);
        pst_buffer_unref(batch->slab);
    }
    batch->slab = NULL;
}

void pst__batch_clear(struct pst_loader *loader, struct pst__batch *batch)
{
    for (int32_t i = 0; batch->sample && i < batch->n; i++)
        pst__sample_settle(loader, batch, &batch->sample[i]);
    slab_drop(loader, batch);
    pst__memory_drop(loader, batch);
    batch_begin(batch);
    batch->ticket = 0;
    batch->n = 0;
}

void pst__batch_restart(struct pst_loader *loader, struct pst__batch *batch)
{
    for (int32_t i = 0; i < batch->n; i++)
        pst__sample_settle(loader, batch, &batch->sample[i]);
    /* The new plans may be of another size. */
    slab_drop(loader, batch);
    batch_begin(batch);
    samples_begin(loader, batch, NULL);
}

void pst__batch_restart_tail(struct pst_loader *loader, struct pst__batch *batch, int32_t slot)
{
    for (int32_t i = slot; i < batch->n; i++) {
        pst__sample_settle(loader, batch, &batch->sample[i]);
        pst__sample_begin(loader, &batch->sample[i], batch->sample[i].asked);
    }
    batch->n_done = slot;
    batch->ready_first = batch->ready_last = -1;
    batch->read_next = loader->is_uniform && !loader->is_free ? batch->n : slot;
    if (batch->plan_next > slot)
        batch->plan_next = slot;
    batch->is_mix_drawn = 0;
    if (slot > batch->shape_slot)
        return;
    slab_drop(loader, batch); /* the new shape may be of another size */
    batch->out_w = batch->out_h = 0;
    batch->sample_bytes = 0;
}

void pst__sample_doubt(struct pst_loader *loader, struct pst__batch *batch,
                       struct pst__sample *sample, int status, struct pst_error *err)
{
    /* A dataset of the caller's may give a status without a word. */
    if (err->status != status)
        pst__fail(err, status, "%s", pst_status_text(status));
    sample->state = PST_SAMPLE_DOUBT;
    sample->status = status;
    if (!sample->error)
        sample->error = pst__alloc(sizeof *sample->error, PST_MEM_HEAP);
    /* Without memory for the text the status still says what is wrong. */
    if (sample->error)
        *sample->error = *err;
    batch->n_doubts++;
    pst__signal(&loader->done);
}

void pst__sample_ready(struct pst__batch *batch, struct pst__sample *sample)
{
    int32_t slot = (int32_t)(sample - batch->sample);
    sample->next_ready = -1;
    if (batch->ready_first < 0)
        batch->ready_first = slot;
    else
        batch->sample[batch->ready_last].next_ready = slot;
    batch->ready_last = slot;
}

struct pst__sample *pst__batch_pop_behind(struct pst__batch *batch, int32_t before)
{
    int32_t *from = before < 0 ? &batch->ready_first : &batch->sample[before].next_ready;
    struct pst__sample *sample = &batch->sample[*from];
    if (batch->ready_last == *from)
        batch->ready_last = before;
    *from = sample->next_ready;
    return sample;
}

struct pst__sample *pst__batch_pop_ready(struct pst__batch *batch)
{
    return pst__batch_pop_behind(batch, -1);
}
