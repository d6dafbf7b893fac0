/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/permutation.h"

#include <assert.h>

#include "base/rng.h"

/* A Feistel network over the smallest 2^bits >= n: in turn one half of the bits is changed by a
 * keyed function of the other, which can be undone and so is a bijection whatever the function is.
 * A value of n or more is put in again until it falls below n (Black and Rogaway 2002, "cycle
 * walking"): the walk stays on one cycle of the bijection and must come back to a value below n,
 * since it began at one. 2^bits < 2 n, so it takes under two passes on average. */

void pst__permutation_init(struct pst__permutation *permutation, uint64_t n, uint64_t key)
{
    uint32_t bits = n <= 1 ? 0 : 64 - (uint32_t)__builtin_clzll(n - 1);
    permutation->n = n;
    permutation->high_bits = bits / 2;
    permutation->low_bits = bits - bits / 2;
    uint64_t mixed = pst__mix64(key);
    for (uint64_t i = 0; i < PST_PERMUTATION_ROUNDS; i++)
        permutation->keys[i] = pst__mix64(mixed + (i + 1) * 0x9e3779b97f4a7c15u);
}

static uint64_t pass(const struct pst__permutation *p, uint64_t x)
{
    /* low_bits <= 32: no shift here reaches 64. */
    uint64_t low_mask = ((uint64_t)1 << p->low_bits) - 1;
    uint64_t high_mask = ((uint64_t)1 << p->high_bits) - 1;
    uint64_t low = x & low_mask, high = x >> p->low_bits;
    for (int i = 0; i < PST_PERMUTATION_ROUNDS; i += 2) {
        low ^= pst__mix64(high ^ p->keys[i]) & low_mask;
        high ^= pst__mix64(low ^ p->keys[i + 1]) & high_mask;
    }
    return high << p->low_bits | low;
}

uint64_t pst__permutation_at(const struct pst__permutation *permutation, uint64_t i)
{
    assert(i < permutation->n);
    do
        i = pass(permutation, i);
    while (i >= permutation->n);
    return i;
}

/* pass() undone: the rounds in reverse order. */
static uint64_t unpass(const struct pst__permutation *p, uint64_t x)
{
    uint64_t low_mask = ((uint64_t)1 << p->low_bits) - 1;
    uint64_t high_mask = ((uint64_t)1 << p->high_bits) - 1;
    uint64_t low = x & low_mask, high = x >> p->low_bits;
    for (int i = PST_PERMUTATION_ROUNDS - 2; i >= 0; i -= 2) {
        high ^= pst__mix64(low ^ p->keys[i + 1]) & high_mask;
        low ^= pst__mix64(high ^ p->keys[i]) & low_mask;
    }
    return high << p->low_bits | low;
}

uint64_t pst__permutation_find(const struct pst__permutation *permutation, uint64_t value)
{
    assert(value < permutation->n);
    do
        value = unpass(permutation, value);
    while (value >= permutation->n);
    return value;
}

uint64_t pst__epoch_batches(uint64_t n, uint64_t batch_size, int drop_last)
{
    return n / batch_size + (!drop_last && n % batch_size != 0);
}

uint64_t pst__epoch_batch_size(uint64_t n, uint64_t batch_size, uint64_t i)
{
    uint64_t left = n - i * batch_size;
    return left < batch_size ? left : batch_size;
}
