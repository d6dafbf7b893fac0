/* SPDX-License-Identifier: Apache-2.0 */
#include "format/rows/columns.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "format/layout/layout.h"
#include "format/looks.h"
#include "format/rows/ragged.h"
#include "format/rows/row_steps.h"
#include "format/self.h"
#include "io/ahead.h"
#include "io/guard.h"

/* The first lines of the rows to come are asked for; from there on the processor sees the sequence
 * itself, and has only so many lines in flight. */
#define PREFETCH_AHEAD 4
#define LINE 64
#define PREFETCH_BYTES ((size_t)4 * LINE)
#define PAGE_BYTES 4096 /* the address of a fault may be that of its page */

/* What is worked out of a column once. */
struct plan {
    size_t row_bytes; /* of a row as it is delivered */
    ptrdiff_t row;    /* from one row to the next */
    int is_dense;     /* a row's elements lie one after the other in C order */
    int item;
    int is_whole;   /* rows lie `row` bytes apart from the first on */
    uint64_t first; /* place of the first row in its file, where is_whole */
    struct pst__ahead ahead;
};

struct rows {
    int64_t n;
    size_t n_columns;
    struct pst__column *column;
    struct plan *plan;
    struct pst__looks looks;
    struct pst__choice choice;
};

void pst__column_reset(struct pst__column *column)
{
    pst__free(column->name);
    pst__source_unref(column->source);
    pst__array_shared_unref(column->file);
    pst_buffer_unref(column->buffer);
    *column = (struct pst__column){0};
}

/* Where a row begins in its file. */
static uint64_t place_of(const struct pst__column *column, const struct plan *plan, int64_t index)
{
    if (plan->is_whole)
        return plan->first + (uint64_t)index * (uint64_t)plan->row;
    return pst__array_shared_offset(column->file, column->stream, index);
}

/* The address that places count from; NULL where the column is not in memory. */
static const uint8_t *base_of(const struct pst__column *column)
{
    return column->source ? pst__source_data(column->source) : column->data;
}

/* --- copying
 * ------------------------------------------------------------------------------------------ */

struct rows_copy {
    const struct pst__column *column;
    const struct plan *plan;
    const uint8_t *base;
    const int64_t *indices;
    size_t n;
    uint8_t *to;
};

static const uint8_t *row_of(const struct rows_copy *copy, int64_t index)
{
    return copy->base + (ptrdiff_t)place_of(copy->column, copy->plan, index);
}

static void prefetch(const uint8_t *row, size_t n)
{
    for (size_t at = 0; at < n; at += LINE)
        __builtin_prefetch(row + at);
}

static void copy_dense(void *arg)
{
    const struct rows_copy *copy = arg;
    size_t bytes = copy->plan->row_bytes, n = copy->n;
    ptrdiff_t row = copy->plan->row;
    const int64_t *indices = copy->indices;
    const uint8_t *base = copy->base + copy->plan->first;
    uint8_t *to = copy->to;
    size_t ahead = bytes < PREFETCH_BYTES ? bytes : PREFETCH_BYTES;
    for (size_t i = 0; i < n; i++, to += bytes) {
        if (i + PREFETCH_AHEAD < n)
            prefetch(base + (ptrdiff_t)indices[i + PREFETCH_AHEAD] * row, ahead);
        memcpy(to, base + (ptrdiff_t)indices[i] * row, bytes);
    }
}

/* The same of rows in several pieces. */
static void copy_pieces(void *arg)
{
    const struct rows_copy *copy = arg;
    size_t bytes = copy->plan->row_bytes;
    for (size_t i = 0; i < copy->n; i++)
        memcpy(copy->to + i * bytes, row_of(copy, copy->indices[i]), bytes);
}

/* Elements of dimensions from `dim` on, in C order. Returns the place behind them. */
static uint8_t *copy_elements(const struct pst__column *column, int dim, const uint8_t *from,
                              size_t item, uint8_t *to)
{
    if (dim == column->ndim) {
        memcpy(to, from, item);
        return to + item;
    }
    for (int64_t i = 0; i < column->shape[dim]; i++)
        to = copy_elements(column, dim + 1, from + i * column->strides[dim], item, to);
    return to;
}

static void copy_strided(void *arg)
{
    const struct rows_copy *copy = arg;
    uint8_t *to = copy->to;
    for (size_t i = 0; i < copy->n; i++) {
        const uint8_t *from = row_of(copy, copy->indices[i]);
        to = copy_elements(copy->column, 1, from, (size_t)copy->plan->item, to);
    }
}

