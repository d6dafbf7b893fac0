/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENSTOCK_DATASET_H
#define PENSTOCK_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/error.h>
#include <penstock/image.h>
#include <penstock/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A dataset is what can be indexed: a number of records (the encoded bytes of a sample, or its
 * pixels), each with a label. It is shared by reference count; a loader holds a reference. */
struct pst_dataset;

/* Where a dataset puts the bytes of one record. Exactly one of the three calls is made by read():
 *
 * pst_record_reserve: size bytes of the reader's own memory to fill; NULL when memory is out or the
 * size is over the limit (then read() returns PST_ENOMEM or PST_ELIMIT). A second call grows the
 * same memory and keeps its content. pst_record_view: bytes that stay valid until the dataset is
 * closed; nothing is copied. pst_record_pixels: pixels that are not encoded and stay
 * valid as long; the struct is copied. */
struct pst_record;
PST_API void *pst_record_reserve(struct pst_record *record, size_t size);
PST_API void pst_record_view(struct pst_record *record, const void *data, size_t size);
PST_API void pst_record_pixels(struct pst_record *record, const struct pst_pixels *pixels);

/* One part of each sample of a dataset of rows. name is valid while the dataset is. */
struct pst_field {
    const char *name;
    int dtype, ndim; /* enum pst_dtype */
    /* Of one sample. shape[0] of -1: it differs from row to row, see pst_dataset_lengths(). */
    int64_t shape[PST_MAX_DIMS];
};
#define PST_MAX_FIELDS 64

/* What a dataset is made of; a C user fills this in to bring a dataset of their own. All calls but
 * close may come from several threads at once. struct_size first, append only. */
struct pst_dataset_vtable {
    size_t struct_size;
    /* Number of records, >= 0; must not change. */
    int64_t (*length)(void *self);
    /* Delivers record index (0 <= index < length). Returns a status, and says what is wrong in err.
     */
    int (*read)(void *self, int64_t index, struct pst_record *record, struct pst_error *err);
    /* Label of record index. */
    int64_t (*label)(void *self, int64_t index);
    /* Name of record index for messages (a path), valid until close; may be NULL. */
    const char *(*name)(void *self, int64_t index);
    /* Frees self. Called once, on the thread that drops the last reference. May be NULL. */
    void (*close)(void *self);
    /* For datasets whose records are all pst_record_pixels() of one size, and read() is a matter of
     * nanoseconds: fills in width, height and channels. The loader then plans without reading, and
     * takes samples in runs. Returns PST_OK, or PST_END where this does not hold. May be NULL. */
    int (*uniform)(void *self, struct pst_pixels *size);
    /* As pst_dataset_copy_name(); may be NULL where name is enough. */
    int64_t (*copy_name)(void *self, int64_t index, char *out, size_t size);
    /* For datasets of rows: samples are fields of a fixed dtype and shape, which are copied and not
     * decoded. Returns how many fields there are and fills in as many as `most`; 0: not of rows.
     * read and label may be NULL then. May be NULL. */
    int (*fields)(void *self, struct pst_field *fields, int most);
    /* Writes the rows at n indices, each within the length, in that order: field f to dst[f], C
     * order, the machine's bytes. On failure err->record is the index. Required with fields. */
    int (*gather)(void *self, const int64_t *indices, size_t n, void *const *dst,
                  struct pst_error *err);
    /* These rows will be asked for soon. Returns at once. May be NULL. */
    void (*intend)(void *self, const int64_t *indices, size_t n);
    /* As pst_dataset_lengths(), for n of at least 1; may be NULL where no field differs. */
    int (*lengths)(void *self, const int64_t *indices, size_t n, int64_t *lengths,
                   struct pst_error *err);
    /* As gather(), with rows of these lengths. Required with lengths, in the place of gather. */
    int (*gather_padded)(void *self, const int64_t *indices, size_t n, const int64_t *lengths,
                         void *const *dst, struct pst_error *err);
    /* Bytes that each thread keeps between calls of gather(), which count in a loader's budget. May
     * be NULL: none. */
    int64_t (*memory)(void *self);
};

/* Makes a dataset of a vtable and its self. The vtable is copied. On failure self stays the
 * caller's. Errors: PST_EINVAL (a required function is missing), PST_ENOMEM. */
PST_API int pst_dataset_new(struct pst_dataset **out, const struct pst_dataset_vtable *vtable,
                            void *self, struct pst_error *err);
