/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/ops.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "transform/draw.h"
#include "transform/segment.h"

static const struct pst__op_type *const types[] = {
    &pst__op_resize_short,        &pst__op_resize, &pst__op_center_crop,
    &pst__op_random_resized_crop, &pst__op_hflip,  &pst__op_vflip,
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
    if (op->filter < PST_FILTER_NEAREST || op->filter > PST_FILTER_HAMMING)
        return pst__fail(err, PST_EINVAL, "filter %d, expected 0 to %d", op->filter,
                         PST_FILTER_HAMMING);
    return PST_OK;
}

void pst__op_size_fixed(const struct pst_op *op, int32_t *h, int32_t *w)
{
    *h = op->h;
    *w = op->w;
}

/* The range of a random resized crop's exponentials; equal ones are shared. */
static int add_range(struct pst_transform *transform, struct pst__step *step, struct pst_error *err)
{
    const float *wanted = step->op.log_ratio;
    for (int r = 0; r < transform->n_ranges; r++) {
        if (transform->range[r][0] == wanted[0] && transform->range[r][1] == wanted[1]) {
            step->exp_range = r;
            return PST_OK;
        }
    }
    if (transform->n_ranges == PST_MAX_EXP_RANGES)
        return pst__fail(err, PST_EINVAL, "more than %d different ratios in one transform",
                         PST_MAX_EXP_RANGES);
    step->exp_range = transform->n_ranges;
    memcpy(transform->range[transform->n_ranges++], wanted, sizeof transform->range[0]);
    return PST_OK;
}

static int add_step(struct pst_transform *transform, const struct pst_op *op, struct pst_error *err)
{
    struct pst__step *step = &transform->step[transform->n_steps++];
    step->op = *op;
    step->type = type_of(op->kind);
    if (!step->type)
        return pst__fail(err, PST_EINVAL, "no kind of step has number %d", op->kind);
    int rc = step->type->check(op, err);
    if (rc == PST_OK && op->kind == PST_OP_RANDOM_RESIZED_CROP)
        rc = add_range(transform, step, err);
    transform->max_words += step->type->max_words;
    if (step->type->size)
        step->type->size(op, &transform->fixed_h, &transform->fixed_w);
    return rc;
}

/* As add_step; the message says which step it is. */
static int add_named(struct pst_transform *transform, const struct pst_op *op,
                     struct pst_error *err)
{
    struct pst_error why;
    pst_error_init(&why);
    int i = transform->n_steps;
    int rc = add_step(transform, op, &why);
    if (rc < 0) {
        const struct pst__op_type *type = type_of(op->kind);
        return pst__fail(err, rc, "step %d%s%s: %s", i, type ? ", " : "", type ? type->name : "",
                         why.message);
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
    PST_REQUIRE(config->output->dtype == PST_F32 || config->output->dtype == PST_U8, err,
                "output dtype %d, expected PST_F32 or PST_U8", config->output->dtype);
    PST_REQUIRE(config->era >= PST_ERA_DEFAULT && config->era <= PST_ERA_13, err,
                "era %d, expected 0 to %d", config->era, PST_ERA_13);
    return PST_OK;
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
    transform->era = config->era == PST_ERA_DEFAULT ? PST_ERA_13 : config->era;
    for (size_t i = 0; i < config->n_ops; i++) {
        rc = add_named(transform, &config->ops[i], err);
        if (rc < 0)
            goto fail;
    }
    transform->output = *config->output;
    if (transform->output.dtype == PST_F32) {
        const struct pst_output *output = &transform->output;
        for (int c = 0; c < 3; c++)
            pst__norm_init(&transform->norm[c], output->lut[c], output->mean[c], output->std[c]);
    }
    *out = transform;
    return PST_OK;
fail:
    pst__free(transform);
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
        pst__free(transform);
}

size_t pst_transform_max_words(const struct pst_transform *transform)
{
    return transform->max_words;
}

int pst__transform_n_exp_ranges(const struct pst_transform *transform)
{
    return transform->n_ranges;
}

void pst__transform_exp_arguments(const struct pst_transform *transform, int range,
                                  const uint32_t *words, size_t n, float *out)
{
    const float *ends = transform->range[range];
    for (size_t i = 0; i < n; i++)
        out[i] = pst__uniform(words[i], ends[0], ends[1]);
}

int pst__transform_fixed_size(const struct pst_transform *transform, int32_t *h, int32_t *w)
{
    *h = transform->fixed_h;
    *w = transform->fixed_w;
    return *h > 0;
}

int pst__transform_dtype(const struct pst_transform *transform)
{
    return transform->output.dtype;
}

int pst__transform_plan(const struct pst_transform *transform, int32_t w, int32_t h,
                        struct pst__draws *draws, struct pst__plan *plan, struct pst_error *err)
{
    int rc = pst__fold_begin(plan, w, h, err);
    for (int i = 0; i < transform->n_steps && rc == PST_OK; i++)
        rc = transform->step[i].type->plan(&transform->step[i], draws, plan, err);
    if (rc < 0)
        return rc;
    return pst__fold_end(plan, transform->era, transform->output.dtype, err);
}
