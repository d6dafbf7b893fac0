/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENSTOCK_LOADER_H
#define PENSTOCK_LOADER_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/dataset.h>
#include <penstock/error.h>
#include <penstock/mix.h>
#include <penstock/stats.h>
#include <penstock/tensor.h>
#include <penstock/transform.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads, decodes and transforms samples on threads of its own and delivers batches in order.
 *
 * A loader belongs to one consumer: its functions may be called from any thread, but not from two
 * at once. Batches that were taken belong to the caller and may outlive the loader. After fork()
 * the child must not use the loader: every call but pst_loader_close() returns PST_EFORKED there.
 *
 * The whole life, in the simple circle:
 *
 *     struct pst_loader_config config;
 *     pst_loader_config_init(&config);
 *     config.dataset = dataset;
 *     config.transform = transform;
 *     config.batch_size = 64;
 *     if ((rc = pst_loader_open(&loader, &config, &err)) < 0) ...
 *     struct pst_batch batch = {0};
 *     while ((rc = pst_loader_next(loader, &batch, &err)) == PST_OK) {
 *         use(&batch.images, &batch.labels);
 *         pst_batch_reset(&batch);
 *     }                          // PST_END: the epoch is over, the next call starts another one
 *     pst_loader_close(&loader);
 */
struct pst_loader;

/* Puts exp(values[i]) in place, in float32. Returns 0, or anything else to fail the call. Runs on
 * the thread that calls pst_loader_submit() or pst_loader_next(). */
typedef int (*pst_exp_fn)(float *values, size_t n, void *opaque);

/* The weights of n Gaussian blurs of taps weights each, one after the other; of each the first
 * value is its sigma when this is called. By the arithmetic of torchvision, v2's or v1's. Returns
 * 0, or anything else to fail the call. Runs on the same thread. */
typedef int (*pst_blur_fn)(float *values, size_t n, int32_t taps, int is_v2, void *opaque);

enum pst_rng {
    PST_RNG_TORCH = 0,  /* each stream is a torch CPU generator (mt19937), drawn from in order */
    PST_RNG_SAMPLE = 1, /* a sample's draws depend on (seed, epoch, index) alone */
};

/* Zero means the default in every field. */
struct pst_loader_config {
    size_t struct_size;
    struct pst_dataset *dataset; /* required; the loader takes a reference */
    /* Required but for a dataset of rows, which has none; the loader takes a reference. */
    struct pst_transform *transform;
    int32_t threads;    /* 0: the cores that this process may use */
    int32_t batch_size; /* most samples in a batch; 0: 1 */
    int32_t ahead;      /* most batches submitted and not taken; 0: 4 */
    int32_t n_streams;  /* random streams (virtual workers); 0: 1 */
    /* Bytes the engine may hold: batches that are not delivered, records, working memory. The
     * look-ahead shrinks to keep within it; a batch that would not fit alone fails with PST_ELIMIT.
     * Only the oldest sample may exceed it, with what decoding one large image takes. 0: 1 GiB, or
     * a quarter of a smaller cgroup's limit, and larger batches are let through and counted. */
    size_t memory_budget;
    int rng;        /* enum pst_rng */
    pst_exp_fn exp; /* NULL: C's exp in double, rounded to float */
    void *exp_opaque;
    int32_t nice; /* added to the threads' nice value; 0: 5; negative: none */
    /* For pst_loader_next() only. */
    int shuffle; /* a keyed permutation of the dataset per epoch */
    int drop_last;
    uint64_t seed;
    int64_t timeout_ms; /* of one pst_loader_next(); 0: 300,000 */
    /* 1: an image has to pass pst_image_check(), too. Images are decoded to their ends then. */
    int strict;
    /* Batches are mixed by it when all their samples are there, and labels are float32 (n,
     * n_classes); copied. With PST_RNG_TORCH the draws follow those of the batch's samples, with
     * PST_RNG_SAMPLE they depend on seed, epoch and the batch's indices alone. NULL: not mixed. */
    const struct pst_mix_config *mix;
    pst_blur_fn blur; /* NULL: in double, rounded to float */
    void *blur_opaque;
};
PST_API void pst_loader_config_init(struct pst_loader_config *config);

