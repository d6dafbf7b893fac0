/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BASE_CRC32C_H
#define PST_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* CRC32C (Castagnoli, RFC 3720) of n bytes that follow those whose CRC is crc; 0 for the first. */
uint32_t pst__crc32c(uint32_t crc, const void *data, size_t n);

#endif
