/* SPDX-License-Identifier: Apache-2.0 */
#include "decode/inflate.h"

#include <string.h>

/* RFC 1950 and 1951. What zlib refuses is refused: codes that are not complete (but for one code of
 * one bit), a block that cannot end, more lengths than there are symbols, symbols without a
 * meaning. */

/* An entry of a table: bits 0..4 how many bits to take, 8..11 how many of them are the code (the
 * rest is added to the value), 16..30 the value. Of ENTRY_TABLE the value is where the second table
 * begins and 8..11 the bits of its index. 0 is no code. */
#define ENTRY_LITERAL (1u << 31)
#define ENTRY_COPY (1u << 15) /* a length or a distance */
#define ENTRY_TABLE (1u << 14)
#define ENTRY_END (1u << 13)
#define TAKEN(entry) ((entry)&31)
#define CODE_BITS(entry) ((entry) >> 8 & 15)
#define VALUE(entry) ((entry) >> 16 & 0x7fff)

#define N_LITERALS 256
#define N_LENGTHS 29
#define N_DISTANCES 30
#define MAX_SYMBOLS 286 /* that have a meaning */
#define MAX_COPY 258
#define MAX_CODE 15

static const struct {
    uint16_t base;
    uint8_t bits;
} lengths[N_LENGTHS] = {{3, 0},   {4, 0},   {5, 0},   {6, 0},   {7, 0},  {8, 0},  {9, 0},  {10, 0},
                        {11, 1},  {13, 1},  {15, 1},  {17, 1},  {19, 2}, {23, 2}, {27, 2}, {31, 2},
                        {35, 3},  {43, 3},  {51, 3},  {59, 3},  {67, 4}, {83, 4}, {99, 4}, {115, 4},
                        {131, 5}, {163, 5}, {195, 5}, {227, 5}, {258, 0}};

/* Bits that are taken lowest first. Above the lowest n_bits there may be more, right ones. */
struct bits {
    const uint8_t *in, *end;
    uint64_t word;
    unsigned n_bits;
};

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

/* At least 56 bits, where there are 8 bytes left. */
static inline void refill_fast(struct bits *b)
{
    b->word |= load64(b->in) << b->n_bits;
    b->in += (63 - b->n_bits) >> 3;
    b->n_bits |= 56;
}

static inline void refill(struct bits *b)
{
    for (; b->n_bits <= 56 && b->in < b->end; b->n_bits += 8)
        b->word |= (uint64_t)*b->in++ << b->n_bits;
}

static inline void drop(struct bits *b, unsigned n)
{
    b->word >>= n;
    b->n_bits -= n;
}

/* The next n bits, -1 where the stream has not got them. */
static int take(struct bits *b, unsigned n)
{
    refill(b);
    if (b->n_bits < n)
        return -1;
    int v = (int)(b->word & ((1u << n) - 1));
    drop(b, n);
    return v;
}

static uint32_t symbol_meaning(int symbol)
{
    if (symbol < N_LITERALS)
        return ENTRY_LITERAL | (uint32_t)symbol << 16;
    if (symbol == N_LITERALS)
        return ENTRY_END;
    symbol -= N_LITERALS + 1;
    if (symbol >= N_LENGTHS)
        return 0;
    return ENTRY_COPY | (uint32_t)lengths[symbol].base << 16 | lengths[symbol].bits;
}

static uint32_t distance_meaning(int symbol)
{
    if (symbol >= N_DISTANCES)
        return 0;
    if (symbol < 4)
        return ENTRY_COPY | (uint32_t)(symbol + 1) << 16;
    uint32_t bits = (uint32_t)symbol / 2 - 1;
    return ENTRY_COPY | (((2 + ((uint32_t)symbol & 1)) << bits) + 1) << 16 | bits;
}

static uint32_t length_meaning(int symbol)
{
    return ENTRY_LITERAL | (uint32_t)symbol << 16;
}

/* How many codes there are of each length. 0 where they are no code that zlib takes; *longest is 0
 * where there is none at all. */
static int count_codes(int count[MAX_CODE + 1], int *longest, const uint8_t *of, int n)
{
    int left = 1;
    memset(count, 0, (MAX_CODE + 1) * sizeof *count);
    for (int i = 0; i < n; i++)
        count[of[i]]++;
    *longest = 0;
    for (int bits = 1; bits <= MAX_CODE; bits++) {
        left = 2 * left - count[bits];
        if (left < 0)
            return 0;
        if (count[bits])
            *longest = bits;
    }
    return left == 0 || *longest <= 1;
}

