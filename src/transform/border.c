/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/border.h"

#include <string.h>

#include "base/attributes.h"
#include "base/status.h"
#include "transform/change.h"

/* What of one axis of an image of n pixels shows through start .. start + length - 1. */
struct axis {
    int32_t n, start, length;
};

static int is_inside(const struct axis *axis)
{
    return axis->start >= 0 && axis->length <= axis->n - axis->start;
}

static int32_t clamp(int32_t i, int32_t n)
{
    return i < 0 ? 0 : i < n ? i : n - 1;
}

/* The pixel that shows at place i; -1: the fill. Mirrors are looked into once. */
static int32_t shown_at(int mode, int32_t i, int32_t n)
{
    if (i >= 0 && i < n)
        return i;
    switch (mode) {
    case PST_BORDER_EDGE:
        return clamp(i, n);
    case PST_BORDER_REFLECT:
        return i < 0 ? -i : 2 * (n - 1) - i;
    case PST_BORDER_SYMMETRIC:
        return i < 0 ? -i - 1 : 2 * n - 1 - i;
    default:
        return -1;
    }
}

/* How far a mode reaches without mirroring what it has mirrored. */
static int32_t reach(int mode, int32_t n)
{
    return mode == PST_BORDER_REFLECT ? n - 1 : mode == PST_BORDER_SYMMETRIC ? n : INT32_MAX;
}

static int check_reach(int mode, const struct axis *axis, struct pst_error *err)
{
    int64_t before = -(int64_t)axis->start;
    int64_t after = (int64_t)axis->start + axis->length - axis->n;
    int32_t most = reach(mode, axis->n);
    if (before > most || after > most)
        return pst__fail(err, PST_ELIMIT,
                         "%lld pixels before and %lld after %d are mirrored, at most %d can be",
                         (long long)before, (long long)after, axis->n, most);
    return PST_OK;
}

/* The pixels that show, from the first to the last: at least one. Between these places what shows
 * only rises or falls. */
static void used(int mode, const struct axis *axis, int32_t *first, int32_t *n)
{
    int32_t end = axis->start + axis->length - 1;
    const int32_t places[] = {axis->start, end, -1, 0, axis->n - 1, axis->n};
    int32_t low = INT32_MAX, high = 0;
    for (size_t k = 0; k < PST_COUNTOF(places); k++) {
        if (places[k] < axis->start || places[k] > end)
            continue;
        int32_t i = mode == PST_BORDER_CONSTANT ? clamp(places[k], axis->n)
                                                : shown_at(mode, places[k], axis->n);
        low = i < low ? i : low;
        high = i > high ? i : high;
    }
    *first = low;
    *n = high - low + 1;
}

/* The columns or rows that show in one axis of a result, by number[]: size of the whole axis, where
 * the part that is there begins, and the place of the first. */
static int32_t source_of(const struct pst__change *change, const double *axis, int32_t i)
{
    int32_t from = shown_at(change->integer[0], (int32_t)axis[2] + i, (int32_t)axis[0]);
    return from < 0 ? -1 : from - (int32_t)axis[1];
}

static void fill_row(uint8_t *to, int32_t n, const uint8_t fill[4])
{
    for (int32_t i = 0; i < n; i++)
        memcpy(to + (ptrdiff_t)i * 4, fill, 4);
}

/* Columns left .. left + n - 1 of a result lie in a row of the source side by side. */
struct middle {
    int32_t left, n;
};

static struct middle middle_of(const struct pst__change *change)
{
    int32_t size = (int32_t)change->number[0], start = (int32_t)change->number[2];
    int32_t left = start < 0 ? -start : 0, end = size - start;
    left = left < change->w ? left : change->w;
    end = end < change->w ? end : change->w;
    return (struct middle){left, end > left ? end - left : 0};
}

static void put_pixels(const struct pst__change *change, uint8_t *to, const uint8_t *from,
                       int32_t first, int32_t end, const uint8_t fill[4])
{
    for (int32_t i = first; i < end; i++) {
        int32_t column = source_of(change, change->number, i);
        memcpy(to + (ptrdiff_t)i * 4, column < 0 ? fill : from + (ptrdiff_t)column * 4, 4);
    }
}

static void put_row(const struct pst__change *change, const struct middle *middle, uint8_t *to,
                    const uint8_t *from, const uint8_t fill[4])
{
    int32_t after = middle->left + middle->n;
    put_pixels(change, to, from, 0, middle->left, fill);
    if (middle->n > 0) {
        int32_t column = source_of(change, change->number, middle->left);
        memcpy(to + (ptrdiff_t)middle->left * 4, from + (ptrdiff_t)column * 4,
               (size_t)middle->n * 4);
    }
    put_pixels(change, to, from, after, change->w, fill);
}

static int run(const struct pst__change *change, const struct pst__image *src,
               const struct pst__image *dst, struct pst__scratch *work, struct pst_error *err)
{
    (void)work, (void)err;
    uint8_t fill[4];
    memcpy(fill, &change->integer[1], sizeof fill);
    struct middle middle = middle_of(change);
    for (int32_t y = 0; y < change->h; y++) {
        uint8_t *to = dst->pixels + y * dst->stride;
        int32_t row = source_of(change, change->number + 3, y);
        if (row < 0)
            fill_row(to, change->w, fill);
        else
            put_row(change, &middle, to, src->pixels + row * src->stride, fill);
    }
    return PST_OK;
}

static const struct pst__change_type type = {.name = "border", .n_integers = 1, .run = run};

static int fold_change(struct pst__plan *plan, const struct axis *x, const struct axis *y,
                       const struct pst_rect *part, const struct pst__border *border,
                       struct pst_error *err)
{
    struct pst__change change = {
        .type = &type,
        .w = x->length,
        .h = y->length,
        .integer = {border->mode},
        .number = {x->n, part->x, x->start, y->n, part->y, y->start},
    };
    memcpy(&change.integer[1], border->fill, 4);
    return pst__fold_change(plan, &change, err);
}

int pst__check_border(const struct pst__plan *plan, const struct pst_rect *rect,
                      const struct pst__border *border, struct pst_error *err)
{
    int32_t w, h;
    pst__fold_size(plan, &w, &h);
    int rc = check_reach(border->mode, &(struct axis){w, rect->x, rect->w}, err);
    return rc < 0 ? rc : check_reach(border->mode, &(struct axis){h, rect->y, rect->h}, err);
}

int pst__fold_border(struct pst__plan *plan, const struct pst_rect *rect,
                     const struct pst__border *border, struct pst_error *err)
{
    int32_t w, h;
    struct pst_rect part;
    pst__fold_size(plan, &w, &h);
    struct axis x = {w, rect->x, rect->w}, y = {h, rect->y, rect->h};
    int is_black = border->mode == PST_BORDER_CONSTANT && border->fill[0] == 0 &&
                   border->fill[1] == 0 && border->fill[2] == 0;
    if (is_black || (is_inside(&x) && is_inside(&y)))
        return pst__fold_crop(plan, rect, err);
    int rc = pst__check_border(plan, rect, border, err);
    if (rc < 0)
        return rc;
    used(border->mode, &x, &part.x, &part.w);
    used(border->mode, &y, &part.y, &part.h);
    rc = pst__fold_crop(plan, &part, err);
    return rc < 0 ? rc : fold_change(plan, &x, &y, &part, border, err);
}
