/* SPDX-License-Identifier: Apache-2.0 */
#include "decode/decode.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "decode/codec.h"

/* Finds the codec and sees to it that the calls come in order; the work is in the codecs. */

struct pst__decoder {
    void *states[PST_N_CODECS]; /* made when a format is met for the first time */
    int active;                 /* codec at work, or -1 */
    int rows_left;
    int is_strict;
};

/* The index of the codec for these bytes, whatever the file's name says; -1 if there is none. */
static int find_codec(const uint8_t *data, size_t size)
{
    for (int i = 0; i < PST_N_CODECS; i++) {
        if (pst__codecs[i]->matches(data, size))
            return i;
    }
    return -1;
}

int pst__decode_probe(const uint8_t *data, size_t size, struct pst_image_info *info,
                      struct pst_error *err)
{
    if (size > PST_MAX_RECORD)
        return pst__fail(err, PST_ELIMIT, "image of %zu bytes, more than %u", size, PST_MAX_RECORD);
    int codec = find_codec(data, size);
    if (codec < 0)
        return pst__fail_at(err, PST_EUNSUPPORTED, 0,
                            "not an image of a format that the native decoders know");
    return pst__codecs[codec]->probe(data, size, info, err);
}

size_t pst__decode_cost(const uint8_t *data, size_t size, const struct pst_image_info *info)
{
    int codec = find_codec(data, size);
    return codec >= 0 && pst__codecs[codec]->cost ? pst__codecs[codec]->cost(data, size, info) : 0;
}

int pst__decoder_new(struct pst__decoder **out, struct pst_error *err)
{
    struct pst__decoder *decoder = pst__calloc(1, sizeof *decoder, PST_MEM_HEAP);
    if (!decoder)
        return pst__fail(err, PST_ENOMEM, "no memory for a decoder");
    decoder->active = -1;
    *out = decoder;
    return PST_OK;
}

void pst__decoder_free(struct pst__decoder *decoder)
{
    if (!decoder)
        return;
    for (int i = 0; i < PST_N_CODECS; i++) {
        if (decoder->states[i])
            pst__codecs[i]->close(decoder->states[i]);
    }
    pst__free(decoder);
}

size_t pst__decoder_bytes(const struct pst__decoder *decoder)
{
    size_t bytes = sizeof *decoder;
    for (int i = 0; i < PST_N_CODECS; i++) {
        if (decoder->states[i])
            bytes += pst__codecs[i]->bytes(decoder->states[i]);
    }
    return bytes;
}

void pst__decoder_set_strict(struct pst__decoder *decoder, int is_strict)
{
    decoder->is_strict = is_strict;
}

static void stop(struct pst__decoder *decoder)
{
    if (decoder->active >= 0)
        pst__codecs[decoder->active]->abort(decoder->states[decoder->active]);
    decoder->active = -1;
    decoder->rows_left = 0;
}

static int is_inside(const struct pst_rect *region, const struct pst_image_info *info)
{
    return region->x >= 0 && region->y >= 0 && region->w > 0 && region->h > 0 &&
           region->w <= info->width && region->h <= info->height &&
           region->x <= info->width - region->w && region->y <= info->height - region->h;
}

int pst__decode_start(struct pst__decoder *decoder, const uint8_t *data, size_t size,
                      const struct pst_image_info *info, const struct pst_rect *region,
                      struct pst_error *err)
{
    stop(decoder);
    PST_REQUIRE(
        is_inside(region, info), err,
        "region of %d x %d pixels at %d, %d does not lie in the %d x %d pixels of the image",
        region->w, region->h, region->x, region->y, info->width, info->height);
    int codec = find_codec(data, size);
    PST_REQUIRE(codec >= 0 && pst__codecs[codec]->format == info->format, err,
                "image is not the one that was probed");
    void **state = &decoder->states[codec];
    int rc = *state ? PST_OK : pst__codecs[codec]->open(state, err);
    if (rc < 0)
        return rc;
    rc = pst__codecs[codec]->start(*state, data, size, info, region, err);
    if (rc < 0) {
        pst__codecs[codec]->abort(*state);
        return rc;
    }
    decoder->active = codec;
    decoder->rows_left = region->h;
    return PST_OK;
}

int pst__decode_rows(struct pst__decoder *decoder, int max_rows, const uint8_t **rows,
                     ptrdiff_t *stride, int *n_rows, struct pst_error *err)
{
    PST_REQUIRE(decoder->active >= 0 && decoder->rows_left > 0 && max_rows > 0, err,
                "no rows are left, or none were asked for");
    int rc = pst__codecs[decoder->active]->rows(decoder->states[decoder->active], max_rows, rows,
                                                stride, n_rows, err);
    if (rc < 0)
        stop(decoder);
    else
        decoder->rows_left -= *n_rows;
    return rc;
}

int pst__decode_finish(struct pst__decoder *decoder, struct pst_error *err)
{
    PST_REQUIRE(decoder->active >= 0 && decoder->rows_left == 0, err,
                "rows of the region are left, or nothing was started");
    const struct pst__codec *codec = pst__codecs[decoder->active];
    int rc = (decoder->is_strict ? codec->finish_strict
                                 : codec->finish)(decoder->states[decoder->active], err);
    stop(decoder);
    return rc;
}
