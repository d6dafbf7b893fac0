/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/penstock.h>

#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "check.h"
#include "images.h"

enum {
    N = 37,
    SIZE = 24,
    BATCH = 4,
    N_BATCHES = (N + BATCH - 1) / BATCH,
    SAMPLE = 3 * SIZE * SIZE
};

/* What a loader must deliver, worked out one sample after another with the functions that take a
 * single image: results[b] is NULL where the batch fails. */
struct expected {
    float *batch[N_BATCHES];
    int failed_slot[N_BATCHES];
};

/* 1: the sample is good. */
static int apply_one(const struct images *images, const struct pst_transform *transform, int index,
                     const uint32_t *words, size_t *used, float *out)
{
    struct pst_tensor rgb = {0}, result = {0};
    if (pst_image_decode(&rgb, images->data[index], images->size[index], NULL, NULL) < 0)
        return 0;
    CHECK_INT(pst_transform_apply(transform, rgb.data, (int32_t)rgb.shape[1], (int32_t)rgb.shape[0],
                                  rgb.strides[0], words, 64, used, &result, NULL),
              PST_OK);
    CHECK_INT(pst_tensor_numel(&result), SAMPLE);
    memcpy(out, result.data, SAMPLE * sizeof *out);
    pst_tensor_reset(&rgb);
    pst_tensor_reset(&result);
    return 1;
}

static void expect(struct expected *expected, const struct images *images,
                   const struct pst_transform *transform, int n_streams, uint32_t seed)
{
    enum { WORDS = 64 * N + 64 };
    static uint32_t words[WORDS];
    for (int s = 0; s < n_streams; s++) {
        struct pst__mt mt;
        size_t at = 0;
        pst__mt_seed(&mt, seed + (uint32_t)s);
        pst__mt_fill(&mt, words, WORDS);
        for (int b = s; b < N_BATCHES; b += n_streams) {
            expected->failed_slot[b] = -1;
            expected->batch[b] = calloc(BATCH, SAMPLE * sizeof(float));
            for (int i = 0; i < BATCH && b * BATCH + i < N; i++) {
                size_t used = 0;
                if (!apply_one(images, transform, b * BATCH + i, words + at, &used,
                               expected->batch[b] + i * SAMPLE)) {
                    expected->failed_slot[b] = i;
                    break;
                }
                at += used;
            }
        }
    }
}

static void expected_free(struct expected *expected)
{
    for (int b = 0; b < N_BATCHES; b++)
        free(expected->batch[b]);
}

struct setup {
    struct images *images;
    struct pst_dataset *dataset;
    struct pst_transform *transform;
    struct pst_loader *loader;
};

static void setup(struct setup *s, int is_train, int cut, struct pst_loader_config config)
{
    s->images = images_new(N);
    if (cut >= 0)
        images_cut(s->images, cut);
    s->dataset = images_dataset(s->images, NULL);
    s->transform = images_transform(SIZE, is_train, NULL);
    CHECK(s->dataset && s->transform);
    config.dataset = s->dataset;
    config.transform = s->transform;
    config.batch_size = BATCH;
    CHECK_INT(pst_loader_open(&s->loader, &config, NULL), PST_OK);
}

static void teardown(struct setup *s)
{
    pst_loader_close(&s->loader);
    CHECK(!s->loader);
    pst_transform_unref(s->transform);
    pst_dataset_unref(s->dataset);
}

static void submit_batch(struct setup *s, int b, int n_streams)
{
    int64_t indices[BATCH];
    size_t n = 0;
    uint64_t ticket;
    for (int i = b * BATCH; i < N && n < BATCH; i++)
        indices[n++] = i;
    CHECK_INT(pst_loader_submit(s->loader, indices, n, b % n_streams, &ticket, NULL), PST_OK);
}

