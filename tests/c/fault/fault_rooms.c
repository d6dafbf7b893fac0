/* SPDX-License-Identifier: Apache-2.0 */
#include "fault/fault.h"

#ifdef PST_CHECKS

#include <penstock/dataset.h>

#include "buffer/slab_pool.h"
#include "format/dataset.h"
#include "io/record.h"
#include "unit/format_tree.h"

/* A folder opened and read, a list of paths, and slabs, under every fault at every call. */

static struct tree tree;

static void make_tree(void)
{
    tree_open(&tree);
    for (int i = 0; i < 12; i++) {
        char name[64];
        snprintf(name, sizeof name, "class%d/%s%d.jpg", i % 2, i % 3 ? "" : "deep/er/", i);
        tree_file(&tree, name, name);
    }
    tree_link(&tree, "class0/link", "../class1/deep");
    tree_link(&tree, "class2", "class1");
}

static int check_content(struct pst_dataset *dataset, int64_t i, const struct pst_record *record)
{
    /* A file holds its own name, so no stale or cut record passes. */
    char name[TREE_PATH];
    int64_t length = pst_dataset_copy_name(dataset, i, name, sizeof name);
    CHECK(length > 5 && length < TREE_PATH);
    size_t n = (size_t)length;
    CHECK(record->size > 6 && record->size < n);
    CHECK(memcmp(record->data + record->size - 5, name + n - 5, 5) == 0);
    return PST_OK;
}

static int open_and_read(void *opaque)
{
    struct pst_dataset *dataset;
    struct pst_record record = {0};
    struct pst_error err = {0};
    (void)opaque;
    int rc = pst_folder_open(&dataset, tree.root, NULL, &err);
    CHECK_INT(err.status, rc);
    CHECK((rc == PST_OK) == !!dataset);
    if (rc < 0) {
        CHECK(err.message[0]);
        return rc;
    }
    /* A dataset that did open has every sample. */
    CHECK_INT(pst_dataset_length(dataset), 20);
    for (int64_t i = 0; i < 20 && rc == PST_OK; i++) {
        rc = pst__dataset_read(dataset, i, &record, &err);
        if (rc == PST_OK) {
            check_content(dataset, i, &record);
        } else {
            CHECK_INT(err.record, i);
            CHECK_INT(err.status, rc);
            CHECK(!record.data);
        }
    }
    pst__record_reset(&record);
    pst_dataset_unref(dataset);
    return rc;
}

static int paths_and_read(void *opaque)
{
    struct pst_dataset *dataset;
    struct pst_record record = {0};
    char path[TREE_PATH];
    (void)opaque;
    tree_path(&tree, path, "class0/2.jpg");
    int64_t label = 3;
    int rc = pst_paths_open(&dataset, path, strlen(path) + 1, &label, 1, NULL);
    CHECK((rc == PST_OK) == !!dataset);
    if (rc < 0)
        return rc;
    rc = pst__dataset_read(dataset, 0, &record, NULL);
    CHECK(rc < 0 || (record.size == 12 && memcmp(record.data, "class0/2.jpg", 12) == 0));
    pst__record_reset(&record);
    pst_dataset_unref(dataset);
    return rc;
}

static int list_of(void *opaque)
{
    char path[TREE_PATH];
    struct pst_dataset *dataset;
    struct pst_error err = {0};
    int rc = pst_list_open(&dataset, tree_path(&tree, path, opaque), NULL, &err);
    CHECK_INT(err.status, rc);
    CHECK((rc == PST_OK) == !!dataset);
    if (rc == PST_OK) {
        CHECK_INT(pst_dataset_length(dataset), 3);
        CHECK_INT(pst_list_n_classes(dataset), 2);
        CHECK_INT(pst_dataset_label(dataset, 1), 0);
        CHECK_HAS(pst_dataset_name(dataset, 2), "/lists/c.jpg");
    }
    pst_dataset_unref(dataset);
    return rc;
}

/* With an index that is new, that is kept, and whose folder changed. */
static int open_with_index(void *opaque)
{
    char path[TREE_PATH];
    struct pst_folder_config config;
    struct pst_dataset *dataset;
    pst_folder_config_init(&config);
    config.index = tree_path(&tree, path, "index");
    if (opaque)
        (void)remove(path);
    char root[TREE_PATH];
    int rc = pst_folder_open(&dataset, tree_path(&tree, root, "class0"), &config, NULL);
    CHECK((rc == PST_OK) == !!dataset);
    if (rc == PST_OK)
        CHECK_INT(pst_dataset_length(dataset), 4);
    pst_dataset_unref(dataset);
    return rc;
}

static int cycle_slabs(void *opaque)
{
    struct pst__slab_pool *pool;
    (void)opaque;
    int rc = pst__slab_pool_new(&pool, 1 << 20, NULL);
    for (size_t i = 1; i < 12 && rc == PST_OK; i++) {
        struct pst_buffer *slab;
        struct pst__slab_pool_stats stats;
        rc = pst__slab_take(pool, i * 100000, i > 6, &slab, NULL);
        CHECK((rc == PST_OK) == !!slab);
        if (rc == PST_OK) {
            pst__slab_leave(pool, slab);
            pst_buffer_unref(slab);
        }
        pst__slab_pool_stats(pool, &stats);
        CHECK(stats.bytes <= 1 << 20); /* a slab that could not be mapped left no ticket behind */
    }
    pst__slab_pool_unref(pool);
    CHECK_INT(pst__mem_live(PST_MEM_SLAB), 0);
    return rc;
}

