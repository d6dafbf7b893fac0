/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>
#include <jerror.h>

#include "base/mem.h"
#include "base/status.h"
#include "decode/codec.h"
#include "decode/jpeg_coefficients.h"
#include "decode/jpeg_markers.h"

/* libjpeg-turbo, with its defaults, as Pillow uses it. A warning is a failure here: what libjpeg
 * mends is not vouched for. libjpeg leaves a call by longjmp, back into the function of this file
 * that made it; what those functions need afterwards is in struct jpeg.
 *
 * The libjpeg object is made anew for each image (some microseconds): tables of one image then
 * cannot serve another, which is what libjpeg would do with abbreviated streams. */

#define PIXEL 4
#define ROWS_A_CALL 32
/* Columns decoded beside the region: the upsampling of chroma mixes neighbours, and treats the edge
 * of a cropped row as the edge of the image. */
#define MARGIN 1
/* libjpeg changes the way of upsampling for rows that are cropped to next to nothing. */
#define MIN_CROP 64

/* libjpeg-turbo's colour conversion writes rows that are aligned past the cache, to memory; but
 * they are read again at once. So the rows begin this far from an aligned place. */
#define MISALIGN 8

struct jpeg {
    struct jpeg_decompress_struct cinfo; /* first: libjpeg hands it back, and this is found by it */
    struct pst__jpeg_coefficients coefficients;
    struct jpeg_error_mgr handlers;
    struct jpeg_source_mgr source;
    jmp_buf leave;
    struct pst_error *err; /* of the call at hand */
    int status;            /* why it was left by longjmp */
    int is_active;         /* cinfo is to be destroyed */
    const uint8_t *data;
    size_t size;
    size_t scan_offset; /* where the first scan's entropy-coded data begin */
    struct pst_rect region;
    int rows_left;
    size_t skip;      /* bytes from the start of a decoded row to the region */
    ptrdiff_t stride; /* of the decoded rows */
    struct pst__scratch strip;
};

static size_t offset_of(const struct jpeg *jpeg)
{
    return jpeg->size - jpeg->source.bytes_in_buffer;
}

static int status_of_error(int code)
{
    return code == JERR_OUT_OF_MEMORY ? PST_ENOMEM : PST_EFORMAT;
}

static _Noreturn void leave_with(struct jpeg *jpeg, int status)
{
    char text[JMSG_LENGTH_MAX];
    jpeg->handlers.format_message((j_common_ptr)&jpeg->cinfo, text);
    jpeg->status = pst__fail_at(jpeg->err, status, (int64_t)offset_of(jpeg), "libjpeg: %s", text);
    longjmp(jpeg->leave, 1);
}

static void on_error(j_common_ptr cinfo)
{
    leave_with((struct jpeg *)cinfo, status_of_error(cinfo->err->msg_code));
}

static void on_message(j_common_ptr cinfo, int level)
{
    /* Below 0 are warnings, from 0 on traces. A restart marker where there are no data is one of
     * these, and out of place. */
    if (level < 0 || cinfo->err->msg_code == JTRC_PARMLESS_MARKER)
        leave_with((struct jpeg *)cinfo, PST_EUNCLEAN);
}

static void on_output(j_common_ptr cinfo)
{
    (void)cinfo;
}

static void source_nothing(j_decompress_ptr cinfo)
{
    (void)cinfo;
}

static boolean source_is_empty(j_decompress_ptr cinfo)
{
    struct jpeg *jpeg = (struct jpeg *)cinfo;
    jpeg->status =
        pst__fail_at(jpeg->err, PST_ETRUNCATED, (int64_t)jpeg->size, "JPEG ends before its data");
    longjmp(jpeg->leave, 1);
}

static void source_skip(j_decompress_ptr cinfo, long n)
{
    struct jpeg_source_mgr *source = cinfo->src;
    if (n <= 0)
        return;
    if ((size_t)n > source->bytes_in_buffer)
        source_is_empty(cinfo);
    source->next_input_byte += n;
    source->bytes_in_buffer -= (size_t)n;
}

