/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_TRANSFORM_FAULTS_H
#define PST_TESTS_TRANSFORM_FAULTS_H

#include <errno.h>

#include "transform_ops.h"

#include "base/mem.h"
#include "base/sys.h"

/* Applies steps to an image while every allocation fails, in turn, and those after it: what grows
 * asks again for less. At least so many are tried. */
static inline void check_without_memory(const struct pst_op *ops, size_t n, const uint32_t *words,
                                        size_t n_words, int least)
{
#ifdef PST_CHECKS
    static const uint8_t rgb[10 * 12 * 3];
    struct pst_transform *transform = transform_of(ops, n, PST_U8, PST_ERA_DEFAULT);
    int64_t blocks = pst__mem_blocks(), fired = 1;
    int failed = 0;
    for (int64_t nth = 1; fired > 0; nth++) {
        struct pst_tensor out = {0};
        pst__fault_arm(1u << PST_SYS_ALLOC, nth, 1, ENOMEM);
        int rc = pst_transform_apply(transform, rgb, 10, 12, 30, words, n_words, NULL, &out, NULL);
        fired = pst__fault_fired();
        pst__fault_disarm();
        CHECK_INT(rc, fired > 0 ? PST_ENOMEM : PST_OK);
        failed += rc < 0;
        pst_tensor_reset(&out);
        CHECK_INT(pst__mem_blocks(), blocks);
    }
    CHECK(failed >= least);
    check_tried(failed);
    pst_transform_unref(transform);
#else
    (void)ops, (void)n, (void)words, (void)n_words, (void)least;
    exit(77);
#endif
}

#endif
