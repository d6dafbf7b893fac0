/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/rng.h"
#include "transform/draw.h"
#include "transform_ops.h"

/* CutMix and MixUp: what is drawn, which bytes are mixed, and what is refused. Whether the draws
 * are torch's is a matter of tests/python/test_mix_parity.py. */

enum { N_WORDS = PST_MAX_MIXES * 2 + 600 };

static struct pst_mix_config config_of(int kind, float alpha)
{
    return (struct pst_mix_config){sizeof(struct pst_mix_config), 10, 1, 0, {{kind, alpha, 0}}};
}

/* The box by its definition, and the normal that is kept. */
static void draws(void)
{
    uint32_t words[N_WORDS];
    double normal = NAN, share = 0;
    int kept = 0, whole = 0;
    for (int i = 0; i < 2000; i++) {
        struct pst_mix_config config = config_of(PST_MIX_CUT, i % 3 ? 1.0f : 0.2f);
        struct pst_mix cut, up;
        size_t used_cut, used_up;
        double normal_cut = normal, normal_up = normal;
        for (int k = 0; k < N_WORDS; k++)
            words[k] = pst__keyed_word((uint64_t)i, (uint64_t)k);
        CHECK_INT(pst_mix_draw(&config, 20, 33, words, N_WORDS, &normal_cut, &cut, &used_cut, NULL),
                  PST_OK);
        config.part[0].kind = PST_MIX_UP;
        CHECK_INT(pst_mix_draw(&config, 20, 33, words, N_WORDS, &normal_up, &up, &used_up, NULL),
                  PST_OK);
        CHECK_INT(used_cut, used_up + 2);
        CHECK(isnan(normal_cut) == isnan(normal_up));
        int x = (int)(words[used_up] % 33), y = (int)(words[used_up + 1] % 20);
        double r = 0.5 * sqrt(1.0 - up.own);
        const struct pst_rect *box = &cut.box;
        CHECK(box->x >= 0 && box->y >= 0 && box->x + box->w <= 33 && box->y + box->h <= 20);
        CHECK(box->x == x - (int)(r * 33) || box->x == 0);
        CHECK(box->y + box->h == y + (int)(r * 20) || box->y + box->h == 20);
        CHECK(cut.own == 1.0 - box->w * box->h / 660.0);
        share += up.own;
        kept += !isnan(normal_up);
        whole += box->w == 33 && box->h == 20;
        normal = normal_up;
    }
    CHECK(fabs(share / 2000 - 0.5) < 0.03);
    CHECK(kept > 500 && kept < 1500);
    CHECK_INT(whole, 0);
}

/* A choice draws two words a part, first of all. */
static void choices(void)
{
    struct pst_mix_config config = config_of(PST_MIX_CUT, 1);
    config.is_choice = 1;
    config.n = 2;
    config.part[0].p = 1;
    config.part[1] = (struct pst_mix_part){PST_MIX_UP, 0.5f, 3};
    CHECK_INT(pst_mix_max_words(&config), 4 + PST_BETA_WORDS + 2);
    int ups = 0;
    for (int i = 0; i < 1000; i++) {
        uint32_t words[N_WORDS];
        double normal = NAN;
        struct pst_mix mix;
        size_t used;
        for (int k = 0; k < N_WORDS; k++)
            words[k] = pst__keyed_word((uint64_t)i + 5000, (uint64_t)k);
        CHECK_INT(pst_mix_draw(&config, 8, 8, words, N_WORDS, &normal, &mix, &used, NULL), PST_OK);
        ups += mix.kind == PST_MIX_UP;
    }
    CHECK(ups > 700 && ups < 800);
}

/* Words that refuse each try, as no generator that was seeded gives them, come to an end. */
static void draws_end(void)
{
    static uint32_t
        words[N_WORDS]; /* all are zero: u is 1, x is 0, and log(1) is not less than 0 */
    struct pst_mix_config config = config_of(PST_MIX_UP, 0.5f);
    struct pst_mix mix;
    double normal = NAN;
    size_t used;
    CHECK_INT(
        pst_mix_draw(&config, 8, 8, words, pst_mix_max_words(&config), &normal, &mix, &used, NULL),
        PST_OK);
    CHECK(used > 400 && used <= PST_BETA_WORDS);
    CHECK(mix.own > 0 && mix.own < 1);
}

static void refused(const struct pst_mix_config *config, const char *why)
{
    uint32_t words[N_WORDS] = {0};
    double normal = NAN;
    struct pst_mix mix;
    size_t used;
    struct pst_error err;
    pst_error_init(&err);
    CHECK_INT(pst_mix_draw(config, 8, 8, words, N_WORDS, &normal, &mix, &used, &err), PST_EINVAL);
    CHECK_HAS(err.message, why);
}

