/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "transform_faults.h"

#include "transform/recolour.h"
#include "transform/segment.h"

/* Steps on tensors: what they plan, refuse and make. tests/python/test_tensor_step_parity.py and
 * test_tensor_colour_parity.py compare their pixels with torchvision's. */

static struct pst_op colour(int kind, double amount, int is_v2)
{
    return (struct pst_op){.kind = PST_OP_RANDOM_COLOUR,
                           .threshold = 1u << 24,
                           .number = {amount},
                           .count = kind | PST_COLOUR_OF_TENSOR | (is_v2 ? PST_COLOUR_V2 : 0)};
}

static int plan_of(const struct pst_op *op, int w, int h, struct pst__plan *plan)
{
    static const uint32_t words[64];
    struct pst__draws draws = {.words = words};
    struct pst_transform *transform = transform_of(op, 1, PST_U8, PST_ERA_DEFAULT);
    int rc = pst__transform_plan(transform, w, h, 1, &draws, plan, NULL);
    pst_transform_unref(transform);
    return rc;
}

static void contrasts_that_only_torch_can_tell(void)
{
    struct pst__plan plan;
    struct pst_op v1 = colour(PST_COLOUR_CONTRAST, 0.5, 0),
                  v2 = colour(PST_COLOUR_CONTRAST, 0.5, 1);
    CHECK_INT(plan_of(&v1, 65793, 1, &plan), PST_OK);
    CHECK_INT(plan_of(&v1, 65794, 1, &plan), PST_ELIMIT);
    CHECK_INT(plan_of(&v2, 16, 3, &plan), PST_OK);
    CHECK_INT(plan_of(&v2, 15, 3, &plan), PST_ELIMIT);
    struct pst_op other = colour(PST_COLOUR_SATURATION, 0.5, 1);
    CHECK_INT(plan_of(&other, 15, 3, &plan), PST_OK);
    CHECK_INT(plan.n_changes, 1);
    CHECK_INT(pst__fold_begin(&plan, 9, 9, 1, NULL), PST_OK);
    CHECK_INT(pst__fold_colour(&plan, PST_COLOUR_HUE | PST_COLOUR_OF_TENSOR, 0, NULL), PST_EINVAL);
}

static int made_of(const struct pst_op *ops, size_t n)
{
    struct pst_output output = {0};
    struct pst_transform *transform = NULL;
    pst_output_normalize(&output, 0, NULL, NULL);
    const struct pst_transform_config config = {sizeof config, ops, n, &output, PST_ERA_DEFAULT, 0};
    int rc = pst_transform_new(&transform, &config, NULL);
    CHECK(rc == PST_OK || !transform);
    pst_transform_unref(transform);
    return rc;
}

static void check_refused(struct pst_op op)
{
    CHECK_INT(made_of(&op, 1), PST_EINVAL);
}

static void check_taken(struct pst_op op)
{
    CHECK_INT(made_of(&op, 1), PST_OK);
}

/* One augmentation of one action. */
static double table[4];

static struct pst_op augment(int action, double magnitude, int filter, double fill, double n_fill)
{
    const double entry[4] = {action, 0, 1, magnitude};
    memcpy(table, entry, sizeof entry);
    return (struct pst_op){.kind = PST_OP_AUGMENT,
                           .filter = filter,
                           .number = {1, 0, fill, fill, fill, n_fill, 1},
                           .count = 1,
                           .table = table,
                           .n_table = 4};
}

/* Of images that all have one size it is refused for all. */
static void sizes_that_do_not_fit(void)
{
    const struct pst_op jitter = {.kind = PST_OP_COLOR_JITTER,
                                  .number = {0, 0, 0.5, 1.5},
                                  .count = 2 | PST_COLOUR_OF_TENSOR | PST_COLOUR_V2};
    struct pst_op augmented = augment(PST_COLOUR_EQUALIZE, 0, PST_FILTER_NEAREST, 0, 1);
    const struct pst_op steps[] = {jitter, augmented};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        for (int side = 20; side <= 21; side++) {
            struct pst_op ops[] = {resize(side, 20, PST_FILTER_BILINEAR), steps[i]};
            CHECK_INT(made_of(ops, 2), side == 20 ? PST_OK : PST_EINVAL);
        }
    }
    struct pst_op of_v1[] = {resize(21, 20, PST_FILTER_BILINEAR), jitter};
    of_v1[1].count &= ~PST_COLOUR_V2;
    CHECK_INT(made_of(of_v1, 2), PST_OK);
}

static void amounts_and_filters(void)
{
    check_taken(colour(PST_COLOUR_HUE, 0.5, 0));
    check_taken(resize(8, 8, PST_FILTER_OF_TENSOR | PST_FILTER_LANCZOS));
    check_refused(colour(PST_COLOUR_HUE, 0.6, 0));
    check_refused(colour(PST_COLOUR_POSTERIZE, 2.5, 1));
    check_refused(colour(PST_COLOUR_SHARPNESS, -1, 1));
    check_refused(colour(12, 0, 0));
    check_refused(colour(0, 0, 0));
    struct pst_op without = colour(PST_COLOUR_INVERT, 0, 1); /* v2 of what is no tensor */
    without.count &= ~PST_COLOUR_OF_TENSOR;
    check_refused(without);
    check_refused(resize(8, 8, PST_FILTER_OF_TENSOR | PST_FILTER_NEAREST));
    check_refused(resize(8, 8, PST_FILTER_OF_TENSOR | PST_FILTER_BOX));
    check_refused(resize(8, 8, 2 * PST_FILTER_OF_TENSOR | PST_FILTER_BICUBIC));
}

