/* SPDX-License-Identifier: Apache-2.0 */
#include "decode/decode.h"

#include <errno.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"
#include "jpeg_files.h"

/* What the decoder gives of a region against what libjpeg gives of the whole image, and the
 * contract of the calls. Parity with Pillow is the subject of tests/python. */

static const struct jpeg_kind plain = {3, 2, 2, 0, 0, 0};

static struct pst_image_info probe(const struct jpeg_file *file)
{
    struct pst_image_info info = {0};
    struct pst_error err = {0};
    if (pst__decode_probe(file->data, file->size, &info, &err) != PST_OK)
        check_fail(__FILE__, __LINE__, "probe: %s", err.message);
    return info;
}

/* Decodes the region and compares it with the whole, rows `batch` at a time. */
static int decode(struct pst__decoder *decoder, const struct jpeg_file *file,
                  const struct pst_image_info *info, const struct pst_rect *r, int batch,
                  const unsigned char *whole, struct pst_error *err)
{
    int rc = pst__decode_start(decoder, file->data, file->size, info, r, err);
    for (int y = 0; rc == PST_OK && y < r->h;) {
        const uint8_t *rows;
        ptrdiff_t stride;
        int n;
        rc = pst__decode_rows(decoder, batch, &rows, &stride, &n, err);
        if (rc < 0)
            return rc;
        CHECK(n > 0 && n <= batch && n <= r->h - y);
        CHECK(batch < r->h - y || n == r->h - y);
        for (int i = 0; i < n; i++) {
            size_t at = ((size_t)(r->y + y + i) * (size_t)info->width + (size_t)r->x) * 4;
            if (whole && memcmp(rows + i * stride, whole + at, (size_t)r->w * 4) != 0)
                check_fail(__FILE__, __LINE__, "row %d of region %d,%d %dx%d differs", y + i, r->x,
                           r->y, r->w, r->h);
        }
        y += n;
    }
    return rc < 0 ? rc : pst__decode_finish(decoder, err);
}

static unsigned next_random(unsigned *seed, unsigned n)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % n;
}

static void check_regions(const struct jpeg_kind *kind, int w, int h)
{
    struct jpeg_file file = jpeg_file_make(kind, w, h);
    struct pst_image_info info = probe(&file);
    CHECK_INT(info.width, w);
    CHECK_INT(info.height, h);
    unsigned char *whole = jpeg_file_pixels(&file, &w, &h);
    struct pst__decoder *decoder;
    CHECK_INT(pst__decoder_new(&decoder, NULL), PST_OK);
    unsigned seed = (unsigned)(w + h);
    for (int i = 0; i < 30; i++) {
        struct pst_rect r = {0, 0, w, h};
        if (i > 0) {
            r.w = 1 + (int)next_random(&seed, (unsigned)(i % 3 ? w : w < 4 ? w : 4));
            r.h = 1 + (int)next_random(&seed, (unsigned)(i % 4 ? h : h < 4 ? h : 4));
            r.x = (int)next_random(&seed, (unsigned)(w - r.w + 1));
            r.y = (int)next_random(&seed, (unsigned)(h - r.h + 1));
        }
        struct pst_error err = {0};
        int batch = i % 2 ? 1 << 20 : 1 + (int)next_random(&seed, 40);
        if (decode(decoder, &file, &info, &r, batch, whole, &err) != PST_OK)
            check_fail(__FILE__, __LINE__, "decode: %s", err.message);
    }
    pst__decoder_free(decoder);
    free(whole);
    jpeg_file_free(&file);
}

static void regions_equal_the_whole(void)
{
    static const struct jpeg_kind kinds[] = {
        {1, 1, 1, 0, 0, 0}, {1, 2, 2, 0, 0, 0}, {1, 3, 1, 0, 0, 4}, {1, 1, 1, 1, 0, 0},
        {3, 1, 1, 0, 0, 0}, {3, 2, 1, 0, 0, 0}, {3, 1, 2, 0, 0, 0}, {3, 2, 2, 0, 0, 0},
        {3, 4, 1, 0, 0, 0}, {3, 1, 4, 0, 0, 0}, {3, 4, 2, 0, 0, 0}, {3, 2, 2, 0, 0, 1},
        {3, 1, 1, 0, 0, 5}, {3, 1, 1, 1, 0, 0}, {3, 2, 1, 1, 0, 3}, {3, 2, 2, 1, 0, 0},
        {3, 2, 2, 0, 1, 0}, {3, 1, 2, 0, 1, 2},
    };
    static const int sizes[][2] = {{1, 1},  {2, 3},   {7, 9},    {16, 16},  {17, 33},
                                   {65, 5}, {5, 100}, {130, 90}, {300, 140}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            check_regions(&kinds[k], sizes[s][0], sizes[s][1]);
    }
}

