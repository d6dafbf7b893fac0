/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/dataset.h>

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "io/file.h"

struct paths {
    char *bytes;
    uint64_t *starts;
    /* One of the two: labels mostly fit into half of the memory. */
    int32_t *small;
    int64_t *labels;
    int64_t n;
};

static int64_t paths_length(void *self)
{
    return ((struct paths *)self)->n;
}

static const char *paths_name(void *self, int64_t index)
{
    const struct paths *paths = self;
    return paths->bytes + paths->starts[index];
}

static int paths_read(void *self, int64_t index, struct pst_record *record, struct pst_error *err)
{
    return pst__file_read(paths_name(self, index), record, err);
}

static int64_t paths_label(void *self, int64_t index)
{
    const struct paths *paths = self;
    return paths->small ? paths->small[index] : paths->labels[index];
}

static void paths_close(void *self)
{
    struct paths *paths = self;
    pst__free(paths->labels);
    pst__free(paths->small);
    pst__free(paths->starts);
    pst__free(paths->bytes);
    pst__free(paths);
}

/* Where each path begins. The bytes must be exactly n strings. */
static int index_paths(struct paths *paths, size_t size, struct pst_error *err)
{
    size_t at = 0;
    for (int64_t i = 0; i < paths->n; i++) {
        const char *end = at < size ? memchr(paths->bytes + at, 0, size - at) : NULL;
        if (!end)
            return pst__fail(err, PST_EINVAL,
                             "pst_paths_open: %" PRId64 " paths expected, the %zu "
                             "bytes hold %" PRId64,
                             paths->n, size, i);
        paths->starts[i] = at;
        at = (size_t)(end + 1 - paths->bytes);
    }
    if (at != size)
        return pst__fail(err, PST_EINVAL,
                         "pst_paths_open: %zu bytes are left after %" PRId64 " paths", size - at,
                         paths->n);
    return PST_OK;
}

static int copy_labels(struct paths *paths, const int64_t *labels)
{
    int is_small = 1;
    for (int64_t i = 0; i < paths->n; i++)
        is_small &= labels[i] == (int32_t)labels[i];
    if (!is_small) {
        paths->labels = pst__calloc((size_t)paths->n, sizeof *labels, PST_MEM_HEAP);
        if (paths->labels)
            memcpy(paths->labels, labels, (size_t)paths->n * sizeof *labels);
        return paths->labels ? PST_OK : PST_ENOMEM;
    }
    paths->small = pst__calloc((size_t)paths->n, sizeof *paths->small, PST_MEM_HEAP);
    for (int64_t i = 0; paths->small && i < paths->n; i++)
        paths->small[i] = (int32_t)labels[i];
    return paths->small ? PST_OK : PST_ENOMEM;
}

static const struct pst_dataset_vtable paths_vtable = {
    .struct_size = sizeof paths_vtable,
    .length = paths_length,
    .read = paths_read,
    .label = paths_label,
    .name = paths_name,
    .close = paths_close,
};

int pst_paths_open(struct pst_dataset **out, const char *bytes, size_t size, const int64_t *labels,
                   int64_t n, struct pst_error *err)
{
    PST_REQUIRE(out, err, "pst_paths_open: out is NULL");
    *out = NULL;
    PST_REQUIRE(n >= 0, err, "pst_paths_open: n is %" PRId64, n);
    PST_REQUIRE((bytes || size == 0) && (labels || n == 0), err,
                "pst_paths_open: paths or labels is NULL");
    /* Before anything is sized by n. */
    PST_REQUIRE((uint64_t)n <= size, err, "pst_paths_open: %" PRId64 " paths expected in %zu bytes",
                n, size);
    int rc = PST_ENOMEM;
    struct paths *paths = pst__calloc(1, sizeof *paths, PST_MEM_HEAP);
    if (!paths)
        goto fail;
    paths->n = n;
    paths->bytes = pst__alloc(size, PST_MEM_HEAP);
    paths->starts = pst__calloc((size_t)n, sizeof *paths->starts, PST_MEM_HEAP);
    if (!paths->bytes || !paths->starts)
        goto fail;
    if (size > 0)
        memcpy(paths->bytes, bytes, size);
    if ((rc = index_paths(paths, size, err)) < 0 || (rc = copy_labels(paths, labels)) < 0 ||
        (rc = pst_dataset_new(out, &paths_vtable, paths, err)) < 0)
        goto fail;
    return PST_OK;
fail:
    if (paths)
        paths_close(paths);
    return pst__fail(err, rc, "no memory for a list of %" PRId64 " paths", n);
}
