/* SPDX-License-Identifier: Apache-2.0 */
#include "io/ahead.h"

#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "check.h"
#include "unit/format_tree.h"

#define SIZE ((uint64_t)40 << 20)
#define WISH ((uint64_t)256 << 10)

static struct tree tree;

static struct pst__source *open_sparse(void)
{
    char path[TREE_PATH];
    struct pst__source *source;
    tree_open(&tree);
    tree_file(&tree, "file", "");
    CHECK_INT(truncate(tree_path(&tree, path, "file"), (off_t)SIZE), 0);
    CHECK_INT(pst__source_open(&source, path, PST__ACCESS_READ, NULL), PST_OK);
    return source;
}

/* A reader that goes through the file is told of what follows, up to the file's end. */
static void in_order(void)
{
    struct pst__source *source = open_sparse();
    for (int is_swapped = 0; is_swapped < 2; is_swapped++) {
        struct pst__ahead ahead = {0};
        for (uint64_t i = 0; i < SIZE / WISH; i++) {
            uint64_t at = (is_swapped && i >= 8 ? i ^ 1 : i) * WISH, end = at + WISH;
            CHECK_INT(pst__ahead_is_on(&ahead, at), i >= 4);
            pst__ahead_intend(&ahead, source, at, WISH);
            uint64_t least = i < 3 ? end : end + PST__AHEAD_BYTES - ((uint64_t)1 << 20);
            CHECK(ahead.end >= (least < SIZE ? least : SIZE));
            CHECK(ahead.end <= end + PST__AHEAD_BYTES + WISH && ahead.end <= SIZE);
            check_tried(1);
        }
        /* From the front again: not told yet. */
        CHECK(!pst__ahead_is_on(&ahead, 0));
        pst__ahead_intend(&ahead, source, 0, WISH);
        CHECK_INT((int64_t)ahead.end, (int64_t)WISH);
    }
    pst__source_unref(source);
    tree_close(&tree);
}

/* Rows at random are wished for alone. */
static void at_random(void)
{
    struct pst__source *source = open_sparse();
    struct pst__ahead ahead = {0};
    for (uint64_t i = 0; i < 3000; i++) {
        uint64_t at = pst__mix64(i) % (SIZE / 16384) * 16384;
        pst__ahead_intend(&ahead, source, at, 16384);
        CHECK(ahead.n < 4 && ahead.end <= at + 16384 * 4);
    }
    pst__source_unref(source);
    tree_close(&tree);
}

CHECK_MAIN(CASE(in_order), CASE(at_random))
