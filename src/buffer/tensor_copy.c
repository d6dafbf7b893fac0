/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/tensor.h>

#include <string.h>

#include "base/status.h"
#include "buffer/tensor_parts.h"

/* Copies go along a plan of few dimensions (pst__tensor_pair): rows by memcpy where both sides are
 * dense; where the source's dense dimension is another than the target's, a transposition in tiles
 * small enough that the lines of both sides stay in the first cache. */
#define TILE 32

static int64_t magnitude(int64_t stride)
{
    return stride < 0 ? -stride : stride;
}

static void swap_dims(struct pst__tensor_pair *pair, int i, int j)
{
    int64_t shape = pair->shape[i], a = pair->a[i], b = pair->b[i];
    pair->shape[i] = pair->shape[j];
    pair->a[i] = pair->a[j];
    pair->b[i] = pair->b[j];
    pair->shape[j] = shape;
    pair->a[j] = a;
    pair->b[j] = b;
}

void pst__tensor_pair(struct pst__tensor_pair *pair, const struct pst_tensor *a,
                      const struct pst_tensor *b, int keep_order)
{
    int n = 0;
    for (int i = 0; i < a->ndim; i++) {
        if (a->shape[i] == 1)
            continue;
        pair->shape[n] = a->shape[i];
        pair->a[n] = a->strides[i];
        pair->b[n] = b->strides[i];
        n++;
        for (int j = n - 1;
             j > 0 && !keep_order && magnitude(pair->a[j - 1]) < magnitude(pair->a[j]); j--)
            swap_dims(pair, j - 1, j);
    }
    int m = 0;
    for (int i = 1; i < n; i++) {
        if (pair->a[m] == pair->a[i] * pair->shape[i] &&
            pair->b[m] == pair->b[i] * pair->shape[i]) {
            pair->shape[m] *= pair->shape[i];
            pair->a[m] = pair->a[i];
            pair->b[m] = pair->b[i];
        } else {
            m++;
            pair->shape[m] = pair->shape[i];
            pair->a[m] = pair->a[i];
            pair->b[m] = pair->b[i];
        }
    }
    pair->ndim = m + 1;
    if (n == 0) {
        pair->shape[0] = 1;
        pair->a[0] = pair->b[0] = (int64_t)pst_dtype_size(a->dtype);
    }
}

int pst__tensor_pair_next(const struct pst__tensor_pair *pair, int n, int64_t *at, uint8_t **a,
                          const uint8_t **b)
{
    for (int i = n - 1; i >= 0; i--) {
        *a += pair->a[i];
        *b += pair->b[i];
        if (++at[i] < pair->shape[i])
            return 1;
        *a -= pair->a[i] * pair->shape[i];
        *b -= pair->b[i] * pair->shape[i];
        at[i] = 0;
    }
    return 0;
}

/* The innermost dimension, by item size; a constant size makes each memcpy one move. */
#define ROW(name, size)                                                                            \
    static void name(uint8_t *to, int64_t to_step, const uint8_t *from, int64_t from_step,         \
                     int64_t n)                                                                    \
    {                                                                                              \
        for (int64_t i = 0; i < n; i++)                                                            \
            memcpy(to + i * to_step, from + i * from_step, size);                                  \
    }
ROW(row1, 1)
ROW(row2, 2)
ROW(row4, 4)
ROW(row8, 8)

/* Rows of to, columns of from; to_step and from_step are those of the inner loop. */
#define GRID(name, size)                                                                           \
    static void name(uint8_t *to, const struct pst__tensor_pair *pair, const uint8_t *from,        \
                     int outer, int inner, int64_t i0, int64_t i1, int64_t j0, int64_t j1)         \
    {                                                                                              \
        for (int64_t i = i0; i < i1; i++) {                                                        \
            uint8_t *t = to + i * pair->a[outer];                                                  \
            const uint8_t *f = from + i * pair->b[outer];                                          \
            for (int64_t j = j0; j < j1; j++)                                                      \
                memcpy(t + j * pair->a[inner], f + j * pair->b[inner], size);                      \
        }                                                                                          \
    }
