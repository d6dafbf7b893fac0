/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/permutation.h"

#include "base/rng.h"
#include "check.h"

static void check_bijection(uint64_t n, uint64_t key)
{
    struct pst__permutation permutation;
    uint8_t *seen = calloc(n ? n : 1, 1);
    CHECK(seen);
    pst__permutation_init(&permutation, n, key);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t at = pst__permutation_at(&permutation, i);
        CHECK(at < n);
        CHECK(!seen[at]);
        seen[at] = 1;
    }
    free(seen);
}

static void each_once(void)
{
    for (uint64_t n = 0; n <= 300; n++)
        for (uint64_t key = 0; key < 20; key++)
            check_bijection(n, key);
    static const uint64_t large[] = {1023, 1024, 1025, 65535, 65536, 65537, 1000003, 1281167};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        check_bijection(large[i], 7 * i);
}

/* For each n up to 70,000. Sizes that need equally many bits share their network, and a walk passes
 * over the values that are too large. So the order of n - 1 is that of n without the value n - 1:
 * the place that it was at gets the value that was at place n - 1, and all others keep theirs. That
 * gives a table that is right by construction, from the whole of 2^bits, which is ticked off. */
static void each_size(void)
{
    enum { MOST = 70000, TABLE = 1 << 17 };
    static uint32_t at[TABLE], find[TABLE];
    uint64_t random = 1;
    for (uint32_t bits = 1; bits <= 17; bits++) {
        uint64_t n = (uint64_t)1 << bits, key = pst__mix64(bits);
        struct pst__permutation order;
        check_bijection(n, key);
        pst__permutation_init(&order, n, key);
        for (uint64_t i = 0; i < n; i++)
            find[at[i] = (uint32_t)pst__permutation_at(&order, i)] = (uint32_t)i;
        for (n--; n > (uint64_t)1 << (bits - 1); n--) {
            uint32_t place = find[n], value = at[n];
            at[place] = value;
            find[value] = place;
            if (n > MOST)
                continue;
            pst__permutation_init(&order, n, key);
            for (int k = 0; k < 12; k++) {
                if (k > 0 || place >= n)
                    place = (uint32_t)(pst__mix64(random++) % n);
                CHECK_INT(pst__permutation_at(&order, place), at[place]);
                CHECK_INT(pst__permutation_find(&order, at[place]), place);
            }
        }
    }
}

static void find_is_the_inverse(void)
{
    for (uint64_t k = 0; k < 40000; k++) {
        uint64_t most = (uint64_t)1 << (k % 2 ? 40 : 1 + k % 40);
        uint64_t n = 1 + pst__mix64(3 * k + 1) % most, i = pst__mix64(3 * k + 2) % n;
        struct pst__permutation order;
        pst__permutation_init(&order, n, k);
        uint64_t value = pst__permutation_at(&order, i), place = pst__permutation_find(&order, i);
        CHECK(value < n);
        CHECK(place < n);
        CHECK(pst__permutation_find(&order, value) == i);
        CHECK(pst__permutation_at(&order, place) == i);
    }
    struct pst__permutation order;
    pst__permutation_init(&order, UINT64_MAX, 9);
    for (uint64_t i = 0; i < 1000; i++)
        CHECK(pst__permutation_find(&order, pst__permutation_at(&order, i)) == i);
}

/* Too many to tick off: places stay in range, and differ as a bijection's must. */
static void huge(void)
{
    static const uint64_t sizes[] = {(uint64_t)1 << 40, ((uint64_t)1 << 62) + 1,
                                     ((uint64_t)1 << 63) + 3, UINT64_MAX};
    for (size_t s = 0; s < 4; s++) {
        struct pst__permutation permutation;
        static uint64_t seen[1000];
        pst__permutation_init(&permutation, sizes[s], 5);
        for (uint64_t i = 0; i < 1000; i++) {
            seen[i] = pst__permutation_at(&permutation, i < 500 ? i : sizes[s] - i);
            CHECK(seen[i] < sizes[s]);
            for (uint64_t k = 0; k < i; k++)
                CHECK(seen[k] != seen[i]);
        }
    }
}

static void key_decides(void)
{
    struct pst__permutation a, b, c;
    pst__permutation_init(&a, 10000, 1);
    pst__permutation_init(&b, 10000, 2);
    pst__permutation_init(&c, 10000, 1);
    int same = 0, fixed = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t at = pst__permutation_at(&a, i);
        CHECK_INT(at, pst__permutation_at(&c, i));
        same += at == pst__permutation_at(&b, i);
        fixed += at == i;
    }
    /* One of each is expected by chance. */
    CHECK(same < 12);
    CHECK(fixed < 12);
}

/* Every value at every place, about equally often over the keys: chi-squared per place. */
static void small_sizes_are_even(void)
{
    enum { KEYS = 20000 };
    for (uint64_t n = 2; n <= 33; n += n < 8 ? 1 : 5) {
        static int count[33][33];
        memset(count, 0, sizeof count);
        for (uint64_t key = 0; key < KEYS; key++) {
            struct pst__permutation permutation;
            pst__permutation_init(&permutation, n, key);
            for (uint64_t i = 0; i < n; i++)
                count[i][pst__permutation_at(&permutation, i)]++;
        }
        /* n - 1 is expected; by chance one place in a million is over the limit. */
        double expected = (double)KEYS / (double)n, limit = 2 * (double)n + 40;
        for (uint64_t i = 0; i < n; i++) {
            double chi = 0;
            for (uint64_t k = 0; k < n; k++)
                chi += (count[i][k] - expected) * (count[i][k] - expected) / expected;
            CHECK(chi < limit);
        }
    }
}

static void batches(void)
{
    CHECK_INT(pst__epoch_batches(0, 4, 0), 0);
    CHECK_INT(pst__epoch_batches(0, 4, 1), 0);
    CHECK_INT(pst__epoch_batches(8, 4, 0), 2);
    CHECK_INT(pst__epoch_batches(9, 4, 0), 3);
    CHECK_INT(pst__epoch_batches(9, 4, 1), 2);
    CHECK_INT(pst__epoch_batches(3, 4, 1), 0);
    CHECK_INT(pst__epoch_batch_size(9, 4, 0), 4);
    CHECK_INT(pst__epoch_batch_size(9, 4, 2), 1);
    for (uint64_t n = 0; n < 60; n++)
        for (uint64_t size = 1; size < 20; size++) {
            uint64_t sum = 0;
            for (uint64_t i = 0; i < pst__epoch_batches(n, size, 0); i++)
                sum += pst__epoch_batch_size(n, size, i);
            CHECK_INT(sum, n);
        }
    CHECK(pst__epoch_batches(UINT64_MAX, 1, 0) == UINT64_MAX);
    CHECK(pst__epoch_batches(UINT64_MAX, UINT64_MAX - 1, 0) == 2);
}

CHECK_MAIN(CASE(each_once), CASE(each_size), CASE(find_is_the_inverse), CASE(huge),
           CASE(key_decides), CASE(small_sizes_are_even), CASE(batches))