static void check_batch(const struct pst_batch *batch, const struct expected *expected, int b)
{
    int n = b * BATCH + BATCH <= N ? BATCH : N - b * BATCH;
    CHECK_INT(batch->images.ndim, 4);
    CHECK_INT(batch->images.shape[0], n);
    CHECK(!memcmp(batch->images.data, expected->batch[b], (size_t)n * SAMPLE * sizeof(float)));
    for (int i = 0; i < n; i++)
        CHECK_INT(((int64_t *)batch->labels.data)[i], (b * BATCH + i) * 3);
}

/* One epoch through the explicit circle, at most `window` batches ahead; doubts fail. */
static void run_epoch(struct setup *s, const struct expected *expected, int n_streams, int window)
{
    int submitted = 0;
    for (int b = 0; b < N_BATCHES; b++) {
        while (submitted < N_BATCHES && submitted < b + window)
            submit_batch(s, submitted++, n_streams);
        for (;;) {
            struct pst_event event;
            struct pst_batch batch = {0};
            CHECK_INT(pst_loader_wait(s->loader, &event, 60000, NULL), PST_OK);
            if (event.kind == PST_EVENT_DOUBT) {
                CHECK_INT(event.error.status, PST_ETRUNCATED);
                CHECK(event.data && event.size == s->images->size[event.index]);
                CHECK_INT(pst_loader_fail(s->loader, event.ticket, event.slot, NULL), PST_OK);
                continue;
            }
            if (event.kind == PST_EVENT_FAILED)
                CHECK_INT(event.slot, expected->failed_slot[b]);
            CHECK_INT(pst_loader_take(s->loader, event.ticket, &batch, NULL), PST_OK);
            if (event.kind == PST_EVENT_BATCH)
                check_batch(&batch, expected, b);
            else
                CHECK(!batch.images.data && expected->failed_slot[b] >= 0);
            pst_batch_reset(&batch);
            break;
        }
    }
    struct pst_event event;
    CHECK_INT(pst_loader_wait(s->loader, &event, 0, NULL), PST_END);
}

