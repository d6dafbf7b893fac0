/* SPDX-License-Identifier: Apache-2.0 */
#include "format/rows/columns.h"

#include <unistd.h>

#include "base/rng.h"
#include "base/status.h"
#include "check.h"
#include "unit/row_files.h"

static struct tree tree;

static void check_gather(struct pst_dataset *dataset, size_t bytes, const int64_t *indices,
                         size_t n)
{
    uint8_t *out = malloc(n * bytes + 1);
    void *dst = out;
    struct pst_error err = {0};
    CHECK(out);
    out[n * bytes] = 0x5a;
    pst_dataset_intend(dataset, indices, n);
    CHECK_INT(pst_gather(dataset, indices, n, &dst, &err), PST_OK);
    for (size_t i = 0; i < n; i++)
        check_row(out + i * bytes, indices[i], bytes);
    CHECK_INT(out[n * bytes], 0x5a);
    free(out);
}

static void gathers(void)
{
    static const size_t sizes[] = {1, 3, 64, 1000, 5000, 70000};
    int64_t blocks = pst__mem_blocks(), indices[300];
    tree_open(&tree);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int access = PST__ACCESS_READ; access <= PST__ACCESS_MAP; access++) {
            int64_t n = sizes[s] > 5000 ? 20 : 500;
            struct pst_dataset *dataset =
                rows_dataset(&tree, "rows", (enum pst__access)access, n, sizes[s]);
            CHECK_INT(pst_dataset_length(dataset), n);
            for (size_t k = 0; k < 300; k++)
                indices[k] = (int64_t)(pst__mix64(k) % (uint64_t)n);
            check_gather(dataset, sizes[s], indices, 300);
            check_gather(dataset, sizes[s], indices, 1);
            check_gather(dataset, sizes[s], indices, 0);
            for (size_t k = 0; k < 20; k++)
                indices[k] = (int64_t)k; /* one read */
            check_gather(dataset, sizes[s], indices, 20);
            pst_dataset_unref(dataset);
        }
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* (5, 2, 3) of int32, seen with its axes in another order, and of the other byte order. */
static void views(void)
{
    int64_t blocks = pst__mem_blocks(), shape[] = {5, 2, 3};
    struct pst_tensor tensor, turned, out;
    struct pst_dataset *dataset;
    CHECK_INT(pst_tensor_empty(&tensor, PST_I32, 3, shape, NULL), PST_OK);
    for (int32_t i = 0; i < 30; i++)
        memcpy((uint8_t *)tensor.data + 4 * i, &(int32_t){i * 0x01020304}, 4);
    int axes[] = {2, 0, 1};
    CHECK_INT(pst_tensor_permute(&turned, &tensor, axes, NULL), PST_OK);
    CHECK_INT(pst_tensor_clone(&out, &turned, NULL), PST_OK);
    CHECK_INT(pst_rows_open(&dataset, &turned, NULL, 1, NULL), PST_OK);
    CHECK_INT(pst_dataset_length(dataset), 3);
    struct pst_field field;
    CHECK_INT(pst_dataset_fields(dataset, &field, 1), 1);
    CHECK_STR(field.name, "0");
    CHECK(field.dtype == PST_I32 && field.ndim == 2 && field.shape[0] == 5 && field.shape[1] == 2);
    int64_t indices[] = {2, 0, 2};
    int32_t found[30];
    void *dst = found;
    CHECK_INT(pst_gather(dataset, indices, 3, &dst, NULL), PST_OK);
    for (int i = 0; i < 3; i++)
        CHECK(memcmp(found + 10 * i, (uint8_t *)out.data + 40 * indices[i], 40) == 0);
    pst_dataset_unref(dataset);
    pst_tensor_reset(&tensor);
    pst_tensor_reset(&turned);
    pst_tensor_reset(&out);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void other_byte_order(void)
{
    int64_t blocks = pst__mem_blocks();
    tree_open(&tree);
    rows_write(&tree, "rows", 40, 8, 0);
    struct pst__column column = rows_column(&tree, "rows", PST__ACCESS_READ, 40, 8, 0);
    column.dtype = PST_I16;
    column.shape[1] = 4;
    column.strides[1] = 2;
    column.is_swapped = 1;
    struct pst_dataset *dataset;
    CHECK_INT(pst__columns_dataset(&dataset, &column, 1, NULL), PST_OK);
    uint8_t out[8];
    void *dst = out;
    CHECK_INT(pst_gather(dataset, &(int64_t){7}, 1, &dst, NULL), PST_OK);
    for (size_t i = 0; i < 8; i++)
        CHECK_INT(out[i], row_byte(7, i ^ 1));
    pst_dataset_unref(dataset);
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* What rows of another column count, a transposed one without a mapping, and wrong indices say. */
static void refusals(void)
{
    int64_t blocks = pst__mem_blocks();
    struct pst_dataset *dataset = NULL;
    struct pst_error err = {0};
    tree_open(&tree);
    rows_write(&tree, "a", 40, 8, 0);
    rows_write(&tree, "b", 41, 8, 0);
    struct pst__column columns[2] = {rows_column(&tree, "a", PST__ACCESS_MAP, 40, 8, 0),
                                     rows_column(&tree, "b", PST__ACCESS_MAP, 41, 8, 0)};
    CHECK_INT(pst__columns_dataset(&dataset, columns, 2, &err), PST_EINVAL);
    CHECK_HAS(err.message, "'b' has 41 rows, the first column has 40");
    pst_error_init(&err);
    columns[0] = rows_column(&tree, "a", PST__ACCESS_READ, 8, 40, 0);
    columns[0].strides[0] = 1;
    columns[0].strides[1] = 8;
    CHECK_INT(pst__columns_dataset(&dataset, columns, 1, &err), PST_EUNSUPPORTED);
    CHECK_HAS(err.message, "can only be mapped");
    pst_error_init(&err);
    dataset = rows_dataset(&tree, "c", PST__ACCESS_MAP, 9, 4);
    uint8_t out[8];
    void *dst = out;
    CHECK_INT(pst_gather(dataset, (int64_t[]){8, 9}, 2, &dst, &err), PST_ERANGE);
    CHECK_HAS(err.message, "index 9 of a dataset of 9");
    pst_dataset_intend(dataset, (int64_t[]){-1, 8, 9, INT64_MAX, 0}, 5);
    CHECK_INT(pst_dataset_label(dataset, 0), -1);
    pst_dataset_unref(dataset);
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* A file that is cut while it is read: the error names file, row and offset. */
static void a_cut_file(void)
{
    char path[TREE_PATH];
    uint8_t out[3 * 1000];
    void *dst = out;
    for (int access = PST__ACCESS_READ; access <= PST__ACCESS_MAP; access++) {
        struct pst_error err = {0};
        tree_open(&tree);
        struct pst_dataset *dataset =
            rows_dataset(&tree, "rows", (enum pst__access)access, 200, 1000);
        CHECK_INT(truncate(tree_path(&tree, path, "rows"), 8192), 0);
        CHECK_INT(pst_gather(dataset, (int64_t[]){0, 3, 1}, 3, &dst, &err), PST_OK);
        CHECK_INT(pst_gather(dataset, (int64_t[]){0, 100, 1}, 3, &dst, &err), PST_EIO);
        CHECK_HAS(err.message, "/rows' was cut while it was open");
        CHECK_INT(err.record, 100);
        CHECK(err.offset >= 100100 && err.offset < 101100);
        pst_dataset_unref(dataset);
        tree_close(&tree);
    }
}

CHECK_MAIN(CASE(gathers), CASE(views), CASE(other_byte_order), CASE(refusals),
           FAULT("R4", a_cut_file))
