/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/penstock.h>

#include <errno.h>
#include <math.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/sys.h"
#include "check.h"
#include "images.h"

/* Batches that a loader mixes are those of one that does not, mixed one element after the other by
 * what pst_mix_draw() draws from the same words. */

enum {
    N = 31,
    SIZE = 80,
    BATCH = 6,
    N_BATCHES = (N + BATCH - 1) / BATCH,
    STREAMS = 2,
    CLASSES = 93
};

static const struct pst_mix_config choice = {
    sizeof choice,
    CLASSES,
    3,
    1,
    {{PST_MIX_CUT, 1.0f, 0.5f}, {PST_MIX_UP, 0.4f, 0.3f}, {PST_MIX_CUT, 0.2f, 0.2f}}};

struct run {
    const struct pst_mix_config *mix;
    struct pst_dataset *dataset;
    struct pst_transform *transform;
    int threads, rng;
    struct pst_batch batch[N_BATCHES];
    double normal[N_BATCHES];
    int64_t words[N_BATCHES];
};

static struct pst_loader *open_loader(const struct run *run, struct pst_error *err)
{
    struct pst_loader *loader = NULL;
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    config.dataset = run->dataset;
    config.transform = run->transform;
    config.batch_size = BATCH;
    config.threads = run->threads;
    config.n_streams = STREAMS;
    config.rng = run->rng;
    config.ahead = N_BATCHES;
    config.mix = run->mix;
    return pst_loader_open(&loader, &config, err) == PST_OK ? loader : NULL;
}

static int submit_all(struct pst_loader *loader, struct pst_error *err)
{
    int rc = PST_OK;
    for (int s = 0; s < STREAMS && rc == PST_OK; s++)
        rc = pst_loader_seed(loader, s, 70 + (uint32_t)s, err);
    for (int b = 0; b < N_BATCHES && rc == PST_OK; b++) {
        int64_t indices[BATCH];
        uint64_t ticket;
        size_t n = 0;
        for (int64_t i = b * BATCH; i < N && i < (b + 1) * BATCH; i++)
            indices[n++] = i;
        rc = pst_loader_submit(loader, indices, n, b % STREAMS, &ticket, err);
    }
    return rc;
}

static int run_epoch(struct run *run, struct pst_error *err)
{
    struct pst_loader *loader = open_loader(run, err);
    int rc = loader ? submit_all(loader, err) : err->status;
    for (int b = 0; b < N_BATCHES && rc == PST_OK; b++) {
        struct pst_event event;
        rc = pst_loader_wait(loader, &event, 60000, err);
        if (rc == PST_OK && event.kind != PST_EVENT_BATCH)
            rc = event.error.status; /* a fault's */
        if (rc == PST_OK)
            rc = pst_loader_take(loader, event.ticket, &run->batch[b], err);
        run->words[b] = event.words;
        run->normal[b] = event.normal;
    }
    pst_loader_close(&loader);
    return rc;
}

static void reset(struct run *run)
{
    for (int b = 0; b < N_BATCHES; b++)
        pst_batch_reset(&run->batch[b]);
}

static struct run run_of(const struct pst_mix_config *mix, int threads, int rng)
{
    struct run run = {.mix = mix, .threads = threads, .rng = rng};
    run.dataset = images_dataset(images_new(N), NULL);
    run.transform = images_transform(SIZE, 0, NULL);
    CHECK(run.dataset && run.transform);
    return run;
}

static void run_end(struct run *run)
{
    reset(run);
    pst_transform_unref(run->transform);
    pst_dataset_unref(run->dataset);
}

/* An element of a mixed image, from the plain ones. */
static float mixed_at(const struct pst_mix *mix, const float *plain, int64_t n, int64_t i, int at)
{
    const struct pst_rect *box = &mix->box;
    const float *own = plain + i * 3 * SIZE * SIZE,
                *other = plain + (i ? i - 1 : n - 1) * 3 * SIZE * SIZE;
    int x = at % SIZE, y = at / SIZE % SIZE;
    if (mix->kind == PST_MIX_CUT)
        return x >= box->x && x < box->x + box->w && y >= box->y && y < box->y + box->h ? other[at]
                                                                                        : own[at];
    volatile float a = other[at] * (float)(1.0 - mix->own), b = own[at] * (float)mix->own;
    return a + b;
}