static const int may_be_io[] = {PST_EIO, PST_ENOMEM, 0};
static const int may_be_memory[] = {PST_ENOMEM, 0};

static void files_and_folders_fail(void)
{
    static const int errnos[] = {EIO, EMFILE, ENOMEM};
    static const enum pst__sys_call kinds[] = {PST_SYS_OPEN, PST_SYS_STAT, PST_SYS_READ,
                                               PST_SYS_DIR};
    make_tree();
    for (size_t e = 0; e < 3; e++)
        for (size_t k = 0; k < 4; k++) {
            struct fault_spec spec = {1u << kinds[k], errnos[e],
                                      errnos[e] == ENOMEM ? may_be_memory : may_be_io, 500};
            int64_t n_failed, struck = fault_loop(&spec, open_and_read, NULL, &n_failed);
            CHECK(struck >= 20);
            CHECK_INT(n_failed, struck); /* none of these may be passed over */
            fault_loop(&spec, paths_and_read, NULL, &n_failed);
        }
    tree_close(&tree);
}

static void indices_fail(void)
{
    static const int errnos[] = {EIO, EINTR, ENOMEM};
    static const enum pst__sys_call kinds[] = {PST_SYS_OPEN, PST_SYS_STAT,  PST_SYS_READ,
                                               PST_SYS_DIR,  PST_SYS_ALLOC, PST_SYS_WRITE};
    make_tree();
    for (size_t e = 0; e < 3; e++)
        for (size_t k = 0; k < 6; k++) {
            struct fault_spec spec = {1u << kinds[k], errnos[e],
                                      kinds[k] == PST_SYS_ALLOC ? may_be_memory : may_be_io, 2500};
            int64_t n_failed, struck = fault_loop(&spec, open_with_index, &tree, &n_failed);
            /* Nothing in writing an index fails the open. */
            CHECK(kinds[k] != PST_SYS_WRITE || n_failed == 0);
            struck += fault_loop(&spec, open_with_index, NULL, &n_failed);
            CHECK(struck >= 4);
        }
    tree_close(&tree);
}

static void lists_fail(void)
{
    make_tree();
    tree_file(&tree, "lists/a.csv", "path,label\na.jpg,x\nb.jpg,\"w\"\nc.jpg,x\n");
    tree_file(&tree, "lists/b.jsonl",
              "{\"path\":\"a.jpg\",\"label\":\"x\"}\n{\"path\":\"b\",\"label\":\"w\"}\n"
              "{\"path\":\"c.jpg\",\"label\":\"x\",\"o\":[{\"p\":1}]}\n");
    static char lists[][16] = {"lists/a.csv", "lists/b.jsonl"};
    for (size_t i = 0; i < 2; i++) {
        int64_t n_failed, struck;
        struct fault_spec memory = {1u << PST_SYS_ALLOC, ENOMEM, may_be_memory, 500};
        struck = fault_loop(&memory, list_of, lists[i], &n_failed);
        CHECK(struck >= 10);
        struct fault_spec io = {1u << PST_SYS_OPEN | 1u << PST_SYS_READ | 1u << PST_SYS_STAT, EIO,
                                may_be_io, 500};
        struck = fault_loop(&io, list_of, lists[i], &n_failed);
        CHECK(struck >= 3);
        CHECK_INT(n_failed, struck);
    }
    tree_close(&tree);
}

/* A call that is interrupted once is made again; one that always is ends with a status. */
static void interrupted_calls(void)
{
    static const enum pst__sys_call kinds[] = {PST_SYS_OPEN, PST_SYS_READ, PST_SYS_DIR};
    make_tree();
    for (size_t k = 0; k < 3; k++) {
        struct fault_spec spec = {1u << kinds[k], EINTR, may_be_io, 500};
        int64_t n_failed, struck = fault_loop(&spec, open_and_read, NULL, &n_failed);
        CHECK(struck >= 40);
        CHECK(n_failed > 0 && n_failed <= struck / 2);
        for (int64_t nth = 1; nth <= struck / 2; nth++) {
            pst__fault_arm(spec.mask, nth, 0, EINTR);
            int rc = open_and_read(NULL);
            pst__fault_disarm();
            CHECK_INT(rc, PST_OK);
        }
    }
    tree_close(&tree);
}

static void short_reads_are_continued(void)
{
    struct fault_spec spec = {1u << PST_SYS_READ, 0, may_be_io, 1000};
    int64_t n_failed;
    make_tree();
    CHECK(fault_loop(&spec, open_and_read, NULL, &n_failed) >= 40);
    CHECK_INT(n_failed, 0);
    tree_close(&tree);
}

static void memory_runs_out(void)
{
    struct fault_spec spec = {1u << PST_SYS_ALLOC | 1u << PST_SYS_MAP, ENOMEM, may_be_memory, 500};
    int64_t n_failed;
    make_tree();
    CHECK(fault_loop(&spec, open_and_read, NULL, &n_failed) >= 20);
    CHECK(n_failed >= 15);
    CHECK(fault_loop(&spec, paths_and_read, NULL, &n_failed) >= 8);
    CHECK(n_failed >= 8);
    CHECK(fault_loop(&spec, cycle_slabs, NULL, &n_failed) >= 10);
    CHECK(n_failed >= 10);
    tree_close(&tree);
}

CHECK_MAIN(FAULT("R7", files_and_folders_fail), FAULT("R6", interrupted_calls),
           FAULT("R6", short_reads_are_continued), FAULT("R17", memory_runs_out),
           CASE(indices_fail), CASE(lists_fail))
#else
int main(void)
{
    return 77;
}
#endif
