/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpu.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
/* Not every compiler's run time knows it. What the OS must save for it, it must for AVX2. */
static int has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

static uint32_t detect(void)
{
    uint32_t flags = 0;
#if defined(__x86_64__) || defined(__i386__)
    /* The compiler's run time asks CPUID, and XGETBV for what the OS saves. */
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && has_f16c())
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
