/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_LOADER_ENGINE_H
#define PST_LOADER_ENGINE_H

#include <stdatomic.h>

#include <penstock/loader.h>

#include "base/thread.h"
#include "buffer/slab_pool.h"
#include "decode/decode.h"
#include "exec/workers.h"
#include "io/record.h"
#include "loader/ring.h"
#include "loader/stream.h"
#include "sample/permutation.h"
#include "transform/transform.h"

/* The room's own header. One lock guards everything but what a comment says is another's; it is
 * held for microseconds and never across a read, a decode or a callback.
 *
 * A sample goes NEW -> READING -> PROBED -> PLANNED -> RUNNING -> DONE. READING and RUNNING belong
 * to a worker, which alone touches the sample then. DOUBT waits for the consumer and goes on as
 * PROBED or PLANNED with the reference's pixels. */
enum pst__sample_state {
    PST_SAMPLE_NEW,
    PST_SAMPLE_READING,
    PST_SAMPLE_PROBED,
    PST_SAMPLE_PLANNED,
    PST_SAMPLE_RUNNING,
    PST_SAMPLE_DONE,
    PST_SAMPLE_DOUBT,
};

struct pst__sample {
    int64_t index;
    int64_t asked;        /* the index that was submitted; another one may stand in for it */
    uint8_t state;        /* enum pst__sample_state */
    uint8_t is_planned;   /* plan and words_at are valid */
    uint8_t is_refused;   /* DOUBT: of the plan, pixels would not help */
    uint8_t is_finished;  /* pixels is the sample itself */
    uint8_t is_absent;    /* DONE: left out of the batch */
    uint8_t is_expected;  /* read and to run: its cost is among those that room is left for */
    uint64_t words_drawn; /* DOUBT: by the steps before the one that refused */
    uint64_t words_spent; /* of them, once the reference has given pixels: stock came that far */
    /* The same of Python's generator; python_at counts from the batch's start. */
    uint32_t python_drawn, python_spent, python_at;
    int32_t next_ready;  /* slot of the next sample in the batch's ready list, -1 ends it */
    uint64_t words_at;   /* position in the stream where this sample's draws begin */
    double normal_at;    /* that the stream kept there */
    double normal_spent; /* DOUBT: that it keeps after words_drawn, or words_spent */
    size_t cost;         /* working memory that it takes; while RUNNING it is charged */
    struct pst_image_info info;
    struct pst_record *record; /* from the loader's idle records; NULL when not read */
    uint8_t *pixels; /* RGBX given by the reference, rows without gaps; NULL: decode record */
    size_t pixel_bytes;
    struct pst_error *error; /* DOUBT: why; NULL when memory was out */
    int status;
    struct pst__plan plan; /* last, so that a new sample need not clear it */
};

