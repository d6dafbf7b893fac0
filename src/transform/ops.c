/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/ops.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "transform/draw.h"
#include "transform/segment.h"

static const struct pst__op_type *const types[] = {
    &pst__op_resize_short,
    &pst__op_resize,
    &pst__op_center_crop,
    &pst__op_random_resized_crop,
    &pst__op_hflip,
    &pst__op_vflip,
    &pst__op_random_apply,
    &pst__op_random_choice,
    &pst__op_random_order,
    &pst__op_pad,
    &pst__op_random_crop,
    &pst__op_random_erasing,
    &pst__op_random_rotation,
    &pst__op_random_affine,
    &pst__op_random_perspective,
    &pst__op_exif_transpose,
    &pst__op_color_jitter,
    &pst__op_grayscale,
    &pst__op_random_colour,
    &pst__op_augment,
    &pst__op_auto_augment,
    &pst__op_random_distort,
    &pst__op_random_channels,
    &pst__op_rgb,
    &pst__op_python_choice,
    &pst__op_python_order,
    &pst__op_gaussian_blur,
    &pst__op_corner_crops,
    &pst__op_augmix,
    &pst__op_gaussian_noise,
};

static const struct pst__op_type *type_of(int kind)
{
    for (size_t i = 0; i < PST_COUNTOF(types); i++) {
        if (types[i]->kind == kind)
            return types[i];
    }
    return NULL;
}

int pst__check_size(const struct pst_op *op, struct pst_error *err)
{
    if (op->h < 1 || op->w < 1 || op->h > PST_MAX_SIDE || op->w > PST_MAX_SIDE)
        return pst__fail(err, PST_EINVAL, "a size of %d x %d, expected sides of 1 to %d", op->h,
                         op->w, PST_MAX_SIDE);
    return PST_OK;
}

int pst__check_filter(const struct pst_op *op, struct pst_error *err)
{
    int is_pillows = op->filter >= PST_FILTER_NEAREST && op->filter <= PST_FILTER_HAMMING;
    int of_tensor = op->filter ^ PST_FILTER_OF_TENSOR;
    int is_torchs = of_tensor >= PST_FILTER_LANCZOS && of_tensor <= PST_FILTER_BICUBIC;
    if (!is_pillows && !is_torchs)
        return pst__fail(err, PST_EINVAL, "filter %d, expected 0 to %d, or of a tensor %d to %d",
                         op->filter, PST_FILTER_HAMMING, PST_FILTER_OF_TENSOR | PST_FILTER_LANCZOS,
                         PST_FILTER_OF_TENSOR | PST_FILTER_BICUBIC);
    return PST_OK;
}

int pst__check_threshold(const struct pst_op *op, struct pst_error *err)
{
    if (op->threshold > PST_CERTAIN)
        return pst__fail(err, PST_EINVAL, "threshold %u, expected 0 to %u", op->threshold,
                         PST_CERTAIN);
    return PST_OK;
}

/* exp() of it and of its negative are ordinary float32 numbers. */
#define MOST_LOG_RATIO 80.0f

int pst__check_ratio(const struct pst_op *op, struct pst_error *err)
{
    /* Written so that a NaN fails. */
    if (!(op->ratio[0] > 0 && op->ratio[0] <= op->ratio[1] && op->ratio[1] <= 1e30))
        return pst__fail(err, PST_EINVAL, "ratio %g to %g, expected 0 < first <= second <= 1e30",
                         op->ratio[0], op->ratio[1]);
    const float *log_ratio = op->log_ratio;
    if (!(log_ratio[0] >= -MOST_LOG_RATIO && log_ratio[0] <= log_ratio[1] &&
          log_ratio[1] <= MOST_LOG_RATIO))
        return pst__fail(err, PST_EINVAL,
                         "log_ratio %g to %g, expected %g <= first <= second <= %g",
                         (double)log_ratio[0], (double)log_ratio[1], (double)-MOST_LOG_RATIO,
                         (double)MOST_LOG_RATIO);
    return PST_OK;
}

int pst__check_fill(const struct pst_op *op, struct pst_error *err)
{
    if (op->n_table != 0 && op->n_table != 1 && op->n_table != 3)
        return pst__fail(err, PST_EINVAL, "a colour of %zu values, expected 0, 1 or 3",
                         op->n_table);
    for (size_t i = 0; i < op->n_table; i++) {
        /* Written so that a NaN fails. */
        if (!(op->table[i] >= 0 && op->table[i] <= 255 && (uint8_t)op->table[i] == op->table[i]))
            return pst__fail(err, PST_EINVAL, "a colour of %g, expected an integer from 0 to 255",
                             op->table[i]);
    }
    return PST_OK;
}

