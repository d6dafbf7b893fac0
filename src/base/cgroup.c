/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cgroup.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/attributes.h"
#include "base/sys.h"

/* A quota may be set on any level of the tree and holds for all below, so each level up to the
 * mount is asked and the smallest counts. In a container the path may be the host's and not exist
 * here: then only the mount itself answers, which is the container's own group. */

/* The whole file as a string. 0, or -1 if it cannot be read or does not fit. */
static int read_text(const char *path, char *text, size_t size)
{
    int fd = pst__sys_open(path);
    if (fd < 0)
        return -1;
    size_t used = 0;
    ssize_t got;
    do {
        got = pst__sys_pread(fd, text + used, size - 1 - used, (off_t)used);
        if (got > 0)
            used += (size_t)got;
    } while ((got > 0 || (got < 0 && errno == EINTR)) && used < size - 1);
    pst__sys_close(fd);
    text[used] = 0;
    return got < 0 || used == size - 1 ? -1 : 0;
}

static int cpus_of(int64_t quota, int64_t period)
{
    if (quota <= 0 || period <= 0)
        return 0;
    int64_t cpus = quota / period + (quota % period != 0);
    return cpus < INT_MAX ? (int)cpus : INT_MAX;
}

static int smaller(int a, int b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The quota files of one group. */
static int level_v2(const char *group)
{
    char path[PATH_MAX + 32], text[64];
    int64_t quota, period;
    snprintf(path, sizeof path, "%s/cpu.max", group);
    if (read_text(path, text, sizeof text) < 0 ||
        sscanf(text, "%" SCNd64 " %" SCNd64, &quota, &period) != 2)
        return 0; /* also "max 100000" */
    return cpus_of(quota, period);
}

static int level_v1(const char *group)
{
    char path[PATH_MAX + 32], text[64];
    int64_t quota, period;
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", group);
    if (read_text(path, text, sizeof text) < 0 || sscanf(text, "%" SCNd64, &quota) != 1)
        return 0;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", group);
    if (read_text(path, text, sizeof text) < 0 || sscanf(text, "%" SCNd64, &period) != 1)
        return 0;
    return cpus_of(quota, period);
}

/* The smallest quota from mount/controller/path up to mount/controller. */
static int climb(const char *mount, const char *controller, const char *path,
                 int (*level)(const char *group))
{
    char group[PATH_MAX];
    /* A group outside of what is mounted here is shown as /../. */
    int n =
        snprintf(group, sizeof group, "%s%s%s", mount, controller, strstr(path, "/..") ? "" : path);
    if (n < 0 || n >= (int)sizeof group)
        return 0;
    size_t root = strlen(mount) + strlen(controller), end = (size_t)n;
    int cpus = 0;
    for (;;) {
        while (end > root && group[end - 1] == '/')
            end--;
        group[end] = 0;
        cpus = smaller(cpus, level(group));
        if (end <= root)
            return cpus;
        while (end > root && group[end - 1] != '/')
            end--;
    }
}

/* Is "cpu" one of the comma-separated controllers? */
static int has_cpu(const char *controllers)
{
    for (const char *p = controllers; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (strncmp(p, "cpu", 3) == 0 && (p[3] == 0 || p[3] == ','))
            return 1;
    return 0;
}

int pst__cgroup_cpus(const char *membership, const char *mount)
{
    char text[16384], *rest = text;
    if (read_text(membership, text, sizeof text) < 0)
        return 0;
    int cpus = 0;
    /* Lines are id:controllers:path; the one of version 2 is 0::path. */
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *controllers++ = 0;
        *path++ = 0;
        if (*controllers == 0)
            cpus = smaller(cpus, climb(mount, "", path, level_v2));
        else if (has_cpu(controllers))
            cpus = smaller(cpus, climb(mount, "/cpu", path, level_v1));
    }
    return cpus;
}
