/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/dataset.h"
#include "loader/engine.h"

/* The consumer's side: what is called from the one thread that owns the loader. */

static const int64_t poll_ns = 1000000000; /* deadline of waits that only bounded work ends */

/* Words a stream may need from now on: the worst case of all that is not planned, and n more
 * samples. */
static uint64_t words_needed(struct pst_loader *loader, int32_t which, size_t n, uint64_t *keep)
{
    struct pst__stream *stream = &loader->stream[which];
    uint64_t unplanned = n, mixes = n > 0;
    *keep = stream->next;
    for (uint64_t t = loader->tail; t-- > loader->head;) {
        const struct pst__batch *batch = pst__batch_at(loader, t);
        if (batch->stream != which || batch->failed_slot >= 0)
            continue;
        unplanned += (uint64_t)(batch->n - batch->plan_next);
        mixes += !batch->is_mix_drawn;
        if (batch->plan_next > 0)
            *keep = batch->words_start;
    }
    return stream->next + unplanned * loader->max_words + mixes * loader->mix_words;
}

/* Fills a stream up for what is submitted and n more samples. The lock is not held. */
int pst__stream_top_up(struct pst_loader *loader, int32_t which, size_t n, struct pst_error *err)
{
    if (loader->is_free || loader->draws_normals)
        return PST_OK;
    struct pst__stream *stream = &loader->stream[which];
    uint64_t keep;
    pst__lock(&loader->lock);
    uint64_t need = words_needed(loader, which, n, &keep), have = stream->end;
    pst__unlock(&loader->lock);
    if (need <= have)
        return PST_OK;
    const struct pst_loader_config *config = &loader->config;
    struct pst__exp exp = {config->exp, config->exp_opaque, config->blur, config->blur_opaque};
    size_t more = (size_t)(need - have);
    int rc = pst__stream_make(stream, config->transform, &exp, more, &loader->refill, err);
    if (rc < 0)
        return rc;
    pst__lock(&loader->lock);
    words_needed(loader, which, n, &keep);
    rc = pst__stream_reserve(stream, config->transform, keep, more, err);
    if (rc == PST_OK)
        pst__stream_append(stream, config->transform, &loader->refill);
    pst__unlock(&loader->lock);
    return rc;
}

