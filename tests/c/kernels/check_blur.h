/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_KERNELS_CHECK_BLUR_H
#define PST_TESTS_KERNELS_CHECK_BLUR_H

#include <math.h>

#include "kernels/check_memory.h"
#include "kernels/kernels.h"

#define MOST_BLUR_ROWS 9

/* Rows that a convolution reads, each between fences of its own, and its weights. */
struct blurred {
    int n, n_rows, n_taps;
    struct fenced memory[MOST_BLUR_ROWS], weights;
    const float *row[MOST_BLUR_ROWS];
    const float *weight;
};

/* Values of all sizes in turn, so that the order of a sum shows. */
static void draw_sums(uint8_t *p, int n)
{
    for (int i = 0; i < n; i++) {
        float value = ldexpf((float)(draw() >> 8), between(-40, -16));
        if (draw() % 8 == 0)
            value = 0;
        memcpy(p + (ptrdiff_t)i * 4, &value, sizeof value);
    }
}

static void blurred_new(struct blurred *b, int n, int room)
{
    b->n = n;
    b->n_rows = between(1, MOST_BLUR_ROWS);
    b->n_taps = between(1, draw() % 4 ? 5 : 31);
    int length = n + b->n_taps - 1;
    for (int i = 0; i < b->n_rows; i++) {
        fenced_new(&b->memory[i], (size_t)length * 4 + (size_t)room, 1);
        draw_sums(b->memory[i].data, length);
        b->row[i] = (const float *)(const void *)b->memory[i].data;
    }
    fenced_new(&b->weights, (size_t)(b->n_rows * b->n_taps) * 4, 1);
    draw_sums(b->weights.data, b->n_rows * b->n_taps);
    b->weight = (const float *)(const void *)b->weights.data;
}

static void blurred_free(struct blurred *b)
{
    for (int i = 0; i < b->n_rows; i++)
        fenced_free(&b->memory[i]);
    fenced_free(&b->weights);
}

/* Of row and weights, one after the other. */
static float chain(const struct blurred *b, int x)
{
    float sum = 0;
    for (int k = 0; k < b->n_rows * b->n_taps; k++)
        sum = fmaf(b->row[k / b->n_taps][x + k % b->n_taps], b->weight[k], sum);
    return sum;
}

static void differ_sum(const struct pst__kernels *kernels, const char *what, int n, int at,
                       float got, float expected)
{
    check_fail(__FILE__, __LINE__, "%s (%s), n = %d: sum %d is %a, expected %a", what,
               kernels->name, n, at, (double)got, (double)expected);
}

static void check_convolve(const struct pst__kernels *kernels, int n)
{
    struct blurred b;
    struct field dst;
    blurred_new(&b, n, PST_PAD);
    size_t room = (size_t)(n + 15) / 16 * 16 * 4, at = (size_t)between(0, 30) * 4;
    field_new(&dst, at + room + 200);
    field_allow(&dst, at, room);
    kernels->convolve((float *)(void *)(dst.data + at), b.row, n, b.weight, b.n_rows, b.n_taps);
    for (int x = 0; x < n; x++) {
        float got, expected = chain(&b, x);
        memcpy(&got, dst.data + at + (size_t)x * 4, sizeof got);
        if (memcmp(&got, &expected, sizeof got) != 0)
            differ_sum(kernels, "convolve", n, x, got, expected);
    }
    field_check(&dst, "convolve");
    field_free(&dst);
    blurred_free(&b);
}

