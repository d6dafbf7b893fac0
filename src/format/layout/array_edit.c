/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/array.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"
#include "format/layout/layout.h"
#include "io/guard.h"
#include "io/temporary.h"
#include "io/whole.h"

#define SHOWN 320
#define MAX_INTERRUPTED 100
#define ZEROS 65536

/* A file that is written. */
struct target {
    int fd;
    const char *path;
    char shown[SHOWN];
};

static int fail_os(const struct target *target, const char *doing, struct pst_error *err)
{
    int os_errno = errno;
    return pst__fail_os(err, os_errno, "cannot %s '%s'", doing, target->shown);
}

static int write_at(const struct target *target, uint64_t offset, const void *data, size_t n,
                    struct pst_error *err)
{
    return pst__write_at(target->fd, data, n, offset) < 0 ? fail_os(target, "write", err) : PST_OK;
}

/* Space for n bytes at offset, as zeros where the file is fresh there. */
static int take_space(const struct target *target, uint64_t offset, uint64_t n,
                      struct pst_error *err)
{
    static const uint8_t zeros[ZEROS];
    int rc, tries = 0;
    if (n == 0)
        return PST_OK;
    if (offset > INT64_MAX || n > INT64_MAX - offset)
        return pst__fail_os(err, EFBIG, "cannot take the space for '%s'", target->shown);
    do
        rc = pst__sys_allocate(target->fd, (off_t)offset, (off_t)n);
    while (rc < 0 && errno == EINTR && ++tries < MAX_INTERRUPTED);
    if (rc == 0)
        return PST_OK;
    if (errno != EOPNOTSUPP)
        return fail_os(target, "take the space for", err);
    /* A file system without the call. Zeros take space on all but those that compress. */
    for (uint64_t done = 0, some; done < n; done += some) {
        some = n - done < ZEROS ? n - done : ZEROS;
        if ((rc = write_at(target, offset + done, zeros, (size_t)some, err)) < 0)
            return rc;
    }
    return PST_OK;
}

static int busy(const struct target *target, int rc, struct pst_error *err)
{
    if (rc == PST_AGAIN)
        return pst__fail_os(err, EWOULDBLOCK, "another process is writing '%s'", target->shown);
    return rc;
}

/* --- creating
 * ----------------------------------------------------------------------------------------- */

static int fill_new(const struct target *target, const struct pst__layout *layout,
                    const uint8_t *head, size_t n, struct pst_error *err)
{
    if (pst__sys_truncate(target->fd) < 0)
        return fail_os(target, "empty", err);
    int rc = take_space(target, 0, layout->offset + layout->bytes, err);
    if (rc == PST_OK)
        rc = write_at(target, 0, head, n, err);
    if (rc == PST_OK && pst__sys_sync(target->fd) < 0)
        rc = fail_os(target, "flush", err);
    return rc;
}

static int create(const char *path, const struct pst__layout *layout, const uint8_t *head, size_t n,
                  struct pst_error *err)
{
    struct pst__temporary temporary;
    struct target target = {.path = path};
    int is_there = 0, rc = pst__temporary_name(&temporary, path, err);
    if (rc < 0)
        return rc;
    pst__printable(target.shown, sizeof target.shown, path);
    target.fd = pst__sys_create_public(temporary.path);
    if (target.fd < 0)
        return fail_os(&target, "create", err);
    rc = pst__lock_at(target.fd, temporary.path, err);
    if (rc == PST_OK) {
        rc = fill_new(&target, layout, head, n, err);
        if (rc == PST_OK)
            rc = pst__temporary_place(&temporary, path, &is_there, err);
        if (rc < 0 && !is_there)
            pst__sys_unlink(temporary.path); /* a full disk gets its space back */
    }
    /* The lock goes with the descriptor, so not before the name is right. */
    pst__sys_close(target.fd);
    return busy(&target, rc, err);
}

static int ends_in_npy(const char *path)
{
    size_t n = strlen(path);
    return n >= 4 && strcmp(path + n - 4, ".npy") == 0;
}