/* --- reading
 * ------------------------------------------------------------------------------------------ */

/* Whose row could not be read: that which the fault lies in, or is the first behind. */
static int64_t faulted_row(const struct rows_copy *copy, const void *address)
{
    const uint8_t *at = address;
    for (size_t i = 0; i < copy->n && at; i++) {
        const uint8_t *row = row_of(copy, copy->indices[i]);
        if (at + PAGE_BYTES > row && at < row + copy->plan->row_bytes)
            return copy->indices[i];
    }
    return -1;
}

/* Behind the end of a file that was cut its last page reads as zeros, without a fault. */
static int check_whole(const struct rows_copy *copy, struct pst_error *err)
{
    const struct pst__source *source = copy->column->source;
    uint64_t size = pst__source_size_now(source);
    for (size_t i = 0; size < pst__source_size(source) && i < copy->n; i++) {
        uint64_t offset = place_of(copy->column, copy->plan, copy->indices[i]);
        if (offset + copy->plan->row_bytes <= size)
            continue;
        pst__source_fault(source, NULL, offset, copy->plan->row_bytes, err);
        if (err)
            err->record = copy->indices[i];
        return PST_EIO;
    }
    return PST_OK;
}

static int gather_mapped(const struct rows_copy *copy, struct pst_error *err)
{
    const struct pst__column *column = copy->column;
    void (*fn)(void *) = !copy->plan->is_dense  ? copy_strided
                         : copy->plan->is_whole ? copy_dense
                                                : copy_pieces;
    struct rows_copy own = *copy;
    const void *address = NULL;
    if (pst__guarded(fn, &own, &address) == PST_OK)
        return column->source ? check_whole(copy, err) : PST_OK;
    int64_t row = faulted_row(copy, address);
    uint64_t offset = row >= 0 ? place_of(column, copy->plan, row) : 0;
    size_t n = row >= 0 ? copy->plan->row_bytes : 1;
    if (column->source)
        pst__source_fault(column->source, address, offset, n, err);
    else
        pst__fail_at(err, PST_EIO, (int64_t)offset,
                     "row %" PRId64 " of '%s' could not be read at byte %" PRIu64
                     ": its memory is a mapped file that was cut, or the disk failed",
                     row, column->name, offset);
    if (err)
        err->record = row;
    return PST_EIO;
}

static int gather_read(const struct rows_copy *copy, struct pst_error *err)
{
    struct pst__span few[64], *spans = few;
    size_t bytes = copy->plan->row_bytes;
    if (copy->n > PST_COUNTOF(few))
        spans = pst__alloc(copy->n * sizeof *spans, PST_MEM_SCRATCH);
    if (!spans)
        return pst__fail(err, PST_ENOMEM, "no memory for the places of %zu rows", copy->n);
    for (size_t i = 0; i < copy->n; i++) {
        uint64_t offset = place_of(copy->column, copy->plan, copy->indices[i]);
        spans[i] = (struct pst__span){copy->column->source, offset, bytes, copy->to + i * bytes,
                                      copy->indices[i]};
    }
    int rc = pst__spans_read(spans, copy->n, err);
    if (spans != few)
        pst__free(spans);
    return rc;
}

/* --- intent
 * ------------------------------------------------------------------------------------------- */

/* Are some of these rows not in memory? Asking the system takes about as long as copying 4 KiB, so
 * a few rows answer for all. */
static int is_cold(struct rows *rows, const int64_t *indices, size_t n, int is_ahead)
{
    if (!pst__looks_due(&rows->looks, is_ahead))
        return 0;
    for (size_t c = 0; c < rows->n_columns; c++) {
        const struct pst__column *column = &rows->column[c];
        if (!column->source || rows->plan[c].row_bytes == 0 ||
            (column->ragged == 0 && pst__source_is_direct(column->source, NULL)))
            continue;
        for (size_t i = 0; i < PST__LOOKS_ROWS; i++) {
            int64_t index = indices[i * (n - 1) / (PST__LOOKS_ROWS - 1)];
            int is_there = column->ragged > 0
                               ? pst__ragged_is_resident(column, index)
                               : pst__source_is_resident(column->source,
                                                         place_of(column, &rows->plan[c], index));
            if (!is_there)
                return pst__looks_found(&rows->looks, is_ahead, 1);
        }
    }
    return pst__looks_found(&rows->looks, is_ahead, 0);
}

