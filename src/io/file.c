/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/status.h"
#include "base/sys.h"
#include "io/record.h"
#include "io/whole.h"

/* Interrupted calls in a row after which a file is given up: a signal storm must not hang us. */
#define MAX_INTERRUPTED 100

/* Room for a path in a message, beside the sentence around it. */
#define SHOWN 320

static int open_file(const char *path)
{
    int fd, tries = 0;
    do
        fd = pst__sys_open(path);
    while (fd < 0 && errno == EINTR && ++tries < MAX_INTERRUPTED);
    return fd;
}

static int check_kind(const struct stat *st, const char *shown, struct pst_error *err)
{
    if (!S_ISREG(st->st_mode))
        return pst__fail(err, PST_EUNSUPPORTED, "'%s' is not a regular file", shown);
    if (st->st_size > (off_t)PST_MAX_RECORD)
        return pst__fail(err, PST_ELIMIT, "'%s' has %lld bytes, the limit is %u", shown,
                         (long long)st->st_size, PST_MAX_RECORD);
    return PST_OK;
}

static int read_file(int fd, const char *shown, struct pst_record *record, struct pst_error *err)
{
    struct stat st;
    if (pst__sys_fstat(fd, &st) < 0)
        return pst__fail_os(err, errno, "cannot stat '%s'", shown);
    int rc = check_kind(&st, shown, err);
    if (rc < 0)
        return rc;
    /* One byte more is asked for: a file that has it grew. */
    size_t size = (size_t)st.st_size;
    uint8_t *bytes = pst__record_grow(record, size + 1);
    if (!bytes)
        return pst__fail(err, PST_ENOMEM, "no memory for the %zu bytes of '%s'", size, shown);
    ssize_t got = pst__read_at(fd, bytes, size + 1, 0);
    if (got < 0)
        return pst__fail_os(err, errno, "cannot read '%s'", shown);
    if ((size_t)got != size)
        return pst__fail_at(err, PST_EIO, got, "'%s' %s while it was read: %zu bytes expected",
                            shown, (size_t)got > size ? "grew" : "shrank", size);
    return pst_record_reserve(record, size) ? PST_OK : PST_ENOMEM;
}

int pst__file_read(const char *path, struct pst_record *record, struct pst_error *err)
{
    char shown[SHOWN];
    pst__record_clear(record);
    int fd = open_file(path);
    if (fd < 0) {
        int os_errno = errno;
        return pst__fail_os(err, os_errno, "cannot open '%s'",
                            pst__printable(shown, sizeof shown, path));
    }
    int rc = read_file(fd, pst__printable(shown, sizeof shown, path), record, err);
    pst__sys_close(fd);
    return rc;
}
