/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/dataset.h>

#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/self.h"

/* Images of one size in an array. The pixels are the owner's; labels are copied. */
struct pixels {
    struct pst_pixels first;
    ptrdiff_t image;
    int64_t n;
    int64_t *labels;
    pst_release_fn release;
    void *opaque;
};

int pst__pixels_check(const struct pst_pixels *pixels, struct pst_error *err)
{
    if (!pixels->data || pixels->width < 1 || pixels->height < 1)
        return pst__fail(err, PST_EINVAL, "pixels of %d x %d at %s", pixels->width, pixels->height,
                         pixels->data ? "an address" : "NULL");
    if (pixels->channels != 1 && pixels->channels != 3)
        return pst__fail(err, PST_EINVAL, "pixels with %d channels, expected 1 or 3",
                         pixels->channels);
    if (pixels->width > PST_MAX_PLAN_SIDE || pixels->height > PST_MAX_PLAN_SIDE ||
        (int64_t)pixels->width * pixels->height > PST_MAX_PLAN_PIXELS)
        return pst__fail(err, PST_ELIMIT, "an image of %d x %d pixels, the limit is %d in all",
                         pixels->width, pixels->height, PST_MAX_PLAN_PIXELS);
    return PST_OK;
}

static int64_t pixels_length(void *self)
{
    return ((struct pixels *)self)->n;
}

static int pixels_read(void *self, int64_t index, struct pst_record *record, struct pst_error *err)
{
    const struct pixels *array = self;
    struct pst_pixels pixels = array->first;
    (void)err;
    pixels.data += (ptrdiff_t)index * array->image;
    pst_record_pixels(record, &pixels);
    return PST_OK;
}

static int64_t pixels_label(void *self, int64_t index)
{
    return ((struct pixels *)self)->labels[index];
}

static int pixels_uniform(void *self, struct pst_pixels *size)
{
    *size = ((struct pixels *)self)->first;
    return PST_OK;
}

static void pixels_close(void *self)
{
    struct pixels *array = self;
    if (array->release)
        array->release(array->opaque);
    pst__free(array->labels);
    pst__free(array);
}

static const struct pst_dataset_vtable pixels_vtable = {
    .struct_size = sizeof pixels_vtable,
    .length = pixels_length,
    .read = pixels_read,
    .label = pixels_label,
    .close = pixels_close,
    .uniform = pixels_uniform,
};

int pst_pixels_open(struct pst_dataset **out, const struct pst_pixels *first, int64_t n,
                    ptrdiff_t image, const int64_t *labels, pst_release_fn release, void *opaque,
                    struct pst_error *err)
{
    PST_REQUIRE(out, err, "pst_pixels_open: out is NULL");
    *out = NULL;
    PST_REQUIRE(first && (labels || n == 0), err, "pst_pixels_open: first or labels is NULL");
    PST_REQUIRE(n >= 0, err, "pst_pixels_open: n is %" PRId64, n);
    ptrdiff_t span;
    PST_REQUIRE(!__builtin_mul_overflow(n, image, &span), err,
                "pst_pixels_open: %" PRId64 " images of %td bytes", n, image);
    int rc = pst__pixels_check(first, err);
    if (rc < 0)
        return rc;
    struct pixels *array = pst__calloc(1, sizeof *array, PST_MEM_HEAP);
    if (!array)
        return pst__fail(err, PST_ENOMEM, "no memory for an array dataset");
    array->labels = pst__calloc((size_t)n, sizeof *labels, PST_MEM_HEAP);
    rc = PST_ENOMEM;
    if (!array->labels)
        goto fail;
    if (n > 0)
        memcpy(array->labels, labels, (size_t)n * sizeof *labels);
    array->first = *first;
    array->image = image;
    array->n = n;
    if ((rc = pst_dataset_new(out, &pixels_vtable, array, err)) < 0)
        goto fail;
    array->release = release;
    array->opaque = opaque;
    return PST_OK;
fail:
    pixels_close(array);
    return pst__fail(err, rc, "no memory for the labels of %" PRId64 " images", n);
}
