/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "transform_faults.h"

#include "base/rng.h"
#include "transform/augmix.h"
#include "transform/draw.h"
#include "transform/segment.h"

/* AugMix: what it draws, plans and adds up. tests/python/test_augmix_parity.py compares its pixels
 * with torchvision's. */

enum { MOST_WORDS = 600 };

static struct pst__mt mt;
static uint32_t words[MOST_WORDS];

/* A table of one action, and AugMix of it. */
static double table[16];

static struct pst_op augmix_of(int action, int is_signed, double magnitude, int is_v2, int width,
                               int depth)
{
    const double entry[] = {action, is_signed, 1, magnitude};
    memcpy(table, entry, sizeof entry);
    return (struct pst_op){.kind = PST_OP_AUGMIX,
                           .filter = PST_FILTER_BILINEAR,
                           .number = {is_v2, 1, width},
                           .count = depth,
                           .table = table,
                           .n_table = 4};
}

static void new_words(uint32_t seed)
{
    pst__mt_seed(&mt, seed);
    pst__mt_fill(&mt, words, MOST_WORDS);
}

static struct pst__augmix planned(const struct pst_op *op, int w, int h, double *normal,
                                  size_t *used)
{
    struct pst__augmix augmix;
    struct pst__plan plan;
    struct pst__draws draws = {.words = words, .normal = normal};
    struct pst_transform *transform = transform_of(op, 1, PST_U8, PST_ERA_DEFAULT);
    CHECK_INT(pst__transform_plan(transform, w, h, 1, &draws, &plan, NULL), PST_OK);
    CHECK_INT(plan.n_changes, 1);
    CHECK(draws.used <= pst_transform_max_words(transform));
    /* Two planes of pixels around a change, and an image for each chain and one more. */
    size_t image = (size_t)4 * (size_t)w * (size_t)h;
    memcpy(&augmix, plan.change[0].number, sizeof augmix);
    CHECK(pst__plan_cost(transform, &plan) >= image * ((size_t)op->number[2] + 2));
    if (used)
        *used = draws.used;
    pst_transform_unref(transform);
    return augmix;
}

/* Shares add up to 1; a normal that is left is the next sample's first. */
static void what_is_drawn(void)
{
    int n_kept = 0, depths[4] = {0};
    for (uint32_t seed = 0; seed < 300; seed++) {
        struct pst_op op = augmix_of(PST_ACTION_ROTATE, 1, 5, (int)(seed % 2), 3, 0);
        double normal = NAN, other = 0.25;
        size_t used, used_else;
        new_words(seed);
        struct pst__augmix a = planned(&op, 12, 8, &normal, &used);
        struct pst__augmix b = planned(&op, 12, 8, NULL, &used_else);
        CHECK(memcmp(&a, &b, sizeof a) == 0);
        CHECK_INT(used, used_else);
        n_kept += !isnan(normal);
        float sum = a.own;
        for (int k = 0, at = 0; k < 3; k++) {
            CHECK(a.share[k] > 0 && a.depth[k] >= 1 && a.depth[k] <= 3);
            sum += a.share[k];
            depths[a.depth[k]]++;
            for (int end = at + a.depth[k]; at < end; at++)
                CHECK(a.action[at] == PST_ACTION_ROTATE && fabsf(a.magnitude[at]) == 5);
        }
        CHECK(fabsf(sum - 1) < 1e-5f);
        struct pst__augmix c = planned(&op, 12, 8, &other, NULL);
        CHECK(c.own != a.own);
        CHECK(other != 0.25);
    }
    CHECK(n_kept > 50 && n_kept < 250);
    CHECK(depths[1] > 200 && depths[2] > 200 && depths[3] > 200);
}

static void shifts_by_the_side(void)
{
    struct pst_op op = augmix_of(PST_ACTION_TRANSLATE_X_BY_SIZE, 0, 9 + 10 / 4096.0, 0, 1, 1);
    new_words(1);
    struct pst__augmix x = planned(&op, 100, 33, NULL, NULL);
    CHECK(x.action[0] == PST_ACTION_TRANSLATE_X && x.magnitude[0] == 33);
    op = augmix_of(PST_ACTION_TRANSLATE_Y_BY_SIZE, 0, 3 + 10 / 4096.0, 0, 1, 1);
    struct pst__augmix y = planned(&op, 100, 90, NULL, NULL);
    CHECK(y.action[0] == PST_ACTION_TRANSLATE_Y && y.magnitude[0] == 10);
}

/* Of words that are 0 no gamma ends by itself: the bound holds. */
static void words_that_end_nothing(void)
{
    for (int half = 1; half <= 4; half++) {
        struct pst_op op = augmix_of(PST_COLOUR_EQUALIZE, 0, 0, 0, 4, 0);
        size_t used;
        op.number[1] = half * 0.5;
        memset(words, 0, sizeof words);
        planned(&op, 16, 16, NULL, &used);
        CHECK(used > 6 * PST_GAMMA_WORDS - 16);
    }
}

