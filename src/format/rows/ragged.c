/* SPDX-License-Identifier: Apache-2.0 */
#include "format/rows/ragged.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "format/layout/layout.h"
#include "io/guard.h"

#define SHOWN 320
#define FEW 32 /* rows whose places are kept on the stack */
#define MOST_MULTIPLE (1 << 30)
#define NEAR 4096 /* the address of a fault may be that of its page */

/* --- columns
 * ------------------------------------------------------------------------------------------ */

static int pad_fits(int dtype, int64_t pad)
{
    int bits = 8 * (int)pst_dtype_size(dtype);
    switch (dtype) {
    case PST_I64:
        return 1;
    case PST_U64:
        return pad >= 0;
    case PST_U8:
    case PST_U16:
    case PST_U32:
        return pad >= 0 && pad >> bits == 0;
    case PST_I8:
    case PST_I16:
    case PST_I32:
        return pad >> (bits - 1) == 0 || pad >> (bits - 1) == -1;
    default:
        return pad == 0;
    }
}

static int check_wish(const struct pst__array_column *own, const struct pst_array_source *from,
                      struct pst_error *err)
{
    char shown[SHOWN], name[SHOWN];
    pst__printable(shown, sizeof shown, from->path);
    pst__printable(name, sizeof name, own->name);
    if (from->ragged == 0)
        return pst__fail(err, PST_EUNSUPPORTED,
                         "'%s': column '%s' is ragged: set how many items its rows are padded or "
                         "cut to (pad_to, in C ragged)",
                         shown, name);
    PST_REQUIRE(from->ragged > 0 || from->ragged == PST_ARRAY_LONGEST, err,
                "'%s': the rows of '%s' cannot be padded to %" PRId64 " items", shown, name,
                from->ragged);
    PST_REQUIRE(from->ragged_most >= 0 && from->ragged_multiple >= 0 &&
                    from->ragged_multiple <= MOST_MULTIPLE,
                err,
                "'%s': the rows of '%s' cannot be cut to %" PRId64
                " items and padded to a multiple of %" PRId64,
                shown, name, from->ragged_most, from->ragged_multiple);
    PST_REQUIRE(pad_fits(own->dtype, from->pad), err,
                "'%s': '%s' cannot be padded with %" PRId64 ", which is no element of its dtype",
                shown, name, from->pad);
    if (own->ndim + 2 > PST_MAX_DIMS)
        return pst__fail(err, PST_EUNSUPPORTED,
                         "'%s': padded rows of '%s' have %d dimensions, at most %d expected", shown,
                         name, own->ndim + 2, PST_MAX_DIMS);
    return PST_OK;
}

/* Takes the layout's shape and dtype. */
static int column_init(struct pst__column *column, struct pst__layout *layout, const char *name,
                       const char *behind, struct pst_error *err)
{
    size_t size = strlen(name) + strlen(behind) + 1;
    int rc = pst__layout_measure(layout, name, err);
    if (rc < 0)
        return rc;
    column->name = pst__alloc(size, PST_MEM_HEAP);
    if (!column->name)
        return pst__fail(err, PST_ENOMEM, "no memory for a column's name");
    snprintf(column->name, size, "%s%s", name, behind);
    column->dtype = layout->dtype;
    column->ndim = layout->ndim;
    memcpy(column->shape, layout->shape, sizeof column->shape);
    pst__layout_strides(layout, column->strides);
    return PST_OK;
}

int pst__ragged_columns(struct pst__column columns[2], struct pst__array_shared *file,
                        struct pst__source *source, int number, const struct pst_array_source *from,
                        struct pst_error *err)
{
    const struct pst__array_layout *all = pst__array_shared_layout(file);
    const struct pst__array_column *own = &all->columns[number];
    struct pst__layout items = {.dtype = own->dtype, .ndim = own->ndim + 2};
    struct pst__layout lengths = {.dtype = PST_I64, .ndim = 1, .shape = {all->n_rows}};
    int rc = check_wish(own, from, err);
    if (rc < 0)
        return rc;
    items.shape[0] = all->n_rows;
    int is_longest = from->ragged == PST_ARRAY_LONGEST;
    items.shape[1] = is_longest ? 1 : from->ragged;
    memcpy(items.shape + 2, own->shape, (size_t)own->ndim * sizeof *own->shape);
    rc = column_init(&columns[0], &items, own->name, "", err);
    if (rc == PST_OK)
        rc = column_init(&columns[1], &lengths, own->name, "_length", err);
    for (int i = 0; rc == PST_OK && i < 2; i++) {
        columns[i].source = pst__source_ref(source);
        columns[i].file = pst__array_shared_ref(file);
        columns[i].stream = own->stream;
        columns[i].ragged = from->ragged;
        if (is_longest) {
            columns[i].ragged = from->ragged_most > 0 ? from->ragged_most : INT64_MAX;
            columns[i].multiple = from->ragged_multiple > 0 ? from->ragged_multiple : 1;
        }
        columns[i].number = number;
        columns[i].is_length = i;
        for (int k = 0; k < 8; k++) /* as the file has elements: the low byte first */
            columns[i].pad[k] = (uint8_t)((uint64_t)from->pad >> 8 * k);
    }
    return rc;
}

