/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/status.h"
#include "base/sys.h"
#include "base/thread.h"
#include "check.h"
#include "io/source.h"
#include "unit/format_tree.h"

#define SIZE ((size_t)3000000 + 77) /* the last block is not whole */
#define MOST 400                    /* spans of a call */
#define LONGEST 400000              /* several reads */
#define N_FILES 3

static struct tree tree;
static uint8_t *bytes; /* of each file, the first byte of which is its number */

static uint64_t state;
static uint64_t below(uint64_t n)
{
    return pst__mix64(state++) % n;
}

static struct pst__source *open_file(const char *name)
{
    char path[TREE_PATH];
    struct pst__source *source;
    CHECK_INT(pst__source_open(&source, tree_path(&tree, path, name), PST__ACCESS_DIRECT, NULL),
              PST_OK);
    CHECK_INT(pst__source_size(source), SIZE);
    return source;
}

static void make_files(void)
{
    tree_open(&tree);
    bytes = malloc(SIZE);
    CHECK(bytes);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(pst__mix64(i / 8) >> i % 8);
    for (char name[] = "0"; name[0] < '0' + N_FILES; name[0]++) {
        bytes[0] = (uint8_t)name[0];
        tree_bytes(&tree, name, bytes, SIZE);
    }
}

static void remove_files(void)
{
    free(bytes);
    tree_close(&tree);
}

/* What a case reads: spans of some size, with gaps or without, any order, some twice. */
static size_t make_spans(struct pst__span *spans, struct pst__source *const *sources, uint8_t *to,
                         size_t most_bytes)
{
    size_t n = 1 + (size_t)below(MOST), used = 0;
    int is_row = below(2) == 0, is_next = below(4) == 0;
    uint64_t row = 1 + below(20000), next = below(5000);
    for (size_t i = 0; i < n; i++) {
        size_t size = is_row ? (size_t)row : (size_t)below(below(8) == 0 ? LONGEST : 6000);
        uint64_t at = is_next ? next : is_row ? below(SIZE / row) * row : below(SIZE);
        if (i > 0 && below(10) == 0)
            at = spans[i - 1].offset;
        if (size > SIZE - at)
            size = SIZE - at;
        if (used + size > most_bytes)
            return i;
        spans[i] = (struct pst__span){sources[below(N_FILES)], at, size, to + used, (int64_t)i};
        used += size;
        next = at + size < SIZE ? at + size + (below(3) == 0 ? below(9000) : 0) : 0;
        next = next < SIZE ? next : 0;
    }
    return n;
}

static void check_spans(const struct pst__span *spans, size_t n, struct pst__source *const *sources)
{
    for (size_t i = 0; i < n; i++) {
        const struct pst__span *span = &spans[i];
        size_t from = span->offset == 0 && span->n > 0 ? 1 : 0;
        CHECK(memcmp(span->to + from, bytes + span->offset + from, span->n - from) == 0);
        if (from)
            CHECK(sources[span->to[0] - '0'] == span->source);
    }
}

static void read_and_check(int turns)
{
    struct pst__source *sources[N_FILES];
    static const size_t most = 8u << 20;
    struct pst__span *spans = malloc(MOST * sizeof *spans);
    uint8_t *to = malloc(most);
    CHECK(spans && to);
    for (int i = 0; i < N_FILES; i++)
        sources[i] = open_file((char[]){(char)('0' + i), 0});
    for (int turn = 0; turn < turns; turn++) {
        memset(to, 0xee, most);
        size_t n = make_spans(spans, sources, to, most);
        CHECK_INT(pst__spans_read(spans, n, NULL), PST_OK);
        check_spans(spans, n, sources);
        check_tried(1);
    }
    for (int i = 0; i < N_FILES; i++)
        pst__source_unref(sources[i]);
    free(spans);
    free(to);
}

