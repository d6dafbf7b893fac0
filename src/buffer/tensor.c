/* SPDX-License-Identifier: Apache-2.0 */
#include "buffer/buffer.h"

#include <assert.h>

size_t pst_dtype_size(int dtype)
{
    switch (dtype) {
    case PST_U8:
    case PST_I8:
    case PST_BOOL:
        return 1;
    case PST_I16:
    case PST_F16:
    case PST_BF16:
        return 2;
    case PST_I32:
    case PST_F32:
        return 4;
    case PST_I64:
    case PST_F64:
        return 8;
    default:
        return 0;
    }
}

void pst__tensor_over(struct pst_tensor *tensor, struct pst_buffer *buffer, int dtype, int ndim,
                      const int64_t *shape)
{
    assert(ndim >= 0 && ndim <= PST_MAX_DIMS);
    *tensor = (struct pst_tensor){
        .buffer = buffer, .data = pst_buffer_data(buffer), .dtype = dtype, .ndim = ndim};
    int64_t stride = (int64_t)pst_dtype_size(dtype);
    for (int i = ndim - 1; i >= 0; i--) {
        tensor->shape[i] = shape[i];
        tensor->strides[i] = stride;
        stride *= shape[i];
    }
    assert(stride >= 0 && (size_t)stride <= pst_buffer_size(buffer));
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
