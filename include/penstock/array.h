/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENSTOCK_ARRAY_H
#define PENSTOCK_ARRAY_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/dataset.h>
#include <penstock/error.h>
#include <penstock/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Arrays in files, of any size. What they are made of is described by the file, or for raw bytes by
 * the caller; a row is what one index of the first dimension gives. */
enum pst_array_kind {
    PST_ARRAY_AUTO = 0,        /* by the file's first bytes; raw is never guessed */
    PST_ARRAY_RAW = 1,         /* elements in C order and the machine's bytes */
    PST_ARRAY_NPY = 2,         /* numpy.save(), versions 1 to 3 */
    PST_ARRAY_SAFETENSORS = 3, /* all tensors of the file, by their names */
    PST_ARRAY_PENSTOCK = 4,    /* docs/format-array.md */
    PST_ARRAY_NPZ = 5,         /* numpy.savez(), not compressed: its arrays by their names */
    /* Raw elements that are a record of torch.save()'s zip file, which begins at byte `offset`.
     * Which records there are and what they hold is said by a pickle, which is not read here. */
    PST_ARRAY_TORCH = 6,
};
/* What a file is, by its first bytes and, of a zip file, by its directory. Errors: PST_EFORMAT
 * where it is none of these or its directory is damaged, PST_ETRUNCATED, PST_EUNSUPPORTED, PST_EIO,
 * PST_ENOTFOUND, PST_ENOMEM. */
PST_API int pst_array_detect(const char *path, enum pst_array_kind *kind, struct pst_error *err);

/* How rows are read. */
enum pst_array_access {
    PST_ARRAY_CHOOSE = 0, /* mapped where all of it fits the budget, else read; around the page
                           * cache where that could not hold it either */
    PST_ARRAY_MAP = 1,
    PST_ARRAY_READ = 2,   /* by pread(): nothing of the file is in the process' memory */
    PST_ARRAY_DIRECT = 3, /* around the page cache (O_DIRECT), many reads at a time where the system
                           * has io_uring. A file that cannot be read so is read by pread(). */
};

/* A file of one array or of several. */
struct pst_array_source {
    const char *path;
    const char *name; /* of a file's only array; of a file of several: the one that is meant. NULL:
                       * all, by their names in the file, else "data" */
    int kind;         /* enum pst_array_kind */
    /* Of PST_ARRAY_RAW, and without the -1 of PST_ARRAY_TORCH. shape[0] of -1: as many rows as
     * there are. */
    int dtype, ndim;
    int64_t shape[PST_MAX_DIMS];
    uint64_t offset; /* of the first element, in bytes */
    /* Of PST_ARRAY_PENSTOCK, for pst_array_open(): how many items the rows of ragged columns are
     * padded or cut to. Such a column is two fields: its name, of shape (ragged, the item's...),
     * and its name with "_length" behind it (PST_I64): how many of these items are the row's. 0:
     * ragged columns are refused (PST_EUNSUPPORTED). PST_ARRAY_LONGEST: as many as the longest row
     * of a batch has, see pst_dataset_lengths(). */
    int64_t ragged;
    int64_t pad; /* each element behind a row's items; other than 0 only for integers */
    /* Of PST_ARRAY_LONGEST. */
    int64_t ragged_most;     /* items that are kept of a row; 0: all */
    int64_t ragged_multiple; /* rows are padded to a multiple of it; 0: of 1 */
};
#define PST_ARRAY_LONGEST (-1)

struct pst_array_config {
    size_t struct_size;
    int access; /* enum pst_array_access */
    /* Bytes of the files that may be in the process' memory, for PST_ARRAY_CHOOSE. 0: half of the
     * memory that the system has available, or of the control group's limit. */
    uint64_t memory_budget;
    int is_unverified; /* 1: checksums of PST_ARRAY_PENSTOCK's blocks are not looked at */
};
static inline void pst_array_config_init(struct pst_array_config *config)
{
    config->struct_size = sizeof *config;
    config->access = PST_ARRAY_CHOOSE;
    config->memory_budget = 0;
    config->is_unverified = 0;
}

/* A dataset of rows (pst_gather()) over the arrays of some files, which must have as many rows;
 * each array is a field. config may be NULL. Errors: PST_EFORMAT, PST_ETRUNCATED (file, offset,
 * expected and found), PST_EUNSUPPORTED (a dtype that is none of ours, or objects), PST_EINVAL,
 * PST_ELIMIT, PST_EIO, PST_ENOMEM. */
PST_API int pst_array_open(struct pst_dataset **out, const struct pst_array_source *sources,
                           size_t n_sources, const struct pst_array_config *config,
                           struct pst_error *err);
/* The same over tensors, which are shared; names may be NULL. All have as many rows. */
PST_API int pst_rows_open(struct pst_dataset **out, const struct pst_tensor *tensors,
                          const char *const *names, size_t n, struct pst_error *err);
/* The rows of several datasets of rows one after the other: as many fields, of the same dtypes and
 * shapes, with the names of the first one's. The datasets are shared. Errors: PST_EINVAL names the
 * part, PST_ELIMIT, PST_ENOMEM. */
PST_API int pst_rows_concat(struct pst_dataset **out, struct pst_dataset *const *datasets, size_t n,
                            struct pst_error *err);
/* How the rows of an opened array are read: PST_ARRAY_MAP, PST_ARRAY_READ or PST_ARRAY_DIRECT; 0:
 * another dataset. */
