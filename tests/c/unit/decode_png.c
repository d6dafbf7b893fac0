/* SPDX-License-Identifier: Apache-2.0 */
#include "decode/codec.h"

#include <errno.h>

#include <zlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"
#include "check.h"

/* PNG files made here, of samples that a formula gives. How the pixels compare with Pillow's is
 * tests/python's subject; here it is the codec's contract. */

enum { GREY = 0, RGB = 2, PALETTE = 3, GREY_ALPHA = 4, RGBA = 6 };

static const struct kind {
    int color, depth, channels;
} kinds[] = {
    {GREY, 1, 1},    {GREY, 2, 1},       {GREY, 4, 1},        {GREY, 8, 1},    {GREY, 16, 1},
    {RGB, 8, 3},     {RGB, 16, 3},       {PALETTE, 1, 1},     {PALETTE, 2, 1}, {PALETTE, 4, 1},
    {PALETTE, 8, 1}, {GREY_ALPHA, 8, 2}, {GREY_ALPHA, 16, 2}, {RGBA, 8, 4},    {RGBA, 16, 4},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

struct file {
    uint8_t data[1 << 16];
    size_t size;
};

static void put_be32(uint8_t *out, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void add_chunk(struct file *file, const char *type, const void *body, size_t size)
{
    uint8_t *p = file->data + file->size;
    CHECK(file->size + size + 12 <= sizeof file->data);
    put_be32(p, (uint32_t)size);
    memcpy(p + 4, type, 4);
    if (size)
        memcpy(p + 8, body, size);
    put_be32(p + 8 + size, (uint32_t)crc32(0, p + 4, (uInt)size + 4));
    file->size += size + 12;
}

static void begin(struct file *file, uint32_t w, uint32_t h, const struct kind *kind, int interlace)
{
    uint8_t header[13] = {0};
    put_be32(header, w);
    put_be32(header + 4, h);
    header[8] = (uint8_t)kind->depth;
    header[9] = (uint8_t)kind->color;
    header[12] = (uint8_t)interlace;
    memcpy(file->data, "\x89PNG\r\n\x1a\n", 8);
    file->size = 8;
    add_chunk(file, "IHDR", header, sizeof header);
    if (kind->color == PALETTE) {
        uint8_t palette[768];
        for (int i = 0; i < 768; i++)
            palette[i] = (uint8_t)(i * 37 + 11);
        add_chunk(file, "PLTE", palette, (size_t)3 << kind->depth);
    }
}

static unsigned sample(int x, int y, int channel, int depth)
{
    unsigned v = (unsigned)(x * 2654435761u + (unsigned)y * 40503u + (unsigned)channel * 977u);
    return (v ^ v >> 13) & ((1u << depth) - 1);
}

/* The scanline of pixels x0, x0 + dx, ... of row y, unfiltered; its bytes. */
static size_t scanline(uint8_t *out, const struct kind *kind, int w, int x0, int dx, int y)
{
    size_t bits = 0;
    memset(out, 0, 1024);
    for (int x = x0; x < w; x += dx) {
        for (int c = 0; c < kind->channels; c++) {
            unsigned v = sample(x, y, c, kind->depth);
            for (int b = kind->depth - 1; b >= 0; b--, bits++)
                out[1 + bits / 8] |= (uint8_t)((v >> b & 1) << (7 - bits % 8));
        }
    }
    return bits ? 1 + (bits + 7) / 8 : 0;
}

static size_t all_scanlines(uint8_t *out, const struct kind *kind, int w, int h, int interlace)
{
    static const int adam7[7][4] = {{0, 8, 0, 8}, {4, 8, 0, 8}, {0, 4, 4, 8}, {2, 4, 0, 4},
                                    {0, 2, 2, 4}, {1, 2, 0, 2}, {0, 1, 1, 2}};
    static const int whole[1][4] = {{0, 1, 0, 1}};
    const int(*pass)[4] = interlace ? adam7 : whole;
    size_t size = 0;
    for (int p = 0; p < (interlace ? 7 : 1); p++) {
        for (int y = pass[p][2]; y < h; y += pass[p][3])
            size += scanline(out + size, kind, w, pass[p][0], pass[p][1], y);
    }
    return size;
}

static size_t deflate_bytes(uint8_t *out, size_t room, const uint8_t *raw, size_t size)
{
    uLongf n = room;
    CHECK_INT(compress2(out, &n, raw, size, 6), Z_OK);
    return n;
}

static uint8_t raw[1 << 16], stream[1 << 16];

/* A whole file in n_idat chunks. */
static void make(struct file *file, const struct kind *kind, int w, int h, int interlace,
                 int n_idat)
{
    begin(file, (uint32_t)w, (uint32_t)h, kind, interlace);
    size_t size =
        deflate_bytes(stream, sizeof stream, raw, all_scanlines(raw, kind, w, h, interlace));
    size_t each = size / (size_t)n_idat;
    for (int i = 0; i < n_idat; i++)
        add_chunk(file, "IDAT", stream + (size_t)i * each,
                  i == n_idat - 1 ? size - (size_t)i * each : each);
    add_chunk(file, "IEND", NULL, 0);
}

/* The RGB that Pillow makes of the samples of a pixel. */
static void expected(uint8_t rgb[3], const struct kind *kind, int x, int y)
{
    unsigned v = sample(x, y, 0, kind->depth);
    for (int c = 0; c < 3; c++) {
        if (kind->color == PALETTE)
            rgb[c] = (uint8_t)((v * 3 + (unsigned)c) * 37 + 11);
        else if (kind->color == GREY && kind->depth == 16)
            rgb[c] = v > 255 ? 255 : (uint8_t)v;
        else if (kind->color == GREY && kind->depth < 8)
            rgb[c] = (uint8_t)(v * 255 / ((1u << kind->depth) - 1));
        else
            rgb[c] = (uint8_t)(sample(x, y, kind->channels < 3 ? 0 : c, kind->depth) >>
                               (kind->depth - 8));
    }
}

static int decode(void *state, const struct file *file, const struct pst_rect *region, int step,
                  uint8_t *rgb, struct pst_error *err)
{
    struct pst_image_info info;
    pst_error_init(err);
    int rc = pst__codec_png.probe(file->data, file->size, &info, err);
    struct pst_rect whole = {0, 0, 0, 0};
    if (rc == PST_OK && !region) {
        whole = (struct pst_rect){0, 0, info.width, info.height};
        region = &whole;
    }
    if (rc == PST_OK)
        rc = pst__codec_png.start(state, file->data, file->size, &info, region, err);
    for (int y = 0; rc == PST_OK && y < region->h;) {
        const uint8_t *rows;
        ptrdiff_t stride;
        int n;
        rc = pst__codec_png.rows(state, step, &rows, &stride, &n, err);
        if (rc < 0)
            break;
        CHECK(n > 0 && n <= step && n <= region->h - y);
        CHECK(stride >= 4 * (ptrdiff_t)region->w);
        /* The padding is readable; under a sanitizer this touch proves it. */
        volatile uint8_t touch = rows[(n - 1) * stride + 4 * region->w + PST_PAD - 1];
        (void)touch;
        for (int i = 0; rgb && i < n * region->w; i++)
            memcpy(rgb + 3 * (size_t)(y * region->w + i),
                   rows + i / region->w * stride + 4 * (ptrdiff_t)(i % region->w), 3);
        y += n;
    }
    return rc == PST_OK ? pst__codec_png.finish(state, err) : rc;
}

static void *open_codec(void)
{
    void *state = NULL;
    CHECK_INT(pst__codec_png.open(&state, NULL), PST_OK);
    return state;
}

static void every_kind_and_region(void)
{
    static struct file file;
    static uint8_t rgb[64 * 64 * 3];
    static const int sizes[][2] = {{1, 1}, {1, 9}, {5, 2}, {8, 8}, {13, 17}, {33, 20}};
    struct pst_error err;
    void *state = open_codec();
    for (int i = 0; i < N_KINDS * 6 * 2; i++) {
        const struct kind *kind = &kinds[i / 12];
        int w = sizes[i % 6][0], h = sizes[i % 6][1];
        make(&file, kind, w, h, i / 6 % 2, 1 + i % 3);
        const struct pst_rect regions[] = {{0, 0, w, h},
                                           {w / 2, h / 3, w - w / 2, h - h / 3},
                                           {w - 1, 0, 1, h},
                                           {0, h - 1, w, 1},
                                           {w / 3, h / 2, 1, 1}};
        for (int r = 0; r < 5; r++) {
            const struct pst_rect *region = &regions[r];
            CHECK_INT(decode(state, &file, region, r == 0 ? 1000 : 1 + i % 4, rgb, &err), PST_OK);
            for (int p = 0; p < region->w * region->h; p++) {
                uint8_t want[3];
                expected(want, kind, region->x + p % region->w, region->y + p / region->w);
                CHECK(memcmp(rgb + (size_t)3 * p, want, 3) == 0);
            }
        }
    }
    pst__codec_png.close(state);
}

static void all_rows_come_at_once(void)
{
    static struct file file;
    struct pst_image_info info;
    const uint8_t *rows;
    ptrdiff_t stride;
    int n;
    void *state = open_codec();
    for (int interlace = 0; interlace < 2; interlace++) {
        make(&file, &kinds[5], 20, 30, interlace, 1);
        CHECK_INT(pst__codec_png.probe(file.data, file.size, &info, NULL), PST_OK);
        CHECK_INT(info.format, PST_IMAGE_PNG);
        CHECK_INT(info.width, 20);
        CHECK_INT(info.height, 30);
        const struct pst_rect region = {3, 4, 10, 25};
        CHECK_INT(pst__codec_png.start(state, file.data, file.size, &info, &region, NULL), PST_OK);
        CHECK_INT(pst__codec_png.rows(state, 25, &rows, &stride, &n, NULL), PST_OK);
        CHECK_INT(n, 25);
        CHECK_INT(pst__codec_png.finish(state, NULL), PST_OK);
    }
    CHECK(pst__codec_png.bytes(state) > 25 * 40);
    pst__codec_png.close(state);
}

static void a_palette_may_be_short(void)
{
    static struct file file;
    static uint8_t rgb[256 * 3];
    const struct kind kind = {PALETTE, 8, 1};
    struct pst_error err;
    void *state = open_codec();
    begin(&file, 256, 1, &kind, 0);
    file.size = 8 + 25;
    add_chunk(&file, "PLTE", "abcdef", 6);
    for (int i = 0; i < 256; i++)
        raw[1 + i] = (uint8_t)i;
    raw[0] = 0;
    add_chunk(&file, "IDAT", stream, deflate_bytes(stream, sizeof stream, raw, 257));
    add_chunk(&file, "IEND", NULL, 0);
    CHECK_INT(decode(state, &file, NULL, 1, rgb, &err), PST_OK);
    CHECK(memcmp(rgb, "abcdef\0\0\0", 9) == 0 && rgb[767] == 0);
    pst__codec_png.close(state);
}

static const struct kind grey8 = {GREY, 8, 1};

/* 4 x 4 grey pixels, with the stream given. */
static void make_of_stream(struct file *file, const uint8_t *bytes, size_t size)
{
    begin(file, 4, 4, &grey8, 0);
    add_chunk(file, "IDAT", bytes, size);
    add_chunk(file, "IEND", NULL, 0);
}

static void expect(void *state, const struct file *file, int status, const char *text)
{
    struct pst_error err;
    CHECK_INT(decode(state, file, NULL, 3, NULL, &err), status);
    CHECK_INT(err.status, status);
    CHECK_HAS(err.message, text);
}

static void a_stream_ends_where_the_image_does(void)
{
    static struct file file;
    void *state = open_codec();
    uint8_t plain[21 + 1] = {0};
    size_t size = deflate_bytes(stream, sizeof stream, plain, 20);
    make_of_stream(&file, stream, size);
    struct pst_error err;
    CHECK_INT(decode(state, &file, NULL, 1, NULL, &err), PST_OK);
    /* Without the checksum, and even without the end of the block, zlib has all pixels. */
    for (size_t cut = 1; cut < size; cut++) {
        make_of_stream(&file, stream, size - cut);
        expect(state, &file, PST_ETRUNCATED, "end");
    }
    stream[size] = 0;
    make_of_stream(&file, stream, size + 1);
    expect(state, &file, PST_EUNCLEAN, "behind");
    stream[size - 1] ^= 1;
    make_of_stream(&file, stream, size);
    expect(state, &file, PST_EFORMAT, "incorrect data check");
    make_of_stream(&file, stream, deflate_bytes(stream, sizeof stream, plain, 21));
    expect(state, &file, PST_EUNCLEAN, "more pixels");
    make_of_stream(&file, stream, deflate_bytes(stream, sizeof stream, plain, 19));
    expect(state, &file, PST_ETRUNCATED, "end");
    plain[15] = 5; /* filter of the last row */
    make_of_stream(&file, stream, deflate_bytes(stream, sizeof stream, plain, 20));
    expect(state, &file, PST_EFORMAT, "damaged");
    pst__codec_png.close(state);
}

static void what_is_below_the_region_counts(void)
{
    static struct file file;
    void *state = open_codec();
    uint8_t plain[20] = {0};
    plain[15] = 7;
    make_of_stream(&file, stream, deflate_bytes(stream, sizeof stream, plain, 20));
    const struct pst_rect top = {0, 0, 4, 1};
    struct pst_error err;
    CHECK_INT(decode(state, &file, &top, 1, NULL, &err), PST_EFORMAT);
    pst__codec_png.close(state);
}

static void chunks_are_held_to_the_rules(void)
{
    static struct file file, good;
    void *state = open_codec();
    make(&good, &kinds[5], 4, 4, 0, 1);
    const size_t after_header = 8 + 25;
    static const struct {
        const char *type, *body;
        size_t size;
        int status;
        const char *text;
    } extra[] = {
        {"gAMA", "\0\0\xb1\x8f", 4, PST_OK, ""},
        {"gAMA", "\0", 1, PST_EUNCLEAN, "gAMA"},
        {"tEXt", "Comment\0x", 9, PST_OK, ""},
        {"tEXt", "bbox\0x", 6, PST_EUNCLEAN, "keyword"},
        {"acTL", "\0\0\0\1\0\0\0", 8, PST_EUNSUPPORTED, "animation"},
        {"ABCD", "", 0, PST_EUNSUPPORTED, "critical"},
        {"IHDR", "", 0, PST_EUNSUPPORTED, "critical"},
        {"aBCD", "xyz", 3, PST_OK, ""},
        {"a_CD", "", 0, PST_EFORMAT, "letters"},
        {"PLTE", "abc", 3, PST_OK, ""},
        {"PLTE", "ab", 2, PST_EFORMAT, "palette"},
        {"tRNS", "\0\0", 2, PST_EUNCLEAN, "tRNS"},
        {"iCCP", "name", 4, PST_EFORMAT, "iCCP"},
        {"iCCP", "n\0\1", 3, PST_EFORMAT, "iCCP"},
        {"IEND", "", 0, PST_EFORMAT, "before the pixels"},
    };
    for (size_t i = 0; i < sizeof extra / sizeof *extra; i++) {
        memcpy(file.data, good.data, after_header);
        file.size = after_header;
        add_chunk(&file, extra[i].type, extra[i].body, extra[i].size);
        memcpy(file.data + file.size, good.data + after_header, good.size - after_header);
        file.size += good.size - after_header;
        struct pst_error err;
        CHECK_INT(decode(state, &file, NULL, 9, NULL, &err), extra[i].status);
        CHECK_HAS(err.message, extra[i].text);
        if (extra[i].status < 0)
            CHECK_INT(err.offset, after_header);
    }
    pst__codec_png.close(state);
}

static void headers_are_held_to_the_limits(void)
{
    static struct file file;
    void *state = open_codec();
    const struct kind odd = {RGB, 4, 3};
    static const struct {
        uint32_t w, h;
        int status;
    } sizes[] = {
        {0, 4, PST_EFORMAT},         {4, 0, PST_EFORMAT},        {PST_MAX_SIDE + 1, 1, PST_ELIMIT},
        {1, 0xffffffff, PST_ELIMIT}, {60000, 60000, PST_ELIMIT}, {2000, 2000, PST_ELIMIT}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        begin(&file, sizes[i].w, sizes[i].h, &grey8, 0);
        expect(state, &file, sizes[i].status, "PNG");
    }
    begin(&file, 4, 4, &odd, 0);
    expect(state, &file, PST_EFORMAT, "colour type 2 with 4 bits");
    begin(&file, 4, 4, &grey8, 2);
    expect(state, &file, PST_EFORMAT, "interlace 2");
    file.size = 7;
    expect(state, &file, PST_EFORMAT, "signature");
    pst__codec_png.close(state);
}

static void every_cut_and_every_flipped_bit_is_a_doubt(void)
{
    static struct file good, bad;
    struct pst_error err;
    void *state = open_codec();
    make(&good, &kinds[10], 9, 7, 1, 2);
    for (size_t n = 0; n < good.size; n++) {
        bad = good;
        bad.size = n;
        CHECK(decode(state, &bad, NULL, 2, NULL, &err) < 0 && err.message[0]);
    }
    for (size_t bit = 0; bit < 8 * good.size; bit++) {
        bad = good;
        bad.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(decode(state, &bad, NULL, 2, NULL, &err) < 0 && err.message[0]);
    }
    CHECK_INT(decode(state, &good, NULL, 2, NULL, &err), PST_OK);
    pst__codec_png.close(state);
}

static void a_profile_is_inflated_without_allocation(void)
{
    static struct file file;
    static uint8_t profile[20000], body[20000];
    for (int i = 0; i < 4000; i++)
        profile[i] = (uint8_t)(sample(i, 3, 1, 8));
    begin(&file, 4, 4, &grey8, 0);
    memcpy(body, "icc\0", 5);
    size_t size = 5 + deflate_bytes(body + 5, sizeof body - 5, profile, sizeof profile);
    CHECK(size > 2000);
    add_chunk(&file, "iCCP", body, size);
    add_chunk(&file, "IDAT", "", 0);
    int64_t blocks = pst__mem_blocks();
    struct pst_image_info info;
#ifdef PST_CHECKS
    pst__fault_arm(1u << PST_SYS_ALLOC, 1, 1, ENOMEM);
#endif
    CHECK_INT(pst__codec_png.probe(file.data, file.size, &info, NULL), PST_OK);
#ifdef PST_CHECKS
    CHECK_INT(pst__fault_calls(), 0);
    pst__fault_disarm();
#endif
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* Grey rows, row y of which has the value y, as filter Up has them: `size` of them, packed. */
static size_t pack_grey_rows(uint8_t *out, size_t room, int w, int h, int bad_row)
{
    static uint8_t row[1 + 4096];
    z_stream z = {.next_out = out, .avail_out = (uInt)room};
    CHECK(w <= 4096);
    CHECK_INT(deflateInit(&z, 6), Z_OK);
    for (int y = 0; y < h; y++) {
        memset(row, y > 0, sizeof row);
        row[0] = y == bad_row ? 9 : 2;
        z.next_in = row;
        z.avail_in = (uInt)w + 1;
        CHECK_INT(deflate(&z, y == h - 1 ? Z_FINISH : Z_NO_FLUSH),
                  y == h - 1 ? Z_STREAM_END : Z_OK);
    }
    size_t size = room - z.avail_out;
    deflateEnd(&z);
    return size;
}

/* More than is inflated at once. */
static void make_large(struct file *file, int bad_row)
{
    enum { W = 4096, H = 2100 };
    begin(file, W, H, &grey8, 0);
    size_t size = pack_grey_rows(stream, sizeof stream, W, H, bad_row);
    add_chunk(file, "IDAT", stream, size / 2);
    add_chunk(file, "IDAT", stream + size / 2, size - size / 2);
    add_chunk(file, "IEND", NULL, 0);
}

static void a_large_image_comes_piece_by_piece(void)
{
    static struct file file;
    static uint8_t rgb[3 * 3 * 2100];
    struct pst_error err;
    void *state = open_codec();
    make_large(&file, -1);
    const struct pst_rect region = {1000, 20, 3, 2000};
    CHECK_INT(decode(state, &file, &region, 7, rgb, &err), PST_OK);
    for (int i = 0; i < 3 * 3 * 2000; i++)
        CHECK_INT(rgb[i], (20 + i / 9) & 255);
    CHECK(pst__codec_png.bytes(state) < 1 << 18);
    CHECK_INT(decode(state, &file, &(const struct pst_rect){0, 2099, 1, 1}, 1, rgb, &err), PST_OK);
    CHECK_INT(rgb[0], 2099 & 255);
    make_large(&file, 2050);
    CHECK_INT(decode(state, &file, &region, 7, rgb, &err), PST_EFORMAT);
    CHECK_HAS(err.message, "damaged in scanline 2049: invalid scanline filter");
    pst__codec_png.close(state);
}

/* What is held while an image is inflated at once is in the estimate. */
static void an_estimate_holds(void)
{
    static struct file file;
    struct pst_image_info info;
    struct pst_error err;
    void *state = open_codec();
    size_t idle = pst__codec_png.bytes(state);
    for (int i = 0; i < 2 * N_KINDS; i++) {
        make(&file, &kinds[i / 2], 64, 60, i % 2, 2);
        CHECK_INT(pst__codec_png.probe(file.data, file.size, &info, NULL), PST_OK);
        CHECK_INT(decode(state, &file, NULL, 1, NULL, &err), PST_OK);
        size_t rows_at_a_time = 4096; /* of any kind, and the line that stands above the first */
        CHECK(pst__codec_png.bytes(state) <=
              idle + rows_at_a_time + pst__codec_png.cost(file.data, file.size, &info));
        pst__codec_png.close(state);
        state = open_codec();
    }
    make_large(&file, -1);
    CHECK_INT(pst__codec_png.probe(file.data, file.size, &info, NULL), PST_OK);
    CHECK_INT(pst__codec_png.cost(file.data, file.size, &info), 0);
    pst__codec_png.close(state);
}

static void memory_is_given_back(void)
{
    static struct file file;
    struct pst_error err;
    int64_t blocks = pst__mem_blocks();
    void *state = open_codec();
    make(&file, &kinds[14], 30, 30, 1, 2);
    CHECK_INT(decode(state, &file, NULL, 4, NULL, &err), PST_OK);
    file.size -= 30;
    CHECK_INT(decode(state, &file, NULL, 4, NULL, &err), PST_ETRUNCATED);
    pst__codec_png.abort(state);
    pst__codec_png.close(state);
    CHECK_INT(pst__mem_blocks(), blocks);
    pst__codec_png.close(NULL);
}

static void every_failed_allocation_is_reported(void)
{
#ifdef PST_CHECKS
    static struct file file;
    struct pst_error err;
    int64_t blocks = pst__mem_blocks();
    for (int interlace = 0; interlace < 3; interlace++) {
        if (interlace < 2)
            make(&file, &kinds[6], 40, 40, interlace, 2);
        else
            make_large(&file, -1);
        int n_failed = 0;
        for (int rc = PST_ENOMEM; rc != PST_OK; n_failed++) {
            void *state = NULL;
            CHECK(n_failed < 100);
            pst_error_init(&err);
            pst__fault_arm(1u << PST_SYS_ALLOC, n_failed + 1, 1, ENOMEM);
            rc = pst__codec_png.open(&state, &err);
            if (rc == PST_OK)
                rc = decode(state, &file, NULL, 16, NULL, &err);
            pst__fault_disarm();
            if (rc != PST_OK)
                CHECK_INT(rc, PST_ENOMEM);
            if (state)
                pst__codec_png.close(state);
            CHECK_INT(pst__mem_blocks(), blocks);
        }
        CHECK(n_failed > 5);
    }
#endif
}

CHECK_MAIN(CASE(every_kind_and_region), CASE(all_rows_come_at_once), CASE(a_palette_may_be_short),
           CASE(a_stream_ends_where_the_image_does), CASE(what_is_below_the_region_counts),
           CASE(chunks_are_held_to_the_rules), FAULT("R14", headers_are_held_to_the_limits),
           FAULT("R1 R2", every_cut_and_every_flipped_bit_is_a_doubt),
           CASE(a_profile_is_inflated_without_allocation), CASE(memory_is_given_back),
           CASE(a_large_image_comes_piece_by_piece), CASE(an_estimate_holds),
           FAULT("R17", every_failed_allocation_is_reported))