static void check_batch(const struct pst_mix *mix, const struct pst_batch *plain,
                        const struct pst_batch *batch)
{
    int64_t n = plain->images.shape[0];
    const float *pixels = plain->images.data, *got = batch->images.data;
    const int64_t *labels = plain->labels.data;
    const float *share = batch->labels.data;
    for (int64_t i = 0; i < n; i++)
        for (int at = 0; at < 3 * SIZE * SIZE; at++)
            CHECK(got[i * 3 * SIZE * SIZE + at] == mixed_at(mix, pixels, n, i, at));
    CHECK_INT(batch->labels.dtype, PST_F32);
    CHECK_INT(batch->labels.ndim, 2);
    CHECK_INT(batch->labels.shape[0], n);
    CHECK_INT(batch->labels.shape[1], CLASSES);
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < CLASSES; c++) {
            float of_other = labels[i ? i - 1 : n - 1] == c ? (float)(1.0 - mix->own) : 0;
            float of_own = labels[i] == c ? (float)mix->own : 0;
            CHECK(share[i * CLASSES + c] == of_other + of_own);
        }
}

/* Nothing else draws: the words of a stream are those of its batches' mixes. */
static void test_mixed(void)
{
    struct run plain = run_of(NULL, 2, PST_RNG_TORCH);
    CHECK_INT(run_epoch(&plain, NULL), PST_OK);
    int kinds[3] = {0};
    for (int threads = 1; threads <= 4; threads++) {
        struct run run = run_of(&choice, threads, PST_RNG_TORCH);
        CHECK_INT(run_epoch(&run, NULL), PST_OK);
        for (int s = 0; s < STREAMS; s++) {
            static uint32_t words[4096];
            struct pst__mt mt;
            pst__mt_seed(&mt, 70 + (uint32_t)s);
            pst__mt_fill(&mt, words, 4096);
            size_t at = 0, used;
            double normal = NAN;
            for (int b = s; b < N_BATCHES; b += STREAMS, at += used) {
                struct pst_mix mix;
                CHECK_INT(pst_mix_draw(&choice, SIZE, SIZE, words + at, 4096 - at, &normal, &mix,
                                       &used, NULL),
                          PST_OK);
                CHECK_INT(run.words[b], used);
                CHECK(isnan(normal) ? isnan(run.normal[b]) : normal == run.normal[b]);
                check_batch(&mix, &plain.batch[b], &run.batch[b]);
                kinds[mix.kind]++;
            }
        }
        run_end(&run);
    }
    CHECK(kinds[PST_MIX_CUT] > 0 && kinds[PST_MIX_UP] > 0);
    run_end(&plain);
}

static int same(const struct pst_tensor *a, const struct pst_tensor *b)
{
    return pst_tensor_numel(a) == pst_tensor_numel(b) &&
           memcmp(a->data, b->data, (size_t)pst_tensor_numel(a) * sizeof(float)) == 0;
}

/* With draws of their own batches do not depend on streams or threads. */
static void test_sample_rng(void)
{
    struct run one = run_of(&choice, 1, PST_RNG_SAMPLE), many = run_of(&choice, 4, PST_RNG_SAMPLE);
    struct run plain = run_of(NULL, 2, PST_RNG_SAMPLE);
    CHECK_INT(run_epoch(&one, NULL), PST_OK);
    CHECK_INT(run_epoch(&many, NULL), PST_OK);
    CHECK_INT(run_epoch(&plain, NULL), PST_OK);
    int changed = 0;
    for (int b = 0; b < N_BATCHES; b++) {
        CHECK(same(&one.batch[b].images, &many.batch[b].images));
        CHECK(same(&one.batch[b].labels, &many.batch[b].labels));
        changed += !same(&one.batch[b].images, &plain.batch[b].images);
        CHECK_INT(one.words[b], 0);
    }
    CHECK(changed > 1);
    run_end(&one);
    run_end(&many);
    run_end(&plain);
}

