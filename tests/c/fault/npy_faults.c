/* SPDX-License-Identifier: Apache-2.0 */
#include "fault/fault.h"

#ifdef PST_CHECKS

#include <penstock/array.h>

#include "unit/format_tree.h"

/* Files of numpy.save() that are made, grown and read while each call of the system fails in turn:
 * at any moment a file is what it was or what it is to be. */

static struct tree tree;

#define OLD 3
#define NEW 2

static char *whole_file(const char *name, size_t *size)
{
    char path[TREE_PATH], *bytes = calloc(1, 4096);
    FILE *file = fopen(tree_path(&tree, path, name), "rb");
    CHECK(bytes);
    *size = 0;
    if (file) {
        *size = fread(bytes, 1, 4095, file);
        CHECK_INT(fclose(file), 0);
    }
    return bytes;
}

/* Rows of 5 bytes, each its number. Returns how many there are. */
static int64_t count_rows(const char *name)
{
    size_t size;
    char *bytes = whole_file(name, &size), *shape = strstr(bytes + 10, "'shape': (");
    CHECK(size > 128 && shape);
    long n = strtol(shape + 10, NULL, 10);
    CHECK(n == OLD || n == OLD + NEW);
    CHECK(strstr(shape, ", 5), }") && bytes[127] == '\n');
    CHECK(size >= 128 + 5 * (size_t)n);
    for (long i = 0; i < 5 * n; i++)
        CHECK_INT(bytes[128 + i], i / 5);
    free(bytes);
    return n;
}

static struct pst_tensor rows_of(int64_t from, int64_t n)
{
    static uint8_t bytes[5 * (OLD + NEW)];
    struct pst_buffer *buffer;
    struct pst_tensor tensor = {0};
    for (int i = 0; i < 5 * (OLD + NEW); i++)
        bytes[i] = (uint8_t)(i / 5);
    if (pst_buffer_wrap(&buffer, bytes, sizeof bytes, NULL, NULL, NULL) < 0)
        return tensor;
    (void)pst_tensor_from_buffer(&tensor, buffer, (size_t)(5 * from), PST_U8, 2, (int64_t[]){n, 5},
                                 NULL, NULL);
    pst_buffer_unref(buffer);
    return tensor;
}

static void fresh(void)
{
    uint8_t file[128 + 5 * OLD];
    memset(file, ' ', 128);
    static const char head[] = "\x93NUMPY\x01\0\x76\0"
                               "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 5), }";
    memcpy(file, head, sizeof head - 1);
    file[127] = '\n';
    for (int i = 0; i < 5 * OLD; i++)
        file[128 + i] = (uint8_t)(i / 5);
    tree_bytes(&tree, "x.npy", file, sizeof file);
}

static int append(void *opaque)
{
    char path[TREE_PATH];
    int64_t n = -1;
    struct pst_error err = {0};
    fresh();
    struct pst_tensor rows = rows_of(OLD, NEW);
    if (!rows.buffer)
        return PST_ENOMEM;
    int rc = pst_array_append(tree_path(&tree, path, "x.npy"), &rows, &n, &err);
    pst_tensor_reset(&rows);
    CHECK_INT(err.status, rc);
    CHECK(rc == PST_OK ? n == OLD + NEW : err.message[0] != 0);
    int64_t found = count_rows("x.npy");
    CHECK(rc < 0 || found == OLD + NEW);
    *(int64_t *)opaque += found == OLD;
    return rc;
}

static int create(void *opaque)
{
    char path[TREE_PATH];
    struct pst_error err = {0};
    struct pst_array_source source = {
        .path = tree_path(&tree, path, "y.npy"), .dtype = PST_I32, .ndim = 2, .shape = {7, 2}};
    size_t size;
    tree_bytes(&tree, "y.npy", "old", 3);
    int rc = pst_array_create(&source, &err);
    CHECK_INT(err.status, rc);
    char *bytes = whole_file("y.npy", &size);
    CHECK(size == 3 || size == 128 + 56);
    CHECK(rc < 0 || size == 128 + 56);
    *(int64_t *)opaque += size == 3;
    free(bytes);
    bytes = whole_file(".y.npy.penstock-tmp", &size);
    CHECK_INT((int64_t)size, 0);
    free(bytes);
    return rc;
}

static int edit(void *opaque)
{
    char path[TREE_PATH];
    struct pst_array_source source = {.path = tree_path(&tree, path, "x.npy")};
    struct pst_tensor tensor;
    (void)opaque;
    fresh();
    int rc = pst_array_map(&tensor, &source, PST_ARRAY_EDIT, NULL);
    if (rc < 0)
        return rc;
    rc = pst_array_sync(&tensor, NULL);
    pst_tensor_reset(&tensor);
    return rc;
}

static const int may_be_io[] = {PST_EIO, PST_ENOMEM, 0};

static void every_call_fails(void)
{
    static const fault_run runs[] = {append, create, edit};
    static const int errnos[] = {EIO, ENOSPC, EINTR, EOPNOTSUPP, 0};
    static const enum pst__sys_call kinds[] = {PST_SYS_ALLOC, PST_SYS_OPEN, PST_SYS_STAT,
                                               PST_SYS_READ,  PST_SYS_MAP,  PST_SYS_WRITE};
    int64_t n_failed, total = 0, unchanged = 0;
    tree_open(&tree);
    for (size_t e = 0; e < PST_COUNTOF(errnos); e++)
        for (size_t k = 0; k < PST_COUNTOF(kinds); k++)
            for (size_t r = 0; r < PST_COUNTOF(runs); r++) {
                int is_short = errnos[e] == 0;
                if (is_short && kinds[k] != PST_SYS_READ && kinds[k] != PST_SYS_WRITE)
                    continue;
                struct fault_spec spec = {1u << kinds[k], errnos[e], may_be_io, 20000};
                total += fault_loop(&spec, runs[r], &unchanged, &n_failed);
            }
    CHECK(total > 100 && unchanged > 50);
    tree_close(&tree);
}

CHECK_MAIN(FAULT("R9", every_call_fails))
#else
int main(void)
{
    return 77;
}
#endif
