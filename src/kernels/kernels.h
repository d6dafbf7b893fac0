/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_KERNELS_KERNELS_H
#define PST_KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Pure functions on pixels. The scalar version of each is its specification; every other version
 * gives the same bytes. Unless said otherwise a kernel may read up to PST_PAD bytes past the last
 * byte of a source row, and writes nothing outside its destination. Pixels are RGBX: 4 bytes, the
 * last one undefined. */

/* The taps of one axis of a resize: out[i] is the sum of coef[k * pitch + i] * in[start[i] + k] for
 * k < ksize; taps beyond an output's own count are 0. Coefficients are fixed point with
 * PST_TAP_BITS fraction bits (Pillow's PRECISION_BITS for 8 bit pixels). start is never decreasing.
 * Arrays are padded to a multiple of 16 outputs: start repeats its last value, coef is 0.
 * A coefficient is at most 0x7f7f7f in size, the positive ones of an output add up to at most 2^23
 * and so do the negative ones (resample.c says why Pillow's filters stay far below). */
#define PST_TAP_BITS 22
#define PST_TAP_LANES 16
struct pst__taps {
    int n;                /* outputs */
    int pitch;            /* n rounded up to PST_TAP_LANES */
    int ksize;            /* most taps of an output */
    const int32_t *start; /* [pitch] index of the first input, relative to the row given */
    const int32_t *count; /* [pitch] taps of this output, 1..ksize; 0 in the padding */
    const int32_t *coef;  /* [ksize][pitch] */
};

/* How a u8 row becomes float32: dst[i] = lut[src[i]]. Where fast is set, the kernels may compute it
 * as
 * ((v / 255) - mean) / std or ((v * (1/255)) - mean) / std by the constants below: the init
 * function has proved it equal for all 256 values. */
enum pst__norm_kind {
    PST_NORM_LUT = 0,
    PST_NORM_SCALE, /* v / 255 or v * (1/255), no mean and std */
    PST_NORM_MEAN_STD,
};
struct pst__norm {
    const float *lut; /* [256] */
    int kind;         /* enum pst__norm_kind */
    int divide;       /* 1: v / 255; 0: v * (1/255) */
    float mean, std;
    float rcp_std;     /* 1 / std, rounded */
    float rcp_std_low; /* what the rounding took away */
};

/* An image to take pixels from at any place. stride is a multiple of 4, and h rows of it are less
 * than 2^31 pixels. Nothing outside of its rows is read. */
struct pst__raster {
    const uint8_t *pixels;
    ptrdiff_t stride;
    int32_t w, h;    /* at least 1 */
    uint8_t fill[4]; /* what lies outside */
};

/* What becomes of a value of each channel. */
struct pst__map {
    uint8_t channel[3][256];
};

/* How a row of a PNG is filtered; the numbers are the file's. */
enum pst__filter {
    PST_FILTER_NONE,
    PST_FILTER_SUB,
    PST_FILTER_UP,
    PST_FILTER_AVERAGE,
    PST_FILTER_PAETH,
};

/* Integers as they lie in a file. */
enum pst__integer {
    PST_INTEGER_U8,
    PST_INTEGER_I8,
    PST_INTEGER_U16,
    PST_INTEGER_I16,
    PST_INTEGER_U32,
    PST_INTEGER_I32,
    PST_INTEGER_I64,
};

enum pst__half {
    PST_HALF_F16,
    PST_HALF_BF16,
};

enum pst__arith {
    PST_ARITH_MULTIPLY,
    PST_ARITH_DIVIDE,
    PST_ARITH_ADD,
    PST_ARITH_SUBTRACT,
};

/* Places in an image by a matrix, as torch has them of a grid: halves of the image from its middle,
 * [0] across and [1] down: a x + b y + c in pixels x and y from the middle of the result. */
