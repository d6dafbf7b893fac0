/* SPDX-License-Identifier: Apache-2.0 */
#include "format/array/array_segment.h"

#include <inttypes.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"

#define BLOCK_BYTES ((size_t)16 << 10)
#define BUFFER_BYTES ((size_t)64 << 20)
/* Sums in memory, of all streams: 16 MiB, which vouch for 64 GiB in blocks of 16 KiB. */
#define MAX_SUMS ((size_t)1 << 22)

static uint64_t aligned(uint64_t offset)
{
    return (offset + PST__ARRAY_PAGE - 1) / PST__ARRAY_PAGE * PST__ARRAY_PAGE;
}

/* --- places --- */

/* The bytes that a stream will have in all. */
static int promised_size(const struct pst__array_layout *layout, int s,
                         const struct pst_array_writer_config *config, uint64_t *size)
{
    const struct pst__array_stream *stream = &layout->streams[s];
    int is_items = layout->columns[stream->column].stream != s;
    int64_t n = is_items ? config->columns[stream->column].items : config->rows, bytes;
    if (__builtin_mul_overflow(n, stream->element, &bytes) || bytes > PST_MAX_TENSOR)
        return PST_ELIMIT;
    *size = (uint64_t)bytes;
    return PST_OK;
}

/* Where a stream of an unfinished file goes on, if its data begin at start. */
static int goes_on(const struct pst__array_stream *stream, uint64_t start, uint64_t *position)
{
    *position = start + (uint64_t)(stream->n * stream->element);
    return stream->n == 0 || stream->element == 0 ||
           (stream->n_runs == 1 && stream->runs[0].offset == start);
}

/* Each stream in one piece, in their order. */
static int place(struct pst__array_segment *segment, const struct pst_array_writer_config *config,
                 struct pst_error *err)
{
    struct pst__array_layout *layout = segment->layout;
    struct pst__array_store *store = segment->store;
    int is_begun = config->mode == PST_ARRAY_RESUME && layout->n_rows > 0, fits = 1;
    uint64_t from = aligned(is_begun ? PST__ARRAY_DATA : store->tail), end = from;
    for (int s = 0; s < layout->n_streams; s++) {
        uint64_t size, start = aligned(end);
        if (promised_size(layout, s, config, &size) < 0 || start > PST_MAX_TENSOR)
            return pst__fail(err, PST_ELIMIT, "'%s' would have over 2^62 bytes", store->shown);
        segment->streams[s].position = start;
        if (is_begun)
            fits &= goes_on(&layout->streams[s], start, &segment->streams[s].position);
        end = start + size;
    }
    if (is_begun && (!fits || store->tail < end))
        return pst__fail(err, PST_EINVAL,
                         "what was written of '%s' was begun for another number of rows",
                         store->shown);
    if (store->tail < end)
        store->tail = end;
    return pst__array_store_allocate(store, from, end, err);
}

static int64_t block_of(const struct pst__array_stream *stream, size_t bytes)
{
    int64_t n = stream->element > 0 ? (int64_t)bytes / stream->element : 1;
    return n > 0 ? n : 1;
}

int pst__array_segment_init(struct pst__array_segment *segment, struct pst__array_store *store,
                            struct pst__array_layout *layout,
                            const struct pst_array_writer_config *config, int is_known,
                            struct pst_error *err)
{
    size_t n = (size_t)layout->n_streams;
    size_t block_bytes = config->block_bytes > 0 ? config->block_bytes : BLOCK_BYTES;
    size_t most = config->buffer_bytes > 0 ? config->buffer_bytes : BUFFER_BYTES;
    if (block_bytes > PST_MAX_TENSOR)
        return pst__fail(err, PST_EINVAL, "blocks of %zu bytes", block_bytes);
    *segment = (struct pst__array_segment){.store = store, .layout = layout};
    segment->streams = pst__calloc(n, sizeof *segment->streams, PST_MEM_HEAP);
    if (!segment->streams)
        return pst__fail(err, PST_ENOMEM, "no memory for %zu columns", n);
    for (size_t s = 0; s < n; s++) {
        struct pst__array_pending *pending = &segment->streams[s];
        pending->block = block_of(&layout->streams[s], block_bytes);
    }
    /* Less than a block of each stream waits after it was written. */
    segment->most = most / n < 2 * block_bytes ? 2 * block_bytes * n : most;
    segment->is_alone = n == 1 && !is_known;
    segment->is_placed = segment->is_alone || is_known;
    int rc = is_known ? place(segment, config, err) : PST_OK;
    for (size_t s = 0; s < n; s++)
        segment->streams[s].start = segment->streams[s].position;
    return rc;
}

