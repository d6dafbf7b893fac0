/* SPDX-License-Identifier: Apache-2.0 */
#include "decode/webp_chunks.h"

#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/status.h"

#define TYPE(a, b, c, d)                                                                           \
    ((uint32_t)(d) << 24 | (uint32_t)(c) << 16 | (uint32_t)(b) << 8 | (uint32_t)(a))
#define RIFF TYPE('R', 'I', 'F', 'F')
#define WEBP TYPE('W', 'E', 'B', 'P')
#define VP8 TYPE('V', 'P', '8', ' ')
#define VP8L TYPE('V', 'P', '8', 'L')
#define VP8X TYPE('V', 'P', '8', 'X')
#define ALPH TYPE('A', 'L', 'P', 'H')
#define ANIM TYPE('A', 'N', 'I', 'M')
#define ANMF TYPE('A', 'N', 'M', 'F')

#define CHUNK_HEADER_BYTES 8
#define RIFF_HEADER_BYTES 12
#define VP8X_BYTES 10
#define ANIM_BYTES 6
#define ANMF_BYTES 16
#define EXIF TYPE('E', 'X', 'I', 'F')
#define XMP TYPE('X', 'M', 'P', ' ')
#define ANIMATION_FLAG 2
#define XMP_FLAG 4
#define EXIF_FLAG 8
#define KNOWN_FLAGS 0x3e
/* Chunks of one file; the walk over them is what opening costs. */
#define MAX_CHUNKS 4096

struct chunk {
    uint32_t type, size;
    const uint8_t *start; /* of its header */
    const uint8_t *data;
    size_t offset; /* of the chunk in the file */
};

struct walk {
    const uint8_t *file;
    size_t file_size;
    struct pst__bytes bytes; /* the RIFF chunk */
    struct pst__webp_chunks *out;
    struct pst_error *err;
    int n_chunks;
    uint32_t flags;    /* of VP8X */
    int has_animation; /* one of them */
    int n_images;      /* still images, or frames */
    int has_anim;
};

/* One frame's bitstream. */
struct frame {
    int32_t width, height;
    int is_lossless;
    struct chunk image, alpha; /* alpha.data NULL where there is none */
};

int pst__webp_has_signature(const uint8_t *data, size_t size)
{
    struct pst__bytes b = pst__bytes_over(data, size);
    int is_riff = pst__bytes_le32(&b) == RIFF;
    pst__bytes_le32(&b);
    int is_webp = pst__bytes_le32(&b) == WEBP;
    uint32_t type = pst__bytes_le32(&b);
    return is_riff && is_webp && !b.over && (type == VP8 || type == VP8L || type == VP8X);
}

static int bad(struct walk *walk, int status, size_t offset, const char *why)
{
    return pst__fail_at(walk->err, status, (int64_t)offset, "WebP %s", why);
}

/* The next chunk of `bytes`, with its padding. */
static int read_chunk(struct walk *walk, struct pst__bytes *bytes, struct chunk *chunk)
{
    chunk->start = bytes->data + bytes->pos;
    chunk->offset = (size_t)(chunk->start - walk->file);
    if (++walk->n_chunks > MAX_CHUNKS)
        return bad(walk, PST_ELIMIT, chunk->offset, "has too many chunks");
    chunk->type = pst__bytes_le32(bytes);
    chunk->size = pst__bytes_le32(bytes);
    chunk->data = pst__bytes_take(bytes, (size_t)chunk->size + (chunk->size & 1));
    if (bytes->over)
        return pst__fail_at(walk->err, PST_ETRUNCATED, (int64_t)chunk->offset,
                            "WebP chunk of %u bytes ends after what holds it", chunk->size);
    return PST_OK;
}

static size_t padded_bytes(const struct chunk *chunk)
{
    return CHUNK_HEADER_BYTES + (size_t)chunk->size + (chunk->size & 1);
}