int pst_array_create(const struct pst_array_source *source, struct pst_error *err)
{
    uint8_t head[PST__NPY_FRESH];
    struct pst__layout layout = {0};
    size_t n = 0;
    PST_REQUIRE(source && source->path, err, "pst_array_create: no path");
    int kind = source->kind;
    if (kind == PST_ARRAY_AUTO)
        kind = ends_in_npy(source->path) ? PST_ARRAY_NPY : PST_ARRAY_RAW;
    PST_REQUIRE(kind == PST_ARRAY_NPY || kind == PST_ARRAY_RAW, err,
                "%d is no kind of a file of arrays that can be created", kind);
    PST_REQUIRE(pst_dtype_size(source->dtype) > 0, err, "%d is no dtype", source->dtype);
    PST_REQUIRE(source->ndim >= 0 && source->ndim <= PST_MAX_DIMS, err,
                "an array has 0 to %d dimensions, not %d", PST_MAX_DIMS, source->ndim);
    layout.dtype = source->dtype;
    layout.ndim = source->ndim;
    for (int i = 0; i < source->ndim; i++) {
        PST_REQUIRE(source->shape[i] >= 0, err, "dimension %d has %" PRId64 " elements", i,
                    source->shape[i]);
        layout.shape[i] = source->shape[i];
    }
    int rc = pst__layout_measure(&layout, "a new file", err);
    if (rc < 0)
        return rc;
    layout.offset = source->offset;
    if (kind == PST_ARRAY_NPY) {
        PST_REQUIRE(source->dtype != PST_BF16, err, "NumPy has no bf16");
        PST_REQUIRE(source->offset == 0, err, "in a file of NumPy the header says the offset");
        layout.offset = n = pst__npy_write(head, &layout);
    }
    PST_REQUIRE(layout.offset <= PST_MAX_TENSOR, err, "an offset of 2^62 bytes or more");
    return create(source->path, &layout, head, n, err);
}

/* --- appending
 * ---------------------------------------------------------------------------------------- */

static int read_fd(void *self, uint64_t offset, size_t n, void *out, struct pst_error *err)
{
    const struct target *target = self;
    ssize_t got = pst__read_at(target->fd, out, n, offset);
    if (got >= 0 && (size_t)got < n)
        errno = EIO;
    return got < 0 || (size_t)got < n ? fail_os(target, "read", err) : PST_OK;
}

static int check_rows(const struct target *target, const struct pst__layout *layout,
                      const struct pst_tensor *rows, struct pst_error *err)
{
    const char *shown = target->shown;
    if (layout->is_swapped || (layout->is_fortran && layout->ndim > 1))
        return pst__fail(err, PST_EUNSUPPORTED,
                         "'%s' is in %s, to which no rows can be added: save it again with "
                         "numpy.ascontiguousarray()",
                         shown, layout->is_swapped ? "the other byte order" : "Fortran order");
    PST_REQUIRE(layout->ndim > 0, err, "'%s' has no dimension, so it has no rows", shown);
    PST_REQUIRE(rows->dtype == layout->dtype, err, "'%s' has elements of %s, the new rows of %s",
                shown, pst_dtype_name(layout->dtype), pst_dtype_name(rows->dtype));
    PST_REQUIRE(rows->ndim == layout->ndim, err, "'%s' has %d dimensions, the new rows %d", shown,
                layout->ndim, rows->ndim);
    for (int i = 1; i < rows->ndim; i++)
        PST_REQUIRE(rows->shape[i] == layout->shape[i], err,
                    "'%s' has %" PRId64 " elements along dimension %d, the new rows %" PRId64,
                    shown, layout->shape[i], i, rows->shape[i]);
    return PST_OK;
}

/* Behind the rows may be what an append left that was killed: it is written over. A second array,
 * which numpy.save() puts there, is not. */
static int check_tail(struct target *target, uint64_t end, uint64_t size, struct pst_error *err)
{
    char magic[6];
    if (size - end < sizeof magic)
        return PST_OK;
    int rc = read_fd(target, end, sizeof magic, magic, err);
    if (rc == PST_OK && memcmp(magic, "\x93NUMPY", sizeof magic) == 0)
        rc = pst__fail_at(err, PST_EUNSUPPORTED, (int64_t)end,
                          "'%s' has another array behind the first one, at byte %" PRIu64
                          ": no rows can be added between them",
                          target->shown, end);
    return rc;
}

/* Rows behind the others, on the disk before the header counts them. */
static int write_rows(const struct target *target, uint64_t end, const struct pst_tensor *rows,
                      struct pst_error *err)
{
    size_t n = (size_t)pst_tensor_bytes(rows);
    int rc = take_space(target, end, n, err);
    if (rc == PST_OK)
        rc = write_at(target, end, rows->data, n, err);
    if (rc == PST_OK && pst__sys_sync(target->fd) < 0)
        rc = fail_os(target, "flush", err);
    return rc;
}

/* Part of the header's text. */
struct part {
    uint64_t offset;
    size_t n;
    char old[PST__NPY_MAX_HEADER], text[PST__NPY_MAX_HEADER];
};

