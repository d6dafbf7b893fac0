/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/penstock.h>

#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "check.h"
#include "images.h"
#include "supplied_memory.h"
#include "transform_ops.h"

/* Batches of images in memory of the caller's. */

enum { N = 32, SIZE = 16, BATCH = 4, N_BATCHES = N / BATCH, BYTES = BATCH * 3 * SIZE * SIZE * 4 };

static struct pst_loader_config a_config(void)
{
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    config.batch_size = BATCH;
    config.threads = 3;
    config.ahead = N_BATCHES;
    return config;
}

static struct pst_loader *open_loader(struct pst_loader_config config, struct images *images,
                                      struct pst_transform *transform)
{
    struct pst_loader *loader;
    config.dataset = images_dataset(images, NULL);
    config.transform = transform;
    CHECK_INT(pst_loader_open(&loader, &config, NULL), PST_OK);
    pst_dataset_unref(config.dataset);
    pst_transform_unref(transform);
    CHECK_INT(pst_loader_seed(loader, 0, 7, NULL), PST_OK);
    return loader;
}

static uint64_t submit(struct pst_loader *loader, int64_t first, size_t n)
{
    int64_t indices[BATCH];
    uint64_t ticket;
    for (size_t i = 0; i < n; i++)
        indices[i] = first + (int64_t)i;
    CHECK_INT(pst_loader_submit_supplied(loader, indices, n, 0, &ticket, NULL), PST_OK);
    return ticket;
}

static void take(struct pst_loader *loader, struct pst_batch *batch)
{
    struct pst_event event;
    CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
    CHECK_INT(event.kind, PST_EVENT_BATCH);
    CHECK_INT(pst_loader_take(loader, event.ticket, batch, NULL), PST_OK);
}