int pst__op_fill(const struct pst_op *op, const struct pst__plan *plan, uint8_t fill[4],
                 struct pst_error *err)
{
    memset(fill, 0, 4);
    if (op->n_table == 3 && plan->channels == 1)
        return pst__fail(err, PST_EINVAL, "a colour of three values for a grey image");
    for (size_t c = 0; c < 3 && op->n_table > 0; c++)
        fill[c] = (uint8_t)op->table[op->n_table == 3 ? c : 0];
    return PST_OK;
}

void pst__op_size_fixed(const struct pst_op *op, int32_t *h, int32_t *w)
{
    *h = op->h;
    *w = op->w;
}

static int is_same_range(const struct pst__range *a, const struct pst__range *b)
{
    return a->low == b->low && a->high == b->high && a->taps == b->taps && a->is_v2 == b->is_v2;
}

/* A range of which a step draws values; equal ones are shared. */
static int add_range(struct pst_transform *transform, const struct pst__range *wanted, int *which,
                     struct pst_error *err)
{
    for (int r = 0; r < transform->n_ranges; r++) {
        if (is_same_range(&transform->range[r], wanted)) {
            *which = r;
            return PST_OK;
        }
    }
    if (transform->n_ranges == PST_MAX_EXP_RANGES)
        return pst__fail(err, PST_EINVAL,
                         "more than %d different ratios and blurs in one transform",
                         PST_MAX_EXP_RANGES);
    *which = transform->n_ranges;
    transform->range[transform->n_ranges++] = *wanted;
    return PST_OK;
}

static int add_ranges(struct pst_transform *transform, struct pst__step *step,
                      struct pst_error *err)
{
    const struct pst_op *op = &step->op;
    struct pst__range range[2] = {{.low = op->log_ratio[0], .high = op->log_ratio[1]}};
    int n = step->type->ranges ? step->type->ranges(op, range) : step->type->has_exp;
    int rc = PST_OK;
    for (int i = 0; i < n && rc == PST_OK; i++)
        rc = add_range(transform, &range[i], &step->exp_range[i], err);
    return rc;
}

/* What is known of the image after the step. A step that is not always taken must leave the
 * channels alone; a size that it changes is not known any more. */
static int add_shape(struct pst_transform *transform, const struct pst__step *step, int is_certain,
                     struct pst_error *err)
{
    const struct pst__op_type *type = step->type;
    int32_t h = transform->fixed_h, w = transform->fixed_w;
    if (type->size)
        type->size(&step->op, &h, &w);
    if (!is_certain && (h != transform->fixed_h || w != transform->fixed_w))
        h = w = 0;
    transform->fixed_h = h;
    transform->fixed_w = w;
    int channels = transform->channels;
    if (type->channels)
        channels = type->channels(&step->op, channels);
    if (channels == 0)
        return pst__fail(err, PST_EINVAL, "it does not take grey images");
    if (!is_certain && channels != transform->channels)
        return pst__fail(err, PST_EINVAL, "it makes %d channels of %d, and only sometimes",
                         channels, transform->channels);
    transform->channels = channels;
    return PST_OK;
}

/* Whether the step may be where it is. */
static int check_place(const struct pst__step *before, const struct pst__step *step, int is_certain,
                       struct pst_error *err)
{
    if (before && (before->type->images || (before->type->is_last && !step->type->is_last)))
        return pst__fail(err, PST_EINVAL, "it comes after %s", before->type->name);
    int is_noise = step->type == &pst__op_gaussian_noise;
    if (before && before->type->is_last && (is_noise || before->type == &pst__op_gaussian_noise))
        return pst__fail(err, PST_EINVAL, "it comes after %s", before->type->name);
    if (step->type->images && !is_certain)
        return pst__fail(err, PST_EINVAL, "it makes several images, and only sometimes");
    return PST_OK;
}

/* Of a step that draws normals. */
static int add_normals(struct pst_transform *transform, const struct pst__step *step,
                       struct pst_error *err)
{
    int32_t h = transform->fixed_h, w = transform->fixed_w;
    if (step->type == &pst__op_gaussian_noise) {
        transform->draws_normals = 1;
        transform->noise = step;
        return pst__check_noise(&step->op, h, w, transform->channels, err);
    }
    if (!pst__erases_at_random(&step->op))
        return PST_OK;
    transform->draws_normals = 1;
    return pst__check_normals(&step->op, h, w, transform->channels, err);
}

