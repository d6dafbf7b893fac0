/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENSTOCK_IMAGE_H
#define PENSTOCK_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>
#include <penstock/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

enum pst_image_format {
    PST_IMAGE_UNKNOWN = 0,
    PST_IMAGE_JPEG = 1,
    PST_IMAGE_PNG = 2,
    PST_IMAGE_WEBP = 3,
    PST_IMAGE_BMP = 4,
    PST_IMAGE_GIF = 5,
    PST_IMAGE_RAW = 100, /* pixels in memory, struct pst_pixels */
};

/* What the header of an image says. */
struct pst_image_info {
    int format;            /* enum pst_image_format */
    int32_t width, height; /* pixels, as they are stored */
    int orientation; /* EXIF's 1 to 8, 1 where none is given; 0: only the reference can tell */
};

/* A region in pixels; x and y count from the top left corner. */
struct pst_rect {
    int32_t x, y, w, h;
};

/* Pixels that lie in memory as they are: uint8, 1 channel (grey) or 3 (RGB), in any order. The
 * distances are in bytes and may be zero or negative: packed RGB has channel 1, pixel 3; planes
 * have pixel 1. */
struct pst_pixels {
    const uint8_t *data; /* first channel of the top left pixel */
    int32_t width, height, channels;
    ptrdiff_t row, pixel, channel; /* from one to the next */
};

/* Reads the header. PST_OK means that width and height are those that Pillow would report. Any
 * other status says why the native decoders do not vouch for it. */
PST_API int pst_image_probe(struct pst_image_info *info, const void *data, size_t size,
                            struct pst_error *err);

/* Decodes to RGB, uint8, shape (h, w, 3), equal to Pillow's Image.open(f).convert("RGB") bit for
 * bit. region NULL means the whole image, else it must lie in the image. PST_OK is returned only
 * for a file that is clean to its end; the caller owns *out then and gives it back with
 * pst_tensor_reset(). On failure *out is left as it was. Errors: PST_EFORMAT, PST_ETRUNCATED,
 * PST_EUNCLEAN, PST_EUNSUPPORTED, PST_ELIMIT, PST_ENOMEM, PST_EINVAL. */
PST_API int pst_image_decode(struct pst_tensor *out, const void *data, size_t size,
                             const struct pst_rect *region, struct pst_error *err);

/* Holds an image to more than Pillow does, and decodes all of it for that: PST_OK only where
 * nothing in it is damaged, as far as its format lets one see, and nothing is behind its end. A
 * status says what is wrong, and *err where: PST_EFORMAT, PST_ETRUNCATED, PST_EUNCLEAN.
 * PST_EUNSUPPORTED and PST_ELIMIT: it cannot be told. PST_ENOMEM. */
PST_API int pst_image_check(const void *data, size_t size, struct pst_error *err);

#ifdef __cplusplus
}
#endif
#endif
