/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/tensor.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/status.h"
#include "check.h"

/* Views, copies and comparisons against a naive model: a shape and, in C order, the place of each
 * element in memory. */
#define MAX_ELEMENTS 4096

static uint64_t draws;
static int64_t below(int64_t n)
{
    return (int64_t)(pst__keyed_word(7, draws++) % (uint64_t)n);
}

struct model {
    int ndim;
    int64_t shape[PST_MAX_DIMS];
    int64_t n, place[MAX_ELEMENTS]; /* bytes from the start of the buffer */
};

static int64_t numel_of(int ndim, const int64_t *shape)
{
    int64_t n = 1;
    for (int i = 0; i < ndim; i++)
        n *= shape[i];
    return n;
}

/* The index of element k of a shape. */
static void index_of(int64_t *index, int64_t k, int ndim, const int64_t *shape)
{
    for (int i = ndim - 1; i >= 0; i--) {
        index[i] = k % shape[i];
        k /= shape[i];
    }
}

static int64_t flat(const struct model *model, const int64_t *index)
{
    int64_t k = 0;
    for (int i = 0; i < model->ndim; i++)
        k = k * model->shape[i] + index[i];
    return k;
}

static uint8_t *element(const struct pst_tensor *tensor, int64_t k)
{
    int64_t index[PST_MAX_DIMS];
    uint8_t *at = tensor->data;
    index_of(index, k, tensor->ndim, tensor->shape);
    for (int i = 0; i < tensor->ndim; i++)
        at += index[i] * tensor->strides[i];
    return at;
}

static void check_model(const struct model *model, const struct pst_tensor *tensor)
{
    CHECK_INT(tensor->ndim, model->ndim);
    for (int i = 0; i < model->ndim; i++)
        CHECK_INT(tensor->shape[i], model->shape[i]);
    CHECK_INT(pst_tensor_numel(tensor), model->n);
    CHECK_INT(pst_tensor_bytes(tensor), model->n * (int64_t)pst_dtype_size(tensor->dtype));
    const uint8_t *base = pst_buffer_data(tensor->buffer);
    int dense = 1;
    for (int64_t k = 0; k < model->n; k++) {
        CHECK_INT(element(tensor, k) - base, model->place[k]);
        dense &= model->place[k] - model->place[0] == k * (int64_t)pst_dtype_size(tensor->dtype);
    }
    CHECK_INT(pst_tensor_is_contiguous(tensor), dense || model->n == 0);
}

/* Keeps of old what map says: element k of the new shape is old's element at an index. */
static struct model old_model;

static void do_select(struct model *m, struct pst_tensor *to, const struct pst_tensor *from)
{
    int dim = (int)below(m->ndim);
    int64_t n = m->shape[dim], index = below(n), old[PST_MAX_DIMS];
    CHECK_INT(
        pst_tensor_select(to, from, dim - (int)below(2) * m->ndim, index - below(2) * n, NULL),
        PST_OK);
    m->ndim--;
    memmove(m->shape + dim, m->shape + dim + 1, (size_t)(m->ndim - dim) * sizeof *m->shape);
    m->n /= n;
    for (int64_t k = 0; k < m->n; k++) {
        index_of(old, k, m->ndim, m->shape);
        memmove(old + dim + 1, old + dim, (size_t)(m->ndim - dim) * sizeof *old);
        old[dim] = index;
        m->place[k] = old_model.place[flat(&old_model, old)];
    }
}

static void do_slice(struct model *m, struct pst_tensor *to, const struct pst_tensor *from)
{
    static const int64_t far_ends[] = {INT64_MIN, INT64_MAX, INT64_MIN + 1};
    int dim = (int)below(m->ndim);
    int64_t n = m->shape[dim], start = below(4 * n + 3) - 2 * n - 1;
    int64_t stop = below(4 * n + 3) - 2 * n - 1, step = below(7) - 3, picked[MAX_ELEMENTS],
            count = 0;
    if (step == 0)
        step = below(2) ? INT64_MIN : INT64_MAX;
    if (below(4) == 0)
        start = far_ends[below(3)];
    if (below(4) == 0)
        stop = far_ends[below(3)];
    /* What a loop over the indices that lie between the ends picks. */
    int64_t first = start < 0 ? (start < -n ? -n - 1 : start) + n : start > n ? n : start;
    int64_t last = stop < 0 ? (stop < -n ? -n - 1 : stop) + n : stop > n ? n : stop;
    if (step > 0)
        for (int64_t i = first < 0 ? 0 : first; i<last; i = step> n ? n : i + step)
            picked[count++] = i;
    else
        for (int64_t i = first >= n ? n - 1 : first; i > last && i >= 0;
             i = step < -n ? -1 : i + step)
            picked[count++] = i;
    CHECK_INT(pst_tensor_slice(to, from, dim, start, stop, step, NULL), PST_OK);
    m->shape[dim] = count;
    m->n = m->n / n * count;
    for (int64_t k = 0; k < m->n; k++) {
        int64_t old[PST_MAX_DIMS];
        index_of(old, k, m->ndim, m->shape);
        old[dim] = picked[old[dim]];
        m->place[k] = old_model.place[flat(&old_model, old)];
    }
}

