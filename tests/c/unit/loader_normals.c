/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/penstock.h>

#include "base/rng.h"
#include "base/sys.h"
#include "check.h"
#include "images.h"
#include "transform_ops.h"

/* Normals in the place of pixels: how many words they take, where they lie, and what follows. All
 * that is expected is worked out from a generator of the test's own. */

enum { N = 24, SIZE = 24, SIDE = 11, BATCH = 4, SEED = 3 };
enum { N_NORMALS = 3 * SIDE * SIDE, N_WORDS = N_NORMALS + 16 };

/* Of the area a fifth and an aspect of 1: always SIDE pixels high and wide. */
static struct pst_op noise(uint32_t threshold)
{
    return (struct pst_op){.kind = PST_OP_RANDOM_ERASING,
                           .threshold = threshold,
                           .scale = {0.2, 0.2},
                           .ratio = {1, 1},
                           .count = 1};
}

static struct pst_transform *transform_new(int mirror)
{
    struct pst_op ops[] = {hflip(CERTAIN / 2), pad(mirror, 2, NULL), center_crop(SIZE, SIZE),
                           noise(CERTAIN / 2), noise(CERTAIN / 4 * 3)};
    ops[1].n_table = 0;
    struct pst_transform *transform = transform_of(ops, 5, PST_F32, PST_ERA_DEFAULT);
    CHECK(pst_transform_draws_normals(transform));
    CHECK(!pst_transform_draws_python(transform));
    return transform;
}

static struct pst_loader *open_loader(struct pst_dataset *dataset, int rng, int mirror, int threads)
{
    struct pst_transform *transform = transform_new(mirror);
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    config.dataset = dataset;
    config.transform = transform;
    config.batch_size = BATCH;
    config.threads = threads;
    config.rng = rng;
    config.ahead = N / BATCH;
    struct pst_loader *loader = NULL;
    CHECK_INT(pst_loader_open(&loader, &config, NULL), PST_OK);
    pst_transform_unref(transform);
    CHECK_INT(pst_loader_seed(loader, 0, SEED, NULL), PST_OK);
    return loader;
}

static void submit_all(struct pst_loader *loader)
{
    for (int64_t first = 0; first < N; first += BATCH) {
        int64_t indices[BATCH] = {first, first + 1, first + 2, first + 3};
        uint64_t ticket;
        CHECK_INT(pst_loader_submit(loader, indices, BATCH, 0, &ticket, NULL), PST_OK);
    }
}

/* What is erased of one sample: normals, and where they are. */
struct erased {
    float value[N_NORMALS];
    int x, y;
};

/* Returns how many words were drawn; 0: the chance was not met. */
static int64_t draw(struct pst__mt *mt, uint32_t threshold, struct erased *erased)
{
    uint32_t words[N_WORDS];
    if ((pst__mt_next(mt) & 0xffffff) >= threshold)
        return 1;
    pst__mt_skip(mt, 2);
    pst__mt_fill(mt, words, N_WORDS);
    CHECK_INT(pst_normal_fill(erased->value, N_NORMALS, words, NULL), PST_OK);
    erased->y = (int)(pst__mt_next(mt) % (SIZE - SIDE + 1));
    erased->x = (int)(pst__mt_next(mt) % (SIZE - SIDE + 1));
    return 5 + N_WORDS;
}

/* The last rectangle lies over the first. */
static int64_t check_sample(struct pst__mt *mt, const float *sample)
{
    struct erased first, second;
    int64_t n_words = 1;
    pst__mt_skip(mt, 1); /* the flip's */
    int64_t n_first = draw(mt, CERTAIN / 2, &first);
    int64_t n_second = draw(mt, CERTAIN / 4 * 3, &second);
    for (int c = 0; c < 3 && n_second > 1; c++)
        for (int y = 0; y < SIDE; y++)
            CHECK(!memcmp(sample + ((c * SIZE + second.y + y) * SIZE + second.x),
                          second.value + (c * SIDE + y) * SIDE, SIDE * sizeof *sample));
    for (int i = 0; i < N_NORMALS && n_first > 1 && n_second == 1; i++) {
        int y = first.y + i / SIDE % SIDE, x = first.x + i % SIDE, c = i / (SIDE * SIDE);
        CHECK(!memcmp(&sample[(c * SIZE + y) * SIZE + x], &first.value[i], sizeof *sample));
    }
    return n_words + n_first + n_second;
}

