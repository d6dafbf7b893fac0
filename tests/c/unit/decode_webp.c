/* SPDX-License-Identifier: Apache-2.0 */
#include "codec_run.h"

#include <webp/decode.h>
#include <webp/encode.h>

/* Files from libwebp's encoder, with settings that Pillow does not offer. How the pixels compare
 * with Pillow's is tests/python's subject; here a region is compared with the whole image as
 * libwebp decodes it, and the codec is held to its contract. */

static const struct pst__codec *const codec = &pst__codec_webp;

struct file {
    WebPMemoryWriter writer;
    int w, h;
};

static uint8_t sample(int kind, int x, int y, int channel)
{
    unsigned v = (unsigned)x * 2654435761u + (unsigned)y * 40503u + (unsigned)channel * 977u;
    if (kind == 0)
        return (uint8_t)(v >> 13 ^ v);
    if (kind == 1)
        return (uint8_t)(x * 3 * (channel + 1) + y * 5);
    return (uint8_t)(((x / 9 + y / 7) % 5 * 50) + (v >> 13 & 7));
}

/* `n` chooses the settings. */
static void encode(struct file *file, int w, int h, int n, int has_alpha)
{
    WebPConfig config;
    WebPPicture picture;
    CHECK(WebPConfigInit(&config) && WebPPictureInit(&picture));
    config.lossless = n % 4 == 3;
    config.quality = (float)(n * 37 % 101);
    config.method = n % 4;
    config.filter_type = n / 2 % 2;
    config.filter_strength = n * 29 % 101;
    config.filter_sharpness = n % 8;
    config.partitions = n % 4;
    config.alpha_compression = n % 3 > 0;
    config.alpha_filtering = n % 3;
    config.exact = 1;
    uint8_t *rgba = malloc((size_t)w * (size_t)h * 4);
    CHECK(rgba);
    for (int i = 0; i < w * h * 4; i++)
        rgba[i] = sample(n % 3, i / 4 % w, i / 4 / w, i % 4);
    picture.use_argb = config.lossless;
    picture.width = w;
    picture.height = h;
    CHECK(has_alpha ? WebPPictureImportRGBA(&picture, rgba, w * 4)
                    : WebPPictureImportRGBX(&picture, rgba, w * 4));
    WebPMemoryWriterInit(&file->writer);
    picture.writer = WebPMemoryWrite;
    picture.custom_ptr = &file->writer;
    CHECK(WebPEncode(&config, &picture));
    WebPPictureFree(&picture);
    free(rgba);
    file->w = w;
    file->h = h;
}

static void drop(struct file *file)
{
    WebPMemoryWriterClear(&file->writer);
}

static int run(void *state, const struct file *file, const struct pst_rect *region, int step,
               uint8_t *rgb)
{
    struct pst_error err;
    return codec_run(codec, state, file->writer.mem, file->writer.size, region, step, rgb, &err);
}

static void check_region(void *state, const struct file *file, const uint8_t *whole,
                         const struct pst_rect *region, int step)
{
    uint8_t *rgb = malloc(3 * (size_t)region->w * (size_t)region->h);
    CHECK(rgb);
    CHECK_INT(run(state, file, region, step, rgb), PST_OK);
    for (int y = 0; y < region->h; y++) {
        const uint8_t *want = whole + 3 * ((region->y + y) * file->w + region->x);
        CHECK(memcmp(rgb + 3 * y * region->w, want, 3 * (size_t)region->w) == 0);
    }
    free(rgb);
}

static void a_region_equals_its_part_of_the_whole(void)
{
    static const int sizes[][2] = {{1, 1}, {2, 3}, {17, 16}, {33, 50}, {95, 70}, {160, 131}};
    void *state = codec_open(codec);
    for (int n = 0; n < 72; n++) {
        struct file file;
        encode(&file, sizes[n % 6][0], sizes[n % 6][1], n, n / 6 % 2);
        int w, h;
        uint8_t *whole = WebPDecodeRGB(file.writer.mem, file.writer.size, &w, &h);
        CHECK(whole && w == file.w && h == file.h);
        const struct pst_rect regions[] = {
            {0, 0, w, h},         {w / 2, h / 3, w - w / 2, h - h / 3},
            {w - 1, 0, 1, h},     {0, h - 1, w, 1},
            {w / 3, h / 2, 1, 1}, {(w - 1) / 4, (h - 1) / 5, 1 + (w - 1) / 2, 1 + (h - 1) / 2},
        };
        for (int r = 0; r < 6; r++)
            check_region(state, &file, whole, &regions[r], 1 + n % 40);
        WebPFree(whole);
        drop(&file);
    }
    codec->close(state);
}

