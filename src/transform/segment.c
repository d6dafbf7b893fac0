/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/segment.h"

#include "base/limits.h"
#include "base/status.h"
#include "transform/axis.h"
#include "transform/change.h"

/* The last segment of a plan under construction always describes the image so far. In a segment
 * without a resize rs_w x rs_h is the size of `in`, and `in` has been cut to what `out` shows: what
 * lies outside of it is 0 then, as a later crop that reaches there must find it. */

static struct pst_rect intersect(const struct pst_rect *a, const struct pst_rect *b)
{
    int32_t x0 = a->x > b->x ? a->x : b->x;
    int32_t y0 = a->y > b->y ? a->y : b->y;
    int32_t x1 = a->x + a->w < b->x + b->w ? a->x + a->w : b->x + b->w;
    int32_t y1 = a->y + a->h < b->y + b->h ? a->y + a->h : b->y + b->h;
    if (x1 <= x0 || y1 <= y0)
        return (struct pst_rect){0};
    return (struct pst_rect){x0, y0, x1 - x0, y1 - y0};
}

static int contains(const struct pst_rect *outer, const struct pst_rect *inner)
{
    if (inner->w == 0)
        return 1;
    return inner->x >= outer->x && inner->y >= outer->y &&
           inner->x + inner->w <= outer->x + outer->w && inner->y + inner->h <= outer->y + outer->h;
}

static struct pst_rect bounds_of(const struct pst__segment *segment)
{
    return (struct pst_rect){0, 0, segment->rs_w, segment->rs_h};
}

static struct pst__segment *last_of(struct pst__plan *plan)
{
    return &plan->segment[plan->n_segments - 1];
}

static int check_pixels(int64_t w, int64_t h, const char *what, struct pst_error *err)
{
    if (w > PST_MAX_PLAN_SIDE || h > PST_MAX_PLAN_SIDE || w * h > PST_MAX_PLAN_PIXELS)
        return pst__fail(err, PST_ELIMIT, "%s of %lld x %lld pixels, the limit is %d in all", what,
                         (long long)w, (long long)h, PST_MAX_PLAN_PIXELS);
    return PST_OK;
}

static void segment_start(struct pst__segment *segment, int32_t w, int32_t h, int first_change)
{
    struct pst_rect whole = {0, 0, w, h};
    *segment = (struct pst__segment){
        .in = whole, .rs_w = w, .rs_h = h, .out = whole, .first_change = (uint8_t)first_change};
}

/* Another segment that takes the image so far as its source. */
static int append(struct pst__plan *plan, struct pst_error *err)
{
    int32_t w, h;
    pst__fold_size(plan, &w, &h);
    int rc = check_pixels(w, h, "an image between two steps", err);
    if (rc < 0)
        return rc;
    if (plan->n_segments == PST_MAX_SEGMENTS)
        return pst__fail(err, PST_ELIMIT,
                         "more than %d resizes, or changes of pixels with geometry between them, "
                         "in one transform",
                         PST_MAX_SEGMENTS);
    segment_start(&plan->segment[plan->n_segments++], w, h, plan->n_changes);
    return PST_OK;
}

/* Geometry after a change of pixels is another segment's. */
static int open_geometry(struct pst__plan *plan, struct pst_error *err)
{
    PST_REQUIRE(plan->n_erased == 0, err, "a step comes after a part of the sample was erased");
    return last_of(plan)->n_changes > 0 ? append(plan, err) : PST_OK;
}

int pst__fold_begin(struct pst__plan *plan, int32_t w, int32_t h, int channels,
                    struct pst_error *err)
{
    PST_REQUIRE(w > 0 && h > 0, err, "an image of %d x %d pixels", w, h);
    int rc = check_pixels(w, h, "an image", err);
    if (rc < 0)
        return rc;
    /* The arrays are filled as they are needed: all of a plan is 3 KiB. */
    plan->src_w = w;
    plan->src_h = h;
    plan->n_segments = 1;
    plan->n_changes = plan->n_erased = plan->n_crops = 0;
    plan->normals_used = 0;
    plan->is_noisy = 0;
    plan->channels = channels;
    plan->is_luma = channels == 1;
    segment_start(&plan->segment[0], w, h, 0);
    return PST_OK;
}

void pst__fold_size(const struct pst__plan *plan, int32_t *w, int32_t *h)
{
    const struct pst__segment *last = &plan->segment[plan->n_segments - 1];
    if (last->n_changes > 0) {
        *w = plan->change[plan->n_changes - 1].w;
        *h = plan->change[plan->n_changes - 1].h;
        return;
    }
    *w = last->out.w;
    *h = last->out.h;
}

