/* SPDX-License-Identifier: Apache-2.0 */
#include "transform_ops.h"

#include "transform/change.h"

#include "base/limits.h"
#include "base/mem.h"
#include "transform/draw.h"
#include "transform/segment.h"

#define BILINEAR PST_FILTER_BILINEAR

/* Plans with words that are all 0 and exponentials that are all 1. */
static int plan_of(const struct pst_op *ops, size_t n, int w, int h, struct pst__plan *plan,
                   struct pst_error *err)
{
    static const uint32_t words[PST_MAX_OPS * 22];
    static float ones[PST_MAX_OPS * 22];
    struct pst_transform *transform = transform_of(ops, n, PST_F32, PST_ERA_DEFAULT);
    for (size_t i = 0; i < sizeof ones / sizeof *ones; i++)
        ones[i] = 1.0f;
    struct pst__draws draws = {.words = words, .exps = {ones, ones, ones, ones}};
    pst_error_init(err);
    int rc = pst__transform_plan(transform, w, h, 1, &draws, plan, err);
    CHECK(draws.used <= pst_transform_max_words(transform));
    pst_transform_unref(transform);
    return rc;
}

static void check_rect(const struct pst_rect *rect, int x, int y, int w, int h)
{
    CHECK_INT(rect->x, x);
    CHECK_INT(rect->y, y);
    CHECK_INT(rect->w, w);
    CHECK_INT(rect->h, h);
}

static void no_steps(void)
{
    struct pst__plan plan;
    struct pst_error err;
    CHECK_INT(plan_of(NULL, 0, 31, 17, &plan, &err), PST_OK);
    CHECK_INT(plan.n_segments, 1);
    CHECK_INT(plan.out_w, 31);
    CHECK_INT(plan.out_h, 17);
    check_rect(&plan.region, 0, 0, 31, 17);
}

static void short_side(void)
{
    static const struct {
        int w, h, size, max_size, out_w, out_h;
    } cases[] = {
        {500, 375, 256, 0, 341, 256}, /* 341.33: cut off, not rounded */
        {375, 500, 232, 0, 232, 309}, /* 309.33 */
        {3, 5, 2, 0, 2, 3},           /* 3.33 */
        {300, 300, 224, 0, 224, 224},
        {100, 400, 50, 120, 30, 120}, /* 200 is above max_size: the short side shrinks too */
        {400, 100, 50, 199, 199, 49}, /* 49.75 */
        {400, 100, 50, 200, 200, 50}, /* just fits */
        {1, 1000, 7, 10, 0, 0},       /* nothing is left of the short side */
        {65500, 1, 300, 0, 0, 0},     /* too long */
        {49, 1000, 49, 0, 49, 1000},  /* as it is */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pst_op op = resize_short(cases[i].size, cases[i].max_size, BILINEAR);
        struct pst__plan plan;
        struct pst_error err;
        int rc = plan_of(&op, 1, cases[i].w, cases[i].h, &plan, &err);
        if (cases[i].out_w == 0) {
            CHECK(rc == PST_EINVAL || rc == PST_ELIMIT);
            continue;
        }
        CHECK_INT(rc, PST_OK);
        CHECK_INT(plan.out_w, cases[i].out_w);
        CHECK_INT(plan.out_h, cases[i].out_h);
        CHECK_INT(plan.segment[0].resize, cases[i].w != cases[i].out_w);
    }
}

static void center_crop_places(void)
{
    static const struct {
        int size, wanted, start;
    } cases[] = {
        {341, 224, 58}, /* 58.5 goes down to even */
        {227, 224, 2},  /* 1.5 goes up to even */
        {225, 224, 0},  /* 0.5 */
        {229, 224, 2},  /* 2.5 */
        {224, 224, 0},  {300, 224, 38}, {10, 13, -1}, {10, 14, -2}, {10, 11, 0}, {1, 1000, -499},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int size = cases[i].size, wanted = cases[i].wanted, start = cases[i].start;
        struct pst_op op = center_crop(wanted, 5);
        struct pst__plan plan;
        struct pst_error err;
        CHECK_INT(plan_of(&op, 1, size, 5, &plan, &err), PST_OK);
        CHECK_INT(plan.n_segments, 1);
        CHECK_INT(plan.out_w, wanted);
        CHECK_INT(plan.segment[0].in.x - plan.segment[0].out.x * (start < 0),
                  start < 0 ? -start : start);
        check_rect(&plan.region, start < 0 ? 0 : start, 0, size < wanted ? size : wanted, 5);
    }
}

