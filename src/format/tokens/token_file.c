/* SPDX-License-Identifier: Apache-2.0 */
#include "format/tokens/token_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"
#include "format/layout/layout.h"
#include "format/tokens/token_index.h"

#define SHOWN 320

/* NULL for what tokens cannot be. */
static const char *name_of(int dtype)
{
    switch (dtype) {
    case PST_U8:
        return "uint8";
    case PST_I8:
        return "int8";
    case PST_U16:
        return "uint16";
    case PST_I16:
        return "int16";
    case PST_U32:
        return "uint32";
    case PST_I32:
        return "int32";
    case PST_I64:
        return "int64";
    default:
        return NULL;
    }
}

/* --- names
 * -------------------------------------------------------------------------------------------- */

static int ends_in(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n > m && strcmp(path + n - m, suffix) == 0;
}

/* path without `cut` bytes of its end, and with suffix. */
static int derive(char out[PST_MAX_PATH], const char *path, size_t cut, const char *suffix,
                  struct pst_error *err)
{
    size_t n = strlen(path) - cut, m = strlen(suffix) + 1;
    if (n + m > PST_MAX_PATH)
        return pst__fail(err, PST_ELIMIT, "a path of %zu bytes, the limit is %d", n + m,
                         PST_MAX_PATH);
    memcpy(out, path, n);
    memcpy(out + n, suffix, m);
    return PST_OK;
}

/* 1 or 0. A file that cannot be looked at may be there: that is an error. */
static int exists(const char *path, struct pst_error *err)
{
    struct stat st;
    char text[SHOWN];
    if (pst__sys_stat(path, &st) == 0)
        return 1;
    if (errno == ENOENT || errno == ENOTDIR)
        return 0;
    return pst__fail_os(err, errno, "cannot stat '%s'", pst__printable(text, sizeof text, path));
}

struct names {
    int kind;                  /* never PST_TOKENS_AUTO */
    char tokens[PST_MAX_PATH]; /* the file of them */
    char index[PST_MAX_PATH];  /* "" where there is none */
};

static int name_megatron(struct names *names, const char *path, struct pst_error *err)
{
    size_t cut = ends_in(path, ".idx") || ends_in(path, ".bin") ? 4 : 0;
    int rc = derive(names->tokens, path, cut, ".bin", err);
    return rc < 0 ? rc : derive(names->index, path, cut, ".idx", err);
}

/* What a name says. Leaves the index's name where that was looked for. */
static int guess_kind(struct names *names, const char *path, struct pst_error *err)
{
    names->kind = PST_TOKENS_RAW;
    if (ends_in(path, ".ds"))
        names->kind = PST_TOKENS_DATATROVE;
    if (ends_in(path, ".npy"))
        names->kind = PST_TOKENS_NPY;
    if (ends_in(path, ".idx"))
        names->kind = PST_TOKENS_MEGATRON;
    if (!ends_in(path, ".bin"))
        return PST_OK;
    int rc = name_megatron(names, path, err);
    if (rc == PST_OK && (rc = exists(names->index, err)) > 0)
        names->kind = PST_TOKENS_MEGATRON;
    return rc < 0 ? rc : PST_OK;
}

static int name_files(struct names *names, const struct pst_token_source *from,
                      struct pst_error *err)
{
    const char *path = from->path;
    int rc = PST_OK;
    names->kind = from->kind;
    if (names->kind == PST_TOKENS_AUTO && (rc = guess_kind(names, path, err)) < 0)
        return rc;
    if (names->kind == PST_TOKENS_MEGATRON)
        return name_megatron(names, path, err);
    names->index[0] = 0;
    if ((rc = derive(names->tokens, path, 0, "", err)) < 0 || names->kind != PST_TOKENS_DATATROVE)
        return rc;
    if ((rc = derive(names->index, path, 0, ".index", err)) < 0 ||
        (rc = exists(names->index, err)) < 0)
        return rc;
    if (rc == 0)
        names->index[0] = 0;
    return PST_OK;
}

int pst__token_file_size(const struct pst_token_source *from, uint64_t *bytes,
                         struct pst_error *err)
{
    struct names names;
    struct stat st;
    char text[SHOWN];
    int rc = name_files(&names, from, err);
    if (rc < 0)
        return rc;
    if (pst__sys_stat(names.tokens, &st) < 0)
        return pst__fail_os(err, errno, "cannot stat '%s'",
                            pst__printable(text, sizeof text, names.tokens));
    *bytes = (uint64_t)st.st_size;
    return PST_OK;
}