void pst__array_segment_reset(struct pst__array_segment *segment)
{
    for (int s = 0; segment->streams && s < segment->layout->n_streams; s++) {
        pst__free(segment->streams[s].data);
        pst__free(segment->streams[s].sums);
    }
    pst__free(segment->streams);
    *segment = (struct pst__array_segment){0};
}

/* --- data --- */

int pst__array_segment_add(struct pst__array_segment *segment, int stream, const void *data,
                           int64_t n, struct pst_error *err)
{
    struct pst__array_pending *pending = &segment->streams[stream];
    size_t size = (size_t)(n * segment->layout->streams[stream].element);
    pending->n += n;
    if (size == 0)
        return PST_OK;
    if (size > pending->room - pending->size) {
        size_t room = pending->size + size;
        if (room < pending->room + pending->room / 2)
            room = pending->room + pending->room / 2;
        uint8_t *grown = pst__realloc(pending->data, room, PST_MEM_SCRATCH);
        if (!grown)
            return pst__fail(err, PST_ENOMEM, "no memory for %zu bytes of rows to be written",
                             room);
        pending->data = grown;
        pending->room = room;
    }
    memcpy(pending->data + pending->size, data, size);
    pending->size += size;
    segment->waiting += size;
    return PST_OK;
}

static int add_sums(struct pst__array_segment *segment, struct pst__array_pending *pending,
                    size_t size, size_t block, struct pst_error *err)
{
    size_t n = (size - 1) / block + 1;
    if (n > pending->sums_room - pending->n_sums) {
        size_t room = pending->n_sums + n + pending->sums_room / 2;
        uint32_t *grown = pst__realloc(pending->sums, room * sizeof *grown, PST_MEM_SCRATCH);
        if (!grown)
            return pst__fail(err, PST_ENOMEM, "no memory for the CRCs of %zu blocks", room);
        pending->sums = grown;
        pending->sums_room = room;
    }
    for (size_t at = 0; at < size; at += block)
        pending->sums[pending->n_sums++] =
            pst__crc32c(0, pending->data + at, size - at < block ? size - at : block);
    segment->n_sums += n;
    return PST_OK;
}

/* Writes the whole blocks of a stream, or all that waits. */
static int flush(struct pst__array_segment *segment, int s, int all, struct pst_error *err)
{
    struct pst__array_pending *pending = &segment->streams[s];
    size_t block = (size_t)(pending->block * segment->layout->streams[s].element);
    if (pending->size == 0)
        return PST_OK;
    size_t size = all ? pending->size : pending->size / block * block;
    if (size == 0)
        return PST_OK;
    /* Not before its first bytes are written: a footer may come in between. */
    if (segment->is_alone && pending->n_sums == 0)
        pending->start = pending->position = aligned(segment->store->tail);
    int rc = add_sums(segment, pending, size, block, err);
    if (rc == PST_OK)
        rc = pst__array_store_write(segment->store, pending->position, pending->data, size, err);
    if (rc < 0)
        return rc;
    pending->position += size;
    pending->size -= size;
    segment->waiting -= size;
    memmove(pending->data, pending->data + size, pending->size);
    if (segment->is_alone)
        segment->store->tail = pending->position;
    return PST_OK;
}

