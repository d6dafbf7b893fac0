/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "transform_faults.h"

#include "base/rng.h"
#include "transform/convolve.h"
#include "transform/segment.h"

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

static struct pst_op blur_of(int w, int h, double low, double high)
{
    return (struct pst_op){
        .kind = PST_OP_GAUSSIAN_BLUR, .w = w, .h = h, .scale = {low, high}, .count = 1};
}

/* A bell with weights that are rounded like anybody's. */
static void weigh(double *weight, int taps, double sigma)
{
    double sum = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int k = 0; k < taps; k++) {
            double x = (k - taps / 2) / sigma;
            weight[k] = pass ? (double)(float)(exp(-0.5 * x * x) / sum) : 0;
            sum += pass ? 0 : exp(-0.5 * x * x);
        }
}

static int mirrored(int i, int n)
{
    return i < 0 ? -i : i < n ? i : 2 * (n - 1) - i;
}

/* torch's sum, of one pixel and channel. */
static int blurred(const uint8_t *rgb, int w, int h, int x, int y, int c, const double *weights,
                   const struct pst_op *op)
{
    float sum = 0;
    for (int i = 0; i < op->h; i++)
        for (int j = 0; j < op->w; j++) {
            float weight = (float)weights[op->w + i] * (float)weights[j];
            int row = mirrored(y + i - op->h / 2, h), column = mirrored(x + j - op->w / 2, w);
            sum = fmaf((float)rgb[(row * w + column) * 3 + c], weight, sum);
        }
    return (int)rintf(sum);
}

/* Noise, one value, squares of black and white that add up to a half, noise in two values, a slope
 * that is dark somewhere. */
static void paint(uint8_t *rgb, int w, int h)
{
    int which = between(0, 4), one = between(0, 255);
    for (int i = 0; i < w * h * 3; i++) {
        int x = i / 3 % w, y = i / 3 / w;
        int values[] = {between(0, 255), one, (x + y) % 2 * 255, between(0, 1) * 255,
                        (x * y + one) / 8 % 256};
        rgb[i] = (uint8_t)values[which];
    }
}

static void check_blur(int w, int h, int kx, int ky, double sigma)
{
    double weights[2 * 47];
    uint8_t *rgb = malloc((size_t)(w * h * 3));
    struct pst_op op = blur_of(kx, ky, sigma, sigma);
    struct pst_tensor out = {0};
    size_t used;
    uint32_t words[1] = {word()};
    CHECK(rgb != NULL);
    paint(rgb, w, h);
    weigh(weights, kx, sigma);
    weigh(weights + kx, ky, sigma);
    op.table = weights;
    op.n_table = (size_t)(kx + ky);
    struct pst_transform *transform = transform_of(&op, 1, PST_U8, PST_ERA_DEFAULT);
    CHECK_INT(pst_transform_max_words(transform), 1);
    CHECK_INT(pst_transform_apply(transform, rgb, w, h, 3 * w, words, 1, &used, &out, NULL),
              PST_OK);
    CHECK_INT(used, 1);
    const uint8_t *plane = out.data;
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                int got = plane[(c * h + y) * w + x];
                int expected = blurred(rgb, w, h, x, y, c, weights, &op);
                if (got != expected)
                    check_fail(__FILE__, __LINE__,
                               "%d x %d by %d x %d, sigma %g: (%d, %d) of channel %d is %d, "
                               "expected %d",
                               w, h, kx, ky, sigma, x, y, c, got, expected);
            }
    pst_tensor_reset(&out);
    pst_transform_unref(transform);
    free(rgb);
}

static void the_sum_is_torchs(void)
{
    static const int sides[] = {1, 3, 5, 7, 9, 23};
    static const double sigmas[] = {0.1, 0.3, 0.8, 1, 1.4, 2, 5, 30};
    pst__mt_seed(&mt, 5);
    for (int round = 0; round < 300; round++) {
        int kx = sides[between(0, 5)], ky = between(0, 1) ? kx : sides[between(0, 5)];
        int w = kx / 2 + between(1, 40), h = ky / 2 + between(1, 12);
        check_blur(w, h, kx, ky, sigmas[between(0, 7)]);
    }
    check_blur(24, 24, 47, 47, 9);
    check_blur(200, 3, 5, 5, 1.5);
}

