/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/mix.h>

#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/status.h"
#include "kernels/kernels.h"
#include "transform/draw.h"
#include "transform/ops.h"

/* CutMix and MixUp of torchvision's v2: draws for a batch, and the work on it in pieces. */

static int check_part(const struct pst_mix_config *config, int32_t i, struct pst_error *err)
{
    const struct pst_mix_part *part = &config->part[i];
    PST_REQUIRE(part->kind == PST_MIX_CUT || part->kind == PST_MIX_UP, err,
                "part %d of a mix: kind %d is unknown", i, part->kind);
    PST_REQUIRE(part->alpha > 0 && isfinite(part->alpha), err,
                "part %d of a mix: alpha is %g, expected more than 0", i, (double)part->alpha);
    PST_REQUIRE(!config->is_choice || (part->p >= 0 && isfinite(part->p)), err,
                "part %d of a mix: its probability is %g", i, (double)part->p);
    return PST_OK;
}

static int check_config(const struct pst_mix_config *config, struct pst_error *err)
{
    PST_REQUIRE(config && config->struct_size == sizeof *config, err,
                "the mix config is not initialised");
    PST_REQUIRE(config->n_classes > 0, err, "a mix of %d classes", config->n_classes);
    PST_REQUIRE(config->n >= 1 && config->n <= PST_MAX_MIXES, err, "%d mixes, expected 1 to %d",
                config->n, PST_MAX_MIXES);
    PST_REQUIRE(config->is_choice || config->n == 1, err, "%d mixes without a choice", config->n);
    float sum = 0;
    for (int32_t i = 0; i < config->n; i++) {
        int rc = check_part(config, i, err);
        if (rc < 0)
            return rc;
        sum += config->part[i].p;
    }
    PST_REQUIRE(!config->is_choice || sum > 0, err, "no mix of a choice has a probability");
    return PST_OK;
}

