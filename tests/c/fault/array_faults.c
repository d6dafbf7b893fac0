/* SPDX-License-Identifier: Apache-2.0 */
#include "fault/fault.h"

#ifdef PST_CHECKS

#include "unit/array_rows.h"

/* An array file that is written, appended to and resumed, under every fault at every call: what is
 * at its name is the old file or the new one. */

static struct tree tree;
static char path[TREE_PATH], hidden[TREE_PATH];

static void begin(void)
{
    rows_tree_open(&tree);
    tree_path(&tree, path, "rows.pst");
    tree_path(&tree, hidden, ".rows.pst.penstock-tmp");
}

/* Opens, writes rows first to first + n in two parts, and commits. */
static int write_rows(int mode, int64_t first, int64_t n, int is_known, int checkpoint)
{
    struct pst_array_writer_config config;
    struct pst_array_column columns[ROWS_COLUMNS];
    struct pst_array_writer *writer;
    struct pst_error err = {0};
    rows_config(&config, columns, 0, is_known ? first + n : -1);
    config.mode = mode;
    config.buffer_bytes = 1;
    config.block_bytes = 64;
    config.note = "a note";
    int rc = pst_array_writer_open(&writer, path, &config, &err);
    CHECK_INT(err.status, rc);
    CHECK((rc == PST_OK) == !!writer);
    if (rc < 0) {
        CHECK_HAS(err.message, rc == PST_ENOMEM ? "" : tree.root);
        return rc;
    }
    rc = rows_write(writer, first, n / 2, &err);
    if (rc == PST_OK && checkpoint)
        rc = pst_array_writer_checkpoint(writer, &err);
    if (rc == PST_OK)
        rc = rows_write(writer, first + n / 2, n - n / 2, &err);
    if (rc == PST_OK)
        rc = pst_array_writer_commit(writer, &err);
    CHECK_INT(err.status, rc);
    if (rc < 0) {
        CHECK_HAS(err.message, rc == PST_ENOMEM ? "" : tree.root);
        /* It says so ever after. */
        CHECK(pst_array_writer_commit(writer, NULL) < 0);
        CHECK(rows_write(writer, 0, 1, NULL) < 0);
    }
    pst_array_writer_close(&writer);
    return rc;
}

static int64_t rows_there(void)
{
    return access(path, F_OK) == 0 ? rows_of(path) : -1;
}

struct script {
    int mode, is_known, checkpoint;
    int64_t before, n; /* rows that are there; rows that come */
};

enum { FAILS, GOES_ON, EITHER };

/* After an error behind the rename or the root the file may be the new one. A checkpoint of an
 * append is a commit. */
static int is_old_or_new(const struct script *script, int64_t rows, int rc)
{
    int is_append = script->mode == PST_ARRAY_APPEND;
    int64_t first = is_append ? script->before : 0;
    int64_t old = script->before > 0 ? script->before : -1;
    if (rows == first + script->n)
        return 1;
    int is_half = script->checkpoint && is_append && rows == first + script->n / 2;
    return rc < 0 && (rows == old || is_half);
}

/* Runs the script with each call of the mask failing in turn. */
static void each_call(const struct script *script, uint32_t mask, int os_errno, int forever,
                      int expected)
{
    int64_t blocks = pst__mem_blocks(), failed = 0, good = 0, fired;
    do {
        (void)remove(path);
        (void)remove(hidden);
        if (script->before > 0)
            CHECK_INT(write_rows(PST_ARRAY_CREATE, 0, script->before, 0, 0), PST_OK);
        pst__fault_arm(mask, failed + good + 1, forever, os_errno);
        int rc = write_rows(script->mode, script->mode == PST_ARRAY_APPEND ? script->before : 0,
                            script->n, script->is_known, script->checkpoint);
        fired = pst__fault_fired();
        CHECK(pst__fault_calls() < 20000);
        pst__fault_disarm();
        CHECK(is_old_or_new(script, rows_there(), rc));
        CHECK(access(hidden, F_OK) < 0 || rc < 0);
        CHECK_INT(pst__mem_blocks(), blocks);
        failed += rc < 0;
        good += rc == PST_OK;
    } while (fired > 0);
    check_tried(failed + good - 1);
    CHECK(expected == GOES_ON ? failed == 0 && good > 3 : failed > 3);
    CHECK(expected != EITHER || good > 3);
}

static const struct script scripts[] = {
    {PST_ARRAY_CREATE, 0, 0, 0, 20},  {PST_ARRAY_CREATE, 1, 1, 10, 20},
    {PST_ARRAY_APPEND, 0, 0, 10, 20}, {PST_ARRAY_APPEND, 0, 1, 10, 20},
    {PST_ARRAY_RESUME, 1, 0, 10, 20},
};

static void every_script(uint32_t mask, int os_errno, int forever, int expected)
{
    begin();
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        each_call(&scripts[i], mask, os_errno, forever, expected);
    tree_close(&tree);
}

static void a_full_disk(void)
{
    every_script(1u << PST_SYS_WRITE, ENOSPC, 0, FAILS);
    every_script(1u << PST_SYS_WRITE, ENOSPC, 1, FAILS);
}

static void writing_fails(void)
{
    every_script(1u << PST_SYS_WRITE, EIO, 1, FAILS);
    every_script(1u << PST_SYS_WRITE, EROFS, 0, FAILS);
}

/* Appending has most of them: the open, the look at the file, the reads. */
static void other_calls_fail(void)
{
    uint32_t mask = 1u << PST_SYS_OPEN | 1u << PST_SYS_STAT | 1u << PST_SYS_READ;
    begin();
    each_call(&scripts[2], mask, EIO, 0, FAILS);
    each_call(&scripts[2], mask, EACCES, 1, FAILS);
    tree_close(&tree);
}

/* Reads and writes are tried again; the calls of the same kinds that are not, are errors. */
static void interrupted_calls(void)
{
    begin();
    each_call(&scripts[2], 1u << PST_SYS_READ, EINTR, 0, GOES_ON);
    tree_close(&tree);
    every_script(1u << PST_SYS_WRITE, EINTR, 0, EITHER);
}

static void short_calls(void)
{
    begin();
    each_call(&scripts[2], 1u << PST_SYS_READ, 0, 0, GOES_ON);
    tree_close(&tree);
    every_script(1u << PST_SYS_WRITE, 0, 0, EITHER);
}

static void memory_runs_out(void)
{
    every_script(1u << PST_SYS_ALLOC, ENOMEM, 0, FAILS);
    every_script(1u << PST_SYS_ALLOC, ENOMEM, 1, FAILS);
}

CHECK_MAIN(FAULT("R9", a_full_disk), FAULT("R7 R9", writing_fails), FAULT("R7", other_calls_fail),
           FAULT("R6", interrupted_calls), FAULT("R6", short_calls), FAULT("R17", memory_runs_out))
#else
int main(void)
{
    return 77;
}
#endif
