/* SPDX-License-Identifier: Apache-2.0 */
#include "format/array/array_file.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/status.h"

/* Read and summed at a time, on the stack. */
#define PIECE 16384

int pst__array_file_init(struct pst__array_file *file, const struct pst__array_bytes *bytes,
                         int is_unverified, struct pst_error *err)
{
    *file = (struct pst__array_file){.bytes = *bytes, .is_unverified = is_unverified};
    int rc = pst__array_layout_read(&file->layout, bytes, err);
    if (rc < 0 || is_unverified)
        return rc;
    size_t words = (size_t)(file->layout.n_blocks / 32 + 1);
    file->checked = pst__calloc(words, sizeof *file->checked, PST_MEM_HEAP);
    if (file->checked)
        return PST_OK;
    rc = pst__fail(err, PST_ENOMEM, "no memory for what is known of the %" PRId64 " blocks of '%s'",
                   file->layout.n_blocks, bytes->name);
    pst__array_file_reset(file);
    return rc;
}

void pst__array_file_reset(struct pst__array_file *file)
{
    pst__free((void *)file->checked);
    pst__array_layout_reset(&file->layout);
    *file = (struct pst__array_file){0};
}

const struct pst__array_run *pst__array_run_of(const struct pst__array_stream *stream,
                                               int64_t element)
{
    size_t low = 0, high = stream->n_runs;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (stream->runs[middle].first <= element)
            low = middle;
        else
            high = middle;
    }
    return &stream->runs[low];
}

/* --- checksums --- */

/* A check of one stream, and the page of sums that it read last. */
struct check {
    struct pst__array_file *file;
    const struct pst__array_stream *stream;
    const struct pst__array_extent *extent; /* NULL: no page was read */
    int64_t page;
    uint8_t sums[4 * (PST__ARRAY_SUMS + 1)];
    struct pst_error *err;
};

static uint32_t sum_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int damaged(const struct check *check, uint64_t offset, int64_t first, int64_t n,
                   const char *what)
{
    const struct pst__array_layout *layout = &check->file->layout;
    const struct pst__array_column *column = &layout->columns[check->stream->column];
    int is_items = check->stream != &layout->streams[column->stream];
    char name[64];
    return pst__fail_at(check->err, PST_EFORMAT, (int64_t)offset,
                        "'%s' is damaged at byte %" PRIu64 ": the CRC of %s, column '%s', %s "
                        "%" PRId64 " to %" PRId64,
                        check->file->bytes.name, offset, what,
                        pst__printable(name, sizeof name, column->name),
                        is_items ? "items" : "rows", first, first + n - 1);
}

static int read_page(struct check *check, const struct pst__array_extent *extent, int64_t page)
{
    const struct pst__array_bytes *bytes = &check->file->bytes;
    int64_t before = page * PST__ARRAY_SUMS;
    int64_t left = pst__array_extent_blocks(extent, check->stream->element) - before;
    size_t n = left < PST__ARRAY_SUMS ? (size_t)left : PST__ARRAY_SUMS;
    uint64_t offset = extent->sums + (uint64_t)page * sizeof check->sums;
    check->extent = NULL;
    int rc = bytes->read(bytes->self, offset, 4 * (n + 1), check->sums, check->err);
    if (rc < 0)
        return rc;
    if (pst__crc32c(0, check->sums, 4 * n) != sum_at(check->sums + 4 * n))
        return damaged(check, offset, extent->first, extent->n, "its checksums");
    check->extent = extent;
    check->page = page;
    return PST_OK;
}

/* Reads a whole block, whatever its size. */
static int check_block(struct check *check, const struct pst__array_extent *extent, int64_t block)
{
    const struct pst__array_bytes *bytes = &check->file->bytes;
    uint8_t piece[PIECE];
    uint32_t crc = 0;
    int rc = PST_OK;
    int64_t page = block / PST__ARRAY_SUMS, first = block * extent->block;
    int64_t n = extent->n - first < extent->block ? extent->n - first : extent->block;
    uint64_t offset = extent->offset + (uint64_t)(first * check->stream->element);
    uint64_t size = (uint64_t)(n * check->stream->element);
    if (check->extent != extent || check->page != page)
        rc = read_page(check, extent, page);
    for (uint64_t done = 0; done < size && rc == PST_OK;) {
        size_t part = size - done < PIECE ? (size_t)(size - done) : PIECE;
        rc = bytes->read(bytes->self, offset + done, part, piece, check->err);
        crc = pst__crc32c(crc, piece, rc < 0 ? 0 : part);
        done += part;
    }
    if (rc < 0)
        return rc;
    if (crc != sum_at(check->sums + 4 * (block % PST__ARRAY_SUMS)))
        return damaged(check, offset, extent->first + first, n, "a block");
    return PST_OK;
}

