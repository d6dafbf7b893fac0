/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/array_writer.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "unit/array_rows.h"

/* The array file: what is written is read, whatever the way there; damage is noticed. */

static struct tree tree;
static char path[TREE_PATH], hidden[TREE_PATH];

static void begin(void)
{
    rows_tree_open(&tree);
    tree_path(&tree, path, "rows.pst");
    tree_path(&tree, hidden, ".rows.pst.penstock-tmp");
}

static struct pst_array_writer *open_writer(const struct pst_array_writer_config *config)
{
    struct pst_array_writer *writer;
    struct pst_error err = {0};
    if (pst_array_writer_open(&writer, path, config, &err) < 0)
        check_fail(__FILE__, __LINE__, "%s", err.message);
    return writer;
}

static void done(int rc, const struct pst_error *err)
{
    if (rc < 0)
        check_fail(__FILE__, __LINE__, "%s: %s", pst_status_name(rc), err->message);
}

/* Writes rows in parts of `part`, and commits. */
static void write_file(int mode, int64_t first, int64_t n, int is_known, int64_t part, size_t block,
                       size_t buffer)
{
    struct pst_array_writer_config config;
    struct pst_array_column columns[ROWS_COLUMNS];
    struct pst_error err = {0};
    rows_config(&config, columns, first, is_known ? n : -1);
    config.mode = mode;
    config.block_bytes = block;
    config.buffer_bytes = buffer;
    struct pst_array_writer *writer = open_writer(&config);
    CHECK_INT(pst_array_writer_rows(writer), first);
    for (int64_t row = 0; row < n; row += part)
        done(rows_write(writer, first + row, n - row < part ? n - row : part, &err), &err);
    CHECK_INT(pst_array_writer_rows(writer), first + n);
    done(pst_array_writer_commit(writer, &err), &err);
    pst_array_writer_close(&writer);
    CHECK(!writer);
}

static void all_ways_to_write(void)
{
    static const size_t blocks[] = {0, 1, 40}, buffers[] = {0, 1};
    static const int64_t parts[] = {7, 1000};
    int64_t live = pst__mem_blocks();
    begin();
    for (int known = 0; known < 2; known++)
        for (int i = 0; i < 3 * 2 * 2; i++) {
            size_t block = blocks[i % 3], buffer = buffers[i / 3 % 2];
            int64_t part = parts[i / 6];
            write_file(PST_ARRAY_CREATE, 0, 200, known, part, block, buffer);
            CHECK_INT(rows_of(path), 200);
            write_file(PST_ARRAY_APPEND, 200, 61, !known, part, block, buffer);
            CHECK_INT(rows_of(path), 261);
            write_file(PST_ARRAY_APPEND, 261, 0, known, part, block, buffer);
            CHECK_INT(rows_of(path), 261);
            CHECK(access(hidden, F_OK) < 0);
        }
    write_file(PST_ARRAY_CREATE, 0, 0, 0, 1, 0, 0);
    CHECK_INT(rows_of(path), 0);
    write_file(PST_ARRAY_APPEND, 0, 3, 0, 1, 0, 0);
    CHECK_INT(rows_of(path), 3);
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), live);
}

static void read_layout(struct pst__array_layout *layout)
{
    size_t size;
    struct pst_error err = {0};
    uint8_t *data = rows_load(path, &size);
    struct array_bytes bytes = {data, size};
    struct pst__array_bytes source = array_bytes_source(&bytes);
    done(pst__array_layout_read(layout, &source, &err), &err);
    free(data);
}

/* With the number of rows known, checkpoints in between or not, each stream is in one piece; so is
 * a single column. */
