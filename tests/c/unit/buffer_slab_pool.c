/* SPDX-License-Identifier: Apache-2.0 */
#include "buffer/slab_pool.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/thread.h"
#include "check.h"

#define MIB ((size_t)1 << 20)

static struct pst__slab_pool *pool_of(size_t budget)
{
    struct pst__slab_pool *pool;
    CHECK_INT(pst__slab_pool_new(&pool, budget, NULL), 0);
    return pool;
}

static struct pst_buffer *take(struct pst__slab_pool *pool, size_t size)
{
    struct pst_buffer *slab;
    struct pst_error err = {0};
    CHECK_INT(pst__slab_take(pool, size, 0, &slab, &err), 0);
    CHECK_INT(pst_buffer_size(slab), (int64_t)size);
    CHECK_INT((uintptr_t)pst_buffer_data(slab) % PST_ALIGN, 0);
    memset(pst_buffer_data(slab), 1, size);
    return slab;
}

static void finish(struct pst__slab_pool *pool, struct pst_buffer *slab)
{
    pst__slab_leave(pool, slab);
    pst_buffer_unref(slab);
}

static struct pst__slab_pool_stats stats_of(struct pst__slab_pool *pool)
{
    struct pst__slab_pool_stats stats;
    pst__slab_pool_stats(pool, &stats);
    return stats;
}

