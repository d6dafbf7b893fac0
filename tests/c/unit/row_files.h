/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_ROW_FILES_H
#define PST_TESTS_ROW_FILES_H

#include "base/mem.h"
#include "check.h"
#include "format/rows/columns.h"
#include "unit/format_tree.h"

/* A file of rows whose bytes tell which row they are of. */

static inline uint8_t row_byte(int64_t row, size_t at)
{
    return (uint8_t)((uint64_t)row * 31 + at * 7 + (uint64_t)row / 251);
}

static inline void rows_write(const struct tree *tree, const char *name, int64_t n, size_t bytes,
                              size_t head)
{
    char path[TREE_PATH];
    FILE *file = fopen(tree_path(tree, path, name), "wb");
    CHECK(file);
    for (size_t i = 0; i < head; i++)
        CHECK(fputc('h', file) != EOF);
    for (int64_t row = 0; row < n; row++)
        for (size_t at = 0; at < bytes; at++)
            CHECK(fputc(row_byte(row, at), file) != EOF);
    CHECK_INT(fclose(file), 0);
}

/* A column of n rows of so many bytes, head bytes into the file. */
static inline struct pst__column rows_column(const struct tree *tree, const char *name,
                                             enum pst__access access, int64_t n, size_t bytes,
                                             size_t head)
{
    char path[TREE_PATH];
    struct pst__column column = {.dtype = PST_U8,
                                 .ndim = 2,
                                 .shape = {n, (int64_t)bytes},
                                 .strides = {(int64_t)bytes, 1},
                                 .offset = head};
    CHECK_INT(pst__source_open(&column.source, tree_path(tree, path, name), access, NULL), PST_OK);
    column.name = pst__alloc(strlen(name) + 1, PST_MEM_HEAP);
    CHECK(column.name);
    memcpy(column.name, name, strlen(name) + 1);
    return column;
}

static inline struct pst_dataset *rows_dataset(const struct tree *tree, const char *name,
                                               enum pst__access access, int64_t n, size_t bytes)
{
    rows_write(tree, name, n, bytes, 100);
    struct pst__column column = rows_column(tree, name, access, n, bytes, 100);
    struct pst_dataset *dataset;
    CHECK_INT(pst__columns_dataset(&dataset, &column, 1, NULL), PST_OK);
    CHECK(!column.source && !column.name);
    return dataset;
}

static inline void check_row(const uint8_t *data, int64_t row, size_t bytes)
{
    for (size_t at = 0; at < bytes; at++)
        CHECK_INT(data[at], row_byte(row, at));
}

#endif
