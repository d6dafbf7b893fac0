/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/workers.h"

#include "base/mem.h"
#include "base/status.h"
#include "base/thread.h"

struct worker {
    pthread_t thread;
    struct pst__workers *team;
    int id;
};

struct pst__workers {
    void (*fn)(void *arg, int worker);
    void *arg;
    int n_started;
    struct worker worker[];
};

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    worker->team->fn(worker->team->arg, worker->id);
    return NULL;
}

int pst__workers_start(struct pst__workers **out, int n, const char *name, int nice,
                       void (*fn)(void *arg, int worker), void *arg, struct pst_error *err)
{
    PST_REQUIRE(n > 0, err, "a team needs at least one thread, not %d", n);
    struct pst__workers *team =
        pst__calloc(1, sizeof *team + (size_t)n * sizeof *team->worker, PST_MEM_HEAP);
    if (!team)
        return pst__fail(err, PST_ENOMEM, "no memory for %d threads", n);
    team->fn = fn;
    team->arg = arg;
    *out = team;
    for (int i = 0; i < n; i++) {
        struct worker *worker = &team->worker[i];
        worker->team = team;
        worker->id = i;
        int rc = pst__thread_start(&worker->thread, name, nice, worker_main, worker, err);
        if (rc < 0)
            return rc;
        team->n_started++;
    }
    return PST_OK;
}

void pst__workers_join(struct pst__workers *workers)
{
    if (!workers)
        return;
    for (int i = 0; i < workers->n_started; i++)
        pst__thread_join(workers->worker[i].thread);
    pst__free(workers);
}
