/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/mixture.h"

#include <assert.h>
#include <stddef.h>

#include <penstock/error.h>

#include "base/mem.h"
#include "base/rng.h"
#include "sample/permutation.h"

/* A weight is a decimal that somebody wrote down: so near to a whole number it is that number. */
#define NEAR 1e-9

static double share_of(const struct pst__mixture *mixture, const double *weights, double sum,
                       uint32_t g)
{
    return weights[g] / sum * mixture->block;
}

static uint32_t rounded(double x)
{
    return (uint32_t)(x + 0.5);
}

static int is_whole(const struct pst__mixture *mixture, const double *weights, double sum)
{
    uint64_t total = 0;
    for (uint32_t g = 0; g < mixture->n_groups; g++) {
        double share = share_of(mixture, weights, sum, g), rest = share - rounded(share);
        if (rounded(share) == 0 || rest > NEAR * share || rest < -NEAR * share)
            return 0;
        total += rounded(share);
    }
    return total == mixture->block;
}

/* Each group the whole part of its share, and what is left to the largest remainders. */
static void apportion(struct pst__mixture *mixture, const double *weights, double sum)
{
    uint32_t left = mixture->block;
    for (uint32_t g = 0; g < mixture->n_groups; g++) {
        mixture->shares[g] = (uint32_t)share_of(mixture, weights, sum, g);
        left -= mixture->shares[g];
    }
    /* left <= n_groups: each whole part took less than one away. */
    for (; left > 0; left--) {
        uint32_t best = 0;
        double most = -2;
        for (uint32_t g = 0; g < mixture->n_groups; g++) {
            double rest = share_of(mixture, weights, sum, g) - mixture->shares[g];
            if (rest > most) {
                most = rest;
                best = g;
            }
        }
        mixture->shares[best]++;
    }
}

static int set_shares(struct pst__mixture *mixture, const double *weights, uint32_t *bad)
{
    /* Of scaled weights the sum is finite. */
    double largest = 0, sum = 0, scaled[PST_MIXTURE_GROUPS];
    for (uint32_t g = 0; g < mixture->n_groups; g++)
        largest = weights[g] > largest ? weights[g] : largest;
    for (uint32_t g = 0; g < mixture->n_groups; g++)
        sum += scaled[g] = weights[g] / largest;
    for (mixture->block = mixture->n_groups; mixture->block < PST_MIXTURE_BLOCK; mixture->block++)
        if (is_whole(mixture, scaled, sum))
            break;
    if (mixture->block < PST_MIXTURE_BLOCK) {
        for (uint32_t g = 0; g < mixture->n_groups; g++)
            mixture->shares[g] = rounded(share_of(mixture, scaled, sum, g));
        return PST_OK;
    }
    apportion(mixture, scaled, sum);
    for (*bad = 0; *bad < mixture->n_groups; ++*bad)
        if (mixture->shares[*bad] == 0)
            return PST_EINVAL;
    return PST_OK;
}

/* The chairman assignment of Tijdeman (1980): of the groups that would be d or more behind their
 * share if they were passed over now, the one that would be first to fall a whole sample - d
 * behind; d = 1 / (2 n - 2) for n groups. Then every group is at all times within 1 - d of its
 * share. In whole numbers: behind and deadline are times block and times 2 n - 2. */
static uint32_t next_of(const struct pst__mixture *mixture, const uint32_t *count, uint64_t place)
{
    uint64_t scale = 2 * (uint64_t)mixture->n_groups - 2, block = mixture->block;
    uint32_t best = 0;
    double soonest = 0;
    int is_found = 0;
    for (uint32_t g = 0; g < mixture->n_groups; g++) {
        int64_t behind = (int64_t)(scale * ((place + 1) * mixture->shares[g])) -
                         (int64_t)(scale * block * count[g]);
        if (behind < (int64_t)block)
            continue;
        double deadline = (double)((int64_t)((scale - 1) * block) - behind) / mixture->shares[g];
        if (!is_found || deadline < soonest) {
            soonest = deadline;
            best = g;
        }
        is_found = 1;
    }
    assert(is_found || mixture->n_groups == 1);
    return best;
}

static int lay_out(struct pst__mixture *mixture)
{
    uint32_t *count = pst__calloc(mixture->n_groups, sizeof *count, PST_MEM_HEAP);
    mixture->group = pst__calloc(mixture->block, sizeof *mixture->group, PST_MEM_HEAP);
    mixture->rank = pst__calloc(mixture->block, sizeof *mixture->rank, PST_MEM_HEAP);
    if (!count || !mixture->group || !mixture->rank) {
        pst__free(count);
        return PST_ENOMEM;
    }
    for (uint32_t place = 0; place < mixture->block; place++) {
        uint32_t g = next_of(mixture, count, place);
        mixture->group[place] = (uint16_t)g;
        mixture->rank[place] = (uint16_t)count[g]++;
    }
    pst__free(count);
    return PST_OK;
}

int pst__mixture_init(struct pst__mixture *mixture, const double *weights, const uint64_t *sizes,
                      uint32_t n_groups, uint64_t seed, uint32_t *bad)
{
    *mixture = (struct pst__mixture){.n_groups = n_groups, .seed = seed};
    mixture->sizes = pst__calloc(n_groups, sizeof *mixture->sizes, PST_MEM_HEAP);
    mixture->shares = pst__calloc(n_groups, sizeof *mixture->shares, PST_MEM_HEAP);
    int rc = PST_ENOMEM;
    if (!mixture->sizes || !mixture->shares)
        goto fail;
    for (uint32_t g = 0; g < n_groups; g++)
        mixture->sizes[g] = sizes[g];
    if ((rc = set_shares(mixture, weights, bad)) < 0 || (rc = lay_out(mixture)) < 0)
        goto fail;
    return PST_OK;
fail:
    pst__mixture_reset(mixture);
    return rc;
}

void pst__mixture_reset(struct pst__mixture *mixture)
{
    pst__free(mixture->sizes);
    pst__free(mixture->shares);
    pst__free(mixture->group);
    pst__free(mixture->rank);
    *mixture = (struct pst__mixture){0};
}

uint64_t pst__mixture_at(const struct pst__mixture *mixture, uint64_t i, uint32_t *group)
{
    uint32_t g = *group = mixture->group[i % mixture->block];
    uint64_t size = mixture->sizes[g];
    uint64_t k = i / mixture->block * mixture->shares[g] + mixture->rank[i % mixture->block];
    if (k < size)
        return k;
    struct pst__permutation order;
    pst__permutation_init(&order, size, pst__mix64(pst__mix64(mixture->seed ^ (g + 1)) + k / size));
    return pst__permutation_at(&order, k % size);
}
