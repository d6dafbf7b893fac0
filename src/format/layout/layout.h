/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_LAYOUT_H
#define PST_FORMAT_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include <penstock/array.h>
#include <penstock/tensor.h>

#include "base/attributes.h"

/* What a file says of the arrays in it, and the parsers that find it out. They read through a
 * pst__reader and nothing else. */

/* A file's bytes. */
struct pst__reader {
    /* All n bytes at offset, or a negative status. */
    int (*read)(void *self, uint64_t offset, size_t n, void *out, struct pst_error *err);
    void *self;
    uint64_t size;
    const char *shown; /* the file's name, printable */
};

/* One array of a file. Its elements lie within the file, and their number fits a tensor. */
struct pst__layout {
    char *name; /* PST_MEM_HEAP; NULL where the file has none */
    int dtype;  /* enum pst_dtype; 0: `kind`, which is none of ours */
    char kind[16];
    int ndim;
    int64_t shape[PST_MAX_DIMS];
    int is_fortran;         /* the first dimension's elements lie beside each other */
    int is_swapped;         /* its bytes are of the other order */
    uint64_t offset, bytes; /* of the first element, and of all */
    int stream;             /* of a column of an array file */
    int is_in_pieces;       /* its rows do not lie one behind the other */
};

/* Strides in bytes. */
void pst__layout_strides(const struct pst__layout *layout, int64_t *strides);
/* Sets bytes by dtype and shape. PST_ELIMIT where a tensor cannot have them. */
int pst__layout_measure(struct pst__layout *layout, const char *shown,
                        struct pst_error *err) PST_NODISCARD;
/* Elements of item bytes in the other byte order. */
void pst__layout_swap(uint8_t *data, size_t bytes, int item);
/* PST_ETRUNCATED where the elements are not within a file of size bytes. */
int pst__layout_check(const struct pst__layout *layout, const struct pst__reader *reader,
                      struct pst_error *err) PST_NODISCARD;

/* All arrays of a file. Zero-initialised means empty. */
struct pst__layouts {
    struct pst__layout *layout;
    size_t n, room;
};
void pst__layouts_reset(struct pst__layouts *layouts);
/* Adds an empty one. NULL when memory is out. */
struct pst__layout *pst__layouts_add(struct pst__layouts *layouts);

/* A file of numpy.save(). Errors: PST_EFORMAT, PST_ETRUNCATED, PST_ELIMIT with the offset;
 * PST_EUNSUPPORTED (objects, several fields, a dtype that is none of ours). */
#define PST__NPY_MAX_HEADER 10000 /* bytes of the text: numpy's own bound */
struct pst__npy {
    struct pst__layout layout; /* without a name */
    int major;
    size_t start, size; /* the text of the header: where it begins in the file, its bytes */
    char text[PST__NPY_MAX_HEADER + 1];
    size_t rows, rows_end, end; /* in the text: the first dimension's digits, behind the brace */
};
int pst__npy_read(struct pst__npy *npy, const struct pst__reader *reader,
                  struct pst_error *err) PST_NODISCARD;
/* Writes another number of rows into the text, which keeps its size. PST_ELIMIT: no room. */
int pst__npy_set_rows(struct pst__npy *npy, int64_t rows) PST_NODISCARD;
/* The first bytes of a file for such an array, as numpy.save() writes them, with room for as many
 * rows as there may be. Returns how many bytes they are; out has room for PST__NPY_FRESH. */
#define PST__NPY_FRESH 512
size_t pst__npy_write(uint8_t *out, const struct pst__layout *layout);

/* A file of safetensors: its tensors in the order of their places. Errors as pst__npy_read();
 * tensors of a dtype that is none of ours have dtype 0. */
#define PST__SAFETENSORS_MAX_HEADER 100000000 /* bytes: the format's own bound */
int pst__safetensors_read(struct pst__layouts *layouts, const struct pst__reader *reader,
                          struct pst_error *err) PST_NODISCARD;

/* A zip file of .npy files (numpy.savez()): its arrays by their names without the suffix, in the
 * order of their places; one of a dtype that is none of ours has dtype 0. Errors as
 * pst__npy_read(), with the member's name; PST_EUNSUPPORTED also for what is compressed. */
int pst__npz_read(struct pst__layouts *layouts, const struct pst__reader *reader,
                  struct pst_error *err) PST_NODISCARD;

/* PST_EFORMAT where the elements are not those of a record of a file of torch.save(). */
int pst__torch_record_check(const struct pst__layout *layout, const struct pst__reader *reader,
                            struct pst_error *err) PST_NODISCARD;
/* Which of the two kinds of a zip file it is. */
int pst__zip_kind(enum pst_array_kind *kind, const struct pst__reader *reader,
                  struct pst_error *err) PST_NODISCARD;

#endif
