/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/array.h>
#include <penstock/array_writer.h>

#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "check.h"
#include "unit/format_tree.h"

/* Ragged columns as padded rows. What a row has follows from its number. */

#define N 600
#define PAD_TO 20
#define BATCH 150

static struct tree tree;
static char path[TREE_PATH];

static int64_t length_of(int64_t row)
{
    return row == 7 ? 900 : row % 5 == 0 ? 0 : (int64_t)(pst__mix64((uint64_t)row) % 40);
}

static int64_t first_of(int64_t row)
{
    int64_t first = 0;
    for (int64_t i = 0; i < row; i++)
        first += length_of(i);
    return first;
}

static int32_t value(int64_t item, int at)
{
    return (int32_t)(3 * item + at);
}

/* Columns "y" (a row's number) and "text" (items of two i32), in n_commits pieces. */
static void write_file(int n_commits)
{
    static int32_t items[N * 64][2];
    static int64_t labels[N], lengths[N];
    struct pst_array_column columns[] = {
        {.name = "y", .dtype = PST_I64},
        {.name = "text", .dtype = PST_I32, .ndim = 1, .shape = {2}, .is_ragged = 1}};
    struct pst_array_writer_config config;
    struct pst_array_writer *writer;
    CHECK(first_of(N) < N * 64);
    for (int64_t i = 0; i < first_of(N); i++)
        for (int k = 0; k < 2; k++)
            items[i][k] = value(i, k);
    for (int64_t row = 0; row < N; row++) {
        labels[row] = row;
        lengths[row] = length_of(row);
    }
    pst_array_writer_config_init(&config);
    config.columns = columns;
    config.n_columns = 2;
    config.block_bytes = 500;
    CHECK_INT(pst_array_writer_open(&writer, path, &config, NULL), 0);
    for (int c = 0; c < n_commits; c++) {
        int64_t first = N * c / n_commits, n = N * (c + 1) / n_commits - first;
        struct pst_array_rows both[] = {{.data = labels + first},
                                        {items[first_of(first)], lengths + first}};
        CHECK_INT(pst_array_writer_write(writer, both, n, NULL), 0);
        CHECK_INT(pst_array_writer_commit(writer, NULL), 0);
    }
    pst_array_writer_close(&writer);
}

static int open_as(struct pst_dataset **dataset, const struct pst_array_source *source, int access,
                   int is_unverified, struct pst_error *err)
{
    struct pst_array_config config;
    pst_array_config_init(&config);
    config.access = access;
    config.is_unverified = is_unverified;
    return pst_array_open(dataset, source, 1, &config, err);
}

static struct pst_dataset *open_file(int access, int is_unverified)
{
    struct pst_array_source source = {.path = path, .ragged = PAD_TO, .pad = -100};
    struct pst_dataset *dataset;
    struct pst_error err = {0};
    CHECK_INT(open_as(&dataset, &source, access, is_unverified, &err), 0);
    CHECK_INT(pst_array_access(dataset), access);
    return dataset;
}

struct batch {
    int64_t labels[BATCH], lengths[BATCH];
    int32_t items[BATCH][PAD_TO][2];
};

static int gather(struct pst_dataset *dataset, const int64_t *indices, size_t n,
                  struct batch *batch, struct pst_error *err)
{
    void *dst[] = {batch->labels, batch->items, batch->lengths};
    memset(batch, 0x5a, sizeof *batch);
    return pst_gather(dataset, indices, n, dst, err);
}

static void check_row(const struct batch *batch, size_t slot, int64_t row)
{
    int64_t kept = length_of(row) < PAD_TO ? length_of(row) : PAD_TO;
    CHECK_INT(batch->labels[slot], row);
    CHECK_INT(batch->lengths[slot], kept);
    for (int64_t i = 0; i < PAD_TO; i++)
        for (int k = 0; k < 2; k++)
            CHECK_INT(batch->items[slot][i][k], i < kept ? value(first_of(row) + i, k) : -100);
}

