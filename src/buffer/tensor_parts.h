/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BUFFER_TENSOR_PARTS_H
#define PST_BUFFER_TENSOR_PARTS_H

#include <penstock/tensor.h>

/* What the tensor files of this room share. */

/* Checks dtype, ndim and shape; *bytes is what the elements take. */
int pst__tensor_size(int64_t *bytes, int dtype, int ndim, const int64_t *shape,
                     struct pst_error *err);
/* PST_EINVAL for a struct that is empty or whose dtype or ndim is none. */
int pst__tensor_check(const struct pst_tensor *tensor, struct pst_error *err);
/* C order; a size of 0 counts as 1. */
void pst__tensor_strides(int64_t *strides, int dtype, int ndim, const int64_t *shape);

/* Two tensors of one shape, walked together: dimensions of size 1 are gone, the rest is ordered by
 * the first tensor's strides, largest first, and dimensions that follow each other in both are one.
 * ndim is at least 1; a tensor without elements is not walked. */
struct pst__tensor_pair {
    int ndim;
    int64_t shape[PST_MAX_DIMS];
    int64_t a[PST_MAX_DIMS], b[PST_MAX_DIMS]; /* strides in bytes */
};
/* keep_order: dimensions stay in the order they have. */
void pst__tensor_pair(struct pst__tensor_pair *pair, const struct pst_tensor *a,
                      const struct pst_tensor *b, int keep_order);
/* Steps both to the next place of dimensions 0 .. n - 1; 0 when all were visited. at is zeroed
 * before the first. */
int pst__tensor_pair_next(const struct pst__tensor_pair *pair, int n, int64_t *at, uint8_t **a,
                          const uint8_t **b);

#endif
