/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/penstock.h>

#include "base/mem.h"
#include "check.h"
#include "images.h"
#include "jpeg_files.h"

/* Images that take much memory while they are decoded, in large files: what the engine holds stays
 * at the budget and the working memory of one of them, however many a batch has. */

enum { N = 72, BATCH = 24, SIZE = 16, WIDTH = 1200, HEIGHT = 900, RECORD = 1 << 20 };

/* Two bytes a coefficient, 4:2:0. */
#define COST ((int64_t)WIDTH * HEIGHT * 3)
#define BUDGET ((int64_t)6 << 20)

static struct jpeg_file file;

static int64_t length(void *self)
{
    (void)self;
    return N;
}

static int read_record(void *self, int64_t i, struct pst_record *record, struct pst_error *err)
{
    (void)self;
    (void)i;
    (void)err;
    unsigned char *to = pst_record_reserve(record, RECORD);
    if (!to)
        return PST_ENOMEM;
    memcpy(to, file.data, file.size);
    memset(to + file.size, 0, RECORD - file.size); /* behind the end of the image */
    return PST_OK;
}

static int64_t label(void *self, int64_t i)
{
    (void)self;
    return i;
}

static void run(int threads, struct pst_stats *stats)
{
    const struct pst_dataset_vtable vtable = {
        .struct_size = sizeof vtable, .length = length, .read = read_record, .label = label};
    struct pst_dataset *dataset;
    struct pst_transform *transform = images_transform(SIZE, 1, NULL);
    struct pst_loader *loader;
    struct pst_loader_config config;
    struct pst_batch batch = {0};
    int n = 0, rc;
    CHECK(transform);
    CHECK_INT(pst_dataset_new(&dataset, &vtable, NULL, NULL), PST_OK);
    pst_loader_config_init(&config);
    config.dataset = dataset;
    config.transform = transform;
    config.batch_size = BATCH;
    config.threads = threads;
    config.ahead = 3;
    config.memory_budget = BUDGET;
    CHECK_INT(pst_loader_open(&loader, &config, NULL), PST_OK);
    while ((rc = pst_loader_next(loader, &batch, NULL)) == PST_OK) {
        n++;
        pst_batch_reset(&batch);
    }
    CHECK_INT(rc, PST_END);
    CHECK_INT(n, N / BATCH);
    CHECK_INT(pst_loader_stats(loader, stats, NULL), PST_OK);
    pst_loader_close(&loader);
    pst_transform_unref(transform);
    pst_dataset_unref(dataset);
}

static void large_images_in_large_files(void)
{
    static const struct jpeg_kind progressive = {3, 2, 2, 1, 0, 0};
    int64_t blocks = pst__mem_blocks();
    file = jpeg_file_make(&progressive, WIDTH, HEIGHT);
    CHECK(file.size < RECORD);
    for (int threads = 1; threads <= 4; threads *= 2) {
        struct pst_stats stats = {.struct_size = sizeof stats};
        run(threads, &stats);
        CHECK_INT(stats.doubts, 0);
        CHECK(stats.held_peak_bytes > COST);
        /* What one thread after the other finds room for, all may read at once. */
        CHECK(stats.held_peak_bytes <= BUDGET + COST + threads * (RECORD + (1 << 17)));
    }
    jpeg_file_free(&file);
    CHECK_INT(pst__mem_blocks(), blocks);
}

CHECK_MAIN(CASE(large_images_in_large_files))