/* Codes count up from the first bit, tables are indexed from the last: the next reversed code. */
static unsigned next_reversed(unsigned code, int bits)
{
    unsigned bit = 1u << (bits - 1);
    for (; code & bit; bit >>= 1)
        code ^= bit;
    return code | bit;
}

struct table {
    uint32_t *entries;
    unsigned root, more; /* bits of the index, and of a second table's */
    size_t n;
};

/* A code, reversed, wherever it is the beginning of an index. */
static void place(struct table *t, unsigned code, unsigned bits, uint32_t entry)
{
    size_t at = code, end = (size_t)1 << t->root;
    if (bits > t->root) {
        uint32_t *first = t->entries + (code & (end - 1));
        if (!*first) {
            *first = ENTRY_TABLE | (uint32_t)t->n << 16 | t->more << 8 | t->root;
            t->n += (size_t)1 << t->more;
        }
        at = VALUE(*first) + (code >> t->root);
        end = VALUE(*first) + ((size_t)1 << t->more);
        bits -= t->root;
    }
    if (entry)
        entry += bits << 8 | bits;
    for (; at < end; at += (size_t)1 << bits)
        t->entries[at] = entry;
}

/* Fills a table for codes of the lengths given; 0 where zlib would refuse them. */
static int build(uint32_t *entries, unsigned root, const uint8_t *of, int n,
                 uint32_t (*meaning)(int))
{
    int count[MAX_CODE + 1], longest;
    if (!count_codes(count, &longest, of, n))
        return 0;
    unsigned next[MAX_CODE + 1], code = 0;
    for (int bits = 1; bits <= longest; bits++) {
        next[bits] = code;
        for (int i = 0; i < count[bits]; i++)
            code = next_reversed(code, bits);
    }
    struct table t = {entries, root, 0, (size_t)1 << root};
    if (longest > (int)root)
        t.more = (unsigned)longest - root;
    memset(entries, 0, t.n * sizeof *entries);
    for (int symbol = 0; symbol < n; symbol++) {
        int bits = of[symbol];
        if (bits == 0)
            continue;
        place(&t, next[bits], (unsigned)bits, meaning(symbol));
        next[bits] = next_reversed(next[bits], bits);
    }
    return 1;
}

static int build_both(struct pst__inflate *tables, int n_symbols, int n_distances)
{
    return build(tables->symbols, PST_INFLATE_SYMBOL_BITS, tables->lengths, n_symbols,
                 symbol_meaning) &&
           build(tables->places, PST_INFLATE_PLACE_BITS, tables->lengths + n_symbols, n_distances,
                 distance_meaning);
}

static int build_fixed(struct pst__inflate *tables)
{
    uint8_t *of = tables->lengths;
    memset(of, 8, 144);
    memset(of + 144, 9, 112);
    memset(of + 256, 7, 24);
    memset(of + 280, 8, 8);
    memset(of + 288, 5, 32);
    return build_both(tables, 288, 32);
}

/* The table of the codes in which a block's code lengths are written. It must be complete. */
#define LENGTH_BITS 7
static int read_length_codes(struct bits *b, uint32_t table[1 << LENGTH_BITS], int n)
{
    static const uint8_t order[] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                    11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t of[sizeof order] = {0};
    for (int i = 0; i < n; i++) {
        int bits = take(b, 3);
        if (bits < 0)
            return 0;
        of[order[i]] = (uint8_t)bits;
    }
    return build(table, LENGTH_BITS, of, sizeof order, length_meaning) &&
           table[(1 << LENGTH_BITS) - 1];
}

/* One written length, which may stand for several; the new number of lengths, 0 on failure. */
static int read_length(struct bits *b, const uint32_t *table, uint8_t *of, int at, int n)
{
    static const struct {
        uint8_t bits, base;
    } repeats[] = {{2, 3}, {3, 3}, {7, 11}};
    refill(b);
    uint32_t entry = table[b->word & ((1u << LENGTH_BITS) - 1)];
    if (TAKEN(entry) > b->n_bits)
        return 0;
    drop(b, TAKEN(entry));
    int symbol = (int)VALUE(entry), repeat = 1;
    uint8_t value = (uint8_t)symbol;
    if (symbol > MAX_CODE) {
        int more = take(b, repeats[symbol - 16].bits);
        if (more < 0 || (symbol == 16 && at == 0))
            return 0;
        repeat = more + repeats[symbol - 16].base;
        value = symbol == 16 ? of[at - 1] : 0;
    }
    if (repeat > n - at)
        return 0;
    memset(of + at, value, (size_t)repeat);
    return at + repeat;
}