static void do_permute(struct model *m, struct pst_tensor *to, const struct pst_tensor *from)
{
    int dims[PST_MAX_DIMS], swapped = below(2) && m->ndim > 0, a = 0, b = 0;
    for (int i = 0; i < m->ndim; i++) {
        int other = swapped ? i : (int)below(i + 1);
        dims[i] = dims[other];
        dims[other] = i;
    }
    if (swapped) {
        a = (int)below(m->ndim), b = (int)below(m->ndim);
        dims[a] = b, dims[b] = a;
        CHECK_INT(pst_tensor_transpose(to, from, a, b - m->ndim, NULL), PST_OK);
    } else {
        CHECK_INT(pst_tensor_permute(to, from, dims, NULL), PST_OK);
    }
    for (int i = 0; i < m->ndim; i++)
        m->shape[i] = old_model.shape[dims[i]];
    for (int64_t k = 0; k < m->n; k++) {
        int64_t index[PST_MAX_DIMS], old[PST_MAX_DIMS];
        index_of(index, k, m->ndim, m->shape);
        for (int i = 0; i < m->ndim; i++)
            old[dims[i]] = index[i];
        m->place[k] = old_model.place[flat(&old_model, old)];
    }
}

static void do_expand(struct model *m, struct pst_tensor *to, const struct pst_tensor *from)
{
    int64_t shape[PST_MAX_DIMS];
    int extra = m->ndim < PST_MAX_DIMS && m->n < 200 ? (int)below(2) : 0;
    m->ndim += extra;
    for (int i = 0; i < m->ndim; i++) {
        int64_t old = i < extra ? 1 : old_model.shape[i - extra];
        m->shape[i] = old == 1 && m->n < 200 ? 1 + below(3) : old;
        shape[i] = i >= extra && m->shape[i] == old && below(2) ? -1 : m->shape[i];
        m->n = m->n / old * m->shape[i];
    }
    CHECK_INT(pst_tensor_expand(to, from, m->ndim, shape, NULL), PST_OK);
    for (int64_t k = 0; k < m->n; k++) {
        int64_t old[PST_MAX_DIMS];
        index_of(old, k, m->ndim, m->shape);
        for (int i = extra; i < m->ndim; i++)
            old[i - extra] = old_model.shape[i - extra] == 1 ? 0 : old[i];
        m->place[k] = old_model.place[flat(&old_model, old)];
    }
}

/* Whether any strides give these places. */
static int has_strides(const struct model *m)
{
    int64_t stride[PST_MAX_DIMS], unit = m->n;
    for (int i = 0; i < m->ndim; i++) {
        unit /= m->shape[i];
        stride[i] = m->shape[i] > 1 ? m->place[unit] - m->place[0] : 0;
    }
    for (int64_t k = 0; k < m->n; k++) {
        int64_t index[PST_MAX_DIMS], place = m->place[0];
        index_of(index, k, m->ndim, m->shape);
        for (int i = 0; i < m->ndim; i++)
            place += index[i] * stride[i];
        if (place != m->place[k])
            return 0;
    }
    return 1;
}

