/* SPDX-License-Identifier: Apache-2.0 */
#include "format/array/array_store.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"
#include "io/whole.h"

#define MAX_INTERRUPTED 100

static int fail_os(const struct pst__array_store *store, const char *doing, struct pst_error *err)
{
    int os_errno = errno;
    return pst__fail_os(err, os_errno, "cannot %s '%s'", doing, store->shown);
}

/* --- opening --- */

static int name_files(struct pst__array_store *store, const char *path, struct pst_error *err)
{
    size_t n = strlen(path) + 1;
    store->fd = -1;
    store->tail = PST__ARRAY_DATA;
    if (n > sizeof store->path || n == 1)
        return pst__fail(err, PST_EINVAL, "a path of %zu bytes", n - 1);
    memcpy(store->path, path, n);
    pst__printable(store->shown, sizeof store->shown, path);
    return pst__temporary_name(&store->temporary, path, err);
}

static int lock(struct pst__array_store *store, const char *path, struct pst_error *err)
{
    int rc = pst__lock_at(store->fd, path, err);
    return rc == PST_AGAIN ? pst__fail_os(err, EWOULDBLOCK, "another writer has '%s'", store->shown)
                           : rc;
}

static int read_fd(void *self, uint64_t offset, size_t n, void *out, struct pst_error *err)
{
    struct pst__array_store *store = self;
    ssize_t got = pst__read_at(store->fd, out, n, offset);
    if (got < 0)
        return fail_os(store, "read", err);
    if ((size_t)got < n)
        return pst__fail_at(err, PST_EIO, (int64_t)(offset + (size_t)got),
                            "'%s' ended while it was read", store->shown);
    return PST_OK;
}

static int read_layout(struct pst__array_store *store, struct pst__array_layout *layout,
                       struct pst_error *err)
{
    struct stat st;
    if (pst__sys_fstat(store->fd, &st) < 0)
        return fail_os(store, "stat", err);
    if (!S_ISREG(st.st_mode))
        return pst__fail(err, PST_EUNSUPPORTED, "'%s' is not a regular file", store->shown);
    struct pst__array_bytes bytes = {read_fd, store, (uint64_t)st.st_size, store->shown};
    int rc = pst__array_layout_read(layout, &bytes, err);
    if (rc < 0)
        return rc;
    store->root = layout->root;
    store->tail = layout->root.file_size;
    return PST_OK;
}

/* What a writer that did not commit left, as far as it can be used. */
static int take_up(struct pst__array_store *store, int resume, struct pst__array_layout *layout,
                   struct pst_error *err)
{
    struct pst_error why = {0};
    int rc = resume ? read_layout(store, layout, &why) : PST_EFORMAT;
    if (rc == PST_EIO || rc == PST_ENOMEM)
        return pst__fail(err, rc, "%s", why.message);
    if (rc < 0 && pst__sys_truncate(store->fd) < 0)
        return fail_os(store, "empty", err);
    return PST_OK;
}

int pst__array_store_create(struct pst__array_store *store, const char *path, int resume,
                            struct pst__array_layout *layout, struct pst_error *err)
{
    *layout = (struct pst__array_layout){0};
    int rc = name_files(store, path, err);
    if (rc < 0)
        return rc;
    store->fd = pst__sys_create_public(store->temporary.path);
    if (store->fd < 0)
        return fail_os(store, "create", err);
    rc = lock(store, store->temporary.path, err);
    if (rc == PST_OK)
        rc = take_up(store, resume, layout, err);
    store->is_hidden = rc == PST_OK; /* else it stays as it is: it may be another's */
    if (rc < 0) {
        pst__sys_close(store->fd);
        store->fd = -1;
    }
    return rc;
}

static int write_root(struct pst__array_store *store, int copy, struct pst_error *err)
{
    uint8_t bytes[PST__ARRAY_ROOT];
    pst__array_root_encode(&store->root, bytes);
    return pst__array_store_write(store, (uint64_t)copy * PST__ARRAY_PAGE, bytes, sizeof bytes,
                                  err);
}

static int sync_file(struct pst__array_store *store, struct pst_error *err)
{
    return pst__sys_sync(store->fd) < 0 ? fail_os(store, "flush", err) : PST_OK;
}

/* After a writer that died between the two copies of the root, and so that the next commit leaves
 * one of them good at any moment. The one that is good is not touched. */
