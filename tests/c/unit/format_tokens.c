/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/tokens.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/status.h"
#include "check.h"
#include "io/guard.h"
#include "unit/format_tree.h"

#define MOST 20000

static struct tree tree;
static int64_t value[MOST]; /* of the tokens in a file */
static uint64_t drawn;

static uint64_t draw(uint64_t n)
{
    return pst__keyed_word(7, drawn++) % n;
}

/* The first n of value[] as a file of a dtype, cut to what fits. */
static void write_tokens(const char *name, size_t n, int dtype)
{
    static uint8_t bytes[8 * MOST];
    size_t size = pst_dtype_size(dtype);
    for (size_t i = 0; i < n; i++) {
        value[i] = (int64_t)draw(UINT32_MAX) * (draw(2) ? 1 : -1);
        memcpy(bytes + i * size, &value[i], size); /* the low bytes come first */
        uint64_t low = (uint64_t)value[i] << (64 - 8 * size);
        value[i] = dtype == PST_U8 || dtype == PST_U16 || dtype == PST_U32
                       ? (int64_t)(low >> (64 - 8 * size))
                       : (int64_t)low >> (64 - 8 * size);
    }
    tree_bytes(&tree, name, bytes, n * size);
}

static struct pst_token_source source_of(char path[TREE_PATH], const char *name, int dtype)
{
    return (struct pst_token_source){.path = tree_path(&tree, path, name), .dtype = dtype};
}

static struct pst_tokens_config config_of(int64_t window, int access)
{
    struct pst_tokens_config config;
    pst_tokens_config_init(&config);
    config.window = window;
    config.access = access;
    return config;
}

static struct pst_dataset *open_tokens(const struct pst_token_source *source, size_t n,
                                       const struct pst_tokens_config *config)
{
    struct pst_dataset *dataset;
    struct pst_error err = {0};
    int rc = pst_tokens_open(&dataset, source, n, config, &err);
    if (rc < 0)
        check_fail(__FILE__, __LINE__, "%s", err.message);
    return dataset;
}

/* Every window of a dataset of one file, against value[]. */
static void check_windows(struct pst_dataset *dataset, size_t n,
                          const struct pst_tokens_config *config)
{
    static int64_t wide[2][MOST];
    static int32_t narrow[2][MOST];
    size_t window = (size_t)config->window, stride = (size_t)config->stride;
    size_t span = window + (config->has_targets != 0);
    int64_t length = n < span ? 0 : (int64_t)((n - span) / stride + 1);
    CHECK_INT(pst_dataset_length(dataset), length);
    for (int64_t i = 0; i < length; i++) {
        void *dst_wide[] = {wide[0], wide[1]}, *dst_narrow[] = {narrow[0], narrow[1]};
        int is_wide = config->dtype == PST_I64;
        CHECK_INT(pst_gather(dataset, &i, 1, is_wide ? dst_wide : dst_narrow, NULL), PST_OK);
        for (size_t f = 0; f < (config->has_targets ? 2u : 1u); f++)
            for (size_t k = 0; k < window; k++)
                CHECK_INT(is_wide ? wide[f][k] : narrow[f][k], value[(size_t)i * stride + k + f]);
    }
}

