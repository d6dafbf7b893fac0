/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "transform_ops.h"

#include "base/limits.h"
#include "base/rng.h"
#include "transform/affine.h"
#include "transform/change.h"
#include "transform/perspective.h"
#include "transform/turn.h"

/* Parity with Pillow is tests/python/test_warp_parity.py; here is what a plan is made of. */

static struct pst_error err;

static void begin(struct pst__plan *plan, int w, int h)
{
    pst_error_init(&err);
    CHECK_INT(pst__fold_begin(plan, w, h, 3, &err), PST_OK);
}

/* Runs a plan on an image whose pixel (x, y) has the values x, y and 99. */
static uint8_t *run(struct pst__plan *plan)
{
    struct pst_output output = {.dtype = PST_U8};
    struct pst_transform_config config = {sizeof config, NULL, 0, &output, 0, 0};
    struct pst_transform *transform = NULL;
    struct pst__executor *executor = NULL;
    CHECK_INT(pst__fold_end(plan, PST_ERA_13, PST_U8, &err), PST_OK);
    CHECK_INT(pst_transform_new(&transform, &config, &err), PST_OK);
    CHECK_INT(pst__executor_new(&executor, &err), PST_OK);
    const struct pst_rect *r = &plan->region;
    uint8_t *rgbx = calloc((size_t)r->w * (size_t)r->h + 16, 4);
    uint8_t *sample = malloc((size_t)plan->out_w * (size_t)plan->out_h * 3);
    CHECK(rgbx && sample);
    for (int i = 0; i < r->w * r->h; i++) {
        rgbx[i * 4] = (uint8_t)(r->x + i % r->w);
        rgbx[i * 4 + 1] = (uint8_t)(r->y + i / r->w);
        rgbx[i * 4 + 2] = 99;
        rgbx[i * 4 + 3] = 77;
    }
    struct pst__memory_rows rows = {rgbx, (ptrdiff_t)r->w * 4, r->h};
    CHECK_INT(pst__transform_execute(executor, transform, plan,
                                     &(struct pst__row_source){pst__memory_rows, &rows},
                                     &(struct pst__place){sample, 0}, &err),
              PST_OK);
    pst__executor_free(executor);
    pst_transform_unref(transform);
    free(rgbx);
    return sample;
}

/* Where EXIF says that the first row and column of what is stored are seen. */
static void place(int orientation, int w, int h, int x, int y, int *to_x, int *to_y)
{
    switch (orientation) {
    case 1:
        *to_x = x, *to_y = y;
        break; /* top, left */
    case 2:
        *to_x = w - 1 - x, *to_y = y;
        break; /* top, right */
    case 3:
        *to_x = w - 1 - x, *to_y = h - 1 - y;
        break; /* bottom, right */
    case 4:
        *to_x = x, *to_y = h - 1 - y;
        break; /* bottom, left */
    case 5:
        *to_x = y, *to_y = x;
        break; /* left, top */
    case 6:
        *to_x = h - 1 - y, *to_y = x;
        break; /* right, top */
    case 7:
        *to_x = h - 1 - y, *to_y = w - 1 - x;
        break; /* right, bottom */
    default:
        *to_x = y, *to_y = w - 1 - x;
        break; /* left, bottom */
    }
}

static void orientations(void)
{
    static const int sizes[][2] = {{1, 1}, {5, 3}, {17, 40}, {33, 16}, {1, 50}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int w = sizes[s][0], h = sizes[s][1];
        for (int orientation = 1; orientation <= 8; orientation++) {
            struct pst__plan plan;
            begin(&plan, w, h);
            CHECK_INT(pst__fold_orientation(&plan, orientation, &err), PST_OK);
            CHECK_INT(plan.n_changes, orientation >= 5);
            uint8_t *sample = run(&plan);
            CHECK_INT(plan.out_w, orientation >= 5 ? h : w);
            CHECK_INT(plan.out_h, orientation >= 5 ? w : h);
            for (int i = 0; i < w * h; i++) {
                int x, y;
                place(orientation, w, h, i % w, i / w, &x, &y);
                CHECK_INT(sample[y * plan.out_w + x], i % w);
                CHECK_INT(sample[w * h + y * plan.out_w + x], i / w);
            }
            free(sample);
        }
    }
    struct pst__plan plan;
    begin(&plan, 4, 4);
    CHECK_INT(pst__fold_orientation(&plan, 0, &err), PST_EINVAL);
    CHECK_INT(pst__fold_orientation(&plan, 9, &err), PST_EINVAL);
}

