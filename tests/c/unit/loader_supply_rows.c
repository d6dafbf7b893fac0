/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/loader.h>

#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "check.h"
#include "row_files.h"
#include "supplied_memory.h"

/* Batches of rows in memory of the caller's. */

enum { ROWS = 500, ROW = 333 };

static struct pst_loader *open_rows(struct tree *tree)
{
    struct pst_loader *loader;
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    config.threads = 3;
    config.ahead = 5;
    config.dataset = rows_dataset(tree, "rows", PST__ACCESS_READ, ROWS, ROW);
    config.batch_size = 100;
    CHECK_INT(pst_loader_open(&loader, &config, NULL), PST_OK);
    pst_dataset_unref(config.dataset);
    return loader;
}

static void check_rows(const struct pst_tensor *field, const int64_t *indices)
{
    CHECK(is_lent(field));
    for (int64_t i = 0; i < field->shape[0]; i++)
        check_row((uint8_t *)field->data + i * ROW, indices[i], ROW);
}

static void rows(void)
{
    int64_t blocks = pst__mem_blocks(), indices[5][100];
    struct tree tree;
    struct pst_event event;
    struct pst_tensor field;
    uint64_t ticket;
    size_t bytes;
    tree_open(&tree);
    struct pst_loader *loader = open_rows(&tree);
    n_lent = n_back = 0;
    for (int b = 0; b < 5; b++) {
        for (int i = 0; i < 100; i++)
            indices[b][i] = (b * 100 + i * 17) % ROWS;
        CHECK_INT(pst_loader_submit_supplied(loader, indices[b], 100, 0, &ticket, NULL), PST_OK);
    }
    CHECK_INT(supply_all(loader), 5);
    for (int b = 0; b < 4; b++) {
        CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
        CHECK_INT(pst_loader_take_fields(loader, event.ticket, &field, 1, NULL), PST_OK);
        check_rows(&field, indices[b]);
        pst_tensor_reset(&field);
        CHECK_INT(n_back, b + 1);
    }
    CHECK_INT(pst_loader_batch_bytes(loader, 7, &bytes, NULL), PST_OK);
    CHECK(bytes >= 7 * ROW);
    struct pst_buffer *memory = lend(bytes);
    CHECK_INT(pst_loader_gather_into(loader, indices[4], 8, memory, &field, 1, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_gather_into(loader, indices[4], 7, memory, &field, 1, NULL), PST_OK);
    pst_buffer_unref(memory);
    CHECK_INT(field.shape[0], 7);
    check_rows(&field, indices[4]);
    pst_loader_close(&loader);
    CHECK_INT(n_back, 5);
    pst_tensor_reset(&field);
    CHECK_INT(n_back, 6);
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* A dataset of ten rows that tells when a thread has come to a batch. */
static int64_t ten(void *self)
{
    (void)self;
    return 10;
}

static int one_field(void *self, struct pst_field *fields, int most)
{
    (void)self;
    if (most > 0)
        fields[0] = (struct pst_field){.name = "x", .dtype = PST_I64};
    return 1;
}

static int gather_indices(void *self, const int64_t *indices, size_t n, void *const *dst,
                          struct pst_error *err)
{
    (void)self;
    (void)err;
    memcpy(dst[0], indices, n * sizeof *indices);
    return PST_OK;
}

static void note(void *self, const int64_t *indices, size_t n)
{
    (void)indices;
    (void)n;
    atomic_fetch_add((atomic_int *)self, 1);
}

/* Threads that are at a batch leave it alone until its memory is there. */
static void rows_await(void)
{
    static const int64_t indices[] = {2, 7, 1, 8};
    atomic_int n_seen = 0;
    const struct pst_dataset_vtable vtable = {.struct_size = sizeof vtable,
                                              .length = ten,
                                              .fields = one_field,
                                              .gather = gather_indices,
                                              .intend = note};
    struct pst_loader *loader;
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    config.threads = 3;
    config.batch_size = 4;
    CHECK_INT(pst_dataset_new(&config.dataset, &vtable, &n_seen, NULL), PST_OK);
    CHECK_INT(pst_loader_open(&loader, &config, NULL), PST_OK);
    pst_dataset_unref(config.dataset);
    for (int round = 0; round < 300; round++) {
        struct pst_tensor field;
        uint64_t ticket;
        CHECK_INT(pst_loader_submit_supplied(loader, indices, 4, 0, &ticket, NULL), PST_OK);
        while (atomic_load(&n_seen) == round)
            sched_yield();
        CHECK_INT(supply_all(loader), 1);
        struct pst_event event;
        CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
        CHECK_INT(pst_loader_take_fields(loader, ticket, &field, 1, NULL), PST_OK);
        CHECK(is_lent(&field));
        CHECK(memcmp(field.data, indices, sizeof indices) == 0);
        pst_tensor_reset(&field);
    }
    pst_loader_close(&loader);
}

/* Rows that cannot be read fail the batch, and what it was given comes back. */
static void rows_of_a_cut_file(void)
{
    char path[TREE_PATH];
    int64_t indices[100];
    struct tree tree;
    struct pst_event event;
    struct pst_tensor field;
    uint64_t ticket;
    tree_open(&tree);
    struct pst_loader *loader = open_rows(&tree);
    CHECK_INT(truncate(tree_path(&tree, path, "rows"), 8192), 0);
    for (int i = 0; i < 100; i++)
        indices[i] = i * 5;
    n_lent = n_back = 0;
    CHECK_INT(pst_loader_submit_supplied(loader, indices, 100, 0, &ticket, NULL), PST_OK);
    CHECK_INT(supply_all(loader), 1);
    CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
    CHECK_INT(event.kind, PST_EVENT_FAILED);
    CHECK_INT(pst_loader_take_fields(loader, ticket, &field, 1, NULL), PST_EIO);
    CHECK_INT(n_back, 1);
    struct pst_buffer *memory = lend(100 * ROW + PST_ALIGN);
    CHECK_INT(pst_loader_gather_into(loader, indices, 100, memory, &field, 1, NULL), PST_EIO);
    pst_buffer_unref(memory);
    CHECK_INT(n_back, 2);
    CHECK_INT(slab_bytes(loader), 0);
    pst_loader_close(&loader);
    tree_close(&tree);
}

CHECK_MAIN(CASE(rows), CASE(rows_await), CASE(rows_of_a_cut_file))