/* A delivered batch; zero-initialised means empty. Each tensor holds its own memory, so that
 * keeping the labels does not keep the images. */
struct pst_batch {
    struct pst_tensor images; /* (n, channels, h, w) or (n, h, w, channels), as the transform's
                               * output says; where a sample has several images (n, images, ...),
                               * or (images, n, ...) as PST_OP_CORNER_CROPS says; contiguous */
    struct pst_tensor labels; /* (n), int64; of a mixed batch (n, n_classes), float32 */
};
PST_API void pst_batch_reset(struct pst_batch *batch); /* idempotent; any thread */

/* Starts the threads, for a dataset of rows when the first batch is submitted. Errors: PST_EINVAL,
 * PST_ENOMEM, PST_ETHREAD. */
PST_API int pst_loader_open(struct pst_loader **out, const struct pst_loader_config *config,
                            struct pst_error *err);

/* Ends the threads and joins them, at any stage, within about the time of one sample; *loader
 * becomes NULL. Batches that were taken stay valid. NULL and *loader == NULL are legal. */
PST_API void pst_loader_close(struct pst_loader **loader);

/* The simple circle: the next batch of the epoch in order, PST_END at its end. An error names the
 * sample; the batch is lost then and the call after it goes on with the next one. */
PST_API int pst_loader_next(struct pst_loader *loader, struct pst_batch *batch,
                            struct pst_error *err);

/* The explicit circle, for callers with a sampler and a reference decoder of their own. Batches are
 * submitted as lists of indices, and come back in the order of submission.
 *
 *     submit* ; wait -> BATCH: take; DOUBT: resolve, finish, replace or fail;
 *     FAILED: take (drops it); RAGGED: take
 *
 * The random streams: with PST_RNG_TORCH a batch draws from its stream in the order of submission;
 * a sample that fails draws nothing, and nothing is drawn for the samples after it in its batch (a
 * worker of torch never came to them): later batches of the stream are then planned again. A sample
 * whose pixels can be had but whose size the transform refuses (pst_loader_resolve() says so) has
 * drawn what the steps before the refusal draw. */

/* Makes a stream a torch generator after manual_seed(seed); with PST_RNG_SAMPLE sets the key.
 * Nothing may be submitted. Errors: PST_EINVAL, PST_EFORKED. */
PST_API int pst_loader_seed(struct pst_loader *loader, int32_t stream, uint64_t seed,
                            struct pst_error *err);
/* Makes a stream continue from a state of mt19937: words and the number of them already given out
 * (0..624). As above. */
PST_API int pst_loader_set_state(struct pst_loader *loader, int32_t stream,
                                 const uint32_t words[624], int32_t position,
                                 struct pst_error *err);

/* Makes what a stream draws from Python's random continue from such a state, for a transform that
 * does (pst_transform_draws_python()); pst_loader_seed() also makes it what random.seed(seed)
 * makes. As above. */
PST_API int pst_loader_set_python(struct pst_loader *loader, int32_t stream,
                                  const uint32_t words[624], int32_t position,
                                  struct pst_error *err);

/* The normal that the generator of a stream keeps for the next call, after either of these, which
 * leave none (NAN). As above. */
PST_API int pst_loader_set_normal(struct pst_loader *loader, int32_t stream, double normal,
                                  struct pst_error *err);

/* Queues a batch. *ticket counts up from 1. PST_AGAIN: `ahead` batches are waiting already, nothing
 * was queued. Errors: PST_EINVAL, PST_ERANGE (an index), PST_ENOMEM, PST_ECALLBACK, PST_EFORKED. */
PST_API int pst_loader_submit(struct pst_loader *loader, const int64_t *indices, size_t n,
                              int32_t stream, uint64_t *ticket, struct pst_error *err);

/* Memory of the caller's for batches: pinned, say, so that a batch need not be copied to where a
 * device can fetch it. Of a batch that is submitted with pst_loader_submit_supplied() nothing is
 * written before its memory is there, where its size is known by then: it is for rows, for a
 * transform that gives all images one size, and otherwise expected to be the last batch's.
 *
 *     submit_supplied* ; while wanted is PST_OK: supply ; wait ...
 *
 * Supplied memory counts in the budget until the batch is taken; batches ahead want it when there
 * is room. pst_loader_wait() does not wait for memory: the oldest batch, if it has none by then,
 * gets the loader's own, as one does whose samples are larger than was expected. So it is the
 * delivered tensor that says where it lies: its buffer is the one supplied or another. */
