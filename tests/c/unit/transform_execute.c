/* SPDX-License-Identifier: Apache-2.0 */
#include "transform_ops.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/sys.h"
#include "transform/change.h"
#include "transform/segment.h"

/* An image in memory, RGB rows without gaps. */
struct rgb {
    int32_t w, h;
    uint8_t *pixels;
};

static struct pst__mt mt;

static uint32_t word(void)
{
    uint32_t w;
    pst__mt_fill(&mt, &w, 1);
    return w;
}

static int below(int n)
{
    return (int)(word() % (uint32_t)n);
}

static struct rgb noise(int32_t w, int32_t h)
{
    struct rgb image = {w, h, malloc((size_t)w * (size_t)h * 3)};
    CHECK(image.pixels);
    for (size_t i = 0; i < (size_t)w * (size_t)h * 3; i++)
        image.pixels[i] = (uint8_t)word();
    return image;
}

static size_t apply(const struct pst_transform *transform, const struct rgb *image,
                    const uint32_t *words, struct pst_tensor *out)
{
    size_t used = SIZE_MAX;
    struct pst_error err;
    pst_error_init(&err);
    if (pst_transform_apply(transform, image->pixels, image->w, image->h, (ptrdiff_t)image->w * 3,
                            words, pst_transform_max_words(transform), &used, out, &err) != PST_OK)
        check_fail(__FILE__, __LINE__, "%s", err.message);
    return used;
}

static struct rgb image_of(const struct pst_tensor *tensor)
{
    struct rgb image = {(int32_t)tensor->shape[2], (int32_t)tensor->shape[1], NULL};
    size_t plane = (size_t)image.w * (size_t)image.h;
    const uint8_t *from = tensor->data;
    image.pixels = malloc(plane * 3);
    CHECK(image.pixels);
    for (size_t i = 0; i < plane; i++)
        for (size_t c = 0; c < 3; c++)
            image.pixels[i * 3 + c] = from[c * plane + i];
    return image;
}

static struct pst_op random_op(void)
{
    static const double greys[] = {0, 255, 77};
    int w = 1 + below(40), h = 1 + below(40);
    switch (below(10)) {
    case 0:
        return resize(w, h, below(6));
    case 1:
        return resize_short(w, below(2) ? 200 + h : 0, below(6));
    case 2:
    case 3:
        return center_crop(w, h);
    case 4:
        return random_crop(w, h, 0.1, 1.0, 0.5, 2.0, -0.6931472f, 0.6931472f);
    case 5:
        return hflip(CERTAIN / 2);
    case 6:
        return pad(below(9), below(2), &greys[below(3)]);
    case 7:
        return crop_anywhere(w, h, below(9), below(2), &greys[below(3)]);
    case 8:
        return (struct pst_op){.kind = PST_OP_GRAYSCALE, .count = 3};
    default:
        return vflip(CERTAIN / 2);
    }
}

/* Folding changes nothing: a list of steps gives what its steps give one after the other. */
static void folded_equals_step_by_step(void)
{
    pst__mt_seed(&mt, 1);
    for (int round = 0; round < 4000; round++) {
        struct pst_op ops[5];
        size_t n = (size_t)below(6), drawn = 0;
        for (size_t i = 0; i < n; i++)
            ops[i] = random_op();
        uint32_t words[5 * 22];
        pst__mt_fill(&mt, words, sizeof words / sizeof *words);
        int era = PST_ERA_9 + below(3);
        struct rgb image = noise(1 + below(60), 1 + below(60));

        struct pst_transform *transform = transform_of(ops, n, PST_U8, era);
        struct pst_tensor folded;
        size_t used = apply(transform, &image, words, &folded);
        pst_transform_unref(transform);

        for (size_t i = 0; i < n; i++) {
            struct pst_tensor tensor;
            transform = transform_of(&ops[i], 1, PST_U8, era);
            drawn += apply(transform, &image, words + drawn, &tensor);
            pst_transform_unref(transform);
            free(image.pixels);
            image = image_of(&tensor);
            pst_tensor_reset(&tensor);
        }
        CHECK_INT(used, drawn);
        CHECK_INT(folded.shape[0], 3);
        CHECK_INT(folded.shape[1], image.h);
        CHECK_INT(folded.shape[2], image.w);
        struct rgb result = image_of(&folded);
        CHECK(memcmp(result.pixels, image.pixels, (size_t)image.w * (size_t)image.h * 3) == 0);
        free(result.pixels);
        free(image.pixels);
        pst_tensor_reset(&folded);
    }
}

