/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/penstock.h>

#include <math.h>

#include "base/rng.h"
#include "base/sys.h"
#include "check.h"
#include "images.h"
#include "kernels/kernels.h"
#include "transform_ops.h"

/* Noise on samples of one value a channel: in which order the normals lie, how many words they
 * take, the one that goes from sample to sample, and what is done to the sum. All that is expected
 * is worked out from a generator of the test's own. */

/* Of both sizes the numbers are odd, and not a multiple of 16; of the second they are more than a
 * block. */
enum { N = 12, BATCH = 4, SEED = 3, W = 9, H = 7, LARGE_W = 61, LARGE_H = 33 };
enum { MOST = 3 * LARGE_W * LARGE_H };

static const double after[6] = {0.25, 0.5, -0.125, 2, 0.3125, -1.5};

struct variant {
    int w, h, count, n_table, layout;
    uint32_t chance; /* that the noise is added; CERTAIN: always, without a draw */
};

static struct pst_op noise(const struct variant *variant)
{
    return (struct pst_op){.kind = PST_OP_GAUSSIAN_NOISE,
                           .number = {0.1, 0.7},
                           .count = variant->count,
                           .table = after,
                           .n_table = (size_t)variant->n_table};
}

static float value_of(int c)
{
    return 0.3f + 0.2f * (float)c;
}

static struct pst_transform *transform_new(const struct variant *variant)
{
    struct pst_op ops[] = {hflip(CERTAIN / 2),
                           center_crop(variant->w, variant->h),
                           {.kind = PST_OP_RANDOM_APPLY, .threshold = variant->chance, .count = 1},
                           noise(variant)};
    if (variant->chance == CERTAIN)
        ops[2] = ops[3];
    struct pst_output output = {.dtype = PST_F32, .layout = variant->layout};
    for (int i = 0; i < 3 * 256; i++)
        output.lut[i / 256][i % 256] = value_of(i / 256);
    struct pst_transform_config config = {sizeof config, ops, 4 - (variant->chance == CERTAIN),
                                          &output,       0,   0};
    struct pst_transform *transform = NULL;
    CHECK_INT(pst_transform_new(&transform, &config, NULL), PST_OK);
    CHECK(pst_transform_draws_normals(transform));
    return transform;
}