/* RFC 6386, 9.1; the checks are libwebp's. */
static int read_lossy(struct walk *walk, struct frame *frame)
{
    struct pst__bytes b = pst__bytes_over(frame->image.data, frame->image.size);
    uint32_t tag = pst__bytes_le24(&b), signature = pst__bytes_le24(&b);
    frame->width = pst__bytes_le16(&b) & 0x3fff;
    frame->height = pst__bytes_le16(&b) & 0x3fff;
    int is_inter = tag & 1, is_shown = tag >> 4 & 1;
    uint32_t profile = tag >> 1 & 7, partition_bytes = tag >> 5;
    if (b.over || signature != 0x2a019d || is_inter || !is_shown || profile > 3 ||
        partition_bytes >= frame->image.size - b.pos || !frame->width || !frame->height)
        return bad(walk, PST_EFORMAT, frame->image.offset, "has a VP8 chunk without a key frame");
    return PST_OK;
}

/* RFC 9649, 3.4. */
static int read_lossless(struct walk *walk, struct frame *frame)
{
    struct pst__bytes b = pst__bytes_over(frame->image.data, frame->image.size);
    int signature = pst__bytes_u8(&b);
    uint32_t bits = pst__bytes_le32(&b);
    frame->width = (int32_t)(bits & 0x3fff) + 1;
    frame->height = (int32_t)(bits >> 14 & 0x3fff) + 1;
    frame->is_lossless = 1;
    if (b.over || signature != 0x2f || bits >> 29 != 0)
        return bad(walk, PST_EFORMAT, frame->image.offset, "has a VP8L chunk without its header");
    return PST_OK;
}

/* [ALPH] VP8 or VP8L, of which `first` has been read. */
static int read_frame(struct walk *walk, struct pst__bytes *bytes, const struct chunk *first,
                      struct frame *frame)
{
    *frame = (struct frame){.image = *first};
    if (first->type == ALPH) {
        frame->alpha = *first;
        int rc = read_chunk(walk, bytes, &frame->image);
        if (rc < 0)
            return rc;
        if (frame->image.type != VP8)
            return bad(walk, PST_EUNCLEAN, frame->image.offset, "has alpha without a VP8 chunk");
    }
    if (frame->image.type == VP8)
        return read_lossy(walk, frame);
    if (frame->image.type == VP8L)
        return read_lossless(walk, frame);
    return bad(walk, PST_EUNCLEAN, frame->image.offset, "has a frame that begins with no image");
}

static void take_frame(struct walk *walk, const struct frame *frame, int32_t x, int32_t y)
{
    struct pst__webp_chunks *out = walk->out;
    if (walk->n_images++ > 0)
        return;
    out->frame = (struct pst_rect){x, y, frame->width, frame->height};
    out->is_lossless = frame->is_lossless;
    out->image = frame->image.start;
    out->image_size = padded_bytes(&frame->image);
    out->alpha = frame->alpha.data;
    out->alpha_size = frame->alpha.size;
}

static int check_size(struct walk *walk, uint32_t w, uint32_t h)
{
    if (w > PST_MAX_SIDE || h > PST_MAX_SIDE || (uint64_t)w * h > PST_MAX_PIXELS ||
        (uint64_t)w * h > (uint64_t)walk->file_size * PST_MAX_RATIO)
        return pst__fail_at(walk->err, PST_ELIMIT, RIFF_HEADER_BYTES,
                            "WebP of %u x %u pixels in %zu bytes is over a limit", w, h,
                            walk->file_size);
    walk->out->width = (int32_t)w;
    walk->out->height = (int32_t)h;
    return PST_OK;
}

static int take_still(struct walk *walk, const struct chunk *first)
{
    struct frame frame;
    if (walk->n_images > 0 || walk->has_animation)
        return bad(walk, PST_EUNCLEAN, first->offset, "has an image more than its header says");
    int rc = read_frame(walk, &walk->bytes, first, &frame);
    if (rc < 0)
        return rc;
    if (frame.width != walk->out->width || frame.height != walk->out->height)
        return pst__fail_at(walk->err, PST_EUNCLEAN, (int64_t)first->offset,
                            "WebP canvas is %d x %d, its image %d x %d", walk->out->width,
                            walk->out->height, frame.width, frame.height);
    take_frame(walk, &frame, 0, 0);
    return PST_OK;
}

