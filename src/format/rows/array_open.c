/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/array.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"
#include "format/access.h"
#include "format/rows/columns.h"
#include "format/layout/layout.h"
#include "format/rows/ragged.h"
#include "io/guard.h"

#define SHOWN 320
#define MAX_OPENS 16
#define NAMES_SHOWN 4

/* A file that is open, and what is in it. Zero-initialised means empty. */
struct opened {
    struct pst__source *source;
    struct pst__layouts layouts;
    struct pst__array_shared *rows; /* of PST_ARRAY_PENSTOCK, which has no layouts */
    int kind;
};

static void opened_reset(struct opened *file)
{
    pst__layouts_reset(&file->layouts);
    pst__array_shared_unref(file->rows);
    pst__source_unref(file->source);
    *file = (struct opened){0};
}

/* --- what is in a file
 * -------------------------------------------------------------------------------- */

static int read_source(void *self, uint64_t offset, size_t n, void *out, struct pst_error *err)
{
    return pst__source_read(self, offset, n, out, err);
}

static int raw_read(struct pst__layouts *layouts, const struct pst_array_source *from,
                    const struct pst__reader *reader, struct pst_error *err)
{
    PST_REQUIRE(pst_dtype_size(from->dtype) > 0, err, "%s: raw elements need a dtype, not %d",
                reader->shown, from->dtype);
    PST_REQUIRE(from->ndim >= 0 && from->ndim <= PST_MAX_DIMS, err,
                "%s: an array has 0 to %d dimensions, not %d", reader->shown, PST_MAX_DIMS,
                from->ndim);
    struct pst__layout *layout = pst__layouts_add(layouts);
    if (!layout)
        return PST_ENOMEM;
    layout->dtype = from->dtype;
    layout->ndim = from->ndim;
    layout->offset = from->offset;
    int is_open = from->ndim > 0 && from->shape[0] == -1 && from->kind != PST_ARRAY_TORCH;
    for (int i = 0; i < from->ndim; i++) {
        PST_REQUIRE(from->shape[i] >= 0 || (i == 0 && is_open), err,
                    "%s: dimension %d has %" PRId64 " elements", reader->shown, i, from->shape[i]);
        layout->shape[i] = from->shape[i] < 0 ? 1 : from->shape[i];
    }
    int rc = pst__layout_measure(layout, reader->shown, err);
    if (rc < 0 || !is_open)
        return rc;
    uint64_t row = layout->bytes;
    uint64_t left = from->offset <= reader->size ? reader->size - from->offset : 0;
    if (row == 0 || left % row != 0)
        return pst__fail_at(err, PST_EFORMAT, (int64_t)from->offset,
                            "%s: %" PRIu64 " bytes behind byte %" PRIu64
                            " expected to be rows of %" PRIu64,
                            reader->shown, left, from->offset, row);
    layout->shape[0] = (int64_t)(left / row);
    return pst__layout_measure(layout, reader->shown, err);
}

static int npy_read(struct pst__layouts *layouts, const struct pst__reader *reader,
                    struct pst_error *err)
{
    struct pst__npy npy;
    int rc = pst__npy_read(&npy, reader, err);
    if (rc < 0)
        return rc;
    struct pst__layout *layout = pst__layouts_add(layouts);
    if (!layout)
        return PST_ENOMEM;
    *layout = npy.layout;
    return PST_OK;
}

/* By the first bytes. Safetensors has no magic: a size that fits, and a brace. */
static int guess_kind(const struct pst__reader *reader, int *kind, struct pst_error *err)
{
    uint8_t head[9] = {0};
    enum pst_array_kind found;
    size_t n = reader->size < sizeof head ? (size_t)reader->size : sizeof head;
    int rc = n > 0 ? reader->read(reader->self, 0, n, head, err) : PST_OK;
    if (rc < 0)
        return rc;
    int is_short = head[4] == 0 && head[5] == 0 && head[6] == 0 && head[7] == 0;
    if (memcmp(head, "\x93NUMPY", 6) == 0)
        *kind = PST_ARRAY_NPY;
    else if (pst__array_is_ours(head, n))
        *kind = PST_ARRAY_PENSTOCK;
    else if (memcmp(head, "PK\3\4", 4) == 0) {
        rc = pst__zip_kind(&found, reader, err);
        *kind = (int)found;
        return rc;
    } else if (n == sizeof head && is_short && head[8] == '{')
        *kind = PST_ARRAY_SAFETENSORS;
    else
        return pst__fail_at(
            err, PST_EFORMAT, 0,
            "%s begins like no file of arrays that is known (.npy, .npz, .safetensors, Penstock's "
            "own); raw elements need a dtype and a shape",
            reader->shown);
    return PST_OK;
}

