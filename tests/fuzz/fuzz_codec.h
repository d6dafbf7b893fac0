/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_FUZZ_CODEC_H
#define PST_TESTS_FUZZ_CODEC_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decode/decode.h"

/* Decodes a file whole and in part. What is vouched for whole must be vouched for in part, alike.
 * Three bytes place the region. */

enum { FUZZ_PLACE = 3, FUZZ_MAX_PIXELS = 1 << 20 };

static inline void fuzz_require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

/* 0, or the status; rgbx gets the pixels of the region without gaps. */
static inline int fuzz_decode(struct pst__decoder *decoder, const uint8_t *file, size_t size,
                              const struct pst_image_info *info, const struct pst_rect *region,
                              int step, uint8_t *rgbx)
{
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst__decode_start(decoder, file, size, info, region, &err);
    for (int y = 0; rc == PST_OK && y < region->h;) {
        const uint8_t *rows;
        ptrdiff_t stride;
        int n;
        rc = pst__decode_rows(decoder, step, &rows, &stride, &n, &err);
        if (rc < 0)
            break;
        fuzz_require(n > 0 && n <= step && n <= region->h - y, "wrong number of rows");
        for (int i = 0; i < n; i++, y++)
            memcpy(rgbx + (size_t)y * (size_t)region->w * 4, rows + i * stride,
                   (size_t)region->w * 4);
    }
    if (rc == PST_OK)
        rc = pst__decode_finish(decoder, &err);
    fuzz_require(rc <= 0, "a status that is no error");
    fuzz_require(rc == 0 || (err.status == rc && err.message[0]), "an error without a word");
    return rc;
}

static inline void fuzz_compare(const uint8_t *whole, const uint8_t *part, int width,
                                const struct pst_rect *region)
{
    for (int y = 0; y < region->h; y++) {
        const uint8_t *a =
            whole + ((size_t)(region->y + y) * (size_t)width + (size_t)region->x) * 4;
        const uint8_t *b = part + (size_t)y * (size_t)region->w * 4;
        for (int x = 0; x < region->w; x++)
            fuzz_require(memcmp(a + (size_t)4 * (size_t)x, b + (size_t)4 * (size_t)x, 3) == 0,
                         "a region differs from the whole");
    }
}

/* The file lies in a block of its exact size, so that a read past the end is seen. */
static inline void fuzz_run(const uint8_t place[FUZZ_PLACE], const uint8_t *file, size_t size)
{
    static struct pst__decoder *decoder;
    struct pst_image_info info;
    if (!decoder)
        fuzz_require(pst__decoder_new(&decoder, NULL) == PST_OK, "no decoder");
    if (pst__decode_probe(file, size, &info, NULL) < 0)
        return;
    fuzz_require(info.width > 0 && info.height > 0, "an image without pixels");
    if ((int64_t)info.width * info.height > FUZZ_MAX_PIXELS)
        return;
    struct pst_rect all = {0, 0, info.width, info.height}, part;
    part.x = info.width * place[0] / 256;
    part.y = info.height * place[1] / 256;
    part.w = 1 + (info.width - part.x - 1) * place[2] / 255;
    part.h = 1 + (info.height - part.y - 1) * (255 - place[2]) / 255;
    uint8_t *whole_rgbx = malloc((size_t)all.w * (size_t)all.h * 4);
    uint8_t *part_rgbx = malloc((size_t)part.w * (size_t)part.h * 4);
    fuzz_require(whole_rgbx && part_rgbx, "memory is out");
    int rc = fuzz_decode(decoder, file, size, &info, &all, all.h, whole_rgbx);
    int rc_part = fuzz_decode(decoder, file, size, &info, &part, 1 + place[0] % 7, part_rgbx);
    fuzz_require(rc == rc_part, "a region is judged other than the whole");
    fuzz_require(pst_image_check(file, size, NULL) != PST_OK || rc == PST_OK,
                 "the strict verdict is the laxer one");
    if (rc == PST_OK)
        fuzz_compare(whole_rgbx, part_rgbx, info.width, &part);
    free(part_rgbx);
    free(whole_rgbx);
}

#endif
