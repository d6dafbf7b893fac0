/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_JPEG_FILES_H
#define PST_TESTS_JPEG_FILES_H

#include <stdio.h>

#include <jpeglib.h>

#include "check.h"

/* JPEG files made with libjpeg, and what they look like when libjpeg decodes them whole. */

struct jpeg_file {
    unsigned char *data;
    size_t size;
};

struct jpeg_kind {
    int n_components; /* 1: grey, 3: YCbCr, 4: YCCK */
    int h, v;         /* sampling factors of the first component; the others have 1 */
    int is_progressive, is_multi_scan;
    unsigned restart; /* interval in units, 0: none */
};

static inline void jpeg_file_free(struct jpeg_file *file)
{
    free(file->data);
    *file = (struct jpeg_file){0};
}

static inline struct jpeg_file jpeg_file_make(const struct jpeg_kind *kind, int w, int h)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr e;
    struct jpeg_file file = {0};
    unsigned long n = 0;
    static const J_COLOR_SPACE in[] = {0, JCS_GRAYSCALE, 0, JCS_RGB, JCS_CMYK};
    static const J_COLOR_SPACE out[] = {0, JCS_GRAYSCALE, 0, JCS_YCbCr, JCS_YCCK};
    c.err = jpeg_std_error(&e);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &file.data, &n);
    c.image_width = (JDIMENSION)w;
    c.image_height = (JDIMENSION)h;
    c.input_components = kind->n_components;
    c.in_color_space = in[kind->n_components];
    jpeg_set_defaults(&c);
    jpeg_set_colorspace(&c, out[kind->n_components]);
    for (int i = 0; i < kind->n_components; i++) {
        c.comp_info[i].h_samp_factor = i == 0 ? kind->h : 1;
        c.comp_info[i].v_samp_factor = i == 0 ? kind->v : 1;
    }
    c.restart_interval = kind->restart;
    if (kind->is_progressive)
        jpeg_simple_progression(&c);
    jpeg_scan_info scans[4];
    if (kind->is_multi_scan) {
        for (int i = 0; i < kind->n_components; i++)
            scans[i] = (jpeg_scan_info){1, {i}, 0, 63, 0, 0};
        c.scan_info = scans;
        c.num_scans = kind->n_components;
    }
    jpeg_start_compress(&c, TRUE);
    unsigned seed = (unsigned)(w * 31 + h);
    unsigned char *row = malloc((size_t)w * 4);
    CHECK(row);
    for (int y = 0; y < h; y++) {
        for (int x = 0; x < w * kind->n_components; x++) {
            seed = seed * 1664525u + 1013904223u;
            row[x] = (unsigned char)((x * 3 + y * 5) + (int)(seed >> 26));
        }
        jpeg_write_scanlines(&c, &row, 1);
    }
    free(row);
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    file.size = n;
    return file;
}

/* RGBX, or CMYK as it is stored; w * h * 4 bytes, to be freed. */
static inline unsigned char *jpeg_file_pixels(const struct jpeg_file *file, int *w, int *h)
{
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr e;
    c.err = jpeg_std_error(&e);
    jpeg_create_decompress(&c);
    jpeg_mem_src(&c, file->data, (unsigned long)file->size);
    jpeg_read_header(&c, TRUE);
    c.out_color_space = c.num_components == 4 ? JCS_CMYK : JCS_EXT_RGBX;
    jpeg_start_decompress(&c);
    *w = (int)c.output_width;
    *h = (int)c.output_height;
    unsigned char *pixels = malloc((size_t)*w * (size_t)*h * 4);
    CHECK(pixels);
    while (c.output_scanline < c.output_height) {
        JSAMPROW row = pixels + (size_t)c.output_scanline * (size_t)*w * 4;
        jpeg_read_scanlines(&c, &row, 1);
    }
    jpeg_finish_decompress(&c);
    jpeg_destroy_decompress(&c);
    return pixels;
}

/* Offset of the nth segment or marker (from 0) with this code among the headers. */
static inline size_t jpeg_file_find(const struct jpeg_file *file, int code, int nth)
{
    for (size_t at = 2; at + 4 <= file->size;) {
        CHECK_INT(file->data[at], 0xff);
        int c = file->data[at + 1];
        if (c == code && nth-- == 0)
            return at;
        at += 2 + (size_t)(file->data[at + 2] << 8 | file->data[at + 3]);
        /* Entropy-coded data follow this one. */
        while (c == 0xda && at + 2 <= file->size &&
               (file->data[at] != 0xff || file->data[at + 1] == 0 ||
                (file->data[at + 1] >= 0xd0 && file->data[at + 1] <= 0xd7)))
            at++;
        if (at + 2 <= file->size && file->data[at + 1] == 0xd9)
            break;
    }
    check_fail(__FILE__, __LINE__, "no marker %02x", code);
}

static inline size_t jpeg_file_segment_size(const struct jpeg_file *file, size_t at)
{
    return 2 + (size_t)(file->data[at + 2] << 8 | file->data[at + 3]);
}

static inline void jpeg_file_insert(struct jpeg_file *file, size_t at, const void *bytes, size_t n)
{
    unsigned char *data = realloc(file->data, file->size + n);
    CHECK(data && at <= file->size);
    memmove(data + at + n, data + at, file->size - at);
    memcpy(data + at, bytes, n);
    file->data = data;
    file->size += n;
}

static inline void jpeg_file_remove(struct jpeg_file *file, size_t at, size_t n)
{
    CHECK(at + n <= file->size);
    memmove(file->data + at, file->data + at + n, file->size - at - n);
    file->size -= n;
}

#endif
