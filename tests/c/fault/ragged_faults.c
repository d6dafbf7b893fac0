/* SPDX-License-Identifier: Apache-2.0 */
#include "fault/fault.h"

#ifdef PST_CHECKS

#include <penstock/array.h>

#include "unit/array_rows.h"

/* Padded rows of an array file, opened and gathered, under every fault at every call: a row is
 * right or there is an error. */

#define ROWS 60
#define PAD_TO 3

static struct tree tree;
static char path[TREE_PATH];

static void check_texts(uint8_t texts[ROWS][PAD_TO], const int64_t lengths[ROWS])
{
    for (int64_t i = 0; i < ROWS; i++) {
        int64_t row = ROWS - 1 - i, first = rows_end(ROWS_TEXT, row);
        int64_t length = rows_length(ROWS_TEXT, row), kept = length < PAD_TO ? length : PAD_TO;
        CHECK_INT(lengths[i], kept);
        for (int64_t k = 0; k < PAD_TO; k++)
            CHECK_INT(texts[i][k],
                      k < kept ? rows_byte(ROWS_TEXT, (uint64_t)(first + k)) : (uint8_t)9);
    }
}

static int open_and_gather(void *opaque)
{
    struct pst_array_source source = {.path = path, .name = "text", .ragged = PAD_TO, .pad = 9};
    struct pst_array_config config;
    struct pst_dataset *dataset;
    struct pst_error err = {0};
    uint8_t texts[ROWS][PAD_TO];
    int64_t lengths[ROWS], indices[ROWS];
    pst_array_config_init(&config);
    config.access = *(int *)opaque;
    int rc = pst_array_open(&dataset, &source, 1, &config, &err);
    CHECK_INT(err.status, rc);
    if (rc < 0)
        return rc;
    for (int i = 0; i < ROWS; i++)
        indices[i] = ROWS - 1 - i;
    pst_dataset_intend(dataset, indices, ROWS);
    rc = pst_gather(dataset, indices, ROWS, (void *[]){texts, lengths}, &err);
    CHECK_INT(err.status, rc);
    if (rc == PST_OK)
        check_texts(texts, lengths);
    else
        CHECK_HAS(err.message, rc == PST_ENOMEM ? "" : tree.root);
    pst_dataset_unref(dataset);
    return rc;
}

static const int may_be_io[] = {PST_EIO, PST_ENOMEM, 0};

static void every_call_fails(void)
{
    static const int errnos[] = {EIO, EINTR, 0};
    static const enum pst__sys_call kinds[] = {PST_SYS_ALLOC, PST_SYS_OPEN, PST_SYS_STAT,
                                               PST_SYS_READ, PST_SYS_MAP};
    int64_t n_failed, total = 0, all_failed = 0;
    rows_tree_open(&tree);
    tree_path(&tree, path, "rows.pst");
    rows_write_parts(path, ROWS);
    for (int access = PST_ARRAY_MAP; access <= PST_ARRAY_DIRECT; access++)
        for (size_t e = 0; e < PST_COUNTOF(errnos); e++)
            for (size_t k = 0; k < PST_COUNTOF(kinds); k++) {
                if (errnos[e] == 0 && kinds[k] != PST_SYS_READ)
                    continue;
                struct fault_spec spec = {1u << kinds[k], errnos[e], may_be_io, 20000};
                total += fault_loop(&spec, open_and_gather, &access, &n_failed);
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
