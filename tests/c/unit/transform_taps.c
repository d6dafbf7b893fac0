/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/axis.h"

#include <penstock/transform.h>

#include "base/limits.h"
#include "check.h"

#define ONE (1 << PST_TAP_BITS)

struct table {
    struct pst__taps taps;
    struct pst__scratch block, work;
};

static const struct pst__taps *build(struct table *table, const struct pst__axis *axis,
                                     enum pst__taps_layout layout)
{
    CHECK(pst__taps_build(&table->taps, axis, layout, &table->block, &table->work));
    return &table->taps;
}

static void reset(struct table *table)
{
    pst__scratch_reset(&table->block);
    pst__scratch_reset(&table->work);
}

/* Worked out beside this, from the filters' definitions. */
static void known_lists(void)
{
    static const struct {
        struct pst__axis axis;
        int start, count;
        int32_t coef[6];
    } cases[] = {
        {{4, 8, PST_FILTER_BICUBIC, 3, 1}, 0, 4, {-294912, 3637248, 950272, -98304}},
        {{8, 16, PST_FILTER_LANCZOS, 7, 1},
         1,
         6,
         {126300, -558994, 3744552, 1136701, -285201, 30947}},
        {{7, 3, PST_FILTER_HAMMING, 1, 1}, 1, 5, {43056, 989945, 2128302, 989945, 43056}},
        /* The middle one is 1657869 when the filter's constants are not those of float32. */
        {{9, 3, PST_FILTER_HAMMING, 1, 1}, 2, 6, {212512, 1055706, 1657868, 1055706, 212512, 0}},
        /* Of 15 fraction bits: the largest weight of the axis is 5 / 8, at its ends. */
        {{6, 4, PST_FILTER_OF_TENSOR | PST_FILTER_BILINEAR, 1, 1},
         1,
         3,
         {10923 << 7, 18204 << 7, 3641 << 7}},
    };
    struct table table = {0};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const struct pst__taps *taps = build(&table, &cases[c].axis, PST_TAPS_ROWS);
        int32_t start, end;
        pst__axis_range(&cases[c].axis, &start, &end);
        CHECK_INT(start, cases[c].start);
        CHECK_INT(taps->count[0], cases[c].count);
        for (int k = 0; k < cases[c].count; k++)
            CHECK_INT(taps->coef[k], cases[c].coef[k]);
    }
    reset(&table);
}

static void known_values(void)
{
    struct table table = {0};
    const struct pst__taps *taps =
        build(&table, &(struct pst__axis){4, 2, PST_FILTER_BILINEAR, 0, 2}, PST_TAPS_ROWS);
    static const int32_t half[] = {1797559, 1797559, 599186, 599186, 1797559, 1797559};
    CHECK_INT(taps->ksize, 3);
    for (int i = 0; i < 6; i++)
        CHECK_INT(taps->coef[i], half[i]);
    CHECK_INT(taps->start[0], 0);
    CHECK_INT(taps->start[1], 1);

    taps = build(&table, &(struct pst__axis){2, 1, PST_FILTER_BICUBIC, 0, 1}, PST_TAPS_ROWS);
    CHECK_INT(taps->count[0], 2);
    CHECK_INT(taps->coef[0], ONE / 2);
    CHECK_INT(taps->coef[1], ONE / 2);

    taps = build(&table, &(struct pst__axis){1, 5, PST_FILTER_LANCZOS, 0, 5}, PST_TAPS_ROWS);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(taps->count[i], 1);
        CHECK_INT(taps->coef[i * taps->ksize], ONE);
    }
    taps = build(&table, &(struct pst__axis){6, 3, PST_FILTER_BOX, 0, 3}, PST_TAPS_ROWS);
    for (int i = 0; i < 3; i++) {
        int32_t sum = 0;
        for (int k = 0; k < taps->count[i]; k++) {
            int32_t coef = taps->coef[i * taps->ksize + k];
            CHECK(coef == 0 || coef == ONE / 2);
            sum += coef;
        }
        CHECK_INT(sum, ONE);
    }
    reset(&table);
}

static const int filters[] = {
    PST_FILTER_LANCZOS,
    PST_FILTER_BILINEAR,
    PST_FILTER_BICUBIC,
    PST_FILTER_BOX,
    PST_FILTER_HAMMING,
    PST_FILTER_OF_TENSOR | PST_FILTER_LANCZOS,
    PST_FILTER_OF_TENSOR | PST_FILTER_BILINEAR,
    PST_FILTER_OF_TENSOR | PST_FILTER_BICUBIC,
};

