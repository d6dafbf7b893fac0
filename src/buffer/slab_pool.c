/* SPDX-License-Identifier: Apache-2.0 */
#include "buffer/slab_pool.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/thread.h"
#include "buffer/shared.h"

/* A slab is in one of three states: taken (with a ticket), with the consumer (no ticket) or idle
 * (in the pool's list). The first and the last count in the budget. Mapping and unmapping take long
 * and happen outside the lock, with the ticket already drawn or given back.
 *
 * In a forked child the pool's mutex may be locked by a thread that does not exist there, so a
 * child touches nothing of a pool of its parent: the memory stays until the child ends. */

#define PAGE 4096

struct slab {
    struct pst_buffer buffer; /* first: the handle is the buffer */
    struct pst__slab_pool *pool;
    struct slab *next_idle; /* the pool's lock */
    size_t capacity;        /* bytes mapped */
    int has_ticket;         /* the pool's lock */
};

struct pst__slab_pool {
    struct pst__mutex lock; /* guards all below but the constants */
    size_t budget;          /* constant */
    uint32_t generation;    /* constant: of the process that made it */
    int64_t n_away;         /* slabs with the consumer */
    int64_t refs;           /* the owner and the slabs that are not idle */
    int is_owned;
    struct slab *idle;
    size_t idle_bytes;
    size_t bytes;  /* taken and idle */
    size_t beside; /* what the owner holds beside slabs */
    struct pst__slab_pool_stats stats;
};

static int is_foreign(const struct pst__slab_pool *pool)
{
    return pool->generation != pst__fork_generation();
}

static void unmap_all(struct slab *slab)
{
    while (slab) {
        struct slab *next = slab->next_idle;
        pst__unmap(slab->buffer.data, slab->capacity);
        pst__free(slab);
        slab = next;
    }
}

/* Drops one reference and unlocks; the last one frees the pool. */
static void unlock_unref(struct pst__slab_pool *pool)
{
    int is_last = --pool->refs == 0;
    pst__unlock(&pool->lock);
    if (!is_last)
        return;
    pst__mutex_reset(&pool->lock);
    pst__free(pool);
}

static void note_peaks(struct pst__slab_pool *pool)
{
    int64_t held = (int64_t)(pool->bytes + pool->beside);
    if ((int64_t)pool->bytes > pool->stats.peak_bytes)
        pool->stats.peak_bytes = (int64_t)pool->bytes;
    if (held > pool->stats.peak_held)
        pool->stats.peak_held = held;
}

static void add_bytes(struct pst__slab_pool *pool, size_t bytes)
{
    pool->bytes += bytes;
    note_peaks(pool);
}

/* What the budget leaves to slabs. */
static size_t share_of(const struct pst__slab_pool *pool)
{
    return pool->budget > pool->beside ? pool->budget - pool->beside : 0;
}

int pst__slab_pool_new(struct pst__slab_pool **out, size_t budget, struct pst_error *err)
{
    *out = NULL;
    struct pst__slab_pool *pool = pst__calloc(1, sizeof *pool, PST_MEM_HEAP);
    if (!pool)
        return pst__fail(err, PST_ENOMEM, "no memory for a slab pool");
    int rc = pst__mutex_init(&pool->lock);
    if (rc < 0) {
        pst__free(pool);
        return pst__fail(err, rc, "no mutex for a slab pool");
    }
    pool->budget = budget;
    pool->generation = pst__fork_generation();
    pool->refs = 1;
    pool->is_owned = 1;
    *out = pool;
    return PST_OK;
}

void pst__slab_pool_unref(struct pst__slab_pool *pool)
{
    if (!pool || is_foreign(pool))
        return;
    pst__lock(&pool->lock);
    struct slab *idle = pool->idle;
    pool->idle = NULL;
    pool->bytes -= pool->idle_bytes;
    pool->idle_bytes = 0;
    pool->is_owned = 0;
    unlock_unref(pool);
    unmap_all(idle);
}