static void crops_merge(void)
{
    struct pst_op ops[] = {center_crop(100, 80), center_crop(60, 60), center_crop(21, 33)};
    struct pst__plan plan;
    struct pst_error err;
    CHECK_INT(plan_of(ops, 3, 300, 200, &plan, &err), PST_OK);
    CHECK_INT(plan.n_segments, 1);
    check_rect(&plan.region, 100 + 20 + 20, 60 + 10 + 14, 21, 33);
}

/* What an earlier crop has cut off is 0 for a later one that is larger, not the pixels again. */
static void cut_off_stays_cut_off(void)
{
    struct pst_op ops[] = {center_crop(100, 100), center_crop(200, 200)};
    struct pst__plan plan;
    struct pst_error err;
    CHECK_INT(plan_of(ops, 2, 300, 300, &plan, &err), PST_OK);
    CHECK_INT(plan.n_segments, 1);
    check_rect(&plan.region, 100, 100, 100, 100);
    check_rect(&plan.segment[0].out, -50, -50, 200, 200);

    struct pst_op resized[] = {resize(90, 90, BILINEAR), center_crop(10, 10), center_crop(20, 20)};
    CHECK_INT(plan_of(resized, 3, 300, 300, &plan, &err), PST_OK);
    CHECK_INT(plan.n_segments, 2);
    check_rect(&plan.segment[1].in, 0, 0, 10, 10);
    check_rect(&plan.segment[1].out, -5, -5, 20, 20);
}

static void flips_move_across_crops(void)
{
    struct pst_op ops[] = {hflip(CERTAIN), vflip(CERTAIN), center_crop(9, 10), hflip(CERTAIN)};
    struct pst__plan plan;
    struct pst_error err;
    /* Columns 6..14 of 20 after the flip (5.5 goes to 6) are 5..13 before it. */
    CHECK_INT(plan_of(ops, 4, 20, 20, &plan, &err), PST_OK);
    CHECK_INT(plan.n_segments, 1);
    check_rect(&plan.region, 5, 5, 9, 10);
    CHECK_INT(plan.segment[0].hflip, 0);
    CHECK_INT(plan.segment[0].vflip, 1);
}

static void flips_stay_before_a_resize(void)
{
    struct pst_op ops[] = {hflip(CERTAIN), resize(10, 10, BILINEAR), hflip(0)};
    struct pst__plan plan;
    struct pst_error err;
    CHECK_INT(plan_of(ops, 3, 20, 20, &plan, &err), PST_OK);
    CHECK_INT(plan.n_segments, 2);
    CHECK_INT(plan.segment[0].hflip, 1);
    CHECK_INT(plan.segment[1].resize, 1);
    CHECK_INT(plan.segment[1].hflip, 0);

    struct pst_op after[] = {resize(10, 10, BILINEAR), center_crop(4, 4), hflip(CERTAIN)};
    CHECK_INT(plan_of(after, 3, 20, 20, &plan, &err), PST_OK);
    CHECK_INT(plan.n_segments, 1);
}

static void padding_before_a_resize(void)
{
    struct pst_op ops[] = {center_crop(30, 30), resize(10, 10, BILINEAR)};
    struct pst__plan plan;
    struct pst_error err;
    CHECK_INT(plan_of(ops, 2, 20, 50, &plan, &err), PST_OK);
    CHECK_INT(plan.n_segments, 2);
    check_rect(&plan.region, 0, 10, 20, 30);
    CHECK_INT(plan_of(ops, 2, 40, 50, &plan, &err), PST_OK);
    CHECK_INT(plan.n_segments, 1);
    check_rect(&plan.segment[0].in, 5, 10, 30, 30);
}

/* A crop that misses the image: one pixel is named, so that the source is never empty. */
static void nothing_shows(void)
{
    struct pst__plan plan;
    struct pst_error err;
    pst_error_init(&err);
    CHECK_INT(pst__fold_begin(&plan, 10, 10, 3, &err), PST_OK);
    CHECK_INT(pst__fold_crop(&plan, &(struct pst_rect){20, 3, 5, 5}, &err), PST_OK);
    CHECK_INT(pst__fold_end(&plan, PST_ERA_13, PST_U8, &err), PST_OK);
    check_rect(&plan.region, 0, 0, 1, 1);
    /* A wider one must not find that pixel. */
    CHECK_INT(pst__fold_crop(&plan, &(struct pst_rect){-40, -40, 80, 80}, &err), PST_OK);
    CHECK_INT(pst__fold_end(&plan, PST_ERA_13, PST_U8, &err), PST_OK);
    struct pst__geometry geometry[PST_MAX_SEGMENTS];
    pst__plan_geometry(&plan, geometry);
    CHECK_INT(plan.n_segments, 2);
    CHECK_INT(geometry[0].seen.w, 0);
}

