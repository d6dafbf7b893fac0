/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_KERNELS_TAPS_H
#define PST_TESTS_KERNELS_TAPS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "kernels/kernels.h"

/* Taps of a whole axis, for the checker and the benchmarks of the kernels. */

struct test_taps {
    struct pst__taps taps;
    int32_t *start, *count, *coef;
};

static inline void test_taps_new(struct test_taps *t, int n, int ksize)
{
    int pitch = (n + PST_TAP_LANES - 1) / PST_TAP_LANES * PST_TAP_LANES;
    t->start = calloc((size_t)pitch, sizeof *t->start);
    t->count = calloc((size_t)pitch, sizeof *t->count);
    t->coef = calloc((size_t)pitch * (size_t)ksize, sizeof *t->coef);
    if (!t->start || !t->count || !t->coef)
        abort();
    t->taps = (struct pst__taps){n, pitch, ksize, t->start, t->count, t->coef};
}

static inline void test_taps_free(struct test_taps *t)
{
    free(t->start);
    free(t->count);
    free(t->coef);
}

static inline void test_taps_pad(struct test_taps *t)
{
    for (int i = t->taps.n; i < t->taps.pitch; i++)
        t->start[i] = t->start[t->taps.n - 1];
}

enum test_filter { TEST_BILINEAR, TEST_BICUBIC, TEST_LANCZOS, TEST_N_FILTERS };

static inline double test_sinc(double x)
{
    return x == 0 ? 1 : sin(x * M_PI) / (x * M_PI);
}

static inline double test_filter_value(enum test_filter filter, double x)
{
    x = fabs(x);
    switch (filter) {
    case TEST_BILINEAR:
        return x < 1 ? 1 - x : 0;
    case TEST_BICUBIC:
        return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((x - 5) * x + 8) * x * -0.5 + 2 : 0;
    default:
        return x < 3 ? test_sinc(x) * test_sinc(x / 3) : 0;
    }
}

/* Outputs first .. first + n - 1 of an axis resized from in to out. start counts from the axis'
 * begin. */
static inline void test_taps_resize(struct test_taps *t, enum test_filter filter, int in, int out,
                                    int first, int n)
{
    double scale = (double)in / out, stretch = scale < 1 ? 1 : scale;
    double support = (filter + 1) * stretch;
    int most = (int)ceil(support) * 2 + 1;
    double *weight = malloc((size_t)most * sizeof *weight);
    if (!weight)
        abort();
    test_taps_new(t, n, most);
    t->taps.ksize = 0;
    for (int i = 0; i < n; i++) {
        double center = (first + i + 0.5) * scale, sum = 0;
        int from = (int)(center - support + 0.5), to = (int)(center + support + 0.5);
        from = from < 0 ? 0 : from;
        to = to > in ? in : to;
        for (int k = from; k < to; k++)
            sum += weight[k - from] = test_filter_value(filter, (k - center + 0.5) / stretch);
        for (int k = from; k < to; k++) {
            double v = weight[k - from] / sum * (1 << PST_TAP_BITS);
            t->coef[(k - from) * t->taps.pitch + i] = (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
        }
        t->start[i] = from;
        t->count[i] = to - from;
        if (to - from > t->taps.ksize)
            t->taps.ksize = to - from;
    }
    test_taps_pad(t);
    free(weight);
}

#endif
