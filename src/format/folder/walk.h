/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_WALK_H
#define PST_FORMAT_WALK_H

#include <penstock/error.h>

#include "format/strings.h"
#include "format/folder/tree.h"

/* Walks over folders as Python's os.scandir() and os.walk(followlinks=True) see them. */

/* Which file names are wanted: they end, in lower case, with one of these. */
struct pst__suffixes {
    struct pst__strings list;
};
/* Space-separated. */
int pst__suffixes_parse(struct pst__suffixes *suffixes, const char *text);
int pst__suffixes_match(const struct pst__suffixes *suffixes, const char *name);

/* Fills an empty tree with the image folder at root: the folders in root, links to folders among
 * them, are its classes; below them are the wanted files. In root a folder that cannot be listed
 * and an entry that cannot be examined are errors; a link to nothing is not.
 *
 * known: the tree of an earlier walk of the same root with the same suffixes, or NULL; a folder
 * that is still what it was is not listed again. *n_listed: how many were. */
int pst__walk(struct pst__tree *tree, const char *root, const struct pst__suffixes *suffixes,
              const struct pst__tree *known, int64_t *n_listed, struct pst_error *err);

/* Is every folder of a tree still what it was? */
int pst__walk_is_current(const struct pst__tree *tree);

#endif
