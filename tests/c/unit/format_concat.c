/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/array.h>

#include <errno.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/sys.h"
#include "check.h"
#include "unit/row_files.h"

static struct tree tree;

/* Two fields, of `wide` and of 8 bytes a row, whose bytes tell the row among all. */
static struct pst_dataset *part_of_rows(int64_t first, int64_t n, int64_t wide)
{
    struct pst_tensor tensors[2];
    int64_t shape[] = {n, wide};
    CHECK_INT(pst_tensor_empty(&tensors[0], PST_U8, 2, shape, NULL), PST_OK);
    CHECK_INT(pst_tensor_empty(&tensors[1], PST_I64, 1, shape, NULL), PST_OK);
    for (int64_t row = 0; row < n; row++) {
        for (int64_t at = 0; at < wide; at++)
            ((uint8_t *)tensors[0].data)[row * wide + at] = row_byte(first + row, (size_t)at);
        ((int64_t *)tensors[1].data)[row] = first + row;
    }
    struct pst_dataset *dataset;
    CHECK_INT(pst_rows_open(&dataset, tensors, (const char *const[]){"x", "y"}, 2, NULL), PST_OK);
    pst_tensor_reset(&tensors[0]);
    pst_tensor_reset(&tensors[1]);
    return dataset;
}

/* n_parts parts of sizes that differ, some of them empty. */
static struct pst_dataset *concatenated(size_t n_parts, int64_t wide, struct pst_error *err,
                                        int *rc)
{
    struct pst_dataset *parts[16], *dataset;
    int64_t first = 0;
    for (size_t p = 0; p < n_parts; p++) {
        int64_t n = (int64_t)(pst__mix64(p + 77) % 40);
        n = p == 1 ? 0 : n + (p == 0);
        parts[p] = part_of_rows(first, n, wide);
        first += n;
    }
    *rc = pst_rows_concat(&dataset, parts, n_parts, err);
    for (size_t p = 0; p < n_parts; p++)
        pst_dataset_unref(parts[p]);
    return dataset;
}

static void check_gather(const struct pst_dataset *dataset, int64_t wide, const int64_t *indices,
                         size_t n)
{
    uint8_t *wides = malloc(n * (size_t)wide + 1);
    int64_t *longs = malloc((n + 1) * sizeof *longs);
    struct pst_error err;
    pst_error_init(&err);
    CHECK(wides && longs);
    longs[n] = wides[n * (size_t)wide] = 0x5a;
    pst_dataset_intend(dataset, indices, n);
    CHECK_INT(pst_gather(dataset, indices, n, (void *[]){wides, longs}, &err), PST_OK);
    for (size_t i = 0; i < n; i++) {
        check_row(wides + i * (size_t)wide, indices[i], (size_t)wide);
        CHECK_INT(longs[i], indices[i]);
    }
    CHECK_INT(longs[n], 0x5a);
    CHECK_INT(wides[n * (size_t)wide], 0x5a);
    free(wides);
    free(longs);
}

