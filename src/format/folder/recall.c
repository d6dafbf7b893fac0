/* SPDX-License-Identifier: Apache-2.0 */
#include "format/folder/recall.h"

#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"

int pst__recall_init(struct pst__recall *recall, const struct pst__tree *tree)
{
    size_t n = tree->n_folders;
    recall->first = pst__calloc(n + 2, sizeof *recall->first, PST_MEM_HEAP);
    recall->child = pst__calloc(n, sizeof *recall->child, PST_MEM_HEAP);
    if (!recall->first || !recall->child) {
        pst__recall_reset(recall);
        return PST_ENOMEM;
    }
    recall->tree = tree;
    /* Counted two places up, so that filling them moves each beginning to its own place. */
    for (size_t i = 1; i < n; i++)
        recall->first[tree->folder[i].parent + 2]++;
    for (size_t i = 2; i <= n; i++)
        recall->first[i] += recall->first[i - 1];
    for (size_t i = 1; i < n; i++)
        recall->child[recall->first[tree->folder[i].parent + 1]++] = (uint32_t)i;
    return PST_OK;
}

void pst__recall_reset(struct pst__recall *recall)
{
    pst__free(recall->child);
    pst__free(recall->first);
    *recall = (struct pst__recall){0};
}

/* Children lie in the order of their names, since folders lie in the order of their paths. */
size_t pst__recall_find(const struct pst__recall *recall, size_t parent, const char *name)
{
    if (parent == 0 || !recall->tree)
        return 0;
    size_t low = recall->first[parent - 1], high = recall->first[parent];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order =
            pst__utf8_compare(name, pst__tree_own_name(recall->tree, recall->child[middle]));
        if (order == 0)
            return (size_t)recall->child[middle] + 1;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return 0;
}
