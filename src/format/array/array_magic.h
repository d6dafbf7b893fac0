/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_ARRAY_MAGIC_H
#define PST_FORMAT_ARRAY_MAGIC_H

#include <stdint.h>

static const uint8_t pst__array_magic[8] = {'P', 'S', 'T', 'A', 'R', 'R', '\r', '\n'};
#define PST__ARRAY_MAJOR 1
#define PST__ARRAY_MINOR 0
#define PST__ARRAY_FOOTER_HEAD 32 /* bytes of a footer before its columns */

#endif
