/* SPDX-License-Identifier: Apache-2.0 */
#include "decode/png_inflate.h"

#include <string.h>

#include "base/bytes.h"
#include "base/status.h"
#include "kernels/kernels.h"

/* What 8192 bytes of a zlib stream of stored blocks hold is inflated at a time, ahead of the lines
 * that are asked for. Which of two damages is told depends on that and nothing else. */
#define PIECE 8192
#define ZLIB_HEADER_BYTES 2
#define STORED_BYTES 65535
#define STORED_HEADER_BYTES 5

static voidpf hook_alloc(voidpf opaque, uInt n, uInt size)
{
    (void)opaque;
    return pst__calloc(n, size, PST_MEM_SCRATCH);
}

static void hook_free(voidpf opaque, voidpf block)
{
    (void)opaque;
    pst__free(block);
}

void pst__png_inflate_reset(struct pst__png_inflate *in)
{
    if (in->has_memory)
        inflateEnd(&in->z);
    pst__scratch_reset(&in->lines);
    pst__scratch_reset(&in->joined);
    *in = (struct pst__png_inflate){0};
}

void pst__png_inflate_trim(struct pst__png_inflate *in)
{
    pst__scratch_trim(&in->lines);
    pst__scratch_trim(&in->joined);
}

size_t pst__png_inflate_bytes(const struct pst__png_inflate *in)
{
    return in->lines.size + in->joined.size;
}

/* Gives zlib the next IDAT chunk that is not empty; 0 when there is none. The walk over the chunks
 * has seen that they lie in the data. */
static int refill(struct pst__png_inflate *in)
{
    z_stream *z = &in->z;
    while (z->avail_in == 0 && in->idat_left > 0) {
        struct pst__bytes b = pst__bytes_over(in->next_idat, 4);
        uint32_t size = pst__bytes_be32(&b);
        z->next_in = (z_const Bytef *)in->next_idat + 8;
        z->avail_in = size;
        in->next_idat += PST_PNG_FRAME_BYTES + size;
        in->idat_left -= size;
    }
    return z->avail_in > 0;
}

/* One call of zlib; PST_END at the end of the stream. */
static int step(struct pst__png_inflate *in, struct pst_error *err)
{
    int has_input = refill(in);
    int rc = inflate(&in->z, Z_NO_FLUSH);
    switch (rc) {
    case Z_OK:
        return PST_OK;
    case Z_STREAM_END:
        return PST_END;
    case Z_MEM_ERROR:
        return pst__fail(err, PST_ENOMEM, "no memory to inflate a PNG");
    case Z_BUF_ERROR: /* no progress: there was room for output, so input is missing */
        return has_input ? PST_OK
                         : pst__fail(err, PST_ETRUNCATED, "PNG pixels end after %lu bytes",
                                     in->z.total_out);
    default:
        return pst__fail(err, PST_EFORMAT, "PNG pixels do not inflate after %lu bytes: %s",
                         in->z.total_out, in->z.msg ? in->z.msg : "unknown stream");
    }
}

static int start_zlib(struct pst__png_inflate *in, struct pst_error *err)
{
    z_stream *z = &in->z;
    int rc;
    if (in->has_memory) {
        rc = inflateReset(z);
    } else {
        *z = (z_stream){.zalloc = hook_alloc, .zfree = hook_free};
        rc = inflateInit(z);
        in->has_memory = rc == Z_OK;
    }
    z->avail_in = 0;
    return rc == Z_OK ? PST_OK : pst__fail(err, PST_ENOMEM, "no memory to inflate a PNG");
}

/* The next n bytes; less than that is PST_ETRUNCATED. */
static int read_bytes(struct pst__png_inflate *in, uint8_t *out, size_t n, struct pst_error *err)
{
    z_stream *z = &in->z;
    z->next_out = out;
    z->avail_out = (uInt)n;
    while (z->avail_out > 0) {
        int rc = step(in, err);
        if (rc == PST_END && z->avail_out > 0)
            return pst__fail(err, PST_ETRUNCATED, "PNG pixels end after %lu bytes", z->total_out);
        if (rc < 0)
            return rc;
    }
    return PST_OK;
}

/* The data of all IDAT chunks in one piece; NULL when memory is out. */
static const uint8_t *join(struct pst__png_inflate *in, size_t *size)
{
    struct pst__bytes b = pst__bytes_over(in->next_idat, 4);
    size_t n = pst__bytes_be32(&b), done = 0;
    *size = in->idat_left;
    if (n == in->idat_left)
        return in->next_idat + 8;
    if (!pst__scratch_reserve(&in->joined, in->idat_left))
        return NULL;
    const uint8_t *chunk = in->next_idat;
    while (done < in->idat_left) {
        b = pst__bytes_over(chunk, 4);
        n = pst__bytes_be32(&b);
        memcpy(in->joined.data + done, chunk + 8, n);
        done += n;
        chunk += PST_PNG_FRAME_BYTES + n;
    }
    return in->joined.data;
}

