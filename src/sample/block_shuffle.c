/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/block_shuffle.h"

#include <assert.h>

#include "base/rng.h"

/* Two steps, each a bijection. Blocks one after the other in keyed order make a line of n rows, in
 * which all blocks but one are of equal length: where the last block of the dataset lies
 * (short_at), `missing` rows are left out, and every place behind it moves up by as many. The line
 * is cut into windows of whole blocks, and a permutation of its own mixes each. */

void pst__block_shuffle_init(struct pst__block_shuffle *s, uint64_t n, uint64_t block, uint64_t key)
{
    assert(n <= INT64_MAX && block > 0);
    if (block > n) /* one block; keeps n_blocks * block below 2^64 */
        block = n ? n : 1;
    uint64_t n_blocks = n / block + (n % block != 0);
    s->n = n;
    s->block = block;
    s->key = pst__mix64(key);
    s->missing = n_blocks * block - n;
    if (__builtin_mul_overflow(block, PST_SHUFFLE_WINDOW, &s->window))
        s->window = UINT64_MAX;
    pst__permutation_init(&s->blocks, n_blocks, key);
    s->short_at = n_blocks ? pst__permutation_find(&s->blocks, n_blocks - 1) : 0;
}

struct window {
    uint64_t number, start, length; /* of the line */
};

/* Where a window begins: missing rows come off behind the short block. */
static uint64_t window_start(const struct pst__block_shuffle *s, uint64_t number)
{
    uint64_t start;
    if (__builtin_mul_overflow(number, s->window, &start))
        return s->n;
    if (number > s->short_at / PST_SHUFFLE_WINDOW)
        start -= s->missing;
    return start < s->n ? start : s->n;
}

static struct window window_of(const struct pst__block_shuffle *s, uint64_t place)
{
    struct window w = {.number = place / s->window};
    /* The window of the short block ends early, so a place behind it may be one further. */
    if (place >= window_start(s, w.number + 1))
        w.number++;
    w.start = window_start(s, w.number);
    w.length = window_start(s, w.number + 1) - w.start;
    return w;
}

static void window_order(const struct pst__block_shuffle *s, const struct window *w,
                         struct pst__permutation *order)
{
    pst__permutation_init(order, w->length, s->key ^ pst__mix64(w->number + 1));
}

static uint64_t row_at(const struct pst__block_shuffle *s, uint64_t line)
{
    uint64_t short_start = s->short_at * s->block;
    if (line >= short_start + s->block - s->missing)
        line += s->missing;
    return pst__permutation_at(&s->blocks, line / s->block) * s->block + line % s->block;
}

uint64_t pst__block_shuffle_at(const struct pst__block_shuffle *s, uint64_t i)
{
    assert(i < s->n);
    struct window w = window_of(s, i);
    struct pst__permutation order;
    window_order(s, &w, &order);
    return row_at(s, w.start + pst__permutation_at(&order, i - w.start));
}

uint64_t pst__block_shuffle_find(const struct pst__block_shuffle *s, uint64_t row)
{
    assert(row < s->n);
    uint64_t at = pst__permutation_find(&s->blocks, row / s->block);
    uint64_t line = at * s->block + row % s->block;
    if (at > s->short_at)
        line -= s->missing;
    struct window w = window_of(s, line);
    struct pst__permutation order;
    window_order(s, &w, &order);
    return w.start + pst__permutation_find(&order, line - w.start);
}

void pst__block_shuffle_fill(const struct pst__block_shuffle *s, uint64_t first, uint64_t count,
                             int64_t *rows)
{
    struct window w = {0};
    struct pst__permutation order;
    for (uint64_t i = first; i < first + count; i++) {
        if (i - w.start >= w.length) {
            w = window_of(s, i);
            window_order(s, &w, &order);
        }
        *rows++ = (int64_t)row_at(s, w.start + pst__permutation_at(&order, i - w.start));
    }
}
