/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_layouts.h"

/* A file of numpy.save(); what is read is written again with other numbers of rows. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rows(struct pst__npy *npy)
{
    struct pst__layout was = npy->layout;
    static const int64_t rows[] = {0, 7, 12345, INT64_C(1) << 40, 3};
    size_t text = npy->size;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (pst__npy_set_rows(npy, rows[i]) < 0)
            continue;
        require(npy->size == text && npy->end <= text, "a header of another size");
        static uint8_t file[16 + PST__NPY_MAX_HEADER];
        memcpy(file + 1, "\x93NUMPY\x02\0", 8);
        file[0] = 62;
        for (int b = 0; b < 4; b++)
            file[9 + b] = (uint8_t)(text >> (8 * b));
        memcpy(file + 13, npy->text, text);
        struct memory memory;
        struct pst__reader reader = memory_reader(&memory, file, 13 + text);
        static struct pst__npy again;
        int rc = pst__npy_read(&again, &reader, NULL);
        if (rc == PST_ELIMIT || rc == PST_ETRUNCATED)
            continue; /* so many rows are no tensor */
        require(rc == PST_OK, "a header that cannot be read again");
        require(again.layout.shape[0] == rows[i] && again.layout.dtype == was.dtype &&
                    again.layout.ndim == was.ndim,
                "a header that says something else");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pst__npy npy;
    struct memory memory;
    struct pst_error err;
    if (size < 1)
        return 0;
    pst_error_init(&err);
    struct pst__reader reader = memory_reader(&memory, data, size);
    int rc = pst__npy_read(&npy, &reader, &err);
    require(rc == PST_OK || (err.status == rc && err.message[0]), "an error without a word");
    if (rc < 0)
        return 0;
    require(npy.layout.dtype > 0, "an array without a dtype");
    check_layout(&npy.layout, &reader);
    if (npy.layout.ndim > 0)
        check_rows(&npy);
    return 0;
}
