/* SPDX-License-Identifier: Apache-2.0 */
#include "format/list/list.h"

#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/list/list_rows.h"
#include "format/self.h"
#include "io/file.h"
#include "io/record.h"

#define SHOWN 200

struct list {
    struct pst__strings paths;   /* whole */
    struct pst__strings texts;   /* labels that are texts, one a sample, while the list is read */
    struct pst__strings classes; /* sorted; empty where labels are numbers */
    int64_t *labels;
    size_t n_labels, labels_room;
    const char *root, *shown; /* while the list is read */
    int all_integers;         /* all texts so far are integers as they are written */
};

static int64_t list_length(void *self)
{
    return (int64_t)((struct list *)self)->paths.n;
}

static const char *list_name(void *self, int64_t index)
{
    return pst__strings_at(&((struct list *)self)->paths, (size_t)index);
}

static int list_read(void *self, int64_t index, struct pst_record *record, struct pst_error *err)
{
    return pst__file_read(list_name(self, index), record, err);
}

static int64_t list_label(void *self, int64_t index)
{
    return ((struct list *)self)->labels[index];
}

static void list_close(void *self)
{
    struct list *list = self;
    pst__free(list->labels);
    pst__strings_reset(&list->classes);
    pst__strings_reset(&list->texts);
    pst__strings_reset(&list->paths);
    pst__free(list);
}

static const struct pst_dataset_vtable list_vtable = {
    .struct_size = sizeof list_vtable,
    .length = list_length,
    .read = list_read,
    .label = list_label,
    .name = list_name,
    .close = list_close,
};

/* An integer of 64 bits, written in the one way: no plus, no zeros in front. */
static int read_integer(const char *text, int64_t *value)
{
    int is_negative = text[0] == '-';
    const char *p = text + is_negative;
    uint64_t magnitude = 0;
    if (p[0] == 0 || (p[0] == '0' && (p[1] != 0 || is_negative)))
        return 0;
    for (; *p; p++)
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(magnitude, 10, &magnitude) ||
            __builtin_add_overflow(magnitude, (uint64_t)(*p - '0'), &magnitude) ||
            magnitude > (uint64_t)INT64_MAX + (uint64_t)is_negative)
            return 0;
    *value = is_negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return 1;
}

static int add_label(struct list *list, int64_t value)
{
    void *labels = list->labels;
    int rc = pst__grow(&labels, &list->labels_room, list->n_labels + 1, sizeof *list->labels);
    list->labels = labels;
    if (rc == PST_OK)
        list->labels[list->n_labels++] = value;
    return rc;
}

static int fail_row(const struct list *list, const struct pst__list_row *row, int status,
                    struct pst_error *err, const char *what)
{
    return pst__fail_at(err, status, row->offset, "%s: line %" PRId64 ", byte %" PRId64 ": %s",
                        list->shown, row->line, row->offset, what);
}

static int add_row(void *self, const struct pst__list_row *row, struct pst_error *err)
{
    struct list *list = self;
    int64_t value = row->number;
    if (row->path[0] == 0)
        return fail_row(list, row, PST_EFORMAT, err, "the path is empty");
    if (strlen(list->root) + strlen(row->path) + 2 > PST_MAX_PATH)
        return fail_row(list, row, PST_ELIMIT, err, "the path is too long");
    if (row->label && row->label[0] == 0)
        return fail_row(list, row, PST_EFORMAT, err, "the label is empty");
    if (list->paths.n > 0 && !row->label != (list->texts.n == 0))
        return fail_row(list, row, PST_EFORMAT, err,
                        "labels are numbers in some rows and texts in others");
    if (row->label && !read_integer(row->label, &value)) {
        list->all_integers = 0;
        value = 0;
    }
    int is_absolute = row->path[0] == '/' || list->root[0] == 0;
    int rc = pst__strings_add(&list->paths, is_absolute ? NULL : list->root, row->path);
    if (rc == PST_OK && row->label)
        rc = pst__strings_add(&list->texts, NULL, row->label);
    return rc == PST_OK ? add_label(list, value) : rc;
}

/* Labels by the place of their text among all texts, sorted. */
static int make_classes(struct list *list)
{
    struct pst__strings sorted = {0};
    int rc = PST_OK;
    for (size_t i = 0; rc == PST_OK && i < list->texts.n; i++)
        rc = pst__strings_add(&sorted, NULL, pst__strings_at(&list->texts, i));
    if (rc == PST_OK)
        pst__strings_sort(&sorted, 0, sorted.n);
    for (size_t i = 0; rc == PST_OK && i < sorted.n; i++)
        if (i == 0 || strcmp(pst__strings_at(&sorted, i), pst__strings_at(&sorted, i - 1)) != 0)
            rc = pst__strings_add(&list->classes, NULL, pst__strings_at(&sorted, i));
    pst__strings_reset(&sorted);
    for (size_t i = 0; rc == PST_OK && i < list->texts.n; i++)
        list->labels[i] =
            (int64_t)pst__strings_find(&list->classes, pst__strings_at(&list->texts, i));
    return rc;
}

