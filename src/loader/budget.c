/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/sys.h"
#include "loader/engine.h"

/* The budget is kept by the slab pool. Batches look for room in it before they begin; what is told
 * to it here is everything else: records, the threads' working memory, and in advance what a large
 * image will take while it is decoded. */

/* Below it a sample's working memory is not worth waiting for. */
#define LARGE ((size_t)1 << 20)
/* An idle record that is larger than this share of the budget gives its memory back. */
#define IDLE_SHARE 64

/* Who waits for room is told when there is more of it. */
static void hold(struct pst_loader *loader, int64_t delta)
{
    pst__slab_pool_beside(loader->pool, delta);
    if (delta < 0)
        pst__broadcast(&loader->work);
}

void pst__record_charge(struct pst_loader *loader, struct pst_record *record)
{
    hold(loader, (int64_t)record->capacity - (int64_t)record->charged);
    record->charged = record->capacity;
    if (record->capacity > loader->record_most)
        loader->record_most = record->capacity;
}

void pst__record_discharge(struct pst_loader *loader, struct pst_record *record)
{
    hold(loader, -(int64_t)record->charged);
    pst__record_reset(record);
}

void pst__record_idle(struct pst_loader *loader, struct pst_record *record)
{
    if (record->capacity > loader->config.memory_budget / IDLE_SHARE)
        pst__record_discharge(loader, record);
    else
        pst__record_clear(record);
}

void pst__pixels_take(struct pst_loader *loader, struct pst__sample *sample, uint8_t *pixels,
                      size_t bytes)
{
    sample->pixels = pixels;
    sample->pixel_bytes = bytes;
    hold(loader, (int64_t)bytes);
}

void pst__pixels_drop(struct pst_loader *loader, struct pst__sample *sample)
{
    pst__free(sample->pixels);
    sample->pixels = NULL;
    hold(loader, -(int64_t)sample->pixel_bytes);
    sample->pixel_bytes = 0;
}

void pst__scratch_charge(struct pst_loader *loader, struct pst__worker *worker, int64_t bytes)
{
    hold(loader, bytes - worker->charged);
    worker->charged = bytes;
}

void pst__cost_expect(struct pst__batch *batch, struct pst__sample *sample)
{
    if (sample->cost < LARGE)
        return;
    batch->n_expected += !sample->is_expected;
    sample->is_expected = 1;
    if (sample->cost > batch->cost_most)
        batch->cost_most = sample->cost;
}

void pst__cost_forget(struct pst__batch *batch, struct pst__sample *sample)
{
    batch->n_expected -= sample->is_expected;
    sample->is_expected = 0;
    if (batch->n_expected == 0)
        batch->cost_most = 0;
}

/* What the largest sample up to a batch will take. They run one at a time where there is no room
 * for more, so what runs now will be free for it. */
static size_t expected(const struct pst_loader *loader, const struct pst__batch *last)
{
    size_t most = 0;
    for (uint64_t t = loader->head; t <= last->ticket; t++) {
        const struct pst__batch *batch = &loader->ring[t % (uint64_t)loader->config.ahead];
        if (batch->cost_most > most)
            most = batch->cost_most;
    }
    return most > loader->costs ? most - loader->costs : 0;
}

int pst__cost_charge(struct pst_loader *loader, struct pst__batch *batch,
                     struct pst__sample *sample, int must)
{
    if (sample->cost >= LARGE) {
        if (!must && !pst__slab_pool_has_room(loader->pool, sample->cost))
            return 0;
        loader->costs += sample->cost;
        hold(loader, (int64_t)sample->cost);
    }
    pst__cost_forget(batch, sample);
    return 1;
}

void pst__cost_discharge(struct pst_loader *loader, struct pst__sample *sample)
{
    if (sample->cost < LARGE)
        return;
    loader->costs -= sample->cost;
    hold(loader, -(int64_t)sample->cost);
}

int pst__has_room_to_read(struct pst_loader *loader, const struct pst__batch *batch)
{
    return pst__slab_pool_has_room(loader->pool, loader->record_most + expected(loader, batch));
}

int pst__has_room_for_slab(struct pst_loader *loader, const struct pst__batch *batch, size_t bytes)
{
    size_t more = expected(loader, batch);
    return more == 0 || pst__slab_pool_has_room(loader->pool, bytes + more);
}

void pst__cost_trim(const struct pst_loader *loader, const struct pst__sample *sample)
{
    if (loader->is_strict_budget && sample->info.format == PST_IMAGE_WEBP &&
        sample->cost >= LARGE && sample->cost > loader->config.memory_budget / IDLE_SHARE)
        pst__sys_trim();
}
