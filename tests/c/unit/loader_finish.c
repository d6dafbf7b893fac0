/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/penstock.h>

#include <math.h>

#include "base/rng.h"
#include "check.h"
#include "images.h"
#include "transform_ops.h"

/* Samples that the plan refuses are finished by the consumer: here all that are mirrored too far,
 * with bytes that say which sample and which words they were made of. */

enum { N = 23, SIZE = 8, BATCH = 4, SAMPLE = 3 * SIZE * SIZE, N_WORDS = 3 };

static struct pst_loader *open_loader(struct pst_dataset *dataset, int rng, int threads)
{
    /* A flip draws before the refusal: its word is not lost, nor drawn twice. */
    struct pst_op ops[] = {hflip(CERTAIN / 2), crop_anywhere(SIZE, SIZE, 5000, 2, NULL)};
    ops[1].n_table = 0;
    struct pst_transform *transform = transform_of(ops, 2, PST_U8, PST_ERA_DEFAULT);
    CHECK_INT(pst_transform_max_words(transform), N_WORDS);
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    config.dataset = dataset;
    config.transform = transform;
    config.batch_size = BATCH;
    config.threads = threads;
    config.rng = rng;
    config.ahead = N;
    struct pst_loader *loader = NULL;
    CHECK_INT(pst_loader_open(&loader, &config, NULL), PST_OK);
    pst_transform_unref(transform);
    CHECK_INT(pst_loader_seed(loader, 0, 11, NULL), PST_OK);
    return loader;
}

static void fill(uint8_t sample[SAMPLE], int64_t index, const uint32_t words[N_WORDS])
{
    for (int i = 0; i < SAMPLE; i++)
        sample[i] = (uint8_t)(index * 7 + i + (int64_t)words[i % N_WORDS]);
}

/* As many words are taken as the index says. */
static size_t taken(int64_t index)
{
    return (size_t)(index % (N_WORDS + 1));
}

static void decide(struct pst_loader *loader, const struct pst_event *event)
{
    uint32_t words[N_WORDS];
    uint8_t sample[SAMPLE], pixel[4] = {0};
    CHECK_INT(event->error.status, PST_ELIMIT);
    CHECK_INT(pst_loader_resolve(loader, event->ticket, event->slot, pixel, 1, 1, 4, 1, NULL),
              PST_ELIMIT);
    CHECK_INT(pst_loader_words(loader, event->ticket, event->slot, words, N_WORDS + 1, NULL),
              PST_EINVAL);
    CHECK_INT(pst_loader_words(loader, event->ticket, event->slot, words, N_WORDS, NULL), PST_OK);
    fill(sample, event->index, words);
    CHECK_INT(pst_loader_finish(loader, event->ticket, event->slot, sample, SAMPLE - 1, SIZE, SIZE,
                                0, 0, NULL),
              PST_EINVAL);
    CHECK_INT(pst_loader_finish(loader, event->ticket, event->slot, sample, SAMPLE, SIZE, SIZE,
                                N_WORDS + 1, 0, NULL),
              PST_EINVAL);
    CHECK_INT(pst_loader_finish(loader, event->ticket, event->slot, sample, SAMPLE, SIZE, SIZE,
                                taken(event->index), 0, NULL),
              PST_OK);
    CHECK_INT(pst_loader_finish(loader, event->ticket, event->slot, sample, SAMPLE, SIZE, SIZE, 0,
                                0, NULL),
              PST_EINVAL);
}

static void submit_all(struct pst_loader *loader)
{
    for (int64_t first = 0; first < N; first += BATCH) {
        int64_t indices[BATCH];
        size_t n = 0;
        uint64_t ticket;
        for (int64_t i = first; i < N && n < BATCH; i++)
            indices[n++] = i;
        CHECK_INT(pst_loader_submit(loader, indices, n, 0, &ticket, NULL), PST_OK);
    }
}

static void check_batch(const struct pst_batch *batch, int64_t first, struct pst__mt *mt,
                        uint32_t next[N_WORDS], int64_t n_words)
{
    for (int64_t i = 0; i < batch->images.shape[0]; i++) {
        uint8_t expected[SAMPLE];
        fill(expected, first + i, next);
        CHECK(!memcmp((uint8_t *)batch->images.data + i * SAMPLE, expected, SAMPLE));
        for (size_t k = 0; k < taken(first + i); k++, n_words--) {
            memmove(next, next + 1, (N_WORDS - 1) * sizeof *next);
            pst__mt_fill(mt, next + N_WORDS - 1, 1);
        }
    }
    CHECK_INT(n_words, 0);
}

/* What the consumer's transform leaves for the next call, which comes with words only. */
static double left_by(int64_t index, double before)
{
    if (taken(index) == 0)
        return before;
    return index % 3 == 0 ? NAN : (double)index + 0.25;
}

static double left_before(int64_t index, double first)
{
    double normal = first;
    for (int64_t i = 0; i < index; i++)
        normal = left_by(i, normal);
    return normal;
}

static int is_same(double a, double b)
{
    return isnan(a) ? isnan(b) : a == b;
}

static void decide_with_normal(struct pst_loader *loader, const struct pst_event *event,
                               double first)
{
    double normal, before = left_before(event->index, first);
    CHECK_INT(pst_loader_normal(loader, event->ticket, event->slot, &normal, NULL), PST_OK);
    CHECK(is_same(normal, before));
    normal = left_by(event->index, before);
    CHECK_INT(pst_loader_leave_normal(loader, event->ticket, event->slot, normal, NULL), PST_OK);
    decide(loader, event);
}

