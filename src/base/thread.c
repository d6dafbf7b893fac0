/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"

/* A lock or wait that fails is a bug of ours (a mutex that is not one): going on without the lock
 * would corrupt data, so the process ends here. */
static void must(int rc)
{
    if (PST_UNLIKELY(rc != 0))
        abort();
}

int pst__mutex_init(struct pst__mutex *mutex)
{
    return pthread_mutex_init(&mutex->handle, NULL) == 0 ? PST_OK : PST_ENOMEM;
}

void pst__mutex_reset(struct pst__mutex *mutex)
{
    must(pthread_mutex_destroy(&mutex->handle));
}

void pst__lock(struct pst__mutex *mutex)
{
    must(pthread_mutex_lock(&mutex->handle));
}

void pst__unlock(struct pst__mutex *mutex)
{
    must(pthread_mutex_unlock(&mutex->handle));
}

int pst__cond_init(struct pst__cond *cond)
{
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0)
        return PST_ENOMEM;
    int rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (rc == 0)
        rc = pthread_cond_init(&cond->handle, &attr);
    pthread_condattr_destroy(&attr);
    return rc == 0 ? PST_OK : PST_ENOMEM;
}

void pst__cond_reset(struct pst__cond *cond)
{
    must(pthread_cond_destroy(&cond->handle));
}

void pst__signal(struct pst__cond *cond)
{
    must(pthread_cond_signal(&cond->handle));
}

void pst__broadcast(struct pst__cond *cond)
{
    must(pthread_cond_broadcast(&cond->handle));
}

int pst__cond_wait(struct pst__cond *cond, struct pst__mutex *mutex, int64_t deadline_ns)
{
#ifdef PST_CHECKS
    /* The kernel's clock did not jump with ours. */
    deadline_ns -= pst__fault_clock_skew();
#endif
    if (deadline_ns < 0)
        deadline_ns = 0;
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / 1000000000),
                                .tv_nsec = (long)(deadline_ns % 1000000000)};
    int rc = pthread_cond_timedwait(&cond->handle, &mutex->handle, &deadline);
    if (rc == ETIMEDOUT)
        return 1;
    must(rc);
    return 0;
}

struct start {
    void *(*fn)(void *);
    void *arg;
    int nice;
    char name[16];
};

static void *run(void *opaque)
{
    struct start start = *(struct start *)opaque;
    pst__free(opaque);
    pthread_setname_np(pthread_self(), start.name);
    if (start.nice != 0) {
        /* On Linux a nice value is the thread's own. A refusal costs the host some priority, no
         * more. */
        id_t self = (id_t)gettid();
        setpriority(PRIO_PROCESS, self, getpriority(PRIO_PROCESS, self) + start.nice);
    }
    return start.fn(start.arg);
}

int pst__thread_start(pthread_t *thread, const char *name, int nice, void *(*fn)(void *), void *arg,
                      struct pst_error *err)
{
    struct start *start = pst__calloc(1, sizeof *start, PST_MEM_HEAP);
    if (!start)
        return pst__fail(err, PST_ENOMEM, "no memory to start thread '%s'", name);
    *start = (struct start){.fn = fn, .arg = arg, .nice = nice};
    snprintf(start->name, sizeof start->name, "%s", name);
    /* A thread is born with its creator's mask. */
    sigset_t all, old;
    sigfillset(&all);
    /* What a thread brings on itself would end the process if it were blocked. */
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    must(pthread_sigmask(SIG_SETMASK, &all, &old));
    int rc = pst__sys_thread_create(thread, run, start);
    must(pthread_sigmask(SIG_SETMASK, &old, NULL));
    if (rc == 0)
        return PST_OK;
    pst__free(start);
    char text[128];
    return pst__fail(err, PST_ETHREAD, "cannot start thread '%s': %s", name,
                     strerror_r(rc, text, sizeof text));
}

void pst__thread_join(pthread_t thread)
{
    must(pthread_join(thread, NULL));
}

int pst__cpu_count(void)
{
    cpu_set_t sets[16]; /* 16384 CPUs: more than a kernel can be built for */
    memset(sets, 0, sizeof sets);
    int cpus = sched_getaffinity(0, sizeof sets, sets) == 0 ? CPU_COUNT_S(sizeof sets, sets) : 1;
    int quota = pst__cgroup_cpus("/proc/self/cgroup", "/sys/fs/cgroup");
    if (quota > 0 && quota < cpus)
        cpus = quota;
    return cpus > 1 ? cpus : 1;
}

/* Written only in the child of a fork(), which has one thread then. */
static _Atomic uint32_t fork_generation;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void forked(void)
{
    atomic_fetch_add_explicit(&fork_generation, 1, memory_order_relaxed);
}

static void watch_forks(void)
{
    must(pthread_atfork(NULL, NULL, forked));
}

uint32_t pst__fork_generation(void)
{
    must(pthread_once(&fork_once, watch_forks));
    return atomic_load_explicit(&fork_generation, memory_order_relaxed);
}