static void region_is_what_the_taps_reach(void)
{
    /* Bilinear, 10 to 1: output i reaches from 10 i - 5 to 10 i + 15. */
    struct pst_op ops[] = {resize(100, 100, BILINEAR), center_crop(10, 20)};
    struct pst__plan plan;
    struct pst_error err;
    CHECK_INT(plan_of(ops, 2, 1000, 1000, &plan, &err), PST_OK);
    check_rect(&plan.region, 445, 395, 110, 210);

    /* Nearest takes the middle of each 10. */
    ops[0].filter = PST_FILTER_NEAREST;
    CHECK_INT(plan_of(ops, 2, 1000, 1000, &plan, &err), PST_OK);
    check_rect(&plan.region, 455, 405, 91, 191);

    /* An axis that keeps its size is copied: no taps. */
    struct pst_op narrow[] = {resize(1000, 100, BILINEAR), center_crop(10, 100)};
    CHECK_INT(plan_of(narrow, 2, 1000, 1000, &plan, &err), PST_OK);
    check_rect(&plan.region, 495, 0, 10, 1000);

    /* What the second resize does not look at, the first does not ask for. */
    struct pst_op twice[] = {resize(500, 500, BILINEAR), resize(1000, 1000, BILINEAR),
                             center_crop(2, 2)};
    CHECK_INT(plan_of(twice, 3, 1000, 1000, &plan, &err), PST_OK);
    CHECK_INT(plan.n_segments, 2);
    CHECK(plan.region.w <= 10 && plan.region.h <= 10);
}

static void random_crop_draws(void)
{
    struct pst_op ops[] = {random_crop(50, 40, 1, 1, 1, 1, 0, 0)};
    struct pst_transform *transform = transform_of(ops, 1, PST_U8, PST_ERA_DEFAULT);
    CHECK_INT(pst_transform_max_words(transform), 22);
    CHECK_INT(pst__transform_n_exp_ranges(transform), 1);
    struct pst__plan plan;
    struct pst_error err;
    pst_error_init(&err);

    /* The first try fits: area, aspect, row, column. */
    uint32_t words[22] = {5, 5, 0, 0};
    float exps[22];
    for (int i = 0; i < 22; i++)
        exps[i] = 1.0f;
    struct pst__draws draws = {.words = words, .exps = {exps}};
    CHECK_INT(pst__transform_plan(transform, 100, 100, 1, &draws, &plan, &err), PST_OK);
    CHECK_INT(draws.used, 4);
    check_rect(&plan.segment[0].in, 0, 0, 100, 100);
    CHECK_INT(plan.segment[0].rs_w, 50);
    CHECK_INT(plan.segment[0].rs_h, 40);

    /* None does: 20 words, and the middle. */
    draws.used = 0;
    CHECK_INT(pst__transform_plan(transform, 100, 31, 1, &draws, &plan, &err), PST_OK);
    CHECK_INT(draws.used, 20);
    check_rect(&plan.segment[0].in, 34, 0, 31, 31);

    /* The second does, with an aspect of 1/4 there; the place is word mod range. */
    exps[3] = 0.25f;
    words[4] = 1000000007;
    words[5] = 4000000000u;
    draws.used = 0;
    CHECK_INT(pst__transform_plan(transform, 10, 39, 1, &draws, &plan, &err), PST_OK);
    CHECK_INT(draws.used, 6);
    check_rect(&plan.segment[0].in, 4000000000u % 1, 1000000007 % 1, 10, 39);
    pst_transform_unref(transform);
}

static void random_crop_places(void)
{
    struct pst_op op = random_crop(8, 8, 0.25, 0.25, 1, 1, 0, 0);
    struct pst_transform *transform = transform_of(&op, 1, PST_U8, PST_ERA_DEFAULT);
    static const float exps[22] = {1, 1};
    static const uint32_t words[22] = {0, 0, 4000000000u, 1000000007};
    struct pst__draws draws = {.words = words, .exps = {exps}};
    struct pst__plan plan;
    struct pst_error err;
    pst_error_init(&err);
    CHECK_INT(pst__transform_plan(transform, 40, 40, 1, &draws, &plan, &err), PST_OK);
    check_rect(&plan.segment[0].in, 1000000007 % 21, 4000000000u % 21, 20, 20);
    pst_transform_unref(transform);
}

