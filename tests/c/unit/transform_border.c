/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "transform_ops.h"

#include "base/rng.h"
#include "transform/border.h"
#include "transform/change.h"

static struct pst__mt mt;

static uint32_t word(void)
{
    uint32_t w;
    pst__mt_fill(&mt, &w, 1);
    return w;
}
static int between(int low, int high)
{
    return low + (int)(word() % (uint32_t)(high - low + 1));
}

static void plan_of(const struct pst_op *ops, size_t n, int w, int h, const uint32_t *words,
                    struct pst__plan *plan)
{
    struct pst_transform *transform = transform_of(ops, n, PST_F32, PST_ERA_DEFAULT);
    struct pst__draws draws = {.words = words};
    struct pst_error err;
    pst_error_init(&err);
    if (pst__transform_plan(transform, w, h, 1, &draws, plan, &err) != PST_OK)
        check_fail(__FILE__, __LINE__, "%s", err.message);
    pst_transform_unref(transform);
}

/* The usual recipe for small images costs no image in between. */
static void black_padding_is_a_crop(void)
{
    static const double black[] = {0};
    static const uint32_t words[] = {2, 7, 0};
    struct pst_op ops[] = {crop_anywhere(32, 32, 4, PST_BORDER_CONSTANT, black), hflip(CERTAIN)};
    struct pst__plan plan;
    plan_of(ops, 1, 32, 32, words, &plan);
    CHECK_INT(plan.n_segments, 1);
    CHECK_INT(plan.n_changes, 0);
    /* Row 2 and column 7 of the padded image. */
    CHECK(plan.region.x == 3 && plan.region.y == 0 && plan.region.w == 29 && plan.region.h == 30);
    CHECK_INT(plan.segment[0].out.x, 0);
    CHECK_INT(plan.segment[0].out.y, -2);
    ops[0].table = NULL;
    ops[0].n_table = 0;
    plan_of(ops, 2, 32, 32, words, &plan);
    CHECK_INT(plan.n_changes, 0);
}

/* Of a border that does not show nothing is left; only what shows of the image is needed. */
static void a_border_that_shows_is_a_change(void)
{
    static const double white[] = {255};
    static const uint32_t inside[] = {4, 4}, beside[] = {0, 8}, words[] = {0, 0};
    struct pst_op op = crop_anywhere(32, 32, 4, PST_BORDER_CONSTANT, white);
    struct pst__plan plan;
    plan_of(&op, 1, 32, 32, inside, &plan);
    CHECK_INT(plan.n_changes, 0);
    plan_of(&op, 1, 32, 32, beside, &plan);
    CHECK_INT(plan.n_changes, 1);
    CHECK(plan.region.x == 4 && plan.region.y == 0 && plan.region.w == 28 && plan.region.h == 28);

    op = crop_anywhere(10, 10, 20, PST_BORDER_EDGE, NULL);
    op.n_table = 0;
    plan_of(&op, 1, 32, 32, words, &plan);
    CHECK(plan.region.x == 0 && plan.region.y == 0 && plan.region.w == 1 && plan.region.h == 1);
    op.number[4] = PST_BORDER_REFLECT;
    plan_of(&op, 1, 32, 32, words, &plan);
    CHECK(plan.region.x == 11 && plan.region.y == 11 && plan.region.w == 10);
    op.number[4] = PST_BORDER_SYMMETRIC;
    plan_of(&op, 1, 32, 32, words, &plan);
    CHECK(plan.region.x == 10 && plan.region.y == 10 && plan.region.w == 10);
}

/* Place i of an axis of n pixels; -1: the fill. Written the other way round: by walking. */
static int walk(int mode, int n, int i)
{
    int at = i < 0 ? 0 : n - 1, step = i < 0 ? 1 : -1, left = i < 0 ? -i : i - n + 1;
    if (i >= 0 && i < n)
        return i;
    if (mode == PST_BORDER_CONSTANT)
        return -1;
    if (mode == PST_BORDER_EDGE)
        return at;
    return at + step * (mode == PST_BORDER_REFLECT ? left : left - 1);
}

