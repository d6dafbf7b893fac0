/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_DECODE_DECODE_H
#define PST_DECODE_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/image.h>

/* From an encoded image to RGBX rows that equal Pillow's Image.open(f).convert("RGB"). A decoder
 * vouches for a file only when it is clean from the first byte to its end marker: PST_OK from
 * pst__decode_finish() says that Pillow accepts the file and that these are its pixels. Everything
 * else is a doubt: a negative status, never a crash, never undefined pixels.
 *
 * One struct pst__decoder serves one thread, image after image, and keeps its working memory. */
struct pst__decoder;

int pst__decoder_new(struct pst__decoder **out, struct pst_error *err);
void pst__decoder_free(struct pst__decoder *decoder);
size_t pst__decoder_bytes(const struct pst__decoder *decoder); /* working memory held */

/* Reads the header only; microseconds, no allocation, no decoder needed. Checks every rule that
 * Pillow's open() enforces before the pixel data, and the limits of base/limits.h. */
int pst__decode_probe(const uint8_t *data, size_t size, struct pst_image_info *info,
                      struct pst_error *err);

/* The working memory that decoding this image takes beside the rows that are asked for at a time,
 * about and at most, in bytes: for budgets. info is what probe said. */
size_t pst__decode_cost(const uint8_t *data, size_t size, const struct pst_image_info *info);

/* Starts on a region of the image that probe described (info unchanged). data must stay until
 * finish. After a failure of any of these three calls the decoder is ready for another start. */
int pst__decode_start(struct pst__decoder *decoder, const uint8_t *data, size_t size,
                      const struct pst_image_info *info, const struct pst_rect *region,
                      struct pst_error *err);

/* The next rows of the region, top down, at most max_rows at a time: *n_rows > 0 rows of region->w
 * pixels, *stride bytes apart, each followed by PST_PAD readable bytes. Borrowed until the next
 * call on the decoder. Asking for as many rows as the region has left gives them all at once. */
int pst__decode_rows(struct pst__decoder *decoder, int max_rows, const uint8_t **rows,
                     ptrdiff_t *stride, int *n_rows, struct pst_error *err);

/* After the last row: looks through what is left of the file without decoding it. */
int pst__decode_finish(struct pst__decoder *decoder, struct pst_error *err);

/* From the next start on, finish holds files to more than Pillow does: damage in no row of the
 * region, and bytes behind the image, are doubts too. What is left of a JPEG is decoded for it. */
void pst__decoder_set_strict(struct pst__decoder *decoder, int is_strict);

/* Libraries in use and their versions, static, such as "libjpeg-turbo 2.1.5, libwebp 1.2.4". */
const char *pst__decode_libraries(void);

#endif
