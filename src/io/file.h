/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_IO_FILE_H
#define PST_IO_FILE_H

#include <penstock/dataset.h>

/* Reads a whole regular file into record. Short reads and EINTR are continued; a file that grows or
 * shrinks while it is read is PST_EIO. Errors name the path. */
int pst__file_read(const char *path, struct pst_record *record, struct pst_error *err);

#endif
