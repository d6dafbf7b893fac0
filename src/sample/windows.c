/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/windows.h"

#include <assert.h>
#include <stddef.h>

#include <penstock/error.h>

#include "base/mem.h"

uint64_t pst__windows_of(const struct pst__window_rule *rule, uint64_t tokens)
{
    uint64_t span = pst__window_span(rule), least = rule->has_targets ? 2 : 1;
    if (!rule->is_padded)
        return tokens < span ? 0 : (tokens - span) / rule->stride + 1;
    if (tokens < least)
        return 0;
    if (tokens <= span)
        return 1;
    /* Up to the first window that reaches the end, or the last that begins before it. */
    uint64_t reach = (tokens - span) / rule->stride + ((tokens - span) % rule->stride != 0);
    uint64_t begin = (tokens - least) / rule->stride;
    return (reach < begin ? reach : begin) + 1;
}

static uint64_t begin_of(const struct pst__windows *windows, uint64_t document)
{
    return document == 0 ? 0 : windows->ends[document - 1];
}

static uint64_t size_of(const struct pst__windows *windows, uint64_t document)
{
    return windows->ends[document] - begin_of(windows, document);
}

static void count(struct pst__windows *windows)
{
    const struct pst__window_rule *rule = &windows->rule;
    uint64_t span = pst__window_span(rule);
    for (uint64_t d = 0; d < windows->n_documents; d++) {
        if (windows->firsts && d % PST_WINDOWS_STEP == 0)
            windows->firsts[d / PST_WINDOWS_STEP] = windows->n;
        uint64_t size = size_of(windows, d), n = pst__windows_of(rule, size);
        windows->n += n;
        windows->n_without += n == 0;
        windows->n_short += n > 0 && size - (n - 1) * rule->stride < span;
    }
}

int pst__windows_init(struct pst__windows *windows, const struct pst__window_rule *rule,
                      const uint64_t *ends, uint64_t n_documents)
{
    *windows = (struct pst__windows){.rule = *rule, .ends = ends, .n_documents = n_documents};
    if (n_documents > 1) {
        size_t n = (size_t)((n_documents - 1) / PST_WINDOWS_STEP + 1);
        windows->firsts = pst__calloc(n, sizeof *windows->firsts, PST_MEM_HEAP);
        if (!windows->firsts)
            return PST_ENOMEM;
    }
    count(windows);
    return PST_OK;
}

void pst__windows_reset(struct pst__windows *windows)
{
    pst__free(windows->firsts);
    *windows = (struct pst__windows){0};
}

/* The document of window i; *i becomes its place in there. */
static uint64_t find(const struct pst__windows *windows, uint64_t *i)
{
    if (!windows->firsts)
        return 0;
    uint64_t low = 0, high = (windows->n_documents - 1) / PST_WINDOWS_STEP;
    while (low < high) { /* the last that begins at i or before */
        uint64_t middle = high - (high - low) / 2;
        if (windows->firsts[middle] <= *i)
            low = middle;
        else
            high = middle - 1;
    }
    *i -= windows->firsts[low];
    uint64_t document = low * PST_WINDOWS_STEP;
    for (;; document++) {
        uint64_t n = pst__windows_of(&windows->rule, size_of(windows, document));
        if (*i < n)
            return document;
        *i -= n;
    }
}

uint64_t pst__windows_at(const struct pst__windows *windows, uint64_t i, uint64_t *tokens)
{
    assert(i < windows->n);
    uint64_t document = find(windows, &i), skipped = i * windows->rule.stride;
    uint64_t left = size_of(windows, document) - skipped, span = pst__window_span(&windows->rule);
    *tokens = left < span ? left : span;
    return begin_of(windows, document) + skipped;
}