static void intend_column(const struct pst__column *column, struct plan *plan,
                          const int64_t *indices, size_t n, int is_ahead)
{
    size_t bytes = plan->row_bytes;
    for (size_t i = 0, end; i < n; i = end) {
        uint64_t at = place_of(column, plan, indices[i]);
        for (end = i + 1;
             end < n && place_of(column, plan, indices[end]) == at + (end - i) * bytes;)
            end++;
        if (is_ahead)
            pst__ahead_intend(&plan->ahead, column->source, at, (end - i) * bytes);
        else
            pst__source_intend(column->source, at, (end - i) * bytes);
    }
}

/* Ahead of a gather, or in front of one, which waits for the ends of ragged rows: they say where
 * their items are. */
static void intend(struct rows *rows, const int64_t *indices, size_t n, int is_ahead)
{
    int is_wanted = is_cold(rows, indices, n, is_ahead);
    for (size_t c = 0; c < rows->n_columns; c++) {
        const struct pst__column *column = &rows->column[c];
        struct plan *plan = &rows->plan[c];
        if (column->ragged > 0 && is_wanted)
            pst__ragged_intend(column, indices, n, !is_ahead);
        if (!column->source || !plan->is_dense || column->ragged > 0 ||
            pst__source_is_direct(column->source, NULL))
            continue;
        if (is_wanted ||
            (is_ahead && pst__ahead_is_on(&plan->ahead, place_of(column, plan, indices[0]))))
            intend_column(column, plan, indices, n, is_ahead);
    }
}

static void rows_intend(void *self, const int64_t *indices, size_t n)
{
    intend(self, indices, n, 1);
}

/* --- the dataset
 * -------------------------------------------------------------------------------------- */

static int is_longest(const struct pst__column *column)
{
    return column->multiple > 0 && !column->is_length;
}

static int64_t rows_length(void *self)
{
    return ((struct rows *)self)->n;
}

static int rows_fields(void *self, struct pst_field *fields, int most)
{
    const struct rows *rows = self;
    for (size_t c = 0; c < rows->n_columns && (int)c < most; c++) {
        const struct pst__column *column = &rows->column[c];
        fields[c] = (struct pst_field){column->name, column->dtype, column->ndim - 1, {0}};
        for (int d = 1; d < column->ndim; d++)
            fields[c].shape[d - 1] = column->shape[d];
        if (is_longest(column))
            fields[c].shape[0] = -1;
    }
    return (int)rows->n_columns;
}

static int gather_fixed(const struct rows_copy *copy, struct pst_error *err)
{
    const struct pst__column *column = copy->column;
    int rc = column->file ? pst__array_shared_verify(column->file, column->stream, copy->indices,
                                                     copy->n, err)
                          : PST_OK;
    if (rc < 0)
        return rc;
    return copy->base ? gather_mapped(copy, err) : gather_read(copy, err);
}

/* What the rows of a ragged column are padded to. The column of lengths stands behind its own. */
static int64_t padded_to(const struct pst__column *column, size_t c, const int64_t *lengths)
{
    if (column->multiple == 0)
        return column->ragged;
    return column->is_length ? lengths[c - 1] : lengths[c];
}

static int rows_gather_padded(void *self, const int64_t *indices, size_t n, const int64_t *lengths,
                              void *const *dst, struct pst_error *err)
{
    struct rows *rows = self;
    if (n >= PST__LOOKS_ROWS)
        intend(rows, indices, n, 0);
    for (size_t c = 0; c < rows->n_columns; c++) {
        const struct pst__column *column = &rows->column[c];
        const struct plan *plan = &rows->plan[c];
        struct rows_copy copy = {column, plan, base_of(column), indices, n, dst[c]};
        if (plan->row_bytes == 0 || n == 0)
            continue;
        int rc = column->ragged > 0 ? pst__ragged_gather(column, padded_to(column, c, lengths),
                                                         indices, n, dst[c], err)
                                    : gather_fixed(&copy, err);
        if (rc < 0)
            return rc;
        if (column->is_swapped)
            pst__layout_swap(dst[c], n * plan->row_bytes, plan->item);
    }
    return PST_OK;
}

