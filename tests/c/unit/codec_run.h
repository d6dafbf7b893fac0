/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_CODEC_RUN_H
#define PST_TESTS_CODEC_RUN_H

#include <errno.h>

#include "base/mem.h"
#include "base/sys.h"
#include "check.h"
#include "decode/codec.h"

/* Drives one codec through a file. */

/* Probe, start, rows and finish; rgb (NULL allowed) gets the region's pixels without gaps. region
 * NULL is the whole image. */
static inline int codec_run(const struct pst__codec *codec, void *state, const uint8_t *data,
                            size_t size, const struct pst_rect *region, int step, uint8_t *rgb,
                            struct pst_error *err)
{
    struct pst_image_info info;
    pst_error_init(err);
    int rc = codec->probe(data, size, &info, err);
    struct pst_rect whole = {0, 0, 0, 0};
    if (rc == PST_OK && !region) {
        whole = (struct pst_rect){0, 0, info.width, info.height};
        region = &whole;
    }
    if (rc == PST_OK)
        rc = codec->start(state, data, size, &info, region, err);
    for (int y = 0; rc == PST_OK && y < region->h;) {
        const uint8_t *rows;
        ptrdiff_t stride;
        int n;
        rc = codec->rows(state, step, &rows, &stride, &n, err);
        if (rc < 0)
            break;
        CHECK(n > 0 && n <= step && n <= region->h - y);
        /* The padding is readable; under a sanitizer this touch proves it. */
        volatile uint8_t touch = rows[(n - 1) * stride + 4 * region->w + PST_PAD - 1];
        (void)touch;
        for (int i = 0; rgb && i < n * region->w; i++)
            memcpy(rgb + 3 * ((size_t)y * (size_t)region->w + (size_t)i),
                   rows + i / region->w * stride + 4 * (ptrdiff_t)(i % region->w), 3);
        y += n;
    }
    if (rc == PST_OK)
        rc = codec->finish(state, err);
    codec->abort(state);
    CHECK(rc == PST_OK || err->message[0]);
    return rc;
}

static inline void *codec_open(const struct pst__codec *codec)
{
    void *state = NULL;
    CHECK_INT(codec->open(&state, NULL), PST_OK);
    return state;
}

/* Every allocation fails in its turn; the codec says so and gives everything back. Returns how many
 * there were, 0 in a build without the fault table. */
static inline int codec_fail_allocations(const struct pst__codec *codec, const uint8_t *data,
                                         size_t size)
{
    int n = 0;
#ifdef PST_CHECKS
    struct pst_error err;
    int64_t blocks = pst__mem_blocks();
    for (int rc = PST_ENOMEM; rc != PST_OK; n++) {
        void *state = NULL;
        CHECK(n < 100);
        pst_error_init(&err);
        pst__fault_arm(1u << PST_SYS_ALLOC, n + 1, 1, ENOMEM);
        rc = codec->open(&state, &err);
        if (rc == PST_OK)
            rc = codec_run(codec, state, data, size, NULL, 16, NULL, &err);
        pst__fault_disarm();
        if (rc != PST_OK)
            CHECK_INT(rc, PST_ENOMEM);
        if (state)
            codec->close(state);
        CHECK_INT(pst__mem_blocks(), blocks);
    }
    n--;
#else
    (void)codec, (void)data, (void)size;
#endif
    return n;
}

#endif
