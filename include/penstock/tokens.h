/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENSTOCK_TOKENS_H
#define PENSTOCK_TOKENS_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/array.h>
#include <penstock/dataset.h>
#include <penstock/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Files of tokens, and the windows of them that are samples. */
enum pst_token_kind {
    /* By the name: .idx, or .bin with an .idx beside it, is Megatron's; .ds datatrove's; .npy
     * NumPy's; any other is raw. */
    PST_TOKENS_AUTO = 0,
    PST_TOKENS_RAW = 1,       /* tokens one after another, in the machine's bytes */
    PST_TOKENS_MEGATRON = 2,  /* tokens in NAME.bin, documents in NAME.idx */
    PST_TOKENS_DATATROVE = 3, /* tokens in NAME.ds, documents in NAME.ds.index if it is there */
    PST_TOKENS_NPY = 4,       /* an array of one dimension */
};

struct pst_token_source {
    const char *path;
    int kind; /* enum pst_token_kind */
    /* PST_U8, PST_I8, PST_U16, PST_I16, PST_U32, PST_I32 or PST_I64; 0: what the file says, which a
     * raw one cannot. Where the file says another one that is PST_EFORMAT. */
    int dtype;
    uint64_t offset; /* of the first token of a raw file, in bytes */
    int group;       /* 0 <= group < n_groups */
};

enum pst_token_documents {
    PST_DOCUMENTS_IGNORE = 0, /* a file is one document */
    PST_DOCUMENTS_WITHIN = 1, /* no window goes over the end of a document */
};

struct pst_tokens_config {
    size_t struct_size;
    int64_t window;  /* tokens of a sample; must be set */
    int64_t stride;  /* from one window to the next; 0: window */
    int has_targets; /* field "y" beside "x": the token that follows each of x */
    int dtype;       /* of the fields: PST_I64 or PST_I32 */
    int documents;   /* enum pst_token_documents */
    /* What is left at the end of a document and is shorter than a window (with targets window + 1
     * tokens) is dropped; with is_padded it is a window, filled up with pad, and in y with
     * ignore_index. */
    int is_padded;
    int64_t pad, ignore_index;
    int access;             /* enum pst_array_access */
    uint64_t memory_budget; /* as in struct pst_array_config */
    /* Groups of files are mixed. Of any number of samples from the first on a group has its share,
     * within one sample; a group that is through begins again in an order drawn by the seed. Shares
     * are multiples of 1/65536 or, where the weights are, of a larger fraction. */
    const double *weights; /* of the groups; NULL: there is one */
    size_t n_groups;
    uint64_t seed;
    int64_t length; /* samples of a mixture; 0: as many as the groups have windows in all */
};
static inline void pst_tokens_config_init(struct pst_tokens_config *config)
{
    config->struct_size = sizeof *config;
    config->window = config->stride = 0;
    config->has_targets = 1;
    config->dtype = PST_I64;
    config->documents = PST_DOCUMENTS_IGNORE;
    config->is_padded = 0;
    config->pad = 0;
    config->ignore_index = -100;
    config->access = PST_ARRAY_CHOOSE;
    config->memory_budget = 0;
    config->weights = NULL;
    config->n_groups = 0;
    config->seed = 0;
    config->length = 0;
}

/* A dataset of rows (pst_gather()) of the windows of some files, in the order of the files. A token
 * that does not fit the fields' dtype is PST_EFORMAT of the gather, with file and offset. Errors:
 * PST_EINVAL, PST_EFORMAT, PST_ETRUNCATED (file, offset, expected and found), PST_EUNSUPPORTED,
 * PST_ELIMIT, PST_EIO, PST_ENOMEM. */
PST_API int pst_tokens_open(struct pst_dataset **out, const struct pst_token_source *sources,
                            size_t n_sources, const struct pst_tokens_config *config,
                            struct pst_error *err);

struct pst_tokens_report {
    size_t struct_size;
    int access; /* PST_ARRAY_MAP, PST_ARRAY_READ or PST_ARRAY_DIRECT */
    int64_t n_tokens;
    int64_t n_documents; /* -1 where a file does not tell */
    int64_t n_windows;   /* of the files; the length of a mixture is another */
    int64_t n_padded;    /* of these */
    int64_t n_dropped;   /* documents that are too short for a window */
    const char *why;     /* access is what it is; valid while the dataset is */
};
/* struct_size is set by the caller. PST_EINVAL for another kind of dataset. */
PST_API int pst_tokens_report(const struct pst_dataset *dataset, struct pst_tokens_report *report);

#ifdef __cplusplus
}
#endif
#endif