/* clip(K - (255 - C) * K / 255, rounded), for what libjpeg gives as CMYK. */
static void cmyk_is_inverted(void)
{
    static const struct jpeg_kind kinds[] = {{4, 1, 1, 0, 0, 0}, {4, 2, 2, 1, 0, 0}};
    for (int k = 0; k < 2; k++) {
        int w, h;
        struct jpeg_file file = jpeg_file_make(&kinds[k], 75, 50);
        unsigned char *whole = jpeg_file_pixels(&file, &w, &h);
        for (int i = 0; i < w * h; i++) {
            int key = whole[4 * i + 3];
            for (int c = 0; c < 3; c++)
                whole[4 * i + c] =
                    (unsigned char)(key - (2 * (255 - whole[4 * i + c]) * key + 255) / 510);
            whole[4 * i + 3] = 255;
        }
        struct pst_image_info info = probe(&file);
        struct pst_rect regions[] = {{0, 0, w, h}, {30, 20, 9, 17}};
        struct pst__decoder *decoder;
        CHECK_INT(pst__decoder_new(&decoder, NULL), PST_OK);
        for (int i = 0; i < 2; i++)
            CHECK_INT(decode(decoder, &file, &info, &regions[i], 11, whole, NULL), PST_OK);
        pst__decoder_free(decoder);
        free(whole);
        jpeg_file_free(&file);
    }
}

/* Probe and decode together; the status that comes of it. */
static int judge(const struct jpeg_file *file, const struct pst_rect *region, struct pst_error *err)
{
    struct pst_image_info info;
    struct pst__decoder *decoder;
    *err = (struct pst_error){0};
    int rc = pst__decode_probe(file->data, file->size, &info, err);
    if (rc < 0)
        return rc;
    CHECK_INT(pst__decoder_new(&decoder, NULL), PST_OK);
    struct pst_rect whole = {0, 0, info.width, info.height};
    rc = decode(decoder, file, &info, region ? region : &whole, 16, NULL, err);
    pst__decoder_free(decoder);
    return rc;
}

static void cuts_are_never_clean(void)
{
    static const struct jpeg_kind kinds[] = {
        {3, 2, 2, 0, 0, 0}, {3, 1, 1, 1, 0, 0}, {1, 1, 1, 0, 0, 2}, {3, 2, 2, 0, 1, 0}};
    static const struct pst_rect top = {3, 0, 20, 2};
    for (int k = 0; k < 4; k++) {
        struct jpeg_file file = jpeg_file_make(&kinds[k], 45, 37);
        struct pst_error err;
        size_t size = file.size;
        CHECK_INT(judge(&file, NULL, &err), PST_OK);
        CHECK_INT(judge(&file, &top, &err), PST_OK);
        unsigned char *data = file.data;
        for (size_t cut = 0; cut < size; cut++) {
            /* A block of just this size, so that checkers see a read past it. */
            struct jpeg_file part = {malloc(cut ? cut : 1), cut};
            CHECK(part.data);
            memcpy(part.data, data, cut);
            for (int i = 0; i < 2; i++) {
                int rc = judge(&part, i ? &top : NULL, &err);
                CHECK(rc < 0);
                CHECK_INT(err.status, rc);
                CHECK(err.message[0]);
                /* From SOI on there is a marker that says JPEG. */
                CHECK(cut < 4 || rc == PST_ETRUNCATED);
            }
            jpeg_file_free(&part);
        }
        jpeg_file_free(&file);
    }
}