static void in_the_order_of_the_stream(void)
{
    for (int threads = 1; threads <= 4; threads += 3) {
        struct images *images = images_new(N);
        struct pst_dataset *dataset = images_dataset(images, NULL);
        struct pst_loader *loader = open_loader(dataset, PST_RNG_TORCH, 0, threads);
        struct pst__mt mt;
        pst__mt_seed(&mt, SEED);
        for (int epoch = 0; epoch < 2; epoch++) {
            submit_all(loader);
            for (int i = 0; i < N / BATCH; i++) {
                struct pst_event event;
                struct pst_batch batch = {0};
                int64_t n_words = 0;
                CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
                CHECK_INT(event.kind, PST_EVENT_BATCH);
                CHECK_INT(pst_loader_take(loader, event.ticket, &batch, NULL), PST_OK);
                for (int k = 0; k < BATCH; k++)
                    n_words += check_sample(&mt, (float *)batch.images.data + 3 * SIZE * SIZE * k);
                CHECK_INT(event.words, n_words);
                pst_batch_reset(&batch);
            }
            pst__mt_skip(&mt, 5);
            CHECK_INT(pst_loader_set_state(loader, 0, mt.state, (int32_t)mt.given, NULL), PST_OK);
        }
        pst_loader_close(&loader);
        pst_dataset_unref(dataset);
    }
}

/* Images that are refused after the flip: finished or failed by the consumer, who gets the state.
 */
static void refused(void)
{
    struct images *images = images_new(N);
    struct pst_dataset *dataset = images_dataset(images, NULL);
    struct pst_loader *loader = open_loader(dataset, PST_RNG_TORCH, 5000, 3);
    static float sample[3 * SIZE * SIZE];
    const uint8_t pixel[4] = {0};
    struct pst__mt mt;
    int64_t first = 0;
    pst__mt_seed(&mt, SEED);
    submit_all(loader);
    while (first < N) {
        struct pst_event event;
        struct pst_batch batch = {0};
        uint32_t words[PST_MT_N];
        int32_t position;
        CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
        uint64_t ticket = event.ticket;
        int32_t slot = event.slot;
        if (event.kind != PST_EVENT_DOUBT) {
            int has_failed = first / BATCH % 2;
            CHECK_INT(event.kind, has_failed ? PST_EVENT_FAILED : PST_EVENT_BATCH);
            /* 1000 words for each that is finished, and of a failed one those of the flip. */
            CHECK_INT(event.words, has_failed ? 2001 : 4000);
            pst__mt_skip(&mt, (uint64_t)event.words);
            CHECK_INT(pst_loader_take(loader, ticket, &batch, NULL), PST_OK);
            pst_batch_reset(&batch);
            first += BATCH;
            continue;
        }
        CHECK_INT(pst_loader_words(loader, ticket, slot, words, 1, NULL), PST_EINVAL);
        CHECK_INT(pst_loader_python(loader, ticket, slot, words, &position, NULL), PST_EINVAL);
        CHECK_INT(pst_loader_generator(loader, ticket, slot, words, &position, NULL), PST_OK);
        if (event.index / BATCH == first / BATCH) {
            struct pst__mt here = mt;
            pst__mt_skip(&here, (uint64_t)(1000 * (event.index - first)));
            CHECK_INT(here.given, (uint32_t)position);
            CHECK(!memcmp(here.state, words, sizeof words));
        }
        CHECK_INT(pst_loader_resolve(loader, ticket, slot, pixel, 1, 1, 4, 1, NULL), PST_ELIMIT);
        if (event.index / BATCH % 2 && slot == 2)
            CHECK_INT(pst_loader_fail(loader, ticket, slot, NULL), PST_OK);
        else
            CHECK_INT(pst_loader_finish(loader, ticket, slot, sample, sizeof sample, SIZE, SIZE,
                                        1000, 0, NULL),
                      PST_OK);
    }
    pst_loader_close(&loader);
    pst_dataset_unref(dataset);
}

static void of_the_sample_alone(void)
{
    struct images *images = images_new(N);
    struct pst_dataset *dataset = images_dataset(images, NULL);
    struct pst_loader *loader = open_loader(dataset, PST_RNG_SAMPLE, 0, 3);
    static float seen[N / BATCH][BATCH * 3 * SIZE * SIZE];
    for (int epoch = 0; epoch < 2; epoch++) {
        submit_all(loader);
        for (int i = 0; i < N / BATCH; i++) {
            struct pst_event event;
            struct pst_batch batch = {0};
            CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
            CHECK_INT(pst_loader_take(loader, event.ticket, &batch, NULL), PST_OK);
            CHECK(epoch == 0 || !memcmp(batch.images.data, seen[i], sizeof seen[i]));
            memcpy(seen[i], batch.images.data, sizeof seen[i]);
            pst_batch_reset(&batch);
        }
    }
    CHECK(memcmp(seen[0], seen[1], sizeof seen[0]) != 0);
    pst_loader_close(&loader);
    pst_dataset_unref(dataset);
}

