/* SPDX-License-Identifier: Apache-2.0 */
#include "loader/engine.h"

/* A sample of a few hundred pixels takes a microsecond, a round of the lock with its wake-ups about
 * as long. So threads take such samples in runs. A run is short enough that cancelling, which waits
 * for it, does not notice, and that all threads come to the end of a batch together. */

#define RUN_PIXELS (1 << 16) /* of a run, in and out */

int pst__run_length(const struct pst_loader *loader, const struct pst__batch *batch)
{
    if (!loader->is_uniform)
        return 1;
    int64_t pixels =
        (int64_t)loader->uniform.width * loader->uniform.height +
        (int64_t)batch->out_w * batch->out_h * pst_transform_images(loader->config.transform);
    int64_t most = RUN_PIXELS / pixels;
    int32_t left = batch->n - batch->n_done - batch->n_active;
    int64_t share = left / (2 * loader->n_workers);
    if (most > share)
        most = share;
    return most < 1 ? 1 : most > PST_RUN_MOST ? PST_RUN_MOST : (int)most;
}

int pst__plan_run(struct pst_loader *loader)
{
    for (uint64_t t = loader->head; t < loader->tail; t++) {
        struct pst__batch *batch = pst__batch_at(loader, t);
        if (!pst__batch_is_open(batch) || batch->plan_next == batch->n)
            continue;
        int n = pst__plan_ahead(loader, batch->stream, PST_RUN_MOST);
        if (n > 0)
            return n;
    }
    return 0;
}
