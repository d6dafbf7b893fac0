/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include "base/sys.h"

int64_t pst__now_ns(void)
{
    return pst__sys_monotonic_ns();
}
