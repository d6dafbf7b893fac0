/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_SAMPLE_PERMUTATION_H
#define PST_SAMPLE_PERMUTATION_H

#include <stdint.h>

/* An order of 0 .. n - 1 drawn by a key, without a table: any place of it is computed on its own,
 * so the state of a shuffled epoch is (n, key, place). Plain data; n and key alone decide it. */
#define PST_PERMUTATION_ROUNDS 8
struct pst__permutation {
    uint64_t n;
    uint64_t keys[PST_PERMUTATION_ROUNDS];
    uint32_t low_bits, high_bits;
};

void pst__permutation_init(struct pst__permutation *permutation, uint64_t n, uint64_t key);
/* Which of 0 .. n - 1 is at place i; i < n. */
uint64_t pst__permutation_at(const struct pst__permutation *permutation, uint64_t i);
/* At which place a value is; value < n. */
uint64_t pst__permutation_find(const struct pst__permutation *permutation, uint64_t value);

/* Batches of an epoch of n samples; batch_size >= 1. The last one may be short unless drop_last. */
uint64_t pst__epoch_batches(uint64_t n, uint64_t batch_size, int drop_last);
/* Samples in batch i of them: they are at the places from i * batch_size on. */
uint64_t pst__epoch_batch_size(uint64_t n, uint64_t batch_size, uint64_t i);

#endif