static int check_op(const struct pst_transform *transform, const struct pst__step *step,
                    struct pst_error *err)
{
    int rc = step->type->check(&step->op, err);
    if (rc < 0 || !step->type->fits || transform->fixed_h == 0)
        return rc;
    return step->type->fits(&step->op, transform->fixed_h, transform->fixed_w, err);
}

static int add_step(struct pst_transform *transform, const struct pst_op *op, int is_certain,
                    struct pst_error *err)
{
    struct pst__step *step = &transform->step[transform->n_steps];
    const struct pst__step *before = transform->n_steps > 0 ? step - 1 : NULL;
    transform->n_steps++;
    const double *table = step->op.table; /* where copy_tables() put it */
    step->op = *op;
    step->op.table = table;
    step->type = type_of(op->kind);
    if (!step->type)
        return pst__fail(err, PST_EINVAL, "no kind of step has number %d", op->kind);
    int rc = check_place(before, step, is_certain, err);
    if (rc == PST_OK)
        rc = check_op(transform, step, err);
    if (rc == PST_OK)
        rc = add_ranges(transform, step, err);
    if (rc == PST_OK)
        rc = add_shape(transform, step, is_certain, err);
    if (rc == PST_OK && step->type->images) {
        transform->n_images = step->type->images(&step->op);
        transform->is_apart = step->op.number[0] != 0;
    }
    transform->draws_python |= step->type->draws_python;
    if (rc == PST_OK)
        rc = add_normals(transform, step, err);
    if (rc == PST_OK)
        transform->max_words +=
            step->type->words ? step->type->words(&step->op) : step->type->max_words;
    return rc;
}

/* As add_step; the message says which step it is. */
static int add_named(struct pst_transform *transform, const struct pst_op *op, int is_certain,
                     struct pst_error *err)
{
    struct pst_error why;
    pst_error_init(&why);
    int i = transform->n_steps;
    int rc = add_step(transform, op, is_certain, &why);
    if (rc < 0) {
        const struct pst__op_type *type = type_of(op->kind);
        return pst__fail(err, rc, "step %d%s%s: %s", i, type ? ", " : "", type ? type->name : "",
                         why.message);
    }
    return PST_OK;
}

/* The steps of part k of a container, counted from the first that it holds. */
static int part_of(const struct pst__step *step, int32_t k, int *first)
{
    *first = 0;
    if (step->op.n_table == 0)
        return step->skip;
    for (int32_t i = 0; i < k; i++)
        *first += (int)step->op.table[i];
    return (int)step->op.table[k];
}

static int add_steps(struct pst_transform *transform, const struct pst_op *ops, int n,
                     int is_certain, struct pst_error *err);

/* What the container at this place holds. Depth is bounded by the number of steps. */
static int add_parts(struct pst_transform *transform, int at, const struct pst_op *ops,
                     struct pst_error *err)
{
    const struct pst__step *step = &transform->step[at];
    int rc = PST_OK;
    for (int32_t k = 0, done = 0; done < step->skip && rc == PST_OK; k++) {
        int first, n = part_of(step, k, &first);
        rc = add_steps(transform, ops + first, n, 0, err);
        done = first + n;
    }
    for (int i = at + 1; i < transform->n_steps && rc == PST_OK && step->type->is_shuffled; i++) {
        if (transform->step[i].type->is_last)
            rc = pst__fail(err, PST_EINVAL, "step %d, %s: it is in a random order", i,
                           transform->step[i].type->name);
    }
    return rc;
}

/* A container's steps must lie in the one around it. */
static int add_steps(struct pst_transform *transform, const struct pst_op *ops, int n,
                     int is_certain, struct pst_error *err)
{
    for (int i = 0; i < n; i++) {
        int at = transform->n_steps;
        int rc = add_named(transform, &ops[i], is_certain, err);
        if (rc < 0)
            return rc;
        if (!transform->step[at].type->enter)
            continue;
        int count = ops[i].count;
        if (count > n - i - 1)
            return pst__fail(err, PST_EINVAL, "step %d holds %d steps, %d follow", at, count,
                             n - i - 1);
        transform->step[at].skip = count;
        rc = add_parts(transform, at, &ops[i + 1], err);
        if (rc < 0)
            return rc;
        i += count;
    }
    return PST_OK;
}