/* --- what the file says
 * ------------------------------------------------------------------------------- */

/* Of a file that is taken for raw the header would be tokens. */
static int refuse_header(const struct pst__token_file *file, const char *shown,
                         struct pst_error *err)
{
    static const char magic[6] = "\x93NUMPY";
    char begin[sizeof magic];
    if (file->offset > 0 || pst__source_size(file->source) < sizeof begin)
        return PST_OK;
    int rc = pst__source_read(file->source, 0, sizeof begin, begin, err);
    if (rc == PST_OK && memcmp(begin, magic, sizeof begin) == 0)
        rc = pst__fail_at(err, PST_EFORMAT, 0, "'%s' begins with the header of an array of NumPy",
                          shown);
    return rc;
}

/* Any number of bytes behind the last token is refused: it is another type, or a file that is
 * still written. */
static int take_all(struct pst__token_file *file, const char *shown, struct pst_error *err)
{
    uint64_t size = pst__source_size(file->source);
    if (file->offset > size)
        return pst__fail_at(err, PST_ETRUNCATED, (int64_t)size,
                            "'%s' has %" PRIu64 " bytes, its tokens begin at %" PRIu64, shown, size,
                            file->offset);
    file->n_tokens = (size - file->offset) / file->token_size;
    if ((size - file->offset) % file->token_size != 0)
        return pst__fail_at(err, PST_EFORMAT,
                            (int64_t)(file->offset + file->n_tokens * file->token_size),
                            "'%s' has %" PRIu64 " bytes of tokens, expected a multiple of %zu for "
                            "%s",
                            shown, size - file->offset, file->token_size, name_of(file->dtype));
    return PST_OK;
}

static int read_source(void *self, uint64_t offset, size_t n, void *out, struct pst_error *err)
{
    return pst__source_read(self, offset, n, out, err);
}

static struct pst__reader reader_of(struct pst__source *source, const char *shown)
{
    return (struct pst__reader){
        .shown = shown, .size = pst__source_size(source), .read = read_source, .self = source};
}

static int read_index(struct pst__token_index *index, const struct names *names, int with_documents,
                      struct pst_error *err)
{
    struct pst__source *source;
    char text[SHOWN];
    int rc = pst__source_open(&source, names->index, PST__ACCESS_READ, err);
    if (rc < 0)
        return rc;
    struct pst__reader reader = reader_of(source, pst__printable(text, sizeof text, names->index));
    rc = names->kind == PST_TOKENS_MEGATRON
             ? pst__megatron_read(index, &reader, with_documents, err)
             : pst__datatrove_read(index, &reader, with_documents, err);
    pst__source_unref(source);
    return rc;
}

/* The header of an array of one dimension. */
static int read_npy(struct pst__token_file *file, const char *shown, struct pst_error *err)
{
    struct pst__npy *npy = pst__alloc(sizeof *npy, PST_MEM_HEAP);
    if (!npy)
        return pst__fail(err, PST_ENOMEM, "no memory for the header of '%s'", shown);
    struct pst__reader reader = reader_of(file->source, shown);
    int rc = pst__npy_read(npy, &reader, err);
    const struct pst__layout *layout = &npy->layout;
    if (rc == PST_OK && (layout->ndim != 1 || layout->is_swapped || !name_of(layout->dtype)))
        rc = pst__fail(err, PST_EUNSUPPORTED,
                       "'%s' is no array of tokens: it has %d dimensions of %s%s, expected one of "
                       "integers",
                       shown, layout->ndim, layout->kind,
                       layout->is_swapped ? ", in the other byte order" : "");
    if (rc == PST_OK) {
        file->dtype = layout->dtype;
        file->token_size = pst_dtype_size(layout->dtype);
        file->offset = layout->offset;
        file->n_tokens = (uint64_t)layout->shape[0];
    }
    pst__free(npy);
    return rc;
}

/* An index that knows no dtype: the size of a token is what the file's size says. */
static int infer_dtype(struct pst__token_index *index, uint64_t size, int wanted)
{
    if (index->dtype || index->n_tokens == 0)
        return index->dtype ? index->dtype : wanted;
    if (wanted)
        return wanted;
    uint64_t each = size / index->n_tokens;
    return each == 2 ? PST_U16 : each == 4 ? PST_U32 : 0;
}

