/* SPDX-License-Identifier: Apache-2.0 */
#include "format/list/list_rows.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/json.h"

struct rows {
    struct pst__json json; /* of a line */
    const struct pst__list_reader *reader;
    struct pst__text key, path, label;
    int has_path, has_label, label_is_number;
    int64_t number;
};

static int label(struct rows *rows, struct pst_error *err)
{
    int c = pst__json_peek(&rows->json);
    rows->label_is_number = c != '"';
    if (c == '"')
        return pst__json_string(&rows->json, &rows->label, err);
    return pst__json_integer(&rows->json, &rows->number,
                             "an integer of 64 bits, or a text, as the label", err);
}

static int member(struct rows *rows, struct pst_error *err)
{
    struct pst__json *json = &rows->json;
    int rc = pst__json_string(json, &rows->key, err);
    if (rc == PST_OK)
        rc = pst__json_take(json, ':', "':'", err);
    if (rc < 0)
        return rc;
    int is_path = strcmp(rows->key.bytes, rows->reader->path) == 0;
    int is_label = strcmp(rows->key.bytes, rows->reader->label) == 0;
    if ((is_path && rows->has_path) || (is_label && rows->has_label))
        return pst__json_bad(json, err, "the path and the label once each, before this");
    rows->has_path |= is_path;
    rows->has_label |= is_label;
    if (is_path)
        return pst__json_string(json, &rows->path, err);
    return is_label ? label(rows, err) : pst__json_skip(json, 0, err);
}

static int object(struct rows *rows, struct pst_error *err)
{
    struct pst__json *json = &rows->json;
    int rc = pst__json_take(json, '{', "an object", err);
    while (rc == PST_OK && pst__json_peek(json) != '}') {
        if ((rc = member(rows, err)) < 0)
            break;
        pst__json_space(json);
        if (pst__json_peek(json) != ',')
            break;
        rc = pst__json_take(json, ',', "','", err);
        if (rc == PST_OK && pst__json_peek(json) == '}')
            rc = pst__json_bad(json, err, "a text in quotation marks");
    }
    if (rc == PST_OK)
        rc = pst__json_take(json, '}', "',' or '}'", err);
    if (rc < 0)
        return rc;
    if (json->at != json->end)
        return pst__json_bad(json, err, "the end of the line");
    return rows->has_path && rows->has_label
               ? PST_OK
               : pst__json_bad(json, err, "a path and a label before this");
}

static int lines(struct rows *rows, size_t size, struct pst_error *err)
{
    int rc = PST_OK;
    struct pst__json *json = &rows->json;
    for (size_t next = 0; rc == PST_OK && next < size; json->line++) {
        const uint8_t *lf = memchr(json->data + next, '\n', size - next);
        struct pst__list_row row = {.line = json->line, .offset = (int64_t)next};
        json->at = next;
        json->end = lf ? (size_t)(lf - json->data) : size;
        next = json->end + 1;
        rows->has_path = rows->has_label = 0;
        pst__json_space(json);
        if (json->at == json->end)
            continue;
        if ((rc = object(rows, err)) < 0)
            break;
        row.path = rows->path.bytes;
        row.label = rows->label_is_number ? NULL : rows->label.bytes;
        row.number = rows->number;
        rc = rows->reader->row(rows->reader->self, &row, err);
    }
    return rc;
}

int pst__jsonl_read(const struct pst__list_reader *reader, const uint8_t *data, size_t size,
                    struct pst_error *err)
{
    struct rows rows = {
        .json = {.shown = reader->shown,
                 .data = data,
                 .line = 1,
                 .max_text = PST_MAX_PATH,
                 .has_bytes = 1},
        .reader = reader,
    };
    int rc = lines(&rows, size, err);
    pst__free(rows.json.skipped.bytes);
    pst__free(rows.label.bytes);
    pst__free(rows.path.bytes);
    pst__free(rows.key.bytes);
    return rc == PST_ENOMEM ? pst__fail(err, rc, "no memory for the rows of %s", reader->shown)
                            : rc;
}
