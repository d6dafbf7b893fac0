/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "decode/decode.h"

/* The first byte says what the rest is: a file as it stands, a file whose CRCs are made right, or
 * the scanlines of an image around which a file is built, so that mutation reaches the filters. The
 * next three place the region. What is vouched for whole must be vouched for in part, alike. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PREFIX = 4, MAX_PIXELS = 1 << 20 };

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "fuzz_png: %s\n", what);
    abort();
}

static void put_be32(uint8_t *out, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void fix_crcs(uint8_t *file, size_t size)
{
    for (size_t at = 8; size - at >= 12 && size > at;) {
        uint32_t n = get_be32(file + at);
        if (n > size - at - 12)
            return;
        put_be32(file + at + 8 + n, (uint32_t)crc32(0, file + at + 4, n + 4));
        at += 12 + (size_t)n;
    }
}

static size_t put_chunk(uint8_t *out, const char *type, const uint8_t *body, size_t size)
{
    put_be32(out, (uint32_t)size);
    memcpy(out + 4, type, 4);
    memmove(out + 8, body, size);
    put_be32(out + 8 + size, (uint32_t)crc32(0, out + 4, (uInt)size + 4));
    return size + 12;
}

/* data: width, height, bit depth, colour type and interlace, then scanlines. */
static uint8_t *build_file(const uint8_t *data, size_t size, size_t *n_out)
{
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const uint8_t colors[8] = {0, 2, 3, 4, 6, 0, 2, 3};
    if (size < 4)
        return NULL;
    uLongf n_packed = compressBound(size - 4);
    uint8_t header[13] = {0}, palette[768], *packed = malloc(n_packed);
    uint8_t *out = malloc(n_packed + 2048);
    require(packed && out, "memory is out");
    put_be32(header, data[0] % 64u + 1);
    put_be32(header + 4, data[1] % 64u + 1);
    header[8] = (uint8_t)(1u << data[2] % 5);
    header[9] = colors[data[3] & 7];
    header[12] = data[3] >> 3 & 1;
    for (size_t i = 0; i < sizeof palette; i++)
        palette[i] = (uint8_t)(i * 7);
    memcpy(out, signature, 8);
    size_t n = 8;
    n += put_chunk(out + n, "IHDR", header, sizeof header);
    if (header[9] == 3)
        n += put_chunk(out + n, "PLTE", palette, header[8] > 8 ? 3 : (size_t)3 << header[8]);
    require(compress2(packed, &n_packed, data + 4, size - 4, 0) == Z_OK, "compress2() failed");
    n += put_chunk(out + n, "IDAT", packed, n_packed);
    n += put_chunk(out + n, "IEND", header, 0);
    free(packed);
    *n_out = n;
    return out;
}

/* 0, or the status; rgbx gets the pixels of the region without gaps. */
static int decode(struct pst__decoder *decoder, const uint8_t *file, size_t size,
                  const struct pst_image_info *info, const struct pst_rect *region, int step,
                  uint8_t *rgbx)
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
        require(n > 0 && n <= step && n <= region->h - y, "wrong number of rows");
        for (int i = 0; i < n; i++, y++)
            memcpy(rgbx + (size_t)y * (size_t)region->w * 4, rows + i * stride,
                   (size_t)region->w * 4);
    }
    if (rc == PST_OK)
        rc = pst__decode_finish(decoder, &err);
    require(rc <= 0, "a status that is no error");
    require(rc == 0 || (err.status == rc && err.message[0]), "an error without a word");
    return rc;
}

static void compare(const uint8_t *whole, const uint8_t *part, const struct pst_image_info *info,
                    const struct pst_rect *region)
{
    for (int y = 0; y < region->h; y++) {
        const uint8_t *a =
            whole + ((size_t)(region->y + y) * (size_t)info->width + (size_t)region->x) * 4;
        const uint8_t *b = part + (size_t)y * (size_t)region->w * 4;
        for (int x = 0; x < region->w; x++)
            require(memcmp(a + (size_t)4 * x, b + (size_t)4 * x, 3) == 0,
                    "a region differs from the whole");
    }
}

static void run(const uint8_t *where, const uint8_t *file, size_t size)
{
    static struct pst__decoder *decoder;
    struct pst_image_info info;
    if (!decoder)
        require(pst__decoder_new(&decoder, NULL) == PST_OK, "no decoder");
    if (pst__decode_probe(file, size, &info, NULL) < 0)
        return;
    require(info.width > 0 && info.height > 0, "an image without pixels");
    if ((int64_t)info.width * info.height > MAX_PIXELS)
        return;
    struct pst_rect all = {0, 0, info.width, info.height}, part;
    part.x = info.width * where[0] / 256;
    part.y = info.height * where[1] / 256;
    part.w = 1 + (info.width - part.x - 1) * where[2] / 255;
    part.h = 1 + (info.height - part.y - 1) * (255 - where[2]) / 255;
    uint8_t *whole_rgbx = malloc((size_t)all.w * (size_t)all.h * 4);
    uint8_t *part_rgbx = malloc((size_t)part.w * (size_t)part.h * 4);
    require(whole_rgbx && part_rgbx, "memory is out");
    int rc = decode(decoder, file, size, &info, &all, all.h, whole_rgbx);
    int rc_part = decode(decoder, file, size, &info, &part, 1 + where[0] % 7, part_rgbx);
    require(rc == rc_part, "a region is judged other than the whole");
    if (rc == PST_OK)
        compare(whole_rgbx, part_rgbx, &info, &part);
    free(part_rgbx);
    free(whole_rgbx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < PREFIX)
        return 0;
    const uint8_t *where = data + 1;
    size_t n = size - PREFIX;
    uint8_t *file;
    if (data[0] % 3 == 2) {
        file = build_file(data + PREFIX, n, &n);
        if (!file)
            return 0;
    } else {
        /* Of the exact size, so that a read past the end is seen. */
        file = malloc(n ? n : 1);
        require(file != NULL, "memory is out");
        memcpy(file, data + PREFIX, n);
        if (data[0] % 3 == 1 && n > 8)
            fix_crcs(file, n);
    }
    run(where, file, n);
    free(file);
    return 0;
}
