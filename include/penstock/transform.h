/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENSTOCK_TRANSFORM_H
#define PENSTOCK_TRANSFORM_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>
#include <penstock/image.h>
#include <penstock/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Pillow changed its pixels: the order of the two passes of a resize depends on its version.
 *   PST_ERA_9     Pillow <= 12.1: horizontal first
 *   PST_ERA_12_2  Pillow 12.2 and 12.3: vertical first if height > 100 * width and the height
 * shrinks PST_ERA_13    Pillow >= 13.0: vertical first if H - h > 0 and H - h > 2 * (W - w) */
enum pst_era {
    PST_ERA_DEFAULT = 0, /* the newest */
    PST_ERA_9 = 1,
    PST_ERA_12_2 = 2,
    PST_ERA_13 = 3,
};

/* Pillow's resampling filters, by Pillow's numbers. */
enum pst_filter {
    PST_FILTER_NEAREST = 0,
    PST_FILTER_LANCZOS = 1,
    PST_FILTER_BILINEAR = 2,
    PST_FILTER_BICUBIC = 3,
    PST_FILTER_BOX = 4,
    PST_FILTER_HAMMING = 5,
    /* With lanczos, bilinear or bicubic: what torch's interpolate(antialias=True) makes of a tensor
     * of uint8, on a CPU with AVX2: coefficients of 16 bits, and the horizontal pass first. */
    PST_FILTER_OF_TENSOR = 8,
};