static void slabs_are_reused(void)
{
    int64_t blocks = pst__mem_blocks();
    struct pst__slab_pool *pool = pool_of(10 * MIB);
    struct pst_buffer *slab = take(pool, 3 * MIB);
    void *data = pst_buffer_data(slab);
    finish(pool, slab);
    for (int i = 0; i < 5; i++) {
        slab = take(pool, 2 * MIB);
        CHECK(pst_buffer_data(slab) == data);
        finish(pool, slab);
    }
    CHECK_INT(stats_of(pool).allocs, 1);
    CHECK_INT(stats_of(pool).bytes, (int64_t)(3 * MIB));
    /* Less than half of the slab: it is left for a user of its size. */
    slab = take(pool, MIB);
    CHECK(pst_buffer_data(slab) != data);
    CHECK_INT(stats_of(pool).allocs, 2);
    finish(pool, slab);
    pst__slab_pool_unref(pool);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void best_fit(void)
{
    struct pst__slab_pool *pool = pool_of(100 * MIB);
    struct pst_buffer *a = take(pool, 5 * MIB), *b = take(pool, 4 * MIB), *c = take(pool, 6 * MIB);
    void *four = pst_buffer_data(b);
    finish(pool, a);
    finish(pool, b);
    finish(pool, c);
    b = take(pool, 7 * MIB / 2);
    CHECK(pst_buffer_data(b) == four);
    finish(pool, b);
    pst__slab_pool_unref(pool);
}

static void budget_is_kept(void)
{
    int64_t blocks = pst__mem_blocks();
    struct pst__slab_pool *pool = pool_of(8 * MIB);
    struct pst_buffer *a = take(pool, 4 * MIB), *b = take(pool, 4 * MIB), *c;
    CHECK_INT(pst__slab_take(pool, 1, 0, &c, NULL), PST_AGAIN);
    CHECK(!c);
    CHECK_INT(pst__slab_take(pool, SIZE_MAX, 0, &c, NULL), PST_ENOMEM);
    CHECK_INT(stats_of(pool).over_budget, 0);
    CHECK_INT(pst__slab_take(pool, MIB, 1, &c, NULL), 0);
    CHECK_INT(stats_of(pool).over_budget, 1);
    CHECK_INT(stats_of(pool).bytes, (int64_t)(9 * MIB));
    CHECK_INT(stats_of(pool).peak_bytes, (int64_t)(9 * MIB));
    /* What the consumer holds is not in the budget. */
    pst__slab_leave(pool, a);
    pst__slab_leave(pool, b);
    CHECK_INT(stats_of(pool).bytes, (int64_t)MIB);
    /* The room for the one that comes back is not given away. */
    struct pst_buffer *d;
    CHECK_INT(pst__slab_take(pool, 6 * MIB, 0, &d, NULL), PST_AGAIN);
    CHECK_INT(pst__slab_take(pool, 6 * MIB, 1, &d, NULL), 0);
    /* No room for these two as idle slabs: they are unmapped. */
    pst_buffer_unref(a);
    pst_buffer_unref(b);
    CHECK_INT(stats_of(pool).bytes, (int64_t)(7 * MIB));
    CHECK_INT(pst__mem_live(PST_MEM_SLAB), (int64_t)(7 * MIB));
    finish(pool, c);
    finish(pool, d);
    CHECK_INT(stats_of(pool).peak_bytes, (int64_t)(9 * MIB));
    pst__slab_pool_unref(pool);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* A budget that is always full: nothing is mapped after the first round. */
static void full_budget_circulates(void)
{
    enum { SLABS = 4 };
    struct pst__slab_pool *pool = pool_of(SLABS * MIB);
    struct pst_buffer *under_way[SLABS], *in_hand = NULL;
    int n = 0;
    for (int batch = 0; batch < 50; batch++) {
        while (n < SLABS && pst__slab_take(pool, MIB, 0, &under_way[n], NULL) == 0)
            n++;
        CHECK(n >= SLABS - 1);
        pst__slab_leave(pool, under_way[0]);
        pst_buffer_unref(in_hand);
        in_hand = under_way[0];
        memmove(under_way, under_way + 1, (size_t)--n * sizeof *under_way);
        CHECK(stats_of(pool).bytes <= SLABS * (int64_t)MIB);
    }
    CHECK(stats_of(pool).allocs <= SLABS + 1);
    pst_buffer_unref(in_hand);
    while (n > 0)
        finish(pool, under_way[--n]);
    pst__slab_pool_unref(pool);
}

static void idle_slabs_make_room(void)
{
    struct pst__slab_pool *pool = pool_of(8 * MIB);
    struct pst_buffer *slabs[8], *big;
    for (int i = 0; i < 8; i++)
        slabs[i] = take(pool, MIB);
    for (int i = 0; i < 7; i++)
        finish(pool, slabs[i]);
    CHECK_INT(stats_of(pool).bytes, (int64_t)(8 * MIB));
    /* All the idle ones would not do: they stay. */
    CHECK_INT(pst__slab_take(pool, 8 * MIB, 0, &big, NULL), PST_AGAIN);
    CHECK_INT(stats_of(pool).bytes, (int64_t)(8 * MIB));
    big = take(pool, 6 * MIB);
    CHECK_INT(stats_of(pool).bytes, (int64_t)(8 * MIB));
    finish(pool, slabs[7]);
    finish(pool, big);
    pst__slab_pool_unref(pool);
}

/* A slab that was never handed over gives its ticket back too. */
static void dropped_ticket(void)
{
    struct pst__slab_pool *pool = pool_of(2 * MIB);
    pst_buffer_unref(take(pool, 2 * MIB));
    CHECK_INT(stats_of(pool).bytes, (int64_t)(2 * MIB)); /* idle */
    finish(pool, take(pool, 2 * MIB));
    CHECK_INT(stats_of(pool).allocs, 1);
    pst__slab_pool_unref(pool);
}

static void slabs_outlive_the_owner(void)
{
    int64_t blocks = pst__mem_blocks();
    struct pst__slab_pool *pool = pool_of(8 * MIB);
    struct pst_buffer *held = take(pool, MIB), *idle = take(pool, MIB);
    finish(pool, idle);
    pst__slab_leave(pool, held);
    pst__slab_pool_unref(pool);
    CHECK_INT(pst__mem_live(PST_MEM_SLAB), (int64_t)MIB);
    memset(pst_buffer_data(held), 2, MIB);
    pst_buffer_unref(held);
    CHECK_INT(pst__mem_blocks(), blocks);
    pst__slab_pool_unref(NULL);
}

#ifdef PST_CHECKS
static void returned_slabs_are_poisoned(void)
{
    struct pst__slab_pool *pool = pool_of(8 * MIB);
    struct pst_buffer *slab = take(pool, 10000), *again;
    const uint8_t *data = pst_buffer_data(slab);
    finish(pool, slab);
    CHECK_INT(pst__slab_take(pool, 10000, 0, &again, NULL), 0);
    CHECK(pst_buffer_data(again) == data);
    for (int i = 0; i < 10000; i++)
        CHECK_INT(data[i], 0xa5);
    finish(pool, again);
    pst__slab_pool_unref(pool);
}
#else
static void returned_slabs_are_poisoned(void)
{
    fprintf(stderr, "  needs -Dchecks=true\n");
}
#endif

static void in_child(struct pst__slab_pool *pool, struct pst_buffer *slab)
{
    struct pst_buffer *fresh;
    const uint8_t *data = pst_buffer_data(slab);
    pst__slab_leave(pool, slab);
    pst_buffer_unref(slab);
    CHECK_INT(data[0] + data[MIB - 1], 2); /* still there, untouched */
    CHECK_INT(pst__slab_take(pool, MIB, 1, &fresh, NULL), PST_EFORKED);
    CHECK_INT(stats_of(pool).bytes, 0);
    pst__slab_pool_unref(pool);
    _exit(0);
}

struct holder {
    struct pst__slab_pool *pool;
    struct pst__mutex lock;
    struct pst__cond cond;
    int stop; /* lock */
};

static int stopped(struct holder *holder)
{
    pst__lock(&holder->lock);
    int stop = holder->stop;
    pst__unlock(&holder->lock);
    return stop;
}

/* Keeps the pool's mutex busy, so that a fork meets it locked now and then. */
static void *keep_busy(void *arg)
{
    struct holder *holder = arg;
    while (!stopped(holder))
        finish(holder->pool, take(holder->pool, 4096));
    return NULL;
}

static void forked_children_keep_off(void)
{
    struct holder holder = {.pool = pool_of(64 * MIB)};
    pthread_t thread;
    CHECK_INT(pst__mutex_init(&holder.lock), 0);
    struct pst_buffer *slab = take(holder.pool, MIB);
    CHECK_INT(pst__thread_start(&thread, "busy", 0, keep_busy, &holder, NULL), 0);
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(30); /* a child that waits for the mutex dies by it */
            in_child(holder.pool, slab);
        }
        int status = 1;
        CHECK_INT(waitpid(child, &status, 0), child);
        CHECK_INT(status, 0);
    }
    pst__lock(&holder.lock);
    holder.stop = 1;
    pst__unlock(&holder.lock);
    pst__thread_join(thread);
    finish(holder.pool, slab);
    pst__mutex_reset(&holder.lock);
    pst__slab_pool_unref(holder.pool);
}