struct pst__batch {
    uint64_t ticket; /* 0: this place of the ring is free */
    int32_t stream, n;
    int32_t read_next;        /* slot that is read next; all before it have been claimed */
    int32_t plan_next;        /* slot that plans next in stream order */
    int32_t n_done, n_active; /* DONE; READING or RUNNING */
    int32_t n_doubts;
    int32_t ready_first, ready_last;
    int32_t n_expected; /* samples that room is left for */
    size_t cost_most;   /* the largest cost of these */
    int32_t n_absent;
    int32_t shape_slot;  /* the first that is not absent, whose shape is the batch's */
    int32_t failed_slot; /* -1, or where pst_loader_fail() gave the batch up */
    int failure_status;
    struct pst_error *failure; /* the doubt it was given up for; NULL when memory was out */
    int64_t submitted_ns;      /* 0 where nothing was traced then */
    uint8_t is_held;           /* no new work is started on it: it is being reset */
    uint8_t is_ragged;
    int32_t out_w, out_h; /* of shape_slot; 0 while unknown */
    size_t sample_bytes;
    uint64_t words_start, words_end; /* of the stream, once planned */
    struct pst__mt python_start;     /* likewise of Python's generator, and how much was drawn */
    uint32_t python_words;
    struct pst__mt mt_start;   /* torch's generator at words_start, where normals are drawn */
    struct pst_buffer *slab;   /* what is written: of the pool, or `memory` */
    struct pst_buffer *memory; /* the caller's, with a ticket; NULL: none was supplied */
    uint8_t awaits;            /* until it is supplied, nothing of the batch runs */
    int32_t capacity;          /* of sample, or of rows */
    struct pst__sample *sample;
    int64_t *rows;       /* of a dataset of rows: the indices, and no samples */
    uint8_t is_intended; /* it was told that they will be read */
    /* Of rows of different lengths: how long they are in the batch, by fields. Known once
     * is_measured is PST_MEASURED, and not written to then. */
    int64_t *lengths;
    uint8_t is_measured;
    /* Of a loader that mixes: constant; what was drawn when all samples were planned; pieces that
     * threads have taken and those that are done. */
    uint8_t mixes, is_mix_drawn, is_mixed;
    struct pst_mix mix;
    size_t n_pieces, piece_next, pieces_done;
    double normal_end; /* that the stream keeps as of words_end */
};
enum { PST_NOT_MEASURED, PST_MEASURING, PST_MEASURED };

/* What one thread adds up; only that thread writes, relaxed. */
struct pst__worker {
    struct pst__decoder *decoder;
    struct pst__executor *executor;
    struct pst__scratch aside; /* where a sample of a ragged batch is written */
    struct pst_record record;  /* of a uniform dataset, for one sample at a time */
    struct pst__draws draws;   /* PST_RNG_SAMPLE: made for one sample at a time */
    uint32_t *words;
    float *exps[PST_MAX_EXP_RANGES];
    struct pst__mt python, mt;
    struct pst__ring ring; /* what is traced */
    int has_ring;
    uint8_t *mixed_last; /* [PST_MIX_PIECE] where batches are mixed: of the last sample */
    int64_t charged;     /* scratch that the budget knows of */
    _Atomic int64_t bytes_read, read_ns, probe_ns, plan_ns, decode_ns, transform_ns, scratch_bytes;
};

struct pst_loader {
    /* Constant after open. */
    struct pst_loader_config config;
    uint32_t generation; /* fork generation */
    int n_workers;
    int n_ranges;
    size_t max_words;
    int draws_python, draws_normals;
    struct pst_mix_config mix; /* n is 0 where nothing is mixed */
    size_t mix_words;
    int is_strict_budget; /* it was asked for: what does not fit is refused */
    int is_free; /* planning needs no order: nothing is drawn, or each sample has draws of its own
                  */
    int is_uniform; /* sizes are known and samples hold no records: they are taken in runs */
    struct pst_pixels uniform; /* the size */
    /* Of a dataset of rows; 0: another one. */
    int n_fields;
    struct pst_field *field;
    size_t *field_bytes;   /* of one row; of rows of different lengths, of one of length 1 */
    size_t row_bytes;      /* of all fields whose rows are of one length */
    int is_varying;        /* there are others */
    size_t run_bytes;      /* of rows that a thread claims at once */
    _Atomic int is_traced; /* among what is only read: each sample looks at it a few times */
    size_t fixed_bytes;    /* of a sample, where the transform fixes it; 0: it does not */
    int staged_most;       /* samples of other batches than the oldest that may hold a record */
    int64_t opened_ns;
    struct pst__slab_pool *pool;
    struct pst__workers *team;
    struct pst__worker *worker; /* [n_workers + 1]; the last one's draws serve the consumer */

    struct pst__mutex lock;
    struct pst__cond work; /* workers wait here */
    struct pst__cond done; /* the consumer waits here */

