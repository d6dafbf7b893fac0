/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_DECODE_PNG_INFLATE_H
#define PST_DECODE_PNG_INFLATE_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>
#include <zlib.h>

#include "base/mem.h"
#include "decode/inflate.h"
#include "decode/png_chunks.h"

/* The filtered scanlines of a PNG, inflated out of its IDAT chunks: all at once where they are not
 * many, else piece by piece. Zero-initialise; the working memory is kept from image to image. */
struct pst__png_inflate {
    z_stream z;
    int has_memory;
    const uint8_t *next_idat; /* chunk */
    size_t idat_left;         /* bytes in the IDAT chunks from next_idat on */

    struct pst__scratch lines;
    size_t before, at, end; /* in `lines`: the line before, the next one, behind what is inflated */
    size_t n_bytes;         /* of all lines */
    size_t n_inflated;
    int is_whole; /* all is inflated, and the stream found right to its end */

    struct pst__inflate tables;
    struct pst__scratch joined; /* the IDAT chunks' data, where there are several */
};

/* A filter's number and the bytes behind it. The reader may change it. All of this lasts until the
 * next line is asked for, which has this one before it. */
struct pst__png_line {
    uint8_t *bytes;
    const uint8_t *before; /* the line before; nothing sensible for the first */
    const uint8_t *next;   /* the filter of the line behind it, NULL behind the last */
};

/* Lines of more bytes than this together are inflated piece by piece: a decoder keeps no more. */
#define PST_PNG_MOST_AT_ONCE PST_SCRATCH_KEEP

/* chunks is what pst__png_read_all() made of data, which must stay until the end. There will be
 * n_bytes of lines, the longest of longest. */
int pst__png_inflate_start(struct pst__png_inflate *in, const struct pst__png_chunks *chunks,
                           const uint8_t *data, size_t n_bytes, size_t longest,
                           struct pst_error *err);
/* The next line, of n bytes. A stream that ends before it, or before the first byte of the line
 * behind it, is PST_ETRUNCATED. */
int pst__png_inflate_line(struct pst__png_inflate *in, size_t n, struct pst__png_line *line,
                          struct pst_error *err);
/* After the last line: PST_OK when the stream ends here, its checksum is right and nothing stands
 * behind it. */
int pst__png_inflate_end(struct pst__png_inflate *in, struct pst_error *err);
void pst__png_inflate_trim(struct pst__png_inflate *in); /* after an image */
size_t pst__png_inflate_bytes(const struct pst__png_inflate *in);
void pst__png_inflate_reset(struct pst__png_inflate *in); /* gives the memory back */

#endif