static int take_animation_frame(struct walk *walk, const struct chunk *chunk)
{
    struct pst__bytes b = pst__bytes_over(chunk->data, chunk->size);
    int64_t x = 2 * (int64_t)pst__bytes_le24(&b), y = 2 * (int64_t)pst__bytes_le24(&b);
    int64_t w = (int64_t)pst__bytes_le24(&b) + 1, h = (int64_t)pst__bytes_le24(&b) + 1;
    pst__bytes_take(&b, 4); /* duration, blending and disposal: nothing to a first frame */
    if (b.over || !walk->has_animation || !walk->has_anim)
        return bad(walk, PST_EUNCLEAN, chunk->offset, "has a frame out of place");
    if (x + w > walk->out->width || y + h > walk->out->height)
        return bad(walk, PST_EUNCLEAN, chunk->offset, "has a frame outside its canvas");
    struct chunk first;
    struct frame frame;
    int rc = read_chunk(walk, &b, &first);
    if (rc == PST_OK)
        rc = read_frame(walk, &b, &first, &frame);
    if (rc < 0)
        return rc;
    if (frame.width != w || frame.height != h || pst__bytes_left(&b) > 0)
        return bad(walk, PST_EUNCLEAN, chunk->offset, "has a frame that its image does not fill");
    take_frame(walk, &frame, (int32_t)x, (int32_t)y);
    return PST_OK;
}

/* Pillow keeps it, and looks into it when asked. libwebp gives it the first of a kind, and what the
 * flags do not announce not at all. */
static int take_metadata(struct walk *walk, const struct chunk *chunk)
{
    struct pst__metadata *metadata = &walk->out->metadata;
    if (chunk->type == EXIF && walk->flags & EXIF_FLAG && !metadata->exif) {
        metadata->exif = chunk->data;
        metadata->exif_size = chunk->size;
    }
    if (chunk->type == XMP && walk->flags & XMP_FLAG && !metadata->xmp) {
        metadata->xmp = chunk->data;
        metadata->xmp_size = chunk->size;
    }
    return PST_OK;
}

static int take_chunk(struct walk *walk, const struct chunk *chunk)
{
    switch (chunk->type) {
    case VP8:
    case VP8L:
    case ALPH:
        return take_still(walk, chunk);
    case ANIM:
        if (!walk->has_animation || walk->has_anim || chunk->size != ANIM_BYTES)
            return bad(walk, PST_EUNCLEAN, chunk->offset, "has an ANIM chunk out of place");
        walk->has_anim = 1;
        return PST_OK;
    case ANMF:
        return take_animation_frame(walk, chunk);
    case VP8X:
        return bad(walk, PST_EUNCLEAN, chunk->offset, "has two headers");
    default:
        return take_metadata(walk, chunk);
    }
}

static int read_extended(struct walk *walk, const struct chunk *header)
{
    struct pst__bytes b = pst__bytes_over(header->data, header->size);
    uint32_t flags = pst__bytes_le32(&b);
    uint32_t w = pst__bytes_le24(&b) + 1, h = pst__bytes_le24(&b) + 1;
    if (header->size != VP8X_BYTES || flags & ~(uint32_t)KNOWN_FLAGS)
        return bad(walk, PST_EUNCLEAN, header->offset, "has an unknown kind of VP8X header");
    walk->flags = flags;
    walk->has_animation = (flags & ANIMATION_FLAG) != 0;
    int rc = check_size(walk, w, h);
    while (rc == PST_OK && pst__bytes_left(&walk->bytes) > 0) {
        struct chunk chunk;
        rc = read_chunk(walk, &walk->bytes, &chunk);
        if (rc == PST_OK)
            rc = take_chunk(walk, &chunk);
    }
    if (rc == PST_OK && walk->n_images == 0)
        rc = bad(walk, PST_EUNCLEAN, header->offset, "has no image");
    return rc;
}

