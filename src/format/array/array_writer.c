/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/array_writer.h>

#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"
#include "base/thread.h"
#include "base/utf8.h"
#include "format/array/array_segment.h"
#include "format/array/array_store.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "elements are written as they lie in memory");

struct pst_array_writer {
    struct pst__array_store store;
    struct pst__array_layout layout;
    struct pst__array_segment segment;  /* the one that rows go into */
    int64_t rows_left;                  /* of those announced; -1: nobody knows */
    int has_items;                      /* those of all ragged columns were announced, and rows */
    int64_t *items_left, *items_passed; /* of each column; while rows are taken */
    int keep, is_new_note;
    int64_t committed; /* rows */
    uint32_t generation;
    struct pst_error error; /* the first one, after which there is nothing but to close */
};

/* --- columns --- */

static int take_column(struct pst__array_layout *layout, const struct pst_array_column *from,
                       struct pst_error *err)
{
    struct pst__array_column column = {
        .dtype = from->dtype, .ndim = from->ndim, .is_ragged = from->is_ragged != 0};
    char shown[64];
    size_t n = from->name ? strnlen(from->name, sizeof column.name) : 0;
    const char *problem = n == sizeof column.name ? "a name of more than 255 bytes" : NULL;
    memcpy(column.name, from->name ? from->name : "", n < sizeof column.name ? n : 0);
    if (from->ndim > 0 && from->ndim <= PST_MAX_DIMS)
        memcpy(column.shape, from->shape, (size_t)from->ndim * sizeof *from->shape);
    if (!problem && from->items < 0)
        problem = "a negative number of items";
    if (!problem)
        problem = pst__array_layout_add_column(layout, &column);
    return problem ? pst__fail(err, PST_EINVAL, "column '%s' has %s",
                               pst__printable(shown, sizeof shown, column.name), problem)
                   : PST_OK;
}

static int take_columns(struct pst__array_layout *layout,
                        const struct pst_array_writer_config *config, struct pst_error *err)
{
    int twin, rc;
    char shown[64];
    *layout = (struct pst__array_layout){0};
    if (config->n_columns < 1 || config->n_columns > PST_MAX_ARRAY_COLUMNS)
        return pst__fail(err, PST_EINVAL, "%zu columns, 1 to %d are possible", config->n_columns,
                         PST_MAX_ARRAY_COLUMNS);
    if (pst__array_layout_init(layout, (int)config->n_columns) < 0)
        return pst__fail(err, PST_ENOMEM, "no memory for %zu columns", config->n_columns);
    for (size_t i = 0; i < config->n_columns; i++)
        if ((rc = take_column(layout, &config->columns[i], err)) < 0)
            return rc;
    if (pst__array_layout_twins(layout, &twin) < 0)
        return pst__fail(err, PST_ENOMEM, "no memory for %zu columns", config->n_columns);
    if (twin >= 0)
        return pst__fail(err, PST_EINVAL, "two columns have the name '%s'",
                         pst__printable(shown, sizeof shown, layout->columns[twin].name));
    return PST_OK;
}

static int is_same(const struct pst__array_column *a, const struct pst__array_column *b)
{
    return strcmp(a->name, b->name) == 0 && a->dtype == b->dtype && a->ndim == b->ndim &&
           a->is_ragged == b->is_ragged && memcmp(a->shape, b->shape, sizeof a->shape) == 0;
}

static int compare_columns(const struct pst_array_writer *writer,
                           const struct pst__array_layout *asked, struct pst_error *err)
{
    const struct pst__array_layout *there = &writer->layout;
    char shown[64];
    if (there->n_columns != asked->n_columns)
        return pst__fail(err, PST_EINVAL, "'%s' has %d columns, not %d", writer->store.shown,
                         there->n_columns, asked->n_columns);
    for (int i = 0; i < there->n_columns; i++)
        if (!is_same(&there->columns[i], &asked->columns[i]))
            return pst__fail(err, PST_EINVAL, "column %d of '%s' is another one than '%s'", i,
                             writer->store.shown,
                             pst__printable(shown, sizeof shown, asked->columns[i].name));
    return PST_OK;
}

/* --- opening --- */

