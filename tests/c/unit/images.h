/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_IMAGES_H
#define PST_TESTS_IMAGES_H

#include <stdio.h>
#include <unistd.h>

#include <jpeglib.h>
#include <penstock/penstock.h>

#include "check.h"

/* A dataset of made-up JPEG images in memory: record i is images_w(i) x images_h(i), label i * 3.
 * Some records are damaged on purpose. */
struct images {
    int n;
    unsigned char **data;
    size_t *size;
};

static inline int images_w(int i)
{
    return 40 + i * 7 % 50;
}
static inline int images_h(int i)
{
    return 30 + i * 11 % 60;
}

static inline void images_encode(int w, int h, unsigned seed, unsigned char **data, size_t *size)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr e;
    unsigned long n = 0;
    c.err = jpeg_std_error(&e);
    jpeg_create_compress(&c);
    *data = NULL;
    jpeg_mem_dest(&c, data, &n);
    c.image_width = (JDIMENSION)w;
    c.image_height = (JDIMENSION)h;
    c.input_components = 3;
    c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_start_compress(&c, TRUE);
    unsigned char row[3 * 1024];
    for (int y = 0; y < h; y++) {
        for (int x = 0; x < 3 * w; x++) {
            seed = seed * 1664525u + 1013904223u;
            row[x] = (unsigned char)((x * 2 + y * 3) / 2 + (int)(seed >> 27));
        }
        JSAMPROW p = row;
        jpeg_write_scanlines(&c, &p, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    *size = n;
}

static inline int64_t images_length(void *self)
{
    return ((struct images *)self)->n;
}
static inline int images_read(void *self, int64_t i, struct pst_record *record,
                              struct pst_error *err)
{
    struct images *images = self;
    (void)err;
    void *to = pst_record_reserve(record, images->size[i]);
    if (!to)
        return PST_ENOMEM;
    memcpy(to, images->data[i], images->size[i]);
    return PST_OK;
}
static inline int64_t images_label(void *self, int64_t i)
{
    (void)self;
    return i * 3;
}
static inline void images_close(void *self)
{
    struct images *images = self;
    for (int i = 0; i < images->n; i++)
        free(images->data[i]);
    free(images->data);
    free(images->size);
    free(images);
}

static inline struct images *images_new(int n)
{
    struct images *images = calloc(1, sizeof *images);
    images->n = n;
    images->data = calloc((size_t)n, sizeof *images->data);
    images->size = calloc((size_t)n, sizeof *images->size);
    for (int i = 0; i < n; i++)
        images_encode(images_w(i), images_h(i), (unsigned)i + 1, &images->data[i],
                      &images->size[i]);
    return images;
}

/* Record i loses its end: its header is whole, its pixels are not. */
static inline void images_cut(struct images *images, int i)
{
    images->size[i] = images->size[i] * 3 / 4;
}

static inline struct pst_dataset *images_dataset(struct images *images, struct pst_error *err)
{
    const struct pst_dataset_vtable vtable = {.struct_size = sizeof vtable,
                                              .length = images_length,
                                              .read = images_read,
                                              .label = images_label,
                                              .close = images_close};
    struct pst_dataset *dataset = NULL;
    if (pst_dataset_new(&dataset, &vtable, images, err) < 0)
        return NULL;
    return dataset;
}

/* The same images as files of a folder of their own. paths: each ends with a NUL, as
 * pst_paths_open() takes them. */
enum { IMAGES_PATHS = 64 };
struct images_files {
    char folder[32];
    char paths[IMAGES_PATHS * 64];
    size_t paths_size;
};

static inline void images_files_open(struct images_files *files, int n)
{
    CHECK(n <= IMAGES_PATHS);
    *files = (struct images_files){.folder = "/tmp/penstock-images-XXXXXX"};
    CHECK(mkdtemp(files->folder));
    for (int i = 0; i < n; i++) {
        unsigned char *data;
        size_t size;
        char *path = files->paths + files->paths_size;
        images_encode(images_w(i), images_h(i), (unsigned)i + 1, &data, &size);
        size_t room = sizeof files->paths - files->paths_size;
        files->paths_size += (size_t)snprintf(path, room, "%s/%d.jpg", files->folder, i) + 1;
        FILE *file = fopen(path, "wb");
        CHECK(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
        free(data);
    }
}

static inline void images_files_close(struct images_files *files)
{
    const char *end = files->paths + files->paths_size;
    for (const char *path = files->paths; path < end; path += strlen(path) + 1)
        CHECK_INT(unlink(path), 0);
    CHECK_INT(rmdir(files->folder), 0);
}

/* RandomResizedCrop(size), horizontal flip, ToTensor, Normalize; or Resize and CenterCrop. */
static inline struct pst_transform *images_transform(int size, int is_train, struct pst_error *err)
{
    static const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
    struct pst_output output;
    pst_output_normalize(&output, 0, mean, std);
    const struct pst_op train[] = {{.kind = PST_OP_RANDOM_RESIZED_CROP,
                                    .filter = PST_FILTER_BILINEAR,
                                    .h = size,
                                    .w = size,
                                    .scale = {0.08, 1.0},
                                    .ratio = {3. / 4, 4. / 3},
                                    .log_ratio = {-0.287682086f, 0.287682086f}},
                                   {.kind = PST_OP_RANDOM_HFLIP, .threshold = 1u << 23}};
    const struct pst_op eval[] = {
        {.kind = PST_OP_RESIZE_SHORT, .filter = PST_FILTER_BILINEAR, .h = size + 8},
        {.kind = PST_OP_CENTER_CROP, .h = size, .w = size}};
    const struct pst_transform_config config = {.struct_size = sizeof config,
                                                .ops = is_train ? train : eval,
                                                .n_ops = 2,
                                                .output = &output};
    struct pst_transform *transform = NULL;
    if (pst_transform_new(&transform, &config, err) < 0)
        return NULL;
    return transform;
}

#endif
