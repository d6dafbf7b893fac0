/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_EXEC_WORKERS_H
#define PST_EXEC_WORKERS_H

#include <penstock/error.h>

/* A team of threads that run one function until it returns. The function decides when to stop: the
 * team has no flag of its own, so that there is one lock and one condition to reason about, the
 * owner's. */
struct pst__workers;

/* Starts n threads; fn(arg, worker) runs on each, worker counting from 0. When a thread cannot be
 * started, those that run are left to the caller: *out is set, the status is negative, and the
 * caller makes fn return and calls pst__workers_join(). nice: see pst__thread_start(). */
int pst__workers_start(struct pst__workers **out, int n, const char *name, int nice,
                       void (*fn)(void *arg, int worker), void *arg, struct pst_error *err);
/* Joins all threads and frees the team. NULL is legal. */
void pst__workers_join(struct pst__workers *workers);

#endif