static int count_rows(const struct target *target, struct pst__npy *npy, int64_t n_rows,
                      struct part *part, struct pst_error *err)
{
    size_t end = npy->end, from = npy->rows;
    memcpy(part->old, npy->text + from, npy->size - from);
    if (pst__npy_set_rows(npy, n_rows) < 0)
        return pst__fail(err, PST_EUNSUPPORTED,
                         "the header of '%s' has no room for %" PRId64
                         " rows: save it again with NumPy 1.23 or newer",
                         target->shown, n_rows);
    memcpy(part->text, npy->text + from, npy->size - from);
    part->offset = npy->start + from;
    part->n = (npy->end > end ? npy->end : end) - from;
    return PST_OK;
}

/* One write of some bytes within a sector of the disk: after a crash they are those of before or
 * these. A reader may find some of each for as long as the system copies them, which is why
 * pst__npy_read() reads twice. */
static int publish(const struct target *target, const struct part *part, struct pst_error *err)
{
    int rc = write_at(target, part->offset, part->text, part->n, err);
    if (rc < 0)
        (void)write_at(target, part->offset, part->old, part->n, NULL);
    else if (pst__sys_sync(target->fd) < 0)
        rc = fail_os(target, "flush", err);
    return rc;
}

static int append_locked(struct target *target, const struct pst_tensor *rows, int64_t *n_rows,
                         struct pst_error *err)
{
    char shown[SHOWN + 2];
    struct stat st;
    struct pst__npy npy;
    if (pst__sys_fstat(target->fd, &st) < 0)
        return fail_os(target, "stat", err);
    if (!S_ISREG(st.st_mode))
        return pst__fail(err, PST_EUNSUPPORTED, "'%s' is not a regular file", target->shown);
    snprintf(shown, sizeof shown, "'%s'", target->shown);
    struct pst__reader reader = {read_fd, target, (uint64_t)st.st_size, shown};
    int rc = pst__npy_read(&npy, &reader, err);
    if (rc == PST_OK)
        rc = check_rows(target, &npy.layout, rows, err);
    uint64_t end = npy.layout.offset + npy.layout.bytes;
    if (rc == PST_OK)
        rc = check_tail(target, end, (uint64_t)st.st_size, err);
    if (rc < 0)
        return rc;
    struct pst__layout grown = npy.layout;
    if (__builtin_add_overflow(grown.shape[0], rows->shape[0], &grown.shape[0]))
        return pst__fail(err, PST_ELIMIT, "'%s' would have 2^63 rows or more", target->shown);
    struct part part;
    if ((rc = pst__layout_measure(&grown, shown, err)) < 0 ||
        (rc = count_rows(target, &npy, grown.shape[0], &part, err)) < 0)
        return rc;
    rc = write_rows(target, end, rows, err);
    if (rc == PST_OK)
        rc = publish(target, &part, err);
    else
        (void)pst__sys_resize(target->fd, st.st_size); /* a full disk gets its space back */
    if (rc == PST_OK && n_rows)
        *n_rows = grown.shape[0];
    return rc;
}

int pst_array_append(const char *path, const struct pst_tensor *rows, int64_t *n_rows,
                     struct pst_error *err)
{
    struct target target = {.path = path};
    struct pst_tensor dense;
    PST_REQUIRE(path && rows && rows->buffer, err, "pst_array_append: a pointer is NULL");
    PST_REQUIRE(rows->ndim > 0, err, "pst_array_append: a tensor without dimensions has no rows");
    int rc = pst_tensor_contiguous(&dense, rows, err);
    if (rc < 0)
        return rc;
    pst__printable(target.shown, sizeof target.shown, path);
    target.fd = pst__sys_open_edit(path);
    if (target.fd < 0) {
        rc = fail_os(&target, "open", err);
    } else {
        rc = busy(&target, pst__lock_at(target.fd, path, err), err);
        if (rc == PST_OK)
            rc = append_locked(&target, &dense, n_rows, err);
        pst__sys_close(target.fd);
    }
    pst_tensor_reset(&dense);
    return rc;
}

/* --- flushing
 * ----------------------------------------------------------------------------------------- */

int pst_array_sync(const struct pst_tensor *tensor, struct pst_error *err)
{
    int64_t before, after;
    PST_REQUIRE(tensor && tensor->buffer, err, "pst_array_sync: the tensor is empty");
    int rc = pst_tensor_extent(&before, &after, tensor->dtype, tensor->ndim, tensor->shape,
                               tensor->strides, err);
    if (rc < 0 || after == 0)
        return rc;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t start = ((uintptr_t)tensor->data - (uintptr_t)before) / page * page;
    size_t size = (uintptr_t)tensor->data + (uintptr_t)after - start;
    if ((rc = pst__guard_check((const void *)start, size, err)) < 0)
        return rc;
    if (pst__sys_sync_map((void *)start, size) < 0)
        return pst__fail_os(err, errno, "cannot flush a mapped array");
    return PST_OK;
}
