/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include <penstock/penstock.h>

#include "base/rng.h"
#include "check.h"
#include "images.h"
#include "transform_ops.h"

/* Steps that draw from Python's random: each batch is one image, and its width says what was
 * drawn. Everything expected is worked out from a generator of the test's own. */

enum { N = 40, PARTS = 3, SEED = 77 };
static const double weighted[] = {1, 1, 1, 0.25, 0.25, 4}; /* steps, then sums */
static const double even[] = {1, 1};

/* A choice of three crops, of which the second is never taken, then two flips in a random order:
 * that shows in nothing but the stream. At last a border, which is refused where it is too wide. */
static struct pst_loader *open_loader(struct pst_dataset *dataset, int rng, int mirror, int threads)
{
    struct pst_op ops[] = {
        {.kind = PST_OP_PYTHON_CHOICE, .count = 3, .number = {1}, .table = weighted, .n_table = 6},
        center_crop(10, 4),
        center_crop(11, 4),
        center_crop(12, 4),
        {.kind = PST_OP_PYTHON_ORDER, .count = 2, .table = even, .n_table = 2},
        hflip(CERTAIN),
        vflip(CERTAIN),
        pad(mirror, 2, NULL),
    };
    ops[7].n_table = 0;
    struct pst_transform *transform = transform_of(ops, 8, PST_U8, PST_ERA_DEFAULT);
    CHECK(pst_transform_draws_python(transform));
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    config.dataset = dataset;
    config.transform = transform;
    config.batch_size = 1;
    config.threads = threads;
    config.rng = rng;
    config.ahead = N;
    struct pst_loader *loader = NULL;
    CHECK_INT(pst_loader_open(&loader, &config, NULL), PST_OK);
    pst_transform_unref(transform);
    CHECK_INT(pst_loader_seed(loader, 0, SEED, NULL), PST_OK);
    return loader;
}

static void submit_all(struct pst_loader *loader)
{
    for (int64_t i = 0; i < N; i++) {
        uint64_t ticket;
        CHECK_INT(pst_loader_submit(loader, &i, 1, 0, &ticket, NULL), PST_OK);
    }
}

/* What a sample draws; *n_words counts. */
static int32_t drawn_width(struct pst__mt *mt, int64_t *n_words)
{
    uint32_t high = pst__mt_next(mt) >> 5, low = pst__mt_next(mt) >> 6;
    double place = (high * 67108864.0 + low) * 0x1p-53 * 4;
    *n_words = 2;
    do
        ++*n_words;
    while (pst__mt_next(mt) >> 30 >= 2); /* an integer below 2 has two bits */
    return place < 0.25 ? 10 : 12;
}

static void as_python_draws(void)
{
    struct pst__mt mt;
    for (int threads = 1; threads <= 4; threads += 3) {
        struct images *images = images_new(N);
        struct pst_dataset *dataset = images_dataset(images, NULL);
        struct pst_loader *loader = open_loader(dataset, PST_RNG_TORCH, 1, threads);
        pst__mt_seed_words(&mt, SEED);
        for (int epoch = 0; epoch < 2; epoch++) {
            submit_all(loader);
            for (int i = 0; i < N; i++) {
                struct pst_event event;
                struct pst_batch batch = {0};
                int64_t n_words;
                CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
                CHECK_INT(event.kind, PST_EVENT_BATCH);
                CHECK_INT(pst_loader_take(loader, event.ticket, &batch, NULL), PST_OK);
                CHECK_INT(batch.images.shape[3], drawn_width(&mt, &n_words) + 2);
                CHECK_INT(event.python_words, n_words);
                CHECK_INT(event.words, 2);
                pst_batch_reset(&batch);
            }
            /* It goes on; or from a state that is given. */
            pst__mt_skip(&mt, 1000);
            CHECK_INT(pst_loader_set_python(loader, 0, mt.state, 625, NULL), PST_EINVAL);
            CHECK_INT(pst_loader_set_python(loader, 1, mt.state, 0, NULL), PST_EINVAL);
            CHECK_INT(pst_loader_set_python(loader, 0, mt.state, (int32_t)mt.given, NULL), PST_OK);
        }
        pst_loader_close(&loader);
        pst_dataset_unref(dataset);
    }
}

static int is_state(const struct pst__mt *mt, const uint32_t words[PST_MT_N], int32_t position)
{
    return mt->given == (uint32_t)position && !memcmp(mt->state, words, sizeof mt->state);
}