/* Takes the smallest idle slab of at least size bytes out of the list; one of more than twice the
 * size is left for who needs it. Under the lock. */
static struct slab *pop_fit(struct pst__slab_pool *pool, size_t size)
{
    struct slab **best = NULL;
    for (struct slab **at = &pool->idle; *at; at = &(*at)->next_idle)
        if ((*at)->capacity >= size && (*at)->capacity / 2 <= size &&
            (!best || (*at)->capacity < (*best)->capacity))
            best = at;
    if (!best)
        return NULL;
    struct slab *slab = *best;
    *best = slab->next_idle;
    pool->idle_bytes -= slab->capacity;
    return slab;
}

/* Takes idle slabs out of the list until size bytes fit into the budget, and returns them to be
 * unmapped. Takes none if even all of them would not do. Under the lock. */
static struct slab *evict_for(struct pst__slab_pool *pool, size_t size, int force)
{
    struct slab *evicted = NULL;
    size_t fixed = pool->bytes - pool->idle_bytes, share = share_of(pool);
    if (!force && (fixed > share || size > share - fixed))
        return NULL;
    while (pool->idle && (pool->bytes > share || size > share - pool->bytes)) {
        struct slab *slab = pool->idle;
        pool->idle = slab->next_idle;
        pool->idle_bytes -= slab->capacity;
        pool->bytes -= slab->capacity;
        slab->next_idle = evicted;
        evicted = slab;
    }
    return evicted;
}

/* The last slab that the budget has room for is left to the one that the consumer has in hand:
 * taken anew, that one would be unmapped when it comes back, and every batch would fault in fresh
 * pages. */
static int is_coming_back(const struct pst__slab_pool *pool, size_t capacity)
{
    size_t used = pool->bytes - pool->idle_bytes, share = share_of(pool);
    return pool->n_away > 0 && used > 0 && (used > share || (share - used) / 2 < capacity);
}

static void dispose_slab(struct pst_buffer *buffer)
{
    struct slab *slab = (struct slab *)buffer;
    struct pst__slab_pool *pool = slab->pool;
    if (is_foreign(pool))
        return;
#ifdef PST_CHECKS
    /* Who still reads it shall notice. */
    memset(buffer->data, 0xa5, slab->capacity);
#endif
    pst__lock(&pool->lock);
    if (slab->has_ticket)
        pool->bytes -= slab->capacity;
    else
        pool->n_away--;
    slab->has_ticket = 0;
    slab->next_idle = NULL;
    if (pool->is_owned && pool->bytes <= share_of(pool) &&
        slab->capacity <= share_of(pool) - pool->bytes) {
        slab->next_idle = pool->idle;
        pool->idle = slab;
        pool->idle_bytes += slab->capacity;
        add_bytes(pool, slab->capacity);
        slab = NULL;
    }
    unlock_unref(pool);
    unmap_all(slab);
}

/* A ticket of the budget; what has to be unmapped for it is put into *evicted. Under the lock. */
static int draw(struct pst__slab_pool *pool, size_t size, int force, struct slab **evicted)
{
    *evicted = evict_for(pool, size, force);
    if (pool->bytes > share_of(pool) || size > share_of(pool) - pool->bytes) {
        if (!force)
            return PST_AGAIN;
        pool->stats.over_budget++;
    }
    add_bytes(pool, size);
    return PST_OK;
}

int pst__ticket_draw(struct pst__slab_pool *pool, size_t size, int force)
{
    struct slab *evicted;
    if (is_foreign(pool))
        return PST_EFORKED;
    pst__lock(&pool->lock);
    int rc = draw(pool, size, force, &evicted);
    pst__unlock(&pool->lock);
    unmap_all(evicted);
    return rc;
}

void pst__ticket_return(struct pst__slab_pool *pool, size_t size)
{
    if (is_foreign(pool))
        return;
    pst__lock(&pool->lock);
    pool->bytes -= size;
    pst__unlock(&pool->lock);
}