/* A column that varies in length has no dtype as an array. */
static int add_layout(struct opened *file, const struct pst__array_column *column)
{
    const struct pst__array_layout *all = pst__array_shared_layout(file->rows);
    struct pst__layout *layout = pst__layouts_add(&file->layouts);
    size_t size = strlen(column->name) + 1;
    char *name = layout ? pst__alloc(size, PST_MEM_HEAP) : NULL;
    if (!name)
        return PST_ENOMEM;
    memcpy(name, column->name, size);
    layout->name = name;
    layout->stream = column->stream;
    layout->ndim = column->ndim + 1;
    if (column->is_ragged || layout->ndim > PST_MAX_DIMS) {
        snprintf(layout->kind, sizeof layout->kind, "%s",
                 column->is_ragged ? "ragged" : "9 dimensions");
        layout->ndim = 0;
        return PST_OK;
    }
    layout->dtype = column->dtype;
    layout->shape[0] = all->n_rows;
    memcpy(layout->shape + 1, column->shape, (size_t)column->ndim * sizeof *column->shape);
    layout->is_in_pieces = !pst__array_shared_are_whole(file->rows, column->stream);
    if (all->n_rows > 0)
        layout->offset = pst__array_shared_offset(file->rows, column->stream, 0);
    return PST_OK;
}

static int penstock_read(struct opened *file, int is_unverified, const struct pst__reader *reader,
                         struct pst_error *err)
{
    int rc = pst__array_shared_open(&file->rows, file->source, is_unverified, err);
    if (rc < 0)
        return rc;
    const struct pst__array_layout *all = pst__array_shared_layout(file->rows);
    for (int i = 0; rc == PST_OK && i < all->n_columns; i++) {
        rc = add_layout(file, &all->columns[i]);
        if (rc == PST_OK && file->layouts.layout[i].dtype != 0)
            rc = pst__layout_measure(&file->layouts.layout[i], reader->shown, err);
    }
    return rc == PST_ENOMEM ? pst__fail(err, rc, "no memory for what is in %s", reader->shown) : rc;
}

static int read_layouts(struct opened *file, const struct pst_array_source *from, int is_unverified,
                        const struct pst__reader *reader, struct pst_error *err)
{
    struct pst__layouts *layouts = &file->layouts;
    int kind = from->kind, rc = PST_OK;
    if (kind == PST_ARRAY_AUTO)
        rc = guess_kind(reader, &kind, err);
    if (rc < 0)
        return rc;
    file->kind = kind;
    switch (kind) {
    case PST_ARRAY_TORCH:
        PST_REQUIRE(from->kind == kind, err,
                    "%s is a file of torch.save(): only its pickle says where its tensors lie, so "
                    "each has to be described",
                    reader->shown);
        rc = raw_read(layouts, from, reader, err);
        return rc < 0 ? rc : pst__torch_record_check(&layouts->layout[0], reader, err);
    case PST_ARRAY_RAW:
        rc = raw_read(layouts, from, reader, err);
        break;
    case PST_ARRAY_NPY:
        rc = npy_read(layouts, reader, err);
        break;
    case PST_ARRAY_SAFETENSORS:
        return pst__safetensors_read(layouts, reader, err);
    case PST_ARRAY_NPZ:
        return pst__npz_read(layouts, reader, err);
    case PST_ARRAY_PENSTOCK:
        return penstock_read(file, is_unverified, reader, err);
    default:
        return pst__fail(err, PST_EINVAL, "%s: %d is no kind of a file of arrays", reader->shown,
                         kind);
    }
    if (rc == PST_OK)
        rc = pst__layout_check(&layouts->layout[0], reader, err);
    return rc == PST_ENOMEM ? pst__fail(err, rc, "no memory for what is in %s", reader->shown) : rc;
}