PST_API int pst_loader_submit_supplied(struct pst_loader *loader, const int64_t *indices, size_t n,
                                       int32_t stream, uint64_t *ticket, struct pst_error *err);
/* The oldest batch that waits for memory, and for how much. PST_AGAIN: the budget has no room for
 * it now; PST_END: none waits. */
PST_API int pst_loader_wanted(struct pst_loader *loader, uint64_t *ticket, size_t *bytes,
                              struct pst_error *err);
/* Gives a batch its memory: writable, at least as much as is wanted, at a multiple of 64; NULL: the
 * loader's own. The loader takes a reference of its own and drops it, if the batch is not delivered
 * in this memory, within a call of the consumer's or pst_loader_close(), when no thread writes
 * there any longer. PST_AGAIN: the budget has no room any longer, nothing is taken. */
PST_API int pst_loader_supply(struct pst_loader *loader, uint64_t ticket, struct pst_buffer *memory,
                              struct pst_error *err);
/* Bytes of a batch of n samples, as above; 0: they are not known, or more than the budget. */
PST_API int pst_loader_batch_bytes(struct pst_loader *loader, size_t n, size_t *bytes,
                                   struct pst_error *err);

enum pst_event_kind {
    PST_EVENT_BATCH = 1,  /* the oldest batch is complete */
    PST_EVENT_DOUBT = 2,  /* a sample of some batch waits for the caller's decision */
    PST_EVENT_FAILED = 3, /* the oldest batch was given up by pst_loader_fail() */
    PST_EVENT_RAGGED = 4, /* the oldest batch is complete but its samples differ in shape */
};

struct pst_event {
    int kind;             /* enum pst_event_kind */
    int32_t slot;         /* DOUBT, FAILED: place of the sample in the batch */
    uint64_t ticket;      /* which batch */
    int64_t index;        /* DOUBT, FAILED: index in the dataset */
    int64_t words;        /* BATCH, FAILED, RAGGED: words that the batch took from its stream */
    int64_t python_words; /* likewise from Python's random */
    const void *data; /* DOUBT: the record's bytes; NULL if it could not be read. Borrowed until the
                       * sample is resolved or failed. */
    size_t size;
    struct pst_error error; /* DOUBT, FAILED: why */
    double normal; /* BATCH, FAILED, RAGGED: that the stream's generator keeps then; NAN: none */
};

/* Waits until something is to be done. PST_AGAIN: timeout_ms passed first. PST_END: nothing is
 * submitted. Doubts of later batches are reported while the oldest one is not complete. */
PST_API int pst_loader_wait(struct pst_loader *loader, struct pst_event *event, int64_t timeout_ms,
                            struct pst_error *err);

/* Decides a doubt: these are the sample's pixels as they lie in the file, RGBX (4 bytes a pixel),
 * copied before the call returns. orientation: EXIF's, 1 to 8, for a transform that turns images
 * upright (PST_OP_EXIF_TRANSPOSE); another one does not look at it. */
PST_API int pst_loader_resolve(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                               const uint8_t *rgbx, int32_t w, int32_t h, ptrdiff_t stride,
                               int orientation, struct pst_error *err);
/* A doubt whose transform refuses the image's size, of which pst_loader_resolve() says so, may be
 * decided by a transform of the caller's that means the same: these are the next n words that it
 * draws from (n <= pst_transform_max_words()). */
PST_API int pst_loader_words(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                             uint32_t *words, size_t n, struct pst_error *err);
/* The state of Python's random that it draws from, as of pst_loader_set_python(). PST_EINVAL: the
 * loader's transform does not. */
PST_API int pst_loader_python(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                              uint32_t words[624], int32_t *position, struct pst_error *err);
/* The state of torch's generator that it draws from. PST_EINVAL: the loader's transform does not
 * draw normals; pst_loader_words() says all there is to know. */
PST_API int pst_loader_generator(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                                 uint32_t words[624], int32_t *position, struct pst_error *err);
/* The normal that the generator keeps for the next call as such a sample draws, NAN where it keeps
 * none; and before pst_loader_finish() the one that it keeps after the words that were taken. It
 * need not be said where the transform takes none and leaves none. */
