/* SPDX-License-Identifier: Apache-2.0 */
#include <zlib.h>

#include "fuzz_codec.h"

/* The first byte says what the rest is: a file as it stands, a file whose CRCs are made right, or
 * the scanlines of an image around which a file is built, so that mutation reaches the filters. The
 * next three place the region. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PREFIX = 1 + FUZZ_PLACE };

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
    fuzz_require(packed && out, "memory is out");
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
    fuzz_require(compress2(packed, &n_packed, data + 4, size - 4, 0) == Z_OK, "compress2() failed");
    n += put_chunk(out + n, "IDAT", packed, n_packed);
    n += put_chunk(out + n, "IEND", header, 0);
    free(packed);
    *n_out = n;
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < PREFIX)
        return 0;
    size_t n = size - PREFIX;
    uint8_t *file;
    if (data[0] % 3 == 2) {
        file = build_file(data + PREFIX, n, &n);
        if (!file)
            return 0;
    } else {
        /* Of the exact size, so that a read past the end is seen. */
        file = malloc(n ? n : 1);
        fuzz_require(file != NULL, "memory is out");
        memcpy(file, data + PREFIX, n);
        if (data[0] % 3 == 1 && n > 8)
            fix_crcs(file, n);
    }
    fuzz_run(data + 1, file, n);
    free(file);
    return 0;
}
