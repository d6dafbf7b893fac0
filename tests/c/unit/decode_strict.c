/* SPDX-License-Identifier: Apache-2.0 */
#include "decode/decode.h"

#include <errno.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"
#include "jpeg_files.h"

/* The strict verdict on JPEGs: of the whole file, whatever region is asked for. The other formats
 * are in tests/python/test_strict.py, beside Pillow. */

enum { WIDTH = 150, HEIGHT = 110, N_REGIONS = 7, N_DAMAGES = 60 };

static const struct jpeg_kind kinds[] = {
    {1, 1, 1, 0, 0, 0}, {3, 1, 1, 0, 0, 0}, {3, 2, 1, 0, 0, 0},
    {3, 2, 2, 0, 0, 0}, {3, 1, 2, 0, 0, 3}, {3, 2, 2, 0, 0, 1},
    {3, 2, 2, 1, 0, 0}, {3, 2, 2, 0, 1, 0}, {4, 2, 2, 0, 0, 0},
};

/* At each border, of one row, all of it; and one that ends a row before the end. */
static const struct pst_rect regions[N_REGIONS] = {
    {0, 0, WIDTH, HEIGHT},     {0, 0, 1, 1},    {40, 0, 70, 8}, {30, 17, 64, 41}, {149, 109, 1, 1},
    {0, 0, WIDTH, HEIGHT - 1}, {5, 103, 20, 5},
};

static int decode(struct pst__decoder *decoder, const struct jpeg_file *file,
                  const struct pst_rect *region)
{
    struct pst_image_info info;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst__decode_probe(file->data, file->size, &info, &err);
    if (rc < 0)
        return rc;
    if (info.width != WIDTH || info.height != HEIGHT)
        return PST_EFORMAT;
    rc = pst__decode_start(decoder, file->data, file->size, &info, region, &err);
    for (int left = region->h; rc == PST_OK && left > 0;) {
        const uint8_t *rows;
        ptrdiff_t stride;
        int n = 0;
        rc = pst__decode_rows(decoder, 16, &rows, &stride, &n, &err);
        left -= n;
    }
    if (rc == PST_OK)
        rc = pst__decode_finish(decoder, &err);
    CHECK(rc == PST_OK || (err.status == rc && err.message[0]));
    return rc;
}

static struct pst__decoder *strict_decoder(void)
{
    struct pst__decoder *decoder;
    CHECK_INT(pst__decoder_new(&decoder, NULL), PST_OK);
    pst__decoder_set_strict(decoder, 1);
    return decoder;
}

static void clean_files_pass(void)
{
    struct pst__decoder *decoder = strict_decoder();
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct jpeg_file file = jpeg_file_make(&kinds[k], WIDTH, HEIGHT);
        for (int i = 0; i < N_REGIONS; i++)
            CHECK_INT(decode(decoder, &file, &regions[i]), PST_OK);
        CHECK_INT(pst_image_check(file.data, file.size, NULL), PST_OK);
        jpeg_file_free(&file);
    }
    pst__decoder_free(decoder);
}

/* Only the strict decoder sees most of these from a region. */
static void damage_is_seen_from_every_region(void)
{
    struct pst__decoder *decoder = strict_decoder(), *loose;
    CHECK_INT(pst__decoder_new(&loose, NULL), PST_OK);
    int n_bad = 0, n_hidden = 0;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct jpeg_file file = jpeg_file_make(&kinds[k], WIDTH, HEIGHT);
        for (size_t d = 1; d <= N_DAMAGES; d++) {
            size_t at = file.size * d / (N_DAMAGES + 1);
            unsigned char was = file.data[at];
            file.data[at] ^= (unsigned char)(d % 3 ? 1u << d % 8 : 0xff);
            int whole = pst_image_check(file.data, file.size, NULL);
            n_bad += whole != PST_OK;
            for (int i = 0; i < N_REGIONS; i++) {
                CHECK_INT(decode(decoder, &file, &regions[i]) == PST_OK, whole == PST_OK);
                n_hidden += whole != PST_OK && decode(loose, &file, &regions[i]) == PST_OK;
            }
            file.data[at] = was;
        }
        jpeg_file_free(&file);
    }
    CHECK(n_bad > 100);
    CHECK(n_hidden > 50);
    pst__decoder_free(loose);
    pst__decoder_free(decoder);
}