/* What rounding leaves of a coefficient, at most: half a unit, of 14 bits for the largest. */
static int32_t most_rounding(const struct pst__axis *axis)
{
    return axis->filter & PST_FILTER_OF_TENSOR ? 1 << 7 : 1;
}

/* What kernels.h promises to the kernels. */
static void check_contract(const struct pst__taps *taps, const struct pst__axis *axis)
{
    int32_t start, end, most = 0;
    pst__axis_range(axis, &start, &end);
    CHECK(start >= 0 && start < end && end <= axis->in);
    CHECK_INT(taps->n, axis->n);
    CHECK(taps->pitch >= taps->n && taps->pitch % PST_TAP_LANES == 0);
    CHECK_INT(taps->start[0], 0);
    for (int i = 0; i < taps->n; i++) {
        CHECK(i == 0 || taps->start[i] >= taps->start[i - 1]);
        CHECK(taps->count[i] >= 1 && taps->count[i] <= taps->ksize);
        CHECK(start + taps->start[i] + taps->count[i] <= end);
        most = taps->count[i] > most ? taps->count[i] : most;
        int64_t sum = 0, positive = 0;
        for (int k = 0; k < taps->ksize; k++) {
            int32_t coef = taps->coef[(ptrdiff_t)k * taps->pitch + i];
            CHECK(k < taps->count[i] || coef == 0);
            sum += coef;
            positive += coef > 0 ? coef : 0;
        }
        int64_t most_off = (int64_t)taps->count[i] * most_rounding(axis);
        CHECK(sum >= ONE - most_off && sum <= ONE + most_off);
        CHECK(positive <= 2 * (int64_t)ONE); /* sums of products fit in 32 bits */
    }
    CHECK_INT(most, taps->ksize);
    CHECK_INT(start + taps->start[taps->n - 1] + taps->count[taps->n - 1], end);
    for (int i = taps->n; i < taps->pitch; i++) {
        CHECK_INT(taps->start[i], taps->start[taps->n - 1]);
        CHECK_INT(taps->count[i], 0);
        for (int k = 0; k < taps->ksize; k++)
            CHECK_INT(taps->coef[(ptrdiff_t)k * taps->pitch + i], 0);
    }
}

static void contract(void)
{
    static const int32_t sizes[] = {1, 2, 3, 5, 16, 17, 63, 100, 225, 1000};
    struct table table = {0};
    for (size_t f = 0; f < sizeof filters / sizeof *filters; f++) {
        for (size_t a = 0; a < 10; a++) {
            for (size_t b = 0; b < 10; b++) {
                struct pst__axis axis = {sizes[a], sizes[b], filters[f], 0, sizes[b]};
                check_contract(build(&table, &axis, PST_TAPS_COLUMNS), &axis);
            }
        }
        struct pst__axis extreme[] = {{PST_MAX_SIDE, 1, filters[f], 0, 1},
                                      {PST_MAX_SIDE, 3, filters[f], 1, 1},
                                      {1, PST_MAX_SIDE, filters[f], 0, PST_MAX_SIDE},
                                      {2, PST_MAX_SIDE, filters[f], 40000, 7}};
        for (size_t i = 0; i < 4; i++)
            check_contract(build(&table, &extreme[i], PST_TAPS_COLUMNS), &extreme[i]);
    }
    reset(&table);
}

/* The taps of a range are those of the whole axis, whichever way they are laid out. */
static void ranges_and_layouts(void)
{
    struct table whole = {0}, part = {0};
    for (size_t f = 0; f < sizeof filters / sizeof *filters; f++) {
        struct pst__axis axis = {97, 41, filters[f], 0, 41};
        const struct pst__taps *all = build(&whole, &axis, PST_TAPS_COLUMNS);
        for (axis.first = 0; axis.first < 41; axis.first += 7) {
            for (axis.n = 1; axis.first + axis.n <= 41; axis.n += 5) {
                const struct pst__taps *some = build(&part, &axis, PST_TAPS_ROWS);
                int32_t start, end;
                pst__axis_range(&axis, &start, &end);
                CHECK_INT(start, all->start[axis.first]);
                for (int i = 0; i < axis.n; i++) {
                    int at = axis.first + i;
                    CHECK_INT(some->count[i], all->count[at]);
                    CHECK_INT(some->start[i] + start, all->start[at]);
                    for (int k = 0; k < some->count[i]; k++)
                        CHECK_INT(some->coef[i * some->ksize + k], all->coef[k * all->pitch + at]);
                }
            }
        }
    }
    reset(&whole);
    reset(&part);
}

