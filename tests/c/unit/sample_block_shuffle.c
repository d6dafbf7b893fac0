/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/block_shuffle.h"

#include <penstock/order.h>

#include "base/rng.h"
#include "check.h"

static void check_bijection(uint64_t n, uint64_t block, uint64_t key)
{
    struct pst__block_shuffle shuffle;
    uint8_t *seen = calloc(n ? n : 1, 1);
    int64_t *rows = calloc(n ? n : 1, sizeof *rows);
    CHECK(seen && rows);
    pst__block_shuffle_init(&shuffle, n, block, key);
    pst__block_shuffle_fill(&shuffle, 0, n, rows);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t row = (uint64_t)rows[i];
        CHECK(row < n);
        CHECK(!seen[row]);
        seen[row] = 1;
        CHECK_INT(pst__block_shuffle_find(&shuffle, row), i);
    }
    free(seen);
    free(rows);
}

static void each_once(void)
{
    for (uint64_t n = 0; n <= 200; n++)
        for (uint64_t block = 1; block <= n + 2; block++)
            check_bijection(n, block, 31 * n + block);
    for (uint64_t k = 0; k < 60; k++)
        check_bijection(1 + pst__mix64(2 * k + 1) % 70000, 1 + pst__mix64(2 * k + 2) % 900, k);
    static const uint64_t large[] = {65535, 65536, 65537, 1000003, 1281167};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        check_bijection(large[i], 1 << 3 * i, i);
    check_bijection(640 * 100, 100, 5); /* whole windows, whole blocks */
    check_bijection(640 * 100 - 99, 100, 5);
}

static void check_there_and_back(uint64_t n, uint64_t block, uint64_t key, uint64_t i)
{
    struct pst__block_shuffle shuffle;
    pst__block_shuffle_init(&shuffle, n, block, key);
    uint64_t row = pst__block_shuffle_at(&shuffle, i), place = pst__block_shuffle_find(&shuffle, i);
    int64_t filled;
    CHECK(row < n);
    CHECK(place < n);
    CHECK(pst__block_shuffle_find(&shuffle, row) == i);
    CHECK(pst__block_shuffle_at(&shuffle, place) == i);
    pst__block_shuffle_fill(&shuffle, i, 1, &filled);
    CHECK((uint64_t)filled == row);
}

static void each_size(void)
{
    for (uint64_t n = 1; n <= 70000; n++) {
        uint64_t block = 1 + pst__mix64(n) % (n % 3 ? 700 : n);
        check_there_and_back(n, block, n, 0);
        check_there_and_back(n, block, n, n - 1);
        check_there_and_back(n, block, n, pst__mix64(n + 7) % n);
    }
}

static void huge(void)
{
    for (uint64_t k = 0; k < 20000; k++) {
        uint64_t most = (uint64_t)1 << (k % 2 ? 40 : 1 + k % 40);
        uint64_t n = 1 + pst__mix64(4 * k + 1) % most, i = pst__mix64(4 * k + 2) % n;
        uint64_t block = 1 + pst__mix64(4 * k + 3) % (k % 3 ? 5000 : n);
        check_there_and_back(n, block, k, i);
    }
    static const uint64_t blocks[] = {
        1, 1000, (uint64_t)1 << 58, ((uint64_t)1 << 62) - 7, INT64_MAX, UINT64_MAX};
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++)
        for (uint64_t i = 0; i < 100; i++) {
            check_there_and_back(INT64_MAX, blocks[b], b, i);
            check_there_and_back(INT64_MAX, blocks[b], b, INT64_MAX - 1 - i);
        }
}

/* What it is for: the rows of a window's places come from a window's blocks, wherever the short
 * block lies, and these are all over the dataset. */
static void a_window_is_some_blocks(void)
{
    enum { BLOCK = 10, BLOCKS = 1000, N = BLOCKS * BLOCK - 3, WINDOW = BLOCK * PST_SHUFFLE_WINDOW };
    static int64_t rows[N];
    for (uint64_t key = 0; key < 50; key++) {
        struct pst__block_shuffle shuffle;
        pst__block_shuffle_init(&shuffle, N, BLOCK, key);
        pst__block_shuffle_fill(&shuffle, 0, N, rows);
        uint8_t seen[BLOCKS] = {0};
        int64_t least = N, most = 0;
        int n = 0;
        for (int i = 0; i < WINDOW - 3; i++) { /* 3 less where the short block is among them */
            n += !seen[rows[i] / BLOCK];
            seen[rows[i] / BLOCK] = 1;
            least = rows[i] < least ? rows[i] : least;
            most = rows[i] > most ? rows[i] : most;
        }
        CHECK(n == PST_SHUFFLE_WINDOW);
        CHECK(least < N / 5);
        CHECK(most > N - N / 5);
    }
}

static void key_decides(void)
{
    struct pst__block_shuffle a, b, c;
    pst__block_shuffle_init(&a, 10000, 16, 1);
    pst__block_shuffle_init(&b, 10000, 16, 2);
    pst__block_shuffle_init(&c, 10000, 16, 1);
    int same = 0, fixed = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t row = pst__block_shuffle_at(&a, i);
        CHECK_INT(row, pst__block_shuffle_at(&c, i));
        same += row == pst__block_shuffle_at(&b, i);
        fixed += row == i;
    }
    CHECK(same < 30);
    CHECK(fixed < 30);
}

static void public_function(void)
{
    int64_t rows[7], one;
    struct pst_error err;
    CHECK_INT(pst_order_indices(rows, 7, 0, 7, 3, 0, NULL), PST_OK);
    struct pst__permutation order;
    pst__permutation_init(&order, 7, 3);
    for (uint64_t i = 0; i < 7; i++)
        CHECK_INT(rows[i], pst__permutation_at(&order, i));
    struct pst__block_shuffle shuffle;
    pst__block_shuffle_init(&shuffle, 1000, 8, 3);
    CHECK_INT(pst_order_indices(&one, 1, 999, 1000, 3, 8, NULL), PST_OK);
    CHECK_INT(one, pst__block_shuffle_at(&shuffle, 999));
    CHECK_INT(pst_order_indices(NULL, 0, 0, 0, 3, 0, NULL), PST_OK);
    CHECK_INT(pst_order_indices(NULL, 0, 5, 5, 3, 2, NULL), PST_OK);
    CHECK_INT(pst_order_indices(NULL, 1, 0, 5, 3, 0, NULL), PST_EINVAL);
    CHECK_INT(pst_order_indices(rows, 1, 5, 5, 3, 0, NULL), PST_EINVAL);
    CHECK_INT(pst_order_indices(rows, 1, -1, 5, 3, 0, NULL), PST_EINVAL);
    CHECK_INT(pst_order_indices(rows, 1, 0, -1, 3, 0, NULL), PST_EINVAL);
    CHECK_INT(pst_order_indices(rows, 1, 0, 5, 3, -1, NULL), PST_EINVAL);
    pst_error_init(&err);
    CHECK_INT(pst_order_indices(rows, SIZE_MAX, 1, 5, 3, 0, &err), PST_EINVAL);
    CHECK_HAS(err.message, "places from 1 on, of 5");
}

CHECK_MAIN(CASE(each_once), CASE(each_size), CASE(huge), CASE(a_window_is_some_blocks),
           CASE(key_decides), CASE(public_function))
