/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_ARRAY_STORE_H
#define PST_FORMAT_ARRAY_STORE_H

#include "format/array/array_layout.h"
#include "io/temporary.h"

/* An array file that is written: where the next bytes go, and how a layout becomes the one that
 * readers see. */

#define PST__SHOWN 320

struct pst__array_store {
    char path[PST_MAX_PATH], shown[PST__SHOWN];
    struct pst__temporary temporary;
    int fd;
    int is_hidden;               /* it is the temporary file */
    uint64_t tail;               /* nothing that a root points to lies from here on */
    struct pst__array_root root; /* of the last commit; sequence 0: there was none */
};

/* The temporary file, locked; empty, or with `resume` as a writer left it: then layout is that of
 * its last commit, or empty where there is none. fd is -1 after a failure. */
int pst__array_store_create(struct pst__array_store *store, const char *path, int resume,
                            struct pst__array_layout *layout, struct pst_error *err) PST_NODISCARD;
/* The file itself, locked, both roots made equal, and without what is behind them. */
int pst__array_store_append(struct pst__array_store *store, const char *path,
                            struct pst__array_layout *layout, struct pst_error *err) PST_NODISCARD;

int pst__array_store_write(struct pst__array_store *store, uint64_t offset, const void *data,
                           size_t n, struct pst_error *err) PST_NODISCARD;
/* Space for the bytes from one offset to another. Where the file system has no such call nothing
 * is taken. */
int pst__array_store_allocate(struct pst__array_store *store, uint64_t from, uint64_t to,
                              struct pst_error *err) PST_NODISCARD;

/* What was written and this layout reach the disk; the file is of this layout then. */
int pst__array_store_commit(struct pst__array_store *store, const struct pst__array_layout *layout,
                            struct pst_error *err) PST_NODISCARD;
/* The temporary file takes its place. */
int pst__array_store_show(struct pst__array_store *store, struct pst_error *err) PST_NODISCARD;
/* Drops what was not committed; a temporary file with a commit stays with `keep`. */
void pst__array_store_close(struct pst__array_store *store, int keep);

#endif