/* Below the region nothing is decoded, but a marker there is seen. */
static void markers_below_the_region(void)
{
    static const struct pst_rect top = {0, 0, 60, 3};
    static const struct {
        unsigned char bytes[2];
        int status;
    } inserts[] = {
        {{0xff, 0xd9}, PST_OK}, /* for Pillow that is a short image, see below */
        {{0xff, 0xd0}, PST_EUNCLEAN}, {{0xff, 0xda}, PST_EUNCLEAN}, {{0xff, 0xc4}, PST_EUNCLEAN},
        {{0xff, 0xd8}, PST_EUNCLEAN}, {{0xff, 0x01}, PST_EUNCLEAN}, {{0xff, 0x00}, PST_OK},
    };
    for (size_t i = 0; i < sizeof inserts / sizeof *inserts; i++) {
        struct jpeg_file file = jpeg_file_make(&plain, 60, 200);
        struct pst_error err;
        size_t at = file.size - 100;
        /* Not between a byte ff and its stuffed zero. */
        while (file.data[at - 1] == 0xff)
            at++;
        jpeg_file_insert(&file, at, inserts[i].bytes, 2);
        CHECK_INT(judge(&file, &top, &err), inserts[i].status);
        if (inserts[i].status < 0)
            CHECK_INT(err.offset, at);
        /* Where all of it is decoded, libjpeg notices the early end. */
        if (i == 0)
            CHECK(judge(&file, NULL, &err) < 0);
        jpeg_file_free(&file);
    }
}

static void restart_markers_below_the_region(void)
{
    static const struct jpeg_kind kind = {3, 2, 2, 0, 0, 2};
    static const struct pst_rect top = {0, 0, 60, 3};
    struct jpeg_file file = jpeg_file_make(&kind, 60, 200);
    struct pst_error err;
    CHECK_INT(judge(&file, &top, &err), PST_OK);
    size_t last = file.size - 4;
    while (file.data[last] != 0xff || file.data[last + 1] < 0xd0 || file.data[last + 1] > 0xd7)
        last--;
    unsigned char was = file.data[last + 1];
    for (unsigned char c = 0xd0; c <= 0xd7; c++) {
        file.data[last + 1] = c;
        CHECK_INT(judge(&file, &top, &err), c == was ? PST_OK : PST_EUNCLEAN);
        CHECK(c == was || err.offset == (int64_t)last);
        CHECK((judge(&file, NULL, &err) == PST_OK) == (c == was));
    }
    jpeg_file_free(&file);
}

static void damage_in_the_region_is_seen(void)
{
    struct jpeg_file file = jpeg_file_make(&plain, 64, 64);
    struct pst_error err;
    size_t at = jpeg_file_find(&file, 0xda, 0) + 14 + 300;
    /* An early end: libjpeg would fill up with grey and a warning. */
    file.data[at] = 0xff;
    file.data[at + 1] = 0xd9;
    CHECK_INT(judge(&file, NULL, &err), PST_EUNCLEAN);
    CHECK_HAS(err.message, "libjpeg");
    CHECK(err.offset > 0 && err.offset <= (int64_t)file.size);
    jpeg_file_free(&file);
}

static void what_follows_the_end_is_ignored(void)
{
    static const struct pst_rect top = {0, 0, 9, 3};
    static const unsigned char rest[] = {0xff, 0xd8, 0xff, 0xc4, 1, 2, 3};
    static const struct jpeg_kind kinds[] = {{3, 2, 2, 0, 0, 0}, {3, 2, 2, 1, 0, 0}};
    for (int k = 0; k < 2; k++) {
        struct jpeg_file file = jpeg_file_make(&kinds[k], 64, 64);
        struct pst_error err;
        jpeg_file_insert(&file, file.size, rest, sizeof rest);
        CHECK_INT(judge(&file, NULL, &err), PST_OK);
        CHECK_INT(judge(&file, &top, &err), PST_OK);
        jpeg_file_free(&file);
    }
}