int pst__list_parse(struct pst_dataset **out, const uint8_t *data, size_t size, const char *root,
                    const struct pst_list_config *config, const char *shown, struct pst_error *err)
{
    struct list *list = pst__calloc(1, sizeof *list, PST_MEM_HEAP);
    *out = NULL;
    if (!list)
        return pst__fail(err, PST_ENOMEM, "no memory for a list of files");
    list->root = root;
    list->shown = shown;
    list->all_integers = 1;
    struct pst__list_reader reader = {
        .shown = shown,
        .path = config->by_column ? NULL
                : config->path    ? config->path
                                  : "path",
        .label = config->by_column ? NULL
                 : config->label   ? config->label
                                   : "label",
        .path_column = config->path_column,
        .label_column = config->label_column,
        .delimiter = config->delimiter ? config->delimiter : ',',
        .row = add_row,
        .self = list,
    };
    int rc = config->kind == PST_LIST_JSONL ? pst__jsonl_read(&reader, data, size, err)
                                            : pst__csv_read(&reader, data, size, err);
    /* A text in JSON is a class, whatever it says; in CSV all is text. */
    if (rc == PST_OK && list->texts.n > 0 &&
        (config->kind == PST_LIST_JSONL || !list->all_integers))
        rc = make_classes(list);
    pst__strings_reset(&list->texts);
    list->root = list->shown = NULL;
    if (rc == PST_OK) {
        pst__strings_trim(&list->paths);
        rc = pst_dataset_new(out, &list_vtable, list, err);
    }
    if (rc < 0)
        list_close(list);
    return rc < 0 ? pst__fail(err, rc, "%s: no memory for its rows", shown) : PST_OK;
}

static int ends_in(const char *path, const char *end)
{
    size_t n = strlen(path), k = strlen(end);
    return n >= k && strcmp(path + n - k, end) == 0;
}

/* The kind by the name's end; the delimiter too, where it is not given. */
static int set_kind(struct pst_list_config *config, const char *path, struct pst_error *err)
{
    char shown[SHOWN];
    if (config->kind == PST_LIST_AUTO) {
        if (ends_in(path, ".jsonl") || ends_in(path, ".ndjson"))
            config->kind = PST_LIST_JSONL;
        else if (ends_in(path, ".csv") || ends_in(path, ".tsv"))
            config->kind = PST_LIST_CSV;
        else
            return pst__fail(err, PST_EINVAL,
                             "'%s' ends in none of .csv, .tsv, .jsonl, .ndjson: say which kind of "
                             "list it is",
                             pst__printable(shown, sizeof shown, path));
    }
    if (!config->delimiter && ends_in(path, ".tsv"))
        config->delimiter = '\t';
    return PST_OK;
}

static int check_list_config(const struct pst_list_config *config, struct pst_error *err)
{
    PST_REQUIRE(config->kind <= PST_LIST_JSONL, err, "pst_list_open: kind is %d",
                (int)config->kind);
    PST_REQUIRE(!config->by_column || (config->path_column >= 0 && config->label_column >= 0), err,
                "pst_list_open: columns are counted from 0, got %d and %d", config->path_column,
                config->label_column);
    PST_REQUIRE(!(config->by_column && config->kind == PST_LIST_JSONL), err,
                "pst_list_open: members of JSON objects have names, not columns");
    PST_REQUIRE(config->delimiter != '"' && config->delimiter != '\n' && config->delimiter != '\r',
                err, "pst_list_open: the delimiter cannot be a quotation mark or a line's end");
    return PST_OK;
}

static int list_config(struct pst_list_config *config, const struct pst_list_config *given,
                       const char *path, struct pst_error *err)
{
    pst_list_config_init(config);
    if (given) {
        PST_REQUIRE(given->struct_size >= offsetof(struct pst_list_config, delimiter) + 1, err,
                    "pst_list_open: struct_size is %zu", given->struct_size);
        memcpy(config, given,
               given->struct_size < sizeof *config ? given->struct_size : sizeof *config);
    }
    int rc = set_kind(config, path, err);
    return rc == PST_OK ? check_list_config(config, err) : rc;
}

int pst_list_open(struct pst_dataset **out, const char *path, const struct pst_list_config *given,
                  struct pst_error *err)
{
    char folder[PST_MAX_PATH] = "", shown[SHOWN];
    struct pst_list_config config;
    struct pst_record record = {0};
    PST_REQUIRE(out, err, "pst_list_open: out is NULL");
    *out = NULL;
    PST_REQUIRE(path, err, "pst_list_open: path is NULL");
    int rc = list_config(&config, given, path, err);
    if (rc < 0)
        return rc;
    const char *slash = strrchr(path, '/'), *root = config.root ? config.root : folder;
    if ((slash && (size_t)(slash + 1 - path) >= sizeof folder) || strlen(root) >= PST_MAX_PATH)
        return pst__fail(err, PST_ELIMIT, "the path of the list, or its root, is too long");
    if (slash)
        memcpy(folder, path, (size_t)(slash + 1 - path));
    rc = pst__file_read(path, &record, err);
    if (rc == PST_OK)
        rc = pst__list_parse(out, record.data, record.size, root, &config,
                             pst__printable(shown, sizeof shown, path), err);
    pst__record_reset(&record);
    return rc;
}

int64_t pst_list_n_classes(const struct pst_dataset *dataset)
{
    const struct list *list = pst__dataset_self(dataset, list_close);
    return list ? (int64_t)list->classes.n : 0;
}

const char *pst_list_class(const struct pst_dataset *dataset, int64_t class_index)
{
    const struct list *list = pst__dataset_self(dataset, list_close);
    if (!list || class_index < 0 || class_index >= (int64_t)list->classes.n)
        return NULL;
    return pst__strings_at(&list->classes, (size_t)class_index);
}
