/* SPDX-License-Identifier: Apache-2.0 */
#include "decode/png_chunks.h"

#include <string.h>

#include <zlib.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/status.h"

#define TYPE(a, b, c, d)                                                                           \
    ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))
#define IHDR TYPE('I', 'H', 'D', 'R')
#define PLTE TYPE('P', 'L', 'T', 'E')
#define IDAT TYPE('I', 'D', 'A', 'T')
#define IEND TYPE('I', 'E', 'N', 'D')
#define TRNS TYPE('t', 'R', 'N', 'S')

#define SIGNATURE_BYTES 8
#define IHDR_BYTES 13

/* Pillow's MAX_TEXT_CHUNK and MAX_TEXT_MEMORY; at these it raises. */
#define MAX_INFLATED (1u << 20)
#define MAX_TEXT (64u << 20)
/* A deflate stream cannot grow by more: 258 bytes for a length and a distance of one bit each. */
#define DEFLATE_GROWTH 1032

static const uint8_t signature[SIGNATURE_BYTES] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

struct chunk {
    uint32_t type;
    const uint8_t *data; /* NULL where only the header was asked for */
    uint32_t size;
    uint32_t crc;
    size_t offset; /* of the chunk in the file */
    char name[5];
};

struct walk {
    struct pst__bytes bytes;
    struct pst__png_chunks *out;
    struct pst_error *err;
    uint64_t text_bytes; /* Pillow counts the text of all chunks together */
    int has_transparency, has_idat, is_past_idat;
};

int pst__png_has_signature(const uint8_t *data, size_t size)
{
    return size >= SIGNATURE_BYTES && memcmp(data, signature, SIGNATURE_BYTES) == 0;
}

static int is_letter(uint8_t c)
{
    c |= 0x20;
    return c >= 'a' && c <= 'z';
}

/* Length and type. */
static int read_frame(struct walk *walk, struct chunk *chunk)
{
    *chunk = (struct chunk){.offset = walk->bytes.pos};
    chunk->size = pst__bytes_be32(&walk->bytes);
    const uint8_t *type = pst__bytes_take(&walk->bytes, 4);
    if (!type)
        return pst__fail_at(walk->err, PST_ETRUNCATED, (int64_t)chunk->offset,
                            "PNG ends before its IEND chunk");
    for (int i = 0; i < 4; i++) {
        if (!is_letter(type[i]))
            return pst__fail_at(walk->err, PST_EFORMAT, (int64_t)chunk->offset,
                                "PNG chunk type %02x%02x%02x%02x is not four letters", type[0],
                                type[1], type[2], type[3]);
    }
    memcpy(chunk->name, type, 4);
    chunk->type = TYPE(type[0], type[1], type[2], type[3]);
    if (chunk->size > INT32_MAX)
        return pst__fail_at(walk->err, PST_EFORMAT, (int64_t)chunk->offset,
                            "PNG chunk %s claims %u bytes, more than a chunk may have", chunk->name,
                            chunk->size);
    return PST_OK;
}

static int read_body(struct walk *walk, struct chunk *chunk)
{
    const uint8_t *type = walk->bytes.data + walk->bytes.pos - 4;
    chunk->data = pst__bytes_take(&walk->bytes, chunk->size);
    chunk->crc = pst__bytes_be32(&walk->bytes);
    if (walk->bytes.over)
        return pst__fail_at(walk->err, PST_ETRUNCATED, (int64_t)chunk->offset,
                            "PNG chunk %s of %u bytes ends after the file", chunk->name,
                            chunk->size);
    uint32_t crc = (uint32_t)crc32_z(0, type, 4 + (size_t)chunk->size);
    if (crc != chunk->crc)
        return pst__fail_at(walk->err, PST_EFORMAT, (int64_t)chunk->offset,
                            "PNG chunk %s has CRC %08x, its data has %08x", chunk->name, chunk->crc,
                            crc);
    return PST_OK;
}

static int bad_chunk(struct walk *walk, const struct chunk *chunk, int status, const char *why)
{
    return pst__fail_at(walk->err, status, (int64_t)chunk->offset, "PNG chunk %s %s", chunk->name,
                        why);
}

static int is_known_depth(int color_type, int bit_depth)
{
    switch (color_type) {
    case PST_PNG_GREY:
        return bit_depth == 1 || bit_depth == 2 || bit_depth == 4 || bit_depth == 8 ||
               bit_depth == 16;
    case PST_PNG_PALETTE:
        return bit_depth == 1 || bit_depth == 2 || bit_depth == 4 || bit_depth == 8;
    case PST_PNG_RGB:
    case PST_PNG_GREY_ALPHA:
    case PST_PNG_RGBA:
        return bit_depth == 8 || bit_depth == 16;
    default:
        return 0;
    }
}

