/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_ACCESS_H
#define PST_FORMAT_ACCESS_H

#include <stdint.h>

/* How the bytes of files that are read here and there come: PST_ARRAY_MAP where as many fit the
 * budget (0: half of the memory that there is), else PST_ARRAY_READ. */
int pst__access_choose(uint64_t bytes, uint64_t budget);

/* Bytes that a table such as /proc/meminfo calls available; 0: it does not tell. */
uint64_t pst__access_available(const char *meminfo);

#endif
