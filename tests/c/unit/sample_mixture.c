/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/mixture.h"

#include <math.h>

#include <penstock/error.h>

#include "base/rng.h"
#include "check.h"

static struct pst__mixture make(const double *weights, const uint64_t *sizes, uint32_t n,
                                uint64_t seed)
{
    struct pst__mixture mixture;
    uint32_t bad;
    CHECK_INT(pst__mixture_init(&mixture, weights, sizes, n, seed, &bad), 0);
    return mixture;
}

/* At each prefix every group has its share within less than one, and its samples come in order. */
static void check_prefixes(const double *weights, uint32_t n_groups, uint64_t n)
{
    static uint64_t sizes[PST_MIXTURE_GROUPS], count[PST_MIXTURE_GROUPS];
    for (uint32_t g = 0; g < n_groups; g++) {
        sizes[g] = UINT64_MAX;
        count[g] = 0;
    }
    struct pst__mixture mixture = make(weights, sizes, n_groups, 0);
    uint64_t in_block = 0;
    for (uint32_t g = 0; g < n_groups; g++)
        in_block += mixture.shares[g];
    CHECK_INT(in_block, mixture.block);
    for (uint64_t i = 0; i < n; i++) {
        uint32_t group;
        uint64_t k = pst__mixture_at(&mixture, i, &group);
        CHECK_INT(k, count[group]);
        count[group]++;
        for (uint32_t g = 0; g < n_groups; g++) {
            int64_t off =
                (int64_t)(count[g] * mixture.block) - (int64_t)((i + 1) * mixture.shares[g]);
            CHECK(off < (int64_t)mixture.block && -off < (int64_t)mixture.block);
        }
    }
    pst__mixture_reset(&mixture);
    check_tried(1);
}

static void prefixes(void)
{
    static const double one[] = {7}, halves[] = {1, 1}, decimals[] = {0.7, 0.2, 0.1};
    static const double odd[] = {3.14159265358979, 2.71828182845905, 1.41421356237310, 0.001};
    check_prefixes(one, 1, 100);
    check_prefixes(halves, 2, 100);
    check_prefixes(decimals, 3, 1000);
    check_prefixes(odd, 4, 140000);
    for (uint64_t round = 0; round < 300; round++) {
        double weights[40];
        uint32_t n = 1 + pst__keyed_word(round, 0) % 40;
        for (uint32_t g = 0; g < n; g++)
            weights[g] = 1 + pst__keyed_word(round, g + 1) % 100;
        check_prefixes(weights, n, 3000);
    }
}

static void shares(void)
{
    uint64_t sizes[] = {5, 5, 5};
    struct pst__mixture mixture = make((double[]){0.7, 0.2, 0.1}, sizes, 3, 0);
    CHECK_INT(mixture.block, 10);
    CHECK_INT(mixture.shares[0], 7);
    CHECK_INT(mixture.shares[1], 2);
    CHECK_INT(mixture.shares[2], 1);
    pst__mixture_reset(&mixture);
    mixture = make((double[]){1e300, 1e300, 1e300}, sizes, 3, 0);
    CHECK_INT(mixture.block, 3);
    pst__mixture_reset(&mixture);
    double odd[] = {3.14159265358979, 2.71828182845905, 1.41421356237310},
           sum = odd[0] + odd[1] + odd[2];
    mixture = make(odd, sizes, 3, 0);
    CHECK_INT(mixture.block, PST_MIXTURE_BLOCK);
    for (int g = 0; g < 3; g++)
        CHECK(fabs(mixture.shares[g] - odd[g] / sum * PST_MIXTURE_BLOCK) < 1);
    pst__mixture_reset(&mixture);
}

static void too_little(void)
{
    struct pst__mixture mixture;
    uint64_t sizes[] = {5, 5};
    uint32_t bad = 7;
    CHECK_INT(pst__mixture_init(&mixture, (double[]){1, 1e-9}, sizes, 2, 0, &bad), PST_EINVAL);
    CHECK_INT(bad, 1);
    CHECK_INT(pst__mixture_init(&mixture, (double[]){1e-300, 1e300}, sizes, 2, 0, &bad),
              PST_EINVAL);
    CHECK_INT(bad, 0);
}

/* A group that begins again has each of its samples once a round, in another order each time. */
static void rounds(void)
{
    enum { SIZE = 50, ROUNDS = 6 };
    uint64_t sizes[] = {SIZE, 1000000}, order[ROUNDS][SIZE], other[SIZE];
    struct pst__mixture mixture = make((double[]){1, 1}, sizes, 2, 3);
    struct pst__mixture seeded = make((double[]){1, 1}, sizes, 2, 4);
    for (int round = 0; round < ROUNDS; round++) {
        int seen[SIZE] = {0};
        for (uint64_t k = 0, i = (uint64_t)(2 * SIZE * round); k < SIZE; i++) {
            uint32_t group, again;
            uint64_t at = pst__mixture_at(&mixture, i, &group);
            if (group != 0)
                continue;
            CHECK(at < SIZE && !seen[at]);
            seen[at] = 1;
            CHECK_INT(pst__mixture_at(&mixture, i, &again), at);
            other[k] = pst__mixture_at(&seeded, i, &again);
            order[round][k++] = at;
        }
        for (int before = 0; before < round; before++)
            CHECK(memcmp(order[before], order[round], sizeof *order) != 0);
        CHECK_INT(memcmp(other, order[round], sizeof other) == 0, round == 0);
    }
    for (uint64_t k = 0; k < SIZE; k++)
        CHECK_INT(order[0][k], k);
    pst__mixture_reset(&mixture);
    pst__mixture_reset(&seeded);
}

CHECK_MAIN(CASE(prefixes), CASE(shares), CASE(too_little), CASE(rounds))
