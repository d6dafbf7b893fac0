/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/penstock.h>

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "check.h"
#include "images.h"
#include "loader/ring.h"

/* What a loader says it did: every stage of every sample once, on threads that did one thing at a
 * time, and the same batches whether it is asked for that or not. */

enum {
    N = 37,
    SIZE = 24,
    BATCH = 4,
    N_BATCHES = (N + BATCH - 1) / BATCH,
    MOST = 4096,
    THREADS = 2
};

struct setup {
    struct images *images;
    struct pst_dataset *dataset;
    struct pst_transform *transform;
    struct pst_loader *loader;
};

static void setup(struct setup *s, int cut, int rng)
{
    struct pst_loader_config config;
    s->images = images_new(N);
    if (cut >= 0)
        images_cut(s->images, cut);
    s->dataset = images_dataset(s->images, NULL);
    s->transform = images_transform(SIZE, 1, NULL);
    CHECK(s->dataset && s->transform);
    pst_loader_config_init(&config);
    config.dataset = s->dataset;
    config.transform = s->transform;
    config.batch_size = BATCH;
    config.threads = THREADS;
    config.rng = rng;
    config.shuffle = 1;
    CHECK_INT(pst_loader_open(&s->loader, &config, NULL), PST_OK);
}

static void teardown(struct setup *s)
{
    pst_loader_close(&s->loader);
    pst_transform_unref(s->transform);
    pst_dataset_unref(s->dataset);
}

static uint64_t hash(uint64_t h, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        h = (h ^ bytes[i]) * 1099511628211u;
    return h;
}

/* One epoch; what it delivered. A batch that fails is an error of next(). */
static uint64_t epoch(struct setup *s, int *n_failed)
{
    uint64_t h = 14695981039346656037u;
    *n_failed = 0;
    for (;;) {
        struct pst_batch batch = {0};
        int rc = pst_loader_next(s->loader, &batch, NULL);
        if (rc == PST_END)
            return h;
        if (rc < 0) {
            (*n_failed)++;
            continue;
        }
        CHECK_INT(rc, PST_OK);
        h = hash(h, batch.images.data,
                 (size_t)pst_tensor_numel(&batch.images) * pst_dtype_size(batch.images.dtype));
        h = hash(h, batch.labels.data, (size_t)batch.labels.shape[0] * sizeof(int64_t));
        pst_batch_reset(&batch);
    }
}

