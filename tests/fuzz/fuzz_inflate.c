/* SPDX-License-Identifier: Apache-2.0 */
#include "../c/unit/inflate_strict.h"
#include "fuzz_codec.h"

/* Two bytes say how many bytes are to come of the stream that follows, without header and checksum.
 * zlib has to take what pst__inflate_whole() takes, for the same bytes. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int zlib_takes = 0;
    if (size < 2)
        return 0;
    size_t n = (size_t)data[0] | (size_t)data[1] << 8;
    /* 0xffff: as many as zlib makes of it. */
    if (n == 0xffff) {
        static uint8_t room[1 << 20];
        z_stream z = {0};
        fuzz_require(inflateInit2(&z, -15) == Z_OK, "memory is out");
        z.next_in = (z_const Bytef *)data + 2;
        z.avail_in = (uInt)(size - 2);
        z.next_out = room;
        z.avail_out = sizeof room;
        inflate(&z, Z_FINISH);
        n = z.total_out;
        inflateEnd(&z);
    }
    enum strict got = inflate_strict(data + 2, size - 2, n, &zlib_takes);
    fuzz_require(got != STRICT_NO_MEMORY, "memory is out");
    fuzz_require(got != STRICT_LAX, "zlib does not take it, or makes other bytes of it");
    fuzz_require(got == STRICT_ALIKE || !zlib_takes, "zlib takes it");
    return 0;
}
