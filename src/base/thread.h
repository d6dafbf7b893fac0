/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BASE_THREAD_H
#define PST_BASE_THREAD_H

#include <pthread.h>
#include <stdint.h>

#include "base/attributes.h"

struct pst_error;

/* A mutex and a condition on CLOCK_MONOTONIC. Waits always have a deadline. */
struct pst__mutex {
    pthread_mutex_t handle;
};
struct pst__cond {
    pthread_cond_t handle;
};

int pst__mutex_init(struct pst__mutex *mutex); /* 0 or a negative status */
void pst__mutex_reset(struct pst__mutex *mutex);
void pst__lock(struct pst__mutex *mutex);
void pst__unlock(struct pst__mutex *mutex);

int pst__cond_init(struct pst__cond *cond);
void pst__cond_reset(struct pst__cond *cond);
void pst__signal(struct pst__cond *cond);
void pst__broadcast(struct pst__cond *cond);
/* Waits until signalled or deadline_ns (of pst__now_ns()). 1 when the deadline has passed, else 0;
 * spurious returns happen. */
int pst__cond_wait(struct pst__cond *cond, struct pst__mutex *mutex, int64_t deadline_ns);

/* Starts a thread with all signals blocked but those that it can bring on itself, so that the
 * host's handlers run on the host's threads.
 * name: at most 15 characters. nice is added to the thread's nice value where the kernel allows it.
 */
int pst__thread_start(pthread_t *thread, const char *name, int nice, void *(*fn)(void *), void *arg,
                      struct pst_error *err) PST_NODISCARD;
void pst__thread_join(pthread_t thread);

/* Cores this process may use: affinity and the cgroup's CPU quota, at least 1. */
int pst__cpu_count(void);

/* Counts fork()s that made this process: a handle whose number differs belongs to a parent. */
uint32_t pst__fork_generation(void);

#endif