static int refusal(const struct pst_op *op, int channels)
{
    struct pst_output output = {.dtype = PST_U8};
    struct pst_transform_config config = {sizeof config, op, 1, &output, 0, channels};
    struct pst_transform *transform = NULL;
    int rc = pst_transform_new(&transform, &config, NULL);
    pst_transform_unref(transform);
    return rc;
}

static void refused(void)
{
    const double by_size = 3 + 10 / 4096.0;
    const struct {
        int action;
        double magnitude;
        int is_taken;
    } actions[] = {
        {PST_COLOUR_BRIGHTNESS, 0.9, 1},
        {PST_COLOUR_BRIGHTNESS, 1.1, 0},
        {PST_COLOUR_HUE, 0.1, 0},
        {PST_COLOUR_POSTERIZE, 0, 1},
        {PST_COLOUR_POSTERIZE, 2.5, 0},
        {PST_COLOUR_POSTERIZE, 9, 0},
        {PST_COLOUR_SOLARIZE, -1, 0},
        {PST_COLOUR_SOLARIZE, 255, 1},
        {PST_COLOUR_INVERT, 0, 0},
        {PST_ACTION_SHEAR_X, 0.3, 1},
        {PST_ACTION_SHEAR_X, NAN, 0},
        {PST_ACTION_TRANSLATE_X, 3.5, 0},
        {PST_ACTION_TRANSLATE_X_BY_SIZE, by_size, 1},
        {PST_ACTION_TRANSLATE_X_BY_SIZE, 10 + 10 / 4096.0, 0},
        {PST_ACTION_TRANSLATE_X_BY_SIZE, 3, 0},
        {PST_ACTION_TRANSLATE_X_BY_SIZE, -1, 0},
        {PST_ACTION_ROTATE, 361, 0},
        {99, 0, 0},
        {300, 0, 0},
    };
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        struct pst_op op = augmix_of(actions[i].action, 1, actions[i].magnitude, 0, 3, 0);
        CHECK_INT(refusal(&op, 3), actions[i].is_taken ? PST_OK : PST_EINVAL);
    }
    const struct pst_op good = augmix_of(PST_ACTION_ROTATE, 1, 5, 0, 3, 5);
    CHECK_INT(refusal(&good, 3), PST_OK);
    CHECK_INT(refusal(&good, 1), PST_EINVAL);
    struct pst_op bad[12];
    for (int i = 0; i < 12; i++)
        bad[i] = good;
    bad[0].filter = PST_FILTER_BICUBIC;
    bad[1].number[1] = 0;
    bad[2].number[1] = NAN;
    bad[3].number[2] = 5;
    bad[4].number[2] = 0;
    bad[5].number[2] = 2.5;
    bad[6].count = 6;
    bad[7].count = -1;
    bad[8].number[6] = 2;
    bad[9].number[3] = 256, bad[9].number[6] = 1;
    bad[10].n_table = 3;
    bad[11].n_table = 0;
    for (int i = 0; i < 12; i++)
        CHECK_INT(refusal(&bad[i], 3), PST_EINVAL);
}

static int plan_of(const struct pst_op *op, int w, int h)
{
    struct pst__plan plan;
    struct pst__draws draws = {.words = words};
    struct pst_transform *transform = transform_of(op, 1, PST_U8, PST_ERA_DEFAULT);
    int rc = pst__transform_plan(transform, w, h, 1, &draws, &plan, NULL);
    pst_transform_unref(transform);
    return rc;
}

/* What only torch can tell: the reference decides then. */
static void doubtful(void)
{
    new_words(3);
    struct pst_op v1 = augmix_of(PST_COLOUR_CONTRAST, 1, 0.5, 0, 1, 1);
    CHECK_INT(plan_of(&v1, 65793, 1), PST_OK);
    CHECK_INT(plan_of(&v1, 5, 13159), PST_ELIMIT);
    struct pst_op second = augmix_of(PST_COLOUR_CONTRAST, 1, 0.5, 1, 1, 1);
    CHECK_INT(plan_of(&second, 16, 3), PST_OK);
    CHECK_INT(plan_of(&second, 15, 3), PST_ELIMIT);
    struct pst_op solarize = augmix_of(PST_COLOUR_SOLARIZE, 0, 128, 1, 1, 1);
    CHECK_INT(plan_of(&solarize, 4096, 4096), PST_OK);
    CHECK_INT(plan_of(&solarize, 4096, 4097), PST_ELIMIT);
    struct pst_op shift = augmix_of(PST_ACTION_TRANSLATE_Y_BY_SIZE, 0, 3 + 10 / 4096.0, 1, 1, 1);
    CHECK_INT(plan_of(&shift, 1, 65536), PST_OK);
    CHECK_INT(plan_of(&shift, 1, 65537), PST_ELIMIT);
    struct pst__plan plan;
    struct pst__augmix augmix = {.own = 1};
    CHECK_INT(pst__fold_begin(&plan, 9, 9, 1, NULL), PST_OK);
    CHECK_INT(pst__fold_augmix(&plan, &augmix, &(struct pst__tensor_way){0}, NULL), PST_EINVAL);
}

