/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/status.h"
#include "buffer/buffer.h"
#include "format/dataset.h"
#include "loader/engine.h"

/* A batch that is complete goes to the consumer. */

/* The labels of a batch that was mixed, in the place of plain ones. */
static int mix_labels(const struct pst_loader *loader, const struct pst__batch *batch,
                      struct pst_tensor *labels, struct pst_error *err)
{
    const int64_t *label = labels->data;
    int64_t shape[2] = {labels->shape[0], loader->mix.n_classes};
    struct pst_buffer *buffer;
    for (int64_t i = 0; i < shape[0]; i++)
        if (label[i] < 0 || label[i] >= shape[1])
            return pst__fail(err, PST_ERANGE, "label %lld is not one of %lld classes",
                             (long long)label[i], (long long)shape[1]);
    size_t bytes = (size_t)shape[0] * (size_t)shape[1] * sizeof(float);
    int rc = pst__buffer_new(&buffer, bytes, err);
    if (rc < 0)
        return rc;
    pst__mix_labels(&loader->mix, &batch->mix, label, (size_t)shape[0], pst_buffer_data(buffer));
    pst_tensor_reset(labels);
    pst__tensor_over(labels, buffer, PST_F32, 2, shape);
    return PST_OK;
}

static int labels_of(struct pst_loader *loader, const struct pst__batch *batch,
                     struct pst_tensor *labels, struct pst_error *err)
{
    struct pst_buffer *buffer;
    int64_t n = batch->n - batch->n_absent;
    int rc = pst__buffer_new(&buffer, (size_t)n * sizeof(int64_t), err);
    if (rc < 0)
        return rc;
    int64_t *label = pst_buffer_data(buffer);
    for (int32_t i = 0; i < batch->n; i++)
        if (!batch->sample[i].is_absent)
            *label++ = pst_dataset_label(loader->config.dataset, batch->sample[i].index);
    pst__tensor_over(labels, buffer, PST_I64, 1, &n);
    if (batch->mixes)
        rc = mix_labels(loader, batch, labels, err);
    if (rc < 0)
        pst_tensor_reset(labels);
    return rc;
}

/* The samples of a batch that is complete move up to the places of those that are absent. */
static void close_gaps(const struct pst_loader *loader, const struct pst__batch *batch)
{
    if (batch->n_absent == 0)
        return;
    int n_pieces = pst__transform_pieces(loader->config.transform);
    size_t bytes = batch->sample_bytes / (size_t)n_pieces;
    uint8_t *place = pst_buffer_data(batch->slab), *end = place;
    for (int k = 0; k < n_pieces; k++) {
        for (int32_t i = 0; i < batch->n; i++, place += bytes) {
            if (batch->sample[i].is_absent)
                continue;
            if (end != place)
                memmove(end, place, bytes);
            end += bytes;
        }
    }
}

int pst_loader_take(struct pst_loader *loader, uint64_t ticket, struct pst_batch *out,
                    struct pst_error *err)
{
    int rc = pst__loader_check(loader, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(loader->n_fields == 0, err, "batches of rows are taken as fields");
    PST_REQUIRE(out && ticket == loader->head && loader->head < loader->tail, err,
                "batch %llu is not the oldest one", (unsigned long long)ticket);
    struct pst__batch *batch = pst__head(loader);
    struct pst_batch taken = {0};
    pst__lock(&loader->lock);
    int is_over = pst__batch_is_over(batch);
    int32_t n = batch->n - batch->n_absent;
    int is_whole = is_over && batch->failed_slot < 0 && !batch->is_ragged && n > 0;
    pst__unlock(&loader->lock);
    if (!is_over)
        return PST_AGAIN;
    if (is_whole)
        rc = labels_of(loader, batch, &taken.labels, err);
    if (rc < 0)
        return rc;
    if (is_whole)
        close_gaps(loader, batch);
    pst__lock(&loader->lock);
    if (is_whole) {
        const struct pst_transform *transform = loader->config.transform;
        int64_t shape[5];
        int ndim = pst__transform_batch_shape(transform, n, batch->out_h, batch->out_w, shape);
        struct pst_buffer *slab = pst__slab_hand_over(loader, batch);
        pst__tensor_over(&taken.images, slab, pst__transform_dtype(transform), ndim, shape);
        loader->last_bytes = batch->sample_bytes;
        loader->batches++;
        loader->samples += n;
    }
    pst__trace_left(loader, batch);
    pst__batch_clear(loader, batch);
    loader->head++;
    pst__broadcast(&loader->work);
    pst__unlock(&loader->lock);
    pst__memory_release(loader);
    *out = taken;
    return PST_OK;
}