/* A new file's columns are those that were asked for, another's must be. */
static int match_columns(struct pst_array_writer *writer, struct pst__array_layout *asked,
                         struct pst_error *err)
{
    if (asked->n_columns == 0)
        return PST_OK;
    if (writer->layout.n_columns > 0)
        return compare_columns(writer, asked, err);
    writer->layout = *asked;
    *asked = (struct pst__array_layout){0};
    return PST_OK;
}

static int open_store(struct pst_array_writer *writer, const char *path,
                      const struct pst_array_writer_config *config, struct pst_error *err)
{
    struct pst__array_layout asked = {0};
    int rc = config->columns ? take_columns(&asked, config, err) : PST_OK;
    if (rc == PST_OK && config->mode == PST_ARRAY_APPEND)
        rc = pst__array_store_append(&writer->store, path, &writer->layout, err);
    else if (rc == PST_OK)
        rc = pst__array_store_create(&writer->store, path, config->mode == PST_ARRAY_RESUME,
                                     &writer->layout, err);
    if (rc == PST_OK)
        rc = match_columns(writer, &asked, err);
    pst__array_layout_reset(&asked);
    return rc;
}

/* What the caller knows of what is to come: rows, and the items of each ragged column. */
static int take_promise(struct pst_array_writer *writer,
                        const struct pst_array_writer_config *config, int *is_known,
                        struct pst_error *err)
{
    const struct pst__array_layout *layout = &writer->layout;
    int is_append = config->mode == PST_ARRAY_APPEND;
    *is_known = config->rows >= 0;
    if (config->rows > PST_MAX_TENSOR)
        return pst__fail(err, PST_EINVAL, "%" PRId64 " rows", config->rows);
    writer->rows_left = config->rows < 0 ? -1 : config->rows - (is_append ? 0 : layout->n_rows);
    if (config->rows >= 0 && writer->rows_left < 0)
        return pst__fail(err, PST_EINVAL,
                         "'%s' has %" PRId64 " rows already, %" PRId64 " were to be written",
                         writer->store.shown, layout->n_rows, config->rows);
    for (int c = 0; c < layout->n_columns; c++) {
        const struct pst__array_column *column = &layout->columns[c];
        int64_t items = config->columns && column->is_ragged ? config->columns[c].items : 0;
        *is_known &= !column->is_ragged || items > 0;
        writer->items_left[c] = items;
        if (items > 0 && !is_append)
            writer->items_left[c] -= layout->streams[column->stream + 1].n;
        if (items > 0 && writer->items_left[c] < 0)
            return pst__fail(err, PST_EINVAL, "'%s' has more items already than were to be written",
                             writer->store.shown);
    }
    return PST_OK;
}

static int open_writer(struct pst_array_writer *writer, const char *path,
                       const struct pst_array_writer_config *config, struct pst_error *err)
{
    int is_known, rc = open_store(writer, path, config, err);
    if (rc < 0)
        return rc;
    size_t n = (size_t)writer->layout.n_columns;
    writer->committed = writer->layout.n_rows;
    writer->items_left = pst__calloc(n, sizeof *writer->items_left, PST_MEM_HEAP);
    writer->items_passed = pst__calloc(n, sizeof *writer->items_passed, PST_MEM_HEAP);
    if (!writer->items_left || !writer->items_passed)
        return pst__fail(err, PST_ENOMEM, "no memory for %zu columns", n);
    if ((config->note && (rc = pst_array_writer_set_note(writer, config->note, err)) < 0) ||
        (rc = take_promise(writer, config, &is_known, err)) < 0)
        return rc;
    writer->has_items = is_known;
    return pst__array_segment_init(&writer->segment, &writer->store, &writer->layout, config,
                                   is_known, err);
}

int pst_array_writer_open(struct pst_array_writer **out, const char *path,
                          const struct pst_array_writer_config *config, struct pst_error *err)
{
    PST_REQUIRE(out, err, "pst_array_writer_open: out is NULL");
    *out = NULL;
    PST_REQUIRE(path && config, err, "pst_array_writer_open: path or config is NULL");
    PST_REQUIRE(config->struct_size == sizeof *config, err,
                "pst_array_writer_open: struct_size is %zu", config->struct_size);
    PST_REQUIRE(config->mode >= PST_ARRAY_CREATE && config->mode <= PST_ARRAY_RESUME, err,
                "pst_array_writer_open: mode is %d", config->mode);
    PST_REQUIRE(config->columns || (config->mode == PST_ARRAY_APPEND && config->n_columns == 0),
                err, "pst_array_writer_open: columns is NULL");
    struct pst_array_writer *writer = pst__calloc(1, sizeof *writer, PST_MEM_HEAP);
    if (!writer)
        return pst__fail(err, PST_ENOMEM, "no memory for a writer");
    writer->store.fd = -1;
    writer->generation = pst__fork_generation();
    writer->keep = config->keep || config->mode == PST_ARRAY_RESUME;
    int rc = open_writer(writer, path, config, err);
    if (rc < 0)
        pst_array_writer_close(&writer);
    *out = writer;
    return rc;
}

