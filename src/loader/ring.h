/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_LOADER_RING_H
#define PST_LOADER_RING_H

#include <penstock/trace.h>

#include "base/thread.h"

/* Events of one thread, of a fixed number; the newest push out the oldest. The lock is the ring's
 * own and taken last: a thread that notes something never waits for another thread's work. */
struct pst__ring {
    struct pst__mutex lock;
    struct pst_trace_event *event; /* [capacity]; NULL: nothing is kept */
    size_t capacity, first, n;
    uint64_t lost;
};

int pst__ring_init(struct pst__ring *ring); /* without room; 0 or a negative status */
void pst__ring_reset(struct pst__ring *ring);
int pst__ring_resize(struct pst__ring *ring, size_t capacity); /* empties it; 0 frees its room */
void pst__ring_add(struct pst__ring *ring, const struct pst_trace_event *event);
/* Moves up to n of the oldest out. *lost is added to. */
size_t pst__ring_take(struct pst__ring *ring, struct pst_trace_event *events, size_t n,
                      uint64_t *lost);

#endif