static void rows_lie_in_one_piece(void)
{
    struct pst_array_writer_config config;
    struct pst_array_column columns[ROWS_COLUMNS];
    struct pst__array_layout layout;
    begin();
    rows_config(&config, columns, 0, 500);
    config.buffer_bytes = 1;
    config.block_bytes = 100;
    struct pst_array_writer *writer = open_writer(&config);
    for (int64_t row = 0; row < 500; row += 10) {
        CHECK_INT(rows_write(writer, row, 10, NULL), 0);
        if (row % 70 == 0)
            CHECK_INT(pst_array_writer_checkpoint(writer, NULL), 0);
    }
    CHECK_INT(pst_array_writer_commit(writer, NULL), 0);
    pst_array_writer_close(&writer);
    CHECK_INT(rows_of(path), 500);
    read_layout(&layout);
    CHECK_INT(layout.n_segments, 8);
    for (int s = 0; s < layout.n_streams; s++) {
        CHECK_INT(layout.streams[s].n_runs, 1);
        CHECK_INT(layout.streams[s].runs[0].offset % 4096, 0);
    }
    pst__array_layout_reset(&layout);

    config.rows = -1;
    config.n_columns = 1;
    writer = open_writer(&config);
    struct pst_array_rows rows = {rows_bytes(0, 0, 12 * 7), NULL};
    for (int i = 0; i < 1000; i++)
        CHECK_INT(pst_array_writer_write(writer, &rows, 7, NULL), 0);
    CHECK_INT(pst_array_writer_commit(writer, NULL), 0);
    /* Behind a commit comes another piece: what a footer lies in between of. */
    CHECK_INT(pst_array_writer_write(writer, &rows, 7, NULL), 0);
    CHECK_INT(pst_array_writer_commit(writer, NULL), 0);
    pst_array_writer_close(&writer);
    free((void *)(uintptr_t)rows.data);
    read_layout(&layout);
    CHECK_INT(layout.n_rows, 7007);
    CHECK_INT(layout.streams[0].n_runs, 2);
    CHECK_INT(layout.streams[0].runs[0].n, 7000);
    pst__array_layout_reset(&layout);
    tree_close(&tree);
}

static void nothing_is_seen_before_the_commit(void)
{
    struct pst_array_writer_config config;
    struct pst_array_column columns[ROWS_COLUMNS];
    struct stat before, after;
    begin();
    rows_config(&config, columns, 0, -1);
    struct pst_array_writer *writer = open_writer(&config), *other;
    CHECK_INT(rows_write(writer, 0, 50, NULL), 0);
    CHECK_INT(pst_array_writer_checkpoint(writer, NULL), 0);
    CHECK(access(path, F_OK) < 0);
    struct pst_error err = {0};
    CHECK_INT(pst_array_writer_open(&other, path, &config, &err), PST_EIO);
    CHECK_INT(err.os_errno, EWOULDBLOCK);
    CHECK_HAS(err.message, "rows.pst");
    pst_array_writer_close(&writer);
    CHECK(access(path, F_OK) < 0 && access(hidden, F_OK) < 0);

    write_file(PST_ARRAY_CREATE, 0, 50, 0, 50, 0, 0);
    CHECK_INT(stat(path, &before), 0);
    config.mode = PST_ARRAY_APPEND;
    config.buffer_bytes = 1;
    writer = open_writer(&config);
    CHECK_INT(rows_write(writer, 50, 500, NULL), 0);
    CHECK_INT(rows_of(path), 50);
    CHECK_INT(pst_array_writer_open(&other, path, &config, NULL), PST_EIO);
    pst_array_writer_close(&writer);
    CHECK_INT(stat(path, &after), 0);
    CHECK_INT(before.st_size, after.st_size);
    CHECK_INT(rows_of(path), 50);

    /* Several commits of one writer; what comes behind the last is dropped. */
    writer = open_writer(&config);
    for (int64_t row = 50; row < 90; row += 10) {
        CHECK_INT(rows_write(writer, row, 10, NULL), 0);
        CHECK_INT(pst_array_writer_commit(writer, NULL), 0);
        CHECK_INT(rows_of(path), row + 10);
    }
    CHECK_INT(rows_write(writer, 90, 10, NULL), 0);
    pst_array_writer_close(&writer);
    CHECK_INT(rows_of(path), 90);
    tree_close(&tree);
}

