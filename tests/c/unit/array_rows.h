/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_ARRAY_ROWS_H
#define PST_TESTS_ARRAY_ROWS_H

#include <penstock/array_writer.h>

#include "check.h"
#include "unit/array_bytes.h"
#include "unit/format_tree.h"

/* Array files whose content follows from the number of the row, so that any of them can be checked
 * knowing nothing else. */

/* In memory where that is possible: each commit flushes some times, and no test cuts the power. */
static inline void rows_tree_open(struct tree *tree)
{
    if (access("/dev/shm", W_OK) == 0)
        CHECK_INT(setenv("TMPDIR", "/dev/shm", 1), 0);
    tree_open(tree);
}

enum { ROWS_POINT, ROWS_LABEL, ROWS_TEXT, ROWS_NONE, ROWS_BOXES, ROWS_COLUMNS };

static const struct pst_array_column rows_columns[ROWS_COLUMNS] = {
    {.name = "point", .dtype = PST_F32, .ndim = 1, .shape = {3}},
    {.name = "label", .dtype = PST_I64},
    {.name = "text", .dtype = PST_U8, .is_ragged = 1},
    {.name = "none", .dtype = PST_F64, .ndim = 2, .shape = {4, 0}},
    {.name = "boxes \xc3\xa9", .dtype = PST_I16, .ndim = 1, .shape = {4}, .is_ragged = 1},
};
/* Bytes of a row, or of an item. */
static const size_t rows_element[ROWS_COLUMNS] = {12, 8, 1, 0, 8};

static inline uint8_t rows_byte(int column, uint64_t i)
{
    uint64_t v = ((uint64_t)column << 40 | i / 8) * 0x9e3779b97f4a7c15u;
    v = (v ^ v >> 31) * 0xbf58476d1ce4e5b9u;
    return (uint8_t)(v >> (8 * (i % 8)));
}

static inline int64_t rows_length(int column, int64_t row)
{
    if (column == ROWS_TEXT)
        return row % 11 == 0 ? 40 : row % 4;
    return row / 7 % 2 ? row % 3 : 0; /* boxes: none for a while */
}

static inline int64_t rows_end(int column, int64_t n_rows)
{
    int64_t end = 0;
    for (int64_t row = 0; row < n_rows; row++)
        end += rows_length(column, row);
    return end;
}

/* Of the whole file, or of the rows from first on. */
static inline void rows_config(struct pst_array_writer_config *config,
                               struct pst_array_column columns[ROWS_COLUMNS], int64_t first,
                               int64_t n)
{
    pst_array_writer_config_init(config);
    memcpy(columns, rows_columns, sizeof rows_columns);
    config->columns = columns;
    config->n_columns = ROWS_COLUMNS;
    config->rows = n;
    for (int c = 0; n >= 0 && c < ROWS_COLUMNS; c++)
        if (columns[c].is_ragged)
            columns[c].items = rows_end(c, first + n) - rows_end(c, first);
}

