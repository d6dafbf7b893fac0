/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_KERNELS_CHECK_NORMAL_PAIRS_H
#define PST_TESTS_KERNELS_CHECK_NORMAL_PAIRS_H

#include <string.h>

#include "kernels/check_memory.h"
#include "kernels/scalar.h"

/* The first normals of a tensor that is not contiguous, torch.empty(2, 4).t().normal_() with a
 * generator of seed 5, of torch 2.13: the words, and the bits. */
static const uint32_t pair_words[16] = {953453411,   236996814,  3739766767u, 3570525885u,
                                        887852006,   1562238070, 3945403792u, 4206684233u,
                                        2097710088,  385778404,  2627419879u, 1703970750,
                                        3289549211u, 1521011312, 2226588318u, 2090094288};
static const uint32_t pair_bits[8] = {0xbef93b54, 0xbf1a940d, 0xbf0edf65, 0x3f2ae2df,
                                      0xbe4a272f, 0x3ff8ad21, 0xbfb36af9, 0xbf4336f2};

static void check_known_pairs(const struct pst__kernels *kernels)
{
    float values[8];
    kernels->normal_pairs(values, pair_words, 8);
    CHECK(memcmp(values, pair_bits, sizeof values) == 0);
}

/* Words at the ends of what a double takes of two, and at the quarters of a circle and around them,
 * among others. */
static uint32_t pair_word(int is_high)
{
    static const uint32_t highs[] = {0,       1,        0x1fffff, 0x80000, 0x7ffff,    0x100000,
                                     0xfffff, 0x180000, 0x17ffff, 0x40000, 0xffe00000u};
    static const uint32_t lows[] = {0, 1, 2, 3, 0xffffffffu, 0xfffffffeu, 0x80000000u};
    if (draw() % 4 != 0)
        return draw() * 2654435761u;
    return is_high ? highs[draw() % PST_COUNTOF(highs)] : lows[draw() % PST_COUNTOF(lows)];
}

/* Around two thousand normals for each n, so that there are some millions of them. */
static void check_normal_pairs(const struct pst__kernels *kernels, int n)
{
    size_t bytes = (size_t)n * 2 * sizeof(float), at = (size_t)between(0, 16) * sizeof(float);
    struct fenced src;
    struct field dst;
    fenced_new(&src, 2 * bytes, 1);
    field_new(&dst, at + bytes + 70);
    field_allow(&dst, at, bytes);
    uint32_t *words = (uint32_t *)(void *)src.data;
    float *expected = malloc(bytes), *got = (float *)(void *)(dst.data + at);
    for (int k = 0; k <= 1024 / n; k++) {
        for (int i = 0; i < 4 * n; i++)
            words[i] = pair_word(i % 2 == 0);
        pst__normal_pairs_scalar(expected, words, (size_t)n * 2);
        kernels->normal_pairs(got, words, (size_t)n * 2);
        for (int i = 0; i < 2 * n; i++)
            if (memcmp(&got[i], &expected[i], sizeof *got) != 0)
                differ("normal_pairs", kernels->name, n, i, (int)(got[i] * 1e6f),
                       (int)(expected[i] * 1e6f));
    }
    field_check(&dst, "normal_pairs");
    field_free(&dst);
    fenced_free(&src);
    free(expected);
}

#endif