static void equal(void)
{
    int64_t blocks = pst__mem_blocks();
    make_files();
    read_and_check(60);
    remove_files();
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void *read_in_thread(void *arg)
{
    (void)arg;
    struct pst__source *source = open_file("1");
    uint8_t *to = malloc(SIZE);
    CHECK(to);
    for (size_t at = 0; at < SIZE; at += 100000) {
        struct pst__span spans[50];
        size_t n = 0;
        for (size_t part = at; part < at + 100000 && part < SIZE; part += 2000)
            spans[n++] = (struct pst__span){source, part, SIZE - part < 2000 ? SIZE - part : 2000,
                                            to + part, 0};
        CHECK_INT(pst__spans_read(spans, n, NULL), PST_OK);
    }
    CHECK(memcmp(to + 1, bytes + 1, SIZE - 1) == 0);
    free(to);
    pst__source_unref(source);
    return NULL;
}

/* Each thread has a ring of its own, which goes with it. */
static void threads(void)
{
    int64_t blocks = pst__mem_blocks();
    pthread_t thread[8];
    make_files();
    struct pst__source *held = open_file("2");
    for (size_t i = 0; i < PST_COUNTOF(thread); i++)
        CHECK_INT(pthread_create(&thread[i], NULL, read_in_thread, NULL), 0);
    for (size_t i = 0; i < PST_COUNTOF(thread); i++)
        pthread_join(thread[i], NULL);
    pst__source_unref(held);
    remove_files();
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* A child makes a ring of its own; the parent's goes on. */
static void forked(void)
{
    make_files();
    struct pst__source *source = open_file("0");
    uint8_t out[5000];
    CHECK_INT(pst__source_read(source, 5, 5000, out, NULL), PST_OK);
    for (int i = 0; i < 5; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            read_in_thread(NULL);
            memset(out, 0, sizeof out);
            if (pst__source_read(source, 100005, 5000, out, NULL) != PST_OK ||
                memcmp(out, bytes + 100005, 5000) != 0)
                _exit(1);
            pst__source_unref(source);
            _exit(0);
        }
        CHECK_INT(pst__source_read(source, 200005, 5000, out, NULL), PST_OK);
        CHECK(memcmp(out, bytes + 200005, 5000) == 0);
        int status;
        CHECK_INT(waitpid(child, &status, 0), child);
        CHECK_INT(status, 0);
    }
    pst__source_unref(source);
    remove_files();
}

/* Of a file that was cut the first span that is gone is named, and what is left can be had. */
static void cut(void)
{
    char path[TREE_PATH];
    uint8_t *to = malloc(SIZE);
    CHECK(to);
    for (size_t size = 5000; size < SIZE; size += 271828) {
        make_files();
        struct pst__source *source = open_file("0");
        CHECK_INT(truncate(tree_path(&tree, path, "0"), (off_t)size), 0);
        struct pst__span spans[300];
        for (size_t i = 0; i < 300; i++)
            spans[i] = (struct pst__span){source, i * 10000, 10000, to + i * 10000, (int64_t)i};
        struct pst_error err = {0};
        CHECK_INT(pst__spans_read(spans, 300, &err), PST_EIO);
        CHECK_HAS(err.message, "/0' was cut while it was open");
        CHECK_INT(err.record, (int64_t)(size / 10000));
        CHECK_INT(err.offset, (int64_t)size);
        memset(to, 0, SIZE);
        CHECK_INT(pst__spans_read(spans, size / 10000, NULL), PST_OK);
        CHECK(size < 10000 || memcmp(to + 1, bytes + 1, size / 10000 * 10000 - 1) == 0);
        pst__source_unref(source);
        remove_files();
        check_tried(1);
    }
    free(to);
}

static size_t n_cached(const struct pst__source *source)
{
    char path[TREE_PATH];
    size_t n_pages = (SIZE + 4095) / 4096, n = 0;
    unsigned char *pages = malloc(n_pages);
    int fd = open(tree_path(&tree, path, "0"), O_RDONLY);
    void *map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(pages && fd >= 0 && map != MAP_FAILED);
    CHECK_INT(mincore(map, SIZE, pages), 0);
    for (size_t i = 0; i < n_pages; i++)
        n += pages[i] & 1;
    munmap(map, SIZE);
    close(fd);
    free(pages);
    (void)source;
    return n;
}

/* The page cache stays as it was. */
static void around(void)
{
    char path[TREE_PATH];
    make_files();
    struct pst__source *source = open_file("0");
    int fd = open(tree_path(&tree, path, "0"), O_RDONLY), refused;
    CHECK(fd >= 0);
    CHECK_INT(fsync(fd), 0);
    CHECK_INT(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    if (!pst__source_is_direct(source, &refused))
        fprintf(stderr, "not read around the page cache: %s\n", strerror(refused));
    /* In a file system in memory the file is the page cache. */
    if (pst__source_is_direct(source, NULL) && n_cached(source) == 0) {
        uint8_t *to = malloc(SIZE);
        CHECK(to);
        struct pst__span span = {source, 0, SIZE, to, 0};
        CHECK_INT(pst__spans_read(&span, 1, NULL), PST_OK);
        CHECK(memcmp(to + 1, bytes + 1, SIZE - 1) == 0);
        CHECK_INT(n_cached(source), 0);
        free(to);
    }
    close(fd);
    pst__source_unref(source);
    remove_files();
}

static void beyond(void)
{
    make_files();
    uint8_t out[10];
    struct pst_error err = {0};
    struct pst__source *source = open_file("0");
    struct pst__span spans[] = {{source, 5, 10, out, 70}, {source, SIZE - 9, 10, out, 71}};
    CHECK_INT(pst__spans_read(spans, 2, &err), PST_ETRUNCATED);
    CHECK_INT(err.record, 71);
    CHECK_INT(pst__spans_read(spans, 0, NULL), PST_OK);
    pst__source_unref(source);
    remove_files();
}

#ifdef PST_CHECKS
static uint32_t bit(enum pst__sys_call call)
{
    return UINT32_C(1) << call;
}

/* Where the system lets nobody have a ring the same bytes are read one after the other. */
static void without_ring(void)
{
    static const int errnos[] = {ENOSYS, EPERM, ENOMEM};
    int64_t blocks = pst__mem_blocks();
    make_files();
    for (size_t e = 0; e < PST_COUNTOF(errnos); e++) {
        pst__fault_arm(bit(PST_SYS_RING), 1, 1, errnos[e]);
        struct pst__source *source = open_file("0");
        CHECK_INT(pst__direct_ring(), errnos[e]);
        read_and_check(10);
        pst__source_unref(source);
        CHECK(pst__fault_fired() > 0);
        pst__fault_disarm();
    }
    remove_files();
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* A ring that takes nothing from some call on, once or for ever: what it took is waited for, and
 * all is read. */
static void ring_fails(void)
{
    static const int errnos[] = {EAGAIN, EINTR, EBUSY, ENOMEM};
    int64_t blocks = pst__mem_blocks();
    make_files();
    for (size_t e = 0; e < PST_COUNTOF(errnos); e++)
        for (int forever = 0; forever < 2; forever++)
            for (int64_t nth = 2; nth < 60; nth += 7) {
                pst__fault_arm(bit(PST_SYS_RING), nth, forever, errnos[e]);
                read_and_check(2);
                pst__fault_disarm();
                CHECK_INT(pst__mem_blocks(), blocks);
            }
    remove_files();
}

/* A ring that does not answer within the deadline is an error that says where. */
static void no_answer(void)
{
    int64_t blocks = pst__mem_blocks();
    make_files();
    uint8_t *to = malloc(SIZE);
    CHECK(to);
    struct pst__source *source = open_file("0");
    struct pst__span span = {source, 8192, SIZE - 8192, to, 5};
    struct pst_error err = {0};
    pst__fault_arm(bit(PST_SYS_RING), 2, 0, ETIME);
    int rc = pst__spans_read(&span, 1, &err);
    int is_with_ring = pst__fault_fired() > 0;
    pst__fault_disarm();
    if (is_with_ring) {
        CHECK_INT(rc, PST_EIO);
        CHECK_INT(err.os_errno, ETIMEDOUT);
        CHECK_INT(err.offset, 8192);
        CHECK_INT(err.record, 5);
        CHECK_HAS(err.message, "/0' at byte 8192");
    }
    CHECK_INT(pst__spans_read(&span, 1, NULL), PST_OK);
    CHECK(memcmp(to, bytes + 8192, SIZE - 8192) == 0);
    free(to);
    pst__source_unref(source);
    remove_files();
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* What passes is read again; what the disk says is an error with file, offset and span. */
static void reads_fail(void)
{
    static const struct {
        int os_errno, is_passing;
    } cases[] = {{0, 1}, {EINTR, 1}, {EAGAIN, 1}, {EINVAL, 1}, {EIO, 0}, {ENODEV, 0}};
    make_files();
    uint8_t *to = malloc(SIZE);
    CHECK(to);
    for (int has_ring = 0; has_ring < 2; has_ring++)
        for (size_t c = 0; c < PST_COUNTOF(cases); c++)
            for (int64_t nth = 1; nth < 20; nth += 3) {
                if (!has_ring)
                    pst__fault_arm(bit(PST_SYS_RING), 1, 1, EPERM);
                struct pst__source *source = open_file("0");
                (void)pst__direct_ring();
                struct pst__span spans[30];
                for (size_t i = 0; i < 30; i++)
                    spans[i] =
                        (struct pst__span){source, i * 90000, 5000, to + i * 5000, (int64_t)i};
                struct pst_error err = {0};
                pst__fault_arm(bit(PST_SYS_READ), nth, 0, cases[c].os_errno);
                int rc = pst__spans_read(spans, 30, &err);
                pst__fault_disarm();
                CHECK_INT(rc, cases[c].is_passing ? PST_OK : PST_EIO);
                for (size_t i = 0; rc == PST_OK && i < 30; i++)
                    CHECK(memcmp(to + i * 5000 + 1, bytes + i * 90000 + 1, 4999) == 0);
                if (rc < 0) {
                    CHECK_INT(err.os_errno, cases[c].os_errno);
                    CHECK_INT(err.offset, err.record * 90000);
                    CHECK_HAS(err.message, "cannot read '");
                }
                pst__source_unref(source);
                check_tried(1);
            }
    free(to);
    remove_files();
}

/* A file system that refuses, at once or when it is read: through the page cache, and said so. */
static void refused(void)
{
    static const struct {
        enum pst__sys_call call;
        int64_t nth;
        int os_errno;
    } cases[] = {{PST_SYS_OPEN, 2, EINVAL},
                 {PST_SYS_READ, 1, EINVAL},
                 {PST_SYS_READ, 1, EOPNOTSUPP},
                 {PST_SYS_STAT, 2, EIO},
                 {PST_SYS_MAP, 1, ENOMEM}};
    int64_t blocks = pst__mem_blocks();
    make_files();
    for (size_t c = 0; c < PST_COUNTOF(cases); c++) {
        int os_errno = -1;
        uint8_t out[9000];
        pst__fault_arm(bit(cases[c].call), cases[c].nth, 0, cases[c].os_errno);
        struct pst__source *source = open_file("0");
        pst__fault_disarm();
        CHECK_INT(pst__source_is_direct(source, &os_errno), 0);
        CHECK_INT(os_errno, cases[c].os_errno);
        struct pst__span span = {source, 4000, 9000, out, 0};
        CHECK_INT(pst__spans_read(&span, 1, NULL), PST_OK);
        CHECK(memcmp(out, bytes + 4000, 9000) == 0);
        pst__source_unref(source);
    }
    remove_files();
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* Without memory for the reads the page cache has to do. */
static void without_memory(void)
{
    static const enum pst__sys_call calls[] = {PST_SYS_ALLOC, PST_SYS_MAP};
    int64_t blocks = pst__mem_blocks();
    make_files();
    for (size_t c = 0; c < PST_COUNTOF(calls); c++) {
        uint8_t out[9000];
        struct pst__source *source = open_file("0");
        struct pst__span span = {source, 4000, 9000, out, 0};
        pst__fault_arm(bit(calls[c]), 1, 1, ENOMEM);
        CHECK_INT(pst__spans_read(&span, 1, NULL), PST_OK);
        CHECK_INT(pst__direct_ring(), ENOMEM);
        pst__fault_disarm();
        CHECK(memcmp(out, bytes + 4000, 9000) == 0);
        pst__source_unref(source);
    }
    remove_files();
    CHECK_INT(pst__mem_blocks(), blocks);
}

CHECK_MAIN(CASE(equal), CASE(threads), CASE(forked), FAULT("R4", cut), CASE(around), CASE(beyond),
           CASE(without_ring), CASE(ring_fails), CASE(no_answer), FAULT("R7", reads_fail),
           CASE(refused), FAULT("R17", without_memory))
#else
CHECK_MAIN(CASE(equal), CASE(threads), CASE(forked), FAULT("R4", cut), CASE(around), CASE(beyond))
#endif
