/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/status.h"
#include "loader/engine.h"

/* What a thread has of its own. */

int pst__worker_init(struct pst_loader *loader, struct pst__worker *worker, struct pst_error *err)
{
    size_t n = loader->max_words;
    if (pst__ring_init(&worker->ring) < 0)
        return pst__fail(err, PST_ENOMEM, "no memory for a lock");
    worker->has_ring = 1;
    if (loader->mix.n > 0) {
        worker->mixed_last = pst__alloc(PST_MIX_PIECE, PST_MEM_HEAP);
        if (!worker->mixed_last)
            return pst__fail(err, PST_ENOMEM, "no memory to mix batches");
    }
    if (loader->config.rng == PST_RNG_SAMPLE && n > 0) {
        worker->words = pst__calloc(n, sizeof *worker->words, PST_MEM_HEAP);
        if (!worker->words)
            return pst__fail(err, PST_ENOMEM, "no memory for %zu random words", n);
        for (int r = 0; r < loader->n_ranges; r++) {
            size_t total = n * pst__range_width(pst__transform_range(loader->config.transform, r));
            worker->exps[r] = pst__calloc(total, sizeof *worker->exps[r], PST_MEM_HEAP);
            if (!worker->exps[r])
                return pst__fail(err, PST_ENOMEM, "no memory for %zu exponentials", total);
        }
    }
    return PST_OK;
}

void pst__worker_reset(struct pst__worker *worker)
{
    pst__decoder_free(worker->decoder);
    pst__executor_free(worker->executor);
    pst__scratch_reset(&worker->aside);
    pst__record_reset(&worker->record);
    if (worker->has_ring)
        pst__ring_reset(&worker->ring);
    pst__free(worker->mixed_last);
    pst__free(worker->words);
    for (int r = 0; r < PST_MAX_EXP_RANGES; r++)
        pst__free(worker->exps[r]);
}
