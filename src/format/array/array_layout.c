/* SPDX-License-Identifier: Apache-2.0 */
#include "format/array/array_layout.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "format/array/array_magic.h"

void pst__array_layout_reset(struct pst__array_layout *layout)
{
    pst__free(layout->note);
    pst__free(layout->runs);
    pst__free(layout->extents);
    pst__free(layout->streams);
    pst__free(layout->columns);
    *layout = (struct pst__array_layout){0};
}

int pst__array_layout_init(struct pst__array_layout *layout, int n_columns)
{
    *layout = (struct pst__array_layout){0};
    layout->columns = pst__calloc((size_t)n_columns, sizeof *layout->columns, PST_MEM_HEAP);
    layout->streams = pst__calloc(2 * (size_t)n_columns, sizeof *layout->streams, PST_MEM_HEAP);
    layout->note = pst__calloc(1, 1, PST_MEM_HEAP);
    if (layout->columns && layout->streams && layout->note)
        return PST_OK;
    pst__array_layout_reset(layout);
    return PST_ENOMEM;
}

static int is_name(const char *name)
{
    if (!name[0])
        return 0;
    for (const char *p = name; *p;) {
        size_t n = pst__utf8_length(p);
        if (n == 0)
            return 0;
        p += n;
    }
    return 1;
}

/* Bytes of an element, with sizes of 0 as they are; -1: their product, with those as 1, is too
 * large. */
static int64_t element_size(const struct pst__array_column *column)
{
    int64_t size = (int64_t)pst_dtype_size(column->dtype), most = size;
    for (int i = 0; i < column->ndim; i++) {
        int64_t n = column->shape[i];
        if (n < 0 || __builtin_mul_overflow(most, n > 0 ? n : 1, &most) || most > PST_MAX_TENSOR)
            return -1;
        size *= n;
    }
    return size;
}

const char *pst__array_layout_add_column(struct pst__array_layout *layout,
                                         const struct pst__array_column *column)
{
    if (pst_dtype_size(column->dtype) == 0)
        return "an unknown dtype";
    if (column->ndim < 0 || column->ndim > PST_MAX_DIMS)
        return "a number of dimensions that is not in 0 to 8";
    if (!is_name(column->name))
        return "a name that is empty or no UTF-8";
    int64_t element = element_size(column);
    if (element < 0)
        return "a shape that is negative or too large";
    struct pst__array_column *own = &layout->columns[layout->n_columns];
    struct pst__array_stream *stream = &layout->streams[layout->n_streams];
    *own = *column;
    own->stream = layout->n_streams;
    stream[0].element = column->is_ragged ? (int64_t)sizeof(int64_t) : element;
    stream[0].column = layout->n_columns;
    if (column->is_ragged)
        stream[1] = (struct pst__array_stream){.element = element, .column = layout->n_columns};
    layout->n_streams += column->is_ragged ? 2 : 1;
    layout->n_columns++;
    return NULL;
}

static int compare_names(const void *a, const void *b)
{
    const struct pst__array_column *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

int pst__array_layout_twins(const struct pst__array_layout *layout, int *twin)
{
    size_t n = (size_t)layout->n_columns;
    const struct pst__array_column **sorted = pst__calloc(n, sizeof *sorted, PST_MEM_HEAP);
    *twin = -1;
    if (!sorted)
        return PST_ENOMEM;
    for (size_t i = 0; i < n; i++)
        sorted[i] = &layout->columns[i];
    qsort(sorted, n, sizeof *sorted, compare_names);
    for (size_t i = 1; i < n && *twin < 0; i++)
        if (compare_names(&sorted[i - 1], &sorted[i]) == 0)
            *twin = (int)(sorted[i] - layout->columns);
    pst__free(sorted);
    return PST_OK;
}

struct pst__array_extent *pst__array_layout_grow(struct pst__array_layout *layout)
{
    size_t row = (size_t)layout->n_streams * sizeof *layout->extents;
    if (layout->n_segments == layout->room) {
        size_t room = layout->room + layout->room / 2 + 1, size;
        if (__builtin_mul_overflow(room, row, &size))
            return NULL;
        void *extents = pst__realloc(layout->extents, size, PST_MEM_HEAP);
        if (!extents)
            return NULL;
        layout->extents = extents;
        layout->room = room;
    }
    struct pst__array_extent *extent = pst__array_extent(layout, layout->n_segments, 0);
    memset(extent, 0, row);
    return extent;
}

/* Counts the runs of one stream, and writes them where runs is not NULL. */
static size_t join_stream(const struct pst__array_layout *layout, int s,
                          struct pst__array_run *runs)
{
    size_t n = 0;
    uint64_t end = 0;
    int64_t element = layout->streams[s].element;
    for (size_t i = 0; i < layout->n_segments; i++) {
        const struct pst__array_extent *extent = pst__array_extent(layout, i, s);
        if (extent->n == 0)
            continue;
        /* Elements of no bytes have no place, so that they all follow each other. */
        int is_new = n == 0 || extent->offset != end;
        n += (size_t)is_new;
        if (runs && is_new)
            runs[n - 1] = (struct pst__array_run){extent->offset, extent->first, 0};
        if (runs)
            runs[n - 1].n += extent->n;
        end = extent->offset + (uint64_t)(extent->n * element);
    }
    return n;
}

int pst__array_layout_join(struct pst__array_layout *layout)
{
    size_t total = 0;
    for (int s = 0; s < layout->n_streams; s++)
        total += layout->streams[s].n_runs = join_stream(layout, s, NULL);
    struct pst__array_run *runs = pst__calloc(total, sizeof *runs, PST_MEM_HEAP);
    if (!runs)
        return PST_ENOMEM;
    pst__free(layout->runs);
    layout->runs = runs;
    for (int s = 0; s < layout->n_streams; s++) {
        layout->streams[s].runs = runs;
        runs += join_stream(layout, s, runs);
    }
    return PST_OK;
}

size_t pst__array_segment_of(const struct pst__array_layout *layout, int stream, int64_t element)
{
    /* The last one that does not begin behind the element; those without elements come before. */
    size_t low = 0, high = layout->n_segments;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (pst__array_extent(layout, middle, stream)->first <= element)
            low = middle;
        else
            high = middle;
    }
    return low;
}