enum pst__grid_fill {
    PST_GRID_FILL_NONE, /* black */
    PST_GRID_FILL_V1,   /* the fill has a part where the image has not all: as torchvision's v1 */
    PST_GRID_FILL_V2,   /* and v2 round it */
};
struct pst__grid {
    float a[2], b[2], c[2];
    float half[2]; /* of the image, in pixels */
    int is_plain;  /* b y is not fused with a x */
    int fill_kind; /* enum pst__grid_fill */
    float fill[3]; /* 0 to 255 */
};

/* own * value + other * another one, each rounded, or the second product fused with the sum. */
struct pst__portions {
    float own, other;
    int is_fused;
};

struct pst__kernels {
    const char *name;

    /* Horizontal pass: n_rows rows of RGBX to three planes of n = taps->n bytes each. Plane c of
     * row r starts at dst + r * dst_stride + c * plane_stride; up to taps->pitch bytes of it are
     * written (plane_stride >= taps->pitch). Value: clip8((2^21 + sum) >> 22), see Resample.c of
     * Pillow. */
    void (*resample_h)(uint8_t *dst, ptrdiff_t dst_stride, ptrdiff_t plane_stride,
                       const uint8_t *src, ptrdiff_t src_stride, int n_rows,
                       const struct pst__taps *taps);

    /* Vertical pass: one row of n bytes out of count rows: dst[i] = clip8((2^21 + sum over k of
     * coef[k] * src[k * src_stride + i]) >> 22). Up to n rounded up to 64 bytes of dst are written.
     */
    void (*resample_v)(uint8_t *dst, const uint8_t *src, ptrdiff_t src_stride, int n,
                       const int32_t *coef, int count);

    /* One row of n RGBX pixels to three planes; plane c at dst + c * plane_stride. Up to n rounded
     * up to 64 bytes of each plane are written (plane_stride is at least that). */
    void (*unpack)(uint8_t *dst, ptrdiff_t plane_stride, const uint8_t *src, int n);

    /* One row of n packed RGB pixels to three planes, as above. Reads exactly 3 n bytes. */
    void (*unpack_rgb)(uint8_t *dst, ptrdiff_t plane_stride, const uint8_t *src, int n);

    /* dst[i] = lut[src[i]], or with reverse dst[n - 1 - i]. Reads exactly n bytes and writes
     * exactly n values. */
    void (*store_f32)(float *dst, const uint8_t *src, int n, const struct pst__norm *norm,
                      int reverse);

    /* The same for elements of 16 bits, whatever they stand for. Reads and writes exactly n. */
    void (*store_u16)(uint16_t *dst, const uint8_t *src, int n, const uint16_t *lut, int reverse);

    /* Three planes of n elements of size bytes (1, 2 or 4), plane_stride bytes apart, to n triples.
     * Writes exactly those. */
    void (*interleave)(uint8_t *dst, const uint8_t *src, ptrdiff_t plane_stride, int n, int size);

    /* dst[i] = src[i], or with reverse dst[n - 1 - i]. Reads and writes exactly n
     * bytes. */
    void (*store_u8)(uint8_t *dst, const uint8_t *src, int n, int reverse);

    /* Colours: n RGBX pixels in place, and nothing behind them is read or written. The last byte of
     * a pixel may become anything. */
    void (*map)(uint8_t *px, int n, const struct pst__map *map);
    void (*grey)(uint8_t *px, int n);               /* all channels: Pillow's luma */
    uint64_t (*grey_sum)(const uint8_t *px, int n); /* of the lumas */
    /* Each channel between the luma and itself, as pst__blend(). */
    void (*saturate)(uint8_t *px, int n, float factor);
    /* To Pillow's HSV, H + shift modulo 256, and back. */
    void (*hue)(uint8_t *px, int n, uint8_t shift);

    /* pst__blend() of a pixel's smoothed value and itself: smooth is (the sum of the 3 x 3 pixels
     * around it, itself five times) / 13, rounded. The first and the last pixel stay. dst overlaps
     * none of the others; exactly n pixels are read of each and written. */
    void (*sharpen)(uint8_t *dst, const uint8_t *above, const uint8_t *row, const uint8_t *below,
                    int n, float factor);