static void what_follows_the_end_is_seen(void)
{
    struct pst__decoder *decoder = strict_decoder(), *loose;
    CHECK_INT(pst__decoder_new(&loose, NULL), PST_OK);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct jpeg_file file = jpeg_file_make(&kinds[k], WIDTH, HEIGHT);
        unsigned char *longer = realloc(file.data, file.size + 3);
        CHECK(longer);
        file.data = longer;
        memset(longer + file.size, 0, 3);
        for (size_t more = 0; more <= 3; more++) {
            struct jpeg_file with = {file.data, file.size + more};
            struct pst_error err;
            pst_error_init(&err);
            for (int i = 0; i < N_REGIONS; i++) {
                CHECK_INT(decode(loose, &with, &regions[i]), PST_OK);
                CHECK_INT(decode(decoder, &with, &regions[i]), more ? PST_EUNCLEAN : PST_OK);
            }
            CHECK_INT(pst_image_check(with.data, with.size, &err), more ? PST_EUNCLEAN : PST_OK);
            CHECK_INT(err.offset, more ? (int64_t)file.size : -1);
        }
        jpeg_file_free(&file);
    }
    pst__decoder_free(loose);
    pst__decoder_free(decoder);
}

/* libjpeg passes it in silence. */
static void a_marker_before_the_end_is_seen(void)
{
    struct pst__decoder *decoder = strict_decoder();
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct jpeg_file file = jpeg_file_make(&kinds[k], WIDTH, HEIGHT);
        unsigned char *longer = realloc(file.data, file.size + 2);
        CHECK(longer);
        file.data = longer;
        file.size += 2;
        memcpy(longer + file.size - 4, "\xff\xd5\xff\xd9", 4);
        for (int i = 0; i < N_REGIONS; i++)
            CHECK_INT(decode(decoder, &file, &regions[i]), PST_EUNCLEAN);
        CHECK_INT(pst_image_check(file.data, file.size, NULL), PST_EUNCLEAN);
        jpeg_file_free(&file);
    }
    pst__decoder_free(decoder);
}

static void cuts_are_seen_from_every_region(void)
{
    struct pst__decoder *decoder = strict_decoder();
    struct jpeg_file file = jpeg_file_make(&kinds[3], WIDTH, HEIGHT);
    for (size_t size = 0; size < file.size; size += 1 + size / 97) {
        struct jpeg_file cut = {file.data, size};
        for (int i = 0; i < N_REGIONS; i++)
            CHECK(decode(decoder, &cut, &regions[i]) < 0);
        CHECK(pst_image_check(cut.data, cut.size, NULL) < 0);
    }
    jpeg_file_free(&file);
    pst__decoder_free(decoder);
}

static void memory_that_is_out(void)
{
#ifdef PST_CHECKS
    struct jpeg_file file = jpeg_file_make(&kinds[3], WIDTH, HEIGHT);
    int64_t blocks = pst__mem_blocks(), n = 0;
    int rc = PST_ENOMEM;
    while (rc != PST_OK) {
        pst__fault_arm(1u << PST_SYS_ALLOC, ++n, 0, ENOMEM);
        rc = pst_image_check(file.data, file.size, NULL);
        pst__fault_disarm();
        CHECK(rc == PST_OK || rc == PST_ENOMEM);
        CHECK_INT(pst__mem_blocks(), blocks);
    }
    CHECK(n > 2);
    jpeg_file_free(&file);
#endif
}

CHECK_MAIN(CASE(clean_files_pass), CASE(damage_is_seen_from_every_region),
           CASE(what_follows_the_end_is_seen), CASE(a_marker_before_the_end_is_seen),
           CASE(cuts_are_seen_from_every_region), CASE(memory_that_is_out))