/* The normal that a generator keeps goes from sample to sample, and to the next batch. */
static void normals_go_on(void)
{
    const double first = -1.5;
    struct images *images = images_new(N);
    struct pst_dataset *dataset = images_dataset(images, NULL);
    struct pst_loader *loader = open_loader(dataset, PST_RNG_TORCH, 3);
    double normal;
    CHECK_INT(pst_loader_normal(loader, 1, 0, &normal, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_leave_normal(loader, 1, 0, 1.0, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_set_normal(loader, 0, first, NULL), PST_OK);
    submit_all(loader);
    for (int64_t done = 0; done < N;) {
        struct pst_event event;
        struct pst_batch batch = {0};
        CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
        if (event.kind == PST_EVENT_DOUBT) {
            decide_with_normal(loader, &event, first);
            continue;
        }
        CHECK_INT(event.kind, PST_EVENT_BATCH);
        CHECK_INT(pst_loader_take(loader, event.ticket, &batch, NULL), PST_OK);
        done += batch.images.shape[0];
        CHECK(is_same(event.normal, left_before(done, first)));
        pst_batch_reset(&batch);
    }
    pst_loader_close(&loader);
    pst_dataset_unref(dataset);
}

/* Samples take their words one after the other, whoever finishes them. */
static void in_the_order_of_the_stream(void)
{
    for (int threads = 1; threads <= 4; threads += 3) {
        struct images *images = images_new(N);
        struct pst_dataset *dataset = images_dataset(images, NULL);
        struct pst_loader *loader = open_loader(dataset, PST_RNG_TORCH, threads);
        struct pst__mt mt;
        uint32_t next[N_WORDS];
        int n_doubts = 0;
        pst__mt_seed(&mt, 11);
        pst__mt_fill(&mt, next, N_WORDS);
        submit_all(loader);
        for (int64_t first = 0; first < N;) {
            struct pst_event event;
            struct pst_batch batch = {0};
            CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
            if (event.kind == PST_EVENT_DOUBT) {
                decide(loader, &event);
                n_doubts++;
                continue;
            }
            CHECK_INT(event.kind, PST_EVENT_BATCH);
            CHECK_INT(pst_loader_take(loader, event.ticket, &batch, NULL), PST_OK);
            check_batch(&batch, first, &mt, next, event.words);
            first += batch.images.shape[0];
            pst_batch_reset(&batch);
        }
        CHECK_INT(n_doubts, N);
        pst_loader_close(&loader);
        pst_dataset_unref(dataset);
    }
}

/* Where each sample has words of its own, they are the same however often it comes. */
static void words_of_their_own(void)
{
    struct images *images = images_new(N);
    struct pst_dataset *dataset = images_dataset(images, NULL);
    struct pst_loader *loader = open_loader(dataset, PST_RNG_SAMPLE, 3);
    uint32_t seen[N][N_WORDS] = {{0}};
    for (int epoch = 0; epoch < 2; epoch++) {
        submit_all(loader);
        for (int64_t first = 0; first < N;) {
            struct pst_event event;
            struct pst_batch batch = {0};
            uint32_t words[N_WORDS];
            CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
            if (event.kind == PST_EVENT_DOUBT) {
                CHECK_INT(pst_loader_words(loader, event.ticket, event.slot, words, N_WORDS, NULL),
                          PST_OK);
                CHECK(epoch == 0 || !memcmp(words, seen[event.index], sizeof words));
                memcpy(seen[event.index], words, sizeof words);
                decide(loader, &event);
                continue;
            }
            CHECK_INT(event.kind, PST_EVENT_BATCH);
            CHECK_INT(pst_loader_take(loader, event.ticket, &batch, NULL), PST_OK);
            first += batch.images.shape[0];
            pst_batch_reset(&batch);
        }
    }
    CHECK(memcmp(seen[0], seen[1], sizeof seen[0]) != 0);
    pst_loader_close(&loader);
    pst_dataset_unref(dataset);
}

/* The transform of the consumer's fails, too: after so many words. */
static void failed_after_words(void)
{
    struct images *images = images_new(N);
    struct pst_dataset *dataset = images_dataset(images, NULL);
    struct pst_loader *loader = open_loader(dataset, PST_RNG_TORCH, 2);
    struct pst_event event;
    struct pst_batch batch = {0};
    submit_all(loader);
    CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
    CHECK_INT(event.kind, PST_EVENT_DOUBT);
    CHECK_INT(pst_loader_leave_normal(loader, event.ticket, event.slot, 0.75, NULL), PST_OK);
    CHECK_INT(pst_loader_finish(loader, event.ticket, event.slot, NULL, 0, 0, 0, 2, 0, NULL),
              PST_OK);
    CHECK_INT(pst_loader_fail(loader, event.ticket, event.slot, NULL), PST_OK);
    uint64_t ticket = event.ticket;
    CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
    while (event.kind == PST_EVENT_DOUBT) { /* a thread was quick with a later batch */
        CHECK(event.ticket > ticket);
        decide(loader, &event);
        CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
    }
    CHECK_INT(event.kind, PST_EVENT_FAILED);
    CHECK_INT(event.ticket, ticket);
    CHECK_INT(event.words, 2);
    CHECK(event.normal == 0.75);
    CHECK_INT(pst_loader_take(loader, event.ticket, &batch, NULL), PST_OK);
    pst_batch_reset(&batch);
    pst_loader_close(&loader);
    pst_dataset_unref(dataset);
}

CHECK_MAIN(CASE(in_the_order_of_the_stream), CASE(normals_go_on), CASE(words_of_their_own),
           CASE(failed_after_words))