/* Moves what the index says to the file. */
static int take_index(struct pst__token_file *file, struct pst__token_index *index,
                      const struct names *names, int wanted, struct pst_error *err)
{
    char text[SHOWN];
    const char *shown = pst__printable(text, sizeof text, names->tokens);
    uint64_t size = pst__source_size(file->source), expected = 0;
    file->dtype = infer_dtype(index, size, wanted);
    file->ends = index->ends;
    index->ends = NULL;
    file->n_documents = (int64_t)index->n_documents;
    file->n_tokens = index->n_tokens;
    if (file->dtype == 0 && size == 0)
        file->dtype = PST_U16; /* of no token */
    file->token_size = pst_dtype_size(file->dtype);
    if (file->dtype && !__builtin_mul_overflow(file->n_tokens, file->token_size, &expected) &&
        expected == size)
        return PST_OK;
    return pst__fail_at(err, file->dtype && expected > size ? PST_ETRUNCATED : PST_EFORMAT,
                        (int64_t)size, "'%s' has %" PRIu64 " bytes, its index says %" PRIu64 " %s",
                        shown, size, file->n_tokens,
                        file->dtype ? name_of(file->dtype) : "tokens, which no type makes");
}

static int take_raw(struct pst__token_file *file, const char *shown,
                    const struct pst_token_source *from, struct pst_error *err)
{
    PST_REQUIRE(from->dtype, err, "'%s' does not say what type its tokens have: name it", shown);
    file->dtype = from->dtype;
    file->token_size = pst_dtype_size(file->dtype);
    file->offset = from->offset;
    int rc = refuse_header(file, shown, err);
    return rc < 0 ? rc : take_all(file, shown, err);
}

static int describe(struct pst__token_file *file, const struct names *names,
                    const struct pst_token_source *from, int with_documents, struct pst_error *err)
{
    char text[SHOWN];
    const char *shown = pst__printable(text, sizeof text, names->tokens);
    struct pst__token_index index;
    int rc;
    file->n_documents = -1;
    if (names->index[0] == 0) {
        PST_REQUIRE(!with_documents, err, "'%s' does not say where its documents end", shown);
        rc = names->kind == PST_TOKENS_NPY ? read_npy(file, shown, err)
                                           : take_raw(file, shown, from, err);
    } else if ((rc = read_index(&index, names, with_documents, err)) == PST_OK) {
        rc = take_index(file, &index, names, from->dtype, err);
        pst__token_index_reset(&index);
    }
    if (rc == PST_OK && from->dtype && from->dtype != file->dtype)
        return pst__fail(err, PST_EFORMAT, "'%s' has %s, expected %s", shown, name_of(file->dtype),
                         name_of(from->dtype));
    return rc;
}

int pst__token_file_open(struct pst__token_file *file, const struct pst_token_source *from,
                         enum pst__access access, int with_documents, struct pst_error *err)
{
    struct names names;
    *file = (struct pst__token_file){0};
    if (from->kind < PST_TOKENS_AUTO || from->kind > PST_TOKENS_NPY)
        return pst__fail(err, PST_EINVAL, "a file of tokens of kind %d", from->kind);
    if (from->dtype != 0 && !name_of(from->dtype))
        return pst__fail(err, PST_EINVAL, "a file of tokens of dtype %d", from->dtype);
    int rc = name_files(&names, from, err);
    if (rc < 0)
        return rc;
    if (from->offset > 0 && names.kind != PST_TOKENS_RAW)
        return pst__fail(err, PST_EINVAL, "an offset of %" PRIu64 " in a file that is not raw",
                         from->offset);
    if ((rc = pst__source_open(&file->source, names.tokens, access, err)) < 0 ||
        (rc = describe(file, &names, from, with_documents, err)) < 0)
        pst__token_file_reset(file);
    return rc;
}

int pst__token_file_set_windows(struct pst__token_file *file, const struct pst__window_rule *rule,
                                struct pst_error *err)
{
    uint64_t n = file->ends ? (uint64_t)file->n_documents : 1;
    int rc = pst__windows_init(&file->windows, rule, file->ends ? file->ends : &file->n_tokens, n);
    if (rc < 0)
        return pst__fail(err, rc, "no memory for the windows of %" PRIu64 " documents", n);
    return PST_OK;
}

void pst__token_file_reset(struct pst__token_file *file)
{
    pst__windows_reset(&file->windows);
    pst__free(file->ends);
    pst__source_unref(file->source);
    *file = (struct pst__token_file){0};
}