static size_t drain(struct setup *s, struct pst_trace_event *events, size_t piece, uint64_t *lost)
{
    size_t n = 0, taken;
    do {
        CHECK(n + piece <= MOST);
        CHECK_INT(pst_loader_trace(s->loader, events + n, piece, &taken, lost, NULL), PST_OK);
        n += taken;
    } while (taken == piece);
    return n;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int is_worked_on(const struct pst_trace_event *e)
{
    return e->kind <= PST_TRACE_TRANSFORM || e->kind == PST_TRACE_WAIT ||
           e->kind == PST_TRACE_REFERENCE;
}

/* Of one thread the events follow each other, those that are no batch. */
static void check_order(const struct pst_trace_event *events, size_t n, int64_t start, int64_t end)
{
    int64_t last[THREADS + 1] = {0};
    for (size_t i = 0; i < n; i++) {
        const struct pst_trace_event *e = &events[i];
        CHECK(e->thread >= 0 && e->thread <= THREADS);
        CHECK(e->start_ns >= start && e->duration_ns >= 0);
        CHECK(e->start_ns + e->duration_ns <= end);
        if (!is_worked_on(e))
            continue;
        CHECK(e->start_ns >= last[e->thread]);
        last[e->thread] = e->start_ns + e->duration_ns;
    }
}

/* How often each stage was noted for each sample. */
static void count_stages(const struct pst_trace_event *events, size_t n, int seen[N][6])
{
    memset(seen, 0, sizeof(int[N][6]));
    for (size_t i = 0; i < n; i++) {
        const struct pst_trace_event *e = &events[i];
        if (e->kind > PST_TRACE_TRANSFORM)
            continue;
        CHECK(e->index >= 0 && e->index < N);
        CHECK(e->slot >= 0 && e->slot < BATCH);
        CHECK(e->ticket >= 1 && e->ticket <= 2 * N_BATCHES);
        CHECK(e->thread < THREADS || e->kind == PST_TRACE_PLAN);
        seen[e->index][e->kind]++;
    }
}

static int64_t total(const struct pst_trace_event *events, size_t n, int kind)
{
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        if (events[i].kind == kind)
            sum += events[i].count;
    return sum;
}

static void check_epoch(const struct pst_trace_event *events, size_t n, int rng)
{
    int seen[N][6];
    count_stages(events, n, seen);
    for (int i = 0; i < N; i++) {
        CHECK_INT(seen[i][PST_TRACE_READ], 1);
        CHECK_INT(seen[i][PST_TRACE_PROBE], 1);
        CHECK_INT(seen[i][PST_TRACE_DECODE], 1);
        CHECK_INT(seen[i][PST_TRACE_TRANSFORM], 1);
        if (rng == PST_RNG_SAMPLE)
            CHECK_INT(seen[i][PST_TRACE_PLAN], 1);
    }
    CHECK_INT(total(events, n, PST_TRACE_PLAN), N);
    CHECK_INT(total(events, n, PST_TRACE_READY), N);
    CHECK_INT(total(events, n, PST_TRACE_SUBMIT), N);
    CHECK_INT(total(events, n, PST_TRACE_BATCH), N);
}

static void test_every_stage_of_every_sample_once(void)
{
    static struct pst_trace_event events[MOST];
    for (int rng = PST_RNG_TORCH; rng <= PST_RNG_SAMPLE; rng++) {
        struct setup s;
        int failed;
        uint64_t lost;
        setup(&s, -1, rng);
        int64_t start = now_ns();
        CHECK_INT(pst_loader_trace_start(s.loader, 1024, NULL), PST_OK);
        epoch(&s, &failed);
        CHECK_INT(failed, 0);
        CHECK_INT(pst_loader_trace_stop(s.loader, NULL), PST_OK);
        /* In one piece, so that those of a thread are in order. */
        size_t n = drain(&s, events, MOST, &lost);
        CHECK_INT(lost, 0);
        check_order(events, n, start, now_ns());
        check_epoch(events, n, rng);
        /* It has ended, and holds nothing. */
        int64_t held = pst__mem_live(PST_MEM_HEAP);
        CHECK_INT(pst_loader_trace_start(s.loader, 1024, NULL), PST_OK);
        CHECK(pst__mem_live(PST_MEM_HEAP) > held + 1024 * (int64_t)sizeof(struct pst_trace_event));
        CHECK_INT(pst_loader_trace_stop(s.loader, NULL), PST_OK);
        CHECK_INT(drain(&s, events, MOST, &lost), 0);
        CHECK_INT(pst__mem_live(PST_MEM_HEAP), held);
        epoch(&s, &failed);
        CHECK_INT(drain(&s, events, MOST, &lost), 0);
        teardown(&s);
    }
}

static void test_batches_are_the_same(void)
{
    for (int rng = PST_RNG_TORCH; rng <= PST_RNG_SAMPLE; rng++) {
        uint64_t plain[2], traced[2];
        int failed;
        struct setup s;
        setup(&s, 5, rng);
        for (int i = 0; i < 2; i++) {
            plain[i] = epoch(&s, &failed);
            CHECK_INT(failed, 1);
        }
        teardown(&s);
        setup(&s, 5, rng);
        CHECK_INT(pst_loader_trace_start(s.loader, 8, NULL), PST_OK);
        for (int i = 0; i < 2; i++)
            traced[i] = epoch(&s, &failed);
        teardown(&s); /* with events that nobody took */
        CHECK(plain[0] == traced[0] && plain[1] == traced[1] && plain[0] != plain[1]);
    }
}

static void test_a_doubt_is_noted(void)
{
    static struct pst_trace_event events[MOST];
    struct setup s;
    int failed, n_doubts = 0;
    uint64_t lost;
    setup(&s, 11, PST_RNG_TORCH);
    CHECK_INT(pst_loader_trace_start(s.loader, 1024, NULL), PST_OK);
    epoch(&s, &failed);
    CHECK_INT(failed, 1);
    size_t n = drain(&s, events, MOST, &lost);
    check_order(events, n, 0, now_ns());
    for (size_t i = 0; i < n; i++) {
        if (events[i].kind != PST_TRACE_REFERENCE)
            continue;
        n_doubts++;
        CHECK_INT(events[i].index, 11);
        CHECK_INT(events[i].thread, THREADS);
    }
    CHECK_INT(n_doubts, 1);
    CHECK_INT(total(events, n, PST_TRACE_BATCH), N);
    teardown(&s);
}

static void test_what_is_dropped_is_noted(void)
{
    static struct pst_trace_event events[MOST];
    struct setup s;
    uint64_t lost, ticket;
    int64_t index = 3;
    setup(&s, -1, PST_RNG_SAMPLE);
    CHECK_INT(pst_loader_trace_start(s.loader, 1024, NULL), PST_OK);
    CHECK_INT(pst_loader_seed(s.loader, 0, 1, NULL), PST_OK);
    CHECK_INT(pst_loader_submit(s.loader, &index, 1, 0, &ticket, NULL), PST_OK);
    CHECK_INT(pst_loader_cancel(s.loader, NULL), PST_OK);
    size_t n = drain(&s, events, MOST, &lost);
    CHECK_INT(total(events, n, PST_TRACE_SUBMIT), 1);
    CHECK_INT(total(events, n, PST_TRACE_BATCH), 1);
    CHECK_INT(pst_loader_submit(s.loader, &index, 1, 0, &ticket, NULL), PST_OK);
    n = drain(&s, events, MOST, &lost); /* is still there */
    CHECK_INT(total(events, n, PST_TRACE_SUBMIT), 1);
    CHECK_INT(total(events, n, PST_TRACE_BATCH), 0);
    teardown(&s);
}

/* The oldest go, each is counted, and what is left is the end. */
static void test_rings_are_bounded(void)
{
    static struct pst_trace_event all[MOST], few[MOST];
    struct setup s;
    int failed;
    uint64_t lost;
    setup(&s, -1, PST_RNG_SAMPLE);
    CHECK_INT(pst_loader_trace_start(s.loader, 5, NULL), PST_OK);
    epoch(&s, &failed);
    size_t n = drain(&s, few, 2, &lost);
    /* One thread may have done it all. */
    CHECK(n >= 5 * 2 && n <= 5 * (THREADS + 1));
    /* Five events a sample, and one a batch, and what the consumer did. */
    CHECK(lost + n >= 5 * N + 2 * N_BATCHES);
    /* A new start forgets the loss, and everything before it. */
    CHECK_INT(pst_loader_trace_start(s.loader, 1024, NULL), PST_OK);
    int64_t start = now_ns();
    epoch(&s, &failed);
    n = drain(&s, all, MOST, &lost);
    CHECK_INT(lost, 0);
    check_order(all, n, start, now_ns());
    check_epoch(all, n, PST_RNG_SAMPLE);
    teardown(&s);
}

/* While the threads work, and whoever starts and ends it meanwhile. */
static void test_taken_while_it_runs(void)
{
    static struct pst_trace_event events[MOST];
    struct setup s;
    setup(&s, -1, PST_RNG_TORCH);
    for (int round = 0; round < 6; round++) {
        for (int i = 0;; i++) {
            struct pst_batch batch = {0};
            uint64_t lost;
            if (pst_loader_next(s.loader, &batch, NULL) == PST_END)
                break;
            pst_batch_reset(&batch);
            if (i % 3 == round % 3)
                CHECK_INT(pst_loader_trace_start(s.loader, (size_t)(1 + i), NULL), PST_OK);
            if (i % 3 == 2)
                CHECK_INT(pst_loader_trace_stop(s.loader, NULL), PST_OK);
            drain(&s, events, 7, &lost);
        }
    }
    teardown(&s);
}

static void test_what_is_refused(void)
{
    struct setup s;
    struct pst_error err;
    struct pst_trace_event event;
    size_t taken;
    uint64_t lost;
    setup(&s, -1, PST_RNG_TORCH);
    CHECK_INT(pst_loader_trace_start(s.loader, 0, &err), PST_EINVAL);
    CHECK_INT(pst_loader_trace_start(s.loader, PST_TRACE_MOST + 1, &err), PST_EINVAL);
    CHECK_HAS(err.message, "1048576");
    CHECK_INT(pst_loader_trace(s.loader, NULL, 1, &taken, &lost, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_trace(s.loader, &event, 0, &taken, &lost, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_trace(s.loader, &event, 1, NULL, &lost, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_trace(s.loader, &event, 1, &taken, NULL, NULL), PST_EINVAL);
    CHECK_INT(pst_loader_trace_stop(s.loader, NULL), PST_OK);
    CHECK_INT(pst_loader_trace(s.loader, &event, 1, &taken, &lost, NULL), PST_OK);
    CHECK_INT(taken, 0);
    CHECK_INT(lost, 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        _exit(pst_loader_trace_start(s.loader, 1, NULL) != PST_EFORKED ||
              pst_loader_trace_stop(s.loader, NULL) != PST_EFORKED ||
              pst_loader_trace(s.loader, &event, 1, &taken, &lost, NULL) != PST_EFORKED);
    int status;
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK_INT(status, 0);
    teardown(&s);
}

/* Against a plain list, for each capacity, with takes in between. */
static void test_ring(void)
{
    for (size_t capacity = 0; capacity <= 9; capacity++) {
        struct pst__ring ring;
        struct pst_trace_event out[9];
        uint64_t next = 0, oldest = 0, expected_lost = 0;
        CHECK_INT(pst__ring_init(&ring), PST_OK);
        CHECK_INT(pst__ring_resize(&ring, capacity), PST_OK);
        uint32_t seed = (uint32_t)capacity;
        for (int step = 0; step < 2000; step++) {
            seed = seed * 1664525u + 1013904223u;
            if (seed >> 30) {
                struct pst_trace_event event = {.ticket = next++};
                pst__ring_add(&ring, &event);
                if (next - oldest > capacity) {
                    oldest++;
                    expected_lost += capacity > 0;
                }
                continue;
            }
            uint64_t lost = 0;
            size_t most = (seed >> 20) % 10, held = (size_t)(next - oldest);
            size_t n = pst__ring_take(&ring, out, most, &lost);
            CHECK_INT(n, most < held ? most : held);
            for (size_t i = 0; i < n; i++)
                CHECK_INT(out[i].ticket, oldest++);
            CHECK_INT(lost, expected_lost);
        }
        pst__ring_reset(&ring);
    }
}

CHECK_MAIN(CASE(test_ring), CASE(test_every_stage_of_every_sample_once),
           CASE(test_batches_are_the_same), CASE(test_a_doubt_is_noted),
           CASE(test_what_is_dropped_is_noted), CASE(test_rings_are_bounded),
           CASE(test_taken_while_it_runs), CASE(test_what_is_refused))
