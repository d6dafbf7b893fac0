/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENSTOCK_MIX_H
#define PENSTOCK_MIX_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>
#include <penstock/export.h>
#include <penstock/image.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CutMix and MixUp of torchvision (transforms.v2), as a collate function calls them: each sample of
 * a batch is mixed with the one before it, the first with the last. */
enum pst_mix_kind {
    PST_MIX_CUT = 1, /* a rectangle of the other one */
    PST_MIX_UP = 2,  /* a share of each; float32 only */
};

#define PST_MAX_MIXES 8

/* One of them, or several of which one is drawn for each batch. */
struct pst_mix_config {
    size_t struct_size;
    int32_t n_classes; /* labels are 0 to n_classes - 1, and come as shares of each class */
    int32_t n;         /* parts, 1 to PST_MAX_MIXES */
    int is_choice;     /* 1: torchvision's RandomChoice over the parts, also where that is one */
    struct pst_mix_part {
        int kind;    /* enum pst_mix_kind */
        float alpha; /* of Beta(alpha, alpha) */
        float p;     /* of a choice: its probability */
    } part[PST_MAX_MIXES];
};

/* What was drawn for a batch. */
struct pst_mix {
    int kind;            /* enum pst_mix_kind */
    double own;          /* share of a sample's own label, and of its pixels for PST_MIX_UP */
    struct pst_rect box; /* PST_MIX_CUT: where the other one's pixels are */
};

/* The most words that are drawn for a batch. */
PST_API size_t pst_mix_max_words(const struct pst_mix_config *config);

/* Draws for a batch of h x w pixels as torch does, from the generator's next words and from the
 * normal that it keeps for the next call (NAN: none), which is written over; *used counts the
 * words. Errors: PST_EINVAL. */
PST_API int pst_mix_draw(const struct pst_mix_config *config, int32_t h, int32_t w,
                         const uint32_t *words, size_t n_words, double *normal, struct pst_mix *mix,
                         size_t *used, struct pst_error *err);

#ifdef __cplusplus
}
#endif
#endif
