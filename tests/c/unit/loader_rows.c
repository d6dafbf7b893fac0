/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/loader.h>

#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/status.h"
#include "base/sys.h"
#include "check.h"
#include "unit/row_files.h"

#define N 1000
#define BYTES 777

static struct tree tree;

static struct pst_loader *open_loader(struct pst_dataset *dataset, struct pst_loader_config config)
{
    struct pst_loader *loader;
    struct pst_error err = {0};
    config.dataset = dataset;
    if (config.batch_size == 0)
        config.batch_size = 64;
    if (config.threads == 0)
        config.threads = 3;
    int rc = pst_loader_open(&loader, &config, &err);
    if (rc < 0)
        fprintf(stderr, "%s\n", err.message);
    CHECK_INT(rc, PST_OK);
    pst_dataset_unref(dataset);
    return loader;
}

static struct pst_loader_config a_config(void)
{
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    return config;
}

/* Epochs of the simple circle hold each row once, and other rows each time they are shuffled. */
static void epochs(void)
{
    int64_t blocks = pst__mem_blocks();
    tree_open(&tree);
    struct pst_loader_config config = a_config();
    config.shuffle = 1;
    struct pst_loader *loader =
        open_loader(rows_dataset(&tree, "rows", PST__ACCESS_MAP, N, BYTES), config);
    for (int epoch = 0; epoch < 3; epoch++) {
        struct pst_tensor field;
        struct pst_error err = {0};
        int64_t n = 0, sum = 0;
        int rc;
        while ((rc = pst_loader_next_fields(loader, &field, 1, &err)) == PST_OK) {
            CHECK(field.dtype == PST_U8 && field.ndim == 2 && field.shape[1] == BYTES);
            n += field.shape[0];
            for (int64_t i = 0; i < field.shape[0] * BYTES; i++)
                sum += ((uint8_t *)field.data)[i];
            pst_tensor_reset(&field);
        }
        CHECK_INT(rc, PST_END);
        CHECK_INT(n, N);
        for (int64_t row = 0; row < N; row++)
            for (size_t at = 0; at < BYTES; at++)
                sum -= row_byte(row, at);
        CHECK_INT(sum, 0);
    }
    pst_loader_close(&loader);
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void check_fields(const struct pst_tensor *field, const int64_t *indices, size_t n)
{
    CHECK_INT(field->shape[0], (int64_t)n);
    for (size_t i = 0; i < n; i++)
        check_row((uint8_t *)field->data + i * BYTES, indices[i], BYTES);
}

/* Submitted batches come in order; batches at once in between have no place in it. Tensors outlive
 * the loader. */
static void explicit_circle(void)
{
    int64_t blocks = pst__mem_blocks(), indices[4][500];
    tree_open(&tree);
    struct pst_loader_config config = a_config();
    config.batch_size = 500;
    struct pst_loader *loader =
        open_loader(rows_dataset(&tree, "rows", PST__ACCESS_READ, N, BYTES), config);
    struct pst_tensor field, kept;
    struct pst_event event;
    for (size_t b = 0; b < 4; b++) {
        uint64_t ticket;
        for (size_t i = 0; i < 500; i++)
            indices[b][i] = (int64_t)(pst__mix64(b * 1000 + i) % N);
        CHECK_INT(pst_loader_submit(loader, indices[b], 500, 0, &ticket, NULL), PST_OK);
        CHECK_INT(ticket, (int64_t)b + 1);
    }
    CHECK_INT(pst_loader_gather(loader, indices[3], 77, &kept, 1, NULL), PST_OK);
    for (size_t b = 0; b < 4; b++) {
        CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
        CHECK_INT(event.kind, PST_EVENT_BATCH);
        CHECK_INT(pst_loader_take_fields(loader, event.ticket, &field, 1, NULL), PST_OK);
        check_fields(&field, indices[b], 500);
        pst_tensor_reset(&field);
    }
    CHECK_INT(pst_loader_wait(loader, &event, 0, NULL), PST_END);
    struct pst_stats stats = {.struct_size = sizeof stats};
    CHECK_INT(pst_loader_stats(loader, &stats, NULL), PST_OK);
    CHECK_INT(stats.samples, 2077);
    CHECK_INT(stats.bytes_read, 2077 * BYTES);
    pst_loader_close(&loader);
    check_fields(&kept, indices[3], 77);
    pst_tensor_reset(&kept);
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void refusals(void)
{
    int64_t blocks = pst__mem_blocks();
    struct pst_tensor field;
    struct pst_batch batch;
    struct pst_error err = {0};
    int32_t h, w;
    tree_open(&tree);
    struct pst_loader_config config = a_config();
    config.memory_budget = 10 * BYTES;
    struct pst_loader *loader =
        open_loader(rows_dataset(&tree, "rows", PST__ACCESS_READ, N, BYTES), config);
    int64_t indices[64] = {0};
    CHECK_INT(pst_loader_gather(loader, indices, 11, &field, 1, &err), PST_ELIMIT);
    CHECK_HAS(err.message, "a batch of 11 rows takes 8576 bytes, the memory budget is 7770");
    pst_error_init(&err);
    CHECK_INT(pst_loader_next_fields(loader, &field, 1, &err), PST_ELIMIT);
    CHECK_HAS(err.message, "a batch of 64 rows takes");
    CHECK_INT(pst_loader_next(loader, &batch, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_next_fields(loader, &field, 2, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_take(loader, 1, &batch, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_slot_shape(loader, 1, 0, &h, &w, NULL), PST_EINVAL);
    indices[3] = N;
    CHECK_INT(pst_loader_gather(loader, indices, 4, &field, 1, NULL), PST_ERANGE);
    pst_loader_close(&loader);
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* The batch whose rows cannot be read fails with the row and its place; the others come. */
static void a_cut_file(void)
{
    char path[TREE_PATH];
    int64_t blocks = pst__mem_blocks();
    for (int access = PST__ACCESS_READ; access <= PST__ACCESS_MAP; access++) {
        tree_open(&tree);
        struct pst_loader_config config = a_config();
        struct pst_loader *loader =
            open_loader(rows_dataset(&tree, "rows", (enum pst__access)access, N, BYTES), config);
        CHECK_INT(truncate(tree_path(&tree, path, "rows"), 8192), 0);
        uint64_t ticket;
        struct pst_event event;
        struct pst_tensor field;
        static const int64_t good[] = {1, 0, 3}, bad[] = {2, 500, 600};
        CHECK_INT(pst_loader_submit(loader, bad, 3, 0, &ticket, NULL), PST_OK);
        CHECK_INT(pst_loader_submit(loader, good, 3, 0, &ticket, NULL), PST_OK);
        CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
        CHECK_INT(event.kind, PST_EVENT_FAILED);
        CHECK_INT(event.index, 500);
        CHECK_INT(event.slot, 1);
        CHECK_INT(event.error.status, PST_EIO);
        CHECK_HAS(event.error.message, "/rows' was cut while it was open");
        struct pst_error err = {0};
        CHECK_INT(pst_loader_take_fields(loader, event.ticket, &field, 1, &err), PST_EIO);
        CHECK_STR(err.message, event.error.message);
        CHECK_INT(err.record, 500);
        CHECK(!field.buffer);
        CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
        CHECK_INT(event.kind, PST_EVENT_BATCH);
        CHECK_INT(pst_loader_take_fields(loader, event.ticket, &field, 1, NULL), PST_OK);
        check_fields(&field, good, 3);
        pst_tensor_reset(&field);
        CHECK_INT(pst_loader_submit(loader, good, 3, 0, &ticket, NULL), PST_OK);
        CHECK_INT(pst_loader_cancel(loader, NULL), PST_OK);
        pst_loader_close(&loader);
        tree_close(&tree);
    }
    CHECK_INT(pst__mem_blocks(), blocks);
}

#ifdef PST_CHECKS
/* An epoch on a loader of its own, however it ends: the first error, or PST_END. */
static int run_epoch(struct pst_dataset *dataset)
{
    struct pst_loader_config config = a_config();
    struct pst_loader *loader = NULL;
    struct pst_tensor field;
    int64_t n = 0;
    config.dataset = dataset;
    config.batch_size = 100;
    config.threads = 2;
    config.memory_budget = 1 << 30; /* the system is not asked for one */
    int rc = pst_loader_open(&loader, &config, NULL);
    while (rc == PST_OK && (rc = pst_loader_next_fields(loader, &field, 1, NULL)) == PST_OK) {
        n += field.shape[0];
        pst_tensor_reset(&field);
    }
    CHECK(rc != PST_END || n == N);
    pst_loader_close(&loader);
    return rc;
}

/* Every allocation, mapping, thread and read of an epoch fails in turn. */
static void faults(void)
{
    int64_t blocks = pst__mem_blocks();
    static const struct {
        uint32_t mask;
        int os_errno;
    } kinds[] = {{1u << PST_SYS_ALLOC, 12}, {1u << PST_SYS_MAP, 12}, {1u << PST_SYS_THREAD, 11},
                 {1u << PST_SYS_READ, 5},   {1u << PST_SYS_READ, 0}, {1u << PST_SYS_READ, 4}};
    tree_open(&tree);
    struct pst_dataset *dataset = rows_dataset(&tree, "rows", PST__ACCESS_READ, N, BYTES);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        int is_harmless = kinds[k].os_errno == 0 || kinds[k].os_errno == 4;
        int64_t fired = 1;
        for (int64_t nth = 1; fired > 0; nth++) {
            pst__fault_arm(kinds[k].mask, nth, 0, kinds[k].os_errno);
            int rc = run_epoch(dataset);
            fired = pst__fault_fired();
            pst__fault_disarm();
            CHECK(fired == 0 || is_harmless ? rc == PST_END : rc < 0);
            check_tried(fired);
        }
        CHECK_INT(run_epoch(dataset), PST_END);
    }
    pst_dataset_unref(dataset);
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}
#define FAULTS , FAULT("R6 R7 R17", faults)
#else
#define FAULTS
#endif

CHECK_MAIN(CASE(epochs), CASE(explicit_circle), CASE(refusals), FAULT("R4", a_cut_file) FAULTS)
