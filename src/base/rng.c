/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"

#define MT_M 397

void pst__mt_seed(struct pst__mt *mt, uint32_t seed)
{
    mt->state[0] = seed;
    for (uint32_t i = 1; i < PST_MT_N; i++) {
        uint32_t prev = mt->state[i - 1];
        mt->state[i] = 1812433253u * (prev ^ prev >> 30) + i;
    }
    mt->given = PST_MT_N;
}

void pst__mt_seed_words(struct pst__mt *mt, uint64_t seed)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t n = key[1] ? 2 : 1, *s = mt->state;
    pst__mt_seed(mt, 19650218u);
    uint32_t i = 1, j = 0;
    for (int k = 0; k < PST_MT_N; k++) {
        s[i] = (s[i] ^ (s[i - 1] ^ s[i - 1] >> 30) * 1664525u) + key[j] + j;
        j = (j + 1) % n;
        if (++i == PST_MT_N) {
            s[0] = s[PST_MT_N - 1];
            i = 1;
        }
    }
    for (int k = 0; k < PST_MT_N - 1; k++) {
        s[i] = (s[i] ^ (s[i - 1] ^ s[i - 1] >> 30) * 1566083941u) - i;
        if (++i == PST_MT_N) {
            s[0] = s[PST_MT_N - 1];
            i = 1;
        }
    }
    s[0] = 0x80000000u; /* not all zero */
}

static uint32_t twist(uint32_t upper, uint32_t lower)
{
    uint32_t y = (upper & 0x80000000u) | (lower & 0x7fffffffu);
    return y >> 1 ^ (lower & 1u ? 0x9908b0dfu : 0u);
}

/* The next block in place. Word i needs i + 1 and i + 397 (mod 624); the three loops keep the index
 * arithmetic out of the way of the vectoriser. */
static void next_block(struct pst__mt *mt)
{
    uint32_t *s = mt->state;
    int i = 0;
    for (; i < PST_MT_N - MT_M; i++)
        s[i] = s[i + MT_M] ^ twist(s[i], s[i + 1]);
    for (; i < PST_MT_N - 1; i++)
        s[i] = s[i + MT_M - PST_MT_N] ^ twist(s[i], s[i + 1]);
    s[i] = s[MT_M - 1] ^ twist(s[i], s[0]);
    mt->given = 0;
}

static uint32_t temper(uint32_t y)
{
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

void pst__mt_fill(struct pst__mt *mt, uint32_t *words, size_t n)
{
    while (n > 0) {
        if (mt->given >= PST_MT_N)
            next_block(mt);
        size_t take = PST_MT_N - mt->given;
        if (take > n)
            take = n;
        for (size_t i = 0; i < take; i++)
            words[i] = temper(mt->state[mt->given + i]);
        mt->given += (uint32_t)take;
        words += take;
        n -= take;
    }
}

uint32_t pst__mt_next(struct pst__mt *mt)
{
    if (mt->given >= PST_MT_N)
        next_block(mt);
    return temper(mt->state[mt->given++]);
}

void pst__mt_skip(struct pst__mt *mt, uint64_t n)
{
    while (n > 0) {
        if (mt->given >= PST_MT_N)
            next_block(mt);
        uint64_t left = PST_MT_N - mt->given, take = n < left ? n : left;
        mt->given += (uint32_t)take;
        n -= take;
    }
}

uint64_t pst__mix64(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint32_t pst__keyed_word(uint64_t key, uint64_t i)
{
    /* The key is mixed first: keys that differ by a multiple of the step would otherwise be one
     * stream at two places. */
    return (uint32_t)(pst__mix64(pst__mix64(key) + (i + 1) * 0x9e3779b97f4a7c15u) >> 32);
}
