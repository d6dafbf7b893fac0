/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_DECODE_WEBP_CHUNKS_H
#define PST_DECODE_WEBP_CHUNKS_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>
#include <penstock/image.h>

#include "decode/orientation.h"

/* The chunks of a WebP file (RFC 9649), without its bitstreams. A walk over them gives PST_OK only
 * where Pillow's plugin (11.3 to 13.0, on libwebp's demultiplexer) is certain to open the file as a
 * WebP. Pillow decodes the first frame of an animation onto a canvas of zeros; of the others only
 * the headers are read. */

struct pst__webp_chunks {
    int32_t width, height; /* of the canvas */
    struct pst_rect frame; /* of the first frame on the canvas; a still image fills it */
    int is_lossless;
    const uint8_t *image; /* view: the VP8 or VP8L chunk with header and padding */
    size_t image_size;
    const uint8_t *alpha; /* view: content of the ALPH chunk before a VP8 chunk, or NULL */
    size_t alpha_size;
    struct pst__metadata metadata;
    size_t end; /* of the RIFF chunk, with its padding */
};

int pst__webp_has_signature(const uint8_t *data, size_t size);

int pst__webp_read_chunks(struct pst__webp_chunks *chunks, const uint8_t *data, size_t size,
                          struct pst_error *err);

#endif
