/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/penstock.h>

#include <dirent.h>
#include <errno.h>

#include "base/mem.h"
#include "base/sys.h"
#include "check.h"
#include "unit/images.h"

/* Open, three batches, close, on files: every call of the system that can fail does, in turn.
 * Whatever fails ends in a status with a sentence, nothing is left behind, and the next run is
 * whole. */

enum { N = 12, SIZE = 16, BATCH = 4 };

#ifdef PST_CHECKS

static struct images_files on_disk;
static const int64_t labels[N];

static int open_files(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* A failure says what it is. */
static int is_error(int rc, const struct pst_error *err)
{
    if (rc >= 0)
        return 0;
    CHECK_INT(err->status, rc);
    CHECK(strlen(err->message) > 5);
    CHECK(rc == PST_ENOMEM || rc == PST_EIO || rc == PST_ETHREAD || rc == PST_ETIMEOUT);
    return 1;
}

/* The batches that came through whole. */
static int run_batches(struct pst_loader *loader)
{
    int n_batches = 0;
    for (;;) {
        struct pst_batch batch = {0};
        struct pst_error err;
        pst_error_init(&err);
        int rc = pst_loader_next(loader, &batch, &err);
        if (rc == PST_END)
            return n_batches;
        if (is_error(rc, &err)) {
            /* The error of one batch, or of the loader: in both cases the epoch can be given up. */
            pst_loader_cancel(loader, NULL);
            return n_batches;
        }
        n_batches++;
        CHECK_INT(batch.images.shape[0], BATCH);
        pst_batch_reset(&batch);
    }
}

static int is_array; /* the next runs are of pixels in memory, not of files */

static int is_traced;

static int open_dataset(struct pst_dataset **dataset, struct pst_error *err)
{
    static const uint8_t bytes[N][30][40][3];
    const struct pst_pixels first = {&bytes[0][0][0][0], 40, 30, 3, 3 * 40, 3, 1};
    if (is_array)
        return pst_pixels_open(dataset, &first, N, sizeof bytes[0], labels, NULL, NULL, err);
    return pst_paths_open(dataset, on_disk.paths, on_disk.paths_size, labels, N, err);
}

static int run(int is_train)
{
    struct pst_dataset *dataset = NULL;
    struct pst_transform *transform = NULL;
    struct pst_loader *loader = NULL;
    struct pst_loader_config config;
    struct pst_error err;
    int n_batches = 0;
    pst_error_init(&err);
    if (!is_error(open_dataset(&dataset, &err), &err)) {
        transform = images_transform(SIZE, is_train, &err);
        is_error(err.status, &err);
    }
    if (transform) {
        pst_loader_config_init(&config);
        config.dataset = dataset;
        config.transform = transform;
        config.batch_size = BATCH;
        config.threads = 2;
        config.n_streams = 2;
        if (!is_error(pst_loader_open(&loader, &config, &err), &err)) {
            if (is_traced) /* a loader that cannot trace loads all the same */
                is_error(pst_loader_trace_start(loader, 16, &err), &err);
            n_batches = run_batches(loader);
        }
    }
    pst_loader_close(&loader);
    pst_transform_unref(transform);
    pst_dataset_unref(dataset);
    return n_batches;
}

/* Fails call after call until a run meets no fault any more; the number of runs that met one. */
static int sweep(uint32_t mask, int os_errno, int forever)
{
    int64_t blocks = pst__mem_blocks();
    int files = open_files();
    for (int64_t nth = 1;; nth++) {
        pst__fault_arm(mask, nth, forever, os_errno);
        int n_batches = run(nth % 2);
        int64_t fired = pst__fault_fired();
        pst__fault_disarm();
        CHECK_INT(pst__mem_blocks(), blocks);
        CHECK_INT(open_files(), files);
        if (fired == 0) {
            CHECK_INT(n_batches, N / BATCH);
            check_tried(nth - 1);
            return (int)nth - 1;
        }
        CHECK(nth < 5000);
    }
}

static void test_clean_run(void)
{
    images_files_open(&on_disk, N);
    CHECK_INT(run(0), N / BATCH);
    CHECK_INT(run(1), N / BATCH);
}

static void test_memory(void)
{
    CHECK(sweep(1u << PST_SYS_ALLOC, ENOMEM, 0) > 20);
    CHECK(sweep(1u << PST_SYS_ALLOC, ENOMEM, 1) > 20);
    CHECK(sweep(1u << PST_SYS_MAP, ENOMEM, 0) >= 1);
    CHECK(sweep(1u << PST_SYS_MAP, ENOMEM, 1) >= 1);
}

static void test_memory_of_arrays(void)
{
    is_array = 1;
    CHECK_INT(run(1), N / BATCH);
    CHECK(sweep(1u << PST_SYS_ALLOC, ENOMEM, 0) > 20);
    CHECK(sweep(1u << PST_SYS_ALLOC, ENOMEM, 1) > 20);
    CHECK(sweep(1u << PST_SYS_MAP, ENOMEM, 0) >= 1);
    is_array = 0;
}

static void test_memory_of_traces(void)
{
    is_traced = 1;
    CHECK(sweep(1u << PST_SYS_ALLOC, ENOMEM, 0) > 20);
    CHECK(sweep(1u << PST_SYS_ALLOC, ENOMEM, 1) > 20);
    is_traced = 0;
}

static void test_files(void)
{
    static const int errnos[] = {EIO, EACCES, EMFILE, ENFILE, ESTALE, EINTR};
    for (size_t i = 0; i < sizeof errnos / sizeof *errnos; i++)
        for (int forever = 0; forever < 2; forever++) {
            CHECK(sweep(1u << PST_SYS_OPEN, errnos[i], forever) >= N - 3);
            CHECK(sweep(1u << PST_SYS_READ, errnos[i], forever) >= N - 3);
            CHECK(sweep(1u << PST_SYS_STAT, errnos[i], forever) >= N - 3);
        }
}

/* Reads of one byte are not an error. */
static void test_short_reads(void)
{
    pst__fault_arm(1u << PST_SYS_READ, 1, 1, 0);
    CHECK_INT(run(1), N / BATCH);
    CHECK(pst__fault_fired() > N);
    pst__fault_disarm();
}

static void test_threads(void)
{
    CHECK_INT(sweep(1u << PST_SYS_THREAD, EAGAIN, 0), 2);
    CHECK_INT(sweep(1u << PST_SYS_THREAD, EAGAIN, 1), 2);
    images_files_close(&on_disk);
}

CHECK_MAIN(CASE(test_clean_run), FAULT("R17", test_memory), FAULT("R17", test_memory_of_arrays),
           FAULT("R17", test_memory_of_traces), FAULT("R7", test_files),
           FAULT("R6", test_short_reads), FAULT("R34", test_threads))

#else
int main(void)
{
    return 77;
}
#endif
