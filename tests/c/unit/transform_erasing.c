/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "transform_ops.h"

static struct pst_op erasing(uint32_t threshold, double scale0, double scale1)
{
    return (struct pst_op){.kind = PST_OP_RANDOM_ERASING,
                           .threshold = threshold,
                           .scale = {scale0, scale1},
                           .ratio = {0.5, 2},
                           .log_ratio = {-0.6931472f, 0.6931472f},
                           .number = {1, 2, 3}};
}

/* Words drawn and rectangles erased of a sample of w x h. */
static void plan_of(struct pst_op op, int w, int h, const uint32_t *words, const float *exps,
                    size_t used, int n_erased, struct pst__plan *plan)
{
    struct pst_transform *transform = transform_of(&op, 1, PST_F32, PST_ERA_DEFAULT);
    struct pst__draws draws = {.words = words, .exps = {exps}};
    struct pst_error err;
    pst_error_init(&err);
    CHECK_INT(pst_transform_max_words(transform), 23);
    CHECK_INT(pst__transform_plan(transform, w, h, 1, &draws, plan, &err), PST_OK);
    CHECK_INT(draws.used, used);
    CHECK_INT(plan->n_erased, n_erased);
    pst_transform_unref(transform);
}

static void draws(void)
{
    static float exps[23];
    uint32_t words[23] = {0, 0, 0, 4000000000u, 1000000007};
    for (int i = 0; i < 23; i++)
        exps[i] = 1.0f;
    struct pst__plan plan;
    plan_of(erasing(0, 0.25, 0.25), 40, 20, words, exps, 1, 0, &plan);

    /* Chance, area, aspect, row, column. */
    exps[2] = 0.5f;
    plan_of(erasing(CERTAIN, 0.25, 0.25), 40, 20, words, exps, 5, 1, &plan);
    const struct pst_rect *rect = &plan.erased[0].rect;
    CHECK_INT(rect->h, 10); /* sqrt(200 * 0.5) */
    CHECK_INT(rect->w, 20);
    CHECK_INT(rect->y, 4000000000u % 11);
    CHECK_INT(rect->x, 1000000007 % 21);
    CHECK(plan.erased[0].value[0] == 1 && plan.erased[0].value[2] == 3);

    /* The whole image does not fit: ten tries, nothing erased. */
    exps[2] = 1.0f;
    plan_of(erasing(CERTAIN, 1, 1), 20, 20, words, exps, 21, 0, &plan);
    /* An empty rectangle fits, and draws its place. */
    plan_of(erasing(CERTAIN, 0, 0), 20, 20, words, exps, 5, 0, &plan);
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
    CHECK_INT(is_refused(erasing(CERTAIN, 0, 1)), 0);
    CHECK_INT(is_refused(erasing(CERTAIN + 1, 0, 1)), 1);
    CHECK_INT(is_refused(erasing(1, 0.5, 0.25)), 1);
    CHECK_INT(is_refused(erasing(1, -0.5, 0.25)), 1);
    CHECK_INT(is_refused(erasing(1, 0.5, NAN)), 1);
    CHECK_INT(is_refused(erasing(1, 0.5, 1.25)), 1);
    struct pst_op op = erasing(1, 0, 1);
    op.ratio[0] = 0;
    CHECK_INT(is_refused(op), 1);
    op = erasing(1, 0, 1);
    op.log_ratio[1] = 100;
    CHECK_INT(is_refused(op), 1);
}

CHECK_MAIN(CASE(draws), CASE(bad_parameters))