static void nearest(void)
{
    static int32_t all[2000], some[2000];
    static const int32_t sizes[] = {1, 2, 3, 7, 10, 49, 333, 1999};
    for (size_t a = 0; a < 8; a++) {
        for (size_t b = 0; b < 8; b++) {
            struct pst__axis axis = {sizes[a], sizes[b], PST_FILTER_NEAREST, 0, sizes[b]};
            int32_t start, end;
            pst__nearest(&axis, all);
            for (int i = 0; i < axis.n; i++)
                CHECK(all[i] >= 0 && all[i] < axis.in && (i == 0 || all[i] >= all[i - 1]));
            axis.first = axis.n / 3;
            axis.n = axis.n - axis.first;
            pst__nearest(&axis, some);
            CHECK(memcmp(some, all + axis.first, (size_t)axis.n * sizeof *all) == 0);
            pst__axis_range(&axis, &start, &end);
            CHECK_INT(start, some[0]);
            CHECK_INT(end, some[axis.n - 1] + 1);
        }
    }
    /* The steps are added up: after 2 of 1.5 comes column 3, and no rounding to a neighbour. */
    pst__nearest(&(struct pst__axis){6, 4, PST_FILTER_NEAREST, 0, 4}, all);
    static const int32_t by_hand[] = {0, 2, 3, 5};
    CHECK(memcmp(all, by_hand, sizeof by_hand) == 0);
}

static void cache(void)
{
    struct pst__tap_cache cache = {0};
    int64_t live = pst__mem_live(PST_MEM_SCRATCH);
    struct pst__axis axis = {100, 50, PST_FILTER_BILINEAR, 0, 50};
    const struct pst__taps *first = pst__tap_cache_get(&cache, &axis, PST_TAPS_COLUMNS);
    CHECK(first);
    const struct pst__taps *rows = pst__tap_cache_get(&cache, &axis, PST_TAPS_ROWS);
    CHECK(rows && rows != first);
    CHECK(pst__tap_cache_get(&cache, &axis, PST_TAPS_COLUMNS) == first);
    struct pst__axis others[] = {{99, 50, PST_FILTER_BILINEAR, 0, 50},
                                 {100, 51, PST_FILTER_BILINEAR, 0, 50},
                                 {100, 50, PST_FILTER_BICUBIC, 0, 50},
                                 {100, 50, PST_FILTER_BILINEAR, 0, 49},
                                 {100, 50, PST_FILTER_BILINEAR, 1, 49}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const struct pst__taps *taps = pst__tap_cache_get(&cache, &others[i], PST_TAPS_COLUMNS);
        CHECK(taps && taps != first);
        CHECK_INT(taps->n, others[i].n);
        static const int32_t starts[] = {1, 1, 0, 1, 2};
        CHECK_INT(taps->start[1], starts[i]);
    }
    /* Others come and go; the one in use stays what it is. */
    for (int i = 0; i < 100; i++) {
        struct pst__axis other = {101 + i, 50, PST_FILTER_BILINEAR, 0, 50};
        CHECK(pst__tap_cache_get(&cache, &other, PST_TAPS_COLUMNS));
        CHECK(pst__tap_cache_get(&cache, &axis, PST_TAPS_COLUMNS) == first);
        CHECK_INT(first->n, 50);
        CHECK_INT(first->count[0], 3);
    }
    CHECK_INT(pst__mem_live(PST_MEM_SCRATCH) - live, pst__tap_cache_bytes(&cache));

    /* Large tables do not pile up. */
    for (int i = 0; i < 40; i++) {
        struct pst__axis large = {60000, 10000 + i, PST_FILTER_LANCZOS, 0, 10000};
        CHECK(pst__tap_cache_get(&cache, &large, PST_TAPS_ROWS));
        CHECK(pst__tap_cache_get(&cache, &axis, PST_TAPS_COLUMNS));
        CHECK(pst__tap_cache_bytes(&cache) < 16u << 20);
    }
    pst__tap_cache_reset(&cache);
    CHECK_INT(pst__mem_live(PST_MEM_SCRATCH), live);
}

CHECK_MAIN(CASE(known_lists), CASE(known_values), CASE(contract), CASE(ranges_and_layouts),
           CASE(nearest), CASE(cache))