GRID(grid1, 1)
GRID(grid2, 2)
GRID(grid4, 4)
GRID(grid8, 8)

static void copy_row(uint8_t *to, int64_t to_step, const uint8_t *from, int64_t from_step,
                     int64_t n, int64_t item)
{
    if (to_step == item && from_step == item) {
        memcpy(to, from, (size_t)(n * item));
        return;
    }
    switch (item) {
    case 1:
        row1(to, to_step, from, from_step, n);
        return;
    case 2:
        row2(to, to_step, from, from_step, n);
        return;
    case 4:
        row4(to, to_step, from, from_step, n);
        return;
    default:
        row8(to, to_step, from, from_step, n);
    }
}

static void copy_grid(uint8_t *to, const uint8_t *from, const struct pst__tensor_pair *pair,
                      int64_t item)
{
    int outer = pair->ndim - 2, inner = pair->ndim - 1;
    int64_t ni = pair->shape[outer], nj = pair->shape[inner];
    for (int64_t i0 = 0; i0 < ni; i0 += TILE) {
        int64_t i1 = i0 + TILE < ni ? i0 + TILE : ni;
        for (int64_t j0 = 0; j0 < nj; j0 += TILE) {
            int64_t j1 = j0 + TILE < nj ? j0 + TILE : nj;
            if (item == 1)
                grid1(to, pair, from, outer, inner, i0, i1, j0, j1);
            else if (item == 2)
                grid2(to, pair, from, outer, inner, i0, i1, j0, j1);
            else if (item == 4)
                grid4(to, pair, from, outer, inner, i0, i1, j0, j1);
            else
                grid8(to, pair, from, outer, inner, i0, i1, j0, j1);
        }
    }
}

/* The dimension along which the source is dense, if it is not the inner one and both are long
 * enough for tiles; -1 otherwise. */
static int dense_in_source(const struct pst__tensor_pair *pair)
{
    int inner = pair->ndim - 1, best = inner;
    for (int i = 0; i < pair->ndim; i++)
        if (magnitude(pair->b[i]) < magnitude(pair->b[best]) && pair->b[i] != 0)
            best = i;
    return best != inner && pair->shape[best] >= 4 && pair->shape[inner] >= 4 ? best : -1;
}

static void copy_elements(uint8_t *to, const struct pst_tensor *a, const struct pst_tensor *b)
{
    struct pst__tensor_pair pair;
    int64_t item = (int64_t)pst_dtype_size(a->dtype), at[PST_MAX_DIMS] = {0};
    const uint8_t *from = b->data;
    if (pst_tensor_numel(a) == 0)
        return;
    pst__tensor_pair(&pair, a, b, 0);
    int inner = pair.ndim - 1, dense = dense_in_source(&pair);
    if (dense >= 0) {
        for (int i = dense; i < inner - 1; i++)
            swap_dims(&pair, i, i + 1);
        do
            copy_grid(to, from, &pair, item);
        while (pst__tensor_pair_next(&pair, inner - 1, at, &to, &from));
    } else {
        do
            copy_row(to, pair.a[inner], from, pair.b[inner], pair.shape[inner], item);
        while (pst__tensor_pair_next(&pair, inner, at, &to, &from));
    }
}

int pst_tensor_is_contiguous(const struct pst_tensor *tensor)
{
    int64_t stride = (int64_t)pst_dtype_size(tensor->dtype);
    if (pst_tensor_numel(tensor) == 0)
        return 1;
    for (int i = tensor->ndim - 1; i >= 0; i--) {
        if (tensor->shape[i] != 1 && tensor->strides[i] != stride)
            return 0;
        stride *= tensor->shape[i];
    }
    return 1;
}

int pst_tensor_clone(struct pst_tensor *out, const struct pst_tensor *from, struct pst_error *err)
{
    *out = (struct pst_tensor){0};
    int rc = pst__tensor_check(from, err);
    if (rc == PST_OK)
        rc = pst_tensor_empty(out, from->dtype, from->ndim, from->shape, err);
    if (rc == PST_OK)
        copy_elements(out->data, out, from);
    return rc;
}

