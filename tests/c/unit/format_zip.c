/* SPDX-License-Identifier: Apache-2.0 */
#include "format/layout/zip.h"

#include <errno.h>

#include "base/mem.h"
#include "base/sys.h"
#include "check.h"
#include "unit/format_tree.h"

/* A zip file that is put together here: what it says otherwise is tests/python/test_npz.py's. */

static struct tree tree;

struct writer {
    uint8_t bytes[8192];
    size_t n;
};

static void put(struct writer *writer, uint64_t value, int n)
{
    for (int i = 0; i < n; i++)
        writer->bytes[writer->n++] = i < 8 ? (uint8_t)(value >> 8 * i) : 0;
}

static void put_bytes(struct writer *writer, const void *bytes, size_t n)
{
    CHECK(writer->n + n <= sizeof writer->bytes);
    memcpy(writer->bytes + writer->n, bytes, n);
    writer->n += n;
}

/* What a header and an entry of the directory have in common, from the version on. */
static void put_member(struct writer *writer, const char *name, size_t bytes)
{
    put(writer, 20, 2);
    put(writer, 0, 2 + 2); /* flags, method */
    put(writer, 0, 8);     /* time and sum */
    put(writer, bytes, 4);
    put(writer, bytes, 4);
    put(writer, strlen(name), 2);
    put(writer, 0, 2);
}

/* n members of numpy.save(), NAMES[i], of i + 1 rows of two u8 each. */
static const char *const names[] = {"one.npy", "two.npy", "readme", "four.npy"};

static void make_zip(struct writer *writer, size_t n)
{
    size_t header[4], bytes = 0;
    *writer = (struct writer){.n = 0};
    for (size_t i = 0; i < n; i++) {
        uint8_t file[PST__NPY_FRESH + 8] = {0};
        struct pst__layout layout = {.dtype = PST_U8, .ndim = 2, .shape = {(int64_t)i + 1, 2}};
        CHECK_INT(pst__layout_measure(&layout, "it", NULL), PST_OK);
        size_t head = pst__npy_write(file, &layout);
        memset(file + head, (int)i + 1, 2 * (i + 1));
        bytes = head + 2 * (i + 1);
        header[i] = writer->n;
        put(writer, 0x04034b50, 4);
        put_member(writer, names[i], bytes);
        put_bytes(writer, names[i], strlen(names[i]));
        put_bytes(writer, file, bytes);
    }
    size_t first = writer->n;
    for (size_t i = 0; i < n; i++) {
        size_t end = i + 1 < n ? header[i + 1] : first;
        put(writer, 0x02014b50, 4);
        put(writer, 20, 2);
        put_member(writer, names[i], end - header[i] - 30 - strlen(names[i]));
        put(writer, 0, 6 + 4); /* no comment, disk, attributes */
        put(writer, header[i], 4);
        put_bytes(writer, names[i], strlen(names[i]));
    }
    size_t size = writer->n - first;
    put(writer, 0x06054b50, 4);
    put(writer, 0, 4);
    put(writer, n, 2);
    put(writer, n, 2);
    put(writer, size, 4);
    put(writer, first, 4);
    put(writer, 0, 2);
}

static int read_memory(void *self, uint64_t offset, size_t n, void *out, struct pst_error *err)
{
    const struct writer *writer = self;
    (void)err;
    CHECK(offset <= writer->n && n <= writer->n - offset);
    memcpy(out, writer->bytes + offset, n);
    return PST_OK;
}

