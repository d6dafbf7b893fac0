/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_STEP_ROWS_H
#define PST_TESTS_STEP_ROWS_H

#include <penstock/array.h>

#include "check.h"

/* Rows of six bytes and a class, and what becomes of them by steps. */
#define STEP_ROWS 200
#define STEP_SIDE 6
#define STEP_CLASSES 5

static inline uint8_t step_byte(int64_t row, int at)
{
    return (uint8_t)(row * 37 + at * 11);
}

/* err is that of the opening; NULL for a dataset that must be opened. */
static inline int step_rows_open(struct pst_dataset **out, struct pst_error *err)
{
    static const char *const names[] = {"image", "label"};
    int64_t images[] = {STEP_ROWS, STEP_SIDE}, labels[] = {STEP_ROWS};
    struct pst_tensor tensors[2] = {0};
    int rc = pst_tensor_empty(&tensors[0], PST_U8, 2, images, err);
    if (rc == PST_OK)
        rc = pst_tensor_empty(&tensors[1], PST_I64, 1, labels, err);
    for (int64_t row = 0; rc == PST_OK && row < STEP_ROWS; row++) {
        for (int at = 0; at < STEP_SIDE; at++)
            ((uint8_t *)tensors[0].data)[row * STEP_SIDE + at] = step_byte(row, at);
        ((int64_t *)tensors[1].data)[row] = row % STEP_CLASSES;
    }
    if (rc == PST_OK)
        rc = pst_rows_open(out, tensors, names, 2, err);
    pst_tensor_reset(&tensors[0]);
    pst_tensor_reset(&tensors[1]);
    return rc;
}

static const double step_means[STEP_SIDE] = {0.5, 0.25, 0.1, 0, -1, 2};
static const double step_stds[STEP_SIDE] = {0.5, 0.25, 0.3, 1, 3, 7};

/* The rows after steps, over rows, whose reference is taken over. */
static inline int step_open(struct pst_dataset **out, struct pst_dataset *rows,
                            struct pst_error *err)
{
    struct pst_step image[] = {
        {.kind = PST_STEP_TO_DTYPE, .dtype = PST_F32},
        {.kind = PST_STEP_DIVIDE, .number = 255},
        {.kind = PST_STEP_NORMALIZE, .mean = step_means, .std = step_stds, .n = STEP_SIDE},
        {.kind = PST_STEP_RESHAPE, .ndim = 2, .shape = {2, -1}},
    };
    struct pst_step label = {.kind = PST_STEP_ONE_HOT, .classes = STEP_CLASSES, .dtype = PST_U8};
    struct pst_field_steps fields[] = {{"label", &label, 1}, {"image", image, 4}};
    int rc = pst_steps_open(out, rows, fields, 2, err);
    pst_dataset_unref(rows);
    return rc;
}

static inline void step_check(const float *image, const uint8_t *label, int64_t row)
{
    for (int at = 0; at < STEP_SIDE; at++) {
        float expected = (float)step_byte(row, at) / 255.0f - (float)step_means[at];
        CHECK(image[at] == expected / (float)step_stds[at]);
    }
    for (int c = 0; c < STEP_CLASSES; c++)
        CHECK_INT(label[c], c == row % STEP_CLASSES);
}

#endif