static int read_codes(struct pst__inflate *tables, struct bits *b)
{
    uint32_t table[1 << LENGTH_BITS];
    int n_symbols = take(b, 5) + 257, n_distances = take(b, 5) + 1, n_lengths = take(b, 4) + 4;
    if (n_symbols < 257 || n_symbols > MAX_SYMBOLS || n_distances < 1 ||
        n_distances > N_DISTANCES || n_lengths < 4 || !read_length_codes(b, table, n_lengths))
        return 0;
    int n = n_symbols + n_distances;
    for (int at = 0; at < n;) {
        at = read_length(b, table, tables->lengths, at, n);
        if (at == 0)
            return 0;
    }
    return tables->lengths[N_LITERALS] && build_both(tables, n_symbols, n_distances);
}

struct out {
    uint8_t *start, *at, *end;
};

static inline uint32_t lookup(const uint32_t *entries, unsigned root, const struct bits *b)
{
    return entries[b->word & ((1u << root) - 1)];
}

/* Behind the first bits of a longer code. */
static inline uint32_t lookup_more(const uint32_t *entries, uint32_t first, struct bits *b)
{
    drop(b, TAKEN(first));
    return entries[VALUE(first) + (b->word & ((1u << CODE_BITS(first)) - 1))];
}

static inline size_t take_value(struct bits *b, uint32_t entry)
{
    uint64_t more = (b->word & ((1u << TAKEN(entry)) - 1)) >> CODE_BITS(entry);
    drop(b, TAKEN(entry));
    return VALUE(entry) + (size_t)more;
}

static inline void put_literal(struct bits *b, uint8_t **at, uint32_t entry)
{
    drop(b, TAKEN(entry));
    *(*at)++ = (uint8_t)(entry >> 16);
}

/* Writes up to 7 bytes more. */
static inline void copy_fast(uint8_t *to, size_t distance, size_t length)
{
    const uint8_t *from = to - distance, *end = to + length;
    if (distance >= 8) {
        for (; to < end; to += 8, from += 8)
            memcpy(to, from, 8);
    } else if (distance == 1) {
        uint64_t same = *from * UINT64_C(0x0101010101010101);
        for (; to < end; to += 8)
            memcpy(to, &same, 8);
    } else {
        while (to < end)
            *to++ = *from++;
    }
}

/* More than any distance where there is none. */
static inline size_t take_distance(const uint32_t *places, struct bits *b)
{
    uint32_t entry = lookup(places, PST_INFLATE_PLACE_BITS, b);
    if (entry & ENTRY_TABLE)
        entry = lookup_more(places, entry, b);
    return entry & ENTRY_COPY ? take_value(b, entry) : SIZE_MAX;
}

enum { BLOCK_BAD, BLOCK_ENDS, BLOCK_GOES_ON };

/* Four literals or a few and a copy at a time, while there is room for both. Of 56 bits three
 * literals of the first table leave one more; a length and a distance need 48. */
#define FAST_IN 24 /* three refills */
#define FAST_OUT (4 + MAX_COPY + 8)
static int run_fast(const struct pst__inflate *tables, struct bits *bits, struct out *out)
{
    struct bits b = *bits;
    uint8_t *at = out->at;
    const uint32_t *symbols = tables->symbols;
    int rc = BLOCK_GOES_ON;
    while (b.end - b.in >= FAST_IN && out->end - at >= FAST_OUT) {
        refill_fast(&b);
        uint32_t entry = lookup(symbols, PST_INFLATE_SYMBOL_BITS, &b);
        if (entry & ENTRY_LITERAL) {
            for (int i = 0; i < 3 && entry & ENTRY_LITERAL; i++) {
                put_literal(&b, &at, entry);
                entry = lookup(symbols, PST_INFLATE_SYMBOL_BITS, &b);
            }
            if (entry & ENTRY_LITERAL) {
                put_literal(&b, &at, entry);
                continue;
            }
            refill_fast(&b);
        }
        if (entry & ENTRY_TABLE)
            entry = lookup_more(symbols, entry, &b);
        if (entry & ENTRY_LITERAL) {
            put_literal(&b, &at, entry);
            continue;
        }
        if (!(entry & ENTRY_COPY)) {
            drop(&b, TAKEN(entry));
            rc = entry & ENTRY_END ? BLOCK_ENDS : BLOCK_BAD;
            break;
        }
        size_t length = take_value(&b, entry);
        size_t distance = take_distance(tables->places, &b);
        if (distance > (size_t)(at - out->start)) {
            rc = BLOCK_BAD;
            break;
        }
        copy_fast(at, distance, length);
        at += length;
    }
    *bits = b;
    out->at = at;
    return rc;
}

