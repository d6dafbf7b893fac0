/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_TOKEN_FILE_H
#define PST_FORMAT_TOKEN_FILE_H

#include <penstock/tokens.h>

#include "io/ahead.h"
#include "sample/windows.h"

/* A file of tokens, and where its windows are. Zero-initialised means empty. */
struct pst__token_file {
    struct pst__source *source;
    int dtype; /* enum pst_dtype */
    size_t token_size;
    uint64_t offset; /* of the first token, in bytes */
    uint64_t n_tokens;
    int64_t n_documents; /* -1: it does not tell */
    uint64_t *ends;      /* of the documents, or NULL: it is taken for one */
    struct pst__windows windows;
    struct pst__ahead ahead;
};

/* Opens what `from` describes; *bytes is the size of the file. Windows are not set. */
int pst__token_file_open(struct pst__token_file *file, const struct pst_token_source *from,
                         enum pst__access access, int with_documents, struct pst_error *err);
/* The size of the file that would be read, before it is opened. */
int pst__token_file_size(const struct pst_token_source *from, uint64_t *bytes,
                         struct pst_error *err);
int pst__token_file_set_windows(struct pst__token_file *file, const struct pst__window_rule *rule,
                                struct pst_error *err);
void pst__token_file_reset(struct pst__token_file *file);

#endif
