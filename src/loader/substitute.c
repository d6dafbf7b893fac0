/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/status.h"
#include "loader/engine.h"

/* A sample that cannot be had leaves its batch, or another record stands in for it. The batch is
 * to be what it would be if it had been submitted so. */

static const int64_t poll_ns = 1000000000; /* deadline of waits that only bounded work ends */

/* It had drawn from its stream: what comes after it draws again. */
static int moves_stream(const struct pst_loader *loader, const struct pst__sample *sample)
{
    return !loader->is_free && sample->is_planned;
}

/* Others were written as it is shaped. */
static int moves_shape(const struct pst__batch *batch, const struct pst__sample *sample)
{
    return sample->is_planned && sample == &batch->sample[batch->shape_slot];
}

/* The batch from a slot on begins anew, held. Lock held, but while it waits. */
static void restart_tail(struct pst_loader *loader, struct pst__batch *batch, int32_t slot)
{
    const struct pst__sample *sample = &batch->sample[slot];
    if (moves_stream(loader, sample))
        pst__stream_at(loader, batch, sample->words_at, sample->python_at, sample->normal_at);
    batch->is_held = 1;
    while (batch->n_active > 0)
        pst__cond_wait(&loader->done, &loader->lock, pst__now_ns() + poll_ns);
    pst__batch_restart_tail(loader, batch, slot);
}

/* Whether a sample is left whose shape is not its batch's. One that is READING may be planned by
 * its thread now, and is looked at when it comes back. */
static void find_ragged(struct pst__batch *batch)
{
    batch->is_ragged = 0;
    for (int32_t i = 0; i < batch->n && batch->out_w; i++) {
        const struct pst__sample *sample = &batch->sample[i];
        if (sample->state >= PST_SAMPLE_PLANNED && sample->is_planned &&
            (sample->plan.out_w != batch->out_w || sample->plan.out_h != batch->out_h))
            batch->is_ragged = 1;
    }
}

static void leave_out(struct pst_loader *loader, struct pst__batch *batch, int32_t slot)
{
    struct pst__sample *sample = &batch->sample[slot];
    sample->state = PST_SAMPLE_DONE;
    sample->is_absent = 1;
    sample->is_planned = sample->is_refused = 0;
    batch->n_absent++;
    if (++batch->n_done == batch->n)
        pst__batch_landed(loader, pst__consumer(loader), batch);
    if (slot != batch->shape_slot)
        return;
    batch->shape_slot = slot + 1;
    if (batch->shape_slot < batch->n &&
        batch->sample[batch->shape_slot].state == PST_SAMPLE_PLANNED)
        pst__plan_placed(loader, batch, batch->shape_slot);
}

static void put_in(const struct pst_loader *loader, struct pst__batch *batch, int32_t slot,
                   int64_t index)
{
    struct pst__sample *sample = &batch->sample[slot];
    int64_t asked = sample->asked;
    pst__sample_begin(loader, sample, index);
    sample->asked = asked;
    if (batch->read_next > slot && sample->state == PST_SAMPLE_NEW)
        batch->read_next = slot;
}

/* Held batches go on. Lock held. */
static void go_on(struct pst_loader *loader, struct pst__batch *batch,
                  const struct pst__sample *sample)
{
    batch->is_held = 0;
    if (!loader->is_free)
        pst__plan_on(loader, batch, sample);
    pst__broadcast(&loader->work);
}

/* Doubts come in the order of slots. To decide a later one first would leave samples before it that
 * are not done. */
static int find_in_turn(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                        struct pst__batch **batch, struct pst__sample **sample,
                        struct pst_error *err)
{
    int rc = pst__find_doubtful(loader, ticket, slot, batch, sample, err);
    if (rc < 0)
        return rc;
    int32_t n_done = 0;
    pst__lock(&loader->lock);
    while (n_done < slot && (*batch)->sample[n_done].state == PST_SAMPLE_DONE)
        n_done++;
    pst__unlock(&loader->lock);
    PST_REQUIRE(n_done == slot, err, "sample %d of batch %llu is not done, which comes before %d",
                n_done, (unsigned long long)ticket, slot);
    return PST_OK;
}

int pst_loader_replace(struct pst_loader *loader, uint64_t ticket, int32_t slot, int64_t index,
                       int32_t *n_replanned, struct pst_error *err)
{
    struct pst__batch *batch;
    struct pst__sample *sample;
    int rc = find_in_turn(loader, ticket, slot, &batch, &sample, err);
    if (rc < 0)
        return rc;
    int64_t length = pst_dataset_length(loader->config.dataset);
    if (index < -1 || index >= length)
        return pst__fail(err, PST_ERANGE, "index %lld is not in a dataset of %lld",
                         (long long)index, (long long)length);
    int n = 0;
    pst__lock(&loader->lock);
    pst__doubt_ends(loader);
    int moves = moves_stream(loader, sample);
    if (moves || moves_shape(batch, sample))
        restart_tail(loader, batch, slot);
    else
        pst__sample_settle(loader, batch, sample);
    if (index < 0)
        leave_out(loader, batch, slot);
    else
        put_in(loader, batch, slot, index);
    find_ragged(batch);
    if (moves)
        n = pst__restart_after(loader, batch);
    else
        go_on(loader, batch, sample);
    pst__unlock(&loader->lock);
    if (n_replanned)
        *n_replanned = n;
    if (!moves)
        return PST_OK;
    rc = pst__stream_top_up(loader, batch->stream, 0, err);
    if (rc < 0)
        return rc;
    pst__lock(&loader->lock);
    pst__release_after(loader, batch);
    go_on(loader, batch, sample);
    pst__unlock(&loader->lock);
    return PST_OK;
}