static void what_is_below_the_region_counts(void)
{
    void *state = codec_open(codec);
    for (int n = 0; n < 8; n++) {
        struct file file;
        encode(&file, 64, 160, n, n > 3);
        const struct pst_rect top = {0, 0, 64, 3};
        CHECK_INT(run(state, &file, &top, 3, NULL), PST_OK);
        size_t size = file.writer.size;
        /* The file's own sizes stay right: cut are the pixels, or the alpha plane before them. */
        uint8_t *mem = file.writer.mem;
        size_t cut = 40;
        memset(mem + size - cut, 0, cut);
        file.writer.size = size - cut;
        uint32_t riff = (uint32_t)(size - cut - 8);
        memcpy(mem + 4, &riff, 4);
        uint32_t chunk;
        size_t at = 12;
        for (; memcmp(mem + at, "VP8 ", 4) != 0 && memcmp(mem + at, "VP8L", 4) != 0;
             at += 8 + chunk + (chunk & 1))
            memcpy(&chunk, mem + at + 4, 4);
        chunk = (uint32_t)(size - cut - at - 8);
        memcpy(mem + at + 4, &chunk, 4);
        CHECK(run(state, &file, &top, 3, NULL) < 0);
        drop(&file);
    }
    codec->close(state);
}

static void every_cut_is_a_doubt(void)
{
    void *state = codec_open(codec);
    for (int n = 2; n < 4; n++) {
        struct file file;
        encode(&file, 20, 20, n, 1);
        size_t size = file.writer.size;
        for (file.writer.size = 0; file.writer.size < size; file.writer.size++)
            CHECK(run(state, &file, NULL, 5, NULL) < 0);
        file.writer.size = size;
        CHECK_INT(run(state, &file, NULL, 5, NULL), PST_OK);
        drop(&file);
    }
    codec->close(state);
}

static void probe_does_not_allocate(void)
{
    struct file file;
    encode(&file, 30, 20, 2, 1);
    int64_t blocks = pst__mem_blocks();
    struct pst_image_info info;
#ifdef PST_CHECKS
    pst__fault_arm(1u << PST_SYS_ALLOC, 1, 1, ENOMEM);
#endif
    CHECK_INT(codec->probe(file.writer.mem, file.writer.size, &info, NULL), PST_OK);
#ifdef PST_CHECKS
    CHECK_INT(pst__fault_calls(), 0);
    pst__fault_disarm();
#endif
    CHECK_INT(info.format, PST_IMAGE_WEBP);
    CHECK_INT(info.width, 30);
    CHECK_INT(info.height, 20);
    CHECK_INT(pst__mem_blocks(), blocks);
    drop(&file);
}

static void memory_is_given_back(void)
{
    struct file file;
    encode(&file, 40, 40, 4, 1);
    int64_t blocks = pst__mem_blocks();
    void *state = codec_open(codec);
    CHECK_INT(run(state, &file, NULL, 7, NULL), PST_OK);
    CHECK(codec->bytes(state) > (size_t)40 * 40 * 4);
    codec->close(state);
    CHECK_INT(pst__mem_blocks(), blocks);
    codec->close(NULL);
#ifdef PST_CHECKS
    CHECK(codec_fail_allocations(codec, file.writer.mem, file.writer.size) >= 3);
#endif
    drop(&file);
}

/* A large image leaves no working memory behind. */
static void large_scratch_is_not_kept(void)
{
    struct file file;
    encode(&file, 2300, 2000, 0, 0);
    void *state = codec_open(codec);
    CHECK_INT(run(state, &file, NULL, 100, NULL), PST_OK);
    CHECK(codec->bytes(state) < 1 << 20);
    codec->close(state);
    drop(&file);
}

CHECK_MAIN(CASE(a_region_equals_its_part_of_the_whole), CASE(what_is_below_the_region_counts),
           FAULT("R1", every_cut_is_a_doubt), CASE(probe_does_not_allocate),
           CASE(memory_is_given_back), CASE(large_scratch_is_not_kept))