static int check_size(struct walk *walk, const struct chunk *chunk, uint32_t w, uint32_t h)
{
    if (w == 0 || h == 0)
        return bad_chunk(walk, chunk, PST_EFORMAT, "gives an image without pixels");
    if (w > PST_MAX_SIDE || h > PST_MAX_SIDE || (uint64_t)w * h > PST_MAX_PIXELS ||
        (uint64_t)w * h > (uint64_t)walk->bytes.size * PST_MAX_RATIO)
        return pst__fail_at(walk->err, PST_ELIMIT, (int64_t)chunk->offset,
                            "PNG of %u x %u pixels in %zu bytes is over a limit", w, h,
                            walk->bytes.size);
    return PST_OK;
}

static int take_header(struct walk *walk, const struct chunk *chunk)
{
    if (chunk->type != IHDR || chunk->size != IHDR_BYTES)
        return pst__fail_at(walk->err, PST_EFORMAT, (int64_t)chunk->offset,
                            "PNG begins with a chunk %s of %u bytes, expected IHDR of %d",
                            chunk->name, chunk->size, IHDR_BYTES);
    struct pst__bytes b = pst__bytes_over(chunk->data, chunk->size);
    uint32_t w = pst__bytes_be32(&b), h = pst__bytes_be32(&b);
    int bit_depth = pst__bytes_u8(&b), color_type = pst__bytes_u8(&b);
    int compression = pst__bytes_u8(&b), filter = pst__bytes_u8(&b), interlace = pst__bytes_u8(&b);
    if (!is_known_depth(color_type, bit_depth))
        return pst__fail_at(walk->err, PST_EFORMAT, (int64_t)chunk->offset,
                            "PNG colour type %d with %d bits does not exist", color_type,
                            bit_depth);
    if (compression != 0 || filter != 0 || interlace > 1)
        return pst__fail_at(walk->err, PST_EFORMAT, (int64_t)chunk->offset,
                            "PNG compression %d, filter %d, interlace %d: expected 0, 0, 0 or 1",
                            compression, filter, interlace);
    int rc = check_size(walk, chunk, w, h);
    if (rc < 0)
        return rc;
    *walk->out = (struct pst__png_chunks){.width = (int32_t)w,
                                          .height = (int32_t)h,
                                          .bit_depth = bit_depth,
                                          .color_type = color_type,
                                          .interlaced = interlace};
    return PST_OK;
}

static int take_palette(struct walk *walk, const struct chunk *chunk)
{
    struct pst__png_chunks *out = walk->out;
    if (out->n_palette || walk->has_transparency || walk->has_idat)
        return bad_chunk(walk, chunk, PST_EUNCLEAN, "is repeated or out of place");
    if (out->color_type == PST_PNG_GREY || out->color_type == PST_PNG_GREY_ALPHA)
        return bad_chunk(walk, chunk, PST_EUNCLEAN, "stands in a grey image");
    uint32_t most = out->color_type == PST_PNG_PALETTE ? 1u << out->bit_depth : 256;
    if (chunk->size == 0 || chunk->size % 3 != 0 || chunk->size / 3 > most)
        return pst__fail_at(walk->err, PST_EFORMAT, (int64_t)chunk->offset,
                            "PNG palette of %u bytes, expected 3 for each of 1 to %u colours",
                            chunk->size, most);
    out->n_palette = (int)(chunk->size / 3);
    out->palette = chunk->data;
    return PST_OK;
}

static int take_transparency(struct walk *walk, const struct chunk *chunk)
{
    const struct pst__png_chunks *out = walk->out;
    if (walk->has_transparency || walk->has_idat)
        return bad_chunk(walk, chunk, PST_EUNCLEAN, "is repeated or out of place");
    walk->has_transparency = 1;
    int fits = 0;
    switch (out->color_type) {
    case PST_PNG_GREY:
        fits = chunk->size == 2;
        break;
    case PST_PNG_RGB:
        fits = chunk->size == 6;
        break;
    case PST_PNG_PALETTE:
        fits = chunk->size > 0 && chunk->size <= (uint32_t)out->n_palette;
        break;
    default:
        break;
    }
    return fits ? PST_OK : bad_chunk(walk, chunk, PST_EUNCLEAN, "does not fit the colour type");
}

/* zlib's memory, from the stack: a header is read without allocation. */
struct arena {
    size_t used;
    _Alignas(64) uint8_t block[72 << 10];
};

static voidpf arena_alloc(voidpf opaque, uInt n, uInt size)
{
    struct arena *arena = opaque;
    size_t bytes = ((size_t)n * size + 63) / 64 * 64;
    if (bytes > sizeof arena->block - arena->used)
        return NULL;
    arena->used += bytes;
    return arena->block + arena->used - bytes;
}

static void arena_free(voidpf opaque, voidpf block)
{
    (void)opaque;
    (void)block;
}