static int check_idle(struct pst_loader *loader, int32_t stream, struct pst_error *err)
{
    int rc = pst__loader_check(loader, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(stream >= 0 && stream < loader->config.n_streams, err, "stream %d of %d", stream,
                loader->config.n_streams);
    PST_REQUIRE(loader->head == loader->tail, err,
                "a stream cannot be set while batches are submitted");
    return PST_OK;
}

int pst_loader_seed(struct pst_loader *loader, int32_t stream, uint64_t seed, struct pst_error *err)
{
    int rc = check_idle(loader, stream, err);
    if (rc < 0)
        return rc;
    /* Nothing is submitted: no thread looks at the streams. torch seeds with the low 32 bits. */
    pst__lock(&loader->lock);
    loader->sample_key = seed;
    pst__stream_seed(&loader->stream[stream], (uint32_t)seed);
    if (loader->draws_python)
        pst__mt_seed_words(&loader->stream[stream].python, seed);
    pst__unlock(&loader->lock);
    return PST_OK;
}

static int check_state(struct pst_loader *loader, int32_t stream, const uint32_t *words,
                       int32_t position, struct pst_error *err)
{
    int rc = check_idle(loader, stream, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(words && position >= 0 && position <= PST_MT_N, err,
                "a generator's position is 0 to 624, not %d", position);
    return PST_OK;
}

int pst_loader_set_state(struct pst_loader *loader, int32_t stream, const uint32_t words[624],
                         int32_t position, struct pst_error *err)
{
    int rc = check_state(loader, stream, words, position, err);
    if (rc < 0)
        return rc;
    pst__lock(&loader->lock);
    pst__stream_set_state(&loader->stream[stream], words, (uint32_t)position);
    pst__unlock(&loader->lock);
    return PST_OK;
}

int pst_loader_set_python(struct pst_loader *loader, int32_t stream, const uint32_t words[624],
                          int32_t position, struct pst_error *err)
{
    int rc = check_state(loader, stream, words, position, err);
    if (rc < 0)
        return rc;
    struct pst__mt *python = &loader->stream[stream].python;
    pst__lock(&loader->lock);
    memcpy(python->state, words, sizeof python->state);
    python->given = (uint32_t)position;
    pst__unlock(&loader->lock);
    return PST_OK;
}

int pst_loader_set_normal(struct pst_loader *loader, int32_t stream, double normal,
                          struct pst_error *err)
{
    int rc = check_idle(loader, stream, err);
    if (rc < 0)
        return rc;
    pst__lock(&loader->lock);
    loader->stream[stream].normal = normal;
    pst__unlock(&loader->lock);
    return PST_OK;
}

static int check_batch(struct pst_loader *loader, const int64_t *indices, size_t n, int32_t stream,
                       struct pst_error *err)
{
    PST_REQUIRE(n > 0 && n <= (size_t)loader->config.batch_size, err,
                "a batch has 1 to %d samples, not %zu", loader->config.batch_size, n);
    PST_REQUIRE(stream >= 0 && stream < loader->config.n_streams, err, "stream %d of %d", stream,
                loader->config.n_streams);
    int64_t length = pst_dataset_length(loader->config.dataset);
    for (size_t i = 0; i < n; i++)
        if (indices[i] < 0 || indices[i] >= length)
            return pst__fail(err, PST_ERANGE, "index %lld is not in a dataset of %lld",
                             (long long)indices[i], (long long)length);
    return PST_OK;
}

static int submit(struct pst_loader *loader, const int64_t *indices, size_t n, int32_t stream,
                  int awaits, uint64_t *ticket, struct pst_error *err)
{
    int rc = pst__loader_check(loader, err);
    if (rc == PST_OK)
        rc = check_batch(loader, indices, n, stream, err);
    if (rc < 0)
        return rc;
    /* Only this thread moves head and tail. */
    if (loader->tail - loader->head == (uint64_t)loader->config.ahead)
        return PST_AGAIN;
    rc = pst__threads_start(loader, err);
    if (rc == PST_OK)
        rc = pst__stream_top_up(loader, stream, n, err);
    if (rc < 0)
        return rc;
    struct pst__batch *batch = pst__batch_at(loader, loader->tail);
    pst__lock(&loader->lock);
    rc = pst__batch_fill(loader, batch, loader->tail, indices, n, stream, err);
    if (rc == PST_OK) {
        if (awaits)
            pst__memory_await(loader, batch);
        pst__trace_submitted(loader, batch);
        *ticket = loader->tail++;
        pst__broadcast(&loader->work);
    }
    pst__unlock(&loader->lock);
    return rc;
}

int pst_loader_submit(struct pst_loader *loader, const int64_t *indices, size_t n, int32_t stream,
                      uint64_t *ticket, struct pst_error *err)
{
    return submit(loader, indices, n, stream, 0, ticket, err);
}

int pst_loader_submit_supplied(struct pst_loader *loader, const int64_t *indices, size_t n,
                               int32_t stream, uint64_t *ticket, struct pst_error *err)
{
    return submit(loader, indices, n, stream, 1, ticket, err);
}

/* --- waiting
 * ---------------------------------------------------------------------------------------- */

/* A doubt may be decided when all samples before it in its batch are done: the first error of a
 * batch is then the one that a single reader would have met. */
static struct pst__sample *find_doubt(struct pst_loader *loader, struct pst__batch **out)
{
    for (uint64_t t = loader->head; t < loader->tail; t++) {
        struct pst__batch *batch = pst__batch_at(loader, t);
        if (batch->n_doubts == 0 || !pst__batch_is_open(batch))
            continue;
        int32_t i = 0;
        while (batch->sample[i].state == PST_SAMPLE_DONE)
            i++;
        *out = batch;
        if (batch->sample[i].state == PST_SAMPLE_DOUBT)
            return &batch->sample[i];
    }
    return NULL;
}

/* What is wrong with a sample; without memory for the sentence it is the status' own. */
static void event_error(struct pst_event *event, int status, const struct pst_error *error)
{
    if (error)
        event->error = *error;
    else
        pst__fail(&event->error, status, "%s", pst_status_text(status));
    event->error.record = event->index;
}

static void event_of_batch(const struct pst__batch *batch, struct pst_event *event)
{
    event->ticket = batch->ticket;
    event->words = (int64_t)(batch->words_end - batch->words_start);
    event->python_words = batch->python_words;
    event->normal = batch->normal_end;
    event->slot = -1;
    event->index = -1;
    event->kind = batch->is_ragged ? PST_EVENT_RAGGED : PST_EVENT_BATCH;
    if (batch->failed_slot >= 0) {
        event->kind = PST_EVENT_FAILED;
        event->slot = batch->failed_slot;
        event->index =
            batch->rows ? batch->rows[batch->failed_slot] : batch->sample[batch->failed_slot].index;
        event_error(event, batch->failure_status, batch->failure);
    }
}

static void event_of_doubt(const struct pst__batch *batch, const struct pst__sample *sample,
                           struct pst_event *event)
{
    event->kind = PST_EVENT_DOUBT;
    event->ticket = batch->ticket;
    event->slot = (int32_t)(sample - batch->sample);
    event->index = sample->index;
    event->words = 0;
    if (sample->record && sample->record->data) {
        event->data = sample->record->data;
        event->size = sample->record->size;
    }
    event_error(event, sample->status, sample->error);
}

/* 1: event is filled in; 0: there is nothing yet; PST_END. Lock held. */
static int look(struct pst_loader *loader, struct pst_event *event)
{
    struct pst__batch *head = pst__head(loader), *batch;
    if (!head)
        return PST_END;
    if (pst__batch_is_over(head)) {
        event_of_batch(head, event);
        return PST_OK;
    }
    struct pst__sample *sample = find_doubt(loader, &batch);
    if (!sample)
        return PST_AGAIN;
    if (!loader->doubt_since_ns) {
        loader->doubts++;
        loader->doubt_since_ns = pst__now_ns();
        loader->doubt_batch = batch;
        loader->doubt_sample = sample;
    }
    event_of_doubt(batch, sample, event);
    return PST_OK;
}

int pst_loader_wait(struct pst_loader *loader, struct pst_event *event, int64_t timeout_ms,
                    struct pst_error *err)
{
    int rc = pst__loader_check(loader, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(event && timeout_ms >= 0, err, "a wait needs an event and a timeout >= 0 ms");
    *event = (struct pst_event){.normal = NAN};
    pst_error_init(&event->error);
    int64_t start = pst__now_ns();
    int64_t most = (INT64_MAX - start) / 1000000;
    int64_t deadline = start + (timeout_ms < most ? timeout_ms : most) * 1000000;
    pst__lock(&loader->lock);
    pst__memory_go_without(loader);
    rc = look(loader, event);
    int has_waited = rc == PST_AGAIN;
    while (rc == PST_AGAIN && !pst__cond_wait(&loader->done, &loader->lock, deadline))
        rc = look(loader, event);
    int64_t end = pst__now_ns();
    loader->wait_ns += end - start;
    if (pst__is_traced(loader) && has_waited) {
        if (rc == PST_OK && event->kind == PST_EVENT_DOUBT)
            end = loader->doubt_since_ns; /* the time with the reference begins there */
        pst__trace_batch(loader, pst__consumer(loader), PST_TRACE_WAIT, loader->head, start, end,
                         0);
    }
    pst__unlock(&loader->lock);
    return rc;
}

/* --- decisions
 * --------------------------------------------------------------------------------------- */

static int find_sample(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                       struct pst__batch **batch, struct pst__sample **sample,
                       struct pst_error *err)
{
    int rc = pst__loader_check(loader, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(loader->n_fields == 0, err, "rows have no samples to ask for or decide about");
    PST_REQUIRE(ticket >= loader->head && ticket < loader->tail, err, "batch %llu is not submitted",
                (unsigned long long)ticket);
    *batch = pst__batch_at(loader, ticket);
    PST_REQUIRE(slot >= 0 && slot < (*batch)->n, err, "slot %d of %d", slot, (*batch)->n);
    *sample = &(*batch)->sample[slot];
    return PST_OK;
}

int pst__find_doubtful(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                       struct pst__batch **batch, struct pst__sample **sample,
                       struct pst_error *err)
{
    int rc = find_sample(loader, ticket, slot, batch, sample, err);
    if (rc < 0)
        return rc;
    pst__lock(&loader->lock);
    int is_doubt = (*sample)->state == PST_SAMPLE_DOUBT && pst__batch_is_open(*batch);
    pst__unlock(&loader->lock);
    PST_REQUIRE(is_doubt, err, "sample %d of batch %llu is not in doubt", slot,
                (unsigned long long)ticket);
    return PST_OK;
}

void pst__doubt_ends(struct pst_loader *loader)
{
    if (loader->doubt_since_ns) {
        int64_t now = pst__now_ns();
        loader->reference_ns += now - loader->doubt_since_ns;
        if (pst__is_traced(loader))
            pst__trace_sample(loader, pst__consumer(loader), PST_TRACE_REFERENCE,
                              loader->doubt_batch, loader->doubt_sample, loader->doubt_since_ns,
                              now, 1);
    }
    loader->doubt_since_ns = 0;
}

static int copy_pixels(uint8_t **out, const uint8_t *rgbx, int32_t w, int32_t h, ptrdiff_t stride,
                       struct pst_error *err)
{
    size_t row, size;
    PST_REQUIRE(rgbx && w > 0 && h > 0 && !__builtin_mul_overflow((size_t)w, (size_t)4, &row) &&
                    !__builtin_mul_overflow(row, (size_t)h, &size),
                err, "pixels of %d x %d", w, h);
    uint8_t *pixels = pst__alloc(size, PST_MEM_RECORD);
    if (!pixels)
        return pst__fail(err, PST_ENOMEM, "no memory for %d x %d pixels", w, h);
    for (int32_t y = 0; y < h; y++)
        memcpy(pixels + (size_t)y * row, rgbx + y * stride, row);
    *out = pixels;
    return PST_OK;
}

/* Whether the reference sees the image that the sample was planned for. */
static int check_same(const struct pst_loader *loader, const struct pst__sample *sample, int32_t w,
                      int32_t h, int orientation, struct pst_error *err)
{
    int turns = pst__transform_turns(loader->config.transform);
    PST_REQUIRE(!turns || (orientation >= 1 && orientation <= 8), err,
                "orientation %d, expected 1 to 8", orientation);
    if (!sample->is_planned)
        return PST_OK;
    if (w != sample->plan.src_w || h != sample->plan.src_h)
        return pst__fail(err, PST_EFORMAT,
                         "the header says %d x %d pixels, the reference decoded %d x %d",
                         sample->plan.src_w, sample->plan.src_h, w, h);
    if (turns && orientation != sample->info.orientation)
        return pst__fail(err, PST_EFORMAT, "the header says orientation %d, the reference %d",
                         sample->info.orientation, orientation);
    return PST_OK;
}

int pst_loader_resolve(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                       const uint8_t *rgbx, int32_t w, int32_t h, ptrdiff_t stride, int orientation,
                       struct pst_error *err)
{
    struct pst__batch *batch;
    struct pst__sample *sample;
    int rc = pst__find_doubtful(loader, ticket, slot, &batch, &sample, err);
    if (rc < 0)
        return rc;
    if (sample->is_refused) {
        sample->words_spent = sample->words_drawn;
        sample->python_spent = sample->python_drawn;
        return pst__fail(err, sample->status, "%s",
                         sample->error ? sample->error->message : pst_status_text(sample->status));
    }
    rc = check_same(loader, sample, w, h, orientation, err);
    if (rc < 0)
        return rc;
    uint8_t *pixels = NULL;
    rc = copy_pixels(&pixels, rgbx, w, h, stride, err);
    if (rc < 0)
        return rc;
    int was_planned = sample->is_planned;
    sample->info = (struct pst_image_info){.width = w, .height = h, .orientation = orientation};
    if (!was_planned)
        sample->cost = 0; /* of a decode that did not begin */
    if (!was_planned && loader->is_free)
        rc = pst__plan_own(loader, &loader->worker[loader->n_workers], sample, err);
    if (rc < 0) {
        pst__free(pixels);
        return rc;
    }
    pst__lock(&loader->lock);
    pst__doubt_ends(loader);
    pst__sample_settle(loader, batch, sample);
    pst__pixels_take(loader, sample, pixels, 4 * (size_t)w * (size_t)h);
    if (was_planned) {
        sample->state = PST_SAMPLE_PLANNED;
        pst__sample_ready(batch, sample);
    } else if (loader->is_free) {
        pst__planned(loader, batch, sample);
    } else {
        sample->state = PST_SAMPLE_PROBED;
        pst__plan_on(loader, batch, sample);
    }
    pst__broadcast(&loader->work);
    pst__unlock(&loader->lock);
    return PST_OK;
}

static int is_after(const struct pst__batch *batch, const struct pst__batch *failed)
{
    return batch->ticket > failed->ticket && batch->stream == failed->stream;
}

/* Later batches of a stream whose draws have moved begin anew. They stay held until the stream has
 * words for them. Lock held. */
int pst__restart_after(struct pst_loader *loader, const struct pst__batch *failed)
{
    int n = 0;
    for (uint64_t t = failed->ticket + 1; t < loader->tail; t++)
        pst__batch_at(loader, t)->is_held = (uint8_t)is_after(pst__batch_at(loader, t), failed);
    for (uint64_t t = failed->ticket + 1; t < loader->tail;) {
        struct pst__batch *batch = pst__batch_at(loader, t);
        if (batch->is_held && batch->n_active > 0) {
            pst__cond_wait(&loader->done, &loader->lock, pst__now_ns() + poll_ns);
            continue;
        }
        if (batch->is_held) {
            pst__batch_restart(loader, batch);
            batch->is_held = 1;
            loader->replans++;
            n++;
        }
        t++;
    }
    return n;
}

void pst__release_after(struct pst_loader *loader, const struct pst__batch *failed)
{
    for (uint64_t t = failed->ticket + 1; t < loader->tail; t++)
        if (is_after(pst__batch_at(loader, t), failed))
            pst__batch_at(loader, t)->is_held = 0;
    pst__broadcast(&loader->work);
}

/* A batch ends at a slot: what waits in it is dropped, what is being worked on comes back to
 * nothing. Lock held. */
static void batch_fails(struct pst_loader *loader, struct pst__batch *batch, int32_t slot)
{
    struct pst__sample *sample = &batch->sample[slot];
    struct pst__stream *stream = &loader->stream[batch->stream];
    batch->failed_slot = slot;
    batch->failure = sample->error;
    batch->failure_status = sample->status;
    sample->error = NULL;
    /* All samples before this one are done: if it has no plan, the stream stands at its turn. */
    if (!loader->is_free) {
        if (batch->plan_next == 0)
            pst__stream_begins(loader, batch);
        if (sample->is_planned)
            pst__stream_at(loader, batch, sample->words_at, sample->python_at, sample->normal_at);
        else
            pst__stream_at(loader, batch, stream->next + sample->words_spent,
                           batch->python_words + sample->python_spent,
                           sample->words_spent ? sample->normal_spent : stream->normal);
    }
    for (int32_t i = 0; i < batch->n; i++) {
        struct pst__sample *other = &batch->sample[i];
        if (other->state == PST_SAMPLE_READING || other->state == PST_SAMPLE_RUNNING)
            continue;
        pst__sample_settle(loader, batch, other);
        other->state = PST_SAMPLE_DONE;
    }
    batch->ready_first = batch->ready_last = -1;
}

int pst_loader_fail(struct pst_loader *loader, uint64_t ticket, int32_t slot, struct pst_error *err)
{
    struct pst__batch *batch;
    struct pst__sample *sample;
    int rc = pst__find_doubtful(loader, ticket, slot, &batch, &sample, err);
    if (rc < 0)
        return rc;
    pst__lock(&loader->lock);
    pst__doubt_ends(loader);
    batch_fails(loader, batch, slot);
    if (!loader->is_free)
        pst__restart_after(loader, batch);
    pst__unlock(&loader->lock);
    rc = pst__stream_top_up(loader, batch->stream, 0, err);
    if (rc < 0)
        return rc;
    pst__lock(&loader->lock);
    pst__release_after(loader, batch);
    pst__unlock(&loader->lock);
    return PST_OK;
}

int pst_loader_cancel(struct pst_loader *loader, struct pst_error *err)
{
    int rc = pst__loader_check(loader, err);
    if (rc < 0)
        return rc;
    pst__lock(&loader->lock);
    for (uint64_t t = loader->head; t < loader->tail; t++)
        pst__batch_at(loader, t)->is_held = 1;
    while (loader->head < loader->tail) {
        struct pst__batch *batch = pst__head(loader);
        if (batch->n_active > 0) {
            pst__cond_wait(&loader->done, &loader->lock, pst__now_ns() + poll_ns);
            continue;
        }
        pst__trace_left(loader, batch);
        pst__batch_clear(loader, batch);
        loader->head++;
    }
    loader->doubt_since_ns = 0;
    pst__unlock(&loader->lock);
    pst__memory_release(loader);
    return PST_OK;
}
