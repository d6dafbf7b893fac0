/* SPDX-License-Identifier: Apache-2.0 */
#include "format/list/list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"

/* A list of files. The first byte says which kind it is and how its columns are found. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "fuzz_list: %s\n", what);
    abort();
}

static void check_rows(struct pst_dataset *dataset)
{
    int64_t n_classes = pst_list_n_classes(dataset);
    for (int64_t i = 0; i < pst_dataset_length(dataset); i++) {
        const char *name = pst_dataset_name(dataset, i);
        require(name && name[0], "a sample without a path");
        require(name[0] == '/', "a path without its root");
        int64_t label = pst_dataset_label(dataset, i);
        require(n_classes == 0 || (label >= 0 && label < n_classes), "a label without a class");
    }
    for (int64_t i = 1; i < n_classes; i++)
        require(strcmp(pst_list_class(dataset, i - 1), pst_list_class(dataset, i)) != 0,
                "a class twice");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char delimiters[] = {',', ';', '\t', '|'};
    if (size < 1)
        return 0;
    struct pst_list_config config;
    struct pst_dataset *dataset;
    struct pst_error err;
    int64_t blocks = pst__mem_blocks();
    pst_list_config_init(&config);
    config.kind = data[0] & 1 ? PST_LIST_JSONL : PST_LIST_CSV;
    config.by_column = config.kind == PST_LIST_CSV && data[0] & 2;
    config.delimiter = delimiters[data[0] >> 2 & 3];
    pst_error_init(&err);
    /* Of the exact size, so that a read past the end is seen. */
    uint8_t *bytes = malloc(size - 1 ? size - 1 : 1);
    require(bytes != NULL, "memory is out");
    memcpy(bytes, data + 1, size - 1);
    int rc = pst__list_parse(&dataset, bytes, size - 1, "/root", &config, "list", &err);
    free(bytes);
    require((rc == PST_OK) == (dataset != NULL), "a status without a dataset");
    require(rc == PST_OK || (err.status == rc && err.message[0]), "an error without a word");
    if (rc == PST_OK) {
        check_rows(dataset);
        pst_dataset_unref(dataset);
    }
    require(pst__mem_blocks() == blocks, "blocks leak");
    return 0;
}