static void parity(int is_train, int cut, int threads, int n_streams, int window)
{
    int64_t blocks = pst__mem_blocks();
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    config.threads = threads;
    config.n_streams = n_streams;
    config.ahead = window;
    struct setup s;
    struct expected expected;
    setup(&s, is_train, cut, config);
    for (uint32_t epoch = 0; epoch < 2; epoch++) {
        expect(&expected, s.images, s.transform, n_streams, 100 + epoch * 10);
        for (int i = 0; i < n_streams; i++)
            CHECK_INT(pst_loader_seed(s.loader, i, 100 + epoch * 10 + (uint32_t)i, NULL), PST_OK);
        run_epoch(&s, &expected, n_streams, window);
        expected_free(&expected);
    }
    teardown(&s);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void test_train_parity(void)
{
    for (int threads = 1; threads <= 5; threads += 2)
        for (int streams = 1; streams <= 3; streams++)
            parity(1, -1, threads, streams, streams * 2);
}

static void test_eval_parity(void)
{
    parity(0, -1, 1, 1, 1);
    parity(0, -1, 4, 2, 5);
}

/* A sample that fails draws nothing, and later batches of its stream go on from there. */
static void test_failed_sample_moves_the_stream(void)
{
    for (int cut = 0; cut < N; cut += 5)
        for (int threads = 1; threads <= 4; threads += 3)
            parity(1, cut, threads, 2, 6);
    parity(0, 9, 3, 2, 6);
}

/* Pixels that the reference gives are used like decoded ones. */
static void test_resolve(void)
{
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    config.threads = 3;
    struct setup s;
    setup(&s, 1, -1, config);
    struct expected expected;
    expect(&expected, s.images, s.transform, 1, 7);
    unsigned char *whole = s.images->data[6];
    size_t whole_size = s.images->size[6];
    s.images->data[6] = calloc(1, 16); /* not an image: no size is known before the decision */
    s.images->size[6] = 16;
    CHECK_INT(pst_loader_seed(s.loader, 0, 7, NULL), PST_OK);
    for (int b = 0; b < 3; b++)
        submit_batch(&s, b, 1);
    int n_doubts = 0;
    for (int b = 0; b < 3;) {
        struct pst_event event;
        struct pst_batch batch = {0};
        CHECK_INT(pst_loader_wait(s.loader, &event, 60000, NULL), PST_OK);
        if (event.kind == PST_EVENT_DOUBT) {
            struct pst_tensor rgb = {0};
            n_doubts++;
            CHECK_INT(event.index, 6);
            CHECK_INT(pst_image_decode(&rgb, whole, whole_size, NULL, NULL), PST_OK);
            int w = (int)rgb.shape[1], h = (int)rgb.shape[0];
            uint8_t *rgbx = calloc((size_t)w * (size_t)h, 4);
            for (int i = 0; i < w * h; i++)
                memcpy(rgbx + 4 * i, (uint8_t *)rgb.data + 3 * i, 3);
            CHECK_INT(
                pst_loader_resolve(s.loader, event.ticket, event.slot, rgbx, w, h, 4 * w, 1, NULL),
                PST_OK);
            CHECK_INT(
                pst_loader_resolve(s.loader, event.ticket, event.slot, rgbx, w, h, 4 * w, 1, NULL),
                PST_EINVAL);
            free(rgbx);
            pst_tensor_reset(&rgb);
            continue;
        }
        CHECK_INT(event.kind, PST_EVENT_BATCH);
        CHECK_INT(pst_loader_take(s.loader, event.ticket, &batch, NULL), PST_OK);
        check_batch(&batch, &expected, b++);
        pst_batch_reset(&batch);
    }
    CHECK_INT(n_doubts, 1);
    free(whole);
    expected_free(&expected);
    teardown(&s);
}

/* Batches outlive the loader, and what is kept never changes. */
static void test_batches_outlive_the_loader(void)
{
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    config.threads = 2;
    struct setup s;
    setup(&s, 1, -1, config);
    struct expected expected;
    struct pst_batch kept[N_BATCHES];
    memset(kept, 0, sizeof kept);
    expect(&expected, s.images, s.transform, 1, 1);
    CHECK_INT(pst_loader_seed(s.loader, 0, 1, NULL), PST_OK);
    for (int b = 0; b < N_BATCHES; b++) {
        struct pst_event event;
        submit_batch(&s, b, 1);
        CHECK_INT(pst_loader_wait(s.loader, &event, 60000, NULL), PST_OK);
        CHECK_INT(pst_loader_take(s.loader, event.ticket, &kept[b], NULL), PST_OK);
    }
    teardown(&s);
    for (int b = 0; b < N_BATCHES; b++) {
        check_batch(&kept[b], &expected, b);
        pst_batch_reset(&kept[b]);
    }
    expected_free(&expected);
}

/* Batch memory is mapped for the batches that are under way at once, and then used again: how many
 * that are is up to the threads' timing, but never more than the look-ahead and the one in hand. */
static void test_slabs_are_used_again(void)
{
    enum { AHEAD = 4, EPOCHS = 8 };
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    config.threads = 2;
    config.ahead = AHEAD;
    struct setup s;
    setup(&s, 0, -1, config);
    struct pst_batch batch = {0};
    struct pst_stats stats = {.struct_size = sizeof stats};
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        int rc;
        while ((rc = pst_loader_next(s.loader, &batch, NULL)) == PST_OK)
            pst_batch_reset(&batch);
        CHECK_INT(rc, PST_END);
    }
    CHECK_INT(pst_loader_stats(s.loader, &stats, NULL), PST_OK);
    CHECK(stats.slab_allocs >= 1 && stats.slab_allocs <= AHEAD + 1);
    CHECK_INT(stats.samples, EPOCHS * N);
    teardown(&s);
}

