/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "unit/step_rows.h"

struct batch {
    float images[STEP_ROWS + 1][STEP_SIDE];
    uint8_t labels[STEP_ROWS][STEP_CLASSES];
};

static struct pst_dataset *opened(void)
{
    struct pst_dataset *rows, *dataset;
    CHECK_INT(step_rows_open(&rows, NULL), PST_OK);
    CHECK_INT(step_open(&dataset, rows, NULL), PST_OK);
    return dataset;
}

static void gather(struct pst_dataset *dataset, size_t shift)
{
    struct batch *batch = malloc(sizeof *batch);
    int64_t indices[STEP_ROWS];
    CHECK(batch);
    for (int64_t i = 0; i < STEP_ROWS; i++)
        indices[i] = STEP_ROWS - 1 - i;
    void *dst[] = {(uint8_t *)batch->images + shift, batch->labels};
    CHECK_INT(pst_gather(dataset, indices, STEP_ROWS, dst, NULL), PST_OK);
    memmove(batch->images, dst[0], sizeof batch->images - sizeof batch->images[0]);
    for (int64_t i = 0; i < STEP_ROWS; i++)
        step_check(batch->images[i], batch->labels[i], indices[i]);
    free(batch);
}

static void rows_after_steps(void)
{
    int64_t blocks = pst__mem_blocks();
    struct pst_dataset *dataset = opened();
    struct pst_field fields[2];
    CHECK_INT(pst_dataset_length(dataset), STEP_ROWS);
    CHECK_INT(pst_dataset_fields(dataset, fields, 2), 2);
    CHECK_STR(fields[0].name, "image");
    CHECK(fields[0].dtype == PST_F32 && fields[0].ndim == 2);
    CHECK(fields[0].shape[0] == 2 && fields[0].shape[1] == 3);
    CHECK(fields[1].dtype == PST_U8 && fields[1].ndim == 1);
    CHECK_INT(fields[1].shape[0], STEP_CLASSES);
    for (size_t shift = 0; shift < 5; shift++)
        gather(dataset, shift);
    pst_dataset_unref(dataset);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void *gather_often(void *opaque)
{
    for (int i = 0; i < 50; i++)
        gather(opaque, 0);
    return NULL;
}

static void from_several_threads(void)
{
    pthread_t threads[4];
    struct pst_dataset *dataset = opened();
    for (int i = 0; i < 4; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, gather_often, dataset), 0);
    for (int i = 0; i < 4; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    pst_dataset_unref(dataset);
}

/* Steps over steps; and a class that the second ones do not have. */
static void over_one_another(void)
{
    struct pst_dataset *dataset = opened(), *again;
    struct pst_step steps[] = {{.kind = PST_STEP_ONE_HOT, .classes = 1, .dtype = PST_BOOL}};
    struct pst_field_steps fields[] = {{"label", steps, 1}};
    struct pst_error err = {0};
    float image[STEP_SIDE];
    uint8_t hot[STEP_CLASSES];
    int64_t index = 7;
    CHECK_INT(pst_steps_open(&again, dataset, fields, 1, NULL), PST_OK);
    pst_dataset_unref(dataset);
    CHECK_INT(pst_gather(again, &index, 1, (void *[]){image, hot}, &err), PST_EFORMAT);
    CHECK_INT(err.record, 7);
    CHECK_HAS(err.message, "row 7 of field 'label': class 1 is not in range, 0 to 0 expected");
    pst_dataset_unref(again);
}

static void refused(const struct pst_field_steps *fields, size_t n, int status, const char *text)
{
    struct pst_dataset *rows, *dataset;
    struct pst_error err = {0};
    int64_t blocks = pst__mem_blocks();
    CHECK_INT(step_rows_open(&rows, NULL), PST_OK);
    CHECK_INT(pst_steps_open(&dataset, rows, fields, n, &err), status);
    CHECK(!dataset);
    CHECK_HAS(err.message, text);
    pst_dataset_unref(rows);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void what_is_refused(void)
{
    struct pst_step step = {.kind = 9}, no_dtype = {.kind = PST_STEP_TO_DTYPE, .dtype = 77};
    struct pst_step half[] = {{.kind = PST_STEP_TO_DTYPE, .dtype = PST_F64},
                              {.kind = PST_STEP_NORMALIZE, .n = 1}};
    struct pst_step deep[] = {{.kind = PST_STEP_RESHAPE, .ndim = PST_MAX_DIMS}};
    struct pst_step huge[] = {{.kind = PST_STEP_ONE_HOT, .classes = INT64_MAX, .dtype = PST_U8}};
    struct pst_field_steps twice[] = {{"label", NULL, 0}, {"label", NULL, 0}};
    refused(&(struct pst_field_steps){"label", &step, 1}, 1, PST_EINVAL, "no step of kind 9");
    refused(&(struct pst_field_steps){"label", &no_dtype, 1}, 1, PST_EINVAL, "no dtype 77");
    refused(&(struct pst_field_steps){"label", NULL, 1}, 1, PST_EINVAL, "are NULL");
    refused(&(struct pst_field_steps){NULL, &step, 1}, 1, PST_EINVAL, "which there is not");
    refused(&(struct pst_field_steps){"image", half, 2}, 1, PST_EINVAL, "step 1 (Normalize)");
    refused(&(struct pst_field_steps){"image", deep, 1}, 1, PST_EINVAL, "at most 7 expected");
    refused(&(struct pst_field_steps){"label", huge, 1}, 1, PST_ELIMIT, "over 2147483648 bytes");
    refused(twice, 2, PST_EINVAL, "twice");
    struct pst_dataset *dataset;
    CHECK_INT(pst_steps_open(&dataset, NULL, NULL, 0, NULL), PST_EINVAL);
}

CHECK_MAIN(CASE(rows_after_steps), CASE(from_several_threads), CASE(over_one_another),
           CASE(what_is_refused))