/* --- copying
 * ------------------------------------------------------------------------------------------ */

/* The bytes of a row's items in the file, and their place in the batch. */
struct place {
    int64_t index;
    uint64_t offset;
    size_t bytes, slot;
};

struct ragged_copy {
    const struct pst__column *column;
    const uint8_t *base; /* of the mapped file */
    const struct place *places;
    size_t n, row_bytes; /* as they are padded */
    uint8_t *to;
};

/* How many of a row's items are kept where rows are padded to `length`. */
static int64_t kept_of(const struct pst__column *column, int64_t length)
{
    return length < column->ragged ? length : column->ragged;
}

static size_t item_bytes(const struct pst__column *column)
{
    return (size_t)column->strides[1];
}

/* Where the items of all rows are. Their blocks are checked. */
static int find_places(struct place *places, const struct pst__column *column, int64_t most,
                       const int64_t *indices, size_t n, struct pst_error *err)
{
    for (size_t i = 0; i < n; i++) {
        struct pst__array_items items;
        int rc =
            pst__array_shared_items(column->file, column->number, indices[i], most, &items, err);
        if (rc == PST_OK)
            rc = pst__array_shared_verify_items(column->file, column->number, &items, err);
        if (rc < 0) {
            if (err)
                err->record = indices[i];
            return rc;
        }
        places[i] =
            (struct place){indices[i], items.offset, (size_t)items.n * item_bytes(column), i};
    }
    return PST_OK;
}

static void fill(const struct pst__column *column, uint8_t *to, size_t bytes)
{
    size_t element = pst_dtype_size(column->dtype);
    int is_zero = 1;
    for (size_t i = 0; i < element; i++)
        is_zero &= column->pad[i] == 0;
    if (is_zero || element == 1) {
        memset(to, column->pad[0], bytes);
        return;
    }
    for (size_t at = 0; at < bytes; at += element)
        memcpy(to + at, column->pad, element);
}

/* Within the guard. */
static void copy_places(void *arg)
{
    const struct ragged_copy *copy = arg;
    for (size_t i = 0; i < copy->n; i++) {
        const struct place *place = &copy->places[i];
        memcpy(copy->to + place->slot * copy->row_bytes, copy->base + place->offset, place->bytes);
    }
}

static int place_fails(const struct ragged_copy *copy, const struct place *place,
                       const void *address, struct pst_error *err)
{
    pst__source_fault(copy->column->source, address, place ? place->offset : 0,
                      place ? place->bytes : 1, err);
    if (err)
        err->record = place ? place->index : -1;
    return PST_EIO;
}

static int copy_mapped(struct ragged_copy *copy, struct pst_error *err)
{
    const void *address = NULL;
    int rc = pst__guarded(copy_places, copy, &address);
    uint64_t size = pst__source_size_now(copy->column->source);
    const struct place *place = NULL;
    /* Behind the end of a file that was cut its last page reads as zeros, without a fault. */
    int is_cut = rc == PST_OK && size < pst__source_size(copy->column->source);
    for (size_t i = 0; (rc < 0 || is_cut) && i < copy->n && !place; i++) {
        const struct place *one = &copy->places[i];
        const uint8_t *from = copy->base + one->offset, *at = address;
        if (one->bytes > 0 && (is_cut ? one->offset + one->bytes > size
                                      : at && at + NEAR > from && at < from + one->bytes))
            place = one;
    }
    return rc < 0 || place ? place_fails(copy, place, address, err) : PST_OK;
}

static int copy_read(const struct ragged_copy *copy, struct pst_error *err)
{
    struct pst__span few[FEW], *spans = few;
    size_t n = 0;
    if (copy->n > FEW)
        spans = pst__alloc(copy->n * sizeof *spans, PST_MEM_SCRATCH);
    if (!spans)
        return pst__fail(err, PST_ENOMEM, "no memory for the places of %zu rows", copy->n);
    for (size_t i = 0; i < copy->n; i++) {
        const struct place *place = &copy->places[i];
        uint8_t *to = copy->to + place->slot * copy->row_bytes;
        if (place->bytes > 0)
            spans[n++] = (struct pst__span){copy->column->source, place->offset, place->bytes, to,
                                            place->index};
    }
    int rc = pst__spans_read(spans, n, err);
    if (spans != few)
        pst__free(spans);
    return rc;
}

