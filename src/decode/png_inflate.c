/* SPDX-License-Identifier: Apache-2.0 */
#include "decode/png_inflate.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/status.h"

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
    *in = (struct pst__png_inflate){0};
}

int pst__png_inflate_start(struct pst__png_inflate *in, const struct pst__png_chunks *chunks,
                           const uint8_t *data, struct pst_error *err)
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
    if (rc != Z_OK)
        return pst__fail(err, PST_ENOMEM, "no memory to inflate a PNG");
    z->avail_in = 0;
    in->next_idat = data + chunks->first_idat;
    in->idat_left = chunks->idat_bytes;
    return PST_OK;
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

int pst__png_inflate_read(struct pst__png_inflate *in, uint8_t *out, size_t n,
                          struct pst_error *err)
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

int pst__png_inflate_end(struct pst__png_inflate *in, struct pst_error *err)
{
    z_stream *z = &in->z;
    uint8_t more;
    int rc = PST_OK;
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