/* A budget of one batch is enough, and is not exceeded by more than the batch that all wait for. */
/* A batch that cannot fit is refused with the numbers; the next call goes on. */
static void test_a_batch_over_the_budget(void)
{
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    config.threads = 4;
    config.ahead = 8;
    config.memory_budget = BATCH * SAMPLE * sizeof(float) - 1;
    struct setup s;
    setup(&s, 0, -1, config);
    struct pst_batch batch = {0};
    for (int i = 0; i < 3; i++) {
        struct pst_error err;
        pst_error_init(&err);
        CHECK_INT(pst_loader_next(s.loader, &batch, &err), PST_ELIMIT);
        char text[64];
        snprintf(text, sizeof text, "the memory budget is %zu", config.memory_budget);
        CHECK(strstr(err.message, text));
    }
    teardown(&s);
}

/* Room for one batch and little else: they come one after the other. */
static void test_small_budget(void)
{
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    config.threads = 4;
    config.ahead = 8;
    config.memory_budget = BATCH * SAMPLE * sizeof(float);
    struct setup s;
    setup(&s, 0, -1, config);
    struct pst_batch batch = {0};
    int n = 0, rc;
    while ((rc = pst_loader_next(s.loader, &batch, NULL)) == PST_OK) {
        n++;
        pst_batch_reset(&batch);
    }
    CHECK_INT(rc, PST_END);
    CHECK_INT(n, N_BATCHES);
    struct pst_stats stats = {.struct_size = sizeof stats};
    CHECK_INT(pst_loader_stats(s.loader, &stats, NULL), PST_OK);
    CHECK(stats.over_budget <= N_BATCHES);
    CHECK(stats.slab_peak_bytes < 2 * 4096 + 2 * (int64_t)(BATCH * SAMPLE * sizeof(float)));
    CHECK(stats.held_peak_bytes >= stats.slab_peak_bytes);
    teardown(&s);
}

/* Close and cancel at any stage; the words that come after a cancel are those of the new seed. */
static void test_close_and_cancel_at_any_stage(void)
{
    int64_t blocks = pst__mem_blocks();
    for (int stage = 0; stage < 40; stage++) {
        struct pst_loader_config config;
        pst_loader_config_init(&config);
        config.threads = 1 + stage % 4;
        config.ahead = 6;
        struct setup s;
        setup(&s, 1, stage % 3 == 0 ? 5 : -1, config);
        CHECK_INT(pst_loader_seed(s.loader, 0, 3, NULL), PST_OK);
        for (int b = 0; b < stage % 7; b++) {
            struct pst_event event;
            if (b < 6)
                submit_batch(&s, b, 1);
            if (stage % 2)
                pst_loader_wait(s.loader, &event, stage % 5, NULL);
        }
        if (stage % 4 == 1) {
            struct expected expected;
            CHECK_INT(pst_loader_cancel(s.loader, NULL), PST_OK);
            expect(&expected, s.images, s.transform, 1, 9);
            CHECK_INT(pst_loader_seed(s.loader, 0, 9, NULL), PST_OK);
            run_epoch(&s, &expected, 1, 5);
            expected_free(&expected);
        }
        teardown(&s);
    }
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* With keyed draws a sample's result depends on the key and its index alone. */
static void test_sample_rng(void)
{
    float *first[N] = {0};
    for (int run = 0; run < 3; run++) {
        struct pst_loader_config config;
        pst_loader_config_init(&config);
        config.threads = 1 + run;
        config.rng = PST_RNG_SAMPLE;
        config.shuffle = run;
        struct setup s;
        setup(&s, 1, -1, config);
        /* Backwards in the second run, one by one in the third. */
        int step = run == 2 ? 1 : BATCH;
        CHECK_INT(pst_loader_seed(s.loader, 0, 42, NULL), PST_OK);
        for (int at = 0; at < N; at += step) {
            int64_t indices[BATCH];
            size_t n = 0;
            uint64_t ticket;
            struct pst_event event;
            struct pst_batch batch = {0};
            for (int i = at; i < N && n < (size_t)step; i++)
                indices[n++] = run == 1 ? N - 1 - i : i;
            CHECK_INT(pst_loader_submit(s.loader, indices, n, 0, &ticket, NULL), PST_OK);
            CHECK_INT(pst_loader_wait(s.loader, &event, 60000, NULL), PST_OK);
            CHECK_INT(pst_loader_take(s.loader, ticket, &batch, NULL), PST_OK);
            for (size_t i = 0; i < n; i++) {
                const float *got = (float *)batch.images.data + i * SAMPLE;
                if (run == 0) {
                    first[indices[i]] = malloc(SAMPLE * sizeof(float));
                    memcpy(first[indices[i]], got, SAMPLE * sizeof(float));
                } else {
                    CHECK(!memcmp(first[indices[i]], got, SAMPLE * sizeof(float)));
                }
            }
            pst_batch_reset(&batch);
        }
        teardown(&s);
    }
    CHECK(memcmp(first[0], first[1], SAMPLE * sizeof(float)) != 0);
    for (int i = 0; i < N; i++)
        free(first[i]);
}

static void test_next_reports_the_sample(void)
{
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    config.threads = 2;
    struct setup s;
    setup(&s, 0, 9, config);
    struct pst_batch batch = {0};
    struct pst_error err;
    int n_ok = 0, n_bad = 0, rc;
    for (;;) {
        pst_error_init(&err);
        rc = pst_loader_next(s.loader, &batch, &err);
        if (rc == PST_END)
            break;
        n_ok += rc == PST_OK;
        if (rc < 0) {
            n_bad++;
            CHECK_INT(rc, PST_ETRUNCATED);
            CHECK_INT(err.record, 9);
        }
        pst_batch_reset(&batch);
    }
    CHECK_INT(n_ok, N_BATCHES - 1);
    CHECK_INT(n_bad, 1);
    teardown(&s);
}

/* The child may not use the loader, the parent does not notice. */
static void test_fork(void)
{
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    config.threads = 2;
    struct setup s;
    setup(&s, 0, -1, config);
    struct pst_batch batch = {0}, other = {0};
    CHECK_INT(pst_loader_next(s.loader, &batch, NULL), PST_OK);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(20);
        int ok = pst_loader_next(s.loader, &other, NULL) == PST_EFORKED;
        pst_batch_reset(&batch);
        pst_loader_close(&s.loader);
        _exit(ok && !s.loader ? 0 : 1);
    }
    int status;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    pst_batch_reset(&batch);
    CHECK_INT(pst_loader_next(s.loader, &batch, NULL), PST_OK);
    pst_batch_reset(&batch);
    teardown(&s);
}

