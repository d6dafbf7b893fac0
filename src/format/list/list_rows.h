/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_LIST_ROWS_H
#define PST_FORMAT_LIST_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>

/* The rows of a list of files, as its parsers find them. */

/* A row. The texts end in a NUL, hold no other, and die with the next row. */
struct pst__list_row {
    const char *path;
    const char *label; /* NULL: it is a number */
    int64_t number;
    int64_t line, offset; /* where the row begins: lines from 1, bytes from 0 */
};

struct pst__list_reader {
    const char *shown; /* the list's name, for messages */
    /* Which column or member is the path, which the label; by name, or where that is NULL by number
     * in a list without a header. */
    const char *path, *label;
    int path_column, label_column;
    char delimiter;
    int (*row)(void *self, const struct pst__list_row *row, struct pst_error *err);
    void *self;
};

/* RFC 4180, with lines that end in LF or CRLF, a byte order mark in front, and empty lines. */
int pst__csv_read(const struct pst__list_reader *reader, const uint8_t *data, size_t size,
                  struct pst_error *err);
/* One JSON object (RFC 8259) a line. */
int pst__jsonl_read(const struct pst__list_reader *reader, const uint8_t *data, size_t size,
                    struct pst_error *err);

#endif