static uint8_t luma(const uint8_t *rgb)
{
    return (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

/* A transform for grey images takes the lumas of one that is not, and this one as it is. */
static void grey_images(void)
{
    pst__mt_seed(&mt, 9);
    for (int round = 0; round < 2000; round++) {
        struct pst_op ops[5] = {{.kind = PST_OP_GRAYSCALE, .count = 1}};
        size_t n = (size_t)below(5);
        for (size_t i = 1; i <= n; i++) {
            ops[i] = random_op();
            ops[i].count = ops[i].kind == PST_OP_GRAYSCALE ? 1 : 0;
        }
        uint32_t words[5 * 22];
        pst__mt_fill(&mt, words, sizeof words / sizeof *words);
        struct rgb image = noise(1 + below(60), 1 + below(60));
        struct pst_output output = {.dtype = PST_U8};
        struct pst_transform_config config = {sizeof config, ops + 1, n, &output, 1 + below(3), 1};
        struct pst_transform *grey, *step;
        CHECK_INT(pst_transform_new(&grey, &config, NULL), PST_OK);
        config.ops = ops, config.n_ops = n + 1, config.channels = 3;
        CHECK_INT(pst_transform_new(&step, &config, NULL), PST_OK);
        struct pst_tensor given, by_step, again;
        apply(grey, &image, words, &given);
        apply(step, &image, words, &by_step);
        for (int i = 0; i < image.w * image.h; i++)
            memset(image.pixels + 3 * i, luma(image.pixels + 3 * i), 3);
        apply(grey, &image, words, &again);
        CHECK_INT(given.shape[0], 1);
        size_t bytes = (size_t)pst_tensor_numel(&given);
        CHECK_INT(pst_tensor_numel(&by_step), (int64_t)bytes);
        CHECK(memcmp(given.data, by_step.data, bytes) == 0);
        CHECK(memcmp(given.data, again.data, bytes) == 0);
        if (n == 0)
            for (int i = 0; i < image.w * image.h; i++)
                CHECK_INT(((const uint8_t *)given.data)[i], image.pixels[3 * i]);
        pst_tensor_reset(&given);
        pst_tensor_reset(&by_step);
        pst_tensor_reset(&again);
        pst_transform_unref(grey);
        pst_transform_unref(step);
        free(image.pixels);
    }
}

/* A grey image's channel comes three times; one of three channels stays as it is. */
static void three_channels(void)
{
    pst__mt_seed(&mt, 11);
    struct rgb image = noise(13, 9);
    size_t n = (size_t)13 * 9;
    const struct pst_op rgb = {.kind = PST_OP_RGB};
    struct pst_output output = {.dtype = PST_U8};
    for (int channels = 1; channels <= 3; channels += 2) {
        struct pst_transform_config config = {sizeof config, &rgb, 1, &output, 0, channels};
        struct pst_transform *transform;
        CHECK_INT(pst_transform_new(&transform, &config, NULL), PST_OK);
        CHECK_INT(pst_transform_channels(transform), 3);
        struct pst_tensor tensor;
        CHECK_INT(apply(transform, &image, NULL, &tensor), 0);
        CHECK_INT(tensor.shape[0], 3);
        for (size_t i = 0; i < 3 * n; i++) {
            const uint8_t *pixel = image.pixels + 3 * (i % n);
            CHECK_INT(((const uint8_t *)tensor.data)[i],
                      channels == 1 ? luma(pixel) : pixel[i / n]);
        }
        pst_tensor_reset(&tensor);
        pst_transform_unref(transform);
    }
    free(image.pixels);
}

/* The source is made grey while it is read, unless a resize or a change comes first: a crop still
 * says what is read. */
static void grey_without_a_change(void)
{
    struct pst_op grey = {.kind = PST_OP_GRAYSCALE, .count = 3};
    struct pst_op ops[][3] = {{center_crop(9, 7), hflip(CERTAIN), grey},
                              {grey, center_crop(9, 7), resize(5, 5, PST_FILTER_BOX)},
                              {center_crop(9, 7), resize(5, 5, PST_FILTER_BOX), grey}};
    for (int i = 0; i < 3; i++) {
        struct pst_transform *transform = transform_of(ops[i], 3, PST_U8, PST_ERA_13);
        uint32_t words[1] = {0};
        struct pst__draws draws = {.words = words};
        struct pst__plan plan;
        CHECK_INT(pst__transform_plan(transform, 40, 30, 1, &draws, &plan, NULL), PST_OK);
        CHECK_INT(plan.is_luma, i < 2);
        CHECK_INT(plan.n_changes, i == 2);
        CHECK_INT(plan.region.w, 9);
        CHECK_INT(plan.region.h, 7);
        pst_transform_unref(transform);
    }
}

/* float32 results are the table of the uint8 ones, zeros outside included. */
static void float_is_the_table(void)
{
    pst__mt_seed(&mt, 2);
    struct pst_output output = {.dtype = PST_F32, .std = {1, 1, 1}};
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++)
            output.lut[c][v] = (float)(v * v) + 1000.0f * (float)(c + 1);
    for (int round = 0; round < 300; round++) {
        struct pst_op ops[] = {random_op(), center_crop(1 + below(90), 1 + below(90)),
                               hflip(CERTAIN / 2), vflip(CERTAIN / 2)};
        uint32_t words[4 * 22];
        pst__mt_fill(&mt, words, sizeof words / sizeof *words);
        struct rgb image = noise(1 + below(60), 1 + below(60));
        struct pst_transform *bytes = transform_of(ops, 4, PST_U8, 0), *floats;
        struct pst_transform_config config = {sizeof config, ops, 4, &output, 0, 0};
        CHECK_INT(pst_transform_new(&floats, &config, NULL), PST_OK);
        struct pst_tensor a, b;
        CHECK_INT(apply(bytes, &image, words, &a), apply(floats, &image, words, &b));
        CHECK_INT(pst_tensor_numel(&a), pst_tensor_numel(&b));
        CHECK_INT(b.dtype, PST_F32);
        int64_t plane = a.shape[1] * a.shape[2];
        for (int64_t i = 0; i < 3 * plane; i++)
            CHECK(((const float *)b.data)[i] ==
                  output.lut[i / plane][((const uint8_t *)a.data)[i]]);
        pst_tensor_reset(&a);
        pst_tensor_reset(&b);
        pst_transform_unref(bytes);
        pst_transform_unref(floats);
        free(image.pixels);
    }
}

/* An image with rows apart, given top down a few at a time. */
struct slow_rows {
    const struct rgb *image;
    struct pst_rect region;
    uint8_t *rgbx;
    int done, most, fail_at;
};

static int slow_rows(void *self, int max_rows, const uint8_t **rows, ptrdiff_t *stride, int *n_rows,
                     struct pst_error *err)
{
    struct slow_rows *s = self;
    int left = s->region.h - s->done;
    int n = max_rows < left ? max_rows : left;
    CHECK(left > 0);
    if (n > s->most && max_rows < left)
        n = s->most;
    if (s->done + n > s->fail_at) {
        err->status = PST_ETRUNCATED;
        return PST_ETRUNCATED;
    }
    *stride = (ptrdiff_t)s->region.w * 4 + 12;
    *rows = s->rgbx + s->done * *stride;
    for (int i = 0; i < n; i++, s->done++) {
        for (int x = 0; x < s->region.w; x++) {
            uint8_t *to = s->rgbx + s->done * *stride + x * 4;
            memcpy(to,
                   s->image->pixels + ((size_t)(s->region.y + s->done) * (size_t)s->image->w +
                                       (size_t)(s->region.x + x)) *
                                          3,
                   3);
            to[3] = (uint8_t)word(); /* undefined by contract: must not show */
        }
    }
    *n_rows = n;
    return PST_OK;
}

static struct slow_rows rows_of(const struct rgb *image, const struct pst__plan *plan, int most)
{
    size_t bytes = ((size_t)plan->region.w * 4 + 12) * (size_t)plan->region.h;
    struct slow_rows s = {image, plan->region, pst__alloc(bytes, PST_MEM_HEAP), 0, most, INT32_MAX};
    CHECK(s.rgbx);
    return s;
}

/* Only the region is read, all of it, in any portions; the executor carries nothing over. */
static void portions_of_rows(void)
{
    pst__mt_seed(&mt, 3);
    struct pst__executor *executor = NULL;
    int64_t blocks = pst__mem_blocks();
    CHECK_INT(pst__executor_new(&executor, NULL), PST_OK);
    for (int round = 0; round < 1500; round++) {
        struct pst_op ops[] = {random_op(), random_op(), random_op()};
        struct rgb image = noise(1 + below(60), 1 + below(90));
        struct pst_transform *transform = transform_of(ops, 3, PST_U8, PST_ERA_9 + below(3));
        uint32_t words[3 * 22];
        float exps[3 * 22];
        pst__mt_fill(&mt, words, 3 * 22);
        struct pst__draws draws = {.words = words, .exps = {exps, exps, exps, exps}};
        if (pst__transform_n_exp_ranges(transform) > 0) {
            pst__transform_exp_arguments(transform, 0, words, 3 * 22, exps);
            pst__range_compute(pst__transform_range(transform, 0), exps, 3 * 22);
        }
        struct pst__plan plan;
        struct pst_error err;
        pst_error_init(&err);
        CHECK_INT(pst__transform_plan(transform, image.w, image.h, 1, &draws, &plan, &err), PST_OK);
        CHECK(plan.region.x >= 0 && plan.region.y >= 0 && plan.region.w > 0 && plan.region.h > 0);
        CHECK(plan.region.x + plan.region.w <= image.w && plan.region.y + plan.region.h <= image.h);

        struct pst_tensor whole;
        CHECK_INT(apply(transform, &image, words, &whole), draws.used);
        size_t bytes = (size_t)pst_tensor_numel(&whole);
        uint8_t *dst = malloc(bytes + 2);
        CHECK(dst);
        dst[0] = dst[bytes + 1] = 0xa5;
        struct slow_rows rows = rows_of(&image, &plan, 1 + below(20));
        struct pst__row_source source = {slow_rows, &rows};
        CHECK_INT(pst__transform_execute(executor, transform, &plan, &source,
                                         &(struct pst__place){dst + 1, 0}, &err),
                  PST_OK);
        CHECK_INT(rows.done, plan.region.h);
        CHECK(memcmp(dst + 1, whole.data, bytes) == 0);
        CHECK(dst[0] == 0xa5 && dst[bytes + 1] == 0xa5);

        rows.done = 0;
        rows.fail_at = below(plan.region.h);
        CHECK_INT(pst__transform_execute(executor, transform, &plan, &source,
                                         &(struct pst__place){dst + 1, 0}, &err),
                  PST_ETRUNCATED);
        free(dst);
        pst__free(rows.rgbx);
        pst_tensor_reset(&whole);
        pst_transform_unref(transform);
        free(image.pixels);
    }
    CHECK(pst__executor_bytes(executor) < 8u << 20);
    pst__executor_free(executor);
    pst__executor_free(NULL);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* A crop that misses the image is black, whatever is done to the image before; its source is read
 * all the same. */
static void black(void)
{
    pst__mt_seed(&mt, 4);
    struct pst_op missing = random_crop(3, 7, 1, 1, 0.01, 0.01, -4.6f, -4.6f);
    struct pst_op before[] = {hflip(0),
                              random_crop(5, 4, 1, 1, 1, 1, 0, 0),
                              resize(9, 4, PST_FILTER_BOX),
                              resize(30, 4, PST_FILTER_BICUBIC),
                              resize(9, 3, PST_FILTER_NEAREST),
                              center_crop(13, 4)};
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        struct pst_op ops[] = {before[i], missing, center_crop(20, 20)};
        struct pst_transform *transform = transform_of(ops, 3, PST_U8, 0);
        struct rgb image = noise(9, 9);
        uint32_t words[2 * 22 + 1] = {0};
        struct pst_tensor out;
        apply(transform, &image, words, &out);
        CHECK_INT(pst_tensor_numel(&out), 1200);
        for (int k = 0; k < 1200; k++)
            CHECK_INT(((const uint8_t *)out.data)[k], 0);
        pst_tensor_reset(&out);
        pst_transform_unref(transform);
        free(image.pixels);
    }
}

static void too_few_words(void)
{
    struct pst_op op = hflip(0);
    struct pst_transform *transform = transform_of(&op, 1, PST_U8, 0);
    struct pst_tensor out = {.ndim = 7};
    struct pst_error err;
    pst_error_init(&err);
    uint8_t pixel[3] = {0};
    CHECK_INT(pst_transform_apply(transform, pixel, 1, 1, 3, NULL, 0, NULL, &out, &err),
              PST_EINVAL);
    CHECK_INT(out.ndim, 7); /* left as it was */
    CHECK(pst_transform_ref(transform) == transform);
    pst_transform_unref(transform);
    pst_transform_unref(transform);
    pst_transform_unref(NULL);
}

static int run_add(const struct pst__change *change, const struct pst__image *src,
                   const struct pst__image *dst, struct pst__scratch *work, struct pst_error *err)
{
    (void)work, (void)err;
    CHECK(src->pixels == dst->pixels && src->w == change->w && src->h == change->h);
    for (int y = 0; y < src->h; y++)
        for (int x = 0; x < src->w * 4; x++)
            dst->pixels[y * dst->stride + x] =
                (uint8_t)(dst->pixels[y * dst->stride + x] + change->integer[0]);
    return PST_OK;
}

static int run_transpose(const struct pst__change *change, const struct pst__image *src,
                         const struct pst__image *dst, struct pst__scratch *work,
                         struct pst_error *err)
{
    (void)change, (void)work, (void)err;
    CHECK(src->pixels != dst->pixels && src->w == dst->h && src->h == dst->w);
    for (int y = 0; y < dst->h; y++)
        for (int x = 0; x < dst->w; x++)
            memcpy(dst->pixels + y * dst->stride + x * 4, src->pixels + x * src->stride + y * 4, 4);
    return PST_OK;
}

static const struct pst__change_type add_type = {"add", 1, 0, 1, NULL, run_add};
static const struct pst__change_type transpose_type = {"transpose", 0, 0, 0, NULL, run_transpose};

/* A crop of 9 x 7 at (3, 5), two changes, a crop of 4 x 5 at (2, 1), a change, a flip, erased. */
static void fold_changes(struct pst__plan *plan, int w, int h, int channels)
{
    struct pst_error err;
    pst_error_init(&err);
    struct pst__change add = {.type = &add_type, .w = 9, .h = 7, .integer = {11}};
    struct pst__change transpose = {.type = &transpose_type, .w = 7, .h = 9};
    CHECK_INT(pst__fold_begin(plan, w, h, channels, &err), PST_OK);
    CHECK_INT(pst__fold_crop(plan, &(struct pst_rect){3, 5, 9, 7}, &err), PST_OK);
    CHECK_INT(pst__fold_change(plan, &add, &err), PST_OK);
    CHECK_INT(pst__fold_change(plan, &transpose, &err), PST_OK);
    CHECK_INT(pst__fold_crop(plan, &(struct pst_rect){2, 1, 4, 5}, &err), PST_OK);
    add.w = 4, add.h = 5;
    CHECK_INT(pst__fold_change(plan, &add, &err), PST_OK);
    CHECK_INT(pst__fold_flip(plan, 1, 0, &err), PST_OK);
    CHECK_INT(pst__fold_erase(plan, &(struct pst_rect){1, 2, 2, 3}, (float[3]){7, 8, 9}, &err),
              PST_OK);
    CHECK_INT(pst__fold_end(plan, PST_ERA_13, PST_U8, &err), PST_OK);
}

static uint8_t expected_of_changes(const struct rgb *image, int c, int y, int x)
{
    if (x >= 1 && x < 3 && y >= 2)
        return (uint8_t)(7 + c);
    int tx = 2 + (3 - x), ty = 1 + y; /* in the transposed image */
    return (uint8_t)(image->pixels[((5 + tx) * image->w + 3 + ty) * 3 + c] + 22);
}

static void changes_run_in_their_place(void)
{
    pst__mt_seed(&mt, 8);
    for (int channels = 1; channels <= 3; channels += 2) {
        struct pst_output output = {.dtype = PST_U8};
        struct pst_transform_config config = {sizeof config, NULL, 0, &output, 0, channels};
        struct pst_transform *transform = NULL;
        struct pst__executor *executor = NULL;
        struct pst_error err;
        struct pst__plan plan;
        pst_error_init(&err);
        CHECK_INT(pst_transform_new(&transform, &config, &err), PST_OK);
        CHECK_INT(pst_transform_channels(transform), channels);
        CHECK_INT(pst__executor_new(&executor, &err), PST_OK);
        struct rgb image = noise(20, 15);
        for (int i = 0; channels == 1 && i < 20 * 15; i++)
            image.pixels[3 * i + 1] = image.pixels[3 * i + 2] = image.pixels[3 * i];
        fold_changes(&plan, image.w, image.h, channels);
        CHECK_INT((int)pst__transform_bytes(transform, &plan), channels * 20);

        uint8_t rgbx[9 * 7 * 4 + 64] = {0}, sample[3 * 20 + 1];
        CHECK(plan.region.w == 9 && plan.region.h == 7);
        for (int i = 0; i < 9 * 7; i++)
            memcpy(rgbx + i * 4, image.pixels + ((5 + i / 9) * image.w + 3 + i % 9) * 3, 3);
        struct pst__memory_rows rows = {rgbx, 9 * 4, 7};
        memset(sample, 0xee, sizeof sample);
        CHECK_INT(pst__transform_execute(executor, transform, &plan,
                                         &(struct pst__row_source){pst__memory_rows, &rows},
                                         &(struct pst__place){sample, 0}, &err),
                  PST_OK);
        for (int c = 0; c < channels; c++)
            for (int y = 0; y < 5; y++)
                for (int x = 0; x < 4; x++)
                    CHECK_INT(sample[(c * 5 + y) * 4 + x], expected_of_changes(&image, c, y, x));
        CHECK_INT(sample[channels * 20], 0xee);
        pst__executor_free(executor);
        pst_transform_unref(transform);
        free(image.pixels);
    }
}

#ifdef PST_CHECKS
/* Each allocation fails once: an error, nothing kept, and the next call works. */
static void memory_runs_out(void)
{
    static const double grey = 7;
    pst__mt_seed(&mt, 5);
    struct pst_op ops[] = {hflip(CERTAIN), resize(30, 20, PST_FILTER_BICUBIC),
                           random_crop(7, 30, 0.1, 1, 0.5, 2, -0.6931472f, 0.6931472f),
                           resize(12, 12, PST_FILTER_NEAREST), pad(3, 1, &grey)};
    struct rgb image = noise(40, 50);
    uint32_t words[5 * 22];
    pst__mt_fill(&mt, words, 5 * 22);
    int64_t nth = 0, fired;
    do {
        struct pst_output output = {.dtype = PST_U8};
        struct pst_transform_config config = {sizeof config, ops, 5, &output, 0, 1};
        struct pst_transform *transform = NULL;
        struct pst_tensor out = {0};
        struct pst_error err;
        pst_error_init(&err);
        int64_t blocks = pst__mem_blocks();
        pst__fault_arm(1u << PST_SYS_ALLOC, ++nth, 0, 0);
        int rc = pst_transform_new(&transform, &config, &err);
        if (rc == PST_OK)
            rc = pst_transform_apply(transform, image.pixels, image.w, image.h, image.w * 3, words,
                                     5 * 22, NULL, &out, &err);
        fired = pst__fault_fired();
        pst__fault_disarm();
        CHECK(rc == PST_OK || (rc == PST_ENOMEM && fired == 1));
        CHECK(rc == PST_OK || !out.buffer);
        pst_tensor_reset(&out);
        pst_transform_unref(transform);
        CHECK_INT(pst__mem_blocks(), blocks);
    } while (fired);
    CHECK(nth > 10);
    free(image.pixels);
}
#define MEMORY_CASES , CASE(memory_runs_out)
#else
#define MEMORY_CASES
#endif

CHECK_MAIN(CASE(folded_equals_step_by_step), CASE(float_is_the_table), CASE(portions_of_rows),
           CASE(black), CASE(too_few_words), CASE(grey_images), CASE(grey_without_a_change),
           CASE(three_channels), CASE(changes_run_in_their_place) MEMORY_CASES)
