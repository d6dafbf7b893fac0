/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/array.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"
#include "check.h"
#include "format/access.h"
#include "format/layout/layout.h"
#include "unit/format_tree.h"

static struct tree tree;

/* A file of numpy.save() of these rows, whose bytes count up. */
static void npy_file(const char *name, int dtype, int ndim, const int64_t *shape)
{
    struct pst__layout layout = {.dtype = dtype, .ndim = ndim};
    memcpy(layout.shape, shape, (size_t)ndim * sizeof *shape);
    CHECK_INT(pst__layout_measure(&layout, "it", NULL), PST_OK);
    size_t size = PST__NPY_FRESH + (size_t)layout.bytes;
    uint8_t *file = calloc(size, 1);
    CHECK(file);
    size_t head = pst__npy_write(file, &layout);
    CHECK_INT(head % 64, 0);
    for (size_t i = 0; i < layout.bytes; i++)
        file[head + i] = (uint8_t)(i * 7 + i / 256);
    tree_bytes(&tree, name, file, head + (size_t)layout.bytes);
    free(file);
}

static void text_file(const char *name, const char *header, size_t zeros)
{
    uint8_t file[4096] = {(uint8_t)strlen(header)};
    file[1] = (uint8_t)(strlen(header) >> 8);
    memcpy(file + 8, header, strlen(header));
    tree_bytes(&tree, name, file, 8 + strlen(header) + zeros);
}

static struct pst_array_source at(char *path, const char *name)
{
    return (struct pst_array_source){.path = tree_path(&tree, path, name)};
}

