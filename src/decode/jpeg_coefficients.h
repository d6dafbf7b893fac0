/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_DECODE_JPEG_COEFFICIENTS_H
#define PST_DECODE_JPEG_COEFFICIENTS_H

#include <stddef.h>
#include <stdio.h>

#include <jpeglib.h>

/* The coefficients of an image with several scans, which are kept until the last one is read: in a
 * block of the engine's in the place of libjpeg's arrays, so that they are counted, and are the
 * system's again when the image is done. */
struct pst__jpeg_coefficients {
    void (*realize_others)(j_common_ptr cinfo); /* libjpeg's own */
    struct pst__jpeg_array *first;              /* lives in libjpeg's pool */
    void *block;
};

/* For an object that was just created; cinfo->client_data has to point to them. */
void pst__jpeg_coefficients_connect(struct jpeg_decompress_struct *cinfo);
/* After the object was destroyed. */
void pst__jpeg_coefficients_reset(struct pst__jpeg_coefficients *coefficients);

#endif
