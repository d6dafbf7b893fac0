/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_TRANSFORM_OPS_H
#define PST_TESTS_TRANSFORM_OPS_H

#include "transform/transform.h"

#include "check.h"

/* Steps and transforms for tests, in one line each. */

static inline struct pst_op resize(int w, int h, int filter)
{
    return (struct pst_op){.kind = PST_OP_RESIZE, .w = w, .h = h, .filter = filter};
}
static inline struct pst_op resize_short(int size, int max_size, int filter)
{
    return (struct pst_op){
        .kind = PST_OP_RESIZE_SHORT, .h = size, .max_size = max_size, .filter = filter};
}
static inline struct pst_op center_crop(int w, int h)
{
    return (struct pst_op){.kind = PST_OP_CENTER_CROP, .w = w, .h = h};
}
static inline struct pst_op random_crop(int w, int h, double scale0, double scale1, double ratio0,
                                        double ratio1, float log0, float log1)
{
    return (struct pst_op){.kind = PST_OP_RANDOM_RESIZED_CROP,
                           .w = w,
                           .h = h,
                           .filter = PST_FILTER_BILINEAR,
                           .scale = {scale0, scale1},
                           .ratio = {ratio0, ratio1},
                           .log_ratio = {log0, log1}};
}
/* Certain where threshold is 2^24. */
static inline struct pst_op hflip(uint32_t threshold)
{
    return (struct pst_op){.kind = PST_OP_RANDOM_HFLIP, .threshold = threshold};
}
static inline struct pst_op vflip(uint32_t threshold)
{
    return (struct pst_op){.kind = PST_OP_RANDOM_VFLIP, .threshold = threshold};
}
#define CERTAIN (1u << 24)

/* By so many pixels on each side, with a grey of that value; mode: 0 a colour, 1 the edge, 2 and 3
 * mirrors. */
static inline struct pst_op pad(int pixels, int mode, const double *grey)
{
    return (struct pst_op){.kind = PST_OP_PAD,
                           .number = {pixels, pixels, pixels, pixels, mode},
                           .table = grey,
                           .n_table = 1};
}
static inline struct pst_op crop_anywhere(int w, int h, int pixels, int mode, const double *grey)
{
    return (struct pst_op){.kind = PST_OP_RANDOM_CROP,
                           .w = w,
                           .h = h,
                           .number = {pixels, pixels, pixels, pixels, mode, 1, 1},
                           .table = grey,
                           .n_table = 1};
}

static inline struct pst_transform *transform_of(const struct pst_op *ops, size_t n, int dtype,
                                                 int era)
{
    struct pst_output output = {0};
    pst_output_normalize(&output, 0, NULL, NULL);
    output.dtype = dtype;
    struct pst_transform *transform = NULL;
    struct pst_error err;
    pst_error_init(&err);
    struct pst_transform_config config = {sizeof config, ops, n, &output, era, 0};
    if (pst_transform_new(&transform, &config, &err) != PST_OK)
        check_fail(__FILE__, __LINE__, "%s", err.message);
    return transform;
}

#endif
