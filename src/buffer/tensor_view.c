/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/tensor.h>

#include "base/status.h"
#include "buffer/tensor_parts.h"

/* Other looks at the same memory. Each function makes *out from from, changes its shape and strides
 * and takes the reference last, so that a failure leaves nothing behind. */

static int begin(struct pst_tensor *out, const struct pst_tensor *from, struct pst_error *err)
{
    *out = (struct pst_tensor){0};
    return pst__tensor_check(from, err);
}

static int finish(struct pst_tensor *out, const struct pst_tensor *made)
{
    pst_tensor_ref(out, made);
    return PST_OK;
}

/* A dimension that may count from the end. */
static int find_dim(int *dim, int ndim, struct pst_error *err)
{
    PST_REQUIRE(*dim >= -ndim && *dim < ndim, err, "dimension %d of a tensor of %d dimensions",
                *dim, ndim);
    *dim += *dim < 0 ? ndim : 0;
    return PST_OK;
}

/* Fills in the one size that is -1, and checks that the shape has numel elements. */
static int complete_shape(int64_t *full, int dtype, int64_t numel, int ndim, const int64_t *shape,
                          struct pst_error *err)
{
    int open = -1;
    int64_t bytes;
    PST_REQUIRE(ndim >= 0 && ndim <= PST_MAX_DIMS, err, "a tensor has 0 to %d dimensions, not %d",
                PST_MAX_DIMS, ndim);
    PST_REQUIRE(shape || ndim == 0, err, "shape is NULL");
    for (int i = 0; i < ndim; i++) {
        PST_REQUIRE(shape[i] != -1 || open < 0, err, "a view has at most one size of -1");
        if (shape[i] == -1)
            open = i;
        full[i] = shape[i] == -1 ? 1 : shape[i];
    }
    int rc = pst__tensor_size(&bytes, dtype, ndim, full, err);
    if (rc < 0)
        return rc;
    int64_t others = bytes / (int64_t)pst_dtype_size(dtype);
    if (open >= 0) {
        PST_REQUIRE(others > 0, err, "-1 beside a size of 0 could be any size");
        full[open] = numel / others;
        others *= full[open];
    }
    PST_REQUIRE(others == numel, err, "a view of %lld elements cannot have %lld", (long long)numel,
                (long long)others);
    return PST_OK;
}

/* Strides for a shape of as many elements, or 0 where a copy would be needed. Sizes of 1 are left
 * out of from; then each run of its dimensions that follow each other without a gap can be split at
 * will, and nothing can cross the border between two runs. */
static int view_strides(struct pst_tensor *made, const struct pst_tensor *from)
{
    int64_t size[PST_MAX_DIMS], stride[PST_MAX_DIMS];
    int n = 0;
    for (int i = 0; i < from->ndim; i++) {
        if (from->shape[i] == 1)
            continue;
        int64_t step = 0;
        if (n > 0 && !__builtin_mul_overflow(from->strides[i], from->shape[i], &step) &&
            stride[n - 1] == step) {
            size[n - 1] *= from->shape[i];
            stride[n - 1] = from->strides[i];
            continue;
        }
        size[n] = from->shape[i];
        stride[n++] = from->strides[i];
    }
    int run = n - 1;
    int64_t left = run >= 0 ? size[run] : 1;
    int64_t step = run >= 0 ? stride[run] : (int64_t)pst_dtype_size(from->dtype);
    for (int i = made->ndim - 1; i >= 0; i--) {
        if (left == 1 && made->shape[i] != 1 && run > 0) {
            left = size[--run];
            step = stride[run];
        }
        made->strides[i] = step;
        if (left % made->shape[i] != 0)
            return 0;
        left /= made->shape[i];
        /* The last step may leave the range of the memory, where nothing is left to use it. */
        if (__builtin_mul_overflow(step, made->shape[i], &step) && left > 1)
            return 0;
    }
    return 1;
}

int pst_tensor_view(struct pst_tensor *out, const struct pst_tensor *from, int ndim,
                    const int64_t *shape, struct pst_error *err)
{
    int rc = begin(out, from, err);
    if (rc < 0)
        return rc;
    struct pst_tensor made = *from;
    int64_t numel = pst_tensor_numel(from);
    rc = complete_shape(made.shape, from->dtype, numel, ndim, shape, err);
    if (rc < 0)
        return rc;
    made.ndim = ndim;
    if (numel == 0)
        pst__tensor_strides(made.strides, made.dtype, ndim, made.shape);
    else if (!view_strides(&made, from))
        return pst__fail(err, PST_EINVAL,
                         "the strides do not allow this view: it needs a contiguous copy");
    return finish(out, &made);
}

static void drop_dim(struct pst_tensor *made, int dim)
{
    made->ndim--;
    for (int i = dim; i < made->ndim; i++) {
        made->shape[i] = made->shape[i + 1];
        made->strides[i] = made->strides[i + 1];
    }
}

