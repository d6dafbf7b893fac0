/* SPDX-License-Identifier: Apache-2.0 */
#include "io/whole.h"

#include <errno.h>

#include "base/sys.h"

/* Interrupted calls in a row. */
#define MAX_INTERRUPTED 100

ssize_t pst__read_at(int fd, void *out, size_t n, uint64_t offset)
{
    size_t done = 0;
    for (int tries = 0; done < n;) {
        ssize_t got = pst__sys_pread(fd, (char *)out + done, n - done, (off_t)(offset + done));
        if (got == 0)
            break;
        if (got > 0) {
            done += (size_t)got;
            tries = 0;
        } else if (errno != EINTR || ++tries == MAX_INTERRUPTED) {
            return -1;
        }
    }
    return (ssize_t)done;
}

int pst__write_at(int fd, const void *data, size_t n, uint64_t offset)
{
    for (size_t done = 0, tries = 0; done < n;) {
        ssize_t got =
            pst__sys_pwrite(fd, (const char *)data + done, n - done, (off_t)(offset + done));
        if (got > 0) {
            done += (size_t)got;
            tries = 0;
        } else if (got == 0 || errno != EINTR || ++tries == MAX_INTERRUPTED) {
            if (got == 0)
                errno = EIO;
            return -1;
        }
    }
    return 0;
}
