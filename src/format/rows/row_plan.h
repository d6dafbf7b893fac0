/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_ROW_PLAN_H
#define PST_FORMAT_ROW_PLAN_H

#include <penstock/array.h>

#include "base/attributes.h"
#include "kernels/kernels.h"

/* The steps of one field as operations on elements, and how they are carried out. Rows lie one
 * behind the other, so that many of them are one stretch of elements: an operand that differs along
 * a dimension comes round again with every row. Rows of different lengths are such a stretch of
 * items: there a row is one of length 1. */

struct pst__row_op {
    int is_cast; /* else arith, on elements that keep their dtype */
    int dtype;   /* of the elements afterwards */
    enum pst__arith arith;
    /* Of arith: element j has values[j / inner % n], or with is_spread values[j % n]. Floats, but
     * doubles for PST_F64; of 16-bit dtypes they are rounded to these. */
    void *values; /* PST_MEM_HEAP */
    int64_t n, inner;
    int is_spread;
};

#define PST__MAX_ROW_OPS 64

/* Zero-initialised means empty. */
struct pst__row_plan {
    int in_dtype;
    int64_t n_in;         /* elements of a row before */
    struct pst_field out; /* a row afterwards; its name is that of the field given */
    int64_t n_out;
    struct pst__row_op ops[PST__MAX_ROW_OPS];
    int n_ops;
    /* Where there is a one-hot: its classes and dtype. It stands before ops[n_before], and what it
     * reads is int64. Without one n_before is n_ops. */
    int64_t classes;
    int hot_dtype, n_before;
    /* What bytes become, of the same `inner` in a row: tables of 256 results for each channel. */
    int64_t n_channels, inner; /* n_channels 0: there are none */
    struct pst__norm *norms;   /* float32 */
    uint8_t *tables;
    const struct pst__kernels *kernels;
};

/* field is that of the rows as they are; its name stays borrowed. On failure the plan is to be
 * reset. Errors: see pst_steps_open(). */
int pst__row_plan_init(struct pst__row_plan *plan, const struct pst_field *field,
                       const struct pst_step *steps, size_t n, struct pst_error *err) PST_NODISCARD;
void pst__row_plan_reset(struct pst__row_plan *plan);

/* What a one-hot met. */
struct pst__row_fault {
    int64_t row; /* of those given */
    int64_t value;
};
/* n rows. src and dst do not overlap. PST_EFORMAT: a class is out of range. */
int pst__row_run(const struct pst__row_plan *plan, const uint8_t *src, int64_t n, uint8_t *dst,
                 struct pst__row_fault *fault) PST_NODISCARD;

/* The operations of a plan without a one-hot, or those before it, or behind it (first is
 * n_before): n elements at most PST__ROW_CHUNK, of which the first is element `at`. */
#define PST__ROW_CHUNK 1024
void pst__row_ops(const struct pst__row_plan *plan, int first, int end, const uint8_t *from,
                  int from_dtype, int64_t at, size_t n, uint8_t *to);

#endif
