/* SPDX-License-Identifier: Apache-2.0 */
/* Opens an image folder, runs the usual evaluation pipeline (Resize 256, CenterCrop 224, ToTensor,
 * Normalize) and prints a checksum per batch.
 *
 *     cc folder_checksum.c $(pkg-config --cflags --libs penstock) -o folder_checksum
 *     ./folder_checksum DIR [batch_size]
 */
#include <penstock/penstock.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t fnv1a(const void *data, size_t size)
{
    const unsigned char *p = data;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static int make_transform(struct pst_transform **out, struct pst_error *err)
{
    static const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
    const struct pst_op ops[] = {
        {.kind = PST_OP_RESIZE_SHORT, .filter = PST_FILTER_BILINEAR, .h = 256},
        {.kind = PST_OP_CENTER_CROP, .h = 224, .w = 224},
    };
    struct pst_output output;
    struct pst_transform_config config = {
        .struct_size = sizeof config, .ops = ops, .n_ops = 2, .output = &output};
    pst_output_normalize(&output, 0, mean, std);
    return pst_transform_new(out, &config, err);
}

static int print_batches(struct pst_loader *loader, struct pst_error *err)
{
    struct pst_batch batch = {0};
    int64_t n_batches = 0, n_samples = 0;
    int rc;
    while ((rc = pst_loader_next(loader, &batch, err)) == PST_OK) {
        size_t bytes = (size_t)pst_tensor_numel(&batch.images) * sizeof(float);
        printf("batch %" PRId64 ": %" PRId64 " images, checksum %016" PRIx64 "\n", n_batches++,
               batch.images.shape[0], fnv1a(batch.images.data, bytes));
        n_samples += batch.images.shape[0];
        pst_batch_reset(&batch);
    }
    printf("%" PRId64 " images in %" PRId64 " batches\n", n_samples, n_batches);
    return rc == PST_END ? PST_OK : rc;
}

int main(int argc, char **argv)
{
    struct pst_dataset *dataset = NULL;
    struct pst_transform *transform = NULL;
    struct pst_loader *loader = NULL;
    struct pst_loader_config config;
    struct pst_error err;
    int rc;

    if (argc < 2) {
        fprintf(stderr, "usage: %s DIR [batch_size]\n", argv[0]);
        return 2;
    }
    pst_error_init(&err);
    rc = pst_folder_open(&dataset, argv[1], NULL, &err);
    if (rc == PST_OK)
        rc = make_transform(&transform, &err);
    if (rc == PST_OK) {
        pst_loader_config_init(&config);
        config.dataset = dataset;
        config.transform = transform;
        config.batch_size = argc > 2 ? atoi(argv[2]) : 64;
        rc = pst_loader_open(&loader, &config, &err);
    }
    if (rc == PST_OK)
        rc = print_batches(loader, &err);
    if (rc < 0)
        fprintf(stderr, "%s: %s\n", pst_status_name(rc), err.message);
    pst_loader_close(&loader);
    pst_transform_unref(transform);
    pst_dataset_unref(dataset);
    return rc < 0 ? 1 : 0;
}