PST_API int pst_array_access(const struct pst_dataset *dataset);
/* Why so, in a few words: of size and memory, of what the system refused. Valid while the dataset
 * is; NULL for another dataset. */
PST_API const char *pst_array_why(const struct pst_dataset *dataset);
/* PST_EIO where a file is no longer what was opened (cut, grown, replaced, written to). */
PST_API int pst_array_check(const struct pst_dataset *dataset, struct pst_error *err);

/* What becomes of the rows of a field, one after the other: each step is what torch's operation of
 * that meaning makes of a row x, bit for bit (but for which of the NaNs a NaN is, where torch
 * itself has several), rounded once in x's dtype. */
enum pst_step_kind {
    PST_STEP_TO_DTYPE = 1,  /* x.to(dtype), as pst_tensor_cast() */
    PST_STEP_SCALE = 2,     /* x * number, of a dtype of floats, as those below */
    PST_STEP_DIVIDE = 3,    /* x / number */
    PST_STEP_SHIFT = 4,     /* x + number */
    PST_STEP_NORMALIZE = 5, /* (x - mean) / std, which have x's dtype and lie along dimension dim */
    PST_STEP_RESHAPE = 6,   /* x.reshape(shape): one of it may be -1 */
    PST_STEP_ONE_HOT = 7,   /* one_hot(x.to(int64), classes).to(dtype); of a field one at most */
};
struct pst_step {
    int kind;           /* enum pst_step_kind */
    int dtype;          /* of TO_DTYPE, ONE_HOT: enum pst_dtype */
    double number;      /* of SCALE, DIVIDE, SHIFT */
    const double *mean; /* of NORMALIZE: n each, 1 or the dimension's size */
    const double *std;  /* none of them 0 */
    size_t n;           /* numbers in mean, and in std */
    int dim;            /* of NORMALIZE; negative: from the last one */
    int ndim;           /* of RESHAPE */
    int64_t shape[PST_MAX_DIMS];
    int64_t classes; /* of ONE_HOT */
};
/* The steps of one field; those without any stay as they are. */
struct pst_field_steps {
    const char *field;
    const struct pst_step *steps;
    size_t n;
};
/* A dataset of rows over another one, which it takes a reference to. Nothing of the steps is needed
 * afterwards. Rows go through memory of the gathering thread's own: 128 KiB, or one row where that
 * is more. A class that is out of range fails the gather (PST_EFORMAT, with row, value and bound).
 * Errors, which name field and step: PST_EINVAL, PST_ELIMIT, PST_ENOMEM. */
PST_API int pst_steps_open(struct pst_dataset **out, struct pst_dataset *rows,
                           const struct pst_field_steps *fields, size_t n, struct pst_error *err);

/* How a file is mapped as a tensor. */
enum pst_array_mode {
    PST_ARRAY_VIEW = 0, /* read only: the tensor's buffer says so. Who writes to its memory all the
                         * same changes a copy that only this process has. */
    PST_ARRAY_EDIT = 1, /* what is written reaches the file */
    PST_ARRAY_COPY = 2, /* what is written stays in this process */
};
/* An array in a file as a tensor over the mapped file: the only one, or that of the name. One whose
 * bytes are of the other order is read and copied; it cannot be edited. Elements lie where the file
 * has them, which need not be aligned. Errors as pst_array_open(); PST_ENOTFOUND: no array of that
 * name. */
PST_API int pst_array_map(struct pst_tensor *out, const struct pst_array_source *source, int mode,
                          struct pst_error *err);

/* Makes a file of zeros: .npy, or raw elements behind offset bytes (PST_ARRAY_AUTO: by whether the
 * name ends in ".npy"). All of its space is taken at once, so that a disk that is full is an error
 * here (PST_EIO with ENOSPC) and not a fault where elements are written. A file of that name is
 * replaced when the new one is whole; who has it open keeps it. */
PST_API int pst_array_create(const struct pst_array_source *source, struct pst_error *err);
/* Adds rows to a file of numpy.save(), which must have their dtype and shape but for the first
 * dimension, in C order. Whoever opens the file, also after a crash, finds the rows of before or
 * all of them, never some. *n_rows (may be NULL): how many there are now. One writer at a time:
 * PST_EIO with EWOULDBLOCK while another process appends. Errors besides: as pst_array_open();
 * PST_EUNSUPPORTED: Fortran order, the other byte order, a header without room for the number. */
PST_API int pst_array_append(const char *path, const struct pst_tensor *rows, int64_t *n_rows,
                             struct pst_error *err);
/* Waits until what was written to a tensor that was mapped with PST_ARRAY_EDIT is on the disk.
 * PST_EIO where it cannot get there. */
PST_API int pst_array_sync(const struct pst_tensor *tensor, struct pst_error *err);

/* A page of a mapped file that cannot be had (the file was cut, the disk fails) is a signal to who
 * touches it. The library's own reads return PST_EIO; where a caller reads a tensor over a mapped
 * file, the page becomes zeros and the fault is noted.
 * pst_fault_next() takes the oldest: PST_EIO names file and offset, PST_END: there is none.
 * pst_fault_notify(): fn is called within the signal's handler, on the thread that met the fault,
 * and may do only what is safe there; NULL: nobody is told. */
PST_API int pst_fault_next(struct pst_error *err);
PST_API void pst_fault_notify(void (*fn)(void *opaque), void *opaque);

#ifdef __cplusplus
}
#endif
#endif