/* Where the size is known, it is refused for all images. */
static void sizes_that_do_not_fit(void)
{
    static const struct {
        int w, h, of_v1, of_v2;
    } sizes[] = {{224, 224, PST_OK, PST_OK},
                 {4, 4, PST_OK, PST_OK},
                 {21, 16, PST_OK, PST_OK},
                 {21, 21, PST_OK, PST_EINVAL},
                 {288, 288, PST_EINVAL, PST_EINVAL}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int is_v2 = 0; is_v2 < 2; is_v2++) {
            struct pst_output output = {.dtype = PST_U8};
            struct pst_op ops[] = {resize(sizes[i].w, sizes[i].h, PST_FILTER_BILINEAR),
                                   augmix_of(PST_COLOUR_CONTRAST, 1, 0.5, is_v2, 3, 0)};
            struct pst_transform_config config = {sizeof config, ops, 2, &output, 0, 3};
            struct pst_transform *transform = NULL;
            CHECK_INT(pst_transform_new(&transform, &config, NULL),
                      is_v2 ? sizes[i].of_v2 : sizes[i].of_v1);
            pst_transform_unref(transform);
        }
    }
    struct pst_op without[] = {resize(288, 287, PST_FILTER_BILINEAR),
                               augmix_of(PST_COLOUR_EQUALIZE, 0, 0, 1, 3, 0)};
    pst_transform_unref(transform_of(without, 2, PST_U8, PST_ERA_DEFAULT));
}

/* One chain of one step, so that the result says what the step made of each value. */
static void check_table(int action, double magnitude, int is_v2, int (*made)(int value))
{
    enum { N = 256 };
    uint8_t rgb[N * 3];
    struct pst_tensor out = {0};
    struct pst_op op = augmix_of(action, 0, magnitude, is_v2, 1, 1);
    struct pst_transform *transform = transform_of(&op, 1, PST_U8, PST_ERA_DEFAULT);
    for (int i = 0; i < N * 3; i++)
        rgb[i] = (uint8_t)(i / 3);
    struct pst__augmix shares = planned(&op, N, 1, NULL, NULL);
    CHECK_INT(pst_transform_apply(transform, rgb, N, 1, N * 3, words, MOST_WORDS, NULL, &out, NULL),
              PST_OK);
    for (int v = 0; v < N; v++) {
        float own = (float)v * shares.own, other = (float)made(v) * shares.share[0];
        CHECK_INT(((const uint8_t *)out.data)[v], (int)(own + other));
    }
    pst_tensor_reset(&out);
    pst_transform_unref(transform);
}

static int two_bits(int v)
{
    return v & 0xc0;
}
static int no_bits(int v)
{
    (void)v;
    return 0;
}
static int solarized(int v)
{
    return v < 100 ? v : 255 - v;
}
static int brighter(int v)
{
    float value = (float)v * 1.5f;
    return value > 255 ? 255 : (int)value;
}
static int same(int v)
{
    return v;
}

static void what_a_step_makes(void)
{
    for (int is_v2 = 0; is_v2 < 2; is_v2++) {
        for (uint32_t seed = 0; seed < 10; seed++) {
            new_words(seed);
            check_table(PST_COLOUR_POSTERIZE, 2, is_v2, two_bits);
            check_table(PST_COLOUR_POSTERIZE, 0, is_v2, no_bits);
            check_table(PST_COLOUR_SOLARIZE, 99.5, is_v2, solarized);
            check_table(PST_COLOUR_BRIGHTNESS, 0.5, is_v2, brighter);
            check_table(PST_COLOUR_AUTOCONTRAST, 0, is_v2, same);
            check_table(PST_COLOUR_SHARPNESS, 0, is_v2, same); /* one row: nothing is blurred */
            check_table(PST_ACTION_ROTATE, 0, is_v2, same);
        }
    }
}

static void without_memory(void)
{
    struct pst_op op = augmix_of(PST_COLOUR_SHARPNESS, 1, 0.5, 0, 3, 0);
    new_words(4);
    check_without_memory(&op, 1, words, MOST_WORDS, 4); /* result, executor, pixels, the chains' */
}

CHECK_MAIN(CASE(what_is_drawn), CASE(shifts_by_the_side), CASE(words_that_end_nothing),
           CASE(refused), CASE(doubtful), CASE(sizes_that_do_not_fit), CASE(what_a_step_makes),
           FAULT("R17", without_memory))
