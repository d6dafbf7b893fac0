/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/penstock.h>

#include "base/mem.h"
#include "check.h"
#include "images.h"
#include "jpeg_files.h"

/* Images that take much memory while they are decoded, in large files: what the engine holds stays
 * at the budget, and the working memory of one of them, however many a batch has. */

enum { N = 72, BATCH = 24, SIZE = 16, WIDTH = 1200, HEIGHT = 900, RECORD = 1 << 20 };

/* Two bytes a coefficient, 4:2:0. */
#define COST ((int64_t)WIDTH * HEIGHT * 3)
#define BUDGET ((int64_t)6 << 20)

static struct jpeg_file progressive, sequential;
static int64_t every; /* which samples are progressive */

static int64_t length(void *self)
{
    (void)self;
    return N;
}

static int read_record(void *self, int64_t i, struct pst_record *record, struct pst_error *err)
{
    (void)self;
    (void)err;
    const struct jpeg_file *file = i % every == every - 1 ? &progressive : &sequential;
    unsigned char *to = pst_record_reserve(record, RECORD);
    if (!to)
        return PST_ENOMEM;
    memcpy(to, file->data, file->size);
    memset(to + file->size, 0, RECORD - file->size); /* behind the end of the image */
    return PST_OK;
}

static int64_t label(void *self, int64_t i)
{
    (void)self;
    return i;
}

static void run(int threads, int64_t budget, struct pst_stats *stats)
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
    config.nice = -1; /* the machine may be busy */
    config.memory_budget = (size_t)budget;
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

static void files_make(void)
{
    static const struct jpeg_kind kinds[] = {{3, 2, 2, 1, 0, 0}, {3, 2, 2, 0, 0, 0}};
    progressive = jpeg_file_make(&kinds[0], WIDTH, HEIGHT);
    sequential = jpeg_file_make(&kinds[1], WIDTH, HEIGHT);
    CHECK(progressive.size < RECORD && sequential.size < RECORD);
}

static void files_free(void)
{
    jpeg_file_free(&progressive);
    jpeg_file_free(&sequential);
}

static void large_images_in_large_files(void)
{
    int64_t blocks = pst__mem_blocks();
    files_make();
    for (every = 1; every <= 8; every += 7) {
        for (int threads = 1; threads <= 4; threads *= 2) {
            struct pst_stats stats = {.struct_size = sizeof stats};
            run(threads, BUDGET, &stats);
            CHECK_INT(stats.doubts, 0);
            CHECK(stats.held_peak_bytes > COST);
            /* What one thread after the other finds room for, all may read at once. Others may fill
             * the room while one is still at the header that asks for it. */
            CHECK(stats.held_peak_bytes <=
                  BUDGET + threads * (RECORD + (1 << 18)) + (threads > 1 ? COST : 0));
        }
    }
    files_free();
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* Where there is never room for one of them they run all the same, one at a time. */
static void a_budget_that_is_too_small(void)
{
    int64_t blocks = pst__mem_blocks();
    files_make();
    for (every = 1; every <= 5; every += 4) {
        for (int threads = 1; threads <= 4; threads *= 2) {
            struct pst_stats stats = {.struct_size = sizeof stats};
            run(threads, COST / 2, &stats);
            CHECK_INT(stats.doubts, 0);
            CHECK(stats.held_peak_bytes > COST);
            CHECK(stats.held_peak_bytes <= COST / 2 + COST + threads * (RECORD + (1 << 18)));
        }
    }
    files_free();
    CHECK_INT(pst__mem_blocks(), blocks);
}

CHECK_MAIN(CASE(large_images_in_large_files), CASE(a_budget_that_is_too_small))