/* Images that are refused are finished by the consumer, or fail, after so many words. */
static void refused(void)
{
    struct images *images = images_new(N);
    struct pst_dataset *dataset = images_dataset(images, NULL);
    struct pst_loader *loader = open_loader(dataset, PST_RNG_TORCH, 5000, 3);
    uint8_t sample[3 * 4 * 4] = {0}, pixel[4] = {0};
    struct pst__mt mt;
    pst__mt_seed_words(&mt, SEED);
    submit_all(loader);
    for (int i = 0; i < N;) {
        struct pst_event event;
        struct pst_batch batch = {0};
        CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
        if (event.kind != PST_EVENT_DOUBT) {
            struct pst__mt drawn = mt;
            int64_t n_words = i % 5;
            if (i % 3 == 0) /* by the steps in front of the one that refuses */
                drawn_width(&drawn, &n_words);
            CHECK_INT(event.kind, i % 3 == 2 ? PST_EVENT_BATCH : PST_EVENT_FAILED);
            CHECK_INT(event.python_words, n_words);
            pst__mt_skip(&mt, (uint64_t)n_words);
            CHECK_INT(pst_loader_take(loader, event.ticket, &batch, NULL), PST_OK);
            pst_batch_reset(&batch);
            i++;
            continue;
        }
        uint32_t words[PST_MT_N];
        int32_t position;
        int at = (int)event.index;
        CHECK_INT(pst_loader_python(loader, event.ticket, event.slot, words, &position, NULL),
                  PST_OK);
        if (at == i)
            CHECK(is_state(&mt, words, position));
        CHECK_INT(pst_loader_resolve(loader, event.ticket, event.slot, pixel, 1, 1, 4, 1, NULL),
                  PST_ELIMIT);
        if (at % 3 == 1)
            CHECK_INT(pst_loader_finish(loader, event.ticket, event.slot, NULL, 0, 0, 0, 1,
                                        (uint32_t)(at % 5), NULL),
                      PST_OK);
        if (at % 3 == 2)
            CHECK_INT(pst_loader_finish(loader, event.ticket, event.slot, sample, sizeof sample, 4,
                                        4, 1, (uint32_t)(at % 5), NULL),
                      PST_OK);
        else
            CHECK_INT(pst_loader_fail(loader, event.ticket, event.slot, NULL), PST_OK);
    }
    pst_loader_close(&loader);
    pst_dataset_unref(dataset);
}

/* Where each sample has draws of its own, they are the same however often it comes. */
static void of_the_sample_alone(void)
{
    struct images *images = images_new(N);
    struct pst_dataset *dataset = images_dataset(images, NULL);
    struct pst_loader *loader = open_loader(dataset, PST_RNG_SAMPLE, 1, 3);
    int64_t seen[2][N];
    for (int epoch = 0; epoch < 2; epoch++) {
        submit_all(loader);
        for (int i = 0; i < N; i++) {
            struct pst_event event;
            struct pst_batch batch = {0};
            CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
            CHECK_INT(pst_loader_take(loader, event.ticket, &batch, NULL), PST_OK);
            seen[epoch][i] = batch.images.shape[3];
            pst_batch_reset(&batch);
        }
    }
    CHECK(!memcmp(seen[0], seen[1], sizeof seen[0]));
    int n_narrow = 0;
    for (int i = 0; i < N; i++)
        n_narrow += seen[0][i] == 12;
    CHECK(n_narrow > 0 && n_narrow < N / 2);
    pst_loader_close(&loader);
    pst_dataset_unref(dataset);
}

static int made(const struct pst_op *op)
{
    const struct pst_op ops[] = {*op, hflip(1), vflip(1)};
    struct pst_output output = {.dtype = PST_U8};
    struct pst_transform *transform = NULL;
    struct pst_transform_config config = {sizeof config, ops, 3, &output, 0, 0};
    int rc = pst_transform_new(&transform, &config, NULL);
    pst_transform_unref(transform);
    return rc;
}

static void what_is_refused(void)
{
    const double sums[][4] = {{1, 1, 0, 0},   {1, 1, 2, 1},   {1, 1, -1, 1}, {1, 1, 1, INFINITY},
                              {1, 1, NAN, 1}, {1, 1, 1, NAN}, {1, 2, 1, 1},  {1, 0.5, 1, 1}};
    struct pst_op op = {.kind = PST_OP_PYTHON_CHOICE, .count = 2, .number = {1}, .n_table = 4};
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        op.table = sums[i];
        CHECK_INT(made(&op), PST_EINVAL);
    }
    const double good[] = {1, 1, 0, 3};
    op.table = good;
    CHECK_INT(made(&op), PST_OK);
    op.n_table = 3;
    CHECK_INT(made(&op), PST_EINVAL);
    op.n_table = 2, op.number[0] = 0;
    CHECK_INT(made(&op), PST_OK);
    op.kind = PST_OP_PYTHON_ORDER;
    CHECK_INT(made(&op), PST_OK);
    op.n_table = 0;
    CHECK_INT(made(&op), PST_EINVAL);
}

CHECK_MAIN(CASE(as_python_draws), CASE(refused), CASE(of_the_sample_alone), CASE(what_is_refused))
