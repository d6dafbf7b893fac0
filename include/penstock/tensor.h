/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENSTOCK_TENSOR_H
#define PENSTOCK_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Memory that several holders share. The last pst_buffer_unref() gives it back to where it came
 * from: the heap, a loader's slab pool, or the owner named to pst_buffer_wrap(). */
struct pst_buffer;

/* Called once when the last reference is gone, on whichever thread dropped it, with no lock held.
 */
typedef void (*pst_release_fn)(void *opaque);

/* Wraps foreign memory. On success *out holds one reference and release(opaque) will be called
 * once; on failure nothing is taken. release may be NULL. Errors: PST_EINVAL, PST_ENOMEM. */
PST_API int pst_buffer_wrap(struct pst_buffer **out, void *data, size_t size,
                            pst_release_fn release, void *opaque, struct pst_error *err);
PST_API struct pst_buffer *
pst_buffer_ref(struct pst_buffer *buffer);                /* any thread; returns buffer */
PST_API void pst_buffer_unref(struct pst_buffer *buffer); /* any thread; NULL is legal */
PST_API void *pst_buffer_data(const struct pst_buffer *buffer);
PST_API size_t pst_buffer_size(const struct pst_buffer *buffer);

/* Values are part of the ABI: append, never renumber. */
enum pst_dtype {
    PST_U8 = 1,
    PST_I64 = 2,
    PST_F32 = 3,
    PST_I8 = 4,
    PST_I16 = 5,
    PST_I32 = 6,
    PST_F16 = 7,  /* IEEE 754 binary16 */
    PST_BF16 = 8, /* the upper half of a float */
    PST_F64 = 9,
    PST_BOOL = 10, /* a byte: 0 or 1 */
};

#define PST_MAX_DIMS 8

/* An array in a buffer. Zero-initialised means empty. Holds one reference on buffer. */
struct pst_tensor {
    struct pst_buffer *buffer;
    void *data; /* first element */
    int dtype;  /* enum pst_dtype */
    int ndim;
    int64_t shape[PST_MAX_DIMS];   /* elements */
    int64_t strides[PST_MAX_DIMS]; /* bytes */
};

PST_API size_t pst_dtype_size(int dtype);                 /* bytes; 0 for an unknown dtype */
PST_API void pst_tensor_reset(struct pst_tensor *tensor); /* idempotent */
PST_API void pst_tensor_move(struct pst_tensor *to, struct pst_tensor *from); /* from is zeroed */
PST_API void pst_tensor_ref(struct pst_tensor *to,
                            const struct pst_tensor *from); /* shares memory */
PST_API int64_t pst_tensor_numel(const struct pst_tensor *tensor);

#ifdef __cplusplus
}
#endif
#endif