/* Returns 0 where the view is refused, and was to be. */
static int do_view(struct model *m, struct pst_tensor *to, const struct pst_tensor *from)
{
    int64_t left = m->n, shape[PST_MAX_DIMS];
    m->ndim = 0;
    while (m->ndim < PST_MAX_DIMS - 1 && below(4)) {
        int64_t factor = 1 + below(6);
        if (left % factor == 0) {
            m->shape[m->ndim++] = factor;
            left /= factor;
        }
    }
    if (left > 1 || below(2))
        m->shape[m->ndim++] = left;
    memcpy(shape, m->shape, sizeof shape);
    if (m->ndim > 0 && below(2))
        shape[below(m->ndim)] = -1;
    struct pst_error err = {0};
    int rc = pst_tensor_view(to, from, m->ndim, shape, &err);
    if (rc == PST_OK)
        return 1;
    CHECK_INT(rc, PST_EINVAL);
    CHECK_HAS(err.message, "strides do not allow");
    CHECK(!has_strides(m));
    CHECK(!to->buffer);
    return 0;
}

static void fresh(struct model *model, struct pst_tensor *tensor, int dtype)
{
    model->ndim = (int)below(5);
    for (int i = 0; i < model->ndim; i++)
        model->shape[i] = 1 + below(i % 2 ? 4 : 7);
    model->n = numel_of(model->ndim, model->shape);
    CHECK_INT(pst_tensor_empty(tensor, dtype, model->ndim, model->shape, NULL), PST_OK);
    int64_t item = (int64_t)pst_dtype_size(dtype);
    for (int64_t k = 0; k < model->n; k++)
        model->place[k] = k * item;
    uint8_t *bytes = tensor->data;
    for (int64_t i = 0; i < model->n * item; i++)
        bytes[i] = (uint8_t)below(256);
}

/* A few random steps from a fresh tensor; the views on the way are dropped. */
static int64_t n_refused;
static void wander(struct model *model, struct pst_tensor *tensor, int dtype)
{
    fresh(model, tensor, dtype);
    for (int64_t steps = below(6); steps > 0 && model->n > 0; steps--) {
        struct pst_tensor next;
        old_model = *model;
        int64_t what = below(model->ndim > 0 ? 6 : 3);
        if (what == 0) {
            do_permute(model, &next, tensor);
        } else if (what == 1) {
            do_expand(model, &next, tensor);
        } else if (what == 2) {
            if (!do_view(model, &next, tensor)) {
                n_refused++;
                *model = old_model;
                continue;
            }
        } else if (what == 3) {
            do_select(model, &next, tensor);
        } else {
            do_slice(model, &next, tensor);
        }
        pst_tensor_reset(tensor);
        pst_tensor_move(tensor, &next);
        check_model(model, tensor);
    }
}