PST_API struct pst_dataset *pst_dataset_ref(struct pst_dataset *dataset); /* any thread */
PST_API void pst_dataset_unref(struct pst_dataset *dataset); /* any thread; NULL is legal */

PST_API int64_t pst_dataset_length(const struct pst_dataset *dataset);
PST_API int64_t pst_dataset_label(const struct pst_dataset *dataset, int64_t index);
/* Valid until the dataset is closed. A folder keeps each name that was asked for. NULL where there
 * is none, or no memory. */
PST_API const char *pst_dataset_name(const struct pst_dataset *dataset, int64_t index);
/* Writes the name with its NUL as far as size goes, and keeps nothing. Returns its length without
 * the NUL, or -1 where there is none. */
PST_API int64_t pst_dataset_copy_name(const struct pst_dataset *dataset, int64_t index, char *out,
                                      size_t size);

/* Fields of a dataset of rows: how many there are; fills in as many as `most`. 0 for another kind
 * of dataset. */
PST_API int pst_dataset_fields(const struct pst_dataset *dataset, struct pst_field *fields,
                               int most);
/* Copies rows, in the order of the indices: field f to dst[f], which has room for n samples. Any
 * thread. Errors: PST_ERANGE (an index), PST_EINVAL (not of rows, or of rows of different lengths),
 * PST_EIO (names file and offset); what dst holds is not defined then. */
PST_API int pst_gather(const struct pst_dataset *dataset, const int64_t *indices, size_t n,
                       void *const *dst, struct pst_error *err);
/* Of fields whose first dimension differs from row to row: what it is in a batch of these rows,
 * that of the longest one, in lengths[f]; 0 for any other field, and for no rows. lengths has a
 * place for each field. It may read from files. Any thread. Errors as pst_gather(). */
PST_API int pst_dataset_lengths(const struct pst_dataset *dataset, const int64_t *indices, size_t n,
                                int64_t *lengths, struct pst_error *err);
/* As pst_gather(), where rows of such a field f become rows of lengths[f]: they are padded, or cut.
 * Other fields' lengths are not looked at. */
PST_API int pst_gather_padded(const struct pst_dataset *dataset, const int64_t *indices, size_t n,
                              const int64_t *lengths, void *const *dst, struct pst_error *err);
/* Rows that will be asked for soon: the system begins to fetch them. Indices that are not in the
 * dataset are passed over. Any thread; returns at once. */
PST_API void pst_dataset_intend(const struct pst_dataset *dataset, const int64_t *indices,
                                size_t n);

/* An image folder by the rules of torchvision.datasets.ImageFolder: each folder in root is a class,
 * in bytewise order; in it every file with one of the extensions, folders walked in order, links
 * followed. */
struct pst_folder_config {
    size_t struct_size;
    int allow_empty;        /* keep classes without a file; default: PST_ENOTFOUND names them */
    const char *extensions; /* space-separated, lower case, with dots; NULL: torchvision's nine */
    /* Where the list of files is kept, so that opening the folder again asks only whether its
     * folders are what they were: a file, "" for one in the user's cache folder ($PENSTOCK_CACHE,
     * $XDG_CACHE_HOME/penstock or ~/.cache/penstock), NULL for none. A bad or old index is made
     * anew, one that cannot be written is done without; pst_folder_report() tells. */
    const char *index;
};
static inline void pst_folder_config_init(struct pst_folder_config *config)
{
    config->struct_size = sizeof *config;
    config->allow_empty = 0;
    config->extensions = NULL;
    config->index = NULL;
}

/* Scans root. config may be NULL. Errors: PST_ENOTFOUND, PST_EIO, PST_ENOMEM, PST_ELIMIT. */
PST_API int pst_folder_open(struct pst_dataset **out, const char *root,
                            const struct pst_folder_config *config, struct pst_error *err);
/* Classes of a folder dataset; 0 and NULL for another kind of dataset. Valid while the dataset is.
 */
PST_API int64_t pst_folder_n_classes(const struct pst_dataset *dataset);
PST_API const char *pst_folder_class(const struct pst_dataset *dataset, int64_t class_index);

