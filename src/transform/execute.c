/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/status.h"
#include "transform/change.h"
#include "transform/draw.h"
#include "transform/luma_rows.h"
#include "transform/noise.h"
#include "transform/ops.h"
#include "transform/pixels.h"
#include "transform/segment.h"
#include "transform/sink.h"
#include "transform/axis.h"

/* Runs a plan, segment after segment. Rows are taken from the source a strip at a time and go on
 * while they are in the cache; a segment but the last leaves an RGBX image for the next. Where a
 * sample has several images the last one does, too, and they are cut out of it. */

#define STRIP 16              /* rows asked for at a time */
#define LINE 64               /* what kernels round their writes up to */
#define PLANE_STRIP (1 << 14) /* pixels that are taken apart into planes at a time */

struct pst__executor {
    struct pst__tap_cache taps;
    struct pst__scratch planes;   /* rows between horizontal and vertical pass */
    struct pst__scratch line;     /* one row after both, or between vertical and horizontal */
    struct pst__scratch unpacked; /* the sink's */
    struct pst__scratch index;    /* nearest neighbour */
    struct pst__scratch image[2]; /* between segments and changes, in turn */
    struct pst__scratch work;     /* the changes' */
    struct pst__scratch rgbx;     /* rows of pixels that were given in another form */
    struct pst__scratch luma;     /* rows of a source that is made grey */
    struct pst__scratch normals;  /* that are written in the place of pixels, and their words */
};

/* One segment at work. */
struct job {
    struct pst__executor *executor;
    const struct pst__kernels *kernels;
    const struct pst__segment *segment;
    const struct pst__geometry *geometry;
    const struct pst__row_source *source;
    const struct pst_pixels *pixels; /* the same, where it lies in memory as it was given */
    const struct pst__sink *sink;
};

int pst__executor_new(struct pst__executor **out, struct pst_error *err)
{
    struct pst__executor *executor = pst__calloc(1, sizeof *executor, PST_MEM_HEAP);
    if (!executor)
        return pst__fail(err, PST_ENOMEM, "no memory for an executor");
    *out = executor;
    return PST_OK;
}

#define N_BLOCKS 10
static void blocks_of(struct pst__executor *executor, struct pst__scratch *block[N_BLOCKS])
{
    struct pst__scratch *all[N_BLOCKS] = {
        &executor->planes,   &executor->line,     &executor->unpacked, &executor->index,
        &executor->image[0], &executor->image[1], &executor->work,     &executor->rgbx,
        &executor->luma,     &executor->normals};
    for (int i = 0; i < N_BLOCKS; i++)
        block[i] = all[i];
}

static void give_back(struct pst__executor *executor)
{
    struct pst__scratch *block[N_BLOCKS];
    blocks_of(executor, block);
    for (int i = 0; i < N_BLOCKS; i++)
        pst__scratch_trim(block[i]);
}

void pst__executor_free(struct pst__executor *executor)
{
    if (!executor)
        return;
    struct pst__scratch *block[N_BLOCKS];
    blocks_of(executor, block);
    for (int i = 0; i < N_BLOCKS; i++)
        pst__scratch_reset(block[i]);
    pst__tap_cache_reset(&executor->taps);
    pst__free(executor);
}

size_t pst__executor_bytes(const struct pst__executor *executor)
{
    return sizeof *executor + pst__tap_cache_bytes(&executor->taps) + executor->planes.size +
           executor->line.size + executor->unpacked.size + executor->index.size +
           executor->image[0].size + executor->image[1].size + executor->work.size +
           executor->rgbx.size + executor->luma.size + executor->normals.size;
}

static int no_memory(const struct job *job, struct pst_error *err)
{
    const struct pst__segment *s = job->segment;
    return pst__fail(err, PST_ENOMEM, "no memory to resize %d x %d pixels to %d x %d", s->in.w,
                     s->in.h, s->rs_w, s->rs_h);
}

