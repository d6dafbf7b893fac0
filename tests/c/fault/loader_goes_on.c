/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/penstock.h>

#include <errno.h>

#include "base/mem.h"
#include "base/sys.h"
#include "check.h"
#include "unit/images.h"

/* One loader through all of it: each call that opens, looks at or reads a file fails in turn, with
 * each errno, once and for ever. The batches that this hits are errors that name the file, the
 * others are whole, and the next epoch, without faults, is as if nothing had been. */

enum { N = 12, SIZE = 16, BATCH = 2, BATCHES = N / BATCH };

#ifdef PST_CHECKS

static struct images_files on_disk;
static const int64_t labels[N];
static float whole[BATCHES][BATCH * 3 * SIZE * SIZE];

static struct pst_loader *open_loader(void)
{
    struct pst_dataset *dataset;
    struct pst_loader *loader = NULL;
    struct pst_loader_config config;
    struct pst_error err = {0};
    CHECK_INT(pst_paths_open(&dataset, on_disk.paths, on_disk.paths_size, labels, N, &err), PST_OK);
    struct pst_transform *transform = images_transform(SIZE, 0, &err);
    CHECK(transform);
    pst_loader_config_init(&config);
    config.dataset = dataset;
    config.transform = transform;
    config.batch_size = BATCH;
    config.threads = 2;
    CHECK_INT(pst_loader_open(&loader, &config, &err), PST_OK);
    pst_transform_unref(transform);
    pst_dataset_unref(dataset);
    return loader;
}

static void check_error(int rc, const struct pst_error *err, int os_errno)
{
    CHECK_INT(rc, PST_EIO);
    CHECK_INT(err->status, PST_EIO);
    CHECK_INT(err->os_errno, os_errno);
    CHECK_HAS(err->message, on_disk.folder);
}

/* An epoch to its end; the number of its batches that are errors. */
static int run_epoch(struct pst_loader *loader, int os_errno)
{
    int n_errors = 0;
    for (int i = 0; i <= BATCHES; i++) {
        struct pst_batch batch = {0};
        struct pst_error err = {0};
        int rc = pst_loader_next(loader, &batch, &err);
        CHECK((rc == PST_END) == (i == BATCHES));
        if (rc < 0) {
            check_error(rc, &err, os_errno);
            n_errors++;
        } else if (rc == PST_OK) {
            CHECK(memcmp(batch.images.data, whole[i], sizeof whole[i]) == 0);
            pst_batch_reset(&batch);
        }
    }
    return n_errors;
}

static void remember_epoch(struct pst_loader *loader)
{
    for (int i = 0; i <= BATCHES; i++) {
        struct pst_batch batch = {0};
        int rc = pst_loader_next(loader, &batch, NULL);
        CHECK_INT(rc, i < BATCHES ? PST_OK : PST_END);
        if (rc == PST_OK)
            memcpy(whole[i], batch.images.data, sizeof whole[i]);
        pst_batch_reset(&batch);
    }
}

/* Fails call after call, until an epoch has none that is left to fail. */
static void sweep(struct pst_loader *loader, enum pst__sys_call call, int os_errno, int forever)
{
    for (int nth = 1;; nth++) {
        pst__fault_arm(1u << call, nth, forever, os_errno);
        int n_errors = run_epoch(loader, os_errno);
        int64_t fired = pst__fault_fired();
        pst__fault_disarm();
        int is_harmless = os_errno == EINTR && !forever && call != PST_SYS_STAT; /* made again */
        if (is_harmless || fired == 0)
            CHECK_INT(n_errors, 0);
        else if (!forever)
            CHECK_INT(n_errors, 1);
        else
            CHECK(n_errors >= 1 && n_errors <= fired);
        CHECK_INT(run_epoch(loader, 0), 0);
        if (fired == 0)
            return;
        check_tried(1);
        CHECK(nth < 100);
    }
}

static void every_call_and_errno(void)
{
    static const int errnos[] = {EIO, ESTALE, EACCES, EMFILE, ENFILE, EAGAIN, ENOENT, EINTR};
    static const enum pst__sys_call calls[] = {PST_SYS_OPEN, PST_SYS_STAT, PST_SYS_READ};
    int64_t blocks = pst__mem_blocks();
    images_files_open(&on_disk, N);
    struct pst_loader *loader = open_loader();
    remember_epoch(loader);
    for (size_t e = 0; e < sizeof errnos / sizeof *errnos; e++)
        for (size_t c = 0; c < sizeof calls / sizeof *calls; c++)
            for (int forever = 0; forever < 2; forever++)
                sweep(loader, calls[c], errnos[e], forever);
    pst_loader_close(&loader);
    CHECK_INT(pst__mem_blocks(), blocks);
    images_files_close(&on_disk);
}

CHECK_MAIN(FAULT("R7", every_call_and_errno))

#else
int main(void)
{
    return 77;
}
#endif
