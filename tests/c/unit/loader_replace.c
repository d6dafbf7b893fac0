/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/penstock.h>

#include <errno.h>

#include "base/mem.h"
#include "base/sys.h"
#include "check.h"
#include "images.h"

/* Doubts that are decided by pst_loader_replace(): the batches are those of a loader to which they
 * were submitted without the samples that are left out, or with those that stand in for them. */

enum { N = 43, SIZE = 20, BATCH = 5, N_BATCHES = (N + BATCH - 1) / BATCH, STREAMS = 2 };

/* What became of an epoch. */
struct epoch {
    int n[N_BATCHES]; /* samples of a batch, -1 where it did not come */
    int is_ragged[N_BATCHES];
    size_t bytes[N_BATCHES], label_bytes[N_BATCHES];
    uint8_t *images[N_BATCHES], *labels[N_BATCHES];
};

/* What batches are mixed by where they are: of their draws one normal may be left to the next. */
static const struct pst_mix_config mix = {
    sizeof mix, 3 * N, 2, 1, {{PST_MIX_CUT, 1.0f, 0.5f}, {PST_MIX_UP, 0.4f, 0.5f}}};

struct set {
    int is_mixed;
    struct images *images;
    struct pst_dataset *dataset;
    struct pst_transform *transform;
    uint8_t is_bad[N];
};

enum kind { TRAIN, EVAL, SIZES };

static struct pst_transform *transform_of(enum kind kind, struct pst_error *err)
{
    if (kind != SIZES)
        return images_transform(SIZE, kind == TRAIN, err);
    /* The output is as wide as the image: batches may be ragged. */
    static const float mean[3] = {0}, std[3] = {1, 1, 1};
    struct pst_output output;
    pst_output_normalize(&output, 0, mean, std);
    const struct pst_op ops[] = {{.kind = PST_OP_RANDOM_HFLIP, .threshold = 1u << 23}};
    const struct pst_transform_config config = {
        .struct_size = sizeof config, .ops = ops, .n_ops = 1, .output = &output};
    struct pst_transform *transform = NULL;
    return pst_transform_new(&transform, &config, err) < 0 ? NULL : transform;
}

/* Of all records one in `every` is broken, in two ways: without an end, and no image at all. */
static void set_up(struct set *set, enum kind kind, int every, int is_mixed)
{
    *set = (struct set){.is_mixed = is_mixed, .images = images_new(N)};
    for (int i = 0; i < N && kind == SIZES; i++) {
        free(set->images->data[i]);
        images_encode(i % 7 ? 30 : 50, 40, (unsigned)i, &set->images->data[i],
                      &set->images->size[i]);
    }
    for (int i = 0; i < N; i++) {
        set->is_bad[i] = (i * 29 + 11) % 97 * every < 97;
        if (set->is_bad[i] && i % 2)
            images_cut(set->images, i);
        else if (set->is_bad[i])
            memset(set->images->data[i], 'x', set->images->size[i]);
    }
    set->dataset = images_dataset(set->images, NULL);
    set->transform = transform_of(kind, NULL);
    CHECK(set->dataset && set->transform);
}

static void tear_down(struct set *set)
{
    pst_transform_unref(set->transform);
    pst_dataset_unref(set->dataset);
}

static void epoch_free(struct epoch *epoch)
{
    for (int b = 0; b < N_BATCHES; b++) {
        free(epoch->images[b]);
        free(epoch->labels[b]);
    }
}

/* The record that stands in for another one, or -1. */
static int64_t other_of(const struct set *set, int64_t index, int is_skip)
{
    if (is_skip)
        return -1;
    for (int64_t step = 1; step < N; step++)
        if (!set->is_bad[(index + step) % N])
            return (index + step) % N;
    return -1;
}

/* As submitted, or as it is to become. */
static size_t list_of(const struct set *set, int b, int is_clean, int is_skip,
                      int64_t indices[BATCH])
{
    size_t n = 0;
    for (int64_t i = b * BATCH; i < N && i < (b + 1) * BATCH; i++) {
        int64_t index = is_clean && set->is_bad[i] ? other_of(set, i, is_skip) : i;
        if (index >= 0)
            indices[n++] = index;
    }
    return n;
}

