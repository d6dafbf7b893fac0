/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_DECODE_PNG_INFLATE_H
#define PST_DECODE_PNG_INFLATE_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>
#include <zlib.h>

#include "decode/png_chunks.h"

/* The filtered scanlines of a PNG, inflated out of its IDAT chunks piece by piece. Zero-initialise;
 * the working memory is kept from image to image. */
struct pst__png_inflate {
    z_stream z;
    int has_memory;
    const uint8_t *next_idat; /* chunk */
    size_t idat_left;         /* bytes in the IDAT chunks from next_idat on */
};

/* chunks is what pst__png_read_all() made of data, which must stay until the end. */
int pst__png_inflate_start(struct pst__png_inflate *in, const struct pst__png_chunks *chunks,
                           const uint8_t *data, struct pst_error *err);
/* The next n bytes; less than that is PST_ETRUNCATED. */
int pst__png_inflate_read(struct pst__png_inflate *in, uint8_t *out, size_t n,
                          struct pst_error *err);
/* After the last byte: PST_OK when the stream ends here, its checksum is right and nothing stands
 * behind it. */
int pst__png_inflate_end(struct pst__png_inflate *in, struct pst_error *err);
void pst__png_inflate_reset(struct pst__png_inflate *in); /* gives the memory back */

#endif