int pst_tensor_select(struct pst_tensor *out, const struct pst_tensor *from, int dim, int64_t index,
                      struct pst_error *err)
{
    int rc = begin(out, from, err);
    if (rc < 0 || (rc = find_dim(&dim, from->ndim, err)) < 0)
        return rc;
    int64_t n = from->shape[dim];
    if (index < -n || index >= n)
        return pst__fail(err, PST_ERANGE, "index %lld of dimension %d of size %lld",
                         (long long)index, dim, (long long)n);
    struct pst_tensor made = *from;
    if (pst_tensor_numel(from) > 0) /* else there is no memory to move within */
        made.data = (uint8_t *)from->data + from->strides[dim] * (index + (index < 0 ? n : 0));
    drop_dim(&made, dim);
    return finish(out, &made);
}

/* Python's rules for one end of a slice. */
static int64_t clamp_end(int64_t at, int64_t n, int64_t step)
{
    if (at < 0)
        at = at < -n ? -1 : at + n;
    else if (at > n)
        at = n;
    if (step < 0 && at >= n)
        return n - 1;
    return step > 0 && at < 0 ? 0 : at;
}

int pst_tensor_slice(struct pst_tensor *out, const struct pst_tensor *from, int dim, int64_t start,
                     int64_t stop, int64_t step, struct pst_error *err)
{
    int rc = begin(out, from, err);
    if (rc < 0 || (rc = find_dim(&dim, from->ndim, err)) < 0)
        return rc;
    PST_REQUIRE(step != 0, err, "a slice's step is 0");
    struct pst_tensor made = *from;
    int64_t n = from->shape[dim], count = 0;
    start = clamp_end(start, n, step);
    stop = clamp_end(stop, n, step);
    uint64_t pace = step < 0 ? 0 - (uint64_t)step : (uint64_t)step;
    if (step > 0 ? start < stop : start > stop)
        count = (int64_t)(((uint64_t)(step < 0 ? start - stop : stop - start) - 1) / pace) + 1;
    made.shape[dim] = count;
    if (pst_tensor_numel(&made) > 0)
        made.data = (uint8_t *)from->data + from->strides[dim] * start;
    /* With one element the stride is not used, and its product need not be a number. */
    if (count > 1)
        made.strides[dim] *= step;
    return finish(out, &made);
}

int pst_tensor_permute(struct pst_tensor *out, const struct pst_tensor *from, const int *dims,
                       struct pst_error *err)
{
    int rc = begin(out, from, err);
    unsigned seen = 0;
    if (rc < 0)
        return rc;
    PST_REQUIRE(dims || from->ndim == 0, err, "dims is NULL");
    struct pst_tensor made = *from;
    for (int i = 0; i < from->ndim; i++) {
        int dim = dims[i];
        if ((rc = find_dim(&dim, from->ndim, err)) < 0)
            return rc;
        PST_REQUIRE(!(seen >> dim & 1u), err, "dimension %d comes twice", dim);
        seen |= 1u << dim;
        made.shape[i] = from->shape[dim];
        made.strides[i] = from->strides[dim];
    }
    return finish(out, &made);
}

int pst_tensor_transpose(struct pst_tensor *out, const struct pst_tensor *from, int dim0, int dim1,
                         struct pst_error *err)
{
    int rc = begin(out, from, err);
    if (rc < 0 || (rc = find_dim(&dim0, from->ndim, err)) < 0 ||
        (rc = find_dim(&dim1, from->ndim, err)) < 0)
        return rc;
    struct pst_tensor made = *from;
    made.shape[dim0] = from->shape[dim1];
    made.strides[dim0] = from->strides[dim1];
    made.shape[dim1] = from->shape[dim0];
    made.strides[dim1] = from->strides[dim0];
    return finish(out, &made);
}

int pst_tensor_expand(struct pst_tensor *out, const struct pst_tensor *from, int ndim,
                      const int64_t *shape, struct pst_error *err)
{
    int64_t bytes;
    int rc = begin(out, from, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(ndim >= from->ndim && ndim <= PST_MAX_DIMS, err,
                "%d dimensions cannot be expanded to %d", from->ndim, ndim);
    PST_REQUIRE(shape || ndim == 0, err, "shape is NULL");
    struct pst_tensor made = *from;
    made.ndim = ndim;
    for (int i = 0, j = from->ndim - ndim; i < ndim; i++, j++) {
        made.shape[i] = shape[i];
        made.strides[i] = 0;
        if (j < 0)
            continue;
        if (shape[i] == -1)
            made.shape[i] = from->shape[j];
        if (made.shape[i] == from->shape[j])
            made.strides[i] = from->strides[j];
        else
            PST_REQUIRE(from->shape[j] == 1, err, "dimension %d of size %lld cannot be expanded", j,
                        (long long)from->shape[j]);
    }
    rc = pst__tensor_size(&bytes, made.dtype, ndim, made.shape, err);
    return rc < 0 ? rc : finish(out, &made);
}
