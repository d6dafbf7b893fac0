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
/* The same for memory that nobody may write, such as a file that is mapped for reading. */
PST_API int pst_buffer_wrap_const(struct pst_buffer **out, const void *data, size_t size,
                                  pst_release_fn release, void *opaque, struct pst_error *err);
/* opaque of a buffer that was wrapped with this release function; NULL of any other buffer. */
PST_API void *pst_buffer_opaque(const struct pst_buffer *buffer, pst_release_fn release);
PST_API struct pst_buffer *
pst_buffer_ref(struct pst_buffer *buffer);                /* any thread; returns buffer */
PST_API void pst_buffer_unref(struct pst_buffer *buffer); /* any thread; NULL is legal */
PST_API int pst_buffer_is_writable(const struct pst_buffer *buffer); /* 1 or 0 */
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
    PST_U16 = 11,
    PST_U32 = 12,
    PST_U64 = 13,
};
#define PST_LAST_DTYPE PST_U64 /* the dtypes are the numbers from 1 to it */

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
/* Bytes of the elements; with strides of zero or gaps the memory is another size. */
PST_API int64_t pst_tensor_bytes(const struct pst_tensor *tensor);

/* The functions below write over *out as pst_tensor_ref() does: it must be empty or not
 * initialised, and must not be an input. On failure *out is empty. A tensor that is read must hold
 * a buffer, and may be shared by threads that only read it. Bounds: PST_MAX_DIMS dimensions, and
 * sizes (a dimension of 0 counted as 1) whose product in bytes is below 2^62. Errors of all:
 * PST_EINVAL (with a sentence), PST_ENOMEM where something is allocated. */

/* New memory, C-contiguous. What pst_tensor_empty() gives is not initialised. element points to one
 * element of dtype. */
PST_API int pst_tensor_empty(struct pst_tensor *out, int dtype, int ndim, const int64_t *shape,
                             struct pst_error *err);
PST_API int pst_tensor_zeros(struct pst_tensor *out, int dtype, int ndim, const int64_t *shape,
                             struct pst_error *err);
PST_API int pst_tensor_full(struct pst_tensor *out, int dtype, int ndim, const int64_t *shape,
                            const void *element, struct pst_error *err);

/* A tensor in a buffer, whose first element is offset bytes into it; takes a reference of its own.
 * strides are bytes, NULL for C-contiguous. An element outside the buffer is PST_EINVAL. Elements
 * need not be aligned. */
PST_API int pst_tensor_from_buffer(struct pst_tensor *out, struct pst_buffer *buffer, size_t offset,
                                   int dtype, int ndim, const int64_t *shape,
                                   const int64_t *strides, struct pst_error *err);
/* What such a tensor needs: its elements lie in [first - *before, first + *after) of its first
 * element's address. Both are 0 for a tensor without elements. */
PST_API int pst_tensor_extent(int64_t *before, int64_t *after, int dtype, int ndim,
                              const int64_t *shape, const int64_t *strides, struct pst_error *err);

/* Other ways to look at the same memory; each result holds a reference on it. Dimensions and
 * indices below zero count from the end.
 *
 * view: another shape; one size may be -1, which is computed. PST_EINVAL where the strides do not
 * allow it without a copy.
 * select: takes index of dim, which goes. PST_ERANGE for an index that is not there.
 * slice: start:stop:step of dim by Python's rules, so that INT64_MIN and INT64_MAX stand for an end
 * that is left out. step is not 0; a negative one gives a negative stride.
 * permute: dimension i of the result is dimension dims[i].
 * expand: dimensions of size 1 are repeated with a stride of 0, new ones come in front; -1 keeps a
 * size. */
PST_API int pst_tensor_view(struct pst_tensor *out, const struct pst_tensor *from, int ndim,
                            const int64_t *shape, struct pst_error *err);
PST_API int pst_tensor_select(struct pst_tensor *out, const struct pst_tensor *from, int dim,
                              int64_t index, struct pst_error *err);
PST_API int pst_tensor_slice(struct pst_tensor *out, const struct pst_tensor *from, int dim,
                             int64_t start, int64_t stop, int64_t step, struct pst_error *err);
PST_API int pst_tensor_permute(struct pst_tensor *out, const struct pst_tensor *from,
                               const int *dims, struct pst_error *err);
PST_API int pst_tensor_transpose(struct pst_tensor *out, const struct pst_tensor *from, int dim0,
                                 int dim1, struct pst_error *err);
PST_API int pst_tensor_expand(struct pst_tensor *out, const struct pst_tensor *from, int ndim,
                              const int64_t *shape, struct pst_error *err);

/* 1 where the elements follow each other in C order; strides of sizes 0 and 1 do not matter. */
PST_API int pst_tensor_is_contiguous(const struct pst_tensor *tensor);
/* The tensor itself where it is C-contiguous, else a copy that is. */
PST_API int pst_tensor_contiguous(struct pst_tensor *out, const struct pst_tensor *from,
                                  struct pst_error *err);
/* A C-contiguous copy, writable. */
PST_API int pst_tensor_clone(struct pst_tensor *out, const struct pst_tensor *from,
                             struct pst_error *err);
/* Writes the elements of from into to: same dtype, same shape. The memory may overlap. PST_EINVAL
 * where to is not writable or an expanded dimension would be written several times. */
PST_API int pst_tensor_copy(const struct pst_tensor *to, const struct pst_tensor *from,
                            struct pst_error *err);
/* A C-contiguous copy in another dtype, by the rules of torch on a CPU:
 * - to bool: 1 where the element is not zero (a NaN is not);
 * - between integers: modulo 2^bits; bool counts as 0 or 1;
 * - to a float: rounded to the nearest, ties to even; to f16 and bf16 from f64, i64 and u64 by way
 *   of f32, rounded twice. A NaN stays one; to bf16 it becomes 0x7fc0, where torch gives that or
 *   0xffff;
 * - from a float to an integer: towards zero, then modulo 2^bits. Where the truncated value is not
 *   in the range of int32 (of int64, to i64, u8 and u32) and for NaN, C leaves the result open;
 * here it is what an x86-64 gives: that range's smallest value, modulo 2^bits. To u64, values up to
 * 2^64 are in range, and those above give 0. Out of u32's range torch gives one number where it
 * casts an element alone and another where it casts many at once; this is the first. */
PST_API int pst_tensor_cast(struct pst_tensor *out, const struct pst_tensor *from, int dtype,
                            struct pst_error *err);

/* 1 where dtype, shape and every byte of the elements are equal: a NaN equals itself, -0 is not 0.
 * Two empty structs are equal. */
PST_API int pst_tensor_equal(const struct pst_tensor *a, const struct pst_tensor *b);

/* Text as NumPy would lay it out, "tensor([[1, 2], [3, 4]], dtype=i64)", floats with the fewest
 * digits that give them back; of more than 1000 elements the first and last 3 of each dimension.
 * Writes at most size bytes, NUL included, and returns the bytes that the whole text needs, without
 * the NUL. text may be NULL where size is 0. */
PST_API size_t pst_tensor_print(const struct pst_tensor *tensor, char *text, size_t size);
PST_API const char *pst_dtype_name(int dtype); /* "f32"; "unknown" for an unknown dtype */

#ifdef __cplusplus
}
#endif
#endif
