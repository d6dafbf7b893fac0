/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "unit/inflate_strict.h"

/* Streams that zlib makes come out right; what zlib refuses is refused. */

static uint64_t state = 0x9e3779b97f4a7c15u;

static uint32_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static int between(int low, int high)
{
    return low + (int)(draw() % (uint32_t)(high - low + 1));
}

enum { MOST = 100000 };
static uint8_t plain[MOST], packed[2 * MOST];

static void draw_plain(size_t n)
{
    int kind = between(0, 4);
    for (size_t i = 0; i < n; i++) {
        uint8_t values[] = {(uint8_t)draw(), (uint8_t)(draw() % 3), (uint8_t)(i / 50),
                            (uint8_t)(draw() % 20 ? 0 : draw()),
                            i < 9 ? (uint8_t)draw() : plain[i - 3]};
        plain[i] = values[kind];
    }
}

/* Of blocks of all kinds. */
static size_t deflate_plain(size_t n)
{
    static const int strategies[] = {Z_DEFAULT_STRATEGY, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE,
                                     Z_FIXED};
    z_stream z = {0};
    CHECK_INT(deflateInit2(&z, between(0, 9), Z_DEFLATED, -between(9, 15), between(1, 9),
                           strategies[draw() % 5]),
              Z_OK);
    z.next_in = plain;
    z.next_out = packed;
    z.avail_out = sizeof packed;
    for (size_t left = n; left > 0;) {
        size_t part = draw() % 2 ? left : 1 + draw() % left;
        z.avail_in = (uInt)part;
        CHECK_INT(deflate(&z, draw() % 2 ? Z_NO_FLUSH : Z_FULL_FLUSH), Z_OK);
        CHECK_INT(deflateParams(&z, between(0, 9), strategies[draw() % 5]), Z_OK);
        left -= part;
    }
    CHECK_INT(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t size = sizeof packed - z.avail_out;
    deflateEnd(&z);
    return size;
}

static void what_zlib_makes_is_understood(void)
{
    int zlib_takes;
    for (int i = 0; i < 1500; i++) {
        size_t n = (size_t)between(0, i % 10 ? 2000 : MOST);
        draw_plain(n);
        size_t size = deflate_plain(n);
        CHECK_INT(inflate_strict(packed, size, n, &zlib_takes), STRICT_ALIKE);
        CHECK_INT(inflate_strict(packed, size, n + 1, &zlib_takes), STRICT_REFUSED);
        if (n > 0)
            CHECK_INT(inflate_strict(packed, size, n - 1, &zlib_takes), STRICT_REFUSED);
        CHECK_INT(inflate_strict(packed, size - 1, n, &zlib_takes), STRICT_REFUSED);
        packed[size] = 0;
        CHECK_INT(inflate_strict(packed, size + 1, n, &zlib_takes), STRICT_REFUSED);
    }
}

static void damage_is_judged_as_by_zlib(void)
{
    int n_alike = 0, n_missed = 0, tries = 40000;
    for (int i = 0; i < tries; i++) {
        size_t n = (size_t)between(1, 400);
        draw_plain(n);
        size_t size = deflate_plain(n);
        /* Where code lengths stand more often than elsewhere. */
        for (int flips = between(1, 2); flips > 0; flips--) {
            size_t at = draw() % (draw() % 2 && size > 24 ? 24 : size);
            packed[at] ^= (uint8_t)(1u << draw() % 8);
        }
        int zlib_takes;
        enum strict got = inflate_strict(packed, size, n, &zlib_takes);
        CHECK(got == STRICT_ALIKE || got == STRICT_REFUSED);
        n_alike += got == STRICT_ALIKE;
        n_missed += got == STRICT_REFUSED && zlib_takes;
    }
    CHECK(n_alike > tries / 100);
    CHECK_INT(n_missed, 0);
}

/* A stream written bit by bit. */
struct writer {
    uint8_t bytes[600];
    size_t n_bits;
};

static void put(struct writer *w, unsigned v, int n)
{
    for (int i = 0; i < n; i++, w->n_bits++) {
        CHECK(w->n_bits < 8 * sizeof w->bytes);
        w->bytes[w->n_bits / 8] |= (uint8_t)((v >> i & 1) << w->n_bits % 8);
    }
}

/* Codes go the other way round. */
static void put_code(struct writer *w, unsigned code, int n)
{
    for (int i = n - 1; i >= 0; i--)
        put(w, code >> i & 1, 1);
}

/* The head of a block of own codes; each length is written in four bits, as the lengths of lengths
 * say: 0 to 15 have four bits each. */
static void begin_block(struct writer *w, const uint8_t *of, int n_symbols, int n_distances)
{
    *w = (struct writer){.n_bits = 0};
    put(w, 1, 1);
    put(w, 2, 2);
    put(w, (unsigned)n_symbols - 257, 5);
    put(w, (unsigned)n_distances - 1, 5);
    put(w, 15, 4);
    for (int i = 0; i < 19; i++)
        put(w, i < 3 ? 0 : 4, 3); /* 16, 17 and 18 come first */
    for (int i = 0; i < n_symbols + n_distances; i++)
        put_code(w, of[i], 4);
}

static enum strict judge(const struct writer *w, size_t n_out)
{
    int zlib_takes;
    enum strict got = inflate_strict(w->bytes, (w->n_bits + 7) / 8, n_out, &zlib_takes);
    CHECK_INT(got == STRICT_ALIKE, zlib_takes);
    return got;
}

static void symbols_that_do_not_exist(void)
{
    struct writer w;
    uint8_t of[320] = {0};
    of['A'] = of[256] = 1; /* 'A' is 0, the end is 1 */
    for (int n_symbols = 257; n_symbols <= 288; n_symbols++) {
        begin_block(&w, of, n_symbols, 1);
        put(&w, 4, 3);
        CHECK_INT(judge(&w, 2), n_symbols <= 286 ? STRICT_ALIKE : STRICT_REFUSED);
    }
    for (int n_distances = 1; n_distances <= 32; n_distances++) {
        begin_block(&w, of, 257, n_distances);
        put(&w, 4, 3);
        CHECK_INT(judge(&w, 2), n_distances <= 30 ? STRICT_ALIKE : STRICT_REFUSED);
    }
    for (unsigned symbol = 284; symbol < 288; symbol++) { /* of the fixed codes */
        w = (struct writer){.n_bits = 0};
        put(&w, 1, 1);
        put(&w, 1, 2);
        put_code(&w, 0x30 + 'A', 8);
        put_code(&w, 0xc0 + symbol - 280, 8);
        put(&w, 0, symbol == 284 ? 10 : 5); /* extra bits, and a distance of 1 */
        put(&w, 0, 7);
        CHECK_INT(judge(&w, symbol == 284 ? 1 + 227 : 1 + 258),
                  symbol < 286 ? STRICT_ALIKE : STRICT_REFUSED);
    }
    for (unsigned distance = 28; distance < 32; distance++) {
        w = (struct writer){.n_bits = 0};
        put(&w, 1, 1);
        put(&w, 1, 2);
        put_code(&w, 1, 7);
        put_code(&w, distance, 5);
        put(&w, 0, 20);
        CHECK_INT(judge(&w, 3), STRICT_REFUSED);
    }
}

static void codes_that_are_not_complete(void)
{
    struct writer w;
    uint8_t of[320] = {0};
    of['A'] = 1; /* 0 */
    of[256] = of[257] = 2;
    for (unsigned n_codes = 0; n_codes < 3; n_codes++) {
        for (unsigned code = 0; code < 2; code++) {
            of[258] = n_codes > 0;
            of[259] = n_codes > 1;
            begin_block(&w, of, 258, 2);
            put_code(&w, 0, 1);
            put_code(&w, 3, 2); /* a length of 3 */
            put_code(&w, code, 1);
            put_code(&w, 2, 2);
            /* A distance of 2 is too far. */
            CHECK_INT(judge(&w, 4), n_codes > 0 && code == 0 ? STRICT_ALIKE : STRICT_REFUSED);
        }
    }
    of[258] = of[259] = 2; /* half of a code */
    begin_block(&w, of, 258, 2);
    put_code(&w, 2, 2);
    CHECK_INT(judge(&w, 0), STRICT_REFUSED);
    of[258] = of[259] = 0;
    of[257] = 0; /* three quarters */
    begin_block(&w, of, 258, 2);
    put_code(&w, 2, 2);
    CHECK_INT(judge(&w, 0), STRICT_REFUSED);
    of['A'] = of['B'] = 1; /* no end */
    of[256] = 0;
    begin_block(&w, of, 258, 2);
    put(&w, 0, 8);
    CHECK_INT(judge(&w, 0), STRICT_REFUSED);
}

/* The lengths of the lengths themselves: one alone is no code, though zlib takes one distance. */
static void one_length_alone(void)
{
    for (int repeats = 0; repeats < 2; repeats++) {
        struct writer w = {.n_bits = 0};
        put(&w, 1, 1);
        put(&w, 2, 2);
        put(&w, 0, 10);
        put(&w, 15, 4);
        for (int i = 0; i < 19; i++)
            put(&w, i == (repeats ? 0 : 18), 3); /* of 16, or of 15 */
        w.n_bits += 300;                         /* zeros */
        CHECK_INT(judge(&w, 0), STRICT_REFUSED);
    }
}

static void headers_are_held_to_the_rules(void)
{
    struct pst__inflate *tables = malloc(sizeof *tables);
    CHECK(tables != NULL);
    for (unsigned head = 0; head < 65536; head++) {
        /* One fixed block with nothing in it. */
        const uint8_t stream[] = {(uint8_t)(head >> 8), (uint8_t)head, 3, 0, 0, 0, 0, 1};
        uint8_t out[1];
        uint32_t checksum = 0;
        int taken = pst__inflate_whole(tables, out, 0, stream, sizeof stream, &checksum);
        z_stream z = {0};
        CHECK_INT(inflateInit(&z), Z_OK);
        z.next_in = (z_const Bytef *)stream;
        z.avail_in = sizeof stream;
        z.next_out = out;
        z.avail_out = 1;
        CHECK_INT(taken, inflate(&z, Z_FINISH) == Z_STREAM_END);
        CHECK(!taken || checksum == 1);
        inflateEnd(&z);
    }
    free(tables);
}

CHECK_MAIN(CASE(what_zlib_makes_is_understood), CASE(damage_is_judged_as_by_zlib),
           CASE(symbols_that_do_not_exist), CASE(codes_that_are_not_complete),
           CASE(one_length_alone), CASE(headers_are_held_to_the_rules))
