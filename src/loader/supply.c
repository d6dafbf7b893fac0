/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/status.h"
#include "loader/engine.h"

/* Memory of batches that the caller brings. A batch has one owner of it, `memory`, from
 * pst_loader_supply() until it is handed over or dropped; `slab` is a view of it while it is
 * written. It is given back in calls of the consumer and without the lock: its release is the
 * caller's code. */

size_t pst__batch_bytes(const struct pst_loader *loader, size_t n)
{
    if (loader->n_fields > 0)
        return pst__rows_bytes(loader, n);
    return n * (loader->fixed_bytes ? loader->fixed_bytes : loader->last_bytes);
}

/* What cannot is refused where its slab would be taken. */
static int can_be(const struct pst_loader *loader, size_t bytes)
{
    return !loader->is_strict_budget || bytes <= loader->config.memory_budget;
}

void pst__memory_await(const struct pst_loader *loader, struct pst__batch *batch)
{
    size_t bytes = pst__batch_bytes(loader, (size_t)batch->n);
    batch->awaits = bytes > 0 && can_be(loader, bytes);
}

void pst__memory_go_without(struct pst_loader *loader)
{
    struct pst__batch *head = pst__head(loader);
    if (!head || !head->awaits)
        return;
    head->awaits = 0;
    pst__broadcast(&loader->work);
}

int pst__memory_use(struct pst__batch *batch, size_t bytes)
{
    if (!batch->memory || pst_buffer_size(batch->memory) < bytes)
        return 0;
    batch->slab = batch->memory;
    return 1;
}

struct pst_buffer *pst__slab_hand_over(struct pst_loader *loader, struct pst__batch *batch)
{
    struct pst_buffer *slab = batch->slab;
    if (slab == batch->memory) {
        pst__ticket_return(loader->pool, pst_buffer_size(slab));
        batch->memory = NULL;
    } else {
        pst__slab_leave(loader->pool, slab);
    }
    batch->slab = NULL;
    return slab;
}

void pst__memory_drop(struct pst_loader *loader, struct pst__batch *batch)
{
    batch->awaits = 0;
    if (!batch->memory)
        return;
    pst__ticket_return(loader->pool, pst_buffer_size(batch->memory));
    loader->spent[loader->n_spent++] = batch->memory;
    batch->memory = NULL;
}

void pst__memory_release(struct pst_loader *loader)
{
    while (loader->n_spent > 0)
        pst_buffer_unref(loader->spent[--loader->n_spent]);
}

/* What reading ahead may still take: memory of batches ahead that took its place would leave the
 * threads without records. */
static size_t left_to_records(const struct pst_loader *loader)
{
    if (loader->n_fields > 0 || loader->is_uniform || loader->n_staged >= loader->staged_most)
        return 0;
    return loader->record_most * (size_t)(loader->staged_most - loader->n_staged);
}

/* The oldest batch goes on whatever the budget says, but for a size that is only expected. Lock
 * held. */
static int is_forced(const struct pst_loader *loader, const struct pst__batch *batch)
{
    return batch->ticket == loader->head && (loader->n_fields > 0 || loader->fixed_bytes > 0);
}

static int has_room(const struct pst_loader *loader, const struct pst__batch *batch, size_t bytes)
{
    size_t all;
    if (is_forced(loader, batch))
        return 1;
    return !__builtin_add_overflow(bytes, left_to_records(loader), &all) &&
           pst__slab_pool_has_room(loader->pool, all);
}

static int find_wanted(struct pst_loader *loader, uint64_t *ticket, size_t *bytes)
{
    for (uint64_t t = loader->head; t < loader->tail; t++) {
        const struct pst__batch *batch = pst__batch_at(loader, t);
        if (!batch->awaits)
            continue;
        *ticket = t;
        *bytes = pst__batch_bytes(loader, (size_t)batch->n);
        return has_room(loader, batch, *bytes) ? PST_OK : PST_AGAIN;
    }
    return PST_END;
}

int pst_loader_wanted(struct pst_loader *loader, uint64_t *ticket, size_t *bytes,
                      struct pst_error *err)
{
    int rc = pst__loader_check(loader, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(ticket && bytes, err, "there is no place for the ticket or the size");
    pst__lock(&loader->lock);
    rc = find_wanted(loader, ticket, bytes);
    pst__unlock(&loader->lock);
    return rc;
}

int pst__memory_check(const struct pst_buffer *memory, size_t bytes, struct pst_error *err)
{
    PST_REQUIRE(pst_buffer_is_writable(memory), err, "a batch's memory is written to");
    PST_REQUIRE(pst_buffer_size(memory) >= bytes, err, "%zu bytes for a batch of %zu",
                pst_buffer_size(memory), bytes);
    PST_REQUIRE((uintptr_t)pst_buffer_data(memory) % PST_ALIGN == 0, err,
                "a batch's memory begins at a multiple of %d", PST_ALIGN);
    return PST_OK;
}

int pst_loader_supply(struct pst_loader *loader, uint64_t ticket, struct pst_buffer *memory,
                      struct pst_error *err)
{
    int rc = pst__loader_check(loader, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(ticket >= loader->head && ticket < loader->tail, err, "batch %llu is not submitted",
                (unsigned long long)ticket);
    struct pst__batch *batch = pst__batch_at(loader, ticket);
    /* Only this thread ends the wait for memory. */
    PST_REQUIRE(batch->awaits, err, "batch %llu does not wait for memory",
                (unsigned long long)ticket);
    if (memory)
        rc = pst__memory_check(memory, pst__batch_bytes(loader, (size_t)batch->n), err);
    if (rc < 0)
        return rc;
    pst__lock(&loader->lock);
    if (memory)
        rc = pst__ticket_draw(loader->pool, pst_buffer_size(memory), is_forced(loader, batch));
    if (rc == PST_OK) {
        batch->memory = memory ? pst_buffer_ref(memory) : NULL;
        batch->awaits = 0;
        pst__broadcast(&loader->work);
    }
    pst__unlock(&loader->lock);
    return rc;
}

int pst_loader_batch_bytes(struct pst_loader *loader, size_t n, size_t *bytes,
                           struct pst_error *err)
{
    int rc = pst__loader_check(loader, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(bytes && n > 0 && n <= (size_t)loader->config.batch_size, err,
                "a batch has 1 to %d samples, not %zu", loader->config.batch_size, n);
    *bytes = pst__batch_bytes(loader, n);
    if (!can_be(loader, *bytes))
        *bytes = 0;
    return PST_OK;
}
