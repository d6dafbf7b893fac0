/* SPDX-License-Identifier: Apache-2.0 */
#include "loader/ring.h"

#include <string.h>

#include "base/mem.h"

int pst__ring_init(struct pst__ring *ring)
{
    ring->event = NULL;
    ring->capacity = ring->first = ring->n = 0;
    ring->lost = 0;
    return pst__mutex_init(&ring->lock);
}

void pst__ring_reset(struct pst__ring *ring)
{
    pst__free(ring->event);
    pst__mutex_reset(&ring->lock);
}

int pst__ring_resize(struct pst__ring *ring, size_t capacity)
{
    struct pst_trace_event *event = NULL;
    if (capacity > 0) {
        event = pst__calloc(capacity, sizeof *event, PST_MEM_HEAP);
        if (!event)
            return PST_ENOMEM;
    }
    pst__lock(&ring->lock);
    struct pst_trace_event *old = ring->event;
    ring->event = event;
    ring->capacity = capacity;
    ring->first = ring->n = 0;
    ring->lost = 0;
    pst__unlock(&ring->lock);
    pst__free(old);
    return PST_OK;
}

void pst__ring_add(struct pst__ring *ring, const struct pst_trace_event *event)
{
    pst__lock(&ring->lock);
    if (ring->capacity > 0) { /* a trace may have ended since this thread looked */
        ring->event[(ring->first + ring->n) % ring->capacity] = *event;
        if (ring->n < ring->capacity) {
            ring->n++;
        } else {
            ring->first = (ring->first + 1) % ring->capacity;
            ring->lost++;
        }
    }
    pst__unlock(&ring->lock);
}

size_t pst__ring_take(struct pst__ring *ring, struct pst_trace_event *events, size_t n,
                      uint64_t *lost)
{
    pst__lock(&ring->lock);
    if (n > ring->n)
        n = ring->n;
    size_t head = ring->capacity - ring->first; /* as far as they lie in one piece */
    if (head > n)
        head = n;
    if (head > 0)
        memcpy(events, ring->event + ring->first, head * sizeof *events);
    if (n > head)
        memcpy(events + head, ring->event, (n - head) * sizeof *events);
    if (n > 0)
        ring->first = (ring->first + n) % ring->capacity;
    ring->n -= n;
    *lost += ring->lost;
    pst__unlock(&ring->lock);
    return n;
}
