/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_TOKEN_FORM_H
#define PST_FORMAT_TOKEN_FORM_H

#include "format/tokens/token_file.h"
#include "kernels/kernels.h"

/* What becomes of the tokens of a window. */
struct pst__token_form {
    int dtype;   /* of the fields */
    size_t item; /* bytes of a token in them */
    size_t window;
    int64_t pad, ignore_index;
    const struct pst__kernels *kernels;
};

/* Where a window is. */
struct pst__token_place {
    struct pst__token_file *file;
    uint64_t offset; /* bytes */
    size_t n;        /* tokens: a span, or less where it is padded */
};

/* Writes the samples' tokens from first on that come from n tokens at src: to x all but what is
 * behind the window, to y (NULL: none) each but the first one. 1 where one does not fit. */
int pst__token_form_widen(const struct pst__token_form *form, const struct pst__token_place *place,
                          uint8_t *x, uint8_t *y, size_t first, const uint8_t *src, size_t n);
/* What the window has not. */
void pst__token_form_pad(const struct pst__token_form *form, const struct pst__token_place *place,
                         uint8_t *x, uint8_t *y);
/* Says which token of a window does not fit. */
int pst__token_form_refuse(const struct pst__token_place *place, struct pst_error *err);

#endif
