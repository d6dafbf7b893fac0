/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"
#include "format/array/array_layout.h"
#include "format/array/array_magic.h"

/* From bytes to a layout. */

struct parse {
    struct pst__array_layout *layout;
    const struct pst__array_bytes *file;
    struct pst__bytes footer;
    uint64_t n_segments;
    int n_columns;
    uint32_t note;
    struct pst_error *err;
};

/* A failure at the footer's byte `at`. */
static int PST_PRINTF(4, 5) bad(struct parse *parse, int status, size_t at, const char *fmt, ...)
{
    char what[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    int64_t offset = (int64_t)(parse->layout->root.footer_offset + at);
    return pst__fail_at(parse->err, status, offset, "'%s' is damaged at byte %" PRId64 ": %s",
                        parse->file->name, offset, what);
}

/* --- the roots --- */

enum root_state { NOT_OURS, BROKEN, FUTURE, GOOD };

static enum root_state decode_root(const uint8_t *bytes, struct pst__array_root *root,
                                   uint32_t *major)
{
    struct pst__bytes b = pst__bytes_over(bytes, PST__ARRAY_ROOT);
    if (memcmp(pst__bytes_take(&b, 8), pst__array_magic, 8) != 0)
        return NOT_OURS;
    *major = pst__bytes_le32(&b);
    uint32_t minor = pst__bytes_le32(&b);
    root->sequence = pst__bytes_le64(&b);
    root->footer_offset = pst__bytes_le64(&b);
    root->footer_size = pst__bytes_le64(&b);
    root->file_size = pst__bytes_le64(&b);
    root->footer_crc = pst__bytes_le32(&b);
    int is_set = 0;
    while (b.pos < PST__ARRAY_ROOT - 4)
        is_set |= pst__bytes_u8(&b);
    if (pst__bytes_le32(&b) != pst__crc32c(0, bytes, PST__ARRAY_ROOT - 4))
        return BROKEN;
    if (*major != PST__ARRAY_MAJOR)
        return FUTURE;
    return minor == PST__ARRAY_MINOR && is_set ? BROKEN : GOOD;
}

/* Neither copy is good: what to say. */
static int refuse_roots(struct parse *parse, const enum root_state state[2],
                        const uint32_t major[2])
{
    const char *name = parse->file->name;
    int one = state[0] == NOT_OURS;
    if (state[one] == NOT_OURS)
        return pst__fail_at(parse->err, PST_EFORMAT, 0,
                            "'%s' is no array file: it does not begin with PSTARR", name);
    /* A version to come may have its CRC elsewhere; but then both copies name that version. */
    if (state[one] == FUTURE ||
        (state[!one] != NOT_OURS && major[0] == major[1] && major[one] != PST__ARRAY_MAJOR))
        return pst__fail_at(parse->err, PST_EUNSUPPORTED, 8,
                            "'%s' is of version %" PRIu32 " of the array file; this is a reader of "
                            "version %d",
                            name, major[one], PST__ARRAY_MAJOR);
    return pst__fail_at(parse->err, PST_EFORMAT, one ? PST__ARRAY_PAGE : 0,
                        "'%s' is damaged: the CRC of both copies of its root is wrong", name);
}

static int choose_root(struct parse *parse, const enum root_state state[2],
                       const struct pst__array_root root[2], const uint32_t major[2])
{
    int one = state[1] == GOOD && (state[0] != GOOD || root[1].sequence > root[0].sequence);
    if (state[one] != GOOD)
        return refuse_roots(parse, state, major);
    parse->layout->root = root[one];
    return PST_OK;
}

static int read_roots(struct parse *parse)
{
    uint8_t bytes[2][PST__ARRAY_ROOT] = {{0}};
    enum root_state state[2];
    struct pst__array_root root[2];
    uint32_t major[2] = {0};
    const struct pst__array_bytes *file = parse->file;
    for (int i = 0; i < 2; i++) {
        uint64_t at = (uint64_t)i * PST__ARRAY_PAGE, left = file->size > at ? file->size - at : 0;
        size_t n = left < PST__ARRAY_ROOT ? (size_t)left : PST__ARRAY_ROOT;
        int rc = n > 0 ? file->read(file->self, at, n, bytes[i], parse->err) : PST_OK;
        if (rc < 0)
            return rc;
        state[i] = decode_root(bytes[i], &root[i], &major[i]);
    }
    if (file->size < PST__ARRAY_DATA && state[0] != NOT_OURS)
        return pst__fail_at(parse->err, PST_ETRUNCATED, (int64_t)file->size,
                            "'%s' has %" PRIu64 " bytes, the roots of an array file alone have %d",
                            file->name, file->size, PST__ARRAY_DATA);
    return choose_root(parse, state, root, major);
}

static int check_root(struct parse *parse)
{
    const struct pst__array_root *root = &parse->layout->root;
    const struct pst__array_bytes *file = parse->file;
    if (root->file_size > file->size)
        return pst__fail_at(parse->err, PST_ETRUNCATED, (int64_t)file->size,
                            "'%s' was cut: it has %" PRIu64 " bytes, and had %" PRIu64
                            " when it was written",
                            file->name, file->size, root->file_size);
    if (root->footer_size > PST_MAX_ARRAY_FOOTER)
        return pst__fail_at(parse->err, PST_ELIMIT, 32,
                            "the footer of '%s' has %" PRIu64 " bytes, the limit is %" PRIu64,
                            file->name, root->footer_size, PST_MAX_ARRAY_FOOTER);
    if (root->footer_size < PST__ARRAY_FOOTER_HEAD || root->footer_offset < PST__ARRAY_DATA ||
        root->footer_offset > root->file_size ||
        root->footer_size > root->file_size - root->footer_offset)
        return pst__fail_at(parse->err, PST_EFORMAT, 24,
                            "'%s' is damaged: its footer of %" PRIu64 " bytes at %" PRIu64
                            " is not in its %" PRIu64 " bytes",
                            file->name, root->footer_size, root->footer_offset, root->file_size);
    return PST_OK;
}

/* --- the footer --- */

static int parse_head(struct parse *parse)
{
    struct pst__bytes *b = &parse->footer;
    uint64_t n_rows = pst__bytes_le64(b);
    parse->n_segments = pst__bytes_le64(b);
    uint32_t n_columns = pst__bytes_le32(b);
    parse->note = pst__bytes_le32(b);
    if (n_rows > PST_MAX_TENSOR)
        return bad(parse, PST_ELIMIT, 0, "%" PRIu64 " rows", n_rows);
    if (n_columns > PST_MAX_ARRAY_COLUMNS)
        return bad(parse, PST_ELIMIT, 16, "%" PRIu32 " columns, the limit is %d", n_columns,
                   PST_MAX_ARRAY_COLUMNS);
    if (parse->note > PST_MAX_ARRAY_NOTE)
        return bad(parse, PST_ELIMIT, 20, "a note of %" PRIu32 " bytes, the limit is %d",
                   parse->note, PST_MAX_ARRAY_NOTE);
    if (pst__bytes_le64(b) != 0)
        return bad(parse, PST_EFORMAT, 24, "bytes that have no meaning are set");
    if (n_columns < 1)
        return bad(parse, PST_EFORMAT, 16, "no columns");
    struct pst__array_root root = parse->layout->root;
    if (pst__array_layout_init(parse->layout, (int)n_columns) < 0)
        return pst__fail(parse->err, PST_ENOMEM, "no memory for %" PRIu32 " columns", n_columns);
    parse->layout->root = root;
    parse->layout->n_rows = (int64_t)n_rows;
    parse->n_columns = (int)n_columns;
    return PST_OK;
}

static int parse_column(struct parse *parse)
{
    struct pst__bytes *b = &parse->footer;
    struct pst__array_column column = {0};
    size_t at = b->pos;
    column.dtype = pst__bytes_u8(b);
    column.is_ragged = pst__bytes_u8(b);
    column.ndim = pst__bytes_u8(b);
    size_t n = pst__bytes_u8(b);
    uint32_t zeros = pst__bytes_le32(b);
    if (column.is_ragged > 1 || column.ndim > PST_MAX_DIMS || zeros)
        return bad(parse, PST_EFORMAT, at, "a column of an unknown kind");
    for (int i = 0; i < column.ndim; i++) {
        uint64_t size = pst__bytes_le64(b);
        column.shape[i] = size > INT64_MAX ? -1 : (int64_t)size;
    }
    const uint8_t *name = pst__bytes_take(b, n);
    if (!name)
        return bad(parse, PST_EFORMAT, at, "a column that goes past the footer's end");
    memcpy(column.name, name, n);
    const char *problem = strlen(column.name) != n
                              ? "a name with a NUL"
                              : pst__array_layout_add_column(parse->layout, &column);
    return problem ? bad(parse, PST_EFORMAT, at, "a column with %s", problem) : PST_OK;
}

static int parse_note(struct parse *parse)
{
    size_t at = parse->footer.pos, n = parse->note;
    const uint8_t *text = pst__bytes_take(&parse->footer, n);
    if (!text)
        return bad(parse, PST_EFORMAT, at, "a note that goes past the footer's end");
    char *note = pst__alloc(n + 1, PST_MEM_HEAP);
    if (!note)
        return pst__fail(parse->err, PST_ENOMEM, "no memory for a note of %zu bytes", n);
    pst__free(parse->layout->note);
    parse->layout->note = note;
    memcpy(note, text, n);
    note[n] = 0;
    size_t good = 0, length;
    while (note[good] && (length = pst__utf8_length(note + good)) > 0)
        good += length;
    return good == n ? PST_OK : bad(parse, PST_EFORMAT, at + good, "a note that is no UTF-8");
}

static int parse_columns(struct parse *parse)
{
    int twin, rc = PST_OK;
    for (int i = 0; i < parse->n_columns && rc == PST_OK; i++)
        rc = parse_column(parse);
    if (rc < 0)
        return rc;
    if (pst__array_layout_twins(parse->layout, &twin) < 0)
        return pst__fail(parse->err, PST_ENOMEM, "no memory for %d columns", parse->n_columns);
    if (twin >= 0)
        return bad(parse, PST_EFORMAT, PST__ARRAY_FOOTER_HEAD, "two columns of one name");
    return parse_note(parse);
}

/* Is the range where data may be? */
static int is_inside(const struct parse *parse, uint64_t offset, uint64_t size)
{
    uint64_t end = parse->layout->root.file_size;
    return offset >= PST__ARRAY_DATA && offset <= end && size <= end - offset;
}

/* The end of the stream's data in the segments before; 0 where there are none. */
static uint64_t end_before(const struct pst__array_layout *layout, int s)
{
    for (size_t i = layout->n_segments; i-- > 0;) {
        const struct pst__array_extent *extent = pst__array_extent(layout, i, s);
        if (extent->offset > 0)
            return extent->offset + (uint64_t)(extent->n * layout->streams[s].element);
        if (extent->first == 0)
            break;
    }
    return 0;
}

static int check_place(struct parse *parse, int s, const struct pst__array_extent *extent,
                       size_t at)
{
    struct pst__array_layout *layout = parse->layout;
    int64_t element = layout->streams[s].element, size;
    if (__builtin_mul_overflow(extent->n, element, &size))
        return bad(parse, PST_ELIMIT, at, "%" PRId64 " elements of %" PRId64 " bytes", extent->n,
                   element);
    int64_t blocks = pst__array_extent_blocks(extent, element);
    if (blocks > PST_MAX_ARRAY_BLOCKS - layout->n_blocks)
        return bad(parse, PST_ELIMIT, at, "more than %" PRId64 " blocks", PST_MAX_ARRAY_BLOCKS);
    layout->n_blocks += blocks;
    if (blocks == 0) {
        if (extent->offset != 0 || extent->sums != 0)
            return bad(parse, PST_EFORMAT, at, "a place for no bytes");
        return PST_OK;
    }
    if (!is_inside(parse, extent->offset, (uint64_t)size) ||
        !is_inside(parse, extent->sums, pst__array_sums_size(blocks)))
        return bad(parse, PST_EFORMAT, at,
                   "data of %" PRId64 " bytes at %" PRIu64 ", their sums at %" PRIu64
                   ", outside of the file",
                   size, extent->offset, extent->sums);
    if (extent->offset % PST__ARRAY_PAGE != 0 && extent->offset != end_before(layout, s))
        return bad(parse, PST_EFORMAT, at, "data that begin at %" PRIu64, extent->offset);
    return PST_OK;
}

static int parse_extent(struct parse *parse, int s, int64_t n_rows,
                        struct pst__array_extent *extent)
{
    struct pst__bytes *b = &parse->footer;
    struct pst__array_stream *stream = &parse->layout->streams[s];
    size_t at = b->pos;
    extent->offset = pst__bytes_le64(b);
    uint64_t n = pst__bytes_le64(b), block = pst__bytes_le64(b);
    extent->sums = pst__bytes_le64(b);
    if (n > (uint64_t)(PST_MAX_TENSOR - stream->n) || block > PST_MAX_TENSOR)
        return bad(parse, PST_ELIMIT, at, "%" PRIu64 " elements in blocks of %" PRIu64, n, block);
    extent->first = stream->n;
    extent->n = (int64_t)n;
    extent->block = (int64_t)block;
    extent->first_block = parse->layout->n_blocks;
    if (block < 1)
        return bad(parse, PST_EFORMAT, at, "blocks of no elements");
    /* The items of a ragged column alone are not counted by rows. */
    int is_items = parse->layout->columns[stream->column].stream != s;
    if (!is_items && extent->n != n_rows)
        return bad(parse, PST_EFORMAT, at, "%" PRIu64 " elements for %" PRId64 " rows", n, n_rows);
    stream->n += extent->n;
    return check_place(parse, s, extent, at);
}

static int parse_segment(struct parse *parse)
{
    struct pst__array_layout *layout = parse->layout;
    size_t at = parse->footer.pos;
    uint64_t n = pst__bytes_le64(&parse->footer);
    if (n < 1 || n > (uint64_t)layout->n_rows)
        return bad(parse, PST_EFORMAT, at, "a segment of %" PRIu64 " rows", n);
    struct pst__array_extent *extent = pst__array_layout_grow(layout);
    if (!extent)
        return pst__fail(parse->err, PST_ENOMEM, "no memory for %" PRIu64 " segments",
                         parse->n_segments);
    for (int s = 0; s < layout->n_streams; s++) {
        int rc = parse_extent(parse, s, (int64_t)n, &extent[s]);
        if (rc < 0)
            return rc;
    }
    layout->n_segments++;
    return PST_OK;
}

static int parse_segments(struct parse *parse)
{
    const struct pst__array_layout *layout = parse->layout;
    uint64_t left = pst__bytes_left(&parse->footer), each = 8 + 32 * (uint64_t)layout->n_streams;
    if (parse->footer.over || parse->n_segments > left / each || left != parse->n_segments * each)
        return bad(parse, PST_EFORMAT, 8,
                   "%" PRIu64 " segments of %" PRIu64 " bytes in the %" PRIu64 " that are left",
                   parse->n_segments, each, left);
    for (uint64_t i = 0; i < parse->n_segments; i++) {
        int rc = parse_segment(parse);
        if (rc < 0)
            return rc;
    }
    /* Each column has a stream that is counted by rows; the first column's is the first. */
    if (layout->streams[0].n != layout->n_rows)
        return bad(parse, PST_EFORMAT, 0, "%" PRId64 " rows, %" PRId64 " in its segments",
                   layout->n_rows, layout->streams[0].n);
    return PST_OK;
}

static int read_footer(struct parse *parse, uint8_t **out)
{
    const struct pst__array_root *root = &parse->layout->root;
    const struct pst__array_bytes *file = parse->file;
    size_t n = (size_t)root->footer_size;
    uint8_t *bytes = *out = pst__alloc(n, PST_MEM_HEAP);
    if (!bytes)
        return pst__fail(parse->err, PST_ENOMEM, "no memory for a footer of %zu bytes", n);
    int rc = file->read(file->self, root->footer_offset, n, bytes, parse->err);
    if (rc < 0)
        return rc;
    parse->footer = pst__bytes_over(bytes, n);
    return pst__crc32c(0, bytes, n) == root->footer_crc
               ? PST_OK
               : bad(parse, PST_EFORMAT, 0, "the CRC of its footer of %zu bytes", n);
}

int pst__array_layout_read(struct pst__array_layout *layout, const struct pst__array_bytes *bytes,
                           struct pst_error *err)
{
    struct parse parse = {.layout = layout, .file = bytes, .err = err};
    uint8_t *footer = NULL;
    *layout = (struct pst__array_layout){0};
    int rc;
    if ((rc = read_roots(&parse)) < 0 || (rc = check_root(&parse)) < 0 ||
        (rc = read_footer(&parse, &footer)) < 0 || (rc = parse_head(&parse)) < 0 ||
        (rc = parse_columns(&parse)) < 0 || (rc = parse_segments(&parse)) < 0)
        goto done;
    if ((rc = pst__array_layout_join(layout)) < 0)
        pst__fail(err, rc, "no memory for %zu segments", layout->n_segments);
done:
    if (rc < 0)
        pst__array_layout_reset(layout);
    pst__free(footer);
    return rc;
}

int pst__array_is_ours(const void *begin, size_t n)
{
    const uint8_t *bytes = begin;
    size_t size = sizeof pst__array_magic;
    return (n >= size && memcmp(bytes, pst__array_magic, size) == 0) ||
           (n >= PST__ARRAY_PAGE + size &&
            memcmp(bytes + PST__ARRAY_PAGE, pst__array_magic, size) == 0);
}
