/* SPDX-License-Identifier: Apache-2.0 */
#include "loader/stream.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"

void pst__stream_reset(struct pst__stream *stream)
{
    pst__free(stream->words);
    for (int r = 0; r < PST_MAX_EXP_RANGES; r++)
        pst__free(stream->exps[r]);
    *stream = (struct pst__stream){0};
}

void pst__refill_reset(struct pst__refill *refill)
{
    pst__free(refill->words);
    for (int r = 0; r < PST_MAX_EXP_RANGES; r++)
        pst__free(refill->exps[r]);
    *refill = (struct pst__refill){0};
}

void pst__stream_seed(struct pst__stream *stream, uint32_t seed)
{
    pst__mt_seed(&stream->mt, seed);
    stream->base = stream->end = stream->next = 0;
    stream->normal = NAN;
}

void pst__stream_set_state(struct pst__stream *stream, const uint32_t words[PST_MT_N],
                           uint32_t given)
{
    memcpy(stream->mt.state, words, sizeof stream->mt.state);
    stream->mt.given = given;
    stream->base = stream->end = stream->next = 0;
    stream->normal = NAN;
}

/* Grows one array of 4-byte elements. */
static int grow(void *slot, size_t capacity, struct pst_error *err)
{
    void **array = slot;
    void *grown = pst__realloc(*array, capacity * 4, PST_MEM_HEAP);
    if (!grown)
        return pst__fail(err, PST_ENOMEM, "no memory for %zu random words", capacity);
    *array = grown;
    return PST_OK;
}

/* Values of a range for each word. */
static size_t width_of(const struct pst_transform *transform, int range)
{
    return pst__range_width(pst__transform_range(transform, range));
}

static int grow_all(uint32_t **words, float **exps, const struct pst_transform *transform, size_t n,
                    struct pst_error *err)
{
    int n_ranges = pst__transform_n_exp_ranges(transform);
    int rc = grow(words, n, err);
    for (int r = 0; r < n_ranges && rc == PST_OK; r++)
        rc = grow(&exps[r], n * width_of(transform, r), err);
    return rc;
}

static int refill_reserve(struct pst__refill *refill, const struct pst_transform *transform,
                          size_t n, struct pst_error *err)
{
    if (n <= refill->capacity)
        return PST_OK;
    int rc = grow_all(&refill->words, refill->exps, transform, n, err);
    if (rc == PST_OK)
        refill->capacity = n;
    return rc;
}

/* The function of a range, in place: the caller's where there is one. */
static int compute(const struct pst__range *range, float *values, size_t n,
                   const struct pst__exp *exp, struct pst_error *err)
{
    int rc = PST_OK;
    if (range->taps > 0 && exp->blur)
        rc = exp->blur(values, n, range->taps, range->is_v2, exp->blur_opaque);
    else if (range->taps == 0 && exp->fn)
        rc = exp->fn(values, n, exp->opaque);
    else
        pst__range_compute(range, values, n);
    if (rc != 0)
        return pst__fail(err, PST_ECALLBACK, "the %s callback failed on %zu values",
                         range->taps > 0 ? "blur" : "exp", n);
    return PST_OK;
}

int pst__stream_make(struct pst__stream *stream, const struct pst_transform *transform,
                     const struct pst__exp *exp, size_t n, struct pst__refill *refill,
                     struct pst_error *err)
{
    int n_ranges = pst__transform_n_exp_ranges(transform);
    int rc = refill_reserve(refill, transform, n, err);
    if (rc < 0)
        return rc;
    struct pst__mt before = stream->mt;
    pst__mt_fill(&stream->mt, refill->words, n);
    for (int r = 0; r < n_ranges; r++) {
        pst__transform_exp_arguments(transform, r, refill->words, n, refill->exps[r]);
        rc = compute(pst__transform_range(transform, r), refill->exps[r], n, exp, err);
        if (rc < 0) {
            stream->mt = before;
            return rc;
        }
    }
    refill->n = n;
    return PST_OK;
}

int pst__stream_reserve(struct pst__stream *stream, const struct pst_transform *transform,
                        uint64_t keep, size_t n, struct pst_error *err)
{
    int n_ranges = pst__transform_n_exp_ranges(transform);
    if (keep > stream->base) {
        size_t drop = (size_t)(keep - stream->base), left = (size_t)(stream->end - keep);
        if (left > 0) {
            memmove(stream->words, stream->words + drop, left * sizeof *stream->words);
            for (int r = 0; r < n_ranges; r++) {
                size_t width = width_of(transform, r);
                memmove(stream->exps[r], stream->exps[r] + drop * width,
                        left * width * sizeof *stream->exps[r]);
            }
        }
        stream->base = keep;
    }
    size_t need = (size_t)(stream->end - stream->base) + n;
    if (need <= stream->capacity)
        return PST_OK;
    need += need / 2; /* the window slides: fewer moves */
    int rc = grow_all(&stream->words, stream->exps, transform, need, err);
    if (rc == PST_OK)
        stream->capacity = need;
    return rc;
}

void pst__stream_append(struct pst__stream *stream, const struct pst_transform *transform,
                        const struct pst__refill *refill)
{
    int n_ranges = pst__transform_n_exp_ranges(transform);
    size_t at = (size_t)(stream->end - stream->base);
    memcpy(stream->words + at, refill->words, refill->n * sizeof *stream->words);
    for (int r = 0; r < n_ranges; r++) {
        size_t width = width_of(transform, r);
        memcpy(stream->exps[r] + at * width, refill->exps[r],
               refill->n * width * sizeof *stream->exps[r]);
    }
    stream->end += refill->n;
}

struct pst__draws pst__stream_draws(const struct pst__stream *stream,
                                    const struct pst_transform *transform, uint64_t position)
{
    int n_ranges = pst__transform_n_exp_ranges(transform);
    size_t at = (size_t)(position - stream->base);
    struct pst__draws draws = {.words = stream->words ? stream->words + at : NULL};
    for (int r = 0; r < n_ranges; r++)
        draws.exps[r] = stream->exps[r] ? stream->exps[r] + at * width_of(transform, r) : NULL;
    return draws;
}