/* Any rectangle that a mode reaches, pixel by pixel, and with the part that is needed alone. */
static void any_rectangle(void)
{
    pst__mt_seed(&mt, 1);
    struct pst_output output = {.dtype = PST_U8};
    struct pst_transform_config config = {sizeof config, NULL, 0, &output, 0, 0};
    struct pst_transform *transform = NULL;
    struct pst__executor *executor = NULL;
    struct pst_error err;
    pst_error_init(&err);
    CHECK_INT(pst_transform_new(&transform, &config, &err), PST_OK);
    CHECK_INT(pst__executor_new(&executor, &err), PST_OK);
    for (int round = 0; round < 20000; round++) {
        int w = between(1, 9), h = between(1, 9), mode = between(0, 3);
        int most_x = mode == PST_BORDER_REFLECT ? w - 1 : mode == PST_BORDER_SYMMETRIC ? w : 11;
        int most_y = mode == PST_BORDER_REFLECT ? h - 1 : mode == PST_BORDER_SYMMETRIC ? h : 11;
        struct pst_rect rect = {between(-most_x, w + most_x - 1), between(-most_y, h + most_y - 1),
                                0, 0};
        rect.w = between(1, w + most_x - rect.x);
        rect.h = between(1, h + most_y - rect.y);
        struct pst__border border = {mode, {0, 0, 0, 9}};
        if (round % 4)
            border.fill[0] = 50, border.fill[1] = 60, border.fill[2] = 255;
        struct pst__plan plan;
        CHECK_INT(pst__fold_begin(&plan, w, h, 3, &err), PST_OK);
        CHECK_INT(pst__fold_border(&plan, &rect, &border, &err), PST_OK);
        CHECK_INT(pst__fold_end(&plan, PST_ERA_13, PST_U8, &err), PST_OK);
        CHECK(plan.out_w == rect.w && plan.out_h == rect.h);

        const struct pst_rect *r = &plan.region;
        uint8_t rgbx[9 * 9 * 4 + 64], *sample = malloc((size_t)(3 * rect.w * rect.h));
        CHECK(sample && r->x >= 0 && r->y >= 0 && r->x + r->w <= w && r->y + r->h <= h);
        for (int i = 0; i < r->w * r->h; i++) {
            rgbx[i * 4] = (uint8_t)(r->x + i % r->w);
            rgbx[i * 4 + 1] = (uint8_t)(r->y + i / r->w);
            rgbx[i * 4 + 2] = 200;
            rgbx[i * 4 + 3] = (uint8_t)word();
        }
        struct pst__memory_rows rows = {rgbx, r->w * 4, r->h};
        CHECK_INT(pst__transform_execute(executor, transform, &plan,
                                         &(struct pst__row_source){pst__memory_rows, &rows},
                                         &(struct pst__place){sample, 0}, &err),
                  PST_OK);
        for (int i = 0; i < rect.w * rect.h; i++) {
            int x = walk(mode, w, rect.x + i % rect.w), y = walk(mode, h, rect.y + i / rect.w);
            int is_fill = x < 0 || y < 0;
            CHECK_INT(sample[i], is_fill ? border.fill[0] : x);
            CHECK_INT(sample[rect.w * rect.h + i], is_fill ? border.fill[1] : y);
            CHECK_INT(sample[2 * rect.w * rect.h + i], is_fill ? border.fill[2] : 200);
        }
        free(sample);
    }
    pst__executor_free(executor);
    pst_transform_unref(transform);
}

static void mirrors_are_not_mirrored(void)
{
    struct pst__plan plan;
    struct pst_error err;
    pst_error_init(&err);
    struct pst__border border = {.mode = PST_BORDER_REFLECT};
    CHECK_INT(pst__fold_begin(&plan, 5, 1, 3, &err), PST_OK);
    CHECK_INT(pst__fold_border(&plan, &(struct pst_rect){-5, 0, 6, 1}, &border, &err), PST_ELIMIT);
    CHECK_INT(pst__fold_border(&plan, &(struct pst_rect){0, -1, 5, 2}, &border, &err), PST_ELIMIT);
    CHECK_INT(pst__fold_border(&plan, &(struct pst_rect){0, 0, 10, 1}, &border, &err), PST_ELIMIT);
    border.mode = PST_BORDER_SYMMETRIC;
    CHECK_INT(pst__fold_border(&plan, &(struct pst_rect){-6, 0, 7, 1}, &border, &err), PST_ELIMIT);
    CHECK_INT(pst__fold_border(&plan, &(struct pst_rect){-5, 0, 15, 1}, &border, &err), PST_OK);
}

static int is_refused(struct pst_op op)
{
    struct pst_output output = {.dtype = PST_U8};
    struct pst_transform_config config = {sizeof config, &op, 1, &output, 0, 0};
    struct pst_transform *transform = NULL;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_transform_new(&transform, &config, &err);
    pst_transform_unref(transform);
    return rc == PST_EINVAL;
}

static void bad_parameters(void)
{
    static const double colours[][1] = {{-1}, {256}, {0.5}, {NAN}, {7}};
    for (int i = 0; i < 5; i++)
        CHECK_INT(is_refused(pad(1, 0, colours[i])), i < 4);
    struct pst_op op = pad(1, 0, NULL);
    op.n_table = 0;
    CHECK_INT(is_refused(op), 0);
    op.number[2] = -1;
    CHECK_INT(is_refused(op), 1);
    op.number[2] = 0.5;
    CHECK_INT(is_refused(op), 1);
    op.number[2] = 1e9;
    CHECK_INT(is_refused(op), 1);
    op.number[2] = 0;
    op.number[4] = 4;
    CHECK_INT(is_refused(op), 1);
    CHECK_INT(is_refused(crop_anywhere(0, 5, 1, 0, colours[4])), 1);
    CHECK_INT(is_refused(crop_anywhere(5, 5, 1, 0, colours[4])), 0);
}

CHECK_MAIN(CASE(black_padding_is_a_crop), CASE(a_border_that_shows_is_a_change),
           CASE(any_rectangle), CASE(mirrors_are_not_mirrored), CASE(bad_parameters))