/* Where the exponential decides between two sizes, only torch can tell. */
static void uncertain(void)
{
    struct pst_op op = noise(CERTAIN);
    op.scale[0] = op.scale[1] = 10.5 * 10.5 / (SIZE * SIZE);
    struct pst_op ops[] = {center_crop(SIZE, SIZE), op};
    struct pst_transform *transform = transform_of(ops, 2, PST_F32, PST_ERA_DEFAULT);
    struct pst__mt mt;
    struct pst__plan plan;
    struct pst_error err;
    pst_error_init(&err);
    pst__mt_seed(&mt, SEED);
    struct pst__draws draws = pst__transform_draws(transform, &mt, NULL);
    CHECK_INT(pst__transform_plan(transform, 30, 30, 1, &draws, &plan, &err), PST_ELIMIT);
    CHECK(strstr(err.message, "only torch can tell"));
    pst_transform_unref(transform);
}

static int made(const struct pst_op *op, int dtype, int size)
{
    const struct pst_op ops[] = {center_crop(size, size), *op};
    struct pst_output output = {.dtype = dtype};
    struct pst_transform *transform = NULL;
    struct pst_transform_config config = {sizeof config, ops + !size, 1 + !!size, &output, 0, 0};
    int rc = pst_transform_new(&transform, &config, NULL);
    pst_transform_unref(transform);
    return rc;
}

static void what_is_refused(void)
{
    struct pst_op op = noise(CERTAIN);
    CHECK_INT(made(&op, PST_F32, SIZE), PST_OK);
    CHECK_INT(made(&op, PST_BF16, SIZE), PST_OK);
    CHECK_INT(made(&op, PST_U8, SIZE), PST_EINVAL);
    CHECK_INT(made(&op, PST_F32, 0), PST_EINVAL); /* of any size */
    CHECK_INT(made(&op, PST_F32, 6), PST_EINVAL);
    op.scale[0] = 0.001;
    CHECK_INT(made(&op, PST_F32, SIZE), PST_EINVAL);
    op = noise(CERTAIN);
    op.ratio[1] = 1000;
    CHECK_INT(made(&op, PST_F32, SIZE), PST_EINVAL);
    float value[16];
    CHECK_INT(pst_normal_fill(value, 15, NULL, NULL), PST_EINVAL);
    CHECK_INT(pst_normal_pairs(value, 3, NULL, NULL), PST_EINVAL);
    struct pst_transform *transform = transform_new(0);
    struct pst_tensor out;
    const uint8_t rgb[3] = {0};
    uint32_t words[99] = {0};
    CHECK_INT(pst_transform_apply(transform, rgb, 1, 1, 3, words, 99, NULL, &out, NULL),
              PST_EINVAL);
    pst_transform_unref(transform);
}

#ifdef PST_CHECKS
/* Each allocation of an executor fails once, that of the normals among them. */
static void memory_runs_out(void)
{
    static uint8_t rgbx[40 * 40 * 4 + 64];
    static float sample[3 * SIZE * SIZE];
    struct pst_op ops[] = {center_crop(SIZE, SIZE), noise(CERTAIN)};
    struct pst_transform *transform = transform_of(ops, 2, PST_F32, PST_ERA_DEFAULT);
    int64_t nth = 0, fired;
    do {
        struct pst__mt mt;
        struct pst__plan plan;
        struct pst__executor *executor = NULL;
        struct pst_error err;
        pst_error_init(&err);
        pst__mt_seed(&mt, SEED);
        struct pst__draws draws = pst__transform_draws(transform, &mt, NULL);
        CHECK_INT(pst__transform_plan(transform, 40, 40, 1, &draws, &plan, &err), PST_OK);
        struct pst__memory_rows rows = {rgbx, (ptrdiff_t)4 * plan.region.w, plan.region.h};
        struct pst__row_source source = {pst__memory_rows, &rows};
        pst__fault_arm(1u << PST_SYS_ALLOC, ++nth, 0, 0);
        int rc = pst__executor_new(&executor, &err);
        if (rc == PST_OK)
            rc = pst__transform_execute(executor, transform, &plan, &source,
                                        &(struct pst__place){sample, 0}, &err);
        fired = pst__fault_fired();
        pst__fault_disarm();
        CHECK_INT(rc, fired ? PST_ENOMEM : PST_OK);
        pst__executor_free(executor);
    } while (fired);
    CHECK(nth > 2);
    pst_transform_unref(transform);
}
#define MEMORY_CASES , CASE(memory_runs_out)
#else
#define MEMORY_CASES
#endif

CHECK_MAIN(CASE(in_the_order_of_the_stream), CASE(refused), CASE(of_the_sample_alone),
           CASE(uncertain), CASE(what_is_refused) MEMORY_CASES)
