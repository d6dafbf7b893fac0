/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_SINK_H
#define PST_TRANSFORM_SINK_H

#include "base/mem.h"
#include "kernels/kernels.h"
#include "transform/segment.h"

/* Where the rows of a segment go: the sample, or an RGBX image for the next segment. Puts them
 * between the zeros around them, and flips. */
struct pst__sink {
    const struct pst__kernels *kernels;
    const struct pst_transform *transform; /* of a sample; NULL: RGBX */
    int dtype, channels;                   /* of the sample */
    size_t size;                           /* bytes of an element */
    int is_planar;
    uint8_t *dst;
    size_t row, plane;      /* bytes from a row, a plane to the next */
    int32_t w, h;           /* pixels */
    int32_t left, top;      /* where the rows that come go, without flips */
    int32_t seen_w, seen_h; /* their size and number */
    int hflip, vflip;
    uint8_t *unpacked; /* one row in planes, for RGBX rows to a sample */
    uint8_t *apart;    /* one finished row in planes, where pixels are to be together */
    ptrdiff_t unpacked_plane, apart_plane;
};

/* The sample, with the dtype and the channels of the transform. unpacked is working memory. 0 when
 * memory is out. */
int pst__sink_sample(struct pst__sink *sink, const struct pst__segment *segment,
                     const struct pst__geometry *geometry, const struct pst_transform *transform,
                     void *dst, struct pst__scratch *unpacked) PST_NODISCARD;
/* An image in `image`, which afterwards is sink->dst with sink->row bytes a row. */
int pst__sink_image(struct pst__sink *sink, const struct pst__segment *segment,
                    const struct pst__geometry *geometry, struct pst__scratch *image) PST_NODISCARD;

/* Writes the zeros. */
void pst__sink_borders(const struct pst__sink *sink);
/* Sets a rectangle of a sample. */
/* Values of each channel's rectangle, one after the other. */
void pst__sink_values(const struct pst__sink *sink, const struct pst_rect *rect,
                      const float *values);
void pst__sink_erase(const struct pst__sink *sink, const struct pst__erased *erased);
/* Row i, top down before flips, out of three planes or of RGBX pixels; PST_PAD readable bytes after
 * either. */
void pst__sink_planes(const struct pst__sink *sink, int32_t i, const uint8_t *planes,
                      ptrdiff_t plane_stride);
/* n rows of planes from row i on, row bytes apart: for a sample, exactly those bytes are read. */
void pst__sink_rows(const struct pst__sink *sink, int32_t i, int32_t n, const uint8_t *planes,
                    ptrdiff_t row, ptrdiff_t plane_stride);
void pst__sink_rgbx(const struct pst__sink *sink, int32_t i, const uint8_t *row);

#endif
