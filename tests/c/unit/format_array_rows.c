/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/array.h>
#include <penstock/array_writer.h>

#include "base/mem.h"
#include "base/rng.h"
#include "check.h"
#include "unit/format_tree.h"

/* Rows of array files through pst_array_open(). */

#define N 1000
#define SIDE 50

static struct tree tree;

static float value(int64_t row, int64_t at)
{
    return (float)(row * SIDE + at);
}

/* n_commits segments, which lie in as many pieces. */
static void write_file(char *path, int n_commits)
{
    static float rows[N][SIDE];
    static int64_t labels[N];
    struct pst_array_column columns[] = {
        {.name = "x", .dtype = PST_F32, .ndim = 1, .shape = {SIDE}},
        {.name = "y", .dtype = PST_I64}};
    struct pst_array_writer_config config;
    struct pst_array_writer *writer;
    pst_array_writer_config_init(&config);
    config.columns = columns;
    config.n_columns = 2;
    config.block_bytes = 1000;
    CHECK_INT(pst_array_writer_open(&writer, path, &config, NULL), 0);
    for (int64_t row = 0; row < N; row++) {
        labels[row] = row * row;
        for (int64_t at = 0; at < SIDE; at++)
            rows[row][at] = value(row, at);
    }
    for (int c = 0; c < n_commits; c++) {
        int64_t first = N * c / n_commits, n = N * (c + 1) / n_commits - first;
        struct pst_array_rows both[] = {{.data = rows[first]}, {.data = labels + first}};
        CHECK_INT(pst_array_writer_write(writer, both, n, NULL), 0);
        CHECK_INT(pst_array_writer_commit(writer, NULL), 0);
    }
    pst_array_writer_close(&writer);
}

static struct pst_dataset *open_file(const char *path, int access)
{
    struct pst_array_source source = {.path = path};
    struct pst_array_config config;
    struct pst_dataset *dataset;
    struct pst_error err = {0};
    pst_array_config_init(&config);
    config.access = access;
    CHECK_INT(pst_array_open(&dataset, &source, 1, &config, &err), 0);
    CHECK_INT(pst_array_access(dataset), access);
    return dataset;
}

static void pieces(void)
{
    int64_t blocks = pst__mem_blocks(), indices[200], labels[200];
    static float rows[200][SIDE];
    void *dst[] = {rows, labels};
    char path[TREE_PATH];
    tree_open(&tree);
    tree_path(&tree, path, "rows");
    for (int n_commits = 1; n_commits < 8; n_commits += 3)
        for (int access = PST_ARRAY_MAP; access <= PST_ARRAY_DIRECT; access++) {
            write_file(path, n_commits);
            struct pst_dataset *dataset = open_file(path, access);
            struct pst_field fields[2];
            CHECK_INT(pst_dataset_length(dataset), N);
            CHECK_INT(pst_dataset_fields(dataset, fields, 2), 2);
            CHECK_STR(fields[1].name, "y");
            for (int turn = 0; turn < 20; turn++) {
                for (size_t i = 0; i < 200; i++)
                    indices[i] = turn % 2 ? (int64_t)i + 40 * turn
                                          : (int64_t)(pst__mix64((uint64_t)turn * 200 + i) % N);
                pst_dataset_intend(dataset, indices, 200);
                CHECK_INT(pst_gather(dataset, indices, 200, dst, NULL), 0);
                for (size_t i = 0; i < 200; i++) {
                    CHECK_INT(labels[i], indices[i] * indices[i]);
                    for (int64_t k = 0; k < SIDE; k++)
                        CHECK(rows[i][k] == value(indices[i], k));
                }
            }
            pst_dataset_unref(dataset);
        }
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* A bit that flipped is told when its row is asked for, and no other row is. */
static void damage(void)
{
    int64_t blocks = pst__mem_blocks(), labels[1];
    float row[SIDE];
    void *dst[] = {row, labels};
    char path[TREE_PATH];
    tree_open(&tree);
    tree_path(&tree, path, "rows");
    for (int access = PST_ARRAY_MAP; access <= PST_ARRAY_DIRECT; access++) {
        write_file(path, 1);
        FILE *file = fopen(path, "r+b");
        CHECK(file);
        CHECK_INT(fseek(file, 8192 + 500 * SIDE * 4 + 9, SEEK_SET), 0);
        int byte = fgetc(file);
        CHECK_INT(fseek(file, -1, SEEK_CUR), 0);
        CHECK(fputc(byte ^ 0x10, file) != EOF);
        CHECK_INT(fclose(file), 0);
        struct pst_dataset *dataset = open_file(path, access);
        struct pst_error err = {0};
        CHECK_INT(pst_gather(dataset, (int64_t[]){100}, 1, dst, &err), 0);
        CHECK_INT(pst_gather(dataset, (int64_t[]){500}, 1, dst, &err), PST_EFORMAT);
        CHECK_INT(err.record, 500);
        CHECK_HAS(err.message, "is damaged at byte");
        CHECK_HAS(err.message, "column 'x', rows 500 to 504");
        pst_dataset_unref(dataset);
    }
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void tensors(void)
{
    int64_t blocks = pst__mem_blocks();
    char path[TREE_PATH];
    struct pst_tensor tensor;
    struct pst_error err = {0};
    tree_open(&tree);
    struct pst_array_source source = {.path = tree_path(&tree, path, "rows"), .name = "x"};
    write_file(path, 1);
    CHECK_INT(pst_array_map(&tensor, &source, PST_ARRAY_VIEW, &err), 0);
    CHECK(tensor.ndim == 2 && tensor.shape[0] == N && tensor.shape[1] == SIDE);
    CHECK(((float *)tensor.data)[77 * SIDE + 3] == value(77, 3));
    pst_tensor_reset(&tensor);
    CHECK_INT(pst_array_map(&tensor, &source, PST_ARRAY_EDIT, &err), PST_EUNSUPPORTED);
    CHECK_HAS(err.message, "would belie its checksums");
    write_file(path, 4);
    err = (struct pst_error){0};
    CHECK_INT(pst_array_map(&tensor, &source, PST_ARRAY_VIEW, &err), PST_EUNSUPPORTED);
    CHECK_HAS(err.message, "lie in several pieces");
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

CHECK_MAIN(CASE(pieces), FAULT("R2", damage), CASE(tensors))
