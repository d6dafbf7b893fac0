/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/noise.h"

#include <math.h>

#include "base/status.h"
#include "transform/draw.h"
#include "transform/ops.h"

/* Normals as they are drawn at a time: a multiple of 16, and of pixels of three channels. */
#define BLOCK 3072

/* A sample at work, and room for a block of it. */
struct noise {
    const struct pst__kernels *kernels;
    const struct pst_op *op;
    int is_noisy, channels, is_planar;
    size_t pixels; /* of the sample */
    float *sample;
    float *drawn;    /* normals in the order of the draws, with one more at the end */
    float *together; /* those of one channel */
    float *values;   /* of one channel of pixels that lie together */
    uint32_t *words;
};

static void gather(float *to, const float *from, size_t step, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = from[i * step];
}

static void arith(const struct noise *noise, float *to, size_t n, enum pst__arith op, double number)
{
    const float scalar = (float)number;
    noise->kernels->arith_f32((uint8_t *)to, (const uint8_t *)to, n, op, &scalar, 1);
}

/* n values of channel c. Each operation is rounded by itself, in torch's order. */
static void change(const struct noise *noise, float *values, float *normals, size_t n, int c)
{
    const struct pst_op *op = noise->op;
    if (noise->is_noisy) {
        arith(noise, normals, n, PST_ARITH_MULTIPLY, op->number[1]);
        arith(noise, normals, n, PST_ARITH_ADD, op->number[0]);
        noise->kernels->arith_f32((uint8_t *)values, (const uint8_t *)values, n, PST_ARITH_ADD,
                                  normals, 0);
    }
    for (size_t i = 0; i < n && noise->is_noisy && op->count & PST_NOISE_CLIPPED; i++) {
        float above = values[i] < 0.0f ? 0.0f : values[i];
        values[i] = above > 1.0f ? 1.0f : above;
    }
    if (op->n_table > 0) {
        arith(noise, values, n, PST_ARITH_SUBTRACT, op->table[c]);
        arith(noise, values, n, PST_ARITH_DIVIDE, op->table[3 + c]);
    }
}

/* Pixels first .. first + n - 1 of channel c, whose normals are `step` apart. */
static void change_run(const struct noise *noise, size_t first, size_t n, int c,
                       const float *normals, size_t step)
{
    size_t pixel = noise->is_planar ? 1 : (size_t)noise->channels;
    float *own = noise->sample + (noise->is_planar ? (size_t)c * noise->pixels : (size_t)c);
    own += first * pixel;
    if (noise->is_noisy)
        gather(noise->together, normals, step, n);
    if (pixel == 1) {
        change(noise, own, noise->together, n, c);
        return;
    }
    gather(noise->values, own, pixel, n);
    change(noise, noise->values, noise->together, n, c);
    for (size_t i = 0; i < n; i++)
        own[i * pixel] = noise->values[i];
}

/* Numbers first .. first + n - 1 in the order of the draws. */
static void change_block(const struct noise *noise, size_t first, size_t n, const float *normals)
{
    size_t channels = (size_t)noise->channels;
    if (noise->op->count & PST_NOISE_ONE_BY_ONE) { /* whole pixels */
        for (size_t c = 0; c < channels; c++)
            change_run(noise, first / channels, n / channels, (int)c, normals + c, channels);
        return;
    }
    while (n > 0) {
        size_t at = first % noise->pixels, left = noise->pixels - at;
        size_t some = n < left ? n : left;
        change_run(noise, at, some, (int)(first / noise->pixels), normals, 1);
        first += some;
        normals += some;
        n -= some;
    }
}

/* A normal that was kept comes first; of a pair that is not whole the second is kept. */
static void one_by_one(const struct noise *noise, struct pst__mt *mt, double kept, size_t total)
{
    float carried = (float)(kept + 0.0);
    size_t n_carried = !isnan(kept);
    for (size_t first = 0; first < total; first += BLOCK) {
        size_t n = total - first < BLOCK ? total - first : BLOCK;
        size_t drawn = n - n_carried + ((n - n_carried) & 1);
        noise->drawn[0] = carried;
        pst__mt_fill(mt, noise->words, 2 * drawn);
        noise->kernels->normal_pairs(noise->drawn + n_carried, noise->words, drawn);
        n_carried = n_carried + drawn - n;
        if (n_carried > 0)
            carried = noise->drawn[n];
        change_block(noise, first, n, noise->drawn);
    }
}

/* 16 of 16 words, and where that leaves some over the last 16 of all are drawn anew. */
static void filled(const struct noise *noise, struct pst__mt *mt, size_t total)
{
    size_t whole = total - total % 16, last = total % 16 ? total - 16 : total;
    for (size_t first = 0; first < whole; first += BLOCK) {
        size_t n = whole - first < BLOCK ? whole - first : BLOCK;
        pst__mt_fill(mt, noise->words, n);
        noise->kernels->normal(noise->drawn, noise->words, n);
        change_block(noise, first, first + n > last ? last - first : n, noise->drawn);
    }
    if (last == total)
        return;
    pst__mt_skip(mt, total % 16); /* a word for each number, before these */
    pst__mt_fill(mt, noise->words, 16);
    noise->kernels->normal(noise->drawn, noise->words, 16);
    change_block(noise, last, 16, noise->drawn);
}

int pst__add_noise(const struct pst_transform *transform, const struct pst__plan *plan,
                   float *sample, struct pst__scratch *work, struct pst_error *err)
{
    struct noise noise = {
        .kernels = pst__kernels(),
        .op = &transform->noise->op,
        .is_noisy = plan->is_noisy,
        .channels = transform->channels,
        .is_planar = transform->output.layout == PST_LAYOUT_CHW || transform->channels == 1,
        .pixels = (size_t)plan->out_w * (size_t)plan->out_h,
        .sample = sample,
    };
    size_t total = noise.pixels * (size_t)noise.channels;
    noise.drawn = pst__scratch_reserve(work, (3 * (BLOCK + 2) + 2 * (BLOCK + 2)) * sizeof(float));
    if (!noise.drawn)
        return pst__fail(err, PST_ENOMEM, "no memory for %d normals", BLOCK);
    noise.together = noise.drawn + BLOCK + 2;
    noise.values = noise.together + BLOCK + 2;
    noise.words = (uint32_t *)(void *)(noise.values + BLOCK + 2);
    struct pst__mt mt = plan->normals;
    if (!plan->is_noisy && noise.op->n_table > 0)
        for (size_t first = 0; first < total; first += BLOCK)
            change_block(&noise, first, total - first < BLOCK ? total - first : BLOCK, noise.drawn);
    else if (plan->is_noisy && noise.op->count & PST_NOISE_ONE_BY_ONE)
        one_by_one(&noise, &mt, plan->normal, total);
    else if (plan->is_noisy)
        filled(&noise, &mt, total);
    return PST_OK;
}
