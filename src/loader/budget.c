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

int pst__cost_charge(struct pst_loader *loader, struct pst__sample *sample, int is_oldest)
{
    if (sample->cost < LARGE)
        return 1;
    if (!(is_oldest && loader->n_costly == 0) &&
        !pst__slab_pool_has_room(loader->pool, sample->cost))
        return 0;
    loader->n_costly++;
    hold(loader, (int64_t)sample->cost);
    return 1;
}

void pst__cost_discharge(struct pst_loader *loader, struct pst__sample *sample)
{
    if (sample->cost < LARGE)
        return;
    loader->n_costly--;
    hold(loader, -(int64_t)sample->cost);
}

int pst__has_room_to_read(struct pst_loader *loader)
{
    return pst__slab_pool_has_room(loader->pool, loader->record_most);
}

void pst__cost_trim(const struct pst_loader *loader, const struct pst__sample *sample)
{
    if (loader->is_strict_budget && sample->cost >= LARGE &&
        sample->cost > loader->config.memory_budget / IDLE_SHARE)
        pst__sys_trim();
}
