/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/draw.h"

#include <float.h>
#include <math.h>

#include "kernels/kernels.h"

/* float32 has 24 bits of mantissa; torch takes as many from a word. */
#define UNIFORM_BITS 24
#define UNIFORM_MASK ((1u << UNIFORM_BITS) - 1)

/* torch takes the width of the range in float32, multiplies and adds in double, and rounds once. */
float pst__uniform(uint32_t word, float a, float b)
{
    float width = b - a;
    double unit = (double)(word & UNIFORM_MASK) * (1.0 / (1u << UNIFORM_BITS));
    return (float)(unit * (double)width + (double)a);
}

static uint32_t next(struct pst__draws *draws)
{
    size_t i = draws->used++;
    return draws->mt ? pst__mt_next(draws->mt) : draws->words[i];
}

float pst__draw_uniform(struct pst__draws *draws, float a, float b)
{
    return pst__uniform(next(draws), a, b);
}

float pst__draw_exp(struct pst__draws *draws, int range)
{
    return draws->exps[range][draws->used++];
}

float pst__draw_sigma(struct pst__draws *draws, float a, float b, size_t *at)
{
    *at = draws->used;
    return pst__draw_uniform(draws, a, b);
}

int32_t pst__draw_below(struct pst__draws *draws, int32_t n)
{
    return (int32_t)(next(draws) % (uint32_t)n);
}

void pst__draw_order(struct pst__draws *draws, int32_t *order, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        order[i] = i;
    for (int32_t i = 0; i < n - 1; i++) {
        int32_t k = i + pst__draw_below(draws, n - i), swapped = order[k];
        order[k] = order[i];
        order[i] = swapped;
    }
}

/* A uniform number in double: two words. */
static double uniform53(struct pst__draws *draws)
{
    uint64_t high = next(draws);
    uint64_t bits = (high << 32 | next(draws)) & ((UINT64_C(1) << 53) - 1);
    return (double)bits * 0x1p-53;
}

/* Tensor.exponential_() in float32: log1p in double, which is the C library's in torch, too. */
static float exponential(struct pst__draws *draws)
{
    return (float)-log1p(-uniform53(draws));
}

int32_t pst__draw_choice(struct pst__draws *draws, const double *p, int32_t n)
{
    int32_t choice = 0;
    float most = 0;
    for (int32_t k = 0; k < n; k++) {
        float value = (float)p[k] / exponential(draws);
        /* argmax() takes a NaN (0 / 0) for the largest. */
        if (k == 0 || value > most || (isnan(value) && !isnan(most))) {
            choice = k;
            most = value;
        }
    }
    return choice;
}

static uint32_t next_of_python(struct pst__draws *draws)
{
    draws->python_used++;
    return pst__mt_next(draws->python);
}

double pst__draw_python_unit(struct pst__draws *draws)
{
    uint32_t high = next_of_python(draws) >> 5, low = next_of_python(draws) >> 6;
    return (high * 67108864.0 + low) * 0x1p-53;
}

/* Of as many bits as n has, until they are less. */
int32_t pst__draw_python_below(struct pst__draws *draws, int32_t n)
{
    int shift = __builtin_clz((uint32_t)n);
    uint32_t value;
    do
        value = next_of_python(draws) >> shift;
    while (value >= (uint32_t)n);
    return (int32_t)value;
}

void pst__draw_python_order(struct pst__draws *draws, int32_t *order, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        order[i] = i;
    for (int32_t i = n - 1; i > 0; i--) {
        int32_t k = pst__draw_python_below(draws, i + 1), swapped = order[k];
        order[k] = order[i];
        order[i] = swapped;
    }
}

/* One of a pair, of which the generator keeps the other. */
static double normal(struct pst__draws *draws, double *kept)
{
    double last = *kept, pair[2];
    uint32_t words[4];
    *kept = NAN;
    if (!isnan(last))
        return last;
    for (int i = 0; i < 4; i++)
        words[i] = next(draws);
    pst__normal_pair(pair, words);
    *kept = pair[1];
    return pair[0];
}

void pst__draw_past(struct pst__draws *draws, size_t n)
{
    double none = NAN, *kept = draws->normal ? draws->normal : &none;
    if (n > 0 && !isnan(*kept)) {
        *kept = NAN;
        n--;
    }
    pst__draw_skip(draws, n / 2 * 4);
    if (n % 2)
        normal(draws, kept);
}

/* sample_gamma() of ATen (Marsaglia and Tsang 2000), with its constants in float32. Words for a try
 * are there up to `limit`: behind it what was tried last is taken. That it is reached has a chance
 * of less than 10^-70, but for generators whose state is not one of a seed. */
