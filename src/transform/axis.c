/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/axis.h"

#include <math.h>
#include <string.h>

#include <penstock/transform.h>

/* The weights of Pillow's filters, and of torch's. Every operation is in double, in their order:
 * the coefficients are rounded from these values, and one of them off by one changes pixels. */

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double bilinear(double x)
{
    x = x < 0.0 ? -x : x;
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* The two constants are float32 in Pillow. */
static double hamming(double x)
{
    x = x < 0.0 ? -x : x;
    if (x == 0.0)
        return 1.0;
    if (x >= 1.0)
        return 0.0;
    x = x * M_PI;
    return sin(x) / x * ((double)0.54f + (double)0.46f * cos(x));
}

static double bicubic(double x)
{
    const double a = -0.5;
    x = x < 0.0 ? -x : x;
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double torch_bicubic(double x)
{
    const double a = -0.5;
    x = x < 0.0 ? -x : x;
    if (x < 1.0)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2.0)
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
    return 0.0;
}

static double sinc(double x)
{
    if (x == 0.0)
        return 1.0;
    x = x * M_PI;
    return sin(x) / x;
}

static double lanczos(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

#define OF_TENSOR(name) (PST_FILTER_OF_TENSOR | PST_FILTER_##name)

static const struct filter {
    double (*weight)(double x);
    double support;
} filters[] = {
    [PST_FILTER_NEAREST] = {NULL, 0.0},
    [PST_FILTER_LANCZOS] = {lanczos, 3.0},
    [PST_FILTER_BILINEAR] = {bilinear, 1.0},
    [PST_FILTER_BICUBIC] = {bicubic, 2.0},
    [PST_FILTER_BOX] = {box, 0.5},
    [PST_FILTER_HAMMING] = {hamming, 1.0},
    [OF_TENSOR(LANCZOS)] = {lanczos, 3.0},
    [OF_TENSOR(BILINEAR)] = {bilinear, 1.0},
    [OF_TENSOR(BICUBIC)] = {torch_bicubic, 2.0},
};

/* Constants of a whole axis. */
struct reach {
    const struct filter *filter;
    double scale, support, inverse;
};

static struct reach reach_of(const struct pst__axis *axis)
{
    struct reach reach = {.filter = &filters[axis->filter]};
    reach.scale = (double)axis->in / axis->out;
    double stretch = reach.scale < 1.0 ? 1.0 : reach.scale;
    reach.support = reach.filter->support * stretch;
    reach.inverse = 1.0 / stretch;
    return reach;
}

/* The inputs of output i: start..end-1. Both never decrease with i. */
static double window(const struct reach *reach, int32_t in, int32_t i, int32_t *start, int32_t *end)
{
    double center = 0.0 + (i + 0.5) * reach->scale;
    int32_t from = (int32_t)(center - reach->support + 0.5);
    int32_t to = (int32_t)(center + reach->support + 0.5);
    *start = from < 0 ? 0 : from;
    *end = to > in ? in : to;
    return center;
}

static void nearest_range(const struct pst__axis *axis, int32_t *start, int32_t *end)
{
    double step = (double)axis->in / axis->out;
    double at = 0.0 + step * 0.5;
    int32_t i = 0;
    for (; i < axis->first; i++)
        at += step;
    *start = (int32_t)at;
    for (; i < axis->first + axis->n - 1; i++)
        at += step;
    *end = (int32_t)at + 1;
}

void pst__axis_range(const struct pst__axis *axis, int32_t *start, int32_t *end)
{
    if (axis->filter == PST_FILTER_NEAREST) {
        nearest_range(axis, start, end);
        return;
    }
    struct reach reach = reach_of(axis);
    int32_t unused;
    window(&reach, axis->in, axis->first, start, &unused);
    window(&reach, axis->in, axis->first + axis->n - 1, &unused, end);
}

void pst__nearest(const struct pst__axis *axis, int32_t *inputs)
{
    double step = (double)axis->in / axis->out;
    double at = 0.0 + step * 0.5;
    for (int32_t i = 0; i < axis->first + axis->n; i++, at += step) {
        if (i >= axis->first)
            inputs[i - axis->first] = (int32_t)at;
    }
}

/* Weights of one output, divided by their sum. */
static void weigh(const struct reach *reach, double center, int32_t start, int32_t count,
                  double *weight)
{
    double sum = 0.0;
    for (int32_t k = 0; k < count; k++) {
        double w = reach->filter->weight((k + start - center + 0.5) * reach->inverse);
        weight[k] = w;
        sum += w;
    }
    if (sum != 0.0) {
        for (int32_t k = 0; k < count; k++)
            weight[k] /= sum;
    }
}

static int32_t fixed_point(double weight, int bits)
{
    double scaled = weight * (1 << bits);
    return (int32_t)(weight < 0 ? -0.5 + scaled : 0.5 + scaled);
}

/* Sizes: n <= PST_MAX_PLAN_SIDE and an output has at most as many taps as the axis has inputs, so
 * all products stay far below SIZE_MAX. */
static int32_t *reserve(struct pst__taps *taps, size_t n_coefs, struct pst__scratch *block)
{
    size_t pitch = (size_t)taps->pitch;
    return pst__scratch_reserve(block, (2 * pitch + n_coefs) * sizeof(int32_t));
}

static double largest_weight(const struct reach *reach, const struct pst__axis *axis, double *work)
{
    double largest = 0.0;
    for (int32_t i = 0; i < axis->out; i++) {
        int32_t start, end;
        double center = window(reach, axis->in, i, &start, &end);
        weigh(reach, center, start, end - start, work);
        for (int32_t k = 0; k < end - start; k++)
            largest = work[k] > largest ? work[k] : largest;
    }
    return largest;
}

/* The fraction bits of a coefficient. Torch takes as many as let the largest weight of the whole
 * axis stay below 2^15. A sum of 16-bit coefficients c with half a unit, shifted right by b bits,
 * is that of c * 2^(22 - b) with half of Pillow's unit, shifted by 22: so one kernel serves both.
 */
static int fraction_bits(const struct reach *reach, const struct pst__axis *axis, double *work)
{
    if (!(axis->filter & PST_FILTER_OF_TENSOR))
        return PST_TAP_BITS;
    double largest = largest_weight(reach, axis, work);
    int bits = 0;
    while (bits < PST_TAP_BITS && (int32_t)(0.5 + largest * (1 << (bits + 1))) < 1 << 15)
        bits++;
    return bits;
}

static int most_taps(const struct reach *reach, const struct pst__axis *axis)
{
    int most = 1;
    for (int32_t i = 0; i < axis->n; i++) {
        int32_t start, end;
        window(reach, axis->in, axis->first + i, &start, &end);
        if (end - start > most)
            most = end - start;
    }
    return most;
}

/* The room for one output: the largest weight is looked for in the whole axis. */
static size_t most_weights(const struct reach *reach, const struct pst__axis *axis, int ksize)
{
    struct pst__axis whole = {axis->in, axis->out, axis->filter, 0, axis->out};
    int is_torchs = axis->filter & PST_FILTER_OF_TENSOR;
    return (size_t)(is_torchs ? most_taps(reach, &whole) : ksize);
}

/* The arrays of taps, of which n, pitch and ksize are known. */
static void fill(const struct pst__taps *taps, const struct pst__axis *axis,
                 enum pst__taps_layout layout, const struct reach *reach, int32_t *starts,
                 double *weight)
{
    int is_columns = layout == PST_TAPS_COLUMNS;
    size_t next_tap = is_columns ? (size_t)taps->pitch : 1;
    size_t next_output = is_columns ? 1 : (size_t)taps->ksize;
    int32_t *counts = starts + taps->pitch;
    int32_t *coefs = counts + taps->pitch;
    int bits = fraction_bits(reach, axis, weight);
    int32_t base = 0;
    for (int32_t i = 0; i < axis->n; i++) {
        int32_t start, end;
        double center = window(reach, axis->in, axis->first + i, &start, &end);
        if (i == 0)
            base = start;
        weigh(reach, center, start, end - start, weight);
        for (int32_t k = 0; k < end - start; k++)
            coefs[(size_t)k * next_tap + (size_t)i * next_output] =
                fixed_point(weight[k], bits) * (1 << (PST_TAP_BITS - bits));
        starts[i] = start - base;
        counts[i] = end - start;
    }
    for (int32_t i = axis->n; i < taps->pitch; i++) {
        starts[i] = starts[axis->n - 1];
        counts[i] = 0;
    }
}

int pst__taps_build(struct pst__taps *taps, const struct pst__axis *axis,
                    enum pst__taps_layout layout, struct pst__scratch *block,
                    struct pst__scratch *work)
{
    struct reach reach = reach_of(axis);
    taps->n = axis->n;
    taps->pitch = (axis->n + PST_TAP_LANES - 1) / PST_TAP_LANES * PST_TAP_LANES;
    taps->ksize = most_taps(&reach, axis);
    size_t outputs = (size_t)(layout == PST_TAPS_COLUMNS ? taps->pitch : taps->n);
    size_t n_coefs = outputs * (size_t)taps->ksize;
    int32_t *starts = reserve(taps, n_coefs, block);
    size_t n_weights = most_weights(&reach, axis, taps->ksize);
    double *weight = pst__scratch_reserve(work, n_weights * sizeof *weight);
    if (!starts || !weight)
        return 0;
    taps->start = starts;
    taps->count = starts + taps->pitch;
    taps->coef = starts + 2 * (ptrdiff_t)taps->pitch;
    memset(starts + 2 * (ptrdiff_t)taps->pitch, 0, n_coefs * sizeof *starts);
    fill(taps, axis, layout, &reach, starts, weight);
    return 1;
}