/* The blocks of one extent that hold some of its elements, from first to last. */
static int check_extent(struct check *check, const struct pst__array_extent *extent, int64_t first,
                        int64_t last)
{
    for (int64_t block = first / extent->block; block <= last / extent->block; block++) {
        uint64_t bit = (uint64_t)(extent->first_block + block);
        _Atomic uint32_t *word = &check->file->checked[bit / 32];
        uint32_t mask = UINT32_C(1) << bit % 32;
        /* Two threads may check a block at once; that it was is all that the bit says. */
        if (atomic_load_explicit(word, memory_order_relaxed) & mask)
            continue;
        int rc = check_block(check, extent, block);
        if (rc < 0)
            return rc;
        atomic_fetch_or_explicit(word, mask, memory_order_relaxed);
    }
    return PST_OK;
}

int pst__array_verify(struct pst__array_file *file, int stream, int64_t first, int64_t n,
                      struct pst_error *err)
{
    const struct pst__array_layout *layout = &file->layout;
    struct check check = {.file = file, .stream = &layout->streams[stream], .err = err};
    if (file->is_unverified || check.stream->element == 0 || n == 0)
        return PST_OK;
    int64_t last = first + n - 1;
    for (size_t i = pst__array_segment_of(layout, stream, first); i < layout->n_segments; i++) {
        const struct pst__array_extent *extent = pst__array_extent(layout, i, stream);
        if (extent->first > last)
            break;
        int64_t from = first > extent->first ? first - extent->first : 0;
        int64_t to = last - extent->first < extent->n ? last - extent->first : extent->n - 1;
        int rc = extent->n > 0 ? check_extent(&check, extent, from, to) : PST_OK;
        if (rc < 0)
            return rc;
    }
    return PST_OK;
}

/* --- ragged columns --- */

/* n ends from first on, as numbers of the machine. */
static int read_ends(struct pst__array_file *file, int stream, int64_t first, int64_t n,
                     int64_t *ends, struct pst_error *err)
{
    const struct pst__array_stream *s = &file->layout.streams[stream];
    int rc = pst__array_verify(file, stream, first, n, err);
    for (int64_t done = 0; done < n && rc == PST_OK;) {
        const struct pst__array_run *run = pst__array_run_of(s, first + done);
        int64_t skip = first + done - run->first;
        int64_t part = run->n - skip < n - done ? run->n - skip : n - done;
        rc = file->bytes.read(file->bytes.self, run->offset + (uint64_t)skip * sizeof *ends,
                              (size_t)part * sizeof *ends, ends + done, err);
        done += part;
    }
    return rc;
}

/* The ends of rows that lie in one segment, against those of its items. */
static int check_ends(const struct pst__array_file *file, const struct pst__array_column *column,
                      size_t segment, int64_t first, int64_t n, const int64_t *bounds,
                      struct pst_error *err)
{
    const struct pst__array_layout *layout = &file->layout;
    const struct pst__array_extent *rows = pst__array_extent(layout, segment, column->stream);
    const struct pst__array_extent *items = pst__array_extent(layout, segment, column->stream + 1);
    int64_t low = items->first, high = items->first + items->n;
    for (int64_t i = 0; i < n; i++) {
        int64_t row = first + i;
        int is_edge = (row == rows->first && bounds[i] != low) ||
                      (row == rows->first + rows->n - 1 && bounds[i + 1] != high);
        if (bounds[i] >= low && bounds[i] <= bounds[i + 1] && bounds[i + 1] <= high && !is_edge)
            continue;
        char name[64];
        uint64_t offset = rows->offset + (uint64_t)(row - rows->first) * sizeof *bounds;
        return pst__fail_at(err, PST_EFORMAT, (int64_t)offset,
                            "'%s' is damaged at byte %" PRIu64 ": row %" PRId64
                            " of column '%s' has the items %" PRId64 " to %" PRId64
                            ", its segment has %" PRId64 " to %" PRId64,
                            file->bytes.name, offset, row,
                            pst__printable(name, sizeof name, column->name), bounds[i],
                            bounds[i + 1], low, high);
    }
    return PST_OK;
}

int pst__array_bounds(struct pst__array_file *file, int column, int64_t first, int64_t n,
                      int64_t *bounds, struct pst_error *err)
{
    const struct pst__array_layout *layout = &file->layout;
    const struct pst__array_column *own = &layout->columns[column];
    bounds[0] = 0;
    if (n == 0)
        return PST_OK;
    /* The end of the row before is where the first one begins. */
    int64_t before = first > 0;
    int rc = read_ends(file, own->stream, first - before, n + before, bounds + 1 - before, err);
    for (int64_t done = 0; done < n && rc == PST_OK;) {
        size_t segment = pst__array_segment_of(layout, own->stream, first + done);
        const struct pst__array_extent *rows = pst__array_extent(layout, segment, own->stream);
        int64_t left = rows->first + rows->n - (first + done);
        int64_t part = left < n - done ? left : n - done;
        rc = check_ends(file, own, segment, first + done, part, bounds + done, err);
        done += part;
    }
    return rc;
}
