/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/convolve.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/status.h"
#include "kernels/kernels.h"
#include "transform/change.h"
#include "transform/segment.h"

/* The reference rounds a sum of w x h products, of a fused multiply-add each, row after row. Two
 * passes of w and h products give nearly the same. How far apart the two can be is bounded from the
 * weights; where the sum of the two passes is further than that from the middle of two integers,
 * both round to the same one, and of the others the long sum is taken. */

/* Products of small weights are subnormal, and many CPUs slow with them. Times SCALE none is, and a
 * sum is rounded as before: pixels are integers, so each sum is a multiple of the least subnormal
 * number, and those that are rounded are large enough to be normal either way. */
#define SCALE 0x1p64f

#define MOST_TAPS (2 * PST_MAX_BLUR_WEIGHTS - 1)
#define LANES 16    /* floats that kernels write and read at a time */
#define ULP 0x1p-24 /* half of a unit in the last place of 1: what rounding takes, at most */
#define SLACK 1.001 /* for the rounding of bounds and of what they are made of */
#define WHITE 255.0
#define LEAST 1e-7f   /* smaller weights at the ends are left out of the two passes */
#define FAR_APART .05 /* a bound that leaves too little to the two passes */

/* The weights of one axis, without those at its ends that are not above some value. */
struct bell {
    int32_t first, n;
    float weight[MOST_TAPS];
};

struct blur {
    const struct pst__kernels *kernels;
    int32_t w, h;       /* the image */
    int32_t half[2];    /* of the whole kernel: columns, rows */
    ptrdiff_t plane;    /* floats of a row of one channel, mirrored at both ends */
    ptrdiff_t line;     /* of three channels */
    struct bell x, y;   /* for the long sum: without zeros */
    struct bell px, py; /* for the two passes */
    float limit;        /* of what round_sums is sure of; below 0: of nothing */
    int32_t n_ring;     /* rows that are kept */
    float *spread;      /* the last rows, as floats */
    float *across;      /* after the first pass */
    float *sum;         /* a row */
    float *product;     /* of the long sum, times SCALE */
    int32_t *place;
};

static int32_t half_of(int32_t taps)
{
    return (taps + 1) / 2;
}

int32_t pst__blur_kept(int32_t w, int32_t h)
{
    return half_of(w) + (w == h ? 0 : half_of(h));
}

static void bell_of(struct bell *bell, const float *half, int32_t taps, float least)
{
    int32_t n = half_of(taps), first = 0;
    while (first < n - 1 && !(half[first] > least))
        first++;
    bell->first = first;
    bell->n = taps - 2 * first;
    for (int32_t k = 0; k < bell->n; k++) {
        int32_t at = first + k;
        bell->weight[k] = half[at < n ? at : taps - 1 - at];
    }
}

static double total(const struct bell *bell)
{
    double sum = 0;
    for (int32_t k = 0; k < bell->n; k++)
        sum += (double)bell->weight[k];
    return sum;
}

/* A step of a chain of products with weights and values up to most is rounded by at most so much:
 * by the size of what it gives, and by no more than it adds, which would leave the sum as it was.
 */
static double rounded_by(double weight, double so_far, double most)
{
    double by_sum = ULP * so_far * most * SLACK, by_step = weight * most;
    return by_sum < by_step ? by_sum : by_step;
}

/* How far a chain over one axis is from the sum over the whole of its bell. */
static double pass_error(const struct bell *bell, const struct bell *whole, double most)
{
    double so_far = 0, error = (total(whole) - total(bell)) * most;
    for (int32_t k = 0; k < bell->n; k++) {
        so_far += (double)bell->weight[k];
        error += rounded_by((double)bell->weight[k], so_far, most);
    }
    return error;
}

static double long_error(const struct blur *blur)
{
    double so_far = 0, error = 0;
    for (int32_t i = 0; i < blur->y.n; i++) {
        for (int32_t j = 0; j < blur->x.n; j++) {
            double weight = (double)blur->y.weight[i] * (double)blur->x.weight[j];
            so_far += weight;
            error += rounded_by(weight, so_far, WHITE);
        }
    }
    /* The products are rounded themselves. */
    return error + ULP * so_far * WHITE;
}

/* What the two ways can differ by, at most. */
static double difference(const struct blur *blur)
{
    double width = total(&blur->x), height = total(&blur->y), most = WHITE * width * SLACK;
    double across = pass_error(&blur->px, &blur->x, WHITE) * height;
    return SLACK * (long_error(blur) + across + pass_error(&blur->py, &blur->y, most)) + 1e-6;
}