enum pst_op_kind {
    /* size: the short side becomes h, the long side int(h * long / short), at most max_size (0:
     * none). Source: torchvision _compute_resized_output_size. */
    PST_OP_RESIZE_SHORT = 1,
    /* the image becomes h x w */
    PST_OP_RESIZE = 2,
    /* h x w from the middle; a smaller image is padded with zeros first */
    PST_OP_CENTER_CROP = 3,
    /* torchvision RandomResizedCrop: 2 words a try, at most 10 tries, 2 words for the place */
    PST_OP_RANDOM_RESIZED_CROP = 4,
    /* 1 word each; applied if (word & 0xffffff) < threshold */
    PST_OP_RANDOM_HFLIP = 5,
    PST_OP_RANDOM_VFLIP = 6,
    /* 1 word; the `count` steps after it are taken if (word & 0xffffff) < threshold, else they draw
     * nothing */
    PST_OP_RANDOM_APPLY = 7,
    /* torchvision v2 RandomChoice: the `count` steps after it fall into parts, of which one is
     * taken; 2 words a part. table: how many steps each part has, then each one's probability */
    PST_OP_RANDOM_CHOICE = 8,
    /* torchvision v2 RandomOrder: the `count` steps after it fall into parts, which are taken in a
     * random order; 1 word less than parts. table: how many steps each part has */
    PST_OP_RANDOM_ORDER = 9,
    /* torchvision v1's RandomChoice and RandomOrder, which draw from Python's random: parts as
     * above. number[0]: 1 where the sums of the weights follow in the table, part after part, the
     * last of them above 0; else all parts are alike */
    PST_OP_PYTHON_CHOICE = 10,
    PST_OP_PYTHON_ORDER = 11,
    /* number: pixels before, above, after and below the image, then what is put there: 0 the colour
     * in table (none: black; one value, or three), 1 the last pixel, 2 a mirror about it, 3 a
     * mirror about the edge. count: 1 where the image is a tensor to torch, which mirrors once */
    PST_OP_PAD = 30,
    /* h x w from anywhere, of an image padded as PST_OP_PAD says; number[5]: a side that is too
     * short is padded by what it lacks at both ends; number[6]: as torchvision v2 does it. 2 words
     * at most */
    PST_OP_RANDOM_CROP = 31,
    /* torchvision RandomErasing: 1 word against threshold, then 2 words a try, at most 10 tries, 2
     * words for the place; number: what is written for each channel (PST_U8: 0 to 255). count: 1
     * where it is normals (not of PST_U8), whose words are drawn before the place: for a loader,
     * and samples of one size. Nothing but its like may follow */
    PST_OP_RANDOM_ERASING = 32,
    /* 1 word. Turned by some degrees counterclockwise; number: the least and the most, 1 where the
     * result is to hold all of the image, 1 where a center follows, its place; filter: nearest,
     * bilinear or bicubic; table: the colour outside, as of PST_OP_PAD */
    PST_OP_RANDOM_ROTATION = 33,
    /* torchvision RandomAffine: 1 word, 2 for a translation, 1 for a scale, 1 for each shear.
     * number: degrees, translation of x and y, range of the shear of x and of y; scale: 0 for none;
     * ratio: the center; count: 1 for a translation, 2 and 4 for a shear of x and y, 8 for the
     * center, 16 for the arithmetic of torchvision v2, added up; filter and table as of
     * PST_OP_RANDOM_ROTATION */
    PST_OP_RANDOM_AFFINE = 34,
    /* torchvision RandomPerspective: 1 word against threshold, then 8; number: the distortion's
     * scale; filter and table as of PST_OP_RANDOM_ROTATION */
    PST_OP_RANDOM_PERSPECTIVE = 35,
    /* upright, as the EXIF tag of the file says: Pillow's ImageOps.exif_transpose(). Of an image
     * that comes from no file: as it is. count: 1 where it is not for the engine to turn an image,
     * which may fail in Pillow: one that is not upright is a doubt then, decided by its pixels as
     * Pillow turns them, and orientation 1 */
    PST_OP_EXIF_TRANSPOSE = 36,
    /* torchvision FiveCrop and TenCrop: h x w from each corner and from the middle, five images of
     * one; count: 1 for five more of the image flipped left to right, 2 of it upside down;
     * number[0]: 1 where a batch is to have all first crops together, then all second ones, and so
     * on. The sample is of several images then, and nothing may follow. A smaller image is refused
     * (PST_EINVAL when it is planned) */
    PST_OP_CORNER_CROPS = 37,
    /* torchvision ColorJitter: 3 words for the order, 1 for each part. count: 1 for brightness, 2
     * for contrast, 4 for saturation, 8 for hue, added up, and flags of enum pst_colour; number:
     * the range of each of the four */
    PST_OP_COLOR_JITTER = 50,
    /* an image of count channels, 1 or 3, that are all the luma; flags as above */
    PST_OP_GRAYSCALE = 51,
    /* 1 word against threshold; count: enum pst_colour and its flags, by number[0] */
    PST_OP_RANDOM_COLOUR = 52,
    /* torchvision TrivialAugmentWide and RandAugment: count changes, 1 to 3 words each. table: for
     * each change there is enum pst_action, 1 if its sign is drawn, how many magnitudes follow, and
     * these. number: 1 for v2, 1 where the magnitude is drawn, the colour outside, whether 1 or
     * 3 of its values count, and 1 where the image is a tensor of uint8: then its steps are as of
     * PST_OP_AUGMIX, and so are filter and colour; else filter: as of PST_OP_RANDOM_ROTATION */
    PST_OP_AUGMENT = 53,
    /* torchvision AutoAugment: 5 words at most. table: for each policy two times enum pst_action, 1
     * if its sign is drawn, threshold, magnitude; number and filter as above */
    PST_OP_AUTO_AUGMENT = 54,
    /* torchvision RandomPhotometricDistort: 6 to 12 words; threshold: of each of its parts; number:
     * the ranges of brightness, contrast, saturation and hue */
    PST_OP_RANDOM_DISTORT = 55,
    /* torchvision RandomChannelPermutation: 2 words, none for a grey image */
    PST_OP_RANDOM_CHANNELS = 56,
    /* torchvision v2 RGB: a grey image becomes one of three equal channels, others stay */
    PST_OP_RGB = 60,
    /* torchvision GaussianBlur: 1 word; h and w: of its kernel, odd; scale: the range of sigma;
     * count: 1 for the weights of v2; table: the w and then the h weights, where they are not to
     * depend on the word. Of each weights the first equals the last, and so on. A smaller image
     * than the half of a kernel cannot be mirrored (PST_ELIMIT), and grey ones are not taken */
    PST_OP_GAUSSIAN_BLUR = 70,
    /* torchvision AugMix: gammas, of any number of words that is bounded, 1 to 3 words a step, and
     * 1 for each chain whose depth is drawn. count: of the steps of a chain, 0: it is drawn, 1
     * to 3. table: as of PST_OP_AUGMENT, and all its magnitudes are drawn from; number: 1 for v2,
     * alpha, how many chains (at most 4, with 15 steps), the colour outside, and how many of its
     * values count (0, 1 or 3; 0 is black without a seam); filter: nearest or bilinear. Its steps
     * are those of tensors: factors, posterize (0 to 8 bits), solarize, autocontrast, equalize; of
     * shears the tangent, of translations by size element n of linspace(0, side / 3, bins). Between
     * two samples a normal may be kept (pst_loader_set_normal()). PST_ELIMIT where only torch can
     * tell: a contrast of more than 65,793 pixels, or with v2 of pixels that are no multiple of 16.
     * Grey images are not taken */
    PST_OP_AUGMIX = 71,
    /* torchvision v2 GaussianNoise of a float32 sample: a normal for each of its numbers, for a
     * loader, and samples of one size. number: the mean and sigma; count: enum pst_noise, added up;
     * table: nothing, or the three means and the three deviations of a Normalize behind it, of
     * float32 (output.lut is what is in front of the noise). Nothing may follow */
    PST_OP_GAUSSIAN_NOISE = 80,
};

