/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "transform/ops.h"

/* Where samples lie in a batch, and what shape that has. */

int pst__transform_shape(const struct pst_transform *transform, int32_t h, int32_t w,
                         int64_t shape[4])
{
    int is_planar = transform->output.layout == PST_LAYOUT_CHW;
    int64_t *image = shape;
    if (transform->n_images > 1)
        *image++ = transform->n_images;
    image[is_planar ? 0 : 2] = transform->channels;
    image[is_planar ? 1 : 0] = h;
    image[is_planar ? 2 : 1] = w;
    return (int)(image - shape) + 3;
}

int pst__transform_batch_shape(const struct pst_transform *transform, int64_t n, int32_t h,
                               int32_t w, int64_t shape[5])
{
    int ndim = 1 + pst__transform_shape(transform, h, w, shape + 1);
    shape[0] = n;
    if (pst__transform_pieces(transform) > 1) {
        shape[0] = transform->n_images;
        shape[1] = n;
    }
    return ndim;
}

int pst__transform_pieces(const struct pst_transform *transform)
{
    return transform->is_apart ? transform->n_images : 1;
}

struct pst__place pst__transform_place(const struct pst_transform *transform, void *batch,
                                       size_t sample_bytes, int32_t slot, int32_t n)
{
    size_t image = sample_bytes / (size_t)transform->n_images;
    size_t piece = sample_bytes / (size_t)pst__transform_pieces(transform);
    return (struct pst__place){(uint8_t *)batch + (size_t)slot * piece,
                               transform->is_apart ? (size_t)n * image : image};
}

void pst__place_copy(const struct pst__place *place, const struct pst_transform *transform,
                     const void *sample, size_t sample_bytes)
{
    size_t image = sample_bytes / (size_t)transform->n_images;
    for (size_t i = 0; i < (size_t)transform->n_images; i++)
        memcpy((uint8_t *)place->first + i * place->next, (const uint8_t *)sample + i * image,
               image);
}
