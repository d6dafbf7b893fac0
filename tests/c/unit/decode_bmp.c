/* SPDX-License-Identifier: Apache-2.0 */
#include "codec_run.h"

/* How the pixels compare with Pillow's is tests/python's subject; here it is the codec's contract.
 */

static const struct pst__codec *const codec = &pst__codec_bmp;

enum { W = 7, H = 5, STRIDE = 24, HEAD = 54, SIZE = HEAD + H * STRIDE };

/* 24 bits; pixel x, y of the image is 10 * y + x in all its samples, plus 1 and 2 for green, red.
 */
static void make(uint8_t file[SIZE], int is_top_down)
{
    static const uint8_t head[HEAD] = {
        'B', 'M', [10] = HEAD, [14] = 40, [18] = W, [22] = H, [26] = 1, [28] = 24};
    memset(file, 0, SIZE);
    memcpy(file, head, HEAD);
    int32_t height = is_top_down ? -H : H;
    memcpy(file + 22, &height, 4);
    for (int y = 0; y < H; y++) {
        uint8_t *line = file + HEAD + (is_top_down ? y : H - 1 - y) * STRIDE;
        for (int i = 0; i < 3 * W; i++)
            line[i] = (uint8_t)(10 * y + i / 3 + i % 3);
    }
}

static void every_region_of_both_directions(void)
{
    uint8_t file[SIZE], rgb[W * H * 3];
    struct pst_error err;
    void *state = codec_open(codec);
    for (int i = 0; i < 2 * W * H; i++) {
        make(file, i % 2);
        struct pst_rect r = {i / 2 % W, i / 2 / W, 0, 0};
        r.w = W - r.x;
        r.h = H - r.y;
        CHECK_INT(codec_run(codec, state, file, SIZE, &r, 1 + i % 3, rgb, &err), PST_OK);
        for (int p = 0; p < r.w * r.h; p++) {
            int v = 10 * (r.y + p / r.w) + r.x + p % r.w;
            CHECK_INT(rgb[3 * p], v + 2);
            CHECK_INT(rgb[3 * p + 1], v + 1);
            CHECK_INT(rgb[3 * p + 2], v);
        }
    }
    codec->close(state);
}

static void every_cut_is_a_doubt(void)
{
    uint8_t file[SIZE];
    struct pst_error err;
    void *state = codec_open(codec);
    make(file, 0);
    for (size_t n = 0; n < SIZE; n++) {
        uint8_t *part = malloc(n ? n : 1); /* of the exact size, for the sanitizer */
        CHECK(part);
        memcpy(part, file, n);
        CHECK(codec_run(codec, state, part, n, NULL, 2, NULL, &err) < 0);
        free(part);
    }
    codec->close(state);
}

static void memory_is_given_back(void)
{
    uint8_t file[SIZE];
    make(file, 1);
    int64_t blocks = pst__mem_blocks();
    struct pst_error err;
    void *state = codec_open(codec);
    CHECK_INT(codec_run(codec, state, file, SIZE, NULL, 2, NULL, &err), PST_OK);
    codec->close(state);
    CHECK_INT(pst__mem_blocks(), blocks);
    codec->close(NULL);
#ifdef PST_CHECKS
    CHECK_INT(codec_fail_allocations(codec, file, SIZE), 2);
#endif
}

CHECK_MAIN(CASE(every_region_of_both_directions), FAULT("R1", every_cut_is_a_doubt),
           CASE(memory_is_given_back))
