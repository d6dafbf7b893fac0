/* SPDX-License-Identifier: Apache-2.0 */
#include "codec_run.h"

/* How the pixels compare with Pillow's is tests/python's subject; here it is the codec's contract.
 * The files are of greys, with a clear code after each two samples, so that codes stay 9 bits. */

static const struct pst__codec *const codec = &pst__codec_gif;

enum { W = 9, H = 21, X = 2, Y = 3, SCREEN_W = 13, SCREEN_H = 26, MAX_SIZE = 1024 };

static const int passes[4][2] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}};

struct file {
    uint8_t data[MAX_SIZE];
    size_t size;
    int n_bits; /* in the last byte */
};

static void put_code(struct file *f, unsigned code)
{
    for (int i = 0; i < 9; i++) {
        if (f->n_bits == 0)
            f->data[f->size++] = 0;
        CHECK(f->size < MAX_SIZE);
        f->data[f->size - 1] |= (uint8_t)((code >> i & 1) << f->n_bits);
        f->n_bits = (f->n_bits + 1) % 8;
    }
}

static unsigned sample(int x, int y)
{
    return (unsigned)(x * 7 + y * 11 + 1) & 255;
}

static void put_line(struct file *f, int y)
{
    for (int x = 0; x < W; x++) {
        if (x % 2 == 0)
            put_code(f, 256);
        put_code(f, sample(x, y));
    }
}

/* Codes go through one buffer into blocks of 200 bytes. */
static void make(struct file *f, int is_interlaced)
{
    struct file codes = {.size = 0};
    if (!is_interlaced) {
        for (int y = 0; y < H; y++)
            put_line(&codes, y);
    } else {
        for (int p = 0; p < 4; p++) {
            for (int y = passes[p][0]; y < H; y += passes[p][1])
                put_line(&codes, y);
        }
    }
    put_code(&codes, 257);
    const uint8_t head[] = {'G',
                            'I',
                            'F',
                            '8',
                            '9',
                            'a',
                            SCREEN_W,
                            0,
                            SCREEN_H,
                            0,
                            0,
                            0,
                            0,
                            ',',
                            X,
                            0,
                            Y,
                            0,
                            W,
                            0,
                            H,
                            0,
                            is_interlaced ? 0x40 : 0,
                            8};
    memcpy(f->data, head, sizeof head);
    f->size = sizeof head;
    for (size_t at = 0; at < codes.size; at += 200) {
        size_t n = codes.size - at < 200 ? codes.size - at : 200;
        CHECK(f->size + n + 3 < MAX_SIZE);
        f->data[f->size++] = (uint8_t)n;
        memcpy(f->data + f->size, codes.data + at, n);
        f->size += n;
    }
    f->data[f->size++] = 0;
    f->data[f->size++] = ';';
}

static void every_region(void)
{
    struct file f;
    uint8_t rgb[SCREEN_W * SCREEN_H * 3];
    struct pst_error err;
    void *state = codec_open(codec);
    for (int i = 0; i < 2 * SCREEN_W * SCREEN_H; i++) {
        make(&f, i % 2);
        struct pst_rect r = {i / 2 % SCREEN_W, i / 2 / SCREEN_W, 0, 0};
        r.w = SCREEN_W - r.x;
        r.h = 1 + (SCREEN_H - r.y - 1) / 2;
        CHECK_INT(codec_run(codec, state, f.data, f.size, &r, 1 + i % 5, rgb, &err), PST_OK);
        for (int p = 0; p < r.w * r.h; p++) {
            int x = r.x + p % r.w - X, y = r.y + p / r.w - Y;
            int is_in = x >= 0 && y >= 0 && x < W && y < H;
            CHECK_INT(rgb[3 * p], is_in ? sample(x, y) : 0);
            CHECK(rgb[3 * p] == rgb[3 * p + 1] && rgb[3 * p] == rgb[3 * p + 2]);
        }
    }
    codec->close(state);
}

static void every_cut_is_a_doubt(void)
{
    struct file f;
    struct pst_error err;
    void *state = codec_open(codec);
    make(&f, 1);
    const struct pst_rect top = {0, 0, SCREEN_W, 1};
    for (size_t n = 0; n < f.size - 2; n++) {
        uint8_t *part = malloc(n ? n : 1); /* of the exact size, for the sanitizer */
        CHECK(part);
        memcpy(part, f.data, n);
        CHECK(codec_run(codec, state, part, n, &top, 1, NULL, &err) < 0);
        free(part);
    }
    CHECK_INT(codec_run(codec, state, f.data, f.size - 2, &top, 1, NULL, &err), PST_OK);
    codec->close(state);
}

static void memory_is_given_back(void)
{
    struct file f;
    make(&f, 0);
    int64_t blocks = pst__mem_blocks();
    struct pst_error err;
    void *state = codec_open(codec);
    CHECK_INT(codec_run(codec, state, f.data, f.size, NULL, 2, NULL, &err), PST_OK);
    CHECK(codec->bytes(state) > W * H);
    codec->close(state);
    CHECK_INT(pst__mem_blocks(), blocks);
    codec->close(NULL);
#ifdef PST_CHECKS
    CHECK_INT(codec_fail_allocations(codec, f.data, f.size), 3);
#endif
}

CHECK_MAIN(CASE(every_region), FAULT("R1", every_cut_is_a_doubt), CASE(memory_is_given_back))
