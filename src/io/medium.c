/* SPDX-License-Identifier: Apache-2.0 */
#include "io/medium.h"

#include <stddef.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "base/sys.h"

static const struct {
    unsigned long type; /* linux/magic.h, and of those that are not in it their own sources */
    enum pst__medium medium;
} known[] = {
    {0x01021994, PST__MEDIUM_MEMORY},  /* tmpfs */
    {0x858458f6, PST__MEDIUM_MEMORY},  /* ramfs */
    {0x958458f6, PST__MEDIUM_MEMORY},  /* hugetlbfs */
    {0x6969, PST__MEDIUM_NETWORK},     /* NFS */
    {0x517b, PST__MEDIUM_NETWORK},     /* SMB */
    {0xff534d42, PST__MEDIUM_NETWORK}, /* CIFS */
    {0xfe534d42, PST__MEDIUM_NETWORK}, /* SMB 2 */
    {0x01021997, PST__MEDIUM_NETWORK}, /* 9p */
    {0x00c36400, PST__MEDIUM_NETWORK}, /* Ceph */
    {0x5346414f, PST__MEDIUM_NETWORK}, /* AFS */
    {0x73757245, PST__MEDIUM_NETWORK}, /* Coda */
    {0x0bd00bd0, PST__MEDIUM_NETWORK}, /* Lustre */
    {0x47504653, PST__MEDIUM_NETWORK}, /* GPFS */
    {0x19830326, PST__MEDIUM_NETWORK}, /* BeeGFS */
    {0x65735546, PST__MEDIUM_NETWORK}, /* FUSE */
};

enum pst__medium pst__medium_of_type(unsigned long type)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].type == (type & 0xffffffff))
            return known[i].medium;
    return PST__MEDIUM_UNKNOWN;
}

static int read_digit(const char *path)
{
    char digit = 0;
    int fd = pst__sys_open(path);
    if (fd < 0)
        return -1;
    ssize_t n = pst__sys_pread(fd, &digit, 1, 0);
    pst__sys_close(fd);
    return n == 1 && (digit == '0' || digit == '1') ? digit - '0' : -1;
}

static int is_same(const char *one, const char *other)
{
    struct stat a, b;
    return pst__sys_stat(one, &a) == 0 && pst__sys_stat(other, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

enum pst__medium pst__medium_of_device(const char *sys, unsigned major, unsigned minor)
{
    /* Of a partition its disk knows, which is the folder above. */
    static const char *const above[] = {"", "/.."};
    char path[256], driver[256], virtio[256];
    snprintf(virtio, sizeof virtio, "%s/bus/virtio/drivers/virtio_blk", sys);
    for (int i = 0; i < 2; i++) {
        const char *up = above[i];
        snprintf(path, sizeof path, "%s/dev/block/%u:%u%s/queue/rotational", sys, major, minor, up);
        snprintf(driver, sizeof driver, "%s/dev/block/%u:%u%s/device/driver", sys, major, minor,
                 up);
        int rotates = read_digit(path);
        /* Such a disk says that it rotates where nobody told it. */
        if (rotates >= 0 && is_same(driver, virtio))
            return PST__MEDIUM_VIRTUAL;
        if (rotates >= 0)
            return rotates ? PST__MEDIUM_ROTATES : PST__MEDIUM_SOLID;
    }
    return PST__MEDIUM_UNKNOWN;
}

enum pst__medium pst__medium_of(const char *path)
{
    struct statfs fs;
    struct stat st;
    enum pst__medium medium = PST__MEDIUM_UNKNOWN;
    if (pst__sys_stat(path, &st) < 0)
        return medium;
    if (statfs(path, &fs) == 0)
        medium = pst__medium_of_type((unsigned long)fs.f_type);
    return medium == PST__MEDIUM_UNKNOWN
               ? pst__medium_of_device("/sys", major(st.st_dev), minor(st.st_dev))
               : medium;
}

const char *pst__medium_text(enum pst__medium medium)
{
    static const char *const texts[] = {
        [PST__MEDIUM_UNKNOWN] = "on a medium that is not known",
        [PST__MEDIUM_SOLID] = "on a disk that does not rotate",
        [PST__MEDIUM_ROTATES] = "on a disk that rotates",
        [PST__MEDIUM_VIRTUAL] = "on a virtual machine's disk",
        [PST__MEDIUM_NETWORK] = "on a file system of other machines",
        [PST__MEDIUM_MEMORY] = "in a file system in memory",
    };
    return texts[medium];
}
