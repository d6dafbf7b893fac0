/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>

#include "base/attributes.h"
#include "transform/change.h"
#include "transform/transform.h"

struct line {
    char *text;
    size_t size, used;
};

PST_PRINTF(2, 3) static void say(struct line *line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line->text + line->used, line->size - line->used, fmt, ap);
    va_end(ap);
    if (n > 0)
        line->used += (size_t)n;
    if (line->used >= line->size)
        line->used = line->size - 1; /* cut off, NUL in place */
}

static void say_segment(struct line *line, const struct pst__segment *s, int32_t w, int32_t h)
{
    static const char *const filter[] = {"nearest", "lanczos", "bilinear",
                                         "bicubic", "box",     "hamming"};
    const char *of_tensor = s->filter & PST_FILTER_OF_TENSOR ? ", of a tensor" : "";
    const struct pst_rect *in = &s->in, *out = &s->out;
    if (in->x || in->y || in->w != w || in->h != h)
        say(line, ", crop (%d, %d) %d x %d", in->x, in->y, in->w, in->h);
    if (s->resize)
        say(line, ", resize to %d x %d (%s%s)", s->rs_w, s->rs_h,
            filter[s->filter & ~PST_FILTER_OF_TENSOR], of_tensor);
    if (out->x || out->y || out->w != s->rs_w || out->h != s->rs_h)
        say(line, ", crop (%d, %d) %d x %d", out->x, out->y, out->w, out->h);
    if (s->hflip)
        say(line, ", flip left to right");
    if (s->vflip)
        say(line, ", flip top to bottom");
}

static void say_change(struct line *line, const struct pst__change *change)
{
    const struct pst__change_type *type = change->type;
    say(line, ", %s", type->name);
    for (int i = 0; i < type->n_integers; i++)
        say(line, " %d", change->integer[i]);
    for (int i = 0; i < type->n_numbers; i++)
        say(line, " %g", change->number[i]);
}

static void say_crops(struct line *line, const struct pst__plan *plan)
{
    for (int i = 0; i < plan->n_crops; i++) {
        const struct pst_rect *rect = &plan->crop[i].rect;
        int is_first_flipped = i > 0 && (plan->crop[i].hflip || plan->crop[i].vflip) &&
                               !plan->crop[i - 1].hflip && !plan->crop[i - 1].vflip;
        say(line, "%s (%d, %d)",
            i == 0             ? ", crops"
            : is_first_flipped ? "; flipped"
                               : "",
            rect->x, rect->y);
    }
    if (plan->n_crops > 0)
        say(line, ", %d x %d each", plan->crop[0].rect.w, plan->crop[0].rect.h);
}

static void say_erased(struct line *line, const struct pst__plan *plan)
{
    for (int i = 0; i < plan->n_erased; i++) {
        const struct pst_rect *rect = &plan->erased[i].rect;
        say(line, ", erase (%d, %d) %d x %d", rect->x, rect->y, rect->w, rect->h);
        if (plan->erased[i].is_random)
            say(line, " with normals");
    }
}

void pst__plan_describe(const struct pst__plan *plan, char *text, size_t size)
{
    if (size == 0)
        return;
    struct line line = {text, size, 0};
    text[0] = '\0';
    int32_t w = plan->src_w, h = plan->src_h;
    say(&line, "%d x %d", w, h);
    if (plan->is_luma)
        say(&line, ", grey");
    for (int k = 0; k < plan->n_segments; k++) {
        const struct pst__segment *segment = &plan->segment[k];
        say_segment(&line, segment, w, h);
        w = segment->out.w;
        h = segment->out.h;
        for (int i = 0; i < segment->n_changes; i++) {
            const struct pst__change *change = &plan->change[segment->first_change + i];
            say_change(&line, change);
            w = change->w;
            h = change->h;
        }
    }
    say_crops(&line, plan);
    say_erased(&line, plan);
    if (plan->is_noisy)
        say(&line, ", noise");
}