/* Rows far below and above what goes through scratch memory, in any order and in a row. */
static void gathers(void)
{
    static const int64_t wides[] = {0, 1, 56, 1000, 30000, 70000};
    int64_t blocks = pst__mem_blocks(), indices[300];
    for (size_t w = 0; w < sizeof wides / sizeof *wides; w++)
        for (size_t n_parts = 1; n_parts <= 16; n_parts += 5) {
            int rc;
            struct pst_dataset *dataset = concatenated(n_parts, wides[w], NULL, &rc);
            CHECK_INT(rc, PST_OK);
            int64_t n = pst_dataset_length(dataset);
            for (size_t k = 0; k < 300; k++)
                indices[k] = (int64_t)(pst__mix64(k + w) % (uint64_t)n);
            check_gather(dataset, wides[w], indices, 300);
            check_gather(dataset, wides[w], indices, 1);
            check_gather(dataset, wides[w], indices, 0);
            for (size_t k = 0; k < 300; k++)
                indices[k] = (int64_t)k % n;
            check_gather(dataset, wides[w], indices, 300);
            CHECK_INT(pst_gather(dataset, &n, 1, (void *[]){indices, indices}, NULL), PST_ERANGE);
            pst_dataset_unref(dataset);
        }
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void refusals(void)
{
    int64_t blocks = pst__mem_blocks();
    struct pst_dataset *parts[2] = {part_of_rows(0, 4, 3), part_of_rows(0, 4, 5)}, *dataset;
    struct pst_error err;
    pst_error_init(&err);
    CHECK_INT(pst_rows_concat(&dataset, parts, 2, &err), PST_EINVAL);
    CHECK_HAS(err.message, "'x' of part 1 has another dtype or shape");
    CHECK(!dataset);
    pst_error_init(&err);
    CHECK_INT(pst_rows_concat(&dataset, parts, 0, &err), PST_EINVAL);
    CHECK_HAS(err.message, "0 datasets, expected 1 to");
    pst_dataset_unref(parts[1]);
    parts[1] = NULL;
    pst_error_init(&err);
    CHECK_INT(pst_rows_concat(&dataset, parts, 2, &err), PST_EINVAL);
    CHECK_HAS(err.message, "part 1 has 0 fields, the first has 2");
    pst_dataset_unref(parts[0]);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* The parts' errors: the row is named by its index among all. */
static void a_cut_part(void)
{
    char path[TREE_PATH];
    uint8_t out[3 * 1000];
    void *dst = out;
    int64_t blocks = pst__mem_blocks();
    for (int access = PST__ACCESS_READ; access <= PST__ACCESS_MAP; access++) {
        struct pst_error err;
        pst_error_init(&err);
        tree_open(&tree);
        struct pst_dataset *dataset,
            *parts[] = {rows_dataset(&tree, "one", (enum pst__access)access, 50, 1000),
                        rows_dataset(&tree, "two", (enum pst__access)access, 200, 1000)};
        CHECK_INT(pst_rows_concat(&dataset, parts, 2, NULL), PST_OK);
        pst_dataset_unref(parts[0]);
        pst_dataset_unref(parts[1]);
        CHECK_INT(truncate(tree_path(&tree, path, "two"), 8192), 0);
        CHECK_INT(pst_gather(dataset, (int64_t[]){51, 3, 50}, 3, &dst, &err), PST_OK);
        CHECK_INT(pst_gather(dataset, (int64_t[]){51, 150, 3}, 3, &dst, &err), PST_EIO);
        CHECK_HAS(err.message, "/two' was cut while it was open");
        CHECK_INT(err.record, 150);
        pst_dataset_unref(dataset);
        tree_close(&tree);
    }
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* Every allocation fails in its turn. */
static void without_memory(void)
{
#ifdef PST_CHECKS
    int64_t blocks = pst__mem_blocks(), longs[2];
    uint8_t wides[6];
    struct pst_dataset *parts[2] = {part_of_rows(0, 4, 3), part_of_rows(4, 4, 3)}, *dataset = NULL;
    int n = 0;
    for (int rc = PST_ENOMEM; rc != PST_OK; n++) {
        CHECK(n < 20);
        pst__fault_arm(1u << PST_SYS_ALLOC, n + 1, 1, ENOMEM);
        rc = pst_rows_concat(&dataset, parts, 2, NULL);
        pst__fault_disarm();
        CHECK(rc == PST_OK || (rc == PST_ENOMEM && !dataset));
    }
    CHECK_INT(n, 5);
    pst__fault_arm(1u << PST_SYS_ALLOC, 1, 2, ENOMEM);
    pst_dataset_intend(dataset, (int64_t[]){1, 5}, 2);
    CHECK_INT(pst_gather(dataset, (int64_t[]){1, 5}, 2, (void *[]){wides, longs}, NULL),
              PST_ENOMEM);
    pst__fault_disarm();
    pst_dataset_unref(dataset);
    pst_dataset_unref(parts[0]);
    pst_dataset_unref(parts[1]);
    CHECK_INT(pst__mem_blocks(), blocks);
#endif
}

CHECK_MAIN(CASE(gathers), CASE(refusals), FAULT("R4", a_cut_part), CASE(without_memory))
