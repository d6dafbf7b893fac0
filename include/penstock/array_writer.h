/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENSTOCK_ARRAY_WRITER_H
#define PENSTOCK_ARRAY_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>
#include <penstock/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes an array file (docs/format-array.md): rows of named columns, as many as there come. What
 * was committed is there, whatever happens to the process or the machine afterwards; what was not
 * is not, and no file is ever in part. One thread at a time. */
struct pst_array_writer;

/* A column: each row has elements of one shape or, if it is ragged, a number of items of one shape.
 */
struct pst_array_column {
    const char *name; /* UTF-8, 1 to 255 bytes; each column another */
    int dtype, ndim;  /* enum pst_dtype; of a row or an item */
    int64_t shape[PST_MAX_DIMS];
    int is_ragged;
    /* Of a ragged column: how many items the rows to be written have in all; 0: not known. */
    int64_t items;
};

enum pst_array_writer_mode {
    PST_ARRAY_CREATE = 0, /* a new file; one that is there is replaced by the first commit */
    PST_ARRAY_APPEND = 1, /* rows behind those of a file */
    PST_ARRAY_RESUME = 2, /* as CREATE, from the last checkpoint of a writer that did not commit */
};

struct pst_array_writer_config {
    size_t struct_size;
    int mode;                               /* enum pst_array_writer_mode */
    const struct pst_array_column *columns; /* PST_ARRAY_APPEND: NULL, or those of the file */
    size_t n_columns;
    /* How many rows will be written, those before a checkpoint among them; -1: not known. Where it
     * is known, and the items of all ragged columns are, space is taken at once and each column
     * lies in one piece. */
    int64_t rows;
    const char *note;    /* text to be kept with the rows; NULL: none, or that of the file */
    size_t block_bytes;  /* of data under one checksum; 0: 16 KiB */
    size_t buffer_bytes; /* of rows that wait to be written; 0: 64 MiB */
    int keep; /* 1: what was not committed stays for PST_ARRAY_RESUME, as far as the checkpoint */
};
static inline void pst_array_writer_config_init(struct pst_array_writer_config *config)
{
    config->struct_size = sizeof *config;
    config->mode = PST_ARRAY_CREATE;
    config->columns = NULL;
    config->n_columns = 0;
    config->rows = -1;
    config->note = NULL;
    config->block_bytes = config->buffer_bytes = 0;
    config->keep = 0;
}

/* Rows of one column: the elements, in C order and the machine's bytes, one row behind the other.
 * lengths: of a ragged column the number of items of each row; else NULL. */
struct pst_array_rows {
    const void *data;
    const int64_t *lengths;
};

/* Errors: PST_EINVAL (columns, or a file with other ones), PST_EIO (os_errno: ENOSPC where there is
 * no space for the rows announced, EWOULDBLOCK where another writer is at it), PST_EFORMAT and its
 * like for a file to append to, PST_ELIMIT, PST_ENOMEM. */
PST_API int pst_array_writer_open(struct pst_array_writer **out, const char *path,
                                  const struct pst_array_writer_config *config,
                                  struct pst_error *err);
/* The columns in their order; returns how many there are and fills in as many as `most`. Names are
 * valid while the writer is. */
PST_API int pst_array_writer_columns(const struct pst_array_writer *writer,
                                     struct pst_array_column *columns, int most);
/* Rows written so far, those of a file that is appended to or resumed among them. */
PST_API int64_t pst_array_writer_rows(const struct pst_array_writer *writer);
/* Takes rows: one entry for each column. Nothing is kept of the memory. After PST_EINVAL nothing
 * has happened. After any other error there is only pst_array_writer_close(). */
PST_API int pst_array_writer_write(struct pst_array_writer *writer,
                                   const struct pst_array_rows *columns, int64_t n_rows,
                                   struct pst_error *err);
/* The note, valid until it is set; and set for the commits to come. */
PST_API const char *pst_array_writer_note(const struct pst_array_writer *writer);
PST_API int pst_array_writer_set_note(struct pst_array_writer *writer, const char *note,
                                      struct pst_error *err);
/* What was written is on disk, for PST_ARRAY_RESUME; nobody sees it yet. When appending it is a
 * commit. */
PST_API int pst_array_writer_checkpoint(struct pst_array_writer *writer, struct pst_error *err);
/* What was written is on disk and to be seen. More may be written, and committed, afterwards. */
PST_API int pst_array_writer_commit(struct pst_array_writer *writer, struct pst_error *err);
/* What was not committed is dropped. Nulls the pointer; NULL is legal. */
PST_API void pst_array_writer_close(struct pst_array_writer **writer);

#ifdef __cplusplus
}
#endif
#endif