static int jpeg_probe(const uint8_t *data, size_t size, struct pst_image_info *info,
                      struct pst_error *err)
{
    struct pst__jpeg_header header;
    int rc = pst__jpeg_read_markers(&header, data, size, err);
    if (rc < 0)
        return rc;
    *info =
        (struct pst_image_info){PST_IMAGE_JPEG, header.width, header.height, header.orientation};
    return PST_OK;
}

static int jpeg_open(void **state, struct pst_error *err)
{
    struct jpeg *jpeg = pst__calloc(1, sizeof *jpeg, PST_MEM_HEAP);
    if (!jpeg)
        return pst__fail(err, PST_ENOMEM, "no memory for a JPEG decoder");
    *state = jpeg;
    return PST_OK;
}

static void jpeg_stop(void *state)
{
    struct jpeg *jpeg = state;
    if (jpeg->is_active)
        jpeg_destroy_decompress(&jpeg->cinfo);
    pst__jpeg_coefficients_reset(&jpeg->coefficients);
    jpeg->is_active = 0;
    jpeg->rows_left = 0;
    pst__scratch_trim(&jpeg->strip);
}

static void jpeg_close(void *state)
{
    struct jpeg *jpeg = state;
    if (!jpeg)
        return;
    jpeg_stop(jpeg);
    pst__scratch_reset(&jpeg->strip);
    pst__free(jpeg);
}

static void connect(struct jpeg *jpeg)
{
    struct jpeg_error_mgr *handlers = &jpeg->handlers;
    jpeg->cinfo = (struct jpeg_decompress_struct){0};
    jpeg->cinfo.err = jpeg_std_error(handlers);
    handlers->error_exit = on_error;
    handlers->emit_message = on_message;
    handlers->output_message = on_output;
    jpeg->cinfo.client_data = &jpeg->coefficients;
    jpeg->source = (struct jpeg_source_mgr){.next_input_byte = jpeg->data,
                                            .bytes_in_buffer = jpeg->size,
                                            .init_source = source_nothing,
                                            .fill_input_buffer = source_is_empty,
                                            .skip_input_data = source_skip,
                                            .resync_to_restart = jpeg_resync_to_restart,
                                            .term_source = source_nothing};
}

/* Restricts the rows to the region and what lies beside it. */
static void crop(struct jpeg *jpeg)
{
    struct jpeg_decompress_struct *cinfo = &jpeg->cinfo;
    const struct pst_rect *r = &jpeg->region;
    int width = (int)cinfo->output_width;
    int left = r->x - MARGIN, right = r->x + r->w + MARGIN;
    if (right - left < MIN_CROP)
        right = left + MIN_CROP;
    if (right > width) {
        right = width;
        left = right - MIN_CROP < left ? right - MIN_CROP : left;
    }
    if (left < 0)
        left = 0;
    JDIMENSION first = (JDIMENSION)left, n = (JDIMENSION)(right - left);
    /* It moves `first` to the left, onto a border of blocks. */
    if (left > 0 || right < width)
        jpeg_crop_scanline(cinfo, &first, &n);
    jpeg->skip = (size_t)(r->x - (int)first) * PIXEL;
}

static ptrdiff_t stride_for(size_t row_bytes)
{
    size_t stride = (row_bytes + PST_ALIGN - 1) / PST_ALIGN * PST_ALIGN;
    /* Rows a multiple of 1024 bytes apart fall into the same cache sets. */
    return (ptrdiff_t)(stride % 1024 == 0 ? stride + PST_ALIGN : stride);
}

static int start(struct jpeg *jpeg, const struct pst_image_info *info)
{
    struct jpeg_decompress_struct *cinfo = &jpeg->cinfo;
    if (setjmp(jpeg->leave))
        return jpeg->status;
    jpeg->is_active = 1;
    jpeg_create_decompress(cinfo);
    pst__jpeg_coefficients_connect(cinfo);
    cinfo->src = &jpeg->source;
    jpeg_read_header(cinfo, TRUE);
    jpeg->scan_offset = offset_of(jpeg);
    if ((int64_t)cinfo->image_width != info->width || (int64_t)cinfo->image_height != info->height)
        return pst__fail(jpeg->err, PST_EINVAL, "JPEG is %u x %u pixels, probe said %d x %d",
                         cinfo->image_width, cinfo->image_height, info->width, info->height);
    cinfo->out_color_space = cinfo->num_components == 4 ? JCS_CMYK : JCS_EXT_RGBX;
    /* With several scans this reads the file to its end marker. */
    jpeg_start_decompress(cinfo);
    crop(jpeg);
    jpeg->stride = stride_for((size_t)cinfo->output_width * PIXEL);
    if (jpeg->region.y > 0)
        jpeg_skip_scanlines(cinfo, (JDIMENSION)jpeg->region.y);
    jpeg->rows_left = jpeg->region.h;
    return PST_OK;
}

