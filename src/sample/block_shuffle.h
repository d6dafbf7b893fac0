/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_SAMPLE_BLOCK_SHUFFLE_H
#define PST_SAMPLE_BLOCK_SHUFFLE_H

#include "sample/permutation.h"

/* An order of 0 .. n - 1 for storage that is slow to jump: blocks of neighbours come in an order
 * drawn by the key, and the rows of PST_SHUFFLE_WINDOW blocks that follow each other in it are
 * mixed. So of one window's places only these blocks are read. As of a permutation: no table, any
 * place is computed on its own; n, block and key alone decide it. */
#define PST_SHUFFLE_WINDOW 64
struct pst__block_shuffle {
    uint64_t n, block, key;
    uint64_t short_at; /* where the last block, which may be short, comes among the blocks */
    uint64_t missing;  /* rows that it has less than the others */
    uint64_t window;   /* rows of a window without it; saturated */
    struct pst__permutation blocks;
};

/* n < 2^63; block >= 1. */
void pst__block_shuffle_init(struct pst__block_shuffle *shuffle, uint64_t n, uint64_t block,
                             uint64_t key);
/* Which of 0 .. n - 1 is at place i; i < n. */
uint64_t pst__block_shuffle_at(const struct pst__block_shuffle *shuffle, uint64_t i);
/* At which place a row is; row < n. */
uint64_t pst__block_shuffle_find(const struct pst__block_shuffle *shuffle, uint64_t row);
/* Rows at the places first .. first + count - 1, all below n. */
void pst__block_shuffle_fill(const struct pst__block_shuffle *shuffle, uint64_t first,
                             uint64_t count, int64_t *rows);

#endif