int pst__mix_check(const struct pst_mix_config *config, const struct pst_transform *transform,
                   struct pst_error *err)
{
    int rc = check_config(config, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(pst_transform_images(transform) == 1, err, "samples of %d images are mixed",
                pst_transform_images(transform));
    for (int32_t i = 0; i < config->n; i++)
        PST_REQUIRE(config->part[i].kind == PST_MIX_CUT ||
                        pst__transform_dtype(transform) == PST_F32,
                    err, "shares of images are for float32");
    return PST_OK;
}

size_t pst_mix_max_words(const struct pst_mix_config *config)
{
    return (config->is_choice ? 2 * (size_t)config->n : 0) + PST_BETA_WORDS + 2;
}

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* CutMix.make_params(), whose arithmetic is Python's: double, and int() cuts off. */
static void draw_box(struct pst__draws *draws, int32_t h, int32_t w, struct pst_mix *mix)
{
    int32_t x = pst__draw_below(draws, w), y = pst__draw_below(draws, h);
    double r = 0.5 * sqrt(1.0 - mix->own);
    int32_t half_w = (int32_t)(r * w), half_h = (int32_t)(r * h);
    int32_t x1 = x > half_w ? x - half_w : 0, y1 = y > half_h ? y - half_h : 0;
    int32_t x2 = least(x + half_w, w), y2 = least(y + half_h, h);
    mix->box = (struct pst_rect){x1, y1, x2 - x1, y2 - y1};
    mix->own = 1.0 - (double)((int64_t)mix->box.w * mix->box.h) / (double)((int64_t)w * h);
}

void pst__mix_draw(const struct pst_mix_config *config, int32_t h, int32_t w,
                   struct pst__draws *draws, double *normal, struct pst_mix *mix)
{
    int32_t which = 0;
    double p[PST_MAX_MIXES];
    for (int32_t i = 0; i < config->n; i++)
        p[i] = (double)config->part[i].p;
    if (config->is_choice)
        which = pst__draw_choice(draws, p, config->n);
    *mix = (struct pst_mix){.kind = config->part[which].kind};
    mix->own = (double)pst__draw_beta(draws, normal, config->part[which].alpha);
    if (mix->kind == PST_MIX_CUT)
        draw_box(draws, h, w, mix);
}

int pst_mix_draw(const struct pst_mix_config *config, int32_t h, int32_t w, const uint32_t *words,
                 size_t n_words, double *normal, struct pst_mix *mix, size_t *used,
                 struct pst_error *err)
{
    int rc = check_config(config, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(h > 0 && w > 0 && h <= PST_MAX_PLAN_SIDE && w <= PST_MAX_PLAN_SIDE, err,
                "a batch of %d x %d", h, w);
    PST_REQUIRE(words && n_words >= pst_mix_max_words(config), err,
                "%zu words, up to %zu are drawn", n_words, pst_mix_max_words(config));
    PST_REQUIRE(normal && mix && used, err, "there is no place for what is drawn");
    struct pst__draws draws = {.words = words};
    pst__mix_draw(config, h, w, &draws, normal, mix);
    *used = draws.used;
    return PST_OK;
}

_Static_assert(PST_MIX_MOST_WORDS >= 2 * PST_MAX_MIXES + PST_BETA_WORDS + 2, "words of a mix");

/* The part of a sample that is mixed: rows of so many bytes, `pitch` apart, in planes. */
struct area {
    size_t at, row_bytes, pitch, n_rows, plane, n_planes;
};

static struct area area_of(const struct pst_mix *mix, const struct pst_transform *transform,
                           int32_t h, int32_t w)
{
    size_t channels = (size_t)transform->channels, pixels = (size_t)w * (size_t)h;
    size_t size = pst_dtype_size(transform->output.dtype);
    if (mix->kind == PST_MIX_UP)
        return (struct area){0, pixels * channels * size, 0, 1, 0, 1};
    int is_planar = transform->output.layout == PST_LAYOUT_CHW;
    if (!is_planar)
        size *= channels;
    return (struct area){
        .at = ((size_t)mix->box.y * (size_t)w + (size_t)mix->box.x) * size,
        .row_bytes = (size_t)mix->box.w * size,
        .pitch = (size_t)w * size,
        .n_rows = (size_t)mix->box.h,
        .plane = pixels * size,
        .n_planes = is_planar ? channels : 1,
    };
}

/* Rows that are longer than a piece are cut; several shorter ones are a piece together. */
static size_t pieces_of_row(const struct area *area)
{
    return (area->row_bytes + PST_MIX_PIECE - 1) / PST_MIX_PIECE;
}

static size_t rows_of_piece(const struct area *area)
{
    return area->row_bytes < PST_MIX_PIECE ? PST_MIX_PIECE / area->row_bytes : 1;
}

static size_t pieces_of_plane(const struct area *area)
{
    size_t rows = rows_of_piece(area);
    return (area->n_rows + rows - 1) / rows * pieces_of_row(area);
}

size_t pst__mix_pieces(const struct pst_mix *mix, const struct pst_transform *transform, int32_t h,
                       int32_t w)
{
    struct area area = area_of(mix, transform, h, w);
    return area.row_bytes == 0 ? 0 : pieces_of_plane(&area) * area.n_planes;
}

struct pst__span pst__mix_span(const struct pst_mix *mix, const struct pst_transform *transform,
                               int32_t h, int32_t w, size_t piece)
{
    struct area area = area_of(mix, transform, h, w);
    size_t in_plane = pieces_of_plane(&area), in_row = pieces_of_row(&area);
    size_t n_rows = rows_of_piece(&area), row = piece % in_plane / in_row * n_rows;
    size_t from = piece % in_plane % in_row * PST_MIX_PIECE, bytes = area.row_bytes - from;
    return (struct pst__span){
        .at = area.at + piece / in_plane * area.plane + row * area.pitch + from,
        .bytes = bytes < PST_MIX_PIECE ? bytes : PST_MIX_PIECE,
        .pitch = area.pitch,
        .n_rows = area.n_rows - row < n_rows ? area.n_rows - row : n_rows,
    };
}

void pst__mix_keep(const struct pst__span *span, const uint8_t *own, uint8_t *kept)
{
    for (size_t row = 0; row < span->n_rows; row++)
        memcpy(kept + row * span->bytes, own + row * span->pitch, span->bytes);
}

/* torch puts the scalars of mul_() into float32. */
void pst__mix_pair(const struct pst_mix *mix, const struct pst__span *span, uint8_t *own,
                   const uint8_t *other, size_t other_pitch)
{
    float share = (float)(1.0 - mix->own), own_share = (float)mix->own;
    for (size_t row = 0; row < span->n_rows; row++) {
        uint8_t *to = own + row * span->pitch;
        const uint8_t *from = other + row * other_pitch;
        if (mix->kind == PST_MIX_CUT)
            memcpy(to, from, span->bytes);
        else
            pst__kernels()->mix_f32(to, from, span->bytes / sizeof(float), share, own_share);
    }
}

/* one_hot(), and then as images are: a class that is both has the rounded sum. */
void pst__mix_labels(const struct pst_mix_config *config, const struct pst_mix *mix,
                     const int64_t *labels, size_t n, float *share)
{
    size_t n_classes = (size_t)config->n_classes;
    memset(share, 0, n * n_classes * sizeof *share);
    for (size_t i = 0; i < n; i++) {
        float *row = share + i * n_classes;
        row[labels[i ? i - 1 : n - 1]] += (float)(1.0 - mix->own);
        row[labels[i]] += (float)mix->own;
    }
}