    /* One row of n pixels out of any places of an image: fill where that is outside of it. Place i
     * is x + i * dx, y + i * dy in 16.16 fixed point, modulo 2^32. Writes exactly n pixels. */
    void (*warp_fixed)(uint8_t *dst, const struct pst__raster *src, int n, int32_t x, int32_t y,
                       int32_t dx, int32_t dy);

    /* The same with places in double, of which (0.5, 0.5) is the middle of the first pixel, and the
     * value taken between 2 x 2 or 4 x 4 pixels; over the edge the last pixels are repeated. See
     * Geometry.c of Pillow. */
    void (*warp_bilinear)(uint8_t *dst, const struct pst__raster *src, int n, const double *x,
                          const double *y);
    void (*warp_bicubic)(uint8_t *dst, const struct pst__raster *src, int n, const double *x,
                         const double *y);

    /* Undoes a filter in place: n bytes of pixels of bpp bytes (1, 2, 3, 4, 6 or 8; n is a multiple
     * of it), above being the row above, without its filter. Up to PST_PAD bytes behind either row
     * may be read; writes exactly n bytes. */
    void (*unfilter)(uint8_t *row, const uint8_t *above, int n, int bpp, enum pst__filter filter);

    /* The checksum of zlib. Reads exactly n bytes. */
    uint32_t (*adler32)(const uint8_t *src, size_t n);

    /* Integers to int64, or to int32 with is_narrow: x[i] = src[i] for i < n, and where y is not
     * NULL y[i] = src[i + 1], for which n + 1 integers are read. Nothing need be aligned; reads and
     * writes exactly those. Returns 1 where one that was written does not fit: it is cut to its
     * lower bits; else 0. */
    int (*widen)(uint8_t *x, uint8_t *y, const uint8_t *src, size_t n, enum pst__integer from,
                 int is_narrow);

    /* dst[i] = src[i] op b[i] for i < n, or with is_one op b[0]: an operation of IEEE 754, rounded
     * once. src may be dst, and else they do not overlap; neither need be aligned. Reads and writes
     * exactly n, and always reads b[0]. */
    void (*arith_f32)(uint8_t *dst, const uint8_t *src, size_t n, enum pst__arith op,
                      const float *b, int is_one);
    void (*arith_f64)(uint8_t *dst, const uint8_t *src, size_t n, enum pst__arith op,
                      const double *b, int is_one);

    /* dst[i] = other[i] * share + dst[i] * own for i < n: each operation is rounded once. Neither
     * need be aligned, and they do not overlap; reads and writes exactly n. */
    void (*mix_f32)(uint8_t *dst, const uint8_t *other, size_t n, float share, float own);

    /* Normals of the words of torch's generator, 16 at a time: n is a multiple of 16. As torch's
     * normal_() makes them where it runs with AVX2 or more. dst and words do not overlap. */
    void (*normal)(float *dst, const uint32_t *words, size_t n);
    /* Of two words each, n even: as torch draws normals one by one, rounded from double. */
    void (*normal_pairs)(float *dst, const uint32_t *words, size_t n);

    /* n integers to float32, to the nearest, ties to even. Nothing need be aligned; reads and
     * writes exactly n. */
    void (*to_f32)(uint8_t *dst, const uint8_t *src, size_t n, enum pst__integer from);

    /* n floats of 16 bits to float32 and back, as base/half.h says it. Nothing need be aligned;
     * reads and writes exactly n. */
    void (*half_to_f32)(uint8_t *dst, const uint8_t *src, size_t n, enum pst__half from);
    void (*f32_to_half)(uint8_t *dst, const uint8_t *src, size_t n, enum pst__half to);