static void raw(void)
{
    static const int dtypes[] = {PST_U8, PST_I8, PST_U16, PST_I16, PST_U32, PST_I32, PST_I64};
    int64_t blocks = pst__mem_blocks();
    char path[TREE_PATH];
    for (size_t d = 0; d < 7; d++)
        for (int round = 0; round < 60; round++) {
            tree_open(&tree);
            size_t n = draw(round < 50 ? 300 : MOST);
            write_tokens("a.bin", n, dtypes[d]);
            struct pst_token_source source = source_of(path, "a.bin", dtypes[d]);
            struct pst_tokens_config config =
                config_of(1 + (int64_t)draw(round < 50 ? 40 : 9000), round % 3);
            config.stride = 1 + (int64_t)draw(40);
            config.has_targets = (int)draw(2);
            config.dtype =
                dtypes[d] == PST_U32 || dtypes[d] == PST_I64 || draw(2) ? PST_I64 : PST_I32;
            struct pst_dataset *dataset = open_tokens(&source, 1, &config);
            check_windows(dataset, n, &config);
            pst_dataset_unref(dataset);
            tree_close(&tree);
            check_tried(1);
        }
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void fields_and_report(void)
{
    char path[TREE_PATH];
    struct pst_field fields[3];
    struct pst_tokens_report report = {.struct_size = sizeof report};
    tree_open(&tree);
    write_tokens("a", 1000, PST_U16);
    struct pst_token_source source = source_of(path, "a", PST_U16);
    source.offset = 100;
    struct pst_tokens_config config = config_of(64, PST_ARRAY_CHOOSE);
    config.memory_budget = 2000;
    struct pst_dataset *dataset = open_tokens(&source, 1, &config);
    CHECK_INT(pst_dataset_fields(dataset, fields, 1), 2);
    CHECK_INT(pst_dataset_fields(dataset, fields, 3), 2);
    CHECK_STR(fields[0].name, "x");
    CHECK_STR(fields[1].name, "y");
    CHECK_INT(fields[1].dtype, PST_I64);
    CHECK_INT(fields[1].ndim, 1);
    CHECK_INT(fields[1].shape[0], 64);
    CHECK_INT(pst_tokens_report(dataset, &report), PST_OK);
    CHECK_INT(report.access, PST_ARRAY_MAP);
    CHECK_INT(report.n_tokens, 950);
    CHECK_INT(report.n_documents, -1);
    CHECK_INT(report.n_windows, 14);
    CHECK_INT(report.n_padded, 0);
    CHECK_INT(pst_tokens_report(NULL, &report), PST_EINVAL);
    CHECK_INT(pst_gather(dataset, NULL, 0, NULL, NULL), PST_OK);
    pst_dataset_unref(dataset);
    config.memory_budget = 1999;
    config.is_padded = 1;
    dataset = open_tokens(&source, 1, &config);
    CHECK_INT(pst_tokens_report(dataset, &report), PST_OK);
    CHECK_INT(report.access, PST_ARRAY_READ);
    CHECK_INT(report.n_windows, 15);
    CHECK_INT(report.n_padded, 1);
    pst_dataset_unref(dataset);
    tree_close(&tree);
}

static void padding(void)
{
    char path[TREE_PATH];
    int64_t x[4], y[4], last = 1;
    void *dst[] = {x, y};
    tree_open(&tree);
    write_tokens("a", 7, PST_U16);
    struct pst_token_source source = source_of(path, "a", PST_U16);
    for (int access = PST_ARRAY_MAP; access <= PST_ARRAY_DIRECT; access++) {
        struct pst_tokens_config config = config_of(4, access);
        config.is_padded = 1;
        config.pad = -7;
        struct pst_dataset *dataset = open_tokens(&source, 1, &config);
        CHECK_INT(pst_dataset_length(dataset), 2);
        CHECK_INT(pst_gather(dataset, &last, 1, dst, NULL), PST_OK);
        for (int i = 0; i < 4; i++) {
            CHECK_INT(x[i], i < 3 ? value[4 + i] : -7);
            CHECK_INT(y[i], i < 2 ? value[5 + i] : -100);
        }
        pst_dataset_unref(dataset);
    }
    tree_close(&tree);
}

/* A token that is too large for int32 is named, and so is its place. */
static void too_large(void)
{
    char path[TREE_PATH];
    int32_t x[8], y[8];
    void *dst[] = {x, y};
    uint32_t tokens[40] = {0};
    int64_t indices[] = {0, 2, 1};
    tree_open(&tree);
    tokens[21] = 3000000000u;
    tree_bytes(&tree, "a", tokens, sizeof tokens);
    struct pst_token_source source = source_of(path, "a", PST_U32);
    for (int access = PST_ARRAY_MAP; access <= PST_ARRAY_DIRECT; access++) {
        struct pst_tokens_config config = config_of(8, access);
        struct pst_error err = {0};
        config.dtype = PST_I32;
        struct pst_dataset *dataset = open_tokens(&source, 1, &config);
        CHECK_INT(pst_gather(dataset, indices, 1, dst, NULL), PST_OK);
        CHECK_INT(pst_gather(dataset, indices + 2, 1, dst, NULL), PST_OK);
        CHECK_INT(pst_gather(dataset, indices + 1, 2, dst, &err), PST_EFORMAT);
        CHECK_HAS(err.message, "/a': token 3000000000 at byte 84 does not fit in int32");
        CHECK_INT(err.offset, 84);
        CHECK_INT(err.record, 2);
        pst_dataset_unref(dataset);
    }
    tree_close(&tree);
}

static void cut_while_open(void)
{
    char path[TREE_PATH];
    static int64_t x[3][1000], y[3][1000];
    void *dst[] = {x, y};
    for (int access = PST_ARRAY_MAP; access <= PST_ARRAY_DIRECT; access++)
        for (off_t cut = 0; cut < 40000; cut += 500) {
            tree_open(&tree);
            write_tokens("a", MOST, PST_U16);
            struct pst_token_source source = source_of(path, "a", PST_U16);
            struct pst_tokens_config config = config_of(1000, access);
            struct pst_dataset *dataset = open_tokens(&source, 1, &config);
            CHECK_INT(truncate(path, cut), 0);
            for (int64_t i = 0; i + 2 < pst_dataset_length(dataset); i += 3) {
                struct pst_error err = {0};
                int64_t indices[] = {i, i + 1, i + 2}, whole = cut >= 2 ? (cut - 2) / 2000 : 0;
                int rc = pst_gather(dataset, indices, 3, dst, &err);
                CHECK_INT(rc, i + 2 < whole ? PST_OK : PST_EIO);
                if (rc == PST_OK)
                    continue;
                CHECK_HAS(err.message, "/a' was cut while it was open");
                CHECK_INT(err.record, i < whole ? whole : i);
                CHECK(err.offset >= err.record * 2000 && err.offset < err.record * 2000 + 2002);
                check_tried(1);
            }
            pst_dataset_unref(dataset);
            tree_close(&tree);
        }
}

static void refuse(const struct pst_token_source *source, size_t n,
                   const struct pst_tokens_config *config, int status, const char *text)
{
    struct pst_dataset *dataset;
    struct pst_error err = {0};
    int64_t blocks = pst__mem_blocks();
    CHECK_INT(pst_tokens_open(&dataset, source, n, config, &err), status);
    CHECK(!dataset);
    CHECK_HAS(err.message, text);
    CHECK_INT(pst__mem_blocks(), blocks);
}

static void refusals(void)
{
    char path[TREE_PATH], none[TREE_PATH];
    tree_open(&tree);
    write_tokens("a.bin", 501, PST_U8);
    struct pst_token_source source = source_of(path, "a.bin", PST_U16), other = source;
    struct pst_tokens_config good = config_of(8, PST_ARRAY_CHOOSE), config = good;
    refuse(&source, 1, &config, PST_EFORMAT, "a.bin' has 501 bytes of tokens, expected a multiple");
    source.offset = 600;
    refuse(&source, 1, &config, PST_ETRUNCATED, "a.bin' has 501 bytes, its tokens begin at 600");
    source.offset = 1;
    other.dtype = 0;
    refuse(&other, 1, &config, PST_EINVAL, "does not say what type its tokens have");
    other.dtype = PST_F32;
    refuse(&other, 1, &config, PST_EINVAL, "of dtype 3");
    other = source;
    other.path = tree_path(&tree, none, "none.bin");
    refuse(&other, 1, &config, PST_EIO, "none.bin'");
    other = source;
    other.kind = 9;
    refuse(&other, 1, &config, PST_EINVAL, "of kind 9");
    other = source;
    other.group = 1;
    refuse(&other, 1, &config, PST_EINVAL, "group 1 of 1");
    tree_file(&tree, "a.npy", "\x93NUMPY\1");
    other = source_of(none, "a.npy", PST_U8);
    refuse(&other, 1, &config, PST_ETRUNCATED, "a.npy");
    other.kind = PST_TOKENS_RAW;
    refuse(&other, 1, &config, PST_EFORMAT, "a.npy' begins with the header of an array of NumPy");
    config.documents = PST_DOCUMENTS_WITHIN;
    refuse(&source, 1, &config, PST_EINVAL, "does not say where its documents end");
#define REFUSE(member, number, status, text)                                                       \
    do {                                                                                           \
        config = good;                                                                             \
        config.member = number;                                                                    \
        refuse(&source, 1, &config, status, text);                                                 \
    } while (0)
    REFUSE(window, 0, PST_EINVAL, "a window of 0");
    REFUSE(window, INT64_MAX, PST_ELIMIT, "the limit is");
    REFUSE(stride, -1, PST_EINVAL, "a stride of -1");
    REFUSE(dtype, PST_U16, PST_EINVAL, "expected PST_I64 or PST_I32");
    REFUSE(documents, 2, PST_EINVAL, "documents is 2");
    REFUSE(access, 4, PST_EINVAL, "access is 4");
    REFUSE(length, -1, PST_EINVAL, "a mixture of -1");
    config = good;
    config.dtype = PST_I32;
    config.is_padded = 1;
    config.pad = INT64_MIN;
    refuse(&source, 1, &config, PST_EINVAL, "does not fit in int32");
    refuse(&source, 0, &good, PST_EINVAL, "no file");
    tree_close(&tree);
}

/* Three groups of files of several dtypes; every sample is the model's. */
static void mixture(void)
{
    char path[3][TREE_PATH];
    struct pst_token_source source[3];
    tree_open(&tree);
    for (int g = 0; g < 3; g++) {
        uint16_t tokens[200];
        for (int i = 0; i < 200; i++)
            tokens[i] = (uint16_t)(1000 * g + i);
        char name[8] = {(char)('a' + g)};
        tree_bytes(&tree, name, tokens, sizeof tokens);
        source[g] = source_of(path[g], name, PST_U16);
        source[g].group = 2 - g;
    }
    double weights[] = {1, 2, 1};
    struct pst_tokens_config config = config_of(10, PST_ARRAY_MAP);
    config.weights = weights;
    config.n_groups = 3;
    struct pst_dataset *dataset = open_tokens(source, 3, &config);
    CHECK_INT(pst_dataset_length(dataset), 3 * 19);
    pst_dataset_unref(dataset);
    config.length = 400;
    dataset = open_tokens(source, 3, &config);
    CHECK_INT(pst_dataset_length(dataset), 400);
    int count[3] = {0}, seen[3][20] = {{0}};
    for (int64_t i = 0; i < 400; i++) {
        int64_t x[10], y[10];
        void *dst[] = {x, y};
        CHECK_INT(pst_gather(dataset, &i, 1, dst, NULL), PST_OK);
        int64_t file = x[0] / 1000, first = x[0] % 1000;
        CHECK_INT(first % 10, 0);
        for (int k = 0; k < 10; k++) {
            CHECK_INT(x[k], x[0] + k);
            CHECK_INT(y[k], x[0] + k + 1);
        }
        count[file]++;
        seen[file][first / 10]++;
    }
    CHECK_INT(count[0], 100);
    CHECK_INT(count[1], 200);
    CHECK_INT(count[2], 100);
    for (int g = 0; g < 3; g++)
        for (int w = 0; w < 19; w++)
            CHECK(seen[g][w] >= count[g] / 19 && seen[g][w] <= count[g] / 19 + 1);
    pst_dataset_unref(dataset);
    weights[1] = 1e-9;
    refuse(source, 3, &config, PST_EINVAL, "weight 1e-09 of group 1 is less than 1/65536");
    weights[1] = 0;
    refuse(source, 3, &config, PST_EINVAL, "weight 0 of group 1 is not a positive number");
    weights[1] = 1;
    source[0].group = 0;
    refuse(source, 3, &config, PST_EINVAL, "group 2 has no file");
    source[0].group = 2;
    config.window = 200;
    refuse(source, 3, &config, PST_EINVAL, "group 0 have no window");
    tree_close(&tree);
}

/* Wishes and looks change nothing that can be seen. */
static void intend(void)
{
    char path[TREE_PATH];
    tree_open(&tree);
    write_tokens("a", MOST, PST_U16);
    struct pst_token_source source = source_of(path, "a", PST_U16);
    for (int access = PST_ARRAY_MAP; access <= PST_ARRAY_DIRECT; access++) {
        struct pst_tokens_config config = config_of(10, access);
        config.stride = 10;
        struct pst_dataset *dataset = open_tokens(&source, 1, &config);
        int64_t indices[] = {5, 6, 4, -1, 100, INT64_MAX, 7, 7};
        for (int i = 0; i < 100; i++)
            pst_dataset_intend(dataset, indices, 8);
        pst_dataset_intend(dataset, NULL, 0);
        check_windows(dataset, MOST, &config);
        pst_dataset_unref(dataset);
    }
    tree_close(&tree);
}

CHECK_MAIN(CASE(raw), CASE(fields_and_report), CASE(padding), CASE(too_large),
           FAULT("R4", cut_while_open), CASE(refusals), CASE(mixture), CASE(intend))
