/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_layouts.h"

#include "format/layout/zip.h"

/* A zip file, and one of numpy.savez(). Its end is looked for at the file's end, so no zeros lie
 * behind the input: its first byte counts for nothing. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_zip(const struct pst__reader *reader)
{
    struct pst__zip zip;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst__zip_read(&zip, reader, &err);
    require(rc == PST_OK || (err.status == rc && err.message[0]), "an error without a word");
    require(rc == PST_OK || zip.n == 0, "an error with members");
    uint64_t end = 0;
    for (size_t i = 0; i < zip.n; i++) {
        const struct pst__zip_member *member = &zip.member[i];
        require(member->name && member->name[0], "a member without a name");
        require(member->header >= end && member->offset > member->header, "members overlap");
        require(member->offset <= reader->size && member->bytes <= reader->size - member->offset,
                "a member that is not within the file");
        end = member->offset + member->bytes;
    }
    pst__zip_reset(&zip);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pst__layouts layouts;
    struct pst_error err;
    if (size < 1)
        return 0;
    int64_t blocks = pst__mem_blocks();
    pst_error_init(&err);
    struct memory memory;
    struct pst__reader reader = memory_reader(&memory, data, size);
    memory.zeros = 0;
    reader.size = memory.size;
    check_zip(&reader);
    int rc = pst__npz_read(&layouts, &reader, &err);
    require(rc == PST_OK || (err.status == rc && err.message[0]), "an error without a word");
    require(rc == PST_OK || layouts.n == 0, "an error with arrays");
    for (size_t i = 0; i < layouts.n; i++) {
        require(layouts.layout[i].name != NULL, "an array without a name");
        check_layout(&layouts.layout[i], &reader);
    }
    pst__layouts_reset(&layouts);
    require(pst__mem_blocks() == blocks, "blocks leak");
    return 0;
}
