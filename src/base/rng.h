/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BASE_RNG_H
#define PST_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* MT19937 (Matsumoto and Nishimura 1998), the generator of torch's CPU generator and of Python's
 * random. */
#define PST_MT_N 624
struct pst__mt {
    uint32_t state[PST_MT_N];
    uint32_t given; /* words given out of this block, 0..624 */
};

void pst__mt_seed(struct pst__mt *mt, uint32_t seed); /* init_genrand */
/* init_by_array of the words of a seed, as Python's random.seed(int) does it. */
void pst__mt_seed_words(struct pst__mt *mt, uint64_t seed);
uint32_t pst__mt_next(struct pst__mt *mt);
void pst__mt_skip(struct pst__mt *mt, uint64_t n);
void pst__mt_fill(struct pst__mt *mt, uint32_t *words, size_t n); /* the next n tempered words */

/* A bijective mix of 64 bits (the finaliser of SplitMix64; Steele, Lea, Flood 2014). */
uint64_t pst__mix64(uint64_t x);
/* Word i of the stream with this key. */
uint32_t pst__keyed_word(uint64_t key, uint64_t i);

#endif
