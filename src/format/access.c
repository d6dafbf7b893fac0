/* SPDX-License-Identifier: Apache-2.0 */
#include "format/access.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <penstock/array.h>

#include "base/cgroup.h"
#include "base/sys.h"

/* What the kernel says could be had without swapping; 0 where it cannot be asked. */
static uint64_t available(void)
{
    char text[2048];
    uint64_t kib = 0;
    int fd = pst__sys_open("/proc/meminfo");
    if (fd < 0)
        return 0;
    ssize_t n = pst__sys_pread(fd, text, sizeof text - 1, 0);
    pst__sys_close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    const char *line = strstr(text, "MemAvailable:");
    if (!line || sscanf(line, "MemAvailable: %" SCNu64, &kib) != 1)
        return 0;
    return kib * 1024;
}

static uint64_t memory(void)
{
    uint64_t bytes = available();
    if (bytes == 0) {
        long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
        bytes = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
    }
    int64_t limit = pst__cgroup_memory("/proc/self/cgroup", "/sys/fs/cgroup");
    return limit > 0 && (uint64_t)limit < bytes ? (uint64_t)limit : bytes;
}

int pst__access_choose(uint64_t bytes, uint64_t budget)
{
    return bytes <= (budget ? budget : memory() / 2) ? PST_ARRAY_MAP : PST_ARRAY_READ;
}