static int gather_items(const struct pst__column *column, int64_t length, const int64_t *indices,
                        size_t n, uint8_t *dst, struct pst_error *err)
{
    struct place few[FEW], *places = few;
    size_t row_bytes = (size_t)length * item_bytes(column);
    if (row_bytes == 0)
        return PST_OK;
    if (n > FEW)
        places = pst__alloc(n * sizeof *places, PST_MEM_SCRATCH);
    if (!places)
        return pst__fail(err, PST_ENOMEM, "no memory for the places of %zu rows", n);
    struct ragged_copy copy = {column, pst__source_data(column->source), places, n, row_bytes, dst};
    int rc = find_places(places, column, kept_of(column, length), indices, n, err);
    if (rc == PST_OK)
        rc = copy.base ? copy_mapped(&copy, err) : copy_read(&copy, err);
    for (size_t i = 0; rc == PST_OK && i < n; i++)
        fill(column, dst + places[i].slot * row_bytes + places[i].bytes,
             row_bytes - places[i].bytes);
    if (places != few)
        pst__free(places);
    return rc;
}

/* How many of a row's items are kept, at most `most`. */
static int length_of(const struct pst__column *column, int64_t index, int64_t most, int64_t *length,
                     struct pst_error *err)
{
    struct pst__array_items items;
    int rc = pst__array_shared_items(column->file, column->number, index, most, &items, err);
    if (rc < 0 && err)
        err->record = index;
    if (rc == PST_OK)
        *length = items.n;
    return rc;
}

int pst__ragged_gather(const struct pst__column *column, int64_t length, const int64_t *indices,
                       size_t n, uint8_t *dst, struct pst_error *err)
{
    if (!column->is_length)
        return gather_items(column, length, indices, n, dst, err);
    for (size_t i = 0; i < n; i++) {
        int64_t own = 0;
        int rc = length_of(column, indices[i], kept_of(column, length), &own, err);
        if (rc < 0)
            return rc;
        memcpy(dst + i * sizeof own, &own, sizeof own);
    }
    return PST_OK;
}

int pst__ragged_longest(const struct pst__column *column, const int64_t *indices, size_t n,
                        int64_t *length, struct pst_error *err)
{
    int64_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t own = 0;
        int rc = length_of(column, indices[i], column->ragged, &own, err);
        if (rc < 0)
            return rc;
        longest = own > longest ? own : longest;
    }
    int64_t over = longest % column->multiple;
    if (over > 0 && __builtin_add_overflow(longest, column->multiple - over, &longest))
        return pst__fail(err, PST_ELIMIT, "rows of '%s' are too long", column->name);
    *length = longest;
    return PST_OK;
}

/* --- intent
 * ------------------------------------------------------------------------------------------- */

static uint64_t end_of(const struct pst__column *column, int64_t index)
{
    return pst__array_shared_offset(column->file, column->stream, index);
}

/* The items of a row; n is 0 where they cannot be told, which who reads it is told of. */
static struct pst__array_items items_of(const struct pst__column *column, int64_t index)
{
    struct pst__array_items items;
    if (pst__array_shared_items(column->file, column->number, index, column->ragged, &items, NULL) <
        0)
        items.n = 0;
    return items;
}

int pst__ragged_is_resident(const struct pst__column *column, int64_t index)
{
    if (!pst__source_is_resident(column->source, end_of(column, index)))
        return 0;
    struct pst__array_items items = {0};
    if (!column->is_length)
        items = items_of(column, index);
    return items.n == 0 || pst__source_is_direct(column->source, NULL) ||
           pst__source_is_resident(column->source, items.offset);
}

void pst__ragged_intend(const struct pst__column *column, const int64_t *indices, size_t n,
                        int may_wait)
{
    if (column->is_length) /* the column of the items has the same ends */
        return;
    for (size_t i = 0; i < n; i++)
        pst__source_intend(column->source, end_of(column, indices[i]), sizeof(int64_t));
    if (pst__source_is_direct(column->source, NULL))
        return; /* the items are read around the page cache, in which they would be for nobody */
    for (size_t i = 0; i < n; i++) {
        if (!may_wait && !pst__source_is_resident(column->source, end_of(column, indices[i])))
            continue;
        struct pst__array_items items = items_of(column, indices[i]);
        if (items.n > 0)
            pst__source_intend(column->source, items.offset, (size_t)items.n * item_bytes(column));
    }
}