/* Cuts `in` to what `out` shows of it, unless that is nothing: a source is never empty. */
static void cut_to_seen(struct pst__segment *segment)
{
    struct pst_rect bounds = bounds_of(segment);
    struct pst_rect seen = intersect(&segment->out, &bounds);
    if (seen.w == 0)
        return;
    segment->in = (struct pst_rect){segment->in.x + seen.x, segment->in.y + seen.y, seen.w, seen.h};
    segment->out.x -= seen.x;
    segment->out.y -= seen.y;
    segment->rs_w = seen.w;
    segment->rs_h = seen.h;
}

/* rect of the flipped result in the coordinates of the resized image. */
static struct pst_rect unflip(const struct pst__segment *segment, const struct pst_rect *rect)
{
    const struct pst_rect *out = &segment->out;
    int32_t x = segment->hflip ? out->w - rect->x - rect->w : rect->x;
    int32_t y = segment->vflip ? out->h - rect->y - rect->h : rect->y;
    return (struct pst_rect){out->x + x, out->y + y, rect->w, rect->h};
}

int pst__fold_crop(struct pst__plan *plan, const struct pst_rect *rect, struct pst_error *err)
{
    int rc = open_geometry(plan, err);
    if (rc < 0)
        return rc;
    struct pst__segment *last = last_of(plan);
    struct pst_rect out = unflip(last, rect);
    struct pst_rect bounds = bounds_of(last);
    struct pst_rect seen = intersect(&out, &bounds);
    if (!contains(&last->out, &seen)) {
        /* It reaches beyond an earlier crop, to pixels that are there but have to be 0. */
        rc = append(plan, err);
        if (rc < 0)
            return rc;
        last = last_of(plan);
        out = *rect;
    }
    last->out = out;
    if (!last->resize)
        cut_to_seen(last);
    return PST_OK;
}

int pst__fold_resize(struct pst__plan *plan, int64_t w, int64_t h, int filter,
                     struct pst_error *err)
{
    int32_t old_w, old_h;
    pst__fold_size(plan, &old_w, &old_h);
    if (w == old_w && h == old_h)
        return PST_OK;
    if (w < 1 || h < 1)
        return pst__fail(err, PST_EINVAL, "a resize of %d x %d pixels to %lld x %lld", old_w, old_h,
                         (long long)w, (long long)h);
    if (w > PST_MAX_PLAN_SIDE || h > PST_MAX_PLAN_SIDE || w * h > PST_MAX_OUTPUT / 3)
        return pst__fail(err, PST_ELIMIT,
                         "a resize to %lld x %lld pixels, the limits are %d a side and %lld in all",
                         (long long)w, (long long)h, PST_MAX_PLAN_SIDE,
                         (long long)PST_MAX_OUTPUT / 3);
    int rc = open_geometry(plan, err);
    if (rc < 0)
        return rc;
    struct pst__segment *last = last_of(plan);
    struct pst_rect bounds = bounds_of(last);
    if (last->resize || last->hflip || last->vflip || !contains(&bounds, &last->out)) {
        rc = append(plan, err);
        if (rc < 0)
            return rc;
        last = last_of(plan);
    }
    last->resize = 1;
    last->filter = (uint8_t)filter;
    last->rs_w = (int32_t)w;
    last->rs_h = (int32_t)h;
    last->out = bounds_of(last);
    return PST_OK;
}

int pst__fold_flip(struct pst__plan *plan, int hflip, int vflip, struct pst_error *err)
{
    if (!hflip && !vflip)
        return PST_OK;
    int rc = open_geometry(plan, err);
    if (rc < 0)
        return rc;
    struct pst__segment *last = last_of(plan);
    last->hflip = (uint8_t)(last->hflip ^ !!hflip);
    last->vflip = (uint8_t)(last->vflip ^ !!vflip);
    return PST_OK;
}

int pst__fold_change(struct pst__plan *plan, const struct pst__change *change,
                     struct pst_error *err)
{
    int32_t w, h;
    pst__fold_size(plan, &w, &h);
    PST_REQUIRE(plan->n_erased == 0, err, "a step comes after a part of the sample was erased");
    PST_REQUIRE(change->w > 0 && change->h > 0, err, "a change to %d x %d pixels", change->w,
                change->h);
    int rc = check_pixels(w, h, "an image between two steps", err);
    if (rc == PST_OK)
        rc = check_pixels(change->w, change->h, "an image between two steps", err);
    if (rc < 0)
        return rc;
    if (plan->n_changes == PST_MAX_CHANGES)
        return pst__fail(err, PST_ELIMIT, "more than %d changes of pixels in one transform",
                         PST_MAX_CHANGES);
    plan->change[plan->n_changes++] = *change;
    last_of(plan)->n_changes++;
    return PST_OK;
}

