/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/windows.h"

#include "base/rng.h"
#include "check.h"

/* The model: every start of a document is tried, and what a window needs is said of each alone. */
static uint64_t naive(const struct pst__window_rule *rule, uint64_t begin, uint64_t size,
                      uint64_t *starts, uint64_t *sizes)
{
    uint64_t span = rule->window + (uint64_t)(rule->has_targets != 0), n = 0;
    int is_covered = 0;
    for (uint64_t at = 0; at < size; at += rule->stride) {
        uint64_t left = size - at;
        int is_whole = left >= span;
        int is_of_use = rule->is_padded && !is_covered && left > (uint64_t)rule->has_targets;
        if (!is_whole && !is_of_use)
            continue;
        starts[n] = begin + at;
        sizes[n++] = is_whole ? span : left;
        is_covered |= left <= span;
    }
    return n;
}

static void check_documents(const struct pst__window_rule *rule, const uint64_t *ends, uint64_t n)
{
    static uint64_t starts[4096], sizes[4096];
    struct pst__windows windows;
    CHECK_INT(pst__windows_init(&windows, rule, ends, n), 0);
    uint64_t total = 0, n_short = 0, n_without = 0;
    for (uint64_t d = 0; d < n; d++) {
        uint64_t begin = d ? ends[d - 1] : 0;
        uint64_t here = naive(rule, begin, ends[d] - begin, starts + total, sizes + total);
        CHECK_INT(pst__windows_of(rule, ends[d] - begin), here);
        n_without += here == 0;
        total += here;
    }
    CHECK_INT(windows.n, total);
    CHECK_INT(windows.n_without, n_without);
    for (uint64_t i = 0; i < total; i++) {
        uint64_t tokens;
        CHECK_INT(pst__windows_at(&windows, i, &tokens), starts[i]);
        CHECK_INT(tokens, sizes[i]);
        n_short += sizes[i] < pst__window_span(rule);
    }
    CHECK_INT(windows.n_short, n_short);
    pst__windows_reset(&windows);
    check_tried(1);
}

static void every_small_case(void)
{
    for (uint64_t window = 1; window <= 6; window++)
        for (uint64_t stride = 1; stride <= 9; stride++)
            for (int kind = 0; kind < 4; kind++) {
                struct pst__window_rule rule = {window, stride, kind & 1, kind >> 1};
                for (uint64_t size = 0; size <= 40; size++)
                    check_documents(&rule, &size, 1);
            }
}

static uint64_t drawn;

static uint64_t draw(uint64_t n)
{
    return pst__keyed_word(1, drawn++) % n;
}

static void many_documents(void)
{
    for (int round = 0; round < 3000; round++) {
        drawn = (uint64_t)round << 32;
        struct pst__window_rule rule = {1 + draw(9), 1 + draw(12), (int)draw(2), (int)draw(2)};
        uint64_t ends[100], n = draw(101), end = 0;
        uint64_t most = 1 + draw(30);
        for (uint64_t d = 0; d < n; d++)
            ends[d] = end += draw(most);
        check_documents(&rule, ends, n);
    }
}

/* Near the end of what can be counted. */
static void huge(void)
{
    struct pst__window_rule rule = {2048, 2048, 1, 1};
    uint64_t end = INT64_MAX, tokens;
    struct pst__windows windows;
    CHECK_INT(pst__windows_init(&windows, &rule, &end, 1), 0);
    CHECK_INT(windows.n, ((uint64_t)INT64_MAX - 2049) / 2048 + 2);
    uint64_t last = pst__windows_at(&windows, windows.n - 1, &tokens);
    CHECK_INT(last, (windows.n - 1) * 2048);
    CHECK_INT(tokens, end - last);
    rule = (struct pst__window_rule){UINT64_MAX - 1, UINT64_MAX, 1, 0};
    CHECK_INT(pst__windows_of(&rule, UINT64_MAX - 1), 0);
    CHECK_INT(pst__windows_of(&rule, UINT64_MAX), 1);
    rule.is_padded = 1;
    CHECK_INT(pst__windows_of(&rule, UINT64_MAX - 1), 1);
}

static void nothing(void)
{
    struct pst__window_rule rule = {4, 4, 1, 0};
    struct pst__windows windows;
    CHECK_INT(pst__windows_init(&windows, &rule, NULL, 0), 0);
    CHECK_INT(windows.n, 0);
    pst__windows_reset(&windows);
    pst__windows_reset(&windows);
}

CHECK_MAIN(CASE(every_small_case), CASE(many_documents), CASE(huge), CASE(nothing))