static int open_once(struct opened *file, const struct pst_array_source *from,
                     enum pst__access access, int is_unverified, struct pst_error *err)
{
    char name[SHOWN], shown[SHOWN + 4];
    *file = (struct opened){0};
    PST_REQUIRE(from->path, err, "a file of arrays needs a path");
    int rc = pst__source_open(&file->source, from->path, access, err);
    if (rc < 0)
        return rc;
    snprintf(shown, sizeof shown, "'%s'", pst__printable(name, sizeof name, from->path));
    struct pst__reader reader = {read_source, file->source, pst__source_size(file->source), shown};
    rc = read_layouts(file, from, is_unverified, &reader, err);
    return rc;
}

/* A header that says more than the file had when it was opened: rows were added in between. */
static int has_grown(const struct opened *file)
{
    struct stat st;
    return file->source && pst__sys_stat(pst__source_path(file->source), &st) == 0 &&
           (uint64_t)st.st_size > pst__source_size(file->source);
}

static int opened_init(struct opened *file, const struct pst_array_source *from,
                       enum pst__access access, int is_unverified, struct pst_error *err)
{
    for (int i = 0;; i++) {
        struct pst_error own;
        pst_error_init(&own);
        int rc = open_once(file, from, access, is_unverified, &own);
        if (rc == PST_OK)
            return rc;
        int is_last = rc != PST_ETRUNCATED || i == MAX_OPENS || !has_grown(file);
        opened_reset(file);
        if (!is_last)
            continue;
        if (err && err->status == PST_OK)
            *err = own;
        return rc;
    }
}

/* --- which of them
 * ------------------------------------------------------------------------------------ */

static int is_named(const struct pst__layout *layout, const char *name)
{
    return !layout->name || !name || strcmp(layout->name, name) == 0;
}

static int check_dtype(const struct pst__layout *layout, const char *path, struct pst_error *err)
{
    char name[SHOWN], shown[SHOWN];
    if (layout->dtype != 0)
        return PST_OK;
    return pst__fail(
        err, PST_EUNSUPPORTED, "'%s': tensor '%s' is of dtype %s, which is none of the engine's",
        pst__printable(shown, sizeof shown, path),
        pst__printable(name, sizeof name, layout->name ? layout->name : "data"), layout->kind);
}

/* "'a', 'b', ...": the first few. */
static void list_names(const struct pst__layouts *layouts, char *out, size_t size)
{
    size_t used = 0;
    *out = 0;
    for (size_t i = 0; i < layouts->n && used + 80 < size; i++) {
        char name[64];
        if (i == NAMES_SHOWN) {
            snprintf(out + used, size - used, ", ...");
            return;
        }
        pst__printable(name, sizeof name, layouts->layout[i].name);
        used += (size_t)snprintf(out + used, size - used, "%s'%s'", i > 0 ? ", " : "", name);
    }
}

/* The one array that is meant. */
static int find_one(const struct opened *file, const struct pst_array_source *from,
                    const struct pst__layout **out, struct pst_error *err)
{
    char shown[SHOWN], wanted[SHOWN], names[512];
    const struct pst__layouts *layouts = &file->layouts;
    *out = NULL;
    for (size_t i = 0; i < layouts->n; i++)
        if (is_named(&layouts->layout[i], from->name) && (from->name || layouts->n == 1))
            *out = &layouts->layout[i];
    if (*out)
        return check_dtype(*out, from->path, err);
    list_names(layouts, names, sizeof names);
    pst__printable(shown, sizeof shown, from->path);
    if (!from->name)
        return pst__fail(err, PST_EINVAL, "'%s' has %zu arrays (%s): name one of them", shown,
                         layouts->n, names);
    return pst__fail(err, PST_ENOTFOUND, "'%s' has no array '%s' among its %zu (%s)", shown,
                     pst__printable(wanted, sizeof wanted, from->name), layouts->n, names);
}

/* --- rows
 * --------------------------------------------------------------------------------------------- */

