/* SPDX-License-Identifier: Apache-2.0 */
#include "format/folder/index_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"

#define MAX_INTERRUPTED 100

#define SHOWN 320

/* A name for the key's index. Two keys of one name take it from each other, no more. */
static int hash_key(const struct pst__index_key *key, uint64_t *hash)
{
    char text[2 * PST_MAX_PATH];
    int n =
        snprintf(text, sizeof text, "%s%c%s%c%" PRIu64, key->root, 0, key->suffixes, 0, key->user);
    if (n < 0 || n >= (int)sizeof text)
        return PST_ELIMIT;
    *hash = XXH64(text, (size_t)n, 0);
    return PST_OK;
}

/* A base that is no absolute path counts as not set (XDG Base Directory Specification). */
static int is_set(const char *base)
{
    return base && base[0] == '/';
}

static int place_in_cache(struct pst__index_file *file, const struct pst__index_key *key)
{
    const char *base = getenv("PENSTOCK_CACHE"), *below = "";
    uint64_t hash;
    int rc = hash_key(key, &hash);
    if (rc < 0)
        return rc;
    if (!is_set(base)) {
        base = getenv("XDG_CACHE_HOME");
        below = "/penstock";
    }
    if (!is_set(base)) {
        base = getenv("HOME");
        below = "/.cache/penstock";
    }
    if (!is_set(base))
        return PST_OK;
    file->is_in_cache = 1;
    int n = snprintf(file->path, sizeof file->path, "%s%s/folder-%016" PRIx64 ".idx", base, below,
                     hash);
    if (n < (int)sizeof file->path)
        return PST_OK;
    file->path[0] = 0;
    return PST_ELIMIT;
}

int pst__index_file_place(struct pst__index_file *file, const char *asked,
                          const struct pst__index_key *key)
{
    memset(file, 0, sizeof *file);
    if (asked[0] == 0)
        return place_in_cache(file, key);
    size_t size = strlen(asked) + 1;
    if (size > sizeof file->path)
        return PST_ELIMIT;
    memcpy(file->path, asked, size);
    return PST_OK;
}

static int read_fd(void *self, uint64_t offset, void *out, size_t n, struct pst_error *err)
{
    int fd = *(int *)self, tries = 0;
    for (size_t done = 0; done < n;) {
        ssize_t got = pst__sys_pread(fd, (char *)out + done, n - done, (off_t)(offset + done));
        if (got > 0) {
            done += (size_t)got;
            tries = 0;
        } else if (got == 0) {
            return pst__fail_at(err, PST_ETRUNCATED, (int64_t)(offset + done),
                                "the index ended while it was read");
        } else if (errno != EINTR || ++tries == MAX_INTERRUPTED) {
            return pst__fail_os(err, errno, "cannot read the index");
        }
    }
    return PST_OK;
}

static int load(struct pst__index_file *file, int fd, const struct pst__index_key *key,
                struct pst__tree *tree, struct pst_error *err)
{
    struct stat st;
    uint8_t begin[8];
    /* Until it is seen to be one of ours. */
    file->is_foreign = !file->is_in_cache;
    if (pst__sys_fstat(fd, &st) < 0)
        return pst__fail_os(err, errno, "cannot examine the index");
    if (!S_ISREG(st.st_mode))
        return pst__fail(err, PST_EFORMAT, "the index is not a regular file");
    if ((uint64_t)st.st_size > PST_MAX_INDEX)
        return pst__fail(err, PST_ELIMIT, "the index has %lld bytes, the limit is %" PRIu64,
                         (long long)st.st_size, PST_MAX_INDEX);
    size_t n = st.st_size < (off_t)sizeof begin ? (size_t)st.st_size : sizeof begin;
    int rc = read_fd(&fd, 0, begin, n, err);
    if (rc < 0)
        return rc;
    /* An empty file is what touch(1) or mkstemp() made for us. */
    file->is_foreign &= n > 0 && !pst__index_is_ours(begin, n);
    struct pst__index_source source = {read_fd, &fd, (uint64_t)st.st_size};
    return pst__index_decode(tree, &source, key, file->header, err);
}

int pst__index_file_load(struct pst__index_file *file, const struct pst__index_key *key,
                         struct pst__tree *tree, struct pst_error *err)
{
    int fd, tries = 0;
    *tree = (struct pst__tree){0};
    do
        fd = pst__sys_open(file->path);
    while (fd < 0 && errno == EINTR && ++tries < MAX_INTERRUPTED);
    if (fd < 0 && errno == ENOENT)
        return PST_END;
    if (fd < 0) {
        file->is_foreign = !file->is_in_cache;
        return pst__fail_os(err, errno, "cannot open the index");
    }
    int rc = load(file, fd, key, tree, err);
    pst__sys_close(fd);
    return rc;
}

static int write_index(struct pst__index_file *file, const struct pst__index *index,
                       struct pst_error *err)
{
    char folder[PST_MAX_PATH];
    if (pst__index_size(index) > PST_MAX_INDEX)
        return pst__fail(err, PST_ELIMIT,
                         "the index would have %" PRIu64 " bytes, the limit is "
                         "%" PRIu64,
                         pst__index_size(index), PST_MAX_INDEX);
    if (file->is_in_cache) {
        memcpy(folder, file->path, sizeof folder);
        *strrchr(folder, '/') = 0;
        int rc = pst__make_folders(folder, err);
        if (rc < 0)
            return rc;
    }
    return pst__file_replace(file->path, index->piece, PST__INDEX_PIECES, err);
}

int pst__index_file_save(struct pst__index_file *file, const struct pst__index_key *key,
                         const struct pst__tree *tree, struct pst_error *err)
{
    char shown[SHOWN];
    struct pst__index index;
    if (file->is_foreign)
        return pst__fail(err, PST_EINVAL, "'%s' is no index, and is left as it is",
                         pst__printable(shown, sizeof shown, file->path));
    int rc = pst__index_encode(&index, tree, key);
    if (rc < 0)
        return pst__fail(err, rc, "no memory for the index");
    if (memcmp(index.header, file->header, sizeof index.header) != 0)
        rc = write_index(file, &index, err);
    pst__index_reset(&index);
    return rc;
}
