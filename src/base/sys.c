/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/attributes.h"

/* Below it the kernel has no huge page to give. */
#define HUGE_PAGE (2u << 20)

#ifdef PST_CHECKS
#include <stdatomic.h>

#define HOUR_NS 3600000000000ll

/* The fault table. `mask` is stored last with release and read first with acquire: a call that sees
 * its kind armed sees the rest of the table. The other fields are relaxed. */
static struct {
    _Atomic uint32_t mask;
    _Atomic int64_t nth, calls, fired;
    _Atomic int forever, os_errno;
    _Atomic int64_t clock_skew;
} faults;

void pst__fault_arm(uint32_t mask, int64_t nth, int forever, int os_errno)
{
    pst__fault_disarm();
    atomic_store_explicit(&faults.nth, nth, memory_order_relaxed);
    atomic_store_explicit(&faults.forever, forever, memory_order_relaxed);
    atomic_store_explicit(&faults.os_errno, os_errno, memory_order_relaxed);
    atomic_store_explicit(&faults.calls, 0, memory_order_relaxed);
    atomic_store_explicit(&faults.fired, 0, memory_order_relaxed);
    atomic_store_explicit(&faults.mask, mask, memory_order_release);
}

void pst__fault_disarm(void)
{
    atomic_store_explicit(&faults.mask, 0, memory_order_release);
}

int64_t pst__fault_calls(void)
{
    return atomic_load_explicit(&faults.calls, memory_order_relaxed);
}

int64_t pst__fault_fired(void)
{
    return atomic_load_explicit(&faults.fired, memory_order_relaxed);
}

int64_t pst__fault_clock_skew(void)
{
    return atomic_load_explicit(&faults.clock_skew, memory_order_relaxed);
}

void pst__fault_clock_set_right(void)
{
    atomic_store_explicit(&faults.clock_skew, 0, memory_order_relaxed);
}

/* The errno that this call is to fail with, or -1. */
static int fault(enum pst__sys_call call)
{
    if (!(atomic_load_explicit(&faults.mask, memory_order_acquire) & 1u << call))
        return -1;
    int64_t n = atomic_fetch_add_explicit(&faults.calls, 1, memory_order_relaxed) + 1;
    int64_t nth = atomic_load_explicit(&faults.nth, memory_order_relaxed);
    if (n != nth && !(n > nth && atomic_load_explicit(&faults.forever, memory_order_relaxed)))
        return -1;
    atomic_fetch_add_explicit(&faults.fired, 1, memory_order_relaxed);
    return atomic_load_explicit(&faults.os_errno, memory_order_relaxed);
}

/* Leaves the calling function with `result` and errno set if the table says so. */
#define FAULT(call, result)                                                                        \
    do {                                                                                           \
        int fault_errno = fault(call);                                                             \
        if (fault_errno >= 0) {                                                                    \
            errno = fault_errno;                                                                   \
            return result;                                                                         \
        }                                                                                          \
    } while (0)

/* The same of a call that reads or writes n bytes: without an errno it does so with one of them. */
#define FAULT_BYTES(call, n)                                                                       \
    do {                                                                                           \
        int fault_errno = fault(call);                                                             \
        if (fault_errno > 0) {                                                                     \
            errno = fault_errno;                                                                   \
            return -1;                                                                             \
        }                                                                                          \
        if (fault_errno == 0 && (n) > 1)                                                           \
            (n) = 1;                                                                               \
    } while (0)
#else
#define FAULT(call, result) ((void)0)
#define FAULT_BYTES(call, n) ((void)0)
#endif

void *pst__sys_malloc(size_t size)
{
    FAULT(PST_SYS_ALLOC, NULL);
    void *block;
    int rc = posix_memalign(&block, 64, size);
    if (rc != 0) {
        errno = rc;
        return NULL;
    }
    return block;
}

void pst__sys_free(void *block)
{
    free(block);
}

