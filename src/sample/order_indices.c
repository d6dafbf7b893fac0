/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/order.h>

#include "base/status.h"
#include "sample/block_shuffle.h"

int pst_order_indices(int64_t *indices, size_t n, int64_t first, int64_t length, uint64_t key,
                      int64_t block, struct pst_error *err)
{
    PST_REQUIRE(indices || n == 0, err, "indices is NULL");
    PST_REQUIRE(length >= 0, err, "an order of %lld indices", (long long)length);
    PST_REQUIRE(block >= 0, err, "blocks of %lld indices", (long long)block);
    PST_REQUIRE(first >= 0 && first <= length && n <= (uint64_t)(length - first), err,
                "%zu places from %lld on, of %lld", n, (long long)first, (long long)length);
    if (block > 0) {
        struct pst__block_shuffle shuffle;
        pst__block_shuffle_init(&shuffle, (uint64_t)length, (uint64_t)block, key);
        pst__block_shuffle_fill(&shuffle, (uint64_t)first, n, indices);
        return PST_OK;
    }
    struct pst__permutation permutation;
    pst__permutation_init(&permutation, (uint64_t)length, key);
    for (size_t i = 0; i < n; i++)
        indices[i] = (int64_t)pst__permutation_at(&permutation, (uint64_t)first + i);
    return PST_OK;
}