    /* Guarded by lock. Batches head..tail-1 are submitted; batch t lives at ring[t % config.ahead].
     */
    struct pst__batch *ring;
    uint64_t head, tail; /* tickets, from 1 */
    int32_t n_staged;    /* records that samples hold */
    int is_stopping;
    struct pst_record **idle_records; /* [staged_most] */
    int n_idle_records;
    size_t costs;       /* of samples RUNNING, charged */
    size_t record_most; /* the largest record so far */
    struct pst__stream *stream;
    uint64_t sample_key; /* PST_RNG_SAMPLE */
    int64_t batches, samples, doubts, replans, wait_ns, reference_ns;
    int64_t doubt_since_ns; /* when the doubt that is with the consumer was reported, or 0 */
    const struct pst__batch *doubt_batch; /* whose it is, while doubt_since_ns is set */
    const struct pst__sample *doubt_sample;

    /* The consumer's own. */
    size_t last_bytes;         /* of a sample of the last batch that was taken */
    struct pst_buffer **spent; /* [ahead]: supplied, and to be given back without the lock */
    int32_t n_spent;
    struct pst__refill refill;
    struct pst__epoch {
        uint64_t number;
        int64_t next, n_batches; /* batches submitted so far and in all */
        int is_open;
        int64_t *indices;
        struct pst__permutation order;
    } epoch;
};

static inline struct pst__batch *pst__batch_at(struct pst_loader *loader, uint64_t ticket)
{
    return &loader->ring[ticket % (uint64_t)loader->config.ahead];
}
static inline struct pst__batch *pst__head(struct pst_loader *loader)
{
    return loader->head == loader->tail ? NULL : pst__batch_at(loader, loader->head);
}

/* batch.c: the life of batches and samples; lock held. */
int pst__batch_fill(struct pst_loader *loader, struct pst__batch *batch, uint64_t ticket,
                    const int64_t *indices, size_t n, int32_t stream, struct pst_error *err);
void pst__batch_clear(struct pst_loader *loader, struct pst__batch *batch);   /* n_active is 0 */
void pst__batch_restart(struct pst_loader *loader, struct pst__batch *batch); /* all NEW again */
void pst__sample_settle(struct pst_loader *loader, struct pst__batch *batch,
                        struct pst__sample *sample); /* gives back record, pixels, error */
void pst__sample_doubt(struct pst_loader *loader, struct pst__batch *batch,
                       struct pst__sample *sample, int status, struct pst_error *err);
void pst__sample_ready(struct pst__batch *batch, struct pst__sample *sample);
struct pst__sample *pst__batch_pop_ready(struct pst__batch *batch);
/* The one behind `before`, or the first for -1. */
struct pst__sample *pst__batch_pop_behind(struct pst__batch *batch, int32_t before);
/* All from a slot on NEW again; those before it are done, n_active is 0. */
void pst__batch_restart_tail(struct pst_loader *loader, struct pst__batch *batch, int32_t slot);
void pst__sample_begin(const struct pst_loader *loader, struct pst__sample *sample, int64_t index);
int pst__batch_is_open(const struct pst__batch *batch); /* new work may be started on it */
int pst__batch_is_over(const struct pst__batch *batch); /* complete, or failed and at rest */

/* budget.c: what is held beside slabs; lock held. */
void pst__record_charge(struct pst_loader *loader, struct pst_record *record);
void pst__record_discharge(struct pst_loader *loader, struct pst_record *record); /* resets it */
void pst__record_idle(struct pst_loader *loader, struct pst_record *record);      /* may reset it */
void pst__pixels_take(struct pst_loader *loader, struct pst__sample *sample, uint8_t *pixels,
                      size_t bytes);
void pst__pixels_drop(struct pst_loader *loader, struct pst__sample *sample);
void pst__scratch_charge(struct pst_loader *loader, struct pst__worker *worker, int64_t bytes);
/* The sample's cost is known: what is started from now on leaves room for it. It is forgotten when
 * it runs, or when it comes to nothing. */