static double gamma_of(struct pst__draws *draws, double *kept, double alpha, size_t limit)
{
    enum { TRY = 6 };
    double scale = 1.0;
    if (alpha < 1.0) {
        scale = pow(1 - uniform53(draws), 1.0 / alpha);
        alpha += 1.0;
    }
    const double d = alpha - (double)(1.0f / 3.0f), c = 1.0 / sqrt(9.0 * d);
    for (;;) {
        double x = normal(draws, kept), y = 1.0 + c * x;
        int is_last = draws->used + 2 * TRY > limit;
        if (y <= 0 && !is_last)
            continue;
        double v = y * y * y, u = 1 - uniform53(draws), xx = x * x;
        if (u < 1.0 - (double)0.0331f * xx * xx || log(u) < 0.5 * xx + d * (1.0 - v + log(v)) ||
            is_last)
            return scale * d * v;
    }
}

/* Gammas divided by their sum, in double. Up to four torch adds up one after the other. A gamma
 * takes eight words at least, which are left for those that follow it. */
void pst__draw_dirichlet(struct pst__draws *draws, double *kept, float alpha, int n, size_t words,
                         float *share)
{
    enum { LEAST = 8 };
    double gamma[PST_MOST_SHARES], sum = 0;
    size_t limit = draws->used + words;
    for (int k = 0; k < n; k++) {
        size_t rest = (size_t)LEAST * (size_t)(n - 1 - k);
        gamma[k] = fmax(gamma_of(draws, kept, (double)alpha, limit - rest), DBL_MIN);
        sum += gamma[k];
    }
    for (int k = 0; k < n; k++)
        share[k] = fminf(fmaxf((float)(gamma[k] / sum), FLT_MIN), 0x1.fffffep-1f);
}

/* Of two equal concentrations the first component. */
float pst__draw_beta(struct pst__draws *draws, double *kept, float alpha)
{
    float share[2];
    pst__draw_dirichlet(draws, kept, alpha, 2, PST_BETA_WORDS, share);
    return share[0];
}

int pst__draw_chance(struct pst__draws *draws, uint32_t threshold)
{
    return (next(draws) & UNIFORM_MASK) < threshold;
}

void pst__draw_skip(struct pst__draws *draws, size_t n)
{
    pst__mt_skip(draws->mt, n);
    draws->used += n;
}

static void sides_of(double target, double aspect, double side[2])
{
    side[0] = rint(sqrt(target * aspect));
    side[1] = rint(sqrt(target / aspect));
}

/* How far torch's exp may be from the exact one, relative. The package tries a million arguments of
 * a range, and takes a quarter of it at most. */
#define EXP_ERROR 0x1p-21

/* The sides that any exponential this near gives: they are monotonous in it. */
static void sides_near(struct pst__draws *draws, double target, const struct pst__range *range,
                       double side[2])
{
    double aspect = exp((double)pst__draw_uniform(draws, range->low, range->high)), other[2];
    sides_of(target, aspect * (1 - EXP_ERROR), side);
    sides_of(target, aspect * (1 + EXP_ERROR), other);
    draws->is_uncertain |= side[0] != other[0] || side[1] != other[1];
}

/* Python's float arithmetic is double, its round() goes to even as rint() does. */
void pst__draw_sides(struct pst__draws *draws, const double scale[2], int exp_range, int32_t w,
                     int32_t h, double side[2])
{
    double area = (double)((int64_t)w * h);
    double target = area * (double)pst__draw_uniform(draws, (float)scale[0], (float)scale[1]);
    if (draws->mt)
        sides_near(draws, target, &draws->range[exp_range], side);
    else
        sides_of(target, (double)pst__draw_exp(draws, exp_range), side);
}

/* A bell about the middle, of which the weights add up to 1. */
static void weigh(float *weight, int32_t taps)
{
    double sigma = (double)weight[0], middle = (taps - 1) * 0.5, sum = 0;
    for (int32_t k = 0; k < taps; k++) {
        double x = (k - middle) / sigma;
        sum += exp(-0.5 * x * x);
    }
    for (int32_t k = 0; k < taps; k++) {
        double x = (k - middle) / sigma;
        weight[k] = (float)(exp(-0.5 * x * x) / sum);
    }
}

size_t pst__range_width(const struct pst__range *range)
{
    return range->taps > 0 ? (size_t)range->taps : 1;
}

void pst__range_compute(const struct pst__range *range, float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (range->taps > 0)
            weigh(values + i * (size_t)range->taps, range->taps);
        else
            values[i] = (float)exp((double)values[i]);
    }
}