static int no_image(int32_t w, int32_t h, struct pst_error *err)
{
    return pst__fail(err, PST_ENOMEM, "no memory for an image of %d x %d pixels", w, h);
}

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* The next strip of the source. */
static int take(const struct job *job, int max_rows, const uint8_t **rows, ptrdiff_t *stride,
                int *n_rows, struct pst_error *err)
{
    int rc = job->source->rows(job->source->self, max_rows, rows, stride, n_rows, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(*n_rows > 0 && *n_rows <= max_rows, err, "a source gave %d rows of at most %d",
                *n_rows, max_rows);
    return PST_OK;
}

static int strip_of(int32_t left)
{
    return left < STRIP ? left : STRIP;
}

/* Nothing of the source shows, but its rows have to be taken. */
static int run_nothing(const struct job *job, struct pst_error *err)
{
    const uint8_t *rows;
    ptrdiff_t stride;
    int n;
    for (int32_t done = 0; done < job->geometry->need.h; done += n) {
        int rc = take(job, strip_of(job->geometry->need.h - done), &rows, &stride, &n, err);
        if (rc < 0)
            return rc;
    }
    return PST_OK;
}

/* Pixels in memory go to the sample as planes, without becoming RGBX. */
static int run_planes(const struct job *job, struct pst_error *err)
{
    const struct pst_pixels *p = job->pixels;
    ptrdiff_t channel = p->channels == 1 ? 0 : p->channel;
    if (p->pixel == 1) {
        pst__sink_rows(job->sink, 0, p->height, p->data, p->row, channel);
        return PST_OK;
    }
    int32_t strip = PLANE_STRIP / p->width;
    strip = strip < 1 ? 1 : strip < p->height ? strip : p->height;
    size_t plane = round_up((size_t)strip * (size_t)p->width, LINE) + LINE;
    uint8_t *planes = pst__scratch_reserve(&job->executor->planes, 3 * plane);
    if (!planes)
        return no_memory(job, err);
    for (int32_t y = 0; y < p->height; y += strip) {
        int32_t n = p->height - y < strip ? p->height - y : strip;
        pst__pixels_planes(p, y, n, planes, (ptrdiff_t)plane, job->kernels);
        pst__sink_rows(job->sink, y, n, planes, p->width, channel == 0 ? 0 : (ptrdiff_t)plane);
    }
    return PST_OK;
}

static int run_copy(const struct job *job, struct pst_error *err)
{
    if (job->pixels && job->sink->transform)
        return run_planes(job, err);
    const uint8_t *rows;
    ptrdiff_t stride;
    int n;
    for (int32_t done = 0; done < job->geometry->need.h; done += n) {
        int rc = take(job, strip_of(job->geometry->need.h - done), &rows, &stride, &n, err);
        if (rc < 0)
            return rc;
        for (int i = 0; i < n; i++)
            pst__sink_rgbx(job->sink, done + i, rows + i * stride);
    }
    return PST_OK;
}

static struct pst__axis x_axis(const struct job *job)
{
    return (struct pst__axis){job->segment->in.w, job->segment->rs_w, job->segment->filter,
                              job->geometry->seen.x, job->geometry->seen.w};
}

static struct pst__axis y_axis(const struct job *job)
{
    return (struct pst__axis){job->segment->in.h, job->segment->rs_h, job->segment->filter,
                              job->geometry->seen.y, job->geometry->seen.h};
}

static void pick(uint8_t *dst, const uint8_t *row, const int32_t *column, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        __builtin_memcpy(dst + (size_t)i * 4, row + (ptrdiff_t)column[i] * 4, 4);
}

static int run_nearest(const struct job *job, struct pst_error *err)
{
    struct pst__axis x = x_axis(job), y = y_axis(job);
    int32_t *column =
        pst__scratch_reserve(&job->executor->index, ((size_t)x.n + (size_t)y.n) * sizeof *column);
    uint8_t *line = pst__scratch_reserve(&job->executor->line, (size_t)x.n * 4);
    if (!column || !line)
        return no_memory(job, err);
    int32_t *row = column + x.n;
    pst__nearest(&x, column);
    pst__nearest(&y, row);
    for (int32_t i = x.n - 1; i >= 0; i--)
        column[i] -= column[0];
    for (int32_t i = y.n - 1; i >= 0; i--)
        row[i] -= row[0];

    const uint8_t *rows;
    ptrdiff_t stride;
    int n;
    int32_t out = 0;
    for (int32_t done = 0; done < job->geometry->need.h; done += n) {
        int rc = take(job, strip_of(job->geometry->need.h - done), &rows, &stride, &n, err);
        if (rc < 0)
            return rc;
        for (; out < y.n && row[out] < done + n; out++) {
            pick(line, rows + (row[out] - done) * stride, column, x.n);
            pst__sink_rgbx(job->sink, out, line);
        }
    }
    return PST_OK;
}

/* The width alone changes. */
static int run_horizontal(const struct job *job, struct pst_error *err)
{
    struct pst__axis x = x_axis(job);
    const struct pst__taps *taps = pst__tap_cache_get(&job->executor->taps, &x, PST_TAPS_COLUMNS);
    if (!taps)
        return no_memory(job, err);
    ptrdiff_t row = 3 * (ptrdiff_t)taps->pitch;
    uint8_t *planes = pst__scratch_reserve(&job->executor->planes, STRIP * (size_t)row);
    if (!planes)
        return no_memory(job, err);
    const uint8_t *rows;
    ptrdiff_t stride;
    int n;
    for (int32_t done = 0; done < job->geometry->need.h; done += n) {
        int rc = take(job, strip_of(job->geometry->need.h - done), &rows, &stride, &n, err);
        if (rc < 0)
            return rc;
        job->kernels->resample_h(planes, row, taps->pitch, rows, stride, n, taps);
        for (int i = 0; i < n; i++)
            pst__sink_planes(job->sink, done + i, planes + i * row, taps->pitch);
    }
    return PST_OK;
}

/* Both, the horizontal pass first. Rows of three planes lie one after the other, so that a vertical
 * tap takes the three planes at once; each output row follows as soon as its inputs are there. */
static int run_horizontal_first(const struct job *job, struct pst_error *err)
{
    struct pst__axis x = x_axis(job), y = y_axis(job);
    const struct pst__taps *taps = pst__tap_cache_get(&job->executor->taps, &x, PST_TAPS_COLUMNS);
    const struct pst__taps *v =
        taps ? pst__tap_cache_get(&job->executor->taps, &y, PST_TAPS_ROWS) : NULL;
    if (!v)
        return no_memory(job, err);
    int32_t need_h = job->geometry->need.h;
    int width = 3 * taps->pitch;
    size_t row = round_up((size_t)width, LINE);
    /* A stride of whole pages would put all taps of a column into one set of the cache. */
    if (row % 1024 == 0)
        row += LINE;
    uint8_t *planes = pst__scratch_reserve(&job->executor->planes, row * (size_t)need_h);
    uint8_t *line = pst__scratch_reserve(&job->executor->line, row);
    if (!planes || !line)
        return no_memory(job, err);

    const uint8_t *rows;
    ptrdiff_t stride;
    int n;
    int32_t out = 0;
    for (int32_t done = 0; done < need_h;) {
        int rc = take(job, strip_of(need_h - done), &rows, &stride, &n, err);
        if (rc < 0)
            return rc;
        job->kernels->resample_h(planes + row * (size_t)done, (ptrdiff_t)row, taps->pitch, rows,
                                 stride, n, taps);
        done += n;
        for (; out < v->n && v->start[out] + v->count[out] <= done; out++) {
            job->kernels->resample_v(line, planes + row * (size_t)v->start[out], (ptrdiff_t)row,
                                     width, v->coef + (size_t)out * (size_t)v->ksize,
                                     v->count[out]);
            pst__sink_planes(job->sink, out, line, taps->pitch);
        }
    }
    return PST_OK;
}

/* The whole region, at once: an output row of a vertical pass needs many of its rows. */
static int take_all(const struct job *job, const uint8_t **rows, ptrdiff_t *stride,
                    struct pst_error *err)
{
    int n;
    int32_t need_h = job->geometry->need.h;
    int rc = take(job, need_h, rows, stride, &n, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(n == need_h, err, "a source gave %d of %d rows at once", n, need_h);
    return PST_OK;
}

/* The height alone changes. */
static int run_vertical(const struct job *job, struct pst_error *err)
{
    struct pst__axis y = y_axis(job);
    const struct pst__taps *v = pst__tap_cache_get(&job->executor->taps, &y, PST_TAPS_ROWS);
    int width = job->geometry->need.w * 4;
    uint8_t *line = pst__scratch_reserve(&job->executor->line, round_up((size_t)width, LINE));
    if (!v || !line)
        return no_memory(job, err);
    const uint8_t *rows;
    ptrdiff_t stride;
    int rc = take_all(job, &rows, &stride, err);
    if (rc < 0)
        return rc;
    for (int32_t i = 0; i < v->n; i++) {
        job->kernels->resample_v(line, rows + v->start[i] * stride, stride, width,
                                 v->coef + (size_t)i * (size_t)v->ksize, v->count[i]);
        pst__sink_rgbx(job->sink, i, line);
    }
    return PST_OK;
}

/* Both, the vertical pass first, on RGBX pixels. Its rows go on to the horizontal pass a strip at a
 * time: that kernel loads its coefficients once a call. */
static int run_vertical_first(const struct job *job, struct pst_error *err)
{
    struct pst__axis x = x_axis(job), y = y_axis(job);
    const struct pst__taps *v = pst__tap_cache_get(&job->executor->taps, &y, PST_TAPS_ROWS);
    const struct pst__taps *taps =
        v ? pst__tap_cache_get(&job->executor->taps, &x, PST_TAPS_COLUMNS) : NULL;
    if (!taps)
        return no_memory(job, err);
    int width = job->geometry->need.w * 4;
    /* A row may be over-read by PST_PAD bytes: by a line of the next one. */
    size_t line = round_up((size_t)width, LINE);
    ptrdiff_t row = 3 * (ptrdiff_t)taps->pitch;
    uint8_t *lines = pst__scratch_reserve(&job->executor->line, STRIP * line);
    uint8_t *planes = pst__scratch_reserve(&job->executor->planes, STRIP * (size_t)row);
    if (!lines || !planes)
        return no_memory(job, err);

    const uint8_t *rows;
    ptrdiff_t stride;
    int rc = take_all(job, &rows, &stride, err);
    if (rc < 0)
        return rc;
    for (int32_t done = 0; done < v->n;) {
        int n = strip_of(v->n - done);
        for (int i = 0; i < n; i++) {
            int32_t out = done + i;
            job->kernels->resample_v(lines + (size_t)i * line, rows + v->start[out] * stride,
                                     stride, width, v->coef + (size_t)out * (size_t)v->ksize,
                                     v->count[out]);
        }
        job->kernels->resample_h(planes, row, taps->pitch, lines, (ptrdiff_t)line, n, taps);
        for (int i = 0; i < n; i++)
            pst__sink_planes(job->sink, done + i, planes + i * row, taps->pitch);
        done += n;
    }
    return PST_OK;
}

static int run(const struct job *job, int era, struct pst_error *err)
{
    const struct pst__segment *s = job->segment;
    pst__sink_borders(job->sink);
    if (job->geometry->seen.w == 0)
        return run_nothing(job, err);
    if (!s->resize)
        return run_copy(job, err);
    if (s->filter == PST_FILTER_NEAREST)
        return run_nearest(job, err);
    if (s->in.h == s->rs_h)
        return run_horizontal(job, err);
    if (s->in.w == s->rs_w)
        return run_vertical(job, err);
    if (pst__segment_vertical_first(s, era))
        return run_vertical_first(job, err);
    return run_horizontal_first(job, err);
}

/* Runs one change on the image in executor->image[*which]; the result is there, or in the other
 * one, which *which names then. */
static int run_change(struct pst__executor *executor, const struct pst__change *change,
                      struct pst__image *image, int *which, struct pst_error *err)
{
    if (change->type->is_in_place)
        return change->type->run(change, image, image, &executor->work, err);
    struct pst__image result = {.w = change->w, .h = change->h};
    result.stride = (ptrdiff_t)round_up((size_t)change->w * 4, LINE);
    result.pixels =
        pst__scratch_reserve(&executor->image[!*which], (size_t)result.stride * (size_t)result.h);
    if (!result.pixels)
        return no_image(result.w, result.h, err);
    int rc = change->type->run(change, image, &result, &executor->work, err);
    *image = result;
    *which = !*which;
    return rc;
}

static int run_changes(struct pst__executor *executor, const struct pst__plan *plan,
                       const struct pst__segment *segment, struct pst__image *image, int *which,
                       struct pst_error *err)
{
    int rc = PST_OK;
    for (int i = 0; i < segment->n_changes && rc == PST_OK; i++)
        rc = run_change(executor, &plan->change[segment->first_change + i], image, which, err);
    return rc;
}

static struct pst__memory_rows rows_of(const struct pst__image *image, const struct pst_rect *part)
{
    const uint8_t *first = image->pixels + part->y * image->stride + (ptrdiff_t)part->x * 4;
    return (struct pst__memory_rows){first, image->stride, part->h};
}

/* As normal_() fills a tensor: all words, 16 values of 16 words each, and the last 16 anew. */
int pst_normal_fill(float *out, size_t n, const uint32_t *words, struct pst_error *err)
{
    PST_REQUIRE(n >= 16, err, "%zu normals, expected 16 or more", n);
    const struct pst__kernels *kernels = pst__kernels();
    kernels->normal(out, words, n - n % 16);
    if (n % 16)
        kernels->normal(out + n - 16, words + n, 16);
    return PST_OK;
}

int pst_normal_pairs(float *out, size_t n, const uint32_t *words, struct pst_error *err)
{
    PST_REQUIRE(n % 2 == 0, err, "%zu normals, expected an even number", n);
    pst__kernels()->normal_pairs(out, words, n);
    return PST_OK;
}

static int fill_random(struct pst__executor *executor, const struct pst__plan *plan,
                       const struct pst__erased *erased, const struct pst__sink *sink,
                       struct pst_error *err)
{
    size_t n = (size_t)plan->channels * (size_t)erased->rect.w * (size_t)erased->rect.h;
    size_t n_words = pst__normal_words(n);
    float *values = pst__scratch_reserve(&executor->normals, (n + n_words) * sizeof *values);
    if (!values)
        return pst__fail(err, PST_ENOMEM, "no memory for %zu normals", n);
    uint32_t *words = (uint32_t *)(void *)(values + n);
    struct pst__mt mt = plan->normals;
    pst__mt_skip(&mt, erased->words);
    pst__mt_fill(&mt, words, n_words);
    int rc = pst_normal_fill(values, n, words, err);
    if (rc == PST_OK)
        pst__sink_values(sink, &erased->rect, values);
    return rc;
}

static int erase(struct pst__executor *executor, const struct pst__plan *plan,
                 const struct pst__sink *sink, struct pst_error *err)
{
    int rc = PST_OK;
    for (int i = 0; i < plan->n_erased && rc == PST_OK; i++) {
        if (plan->erased[i].is_random)
            rc = fill_random(executor, plan, &plan->erased[i], sink, err);
        else
            pst__sink_erase(sink, &plan->erased[i]);
    }
    return rc;
}

/* One image of the sample, from what the segments have left. */
static int run_crop(struct pst__executor *executor, const struct pst_transform *transform,
                    const struct pst__crop *crop, const struct pst__image *image, void *dst,
                    struct pst_error *err)
{
    const struct pst_rect all = {0, 0, crop->rect.w, crop->rect.h};
    const struct pst__segment segment = {.in = crop->rect,
                                         .rs_w = all.w,
                                         .rs_h = all.h,
                                         .out = all,
                                         .hflip = crop->hflip,
                                         .vflip = crop->vflip};
    const struct pst__geometry geometry = {.want = all, .seen = all, .need = crop->rect};
    struct pst__memory_rows rows = rows_of(image, &crop->rect);
    struct pst__row_source source = {pst__memory_rows, &rows};
    struct pst__sink sink;
    if (!pst__sink_sample(&sink, &segment, &geometry, transform, dst, &executor->unpacked))
        return no_image(all.w, all.h, err);
    struct job job = {executor, pst__kernels(), &segment, &geometry, &source, NULL, &sink};
    return run(&job, transform->era, err);
}

static int run_crops(struct pst__executor *executor, const struct pst_transform *transform,
                     const struct pst__plan *plan, const struct pst__image *image,
                     const struct pst__place *place, struct pst_error *err)
{
    int rc = PST_OK;
    for (int i = 0; i < plan->n_crops && rc == PST_OK; i++)
        rc = run_crop(executor, transform, &plan->crop[i], image,
                      (uint8_t *)place->first + (size_t)i * place->next, err);
    return rc;
}

static int run_segments(struct pst__executor *executor, const struct pst_transform *transform,
                        const struct pst__plan *plan, const struct pst__row_source *source,
                        const struct pst_pixels *pixels, const struct pst__place *place,
                        struct pst_error *err)
{
    struct pst__geometry geometry[PST_MAX_SEGMENTS];
    pst__plan_geometry(plan, geometry);
    /* What a segment leaves is the source of the next. */
    struct pst__memory_rows rows = {0};
    struct pst__row_source from_image = {pst__memory_rows, &rows};
    struct pst__sink sink;
    struct pst__image image = {0};
    int which = 0;
    for (int k = 0; k < plan->n_segments; k++) {
        const struct pst__segment *segment = &plan->segment[k];
        int is_sample = k == plan->n_segments - 1 && plan->n_crops == 0;
        int is_ready =
            is_sample ? pst__sink_sample(&sink, segment, &geometry[k], transform, place->first,
                                         &executor->unpacked)
                      : pst__sink_image(&sink, segment, &geometry[k], &executor->image[!which]);
        if (!is_ready)
            return no_image(geometry[k].want.w, geometry[k].want.h, err);
        struct job job = {executor, pst__kernels(),         segment, &geometry[k],
                          source,   k == 0 ? pixels : NULL, &sink};
        int rc = run(&job, transform->era, err);
        which = !which;
        image = (struct pst__image){sink.dst, (ptrdiff_t)sink.row, sink.w, sink.h};
        if (rc == PST_OK && segment->n_changes > 0)
            rc = run_changes(executor, plan, segment, &image, &which, err);
        if (rc < 0)
            return rc;
        if (k + 1 < plan->n_segments) {
            /* Without changes the image is what the next segment needs, no more. */
            const struct pst_rect *need = &geometry[k + 1].need;
            const struct pst_rect all = {0, 0, image.w, image.h};
            rows = rows_of(&image, segment->n_changes > 0 ? need : &all);
            source = &from_image;
        }
    }
    if (plan->n_crops > 0)
        return run_crops(executor, transform, plan, &image, place, err);
    int rc = erase(executor, plan, &sink, err);
    if (rc == PST_OK && transform->noise)
        rc = pst__add_noise(transform, plan, place->first, &executor->normals, err);
    return rc;
}

static int run_plan(struct pst__executor *executor, const struct pst_transform *transform,
                    const struct pst__plan *plan, const struct pst__row_source *source,
                    const struct pst_pixels *pixels, const struct pst__place *place,
                    struct pst_error *err)
{
    struct pst__luma_rows luma = {source, plan->region.w, &executor->luma};
    struct pst__row_source from_luma = {pst__luma_rows, &luma};
    if (!plan->is_luma || (pixels && pixels->channels == 1))
        return run_segments(executor, transform, plan, source, pixels, place, err);
    return run_segments(executor, transform, plan, &from_luma, NULL, place, err);
}

int pst__transform_execute(struct pst__executor *executor, const struct pst_transform *transform,
                           const struct pst__plan *plan, const struct pst__row_source *source,
                           const struct pst__place *place, struct pst_error *err)
{
    int rc = run_plan(executor, transform, plan, source, NULL, place, err);
    give_back(executor);
    return rc;
}

int pst__transform_execute_pixels(struct pst__executor *executor,
                                  const struct pst_transform *transform,
                                  const struct pst__plan *plan, const struct pst_pixels *pixels,
                                  const struct pst__place *place, struct pst_error *err)
{
    struct pst_pixels region = pst__pixels_part(pixels, &plan->region);
    struct pst__pixel_rows rows;
    struct pst__row_source source = {pst__pixel_rows, &rows};
    if (!pst__pixel_rows_init(&rows, &region, &executor->rgbx))
        return pst__fail(err, PST_ENOMEM, "no memory for %d x %d pixels", region.width,
                         region.height);
    int rc = run_plan(executor, transform, plan, &source, &region, place, err);
    give_back(executor);
    return rc;
}
