/* SPDX-License-Identifier: Apache-2.0 */
#include "io/temporary.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "base/sys.h"

#define SHOWN 320

static int fail_os(struct pst_error *err, const char *doing, const char *path)
{
    char shown[SHOWN];
    int os_errno = errno;
    return pst__fail_os(err, os_errno, "cannot %s '%s'", doing,
                        pst__printable(shown, sizeof shown, path));
}

/* The folder of path with its slash, or "./". */
static int folder_of(const char *path, char *folder, size_t size)
{
    const char *slash = strrchr(path, '/');
    int n = slash ? (int)(slash + 1 - path) : 2;
    return snprintf(folder, size, "%.*s", n, slash ? path : "./") < (int)size ? PST_OK : PST_ELIMIT;
}

int pst__temporary_name(struct pst__temporary *temporary, const char *path, struct pst_error *err)
{
    const char *slash = strrchr(path, '/');
    size_t size = sizeof temporary->path;
    int rc = folder_of(path, temporary->folder, sizeof temporary->folder);
    if (rc == PST_OK && snprintf(temporary->path, size, "%s.%s.penstock-tmp", temporary->folder,
                                 slash ? slash + 1 : path) >= (int)size)
        rc = PST_ELIMIT;
    if (rc < 0)
        return pst__fail(err, rc, "the path of a file to write has over %d bytes", PST_MAX_PATH);
    return PST_OK;
}

/* Is fd still the file at path? Another writer may have renamed it before we had the lock. */
static int is_at(int fd, const char *path)
{
    struct stat mine, there;
    return pst__sys_fstat(fd, &mine) == 0 && pst__sys_stat(path, &there) == 0 &&
           S_ISREG(mine.st_mode) && mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
}

int pst__lock_at(int fd, const char *path, struct pst_error *err)
{
    if (pst__sys_lock(fd) < 0)
        return errno == EWOULDBLOCK ? PST_AGAIN : fail_os(err, "lock", path);
    return is_at(fd, path) ? PST_OK : PST_AGAIN;
}

static int sync_folder(const char *folder, struct pst_error *err)
{
    int fd = pst__sys_open(folder);
    if (fd < 0)
        return fail_os(err, "open", folder);
    int rc = pst__sys_sync(fd) < 0 ? fail_os(err, "flush", folder) : PST_OK;
    pst__sys_close(fd);
    return rc;
}

int pst__temporary_place(const struct pst__temporary *temporary, const char *path, int *is_there,
                         struct pst_error *err)
{
    *is_there = 0;
    if (pst__sys_rename(temporary->path, path) < 0)
        return fail_os(err, "rename", temporary->path);
    *is_there = 1;
    return sync_folder(temporary->folder, err);
}