static void uniforms(void)
{
    CHECK(pst__uniform(0, 0.08f, 1.0f) == 0.08f);
    CHECK(pst__uniform(0xff000000u, 0.08f, 1.0f) == 0.08f); /* the low 24 bits count */
    CHECK(pst__uniform(0x800000, 0.0f, 1.0f) == 0.5f);
    CHECK(pst__uniform(0xffffff, 0.0f, 1.0f) == 1.0f - 0x1p-24f);
    /* As torch.manual_seed(1) has it; in float32 throughout it would end in b4. */
    CHECK(pst__uniform(0xc1f425, 0.08f, 1.0f) == 0x1.8dd5b6p-1f);

    static const uint32_t words[] = {0x7fffff, 0x800000, 0xff7fffff, 0xffffff};
    struct pst__draws draws = {.words = words};
    CHECK_INT(pst__draw_chance(&draws, 0x800000), 1);
    CHECK_INT(pst__draw_chance(&draws, 0x800000), 0);
    CHECK_INT(pst__draw_chance(&draws, 0x800000), 1);
    CHECK_INT(pst__draw_chance(&draws, CERTAIN), 1);
    CHECK_INT(draws.used, 4);
}

static void exp_ranges(void)
{
    struct pst_op ops[] = {
        random_crop(8, 8, 0.1, 1, 0.5, 2, -0.7f, 0.7f), random_crop(8, 8, 0.1, 1, 1, 1, 0, 0),
        random_crop(9, 9, 0.5, 1, 0.5, 2, -0.7f, 0.7f), /* shares the first range */
    };
    struct pst_transform *transform = transform_of(ops, 3, PST_U8, PST_ERA_DEFAULT);
    CHECK_INT(pst__transform_n_exp_ranges(transform), 2);
    static const uint32_t words[] = {0, 0x800000};
    float values[2];
    pst__transform_exp_arguments(transform, 0, words, 2, values);
    CHECK(values[0] == -0.7f && values[1] == 0.0f);
    pst__transform_exp_arguments(transform, 1, words, 2, values);
    CHECK(values[0] == 0.0f && values[1] == 0.0f);
    pst__range_compute(pst__transform_range(transform, 1), values, 2);
    CHECK(values[0] == 1.0f && values[1] == 1.0f);
    pst_transform_unref(transform);
}

static void limits(void)
{
    struct pst__plan plan;
    struct pst_error err;
    struct pst_op ops[PST_MAX_OPS];
    CHECK_INT(plan_of(NULL, 0, 0, 5, &plan, &err), PST_EINVAL);
    CHECK_INT(plan_of(NULL, 0, 5, -1, &plan, &err), PST_EINVAL);
    CHECK_INT(plan_of(NULL, 0, PST_MAX_PLAN_SIDE + 1, 5, &plan, &err), PST_ELIMIT);
    CHECK_INT(plan_of(NULL, 0, PST_MAX_PLAN_SIDE, 5, &plan, &err), PST_OK);
    CHECK_INT(plan_of(NULL, 0, 20000, 10000, &plan, &err), PST_ELIMIT); /* 2.4 GB of float32 */

    /* A step between may be larger than a result, up to a limit of its own. */
    ops[0] = resize(20000, 20000, PST_FILTER_NEAREST);
    CHECK_INT(plan_of(ops, 1, 5, 5, &plan, &err), PST_ELIMIT);
    ops[1] = resize(5, 5, PST_FILTER_NEAREST);
    CHECK_INT(plan_of(ops, 2, 5, 5, &plan, &err), PST_OK);
    ops[0] = resize(25000, 25000, PST_FILTER_NEAREST);
    CHECK_INT(plan_of(ops, 2, 5, 5, &plan, &err), PST_ELIMIT);
    ops[0] = center_crop(20000, 20000);
    CHECK_INT(plan_of(ops, 1, 5, 5, &plan, &err), PST_ELIMIT); /* 4.8 GB of float32 */
    ops[0] = resize(PST_MAX_SIDE, PST_MAX_SIDE, PST_FILTER_NEAREST);
    CHECK_INT(plan_of(ops, 1, 5, 5, &plan, &err), PST_ELIMIT);

    /* The rows between the two passes, where the horizontal one comes first. */
    ops[0] = resize(PST_MAX_SIDE, 2000, BILINEAR);
    CHECK_INT(plan_of(ops, 1, 2, 9000, &plan, &err), PST_OK);
    struct pst_transform *era9 = transform_of(ops, 1, PST_F32, PST_ERA_9);
    struct pst__draws none = {0};
    CHECK_INT(pst__transform_plan(era9, 2, 9000, 1, &none, &plan, &err), PST_ELIMIT);
    pst_transform_unref(era9);

    for (int i = 0; i < PST_MAX_SEGMENTS + 1; i++)
        ops[i] = resize(10 + i, 10, BILINEAR);
    CHECK_INT(plan_of(ops, PST_MAX_SEGMENTS, 5, 5, &plan, &err), PST_OK);
    CHECK_INT(plan.n_segments, PST_MAX_SEGMENTS);
    CHECK_INT(plan_of(ops, PST_MAX_SEGMENTS + 1, 5, 5, &plan, &err), PST_ELIMIT);
}

