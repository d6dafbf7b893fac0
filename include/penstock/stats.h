/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENSTOCK_STATS_H
#define PENSTOCK_STATS_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A snapshot. Times are nanoseconds of wall time on the threads, summed over them: with more
 * threads than free cores they hold waiting, too. */
struct pst_stats {
    size_t struct_size; /* set by the caller */
    int64_t batches;    /* taken */
    int64_t samples;    /* in those batches */
    int64_t bytes_read;
    int64_t doubts;       /* samples that were put to the caller's reference */
    int64_t replans;      /* batches planned again after a failed sample before them */
    int64_t read_ns;      /* fetching records */
    int64_t probe_ns;     /* reading headers */
    int64_t plan_ns;      /* drawing parameters */
    int64_t decode_ns;    /* pixels out of bytes */
    int64_t transform_ns; /* resample, flip, normalise, store */
    int64_t wait_ns;      /* the consumer's wall time in pst_loader_wait() */
    int64_t reference_ns; /* between a doubt's report and its decision, wall time */
    int64_t elapsed_ns;   /* since open, wall time */
    int64_t slab_bytes;   /* batch memory now held by the engine (not by the caller) */
    int64_t slab_peak_bytes;
    int64_t record_bytes;  /* encoded bytes now held */
    int64_t scratch_bytes; /* working memory of the threads */
    int64_t heap_bytes;    /* everything else of this library, process-wide */
    int64_t slab_allocs;   /* slabs mapped; steady when the pool is warm */
    int64_t over_budget;   /* batches let through a full budget so that the work could go on */
    int32_t threads;
    int32_t batches_ahead;   /* submitted and not taken, now */
    int64_t held_peak_bytes; /* most that was held of slabs, records and scratch together */
    int64_t memory_budget;
};

/* Names of the kernel variants in use, such as "avx512", and of the libraries linked; static. */
PST_API const char *pst_kernels_name(void);
PST_API const char *pst_build_info(void);

/* Cores that this process may use, by affinity and the quota of its cgroup; at least 1. */
PST_API int pst_cpu_count(void);

#ifdef __cplusplus
}
#endif
#endif