static void every_dtype(void)
{
    int64_t blocks = pst__mem_blocks();
    static const int64_t shape[] = {20, 3, 2};
    tree_open(&tree);
    for (int dtype = 1; dtype <= PST_LAST_DTYPE; dtype++) {
        if (dtype == PST_BF16)
            continue; /* NumPy has none */
        char path[TREE_PATH];
        npy_file("x.npy", dtype, 3, shape);
        struct pst_array_source source = at(path, "x.npy");
        struct pst_tensor mapped;
        struct pst_error err = {0};
        CHECK_INT(pst_array_map(&mapped, &source, PST_ARRAY_VIEW, &err), PST_OK);
        CHECK(mapped.dtype == dtype && mapped.ndim == 3 && mapped.shape[0] == 20);
        CHECK(!pst_buffer_is_writable(mapped.buffer));
        for (int access = PST_ARRAY_CHOOSE; access <= PST_ARRAY_DIRECT; access++) {
            struct pst_array_config config;
            struct pst_dataset *dataset;
            pst_array_config_init(&config);
            config.access = access;
            CHECK_INT(pst_array_open(&dataset, &source, 1, &config, &err), PST_OK);
            CHECK_INT(pst_array_access(dataset), access ? access : PST_ARRAY_MAP);
            CHECK_INT(pst_array_check(dataset, &err), PST_OK);
            uint8_t row[2 * 8 * 6];
            void *dst = row;
            int64_t indices[] = {19, 0};
            size_t bytes = 6 * pst_dtype_size(dtype);
            CHECK_INT(pst_gather(dataset, indices, 2, &dst, &err), PST_OK);
            CHECK(memcmp(row, (uint8_t *)mapped.data + 19 * bytes, bytes) == 0);
            CHECK(memcmp(row + bytes, mapped.data, bytes) == 0);
            pst_dataset_unref(dataset);
        }
        pst_tensor_reset(&mapped);
    }
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* What is written to a view or a copy stays here; to an edited map it reaches the file. */
static void modes(void)
{
    char path[TREE_PATH];
    tree_open(&tree);
    npy_file("x.npy", PST_U8, 1, (int64_t[]){5});
    struct pst_array_source source = at(path, "x.npy");
    struct pst_tensor one, other;
    for (int mode = PST_ARRAY_VIEW; mode <= PST_ARRAY_COPY; mode++) {
        CHECK_INT(pst_array_map(&one, &source, mode, NULL), PST_OK);
        CHECK_INT(pst_buffer_is_writable(one.buffer), mode != PST_ARRAY_VIEW);
        ((uint8_t *)one.data)[1] = 200;
        CHECK_INT(pst_array_map(&other, &source, PST_ARRAY_VIEW, NULL), PST_OK);
        CHECK_INT(((uint8_t *)other.data)[1], mode == PST_ARRAY_EDIT ? 200 : 7);
        ((uint8_t *)one.data)[1] = 7;
        pst_tensor_reset(&one);
        pst_tensor_reset(&other);
    }
    CHECK_INT(pst_array_map(&one, &source, 3, NULL), PST_EINVAL);
    tree_close(&tree);
}

/* Fortran order, the other byte order, several tensors, raw elements. */
static void other_layouts(void)
{
    int64_t blocks = pst__mem_blocks();
    char path[TREE_PATH];
    struct pst_dataset *dataset;
    struct pst_tensor tensor;
    struct pst_error err = {0};
    tree_open(&tree);
    static const char fortran[] = "\x93NUMPY\x01\0\x3c\0"
                                  "{'shape': (2, 3), 'fortran_order':True, 'descr': '>i2'}    \n"
                                  "\0\1\0\2\0\3\0\4\0\5\0\6";
    tree_bytes(&tree, "f.npy", fortran, sizeof fortran - 1);
    struct pst_array_source source = at(path, "f.npy");
    CHECK_INT(pst_array_open(&dataset, &source, 1, NULL, &err), PST_OK);
    int16_t row[3];
    void *dst = row;
    CHECK_INT(pst_gather(dataset, (int64_t[]){1}, 1, &dst, &err), PST_OK);
    CHECK(row[0] == 2 && row[1] == 4 && row[2] == 6);
    pst_dataset_unref(dataset);
    struct pst_array_config config;
    pst_array_config_init(&config);
    config.memory_budget = 1; /* it can only be mapped */
    CHECK_INT(pst_array_open(&dataset, &source, 1, &config, &err), PST_OK);
    CHECK_INT(pst_array_access(dataset), PST_ARRAY_MAP);
    pst_dataset_unref(dataset);
    CHECK_INT(pst_array_map(&tensor, &source, PST_ARRAY_VIEW, &err), PST_OK);
    CHECK(tensor.strides[0] == 2 && tensor.strides[1] == 4 && ((int16_t *)tensor.data)[5] == 6);
    pst_tensor_reset(&tensor);
    CHECK_INT(pst_array_map(&tensor, &source, PST_ARRAY_EDIT, NULL), PST_EUNSUPPORTED);

    source.kind = PST_ARRAY_RAW;
    source.dtype = PST_I32;
    source.ndim = 2;
    source.shape[0] = -1;
    source.shape[1] = 2;
    source.offset = sizeof fortran - 1 - 16;
    CHECK_INT(pst_array_map(&tensor, &source, PST_ARRAY_VIEW, &err), PST_OK);
    CHECK(tensor.shape[0] == 2 && tensor.shape[1] == 2);
    pst_tensor_reset(&tensor);
    source.offset--;
    pst_error_init(&err);
    CHECK_INT(pst_array_map(&tensor, &source, PST_ARRAY_VIEW, &err), PST_EFORMAT);
    CHECK_HAS(err.message, "rows of 8");
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void tensors_by_name(void)
{
    char path[TREE_PATH];
    struct pst_dataset *dataset;
    struct pst_tensor tensor;
    struct pst_error err;
    tree_open(&tree);
    text_file("s",
              "{\"a\":{\"dtype\":\"I16\",\"shape\":[2,1],\"data_offsets\":[0,4]},"
              "\"f\":{\"dtype\":\"F8_E5M2\",\"shape\":[3],\"data_offsets\":[4,7]},"
              "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[7,15]}}",
              15);
    struct pst_array_source source = at(path, "s");
    struct {
        const char *name, *words;
        int status;
    } cases[] = {{"a", "", PST_OK},
                 {"b", "", PST_OK},
                 {"c", "no array 'c' among its 3 ('a', 'f', 'b')", PST_ENOTFOUND},
                 {"f", "tensor 'f' is of dtype F8_E5M2", PST_EUNSUPPORTED},
                 {NULL, "has 3 arrays", PST_EINVAL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        source.name = cases[i].name;
        pst_error_init(&err);
        CHECK_INT(pst_array_map(&tensor, &source, PST_ARRAY_VIEW, &err), cases[i].status);
        CHECK_HAS(err.message, cases[i].words);
        pst_tensor_reset(&tensor);
        int rc = pst_array_open(&dataset, &source, 1, NULL, NULL);
        CHECK_INT(rc, cases[i].name ? cases[i].status : PST_EUNSUPPORTED);
        if (rc < 0)
            continue;
        struct pst_field field;
        CHECK_INT(pst_dataset_fields(dataset, &field, 1), 1);
        CHECK_STR(field.name, cases[i].name);
        pst_dataset_unref(dataset);
    }
    tree_close(&tree);
}

/* Two arrays of one file fit where the file does. */
static void a_budget_for_files(void)
{
    char path[TREE_PATH];
    struct pst_dataset *dataset;
    struct pst_array_config config;
    struct pst_error err;
    pst_error_init(&err);
    pst_array_config_init(&config);
    tree_open(&tree);
    text_file("s",
              "{\"a\":{\"dtype\":\"I16\",\"shape\":[500],\"data_offsets\":[0,1000]},"
              "\"b\":{\"dtype\":\"F32\",\"shape\":[500],\"data_offsets\":[1000,3000]}}",
              3000);
    struct pst_array_source source = at(path, "s"), both[2] = {source, source};
    both[0].name = "a";
    both[1].name = "b";
    static const struct {
        uint64_t budget;
        int access;
    } cases[] = {{3500, PST_ARRAY_MAP}, {3000, PST_ARRAY_READ}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        config.memory_budget = cases[i].budget;
        CHECK_INT(pst_array_open(&dataset, both, 2, &config, &err), PST_OK);
        CHECK_INT(pst_array_access(dataset), cases[i].access);
        pst_dataset_unref(dataset);
    }
    tree_close(&tree);
}

static void what_is_refused(void)
{
    static const struct {
        const char *descr, *rest, *words;
        int status;
    } cases[] = {
        {"|O", "", "pickles", PST_EUNSUPPORTED},
        {"<c8", "", "none of the engine's", PST_EUNSUPPORTED},
        {"<f4", ",'shape':(3,)", "once each", PST_EFORMAT},
        {"<f4", ",'more':1", "once each", PST_EFORMAT},
        {"<f4", "} x", "nothing but space", PST_EFORMAT},
        {"<f4\\", "", "a plain character", PST_EFORMAT},
    };
    char path[TREE_PATH];
    tree_open(&tree);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t file[400] = "\x93NUMPY\x01";
        int n =
            snprintf((char *)file + 10, 300, "{'descr':'%s','fortran_order':False,'shape':(3,)%s}",
                     cases[i].descr, cases[i].rest);
        file[8] = (uint8_t)n;
        tree_bytes(&tree, "x.npy", file, sizeof file);
        struct pst_array_source source = at(path, "x.npy");
        struct pst_tensor tensor;
        struct pst_error err;
        pst_error_init(&err);
        CHECK_INT(pst_array_map(&tensor, &source, PST_ARRAY_VIEW, &err), cases[i].status);
        CHECK_HAS(err.message, cases[i].words);
        CHECK_HAS(err.message, "x.npy");
        CHECK(err.offset >= 0);
    }
    tree_close(&tree);
}

static void budgets(void)
{
    char path[TREE_PATH];
    tree_open(&tree);
    static const char table[] = "MemTotal:  100 kB\nMemFree: 3 kB\nMemAvailable:     7 kB\n";
    tree_bytes(&tree, "meminfo", table, sizeof table - 1);
    CHECK_INT((int64_t)pst__access_available(tree_path(&tree, path, "meminfo")), 7 * 1024);
    CHECK_INT((int64_t)pst__access_available(tree_path(&tree, path, "none")), 0);
    tree_bytes(&tree, "meminfo", table, 20);
    CHECK_INT((int64_t)pst__access_available(tree_path(&tree, path, "meminfo")), 0);
    tree_close(&tree);
}

/* How files are read follows from their size, the memory and what they lie on. */
static void choices(void)
{
    static const struct {
        struct pst__facts facts;
        int access;
        const char *words;
    } cases[] = {
        {{100, 100, 200, PST__MEDIUM_ROTATES, ENOSYS}, PST_ARRAY_MAP, "fit the budget"},
        {{0, 0, 0, PST__MEDIUM_UNKNOWN, 0}, PST_ARRAY_MAP, "fit the budget"},
        {{101, 100, 200, PST__MEDIUM_SOLID, 0}, PST_ARRAY_READ, "but the page cache"},
        {{200, 100, 200, PST__MEDIUM_SOLID, 0}, PST_ARRAY_READ, "but the page cache"},
        {{201, 100, 200, PST__MEDIUM_SOLID, 0}, PST_ARRAY_DIRECT, "does not rotate"},
        {{201, 100, 200, PST__MEDIUM_VIRTUAL, 0}, PST_ARRAY_DIRECT, "virtual machine's disk"},
        {{201, 100, 200, PST__MEDIUM_SOLID, EPERM}, PST_ARRAY_READ, "no io_uring: "},
        {{201, 100, 200, PST__MEDIUM_ROTATES, 0}, PST_ARRAY_READ, "disk that rotates"},
        {{201, 100, 200, PST__MEDIUM_NETWORK, 0}, PST_ARRAY_READ, "other machines"},
        {{201, 100, 200, PST__MEDIUM_MEMORY, 0}, PST_ARRAY_READ, "in memory"},
        {{201, 100, 200, PST__MEDIUM_UNKNOWN, 0}, PST_ARRAY_READ, "not known"},
        {{5, 0, 0, PST__MEDIUM_SOLID, 0}, PST_ARRAY_READ, "does not say how much memory"},
        {{UINT64_MAX, 0, UINT64_MAX - 1, PST__MEDIUM_SOLID, EPERM}, PST_ARRAY_READ, "no io_uring"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pst__choice choice;
        pst__access_choose(&choice, &cases[i].facts);
        CHECK_INT(choice.access, cases[i].access);
        CHECK_HAS(choice.why, cases[i].words);
        check_tried(1);
    }
    struct pst__facts facts;
    pst__access_facts(&facts, 0, 0, "/nowhere");
    CHECK(facts.memory > 1 << 20 && facts.budget == facts.memory / 2);
    pst__access_facts(&facts, UINT64_MAX, 7, "/nowhere");
    CHECK_INT((int64_t)facts.budget, 7);
    CHECK_INT(facts.medium, PST__MEDIUM_UNKNOWN);
}

/* What was replaced, written to or cut is told. */
static void changes(void)
{
    char path[TREE_PATH];
    tree_open(&tree);
    npy_file("x.npy", PST_U8, 2, (int64_t[]){100, 1000});
    struct pst_array_source source = at(path, "x.npy");
    struct pst_dataset *dataset;
    struct pst_error err;
    CHECK_INT(pst_array_open(&dataset, &source, 1, NULL, NULL), PST_OK);
    CHECK_INT(truncate(path, 5000), 0);
    pst_error_init(&err);
    CHECK_INT(pst_array_check(dataset, &err), PST_EIO);
    CHECK_HAS(err.message, "another size");
    uint8_t row[1000];
    void *dst = row;
    pst_error_init(&err);
    CHECK_INT(pst_gather(dataset, (int64_t[]){99}, 1, &dst, &err), PST_EIO);
    CHECK_INT(err.record, 99);
    CHECK_HAS(err.message, "was cut");
    pst_dataset_unref(dataset);
    tree_close(&tree);
}

CHECK_MAIN(CASE(every_dtype), CASE(modes), FAULT("R12", what_is_refused), CASE(other_layouts),
           CASE(tensors_by_name), CASE(a_budget_for_files), CASE(budgets), CASE(choices),
           FAULT("R5", changes))