static void refusals(void)
{
    const struct pst_mix_config good = config_of(PST_MIX_UP, 1);
    struct pst_mix_config bad = good;
    struct pst_error err;
    refused(NULL, "not initialised");
    bad.n_classes = 0;
    refused(&bad, "0 classes");
    bad = good, bad.n = 9, bad.is_choice = 1;
    refused(&bad, "9 mixes");
    bad = good, bad.n = 2;
    refused(&bad, "without a choice");
    bad = good, bad.part[0].kind = 3;
    refused(&bad, "kind 3");
    bad = good, bad.part[0].alpha = 0;
    refused(&bad, "alpha is 0");
    bad = good, bad.part[0].alpha = NAN;
    refused(&bad, "alpha");
    bad = good, bad.is_choice = 1;
    refused(&bad, "no mix of a choice");
    bad.part[0].p = -1;
    refused(&bad, "probability is -1");
    uint32_t words[N_WORDS] = {0};
    double normal = NAN;
    struct pst_mix mix;
    size_t used;
    CHECK_INT(pst_mix_draw(&good, 0, 8, words, N_WORDS, &normal, &mix, &used, NULL), PST_EINVAL);
    CHECK_INT(pst_mix_draw(&good, 8, 8, words, 100, &normal, &mix, &used, NULL), PST_EINVAL);
    struct pst_transform *bytes = transform_of(NULL, 0, PST_U8, PST_ERA_DEFAULT);
    pst_error_init(&err);
    CHECK_INT(pst__mix_check(&good, bytes, &err), PST_EINVAL);
    CHECK_HAS(err.message, "float32");
    bad = good, bad.part[0].kind = PST_MIX_CUT;
    CHECK_INT(pst__mix_check(&bad, bytes, NULL), PST_OK);
    pst_transform_unref(bytes);
}

static struct pst_transform *output_of(int dtype, int layout)
{
    struct pst_output output = {.dtype = dtype, .layout = layout};
    struct pst_transform_config config = {sizeof config, NULL, 0, &output, 0, 0};
    struct pst_transform *transform = NULL;
    CHECK_INT(pst_transform_new(&transform, &config, NULL), PST_OK);
    return transform;
}

/* Each element of the box is in one piece, and nothing else is. */
static void check_pieces(int dtype, int layout, int h, int w, const struct pst_mix *mix)
{
    struct pst_transform *transform = output_of(dtype, layout);
    size_t size = pst_dtype_size(dtype), bytes = 3 * size * (size_t)h * (size_t)w;
    uint8_t *times = calloc(bytes, 1);
    CHECK(times);
    size_t n = pst__mix_pieces(mix, transform, h, w);
    for (size_t i = 0; i < n; i++) {
        struct pst__span span = pst__mix_span(mix, transform, h, w, i);
        CHECK(span.n_rows > 0 && span.bytes > 0 && span.bytes % size == 0);
        CHECK(span.n_rows * span.bytes <= PST_MIX_PIECE);
        CHECK(span.at + (span.n_rows - 1) * span.pitch + span.bytes <= bytes);
        for (size_t row = 0; row < span.n_rows; row++)
            for (size_t b = 0; b < span.bytes; b++)
                times[span.at + row * span.pitch + b]++;
    }
    for (size_t b = 0; b < bytes; b++) {
        int at = (int)(b / size);
        int x = layout == PST_LAYOUT_CHW ? at % w : at / 3 % w;
        int y = layout == PST_LAYOUT_CHW ? at / w % h : at / 3 / w;
        const struct pst_rect *box = &mix->box;
        int is_in = mix->kind == PST_MIX_UP ||
                    (x >= box->x && x < box->x + box->w && y >= box->y && y < box->y + box->h);
        CHECK_INT(times[b], is_in);
    }
    free(times);
    pst_transform_unref(transform);
}

static void pieces(void)
{
    for (int layout = PST_LAYOUT_CHW; layout <= PST_LAYOUT_HWC; layout++) {
        static const int dtypes[] = {PST_U8, PST_F16, PST_F32};
        for (int d = 0; d < 3; d++) {
            struct pst_mix cut = {PST_MIX_CUT, 0.5, {3, 2, 9, 5}};
            check_pieces(dtypes[d], layout, 11, 17, &cut);
            cut.box = (struct pst_rect){4, 3, 0, 5};
            check_pieces(dtypes[d], layout, 11, 17, &cut);
            cut.box =
                (struct pst_rect){7, 1, 61, 110}; /* a piece of several rows, the last fewer */
            check_pieces(dtypes[d], layout, 113, 79, &cut);
            cut.box = (struct pst_rect){100, 0, 9000, 2}; /* a row of several pieces */
            check_pieces(dtypes[d], layout, 2, 9101, &cut);
        }
        struct pst_mix up = {PST_MIX_UP, 0.5, {0, 0, 0, 0}};
        check_pieces(PST_F32, layout, 67, 71, &up);
    }
}

static void labels(void)
{
    struct pst_mix_config config = config_of(PST_MIX_UP, 1);
    const struct pst_mix mix = {PST_MIX_UP, (double)0.3f, {0, 0, 0, 0}};
    const int64_t of[4] = {2, 2, 9, 0};
    const float other = (float)(1.0 - (double)0.3f), own = 0.3f;
    float share[4][10];
    pst__mix_labels(&config, &mix, of, 4, &share[0][0]);
    CHECK(share[0][0] == other && share[0][2] == own);
    CHECK(share[1][2] == other + own);
    CHECK(share[2][2] == other && share[2][9] == own);
    CHECK(share[3][9] == other && share[3][0] == own);
    float sum = 0;
    for (int i = 0; i < 40; i++)
        sum += share[i / 10][i % 10];
    CHECK(fabsf(sum - 4) < 1e-6f);
    pst__mix_labels(&config, &mix, of, 1, &share[0][0]);
    CHECK(share[0][2] == other + own);
}

CHECK_MAIN(CASE(draws), CASE(choices), CASE(draws_end), CASE(refusals), CASE(pieces), CASE(labels))
