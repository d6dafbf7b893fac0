/* SPDX-License-Identifier: Apache-2.0 */
#include "format/access.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <penstock/array.h>

#include "base/cgroup.h"
#include "base/sys.h"

uint64_t pst__access_available(const char *meminfo)
{
    static const char key[] = "\nMemAvailable:";
    char text[4096];
    int fd = pst__sys_open(meminfo);
    if (fd < 0)
        return 0;
    ssize_t n = pst__sys_pread(fd, text, sizeof text - 1, 0);
    pst__sys_close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *line = strstr(text, key);
    unsigned long long kib = line ? strtoull(line + sizeof key - 1, NULL, 10) : 0;
    return kib > UINT64_MAX / 1024 ? 0 : (uint64_t)kib * 1024;
}

/* Half of what is available, and of what the control group may have. */
static uint64_t default_budget(void)
{
    uint64_t available = pst__access_available("/proc/meminfo");
    uint64_t limit = (uint64_t)pst__cgroup_memory("/proc/self/cgroup", "/sys/fs/cgroup");
    if (limit > 0 && (available == 0 || limit < available))
        available = limit;
    return available / 2;
}

int pst__access_choose(uint64_t bytes, uint64_t budget)
{
    if (budget == 0)
        budget = default_budget();
    return bytes <= budget ? PST_ARRAY_MAP : PST_ARRAY_READ;
}