static int add_column(struct pst__column *column, const struct pst__layout *layout,
                      const struct opened *file, const struct pst_array_source *from,
                      struct pst_error *err)
{
    char shown[SHOWN];
    int rc = check_dtype(layout, from->path, err);
    if (rc < 0)
        return rc;
    const char *name = layout->name ? layout->name : from->name ? from->name : "data";
    PST_REQUIRE(layout->ndim > 0, err, "'%s': array '%s' has no dimension, so it has no rows",
                pst__printable(shown, sizeof shown, from->path), name);
    column->name = pst__alloc(strlen(name) + 1, PST_MEM_HEAP);
    if (!column->name)
        return pst__fail(err, PST_ENOMEM, "no memory for a column's name");
    memcpy(column->name, name, strlen(name) + 1);
    column->dtype = layout->dtype;
    column->ndim = layout->ndim;
    memcpy(column->shape, layout->shape, sizeof column->shape);
    pst__layout_strides(layout, column->strides);
    column->is_swapped = layout->is_swapped;
    column->source = pst__source_ref(file->source);
    column->offset = file->rows ? 0 : layout->offset;
    column->stream = layout->stream;
    if (file->rows)
        column->file = pst__array_shared_ref(file->rows);
    return PST_OK;
}

static int is_ragged(const struct opened *file, size_t i)
{
    return file->rows && pst__array_shared_layout(file->rows)->columns[i].is_ragged;
}

/* The field or the two fields of array i of a file, behind the *n that there are. */
static int add_fields(struct pst__column *columns, size_t *n, const struct opened *file, size_t i,
                      const struct pst_array_source *from, struct pst_error *err)
{
    size_t wanted = is_ragged(file, i) ? 2 : 1;
    if (*n + wanted > PST_MAX_FIELDS)
        return pst__fail(err, PST_ELIMIT, "the files have over %d arrays: name those to read",
                         PST_MAX_FIELDS);
    struct pst__column *first = &columns[*n];
    *n += wanted;
    if (wanted == 2)
        return pst__ragged_columns(first, file->rows, file->source, (int)i, from, err);
    return add_column(first, &file->layouts.layout[i], file, from, err);
}

/* The columns of one file, behind the *n that there are. */
static int add_columns(struct pst__column *columns, size_t *n, const struct opened *file,
                       const struct pst_array_source *from, struct pst_error *err)
{
    char shown[SHOWN], wanted[SHOWN];
    size_t before = *n;
    for (size_t i = 0; i < file->layouts.n; i++) {
        if (!is_named(&file->layouts.layout[i], from->name))
            continue;
        int rc = add_fields(columns, n, file, i, from, err);
        if (rc < 0)
            return rc;
    }
    if (*n > before)
        return PST_OK;
    pst__printable(shown, sizeof shown, from->path);
    if (!from->name)
        return pst__fail(err, PST_EINVAL, "'%s' has no arrays", shown);
    return pst__fail(err, PST_ENOTFOUND, "'%s' has no array '%s'", shown,
                     pst__printable(wanted, sizeof wanted, from->name));
}

/* Rows that do not lie one after the other can only be mapped. */
static int is_only_mapped(const struct pst__column *columns, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (columns[i].ndim > 1 && columns[i].strides[0] < columns[i].strides[columns[i].ndim - 1])
            return 1;
    return 0;
}

static int open_rows(struct pst_dataset **out, const struct pst_array_source *sources,
                     size_t n_sources, const struct pst_array_config *config,
                     const struct pst__choice *wished, int is_chosen, struct pst_error *err)
{
    struct pst__column columns[PST_MAX_FIELDS] = {0};
    struct pst__choice choice = *wished;
    size_t n = 0;
    int rc = PST_OK;
    for (size_t i = 0; rc == PST_OK && i < n_sources; i++) {
        struct opened file;
        rc = opened_init(&file, &sources[i], pst__access_of(wished->access), config->is_unverified,
                         err);
        if (rc < 0)
            break;
        pst__access_opened(&choice, file.source);
        rc = add_columns(columns, &n, &file, &sources[i], err);
        opened_reset(&file);
    }
    if (rc == PST_OK &&
        (wished->access == PST_ARRAY_MAP || !is_chosen || !is_only_mapped(columns, n))) {
        rc = pst__columns_dataset(out, columns, n, err);
        if (rc == PST_OK)
            *pst__columns_choice(*out) = choice;
        return rc;
    }
    for (size_t i = 0; i < n; i++)
        pst__column_reset(&columns[i]);
    static const struct pst__choice mapped = {
        PST_ARRAY_MAP, "their rows do not lie one after the other, which can only be mapped"};
    return rc < 0 ? rc : open_rows(out, sources, n_sources, config, &mapped, 0, err);
}