static void pieces(void)
{
    int64_t blocks = pst__mem_blocks(), indices[BATCH];
    static struct batch batch;
    tree_open(&tree);
    tree_path(&tree, path, "rows");
    for (int n_commits = 1; n_commits < 8; n_commits += 3)
        for (int access = PST_ARRAY_MAP; access <= PST_ARRAY_DIRECT; access++) {
            write_file(n_commits);
            struct pst_dataset *dataset = open_file(access, 0);
            struct pst_field fields[3];
            CHECK_INT(pst_dataset_length(dataset), N);
            CHECK_INT(pst_dataset_fields(dataset, fields, 3), 3);
            CHECK_STR(fields[1].name, "text");
            CHECK(fields[1].dtype == PST_I32 && fields[1].ndim == 2);
            CHECK(fields[1].shape[0] == PAD_TO && fields[1].shape[1] == 2);
            CHECK_STR(fields[2].name, "text_length");
            CHECK(fields[2].dtype == PST_I64 && fields[2].ndim == 0);
            for (int turn = 0; turn < 6; turn++) {
                size_t n = turn == 5 ? 10 : BATCH;
                for (size_t i = 0; i < n; i++)
                    indices[i] = turn % 2 ? (int64_t)i + 90 * turn
                                          : (int64_t)(pst__mix64((uint64_t)turn * 200 + i) % N);
                pst_dataset_intend(dataset, indices, n);
                CHECK_INT(gather(dataset, indices, n, &batch, NULL), 0);
                for (size_t i = 0; i < n; i++)
                    check_row(&batch, i, indices[i]);
            }
            pst_dataset_unref(dataset);
        }
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* Where these bytes are in the file. */
static long find(const void *bytes, size_t n)
{
    static uint8_t all[1 << 20];
    FILE *file = fopen(path, "rb");
    CHECK(file);
    size_t size = fread(all, 1, sizeof all, file);
    CHECK_INT(fclose(file), 0);
    CHECK(size < sizeof all);
    for (size_t at = 8192; at + n <= size; at++)
        if (memcmp(all + at, bytes, n) == 0)
            return (long)at;
    CHECK(0);
    return -1;
}

static long place_of_items(int64_t row)
{
    int32_t first[4];
    for (int i = 0; i < 4; i++)
        first[i] = value(first_of(row) + i / 2, i % 2);
    return find(first, sizeof first);
}

static long place_of_end(int64_t row)
{
    int64_t ends[3] = {first_of(row + 1), first_of(row + 2), first_of(row + 3)};
    return find(ends, sizeof ends);
}

static void flip(long at)
{
    FILE *file = fopen(path, "r+b");
    CHECK(file);
    CHECK_INT(fseek(file, at, SEEK_SET), 0);
    int byte = fgetc(file);
    CHECK_INT(fseek(file, -1, SEEK_CUR), 0);
    CHECK(fputc(byte ^ 0x40, file) != EOF);
    CHECK_INT(fclose(file), 0);
}

/* Rows around the damaged one, which must have items. */
#define HURT 301

static void a_damaged(int is_end, int access, int is_unverified)
{
    static struct batch batch;
    struct pst_error err = {0};
    write_file(1);
    flip(is_end ? place_of_end(HURT) + 4 : place_of_items(HURT) + 5);
    struct pst_dataset *dataset = open_file(access, is_unverified);
    CHECK_INT(gather(dataset, (int64_t[]){100, 500}, 2, &batch, &err), 0);
    check_row(&batch, 0, 100);
    check_row(&batch, 1, 500);
    int rc = gather(dataset, (int64_t[]){100, HURT, 500}, 3, &batch, &err);
    pst_dataset_unref(dataset);
    if (!is_end && is_unverified) { /* what the caller asked for */
        CHECK_INT(rc, 0);
        return;
    }
    CHECK_INT(rc, PST_EFORMAT);
    CHECK_INT(err.record, HURT);
    CHECK_HAS(err.message, "is damaged at byte");
    CHECK_HAS(err.message, "column 'text'");
    CHECK_HAS(err.message, is_unverified ? "its segment has" : is_end ? "rows" : "items");
}

static void damage(void)
{
    int64_t blocks = pst__mem_blocks();
    CHECK(length_of(HURT) > 2);
    tree_open(&tree);
    tree_path(&tree, path, "rows");
    for (int access = PST_ARRAY_MAP; access <= PST_ARRAY_DIRECT; access++)
        for (int is_end = 0; is_end < 2; is_end++)
            for (int is_unverified = 0; is_unverified < 2; is_unverified++)
                a_damaged(is_end, access, is_unverified);
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* A file that is cut: within the page of a row's items, where nothing faults, and far before. */
static void a_cut_file(void)
{
    int64_t blocks = pst__mem_blocks();
    static struct batch batch;
    tree_open(&tree);
    tree_path(&tree, path, "rows");
    for (int access = PST_ARRAY_MAP; access <= PST_ARRAY_DIRECT; access++)
        for (int is_far = 0; is_far < 2; is_far++) {
            struct pst_error err = {0};
            write_file(1);
            struct pst_dataset *dataset = open_file(access, 1);
            long at = place_of_items(HURT), end = place_of_end(0);
            CHECK(end > 8192 || at > 8192);
            CHECK_INT(truncate(path, is_far ? 8192 : at + 3), 0);
            CHECK_INT(gather(dataset, (int64_t[]){HURT}, 1, &batch, &err), PST_EIO);
            CHECK_HAS(err.message, "was cut while it was open");
            CHECK_INT(err.record, HURT);
            CHECK_INT(pst_array_check(dataset, NULL), PST_EIO);
            pst_dataset_unref(dataset);
        }
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void refused(struct pst_array_source source, int status, const char *text)
{
    struct pst_dataset *dataset;
    struct pst_error err = {0};
    source.path = path;
    CHECK_INT(open_as(&dataset, &source, PST_ARRAY_MAP, 0, &err), status);
    CHECK(!dataset);
    CHECK_HAS(err.message, text);
}

static void wishes(void)
{
    int64_t blocks = pst__mem_blocks();
    struct pst_array_source label = {.path = path, .name = "y"};
    struct pst_dataset *dataset;
    tree_open(&tree);
    tree_path(&tree, path, "rows");
    write_file(1);
    refused((struct pst_array_source){0}, PST_EUNSUPPORTED, "column 'text' is ragged: set");
    refused((struct pst_array_source){.ragged = -2}, PST_EINVAL, "cannot be padded to -2 items");
    refused((struct pst_array_source){.ragged = 1, .pad = INT64_C(1) << 31}, PST_EINVAL,
            "cannot be padded with 2147483648");
    refused((struct pst_array_source){.ragged = INT64_MAX}, PST_ELIMIT, "2^62 bytes or more");
    refused((struct pst_array_source){.ragged = INT64_C(1) << 50}, PST_ELIMIT, "2^62 bytes");
    CHECK_INT(open_as(&dataset, &label, PST_ARRAY_MAP, 0, NULL), 0);
    CHECK_INT(pst_dataset_length(dataset), N);
    pst_dataset_unref(dataset);
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

CHECK_MAIN(CASE(pieces), FAULT("R2", damage), FAULT("R4", a_cut_file), CASE(wishes))
