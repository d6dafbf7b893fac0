/* SPDX-License-Identifier: Apache-2.0 */
#include "buffer/buffer.h"

#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "base/status.h"
#include "buffer/tensor_parts.h"

size_t pst_dtype_size(int dtype)
{
    switch (dtype) {
    case PST_U8:
    case PST_I8:
    case PST_BOOL:
        return 1;
    case PST_I16:
    case PST_U16:
    case PST_F16:
    case PST_BF16:
        return 2;
    case PST_I32:
    case PST_U32:
    case PST_F32:
        return 4;
    case PST_I64:
    case PST_U64:
    case PST_F64:
        return 8;
    default:
        return 0;
    }
}

const char *pst_dtype_name(int dtype)
{
    static const char *const names[] = {"unknown", "u8",   "i64", "f32",  "i8",  "i16", "i32",
                                        "f16",     "bf16", "f64", "bool", "u16", "u32", "u64"};
    return names[dtype > 0 && dtype < (int)PST_COUNTOF(names) ? dtype : 0];
}

void pst__tensor_over(struct pst_tensor *tensor, struct pst_buffer *buffer, int dtype, int ndim,
                      const int64_t *shape)
{
    assert(ndim >= 0 && ndim <= PST_MAX_DIMS);
    *tensor = (struct pst_tensor){
        .buffer = buffer, .data = pst_buffer_data(buffer), .dtype = dtype, .ndim = ndim};
    for (int i = 0; i < ndim; i++)
        tensor->shape[i] = shape[i];
    pst__tensor_strides(tensor->strides, dtype, ndim, shape);
    assert(pst_tensor_bytes(tensor) >= 0 &&
           (size_t)pst_tensor_bytes(tensor) <= pst_buffer_size(buffer));
}

void pst_tensor_reset(struct pst_tensor *tensor)
{
    struct pst_buffer *buffer = tensor->buffer;
    *tensor = (struct pst_tensor){0};
    pst_buffer_unref(buffer);
}

void pst_tensor_move(struct pst_tensor *to, struct pst_tensor *from)
{
    if (to == from)
        return;
    *to = *from;
    *from = (struct pst_tensor){0};
}

void pst_tensor_ref(struct pst_tensor *to, const struct pst_tensor *from)
{
    *to = *from;
    if (to->buffer)
        pst_buffer_ref(to->buffer);
}

int64_t pst_tensor_numel(const struct pst_tensor *tensor)
{
    if (!tensor->buffer)
        return 0;
    int64_t n = 1;
    for (int i = 0; i < tensor->ndim; i++)
        n *= tensor->shape[i];
    return n;
}

int64_t pst_tensor_bytes(const struct pst_tensor *tensor)
{
    return pst_tensor_numel(tensor) * (int64_t)pst_dtype_size(tensor->dtype);
}

int pst__tensor_size(int64_t *bytes, int dtype, int ndim, const int64_t *shape,
                     struct pst_error *err)
{
    int64_t item = (int64_t)pst_dtype_size(dtype), total = item, n = item;
    PST_REQUIRE(item > 0, err, "%d is no dtype", dtype);
    PST_REQUIRE(ndim >= 0 && ndim <= PST_MAX_DIMS, err, "a tensor has 0 to %d dimensions, not %d",
                PST_MAX_DIMS, ndim);
    PST_REQUIRE(shape || ndim == 0, err, "shape is NULL");
    for (int i = 0; i < ndim; i++) {
        PST_REQUIRE(shape[i] >= 0, err, "dimension %d has %lld elements", i, (long long)shape[i]);
        /* A size of 0 counts as 1, so that every stride of a contiguous tensor is in bounds too. */
        if (__builtin_mul_overflow(total, shape[i] > 0 ? shape[i] : 1, &total) ||
            total > PST_MAX_TENSOR)
            return pst__fail(err, PST_EINVAL, "a tensor of this shape has 2^62 bytes or more");
        n *= shape[i];
    }
    *bytes = n;
    return PST_OK;
}

int pst__tensor_check(const struct pst_tensor *tensor, struct pst_error *err)
{
    PST_REQUIRE(tensor && tensor->buffer, err, "the tensor is empty");
    PST_REQUIRE(pst_dtype_size(tensor->dtype) > 0, err, "%d is no dtype", tensor->dtype);
    PST_REQUIRE(tensor->ndim >= 0 && tensor->ndim <= PST_MAX_DIMS, err,
                "a tensor has 0 to %d dimensions, not %d", PST_MAX_DIMS, tensor->ndim);
    return PST_OK;
}

