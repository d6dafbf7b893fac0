/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_SAMPLE_WINDOWS_H
#define PST_SAMPLE_WINDOWS_H

#include <stdint.h>

#include "base/attributes.h"

/* Where the windows of a row of tokens lie. The row is cut into documents, and no window goes over
 * the end of one; a window begins every `stride` tokens of a document. With targets it takes
 * window + 1 tokens: the second of two tokens is what follows the first.
 *
 * What is left at the end of a document and is shorter than a window is dropped; with is_padded it
 * is a window, as long as there is anything to learn from it (a token, with targets two) and no
 * window before it has it all. */
struct pst__window_rule {
    uint64_t window, stride; /* at least 1; window + 1 does not overflow */
    int has_targets, is_padded;
};

/* Tokens that a window takes. */
static inline uint64_t pst__window_span(const struct pst__window_rule *rule)
{
    return rule->window + (rule->has_targets ? 1 : 0);
}
/* Windows of a document. Only the last of them can be short. */
uint64_t pst__windows_of(const struct pst__window_rule *rule, uint64_t tokens);

/* A document is found by its first window: one in so many of those is kept, the others are
 * counted. */
#define PST_WINDOWS_STEP 16

/* Zero-initialised means empty. */
struct pst__windows {
    struct pst__window_rule rule;
    uint64_t n_documents;
    const uint64_t *ends; /* of the documents, in tokens, never decreasing; borrowed */
    uint64_t *firsts;     /* of every PST_WINDOWS_STEP-th document, its first window */
    uint64_t n;           /* windows in all */
    uint64_t n_without;   /* documents that have no window */
    uint64_t n_short;     /* windows that are padded */
};

/* Errors: PST_ENOMEM. With one document nothing is allocated. */
int pst__windows_init(struct pst__windows *windows, const struct pst__window_rule *rule,
                      const uint64_t *ends, uint64_t n_documents) PST_NODISCARD;
void pst__windows_reset(struct pst__windows *windows);
/* The first token of window i, i < n; *tokens is how many it has, less than a span where it is to
 * be padded. */
uint64_t pst__windows_at(const struct pst__windows *windows, uint64_t i, uint64_t *tokens);

#endif