/* Whether the stream inflates cleanly to less than MAX_INFLATED bytes. *n_out is at least what
 * Pillow gets of it. */
static PST_NOINLINE int inflates_small(const uint8_t *data, size_t size, size_t *n_out)
{
    if (size < MAX_INFLATED / DEFLATE_GROWTH) {
        *n_out = size * DEFLATE_GROWTH;
        return 1;
    }
    struct arena arena;
    arena.used = 0;
    z_stream z = {.zalloc = arena_alloc, .zfree = arena_free, .opaque = &arena};
    if (inflateInit(&z) != Z_OK)
        return 0;
    uint8_t out[8192];
    int rc = Z_OK;
    z.next_in = (z_const Bytef *)data;
    z.avail_in = (uInt)size;
    *n_out = 0;
    while (rc == Z_OK && *n_out < MAX_INFLATED) {
        z.next_out = out;
        z.avail_out = sizeof out;
        rc = inflate(&z, Z_NO_FLUSH);
        *n_out += sizeof out - z.avail_out;
    }
    inflateEnd(&z);
    return rc == Z_STREAM_END && *n_out < MAX_INFLATED;
}

/* The bytes up to a NUL, which is skipped; without one the rest, and *found is 0. */
static struct pst__bytes take_string(struct pst__bytes *from, int *found)
{
    const uint8_t *start = from->data + from->pos;
    size_t left = pst__bytes_left(from);
    const uint8_t *nul = left ? memchr(start, 0, left) : NULL;
    *found = nul != NULL;
    struct pst__bytes string = pst__bytes_over(start, nul ? (size_t)(nul - start) : left);
    pst__bytes_take(from, nul ? string.size + 1 : left);
    return string;
}

static int take_compressed(struct walk *walk, const struct chunk *chunk, const struct pst__bytes *b,
                           size_t *n_out)
{
    if (!inflates_small(b->data + b->pos, pst__bytes_left(b), n_out))
        return bad_chunk(walk, chunk, PST_EUNCLEAN, "inflates to too much, or not cleanly");
    return PST_OK;
}

static int take_profile(struct walk *walk, const struct chunk *chunk)
{
    struct pst__bytes b = pst__bytes_over(chunk->data, chunk->size);
    int found;
    size_t n_out;
    take_string(&b, &found);
    int method = pst__bytes_u8(&b);
    if (!found || b.over || method != 0)
        return bad_chunk(walk, chunk, PST_EFORMAT, "is not a name and a deflated profile");
    return take_compressed(walk, chunk, &b, &n_out);
}

/* Pillow keeps text under its keyword among its own notes about the image. Under one of these names
 * it would steer the decoder. */
static int is_reserved(const struct pst__bytes *keyword)
{
    static const char *const names[] = {"interlace", "bbox",  "transparency", "default_image",
                                        "disposal",  "blend", "duration",     "loop"};
    for (size_t i = 0; i < PST_COUNTOF(names); i++) {
        if (keyword->size == strlen(names[i]) &&
            memcmp(keyword->data, names[i], keyword->size) == 0)
            return 1;
    }
    return 0;
}

static int take_text(struct walk *walk, const struct chunk *chunk)
{
    struct pst__bytes b = pst__bytes_over(chunk->data, chunk->size);
    int found;
    struct pst__bytes keyword = take_string(&b, &found);
    size_t n_text = chunk->size;
    if (is_reserved(&keyword))
        return bad_chunk(walk, chunk, PST_EUNCLEAN, "has a keyword that Pillow uses itself");
    if (!found && chunk->type != TYPE('t', 'E', 'X', 't'))
        return bad_chunk(walk, chunk, PST_EUNCLEAN, "has no end of its keyword");
    int is_deflated = chunk->type == TYPE('z', 'T', 'X', 't'), method = 0;
    if (is_deflated)
        method = pst__bytes_u8(&b);
    if (chunk->type == TYPE('i', 'T', 'X', 't')) {
        is_deflated = pst__bytes_u8(&b);
        method = pst__bytes_u8(&b);
        take_string(&b, &found); /* language */
        if (found)
            take_string(&b, &found); /* translated keyword */
    }
    if (!found && chunk->type == TYPE('i', 'T', 'X', 't'))
        return bad_chunk(walk, chunk, PST_EUNCLEAN, "has no text");
    if (b.over || is_deflated > 1 || method != 0)
        return bad_chunk(walk, chunk, PST_EUNCLEAN, "has an unknown compression");
    if (is_deflated) {
        int rc = take_compressed(walk, chunk, &b, &n_text);
        if (rc < 0)
            return rc;
    }
    walk->text_bytes += n_text;
    return walk->text_bytes <= MAX_TEXT ? PST_OK
                                        : bad_chunk(walk, chunk, PST_ELIMIT, "has too much text");
}