static void refuse(const struct pst_transform_config *config, const char *part)
{
    struct pst_transform *transform = NULL;
    struct pst_error err;
    pst_error_init(&err);
    int64_t blocks = pst__mem_blocks();
    CHECK_INT(pst_transform_new(&transform, config, &err), PST_EINVAL);
    CHECK(!transform);
    CHECK_HAS(err.message, part);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void refused_steps(void)
{
    double nan = __builtin_nan("");
    struct pst_op good = random_crop(8, 8, 0.1, 1, 0.5, 2, -0.7f, 0.7f);
    struct pst_op bad[] = {
        {.kind = 0},
        {.kind = 99},
        resize(0, 5, BILINEAR),
        resize(5, PST_MAX_SIDE + 1, BILINEAR),
        resize(5, 5, -1),
        resize(5, 5, 6),
        resize_short(0, 0, BILINEAR),
        resize_short(PST_MAX_SIDE + 1, 0, BILINEAR),
        resize_short(5, 5, BILINEAR),
        resize_short(5, -1, BILINEAR),
        resize_short(5, PST_MAX_SIDE + 1, BILINEAR),
        center_crop(-1, 5),
        hflip(CERTAIN + 1),
        vflip(UINT32_MAX),
        random_crop(8, 8, -0.1, 1, 0.5, 2, -0.7f, 0.7f),
        random_crop(8, 8, 1, 0.1, 0.5, 2, -0.7f, 0.7f),
        random_crop(8, 8, nan, 1, 0.5, 2, -0.7f, 0.7f),
        random_crop(8, 8, 0.1, nan, 0.5, 2, -0.7f, 0.7f),
        random_crop(8, 8, 0.1, 1, 0, 2, -0.7f, 0.7f),
        random_crop(8, 8, 0.1, 1, 2, 1, -0.7f, 0.7f),
        random_crop(8, 8, 0.1, 1, 0.5, nan, -0.7f, 0.7f),
        random_crop(8, 8, 0.1, 1, 0.5, 2, -0.7f, (float)nan),
        random_crop(8, 8, 0.1, 1, 0.5, 2, 0.7f, -0.7f),
        random_crop(8, 8, 0.1, 1, 0.5, 2, -81.0f, 0.7f),
        random_crop(8, 0, 0.1, 1, 0.5, 2, -0.7f, 0.7f),
    };
    struct pst_output output = {.dtype = PST_U8};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct pst_op ops[] = {good, bad[i]};
        struct pst_transform_config config = {sizeof config, ops, 2, &output, 0, 0};
        refuse(&config, "step 1");
    }
    struct pst_op ranges[5];
    for (int i = 0; i < 5; i++)
        ranges[i] = random_crop(8, 8, 0.1, 1, 0.5, 2, -0.7f, 0.1f * (float)i);
    struct pst_transform_config config = {sizeof config, ranges, 5, &output, 0, 0};
    refuse(&config, "step 4, random resized crop: more than 4");
}

static void refused_configurations(void)
{
    struct pst_output output = {.dtype = PST_U8};
    struct pst_op ops[PST_MAX_OPS + 1];
    struct pst_transform_config good = {sizeof good, ops, 1, &output, 0, 0}, bad;
    ops[0] = hflip(0);
    refuse(NULL, "configuration");
    bad = good, bad.struct_size = 8;
    refuse(&bad, "struct_size");
    bad = good, bad.n_ops = PST_MAX_OPS + 1;
    refuse(&bad, "65 steps");
    bad = good, bad.ops = NULL;
    refuse(&bad, "ops is NULL");
    bad = good, bad.output = NULL;
    refuse(&bad, "output");
    bad = good, bad.era = 4;
    refuse(&bad, "era 4");
    output.dtype = PST_I64;
    refuse(&good, "dtype");
}