static void check_convolve_at(const struct pst__kernels *kernels, int n)
{
    struct blurred b;
    struct fenced places;
    struct field dst;
    int n_places = between(0, 40);
    blurred_new(&b, n, 0);
    fenced_new(&places, (size_t)n_places * 4 + 4, 1);
    int32_t *place = (int32_t *)(void *)(places.data + 4);
    for (int k = 0; k < n_places; k++)
        place[k] = between(0, n - 1);
    field_new(&dst, (size_t)n_places * 4 + 200);
    field_allow(&dst, 100, (size_t)n_places * 4);
    kernels->convolve_at((float *)(void *)(dst.data + 100), place, n_places, b.row, b.weight,
                         b.n_rows, b.n_taps);
    for (int k = 0; k < n_places; k++) {
        float got, expected = chain(&b, place[k]);
        memcpy(&got, dst.data + 100 + (size_t)k * 4, sizeof got);
        if (memcmp(&got, &expected, sizeof got) != 0)
            differ_sum(kernels, "convolve_at", n, place[k], got, expected);
    }
    field_check(&dst, "convolve_at");
    field_free(&dst);
    fenced_free(&places);
    blurred_free(&b);
}

/* Sums near a half, on it, and anywhere. */
static float draw_sum(void)
{
    float value = (float)between(0, 254) + 0.5f;
    if (draw() % 4 == 0)
        return value;
    return draw() % 2 ? value + (float)between(-2000, 2000) * 0x1p-17f
                      : (float)(draw() % 255000) / 1000.0f;
}

/* How often a place is listed. */
static int listed(const int32_t *place, int n, int32_t wanted)
{
    int times = 0;
    for (int k = 0; k < n; k++)
        times += place[k] == wanted;
    return times;
}

static void check_round_sums(const struct pst__kernels *kernels, int n)
{
    int plane = n + between(0, 9);
    float limit = draw() % 8 ? 0.5f - (float)between(0, 1000) * 0x1p-16f : 0.5f;
    size_t sums = (size_t)(2 * plane + n), pixels = (size_t)n * 4;
    struct fenced src;
    struct field dst, list;
    fenced_new(&src, sums * 4, 1);
    float *sum = (float *)(void *)src.data;
    for (size_t i = 0; i < sums; i++)
        sum[i] = draw_sum();
    field_new(&dst, pixels + 200);
    field_allow(&dst, 100, pixels);
    field_new(&list, 3 * pixels + 200);
    int32_t *place = (int32_t *)(void *)(list.data + 100);
    int n_places = kernels->round_sums(dst.data + 100, sum, plane, n, limit, place);
    CHECK(n_places >= 0 && n_places <= 3 * n);
    field_allow(&list, 100, (size_t)n_places * 4);
    for (int i = 0, n_far = 0; i < 3 * n; i++) {
        int c = i / n, x = i % n;
        float value = sum[c * plane + x];
        int got = dst.data[100 + 4 * x + c], whole = (int)nearbyintf(value);
        if (got != whole)
            differ("round_sums", kernels->name, n, 4 * x + c, got, whole);
        int is_far = fabs((double)value - whole) > (double)limit;
        n_far += is_far;
        /* The many are counted, and some of them looked for. */
        if (is_far && (n <= 64 || draw() % 64 == 0))
            CHECK_INT(listed(place, n_places, c * plane + x), 1);
        if (i == 3 * n - 1)
            CHECK_INT(n_places, n_far);
    }
    field_check(&dst, "round_sums");
    field_check(&list, "round_sums");
    field_free(&list);
    field_free(&dst);
    fenced_free(&src);
}

static void check_spread(const struct pst__kernels *kernels, int n)
{
    int plane = n + between(0, 9);
    struct fenced src;
    struct field dst;
    fenced_new(&src, (size_t)n * 4, draw() % 4 != 0);
    field_new(&dst, (size_t)(2 * plane + n) * 4 + 200);
    for (int c = 0; c < 3; c++)
        field_allow(&dst, 100 + (size_t)(c * plane) * 4, (size_t)n * 4);
    kernels->spread((float *)(void *)(dst.data + 100), plane, src.data, n);
    for (int i = 0; i < 3 * n; i++) {
        int c = i / n, x = i % n;
        float got;
        memcpy(&got, dst.data + 100 + (ptrdiff_t)(c * plane + x) * 4, sizeof got);
        if (got != (float)src.data[4 * x + c])
            differ("spread", kernels->name, n, 4 * x + c, (int)got, src.data[4 * x + c]);
    }
    field_check(&dst, "spread");
    field_free(&dst);
    fenced_free(&src);
}

#endif