static void resumed_at_the_checkpoint(void)
{
    begin();
    for (int known = 0; known < 2; known++) {
        struct pst_array_writer_config config;
        struct pst_array_column columns[ROWS_COLUMNS];
        struct pst_error err = {0};
        rows_config(&config, columns, 0, known ? 300 : -1);
        config.keep = 1;
        struct pst_array_writer *writer = open_writer(&config);
        CHECK_INT(rows_write(writer, 0, 120, NULL), 0);
        CHECK_INT(pst_array_writer_checkpoint(writer, NULL), 0);
        CHECK_INT(rows_write(writer, 120, 50, NULL), 0);
        pst_array_writer_close(&writer);
        CHECK(access(path, F_OK) < 0 && access(hidden, F_OK) == 0);
        config.mode = PST_ARRAY_RESUME;
        writer = open_writer(&config);
        CHECK_INT(pst_array_writer_rows(writer), 120);
        CHECK_INT(rows_write(writer, 120, 80, NULL), 0);
        CHECK_INT(pst_array_writer_checkpoint(writer, NULL), 0);
        pst_array_writer_close(&writer);

        /* Other rows, other columns: an error, and what is there stays. */
        config.rows = known ? 400 : 100;
        CHECK_INT(pst_array_writer_open(&writer, path, &config, &err), PST_EINVAL);
        config.rows = known ? 300 : -1;
        columns[1].dtype = PST_F64;
        err.status = 0;
        CHECK_INT(pst_array_writer_open(&writer, path, &config, &err), PST_EINVAL);
        CHECK_HAS(err.message, "label");
        columns[1].dtype = PST_I64;
        writer = open_writer(&config);
        CHECK_INT(pst_array_writer_rows(writer), 200);
        CHECK_INT(rows_write(writer, 200, 100, NULL), 0);
        CHECK_INT(pst_array_writer_commit(writer, NULL), 0);
        pst_array_writer_close(&writer);
        CHECK_INT(rows_of(path), 300);
        if (known) {
            struct pst__array_layout layout;
            read_layout(&layout);
            for (int s = 0; s < layout.n_streams; s++)
                CHECK_INT(layout.streams[s].n_runs, 1);
            pst__array_layout_reset(&layout);
        }
        CHECK(access(hidden, F_OK) < 0);
        CHECK_INT(unlink(path), 0);
    }
    /* Nothing to go on with, or something that is no array file: from the beginning. */
    tree_file(&tree, ".rows.pst.penstock-tmp", "PSTARR\r\nand no more");
    write_file(PST_ARRAY_RESUME, 0, 20, 0, 20, 0, 0);
    write_file(PST_ARRAY_RESUME, 0, 30, 0, 20, 0, 0);
    CHECK_INT(rows_of(path), 30);
    tree_close(&tree);
}

static void refuse(struct pst_array_writer_config *config, const char *part)
{
    struct pst_array_writer *writer;
    struct pst_error err = {0};
    CHECK_INT(pst_array_writer_open(&writer, path, config, &err), PST_EINVAL);
    CHECK(!writer);
    CHECK_HAS(err.message, part);
    CHECK(access(hidden, F_OK) < 0);
}