static int take_sized(struct walk *walk, const struct chunk *chunk, uint32_t size)
{
    if (chunk->size != size)
        return pst__fail_at(walk->err, PST_EUNCLEAN, (int64_t)chunk->offset,
                            "PNG chunk %s has %u bytes, expected %u", chunk->name, chunk->size,
                            size);
    return PST_OK;
}

/* Everything but IHDR, IDAT and IEND. What Pillow looks into must be well-formed; it only reads
 * over the other ancillary chunks. */
static int take_other(struct walk *walk, const struct chunk *chunk)
{
    switch (chunk->type) {
    case PLTE:
        return take_palette(walk, chunk);
    case TRNS:
        return take_transparency(walk, chunk);
    case TYPE('g', 'A', 'M', 'A'):
        return take_sized(walk, chunk, 4);
    case TYPE('c', 'H', 'R', 'M'):
        return take_sized(walk, chunk, 32);
    case TYPE('s', 'R', 'G', 'B'):
        return take_sized(walk, chunk, 1);
    case TYPE('p', 'H', 'Y', 's'):
        return take_sized(walk, chunk, 9);
    case TYPE('i', 'C', 'C', 'P'):
        return take_profile(walk, chunk);
    case TYPE('t', 'E', 'X', 't'):
    case TYPE('z', 'T', 'X', 't'):
    case TYPE('i', 'T', 'X', 't'):
        return take_text(walk, chunk);
    case TYPE('a', 'c', 'T', 'L'):
    case TYPE('f', 'c', 'T', 'L'):
    case TYPE('f', 'd', 'A', 'T'):
        return bad_chunk(walk, chunk, PST_EUNSUPPORTED, "belongs to an animation");
    default:
        if (!(chunk->name[0] & 0x20))
            return bad_chunk(walk, chunk, PST_EUNSUPPORTED, "is critical and unknown or repeated");
        return PST_OK;
    }
}

static int begin_idat(struct walk *walk, const struct chunk *chunk)
{
    struct pst__png_chunks *out = walk->out;
    if (walk->is_past_idat)
        return bad_chunk(walk, chunk, PST_EUNCLEAN, "is apart from the others");
    if (walk->has_idat)
        return PST_OK;
    walk->has_idat = 1;
    out->first_idat = chunk->offset;
    if (out->color_type == PST_PNG_PALETTE && !out->n_palette)
        return bad_chunk(walk, chunk, PST_EUNCLEAN, "comes without a palette before it");
    return PST_OK;
}

/* One chunk; PST_END after the last one that is wanted. */
static int take_chunk(struct walk *walk, int head_only)
{
    struct chunk chunk;
    int rc = read_frame(walk, &chunk);
    if (rc < 0)
        return rc;
    if (chunk.type == IDAT) {
        rc = begin_idat(walk, &chunk);
        if (rc < 0 || head_only)
            return rc < 0 ? rc : PST_END;
    } else {
        walk->is_past_idat = walk->has_idat;
    }
    rc = read_body(walk, &chunk);
    if (rc < 0)
        return rc;
    if (chunk.type == IDAT) {
        walk->out->idat_bytes += chunk.size;
        return PST_OK;
    }
    if (chunk.type != IEND)
        return take_other(walk, &chunk);
    if (chunk.size || !walk->has_idat)
        return bad_chunk(walk, &chunk, PST_EFORMAT, "is not empty or comes before the pixels");
    walk->out->end = walk->bytes.pos;
    return PST_END;
}

static int read_chunks(struct pst__png_chunks *chunks, const uint8_t *data, size_t size,
                       int head_only, struct pst_error *err)
{
    struct walk walk = {.bytes = pst__bytes_over(data, size), .out = chunks, .err = err};
    struct chunk header;
    if (size > PST_MAX_RECORD)
        return pst__fail(err, PST_ELIMIT, "PNG of %zu bytes is over the limit of %u", size,
                         PST_MAX_RECORD);
    if (!pst__png_has_signature(data, size))
        return pst__fail_at(err, PST_EFORMAT, 0, "no PNG signature");
    pst__bytes_take(&walk.bytes, SIGNATURE_BYTES);
    int rc = read_frame(&walk, &header);
    if (rc == PST_OK)
        rc = read_body(&walk, &header);
    if (rc == PST_OK)
        rc = take_header(&walk, &header);
    while (rc == PST_OK)
        rc = take_chunk(&walk, head_only);
    return rc == PST_END ? PST_OK : rc;
}

int pst__png_read_head(struct pst__png_chunks *chunks, const uint8_t *data, size_t size,
                       struct pst_error *err)
{
    return read_chunks(chunks, data, size, 1, err);
}

int pst__png_read_all(struct pst__png_chunks *chunks, const uint8_t *data, size_t size,
                      struct pst_error *err)
{
    return read_chunks(chunks, data, size, 0, err);
}
