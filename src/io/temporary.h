/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_IO_TEMPORARY_H
#define PST_IO_TEMPORARY_H

#include <stddef.h>

#include <penstock/error.h>

#include "base/attributes.h"
#include "base/limits.h"

/* A file that is written beside the place where it is to be, under a name that is always the same,
 * so that writers which are killed do not fill the folder. */
struct pst__temporary {
    char path[PST_MAX_PATH];
    char folder[PST_MAX_PATH]; /* with its slash */
};

/* Errors: PST_ELIMIT. */
int pst__temporary_name(struct pst__temporary *temporary, const char *path,
                        struct pst_error *err) PST_NODISCARD;
/* Locks the file that was opened at path, without waiting. PST_AGAIN: another has it, or the file
 * of that name is another one by now; PST_EIO. */
int pst__lock_at(int fd, const char *path, struct pst_error *err) PST_NODISCARD;
/* A file takes its place, and its new name reaches the disk. Where the rename fails the temporary
 * file is left; after a failure behind it, *is_there is 1. */
int pst__temporary_place(const struct pst__temporary *temporary, const char *path, int *is_there,
                         struct pst_error *err) PST_NODISCARD;

#endif