static uint8_t *copy_of(const struct pst_tensor *tensor, size_t *bytes)
{
    *bytes = (size_t)pst_tensor_numel(tensor) * pst_dtype_size(tensor->dtype);
    uint8_t *copy = malloc(*bytes);
    CHECK(copy);
    return memcpy(copy, tensor->data, *bytes);
}

static void keep(struct epoch *epoch, int b, const struct pst_batch *batch)
{
    epoch->n[b] = 0;
    if (!batch->images.data)
        return;
    epoch->n[b] = (int)batch->images.shape[0];
    CHECK_INT(batch->labels.shape[0], epoch->n[b]);
    epoch->labels[b] = copy_of(&batch->labels, &epoch->label_bytes[b]);
    epoch->images[b] = copy_of(&batch->images, &epoch->bytes[b]);
}

/* PST_OK: the batch is written down. Otherwise an error of a fault, after which nothing goes on. */
static int wait_for(struct pst_loader *loader, const struct set *set, int b, int is_skip,
                    struct epoch *epoch, struct pst_error *err)
{
    for (;;) {
        struct pst_event event;
        struct pst_batch batch = {0};
        int rc = pst_loader_wait(loader, &event, 60000, err);
        if (rc != PST_OK)
            return rc;
        if (event.kind == PST_EVENT_DOUBT && event.error.status == PST_ENOMEM)
            return pst_loader_fail(loader, event.ticket, event.slot, err) < 0 ? err->status
                                                                              : PST_ENOMEM;
        if (event.kind == PST_EVENT_DOUBT) {
            CHECK(set->is_bad[event.index]);
            for (int32_t later = event.slot + 1; later < BATCH; later++)
                CHECK_INT(pst_loader_replace(loader, event.ticket, later, -1, NULL, NULL),
                          PST_EINVAL);
            int32_t n = 0;
            int64_t other = other_of(set, event.index, is_skip);
            CHECK_INT(pst_loader_replace(loader, event.ticket, event.slot, N, &n, NULL),
                      PST_ERANGE);
            CHECK_INT(pst_loader_replace(loader, event.ticket, event.slot, -2, &n, NULL),
                      PST_ERANGE);
            rc = pst_loader_replace(loader, event.ticket, event.slot, other, &n, err);
            if (rc < 0)
                return rc;
            CHECK(n >= 0 && n < N_BATCHES);
            CHECK_INT(pst_loader_replace(loader, event.ticket, event.slot, other, &n, NULL),
                      PST_EINVAL);
            continue;
        }
        epoch->is_ragged[b] = event.kind == PST_EVENT_RAGGED;
        rc = pst_loader_take(loader, event.ticket, &batch, err);
        if (rc < 0)
            return rc;
        keep(epoch, b, &batch);
        pst_batch_reset(&batch);
        return PST_OK;
    }
}

static int run(const struct set *set, int threads, int is_clean, int is_skip, struct epoch *epoch,
               struct pst_error *err)
{
    struct pst_loader *loader = NULL;
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    config.dataset = set->dataset;
    config.transform = set->transform;
    config.batch_size = BATCH;
    config.threads = threads;
    config.n_streams = STREAMS;
    config.ahead = 6;
    config.mix = set->is_mixed ? &mix : NULL;
    memset(epoch, 0, sizeof *epoch);
    memset(epoch->n, 0xff, sizeof epoch->n);
    int rc = pst_loader_open(&loader, &config, err), submitted = 0;
    for (int i = 0; i < STREAMS && rc == PST_OK; i++)
        rc = pst_loader_seed(loader, i, 50 + (uint32_t)i, err);
    for (int b = 0; b < N_BATCHES && rc == PST_OK; b++) {
        int64_t indices[BATCH];
        for (; rc == PST_OK && submitted < N_BATCHES && submitted < b + 6; submitted++) {
            uint64_t ticket;
            size_t n = list_of(set, submitted, is_clean, is_skip, indices);
            if (n > 0)
                rc = pst_loader_submit(loader, indices, n, submitted % STREAMS, &ticket, err);
        }
        if (rc == PST_OK && list_of(set, b, is_clean, is_skip, indices) == 0)
            epoch->n[b] = 0;
        else if (rc == PST_OK)
            rc = wait_for(loader, set, b, is_skip, epoch, err);
    }
    pst_loader_close(&loader);
    return rc;
}