void pst__cost_expect(struct pst__batch *batch, struct pst__sample *sample);
void pst__cost_forget(struct pst__batch *batch, struct pst__sample *sample);
/* A sample may run if its working memory fits, or if nothing else can go on (must). */
int pst__cost_charge(struct pst_loader *loader, struct pst__batch *batch,
                     struct pst__sample *sample, int must);
void pst__cost_discharge(struct pst_loader *loader, struct pst__sample *sample);
/* A large sample has run: what the decoder's library freed goes back to the system, where it
 * counts. The lock is not held. */
void pst__cost_trim(const struct pst_loader *loader, const struct pst__sample *sample);
/* For one more record of the batch, or a slab of it, beside what samples up to this batch will
 * take. */
int pst__has_room_to_read(struct pst_loader *loader, const struct pst__batch *batch);
int pst__has_room_for_slab(struct pst_loader *loader, const struct pst__batch *batch, size_t bytes);

/* consume.c: the consumer's decisions. The consumer alone takes a sample out of DOUBT, so what
 * find_doubtful finds there stays. restart_after lets the later batches of a stream begin anew and
 * holds them until release_after; in between the stream has to be topped up. Lock held, but for
 * find_doubtful and stream_top_up. */
int pst__find_doubtful(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                       struct pst__batch **batch, struct pst__sample **sample,
                       struct pst_error *err);
void pst__doubt_ends(struct pst_loader *loader);
int pst__restart_after(struct pst_loader *loader, const struct pst__batch *failed); /* how many */
int pst__stream_top_up(struct pst_loader *loader, int32_t which, size_t n, struct pst_error *err);
void pst__release_after(struct pst_loader *loader, const struct pst__batch *failed);

/* order.c: planning. pst__plan_ahead draws for a stream as far as its samples are probed, for at
 * most so many, and returns for how many; pst__planned takes note of a plan, pst__plan_placed of
 * its place in the batch: lock held.
 * pst__plan_own plans a sample whose draws need no order: for the sample's owner. */
int pst__plan_ahead(struct pst_loader *loader, int32_t stream, int most);
/* What a stream draws next. */
struct pst__draws pst__draws_next(const struct pst_loader *loader, struct pst__stream *stream);
/* A batch is about to draw from its stream, or to fail without. */
void pst__stream_begins(const struct pst_loader *loader, struct pst__batch *batch);
/* What follows is drawn from this position on, and from Python's generator so many words after the
 * batch's start. normal: that the stream keeps there. */
void pst__stream_at(struct pst_loader *loader, struct pst__batch *batch, uint64_t position,
                    uint32_t python_words, double normal);
/* The consumer goes on with a stream that waited for this sample. */
void pst__plan_on(struct pst_loader *loader, const struct pst__batch *batch,
                  const struct pst__sample *sample);
void pst__planned(struct pst_loader *loader, struct pst__batch *batch, struct pst__sample *sample);
void pst__plan_placed(struct pst_loader *loader, struct pst__batch *batch, int32_t slot);
int pst__plan_own(struct pst_loader *loader, struct pst__worker *worker, struct pst__sample *sample,
                  struct pst_error *err);
/* Words and exponentials of one sample under PST_RNG_SAMPLE, into the worker's. */
void pst__draw_own(struct pst_loader *loader, struct pst__worker *worker, int64_t index);

/* pipeline.c: what the threads do. */
void pst__worker_run(void *loader, int worker);

/* worker.c: what a thread has of its own; its tools come when it first needs them. */
int pst__worker_init(struct pst_loader *loader, struct pst__worker *worker, struct pst_error *err);
void pst__worker_reset(struct pst__worker *worker);

/* runs.c: small samples of a uniform dataset are planned and taken several at a time, for one round
 * of the lock. Lock held. */
#define PST_RUN_MOST 32
int pst__run_length(const struct pst_loader *loader, const struct pst__batch *batch);
int pst__plan_run(
    struct pst_loader *loader); /* of the oldest batch; 0: there was nothing to plan */

