/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "decode/codec.h"

/* Probe and decode of a region of a JPEG. The first five bytes say which region and how many rows a
 * call; the rest is the file. */
#define HEAD 5
/* Above it one input takes seconds under the sanitizers. */
#define MAX_FUZZ_PIXELS (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pst_rect region_of(const uint8_t *head, const struct pst_image_info *info)
{
    struct pst_rect r;
    r.x = head[0] * info->width / 256;
    r.y = head[1] * info->height / 256;
    r.w = 1 + head[2] * (info->width - r.x - 1) / 255;
    r.h = 1 + head[3] * (info->height - r.y - 1) / 255;
    return r;
}

static volatile unsigned keep_sum;

/* Touches every byte, so that the sanitizers see what was not written. */
static unsigned sum_rows(const uint8_t *rows, ptrdiff_t stride, int n_rows, int w)
{
    unsigned sum = 0;
    for (int i = 0; i < n_rows; i++) {
        for (int k = 0; k < 4 * w + PST_PAD; k++)
            sum += rows[i * stride + k];
    }
    return sum;
}

static int decode(void *state, const uint8_t *data, size_t size, const struct pst_image_info *info,
                  const struct pst_rect *region, int max_rows, int is_strict)
{
    struct pst_error err = {0};
    int rc = pst__codec_jpeg.start(state, data, size, info, region, &err);
    unsigned sum = 0;
    for (int left = region->h; rc == PST_OK && left > 0;) {
        const uint8_t *rows;
        ptrdiff_t stride;
        int n;
        rc = pst__codec_jpeg.rows(state, max_rows, &rows, &stride, &n, &err);
        if (rc < 0)
            break;
        sum += sum_rows(rows, stride, n, region->w);
        left -= n;
    }
    keep_sum = sum;
    if (rc == PST_OK)
        rc = (is_strict ? pst__codec_jpeg.finish_strict : pst__codec_jpeg.finish)(state, &err);
    else
        pst__codec_jpeg.abort(state);
    if (rc < 0 && (err.status != rc || !err.message[0]))
        abort();
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pst_image_info info;
    struct pst_error err = {0};
    if (size < HEAD)
        return 0;
    const uint8_t *file = data + HEAD;
    size -= HEAD;
    int64_t blocks = pst__mem_blocks();
    int rc = pst__codec_jpeg.probe(file, size, &info, &err);
    if (rc != PST_OK) {
        if (err.status != rc)
            abort();
        return 0;
    }
    if ((int64_t)info.width * info.height > MAX_FUZZ_PIXELS)
        return 0;
    void *state = NULL;
    if (pst__codec_jpeg.open(&state, &err) != PST_OK)
        return 0;
    struct pst_rect region = region_of(data, &info);
    struct pst_rect whole = {0, 0, info.width, info.height};
    int loose = decode(state, file, size, &info, &region, 1 + data[4], 0);
    /* The codec must be ready for another image after any of these. */
    decode(state, file, size, &info, &whole, whole.h, 0);
    /* The strict verdict is on the file, whatever the region, and never the laxer one. */
    int part = decode(state, file, size, &info, &region, 1 + data[4], 1);
    int all = decode(state, file, size, &info, &whole, whole.h, 1);
    if ((part == PST_OK) != (all == PST_OK) || (part == PST_OK && loose != PST_OK))
        abort();
    pst__codec_jpeg.close(state);
    if (pst__mem_blocks() != blocks)
        abort();
    return 0;
}