static void calls_out_of_order(void)
{
    struct jpeg_file file = jpeg_file_make(&plain, 40, 30);
    struct pst_image_info info = probe(&file);
    struct pst__decoder *decoder;
    const uint8_t *rows;
    ptrdiff_t stride;
    int n;
    CHECK_INT(pst__decoder_new(&decoder, NULL), PST_OK);
    CHECK_INT(pst__decode_rows(decoder, 1, &rows, &stride, &n, NULL), PST_EINVAL);
    CHECK_INT(pst__decode_finish(decoder, NULL), PST_EINVAL);
    static const struct pst_rect outside[] = {
        {0, 0, 41, 1}, {0, 0, 1, 31}, {40, 0, 1, 1},         {-1, 0, 5, 5},
        {0, 0, 0, 5},  {0, 0, 5, -1}, {INT32_MAX, 0, 40, 1}, {1, 1, INT32_MAX, INT32_MAX},
        {0, 30, 1, 1},
    };
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        CHECK_INT(pst__decode_start(decoder, file.data, file.size, &info, &outside[i], NULL),
                  PST_EINVAL);
    struct pst_rect r = {5, 5, 10, 10};
    CHECK_INT(pst__decode_start(decoder, file.data, file.size, &info, &r, NULL), PST_OK);
    CHECK_INT(pst__decode_finish(decoder, NULL), PST_EINVAL);
    CHECK_INT(pst__decode_rows(decoder, 0, &rows, &stride, &n, NULL), PST_EINVAL);
    CHECK_INT(pst__decode_rows(decoder, 4, &rows, &stride, &n, NULL), PST_OK);
    /* Started anew in the middle of another image. */
    CHECK_INT(decode(decoder, &file, &info, &r, 3, NULL, NULL), PST_OK);
    CHECK_INT(pst__decode_rows(decoder, 1, &rows, &stride, &n, NULL), PST_EINVAL);
    /* Another image than the one that was probed. */
    info.width++;
    CHECK_INT(pst__decode_start(decoder, file.data, file.size, &info, &r, NULL), PST_EINVAL);
    pst__decoder_free(decoder);
    pst__decoder_free(NULL);
    jpeg_file_free(&file);
}

static void a_decoder_outlives_failures(void)
{
    struct jpeg_file good = jpeg_file_make(&plain, 90, 70);
    struct jpeg_file bad = jpeg_file_make(&plain, 90, 70);
    struct pst_image_info info = probe(&good);
    struct pst_rect whole = {0, 0, 90, 70};
    struct pst__decoder *decoder;
    int w, h;
    unsigned char *pixels = jpeg_file_pixels(&good, &w, &h);
    int64_t blocks = pst__mem_blocks();
    CHECK_INT(pst__decoder_new(&decoder, NULL), PST_OK);
    for (size_t cut = 1; cut < bad.size; cut += 97) {
        struct jpeg_file part = {bad.data, cut};
        CHECK(decode(decoder, &part, &info, &whole, 7, NULL, NULL) < 0);
        CHECK_INT(decode(decoder, &good, &info, &whole, 7, pixels, NULL), PST_OK);
    }
    CHECK(pst__decoder_bytes(decoder) > 7 * 90 * 4);
    pst__decoder_free(decoder);
    CHECK_INT(pst__mem_blocks(), blocks);
    free(pixels);
    jpeg_file_free(&bad);
    jpeg_file_free(&good);
}

static void public_calls(void)
{
    struct jpeg_file file = jpeg_file_make(&plain, 50, 40);
    struct pst_image_info info = {0};
    struct pst_error err = {0};
    struct pst_tensor tensor = {0};
    int w, h;
    unsigned char *whole = jpeg_file_pixels(&file, &w, &h);
    CHECK_INT(pst_image_probe(&info, file.data, file.size, &err), PST_OK);
    CHECK_INT(info.format, PST_IMAGE_JPEG);
    struct pst_rect r = {11, 7, 20, 30};
    CHECK_INT(pst_image_decode(&tensor, file.data, file.size, &r, &err), PST_OK);
    CHECK_INT(tensor.dtype, PST_U8);
    CHECK_INT(tensor.ndim, 3);
    CHECK_INT(tensor.shape[0], 30);
    CHECK_INT(tensor.shape[1], 20);
    CHECK_INT(tensor.shape[2], 3);
    const unsigned char *rgb = tensor.data;
    for (int i = 0; i < 30 * 20; i++)
        CHECK(memcmp(rgb + 3 * i, whole + 4 * ((7 + i / 20) * w + 11 + i % 20), 3) == 0);
    pst_tensor_reset(&tensor);
    CHECK_INT(pst_image_decode(&tensor, file.data, file.size, NULL, &err), PST_OK);
    CHECK_INT(pst_tensor_numel(&tensor), 50 * 40 * 3);
    pst_tensor_reset(&tensor);
    r.x = 31;
    CHECK_INT(pst_image_decode(&tensor, file.data, file.size, &r, NULL), PST_EINVAL);
    CHECK_INT(pst_image_decode(&tensor, file.data, file.size - 1, NULL, NULL), PST_ETRUNCATED);
    CHECK_INT(pst_image_decode(&tensor, NULL, 5, NULL, NULL), PST_EINVAL);
    CHECK_INT(pst_image_decode(&tensor, "%PDF-1", 6, NULL, NULL), PST_EUNSUPPORTED);
    CHECK_INT(pst_image_probe(&info, NULL, 0, NULL), PST_EUNSUPPORTED);
    CHECK(!tensor.buffer);
    CHECK_HAS(pst__decode_libraries(), "libjpeg-turbo ");
    free(whole);
    jpeg_file_free(&file);
}