/* The same epoch twice, in memory of the caller's and in the loader's own. */
static void same_batches(void)
{
    int64_t blocks = pst__mem_blocks();
    struct pst_batch batch[2][N_BATCHES] = {{{{0}, {0}}}};
    n_lent = n_back = 0;
    for (int is_supplied = 0; is_supplied < 2; is_supplied++) {
        struct pst_loader *loader =
            open_loader(a_config(), images_new(N), images_transform(SIZE, 1, NULL));
        for (int64_t b = 0; b < N_BATCHES; b++)
            submit(loader, b * BATCH, BATCH);
        if (is_supplied)
            CHECK_INT(supply_all(loader), N_BATCHES);
        for (int b = 0; b < N_BATCHES; b++) {
            if (!is_supplied)
                CHECK_INT(pst_loader_supply(loader, (uint64_t)b + 1, NULL, NULL), PST_OK);
            take(loader, &batch[is_supplied][b]);
            CHECK_INT(is_lent(&batch[is_supplied][b].images), is_supplied);
            CHECK(!is_lent(&batch[is_supplied][b].labels));
        }
        if (is_supplied)
            CHECK_INT(slab_bytes(loader), 0);
        pst_loader_close(&loader);
    }
    for (int b = 0; b < N_BATCHES; b++) {
        CHECK_INT(n_back, b);
        CHECK(pst_tensor_equal(&batch[0][b].images, &batch[1][b].images));
        CHECK(pst_tensor_equal(&batch[0][b].labels, &batch[1][b].labels));
        pst_batch_reset(&batch[0][b]);
        pst_batch_reset(&batch[1][b]);
    }
    CHECK_INT(n_lent, N_BATCHES);
    CHECK_INT(n_back, N_BATCHES);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* Who waits for a batch whose memory nobody brings gets one in the loader's own. */
static void nobody_supplies(void)
{
    struct pst_loader *loader =
        open_loader(a_config(), images_new(N), images_transform(SIZE, 0, NULL));
    uint64_t first = submit(loader, 0, BATCH), ticket;
    size_t bytes;
    submit(loader, BATCH, BATCH);
    CHECK_INT(pst_loader_wanted(loader, &ticket, &bytes, NULL), PST_OK);
    CHECK_INT(ticket, (int64_t)first);
    CHECK_INT(bytes, BYTES);
    for (int i = 0; i < 2; i++) {
        struct pst_batch batch;
        take(loader, &batch);
        CHECK(!is_lent(&batch.images));
        pst_batch_reset(&batch);
    }
    CHECK_INT(pst_loader_wanted(loader, &ticket, &bytes, NULL), PST_END);
    pst_loader_close(&loader);
}

/* Batches ahead want memory when there is room for it, which is what they take together. */
static void budget(void)
{
    const int64_t large = 64 * BYTES; /* beside what threads hold */
    struct pst_loader_config config = a_config();
    config.memory_budget = (size_t)(5 * large / 2);
    struct pst_loader *loader =
        open_loader(config, images_new(N), images_transform(8 * SIZE, 0, NULL));
    struct pst_batch batch;
    struct pst_stats stats = {.struct_size = sizeof stats};
    uint64_t ticket;
    size_t bytes;
    for (int64_t b = 0; b < N_BATCHES; b++)
        submit(loader, b * BATCH, BATCH);
    for (int b = 0; b < N_BATCHES; b++) {
        supply_all(loader);
        if (b < N_BATCHES - 3)
            CHECK_INT(pst_loader_wanted(loader, &ticket, &bytes, NULL), PST_AGAIN);
        CHECK(slab_bytes(loader) >= large && slab_bytes(loader) <= 5 * large / 2);
        take(loader, &batch);
        CHECK(is_lent(&batch.images));
        pst_batch_reset(&batch);
    }
    CHECK_INT(pst_loader_stats(loader, &stats, NULL), PST_OK);
    CHECK_INT(stats.over_budget, 0);
    CHECK_INT(stats.slab_allocs, 0);
    CHECK(stats.slab_peak_bytes <= 5 * large / 2);
    pst_loader_close(&loader);
}

/* With room for one batch and nothing else: the oldest is let through, and counted. */
static void full_budget(void)
{
    struct pst_loader_config config = a_config();
    config.memory_budget = (size_t)64 * BYTES;
    struct pst_loader *loader =
        open_loader(config, images_new(N), images_transform(8 * SIZE, 0, NULL));
    struct pst_stats stats = {.struct_size = sizeof stats};
    for (int64_t b = 0; b < N_BATCHES; b++)
        submit(loader, b * BATCH, BATCH);
    for (int b = 0; b < N_BATCHES; b++) {
        struct pst_batch batch;
        CHECK_INT(supply_all(loader), 1);
        take(loader, &batch);
        CHECK(is_lent(&batch.images));
        pst_batch_reset(&batch);
    }
    CHECK_INT(pst_loader_stats(loader, &stats, NULL), PST_OK);
    CHECK(stats.over_budget > 0);
    pst_loader_close(&loader);
}

/* What will never fit wants no memory, and is refused as ever. */
static void larger_than_the_budget(void)
{
    struct pst_loader_config config = a_config();
    config.memory_budget = BYTES - 1;
    struct pst_loader *loader = open_loader(config, images_new(N), images_transform(SIZE, 0, NULL));
    struct pst_event event;
    uint64_t ticket = submit(loader, 0, BATCH), wanted;
    size_t bytes;
    CHECK_INT(pst_loader_wanted(loader, &wanted, &bytes, NULL), PST_END);
    CHECK_INT(pst_loader_batch_bytes(loader, BATCH, &bytes, NULL), PST_OK);
    CHECK_INT(bytes, 0);
    CHECK_INT(pst_loader_batch_bytes(loader, BATCH - 1, &bytes, NULL), PST_OK);
    CHECK_INT(bytes, BYTES / BATCH * (BATCH - 1));
    CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
    CHECK_INT(event.kind, PST_EVENT_DOUBT);
    CHECK_INT(event.error.status, PST_ELIMIT);
    CHECK_INT(ticket, (int64_t)event.ticket);
    pst_loader_close(&loader);
}

/* Batches that are not delivered: their memory comes back in the call that drops them, when no
 * thread is at it. */
static void dropped(void)
{
    int64_t blocks = pst__mem_blocks();
    for (int is_closed = 0; is_closed < 2; is_closed++)
        for (int round = 0; round < 10; round++) {
            struct pst_loader *loader =
                open_loader(a_config(), images_new(N), images_transform(SIZE, 1, NULL));
            n_lent = n_back = 0;
            for (int64_t b = 0; b < N_BATCHES; b++)
                submit(loader, b * BATCH, BATCH);
            CHECK_INT(supply_all(loader), N_BATCHES);
            if (round % 2) {
                struct pst_batch batch;
                take(loader, &batch);
                pst_batch_reset(&batch);
            }
            CHECK_INT(n_back, round % 2);
            if (!is_closed) {
                CHECK_INT(pst_loader_cancel(loader, NULL), PST_OK);
                CHECK_INT(n_back, N_BATCHES);
                CHECK_INT(slab_bytes(loader), 0);
            }
            pst_loader_close(&loader);
            CHECK_INT(n_back, N_BATCHES);
        }
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* A batch whose second image is cut is given up, or goes on without it; later ones of the stream
 * draw again, in the memory that they have. */
static void damaged(void)
{
    int64_t blocks = pst__mem_blocks();
    for (int is_left_out = 0; is_left_out < 2; is_left_out++) {
        struct images *images = images_new(N);
        images_cut(images, 1);
        struct pst_loader *loader =
            open_loader(a_config(), images, images_transform(SIZE, 1, NULL));
        struct pst_event event;
        struct pst_batch batch;
        n_lent = n_back = 0;
        uint64_t ticket = submit(loader, 0, BATCH);
        submit(loader, BATCH, BATCH);
        CHECK_INT(supply_all(loader), 2);
        CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
        CHECK_INT(event.kind, PST_EVENT_DOUBT);
        if (is_left_out) {
            CHECK_INT(pst_loader_replace(loader, ticket, 1, -1, NULL, NULL), PST_OK);
            take(loader, &batch);
            CHECK(is_lent(&batch.images));
            CHECK_INT(batch.images.shape[0], BATCH - 1);
            pst_batch_reset(&batch);
        } else {
            CHECK_INT(pst_loader_fail(loader, ticket, 1, NULL), PST_OK);
            CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
            CHECK_INT(event.kind, PST_EVENT_FAILED);
            CHECK_INT(pst_loader_take(loader, ticket, &batch, NULL), PST_OK);
            CHECK(!batch.images.buffer);
        }
        CHECK_INT(n_back, 1);
        take(loader, &batch);
        CHECK(is_lent(&batch.images));
        pst_batch_reset(&batch);
        CHECK_INT(n_back, 2);
        CHECK_INT(n_lent, 2);
        pst_loader_close(&loader);
    }
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* Images keep their size: a batch is expected to be as the last one was. What is larger gets the
 * loader's own memory, what is not lies in the caller's. */
static void expected_sizes(void)
{
    static const struct {
        int64_t index;
        int is_supplied, is_lent;
    } step[] = {{0, 0, 0}, {0, 1, 1}, {1, 1, 0}, {0, 1, 1}, {1, 1, 0}, {1, 1, 1}};
    int64_t blocks = pst__mem_blocks();
    struct pst_op ops[] = {hflip(CERTAIN / 2)};
    struct pst_loader *loader =
        open_loader(a_config(), images_new(N), transform_of(ops, 1, PST_U8, PST_ERA_DEFAULT));
    size_t bytes;
    CHECK_INT(pst_loader_batch_bytes(loader, 1, &bytes, NULL), PST_OK);
    CHECK_INT(bytes, 0);
    n_lent = n_back = 0;
    for (size_t i = 0; i < sizeof step / sizeof *step; i++) {
        struct pst_batch batch;
        submit(loader, step[i].index, 1);
        CHECK_INT(supply_all(loader), step[i].is_supplied);
        take(loader, &batch);
        CHECK_INT(is_lent(&batch.images), step[i].is_lent);
        CHECK_INT(batch.images.shape[2], images_h((int)step[i].index));
        CHECK_INT(n_back, n_lent - step[i].is_lent);
        pst_batch_reset(&batch);
    }
    CHECK_INT(pst_loader_batch_bytes(loader, 2, &bytes, NULL), PST_OK);
    CHECK_INT(bytes, 2 * 3 * images_w(1) * images_h(1));
    pst_loader_close(&loader);
    CHECK_INT(n_back, n_lent);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void refusals(void)
{
    static _Alignas(PST_ALIGN) uint8_t block[BYTES + 1];
    struct pst_loader *loader =
        open_loader(a_config(), images_new(N), images_transform(SIZE, 0, NULL));
    uint64_t ticket = submit(loader, 0, BATCH), wanted;
    struct pst_error err = {0};
    struct pst_buffer *buffer;
    struct pst_batch batch;
    size_t bytes;
    CHECK_INT(pst_loader_wanted(loader, NULL, &bytes, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_wanted(loader, &wanted, NULL, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_batch_bytes(loader, BATCH + 1, &bytes, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_batch_bytes(loader, 0, &bytes, NULL), PST_EINVAL);
    CHECK_INT(pst_buffer_wrap_const(&buffer, block, BYTES, NULL, NULL, NULL), PST_OK);
    CHECK_INT(pst_loader_supply(loader, ticket, buffer, NULL), PST_EINVAL);
    pst_buffer_unref(buffer);
    CHECK_INT(pst_buffer_wrap(&buffer, block, BYTES - 1, NULL, NULL, NULL), PST_OK);
    CHECK_INT(pst_loader_supply(loader, ticket, buffer, &err), PST_EINVAL);
    CHECK_STR(err.message, "12287 bytes for a batch of 12288");
    pst_buffer_unref(buffer);
    CHECK_INT(pst_buffer_wrap(&buffer, block + 1, BYTES, NULL, NULL, NULL), PST_OK);
    CHECK_INT(pst_loader_supply(loader, ticket, buffer, NULL), PST_EINVAL);
    pst_buffer_unref(buffer);
    CHECK_INT(pst_buffer_wrap(&buffer, block, BYTES, NULL, NULL, NULL), PST_OK);
    CHECK_INT(pst_loader_supply(loader, ticket + 1, buffer, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_supply(loader, ticket, buffer, NULL), PST_OK);
    CHECK_INT(pst_loader_supply(loader, ticket, buffer, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_supply(loader, ticket, NULL, NULL), PST_EINVAL);
    pst_buffer_unref(buffer);
    take(loader, &batch);
    CHECK(batch.images.data == block);
    CHECK(!pst_buffer_opaque(batch.images.buffer, give_back));
    CHECK(!pst_buffer_opaque(batch.labels.buffer, NULL));
    CHECK(!pst_buffer_opaque(NULL, NULL));
    pst_batch_reset(&batch);
    pst_loader_close(&loader);
}

/* A child of fork() has the parent's memory and gives none of it back. */
static void in_a_child(void)
{
    struct pst_loader *loader =
        open_loader(a_config(), images_new(N), images_transform(SIZE, 0, NULL));
    uint64_t ticket = submit(loader, 0, BATCH);
    size_t bytes;
    n_lent = n_back = 0;
    supply_all(loader);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int is_refused = pst_loader_wanted(loader, &ticket, &bytes, NULL) == PST_EFORKED &&
                         pst_loader_supply(loader, ticket, NULL, NULL) == PST_EFORKED &&
                         pst_loader_batch_bytes(loader, 1, &bytes, NULL) == PST_EFORKED;
        pst_loader_close(&loader);
        _exit(is_refused && n_back == 0 ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
    pst_loader_close(&loader);
    CHECK_INT(n_back, 1);
}

#ifdef PST_CHECKS
/* Open, submit, supply and take, however far it goes. */
static int run(struct pst_dataset *dataset, struct pst_transform *transform)
{
    struct pst_loader_config config = a_config();
    struct pst_loader *loader = NULL;
    config.dataset = dataset;
    config.transform = transform;
    config.threads = 2;
    config.memory_budget = 1 << 30; /* the system is not asked for one */
    int rc = pst_loader_open(&loader, &config, NULL);
    for (int64_t b = 0; b < N_BATCHES && rc == PST_OK; b++) {
        const int64_t indices[BATCH] = {4 * b, 4 * b + 1, 4 * b + 2, 4 * b + 3};
        uint64_t ticket;
        rc = pst_loader_submit_supplied(loader, indices, BATCH, 0, &ticket, NULL);
    }
    uint64_t ticket;
    size_t bytes;
    while (rc == PST_OK && (rc = pst_loader_wanted(loader, &ticket, &bytes, NULL)) == PST_OK) {
        struct pst_buffer *memory = NULL;
        void *block = aligned_alloc(PST_ALIGN, bytes);
        rc = pst_buffer_wrap(&memory, block, bytes, give_back, block, NULL);
        n_lent++;
        if (rc < 0)
            give_back(block);
        if (rc == PST_OK)
            rc = pst_loader_supply(loader, ticket, memory, NULL);
        pst_buffer_unref(memory);
    }
    for (int b = 0; b < N_BATCHES && rc >= PST_OK; b++) {
        struct pst_event event;
        struct pst_batch batch = {0};
        rc = pst_loader_wait(loader, &event, 60000, NULL);
        if (rc == PST_OK && event.kind == PST_EVENT_DOUBT)
            rc = event.error.status;
        if (rc == PST_OK)
            rc = pst_loader_take(loader, event.ticket, &batch, NULL);
        CHECK(rc != PST_OK || is_lent(&batch.images));
        pst_batch_reset(&batch);
    }
    pst_loader_close(&loader);
    return rc;
}

static void faults(void)
{
    struct pst_dataset *dataset = images_dataset(images_new(N), NULL);
    struct pst_transform *transform = images_transform(SIZE, 1, NULL);
    static const uint32_t kinds[] = {1u << PST_SYS_ALLOC, 1u << PST_SYS_MAP, 1u << PST_SYS_THREAD};
    int64_t blocks = pst__mem_blocks();
    int n_failed = 0;
    n_lent = n_back = 0;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        int64_t fired = 1;
        for (int64_t nth = 1; fired > 0; nth++) {
            pst__fault_arm(kinds[k], nth, 0, 12);
            int rc = run(dataset, transform);
            fired = pst__fault_fired();
            pst__fault_disarm();
            CHECK(fired > 0 || rc == PST_OK);
            n_failed += rc < 0;
            CHECK_INT(n_back, n_lent);
            CHECK_INT(pst__mem_blocks(), blocks);
            check_tried(fired);
        }
    }
    CHECK(n_failed > 20); /* not all: what can be done without is done without */
    pst_dataset_unref(dataset);
    pst_transform_unref(transform);
}
#define FAULTS , FAULT("R6 R17", faults)
#else
#define FAULTS
#endif

CHECK_MAIN(CASE(same_batches), CASE(nobody_supplies), CASE(budget), CASE(full_budget),
           CASE(larger_than_the_budget), CASE(dropped), CASE(damaged), CASE(expected_sizes),
           CASE(refusals), CASE(in_a_child) FAULTS)
