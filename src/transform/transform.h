/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_TRANSFORM_H
#define PST_TRANSFORM_TRANSFORM_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/mix.h>
#include <penstock/transform.h>

#include "base/rng.h"

/* The front of the transform room. For each sample: plan (draw the parameters, from the image's
 * size and the random words alone; microseconds, in stream order), then execute (pixels, any
 * thread, any order).
 *
 * A plan is a chain of segments. A segment takes the part `in` of its source (always inside it),
 * resizes it to rs_w x rs_h (if `resize`), takes the part `out` of that (where it reaches outside,
 * pixels are 0), and flips the result. Steps of the transform are folded into segments: flips and
 * crops move to the right of a crop exactly, never across a resize. Only the first segment sees the
 * encoded image, so what it needs of it is the region to decode.
 *
 * Changes are what a step does to the pixels of a whole image. They belong to the segment whose
 * result they work on; the next segment takes what they leave. At the very end rectangles of the
 * sample are erased, or the sample is several crops of what is there, all of one size. */
#define PST_MAX_SEGMENTS 8
#define PST_MAX_CHANGES 24
#define PST_MAX_ERASED 4
#define PST_MAX_CROPS 10

struct pst__segment {
    struct pst_rect in;
    int32_t rs_w, rs_h; /* size after the resize; in.w x in.h without one */
    struct pst_rect out;
    uint8_t resize, filter, hflip, vflip;
    uint8_t first_change, n_changes; /* of the plan's */
};

/* One change with all that was drawn for it; what the numbers mean is its type's. */
struct pst__change_type;
struct pst__change {
    const struct pst__change_type *type;
    int32_t w, h; /* of its result */
    int32_t integer[4];
    double number[13];
};

/* A rectangle of the sample that is set to a value per channel, or to normals that are drawn from
 * `words` words after plan->normals on. */
struct pst__erased {
    struct pst_rect rect;
    float value[3];
    int is_random;
    size_t words;
};

/* One image of a sample that has several: a part of what the segments leave, flipped. */
struct pst__crop {
    struct pst_rect rect;
    uint8_t hflip, vflip;
};

struct pst__plan {
    int32_t src_w, src_h; /* of the image this was planned for */
    int32_t out_w, out_h; /* of the sample, or of each of its images */
    int n_segments;
    int n_changes;
    int n_erased;
    int n_crops;            /* 0: the sample is what the last segment leaves */
    int channels;           /* of the image so far: 3, or 1 when it is grey */
    int is_luma;            /* the source's rows are made grey, before all else */
    int orientation;        /* of the image so far: EXIF's, 1 to 8 */
    struct pst_rect region; /* of the source that execute needs */
    struct pst__segment segment[PST_MAX_SEGMENTS];
    struct pst__change change[PST_MAX_CHANGES];
    struct pst__erased erased[PST_MAX_ERASED];
    struct pst__crop crop[PST_MAX_CROPS];
    int is_noisy;           /* noise is added to the sample: a number for each of its values */
    double normal;          /* that the generator keeps there, NAN: none */
    struct pst__mt normals; /* torch's generator at the first normal */
    size_t normals_used;    /* words that the sample had drawn there */
};

/* A function of the float32 uniform that a word gives between low and high, of which the rounding
 * is torch's own: exp of it, or where taps are set so many weights of a blur, of which it is the
 * sigma. */
#define PST_MAX_EXP_RANGES 4
struct pst__range {
    float low, high;
    int32_t taps;
    int is_v2; /* the blur is torchvision v2's */
};

/* The random words of one sample and, for each range of the transform, its values for each word:
 * exps[r][i * width] and what follows belong to words[i]. used counts up as words are drawn. The
 * caller provides at least pst_transform_max_words() of them.
 *
 * A transform that draws normals takes any number of words, so it draws from the generator itself
 * (mt), and no exponentials are there: what depends on one is worked out with all that torch's may
 * be. Where that shows, the draws are uncertain. */
struct pst__draws {
    const uint32_t *words;
    const float *exps[PST_MAX_EXP_RANGES];
    size_t used;
    struct pst__mt *mt; /* in the place of words and exps: moved */
    const struct pst__range *range;
    int is_uncertain;
    struct pst__mt *python; /* Python's random, for transforms that draw from it: moved */
    uint32_t python_used;
    double *normal; /* that the generator keeps for the next call, NAN: none; moved. NULL: it keeps
                     * none, and what the sample leaves is dropped */
};

/* Draws from mt and, where it is not NULL, from Python's generator. */
struct pst__draws pst__transform_draws(const struct pst_transform *transform, struct pst__mt *mt,
                                       struct pst__mt *python);
/* The ranges that are needed: at most PST_MAX_EXP_RANGES. Fills the uniforms of a range for n
 * words, ready for the function in place: of each word's values the first. */
int pst__transform_n_exp_ranges(const struct pst_transform *transform);
const struct pst__range *pst__transform_range(const struct pst_transform *transform, int range);
size_t pst__range_width(const struct pst__range *range); /* values for a word */
void pst__transform_exp_arguments(const struct pst_transform *transform, int range,
                                  const uint32_t *words, size_t n, float *out);
/* C's own in place, for n words: computed in double, rounded to float. */
void pst__range_compute(const struct pst__range *range, float *values, size_t n);

enum pst__turns {
    PST_TURNS_NOTHING,
    PST_TURNS,
    PST_TURNS_UPRIGHT_ONLY, /* an image that is not upright is the reference's */
};
int pst__transform_turns(const struct pst_transform *transform); /* enum pst__turns */

/* Draws and plans for an image of w x h. orientation: EXIF's, 1 to 8, looked at where the transform
 * turns images upright. Errors: PST_EINVAL, PST_ELIMIT (the result or a step between is too large).
 * Nothing is allocated. */
