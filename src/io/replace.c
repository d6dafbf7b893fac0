/* SPDX-License-Identifier: Apache-2.0 */
#include "io/replace.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/status.h"
#include "base/sys.h"

#define MAX_INTERRUPTED 100

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

/* Is fd still the file at path? Another writer may have renamed it before we had the lock. */
static int is_at(int fd, const char *path)
{
    struct stat mine, there;
    return pst__sys_fstat(fd, &mine) == 0 && pst__sys_stat(path, &there) == 0 &&
           S_ISREG(mine.st_mode) && mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
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
static int write_locked(int fd, const char *temporary, const char *path,
                        const struct pst__piece *pieces, size_t n, struct pst_error *err)
{
    if (pst__sys_lock(fd) < 0)
        return errno == EWOULDBLOCK ? PST_AGAIN : fail_os(err, "lock", temporary);
    if (!is_at(fd, temporary))
        return PST_AGAIN;
    int rc = fill(fd, temporary, pieces, n, err);
    if (rc == PST_OK && pst__sys_rename(temporary, path) < 0)
        rc = fail_os(err, "rename", temporary);
    if (rc < 0)
        pst__sys_unlink(temporary); /* a full disk gets its space back */
    return rc;
}

/* The new name itself has to reach the disk. */
static int sync_folder(const char *folder, struct pst_error *err)
{
    int fd = pst__sys_open(folder);
    if (fd < 0)
        return fail_os(err, "open", folder);
    int rc = pst__sys_sync(fd) < 0 ? fail_os(err, "flush", folder) : PST_OK;
    pst__sys_close(fd);
    return rc;
}

int pst__file_replace(const char *path, const struct pst__piece *pieces, size_t n,
                      struct pst_error *err)
{
    char folder[PST_MAX_PATH], temporary[PST_MAX_PATH];
    const char *slash = strrchr(path, '/');
    int rc = folder_of(path, folder, sizeof folder);
    if (rc == PST_OK && snprintf(temporary, sizeof temporary, "%s.%s.penstock-tmp", folder,
                                 slash ? slash + 1 : path) >= (int)sizeof temporary)
        rc = PST_ELIMIT;
    if (rc < 0)
        return pst__fail(err, rc, "the path of a file to write has over %d bytes", PST_MAX_PATH);
    int fd = pst__sys_create(temporary);
    if (fd < 0)
        return fail_os(err, "create", temporary);
    rc = write_locked(fd, temporary, path, pieces, n, err);
    /* The lock goes with the descriptor, so not before the name is right. */
    pst__sys_close(fd);
    return rc == PST_OK ? sync_folder(folder, err) : rc;
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