int pst_array_writer_columns(const struct pst_array_writer *writer,
                             struct pst_array_column *columns, int most)
{
    const struct pst__array_layout *layout = &writer->layout;
    for (int i = 0; i < layout->n_columns && i < most; i++) {
        const struct pst__array_column *from = &layout->columns[i];
        columns[i] = (struct pst_array_column){.name = from->name,
                                               .dtype = from->dtype,
                                               .ndim = from->ndim,
                                               .is_ragged = from->is_ragged};
        memcpy(columns[i].shape, from->shape, sizeof from->shape);
    }
    return layout->n_columns;
}

int64_t pst_array_writer_rows(const struct pst_array_writer *writer)
{
    return writer->layout.n_rows + writer->segment.n_rows;
}

const char *pst_array_writer_note(const struct pst_array_writer *writer)
{
    return writer->layout.note;
}

/* --- rows --- */

static int check_open(const struct pst_array_writer *writer, struct pst_error *err)
{
    if (pst__fork_generation() != writer->generation)
        return pst__fail(err, PST_EFORKED, "the writer of '%s' belongs to the parent process",
                         writer->store.shown);
    if (writer->error.status < 0)
        return pst__fail(err, PST_ECLOSED, "'%s' cannot be written any more, since: %s",
                         writer->store.shown, writer->error.message);
    return PST_OK;
}

/* The first failure of the file is the last call that does anything. */
static int settle(struct pst_array_writer *writer, int rc, const struct pst_error *why,
                  struct pst_error *err)
{
    if (rc >= 0)
        return rc;
    writer->error = *why;
    if (err && err->status >= 0)
        *err = *why;
    return rc;
}

static int check_lengths(const struct pst_array_writer *writer, int c,
                         const struct pst_array_rows *rows, int64_t n_rows, struct pst_error *err)
{
    const struct pst__array_layout *layout = &writer->layout;
    const struct pst__array_column *column = &layout->columns[c];
    const struct pst__array_stream *items = &layout->streams[column->stream + 1];
    int64_t total = 0, bytes, most = PST_MAX_TENSOR - items->n;
    if (!rows->lengths)
        return pst__fail(err, PST_EINVAL, "column '%s' is ragged, and has no lengths",
                         column->name);
    for (int64_t i = 0; i < n_rows; i++)
        if (rows->lengths[i] < 0 || rows->lengths[i] > most - total)
            return pst__fail(err, PST_EINVAL,
                             "row %" PRId64 " of column '%s' has a length of %" PRId64, i,
                             column->name, rows->lengths[i]);
        else
            total += rows->lengths[i];
    if (__builtin_mul_overflow(total, items->element, &bytes))
        return pst__fail(err, PST_EINVAL, "column '%s' has %" PRId64 " items", column->name, total);
    if (writer->has_items && total > writer->items_left[c])
        return pst__fail(err, PST_EINVAL,
                         "column '%s' has %" PRId64 " items, only %" PRId64 " are left of those "
                         "announced",
                         column->name, total, writer->items_left[c]);
    return rows->data || bytes == 0
               ? PST_OK
               : pst__fail(err, PST_EINVAL, "column '%s' has no data", column->name);
}

