/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cgroup.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/attributes.h"
#include "base/sys.h"

#define MAX_INTERRUPTED 100

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
    int interrupted = 0;
    do {
        got = pst__sys_pread(fd, text + used, size - 1 - used, (off_t)used);
        if (got > 0)
            used += (size_t)got;
        interrupted += got < 0;
    } while ((got > 0 || (got < 0 && errno == EINTR && interrupted < MAX_INTERRUPTED)) &&
             used < size - 1);
    pst__sys_close(fd);
    text[used] = 0;
    return got < 0 || used == size - 1 ? -1 : 0;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The one number in a file of a group; 0 where there is none, as in "max". */
static int64_t number_in(const char *group, const char *file)
{
    char path[PATH_MAX + 32], text[64];
    int64_t number;
    snprintf(path, sizeof path, "%s/%s", group, file);
    if (read_text(path, text, sizeof text) < 0 || sscanf(text, "%" SCNd64, &number) != 1)
        return 0;
    return number > 0 ? number : 0;
}

static int64_t cpus_of(int64_t quota, int64_t period)
{
    if (quota <= 0 || period <= 0)
        return 0;
    int64_t cpus = quota / period + (quota % period != 0);
    return cpus < INT_MAX ? cpus : INT_MAX;
}

/* The quota files of one group. */
static int64_t cpus_v2(const char *group)
{
    char path[PATH_MAX + 32], text[64];
    int64_t quota, period;
    snprintf(path, sizeof path, "%s/cpu.max", group);
    if (read_text(path, text, sizeof text) < 0 ||
        sscanf(text, "%" SCNd64 " %" SCNd64, &quota, &period) != 2)
        return 0; /* also "max 100000" */
    return cpus_of(quota, period);
}

static int64_t cpus_v1(const char *group)
{
    return cpus_of(number_in(group, "cpu.cfs_quota_us"), number_in(group, "cpu.cfs_period_us"));
}

static int64_t memory_v2(const char *group)
{
    return smaller(number_in(group, "memory.max"), number_in(group, "memory.high"));
}

/* Without a limit it is the largest number of whole pages. */
static int64_t memory_v1(const char *group)
{
    int64_t limit = number_in(group, "memory.limit_in_bytes");
    return limit < INT64_MAX / 2 ? limit : 0;
}

/* The smallest quota from mount/controller/path up to mount/controller. */
static int64_t climb(const char *mount, const char *controller, const char *path,
                     int64_t (*level)(const char *group))
{
    char group[PATH_MAX];
    /* A group outside of what is mounted here is shown as /../. */
    int n =
        snprintf(group, sizeof group, "%s%s%s", mount, controller, strstr(path, "/..") ? "" : path);
    if (n < 0 || n >= (int)sizeof group)
        return 0;
    size_t root = strlen(mount) + strlen(controller), end = (size_t)n;
    int64_t least = 0;
    for (;;) {
        while (end > root && group[end - 1] == '/')
            end--;
        group[end] = 0;
        least = smaller(least, level(group));
        if (end <= root)
            return least;
        while (end > root && group[end - 1] != '/')
            end--;
    }
}

/* Is name one of the comma-separated controllers? */
static int has_controller(const char *controllers, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = controllers; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (strncmp(p, name, n) == 0 && (p[n] == 0 || p[n] == ','))
            return 1;
    return 0;
}

/* A resource: its controller in version 1, where that is mounted, and how a group is asked. */
struct resource {
    const char *controller, *folder;
    int64_t (*v1)(const char *group);
    int64_t (*v2)(const char *group);
};

static int64_t limit_of(const struct resource *resource, const char *membership, const char *mount)
{
    char text[16384], *rest = text;
    if (read_text(membership, text, sizeof text) < 0)
        return 0;
    int64_t least = 0;
    /* Lines are id:controllers:path; the one of version 2 is 0::path. */
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *controllers++ = 0;
        *path++ = 0;
        if (*controllers == 0)
            least = smaller(least, climb(mount, "", path, resource->v2));
        else if (has_controller(controllers, resource->controller))
            least = smaller(least, climb(mount, resource->folder, path, resource->v1));
    }
    return least;
}

int pst__cgroup_cpus(const char *membership, const char *mount)
{
    static const struct resource cpu = {"cpu", "/cpu", cpus_v1, cpus_v2};
    return (int)limit_of(&cpu, membership, mount);
}

int64_t pst__cgroup_memory(const char *membership, const char *mount)
{
    static const struct resource memory = {"memory", "/memory", memory_v1, memory_v2};
    return limit_of(&memory, membership, mount);
}