static void bad_columns(void)
{
    struct pst_array_writer_config config;
    struct pst_array_column columns[ROWS_COLUMNS];
    static char long_name[300];
    memset(long_name, 'n', sizeof long_name - 1);
    begin();
    rows_config(&config, columns, 0, -1);
    columns[1].name = "point";
    refuse(&config, "two columns have the name 'point'");
    columns[1].name = "";
    refuse(&config, "a name that is empty");
    columns[1].name = "\xff";
    refuse(&config, "no UTF-8");
    columns[1].name = long_name;
    refuse(&config, "more than 255 bytes");
    columns[1].name = "label";
    columns[1].dtype = 77;
    refuse(&config, "an unknown dtype");
    columns[1].dtype = PST_I64;
    columns[0].shape[0] = -3;
    refuse(&config, "a shape that is negative");
    columns[0].shape[0] = INT64_MAX / 4;
    refuse(&config, "too large");
    columns[0].ndim = 9;
    refuse(&config, "dimensions");
    columns[0] = rows_columns[0];
    config.n_columns = 0;
    refuse(&config, "0 columns");
    config.n_columns = ROWS_COLUMNS;
    columns[2].items = -1;
    refuse(&config, "negative number of items");
    columns[2].items = 0;
    config.mode = 9;
    refuse(&config, "mode");
    config.mode = PST_ARRAY_CREATE;
    config.note = "\x80";
    refuse(&config, "a note that is no UTF-8");
    tree_close(&tree);
}

/* What is wrong with rows leaves the writer as it was. */
static void bad_rows(void)
{
    struct pst_array_writer_config config;
    struct pst_array_column columns[2] = {rows_columns[ROWS_LABEL], rows_columns[ROWS_TEXT]};
    struct pst_error err = {0};
    begin();
    pst_array_writer_config_init(&config);
    config.columns = columns;
    config.n_columns = 2;
    config.rows = 3;
    columns[1].items = 5;
    struct pst_array_writer *writer = open_writer(&config);
    int64_t labels[4] = {1, 2, 3, 4}, lengths[4] = {2, 0, 1, 1};
    struct pst_array_rows rows[2] = {{labels, NULL}, {"abcdef", lengths}};
    CHECK_INT(pst_array_writer_write(writer, rows, 4, &err), PST_EINVAL);
    CHECK_HAS(err.message, "only 3 are left");
    lengths[1] = -1;
    CHECK_INT(pst_array_writer_write(writer, rows, 3, NULL), PST_EINVAL);
    lengths[1] = 3;
    CHECK_INT(pst_array_writer_write(writer, rows, 3, NULL), PST_EINVAL);
    lengths[1] = INT64_MAX;
    CHECK_INT(pst_array_writer_write(writer, rows, 3, NULL), PST_EINVAL);
    lengths[1] = 0;
    CHECK_INT(pst_array_writer_write(writer, rows, -1, NULL), PST_EINVAL);
    rows[1].lengths = NULL;
    CHECK_INT(pst_array_writer_write(writer, rows, 3, NULL), PST_EINVAL);
    rows[1].lengths = lengths;
    rows[0].lengths = lengths;
    CHECK_INT(pst_array_writer_write(writer, rows, 3, NULL), PST_EINVAL);
    rows[0].lengths = NULL;
    rows[0].data = NULL;
    CHECK_INT(pst_array_writer_write(writer, rows, 3, NULL), PST_EINVAL);
    rows[0].data = labels;
    CHECK_INT(pst_array_writer_rows(writer), 0);
    CHECK_INT(pst_array_writer_write(writer, rows, 3, NULL), PST_OK);
    CHECK_INT(pst_array_writer_commit(writer, NULL), PST_OK);
    struct pst_array_column there[3];
    CHECK_INT(pst_array_writer_columns(writer, there, 3), 2);
    CHECK_STR(there[1].name, "text");
    CHECK_INT(there[1].is_ragged, 1);
    pst_array_writer_close(&writer);
    tree_close(&tree);
}

static void notes_are_kept(void)
{
    struct pst_array_writer_config config;
    struct pst_array_column columns[ROWS_COLUMNS];
    struct pst__array_layout layout;
    begin();
    rows_config(&config, columns, 0, -1);
    config.note = "cats \xf0\x9f\x90\x88";
    struct pst_array_writer *writer = open_writer(&config);
    CHECK_INT(pst_array_writer_commit(writer, NULL), 0);
    pst_array_writer_close(&writer);
    for (int i = 0; i < 3; i++) {
        config.mode = PST_ARRAY_APPEND;
        config.note = i == 1 ? "dogs" : NULL;
        writer = open_writer(&config);
        CHECK_INT(pst_array_writer_commit(writer, NULL), 0);
        pst_array_writer_close(&writer);
        read_layout(&layout);
        CHECK_STR(layout.note, i == 0 ? "cats \xf0\x9f\x90\x88" : "dogs");
        CHECK_INT(layout.root.sequence, i == 0 ? 1 : 2);
        pst__array_layout_reset(&layout);
    }
    tree_close(&tree);
}