static inline uint8_t *rows_bytes(int column, uint64_t from, size_t n)
{
    uint8_t *bytes = malloc(n + 1);
    CHECK(bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = rows_byte(column, from + i);
    return bytes;
}

static inline int rows_write(struct pst_array_writer *writer, int64_t first, int64_t n,
                             struct pst_error *err)
{
    struct pst_array_rows rows[ROWS_COLUMNS] = {{0}};
    uint8_t *data[ROWS_COLUMNS];
    int64_t *lengths[ROWS_COLUMNS] = {0};
    for (int c = 0; c < ROWS_COLUMNS; c++) {
        int64_t from = first, count = n;
        if (rows_columns[c].is_ragged) {
            from = rows_end(c, first);
            count = rows_end(c, first + n) - from;
            lengths[c] = calloc((size_t)n + 1, sizeof **lengths);
            CHECK(lengths[c]);
            for (int64_t i = 0; i < n; i++)
                lengths[c][i] = rows_length(c, first + i);
        }
        data[c] = rows_bytes(c, (uint64_t)from * rows_element[c], (size_t)count * rows_element[c]);
        rows[c] = (struct pst_array_rows){data[c], lengths[c]};
    }
    int rc = pst_array_writer_write(writer, rows, n, err);
    for (int c = 0; c < ROWS_COLUMNS; c++) {
        free(data[c]);
        free(lengths[c]);
    }
    return rc;
}

/* All elements of a stream through its runs; PST_ECALLBACK where a byte is another one. */
static inline int rows_compare(struct pst__array_file *file, int s, int column,
                               struct pst_error *err)
{
    const struct pst__array_stream *stream = &file->layout.streams[s];
    int rc = pst__array_verify(file, s, 0, stream->n, err);
    for (size_t i = 0; i < stream->n_runs && rc == PST_OK; i++) {
        const struct pst__array_run *run = &stream->runs[i];
        size_t n = (size_t)(run->n * stream->element);
        uint8_t *bytes = malloc(n + 1);
        CHECK(bytes && pst__array_run_of(stream, run->first) == run);
        rc = file->bytes.read(file->bytes.self, run->offset, n, bytes, err);
        for (size_t k = 0; k < n && rc == PST_OK; k++)
            if (bytes[k] != rows_byte(column, (uint64_t)(run->first * stream->element) + k))
                rc = PST_ECALLBACK;
        free(bytes);
    }
    return rc;
}

static inline int rows_compare_bounds(struct pst__array_file *file, int column,
                                      struct pst_error *err)
{
    int64_t n = file->layout.n_rows, end = 0;
    int64_t *bounds = calloc((size_t)n + 1, sizeof *bounds);
    CHECK(bounds);
    int rc = pst__array_bounds(file, column, 0, n, bounds, err);
    for (int64_t i = 0; i < n && rc == PST_OK; i++) {
        int64_t pair[2];
        end += rows_length(column, i);
        rc = pst__array_bounds(file, column, i, 1, pair, err);
        if (rc == PST_OK &&
            (bounds[i + 1] != end || pair[0] != bounds[i] || pair[1] != bounds[i + 1]))
            rc = PST_ECALLBACK;
    }
    free(bounds);
    return rc;
}

/* Reads all there is. The number of rows, or what is wrong: PST_ECALLBACK for values that are not
 * those of their rows. */
static inline int64_t rows_check(const uint8_t *data, size_t size, struct pst_error *err)
{
    struct array_bytes bytes = {data, size};
    struct pst__array_bytes source = array_bytes_source(&bytes);
    struct pst__array_file file;
    int rc = pst__array_file_init(&file, &source, 0, err);
    if (rc < 0)
        return rc;
    CHECK_INT(file.layout.n_columns, ROWS_COLUMNS);
    for (int c = 0; c < ROWS_COLUMNS && rc == PST_OK; c++) {
        const struct pst__array_column *column = &file.layout.columns[c];
        CHECK_STR(column->name, rows_columns[c].name);
        CHECK_INT(column->dtype, rows_columns[c].dtype);
        CHECK_INT(column->is_ragged, rows_columns[c].is_ragged);
        CHECK(memcmp(column->shape, rows_columns[c].shape, sizeof column->shape) == 0);
        if (column->is_ragged)
            rc = rows_compare_bounds(&file, c, err);
        if (rc == PST_OK)
            rc = rows_compare(&file, column->stream + column->is_ragged, c, err);
    }
    int64_t n_rows = file.layout.n_rows;
    pst__array_file_reset(&file);
    return rc < 0 ? rc : n_rows;
}

static inline uint8_t *rows_load(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    CHECK(file && fseek(file, 0, SEEK_END) == 0);
    long n = ftell(file);
    CHECK(n >= 0 && fseek(file, 0, SEEK_SET) == 0);
    uint8_t *bytes = malloc((size_t)n + 1);
    CHECK(bytes && fread(bytes, 1, (size_t)n, file) == (size_t)n);
    CHECK_INT(fclose(file), 0);
    *size = (size_t)n;
    return bytes;
}

/* The rows of a file, which are right. */
static inline int64_t rows_of(const char *path)
{
    struct pst_error err = {0};
    size_t size;
    uint8_t *bytes = rows_load(path, &size);
    int64_t n = rows_check(bytes, size, &err);
    if (n < 0)
        check_fail(__FILE__, __LINE__, "%s: %s", pst_status_name((int)n), err.message);
    free(bytes);
    return n;
}

/* A file of n rows in two segments, of small blocks. */
static inline void rows_write_parts(const char *path, int64_t n)
{
    struct pst_array_writer_config config;
    struct pst_array_column columns[ROWS_COLUMNS];
    struct pst_array_writer *writer;
    rows_config(&config, columns, 0, -1);
    config.block_bytes = 64;
    CHECK_INT(pst_array_writer_open(&writer, path, &config, NULL), 0);
    for (int part = 0; part < 2; part++) {
        CHECK_INT(rows_write(writer, part * n / 2, n / 2, NULL), 0);
        CHECK_INT(pst_array_writer_commit(writer, NULL), 0);
    }
    pst_array_writer_close(&writer);
}

#endif