static int read_simple(struct walk *walk, const struct chunk *image)
{
    struct frame frame;
    int rc = read_frame(walk, &walk->bytes, image, &frame);
    if (rc == PST_OK)
        rc = check_size(walk, (uint32_t)frame.width, (uint32_t)frame.height);
    if (rc < 0)
        return rc;
    if (pst__bytes_left(&walk->bytes) > 0)
        return bad(walk, PST_EUNCLEAN, image->offset, "has chunks behind a simple image");
    take_frame(walk, &frame, 0, 0);
    return PST_OK;
}

/* Image.open() asks its plugins one after the other, and some that come before WebP's take a file
 * without looking at its first bytes. These two could be misled: Photo CD, which looks at one
 * place, and Spider, which looks for whole numbers as floats; the kind of image is one of them. */
static int is_taken_by_another(const uint8_t *data, size_t size)
{
    static const float spider_kinds[] = {1, 3, -11, -12, -21, -22};
    static const char photo_cd[] = "PCD_";
    if (size >= 2048 + 4 && memcmp(data + 2048, photo_cd, 4) == 0)
        return 1;
    struct pst__bytes b = pst__bytes_over(data, size);
    pst__bytes_take(&b, 16);
    uint32_t bits = pst__bytes_be32(&b);
    for (size_t i = 0; i < PST_COUNTOF(spider_kinds); i++) {
        uint32_t kind;
        memcpy(&kind, &spider_kinds[i], sizeof kind);
        if (bits == kind)
            return 1;
    }
    return 0;
}

/* And the IM plugin: lines of "Key: value" from the first byte on, one of the keys known. */
static int is_like_im(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {"Comment",    "Date",       "Digitalization", "File size",
                                       "Lut",        "Name",       "Scale",          "Image size",
                                       "Image type", "Image type "};
    enum { MAX_LINE = 101 };
    while (size > 0) {
        size_t room = size < MAX_LINE ? size : MAX_LINE;
        const uint8_t *end = memchr(data, '\n', room);
        size_t n = end ? (size_t)(end - data) + 1 : room;
        if (data[0] == '\r')
            n = 1;
        else if (!end || !memchr(data, ':', n))
            return 0;
        for (size_t i = 0; i < PST_COUNTOF(keys); i++) {
            if (n > strlen(keys[i]) && memcmp(data, keys[i], strlen(keys[i])) == 0)
                return 1;
        }
        data += n;
        size -= n;
    }
    return 0;
}

int pst__webp_read_chunks(struct pst__webp_chunks *chunks, const uint8_t *data, size_t size,
                          struct pst_error *err)
{
    struct walk walk = {.file = data, .file_size = size, .out = chunks, .err = err};
    *chunks = (struct pst__webp_chunks){0};
    if (!pst__webp_has_signature(data, size))
        return bad(&walk, PST_EFORMAT, 0, "signature is missing");
    struct pst__bytes b = pst__bytes_over(data, size);
    pst__bytes_take(&b, 4);
    uint32_t riff_size = pst__bytes_le32(&b);
    if (riff_size > size - CHUNK_HEADER_BYTES)
        return pst__fail_at(err, PST_ETRUNCATED, 4, "WebP of %zu bytes says that it has %u", size,
                            riff_size);
    if (riff_size < RIFF_HEADER_BYTES)
        return bad(&walk, PST_EFORMAT, 4, "says that it has no chunk");
    if (is_taken_by_another(data, size) || is_like_im(data, size))
        return bad(&walk, PST_EUNSUPPORTED, 0, "looks like another format too");
    chunks->end = CHUNK_HEADER_BYTES + (size_t)riff_size + (riff_size & 1);
    /* What is behind the RIFF chunk is not looked at, as in libwebp. */
    walk.bytes = pst__bytes_over(data, CHUNK_HEADER_BYTES + (size_t)riff_size);
    pst__bytes_take(&walk.bytes, RIFF_HEADER_BYTES);
    struct chunk first;
    int rc = read_chunk(&walk, &walk.bytes, &first);
    if (rc < 0)
        return rc;
    return first.type == VP8X ? read_extended(&walk, &first) : read_simple(&walk, &first);
}