/* The tables become the transform's own. */
static int copy_tables(struct pst_transform *transform, const struct pst_op *ops, size_t n,
                       struct pst_error *err)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        PST_REQUIRE(ops[i].n_table <= PST_MAX_OP_TABLE && (ops[i].table || ops[i].n_table == 0),
                    err, "step %zu has a table of %zu numbers, the limit is %d", i, ops[i].n_table,
                    PST_MAX_OP_TABLE);
        total += ops[i].n_table;
    }
    if (total == 0)
        return PST_OK;
    double *next = transform->table = pst__calloc(total, sizeof *next, PST_MEM_HEAP);
    if (!next)
        return pst__fail(err, PST_ENOMEM, "no memory for tables of %zu numbers", total);
    for (size_t i = 0; i < n; i++) {
        if (ops[i].n_table == 0)
            continue;
        memcpy(next, ops[i].table, ops[i].n_table * sizeof *next);
        transform->step[i].op.table = next;
        next += ops[i].n_table;
    }
    return PST_OK;
}

static int check_config(const struct pst_transform_config *config, struct pst_error *err)
{
    PST_REQUIRE(config, err, "no configuration");
    PST_REQUIRE(config->struct_size >= sizeof *config, err,
                "struct_size is %zu, expected at least %zu", config->struct_size, sizeof *config);
    PST_REQUIRE(config->n_ops <= PST_MAX_OPS, err, "%zu steps, the limit is %d", config->n_ops,
                PST_MAX_OPS);
    PST_REQUIRE(config->ops || config->n_ops == 0, err, "n_ops is %zu but ops is NULL",
                config->n_ops);
    PST_REQUIRE(config->output, err, "no output");
    int dtype = config->output->dtype;
    PST_REQUIRE(dtype == PST_F32 || dtype == PST_F16 || dtype == PST_BF16 || dtype == PST_U8, err,
                "output dtype %d, expected PST_F32, PST_F16, PST_BF16 or PST_U8", dtype);
    PST_REQUIRE(config->output->layout == PST_LAYOUT_CHW ||
                    config->output->layout == PST_LAYOUT_HWC,
                err, "output layout %d, expected 0 or 1", config->output->layout);
    PST_REQUIRE(config->era >= PST_ERA_DEFAULT && config->era <= PST_ERA_13, err,
                "era %d, expected 0 to %d", config->era, PST_ERA_13);
    PST_REQUIRE(config->channels == 0 || config->channels == 1 || config->channels == 3, err,
                "images of %d channels, expected 1 or 3", config->channels);
    return PST_OK;
}

static void add_output(struct pst_transform *transform)
{
    const struct pst_output *output = &transform->output;
    for (int c = 0; c < 3 && output->dtype != PST_U8; c++) {
        pst__norm_init(&transform->norm[c], output->lut[c], output->mean[c], output->std[c]);
        for (int v = 0; v < 256; v++)
            transform->half[c][v] = (uint16_t)pst__output_bits(output->dtype, output->lut[c][v]);
    }
}

static void transform_free(struct pst_transform *transform)
{
    pst__free(transform->table);
    pst__free(transform);
}

int pst_transform_new(struct pst_transform **out, const struct pst_transform_config *config,
                      struct pst_error *err)
{
    int rc = check_config(config, err);
    if (rc < 0)
        return rc;
    struct pst_transform *transform = pst__calloc(1, sizeof *transform, PST_MEM_HEAP);
    if (!transform)
        return pst__fail(err, PST_ENOMEM, "no memory for a transform");
    atomic_init(&transform->refs, 1);
    transform->n_images = 1;
    transform->era = config->era == PST_ERA_DEFAULT ? PST_ERA_13 : config->era;
    transform->in_channels = transform->channels = config->channels == 1 ? 1 : 3;
    rc = copy_tables(transform, config->ops, config->n_ops, err);
    if (rc == PST_OK)
        rc = add_steps(transform, config->ops, (int)config->n_ops, 1, err);
    if (rc == PST_OK && transform->draws_normals && config->output->dtype == PST_U8)
        rc = pst__fail(err, PST_EINVAL, "normals are no pixels of PST_U8");
    if (rc == PST_OK && transform->noise && config->output->dtype != PST_F32)
        rc = pst__fail(err, PST_EINVAL, "noise is added to PST_F32 alone");
    for (int r = 0; r < transform->n_ranges && rc == PST_OK && transform->draws_normals; r++)
        if (transform->range[r].taps > 0)
            rc = pst__fail(err, PST_EINVAL, "normals are drawn beside the sigma of a blur");
    if (rc < 0)
        goto fail;
    transform->output = *config->output;
    add_output(transform);
    *out = transform;
    return PST_OK;
fail:
    transform_free(transform);
    return rc;
}

struct pst_transform *pst_transform_ref(struct pst_transform *transform)
{
    atomic_fetch_add_explicit(&transform->refs, 1, memory_order_relaxed);
    return transform;
}