static void init_bells(struct blur *blur, const struct pst__change *change)
{
    float kept[PST_MAX_BLUR_WEIGHTS];
    int32_t w = change->integer[0], h = change->integer[1];
    memcpy(kept, &change->number[1], sizeof kept);
    const float *column = w == h ? kept : kept + half_of(w);
    bell_of(&blur->x, kept, w, 0);
    bell_of(&blur->y, column, h, 0);
    bell_of(&blur->px, kept, w, LEAST);
    bell_of(&blur->py, column, h, LEAST);
    blur->half[0] = w / 2;
    blur->half[1] = h / 2;
    double apart = difference(blur);
    blur->limit = apart < FAR_APART ? nextafterf((float)(0.5 - apart), 0) : -1.0f;
}

static size_t round_up(size_t n)
{
    return (n + LANES - 1) / LANES * LANES;
}

/* Everything in one block. Rows are long enough to be read and written in whole vectors. */
static int init_memory(struct blur *blur, struct pst__scratch *work, struct pst_error *err)
{
    size_t plane = round_up((size_t)blur->w + 2 * (size_t)blur->half[0]);
    size_t line = 3 * plane + 2 * LANES, ring = (size_t)blur->n_ring * line;
    size_t n_products = (size_t)blur->x.n * (size_t)blur->y.n, n = 2 * ring + line + n_products;
    float *next = pst__scratch_reserve(work, (n + 3 * (size_t)blur->w) * sizeof *next);
    if (!next)
        return pst__fail(err, PST_ENOMEM, "no memory to blur %d x %d pixels", blur->w, blur->h);
    /* Between the planes the kernels read what nothing is made of: it should be numbers. */
    memset(next, 0, n * sizeof *next);
    blur->plane = (ptrdiff_t)plane;
    blur->line = (ptrdiff_t)line;
    blur->spread = next;
    blur->across = next + ring;
    blur->sum = next + 2 * ring;
    blur->product = next + 2 * ring + line;
    blur->place = (int32_t *)(void *)(next + n);
    for (int32_t i = 0; i < blur->y.n; i++) {
        for (int32_t j = 0; j < blur->x.n; j++)
            blur->product[(ptrdiff_t)i * blur->x.n + j] =
                blur->y.weight[i] * blur->x.weight[j] * SCALE;
    }
    return PST_OK;
}

static float *in_ring(const struct blur *blur, float *ring, int32_t y)
{
    return ring + (y % blur->n_ring) * blur->line;
}

/* Floats of a row of three channels from the first to the last of the image. */
static int width_of(const struct blur *blur)
{
    return (int)(2 * blur->plane + blur->w);
}

/* The row y of the image as floats, mirrored at both ends, and after the first pass. */
static void take_row(const struct blur *blur, const struct pst__image *src, int32_t y)
{
    float *spread = in_ring(blur, blur->spread, y);
    int32_t half = blur->half[0];
    blur->kernels->spread(spread + half, blur->plane, src->pixels + y * src->stride, blur->w);
    for (int c = 0; c < 3; c++) {
        float *first = spread + c * blur->plane + half, *last = first + blur->w - 1;
        for (int32_t k = 1; k <= half; k++) {
            first[-k] = first[k];
            last[k] = last[-k];
        }
    }
    if (blur->limit < 0)
        return;
    const float *row = spread + blur->px.first;
    blur->kernels->convolve(in_ring(blur, blur->across, y), &row, width_of(blur), blur->px.weight,
                            1, blur->px.n);
}

/* The rows that a bell of rows lies on about y. */
static void rows_about(const struct blur *blur, float *ring, const struct bell *bell, int32_t y,
                       int32_t column, const float **row)
{
    for (int32_t i = 0; i < bell->n; i++) {
        int32_t at = y - blur->half[1] + bell->first + i;
        at = at < 0 ? -at : at;
        at = at < blur->h ? at : 2 * (blur->h - 1) - at;
        row[i] = in_ring(blur, ring, at) + column;
    }
}