static int make_equal(struct pst__array_store *store, struct pst_error *err)
{
    uint8_t mine[PST__ARRAY_ROOT], there[PST__ARRAY_ROOT];
    pst__array_root_encode(&store->root, mine);
    for (int copy = 0; copy < 2; copy++) {
        int rc = read_fd(store, (uint64_t)copy * PST__ARRAY_PAGE, sizeof there, there, err);
        if (rc == PST_OK && memcmp(mine, there, sizeof mine) != 0 &&
            (rc = write_root(store, copy, err)) == PST_OK)
            rc = sync_file(store, err);
        if (rc < 0)
            return rc;
    }
    return PST_OK;
}

static int open_edit(const char *path)
{
    int fd, tries = 0;
    do
        fd = pst__sys_open_edit(path);
    while (fd < 0 && errno == EINTR && ++tries < MAX_INTERRUPTED);
    return fd;
}

int pst__array_store_append(struct pst__array_store *store, const char *path,
                            struct pst__array_layout *layout, struct pst_error *err)
{
    *layout = (struct pst__array_layout){0};
    int rc = name_files(store, path, err);
    if (rc < 0)
        return rc;
    store->fd = open_edit(path);
    if (store->fd < 0)
        return fail_os(store, "open", err);
    if ((rc = lock(store, path, err)) == PST_OK &&
        (rc = read_layout(store, layout, err)) == PST_OK &&
        (rc = make_equal(store, err)) == PST_OK &&
        pst__sys_resize(store->fd, (off_t)store->tail) < 0)
        rc = fail_os(store, "cut", err);
    if (rc == PST_OK)
        return PST_OK;
    pst__array_layout_reset(layout);
    pst__sys_close(store->fd);
    store->fd = -1;
    return rc;
}

/* --- writing --- */

int pst__array_store_write(struct pst__array_store *store, uint64_t offset, const void *data,
                           size_t n, struct pst_error *err)
{
    return pst__write_at(store->fd, data, n, offset) < 0 ? fail_os(store, "write", err) : PST_OK;
}

int pst__array_store_allocate(struct pst__array_store *store, uint64_t from, uint64_t to,
                              struct pst_error *err)
{
    int rc, tries = 0;
    if (to <= from)
        return PST_OK;
    if (to > INT64_MAX)
        return pst__fail(err, PST_ELIMIT, "'%s' would have %" PRIu64 " bytes", store->shown, to);
    do
        rc = pst__sys_allocate(store->fd, (off_t)from, (off_t)(to - from));
    while (rc < 0 && errno == EINTR && ++tries < MAX_INTERRUPTED);
    return rc < 0 && errno != EOPNOTSUPP ? fail_os(store, "take the space for", err) : PST_OK;
}

int pst__array_store_commit(struct pst__array_store *store, const struct pst__array_layout *layout,
                            struct pst_error *err)
{
    struct pst__array_root root = {.sequence = store->root.sequence + 1,
                                   .footer_offset = store->tail};
    uint8_t *footer = pst__array_layout_encode(layout, &root.footer_size);
    if (!footer)
        return pst__fail(err, PST_ENOMEM, "no memory for the footer of '%s'", store->shown);
    root.footer_crc = pst__crc32c(0, footer, root.footer_size);
    root.file_size = root.footer_offset + root.footer_size;
    int rc = root.footer_size <= PST_MAX_ARRAY_FOOTER
                 ? pst__array_store_write(store, store->tail, footer, root.footer_size, err)
                 : pst__fail(err, PST_ELIMIT,
                             "'%s' has been written in too many parts: its footer would have "
                             "%" PRIu64 " bytes, the limit is %" PRIu64,
                             store->shown, root.footer_size, PST_MAX_ARRAY_FOOTER);
    pst__free(footer);
    if (rc == PST_OK)
        rc = sync_file(store, err);
    if (rc < 0)
        return rc;
    store->root = root;
    store->tail = root.file_size;
    for (int copy = 0; copy < 2 && rc == PST_OK; copy++)
        if ((rc = write_root(store, copy, err)) == PST_OK)
            rc = sync_file(store, err);
    return rc;
}

int pst__array_store_show(struct pst__array_store *store, struct pst_error *err)
{
    int is_there;
    int rc = pst__temporary_place(&store->temporary, store->path, &is_there, err);
    if (is_there)
        store->is_hidden = 0;
    return rc;
}

void pst__array_store_close(struct pst__array_store *store, int keep)
{
    if (store->fd < 0)
        return;
    /* Wishes: what is behind the root does not count, and the next writer cuts it off. */
    if (store->is_hidden && !(keep && store->root.sequence > 0))
        pst__sys_unlink(store->temporary.path);
    else if (store->root.sequence > 0)
        (void)pst__sys_resize(store->fd, (off_t)store->root.file_size);
    pst__sys_close(store->fd);
    store->fd = -1;
}
