/* SPDX-License-Identifier: Apache-2.0 */
#include "io/source.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/thread.h"
#include "check.h"
#include "io/guard.h"
#include "unit/format_tree.h"

#define SIZE 100000

static struct tree tree;
static uint8_t bytes[SIZE];

static const char *make(char *path, size_t size)
{
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    tree_open(&tree);
    tree_bytes(&tree, "file", bytes, size);
    return tree_path(&tree, path, "file");
}

static struct pst__source *open_source(const char *path, enum pst__access access)
{
    struct pst__source *source;
    struct pst_error err = {0};
    CHECK_INT(pst__source_open(&source, path, access, &err), PST_OK);
    return source;
}

static void reads(void)
{
    int64_t blocks = pst__mem_blocks();
    char path[TREE_PATH];
    static uint8_t out[SIZE];
    make(path, SIZE);
    for (int access = PST__ACCESS_READ; access <= PST__ACCESS_EDIT; access++) {
        struct pst__source *source = open_source(path, (enum pst__access)access);
        struct pst_error err = {0};
        CHECK_INT(pst__source_size(source), SIZE);
        CHECK_STR(pst__source_path(source), path);
        CHECK((pst__source_data(source) != NULL) == (access >= PST__ACCESS_MAP));
        for (size_t at = 0; at <= SIZE; at += 977) {
            size_t n = (SIZE - at) / 3;
            pst__source_intend(source, at, n);
            CHECK_INT(pst__source_read(source, at, n, out, &err), PST_OK);
            CHECK(memcmp(out, bytes + at, n) == 0);
            check_tried(1);
        }
        CHECK_INT(pst__source_read(source, SIZE - 3, 4, out, &err), PST_ETRUNCATED);
        CHECK_INT(err.offset, SIZE - 3);
        pst_error_init(&err);
        CHECK_INT(pst__source_read(source, UINT64_MAX, 1, out, &err), PST_ETRUNCATED);
        CHECK_INT(pst__source_check(source, NULL), PST_OK);
        pst__source_unref(source);
    }
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void refusals(void)
{
    int64_t blocks = pst__mem_blocks();
    char path[TREE_PATH];
    struct pst__source *source = NULL;
    struct pst_error err = {0};
    make(path, 0);
    CHECK_INT(pst__source_open(&source, tree.root, PST__ACCESS_READ, &err), PST_EUNSUPPORTED);
    CHECK_HAS(err.message, "not a regular file");
    pst_error_init(&err);
    CHECK_INT(pst__source_open(&source, "/nowhere/file", PST__ACCESS_MAP, &err), PST_EIO);
    CHECK(!source);
    /* Nothing can be mapped of an empty file, and nothing can be read. */
    source = open_source(path, PST__ACCESS_MAP);
    CHECK(!pst__source_data(source));
    CHECK_INT(pst__source_read(source, 0, 0, bytes, NULL), PST_OK);
    CHECK_INT(pst__source_read(source, 0, 1, bytes, NULL), PST_ETRUNCATED);
    pst__source_unref(source);
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* A buffer holds the mapping; only one for editing may be written, and the file has it then. */
static void buffers(void)
{
    int64_t blocks = pst__mem_blocks();
    char path[TREE_PATH];
    uint8_t found;
    make(path, SIZE);
    for (int access = PST__ACCESS_MAP; access <= PST__ACCESS_EDIT; access++) {
        struct pst__source *source = open_source(path, (enum pst__access)access);
        struct pst_buffer *buffer;
        CHECK_INT(pst__source_buffer(source, &buffer, NULL), PST_OK);
        pst__source_unref(source);
        CHECK_INT(pst_buffer_is_writable(buffer), access == PST__ACCESS_EDIT);
        uint8_t *data = pst_buffer_data(buffer);
        CHECK_INT(pst_buffer_size(buffer), SIZE);
        CHECK_INT(data[500], bytes[500]);
        if (access == PST__ACCESS_EDIT)
            data[500] ^= 0xff;
        pst_buffer_unref(buffer);
    }
    struct pst__source *source = open_source(path, PST__ACCESS_READ);
    CHECK_INT(pst__source_read(source, 500, 1, &found, NULL), PST_OK);
    CHECK_INT(found, (uint8_t)~bytes[500]);
    pst__source_unref(source);
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void check_cut(const struct pst__source *source)
{
    static uint8_t out[SIZE];
    struct pst_error err = {0};
    CHECK_INT(pst__source_read(source, 0, 4096, out, &err), PST_OK);
    CHECK_INT(pst__source_read(source, 3000, 60000, out, &err), PST_EIO);
    CHECK_HAS(err.message, "/file' was cut while it was open");
    CHECK_HAS(err.message, "it had 100000 bytes and has 4096");
    CHECK_INT(err.offset, 4096);
    pst_error_init(&err);
    CHECK_INT(pst__source_check(source, &err), PST_EIO);
    CHECK_HAS(err.message, "has another size");
}

static void cut_while_open(void)
{
    char path[TREE_PATH];
    for (int access = PST__ACCESS_READ; access <= PST__ACCESS_EDIT; access++) {
        make(path, SIZE);
        struct pst__source *source = open_source(path, (enum pst__access)access);
        CHECK_INT(truncate(path, 4096), 0);
        check_cut(source);
        CHECK_INT(pst__guard_next(NULL), PST_END);
        pst__source_unref(source);
        tree_close(&tree);
    }
}

/* The rest of the page with the new end reads as zeros, which are nobody's bytes. */
static void cut_within_a_page(void)
{
    char path[TREE_PATH];
    uint8_t out[8];
    for (int access = PST__ACCESS_READ; access <= PST__ACCESS_EDIT; access++) {
        struct pst_error err = {0};
        make(path, SIZE);
        struct pst__source *source = open_source(path, (enum pst__access)access);
        CHECK_INT(truncate(path, 5000), 0);
        CHECK_INT(pst__source_size_now(source), 5000);
        CHECK_INT(pst__source_size(source), SIZE);
        CHECK_INT(pst__source_read(source, 4992, 8, out, NULL), PST_OK);
        CHECK_INT(pst__source_read(source, 4996, 8, out, &err), PST_EIO);
        CHECK_HAS(err.message, "was cut while it was open");
        pst__source_unref(source);
        tree_close(&tree);
    }
}

/* A thread that has the signal blocked, as all of the engine's had. */
static void *cut_in_thread(void *source)
{
    check_cut(source);
    return NULL;
}

static void cut_in_threads(void)
{
    char path[TREE_PATH];
    pthread_t thread;
    sigset_t all, old;
    make(path, SIZE);
    struct pst__source *source = open_source(path, PST__ACCESS_MAP);
    CHECK_INT(truncate(path, 4096), 0);
    CHECK_INT(pst__thread_start(&thread, "cut", 0, cut_in_thread, source, NULL), PST_OK);
    pst__thread_join(thread);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    CHECK_INT(pthread_create(&thread, NULL, cut_in_thread, source), 0);
    pthread_join(thread, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pst__source_unref(source);
    tree_close(&tree);
}

static volatile int n_notified;
static void notified(void *opaque)
{
    CHECK(opaque == bytes);
    n_notified++;
}

/* Others than the engine read zeros, and it is told once where. */
static void foreign_reads(void)
{
    char path[TREE_PATH];
    struct pst_error err = {0};
    pst__guard_notify(notified, bytes);
    for (int is_closed = 0; is_closed < 2; is_closed++) {
        make(path, SIZE);
        struct pst__source *source = open_source(path, PST__ACCESS_MAP);
        const volatile uint8_t *data = pst__source_data(source);
        CHECK_INT(data[10], bytes[10]);
        CHECK_INT(truncate(path, 5000), 0);
        /* All that lies behind is one mapping of zeros: one fault. */
        int before = n_notified;
        for (size_t at = 8192; at < SIZE; at += 1000)
            CHECK_INT(data[at], 0);
        CHECK_INT(n_notified, before + 1);
        CHECK_INT(data[10], bytes[10]);
        if (is_closed)
            pst__source_unref(source);
        pst_error_init(&err);
        CHECK_INT(pst__guard_next(&err), PST_EIO);
        CHECK_INT(err.offset, 8192);
        CHECK_HAS(err.message, "/file' could not be read at byte 8192");
        CHECK_INT(pst__guard_next(&err), PST_END);
        if (!is_closed)
            pst__source_unref(source);
        CHECK_INT(pst__guard_next(&err), PST_END);
        tree_close(&tree);
    }
    pst__guard_notify(NULL, NULL);
}

static sigjmp_buf foreign_at;
static volatile int n_foreign;
static void foreign_handler(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    n_foreign++;
    siglongjmp(foreign_at, 1);
}

/* Faults of mappings that are not ours come to the handler that was there before. This one has to
 * run in front of any other case: the guard's handler is set once. */
static void foreign_faults(void)
{
    char path[TREE_PATH];
    struct sigaction action = {.sa_sigaction = foreign_handler,
                               .sa_flags = SA_SIGINFO | SA_NODEFER};
    CHECK_INT(sigaction(SIGBUS, &action, NULL), 0);
    make(path, SIZE);
    struct pst__source *source = open_source(path, PST__ACCESS_MAP);
    FILE *file = tmpfile();
    CHECK(file);
    CHECK_INT(ftruncate(fileno(file), 4096), 0);
    volatile uint8_t *theirs = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(file), 0);
    CHECK(theirs != MAP_FAILED);
    CHECK_INT(ftruncate(fileno(file), 0), 0);
    for (int i = 1; i <= 3; i++) {
        if (!sigsetjmp(foreign_at, 1))
            CHECK_INT(theirs[0], -1);
        CHECK_INT(n_foreign, i);
    }
    fclose(file);
    CHECK_INT(truncate(path, 4096), 0);
    check_cut(source);
    CHECK_INT(n_foreign, 3);
    pst__source_unref(source);
    tree_close(&tree);
}

CHECK_MAIN(FAULT("R4", foreign_faults), CASE(reads), CASE(refusals), CASE(buffers),
           FAULT("R4", cut_while_open), FAULT("R4", cut_within_a_page), FAULT("R4", cut_in_threads),
           FAULT("R4", foreign_reads))
