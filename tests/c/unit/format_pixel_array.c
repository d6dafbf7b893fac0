/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/dataset.h>

#include "base/limits.h"
#include "base/mem.h"
#include "check.h"
#include "format/dataset.h"
#include "io/record.h"

static int n_released;

static void release(void *opaque)
{
    CHECK(opaque == &n_released);
    n_released++;
}

static void test_records(void)
{
    static const uint8_t bytes[3][2][5][3] = {{{{1, 2, 3}}}};
    static const int64_t labels[3] = {4, -5, INT64_MAX};
    const struct pst_pixels first = {&bytes[0][0][0][0], 5, 2, 3, 15, 3, 1};
    int64_t blocks = pst__mem_blocks();
    struct pst_dataset *dataset = NULL;
    struct pst_record record = {0};
    struct pst_pixels size;
    CHECK_INT(pst_pixels_open(&dataset, &first, 3, 30, labels, release, &n_released, NULL), PST_OK);
    CHECK_INT(pst_dataset_length(dataset), 3);
    CHECK(!pst_dataset_name(dataset, 1));
    CHECK_INT(pst__dataset_uniform(dataset, &size), 1);
    CHECK(size.width == 5 && size.height == 2 && size.channels == 3);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(pst_dataset_label(dataset, i), labels[i]);
        CHECK_INT(pst__dataset_read(dataset, i, &record, NULL), PST_OK);
        CHECK(record.pixels.data == &bytes[i][0][0][0] && record.pixels.row == 15);
        CHECK(!record.data);
    }
    CHECK_INT(pst__dataset_read(dataset, 3, &record, NULL), PST_ERANGE);
    pst__record_reset(&record);
    CHECK_INT(n_released, 0);
    pst_dataset_unref(dataset);
    CHECK_INT(n_released, 1);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void test_wrong_arguments(void)
{
    static const uint8_t byte = 0;
    static const int64_t label = 0;
    const struct pst_pixels good = {&byte, 1, 1, 1, 1, 1, 0};
    static const struct {
        int32_t width, height, channels;
        int status;
    } wrong[] = {
        {0, 1, 1, PST_EINVAL},
        {1, -1, 1, PST_EINVAL},
        {1, 1, 2, PST_EINVAL},
        {1, 1, 4, PST_EINVAL},
        {PST_MAX_PLAN_SIDE + 1, 1, 1, PST_ELIMIT},
        {1 << 20, 1 << 20, 3, PST_ELIMIT},
    };
    struct pst_dataset *dataset = NULL;
    struct pst_error err;
    int before = n_released;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct pst_pixels p = good;
        p.width = wrong[i].width;
        p.height = wrong[i].height;
        p.channels = wrong[i].channels;
        pst_error_init(&err);
        CHECK_INT(pst_pixels_open(&dataset, &p, 1, 1, &label, release, NULL, &err),
                  wrong[i].status);
        CHECK(err.status == wrong[i].status && strlen(err.message) > 5 && !dataset);
    }
    struct pst_pixels none = good;
    none.data = NULL;
    CHECK_INT(pst_pixels_open(&dataset, &none, 1, 1, &label, release, NULL, NULL), PST_EINVAL);
    CHECK_INT(pst_pixels_open(NULL, &good, 1, 1, &label, release, NULL, NULL), PST_EINVAL);
    CHECK_INT(pst_pixels_open(&dataset, NULL, 1, 1, &label, release, NULL, NULL), PST_EINVAL);
    CHECK_INT(pst_pixels_open(&dataset, &good, 1, 1, NULL, release, NULL, NULL), PST_EINVAL);
    CHECK_INT(pst_pixels_open(&dataset, &good, -1, 1, &label, release, NULL, NULL), PST_EINVAL);
    CHECK_INT(pst_pixels_open(&dataset, &good, INT64_MAX, 2, &label, release, NULL, NULL),
              PST_EINVAL);
    CHECK_INT(pst_pixels_open(&dataset, &good, INT64_MAX, 0, &label, release, NULL, NULL),
              PST_ENOMEM);
    CHECK_INT(n_released, before);
    CHECK_INT(pst_pixels_open(&dataset, &good, 0, 1, NULL, NULL, NULL, NULL), PST_OK);
    CHECK_INT(pst_dataset_length(dataset), 0);
    pst_dataset_unref(dataset);
}

CHECK_MAIN(CASE(test_records), CASE(test_wrong_arguments))
