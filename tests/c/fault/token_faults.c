/* SPDX-License-Identifier: Apache-2.0 */
#include "fault/fault.h"

#ifdef PST_CHECKS

#include <penstock/tokens.h>

#include "unit/format_tree.h"

/* Token files opened and gathered from, under every fault at every call. */

#define WINDOW 16
#define DOCUMENT 40 /* tokens of each of a file's documents */
#define DOCUMENTS 5

static struct tree tree;
static size_t used;
static uint8_t bytes[1024];

static void put(uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bytes[used++] = (uint8_t)(value >> (8 * i));
}

/* Tokens count from 0. */
static void write_tokens(const char *name)
{
    used = 0;
    for (uint64_t t = 0; t < DOCUMENT * DOCUMENTS; t++)
        put(t, 2);
    tree_bytes(&tree, name, bytes, used);
}

static void make_files(void)
{
    tree_open(&tree);
    write_tokens("raw");
    write_tokens("a.ds");
    write_tokens("a.bin");
    used = 0;
    for (uint64_t d = 1; d <= DOCUMENTS; d++)
        put(d * DOCUMENT, 8);
    tree_bytes(&tree, "a.ds.index", bytes, used);
    memcpy(bytes, "MMIDIDX\0", used = 9);
    put(1, 8);
    put(8, 1);
    put(DOCUMENTS, 8);
    put(DOCUMENTS + 1, 8);
    for (uint64_t d = 0; d < DOCUMENTS; d++)
        put(DOCUMENT, 4);
    for (uint64_t d = 0; d < DOCUMENTS; d++)
        put(d * DOCUMENT * 2, 8);
    for (uint64_t d = 0; d <= DOCUMENTS; d++)
        put(d, 8);
    tree_bytes(&tree, "a.idx", bytes, used);
}

struct run {
    const char *name[2];
    int dtype, documents, access;
};

static int check_gathered(struct pst_dataset *dataset, int64_t n)
{
    int64_t x[4][WINDOW], y[4][WINDOW], indices[] = {n - 1, 0, n / 2, 0};
    void *dst[] = {x, y};
    struct pst_error err = {0};
    pst_dataset_intend(dataset, indices, 4);
    int rc = pst_gather(dataset, indices, 4, dst, &err);
    CHECK_INT(err.status, rc);
    if (rc < 0) {
        CHECK(err.message[0] && err.record >= 0);
        return rc;
    }
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < WINDOW; k++) {
            CHECK_INT(x[i][k], x[i][0] + k);
            CHECK_INT(y[i][k], x[i][0] + k + 1);
        }
    CHECK_INT(x[1][0], 0);
    return PST_OK;
}

static int open_and_gather(void *opaque)
{
    const struct run *run = opaque;
    char path[2][TREE_PATH];
    double weights[] = {1, 3};
    struct pst_token_source source[2] = {{0}};
    struct pst_tokens_config config;
    struct pst_dataset *dataset;
    struct pst_error err = {0};
    pst_tokens_config_init(&config);
    config.window = WINDOW;
    config.documents = run->documents;
    config.access = run->access;
    for (int i = 0; i < 2; i++) {
        source[i].path = tree_path(&tree, path[i], run->name[i]);
        source[i].dtype = run->dtype;
        source[i].group = i;
    }
    config.weights = weights;
    config.n_groups = 2;
    int rc = pst_tokens_open(&dataset, source, 2, &config, &err);
    CHECK_INT(err.status, rc);
    CHECK((rc == PST_OK) == !!dataset);
    if (rc < 0) {
        CHECK(err.message[0]);
        return rc;
    }
    /* 2 windows in each document, or all that a file has. */
    int64_t n =
        2 * (run->documents ? 2 * DOCUMENTS : (DOCUMENT * DOCUMENTS - WINDOW - 1) / WINDOW + 1);
    CHECK_INT(pst_dataset_length(dataset), n);
    rc = check_gathered(dataset, n);
    pst_dataset_unref(dataset);
    return rc;
}

static void token_files_fail(void)
{
    static const int errnos[] = {EIO, EMFILE, ENOMEM};
    static const int may_be_io[] = {PST_EIO, PST_ENOMEM, 0};
    static const enum pst__sys_call kinds[] = {PST_SYS_OPEN, PST_SYS_STAT, PST_SYS_READ,
                                               PST_SYS_MAP, PST_SYS_ALLOC};
    static struct run runs[] = {{{"raw", "raw"}, PST_U16, PST_DOCUMENTS_IGNORE, 0},
                                {{"raw", "a.bin"}, PST_U16, PST_DOCUMENTS_IGNORE, 0},
                                {{"a.ds", "a.bin"}, 0, PST_DOCUMENTS_WITHIN, 0},
                                {{"a.idx", "a.ds"}, 0, PST_DOCUMENTS_IGNORE, 0}};
    make_files();
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++)
        for (int access = PST_ARRAY_CHOOSE; access <= PST_ARRAY_DIRECT; access++) {
            int64_t in_all = 0;
            runs[r].access = access;
            for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
                struct fault_spec spec = {1u << kinds[k], errnos[(r + k) % 3], may_be_io, 500};
                int64_t n_failed, struck = fault_loop(&spec, open_and_gather, &runs[r], &n_failed);
                in_all += struck;
                /* What the system's memory is asked for may fail alone, and is done without; so may
                 * all that is for reading around the page cache. */
                if (access == PST_ARRAY_MAP || access == PST_ARRAY_READ)
                    CHECK_INT(n_failed, struck);
            }
            CHECK(in_all >= 40);
        }
    tree_close(&tree);
}

CHECK_MAIN(FAULT("R7 R17", token_files_fail))

#else
int main(void)
{
    return 77;
}
#endif
