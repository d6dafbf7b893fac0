/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_LOADER_STREAM_H
#define PST_LOADER_STREAM_H

#include <penstock/loader.h>

#include "base/rng.h"
#include "transform/transform.h"

/* The random words of one virtual worker, and for each range of the transform the values that
 * belong to them. Words are addressed by their absolute position since the stream was seeded.
 * A window [base, end) is held: from the start of the oldest batch that may have to be planned
 * again up to the most that the submitted batches can draw.
 *
 * The generator belongs to the consumer's thread; the window is read by planning threads under the
 * loader's lock. So words are made in two steps: pst__stream_make() outside the lock, into arrays
 * of its own, and pst__stream_append() under it.
 *
 * Python's random is a second generator of the worker. Nothing of its words is a callback's to
 * know, so it is drawn from where a sample is planned, under the lock; each batch keeps the state
 * that it began with, for what is planned again. So is torch's where normals are drawn, since words
 * for the most that these take would be millions: then there is no window. */
struct pst__stream {
    struct pst__mt mt;     /* at the window's end, or without one where the next sample draws */
    struct pst__mt python; /* where the next sample in planning order draws from it */
    uint64_t base, end;    /* positions held */
    uint64_t next;         /* position of the next word to be drawn in planning order */
    size_t capacity;       /* words that the arrays have room for */
    uint32_t *words;
    float *exps[PST_MAX_EXP_RANGES];
    double normal; /* at `next`: what the generator keeps for the next call; NAN: nothing */
};

/* Words on their way into a stream. Zero-initialised means empty; the arrays grow and stay. */
struct pst__refill {
    size_t n, capacity;
    uint32_t *words;
    float *exps[PST_MAX_EXP_RANGES];
};

struct pst__exp {
    pst_exp_fn fn;
    void *opaque;
    pst_blur_fn blur;
    void *blur_opaque;
};

void pst__stream_reset(struct pst__stream *stream); /* frees */
void pst__refill_reset(struct pst__refill *refill); /* frees */

/* Empties the window and starts at position 0, with no normal kept; Python's is not touched. */
void pst__stream_seed(struct pst__stream *stream, uint32_t seed);
void pst__stream_set_state(struct pst__stream *stream, const uint32_t words[PST_MT_N],
                           uint32_t given);

/* Makes the next n words and their values. On failure nothing was drawn from the generator.
 * Errors: PST_ENOMEM, PST_ECALLBACK. */
int pst__stream_make(struct pst__stream *stream, const struct pst_transform *transform,
                     const struct pst__exp *exp, size_t n, struct pst__refill *refill,
                     struct pst_error *err);
/* Makes room for n more words, keeping those from position keep on. Errors: PST_ENOMEM. */
int pst__stream_reserve(struct pst__stream *stream, const struct pst_transform *transform,
                        uint64_t keep, size_t n, struct pst_error *err);
/* Takes the refill in; room was reserved. */
void pst__stream_append(struct pst__stream *stream, const struct pst_transform *transform,
                        const struct pst__refill *refill);

/* The words from position on. */
struct pst__draws pst__stream_draws(const struct pst__stream *stream,
                                    const struct pst_transform *transform, uint64_t position);

#endif
