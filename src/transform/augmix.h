/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TRANSFORM_AUGMIX_H
#define PST_TRANSFORM_AUGMIX_H

#include "transform/segment.h"
#include "transform/tensor_steps.h"

/* What torchvision's AugMix adds up: the image, and chains of steps on it. */

#define PST_AUGMIX_CHAINS 4
#define PST_AUGMIX_STEPS 15 /* of all chains */

struct pst__augmix {
    float own; /* the share of the image itself */
    float share[PST_AUGMIX_CHAINS];
    uint8_t depth[PST_AUGMIX_CHAINS]; /* steps; 0: no more chains */
    uint8_t action[PST_AUGMIX_STEPS]; /* chain after chain */
    float magnitude[PST_AUGMIX_STEPS];
};

/* Errors: PST_ELIMIT where of one of the steps only torch can tell, or the plan is full. */
int pst__fold_augmix(struct pst__plan *plan, const struct pst__augmix *augmix,
                     const struct pst__tensor_way *way, struct pst_error *err);

#endif