enum pst_noise {
    PST_NOISE_CLIPPED = 1,    /* the sum is cut to 0..1 */
    PST_NOISE_ONE_BY_ONE = 2, /* to torch the pixels lie together, so it draws as
                               * pst_normal_pairs(); else plane after plane, as pst_normal_fill() */
};

/* Changes of colours, as torchvision makes them of PIL images, and what their amount is. */
enum pst_colour {
    PST_COLOUR_BRIGHTNESS = 1, /* factors, from 0 on */
    PST_COLOUR_CONTRAST = 2,
    PST_COLOUR_SATURATION = 3,
    PST_COLOUR_HUE = 4,       /* part of the circle, -0.5 to 0.5 */
    PST_COLOUR_SHARPNESS = 5, /* factor */
    PST_COLOUR_POSTERIZE = 6, /* bits, 1 to 8 */
    PST_COLOUR_SOLARIZE = 7,  /* the first value that is inverted */
    PST_COLOUR_INVERT = 8,    /* the rest have none: 0 */
    PST_COLOUR_AUTOCONTRAST = 9,
    PST_COLOUR_EQUALIZE = 10,
    PST_COLOUR_GREY = 11,
    /* Flags, in the count of steps that change colours: as torchvision's v1, or with the second one
     * v2, makes them of a tensor of uint8 with three channels. PST_ELIMIT where only torch can
     * tell: a contrast of more than 65,793 pixels, or with v2 of pixels that are no multiple of 16
     */
    PST_COLOUR_OF_TENSOR = 32,
    PST_COLOUR_V2 = 64,
};

/* What an augmentation does: enum pst_colour, where a factor is 1 + magnitude, or one of these. */
enum pst_action {
    PST_ACTION_NONE = 0,
    PST_ACTION_SHEAR_X = 16, /* degrees */
    PST_ACTION_SHEAR_Y = 17,
    PST_ACTION_TRANSLATE_X = 18, /* pixels, of which the fraction is cut off */
    PST_ACTION_TRANSLATE_Y = 19,
    /* element n of torch.linspace(0, 150 / 331 * side, bins) pixels: magnitude is n + bins / 4096
     */
    PST_ACTION_TRANSLATE_X_BY_SIZE = 20,
    PST_ACTION_TRANSLATE_Y_BY_SIZE = 21,
    PST_ACTION_ROTATE = 22, /* degrees */
};

/* One geometric step. Zero what the kind does not use. */
struct pst_op {
    int kind;     /* enum pst_op_kind */
    int filter;   /* enum pst_filter; resizes only */
    int32_t h, w; /* pixels */
    int32_t max_size;
    uint32_t threshold; /* 0 .. 2^24 */
    double scale[2];
    double ratio[2];
    float log_ratio[2];  /* logarithm of ratio in float32, as the user's torch computes it */
    double number[8];    /* by kind */
    int32_t count;       /* of containers: how many steps after them belong to them; or by kind */
    const double *table; /* by kind; copied by pst_transform_new() */
    size_t n_table;
};

