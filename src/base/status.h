/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BASE_STATUS_H
#define PST_BASE_STATUS_H

#include <stddef.h>

#include <penstock/error.h>

#include "base/attributes.h"

/* Records a failure in err (NULL allowed; the first error wins) and returns status. */
int pst__fail(struct pst_error *err, int status, const char *fmt, ...) PST_PRINTF(3, 4);
/* As above for data: with the byte offset where it was found. */
int pst__fail_at(struct pst_error *err, int status, int64_t offset, const char *fmt, ...)
    PST_PRINTF(4, 5);
/* As above for an OS call: PST_EIO (PST_ENOMEM for ENOMEM), os_errno kept, its text appended. */
int pst__fail_os(struct pst_error *err, int os_errno, const char *fmt, ...) PST_PRINTF(3, 4);

/* A name from outside made fit for a message: what is not UTF-8, control characters and backslashes
 * become \xNN; of a name that is too long the end is kept, after "...". size is at least 8. Returns
 * out. */
const char *pst__printable(char *out, size_t size, const char *text);

#endif