int64_t pst__array_extent_blocks(const struct pst__array_extent *extent, int64_t element)
{
    if (element == 0 || extent->n == 0)
        return 0;
    return (extent->n - 1) / extent->block + 1;
}

uint64_t pst__array_sums_size(int64_t blocks)
{
    return 4 * ((uint64_t)blocks + ((uint64_t)blocks + PST__ARRAY_SUMS - 1) / PST__ARRAY_SUMS);
}

/* --- to bytes --- */

static uint8_t *put(uint8_t *p, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * i));
    return p + n;
}

void pst__array_root_encode(const struct pst__array_root *root, uint8_t bytes[PST__ARRAY_ROOT])
{
    memset(bytes, 0, PST__ARRAY_ROOT);
    memcpy(bytes, pst__array_magic, sizeof pst__array_magic);
    uint8_t *p = put(bytes + 8, PST__ARRAY_MAJOR, 4);
    p = put(p, PST__ARRAY_MINOR, 4);
    p = put(p, root->sequence, 8);
    p = put(p, root->footer_offset, 8);
    p = put(p, root->footer_size, 8);
    p = put(p, root->file_size, 8);
    put(p, root->footer_crc, 4);
    put(bytes + PST__ARRAY_ROOT - 4, pst__crc32c(0, bytes, PST__ARRAY_ROOT - 4), 4);
}

static uint8_t *put_column(uint8_t *p, const struct pst__array_column *column)
{
    size_t n = strlen(column->name);
    *p++ = (uint8_t)column->dtype;
    *p++ = (uint8_t)(column->is_ragged != 0);
    *p++ = (uint8_t)column->ndim;
    *p++ = (uint8_t)n;
    p = put(p, 0, 4);
    for (int i = 0; i < column->ndim; i++)
        p = put(p, (uint64_t)column->shape[i], 8);
    memcpy(p, column->name, n);
    return p + n;
}

static uint8_t *put_segment(uint8_t *p, const struct pst__array_layout *layout, size_t segment)
{
    p = put(p, (uint64_t)pst__array_extent(layout, segment, 0)->n, 8);
    for (int s = 0; s < layout->n_streams; s++) {
        const struct pst__array_extent *extent = pst__array_extent(layout, segment, s);
        p = put(p, extent->offset, 8);
        p = put(p, (uint64_t)extent->n, 8);
        p = put(p, (uint64_t)extent->block, 8);
        p = put(p, extent->sums, 8);
    }
    return p;
}

uint8_t *pst__array_layout_encode(const struct pst__array_layout *layout, uint64_t *size)
{
    size_t note = strlen(layout->note);
    *size = PST__ARRAY_FOOTER_HEAD + note +
            (uint64_t)layout->n_segments * (8 + 32 * (uint64_t)layout->n_streams);
    for (int c = 0; c < layout->n_columns; c++)
        *size += 8 + 8 * (uint64_t)layout->columns[c].ndim + strlen(layout->columns[c].name);
    uint8_t *bytes = pst__alloc(*size, PST_MEM_HEAP);
    if (!bytes)
        return NULL;
    uint8_t *p = put(bytes, (uint64_t)layout->n_rows, 8);
    p = put(p, layout->n_segments, 8);
    p = put(p, (uint64_t)layout->n_columns, 4);
    p = put(p, note, 4);
    p = put(p, 0, 8);
    for (int c = 0; c < layout->n_columns; c++)
        p = put_column(p, &layout->columns[c]);
    memcpy(p, layout->note, note);
    p += note;
    for (size_t i = 0; i < layout->n_segments; i++)
        p = put_segment(p, layout, i);
    return bytes;
}
