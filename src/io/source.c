/* SPDX-License-Identifier: Apache-2.0 */
#include "io/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"
#include "io/direct.h"
#include "io/guard.h"

#define MAX_INTERRUPTED 100
#define SHOWN 320

struct pst__source {
    _Atomic int64_t refs; /* taken relaxed, dropped acq_rel */
    int fd, slot;         /* slot: of the guard, -1 where nothing is mapped */
    enum pst__access access;
    int refused;                    /* the errno for which it is not read around the page cache */
    struct pst__direct_file direct; /* fd is -1 where it is not */
    struct stat was;                /* when it was opened */
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
    if (source->access == PST__ACCESS_READ || source->access == PST__ACCESS_DIRECT || size == 0)
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

/* Whether the file can be read around the page cache is known when a block was: some systems refuse
 * it only then. Returns 0 or an errno. */
static int try_direct(struct pst__source *source)
{
    static const uint32_t least = 4096; /* a file system's block; smaller ones gain nothing */
    struct stat st;
    source->direct.fd = pst__sys_open_direct(source->path);
    if (source->direct.fd < 0)
        return errno;
    if (pst__sys_fstat(source->direct.fd, &st) < 0)
        return errno;
    uint32_t align = pst__sys_direct_align(source->direct.fd);
    source->direct.block = align > least ? align : least;
    if (align == 0 || source->direct.block > PST__DIRECT_BLOCK || source->direct.block % least != 0)
        return EINVAL;
    if (st.st_dev != source->was.st_dev || st.st_ino != source->was.st_ino)
        return ESTALE;
    void *block = pst__map(source->direct.block);
    if (!block)
        return ENOMEM;
    int os_errno =
        pst__sys_pread(source->direct.fd, block, source->direct.block, 0) < 0 ? errno : 0;
    pst__unmap(block, source->direct.block);
    /* Of others who reads it is told. */
    return os_errno == EINVAL || os_errno == EOPNOTSUPP ? os_errno : 0;
}

static void open_direct(struct pst__source *source)
{
    source->direct.size = (uint64_t)source->was.st_size;
    source->refused = try_direct(source);
    if (source->refused == 0) {
        pst__direct_open();
    } else if (source->direct.fd >= 0) {
        pst__sys_close(source->direct.fd);
        source->direct.fd = -1;
    }
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
    if (source->access == PST__ACCESS_READ || source->access == PST__ACCESS_DIRECT)
        (void)posix_fadvise(source->fd, 0, 0, POSIX_FADV_RANDOM);
    if (source->access == PST__ACCESS_DIRECT)
        open_direct(source);
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
    source->fd = source->slot = source->direct.fd = -1;
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
    if (source->direct.fd >= 0) {
        pst__sys_close(source->direct.fd);
        pst__direct_close();
    }
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

int pst__source_is_direct(const struct pst__source *source, int *refused)
{
    if (refused)
        *refused = source->refused;
    return source->direct.fd >= 0;
}

const struct pst__direct_file *pst__source_direct(const struct pst__source *source)
{
    return &source->direct;
}

int pst__source_read_otherwise(const struct pst__span *part, int os_errno, struct pst_error *err)
{
    char text[SHOWN];
    unsigned long long at = part->offset;
    int rc = os_errno == 0 ? read_some(part->source, part->offset, part->n, part->to, err)
                           : pst__fail_os(err, os_errno, "cannot read '%s' at byte %llu",
                                          shown(part->source, text), at);
    if (rc < 0 && err) {
        err->record = part->index;
        if (err->offset < 0)
            err->offset = (int64_t)part->offset;
    }
    return rc;
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

static int check_within(const struct pst__source *source, uint64_t offset, size_t n,
                        struct pst_error *err)
{
    char text[SHOWN];
    uint64_t size = (uint64_t)source->was.st_size;
    if (offset <= size && n <= size - offset)
        return PST_OK;
    return pst__fail_at(err, PST_ETRUNCATED, (int64_t)offset,
                        "'%s' ends too early: %zu bytes at %llu expected, it has %llu",
                        shown(source, text), n, (unsigned long long)offset,
                        (unsigned long long)size);
}

int pst__source_read(const struct pst__source *source, uint64_t offset, size_t n, void *out,
                     struct pst_error *err)
{
    int rc = check_within(source, offset, n, err);
    if (rc < 0)
        return rc;
    if (source->direct.fd >= 0 && n >= PST__DIRECT_LEAST) {
        struct pst__span span = {source, offset, n, out, err ? err->record : -1};
        return pst__direct_read(&span, 1, err);
    }
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

/* The first span behind those from i on that are read alike. Where that is not around the page
 * cache, they follow each other in the file and in memory: one read. */
static size_t end_of_run(const struct pst__span *spans, size_t i, size_t n)
{
    const struct pst__span *first = &spans[i];
    size_t bytes = first->n, end = i + 1;
    if (first->source->direct.fd >= 0) {
        while (end < n && spans[end].source->direct.fd >= 0)
            end++;
        return end;
    }
    while (end < n && spans[end].source == first->source &&
           spans[end].offset == first->offset + bytes && spans[end].to == first->to + bytes)
        bytes += spans[end++].n;
    return end;
}

static int read_run(const struct pst__span *spans, size_t n, struct pst_error *err)
{
    const struct pst__span *last = &spans[n - 1];
    if (spans->source->direct.fd >= 0)
        return pst__direct_read(spans, n, err);
    int rc = pst__source_read(spans->source, spans->offset,
                              (size_t)(last->offset - spans->offset) + last->n, spans->to, err);
    if (rc < 0 && err) {
        while (spans < last && err->offset >= 0 && spans[1].offset <= (uint64_t)err->offset)
            spans++;
        err->record = spans->index;
    }
    return rc;
}

static int by_place(const void *a, const void *b)
{
    const struct pst__span *one = a, *other = b;
    if (one->source != other->source)
        return (uintptr_t)one->source < (uintptr_t)other->source ? -1 : 1;
    if (one->offset != other->offset)
        return one->offset < other->offset ? -1 : 1;
    return one->to < other->to ? -1 : one->to > other->to;
}

int pst__spans_read(struct pst__span *spans, size_t n, struct pst_error *err)
{
    int rc = PST_OK, is_sorted = 1;
    for (size_t i = 0; i < n; i++) {
        if ((rc = check_within(spans[i].source, spans[i].offset, spans[i].n, err)) < 0) {
            if (err)
                err->record = spans[i].index;
            return rc;
        }
        is_sorted &= i == 0 || by_place(&spans[i - 1], &spans[i]) <= 0;
    }
    if (!is_sorted)
        qsort(spans, n, sizeof *spans, by_place);
    for (size_t i = 0, end; i < n && rc == PST_OK; i = end) {
        end = end_of_run(spans, i, n);
        rc = read_run(spans + i, end - i, err);
    }
    return rc;
}

/* --- hints
 * -------------------------------------------------------------------------------------------- */

void pst__source_intend(const struct pst__source *source, uint64_t offset, size_t n)
{
    /* Of one call the system fetches no more than the disk's read-ahead, or its largest request. */
    static const size_t most = 128 << 10;
    for (size_t done = 0; done < n; done += most)
        (void)posix_fadvise(source->fd, (off_t)(offset + done),
                            (off_t)(n - done < most ? n - done : most), POSIX_FADV_WILLNEED);
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