/* With several scans they are there from start to finish, in memory that is counted; also after a
 * decode that was left in the middle. */
static void coefficients_are_counted(void)
{
    static const struct {
        struct jpeg_kind kind;
        int64_t blocks; /* of 130 x 90 pixels, in whole units */
    } cases[] = {{{3, 2, 2, 0, 0, 0}, 0},
                 {{3, 2, 2, 1, 0, 0}, 18 * 12 + 2 * 9 * 6},
                 {{3, 2, 1, 0, 1, 0}, 18 * 12 + 2 * 9 * 12},
                 {{1, 1, 1, 1, 0, 0}, 17 * 12}};
    int64_t before = pst__mem_blocks();
    for (int i = 0; i < 8; i++) {
        struct jpeg_file file = jpeg_file_make(&cases[i % 4].kind, 130, 90);
        struct pst_image_info info = probe(&file);
        struct pst_rect all = {0, 0, 130, 90};
        struct pst__decoder *decoder;
        const uint8_t *rows;
        ptrdiff_t stride;
        int n;
        int64_t scratch = pst__mem_live(PST_MEM_SCRATCH);
        CHECK_INT(pst__decoder_new(&decoder, NULL), PST_OK);
        CHECK_INT(pst__decode_start(decoder, file.data, file.size, &info, &all, NULL), PST_OK);
        CHECK_INT(pst__mem_live(PST_MEM_SCRATCH) - scratch, cases[i % 4].blocks * 128);
        if (i < 4) {
            CHECK_INT(pst__decode_rows(decoder, 90, &rows, &stride, &n, NULL), PST_OK);
            int64_t strip = 8 + 90 * stride;
            CHECK_INT(pst__decode_finish(decoder, NULL), PST_OK);
            CHECK_INT(pst__mem_live(PST_MEM_SCRATCH) - scratch, strip);
        }
        pst__decoder_free(decoder);
        jpeg_file_free(&file);
    }
    CHECK_INT(pst__mem_blocks(), before);
}

static void check_without_memory(const struct jpeg_kind *kind, int64_t allocations)
{
#ifdef PST_CHECKS
    struct jpeg_file file = jpeg_file_make(kind, 90, 70);
    int64_t blocks = pst__mem_blocks(), n = 0;
    int rc = PST_ENOMEM;
    while (rc != PST_OK) {
        struct pst_tensor tensor = {0};
        struct pst_error err = {0};
        pst__fault_arm(1u << PST_SYS_ALLOC, ++n, 0, ENOMEM);
        rc = pst_image_decode(&tensor, file.data, file.size, NULL, &err);
        pst__fault_disarm();
        CHECK(rc == PST_OK || rc == PST_ENOMEM);
        CHECK(rc == PST_OK || !tensor.buffer);
        pst_tensor_reset(&tensor);
        CHECK_INT(pst__mem_blocks(), blocks);
    }
    CHECK_INT(n - 1, allocations);
    jpeg_file_free(&file);
#else
    (void)kind;
    (void)allocations;
#endif
}

static void memory_that_is_out(void)
{
    static const struct jpeg_kind progressive = {3, 2, 2, 1, 0, 0};
    check_without_memory(&plain, 4);
    check_without_memory(&progressive, 5);
}

CHECK_MAIN(CASE(regions_equal_the_whole), CASE(cmyk_is_inverted), FAULT("R1", cuts_are_never_clean),
           CASE(markers_below_the_region), CASE(restart_markers_below_the_region),
           CASE(damage_in_the_region_is_seen), CASE(what_follows_the_end_is_ignored),
           CASE(calls_out_of_order), FAULT("R13", a_decoder_outlives_failures), CASE(public_calls),
           CASE(coefficients_are_counted), FAULT("R17", memory_that_is_out))