static int check_rows(const struct pst_array_writer *writer, const struct pst_array_rows *columns,
                      int64_t n_rows, struct pst_error *err)
{
    const struct pst__array_layout *layout = &writer->layout;
    if (n_rows < 0 || n_rows > PST_MAX_TENSOR - pst_array_writer_rows(writer))
        return pst__fail(err, PST_EINVAL, "%" PRId64 " rows", n_rows);
    if (writer->rows_left >= 0 && n_rows > writer->rows_left)
        return pst__fail(err, PST_EINVAL,
                         "%" PRId64 " rows, only %" PRId64 " are left of those announced", n_rows,
                         writer->rows_left);
    for (int c = 0; c < layout->n_columns; c++) {
        const struct pst__array_column *column = &layout->columns[c];
        int64_t bytes;
        if (column->is_ragged) {
            int rc = check_lengths(writer, c, &columns[c], n_rows, err);
            if (rc < 0)
                return rc;
        } else if (columns[c].lengths) {
            return pst__fail(err, PST_EINVAL, "column '%s' is not ragged, and has lengths",
                             column->name);
        } else if (__builtin_mul_overflow(n_rows, layout->streams[column->stream].element,
                                          &bytes) ||
                   (bytes > 0 && !columns[c].data)) {
            return pst__fail(err, PST_EINVAL, "column '%s' has no data for %" PRId64 " rows",
                             column->name, n_rows);
        }
    }
    return PST_OK;
}

/* How many of the rows from `row` on fill what may wait, and at least one. */
static int64_t count_rows(const struct pst_array_writer *writer,
                          const struct pst_array_rows *columns, int64_t row, int64_t n_rows)
{
    const struct pst__array_layout *layout = &writer->layout;
    const struct pst__array_segment *segment = &writer->segment;
    uint64_t room = segment->waiting < segment->most ? segment->most - segment->waiting : 0;
    uint64_t each = 0, used = 0;
    int n_ragged = 0;
    for (int c = 0; c < layout->n_columns; c++) {
        each += (uint64_t)layout->streams[layout->columns[c].stream].element;
        n_ragged += layout->columns[c].is_ragged;
    }
    if (n_ragged == 0) {
        int64_t n = each > 0 && room / each < (uint64_t)(n_rows - row) ? (int64_t)(room / each)
                                                                       : n_rows - row;
        return n > 0 ? n : 1;
    }
    int64_t n = 0;
    for (; row + n < n_rows && (n == 0 || used < room); n++) {
        used += each;
        for (int c = 0; c < layout->n_columns; c++)
            if (columns[c].lengths)
                used += (uint64_t)(columns[c].lengths[row + n] *
                                   layout->streams[layout->columns[c].stream + 1].element);
    }
    return n;
}

/* The ends of n rows of a ragged column, and their items. */
static int take_ragged(struct pst_array_writer *writer, int c, const struct pst_array_rows *rows,
                       int64_t row, int64_t n, struct pst_error *err)
{
    struct pst__array_segment *segment = &writer->segment;
    int s = writer->layout.columns[c].stream, rc = PST_OK;
    const struct pst__array_stream *items = &writer->layout.streams[s + 1];
    int64_t begin = items->n + segment->streams[s + 1].n, end = begin, ends[256];
    for (int64_t done = 0; done < n && rc == PST_OK;) {
        int64_t part = 0;
        for (; part < (int64_t)PST_COUNTOF(ends) && done < n; part++, done++)
            ends[part] = end += rows->lengths[row + done];
        rc = pst__array_segment_add(segment, s, ends, part, err);
    }
    if (rc < 0)
        return rc;
    const char *data = rows->data;
    size_t skip = (size_t)(writer->items_passed[c] * items->element);
    writer->items_passed[c] += end - begin;
    return pst__array_segment_add(segment, s + 1, skip > 0 ? data + skip : data, end - begin, err);
}

/* n rows from `row` on, of all columns. */
static int take_rows(struct pst_array_writer *writer, const struct pst_array_rows *columns,
                     int64_t row, int64_t n, struct pst_error *err)
{
    struct pst__array_segment *segment = &writer->segment;
    for (int c = 0; c < writer->layout.n_columns; c++) {
        const struct pst__array_column *column = &writer->layout.columns[c];
        size_t skip = (size_t)(row * writer->layout.streams[column->stream].element);
        const char *data = columns[c].data;
        int rc = column->is_ragged ? take_ragged(writer, c, &columns[c], row, n, err)
                                   : pst__array_segment_add(segment, column->stream,
                                                            skip > 0 ? data + skip : data, n, err);
        if (rc < 0)
            return rc;
    }
    segment->n_rows += n;
    return pst__array_segment_relieve(segment, err);
}

