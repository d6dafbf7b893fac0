/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/array_writer.h>

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "unit/array_rows.h"

/* Disks that are full at any moment of writing: the file is as it was, and the error says why. */

enum { SIZES = 100, STEP = 4096, ROWS = 4000 }; /* the file has about 370 KB */

static struct tree tree;
static char path[TREE_PATH], hidden[TREE_PATH];

static int write_rows(int mode, int64_t first, int64_t n, int is_known, struct pst_error *err)
{
    struct pst_array_writer_config config;
    struct pst_array_column columns[ROWS_COLUMNS];
    struct pst_array_writer *writer;
    rows_config(&config, columns, first, is_known ? n : -1);
    config.mode = mode;
    config.buffer_bytes = 1;
    int rc = pst_array_writer_open(&writer, path, &config, err);
    for (int64_t row = 0; row < n && rc == PST_OK; row += 500)
        rc = rows_write(writer, first + row, n - row < 500 ? n - row : 500, err);
    if (rc == PST_OK)
        rc = pst_array_writer_commit(writer, err);
    pst_array_writer_close(&writer);
    return rc;
}

/* 1 where it was written, 0 where the error is `os_errno` and the file as it was. */
static int try_rows(int mode, int64_t first, int64_t n, int is_known, int os_errno)
{
    struct pst_error err = {0};
    int was_there = access(path, F_OK) == 0;
    int rc = write_rows(mode, first, n, is_known, &err);
    CHECK(access(hidden, F_OK) < 0);
    if (rc == PST_OK) {
        CHECK_INT(rows_of(path), first + n);
        return 1;
    }
    CHECK_INT(rc, PST_EIO);
    CHECK_INT(err.os_errno, os_errno);
    CHECK_HAS(err.message, "rows.pst");
    CHECK_INT(access(path, F_OK) == 0, was_there);
    if (was_there)
        CHECK_INT(rows_of(path), first);
    return 0;
}

/* As many sizes as there are, small enough for nothing, large enough for all. */
static void try_sizes(void (*limit)(int64_t size), int os_errno)
{
    for (int is_known = 0; is_known < 2; is_known++) {
        int n_written = 0, n_appended = 0;
        for (int i = 1; i <= SIZES; i++) {
            limit((int64_t)i * STEP * 3);
            int is_there = try_rows(PST_ARRAY_CREATE, 0, ROWS, is_known, os_errno);
            if (is_there)
                n_appended += try_rows(PST_ARRAY_APPEND, ROWS, ROWS, !is_known, os_errno);
            n_written += is_there;
            check_tried(1);
        }
        CHECK(n_written > 10 && n_written < SIZES - 10);
        CHECK(n_appended > 10 && n_appended < n_written - 10);
    }
}

static int may_mount(void)
{
    if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return 0;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static int is_mounted;

/* Anew, with so many bytes. */
static void limit_disk(int64_t size)
{
    char root[TREE_PATH], options[64];
    tree_path(&tree, root, "small");
    if (is_mounted)
        CHECK_INT(umount(root), 0);
    snprintf(options, sizeof options, "size=%" PRId64, size);
    CHECK_INT(mount("none", root, "tmpfs", 0, options), 0);
    is_mounted = 1;
}

static void a_full_disk(void)
{
    char root[TREE_PATH];
    tree_open(&tree);
    tree_folders(&tree, "small/");
    tree_path(&tree, root, "small");
    tree_path(&tree, path, "small/rows.pst");
    tree_path(&tree, hidden, "small/.rows.pst.penstock-tmp");
    if (!may_mount() || mount("none", root, "tmpfs", 0, "size=8192") < 0) {
        fprintf(stderr, "no right to mount a small disk: only the limit of a file is tried\n");
    } else {
        is_mounted = 1;
        try_sizes(limit_disk, ENOSPC);
        CHECK_INT(umount(root), 0);
    }
    tree_close(&tree);
}

/* The process' limit of a file's size. */
static void limit_file(int64_t size)
{
    struct rlimit limit;
    CHECK(unlink(path) == 0 || errno == ENOENT);
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = (rlim_t)size;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_file_at_its_limit(void)
{
    struct rlimit before;
    rows_tree_open(&tree);
    tree_path(&tree, path, "rows.pst");
    tree_path(&tree, hidden, ".rows.pst.penstock-tmp");
    CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &before), 0);
    try_sizes(limit_file, EFBIG);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &before), 0);
    tree_close(&tree);
}

CHECK_MAIN(FAULT("R9", a_full_disk), FAULT("R9", a_file_at_its_limit))
