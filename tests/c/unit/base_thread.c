/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"
#include "check.h"

#define SECOND 1000000000ll

struct shared {
    struct pst__mutex lock;
    struct pst__cond cond;
    int turn;    /* lock */
    int blocked; /* lock */
    int nice;    /* lock */
    char name[16];
};

static void shared_init(struct shared *shared)
{
    *shared = (struct shared){0};
    CHECK_INT(pst__mutex_init(&shared->lock), 0);
    CHECK_INT(pst__cond_init(&shared->cond), 0);
}

static void shared_reset(struct shared *shared)
{
    pst__cond_reset(&shared->cond);
    pst__mutex_reset(&shared->lock);
}

/* Waits until it is this turn; ends the test after 60 s. */
static void wait_turn(struct shared *shared, int turn)
{
    int64_t deadline = pst__now_ns() + 60 * SECOND;
    while (shared->turn != turn)
        CHECK_INT(pst__cond_wait(&shared->cond, &shared->lock, deadline), 0);
}

static void *look_around(void *arg)
{
    struct shared *shared = arg;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    pst__lock(&shared->lock);
    shared->blocked = sigismember(&mask, SIGINT) && sigismember(&mask, SIGTERM);
    shared->nice = getpriority(PRIO_PROCESS, (id_t)gettid());
    pthread_getname_np(pthread_self(), shared->name, sizeof shared->name);
    shared->turn = 1;
    pst__broadcast(&shared->cond);
    wait_turn(shared, 2);
    pst__unlock(&shared->lock);
    return NULL;
}

static void a_thread(void)
{
    int64_t blocks = pst__mem_blocks();
    struct shared shared;
    struct pst_error err = {0};
    pthread_t thread;
    sigset_t mask;
    shared_init(&shared);
    CHECK_INT(pst__thread_start(&thread, "pst-a-name-that-is-long", 3, look_around, &shared, &err),
              0);
    pst__lock(&shared.lock);
    wait_turn(&shared, 1);
    CHECK(shared.blocked);
    CHECK_STR(shared.name, "pst-a-name-that");
    int own = getpriority(PRIO_PROCESS, (id_t)gettid());
    CHECK_INT(shared.nice, own + 3 < 19 ? own + 3 : 19);
    shared.turn = 2;
    pst__signal(&shared.cond);
    pst__unlock(&shared.lock);
    pst__thread_join(thread);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    CHECK(!sigismember(&mask, SIGINT)); /* the starter's mask is as it was */
    shared_reset(&shared);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void deadlines(void)
{
    struct shared shared;
    shared_init(&shared);
    pst__lock(&shared.lock);
    CHECK_INT(pst__cond_wait(&shared.cond, &shared.lock, 0), 1);
    CHECK_INT(pst__cond_wait(&shared.cond, &shared.lock, -5), 1);
    int64_t deadline = pst__now_ns() + SECOND / 100;
    while (!pst__cond_wait(&shared.cond, &shared.lock, deadline))
        ;
    CHECK(pst__now_ns() >= deadline);
    pst__unlock(&shared.lock);
    shared_reset(&shared);
}

static void clock_goes_on(void)
{
    int64_t last = pst__now_ns();
    CHECK(last > 0);
    for (int i = 0; i < 1000; i++) {
        int64_t now = pst__now_ns();
        CHECK(now >= last);
        last = now;
    }
}

static void cpu_count(void)
{
    cpu_set_t set;
    int count = pst__cpu_count();
    CHECK_INT(sched_getaffinity(0, sizeof set, &set), 0);
    CHECK(count >= 1 && count <= CPU_COUNT(&set));
    /* Bound to one core there is one. */
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set)) {
            CPU_SET(i, &one);
            break;
        }
    CHECK_INT(sched_setaffinity(0, sizeof one, &one), 0);
    CHECK_INT(pst__cpu_count(), 1);
    CHECK_INT(sched_setaffinity(0, sizeof set, &set), 0);
}

static void fork_generations(void)
{
    uint32_t mine = pst__fork_generation();
    CHECK_INT(pst__fork_generation(), mine);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int good = pst__fork_generation() == mine + 1;
        pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(pst__fork_generation() == mine + 2 ? 0 : 1);
        int status = 1;
        waitpid(grandchild, &status, 0);
        _exit(good && status == 0 ? 0 : 1);
    }
    int status = 1;
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK_INT(status, 0);
    CHECK_INT(pst__fork_generation(), mine);
}

static void cpu_flags(void)
{
    unsetenv("PENSTOCK_CPU");
    uint32_t all = pst__cpu_flags();
    CHECK(!(all & PST_CPU_AVX512) || (all & PST_CPU_AVX2));
    setenv("PENSTOCK_CPU", "scalar", 1);
    CHECK_INT(pst__cpu_flags(), 0);
    setenv("PENSTOCK_CPU", "avx2", 1);
    CHECK_INT(pst__cpu_flags(), all & PST_CPU_AVX2);
    setenv("PENSTOCK_CPU", "avx512", 1);
    CHECK_INT(pst__cpu_flags(), all);
    setenv("PENSTOCK_CPU", "sse9", 1);
    CHECK_INT(pst__cpu_flags(), all);
}

static void random_bytes(void)
{
    uint8_t a[64] = {0}, b[64] = {0};
    CHECK_INT(pst__sys_random(a, sizeof a), 0);
    CHECK_INT(pst__sys_random(b, sizeof b), 0);
    CHECK(memcmp(a, b, sizeof a) != 0);
}

CHECK_MAIN(CASE(a_thread), FAULT("R31", deadlines), CASE(clock_goes_on), CASE(cpu_count),
           CASE(fork_generations), CASE(cpu_flags), CASE(random_bytes))
