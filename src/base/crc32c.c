/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"

#include <isa-l/crc.h>

/* What one call of the library takes: its length is an int. */
#define MOST ((size_t)1 << 30)

uint32_t pst__crc32c(uint32_t crc, const void *data, size_t n)
{
    /* The library reads only, whatever its declaration says. */
    unsigned char *bytes = (unsigned char *)(uintptr_t)data;
    crc = ~crc;
    for (; n > MOST; n -= MOST, bytes += MOST)
        crc = crc32_iscsi(bytes, (int)MOST, crc);
    return ~crc32_iscsi(bytes, (int)n, crc);
}
