/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/penstock.h>

#include "base/rng.h"
#include "transform_faults.h"

/* Samples of several images: each is a part of what the steps before it make, by torchvision's
 * definition of FiveCrop and TenCrop. */

static uint64_t n_words;
static int below(int n)
{
    return (int)(pst__keyed_word(9, n_words++) % (uint32_t)n);
}

static struct pst_op corner_crops(int w, int h, int count)
{
    return (struct pst_op){.kind = PST_OP_CORNER_CROPS, .w = w, .h = h, .count = count};
}

/* round() of Python of a half of n. */
static int half(int n)
{
    return n % 2 == 0 ? n / 2 : n / 2 % 2 == 0 ? n / 2 : n / 2 + 1;
}

/* Element (c, y, x) of crop i of an image of w x h, which lies in planes. */
static int expected(const uint8_t *planes, int w, int h, const struct pst_op *op, int i, int c,
                    int y, int x)
{
    int left[] = {0, w - op->w, 0, w - op->w, half(w - op->w)};
    int top[] = {0, 0, h - op->h, h - op->h, half(h - op->h)};
    int at_x = left[i % 5] + x, at_y = top[i % 5] + y;
    if (i >= 5 && op->count == 1)
        at_x = w - 1 - at_x;
    if (i >= 5 && op->count == 2)
        at_y = h - 1 - at_y;
    return planes[(c * h + at_y) * w + at_x];
}

static void apply(const struct pst_transform *transform, const uint8_t *rgb, int w, int h,
                  struct pst_tensor *out)
{
    uint32_t words[1] = {0};
    size_t used;
    CHECK_INT(pst_transform_apply(transform, rgb, w, h, 3 * w, words, 0, &used, out, NULL), PST_OK);
    CHECK_INT(used, 0);
}

/* Behind a resize, which gives their source, or a border, whose result is a change's; or of the
 * image itself. */
static void check_crops(int w, int h)
{
    static const double grey = 77;
    uint8_t *rgb = malloc((size_t)(3 * w * h));
    struct pst_op ops[2] = {resize(1 + below(20), 1 + below(20), PST_FILTER_BICUBIC)};
    struct pst_tensor whole = {0}, crops = {0};
    int n = below(3), first = n == 2 ? 1 : 0;
    CHECK(rgb != NULL);
    for (int i = 0; i < 3 * w * h; i++)
        rgb[i] = (uint8_t)below(256);
    if (n == 1)
        ops[0] = pad(1 + below(3), 1 + below(3), &grey);
    if (ops[0].kind == PST_OP_PAD && (w < 4 || h < 4))
        ops[0].number[4] = 1;
    struct pst_transform *transform = transform_of(ops, (size_t)!first, PST_U8, PST_ERA_DEFAULT);
    apply(transform, rgb, w, h, &whole);
    pst_transform_unref(transform);
    int out_h = (int)whole.shape[1], out_w = (int)whole.shape[2];
    ops[1] = corner_crops(1 + below(out_w), 1 + below(out_h), below(3));
    transform = transform_of(ops + first, (size_t)(2 - first), PST_U8, PST_ERA_DEFAULT);
    int n_images = pst_transform_images(transform);
    CHECK_INT(n_images, ops[1].count ? 10 : 5);
    apply(transform, rgb, w, h, &crops);
    CHECK_INT(crops.ndim, 4);
    CHECK_INT(crops.shape[0], n_images);
    CHECK_INT(crops.shape[1], 3);
    CHECK_INT(crops.shape[2], ops[1].h);
    CHECK_INT(crops.shape[3], ops[1].w);
    const uint8_t *got = crops.data;
    for (int i = 0; i < n_images; i++)
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < ops[1].h; y++)
                for (int x = 0; x < ops[1].w; x++)
                    CHECK_INT(*got++, expected(whole.data, out_w, out_h, &ops[1], i, c, y, x));
    pst_transform_unref(transform);
    pst_tensor_reset(&whole);
    pst_tensor_reset(&crops);
    free(rgb);
}

static void by_definition(void)
{
    for (int i = 0; i < 3000; i++)
        check_crops(1 + below(24), 1 + below(24));
}

/* Pixels together, in floats. */
static void as_the_output_says(void)
{
    static const uint8_t rgb[2 * 2 * 3] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    static const int left[] = {0, 1, 0, 1, 0}, top[] = {0, 0, 1, 1, 0};
    struct pst_op op = corner_crops(1, 1, 0);
    struct pst_output output = {0};
    struct pst_transform *transform = NULL;
    struct pst_tensor out = {0};
    pst_output_normalize(&output, 0, NULL, NULL);
    output.layout = PST_LAYOUT_HWC;
    struct pst_transform_config config = {sizeof config, &op, 1, &output, 0, 0};
    CHECK_INT(pst_transform_new(&transform, &config, NULL), PST_OK);
    apply(transform, rgb, 2, 2, &out);
    CHECK(out.ndim == 4 && out.shape[0] == 5 && out.shape[1] == 1 && out.shape[3] == 3);
    const float *got = out.data;
    for (int i = 0; i < 5; i++)
        for (int c = 0; c < 3; c++)
            CHECK(*got++ == (float)rgb[(top[i] * 2 + left[i]) * 3 + c] / 255.0f);
    pst_tensor_reset(&out);
    pst_transform_unref(transform);
}