int pst_array_writer_write(struct pst_array_writer *writer, const struct pst_array_rows *columns,
                           int64_t n_rows, struct pst_error *err)
{
    PST_REQUIRE(writer && columns, err, "pst_array_writer_write: writer or columns is NULL");
    struct pst_error why = {0};
    int rc = check_open(writer, err);
    if (rc < 0 || (rc = check_rows(writer, columns, n_rows, err)) < 0)
        return rc;
    memset(writer->items_passed, 0,
           (size_t)writer->layout.n_columns * sizeof *writer->items_passed);
    for (int64_t row = 0; row < n_rows && rc == PST_OK;) {
        int64_t n = count_rows(writer, columns, row, n_rows);
        rc = take_rows(writer, columns, row, n, &why);
        row += n;
    }
    if (rc < 0)
        return settle(writer, rc, &why, err);
    if (writer->rows_left >= 0)
        writer->rows_left -= n_rows;
    for (int c = 0; writer->has_items && c < writer->layout.n_columns; c++)
        writer->items_left[c] -= writer->items_passed[c];
    return PST_OK;
}

/* --- what is there for good --- */

int pst_array_writer_set_note(struct pst_array_writer *writer, const char *note,
                              struct pst_error *err)
{
    PST_REQUIRE(writer && note, err, "pst_array_writer_set_note: writer or note is NULL");
    int rc = check_open(writer, err);
    if (rc < 0)
        return rc;
    size_t n = strnlen(note, PST_MAX_ARRAY_NOTE + 1), good = 0, length;
    if (n > PST_MAX_ARRAY_NOTE)
        return pst__fail(err, PST_EINVAL, "a note of more than %d bytes", PST_MAX_ARRAY_NOTE);
    while (note[good] && (length = pst__utf8_length(note + good)) > 0)
        good += length;
    if (good < n)
        return pst__fail(err, PST_EINVAL, "a note that is no UTF-8, at byte %zu", good);
    if (strcmp(note, writer->layout.note) == 0)
        return PST_OK;
    char *own = pst__alloc(n + 1, PST_MEM_HEAP);
    if (!own)
        return pst__fail(err, PST_ENOMEM, "no memory for a note of %zu bytes", n);
    memcpy(own, note, n + 1);
    pst__free(writer->layout.note);
    writer->layout.note = own;
    writer->is_new_note = 1;
    return PST_OK;
}

static int commit(struct pst_array_writer *writer, int show, struct pst_error *err)
{
    struct pst__array_store *store = &writer->store;
    int rc = pst__array_segment_end(&writer->segment, err);
    if (rc < 0)
        return rc;
    if (store->root.sequence == 0 || writer->is_new_note ||
        writer->layout.n_rows != writer->committed) {
        if ((rc = pst__array_store_commit(store, &writer->layout, err)) < 0)
            return rc;
        writer->committed = writer->layout.n_rows;
        writer->is_new_note = 0;
    }
    return show && store->is_hidden ? pst__array_store_show(store, err) : PST_OK;
}

int pst_array_writer_checkpoint(struct pst_array_writer *writer, struct pst_error *err)
{
    PST_REQUIRE(writer, err, "pst_array_writer_checkpoint: writer is NULL");
    struct pst_error why = {0};
    int rc = check_open(writer, err);
    return rc < 0 ? rc : settle(writer, commit(writer, 0, &why), &why, err);
}

int pst_array_writer_commit(struct pst_array_writer *writer, struct pst_error *err)
{
    PST_REQUIRE(writer, err, "pst_array_writer_commit: writer is NULL");
    struct pst_error why = {0};
    int rc = check_open(writer, err);
    return rc < 0 ? rc : settle(writer, commit(writer, 1, &why), &why, err);
}

void pst_array_writer_close(struct pst_array_writer **writer)
{
    struct pst_array_writer *own = *writer;
    *writer = NULL;
    if (!own)
        return;
    /* In a child process the file is still the parent's. */
    if (pst__fork_generation() == own->generation)
        pst__array_store_close(&own->store, own->keep);
    else if (own->store.fd >= 0)
        pst__sys_close(own->store.fd);
    pst__array_segment_reset(&own->segment);
    pst__array_layout_reset(&own->layout);
    pst__free(own->items_passed);
    pst__free(own->items_left);
    pst__free(own);
}
