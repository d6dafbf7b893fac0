/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_SAMPLE_MIXTURE_H
#define PST_SAMPLE_MIXTURE_H

#include <stdint.h>

#include "base/attributes.h"

/* Several groups of samples mixed by weight: which group sample i of the mixture is from, and which
 * of its samples. A pure function of (weights, sizes, seed, i).
 *
 * The weights become whole numbers that add up to `block`: the smallest block in which they are
 * what they are, else PST_MIXTURE_BLOCK and the largest remainders. Each block of the mixture is
 * the same order of groups, such that of any number of samples from the first on every group has
 * its share within less than one.
 *
 * A group that is through begins again, in an order drawn by (seed, group, how often). */

#define PST_MIXTURE_BLOCK 65536
#define PST_MIXTURE_GROUPS 1024

/* Zero-initialised means empty. */
struct pst__mixture {
    uint32_t n_groups, block;
    uint64_t seed;
    uint64_t *sizes;  /* of the groups, in samples */
    uint32_t *shares; /* of the groups, in samples of a block */
    uint16_t *group;  /* of each place of a block */
    uint16_t *rank;   /* how many samples of its group are before it in the block */
};

/* 1 <= n_groups <= PST_MIXTURE_GROUPS, sizes >= 1, weights positive and finite. Errors: PST_EINVAL
 * (a group would have less than one sample of a block; *bad is it), PST_ENOMEM. */
int pst__mixture_init(struct pst__mixture *mixture, const double *weights, const uint64_t *sizes,
                      uint32_t n_groups, uint64_t seed, uint32_t *bad) PST_NODISCARD;
void pst__mixture_reset(struct pst__mixture *mixture);
/* Which sample of which group sample i is. */
uint64_t pst__mixture_at(const struct pst__mixture *mixture, uint64_t i, uint32_t *group);

#endif