static void test_bad_arguments(void)
{
    struct pst_loader_config config;
    struct pst_loader *loader = NULL;
    struct pst_error err;
    pst_loader_config_init(&config);
    pst_error_init(&err);
    CHECK_INT(pst_loader_open(&loader, &config, &err), PST_EINVAL);
    CHECK_HAS(err.message, "dataset");
    struct setup s;
    uint64_t ticket;
    int64_t far = N;
    setup(&s, 0, -1, config);
    pst_error_init(&err);
    CHECK_INT(pst_loader_submit(s.loader, &far, 1, 0, &ticket, &err), PST_ERANGE);
    CHECK_HAS(err.message, "37");
    CHECK_INT(pst_loader_submit(s.loader, &far, 0, 0, &ticket, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_take(s.loader, 1, &(struct pst_batch){0}, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_fail(s.loader, 1, 0, NULL), PST_EINVAL);
    submit_batch(&s, 0, 1);
    CHECK_INT(pst_loader_seed(s.loader, 0, 1, NULL), PST_EINVAL);
    teardown(&s);
    pst_loader_close(&loader);
}

CHECK_MAIN(CASE(test_train_parity), CASE(test_eval_parity),
           CASE(test_failed_sample_moves_the_stream), CASE(test_resolve),
           FAULT("R27", test_batches_outlive_the_loader), CASE(test_slabs_are_used_again),
           CASE(test_small_budget), CASE(test_a_batch_over_the_budget),
           FAULT("R31", test_close_and_cancel_at_any_stage), CASE(test_sample_rng),
           CASE(test_next_reports_the_sample), FAULT("R28", test_fork), CASE(test_bad_arguments))