void pst__tensor_strides(int64_t *strides, int dtype, int ndim, const int64_t *shape)
{
    int64_t stride = (int64_t)pst_dtype_size(dtype);
    for (int i = ndim - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= shape[i] > 0 ? shape[i] : 1;
    }
}

int pst_tensor_empty(struct pst_tensor *out, int dtype, int ndim, const int64_t *shape,
                     struct pst_error *err)
{
    int64_t bytes;
    struct pst_buffer *buffer;
    *out = (struct pst_tensor){0};
    int rc = pst__tensor_size(&bytes, dtype, ndim, shape, err);
    if (rc == PST_OK)
        rc = pst__buffer_new(&buffer, (size_t)bytes, err);
    if (rc == PST_OK)
        pst__tensor_over(out, buffer, dtype, ndim, shape);
    return rc;
}

int pst_tensor_zeros(struct pst_tensor *out, int dtype, int ndim, const int64_t *shape,
                     struct pst_error *err)
{
    int rc = pst_tensor_empty(out, dtype, ndim, shape, err);
    if (rc == PST_OK)
        memset(out->data, 0, (size_t)pst_tensor_bytes(out));
    return rc;
}

int pst_tensor_full(struct pst_tensor *out, int dtype, int ndim, const int64_t *shape,
                    const void *element, struct pst_error *err)
{
    *out = (struct pst_tensor){0};
    PST_REQUIRE(element, err, "element is NULL");
    int rc = pst_tensor_empty(out, dtype, ndim, shape, err);
    if (rc < 0)
        return rc;
    size_t total = (size_t)pst_tensor_bytes(out), done = pst_dtype_size(dtype);
    if (total == 0)
        return PST_OK;
    memcpy(out->data, element, done);
    /* What is there is copied behind itself, twice as much each time. */
    while (done < total) {
        size_t n = done < total - done ? done : total - done;
        memcpy((uint8_t *)out->data + done, out->data, n);
        done += n;
    }
    return PST_OK;
}

int pst_tensor_extent(int64_t *before, int64_t *after, int dtype, int ndim, const int64_t *shape,
                      const int64_t *strides, struct pst_error *err)
{
    int64_t bytes;
    *before = *after = 0;
    int rc = pst__tensor_size(&bytes, dtype, ndim, shape, err);
    if (rc < 0 || bytes == 0)
        return rc;
    if (!strides) {
        *after = bytes;
        return PST_OK;
    }
    int64_t low = 0, high = (int64_t)pst_dtype_size(dtype);
    for (int i = 0; i < ndim; i++) {
        int64_t reach, *end = strides[i] < 0 ? &low : &high;
        if (__builtin_mul_overflow(shape[i] - 1, strides[i], &reach) ||
            __builtin_add_overflow(*end, reach, end) || low < -PST_MAX_TENSOR ||
            high > PST_MAX_TENSOR)
            return pst__fail(err, PST_EINVAL, "the strides reach over 2^62 bytes");
    }
    *before = -low;
    *after = high;
    return PST_OK;
}

int pst_tensor_from_buffer(struct pst_tensor *out, struct pst_buffer *buffer, size_t offset,
                           int dtype, int ndim, const int64_t *shape, const int64_t *strides,
                           struct pst_error *err)
{
    int64_t before, after;
    *out = (struct pst_tensor){0};
    PST_REQUIRE(buffer, err, "buffer is NULL");
    int rc = pst_tensor_extent(&before, &after, dtype, ndim, shape, strides, err);
    if (rc < 0)
        return rc;
    size_t size = pst_buffer_size(buffer);
    if (offset > size || (uint64_t)before > offset || (uint64_t)after > size - offset)
        return pst__fail(err, PST_EINVAL,
                         "elements from %lld bytes before to %lld after byte %zu, in a buffer of "
                         "%zu bytes",
                         (long long)before, (long long)after, offset, size);
    out->buffer = pst_buffer_ref(buffer);
    out->data = pst_buffer_data(buffer);
    if (offset > 0) /* memory without bytes may be NULL */
        out->data = (uint8_t *)out->data + offset;
    out->dtype = dtype;
    out->ndim = ndim;
    for (int i = 0; i < ndim; i++)
        out->shape[i] = shape[i];
    if (strides)
        memcpy(out->strides, strides, (size_t)ndim * sizeof *strides);
    else
        pst__tensor_strides(out->strides, dtype, ndim, shape);
    return PST_OK;
}
