/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BASE_CGROUP_H
#define PST_BASE_CGROUP_H

#include <stdint.h>

/* Cores that the CPU quota of the process's control groups allows, rounded up; 0: no quota.
 * membership is /proc/self/cgroup, mount is /sys/fs/cgroup. What cannot be read is no quota. */
int pst__cgroup_cpus(const char *membership, const char *mount);
/* Bytes that their memory limits allow, the same way; 0: no limit. */
int64_t pst__cgroup_memory(const char *membership, const char *mount);

#endif
