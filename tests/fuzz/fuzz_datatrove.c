/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_token_index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_index(pst__datatrove_read, data, size);
}
