/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_ACCESS_H
#define PST_FORMAT_ACCESS_H

#include <stdint.h>

/* How files of so many bytes in all are read: PST_ARRAY_MAP where they fit the budget, else
 * PST_ARRAY_READ. budget 0: half of the memory that the system has available, or of the control
 * group's limit if that is less. */
int pst__access_choose(uint64_t bytes, uint64_t budget);

#endif