/* Four quarters are none, one is a transpose with rows upside down. */
static void quarters(void)
{
    struct pst__plan plan;
    begin(&plan, 7, 4);
    CHECK_INT(pst__fold_quarters(&plan, 1, &err), PST_OK);
    CHECK_INT(plan.n_changes, 1);
    CHECK_INT(pst__fold_quarters(&plan, 2, &err), PST_OK);
    CHECK_INT(pst__fold_quarters(&plan, 0, &err), PST_OK);
    uint8_t *sample = run(&plan);
    CHECK(plan.out_w == 4 && plan.out_h == 7);
    CHECK_INT(sample[0], 0); /* three quarters: the first column, from below */
    CHECK_INT(sample[4 * 7], 3);
    CHECK_INT(sample[4 * 7 + 3], 0);
    free(sample);

    struct pst__warp warp = {.filter = PST_FILTER_BILINEAR};
    static const struct {
        double angle;
        int expand, n_changes, vflip;
    } cases[] = {{0, 0, 0, 0},   {-720, 0, 0, 0}, {180, 0, 0, 1}, {-180, 1, 0, 1}, {90, 1, 1, 1},
                 {450, 1, 1, 1}, {270, 1, 1, 0},  {-90, 1, 1, 0}, {90, 0, 1, 0},   {90.5, 1, 1, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(&plan, 7, 4);
        CHECK_INT(pst__fold_rotate(&plan, &warp, cases[i].angle, cases[i].expand, NULL, &err),
                  PST_OK);
        CHECK_INT(plan.n_changes, cases[i].n_changes);
        CHECK_INT(plan.segment[plan.n_segments - 1].vflip, cases[i].vflip);
    }
    /* With a center there are no quarters. */
    begin(&plan, 7, 4);
    CHECK_INT(pst__fold_rotate(&plan, &warp, 180, 0, (double[2]){3.5, 2}, &err), PST_OK);
    CHECK_INT(plan.n_changes, 1);
}

static void whole_pixels_are_a_crop(void)
{
    static const int filters[] = {PST_FILTER_NEAREST, PST_FILTER_BILINEAR, PST_FILTER_BICUBIC};
    for (int i = 0; i < 3; i++) {
        struct pst__plan plan;
        struct pst__warp warp = {{1, 0, 3, -0.0, 1, -2}, 10, 8, filters[i], {0}};
        begin(&plan, 10, 8);
        CHECK_INT(pst__fold_warp(&plan, &warp, &err), PST_OK);
        CHECK_INT(plan.n_changes, 0);
        uint8_t *sample = run(&plan);
        CHECK(plan.region.x == 3 && plan.region.w == 7 && plan.region.h == 6);
        CHECK_INT(sample[0], 0);
        CHECK_INT(sample[2 * 10], 3);
        CHECK_INT(sample[80 + 7 * 10 + 6], 5);
        free(sample);
        warp.matrix[2] = 3.5;
        begin(&plan, 10, 8);
        CHECK_INT(pst__fold_warp(&plan, &warp, &err), PST_OK);
        CHECK_INT(plan.n_changes, 1);
    }
}

/* The same turn in fixed point and in double: the change decides by how far the places reach. */
static void far_places(void)
{
    for (int far = 0; far < 2; far++) {
        struct pst__plan plan;
        struct pst__warp warp = {{0, 1, 0, -1, 0, 20}, 20, 20, PST_FILTER_NEAREST, {9, 9, 9, 0}};
        if (far) /* the last column lies beyond 32768 */
            warp.matrix[3] = -4000;
        begin(&plan, 20, 20);
        CHECK_INT(pst__fold_warp(&plan, &warp, &err), PST_OK);
        CHECK_INT(plan.n_changes, 1);
        uint8_t *sample = run(&plan);
        for (int y = 0; y < 20; y++)
            for (int x = 0; x < 20; x++) {
                int column = y, row = far ? -1 : 19 - x;
                CHECK_INT(sample[y * 20 + x], row < 0 ? 9 : column);
            }
        free(sample);
    }
}

static void refused(void)
{
    struct pst__plan plan;
    struct pst__warp warp = {{1, 0, 0, 0, 1, 0.5}, 5, 5, PST_FILTER_BOX, {0}};
    begin(&plan, 5, 5);
    CHECK_INT(pst__fold_warp(&plan, &warp, &err), PST_EINVAL);
    warp.filter = PST_FILTER_BILINEAR;
    warp.matrix[1] = NAN;
    CHECK_INT(pst__fold_warp(&plan, &warp, &err), PST_EINVAL);
    /* In range as doubles, but not any more when the coefficients are rounded to 16 bits. */
    struct pst__warp edge = {{1e-6, 3276.7, 0, 1, 0, 0}, 10, 10, PST_FILTER_NEAREST, {0}};
    edge.matrix[2] = 0.9999;
    CHECK_INT(pst__fold_warp(&plan, &edge, &err), PST_ELIMIT);
    struct pst__warp steep = {{65000, 1, -32700, 1, 0, 0}, 1, 1, PST_FILTER_NEAREST, {0}};
    CHECK_INT(pst__fold_warp(&plan, &steep, &err), PST_ELIMIT);
    begin(&plan, PST_MAX_PLAN_SIDE, 1);
    warp = (struct pst__warp){.filter = PST_FILTER_BILINEAR};
    CHECK_INT(pst__fold_rotate(&plan, &warp, 45, 1, NULL, &err), PST_ELIMIT);
}

/* The quadrilateral's corners come from the rectangle's, and from nowhere else. */
static void perspective_maps_corners(void)
{
    struct pst__mt mt;
    uint32_t word[10];
    int certain = 0;
    pst__mt_seed(&mt, 4);
    for (int round = 0; round < 2000; round++) {
        pst__mt_fill(&mt, word, 10);
        int32_t w = 100 + (int32_t)(word[8] % 60000), h = 100 + (int32_t)(word[9] % 60000);
        int32_t dx = w / 3, dy = h / 3;
        struct pst__quad quad = {.w = w, .h = h};
        for (int k = 0; k < 4; k++) {
            quad.x[k] = (int32_t)(word[2 * k] % (uint32_t)dx) + (k == 1 || k == 2 ? w - dx : 0);
            quad.y[k] = (int32_t)(word[2 * k + 1] % (uint32_t)dy) + (k >= 2 ? h - dy : 0);
        }
        double c[8];
        if (!pst__perspective_coefficients(&quad, c))
            continue;
        certain++;
        for (int k = 0; k < 4; k++) {
            double x = quad.x[k], y = quad.y[k], under = c[6] * x + c[7] * y + 1;
            double to_x = (c[0] * x + c[1] * y + c[2]) / under;
            double to_y = (c[3] * x + c[4] * y + c[5]) / under;
            /* Coefficients have 24 bits. */
            CHECK(fabs(to_x - (k == 1 || k == 2 ? w - 1 : 0)) < w * 1e-5);
            CHECK(fabs(to_y - (k >= 2 ? h - 1 : 0)) < h * 1e-5);
        }
    }
    CHECK(certain > 1900);
}

static void perspective_that_is_doubtful(void)
{
    double c[8];
    /* The identity has zeros, a line has no inverse, and an image of one row no corners. */
    struct pst__quad same = {9, 5, {0, 8, 8, 0}, {0, 0, 4, 4}};
    CHECK_INT(pst__perspective_coefficients(&same, c), 0);
    struct pst__quad line = {9, 9, {1, 2, 3, 4}, {1, 2, 3, 4}};
    CHECK_INT(pst__perspective_coefficients(&line, c), 0);
    struct pst__quad bent = {9, 9, {1, 4, 8, 6}, {1, 3, 8, 6}}; /* three corners in a line */
    CHECK_INT(pst__perspective_coefficients(&bent, c), 0);
    /* All pixels would come from one place, but for those on the line, whose place is 0 / 0. */
    struct pst__quad crossed = {4, 4, {1, 2, 3, 0}, {1, 0, 3, 2}};
    CHECK_INT(pst__perspective_coefficients(&crossed, c), 0);
    struct pst__quad row = {9, 1, {1, 7, 8, 0}, {0, 0, 0, 0}};
    CHECK_INT(pst__perspective_coefficients(&row, c), 0);
}

CHECK_MAIN(CASE(orientations), CASE(quarters), CASE(whole_pixels_are_a_crop), CASE(far_places),
           CASE(refused), CASE(perspective_maps_corners), CASE(perspective_that_is_doubtful))