int pst_tensor_contiguous(struct pst_tensor *out, const struct pst_tensor *from,
                          struct pst_error *err)
{
    *out = (struct pst_tensor){0};
    int rc = pst__tensor_check(from, err);
    if (rc < 0 || !pst_tensor_is_contiguous(from))
        return rc < 0 ? rc : pst_tensor_clone(out, from, err);
    pst_tensor_ref(out, from);
    return PST_OK;
}

static int same_shape(const struct pst_tensor *a, const struct pst_tensor *b)
{
    return a->ndim == b->ndim &&
           memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape) == 0;
}

static int may_overlap(const struct pst_tensor *a, const struct pst_tensor *b)
{
    int64_t a_before, a_after, b_before, b_after;
    if (pst_tensor_extent(&a_before, &a_after, a->dtype, a->ndim, a->shape, a->strides, NULL) < 0 ||
        pst_tensor_extent(&b_before, &b_after, b->dtype, b->ndim, b->shape, b->strides, NULL) < 0)
        return 1;
    uintptr_t pa = (uintptr_t)a->data, pb = (uintptr_t)b->data;
    return pa - (uintptr_t)a_before < pb + (uintptr_t)b_after &&
           pb - (uintptr_t)b_before < pa + (uintptr_t)a_after;
}

int pst_tensor_copy(const struct pst_tensor *to, const struct pst_tensor *from,
                    struct pst_error *err)
{
    int rc = pst__tensor_check(to, err);
    if (rc < 0 || (rc = pst__tensor_check(from, err)) < 0)
        return rc;
    PST_REQUIRE(to->dtype == from->dtype, err, "a copy from %s to %s: cast first",
                pst_dtype_name(from->dtype), pst_dtype_name(to->dtype));
    PST_REQUIRE(same_shape(to, from), err, "a copy between tensors of different shapes");
    PST_REQUIRE(pst_buffer_is_writable(to->buffer), err, "the tensor is read-only");
    for (int i = 0; i < to->ndim; i++)
        PST_REQUIRE(to->shape[i] <= 1 || to->strides[i] != 0, err,
                    "dimension %d is expanded: its elements are one place in memory", i);
    if (!may_overlap(to, from)) {
        copy_elements(to->data, to, from);
        return PST_OK;
    }
    struct pst_tensor apart;
    rc = pst_tensor_clone(&apart, from, err);
    if (rc == PST_OK)
        copy_elements(to->data, to, &apart);
    pst_tensor_reset(&apart);
    return rc;
}

static int equal_rows(const uint8_t *a, int64_t a_step, const uint8_t *b, int64_t b_step, int64_t n,
                      int64_t item)
{
    if (a_step == item && b_step == item)
        return memcmp(a, b, (size_t)(n * item)) == 0;
    for (int64_t i = 0; i < n; i++)
        if (memcmp(a + i * a_step, b + i * b_step, (size_t)item) != 0)
            return 0;
    return 1;
}

int pst_tensor_equal(const struct pst_tensor *a, const struct pst_tensor *b)
{
    struct pst__tensor_pair pair;
    int64_t at[PST_MAX_DIMS] = {0};
    if (!a->buffer || !b->buffer)
        return !a->buffer && !b->buffer;
    if (a->dtype != b->dtype || !same_shape(a, b))
        return 0;
    if (pst_tensor_numel(a) == 0)
        return 1;
    pst__tensor_pair(&pair, a, b, 0);
    int inner = pair.ndim - 1;
    uint8_t *pa = a->data;
    const uint8_t *pb = b->data;
    do
        if (!equal_rows(pa, pair.a[inner], pb, pair.b[inner], pair.shape[inner],
                        (int64_t)pst_dtype_size(a->dtype)))
            return 0;
    while (pst__tensor_pair_next(&pair, inner, at, &pa, &pb));
    return 1;
}