/* Each word has weights of its own, at its place in the values of its range. */
static void the_words_weights(void)
{
    struct pst_op ops[] = {hflip(0), blur_of(5, 3, 0.5, 1.5), blur_of(5, 5, 0.5, 1.5)};
    struct pst_transform *transform = transform_of(ops, 3, PST_U8, PST_ERA_DEFAULT);
    CHECK_INT(pst__transform_n_exp_ranges(transform), 2);
    const struct pst__range *row = pst__transform_range(transform, 0);
    CHECK_INT(row->taps, 5);
    CHECK_INT(pst__transform_range(transform, 1)->taps, 3);
    CHECK_INT(row->is_v2, 1);
    CHECK_INT(pst__range_width(row), 5);
    uint32_t words[] = {9, 0, 0x800000};
    float values[2][15];
    struct pst__draws draws = {.words = words, .exps = {values[0], values[1]}};
    for (int r = 0; r < 2; r++) {
        const struct pst__range *range = pst__transform_range(transform, r);
        pst__transform_exp_arguments(transform, r, words, 3, values[r]);
        CHECK(values[r][pst__range_width(range)] == 0.5f);
        CHECK(values[r][2 * pst__range_width(range)] == 1.0f);
        pst__range_compute(range, values[r], 3);
    }
    double sum = 0;
    for (int k = 0; k < 5; k++)
        sum += (double)values[0][10 + k];
    CHECK(fabs(sum - 1) < 1e-6 && values[0][12] > values[0][11] && values[0][11] > values[0][10]);
    struct pst__plan plan;
    CHECK_INT(pst__transform_plan(transform, 20, 20, 1, &draws, &plan, NULL), PST_OK);
    CHECK_INT(draws.used, 3);
    CHECK_INT(plan.n_changes, 2);
    CHECK(plan.change[0].number[0] == 0.5 && plan.change[1].number[0] == 1.0);
    CHECK(memcmp(&plan.change[0].number[1], values[0] + 5, 3 * sizeof(float)) == 0);
    CHECK(memcmp(&plan.change[1].number[1], values[0] + 10, 3 * sizeof(float)) == 0);
    char text[200];
    pst__plan_describe(&plan, text, sizeof text);
    CHECK(strstr(text, "gaussian blur 5 3 0.5, gaussian blur 5 5 1") != NULL);
    pst_transform_unref(transform);
}

static int refusal(const struct pst_op *ops, size_t n, int channels)
{
    struct pst_output output = {.dtype = PST_U8};
    struct pst_transform_config config = {sizeof config, ops, n, &output, 0, channels};
    struct pst_transform *transform = NULL;
    int rc = pst_transform_new(&transform, &config, NULL);
    pst_transform_unref(transform);
    return rc;
}

static void refused(void)
{
    double weights[6] = {0.25, 0.5, 0.25, 0.25, 0.5, 0.25};
    struct pst_op grey = {.kind = PST_OP_GRAYSCALE, .count = 1};
    struct pst_op good = blur_of(3, 3, 0.1, 2),
                  bad[] = {blur_of(4, 3, 1, 2),   blur_of(3, -1, 1, 2), blur_of(49, 49, 1, 2),
                           blur_of(47, 1, 1, 2),  blur_of(3, 3, 0, 2),  blur_of(3, 3, 2, 1),
                           blur_of(3, 3, NAN, 2), blur_of(3, 3, 1, 1)};
    bad[7].table = weights;
    bad[7].n_table = 5;
    CHECK_INT(refusal(&good, 1, 3), PST_OK);
    CHECK_INT(refusal(&good, 1, 1), PST_EINVAL);
    CHECK_INT(refusal((struct pst_op[]){grey, good}, 2, 3), PST_EINVAL);
    for (int i = 0; i < 8; i++)
        CHECK_INT(refusal(&bad[i], 1, 3), PST_EINVAL);
    struct pst_op many[] = {blur_of(3, 3, 1, 2), blur_of(5, 5, 1, 2), blur_of(7, 7, 1, 2),
                            blur_of(9, 9, 1, 2), blur_of(3, 5, 1, 2), blur_of(3, 3, 1, 3)};
    CHECK_INT(refusal(many, 5, 3), PST_OK);
    CHECK_INT(refusal(many, 6, 3), PST_EINVAL);
}

/* What the plan finds out: the reference decides then. */
static void doubtful(void)
{
    static const float even[] = {0.25f, 0.5f, 0.25f}, odd[] = {0.25f, 0.5f, 0.26f},
                       small[] = {0.2f, 0.5f, 0.2f}, none[] = {NAN, 1, NAN},
                       below[] = {-0.5f, 2, -0.5f};
    static const float *const bad[] = {odd, small, none, below};
    struct pst__plan plan;
    CHECK_INT(pst__fold_begin(&plan, 2, 9, 3, NULL), PST_OK);
    CHECK_INT(pst__fold_blur(&plan, 1, even, 3, even, 3, NULL), PST_OK);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(pst__fold_blur(&plan, 1, bad[i], 3, even, 3, NULL), PST_EINVAL);
        CHECK_INT(pst__fold_blur(&plan, 1, even, 3, bad[i], 3, NULL), PST_EINVAL);
    }
    CHECK_INT(plan.n_changes, 1);
    CHECK_INT(pst__fold_begin(&plan, 1, 9, 3, NULL), PST_OK);
    CHECK_INT(pst__fold_blur(&plan, 1, even, 3, even, 3, NULL), PST_ELIMIT);
    CHECK_INT(pst__fold_begin(&plan, 9, 1, 3, NULL), PST_OK);
    CHECK_INT(pst__fold_blur(&plan, 1, even, 3, even, 3, NULL), PST_ELIMIT);
    CHECK_INT(pst__fold_begin(&plan, 9, 9, 1, NULL), PST_OK);
    CHECK_INT(pst__fold_blur(&plan, 1, even, 3, even, 3, NULL), PST_EINVAL);
}

static void without_memory(void)
{
    static const uint32_t words[] = {7};
    struct pst_op op = blur_of(3, 5, 0.5, 2);
    check_without_memory(&op, 1, words, 1,
                         5); /* weights, result, executor, pixels, the blur's own */
}

CHECK_MAIN(CASE(the_sum_is_torchs), CASE(the_words_weights), CASE(refused), CASE(doubtful),
           FAULT("R17", without_memory))
