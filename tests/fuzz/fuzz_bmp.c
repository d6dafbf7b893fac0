/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_codec.h"

/* Three bytes place the region; the file follows. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < FUZZ_PLACE)
        return 0;
    size_t n = size - FUZZ_PLACE;
    uint8_t *file = malloc(n ? n : 1);
    fuzz_require(file != NULL, "memory is out");
    memcpy(file, data + FUZZ_PLACE, n);
    fuzz_run(data, file, n);
    free(file);
    return 0;
}