int pst__array_segment_relieve(struct pst__array_segment *segment, struct pst_error *err)
{
    int rc = PST_OK;
    if (segment->waiting < segment->most)
        return PST_OK;
    if (!segment->is_placed)
        return pst__array_segment_end(segment, err);
    for (int s = 0; s < segment->layout->n_streams && rc == PST_OK; s++)
        rc = flush(segment, s, 0, err);
    if (rc == PST_OK && segment->n_sums >= MAX_SUMS)
        rc = pst__array_segment_end(segment, err);
    return rc;
}

/* --- the end --- */

static int write_sums(struct pst__array_segment *segment, const struct pst__array_pending *pending,
                      struct pst_error *err)
{
    size_t size = (size_t)pst__array_sums_size((int64_t)pending->n_sums);
    uint8_t *bytes = pst__alloc(size, PST_MEM_SCRATCH), *p = bytes;
    if (!bytes)
        return pst__fail(err, PST_ENOMEM, "no memory for the CRCs of %zu blocks", pending->n_sums);
    for (size_t at = 0; at < pending->n_sums; at += PST__ARRAY_SUMS) {
        size_t left = pending->n_sums - at, n = left < PST__ARRAY_SUMS ? left : PST__ARRAY_SUMS;
        memcpy(p, pending->sums + at, 4 * n);
        uint32_t crc = pst__crc32c(0, p, 4 * n);
        memcpy(p + 4 * n, &crc, sizeof crc);
        p += 4 * n + 4;
    }
    int rc = pst__array_store_write(segment->store, segment->store->tail, bytes, size, err);
    segment->store->tail += size;
    pst__free(bytes);
    return rc;
}

static int end_stream(struct pst__array_segment *segment, int s, struct pst__array_extent *extent,
                      struct pst_error *err)
{
    struct pst__array_pending *pending = &segment->streams[s];
    struct pst__array_stream *stream = &segment->layout->streams[s];
    struct pst__array_store *store = segment->store;
    if (!segment->is_placed)
        pending->start = pending->position = aligned(store->tail);
    int rc = flush(segment, s, 1, err);
    if (rc < 0)
        return rc;
    *extent = (struct pst__array_extent){.first = stream->n,
                                         .n = pending->n,
                                         .block = pending->block,
                                         .first_block = segment->layout->n_blocks};
    if (pending->n_sums > 0) {
        if (!segment->is_placed)
            store->tail = pending->position;
        extent->offset = pending->start;
        extent->sums = store->tail;
        if ((rc = write_sums(segment, pending, err)) < 0)
            return rc;
    }
    segment->layout->n_blocks += (int64_t)pending->n_sums;
    stream->n += pending->n;
    pending->n = 0;
    pending->n_sums = 0;
    pending->start = pending->position;
    return PST_OK;
}

int pst__array_segment_end(struct pst__array_segment *segment, struct pst_error *err)
{
    struct pst__array_layout *layout = segment->layout;
    if (segment->n_rows == 0)
        return PST_OK;
    struct pst__array_extent *extent = pst__array_layout_grow(layout);
    if (!extent)
        return pst__fail(err, PST_ENOMEM, "no memory for %zu segments", layout->n_segments + 1);
    for (int s = 0; s < layout->n_streams; s++) {
        int rc = end_stream(segment, s, &extent[s], err);
        if (rc < 0)
            return rc;
    }
    if (layout->n_blocks > PST_MAX_ARRAY_BLOCKS)
        return pst__fail(err, PST_ELIMIT, "'%s' has over %" PRId64 " blocks", segment->store->shown,
                         PST_MAX_ARRAY_BLOCKS);
    layout->n_rows += segment->n_rows;
    layout->n_segments++;
    segment->n_rows = 0;
    segment->n_sums = 0;
    return PST_OK;
}
