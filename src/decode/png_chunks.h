/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_DECODE_PNG_CHUNKS_H
#define PST_DECODE_PNG_CHUNKS_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>

/* The chunks of a PNG. A walk over them gives PST_OK only where Pillow (its PngImagePlugin, 11.3 to
 * 13.0) is certain to take them; a rule of the PNG specification that Pillow does not know is held
 * all the same, since a file that breaks it is unclean. What the chunks hold besides pixels (gamma,
 * profiles, text, transparency) does not change what Pillow's convert("RGB") gives. */

#define PST_PNG_FRAME_BYTES 12 /* length, type and CRC around a chunk's data */

enum pst__png_color {
    PST_PNG_GREY = 0,
    PST_PNG_RGB = 2,
    PST_PNG_PALETTE = 3,
    PST_PNG_GREY_ALPHA = 4,
    PST_PNG_RGBA = 6,
};

struct pst__png_chunks {
    int32_t width, height;
    int bit_depth;
    int color_type; /* enum pst__png_color */
    int interlaced;
    int n_palette;          /* entries, 0 when there is no PLTE */
    const uint8_t *palette; /* view of data: n_palette times red, green, blue */
    size_t first_idat;      /* offset of the first IDAT chunk; the others follow without a gap */
    size_t idat_bytes;      /* in all IDAT chunks together */
    size_t end;             /* behind IEND, once all were read */
};

int pst__png_has_signature(const uint8_t *data, size_t size);

/* Up to the first IDAT, as far as Pillow's open() reads; idat_bytes stays 0. */
int pst__png_read_head(struct pst__png_chunks *chunks, const uint8_t *data, size_t size,
                       struct pst_error *err);
/* Up to IEND, with every CRC. What follows IEND is not looked at, as in Pillow. */
int pst__png_read_all(struct pst__png_chunks *chunks, const uint8_t *data, size_t size,
                      struct pst_error *err);

#endif