/* Zeros are grey, and crops and flips change no pixel: before the first resize it is all the same
 * whether the image or its source is made grey. */
int pst__fold_luma(struct pst__plan *plan)
{
    const struct pst__segment *first = &plan->segment[0];
    if (plan->n_segments > 1 || first->resize || first->n_changes > 0 || plan->n_erased > 0)
        return 0;
    plan->is_luma = 1;
    return 1;
}

int pst__fold_erase(struct pst__plan *plan, const struct pst_rect *rect, const float value[3],
                    struct pst_error *err)
{
    int32_t w, h;
    pst__fold_size(plan, &w, &h);
    PST_REQUIRE(rect->x >= 0 && rect->y >= 0 && rect->w > 0 && rect->h > 0 &&
                    rect->w <= w - rect->x && rect->h <= h - rect->y,
                err, "%d x %d pixels at (%d, %d) of a sample of %d x %d are to be erased", rect->w,
                rect->h, rect->x, rect->y, w, h);
    if (plan->n_erased == PST_MAX_ERASED)
        return pst__fail(err, PST_ELIMIT, "more than %d rectangles of a sample are to be erased",
                         PST_MAX_ERASED);
    struct pst__erased *erased = &plan->erased[plan->n_erased++];
    erased->rect = *rect;
    erased->is_random = 0;
    for (int c = 0; c < 3; c++)
        erased->value[c] = value[c];
    return PST_OK;
}

int pst__fold_crops(struct pst__plan *plan, const struct pst__crop *crops, int n,
                    struct pst_error *err)
{
    int32_t w, h;
    pst__fold_size(plan, &w, &h);
    PST_REQUIRE(plan->n_erased == 0 && plan->n_crops == 0 && n <= PST_MAX_CROPS, err,
                "%d crops, after all else", n);
    int rc = check_pixels(w, h, "an image between two steps", err);
    for (int i = 0; i < n && rc == PST_OK; i++) {
        const struct pst_rect *rect = &crops[i].rect;
        PST_REQUIRE(rect->x >= 0 && rect->y >= 0 && rect->w <= w - rect->x &&
                        rect->h <= h - rect->y && rect->w == crops->rect.w &&
                        rect->h == crops->rect.h,
                    err, "a crop of %d x %d pixels at (%d, %d) of %d x %d", rect->w, rect->h,
                    rect->x, rect->y, w, h);
        plan->crop[plan->n_crops++] = crops[i];
    }
    return rc;
}

/* The inputs of one axis that outputs first..first+n-1 depend on. */
static void needed(const struct pst__segment *segment, int32_t in, int32_t out, int32_t first,
                   int32_t n, int32_t *start, int32_t *length)
{
    int32_t end;
    if (segment->resize && in != out) {
        pst__axis_range(&(struct pst__axis){in, out, segment->filter, first, n}, start, &end);
    } else {
        *start = first;
        end = first + n;
    }
    *length = end - *start;
}

static void segment_geometry(const struct pst__segment *segment, struct pst__geometry *g)
{
    struct pst_rect shown = unflip(segment, &g->want);
    struct pst_rect bounds = bounds_of(segment);
    g->seen = intersect(&shown, &bounds);
    if (g->seen.w == 0) {
        g->left = g->top = 0;
        g->need = (struct pst_rect){segment->in.x, segment->in.y, 1, 1};
        return;
    }
    g->left = g->seen.x - shown.x;
    g->top = g->seen.y - shown.y;
    needed(segment, segment->in.w, segment->rs_w, g->seen.x, g->seen.w, &g->need.x, &g->need.w);
    needed(segment, segment->in.h, segment->rs_h, g->seen.y, g->seen.h, &g->need.y, &g->need.h);
    g->need.x += segment->in.x;
    g->need.y += segment->in.y;
}

void pst__plan_geometry(const struct pst__plan *plan,
                        struct pst__geometry geometry[PST_MAX_SEGMENTS])
{
    struct pst_rect want = {0, 0, plan->out_w, plan->out_h};
    for (int k = plan->n_segments - 1; k >= 0; k--) {
        const struct pst__segment *segment = &plan->segment[k];
        /* A change may look at the whole image, and crops do. */
        if (segment->n_changes > 0 || (k == plan->n_segments - 1 && plan->n_crops > 0))
            want = (struct pst_rect){0, 0, segment->out.w, segment->out.h};
        geometry[k].want = want;
        segment_geometry(&plan->segment[k], &geometry[k]);
        want = geometry[k].need;
    }
}