static void fixed_sizes(void)
{
    static const struct {
        struct pst_op ops[2];
        size_t n;
        int w, h;
    } cases[] = {
        {{{0}}, 0, 0, 0},
        {{{.kind = PST_OP_RESIZE_SHORT, .h = 256}}, 1, 0, 0},
        {{{.kind = PST_OP_RESIZE_SHORT, .h = 256}, {.kind = PST_OP_CENTER_CROP, .h = 20, .w = 30}},
         2,
         30,
         20},
        {{{.kind = PST_OP_RESIZE, .h = 20, .w = 31}, {.kind = PST_OP_RESIZE_SHORT, .h = 10}},
         2,
         15,
         10},
        {{{.kind = PST_OP_RESIZE, .h = 1, .w = 65500}, {.kind = PST_OP_RESIZE_SHORT, .h = 300}},
         2,
         0,
         0},
        {{{.kind = PST_OP_CENTER_CROP, .h = 20, .w = 31}, {.kind = PST_OP_RANDOM_HFLIP}},
         2,
         31,
         20},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pst_transform *transform =
            transform_of(cases[i].ops, cases[i].n, PST_U8, PST_ERA_DEFAULT);
        int32_t w = -1, h = -1;
        CHECK_INT(pst__transform_fixed_size(transform, &h, &w), cases[i].w > 0);
        CHECK_INT(w, cases[i].w);
        CHECK_INT(h, cases[i].h);
        CHECK_INT(pst__transform_dtype(transform), PST_U8);
        pst_transform_unref(transform);
    }
}

static void pass_order(void)
{
    /* Ratios of Pillow 12.2: strictly above 100 times, and only where the height shrinks. */
    CHECK_INT(pst__vertical_first(PST_ERA_12_2, 10, 1000, 5, 500), 0);
    CHECK_INT(pst__vertical_first(PST_ERA_12_2, 10, 1001, 5, 500), 1);
    CHECK_INT(pst__vertical_first(PST_ERA_12_2, 10, 1001, 5, 1001), 0);
    CHECK_INT(pst__vertical_first(PST_ERA_12_2, 10, 1001, 5, 2000), 0);
    /* 13.0: the height shrinks by more than twice what the width does. */
    CHECK_INT(pst__vertical_first(PST_ERA_13, 100, 100, 90, 80), 0);
    CHECK_INT(pst__vertical_first(PST_ERA_13, 100, 100, 90, 79), 1);
    CHECK_INT(pst__vertical_first(PST_ERA_13, 100, 100, 200, 99), 1);
    CHECK_INT(pst__vertical_first(PST_ERA_13, 100, 100, 200, 100), 0);
    CHECK_INT(pst__vertical_first(PST_ERA_9, 1, 65500, 1, 1), 0);
}

/* Changes belong to the segment before them; geometry after one is another segment's. */
static const struct pst__change_type nothing = {
    .name = "nothing", .is_in_place = 1, .n_numbers = 1};

static struct pst__change change_to(int w, int h)
{
    return (struct pst__change){.type = &nothing, .w = w, .h = h, .number = {0.5}};
}

static void changes_close_a_segment(void)
{
    struct pst_error err;
    struct pst__plan plan;
    struct pst__change change = change_to(20, 30);
    pst_error_init(&err);
    CHECK_INT(pst__fold_begin(&plan, 100, 80, 3, &err), PST_OK);
    CHECK_INT(pst__fold_crop(&plan, &(struct pst_rect){10, 20, 20, 30}, &err), PST_OK);
    CHECK_INT(pst__fold_change(&plan, &change, &err), PST_OK);
    CHECK_INT(pst__fold_change(&plan, &change, &err), PST_OK);
    CHECK_INT(plan.n_segments, 1);
    CHECK_INT(pst__fold_flip(&plan, 0, 0, &err), PST_OK);
    CHECK_INT(plan.n_segments, 1);
    CHECK_INT(pst__fold_crop(&plan, &(struct pst_rect){1, 2, 5, 6}, &err), PST_OK);
    change = change_to(50, 60);
    CHECK_INT(pst__fold_change(&plan, &change, &err), PST_OK);
    CHECK_INT(pst__fold_end(&plan, PST_ERA_13, PST_U8, &err), PST_OK);
    CHECK_INT(plan.n_segments, 3);
    CHECK_INT(plan.segment[0].n_changes, 2);
    CHECK_INT(plan.segment[1].first_change, 2);
    CHECK_INT(plan.segment[1].n_changes, 1);
    CHECK_INT(plan.segment[2].n_changes, 0);
    CHECK_INT(plan.out_w, 50);
    CHECK_INT(plan.out_h, 60);
    /* The crop after the changes does not narrow what they see. */
    check_rect(&plan.region, 10, 20, 20, 30);
    char text[300];
    pst__plan_describe(&plan, text, sizeof text);
    CHECK_STR(text, "100 x 80, crop (10, 20) 20 x 30, nothing 0.5, nothing 0.5, crop (1, 2) 5 x 6, "
                    "nothing 0.5");
}

