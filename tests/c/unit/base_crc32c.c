/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"
#include "check.h"

/* The values of RFC 3720, B.4, and of the CRC catalogue. */
static void known_values(void)
{
    uint8_t bytes[32] = {0};
    CHECK_INT(pst__crc32c(0, "123456789", 9), 0xe3069283);
    CHECK_INT(pst__crc32c(0, "", 0), 0);
    CHECK_INT(pst__crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    CHECK_INT(pst__crc32c(0, bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    CHECK_INT(pst__crc32c(0, bytes, 32), 0x46dd794e);
}

static uint32_t bit_by_bit(uint32_t crc, const uint8_t *data, size_t n)
{
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void in_parts(void)
{
    enum { SIZE = 20000 };
    uint8_t *bytes = malloc(SIZE);
    CHECK(bytes);
    for (int i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * i >> 3);
    uint32_t whole = bit_by_bit(0, bytes, SIZE);
    for (size_t at = 0; at <= SIZE; at += at < 300 ? 1 : 997) {
        CHECK_INT(pst__crc32c(pst__crc32c(0, bytes, at), bytes + at, SIZE - at), whole);
        CHECK_INT(pst__crc32c(0, bytes, at), bit_by_bit(0, bytes, at));
    }
    free(bytes);
}

CHECK_MAIN(CASE(known_values), CASE(in_parts))
