/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_IO_REPLACE_H
#define PST_IO_REPLACE_H

#include <stddef.h>

#include <penstock/error.h>

/* One part of a file's content. */
struct pst__piece {
    const void *data;
    size_t size;
};

/* Makes path a file of these pieces, one after another: at any moment, power cuts included, path is
 * the old file or the new one. The new one is written beside it, under its name with a dot in front
 * and ".penstock-tmp" behind; what a killed process left there is used again. Where another process
 * is writing the same file: PST_AGAIN, and nothing is done. */
int pst__file_replace(const char *path, const struct pst__piece *pieces, size_t n,
                      struct pst_error *err);

/* Makes the folder and those above it that are not there, for the user alone. */
int pst__make_folders(const char *path, struct pst_error *err);

#endif
