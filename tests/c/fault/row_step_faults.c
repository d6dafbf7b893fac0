/* SPDX-License-Identifier: Apache-2.0 */
#include "fault/fault.h"

#ifdef PST_CHECKS

#include "unit/step_rows.h"

/* Steps opened and gathered through, where each allocation fails: a row is right or there is an
 * error. */

static int open_and_gather(void *opaque)
{
    struct pst_dataset *rows, *dataset;
    struct pst_error err = {0};
    static float images[STEP_ROWS * 8][STEP_SIDE];
    static uint8_t labels[STEP_ROWS * 8][STEP_CLASSES];
    static int64_t indices[STEP_ROWS * 8]; /* more than wait on the stack */
    (void)opaque;
    int rc = step_rows_open(&rows, &err);
    if (rc == PST_OK)
        rc = step_open(&dataset, rows, &err);
    CHECK_INT(err.status, rc);
    if (rc < 0)
        return rc;
    for (int64_t i = 0; i < STEP_ROWS * 8; i++)
        indices[i] = i % STEP_ROWS;
    rc = pst_gather(dataset, indices, STEP_ROWS * 8, (void *[]){images, labels}, &err);
    CHECK_INT(err.status, rc);
    for (int64_t i = 0; rc == PST_OK && i < STEP_ROWS * 8; i++)
        step_check(images[i], labels[i], indices[i]);
    pst_dataset_unref(dataset);
    return rc;
}

static const int no_memory[] = {PST_ENOMEM, 0};

static void every_allocation_fails(void)
{
    struct fault_spec spec = {1u << PST_SYS_ALLOC, 0, no_memory, 200};
    int64_t n_failed;
    CHECK(fault_loop(&spec, open_and_gather, NULL, &n_failed) > 20);
    CHECK(n_failed > 20);
}

CHECK_MAIN(FAULT("R9", every_allocation_fails))
#else
int main(void)
{
    return 77;
}
#endif