/* A small file of two commits, and in all places something. */
static uint8_t *small_file(size_t *size)
{
    begin();
    write_file(PST_ARRAY_CREATE, 0, 9, 0, 4, 30, 1);
    write_file(PST_ARRAY_APPEND, 9, 7, 1, 4, 30, 1);
    CHECK_INT(rows_of(path), 16);
    uint8_t *good = rows_load(path, size);
    tree_close(&tree);
    return good;
}

static void flipped_bits(void)
{
    size_t size;
    uint8_t *good = small_file(&size);
    int64_t n_refused = 0;
    for (size_t bit = 0; bit < 8 * size; bit++) {
        struct pst_error err = {0};
        good[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int64_t n = rows_check(good, size, &err);
        good[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (n == 16)
            continue;
        n_refused++;
        if (n != PST_EFORMAT || err.offset < 0 || !err.message[0])
            check_fail(__FILE__, __LINE__, "bit %zu: %s, %s", bit,
                       n < 0 ? pst_status_name((int)n) : "other rows", err.message);
    }
    check_tried((int64_t)(8 * size));
    CHECK(n_refused > 8 * 1000);
    free(good);
}

static void cut_anywhere(void)
{
    size_t size;
    uint8_t *good = small_file(&size);
    for (size_t n = 0; n < size; n++) {
        struct pst_error err = {0};
        int64_t rc = rows_check(good, n, &err);
        CHECK(rc == PST_ETRUNCATED || (rc == PST_EFORMAT && n < 8));
        CHECK(err.offset >= 0 && err.message[0]);
    }
    check_tried((int64_t)size);
    uint8_t *longer = calloc(1, size + 100);
    CHECK(longer);
    memcpy(longer, good, size);
    CHECK_INT(rows_check(longer, size + 100, NULL), 16);
    free(longer);
    free(good);
}

/* A footer and roots that lie, with CRCs that are right. */
static void lies_with_right_sums(void)
{
    static const uint8_t values[] = {0, 1, 0x7f, 0xff};
    size_t size, n_refused = 0;
    uint8_t *good = small_file(&size), *bad = malloc(size);
    CHECK(bad);
    size_t footer = (size_t)array_get(good + 24);
    for (size_t i = 12; i < size; i = i == 51 ? footer : i + 1)
        for (int k = 0; k < 4; k++) {
            struct pst_error err = {0};
            struct array_bytes bytes = {bad, size};
            struct pst__array_bytes source = array_bytes_source(&bytes);
            struct pst__array_layout layout;
            memcpy(bad, good, size);
            bad[i] = values[k];
            array_make_right(bad, size);
            int rc = pst__array_layout_read(&layout, &source, &err);
            CHECK(rc == PST_OK || (err.status == rc && err.message[0] && err.offset >= 0));
            if (rc < 0)
                CHECK(rc == PST_EFORMAT || rc == PST_ETRUNCATED || rc == PST_ELIMIT);
            n_refused += rc < 0;
            /* Other rows, perhaps, but none outside of the file. */
            for (int s = 0; rc == PST_OK && s < layout.n_streams; s++)
                for (size_t r = 0; r < layout.streams[s].n_runs; r++) {
                    const struct pst__array_run *run = &layout.streams[s].runs[r];
                    CHECK(run->offset + (uint64_t)(run->n * layout.streams[s].element) <= size);
                }
            pst__array_layout_reset(&layout);
            check_tried(1);
        }
    CHECK(n_refused > 300);
    free(bad);
    free(good);
}

/* The ends of a ragged column that lie. */
static void ends_that_lie(void)
{
    size_t size, n_refused = 0;
    uint8_t *good = small_file(&size);
    struct array_bytes bytes = {good, size};
    struct pst__array_bytes source = array_bytes_source(&bytes);
    struct pst__array_file file;
    CHECK_INT(pst__array_file_init(&file, &source, 1, NULL), 0);
    for (int64_t row = 0; row < 16; row++)
        for (int k = 0; k < 3; k++) {
            static const int64_t values[] = {-1, INT64_MAX, 1000};
            const struct pst__array_stream *ends =
                &file.layout.streams[file.layout.columns[ROWS_TEXT].stream];
            const struct pst__array_run *run = pst__array_run_of(ends, row);
            uint8_t *p = good + run->offset + 8 * (row - run->first);
            uint64_t was = array_get(p);
            int64_t bounds[17];
            struct pst_error err = {0};
            array_put(p, (uint64_t)values[k], 8);
            CHECK_INT(pst__array_bounds(&file, ROWS_TEXT, 0, 16, bounds, &err), PST_EFORMAT);
            CHECK_HAS(err.message, "of column 'text' has the items");
            array_put(p, was, 8);
            n_refused++;
        }
    check_tried((int64_t)n_refused);
    pst__array_file_reset(&file);
    free(good);
}

static void set_version(uint8_t *bytes, int copy, uint32_t major, uint32_t minor)
{
    uint8_t *root = bytes + (size_t)copy * PST__ARRAY_PAGE;
    array_put(root + 8, major, 4);
    array_put(root + 12, minor, 4);
    array_put(root + 60, minor, 4); /* a byte that has a meaning in that minor version */
    array_put(root + 124, pst__crc32c(0, root, 124), 4);
}

static void other_versions(void)
{
    size_t size;
    struct pst_error err = {0};
    uint8_t *good = small_file(&size);
    set_version(good, 0, 1, 3);
    set_version(good, 1, 1, 3);
    CHECK_INT(rows_check(good, size, NULL), 16);
    set_version(good, 0, 2, 0);
    set_version(good, 1, 2, 0);
    CHECK_INT(rows_check(good, size, &err), PST_EUNSUPPORTED);
    CHECK_HAS(err.message, "is of version 2");
    /* Of a version whose CRC lies elsewhere. */
    good[100] = good[PST__ARRAY_PAGE + 100] = 7;
    CHECK_INT(rows_check(good, size, NULL), PST_EUNSUPPORTED);
    free(good);
}

/* A commit that was torn while one of the copies was written: old or new, and the next writer goes
 * on from there. */
static void torn_roots(void)
{
    size_t size;
    uint8_t *good = small_file(&size), *torn = malloc(size), old[PST__ARRAY_ROOT];
    CHECK(torn);
    begin();
    write_file(PST_ARRAY_CREATE, 0, 9, 0, 4, 30, 1);
    size_t n_old;
    uint8_t *first = rows_load(path, &n_old);
    memcpy(old, first, sizeof old);
    free(first);
    for (int copy = 0; copy < 2; copy++)
        for (size_t n = 0; n <= PST__ARRAY_ROOT; n++) {
            /* n bytes of this copy are on disk; the copy before is new, the one behind old. */
            memcpy(torn, good, size);
            memcpy(torn + PST__ARRAY_PAGE, old, sizeof old);
            memcpy(torn + copy * PST__ARRAY_PAGE + n, old + n, sizeof old - n);
            int64_t rows = rows_check(torn, size, NULL);
            CHECK_INT(rows, copy == 1 || n == PST__ARRAY_ROOT ? 16 : 9);
            if (n % 16)
                continue;
            tree_bytes(&tree, "rows.pst", torn, size);
            write_file(PST_ARRAY_APPEND, rows, 4, 1, 4, 30, 1);
            CHECK_INT(rows_of(path), rows + 4);
            size_t after;
            uint8_t *bytes = rows_load(path, &after);
            CHECK(memcmp(bytes, bytes + PST__ARRAY_PAGE, PST__ARRAY_ROOT) == 0);
            free(bytes);
        }
    check_tried(2 * (PST__ARRAY_ROOT + 1));
    free(torn);
    free(good);
    tree_close(&tree);
}

/* A reader that opened the file before goes on with what it saw. */
static void readers_see_what_they_opened(void)
{
    begin();
    write_file(PST_ARRAY_CREATE, 0, 100, 0, 100, 0, 0);
    size_t n_before, n_after;
    uint8_t *before = rows_load(path, &n_before);
    for (int64_t row = 100; row < 200; row += 10)
        write_file(PST_ARRAY_APPEND, row, 10, row % 20 == 0, 10, 0, 0);
    uint8_t *after = rows_load(path, &n_after);
    CHECK(n_after > n_before);
    CHECK(memcmp(before + PST__ARRAY_DATA, after + PST__ARRAY_DATA, n_before - PST__ARRAY_DATA) ==
          0);
    free(before);
    free(after);
    tree_close(&tree);
}

/* Writes until it is killed, a commit for each 5 rows. */
static void append_for_ever(void)
{
    for (;;) {
        int64_t rows = rows_of(path);
        if (rows >= 400)
            write_file(PST_ARRAY_CREATE, rows = 0, 50, 1, 9, 64, 1);
        else
            write_file(PST_ARRAY_APPEND, rows, 5, rows % 2 == 0, 5, 64, 1);
    }
}

static void killed_writers(void)
{
    int n = getenv("PST_KILLS") ? atoi(getenv("PST_KILLS")) : 24;
    uint64_t random = 88172645463325252u;
    begin();
    write_file(PST_ARRAY_CREATE, 0, 50, 1, 9, 64, 1);
    for (int i = 0; i < n; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0)
            append_for_ever();
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        usleep((useconds_t)(random % 20000)); /* the moment of the kill, not a wait for anything */
        CHECK_INT(kill(child, SIGKILL), 0);
        CHECK_INT(waitpid(child, NULL, 0), child);
        CHECK(rows_of(path) >= 50 && rows_of(path) % 5 == 0);
    }
    write_file(PST_ARRAY_APPEND, rows_of(path), 5, 1, 5, 64, 1);
    check_tried(n);
    tree_close(&tree);
}

/* A child that ends with its copy of a writer leaves the parent's file alone. */
static void forked_writers(void)
{
    struct pst_array_writer_config config;
    struct pst_array_column columns[ROWS_COLUMNS];
    int status;
    begin();
    rows_config(&config, columns, 0, -1);
    struct pst_array_writer *writer = open_writer(&config);
    CHECK_INT(rows_write(writer, 0, 20, NULL), 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int rc = rows_write(writer, 20, 1, NULL);
        int other = pst_array_writer_commit(writer, NULL);
        pst_array_writer_close(&writer);
        _exit(rc == PST_EFORKED && other == PST_EFORKED ? 0 : 1);
    }
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK_INT(status, 0);
    CHECK_INT(pst_array_writer_commit(writer, NULL), 0);
    pst_array_writer_close(&writer);
    CHECK_INT(rows_of(path), 20);
    tree_close(&tree);
}

CHECK_MAIN(CASE(all_ways_to_write), CASE(rows_lie_in_one_piece),
           CASE(nothing_is_seen_before_the_commit), CASE(resumed_at_the_checkpoint),
           CASE(bad_columns), CASE(bad_rows), CASE(notes_are_kept), FAULT("R3", flipped_bits),
           FAULT("R3", cut_anywhere), FAULT("R12", lies_with_right_sums),
           FAULT("R12", ends_that_lie), FAULT("R37", other_versions), FAULT("R10", torn_roots),
           CASE(readers_see_what_they_opened), FAULT("R10", killed_writers), CASE(forked_writers))
