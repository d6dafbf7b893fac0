/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BUFFER_SLAB_POOL_H
#define PST_BUFFER_SLAB_POOL_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/tensor.h>

/* The memory of batches. A slab is taken under a ticket of the budget, filled, handed to the
 * consumer (its ticket goes back: what the consumer keeps is the consumer's memory), and comes back
 * to the pool when its last reference dies, to be used again without being mapped anew. The pool
 * outlives its owner by count: slabs that are still held keep it. Any thread. */
struct pst__slab_pool;

int pst__slab_pool_new(struct pst__slab_pool **out, size_t budget, struct pst_error *err);
/* Frees the idle slabs and drops the owner's reference; slabs in flight free themselves later. */
void pst__slab_pool_unref(struct pst__slab_pool *pool);

/* A slab of at least size bytes with one reference. PST_AGAIN: the budget is full (slabs that are
 * idle but too small have been freed for it). force lets one through a full budget and counts it:
 * for the batch that everything else waits for. */
int pst__slab_take(struct pst__slab_pool *pool, size_t size, int force, struct pst_buffer **out,
                   struct pst_error *err);
/* The slab leaves the engine: its ticket goes back to the budget. Called once per slab taken,
 * before its reference is given away or dropped. */
void pst__slab_leave(struct pst__slab_pool *pool, struct pst_buffer *slab);

/* A ticket for a batch's memory that is not the pool's: it counts as a taken slab does. PST_AGAIN:
 * the budget is full; force goes through it, as above. The owner returns each one it drew. */
int pst__ticket_draw(struct pst__slab_pool *pool, size_t size, int force);
void pst__ticket_return(struct pst__slab_pool *pool, size_t size);

/* The owner holds delta bytes more beside slabs, or fewer; they count in the budget. Idle slabs are
 * unmapped to keep within it. */
void pst__slab_pool_beside(struct pst__slab_pool *pool, int64_t delta);
/* 1 where the budget has room for so many bytes more, idle slabs aside. */
int pst__slab_pool_has_room(struct pst__slab_pool *pool, size_t bytes);

struct pst__slab_pool_stats {
    int64_t bytes;      /* taken and idle, not those with the consumer */
    int64_t peak_bytes; /* of these */
    int64_t peak_held;  /* of these and what is held beside them */
    int64_t allocs;     /* slabs mapped since the beginning */
    int64_t over_budget;
};
void pst__slab_pool_stats(struct pst__slab_pool *pool, struct pst__slab_pool_stats *stats);

#endif
