/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"

#include "check.h"

/* The published outputs for the default seed of the reference implementation; the 10000th is the
 * one that the C++ standard prescribes (26.5.5). */
static void published_outputs(void)
{
    static uint32_t words[10000];
    struct pst__mt mt;
    pst__mt_seed(&mt, 5489);
    CHECK_INT(mt.given, PST_MT_N);
    pst__mt_fill(&mt, words, 10000);
    CHECK_INT(words[0], 3499211612u);
    CHECK_INT(words[1], 581869302u);
    CHECK_INT(words[2], 3890346734u);
    CHECK_INT(words[3], 3586334585u);
    CHECK_INT(words[4], 545404204u);
    CHECK_INT(words[9999], 4123659995u);
}

/* As numpy.random.RandomState(seed) gives them, which seeds the same way. */
static void other_seeds_differ(void)
{
    uint32_t a[2], b[2];
    struct pst__mt mt;
    pst__mt_seed(&mt, 0);
    pst__mt_fill(&mt, a, 2);
    CHECK_INT(a[0], 2357136044u);
    CHECK_INT(a[1], 2546248239u);
    pst__mt_seed(&mt, 0xffffffffu);
    pst__mt_fill(&mt, b, 2);
    CHECK_INT(b[0], 419326371u);
    CHECK_INT(b[1], 479346978u);
}

/* Words taken one by one, in odd portions and from a copied state in the middle of a block are the
 * words of one long fill. */
static void portions_and_continuation(void)
{
    static uint32_t all[3000], some[3000];
    struct pst__mt mt, copy;
    pst__mt_seed(&mt, 42);
    pst__mt_fill(&mt, all, 3000);
    static const size_t portions[] = {1, 2, 623, 624, 625, 1000};
    for (size_t p = 0; p < 6; p++) {
        pst__mt_seed(&mt, 42);
        for (size_t at = 0; at < 3000; at += portions[p]) {
            size_t n = 3000 - at < portions[p] ? 3000 - at : portions[p];
            pst__mt_fill(&mt, some + at, n);
        }
        CHECK(memcmp(all, some, sizeof all) == 0);
    }
    for (size_t first = 0; first < 1300; first += 13) {
        pst__mt_seed(&mt, 42);
        pst__mt_fill(&mt, some, first);
        copy = (struct pst__mt){.given = mt.given};
        memcpy(copy.state, mt.state, sizeof copy.state);
        pst__mt_fill(&copy, some, 700);
        CHECK(memcmp(all + first, some, 700 * sizeof *some) == 0);
    }
    pst__mt_fill(&mt, some, 0);
}

static void mixes(void)
{
    /* SplitMix64 seeded with 1234567: the outputs printed with the generator's test vectors. */
    CHECK(pst__mix64(1234567 + 0x9e3779b97f4a7c15u) == 6457827717110365317u);
    CHECK(pst__mix64(1234567 + 2 * 0x9e3779b97f4a7c15u) == 3203168211198807973u);
    CHECK(pst__mix64(0) == 0);
}

static void keyed_words(void)
{
    /* Keys one step of the stream apart must not be one stream. */
    uint64_t key = 99, step = 0x9e3779b97f4a7c15u;
    int same = 0, ones = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        same += pst__keyed_word(key, i + 1) == pst__keyed_word(key + step, i);
        same += pst__keyed_word(key, i) == pst__keyed_word(key + 1, i);
        ones += __builtin_popcount(pst__keyed_word(key, i));
    }
    CHECK(same < 3);
    CHECK(ones > 15700 && ones < 16300); /* 16000 expected, deviation 89 */
    CHECK_INT(pst__keyed_word(key, 5), pst__keyed_word(key, 5));
}

/* As Python's random.seed(seed) and getrandbits(32) give them: seeds of one word and of two. */
static void seeded_as_python(void)
{
    static const struct {
        uint64_t seed;
        uint32_t first, second, word_1999;
    } known[] = {{0, 3626764237u, 1654615998u, 3908016617u},
                 {5489, 3382763572u, 956215839u, 3857853497u},
                 {UINT64_C(4294967297), 991850117u, 2151679444u, 467436904u},
                 {UINT64_MAX, 93740670u, 1068495656u, 4117718281u}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct pst__mt mt, skipped;
        pst__mt_seed_words(&mt, known[i].seed);
        skipped = mt;
        CHECK_INT(mt.given, PST_MT_N);
        CHECK_INT(pst__mt_next(&mt), known[i].first);
        CHECK_INT(pst__mt_next(&mt), known[i].second);
        pst__mt_skip(&mt, 0);
        pst__mt_skip(&mt, 1997);
        CHECK_INT(pst__mt_next(&mt), known[i].word_1999);
        for (size_t at = 0; at < 2000; at += 250)
            pst__mt_skip(&skipped, 250);
        CHECK(skipped.given == mt.given && !memcmp(skipped.state, mt.state, sizeof mt.state));
    }
}

CHECK_MAIN(CASE(seeded_as_python), CASE(published_outputs), CASE(other_seeds_differ),
           CASE(portions_and_continuation), CASE(mixes), CASE(keyed_words))