int pst__vertical_first(int era, int32_t w, int32_t h, int32_t new_w, int32_t new_h)
{
    if (h <= new_h)
        return 0;
    switch (era) {
    case PST_ERA_9:
        return 0;
    case PST_ERA_12_2:
        return h > 100 * (int64_t)w;
    default:
        return h - new_h > 2 * ((int64_t)w - new_w);
    }
}

int pst__segment_vertical_first(const struct pst__segment *segment, int era)
{
    return !(segment->filter & PST_FILTER_OF_TENSOR) &&
           pst__vertical_first(era, segment->in.w, segment->in.h, segment->rs_w, segment->rs_h);
}

/* The rows between the passes of a resize that goes horizontal first are kept whole. */
static int check_passes(const struct pst__segment *segment, const struct pst__geometry *g, int era,
                        struct pst_error *err)
{
    if (!segment->resize || pst__segment_vertical_first(segment, era))
        return PST_OK;
    return check_pixels(g->seen.w, g->need.h, "an image between the passes of a resize", err);
}

int pst__fold_end(struct pst__plan *plan, int era, int dtype, struct pst_error *err)
{
    /* The sample is written by geometry, be it none. */
    int rc = last_of(plan)->n_changes > 0 && plan->n_crops == 0 ? append(plan, err) : PST_OK;
    if (rc < 0)
        return rc;
    pst__fold_size(plan, &plan->out_w, &plan->out_h);
    if (plan->n_crops > 0) {
        plan->out_w = plan->crop[0].rect.w;
        plan->out_h = plan->crop[0].rect.h;
    }
    int64_t pixels = (int64_t)plan->out_w * plan->out_h * (plan->n_crops > 0 ? plan->n_crops : 1);
    int64_t bytes = pixels * plan->channels * (int64_t)pst_dtype_size(dtype);
    if (bytes > PST_MAX_OUTPUT)
        return pst__fail(err, PST_ELIMIT, "a sample of %lld bytes, the limit is %lld",
                         (long long)bytes, (long long)PST_MAX_OUTPUT);
    struct pst__geometry geometry[PST_MAX_SEGMENTS];
    pst__plan_geometry(plan, geometry);
    for (int k = 0; k < plan->n_segments; k++) {
        rc = check_passes(&plan->segment[k], &geometry[k], era, err);
        if (rc < 0)
            return rc;
    }
    plan->region = geometry[0].need;
    return PST_OK;
}

static size_t pixels_of(int32_t w, int32_t h)
{
    return (size_t)w * (size_t)h;
}

static size_t change_bytes(const struct pst__change *change)
{
    size_t bytes = 4 * pixels_of(change->w, change->h);
    return change->type->work ? bytes + change->type->work(change) : bytes;
}

size_t pst__plan_bytes(const struct pst__plan *plan, int era)
{
    struct pst__geometry geometry[PST_MAX_SEGMENTS];
    size_t bytes = 0;
    pst__plan_geometry(plan, geometry);
    for (int k = 0; k < plan->n_segments; k++) {
        const struct pst__segment *s = &plan->segment[k];
        const struct pst__geometry *g = &geometry[k];
        int is_vertical = s->in.w == s->rs_w || pst__segment_vertical_first(s, era);
        /* A vertical pass has all rows of the source at once, and as many of their lumas. */
        if (k == 0 && plan->is_luma && s->resize && s->in.h != s->rs_h && is_vertical)
            bytes += 4 * pixels_of(g->need.w, g->need.h);
        if (s->resize && s->in.h != s->rs_h)
            bytes += is_vertical ? 4 * pixels_of(g->need.w, g->need.h)
                                 : 3 * pixels_of(g->seen.w, g->need.h);
        if (k + 1 < plan->n_segments || plan->n_crops > 0)
            bytes += 4 * pixels_of(g->want.w, g->want.h);
        for (int i = 0; i < s->n_changes; i++)
            bytes += change_bytes(&plan->change[s->first_change + i]);
    }
    for (int i = 0; i < plan->n_erased; i++)
        if (plan->erased[i].is_random)
            bytes += 8 * (size_t)plan->channels *
                     pixels_of(plan->erased[i].rect.w, plan->erased[i].rect.h);
    return bytes;
}
