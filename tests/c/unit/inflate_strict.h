/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_INFLATE_STRICT_H
#define PST_TESTS_INFLATE_STRICT_H

#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "decode/inflate.h"

/* What pst__inflate_whole() makes of a stream, beside zlib. The checksum is made right for the
 * bytes that came of it: else a stream that it alone understands would not show. */
enum strict { STRICT_REFUSED, STRICT_ALIKE, STRICT_LAX, STRICT_NO_MEMORY };

/* deflated lacks header and checksum. What zlib takes and pst__inflate_whole() does not is
 * *zlib_takes. */
static inline enum strict inflate_strict(const uint8_t *deflated, size_t size, size_t n_out,
                                         int *zlib_takes)
{
    struct pst__inflate *tables = malloc(sizeof *tables);
    /* Of their exact sizes, so that a step beside them is seen. */
    uint8_t *stream = malloc(size + 6), *ours = malloc(n_out), *theirs = malloc(n_out);
    enum strict result = STRICT_NO_MEMORY;
    *zlib_takes = 0;
    if (tables && stream && (n_out == 0 || (ours && theirs))) {
        memset(tables, 0xa5, sizeof *tables);
        memcpy(stream, "\x78\x9c", 2);
        if (size)
            memcpy(stream + 2, deflated, size);
        memcpy(stream + 2 + size, "\1\2\3\4", 4);
        uint32_t checksum;
        int taken = pst__inflate_whole(tables, ours, n_out, stream, size + 6, &checksum);
        z_stream z = {0};
        int ready = inflateInit2(&z, -15) == Z_OK;
        z.next_in = stream + 2;
        z.avail_in = (uInt)size;
        z.next_out = theirs;
        z.avail_out = (uInt)n_out;
        int rc = ready ? inflate(&z, Z_FINISH) : Z_MEM_ERROR;
        *zlib_takes = rc == Z_STREAM_END && z.avail_in == 0 && z.avail_out == 0;
        inflateEnd(&z);
        int same = *zlib_takes && (n_out == 0 || memcmp(ours, theirs, n_out) == 0);
        result = !ready                           ? STRICT_NO_MEMORY
                 : !taken                         ? STRICT_REFUSED
                 : same && checksum == 0x01020304 ? STRICT_ALIKE
                                                  : STRICT_LAX;
    }
    free(theirs);
    free(ours);
    free(stream);
    free(tables);
    return result;
}

#endif
