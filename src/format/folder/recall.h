/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_RECALL_H
#define PST_FORMAT_RECALL_H

#include "format/folder/tree.h"

/* An earlier walk's tree, asked for the folders in a folder. A folder of it is named by its index
 * plus one; 0 is none, and has no children. Zero-initialised remembers nothing. */
struct pst__recall {
    const struct pst__tree *tree; /* borrowed */
    uint32_t *first;              /* of each folder, its first child in `child`; and the end */
    uint32_t *child;
};

int pst__recall_init(struct pst__recall *recall, const struct pst__tree *tree) PST_NODISCARD;
void pst__recall_reset(struct pst__recall *recall);
size_t pst__recall_find(const struct pst__recall *recall, size_t parent, const char *name);

#endif
