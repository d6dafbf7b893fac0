/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BASE_CLOCK_H
#define PST_BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC, in nanoseconds. Wall-clock time is never asked for. */
int64_t pst__now_ns(void);

#endif