static void erasing_ends_a_plan(void)
{
    struct pst_error err;
    struct pst__plan plan;
    const float value[3] = {0};
    pst_error_init(&err);
    CHECK_INT(pst__fold_begin(&plan, 10, 10, 3, &err), PST_OK);
    CHECK_INT(pst__fold_erase(&plan, &(struct pst_rect){9, 0, 2, 1}, value, &err), PST_EINVAL);
    pst_error_init(&err);
    for (int i = 0; i < PST_MAX_ERASED; i++)
        CHECK_INT(pst__fold_erase(&plan, &(struct pst_rect){9, i, 1, 1}, value, &err), PST_OK);
    CHECK_INT(pst__fold_erase(&plan, &(struct pst_rect){0, 0, 1, 1}, value, &err), PST_ELIMIT);
    pst_error_init(&err);
    CHECK_INT(pst__fold_crop(&plan, &(struct pst_rect){0, 0, 5, 5}, &err), PST_EINVAL);
}

/* Steps in a container are taken or left out together; what they would draw is not drawn. */
static void containers_hold_steps(void)
{
    const struct pst_op ops[] = {
        {.kind = PST_OP_RANDOM_APPLY, .threshold = 1000, .count = 3},
        hflip(CERTAIN),
        {.kind = PST_OP_RANDOM_APPLY, .threshold = CERTAIN, .count = 1},
        vflip(CERTAIN),
        center_crop(4, 4),
    };
    struct pst__plan plan;
    uint32_t words[4] = {999, 0, 0, 0};
    struct pst_transform *transform = transform_of(ops, 5, PST_U8, PST_ERA_13);
    CHECK_INT(pst_transform_max_words(transform), 4);
    for (int taken = 1; taken >= 0; taken--) {
        struct pst__draws draws = {.words = words};
        struct pst_error err;
        pst_error_init(&err);
        words[0] = taken ? 999 : 1000;
        CHECK_INT(pst__transform_plan(transform, 10, 10, 1, &draws, &plan, &err), PST_OK);
        CHECK_INT((int)draws.used, taken ? 4 : 1);
        CHECK_INT(plan.segment[0].hflip, taken);
        CHECK_INT(plan.segment[0].vflip, taken);
        CHECK_INT(plan.out_w, 4);
    }
    pst_transform_unref(transform);
}

static void parts_are_chosen(void)
{
    /* Of two parts, of which one has none, the first or the last; then both parts of an order. */
    const double choice[] = {2, 0, 1, 0.5, 0, 0.5}, order[] = {1, 1};
    const struct pst_op ops[] = {
        {.kind = PST_OP_RANDOM_CHOICE, .count = 3, .table = choice, .n_table = 6},
        hflip(CERTAIN),
        vflip(CERTAIN),
        center_crop(4, 4),
        {.kind = PST_OP_RANDOM_ORDER, .count = 2, .table = order, .n_table = 2},
        resize(8, 8, PST_FILTER_BOX),
        center_crop(9, 9),
    };
    struct pst_transform *transform = transform_of(ops, 7, PST_U8, PST_ERA_13);
    CHECK_INT(pst_transform_max_words(transform), 6 + 2 + 1);
    int32_t h, w;
    CHECK(!pst__transform_fixed_size(transform, &h, &w));
    for (int last = 0; last <= 1; last++) {
        /* The smallest exponential is that of the part whose words are the smallest. */
        uint32_t words[9] = {0, 1000, 0, 1, 0, last ? 10 : 2000, 5, 6, 0};
        words[6] = (uint32_t)last; /* the flips' words, or the order's */
        words[8] = 1;
        struct pst__draws draws = {.words = words};
        struct pst__plan plan;
        CHECK_INT(pst__transform_plan(transform, 20, 20, 1, &draws, &plan, NULL), PST_OK);
        CHECK_INT((int)draws.used, last ? 7 : 9);
        CHECK_INT(plan.segment[0].hflip, !last);
        CHECK_INT(plan.segment[0].vflip, !last);
        CHECK_INT(plan.out_w, 8); /* the order's word is 1: the crop comes first */
        CHECK_INT(plan.segment[plan.n_segments - 1].resize, 1);
    }
    pst_transform_unref(transform);
}

