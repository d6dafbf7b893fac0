/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_DECODE_ORIENTATION_H
#define PST_DECODE_ORIENTATION_H

#include <stddef.h>
#include <stdint.h>

/* Which way up an image is, as Pillow's ImageOps.exif_transpose() (11.3 to 13.0) finds it: in EXIF,
 * or else in XMP. When it turns an image it also writes the EXIF anew, which can raise for tags of
 * a strange type; whether it does is not said here. */

#define PST_ORIENTATION_UNSURE 0 /* ask the reference */

/* What Pillow would hold in an image's info; views, NULL or of size 0 where there is none. */
struct pst__metadata {
    const uint8_t *exif; /* the TIFF structure; "Exif\0\0" may stand before it */
    size_t exif_size;
    const uint8_t *xmp;
    size_t xmp_size;
    int is_unsure; /* there is more of it than this says */
};

/* 1 to 8, 1 where nothing is said, or PST_ORIENTATION_UNSURE. */
int pst__orientation(const struct pst__metadata *metadata);

/* Of the chunks of a PNG from its signature to IEND, of which the head has been judged. */
int pst__png_orientation(const uint8_t *data, size_t size);

#endif
