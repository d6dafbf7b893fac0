/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "check.h"
#include "io/record.h"
#include "unit/format_tree.h"

static struct tree tree;

static void whole_files(void)
{
    int64_t blocks = pst__mem_blocks();
    struct pst_record record = {0};
    struct pst_error err = {0};
    static uint8_t bytes[100000];
    char path[TREE_PATH];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    static const size_t sizes[] = {100000, 0, 1, 4095, 4096, 70000};
    tree_open(&tree);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        tree_bytes(&tree, "file", bytes, sizes[i]);
        CHECK_INT(pst__file_read(tree_path(&tree, path, "file"), &record, &err), 0);
        CHECK_INT(record.size, (int64_t)sizes[i]);
        CHECK(record.data && memcmp(record.data, bytes, sizes[i]) == 0);
        /* What a decoder over-reads is not the file before. */
        for (size_t k = 0; k < PST_PAD; k++)
            CHECK_INT(record.data[record.size + k], 0);
    }
    pst__record_reset(&record);
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void check_failure(const char *name, int status, int os_errno, const char *part)
{
    struct pst_record record = {0};
    struct pst_error err = {0};
    char path[TREE_PATH];
    CHECK_INT(pst__file_read(tree_path(&tree, path, name), &record, &err), status);
    CHECK_INT(err.status, status);
    CHECK_INT(err.os_errno, os_errno);
    CHECK_HAS(err.message, part);
    CHECK(!record.data && record.size == 0);
    pst__record_reset(&record);
}

static void refused_files(void)
{
    int64_t blocks = pst__mem_blocks();
    char path[TREE_PATH];
    tree_open(&tree);
    tree_folders(&tree, "folder/");
    CHECK_INT(mkfifo(tree_path(&tree, path, "fifo"), 0600), 0);
    tree_file(&tree, "large", "");
    CHECK_INT(truncate(tree_path(&tree, path, "large"), (off_t)PST_MAX_RECORD + 1), 0);
    check_failure("absent", PST_EIO, ENOENT, "/absent': No such file");
    check_failure("a\xff\nb", PST_EIO, ENOENT, "/a\\xff\\x0ab'");
    check_failure("folder", PST_EUNSUPPORTED, 0, "/folder' is not a regular file");
    check_failure("fifo", PST_EUNSUPPORTED, 0, "/fifo' is not a regular file");
    check_failure("large", PST_ELIMIT, 0, "1073741825 bytes");
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* Files of /proc say that they have no bytes and have some. */
static void a_file_that_grew(void)
{
    struct pst_record record = {0};
    struct pst_error err = {0};
    CHECK_INT(pst__file_read("/proc/self/stat", &record, &err), PST_EIO);
    CHECK_HAS(err.message, "grew");
    CHECK_INT(err.os_errno, 0);
    pst__record_reset(&record);
}

static void records(void)
{
    int64_t blocks = pst__mem_blocks();
    struct pst_record record = {0};
    uint8_t *bytes = pst_record_reserve(&record, 10);
    CHECK(bytes && record.data == bytes && record.size == 10);
    memcpy(bytes, "0123456789", 10);
    bytes = pst_record_reserve(&record, 100000);
    CHECK(bytes && record.size == 100000);
    CHECK(memcmp(bytes, "0123456789", 10) == 0);
    CHECK(!pst_record_reserve(&record, (size_t)PST_MAX_RECORD + 1));
    CHECK(memcmp(record.data, "0123456789", 10) == 0);
    CHECK(record.size == 100000);
    pst__record_clear(&record);
    CHECK(!record.data && record.size == 0 && record.own);
    CHECK(pst_record_reserve(&record, 50) == bytes); /* the memory is used again */
    pst_record_view(&record, "view", 4);
    CHECK(record.size == 4 && record.own == bytes);
    CHECK(pst_record_reserve(&record, 200000));
    CHECK(record.data == record.own && record.size == 200000);
    CHECK_INT(pst__mem_blocks(), blocks + 1);
    pst__record_reset(&record);
    pst__record_reset(&record);
    CHECK(!record.own && !record.data);
    CHECK_INT(pst__mem_blocks(), blocks);
}

CHECK_MAIN(CASE(whole_files), FAULT("R8", refused_files), FAULT("R4", a_file_that_grew),
           CASE(records))
