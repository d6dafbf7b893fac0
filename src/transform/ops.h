/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_OPS_H
#define PST_TRANSFORM_OPS_H

#include <stdatomic.h>

#include "base/limits.h"
#include "kernels/kernels.h"
#include "transform/transform.h"

/* A step with what the transform has worked out for it. */
struct pst__step {
    struct pst_op op;
    const struct pst__op_type *type;
    int exp_range[2]; /* where the type takes values of ranges: which of the transform's */
    int skip;         /* steps after this one that belong to it */
};

/* One row for each kind of step: a new one is a file with such a row and a line in the table. */
struct pst__op_type {
    int kind; /* enum pst_op_kind */
    const char *name;
    size_t max_words;
    size_t (*words)(const struct pst_op *op); /* in the place of max_words, where they differ */
    int has_exp; /* op.log_ratio is a range whose exponentials are drawn */
    /* In its place: ranges whose values are drawn, and how many, at most 2. */
    int (*ranges)(const struct pst_op *op, struct pst__range range[2]);
    /* PST_EINVAL when torchvision would refuse the parameters, or could not be followed exactly. */
    int (*check)(const struct pst_op *op, struct pst_error *err);
    int (*plan)(const struct pst__step *step, struct pst__draws *draws, struct pst__plan *plan,
                struct pst_error *err);
    /* PST_EINVAL: of images of this size, which is known beforehand, it would refuse too many. */
    int (*fits)(const struct pst_op *op, int32_t h, int32_t w, struct pst_error *err);
    /* A container, in the place of plan: how many parts of the op.count steps after it are taken,
     * and which, in this order. Without a table there is one part; else it begins with how many
     * steps each part has. */
    int (*enter)(const struct pst__step *step, struct pst__draws *draws, int32_t part[PST_MAX_OPS]);
    int draws_python;
    int is_shuffled; /* a container whose parts come in any order */
    /* The size it makes of one that is known, or of any where *w and *h are 0; leaves 0 where that
     * depends on the image. */
    void (*size)(const struct pst_op *op, int32_t *h, int32_t *w);
    /* The channels it makes of an image of so many, 0 where it takes none of them; NULL: as many.
     */
    int (*channels)(const struct pst_op *op, int channels);
    /* The images that it makes of one, which are the sample: nothing may follow. NULL: one. */
    int (*images)(const struct pst_op *op);
    /* It belongs to the sample, not to the image: only its like may follow. */
    int is_last;
};

extern const struct pst__op_type pst__op_random_choice, pst__op_random_order, pst__op_resize_short,
    pst__op_resize, pst__op_center_crop, pst__op_random_resized_crop, pst__op_hflip, pst__op_vflip,
    pst__op_random_apply, pst__op_pad, pst__op_random_crop, pst__op_random_erasing,
    pst__op_random_rotation, pst__op_random_affine, pst__op_random_perspective,
    pst__op_exif_transpose;

extern const struct pst__op_type pst__op_color_jitter, pst__op_grayscale, pst__op_random_colour,
    pst__op_augment, pst__op_auto_augment, pst__op_random_distort, pst__op_random_channels,
    pst__op_rgb, pst__op_python_choice, pst__op_python_order, pst__op_gaussian_blur,
    pst__op_corner_crops, pst__op_augmix, pst__op_gaussian_noise;

struct pst_transform {
    _Atomic int refs; /* the last to let go frees: release, then acquire */
    /* Constant after new. */
    int era;
    int n_steps;
    struct pst__step step[PST_MAX_OPS];
    int n_ranges;
    struct pst__range range[PST_MAX_EXP_RANGES];
    size_t max_words;
    int draws_python, draws_normals;
    const struct pst__step *noise; /* the one that adds noise; NULL: none does */
    int32_t fixed_h, fixed_w;
    int in_channels, channels;
    int n_images, is_apart; /* of a sample; of a batch the first ones lie together, and so on */
    double *table;          /* the tables of all steps */
    struct pst_output output;
    struct pst__norm norm[3]; /* into output.lut */
    uint16_t half[3][256];    /* output.lut for the 16-bit dtypes */
};

/* The bits of a value of the output, in the lowest bytes. */
uint32_t pst__output_bits(int dtype, float value);

/* Checks that several kinds share. */
int pst__check_size(const struct pst_op *op, struct pst_error *err); /* h and w */
int pst__check_filter(const struct pst_op *op, struct pst_error *err);
int pst__check_threshold(const struct pst_op *op, struct pst_error *err);
int pst__check_ratio(const struct pst_op *op, struct pst_error *err); /* and its logarithms */
/* op.table is a colour: no value (black), one for all channels, or three. */
int pst__check_fill(const struct pst_op *op, struct pst_error *err);
#define PST_CERTAIN (1u << 24) /* a threshold that every word is below */

/* The colour in op.table. PST_EINVAL: three values for a grey image. */
int pst__op_fill(const struct pst_op *op, const struct pst__plan *plan, uint8_t fill[4],
                 struct pst_error *err);

/* Whether it fills with normals; then the sample's size has to be known, and leave no rectangle of
 * less than 16 of them, of which torch keeps one for later. */
int pst__erases_at_random(const struct pst_op *op);
int pst__check_normals(const struct pst_op *op, int32_t h, int32_t w, int channels,
                       struct pst_error *err);

/* As above, of a step that draws a normal for each number of the sample. */
int pst__check_noise(const struct pst_op *op, int32_t h, int32_t w, int channels,
                     struct pst_error *err);

/* op.h x op.w, whatever the image. */
void pst__op_size_fixed(const struct pst_op *op, int32_t *h, int32_t *w);

#endif
