/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/penstock.h>

#include "base/thread.h"
#include "decode/decode.h"
#include "kernels/kernels.h"

const char *pst_version(void)
{
    return PST_VERSION_STRING;
}

const char *pst_kernels_name(void)
{
    return pst__kernels()->name;
}

const char *pst_build_info(void)
{
    return pst__decode_libraries();
}

int pst_cpu_count(void)
{
    return pst__cpu_count();
}