void pst__sys_trim(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

static void *map_pages(size_t size)
{
    void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return NULL;
    /* A wish: where it is refused the pages are small. */
    if (size >= HUGE_PAGE)
        (void)madvise(block, size, MADV_HUGEPAGE);
    return block;
}

void *pst__sys_malloc_pages(size_t size)
{
    FAULT(PST_SYS_ALLOC, NULL);
    return map_pages(size);
}

void *pst__sys_mmap(size_t size)
{
    FAULT(PST_SYS_MAP, NULL);
    return map_pages(size);
}

void *pst__sys_map_file(int fd, size_t size, int is_writable)
{
    FAULT(PST_SYS_MAP, NULL);
    void *block = mmap(NULL, size, PROT_READ | (is_writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    return block == MAP_FAILED ? NULL : block;
}

void *pst__sys_map_copy(int fd, size_t size)
{
    FAULT(PST_SYS_MAP, NULL);
    void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
    return block == MAP_FAILED ? NULL : block;
}

void pst__sys_munmap(void *block, size_t size)
{
    /* Whole pages, as the system takes them: ThreadSanitizer forgets no part of one, and would hold
     * what this thread wrote against the one whose ring comes to lie there. */
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    munmap(block, (size + page - 1) / page * page);
}

int pst__sys_open(const char *path)
{
    FAULT(PST_SYS_OPEN, -1);
    /* O_NONBLOCK: open() of a FIFO without a writer would wait; regular files do not know it. */
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

int pst__sys_open_edit(const char *path)
{
    FAULT(PST_SYS_OPEN, -1);
    return open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

int pst__sys_open_direct(const char *path)
{
    FAULT(PST_SYS_OPEN, -1);
    return open(path, O_RDONLY | O_DIRECT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

int pst__sys_fstat(int fd, struct stat *st)
{
    FAULT(PST_SYS_STAT, -1);
    return fstat(fd, st);
}

int pst__sys_stat(const char *path, struct stat *st)
{
    FAULT(PST_SYS_STAT, -1);
    return stat(path, st);
}

ssize_t pst__sys_pread(int fd, void *buf, size_t n, off_t offset)
{
    FAULT_BYTES(PST_SYS_READ, n);
    return pread(fd, buf, n, offset);
}

int pst__sys_is_cached(int fd, off_t offset)
{
    char byte;
    struct iovec one = {&byte, 1};
    return preadv2(fd, &one, 1, offset, RWF_NOWAIT) >= 0 || errno != EAGAIN;
}

void pst__sys_close(int fd)
{
    close(fd);
}

uint32_t pst__sys_direct_align(int fd)
{
#ifdef STATX_DIOALIGN
    struct statx stx = {0};
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 && stx.stx_mask & STATX_DIOALIGN) {
        uint32_t memory = stx.stx_dio_mem_align, offset = stx.stx_dio_offset_align;
        return offset > 0 && memory > offset ? memory : offset;
    }
#endif
    (void)fd;
    return 4096;
}

int pst__sys_ring_init(struct io_uring *ring, unsigned entries)
{
    struct io_uring_params params = {0};
#ifdef PST_CHECKS
    int failed = fault(PST_SYS_RING);
    if (failed >= 0)
        return failed > 0 ? failed : ENOSYS;
#endif
    int rc = io_uring_queue_init_params(entries, ring, &params);
    if (rc < 0)
        return -rc;
    /* Without it a deadline takes a place in the ring. */
    if (params.features & IORING_FEAT_EXT_ARG && (rc = io_uring_ring_dontfork(ring)) == 0)
        return 0;
    io_uring_queue_exit(ring);
    return rc < 0 ? -rc : ENOSYS;
}

void pst__sys_ring_reset(struct io_uring *ring)
{
    io_uring_queue_exit(ring);
}

int pst__sys_ring_wait(struct io_uring *ring, unsigned least, int64_t ns)
{
    struct io_uring_cqe *first;
    struct __kernel_timespec most = {ns / 1000000000, ns % 1000000000};
#ifdef PST_CHECKS
    int failed = fault(PST_SYS_RING);
    if (failed >= 0)
        return failed > 0 ? failed : EAGAIN;
#endif
    int rc = io_uring_submit_and_wait_timeout(ring, &first, least, &most, NULL);
    return rc < 0 ? -rc : 0;
}

int pst__sys_ring_drain(struct io_uring *ring, int64_t ns)
{
    struct io_uring_cqe *first;
    struct __kernel_timespec most = {ns / 1000000000, ns % 1000000000};
    int rc = io_uring_wait_cqe_timeout(ring, &first, &most);
    return rc == -EINTR ? 0 : -rc;
}

int pst__sys_ring_result(int result)
{
#ifdef PST_CHECKS
    int failed = fault(PST_SYS_READ);
    if (failed > 0)
        return -failed;
    if (failed == 0 && result > 1)
        return 1;
#endif
    return result;
}

int pst__sys_create(const char *path)
{
    FAULT(PST_SYS_WRITE, -1);
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
}

int pst__sys_create_public(const char *path)
{
    FAULT(PST_SYS_WRITE, -1);
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0666);
}

int pst__sys_lock(int fd)
{
    FAULT(PST_SYS_WRITE, -1);
    return flock(fd, LOCK_EX | LOCK_NB);
}

int pst__sys_truncate(int fd)
{
    FAULT(PST_SYS_WRITE, -1);
    return ftruncate(fd, 0);
}

int pst__sys_resize(int fd, off_t size)
{
    FAULT(PST_SYS_WRITE, -1);
    return ftruncate(fd, size);
}

int pst__sys_allocate(int fd, off_t offset, off_t n)
{
    FAULT(PST_SYS_WRITE, -1);
    return fallocate(fd, 0, offset, n);
}

ssize_t pst__sys_write(int fd, const void *buf, size_t n)
{
    FAULT_BYTES(PST_SYS_WRITE, n);
    return write(fd, buf, n);
}

ssize_t pst__sys_pwrite(int fd, const void *buf, size_t n, off_t offset)
{
    FAULT_BYTES(PST_SYS_WRITE, n);
    return pwrite(fd, buf, n, offset);
}

int pst__sys_sync(int fd)
{
    FAULT(PST_SYS_WRITE, -1);
    return fsync(fd);
}

int pst__sys_sync_map(void *start, size_t size)
{
    FAULT(PST_SYS_WRITE, -1);
    return msync(start, size, MS_SYNC);
}

int pst__sys_getcwd(char *buf, size_t size)
{
    FAULT(PST_SYS_STAT, -1);
    return getcwd(buf, size) ? 0 : -1;
}

int pst__sys_rename(const char *from, const char *to)
{
    FAULT(PST_SYS_WRITE, -1);
    return rename(from, to);
}

void pst__sys_unlink(const char *path)
{
    unlink(path);
}

int pst__sys_mkdir(const char *path)
{
    FAULT(PST_SYS_WRITE, -1);
    return mkdir(path, 0700);
}

DIR *pst__sys_opendir(const char *path)
{
    FAULT(PST_SYS_DIR, NULL);
    return opendir(path);
}

struct dirent *pst__sys_readdir(DIR *dir)
{
    FAULT(PST_SYS_DIR, NULL);
    errno = 0;
    return readdir(dir);
}

void pst__sys_closedir(DIR *dir)
{
    closedir(dir);
}

int pst__sys_thread_create(pthread_t *thread, void *(*fn)(void *), void *arg)
{
#ifdef PST_CHECKS
    int failed = fault(PST_SYS_THREAD);
    if (failed >= 0)
        return failed > 0 ? failed : EAGAIN;
#endif
    return pthread_create(thread, NULL, fn, arg);
}

int64_t pst__sys_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
#ifdef PST_CHECKS
    if (fault(PST_SYS_CLOCK) >= 0)
        atomic_fetch_add_explicit(&faults.clock_skew, HOUR_NS, memory_order_relaxed);
    ns += atomic_load_explicit(&faults.clock_skew, memory_order_relaxed);
#endif
    return ns;
}

int64_t pst__sys_file_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    int64_t ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
#ifdef PST_CHECKS
    if (fault(PST_SYS_CLOCK) >= 0)
        atomic_fetch_add_explicit(&faults.clock_skew, HOUR_NS, memory_order_relaxed);
    ns += atomic_load_explicit(&faults.clock_skew, memory_order_relaxed);
#endif
    return ns;
}

int pst__sys_random(void *buf, size_t n)
{
    FAULT(PST_SYS_RANDOM, -1);
    for (size_t done = 0; done < n;) {
        ssize_t got = getrandom((char *)buf + done, n - done, 0);
        if (got < 0 && errno != EINTR)
            return -1;
        if (got > 0)
            done += (size_t)got;
    }
    return 0;
}
