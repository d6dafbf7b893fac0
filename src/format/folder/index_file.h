/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_INDEX_FILE_H
#define PST_FORMAT_INDEX_FILE_H

#include <penstock/error.h>

#include "base/limits.h"
#include "format/folder/index.h"

/* The file that an index is in. */
struct pst__index_file {
    char path[PST_MAX_PATH];           /* "": there is no place for one */
    int is_in_cache;                   /* the file is named by us, in a folder of ours */
    int is_foreign;                    /* what is there is no index: not ours to replace */
    uint8_t header[PST__INDEX_HEADER]; /* of what was loaded; zeros: nothing was */
};

/* asked: a path, or "" for the user's cache folder. */
int pst__index_file_place(struct pst__index_file *file, const char *asked,
                          const struct pst__index_key *key);
/* As pst__index_decode(); PST_END where there is no file. */
int pst__index_file_load(struct pst__index_file *file, const struct pst__index_key *key,
                         struct pst__tree *tree, struct pst_error *err);
/* Replaces the file, unless it holds this tree already. PST_AGAIN: another process writes it. */
int pst__index_file_save(struct pst__index_file *file, const struct pst__index_key *key,
                         const struct pst__tree *tree, struct pst_error *err);

#endif