static int is_among(const struct stat *files, size_t n, const struct stat *file)
{
    for (size_t i = 0; i < n; i++)
        if (files[i].st_dev == file->st_dev && files[i].st_ino == file->st_ino)
            return 1;
    return 0;
}

/* Of the files as they are now, each once; one that cannot be examined fails where it is opened. */
static uint64_t total_size(const struct pst_array_source *sources, size_t n)
{
    struct stat files[PST_MAX_FIELDS];
    uint64_t total = 0;
    size_t n_files = 0;
    for (size_t i = 0; i < n; i++) {
        struct stat *file = &files[n_files];
        if (!sources[i].path || pst__sys_stat(sources[i].path, file) != 0 ||
            is_among(files, n_files, file))
            continue;
        n_files++;
        total += file->st_size > 0 ? (uint64_t)file->st_size : 0;
    }
    return total;
}

int pst_array_open(struct pst_dataset **out, const struct pst_array_source *sources,
                   size_t n_sources, const struct pst_array_config *config, struct pst_error *err)
{
    struct pst_array_config own;
    PST_REQUIRE(out, err, "pst_array_open: out is NULL");
    *out = NULL;
    PST_REQUIRE(sources && n_sources > 0 && n_sources <= PST_MAX_FIELDS, err,
                "pst_array_open: %zu files, expected 1 to %d", n_sources, PST_MAX_FIELDS);
    pst_array_config_init(&own);
    if (config) {
        PST_REQUIRE(config->struct_size >= offsetof(struct pst_array_config, is_unverified), err,
                    "the config of an array is not initialised");
        memcpy(&own, config, config->struct_size < sizeof own ? config->struct_size : sizeof own);
    }
    PST_REQUIRE(own.access >= PST_ARRAY_CHOOSE && own.access <= PST_ARRAY_DIRECT, err,
                "%d is no way to read rows", own.access);
    int is_chosen = own.access == PST_ARRAY_CHOOSE;
    struct pst__choice choice;
    struct pst__facts facts;
    if (is_chosen) {
        pst__access_facts(&facts, total_size(sources, n_sources), own.memory_budget,
                          sources[0].path);
        pst__access_choose(&choice, &facts);
    } else {
        pst__access_wished(&choice, own.access);
    }
    return open_rows(out, sources, n_sources, &own, &choice, is_chosen, err);
}

int pst_array_access(const struct pst_dataset *dataset)
{
    size_t n;
    int access = 0;
    const struct pst__column *columns = dataset ? pst__columns_of(dataset, &n) : NULL;
    if (!columns)
        return 0;
    for (size_t i = 0; i < n && access != PST_ARRAY_MAP; i++) {
        const struct pst__source *source = columns[i].source;
        if (source && pst__source_data(source))
            access = PST_ARRAY_MAP;
        else if (source && pst__source_is_direct(source, NULL))
            access = PST_ARRAY_DIRECT;
        else if (source && access == 0)
            access = PST_ARRAY_READ;
    }
    return access;
}

const char *pst_array_why(const struct pst_dataset *dataset)
{
    const struct pst__choice *choice = pst__columns_choice(dataset);
    return choice && choice->access ? choice->why : NULL;
}

int pst_array_check(const struct pst_dataset *dataset, struct pst_error *err)
{
    size_t n;
    const struct pst__column *columns = dataset ? pst__columns_of(dataset, &n) : NULL;
    PST_REQUIRE(columns, err, "pst_array_check: no dataset of arrays");
    for (size_t i = 0; i < n; i++) {
        int rc = columns[i].source ? pst__source_check(columns[i].source, err) : PST_OK;
        if (rc < 0)
            return rc;
    }
    return PST_OK;
}

/* --- the whole array as a tensor
 * ---------------------------------------------------------------------- */