static int jpeg_start(void *state, const uint8_t *data, size_t size,
                      const struct pst_image_info *info, const struct pst_rect *region,
                      struct pst_error *err)
{
    struct jpeg *jpeg = state;
    jpeg_stop(jpeg);
    jpeg->data = data;
    jpeg->size = size;
    jpeg->region = *region;
    jpeg->err = err;
    connect(jpeg);
    int rc = start(jpeg, info);
    if (rc < 0)
        jpeg_stop(jpeg);
    return rc;
}

/* A pixel of CMYK, which Pillow takes for inverted in every JPEG, to RGBX: what its unpacker for
 * "CMYK;I" and its cmyk2rgb() do together. t + (t >> 8) >> 8 is t / 255, rounded. */
static void rgbx_of_cmyk(uint8_t *row, size_t n)
{
    for (size_t i = 0; i < n; i++, row += PIXEL) {
        int k = row[3];
        for (int c = 0; c < 3; c++) {
            int t = (255 - row[c]) * k + 128;
            row[c] = (uint8_t)(k - ((t + (t >> 8)) >> 8));
        }
        row[3] = 255;
    }
}

static int read_rows(struct jpeg *jpeg, int n_rows)
{
    struct jpeg_decompress_struct *cinfo = &jpeg->cinfo;
    if (setjmp(jpeg->leave))
        return jpeg->status;
    JSAMPROW rows[ROWS_A_CALL];
    for (int done = 0; done < n_rows;) {
        int n = n_rows - done < ROWS_A_CALL ? n_rows - done : ROWS_A_CALL;
        for (int i = 0; i < n; i++)
            rows[i] = jpeg->strip.data + MISALIGN + (done + i) * jpeg->stride;
        n = (int)jpeg_read_scanlines(cinfo, rows, (JDIMENSION)n);
        if (n == 0)
            return pst__fail(jpeg->err, PST_EFORMAT, "libjpeg gives no more rows");
        if (cinfo->out_color_space == JCS_CMYK) {
            for (int i = 0; i < n; i++)
                rgbx_of_cmyk(rows[i] + jpeg->skip, (size_t)jpeg->region.w);
        }
        done += n;
    }
    return PST_OK;
}

static int jpeg_rows(void *state, int max_rows, const uint8_t **rows, ptrdiff_t *stride,
                     int *n_rows, struct pst_error *err)
{
    struct jpeg *jpeg = state;
    int n = max_rows < jpeg->rows_left ? max_rows : jpeg->rows_left;
    PST_REQUIRE(n > 0, err, "no rows are left, or none were asked for");
    jpeg->err = err;
    if (!pst__scratch_reserve(&jpeg->strip, MISALIGN + (size_t)n * (size_t)jpeg->stride))
        return pst__fail(err, PST_ENOMEM, "no memory for %d rows of a JPEG", n);
    int rc = read_rows(jpeg, n);
    if (rc < 0)
        return rc;
    jpeg->rows_left -= n;
    *rows = jpeg->strip.data + MISALIGN + jpeg->skip;
    *stride = jpeg->stride;
    *n_rows = n;
    return PST_OK;
}

/* All rows were decoded: libjpeg reads on to the end marker. */
static int finish_whole(struct jpeg *jpeg)
{
    if (setjmp(jpeg->leave))
        return jpeg->status;
    jpeg_finish_decompress(&jpeg->cinfo);
    return PST_OK;
}

/* The rest of the only scan is searched, not decoded. Restart markers are numbered from the scan's
 * start, so with them the search begins there. */
