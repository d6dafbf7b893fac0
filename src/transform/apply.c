/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "buffer/buffer.h"
#include "transform/ops.h"
#include "transform/segment.h"

/* The rows of the region, as RGBX. */
struct pixels {
    const uint8_t *next; /* RGB */
    ptrdiff_t stride;
    struct pst_rect region;
    uint8_t *rgbx; /* the region */
    int32_t done;
};

static int pixel_rows(void *self, int max_rows, const uint8_t **rows, ptrdiff_t *stride,
                      int *n_rows, struct pst_error *err)
{
    struct pixels *pixels = self;
    (void)err;
    size_t row = (size_t)pixels->region.w * 4;
    int32_t left = pixels->region.h - pixels->done;
    *n_rows = max_rows < left ? max_rows : left;
    *rows = pixels->rgbx + (size_t)pixels->done * row;
    *stride = (ptrdiff_t)row;
    for (int i = 0; i < *n_rows; i++, pixels->done++, pixels->next += pixels->stride) {
        uint8_t *to = pixels->rgbx + (size_t)pixels->done * row;
        const uint8_t *from = pixels->next;
        for (int32_t x = 0; x < pixels->region.w; x++, to += 4, from += 3) {
            memcpy(to, from, 3);
            to[3] = 0;
        }
    }
    return PST_OK;
}

/* Plans with C's own exp and weights. */
static int plan_alone(const struct pst_transform *transform, int32_t w, int32_t h,
                      const uint32_t *words, size_t *used, struct pst__plan *plan,
                      struct pst_error *err)
{
    struct pst__draws draws = {.words = words};
    size_t n = transform->max_words, total = 0;
    for (int r = 0; r < transform->n_ranges; r++)
        total += n * pst__range_width(&transform->range[r]);
    float *exps = pst__calloc(total, sizeof *exps, PST_MEM_HEAP);
    if (!exps)
        return pst__fail(err, PST_ENOMEM, "no memory for %zu exponentials", total);
    float *values = exps;
    for (int r = 0; r < transform->n_ranges; r++) {
        const struct pst__range *range = &transform->range[r];
        pst__transform_exp_arguments(transform, r, words, n, values);
        pst__range_compute(range, values, n);
        draws.exps[r] = values;
        values += n * pst__range_width(range);
    }
    int rc = pst__transform_plan(transform, w, h, 1, &draws, plan, err);
    pst__free(exps);
    *used = draws.used;
    return rc;
}

static int execute_alone(const struct pst_transform *transform, const struct pst__plan *plan,
                         const uint8_t *rgb, ptrdiff_t stride, const struct pst__place *place,
                         struct pst_error *err)
{
    struct pst__executor *executor = NULL;
    struct pixels pixels = {.next = rgb + plan->region.y * stride + (ptrdiff_t)plan->region.x * 3,
                            .stride = stride,
                            .region = plan->region};
    int rc = PST_ENOMEM;
    pixels.rgbx = pst__alloc((size_t)plan->region.w * (size_t)plan->region.h * 4, PST_MEM_SCRATCH);
    if (!pixels.rgbx)
        return pst__fail(err, PST_ENOMEM, "no memory for %d x %d pixels", plan->region.w,
                         plan->region.h);
    rc = pst__executor_new(&executor, err);
    if (rc == PST_OK)
        rc = pst__transform_execute(executor, transform, plan,
                                    &(struct pst__row_source){pixel_rows, &pixels}, place, err);
    pst__executor_free(executor);
    pst__free(pixels.rgbx);
    return rc;
}

int pst_transform_apply(const struct pst_transform *transform, const uint8_t *rgb, int32_t w,
                        int32_t h, ptrdiff_t stride, const uint32_t *words, size_t n_words,
                        size_t *used, struct pst_tensor *out, struct pst_error *err)
{
    PST_REQUIRE(n_words >= transform->max_words, err, "%zu random words, expected at least %zu",
                n_words, transform->max_words);
    if (transform->draws_python)
        return pst__fail(err, PST_EINVAL, "it draws from Python's random, which a loader has");
    if (transform->draws_normals)
        return pst__fail(err, PST_EINVAL, "it draws normals, for which a loader has the words");
    struct pst__plan plan;
    size_t n_used = 0;
    int rc = plan_alone(transform, w, h, words, &n_used, &plan, err);
    if (rc < 0)
        return rc;
    int dtype = transform->output.dtype;
    int64_t shape[4];
    int ndim = pst__transform_shape(transform, plan.out_h, plan.out_w, shape);
    size_t bytes = pst__transform_bytes(transform, &plan);
    struct pst_buffer *buffer;
    rc = pst__buffer_new(&buffer, bytes, err);
    if (rc < 0)
        return rc;
    struct pst__place place = pst__transform_place(transform, pst_buffer_data(buffer), bytes, 0, 1);
    rc = execute_alone(transform, &plan, rgb, stride, &place, err);
    if (rc < 0) {
        pst_buffer_unref(buffer);
        return rc;
    }
    pst__tensor_over(out, buffer, dtype, ndim, shape);
    if (used)
        *used = n_used;
    return PST_OK;
}
