/* SPDX-License-Identifier: Apache-2.0 */
#include "io/replace.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/status.h"
#include "base/sys.h"
#include "io/temporary.h"

#define MAX_INTERRUPTED 100

#define SHOWN 320

static int fail_os(struct pst_error *err, const char *doing, const char *path)
{
    char shown[SHOWN];
    int os_errno = errno;
    return pst__fail_os(err, os_errno, "cannot %s '%s'", doing,
                        pst__printable(shown, sizeof shown, path));
}

static int write_all(int fd, const struct pst__piece *piece)
{
    const char *data = piece->data;
    for (size_t done = 0, tries = 0; done < piece->size;) {
        ssize_t n = pst__sys_write(fd, data + done, piece->size - done);
        if (n > 0) {
            done += (size_t)n;
            tries = 0;
        } else if (n == 0 || errno != EINTR || ++tries == MAX_INTERRUPTED) {
            if (n == 0)
                errno = EIO;
            return -1;
        }
    }
    return 0;
}

static int fill(int fd, const char *temporary, const struct pst__piece *pieces, size_t n,
                struct pst_error *err)
{
    if (pst__sys_truncate(fd) < 0)
        return fail_os(err, "empty", temporary);
    for (size_t i = 0; i < n; i++)
        if (write_all(fd, &pieces[i]) < 0)
            return fail_os(err, "write", temporary);
    return pst__sys_sync(fd) < 0 ? fail_os(err, "flush", temporary) : PST_OK;
}

/* One writer at a time is past the lock. */
static int write_locked(int fd, const struct pst__temporary *temporary, const char *path,
                        const struct pst__piece *pieces, size_t n, struct pst_error *err)
{
    int is_there = 0, rc = pst__lock_at(fd, temporary->path, err);
    if (rc != PST_OK)
        return rc;
    rc = fill(fd, temporary->path, pieces, n, err);
    if (rc == PST_OK)
        rc = pst__temporary_place(temporary, path, &is_there, err);
    if (rc < 0 && !is_there)
        pst__sys_unlink(temporary->path); /* a full disk gets its space back */
    return rc;
}

int pst__file_replace(const char *path, const struct pst__piece *pieces, size_t n,
                      struct pst_error *err)
{
    struct pst__temporary temporary;
    int rc = pst__temporary_name(&temporary, path, err);
    if (rc < 0)
        return rc;
    int fd = pst__sys_create(temporary.path);
    if (fd < 0)
        return fail_os(err, "create", temporary.path);
    rc = write_locked(fd, &temporary, path, pieces, n, err);
    /* The lock goes with the descriptor, so not before the name is right. */
    pst__sys_close(fd);
    return rc;
}

int pst__make_folders(const char *path, struct pst_error *err)
{
    char part[PST_MAX_PATH];
    size_t n = strlen(path);
    if (n >= sizeof part)
        return pst__fail(err, PST_ELIMIT, "the path of a folder has %zu bytes, the limit is %d", n,
                         PST_MAX_PATH - 1);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (pst__sys_mkdir(part) < 0 && errno != EEXIST && errno != EROFS && errno != EACCES &&
            errno != EPERM)
            return fail_os(err, "make the folder", part);
    }
    struct stat st;
    if (pst__sys_stat(path, &st) < 0)
        return fail_os(err, "make the folder", path);
    return S_ISDIR(st.st_mode) ? PST_OK : pst__fail_os(err, ENOTDIR, "cannot use '%s'", path);
}