static int finish_early(struct jpeg *jpeg)
{
    const struct jpeg_decompress_struct *cinfo = &jpeg->cinfo;
    if (cinfo->restart_interval > 0)
        return pst__jpeg_check_tail(jpeg->data, jpeg->size, jpeg->scan_offset, 0, jpeg->err);
    size_t offset = offset_of(jpeg);
    /* libjpeg may have met a marker while it filled its bit buffer: the last two bytes it read. */
    if (cinfo->unread_marker != 0)
        offset -= 2;
    return pst__jpeg_check_tail(jpeg->data, jpeg->size, offset, -1, jpeg->err);
}

static int jpeg_finish(void *state, struct pst_error *err)
{
    struct jpeg *jpeg = state;
    struct jpeg_decompress_struct *cinfo = &jpeg->cinfo;
    PST_REQUIRE(jpeg->is_active && jpeg->rows_left == 0, err, "rows of the region are left");
    jpeg->err = err;
    int rc = PST_OK;
    if (!jpeg_input_complete(cinfo))
        rc =
            cinfo->output_scanline < cinfo->output_height ? finish_early(jpeg) : finish_whole(jpeg);
    jpeg_stop(jpeg);
    return rc;
}

/* The rows below the region: libjpeg decodes them all but for their pixels, and the last one. It
 * would not look at rows that are skipped up to the end. */
static int decode_rest(struct jpeg *jpeg)
{
    struct jpeg_decompress_struct *cinfo = &jpeg->cinfo;
    if (setjmp(jpeg->leave))
        return jpeg->status;
    JDIMENSION n = cinfo->output_height - cinfo->output_scanline;
    if (n > 1)
        jpeg_skip_scanlines(cinfo, n - 1);
    JSAMPROW row = jpeg->strip.data + MISALIGN;
    if (n > 0 && jpeg_read_scanlines(cinfo, &row, 1) != 1)
        return pst__fail(jpeg->err, PST_EFORMAT, "libjpeg gives no more rows");
    return PST_OK;
}

static int jpeg_finish_strict(void *state, struct pst_error *err)
{
    struct jpeg *jpeg = state;
    PST_REQUIRE(jpeg->is_active && jpeg->rows_left == 0, err, "rows of the region are left");
    jpeg->err = err;
    int rc = PST_OK;
    if (!jpeg_input_complete(&jpeg->cinfo)) {
        rc = decode_rest(jpeg);
        if (rc == PST_OK)
            rc = finish_whole(jpeg);
    }
    size_t end = offset_of(jpeg);
    if (rc == PST_OK && end < jpeg->size)
        rc = pst__fail_at(err, PST_EUNCLEAN, (int64_t)end, "JPEG has %zu bytes behind its end",
                          jpeg->size - end);
    jpeg_stop(jpeg);
    return rc;
}

static size_t jpeg_bytes(const void *state)
{
    const struct jpeg *jpeg = state;
    return sizeof *jpeg + jpeg->strip.size;
}

/* With several scans libjpeg keeps the coefficients of the whole image, 2 bytes each. */
static size_t jpeg_cost(const uint8_t *data, size_t size, const struct pst_image_info *info)
{
    struct pst__jpeg_header header;
    struct pst_error err;
    pst_error_init(&err);
    if (pst__jpeg_read_markers(&header, data, size, &err) < 0 ||
        (header.n_scans == 1 && !header.is_progressive))
        return 0;
    size_t most = 1, samples = 0;
    for (int i = 0; i < header.n_components; i++) {
        size_t n = (size_t)header.components[i].h * header.components[i].v;
        samples += n;
        most = n > most ? n : most;
    }
    return (size_t)info->width * (size_t)info->height * 2 * samples / most;
}

const struct pst__codec pst__codec_jpeg = {
    .format = PST_IMAGE_JPEG,
    .name = "JPEG",
    .matches = pst__jpeg_has_signature,
    .probe = jpeg_probe,
    .open = jpeg_open,
    .close = jpeg_close,
    .start = jpeg_start,
    .rows = jpeg_rows,
    .finish = jpeg_finish,
    .finish_strict = jpeg_finish_strict,
    .abort = jpeg_stop,
    .bytes = jpeg_bytes,
    .cost = jpeg_cost,
};
