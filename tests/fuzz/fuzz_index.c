/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/dataset.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../c/unit/index_hashes.h"
#include "base/mem.h"

/* An index of a folder. With an odd first byte its hashes are made right, so that mutation reaches
 * what is behind them. What is taken must be a tree, and come back as it was. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "fuzz_index: %s\n", what);
    abort();
}

static void check_samples(struct pst_dataset *dataset)
{
    static char name[1 << 14];
    for (int64_t i = 0; i < pst_dataset_length(dataset); i++) {
        int64_t n = pst_dataset_copy_name(dataset, i, name, sizeof name);
        require(n > 0 && n < (int64_t)sizeof name && strlen(name) == (size_t)n, "a name's length");
        int64_t label = pst_dataset_label(dataset, i);
        require(label >= 0 && label < pst_folder_n_classes(dataset), "a label without a class");
        require(pst_folder_class(dataset, label) != NULL, "a class without a name");
    }
}

/* Saved again it is the same tree; only the user is another's, perhaps, and the extensions. */
static void check_round(struct pst_dataset *dataset)
{
    int64_t n = pst_folder_save(dataset, NULL, 0, NULL);
    require(n > 0, "nothing to save");
    uint8_t *bytes = malloc((size_t)n);
    require(bytes && pst_folder_save(dataset, bytes, (size_t)n, NULL) == n, "it cannot be saved");
    struct pst_dataset *again;
    require(pst_folder_restore(&again, bytes, (size_t)n, NULL) == PST_OK, "it does not come back");
    require(pst_dataset_length(again) == pst_dataset_length(dataset), "samples are lost");
    check_samples(again);
    pst_dataset_unref(again);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    int64_t blocks = pst__mem_blocks();
    size_t n = size - 1;
    uint8_t *bytes = malloc(n ? n : 1);
    require(bytes != NULL, "memory is out");
    memcpy(bytes, data + 1, n);
    if (data[0] & 1)
        make_hashes_right(bytes, n);
    struct pst_dataset *dataset;
    struct pst_error err;
    pst_error_init(&err);
    int rc = pst_folder_restore(&dataset, bytes, n, &err);
    require((rc == PST_OK) == (dataset != NULL), "a status without a dataset");
    require(rc == PST_OK || (err.status == rc && err.message[0]), "an error without a word");
    if (rc == PST_OK) {
        check_samples(dataset);
        check_round(dataset);
        pst_dataset_unref(dataset);
    }
    free(bytes);
    require(pst__mem_blocks() == blocks, "blocks leak");
    return 0;
}