static void refused_parts(void)
{
    const double nan = __builtin_nan("");
    const struct {
        int kind, count;
        size_t n;
        double table[4];
    } bad[] = {
        {PST_OP_RANDOM_CHOICE, 1, 0, {0}},
        {PST_OP_RANDOM_CHOICE, 1, 3, {1, 0, 1}},
        {PST_OP_RANDOM_CHOICE, 1, 2, {1, 0}},
        {PST_OP_RANDOM_CHOICE, 1, 2, {1, 1e-60}},
        {PST_OP_RANDOM_CHOICE, 1, 2, {1, nan}},
        {PST_OP_RANDOM_CHOICE, 1, 2, {1, -0.1}},
        {PST_OP_RANDOM_CHOICE, 1, 2, {1, 1.1}},
        {PST_OP_RANDOM_CHOICE, 2, 2, {1, 1}},
        {PST_OP_RANDOM_CHOICE, 1, 4, {2, -1, 1, 1}},
        {PST_OP_RANDOM_ORDER, 1, 0, {0}},
        {PST_OP_RANDOM_ORDER, 1, 2, {0.5, 0.5}},
        {PST_OP_RANDOM_ORDER, 1, 1, {nan}},
        {PST_OP_RANDOM_ORDER, 3, 2, {2, 1}},
        {PST_OP_RANDOM_ORDER, 1, 1, {1e9}},
        {PST_OP_RANDOM_APPLY, 1, 1, {1}},
    };
    struct pst_output output = {.dtype = PST_U8};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct pst_op ops[] = {{.kind = bad[i].kind,
                                .count = bad[i].count,
                                .table = bad[i].table,
                                .n_table = bad[i].n},
                               hflip(CERTAIN),
                               hflip(CERTAIN)};
        struct pst_transform_config config = {sizeof config, ops, 3, &output, 0, 0};
        refuse(&config, "step 0");
    }
    /* A container in a part reaches out of it; what erases has no order. */
    const double one_and_one[] = {1, 1};
    struct pst_op ops[] = {
        {.kind = PST_OP_RANDOM_ORDER, .count = 2, .table = one_and_one, .n_table = 2},
        {.kind = PST_OP_RANDOM_APPLY, .count = 1},
        hflip(CERTAIN)};
    struct pst_transform_config config = {sizeof config, ops, 3, &output, 0, 0};
    refuse(&config, "step 1 holds 1 steps, 0 follow");
    ops[1] = hflip(CERTAIN);
    ops[2] = (struct pst_op){.kind = PST_OP_RANDOM_ERASING,
                             .scale = {0.1, 0.2},
                             .ratio = {1, 2},
                             .log_ratio = {0, 0.6931472f}};
    refuse(&config, "in a random order");
    size_t most = PST_MAX_OPS + 1;
    double zeros[PST_MAX_OPS + 1] = {0};
    ops[0] = (struct pst_op){.kind = PST_OP_RANDOM_ORDER, .table = zeros, .n_table = most};
    refuse(&config, "65 parts");
}

static void descriptions(void)
{
    struct pst_op ops[] = {resize_short(256, 0, BILINEAR), center_crop(224, 224), hflip(CERTAIN)};
    struct pst__plan plan;
    struct pst_error err;
    char text[256];
    CHECK_INT(plan_of(ops, 3, 500, 375, &plan, &err), PST_OK);
    pst__plan_describe(&plan, text, sizeof text);
    CHECK_STR(text, "500 x 375, resize to 341 x 256 (bilinear), crop (58, 16) 224 x 224, "
                    "flip left to right");
    for (size_t size = 1; size < sizeof text; size++) {
        char part[256];
        memset(part, 'x', sizeof part);
        pst__plan_describe(&plan, part, size);
        CHECK(strlen(part) == (strlen(text) < size ? strlen(text) : size - 1));
        CHECK(strncmp(part, text, strlen(part)) == 0);
    }
}

CHECK_MAIN(CASE(no_steps), CASE(short_side), CASE(center_crop_places), CASE(crops_merge),
           CASE(cut_off_stays_cut_off), CASE(flips_move_across_crops),
           CASE(flips_stay_before_a_resize), CASE(padding_before_a_resize), CASE(nothing_shows),
           CASE(region_is_what_the_taps_reach), CASE(random_crop_draws), CASE(random_crop_places),
           CASE(uniforms), CASE(exp_ranges), CASE(limits), CASE(refused_steps),
           CASE(refused_configurations), CASE(fixed_sizes), CASE(pass_order), CASE(descriptions),
           CASE(changes_close_a_segment), CASE(erasing_ends_a_plan), CASE(containers_hold_steps),
           CASE(parts_are_chosen), CASE(refused_parts))