PST_API int pst_loader_normal(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                              double *normal, struct pst_error *err);
PST_API int pst_loader_leave_normal(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                                    double normal, struct pst_error *err);
/* Decides such a doubt: the finished sample of h x w, size bytes in the batch's dtype and layout,
 * copied before the call returns, for which so many words were taken, and so many of Python's
 * random (0 where nothing is drawn from it). Size 0: the transform failed after so many words; the
 * sample stays in doubt, for pst_loader_fail(). */
PST_API int pst_loader_finish(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                              const void *data, size_t size, int32_t h, int32_t w, size_t words,
                              uint32_t python_words, struct pst_error *err);
/* Decides a doubt: the sample cannot be had, its batch is given up. After an error here
 * (PST_ENOMEM, PST_ECALLBACK) the loader can only be canceled or closed. */
PST_API int pst_loader_fail(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                            struct pst_error *err);

/* Decides a doubt: another record stands in for the sample that cannot be had; with index -1 none
 * does, and the batch has a sample less. A batch of no samples is complete, and taking it leaves
 * *batch empty. The batch is then what it would be if it had been submitted so: a sample that was
 * replaced has drawn nothing. Where it had, the samples after it in its batch and the later batches
 * of its stream are planned again, as they were submitted: *n_replanned (may be NULL) counts these
 * batches; decisions about them are void. After an error, as of pst_loader_fail(). */
PST_API int pst_loader_replace(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                               int64_t index, int32_t *n_replanned, struct pst_error *err);

/* Output height and width of a sample of a complete or ragged batch. */
PST_API int pst_loader_slot_shape(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                                  int32_t *h, int32_t *w, struct pst_error *err);
/* One line that says what was drawn for a sample (crop, flips), for reports. NUL-terminated. */
PST_API int pst_loader_describe_slot(struct pst_loader *loader, uint64_t ticket, int32_t slot,
                                     char *text, size_t size, struct pst_error *err);

/* Hands the oldest batch over and frees its place. A batch that failed or is ragged is dropped,
 * batch is left empty. PST_AGAIN: it is not complete. Errors: PST_ENOMEM, PST_ERANGE (a label of a
 * mixed batch). */
PST_API int pst_loader_take(struct pst_loader *loader, uint64_t ticket, struct pst_batch *batch,
                            struct pst_error *err);

/* A dataset of rows (dataset.h): its batches are fields[f] of (n, ...), for each of its fields,
 * over one piece of memory. There are no doubts: a row that cannot be read fails its batch. */

/* As pst_loader_take(); fields[0 .. n_fields) are written over. Of a batch that failed: its error;
 * it is dropped, and fields are empty. */
PST_API int pst_loader_take_fields(struct pst_loader *loader, uint64_t ticket,
                                   struct pst_tensor *fields, int n_fields, struct pst_error *err);
/* A batch at once, on the caller's thread: for what is quicker gathered than handed over. It has no
 * place in the order of what is submitted. Errors: PST_ERANGE, PST_EINVAL, PST_ELIMIT, PST_ENOMEM,
 * those of pst_gather(). */
PST_API int pst_loader_gather(struct pst_loader *loader, const int64_t *indices, size_t n,
                              struct pst_tensor *fields, int n_fields, struct pst_error *err);
/* The same into the caller's memory, as of pst_loader_supply(), with nothing of the budget. */
PST_API int pst_loader_gather_into(struct pst_loader *loader, const int64_t *indices, size_t n,
                                   struct pst_buffer *memory, struct pst_tensor *fields,
                                   int n_fields, struct pst_error *err);
/* The simple circle. */
PST_API int pst_loader_next_fields(struct pst_loader *loader, struct pst_tensor *fields,
                                   int n_fields, struct pst_error *err);

/* Drops everything that is submitted; waits for the samples that are being worked on. */
PST_API int pst_loader_cancel(struct pst_loader *loader, struct pst_error *err);

/* Counters since open. */
PST_API int pst_loader_stats(struct pst_loader *loader, struct pst_stats *stats,
                             struct pst_error *err);

#ifdef __cplusplus
}
#endif
#endif