/* Maps a slab for a ticket that is drawn already. NULL when memory is out. */
static struct slab *map_slab(struct pst__slab_pool *pool, size_t capacity)
{
    struct slab *slab = pst__calloc(1, sizeof *slab, PST_MEM_HEAP);
    void *data = slab ? pst__map(capacity) : NULL;
    if (!data) {
        pst__free(slab);
        return NULL;
    }
    slab->pool = pool;
    slab->capacity = capacity;
    slab->has_ticket = 1;
    slab->buffer.data = data;
    return slab;
}

/* The ticket of a slab that could not be mapped. */
static void give_back(struct pst__slab_pool *pool, size_t capacity)
{
    pst__lock(&pool->lock);
    pool->bytes -= capacity;
    unlock_unref(pool);
}

int pst__slab_take(struct pst__slab_pool *pool, size_t size, int force, struct pst_buffer **out,
                   struct pst_error *err)
{
    *out = NULL;
    if (is_foreign(pool))
        return pst__fail(err, PST_EFORKED, "the slab pool belongs to the parent process");
    size_t capacity;
    if (__builtin_add_overflow(size, (size_t)PAGE - 1, &capacity))
        return pst__fail(err, PST_ENOMEM, "a slab of %zu bytes cannot be", size);
    capacity = capacity / PAGE * PAGE;
    if (capacity == 0)
        capacity = PAGE;
    pst__lock(&pool->lock);
    struct slab *slab = pop_fit(pool, capacity), *evicted = NULL;
    if (!slab && !force && is_coming_back(pool, capacity)) {
        pst__unlock(&pool->lock);
        return PST_AGAIN;
    }
    if (!slab) {
        if (draw(pool, capacity, force, &evicted) == PST_AGAIN) {
            pst__unlock(&pool->lock);
            return PST_AGAIN;
        }
        pool->stats.allocs++;
    } else {
        slab->has_ticket = 1;
    }
    pool->refs++;
    pst__unlock(&pool->lock);
    unmap_all(evicted);
    if (!slab && !(slab = map_slab(pool, capacity))) {
        give_back(pool, capacity);
        return pst__fail(err, PST_ENOMEM, "no memory for a batch of %zu bytes", size);
    }
    pst__buffer_init(&slab->buffer, slab->buffer.data, size, dispose_slab);
    *out = &slab->buffer;
    return PST_OK;
}

void pst__slab_leave(struct pst__slab_pool *pool, struct pst_buffer *buffer)
{
    struct slab *slab = (struct slab *)buffer;
    if (is_foreign(pool))
        return;
    pst__lock(&pool->lock);
    if (slab->has_ticket) {
        pool->bytes -= slab->capacity;
        pool->n_away++;
    }
    slab->has_ticket = 0;
    pst__unlock(&pool->lock);
}

void pst__slab_pool_beside(struct pst__slab_pool *pool, int64_t delta)
{
    if (delta == 0 || is_foreign(pool))
        return;
    pst__lock(&pool->lock);
    pool->beside = (size_t)((int64_t)pool->beside + delta);
    note_peaks(pool);
    struct slab *evicted = delta > 0 ? evict_for(pool, 0, 1) : NULL;
    pst__unlock(&pool->lock);
    unmap_all(evicted);
}

int pst__slab_pool_has_room(struct pst__slab_pool *pool, size_t bytes)
{
    if (is_foreign(pool))
        return 0;
    pst__lock(&pool->lock);
    size_t used = pool->bytes - pool->idle_bytes + pool->beside;
    int has_room = used <= pool->budget && bytes <= pool->budget - used;
    pst__unlock(&pool->lock);
    return has_room;
}

void pst__slab_pool_stats(struct pst__slab_pool *pool, struct pst__slab_pool_stats *stats)
{
    *stats = (struct pst__slab_pool_stats){0};
    if (is_foreign(pool))
        return;
    pst__lock(&pool->lock);
    *stats = pool->stats;
    stats->bytes = (int64_t)pool->bytes;
    pst__unlock(&pool->lock);
}
