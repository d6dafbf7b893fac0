/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/augmix.h"

#include <string.h>

#include "base/status.h"
#include "kernels/kernels.h"

/* Of the change: integer[0] is these, the bits of the fill follow; number holds the rest. */
enum { IS_V2 = 1, IS_NEAREST = 2, HAS_FILL = 4 };
_Static_assert(sizeof(struct pst__augmix) <= sizeof((struct pst__change *)0)->number,
               "a change holds it");

#define LINE 64

struct chains {
    struct pst__tensor_way way;
    struct pst__augmix augmix;
    struct pst__image made[PST_AUGMIX_CHAINS + 1]; /* the last one to write into next */
    float *lines;
};

static int n_chains(const struct pst__augmix *augmix)
{
    int n = 0;
    while (n < PST_AUGMIX_CHAINS && augmix->depth[n] > 0)
        n++;
    return n;
}

static size_t image_bytes(const struct pst__change *change)
{
    size_t stride = ((size_t)change->w * 4 + LINE - 1) / LINE * LINE;
    return stride * (size_t)change->h + LINE;
}

static void unpack(const struct pst__change *change, struct chains *chains)
{
    memcpy(&chains->augmix, change->number, sizeof chains->augmix);
    chains->way = (struct pst__tensor_way){
        .is_v2 = (change->integer[0] & IS_V2) != 0,
        .is_nearest = (change->integer[0] & IS_NEAREST) != 0,
        .has_fill = (change->integer[0] & HAS_FILL) != 0,
    };
    memcpy(chains->way.fill, &change->integer[1], sizeof chains->way.fill);
}

static size_t work(const struct pst__change *change)
{
    struct chains chains;
    unpack(change, &chains);
    return ((size_t)n_chains(&chains.augmix) + 1) * image_bytes(change) +
           pst__tensor_lines(change->w) * sizeof(float);
}

/* The steps of one chain, of which the first reads the image itself; the result is made[k]. */
static void run_chain(struct chains *chains, int k, int first, const struct pst__image *image,
                      int n)
{
    struct pst__image *own = &chains->made[k], *spare = &chains->made[n];
    const struct pst__image *from = image;
    for (int i = first; i < first + chains->augmix.depth[k]; i++) {
        int action = chains->augmix.action[i];
        double magnitude = (double)chains->augmix.magnitude[i];
        if (pst__tensor_is_in_place(action)) {
            if (from == image)
                pst__image_copy(own, image);
            pst__tensor_step(&chains->way, action, magnitude, own, own, chains->lines);
        } else {
            pst__tensor_step(&chains->way, action, magnitude, from, spare, chains->lines);
            struct pst__image written = *spare;
            *spare = *own;
            *own = written;
        }
        from = own;
    }
}

static void add_up(const struct chains *chains, int n, const struct pst__image *image)
{
    float weight[PST_AUGMIX_CHAINS + 1] = {chains->augmix.own};
    memcpy(weight + 1, chains->augmix.share, sizeof chains->augmix.share);
    for (int32_t y = 0; y < image->h; y++) {
        const uint8_t *row[PST_AUGMIX_CHAINS + 1] = {image->pixels + y * image->stride};
        for (int k = 0; k < n; k++)
            row[k + 1] = chains->made[k].pixels + y * chains->made[k].stride;
        pst__kernels()->combine(image->pixels + y * image->stride, row, weight, n + 1,
                                (size_t)image->w * 4);
    }
}

static int run(const struct pst__change *change, const struct pst__image *src,
               const struct pst__image *dst, struct pst__scratch *scratch, struct pst_error *err)
{
    (void)src;
    struct chains chains;
    unpack(change, &chains);
    int n = n_chains(&chains.augmix);
    size_t bytes = image_bytes(change);
    uint8_t *block = pst__scratch_reserve(scratch, work(change));
    if (!block)
        return pst__fail(err, PST_ENOMEM, "no memory to mix %d chains of %d x %d pixels", n,
                         change->w, change->h);
    ptrdiff_t stride = (ptrdiff_t)((bytes - LINE) / (size_t)change->h);
    for (int k = 0; k <= n; k++)
        chains.made[k] =
            (struct pst__image){block + (size_t)k * bytes, stride, change->w, change->h};
    chains.lines = (float *)(void *)(block + ((size_t)n + 1) * bytes);
    for (int k = 0, first = 0; k < n; first += chains.augmix.depth[k++])
        run_chain(&chains, k, first, dst, n);
    add_up(&chains, n, dst);
    return PST_OK;
}

static const struct pst__change_type type = {
    .name = "augmix", .is_in_place = 1, .work = work, .run = run};

int pst__fold_augmix(struct pst__plan *plan, const struct pst__augmix *augmix,
                     const struct pst__tensor_way *way, struct pst_error *err)
{
    struct pst__change change = {.type = &type};
    PST_REQUIRE(plan->channels == 3, err, "chains of steps on a grey tensor");
    pst__fold_size(plan, &change.w, &change.h);
    for (int k = 0, i = 0; k < n_chains(augmix); k++) {
        for (int end = i + augmix->depth[k]; i < end; i++) {
            int rc = pst__tensor_step_check_size(way, augmix->action[i], change.w, change.h, err);
            if (rc < 0)
                return rc;
        }
    }
    memcpy(change.number, augmix, sizeof *augmix);
    memcpy(&change.integer[1], way->fill, sizeof way->fill);
    change.integer[0] = (way->is_v2 ? IS_V2 : 0) | (way->is_nearest ? IS_NEAREST : 0) |
                        (way->has_fill ? HAS_FILL : 0);
    return pst__fold_change(plan, &change, err);
}