static void check_same(const struct epoch *a, const struct epoch *b)
{
    for (int i = 0; i < N_BATCHES; i++) {
        CHECK_INT(a->is_ragged[i], b->is_ragged[i]);
        CHECK_INT(a->n[i], b->n[i]);
        CHECK_INT(a->bytes[i], b->bytes[i]);
        if (a->n[i] <= 0)
            continue;
        CHECK_INT(a->label_bytes[i], b->label_bytes[i]);
        CHECK(!memcmp(a->labels[i], b->labels[i], a->label_bytes[i]));
        CHECK(!memcmp(a->images[i], b->images[i], a->bytes[i]));
    }
}

static void compare(enum kind kind, int every, int is_skip, int is_mixed)
{
    int64_t blocks = pst__mem_blocks();
    struct set set;
    struct epoch expected, epoch;
    set_up(&set, kind, every, is_mixed);
    CHECK_INT(run(&set, 2, 1, is_skip, &expected, NULL), PST_OK);
    for (int threads = 1; threads <= 5; threads += threads) {
        CHECK_INT(run(&set, threads, 0, is_skip, &epoch, NULL), PST_OK);
        check_same(&expected, &epoch);
        epoch_free(&epoch);
    }
    epoch_free(&expected);
    tear_down(&set);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void test_left_out(void)
{
    for (int every = 1; every <= 16; every *= 2)
        for (int kind = TRAIN; kind <= SIZES; kind++)
            compare((enum kind)kind, every, 1, 0);
}

static void test_replaced(void)
{
    for (int every = 2; every <= 16; every *= 2)
        for (int kind = TRAIN; kind <= SIZES; kind++)
            compare((enum kind)kind, every, 0, 0);
}

static void test_mixed(void)
{
    for (int every = 1; every <= 16; every *= 2)
        for (int kind = TRAIN; kind <= SIZES; kind++)
            for (int is_skip = every == 1; is_skip < 2; is_skip++)
                compare((enum kind)kind, every, is_skip, 1);
}

#ifdef PST_CHECKS
/* Memory runs out at any place: a status, nothing left behind, and no batch that is wrong. */
static void memory_runs_out(int is_mixed)
{
    struct set set;
    struct epoch expected, epoch;
    set_up(&set, TRAIN, 4, is_mixed);
    CHECK_INT(run(&set, 2, 1, 1, &expected, NULL), PST_OK);
    int64_t blocks = pst__mem_blocks(), fired = 1;
    for (int64_t nth = 1; fired > 0; nth += 3) {
        struct pst_error err;
        pst_error_init(&err);
        pst__fault_arm(1u << PST_SYS_ALLOC, nth, nth % 2, ENOMEM);
        int rc = run(&set, 2, 0, 1, &epoch, &err);
        fired = pst__fault_fired();
        pst__fault_disarm();
        CHECK(rc == PST_OK || rc == PST_ENOMEM || rc == PST_ETHREAD);
        for (int b = 0; b < N_BATCHES && epoch.n[b] > 0; b++)
            CHECK(!memcmp(epoch.images[b], expected.images[b], expected.bytes[b]));
        epoch_free(&epoch);
        CHECK_INT(pst__mem_blocks(), blocks);
        CHECK(nth < 5000);
    }
    epoch_free(&expected);
    tear_down(&set);
}

static void test_memory(void)
{
    memory_runs_out(0);
}

static void test_memory_mixed(void)
{
    memory_runs_out(1);
}
#define FAULTS , CASE(test_memory_mixed), CASE(test_memory)
#else
#define FAULTS
#endif

CHECK_MAIN(FAULT("R20", test_left_out), FAULT("R20", test_replaced),
           FAULT("R20", test_mixed) FAULTS)