void pst_transform_unref(struct pst_transform *transform)
{
    if (transform && atomic_fetch_sub_explicit(&transform->refs, 1, memory_order_acq_rel) == 1)
        transform_free(transform);
}

int pst_transform_channels(const struct pst_transform *transform)
{
    return transform->channels;
}

int pst_transform_images(const struct pst_transform *transform)
{
    return transform->n_images;
}

size_t pst__transform_bytes(const struct pst_transform *transform, const struct pst__plan *plan)
{
    return (size_t)transform->n_images * (size_t)transform->channels * (size_t)plan->out_w *
           (size_t)plan->out_h * pst_dtype_size(transform->output.dtype);
}

size_t pst__plan_cost(const struct pst_transform *transform, const struct pst__plan *plan)
{
    return pst__plan_bytes(plan, transform->era);
}

size_t pst_transform_max_words(const struct pst_transform *transform)
{
    return transform->max_words;
}

int pst_transform_draws_python(const struct pst_transform *transform)
{
    return transform->draws_python;
}

int pst_transform_draws_normals(const struct pst_transform *transform)
{
    return transform->draws_normals;
}

struct pst__draws pst__transform_draws(const struct pst_transform *transform, struct pst__mt *mt,
                                       struct pst__mt *python)
{
    return (struct pst__draws){.mt = mt, .python = python, .range = transform->range};
}

int pst__transform_n_exp_ranges(const struct pst_transform *transform)
{
    return transform->n_ranges;
}

void pst__transform_exp_arguments(const struct pst_transform *transform, int range,
                                  const uint32_t *words, size_t n, float *out)
{
    const struct pst__range *ends = &transform->range[range];
    size_t width = pst__range_width(ends);
    for (size_t i = 0; i < n; i++)
        out[i * width] = pst__uniform(words[i], ends->low, ends->high);
}

const struct pst__range *pst__transform_range(const struct pst_transform *transform, int range)
{
    return &transform->range[range];
}

int pst__transform_fixed_size(const struct pst_transform *transform, int32_t *h, int32_t *w)
{
    *h = transform->fixed_h;
    *w = transform->fixed_w;
    return *h > 0;
}

int pst__transform_in_channels(const struct pst_transform *transform)
{
    return transform->in_channels;
}

int pst__transform_dtype(const struct pst_transform *transform)
{
    return transform->output.dtype;
}

int pst__transform_turns(const struct pst_transform *transform)
{
    for (int i = 0; i < transform->n_steps; i++) {
        const struct pst_op *op = &transform->step[i].op;
        if (op->kind == PST_OP_EXIF_TRANSPOSE)
            return op->count == 1 ? PST_TURNS_UPRIGHT_ONLY : PST_TURNS;
    }
    return PST_TURNS_NOTHING;
}

static int plan_steps(const struct pst_transform *transform, int first, int end,
                      struct pst__draws *draws, struct pst__plan *plan, struct pst_error *err);

static int plan_parts(const struct pst_transform *transform, int at, struct pst__draws *draws,
                      struct pst__plan *plan, struct pst_error *err)
{
    const struct pst__step *step = &transform->step[at];
    int32_t part[PST_MAX_OPS];
    int n = step->type->enter(step, draws, part);
    int rc = PST_OK;
    for (int i = 0; i < n && rc == PST_OK; i++) {
        int first, count = part_of(step, part[i], &first);
        rc = plan_steps(transform, at + 1 + first, at + 1 + first + count, draws, plan, err);
    }
    return rc;
}

static int plan_steps(const struct pst_transform *transform, int first, int end,
                      struct pst__draws *draws, struct pst__plan *plan, struct pst_error *err)
{
    int rc = PST_OK;
    for (int i = first; i < end && rc == PST_OK; i += 1 + transform->step[i].skip) {
        const struct pst__step *step = &transform->step[i];
        rc = step->type->plan ? step->type->plan(step, draws, plan, err)
                              : plan_parts(transform, i, draws, plan, err);
        if (rc == PST_OK && draws->is_uncertain)
            rc = pst__fail(err, PST_ELIMIT, "a rectangle of which only torch can tell the sides");
    }
    return rc;
}

int pst__transform_plan(const struct pst_transform *transform, int32_t w, int32_t h,
                        int orientation, struct pst__draws *draws, struct pst__plan *plan,
                        struct pst_error *err)
{
    int rc = pst__fold_begin(plan, w, h, transform->in_channels, err);
    plan->orientation = orientation;
    if (rc == PST_OK)
        rc = plan_steps(transform, 0, transform->n_steps, draws, plan, err);
    if (rc < 0)
        return rc;
    return pst__fold_end(plan, transform->era, transform->output.dtype, err);
}