int pst__transform_plan(const struct pst_transform *transform, int32_t w, int32_t h,
                        int orientation, struct pst__draws *draws, struct pst__plan *plan,
                        struct pst_error *err);
/* One line of text: what was drawn. */
void pst__plan_describe(const struct pst__plan *plan, char *text, size_t size);

/* Working memory that execute takes for a plan, about, in bytes: for budgets. */
size_t pst__plan_cost(const struct pst_transform *transform, const struct pst__plan *plan);

/* Output size when it is the same for all images; 0 when it depends on the image. */
int pst__transform_fixed_size(const struct pst_transform *transform, int32_t *h, int32_t *w);
int pst__transform_dtype(const struct pst_transform *transform); /* enum pst_dtype */
int pst__transform_in_channels(const struct pst_transform *transform);

/* The shape of a batch of n samples of h x w pixels: how many dimensions. */
int pst__transform_batch_shape(const struct pst_transform *transform, int64_t n, int32_t h,
                               int32_t w, int64_t shape[5]);
/* The shape of one sample. */
int pst__transform_shape(const struct pst_transform *transform, int32_t h, int32_t w,
                         int64_t shape[4]);
/* Bytes of a sample with this plan. */
size_t pst__transform_bytes(const struct pst_transform *transform, const struct pst__plan *plan);

/* Where a sample is written: its first image, and how many bytes after an image the next one
 * begins. */
struct pst__place {
    void *first;
    size_t next;
};
/* In a batch of n samples of so many bytes each. */
struct pst__place pst__transform_place(const struct pst_transform *transform, void *batch,
                                       size_t sample_bytes, int32_t slot, int32_t n);
/* In how many pieces a batch has each sample, of which the first ones lie together, then the second
 * ones, and so on: 1, or one for each image. */
int pst__transform_pieces(const struct pst_transform *transform);
/* Writes a finished sample, image by image. */
void pst__place_copy(const struct pst__place *place, const struct pst_transform *transform,
                     const void *sample, size_t sample_bytes);

/* Where the pixels of plan->region come from: RGBX rows, top down, as pst__decode_rows() gives
 * them. Where the transform is for grey images they are made grey, as Pillow's convert("L") does
 * it; of a grey image, whose three channels are equal, that leaves them as they are. */
struct pst__row_source {
    int (*rows)(void *self, int max_rows, const uint8_t **rows, ptrdiff_t *stride, int *n_rows,
                struct pst_error *err);
    void *self;
};

/* A row source over pixels that lie in memory; self of it is the struct. */
struct pst__memory_rows {
    const uint8_t *next; /* row; PST_PAD bytes after the last one can be read */
    ptrdiff_t stride;
    int32_t left;
};
int pst__memory_rows(void *self, int max_rows, const uint8_t **rows, ptrdiff_t *stride, int *n_rows,
                     struct pst_error *err);

/* Working memory of one thread. */
struct pst__executor;
int pst__executor_new(struct pst__executor **out, struct pst_error *err);
void pst__executor_free(struct pst__executor *executor);
size_t pst__executor_bytes(const struct pst__executor *executor);

/* Runs the plan and writes a sample of the transform's dtype and layout. All rows of the region
 * are taken from source before the last of it is written; on failure there is anything. */
int pst__transform_execute(struct pst__executor *executor, const struct pst_transform *transform,
                           const struct pst__plan *plan, const struct pst__row_source *source,
                           const struct pst__place *place, struct pst_error *err);
/* As above, of an image that lies in memory: all of it is given, the region is read. A grey image
 * gives three equal channels where the transform is not for grey ones. */
int pst__transform_execute_pixels(struct pst__executor *executor,
                                  const struct pst_transform *transform,
                                  const struct pst__plan *plan, const struct pst_pixels *pixels,
                                  const struct pst__place *place, struct pst_error *err);

/* --- a batch is mixed */

/* PST_EINVAL: what torchvision would refuse, or what the transform's output is not fit for. */
int pst__mix_check(const struct pst_mix_config *config, const struct pst_transform *transform,
                   struct pst_error *err);
#define PST_MIX_MOST_WORDS 544 /* at least pst_mix_max_words() */
/* As pst_mix_draw(), from a configuration that was checked and words that are enough. */
void pst__mix_draw(const struct pst_mix_config *config, int32_t h, int32_t w,
                   struct pst__draws *draws, double *normal, struct pst_mix *mix);
/* What is mixed of each sample comes in pieces of at most PST_MIX_PIECE bytes, which have nothing
 * to do with each other: how many, and where the rows of one lie in a sample of h x w. */
#define PST_MIX_PIECE 16384
struct pst__span {
    size_t at, bytes; /* of the first row */
    size_t pitch, n_rows;
};
size_t pst__mix_pieces(const struct pst_mix *mix, const struct pst_transform *transform, int32_t h,
                       int32_t w);
struct pst__span pst__mix_span(const struct pst_mix *mix, const struct pst_transform *transform,
                               int32_t h, int32_t w, size_t piece);
/* Copies a piece of a sample; its rows are without gaps in kept. */
void pst__mix_keep(const struct pst__span *span, const uint8_t *own, uint8_t *kept);
/* A piece of a sample, with the same piece of the one before it as that was, whose rows are
 * other_pitch apart. */
void pst__mix_pair(const struct pst_mix *mix, const struct pst__span *span, uint8_t *own,
                   const uint8_t *other, size_t other_pitch);
/* The labels of a batch: share[i * n_classes + c] of each class c. */
void pst__mix_labels(const struct pst_mix_config *config, const struct pst_mix *mix,
                     const int64_t *labels, size_t n, float *share);

#endif