static void *churn(void *arg)
{
    struct pst__slab_pool *pool = arg;
    for (size_t i = 0; i < 3000; i++) {
        struct pst_buffer *slab;
        int rc = pst__slab_take(pool, 4096 * (1 + i * 7 % 13), i % 10 == 0, &slab, NULL);
        if (rc == PST_AGAIN)
            continue;
        CHECK_INT(rc, 0);
        *(volatile uint8_t *)pst_buffer_data(slab) = (uint8_t)i;
        finish(pool, slab);
    }
    return NULL;
}

static void threads_share_a_pool(void)
{
    int64_t blocks = pst__mem_blocks();
    struct pst__slab_pool *pool = pool_of(100000);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK_INT(pst__thread_start(&threads[i], "churn", 0, churn, pool, NULL), 0);
    for (int i = 0; i < 4; i++)
        pst__thread_join(threads[i]);
    struct pst__slab_pool_stats stats = stats_of(pool);
    CHECK(stats.bytes <= 100000);
    CHECK(stats.peak_bytes <= 100000 + 4 * 4096 * 13);
    pst__slab_pool_unref(pool);
    CHECK_INT(pst__mem_blocks(), blocks);
    CHECK_INT(pst__mem_live(PST_MEM_SLAB), 0);
}

/* A ticket without a slab counts as a taken slab does, and idle slabs make room for it. */
static void tickets(void)
{
    struct pst__slab_pool *pool = pool_of(8 * MIB);
    struct pst_buffer *slab = take(pool, 4 * MIB);
    finish(pool, slab);
    CHECK_INT(pst__ticket_draw(pool, 6 * MIB, 0), PST_OK);
    CHECK_INT(stats_of(pool).bytes, (int64_t)(6 * MIB));
    CHECK_INT(pst__mem_live(PST_MEM_SLAB), 0);
    CHECK_INT(pst__ticket_draw(pool, 3 * MIB, 0), PST_AGAIN);
    CHECK_INT(pst__ticket_draw(pool, SIZE_MAX, 0), PST_AGAIN);
    CHECK_INT(pst__slab_take(pool, 3 * MIB, 0, &slab, NULL), PST_AGAIN);
    CHECK_INT(pst__slab_pool_has_room(pool, 3 * MIB), 0);
    CHECK_INT(stats_of(pool).over_budget, 0);
    CHECK_INT(pst__ticket_draw(pool, 3 * MIB, 1), PST_OK);
    CHECK_INT(stats_of(pool).over_budget, 1);
    CHECK_INT(stats_of(pool).peak_bytes, (int64_t)(9 * MIB));
    pst__ticket_return(pool, 3 * MIB);
    pst__ticket_return(pool, 6 * MIB);
    CHECK_INT(stats_of(pool).bytes, 0);
    CHECK_INT(stats_of(pool).allocs, 1);
    slab = take(pool, 8 * MIB);
    finish(pool, slab);
    pst__slab_pool_unref(pool);
}

CHECK_MAIN(CASE(slabs_are_reused), CASE(best_fit), CASE(budget_is_kept), CASE(tickets),
           CASE(full_budget_circulates), CASE(idle_slabs_make_room), CASE(dropped_ticket),
           FAULT("R27", slabs_outlive_the_owner), FAULT("R27", returned_slabs_are_poisoned),
           FAULT("R28", forked_children_keep_off), FAULT("R31", threads_share_a_pool))