static void views_follow_the_model(void)
{
    int64_t blocks = pst__mem_blocks();
    for (int round = 0; round < 20000; round++) {
        static struct model model;
        struct pst_tensor tensor;
        wander(&model, &tensor, 1 + round % 10);
        check_model(&model, &tensor);
        pst_tensor_reset(&tensor);
    }
    CHECK(n_refused > 500);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void check_same(const struct pst_tensor *a, const struct pst_tensor *b)
{
    CHECK_INT(a->dtype, b->dtype);
    for (int64_t k = 0; k < pst_tensor_numel(a); k++)
        CHECK(memcmp(element(a, k), element(b, k), pst_dtype_size(a->dtype)) == 0);
}

static void copies_follow_the_model(void)
{
    int64_t blocks = pst__mem_blocks();
    for (int round = 0; round < 5000; round++) {
        static struct model model;
        struct pst_tensor tensor, clone, dense;
        wander(&model, &tensor, 1 + round % 10);
        CHECK_INT(pst_tensor_clone(&clone, &tensor, NULL), PST_OK);
        CHECK(clone.buffer != tensor.buffer);
        CHECK(pst_tensor_is_contiguous(&clone));
        check_same(&clone, &tensor);
        CHECK(pst_tensor_equal(&clone, &tensor) && pst_tensor_equal(&tensor, &clone));
        CHECK_INT(pst_tensor_contiguous(&dense, &tensor, NULL), PST_OK);
        CHECK_INT(dense.buffer == tensor.buffer, pst_tensor_is_contiguous(&tensor));
        check_same(&dense, &tensor);
        if (model.n > 0) {
            element(&clone, below(model.n))[0] ^= 1;
            CHECK(!pst_tensor_equal(&clone, &tensor));
        }
        pst_tensor_reset(&dense);
        pst_tensor_reset(&clone);
        pst_tensor_reset(&tensor);
    }
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* Both sides are views of one memory, in a random order of dimensions and directions. */
static void overlapping_copies(void)
{
    for (int round = 0; round < 2000; round++) {
        static const int64_t whole[] = {6, 6, 6};
        struct pst_tensor base, to, from, next, expected;
        int dims[2][3] = {{0, 1, 2}, {(int)below(3), 0, 0}};
        dims[1][1] = (dims[1][0] + 1 + (int)below(2)) % 3;
        dims[1][2] = 3 - dims[1][0] - dims[1][1];
        CHECK_INT(pst_tensor_empty(&base, PST_I16, 3, whole, NULL), PST_OK);
        for (int64_t i = 0; i < 216; i++)
            ((int16_t *)base.data)[i] = (int16_t)i;
        pst_tensor_permute(&to, &base, dims[0], NULL);
        pst_tensor_permute(&from, &base, dims[1], NULL);
        for (int i = 0; i < 2; i++) {
            struct pst_tensor *one = i ? &to : &from;
            for (int dim = 0; dim < 3; dim++) {
                int64_t start = below(3), back = below(2);
                CHECK_INT(pst_tensor_slice(&next, one, dim, back ? start + 3 : start,
                                           back ? start - 1 < 0 ? INT64_MIN : start - 1 : start + 4,
                                           back ? -1 : 1, NULL),
                          PST_OK);
                CHECK_INT(next.shape[dim], 4);
                pst_tensor_reset(one);
                pst_tensor_move(one, &next);
            }
        }
        CHECK_INT(pst_tensor_clone(&expected, &from, NULL), PST_OK);
        CHECK_INT(pst_tensor_copy(&to, &from, NULL), PST_OK);
        CHECK(pst_tensor_equal(&to, &expected));
        pst_tensor_reset(&expected);
        pst_tensor_reset(&to);
        pst_tensor_reset(&from);
        pst_tensor_reset(&base);
    }
}

/* Sizes around the tiles of a transposition. */
static void transposed_copies(void)
{
    static const int dtypes[] = {PST_U8, PST_F16, PST_F32, PST_F64};
    for (int round = 0; round < 200; round++) {
        int64_t shape[] = {1 + below(70), 1 + below(3), 1 + below(70)};
        struct pst_tensor base, turned, clone;
        CHECK_INT(pst_tensor_empty(&base, dtypes[round % 4], 3, shape, NULL), PST_OK);
        for (int64_t i = 0; i < pst_tensor_bytes(&base); i++)
            ((uint8_t *)base.data)[i] = (uint8_t)below(256);
        pst_tensor_transpose(&turned, &base, 0, 2, NULL);
        CHECK_INT(pst_tensor_clone(&clone, &turned, NULL), PST_OK);
        check_same(&clone, &turned);
        pst_tensor_reset(&clone);
        pst_tensor_reset(&turned);
        pst_tensor_reset(&base);
    }
}

static void made_tensors(void)
{
    static const int64_t shape[] = {3, 0, 5}, size[] = {7, 9};
    struct pst_tensor tensor;
    for (int dtype = 1; dtype <= PST_LAST_DTYPE; dtype++) {
        uint8_t one[8] = {1, 2, 3, 4, 5, 6, 7, 8};
        CHECK_INT(pst_tensor_full(&tensor, dtype, 2, size, one, NULL), PST_OK);
        for (int64_t k = 0; k < 63; k++)
            CHECK(memcmp(element(&tensor, k), one, pst_dtype_size(dtype)) == 0);
        pst_tensor_reset(&tensor);
        CHECK_INT(pst_tensor_zeros(&tensor, dtype, 2, size, NULL), PST_OK);
        for (int64_t i = 0; i < pst_tensor_bytes(&tensor); i++)
            CHECK_INT(((uint8_t *)tensor.data)[i], 0);
        pst_tensor_reset(&tensor);
        CHECK_INT(pst_tensor_full(&tensor, dtype, 3, shape, one, NULL), PST_OK);
        CHECK_INT(pst_tensor_numel(&tensor), 0);
        CHECK(pst_tensor_is_contiguous(&tensor));
        pst_tensor_reset(&tensor);
        CHECK_INT(pst_tensor_full(&tensor, dtype, 0, NULL, one, NULL), PST_OK);
        CHECK_INT(pst_tensor_numel(&tensor), 1);
        pst_tensor_reset(&tensor);
    }
}

#define REFUSED(call, status, words)                                                               \
    do {                                                                                           \
        struct pst_error err = {0};                                                                \
        memset(&out, 0x5a, sizeof out);                                                            \
        CHECK_INT(call, status);                                                                   \
        CHECK_HAS(err.message, words);                                                             \
        CHECK(!out.buffer);                                                                        \
    } while (0)

static void shapes_that_are_refused(void)
{
    static const int64_t huge[] = {1ll << 31, 1ll << 30, 4}, zero[] = {0, 1ll << 62};
    static const int64_t negative[] = {2, -1}, two[] = {-1, -1}, many[9] = {1};
    struct pst_tensor out, tensor, none = {0};
    REFUSED(pst_tensor_empty(&out, 0, 0, NULL, &err), PST_EINVAL, "no dtype");
    REFUSED(pst_tensor_empty(&out, PST_LAST_DTYPE + 1, 0, NULL, &err), PST_EINVAL, "no dtype");
    REFUSED(pst_tensor_empty(&out, PST_U8, 9, many, &err), PST_EINVAL, "dimensions");
    REFUSED(pst_tensor_empty(&out, PST_U8, -1, many, &err), PST_EINVAL, "dimensions");
    REFUSED(pst_tensor_empty(&out, PST_U8, 2, negative, &err), PST_EINVAL, "dimension 1");
    REFUSED(pst_tensor_empty(&out, PST_U8, 3, huge, &err), PST_EINVAL, "2^62");
    REFUSED(pst_tensor_empty(&out, PST_I64, 2, zero, &err), PST_EINVAL, "2^62");
    REFUSED(pst_tensor_empty(&out, PST_U8, 1, NULL, &err), PST_EINVAL, "NULL");
    REFUSED(pst_tensor_full(&out, PST_U8, 0, NULL, NULL, &err), PST_EINVAL, "NULL");
    REFUSED(pst_tensor_clone(&out, &none, &err), PST_EINVAL, "empty");
    REFUSED(pst_tensor_view(&out, &none, 0, NULL, &err), PST_EINVAL, "empty");

    CHECK_INT(pst_tensor_zeros(&tensor, PST_F32, 2, (int64_t[]){4, 6}, NULL), PST_OK);
    REFUSED(pst_tensor_view(&out, &tensor, 2, two, &err), PST_EINVAL, "at most one");
    REFUSED(pst_tensor_view(&out, &tensor, 2, (int64_t[]){5, -1}, &err), PST_EINVAL, "24");
    REFUSED(pst_tensor_view(&out, &tensor, 2, (int64_t[]){0, -1}, &err), PST_EINVAL, "any size");
    REFUSED(pst_tensor_view(&out, &tensor, 1, (int64_t[]){-2}, &err), PST_EINVAL, "dimension 0");
    REFUSED(pst_tensor_select(&out, &tensor, 2, 0, &err), PST_EINVAL, "dimension 2");
    REFUSED(pst_tensor_select(&out, &tensor, 0, 4, &err), PST_ERANGE, "index 4");
    REFUSED(pst_tensor_select(&out, &tensor, 1, -7, &err), PST_ERANGE, "index -7");
    REFUSED(pst_tensor_slice(&out, &tensor, 0, 0, 1, 0, &err), PST_EINVAL, "step");
    REFUSED(pst_tensor_permute(&out, &tensor, (int[]){1, -1}, &err), PST_EINVAL, "twice");
    REFUSED(pst_tensor_permute(&out, &tensor, (int[]){0, 2}, &err), PST_EINVAL, "dimension 2");
    REFUSED(pst_tensor_expand(&out, &tensor, 2, (int64_t[]){8, 6}, &err), PST_EINVAL, "expanded");
    REFUSED(pst_tensor_expand(&out, &tensor, 1, (int64_t[]){6}, &err), PST_EINVAL, "expanded");
    REFUSED(pst_tensor_expand(&out, &tensor, 3, (int64_t[]){-1, 4, 6}, &err), PST_EINVAL,
            "dimension 0");
    REFUSED(pst_tensor_expand(&out, &tensor, 3, (int64_t[]){1ll << 60, 4, 6}, &err), PST_EINVAL,
            "2^62");
    REFUSED(pst_tensor_cast(&out, &tensor, 99, &err), PST_EINVAL, "no dtype");
    pst_tensor_reset(&tensor);
}

static void tensors_in_a_buffer(void)
{
    static const int64_t shape[] = {2, 3}, inside[] = {-16, 4}, far_strides[] = {INT64_MAX, 4};
    uint8_t bytes[64];
    struct pst_buffer *buffer;
    struct pst_tensor out;
    int64_t before, after;
    CHECK_INT(pst_buffer_wrap(&buffer, bytes, sizeof bytes, NULL, NULL, NULL), PST_OK);
    CHECK_INT(pst_tensor_extent(&before, &after, PST_F32, 2, shape, inside, NULL), PST_OK);
    CHECK_INT(before, 16);
    CHECK_INT(after, 12);
    for (size_t offset = 0; offset <= 70; offset++) {
        int fits = offset >= 16 && offset + 12 <= 64;
        CHECK_INT(pst_tensor_from_buffer(&out, buffer, offset, PST_F32, 2, shape, inside, NULL),
                  fits ? PST_OK : PST_EINVAL);
        CHECK(!fits || (uint8_t *)out.data == bytes + offset);
        pst_tensor_reset(&out);
        fits = offset + 24 <= 64;
        CHECK_INT(pst_tensor_from_buffer(&out, buffer, offset, PST_F32, 2, shape, NULL, NULL),
                  fits ? PST_OK : PST_EINVAL);
        pst_tensor_reset(&out);
    }
    REFUSED(pst_tensor_from_buffer(&out, buffer, 0, PST_F32, 2, shape, far_strides, &err),
            PST_EINVAL, "2^62");
    REFUSED(pst_tensor_from_buffer(&out, NULL, 0, PST_F32, 2, shape, NULL, &err), PST_EINVAL,
            "NULL");
    CHECK_INT(
        pst_tensor_from_buffer(&out, buffer, 64, PST_F32, 1, (int64_t[]){0}, far_strides, NULL),
        PST_OK);
    pst_tensor_reset(&out);
    pst_buffer_unref(buffer);
}

static void read_only_memory(void)
{
    static const uint8_t bytes[6] = {1, 2, 3, 4, 5, 6};
    struct pst_buffer *buffer;
    struct pst_tensor fixed, row, clone, expanded;
    struct pst_error err = {0};
    CHECK_INT(pst_buffer_wrap_const(&buffer, bytes, sizeof bytes, NULL, NULL, NULL), PST_OK);
    CHECK(!pst_buffer_is_writable(buffer));
    CHECK_INT(pst_tensor_from_buffer(&fixed, buffer, 0, PST_U8, 2, (int64_t[]){2, 3}, NULL, NULL),
              PST_OK);
    pst_buffer_unref(buffer);
    CHECK_INT(pst_tensor_clone(&clone, &fixed, NULL), PST_OK);
    CHECK(pst_buffer_is_writable(clone.buffer));
    CHECK_INT(pst_tensor_copy(&clone, &fixed, NULL), PST_OK);
    CHECK_INT(pst_tensor_copy(&fixed, &clone, &err), PST_EINVAL);
    CHECK_HAS(err.message, "read-only");
    err = (struct pst_error){0};
    CHECK_INT(pst_tensor_select(&row, &clone, 0, 0, NULL), PST_OK);
    CHECK_INT(pst_tensor_expand(&expanded, &row, 2, (int64_t[]){2, 3}, NULL), PST_OK);
    CHECK_INT(pst_tensor_copy(&expanded, &clone, &err), PST_EINVAL);
    CHECK_HAS(err.message, "expanded");
    err = (struct pst_error){0};
    CHECK_INT(pst_tensor_copy(&row, &clone, &err), PST_EINVAL);
    CHECK_HAS(err.message, "shapes");
    pst_tensor_reset(&expanded);
    pst_tensor_reset(&row);
    CHECK_INT(pst_tensor_cast(&row, &clone, PST_I16, NULL), PST_OK);
    err = (struct pst_error){0};
    CHECK_INT(pst_tensor_copy(&row, &clone, &err), PST_EINVAL);
    CHECK_HAS(err.message, "from u8 to i16");
    pst_tensor_reset(&row);
    pst_tensor_reset(&clone);
    pst_tensor_reset(&fixed);
}

CHECK_MAIN(CASE(views_follow_the_model), CASE(copies_follow_the_model), CASE(overlapping_copies),
           CASE(transposed_copies), CASE(made_tensors), CASE(shapes_that_are_refused),
           CASE(tensors_in_a_buffer), CASE(read_only_memory))
