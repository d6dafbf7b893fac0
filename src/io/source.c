/* SPDX-License-Identifier: Apache-2.0 */
#include "io/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"
#include "io/guard.h"

#define MAX_INTERRUPTED 100
#define SHOWN 320

struct pst__source {
    _Atomic int64_t refs; /* taken relaxed, dropped acq_rel */
    int fd, slot;         /* slot: of the guard, -1 where nothing is mapped */
    enum pst__access access;
    struct stat was; /* when it was opened */
    uint8_t *data;
    char path[];
};

static const char *shown(const struct pst__source *source, char *text)
{
    return pst__printable(text, SHOWN, source->path);
}

static int open_retried(const char *path, enum pst__access access)
{
    int fd, tries = 0;
    do
        fd = access == PST__ACCESS_EDIT ? pst__sys_open_edit(path) : pst__sys_open(path);
    while (fd < 0 && errno == EINTR && ++tries < MAX_INTERRUPTED);
    return fd;
}

static int map(struct pst__source *source, struct pst_error *err)
{
    char text[SHOWN];
    size_t size = (size_t)source->was.st_size;
    if (source->access == PST__ACCESS_READ || size == 0)
        return PST_OK;
    int is_writable = source->access != PST__ACCESS_MAP;
    source->data = source->access == PST__ACCESS_COPY || source->access == PST__ACCESS_VIEW
                       ? pst__sys_map_copy(source->fd, size)
                       : pst__sys_map_file(source->fd, size, is_writable);
    if (!source->data)
        return pst__fail_os(err, errno, "cannot map the %zu bytes of '%s'", size,
                            shown(source, text));
    return pst__guard_watch(&source->slot, source->data, size, source->fd, is_writable,
                            source->path, err);
}

static int open_file(struct pst__source *source, struct pst_error *err)
{
    char text[SHOWN];
    source->fd = open_retried(source->path, source->access);
    if (source->fd < 0)
        return pst__fail_os(err, errno, "cannot open '%s'", shown(source, text));
    if (pst__sys_fstat(source->fd, &source->was) < 0)
        return pst__fail_os(err, errno, "cannot stat '%s'", shown(source, text));
    if (!S_ISREG(source->was.st_mode))
        return pst__fail(err, PST_EUNSUPPORTED, "'%s' is not a regular file", shown(source, text));
    /* What will be read is told with pst__source_intend(): the system's own guesses fetch megabytes
     * for each row. A wish. */
    if (source->access == PST__ACCESS_READ)
        (void)posix_fadvise(source->fd, 0, 0, POSIX_FADV_RANDOM);
    return map(source, err);
}

int pst__source_open(struct pst__source **out, const char *path, enum pst__access access,
                     struct pst_error *err)
{
    *out = NULL;
    size_t n = strlen(path) + 1;
    struct pst__source *source = pst__calloc(1, sizeof *source + n, PST_MEM_HEAP);
    if (!source)
        return pst__fail(err, PST_ENOMEM, "no memory for a file's handle");
    atomic_init(&source->refs, 1);
    source->fd = source->slot = -1;
    source->access = access;
    memcpy(source->path, path, n);
    int rc = open_file(source, err);
    if (rc < 0) {
        pst__source_unref(source);
        return rc;
    }
    *out = source;
    return PST_OK;
}

struct pst__source *pst__source_ref(struct pst__source *source)
{
    atomic_fetch_add_explicit(&source->refs, 1, memory_order_relaxed);
    return source;
}