static int inflate_at_once(struct pst__png_inflate *in, struct pst_error *err)
{
    size_t size;
    const uint8_t *stream = join(in, &size);
    if (!stream || !pst__scratch_reserve(&in->lines, in->n_bytes))
        return pst__fail(err, PST_ENOMEM, "no memory to inflate a PNG");
    uint32_t checksum;
    in->is_whole =
        pst__inflate_whole(&in->tables, in->lines.data, in->n_bytes, stream, size, &checksum) &&
        checksum == pst__kernels()->adler32(in->lines.data, in->n_bytes);
    in->end = in->n_inflated = in->is_whole ? in->n_bytes : 0;
    return PST_OK;
}

int pst__png_inflate_start(struct pst__png_inflate *in, const struct pst__png_chunks *chunks,
                           const uint8_t *data, size_t n_bytes, size_t longest,
                           struct pst_error *err)
{
    in->next_idat = data + chunks->first_idat;
    in->idat_left = chunks->idat_bytes;
    in->n_bytes = n_bytes;
    in->n_inflated = in->before = in->at = in->end = 0;
    in->is_whole = 0;
    int rc = n_bytes <= PST_PNG_MOST_AT_ONCE ? inflate_at_once(in, err) : PST_OK;
    if (rc < 0 || in->is_whole)
        return rc;
    /* The line before, the next one and a piece; twice as much, since they are moved to the front
     * when the end is reached. */
    if (!pst__scratch_reserve(&in->lines, 2 * (2 * longest + 1 + PIECE)))
        return pst__fail(err, PST_ENOMEM, "no memory to inflate a PNG");
    return start_zlib(in, err);
}

/* Where the piece that begins at byte `from` of the lines ends. */
static size_t piece_end(size_t from, size_t n_bytes)
{
    size_t in_blocks = from + from / STORED_BYTES * STORED_HEADER_BYTES + STORED_HEADER_BYTES;
    size_t end = (in_blocks + ZLIB_HEADER_BYTES) / PIECE * PIECE + PIECE - ZLIB_HEADER_BYTES;
    size_t block = STORED_HEADER_BYTES + STORED_BYTES, rest = end % block;
    end =
        end / block * STORED_BYTES + (rest > STORED_HEADER_BYTES ? rest - STORED_HEADER_BYTES : 0);
    return end < n_bytes ? end : n_bytes;
}

static int inflate_piece(struct pst__png_inflate *in, struct pst_error *err)
{
    size_t n = piece_end(in->n_inflated, in->n_bytes) - in->n_inflated;
    if (n > in->lines.size - in->end) {
        memmove(in->lines.data, in->lines.data + in->before, in->end - in->before);
        in->at -= in->before;
        in->end -= in->before;
        in->before = 0;
    }
    int rc = read_bytes(in, in->lines.data + in->end, n, err);
    in->end += n;
    in->n_inflated += n;
    return rc;
}

int pst__png_inflate_line(struct pst__png_inflate *in, size_t n, struct pst__png_line *line,
                          struct pst_error *err)
{
    size_t left = in->n_bytes - in->n_inflated + (in->end - in->at), ahead = left > n;
    while (in->end - in->at < n + ahead) {
        int rc = inflate_piece(in, err);
        if (rc < 0)
            return rc;
    }
    line->bytes = in->lines.data + in->at;
    line->before = in->lines.data + in->before;
    line->next = ahead ? line->bytes + n : NULL;
    in->before = in->at;
    in->at += n;
    return PST_OK;
}

int pst__png_inflate_end(struct pst__png_inflate *in, struct pst_error *err)
{
    z_stream *z = &in->z;
    uint8_t more;
    int rc = PST_OK;
    if (in->is_whole)
        return PST_OK;
    z->next_out = &more;
    z->avail_out = 1;
    while (rc == PST_OK && z->avail_out > 0)
        rc = step(in, err);
    if (rc < 0)
        return rc;
    if (z->avail_out == 0)
        return pst__fail(err, PST_EUNCLEAN, "PNG has more pixels than its header says");
    if (z->avail_in > 0 || in->idat_left > 0)
        return pst__fail(err, PST_EUNCLEAN, "PNG has %zu bytes behind its zlib stream",
                         z->avail_in + in->idat_left);
    return PST_OK;
}