static int rows_gather(void *self, const int64_t *indices, size_t n, void *const *dst,
                       struct pst_error *err)
{
    return rows_gather_padded(self, indices, n, NULL, dst, err);
}

static int rows_lengths(void *self, const int64_t *indices, size_t n, int64_t *lengths,
                        struct pst_error *err)
{
    struct rows *rows = self;
    if (n >= PST__LOOKS_ROWS) /* the ends, and behind them the items, at once */
        intend(rows, indices, n, 0);
    for (size_t c = 0; c < rows->n_columns; c++) {
        const struct pst__column *column = &rows->column[c];
        int rc =
            is_longest(column) ? pst__ragged_longest(column, indices, n, &lengths[c], err) : PST_OK;
        if (rc < 0)
            return rc;
    }
    return PST_OK;
}

static int64_t rows_memory(void *self)
{
    const struct rows *rows = self;
    int is_direct = 0;
    for (size_t c = 0; c < rows->n_columns; c++)
        is_direct |= rows->column[c].source && pst__source_is_direct(rows->column[c].source, NULL);
    return is_direct ? (int64_t)PST__DIRECT_BYTES : 0;
}

static void rows_close(void *self)
{
    struct rows *rows = self;
    for (size_t c = 0; rows->column && c < rows->n_columns; c++)
        pst__column_reset(&rows->column[c]);
    pst__free(rows->column);
    pst__free(rows->plan);
    pst__free(rows);
}

static int make_dataset(struct pst_dataset **out, struct rows *rows, struct pst_error *err)
{
    struct pst_dataset_vtable vtable = {
        .struct_size = sizeof vtable,
        .length = rows_length,
        .close = rows_close,
        .fields = rows_fields,
        .gather = rows_gather,
        .intend = rows_intend,
        .memory = rows_memory,
    };
    for (size_t c = 0; c < rows->n_columns; c++)
        if (is_longest(&rows->column[c])) {
            vtable.lengths = rows_lengths;
            vtable.gather_padded = rows_gather_padded;
        }
    return pst_dataset_new(out, &vtable, rows, err);
}

/* Sizes and whether a row is dense. The product was bounded by who described the column. */
static void plan_column(struct plan *plan, const struct pst__column *column)
{
    int64_t step = plan->item = (int)pst_dtype_size(column->dtype);
    plan->is_dense = 1;
    for (int d = column->ndim - 1; d > 0; d--) {
        if (column->shape[d] != 1 && column->strides[d] != step)
            plan->is_dense = 0;
        step *= column->shape[d];
    }
    plan->row_bytes = (size_t)step;
    plan->row = (ptrdiff_t)column->strides[0];
    plan->is_whole = !column->file || pst__array_shared_are_whole(column->file, column->stream);
    plan->first = column->offset;
    if (column->file && plan->is_whole && column->shape[0] > 0)
        plan->first = pst__array_shared_offset(column->file, column->stream, 0);
}

static int check_column(const struct pst__column *column, const struct plan *plan, int64_t n,
                        struct pst_error *err)
{
    PST_REQUIRE(column->name && column->ndim >= 1 && plan->item > 0, err,
                "a column of rows needs a name, a dimension and a dtype");
    PST_REQUIRE(column->shape[0] == n, err,
                "'%s' has %" PRId64 " rows, the first column has %" PRId64, column->name,
                column->shape[0], n);
    int is_read = column->source && !pst__source_data(column->source);
    if (is_read && plan->row_bytes > 0 &&
        (!plan->is_dense || (n > 1 && (size_t)plan->row != plan->row_bytes)))
        return pst__fail(err, PST_EUNSUPPORTED,
                         "the rows of '%s' do not lie one after the other: it can only be mapped",
                         column->name);
    return PST_OK;
}

/* Takes the columns over. */
static struct rows *rows_new(struct pst__column *columns, size_t n)
{
    struct rows *rows = pst__calloc(1, sizeof *rows, PST_MEM_HEAP);
    if (!rows)
        return NULL;
    rows->column = pst__calloc(n, sizeof *columns, PST_MEM_HEAP);
    rows->plan = pst__calloc(n, sizeof *rows->plan, PST_MEM_HEAP);
    if (!rows->column || !rows->plan) {
        rows_close(rows);
        return NULL;
    }
    memcpy(rows->column, columns, n * sizeof *columns);
    memset(columns, 0, n * sizeof *columns);
    rows->n_columns = n;
    rows->n = rows->column[0].shape[0];
    return rows;
}