/* A normal that the generator keeps is the first that is drawn. */
static void test_kept_normal(void)
{
    struct run run = run_of(&choice, 2, PST_RNG_TORCH);
    struct pst_loader *loader = open_loader(&run, NULL);
    struct pst_event event;
    struct pst_mix mix;
    struct pst__mt mt;
    uint32_t words[624];
    uint64_t ticket;
    size_t used;
    double normal = 0.25;
    CHECK(loader);
    CHECK_INT(pst_loader_seed(loader, 0, 9, NULL), PST_OK);
    CHECK_INT(pst_loader_set_normal(loader, 0, normal, NULL), PST_OK);
    CHECK_INT(pst_loader_set_normal(loader, STREAMS, normal, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_submit(loader, (int64_t[]){1, 2}, 2, 0, &ticket, NULL), PST_OK);
    CHECK_INT(pst_loader_set_normal(loader, 0, normal, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
    pst__mt_seed(&mt, 9);
    pst__mt_fill(&mt, words, 624);
    CHECK_INT(pst_mix_draw(&choice, SIZE, SIZE, words, 624, &normal, &mix, &used, NULL), PST_OK);
    CHECK(isnan(normal) ? isnan(event.normal) : event.normal == normal);
    CHECK_INT(event.words, used);
    pst_loader_close(&loader);
    run_end(&run);
}

static void test_labels_that_are_no_class(void)
{
    struct pst_mix_config few = choice;
    few.n_classes = 4; /* labels are 0, 3, 6, ... */
    struct run run = run_of(&few, 2, PST_RNG_TORCH);
    struct pst_error err;
    pst_error_init(&err);
    CHECK_INT(run_epoch(&run, &err), PST_ERANGE);
    CHECK_HAS(err.message, "label 6 is not one of 4 classes");
    run_end(&run);
}

static void test_refused(void)
{
    struct pst_mix_config bad = choice;
    struct run run = run_of(&bad, 1, PST_RNG_TORCH);
    struct pst_error err;
    pst_error_init(&err);
    bad.part[1].alpha = 0;
    CHECK(!open_loader(&run, &err));
    CHECK_INT(err.status, PST_EINVAL);
    CHECK_HAS(err.message, "alpha");
    run_end(&run);
}

/* Canceled and closed wherever it is. */
static void test_any_stage(void)
{
    struct run run = run_of(&choice, 3, PST_RNG_TORCH);
    for (int i = 0; i < 60; i++) {
        struct pst_loader *loader = open_loader(&run, NULL);
        struct pst_event event;
        CHECK(loader && submit_all(loader, NULL) == PST_OK);
        for (int b = 0; b < i % N_BATCHES; b++) {
            struct pst_batch batch = {0};
            CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
            CHECK_INT(pst_loader_take(loader, event.ticket, &batch, NULL), PST_OK);
            pst_batch_reset(&batch);
        }
        if (i % 2)
            CHECK_INT(pst_loader_cancel(loader, NULL), PST_OK);
        pst_loader_close(&loader);
    }
    run_end(&run);
}

#ifdef PST_CHECKS
/* Memory runs out at any place: a status, nothing left behind, and no batch that is wrong. */
static void test_faults(void)
{
    struct run run = run_of(&choice, 2, PST_RNG_TORCH), whole = run_of(&choice, 2, PST_RNG_TORCH);
    CHECK_INT(run_epoch(&whole, NULL), PST_OK);
    int64_t blocks = pst__mem_blocks(), fired = 1;
    for (int64_t nth = 1; fired > 0; nth++) {
        struct pst_error err;
        pst_error_init(&err);
        pst__fault_arm(1u << PST_SYS_ALLOC, nth, nth % 2, ENOMEM);
        int rc = run_epoch(&run, &err);
        fired = pst__fault_fired();
        pst__fault_disarm();
        CHECK(rc == PST_OK || rc == PST_ENOMEM || rc == PST_ETHREAD);
        for (int b = 0; b < N_BATCHES && run.batch[b].images.data; b++) {
            CHECK(same(&run.batch[b].images, &whole.batch[b].images));
            CHECK(same(&run.batch[b].labels, &whole.batch[b].labels));
        }
        reset(&run);
        CHECK_INT(pst__mem_blocks(), blocks);
        CHECK(nth < 5000);
        check_tried(1);
    }
    run_end(&whole);
    run_end(&run);
}
#define FAULTS , FAULT("R17", test_faults)
#else
#define FAULTS
#endif

CHECK_MAIN(CASE(test_mixed), CASE(test_sample_rng), CASE(test_kept_normal),
           CASE(test_labels_that_are_no_class), CASE(test_refused),
           FAULT("R31", test_any_stage) FAULTS)
