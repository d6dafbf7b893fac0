/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BASE_SYS_H
#define PST_BASE_SYS_H

#include <dirent.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Everything the engine asks of the system that can fail goes through these calls. In a build with
 * checks (-Dchecks=true) each of them first asks the fault table whether it is to fail now; in a
 * release build they are the system's calls. Results are the system's, errno included. */

enum pst__sys_call {
    PST_SYS_ALLOC,
    PST_SYS_MAP,
    PST_SYS_OPEN,
    PST_SYS_STAT,
    PST_SYS_READ,
    PST_SYS_DIR, /* opendir, readdir */
    PST_SYS_THREAD,
    PST_SYS_CLOCK,
    PST_SYS_RANDOM,
    PST_SYS_WRITE, /* all that makes, fills, locks, flushes or renames a file */
    PST_SYS_RING,  /* setting up an io_uring, and handing it something */
    PST_SYS_N_CALLS,
};

void *pst__sys_malloc(size_t size); /* 64-byte aligned */
void pst__sys_free(void *block);
/* Hands what was freed back to the system, as far as the C library can: a wish. It keeps some of
 * each large block that others allocate. */
void pst__sys_trim(void);
/* Pages of zeros, counted among the allocations by the fault table; back with pst__sys_munmap(). */
void *pst__sys_malloc_pages(size_t size);
void *pst__sys_mmap(size_t size); /* anonymous, private; NULL on failure */
void pst__sys_munmap(void *block, size_t size);
/* The first size bytes of a file, shared with all who map it; NULL on failure. */
void *pst__sys_map_file(int fd, size_t size, int is_writable);
/* The same, writable: what is written is seen by this process alone, and takes memory then. */
void *pst__sys_map_copy(int fd, size_t size);
int pst__sys_open(const char *path);        /* read only, close on exec, never blocks on a FIFO */
int pst__sys_open_edit(const char *path);   /* the same for reading and writing */
int pst__sys_open_direct(const char *path); /* as pst__sys_open(), around the page cache */
int pst__sys_fstat(int fd, struct stat *st);
int pst__sys_stat(const char *path, struct stat *st);
ssize_t pst__sys_pread(int fd, void *buf, size_t n, off_t offset);
/* 0 where a read of the byte would wait for the disk; 1 also where the system does not say. */
int pst__sys_is_cached(int fd, off_t offset);
void pst__sys_close(int fd);
/* How offsets, sizes and memory have to be aligned to read the file around the page cache. 0: it
 * cannot be; 4096 where the system does not say. */
uint32_t pst__sys_direct_align(int fd);
struct io_uring;
/* A ring that a forked child does not get. 0 or an errno. */
int pst__sys_ring_init(struct io_uring *ring, unsigned entries);
void pst__sys_ring_reset(struct io_uring *ring);
/* Hands over what was prepared and waits for so many answers. 0, or an errno: ETIME when ns are
 * over. */
int pst__sys_ring_wait(struct io_uring *ring, unsigned least, int64_t ns);
int pst__sys_ring_drain(struct io_uring *ring, int64_t ns); /* for one; hands nothing over */
int pst__sys_ring_result(int result);                       /* what the ring says of a read */
/* For reading and writing, made where it is not there; only the user may read it. A link is refused
 * (ELOOP). */
int pst__sys_create(const char *path);
int pst__sys_create_public(const char *path); /* the same; whoever the umask lets may read it */
int pst__sys_lock(int fd); /* exclusive, never waits: EWOULDBLOCK where another has it */
int pst__sys_truncate(int fd);
int pst__sys_resize(int fd, off_t size);
/* Space for n bytes at offset; the file gets longer where it has to. ENOSPC, or EOPNOTSUPP where
 * the file system has no such call. */
int pst__sys_allocate(int fd, off_t offset, off_t n);
ssize_t pst__sys_write(int fd, const void *buf, size_t n);
ssize_t pst__sys_pwrite(int fd, const void *buf, size_t n, off_t offset);
int pst__sys_sync(int fd);
/* What was written to pages of a file that is mapped; start is that of a page. */
int pst__sys_sync_map(void *start, size_t size);
int pst__sys_getcwd(char *buf, size_t size); /* 0 or -1 */
int pst__sys_rename(const char *from, const char *to);
void pst__sys_unlink(const char *path); /* a wish */
int pst__sys_mkdir(const char *path);   /* for the user alone */
DIR *pst__sys_opendir(const char *path);
struct dirent *pst__sys_readdir(DIR *dir); /* NULL with errno 0 at the end */
void pst__sys_closedir(DIR *dir);
int pst__sys_thread_create(pthread_t *thread, void *(*fn)(void *), void *arg); /* 0 or an errno */
int64_t pst__sys_monotonic_ns(void);
/* The clock that the kernel stamps files with. Only for comparing with such a stamp. */
int64_t pst__sys_file_clock_ns(void);
int pst__sys_random(void *buf, size_t n); /* 0 or -1 */

#ifdef PST_CHECKS
/* The fault table. A call of a kind in mask (bit = 1 << enum pst__sys_call) counts; the nth counted
 * call (from 1) fails, and every later one too if forever. os_errno is what it fails with. Read
 * faults with os_errno 0 are short reads of 1 byte, write faults short writes; clock faults jump
 * ahead by an hour. Process-wide. */
void pst__fault_arm(uint32_t mask, int64_t nth, int forever, int os_errno);
void pst__fault_disarm(void);
int64_t pst__fault_calls(void); /* calls counted since pst__fault_arm() */
int64_t pst__fault_fired(void); /* of them made to fail */
/* How far the clock was made to jump, in all; it does not jump back by itself. */
int64_t pst__fault_clock_skew(void);
void pst__fault_clock_set_right(void); /* it may go back: while no thread waits */
#endif

#endif