static struct pst_loader *open_loader(struct pst_dataset *dataset, int rng,
                                      const struct variant *variant, int threads)
{
    struct pst_transform *transform = transform_new(variant);
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

/* The normals of a sample in the order of its draws; returns how many words they took. */
static int64_t draw(struct pst__mt *mt, double *kept, int count, int n, float *normals)
{
    static uint32_t words[MOST + 16];
    if (!(count & PST_NOISE_ONE_BY_ONE)) {
        pst__mt_fill(mt, words, (size_t)n + 16);
        CHECK_INT(pst_normal_fill(normals, (size_t)n, words, NULL), PST_OK);
        return n + 16;
    }
    int64_t n_words = 0;
    for (int i = 0; i < n; i++) {
        double pair[2];
        if (!isnan(*kept)) {
            normals[i] = (float)*kept;
            *kept = NAN;
            continue;
        }
        pst__mt_fill(mt, words, 4);
        pst__normal_pair(pair, words);
        n_words += 4;
        normals[i] = (float)pair[0];
        *kept = pair[1];
    }
    return n_words;
}

static float expected_of(const struct variant *variant, int c, const float *normal)
{
    float value = value_of(c);
    if (normal) {
        volatile float scaled = *normal * 0.7f, shifted = 0.1f + scaled;
        value += shifted;
    }
    if (normal && variant->count & PST_NOISE_CLIPPED)
        value = fminf(fmaxf(value, 0), 1);
    if (variant->n_table > 0) {
        volatile float shifted = value - (float)after[c];
        value = shifted / (float)after[3 + c];
    }
    return value;
}

static int64_t check_sample(const struct variant *variant, struct pst__mt *mt, double *kept,
                            const float *sample)
{
    static float normals[MOST];
    int pixels = variant->w * variant->h, n = 3 * pixels, is_noisy = 1;
    int64_t n_words = 1;
    pst__mt_skip(mt, 1); /* the flip's */
    if (variant->chance < CERTAIN) {
        is_noisy = (pst__mt_next(mt) & 0xffffff) < variant->chance;
        n_words++;
    }
    if (is_noisy)
        n_words += draw(mt, kept, variant->count, n, normals);
    for (int i = 0; i < n; i++) {
        int together = variant->layout == PST_LAYOUT_HWC;
        int c = together ? i % 3 : i / pixels, pixel = together ? i / 3 : i % pixels;
        int at = variant->count & PST_NOISE_ONE_BY_ONE ? 3 * pixel + c : c * pixels + pixel;
        float expected = expected_of(variant, c, is_noisy ? &normals[at] : NULL);
        CHECK(memcmp(&sample[i], &expected, sizeof expected) == 0);
    }
    return n_words;
}

static void check_variant(const struct variant *variant, int threads)
{
    struct images *images = images_new(N);
    struct pst_dataset *dataset = images_dataset(images, NULL);
    struct pst_loader *loader = open_loader(dataset, PST_RNG_TORCH, variant, threads);
    struct pst__mt mt;
    double kept = NAN;
    int n = 3 * variant->w * variant->h;
    pst__mt_seed(&mt, SEED);
    submit_all(loader);
    for (int i = 0; i < N / BATCH; i++) {
        struct pst_event event;
        struct pst_batch batch = {0};
        int64_t n_words = 0;
        CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
        CHECK_INT(event.kind, PST_EVENT_BATCH);
        CHECK_INT(pst_loader_take(loader, event.ticket, &batch, NULL), PST_OK);
        for (int k = 0; k < BATCH; k++)
            n_words += check_sample(variant, &mt, &kept, (const float *)batch.images.data + n * k);
        CHECK_INT(event.words, n_words);
        CHECK(isnan(kept) ? isnan(event.normal) : event.normal == kept);
        pst_batch_reset(&batch);
    }
    pst_loader_close(&loader);
    pst_dataset_unref(dataset);
}

static void in_the_order_of_the_stream(void)
{
    for (int i = 0; i < 64; i++) {
        int is_large = i / 16 % 2;
        const struct variant variant = {
            is_large ? LARGE_W : W,        is_large ? LARGE_H : H, i % 4, i / 4 % 2 * 6, i / 8 % 2,
            i < 32 ? CERTAIN : CERTAIN / 2};
        check_variant(&variant, 1 + i % 3);
    }
}

static void of_the_sample_alone(void)
{
    static float seen[N / BATCH][BATCH * 3 * W * H];
    const struct variant variant = {W, H, 3, 6, 0, CERTAIN};
    struct images *images = images_new(N);
    struct pst_dataset *dataset = images_dataset(images, NULL);
    struct pst_loader *loader = open_loader(dataset, PST_RNG_SAMPLE, &variant, 3);
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

static const char *made(const struct pst_op *ops, size_t n, int dtype, int channels)
{
    static struct pst_error err;
    struct pst_output output = {.dtype = dtype};
    struct pst_transform *transform = NULL;
    struct pst_transform_config config = {sizeof config, ops, n, &output, 0, channels};
    pst_error_init(&err);
    int rc = pst_transform_new(&transform, &config, &err);
    CHECK_INT(rc, transform ? PST_OK : PST_EINVAL);
    pst_transform_unref(transform);
    return transform ? "" : err.message;
}

static void what_is_refused(void)
{
    const struct variant variant = {W, H, 3, 6, 0, CERTAIN};
    struct pst_op ops[3] = {center_crop(W, H), noise(&variant), noise(&variant)};
    CHECK_STR(made(ops, 2, PST_F32, 3), "");
    CHECK(strstr(made(ops, 2, PST_U8, 3), "no pixels of PST_U8"));
    CHECK(strstr(made(ops, 2, PST_BF16, 3), "PST_F32 alone"));
    CHECK(strstr(made(ops, 2, PST_F32, 1), "of one channel"));
    CHECK(strstr(made(ops, 3, PST_F32, 3), "comes after gaussian noise"));
    ops[2] = hflip(1);
    CHECK(strstr(made(ops, 3, PST_F32, 3), "comes after gaussian noise"));
    ops[2] = (struct pst_op){
        .kind = PST_OP_RANDOM_ERASING, .scale = {0.2, 0.2}, .ratio = {1, 1}, .log_ratio = {0, 0}};
    CHECK(strstr(made(ops, 3, PST_F32, 3), "comes after gaussian noise"));
    ops[1] = ops[2];
    ops[2] = noise(&variant);
    CHECK(strstr(made(ops, 3, PST_F32, 3), "comes after random erasing"));
    CHECK(strstr(made(ops + 2, 1, PST_F32, 3), "no size"));
    ops[1] = noise(&variant);
    ops[0] = center_crop(5, 1);
    CHECK(strstr(made(ops, 2, PST_F32, 3), "less than 16"));
    ops[0] = center_crop(2000, 2000);
    CHECK(strstr(made(ops, 2, PST_F32, 3), "more than 5000000"));
    ops[0] = center_crop(W, H);
    ops[1].count = 1;
    CHECK_STR(made(ops, 2, PST_F32, 1), "");
    ops[1].number[0] = NAN;
    CHECK(strstr(made(ops, 2, PST_F32, 3), "mean is"));
    ops[1].number[0] = 0;
    ops[1].number[1] = 2e6;
    CHECK(strstr(made(ops, 2, PST_F32, 3), "sigma is"));
    ops[1].number[1] = -0.1;
    CHECK(strstr(made(ops, 2, PST_F32, 3), "sigma is"));
    ops[1] = noise(&variant);
    ops[1].count = 4;
    CHECK(strstr(made(ops, 2, PST_F32, 3), "count is 4"));
    ops[1] = noise(&variant);
    ops[1].n_table = 5;
    CHECK(strstr(made(ops, 2, PST_F32, 3), "5 numbers"));
    const double zero[6] = {0, 0, 0, 1, 1e-60, 1}, large[6] = {0, 1e300, 0, 1, 1, 1};
    ops[1].n_table = 6;
    ops[1].table = zero;
    CHECK(strstr(made(ops, 2, PST_F32, 3), "number 4 of the table"));
    ops[1].table = large;
    CHECK(strstr(made(ops, 2, PST_F32, 3), "number 1 of the table"));
}

static void what_was_drawn_is_told(void)
{
    const struct variant variant = {W, H, 3, 0, 0, CERTAIN};
    struct pst_transform *transform = transform_new(&variant);
    struct pst__mt mt;
    struct pst__plan plan;
    char text[200];
    pst__mt_seed(&mt, SEED);
    struct pst__draws draws = pst__transform_draws(transform, &mt, NULL);
    CHECK_INT(pst__transform_plan(transform, 40, 40, 1, &draws, &plan, NULL), PST_OK);
    pst__plan_describe(&plan, text, sizeof text);
    CHECK(strstr(text, ", noise"));
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
    static float sample[3 * W * H];
    const struct variant variant = {W, H, 3, 6, 0, CERTAIN};
    struct pst_transform *transform = transform_new(&variant);
    int64_t nth = 0, fired;
    int n_noise = 0;
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
        n_noise += rc < 0 && strstr(err.message, "normals") != NULL;
        pst__executor_free(executor);
    } while (fired);
    CHECK_INT(n_noise, 1);
    pst_transform_unref(transform);
}
#define MEMORY_CASES , CASE(memory_runs_out)
#else
#define MEMORY_CASES
#endif

CHECK_MAIN(CASE(in_the_order_of_the_stream), CASE(of_the_sample_alone), CASE(what_is_refused),
           CASE(what_was_drawn_is_told) MEMORY_CASES)
