/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_KERNELS_CHECK_NORMAL_H
#define PST_TESTS_KERNELS_CHECK_NORMAL_H

#include <string.h>

#include "kernels/check_memory.h"
#include "kernels/scalar.h"

/* torch.empty(16).normal_(generator=torch.Generator().manual_seed(5)) of torch 2.13 with AVX2: the
 * words, and the bits. */
static const uint32_t normal_words[16] = {
    953453411,  236996814, 1592283119, 1423042237, 887852006,  1562238070, 1797920144, 2059200585,
    2097710088, 385778404, 479936231,  1703970750, 1142065563, 1521011312, 79104670,   2090094288};
static const uint32_t normal_bits[16] = {
    0x3febd177, 0x3f04d5ca, 0xbfdb203d, 0xbfd9c6cc, 0x40013e2b, 0xbe8987d5, 0xbe05dacf, 0xbfb7fd2d,
    0x3ec812c6, 0xbc9b6247, 0xbfad24dc, 0xbf3b16e0, 0x3f7ce879, 0xbed6bca3, 0xbf15bbbc, 0xbf48471d};

static void check_known_normals(const struct pst__kernels *kernels)
{
    float values[16];
    kernels->normal(values, normal_words, 16);
    CHECK(memcmp(values, normal_bits, sizeof values) == 0);
}

/* Words at the ends of what a float takes of them, among others. */
static uint32_t draw_word(void)
{
    static const uint32_t specials[] = {
        0, 1, 2, 0xffffff, 0xfffffe, 0x800000, 0x7fffff, 0x400000, 0xc00000, 0xffffffffu, 0x4afb0d};
    return draw() % 8 == 0 ? specials[draw() % PST_COUNTOF(specials)] : draw() * 2654435761u;
}

static void check_normal(const struct pst__kernels *kernels, int n)
{
    size_t bytes = (size_t)n * 16 * sizeof(float), at = (size_t)between(0, 16) * sizeof(float);
    struct fenced src;
    struct field dst;
    fenced_new(&src, bytes, 1);
    field_new(&dst, at + bytes + 70);
    field_allow(&dst, at, bytes);
    uint32_t *words = (uint32_t *)(void *)src.data;
    float *expected = malloc(bytes), *got = (float *)(void *)(dst.data + at);
    for (int i = 0; i < 16 * n; i++)
        words[i] = draw_word();
    pst__normal_scalar(expected, words, (size_t)n * 16);
    kernels->normal(got, words, (size_t)n * 16);
    for (int i = 0; i < 16 * n; i++)
        if (memcmp(&got[i], &expected[i], sizeof *got) != 0)
            differ("normal", kernels->name, n, i, (int)(got[i] * 1e6f), (int)(expected[i] * 1e6f));
    field_check(&dst, "normal");
    field_free(&dst);
    fenced_free(&src);
    free(expected);
}

#endif
