/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_layouts.h"

/* A file of safetensors. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pst__layouts layouts;
    struct memory memory;
    struct pst_error err;
    if (size < 1)
        return 0;
    int64_t blocks = pst__mem_blocks();
    pst_error_init(&err);
    struct pst__reader reader = memory_reader(&memory, data, size);
    int rc = pst__safetensors_read(&layouts, &reader, &err);
    require(rc == PST_OK || (err.status == rc && err.message[0]), "an error without a word");
    require(rc == PST_OK || layouts.n == 0, "an error with tensors");
    for (size_t i = 0; i < layouts.n; i++) {
        require(layouts.layout[i].name != NULL, "a tensor without a name");
        require(i == 0 || layouts.layout[i].offset ==
                              layouts.layout[i - 1].offset + layouts.layout[i - 1].bytes,
                "a hole");
        check_layout(&layouts.layout[i], &reader);
    }
    pst__layouts_reset(&layouts);
    require(pst__mem_blocks() == blocks, "blocks leak");
    return 0;
}