int pst__columns_dataset(struct pst_dataset **out, struct pst__column *columns, size_t n,
                         struct pst_error *err)
{
    int rc = PST_OK;
    struct rows *rows = NULL;
    if (n == 0 || n > PST_MAX_FIELDS)
        rc = pst__fail(err, n == 0 ? PST_EINVAL : PST_ELIMIT, "%zu columns, expected 1 to %d", n,
                       PST_MAX_FIELDS);
    else if (!(rows = rows_new(columns, n)))
        rc = pst__fail(err, PST_ENOMEM, "no memory for a dataset of %zu columns", n);
    for (size_t c = 0; rc == PST_OK && c < n; c++) {
        plan_column(&rows->plan[c], &rows->column[c]);
        rc = check_column(&rows->column[c], &rows->plan[c], rows->n, err);
        if (rc == PST_OK && rows->column[c].source)
            pst__source_random(rows->column[c].source);
    }
    if (rc == PST_OK)
        rc = make_dataset(out, rows, err);
    if (rc == PST_OK)
        return PST_OK;
    for (size_t c = 0; c < n; c++)
        pst__column_reset(&columns[c]);
    if (rows)
        rows_close(rows);
    return rc;
}

/* Without the steps over it. */
static const struct pst_dataset *base_rows(const struct pst_dataset *dataset)
{
    for (const struct pst_dataset *under; (under = pst__row_steps_under(dataset));)
        dataset = under;
    return dataset;
}

struct pst__choice *pst__columns_choice(const struct pst_dataset *dataset)
{
    struct rows *rows = dataset ? pst__dataset_self(base_rows(dataset), rows_close) : NULL;
    return rows ? &rows->choice : NULL;
}

const struct pst__column *pst__columns_of(const struct pst_dataset *dataset, size_t *n)
{
    const struct rows *rows = pst__dataset_self(base_rows(dataset), rows_close);
    *n = rows ? rows->n_columns : 0;
    return rows ? rows->column : NULL;
}

const char *pst__columns_path(const struct pst_dataset *dataset, size_t field)
{
    size_t n;
    const struct pst__column *columns = pst__columns_of(dataset, &n);
    return field < n && columns[field].source ? pst__source_path(columns[field].source) : NULL;
}

/* --- over tensors
 * ------------------------------------------------------------------------------------- */

static int column_of_tensor(struct pst__column *column, const struct pst_tensor *tensor,
                            const char *name, struct pst_error *err)
{
    PST_REQUIRE(tensor->buffer && tensor->ndim >= 1, err,
                "pst_rows_open: '%s' has %d dimensions, at least 1 expected", name, tensor->ndim);
    size_t size = strlen(name) + 1;
    column->name = pst__alloc(size, PST_MEM_HEAP);
    if (!column->name)
        return pst__fail(err, PST_ENOMEM, "no memory for a column's name");
    memcpy(column->name, name, size);
    column->dtype = tensor->dtype;
    column->ndim = tensor->ndim;
    memcpy(column->shape, tensor->shape, sizeof column->shape);
    memcpy(column->strides, tensor->strides, sizeof column->strides);
    column->buffer = pst_buffer_ref(tensor->buffer);
    column->data = tensor->data;
    return PST_OK;
}

int pst_rows_open(struct pst_dataset **out, const struct pst_tensor *tensors,
                  const char *const *names, size_t n, struct pst_error *err)
{
    PST_REQUIRE(out, err, "pst_rows_open: out is NULL");
    *out = NULL;
    PST_REQUIRE(tensors && n > 0 && n <= PST_MAX_FIELDS, err,
                "pst_rows_open: %zu tensors, expected 1 to %d", n, PST_MAX_FIELDS);
    /* What the caller has may be a mapped file. */
    int guarded = pst__guard_prepare(err);
    if (guarded < 0)
        return guarded;
    struct pst__column columns[PST_MAX_FIELDS] = {0};
    for (size_t i = 0; i < n; i++) {
        char number[24];
        snprintf(number, sizeof number, "%zu", i);
        int rc = column_of_tensor(&columns[i], &tensors[i], names ? names[i] : number, err);
        if (rc == PST_OK)
            continue;
        for (size_t k = 0; k <= i; k++)
            pst__column_reset(&columns[k]);
        return rc;
    }
    return pst__columns_dataset(out, columns, n, err);
}
