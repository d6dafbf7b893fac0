/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/image.h>

#include "base/limits.h"
#include "base/status.h"
#include "buffer/buffer.h"
#include "decode/decode.h"

#define ROWS_A_CALL 16

int pst_image_probe(struct pst_image_info *info, const void *data, size_t size,
                    struct pst_error *err)
{
    PST_REQUIRE(info && (data || size == 0), err, "info or data is NULL");
    struct pst_image_info found;
    int rc = pst__decode_probe(data, size, &found, err);
    if (rc == PST_OK)
        *info = found;
    return rc;
}

static void rgb_of_rgbx(uint8_t *to, const uint8_t *from, int n)
{
    for (int i = 0; i < n; i++, to += 3, from += 4) {
        to[0] = from[0];
        to[1] = from[1];
        to[2] = from[2];
    }
}

/* to: NULL where nobody wants the pixels. */
static int decode_into(uint8_t *to, struct pst__decoder *decoder, const struct pst_rect *region,
                       struct pst_error *err)
{
    for (int done = 0; done < region->h;) {
        const uint8_t *rows;
        ptrdiff_t stride;
        int n;
        int rc = pst__decode_rows(decoder, ROWS_A_CALL, &rows, &stride, &n, err);
        if (rc < 0)
            return rc;
        for (int i = 0; to && i < n; i++, to += 3 * (size_t)region->w)
            rgb_of_rgbx(to, rows + i * stride, region->w);
        done += n;
    }
    return pst__decode_finish(decoder, err);
}

int pst_image_decode(struct pst_tensor *out, const void *data, size_t size,
                     const struct pst_rect *region, struct pst_error *err)
{
    PST_REQUIRE(out && (data || size == 0), err, "out or data is NULL");
    struct pst_image_info info;
    struct pst__decoder *decoder = NULL;
    struct pst_buffer *buffer = NULL;
    int rc = pst__decode_probe(data, size, &info, err);
    if (rc < 0)
        return rc;
    struct pst_rect whole = {0, 0, info.width, info.height};
    if (!region)
        region = &whole;
    if ((rc = pst__decoder_new(&decoder, err)) < 0 ||
        (rc = pst__decode_start(decoder, data, size, &info, region, err)) < 0)
        goto fail;
    /* No overflow: start has checked that the region lies in an image within the limits. */
    rc = pst__buffer_new(&buffer, 3 * (size_t)region->w * (size_t)region->h, err);
    if (rc < 0)
        goto fail;
    rc = decode_into(pst_buffer_data(buffer), decoder, region, err);
    if (rc < 0)
        goto fail;
    const int64_t shape[] = {region->h, region->w, 3};
    pst__tensor_over(out, buffer, PST_U8, 3, shape);
    buffer = NULL;
fail:
    pst_buffer_unref(buffer);
    pst__decoder_free(decoder);
    return rc;
}

int pst_image_check(const void *data, size_t size, struct pst_error *err)
{
    PST_REQUIRE(data || size == 0, err, "data is NULL");
    struct pst_image_info info;
    struct pst__decoder *decoder = NULL;
    int rc = pst__decode_probe(data, size, &info, err);
    if (rc == PST_OK)
        rc = pst__decoder_new(&decoder, err);
    if (rc < 0)
        return rc;
    struct pst_rect whole = {0, 0, info.width, info.height};
    pst__decoder_set_strict(decoder, 1);
    rc = pst__decode_start(decoder, data, size, &info, &whole, err);
    if (rc == PST_OK)
        rc = decode_into(NULL, decoder, &whole, err);
    pst__decoder_free(decoder);
    return rc;
}
