/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/penstock.h>

#include "check.h"
#include "images.h"
#include "transform_ops.h"

/* Batches of samples of several images: where each image lies, also of samples that the consumer
 * finishes and where some are left out. */

enum { N = 25, BATCH = 6, CROP = 48, IMAGE = 3 * CROP * CROP, CROPS = 10, SAMPLE = CROPS * IMAGE };

/* All images are at least 30 high and 40 wide: some are smaller than a crop. */
static int is_small(int64_t i)
{
    return images_w((int)i) < CROP || images_h((int)i) < CROP;
}

static struct pst_transform *crops(int is_apart)
{
    struct pst_op op = {.kind = PST_OP_CORNER_CROPS, .w = CROP, .h = CROP, .count = 1};
    op.number[0] = is_apart;
    return transform_of(&op, 1, PST_U8, PST_ERA_DEFAULT);
}

/* One image of a sample: what decoding and the transform give, or a finished sample's bytes. */
static void expect_image(struct images *images, const struct pst_transform *transform, int64_t i,
                         int which, const uint8_t *got)
{
    if (is_small(i)) {
        for (int k = 0; k < IMAGE; k++)
            CHECK_INT(got[k], (uint8_t)(i + which + k));
        return;
    }
    struct pst_tensor rgb = {0}, out = {0};
    CHECK_INT(pst_image_decode(&rgb, images->data[i], images->size[i], NULL, NULL), PST_OK);
    CHECK_INT(pst_transform_apply(transform, rgb.data, (int32_t)rgb.shape[1], (int32_t)rgb.shape[0],
                                  rgb.strides[0], NULL, 0, NULL, &out, NULL),
              PST_OK);
    CHECK(memcmp(got, (uint8_t *)out.data + which * IMAGE, IMAGE) == 0);
    pst_tensor_reset(&rgb);
    pst_tensor_reset(&out);
}

static void finish(struct pst_loader *loader, const struct pst_event *event)
{
    static uint8_t sample[SAMPLE];
    for (int k = 0; k < SAMPLE; k++)
        sample[k] = (uint8_t)(event->index + k / IMAGE + k % IMAGE);
    CHECK_INT(pst_loader_finish(loader, event->ticket, event->slot, sample, IMAGE, CROP, CROP, 0, 0,
                                NULL),
              PST_EINVAL);
    CHECK_INT(pst_loader_finish(loader, event->ticket, event->slot, sample, SAMPLE, CROP, CROP, 0,
                                0, NULL),
              PST_OK);
}

/* Those whose index is a multiple of leave_out are left out. */
static void decide(struct pst_loader *loader, const struct pst_event *event, int leave_out)
{
    static const uint8_t pixel[4];
    CHECK(is_small(event->index));
    CHECK_INT(event->error.status, PST_EINVAL);
    CHECK_INT(pst_loader_resolve(loader, event->ticket, event->slot, pixel, 1, 1, 4, 1, NULL),
              PST_EINVAL);
    if (event->index % leave_out == 0)
        CHECK_INT(pst_loader_replace(loader, event->ticket, event->slot, -1, NULL, NULL), PST_OK);
    else
        finish(loader, event);
}

static void check_batch(struct images *images, const struct pst_transform *transform,
                        const struct pst_tensor *batch, int64_t first, int leave_out, int is_apart)
{
    int64_t n = 0;
    CHECK_INT(batch->ndim, 5);
    CHECK_INT(batch->shape[is_apart], batch->shape[0] * batch->shape[1] / CROPS);
    CHECK_INT(batch->shape[!is_apart], CROPS);
    CHECK(pst_tensor_is_contiguous(batch));
    for (int64_t i = first; i < first + BATCH && i < N; i++) {
        if (is_small(i) && i % leave_out == 0)
            continue;
        for (int k = 0; k < CROPS; k++)
            expect_image(images, transform, i, k,
                         (uint8_t *)batch->data + n * batch->strides[is_apart] +
                             k * batch->strides[!is_apart]);
        n++;
    }
    CHECK_INT(batch->shape[is_apart], n);
}

static struct pst_loader *open_loader(struct pst_dataset *dataset, struct pst_transform *transform,
                                      int threads)
{
    struct pst_loader *loader = NULL;
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    config.dataset = dataset;
    config.transform = transform;
    config.batch_size = BATCH;
    config.threads = threads;
    config.ahead = N;
    CHECK_INT(pst_loader_open(&loader, &config, NULL), PST_OK);
    return loader;
}

static void submit_all(struct pst_loader *loader)
{
    for (int64_t first = 0; first < N; first += BATCH) {
        int64_t indices[BATCH];
        size_t n = 0;
        uint64_t ticket;
        for (int64_t i = first; i < N && n < BATCH; i++)
            indices[n++] = i;
        CHECK_INT(pst_loader_submit(loader, indices, n, 0, &ticket, NULL), PST_OK);
    }
}

static void run(int is_apart, int threads, int leave_out)
{
    struct images *images = images_new(N);
    struct pst_dataset *dataset = images_dataset(images, NULL);
    struct pst_transform *transform = crops(is_apart);
    struct pst_loader *loader = open_loader(dataset, transform, threads);
    int n_doubts = 0;
    submit_all(loader);
    for (int64_t first = 0; first < N;) {
        struct pst_event event;
        struct pst_batch batch = {0};
        CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
        if (event.kind == PST_EVENT_DOUBT) {
            decide(loader, &event, leave_out);
            n_doubts++;
            continue;
        }
        CHECK_INT(event.kind, PST_EVENT_BATCH);
        CHECK_INT(pst_loader_take(loader, event.ticket, &batch, NULL), PST_OK);
        check_batch(images, transform, &batch.images, first, leave_out, is_apart);
        first += BATCH;
        pst_batch_reset(&batch);
    }
    CHECK(n_doubts > 3);
    pst_loader_close(&loader);
    pst_transform_unref(transform);
    pst_dataset_unref(dataset);
}

static void together(void)
{
    run(0, 1, N);
    run(0, 3, 2);
}

static void apart(void)
{
    run(1, 1, N);
    run(1, 3, 2);
    run(1, 2, 1);
}

/* A batch is as large as all its images. */
static void the_budget(void)
{
    struct images *images = images_new(N);
    struct pst_dataset *dataset = images_dataset(images, NULL);
    struct pst_transform *transform = crops(1);
    struct pst_loader *loader = NULL;
    struct pst_loader_config config;
    size_t bytes;
    pst_loader_config_init(&config);
    config.dataset = dataset;
    config.transform = transform;
    config.batch_size = BATCH;
    config.threads = 1;
    CHECK_INT(pst_loader_open(&loader, &config, NULL), PST_OK);
    CHECK_INT(pst_loader_batch_bytes(loader, BATCH, &bytes, NULL), PST_OK);
    CHECK_INT(bytes, BATCH * SAMPLE);
    pst_loader_close(&loader);
    pst_transform_unref(transform);
    pst_dataset_unref(dataset);
}

CHECK_MAIN(CASE(together), CASE(apart), CASE(the_budget))