enum pst_folder_index {
    PST_FOLDER_INDEX_NONE,    /* not asked for, or there is no place for it */
    PST_FOLDER_INDEX_NEW,     /* there was none */
    PST_FOLDER_INDEX_KEPT,    /* nothing had changed */
    PST_FOLDER_INDEX_CHANGED, /* folders had changed, and were listed again */
    PST_FOLDER_INDEX_REBUILT, /* it could not be used: `damage` says why */
};
/* How a folder was opened. Texts are "" or a sentence and valid while the dataset is. */
struct pst_folder_report {
    size_t struct_size;
    enum pst_folder_index index;
    int written;             /* 1: the index on disk is now that of this dataset */
    int64_t folders, listed; /* folders there are; those that were listed now */
    const char *path;        /* of the index */
    const char *damage;
    const char *not_written; /* why it was to be written and is not */
};
/* struct_size is set by the caller. PST_EINVAL for another kind of dataset. */
PST_API int pst_folder_report(const struct pst_dataset *dataset, struct pst_folder_report *report);

/* A folder's list of files as bytes, to be opened elsewhere without a look at the file system: what
 * a process hands to its workers. pst_folder_save() returns their number and writes them if size is
 * enough; negative: PST_ENOMEM, PST_EINVAL. The paths are made absolute. */
PST_API int64_t pst_folder_save(const struct pst_dataset *dataset, void *out, size_t size,
                                struct pst_error *err);
/* Errors: PST_EFORMAT, PST_ETRUNCATED, PST_EUNSUPPORTED, PST_ELIMIT, PST_ENOMEM. */
PST_API int pst_folder_restore(struct pst_dataset **out, const void *bytes, size_t size,
                               struct pst_error *err);

/* A file that lists images: CSV (RFC 4180) with a header or with columns by number, or a JSON
 * object a line. Labels are integers of 64 bits, or texts: then the texts are the classes, sorted,
 * and a label is its class's number. In CSV they are integers if all of them are; in JSON they are
 * what they are written as. */
enum pst_list_kind {
    PST_LIST_AUTO, /* by the name: .csv, .tsv, .jsonl, .ndjson */
    PST_LIST_CSV,
    PST_LIST_JSONL,
};
struct pst_list_config {
    size_t struct_size;
    const char *root;         /* of relative paths; NULL: the list's own folder */
    const char *path, *label; /* names of columns; NULL: "path" and "label" */
    int by_column;            /* 1: there is no header, and columns go by number, from 0 */
    int path_column, label_column;
    enum pst_list_kind kind;
    char delimiter; /* of CSV; 0: a comma, in a .tsv a tab */
};
static inline void pst_list_config_init(struct pst_list_config *config)
{
    config->struct_size = sizeof *config;
    config->root = config->path = config->label = NULL;
    config->by_column = 0;
    config->path_column = 0;
    config->label_column = 1;
    config->kind = PST_LIST_AUTO;
    config->delimiter = 0;
}

/* Reads a list; its files are not looked at. config may be NULL. Errors: PST_EFORMAT names line and
 * byte, expected and found; PST_EINVAL, PST_EIO, PST_ELIMIT, PST_ENOMEM. */
PST_API int pst_list_open(struct pst_dataset **out, const char *path,
                          const struct pst_list_config *config, struct pst_error *err);
/* Classes of a list whose labels are texts; 0 and NULL otherwise. Valid while the dataset is. */
PST_API int64_t pst_list_n_classes(const struct pst_dataset *dataset);
PST_API const char *pst_list_class(const struct pst_dataset *dataset, int64_t class_index);

/* A list of files with labels, both copied. paths: n NUL-terminated byte strings one after another,
 * paths_size bytes in all. labels: n values. Errors: PST_EINVAL, PST_ENOMEM. */
PST_API int pst_paths_open(struct pst_dataset **out, const char *paths, size_t paths_size,
                           const int64_t *labels, int64_t n, struct pst_error *err);

/* An array of n images of one size. first: the first of them; image: bytes from one to the next.
 * labels: n values, copied. On success release(opaque) is called once, when the dataset is closed
 * (release may be NULL); on failure nothing is taken. Errors: PST_EINVAL, PST_ELIMIT, PST_ENOMEM.
 */
PST_API int pst_pixels_open(struct pst_dataset **out, const struct pst_pixels *first, int64_t n,
                            ptrdiff_t image, const int64_t *labels, pst_release_fn release,
                            void *opaque, struct pst_error *err);

#ifdef __cplusplus
}
#endif
#endif