static void augmentations(void)
{
    struct pst__plan plan;
    static const int actions[] = {PST_ACTION_SHEAR_X, PST_ACTION_TRANSLATE_Y, PST_ACTION_ROTATE,
                                  PST_COLOUR_EQUALIZE, PST_COLOUR_INVERT};
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        struct pst_op op = augment(actions[i], 0, PST_FILTER_BILINEAR, 30.5, 1);
        CHECK_INT(plan_of(&op, 16, 9, &plan), PST_OK);
        CHECK_INT(plan.n_changes, 1);
    }
    struct pst_op nothing = augment(PST_ACTION_NONE, 0, PST_FILTER_NEAREST, 0, 0);
    CHECK_INT(plan_of(&nothing, 16, 9, &plan), PST_OK);
    CHECK_INT(plan.n_changes, 0);
    struct pst_op shift = augment(PST_ACTION_TRANSLATE_X, 3.9, PST_FILTER_NEAREST, 0, 3);
    CHECK_INT(plan_of(&shift, 16, 9, &plan), PST_OK);
    CHECK(plan.change[0].number[0] == 3);
    struct pst_op share =
        augment(PST_ACTION_TRANSLATE_X_BY_SIZE, 9 + 10 / 4096.0, PST_FILTER_NEAREST, 0, 1);
    CHECK_INT(plan_of(&share, 331, 9, &plan), PST_OK);
    CHECK(plan.change[0].number[0] == 150);
    CHECK_INT(plan_of(&share, 65537, 1, &plan), PST_ELIMIT);
    struct pst_op contrast = augment(PST_COLOUR_CONTRAST, 0.5, PST_FILTER_NEAREST, 0, 1);
    CHECK_INT(plan_of(&contrast, 15, 3, &plan), PST_ELIMIT);
    check_refused(augment(PST_ACTION_ROTATE, 5, PST_FILTER_BICUBIC, 0, 1));
    check_refused(augment(PST_ACTION_ROTATE, 361, PST_FILTER_BILINEAR, 0, 1));
    check_refused(augment(PST_ACTION_ROTATE, 5, PST_FILTER_BILINEAR, 256, 1));
    check_refused(augment(PST_ACTION_ROTATE, 5, PST_FILTER_BILINEAR, 0, 2));
    check_refused(augment(PST_COLOUR_BRIGHTNESS, 1.5, PST_FILTER_NEAREST, 0, 1));
}

/* What becomes of each value of a grey pixel: its luma is what the float32 weights leave of it. */
static void check_values(struct pst_op op, int (*made)(int value))
{
    enum { N = 256 };
    uint8_t rgb[N * 3];
    static const uint32_t words[4];
    struct pst_tensor out = {0};
    struct pst_transform *transform = transform_of(&op, 1, PST_U8, PST_ERA_DEFAULT);
    for (int i = 0; i < N * 3; i++)
        rgb[i] = (uint8_t)(i / 3);
    CHECK_INT(pst_transform_apply(transform, rgb, N, 1, N * 3, words, 4, NULL, &out, NULL), PST_OK);
    for (int v = 0; v < N; v++)
        CHECK_INT(((const uint8_t *)out.data)[v], made(v));
    pst_tensor_reset(&out);
    pst_transform_unref(transform);
}

static int inverted(int v)
{
    return 255 - v;
}
static int same(int v)
{
    return v;
}
static int luma(int v)
{
    float r = 0.2989f * (float)v, g = 0.587f * (float)v, b = 0.114f * (float)v, both = r + g;
    return (int)(both + b);
}
static int fused_luma(int v)
{
    return (int)fmaf(0.114f, (float)v, fmaf(0.587f, (float)v, 0.2989f * (float)v));
}
static int less_bright(int v)
{
    return (int)((float)v * 0.3f);
}

static void what_a_step_makes(void)
{
    for (int is_v2 = 0; is_v2 < 2; is_v2++) {
        check_values(colour(PST_COLOUR_INVERT, 0, is_v2), inverted);
        check_values(colour(PST_COLOUR_SOLARIZE, 0, is_v2), inverted);
        check_values(colour(PST_COLOUR_HUE, 0.3, is_v2), same);
        check_values(colour(PST_COLOUR_GREY, 0, is_v2), is_v2 ? fused_luma : luma);
        check_values(colour(PST_COLOUR_BRIGHTNESS, (double)0.3f, is_v2), less_bright);
        check_values(colour(PST_COLOUR_POSTERIZE, 8, is_v2), same);
    }
}

static void without_memory(void)
{
    static const uint32_t words[64];
    const struct pst_op ops[] = {colour(PST_COLOUR_SHARPNESS, 0.5, 1),
                                 resize(5, 4, PST_FILTER_OF_TENSOR | PST_FILTER_BICUBIC)};
    check_without_memory(ops, 2, words, 64, 6); /* result, executor, pixels, lines, weights, taps */
}

CHECK_MAIN(CASE(contrasts_that_only_torch_can_tell), CASE(sizes_that_do_not_fit),
           CASE(amounts_and_filters), CASE(augmentations), CASE(what_a_step_makes),
           FAULT("R17", without_memory))
