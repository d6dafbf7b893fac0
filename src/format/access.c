/* SPDX-License-Identifier: Apache-2.0 */
#include "format/access.h"

#include <errno.h>
#include <stdio.h>
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

/* What is available, and what the control group may have. */
static uint64_t memory_of_system(void)
{
    uint64_t available = pst__access_available("/proc/meminfo");
    uint64_t limit = (uint64_t)pst__cgroup_memory("/proc/self/cgroup", "/sys/fs/cgroup");
    return limit > 0 && (available == 0 || limit < available) ? limit : available;
}

void pst__access_facts(struct pst__facts *facts, uint64_t bytes, uint64_t budget, const char *path)
{
    *facts = (struct pst__facts){.bytes = bytes, .budget = budget, .memory = memory_of_system()};
    if (budget == 0)
        facts->budget = facts->memory / 2;
    if (bytes <= facts->budget || bytes <= facts->memory || facts->memory == 0)
        return; /* the others do not matter */
    facts->medium = pst__medium_of(path);
    facts->ring_errno = pst__direct_ring();
}

static int is_own_disk(enum pst__medium medium)
{
    return medium == PST__MEDIUM_SOLID || medium == PST__MEDIUM_VIRTUAL;
}

void pst__access_choose(struct pst__choice *choice, const struct pst__facts *facts)
{
    double bytes = (double)facts->bytes / 1e9, memory = (double)facts->memory / 1e9;
    const char *medium = pst__medium_text(facts->medium);
    choice->access = PST_ARRAY_READ;
    if (facts->bytes <= facts->budget) {
        choice->access = PST_ARRAY_MAP;
        snprintf(choice->why, sizeof choice->why, "%.3g GB fit the budget of %.3g GB", bytes,
                 (double)facts->budget / 1e9);
    } else if (facts->memory == 0) {
        snprintf(choice->why, sizeof choice->why, "the system does not say how much memory it has");
    } else if (facts->bytes <= facts->memory) {
        snprintf(choice->why, sizeof choice->why,
                 "%.3g GB do not fit the budget of %.3g GB, but the page cache", bytes,
                 (double)facts->budget / 1e9);
    } else if (!is_own_disk(facts->medium)) {
        snprintf(choice->why, sizeof choice->why, "%.3g GB do not fit %.3g GB of memory, %s", bytes,
                 memory, medium);
    } else if (facts->ring_errno != 0) {
        snprintf(choice->why, sizeof choice->why,
                 "%.3g GB do not fit %.3g GB of memory, and there is no io_uring: %s", bytes,
                 memory, strerror(facts->ring_errno));
    } else {
        choice->access = PST_ARRAY_DIRECT;
        snprintf(choice->why, sizeof choice->why, "%.3g GB do not fit %.3g GB of memory, %s", bytes,
                 memory, medium);
    }
}

void pst__access_wished(struct pst__choice *choice, int access)
{
    *choice = (struct pst__choice){.access = access, .why = "as asked for"};
}

enum pst__access pst__access_of(int access)
{
    return access == PST_ARRAY_MAP      ? PST__ACCESS_MAP
           : access == PST_ARRAY_DIRECT ? PST__ACCESS_DIRECT
                                        : PST__ACCESS_READ;
}

void pst__access_opened(struct pst__choice *choice, const struct pst__source *source)
{
    int refused = 0, ring_errno;
    if (choice->access != PST_ARRAY_DIRECT)
        return;
    if (!pst__source_is_direct(source, &refused)) {
        choice->access = PST_ARRAY_READ;
        snprintf(choice->why, sizeof choice->why, "a file cannot be read around the page cache: %s",
                 strerror(refused));
        return;
    }
    size_t used = strlen(choice->why);
    ring_errno = pst__direct_ring();
    if (ring_errno != 0 && !strstr(choice->why, "io_uring"))
        snprintf(choice->why + used, sizeof choice->why - used,
                 "; one read at a time, there is no io_uring: %s", strerror(ring_errno));
}
