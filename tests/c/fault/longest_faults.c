/* SPDX-License-Identifier: Apache-2.0 */
#include "fault/fault.h"

#ifdef PST_CHECKS

#include "unit/longest_rows.h"

/* Batches of rows of different lengths through a loader, under every fault at every call: a batch
 * is right or there is an error. */

#define BATCH 25

static struct tree tree;
static char path[TREE_PATH];

static int take(struct pst_loader *loader, const int64_t *indices)
{
    struct pst_tensor fields[3] = {{0}};
    struct pst_error err = {0};
    struct pst_event event;
    int rc = pst_loader_wait(loader, &event, 60000, &err);
    if (rc == PST_OK)
        rc = pst_loader_take_fields(loader, event.ticket, fields, 3, &err);
    CHECK_INT(err.status, rc);
    if (rc == PST_OK)
        longest_check_batch(fields, indices, BATCH, 0);
    for (int f = 0; f < 3; f++)
        pst_tensor_reset(&fields[f]);
    return rc;
}

static int run_loader(struct pst_loader *loader)
{
    int64_t indices[2][BATCH];
    uint64_t ticket;
    int rc = PST_OK;
    for (int64_t i = 0; i < BATCH; i++) {
        indices[0][i] = LONGEST_ROWS - 1 - 3 * i;
        indices[1][i] = i;
    }
    for (int b = 0; b < 2 && rc == PST_OK; b++)
        rc = pst_loader_submit(loader, indices[b], BATCH, 0, &ticket, NULL);
    if (rc < 0)
        return rc;
    /* The second one goes its own way, whatever became of the first. */
    int first = take(loader, indices[0]), second = take(loader, indices[1]);
    return first < 0 ? first : second;
}

static int open_and_run(void *opaque)
{
    struct pst_dataset *dataset;
    struct pst_loader *loader;
    struct pst_loader_config config;
    int rc = longest_open(&dataset, path, *(int *)opaque, 0, NULL);
    if (rc < 0)
        return rc;
    pst_loader_config_init(&config);
    config.dataset = dataset;
    config.threads = 1;
    config.batch_size = BATCH;
    rc = pst_loader_open(&loader, &config, NULL);
    pst_dataset_unref(dataset);
    if (rc < 0)
        return rc;
    rc = run_loader(loader);
    pst_loader_close(&loader);
    return rc;
}

static const int may_be_io[] = {PST_EIO, PST_ENOMEM, PST_ETHREAD, 0};

static void every_call_fails(void)
{
    static const int errnos[] = {EIO, EINTR, 0};
    static const enum pst__sys_call kinds[] = {PST_SYS_ALLOC, PST_SYS_OPEN, PST_SYS_STAT,
                                               PST_SYS_READ,  PST_SYS_MAP,  PST_SYS_THREAD};
    int64_t n_failed, total = 0, all_failed = 0;
    rows_tree_open(&tree);
    tree_path(&tree, path, "rows.pst");
    rows_write_parts(path, LONGEST_ROWS);
    for (int access = PST_ARRAY_MAP; access <= PST_ARRAY_READ; access++)
        for (size_t e = 0; e < PST_COUNTOF(errnos); e++)
            for (size_t k = 0; k < PST_COUNTOF(kinds); k++) {
                if (errnos[e] == 0 && kinds[k] != PST_SYS_READ)
                    continue;
                struct fault_spec spec = {1u << kinds[k], errnos[e], may_be_io, 20000};
                total += fault_loop(&spec, open_and_run, &access, &n_failed);
                all_failed += n_failed;
            }
    CHECK(total > 100 && all_failed > 50);
    tree_close(&tree);
}

CHECK_MAIN(FAULT("R9", every_call_fails))
#else
int main(void)
{
    return 77;
}
#endif
