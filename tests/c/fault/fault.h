/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_FAULT_H
#define PST_TESTS_FAULT_H

#include <errno.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"
#include "check.h"

/* Fault loops. A scripted run returns a status; it must free all it makes and must not depend on
 * what ran before. fault_loop() runs it once without faults, and then again and again: each call of
 * the kinds in mask fails once, and from that one on for ever. Every run must end, with success or
 * with one of the statuses allowed, leave no block behind, and leave a run without faults good. */
#ifdef PST_CHECKS

typedef int (*fault_run)(void *opaque);

struct fault_spec {
    uint32_t mask;
    int os_errno;
    const int *allowed; /* ends with 0; PST_OK is always allowed */
    int64_t max_calls;  /* the script is short: more calls mean a loop without a bound */
};

static inline void fault_check(const struct fault_spec *spec, int rc, int64_t nth, int forever,
                               int64_t blocks)
{
    int good = rc == PST_OK;
    for (const int *status = spec->allowed; *status && !good; status++)
        good = rc == *status;
    if (!good)
        check_fail(__FILE__, __LINE__, "call %" PRId64 "%s, errno %d: status %s", nth,
                   forever ? " and later" : "", spec->os_errno, pst_status_name(rc));
    if (pst__mem_blocks() != blocks)
        check_fail(__FILE__, __LINE__, "call %" PRId64 "%s, errno %d: %" PRId64 " blocks leak", nth,
                   forever ? " and later" : "", spec->os_errno, pst__mem_blocks() - blocks);
}

/* The number of runs in which a fault struck; *n_failed of them did not return PST_OK. */
static inline int64_t fault_loop(const struct fault_spec *spec, fault_run run, void *opaque,
                                 int64_t *n_failed)
{
    int64_t blocks = pst__mem_blocks(), struck = 0;
    *n_failed = 0;
    CHECK_INT(run(opaque), PST_OK);
    CHECK_INT(pst__mem_blocks(), blocks);
    for (int forever = 0; forever < 2; forever++)
        for (int64_t nth = 1;; nth++) {
            pst__fault_arm(spec->mask, nth, forever, spec->os_errno);
            int rc = run(opaque);
            int64_t calls = pst__fault_calls(), fired = pst__fault_fired();
            pst__fault_disarm();
            CHECK(calls <= spec->max_calls);
            fault_check(spec, rc, nth, forever, blocks);
            if (fired == 0)
                break;
            struck++;
            *n_failed += rc != PST_OK;
        }
    CHECK_INT(run(opaque), PST_OK);
    check_tried(struck);
    return struck;
}

#endif

#endif
