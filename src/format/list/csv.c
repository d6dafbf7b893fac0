/* SPDX-License-Identifier: Apache-2.0 */
#include "format/list/list_rows.h"

#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/strings.h"

#define MAX_COLUMNS 1024

#define SHOWN 120

struct csv {
    const struct pst__list_reader *reader;
    const uint8_t *data;
    size_t size, at;
    int64_t line; /* of data[at] */
    /* The row: its fields' texts one after another, and where they end. */
    struct pst__strings fields;
    void *text; /* one field */
    size_t text_used, text_room;
};

static int bad(const struct csv *csv, struct pst_error *err, const char *expected,
               const char *found)
{
    char shown[SHOWN];
    return pst__fail_at(err, PST_EFORMAT, (int64_t)csv->at,
                        "%s: line %" PRId64 ", byte %zu: expected %s, found %s", csv->reader->shown,
                        csv->line, csv->at, expected, pst__printable(shown, sizeof shown, found));
}

static const char *found_at(const struct csv *csv, char out[2])
{
    if (csv->at == csv->size)
        return "the end of the file";
    if (csv->data[csv->at] == 0)
        return "a NUL";
    out[0] = (char)csv->data[csv->at];
    out[1] = 0;
    return out;
}

static int put(struct csv *csv, uint8_t byte)
{
    if (csv->text_used >= PST_MAX_PATH && byte != 0)
        return PST_ELIMIT;
    int rc = pst__grow(&csv->text, &csv->text_room, csv->text_used + 1, 1);
    if (rc == PST_OK)
        ((char *)csv->text)[csv->text_used++] = (char)byte;
    return rc;
}

static int is_end_of_line(const struct csv *csv)
{
    return csv->data[csv->at] == '\n' || (csv->data[csv->at] == '\r' && csv->at + 1 < csv->size &&
                                          csv->data[csv->at + 1] == '\n');
}

static int quoted(struct csv *csv, struct pst_error *err)
{
    for (csv->at++;; csv->at++) {
        if (csv->at == csv->size)
            return bad(csv, err, "a closing quotation mark", "the end of the file");
        uint8_t byte = csv->data[csv->at];
        if (byte == 0)
            return bad(csv, err, "text", "a NUL");
        if (byte == '"') {
            if (csv->at + 1 == csv->size || csv->data[csv->at + 1] != '"')
                break;
            csv->at++;
        }
        csv->line += byte == '\n';
        int rc = put(csv, byte);
        if (rc < 0)
            return rc;
    }
    csv->at++;
    char found[2];
    if (csv->at < csv->size && csv->data[csv->at] != (uint8_t)csv->reader->delimiter &&
        !is_end_of_line(csv))
        return bad(csv, err, "the end of the field behind its quotation mark",
                   found_at(csv, found));
    return PST_OK;
}

static int plain(struct csv *csv, struct pst_error *err)
{
    for (; csv->at < csv->size; csv->at++) {
        uint8_t byte = csv->data[csv->at];
        char found[2];
        if (byte == (uint8_t)csv->reader->delimiter || is_end_of_line(csv))
            break;
        if (byte == 0 || byte == '"' || byte == '\r')
            return bad(csv, err, "text without quotation marks", found_at(csv, found));
        int rc = put(csv, byte);
        if (rc < 0)
            return rc;
    }
    return PST_OK;
}

static int field(struct csv *csv, struct pst_error *err)
{
    csv->text_used = 0;
    int is_quoted = csv->at < csv->size && csv->data[csv->at] == '"';
    int rc = is_quoted ? quoted(csv, err) : plain(csv, err);
    if (rc == PST_ELIMIT)
        return pst__fail_at(err, rc, (int64_t)csv->at,
                            "%s: line %" PRId64 ": a field has over %d bytes", csv->reader->shown,
                            csv->line, PST_MAX_PATH);
    if (rc == PST_OK)
        rc = put(csv, 0);
    return rc == PST_OK ? pst__strings_add(&csv->fields, NULL, csv->text) : rc;
}

