/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BUFFER_BUFFER_H
#define PST_BUFFER_BUFFER_H

#include <penstock/tensor.h>

/* A fresh heap buffer of size bytes, padded by PST_PAD. */
int pst__buffer_new(struct pst_buffer **out, size_t size, struct pst_error *err);

/* Fills in a contiguous tensor over buffer; takes over the caller's reference. */
void pst__tensor_over(struct pst_tensor *tensor, struct pst_buffer *buffer, int dtype, int ndim,
                      const int64_t *shape);

#endif