void pst__source_unref(struct pst__source *source)
{
    if (!source || atomic_fetch_sub_explicit(&source->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (source->slot >= 0)
        pst__guard_unwatch(source->slot);
    if (source->data)
        pst__sys_munmap(source->data, (size_t)source->was.st_size);
    if (source->fd >= 0)
        pst__sys_close(source->fd);
    pst__free(source);
}

uint64_t pst__source_size(const struct pst__source *source)
{
    return (uint64_t)source->was.st_size;
}

const char *pst__source_path(const struct pst__source *source)
{
    return source->path;
}

uint8_t *pst__source_data(const struct pst__source *source)
{
    return source->data;
}

static void release(void *source)
{
    pst__source_unref(source);
}

int pst__source_buffer(struct pst__source *source, struct pst_buffer **out, struct pst_error *err)
{
    size_t size = source->data ? (size_t)source->was.st_size : 0;
    int rc = source->access == PST__ACCESS_EDIT || source->access == PST__ACCESS_COPY
                 ? pst_buffer_wrap(out, source->data, size, release, source, err)
                 : pst_buffer_wrap_const(out, source->data, size, release, source, err);
    if (rc == PST_OK)
        pst__source_ref(source);
    return rc;
}

/* --- reading
 * ------------------------------------------------------------------------------------------ */

static int cut(const struct pst__source *source, uint64_t offset, size_t n, uint64_t size,
               struct pst_error *err)
{
    char text[SHOWN];
    return pst__fail_at(err, PST_EIO, (int64_t)offset,
                        "'%s' was cut while it was open: %zu bytes at %llu expected, it had %llu "
                        "bytes and has %llu",
                        shown(source, text), n, (unsigned long long)offset,
                        (unsigned long long)source->was.st_size, (unsigned long long)size);
}

int pst__source_fault(const struct pst__source *source, const void *address, uint64_t offset,
                      size_t n, struct pst_error *err)
{
    char text[SHOWN];
    const uint8_t *at = address;
    uint64_t size = (uint64_t)source->was.st_size;
    if (at && source->data && at >= source->data && (uint64_t)(at - source->data) < size) {
        uint64_t page = (uint64_t)(at - source->data);
        n = page > offset && page - offset < n ? n - (size_t)(page - offset) : n;
        offset = page > offset ? page : offset;
    }
    struct stat st;
    if (pst__sys_fstat(source->fd, &st) == 0 && (uint64_t)st.st_size < offset + n)
        return cut(source, offset, n, (uint64_t)st.st_size, err);
    pst__fail_at(err, PST_EIO, (int64_t)offset, "'%s' could not be read at byte %llu: %s",
                 shown(source, text), (unsigned long long)offset, strerror(EIO));
    if (err && err->status == PST_EIO && err->os_errno == 0)
        err->os_errno = EIO;
    return PST_EIO;
}

uint64_t pst__source_size_now(const struct pst__source *source)
{
    struct stat st;
    return pst__sys_fstat(source->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static int read_some(const struct pst__source *source, uint64_t offset, size_t n, uint8_t *out,
                     struct pst_error *err)
{
    char text[SHOWN];
    for (size_t done = 0, tries = 0; done < n;) {
        unsigned long long at = offset + done;
        ssize_t got = pst__sys_pread(source->fd, out + done, n - done, (off_t)at);
        if (got == 0)
            return cut(source, at, n - done, at, err);
        if (got > 0) {
            done += (size_t)got;
            tries = 0;
        } else if (errno != EINTR || ++tries == MAX_INTERRUPTED) {
            return pst__fail_os(err, errno, "cannot read '%s' at byte %llu", shown(source, text),
                                at);
        }
    }
    return PST_OK;
}

struct copy {
    void *to;
    const void *from;
    size_t n;
};

static void copy(void *arg)
{
    struct copy *copy = arg;
    memcpy(copy->to, copy->from, copy->n);
}

int pst__source_read(const struct pst__source *source, uint64_t offset, size_t n, void *out,
                     struct pst_error *err)
{
    char text[SHOWN];
    uint64_t size = (uint64_t)source->was.st_size;
    if (offset > size || n > size - offset)
        return pst__fail_at(err, PST_ETRUNCATED, (int64_t)offset,
                            "'%s' ends too early: %zu bytes at %llu expected, it has %llu",
                            shown(source, text), n, (unsigned long long)offset,
                            (unsigned long long)size);
    if (!source->data)
        return read_some(source, offset, n, out, err);
    struct copy all = {out, source->data + offset, n};
    const void *address;
    if (pst__guarded(copy, &all, &address) < 0)
        return pst__source_fault(source, address, offset, n, err);
    if (pst__source_size_now(source) < offset + n)
        return pst__source_fault(source, NULL, offset, n, err);
    return PST_OK;
}

/* --- hints
 * -------------------------------------------------------------------------------------------- */

void pst__source_intend(const struct pst__source *source, uint64_t offset, size_t n)
{
    (void)posix_fadvise(source->fd, (off_t)offset, (off_t)n, POSIX_FADV_WILLNEED);
}

void pst__source_random(const struct pst__source *source)
{
    if (source->data)
        (void)madvise(source->data, (size_t)source->was.st_size, MADV_RANDOM);
}

int pst__source_is_resident(const struct pst__source *source, uint64_t offset)
{
    unsigned char page = 0;
    if (!source->data)
        return pst__sys_is_cached(source->fd, (off_t)offset);
    uintptr_t size = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t at = (uintptr_t)(source->data + offset) / size * size;
    return mincore((void *)at, 1, &page) == 0 && (page & 1);
}

static int64_t stamp(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

int pst__source_check(const struct pst__source *source, struct pst_error *err)
{
    char text[SHOWN];
    struct stat now;
    const struct stat *was = &source->was;
    if (pst__sys_stat(source->path, &now) < 0)
        return pst__fail_os(err, errno, "'%s' can no longer be found", shown(source, text));
    const char *what = now.st_dev != was->st_dev || now.st_ino != was->st_ino ? "is another file"
                       : now.st_size != was->st_size                          ? "has another size"
                       : stamp(&now) != stamp(was)                            ? "was written to"
                                                                              : NULL;
    if (!what)
        return PST_OK;
    return pst__fail(err, PST_EIO, "'%s' %s since it was opened: %lld bytes then, %lld now",
                     shown(source, text), what, (long long)was->st_size, (long long)now.st_size);
}