/* The long sum for the places of a row that need it, or for all of it when they are many. */
static void settle(const struct blur *blur, uint8_t *px, int32_t y, int n_places)
{
    const struct pst__kernels *kernels = blur->kernels;
    const float *row[MOST_TAPS];
    int32_t n_rows = blur->y.n, n_taps = blur->x.n;
    rows_about(blur, blur->spread, &blur->y, y, blur->x.first, row);
    if (n_places > width_of(blur) / LANES) {
        kernels->convolve(blur->sum, row, width_of(blur), blur->product, n_rows, n_taps);
        for (int x = 0; x < width_of(blur); x++)
            blur->sum[x] *= 1 / SCALE;
        kernels->round_sums(px, blur->sum, blur->plane, blur->w, 1, blur->place);
        return;
    }
    kernels->convolve_at(blur->sum, blur->place, n_places, row, blur->product, n_rows, n_taps);
    for (int k = 0; k < n_places; k++) {
        ptrdiff_t channel = blur->place[k] / blur->plane, x = blur->place[k] % blur->plane;
        px[4 * x + channel] = (uint8_t)rintf(blur->sum[k] * (1 / SCALE));
    }
}

static void make_row(const struct blur *blur, uint8_t *px, int32_t y)
{
    int n_places = width_of(blur); /* all of them */
    if (blur->limit >= 0) {
        const float *row[MOST_TAPS];
        rows_about(blur, blur->across, &blur->py, y, 0, row);
        blur->kernels->convolve(blur->sum, row, width_of(blur), blur->py.weight, blur->py.n, 1);
        n_places = blur->kernels->round_sums(px, blur->sum, blur->plane, blur->w, blur->limit,
                                             blur->place);
    }
    if (n_places > 0)
        settle(blur, px, y, n_places);
}

static int run(const struct pst__change *change, const struct pst__image *src,
               const struct pst__image *dst, struct pst__scratch *work, struct pst_error *err)
{
    struct blur blur = {.kernels = pst__kernels(), .w = change->w, .h = change->h};
    init_bells(&blur, change);
    int32_t rows = change->integer[1];
    blur.n_ring = rows < blur.h ? rows : blur.h;
    int rc = init_memory(&blur, work, err);
    if (rc < 0)
        return rc;
    for (int32_t y = 0, taken = 0; y < blur.h; y++) {
        for (; taken < blur.h && taken <= y + blur.half[1]; taken++)
            take_row(&blur, src, taken);
        make_row(&blur, dst->pixels + y * dst->stride, y);
    }
    return PST_OK;
}

static const struct pst__change_type type = {
    .name = "gaussian blur", .n_integers = 2, .n_numbers = 1, .run = run};

/* Written so that a NaN fails. */
static int is_bell(const float *weight, int32_t taps)
{
    double sum = 0;
    for (int32_t k = 0; k < taps; k++) {
        if (!(weight[k] >= 0 && weight[k] == weight[taps - 1 - k]))
            return 0;
        sum += (double)weight[k];
    }
    return sum > 0.9999 && sum < 1.0001;
}

static int check_size(int32_t w, int32_t h, int32_t image_w, int32_t image_h, struct pst_error *err)
{
    if (w / 2 >= image_w || h / 2 >= image_h)
        return pst__fail(err, PST_ELIMIT, "a kernel of %d x %d on an image of %d x %d", w, h,
                         image_w, image_h);
    return PST_OK;
}

int pst__fold_blur(struct pst__plan *plan, double sigma, const float *row, int32_t w,
                   const float *column, int32_t h, struct pst_error *err)
{
    struct pst__change change = {.type = &type, .integer = {w, h}, .number = {sigma}};
    float kept[PST_MAX_BLUR_WEIGHTS] = {0};
    PST_REQUIRE(pst__blur_kept(w, h) <= PST_MAX_BLUR_WEIGHTS, err, "a kernel of %d x %d", w, h);
    PST_REQUIRE(plan->channels == 3, err, "the blur of a grey image");
    PST_REQUIRE(is_bell(row, w) && is_bell(column, h), err,
                "the weights of a blur by %g are no bell", sigma);
    pst__fold_size(plan, &change.w, &change.h);
    int rc = check_size(w, h, change.w, change.h, err);
    if (rc < 0)
        return rc;
    memcpy(kept, row, (size_t)half_of(w) * sizeof *kept);
    if (w != h)
        memcpy(kept + half_of(w), column, (size_t)half_of(h) * sizeof *kept);
    memcpy(&change.number[1], kept, sizeof kept);
    return pst__fold_change(plan, &change, err);
}