/* A copy in the machine's order. */
static int copy_swapped(struct pst_tensor *out, const struct pst__layout *layout,
                        const struct pst__source *source, struct pst_error *err)
{
    int rc = pst_tensor_empty(out, layout->dtype, layout->ndim, layout->shape, err);
    if (rc < 0)
        return rc;
    pst__layout_strides(layout, out->strides);
    rc = pst__source_read(source, layout->offset, (size_t)layout->bytes, out->data, err);
    if (rc < 0)
        pst_tensor_reset(out);
    else
        pst__layout_swap(out->data, (size_t)layout->bytes, (int)pst_dtype_size(layout->dtype));
    return rc;
}

static int map_tensor(struct pst_tensor *out, const struct pst__layout *layout,
                      struct pst__source *source, struct pst_error *err)
{
    int64_t strides[PST_MAX_DIMS];
    struct pst_buffer *buffer;
    int rc = pst__source_buffer(source, &buffer, err);
    if (rc < 0)
        return rc;
    pst__layout_strides(layout, strides);
    rc = pst_tensor_from_buffer(out, buffer, (size_t)layout->offset, layout->dtype, layout->ndim,
                                layout->shape, strides, err);
    pst_buffer_unref(buffer);
    return rc;
}

/* Whether an array can be seen as a tensor, and written to. */
static int check_mode(const struct opened *file, const struct pst__layout *layout, const char *path,
                      int mode, struct pst_error *err)
{
    char shown[SHOWN];
    pst__printable(shown, sizeof shown, path);
    int is_summed = file->rows || file->kind == PST_ARRAY_NPZ;
    if (mode == PST_ARRAY_EDIT && is_summed)
        return pst__fail(
            err, PST_EUNSUPPORTED, "'%s': what is written into %s would belie its checksums%s",
            shown, file->rows ? "an array file" : "a zip file", file->rows ? ": append to it" : "");
    if (layout->is_in_pieces)
        return pst__fail(err, PST_EUNSUPPORTED,
                         "'%s': the rows of '%s' lie in several pieces, which no tensor can look "
                         "at: gather them",
                         shown, layout->name);
    if (layout->is_swapped && mode == PST_ARRAY_EDIT)
        return pst__fail(err, PST_EUNSUPPORTED,
                         "'%s': its elements are of the other byte order, which can be read and "
                         "copied but not edited",
                         shown);
    return PST_OK;
}

int pst_array_map(struct pst_tensor *out, const struct pst_array_source *from, int mode,
                  struct pst_error *err)
{
    static const enum pst__access accesses[] = {PST__ACCESS_VIEW, PST__ACCESS_EDIT,
                                                PST__ACCESS_COPY};
    struct opened file;
    const struct pst__layout *layout;
    PST_REQUIRE(out && from, err, "pst_array_map: a pointer is NULL");
    *out = (struct pst_tensor){0};
    PST_REQUIRE(mode >= PST_ARRAY_VIEW && mode <= PST_ARRAY_COPY, err,
                "%d is no mode to map an array in", mode);
    int rc = opened_init(&file, from, accesses[mode], 1, err);
    if (rc < 0)
        return rc;
    rc = find_one(&file, from, &layout, err);
    if (rc == PST_OK)
        rc = check_mode(&file, layout, from->path, mode, err);
    if (rc == PST_OK)
        rc = layout->is_swapped ? copy_swapped(out, layout, file.source, err)
                                : map_tensor(out, layout, file.source, err);
    opened_reset(&file);
    return rc;
}

int pst_array_detect(const char *path, enum pst_array_kind *kind, struct pst_error *err)
{
    char name[SHOWN], shown[SHOWN + 4];
    struct pst__source *source;
    PST_REQUIRE(path && kind, err, "pst_array_detect: a pointer is NULL");
    *kind = PST_ARRAY_AUTO;
    int rc = pst__source_open(&source, path, PST__ACCESS_READ, err), found = PST_ARRAY_AUTO;
    if (rc < 0)
        return rc;
    snprintf(shown, sizeof shown, "'%s'", pst__printable(name, sizeof name, path));
    struct pst__reader reader = {read_source, source, pst__source_size(source), shown};
    rc = guess_kind(&reader, &found, err);
    if (rc == PST_OK)
        *kind = (enum pst_array_kind)found;
    pst__source_unref(source);
    return rc;
}

int pst_fault_next(struct pst_error *err)
{
    return pst__guard_next(err);
}

void pst_fault_notify(void (*fn)(void *opaque), void *opaque)
{
    pst__guard_notify(fn, opaque);
}