static void members(void)
{
    int64_t blocks = pst__mem_blocks();
    struct writer writer;
    struct pst__zip zip;
    for (size_t n = 0; n <= 4; n++) {
        make_zip(&writer, n);
        struct pst__reader reader = {read_memory, &writer, writer.n, "'it'"};
        CHECK_INT(pst__zip_read(&zip, &reader, NULL), PST_OK);
        CHECK_INT((int64_t)zip.n, (int64_t)n);
        for (size_t i = 0; i < n; i++) {
            CHECK_STR(zip.member[i].name, names[i]);
            CHECK(zip.member[i].is_stored);
            CHECK(memcmp(writer.bytes + zip.member[i].offset, "\x93NUMPY", 6) == 0);
        }
        pst__zip_reset(&zip);
    }
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void arrays(void)
{
    int64_t blocks = pst__mem_blocks();
    char path[TREE_PATH];
    struct writer writer;
    struct pst_tensor tensor;
    enum pst_array_kind kind;
    struct pst_error err;
    pst_error_init(&err);
    tree_open(&tree);
    make_zip(&writer, 4);
    tree_bytes(&tree, "x.npz", writer.bytes, writer.n);
    struct pst_array_source source = {.path = tree_path(&tree, path, "x.npz"), .name = "four"};
    CHECK_INT(pst_array_detect(source.path, &kind, &err), PST_OK);
    CHECK_INT(kind, PST_ARRAY_NPZ);
    CHECK_INT(pst_array_map(&tensor, &source, PST_ARRAY_VIEW, &err), PST_OK);
    CHECK(tensor.dtype == PST_U8 && tensor.ndim == 2 && tensor.shape[0] == 4);
    CHECK_INT(((const uint8_t *)tensor.data)[7], 4);
    pst_tensor_reset(&tensor);
    source.name = "readme";
    CHECK_INT(pst_array_map(&tensor, &source, PST_ARRAY_VIEW, &err), PST_ENOTFOUND);
    CHECK_HAS(err.message, "has no array 'readme' among its 3 ('one', 'two', 'four')");
    pst_error_init(&err);
    source.name = NULL;
    struct pst_dataset *dataset;
    CHECK_INT(pst_array_open(&dataset, &source, 1, NULL, &err), PST_EINVAL);
    CHECK_HAS(err.message, "'two' has 2 rows, the first column has 1");
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* A record of torch.save() is raw elements where one begins, and nowhere else. */
static void records(void)
{
    char path[TREE_PATH];
    struct writer writer;
    struct pst_tensor tensor;
    struct pst_error err;
    pst_error_init(&err);
    tree_open(&tree);
    make_zip(&writer, 2);
    tree_bytes(&tree, "x.pt", writer.bytes, writer.n);
    struct pst_array_source source = {.path = tree_path(&tree, path, "x.pt"),
                                      .kind = PST_ARRAY_TORCH,
                                      .dtype = PST_U8,
                                      .ndim = 1,
                                      .shape = {6},
                                      .offset = 30 + strlen(names[0])};
    CHECK_INT(pst_array_map(&tensor, &source, PST_ARRAY_EDIT, &err), PST_OK);
    CHECK(memcmp(tensor.data, "\x93NUMPY", 6) == 0);
    pst_tensor_reset(&tensor);
    source.offset++;
    CHECK_INT(pst_array_map(&tensor, &source, PST_ARRAY_VIEW, &err), PST_EFORMAT);
    CHECK_HAS(err.message, "expected a stored record of 6 bytes at byte 38");
    pst_error_init(&err);
    source.offset--;
    source.shape[0] = 1000;
    CHECK_INT(pst_array_map(&tensor, &source, PST_ARRAY_VIEW, &err), PST_EFORMAT);
    pst_error_init(&err);
    source.shape[0] = -1;
    CHECK_INT(pst_array_map(&tensor, &source, PST_ARRAY_VIEW, &err), PST_EINVAL);
    tree_close(&tree);
}

/* Every allocation fails in its turn. */
static void without_memory(void)
{
#ifdef PST_CHECKS
    int64_t blocks = pst__mem_blocks();
    struct writer writer;
    make_zip(&writer, 4);
    struct pst__reader reader = {read_memory, &writer, writer.n, "'it'"};
    int n = 0;
    for (int rc = PST_ENOMEM; rc != PST_OK; n++) {
        struct pst__layouts layouts;
        struct pst_error err;
        pst_error_init(&err);
        CHECK(n < 30);
        pst__fault_arm(1u << PST_SYS_ALLOC, n + 1, 1, ENOMEM);
        rc = pst__npz_read(&layouts, &reader, &err);
        pst__fault_disarm();
        CHECK(rc == PST_OK || (rc == PST_ENOMEM && layouts.n == 0 && err.message[0]));
        pst__layouts_reset(&layouts);
        CHECK_INT(pst__mem_blocks(), blocks);
    }
    CHECK(n > 8);
#endif
}

CHECK_MAIN(CASE(members), CASE(arrays), CASE(records), CASE(without_memory))