    /* dst[x] is, for x < n, the sum over i < n_rows, and for each i over j < n_taps, of
     * weight[i * n_taps + j] * row[i][x + j]: in this order, from 0 on, each added by one fused
     * multiply-add. Up to n rounded up to 16 floats of dst are written. */
    void (*convolve)(float *dst, const float *const *row, int n, const float *weight, int n_rows,
                     int n_taps);
    /* The same for x = place[k], to dst[k], for k < n. Reads and writes exactly those. */
    void (*convolve_at)(float *dst, const int32_t *place, int n, const float *const *row,
                        const float *weight, int n_rows, int n_taps);
    /* Three planes of n floats from -0.5 to 255.5, plane floats apart, to n RGBX pixels: each to
     * the nearest, ties to even. Lists, in any order, the places (c * plane + x) that are further
     * than limit from an integer, and returns how many. Reads exactly n floats of each plane, and
     * writes exactly n pixels. */
    int (*round_sums)(uint8_t *px, const float *sum, ptrdiff_t plane, int n, float limit,
                      int32_t *place);
    /* n RGBX pixels to three planes of floats, plane floats apart. Reads and writes exactly n. */
    void (*spread)(float *dst, ptrdiff_t plane, const uint8_t *px, int n);

    /* One row of n pixels by a grid: place i is that of x + i and y, which are exact. Between 2 x 2
     * pixels, or the nearest one; src->fill is not looked at. Writes exactly n pixels. */
    void (*grid_bilinear)(uint8_t *dst, const struct pst__raster *src, const struct pst__grid *grid,
                          int n, float x, float y);
    void (*grid_nearest)(uint8_t *dst, const struct pst__raster *src, const struct pst__grid *grid,
                         int n, float x, float y);

    /* The sum of pst__tensor_luma() of n pixels; each channel of n pixels in place, and its luma,
     * as pst__tensor_blend(). Reads and writes exactly n. */
    uint64_t (*tensor_luma_sum)(const uint8_t *px, int n, int is_fused);
    void (*tensor_saturate)(uint8_t *px, int n, const struct pst__portions *portions);
    /* Each channel of n pixels and the nearest integer of its sum, of three planes as round_sums
     * has them, as pst__tensor_blend(); or where it is fused value + other * (sum - value). Reads
     * and writes exactly n. */
    void (*tensor_sharpen)(uint8_t *dst, const uint8_t *px, const float *sum, ptrdiff_t plane,
                           int n, const struct pst__portions *portions);
    /* n pixels in place, their hue turned by shift of the circle (-0.5 to 0.5), as v1 or v2 has it
     * of tensors. Reads and writes exactly n. */
    void (*tensor_hue)(uint8_t *px, int n, float shift, int is_v2);
    /* dst[i] is, for i < n, the sum of src[k][i] * weight[k] over k < n_src, n_src >= 1: in this
     * order, each operation rounded once, and the fraction is cut off. It is below 256, and no
     * weight below 0. dst may be src[0]. Reads and writes exactly n. */
    void (*combine)(uint8_t *dst, const uint8_t *const *src, const float *weight, int n_src,
                    size_t n);
};

/* Adds to count[c][v] the pixels of n whose channel c has the value v. */
void pst__histogram(uint32_t count[3][256], const uint8_t *px, int n);

/* back + factor * (front - back) in float32, cut to 0..255: Pillow's Image.blend(). factor is
 * finite. */
uint8_t pst__blend(uint8_t back, uint8_t front, float factor);

/* The luma of torchvision's functions on tensors, without its fraction, fused as v2's is; and a
 * value and another one in these portions, cut to 0..255 and its fraction cut off. */
float pst__tensor_luma(const uint8_t *px, int is_fused);
uint8_t pst__tensor_blend(float own, float other, const struct pst__portions *portions);

/* Two normals as torch draws them one by one, in double: the second is what a generator keeps. */
void pst__normal_pair(double pair[2], const uint32_t words[4]);

/* The versions for a set of CPU flags (enum pst__cpu_flag); 0 gives the scalar ones. */
void pst__kernels_init(struct pst__kernels *kernels, uint32_t cpu_flags);
/* The versions for this CPU. */
const struct pst__kernels *pst__kernels(void);

/* Looks for constants that reproduce lut exactly; norm->kind stays PST_NORM_LUT when none do. mean
 * and std are hints. lut is borrowed. */
void pst__norm_init(struct pst__norm *norm, const float *lut, float mean, float std);

#endif
