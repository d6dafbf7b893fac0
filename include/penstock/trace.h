/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENSTOCK_TRACE_H
#define PENSTOCK_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>
#include <penstock/loader.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What each thread of a loader did, and when. Each thread notes into a ring of its own; where that
 * is full the oldest event is overwritten and counted. While nothing is traced there are no rings,
 * and a sample costs one look at a flag. */
enum pst_trace_kind {
    PST_TRACE_READ = 1,      /* a record was fetched */
    PST_TRACE_PROBE = 2,     /* its header was read */
    PST_TRACE_PLAN = 3,      /* parameters were drawn, for `count` samples from this one on */
    PST_TRACE_DECODE = 4,    /* see below */
    PST_TRACE_TRANSFORM = 5, /* see below */
    PST_TRACE_READY = 6,     /* a moment: the batch is complete */
    PST_TRACE_WAIT = 7,      /* the consumer waited */
    PST_TRACE_REFERENCE = 8, /* a doubt was with the consumer */
    PST_TRACE_BATCH = 9,     /* from a batch's submission until it was taken or dropped */
    PST_TRACE_SUBMIT = 10,   /* a moment: a batch of `count` samples was submitted */
};

/* Decoding and transforming take turns, some rows at a time. Their events hold the sum of each, one
 * after the other: together they are the time in which the sample was worked on. */
struct pst_trace_event {
    int64_t start_ns; /* of CLOCK_MONOTONIC */
    int64_t duration_ns;
    int64_t index;   /* in the dataset; -1 for what is not of a sample */
    uint64_t ticket; /* of the batch; 0 for what is not of a batch */
    int32_t slot;    /* place in the batch, -1 for what is not of a sample */
    int32_t thread;  /* 0 to threads - 1; the consumer is `threads` */
    int32_t kind;    /* enum pst_trace_kind */
    int32_t count;   /* samples */
};

#define PST_TRACE_MOST (1 << 20) /* events that one thread may keep */

/* Begins to trace: `capacity` events a thread, 1 to PST_TRACE_MOST. What an earlier trace left is
 * dropped. Errors: PST_EINVAL, PST_ENOMEM (nothing is traced then), PST_EFORKED. */
PST_API int pst_loader_trace_start(struct pst_loader *loader, size_t capacity,
                                   struct pst_error *err);
/* Ends it; the events stay until they are taken. Errors: PST_EFORKED. */
PST_API int pst_loader_trace_stop(struct pst_loader *loader, struct pst_error *err);
/* Takes up to n events out, those of a thread in the order of their ends; *taken < n: there are no
 * more for now, and after the end the rings' memory is given back. *lost counts those that were
 * overwritten since the start. May be called while the loader works. Errors: PST_EINVAL,
 * PST_EFORKED. */
PST_API int pst_loader_trace(struct pst_loader *loader, struct pst_trace_event *events, size_t n,
                             size_t *taken, uint64_t *lost, struct pst_error *err);

#ifdef __cplusplus
}
#endif
#endif