/* An entry all bits of which are there, or 0. */
static uint32_t find(const uint32_t *entries, unsigned root, struct bits *b)
{
    uint32_t entry = lookup(entries, root, b);
    if (TAKEN(entry) > b->n_bits)
        return 0;
    if (entry & ENTRY_TABLE)
        entry = lookup_more(entries, entry, b);
    return TAKEN(entry) > b->n_bits ? 0 : entry;
}

/* One symbol, with nothing to spare. */
static int run_one(const struct pst__inflate *tables, struct bits *b, struct out *out)
{
    refill(b);
    uint32_t entry = find(tables->symbols, PST_INFLATE_SYMBOL_BITS, b);
    size_t room = (size_t)(out->end - out->at);
    if (entry & ENTRY_LITERAL) {
        if (room == 0)
            return BLOCK_BAD;
        put_literal(b, &out->at, entry);
        return BLOCK_GOES_ON;
    }
    if (!(entry & ENTRY_COPY)) {
        drop(b, TAKEN(entry));
        return entry & ENTRY_END ? BLOCK_ENDS : BLOCK_BAD;
    }
    size_t length = take_value(b, entry);
    refill(b);
    entry = find(tables->places, PST_INFLATE_PLACE_BITS, b);
    size_t distance = take_value(b, entry);
    if (!(entry & ENTRY_COPY) || distance > (size_t)(out->at - out->start) || length > room)
        return BLOCK_BAD;
    for (; length > 0; length--, out->at++)
        *out->at = *(out->at - distance);
    return BLOCK_GOES_ON;
}

static int copy_stored(struct bits *b, struct out *out)
{
    drop(b, b->n_bits % 8);
    int n = take(b, 16), not_n = take(b, 16);
    if (n < 0 || not_n < 0 || (n ^ not_n) != 0xffff)
        return 0;
    b->in -= b->n_bits / 8;
    b->word = b->n_bits = 0;
    if (n > b->end - b->in || n > out->end - out->at)
        return 0;
    memcpy(out->at, b->in, (size_t)n);
    b->in += n;
    out->at += n;
    return 1;
}

static int run_block(struct pst__inflate *tables, struct bits *b, struct out *out)
{
    int kind = take(b, 2), rc = BLOCK_GOES_ON;
    if (kind == 0)
        return copy_stored(b, out);
    if (kind == 1 ? !build_fixed(tables) : kind != 2 || !read_codes(tables, b))
        return 0;
    while (rc == BLOCK_GOES_ON) {
        rc = run_fast(tables, b, out);
        if (rc == BLOCK_GOES_ON)
            rc = run_one(tables, b, out);
    }
    return rc == BLOCK_ENDS;
}

int pst__inflate_whole(struct pst__inflate *tables, uint8_t *out, size_t n_out, const uint8_t *in,
                       size_t n_in, uint32_t *checksum)
{
    struct bits b = {.in = in, .end = in + n_in};
    struct out to = {out, out, out + n_out};
    int method = take(&b, 8), flags = take(&b, 8);
    /* Deflate with a window of at most 32 KiB, no dictionary. */
    if (method < 0 || flags < 0 || (method & 15) != 8 || method >> 4 > 7 || flags & 32 ||
        (method << 8 | flags) % 31 != 0)
        return 0;
    for (int is_last = 0; !is_last;) {
        is_last = take(&b, 1);
        if (is_last < 0 || !run_block(tables, &b, &to))
            return 0;
    }
    drop(&b, b.n_bits % 8);
    *checksum = 0;
    for (int i = 0; i < 4; i++) {
        int byte = take(&b, 8);
        if (byte < 0)
            return 0;
        *checksum = *checksum << 8 | (uint32_t)byte;
    }
    return b.n_bits == 0 && b.in == b.end && to.at == to.end;
}
