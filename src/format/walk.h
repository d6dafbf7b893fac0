/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_WALK_H
#define PST_FORMAT_WALK_H

#include <penstock/error.h>

#include "format/strings.h"

/* Walks over folders as Python's os.scandir() and os.walk(followlinks=True) see them. */

/* The folders in root, links to folders among them, sorted. A folder that cannot be listed and an
 * entry that cannot be examined are errors; a link to nothing is not. */
int pst__walk_classes(const char *root, struct pst__strings *classes, struct pst_error *err);

/* Which file names are wanted: they end, in lower case, with one of these. */
struct pst__suffixes {
    struct pst__strings list;
};
/* Space-separated. */
int pst__suffixes_parse(struct pst__suffixes *suffixes, const char *text);
int pst__suffixes_match(const struct pst__suffixes *suffixes, const char *name);

/* Working memory of pst__walk_files(), kept from call to call. Zero-initialised means empty. */
struct pst__walk {
    struct pst__strings folders, names;
    struct pst__walk_folder *folder;
    size_t capacity;
    size_t pending; /* 1 + the folder to be listed next, 0: none */
    uint32_t n_deep;
};
void pst__walk_reset(struct pst__walk *walk);

/* Adds the paths of the wanted files in and below top to files, in the order of
 * sorted(os.walk(top, followlinks=True)) with the names of each folder sorted. */
int pst__walk_files(struct pst__walk *walk, const char *top, const struct pst__suffixes *suffixes,
                    struct pst__strings *files, struct pst_error *err);

#endif