/* Where the channels of a sample lie. */
enum pst_layout {
    PST_LAYOUT_CHW = 0, /* one plane after the other */
    PST_LAYOUT_HWC = 1, /* pixel by pixel: torch's channels_last */
};

/* What is written for a pixel value v of channel c: lut[c][v] for PST_F32, the same rounded to
 * nearest even for PST_F16 and PST_BF16, v itself for PST_U8; a grey image has channel 0 alone. The
 * LUT is the specification: a vector kernel is used only where it reproduces all 768 entries bit
 * for bit. */
struct pst_output {
    int dtype;  /* PST_F32, PST_F16, PST_BF16 or PST_U8 */
    int layout; /* enum pst_layout */
    float lut[3][256];
    /* How the LUT came about, to find a kernel that computes it: ((v / 255) - mean) / std or
     * ((v * (1 / 255)) - mean) / std in float32. Only a hint. */
    float mean[3], std[3];
};

/* An immutable list of steps and an output; shared by reference count. */
struct pst_transform;

struct pst_transform_config {
    size_t struct_size;
    const struct pst_op *ops;
    size_t n_ops;
    const struct pst_output *output;
    int era; /* enum pst_era */
    /* Of the images: 3, or 1 for Pillow's mode L, which encoded images then become as by its
     * convert("L"), whatever they are; 0: 3 */
    int channels;
};

/* Copies everything. Errors: PST_EINVAL (names the op), PST_ENOMEM. */
PST_API int pst_transform_new(struct pst_transform **out, const struct pst_transform_config *config,
                              struct pst_error *err);
PST_API struct pst_transform *pst_transform_ref(struct pst_transform *transform); /* any thread */
PST_API void pst_transform_unref(struct pst_transform *transform); /* any thread; NULL is legal */

/* Fills output for ToTensor (v / 255) followed by Normalize(mean, std), in torchvision's v1
 * arithmetic (divide) or v2's (multiply by 1/255); mean and std may be NULL together: no Normalize.
 */
PST_API void pst_output_normalize(struct pst_output *output, int v2, const float mean[3],
                                  const float std[3]);

/* Channels of the result: 3, or 1 for grey images. */
PST_API int pst_transform_channels(const struct pst_transform *transform);

/* Images that a sample consists of: 1, or as many as PST_OP_CORNER_CROPS makes. */
PST_API int pst_transform_images(const struct pst_transform *transform);

/* The most 32-bit words that one sample can draw. */
PST_API size_t pst_transform_max_words(const struct pst_transform *transform);
/* Whether it draws from Python's random, too: only a loader has a state of it. */
PST_API int pst_transform_draws_python(const struct pst_transform *transform);

/* Whether it draws normals, of torch's generator: only a loader has a state of it. */
PST_API int pst_transform_draws_normals(const struct pst_transform *transform);

/* What torch's normal_() makes of n float32, n >= 16, where it runs with AVX2 or more: of n words
 * of its generator, and where n is not a multiple of 16 of 16 more. */
PST_API int pst_normal_fill(float *out, size_t n, const uint32_t *words, struct pst_error *err);
/* What it makes one by one of a tensor that is not contiguous, from a generator that keeps no
 * normal: of 2 n words, where n is even. */
PST_API int pst_normal_pairs(float *out, size_t n, const uint32_t *words, struct pst_error *err);

/* Applies the transform to pixels: rgb is (h, w, 3) uint8, rows h, stride bytes apart. words and
 * n_words are the raw 32-bit draws for this sample (n_words >= pst_transform_max_words()), *used
 * says how many were taken (may be NULL). exp in RandomResizedCrop and the weights of GaussianBlur
 * are C's, rounded from double. *out becomes (channels, oh, ow), or (oh, ow, channels); where a
 * sample has several images their number is in front. Where the transform is for grey images rgb
 * becomes one first. This is the path of the loader, on one image,
 * for tests and tools. Any thread. PST_EINVAL: it draws from Python's random, or
 * normals. */
PST_API int pst_transform_apply(const struct pst_transform *transform, const uint8_t *rgb,
                                int32_t w, int32_t h, ptrdiff_t stride, const uint32_t *words,
                                size_t n_words, size_t *used, struct pst_tensor *out,
                                struct pst_error *err);

#ifdef __cplusplus
}
#endif
#endif
