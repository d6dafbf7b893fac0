/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BASE_CPU_H
#define PST_BASE_CPU_H

#include <stdint.h>

enum pst__cpu_flag {
    PST_CPU_AVX2 = 1 << 0,   /* and F16C, of the same processors */
    PST_CPU_AVX512 = 1 << 1, /* F, BW, DQ, VL, VBMI and the OS saves the registers */
};

/* What this CPU has, cut by the environment variable PENSTOCK_CPU ("scalar", "avx2", "avx512"). */
uint32_t pst__cpu_flags(void);

#endif
