/* SPDX-License-Identifier: Apache-2.0 */
#include "codec_run.h"

#include <zlib.h>

#include "base/limits.h"
#include "decode/decode.h"

/* Small files that claim much are refused by the probe, which allocates nothing. */

struct file {
    uint8_t data[4096];
    size_t size;
};

static void put(struct file *f, const void *data, size_t size)
{
    CHECK(f->size + size <= sizeof f->data);
    memcpy(f->data + f->size, data, size);
    f->size += size;
}

static void put_int(struct file *f, uint32_t v, int bytes, int is_big_endian)
{
    for (int i = 0; i < bytes; i++) {
        uint8_t b = (uint8_t)(v >> 8 * (is_big_endian ? bytes - 1 - i : i));
        put(f, &b, 1);
    }
}

static void refused_by_probe(const char *name, const struct file *f, int status)
{
    struct pst_image_info info = {0};
    struct pst_error err;
    pst_error_init(&err);
    int64_t blocks = pst__mem_blocks();
#ifdef PST_CHECKS
    pst__fault_arm(1u << PST_SYS_ALLOC, 1, 1, ENOMEM);
#endif
    int rc = pst__decode_probe(f->data, f->size, &info, &err);
#ifdef PST_CHECKS
    CHECK_INT(pst__fault_calls(), 0);
    pst__fault_disarm();
#endif
    if (rc != status)
        check_fail(__FILE__, __LINE__, "%s: status %d, expected %d: %s", name, rc, status,
                   err.message);
    CHECK(err.message[0]);
    CHECK_INT(info.format, PST_IMAGE_UNKNOWN);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void jpeg(struct file *f, uint32_t w, uint32_t h)
{
    *f = (struct file){0};
    put(f, "\xff\xd8\xff\xdb\x00\x43\x00", 7);
    for (int i = 0; i < 64; i++)
        put(f, "\x01", 1);
    put(f, "\xff\xc0\x00\x0b\x08", 5);
    put_int(f, h, 2, 1);
    put_int(f, w, 2, 1);
    put(f, "\x01\x01\x11\x00", 4);
}

static void png(struct file *f, uint32_t w, uint32_t h)
{
    *f = (struct file){0};
    put(f, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
    put_int(f, w, 4, 1);
    put_int(f, h, 4, 1);
    put(f, "\x08\x00\x00\x00\x00", 5);
    put_int(f, (uint32_t)crc32(0, f->data + 12, 17), 4, 1);
    put(f, "\0\0\0\0IDAT\x35\xaf\x06\x1e\0\0\0\0IEND\xae\x42\x60\x82", 24);
}

/* Lossless, or lossy with a header of its own. */
static void webp(struct file *f, uint32_t w, uint32_t h, int is_extended)
{
    *f = (struct file){0};
    put(f, "RIFF", 4);
    put_int(f, is_extended ? 44 : 26, 4, 0);
    put(f, "WEBP", 4);
    if (is_extended) {
        put(f, "VP8X\x0a\0\0\0\0\0\0\0", 12);
        put_int(f, w - 1, 3, 0);
        put_int(f, h - 1, 3, 0);
    }
    put(f, "VP8L\x0d\0\0\0\x2f", 9);
    put_int(f, ((w - 1) & 0x3fff) | ((h - 1) & 0x3fff) << 14, 4, 0);
    put(f, "\0\0\0\0\0\0\0\0\0", 9);
}

static void bmp(struct file *f, uint32_t w, uint32_t h)
{
    *f = (struct file){0};
    put(f, "BM\0\0\0\0\0\0\0\0\x3e\0\0\0\x28\0\0\0", 18);
    put_int(f, w, 4, 0);
    put_int(f, h, 4, 0);
    put(f, "\1\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 28);
    put(f, "\0\0\0\0\xff\xff\xff\0", 8);
}

static void gif(struct file *f, uint32_t w, uint32_t h)
{
    *f = (struct file){0};
    put(f, "GIF89a", 6);
    put_int(f, w, 2, 0);
    put_int(f, h, 2, 0);
    put(f, "\0\0\0,\0\0\0\0", 8);
    put_int(f, w, 2, 0);
    put_int(f, h, 2, 0);
    put(f, "\0\x08\x02\x04\x01\0;", 7);
}

static void a_side_over_the_limit(void)
{
    struct file f;
    jpeg(&f, 65535, 1);
    refused_by_probe("jpeg", &f, PST_ELIMIT);
    png(&f, 0x7fffffff, 1);
    refused_by_probe("png", &f, PST_ELIMIT);
    webp(&f, 1 << 24, 1, 1);
    refused_by_probe("webp", &f, PST_ELIMIT);
    bmp(&f, 0xfeffffff, 1);
    refused_by_probe("bmp", &f, PST_ELIMIT);
    gif(&f, 65535, 1);
    refused_by_probe("gif", &f, PST_ELIMIT);
}

static void pixels_over_the_limit(void)
{
    struct file f;
    jpeg(&f, 65500, 65500);
    refused_by_probe("jpeg", &f, PST_ELIMIT);
    png(&f, 65500, 65500);
    refused_by_probe("png", &f, PST_ELIMIT);
    webp(&f, 16384, 16384, 0);
    refused_by_probe("webp", &f, PST_ELIMIT);
    webp(&f, 1 << 24, 1 << 24, 1);
    refused_by_probe("webp", &f, PST_ELIMIT);
    bmp(&f, 65500, 65500);
    refused_by_probe("bmp", &f, PST_ELIMIT);
    gif(&f, 65500, 65500);
    refused_by_probe("gif", &f, PST_ELIMIT);
}

/* Within the limits of pixels, but not for files of so few bytes. */
static void pixels_over_the_ratio(void)
{
    struct file f;
    jpeg(&f, 9000, 9000);
    refused_by_probe("jpeg", &f, PST_ELIMIT);
    png(&f, 9000, 9000);
    refused_by_probe("png", &f, PST_ELIMIT);
    webp(&f, 9000, 9000, 0);
    refused_by_probe("webp", &f, PST_ELIMIT);
    gif(&f, 9000, 9000);
    refused_by_probe("gif", &f, PST_ELIMIT);
}

/* BMP has its pixels counted before the first allocation for them. */
static void a_bmp_without_its_pixels(void)
{
    struct file f;
    struct pst_error err;
    bmp(&f, 9000, 9000);
    void *state = codec_open(&pst__codec_bmp);
    size_t held = pst__codec_bmp.bytes(state);
    CHECK_INT(codec_run(&pst__codec_bmp, state, f.data, f.size, NULL, 1, NULL, &err),
              PST_ETRUNCATED);
    CHECK_INT(pst__codec_bmp.bytes(state), held);
    pst__codec_bmp.close(state);
}

static void a_webp_of_many_chunks(void)
{
    size_t n = 100000, size = 30 + 8 * n;
    uint8_t *data = calloc(size, 1);
    CHECK(data);
    struct file f;
    webp(&f, 4, 4, 1);
    memcpy(data, f.data, 30);
    uint32_t riff = (uint32_t)size - 8;
    memcpy(data + 4, &riff, 4);
    for (size_t i = 0; i < n; i++)
        memcpy(data + 30 + 8 * i, "abcd", 4);
    struct pst_image_info info;
    CHECK_INT(pst__decode_probe(data, size, &info, NULL), PST_ELIMIT);
    free(data);
}

CHECK_MAIN(FAULT("R14", a_side_over_the_limit), FAULT("R14", pixels_over_the_limit),
           FAULT("R14", pixels_over_the_ratio), FAULT("R14", a_bmp_without_its_pixels),
           FAULT("R14", a_webp_of_many_chunks))
