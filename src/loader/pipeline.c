/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/dataset.h"
#include "loader/engine.h"

static void add(_Atomic int64_t *counter, int64_t value)
{
    atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

/* Samples of one batch that a thread has taken. */
struct run {
    struct pst__batch *batch;
    int n;
    struct pst__sample *sample[PST_RUN_MOST];
};

/* --- reading
 * --------------------------------------------------------------------------------------- */

static struct pst_record *record_take(struct pst_loader *loader)
{
    if (loader->n_idle_records > 0)
        return loader->idle_records[--loader->n_idle_records];
    return pst__calloc(1, sizeof(struct pst_record), PST_MEM_HEAP);
}

/* The slot that is read next, or the end. A sample that stands in for another one is behind those
 * that were claimed already. */
static int32_t next_unread(struct pst__batch *batch)
{
    while (batch->read_next < batch->n && batch->sample[batch->read_next].state != PST_SAMPLE_NEW)
        batch->read_next++;
    return batch->read_next;
}

static void take_unread(struct pst_loader *loader, struct run *run)
{
    struct pst__batch *batch = run->batch;
    struct pst__sample *sample = &batch->sample[batch->read_next++];
    sample->state = PST_SAMPLE_READING;
    if (!loader->is_uniform) {
        sample->record = record_take(loader);
        if (sample->record)
            loader->n_staged++;
    }
    batch->n_active++;
    run->sample[run->n++] = sample;
}

static int has_doubt_before(const struct pst__batch *batch, int32_t slot)
{
    for (int32_t i = 0; i < slot && batch->n_doubts > 0; i++)
        if (batch->sample[i].state == PST_SAMPLE_DOUBT)
            return 1;
    return 0;
}

/* Later batches may hold all records and all of the budget, so the oldest one is read for whatever
 * they say when nothing else of it can go on: no thread is at it or could be, and the consumer has
 * no doubt to decide. */
static int may_read(struct pst_loader *loader, const struct pst__batch *batch)
{
    if (batch->ticket != loader->head)
        return loader->n_staged < loader->staged_most && pst__has_room_to_read(loader, batch);
    int is_at_rest = batch->ready_first < 0 && batch->n_active == 0;
    return loader->is_uniform || pst__has_room_to_read(loader, batch) ||
           (is_at_rest && !has_doubt_before(batch, batch->read_next));
}

/* The oldest sample that nobody has read, or a run of them. */
static int claim_read(struct pst_loader *loader, struct run *run)
{
    for (uint64_t t = loader->head; t < loader->tail; t++) {
        struct pst__batch *batch = pst__batch_at(loader, t);
        if (!pst__batch_is_open(batch) || next_unread(batch) == batch->n)
            continue;
        if (!may_read(loader, batch))
            return 0;
        run->batch = batch;
        run->n = 0;
        int most = pst__run_length(loader, batch);
        while (run->n < most && next_unread(batch) < batch->n)
            take_unread(loader, run);
        return 1;
    }
    return 0;
}

/* What there is to know of a record before it is planned for. */
static int probe_record(struct pst_loader *loader, struct pst__sample *sample,
                        struct pst_error *err)
{
    const struct pst_record *record = sample->record;
    const struct pst_pixels *pixels = &record->pixels;
    if (!pixels->data) {
        int rc = pst__decode_probe(record->data, record->size, &sample->info, err);
        if (rc < 0)
            return rc;
        int turns = pst__transform_turns(loader->config.transform);
        if (turns != PST_TURNS_NOTHING && sample->info.orientation == 0)
            return pst__fail(err, PST_EUNSUPPORTED,
                             "which way up it is, only the reference can tell");
        if (turns == PST_TURNS_UPRIGHT_ONLY && sample->info.orientation != 1)
            return pst__fail(err, PST_EUNSUPPORTED, "it is to be turned by the reference");
        sample->cost = pst__decode_cost(record->data, record->size, &sample->info);
        return PST_OK;
    }
    PST_REQUIRE(pixels->channels <= pst__transform_in_channels(loader->config.transform), err,
                "an image of %d channels, the transform is for grey ones", pixels->channels);
    sample->info =
        (struct pst_image_info){PST_IMAGE_RAW, pixels->width, pixels->height, .orientation = 1};
    return PST_OK;
}

/* Fetches, probes, and plans where that needs no order. */
static int read_sample(struct pst_loader *loader, struct pst__worker *worker,
                       const struct pst__batch *batch, struct pst__sample *sample,
                       struct pst_error *err)
{
    if (loader->is_uniform)
        return pst__plan_own(loader, worker, sample, err);
    if (!sample->record)
        return pst__fail(err, PST_ENOMEM, "no memory for a record");
    int64_t t0 = pst__now_ns();
    int rc = pst__dataset_read(loader->config.dataset, sample->index, sample->record, err);
    int64_t t1 = pst__now_ns();
    add(&worker->read_ns, t1 - t0);
    if (pst__is_traced(loader))
        pst__trace_sample(loader, worker, PST_TRACE_READ, batch, sample, t0, t1, 1);
    if (rc < 0) {
        pst__record_clear(sample->record); /* its bytes are not to be judged by */
        return rc;
    }
    add(&worker->bytes_read, (int64_t)sample->record->size);
    rc = probe_record(loader, sample, err);
    int64_t t2 = pst__now_ns();
    add(&worker->probe_ns, t2 - t1);
    if (pst__is_traced(loader))
        pst__trace_sample(loader, worker, PST_TRACE_PROBE, batch, sample, t1, t2, 1);
    if (rc < 0 || !loader->is_free)
        return rc;
    rc = pst__plan_own(loader, worker, sample, err);
    int64_t t3 = pst__now_ns();
    add(&worker->plan_ns, t3 - t2);
    if (pst__is_traced(loader))
        pst__trace_sample(loader, worker, PST_TRACE_PLAN, batch, sample, t2, t3, 1);
    return rc;
}

/* A sample comes back from a worker. 0: its batch was failed or is being reset, nothing is kept. */
static int sample_returns(struct pst_loader *loader, struct pst__batch *batch,
                          struct pst__sample *sample)
{
    batch->n_active--;
    if (pst__batch_is_open(batch))
        return 1;
    sample->state = PST_SAMPLE_DONE;
    pst__sample_settle(loader, batch, sample);
    if (batch->n_active == 0)
        pst__signal(&loader->done);
    return 0;
}

static void finish_sample_read(struct pst_loader *loader, struct pst__worker *worker,
                               struct pst__batch *batch, struct pst__sample *sample, int rc,
                               struct pst_error *err)
{
    if (sample->record)
        pst__record_charge(loader, sample->record);
    if (!sample_returns(loader, batch, sample))
        return;
    if (rc == PST_OK)
        pst__cost_expect(batch, sample);
    if (rc < 0) {
        pst__sample_doubt(loader, batch, sample, rc, err);
    } else if (loader->is_free) {
        pst__planned(loader, batch, sample);
    } else {
        int64_t t0 = pst__now_ns();
        sample->state = PST_SAMPLE_PROBED;
        int n = pst__plan_ahead(loader, batch->stream, INT_MAX);
        int64_t t1 = pst__now_ns();
        add(&worker->plan_ns, t1 - t0);
        if (pst__is_traced(loader) && n > 0)
            pst__trace_sample(loader, worker, PST_TRACE_PLAN, batch, sample, t0, t1, n);
    }
}

/* The lock is not held, and is afterwards. */
static void read_run(struct pst_loader *loader, struct pst__worker *worker, struct run *run)
{
    struct pst_error err;
    pst_error_init(&err);
    int64_t t0 = loader->is_uniform ? pst__now_ns() : 0;
    const struct pst__sample *first = run->sample[0];
    for (int i = 0; i < run->n; i++) {
        int rc = read_sample(loader, worker, run->batch, run->sample[i], &err);
        if (rc == PST_OK)
            continue;
        pst__lock(&loader->lock);
        finish_sample_read(loader, worker, run->batch, run->sample[i], rc, &err);
        pst__unlock(&loader->lock);
        pst_error_init(&err);
        run->sample[i] = NULL;
    }
    if (loader->is_uniform) {
        int64_t t1 = pst__now_ns();
        add(&worker->plan_ns, t1 - t0);
        if (pst__is_traced(loader))
            pst__trace_sample(loader, worker, PST_TRACE_PLAN, run->batch, first, t0, t1, run->n);
    }
    pst__lock(&loader->lock);
    for (int i = 0; i < run->n; i++)
        if (run->sample[i])
            finish_sample_read(loader, worker, run->batch, run->sample[i], PST_OK, &err);
    /* This thread takes one of what has become ready; more than that is for the others. */
    pst__broadcast(&loader->work);
}

/* --- executing
 * ------------------------------------------------------------------------------------- */

struct decoding {
    struct pst__decoder *decoder;
    int64_t ns;
};

static int decoder_rows(void *self, int max_rows, const uint8_t **rows, ptrdiff_t *stride,
                        int *n_rows, struct pst_error *err)
{
    struct decoding *decoding = self;
    int64_t t0 = pst__now_ns();
    int rc = pst__decode_rows(decoding->decoder, max_rows, rows, stride, n_rows, err);
    decoding->ns += pst__now_ns() - t0;
    return rc;
}

static int run_record(struct pst_loader *loader, struct pst__worker *worker,
                      struct pst__sample *sample, const struct pst__place *place,
                      int64_t *decode_ns, struct pst_error *err)
{
    struct decoding decoding = {.decoder = worker->decoder};
    struct pst__row_source source = {decoder_rows, &decoding};
    int64_t t0 = pst__now_ns();
    int rc = pst__decode_start(worker->decoder, sample->record->data, sample->record->size,
                               &sample->info, &sample->plan.region, err);
    int64_t t1 = pst__now_ns();
    if (rc == PST_OK)
        rc = pst__transform_execute(worker->executor, loader->config.transform, &sample->plan,
                                    &source, place, err);
    int64_t t2 = pst__now_ns();
    if (rc == PST_OK)
        rc = pst__decode_finish(worker->decoder, err);
    *decode_ns += (t1 - t0) + decoding.ns + (pst__now_ns() - t2);
    return rc;
}

/* A sample that the dataset has as pixels. Of a uniform dataset they are asked for only now. */
static int run_raw(struct pst_loader *loader, struct pst__worker *worker,
                   struct pst__sample *sample, const struct pst__place *place,
                   struct pst_error *err)
{
    struct pst_record *record = sample->record ? sample->record : &worker->record;
    const struct pst_pixels *pixels = &record->pixels, *size = &loader->uniform;
    if (loader->is_uniform) {
        int rc = pst__dataset_read(loader->config.dataset, sample->index, record, err);
        if (rc < 0)
            return rc;
        if (!pixels->data || pixels->width != size->width || pixels->height != size->height ||
            pixels->channels != size->channels)
            return pst__fail(err, PST_ECALLBACK,
                             "read delivered %d x %d pixels of %d channels, expected %d x %d of %d",
                             pixels->width, pixels->height, pixels->channels, size->width,
                             size->height, size->channels);
    }
    return pst__transform_execute_pixels(worker->executor, loader->config.transform, &sample->plan,
                                         pixels, place, err);
}

/* Pixels of the reference. */
static int run_pixels(struct pst_loader *loader, struct pst__worker *worker,
                      struct pst__sample *sample, const struct pst__place *place,
                      struct pst_error *err)
{
    const struct pst_rect *region = &sample->plan.region;
    ptrdiff_t stride = (ptrdiff_t)sample->info.width * 4;
    struct pst__memory_rows rows = {.next = sample->pixels + region->y * stride +
                                            (ptrdiff_t)region->x * 4,
                                    .stride = stride,
                                    .left = region->h};
    struct pst__row_source source = {pst__memory_rows, &rows};
    return pst__transform_execute(worker->executor, loader->config.transform, &sample->plan,
                                  &source, place, err);
}

/* A sample that does not fit its batch is worked out all the same, aside: stock would come to its
 * errors before it found that the batch cannot be stacked. */
static int sample_place(struct pst_loader *loader, struct pst__worker *worker,
                        const struct pst__batch *batch, const struct pst__sample *sample,
                        struct pst__place *place, struct pst_error *err)
{
    const struct pst_transform *transform = loader->config.transform;
    const struct pst__plan *plan = &sample->plan;
    if (plan->out_w == batch->out_w && plan->out_h == batch->out_h) {
        *place = pst__transform_place(transform, pst_buffer_data(batch->slab), batch->sample_bytes,
                                      (int32_t)(sample - batch->sample), batch->n);
        return PST_OK;
    }
    size_t bytes = pst__transform_bytes(transform, plan);
    void *aside = pst__scratch_reserve(&worker->aside, bytes);
    if (!aside)
        return pst__fail(err, PST_ENOMEM, "no memory for a sample of %d x %d", plan->out_w,
                         plan->out_h);
    *place = pst__transform_place(transform, aside, bytes, 0, 1);
    return PST_OK;
}

/* Decoders and executors hold working memory: each thread makes its own when it first needs them.
 */
static int worker_tools(const struct pst_loader *loader, struct pst__worker *worker,
                        struct pst_error *err)
{
    int rc = PST_OK;
    if (!worker->decoder) {
        rc = pst__decoder_new(&worker->decoder, err);
        if (rc == PST_OK)
            pst__decoder_set_strict(worker->decoder, loader->config.strict);
    }
    if (rc == PST_OK && !worker->executor)
        rc = pst__executor_new(&worker->executor, err);
    return rc;
}

static int run_sample(struct pst_loader *loader, struct pst__worker *worker,
                      struct pst__batch *batch, struct pst__sample *sample, int64_t *decode_ns,
                      struct pst_error *err)
{
    int rc = worker_tools(loader, worker, err);
    if (rc < 0)
        return rc;
    struct pst__place place;
    rc = sample_place(loader, worker, batch, sample, &place, err);
    if (rc < 0)
        return rc;
    if (sample->is_finished) {
        pst__place_copy(&place, loader->config.transform, sample->pixels,
                        pst__transform_bytes(loader->config.transform, &sample->plan));
        return PST_OK;
    }
    if (sample->pixels)
        return run_pixels(loader, worker, sample, &place, err);
    if (sample->info.format == PST_IMAGE_RAW)
        return run_raw(loader, worker, sample, &place, err);
    return run_record(loader, worker, sample, &place, decode_ns, err);
}

/* PST_AGAIN: the budget is full. Where there will never be room the first sample that would have
 * run is in doubt, which pixels do not end. */
static int take_slab(struct pst_loader *loader, struct pst__batch *batch, int is_oldest)
{
    struct pst_error err;
    pst_error_init(&err);
    size_t bytes = batch->sample_bytes * (size_t)batch->n, budget = loader->config.memory_budget;
    int rc = PST_OK;
    if (batch->awaits)
        return PST_AGAIN;
    if (pst__memory_use(batch, bytes))
        return PST_OK;
    if (loader->is_strict_budget && bytes > budget)
        rc = pst__fail(&err, PST_ELIMIT,
                       "a batch of %d samples takes %zu bytes, the memory budget is %zu", batch->n,
                       bytes, budget);
    else if (!is_oldest && !pst__has_room_for_slab(loader, batch, bytes))
        rc = PST_AGAIN;
    else
        rc = pst__slab_take(loader->pool, bytes, is_oldest, &batch->slab, &err);
    if (rc < 0) {
        struct pst__sample *sample = pst__batch_pop_ready(batch);
        sample->is_refused = 1;
        pst__sample_doubt(loader, batch, sample, rc, &err);
    }
    return rc;
}

static void start(struct run *run, struct pst__sample *sample)
{
    sample->state = PST_SAMPLE_RUNNING;
    run->batch->n_active++;
    run->sample[run->n++] = sample;
}

/* The first of the batch's ready samples that the budget has room for, or NULL. The others wait for
 * what those that can run will give back. */
static struct pst__sample *pop_affordable(struct pst_loader *loader, struct pst__batch *batch)
{
    int32_t before = -1;
    for (int32_t i = batch->ready_first; i >= 0; before = i, i = batch->sample[i].next_ready)
        if (pst__cost_charge(loader, batch, &batch->sample[i], 0))
            return pst__batch_pop_behind(batch, before);
    return NULL;
}

/* The oldest sample that may run, or a run of them, with the batch's slab taken. */
static int claim_affordable(struct pst_loader *loader, struct run *run)
{
    for (uint64_t t = loader->head; t < loader->tail; t++) {
        struct pst__batch *batch = pst__batch_at(loader, t);
        if (!pst__batch_is_open(batch) || batch->ready_first < 0)
            continue;
        if (!batch->slab) {
            int rc = take_slab(loader, batch, t == loader->head);
            if (rc != PST_OK)
                return 0; /* the budget comes back in the order of batches */
        }
        run->batch = batch;
        run->n = 0;
        struct pst__sample *sample;
        int most = pst__run_length(loader, batch);
        while (run->n < most && (sample = pop_affordable(loader, batch)))
            start(run, sample);
        if (run->n > 0)
            return 1;
    }
    return 0;
}

static int is_any_active(struct pst_loader *loader)
{
    for (uint64_t t = loader->head; t < loader->tail; t++)
        if (pst__batch_at(loader, t)->n_active > 0)
            return 1;
    return 0;
}

/* Where no thread is at anything that could make room, a sample of the oldest batch runs for all
 * that the budget says: everything waits for it. */
static int claim_run(struct pst_loader *loader, struct run *run)
{
    if (claim_affordable(loader, run))
        return 1;
    struct pst__batch *batch = pst__head(loader);
    if (!batch || !pst__batch_is_open(batch) || batch->ready_first < 0 || !batch->slab ||
        is_any_active(loader))
        return 0;
    run->batch = batch;
    run->n = 0;
    struct pst__sample *sample = pst__batch_pop_ready(batch);
    pst__cost_charge(loader, batch, sample, 1);
    start(run, sample);
    return 1;
}

static void finish_sample(struct pst_loader *loader, struct pst__worker *worker,
                          struct pst__batch *batch, struct pst__sample *sample, int rc,
                          struct pst_error *err)
{
    pst__cost_discharge(loader, sample);
    if (!sample_returns(loader, batch, sample))
        return;
    if (rc < 0) {
        err->record = sample->index;
        pst__sample_doubt(loader, batch, sample, rc, err);
        return;
    }
    sample->state = PST_SAMPLE_DONE;
    pst__sample_settle(loader, batch, sample);
    if (++batch->n_done == batch->n)
        pst__batch_landed(loader, worker, batch);
    else if (batch->n_doubts > 0)
        pst__signal(&loader->done);
}

static void note_scratch(struct pst__worker *worker)
{
    size_t bytes = worker->aside.size;
    if (worker->decoder)
        bytes += pst__decoder_bytes(worker->decoder);
    if (worker->executor)
        bytes += pst__executor_bytes(worker->executor);
    atomic_store_explicit(&worker->scratch_bytes, (int64_t)bytes, memory_order_relaxed);
}

static int run_traced(struct pst_loader *loader, struct pst__worker *worker,
                      struct pst__batch *batch, struct pst__sample *sample, int64_t *decode_ns,
                      struct pst_error *err)
{
    int64_t t0 = pst__now_ns(), before = *decode_ns;
    int rc = run_sample(loader, worker, batch, sample, decode_ns, err);
    int64_t t1 = pst__now_ns(), decoded = t0 + *decode_ns - before;
    if (decoded > t0)
        pst__trace_sample(loader, worker, PST_TRACE_DECODE, batch, sample, t0, decoded, 1);
    pst__trace_sample(loader, worker, PST_TRACE_TRANSFORM, batch, sample, decoded, t1, 1);
    return rc;
}

/* The lock is not held, and is afterwards. What is not decoding is measured by the run: a look at
 * the clock takes as long as half a small sample does. */
static void execute_run(struct pst_loader *loader, struct pst__worker *worker, struct run *run)
{
    struct pst_error err;
    pst_error_init(&err);
    int64_t t0 = pst__now_ns(), decode_ns = 0;
    for (int i = 0; i < run->n; i++) {
        int rc = (pst__is_traced(loader) ? run_traced : run_sample)(
            loader, worker, run->batch, run->sample[i], &decode_ns, &err);
        pst__cost_trim(loader, run->sample[i]);
        if (rc == PST_OK)
            continue;
        pst__lock(&loader->lock);
        finish_sample(loader, worker, run->batch, run->sample[i], rc, &err);
        pst__unlock(&loader->lock);
        pst_error_init(&err);
        run->sample[i] = NULL;
    }
    add(&worker->decode_ns, decode_ns);
    add(&worker->transform_ns, pst__now_ns() - t0 - decode_ns);
    note_scratch(worker);
    pst__lock(&loader->lock);
    pst__scratch_charge(loader, worker,
                        atomic_load_explicit(&worker->scratch_bytes, memory_order_relaxed));
    for (int i = 0; i < run->n; i++)
        if (run->sample[i])
            finish_sample(loader, worker, run->batch, run->sample[i], PST_OK, &err);
}

/* --- the thread
 * ------------------------------------------------------------------------------------- */

/* One step of work, lock held on entry and exit. 0: there is nothing to do. */
static int work_once(struct pst_loader *loader, struct pst__worker *worker)
{
    struct run run;
    struct pst__mix_run mix;
    if (loader->n_fields > 0)
        return pst__rows_work(loader, worker) == PST_OK;
    if (loader->mix.n > 0 && pst__mix_claim(loader, worker, &mix)) {
        pst__unlock(&loader->lock);
        pst__mix_run(loader, worker, &mix);
        return 1;
    }
    if (claim_run(loader, &run)) {
        pst__unlock(&loader->lock);
        execute_run(loader, worker, &run);
        return 1;
    }
    if (loader->is_uniform && !loader->is_free) {
        int64_t t0 = pst__now_ns();
        int n = pst__plan_run(loader);
        int64_t t1 = pst__now_ns();
        add(&worker->plan_ns, t1 - t0);
        if (pst__is_traced(loader) && n > 0)
            pst__trace_batch(loader, worker, PST_TRACE_PLAN, 0, t0, t1, n);
        if (n > 0)
            return 1;
    }
    if (!claim_read(loader, &run))
        return 0;
    pst__unlock(&loader->lock);
    read_run(loader, worker, &run);
    return 1;
}

void pst__worker_run(void *arg, int id)
{
    struct pst_loader *loader = arg;
    struct pst__worker *worker = &loader->worker[id];
    pst__lock(&loader->lock);
    while (!loader->is_stopping) {
        if (work_once(loader, worker))
            continue;
        /* Every change of state that makes work signals; the deadline is for the debugger's eyes.
         */
        pst__cond_wait(&loader->work, &loader->lock, pst__now_ns() + 1000000000);
    }
    pst__unlock(&loader->lock);
}
