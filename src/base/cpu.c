/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpu.h"

#include <stdlib.h>
#include <string.h>

static uint32_t detect(void)
{
    uint32_t flags = 0;
#if defined(__x86_64__) || defined(__i386__)
    /* The compiler's run time asks CPUID, and XGETBV for what the OS saves. */
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2"))
        flags |= PST_CPU_AVX2;
    if (flags && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vbmi"))
        flags |= PST_CPU_AVX512;
#endif
    return flags;
}

uint32_t pst__cpu_flags(void)
{
    uint32_t flags = detect();
    const char *cap = getenv("PENSTOCK_CPU");
    if (cap && strcmp(cap, "scalar") == 0)
        return 0;
    if (cap && strcmp(cap, "avx2") == 0)
        return flags & PST_CPU_AVX2;
    return flags;
}