/* supply.c: memory that the caller brings. Bytes of a batch of n samples as far as they are known
 * before its first one is read; 0: they are not. memory_use: 1 where the batch has memory of its
 * own that is large enough, which is its slab then. slab_hand_over gives the slab's reference away,
 * memory_drop puts memory by until memory_release: in the consumer's calls. Lock held, but for
 * batch_bytes, memory_check and memory_release. */
size_t pst__batch_bytes(const struct pst_loader *loader, size_t n);
void pst__memory_await(const struct pst_loader *loader, struct pst__batch *batch);
void pst__memory_go_without(struct pst_loader *loader); /* the oldest batch, if it has to */
int pst__memory_use(struct pst__batch *batch, size_t bytes);
struct pst_buffer *pst__slab_hand_over(struct pst_loader *loader, struct pst__batch *batch);
void pst__memory_drop(struct pst_loader *loader, struct pst__batch *batch);
void pst__memory_release(struct pst_loader *loader);
int pst__memory_check(const struct pst_buffer *memory, size_t bytes, struct pst_error *err);

/* mixing.c: batches that are mixed. mix_is_due: the batch is not complete before it. mix_plan draws
 * in the stream's order, once all its samples are planned. batch_landed: the last sample is done.
 * Lock held; mix_run's caller does not hold it, and does afterwards. */
struct pst__mix_run {
    struct pst__batch *batch;
    size_t from, n; /* pieces */
};
int pst__mix_is_due(const struct pst__batch *batch);
void pst__mix_plan(const struct pst_loader *loader, struct pst__stream *stream,
                   struct pst__batch *batch);
void pst__batch_landed(struct pst_loader *loader, struct pst__worker *worker,
                       const struct pst__batch *batch);
int pst__mix_claim(struct pst_loader *loader, struct pst__worker *worker, struct pst__mix_run *run);
void pst__mix_run(struct pst_loader *loader, struct pst__worker *worker,
                  const struct pst__mix_run *run);

/* gather.c: batches of a dataset of rows. Lock held. */
size_t pst__rows_bytes(const struct pst_loader *loader, size_t n);    /* no lock; 0: it varies */
int pst__rows_init(struct pst_loader *loader, struct pst_error *err); /* nothing runs yet */
int pst__rows_fill(const struct pst_loader *loader, struct pst__batch *batch,
                   const int64_t *indices, size_t n, struct pst_error *err);
/* One step of a thread's work: PST_OK, or PST_AGAIN where there is nothing to do. */
int pst__rows_work(struct pst_loader *loader, struct pst__worker *worker);
int pst__threads_start(struct pst_loader *loader, struct pst_error *err);

/* trace.c: notes for pst_loader_trace(). Ask pst__is_traced() first. The consumer's worker is the
 * last one. */
static inline int pst__is_traced(struct pst_loader *loader)
{
    return __builtin_expect(atomic_load_explicit(&loader->is_traced, memory_order_relaxed), 0);
}
static inline struct pst__worker *pst__consumer(struct pst_loader *loader)
{
    return &loader->worker[loader->n_workers];
}
void pst__trace_sample(struct pst_loader *loader, struct pst__worker *worker, int kind,
                       const struct pst__batch *batch, const struct pst__sample *sample,
                       int64_t start_ns, int64_t end_ns, int count);
void pst__trace_batch(struct pst_loader *loader, struct pst__worker *worker, int kind,
                      uint64_t ticket, int64_t start_ns, int64_t end_ns, int count);
/* The consumer submitted a batch, or took or dropped it: these ask themselves. Lock held. */
void pst__trace_submitted(struct pst_loader *loader, struct pst__batch *batch);
void pst__trace_left(struct pst_loader *loader, const struct pst__batch *batch);

/* PST_EFORKED in a child of the process that opened the loader. */
int pst__loader_check(const struct pst_loader *loader, struct pst_error *err);

#endif