static void expect_refused(const struct pst_op *ops, size_t n, const char *why)
{
    struct pst_output output = {.dtype = PST_U8};
    struct pst_transform_config config = {sizeof config, ops, n, &output, 0, 0};
    struct pst_transform *transform = NULL;
    struct pst_error err;
    pst_error_init(&err);
    CHECK_INT(pst_transform_new(&transform, &config, &err), PST_EINVAL);
    CHECK_HAS(err.message, why);
}

static void refused(void)
{
    struct pst_op crops = corner_crops(4, 4, 1);
    struct pst_op container = {.kind = PST_OP_RANDOM_APPLY, .threshold = CERTAIN, .count = 1};
    struct pst_op erasing = {
        .kind = PST_OP_RANDOM_ERASING, .threshold = CERTAIN, .scale = {0.1, 0.2}, .ratio = {1, 1}};
    expect_refused((struct pst_op[]){crops, hflip(CERTAIN)}, 2, "it comes after corner crops");
    expect_refused((struct pst_op[]){crops, crops}, 2, "it comes after corner crops");
    expect_refused((struct pst_op[]){crops, erasing}, 2, "it comes after corner crops");
    expect_refused((struct pst_op[]){crops, container, hflip(CERTAIN)}, 3, "after corner crops");
    expect_refused((struct pst_op[]){erasing, crops}, 2, "it comes after random erasing");
    expect_refused((struct pst_op[]){container, crops}, 2, "only sometimes");
    crops.count = 3;
    expect_refused(&crops, 1, "count 3");
    crops = corner_crops(0, 4, 0);
    expect_refused(&crops, 1, "a size of 4 x 0");
}

/* Each side by itself. */
static void of_a_smaller_image(void)
{
    static const uint8_t rgb[4 * 4 * 3];
    for (int side = 0; side < 2; side++) {
        struct pst_op op = corner_crops(side ? 5 : 4, side ? 4 : 5, 0);
        struct pst_transform *transform = transform_of(&op, 1, PST_U8, PST_ERA_DEFAULT);
        struct pst_tensor out = {0};
        struct pst_error err;
        pst_error_init(&err);
        CHECK_INT(pst_transform_apply(transform, rgb, 4, 4, 12, NULL, 0, NULL, &out, &err),
                  PST_EINVAL);
        CHECK_HAS(err.message, side ? "crops of 5 x 4" : "crops of 4 x 5");
        pst_transform_unref(transform);
    }
}

static void too_large(void)
{
    struct pst_op op = corner_crops(20000, 20000, 1);
    struct pst_transform *transform = transform_of(&op, 1, PST_U8, PST_ERA_DEFAULT);
    struct pst__draws draws = {0};
    struct pst__plan plan;
    CHECK_INT(pst__transform_plan(transform, 20000, 20000, 1, &draws, &plan, NULL), PST_ELIMIT);
    pst_transform_unref(transform);
}

static void described(void)
{
    struct pst_op op = corner_crops(3, 2, 1);
    struct pst_transform *transform = transform_of(&op, 1, PST_U8, PST_ERA_DEFAULT);
    struct pst__draws draws = {0};
    struct pst__plan plan;
    char text[256];
    CHECK_INT(pst__transform_plan(transform, 9, 8, 1, &draws, &plan, NULL), PST_OK);
    pst__plan_describe(&plan, text, sizeof text);
    CHECK_STR(text, "9 x 8, crops (0, 0) (6, 0) (0, 6) (6, 6) (3, 3); flipped (6, 0) (0, 0) (6, 6) "
                    "(0, 6) (3, 3), 3 x 2 each");
    /* The image that they are cut out of. */
    CHECK_INT(pst__plan_cost(transform, &plan), 4 * 9 * 8);
    pst_transform_unref(transform);
}

static void not_mixed(void)
{
    struct pst_op op = corner_crops(3, 2, 0);
    struct pst_transform *transform = transform_of(&op, 1, PST_F32, PST_ERA_DEFAULT);
    struct pst_mix_config mix = {sizeof mix, 10, 1, 0, {{PST_MIX_CUT, 1, 0}}};
    CHECK_INT(pst__mix_check(&mix, transform, NULL), PST_EINVAL);
    pst_transform_unref(transform);
}

static void without_memory(void)
{
    struct pst_op op = corner_crops(6, 5, 2);
    check_without_memory(&op, 1, NULL, 0,
                         5); /* result, pixels, executor, the image, rows in planes */
}

CHECK_MAIN(CASE(by_definition), CASE(as_the_output_says), CASE(refused), CASE(of_a_smaller_image),
           CASE(too_large), CASE(described), CASE(not_mixed), FAULT("R17", without_memory))
