/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_codec.h"

/* Three bytes place the region. The fourth says what the rest is: a file as it stands, or one whose
 * RIFF size is made right, so that mutation reaches what is in it. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < FUZZ_PLACE + 1)
        return 0;
    size_t n = size - FUZZ_PLACE - 1;
    uint8_t *file = malloc(n ? n : 1);
    fuzz_require(file != NULL, "memory is out");
    memcpy(file, data + FUZZ_PLACE + 1, n);
    if (data[FUZZ_PLACE] % 2 == 1 && n > 8) {
        for (size_t i = 0; i < 4; i++)
            file[4 + i] = (uint8_t)((n - 8) >> (8 * i));
    }
    fuzz_run(data, file, n);
    free(file);
    return 0;
}