/* The fields of a row; its line's end is passed. */
static int row(struct csv *csv, struct pst_error *err)
{
    pst__strings_clear(&csv->fields);
    for (;;) {
        int rc = field(csv, err);
        if (rc < 0)
            return rc;
        if (csv->fields.n > MAX_COLUMNS)
            return bad(csv, err, "at most 1024 columns", "more");
        if (csv->at == csv->size)
            return PST_OK;
        if (csv->data[csv->at] != (uint8_t)csv->reader->delimiter)
            break;
        csv->at++;
    }
    csv->at += csv->data[csv->at] == '\r' ? 2 : 1;
    csv->line++;
    return PST_OK;
}

static int find(struct csv *csv, const char *name, size_t *column, struct pst_error *err)
{
    char shown[SHOWN];
    size_t n_found = 0;
    for (size_t i = 0; i < csv->fields.n; i++)
        if (strcmp(pst__strings_at(&csv->fields, i), name) == 0) {
            *column = i;
            n_found++;
        }
    if (n_found == 1)
        return PST_OK;
    return pst__fail_at(err, PST_EFORMAT, 0,
                        "%s: line 1: expected one column '%s' in the header, found %zu",
                        csv->reader->shown, pst__printable(shown, sizeof shown, name), n_found);
}

static int skip_empty_lines(struct csv *csv)
{
    while (csv->at < csv->size && is_end_of_line(csv)) {
        csv->at += csv->data[csv->at] == '\r' ? 2 : 1;
        csv->line++;
    }
    return csv->at < csv->size;
}

static int columns(struct csv *csv, size_t *path, size_t *label, size_t *n, struct pst_error *err)
{
    const struct pst__list_reader *reader = csv->reader;
    if (!reader->path) {
        *path = (size_t)reader->path_column;
        *label = (size_t)reader->label_column;
        *n = 0;
        return PST_OK;
    }
    if (!skip_empty_lines(csv))
        return bad(csv, err, "a header", "the end of the file");
    int rc = row(csv, err);
    if (rc == PST_OK)
        rc = find(csv, reader->path, path, err);
    if (rc == PST_OK)
        rc = find(csv, reader->label, label, err);
    *n = csv->fields.n;
    return rc;
}

static int rows(struct csv *csv, struct pst_error *err)
{
    size_t path = 0, label = 0, n = 0;
    int rc = columns(csv, &path, &label, &n, err);
    while (rc == PST_OK && skip_empty_lines(csv)) {
        struct pst__list_row found = {.line = csv->line, .offset = (int64_t)csv->at};
        if ((rc = row(csv, err)) < 0)
            break;
        if (n == 0)
            n = csv->fields.n;
        if (csv->fields.n != n || path >= n || label >= n)
            return pst__fail_at(
                err, PST_EFORMAT, found.offset,
                "%s: line %" PRId64 ", byte %" PRId64 ": expected %zu fields, found %zu",
                csv->reader->shown, found.line, found.offset,
                csv->fields.n != n ? n : (path > label ? path : label) + 1, csv->fields.n);
        found.path = pst__strings_at(&csv->fields, path);
        found.label = pst__strings_at(&csv->fields, label);
        rc = csv->reader->row(csv->reader->self, &found, err);
    }
    return rc;
}

int pst__csv_read(const struct pst__list_reader *reader, const uint8_t *data, size_t size,
                  struct pst_error *err)
{
    struct csv csv = {.reader = reader, .data = data, .size = size, .line = 1};
    if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
        csv.at = 3;
    int rc = rows(&csv, err);
    pst__free(csv.text);
    pst__strings_reset(&csv.fields);
    return rc == PST_ENOMEM ? pst__fail(err, rc, "no memory for the rows of %s", reader->shown)
                            : rc;
}
